//! Walks the frames of all segments in order and checks each against the one before.
//!
//! In: the survey of the files. Out: each verified frame to the visitor, and a report of the whole. Never
//! here: a frame whose checksums, place, LSN or chain do not fit.

use std::ops::Range;

use crate::{
    error::{Corruption, Damage, RecoveryError, StorageError},
    format::{
        ControlSlot, FrameFault, FrameHeader, NO_REST, PAGE, PAGE_BYTES, SegmentHeader, SegmentIdentity,
        is_zero, segment_name,
    },
    lsn::{ChainHash, LogId, Lsn, Position},
    storage::{Content, Source, Storage},
};

use super::{
    Anchor, ControlInfo, FrameView, Limits, Repair, ScanReport, SegmentExtent,
    ahead::each_ahead,
    survey::{Control, SEGMENTS_SETTLED, Spare, Survey, check_spare_is_empty, in_segment, survey},
    tail::{Tail, judge},
};

/// Recovery looks at this much of each unused segment, an audit at all of it.
const SPARE_BYTES_CHECKED: usize = 1 << 20;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The next writer, alone with the files.
    Recovery,
    /// Anybody; a writer may be at work.
    Audit,
}

/// What a whole scan found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) report: ScanReport,
    pub(super) spares: Vec<Spare>,
    pub(super) control: Option<ControlSlot>,
    pub(super) rest: [u8; 32],
    pub(super) segments: Vec<SegmentExtent>,
}

/// The end of what has been verified so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) next: Lsn,
    pub(super) chain: ChainHash,
    pub(super) position: Position,
}

#[derive(Debug)]
pub(super) struct Scanner<'s> {
    storage: &'s dyn Storage,
    mode: Mode,
    limits: Limits,
    cursor: Cursor,
    control: Vec<SlotClaim>,
    frames: u64,
    records: u64,
    bytes: u64,
    segments_read: u64,
    segments: Vec<SegmentExtent>,
    /// Headers of segments that repairs began.
    repaired: Vec<SegmentHeader>,
    /// Where the log has to be as it was when it was proven before, until that was found.
    anchor: Option<Anchor>,
}

/// One control slot, and whether the log was found to be what it says.
#[derive(Debug)]
struct SlotClaim {
    slot: ControlSlot,
    met: bool,
}

/// Whether to go on to the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Continue,
    Stop,
}

impl<'s> Scanner<'s> {
    pub(super) fn new(storage: &'s dyn Storage, mode: Mode, limits: Limits) -> Self {
        let cursor =
            Cursor { next: Lsn::FIRST, chain: ChainHash::from_bytes([0; 32]), position: Position::default() };
        Self {
            storage,
            mode,
            limits,
            cursor,
            control: Vec::new(),
            frames: 0,
            records: 0,
            bytes: 0,
            segments_read: 0,
            segments: Vec::new(),
            repaired: Vec::new(),
            anchor: None,
        }
    }

    pub(super) fn run<E>(
        mut self,
        mut visit: impl FnMut(FrameView<'_>) -> Result<(), E>,
    ) -> Result<Found, RecoveryError<E>> {
        let survey = survey(self.storage, self.mode)?;
        if let Some(control) = &survey.control {
            self.control = control.slots().map(|slot| SlotClaim { slot: *slot, met: false }).collect();
            self.cursor.chain = ChainHash::genesis(control.newest.log);
        }
        self.repaired = survey.used.iter().filter(|header| header.repair.is_some()).copied().collect();
        let start = match self.limits.after {
            None => self.start(&survey.used)?,
            Some(anchor) => self.start_after(anchor, &survey)?,
        };
        self.segments =
            survey.used.windows(2).take(start).map(|pair| extent(&pair[0], pair[1].previous_end)).collect();
        let first_lsn = self.limits.after.map_or(self.cursor.next, |anchor| anchor.lsn.next());
        self.meet_claims()?;
        let unsealed = usize::from(self.limits.sealed);
        let until = survey.used.len().saturating_sub(unsealed);
        let (tail, progress) = self.segments(&survey, start..until, &mut visit)?;
        let complete = !self.limits.sealed && progress == Progress::Continue;
        if complete {
            self.check_anchor()?;
            self.check_claims(first_lsn)?;
            self.check_spares(&survey)?;
        }
        Ok(self.found(survey, first_lsn, tail, complete))
    }

    /// Where to begin, and what to believe of all that comes before.
    fn start(&mut self, used: &[SegmentHeader]) -> Result<usize, Corruption> {
        let Some(first) = used.first() else { return Ok(0) };
        if self.limits.from <= Lsn::FIRST {
            let whole = first.segment == 1;
            let detail =
                format!("it is the first; the oldest segment here begins with LSN {}", first.first_lsn);
            return if whole {
                Ok(0)
            } else {
                Err(in_segment(Damage::MissingSegment, 1, 0, Lsn::FIRST, detail))
            };
        }
        let Some(start) = used.iter().rposition(|header| header.first_lsn <= self.limits.from) else {
            let detail = format!("the oldest segment here begins with LSN {}", first.first_lsn);
            let missing = first.segment - 1;
            return Err(in_segment(Damage::MissingSegment, missing, 0, self.limits.from, detail));
        };
        if start > 0 || used[start].segment > 1 {
            let header = &used[start];
            self.cursor = Cursor {
                next: header.first_lsn,
                chain: header.previous_chain,
                position: Position { segment: header.segment - 1, offset: header.previous_end },
            };
        }
        Ok(start)
    }

    /// Begins with the segment after a place that was proven before; or, if there is none yet, with the one that it
    /// ends in, of which nothing is shown up to there.
    fn start_after(&mut self, anchor: Anchor, survey: &Survey) -> Result<usize, Corruption> {
        let Anchor { log, lsn, chain, end } = anchor;
        let refuse = |detail| Err(in_segment(Damage::Anchor, end.segment, end.offset, lsn.next(), detail));
        match &survey.control {
            None => return refuse(format!("expected the log up to LSN {lsn}, found none")),
            Some(control) if control.newest.log != log => {
                return refuse(format!("expected log {log}, found log {}", control.newest.log));
            }
            Some(_) => {}
        }
        let place = |number| survey.used.iter().position(|header| header.segment == number);
        self.cursor = Cursor { next: lsn.next(), chain, position: end };
        if let Some(next) = place(end.segment + 1) {
            return Ok(next);
        }
        match place(end.segment) {
            Some(last) if !self.limits.sealed => {
                let header = &survey.used[last];
                self.cursor = Cursor {
                    next: header.first_lsn,
                    chain: header.previous_chain,
                    position: Position { segment: header.segment - 1, offset: header.previous_end },
                };
                self.anchor = Some(anchor);
                self.meet_anchor()?;
                Ok(last)
            }
            // Nothing is sealed after it.
            Some(last) => Ok(last + 1),
            None if survey.used.last().is_some_and(|last| last.segment > end.segment) => {
                let detail = format!("it follows the snapshot at LSN {lsn}");
                Err(in_segment(Damage::MissingSegment, end.segment + 1, 0, lsn.next(), detail))
            }
            None => refuse(format!("expected the log up to LSN {lsn}, found less")),
        }
    }

    /// The log comes by the place that was proven before, and has to be the same there.
    fn meet_anchor(&mut self) -> Result<(), Corruption> {
        let Cursor { next, chain, position } = self.cursor;
        let Some(anchor) = self.anchor.filter(|anchor| anchor.lsn < next) else { return Ok(()) };
        if (anchor.lsn.next(), anchor.chain) != (next, chain) {
            let detail = format!(
                "expected the chain {} at LSN {}, found {chain} at {}",
                anchor.chain,
                anchor.lsn,
                next.previous()
            );
            return Err(in_segment(Damage::Anchor, position.segment, position.offset, next, detail));
        }
        self.anchor = None;
        Ok(())
    }

    fn check_anchor(&self) -> Result<(), Corruption> {
        let Some(anchor) = self.anchor else { return Ok(()) };
        let Cursor { next, position, .. } = self.cursor;
        let detail = format!("expected the log up to LSN {}, found it up to {}", anchor.lsn, next.previous());
        Err(in_segment(Damage::Anchor, position.segment, position.offset, next, detail))
    }

    /// The segments with these places in the survey, one after the other; says where the last one ends.
    fn segments<E>(
        &mut self,
        survey: &Survey,
        indexes: Range<usize>,
        visit: &mut impl FnMut(FrameView<'_>) -> Result<(), E>,
    ) -> Result<(Tail, Progress), RecoveryError<E>> {
        let (storage, mode) = (self.storage, self.mode);
        let load = |index: usize| {
            storage.load(&segment_name(survey.used[index].segment), source(mode, survey, index))
        };
        let mut tail = Tail::default();
        let progress = each_ahead(indexes, &load, |index, content| {
            let (end, progress) = self.segment(survey, index, content, visit)?;
            tail = end;
            Ok::<_, RecoveryError<E>>(progress)
        })?;
        Ok((tail, progress))
    }

    fn segment<E>(
        &mut self,
        survey: &Survey,
        index: usize,
        content: Result<Content, StorageError>,
        visit: &mut impl FnMut(FrameView<'_>) -> Result<(), E>,
    ) -> Result<(Tail, Progress), RecoveryError<E>> {
        let header = &survey.used[index];
        let successor = survey.used.get(index + 1);
        self.continues(header)?;
        self.cursor.chain = header.chain_after();
        self.cursor.position = Position { segment: header.segment, offset: PAGE };
        self.segments.push(extent(header, PAGE));
        self.segments_read += 1;
        let content = of_length(content?, header)?;
        match successor {
            Some(successor) => {
                let progress = self.sealed(header, successor, &content, visit)?;
                Ok((Tail::default(), progress))
            }
            None => self.unsealed(survey, header, content, visit),
        }
    }

    /// The header names exactly the end of the segment before.
    fn continues(&self, header: &SegmentHeader) -> Result<(), Corruption> {
        let Cursor { next, chain, position } = self.cursor;
        let (expected, found) = if header.first_lsn != next {
            (format!("first LSN {next}"), header.first_lsn.to_string())
        } else if header.previous_chain != chain {
            (format!("previous chain {chain}"), header.previous_chain.to_string())
        } else if header.previous_end != position.offset {
            (
                format!("the end of the previous segment at {}", position.offset),
                header.previous_end.to_string(),
            )
        } else {
            return Ok(());
        };
        let detail = format!("expected {expected}, found {found}");
        Err(in_segment(Damage::Continuity, header.segment, 0, next, detail))
    }

    /// A segment that has a successor: its frames end where the successor says, and so do its other bytes.
    fn sealed<E>(
        &mut self,
        header: &SegmentHeader,
        successor: &SegmentHeader,
        content: &[u8],
        visit: &mut impl FnMut(FrameView<'_>) -> Result<(), E>,
    ) -> Result<Progress, RecoveryError<E>> {
        let identity = SegmentIdentity::new(header.log, header.epoch, header.segment);
        let end = successor.previous_end;
        if end < PAGE || end > header.segment_bytes || !end.is_multiple_of(PAGE) {
            let detail = format!("it says that the previous segment ends at {end}, which cannot be");
            return Err(in_segment(Damage::Continuity, successor.segment, 0, self.cursor.next, detail).into());
        }
        while self.cursor.position.offset < end {
            let rest = &content[self.cursor.position.offset as usize..end as usize];
            match identity.verify(rest, self.cursor.position.offset, self.cursor.next, self.cursor.chain) {
                Ok(frame) => {
                    if self.accept(&identity, &frame, rest, visit)? == Progress::Stop {
                        return Ok(Progress::Stop);
                    }
                }
                Err(fault) => {
                    return Err(self.frame_damage(&fault, "a later segment continues after it").into());
                }
            }
        }
        let found = hash_rest(&content[end as usize..]);
        if found != successor.previous_rest {
            let detail = "their hash is not the one in the header of the next segment".to_owned();
            return Err(in_segment(Damage::Rest, header.segment, end, self.cursor.next, detail).into());
        }
        Ok(Progress::Continue)
    }

    /// The last segment in use: its frames end where zeroes begin, or in a torn tail.
    fn unsealed<E>(
        &mut self,
        survey: &Survey,
        header: &SegmentHeader,
        mut content: Content,
        visit: &mut impl FnMut(FrameView<'_>) -> Result<(), E>,
    ) -> Result<(Tail, Progress), RecoveryError<E>> {
        let identity = SegmentIdentity::new(header.log, header.epoch, header.segment);
        let mut read_again_at = None;
        loop {
            let offset = self.cursor.position.offset;
            let rest = &content[offset as usize..];
            let fault = match identity.verify(rest, offset, self.cursor.next, self.cursor.chain) {
                Ok(frame) => {
                    if self.accept(&identity, &frame, rest, visit)? == Progress::Stop {
                        return Ok((Tail::default(), Progress::Stop));
                    }
                    continue;
                }
                Err(fault) => fault,
            };
            let closed = survey.control.as_ref().is_some_and(|control| control.newest.clean);
            let slots = survey.control.iter().flat_map(Control::slots);
            match judge(&identity, rest, &self.cursor, &fault, slots, closed) {
                Ok(tail) => return Ok((tail, Progress::Continue)),
                // A writer may have been faster than this reader, whose bytes are then older at their
                // beginning than at their end. Bytes read later show what is true.
                Err(_) if self.mode == Mode::Audit && read_again_at != Some(offset) => {
                    read_again_at = Some(offset);
                    content =
                        of_length(self.storage.load(&segment_name(header.segment), Source::Cache)?, header)?;
                }
                Err(corruption) => return Err(corruption.into()),
            }
        }
    }

    /// Counts a verified frame, shows it to the visitor and moves on. `rest` begins with the frame.
    fn accept<E>(
        &mut self,
        identity: &SegmentIdentity,
        header: &FrameHeader,
        rest: &[u8],
        visit: &mut impl FnMut(FrameView<'_>) -> Result<(), E>,
    ) -> Result<Progress, RecoveryError<E>> {
        let bytes = &rest[..header.frame_bytes()];
        let view = FrameView::new(identity, self.cursor.position, header, bytes);
        self.cursor.next = header.next_lsn();
        self.cursor.chain = view.chain;
        self.cursor.position.offset += bytes.len() as u64;
        if let Some(segment) = self.segments.last_mut() {
            segment.end = self.cursor.position.offset;
        }
        self.meet_claims()?;
        let known = self.anchor.is_some();
        self.meet_anchor()?;
        if known {
            return Ok(Progress::Continue);
        }
        self.frames += 1;
        self.records += u64::from(header.records);
        self.bytes += bytes.len() as u64;
        visit(view).map_err(|source| RecoveryError::Visit { lsn: header.first_lsn, source })?;
        let stop = self.limits.until.is_some_and(|until| until < self.cursor.next);
        Ok(if stop { Progress::Stop } else { Progress::Continue })
    }

    /// A control slot names a durable LSN and the chain there; both have to be those of the log.
    fn meet_claims(&mut self) -> Result<(), Corruption> {
        let Cursor { next, chain, position } = self.cursor;
        let repaired = &self.repaired;
        // Until the first frame after a repair the end of the log has the repair's chain.
        let by_repair = |claimed: ChainHash| {
            repaired.iter().any(|header| header.first_lsn == next && header.chain_after() == claimed)
        };
        for claim in self.control.iter_mut().filter(|claim| claim.slot.durable_lsn.next() == next) {
            if claim.slot.chain != chain && !by_repair(claim.slot.chain) {
                let detail = format!(
                    "the control file says that the chain at LSN {} is {}, found {chain}",
                    claim.slot.durable_lsn, claim.slot.chain
                );
                return Err(in_segment(
                    Damage::BelowDurable,
                    position.segment,
                    position.offset,
                    next,
                    detail,
                ));
            }
            claim.met = true;
        }
        Ok(())
    }

    /// At the end of the log: nothing that the control file says is still outstanding.
    fn check_claims(&self, first: Lsn) -> Result<(), Corruption> {
        let Cursor { next, position, .. } = self.cursor;
        let refuse = |detail: String| match position.segment {
            // There is none: the first one is where to look.
            0 => Err(in_segment(Damage::MissingSegment, 1, 0, next, detail)),
            segment => Err(in_segment(Damage::BelowDurable, segment, position.offset, next, detail)),
        };
        for SlotClaim { slot, met } in &self.control {
            if !met && slot.durable_lsn.next() >= first {
                return refuse(format!(
                    "the control file says that LSN {} was durable and ended a frame",
                    slot.durable_lsn
                ));
            }
        }
        match self.control.first() {
            Some(SlotClaim { slot, .. }) if slot.clean && slot.end != position => {
                refuse(format!("the log was closed in order at {}", slot.end))
            }
            _ => Ok(()),
        }
    }

    fn check_spares<E>(&self, survey: &Survey) -> Result<(), RecoveryError<E>> {
        for (index, spare) in survey.spares.iter().enumerate() {
            let torn = index == 0 && survey.torn_header;
            let content = self.spare_content(spare, torn || self.mode == Mode::Audit)?;
            let content = content.get(PAGE_BYTES..).unwrap_or_default();
            if let Err(corruption) = check_spare_is_empty(spare, content, self.cursor.next) {
                // Unless a writer has begun to use it since the survey.
                return if self.taken_meanwhile(spare)? { Ok(()) } else { Err(corruption.into()) };
            }
        }
        Ok(())
    }

    /// All of an unused segment, or as much of its beginning as a start looks at.
    fn spare_content(&self, spare: &Spare, whole: bool) -> Result<Content, StorageError> {
        let name = segment_name(spare.number);
        if whole {
            let source = if self.mode == Mode::Recovery { Source::Device } else { Source::Cache };
            return self.storage.load(&name, source);
        }
        let mut beginning = vec![0; SPARE_BYTES_CHECKED.min(spare.bytes as usize)];
        let file = self.storage.open_device_read(&name)?;
        file.read_exact_at(0, &mut beginning).map_err(|error| StorageError::new("read", &name, error))?;
        Ok(Content::new(beginning))
    }

    fn taken_meanwhile(&self, spare: &Spare) -> Result<bool, StorageError> {
        let name = segment_name(spare.number);
        let mut page = [0; PAGE_BYTES];
        let file = self.storage.open_read(&name)?;
        file.read_exact_at(0, &mut page).map_err(|error| StorageError::new("read", &name, error))?;
        Ok(self.mode == Mode::Audit && SegmentHeader::decode(&page).is_ok())
    }

    fn frame_damage(&self, fault: &FrameFault, evidence: &str) -> Corruption {
        frame_damage(&self.cursor, fault, evidence)
    }

    fn found(self, survey: Survey, first_lsn: Lsn, tail: Tail, complete: bool) -> Found {
        let log: Option<LogId> = survey.control.as_ref().map(|control| control.newest.log);
        // Also those that a snapshot covers.
        let met = self.repaired.iter().filter(|header| header.segment <= self.cursor.position.segment);
        let repairs = met.filter_map(Repair::of);
        let report = ScanReport {
            log,
            epoch: self.segments.last().map(|segment| segment.epoch),
            first_lsn,
            next_lsn: self.cursor.next,
            chain_head: self.cursor.chain,
            end: self.cursor.position,
            segments: self.segments_read,
            frames: self.frames,
            records: self.records,
            bytes: self.bytes,
            repairs: repairs.collect(),
            torn_tail: tail.torn,
            torn_segment_header: survey
                .spares
                .first()
                .filter(|_| survey.torn_header)
                .map(|spare| spare.number),
            control: survey.control.as_ref().map(control_info),
            complete,
        };
        Found {
            report,
            control: survey.control.map(|control| control.newest),
            spares: survey.spares,
            rest: tail.rest,
            segments: self.segments,
        }
    }
}

/// Corruption at the cursor.
pub(super) fn frame_damage(cursor: &Cursor, fault: &FrameFault, evidence: &str) -> Corruption {
    let kind = match fault {
        FrameFault::Unreadable(_) => Damage::Frame,
        FrameFault::Contradiction(_) => Damage::Chain,
    };
    let Position { segment, offset } = cursor.position;
    in_segment(kind, segment, offset, cursor.next, format!("{fault}; {evidence}"))
}

/// From where the segment with this place in the survey is read.
fn source(mode: Mode, survey: &Survey, index: usize) -> Source {
    let behind = survey.used.len() - index;
    match mode {
        // Settled by the survey.
        Mode::Recovery if behind <= SEGMENTS_SETTLED => Source::Device,
        Mode::Audit if behind == 1 => Source::Cache,
        _ => Source::Mapping,
    }
}

/// A segment's bytes, if they are as many as its header says.
fn of_length(content: Content, header: &SegmentHeader) -> Result<Content, Corruption> {
    if content.len() as u64 == header.segment_bytes {
        return Ok(content);
    }
    let detail = format!("expected {} bytes, found {}", header.segment_bytes, content.len());
    Err(in_segment(Damage::SegmentLength, header.segment, 0, header.first_lsn, detail))
}

fn extent(header: &SegmentHeader, end: u64) -> SegmentExtent {
    SegmentExtent { number: header.segment, epoch: header.epoch, first_lsn: header.first_lsn, end }
}

/// BLAKE3 of the bytes after the end of a segment; all zero stands for zeroes.
pub(super) fn hash_rest(rest: &[u8]) -> [u8; 32] {
    if is_zero(rest) { NO_REST } else { blake3::hash(rest).into() }
}

fn control_info(control: &Control) -> ControlInfo {
    let slot = &control.newest;
    ControlInfo {
        epoch: slot.epoch,
        sequence: slot.sequence,
        durable_lsn: slot.durable_lsn,
        chain: slot.chain,
        end: slot.end,
        time_ns: slot.time_ns,
        clean: slot.clean,
        other_slot_valid: !control.other_damaged,
    }
}
