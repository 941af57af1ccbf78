//! The flusher: takes what is in the ring, makes frames of it, makes them durable, says so.
//!
//! In: records in order, from one ring. Out: frames in segments, a rising durable LSN, or a fault. Never
//! here: two writes in flight, a second try, an allocation per frame, a frame border inside a linked run.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rtrb::Consumer;

use crate::{
    error::LogFault,
    format::{
        FrameHeader, HEADER_BYTES, PAGE, PAGE_BYTES, RECORD_BYTES, Record, SegmentHeader, SegmentIdentity,
        encode_frame, frame_bytes_for, records_that_fit,
    },
    lsn::{ChainHash, Lsn, Position},
    read::SegmentExtent,
    storage::{AlignedBuffer, DurableFile, Lock},
};

use super::{
    chains::FrameEnd,
    options::{FlushCallbacks, Flushed, LogOptions, RecordTraits},
    segments::{ReadySegment, ReadySegments},
    shared::{Head, Shared},
    stats::{Counters, Flush},
};

/// How the segment before the next one ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreviousEnd {
    pub(super) offset: u64,
    pub(super) rest: [u8; 32],
}

/// The segment that is being written.
#[derive(Debug)]
struct LiveSegment {
    identity: SegmentIdentity,
    file: Box<dyn DurableFile>,
    /// End of the last durable frame.
    offset: u64,
}

impl LiveSegment {
    fn room(&self) -> u64 {
        self.file.bytes() - self.offset
    }
}

pub(super) struct Flusher {
    ring: Consumer<Record>,
    ready: ReadySegments,
    segment: LiveSegment,
    buffer: AlignedBuffer,
    next: Lsn,
    chain: ChainHash,
    /// The ends of the round's frames; kept for its room.
    ends: Vec<FrameEnd>,
    rules_version: u32,
    records: RecordTraits,
    idle_poll: Duration,
    segment_wait: Duration,
    lock: Arc<dyn Lock>,
    wall_clock_ns: fn() -> u64,
    callbacks: FlushCallbacks,
    shared: Arc<Shared>,
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flusher")
            .field("next", &self.next)
            .field("segment", &self.segment)
            .finish_non_exhaustive()
    }
}

/// What one round took from the ring and put into the buffer.
#[derive(Clone, Copy, Debug)]
struct Round {
    records: usize,
    frames: u64,
    bytes: usize,
    chain: ChainHash,
}

impl Flusher {
    /// Begins the first segment of this open, so that a log that is open can also be written to.
    pub(super) fn new(
        options: &LogOptions,
        ring: Consumer<Record>,
        ready: ReadySegments,
        previous: PreviousEnd,
        lock: Arc<dyn Lock>,
        callbacks: FlushCallbacks,
        shared: Arc<Shared>,
    ) -> Result<Self, LogFault> {
        let mut buffer = AlignedBuffer::new(options.flush_bytes_max);
        let head = shared.head();
        let segment = begin_segment(
            &shared,
            &ready,
            &mut buffer,
            previous,
            options.segment_wait,
            options.wall_clock_ns,
        )?;
        Ok(Self {
            ring,
            ready,
            segment,
            buffer,
            next: head.lsn.next(),
            chain: head.chain,
            ends: Vec::new(),
            rules_version: options.rules_version,
            records: options.records,
            idle_poll: options.idle_poll,
            segment_wait: options.segment_wait,
            lock,
            wall_clock_ns: options.wall_clock_ns,
            callbacks,
            shared,
        })
    }

    /// The flusher's thread: until the log is closed and the ring is empty, or something fails.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let ended = catch_unwind(AssertUnwindSafe(|| self.rounds()));
        if let Err(fault) = ended.unwrap_or(Err(LogFault::Panicked { thread: "flusher" })) {
            shared.latch(fault);
        }
    }

    fn rounds(&mut self) -> Result<(), LogFault> {
        loop {
            match self.ring.slots() {
                0 if !self.wait() => return Ok(()),
                0 => {}
                available => self.round(available)?,
            }
        }
    }

    /// Returns `true` when there may be records, `false` when there will be none any more.
    fn wait(&self) -> bool {
        if !self.idle_poll.is_zero() {
            let until = Instant::now() + self.idle_poll;
            while Instant::now() < until {
                if self.ring.slots() > 0 {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        loop {
            self.shared.announce_sleep();
            // The order matters: records appended before the close are seen after it.
            let closing = self.shared.is_closing();
            if self.ring.slots() > 0 {
                self.shared.cancel_sleep();
                return true;
            }
            if closing || self.shared.fault().is_some() {
                return false;
            }
            thread::park();
        }
    }

    fn round(&mut self, available: usize) -> Result<(), LogFault> {
        self.shared.counters.waiting_max.fetch_max(available as u64, Ordering::Relaxed);
        let round = self.build(available);
        if round.records == 0 {
            return self.rotate();
        }
        let started = Instant::now();
        let position = Position { segment: self.segment.identity.segment, offset: self.segment.offset };
        self.segment
            .file
            .write_durable(position.offset, &self.buffer[..round.bytes])
            .map_err(|error| write_fault(&self.shared, position, round.bytes, &error))?;
        self.count(&round, started.elapsed());
        self.segment.offset += round.bytes as u64;
        let first_lsn = self.next;
        self.next = self.next.plus(round.records as u64);
        self.chain = round.chain;
        let end = Position { offset: self.segment.offset, ..position };
        self.shared.remember(&self.ends);
        let durable = self.shared.advance(Head { lsn: self.next.previous(), chain: self.chain, end })?;
        (self.callbacks.on_durable)(durable);
        let flushed = Flushed { first_lsn, ends: &self.ends, frames: &self.buffer[..round.bytes] };
        (self.callbacks.on_flushed)(&flushed);
        Ok(())
    }

    fn count(&self, round: &Round, took: Duration) {
        let (records, frames, bytes) = (round.records as u64, round.frames, round.bytes as u64);
        let used = frames * HEADER_BYTES as u64 + records * RECORD_BYTES as u64;
        let flush = Flush { records, frames, bytes, padding_bytes: bytes - used, took };
        self.shared.counters.flushed(&flush);
    }

    /// Moves records from the ring into frames in the buffer: as many as there are, and as fit the buffer and
    /// the segment. None if the segment has no room for what comes next.
    fn build(&mut self, available: usize) -> Round {
        let durable = self.next.previous();
        let room = self.segment.room().min(self.buffer.len() as u64) as usize;
        let mut round = Round { records: 0, frames: 0, bytes: 0, chain: self.chain };
        self.ends.clear();
        let Ok(chunk) = self.ring.read_chunk(available) else { return round };
        let (first, second) = chunk.as_slices();
        let waiting = Waiting { first, second, traits: self.records };
        while round.records < available {
            let most = records_that_fit((room - round.bytes) as u64);
            let count = waiting.frame_from(round.records, most);
            if count == 0 {
                break;
            }
            let frame = &mut self.buffer[round.bytes..round.bytes + frame_bytes_for(count)];
            waiting.copy(round.records, &mut frame[HEADER_BYTES..HEADER_BYTES + count * RECORD_BYTES]);
            let header = FrameHeader {
                rules_version: self.rules_version,
                records: count as u32,
                first_lsn: self.next.plus(round.records as u64),
                durable_lsn: durable,
                time_ns: (self.records.time_ns)(waiting.record(round.records + count - 1)),
                previous_chain: round.chain,
            };
            let offset = self.segment.offset + round.bytes as u64;
            round.chain = encode_frame(frame, offset, &header, &self.segment.identity);
            round.records += count;
            round.frames += 1;
            round.bytes += frame.len();
            self.ends.push(FrameEnd { last_lsn: header.next_lsn().previous(), chain: round.chain });
        }
        self.shared.space.left(self.segment.room() - round.bytes as u64);
        chunk.commit(round.records);
        round
    }

    /// Leaves the segment, of which every frame is durable, and begins the next one.
    fn rotate(&mut self) -> Result<(), LogFault> {
        let started = Instant::now();
        self.shared.check_lock(&*self.lock)?;
        let end = self.segment.offset;
        self.shared.end_segment(end);
        // What lies between the last frame and the end of the file was zeroed when the segment was prepared.
        let previous = PreviousEnd { offset: end, rest: crate::format::NO_REST };
        self.segment = begin_segment(
            &self.shared,
            &self.ready,
            &mut self.buffer,
            previous,
            self.segment_wait,
            self.wall_clock_ns,
        )?;
        Counters::raise(&self.shared.counters.rotation_ns_max, started.elapsed());
        Ok(())
    }
}

/// The records in the ring: two slices, seen as one.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    first: &'a [Record],
    second: &'a [Record],
    traits: RecordTraits,
}

impl<'a> Waiting<'a> {
    fn record(&self, index: usize) -> &'a Record {
        match index.checked_sub(self.first.len()) {
            None => &self.first[index],
            Some(index) => &self.second[index],
        }
    }

    /// How many records, at most `most`, a frame takes that begins with record `from`. Runs were published as
    /// a whole, so the last record that waits ends one.
    fn frame_from(&self, from: usize, most: usize) -> usize {
        let waiting = self.first.len() + self.second.len() - from;
        if waiting <= most {
            return waiting;
        }
        let mut count = most;
        while count > 0 && (self.traits.linked)(self.record(from + count - 1)) {
            count -= 1;
        }
        count
    }

    /// Copies the records from `from` on into `room`.
    fn copy(&self, from: usize, room: &mut [u8]) {
        let (bytes_first, bytes_second) = (self.first.as_flattened(), self.second.as_flattened());
        let from = from * RECORD_BYTES;
        let in_first = bytes_first.len().saturating_sub(from).min(room.len());
        let (room_first, room_second) = room.split_at_mut(in_first);
        if in_first > 0 {
            room_first.copy_from_slice(&bytes_first[from..from + in_first]);
        }
        let from_second = from.saturating_sub(bytes_first.len());
        let in_second = room_second.len();
        room_second.copy_from_slice(&bytes_second[from_second..from_second + in_second]);
    }
}

/// Takes the next ready segment and writes its header. When this returns, the segment before is sealed.
fn begin_segment(
    shared: &Shared,
    ready: &ReadySegments,
    buffer: &mut AlignedBuffer,
    previous: PreviousEnd,
    patience: Duration,
    wall_clock_ns: fn() -> u64,
) -> Result<LiveSegment, LogFault> {
    let head = shared.head();
    let ReadySegment { number, mut file } = take_ready(shared, ready, head.lsn.next(), patience)?;
    shared.space.taken(file.bytes());
    let header = SegmentHeader {
        log: shared.log,
        epoch: shared.epoch,
        segment: number,
        first_lsn: head.lsn.next(),
        previous_chain: head.chain,
        previous_end: previous.offset,
        previous_rest: previous.rest,
        segment_bytes: file.bytes(),
        created_ns: wall_clock_ns(),
        repair: None,
    };
    let page = &mut buffer[..PAGE_BYTES];
    page.copy_from_slice(&header.encode());
    let start = Position { segment: number, offset: 0 };
    file.write_durable(0, page).map_err(|error| write_fault(shared, start, PAGE_BYTES, &error))?;
    shared.begin_segment(SegmentExtent {
        number,
        epoch: shared.epoch,
        first_lsn: header.first_lsn,
        end: PAGE,
    });
    shared.advance(Head { end: Position { offset: PAGE, ..start }, ..head })?;
    Counters::add(&shared.counters.rotations, 1);
    Counters::add(&shared.counters.bytes, PAGE);
    let identity = SegmentIdentity::new(shared.log, shared.epoch, number);
    Ok(LiveSegment { identity, file, offset: PAGE })
}

fn take_ready(
    shared: &Shared,
    ready: &ReadySegments,
    lsn: Lsn,
    patience: Duration,
) -> Result<ReadySegment, LogFault> {
    let reason = match ready.take(patience) {
        Ok(Some(segment)) => return Ok(segment),
        Ok(None) => {
            shared.space.failure().unwrap_or_else(|| format!("none was prepared within {patience:?}"))
        }
        Err(error) => error.to_string(),
    };
    Err(LogFault::NoSegment { lsn, reason })
}

fn write_fault(shared: &Shared, position: Position, bytes: usize, error: &io::Error) -> LogFault {
    LogFault::Write { position, bytes, reason: error.to_string(), durable: shared.durable() }
}
