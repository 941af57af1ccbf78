//! Signed checkpoints: what a witness and clients keep, held against the log; proofs of single records.
//!
//! What breaks: a log that was cut, replaced or written anew, every checksum right, and nobody can show it; a proof that
//! proves something else than it says.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use cage::audit::{AuditOptions, Vouched as Checkpoints, audit as decide_again};
use cage::data::DataDir;
use cage::proof::inclusion::Proof;
use cage::proof::keys::SigningKey;
use cage::proof::witness;
use cage_client::{CheckpointKey, Client, Config};
use cage_engine::Role;
use cage_protocol::Checkpoint;
use tempfile::TempDir;

use crate::admin::until;
use crate::harness::casino::{Casino, client, credentials};
use crate::harness::http::alarms;
use crate::harness::strace::{Call, Recording, Step};
use crate::harness::{
    Ended, Ledger, SOON, Start, audit, cage_after, folder, run, run_cage, soon, stderr, stdout, strace, text,
};
use crate::verdicts::contents;

/// A ledger with a witness.
struct Vouched {
    dir: TempDir,
    casino: Option<Casino>,
    /// What its server is told besides.
    options: Vec<(&'static str, &'static str)>,
}

impl Vouched {
    fn new() -> Self {
        Self { dir: folder(), casino: None, options: Vec::new() }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn witness(&self) -> PathBuf {
        self.dir.path().join("witness")
    }

    fn public(&self) -> PathBuf {
        self.data().join("certs").join("checkpoint.key.pub")
    }

    fn start(&self) -> Start {
        let start = Start::small(&self.data()).with("--witness", text(&self.witness()));
        self.options.iter().fold(start, |start, (name, value)| start.with(name, value))
    }

    /// One run of the server, with so many transfers in it, closed in order.
    async fn session(&mut self, transfers: usize) {
        let ledger = self.start().ledger();
        self.work(&ledger, transfers).await;
        ledger.close().await;
    }

    async fn work(&mut self, ledger: &Ledger, transfers: usize) {
        if self.casino.is_none() {
            self.casino = Some(Casino::funded(ledger, 2, 1_000).await);
        }
        let casino = self.casino.as_ref().expect("a casino");
        let frontend = client(ledger, Role::Frontend).await;
        for _ in 0..transfers {
            frontend.submit(casino.transfer(0, 1, 1)).await.expect("a transfer");
        }
        frontend.close().await;
    }

    fn audit(&self) -> crate::harness::Audit {
        let (witness, public) = (self.witness(), self.public());
        audit(&self.data(), &["--witness", text(&witness), "--checkpoint-key", text(&public)])
    }

    /// A start that has to be refused, and has to leave log, witness and all else as it was.
    fn refused_by(&self, start: &Start) -> Ended {
        let before = contents(self.dir.path());
        let refused = start.refused();
        let after = contents(self.dir.path());
        for path in before.keys().chain(after.keys()) {
            assert!(before.get(path) == after.get(path), "a refused start has changed {}", path.display());
        }
        refused
    }

    fn refused(&self) -> Ended {
        self.refused_by(&self.start())
    }

    fn prove(&self, lsn: u64) -> Output {
        let (data, witness) = (self.data(), self.witness());
        run_cage(&["prove", text(&data), "--lsn", &lsn.to_string(), "--witness", text(&witness)])
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

#[test]
fn a_witness_vouches_for_a_log_over_restarts_and_crashes() {
    run(async {
        let mut vouched = Vouched::new();
        vouched.session(20).await;
        let first = vouched.audit();
        first.assert_clean();
        assert!(first.number("checkpoints_checked") >= 1, "{first:?}");
        let ledger = vouched.start().ledger();
        vouched.work(&ledger, 10).await;
        let ledger = ledger.kill().ledger();
        vouched.work(&ledger, 10).await;
        ledger.close().await;
        let last = vouched.audit();
        last.assert_clean();
        assert!(last.number("checkpoints_checked") > first.number("checkpoints_checked"), "{last:?}");
        // The wrong key vouches for nothing.
        let other = vouched.dir.path().join("other.key");
        assert!(run_cage(&["checkpoint-key", text(&other), "--new"]).status.success());
        let (witness, public) = (vouched.witness(), vouched.dir.path().join("other.key.pub"));
        let report =
            audit(&vouched.data(), &["--witness", text(&witness), "--checkpoint-key", text(&public)]);
        assert_eq!((report.code, report.number("checkpoints_bad")), (1, last.number("checkpoints_checked")));
        let refused = vouched.refused_by(&vouched.start().with("--checkpoint-key", text(&other)));
        assert!(refused.stderr.contains("is not signed by this key"), "{refused:?}");
    });
}

/// The files are consistent, every checksum holds, every record can be decided again: only who kept a checkpoint knows.
#[test]
fn a_log_that_was_cut_or_written_anew_is_not_what_was_signed() {
    run(async {
        let mut vouched = Vouched::new();
        vouched.session(5).await;
        let (log, early) = (vouched.data().join("log"), vouched.dir.path().join("early"));
        copy(&log, &early);
        vouched.session(20).await;
        vouched.audit().assert_clean();

        let restore = || {
            fs::remove_dir_all(&log).expect("a folder");
            copy(&early, &log);
        };
        restore();
        audit(&vouched.data(), &[]).assert_clean();
        let report = vouched.audit();
        assert_eq!(report.code, 1, "{report:?}");
        assert!(report.json["differences"].to_string().contains("the log was cut"), "{report:?}");
        let refused = vouched.refused();
        assert!(refused.stderr.contains("acknowledged records are missing"), "{refused:?}");

        restore();
        let ledger = Start::small(&vouched.data()).ledger();
        vouched.work(&ledger, 40).await;
        ledger.close().await;
        audit(&vouched.data(), &[]).assert_clean();
        let report = vouched.audit();
        assert_eq!(report.code, 1, "{report:?}");
        assert!(report.number("checkpoints_bad") >= 1, "{report:?}");
        let refused = vouched.refused();
        assert!(refused.stderr.contains("is not the one that was signed"), "{refused:?}");
        // What was signed before the fork can still be proved, what came after cannot.
        assert!(vouched.prove(3).status.success());
    });
}

#[test]
fn a_record_is_proved_to_who_has_the_public_key_and_nothing_else() {
    run(async {
        let mut vouched = Vouched::new();
        vouched.session(30).await;
        vouched.session(30).await;
        let last = vouched.audit().number("last_lsn");
        let public = vouched.public();
        let file = vouched.dir.path().join("proof");
        for lsn in [1, 2, last / 2, last - 1, last] {
            let proof = vouched.prove(lsn);
            assert!(proof.status.success(), "{}", stderr(&proof));
            fs::write(&file, &proof.stdout).expect("a file");
            let verified = run_cage(&["verify", text(&file), "--checkpoint-key", text(&public), "--json"]);
            let said: serde_json::Value = serde_json::from_slice(&verified.stdout).expect("JSON");
            assert_eq!(
                (said["verdict"].as_str(), said["record"]["lsn"].as_u64()),
                (Some("proved"), Some(lsn))
            );
            let plain = run_cage(&[
                "log",
                text(&vouched.data()),
                "--from",
                &lsn.to_string(),
                "--until",
                &lsn.to_string(),
            ]);
            let verified = run_cage(&["verify", text(&file), "--checkpoint-key", text(&public)]);
            assert!(stdout(&verified).starts_with(&stdout(&plain)), "{}", stdout(&verified));
        }
        let unsigned = vouched.prove(last + 1);
        assert_eq!(unsigned.status.code(), Some(2));
        assert!(stderr(&unsigned).contains("not signed yet"), "{}", stderr(&unsigned));
    });
}

#[test]
fn a_proof_with_any_byte_changed_is_refused() {
    run(async {
        let mut vouched = Vouched::new();
        vouched.session(30).await;
        let key = CheckpointKey::read(&vouched.public()).expect("a key");
        let proof = stdout(&vouched.prove(9));
        let holds = |text: &str| Proof::from_text(text).and_then(|proof| proof.verify(&key)).is_ok();
        assert!(holds(&proof));
        let bytes = proof.as_bytes();
        for at in 0..bytes.len() {
            for mask in [0x01, 0x04, 0x20, 0x80, 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] ^= mask;
                assert!(!holds(&String::from_utf8_lossy(&changed)), "byte {at} ^ {mask:#x}");
            }
        }
        // A shifted place, another record of the same frame, other members.
        assert!(!holds(&proof.replace("\"lsn\":9", "\"lsn\":9999")));
        assert!(!holds(&proof.replace("\"lsn\":9", "\"note\":1,\"lsn\":9")));
        // The program refuses as well.
        let file = vouched.dir.path().join("proof");
        fs::write(&file, proof.replacen("\"index\":", "\"index\":1", 1)).expect("a file");
        let refused = run_cage(&["verify", text(&file), "--checkpoint-key", text(&vouched.public())]);
        assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    });
}

/// What an audit says, and what is changed in a checkpoint.
type Wrong = (&'static str, fn(&mut Checkpoint));

/// The key is in the wrong hands, or the server counts wrongly: a signature alone proves nothing.
#[test]
fn what_is_signed_over_other_frames_is_a_difference() {
    run(async {
        let mut vouched = Vouched::new();
        vouched.session(10).await;
        let key = SigningKey::read(&vouched.data().join("certs").join("checkpoint.key")).expect("a key");
        let public = *key.public();
        let kept = || witness::read(&vouched.witness()).expect("a witness");
        let data = DataDir::new(&vouched.data(), None);
        let differences = |kept| {
            let options =
                AuditOptions { witness: Some(Checkpoints::new(kept, &public)), ..AuditOptions::default() };
            decide_again(&data, options, |_| {}).expect("a log").differences
        };
        assert_eq!(differences(kept()), Vec::<String>::new());
        let wrong: [Wrong; 8] = [
            ("are not the", |checkpoint| checkpoint.root[3] ^= 1),
            ("are not the", |checkpoint| checkpoint.frames += 1),
            ("another one was signed", |checkpoint| checkpoint.chain_head[3] ^= 1),
            ("of the log", |checkpoint| checkpoint.log_id ^= 1),
            ("digest of the state", |checkpoint| checkpoint.digest[3] ^= 1),
            ("another than was signed", |checkpoint| checkpoint.digest_lsn -= 1),
            ("no end of a frame", |checkpoint| checkpoint.digest_lsn += 1_000_000),
            ("the log was cut", |checkpoint| checkpoint.lsn += 1),
        ];
        for (what, change) in wrong {
            let mut kept = kept();
            let last = kept.checkpoints.last_mut().expect("a checkpoint");
            let mut checkpoint = last.checkpoint;
            change(&mut checkpoint);
            *last = key.sign(checkpoint);
            let found = differences(kept);
            assert!(found.iter().any(|found| found.contains(what)), "{what}: {found:?}");
        }
        let mut gap = kept();
        gap.checkpoints.push(*gap.checkpoints.last().expect("a checkpoint"));
        assert!(differences(gap)[0].contains("has a gap"));
    });
}

/// Makes a file of the witness as long as it may be: with a line that says nothing, for a real one would take hours.
fn fill(witness: &Path) {
    let mut lines = fs::read(witness).expect("a witness");
    lines.resize(lines.len() + (1 << 20), b'1');
    lines.push(b'\n');
    fs::write(witness, lines).expect("a witness");
}

/// Nobody signs for what lies between two files; or a start believes a log, because the file that knew better was closed.
#[test]
fn all_files_of_a_witness_vouch_for_the_log_and_one_that_is_missing_is_told() {
    run(async {
        let mut vouched = Vouched::new();
        vouched.options = vec![("--witness-mib", "1")];
        vouched.session(5).await;
        let (log, early) = (vouched.data().join("log"), vouched.dir.path().join("early"));
        copy(&log, &early);
        // Two checkpoints in each file at least, for the last one is in the next file as well.
        vouched.session(5).await;
        for _ in 0..2 {
            fill(&vouched.witness());
            vouched.session(5).await;
            vouched.session(5).await;
        }
        let closed = |number: u64| vouched.dir.path().join(format!("witness.closed-{number:06}"));
        assert!(closed(1).exists() && closed(2).exists() && !closed(3).exists());
        let all = vouched.audit();
        all.assert_clean();
        let last =
            |path: &Path| witness::read(path).expect("a witness").checkpoints.pop().expect("a checkpoint");
        assert_eq!(last(&vouched.witness()).checkpoint.lsn, all.number("last_lsn"));
        assert!(vouched.prove(3).status.success(), "by the first of them");

        let without = |file: &Path| {
            let aside = vouched.dir.path().join("aside");
            fs::rename(file, &aside).expect("a file");
            let report = vouched.audit();
            fs::rename(&aside, file).expect("a file");
            report
        };
        let middle = without(&closed(2));
        assert_eq!(middle.code, 1, "{middle:?}");
        assert!(middle.json["differences"].to_string().contains("the witness has a gap"), "{middle:?}");
        let first = without(&closed(1));
        first.assert_clean();
        assert!(first.json["notices"].to_string().contains("what was signed up to LSN"), "{first:?}");

        // As a crash leaves it that came before the next file had its first line.
        fs::remove_file(vouched.witness()).expect("a witness");
        vouched.session(5).await;
        let over = vouched.audit();
        over.assert_clean();
        assert_eq!(last(&vouched.witness()).checkpoint.lsn, over.number("last_lsn"));
        fs::remove_file(vouched.witness()).expect("a witness");
        fs::remove_dir_all(&log).expect("a folder");
        copy(&early, &log);
        let refused = vouched.refused();
        assert!(refused.stderr.contains("acknowledged records are missing"), "{refused:?}");
    });
}

/// A sync of the witness fails once: nobody knows whether the line is there, and it is. If the next one did not continue it,
/// an audit would tell of a gap that there never was.
#[test]
fn a_line_of_a_witness_that_could_not_be_synced_is_no_gap() {
    if !strace::is_here() {
        return;
    }
    run(async {
        let mut vouched = Vouched::new();
        vouched.session(5).await;
        let witness = vouched.witness();
        let fails = "inject=fdatasync:error=EIO:when=2";
        let before = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", text(&witness), "-e", fails];
        let before = before.map(str::to_owned).into_iter().chain(["--".to_owned()]).collect();
        let ledger = Start { before, ..vouched.start() }.ledger();
        while !ledger.process().stderr().contains("no checkpoint: nobody vouches") {
            vouched.work(&ledger, 1).await;
        }
        until(|| !alarms(ledger.admin()).contains(&"no_checkpoint".to_owned())).await;
        vouched.work(&ledger, 5).await;
        ledger.close().await;
        vouched.audit().assert_clean();
        vouched.session(5).await;
        vouched.audit().assert_clean();
    });
}

/// What breaks: after a loss of power a witness in which the closed file has neither its old name nor its new one.
#[test]
fn a_closed_file_of_a_witness_has_its_name_before_the_next_one_is_begun() {
    if !strace::is_here() {
        return;
    }
    run(async {
        let mut vouched = Vouched::new();
        vouched.options = vec![("--witness-mib", "1")];
        vouched.session(5).await;
        fill(&vouched.witness());
        let calls = vouched.dir.path().join("calls");
        let ledger = Start { before: strace::before(&calls), ..vouched.start() }.ledger();
        vouched.work(&ledger, 5).await;
        ledger.close().await;
        let done = on_witness(&Recording::read(&calls), &vouched.witness());
        let closed = done.iter().position(|what| *what == "closed").expect("it was full");
        assert_eq!(done[closed + 1..][..5], ["names", "begun", "names", "line", "synced"], "{done:?}");
    });
}

/// What a process did to the working file of its witness, and to the names beside it, in the order in which it was done.
fn on_witness(recording: &Recording, witness: &Path) -> Vec<&'static str> {
    let (mut done, mut open) = (Vec::new(), HashMap::new());
    for (_, step) in &recording.steps {
        let Step::End(call, value) = *step else { continue };
        match &recording.calls[call] {
            Call::Rename { from, .. } if from == witness => done.push("closed"),
            Call::Open { path, flags } => {
                done.extend((path == witness && flags.contains("O_CREAT")).then_some("begun"));
                open.insert(u32::try_from(value).unwrap_or(u32::MAX), path.clone());
            }
            Call::Write { fd, .. } if open.get(fd).is_some_and(|path| path == witness) => done.push("line"),
            Call::Sync { fd } => match open.get(fd) {
                Some(path) if path == witness => done.push("synced"),
                Some(path) if Some(path.as_path()) == witness.parent() => done.push("names"),
                _ => {}
            },
            _ => {}
        }
    }
    done
}

#[test]
fn clients_are_sent_what_was_signed() {
    run(async {
        let vouched = Vouched::new();
        let ledger = vouched.start().ledger();
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let key = CheckpointKey::read(&vouched.public()).expect("a key");
        let config = Config {
            checkpoint_key: Some(key),
            deadline: SOON,
            connect_time: SOON,
            ..Config::new(ledger.address())
        };
        let frontend =
            Client::connect(config, credentials(&ledger.certs(), Role::Frontend)).await.expect("a client");
        let signed = soon("a checkpoint", async {
            loop {
                frontend.totals(casino.asset).await.expect("a read");
                if let Some(signed) = frontend.checkpoint() {
                    break signed;
                }
            }
        })
        .await;
        assert!(key.verifies(&signed));
        let seen = frontend.watermark();
        assert_eq!((seen.chain_lsn, seen.chain_head), (signed.checkpoint.lsn, signed.checkpoint.chain_head));
        frontend.close().await;
        ledger.close().await;
        let head =
            format!("{}:{}", signed.checkpoint.lsn, crate::harness::hex(&signed.checkpoint.chain_head));
        audit(&vouched.data(), &["--head", &head]).assert_clean();
        let witness = fs::read_to_string(vouched.witness()).expect("a witness");
        assert!(witness.contains(&head), "what clients are sent is in the witness");
    });
}

/// What breaks: a key that a loss of power takes away, and with it all that could still be signed.
#[test]
fn a_new_key_is_durable_with_its_name() {
    if !strace::is_here() {
        return;
    }
    let dir = folder();
    let (key, calls) = (dir.path().join("checkpoint.key"), dir.path().join("calls"));
    let recorded = ["strace", "-f", "-y", "-e", "trace=fsync", "-o", text(&calls)].map(str::to_owned);
    let made = cage_after(&recorded).args(["checkpoint-key", text(&key), "--new"]).output().expect("it runs");
    assert!(made.status.success(), "{}", stderr(&made));
    let calls = fs::read_to_string(&calls).expect("a recording");
    let synced: Vec<_> = calls.lines().filter(|call| call.contains("= 0")).collect();
    let folder = dir.path().canonicalize().expect("a folder");
    assert!(synced.last().is_some_and(|call| call.contains(&format!("<{}>)", folder.display()))), "{calls}");
    assert_eq!(synced.len(), 3, "both files, then their folder: {calls}");
}

#[test]
fn a_key_that_others_can_read_signs_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let vouched = Vouched::new();
    let key = vouched.dir.path().join("checkpoint.key");
    let made = run_cage(&["checkpoint-key", text(&key), "--new"]);
    assert_eq!(stdout(&made).trim().len(), 64);
    assert_eq!(stdout(&run_cage(&["checkpoint-key", text(&key)])), stdout(&made));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a file");
    let refused = vouched.start().with("--checkpoint-key", text(&key)).refused();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("chmod 600"), "{refused:?}");
    // One that lies beside the log works, and is told.
    fs::create_dir_all(vouched.data()).expect("a folder");
    let beside = vouched.data().join("own.key");
    assert!(run_cage(&["checkpoint-key", text(&beside), "--new"]).status.success());
    run(async {
        let ledger = vouched.start().with("--checkpoint-key", text(&beside)).ledger();
        assert!(ledger.process().stderr().contains("lies in the data directory"));
        ledger.close().await;
    });
}
