//! Finds single records in segments, whoever knows the segments.
//!
//! In: a segment's identity, where its frames lie, an LSN. Out: the record, after the checksums of its frame's header
//! and of its own block were checked. Never here: the hash chain (scans check it), an index in memory; a frame is found by
//! its place among the others.

use std::io;

use crate::{
    error::{Corruption, Damage, ReadError, StorageError},
    format::{
        BLOCK_BYTES, FRAME_BYTES_MAX, FrameHeader, HEADER_BYTES, PAGE, PAGE_BYTES, RECORD_BYTES, Record,
        SegmentHeader, SegmentIdentity, segment_name,
    },
    lsn::{ChainHash, Lsn, Position},
    storage::{Content, RandomRead, Source, Storage},
};

use super::{FrameView, SegmentExtent};

/// Segments that a reader keeps open.
const OPEN_SEGMENTS_MAX: usize = 16;

/// Segments that are kept open (mapped, when they are sealed), the least recently used first.
#[derive(Debug, Default)]
pub(crate) struct OpenSegments(Vec<OpenSegment>);

#[derive(Debug)]
struct OpenSegment {
    number: u64,
    /// Nobody writes to it any more.
    sealed: bool,
    bytes: SegmentBytes,
}

#[derive(Debug)]
pub(crate) enum SegmentBytes {
    /// For segments that are sealed.
    Mapped(Content),
    /// Read piece by piece: what the flusher writes to must not be mapped as a slice of bytes, and what is packed in
    /// the archive need not be unpacked as a whole.
    Pieces(Box<dyn RandomRead>),
}

/// A frame that was found, by its header alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundFrame {
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
}

impl OpenSegments {
    fn open(storage: &dyn Storage, number: u64, sealed: bool) -> Result<SegmentBytes, StorageError> {
        let name = segment_name(number);
        if sealed {
            match storage.load(&name, Source::RandomMapping) {
                Ok(content) => return Ok(SegmentBytes::Mapped(content)),
                // It is in the archive.
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(SegmentBytes::Pieces(storage.open_read(&name)?))
    }

    /// The bytes of a segment.
    pub(crate) fn segment(
        &mut self,
        storage: &dyn Storage,
        number: u64,
        sealed: bool,
    ) -> Result<&SegmentBytes, StorageError> {
        let found = self.0.iter().position(|open| {
            // What was open while it was written to is mapped when it is sealed.
            open.number == number && (!sealed || open.sealed)
        });
        let segment = match found {
            Some(index) => self.0.remove(index),
            None => {
                self.0.retain(|open| open.number != number);
                OpenSegment { number, sealed, bytes: Self::open(storage, number, sealed)? }
            }
        };
        if self.0.len() == OPEN_SEGMENTS_MAX {
            self.0.remove(0);
        }
        self.0.push(segment);
        Ok(&self.0[self.0.len() - 1].bytes)
    }
}

/// The frame that covers the page at `offset`, not before `low`; by its header's fields alone, which nobody has proven.
pub(crate) fn nearest_frame(
    identity: &SegmentIdentity,
    offset: u64,
    low: u64,
    read: impl Fn(u64, &mut [u8]) -> Result<(), ReadError>,
) -> Result<Option<FoundFrame>, ReadError> {
    let lowest = low.max((offset + PAGE).saturating_sub(FRAME_BYTES_MAX as u64));
    let mut page = offset;
    loop {
        let mut start = [0; HEADER_BYTES];
        read(page, &mut start)?;
        if let Some(header) = identity.plausible_header(&start) {
            return Ok(Some(FoundFrame { offset: page, header }));
        }
        if page <= lowest {
            return Ok(None);
        }
        page -= PAGE;
    }
}

/// Whether one of these segments was begun by a repair that made `chain` the log's, until the next frame.
pub(crate) fn begun_with_chain(
    storage: &dyn Storage,
    mut segments: impl Iterator<Item = u64>,
    chain: ChainHash,
) -> Result<bool, ReadError> {
    let begun = |number| -> Result<bool, StorageError> {
        let name = segment_name(number);
        let mut page = [0; PAGE_BYTES];
        let file = storage.open_read(&name)?;
        file.read_exact_at(0, &mut page).map_err(|error| StorageError::new("read", &name, error))?;
        Ok(SegmentHeader::decode(&page).is_ok_and(|header| header.chain_after() == chain))
    };
    segments.try_fold(false, |known, number| Ok(known || begun(number)?))
}

/// One look-up in one segment.
pub(crate) struct Search<'a> {
    pub(crate) identity: SegmentIdentity,
    pub(crate) bytes: &'a SegmentBytes,
    pub(crate) extent: SegmentExtent,
    /// The LSN after the segment's last (durable) record.
    pub(crate) end_lsn: Lsn,
    pub(crate) lsn: Lsn,
}

impl Search<'_> {
    /// Narrows the pages between the segment's header and its end down to the frame with the record. Every
    /// other guess assumes that records lie evenly (under load they nearly do, and a guess may cost a read
    /// from the disk); the others halve what is left, so that nothing takes long.
    fn frame(&self) -> Result<FoundFrame, ReadError> {
        let (mut low, mut high) = (PAGE, self.extent.end);
        let (mut low_lsn, mut high_lsn) = (self.extent.first_lsn.0, self.end_lsn.0);
        for guess in 0.. {
            if low >= high || self.lsn.0 < low_lsn || self.lsn.0 >= high_lsn {
                break;
            }
            let (part, whole) =
                if guess % 2 == 0 { (self.lsn.0 - low_lsn, high_lsn - low_lsn) } else { (1, 2) };
            let distance = u128::from(high - low) * u128::from(part) / u128::from(whole);
            let middle = low + distance as u64 / PAGE * PAGE;
            let frame = self.frame_around(middle, low)?;
            let next_lsn = frame.header.next_lsn();
            if self.lsn < frame.header.first_lsn {
                (high, high_lsn) = (frame.offset, frame.header.first_lsn.0);
            } else if self.lsn < next_lsn {
                return Ok(frame);
            } else {
                (low, low_lsn) = (frame.offset + frame.header.frame_bytes() as u64, next_lsn.0);
            }
        }
        Err(self.corruption(low, "a frame with this record", "none"))
    }

    /// The frame that covers the page at `offset`: the nearest header at or before it.
    fn frame_around(&self, offset: u64, low: u64) -> Result<FoundFrame, ReadError> {
        let found = nearest_frame(&self.identity, offset, low, |page, start| self.read(page, start))?;
        found.ok_or_else(|| self.corruption(offset, "a page of a frame", "no frame header before it"))
    }

    /// The record.
    pub(crate) fn record(&self) -> Result<Record, ReadError> {
        let frame = &self.frame()?;
        let index = (self.lsn.0 - frame.header.first_lsn.0) as usize;
        let at = HEADER_BYTES + index * RECORD_BYTES;
        let (block_index, in_block) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
        let mut first = [0; BLOCK_BYTES];
        let first = self.block(frame, 0, &mut first)?;
        let mut other = [0; BLOCK_BYTES];
        let other = match block_index {
            0 => None,
            _ => Some((block_index, self.block(frame, block_index, &mut other)?)),
        };
        self.identity
            .verify_one_block(first, other, frame.offset)
            .map_err(|fault| self.corruption(frame.offset, "a frame that verifies", &fault.to_string()))?;
        let block = other.map_or(first, |(_, block)| block);
        let mut record = [0; RECORD_BYTES];
        record.copy_from_slice(&block[in_block..in_block + RECORD_BYTES]);
        Ok(record)
    }

    /// The whole frame that holds it.
    pub(crate) fn whole_frame<'r>(&self, room: &'r mut Vec<u8>) -> Result<FrameView<'r>, ReadError> {
        let FoundFrame { offset, header } = self.frame()?;
        room.resize(header.frame_bytes(), 0);
        self.read(offset, room)?;
        let header = self
            .identity
            .verify(room, offset, header.first_lsn, header.previous_chain)
            .map_err(|fault| self.corruption(offset, "a frame that verifies", &fault.to_string()))?;
        let position = Position { segment: self.extent.number, offset };
        Ok(FrameView::new(&self.identity, position, &header, room))
    }

    fn block<'b>(
        &self,
        frame: &FoundFrame,
        index: usize,
        room: &'b mut [u8; BLOCK_BYTES],
    ) -> Result<&'b [u8], ReadError> {
        let start = index * BLOCK_BYTES;
        let length = (frame.header.frame_bytes() - start).min(BLOCK_BYTES);
        self.read(frame.offset + start as u64, &mut room[..length])?;
        Ok(&room[..length])
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        match self.bytes {
            SegmentBytes::Pieces(file) => file
                .read_exact_at(offset, buffer)
                .map_err(|error| StorageError::new("read", &segment_name(self.extent.number), error).into()),
            SegmentBytes::Mapped(content) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(buffer.len());
                let Some(bytes) = content.get(start..end) else {
                    return Err(self.corruption(offset, "bytes inside the segment", "its end"));
                };
                buffer.copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn corruption(&self, offset: u64, expected: &str, found: &str) -> ReadError {
        ReadError::Corruption(Box::new(Corruption {
            damage: Damage::Frame,
            file: segment_name(self.extent.number),
            position: Position { segment: self.extent.number, offset },
            lsn: self.lsn,
            detail: format!("expected {expected}, found {found}"),
        }))
    }
}
