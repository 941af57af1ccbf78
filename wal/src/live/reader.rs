//! Reads single records of the live log, at any LSN that is durable.
//!
//! In: an LSN. Out: the record, after the checksums of its frame's header and of its own block were checked.
//! Never here: the hash chain (scans check it), an index in memory; a frame is found by its place among the
//! others.

use std::{io, sync::Arc};

use crate::{
    error::{Corruption, Damage, ReadError, StorageError},
    format::{
        BLOCK_BYTES, FRAME_BYTES_MAX, FrameHeader, HEADER_BYTES, PAGE, PAGE_BYTES, RECORD_BYTES, Record,
        SegmentHeader, SegmentIdentity, segment_name,
    },
    lsn::{ChainHash, Lsn, Position},
    read::{FrameView, SegmentExtent},
    storage::{Content, RandomRead, Source},
};

use super::shared::{FoundSegment, Shared};

/// Segments that a reader keeps open.
const OPEN_SEGMENTS_MAX: usize = 16;

/// Random access to the records of a live log. Keeps a few segments open (mapped, when they are sealed).
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    /// Least recently used first.
    open: Vec<OpenSegment>,
}

#[derive(Debug)]
struct OpenSegment {
    number: u64,
    /// Nobody writes to it any more.
    sealed: bool,
    bytes: SegmentBytes,
}

#[derive(Debug)]
enum SegmentBytes {
    /// For segments that are sealed.
    Mapped(Content),
    /// Read piece by piece: what the flusher writes to must not be mapped as a slice of bytes, and what is packed in
    /// the archive need not be unpacked as a whole.
    Pieces(Box<dyn RandomRead>),
}

/// A frame that was found, by its header alone.
#[derive(Clone, Copy, Debug)]
struct FoundFrame {
    offset: u64,
    header: FrameHeader,
}

impl Reader {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: Vec::new() }
    }

    /// The record with this LSN. A few reads of 256 bytes to find its frame, then at most two blocks of 8
    /// KiB.
    ///
    /// # Errors
    /// The LSN is not durable yet, lies before the oldest segment at hand, its frame does not verify, or the
    /// operating system refuses.
    pub fn record(&mut self, lsn: Lsn) -> Result<Record, ReadError> {
        let search = self.search(lsn)?;
        search.record(&search.frame()?)
    }

    /// The whole frame that holds the record with this LSN, read into `room` and verified. For readers that
    /// follow the log: the next frame holds `last_lsn.next()`.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn frame<'r>(&mut self, lsn: Lsn, room: &'r mut Vec<u8>) -> Result<FrameView<'r>, ReadError> {
        self.search(lsn)?.whole_frame(room)
    }

    /// Whether the chain after the frame that ends with `lsn` is `chain`; `false` also if no frame ends there.
    /// `Lsn(0)` is the beginning of the log.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn knows_chain(&mut self, lsn: Lsn, chain: ChainHash) -> Result<bool, ReadError> {
        if lsn == Lsn::ZERO {
            return Ok(chain == ChainHash::genesis(self.shared.log));
        }
        let mut room = Vec::new();
        let frame = self.frame(lsn, &mut room)?;
        if frame.last_lsn != lsn || frame.chain == chain {
            return Ok(frame.last_lsn == lsn);
        }
        self.repaired_chain(lsn, chain)
    }

    /// Whether a repair went on after `lsn` and made `chain` the log's, until the next frame.
    fn repaired_chain(&self, lsn: Lsn, chain: ChainHash) -> Result<bool, ReadError> {
        for number in self.shared.segments_from(lsn.next()) {
            let name = segment_name(number);
            let mut page = [0; PAGE_BYTES];
            let file = self.shared.storage.open_read(&name)?;
            file.read_exact_at(0, &mut page).map_err(|error| StorageError::new("read", &name, error))?;
            if SegmentHeader::decode(&page).is_ok_and(|header| header.chain_after() == chain) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn search(&mut self, lsn: Lsn) -> Result<Search<'_>, ReadError> {
        let durable = self.shared.durable();
        if lsn > durable.get() || lsn == Lsn::ZERO {
            return Err(ReadError::NotDurable { lsn, durable });
        }
        let FoundSegment { extent, end_lsn, sealed } = match self.shared.segment_of(lsn) {
            Ok(found) => found,
            Err(oldest) => self.archived(lsn, oldest)?,
        };
        let identity = SegmentIdentity::new(self.shared.log, extent.epoch, extent.number);
        let bytes = self.segment(extent.number, sealed)?;
        Ok(Search { identity, bytes, extent, end_lsn, lsn })
    }

    /// The segment of a record that lies before the oldest one at hand.
    fn archived(&self, lsn: Lsn, oldest: Option<SegmentExtent>) -> Result<FoundSegment, ReadError> {
        let before = oldest.map_or(1, |oldest| oldest.number);
        let found = match self.shared.storage.archive() {
            Some(archive) => archive.holding(lsn, before)?,
            None => None,
        };
        let Some(found) = found else {
            return Err(ReadError::TooOld {
                lsn,
                oldest: oldest.map_or(Lsn::FIRST, |oldest| oldest.first_lsn),
            });
        };
        Ok(FoundSegment { extent: found.extent(), end_lsn: found.next_lsn(), sealed: true })
    }

    fn open(&self, number: u64, sealed: bool) -> Result<SegmentBytes, StorageError> {
        let (storage, name) = (&self.shared.storage, segment_name(number));
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

    fn segment(&mut self, number: u64, sealed: bool) -> Result<&SegmentBytes, StorageError> {
        let found = self.open.iter().position(|open| {
            // What was open while it was written to is mapped when it is sealed.
            open.number == number && (!sealed || open.sealed)
        });
        let segment = match found {
            Some(index) => self.open.remove(index),
            None => {
                self.open.retain(|open| open.number != number);
                OpenSegment { number, sealed, bytes: self.open(number, sealed)? }
            }
        };
        if self.open.len() == OPEN_SEGMENTS_MAX {
            self.open.remove(0);
        }
        self.open.push(segment);
        Ok(&self.open[self.open.len() - 1].bytes)
    }
}

/// One look-up in one segment.
struct Search<'a> {
    identity: SegmentIdentity,
    bytes: &'a SegmentBytes,
    extent: SegmentExtent,
    /// The LSN after the segment's last (durable) record.
    end_lsn: Lsn,
    lsn: Lsn,
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
        let lowest = low.max((offset + PAGE).saturating_sub(FRAME_BYTES_MAX as u64));
        let mut page = offset;
        loop {
            let mut start = [0; HEADER_BYTES];
            self.read(page, &mut start)?;
            if let Some(header) = self.identity.plausible_header(&start) {
                return Ok(FoundFrame { offset: page, header });
            }
            if page <= lowest {
                return Err(self.corruption(offset, "a page of a frame", "no frame header before it"));
            }
            page -= PAGE;
        }
    }

    fn record(&self, frame: &FoundFrame) -> Result<Record, ReadError> {
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

    fn whole_frame<'r>(&self, room: &'r mut Vec<u8>) -> Result<FrameView<'r>, ReadError> {
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
