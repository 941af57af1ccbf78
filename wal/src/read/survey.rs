//! A first look at all files, before any frame is read: which segments are in use, which are spare, what the
//! control file says.
//!
//! In: the directory. Out: the segments in use, in order, and the unused ones after them. Never here: frames.

use crate::{
    error::{Corruption, Damage, RecoveryError, StorageError},
    format::{
        CONTROL_BYTES, ControlSlot, FORMAT_VERSION, PAGE_BYTES, SEGMENT_BYTES_MIN, SLOTS, SegmentHeader,
        SegmentHeaderFault, SlotFault, is_zero, segment_name, segment_number,
    },
    lsn::{Lsn, Position},
    storage::{FileEntry, Source, Storage},
};

use super::scanner::Mode;

/// The name of the control file.
pub(crate) const CONTROL_NAME: &str = "control";
/// What a repair leaves until it is finished.
pub(crate) const UNFINISHED_REPAIR: &str = "repair.unfinished";

/// Recovery reads this many of the last segments in use, and all unused ones, from the device and not from
/// the page cache: what was not durable when the process died is either made so now, or not believed.
pub(super) const SEGMENTS_SETTLED: usize = 2;

/// A prepared segment that holds nothing yet (or only the torn beginnings of a header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spare {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
}

/// The valid slots of the control file.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) newest: ControlSlot,
    pub(crate) other: Option<ControlSlot>,
    /// The other slot is neither valid nor expected to be empty.
    pub(crate) other_damaged: bool,
}

impl Control {
    /// All valid slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &ControlSlot> {
        std::iter::once(&self.newest).chain(&self.other)
    }
}

/// All files of a log.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) control: Option<Control>,
    /// Segments with a valid header, in order.
    pub(crate) used: Vec<SegmentHeader>,
    /// Segments without one, in order, after those in use.
    pub(crate) spares: Vec<Spare>,
    /// The first spare has a first page that is neither a header nor zero.
    pub(crate) torn_header: bool,
}

/// Looks at the files. The control file comes first, and the segments from the last to the first: so that a
/// log that grows meanwhile never looks shorter than what was read of it before.
pub(super) fn survey<E>(storage: &dyn Storage, mode: Mode) -> Result<Survey, RecoveryError<E>> {
    let files = storage.list()?;
    if files.iter().any(|file| file.name == UNFINISHED_REPAIR) {
        let detail = "a repair was begun and not finished: run it again".to_owned();
        return Err(damage(Damage::Repair, UNFINISHED_REPAIR, Position::default(), Lsn::ZERO, detail).into());
    }
    let control = read_control(storage, &files, mode)?;
    let segments = list_segments(&files)?;
    let mut headers = Vec::with_capacity(segments.len());
    let mut settled = 0;
    for segment in segments.iter().rev() {
        let settle = mode == Mode::Recovery && settled < SEGMENTS_SETTLED;
        if settle {
            storage.settle(&segment_name(segment.number))?;
        }
        let header = read_header(storage, segment, settle)?;
        settled += usize::from(header.is_ok());
        headers.push(header);
    }
    headers.reverse();
    let in_use = headers.iter().take_while(|header| header.is_ok()).count();
    let used: Vec<SegmentHeader> = headers.iter().map_while(|header| header.clone().ok()).collect();
    let spares = segments[in_use..].to_vec();
    // Without segments in use nothing says that there were any, but that the unused ones do not begin with the first.
    if let (true, Some(spare)) = (used.is_empty(), spares.first().filter(|spare| spare.number != 1)) {
        let detail = format!("the first segment here is {:#x}, and it was never used", spare.number);
        return Err(in_segment(Damage::MissingSegment, 1, 0, Lsn::FIRST, detail).into());
    }
    check_unused(&spares, &headers[in_use..], control.as_ref(), next_lsn_hint(&used))?;
    check_identity(&used, control.as_ref(), !spares.is_empty())?;
    if mode == Mode::Recovery {
        check_epochs(&used, control.as_ref())?;
    }
    let torn_header =
        headers.get(in_use).is_some_and(|header| !matches!(header, Err(SegmentHeaderFault::Unused)));
    Ok(Survey { control, used, spares, torn_header })
}

/// The LSN to report for damage after the segments in use; the scanner has not counted yet.
fn next_lsn_hint(used: &[SegmentHeader]) -> Lsn {
    used.last().map_or(Lsn::FIRST, |header| header.first_lsn)
}

fn list_segments(files: &[FileEntry]) -> Result<Vec<Spare>, Corruption> {
    let mut segments = Vec::new();
    for file in files.iter().filter(|file| file.name.ends_with(".wal")) {
        let Some(number) = segment_number(&file.name) else {
            let detail = "segments are named by sixteen hexadecimal digits, from 1".to_owned();
            return Err(damage(Damage::StrayFile, &file.name, Position::default(), Lsn::ZERO, detail));
        };
        segments.push(Spare { number, bytes: file.bytes });
    }
    segments.sort_by_key(|segment| segment.number);
    for pair in segments.windows(2) {
        let missing = pair[0].number + 1;
        if pair[1].number != missing {
            let detail = format!("segments {:#x} and {:#x} are here", pair[0].number, pair[1].number);
            return Err(in_segment(Damage::MissingSegment, missing, 0, Lsn::ZERO, detail));
        }
    }
    Ok(segments)
}

type HeaderResult = Result<SegmentHeader, SegmentHeaderFault>;

/// Reads one header page. What no crash can leave behind is an error here; the rest is for [`check_unused`].
fn read_header<E>(
    storage: &dyn Storage,
    segment: &Spare,
    past_the_cache: bool,
) -> Result<HeaderResult, RecoveryError<E>> {
    let name = segment_name(segment.number);
    if segment.bytes < SEGMENT_BYTES_MIN || !segment.bytes.is_multiple_of(PAGE_BYTES as u64) {
        let detail = format!("{} bytes is no length of a segment", segment.bytes);
        return Err(
            in_segment(Damage::SegmentLength, segment.number, segment.bytes, Lsn::ZERO, detail).into()
        );
    }
    let mut page = [0; PAGE_BYTES];
    let file = if past_the_cache { storage.open_device_read(&name)? } else { storage.open_read(&name)? };
    file.read_exact_at(0, &mut page).map_err(|error| StorageError::new("read", &name, error))?;
    let header = match SegmentHeader::decode(&page) {
        Err(SegmentHeaderFault::Newer(version)) => return Err(newer(name, version)),
        Err(fault) => return Ok(Err(fault)),
        Ok(header) => header,
    };
    if header.segment != segment.number {
        let detail = format!("its header says that it is segment {:#x}", header.segment);
        return Err(in_segment(Damage::Continuity, segment.number, 0, header.first_lsn, detail).into());
    }
    if header.segment_bytes != segment.bytes {
        let detail = format!("expected {} bytes, found {}", header.segment_bytes, segment.bytes);
        return Err(in_segment(Damage::SegmentLength, segment.number, 0, header.first_lsn, detail).into());
    }
    Ok(Ok(header))
}

/// After the segments in use there may be one header page that was being written, then only untouched
/// segments.
fn check_unused(
    spares: &[Spare],
    headers: &[HeaderResult],
    control: Option<&Control>,
    lsn: Lsn,
) -> Result<(), Corruption> {
    for (index, (spare, header)) in spares.iter().zip(headers).enumerate() {
        let claimed =
            control.is_some_and(|control| control.slots().any(|slot| slot.end.segment >= spare.number));
        let closed = control.is_some_and(|control| control.newest.clean);
        let later_in_use = headers[index..].iter().any(Result::is_ok);
        let fault = match header {
            Err(SegmentHeaderFault::Unused) if !later_in_use && !claimed => continue,
            Err(SegmentHeaderFault::Unreadable(_)) if index == 0 && !later_in_use && !claimed && !closed => {
                continue;
            }
            Err(SegmentHeaderFault::Unused) if !later_in_use => {
                "the control file says that it was in use".to_owned()
            }
            Err(SegmentHeaderFault::Unused) => "it is all zero, and a later segment is in use".to_owned(),
            Err(fault) => fault.to_string(),
            Ok(_) => continue,
        };
        return Err(in_segment(Damage::SegmentHeader, spare.number, 0, lsn, fault));
    }
    Ok(())
}

/// All segments belong to one log, the control file's; and where there are segments there is a control file.
fn check_identity(used: &[SegmentHeader], control: Option<&Control>, spares: bool) -> Result<(), Corruption> {
    let Some(control) = control else {
        if used.is_empty() && !spares {
            return Ok(());
        }
        let detail = "it is missing, and there are segments".to_owned();
        return Err(damage(Damage::Control, CONTROL_NAME, Position::default(), Lsn::ZERO, detail));
    };
    let log = control.newest.log;
    if let Some(stranger) = used.iter().find(|header| header.log != log) {
        let detail = format!("expected a segment of log {log}, found one of log {}", stranger.log);
        return Err(in_segment(Damage::Continuity, stranger.segment, 0, stranger.first_lsn, detail));
    }
    if control.other.is_some_and(|other| other.log != log) {
        let detail = "its two slots belong to different logs".to_owned();
        return Err(damage(Damage::Control, CONTROL_NAME, Position::default(), Lsn::ZERO, detail));
    }
    Ok(())
}

/// A process writes a control slot before it begins its first segment. So segments begun after the newest slot was
/// written belong to the process that wrote it. (If the other slot is damaged, it may have been the newest. And while a
/// reader looks on, the next process may begin.)
fn check_epochs(used: &[SegmentHeader], control: Option<&Control>) -> Result<(), Corruption> {
    let Some(Control { newest, other_damaged: false, .. }) = control else { return Ok(()) };
    let mut later = used.iter().filter(|header| header.segment > newest.end.segment);
    match later.find(|header| header.epoch != newest.epoch) {
        None => Ok(()),
        Some(header) => {
            let detail =
                format!("expected epoch {}, as in the control file, found {}", newest.epoch, header.epoch);
            Err(in_segment(Damage::Continuity, header.segment, 0, header.first_lsn, detail))
        }
    }
}

/// The slots of the control file that can be read, whatever else is wrong.
pub(crate) fn valid_slots(storage: &dyn Storage) -> Result<Vec<ControlSlot>, StorageError> {
    if !storage.list()?.iter().any(|file| file.name == CONTROL_NAME) {
        return Ok(Vec::new());
    }
    let bytes = storage.load(CONTROL_NAME, Source::Cache)?;
    let pages = bytes.chunks_exact(PAGE_BYTES).take(SLOTS).enumerate();
    Ok(pages.filter_map(|(index, page)| ControlSlot::decode(index, page).ok()).collect())
}

fn read_control<E>(
    storage: &dyn Storage,
    files: &[FileEntry],
    mode: Mode,
) -> Result<Option<Control>, RecoveryError<E>> {
    if !files.iter().any(|file| file.name == CONTROL_NAME) {
        return Ok(None);
    }
    let mut source = Source::Cache;
    if mode == Mode::Recovery {
        storage.settle(CONTROL_NAME)?;
        source = Source::Device;
    }
    let bytes = storage.load(CONTROL_NAME, source)?;
    let refuse = |offset: u64, detail: String| {
        damage(Damage::Control, CONTROL_NAME, Position { segment: 0, offset }, Lsn::ZERO, detail).into()
    };
    if bytes.len() as u64 != CONTROL_BYTES {
        return Err(refuse(0, format!("expected {CONTROL_BYTES} bytes, found {}", bytes.len())));
    }
    let mut slots: [Result<ControlSlot, SlotFault>; SLOTS] =
        std::array::from_fn(|index| ControlSlot::decode(index, &bytes[index * PAGE_BYTES..][..PAGE_BYTES]));
    for slot in &slots {
        if let Err(SlotFault::Newer(version)) = slot {
            return Err(newer(CONTROL_NAME.to_owned(), *version));
        }
    }
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.as_ref().map_or(0, |slot| slot.sequence)));
    let [newest, other] = slots;
    let newest = match newest {
        Ok(slot) => slot,
        Err(fault) => return Err(refuse(0, format!("neither slot is valid: {fault}"))),
    };
    let damaged = match &other {
        Ok(_) => None,
        Err(SlotFault::Unused) if newest.sequence == 1 => None,
        Err(fault) => Some(fault.to_string()),
    };
    // A slot may be torn by a loss of power, but not after an orderly close.
    if let Some(fault) = damaged.as_ref().filter(|_| newest.clean) {
        let offset = CONTROL_BYTES - PAGE_BYTES as u64 - newest.offset();
        return Err(refuse(offset, format!("the log was closed in order, and yet: {fault}")));
    }
    Ok(Some(Control { newest, other: other.ok(), other_damaged: damaged.is_some() }))
}

/// The first bytes of an unused segment are checked when the log is recovered, all of them in an audit.
pub(crate) fn check_spare_is_empty(spare: &Spare, content: &[u8], lsn: Lsn) -> Result<(), Corruption> {
    if is_zero(content) {
        return Ok(());
    }
    let offset = content.iter().position(|byte| *byte != 0).unwrap_or_default() as u64;
    let detail = "expected zeroes after its first page".to_owned();
    Err(in_segment(Damage::Spare, spare.number, PAGE_BYTES as u64 + offset, lsn, detail))
}

pub(crate) fn in_segment(kind: Damage, segment: u64, offset: u64, lsn: Lsn, detail: String) -> Corruption {
    damage(kind, &segment_name(segment), Position { segment, offset }, lsn, detail)
}

pub(crate) fn damage(kind: Damage, file: &str, position: Position, lsn: Lsn, detail: String) -> Corruption {
    Corruption { damage: kind, file: file.to_owned(), position, lsn, detail }
}

fn newer<E>(file: String, version: u16) -> RecoveryError<E> {
    RecoveryError::NewerFormat { file, version, supported: FORMAT_VERSION }
}
