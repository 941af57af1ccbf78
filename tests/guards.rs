//! What a server demands of its machine, and what it does when somebody lays hands on its files while it runs.
//!
//! What breaks: a log on memory or a network that is called durable, balances in a core dump or in swap, two processes
//! that write one log, an acknowledgement after the log's file was cut.

use std::fs::{self, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use cage_engine::Role;
use rustix::process::Signal;

use crate::harness::casino::{Casino, client, new_id};
use crate::harness::wire::{Wire, operation_item, requests};
use crate::harness::{Ended, Ledger, Start, audit, folder, run, soon};

#[test]
fn a_log_in_memory_is_refused_unless_that_is_asked_for() {
    let dir = tempfile::tempdir_in("/dev/shm").expect("memory");
    let start = Start::small(dir.path()).without("--unsafe-filesystem");
    let ended = start.refused();
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    for part in ["tmpfs", "memory", "ext4 or xfs", "--unsafe-filesystem"] {
        assert!(ended.stderr.contains(part), "{part:?} in {}", ended.stderr);
    }
    assert!(!dir.path().join("log").join("control").exists(), "no log was begun");
    run(async {
        let ledger = start.with("--flush", "dsync").flag("--unsafe-filesystem").ledger();
        ledger.process().wait_for("UNSAFE FILE SYSTEM");
        ledger.close().await;
    });
}

/// A server that crashes leaves no picture of its memory behind, whatever the shell allows.
#[test]
fn a_crash_leaves_no_core_behind() {
    let dir = folder();
    let unlimited = ["sh", "-c", "ulimit -c unlimited; exec \"$0\" \"$@\""].map(str::to_owned);
    let start = Start { before: unlimited.to_vec(), ..Start::small(dir.path()) };
    let process = start.spawn();
    process.wait_for("recovered");
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    process.signal(Signal::ABORT);
    let ended = process.end();
    assert_eq!((ended.status.signal(), ended.status.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
}

/// Root may lock memory here; others are told how to be allowed to.
#[test]
fn memory_is_locked_when_asked_for() {
    run(async {
        let dir = folder();
        match Start::small(dir.path()).flag("--lock-memory").attempt() {
            Ok(ledger) => {
                let path = format!("/proc/{}/status", ledger.process().id());
                let status = fs::read_to_string(path).expect("a status");
                let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("a line");
                let kib: u64 = locked.trim().trim_end_matches(" kB").parse().expect("a number");
                assert!(kib > 1_000, "{kib} KiB are locked");
                let casino = Casino::funded(&ledger, 2, 100).await;
                assert_eq!(casino.players.len(), 2);
                ledger.close().await;
            }
            Err(ended) => {
                assert_eq!(ended.status.code(), Some(6), "{ended:?}");
                assert!(ended.stderr.contains("LimitMEMLOCK"), "{}", ended.stderr);
            }
        }
    });
}

/// Something is done to the files of a server that has acknowledged; it has to stop by itself.
async fn stops_after(flush: &str, change: impl Fn(&Path)) -> (tempfile::TempDir, Ended) {
    let dir = folder();
    let ledger = Start::small(dir.path()).with("--flush", flush).ledger();
    let casino = Casino::funded(&ledger, 2, 1_000).await;
    let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
    wire.operate(new_id(), &casino.transfer(0, 1, 1)).await;
    change(&dir.path().join("log"));
    wire.write(&requests(&[operation_item(1, new_id(), &casino.transfer(0, 1, 1))])).await;
    soon("the end", ledger.process().falls_over()).await;
    let ended = ledger.end().await;
    (dir, ended)
}

/// B4.17. The lock file is deleted: the server stops, and whoever comes after it finds everything.
#[test]
fn a_server_whose_lock_is_deleted_stops() {
    run(async {
        let (dir, ended) =
            stops_after("direct", |log| fs::remove_file(log.join("lock")).expect("a lock")).await;
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        assert!(ended.stderr.contains("no longer locked"), "{}", ended.stderr);
        let ledger = Ledger::small(dir.path());
        client(&ledger, Role::Auditor).await.close().await;
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// The segment in use is cut: no way of flushing acknowledges after it or dies of a signal, and the next start
/// says what is missing.
#[test]
fn a_server_whose_segment_is_cut_stops_and_the_next_start_says_where() {
    for flush in ["direct", "dsync", "fdatasync", "msync"] {
        run(async {
            let cut = |log: &Path| {
                let segment = OpenOptions::new().write(true).open(log.join("0000000000000001.wal"));
                segment.and_then(|segment| segment.set_len(8192)).expect("a segment");
            };
            let (dir, ended) = stops_after(flush, cut).await;
            assert!([Some(3), Some(9)].contains(&ended.status.code()), "{flush}: {ended:?}");
            let again = Start::small(dir.path()).refused();
            assert_eq!(again.status.code(), Some(4), "{again:?}");
            assert!(again.stderr.contains("0000000000000001.wal"), "{}", again.stderr);
        });
    }
}
