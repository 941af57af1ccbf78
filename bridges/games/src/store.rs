//! What is known of providers' transactions, so that a repeat gets the same answer and a win finds its bet.
//!
//! In: rows, each made of a request and what the ledger said to it. Out: rows by key, a round's bets. It is a cache of
//! the log: nothing here decides whether money moves. Never here: a row that the ledger has not made durable.
//!
//! Rows are written by a thread of their own, some at a time; until then they are found in memory.

mod row;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use cage_engine::{Lsn, OperationKind, PlayerId, Reference, RequestId, ResultCode, SessionId, Timestamp};
use redb::{Database, TableDefinition};
use tokio::sync::oneshot;

pub use row::{RoundBet, Row};
use writer::Writer;

/// By key: what was asked and answered.
const TRANSACTIONS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("transactions");
/// By round and position in the log: the bet.
const BETS: TableDefinition<'_, (u128, u64), u128> = TableDefinition::new("bets");
/// Bets that were undone, and where.
const CANCELLED: TableDefinition<'_, u128, u64> = TableDefinition::new("cancelled");
/// Rounds that were closed: where, and when.
const CLOSED: TableDefinition<'_, u128, (u64, u64)> = TableDefinition::new("closed");
/// Sessions whose token was changed: how often.
const GENERATIONS: TableDefinition<'_, u32, u8> = TableDefinition::new("generations");

/// By provider: up to where the log was followed.
const POSITIONS: TableDefinition<'_, u16, u64> = TableDefinition::new("positions");
/// Bets on their way, as JSON, by the id of the hold.
const HOLDS: TableDefinition<'_, u128, &str> = TableDefinition::new("holds");
/// Bets that provider and ledger ended differently, and when that was seen.
const DISPUTES: TableDefinition<'_, &str, u64> = TableDefinition::new("disputes");
/// Sessions that were launched and have not ended: the player's number.
const SESSIONS: TableDefinition<'_, u32, u64> = TableDefinition::new("sessions");
/// Bets that an operator has decided, as JSON.
const DECISIONS: TableDefinition<'_, &str, &str> = TableDefinition::new("decisions");

const FILE: &str = "transactions.redb";

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = path.display())]
pub struct StoreError {
    path: PathBuf,
    reason: String,
}

/// A failure of the file, in a small place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

#[derive(Debug)]
enum Change {
    Row(u128, Row),
    Closed(Reference, Lsn, Timestamp),
    Generation(SessionId, u8),
    Position(u16, Lsn),
    Hold(RequestId, String, oneshot::Sender<()>),
    HoldGone(RequestId),
    Dispute(String, Timestamp),
    Decision(String, String),
    Session(SessionId, PlayerId, oneshot::Sender<()>),
    SessionGone(SessionId),
}

/// What is not written yet, by key, with its number in the order of changes.
#[derive(Debug, Default)]
struct Young {
    rows: HashMap<u128, (u64, Row)>,
    closed: HashMap<u128, (u64, Timestamp)>,
    generations: HashMap<u32, (u64, u8)>,
}

/// The store. Dropped, it writes what it has.
#[derive(Debug)]
pub struct Store {
    base: Arc<Database>,
    path: PathBuf,
    young: Arc<Mutex<Young>>,
    changes: Option<Sender<Change>>,
    sent: AtomicU64,
    writer: Option<JoinHandle<()>>,
}

fn lock(young: &Mutex<Young>) -> MutexGuard<'_, Young> {
    // What it holds is whole between any two statements: whoever panicked left it so.
    young.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written, or another process has it open.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let fault = |reason: String| StoreError { path: path.clone(), reason };
        std::fs::create_dir_all(dir).map_err(|error| fault(error.to_string()))?;
        let base = Database::create(&path).map_err(|error| fault(error.to_string()))?;
        create_tables(&base).map_err(|error| fault(error.to_string()))?;
        let base = Arc::new(base);
        let young = Arc::new(Mutex::new(Young::default()));
        let (changes, arriving) = channel();
        let writer = Writer { base: Arc::clone(&base), young: Arc::clone(&young), arriving, written: 0 };
        let writer = std::thread::Builder::new()
            .name("games-store".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| fault(error.to_string()))?;
        Ok(Self { base, path, young, changes: Some(changes), sent: 0.into(), writer: Some(writer) })
    }

    fn send(&self, change: Change) -> u64 {
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        // A writer that is gone has said why; what is in memory stays there.
        if let Some(changes) = &self.changes {
            let _ = changes.send(change);
        }
        number
    }

    /// Keeps a transaction.
    pub fn put(&self, key: u128, row: Row) {
        let mut young = lock(&self.young);
        let number = self.send(Change::Row(key, row));
        young.rows.insert(key, (number, row));
    }

    /// Keeps a transaction that this bridge has answered. The log may have told of it before: then only what was shown is
    /// new.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn put_own(&self, key: u128, row: Row) -> Result<(), StoreError> {
        match self.get(key)? {
            Some(known) if known.lsn == row.lsn => {
                if known.shown.is_none() {
                    self.put(key, Row { shown: row.shown, ..known });
                }
            }
            Some(known) if known.code.is_executed() || !row.code.is_executed() => {}
            _ => self.put(key, row),
        }
        Ok(())
    }

    /// Keeps a transaction as the log has it. Of the bridge's own row only the shown balance stays. A refusal that was
    /// written down again is the first one; one that was executed later is not a refusal any more.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn put_from_log(&self, key: u128, mut row: Row) -> Result<(), StoreError> {
        if row.session == SessionId::NONE && row.bet.0 != 0 {
            row.session = self.get(row.bet.0)?.map_or(SessionId::NONE, |bet| bet.session);
        }
        match self.get(key)? {
            Some(known) if known.lsn == row.lsn => self.put(key, Row { shown: known.shown, ..row }),
            Some(known) if known.code.is_executed() || !row.code.is_executed() => {}
            _ => self.put(key, row),
        }
        Ok(())
    }

    /// Keeps up to where the log was followed for a provider. What was put before is written before it.
    pub fn put_position(&self, provider: u16, position: Lsn) {
        self.send_locked(Change::Position(provider, position));
    }

    /// Up to where the log was followed for a provider.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn position(&self, provider: u16) -> Result<Lsn, StoreError> {
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(POSITIONS).map_err(|error| self.fault(error))?;
        let found = table.get(provider).map_err(|error| self.fault(error))?;
        Ok(Lsn(found.map_or(0, |found| found.value())))
    }

    /// Forgets all that the log knows, to be followed from its beginning. What it does not know stays: changed tokens, bets on
    /// their way, disputes, decisions.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn forget(&self) -> Result<(), StoreError> {
        clear(&self.base).map_err(|error| self.fault(error))
    }

    /// All transactions, by key.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn rows(&self) -> Result<Vec<(u128, Row)>, StoreError> {
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(TRANSACTIONS).map_err(|error| self.fault(error))?;
        let mut found = Vec::new();
        for entry in table.range(0..).map_err(|error| self.fault(error))? {
            let (key, bytes) = entry.map_err(|error| self.fault(error))?;
            found.extend(Row::from_bytes(bytes.value()).map(|row| (key.value(), row)));
        }
        Ok(found)
    }

    /// Keeps that a round was closed.
    pub fn put_closed(&self, round: Reference, lsn: Lsn, when: Timestamp) {
        let mut young = lock(&self.young);
        let number = self.send(Change::Closed(round, lsn, when));
        young.closed.insert(round.0, (number, when));
    }

    /// Keeps how often a session's token was changed.
    pub fn put_generation(&self, session: SessionId, generation: u8) {
        let mut young = lock(&self.young);
        let number = self.send(Change::Generation(session, generation));
        young.generations.insert(session.0, (number, generation));
    }

    fn fault(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError { path: self.path.clone(), reason: reason.to_string() }
    }

    /// The transaction of this key.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn get(&self, key: u128) -> Result<Option<Row>, StoreError> {
        if let Some((_, row)) = lock(&self.young).rows.get(&key) {
            return Ok(Some(*row));
        }
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(TRANSACTIONS).map_err(|error| self.fault(error))?;
        let found = table.get(key).map_err(|error| self.fault(error))?;
        Ok(found.and_then(|bytes| Row::from_bytes(bytes.value())))
    }

    /// When a round was closed, if it was.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn closed(&self, round: Reference) -> Result<Option<Timestamp>, StoreError> {
        let young = lock(&self.young);
        let by_row = young.rows.values().find(|(_, row)| row.round == round && closes(row));
        if let Some(when) = young.closed.get(&round.0).map(|(_, when)| *when) {
            return Ok(Some(when));
        }
        if let Some((_, row)) = by_row {
            return Ok(Some(row.decided));
        }
        drop(young);
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(CLOSED).map_err(|error| self.fault(error))?;
        let found = table.get(round.0).map_err(|error| self.fault(error))?;
        Ok(found.map(|found| Timestamp(found.value().1)))
    }

    /// Keeps a bet that is about to be on its way. Done when it is durable.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written.
    pub async fn keep_hold(&self, id: RequestId, text: String) -> Result<(), StoreError> {
        let (sender, durable) = oneshot::channel();
        self.send_locked(Change::Hold(id, text, sender));
        durable.await.map_err(|_| self.fault("the writer has ended"))
    }

    /// Forgets a bet that has ended.
    pub fn forget_hold(&self, id: RequestId) {
        self.send_locked(Change::HoldGone(id));
    }

    /// Keeps that provider and ledger ended a bet differently.
    pub fn put_dispute(&self, bet: &str, when: Timestamp) {
        self.send_locked(Change::Dispute(bet.to_owned(), when));
    }

    /// Keeps what an operator decided of a bet.
    pub fn put_decision(&self, bet: &str, text: String) {
        self.send_locked(Change::Decision(bet.to_owned(), text));
    }

    /// Keeps that a session is launched for a player. Done when it is durable.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written.
    pub async fn keep_session(&self, session: SessionId, player: PlayerId) -> Result<(), StoreError> {
        let (sender, durable) = oneshot::channel();
        self.send_locked(Change::Session(session, player, sender));
        durable.await.map_err(|_| self.fault("the writer has ended"))
    }

    /// Forgets a session that has ended.
    pub fn forget_session(&self, session: SessionId) {
        self.send_locked(Change::SessionGone(session));
    }

    fn send_locked(&self, change: Change) {
        // Numbers and changes go in the same order.
        let _young = lock(&self.young);
        self.send(change);
    }

    /// The bets that were on their way.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn holds(&self) -> Result<Vec<String>, StoreError> {
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(HOLDS).map_err(|error| self.fault(error))?;
        let mut found = Vec::new();
        for entry in table.range(0..).map_err(|error| self.fault(error))? {
            let (_, text) = entry.map_err(|error| self.fault(error))?;
            found.push(text.value().to_owned());
        }
        Ok(found)
    }

    /// The bets that provider and ledger ended differently.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn disputes(&self) -> Result<Vec<String>, StoreError> {
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(DISPUTES).map_err(|error| self.fault(error))?;
        let mut found = Vec::new();
        for entry in table.range::<&str>(..).map_err(|error| self.fault(error))? {
            let (bet, _) = entry.map_err(|error| self.fault(error))?;
            found.push(bet.value().to_owned());
        }
        Ok(found)
    }

    /// What operators have decided: bets on their way, as they stood then.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn decisions(&self) -> Result<Vec<String>, StoreError> {
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(DECISIONS).map_err(|error| self.fault(error))?;
        let mut found = Vec::new();
        for entry in table.range::<&str>(..).map_err(|error| self.fault(error))? {
            let (_, text) = entry.map_err(|error| self.fault(error))?;
            found.push(text.value().to_owned());
        }
        Ok(found)
    }

    /// The sessions that were launched and have not ended.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn sessions(&self) -> Result<Vec<(SessionId, PlayerId)>, StoreError> {
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(SESSIONS).map_err(|error| self.fault(error))?;
        let mut found = Vec::new();
        for entry in table.range(0..).map_err(|error| self.fault(error))? {
            let (session, player) = entry.map_err(|error| self.fault(error))?;
            let player = PlayerId::new(player.value()).ok();
            found.extend(player.map(|player| (SessionId(session.value()), player)));
        }
        Ok(found)
    }

    /// How often a session's token was changed.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn generation(&self, session: SessionId) -> Result<u8, StoreError> {
        if let Some((_, generation)) = lock(&self.young).generations.get(&session.0) {
            return Ok(*generation);
        }
        let read = self.base.begin_read().map_err(|error| self.fault(error))?;
        let table = read.open_table(GENERATIONS).map_err(|error| self.fault(error))?;
        let found = table.get(session.0).map_err(|error| self.fault(error))?;
        Ok(found.map_or(0, |found| found.value()))
    }

    /// The bets that were taken in a round, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn bets_of(&self, round: Reference) -> Result<Vec<RoundBet>, StoreError> {
        let fault = |error: Fault| self.fault(error);
        let (mut found, undone) = self.young_bets(round);
        let old = read_bets(&self.base, round).map_err(fault)?;
        for bet in old {
            if found.iter().all(|known: &RoundBet| known.bet != bet.bet) {
                found.push(bet);
            }
        }
        for bet in &mut found {
            bet.cancelled |= undone.contains(&bet.bet);
        }
        found.sort_by_key(|bet| bet.row.lsn);
        Ok(found)
    }

    /// The round's bets that are not written yet, and all that was undone and is not written yet.
    fn young_bets(&self, round: Reference) -> (Vec<RoundBet>, Vec<Reference>) {
        let young = lock(&self.young);
        let rows = || young.rows.iter().map(|(key, (_, row))| (Reference(*key), row));
        let bets = rows().filter(|(_, row)| row.round == round && is_bet(row));
        let bets = bets.map(|(bet, row)| RoundBet { bet, row: *row, cancelled: false }).collect();
        (bets, rows().filter(|(_, row)| undoes(row)).map(|(_, row)| row.bet).collect())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so on stderr.
            let _ = writer.join();
        }
    }
}

const fn is_bet(row: &Row) -> bool {
    matches!(row.kind, OperationKind::Bet | OperationKind::BetWin) && row.code.is_executed()
}

const fn undoes(row: &Row) -> bool {
    matches!(row.kind, OperationKind::Rollback)
        && matches!(row.code, ResultCode::Done | ResultCode::Shortfall | ResultCode::AlreadyCancelled)
}

const fn closes(row: &Row) -> bool {
    row.ends_round && row.code.is_executed()
}

fn create_tables(base: &Database) -> Result<(), Fault> {
    let write = base.begin_write()?;
    write.open_table(TRANSACTIONS)?;
    write.open_table(BETS)?;
    write.open_table(CANCELLED)?;
    write.open_table(CLOSED)?;
    write.open_table(GENERATIONS)?;
    write.open_table(HOLDS)?;
    write.open_table(POSITIONS)?;
    write.open_table(DISPUTES)?;
    write.open_table(DECISIONS)?;
    write.open_table(SESSIONS)?;
    write.commit()?;
    Ok(())
}

fn clear(base: &Database) -> Result<(), Fault> {
    let write = base.begin_write()?;
    write.delete_table(TRANSACTIONS)?;
    write.delete_table(BETS)?;
    write.delete_table(CANCELLED)?;
    write.delete_table(CLOSED)?;
    write.delete_table(POSITIONS)?;
    write.commit()?;
    create_tables(base)
}

fn read_bets(base: &Database, round: Reference) -> Result<Vec<RoundBet>, Fault> {
    let read = base.begin_read()?;
    let (bets, rows) = (read.open_table(BETS)?, read.open_table(TRANSACTIONS)?);
    let cancelled = read.open_table(CANCELLED)?;
    let mut found = Vec::new();
    for entry in bets.range((round.0, 0)..=(round.0, u64::MAX))? {
        let bet = entry?.1.value();
        let row = rows.get(bet)?.and_then(|bytes| Row::from_bytes(bytes.value()));
        if let Some(row) = row {
            found.push(RoundBet { bet: Reference(bet), row, cancelled: cancelled.get(bet)?.is_some() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use cage_engine::{Amount, AssetId, GameId};

    use super::*;

    fn row(kind: OperationKind, code: ResultCode, lsn: u64, bet: u128) -> Row {
        Row {
            kind,
            code,
            lsn: Lsn(lsn),
            decided: Timestamp(lsn),
            player: PlayerId::from_index(4),
            asset: AssetId(1),
            game: GameId::new(7, 1),
            session: SessionId(3),
            amount: Amount(1 << 100),
            bet: Reference(bet),
            round: Reference(5),
            tag: 9,
            ends_round: false,
            shown: Some(Amount(12)),
        }
    }

    #[test]
    fn a_row_is_the_same_after_it_was_written() {
        let row = row(OperationKind::Bet, ResultCode::InsufficientFunds, 77, 1);
        assert_eq!(Row::from_bytes(&row.to_bytes()), Some(row));
        assert_eq!(Row::from_bytes(&row.to_bytes()[1..]), None);
    }

    #[test]
    fn a_rounds_bets_are_found_young_and_old_and_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let bets = |store: &Store| {
            let found = store.bets_of(Reference(5)).expect("bets");
            found.into_iter().map(|bet| (bet.bet.0, bet.cancelled)).collect::<Vec<_>>()
        };
        let store = Store::open(dir.path()).expect("a store");
        store.put(1, row(OperationKind::Bet, ResultCode::Done, 10, 1));
        store.put(2, row(OperationKind::Bet, ResultCode::LimitNear, 11, 2));
        store.put(3, row(OperationKind::Bet, ResultCode::InsufficientFunds, 12, 3));
        assert_eq!(bets(&store), [(1, false), (2, false)], "what was refused is no bet");
        store.put(4, row(OperationKind::Rollback, ResultCode::Done, 13, 1));
        assert_eq!(bets(&store), [(1, true), (2, false)]);
        drop(store);
        let store = Store::open(dir.path()).expect("a store");
        assert_eq!(bets(&store), [(1, true), (2, false)]);
        assert_eq!(store.closed(Reference(5)).expect("a read"), None);
        store.put(6, Row { ends_round: true, ..row(OperationKind::Win, ResultCode::Done, 14, 2) });
        assert_eq!(store.closed(Reference(5)).expect("a read"), Some(Timestamp(14)));
        store.put_generation(SessionId(3), 2);
        assert_eq!(store.generation(SessionId(3)).expect("a read"), 2);
        drop(store);
        let store = Store::open(dir.path()).expect("a store");
        assert_eq!(store.closed(Reference(5)).expect("a read"), Some(Timestamp(14)));
        assert_eq!(store.generation(SessionId(3)).expect("a read"), 2);
        assert_eq!(store.get(2).expect("a read").map(|row| row.lsn), Some(Lsn(11)));
    }
}
