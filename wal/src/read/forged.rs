//! Logs whose checksums are all right and whose contents are not: what a forger (or a bug of the writer)
//! makes.

use super::*;
use crate::{
    Callbacks, Corruption, Damage, Identity, LogOptions, RecordTraits, Writer,
    format::{
        BlockSums, ControlSlot, FRAME_MAGIC, PAGE, PAGE_BYTES, RECORD_BYTES, RepairMark, SegmentHeader,
        encode_frame,
    },
    storage::sim::SimDisk,
};

const FIRST: &str = "0000000000000001.wal";
const SECOND: &str = "0000000000000002.wal";

fn open(disk: &SimDisk, epoch: u64) -> Writer {
    let recovered = recover_from(disk.clone(), Limits::default(), |_| Ok::<_, ()>(())).unwrap();
    let records = RecordTraits { linked: |_| false, time_ns: |_| 0 };
    let options = LogOptions { segment_bytes: 64 << 10, ..LogOptions::new(1, records) };
    let identity = Identity { epoch: Epoch(epoch), new_log: LogId(5) };
    recovered.open(options, identity, Callbacks::none()).unwrap().0
}

/// A log of one frame of one record in segment 1, and nothing in segment 2. Not closed.
fn log() -> SimDisk {
    let disk = SimDisk::new();
    for epoch in 1..=2 {
        let mut writer = open(&disk, epoch);
        if epoch == 1 {
            writer.append(&[1; RECORD_BYTES]).unwrap();
        }
    }
    disk.copy()
}

fn audit(disk: &SimDisk) -> Result<ScanReport, RecoveryError<()>> {
    scan_from(disk, Limits::default(), |_| Ok(()))
}

fn refusal(disk: &SimDisk) -> Corruption {
    match audit(disk) {
        Err(RecoveryError::Corruption(corruption)) => *corruption,
        other => panic!("expected corruption, found {other:?}"),
    }
}

/// Puts a frame that verifies for its place at the end of the log.
fn forge_frame(disk: &SimDisk, first_lsn: Lsn, previous_chain: ChainHash, padding: u8) {
    let mut frame = vec![0; PAGE_BYTES];
    let header = FrameHeader {
        rules_version: 1,
        records: 1,
        first_lsn,
        durable_lsn: Lsn(0),
        time_ns: 0,
        previous_chain,
    };
    let identity = SegmentIdentity::new(LogId(5), Epoch(2), 2);
    encode_frame(&mut frame, PAGE, &header, &identity);
    frame[PAGE_BYTES - 1] = padding;
    disk.edit(SECOND, |bytes| bytes[PAGE_BYTES..2 * PAGE_BYTES].copy_from_slice(&frame));
}

/// B4.5.
#[test]
fn a_whole_frame_that_does_not_continue_the_log_is_not_a_torn_tail() {
    let disk = log();
    let end = audit(&disk).unwrap();
    assert_eq!((end.next_lsn, end.segments), (Lsn(2), 2));
    forge_frame(&disk, Lsn(2), end.chain_head, 0);
    assert_eq!(audit(&disk).unwrap().next_lsn, Lsn(3), "the right frame is welcome");
    forge_frame(&disk, Lsn(2), ChainHash::genesis(LogId(5)), 0);
    assert_eq!(refusal(&disk).damage, Damage::Chain);
    forge_frame(&disk, Lsn(3), end.chain_head, 0);
    assert_eq!(refusal(&disk).damage, Damage::Chain);
    forge_frame(&disk, Lsn(2), end.chain_head, 1);
    assert!(audit(&disk).unwrap().torn_tail.is_some(), "without its checksum it may have been torn");
}

/// Whoever knows the format can make checksums fit; but what lies behind the last record is nobody's.
#[test]
fn padding_that_is_not_zero_is_refused_though_the_checksums_hold() {
    let disk = log();
    let end = audit(&disk).unwrap();
    forge_frame(&disk, Lsn(2), end.chain_head, 1);
    disk.edit(SECOND, |bytes| {
        const TABLE: usize = 128;
        let frame = &mut bytes[PAGE_BYTES..2 * PAGE_BYTES];
        let crc = BlockSums::new(LogId(5), Epoch(2), 2).header_block(PAGE, frame, TABLE);
        frame[TABLE..TABLE + 4].copy_from_slice(&crc.to_le_bytes());
    });
    assert_eq!(refusal(&disk).damage, Damage::Chain);
}

/// B4.5.
#[test]
fn a_segment_header_that_continues_another_log_is_refused() {
    let disk = log();
    let good = SegmentHeader::decode(&disk.bytes_of(SECOND).unwrap()).unwrap();
    let forgeries = [
        (SegmentHeader { first_lsn: Lsn(3), ..good }, Damage::Continuity),
        (SegmentHeader { previous_chain: ChainHash::genesis(LogId(5)), ..good }, Damage::Continuity),
        (SegmentHeader { previous_end: 0, ..good }, Damage::Continuity),
        (SegmentHeader { previous_end: good.previous_end + 1, ..good }, Damage::Continuity),
        (SegmentHeader { previous_end: 1 << 40, ..good }, Damage::Continuity),
        (SegmentHeader { previous_end: good.previous_end + PAGE, ..good }, Damage::Frame),
        (SegmentHeader { previous_end: good.previous_end - PAGE, ..good }, Damage::Rest),
        (SegmentHeader { previous_rest: [7; 32], ..good }, Damage::Rest),
        (SegmentHeader { log: LogId(6), ..good }, Damage::Continuity),
        (SegmentHeader { segment: 3, ..good }, Damage::Continuity),
        (SegmentHeader { segment_bytes: 128 << 10, ..good }, Damage::SegmentLength),
    ];
    for (forgery, damage) in forgeries {
        disk.edit(SECOND, |bytes| bytes[..PAGE_BYTES].copy_from_slice(&forgery.encode()));
        assert_eq!(refusal(&disk).damage, damage, "{forgery:?}");
    }
    disk.edit(SECOND, |bytes| bytes[..PAGE_BYTES].copy_from_slice(&good.encode()));
    audit(&disk).unwrap();
}

#[test]
fn a_log_does_not_begin_with_another_ones_past() {
    let disk = log();
    let good = SegmentHeader::decode(&disk.bytes_of(FIRST).unwrap()).unwrap();
    assert_eq!((good.first_lsn, good.previous_end), (Lsn::FIRST, 0));
    for forgery in [
        SegmentHeader { first_lsn: Lsn(2), ..good },
        SegmentHeader { previous_chain: ChainHash::genesis(LogId(6)), ..good },
        SegmentHeader { previous_end: PAGE, ..good },
    ] {
        disk.edit(FIRST, |bytes| bytes[..PAGE_BYTES].copy_from_slice(&forgery.encode()));
        assert_eq!(refusal(&disk).damage, Damage::Continuity, "{forgery:?}");
    }
}

/// Whoever can write the files can take a repair out of a header, and make its checksum right. The chain runs through it.
#[test]
fn a_repair_is_not_taken_out_again() {
    let disk = log();
    let good = SegmentHeader::decode(&disk.bytes_of(SECOND).unwrap()).unwrap();
    let mark = RepairMark { lost_until: Lsn(9), report: [3; 32] };
    let repaired = SegmentHeader { repair: Some(mark), ..good };
    let put = |header: &SegmentHeader| {
        disk.edit(SECOND, |bytes| bytes[..PAGE_BYTES].copy_from_slice(&header.encode()));
    };
    put(&repaired);
    forge_frame(&disk, Lsn(2), repaired.chain_after(), 0);
    let repairs = audit(&disk).unwrap().repairs;
    assert_eq!(repairs.iter().map(Repair::loss).collect::<Vec<_>>(), ["2-9"]);
    for forgery in [
        good,
        SegmentHeader { repair: Some(RepairMark { lost_until: Lsn(1), ..mark }), ..good },
        SegmentHeader { repair: Some(RepairMark { report: [4; 32], ..mark }), ..good },
        SegmentHeader { created_ns: good.created_ns + 1, ..repaired },
    ] {
        put(&forgery);
        assert_eq!(refusal(&disk).damage, Damage::Chain, "{forgery:?}");
    }
    put(&good);
    forge_frame(&disk, Lsn(2), repaired.previous_chain, 0);
    assert_eq!(audit(&disk).unwrap().repairs, [], "without the frames behind it nobody can know");
}

/// What the newest slot of the control file says, changed.
fn forge_control(disk: &SimDisk, change: impl FnOnce(&mut ControlSlot)) {
    let control = audit(disk).unwrap().control.unwrap();
    disk.edit("control", |bytes| {
        let index = (control.sequence % 2) as usize;
        let page = &mut bytes[index * PAGE_BYTES..][..PAGE_BYTES];
        let mut slot = ControlSlot::decode(index, page).unwrap();
        change(&mut slot);
        page.copy_from_slice(&slot.encode());
    });
}

#[test]
fn a_complete_frame_after_an_orderly_end_is_refused() {
    let disk = log();
    let end = audit(&disk).unwrap();
    forge_control(&disk, |slot| (slot.clean, slot.end) = (true, end.end));
    audit(&disk).expect("this is where it was closed");
    forge_frame(&disk, Lsn(2), end.chain_head, 0);
    assert_eq!(refusal(&disk).damage, Damage::BelowDurable);
}

#[test]
fn a_durable_lsn_in_the_middle_of_a_frame_is_refused() {
    let disk = SimDisk::new();
    let mut writer = open(&disk, 1);
    writer.append(&[1; RECORD_BYTES]).unwrap();
    drop(writer);
    let disk = disk.copy();
    disk.edit(FIRST, |bytes| {
        let mut frame = vec![0; PAGE_BYTES];
        let previous_chain = ChainHash::genesis(LogId(5));
        let (first_lsn, durable_lsn) = (Lsn::FIRST, Lsn::ZERO);
        let header =
            FrameHeader { rules_version: 1, records: 3, first_lsn, durable_lsn, time_ns: 0, previous_chain };
        encode_frame(&mut frame, PAGE, &header, &SegmentIdentity::new(LogId(5), Epoch(1), 1));
        bytes[PAGE_BYTES..2 * PAGE_BYTES].copy_from_slice(&frame);
    });
    assert_eq!(audit(&disk).unwrap().next_lsn, Lsn(4));
    forge_control(&disk, |slot| slot.durable_lsn = Lsn(2));
    assert_eq!(refusal(&disk).damage, Damage::BelowDurable);
}

#[test]
fn a_segment_that_the_control_file_knows_is_no_spare() {
    let disk = log();
    let mut end = audit(&disk).unwrap().end;
    assert_eq!((end.segment, end.offset), (2, PAGE));
    end.segment = 3;
    forge_control(&disk, |slot| slot.end = end);
    let refused = refusal(&disk);
    assert_eq!((refused.damage, refused.position.segment), (Damage::SegmentHeader, 3));
}

#[test]
#[should_panic(expected = "a record never looks like a header")]
fn a_record_that_looks_like_a_header_is_a_bug_of_the_caller() {
    let mut record = [0; RECORD_BYTES];
    record[..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
    let refused = open(&SimDisk::new(), 1).append(&record);
    unreachable!("it was taken: {refused:?}");
}
