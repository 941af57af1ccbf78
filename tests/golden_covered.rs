//! A snapshot and archived segments of today's format, kept in the tree beside the golden log: what is written today is
//! what was written then, byte for byte, and what was written then is enough to start from.
//!
//! They cover the golden log (`golden.rs`): the snapshot all of it that is sealed, the archive its first segments, one
//! of them with the remains of a torn frame. While the format is 0 they are made anew with each change of log, image or
//! packing: `CAGE_GOLDEN_WRITE=1 cargo test -p cage --test it golden`. From format 1 on, old ones stay and stay readable.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use cage::recovery;
use cage_engine::{RULES_VERSION, Replay, State};
use cage_wal::archive::Archive;
use cage_wal::snapshot::{Snapshot, SnapshotFacts, SnapshotWriter, list};
use cage_wal::storage::Directory;
use cage_wal::{FORMAT_VERSION, Limits, ScanReport, scan};

use crate::golden::{golden, made};
use crate::harness::{Start, audit, folder, run, run_cage, stderr, text};

/// Segments that are archived; the last of them ends in a frame that was torn.
const ARCHIVED: [u64; 2] = [1, 2];
const CREATED_NS: u64 = 1_700_000_000_000_000_000;

/// The golden folder; made anew first, once, if that is wanted.
fn kept() -> PathBuf {
    static WRITTEN: Once = Once::new();
    let kept = golden().join("covered");
    if std::env::var_os("CAGE_GOLDEN_WRITE").is_some() {
        WRITTEN.call_once(|| {
            let _ = fs::remove_dir_all(&kept);
            for (name, bytes) in made_covered() {
                let path = kept.join(name);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, bytes).expect("a file");
            }
        });
    }
    kept
}

/// The files, made again. Nothing of the image may depend on how the tables of a process are seeded.
fn made_covered() -> BTreeMap<String, Vec<u8>> {
    let dir = folder();
    write_log(&dir.path().join("log"));
    cover(dir.path(), rand::random());
    files(dir.path())
}

fn directory(path: &Path) -> Directory {
    Directory::create(path).expect("a folder")
}

/// Writes the golden log, made again, into a folder.
fn write_log(log: &Path) {
    fs::create_dir_all(log).expect("a folder");
    made().iter().for_each(|(name, bytes)| fs::write(log.join(name), bytes).expect("a file"));
}

/// The state that the sealed segments of a log lead to.
fn sealed_state(log: &Path, seed: u64) -> (State, ScanReport) {
    let mut state = Replay::new(State::new(seed));
    let sealed = Limits { sealed: true, ..Limits::default() };
    let report = scan(log, sealed, |frame| recovery::replay(&mut state, &frame)).expect("a whole log");
    (state.finish(), report)
}

/// Covers the log of a data directory: a snapshot of what is sealed, and the first segments archived.
fn cover(data_dir: &Path, seed: u64) {
    let log = data_dir.join("log");
    let (state, report) = sealed_state(&log, seed);
    let anchor = report.anchor().expect("something is sealed");
    let facts = SnapshotFacts {
        anchor,
        epoch: report.epoch.expect("an epoch"),
        rules_version: RULES_VERSION,
        digest: state.digest(),
        created_ns: CREATED_NS,
    };
    let snapshots = directory(&data_dir.join("snapshots"));
    let mut writer = SnapshotWriter::begin(&snapshots, anchor.lsn).expect("a file");
    state.write_image(|piece| writer.write(piece)).expect("an image");
    let unproven = writer.finish(&facts).expect("a snapshot");
    unproven.read_back().expect("what was written");
    unproven.publish().expect("a name");
    let archive = Archive::new(Arc::new(directory(&data_dir.join("archive"))));
    for number in ARCHIVED {
        archive.take(&directory(&log), number, |_| Ok(())).expect("a sealed segment");
    }
}

/// The files of the snapshot folder and of the archive.
fn files(data_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for part in ["snapshots", "archive"] {
        for entry in fs::read_dir(data_dir.join(part)).expect("a folder").flatten() {
            let name = format!("{part}/{}", entry.file_name().to_string_lossy());
            files.insert(name, fs::read(entry.path()).expect("a file"));
        }
    }
    files
}

/// A data directory that was covered by an earlier program: of its log only what is not archived is there.
fn inherited(data_dir: &Path) {
    write_log(&data_dir.join("log"));
    for number in ARCHIVED {
        fs::remove_file(data_dir.join(format!("log/{number:016x}.wal"))).expect("a segment");
    }
    for (name, bytes) in files(&kept()) {
        let path = data_dir.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
}

/// B4.18.
#[test]
fn the_golden_snapshot_and_the_golden_archive_are_made_again_byte_for_byte() {
    let (hint, kept, files_made) =
        ("the format changed; see the top of this file", files(&kept()), made_covered());
    assert_eq!(kept.keys().collect::<Vec<_>>(), files_made.keys().collect::<Vec<_>>(), "{hint}");
    assert_eq!(kept.len(), 1 + ARCHIVED.len());
    for (name, bytes) in &files_made {
        let differs = bytes.iter().zip(&kept[name]).position(|(made, kept)| made != kept);
        assert_eq!((differs, bytes.len()), (None, kept[name].len()), "{name}: {hint}");
    }
}

/// B4.18.
#[test]
fn the_golden_snapshot_holds_the_state_of_the_golden_log_and_the_golden_archive_its_segments() {
    let dir = folder();
    let log = dir.path().join("log");
    write_log(&log);
    let (state, report) = sealed_state(&log, 1);
    let snapshots = Directory::existing(&kept().join("snapshots"));
    let anchor = report.anchor().expect("something is sealed");
    assert_eq!(list(&snapshots).expect("a folder"), [anchor.lsn]);
    let snapshot = Snapshot::open(&snapshots, anchor.lsn).expect("the golden snapshot");
    assert_eq!(snapshot.facts().anchor, anchor);
    let held = State::from_image(snapshot.body(), 5).expect("its image");
    assert_eq!((held.digest(), held.next_lsn()), (state.digest(), state.next_lsn()));
    assert_eq!(snapshot.facts().digest, state.digest());
    let archive = Archive::new(Arc::new(Directory::existing(&kept().join("archive"))));
    assert_eq!(archive.segments().expect("a folder"), ARCHIVED);
    for number in ARCHIVED {
        let segment = fs::read(log.join(format!("{number:016x}.wal"))).expect("a segment");
        assert!(archive.load(number).expect("an archived segment")[..] == segment[..], "segment {number}");
    }
}

/// B4.18.
#[test]
fn a_server_starts_from_the_golden_snapshot_and_an_audit_reads_the_golden_archive() {
    let dir = folder();
    inherited(dir.path());
    let before = audit(dir.path(), &[]);
    before.assert_clean();
    let expected = fs::read_to_string(golden().join("expected.txt")).expect("what is expected");
    assert!(expected.contains(before.json["digest"].as_str().expect("a digest")), "{before:?}");
    run(async { Start::small(dir.path()).ledger().close().await });
    let after = audit(dir.path(), &[]);
    after.assert_clean();
    assert!(after.number("records") > before.number("records"), "its settings and its end were recorded");
}

/// A program of an earlier time over what a later one has written.
#[test]
fn a_snapshot_and_an_archived_segment_of_a_newer_format_are_refused_by_name() {
    let newer = FORMAT_VERSION + 9;
    let said = format!("format version {newer}");
    let snapshot =
        files(&kept()).into_keys().find(|name| name.starts_with("snapshots/")).expect("a snapshot");
    let archived = format!("archive/{:016x}.wal.zst", ARCHIVED[0]);
    for name in [snapshot, archived] {
        let dir = folder();
        inherited(dir.path());
        let path = dir.path().join(&name);
        let mut bytes = fs::read(&path).expect("a file");
        // Behind the magic, which in the archive stands behind the header of a frame that zstd skips.
        let at = if name.starts_with("snapshots/") { 4 } else { 12 };
        bytes[at..at + 2].copy_from_slice(&newer.to_le_bytes());
        fs::write(&path, &bytes).expect("a file");
        // A start needs the snapshot, an audit the archive.
        let told = if name.starts_with("snapshots/") {
            let ended = Start::small(dir.path()).refused();
            assert_eq!(ended.status.code(), Some(8), "{}", ended.stderr);
            ended.stderr
        } else {
            let audited = run_cage(&["audit", text(dir.path())]);
            assert_eq!(audited.status.code(), Some(2), "{}", stderr(&audited));
            stderr(&audited)
        };
        let file = Path::new(&name).file_name().and_then(|file| file.to_str()).expect("a name");
        assert!(told.contains(&said) && told.contains(file), "{told}");
        assert!(fs::read(&path).expect("a file") == bytes, "it is left alone");
    }
}
