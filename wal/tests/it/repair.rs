//! Logs that do not open, and what is left of them when somebody accepts the loss.
//!
//! What breaks: a repair that loses more than it says, or says nothing; files that are deleted; a repair that an audit cannot
//! see any more, because somebody wrote the header anew; a crash in the middle of a repair after which the loss is forgotten.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cage_wal::{
    Damaged, Limits, Lsn, RecoveryError, ScanReport, Scrubbed, SegmentState, inspect, recover_from, scan,
    scrub_segment, storage::Directory,
};
use tempfile::TempDir;

use crate::common::{Failed, Log, assert_unbroken, directory, options, recover_all, run, write_frames};

fn segment(number: u64) -> String {
    format!("{number:016x}.wal")
}

/// A log of three segments in use (two of them sealed), with six frames of ten records in each.
fn log() -> TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for epoch in 1..=3 {
        let (mut log, _) = Log::on(directory(dir.path()), options(), epoch);
        write_frames(&mut log, &[10; 6]);
        log.close();
    }
    dir
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.filter(|path| path.is_file()).map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

fn flip(dir: &Path, name: &str, at: usize) {
    let mut bytes = fs::read(dir.join(name)).unwrap();
    bytes[at] ^= 0x10;
    fs::write(dir.join(name), bytes).unwrap();
}

/// What a start would find, without any snapshot or archive.
fn start(dir: &Path) -> Result<ScanReport, Failed> {
    recover_from(directory(dir), Limits::default(), |_| Ok(())).map(|recovered| recovered.report().clone())
}

fn damaged(dir: &Path) -> Damaged {
    match start(dir) {
        Err(RecoveryError::Corruption(found)) => Damaged::of(dir, &directory(dir), None, *found).unwrap(),
        other => panic!("expected damage, found {other:?}"),
    }
}

fn report(dir: &Path) -> Result<ScanReport, Failed> {
    scan(dir, Limits::default(), |_| Ok(()))
}

/// Repairs, and checks what every repair must be: nothing gone, the records before the damage as they were, the loss told
/// for ever, a log that goes on.
fn repair(dir: &TempDir, kept: u64, loss: &str) {
    let path = dir.path();
    let before = contents(path);
    let found = damaged(path);
    assert_eq!(contents(path), before, "an explanation changes nothing");
    assert_eq!(found.kept.unwrap().next_lsn, Lsn(kept + 1));
    assert_eq!(found.loss(), loss);
    let repaired = found.repair("today").unwrap();
    drop(found);
    let (after, aside) = (contents(path), contents(&repaired.quarantine));
    for (name, bytes) in &before {
        let still = after.get(name) == Some(bytes) || aside.get(name) == Some(bytes);
        assert!(still, "{name} is neither in the log nor in quarantine");
    }
    assert_eq!(aside["report.txt"], repaired.report.as_bytes());
    let mut next = kept;
    for epoch in 11..=13 {
        let (mut log, records) = Log::on(directory(path), options(), epoch);
        assert_unbroken(&records);
        assert_eq!(records.len() as u64, next, "no more and no less than was kept");
        if epoch > 11 {
            log.append(&run(next + 1, 5)).unwrap();
            log.flush().unwrap();
            next += 5;
        }
        log.close();
    }
    let repairs = report(path).unwrap().repairs;
    assert_eq!(repairs.iter().map(|repair| repair.loss()).collect::<Vec<_>>(), [loss]);
    assert_eq!(repairs[0].lost_from, Lsn(kept + 1));
    assert_eq!(repairs[0].report, *blake3::hash(repaired.report.as_bytes()).as_bytes());
    // Nothing of it can be changed.
    let name = segment(repairs[0].segment);
    let good = fs::read(path.join(&name)).unwrap();
    for at in [6, 136, 144, 175] {
        let mut forged = good.clone();
        forged[at] ^= 1;
        fs::write(path.join(&name), &forged).unwrap();
        assert!(report(path).is_err(), "byte {at}");
    }
    fs::write(path.join(&name), good).unwrap();
    start(path).unwrap();
}

#[test]
fn damage_below_the_watermark_ends_the_log_there_with_consent() {
    let dir = log();
    // The third frame of the first segment.
    flip(dir.path(), &segment(1), 4096 + 2 * 4096 + 700);
    repair(&dir, 20, "21-180");
}

#[test]
fn damage_in_the_last_segment_loses_its_rest() {
    let dir = log();
    flip(dir.path(), &segment(3), 4096 + 5 * 4096 + 700);
    repair(&dir, 170, "171-180");
}

#[test]
fn a_missing_last_segment_is_missed_and_named() {
    let dir = log();
    fs::remove_file(dir.path().join(segment(3))).unwrap();
    repair(&dir, 120, "121-180");
}

#[test]
fn a_missing_segment_in_the_middle_takes_what_follows_along() {
    let dir = log();
    fs::remove_file(dir.path().join(segment(2))).unwrap();
    repair(&dir, 60, "61-180");
}

#[test]
fn a_segment_that_was_swapped_ends_the_log_before_it() {
    let dir = log();
    fs::copy(dir.path().join(segment(3)), dir.path().join(segment(2))).unwrap();
    repair(&dir, 60, "61-180");
    let dir = log();
    let other = log();
    fs::copy(other.path().join(segment(2)), dir.path().join(segment(2))).unwrap();
    start(dir.path()).expect("the same log, byte for byte");
}

#[test]
fn a_control_file_that_is_gone_loses_nothing() {
    for ruin in [|bytes: &mut Vec<u8>| bytes.fill(0x55), |bytes: &mut Vec<u8>| bytes.truncate(100)] {
        let dir = log();
        let control = dir.path().join("control");
        let mut bytes = fs::read(&control).unwrap();
        ruin(&mut bytes);
        fs::write(&control, bytes).unwrap();
        repair(&dir, 180, "none");
    }
}

#[test]
fn damage_is_told_with_the_segment_and_the_record_only_where_these_are_known() {
    let dir = log();
    fs::write(dir.path().join("control"), vec![0x55; 8192]).unwrap();
    let told = report(dir.path()).unwrap_err().to_string();
    assert!(
        told.starts_with("corruption in control at offset 0: the control file does not verify"),
        "{told}"
    );
    let dir = log();
    fs::remove_file(dir.path().join(segment(2))).unwrap();
    let told = report(dir.path()).unwrap_err().to_string();
    assert!(told.contains("(segment 2): a segment file is missing"), "{told}");
    let dir = log();
    flip(dir.path(), &segment(1), 4096 + 2 * 4096 + 700);
    let told = report(dir.path()).unwrap_err().to_string();
    assert!(told.contains("(segment 1, expected LSN 21): a durable frame does not verify"), "{told}");
}

#[test]
fn a_torn_tail_is_nothing_to_repair() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut log, _) = Log::on(directory(dir.path()), options(), 1);
    write_frames(&mut log, &[10; 3]);
    drop(log);
    let path = dir.path().join(segment(1));
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 * 4..4096 * 4 + 600].fill(0x77);
    fs::write(&path, bytes).unwrap();
    assert!(start(dir.path()).unwrap().torn_tail.is_some());
}

#[test]
fn without_a_first_segment_there_is_nothing_to_go_on_with() {
    let dir = log();
    flip(dir.path(), &segment(1), 20);
    assert_eq!(damaged(dir.path()).kept, None);
    let dir = log();
    let (held, _) = recover_all(directory(dir.path())).unwrap();
    assert!(matches!(start(dir.path()), Err(RecoveryError::Locked { .. })));
    flip(dir.path(), &segment(1), 20);
    let Err(RecoveryError::Corruption(found)) = report(dir.path()) else { panic!("damage") };
    let explained = Damaged::of(dir.path(), &directory(dir.path()), None, *found);
    assert!(matches!(explained, Err(RecoveryError::Locked { .. })));
    drop(held);
}

/// A repair that was cut off at any of its steps does not open as a shorter log, knows the whole loss, and can be finished.
#[test]
fn a_repair_that_was_interrupted_is_finished_and_forgets_nothing() {
    let dir = log();
    let path = dir.path();
    // The control file has lost its memory as well: only the segments that will be moved know how much there was.
    flip(path, &segment(1), 4096 + 2 * 4096 + 700);
    let control = fs::read(path.join("control")).unwrap();
    fs::write(path.join("control"), vec![0x55; control.len()]).unwrap();
    let before = contents(path);
    let found = damaged(path);
    assert_eq!(found.loss(), "21-180");
    let repaired = found.repair("first").unwrap();
    drop(found);
    let after = contents(path);
    let plan = fs::read(repaired.quarantine.join("repair.unfinished")).unwrap();
    let last_segments = [segment(3), segment(2)];
    // How far it had come: how many files had left, whether the new segment and the new control file were there.
    for (gone, new_segment) in [(0, false), (1, false), (2, false), (2, true)] {
        for name in contents(path).keys() {
            fs::remove_file(path.join(name)).unwrap();
        }
        for (name, bytes) in &before {
            let spare = name.ends_with(".wal") && !after.contains_key(name);
            let left = last_segments.iter().take(gone).any(|gone| gone == name) || (spare && gone == 2);
            if !left {
                fs::write(path.join(name), bytes).unwrap();
            }
        }
        fs::write(path.join("repair.unfinished"), &plan).unwrap();
        if new_segment {
            fs::write(path.join(segment(2)), &after[&segment(2)]).unwrap();
        }
        let refused = report(path).unwrap_err().to_string();
        assert!(refused.contains("run it again"), "{refused}");
        let again = damaged(path);
        assert_eq!(again.loss(), "21-180", "{gone} files gone, new segment {new_segment}");
        again.repair(&format!("again-{gone}-{new_segment}")).unwrap();
        drop(again);
        let (recovered, records) = recover_all(directory(path)).unwrap();
        assert_eq!(records.len(), 20);
        assert!(recovered.report().repairs.iter().all(|repair| repair.loss() == "21-180"));
    }
}

#[test]
fn a_scrub_finds_every_flipped_byte_of_a_sealed_segment() {
    let dir = log();
    let storage = Directory::existing(dir.path());
    let scrub = |number| scrub_segment(&storage, number, &mut |_| true).unwrap();
    assert!(
        matches!(scrub(1), Scrubbed::Good { frames: 6, .. }) && matches!(scrub(2), Scrubbed::Good { .. })
    );
    assert_eq!(
        (scrub(3), scrub(4), scrub(9)),
        (Scrubbed::NotSealed, Scrubbed::NotSealed, Scrubbed::NotSealed)
    );
    let length = fs::metadata(dir.path().join(segment(1))).unwrap().len() as usize;
    for at in (0..length).step_by(97).chain([0, 6, 255, 4095, 4096, length - 1]) {
        flip(dir.path(), &segment(1), at);
        assert!(matches!(scrub(1), Scrubbed::Damaged(_)), "byte {at}");
        flip(dir.path(), &segment(1), at);
    }
    let path = dir.path().join(segment(2));
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..good.len() - 4096]).unwrap();
    assert!(matches!(scrub(2), Scrubbed::Damaged(_)), "cut");
    fs::copy(dir.path().join(segment(1)), &path).unwrap();
    assert!(matches!(scrub(2), Scrubbed::Damaged(_)), "swapped");
    fs::remove_file(&path).unwrap();
    assert_eq!(scrub(2), Scrubbed::Gone);
    let mut pieces = 0;
    let stopped = scrub_segment(&storage, 1, &mut |_| {
        pieces += 1;
        false
    });
    assert_eq!(
        stopped.map(|found| (found, pieces)).ok(),
        Some((Scrubbed::NotSealed, 0)),
        "nothing seals it now"
    );
}

#[test]
fn every_file_of_a_log_can_be_looked_at_whatever_is_wrong_with_it() {
    let dir = log();
    let look = || {
        let mut frames = 0;
        let found = inspect(&Directory::existing(dir.path()), |_, _| frames += 1).unwrap();
        (found, frames)
    };
    let (found, frames) = look();
    let states: Vec<_> = found.segments.iter().map(|segment| segment.state).collect();
    assert_eq!(states[..3], [SegmentState::Sealed, SegmentState::Sealed, SegmentState::Live]);
    assert!(states[3..].iter().all(|state| *state == SegmentState::Spare) && states.len() > 3);
    let lsns: Vec<_> =
        found.segments[..3].iter().map(|segment| (segment.first_lsn.0, segment.next_lsn.0)).collect();
    assert_eq!((lsns.as_slice(), frames), ([(1, 61), (61, 121), (121, 181)].as_slice(), 18));
    assert!(found.segments.iter().all(|segment| segment.fault.is_none() && segment.rest_bytes == 0));
    assert!(found.slots.iter().all(|slot| slot.content.as_ref().is_ok_and(|slot| slot.clean)));
    flip(dir.path(), &segment(1), 4096 + 2 * 4096 + 700);
    flip(dir.path(), &segment(2), 20);
    fs::write(dir.path().join("control"), vec![0x55; 8192]).unwrap();
    let (found, frames) = look();
    assert_eq!(frames, 2 + 6);
    assert_eq!((found.segments[0].frames, found.segments[0].rest_bytes), (2, 3 * 4096 + 256 + 10 * 256));
    assert!(found.segments[0].fault.is_some());
    assert_eq!(found.segments[1].state, SegmentState::Unreadable);
    assert!(found.slots.iter().all(|slot| slot.content.is_err()));
}
