//! Damage while the server runs and when it does not: scrubs, explanations, repairs with consent.
//!
//! What breaks: a repair without consent, or with a vague one; a loss that an audit does not show; damage on the disk that
//! nobody hears of until the next start.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cage_client::ConnectionError;
use cage_engine::Role;
use cage_protocol::CloseCode;
use serde_json::Value;

use crate::harness::casino::{Casino, client};
use crate::harness::{Ledger, audit, folder, run, run_cage, soon, stderr, stdout, text};

async fn transfers(ledger: &Ledger, casino: &Casino, count: usize) {
    let frontend = client(ledger, Role::Frontend).await;
    for _ in 0..count {
        frontend.submit(casino.transfer(0, 1, 1)).await.expect("a transfer");
    }
    frontend.close().await;
}

fn segment(data_dir: &Path, number: u64) -> PathBuf {
    data_dir.join("log").join(format!("{number:016x}.wal"))
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], at).expect("a byte");
}

/// What `cage log --segments --json` prints.
fn segments(data_dir: &Path) -> Value {
    let printed = run_cage(&["log", text(data_dir), "--segments", "--json"]);
    serde_json::from_slice(&printed.stdout).expect("JSON")
}

#[test]
fn a_loss_is_accepted_word_for_word_and_audits_show_it_for_ever() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        transfers(&ledger, &casino, 10).await;
        let ledger = ledger.close().await.ledger();
        transfers(&ledger, &casino, 10).await;
        let watcher = client(&ledger, Role::Auditor).await;
        let seen = watcher.totals(casino.asset).await.expect("a read").as_of.0;
        soon("a checkpoint", async {
            while watcher.checkpoint().is_none_or(|signed| signed.checkpoint.lsn < seen) {
                watcher.totals(casino.asset).await.expect("a read");
            }
        })
        .await;
        let start = ledger.close().await;
        let last = audit(dir.path(), &[]).number("last_lsn");
        let nothing = run_cage(&["repair", text(dir.path())]);
        assert_eq!(nothing.status.code(), Some(0), "{}", stdout(&nothing));
        // A frame in the middle of the second segment.
        let second = &segments(dir.path())["segments"][1];
        assert_eq!((&second["state"], second["first_lsn"].is_u64()), (&Value::from("live"), true));
        let (from, at) = frame_in(dir.path(), 2, 4);
        flip(&segment(dir.path(), 2), at + 300);
        assert_eq!(start.refused().status.code(), Some(4));

        let loss = format!("{from}-{last}");
        let explained = run_cage(&["repair", text(dir.path())]);
        let said = stdout(&explained);
        assert_eq!(explained.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("--accept-loss {loss}\n")), "{said}");
        assert!(said.contains("put a good copy of 0000000000000002.wal back"), "{said}");
        for wrong in ["all", "none", &format!("{from}-{}", last - 1), &format!("{}-{last}", from + 1)] {
            let refused = run_cage(&["repair", text(dir.path()), "--accept-loss", wrong]);
            assert_eq!(refused.status.code(), Some(1), "{wrong}");
            assert!(stderr(&refused).contains(&format!("it is {loss}")), "{}", stderr(&refused));
        }
        assert!(start.refused().stderr.contains("corruption"), "nothing was done without consent");
        let repaired = run_cage(&["repair", text(dir.path()), "--accept-loss", &loss]);
        assert_eq!(repaired.status.code(), Some(0), "{}{}", stdout(&repaired), stderr(&repaired));

        let ledger = start.ledger();
        ledger.process().wait_for("records of this log were given up by a repair");
        // Who can prove what was given up is turned away, and everybody else is served: it is no news.
        soon("a refusal", async {
            let behind = Some(CloseCode::ServerBehind);
            while !matches!(watcher.fault(), Some(ConnectionError::Closed { code, .. }) if code == behind) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        ledger.process().wait_for("acknowledged records are missing here or changed");
        drop(watcher);
        transfers(&ledger, &casino, 5).await;
        ledger.close().await;
        let report = audit(dir.path(), &[]);
        assert_eq!((report.code, report.number("difference_count")), (1, 1), "{report:?}");
        assert!(
            report.json["differences"][0].as_str().is_some_and(|told| told.contains(&loss)),
            "{report:?}"
        );
        let report = audit(dir.path(), &["--repaired", &loss]);
        assert_eq!((report.code, report.number("difference_count")), (0, 0), "{report:?}");
        assert!(report.json["notices"].to_string().contains(&loss), "{report:?}");
        assert_eq!(audit(dir.path(), &["--repaired", "1-2"]).code, 1);
        assert!(segments(dir.path()).to_string().contains(&format!("\"repaired\":\"{loss}\"")));
    });
}

/// Where a frame of a segment begins, and its first record.
fn frame_in(data_dir: &Path, segment: u64, number: usize) -> (u64, u64) {
    let printed = run_cage(&["log", text(data_dir), "--frames", "--segment", &segment.to_string(), "--json"]);
    let frames = stdout(&printed);
    let frame: Value = serde_json::from_str(frames.lines().nth(number).expect("a frame")).expect("JSON");
    (frame["first_lsn"].as_u64().expect("a number"), frame["offset"].as_u64().expect("a number"))
}

#[test]
fn a_running_server_finds_damage_in_what_it_has_sealed_and_goes_on() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        transfers(&ledger, &casino, 10).await;
        let start = ledger.close().await;
        let good = run_cage(&["scrub", text(dir.path())]);
        assert_eq!(good.status.code(), Some(0), "{}", stdout(&good));
        // It is verified at the start, and rots afterwards.
        let ledger = start.with("--scrub-every", "1").ledger();
        let path = segment(dir.path(), 1);
        flip(&path, 4096 + 300);
        ledger.process().wait_for("a sealed segment of the log is damaged on the disk");
        transfers(&ledger, &casino, 10).await;
        let found = run_cage(&["scrub", text(dir.path()), "--json"]);
        let report: Value = serde_json::from_slice(&found.stdout).expect("JSON");
        assert_eq!((found.status.code(), &report["verdict"]), (Some(1), &Value::from("damaged")));
        assert!(report["damage"][0].as_str().is_some_and(|told| told.contains("0000000000000001.wal")));
        // A good copy, and all is well.
        flip(&path, 4096 + 300);
        assert_eq!(run_cage(&["scrub", text(dir.path())]).status.code(), Some(0));
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// Damage in what a snapshot covers loses nothing, and cannot be accepted as a loss: the log would end before its snapshot,
/// and never open again. A log that is older than its snapshot is not said to be whole.
#[test]
fn a_repair_gives_up_nothing_that_a_snapshot_covers() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        transfers(&ledger, &casino, 10).await;
        let ledger = ledger.close().await.ledger();
        transfers(&ledger, &casino, 10).await;
        let made = run_cage(&["snapshot", text(dir.path()), "--hot-mib", "1000"]);
        assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
        let start = ledger.close().await;
        let last = audit(dir.path(), &[]).number("last_lsn");

        let (from, at) = frame_in(dir.path(), 1, 4);
        flip(&segment(dir.path(), 1), at + 300);
        let explained = run_cage(&["repair", text(dir.path())]);
        let said = stdout(&explained);
        assert_eq!(explained.status.code(), Some(1), "{said}");
        assert!(said.contains("lost      nothing") && said.contains("0000000000000001.wal"), "{said}");
        for loss in [&format!("{from}-{last}"), "none"] {
            let refused = run_cage(&["repair", text(dir.path()), "--accept-loss", loss]);
            assert_eq!(refused.status.code(), Some(1), "{}", stdout(&refused));
            assert!(stderr(&refused).contains("nothing was changed"), "{}", stderr(&refused));
        }
        let ledger = start.ledger();
        transfers(&ledger, &casino, 1).await;
        let start = ledger.close().await;

        // Back to when there was only the first segment.
        flip(&segment(dir.path(), 1), at + 300);
        let old = folder();
        let ledger = Ledger::small(old.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        transfers(&ledger, &casino, 1).await;
        ledger.close().await;
        fs::remove_dir_all(dir.path().join("log")).expect("a folder");
        fs::rename(old.path().join("log"), dir.path().join("log")).expect("the same disk");
        assert_eq!(start.refused().status.code(), Some(4));
        let explained = run_cage(&["repair", text(dir.path())]);
        let said = stdout(&explained);
        assert_eq!(explained.status.code(), Some(1), "{said}");
        assert!(
            said.contains("start     is refused")
                && said.contains("find the log that belongs to the snapshot"),
            "{said}"
        );
    });
}
