//! Reads single records of a log here and there, without its writer and without reading all of it.
//!
//! In: a storage, which somebody else may be writing to. Out: the record of an LSN, or the newest one that somebody wants,
//! after the checksums of its frame were checked. Never here: the lock, a write, the hash chain (scans check it), a record
//! whose frame is not whole.

use std::{io, num::NonZeroUsize, panic, sync::Arc, thread};

use crate::{
    error::{Corruption, Damage, ReadError, RecoveryError, StorageError},
    format::{PAGE, Record, SegmentHeader, SegmentIdentity, segment_name},
    lsn::{ChainHash, LogId, Lsn},
    storage::{RandomRead, Storage},
};

use super::{
    OpenSegments, Search, SegmentExtent,
    check::Window,
    scanner::Mode,
    search::{begun_with_chain, nearest_frame},
    survey::{in_segment, survey},
};

/// How much of a segment is read at a time by whoever looks for a record from the end.
const PART_BYTES: u64 = 8 << 20;
/// Such parts that are read at the same time, each by a thread; more wait for memory.
const PARTS_AT_ONCE_MAX: usize = 8;

/// A log that is looked into at single places. It does not grow while it is looked into.
#[derive(Debug)]
pub struct Lookup {
    storage: Arc<dyn Storage>,
    log: LogId,
    /// The segments that are listed, oldest first, each with the LSN after its last record. Older ones may be archived.
    segments: Vec<Extent>,
    open: OpenSegments,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    segment: SegmentExtent,
    end_lsn: Lsn,
    sealed: bool,
}

impl Lookup {
    /// Looks at the files: a page of each segment that the storage lists, and the end of the last one. `None` if there is
    /// no log.
    ///
    /// # Errors
    /// The files contradict each other, were written by a newer program, or cannot be read.
    pub fn open(storage: impl Storage) -> Result<Option<Self>, RecoveryError<ReadError>> {
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let found = survey(&*storage, Mode::Audit)?;
        let Some(control) = &found.control else { return Ok(None) };
        let newest = control.newest;
        let mut segments = Vec::with_capacity(found.used.len());
        for pair in found.used.windows(2) {
            let (header, next) = (&pair[0], &pair[1]);
            let segment = extent(header, next.previous_end);
            segments.push(Extent { segment, end_lsn: next.first_lsn, sealed: true });
        }
        if let Some(last) = found.used.last() {
            let known = (newest.end.segment == last.segment)
                .then_some((newest.end.offset, newest.durable_lsn.next()));
            let (end, end_lsn) = end_of(&*storage, last, known.unwrap_or((PAGE, last.first_lsn)))?;
            if end_lsn <= newest.durable_lsn {
                let detail = format!("expected a frame, as LSN {} was durable", newest.durable_lsn);
                return Err(in_segment(Damage::Frame, last.segment, end, end_lsn, detail).into());
            }
            segments.push(Extent { segment: extent(last, end), end_lsn, sealed: false });
        }
        Ok(Some(Self { storage, log: newest.log, segments, open: OpenSegments::default() }))
    }

    /// The log.
    #[must_use]
    pub const fn log_id(&self) -> LogId {
        self.log
    }

    /// The LSN after the last record.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.segments.last().map_or(Lsn::FIRST, |last| last.end_lsn)
    }

    /// The record with this LSN.
    ///
    /// # Errors
    /// There is no such record, it lies before the oldest segment at hand, its frame does not verify, or the operating
    /// system refuses.
    pub fn record(&mut self, lsn: Lsn) -> Result<Record, ReadError> {
        self.search(lsn)?.record()
    }

    /// The newest record after `after` that is wanted. Parts of segments are read and checked, from the end of the log back
    /// to the one with the record after `after`, until one has it.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn newest(
        &self,
        after: Lsn,
        wanted: impl Fn(&Record) -> bool + Sync,
    ) -> Result<Option<Lsn>, ReadError> {
        let at_once = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(PARTS_AT_ONCE_MAX);
        let mut before = self.next_lsn();
        while before > after.next() {
            let extent = self.holding(before.previous())?;
            let mut parts = Parts::of(self, &extent)?;
            loop {
                let some = parts.next(at_once, after)?;
                let Some(oldest) = some.last() else { break };
                if let Some(found) = parts.newest(&some, after, &wanted)? {
                    return Ok(Some(found));
                }
                if oldest.begin.lsn <= after {
                    return Ok(None);
                }
            }
            before = extent.segment.first_lsn;
        }
        Ok(None)
    }

    /// Whether the chain after the frame that ends with `lsn` is `chain`; `false` also if no frame ends there.
    /// `Lsn(0)` is the beginning of the log.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn knows_chain(&mut self, lsn: Lsn, chain: ChainHash) -> Result<bool, ReadError> {
        if lsn == Lsn::ZERO {
            return Ok(chain == ChainHash::genesis(self.log));
        }
        let mut room = Vec::new();
        let frame = self.search(lsn)?.whole_frame(&mut room)?;
        if frame.last_lsn != lsn || frame.chain == chain {
            return Ok(frame.last_lsn == lsn);
        }
        let after = self.segments.iter().filter(|extent| extent.segment.first_lsn == lsn.next());
        begun_with_chain(&*self.storage, after.map(|extent| extent.segment.number), chain)
    }

    fn search(&mut self, lsn: Lsn) -> Result<Search<'_>, ReadError> {
        let Extent { segment: extent, end_lsn, sealed } = self.holding(lsn)?;
        let identity = SegmentIdentity::new(self.log, extent.epoch, extent.number);
        let bytes = self.open.segment(&*self.storage, extent.number, sealed)?;
        Ok(Search { identity, bytes, extent, end_lsn, lsn })
    }

    fn holding(&self, lsn: Lsn) -> Result<Extent, ReadError> {
        if lsn == Lsn::ZERO || lsn >= self.next_lsn() {
            return Err(ReadError::Absent { lsn, last: self.next_lsn().previous() });
        }
        let index = self.segments.partition_point(|extent| extent.segment.first_lsn <= lsn);
        if let Some(found) = index.checked_sub(1).and_then(|index| self.segments.get(index)) {
            return Ok(*found);
        }
        let oldest = self.segments.first().map(|extent| extent.segment);
        let archived = match self.storage.archive() {
            Some(archive) => archive.holding(lsn, oldest.map_or(1, |oldest| oldest.number))?,
            None => None,
        };
        match archived {
            Some(found) => Ok(Extent { segment: found.extent(), end_lsn: found.next_lsn(), sealed: true }),
            None => {
                Err(ReadError::TooOld { lsn, oldest: oldest.map_or(Lsn::FIRST, |oldest| oldest.first_lsn) })
            }
        }
    }
}

/// A segment that is read from its end to its beginning, some parts at a time.
struct Parts {
    identity: SegmentIdentity,
    file: Box<dyn RandomRead>,
    number: u64,
    /// The first frame.
    first: Place,
    /// Where the next part ends: the one before has begun there.
    end: Place,
}

/// The beginning of a frame, or the end of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u64,
    lsn: Lsn,
}

/// A part of a segment: some whole frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    begin: Place,
    end: Place,
}

impl Parts {
    fn of(log: &Lookup, extent: &Extent) -> Result<Self, ReadError> {
        let SegmentExtent { number, epoch, first_lsn, end } = extent.segment;
        Ok(Self {
            identity: SegmentIdentity::new(log.log, epoch, number),
            file: log.storage.open_read(&segment_name(number))?,
            number,
            first: Place { offset: PAGE, lsn: first_lsn },
            end: Place { offset: end, lsn: extent.end_lsn },
        })
    }

    /// The parts before those that were asked for last, the newest first, back to the one with the record after `after`.
    fn next(&mut self, count: usize, after: Lsn) -> Result<Vec<Part>, ReadError> {
        let mut parts = Vec::with_capacity(count);
        while parts.len() < count && self.end.offset > self.first.offset {
            let part = Part { begin: self.next_begin()?, end: self.end };
            self.end = part.begin;
            parts.push(part);
            if part.begin.lsn <= after {
                break;
            }
        }
        Ok(parts)
    }

    /// Where the part begins that ends where the last one began.
    fn next_begin(&self) -> Result<Place, ReadError> {
        let guess = self.end.offset.saturating_sub(PART_BYTES);
        if guess <= self.first.offset {
            return Ok(self.first);
        }
        let read =
            |page, start: &mut [u8]| self.file.read_exact_at(page, start).map_err(|error| self.failed(error));
        let found = nearest_frame(&self.identity, guess, self.first.offset, read)?;
        let found =
            found.ok_or_else(|| damaged(self.number, guess, Lsn::ZERO, "expected a page of a frame"))?;
        Ok(Place { offset: found.offset, lsn: found.header.first_lsn })
    }

    /// The newest record of some parts that is wanted. All of them are read at the same time; an older one's fault does not
    /// count if a newer one has the record.
    fn newest(
        &self,
        parts: &[Part],
        after: Lsn,
        wanted: &(impl Fn(&Record) -> bool + Sync),
    ) -> Result<Option<Lsn>, ReadError> {
        let look = |part: Part| {
            let mut found = None;
            self.visit(part, &mut |lsn, record| {
                if lsn > after && wanted(record) {
                    found = Some(lsn);
                }
            })?;
            Ok(found)
        };
        let (first, others) = match parts {
            [] => return Ok(None),
            [first, others @ ..] => (*first, others),
        };
        thread::scope(|scope| {
            let others: Vec<_> = others.iter().map(|part| scope.spawn(move || look(*part))).collect();
            let mut newest: Result<Option<Lsn>, ReadError> = look(first);
            for older in others {
                let older = older.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
                if let Ok(None) = newest {
                    newest = older;
                }
            }
            newest
        })
    }

    /// Shows each record of a part, in order.
    fn visit(&self, part: Part, see: &mut dyn FnMut(Lsn, &Record)) -> Result<(), ReadError> {
        let mut pace = |_| true;
        let mut window = Window::new(&*self.file, part.end.offset, &mut pace);
        let mut at = part.begin;
        while at.offset < part.end.offset {
            let rest = window.at(at.offset).map_err(|error| self.failed(error))?;
            let (header, records) = self
                .identity
                .verify_unchained(rest, at.offset, at.lsn)
                .map_err(|fault| damaged(self.number, at.offset, at.lsn, &fault.to_string()))?;
            for (record, lsn) in records.iter().zip(at.lsn.0..) {
                see(Lsn(lsn), record);
            }
            at = Place { offset: at.offset + header.frame_bytes() as u64, lsn: header.next_lsn() };
        }
        // A part that begins with a frame that is none of this segment's does not lead to the next.
        if at != part.end {
            let detail = format!("expected frames that lead to LSN {}", part.end.lsn);
            return Err(damaged(self.number, at.offset, at.lsn, &detail));
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> ReadError {
        StorageError::new("read", &segment_name(self.number), error).into()
    }
}

fn damaged(number: u64, offset: u64, lsn: Lsn, detail: &str) -> ReadError {
    let corruption: Corruption = in_segment(Damage::Frame, number, offset, lsn, detail.to_owned());
    ReadError::Corruption(Box::new(corruption))
}

const fn extent(header: &SegmentHeader, end: u64) -> SegmentExtent {
    SegmentExtent { number: header.segment, epoch: header.epoch, first_lsn: header.first_lsn, end }
}

/// The end of the frames of the last segment in use, from a place on where one begins or none follows.
fn end_of(
    storage: &dyn Storage,
    header: &SegmentHeader,
    (mut end, mut next): (u64, Lsn),
) -> Result<(u64, Lsn), StorageError> {
    let name = segment_name(header.segment);
    let identity = SegmentIdentity::new(header.log, header.epoch, header.segment);
    let file = storage.open_read(&name)?;
    let mut pace = |_| true;
    let mut window = Window::new(&*file, header.segment_bytes, &mut pace);
    while end < header.segment_bytes {
        let rest = window.at(end).map_err(|error| StorageError::new("read", &name, error))?;
        let Ok((frame, _)) = identity.verify_unchained(rest, end, next) else { break };
        end += frame.frame_bytes() as u64;
        next = frame.next_lsn();
    }
    Ok((end, next))
}
