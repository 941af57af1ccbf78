//! The command line: what operators and scripts see. Exit codes, filters, help, pipes.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use cage_engine::{Lsn, OperationKind, PlayerId, Record, RequestId, Role};
use serde_json::Value;

use crate::harness::casino::{Casino, client, new_id};
use crate::harness::wire::Wire;
use crate::harness::{Ledger, Start, audit, cage, folder, log, run, run_cage, stderr, stdout, text};

/// The demo is the promise in one command: money that balances although its ledger was killed.
#[test]
fn the_demo_balances_after_a_kill() {
    let dir = folder();
    let output = cage()
        .args(["demo", "--for", "3s", "--players", "20", "--json"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}\n{}", stdout(&output), stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    for (name, number) in [("kills", 1), ("lost_acks", 0), ("doubled", 0), ("reorgs", 0)] {
        assert_eq!(json[name].as_u64(), Some(number), "{name} in {json}");
    }
    for name in ["operations", "rounds", "deposits", "withdrawals"] {
        assert!(json[name].as_u64().is_some_and(|count| count >= 20), "{name} in {json}");
    }
    assert!(json["seconds"].as_f64().is_some_and(|seconds| (3.0..30.0).contains(&seconds)), "{json}");
    assert_eq!(json["money_delta"].as_str(), Some("0"), "{json}");
    assert_eq!((json["conserved"].as_bool(), json["audit"].as_str()), (Some(true), Some("clean")), "{json}");
    assert!(json["reconciliation"].is_string(), "{json}");
    // What it leaves behind can be audited, by anybody, with the acknowledgements that it wrote down.
    let data_dir = dir.path().join(json["data_dir"].as_str().expect("a folder"));
    let acks = data_dir.join("acks.txt");
    let report = audit(&data_dir, &["--acks", text(&acks)]);
    report.assert_clean();
    assert!(
        report.number("acks_checked") >= json["operations"].as_u64().expect("a number") / 2,
        "{report:?}"
    );
}

#[test]
fn a_calm_demo_kills_nobody() {
    let dir = folder();
    let output = cage()
        .args(["demo", "--for", "500ms", "--players", "3", "--calm", "--json", "--data-dir", "here"])
        .current_dir(dir.path())
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((json["kills"].as_u64(), json["money_delta"].as_str()), (Some(0), Some("0")), "{json}");
    assert!(dir.path().join("here").join("log").is_dir());
}

#[test]
fn there_is_nothing_to_audit_or_print_where_there_is_no_log() {
    let dir = folder();
    let missing = dir.path().join("missing");
    for place in [missing.as_path(), dir.path()] {
        for command in ["audit", "log"] {
            let output = run_cage(&[command, text(place)]);
            assert_eq!(output.status.code(), Some(2), "{command}: {}", stderr(&output));
            assert!(stderr(&output).starts_with("cage: "), "{}", stderr(&output));
            assert!(output.stdout.is_empty());
        }
    }
    assert!(!missing.exists(), "a look creates nothing");
}

#[test]
fn every_command_explains_itself() {
    let help = run_cage(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let listed = stdout(&help);
    let (_, commands) = listed.split_once("Commands:").expect("a list of commands");
    let (commands, _) = commands.split_once("\n\n").expect("an end of the list");
    let names: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for known in ["serve", "audit", "log", "demo"] {
        assert!(names.contains(&known), "{known} in {names:?}");
    }
    for name in names.iter().filter(|name| **name != "help") {
        let long = run_cage(&[name, "--help"]);
        assert_eq!((long.status.code(), stderr(&long)), (Some(0), String::new()), "{name}");
        assert!(stdout(&long).contains(&format!("Usage: cage {name}")), "{}", stdout(&long));
        assert!(stdout(&long).contains("Example"), "{name} shows how it is used");
        assert_eq!(run_cage(&["help", name]).status.code(), Some(0));
    }
    assert!(stdout(&run_cage(&["--version"])).starts_with("cage "));
    for wrong in [&["fly"][..], &[], &["audit"], &["serve", "--port", "1"], &["log", "x", "--player", "1"]] {
        let output = run_cage(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{wrong:?}");
    }
}

/// A ledger's log with a few hundred records, and one player's bet in it.
async fn written(dir: &Path) -> (Casino, RequestId) {
    let ledger = Ledger::small(dir);
    let casino = Casino::funded(&ledger, 3, 10_000).await;
    let frontend = client(&ledger, Role::Frontend).await;
    let transfers: Vec<_> = (0..300).map(|_| frontend.submit(casino.transfer(1, 2, 1))).collect();
    for transfer in transfers {
        transfer.await.expect("a transfer");
    }
    frontend.close().await;
    let ledger = ledger.close().await.ledger();
    let mut games = Wire::greeted(&ledger, Role::Games).await;
    let bet = new_id();
    games.operate(bet, &casino.reserve(0, 10, 20)).await;
    games.operate(new_id(), &casino.settle(0, bet, 4, 5)).await;
    games.operate(new_id(), &casino.cancel(0, bet)).await;
    ledger.close().await;
    (casino, bet)
}

fn printed(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = run_cage(&[&["log", text(dir), "--json"], arguments].concat());
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    let lines = |output: &Output| {
        let text = stdout(output);
        text.lines()
            .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
            .collect::<Vec<Value>>()
    };
    let json = lines(&output);
    // The plain form has the same records.
    let plain = run_cage(&[&["log", text(dir)], arguments].concat());
    let numbers: Vec<_> = stdout(&plain)
        .lines()
        .map(|line| {
            line.split(' ')
                .next()
                .and_then(|lsn| lsn.parse::<u64>().ok())
                .expect("a line begins with its LSN")
        })
        .collect();
    assert_eq!(numbers, lsns(&json));
    json
}

fn lsns(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["lsn"].as_u64().expect("an LSN")).collect()
}

#[test]
fn the_log_is_printed_by_player_id_kind_and_range() {
    let dir = folder();
    let (casino, bet) = run(written(dir.path()));
    let (records, _) = log::records(dir.path());
    let found = |wanted: &dyn Fn(Lsn, &Record) -> bool| -> Vec<u64> {
        records.iter().filter(|(lsn, record)| wanted(*lsn, record)).map(|(lsn, _)| lsn.0).collect()
    };
    let all = printed(dir.path(), &[]);
    assert_eq!(lsns(&all), found(&|_, _| true));
    for (line, (_, record)) in all.iter().zip(&records) {
        assert_eq!(line["operation"].as_str(), Some(record.request.kind.name()));
        assert_eq!(line["result_number"].as_u64(), Some(record.result.number().into()));
        assert_eq!(line["id"].as_str(), Some(record.request.id.to_string().as_str()));
        assert_eq!(
            line["amount"].as_str(),
            Some(record.request.amount.to_string().as_str()),
            "amounts are text"
        );
        assert_eq!(line["legs"].as_array().map(Vec::len), Some(record.legs().len()));
    }
    for kind in OperationKind::ALL {
        let lines = printed(dir.path(), &["--kind", kind.name()]);
        assert_eq!(lsns(&lines), found(&|_, record| record.request.kind == *kind), "{}", kind.name());
    }
    let id = bet.to_string();
    let lines = printed(dir.path(), &["--id", &id]);
    let operations: Vec<_> = lines.iter().filter_map(|line| line["operation"].as_str()).collect();
    assert_eq!(operations, ["reserve", "settle", "cancel"], "all that came of the bet");
    let dashed = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
    assert_eq!(printed(dir.path(), &["--id", &dashed]), lines, "as a UUID is written");
    let touches = |player: PlayerId, record: &Record| {
        let of = |account: cage_engine::AccountId| account.player() == Some(player);
        record.request.player == player || record.legs().iter().any(|leg| of(leg.debit) || of(leg.credit))
    };
    for player in &casino.players {
        let lines = printed(dir.path(), &["--player", &player.number().to_string()]);
        assert_eq!(lsns(&lines), found(&|_, record| touches(*player, record)), "player {player}");
    }
    let last = records.len() as u64;
    for (from, until) in [(1, 1), (2, 9), (last - 3, last + 10), (last + 1, last + 2), (9, 3)] {
        let lines = printed(dir.path(), &["--from", &from.to_string(), "--until", &until.to_string()]);
        assert_eq!(lsns(&lines), found(&|lsn, _| (from..=until).contains(&lsn.0)), "{from} to {until}");
    }
    let segments: HashSet<_> = all.iter().map(|line| line["segment"].as_u64()).collect();
    assert_eq!(segments, HashSet::from([Some(1), Some(2)]));
    let second = printed(dir.path(), &["--segment", "2", "--kind", "reserve", "--from", "3"]);
    assert_eq!(second.len(), 1, "filters add up");
}

/// `cage log | head -1` is not an error: whoever reads has read enough.
#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let dir = folder();
    run(written(dir.path()));
    for arguments in [&["log", text(dir.path())][..], &["log", text(dir.path()), "--json"]] {
        let mut child = cage()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut first = String::new();
        let mut reader = BufReader::with_capacity(64, child.stdout.take().expect("stdout"));
        reader.read_line(&mut first).expect("a line");
        assert!(first.contains("configure"), "{first}");
        drop(reader);
        let output = child.wait_with_output().expect("an end");
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn an_audit_says_in_words_what_it_says_in_json() {
    let dir = folder();
    run(written(dir.path()));
    let report = audit(dir.path(), &[]);
    report.assert_clean();
    let output = run_cage(&["audit", text(dir.path())]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = stdout(&output);
    for part in [
        format!("{} records in {} frames, 1 to ", report.number("records"), report.number("frames")),
        format!("digest    {}", report.json["digest"].as_str().expect("a digest")),
        "verdict   clean (0 differences)".to_owned(),
    ] {
        assert!(words.contains(&part), "{part:?} in\n{words}");
    }
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let dir = folder();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").expect("a file");
    let ended = Start::small(&file).refused();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cage: "), "{}", ended.stderr);
    let certs = dir.path().join("certs");
    let ended = Start::small(dir.path()).with("--certs", text(&certs)).refused();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("ca.pem"), "the file that is missing is named: {}", ended.stderr);
    let ended = Start::small(dir.path()).with("--segment-mib", "0").refused();
    assert_eq!(ended.status.code(), Some(2), "a flag out of its range is wrong usage");
    assert!(ended.stderr.contains("segment"), "{}", ended.stderr);
}
