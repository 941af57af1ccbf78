//! The first page of a segment: which log and epoch it belongs to, and what it continues.
//!
//! In: header values, or the first page of a segment file. Out: the page, or checked values. Never here:
//! whether the segment before really ends where this header says; the scanner compares.

use rkyv::{Archive, Deserialize, Serialize};

use super::{BlockSums, FORMAT_VERSION, HEADER_BYTES, PAGE_BYTES, SEGMENT_MAGIC, is_zero};
use crate::lsn::{ChainHash, Epoch, LogId, Lsn};

#[derive(Archive, Serialize, Deserialize, Clone, Debug)]
struct Layout {
    magic: u32,
    format_version: u16,
    flags: u16,
    log: u128,
    epoch: u64,
    segment: u64,
    first_lsn: u64,
    previous_chain: [u8; 32],
    previous_end: u64,
    previous_rest: [u8; 32],
    segment_bytes: u64,
    created_ns: u64,
    repair_lost_until: u64,
    repair_report: [u8; 32],
    reserved: [u8; 76],
    crc: u32,
}

/// The segment was begun by a repair.
const FLAG_REPAIR: u16 = 1;
const CRC: usize = std::mem::offset_of!(ArchivedLayout, crc);
const _: () = assert!(size_of::<ArchivedLayout>() == HEADER_BYTES && align_of::<ArchivedLayout>() == 1);
const _: () = assert!(CRC + size_of::<u32>() == HEADER_BYTES);

/// Stands for "the previous segment has nothing but zeroes after its end".
pub(crate) const NO_REST: [u8; 32] = [0; 32];

/// What a segment says about itself and about the end of the segment before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log: LogId,
    pub(crate) epoch: Epoch,
    pub(crate) segment: u64,
    pub(crate) first_lsn: Lsn,
    pub(crate) previous_chain: ChainHash,
    /// Where the frames of the previous segment end; 0 in segment 1.
    pub(crate) previous_end: u64,
    /// BLAKE3 of the previous segment from `previous_end` on, or [`NO_REST`].
    pub(crate) previous_rest: [u8; 32],
    pub(crate) segment_bytes: u64,
    pub(crate) created_ns: u64,
    /// The segment was begun by a repair, which gave up what came after the previous end.
    pub(crate) repair: Option<RepairMark>,
}

/// What a repair writes down of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RepairMark {
    /// The last record that is known to have been given up; the one before the segment's first if nothing was.
    pub(crate) lost_until: Lsn,
    /// BLAKE3 of the report that lies beside.
    pub(crate) report: [u8; 32],
}

/// Why a first page is not the header of the segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SegmentHeaderFault {
    /// Nothing was written: a spare segment.
    #[error("all zero")]
    Unused,
    /// Written by a newer version of this crate.
    #[error("format version {0}")]
    Newer(u16),
    /// The page was torn, or damaged.
    #[error("{0}")]
    Unreadable(&'static str),
}

impl SegmentHeader {
    /// The whole first page.
    pub(crate) fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut layout = Layout {
            magic: SEGMENT_MAGIC,
            format_version: FORMAT_VERSION,
            flags: if self.repair.is_some() { FLAG_REPAIR } else { 0 },
            log: self.log.0,
            epoch: self.epoch.0,
            segment: self.segment,
            first_lsn: self.first_lsn.0,
            previous_chain: *self.previous_chain.as_bytes(),
            previous_end: self.previous_end,
            previous_rest: self.previous_rest,
            segment_bytes: self.segment_bytes,
            created_ns: self.created_ns,
            repair_lost_until: self.repair.map_or(0, |mark| mark.lost_until.0),
            repair_report: self.repair.map_or([0; 32], |mark| mark.report),
            reserved: [0; 76],
            crc: 0,
        };
        let mut page = [0; PAGE_BYTES];
        super::write_layout(&layout, &mut page[..HEADER_BYTES]);
        layout.crc = self.sums().header_block(0, &page, CRC);
        super::write_layout(&layout, &mut page[..HEADER_BYTES]);
        page
    }

    /// Reads and checks a first page (more bytes may follow).
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SegmentHeaderFault> {
        let Some(page) = bytes.get(..PAGE_BYTES) else {
            return Err(SegmentHeaderFault::Unreadable("shorter than a page"));
        };
        if is_zero(page) {
            return Err(SegmentHeaderFault::Unused);
        }
        let Some(layout) = super::read_layout::<Layout>(&page[..HEADER_BYTES]) else {
            return Err(SegmentHeaderFault::Unreadable("shorter than a header"));
        };
        if layout.magic != SEGMENT_MAGIC {
            return Err(SegmentHeaderFault::Unreadable("expected the segment magic"));
        }
        if layout.format_version > FORMAT_VERSION {
            return Err(SegmentHeaderFault::Newer(layout.format_version));
        }
        let header = Self {
            log: LogId(layout.log),
            epoch: Epoch(layout.epoch),
            segment: layout.segment,
            first_lsn: Lsn(layout.first_lsn),
            previous_chain: ChainHash::from_bytes(layout.previous_chain),
            previous_end: layout.previous_end,
            previous_rest: layout.previous_rest,
            segment_bytes: layout.segment_bytes,
            created_ns: layout.created_ns,
            repair: (layout.flags == FLAG_REPAIR).then_some(RepairMark {
                lost_until: Lsn(layout.repair_lost_until),
                report: layout.repair_report,
            }),
        };
        if header.sums().header_block(0, page, CRC) != layout.crc {
            return Err(SegmentHeaderFault::Unreadable("its CRC32 does not match"));
        }
        let no_repair = layout.repair_lost_until == 0 && is_zero(&layout.repair_report);
        if layout.flags > FLAG_REPAIR
            || (layout.flags == 0 && !no_repair)
            || !is_zero(&layout.reserved)
            || !is_zero(&page[HEADER_BYTES..])
        {
            return Err(SegmentHeaderFault::Unreadable("expected zeroes in the reserved bytes"));
        }
        Ok(header)
    }

    /// The chain that the segment's first frame continues: the one before, unless the segment was begun by a repair. Then
    /// the whole header is woven into it, so that nobody can take the repair out again.
    pub(crate) fn chain_after(&self) -> ChainHash {
        if self.repair.is_none() {
            return self.previous_chain;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"cage repair").update(&self.encode()[..HEADER_BYTES]);
        ChainHash::from_bytes(hasher.finalize().into())
    }

    fn sums(&self) -> BlockSums {
        BlockSums::new(self.log, self.epoch, self.segment)
    }
}

/// The file name of a segment: sixteen hexadecimal digits and `.wal`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:016x}.wal")
}

/// The number in a segment's file name; `None` if this is not one.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (number > 0 && segment_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_name_is_a_segment() {
        assert_eq!(segment_number("0000000000000010.wal"), Some(16));
        for name in [
            "10.wal",
            "0000000000000000.wal",
            "000000000000001G.wal",
            "0000000000000010.tmp",
            "+000000000000010.wal",
        ] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
