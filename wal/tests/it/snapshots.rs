//! Snapshots: every byte of one is vouched for, and a log that goes on from one has to continue exactly there.

use std::{fs, os::unix::fs::FileExt};

use cage_wal::{
    Anchor, ChainHash, Damage, Epoch, Limits, LogId, Lsn, Position, Record, RecoveryError, ScanReport,
    SnapshotError, scan_from,
    snapshot::{self, Proven, Snapshot, SnapshotFacts, SnapshotWriter},
    storage::{Directory, sim::SimDisk},
};

use crate::common::{Log, Random, assert_unbroken, closed_log, directory, options, serial, write_frames};

fn facts(lsn: u64) -> SnapshotFacts {
    let end = Position { segment: 3, offset: 8192 };
    let chain = ChainHash::from_bytes([7; 32]);
    SnapshotFacts {
        anchor: Anchor { log: LogId(0xC0FFEE), lsn: Lsn(lsn), chain, end },
        epoch: Epoch(9),
        rules_version: 4,
        digest: [5; 32],
        created_ns: 1,
    }
}

fn write(dir: &Directory, lsn: u64, body: &[u8]) {
    let mut writer = SnapshotWriter::begin(dir, Lsn(lsn)).unwrap();
    body.chunks(100_000).for_each(|piece| writer.write(piece).unwrap());
    let unproven = writer.finish(&facts(lsn)).unwrap();
    assert!(
        snapshot::list(dir).unwrap().iter().all(|known| known.0 != lsn),
        "it has no name before it is proven"
    );
    assert_eq!(unproven.read_back().unwrap().body(), body);
    unproven.publish().unwrap();
}

fn body(bytes: usize) -> Vec<u8> {
    let mut random = Random::new(bytes as u64);
    (0..bytes).map(|_| random.next() as u8).collect()
}

/// B4.14.
#[test]
fn a_snapshot_gives_back_what_was_written() {
    const MIB: usize = 1 << 20;
    let home = tempfile::tempdir().unwrap();
    let dir = directory(home.path());
    let lengths = [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5];
    for (lsn, length) in (1..).zip(lengths) {
        write(&dir, lsn, &body(length));
    }
    assert_eq!(snapshot::list(&dir).unwrap(), [6, 5, 4, 3, 2, 1].map(Lsn));
    for (lsn, length) in (1..).zip(lengths) {
        let found = Snapshot::open(&dir, Lsn(lsn)).unwrap();
        assert_eq!(found.body(), body(length));
        assert_eq!(found.facts(), facts(lsn));
        assert_eq!(snapshot::facts(&dir, Lsn(lsn)).unwrap(), facts(lsn));
    }
    snapshot::retire(&dir, Lsn(2)).unwrap();
    assert_eq!(snapshot::list(&dir).unwrap(), [6, 5, 4, 3, 1].map(Lsn));
}

/// B4.14. Every bit, so that a byte which nothing covers cannot hide.
#[test]
fn every_changed_bit_of_a_snapshot_is_found_and_so_is_every_cut() {
    let home = tempfile::tempdir().unwrap();
    let dir = directory(home.path());
    write(&dir, 77, &body(900));
    let path = home.path().join(format!("{:016x}.snapshot", 77));
    let good = fs::read(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            file.write_all_at(&[good[at] ^ (1 << bit)], at as u64).unwrap();
            let fault = Snapshot::open(&dir, Lsn(77)).expect_err("a damaged snapshot");
            match fault {
                SnapshotError::Damaged { .. } => {}
                SnapshotError::NewerFormat { .. } => assert!((4..6).contains(&at)),
                other => panic!("byte {at}: {other}"),
            }
            // Whoever reads it piece by piece, from the device, finds the same. Once a byte: that takes longer.
            if bit == at % 8 {
                assert!(prove(&dir).is_err(), "byte {at}");
            }
        }
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
    assert_eq!(Snapshot::open(&dir, Lsn(77)).unwrap().body(), body(900));
    assert_eq!(prove(&dir).unwrap(), Proven::Good { bytes: good.len() as u64 });
    for length in (0..good.len()).rev() {
        file.set_len(length as u64).unwrap();
        assert!(Snapshot::open(&dir, Lsn(77)).is_err(), "{length} bytes of it");
        assert!(prove(&dir).is_err(), "{length} bytes of it");
    }
    fs::write(&path, [&good[..], &[0]].concat()).unwrap();
    assert!(Snapshot::open(&dir, Lsn(77)).is_err() && prove(&dir).is_err(), "a byte too many");
    fs::remove_file(&path).unwrap();
    assert_eq!(prove(&dir).unwrap(), Proven::Gone);
}

fn prove(dir: &Directory) -> Result<Proven, SnapshotError> {
    snapshot::prove(dir, Lsn(77), &mut |_| true)
}

#[test]
fn a_snapshot_is_read_piece_by_piece_by_whoever_is_slow() {
    const MIB: u64 = 1 << 20;
    let home = tempfile::tempdir().unwrap();
    let dir = directory(home.path());
    write(&dir, 77, &body(3 * MIB as usize + 5));
    let mut pieces = Vec::new();
    let proven = snapshot::prove(&dir, Lsn(77), &mut |bytes| {
        pieces.push(bytes);
        true
    });
    assert!(matches!(proven, Ok(Proven::Good { .. })));
    assert_eq!(pieces, [MIB, MIB, MIB, 5]);
    let stopped = snapshot::prove(&dir, Lsn(77), &mut |bytes| bytes > 5);
    assert_eq!(stopped.unwrap(), Proven::Stopped);
}

#[test]
fn damage_in_a_large_snapshot_is_told_by_its_place() {
    const MIB: u64 = 1 << 20;
    let home = tempfile::tempdir().unwrap();
    let dir = directory(home.path());
    write(&dir, 8, &body(5 * MIB as usize));
    let path = home.path().join(format!("{:016x}.snapshot", 8));
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 3 * MIB as usize + 17] ^= 1;
    fs::write(&path, bytes).unwrap();
    let Err(SnapshotError::Damaged { offset, .. }) = Snapshot::open(&dir, Lsn(8)) else { panic!("damaged") };
    assert_eq!(offset, 4096 + 3 * MIB);
}

#[test]
fn a_snapshot_under_another_ones_name_is_refused_and_a_newer_format_said() {
    let home = tempfile::tempdir().unwrap();
    let dir = directory(home.path());
    write(&dir, 5, b"body");
    let (old, new) = (format!("{:016x}.snapshot", 5), format!("{:016x}.snapshot", 6));
    fs::copy(home.path().join(&old), home.path().join(&new)).unwrap();
    let fault = Snapshot::open(&dir, Lsn(6)).expect_err("a stale file under a new name");
    assert!(fault.to_string().contains("after LSN 5"), "{fault}");
    let mut bytes = fs::read(home.path().join(&old)).unwrap();
    bytes[4] = 1;
    fs::write(home.path().join(&old), bytes).unwrap();
    let fault = Snapshot::open(&dir, Lsn(5)).expect_err("a newer format");
    assert_eq!(
        fault.to_string(),
        format!("{old} has format version 1, this program reads up to 0; use a newer program")
    );
}

/// B4.14.
#[test]
fn what_a_crash_left_of_a_snapshot_is_no_snapshot_and_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let dir = directory(home.path());
    let mut writer = SnapshotWriter::begin(&dir, Lsn(3)).unwrap();
    writer.write(&body(2 << 20)).unwrap();
    drop(writer);
    assert!(snapshot::list(&dir).unwrap().is_empty());
    snapshot::remove_unfinished(&dir).unwrap();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

// ---- the log after a snapshot

/// Where each sealed segment of a log ends, the oldest first.
fn anchors(disk: &SimDisk) -> Vec<Anchor> {
    let mut anchors = Vec::new();
    let whole = scan_from(disk, Limits::default(), |_| Ok::<_, ()>(())).unwrap();
    let mut from = None;
    while let Some((report, _)) = one_segment(disk, from) {
        let anchor = report.anchor().unwrap();
        if anchor.end.segment == whole.end.segment {
            break;
        }
        anchors.push(anchor);
        from = Some(anchor);
    }
    anchors
}

/// Reads on for one segment: its frames are the ones that the next anchor covers.
fn one_segment(disk: &SimDisk, from: Option<Anchor>) -> Option<(ScanReport, u64)> {
    let segment = from.map_or(1, |anchor| anchor.end.segment + 1);
    let mut last = None;
    let limits = Limits { after: from, ..Limits::default() };
    scan_from(disk, limits, |frame| {
        if frame.position.segment == segment {
            last = Some(frame.last_lsn);
        }
        Ok::<_, ()>(())
    })
    .unwrap();
    let limits = Limits { until: Some(last?), ..limits };
    let report = scan_from(disk, limits, |_| Ok::<_, ()>(())).unwrap();
    Some((report, segment))
}

fn after(disk: &SimDisk, anchor: Anchor) -> Result<Vec<Record>, RecoveryError<()>> {
    let mut records = Vec::new();
    scan_from(disk, Limits::after(anchor), |frame| {
        records.extend(frame.records().copied());
        Ok(())
    })
    .map(|_| records)
}

fn refused(disk: &SimDisk, anchor: Anchor) -> Damage {
    match after(disk, anchor) {
        Err(RecoveryError::Corruption(corruption)) => corruption.damage,
        other => panic!("expected damage, found {other:?}"),
    }
}

#[test]
fn a_log_is_read_on_from_any_segments_end_without_what_lies_before() {
    let disk = closed_log(&[100; 12]);
    let anchors = anchors(&disk);
    assert!(anchors.len() >= 4);
    for anchor in anchors {
        let records = after(&disk, anchor).unwrap();
        assert_eq!(serial(&records[0]), anchor.lsn.0 + 1);
        assert_eq!(records.len() as u64, 1200 - anchor.lsn.0);
        disk.take(&format!("{:016x}.wal", anchor.end.segment));
        assert_eq!(after(&disk, anchor).unwrap().len(), records.len());
    }
}

#[test]
fn a_log_that_does_not_continue_a_snapshot_is_refused() {
    let disk = closed_log(&[100; 12]);
    let anchor = anchors(&disk)[2];
    let chain = ChainHash::from_bytes([1; 32]);
    let end = Position { offset: anchor.end.offset - 4096, ..anchor.end };
    assert_eq!(refused(&disk, Anchor { log: LogId(1), ..anchor }), Damage::Anchor, "another log");
    assert_eq!(refused(&disk, Anchor { chain, ..anchor }), Damage::Continuity, "another past");
    assert_eq!(refused(&disk, Anchor { lsn: Lsn(anchor.lsn.0 + 1), ..anchor }), Damage::Continuity);
    assert_eq!(refused(&disk, Anchor { end, ..anchor }), Damage::Continuity);
    let ahead = Position { segment: 99, ..anchor.end };
    assert_eq!(refused(&disk, Anchor { end: ahead, ..anchor }), Damage::Anchor, "the log ends before it");
    assert_eq!(refused(&SimDisk::new(), anchor), Damage::Anchor, "there is no log");
    for number in 1..=anchor.end.segment + 1 {
        disk.take(&format!("{number:016x}.wal"));
    }
    assert_eq!(refused(&disk, anchor), Damage::MissingSegment);
}

/// A snapshot ends where a segment was sealed. The header that sealed it may not have reached the disk.
#[test]
fn a_snapshot_of_the_last_segment_is_continued_in_the_next() {
    let disk = closed_log(&[100; 12]);
    let report = scan_from(&disk, Limits::default(), |_| Ok::<_, ()>(())).unwrap();
    let last = report.anchor().unwrap();
    assert_eq!(after(&disk, last).unwrap().len(), 0);
    let chain = ChainHash::from_bytes([1; 32]);
    assert_eq!(refused(&disk, Anchor { chain, ..last }), Damage::Anchor, "another past");
    assert_eq!(
        refused(&disk, Anchor { lsn: Lsn(last.lsn.0 + 1), ..last }),
        Damage::Anchor,
        "the log is shorter"
    );
    assert_eq!(refused(&disk, Anchor { lsn: Lsn(last.lsn.0 - 1), ..last }), Damage::Anchor, "inside a frame");
    let mut records = Vec::new();
    let recovered = cage_wal::recover_from(disk.clone(), Limits::after(last), |frame| {
        records.extend(frame.records().copied());
        Ok::<_, ()>(())
    })
    .unwrap();
    assert!(records.is_empty());
    let mut live = Log::open(recovered, options(), 2);
    write_frames(&mut live, &[5]);
    live.close();
    assert_eq!(after(&disk, last).unwrap().len(), 5);
    let (_, all) = crate::common::recover_all(disk).unwrap();
    assert_unbroken(&all);
}

/// B4.14.
#[test]
fn what_is_not_sealed_is_not_shown_to_whoever_asks_for_what_is() {
    let disk = SimDisk::new();
    let (mut live, _) = Log::on(disk.clone(), options(), 1);
    write_frames(&mut live, &[100; 8]);
    let sealed = Limits { sealed: true, ..Limits::default() };
    let mut last = Lsn(0);
    let report = scan_from(&disk, sealed, |frame| {
        last = frame.last_lsn;
        Ok::<_, ()>(())
    })
    .unwrap();
    assert_eq!(report.next_lsn.previous(), last);
    assert!(report.next_lsn.0 > 100 && report.next_lsn.0 < 800, "{report:?}");
    let anchor = report.anchor().unwrap();
    assert_eq!(anchor.end.segment + 1, live.handle.end().segment);
    // Nothing more is sealed after it.
    let again = scan_from(&disk, Limits { after: Some(anchor), ..sealed }, |_| Ok::<_, ()>(())).unwrap();
    assert_eq!((again.records, again.anchor()), (0, Some(anchor)));
    assert_eq!(after(&disk, anchor).unwrap().len() as u64, 800 - anchor.lsn.0);
    live.close();
}
