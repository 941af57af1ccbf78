//! One stream of a connection: requests out, replies in.
//!
//! In: requests with tags, bytes of the server. Out: frames in as few writes as possible, replies by tag. The two
//! halves are independent: a program that writes while it does not read will in the end wait for itself. Never
//! here: what a tag stands for, an allocation per request.

use std::slice;

use bytes::{Bytes, BytesMut};
use cage_protocol::{
    Ask, CloseCode, FRAME_HEADER_BYTES, FRAME_ITEMS_MAX, Frame, FrameFault, FrameKind, OpenSession, Reply,
    SignedCheckpoint, WIRE_REQUEST_BYTES, Welcome, frame,
};
use quinn::{RecvStream, SendStream};

use crate::checkpoint::BadCheckpoint;
use crate::error::ConnectionError;
use crate::limits::READ_BYTES;

/// Both halves of a stream.
#[derive(Debug)]
pub struct RequestStream {
    /// The half that asks.
    pub sender: RequestSender,
    /// The half that is answered.
    pub receiver: ReplyReceiver,
}

impl RequestStream {
    pub(crate) fn new(send: SendStream, receiver: ReplyReceiver) -> Self {
        Self { sender: RequestSender::new(send), receiver }
    }

    /// The two halves, to be used by different tasks.
    #[must_use]
    pub fn split(self) -> (RequestSender, ReplyReceiver) {
        (self.sender, self.receiver)
    }
}

/// The half of a stream that asks. Collects requests in frames until it is flushed.
#[derive(Debug)]
pub struct RequestSender {
    stream: SendStream,
    frames: BytesMut,
    /// Where the frame that is being filled begins.
    frame_at: usize,
    /// How many items it has; none = there is no such frame.
    items: usize,
    /// What is being written.
    writing: Bytes,
}

impl RequestSender {
    fn new(stream: SendStream) -> Self {
        Self { stream, frames: BytesMut::new(), frame_at: 0, items: 0, writing: Bytes::new() }
    }

    /// Adds a request to the frame that is being filled; begins another one when it is full.
    pub fn push(&mut self, tag: u64, ask: &Ask) {
        self.push_item(&ask.to_bytes(tag));
    }

    /// Adds a request that is in bytes already.
    pub fn push_item(&mut self, item: &[u8; WIRE_REQUEST_BYTES]) {
        if self.items == FRAME_ITEMS_MAX {
            self.end_frame();
        }
        if self.items == 0 {
            self.frame_at = self.frames.len();
            self.frames.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        }
        self.frames.extend_from_slice(item);
        self.items += 1;
    }

    /// Ends the frame that is being filled: the next request begins another one.
    pub fn end_frame(&mut self) {
        if self.items > 0 {
            let header = frame::header(FrameKind::Requests, self.items);
            self.frames[self.frame_at..self.frame_at + FRAME_HEADER_BYTES].copy_from_slice(&header);
            self.items = 0;
        }
    }

    /// Adds a request to open a session, in a frame of its own.
    ///
    /// # Panics
    /// If the token fits no frame.
    pub fn push_session(&mut self, asked: &OpenSession<'_>) {
        self.end_frame();
        self.frames.extend_from_slice(&frame::open_session(asked));
    }

    /// How many more items the frame that is being filled can hold.
    #[must_use]
    pub const fn room(&self) -> usize {
        FRAME_ITEMS_MAX - self.items
    }

    /// Whether there is anything that was pushed and not written.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        !self.frames.is_empty() || !self.writing.is_empty()
    }

    /// Writes all that was pushed. Waits only while the server's windows are full. Can be dropped and called
    /// again: nothing is lost or written twice.
    ///
    /// # Errors
    /// [`ConnectionError`] if the connection has ended.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        self.end_frame();
        while self.has_unwritten() {
            if self.writing.is_empty() {
                self.writing = self.frames.split().freeze();
            }
            self.stream.write_chunks(slice::from_mut(&mut self.writing)).await?;
        }
        Ok(())
    }

    /// Sends `items`, and whatever was pushed before, in one go.
    ///
    /// # Errors
    /// [`ConnectionError`] if the connection has ended.
    pub async fn send(&mut self, items: &[(u64, Ask)]) -> Result<(), ConnectionError> {
        for (tag, ask) in items {
            self.push(*tag, ask);
        }
        self.flush().await
    }

    /// Says that no more requests follow. The replies still come.
    pub fn finish(&mut self) {
        let _ = self.stream.finish();
    }
}

/// The half of a stream that is answered.
#[derive(Debug)]
pub struct ReplyReceiver {
    stream: RecvStream,
    buffer: Box<[u8]>,
    /// What is unread lies from here
    start: usize,
    /// to here.
    end: usize,
    /// The latest checkpoint that came.
    checkpoint: Option<Box<Result<SignedCheckpoint, BadCheckpoint>>>,
}

impl ReplyReceiver {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: vec![0; READ_BYTES].into_boxed_slice(), start: 0, end: 0, checkpoint: None }
    }

    /// Waits for replies and adds all that are there to `replies`. Says how many items they were; a reply with a
    /// result that this build does not know is among them and left out. None if it was only a checkpoint that came.
    /// Can be dropped and called again.
    ///
    /// # Errors
    /// [`ConnectionError`] if the server said goodbye, broke the protocol, or is gone. Replies before that were
    /// handed out by earlier calls.
    pub async fn receive(&mut self, replies: &mut Vec<Reply>) -> Result<usize, ConnectionError> {
        loop {
            let count = self.decode(replies)?;
            if count > 0 || self.checkpoint.is_some() {
                return Ok(count);
            }
            self.read().await?;
        }
    }

    /// Decodes whole frames, up to the first one that holds no replies: that one is left for the next call.
    fn decode(&mut self, replies: &mut Vec<Reply>) -> Result<usize, ConnectionError> {
        let mut count = 0;
        loop {
            match self.frame() {
                Ok(Some((frame, length))) if frame.kind == FrameKind::Replies => {
                    count += frame.items().len();
                    replies.extend(frame.items().filter_map(Reply::from_bytes));
                    self.start += length;
                }
                Ok(Some((frame, length))) if frame.kind == FrameKind::Checkpoint => {
                    self.checkpoint = Some(Box::new(
                        SignedCheckpoint::from_bytes(frame.items).ok_or(BadCheckpoint::Format),
                    ));
                    self.start += length;
                }
                Ok(None) => return Ok(count),
                _ if count > 0 => return Ok(count),
                Ok(Some((frame, _))) => return Err(unexpected(&frame)),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// The latest checkpoint that came and was not taken yet.
    pub(crate) fn take_checkpoint(&mut self) -> Option<Result<SignedCheckpoint, BadCheckpoint>> {
        self.checkpoint.take().map(|came| *came)
    }

    fn frame(&self) -> Result<Option<(Frame<'_>, usize)>, ConnectionError> {
        Frame::split(&self.buffer[self.start..self.end]).map_err(ConnectionError::Protocol)
    }

    /// Reads what is there, behind what is unread.
    async fn read(&mut self) -> Result<(), ConnectionError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let read = self.stream.read(&mut self.buffer[self.end..]).await?;
        self.end += read.ok_or_else(ConnectionError::ended)?;
        Ok(())
    }

    /// The first frame that a server sends.
    pub(crate) async fn welcome(&mut self) -> Result<Welcome, ConnectionError> {
        loop {
            if let Some((frame, length)) = self.frame()? {
                if frame.kind != FrameKind::Welcome {
                    return Err(unexpected(&frame));
                }
                let welcome =
                    Welcome::from_bytes(frame.items).ok_or(ConnectionError::Protocol(FrameFault {
                        code: CloseCode::FrameMalformed,
                        offset: 0,
                    }))?;
                self.start += length;
                return Ok(welcome);
            }
            self.read().await?;
        }
    }
}

fn unexpected(frame: &Frame<'_>) -> ConnectionError {
    if frame.kind == FrameKind::Goodbye {
        let (code, reason) = frame::read_goodbye(frame.items);
        return ConnectionError::Closed { code, reason: reason.to_owned() };
    }
    ConnectionError::Protocol(FrameFault { code: CloseCode::FrameUnknown, offset: 4 })
}
