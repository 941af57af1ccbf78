//! Reads single records of the live log, at any LSN that is durable.
//!
//! In: an LSN. Out: the record, after the checksums of its frame's header and of its own block were checked.
//! Never here: the hash chain (scans check it), an index in memory; a frame is found by its place among the
//! others.

use std::sync::Arc;

use crate::{
    error::ReadError,
    format::{Record, SegmentIdentity},
    lsn::{ChainHash, Lsn},
    read::{FrameView, OpenSegments, Search, SegmentExtent, begun_with_chain},
};

use super::shared::{FoundSegment, Shared};

/// Random access to the records of a live log. Keeps a few segments open (mapped, when they are sealed).
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    open: OpenSegments,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: OpenSegments::default() }
    }

    /// The record with this LSN. A few reads of 256 bytes to find its frame, then at most two blocks of 8
    /// KiB.
    ///
    /// # Errors
    /// The LSN is not durable yet, lies before the oldest segment at hand, its frame does not verify, or the
    /// operating system refuses.
    pub fn record(&mut self, lsn: Lsn) -> Result<Record, ReadError> {
        self.search(lsn)?.record()
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
        let after = self.shared.segments_from(lsn.next());
        begun_with_chain(&*self.shared.storage, after.into_iter(), chain)
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
        let bytes = self.open.segment(&*self.shared.storage, extent.number, sealed)?;
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
}
