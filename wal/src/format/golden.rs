//! The bytes of format version 0, pinned: what is written today is what was written then, and what was
//! written then is read today. `WAL_GOLDEN_WRITE=1 cargo test -p cage-wal golden` writes the files anew; that
//! needs a new version.

use std::path::PathBuf;

use super::*;
use crate::lsn::{ChainHash, Epoch, LogId, Lsn, Position};

const LOG: LogId = LogId(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF);
const EPOCH: Epoch = Epoch(0x0102_0304_0506_0708);
const SEGMENT: u64 = 0x2A;
const OFFSET: u64 = 3 * PAGE;

/// Compares with the file, or writes it.
fn pin(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v0").join(name);
    if std::env::var_os("WAL_GOLDEN_WRITE").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "{name} is not byte for byte what it was");
}

fn frame_header() -> FrameHeader {
    FrameHeader {
        rules_version: 5,
        records: 33,
        first_lsn: Lsn(1_000_001),
        durable_lsn: Lsn(1_000_000),
        time_ns: 1_700_000_000_123_456_789,
        previous_chain: ChainHash::genesis(LOG),
    }
}

fn frame() -> (Vec<u8>, ChainHash) {
    let mut bytes = vec![0xEE; frame_bytes_for(33)];
    for (index, record) in bytes[HEADER_BYTES..].chunks_mut(RECORD_BYTES).take(33).enumerate() {
        record.fill_with({
            let mut next = index as u8;
            move || {
                next = next.wrapping_mul(31).wrapping_add(7);
                next
            }
        });
    }
    let chain = encode_frame(&mut bytes, OFFSET, &frame_header(), &SegmentIdentity::new(LOG, EPOCH, SEGMENT));
    (bytes, chain)
}

/// B4.3, B4.18.
#[test]
fn a_frame_of_version_0_is_byte_stable() {
    let (bytes, chain) = frame();
    pin("frame.bin", &bytes);
    let read = SegmentIdentity::new(LOG, EPOCH, SEGMENT)
        .verify(&bytes, OFFSET, Lsn(1_000_001), ChainHash::genesis(LOG))
        .unwrap();
    assert_eq!(read, frame_header());
    assert_eq!(chain, ChainHash::of_frame(&bytes));
    pin("frame.chain", format!("{chain}\n").as_bytes());
}

/// B4.3, B4.5, B4.18.
#[test]
fn a_segment_header_of_version_0_is_byte_stable() {
    let header = SegmentHeader {
        log: LOG,
        epoch: EPOCH,
        segment: SEGMENT,
        first_lsn: Lsn(1_000_001),
        previous_chain: ChainHash::genesis(LOG),
        previous_end: 128 << 20,
        previous_rest: [0x5A; 32],
        segment_bytes: 128 << 20,
        created_ns: 1_700_000_000_000_000_000,
        repair: None,
    };
    let page = header.encode();
    pin("segment-header.bin", &page);
    assert_eq!(SegmentHeader::decode(&page), Ok(header));
    assert_eq!(header.chain_after(), header.previous_chain);
    let mark = RepairMark { lost_until: Lsn(1_000_250), report: [0xC3; 32] };
    let repaired = SegmentHeader { repair: Some(mark), ..header };
    let page = repaired.encode();
    pin("segment-header-repair.bin", &page);
    assert_eq!(SegmentHeader::decode(&page), Ok(repaired));
    pin("segment-header-repair.chain", format!("{}\n", repaired.chain_after()).as_bytes());
}

/// B4.18.
#[test]
fn a_control_slot_of_version_0_is_byte_stable() {
    let slot = ControlSlot {
        log: LOG,
        epoch: EPOCH,
        sequence: 77,
        durable_lsn: Lsn(1_000_000),
        chain: ChainHash::genesis(LOG),
        end: Position { segment: SEGMENT, offset: OFFSET },
        time_ns: 1_700_000_000_000_000_000,
        clean: true,
    };
    let page = slot.encode();
    pin("control-slot.bin", &page);
    assert_eq!(ControlSlot::decode(1, &page), Ok(slot));
    assert!(ControlSlot::decode(0, &page).is_err(), "an odd sequence number belongs to the second slot");
}

/// B4.4. Every bit of a frame is covered by a check that does not need the next frame.
#[test]
fn no_flipped_bit_of_a_frame_verifies() {
    let (mut bytes, _) = frame();
    let identity = SegmentIdentity::new(LOG, EPOCH, SEGMENT);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let read = identity.verify(&bytes, OFFSET, Lsn(1_000_001), ChainHash::genesis(LOG));
            assert!(read.is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
}

/// B4.19. Lengths and counts of a hostile header lead to an error, not to a slice out of bounds.
#[test]
fn a_frame_cut_anywhere_is_an_error() {
    let (bytes, _) = frame();
    let identity = SegmentIdentity::new(LOG, EPOCH, SEGMENT);
    for length in 0..bytes.len() {
        let cut = identity.verify(&bytes[..length], OFFSET, Lsn(1_000_001), ChainHash::genesis(LOG));
        assert!(cut.is_err(), "{length} bytes");
    }
}

/// B4.4. What was allocated and never written is no frame, however long.
#[test]
fn zeroes_are_no_frame() {
    let identity = SegmentIdentity::new(LOG, EPOCH, SEGMENT);
    for pages in [1, 2, 64] {
        let zeroes = vec![0; pages * PAGE_BYTES];
        assert!(identity.verify(&zeroes, OFFSET, Lsn(0), ChainHash::from_bytes([0; 32])).is_err());
        assert!(identity.plausible_header(&zeroes).is_none());
    }
}
