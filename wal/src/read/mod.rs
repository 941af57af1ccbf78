//! Reading a log from its first bytes to its end, and proving every one of them.
//!
//! In: a directory that may have been through anything. Out: verified frames in order, and either the end of
//! the log (perhaps with a torn tail, which is cut) or the exact place of the damage. Never here: a write, a
//! truncation, a frame that does not continue the one before.

mod ahead;
mod check;
#[cfg(test)]
mod forged;
mod inspect;
mod lookup;
mod scanner;
mod scrub;
mod search;
mod survey;
mod tail;

use std::{path::Path, sync::Arc};

use crate::{
    error::RecoveryError,
    format::{ControlSlot, FrameHeader, HEADER_BYTES, Record, SegmentHeader, SegmentIdentity},
    lsn::{ChainHash, Epoch, LogId, Lsn, Position},
    storage::{Directory, Lock, Storage},
};

pub(crate) use check::check_segment;
pub use inspect::{FrameInfo, Inspection, SegmentInfo, SegmentState, SlotContent, SlotInfo, inspect};
pub use lookup::Lookup;
use scanner::{Mode, Scanner};
pub use scrub::{Scrubbed, scrub_segment, segment_numbers};
pub(crate) use search::{OpenSegments, Search, begun_with_chain};
pub(crate) use survey::{CONTROL_NAME, Spare, UNFINISHED_REPAIR, in_segment, valid_slots};

/// One verified frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// The log.
    pub log: LogId,
    /// The epoch of the process that wrote it.
    pub epoch: Epoch,
    /// Where the frame begins.
    pub position: Position,
    /// Version of the rules that decided its records.
    pub rules_version: u32,
    /// LSN of its first record.
    pub first_lsn: Lsn,
    /// LSN of its last record.
    pub last_lsn: Lsn,
    /// What was durable when the frame was built.
    pub durable_lsn: Lsn,
    /// Time of its last record, in nanoseconds, as the caller's records count it.
    pub time_ns: u64,
    /// The chain before this frame.
    pub previous_chain: ChainHash,
    /// The chain after this frame.
    pub chain: ChainHash,
    bytes: &'a [u8],
    count: usize,
}

impl<'a> FrameView<'a> {
    /// `frame` is exactly the verified frame.
    pub(crate) fn new(
        identity: &SegmentIdentity,
        position: Position,
        header: &FrameHeader,
        frame: &'a [u8],
    ) -> Self {
        Self {
            log: identity.log,
            epoch: identity.epoch,
            position,
            rules_version: header.rules_version,
            first_lsn: header.first_lsn,
            last_lsn: header.next_lsn().previous(),
            durable_lsn: header.durable_lsn,
            time_ns: header.time_ns,
            previous_chain: header.previous_chain,
            chain: ChainHash::of_frame(frame),
            bytes: frame,
            count: header.records as usize,
        }
    }

    /// Reads a frame that stands alone, without its segment: a proof's. Its header is checked, and nothing that lies
    /// outside it; whoever trusts its hash trusts its records.
    ///
    /// # Errors
    /// What is not as in a frame, in words.
    pub fn alone(frame: &'a [u8]) -> Result<Self, String> {
        let (identity, header) = SegmentIdentity::of_frame(frame).map_err(|fault| fault.to_string())?;
        if frame.len() != header.frame_bytes() {
            return Err(format!("expected {} bytes, found {}", header.frame_bytes(), frame.len()));
        }
        let position = Position { segment: identity.segment, offset: 0 };
        Ok(Self::new(&identity, position, &header, frame))
    }

    /// The records, in order; the first one has [`first_lsn`](Self::first_lsn).
    pub fn records(&self) -> impl ExactSizeIterator<Item = &'a Record> + use<'a> {
        self.bytes[HEADER_BYTES..].as_chunks().0[..self.count].iter()
    }

    /// The whole frame as it lies in the file: header, records, padding.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Bytes at the end of the log that were being written when the power was lost. No record in them was ever
/// acknowledged; they are not read, and the next segment's header seals them as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where the first frame that does not verify begins.
    pub position: Position,
    /// The LSN that its first record would have had.
    pub lsn: Lsn,
    /// Bytes from there to the last one that is not zero.
    pub bytes: u64,
    /// Frame headers found after it: parts of the same, unfinished write.
    pub frames_after: u64,
    /// Why the first one does not verify.
    pub reason: String,
}

/// A repair that was carried out with somebody's consent. What it gave up is not in the log any more; that it was given up
/// is, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The segment that it began.
    pub segment: u64,
    /// The first LSN that was given up; the log goes on with it.
    pub lost_from: Lsn,
    /// The last LSN that is known to have been given up; before `lost_from` if nothing was.
    pub lost_until: Lsn,
    /// When, nanoseconds since 1970.
    pub time_ns: u64,
    /// BLAKE3 of the report that the repair wrote.
    pub report: [u8; 32],
}

impl Repair {
    pub(crate) fn of(header: &SegmentHeader) -> Option<Self> {
        header.repair.map(|mark| Self {
            segment: header.segment,
            lost_from: header.first_lsn,
            lost_until: mark.lost_until,
            time_ns: header.created_ns,
            report: mark.report,
        })
    }

    /// Whether records were given up.
    #[must_use]
    pub fn lost_any(&self) -> bool {
        self.lost_until >= self.lost_from
    }

    /// What was given up, as `cage repair` and `cage audit` spell it: `FROM-UNTIL`, or `none`.
    #[must_use]
    pub fn loss(&self) -> String {
        if self.lost_any() { format!("{}-{}", self.lost_from, self.lost_until) } else { "none".to_owned() }
    }
}

/// What the newest valid slot of the control file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlInfo {
    /// The epoch of the process that wrote it.
    pub epoch: Epoch,
    /// How many slots that log has written.
    pub sequence: u64,
    /// What was durable.
    pub durable_lsn: Lsn,
    /// The chain there.
    pub chain: ChainHash,
    /// The end of the log then.
    pub end: Position,
    /// When it was written, nanoseconds since 1970.
    pub time_ns: u64,
    /// Whether the log was closed in order.
    pub clean: bool,
    /// Whether the other slot is readable too. `false` is expected only after a loss of power.
    pub other_slot_valid: bool,
}

/// What a scan found.
#[derive(Clone, Debug)]
pub struct ScanReport {
    /// The log; `None` in an empty directory.
    pub log: Option<LogId>,
    /// The epoch of the last segment that was read; `None` if none was.
    pub epoch: Option<Epoch>,
    /// LSN of the first record that was read (or would have been).
    pub first_lsn: Lsn,
    /// The LSN after the last record.
    pub next_lsn: Lsn,
    /// The chain after the last frame.
    pub chain_head: ChainHash,
    /// The end of the last frame, or of the header of a segment without frames.
    pub end: Position,
    /// Segments read.
    pub segments: u64,
    /// Frames read.
    pub frames: u64,
    /// Records read.
    pub records: u64,
    /// Bytes of these frames, padding included.
    pub bytes: u64,
    /// Repairs that were carried out, oldest first.
    pub repairs: Vec<Repair>,
    /// A write that was cut off at the end of the log.
    pub torn_tail: Option<TornTail>,
    /// A segment whose header was being written when the power was lost; it holds no frame.
    pub torn_segment_header: Option<u64>,
    /// The control file; `None` in an empty directory.
    pub control: Option<ControlInfo>,
    /// Whether the scan went to the end of the log, and not only to [`Limits::until`].
    pub complete: bool,
}

/// A place between two frames that was proven before, by somebody who kept it: all that lies before it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The log.
    pub log: LogId,
    /// The last record before it.
    pub lsn: Lsn,
    /// The chain there.
    pub chain: ChainHash,
    /// The end of the last frame before it, or of the header of a segment without frames.
    pub end: Position,
}

/// Which part of the log to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Begin after this place, which the log has to continue; segments before it may be missing. Then `from` says
    /// nothing.
    pub after: Option<Anchor>,
    /// Read only segments that have a successor: nothing in them can still be on its way to the disk.
    pub sealed: bool,
    /// Begin with the segment that holds this LSN. What that segment's header says of all before it is taken
    /// on trust; earlier segments may be missing. `Lsn(1)` begins with the first segment and trusts nothing.
    pub from: Lsn,
    /// Stop after the frame that holds this LSN; what lies after it is not looked at.
    pub until: Option<Lsn>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { after: None, sealed: false, from: Lsn::FIRST, until: None }
    }
}

impl Limits {
    /// From the segment that holds `lsn` to the end of the log.
    #[must_use]
    pub const fn from(lsn: Lsn) -> Self {
        Self { after: None, sealed: false, from: lsn, until: None }
    }

    /// From a place that was proven before to the end of the log.
    #[must_use]
    pub const fn after(anchor: Anchor) -> Self {
        Self { after: Some(anchor), sealed: false, from: Lsn::FIRST, until: None }
    }
}

/// A log whose every byte (from [`Limits::from`] on) is proven, with the writer's lock held. Open it to
/// append.
#[derive(Debug)]
pub struct Recovered {
    pub(crate) report: ScanReport,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) lock: Box<dyn Lock>,
    pub(crate) spares: Vec<Spare>,
    pub(crate) control: Option<ControlSlot>,
    /// BLAKE3 of the bytes after the end of the last segment, or zeroes if there are only zeroes.
    pub(crate) rest: [u8; 32],
    /// First LSN and end offset of each segment, also of those before [`Limits::from`].
    pub(crate) segments: Vec<SegmentExtent>,
}

/// Where a segment's frames lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentExtent {
    pub(crate) number: u64,
    pub(crate) epoch: Epoch,
    pub(crate) first_lsn: Lsn,
    /// End of the last frame; grows while this is the live segment.
    pub(crate) end: u64,
}

impl ScanReport {
    /// The place up to which the log was proven; `None` in an empty directory.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        let (lsn, chain, end) = (self.next_lsn.previous(), self.chain_head, self.end);
        self.log.map(|log| Anchor { log, lsn, chain, end })
    }
}

impl Recovered {
    /// What was found.
    #[must_use]
    pub const fn report(&self) -> &ScanReport {
        &self.report
    }
}

/// Reads the whole log in `dir`, which is created unless it exists, and takes the writer's lock. Each frame
/// goes to `visit`, in order, as soon as it is verified. An empty directory is a log without records.
///
/// # Errors
/// Another writer has the log, the log is damaged (see [`Corruption`](crate::Corruption)), the operating
/// system refuses, or `visit` does. Frames before the place of the damage have then been visited.
pub fn recover<E>(
    dir: &Path,
    visit: impl FnMut(FrameView<'_>) -> Result<(), E>,
) -> Result<Recovered, RecoveryError<E>> {
    recover_from(Directory::create(dir)?, Limits::default(), visit)
}

/// [`recover`] for any storage, and from any segment or proven place on. The limits must not end before the log does.
///
/// # Errors
/// As [`recover`].
///
/// # Panics
/// If the limits end before the log does: one that was not read to its end cannot be appended to.
pub fn recover_from<S: Storage, E>(
    storage: S,
    limits: Limits,
    visit: impl FnMut(FrameView<'_>) -> Result<(), E>,
) -> Result<Recovered, RecoveryError<E>> {
    assert!(limits.until.is_none() && !limits.sealed, "recovery reads to the end of the log");
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let Some(lock) = storage.lock()? else {
        return Err(RecoveryError::Locked { file: "lock".to_owned() });
    };
    let found = Scanner::new(&*storage, Mode::Recovery, limits).run(visit)?;
    Ok(Recovered {
        report: found.report,
        lock,
        spares: found.spares,
        control: found.control,
        rest: found.rest,
        segments: found.segments,
        storage,
    })
}

/// Reads a log without the lock and without writing anything, for auditors and printers. A log that is being
/// written to may be scanned; the frames in flight at its end then look like a torn tail.
///
/// # Errors
/// As [`recover`], except that the lock plays no part.
pub fn scan<E>(
    dir: &Path,
    limits: Limits,
    visit: impl FnMut(FrameView<'_>) -> Result<(), E>,
) -> Result<ScanReport, RecoveryError<E>> {
    scan_from(&Directory::existing(dir), limits, visit)
}

/// [`scan`] for any storage.
///
/// # Errors
/// As [`scan`].
pub fn scan_from<E>(
    storage: &dyn Storage,
    limits: Limits,
    visit: impl FnMut(FrameView<'_>) -> Result<(), E>,
) -> Result<ScanReport, RecoveryError<E>> {
    Ok(Scanner::new(storage, Mode::Audit, limits).run(visit)?.report)
}
