//! What lanes, links and handles of one client know together: how far the log was seen, the clock, the last fault.
//!
//! The two locks are taken once per connection and by whoever asks; a lock, because readers want the latest value
//! and not a queue of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cage_engine::Timestamp;
use cage_protocol::{Watermark, Welcome};

use crate::error::ConnectionError;
use crate::ids::Mint;

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) mint: Mint,
    /// The highest position of any reply: every batch of replies raises it, and none waits for another.
    lsn: AtomicU64,
    welcome: Mutex<Option<Welcome>>,
    fault: Mutex<Option<ConnectionError>>,
}

impl Shared {
    pub(crate) fn saw(&self, lsn: u64) {
        self.lsn.fetch_max(lsn, Ordering::Relaxed);
    }

    /// The most that was seen of the log: of welcomes the one that reached furthest, and of replies.
    pub(crate) fn watermark(&self) -> Watermark {
        let durable = lock(&self.welcome).map_or_else(Watermark::default, |welcome| welcome.durable);
        Watermark { lsn: durable.lsn.max(self.lsn.load(Ordering::Relaxed)), ..durable }
    }

    pub(crate) fn welcome(&self) -> Option<Welcome> {
        *lock(&self.welcome)
    }

    /// A connection stands. Its server was found to have the log that is known, and all of it that was seen.
    pub(crate) fn connected(&self, welcome: &Welcome) {
        self.mint.set_by(Timestamp(welcome.now));
        *lock(&self.fault) = None;
        let mut known = lock(&self.welcome);
        if known.is_none_or(|known| known.durable.lsn <= welcome.durable.lsn) {
            *known = Some(*welcome);
        }
    }

    pub(crate) fn fault(&self) -> Option<ConnectionError> {
        lock(&self.fault).clone()
    }

    pub(crate) fn lost(&self, fault: ConnectionError) {
        *lock(&self.fault) = Some(fault);
    }
}

/// A panic elsewhere leaves the value whole: it is replaced in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
