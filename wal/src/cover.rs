//! What covers a log: snapshots of what its records lead to, and copies of its older segments in an archive.
//!
//! In: three directories, and an image that knows what records lead to. Out: one more snapshot, read back and compared
//! before it got its name; the older of two decides which segments leave for the archive. Never here: what a record
//! means, the log's lock, a byte that is still on its way to the disk, a clock.

use std::{error::Error, sync::Arc};

use crate::{
    archive::Archive,
    error::{ArchiveError, Corruption, RecoveryError, SnapshotError, StorageError},
    format::segment_number,
    lsn::{Epoch, Lsn},
    read::{Anchor, FrameView, Limits, ScanReport, scan_from},
    snapshot::{self, Snapshot, SnapshotFacts, SnapshotWriter, list},
    storage::{Storage, WholeLog},
};

/// Snapshots that are kept: the newest, and one to fall back to.
const SNAPSHOTS_KEPT: usize = 2;

/// What the records of a log lead to, as bytes and back.
pub trait Image: Sized {
    /// Why a record cannot be applied.
    type Fault: Error + 'static;
    /// The newest rules that it knows.
    const RULES_VERSION: u32;

    /// Before the first record.
    fn empty() -> Self;

    /// From the body of a snapshot.
    ///
    /// # Errors
    /// The bytes are no image, and why.
    fn read(body: &[u8]) -> Result<Self, String>;

    /// Gives its bytes away, piece by piece.
    ///
    /// # Errors
    /// What `take` says.
    fn write(&self, take: &mut dyn FnMut(&[u8]) -> Result<(), StorageError>) -> Result<(), StorageError>;

    /// Applies the records of the next frame.
    ///
    /// # Errors
    /// A record does not fit.
    fn apply(&mut self, frame: &FrameView<'_>) -> Result<(), Self::Fault>;

    /// One value for all of it.
    fn digest(&self) -> [u8; 32];

    /// The record that it expects.
    fn next_lsn(&self) -> Lsn;
}

/// Why a start does not go on from any snapshot, nor from the log's beginning.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// The folder cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A newer program wrote the newest one.
    #[error("{0}")]
    NewerFormat(SnapshotError),
    /// A program with newer rules wrote the newest one.
    #[error(
        "the snapshot at {lsn} was made under rules {found}, this build knows up to {known}: use a newer one"
    )]
    NewerRules {
        /// After which record.
        lsn: Lsn,
        /// Its rules.
        found: u32,
        /// This build's.
        known: u32,
    },
}

/// Where to go on from.
#[derive(Debug)]
pub struct Base<I> {
    /// The state of the newest good snapshot; an empty one if there is none.
    pub state: I,
    /// What is known of that snapshot.
    pub facts: Option<SnapshotFacts>,
    /// Newer ones that are not good, and why.
    pub passed_over: Vec<String>,
}

impl<I: Image> Base<I> {
    /// The log's beginning.
    #[must_use]
    pub fn empty() -> Self {
        Self { state: I::empty(), facts: None, passed_over: Vec::new() }
    }

    /// Where the log goes on; none = at its beginning.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        self.facts.map(|facts| facts.anchor)
    }

    /// The first segment that is needed.
    #[must_use]
    pub fn first_segment(&self) -> u64 {
        self.anchor().map_or(1, |anchor| anchor.end.segment + 1)
    }
}

/// Loads the newest snapshot that is good, of those for which `wants` says yes.
///
/// # Errors
/// [`LoadFault`]. A damaged snapshot is none: it is passed over, and told.
pub fn load<I: Image>(dir: &dyn Storage, wants: impl Fn(Lsn) -> bool) -> Result<Base<I>, LoadFault> {
    let mut passed_over = Vec::new();
    for lsn in list(dir)?.into_iter().filter(|lsn| wants(*lsn)) {
        match open(dir, lsn) {
            Ok((state, facts)) => return Ok(Base { state, facts: Some(facts), passed_over }),
            Err(NotGood::Refused(fault)) => return Err(fault),
            Err(NotGood::Damaged(why)) => passed_over.push(why),
        }
    }
    Ok(Base { passed_over, ..Base::empty() })
}

/// Why a snapshot is not used.
enum NotGood {
    Damaged(String),
    Refused(LoadFault),
}

fn open<I: Image>(dir: &dyn Storage, lsn: Lsn) -> Result<(I, SnapshotFacts), NotGood> {
    let snapshot = Snapshot::open(dir, lsn).map_err(|fault| match fault {
        fault @ SnapshotError::NewerFormat { .. } => NotGood::Refused(LoadFault::NewerFormat(fault)),
        fault => NotGood::Damaged(fault.to_string()),
    })?;
    let facts = snapshot.facts();
    let (found, known) = (facts.rules_version, I::RULES_VERSION);
    if found > known {
        return Err(NotGood::Refused(LoadFault::NewerRules { lsn, found, known }));
    }
    let of_it = |what: String| NotGood::Damaged(format!("the snapshot at {lsn}: {what}"));
    let state = I::read(snapshot.body()).map_err(of_it)?;
    if state.next_lsn() != lsn.next() {
        return Err(of_it(format!("its image is of the state before record {}", state.next_lsn())));
    }
    Ok((state, facts))
}

/// Where a log and all that covers it lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// What people call all of it.
    pub name: String,
    /// The log's own directory.
    pub log: Arc<dyn Storage>,
    /// That of its snapshots.
    pub snapshots: Arc<dyn Storage>,
    /// Its archive.
    pub archive: Archive,
}

impl Places {
    /// The log with its archive, for readers. Archived segments are listed from number `from` on.
    #[must_use]
    pub fn whole_log(&self, from: u64) -> WholeLog {
        WholeLog::new(Arc::clone(&self.log), self.archive.clone(), from)
    }
}

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
pub enum MakeFault<F: Error + 'static> {
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
    Log(#[from] RecoveryError<F>),
    /// The device does not give back what was written.
    #[error("the new snapshot was read back and is not what was written: {0}. It was not used")]
    NotReadBack(String),
    /// The oldest segment of the log's folder is damaged. The snapshot was made, if there was anything to make one of.
    #[error(
        "the snapshots are good, but no segment leaves the log's folder any more, because the oldest is damaged: {0}. \
         Put a good copy of it in its place (a replica's, a backup's), and the next attempt goes on; until then the \
         folder grows"
    )]
    Stuck(Box<Corruption>),
    /// A segment could not be archived. The snapshot was made, if there was anything to make one of.
    #[error("the snapshots are good, but a segment was not archived: {0}. It stays in the log's folder")]
    Archive(ArchiveError),
    /// There is no log.
    #[error("there is no log in {0}: expected a data directory with log/*.wal in it")]
    NoLog(String),
}

impl<F: Error + 'static> From<ArchiveError> for MakeFault<F> {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Corruption(corruption) => Self::Stuck(corruption),
            other => Self::Archive(other),
        }
    }
}

impl<F: Error + 'static> MakeFault<F> {
    /// Whether a segment of the log is damaged: until a good copy is in its place, no attempt gets further.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Stuck(_) | Self::Log(RecoveryError::Corruption(_)))
    }
}

/// Makes a snapshot of all that is sealed, and archives what the older one of two covers. `now_ns` is for people who look
/// at the snapshot.
///
/// # Errors
/// [`MakeFault`]; what was there before is still there.
pub fn make<I: Image>(places: &Places, keep: Keep, now_ns: u64) -> Result<Made, MakeFault<I::Fault>> {
    make_telling::<I>(places, keep, now_ns, &mut |_| {})
}

/// [`make`], and `progress` is told the bytes of each frame that is applied.
///
/// # Errors
/// As [`make`].
pub fn make_telling<I: Image>(
    places: &Places,
    keep: Keep,
    now_ns: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Made, MakeFault<I::Fault>> {
    if places.log.list()?.is_empty() {
        return Err(MakeFault::NoLog(places.name.clone()));
    }
    let dir = &*places.snapshots;
    dir.make()?;
    let Some(_lock) = dir.lock()? else { return Err(MakeFault::Busy(places.name.clone())) };
    snapshot::remove_unfinished(dir)?;
    let base = load::<I>(dir, |_| true)?;
    let (before, passed_over) = (base.facts, base.passed_over.clone());
    let (state, report) = catch_up(places, base, progress)?;
    let anchor = report.anchor().filter(|anchor| anchor.lsn.0 > before.map_or(0, |facts| facts.anchor.lsn.0));
    let mut made = Made { records: report.records, passed_over, ..Made::default() };
    let covered = match anchor {
        Some(anchor) => {
            let epoch = report.epoch.or_else(|| before.map(|facts| facts.epoch)).unwrap_or(Epoch(0));
            let (rules_version, digest) = (I::RULES_VERSION, state.digest());
            let facts = SnapshotFacts { anchor, epoch, rules_version, digest, created_ns: now_ns };
            made.bytes = write(dir, state, &facts)?;
            (made.lsn, made.digest) = (anchor.lsn.0, facts.digest);
            before.map(|facts| facts.anchor)
        }
        None => {
            drop(state);
            (made.lsn, made.records) = (before.map_or(0, |facts| facts.anchor.lsn.0), 0);
            made.digest = before.map_or([0; 32], |facts| facts.digest);
            fall_back(dir, &mut made)?
        }
    };
    if let Some(covered) = covered {
        retire(dir, covered)?;
        made.archived = archive(places, covered, keep)?;
    }
    Ok(made)
}

/// Applies what was sealed since the last snapshot.
fn catch_up<I: Image>(
    places: &Places,
    base: Base<I>,
    progress: &mut dyn FnMut(u64),
) -> Result<(I, ScanReport), MakeFault<I::Fault>> {
    let log = places.whole_log(base.first_segment());
    let limits = Limits { after: base.anchor(), sealed: true, ..Limits::default() };
    let mut state = base.state;
    let report = scan_from(&log, limits, |frame| {
        progress(frame.bytes().len() as u64);
        state.apply(&frame)
    })?;
    assert_eq!(state.next_lsn(), report.next_lsn, "the state is that of the last sealed record");
    Ok((state, report))
}

/// Writes a snapshot, reads it back past the page cache, compares, and gives it its name; its length. The state is let
/// go before the second one is made of what was read: there is never more than one.
fn write<I: Image>(dir: &dyn Storage, state: I, facts: &SnapshotFacts) -> Result<u64, MakeFault<I::Fault>> {
    write_and_prove(dir, state, facts).inspect_err(|_| {
        // A disk that is full needs its space now. What went wrong is told, and the next attempt removes what this one cannot.
        drop(snapshot::remove_unfinished(dir));
    })
}

fn write_and_prove<I: Image>(
    dir: &dyn Storage,
    state: I,
    facts: &SnapshotFacts,
) -> Result<u64, MakeFault<I::Fault>> {
    let mut writer = SnapshotWriter::begin(dir, facts.anchor.lsn)?;
    state.write(&mut |piece| writer.write(piece))?;
    drop(state);
    let unproven = writer.finish(facts)?;
    let snapshot = unproven.read_back().map_err(|fault| match fault {
        SnapshotError::Storage(fault) => MakeFault::Storage(fault),
        fault => MakeFault::NotReadBack(fault.to_string()),
    })?;
    let again = I::read(snapshot.body()).map_err(MakeFault::NotReadBack)?;
    if again.digest() != facts.digest || snapshot.facts() != *facts {
        return Err(MakeFault::NotReadBack("the state in it has another digest".to_owned()));
    }
    let bytes = snapshot.bytes();
    unproven.publish()?;
    Ok(bytes)
}

/// The newest good snapshot before the one that was made last.
fn fall_back(dir: &dyn Storage, made: &mut Made) -> Result<Option<Anchor>, StorageError> {
    for lsn in list(dir)?.into_iter().filter(|lsn| lsn.0 < made.lsn) {
        match Snapshot::open(dir, lsn) {
            Ok(found) => return Ok(Some(found.facts().anchor)),
            Err(fault) => made.passed_over.push(fault.to_string()),
        }
    }
    Ok(None)
}

/// Removes the snapshots before the one to fall back to.
fn retire(dir: &dyn Storage, kept: Anchor) -> Result<(), StorageError> {
    let older = list(dir)?.into_iter().skip(SNAPSHOTS_KEPT).filter(|lsn| *lsn < kept.lsn);
    older.into_iter().try_for_each(|lsn| snapshot::retire(dir, lsn))
}

/// Archives the segments up to the place that both snapshots cover, the oldest first; how many.
fn archive(places: &Places, covered: Anchor, keep: Keep) -> Result<u64, ArchiveError> {
    let mut segments: Vec<_> = places.log.list()?;
    segments.retain(|file| segment_number(&file.name).is_some());
    segments.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let mut hot_bytes: u64 = segments.iter().map(|file| file.bytes).sum();
    let mut archived = 0;
    for file in segments {
        hot_bytes -= file.bytes;
        let number = segment_number(&file.name).unwrap_or(u64::MAX);
        if number > covered.end.segment || hot_bytes < keep.hot_bytes {
            break;
        }
        if archived == 0 {
            places.archive.make()?;
        }
        places.archive.take(&*places.log, number, |_| Ok(()))?;
        archived += 1;
    }
    Ok(archived)
}
