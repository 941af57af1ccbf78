//! What `cage repair` says of a data directory is what a start does with it.
//!
//! What breaks: a directory that is called whole over which no server starts, because a snapshot was believed by its header;
//! one that is given up although its archive holds what is missing; an explanation that changes what it explains.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::harness::{
    SOON, Start, audit, folder, random, run, run_cage, run_for, setting, stderr, stdout, text,
};
use crate::snapshots::{copy_all, files, flip, kept, snapshots};

/// Directories with random damage, besides those that are named.
const RANDOM_DAMAGES: u64 = 12;

/// What is done to a directory, and how a start has to take it.
struct Case {
    what: &'static str,
    damage: fn(&Path),
    starts: bool,
}

const fn starts(what: &'static str, damage: fn(&Path)) -> Case {
    Case { what, damage, starts: true }
}

const fn refused(what: &'static str, damage: fn(&Path)) -> Case {
    Case { what, damage, starts: false }
}

const CASES: &[Case] = &[
    starts("nothing is wrong", |_| {}),
    starts("the newest snapshot is damaged in its body", |dir| flip(&newest(dir), 5_000)),
    starts("the newest snapshot is damaged in its header", |dir| flip(&newest(dir), 40)),
    starts("the newest snapshot is cut", |dir| cut(&newest(dir), 5_000)),
    starts("no snapshot is good, the archive is whole", spoil_snapshots),
    refused("no snapshot is good, the archive is not there", |dir| {
        spoil_snapshots(dir);
        fs::remove_dir_all(dir.join("archive")).expect("an archive");
    }),
    starts("there is no snapshot, the archive is whole", remove_snapshots),
    refused("there is no snapshot, an archived segment is damaged", |dir| {
        remove_snapshots(dir);
        flip(&archived(dir)[0], 3_000);
    }),
    refused("there is no snapshot, an archived segment is missing", |dir| {
        remove_snapshots(dir);
        remove(&archived(dir)[0]);
    }),
    starts("an archived segment is damaged that a snapshot covers", |dir| flip(&archived(dir)[0], 3_000)),
    starts("the archive is gone, the snapshots are good", |dir| {
        fs::remove_dir_all(dir.join("archive")).expect("an archive");
    }),
    starts("a segment is damaged that the newest snapshot covers", |dir| flip(&hot(dir)[0], 9_000)),
    refused("a segment is damaged that only a damaged snapshot covers", |dir| {
        flip(&hot(dir)[0], 9_000);
        flip(&newest(dir), 5_000);
    }),
    refused("a segment is missing that only a damaged snapshot covers", |dir| {
        remove(&hot(dir)[0]);
        flip(&newest(dir), 5_000);
    }),
    starts("a segment is in the archive again, and damaged in the log", |dir| {
        // As a process leaves it that was killed before it could remove the segment.
        let numbers = archived(dir).len() as u64;
        fs::write(dir.join("log").join(format!("{numbers:016x}.wal")), unpacked(dir, numbers))
            .expect("a segment");
        flip(&dir.join("log").join(format!("{numbers:016x}.wal")), 9_000);
    }),
    refused("a segment is damaged that no snapshot covers", |dir| flip(&last_used(dir), 4_500)),
    refused("a segment is missing that no snapshot covers", |dir| remove(&last_used(dir))),
    refused("the log's files are gone", |dir| {
        files(&dir.join("log"), ".wal").iter().for_each(|file| remove(file));
    }),
    refused("the control file is gone", |dir| remove(&dir.join("log/control"))),
    refused("a control slot is damaged after an orderly end", |dir| flip(&dir.join("log/control"), 50)),
    refused("a prepared segment is not empty", |dir| {
        flip(files(&dir.join("log"), ".wal").last().expect("a segment"), 10_000);
    }),
    refused("a stranger lies among the segments", |dir| {
        fs::write(dir.join("log/copy.wal"), "a copy").expect("a file");
    }),
    refused("a repair was begun", |dir| {
        fs::write(dir.join("log/repair.unfinished"), "lost none\n").expect("a file");
    }),
    refused("the newest snapshot is of a newer format", |dir| {
        let path = newest(dir);
        let mut bytes = fs::read(&path).expect("a snapshot");
        bytes[4] = 7;
        fs::write(path, bytes).expect("a snapshot");
    }),
    starts("the newest snapshot has another one's name", |dir| {
        let path = newest(dir);
        fs::rename(&path, path.with_file_name("00000000ffffffff.snapshot")).expect("a name");
    }),
];

fn newest(dir: &Path) -> PathBuf {
    snapshots(dir).pop().expect("a snapshot")
}

fn spoil_snapshots(dir: &Path) {
    snapshots(dir).iter().for_each(|file| flip(file, 5_000));
}

fn remove_snapshots(dir: &Path) {
    snapshots(dir).iter().for_each(|file| remove(file));
}

fn remove(file: &Path) {
    fs::remove_file(file).expect("a file");
}

fn cut(file: &Path, bytes: u64) {
    fs::File::options().write(true).open(file).and_then(|file| file.set_len(bytes)).expect("a cut");
}

fn archived(dir: &Path) -> Vec<PathBuf> {
    files(&dir.join("archive"), ".wal.zst")
}

/// Segments of the log's folder that have a header, the oldest first.
fn hot(dir: &Path) -> Vec<PathBuf> {
    let mut used = files(&dir.join("log"), ".wal");
    used.retain(|file| fs::read(file).is_ok_and(|bytes| bytes[..4] != [0; 4]));
    used
}

fn last_used(dir: &Path) -> PathBuf {
    hot(dir).pop().expect("a segment")
}

fn unpacked(dir: &Path, number: u64) -> Vec<u8> {
    let data = cage::data::DataDir::new(dir, None);
    data.archive().load(number).expect("an archived segment").to_vec()
}

/// Every file below a folder.
pub(crate) fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(contents(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).expect("a file"));
        }
    }
    found
}

/// Lets `cage repair` say what it thinks, then starts a server; whether it started.
fn agree(what: &str, start: &Start, archive: &[&str]) -> bool {
    let dir = &start.data_dir;
    let before = contents(dir);
    let explained = run_cage(&[&["repair", text(dir)], archive].concat());
    let said = stdout(&explained);
    let unchanged = contents(dir) == before;
    assert!(unchanged, "{what}: an explanation changes nothing");
    let said_well = said.starts_with("start     goes well");
    assert!(said_well || said.starts_with("start     is refused"), "{what}: {said}{}", stderr(&explained));
    assert!(said_well || explained.status.code() > Some(0), "{what}: {said}");
    let start = archive.chunks(2).fold(start.clone(), |start, pair| start.with(pair[0], pair[1]));
    match start.attempt() {
        Ok(ledger) => {
            drop(ledger.kill());
            assert!(said_well, "{what}: the server starts, and this was said: {said}");
        }
        Err(ended) => {
            assert!(matches!(ended.status.code(), Some(4 | 7 | 8)), "{what}: {ended:?}");
            assert!(!said_well, "{what}: the server does not start ({ended:?}), and this was said: {said}");
        }
    }
    said_well
}

/// A fresh copy of a directory, and how to start a server over it.
fn copy(from: &Path, start: &Start, number: usize) -> Start {
    let data_dir = from.with_file_name(format!(
        "{}-{number}",
        from.file_name().and_then(|name| name.to_str()).expect("a name")
    ));
    copy_all(from, &data_dir);
    Start { data_dir, listen: "127.0.0.1:0".to_owned(), ..start.clone() }
}

#[test]
fn the_verdict_of_a_repair_is_the_one_of_a_start() {
    let place = folder();
    let dir = place.path().join("ledger");
    let (start, _) = run(kept(&dir, "0"));
    assert!(archived(&dir).len() > 1 && hot(&dir).len() > 2 && snapshots(&dir).len() == 2);
    run_for(SOON * 10, async {
        for (number, case) in CASES.iter().enumerate() {
            let start = copy(&dir, &start, number);
            (case.damage)(&start.data_dir);
            assert_eq!(agree(case.what, &start, &[]), case.starts, "{}", case.what);
            fs::remove_dir_all(&start.data_dir).expect("a folder");
        }
    });
}

/// Who names another archive to the server names it here as well.
#[test]
fn a_repair_looks_into_the_archive_that_is_named() {
    let place = folder();
    let dir = place.path().join("ledger");
    let (start, _) = run(kept(&dir, "0"));
    run_for(SOON * 10, async {
        let start = copy(&dir, &start, 0);
        let elsewhere = place.path().join("elsewhere");
        remove_snapshots(&start.data_dir);
        fs::rename(start.data_dir.join("archive"), &elsewhere).expect("the same disk");
        assert!(!agree("the archive is not named", &start, &[]));
        let said = stdout(&run_cage(&["repair", text(&start.data_dir)]));
        assert!(said.contains("name it with --archive"), "{said}");
        assert!(agree("the archive is named", &start, &["--archive", text(&elsewhere)]));
    });
}

/// A script that asks for JSON is told in JSON that there is no verdict.
#[test]
fn an_audit_that_cannot_read_says_so_in_json_as_well() {
    let place = folder();
    let dir = place.path().join("ledger");
    run(kept(&dir, "0"));
    flip(&archived(&dir)[0], 3_000);
    let report = audit(&dir, &[]);
    assert_eq!((report.code, &report.json["verdict"]), (2, &"unreadable".into()), "{report:?}");
    assert!(
        report.json["error"].as_str().is_some_and(|why| why.contains("0000000000000001.wal")),
        "{report:?}"
    );
    let report = audit(&dir, &["--acks", text(&dir.join("no-file"))]);
    assert_eq!((report.code, &report.json["verdict"]), (2, &"unreadable".into()), "{report:?}");
}

#[test]
fn whatever_is_damaged_a_repair_and_a_start_agree() {
    let place = folder();
    let dir = place.path().join("ledger");
    let (start, _) = run(kept(&dir, "0"));
    let mut random = random("verdicts");
    run_for(SOON * 10, async {
        for number in 0..setting("CAGE_VERDICTS", RANDOM_DAMAGES) {
            let start = copy(&dir, &start, number as usize);
            let what: Vec<_> =
                (0..random.random_range(1..=3)).map(|_| damage(&start.data_dir, &mut random)).collect();
            agree(&what.join(", "), &start, &[]);
            fs::remove_dir_all(&start.data_dir).expect("a folder");
        }
    });
}

/// Does something to a file of the log, the snapshots or the archive; what.
fn damage(dir: &Path, random: &mut StdRng) -> String {
    let mut all = [hot(dir), snapshots(dir), archived(dir)].concat();
    all.push(dir.join("log/control"));
    let file = &all[random.random_range(0..all.len())];
    let length = fs::metadata(file).map_or(0, |file| file.len());
    let at = random.random_range(0..length.max(1));
    let name = file.strip_prefix(dir).expect("a part of it").display();
    match random.random_range(0..4) {
        _ if length == 0 => format!("{name} is empty already"),
        0 => {
            remove(file);
            format!("{name} is gone")
        }
        1 => {
            cut(file, at);
            format!("{name} is cut at {at}")
        }
        _ => {
            flip(file, at);
            format!("{name} has another bit at {at}")
        }
    }
}
