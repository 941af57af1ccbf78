//! The writer: hands records to the flusher and numbers them.
//!
//! In: records from the one thread that owns the writer. Out: their LSNs, at once. Never here: a wait for the
//! disk.

use std::{mem, sync::atomic::Ordering, thread::JoinHandle};

use rtrb::Producer;

use crate::{
    error::LogFault,
    format::{FRAME_MAGIC, LINKED_RECORDS_MAX, RECORD_BYTES, Record, SEGMENT_MAGIC},
    lsn::{ChainHash, DurableLsn, Lsn},
    storage::Lock,
};

use super::{
    control::ControlThread, options::RecordTraits, segments::SegmentThread, shared::LogHandle, shared::Shared,
};

/// The ring has no room: the disk is slower than the caller. Nothing was taken; try again later, or turn work
/// away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log takes no more records until the disk has caught up")]
pub struct Full;

/// The end of an orderly close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The last record.
    pub durable: DurableLsn,
    /// The chain after it.
    pub chain_head: ChainHash,
}

/// The only way to append. Dropping it without [`close`](Self::close) makes everything appended durable, but
/// leaves the log marked as not closed.
#[derive(Debug)]
pub struct Writer {
    pub(super) ring: Producer<Record>,
    pub(super) next: Lsn,
    pub(super) records: RecordTraits,
    pub(super) handle: LogHandle,
    pub(super) shared: std::sync::Arc<Shared>,
    pub(super) threads: Option<Threads>,
    /// Last, so that it is released after everything else.
    pub(super) lock: std::sync::Arc<dyn Lock>,
}

#[derive(Debug)]
pub(super) struct Threads {
    pub(super) flusher: JoinHandle<()>,
    pub(super) segments: SegmentThread,
    pub(super) control: ControlThread,
}

impl Writer {
    /// The LSN of the next record.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// How many records the ring takes now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.ring.slots()
    }

    /// Whether no further segment can be prepared now: the disk is full, above all. Costs one load.
    #[must_use]
    pub fn space_is_short(&self) -> bool {
        self.shared.space.is_failing()
    }

    /// Whether, besides, less than the reserve ([`LogOptions::reserve_segments`](crate::LogOptions)) is left after
    /// everything that was appended. From then on only what cannot wait should be appended. Passes by itself when
    /// there is space again.
    #[must_use]
    pub fn lives_on_reserve(&self) -> bool {
        let waiting = self.ring.buffer().capacity() - self.ring.slots();
        self.space_is_short() && self.shared.space.reserve_reached((waiting * RECORD_BYTES) as u64)
    }

    /// A handle to watch the log with.
    #[must_use]
    pub const fn handle(&self) -> &LogHandle {
        &self.handle
    }

    /// Appends one record and returns its LSN. The flusher may see it at once; [`publish`](Self::publish)
    /// makes sure.
    ///
    /// # Errors
    /// [`Full`]; nothing was appended.
    ///
    /// # Panics
    /// If the record is linked to a next one, or begins with the magic of a frame or a segment.
    pub fn append(&mut self, record: &Record) -> Result<Lsn, Full> {
        self.append_linked(std::slice::from_ref(record))
    }

    /// Appends records that are linked to each other: the flusher sees all of them or none, and they lie in
    /// one frame. Returns the LSN of the first.
    ///
    /// # Errors
    /// [`Full`]; nothing was appended.
    ///
    /// # Panics
    /// If there are no records or more than [`LINKED_RECORDS_MAX`], if all but the last are not linked, if
    /// the last one is, or if a record begins with the magic of a frame or a segment.
    pub fn append_linked(&mut self, records: &[Record]) -> Result<Lsn, Full> {
        self.check_run(records);
        self.ring.push_entire_slice(records).map_err(|_| Full)?;
        let first = self.next;
        self.next = first.plus(records.len() as u64);
        Ok(first)
    }

    fn check_run(&self, records: &[Record]) {
        assert!(
            (1..=LINKED_RECORDS_MAX).contains(&records.len()),
            "a run has 1 to {LINKED_RECORDS_MAX} records"
        );
        for (index, record) in records.iter().enumerate() {
            let linked = (self.records.linked)(record);
            assert_eq!(linked, index + 1 < records.len(), "each record of a run is linked, except the last");
            let magic = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
            assert!(magic != FRAME_MAGIC && magic != SEGMENT_MAGIC, "a record never looks like a header");
        }
    }

    /// Wakes the flusher if it sleeps. Call it after a batch of appends.
    pub fn publish(&mut self) {
        self.shared.counters.appended.store(self.next.previous().0, Ordering::Relaxed);
        self.shared.published();
    }

    /// Makes everything appended durable, marks the log as closed in order and ends its threads.
    ///
    /// # Errors
    /// The fault that stopped the log, now or earlier.
    pub fn close(mut self) -> Result<Closed, LogFault> {
        self.finish(true)?;
        let head = self.shared.head();
        assert_eq!(head.lsn.next(), self.next, "everything appended is durable");
        Ok(Closed { durable: DurableLsn::new(head.lsn), chain_head: head.chain })
    }

    fn finish(&mut self, clean: bool) -> Result<(), LogFault> {
        let Some(threads) = mem::take(&mut self.threads) else { return Ok(()) };
        self.shared.close();
        // The flusher catches its own panics and latches them.
        drop(threads.flusher.join());
        threads.segments.join();
        let control = threads.control.join();
        if let Some(fault) = self.shared.fault() {
            return Err(fault.clone());
        }
        if !clean {
            return Ok(());
        }
        let closed = match control {
            Some(mut control) => control.write_clean(&self.shared, &*self.lock),
            None => Err(LogFault::Panicked { thread: "control" }),
        };
        closed.inspect_err(|fault| self.shared.latch(fault.clone()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A fault was told to the callback and stays in the handle.
        drop(self.finish(false));
    }
}
