//! The requests of one lane that have no answer yet, in order.
//!
//! In: requests. Out: the next to send, and the one that a reply is for. Tags rise by one; after a lost connection
//! whatever is unanswered is sent again, in the same order. Never here: sockets, clocks of its own.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use cage_engine::{RequestId, ResultCode};
use cage_protocol::{Ask, Reply};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::outcome::{Error, Executed};

/// What is asked, and who waits for the answer.
#[derive(Debug)]
pub(crate) enum Question {
    One { id: RequestId, ask: Ask, answer: oneshot::Sender<Result<Executed, Error>> },
    Session { id: RequestId, grant: u16, token: Token, answer: oneshot::Sender<Result<Executed, Error>> },
    Group(Box<Group>),
}

/// Whoever has it can be its player: it is in no message and no log.
pub(crate) struct Token(pub(crate) Bytes);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// Requests that happen together or not at all, and so are sent, answered and sent again together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) members: Vec<(RequestId, Ask)>,
    /// The replies that are there, each in its member's place.
    pub(crate) replies: Vec<Option<Reply>>,
    pub(crate) answer: oneshot::Sender<Vec<Result<Executed, Error>>>,
}

/// A question under way.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) question: Question,
    pub(crate) deadline: Instant,
    /// An earlier copy went down with its connection.
    pub(crate) doubt: bool,
    /// Why the server did not take it, when it was last asked.
    pub(crate) code: Option<ResultCode>,
    /// How many requests, from this one on, belong in one frame.
    pub(crate) together: usize,
}

impl Entry {
    /// How many replies it gets, and so how many tags it takes.
    pub(crate) const fn size(&self) -> usize {
        match &self.question {
            Question::One { .. } | Question::Session { .. } => 1,
            Question::Group(group) => group.members.len(),
        }
    }

    /// Forgets the replies that are there: all of it is asked again.
    pub(crate) fn forget_replies(&mut self) {
        if let Question::Group(group) = &mut self.question {
            group.replies.fill(None);
        }
    }

    /// Takes the reply of a member; says whether all are there.
    fn take_reply(&mut self, member: usize, reply: &Reply) -> bool {
        match &mut self.question {
            Question::One { .. } | Question::Session { .. } => true,
            Question::Group(group) => {
                group.replies[member] = Some(*reply);
                group.replies.iter().all(Option::is_some)
            }
        }
    }

    /// Answers with what `outcome` makes of each request in it.
    pub(crate) fn answer(self, mut outcome: impl FnMut(RequestId) -> Result<Executed, Error>) {
        // Whoever asked may have gone away: then nobody wants the answer.
        match self.question {
            Question::One { id, answer, .. } | Question::Session { id, answer, .. } => {
                let _ = answer.send(outcome(id));
            }
            Question::Group(group) => {
                let _ = group.answer.send(group.members.iter().map(|(id, _)| outcome(*id)).collect());
            }
        }
    }
}

#[derive(Debug)]
enum Slot {
    /// Answered, or expired.
    Free,
    Entry(Entry),
    /// A further member of the group that stands so many places before.
    Member(usize),
}

/// Entries by tag; a group takes as many tags as it has members. Those before `unsent` were sent on the present
/// stream.
#[derive(Debug, Default)]
pub(crate) struct Window {
    slots: VecDeque<Slot>,
    /// The tag of the first slot.
    base: u64,
    /// The tag of the first one that is still to be sent.
    unsent: u64,
}

impl Window {
    pub(crate) fn push(&mut self, entry: Entry) {
        let size = entry.size();
        self.slots.push_back(Slot::Entry(entry));
        self.slots.extend((1..size).map(Slot::Member));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many are still to be sent; at most that, because some may have expired.
    pub(crate) fn unsent_max(&self) -> usize {
        self.slots.len() - self.sent()
    }

    fn sent(&self) -> usize {
        (self.unsent - self.base) as usize
    }

    /// How many tags the next one to send takes; nothing if all are sent.
    pub(crate) fn next_size(&mut self) -> Option<usize> {
        loop {
            match self.slots.get(self.sent())? {
                Slot::Entry(entry) => return Some(entry.size()),
                Slot::Free | Slot::Member(_) => self.unsent += 1,
            }
        }
    }

    /// The next one to send, and its first tag. Counts as sent from here on.
    pub(crate) fn send_next(&mut self) -> Option<(u64, &Entry)> {
        let size = self.next_size()?;
        let (place, tag) = (self.sent(), self.unsent);
        self.unsent += size as u64;
        match &self.slots[place] {
            Slot::Entry(entry) => Some((tag, entry)),
            Slot::Free | Slot::Member(_) => None,
        }
    }

    /// Takes out the one that is answered with this reply; nothing if it had expired, or is a group with replies
    /// still to come.
    pub(crate) fn answered(&mut self, reply: &Reply) -> Option<Entry> {
        let place = usize::try_from(reply.tag.checked_sub(self.base)?).ok()?;
        if place >= self.sent() {
            return None;
        }
        let member = match &self.slots[place] {
            Slot::Free => return None,
            Slot::Entry(_) => 0,
            Slot::Member(distance) => *distance,
        };
        let Slot::Entry(entry) = &mut self.slots[place - member] else { return None };
        if !entry.take_reply(member, reply) {
            return None;
        }
        let entry = self.take(place - member);
        self.trim();
        entry
    }

    /// Takes out the entry at `place` and frees all its tags.
    fn take(&mut self, place: usize) -> Option<Entry> {
        let Slot::Entry(entry) = std::mem::replace(&mut self.slots[place], Slot::Free) else { return None };
        for slot in self.slots.range_mut(place + 1..place + entry.size()) {
            *slot = Slot::Free;
        }
        Some(entry)
    }

    /// The stream is gone: everything is to be sent again.
    pub(crate) fn rewind(&mut self) {
        let sent = self.sent();
        for slot in self.slots.iter_mut().take(sent) {
            if let Slot::Entry(entry) = slot {
                entry.doubt = true;
                // Part of a group's answer is no answer: the rest of it alone would be another group.
                entry.forget_replies();
            }
        }
        self.unsent = self.base;
    }

    /// Takes out all that have waited until `now`, each with whether it is with the server. Says when the next
    /// one will have.
    pub(crate) fn expire(&mut self, now: Instant, mut expired: impl FnMut(Entry, bool)) -> Option<Instant> {
        let (sent, mut earliest) = (self.sent(), None);
        for place in 0..self.slots.len() {
            let Slot::Entry(entry) = &self.slots[place] else { continue };
            if entry.deadline > now {
                earliest = Some(earliest.map_or(entry.deadline, |at: Instant| at.min(entry.deadline)));
            } else if let Some(entry) = self.take(place) {
                expired(entry, place < sent);
            }
        }
        self.trim();
        earliest
    }

    fn trim(&mut self) {
        while let Some(Slot::Free) = self.slots.front() {
            self.slots.pop_front();
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
        let question = Question::One { id: RequestId(id), ask, answer };
        Entry { question, deadline, doubt: false, code: None, together: 1 }
    }

    fn group(ids: &[u128], deadline: Instant) -> Entry {
        let (answer, _) = oneshot::channel();
        let ask = Ask::Read(Read::Totals { asset: AssetId(1) });
        let members: Vec<_> = ids.iter().map(|id| (RequestId(*id), ask)).collect();
        let replies = vec![None; members.len()];
        let question = Question::Group(Box::new(Group { members, replies, answer }));
        Entry { question, deadline, doubt: false, code: None, together: ids.len() }
    }

    fn first_id(entry: &Entry) -> u128 {
        match &entry.question {
            Question::One { id, .. } | Question::Session { id, .. } => id.0,
            Question::Group(group) => group.members[0].0.0,
        }
    }

    const fn reply(tag: u64) -> Reply {
        Reply::without_record(tag, ResultCode::Done)
    }

    fn sent(window: &mut Window) -> Vec<(u64, u128, bool)> {
        let mut sent = Vec::new();
        while let Some((tag, entry)) = window.send_next() {
            sent.push((tag, first_id(entry), entry.doubt));
        }
        sent
    }

    #[test]
    fn a_group_is_answered_when_all_of_it_is_and_sent_again_whole() {
        let later = Instant::now() + Duration::from_secs(5);
        let mut window = Window::default();
        window.push(entry(1, later));
        window.push(group(&[2, 3, 4], later));
        window.push(entry(5, later));
        assert_eq!(window.next_size(), Some(1));
        assert_eq!(sent(&mut window), [(0, 1, false), (1, 2, false), (4, 5, false)]);
        assert!(window.answered(&reply(1)).is_none());
        assert!(window.answered(&reply(3)).is_none());
        window.rewind();
        assert_eq!(sent(&mut window), [(0, 1, true), (1, 2, true), (4, 5, true)]);
        assert!(window.answered(&reply(2)).is_none(), "what came before counts no more");
        assert!(window.answered(&reply(1)).is_none());
        assert_eq!(window.answered(&reply(3)).map(|entry| first_id(&entry)), Some(2));
        assert!(window.answered(&reply(2)).is_none(), "an answer counts once");
        assert!(window.answered(&reply(0)).is_some() && window.answered(&reply(4)).is_some());
        assert!(window.is_empty());
        window.push(group(&[6, 7], Instant::now()));
        let mut expired = 0;
        window.expire(Instant::now(), |_, sent| expired += usize::from(!sent));
        assert!((expired, window.is_empty()) == (1, true), "and it expires whole");
    }

    #[test]
    fn what_is_unanswered_is_sent_again_in_order_and_in_doubt() {
        let later = Instant::now() + Duration::from_secs(5);
        let mut window = Window::default();
        (1..=3).for_each(|id| window.push(entry(id, later)));
        assert_eq!(sent(&mut window), [(0, 1, false), (1, 2, false), (2, 3, false)]);
        assert_eq!(window.answered(&reply(1)).map(|entry| first_id(&entry)), Some(2));
        assert!(window.answered(&reply(1)).is_none(), "an answer counts once");
        window.push(entry(4, later));
        window.rewind();
        assert!(window.answered(&reply(0)).is_none(), "what was not sent cannot be answered");
        assert_eq!(sent(&mut window), [(0, 1, true), (2, 3, true), (3, 4, false)]);
        (0..4).for_each(|tag| drop(window.answered(&reply(tag))));
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
        let next = window.expire(now, |entry, sent| expired.push((first_id(&entry), sent)));
        assert_eq!(expired, [(1, true), (2, false)]);
        assert_eq!(next, Some(later));
        assert!(window.answered(&reply(0)).is_none(), "the late answer finds nobody");
        assert_eq!(sent(&mut window), [(2, 3, false)], "what expired unsent is never sent");
    }
}
