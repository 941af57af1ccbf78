//! Snapshots and the archive: a ledger that starts from them is the one that a replay of everything gives.
//!
//! What breaks: a state that an image does not hold in full (the digest at the end is not the one that an audit from the
//! first record computes), an answer that cannot be given any more because its record was archived, a segment that is
//! gone before its copy is good, a snapshot that is believed although it is damaged or belongs to another log, a snapshot
//! process that harms the server.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cage::proof::witness;
use cage_engine::Role;
use rand::RngExt;
use rustix::fs::{FlockOperation, flock};

use crate::harness::casino::{Casino, client};
use crate::harness::{Ledger, Start, audit, cage, folder, random, run, run_cage, stderr, text};
use crate::retry::{ask_all, compare, requests};

/// Runs `cage snapshot --json`.
pub(crate) fn snapshot(data_dir: &Path, arguments: &[&str]) -> serde_json::Value {
    let output = run_cage(&[&["snapshot", text(data_dir), "--json"], arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

pub(crate) fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.to_str().is_some_and(|path| path.ends_with(suffix))).collect();
    files.sort();
    files
}

pub(crate) fn snapshots(data_dir: &Path) -> Vec<PathBuf> {
    files(&data_dir.join("snapshots"), ".snapshot")
}

pub(crate) fn archived(data_dir: &Path) -> usize {
    files(&data_dir.join("archive"), ".wal.zst").len()
}

/// Segments whose header is written.
fn segments_in_use(data_dir: &Path) -> usize {
    let mut first = [0; 4];
    let files = files(&data_dir.join("log"), ".wal");
    files
        .iter()
        .filter(|file| {
            let read = fs::File::open(file).and_then(|file| file.read_exact_at(&mut first, 0));
            read.is_ok() && first != [0; 4]
        })
        .count()
}

/// Traffic until that many more segments are sealed.
pub(crate) async fn seal(ledger: &Ledger, casino: &Casino, data_dir: &Path, segments: usize) {
    let frontend = client(ledger, Role::Frontend).await;
    let before = segments_in_use(data_dir) + archived(data_dir);
    let mut from = 0;
    while segments_in_use(data_dir) + archived(data_dir) < before + segments {
        for _ in 0..50 {
            let sent: Vec<_> =
                (0..8).map(|_| frontend.submit(casino.transfer(from % 2, (from + 1) % 2, 1))).collect();
            from += 1;
            for sent in sent {
                sent.await.expect("a transfer");
            }
        }
    }
    frontend.close().await;
}

pub(crate) fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 4], at).expect("a byte");
}

/// B4.14.
#[test]
fn a_ledger_that_starts_from_a_snapshot_goes_on_as_if_it_had_replayed_everything() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let requests = requests(&casino);
        let answers = ask_all(&ledger, &requests).await;
        seal(&ledger, &casino, dir.path(), 2).await;
        let made = snapshot(dir.path(), &[]);
        assert_eq!((&made["made"], &made["archived"]), (&true.into(), &0.into()), "{made}");
        assert!(made["records"].as_u64() > Some(100), "{made}");
        assert_eq!(snapshot(dir.path(), &[])["made"], false, "nothing was sealed since");
        let lsn = made["lsn"].as_u64().expect("a position");
        seal(&ledger, &casino, dir.path(), 1).await;

        let ledger = ledger.kill().ledger();
        ledger.process().wait_for(&format!("snapshot={lsn}"));
        compare(&answers, &ask_all(&ledger, &requests).await);
        seal(&ledger, &casino, dir.path(), 1).await;
        // The digest that it writes down is compared by an audit that begins with the first record.
        ledger.close().await;
        let report = audit(dir.path(), &[]);
        report.assert_clean();
        assert_eq!((report.number("snapshot_lsn"), report.number("first_lsn")), (0, 1));
    });
}

/// B4.15.
#[test]
fn snapshots_are_made_and_segments_archived_while_the_server_runs_and_nothing_is_missed() {
    run(async {
        let dir = folder();
        let witness = dir.path().join("witness");
        let start = Start::small(dir.path()).with("--snapshot-mib", "1").with("--hot-mib", "0");
        let start = start.with("--witness", text(&witness));
        let ledger = start.ledger();
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let requests = requests(&casino);
        let answers = ask_all(&ledger, &requests).await;
        while archived(dir.path()) < 2 {
            seal(&ledger, &casino, dir.path(), 1).await;
        }
        ledger.process().wait_for("a snapshot was made");
        // B4.16. Whoever signs vouches for the states of snapshots, also if the server never ends in order.
        let frontend = client(&ledger, Role::Frontend).await;
        frontend.submit(casino.transfer(0, 1, 1)).await.expect("a transfer");
        frontend.close().await;
        ledger.process().wait_for("the state of a snapshot was signed");
        assert!(vouched_states(&witness) > 0, "the witness has it");
        assert!(!dir.path().join("log/0000000000000001.wal").exists(), "it is in the archive");
        compare(&answers, &ask_all(&ledger, &requests).await);
        let ledger = ledger.kill().ledger();
        assert!(!ledger.process().stderr().contains("snapshot=0 "), "{}", ledger.process().stderr());
        compare(&answers, &ask_all(&ledger, &requests).await);
        assert!(snapshots(dir.path()).len() <= 2);
        let (ended, _) = ledger.terminate().await;
        assert!(ended.status.success(), "{ended:?}");
        let public = dir.path().join("certs").join("checkpoint.key.pub");
        let report = audit(dir.path(), &["--witness", text(&witness), "--checkpoint-key", text(&public)]);
        report.assert_clean();
        assert_eq!(report.number("first_lsn"), 1, "the audit reads the archive");
        let printed = run_cage(&["log", text(dir.path()), "--until", "3", "--json"]);
        assert_eq!(String::from_utf8_lossy(&printed.stdout).lines().count(), 3);
    });
}

/// Checkpoints with the digest of a state.
fn vouched_states(path: &Path) -> usize {
    let kept = witness::read(path).expect("a witness").checkpoints;
    kept.iter().filter(|signed| signed.checkpoint.digest_lsn > 0).count()
}

/// A ledger with two snapshots, stopped; as many segments in its archive as both cover.
pub(crate) async fn kept(dir: &Path, hot_mib: &str) -> (Start, Casino) {
    let ledger = Ledger::small(dir);
    let casino = Casino::funded(&ledger, 2, 10_000).await;
    for _ in 0..3 {
        seal(&ledger, &casino, dir, 1).await;
        snapshot(dir, &["--hot-mib", hot_mib]);
    }
    assert_eq!(snapshots(dir).len(), 2, "two are kept");
    seal(&ledger, &casino, dir, 1).await;
    (ledger.close().await, casino)
}

/// B4.14.
#[test]
fn a_damaged_snapshot_is_passed_over_loudly_and_without_any_the_whole_log_is_replayed() {
    run(async {
        for hot_mib in ["0", "1000"] {
            let dir = folder();
            let (start, _) = kept(dir.path(), hot_mib).await;
            assert_eq!(archived(dir.path()) > 0, hot_mib == "0");
            let [older, newer] = &snapshots(dir.path())[..] else { panic!("two") };
            let lsn = |path: &Path| {
                let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
                u64::from_str_radix(name, 16).expect("a number")
            };
            let length = fs::metadata(newer).expect("a file").len();
            flip(newer, random("damaged snapshot").random_range(0..length));
            let ledger = start.ledger();
            ledger.process().wait_for(&format!("snapshot={}", lsn(older)));
            assert!(ledger.process().stderr().contains("a snapshot is not good"));
            let start = ledger.close().await;
            audit(dir.path(), &[]).assert_clean();

            fs::File::options().write(true).open(older).and_then(|file| file.set_len(5_000)).expect("a cut");
            let ledger = start.ledger();
            ledger.process().wait_for("snapshot=0");
            ledger.close().await;
            audit(dir.path(), &[]).assert_clean();
            // The next one is made from the log's beginning, and told.
            let made = snapshot(dir.path(), &[]);
            assert_eq!(made["passed_over"].as_array().map(Vec::len), Some(2), "{made}");
            assert_eq!(made["made"], true);
        }
    });
}

#[test]
fn a_snapshot_of_another_log_or_of_a_newer_program_keeps_the_server_from_starting() {
    run(async {
        let (dir, other) = (folder(), folder());
        let (start, _) = kept(dir.path(), "1000").await;
        kept(other.path(), "1000").await;
        let newest = snapshots(dir.path()).pop().expect("a snapshot");
        let good = fs::read(&newest).expect("a snapshot");

        let stranger = snapshots(other.path()).pop().expect("a snapshot");
        let place = dir.path().join("snapshots").join("00000000ffffffff.snapshot");
        fs::copy(&stranger, &place).expect("a copy");
        let ledger = start.clone().ledger();
        ledger.process().wait_for("a snapshot is not good");
        ledger.close().await;
        fs::rename(&place, place.with_file_name(stranger.file_name().expect("a name")))
            .expect("its own name");
        for own in snapshots(dir.path()) {
            if own.file_name() != stranger.file_name() {
                fs::remove_file(own).expect("a removed snapshot");
            }
        }
        let ended = start.refused();
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        assert!(ended.stderr.contains("does not continue the snapshot"), "{ended:?}");
        fs::remove_file(dir.path().join("snapshots").join(stranger.file_name().expect("a name")))
            .expect("gone");

        let mut newer = good.clone();
        newer[4] = 7;
        fs::write(&newest, newer).expect("a newer one");
        let ended = start.refused();
        assert_eq!(ended.status.code(), Some(8), "{ended:?}");
        assert!(ended.stderr.contains("has format version 7"), "{ended:?}");
        fs::write(&newest, good).expect("the good one");
        start.ledger().close().await;
    });
}

/// The log went back to what it was before the snapshot: acknowledged records are missing.
#[test]
fn a_log_that_is_older_than_its_snapshot_is_not_served() {
    run(async {
        let dir = folder();
        let (start, casino) = kept(dir.path(), "1000").await;
        let log: Vec<_> = fs::read_dir(dir.path().join("log")).expect("the log").flatten().collect();
        let old: Vec<_> =
            log.iter().map(|entry| (entry.path(), fs::read(entry.path()).expect("a file"))).collect();
        let ledger = start.clone().ledger();
        seal(&ledger, &casino, dir.path(), 2).await;
        snapshot(dir.path(), &[]);
        ledger.close().await;
        fs::remove_dir_all(dir.path().join("log")).expect("removed");
        fs::create_dir(dir.path().join("log")).expect("a folder");
        for (path, bytes) in old {
            fs::write(path, bytes).expect("a file");
        }
        let ended = start.refused();
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        assert!(ended.stderr.contains("does not continue the snapshot"), "{ended:?}");
    });
}

#[test]
fn one_process_makes_snapshots_at_a_time() {
    run(async {
        let dir = folder();
        kept(dir.path(), "1000").await;
        let lock = fs::File::open(dir.path().join("snapshots/lock")).expect("the lock");
        flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("nobody else has it");
        let output = run_cage(&["snapshot", text(dir.path())]);
        assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
        drop(lock);
        snapshot(dir.path(), &[]);
        let nothing = run_cage(&["snapshot", text(&dir.path().join("nowhere"))]);
        assert_eq!(nothing.status.code(), Some(1));
        assert!(stderr(&nothing).contains("there is no log"), "{}", stderr(&nothing));
        assert!(!dir.path().join("nowhere").exists(), "nothing is made where no ledger is");
    });
}

#[test]
fn a_segment_that_cannot_be_archived_is_told_apart_from_a_snapshot_that_was_not_made() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        seal(&ledger, &casino, dir.path(), 2).await;
        snapshot(dir.path(), &[]);
        seal(&ledger, &casino, dir.path(), 2).await;
        let no_folder = dir.path().join("no-folder");
        fs::write(&no_folder, "a file").expect("a file");
        let output =
            run_cage(&["snapshot", text(dir.path()), "--hot-mib", "0", "--archive", text(&no_folder)]);
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(stderr(&output).contains("no-folder"), "{}", stderr(&output));
        assert_eq!(snapshots(dir.path()).len(), 2, "the snapshot was made");
        let output = run_cage(&["log", text(dir.path()), "--segment", "9999"]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("no segment 9999"), "{}", stderr(&output));
        ledger.close().await;
    });
}

/// What breaks: a disk that is full of what nobody will ever finish.
#[test]
fn what_did_not_fit_on_the_disk_is_taken_away_at_once() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        for _ in 0..2 {
            seal(&ledger, &casino, dir.path(), 1).await;
            snapshot(dir.path(), &["--hot-mib", "1000"]);
        }
        seal(&ledger, &casino, dir.path(), 1).await;
        ledger.close().await;
        let mut codes = Vec::new();
        // Each write in turn: of the snapshot, then of what is packed for the archive.
        for nth in 1..100 {
            let plan = format!("write@{nth}=full");
            let output = run_cage(&["snapshot", text(dir.path()), "--hot-mib", "0", "--faults", &plan]);
            let left =
                [files(&dir.path().join("snapshots"), ".tmp"), files(&dir.path().join("archive"), ".tmp")];
            assert!(left.concat().is_empty(), "{plan}: {left:?}");
            codes.push(output.status.code().expect("an end"));
            if output.status.success() {
                break;
            }
        }
        codes.dedup();
        assert_eq!(codes, [1, 6, 0], "no snapshot; a snapshot, not archived; both");
        assert!(archived(dir.path()) > 0);
    });
}

/// B4.15. What breaks: an archive that stands still for ever, and nobody knows.
#[test]
fn a_damaged_segment_that_holds_up_the_archive_is_named_by_the_server_and_a_good_copy_lets_it_go_on() {
    run(async {
        let dir = folder();
        let (start, casino) = kept(dir.path(), "1000").await;
        let oldest = dir.path().join("log/0000000000000001.wal");
        flip(&oldest, 10_000);
        // All of it lies before the newest snapshot: the server starts.
        let ledger = start.with("--snapshot-mib", "1").with("--hot-mib", "0").ledger();
        seal(&ledger, &casino, dir.path(), 2).await;
        ledger.process().wait_for("A SEGMENT OF THE LOG IS DAMAGED");
        ledger.process().wait_for("corruption in 0000000000000001.wal at offset");
        assert_eq!(archived(dir.path()), 0, "nothing has left");
        let start = ledger.kill();
        let output = run_cage(&["snapshot", text(dir.path()), "--hot-mib", "0"]);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains("Put a good copy of it in its place"), "{}", stderr(&output));
        flip(&oldest, 10_000);
        assert!(snapshot(dir.path(), &["--hot-mib", "0"])["archived"].as_u64() > Some(0));
        start.ledger().close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// B4.15. Killed at any moment, the process leaves a ledger that starts, and work that the next one goes on with.
#[test]
fn a_killed_snapshot_process_loses_nothing() {
    run(async {
        let mut random = random("killed snapshot process");
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let requests = requests(&casino);
        let answers = ask_all(&ledger, &requests).await;
        for _ in 0..4 {
            seal(&ledger, &casino, dir.path(), 1).await;
            for _ in 0..4 {
                let mut process = cage()
                    .args(["snapshot", text(dir.path()), "--hot-mib", "0"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("a process");
                let time = Duration::from_micros(random.random_range(0..60_000));
                tokio::time::sleep(time).await;
                let _ = process.kill();
                process.wait().expect("an end");
            }
            compare(&answers, &ask_all(&ledger, &requests).await);
        }
        let ledger = ledger.kill().ledger();
        compare(&answers, &ask_all(&ledger, &requests).await);
        snapshot(dir.path(), &["--hot-mib", "0"]);
        let start = ledger.kill();
        audit(dir.path(), &[]).assert_clean();
        let ledger = start.ledger();
        compare(&answers, &ask_all(&ledger, &requests).await);
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
        assert!(files(&dir.path().join("snapshots"), ".tmp").is_empty(), "what was left is removed");
    });
}

pub(crate) fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let copy = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &copy);
        } else {
            fs::copy(entry.path(), copy).expect("a copy");
        }
    }
}

/// Runs `cage restore --json`.
fn restore(from: &Path, to: &Path, arguments: &[&str]) -> serde_json::Value {
    let places = ["restore", "--from", text(from), "--to", text(to), "--json"];
    let output = run_cage(&[&places[..], arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The drill: copies that were made while the server ran, a new place, the same ledger.
#[test]
fn a_backup_restores_to_the_same_state_and_serves_the_same_answers() {
    run(async {
        let (dir, backup, place) = (folder(), folder(), folder());
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let requests = requests(&casino);
        let answers = ask_all(&ledger, &requests).await;
        for _ in 0..3 {
            seal(&ledger, &casino, dir.path(), 1).await;
            snapshot(dir.path(), &["--hot-mib", "0"]);
        }
        assert!(archived(dir.path()) > 0);
        seal(&ledger, &casino, dir.path(), 1).await;
        // Nobody asks anything just now; the server runs, and holds its files open.
        for part in ["log", "snapshots", "archive"] {
            copy_all(&dir.path().join(part), &backup.path().join(part));
        }
        let lost = ledger.kill();
        let new = place.path().join("new");
        let restored = restore(backup.path(), &new, &[]);
        let last = restored["last_lsn"].as_u64().expect("a position");
        let original = audit(dir.path(), &["--until", &last.to_string()]);
        original.assert_clean();
        assert_eq!(restored["digest"], original.json["digest"], "the same state at another place");
        assert_eq!(original.number("last_lsn"), audit(dir.path(), &[]).number("last_lsn"), "and all of it");
        audit(&new, &[]).assert_clean();

        copy_all(&dir.path().join("certs"), &new.join("certs"));
        let ledger = Start { data_dir: new.clone(), ..lost }.ledger();
        compare(&answers, &ask_all(&ledger, &requests).await);
        seal(&ledger, &casino, &new, 1).await;
        ledger.close().await;
        audit(&new, &[]).assert_clean();
        let output = run_cage(&["restore", "--from", text(backup.path()), "--to", text(&new)]);
        assert_eq!(output.status.code(), Some(1), "a ledger is not written over");
    });
}

#[test]
fn snapshots_and_the_archive_alone_restore_everything_up_to_the_archives_end() {
    run(async {
        let (dir, place) = (folder(), folder());
        let (start, casino) = kept(dir.path(), "0").await;
        // The log's own folder is lost.
        let backup = place.path().join("backup");
        for part in ["snapshots", "archive"] {
            copy_all(&dir.path().join(part), &backup.join(part));
        }
        let alone = Start { data_dir: backup.clone(), ..start.clone() }.refused();
        assert_eq!(alone.status.code(), Some(4), "no new log is begun in its place: {alone:?}");
        fs::remove_dir_all(backup.join("log")).expect("an empty folder");
        fs::remove_file(snapshots(&backup).pop().expect("the newest"))
            .expect("it ends after the archive does");

        let new = place.path().join("new");
        let restored = restore(&backup, &new, &["--leave-archive"]);
        let last = restored["last_lsn"].as_u64().expect("a position");
        let original = audit(dir.path(), &["--until", &last.to_string()]);
        assert_eq!(restored["digest"], original.json["digest"]);
        let archive = backup.join("archive");
        let report = audit(&new, &["--archive", text(&archive)]);
        report.assert_clean();
        assert_eq!((report.number("first_lsn"), report.number("last_lsn")), (1, last));
        copy_all(&dir.path().join("certs"), &new.join("certs"));
        let ledger = Start { data_dir: new.clone(), ..start }.with("--archive", text(&archive)).ledger();
        seal(&ledger, &casino, &new, 1).await;
        ledger.close().await;
        audit(&new, &["--archive", text(&archive)]).assert_clean();

        // Without the archive an audit begins where the snapshot stands for the rest, and says so.
        let report = audit(&new, &[]);
        report.assert_clean();
        assert_eq!(report.number("snapshot_lsn"), restored["snapshot_lsn"].as_u64().expect("a position"));
        assert!(report.json["notices"].to_string().contains("stands for all records"), "{report:?}");
    });
}

/// A backup holds what several lives of the server wrote: after the oldest snapshot it was killed, started, stopped,
/// started. The newest snapshot may end after the archive does: then it is left out, and told.
#[test]
fn a_log_of_several_lives_is_restored_with_and_without_snapshots_and_from_the_archive_alone() {
    run(async {
        let (dir, place) = (folder(), folder());
        let (start, casino) = kept(dir.path(), "0").await;
        let ledger = start.ledger();
        seal(&ledger, &casino, dir.path(), 1).await;
        let ledger = ledger.kill().ledger();
        seal(&ledger, &casino, dir.path(), 1).await;
        drop(ledger.close().await);
        let original = audit(dir.path(), &[]);
        original.assert_clean();
        let restored_from = |name: &str, parts: &[&str]| {
            let (backup, new) = (place.path().join(name), place.path().join(format!("{name} again")));
            for part in parts {
                copy_all(&dir.path().join(part), &backup.join(part));
            }
            let restored = restore(&backup, &new, &[]);
            audit(&new, &[]).assert_clean();
            (restored, new)
        };
        for (name, parts) in
            [("all", &["log", "snapshots", "archive"][..]), ("no snapshots", &["log", "archive"])]
        {
            let (restored, new) = restored_from(name, parts);
            assert_eq!(restored["digest"], original.json["digest"], "{name}");
            assert_eq!(restored["passed_over"], serde_json::json!([]), "{name}");
            copy_all(&dir.path().join("certs"), &new.join("certs"));
            let ledger = Ledger::small(&new);
            seal(&ledger, &casino, &new, 1).await;
            ledger.close().await;
            audit(&new, &[]).assert_clean();
        }
        let (restored, _) = restored_from("no log", &["snapshots", "archive"]);
        let last = restored["last_lsn"].as_u64().expect("a position");
        assert_eq!(restored["digest"], audit(dir.path(), &["--until", &last.to_string()]).json["digest"]);
        let told = restored["passed_over"].to_string();
        assert!(told.contains("is left out: it ends in segment"), "{told}");
    });
}

/// A snapshot stands for what lies before it only if that is not there at all: a hole in the archive is a loss, and neither
/// an audit nor a scrub calls it good.
#[test]
fn a_hole_in_the_archive_is_told_by_audits_and_scrubs() {
    run(async {
        let dir = folder();
        let (start, casino) = kept(dir.path(), "0").await;
        let ledger = start.ledger();
        seal(&ledger, &casino, dir.path(), 4).await;
        (0..2).for_each(|_| drop(snapshot(dir.path(), &["--hot-mib", "0"])));
        seal(&ledger, &casino, dir.path(), 1).await;
        snapshot(dir.path(), &["--hot-mib", "0"]);
        drop(ledger.close().await);
        audit(dir.path(), &[]).assert_clean();
        let archived = files(&dir.path().join("archive"), ".wal.zst");
        assert!(archived.len() > 4, "{archived:?}");
        for number in [2, archived.len()] {
            let (file, aside) = (&archived[number - 1], dir.path().join("aside"));
            fs::rename(file, &aside).expect("a file");
            let report = audit(dir.path(), &[]);
            assert_eq!(report.code, 1, "{report:?}");
            let told = format!("segment {number:#x} is missing");
            assert!(report.json["differences"].to_string().contains(&told), "{report:?}");
            let scrubbed = run_cage(&["scrub", text(dir.path())]);
            assert_eq!(scrubbed.status.code(), Some(1), "{scrubbed:?}");
            assert!(String::from_utf8_lossy(&scrubbed.stdout).contains(&told), "{scrubbed:?}");
            fs::rename(&aside, file).expect("a file");
        }
        audit(dir.path(), &[]).assert_clean();
    });
}
