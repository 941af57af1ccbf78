//! All records of a period and their movements, as tables for a data team.
//!
//! In: the log with its archive, verified as for an audit. Out: a folder with files of records and files of legs, each
//! as long as the next, and a page that says what is in it, written last. Never here: more than a few files' records in
//! memory, an amount that lost a digit, a folder that somebody else uses.
//!
//! One thread reads and verifies; the others write, each a file of its own.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use cage_engine::{AccountId, Lsn, Purse, Record};
use cage_wal::{FrameView, Limits, RecoveryError, ScanReport, scan_from};
use serde::Serialize;

use super::fields;
use super::output::{Format, WholeFile, sink};
use super::period::{Bound, Period};
use super::table::{Batch, Column, Kind, Table, Value};
use crate::cli::hex;
use crate::data::DataDir;
use crate::limits::{EXPORT_FILE_RECORDS, EXPORT_GROUP_RECORDS};
use crate::recovery::{self, ReplayFault};

/// The columns of records.
pub const RECORDS: Table = Table {
    name: "records",
    columns: &[
        Column::new("lsn", Kind::Number, "its place in the log"),
        Column::new("time", Kind::Time, "when it was decided"),
        Column::new("operation", Kind::Text, "what was asked"),
        Column::new("result", Kind::Text, "the answer"),
        Column::new("result_number", Kind::Number, "the answer's number; below 100: executed"),
        Column::new("player", Kind::Number, "the player"),
        Column::new("asset", Kind::Number, "the asset"),
        Column::new("amount", Kind::Amount, "the amount that was asked for"),
        Column::new("game", Kind::Number, "the game (its upper 12 bits are the provider), or the chain"),
        Column::new("session", Kind::Number, "the session"),
        Column::new("id", Kind::Id, "request id, permanent key or a provider's transaction"),
        Column::new("reference", Kind::Id, "what it refers to: a hold, a bet, a round, a withdrawal, …"),
        Column::new("role", Kind::Text, "under which role it was asked"),
        Column::new("actor", Kind::Number, "who asked: the first bytes of the identity's digest"),
        Column::new("permission", Kind::Number, "the lower 16 bits of the grant"),
        Column::new("received_age_micros", Kind::Number, "how long before the decision it was received"),
        Column::new("previous", Kind::Number, "the player's record before this one"),
        Column::new("ends_round", Kind::Flag, "whether the round ends with it"),
        Column::new("linked", Kind::Flag, "whether the next record belongs to this one"),
        Column::new("detail", Kind::Text, "the operation's other fields, as JSON; amounts are strings"),
    ],
};

/// The columns of legs.
pub const LEGS: Table = Table {
    name: "legs",
    columns: &[
        Column::new("lsn", Kind::Number, "the record"),
        Column::new("leg", Kind::Number, "which of its legs, from 1"),
        Column::new("time", Kind::Time, "when it was decided"),
        Column::new("operation", Kind::Text, "what was asked"),
        Column::new("asset", Kind::Number, "the asset"),
        Column::new("amount", Kind::Amount, "how much moved"),
        Column::new("debit", Kind::Number, "the number of the account that fell"),
        Column::new("debit_purse", Kind::Text, "its purse"),
        Column::new("debit_owner", Kind::Number, "its owner: a player, provider, chain or pool"),
        Column::new("debit_after", Kind::Amount, "what it holds after that"),
        Column::new("credit", Kind::Number, "the number of the account that rose"),
        Column::new("credit_purse", Kind::Text, "its purse"),
        Column::new("credit_owner", Kind::Number, "its owner"),
        Column::new("credit_after", Kind::Amount, "what it holds after that"),
    ],
};

/// What was exported: the page beside the tables.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The log.
    pub log: String,
    /// The first record; 0 = there is none.
    pub first_lsn: u64,
    /// The last.
    pub last_lsn: u64,
    /// The chain after the frame that was read last: what else is known of it can be compared.
    pub chain_head: String,
    /// How many records.
    pub records: u64,
    /// How many legs.
    pub legs: u64,
    /// How many files of each table.
    pub files: u64,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// The log cannot be read, or is damaged.
    #[error(transparent)]
    Log(#[from] RecoveryError<Stop>),
    /// There is no log.
    #[error("there is no log in {0}: expected a data directory with log/*.wal in it")]
    NoLog(PathBuf),
    /// The folder holds something.
    #[error("{0} is not empty: name a folder that is new")]
    Taken(PathBuf),
    /// A file cannot be written.
    #[error("cannot write below {path}: {source}")]
    Write {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A thread died: a bug.
    #[error("a thread that wrote files panicked")]
    Panicked,
}

/// Writes all records of a period to `out`, a new folder. `progress` is told the bytes that were read.
///
/// # Errors
/// The log is damaged (what stands before the damage was written; there is no page), the folder is taken, or a file
/// cannot be written.
pub fn export(
    data: &DataDir,
    out: &Path,
    format: Format,
    period: Period,
    progress: impl FnMut(u64),
) -> Result<Exported, ExportFault> {
    if !data.log().is_dir() {
        return Err(ExportFault::NoLog(data.root().to_owned()));
    }
    let write_fault = |source| ExportFault::Write { path: out.to_owned(), source };
    make_folders(out).map_err(|fault| match fault.kind() {
        io::ErrorKind::AlreadyExists => ExportFault::Taken(out.to_owned()),
        _ => write_fault(fault),
    })?;
    let writer = Writer { out, format, failed: AtomicBool::new(false) };
    let (scanned, told) = run(data, &writer, period, progress)?;
    let told = told.map_err(write_fault)?;
    let exported = Exported {
        log: scanned.log.map_or_else(String::new, |log| log.to_string()),
        first_lsn: told.first_lsn,
        last_lsn: told.last_lsn,
        chain_head: hex(scanned.chain_head.as_bytes()),
        records: told.records,
        legs: told.legs,
        files: told.files,
    };
    let page = serde_json::to_string_pretty(&exported).map_err(io::Error::from).map_err(write_fault)?;
    fs::write(out.join("export.json"), page + "\n").map_err(write_fault)?;
    Ok(exported)
}

fn make_folders(out: &Path) -> io::Result<()> {
    fs::create_dir_all(out)?;
    if fs::read_dir(out)?.next().is_some() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    [RECORDS, LEGS].iter().try_for_each(|table| fs::create_dir(out.join(table.name)))
}

/// Some records in the order of the log.
type Chunk = Vec<(Lsn, Record)>;

/// What came of one writer, or of all.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    first_lsn: u64,
    last_lsn: u64,
    records: u64,
    legs: u64,
    files: u64,
}

impl Told {
    fn add(&mut self, other: &Self) {
        if self.first_lsn == 0 || (other.first_lsn != 0 && other.first_lsn < self.first_lsn) {
            self.first_lsn = other.first_lsn;
        }
        self.last_lsn = self.last_lsn.max(other.last_lsn);
        self.records += other.records;
        self.legs += other.legs;
        self.files += other.files;
    }
}

type Outcome = (ScanReport, io::Result<Told>);

fn run(
    data: &DataDir,
    writer: &Writer<'_>,
    period: Period,
    mut progress: impl FnMut(u64),
) -> Result<Outcome, ExportFault> {
    let writers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // Nobody waits here: a chunk is handed over when somebody is free to write it.
    let (full, chunks) = sync_channel(0);
    let (empty, used) = sync_channel(writers + 1);
    // Only the writers have it: when none is left, whoever reads does not wait for them.
    let chunks = Arc::new(Mutex::new(chunks));
    let mut reader = Reader { period, filling: Chunk::new(), full, used, failed: &writer.failed };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                let (chunks, empty) = (Arc::clone(&chunks), empty.clone());
                scope.spawn(move || writer.write_all(&chunks, &empty))
            })
            .collect();
        drop((chunks, empty));
        let scanned = scan_from(&data.whole_log(1), limits(period), |frame| {
            progress(frame.bytes().len() as u64);
            reader.frame(&frame)
        });
        // Without a fault of the log the rest counts; with one the page is missing anyway.
        let _sent = reader.send();
        drop(reader);
        let mut all = Ok(Told::default());
        for thread in threads {
            match (thread.join().map_err(|_| ExportFault::Panicked)?, &mut all) {
                (Ok(told), Ok(all)) => all.add(&told),
                (Err(fault), Ok(_)) => all = Err(fault),
                (_, Err(_)) => {}
            }
        }
        match scanned {
            Ok(scanned) => Ok((scanned, all)),
            // A writer that failed stopped the reader: its fault is the cause.
            Err(fault) => match all {
                Err(cause) => Err(ExportFault::Write { path: writer.out.to_owned(), source: cause }),
                Ok(_) => Err(fault.into()),
            },
        }
    })
}

/// Where to begin and end, as far as positions say so.
fn limits(period: Period) -> Limits {
    let mut limits = Limits::default();
    if let Some(Bound::Lsn(from)) = period.from {
        limits.from = cage_wal::Lsn(from.0.max(1));
    }
    if let Some(Bound::Lsn(until)) = period.until {
        limits.until = Some(cage_wal::Lsn(until.0));
    }
    limits
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Stop {
    /// A record cannot be read.
    #[error(transparent)]
    Unreadable(ReplayFault),
    /// Nobody writes any more: a bug, unless a writer says why.
    #[error("nobody writes the records that are read")]
    NoWriters,
}

/// The side that reads.
struct Reader<'a> {
    period: Period,
    filling: Chunk,
    full: SyncSender<Chunk>,
    /// Chunks that were written, for their room.
    used: Receiver<Chunk>,
    /// A writer could not write.
    failed: &'a AtomicBool,
}

impl Reader<'_> {
    fn frame(&mut self, frame: &FrameView<'_>) -> Result<(), Stop> {
        for (lsn, record) in recovery::records(frame).map_err(Stop::Unreadable)? {
            let record = record.map_err(Stop::Unreadable)?;
            if !self.period.holds(lsn, record.decided) {
                continue;
            }
            self.filling.push((lsn, record));
            if self.filling.len() == EXPORT_FILE_RECORDS {
                self.send().map_err(|()| Stop::NoWriters)?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), ()> {
        if self.filling.is_empty() {
            return Ok(());
        }
        let mut next = self.used.try_recv().unwrap_or_else(|_| Vec::with_capacity(EXPORT_FILE_RECORDS));
        next.clear();
        let chunk = std::mem::replace(&mut self.filling, next);
        if self.failed.load(Ordering::Relaxed) { Err(()) } else { self.full.send(chunk).map_err(|_| ()) }
    }
}

/// The side that writes.
struct Writer<'a> {
    out: &'a Path,
    format: Format,
    /// Somebody could not write: there is no point in reading on.
    failed: AtomicBool,
}

impl Writer<'_> {
    fn write_all(&self, chunks: &Mutex<Receiver<Chunk>>, empty: &SyncSender<Chunk>) -> io::Result<Told> {
        let mut all = Told::default();
        let (mut records, mut legs) = (Batch::new(RECORDS), Batch::new(LEGS));
        loop {
            let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(chunk) = next else { return Ok(all) };
            match self.write(&chunk, &mut records, &mut legs) {
                Ok(told) => all.add(&told),
                Err(fault) => {
                    self.failed.store(true, Ordering::Relaxed);
                    return Err(fault);
                }
            }
            // If nobody wants the room it is given back.
            let _ = empty.try_send(chunk);
        }
    }

    /// One file of each table.
    fn write(&self, chunk: &[(Lsn, Record)], records: &mut Batch, legs: &mut Batch) -> io::Result<Told> {
        let (Some((first, _)), Some((last, _))) = (chunk.first(), chunk.last()) else {
            return Ok(Told::default());
        };
        let (whole_records, file) = WholeFile::begin(self.path(RECORDS, *first))?;
        let mut record_sink = sink(self.format, RECORDS, file)?;
        let (whole_legs, file) = WholeFile::begin(self.path(LEGS, *first))?;
        let mut leg_sink = sink(self.format, LEGS, file)?;
        let mut leg_count = 0;
        let mut detail = String::new();
        for group in chunk.chunks(EXPORT_GROUP_RECORDS) {
            records.clear();
            legs.clear();
            for (lsn, record) in group {
                push_record(records, *lsn, record, &mut detail);
                push_legs(legs, *lsn, record);
            }
            leg_count += legs.rows() as u64;
            record_sink.write(records)?;
            leg_sink.write(legs)?;
        }
        record_sink.finish()?;
        leg_sink.finish()?;
        whole_records.publish()?;
        whole_legs.publish()?;
        let records = chunk.len() as u64;
        Ok(Told { first_lsn: first.0, last_lsn: last.0, records, legs: leg_count, files: 1 })
    }

    fn path(&self, table: Table, first: Lsn) -> PathBuf {
        let name = format!("{}-{:016}.{}", table.name, first.0, self.format.suffix());
        self.out.join(table.name).join(name)
    }
}

fn push_record(batch: &mut Batch, lsn: Lsn, record: &Record, detail: &mut String) {
    let request = &record.request;
    fields::detail_json(request, detail);
    batch.push(&[
        Value::Number(lsn.0),
        Value::Time(record.decided.0),
        Value::Text(request.kind.name()),
        Value::Text(record.result.name()),
        Value::Number(record.result.number().into()),
        Value::some_number(request.player.number()),
        Value::some_number(request.asset.0.into()),
        Value::amount(request.amount.0),
        Value::some_number(request.game.0.into()),
        Value::some_number(request.session.0.into()),
        Value::some_id(request.id.0),
        Value::some_id(request.reference),
        Value::Text(record.role.name()),
        Value::some_number(record.actor.into()),
        Value::some_number(record.grant.into()),
        Value::Number(record.received_age.micros()),
        Value::some_number(record.previous.0),
        Value::Flag(request.ends_round),
        Value::Flag(record.linked),
        Value::some_text(detail),
    ]);
}

fn push_legs(batch: &mut Batch, lsn: Lsn, record: &Record) {
    let purse = |account: AccountId| Value::Text(account.purse().map_or("?", Purse::name));
    for (number, leg) in (1..).zip(record.legs()) {
        batch.push(&[
            Value::Number(lsn.0),
            Value::Number(number),
            Value::Time(record.decided.0),
            Value::Text(record.request.kind.name()),
            Value::Number(leg.debit.asset().0.into()),
            Value::amount(leg.amount.0),
            Value::Number(leg.debit.0),
            purse(leg.debit),
            Value::Number(leg.debit.owner()),
            Value::Amount(leg.debit_after.0),
            Value::Number(leg.credit.0),
            purse(leg.credit),
            Value::Number(leg.credit.owner()),
            Value::Amount(leg.credit_after.0),
        ]);
    }
}
