//! Frames: a length, a kind, a number of items of one size.
//!
//! In: the unread bytes of a stream. Out: the first whole frame of them, by reference, and how many bytes it took.

use alloc::vec::Vec;

use crate::checkpoint::{CHECKPOINT_BYTES, SignedCheckpoint};
use crate::fault::CloseCode;
use crate::feed::{
    CREDIT_BYTES, FEED_END_BYTES, FEED_ITEM_BYTES, FEED_ITEMS_MAX, FeedEnd, PROGRESS_BYTES, Progress,
    SUBSCRIBE_BYTES, Subscribe,
};
use crate::hello::{HELLO_BYTES, WELCOME_BYTES};
use crate::query::{PAGE_ROWS_MAX, QUERY_BYTES, QUERY_END_BYTES, Query, QueryEnd, ROW_BYTES};
use crate::reply::REPLY_BYTES;
use crate::request::WIRE_REQUEST_BYTES;
use crate::session::{OPEN_SESSION_BYTES_MIN, OpenSession};
use crate::{FRAME_ITEMS_MAX, Hello, Welcome};

/// The bytes in front of a frame's items.
pub const FRAME_HEADER_BYTES: usize = 8;
/// The longest frame, header included.
pub const FRAME_BYTES_MAX: usize = FRAME_HEADER_BYTES + FRAME_ITEMS_MAX * WIRE_REQUEST_BYTES;

const _: () = assert!(FRAME_HEADER_BYTES + FEED_ITEMS_MAX * FEED_ITEM_BYTES <= FRAME_BYTES_MAX);
/// The bytes of a goodbye: a code and a reason.
pub const GOODBYE_BYTES: usize = 128;
const GOODBYE_TEXT_AT: usize = 4;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Client to server, first on a connection.
    Hello = 1,
    /// Server to client, the answer to it.
    Welcome = 2,
    /// Client to server.
    Requests = 3,
    /// Server to client.
    Replies = 4,
    /// Server to client, before it closes.
    Goodbye = 5,
    /// Client to server: a signed token. The one kind whose item has no fixed size.
    OpenSession = 6,
    /// Server to client, to those who asked for it in their hello; and client to server, behind a hello that says so.
    Checkpoint = 7,
    /// Client to server, first on a stream of its own: it wants to be fed records.
    Subscribe = 8,
    /// Client to server, on that stream: how many records it may be sent in all.
    Credit = 9,
    /// Server to client, on that stream: records.
    Feed = 10,
    /// Server to client, on that stream: how far the feed is.
    Progress = 11,
    /// Server to client, on that stream: its end, and why.
    FeedEnd = 12,
    /// Client to server, alone on a stream of its own: a query.
    Query = 13,
    /// Server to client, on that stream: rows of its answer. Records come in frames of the feed.
    Rows = 14,
    /// Server to client, on that stream: the end of the page.
    QueryEnd = 15,
}

impl FrameKind {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Requests,
            4 => Self::Replies,
            5 => Self::Goodbye,
            6 => Self::OpenSession,
            7 => Self::Checkpoint,
            8 => Self::Subscribe,
            9 => Self::Credit,
            10 => Self::Feed,
            11 => Self::Progress,
            12 => Self::FeedEnd,
            13 => Self::Query,
            14 => Self::Rows,
            15 => Self::QueryEnd,
            _ => return None,
        })
    }

    /// The bytes of one item; of what has no fixed size, the least.
    #[must_use]
    pub const fn item_bytes(self) -> usize {
        match self {
            Self::Hello => HELLO_BYTES,
            Self::Welcome => WELCOME_BYTES,
            Self::Requests => WIRE_REQUEST_BYTES,
            Self::Replies => REPLY_BYTES,
            Self::Goodbye => GOODBYE_BYTES,
            Self::OpenSession => OPEN_SESSION_BYTES_MIN,
            Self::Checkpoint => CHECKPOINT_BYTES,
            Self::Subscribe => SUBSCRIBE_BYTES,
            Self::Credit => CREDIT_BYTES,
            Self::Feed => FEED_ITEM_BYTES,
            Self::Progress => PROGRESS_BYTES,
            Self::FeedEnd => FEED_END_BYTES,
            Self::Query => QUERY_BYTES,
            Self::Rows => ROW_BYTES,
            Self::QueryEnd => QUERY_END_BYTES,
        }
    }

    const fn items_max(self) -> usize {
        match self {
            Self::Requests | Self::Replies => FRAME_ITEMS_MAX,
            Self::Feed => FEED_ITEMS_MAX,
            Self::Rows => PAGE_ROWS_MAX,
            _ => 1,
        }
    }

    /// Whether `count` items can take `length` bytes.
    const fn fits(self, count: usize, length: usize) -> bool {
        let least = count * self.item_bytes();
        match self {
            Self::OpenSession => least <= length,
            _ => least == length,
        }
    }
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it holds.
    pub kind: FrameKind,
    /// Its items, one after the other.
    pub items: &'a [u8],
}

/// Bytes that no frame of this version begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameFault {
    /// The reason to close the connection with.
    pub code: CloseCode,
    /// Which byte of the frame gave it away.
    pub offset: usize,
}

impl<'a> Frame<'a> {
    /// The first frame in `bytes` and its length; nothing if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameFault`] as soon as the bytes there cannot become a frame, however many follow.
    pub fn split(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, FrameFault> {
        let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, kind, zero, c0, c1] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let fault = |code, offset| Err(FrameFault { code, offset });
        if length > FRAME_BYTES_MAX - FRAME_HEADER_BYTES {
            return fault(CloseCode::FrameTooLong, 0);
        }
        let Some(kind) = FrameKind::from_number(kind) else {
            return fault(CloseCode::FrameUnknown, 4);
        };
        if zero != 0 {
            return fault(CloseCode::FrameMalformed, 5);
        }
        let count = usize::from(u16::from_le_bytes([c0, c1]));
        if count == 0 || count > kind.items_max() || !kind.fits(count, length) {
            return fault(CloseCode::FrameMalformed, 6);
        }
        Ok(rest.get(..length).map(|items| (Self { kind, items }, FRAME_HEADER_BYTES + length)))
    }

    /// The items, one by one.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let size = match self.kind {
            FrameKind::OpenSession => self.items.len().max(1),
            kind => kind.item_bytes(),
        };
        self.items.chunks_exact(size)
    }
}

/// The header of a frame of `count` items.
///
/// # Panics
/// If a frame cannot hold that many: the caller splits what it has into frames.
#[must_use]
pub fn header(kind: FrameKind, count: usize) -> [u8; FRAME_HEADER_BYTES] {
    assert!((1..=kind.items_max()).contains(&count), "a frame holds 1 to {} items", kind.items_max());
    header_of(kind, count, count * kind.item_bytes())
}

const fn header_of(kind: FrameKind, count: usize, length: usize) -> [u8; FRAME_HEADER_BYTES] {
    let [l0, l1, l2, l3] = (length as u32).to_le_bytes();
    let [c0, c1] = (count as u16).to_le_bytes();
    [l0, l1, l2, l3, kind as u8, 0, c0, c1]
}

/// A request to open a session, in its frame.
///
/// # Panics
/// If the token is longer than any frame: nobody accepts one of a tenth of that.
#[must_use]
pub fn open_session(asked: &OpenSession<'_>) -> Vec<u8> {
    let item = asked.to_bytes();
    assert!(item.len() <= FRAME_BYTES_MAX - FRAME_HEADER_BYTES, "a token fits a frame");
    [header_of(FrameKind::OpenSession, 1, item.len()).as_slice(), &item].concat()
}

/// A hello in its frame.
#[must_use]
pub fn hello(hello: &Hello) -> Vec<u8> {
    [header(FrameKind::Hello, 1).as_slice(), &hello.to_bytes()].concat()
}

/// A welcome in its frame.
#[must_use]
pub fn welcome(welcome: &Welcome) -> Vec<u8> {
    [header(FrameKind::Welcome, 1).as_slice(), &welcome.to_bytes()].concat()
}

/// A checkpoint in its frame.
#[must_use]
pub fn checkpoint(signed: &SignedCheckpoint) -> Vec<u8> {
    [header(FrameKind::Checkpoint, 1).as_slice(), &signed.to_bytes()].concat()
}

/// A request to be fed, in its frame.
#[must_use]
pub fn subscribe(asked: &Subscribe) -> Vec<u8> {
    [header(FrameKind::Subscribe, 1).as_slice(), &asked.to_bytes()].concat()
}

/// How many records a feed may send in all, in its frame.
#[must_use]
pub fn credit(records: u64) -> Vec<u8> {
    [header(FrameKind::Credit, 1).as_slice(), &records.to_le_bytes()].concat()
}

/// A word of progress, in its frame.
#[must_use]
pub fn progress(progress: &Progress) -> Vec<u8> {
    [header(FrameKind::Progress, 1).as_slice(), &progress.to_bytes()].concat()
}

/// A feed's end, in its frame.
#[must_use]
pub fn feed_end(end: &FeedEnd<'_>) -> Vec<u8> {
    [header(FrameKind::FeedEnd, 1).as_slice(), &end.to_bytes()].concat()
}

/// A query in its frame.
#[must_use]
pub fn query(query: &Query) -> Vec<u8> {
    [header(FrameKind::Query, 1).as_slice(), &query.to_bytes()].concat()
}

/// The end of a page, in its frame.
#[must_use]
pub fn query_end(end: &QueryEnd<'_>) -> Vec<u8> {
    [header(FrameKind::QueryEnd, 1).as_slice(), &end.to_bytes()].concat()
}

/// A goodbye in its frame. A reason that is too long is cut.
#[must_use]
pub fn goodbye(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut item = [0; GOODBYE_BYTES];
    item[..2].copy_from_slice(&(code as u16).to_le_bytes());
    let mut length = reason.len().min(GOODBYE_BYTES - GOODBYE_TEXT_AT);
    while !reason.is_char_boundary(length) {
        length -= 1;
    }
    item[GOODBYE_TEXT_AT..GOODBYE_TEXT_AT + length].copy_from_slice(&reason.as_bytes()[..length]);
    [header(FrameKind::Goodbye, 1).as_slice(), &item].concat()
}

/// The code and reason of a goodbye's item; no code if this version does not know its number.
#[must_use]
pub fn read_goodbye(item: &[u8]) -> (Option<CloseCode>, &str) {
    let code = item.first_chunk().and_then(|code| CloseCode::from_number(u16::from_le_bytes(*code)));
    let text = item.get(GOODBYE_TEXT_AT..).unwrap_or_default();
    let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    (code, core::str::from_utf8(&text[..length]).unwrap_or_default())
}
