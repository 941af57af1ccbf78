//! A copy of a data directory in which one thing is not as it was: so that anybody can see an audit find it.
//!
//! In: a data directory, a record, a change. Out: a copy with that change, and in words what it is. Never here: a write to the
//! original, a private key in the copy.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cage_engine::{Amount, Balance, Leg, Lsn, RECORD_BYTES, Record};
use cage_wal::forge::{ForgeFault, Forged, Mend, forge};

use crate::data::DataDir;

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// One bit of the record, counted from its first byte's lowest.
    FlipBit(usize),
    /// The record is taken out.
    Remove,
    /// More money moves: in the amount, its first leg and the balances after it.
    AddToAmount(u128),
}

/// Why there is no such copy.
#[derive(Debug, thiserror::Error)]
pub enum TamperError {
    /// It would be in the way of something.
    #[error("{path}: expected a folder that does not exist yet, and is not in the original", path = path.display())]
    CopyThere {
        /// Where.
        path: PathBuf,
    },
    /// There is no log to copy.
    #[error("there is no log in {path}: expected a data directory with log/*.wal in it", path = path.display())]
    NoLog {
        /// Where.
        path: PathBuf,
    },
    /// A file cannot be copied.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be changed there.
    #[error("{0}{hint}", hint = hint(.0))]
    Forge(#[from] ForgeFault),
    /// The record cannot be changed like that.
    #[error("record {lsn} {why}: name another one")]
    Unfit {
        /// Which.
        lsn: Lsn,
        /// Why.
        why: &'static str,
    },
}

/// What to do about a record that is not there.
const fn hint(fault: &ForgeFault) -> &'static str {
    match fault {
        ForgeFault::NoRecord { lsn, first, .. } if lsn.0 < first.0 => {
            "; it is in the archive, whose files are not changed here: restore the log first (cage restore)"
        }
        _ => "",
    }
}

/// What was changed.
#[derive(Clone, Copy, Debug)]
pub struct Tampered {
    /// Which record.
    pub lsn: Lsn,
    /// How.
    pub change: Change,
    /// What was made to fit.
    pub mend: Mend,
    /// Where it is.
    pub forged: Forged,
}

impl fmt::Display for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lsn, change, mend, forged } = self;
        match change {
            Change::FlipBit(bit) => write!(f, "record {lsn}: bit {bit} is another one")?,
            Change::Remove => write!(f, "record {lsn}: taken out")?,
            Change::AddToAmount(more) => write!(f, "record {lsn}: {more} more moves than was decided")?,
        }
        write!(f, " (segment {:016x}, offset {}); ", forged.segment, forged.offset)?;
        f.write_str(match mend {
            Mend::Nothing => "nothing was mended",
            Mend::Checksums => "the checksums of its frame fit",
            Mend::Chain => "all checksums and the whole chain fit",
        })
    }
}

/// Copies the data directory `from` to `to` and changes record `lsn` there.
///
/// # Errors
/// [`TamperError`]; a copy that was begun is removed.
pub fn tamper(
    from: &DataDir,
    to: &Path,
    lsn: Lsn,
    change: Change,
    mend: Mend,
) -> Result<Tampered, TamperError> {
    if !from.log().is_dir() {
        return Err(TamperError::NoLog { path: from.root().to_owned() });
    }
    make_folder(from.root(), to)?;
    let done = copy_all(from, to).and_then(|copy| apply(&copy.log(), lsn, change, mend));
    match done {
        Ok(forged) => Ok(Tampered { lsn, change, mend, forged }),
        Err(reason) => {
            // It was made just now, and nobody was told of it.
            let _ = fs::remove_dir_all(to);
            Err(reason)
        }
    }
}

/// A new folder, which lies outside of the original.
fn make_folder(from: &Path, to: &Path) -> Result<(), TamperError> {
    let there = || TamperError::CopyThere { path: to.to_owned() };
    let absolute = std::path::absolute(to).map_err(fault(to))?;
    let above = absolute.ancestors().find(|above| above.exists()).ok_or_else(there)?;
    let above = above.canonicalize().map_err(fault(to))?;
    if to.exists() || above.starts_with(from.canonicalize().map_err(fault(from))?) {
        return Err(there());
    }
    fs::create_dir_all(to).map_err(fault(to))
}

fn fault(path: &Path) -> impl FnOnce(io::Error) -> TamperError {
    let path = path.to_owned();
    move |source| TamperError::File { path, source }
}

/// The log, the snapshots, the archive; no certificates, no keys.
fn copy_all(from: &DataDir, to: &Path) -> Result<DataDir, TamperError> {
    let copy = DataDir::new(to, None);
    copy_folder(&from.log(), &copy.log())?;
    copy_folder(from.snapshots().path(), copy.snapshots().path())?;
    copy_folder(from.archive_path(), copy.archive_path())?;
    Ok(copy)
}

/// A folder's files: first the log's control file, so that what it vouches for is in the segments that are copied after it.
fn copy_folder(from: &Path, to: &Path) -> Result<(), TamperError> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to).map_err(fault(to))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(from).map_err(fault(from))? {
        let path = entry.map_err(fault(from))?.path();
        if path.is_file() && path.file_name().is_some_and(|name| name != "lock") {
            files.push(path);
        }
    }
    files.sort_by_key(|path| (path.file_name().is_none_or(|name| name != "control"), path.clone()));
    for path in files {
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, to.join(name)).map_err(fault(&path))?;
    }
    Ok(())
}

fn apply(log: &Path, lsn: Lsn, change: Change, mend: Mend) -> Result<Forged, TamperError> {
    let mut unfit = None;
    let forged = forge(log, cage_wal::Lsn(lsn.0), mend, |records, at| match change {
        Change::FlipBit(bit) => records[at][bit / 8] ^= 1 << (bit % 8),
        Change::Remove => drop(records.remove(at)),
        Change::AddToAmount(more) => match with_more(&records[at], more) {
            Ok(record) => records[at] = record,
            Err(why) => unfit = Some(why),
        },
    })?;
    unfit.map_or(Ok(forged), |why| Err(TamperError::Unfit { lsn, why }))
}

/// The record as if more had been decided: consistent in itself, so that only what comes before and after gives it away.
fn with_more(bytes: &[u8; RECORD_BYTES], more: u128) -> Result<[u8; RECORD_BYTES], &'static str> {
    let record = Record::from_bytes(bytes).map_err(|_| "cannot be read")?;
    let [first, rest @ ..] = record.legs() else { return Err("moves no money") };
    let too_much = "would move more than there can be";
    let plus = |amount: Amount| amount.0.checked_add(more).map(Amount).ok_or(too_much);
    let signed = i128::try_from(more).map_err(|_| too_much)?;
    let mut forged = Record::new(record.request, record.result, record.role, record.actor, record.decided);
    (forged.grant, forged.received_age) = (record.grant, record.received_age);
    (forged.previous, forged.linked) = (record.previous, record.linked);
    forged.request.amount = plus(record.request.amount)?;
    forged.push_leg(Leg {
        amount: plus(first.amount)?,
        debit_after: Balance(first.debit_after.0.checked_sub(signed).ok_or(too_much)?),
        credit_after: Balance(first.credit_after.0.checked_add(signed).ok_or(too_much)?),
        ..*first
    });
    rest.iter().for_each(|leg| forged.push_leg(*leg));
    Ok(forged.to_bytes())
}
