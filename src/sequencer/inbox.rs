//! What waits for the sequencer, in order of arrival.
//!
//! In: batches from all sessions. Out: the same, in order. Bounded by number of requests: a session that finds it
//! full waits, and so reads no more. Never here: threads; endpoint, sessions and sequencer share one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;

use crate::admission::Ticket;
use crate::limits::INBOX_ITEMS_MAX;
use crate::session::StreamEnd;

/// Requests of one stream, in their order.
#[derive(Debug)]
pub struct Batch {
    /// Where the replies go.
    pub stream: Rc<StreamEnd>,
    /// The requests.
    pub tickets: Vec<Ticket>,
    /// When their last byte came.
    pub arrived: Instant,
}

/// The queue in front of the sequencer.
#[derive(Debug, Default)]
pub struct Inbox {
    batches: RefCell<VecDeque<Batch>>,
    items: Cell<usize>,
    filled: Notify,
    emptied: Notify,
}

impl Inbox {
    /// Adds a batch, once there is room.
    pub async fn push(&self, batch: Batch) {
        while self.items.get() + batch.tickets.len() > INBOX_ITEMS_MAX {
            self.emptied.notified().await;
        }
        self.items.set(self.items.get() + batch.tickets.len());
        self.batches.borrow_mut().push_back(batch);
        self.filled.notify_one();
    }

    /// Takes the oldest batch.
    pub fn pop(&self) -> Option<Batch> {
        let batch = self.batches.borrow_mut().pop_front()?;
        self.items.set(self.items.get() - batch.tickets.len());
        self.emptied.notify_one();
        Some(batch)
    }

    /// How many requests wait.
    pub const fn items(&self) -> usize {
        self.items.get()
    }

    /// Puts a batch back in front: it could not be done yet.
    pub fn put_back(&self, batch: Batch) {
        self.items.set(self.items.get() + batch.tickets.len());
        self.batches.borrow_mut().push_front(batch);
    }

    /// Waits until something was added since the last wait.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }
}
