//! One lane: the requests of some players, in their order, on one stream at a time.
//!
//! In: requests; streams from the [link](crate::link), one after the other as connections come and go. Out: exactly
//! one answer per request, at its deadline at the latest. One task owns all of it, so nothing is locked. Never here:
//! a request sent after its caller was told that it was not taken.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use cage_engine::{Outcome, ResultCode};
use cage_protocol::{OpenSession, Reply};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, Sleep};

use crate::error::ConnectionError;
use crate::limits::{RETRY_PAUSE, SUBMISSIONS_AT_ONCE};
use crate::outcome::{Error, is_passing, sort, undecided};
use crate::shared::Shared;
use crate::stream::{ReplyReceiver, RequestSender, RequestStream};
use crate::window::{Entry, Question, Window};

/// What is handed to a lane.
#[derive(Debug)]
pub(crate) enum Submission {
    One(Entry),
    Together(Vec<Entry>),
}

/// A stream of a connection, handed to a lane.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) stream: RequestStream,
    /// What the connection may still have unanswered, of all its lanes together.
    pub(crate) credit: Arc<Semaphore>,
    /// Which connection it is.
    pub(crate) connection: u64,
}

/// A lane lost the stream of this connection.
pub(crate) type Detached = (u64, ConnectionError);

struct Attached {
    sender: RequestSender,
    receiver: ReplyReceiver,
    credit: Arc<Semaphore>,
    /// Credit that was taken and not used yet.
    permits: usize,
    connection: u64,
}

pub(crate) struct Lane {
    shared: Arc<Shared>,
    submissions: mpsc::UnboundedReceiver<Submission>,
    streams: mpsc::Receiver<Open>,
    detached: mpsc::UnboundedSender<Detached>,
    closing: watch::Receiver<bool>,
    stream: Option<Attached>,
    window: Window,
    /// Not taken, and to be sent again at that time.
    later: VecDeque<(Instant, Entry)>,
    replies: Vec<Reply>,
    timer: Pin<Box<Sleep>>,
    /// When to look for what has expired or is to be sent again. Perhaps too early, never too late.
    wake: Option<Instant>,
}

enum Event {
    Submitted,
    Ended,
    Attached(Open),
    Received(Result<usize, ConnectionError>),
    Flushed(Result<(), ConnectionError>),
    Credit,
    Woken,
}

impl Lane {
    pub(crate) fn new(
        shared: Arc<Shared>,
        submissions: mpsc::UnboundedReceiver<Submission>,
        streams: mpsc::Receiver<Open>,
        detached: mpsc::UnboundedSender<Detached>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared,
            submissions,
            streams,
            detached,
            closing,
            stream: None,
            window: Window::default(),
            later: VecDeque::new(),
            replies: Vec::new(),
            timer: Box::pin(tokio::time::sleep_until(Instant::now())),
            wake: None,
        }
    }

    /// Serves until nobody can submit any more and everything is answered.
    pub(crate) async fn run(mut self) {
        let mut incoming = Vec::with_capacity(SUBMISSIONS_AT_ONCE);
        let mut open = true;
        while open || !self.window.is_empty() || !self.later.is_empty() {
            self.fill();
            match self.next(&mut incoming, open).await {
                Event::Submitted => incoming.drain(..).for_each(|submission| self.submit(submission)),
                Event::Ended => {
                    open = !self.submissions.is_empty();
                    self.submissions.close();
                }
                Event::Attached(stream) => self.attach(stream),
                Event::Received(Ok(count)) => {
                    self.take_replies(count);
                    self.take_checkpoint();
                }
                Event::Received(Err(fault)) | Event::Flushed(Err(fault)) => self.detach(Some(fault)),
                Event::Flushed(Ok(())) | Event::Credit => {}
                Event::Woken => self.look_at_the_clock(),
            }
        }
        if let Some(stream) = &mut self.stream {
            stream.sender.finish();
        }
    }

    async fn next(&mut self, incoming: &mut Vec<Submission>, open: bool) -> Event {
        let needed = self.window.next_size();
        let (sender, receiver, credit) = match &mut self.stream {
            Some(Attached { sender, receiver, credit, permits, .. }) => {
                (Some(sender), Some(receiver), needed.map(|needed| (credit, permits, needed)))
            }
            None => (None, None, None),
        };
        tokio::select! {
            count = self.submissions.recv_many(incoming, SUBMISSIONS_AT_ONCE), if open => {
                if count > 0 { Event::Submitted } else { Event::Ended }
            }
            _ = self.closing.wait_for(|closing| *closing), if open => Event::Ended,
            Some(stream) = self.streams.recv() => Event::Attached(stream),
            received = receive(receiver, &mut self.replies) => Event::Received(received),
            flushed = flush(sender) => Event::Flushed(flushed),
            () = take_credit(credit) => Event::Credit,
            () = self.timer.as_mut(), if self.wake.is_some() => Event::Woken,
        }
    }

    fn submit(&mut self, submission: Submission) {
        match submission {
            Submission::One(entry) => self.push(entry),
            Submission::Together(entries) => entries.into_iter().for_each(|entry| self.push(entry)),
        }
    }

    fn push(&mut self, entry: Entry) {
        self.wake_at(entry.deadline);
        self.window.push(entry);
    }

    fn wake_at(&mut self, at: Instant) {
        if self.wake.is_none_or(|wake| at < wake) {
            self.wake = Some(at);
            self.timer.as_mut().reset(at);
        }
    }

    /// Frames as much as there is credit for.
    fn fill(&mut self) {
        let Some(Attached { sender, credit, permits, .. }) = &mut self.stream else { return };
        let wanted = self.window.unsent_max().saturating_sub(*permits).min(credit.available_permits());
        // Other lanes take from the same credit: if it is gone meanwhile, wait for it.
        if let Some(taken) = u32::try_from(wanted).ok().and_then(|count| credit.try_acquire_many(count).ok())
        {
            taken.forget();
            *permits += wanted;
        }
        while self.window.next_size().is_some_and(|size| size <= *permits) {
            let Some((tag, entry)) = self.window.send_next() else { break };
            if entry.together > sender.room() {
                sender.end_frame();
            }
            match &entry.question {
                Question::One { ask, .. } => sender.push(tag, ask),
                Question::Session { id, grant, token, .. } => {
                    sender.push_session(&OpenSession { tag, id: *id, grant: *grant, token: &token.0 });
                }
                // There is room for all of them in the frame.
                Question::Group(group) => {
                    (tag..).zip(&group.members).for_each(|(tag, (_, ask))| sender.push(tag, ask));
                }
            }
            *permits -= entry.size();
        }
        // What had expired needs none after all.
        credit.add_permits(std::mem::take(permits));
    }

    fn attach(&mut self, open: Open) {
        self.detach(None);
        let Open { stream, credit, connection } = open;
        let (sender, receiver) = stream.split();
        self.stream = Some(Attached { sender, receiver, credit, permits: 0, connection });
    }

    fn detach(&mut self, fault: Option<ConnectionError>) {
        let Some(stream) = self.stream.take() else { return };
        self.window.rewind();
        if let Some(fault) = fault {
            // The link may be gone already: then so is the client.
            let _ = self.detached.send((stream.connection, fault));
        }
    }

    /// Passes on the replies of `count` items.
    fn take_replies(&mut self, count: usize) {
        let mut replies = std::mem::take(&mut self.replies);
        if let Some(stream) = &self.stream {
            stream.credit.add_permits(count);
        }
        if let Some(lsn) = replies.iter().map(|reply| reply.lsn.0).max() {
            self.shared.saw(lsn);
        }
        for reply in replies.drain(..) {
            if let Some(entry) = self.window.answered(&reply) {
                self.answer(entry, &reply);
            }
        }
        self.replies = replies;
    }

    /// Remembers a checkpoint. A server whose checkpoints are not to be believed is left.
    fn take_checkpoint(&mut self) {
        let came = self.stream.as_mut().and_then(|stream| stream.receiver.take_checkpoint());
        let Some(checkpoint) = came else { return };
        if let Err(bad) = checkpoint.and_then(|checkpoint| self.shared.believe(&checkpoint)) {
            tracing::error!(%bad, "a checkpoint of the server's is not to be believed");
            self.detach(Some(ConnectionError::Checkpoint(bad)));
        }
    }

    /// Passes the answer on; or keeps the request for another try, if that can help before its deadline.
    fn answer(&mut self, mut entry: Entry, reply: &Reply) {
        if let Some(code) = passing(&entry, reply) {
            let again = Instant::now() + RETRY_PAUSE;
            if again < entry.deadline {
                entry.code = Some(code);
                entry.together = entry.size();
                entry.forget_replies();
                self.later.push_back((again, entry));
                return self.wake_at(again);
            }
        }
        let doubt = entry.doubt;
        if let Question::Group(group) = &mut entry.question {
            let mut replies = std::mem::take(&mut group.replies).into_iter().flatten();
            return entry.answer(|id| {
                replies.next().map_or(Err(Error::Unknown { id }), |reply| sort(id, &reply, doubt))
            });
        }
        entry.answer(|id| sort(id, reply, doubt));
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        while self.later.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, entry)) = self.later.pop_front() {
                self.window.push(entry);
            }
        }
        let earliest = self.window.expire(now, |entry, sent| {
            let Entry { code, doubt, .. } = entry;
            entry.answer(|id| Err(if sent { Error::Unknown { id } } else { undecided(id, code, doubt) }));
        });
        self.wake = None;
        let again = self.later.front().map(|(at, _)| *at);
        for at in [earliest, again].into_iter().flatten() {
            self.wake_at(at);
        }
    }
}

async fn receive(
    receiver: Option<&mut ReplyReceiver>,
    replies: &mut Vec<Reply>,
) -> Result<usize, ConnectionError> {
    match receiver {
        Some(receiver) => receiver.receive(replies).await,
        None => pending().await,
    }
}

async fn flush(sender: Option<&mut RequestSender>) -> Result<(), ConnectionError> {
    match sender {
        Some(sender) if sender.has_unwritten() => sender.flush().await,
        _ => pending().await,
    }
}

/// Waits for credit for what is sent next: one request, or a group.
async fn take_credit(credit: Option<(&mut Arc<Semaphore>, &mut usize, usize)>) {
    if let Some((credit, permits, needed)) = credit
        && let Ok(count) = u32::try_from(needed)
        && let Ok(taken) = credit.acquire_many(count).await
    {
        taken.forget();
        *permits += needed;
        return;
    }
    pending().await
}

/// Why it was not taken, if that passes by itself. Of a group one member has the reason, and the others that.
fn passing(entry: &Entry, reply: &Reply) -> Option<ResultCode> {
    let passes = |reply: &Reply| {
        let code = reply.result;
        (code.outcome() == Outcome::NotTaken && is_passing(code)).then_some(code)
    };
    match &entry.question {
        Question::One { .. } | Question::Session { .. } => passes(reply),
        Question::Group(group) => group.replies.iter().flatten().find_map(passes),
    }
}
