//! A player's statement: every movement of a period with the balance after it, and the balances before and after all.
//!
//! In: the data directory, a player, a period. Out: movements that re-add to the balances, or the place where they do not.
//! Never here: a scan of the log; the player's records are followed backwards, each names the one before it, and no further
//! than to the period's beginning. Where the newest one is, and what everything held then, the newest snapshot says, unless
//! a later segment has a newer one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cage_engine::{
    AccountId, AssetCode, AssetId, Balance, Glance, ImageFault, Lsn, OperationKind, PlayerId, Purse, Record,
    record,
};
use cage_wal::snapshot::{SnapshotParts, list};
use cage_wal::{Lookup, ReadError, RecoveryError, SnapshotError, StorageError};

use super::period::Period;
use super::table::{Batch, Column, Kind, Table, Value};
use crate::data::DataDir;

/// The columns of a statement.
pub const STATEMENT: Table = Table {
    name: "statement",
    columns: &[
        Column::new(
            "entry",
            Kind::Text,
            "`opening` and `closing` balances, and each `movement` between them",
        ),
        Column::new("lsn", Kind::Number, "the record"),
        Column::new("time", Kind::Time, "when it was decided"),
        Column::new("operation", Kind::Text, "what was done"),
        Column::new("asset", Kind::Number, "the asset's number"),
        Column::new("code", Kind::Text, "the asset's code, if a snapshot knows it"),
        Column::new("purse", Kind::Text, "which purse; below zero only `receivable`: what the player owes"),
        Column::new("amount", Kind::Amount, "what the purse rose by; below zero: what it fell by"),
        Column::new("balance", Kind::Amount, "what it holds after that"),
        Column::new("game", Kind::Number, "the game, or the chain"),
        Column::new("session", Kind::Number, "the session"),
        Column::new("counterparty", Kind::Number, "the player at the other end of a transfer"),
        Column::new("id", Kind::Id, "the request's id"),
        Column::new("reference", Kind::Id, "what it refers to"),
        Column::new("role", Kind::Text, "under which role it was asked"),
        Column::new("actor", Kind::Number, "who asked: the first bytes of the identity's digest"),
    ],
};

/// One movement on one of the player's accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The record.
    pub lsn: Lsn,
    /// Which account.
    pub account: AccountId,
    /// By how much it rose.
    pub amount: i128,
    /// What it holds after that.
    pub after: Balance,
    /// The movement's record, or the one whose legs it carries on.
    pub record: Record,
}

/// A statement that re-adds.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Whose.
    pub player: PlayerId,
    /// Codes of assets, from number 1 on, as far as they are known.
    pub codes: Vec<AssetCode>,
    /// What each account held before the period.
    pub opening: BTreeMap<AccountId, Balance>,
    /// The period's movements, in order.
    pub movements: Vec<Movement>,
    /// What each account held after it.
    pub closing: BTreeMap<AccountId, Balance>,
    /// The player's records that were read.
    pub records: u64,
    /// Snapshots that are not good, and why.
    pub passed_over: Vec<String>,
}

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementFault {
    /// The log's files contradict each other.
    #[error(transparent)]
    Log(#[from] RecoveryError<ReadError>),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The snapshots cannot be listed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no log.
    #[error("there is no log in {0}: expected a data directory with log/*.wal in it")]
    NoLog(String),
    /// The player never was in this log.
    #[error("player {0} is not in this log: expected the number that `open_player` handed out")]
    Unknown(PlayerId),
    /// A record is not what its place says.
    #[error("record {lsn}: {what}; audit the log")]
    Unfit {
        /// Which record.
        lsn: Lsn,
        /// What is wrong.
        what: String,
    },
}

fn unfit(lsn: Lsn, what: impl Into<String>) -> StatementFault {
    StatementFault::Unfit { lsn, what: what.into() }
}

/// Makes the statement of a player for a period.
///
/// # Errors
/// There is no such player, the log cannot be read, or its records do not re-add.
pub fn statement(data: &DataDir, player: PlayerId, period: Period) -> Result<Statement, StatementFault> {
    let no_log = || StatementFault::NoLog(data.root().display().to_string());
    if !data.log().is_dir() {
        return Err(no_log());
    }
    // Archived segments are not listed: those that are needed are found by their numbers.
    let mut log = Lookup::open(data.whole_log(u64::MAX))?.ok_or_else(no_log)?;
    let known = glance(data, &log, player)?;
    let tail = log.newest(cage_wal::Lsn(known.lsn.0), |bytes| record::concerns(bytes, player))?;
    let newest = tail.map(|lsn| Lsn(lsn.0)).or(known.glance.latest).unwrap_or(Lsn::NONE);
    if newest == Lsn::NONE {
        return Err(StatementFault::Unknown(player));
    }
    let walked = walk(&mut log, player, newest, &known, period)?;
    let base = known.held_before(&walked)?;
    let mut statement = add_up(player, base, &walked.movements, period)?;
    statement.codes = known.glance.assets.into_iter().map(|(code, _)| code).collect();
    (statement.records, statement.passed_over) = (walked.records, known.passed_over);
    Ok(statement)
}

/// What the newest good snapshot says.
struct Known {
    lsn: Lsn,
    glance: Glance,
    passed_over: Vec<String>,
}

impl Known {
    /// What each account held before the first record that was followed, which the snapshot says: its balances, less what
    /// moved since then. Nothing, if the player's first record was followed.
    fn held_before(&self, walked: &Walked) -> Result<BTreeMap<AccountId, Balance>, StatementFault> {
        let latest = self.glance.latest.unwrap_or(Lsn::NONE);
        if walked.latest_known != latest {
            let what = format!("the snapshot at {} names {latest} as the player's latest", self.lsn);
            return Err(unfit(walked.latest_known, what));
        }
        if walked.is_whole {
            return Ok(BTreeMap::new());
        }
        let mut held: BTreeMap<_, _> = self.glance.held.iter().copied().collect();
        for Movement { lsn, account, amount, after, .. } in walked.movements.iter().rev() {
            if *lsn > self.lsn {
                continue;
            }
            let later = held.entry(*account).or_default();
            if later != after {
                let what = format!("{account} holds {after}, later records and the snapshot say {later}");
                return Err(unfit(*lsn, what));
            }
            let before = after.0.checked_sub(*amount);
            *later = Balance(before.ok_or_else(|| unfit(*lsn, format!("{account}: impossible balances")))?);
        }
        Ok(held)
    }
}

fn glance(data: &DataDir, log: &Lookup, player: PlayerId) -> Result<Known, StatementFault> {
    let mut passed_over = Vec::new();
    let dir = data.snapshots();
    // One that is newer than what was seen of the log is of no use to a look that ended before.
    for lsn in list(&dir)?.into_iter().filter(|lsn| *lsn < log.next_lsn()) {
        let parts = SnapshotParts::open(&dir, lsn).map_err(Unusable::from);
        match parts.and_then(|found| look(found, log, player)) {
            Ok(glance) => return Ok(Known { lsn: Lsn(lsn.0), glance, passed_over }),
            Err(why) => passed_over.push(format!("the snapshot at {lsn}: {why}")),
        }
    }
    Ok(Known { lsn: Lsn::NONE, glance: Glance::default(), passed_over })
}

/// Why a snapshot is of no use here.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Damaged(#[from] SnapshotError),
    #[error(transparent)]
    Image(#[from] ImageFault),
    #[error("it belongs to another log")]
    Stranger,
}

fn look(mut snapshot: SnapshotParts, log: &Lookup, player: PlayerId) -> Result<Glance, Unusable> {
    if snapshot.facts().anchor.log != log.log_id() {
        return Err(Unusable::Stranger);
    }
    let bytes = snapshot.body_bytes();
    Glance::of(bytes, |range: Range<usize>| Ok(snapshot.part(range)?.to_vec()), player)
}

/// The player's records, as far as they were followed.
struct Walked {
    /// Their movements, in order.
    movements: Vec<Movement>,
    records: u64,
    /// The latest of them that the snapshot knows.
    latest_known: Lsn,
    /// Whether the first record of the player is among them.
    is_whole: bool,
}

/// Follows the player's records backwards: to the first one, or, if a snapshot says what was before, to the last one before
/// the period that the snapshot knows.
fn walk(
    log: &mut Lookup,
    player: PlayerId,
    newest: Lsn,
    known: &Known,
    period: Period,
) -> Result<Walked, StatementFault> {
    let mut walked = Walked { movements: Vec::new(), records: 0, latest_known: Lsn::NONE, is_whole: true };
    let mut lsn = newest;
    while lsn != Lsn::NONE {
        let head = read(log, lsn)?;
        let previous = if head.request.player == player {
            head.previous
        } else if head.request.kind.spec().counterparty && head.request.counterparty() == player {
            head.counterparty_previous()
        } else {
            return Err(unfit(lsn, format!("expected one of player {player}")));
        };
        if previous >= lsn {
            return Err(unfit(lsn, format!("it names {previous} as the record before it")));
        }
        let mut own = movements_of(player, lsn, &head, &head);
        let (mut last, mut at) = (head, lsn);
        while last.linked {
            at = at.next();
            last = read(log, at)?;
            if last.request.kind != OperationKind::Continue {
                break;
            }
            own.extend(movements_of(player, at, &last, &head));
        }
        walked.movements.extend(own.into_iter().rev());
        walked.records += 1;
        if lsn <= known.lsn {
            walked.latest_known = walked.latest_known.max(lsn);
            if period.is_before(lsn, head.decided) && previous != Lsn::NONE {
                walked.is_whole = false;
                break;
            }
        }
        lsn = previous;
    }
    walked.movements.reverse();
    Ok(walked)
}

fn read(log: &mut Lookup, lsn: Lsn) -> Result<Record, StatementFault> {
    let bytes = log.record(cage_wal::Lsn(lsn.0))?;
    Record::from_bytes(&bytes).map_err(|fault| unfit(lsn, format!("it has no valid {}", fault.0)))
}

fn movements_of(player: PlayerId, lsn: Lsn, legs: &Record, record: &Record) -> Vec<Movement> {
    let mut own = Vec::new();
    for leg in legs.legs() {
        let amount = i128::try_from(leg.amount.0).unwrap_or(i128::MAX);
        for (account, amount, after) in
            [(leg.debit, -amount, leg.debit_after), (leg.credit, amount, leg.credit_after)]
        {
            if account.player() == Some(player) || account == AccountId::receivable(account.asset(), player) {
                own.push(Movement { lsn, account, amount, after, record: *record });
            }
        }
    }
    own
}

/// Adds up, account by account, and parts what was before the period from what is in it. What is behind the period is added up
/// as well: a statement of an old period is as sure as one of all.
fn add_up(
    player: PlayerId,
    base: BTreeMap<AccountId, Balance>,
    movements: &[Movement],
    period: Period,
) -> Result<Statement, StatementFault> {
    let (mut opening, mut closing, mut held) = (base.clone(), base.clone(), base);
    let mut inside = Vec::new();
    for movement in movements {
        let Movement { lsn, account, amount, after, record } = movement;
        let before = held.entry(*account).or_default();
        if before.0.checked_add(*amount) != Some(after.0) {
            let what = format!("{account} would hold {} and {amount}, the record says {after}", before);
            return Err(unfit(*lsn, what));
        }
        *before = *after;
        if period.is_after(*lsn, record.decided) {
            continue;
        }
        closing.insert(*account, *after);
        if period.is_before(*lsn, record.decided) {
            opening.insert(*account, *after);
        } else {
            inside.push(*movement);
        }
    }
    Ok(Statement {
        player,
        codes: Vec::new(),
        opening,
        movements: inside,
        closing,
        records: 0,
        passed_over: Vec::new(),
    })
}

impl Statement {
    /// The statement's rows, batch by batch.
    ///
    /// # Errors
    /// What `write` says.
    pub fn rows<E>(&self, mut write: impl FnMut(&Batch) -> Result<(), E>) -> Result<(), E> {
        const BATCH_ROWS: usize = 1 << 16;
        let mut batch = Batch::new(STATEMENT);
        self.balances("opening", &self.opening, &mut batch);
        for movement in &self.movements {
            self.movement(movement, &mut batch);
            if batch.rows() == BATCH_ROWS {
                write(&batch)?;
                batch.clear();
            }
        }
        self.balances("closing", &self.closing, &mut batch);
        write(&batch)
    }

    fn code(&self, asset: AssetId) -> Value<'_> {
        let place = usize::from(asset.0).wrapping_sub(1);
        self.codes.get(place).map_or(Value::Missing, |code| Value::Text(code.as_str()))
    }

    /// The accounts that move in the period or hold something before or after it.
    fn accounts(&self) -> BTreeSet<AccountId> {
        let held = self.opening.iter().chain(&self.closing).filter(|(_, held)| held.0 != 0);
        let held = held.map(|(account, _)| *account);
        held.chain(self.movements.iter().map(|movement| movement.account)).collect()
    }

    /// One row for each of these.
    fn balances(&self, entry: &str, balances: &BTreeMap<AccountId, Balance>, batch: &mut Batch) {
        for account in &self.accounts() {
            let balance = balances.get(account).copied().unwrap_or_default();
            let mut row = [Value::Missing; STATEMENT.columns.len()];
            row[0] = Value::Text(entry);
            row[4] = Value::Number(account.asset().0.into());
            row[5] = self.code(account.asset());
            row[6] = Value::Text(account.purse().map_or("?", Purse::name));
            row[8] = Value::Amount(balance.0);
            batch.push(&row);
        }
    }

    fn movement(&self, movement: &Movement, batch: &mut Batch) {
        let Movement { lsn, account, amount, after, record } = movement;
        let request = &record.request;
        let other = match request.kind.spec().counterparty {
            true if request.player == self.player => request.counterparty().number(),
            true => request.player.number(),
            false => 0,
        };
        batch.push(&[
            Value::Text("movement"),
            Value::Number(lsn.0),
            Value::Time(record.decided.0),
            Value::Text(request.kind.name()),
            Value::Number(account.asset().0.into()),
            self.code(account.asset()),
            Value::Text(account.purse().map_or("?", Purse::name)),
            Value::Amount(*amount),
            Value::Amount(after.0),
            Value::some_number(request.game.0.into()),
            Value::some_number(request.session.0.into()),
            Value::some_number(other),
            Value::some_id(request.id.0),
            Value::some_id(request.reference),
            Value::Text(record.role.name()),
            Value::some_number(record.actor.into()),
        ]);
    }
}
