//! Keeps segments ready ahead of the flusher: allocated, zeroed, synced, under their final names.
//!
//! In: the spares that recovery found, then a number to go on with. Out: open segment files, in order,
//! through a bounded channel. Never here: a segment header; only the flusher knows what it has to say.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    error::StorageError,
    format::segment_name,
    read::Spare,
    storage::{DurableFile, FlushStrategy, Lock, Storage},
};

use super::shared::Shared;

/// How long to wait before a full disk is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(100);
/// Temporary names end like this; what a crash left under them is removed at the next open.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

/// An all-zero segment under its final name, open for writing.
#[derive(Debug)]
pub(super) struct ReadySegment {
    pub(super) number: u64,
    pub(super) file: Box<dyn DurableFile>,
}

/// What to prepare.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) lock: Arc<dyn Lock>,
    pub(super) spares: Vec<Spare>,
    pub(super) next_number: u64,
    pub(super) segment_bytes: u64,
    pub(super) strategy: FlushStrategy,
    pub(super) ready_segments: usize,
}

/// The flusher's end.
#[derive(Debug)]
pub(super) struct ReadySegments(Receiver<Result<ReadySegment, StorageError>>);

impl ReadySegments {
    /// The next segment; waits if none is ready. `Ok(None)` after `patience`.
    pub(super) fn take(&self, patience: Duration) -> Result<Option<ReadySegment>, StorageError> {
        match self.0.recv_timeout(patience) {
            Ok(Ok(segment)) => Ok(Some(segment)),
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
        }
    }
}

/// The thread that prepares segments.
#[derive(Debug)]
pub(super) struct SegmentThread {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl SegmentThread {
    pub(super) fn start(plan: Plan, shared: Arc<Shared>) -> Result<(Self, ReadySegments), StorageError> {
        // The thread itself holds one more while it waits for room in the channel.
        let (ready, taken) = sync_channel(plan.ready_segments - 1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("wal-segments".to_owned())
            .spawn(move || Preparer { plan, shared, stop: stopped }.run(&ready))
            .map_err(|error| StorageError::new("start a thread for", "segments", error))?;
        Ok((Self { stop, thread }, ReadySegments(taken)))
    }

    /// Ends the thread. The flusher's end of the channel must be gone.
    pub(super) fn join(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        // A panic here shows itself to the flusher as a channel without segments.
        drop(self.thread.join());
    }
}

struct Preparer {
    plan: Plan,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
}

impl Preparer {
    fn run(self, ready: &SyncSender<Result<ReadySegment, StorageError>>) {
        for spare in &self.plan.spares {
            let opened = self.open(spare.number);
            let failed = opened.is_err();
            if ready.send(opened).is_err() || failed {
                return;
            }
        }
        for number in self.plan.next_number.. {
            let prepared = self.prepare_until_it_fits(number);
            let failed = prepared.is_err();
            if ready.send(prepared).is_err() || failed {
                return;
            }
        }
    }

    /// A full disk (or quota) is waited for (the flusher has its own patience); every other failure is final.
    fn prepare_until_it_fits(&self, number: u64) -> Result<ReadySegment, StorageError> {
        loop {
            let error = match self.prepare(number) {
                Ok(segment) => {
                    self.shared.space.can_prepare();
                    return Ok(segment);
                }
                Err(error) => error,
            };
            self.shared.space.cannot_prepare(error.to_string());
            let full =
                matches!(error.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if !full || self.stop.load(Ordering::Relaxed) {
                return Err(error);
            }
            thread::park_timeout(FULL_DISK_PAUSE);
        }
    }

    fn prepare(&self, number: u64) -> Result<ReadySegment, StorageError> {
        let storage = &self.shared.storage;
        let temporary = format!("segment-{number:x}{TEMPORARY_SUFFIX}");
        let Plan { segment_bytes, strategy, .. } = self.plan;
        storage
            .allocate(&temporary, segment_bytes, strategy, &self.stop)
            .and_then(|()| {
                let lost = |error| StorageError::new("go on preparing", &temporary, error);
                self.plan.lock.check().map_err(lost)
            })
            .and_then(|()| storage.rename(&temporary, &segment_name(number)))
            // It never had its final name. If it cannot be removed now, the next open does it.
            .inspect_err(|_| drop(storage.remove(&temporary)))?;
        self.open(number)
    }

    fn open(&self, number: u64) -> Result<ReadySegment, StorageError> {
        let file = self.shared.storage.open_write(&segment_name(number), self.plan.strategy)?;
        self.shared.space.ready(file.bytes());
        Ok(ReadySegment { number, file })
    }
}

/// Removes what a crash left of segments (or a control file) that never became part of the log.
pub(super) fn remove_temporaries(storage: &dyn Storage) -> Result<(), StorageError> {
    for file in storage.list()? {
        let own = file.name.starts_with("segment-") || file.name.starts_with("control");
        if own && file.name.ends_with(TEMPORARY_SUFFIX) {
            storage.remove(&file.name)?;
        }
    }
    Ok(())
}
