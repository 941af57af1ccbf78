//! Makes a snapshot: the last one, and what was sealed since; then lets go what it covers.
//!
//! In: a data directory, beside whose server it may run. Out: one more snapshot, read back and compared; the older of
//! two decides which segments are archived. Never here: the log's lock, a byte that is still on its way to the disk.

use std::time::{SystemTime, UNIX_EPOCH};

use cage_engine::State;
use cage_wal::archive::Archive;
use cage_wal::snapshot::{self, Snapshot, SnapshotFacts, SnapshotWriter, list};
use cage_wal::storage::{Directory, Storage};
use cage_wal::{
    Anchor, ArchiveError, Limits, RecoveryError, ScanReport, SnapshotError, StorageError, scan_from,
};

use super::{Base, LoadFault, load};
use crate::data::DataDir;
use crate::recovery::{ReplayFault, replay};

/// Snapshots that are kept: the newest, and one to fall back to.
const SNAPSHOTS_KEPT: usize = 2;

/// What stays in the log's own folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// At least so many bytes of sealed segments.
    pub hot_bytes: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The record after which the newest snapshot is; 0 = there is none.
    pub lsn: u64,
    /// Records that were applied to the one before it; 0 = nothing was sealed since, and none was made.
    pub records: u64,
    /// Bytes of the new snapshot.
    pub bytes: u64,
    /// The digest of its state.
    pub digest: [u8; 32],
    /// Segments that went to the archive.
    pub archived: u64,
    /// Snapshots that are not good, and why.
    pub passed_over: Vec<String>,
}

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeFault {
    /// Another process makes one.
    #[error("snapshots of {0} are being made by another process")]
    Busy(String),
    /// No snapshot to go on from can be used, nor the log's beginning.
    #[error(transparent)]
    Load(#[from] LoadFault),
    /// The operating system refuses.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log is damaged, or cannot be read.
    #[error(transparent)]
    Log(#[from] RecoveryError<ReplayFault>),
    /// The device does not give back what was written.
    #[error("the new snapshot was read back and is not what was written: {0}. It was not used")]
    NotReadBack(String),
    /// A segment could not be archived. The snapshot was made, if there was anything to make one of.
    #[error("the snapshots are good, but a segment was not archived: {0}. It stays in the log's folder")]
    Archive(#[from] ArchiveError),
    /// There is no log.
    #[error("there is no log in {0}: expected a data directory with log/*.wal in it")]
    NoLog(String),
}

/// Makes a snapshot of all that is sealed, and archives what the older one of two covers.
///
/// # Errors
/// [`MakeFault`]; what was there before is still there.
pub fn make(data: &DataDir, keep: Keep) -> Result<Made, MakeFault> {
    let root = data.root().display().to_string();
    if !data.log().is_dir() {
        return Err(MakeFault::NoLog(root));
    }
    let dir = data.make_snapshots()?;
    let Some(_lock) = dir.lock()? else { return Err(MakeFault::Busy(root)) };
    snapshot::remove_unfinished(&dir)?;
    let base = load(&dir, rand::random(), |_| true)?;
    let (before, passed_over) = (base.facts, base.passed_over.clone());
    let (state, report) = catch_up(data, base)?;
    let anchor = report.anchor().filter(|anchor| anchor.lsn.0 > before.map_or(0, |facts| facts.anchor.lsn.0));
    let mut made = Made { records: report.records, passed_over, ..Made::default() };
    let covered = match anchor {
        Some(anchor) => {
            let epoch =
                report.epoch.or_else(|| before.map(|facts| facts.epoch)).unwrap_or(cage_wal::Epoch(0));
            let rules_version = cage_engine::RULES_VERSION;
            let created_ns = now_ns();
            let facts = SnapshotFacts { anchor, epoch, rules_version, digest: state.digest(), created_ns };
            made.bytes = write(&dir, state, &facts)?;
            (made.lsn, made.digest) = (anchor.lsn.0, facts.digest);
            before.map(|facts| facts.anchor)
        }
        None => {
            drop(state);
            (made.lsn, made.records) = (before.map_or(0, |facts| facts.anchor.lsn.0), 0);
            made.digest = before.map_or([0; 32], |facts| facts.digest);
            fall_back(&dir, made.lsn)?
        }
    };
    if let Some(covered) = covered {
        retire(&dir, covered)?;
        made.archived = archive(data, covered, keep)?;
    }
    Ok(made)
}

/// Applies what was sealed since the last snapshot.
fn catch_up(data: &DataDir, base: Base) -> Result<(State, ScanReport), MakeFault> {
    let log = data.whole_log(base.first_segment());
    let limits = Limits { after: base.anchor(), sealed: true, ..Limits::default() };
    let mut state = base.state;
    let report = scan_from(&log, limits, |frame| replay(&mut state, &frame))?;
    assert_eq!(state.next_lsn().0, report.next_lsn.0, "the state is that of the last sealed record");
    Ok((state, report))
}

/// Writes a snapshot, reads it back past the page cache, compares, and gives it its name; its length. The state is let
/// go before the second one is made of what was read: there is never more than one.
fn write(dir: &Directory, state: State, facts: &SnapshotFacts) -> Result<u64, MakeFault> {
    let mut writer = SnapshotWriter::begin(dir, facts.anchor.lsn)?;
    state.write_image(|piece| writer.write(piece))?;
    drop(state);
    let unproven = writer.finish(facts)?;
    let differs = |what: &dyn std::fmt::Display| MakeFault::NotReadBack(what.to_string());
    let snapshot = unproven.read_back().map_err(|fault| match fault {
        SnapshotError::Storage(fault) => MakeFault::Storage(fault),
        fault => differs(&fault),
    })?;
    let again = State::from_image(snapshot.body(), rand::random()).map_err(|fault| differs(&fault))?;
    if again.digest() != facts.digest || snapshot.facts() != *facts {
        return Err(differs(&"the state in it has another digest"));
    }
    let bytes = snapshot.bytes();
    unproven.publish()?;
    Ok(bytes)
}

/// The newest good snapshot before the one at `newest`.
fn fall_back(dir: &Directory, newest: u64) -> Result<Option<Anchor>, MakeFault> {
    let older = list(dir)?.into_iter().filter(|lsn| lsn.0 < newest);
    Ok(older.filter_map(|lsn| Snapshot::open(dir, lsn).ok()).map(|found| found.facts().anchor).next())
}

/// Removes the snapshots before the one to fall back to.
fn retire(dir: &Directory, kept: Anchor) -> Result<(), StorageError> {
    let older = list(dir)?.into_iter().skip(SNAPSHOTS_KEPT).filter(|lsn| *lsn < kept.lsn);
    older.into_iter().try_for_each(|lsn| snapshot::retire(dir, lsn))
}

/// Archives the segments up to the place that both snapshots cover, the oldest first; how many.
fn archive(data: &DataDir, covered: Anchor, keep: Keep) -> Result<u64, ArchiveError> {
    let log = Directory::existing(&data.log());
    let mut segments: Vec<_> = log.list()?;
    segments.retain(|file| segment_number(&file.name).is_some());
    segments.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let mut hot_bytes: u64 = segments.iter().map(|file| file.bytes).sum();
    let (mut archived, mut archive): (u64, Option<Archive>) = (0, None);
    for file in segments {
        hot_bytes -= file.bytes;
        let number = segment_number(&file.name).unwrap_or(u64::MAX);
        if number > covered.end.segment || hot_bytes < keep.hot_bytes {
            break;
        }
        let archive = match &mut archive {
            Some(archive) => archive,
            none => none.insert(data.make_archive()?),
        };
        archive.take(&log, number, |_| Ok(()))?;
        archived += 1;
    }
    Ok(archived)
}

fn segment_number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".wal")?, 16).ok()
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
