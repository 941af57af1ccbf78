//! What the threads of a live log know in common.
//!
//! In: the flusher's progress. Out: watermarks, the chain head, counters, the fault that stopped it. Never
//! here: a durable LSN that goes back, or moves after a fault.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
    thread::Thread,
};

use crate::{
    error::{LogFault, StorageError},
    lsn::{ChainHash, DurableLsn, Epoch, LogId, Lsn, Position},
    read::{Scrubbed, SegmentExtent, scrub_segment},
    storage::{Lock, Storage},
};

use super::chains::{FrameEnd, RecentFrames};
use super::{
    reader::Reader,
    space::{LogSpace, Space},
    stats::{Counters, LogStats},
};

/// The end of the durable log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) lsn: Lsn,
    pub(super) chain: ChainHash,
    pub(super) end: Position,
}

/// Where to look for a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundSegment {
    /// Up to the end of the last durable frame.
    pub(super) extent: SegmentExtent,
    /// The LSN after the segment's last durable record.
    pub(super) end_lsn: Lsn,
    /// Nobody writes to the segment any more.
    pub(super) sealed: bool,
}

pub(super) struct Shared {
    pub(super) log: LogId,
    pub(super) epoch: Epoch,
    pub(super) storage: Arc<dyn Storage>,
    durable: AtomicU64,
    /// Contended by the flusher (once per flush) and by readers of the chain head (a few per second): a lock
    /// is the simplest way to give them LSN, hash and position of the same moment.
    head: Mutex<Head>,
    /// Contended like `head`, and as rarely.
    recent: Mutex<RecentFrames>,
    /// Written at rotation, read by readers of records.
    segments: RwLock<Vec<SegmentExtent>>,
    fault: OnceLock<LogFault>,
    on_fault: Box<dyn Fn(&LogFault) + Send + Sync>,
    pub(super) counters: Counters,
    pub(super) space: Space,
    flusher: OnceLock<Thread>,
    flusher_sleeps: AtomicBool,
    closing: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        log: LogId,
        epoch: Epoch,
        storage: Arc<dyn Storage>,
        head: Head,
        segments: Vec<SegmentExtent>,
        space: Space,
        on_fault: Box<dyn Fn(&LogFault) + Send + Sync>,
    ) -> Self {
        let mut recent = RecentFrames::default();
        recent.extend(&[FrameEnd { last_lsn: head.lsn, chain: head.chain }]);
        Self {
            log,
            epoch,
            storage,
            durable: AtomicU64::new(head.lsn.0),
            head: Mutex::new(head),
            recent: Mutex::new(recent),
            segments: RwLock::new(segments),
            fault: OnceLock::new(),
            on_fault,
            counters: Counters::since(head.lsn),
            space,
            flusher: OnceLock::new(),
            flusher_sleeps: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    pub(super) fn durable(&self) -> DurableLsn {
        DurableLsn::new(Lsn(self.durable.load(Ordering::Acquire)))
    }

    pub(super) fn head(&self) -> Head {
        *lock(&self.head)
    }

    /// The flusher, after a write that succeeded. Refused once the log has stopped.
    pub(super) fn advance(&self, head: Head) -> Result<DurableLsn, LogFault> {
        if let Some(fault) = self.fault() {
            return Err(fault.clone());
        }
        assert!(head.lsn >= self.durable().get(), "the durable LSN only rises");
        *lock(&self.head) = head;
        self.durable.store(head.lsn.0, Ordering::Release);
        Ok(DurableLsn::new(head.lsn))
    }

    /// The flusher, before it advances to the last of them.
    pub(super) fn remember(&self, frames: &[FrameEnd]) {
        lock(&self.recent).extend(frames);
    }

    /// Whether other writers are still kept out.
    pub(super) fn check_lock(&self, lock: &dyn Lock) -> Result<(), LogFault> {
        lock.check()
            .map_err(|error| LogFault::LockLost { reason: error.to_string(), durable: self.durable() })
    }

    pub(super) fn begin_segment(&self, extent: SegmentExtent) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(extent);
    }

    /// The flusher, before it leaves a segment: where its frames end.
    pub(super) fn end_segment(&self, end: u64) {
        if let Some(last) = self.segments.write().unwrap_or_else(PoisonError::into_inner).last_mut() {
            last.end = end;
        }
    }

    /// The segment that holds a durable record. `Err` names the oldest one that is known.
    pub(super) fn segment_of(&self, lsn: Lsn) -> Result<FoundSegment, Option<SegmentExtent>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let index = segments.partition_point(|segment| segment.first_lsn <= lsn);
        let Some(mut extent) = index.checked_sub(1).and_then(|index| segments.get(index)).copied() else {
            return Err(segments.first().copied());
        };
        if let Some(next) = segments.get(index) {
            return Ok(FoundSegment { extent, end_lsn: next.first_lsn, sealed: true });
        }
        let head = self.head();
        if head.end.segment == extent.number {
            extent.end = head.end.offset;
        }
        Ok(FoundSegment { extent, end_lsn: head.lsn.next(), sealed: false })
    }

    /// The numbers of the segments that begin with this LSN: several if all but the last hold no frames.
    pub(super) fn segments_from(&self, first_lsn: Lsn) -> Vec<u64> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments
            .iter()
            .filter(|segment| segment.first_lsn == first_lsn)
            .map(|segment| segment.number)
            .collect()
    }

    /// A sealed segment was read back and is good.
    fn has_verified(&self, number: u64) {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = segments.iter().position(|segment| segment.number == number) else { return };
        let Some(next) = segments.get(at + 1) else { return };
        let verified = &self.counters.verified;
        if segments[at].first_lsn.0 <= verified.load(Ordering::Relaxed) + 1 {
            verified.fetch_max(next.first_lsn.previous().0, Ordering::Relaxed);
        }
    }

    pub(super) fn fault(&self) -> Option<&LogFault> {
        self.fault.get()
    }

    /// Stops the log for good. The first fault is the one that is told.
    pub(super) fn latch(&self, fault: LogFault) {
        if self.fault.set(fault).is_ok()
            && let Some(fault) = self.fault()
        {
            (self.on_fault)(fault);
        }
        self.wake();
    }

    pub(super) fn set_flusher(&self, thread: Thread) {
        // Set once, when it has been started.
        drop(self.flusher.set(thread));
    }

    /// The flusher is about to sleep: whoever publishes from now on will wake it. It has to look at the ring
    /// once more after this. (The two fences make sure that not both sides miss the other.)
    pub(super) fn announce_sleep(&self) {
        self.flusher_sleeps.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(super) fn cancel_sleep(&self) {
        self.flusher_sleeps.store(false, Ordering::Relaxed);
    }

    /// After records were put into the ring. Costs a fence and a load while the flusher is awake.
    pub(super) fn published(&self) {
        fence(Ordering::SeqCst);
        if self.flusher_sleeps.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    fn wake(&self) {
        self.flusher_sleeps.store(false, Ordering::Relaxed);
        if let Some(flusher) = self.flusher.get() {
            flusher.unpark();
        }
    }

    /// No more records will come.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("log", &self.log).field("head", &self.head()).finish_non_exhaustive()
    }
}

/// A lock whose holder panicked still guards plain values.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches a live log from any thread.
#[derive(Clone, Debug)]
pub struct LogHandle {
    shared: Arc<Shared>,
}

impl LogHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What is durable now. One atomic load.
    #[must_use]
    pub fn durable(&self) -> DurableLsn {
        self.shared.durable()
    }

    /// The last durable LSN and the chain after it, both of the same moment.
    #[must_use]
    pub fn chain_head(&self) -> (Lsn, ChainHash) {
        let head = self.shared.head();
        (head.lsn, head.chain)
    }

    /// The chain after the frame that ends with `lsn`, if it is one of the latest; [`Reader::knows_chain`] looks
    /// further back.
    #[must_use]
    pub fn recent_chain(&self, lsn: Lsn) -> Option<ChainHash> {
        lock(&self.shared.recent).chain_after(lsn)
    }

    /// The frames after the one that ends with `lsn`; `None` if some of them are forgotten already, or no frame ends
    /// there.
    #[must_use]
    pub fn recent_frames(&self, lsn: Lsn) -> Option<Vec<FrameEnd>> {
        let durable = self.durable().get();
        let mut frames = lock(&self.shared.recent).after(lsn)?;
        frames.truncate(frames.partition_point(|frame| frame.last_lsn <= durable));
        Some(frames)
    }

    /// The end of the durable log in its files.
    #[must_use]
    pub fn end(&self) -> Position {
        self.shared.head().end
    }

    /// Why the log stopped, if it did. It then never makes anything durable again.
    #[must_use]
    pub fn failed(&self) -> Option<LogFault> {
        self.shared.fault().cloned()
    }

    /// Why the last attempt to prepare a segment ahead failed (a full disk, above all). The log goes on until
    /// the prepared ones are used up.
    #[must_use]
    pub fn preparation_failure(&self) -> Option<String> {
        self.shared.space.failure()
    }

    /// How much prepared space is left, and whether there will be more.
    #[must_use]
    pub fn space(&self) -> LogSpace {
        self.shared.space.look()
    }

    /// The epoch of this open.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// The log.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.shared.log
    }

    /// What it did since it was opened, and how it stands. Not for every batch: it looks at a thousand numbers.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.shared.counters.look(self.durable().get(), &self.space())
    }

    /// The segments that nobody writes to any more, oldest first.
    #[must_use]
    pub fn sealed_segments(&self) -> Vec<u64> {
        let segments = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        let sealed = segments.len().saturating_sub(1);
        segments[..sealed].iter().map(|segment| segment.number).collect()
    }

    /// Reads a sealed segment again, from the device, as [`scrub_segment`] does. If it is good and follows what is
    /// verified, [`LogStats::verified`] rises to its end.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn scrub(&self, number: u64, pace: &mut dyn FnMut(u64) -> bool) -> Result<Scrubbed, StorageError> {
        let found = scrub_segment(&*self.shared.storage, number, pace)?;
        if matches!(found, Scrubbed::Good { .. }) {
            self.shared.has_verified(number);
        }
        Ok(found)
    }

    /// A reader of single records; each thread should have its own.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }
}
