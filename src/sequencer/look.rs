//! Looks at the ledger from elsewhere on its thread, between two batches.
//!
//! In: what to look at, as a function of the state. Out: what it gives, and the latest record that it saw: nothing of it may be
//! shown before that is durable. Never here: a change of the state, a look that takes long.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;

use cage_engine::{Lsn, State};
use cage_wal::Appended;
use tokio::sync::{Notify, oneshot};

type Look = Box<dyn FnOnce(&State)>;

/// The looks that wait.
#[derive(Default)]
pub struct Looks {
    waiting: RefCell<VecDeque<Look>>,
    asked: Notify,
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looks").field("waiting", &self.waiting.borrow().len()).finish_non_exhaustive()
    }
}

impl Looks {
    /// Looks, as soon as the sequencer is between two batches. Nothing if it has ended.
    pub async fn look<T: 'static>(&self, at: impl FnOnce(&State) -> T + 'static) -> Option<Appended<T>> {
        let (answer, answered) = oneshot::channel();
        self.waiting.borrow_mut().push_back(Box::new(move |state| {
            let Lsn(next) = state.next_lsn();
            // Whoever asked may have gone away.
            let _ = answer.send(Appended::new(cage_wal::Lsn(next - 1), at(state)));
        }));
        self.asked.notify_one();
        answered.await.ok()
    }

    /// Waits until somebody wants to look.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Lets look at most so many who wait; the others after the next batches.
    pub fn serve(&self, state: &State, most: usize) {
        for _ in 0..most {
            let Some(look) = self.waiting.borrow_mut().pop_front() else { return };
            look(state);
        }
        if !self.waiting.borrow().is_empty() {
            self.asked.notify_one();
        }
    }
}
