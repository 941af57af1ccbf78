//! The wire between front-ends and the ledger, as bytes.
//!
//! In: bytes of a stream, or values. Out: the other, or a numbered fault with the offset it was found at.
//! With it goes what an answer is made of, so that every server gives the same: [`mod@answer`], [`shown`], [`seek`], [`rights`].
//! Never here: sockets, clocks, a change of the ledger's state. No input makes this crate panic.
//!
//! ```text
//! stream = hello frames*        frame = length:u32 kind:u8 zero:u8 count:u16 items
//! client: Hello, perhaps a Checkpoint, then Requests (each 1..=1024 items of 128 bytes) and OpenSession (a token)
//! server: Welcome, then Replies (items of 64 bytes) and, if asked for, Checkpoint (one a second), at the end perhaps
//!         Goodbye
//! a stream that begins with Query: server: Rows or Feed, then QueryEnd
//! a stream that begins with Subscribe: client: Credit; server: Feed (durable records) and Progress, at the end FeedEnd
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod answer;
pub mod checkpoint;
pub mod fault;
pub mod feed;
pub mod frame;
pub mod hello;
pub mod query;
pub mod reply;
pub mod request;
pub mod rights;
pub mod seek;
pub mod session;
pub mod shown;

pub use answer::answer;
pub use checkpoint::{CHECKPOINT_BYTES, Checkpoint, SignedCheckpoint};
pub use fault::CloseCode;
pub use feed::{FeedEnd, FeedEndCode, Filter, KindSet, Progress, Subscribe};
pub use frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameFault, FrameKind};
pub use hello::{Hello, Watermark, Welcome};
pub use query::{Query, QueryEnd, QueryKind, Row};
pub use reply::{REPLY_BYTES, Reply};
pub use request::{Ask, Asked, Read, WIRE_REQUEST_BYTES};
pub use session::{OpenSession, TOKEN_BYTES_MAX};

/// The protocol's name in the TLS handshake (ALPN).
pub const ALPN: &[u8] = b"cage/1";
/// The version of the frames that this build speaks.
pub const VERSION: u16 = 0;
/// The most items in one frame.
pub const FRAME_ITEMS_MAX: usize = 1024;
