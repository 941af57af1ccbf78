//! Puts a ledger together from copies of its snapshots, its archive and its log.
//!
//! In: a folder that a backup was made into, whatever of it there is. Out: a new data directory, every byte of it proven,
//! and the record up to which it goes. Never here: a change to the copies, a byte that was not proven.

use std::path::Path;

use cage_engine::State;
use cage_wal::archive::copy;
use cage_wal::snapshot::{Snapshot, SnapshotFacts, file_name, list};
use cage_wal::storage::{Directory, WholeLog};
use cage_wal::{Limits, RecoveryError, StorageError, begin_restored, scan_from};

use crate::data::DataDir;
use crate::recovery::{RecoverFault, Recovery, recover_telling};

/// How to restore.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// Leave out the segment that was being written to when it was copied.
    pub sealed_only: bool,
    /// Do not copy the archive: the ledger will be served with the one it is restored from.
    pub leave_archive: bool,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The last record.
    pub last_lsn: u64,
    /// The digest of the state after it.
    pub digest: [u8; 32],
    /// The snapshot that the state was built on; 0 = none.
    pub snapshot_lsn: u64,
    /// Segments of the log, and of its archive.
    pub segments: u64,
    /// Of these, the archive's that were copied.
    pub archived: u64,
    /// Snapshots that are not good, and why.
    pub passed_over: Vec<String>,
    /// What was cut off at the end.
    pub torn_tail: Option<String>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFault {
    /// There is something at the new place.
    #[error("{0} is there already: restore into a folder that does not exist")]
    Exists(String),
    /// The copies hold no log.
    #[error("there is no segment of a log in {0}: expected log/*.wal or archive/*.wal.zst")]
    NoLog(String),
    /// Segments are missing.
    #[error(
        "the copies have segment {found:#x}, and {missing:#x} before it is missing: no snapshot stands for it"
    )]
    Gap {
        /// The first that is missing.
        missing: u64,
        /// One that is there.
        found: u64,
    },
    /// The operating system refuses.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What was put together does not hold.
    #[error(
        "{0}. What was restored so far is no ledger. (--sealed leaves out the last segment, if it was copied while it was written)"
    )]
    Recovery(#[from] RecoverFault),
}

/// Restores the ledger whose copies are in `from` to `to`.
///
/// `progress` is told the bytes of each file that is copied, and of each frame that is proven.
///
/// # Errors
/// [`RestoreFault`]; what is at `to` then is no ledger.
pub fn restore(
    from: &DataDir,
    to: &Path,
    options: RestoreOptions,
    mut progress: impl FnMut(u64),
) -> Result<Restored, RestoreFault> {
    if to.exists() {
        return Err(RestoreFault::Exists(to.display().to_string()));
    }
    let archive = options.leave_archive.then(|| from.archive_path());
    let new = DataDir::new(to, archive);
    let log = from.whole_log(1);
    let (mut segments, last) = used_segments(from, &log, options)?;
    let mut passed_over = Vec::new();
    let snapshots = copy_snapshots(from, &new, last, &mut passed_over, &mut progress)?;
    let first = snapshots.last().map_or(1, |oldest| oldest.anchor.end.segment + 1);
    needed(&mut segments, first.min(last))?;
    let hot = Directory::create(&new.log())?;
    begin_restored(&hot, &log, &segments, snapshots.last().map(|oldest| (oldest.anchor, oldest.epoch)))?;
    for number in &segments {
        let name = format!("{number:016x}.wal");
        copy(&log, &hot, &name)?;
        progress(length(&hot, &name));
    }
    let archived =
        if options.leave_archive { 0 } else { copy_archive(from, &new, &segments, &mut progress)? };
    let Recovery { state, log: recovered, snapshot, .. } = recover_telling(&new, None, &mut progress)?;
    let torn_tail = recovered.report().torn_tail.as_ref().map(|tail| tail.reason.clone());
    drop(recovered);
    prove_between(&new, &snapshots)?;
    Ok(Restored {
        last_lsn: state.next_lsn().0 - 1,
        digest: State::digest(&state),
        snapshot_lsn: snapshot.map_or(0, |facts| facts.anchor.lsn.0),
        segments: segments.len() as u64,
        archived,
        passed_over,
        torn_tail,
    })
}

/// Copies the snapshots that are good and that the log goes up to, the newest first.
fn copy_snapshots(
    from: &DataDir,
    new: &DataDir,
    last: u64,
    passed_over: &mut Vec<String>,
    progress: &mut impl FnMut(u64),
) -> Result<Vec<SnapshotFacts>, StorageError> {
    let (source, dir) = (from.snapshots(), new.make_snapshots()?);
    let mut copied = Vec::new();
    for lsn in list(&source)? {
        let facts = match Snapshot::open(&source, lsn) {
            Ok(found) => found.facts(),
            Err(why) => {
                passed_over.push(why.to_string());
                continue;
            }
        };
        let end = facts.anchor.end.segment;
        if end > last {
            passed_over.push(format!(
                "the snapshot at {lsn} is left out: it ends in segment {end:#x}, and the last one of the copies is {last:#x}"
            ));
            continue;
        }
        copied.push(facts);
        copy(&source, &dir, &file_name(lsn))?;
        progress(length(&dir, &file_name(lsn)));
    }
    Ok(copied)
}

/// The segments that are in use, and the last of them.
fn used_segments(
    from: &DataDir,
    log: &WholeLog,
    options: RestoreOptions,
) -> Result<(Vec<u64>, u64), RestoreFault> {
    let mut all = log.segments()?;
    // Prepared ones are made anew.
    let unused = all.iter().rev().take_while(|number| !is_used(log, **number)).count();
    all.truncate(all.len() - unused - usize::from(options.sealed_only && all.len() > unused));
    let last = all.last().copied();
    last.map(|last| (all, last)).ok_or_else(|| RestoreFault::NoLog(from.root().display().to_string()))
}

/// Leaves those that the new log's own folder gets: all from `first` on.
fn needed(segments: &mut Vec<u64>, first: u64) -> Result<(), RestoreFault> {
    segments.retain(|number| *number >= first);
    match (first..).zip(segments.iter()).find(|(expected, found)| expected != *found) {
        Some((missing, found)) => Err(RestoreFault::Gap { missing, found: *found }),
        None => Ok(()),
    }
}

/// The bytes of a file that was just copied.
fn length(dir: &Directory, name: &str) -> u64 {
    std::fs::metadata(dir.path().join(name)).map_or(0, |found| found.len())
}

/// Whether a segment has a header.
fn is_used(log: &WholeLog, number: u64) -> bool {
    use cage_wal::storage::Storage as _;
    let mut magic = [0; 4];
    let file = log.open_read(&format!("{number:016x}.wal"));
    file.is_ok_and(|file| file.read_exact_at(0, &mut magic).is_ok()) && magic != [0; 4]
}

/// Copies what is archived and not unpacked into the log's own folder.
fn copy_archive(
    from: &DataDir,
    new: &DataDir,
    unpacked: &[u64],
    progress: &mut impl FnMut(u64),
) -> Result<u64, StorageError> {
    let (source, archive) = (from.archive(), new.make_archive()?);
    let mut numbers = source.segments()?;
    numbers.retain(|number| !unpacked.contains(number));
    for number in &numbers {
        source.copy_to(&archive, *number)?;
        let name = format!("{number:016x}.wal.zst");
        progress(std::fs::metadata(new.archive_path().join(name)).map_or(0, |found| found.len()));
    }
    Ok(numbers.len() as u64)
}

/// The log between the snapshots, which a fall-back to the older ones would need.
fn prove_between(new: &DataDir, snapshots: &[SnapshotFacts]) -> Result<(), RestoreFault> {
    let Some(oldest) = snapshots.last() else { return Ok(()) };
    let log = new.whole_log(oldest.anchor.end.segment + 1);
    match scan_from(&log, Limits::after(oldest.anchor), |_| Ok::<_, crate::recovery::ReplayFault>(())) {
        Ok(_) => Ok(()),
        Err(RecoveryError::Storage(fault)) => Err(fault.into()),
        Err(fault) => Err(RecoverFault::Log(fault).into()),
    }
}
