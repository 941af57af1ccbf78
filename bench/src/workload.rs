//! The two workloads, as streams of requests for an engine in the same thread.
//!
//! In: a seed, a number of players. Out: requests whose ids rise with time, as front-ends mint them. Never here:
//! a clock; the caller says what time it is.

use cage_engine::{
    Admitted, Amount, AssetCode, AssetId, CallerId, Expiry, GameId, Operation, PlayerClass, PlayerId,
    RequestId, Role, Rule, SessionId, Settings, Timestamp,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The one asset.
pub const ASSET: AssetId = AssetId(1);

/// Which requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Single-step transfers between uniformly chosen players.
    Transfers,
    /// Reserve and settle (cancel one in twenty), deposits three in a hundred, players by Zipf's law.
    Casino,
}

impl Mix {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Casino => "casino",
        }
    }
}

/// Where the players' money comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Funds {
    /// A deposit each, which is remembered for ever.
    Deposits,
    /// The first player, who has a deposit: then a player costs no more memory than a player.
    Transfers,
}

/// A stream of requests.
#[derive(Debug)]
pub struct Workload {
    mix: Mix,
    players: u32,
    random: SmallRng,
    ids: u128,
    open: Vec<(PlayerId, RequestId, Amount)>,
}

/// How many bets are open at a time in the casino mix.
const OPEN_BETS: usize = 10_000;

impl Workload {
    /// A stream of `mix` over `players` players.
    #[must_use]
    pub fn new(mix: Mix, players: u32, seed: u64) -> Self {
        Self { mix, players, random: SmallRng::seed_from_u64(seed), ids: 0, open: Vec::new() }
    }

    /// The requests that set the stage: settings, the asset, the players, money for each. Their ids are minted `step_nanos`
    /// after one another from `now` on: with none between them all are equally old, and as soon as the first is forgotten
    /// the others are too old to be taken.
    pub fn setup(
        &mut self,
        settings: Settings,
        funds: Funds,
        now: Timestamp,
        step_nanos: u64,
    ) -> impl Iterator<Item = Admitted> + use<> {
        let asset = Operation::OpenAsset {
            code: AssetCode::new("BENCH").unwrap_or_else(|| unreachable!("a valid code")),
            scale: 2,
            transfers: true,
            amount_max: Amount(1 << 60),
        };
        let open = |index: u32| Operation::OpenPlayer {
            caller_id: CallerId(u128::from(index) + 1),
            brand: 1,
            jurisdiction: 1,
            class: PlayerClass::Test,
        };
        let fund = move |index: u32| match funds {
            Funds::Transfers if index > 0 => {
                let (from, to) = (PlayerId::from_index(0), PlayerId::from_index(index));
                let (amount, session) = (Amount(1 << 20), SessionId(0));
                (Operation::Transfer { from, to, asset: ASSET, amount, session }, Role::Frontend)
            }
            _ => (deposit(PlayerId::from_index(index), Amount(1 << 52)), Role::Cashier),
        };
        // Transfers are off until brand and jurisdiction allow them.
        let transfers = [Rule::TransfersInBrand, Rule::TransfersInJurisdiction];
        let players = self.players;
        let mut next = self.ids;
        self.ids += u128::from(players) * 2 + 4;
        let mut minted = now;
        let id = move || {
            next += 1;
            minted.0 += step_nanos;
            RequestId::from_time(minted, next)
        };
        std::iter::once((Operation::Configure { settings }, Role::System))
            .chain(std::iter::once((asset, Role::Operator)))
            .chain(transfers.map(|rule| (Operation::SetRule { rule, scope: 1, value: 1 }, Role::Operator)))
            .chain((0..players).map(move |index| (open(index), Role::Frontend)))
            .chain((0..players).map(fund))
            .scan(id, move |id, (operation, role)| Some(admit(operation, role, id(), now)))
    }

    /// One more bet that stays open, whatever the mix.
    pub fn bet(&mut self, now: Timestamp) -> Admitted {
        self.ids += 1;
        self.reserve(RequestId::from_time(now, self.ids), now)
    }

    /// The next request.
    pub fn next(&mut self, now: Timestamp) -> Admitted {
        self.ids += 1;
        let id = RequestId::from_time(now, self.ids);
        match self.mix {
            Mix::Transfers => self.transfer(id, now),
            Mix::Casino => self.casino(id, now),
        }
    }

    fn transfer(&mut self, id: RequestId, now: Timestamp) -> Admitted {
        let from = self.random.random_range(0..self.players);
        let step = self.random.random_range(1..self.players);
        let to = (from + step) % self.players;
        let transfer = Operation::Transfer {
            from: PlayerId::from_index(from),
            to: PlayerId::from_index(to),
            asset: ASSET,
            amount: Amount(1),
            session: SessionId(0),
        };
        admit(transfer, Role::Frontend, id, now)
    }

    fn casino(&mut self, id: RequestId, now: Timestamp) -> Admitted {
        let dice = self.random.random_range(0..1000);
        if dice < 30 {
            return admit(deposit(self.popular(), Amount(1_000)), Role::Cashier, id, now);
        }
        if self.open.len() < OPEN_BETS || dice < 515 {
            return self.reserve(id, now);
        }
        let at = self.random.random_range(0..self.open.len());
        let (player, hold, stake) = self.open.swap_remove(at);
        let payout = if self.random.random_ratio(1, 2) { Amount(stake.0 * 2) } else { Amount::ZERO };
        let end = if self.random.random_ratio(1, 20) {
            Operation::Cancel { player, asset: ASSET, hold }
        } else {
            Operation::Settle { player, asset: ASSET, hold, stake, payout }
        };
        admit(end, Role::Games, id, now)
    }

    fn reserve(&mut self, id: RequestId, now: Timestamp) -> Admitted {
        let player = self.popular();
        let stake = Amount(self.random.random_range(1..=100));
        self.open.push((player, id, stake));
        let reserve = Operation::Reserve {
            player,
            asset: ASSET,
            stake,
            payout_max: Amount(stake.0 * 2),
            game: GameId::new(1, 7),
            session: SessionId(0),
            round: None,
            expiry: Expiry::Never,
        };
        admit(reserve, Role::Games, id, now)
    }

    /// A player by Zipf's law with exponent 1: the inverse of the continuous distribution, scattered so that the
    /// popular ones are no neighbours.
    fn popular(&mut self) -> PlayerId {
        let uniform: f64 = self.random.random();
        let rank = (f64::from(self.players).powf(uniform) - 1.0) as u64;
        let scattered = rank.wrapping_mul(0x9e37_79b1) % u64::from(self.players);
        PlayerId::from_index(scattered as u32)
    }
}

const fn deposit(player: PlayerId, amount: Amount) -> Operation {
    let (locked, turnover) = (None, Amount::ZERO);
    Operation::DepositCredit { player, asset: ASSET, amount, chain: 1, locked, turnover }
}

fn admit(operation: Operation, role: Role, id: RequestId, now: Timestamp) -> Admitted {
    Admitted { request: operation.request(id), role, actor: 1, grant: 0, received: now }
}
