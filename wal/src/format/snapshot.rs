//! The first page of a snapshot: which log it belongs to, after which record, and the hash of everything in it.
//!
//! In: header values, or the first page of a file that may hold anything. Out: the page, or checked values. Never
//! here: the body, which is the caller's; whether the log continues the snapshot.

use rkyv::{Archive, Deserialize, Serialize};

use super::{FORMAT_VERSION, HEADER_BYTES, PAGE_BYTES, SNAPSHOT_MAGIC, is_zero};
use crate::lsn::{ChainHash, Epoch, LogId, Lsn, Position};
use crate::read::Anchor;

#[derive(Archive, Serialize, Deserialize, Clone, Debug)]
struct Layout {
    magic: u32,
    format_version: u16,
    flags: u16,
    rules_version: u32,
    chunk_bytes: u32,
    log: u128,
    epoch: u64,
    lsn: u64,
    chain: [u8; 32],
    end_segment: u64,
    end_offset: u64,
    digest: [u8; 32],
    body_bytes: u64,
    created_ns: u64,
    chunks: [u8; 32],
    reserved: [u8; 48],
    hash: [u8; 32],
}

const HASH: usize = std::mem::offset_of!(ArchivedLayout, hash);
const _: () = assert!(size_of::<ArchivedLayout>() == HEADER_BYTES && align_of::<ArchivedLayout>() == 1);
const _: () = assert!(HASH + 32 == HEADER_BYTES);

/// The body is hashed in pieces of this many bytes (the last may be shorter).
pub(crate) const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// What a snapshot says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotHeader {
    pub(crate) anchor: Anchor,
    pub(crate) epoch: Epoch,
    pub(crate) rules_version: u32,
    pub(crate) digest: [u8; 32],
    pub(crate) body_bytes: u64,
    pub(crate) created_ns: u64,
    /// BLAKE3 of the hashes of all pieces.
    pub(crate) chunks: [u8; 32],
}

/// Why a first page is not that of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotHeaderFault {
    /// Written by a newer version of this crate.
    #[error("format version {0}")]
    Newer(u16),
    /// Damaged, or something else.
    #[error("{0}")]
    Unreadable(&'static str),
}

impl SnapshotHeader {
    /// The whole first page.
    pub(crate) fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut layout = Layout {
            magic: SNAPSHOT_MAGIC,
            format_version: FORMAT_VERSION,
            flags: 0,
            rules_version: self.rules_version,
            chunk_bytes: SNAPSHOT_CHUNK_BYTES as u32,
            log: self.anchor.log.0,
            epoch: self.epoch.0,
            lsn: self.anchor.lsn.0,
            chain: *self.anchor.chain.as_bytes(),
            end_segment: self.anchor.end.segment,
            end_offset: self.anchor.end.offset,
            digest: self.digest,
            body_bytes: self.body_bytes,
            created_ns: self.created_ns,
            chunks: self.chunks,
            reserved: [0; 48],
            hash: [0; 32],
        };
        let mut page = [0; PAGE_BYTES];
        super::write_layout(&layout, &mut page[..HEADER_BYTES]);
        layout.hash = hash(&page);
        super::write_layout(&layout, &mut page[..HEADER_BYTES]);
        page
    }

    /// Reads and checks the first page of a snapshot.
    pub(crate) fn decode(page: &[u8; PAGE_BYTES]) -> Result<Self, SnapshotHeaderFault> {
        let unreadable = |what| Err(SnapshotHeaderFault::Unreadable(what));
        let Some(layout) = super::read_layout::<Layout>(&page[..HEADER_BYTES]) else {
            return unreadable("shorter than a header");
        };
        if layout.magic != SNAPSHOT_MAGIC {
            return unreadable("expected the magic of a snapshot");
        }
        if layout.format_version > FORMAT_VERSION {
            return Err(SnapshotHeaderFault::Newer(layout.format_version));
        }
        if hash(page) != layout.hash {
            return unreadable("the hash of its header does not match");
        }
        let known = layout.flags == 0 && layout.chunk_bytes as usize == SNAPSHOT_CHUNK_BYTES;
        if !known || !is_zero(&layout.reserved) || !is_zero(&page[HEADER_BYTES..]) {
            return unreadable("expected zeroes in the reserved bytes");
        }
        let end = Position { segment: layout.end_segment, offset: layout.end_offset };
        let (lsn, chain) = (Lsn(layout.lsn), ChainHash::from_bytes(layout.chain));
        Ok(Self {
            anchor: Anchor { log: LogId(layout.log), lsn, chain, end },
            epoch: Epoch(layout.epoch),
            rules_version: layout.rules_version,
            digest: layout.digest,
            body_bytes: layout.body_bytes,
            created_ns: layout.created_ns,
            chunks: layout.chunks,
        })
    }
}

/// BLAKE3 of the page, its own hash counted as zero.
fn hash(page: &[u8; PAGE_BYTES]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&page[..HASH]).update(&[0; 32]).update(&page[HEADER_BYTES..]);
    hasher.finalize().into()
}
