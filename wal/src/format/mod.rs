//! The bytes of the log: frame headers, segment headers, control slots, checksums.
//!
//! In: header values, or bytes from a disk that may lie. Out: bytes, or checked values and the reason why
//! not.
//! Never here: files, positions that are not arguments, a panic on what was read.

mod archive;
mod checksum;
mod control;
mod frame;
#[cfg(test)]
mod golden;
mod segment;
mod snapshot;

pub(crate) use archive::ArchiveHeader;
pub(crate) use checksum::{BlockSums, is_zero};
pub(crate) use control::{CONTROL_BYTES, ControlSlot, SLOTS, SlotFault};
pub(crate) use frame::{
    FrameFault, FrameHeader, SegmentIdentity, encode_frame, frame_bytes_for, records_that_fit,
};
pub(crate) use segment::{
    NO_REST, RepairMark, SegmentHeader, SegmentHeaderFault, segment_name, segment_number,
};
pub(crate) use snapshot::{SNAPSHOT_CHUNK_BYTES, SnapshotHeader, SnapshotHeaderFault};

use rkyv::{
    Archive, Deserialize,
    api::low::LowValidator,
    bytecheck::CheckBytes,
    de::pooling::Unpool,
    rancor::{Failure, Strategy},
};

/// Bytes of one record. The log never looks inside, apart from [`RecordTraits`](crate::RecordTraits).
pub const RECORD_BYTES: usize = 256;
/// One record as it lies in the log.
pub type Record = [u8; RECORD_BYTES];
/// Frames begin and end on this boundary, so that a durable page is never written again.
pub const PAGE_BYTES: usize = 4096;
/// A frame carries one CRC32 for each block of this many bytes (the last block may be shorter).
pub const BLOCK_BYTES: usize = 8192;
/// Entries of a frame header's CRC table.
pub(crate) const FRAME_BLOCKS_MAX: usize = 32;
/// The longest frame, header and padding included.
pub const FRAME_BYTES_MAX: usize = FRAME_BLOCKS_MAX * BLOCK_BYTES;
/// The most records in one frame.
pub const FRAME_RECORDS_MAX: usize = (FRAME_BYTES_MAX - HEADER_BYTES) / RECORD_BYTES;
/// The most records that may be linked to each other.
pub const LINKED_RECORDS_MAX: usize = 192;
/// Bytes of a frame header, a segment header and a control slot.
pub(crate) const HEADER_BYTES: usize = 256;
/// The smallest segment, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// The version that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 0;

/// The first four bytes of every frame ("CWFR" in the file). A caller promises that no record begins with
/// them.
pub const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"CWFR");
/// The first four bytes of every used segment ("CWSG" in the file). A caller promises that no record begins
/// with them.
pub const SEGMENT_MAGIC: u32 = u32::from_le_bytes(*b"CWSG");
/// The first four bytes of a control slot ("CWCT" in the file).
pub(crate) const CONTROL_MAGIC: u32 = u32::from_le_bytes(*b"CWCT");

/// The first four bytes of a snapshot ("CWSN" in the file).
pub(crate) const SNAPSHOT_MAGIC: u32 = u32::from_le_bytes(*b"CWSN");

/// What an archived segment begins with, behind what zstd needs to skip it ("CWAR" in the file).
pub(crate) const ARCHIVE_MAGIC: u32 = u32::from_le_bytes(*b"CWAR");

/// [`PAGE_BYTES`] as a file offset.
pub(crate) const PAGE: u64 = PAGE_BYTES as u64;

const _: () = assert!(HEADER_BYTES == RECORD_BYTES, "everything in a segment is made of units of one record");
const _: () =
    assert!(HEADER_BYTES + FRAME_RECORDS_MAX * RECORD_BYTES == FRAME_BYTES_MAX, "the largest frame is full");
const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(PAGE_BYTES) && BLOCK_BYTES.is_multiple_of(PAGE_BYTES));
const _: () = assert!(
    PAGE_BYTES + HEADER_BYTES + LINKED_RECORDS_MAX * RECORD_BYTES <= SEGMENT_BYTES_MIN as usize,
    "the longest linked run fits the smallest segment"
);
const _: () = assert!(LINKED_RECORDS_MAX < FRAME_RECORDS_MAX, "the longest linked run fits one frame");

type LayoutWriter<'a> = rkyv::api::low::LowSerializer<
    rkyv::ser::writer::Buffer<'a>,
    rkyv::ser::allocator::SubAllocator<'a>,
    Failure,
>;

/// Writes a header of exactly `room` bytes.
fn write_layout(layout: &impl for<'a> rkyv::Serialize<LayoutWriter<'a>>, room: &mut [u8]) {
    let expected = room.len();
    let written = rkyv::api::low::to_bytes_in_with_alloc::<_, _, Failure>(
        layout,
        rkyv::ser::writer::Buffer::from(room),
        rkyv::ser::allocator::SubAllocator::new(&mut []),
    );
    assert!(written.is_ok_and(|buffer| buffer.len() == expected), "a header of fixed size fills its room");
}

/// Reads a header of fixed size; `None` only if there are too few bytes.
fn read_layout<T>(bytes: &[u8]) -> Option<T>
where
    T: Archive,
    T::Archived: for<'a> CheckBytes<LowValidator<'a, Failure>> + Deserialize<T, Strategy<Unpool, Failure>>,
{
    rkyv::api::low::from_bytes::<T, Failure>(bytes).ok()
}
