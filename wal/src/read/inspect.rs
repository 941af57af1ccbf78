//! A look at the files of a log one by one, for people: what each says of itself, and whether that is so.
//!
//! In: a storage. Out: the control file's slots and every segment with its frames counted, also of a log that does not
//! open. Never here: a verdict over the whole, a write.

use crate::{
    error::StorageError,
    format::{
        ControlSlot, PAGE_BYTES, SLOTS, SegmentHeader, SegmentHeaderFault, segment_name, segment_number,
    },
    lsn::{ChainHash, Epoch, LogId, Lsn, Position},
    storage::{Source, Storage},
};

use super::{Repair, check::check_segment, survey::CONTROL_NAME};

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// A later segment continues it: no byte of it changes any more.
    Sealed,
    /// The last one in use.
    Live,
    /// Prepared, and not used yet.
    Spare,
    /// Its header is not one.
    Unreadable,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// What it is.
    pub state: SegmentState,
    /// Bytes of its file.
    pub bytes: u64,
    /// The process that wrote it; like all that follows nothing without a header.
    pub epoch: Option<Epoch>,
    /// LSN of its first record, or of the one that comes next.
    pub first_lsn: Lsn,
    /// The LSN after its last record.
    pub next_lsn: Lsn,
    /// The chain after its last frame.
    pub chain: Option<ChainHash>,
    /// When its header was written, nanoseconds since 1970.
    pub created_ns: u64,
    /// Frames.
    pub frames: u64,
    /// Records.
    pub records: u64,
    /// Where its frames end.
    pub end: u64,
    /// Bytes behind that that are not zeroes: a torn tail, or damage.
    pub rest_bytes: u64,
    /// What was given up by the repair that began it.
    pub repair: Option<Repair>,
    /// What is not as it should be, as far as the segment and its neighbour say.
    pub fault: Option<String>,
}

/// One slot of the control file.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// Which of the two.
    pub index: usize,
    /// What it says, or why it cannot be read.
    pub content: Result<SlotContent, String>,
}

/// What a slot says.
#[derive(Clone, Debug)]
pub struct SlotContent {
    /// The log.
    pub log: LogId,
    /// The process that wrote it.
    pub epoch: Epoch,
    /// How many were written up to this one.
    pub sequence: u64,
    /// What was durable.
    pub durable_lsn: Lsn,
    /// The chain there.
    pub chain: ChainHash,
    /// The end of the log then.
    pub end: Position,
    /// When, nanoseconds since 1970.
    pub time_ns: u64,
    /// Whether the log was closed in order.
    pub clean: bool,
}

/// All files of a log.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The control file's slots; none if there is no such file.
    pub slots: Vec<SlotInfo>,
    /// The segments, by number.
    pub segments: Vec<SegmentInfo>,
    /// Files that are neither.
    pub others: Vec<String>,
}

/// One frame of a segment.
#[derive(Clone, Copy, Debug)]
pub struct FrameInfo {
    /// Where it begins.
    pub offset: u64,
    /// Its bytes, padding included.
    pub bytes: u64,
    /// LSN of its first record.
    pub first_lsn: Lsn,
    /// Records.
    pub records: u32,
    /// What was durable when it was built.
    pub durable_lsn: Lsn,
    /// Time of its last record, nanoseconds since 1970.
    pub time_ns: u64,
    /// The chain after it.
    pub chain: ChainHash,
}

/// Looks at all files. `visit` is told each frame, with the number of its segment.
///
/// # Errors
/// The operating system refuses.
pub fn inspect(
    storage: &dyn Storage,
    mut visit: impl FnMut(u64, FrameInfo),
) -> Result<Inspection, StorageError> {
    let files = storage.list()?;
    let mut found = Inspection { slots: Vec::new(), segments: Vec::new(), others: Vec::new() };
    let mut segments = Vec::new();
    for file in &files {
        match segment_number(&file.name) {
            Some(number) => segments.push((number, file.bytes)),
            None if file.name == CONTROL_NAME => found.slots = slots(storage)?,
            None => found.others.push(file.name.clone()),
        }
    }
    segments.sort_unstable();
    found.others.sort_unstable();
    for (number, bytes) in segments {
        let segment = segment(storage, number, bytes, &mut visit)?;
        found.segments.push(segment);
    }
    seal(&mut found.segments);
    Ok(found)
}

/// Whoever has a neighbour with a header is sealed by it.
fn seal(segments: &mut [SegmentInfo]) {
    for index in 1..segments.len() {
        let (before, after) = segments.split_at_mut(index);
        let (Some(before), Some(after)) = (before.last_mut(), after.first()) else { return };
        if before.state != SegmentState::Live || after.epoch.is_none() {
            continue;
        }
        before.state = SegmentState::Sealed;
        if before.next_lsn != after.first_lsn {
            let what = format!("the next segment begins with LSN {}", after.first_lsn);
            before.fault = Some(match before.fault.take() {
                Some(fault) => format!("{fault}; {what}"),
                None => what,
            });
        }
    }
}

fn slots(storage: &dyn Storage) -> Result<Vec<SlotInfo>, StorageError> {
    let bytes = storage.load(CONTROL_NAME, Source::Cache)?;
    let slot = |index: usize| {
        let page = bytes.get(index * PAGE_BYTES..(index + 1) * PAGE_BYTES);
        let read = page.map(|page| ControlSlot::decode(index, page));
        let content = match read {
            None => Err("the file is too short".to_owned()),
            Some(Err(fault)) => Err(fault.to_string()),
            Some(Ok(slot)) => Ok(SlotContent {
                log: slot.log,
                epoch: slot.epoch,
                sequence: slot.sequence,
                durable_lsn: slot.durable_lsn,
                chain: slot.chain,
                end: slot.end,
                time_ns: slot.time_ns,
                clean: slot.clean,
            }),
        };
        SlotInfo { index, content }
    };
    Ok((0..SLOTS).map(slot).collect())
}

fn segment(
    storage: &dyn Storage,
    number: u64,
    bytes: u64,
    visit: &mut impl FnMut(u64, FrameInfo),
) -> Result<SegmentInfo, StorageError> {
    let name = segment_name(number);
    let file = storage.open_read(&name)?;
    let mut page = vec![0; PAGE_BYTES.min(usize::try_from(bytes).unwrap_or(PAGE_BYTES))];
    file.read_exact_at(0, &mut page).map_err(|error| StorageError::new("read", &name, error))?;
    let mut info = SegmentInfo {
        number,
        state: SegmentState::Unreadable,
        bytes,
        epoch: None,
        first_lsn: Lsn::ZERO,
        next_lsn: Lsn::ZERO,
        chain: None,
        created_ns: 0,
        frames: 0,
        records: 0,
        end: 0,
        rest_bytes: 0,
        repair: None,
        fault: None,
    };
    let header = match SegmentHeader::decode(&page) {
        Ok(header) if header.segment == number && header.segment_bytes == bytes => header,
        Ok(header) => {
            let (segment, length) = (header.segment, header.segment_bytes);
            info.fault = Some(format!("its header is that of segment {segment:#x} of {length} bytes"));
            return Ok(info);
        }
        Err(SegmentHeaderFault::Unused) => {
            info.state = SegmentState::Spare;
            return Ok(info);
        }
        Err(fault) => {
            info.fault = Some(format!("its header: {fault}"));
            return Ok(info);
        }
    };
    let mut told = |offset, frame: &crate::format::FrameHeader, chain| {
        visit(
            number,
            FrameInfo {
                offset,
                bytes: frame.frame_bytes() as u64,
                first_lsn: frame.first_lsn,
                records: frame.records,
                durable_lsn: frame.durable_lsn,
                time_ns: frame.time_ns,
                chain,
            },
        );
    };
    let checked = check_segment(&*file, &header, &mut |_| true, &mut told)
        .map_err(|error| StorageError::new("read", &name, error))?;
    Ok(SegmentInfo {
        state: SegmentState::Live,
        epoch: Some(header.epoch),
        first_lsn: header.first_lsn,
        next_lsn: checked.next,
        chain: Some(checked.chain),
        created_ns: header.created_ns,
        frames: checked.frames,
        records: checked.records,
        end: checked.end,
        rest_bytes: checked.rest_bytes,
        repair: Repair::of(&header),
        fault: checked.fault.map(|fault| format!("at offset {}: {fault}", checked.end)),
        ..info
    })
}
