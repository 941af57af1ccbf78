//! A stream that has become a subscription: records out, credit in.
//!
//! In: what to follow, from where; credit. Out: frames of the feed in the log's order, each record once, and at the end where to
//! resume. Holds at most one frame that its client has not taken. Never here: which records match, a wait for the client that
//! anybody else notices.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use cage_engine::Lsn;
use cage_protocol::feed::FEED_ITEMS_MAX;
use cage_protocol::{CloseCode, FeedEnd, FeedEndCode, Frame, FrameKind, Progress, Subscribe, frame};
use quinn::{RecvStream, SendStream, VarInt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Ended, Host, Session, StreamEnd};
use crate::feed::{FeedFault, Part};
use crate::limits::FEED_STALL_MAX;

/// What made a stream a subscription.
pub(super) struct Begun {
    /// The item of its frame.
    pub(super) item: Vec<u8>,
    /// What came behind it.
    pub(super) unread: Vec<u8>,
    pub(super) receive: RecvStream,
}

/// Why the feed ends, for the client.
struct End {
    code: FeedEndCode,
    reason: String,
}

impl End {
    fn new(code: FeedEndCode) -> Self {
        Self { code, reason: code.meaning().to_owned() }
    }
}

/// Why no more is fed.
enum Stop {
    /// The client is told.
    End(End),
    /// The client does not take what it would be told: its stream is reset.
    Reset(FeedEndCode),
    /// The client is gone, or wants no more.
    Gone,
}

/// A subscription under way.
struct Subscription<'a, H> {
    session: &'a Session,
    host: &'a H,
    end: &'a StreamEnd,
    send: SendStream,
    asked: Subscribe,
    /// Everything that the filter wants, up to here, was written.
    position: Lsn,
    sent: u64,
    /// The client was told that it has seen all there is.
    told_end: bool,
}

/// Serves a subscription until the client ends it, is cut off, or the connection or the server ends.
pub(super) async fn run<H: Host>(
    session: Rc<Session>,
    host: Rc<H>,
    end: Rc<StreamEnd>,
    send: SendStream,
    begun: Begun,
) -> Result<(), Ended> {
    let Begun { item, unread, receive } = begun;
    let asked = match Subscribe::from_bytes(&item) {
        Ok(asked) => asked,
        Err(field) => {
            let reason = format!("{} Its {field} is not right.", FeedEndCode::Malformed.meaning());
            return refuse(send, FeedEndCode::Malformed, &reason, Lsn::NONE).await;
        }
    };
    if let Err(reason) = host.may_follow(&session.identity, &asked.filter).await {
        tracing::warn!(caller = %session.identity.uri, filter = ?asked.filter, %reason, "not allowed to follow");
        return refuse(send, FeedEndCode::NotAllowed, &reason, asked.after).await;
    }
    let Some(_place) = host.feed().enter() else {
        return refuse(send, FeedEndCode::TooMany, FeedEndCode::TooMany.meaning(), asked.after).await;
    };
    let durable = host.feed().durable();
    if asked.after > durable {
        let reason = format!("Seen {}, durable {durable}.", asked.after);
        return refuse(send, FeedEndCode::Ahead, &reason, asked.after).await;
    }
    let _ = send.set_priority(FEED_PRIORITY);
    let (given, credit) = watch::channel(asked.credit);
    let (position, sent, told_end) = (asked.after, 0, false);
    let mut subscription =
        Subscription { session: &session, host: &*host, end: &end, send, asked, position, sent, told_end };
    let stop = tokio::select! {
        ended = read_credit(receive, unread, &given) => { ended?; Stop::Gone }
        stop = subscription.feed(credit) => stop,
    };
    subscription.stop(stop).await;
    Ok(())
}

/// Answers to requests go first where a connection carries both.
const FEED_PRIORITY: i32 = -1;

async fn refuse(send: SendStream, code: FeedEndCode, reason: &str, resume_after: Lsn) -> Result<(), Ended> {
    finish(send, &FeedEnd { code: Some(code), resume_after, reason }).await;
    Ok(())
}

async fn finish(mut send: SendStream, end: &FeedEnd<'_>) {
    let told = async { send.write_all(&frame::feed_end(end)).await.is_ok() && send.finish().is_ok() };
    if matches!(timeout(FEED_STALL_MAX, told).await, Ok(true)) {
        let _ = timeout(FEED_STALL_MAX, send.stopped()).await;
    }
}

/// Takes credit until the client ends its side.
async fn read_credit(
    mut receive: RecvStream,
    unread: Vec<u8>,
    given: &watch::Sender<u64>,
) -> Result<(), Ended> {
    let mut unread = BytesMut::from(unread.as_slice());
    loop {
        while let Some((frame, length)) = Frame::split(&unread).map_err(Ended::at)? {
            let FrameKind::Credit = frame.kind else {
                return Err(Ended::new(
                    CloseCode::FrameUnknown,
                    "a subscriber sends credit and nothing else",
                ));
            };
            let credit = frame.items.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            // Credit that falls is old news that came late, or a fault of the client's own.
            given.send_if_modified(|known| std::mem::replace(known, credit.max(*known)) < credit);
            let _ = unread.split_to(length);
        }
        match receive.read_chunk(CREDIT_READ_BYTES, true).await {
            Ok(Some(chunk)) => unread.extend_from_slice(&chunk.bytes),
            Ok(None) if !unread.is_empty() => {
                return Err(Ended::new(CloseCode::FrameTruncated, CloseCode::FrameTruncated.meaning()));
            }
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}

/// What is read of a subscriber at a time, in bytes: some frames of credit.
const CREDIT_READ_BYTES: usize = 1024;

impl<H: Host> Subscription<'_, H> {
    /// Feeds until something ends it.
    async fn feed(&mut self, mut credit: watch::Receiver<u64>) -> Stop {
        // Says that the subscription stands, and from where.
        let durable = self.host.feed().durable();
        let stands = Part { last: self.position, position: self.position, durable, ..Part::default() };
        if let Err(stop) = self.write(stands).await {
            return stop;
        }
        loop {
            let most = credit.borrow_and_update().saturating_sub(self.sent).min(FEED_ITEMS_MAX as u64);
            let next = self.host.feed().next(self.position, self.asked.filter, most as usize);
            let part = tokio::select! {
                part = next => part,
                () = self.drained() => return Stop::End(End::new(FeedEndCode::Draining)),
            };
            let written = match part {
                Ok(part) if part.count == 0 && part.more => self.wait_for_credit(part, &mut credit).await,
                Ok(part) => self.write(part).await,
                Err(FeedFault::Unreadable { reason, .. }) => {
                    return Stop::End(End { code: FeedEndCode::Unavailable, reason });
                }
                Err(FeedFault::Ended) => return Stop::End(End::new(FeedEndCode::Draining)),
            };
            if let Err(stop) = written {
                return stop;
            }
        }
    }

    async fn drained(&self) {
        while !self.session.is_draining() {
            self.end.awoken().await;
        }
    }

    /// A record waits, and the client has no credit for it.
    async fn wait_for_credit(&mut self, part: Part, credit: &mut watch::Receiver<u64>) -> Result<(), Stop> {
        self.position = part.position;
        let sent = self.sent;
        let given = timeout(FEED_STALL_MAX, credit.wait_for(|given| *given > sent));
        tokio::select! {
            given = given => match given {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(_)) => Err(Stop::Gone),
                Err(_) => Err(Stop::End(End::new(FeedEndCode::TooSlow))),
            },
            () = self.drained() => Err(Stop::End(End::new(FeedEndCode::Draining))),
        }
    }

    async fn write(&mut self, part: Part) -> Result<(), Stop> {
        let Part { frame: records, count, last, position, durable, .. } = part;
        let caught_up = position == durable && !self.told_end;
        self.told_end |= caught_up;
        let progress = (position > last || count == 0 || caught_up)
            .then(|| Bytes::from(frame::progress(&Progress { position, durable })));
        let mut pieces: Vec<Bytes> =
            [Some(records), progress].into_iter().flatten().filter(|piece| !piece.is_empty()).collect();
        match timeout(FEED_STALL_MAX, self.send.write_all_chunks(&mut pieces)).await {
            Ok(Ok(())) => {
                self.position = position;
                self.sent += count as u64;
                Ok(())
            }
            Ok(Err(_)) => Err(Stop::Gone),
            Err(_) => Err(Stop::Reset(FeedEndCode::TooSlow)),
        }
    }

    async fn stop(self, stop: Stop) {
        let Self { session, mut send, position, .. } = self;
        let caller = &session.identity.uri;
        match stop {
            Stop::End(End { code, reason }) => {
                if code == FeedEndCode::TooSlow {
                    tracing::warn!(%caller, resume_after = %position, "a slow subscriber is cut off");
                }
                finish(send, &FeedEnd { code: Some(code), resume_after: position, reason: &reason }).await;
            }
            Stop::Reset(code) => {
                tracing::warn!(%caller, resume_after = %position, "a subscriber that does not read is cut off");
                let _ = send.reset(VarInt::from_u32(code as u32));
            }
            Stop::Gone => {
                let _ = send.finish();
            }
        }
    }
}
