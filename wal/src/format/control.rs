//! The control file: two slots, written in turn, that say from outside the segments how far the log was
//! durable.
//!
//! In: a slot's values, or the bytes of the control file. Out: bytes, or checked slots. Never here: when a
//! slot is written, and what follows from it.

use rkyv::{Archive, Deserialize, Serialize};

use super::{BlockSums, CONTROL_MAGIC, FORMAT_VERSION, HEADER_BYTES, PAGE_BYTES, is_zero};
use crate::lsn::{ChainHash, Epoch, LogId, Lsn, Position};

#[derive(Archive, Serialize, Deserialize, Clone, Debug)]
struct Layout {
    magic: u32,
    format_version: u16,
    flags: u16,
    log: u128,
    epoch: u64,
    sequence: u64,
    durable_lsn: u64,
    chain: [u8; 32],
    end_segment: u64,
    end_offset: u64,
    time_ns: u64,
    reserved: [u8; 148],
    crc: u32,
}

const CRC: usize = std::mem::offset_of!(ArchivedLayout, crc);
const FLAG_CLEAN: u16 = 1;
const _: () = assert!(size_of::<ArchivedLayout>() == HEADER_BYTES && align_of::<ArchivedLayout>() == 1);
const _: () = assert!(CRC + size_of::<u32>() == HEADER_BYTES);

/// Slots in the control file.
pub(crate) const SLOTS: usize = 2;
/// Bytes of the control file; each slot has a page of its own.
pub(crate) const CONTROL_BYTES: u64 = (SLOTS * PAGE_BYTES) as u64;

/// One slot's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControlSlot {
    pub(crate) log: LogId,
    pub(crate) epoch: Epoch,
    /// Rises by one with each write; the slot is `sequence % 2`.
    pub(crate) sequence: u64,
    pub(crate) durable_lsn: Lsn,
    /// The chain at `durable_lsn`.
    pub(crate) chain: ChainHash,
    /// Where the frame that ends with `durable_lsn` ends.
    pub(crate) end: Position,
    pub(crate) time_ns: u64,
    /// Written at the end of an orderly close; nothing was written to the log after it.
    pub(crate) clean: bool,
}

/// Why a slot is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SlotFault {
    #[error("never written")]
    Unused,
    #[error("format version {0}")]
    Newer(u16),
    #[error("{0}")]
    Unreadable(&'static str),
}

impl ControlSlot {
    /// The slot's place in the file.
    pub(crate) fn offset(&self) -> u64 {
        (self.sequence % SLOTS as u64) * super::PAGE
    }

    /// The slot's page.
    pub(crate) fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut layout = Layout {
            magic: CONTROL_MAGIC,
            format_version: FORMAT_VERSION,
            flags: if self.clean { FLAG_CLEAN } else { 0 },
            log: self.log.0,
            epoch: self.epoch.0,
            sequence: self.sequence,
            durable_lsn: self.durable_lsn.0,
            chain: *self.chain.as_bytes(),
            end_segment: self.end.segment,
            end_offset: self.end.offset,
            time_ns: self.time_ns,
            reserved: [0; 148],
            crc: 0,
        };
        let mut page = [0; PAGE_BYTES];
        super::write_layout(&layout, &mut page[..HEADER_BYTES]);
        layout.crc = self.sums().header_block(self.offset(), &page, CRC);
        super::write_layout(&layout, &mut page[..HEADER_BYTES]);
        page
    }

    /// Reads and checks the slot whose page is the `index`-th of the control file.
    pub(crate) fn decode(index: usize, page: &[u8]) -> Result<Self, SlotFault> {
        if is_zero(page) {
            return Err(SlotFault::Unused);
        }
        let Some(layout) = page.get(..HEADER_BYTES).and_then(super::read_layout::<Layout>) else {
            return Err(SlotFault::Unreadable("shorter than a slot"));
        };
        if layout.magic != CONTROL_MAGIC {
            return Err(SlotFault::Unreadable("expected the control magic"));
        }
        if layout.format_version > FORMAT_VERSION {
            return Err(SlotFault::Newer(layout.format_version));
        }
        let slot = Self {
            log: LogId(layout.log),
            epoch: Epoch(layout.epoch),
            sequence: layout.sequence,
            durable_lsn: Lsn(layout.durable_lsn),
            chain: ChainHash::from_bytes(layout.chain),
            end: Position { segment: layout.end_segment, offset: layout.end_offset },
            time_ns: layout.time_ns,
            clean: layout.flags == FLAG_CLEAN,
        };
        if slot.offset() != (index * PAGE_BYTES) as u64 {
            return Err(SlotFault::Unreadable("its sequence number belongs to the other slot"));
        }
        if slot.sums().header_block(slot.offset(), page, CRC) != layout.crc {
            return Err(SlotFault::Unreadable("its CRC32 does not match"));
        }
        if layout.flags > FLAG_CLEAN || !is_zero(&layout.reserved) || !is_zero(&page[HEADER_BYTES..]) {
            return Err(SlotFault::Unreadable("expected zeroes in the reserved bytes"));
        }
        Ok(slot)
    }

    fn sums(&self) -> BlockSums {
        BlockSums::new(self.log, self.epoch, 0)
    }
}
