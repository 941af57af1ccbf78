//! The image of a state: all of it as bytes, and back.
//!
//! In: a state, or bytes that may be anything. Out: bytes, handed over piece by piece, or a state that decides and
//! digests as the first one did. Never here: files, checksums; whoever keeps an image proves that it is unchanged.
//!
//! An image holds what the digest is made of, in the same order, little-endian, nothing aligned. What follows from the
//! rest is made anew: indexes, totals, what is due, what wagers ask of the rules. The layout digest stands for the names
//! and types of all fields, so that an image of other rows is refused and never mistaken.
//!
//! ```text
//! magic, version, layout digest | head | assets | players | house | one table after the other | ids | keys | places
//! ```
//! Each part begins with its number and how many entries it has. The places say where some of the players lie, so that
//! one of them is found without reading the others.

mod glance;
mod read;
mod rest;
mod write;

use core::fmt;

pub use glance::Glance;
pub(crate) use read::Input;
pub(crate) use write::Output;

use super::store::Rows;

/// The version of the parts that are not rows. Rows are told apart by the layout digest.
pub const IMAGE_VERSION: u16 = 2;

/// The first bytes of an image.
const MAGIC: [u8; 4] = *b"CGIM";

/// Of so many players the first one's place is in the image: a look at one of them skips half as many rows, and ten million
/// players cost 80 KB.
const PLACED_PLAYERS: u64 = 1024;

/// The parts that are no tables, by their numbers; the tables follow, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
enum Part {
    Head = 1,
    Assets = 2,
    Players = 3,
    House = 4,
    Ids = 5,
    Keys = 6,
    Places = 7,
    Table = 16,
}

/// Why bytes are no image of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFault {
    /// In which part.
    pub part: &'static str,
    /// At which byte of the image.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for ImageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, offset, expected } = self;
        write!(f, "the image's {part}, byte {offset}: expected {expected}")
    }
}

impl core::error::Error for ImageFault {}

/// How two things are done that do not depend on each other. Whoever has threads does both at once.
pub trait Both {
    /// What both give.
    fn both<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B);
}

/// One after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct InTurn;

impl Both for InTurn {
    fn both<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        (one(), other())
    }
}

/// What the fields of all rows are called and how they lie.
fn layout() -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for row in Rows::LAYOUT {
        hasher.update(row.as_bytes());
    }
    hasher.finalize().into()
}
