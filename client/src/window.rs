//! The requests of one lane that have no answer yet, in order.
//!
//! In: requests. Out: the next to send, and the one that a tag stands for. Tags rise by one; after a lost connection
//! whatever is unanswered is sent again, in the same order. Never here: sockets, clocks of its own.

use std::collections::VecDeque;

use cage_engine::{RequestId, ResultCode};
use cage_protocol::Ask;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::outcome::{Error, Executed};

/// A request and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) ask: Ask,
    pub(crate) id: RequestId,
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Executed, Error>>,
    /// An earlier copy went down with its connection.
    pub(crate) doubt: bool,
    /// Why the server did not take it, when it was last asked.
    pub(crate) code: Option<ResultCode>,
    /// How many requests, from this one on, belong in one frame.
    pub(crate) together: usize,
}

/// Entries by tag. Those before `unsent` were sent on the present stream.
#[derive(Debug, Default)]
pub(crate) struct Window {
    entries: VecDeque<Option<Entry>>,
    /// The tag of the first entry.
    base: u64,
    /// The tag of the first one that is still to be sent.
    unsent: u64,
}

impl Window {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(Some(entry));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many are still to be sent; at most that, because some may have expired.
    pub(crate) fn unsent_max(&self) -> usize {
        self.entries.len() - self.sent()
    }

    fn sent(&self) -> usize {
        (self.unsent - self.base) as usize
    }

    /// The next one to send, and its tag. Counts as sent from here on.
    pub(crate) fn send_next(&mut self) -> Option<(u64, &Entry)> {
        while self.entries.get(self.sent())?.is_none() {
            self.unsent += 1;
        }
        let (place, tag) = (self.sent(), self.unsent);
        self.unsent += 1;
        self.entries[place].as_ref().map(|entry| (tag, entry))
    }

    /// Takes out the one that was answered; nothing if it had expired.
    pub(crate) fn answered(&mut self, tag: u64) -> Option<Entry> {
        let place = usize::try_from(tag.checked_sub(self.base)?).ok()?;
        if place >= self.sent() {
            return None;
        }
        let entry = self.entries[place].take();
        self.trim();
        entry
    }

    /// The stream is gone: everything is to be sent again.
    pub(crate) fn rewind(&mut self) {
        let sent = self.sent();
        for entry in self.entries.iter_mut().take(sent).flatten() {
            entry.doubt = true;
        }
        self.unsent = self.base;
    }

    /// Takes out all that have waited until `now`, each with whether it is with the server. Says when the next
    /// one will have.
    pub(crate) fn expire(&mut self, now: Instant, mut expired: impl FnMut(Entry, bool)) -> Option<Instant> {
        let (sent, mut earliest) = (self.sent(), None);
        for (place, slot) in self.entries.iter_mut().enumerate() {
            match slot {
                Some(entry) if entry.deadline <= now => {
                    if let Some(entry) = slot.take() {
                        expired(entry, place < sent);
                    }
                }
                Some(entry) => {
                    earliest = Some(earliest.map_or(entry.deadline, |at: Instant| at.min(entry.deadline)))
                }
                None => {}
            }
        }
        self.trim();
        earliest
    }

    fn trim(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.base += 1;
        }
        self.unsent = self.unsent.max(self.base);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cage_engine::AssetId;
    use cage_protocol::Read;

    use super::*;

    fn entry(id: u128, deadline: Instant) -> Entry {
        let (answer, _) = oneshot::channel();
        let ask = Ask::Read(Read::Totals { asset: AssetId(1) });
        Entry { ask, id: RequestId(id), deadline, answer, doubt: false, code: None, together: 1 }
    }

    fn sent(window: &mut Window) -> Vec<(u64, u128, bool)> {
        let mut sent = Vec::new();
        while let Some((tag, entry)) = window.send_next() {
            sent.push((tag, entry.id.0, entry.doubt));
        }
        sent
    }

    #[test]
    fn what_is_unanswered_is_sent_again_in_order_and_in_doubt() {
        let later = Instant::now() + Duration::from_secs(5);
        let mut window = Window::default();
        (1..=3).for_each(|id| window.push(entry(id, later)));
        assert_eq!(sent(&mut window), [(0, 1, false), (1, 2, false), (2, 3, false)]);
        assert_eq!(window.answered(1).map(|entry| entry.id.0), Some(2));
        assert!(window.answered(1).is_none(), "an answer counts once");
        window.push(entry(4, later));
        window.rewind();
        assert!(window.answered(0).is_none(), "what was not sent cannot be answered");
        assert_eq!(sent(&mut window), [(0, 1, true), (2, 3, true), (3, 4, false)]);
        (0..4).for_each(|tag| drop(window.answered(tag)));
        assert!(window.is_empty());
    }

    #[test]
    fn an_expired_request_says_whether_the_server_has_it() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut window = Window::default();
        window.push(entry(1, now));
        assert_eq!(sent(&mut window).len(), 1);
        [(2, now), (3, later)].into_iter().for_each(|(id, deadline)| window.push(entry(id, deadline)));
        let mut expired = Vec::new();
        let next = window.expire(now, |entry, sent| expired.push((entry.id.0, sent)));
        assert_eq!(expired, [(1, true), (2, false)]);
        assert_eq!(next, Some(later));
        assert!(window.answered(0).is_none(), "the late answer finds nobody");
        assert_eq!(sent(&mut window), [(2, 3, false)], "what expired unsent is never sent");
    }
}
