//! Damage after the fact: flipped bytes, files that are missing, swapped, cut, stale. Whatever was durable is
//! never given up silently.

use std::convert::Infallible;

use cage_wal::{
    Corruption, Damage, Limits, Lsn, PAGE_BYTES, RecoveryError, ScanReport, scan_from,
    storage::{Storage, sim::SimDisk},
};

use crate::common::{
    Failed, Log, Random, assert_unbroken, closed_log, options, recover_all, run, seed, serial, write_frames,
};

fn audit(disk: &SimDisk) -> Result<ScanReport, Failed> {
    scan_from(disk, Limits::default(), |_| Ok::<_, Infallible>(()))
}

fn corruption(result: Result<ScanReport, Failed>) -> Corruption {
    match result {
        Err(RecoveryError::Corruption(corruption)) => *corruption,
        other => panic!("expected corruption, found {other:?}"),
    }
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let mut names: Vec<String> = disk
        .list()
        .unwrap()
        .into_iter()
        .map(|file| file.name)
        .filter(|name| name.ends_with(".wal"))
        .collect();
    names.sort();
    names
}

fn flip(disk: &SimDisk, name: &str, at: usize, mask: u8) {
    disk.edit(name, |bytes| bytes[at] ^= mask);
}

/// A log whose power went while its last frame was being written: the first half of its sectors arrived.
/// Nothing of the frame was ever acknowledged. The disk is as the next process finds it.
fn torn_log(sizes: &[u64], torn: u64) -> SimDisk {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    write_frames(&mut log, sizes);
    let next = log.writer.next_lsn().0;
    let before = disk.events();
    log.append(&run(next, torn)).unwrap();
    log.flush().unwrap();
    drop(log);
    let torn = (before..=disk.events()).find_map(|moment| {
        let mut sectors = 0;
        let image = disk.crash_image(moment, || {
            sectors += 1;
            sectors <= 16
        });
        audit(&image).ok().filter(|report| report.torn_tail.is_some()).map(|_| image)
    });
    torn.expect("some moment lies between the write and its sync")
}

/// Three sessions: one closed, one torn and cut, one with several segments.
fn eventful_log() -> SimDisk {
    let disk = torn_log(&[1, 20, 3], 40);
    let (mut log, records) = Log::on(disk.clone(), options(), 2);
    assert_eq!(records.len(), 24);
    write_frames(&mut log, &[15, 64, 2]);
    log.close();
    let (mut log, records) = Log::on(disk.clone(), options(), 3);
    assert_unbroken(&records);
    write_frames(&mut log, &[64, 64, 64, 1]);
    disk
}

fn closed_eventful_log() -> SimDisk {
    let disk = eventful_log();
    let (log, _) = Log::on(disk.clone(), options(), 4);
    log.close();
    disk.copy()
}

/// Every byte that holds something, and every 97th of those that are zero.
fn places(disk: &SimDisk, name: &str) -> Vec<usize> {
    let bytes = disk.bytes_of(name).unwrap();
    (0..bytes.len()).filter(|at| bytes[*at] != 0 || at % 97 == 0 || at % PAGE_BYTES < 260).collect()
}

/// B4.4, B4.9.
#[test]
fn after_a_clean_close_every_flipped_byte_is_found() {
    let mut random = Random::new(seed(23));
    let disk = closed_eventful_log();
    let good = audit(&disk).unwrap();
    assert!(good.segments >= 4 && good.torn_tail.is_none(), "{good:?}");
    let mut names = segments(&disk);
    names.push("control".to_owned());
    let mut flips = 0;
    for name in names {
        for at in places(&disk, &name) {
            let mask = 1 << random.below(8);
            flip(&disk, &name, at, mask);
            let found = audit(&disk);
            assert!(found.is_err(), "bit {mask:#x} of byte {at} of {name} went unnoticed");
            flip(&disk, &name, at, mask);
            flips += 1;
        }
    }
    audit(&disk).expect("all flips were undone");
    println!("{flips} flipped bytes, all found");
    assert!(flips > 30_000);
}

/// B4.9. Recovery leaves the far end of spare segments to the audit; everything else it finds as well.
#[test]
fn recovery_finds_what_an_audit_finds() {
    let mut random = Random::new(seed(29));
    let disk = closed_eventful_log();
    for name in segments(&disk) {
        for at in places(&disk, &name).into_iter().step_by(23) {
            let mask = 1 << random.below(8);
            flip(&disk, &name, at, mask);
            assert!(recover_all(disk.copy()).is_err(), "bit {mask:#x} of byte {at} of {name}");
            flip(&disk, &name, at, mask);
        }
    }
}

/// B4.8. While a log is open, only its very last frame has no witness: its loss cannot be told from a torn write.
/// It is reported as such. Everything before it is witnessed by a later frame, segment header or control
/// slot.
#[test]
fn in_a_log_that_was_not_closed_only_the_last_frame_has_no_witness() {
    let mut random = Random::new(seed(31));
    let disk = eventful_log().copy();
    let good = audit(&disk).unwrap();
    let last_frame = good.next_lsn.0 - 1;
    let (mut torn, mut slots) = (0, 0);
    let mut names = segments(&disk);
    names.push("control".to_owned());
    for name in names {
        for at in places(&disk, &name) {
            let mask = 1 << random.below(8);
            flip(&disk, &name, at, mask);
            match audit(&disk) {
                Err(_) => {}
                Ok(report) if report.torn_tail.is_some() => {
                    let tail = report.torn_tail.unwrap();
                    // Either the last frame, or the zeroes after it, in the last segment in use.
                    assert!(tail.lsn.0 >= last_frame, "byte {at} of {name}: {tail:?}");
                    assert_eq!(report.next_lsn, tail.lsn);
                    torn += 1;
                }
                Ok(report) if report.torn_segment_header.is_some() => {
                    assert_eq!(report.next_lsn, good.next_lsn, "byte {at} of {name}");
                    assert!(at < PAGE_BYTES, "only a first page can be a torn header");
                }
                Ok(report) => {
                    assert_eq!(name, "control", "byte {at} of {name} went unnoticed");
                    assert!(!report.control.unwrap().other_slot_valid);
                    assert_eq!(report.next_lsn, good.next_lsn);
                    slots += 1;
                }
            }
            flip(&disk, &name, at, mask);
        }
    }
    println!("{torn} torn tails, {slots} lost control slots");
    assert!(torn > 0 && slots > 0);
}

/// Two frames of five records, and a process that died right after it had opened the log: the control file vouches for
/// them, and does not say that the log was closed.
fn vouched_log() -> SimDisk {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    write_frames(&mut log, &[5, 5]);
    drop(log);
    let before = disk.events();
    let (log, _) = Log::on(disk.clone(), options(), 2);
    drop(log);
    // The first durable write of an open is the control slot; nothing else has been written yet.
    let vouched = |moment| {
        let image = disk.crash_image(moment, || false);
        audit(&image).is_ok_and(|report| report.control.unwrap().durable_lsn == Lsn(10)).then_some(image)
    };
    (before..=disk.events()).find_map(vouched).expect("the control slot is written")
}

/// B4.8. The process died right after the next one had opened the log: the control file vouches for the last frame.
#[test]
fn the_control_file_is_a_witness_for_the_last_frame() {
    let image = vouched_log();
    let report = audit(&image).unwrap();
    assert_eq!((report.segments, report.control.unwrap().durable_lsn), (1, Lsn(10)));
    for at in (2 * PAGE_BYTES..2 * PAGE_BYTES + 1536).step_by(5) {
        flip(&image, "0000000000000001.wal", at, 4);
        let found = corruption(audit(&image));
        assert_eq!((found.damage, found.lsn, found.position.offset), (Damage::Frame, Lsn(6), 2 * 4096));
        flip(&image, "0000000000000001.wal", at, 4);
    }
    // The whole frame is gone, without a trace in the segment.
    image.edit("0000000000000001.wal", |bytes| bytes[2 * PAGE_BYTES..].fill(0));
    assert_eq!(corruption(audit(&image)).damage, Damage::BelowDurable);
}

/// B4.8.
#[test]
fn damage_in_the_middle_is_refused_with_its_place() {
    let disk = closed_log(&[3, 4, 5]);
    flip(&disk, "0000000000000001.wal", 2 * PAGE_BYTES + 300, 1);
    let found = corruption(audit(&disk));
    assert_eq!(found.damage, Damage::Frame);
    assert_eq!(
        (found.file.as_str(), found.position.offset, found.lsn),
        ("0000000000000001.wal", 8192, Lsn(4))
    );
    let text = found.to_string();
    assert!(
        text.contains("offset 8192") && text.contains("LSN 4") && text.contains("Nothing was changed"),
        "{text}"
    );
    assert!(recover_all(disk.clone()).is_err());
    assert!(recover_all(disk).is_err(), "a refusal changes nothing, and is given again");
}

/// B4.8. A hole: a frame is gone as if it had never been written, while later ones say that it was durable.
#[test]
fn a_frame_that_vanished_is_not_a_torn_tail() {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    write_frames(&mut log, &[3, 4, 5]);
    drop(log);
    let disk = disk.copy();
    disk.edit("0000000000000001.wal", |bytes| bytes[2 * PAGE_BYTES..3 * PAGE_BYTES].fill(0));
    let found = corruption(audit(&disk));
    assert_eq!((found.damage, found.lsn), (Damage::Frame, Lsn(4)));
    assert!(found.detail.contains("offset 12288 says that LSN 7 was durable"), "{}", found.detail);
}

/// B4.5.
#[test]
fn segments_that_are_missing_swapped_or_doubled_are_refused() {
    for closed in [true, false] {
        let disk = if closed { closed_eventful_log() } else { eventful_log().copy() };
        let good = audit(&disk).unwrap();
        let used = good.segments as usize;
        // The last frame of a log that was not closed has no witness, also when it is alone in its segment.
        let refused = |disk: &SimDisk, what: String| match audit(disk) {
            Err(_) => {}
            Ok(report) => assert!(!closed && report.next_lsn >= good.next_lsn.previous(), "{what}"),
        };
        let names = segments(&disk);
        for first in 0..used {
            let missing = disk.copy();
            missing.take(&names[first]);
            refused(&missing, format!("{} is missing", names[first]));
            for second in 0..names.len() {
                if first == second {
                    continue;
                }
                let (one, other) =
                    (disk.bytes_of(&names[first]).unwrap(), disk.bytes_of(&names[second]).unwrap());
                let swapped = disk.copy();
                swapped.put(&names[first], other);
                refused(&swapped, format!("{} stands in for {}", names[second], names[first]));
                swapped.put(&names[second], one);
                refused(&swapped, format!("{} and {} are swapped", names[first], names[second]));
            }
        }
    }
}

/// Also a segment that was never used leaves a gap: something took it away.
#[test]
fn a_gap_in_the_numbers_is_refused_by_name() {
    let disk = closed_log(&[64, 64, 64, 64]);
    disk.put("0000000000000009.wal", vec![0; 64 * 1024]);
    let found = corruption(audit(&disk));
    assert_eq!((found.damage, found.position.offset), (Damage::MissingSegment, 0));
    assert_eq!(found.position.segment, segments(&disk).len() as u64, "the first number that is missing");
    disk.take("0000000000000009.wal");
    audit(&disk).unwrap();
}

#[test]
fn all_segments_gone_is_not_an_empty_log() {
    let disk = closed_log(&[3, 4]);
    for name in segments(&disk) {
        disk.take(&name);
    }
    let found = corruption(audit(&disk));
    assert_eq!((found.damage, found.file.as_str()), (Damage::MissingSegment, "0000000000000001.wal"));
    let disk = closed_log(&[3, 4]);
    for name in segments(&disk) {
        disk.edit(&name, |bytes| bytes.fill(0));
    }
    assert!(audit(&disk).is_err());
    // The same where the log was not closed in order: what was durable is all that the control file says.
    let disk = vouched_log();
    for name in segments(&disk) {
        disk.take(&name);
    }
    let found = corruption(audit(&disk));
    assert_eq!((found.damage, found.file.as_str()), (Damage::MissingSegment, "0000000000000001.wal"));
}

/// B4.7. Two histories grow from one crash: a segment of the one does not fit into the other.
#[test]
fn a_stale_segment_of_an_older_epoch_is_refused() {
    let disk = torn_log(&[4, 4], 40);
    let (one, other) = (disk.copy(), disk.copy());
    for (disk, epoch) in [(&one, 8), (&other, 9)] {
        let (mut log, _) = Log::on(disk.clone(), options(), epoch);
        write_frames(&mut log, &[10, 10]);
        log.close();
    }
    let name = "0000000000000002.wal";
    audit(&one).unwrap();
    one.put(name, other.bytes_of(name).unwrap());
    assert!(audit(&one).is_err(), "same log, same LSNs, same records, other epoch");
    other.put("0000000000000001.wal", disk.bytes_of("0000000000000001.wal").unwrap());
    audit(&other).expect("the first segment is common to both");
    other.take(name);
    assert!(audit(&other).is_err());
}

/// The header of another history's segment, whose frames are here: they would look like a torn tail.
#[test]
fn a_segment_header_of_another_epoch_than_the_control_file_is_refused() {
    let disk = torn_log(&[4, 4], 40);
    let (one, other) = (disk.copy(), disk.copy());
    for (disk, epoch) in [(&one, 8), (&other, 9)] {
        let (mut log, _) = Log::on(disk.clone(), options(), epoch);
        write_frames(&mut log, &[10, 10]);
    }
    let (one, name) = (one.copy(), "0000000000000002.wal");
    let header = other.bytes_of(name).unwrap();
    one.edit(name, |bytes| bytes[..PAGE_BYTES].copy_from_slice(&header[..PAGE_BYTES]));
    match recover_all(one) {
        Err(RecoveryError::Corruption(found)) => {
            assert_eq!((found.damage, found.file.as_str()), (Damage::Continuity, name));
        }
        other => panic!("{:?}", other.map(|(recovered, _)| recovered.report().torn_tail.clone())),
    }
}

/// A control file of another history: it names the same LSN, but another chain.
#[test]
fn a_control_file_of_another_history_is_refused() {
    let disk = torn_log(&[4, 4], 40);
    let (one, other) = (disk.copy(), disk.copy());
    for (disk, epoch) in [(&one, 8), (&other, 9)] {
        let (mut log, _) = Log::on(disk.clone(), options(), epoch);
        write_frames(&mut log, &[10, 10]);
        log.close();
    }
    one.put("control", other.bytes_of("control").unwrap());
    let found = corruption(audit(&one));
    assert_eq!((found.damage, found.lsn), (Damage::BelowDurable, Lsn(29)));
    assert!(found.detail.contains("chain"), "{}", found.detail);
}

/// B4.6. The same frame, from the same log, epoch and offset, but of the segment before.
#[test]
fn a_frame_in_the_wrong_place_is_refused() {
    let disk = closed_log(&[64, 64, 64, 64]);
    let first = disk.bytes_of("0000000000000001.wal").unwrap();
    disk.edit("0000000000000002.wal", |bytes| {
        bytes[PAGE_BYTES..6 * PAGE_BYTES].copy_from_slice(&first[PAGE_BYTES..6 * PAGE_BYTES]);
    });
    assert_eq!(corruption(audit(&disk)).damage, Damage::Frame);
    let disk = closed_log(&[3, 3, 3]);
    disk.edit("0000000000000001.wal", |bytes| bytes.copy_within(PAGE_BYTES..2 * PAGE_BYTES, 2 * PAGE_BYTES));
    assert_eq!(corruption(audit(&disk)).damage, Damage::Frame);
}

#[test]
fn a_file_that_was_cut_lengthened_or_added_is_refused() {
    let disk = closed_eventful_log();
    for name in segments(&disk) {
        let bytes = disk.bytes_of(&name).unwrap().len();
        for length in [0, 1, PAGE_BYTES, bytes - PAGE_BYTES, bytes - 1, bytes + 1, bytes + PAGE_BYTES] {
            let changed = disk.copy();
            changed.edit(&name, |bytes| bytes.resize(length, 0));
            let spare = audit(&disk).unwrap().segments < u64::from_str_radix(&name[..16], 16).unwrap();
            let fits = spare && length.is_multiple_of(PAGE_BYTES) && length >= 64 * 1024;
            assert_eq!(audit(&changed).is_ok(), fits, "{name} with {length} bytes");
        }
    }
    for length in [0, 1, PAGE_BYTES, 2 * PAGE_BYTES - 1, 2 * PAGE_BYTES + 1] {
        let changed = disk.copy();
        changed.edit("control", |bytes| bytes.resize(length, 0));
        assert!(audit(&changed).is_err(), "control {length}");
    }
    for stray in ["00000000000000ff.wal", "copy.wal", "0000000000000000.wal"] {
        let changed = disk.copy();
        changed.put(stray, disk.bytes_of("0000000000000001.wal").unwrap());
        assert!(audit(&changed).is_err(), "{stray}");
    }
    disk.put("notes.txt", b"other files do no harm".to_vec());
    audit(&disk).unwrap();
    disk.take("control");
    assert_eq!(corruption(audit(&disk)).damage, Damage::Control);
}

/// What comes after a clean end is not a torn tail, whatever it looks like.
#[test]
fn nothing_may_follow_an_orderly_end() {
    let disk = closed_log(&[3, 4]);
    let end = audit(&disk).unwrap().end;
    assert_eq!((end.segment, end.offset), (1, 3 * 4096));
    disk.edit("0000000000000001.wal", |bytes| bytes[3 * PAGE_BYTES + 7] = 1);
    assert!(audit(&disk).is_err());
    let disk = closed_log(&[3, 4]);
    disk.edit("0000000000000002.wal", |bytes| bytes[7] = 1);
    assert_eq!(corruption(audit(&disk)).damage, Damage::SegmentHeader);
}

/// B4.18.
#[test]
fn a_newer_format_is_named_as_such() {
    let disk = closed_log(&[3]);
    disk.edit("0000000000000001.wal", |bytes| bytes[4] = 9);
    assert!(matches!(audit(&disk), Err(RecoveryError::NewerFormat { version: 9, supported: 0, .. })));
    let disk = closed_log(&[3]);
    disk.edit("control", |bytes| bytes[4] = 9);
    assert!(matches!(audit(&disk), Err(RecoveryError::NewerFormat { version: 9, .. })));
}

/// B4.19. Random writes over random places: an error or, at the very end of an open log, a torn tail; never a panic,
/// and never a record that was not appended.
#[test]
fn random_garbage_never_becomes_a_record() {
    let mut random = Random::new(seed(37));
    let closed = closed_eventful_log();
    let open = eventful_log().copy();
    for round in 0..3000 {
        let disk = if round % 2 == 0 { closed.copy() } else { open.copy() };
        let mut names = segments(&disk);
        names.push("control".to_owned());
        for _ in 0..1 + random.below(3) {
            let name = &names[random.below(names.len() as u64) as usize];
            disk.edit(name, |bytes| {
                let start = random.below(bytes.len() as u64) as usize;
                let end = (start + 1 + random.below(6000) as usize).min(bytes.len());
                match random.below(3) {
                    0 => bytes[start..end].fill(0),
                    1 => bytes[start..end].fill_with(|| random.next() as u8),
                    _ => bytes.copy_within(start..end, start / 2),
                }
            });
        }
        let mut records = Vec::new();
        drop(scan_from(&disk, Limits::default(), |frame| {
            records.extend(frame.records().copied());
            Ok::<_, Infallible>(())
        }));
        assert_unbroken(&records);
        assert!(records.iter().map(serial).eq(1..=records.len() as u64));
    }
}
