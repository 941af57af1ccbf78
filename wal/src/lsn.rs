//! The words of the log as types: positions, identities, and the proof that something is durable.
//!
//! In: plain numbers from the format. Out: types that cannot be mixed up. Never here: a [`DurableLsn`] that
//! no flush stands behind.

use std::fmt;

/// Log sequence number of a record: the first record of a log is 1, each next one is one more, none is used
/// twice. `Lsn(0)` means "before the first record".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first record.
    pub const ZERO: Self = Self(0);
    /// The first record of a log.
    pub const FIRST: Self = Self(1);

    /// The LSN after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The LSN `records` further on. Saturates at the end of the number range, which no log reaches.
    #[must_use]
    pub const fn plus(self, records: u64) -> Self {
        Self(self.0.saturating_add(records))
    }

    /// The LSN before this one; `Lsn(0)` stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything up to and including this LSN survives a loss of power. Only the flusher and recovery can make
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurableLsn(Lsn);

impl DurableLsn {
    /// Called where a flush has just returned, or where recovery has read the bytes back.
    pub(crate) const fn new(lsn: Lsn) -> Self {
        Self(lsn)
    }

    /// The last durable LSN; `Lsn(0)` while the log is empty.
    #[must_use]
    pub const fn get(self) -> Lsn {
        self.0
    }
}

/// Something that may be shown only once its record is durable.
#[must_use = "an appended value is not a promise; release it when its record is durable"]
#[derive(Clone, Debug)]
pub struct Appended<T> {
    lsn: Lsn,
    value: T,
}

impl<T> Appended<T> {
    /// Ties `value` to the (last) record that it depends on.
    pub const fn new(lsn: Lsn, value: T) -> Self {
        Self { lsn, value }
    }

    /// The record that has to be durable first.
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The value, if its record is durable; otherwise `self` again, for the next try.
    ///
    /// # Errors
    /// `Err(self)` when the record lies after `durable`.
    pub fn release(self, durable: DurableLsn) -> Result<T, Self> {
        if self.lsn <= durable.get() { Ok(self.value) } else { Err(self) }
    }
}

/// BLAKE3 over a frame, whose header holds the hash of the frame before: one value that stands for all that
/// came before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// Takes the 32 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The chain before the first frame of a log: BLAKE3 of `cage log` and the log id (16 bytes,
    /// little-endian).
    #[must_use]
    pub fn genesis(log: LogId) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"cage log").update(&log.0.to_le_bytes());
        Self(hasher.finalize().into())
    }

    /// The chain after a frame, given all its bytes as they lie in the file.
    #[must_use]
    pub fn of_frame(frame: &[u8]) -> Self {
        Self(blake3::hash(frame).into())
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainHash({self})")
    }
}

/// The name of a log, chosen at random when it is created; every frame carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogId(pub u128);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Random per open: bytes that an earlier process left behind can never pass for bytes of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A place in the log's files. For tools and errors, not for protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Segment number, from 1; 0 before the first segment.
    pub segment: u64,
    /// Byte offset in the segment's file.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {:#x} offset {}", self.segment, self.offset)
    }
}
