//! A player: deposits, bets on the house's dice and a provider's slots, asks for money and thinks better of it, keeps
//! own books.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cage_client::{Client, Error, Executed, Submitted, permanent_key};
use cage_engine::{
    Amount, AssetId, Expiry, GameId, Lsn, Operation, PlayerId, Reference, RequestId, SessionId, Timestamp,
};

use super::Clients;
use super::books::{Acknowledged, Counts};
use crate::tokens::Claims;

/// The house's dice: even money, 49 in 100.
const DICE: GameId = GameId::new(1, 1);
const WINS_PER_HUNDRED: u32 = 49;
/// The provider whose slots are played. The bridge to it acts under a grant.
pub(super) const PROVIDER: u16 = 2;
const SLOTS: GameId = GameId::new(PROVIDER, 1);
/// Of a hundred of the provider's bets: how many win, and how many it takes back.
const SLOTS_WIN: u32 = 30;
const SLOTS_FAIL: u32 = 10;
/// The chain that the demo's deposits are said to come from.
const CHAIN: u32 = 1;
/// How long a session lasts.
const SESSION_MILLIS: u64 = 24 * 3_600 * 1_000;

/// Where a player sits.
pub(super) struct Table {
    pub(super) clients: Rc<Clients>,
    pub(super) stop: Rc<Cell<bool>>,
    pub(super) counts: Rc<RefCell<Counts>>,
    pub(super) acknowledged: Rc<RefCell<Acknowledged>>,
}

/// A player and the player's own books.
#[derive(Debug)]
pub(super) struct Player {
    id: PlayerId,
    asset: AssetId,
    stake: Amount,
    books: i128,
    deposits: u64,
    session: SessionId,
}

impl Player {
    pub(super) const fn new(id: PlayerId, asset: AssetId, stake: Amount) -> Self {
        Self { id, asset, stake, books: 0, deposits: 0, session: SessionId::NONE }
    }

    pub(super) const fn id(&self) -> PlayerId {
        self.id
    }

    pub(super) const fn asset(&self) -> AssetId {
        self.asset
    }

    /// What the player believes to own.
    pub(super) const fn books(&self) -> i128 {
        self.books
    }

    /// Plays until the casino closes.
    pub(super) async fn play(mut self, table: Table) -> Self {
        self.log_in(&table).await;
        while !table.stop.get() {
            if self.books < self.stake.0 as i128 * 2 {
                self.deposit(&table).await;
            } else {
                match rand::random_range(0..20) {
                    0 => self.withdraw(&table).await,
                    1..=9 => self.play_slots(&table).await,
                    _ => self.bet(&table).await,
                }
            }
            // Players think. Without this the demo would be a benchmark.
            tokio::time::sleep(Duration::from_millis(rand::random_range(1..=10))).await;
        }
        self
    }

    /// Opens a session with a token that the casino's accounts have signed.
    async fn log_in(&mut self, table: &Table) {
        let claims = Claims {
            player: self.id,
            token: rand::random(),
            not_before: None,
            expires: Timestamp(wall_nanos()).plus_millis(SESSION_MILLIS),
            asset: None,
            topup_max: Amount::ZERO,
            game: GameId::default(),
        };
        let token = table.clients.accounts.sign(&claims);
        let frontend = &table.clients.frontend;
        let opened = certain(frontend, |id| frontend.submit_token_with_id(id, token.as_bytes())).await;
        if let Some(opened) = table.note(&opened) {
            self.session = SessionId(opened.player as u32);
        }
    }

    async fn deposit(&mut self, table: &Table) {
        self.deposits += 1;
        let amount = Amount(self.stake.0 * 20);
        let fact = [&b"demo deposit"[..], &self.id.number().to_le_bytes(), &self.deposits.to_le_bytes()];
        let key = permanent_key(&fact);
        // A deposit is a fact of the chain: it is reported until the ledger has it.
        loop {
            let answer = table.clients.cashier.deposit(key, self.id, self.asset, amount, CHAIN).await;
            if table.note(&answer).is_some() {
                break;
            }
        }
        table.counts.borrow_mut().deposits += 1;
        self.books += amount.0 as i128;
    }

    async fn bet(&mut self, table: &Table) {
        let stake = Amount(self.stake.0 * rand::random_range(1..=10) / 10);
        let payout_max = Amount(stake.0 * 2);
        let games = &table.clients.games;
        let reserve = Operation::Reserve {
            player: self.id,
            asset: self.asset,
            stake,
            payout_max,
            game: DICE,
            session: self.session,
            round: None,
            expiry: Expiry::Never,
        };
        let Some(bet) = table.note(&asked(games, reserve).await) else { return };
        self.books -= stake.0 as i128;
        let won = rand::random_range(0..100) < WINS_PER_HUNDRED;
        let payout = if won { payout_max } else { Amount::ZERO };
        let settle = Operation::Settle { player: self.id, asset: self.asset, hold: bet.id, stake, payout };
        if table.note(&asked(games, settle).await).is_some() {
            self.books += payout.0 as i128;
            table.counts.borrow_mut().rounds += 1;
        }
    }

    /// A provider's bet: it reports the bet, then what was won, which may be nothing; or takes the bet back.
    async fn play_slots(&mut self, table: &Table) {
        let (player, asset, game, bridge) = (self.id, self.asset, SLOTS, &table.clients.slots);
        let stake = Amount(self.stake.0 * rand::random_range(1..=10) / 10);
        // The provider's own names for its bet, and for what follows from it.
        let transaction = Reference(rand::random::<u128>() | 1);
        let (bet, round, session, payout_max) = (transaction, transaction, self.session, Amount(stake.0 * 3));
        let ends_round = false;
        let taken =
            Operation::Bet { player, asset, stake, bet, game, session, payout_max, round, ends_round };
        if table.note(&asked(bridge, taken).await).is_none() {
            return;
        }
        self.books -= stake.0 as i128;
        let dice = rand::random_range(0..100);
        let (amount, target_lsn, round) = (Amount::ZERO, Lsn::NONE, Some(round));
        let (ended, gained) = if dice < SLOTS_FAIL {
            let (target, reverse_settled) = (bet, false);
            let undone = Operation::Rollback {
                player,
                asset,
                amount,
                target,
                game,
                target_lsn,
                reverse_settled,
                round,
            };
            (undone, stake)
        } else {
            let amount = if dice < SLOTS_FAIL + SLOTS_WIN { payout_max } else { Amount::ZERO };
            let (target, ends_round) = (target_lsn, true);
            (Operation::Win { player, asset, amount, bet, game, target, round, ends_round }, amount)
        };
        let id = permanent_key(&[b"demo slots", &transaction.0.to_le_bytes()]);
        if table.note(&asked_as(bridge, id, ended).await).is_some() {
            self.books += gained.0 as i128;
            table.counts.borrow_mut().rounds += 1;
        }
    }

    /// Asks for money, which somebody approves, and gives it up before it is signed: there is no chain to pay over.
    async fn withdraw(&self, table: &Table) {
        let (player, asset, amount) = (self.id, self.asset, self.stake);
        let Clients { frontend, risk, .. } = &*table.clients;
        let (session, destination) = (self.session, rand::random());
        let request =
            Operation::WithdrawRequest { player, asset, amount, session, chain: CHAIN, destination };
        let Some(requested) = table.note(&asked(frontend, request).await) else { return };
        let withdrawal = requested.id;
        table.note(&asked(risk, Operation::WithdrawApprove { player, asset, withdrawal }).await);
        table.note(&asked(frontend, Operation::WithdrawCancel { player, asset, withdrawal }).await);
        table.counts.borrow_mut().withdrawals += 1;
    }
}

/// Asks under a new id until it is certain what became of it.
async fn asked(client: &Client, operation: Operation) -> Result<Executed, Error> {
    certain(client, |id| client.submit_with_id(id, operation)).await
}

/// Asks under this id until it is certain what became of it.
async fn asked_as(client: &Client, id: RequestId, operation: Operation) -> Result<Executed, Error> {
    certain(client, |_| client.submit_with_id(id, operation)).await
}

async fn certain(client: &Client, submit: impl Fn(RequestId) -> Submitted) -> Result<Executed, Error> {
    let id = client.mint_id();
    loop {
        match submit(id).await {
            Err(error) if error.may_retry() => {}
            certain => return certain,
        }
    }
}

fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl Table {
    /// Writes an answer down; gives it if it was executed.
    fn note(&self, answer: &Result<Executed, Error>) -> Option<Executed> {
        self.acknowledged.borrow_mut().add(answer);
        let mut counts = self.counts.borrow_mut();
        counts.operations += 1;
        match answer {
            Ok(executed) => Some(*executed),
            Err(Error::Refused { .. }) => {
                counts.refused += 1;
                None
            }
            Err(_) => {
                counts.unknown += 1;
                None
            }
        }
    }
}
