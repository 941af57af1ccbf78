//! The beginning of an archived segment: what is packed in the file.
//!
//! In: header values, or the first bytes of a file that may hold anything. Out: the bytes, or checked values. Never
//! here: the packed bytes themselves.
//!
//! To a program that unpacks zstd it is a frame to be skipped.

use rkyv::{Archive, Deserialize, Serialize};

use super::{ARCHIVE_MAGIC, FORMAT_VERSION, HEADER_BYTES, is_zero};
use crate::lsn::{ChainHash, Epoch, LogId, Lsn};

/// Any of sixteen numbers says "skip me" in a zstd file; this one is ours.
const SKIPPED_MAGIC: u32 = 0x184D_2A5C;
/// Bytes of a skipped frame before its content.
const SKIPPED_HEADER_BYTES: usize = 8;

#[derive(Archive, Serialize, Deserialize, Clone, Debug)]
struct Layout {
    skipped_magic: u32,
    skipped_bytes: u32,
    magic: u32,
    format_version: u16,
    flags: u16,
    log: u128,
    epoch: u64,
    segment: u64,
    first_lsn: u64,
    next_lsn: u64,
    end: u64,
    segment_bytes: u64,
    raw: [u8; 32],
    chain: [u8; 32],
    reserved: [u8; 80],
    hash: [u8; 32],
}

const HASH: usize = std::mem::offset_of!(ArchivedLayout, hash);
const _: () = assert!(size_of::<ArchivedLayout>() == HEADER_BYTES && align_of::<ArchivedLayout>() == 1);
const _: () = assert!(HASH + 32 == HEADER_BYTES);

/// What an archived segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveHeader {
    pub(crate) log: LogId,
    pub(crate) epoch: Epoch,
    pub(crate) segment: u64,
    pub(crate) first_lsn: Lsn,
    /// The LSN after its last record.
    pub(crate) next_lsn: Lsn,
    /// Where its frames end.
    pub(crate) end: u64,
    /// Its length before it was packed.
    pub(crate) segment_bytes: u64,
    /// BLAKE3 of all its bytes before they were packed.
    pub(crate) raw: [u8; 32],
    /// The chain after its last frame.
    pub(crate) chain: ChainHash,
}

/// Why bytes are not the beginning of an archived segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArchiveHeaderFault {
    /// Written by a newer version of this crate.
    #[error("format version {0}; use a newer program")]
    Newer(u16),
    /// Damaged, or something else.
    #[error("{0}")]
    Unreadable(&'static str),
}

impl ArchiveHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut layout = Layout {
            skipped_magic: SKIPPED_MAGIC,
            skipped_bytes: (HEADER_BYTES - SKIPPED_HEADER_BYTES) as u32,
            magic: ARCHIVE_MAGIC,
            format_version: FORMAT_VERSION,
            flags: 0,
            log: self.log.0,
            epoch: self.epoch.0,
            segment: self.segment,
            first_lsn: self.first_lsn.0,
            next_lsn: self.next_lsn.0,
            end: self.end,
            segment_bytes: self.segment_bytes,
            raw: self.raw,
            chain: *self.chain.as_bytes(),
            reserved: [0; 80],
            hash: [0; 32],
        };
        let mut bytes = [0; HEADER_BYTES];
        super::write_layout(&layout, &mut bytes);
        layout.hash = blake3::hash(&bytes[..HASH]).into();
        super::write_layout(&layout, &mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, ArchiveHeaderFault> {
        let unreadable = |what| Err(ArchiveHeaderFault::Unreadable(what));
        let Some(layout) = super::read_layout::<Layout>(bytes) else {
            return unreadable("shorter than a header");
        };
        if layout.magic != ARCHIVE_MAGIC {
            return unreadable("expected the magic of an archived segment");
        }
        if layout.format_version > FORMAT_VERSION {
            return Err(ArchiveHeaderFault::Newer(layout.format_version));
        }
        if blake3::hash(&bytes[..HASH]).as_bytes() != &layout.hash {
            return unreadable("the hash of its header does not match");
        }
        if layout.flags != 0 || !is_zero(&layout.reserved) {
            return unreadable("expected zeroes in the reserved bytes");
        }
        Ok(Self {
            log: LogId(layout.log),
            epoch: Epoch(layout.epoch),
            segment: layout.segment,
            first_lsn: Lsn(layout.first_lsn),
            next_lsn: Lsn(layout.next_lsn),
            end: layout.end,
            segment_bytes: layout.segment_bytes,
            raw: layout.raw,
            chain: ChainHash::from_bytes(layout.chain),
        })
    }
}
