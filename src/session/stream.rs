//! One stream of a session: requests in, replies out.
//!
//! In: bytes. Out: batches for the inbox, in the order in which they were sent; on the way back, frames of replies
//! in one write for all that is ready.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use cage_engine::ResultCode;
use cage_protocol::{CloseCode, FRAME_BYTES_MAX, Frame, FrameKind, OpenSession, frame};
use quinn::{RecvStream, SendStream};
use tokio::sync::Notify;

use super::{Ended, Host, Session, query, subscription};
use crate::admission::{Item, Ticket, admit, admit_session};
use crate::limits::READ_BYTES;
use crate::sequencer::inbox::Batch;

/// The end of a stream that replies go to.
#[derive(Debug)]
pub struct StreamEnd {
    session: Rc<Session>,
    ready: RefCell<VecDeque<(Bytes, usize)>>,
    /// What is told besides. Only the latest: a client that does not read finds no heap of them.
    notice: RefCell<Option<Bytes>>,
    wake: Notify,
    /// Requests taken from this stream and not answered yet.
    unanswered: Cell<usize>,
    /// The client sends no more requests.
    ended: Cell<bool>,
    /// The stream becomes a subscription, or carries a query.
    subscribes: Cell<bool>,
}

impl StreamEnd {
    /// Lets the writer look again whether there is anything left to do.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until it is woken.
    pub(super) async fn awoken(&self) {
        self.wake.notified().await;
    }

    /// All frames that are ready, as one piece, and the number of their replies. One piece, because QUIC keeps each
    /// until it is acknowledged and looks through them for every packet.
    fn take_ready(&self) -> Option<(Bytes, usize)> {
        let mut ready = self.ready.borrow_mut();
        ready.extend(self.notice.take().map(|notice| (notice, 0)));
        if ready.len() <= 1 {
            return ready.pop_front();
        }
        let mut joined = Vec::with_capacity(ready.iter().map(|(frames, _)| frames.len()).sum());
        let mut count = 0;
        for (frames, replies) in ready.drain(..) {
            joined.extend_from_slice(&frames);
            count += replies;
        }
        Some((Bytes::from(joined), count))
    }

    /// Whether the client may still ask on it.
    pub(super) const fn is_open(&self) -> bool {
        !self.ended.get()
    }

    /// Hands over a frame that answers nothing.
    pub(super) fn tell(&self, frame: Bytes) {
        self.notice.replace(Some(frame));
        self.wake();
    }

    /// Hands over frames with `count` replies. They are written as soon as the client reads.
    pub fn send(&self, frames: Bytes, count: usize) {
        self.ready.borrow_mut().push_back((frames, count));
        self.wake.notify_one();
    }
}

/// Serves one stream until the client ends it or the connection ends.
pub(super) async fn run(
    session: Rc<Session>,
    host: Rc<impl Host>,
    send: SendStream,
    receive: RecvStream,
    unread: Vec<u8>,
) -> Result<(), Ended> {
    let end = Rc::new(StreamEnd {
        session: Rc::clone(&session),
        ready: RefCell::default(),
        notice: RefCell::default(),
        wake: Notify::new(),
        unanswered: Cell::new(0),
        ended: Cell::new(false),
        subscribes: Cell::new(false),
    });
    session.add_stream(&end);
    let write = write(&end, send);
    tokio::pin!(write);
    let begun = tokio::select! {
        read = read(&session, &*host, &end, receive, unread) => read?,
        _ = &mut write => return Ok(()),
    };
    // The client sends no more requests, and is still to be answered.
    match (begun, write.await) {
        (Some(Begun::Subscription(begun)), Some(send)) => {
            subscription::run(session, host, Rc::clone(&end), send, begun).await
        }
        (Some(Begun::Query(item)), Some(send)) => {
            query::run(session, host, send, item).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn read(
    session: &Rc<Session>,
    host: &impl Host,
    end: &Rc<StreamEnd>,
    mut receive: RecvStream,
    begun: Vec<u8>,
) -> Result<Option<Begun>, Ended> {
    let mut unread = Unread::new(&begun);
    let result = loop {
        let (tickets, stop) = unread.admit(session, host);
        if !tickets.is_empty() {
            session.taken(tickets.len());
            end.unanswered.set(end.unanswered.get() + tickets.len());
            host.inbox().push(Batch { stream: Rc::clone(end), tickets, arrived: Instant::now() }).await;
        }
        // What stands in front of a fault is done all the same.
        match stop {
            Some(Stop::Fault(fault)) => break Err(fault),
            Some(Stop::Queried(item)) => {
                end.subscribes.set(true);
                break Ok(Some(Begun::Query(item)));
            }
            Some(Stop::Subscribed(item)) => {
                end.subscribes.set(true);
                let rest = unread.rest().to_vec();
                break Ok(Some(Begun::Subscription(subscription::Begun { item, unread: rest, receive })));
            }
            None => {}
        }
        session.credit().await;
        match receive.read(unread.room()).await {
            Ok(Some(count)) => unread.filled += count,
            Ok(None) if unread.filled == 0 => break Ok(None),
            Ok(None) => {
                break Err(Ended::new(CloseCode::FrameTruncated, CloseCode::FrameTruncated.meaning()));
            }
            Err(_) => break Ok(None),
        }
    };
    end.ended.set(true);
    end.wake.notify_one();
    result
}

/// What was read of a stream and is no whole frame yet.
struct Unread {
    bytes: Box<[u8]>,
    filled: usize,
    /// A request was among it.
    used: bool,
}

/// Why a stream is not read on as one of requests.
enum Stop {
    Fault(Ended),
    /// It is to become a subscription: the item of its frame.
    Subscribed(Vec<u8>),
    /// It carries a query: the item of its frame.
    Queried(Vec<u8>),
}

/// What became of a stream that is not one of requests.
enum Begun {
    Subscription(subscription::Begun),
    Query(Vec<u8>),
}

impl Unread {
    /// Begins with what came behind the hello.
    fn new(begun: &[u8]) -> Self {
        let mut bytes = vec![0; FRAME_BYTES_MAX + READ_BYTES].into_boxed_slice();
        bytes[..begun.len()].copy_from_slice(begun);
        Self { bytes, filled: begun.len(), used: false }
    }

    /// What is not whole, or was not looked at.
    fn rest(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Where the next bytes go. Never empty: less than a frame is left after [`Self::admit`].
    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Admits all whole frames as one batch, and keeps what is not whole.
    fn admit(&mut self, session: &Session, host: &impl Host) -> (Vec<Ticket>, Option<Stop>) {
        let received = host.now();
        let fault = |code, reason: &str| Some(Stop::Fault(Ended::new(code, reason)));
        let (mut tickets, mut taken) = (Vec::new(), 0);
        let stop = loop {
            let (frame, length) = match Frame::split(&self.bytes[taken..self.filled]) {
                Ok(Some(frame)) => frame,
                Ok(None) => break None,
                Err(fault) => break Some(Stop::Fault(Ended::at(fault))),
            };
            match frame.kind {
                FrameKind::Requests => admit(&frame, &session.identity, received, &mut tickets),
                FrameKind::OpenSession => match OpenSession::from_bytes(frame.items) {
                    Some(asked) => {
                        let ticket = admit_session(&asked, &session.identity, host.tokens(), received);
                        if matches!(ticket.item, Item::Refused(ResultCode::TokenInvalid)) {
                            host.numbers().tokens_invalid.add(1);
                        }
                        tickets.push(ticket);
                    }
                    None => break fault(CloseCode::FrameMalformed, "this opens no session"),
                },
                FrameKind::Subscribe if !self.used => {
                    let item = frame.items.to_vec();
                    taken += length;
                    break Some(Stop::Subscribed(item));
                }
                FrameKind::Query if !self.used => break Some(Stop::Queried(frame.items.to_vec())),
                FrameKind::Subscribe | FrameKind::Query => {
                    break fault(
                        CloseCode::FrameMalformed,
                        "a subscription or a query needs a stream of its own",
                    );
                }
                FrameKind::Hello => {
                    break fault(CloseCode::HelloMisplaced, CloseCode::HelloMisplaced.meaning());
                }
                _ => break fault(CloseCode::FrameUnknown, "a client sends no such frame here"),
            }
            self.used = true;
            taken += length;
        };
        self.bytes.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        (tickets, stop)
    }
}

/// Writes replies as they become ready, until the client is done and has them all, or is gone. Gives the stream back if it
/// is to become a subscription.
async fn write(end: &Rc<StreamEnd>, mut send: SendStream) -> Option<SendStream> {
    loop {
        let Some((frames, count)) = end.take_ready() else {
            let draining = end.session.is_draining();
            if (draining || end.ended.get()) && end.unanswered.get() == 0 {
                if end.subscribes.get() && !draining {
                    return Some(send);
                }
                finish(send, draining).await;
                return None;
            }
            end.wake.notified().await;
            continue;
        };
        let written = send.write_chunk(frames).await;
        end.unanswered.set(end.unanswered.get() - count);
        end.session.answered(count);
        if written.is_err() {
            // The client is gone. What it asked is decided all the same; it will ask again with the same ids.
            end.session.answered(end.unanswered.take());
            return None;
        }
    }
}

/// Says goodbye if it is the server that ends, and waits until the client has everything.
async fn finish(mut send: SendStream, draining: bool) {
    if draining {
        let code = CloseCode::Draining;
        let _ = send.write_all(&frame::goodbye(code, code.meaning())).await;
    }
    let _ = send.finish();
    let _ = send.stopped().await;
}
