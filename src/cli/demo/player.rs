//! A player: deposits, bets on dice, keeps own books.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use cage_client::{Client, Error, Executed, permanent_key};
use cage_engine::{Amount, AssetId, Expiry, GameId, Operation, PlayerId, SessionId};

use super::Clients;
use super::books::{Acknowledged, Counts};

/// The house's dice: even money, 49 in 100.
const DICE: GameId = GameId::new(1, 1);
const WINS_PER_HUNDRED: u32 = 49;
/// The chain that the demo's deposits are said to come from.
const CHAIN: u32 = 1;

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
}

impl Player {
    pub(super) const fn new(id: PlayerId, asset: AssetId, stake: Amount) -> Self {
        Self { id, asset, stake, books: 0, deposits: 0 }
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
        while !table.stop.get() {
            if self.books < self.stake.0 as i128 * 2 {
                self.deposit(&table).await;
            } else {
                self.bet(&table).await;
            }
            // Players think. Without this the demo would be a benchmark.
            tokio::time::sleep(Duration::from_millis(rand::random_range(1..=10))).await;
        }
        self
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
            session: SessionId::default(),
            round: None,
            expiry: Expiry::Never,
        };
        let Some(bet) = table.note(&certain(games, reserve).await) else { return };
        self.books -= stake.0 as i128;
        let won = rand::random_range(0..100) < WINS_PER_HUNDRED;
        let payout = if won { payout_max } else { Amount::ZERO };
        let settle = Operation::Settle { player: self.id, asset: self.asset, hold: bet.id, stake, payout };
        if table.note(&certain(games, settle).await).is_some() {
            self.books += payout.0 as i128;
            table.counts.borrow_mut().rounds += 1;
        }
    }
}

/// Asks with one id until it is certain what became of it.
async fn certain(client: &Client, operation: Operation) -> Result<Executed, Error> {
    let id = client.mint_id();
    loop {
        match client.submit_with_id(id, operation).await {
            Err(error) if error.may_retry() => {}
            certain => return certain,
        }
    }
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
