//! What lanes, links and handles of one client know together: how far the log was seen, the clock, the last fault.
//!
//! The locks are taken once per connection or checkpoint and by whoever asks; a lock, because readers want the latest value
//! and not a queue of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cage_engine::Timestamp;
use cage_protocol::{SignedCheckpoint, Watermark, Welcome};

use crate::checkpoint::{self, BadCheckpoint, CheckpointKey};
use crate::error::ConnectionError;
use crate::ids::Mint;

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) mint: Mint,
    key: Option<CheckpointKey>,
    /// What an earlier run of this client has seen.
    kept: Watermark,
    /// The highest position of any reply: every batch of replies raises it, and none waits for another.
    lsn: AtomicU64,
    welcome: Mutex<Option<Welcome>>,
    /// The latest that was believed.
    checkpoint: Mutex<Option<SignedCheckpoint>>,
    fault: Mutex<Option<ConnectionError>>,
}

impl Shared {
    pub(crate) fn new(key: Option<CheckpointKey>, kept: Watermark) -> Self {
        Self { key, kept, lsn: AtomicU64::new(kept.lsn), ..Self::default() }
    }

    /// Takes a checkpoint that came on a connection.
    pub(crate) fn believe(&self, next: &SignedCheckpoint) -> Result<(), BadCheckpoint> {
        let log_id = lock(&self.welcome).map_or(0, |welcome| welcome.durable.log_id);
        let mut latest = lock(&self.checkpoint);
        checkpoint::check(next, latest.as_ref(), log_id, self.key.as_ref())?;
        if latest.is_none_or(|latest| latest.checkpoint.lsn <= next.checkpoint.lsn) {
            *latest = Some(*next);
        }
        drop(latest);
        self.saw(next.checkpoint.lsn);
        Ok(())
    }

    pub(crate) fn checkpoint(&self) -> Option<SignedCheckpoint> {
        *lock(&self.checkpoint)
    }

    pub(crate) fn saw(&self, lsn: u64) {
        self.lsn.fetch_max(lsn, Ordering::Relaxed);
    }

    /// The most that was seen of the log: of welcomes, checkpoints and earlier runs the chain that reached furthest, and
    /// of replies.
    pub(crate) fn watermark(&self) -> Watermark {
        let mut seen = lock(&self.welcome).map_or(self.kept, |welcome| welcome.durable);
        if let Some(SignedCheckpoint { checkpoint, .. }) = self.checkpoint()
            && checkpoint.lsn > seen.chain_lsn
        {
            (seen.chain_lsn, seen.chain_head) = (checkpoint.lsn, checkpoint.chain_head);
        }
        Watermark { lsn: seen.lsn.max(self.lsn.load(Ordering::Relaxed)), ..seen }
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
