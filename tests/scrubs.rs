//! What is read again although nobody asked for it: snapshots, a whole archive, and how long ago that was.
//!
//! What breaks: a snapshot that rots until the start that needs it; one file in the archive that keeps all the others from
//! being read; a scrubber that has stood still for weeks, and nobody knows.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::admin::until;
use crate::harness::http::{alarms, metrics, status};
use crate::harness::{folder, run, run_cage, stdout, text};
use crate::snapshots::{files, flip, kept, snapshots};

/// Runs `cage scrub --json`.
fn scrub(dir: &Path) -> (Output, Value) {
    let output = run_cage(&["scrub", text(dir), "--json"]);
    let report = serde_json::from_slice(&output.stdout).expect("JSON");
    (output, report)
}

fn damage(report: &Value) -> Vec<&str> {
    let damage = report["damage"].as_array().expect("a list");
    damage.iter().map(|found| found.as_str().expect("a text")).collect()
}

#[test]
fn a_snapshot_that_rots_is_told_while_the_server_runs_until_a_good_copy_is_there() {
    run(async {
        let dir = folder();
        let (start, _) = kept(dir.path(), "0").await;
        let newest = snapshots(dir.path()).pop().expect("a snapshot");
        let (_, report) = scrub(dir.path());
        assert_eq!(
            (&report["snapshots"], &report["verdict"]),
            (&Value::from(2), &Value::from("good")),
            "{report}"
        );

        let ledger = start.with("--scrub-every", "1").ledger();
        until(|| status(ledger.admin())["log"]["scrub_rounds"].as_u64() > Some(0)).await;
        assert!(!alarms(ledger.admin()).contains(&"snapshot_damaged".to_owned()));
        flip(&newest, 5_000);
        ledger.process().wait_for("a snapshot is damaged on the disk");
        assert!(alarms(ledger.admin()).contains(&"snapshot_damaged".to_owned()));
        assert!(metrics(ledger.admin())["cage_scrub_snapshots_damaged_total"] > 0.0);
        let (output, report) = scrub(dir.path());
        let name = newest.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert!(
            damage(&report).iter().all(|found| found.contains(name)) && damage(&report).len() == 1,
            "{report}"
        );
        assert_eq!(report["snapshots"], 1, "the other one is good: {report}");

        flip(&newest, 5_000);
        until(|| !alarms(ledger.admin()).contains(&"snapshot_damaged".to_owned())).await;
        assert!(!alarms(ledger.admin()).contains(&"log_damaged".to_owned()), "it is no segment");
        ledger.close().await;
    });
}

#[test]
fn a_file_under_a_wrong_name_in_the_archive_is_named_and_the_others_are_read() {
    run(async {
        let dir = folder();
        drop(kept(dir.path(), "0").await);
        let archive = dir.path().join("archive");
        let packed = files(&archive, ".wal.zst");
        assert!(packed.len() > 1, "{packed:?}");
        let (_, all) = scrub(dir.path());
        let good = fs::read(&packed[1]).expect("an archived segment");
        fs::copy(&packed[0], &packed[1]).expect("a copy");
        fs::copy(&packed[0], archive.join("copy of 1.wal.zst")).expect("a copy");
        let (output, report) = scrub(dir.path());
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert!(damage(&report).iter().all(|found| found.contains("0000000000000002.wal.zst")), "{report}");
        assert!(damage(&report)[0].contains("it says that it is segment 0x1"), "{report}");
        assert_eq!(report["strangers"], serde_json::json!(["copy of 1.wal.zst"]), "{report}");
        let (seen, segments) = (report["segments"].as_u64(), all["segments"].as_u64().expect("a number"));
        assert_eq!(
            seen,
            Some(segments - 2),
            "all but that one and the one that only it speaks for: {report}"
        );
        // The one before it is proven by its own hash, and told if that does not hold.
        let first = fs::read(&packed[0]).expect("an archived segment");
        flip(&packed[0], first.len() as u64 / 2);
        let (_, report) = scrub(dir.path());
        assert!(damage(&report).iter().any(|found| found.contains("0000000000000001.wal")), "{report}");
        fs::write(&packed[0], first).expect("a good copy");
        fs::write(&packed[1], good).expect("a good copy");
        assert_eq!(scrub(dir.path()).0.status.code(), Some(0));
    });
}

#[test]
fn how_long_ago_all_was_read_is_seen_by_monitors_and_by_people() {
    run(async {
        let dir = folder();
        let (start, _) = kept(dir.path(), "1000").await;
        let ledger = start.clone().with("--scrub-every", "86400").ledger();
        until(|| status(ledger.admin())["log"]["scrub_rounds"].as_u64() > Some(0)).await;
        let first = status(ledger.admin())["log"]["scrub_age_seconds"].as_f64().expect("an age");
        let up = status(ledger.admin())["uptime_seconds"].as_f64().expect("a time");
        assert!(first < up, "{first} of {up}");
        let then = metrics(ledger.admin())["cage_scrub_age_seconds"];
        assert!(then >= first && !alarms(ledger.admin()).contains(&"scrub_late".to_owned()));
        let printed = stdout(&run_cage(&["status", text(dir.path())]));
        assert!(printed.contains("scrubbed  last whole round ended"), "{printed}");
        let start = ledger.close().await;
        // So slow that each round takes longer than two pauses.
        let mut slow = start.clone();
        slow.options.extend(["--scrub-mib-per-second", "1"].map(str::to_owned));
        let ledger = slow.with("--scrub-every", "1").ledger();
        until(|| metrics(ledger.admin())["cage_alarm{alarm=\"scrub_late\"}"] > 0.0).await;
        ledger.close().await;
        let ledger = start.with("--scrub-mib-per-second", "0").ledger();
        assert!(status(ledger.admin())["log"]["scrub_age_seconds"].is_null());
        assert!(!metrics(ledger.admin()).contains_key("cage_scrub_age_seconds"));
        let printed = stdout(&run_cage(&["status", text(dir.path())]));
        assert!(printed.contains("scrubbed  never"), "{printed}");
        ledger.close().await;
    });
}
