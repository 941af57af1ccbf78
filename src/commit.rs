//! From appended to durable: keeps the replies of every batch until the log says that they may be seen.
//!
//! In: replies from the sequencer, the durable position from the log's flusher. Out: bytes for the sessions, in
//! the order of decision per stream; only a batch with repetitions, which are read back first, may come after later
//! ones. Never here: a decision about what is durable.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use cage_wal::{Appended, LogHandle};
use tokio::sync::Notify;

use crate::admin::board::Board;
use crate::reply::Replies;
use crate::session::StreamEnd;

/// The replies that wait for the disk.
#[derive(Debug)]
pub struct Commit {
    log: LogHandle,
    waiting: RefCell<VecDeque<Waiting>>,
    /// Rung by the flusher.
    progress: Arc<Notify>,
    /// Rung here after every release: whoever waits for room or for the end looks again.
    released: Notify,
    /// Batches whose repetitions are being read back.
    reading: Cell<usize>,
    fault: Arc<Notify>,
    board: Arc<Board>,
}

#[derive(Debug)]
struct Waiting {
    replies: Appended<Replies>,
    stream: Rc<StreamEnd>,
    arrived: Instant,
}

impl Commit {
    /// For the log behind `log`; `progress` is rung by its flusher, `fault` when it cannot go on.
    #[must_use]
    pub fn new(log: LogHandle, progress: Arc<Notify>, fault: Arc<Notify>, board: Arc<Board>) -> Self {
        let waiting = RefCell::new(VecDeque::new());
        Self { log, waiting, progress, released: Notify::new(), reading: Cell::new(0), fault, board }
    }

    /// Takes the replies of a batch.
    pub fn hold(&self, replies: Appended<Replies>, stream: Rc<StreamEnd>, arrived: Instant) {
        self.waiting.borrow_mut().push_back(Waiting { replies, stream, arrived });
    }

    /// Lets go what is durable, for ever.
    pub async fn run(self: Rc<Self>) {
        loop {
            self.progress.notified().await;
            self.release();
        }
    }

    /// Lets go what is durable now.
    pub fn release(self: &Rc<Self>) {
        let durable = self.log.durable();
        loop {
            let Some(Waiting { replies, stream, arrived }) = self.waiting.borrow_mut().pop_front() else {
                break;
            };
            match replies.release(durable) {
                Ok(replies) => {
                    self.board.numbers.answers.add(arrived.elapsed(), replies.count() as u64);
                    self.send(replies, stream);
                }
                Err(replies) => {
                    self.waiting.borrow_mut().push_front(Waiting { replies, stream, arrived });
                    break;
                }
            }
        }
        self.released.notify_waiters();
    }

    fn send(self: &Rc<Self>, mut replies: Replies, stream: Rc<StreamEnd>) {
        let count = replies.count();
        if !replies.has_repeats() {
            stream.send(replies.into_bytes(), count);
            return;
        }
        self.reading.set(self.reading.get() + 1);
        let this = Rc::clone(self);
        let mut reader = self.log.reader();
        tokio::task::spawn_local(async move {
            let read = tokio::task::spawn_blocking(move || replies.read_back(&mut reader).map(|()| replies));
            match read.await {
                Ok(Ok(replies)) => stream.send(replies.into_bytes(), count),
                Ok(Err(reason)) => {
                    tracing::error!(%reason, "an answered request cannot be read back from the log");
                    this.fault.notify_one();
                }
                Err(panic) => {
                    tracing::error!(%panic, "reading back an answer failed");
                    this.fault.notify_one();
                }
            }
            this.reading.set(this.reading.get() - 1);
            this.released.notify_waiters();
        });
    }

    /// Waits for the next release.
    pub async fn released(&self) {
        self.released.notified().await;
    }

    /// Waits until what was seen of the ledger may be shown.
    pub async fn shown<T>(&self, mut seen: Appended<T>) -> T {
        loop {
            let released = self.released.notified();
            match seen.release(self.log.durable()) {
                Ok(value) => return value,
                Err(again) => seen = again,
            }
            released.await;
        }
    }

    /// Waits until all replies are let go.
    pub async fn drained(&self) {
        loop {
            let released = self.released.notified();
            if self.waiting.borrow().is_empty() && self.reading.get() == 0 {
                return;
            }
            released.await;
        }
    }
}
