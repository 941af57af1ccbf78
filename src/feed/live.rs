//! The live end: the latest records in memory, and everybody who waits for the next.
//!
//! In: batches as they become durable; questions. Out: answers; questions about older records go to the reader. Runs on a
//! thread of its own. Never here: a read of the log, more memory than the limits say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use cage_engine::Lsn;
use cage_wal::LogHandle;

use super::batch::{Batch, Found};
use super::{Ask, Event, Shared};
use crate::limits::{FEED_PROGRESS_EVERY, FEED_TAIL_BYTES};

/// A question that waits for records to come.
#[derive(Debug)]
struct Waiting {
    ask: Ask,
    /// Looked at up to here, and nothing was found.
    position: Lsn,
    since: Instant,
}

/// The thread's own.
pub(super) struct Live {
    log: LogHandle,
    told: Receiver<Event>,
    /// Where questions go about what is no longer, or not yet, in memory.
    behind: Sender<Ask>,
    shared: Arc<Shared>,
    /// Consecutive, oldest first.
    tail: VecDeque<Batch>,
    tail_bytes: usize,
    waiting: Vec<Waiting>,
}

impl Live {
    pub(super) const fn new(
        log: LogHandle,
        told: Receiver<Event>,
        behind: Sender<Ask>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { log, told, behind, shared, tail: VecDeque::new(), tail_bytes: 0, waiting: Vec::new() }
    }

    /// Until it is stopped.
    pub(super) fn run(mut self) {
        loop {
            let event = if self.waiting.is_empty() {
                self.told.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.told.recv_timeout(FEED_PROGRESS_EVERY)
            };
            match event {
                Ok(Event::Ask(ask)) => self.take(ask),
                Ok(Event::Flushed(first, records)) => self.flushed(first, records),
                Ok(Event::Fresh) => self.forget(),
                Ok(Event::Missed) => {
                    self.shared.missed.store(false, Ordering::Relaxed);
                    self.forget();
                    self.send_back_those_behind();
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.send_back_those_behind();
                    self.tell_progress();
                }
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn durable(&self) -> Lsn {
        Lsn(self.log.durable().get().0)
    }

    /// The last record in memory; 0 if there is none.
    fn end(&self) -> Lsn {
        self.tail.back().map_or(Lsn::NONE, Batch::last)
    }

    fn take(&mut self, ask: Ask) {
        let mut found = Found::new(ask.after, ask.most);
        let held = self.tail.front().is_some_and(|oldest| oldest.first().0 <= ask.after.0 + 1);
        // What lies behind the records that are held is on its way here.
        if held {
            let from = self.tail.partition_point(|batch| batch.last() <= ask.after);
            for batch in self.tail.range(from..) {
                if !batch.find(&ask.filter, &mut found) {
                    break;
                }
            }
        } else if ask.after < self.durable() {
            // Those that ended before the thread that reads are not answered any more.
            let _ = self.behind.send(ask);
            return;
        }
        if found.is_something() {
            let durable = self.durable();
            let _ = ask.answer.send(Ok(found.into_part(durable)));
            return;
        }
        self.waiting.push(Waiting { position: found.position, ask, since: Instant::now() });
    }

    fn flushed(&mut self, first: Lsn, records: Vec<u8>) {
        self.shared.queued_bytes.fetch_sub(records.len(), Ordering::Relaxed);
        let batch = match Batch::new(first, records) {
            Ok(batch) => batch,
            Err(reason) => {
                tracing::error!(%reason, "the feed was handed what is no record");
                return self.forget();
            }
        };
        if !self.tail.is_empty() && self.end().0 + 1 != first.0 {
            self.forget();
        }
        self.offer(&batch);
        self.tail_bytes += batch.bytes();
        self.tail.push_back(batch);
        while self.tail_bytes > FEED_TAIL_BYTES && self.tail.len() > 1 {
            let oldest = self.tail.pop_front();
            self.tail_bytes -= oldest.map_or(0, |oldest| oldest.bytes());
        }
    }

    /// Answers those who waited for what is in this batch.
    fn offer(&mut self, batch: &Batch) {
        let durable = self.durable();
        let mut at = 0;
        while at < self.waiting.len() {
            let waiting = &mut self.waiting[at];
            if waiting.ask.answer.is_closed() {
                self.waiting.swap_remove(at);
                continue;
            }
            if waiting.position.0 + 1 < batch.first().0 {
                // Something between was not handed over.
                let Waiting { ask, position, .. } = self.waiting.swap_remove(at);
                let _ = self.behind.send(Ask { after: position, ..ask });
                continue;
            }
            let mut found = Found::new(waiting.position, waiting.ask.most);
            batch.find(&waiting.ask.filter, &mut found);
            let is_late = waiting.since.elapsed() >= FEED_PROGRESS_EVERY;
            if found.is_something() || is_late {
                let Waiting { ask, .. } = self.waiting.swap_remove(at);
                let _ = ask.answer.send(Ok(found.into_part(durable)));
                continue;
            }
            waiting.position = found.position;
            at += 1;
        }
    }

    /// Those for whom the log is further than what was handed over read it.
    fn send_back_those_behind(&mut self) {
        let (durable, end) = (self.durable(), self.end());
        for Waiting { ask, position, .. } in
            self.waiting.extract_if(.., |waiting| waiting.position < durable && waiting.position >= end)
        {
            let _ = self.behind.send(Ask { after: position, ..ask });
        }
    }

    /// Tells those who have waited long, and for whom nothing came, how far was looked.
    fn tell_progress(&mut self) {
        let durable = self.durable();
        let long = |waiting: &mut Waiting| {
            let moved = waiting.position > waiting.ask.told;
            waiting.ask.answer.is_closed() || (moved && waiting.since.elapsed() >= FEED_PROGRESS_EVERY)
        };
        for Waiting { ask, position, .. } in self.waiting.extract_if(.., long) {
            let _ = ask.answer.send(Ok(Found::new(position, 0).into_part(durable)));
        }
    }

    fn forget(&mut self) {
        self.tail.clear();
        self.tail_bytes = 0;
    }
}
