//! The space that is prepared: what is left of the segment in use, and the segments that are ready after it.
//!
//! In: segments made ready, taken, filled; attempts that failed. Out: how much is left, and whether the log lives on
//! its reserve. Never here: a look at the disk's free space; only what is prepared counts.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::format::PAGE;

use super::shared::lock;

/// What the flusher and the preparer know of the space. Each number has one thread that writes it, but for the ready
/// ones, which the one counts up and the other down.
#[derive(Debug, Default)]
pub(super) struct Space {
    reserve_bytes: u64,
    /// Of the segment in use.
    in_use: AtomicU64,
    ready_bytes: AtomicU64,
    ready_segments: AtomicU64,
    failing: AtomicBool,
    failures: AtomicU64,
    /// Why the last attempt to prepare a segment failed, if it did.
    failure: Mutex<Option<String>>,
}

/// The prepared space of a live log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSpace {
    /// Bytes that frames can still be written into: in the segment in use, and in those that are ready.
    pub prepared_bytes: u64,
    /// Segments that are ready.
    pub ready_segments: u64,
    /// Of the bytes, how many are kept for what must be recorded.
    pub reserve_bytes: u64,
    /// Why no further segment can be prepared now.
    pub failure: Option<String>,
    /// How many attempts to prepare one have failed since the log was opened.
    pub failures: u64,
}

impl LogSpace {
    /// No further segment can be prepared, and less than the reserve is left.
    #[must_use]
    pub const fn lives_on_reserve(&self) -> bool {
        self.failure.is_some() && self.prepared_bytes < self.reserve_bytes
    }
}

impl Space {
    pub(super) fn new(reserve_bytes: u64) -> Self {
        Self { reserve_bytes, ..Self::default() }
    }

    /// The preparer, with a new segment of so many bytes. Their first page will be a header.
    pub(super) fn ready(&self, bytes: u64) {
        self.ready_bytes.fetch_add(bytes.saturating_sub(PAGE), Ordering::Relaxed);
        self.ready_segments.fetch_add(1, Ordering::Relaxed);
    }

    /// The flusher, when it takes one.
    pub(super) fn taken(&self, bytes: u64) {
        let room = bytes.saturating_sub(PAGE);
        self.ready_bytes.fetch_sub(room, Ordering::Relaxed);
        self.ready_segments.fetch_sub(1, Ordering::Relaxed);
        self.in_use.store(room, Ordering::Relaxed);
    }

    /// The flusher, before it gives the ring room for more: what will be left of the segment in use.
    pub(super) fn left(&self, bytes: u64) {
        self.in_use.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn cannot_prepare(&self, reason: String) {
        *lock(&self.failure) = Some(reason);
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    pub(super) fn can_prepare(&self) {
        *lock(&self.failure) = None;
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    /// Less than the reserve is left, after so many bytes that are on their way.
    pub(super) fn reserve_reached(&self, on_their_way: u64) -> bool {
        self.prepared_bytes().saturating_sub(on_their_way) < self.reserve_bytes
    }

    fn prepared_bytes(&self) -> u64 {
        self.in_use.load(Ordering::Relaxed) + self.ready_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn look(&self) -> LogSpace {
        LogSpace {
            prepared_bytes: self.prepared_bytes(),
            ready_segments: self.ready_segments.load(Ordering::Relaxed),
            reserve_bytes: self.reserve_bytes,
            failure: self.failure(),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}
