//! The feed: shows durable records to whoever follows the log, and costs those who write it nothing.
//!
//! In: questions of subscriptions (what follows this record, for this filter?) and, from the log's flusher, each batch that
//! has become durable. Out: an answer to each question, as soon as there is something to tell. Two threads: one holds the
//! latest records in memory, once for all, and everybody who waits for the next; the other reads the log for those who are
//! further back. Never here: a record that is not durable, memory that grows with the number or the slowness of readers.
//!
//! A subscription asks again when its client has taken the last answer. So one that is slow waits for nothing here, holds
//! nothing here, and nobody waits for it.

mod batch;
mod catch_up;
mod live;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use cage_engine::Lsn;
use cage_protocol::Filter;
use cage_wal::{Flushed, LogHandle, Reader};
use tokio::sync::oneshot;

use crate::limits::{FEED_QUEUE_BYTES, SUBSCRIPTIONS_MAX};

/// A question: what comes after a record, for a filter?
#[derive(Debug)]
struct Ask {
    /// The record after which to look.
    after: Lsn,
    /// How far the subscriber knows that nothing was left out.
    told: Lsn,
    filter: Filter,
    /// How many records may be told at most. With 0 it is only asked whether there is one.
    most: usize,
    answer: oneshot::Sender<Result<Part, FeedFault>>,
}

/// An answer: some records, or only how far was looked.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The records, in a frame of the feed; empty if there are none.
    pub frame: Bytes,
    /// How many there are.
    pub count: usize,
    /// The last of them; the place asked for if there are none.
    pub last: Lsn,
    /// Nothing else up to here is wanted by the filter.
    pub position: Lsn,
    /// How far the log was durable.
    pub durable: Lsn,
    /// There is a record behind the position that could not be told, because `most` were.
    pub more: bool,
}

/// Why the log cannot be followed from there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedFault {
    /// The log cannot be read there.
    #[error("the log cannot be read after {after}: {reason}")]
    Unreadable {
        /// Where.
        after: Lsn,
        /// Why.
        reason: String,
    },
    /// The server ends.
    #[error("the server ends")]
    Ended,
}

/// What the thread of the live end is told.
#[derive(Debug)]
enum Event {
    Ask(Ask),
    /// Records that have become durable: the first one, and the bytes of all.
    Flushed(Lsn, Vec<u8>),
    /// A batch was not handed over: there were too many on their way already.
    Missed,
    /// Nobody followed the log until now: what is held may be old.
    Fresh,
    Stop,
}

/// How the flusher hands records over. It never waits, and while nobody follows the log it does nothing.
#[derive(Debug)]
pub struct Tap {
    events: Mutex<Sender<Event>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How many subscriptions there are.
    followers: AtomicUsize,
    /// Bytes that are on their way from the flusher.
    queued_bytes: AtomicUsize,
    /// It was told that something is missing, and that is still on its way.
    missed: AtomicBool,
}

impl Tap {
    /// Takes what was flushed. Called by the flusher, behind the durable LSN.
    pub fn flushed(&self, flushed: &Flushed<'_>) {
        // Whoever begins to follow after this finds the durable LSN risen, and reads the log.
        fence(Ordering::SeqCst);
        if self.shared.followers.load(Ordering::Relaxed) == 0 {
            return;
        }
        let bytes = flushed.count() * cage_engine::RECORD_BYTES;
        let event = if self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed) > FEED_QUEUE_BYTES {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            if self.shared.missed.swap(true, Ordering::Relaxed) {
                return;
            }
            Event::Missed
        } else {
            let mut records = Vec::with_capacity(bytes);
            flushed.copy_to(&mut records);
            Event::Flushed(Lsn(flushed.first_lsn.0), records)
        };
        // One thread calls this; the lock is there because a sender is not to be shared, and is never waited for.
        let _ = self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event);
    }
}

/// The ends of the channel that the threads will take: made before the log is opened, because its flusher needs the tap.
#[derive(Debug)]
pub struct Pipe {
    events: Sender<Event>,
    told: Receiver<Event>,
    shared: Arc<Shared>,
}

impl Pipe {
    /// A pipe, and where the flusher puts in.
    #[must_use]
    pub fn new() -> (Self, Tap) {
        let (events, told) = channel();
        let shared = Arc::<Shared>::default();
        let tap = Tap { events: Mutex::new(events.clone()), shared: Arc::clone(&shared) };
        (Self { events, told, shared }, tap)
    }
}

/// Where subscriptions ask.
pub struct Feed {
    events: Sender<Event>,
    shared: Arc<Shared>,
    subscriptions: Rc<Cell<usize>>,
    log: LogHandle,
    threads: Cell<Vec<JoinHandle<()>>>,
}

/// A subscription's place among all. Given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    subscriptions: Rc<Cell<usize>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.followers.fetch_sub(1, Ordering::Relaxed);
        self.subscriptions.set(self.subscriptions.get() - 1);
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("subscriptions", &self.subscriptions).finish_non_exhaustive()
    }
}

impl Feed {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(pipe: Pipe, log: LogHandle) -> std::io::Result<Self> {
        let Pipe { events, told, shared } = pipe;
        let (behind, to_read) = channel();
        let live = live::Live::new(log.clone(), told, behind, Arc::clone(&shared));
        let catch_up = catch_up::CatchUp::new(log.clone(), to_read, events.clone());
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(run)
        };
        let threads = vec![
            spawn("feed-live", Box::new(move || live.run()))?,
            spawn("feed-reader", Box::new(move || catch_up.run()))?,
        ];
        Ok(Self { events, shared, subscriptions: Rc::default(), log, threads: Cell::new(threads) })
    }

    /// A place for one more subscription; none if all are taken.
    #[must_use]
    pub fn enter(&self) -> Option<Place> {
        if self.subscriptions.get() >= SUBSCRIPTIONS_MAX {
            return None;
        }
        self.subscriptions.set(self.subscriptions.get() + 1);
        if self.shared.followers.fetch_add(1, Ordering::Relaxed) == 0 {
            let _ = self.events.send(Event::Fresh);
        }
        // From here on either the flusher sees the follower, or the follower sees how far the flusher was.
        fence(Ordering::SeqCst);
        Some(Place { shared: Arc::clone(&self.shared), subscriptions: Rc::clone(&self.subscriptions) })
    }

    /// A reader of the log, for another thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.log.reader()
    }

    /// How far the log is durable.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        Lsn(self.log.durable().get().0)
    }

    /// What comes after a record, for a filter: at most so many records. Waits until there is something to tell.
    ///
    /// # Errors
    /// [`FeedFault`] if the log cannot be followed from there.
    pub async fn next(&self, after: Lsn, filter: Filter, most: usize) -> Result<Part, FeedFault> {
        let (answer, answered) = oneshot::channel();
        let asked = self.events.send(Event::Ask(Ask { after, told: after, filter, most, answer }));
        asked.map_err(|_| FeedFault::Ended)?;
        answered.await.unwrap_or(Err(FeedFault::Ended))
    }

    /// Ends the threads. Questions that wait are not answered.
    pub fn stop(&self) {
        let _ = self.events.send(Event::Stop);
        for thread in self.threads.take() {
            let _ = thread.join();
        }
    }
}
