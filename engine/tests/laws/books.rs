//! The laws of the books, on walks through all that can be asked: random requests of every kind, alone and in
//! groups, with the ledger's own doings in between.

use std::collections::{BTreeMap, BTreeSet};

use cage_engine::field::{FieldSpec, Slot};
use cage_engine::limits::Day;
use cage_engine::table::IdRule;
use cage_engine::{
    AccountId, Admitted, Amount, AssetId, GameId, LimitKind, Operation, OperationKind, Period, PlayerId,
    Purse, Reference, Request, RequestId, ResultCode, Role, Rule, SessionId, Settings, State,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::ledger::ask::{contribute, set_limit};
use crate::ledger::{
    ACTOR, ALICE, BOB, ETH, HOUR, Ledger, OTHER, PLAY, POOL, SETTINGS, SISTER, admitted, books,
};
use crate::recount::{KINDS, PERIODS, recount};

const GAMES: [GameId; 3] = [PLAY, SISTER, OTHER];
const COIN: AssetId = AssetId(2);

/// A house at work, and what it has asked so far.
pub(crate) struct Walk {
    pub(crate) ledger: Ledger,
    random: StdRng,
    /// The ids under which each kind was asked for, for others to refer to.
    asked: BTreeMap<OperationKind, Vec<u128>>,
    codes: BTreeMap<(OperationKind, ResultCode), u32>,
    groups_done: u32,
    groups_refused: u32,
}

impl Walk {
    pub(crate) fn new(seed: u64) -> Self {
        let settings = Settings {
            ids_capacity: 700,
            ids_retention_millis: 60_000,
            holds_max: 120,
            closed_wagers_max: 30,
            ..SETTINGS
        };
        let mut ledger = Ledger::with(settings);
        assert_eq!(ledger.open_asset_of("SAT", 2, Amount(1_000_000)), COIN);
        for asset in [ETH, COIN] {
            ledger.trust(Role::Operator, asset, 1_000_000);
            ledger.trust(Role::Cashier, asset, 1_000_000);
        }
        ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(COIN.0));
        ledger.set_rule(Rule::DayBegins, 0, 360);
        for asset in [ETH, COIN] {
            ledger.set_rule(Rule::Importing, u64::from(asset.0), 1 << 100);
            ledger.set_rule(Rule::LateCorrectionMax, u64::from(asset.0), 1 << 100);
        }
        ledger.set_rule(Rule::SecondApprovalFrom, u64::from(ETH.0), 60);
        ledger.set_rule(Rule::RoundAgeMax, 0, u128::from(6 * HOUR));
        // A smallest unit of ether is worth a third of a unit of the reference asset.
        let price = Amount(333_333_333_000_000_000_000_000_000);
        assert_eq!(ledger.ask(&Operation::PublishRate { asset: ETH, price }), ResultCode::Done);
        assert_eq!(
            ledger.ask(&set_limit(BOB, LimitKind::Wager, Period::Day, 5_000)),
            ResultCode::Done,
            "Bob's wagers are counted from the beginning"
        );
        Self {
            ledger,
            random: StdRng::seed_from_u64(seed),
            asked: BTreeMap::new(),
            codes: BTreeMap::new(),
            groups_done: 0,
            groups_refused: 0,
        }
    }

    fn of(&mut self, kinds: &[OperationKind]) -> u128 {
        let known: Vec<_> = kinds.iter().filter_map(|kind| self.asked.get(kind)).collect();
        // Mostly what is recent; now and then something that never was.
        if known.is_empty() || self.random.random_ratio(1, 30) {
            return self.random.random_range(1..50);
        }
        let names = known[self.random.random_range(0..known.len())];
        names[names.len() - 1 - self.random.random_range(0..names.len().min(8))]
    }

    fn small(&mut self) -> u128 {
        let most = if self.random.random_ratio(1, 5) { 2_000 } else { 60 };
        self.random.random_range(0..most)
    }

    fn value(&mut self, kind: OperationKind, field: &FieldSpec) -> u128 {
        use OperationKind as Kind;
        match field.name {
            "player" | "from" if field.slot == Slot::Player => {
                if self.random.random() {
                    ALICE.number().into()
                } else {
                    BOB.number().into()
                }
            }
            "to" if field.bytes == 8 && kind == Kind::Transfer => BOB.number().into(),
            "asset" => u128::from(if self.random.random_ratio(5, 6) { ETH.0 } else { COIN.0 }),
            "to" if kind == Kind::Exchange => u128::from(self.random.random_range(1..3_u8)),
            "game" | "venue" => u128::from(GAMES[self.random.random_range(0..99_usize).saturating_sub(96)].0),
            "chain" => 1,
            "at_least" | "turnover" | "target" | "target_lsn" if field.slot != Slot::Reference => {
                if self.random.random_ratio(1, 10) { 1 } else { 0 }
            }
            "payout_max" => self.small() * 3,
            "hold" if kind == Kind::ImportHold => self.ledger.new_id().0,
            "hold" => self.of(&[Kind::Reserve, Kind::ImportHold]),
            "bet" if matches!(kind, Kind::Bet | Kind::BetWin | Kind::ImportBet | Kind::ImportReference) => {
                0xbe7 << 100 | self.random.random_range(0..100_000_u128)
            }
            "bet" => self.of(&[Kind::Bet, Kind::BetWin, Kind::ImportBet]),
            "target" => self.of(&[Kind::Bet, Kind::BetWin, Kind::ImportBet, Kind::Win]),
            "round" => {
                let young =
                    self.ledger.now.millis() / HOUR * 8 + u64::from(self.random.random_range(0..8_u8));
                if kind == Kind::VoidRound && self.random.random() {
                    self.of(&[Kind::EndRound])
                } else {
                    0x40d << 100 | u128::from(young)
                }
            }
            "withdrawal" => self.of(&[Kind::WithdrawRequest]),
            "deposit" => self.of(&[Kind::DepositCredit]),
            "adjustment" => self.of(&[Kind::Adjust]),
            "grant" => self.of(&[Kind::FreeroundGrant]),
            "order" if self.random.random_ratio(1, 3) => self.of(&[Kind::VoidPeriod]),
            "order" => 0,
            "token" | "campaign" | "text" | "transaction" if field.bytes == 16 => {
                self.random.random_range(1..6)
            }
            "transaction" | "slot" | "caller_id" => self.random.random_range(1..4),
            "session" => u128::from(
                self.ledger
                    .state
                    .session_of(Reference(self.random.random_range(1..6)))
                    .map_or(0, |session| session.0),
            ),
            "expires" => u128::from(self.ledger.now.plus_millis(self.random.random_range(0..10) * HOUR).0),
            "expiry" if self.random.random() => 0,
            "expiry" => u128::from(self.ledger.now.plus_millis(self.random.random_range(1..3) * HOUR).0),
            "original" | "from" => 1,
            "to" => u128::from(self.ledger.state.next_lsn().0 - 1),
            "count" => self.random.random_range(1..5),
            "rate_ppm" => self.random.random_range(1..1_000_000),
            "pool" => u128::from(POOL) + self.random.random_range(0..2),
            "rule" => Rule::WithdrawFee as u128,
            "scope" => u128::from(ETH.0),
            "status" => u128::from(self.random.random_range(0..30_u8).saturating_sub(25)),
            "locked" => u128::from(self.random.random_range(0..12_u8).saturating_sub(6)),
            "kind" => self.random.random_range(1..6),
            "period" => self.random.random_range(0..4),
            "price" => 333_333_333_000_000_000_000_000_000 + self.small(),
            "code" => u128::from_le_bytes(*b"ETH\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            "reason" if field.bytes == 1 => self.random.random_range(1..6),
            "class" | "brand" | "jurisdiction" => 0,
            "amount_max" => 1_000_000,
            "scale" => 18,
            "was" => self.random.random_range(0..3),
            "disabled" => u128::from(self.random.random_ratio(1, 12)),
            "debit" | "remove" | "house_paid" | "transfers" | "fresh" | "reverse_settled" | "ends_round" => {
                u128::from(self.random.random_ratio(1, 4))
            }
            "amount"
                if matches!(kind, Kind::Rollback | Kind::Collect | Kind::AllowanceReturn)
                    && self.random.random() =>
            {
                0
            }
            "value" if kind == Kind::SetRule => self.random.random_range(0..4),
            "value" => 1_000 + self.small() * 5,
            "amount" if kind == Kind::VoidPeriod => 5_000,
            _ if field.amount || field.slot == Slot::Amount => self.small(),
            _ => self.random.random_range(0..256),
        }
    }

    /// Something to ask, as far as its bytes are good.
    fn request(&mut self) -> Option<Request> {
        let kinds = OperationKind::ALL.iter().filter(|kind| kind.spec().id != IdRule::Internal);
        let kinds: Vec<_> = kinds.copied().collect();
        let money = [
            OperationKind::Collect,
            OperationKind::WriteOff,
            OperationKind::DepositReverse,
            OperationKind::DepositCredit,
            OperationKind::Bet,
            OperationKind::Bet,
            OperationKind::Win,
            OperationKind::BetWin,
            OperationKind::Rollback,
            OperationKind::Reserve,
            OperationKind::Settle,
            OperationKind::WithdrawApprove,
            OperationKind::WithdrawSigned,
            OperationKind::WithdrawSettle,
        ];
        let kind = match self.random.random_range(0..kinds.len() + 4 * money.len()) {
            rare if rare < kinds.len() => kinds[rare],
            often => money[often % money.len()],
        };
        let id = match kind.spec().id {
            IdRule::Request => self.ledger.new_id(),
            _ if self.random.random_ratio(1, 30) => RequestId(self.of(&[kind])),
            _ => RequestId(0x1d << 100 | self.random.random_range(1..1_000_000_u128)),
        };
        let mut request = Request {
            kind,
            id,
            ..Operation::RevokeSession { player: ALICE, session: SessionId(0) }.request(id)
        };
        request.player = PlayerId::NONE;
        for field in kind.fields() {
            let value = self.value(kind, field);
            match field.slot {
                Slot::Asset => request.asset = AssetId(value as u16),
                Slot::Player => request.player = PlayerId::new(value as u64).expect("a player"),
                Slot::Amount => request.amount = Amount(value),
                Slot::Reference => request.reference = value,
                Slot::Session => request.session = SessionId(value as u32),
                Slot::Game => request.game = GameId(value as u32),
                Slot::EndsRound => request.ends_round = value == 1,
                Slot::Detail(at) => {
                    let bytes = field.bytes.min(16);
                    request.detail.0[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
                }
            }
        }
        self.make_it_fit(&mut request);
        Request::parse(&request.to_bytes()).ok()
    }

    /// Mostly the one who asks knows whose it is what the request refers to.
    fn make_it_fit(&mut self, request: &mut Request) {
        if request.kind == OperationKind::LateCorrection {
            request.reference = request.id.0;
        }
        let state = &self.ledger.state;
        let has = |slot| request.kind.fields().iter().any(|field| field.slot == slot);
        let named = Reference(request.reference);
        let wager = state.wager(named).or_else(|| state.closed_wager(named));
        let of_wager = wager.map(|row| (row.player, row.asset, Some(row.game)));
        let hold = state.hold(RequestId(named.0)).map(|row| (row.player, row.asset, Some(row.game)));
        let round = state.round(named).map(|row| (row.player, row.asset, Some(row.game)));
        let withdrawal = state.withdrawal(RequestId(named.0)).map(|row| (row.player, row.asset, None));
        let deposit = state.deposit(RequestId(named.0)).map(|row| (row.player, row.asset, None));
        let found = of_wager.or(hold).or(round).or(withdrawal).or(deposit);
        let Some((player, asset, game)) = found.filter(|_| has(Slot::Asset)) else { return };
        if self.random.random_ratio(4, 5) {
            (request.player, request.asset) = (player, asset);
            request.game = game.filter(|_| has(Slot::Game)).unwrap_or(request.game);
            if let (OperationKind::Win | OperationKind::Rollback, Some(wager)) = (request.kind, wager) {
                request.detail.0[16..].copy_from_slice(&wager.round.0.to_le_bytes());
            }
        }
    }

    fn admitted(&mut self, request: Request) -> Admitted {
        let spec = request.kind.spec();
        let roles: Vec<_> = Role::CALLERS.into_iter().filter(|role| spec.roles.contains(*role)).collect();
        let role = roles[self.random.random_range(0..roles.len())];
        let grant = match role {
            Role::Games => self.ledger.state.granted(role, u32::from(request.game.provider())),
            Role::Chain => self.ledger.state.granted(role, request.chain()),
            _ => 0,
        };
        let actor = ACTOR + u32::from(self.random.random_ratio(1, 3));
        Admitted { grant: grant as u16, ..admitted(request, role, actor, self.ledger.now) }
    }

    /// What others can refer to.
    fn note(&mut self, request: &Request, code: ResultCode) {
        *self.codes.entry((request.kind, code)).or_default() += 1;
        if !code.is_executed() {
            return;
        }
        let name = match request.kind {
            OperationKind::Bet
            | OperationKind::BetWin
            | OperationKind::ImportBet
            | OperationKind::ImportHold
            | OperationKind::EndRound => request.reference,
            _ => request.id.0,
        };
        self.asked.entry(request.kind).or_default().push(name);
    }

    pub(crate) fn step(&mut self) {
        self.ledger.now.0 += match self.random.random_range(0..200) {
            0 => self.random.random_range(0..40 * HOUR * 1_000_000),
            1..9 => self.random.random_range(0..HOUR * 1_000_000),
            _ => self.random.random_range(0..2_000_000_000),
        };
        // Now and then somebody asks before the ledger comes to it.
        if self.random.random() {
            for kind in self.ledger.do_due() {
                *self.codes.entry((kind, ResultCode::Done)).or_default() += 1;
            }
        }
        if self.random.random_ratio(1, 6) {
            return self.group();
        }
        let Some(request) = self.request() else { return };
        let admitted = self.admitted(request);
        let code = self.ledger.admit(&admitted);
        self.note(&request, code);
    }

    fn group(&mut self) {
        let mut members = Vec::new();
        for _ in 0..self.random.random_range(2..5) {
            let request = self.request().filter(|request| request.kind.spec().groupable);
            let Some(request) = request else { continue };
            members.push(self.admitted(request));
        }
        let last = members.len().saturating_sub(1);
        for member in members.iter_mut().take(last) {
            member.request.linked = true;
        }
        if members.is_empty() {
            return;
        }
        // That the digest of the state stays as it was, the ledger of scenes checks.
        let codes = self.ledger.admit_group(&members);
        let executed = codes.iter().filter(|code| code.is_executed()).count();
        assert!(executed == 0 || executed == codes.len(), "all or nothing: {codes:?}");
        self.groups_done += u32::from(executed > 0);
        self.groups_refused += u32::from(codes[0].is_recorded() && executed == 0);
        for (member, code) in members.iter().zip(codes) {
            self.note(&member.request, code);
        }
    }

    /// The counters of the limits are what the records say.
    fn recounted(&self) -> usize {
        let Ledger { state, records, now, .. } = &self.ledger;
        let today = Day::of(*now, 360);
        let counted = recount(records, *now);
        for (player, used) in &counted {
            let usage = state.limits(*player).expect("a limited player").usage;
            for (row, kind) in KINDS.iter().enumerate() {
                for (at, period) in PERIODS.iter().enumerate() {
                    let (found, expected) = (usage.used(*kind, *period, today), i128::from(used[row][at]));
                    assert_eq!(found, expected, "{} of {player} over a {}", kind.name(), period.name());
                }
            }
        }
        for (player, _) in state.players() {
            assert_eq!(state.limits(player).is_some(), counted.contains_key(&player));
        }
        counted.len()
    }
}

#[test]
fn on_every_walk_the_books_add_up_and_a_replay_gives_the_same() {
    let (mut executed, mut groups_done, mut groups_refused) = (BTreeSet::new(), 0, 0);
    let mut codes = BTreeSet::new();
    for seed in 0..24 {
        let mut walk = Walk::new(seed);
        for step in 0..2_000 {
            walk.step();
            books::add_up(&walk.ledger.state, &GAMES);
            if step % 50 == 0 {
                walk.recounted();
            }
            if step == 700 {
                walk.ledger.crash();
            }
        }
        assert!(walk.recounted() >= 1);
        walk.ledger.replayed();
        executed.extend(walk.codes.keys().filter(|(_, code)| code.is_executed()).map(|(kind, _)| *kind));
        codes.extend(walk.codes.keys().map(|(_, code)| *code));
        groups_done += walk.groups_done;
        groups_refused += walk.groups_refused;
    }
    println!("{groups_done} groups done, {groups_refused} refused; {} answers: {codes:?}", codes.len());
    // What players owe the ledger mostly collects by itself before anybody asks.
    let own = ["configure", "state_digest", "continue", "collect"];
    for kind in OperationKind::ALL {
        assert!(executed.contains(kind) || own.contains(&kind.name()), "{} never happened", kind.name());
    }
    assert!(groups_done > 100 && groups_refused > 100 && codes.len() > 60, "the walks see the world");
}

/// A share of a stake is rarely a whole unit. What is left over is kept for the next, so that to the last millionth
/// nothing is lost and nothing made.
#[test]
fn gli_19_r16_what_shares_of_stakes_lose_by_rounding_the_jackpot_keeps() {
    let mut random = StdRng::seed_from_u64(16);
    let mut ledger = Ledger::casino();
    let mut millionths = 0_u128;
    for _ in 0..2_000 {
        let (base, rate) = (random.random_range(1..5_000), random.random_range(1..30_000));
        assert_eq!(ledger.ask(&contribute(ETH, base, POOL, rate)), ResultCode::Done);
        millionths += base * u128::from(rate);
        let pool = AccountId::of_house(ETH, Purse::Jackpot, POOL);
        let held = u128::try_from(ledger.state.balance(pool).0).expect("a jackpot is never below zero");
        let left = u128::from(ledger.state.pool_remainder(POOL, ETH));
        assert!(left < 1_000_000);
        assert_eq!(held * 1_000_000 + left, millionths);
    }
    assert_eq!(ledger.replayed().pool_remainder(POOL, ETH), ledger.state.pool_remainder(POOL, ETH));
    assert_eq!(ledger.state.pool_remainder(POOL, COIN), 0, "each asset has its own remainder");
}

/// Deciding looks at the books and changes nothing, for every kind of request.
#[test]
fn deciding_changes_nothing() {
    let ledger = Ledger::of_every_kind();
    let state = &ledger.state;
    let before = state.digest();
    for record in &ledger.records {
        let admitted = admitted(record.asked(), record.role, record.actor, ledger.now);
        let _ = cage_engine::decide(state, ledger.now, &admitted);
    }
    assert_eq!(state.digest(), before);
    let empty = State::new(1);
    assert_eq!(empty.digest(), State::new(2).digest());
}
