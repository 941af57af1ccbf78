//! From a recovered log to a live one.
//!
//! In: what recovery has proven. Out: a writer in a new segment with a new epoch, and its threads. Never
//! here: a byte written into a segment that an earlier process used.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use rtrb::RingBuffer;

use crate::{
    error::{OpenError, StorageError},
    lsn::ChainHash,
    read::{Recovered, Spare},
    storage::Lock,
};

use super::{
    control::{ControlFile, ControlThread},
    flusher::{Flusher, PreviousEnd},
    options::{Callbacks, FlushCallbacks, Identity, LogOptions},
    segments::{Plan, SegmentThread, remove_temporaries},
    shared::{Head, LogHandle, Shared},
    space::Space,
    writer::{Threads, Writer},
};

impl Recovered {
    /// Opens the log for appending: marks it as open in the control file, begins a new segment with the epoch
    /// of `identity`, starts the threads.
    ///
    /// # Errors
    /// The options contradict the format, or the operating system refuses.
    pub fn open(
        self,
        options: LogOptions,
        identity: Identity,
        callbacks: Callbacks,
    ) -> Result<(Writer, LogHandle), OpenError> {
        options.check().map_err(OpenError::Options)?;
        if self.control.is_some_and(|slot| slot.epoch == identity.epoch) {
            return Err(OpenError::Options("the epoch was used before; it has to be random per open"));
        }
        remove_temporaries(&*self.storage)?;
        let log = self.report.log.unwrap_or(identity.new_log);
        let chain = if self.report.log.is_some() { self.report.chain_head } else { ChainHash::genesis(log) };
        let head = Head { lsn: self.report.next_lsn.previous(), chain, end: self.report.end };
        let control = ControlFile::open(
            &*self.storage,
            self.control.as_ref(),
            log,
            identity.epoch,
            &head,
            options.wall_clock_ns,
        )?;
        let previous = PreviousEnd { offset: self.report.end.offset, rest: self.rest };
        let lock: Arc<dyn Lock> = Arc::from(self.lock);
        let plan = plan(&options, Arc::clone(&lock), self.spares, self.report.end.segment + 1);
        let space = Space::new(options.reserve_bytes());
        let shared =
            Shared::new(log, identity.epoch, self.storage, head, self.segments, space, callbacks.on_fault);
        let shared = Arc::new(shared);
        let (ring, consumer) = RingBuffer::new(options.ring_records);
        let (segments, ready) = SegmentThread::start(plan, Arc::clone(&shared))?;
        let Callbacks { on_durable, on_flushed, .. } = callbacks;
        let flush_callbacks = FlushCallbacks { on_durable, on_flushed };
        let flusher = match Flusher::new(
            &options,
            consumer,
            ready,
            previous,
            Arc::clone(&lock),
            flush_callbacks,
            Arc::clone(&shared),
        ) {
            Ok(flusher) => flusher,
            Err(fault) => {
                segments.join();
                return Err(OpenError::Fault(fault));
            }
        };
        let flusher = start(flusher, &shared)?;
        let control =
            ControlThread::start(control, Arc::clone(&shared), Arc::clone(&lock), options.control_interval)
                .inspect_err(|_| shared.close())?;
        let threads = Threads { flusher, segments, control };
        let handle = LogHandle::new(Arc::clone(&shared));
        let writer = Writer {
            ring,
            next: head.lsn.next(),
            records: options.records,
            handle: handle.clone(),
            shared,
            threads: Some(threads),
            lock,
        };
        Ok((writer, handle))
    }
}

/// Whoever may have to wake the flusher is started after this, and so knows its thread.
fn start(flusher: Flusher, shared: &Shared) -> Result<JoinHandle<()>, StorageError> {
    let thread = thread::Builder::new()
        .name("wal-flusher".to_owned())
        .spawn(move || flusher.run())
        .map_err(|error| StorageError::new("start a thread for", "flusher", error))?;
    shared.set_flusher(thread.thread().clone());
    Ok(thread)
}

/// Spares that recovery found are used first; new ones are numbered after them.
fn plan(options: &LogOptions, lock: Arc<dyn Lock>, spares: Vec<Spare>, first_number: u64) -> Plan {
    Plan {
        lock,
        next_number: spares.last().map_or(first_number, |spare| spare.number + 1),
        spares,
        segment_bytes: options.segment_bytes,
        strategy: options.flush,
        ready_segments: options.ready_segments,
    }
}
