//! One stream of a session: requests in, replies out.
//!
//! In: bytes. Out: batches for the inbox, in the order in which they were sent; on the way back, frames of replies
//! in one write for all that is ready.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use cage_protocol::{CloseCode, Frame, FrameKind, frame};
use quinn::{RecvStream, SendStream};
use tokio::sync::Notify;

use super::{Ended, Host, Session};
use crate::admission::{Ticket, admit};
use crate::limits::READ_BYTES;
use crate::sequencer::inbox::Batch;

/// The end of a stream that replies go to.
#[derive(Debug)]
pub struct StreamEnd {
    session: Rc<Session>,
    ready: RefCell<VecDeque<(Bytes, usize)>>,
    wake: Notify,
    /// Requests taken from this stream and not answered yet.
    unanswered: Cell<usize>,
    /// The client sends no more.
    ended: Cell<bool>,
}

impl StreamEnd {
    /// Lets the writer look again whether there is anything left to do.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
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
        wake: Notify::new(),
        unanswered: Cell::new(0),
        ended: Cell::new(false),
    });
    session.add_stream(&end);
    let write = write(&end, send);
    tokio::pin!(write);
    tokio::select! {
        read = read(&session, &*host, &end, receive, unread) => read?,
        () = &mut write => return Ok(()),
    }
    // The client sends no more, and is still to be answered.
    write.await;
    Ok(())
}

async fn read(
    session: &Rc<Session>,
    host: &impl Host,
    end: &Rc<StreamEnd>,
    mut receive: RecvStream,
    mut unread: Vec<u8>,
) -> Result<(), Ended> {
    let result = loop {
        match take_frames(session, host, end, &mut unread).await {
            Ok(()) => {}
            Err(ended) => break Err(ended),
        }
        session.credit().await;
        let filled = unread.len();
        unread.resize(filled + READ_BYTES, 0);
        let read = receive.read(&mut unread[filled..]).await;
        unread.truncate(filled + read.as_ref().ok().copied().flatten().unwrap_or(0));
        match read {
            Ok(Some(_)) => {}
            Ok(None) if unread.is_empty() => break Ok(()),
            Ok(None) => {
                break Err(Ended::new(CloseCode::FrameTruncated, CloseCode::FrameTruncated.meaning()));
            }
            Err(_) => break Ok(()),
        }
    };
    end.ended.set(true);
    end.wake.notify_one();
    result
}

/// Admits all whole frames of `unread` as one batch, and leaves what is not whole.
async fn take_frames(
    session: &Rc<Session>,
    host: &impl Host,
    end: &Rc<StreamEnd>,
    unread: &mut Vec<u8>,
) -> Result<(), Ended> {
    let received = host.now();
    let mut tickets = Vec::<Ticket>::new();
    let mut taken = 0;
    let result = loop {
        let (frame, length) = match Frame::split(&unread[taken..]) {
            Ok(Some(frame)) => frame,
            Ok(None) => break Ok(()),
            Err(fault) => break Err(Ended::at(fault)),
        };
        match frame.kind {
            FrameKind::Requests => {
                tickets.extend(frame.items().map(|item| admit(item, &session.identity, received)));
            }
            FrameKind::Hello => {
                break Err(Ended::new(CloseCode::HelloMisplaced, CloseCode::HelloMisplaced.meaning()));
            }
            FrameKind::Welcome | FrameKind::Replies | FrameKind::Goodbye => {
                break Err(Ended::new(CloseCode::FrameUnknown, "a client sends no such frame"));
            }
        }
        taken += length;
    };
    unread.drain(..taken);
    if !tickets.is_empty() {
        session.taken(tickets.len());
        end.unanswered.set(end.unanswered.get() + tickets.len());
        host.inbox().push(Batch { stream: Rc::clone(end), tickets }).await;
    }
    // What stands in front of a fault is done all the same.
    result
}

/// Writes replies as they become ready, until the client is done and has them all, or is gone.
async fn write(end: &Rc<StreamEnd>, mut send: SendStream) {
    let mut chunks = Vec::<Bytes>::new();
    loop {
        let mut count = 0;
        for (frames, replies) in end.ready.borrow_mut().drain(..) {
            chunks.push(frames);
            count += replies;
        }
        if chunks.is_empty() {
            let draining = end.session.is_draining();
            if (draining || end.ended.get()) && end.unanswered.get() == 0 {
                return finish(send, draining).await;
            }
            end.wake.notified().await;
            continue;
        }
        let written = send.write_all_chunks(&mut chunks).await;
        chunks.clear();
        end.unanswered.set(end.unanswered.get() - count);
        end.session.answered(count);
        if written.is_err() {
            // The client is gone. What it asked is decided all the same; it will ask again with the same ids.
            end.session.answered(end.unanswered.take());
            return;
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
