//! Reads a log on one thread and uses its records on another.
//!
//! In: a scan of the log, which verifies every frame, and what is to be done with the records. Out: what the scan says, or
//! the first fault of either side. Never here: frames out of order, a frame that was not verified, more than a few
//! batches of records in memory.

use std::mem;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use cage_engine::{Lsn, Record};
use cage_wal::{ChainHash, FrameView, LogId, RecoveryError};

use crate::limits::{READ_AHEAD_BATCHES, READ_AHEAD_RECORDS};
use crate::recovery::{self, ReplayFault};

/// What is known of a frame when its bytes are gone.
#[derive(Clone, Copy, Debug)]
pub struct FrameFacts {
    /// The log.
    pub log: LogId,
    /// Its first record.
    pub first_lsn: Lsn,
    /// Its last record.
    pub last_lsn: Lsn,
    /// The chain after it.
    pub chain: ChainHash,
}

impl From<&FrameView<'_>> for FrameFacts {
    fn from(frame: &FrameView<'_>) -> Self {
        let FrameView { log, first_lsn, last_lsn, chain, .. } = *frame;
        Self { log, first_lsn: Lsn(first_lsn.0), last_lsn: Lsn(last_lsn.0), chain }
    }
}

/// Some frames, one after the other, with their records.
#[derive(Debug, Default)]
struct Batch {
    frames: Vec<FrameFacts>,
    records: Vec<(Lsn, Record)>,
}

/// What a scan has to call for each frame, in order.
pub type Visitor<'a> = &'a mut dyn FnMut(&FrameView<'_>) -> Result<(), ReplayFault>;

/// Runs `scan` here with a visitor that decodes each frame's records, and `take` on a thread of its own, frame by frame
/// in the log's order. When it returns, every frame that was visited was taken, or something failed.
///
/// # Errors
/// What `scan` says; else the first fault of a record that cannot be read, or of `take`.
pub fn read_ahead<T>(
    scan: impl FnOnce(Visitor<'_>) -> Result<T, RecoveryError<ReplayFault>>,
    mut take: impl FnMut(&FrameFacts, &[(Lsn, Record)]) -> Result<(), ReplayFault> + Send,
) -> Result<T, RecoveryError<ReplayFault>> {
    let refused = OnceLock::new();
    let (full, batches) = sync_channel(READ_AHEAD_BATCHES);
    let (empty, used) = channel();
    let mut decoder = Decoder { filling: Batch::default(), full, used, refused: &refused };
    let scanned = thread::scope(|scope| {
        scope.spawn(|| {
            // Both ends of the channels are dropped with the loop, whatever ends it: the other side then stops waiting.
            let (batches, empty) = (batches, empty);
            take_all(&batches, &empty, &refused, &mut take);
        });
        let scanned = scan(&mut |frame| decoder.decode(frame));
        // What was read is taken even if reading failed later: an audit says all that it found up to there.
        let sent = decoder.send();
        drop(decoder);
        match (scanned, sent) {
            (Ok(_), Err(fault)) => Err(stopped(fault)),
            (scanned, _) => scanned,
        }
    });
    match refused.get() {
        Some(fault) if scanned.is_ok() => Err(stopped(*fault)),
        _ => scanned,
    }
}

const fn stopped(source: ReplayFault) -> RecoveryError<ReplayFault> {
    RecoveryError::Visit { lsn: cage_wal::Lsn(source.lsn().0), source }
}

/// The side that reads.
struct Decoder<'a> {
    filling: Batch,
    full: SyncSender<Batch>,
    /// Batches that were taken, for their room.
    used: Receiver<Batch>,
    /// Why the other side takes no more.
    refused: &'a OnceLock<ReplayFault>,
}

impl Decoder<'_> {
    fn decode(&mut self, frame: &FrameView<'_>) -> Result<(), ReplayFault> {
        for (lsn, record) in recovery::records(frame)? {
            self.filling.records.push((lsn, record?));
        }
        self.filling.frames.push(frame.into());
        if self.filling.records.len() < READ_AHEAD_RECORDS {
            return Ok(());
        }
        self.send()
    }

    fn send(&mut self) -> Result<(), ReplayFault> {
        let mut next = self.used.try_recv().unwrap_or_default();
        next.frames.clear();
        next.records.clear();
        let batch = mem::replace(&mut self.filling, next);
        match (self.full.send(batch), self.refused.get()) {
            (Err(_), Some(fault)) => Err(*fault),
            // Without a fault the other side can only have panicked, and the scope passes that on.
            _ => Ok(()),
        }
    }
}

/// The side that takes.
fn take_all(
    batches: &Receiver<Batch>,
    empty: &Sender<Batch>,
    refused: &OnceLock<ReplayFault>,
    take: &mut impl FnMut(&FrameFacts, &[(Lsn, Record)]) -> Result<(), ReplayFault>,
) {
    for batch in batches {
        let mut rest = batch.records.as_slice();
        for frame in &batch.frames {
            let count = (frame.last_lsn.0 + 1 - frame.first_lsn.0) as usize;
            let (records, after) = rest.split_at(count.min(rest.len()));
            rest = after;
            if let Err(fault) = take(frame, records) {
                // Set once: this is the only place, and it ends the loop.
                let _set = refused.set(fault);
                return;
            }
        }
        // The other side may be gone already.
        drop(empty.send(batch));
    }
}
