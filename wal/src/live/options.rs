//! What the owner of a log decides.
//!
//! In: numbers with their units. Out: options that do not contradict the format. Never here: a default that
//! is faster than it is safe.

use std::{fmt, fs::File, io::Read, time::Duration};

use crate::{
    error::{LogFault, StorageError},
    format::{
        FRAME_BYTES_MAX, HEADER_BYTES, LINKED_RECORDS_MAX, PAGE, RECORD_BYTES, Record, SEGMENT_BYTES_MIN,
        frame_bytes_for,
    },
    lsn::{DurableLsn, Epoch, LogId, Lsn},
    storage::FlushStrategy,
};

use super::chains::FrameEnd;

/// The two things that the log has to know of a record.
#[derive(Clone, Copy, Debug)]
pub struct RecordTraits {
    /// Whether this record and the next one must lie in one frame.
    pub linked: fn(&Record) -> bool,
    /// The record's time in nanoseconds; a frame's header repeats that of its last record.
    pub time_ns: fn(&Record) -> u64,
}

/// How to write a log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Size of new segments in bytes: a multiple of 4096, at least 64 KiB. Default 128 MiB.
    pub segment_bytes: u64,
    /// Segments kept ready ahead of the one in use, at least 1. Default 3.
    pub ready_segments: usize,
    /// Of the prepared space, how many segments' worth is kept for what must be recorded even when the disk is
    /// full: [`Writer::lives_on_reserve`](crate::Writer::lives_on_reserve). At most `ready_segments`. With 2,
    /// the default, one is ready for a restart on a full disk: each open begins a segment.
    pub reserve_segments: usize,
    /// How bytes become durable. Default [`FlushStrategy::DirectDsync`].
    pub flush: FlushStrategy,
    /// Records that may wait for the flusher; then [`Full`](crate::Full). Default 32 768 (8 MiB).
    pub ring_records: usize,
    /// Bytes that the flusher makes durable at once, a multiple of the longest frame. Default 1 MiB.
    pub flush_bytes_max: usize,
    /// How long an idle flusher looks for records before it sleeps. Default 0.
    pub idle_poll: Duration,
    /// How often the control file is brought up to date while the durable LSN moves. Default 50 ms.
    pub control_interval: Duration,
    /// How long the flusher waits for a segment that is not ready (a full disk, above all) before it gives up
    /// for good. Default 10 s.
    pub segment_wait: Duration,
    /// Version of the rules that decide the records; each frame names it.
    pub rules_version: u32,
    /// What the log has to know of a record.
    pub records: RecordTraits,
    /// Nanoseconds since 1970, written into headers and slots for people; nothing depends on it. Default: the system's.
    pub wall_clock_ns: fn() -> u64,
}

impl LogOptions {
    /// The defaults.
    #[must_use]
    pub const fn new(rules_version: u32, records: RecordTraits) -> Self {
        Self {
            segment_bytes: 128 << 20,
            ready_segments: 3,
            reserve_segments: 2,
            flush: FlushStrategy::DirectDsync,
            ring_records: 32_768,
            flush_bytes_max: 1 << 20,
            idle_poll: Duration::ZERO,
            control_interval: Duration::from_millis(50),
            segment_wait: Duration::from_secs(10),
            rules_version,
            records,
            wall_clock_ns: super::control::wall_clock_ns,
        }
    }

    pub(super) const fn reserve_bytes(&self) -> u64 {
        self.segment_bytes.saturating_mul(self.reserve_segments as u64)
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.segment_bytes < SEGMENT_BYTES_MIN || !self.segment_bytes.is_multiple_of(PAGE) {
            return Err("segment_bytes has to be a multiple of 4096 and at least 64 KiB");
        }
        if self.ready_segments == 0 {
            return Err("ready_segments has to be at least 1");
        }
        if self.reserve_segments > self.ready_segments {
            return Err("reserve_segments has to be at most ready_segments");
        }
        if self.ring_records < LINKED_RECORDS_MAX {
            return Err("ring_records has to hold at least the longest linked run (64 records)");
        }
        if self.flush_bytes_max == 0 || !self.flush_bytes_max.is_multiple_of(FRAME_BYTES_MAX) {
            return Err("flush_bytes_max has to be a multiple of the longest frame (256 KiB)");
        }
        Ok(())
    }
}

/// The random numbers of one open.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The epoch of this open; never used before for this log.
    pub epoch: Epoch,
    /// The name of the log, if this open creates it.
    pub new_log: LogId,
}

impl Identity {
    /// Takes both from the operating system.
    ///
    /// # Errors
    /// `/dev/urandom` cannot be read.
    pub fn from_os() -> Result<Self, StorageError> {
        const SOURCE: &str = "/dev/urandom";
        let mut random = [0_u8; 24];
        File::open(SOURCE)
            .and_then(|mut source| source.read_exact(&mut random))
            .map_err(|error| StorageError::new("read", SOURCE, error))?;
        let mut log = [0; 16];
        let mut epoch = [0; 8];
        log.copy_from_slice(&random[..16]);
        epoch.copy_from_slice(&random[16..]);
        Ok(Self { epoch: Epoch(u64::from_le_bytes(epoch)), new_log: LogId(u128::from_le_bytes(log)) })
    }
}

/// The records of one flush, which are durable now. They lie in the flusher's buffer until the next one.
#[derive(Clone, Copy, Debug)]
pub struct Flushed<'a> {
    /// The first of them.
    pub first_lsn: Lsn,
    /// The ends of their frames.
    pub(super) ends: &'a [FrameEnd],
    /// The frames, one after the other.
    pub(super) frames: &'a [u8],
}

impl Flushed<'_> {
    /// The last of them.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.ends.last().map_or_else(|| self.first_lsn.previous(), |end| end.last_lsn)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        (self.last_lsn().next().0 - self.first_lsn.0) as usize
    }

    /// Puts them behind what is in `out`, one after the other.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        let (mut first, mut rest) = (self.first_lsn, self.frames);
        for end in self.ends {
            let count = (end.last_lsn.next().0 - first.0) as usize;
            let (frame, others) = rest.split_at(frame_bytes_for(count));
            out.extend_from_slice(&frame[HEADER_BYTES..HEADER_BYTES + count * RECORD_BYTES]);
            (first, rest) = (end.last_lsn.next(), others);
        }
    }
}

/// Whom the log tells. All are called on the log's own threads and must be short.
pub struct Callbacks {
    /// After each flush: everything up to here is durable. Called by the flusher, with a rising LSN.
    pub on_durable: Box<dyn FnMut(DurableLsn) + Send>,
    /// After each flush, behind `on_durable`: the records themselves, for those who follow the log. Called by the flusher.
    pub on_flushed: Box<dyn FnMut(&Flushed<'_>) + Send>,
    /// Once, when the log has stopped for good.
    pub on_fault: Box<dyn Fn(&LogFault) + Send + Sync>,
}

/// Those that the flusher calls.
pub(super) struct FlushCallbacks {
    pub(super) on_durable: Box<dyn FnMut(DurableLsn) + Send>,
    pub(super) on_flushed: Box<dyn FnMut(&Flushed<'_>) + Send>,
}

impl Callbacks {
    /// Tells nobody; for callers that look at [`LogHandle`](crate::LogHandle).
    #[must_use]
    pub fn none() -> Self {
        Self { on_durable: Box::new(|_| {}), on_flushed: Box::new(|_| {}), on_fault: Box::new(|_| {}) }
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}
