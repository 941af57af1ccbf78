//! The logs that are damaged: small, and with everything in them that a log can have.
//!
//! In: a seed. Out: whole logs on simulated disks, the same for the same seed. Never here: damage.

use cage_wal::{LogOptions, storage::sim::SimDisk};

use crate::{
    life::{Life, quiet_options},
    records::Random,
    truth::{Files, Truth, disk},
};

/// Frames of these sizes, each durable before the next; then closed in order, or just ended.
pub fn session(disk: &SimDisk, epoch: u64, sizes: &[u64], close: bool) {
    let known = crate::life::read(disk).unwrap_or_else(|error| panic!("the log is whole: {error}"));
    let (mut life, mut writer) = Life::open(disk.clone(), known, quiet_options(), epoch);
    for size in sizes {
        assert!(life.append_and_wait(&mut writer, *size), "the disk does not fail");
    }
    if close {
        writer.close().unwrap_or_else(|fault| panic!("{fault}"));
    }
}

/// Frames that fill a segment of 64 KiB but for its last page.
const FULL_SEGMENT: [u64; 9] = [15, 1, 14, 31, 7, 30, 15, 47, 3];

/// One segment of 64 KiB and the control file: nearly full, of one session.
#[must_use]
pub fn one_segment(close: bool) -> Truth {
    let disk = SimDisk::new();
    session(&disk, 1, &FULL_SEGMENT, close);
    without_spares(&disk)
}

/// Two logs that were one up to the end of segment 1, and then two processes went on, with the same records: segment 2
/// of the one is what an older epoch could have left in the other's.
#[must_use]
pub fn fork(close: bool) -> (Truth, Truth) {
    let disk = SimDisk::new();
    session(&disk, 1, &[5, 20], false);
    let twin = disk.copy();
    session(&disk, 2, &FULL_SEGMENT, close);
    session(&twin, 3, &FULL_SEGMENT, close);
    (without_spares(&disk), without_spares(&twin))
}

/// Three sessions and more: one that ended with a torn frame, one that was closed, one with several segments, and in
/// the end the last one, of a few frames that went to the disk together.
#[must_use]
pub fn eventful(seed: u64, close: bool) -> Truth {
    let mut random = Random::new(seed);
    let disk = SimDisk::new();
    let sizes = |random: &mut Random, count: u64| -> Vec<u64> {
        (0..1 + random.below(count)).map(|_| 1 + random.below(64)).collect()
    };
    session(&disk, 1, &sizes(&mut random, 6), false);
    session(&disk, 2, &[1 + random.below(30), 40], false);
    tear_the_last_frame(&disk);
    session(&disk, 3, &sizes(&mut random, 12), true);
    session(&disk, 4, &sizes(&mut random, 25), false);
    // The small segments that were prepared would be used up first.
    for (name, _) in disk.files().iter().filter(|(name, bytes)| !in_use(name, bytes)) {
        disk.take(name);
    }
    let known = crate::life::read(&disk).unwrap_or_else(|error| panic!("the log is whole: {error}"));
    // One segment holds all of it: no later header vouches for these frames, only frames do.
    let options = LogOptions { segment_bytes: 1 << 20, ..quiet_options() };
    let (mut life, mut writer) = Life::open(disk.clone(), known, options, 5);
    life.append_and_wait(&mut writer, 1 + random.below(20));
    life.append_and_wait(&mut writer, 1 + random.below(20));
    life.pile_up(&mut writer, &mut random, 70);
    if close {
        writer.close().unwrap_or_else(|fault| panic!("{fault}"));
    } else {
        drop(writer);
    }
    Truth::of(&disk.copy())
}

/// The power went while the last frame was being written, and only its first sectors arrived.
fn tear_the_last_frame(disk: &SimDisk) {
    let truth = Truth::of(disk);
    let Some(last) = truth.frames.last() else { return };
    disk.edit(&last.file, |bytes| bytes[last.bytes.start + 1024..last.bytes.end].fill(0));
}

/// Segments that were never used add nothing but time.
fn without_spares(found: &SimDisk) -> Truth {
    let files: Files = found.files().into_iter().filter(|(name, bytes)| in_use(name, bytes)).collect();
    Truth::of(&disk(&files))
}

fn in_use(name: &str, bytes: &[u8]) -> bool {
    !name.ends_with(".wal") || bytes.iter().any(|byte| *byte != 0)
}
