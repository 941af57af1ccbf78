//! A frame: one header, then records, then zeroes up to a page boundary.
//!
//! In: header values with records already in place, or bytes read from a segment. Out: a sealed frame and its
//! chain hash, or a checked header. Never here: whether a frame that does not verify is a torn tail or
//! damage; that needs evidence from elsewhere (see `read::tail`).

use std::mem::offset_of;

use rkyv::{Archive, Deserialize, Serialize};

use super::{
    BlockSums, FORMAT_VERSION, FRAME_BLOCKS_MAX, FRAME_BYTES_MAX, FRAME_MAGIC, FRAME_RECORDS_MAX,
    HEADER_BYTES, PAGE_BYTES, RECORD_BYTES, Record, is_zero,
};
use crate::lsn::{ChainHash, Epoch, LogId, Lsn};

/// The header as it lies in the file: little-endian, unaligned, no padding.
#[derive(Archive, Serialize, Deserialize, Clone, Debug)]
struct Layout {
    magic: u32,
    format_version: u16,
    flags: u16,
    rules_version: u32,
    records: u32,
    log: u128,
    epoch: u64,
    segment: u64,
    first_lsn: u64,
    durable_lsn: u64,
    time_ns: u64,
    term: u64,
    index: u64,
    frame_bytes: u32,
    reserved: u32,
    previous_chain: [u8; 32],
    block_crcs: [u32; FRAME_BLOCKS_MAX],
}

/// Where the CRC table begins; it runs to the end of the header.
const CRC_TABLE: usize = offset_of!(ArchivedLayout, block_crcs);
const _: () = assert!(size_of::<ArchivedLayout>() == HEADER_BYTES && align_of::<ArchivedLayout>() == 1);
const _: () = assert!(CRC_TABLE + FRAME_BLOCKS_MAX * size_of::<u32>() == HEADER_BYTES);
const _: () =
    assert!(offset_of!(ArchivedLayout, log) == 16 && offset_of!(ArchivedLayout, previous_chain) == 96);

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) rules_version: u32,
    pub(crate) records: u32,
    pub(crate) first_lsn: Lsn,
    /// The durable LSN when the frame was built; always before its own first record.
    pub(crate) durable_lsn: Lsn,
    pub(crate) time_ns: u64,
    pub(crate) previous_chain: ChainHash,
}

impl FrameHeader {
    /// The LSN after the frame's last record.
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.first_lsn.plus(u64::from(self.records))
    }

    /// Bytes of the frame, padding included.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes_for(self.records as usize)
    }
}

/// Which log, epoch and segment a frame has to belong to.
#[derive(Clone, Debug)]
pub(crate) struct SegmentIdentity {
    pub(crate) log: LogId,
    pub(crate) epoch: Epoch,
    pub(crate) segment: u64,
    sums: BlockSums,
}

/// Why the bytes at a place are not the frame that belongs there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameFault {
    /// The bytes differ from what was written, or never were written.
    #[error("{0}")]
    Unreadable(String),
    /// All checksums hold, for this very place, and yet the frame does not continue the log.
    #[error("{0}")]
    Contradiction(String),
}

/// Bytes of a frame with this many records: header, records, padding to the page boundary.
pub(crate) const fn frame_bytes_for(records: usize) -> usize {
    (HEADER_BYTES + records * RECORD_BYTES).next_multiple_of(PAGE_BYTES)
}

/// The most records of one frame in this much room (which is a multiple of the page size).
pub(crate) fn records_that_fit(room: u64) -> usize {
    let bytes = usize::try_from(room).unwrap_or(usize::MAX).min(FRAME_BYTES_MAX);
    bytes.saturating_sub(HEADER_BYTES) / RECORD_BYTES
}

/// Completes a frame in place. `frame` is [`frame_bytes_for`] the header's records long and holds the records
/// after the header's room; header, checksums and padding are written here. Returns the chain after this
/// frame.
pub(crate) fn encode_frame(
    frame: &mut [u8],
    offset: u64,
    header: &FrameHeader,
    identity: &SegmentIdentity,
) -> ChainHash {
    assert_eq!(frame.len(), header.frame_bytes(), "the frame's room is exactly as long as the frame");
    assert!(
        (1..=FRAME_RECORDS_MAX as u32).contains(&header.records),
        "a frame has records, and not too many"
    );
    assert!(header.durable_lsn < header.first_lsn, "a frame is built before it is durable");
    let mut layout = Layout {
        magic: FRAME_MAGIC,
        format_version: FORMAT_VERSION,
        flags: 0,
        rules_version: header.rules_version,
        records: header.records,
        log: identity.log.0,
        epoch: identity.epoch.0,
        segment: identity.segment,
        first_lsn: header.first_lsn.0,
        durable_lsn: header.durable_lsn.0,
        time_ns: header.time_ns,
        term: 0,
        index: 0,
        frame_bytes: frame.len() as u32,
        reserved: 0,
        previous_chain: *header.previous_chain.as_bytes(),
        block_crcs: [0; FRAME_BLOCKS_MAX],
    };
    frame[HEADER_BYTES + header.records as usize * RECORD_BYTES..].fill(0);
    super::write_layout(&layout, &mut frame[..HEADER_BYTES]);
    for (slot, crc) in layout.block_crcs.iter_mut().zip(identity.sums.frame(offset, frame, CRC_TABLE)) {
        *slot = crc;
    }
    super::write_layout(&layout, &mut frame[..HEADER_BYTES]);
    ChainHash::of_frame(frame)
}

impl SegmentIdentity {
    pub(crate) fn new(log: LogId, epoch: Epoch, segment: u64) -> Self {
        Self { log, epoch, segment, sums: BlockSums::new(log, epoch, segment) }
    }

    /// What a frame that stands alone says that it belongs to, and its header.
    pub(crate) fn of_frame(frame: &[u8]) -> Result<(Self, FrameHeader), FrameFault> {
        let Some(layout) = frame.get(..HEADER_BYTES).and_then(super::read_layout::<Layout>) else {
            return Err(FrameFault::unreadable("a frame header", "fewer bytes"));
        };
        let identity = Self::new(LogId(layout.log), Epoch(layout.epoch), layout.segment);
        let header = identity.read_header(frame)?.header();
        Ok((identity, header))
    }

    /// Checks the frame that should begin at `offset`, where `rest` is the segment from there on. `next` and
    /// `chain` are what it has to continue.
    pub(crate) fn verify(
        &self,
        rest: &[u8],
        offset: u64,
        next: Lsn,
        chain: ChainHash,
    ) -> Result<FrameHeader, FrameFault> {
        let (header, _) = self.verify_unchained(rest, offset, next)?;
        if header.previous_chain != chain {
            return Err(FrameFault::contradiction(format!("previous chain {chain}"), header.previous_chain));
        }
        Ok(header)
    }

    /// The same for whoever does not know the chain; with the frame's records.
    pub(crate) fn verify_unchained<'a>(
        &self,
        rest: &'a [u8],
        offset: u64,
        next: Lsn,
    ) -> Result<(FrameHeader, &'a [Record]), FrameFault> {
        let layout = self.read_header(rest)?;
        let header = layout.header();
        let Some(frame) = rest.get(..header.frame_bytes()) else {
            return Err(FrameFault::unreadable(
                "a frame that ends inside its segment",
                "one that ends after it",
            ));
        };
        self.verify_blocks(frame, offset, &layout)?;
        let (records, padding) = frame[HEADER_BYTES..].split_at(header.records as usize * RECORD_BYTES);
        if !is_zero(padding) {
            return Err(FrameFault::contradiction("zeroes after the last record", "other bytes"));
        }
        if header.first_lsn != next {
            return Err(FrameFault::contradiction(format!("first LSN {next}"), header.first_lsn));
        }
        Ok((header, records.as_chunks().0))
    }

    fn verify_blocks(&self, frame: &[u8], offset: u64, layout: &Layout) -> Result<(), FrameFault> {
        let mut stored = layout.block_crcs.iter();
        for (index, computed) in self.sums.frame(offset, frame, CRC_TABLE).enumerate() {
            let crc = *stored.next().unwrap_or(&0);
            if crc != computed {
                let expected = format!("CRC32 {crc:#010x} of block {index}");
                return Err(FrameFault::unreadable(expected, format_args!("{computed:#010x}")));
            }
        }
        if stored.any(|crc| *crc != 0) {
            return Err(FrameFault::unreadable("zeroes after the last CRC32", "other bytes"));
        }
        Ok(())
    }

    /// The header at the beginning of `page`, if its fields are those of a frame of this segment. The
    /// checksums are not looked at.
    pub(crate) fn plausible_header(&self, page: &[u8]) -> Option<FrameHeader> {
        self.read_header(page).ok().map(|layout| layout.header())
    }

    /// Checks only the first block of a frame at `offset`, which holds its header, and perhaps one other,
    /// given by its number.
    pub(crate) fn verify_one_block(
        &self,
        first_block: &[u8],
        other: Option<(usize, &[u8])>,
        offset: u64,
    ) -> Result<(), FrameFault> {
        let layout = self.read_header(first_block)?;
        let check = |index: usize, computed: u32| {
            let stored = layout.block_crcs[index];
            if stored == computed {
                return Ok(());
            }
            let expected = format!("CRC32 {stored:#010x} of block {index}");
            Err(FrameFault::unreadable(expected, format_args!("{computed:#010x}")))
        };
        check(0, self.sums.header_block(offset, first_block, CRC_TABLE))?;
        match other {
            Some((index, block)) => {
                check(index, self.sums.block(offset + (index * super::BLOCK_BYTES) as u64, block))
            }
            None => Ok(()),
        }
    }

    fn read_header(&self, bytes: &[u8]) -> Result<Layout, FrameFault> {
        let Some(layout) = bytes.get(..HEADER_BYTES).and_then(super::read_layout::<Layout>) else {
            return Err(FrameFault::unreadable("a frame header", "fewer bytes"));
        };
        let fields: [(&str, u128, u128); 9] = [
            ("magic", layout.magic.into(), FRAME_MAGIC.into()),
            ("format version", layout.format_version.into(), FORMAT_VERSION.into()),
            ("log id", layout.log, self.log.0),
            ("epoch", layout.epoch.into(), self.epoch.0.into()),
            ("segment number", layout.segment.into(), self.segment.into()),
            ("flags", layout.flags.into(), 0),
            ("term", layout.term.into(), 0),
            ("index", layout.index.into(), 0),
            ("reserved field", layout.reserved.into(), 0),
        ];
        for (name, found, expected) in fields {
            if found != expected {
                return Err(FrameFault::unreadable(
                    format!("{name} {expected:#x}"),
                    format_args!("{found:#x}"),
                ));
            }
        }
        let records = layout.records as usize;
        if records == 0
            || records > FRAME_RECORDS_MAX
            || layout.frame_bytes as usize != frame_bytes_for(records)
        {
            let found = format!("{} records in {} bytes", layout.records, layout.frame_bytes);
            return Err(FrameFault::unreadable("a record count that matches the frame's length", found));
        }
        if layout.durable_lsn >= layout.first_lsn {
            let expected = format!("a durable LSN before {}", layout.first_lsn);
            return Err(FrameFault::unreadable(expected, layout.durable_lsn));
        }
        Ok(layout)
    }
}

impl Layout {
    fn header(&self) -> FrameHeader {
        FrameHeader {
            rules_version: self.rules_version,
            records: self.records,
            first_lsn: Lsn(self.first_lsn),
            durable_lsn: Lsn(self.durable_lsn),
            time_ns: self.time_ns,
            previous_chain: ChainHash::from_bytes(self.previous_chain),
        }
    }
}

impl FrameFault {
    fn unreadable(expected: impl ToString, found: impl ToString) -> Self {
        Self::Unreadable(format!("expected {}, found {}", expected.to_string(), found.to_string()))
    }

    fn contradiction(expected: impl ToString, found: impl ToString) -> Self {
        Self::Contradiction(format!("expected {}, found {}", expected.to_string(), found.to_string()))
    }
}
