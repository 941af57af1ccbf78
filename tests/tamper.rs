//! `cage tamper`: what somebody changes in a log is found, whatever else is made to fit it.
//!
//! What breaks: a change that an audit passes over, an original that is not what it was, a copy with private keys in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cage_engine::{Lsn, Record, Role};
use rand::RngExt;

use crate::harness::casino::{Casino, client};
use crate::harness::{self, Ledger, audit, folder, log, run, run_cage, stderr, stdout, text};

/// A ledger that was closed: deposits, transfers, bets that were settled and given back.
async fn written(dir: &Path) {
    let ledger = Ledger::small(dir);
    let casino = Casino::funded(&ledger, 3, 10_000).await;
    let (frontend, games) = (client(&ledger, Role::Frontend).await, client(&ledger, Role::Games).await);
    for stake in 1..20 {
        frontend.submit(casino.transfer(1, 2, stake)).await.expect("a transfer");
        let bet = games.submit(casino.reserve(0, stake, 40)).await.expect("a bet").id;
        games.submit(casino.settle(0, bet, 1, 2)).await.expect("it is settled");
        if stake > 1 {
            games.submit(casino.cancel(0, bet)).await.expect("the rest is given back");
        }
    }
    frontend.close().await;
    games.close().await;
    ledger.close().await;
}

/// Every file below a folder, by its path.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(text(&path).to_owned(), fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

fn tampered(from: &Path, to: &Path, change: &[&str]) -> std::process::Output {
    run_cage(&[&["tamper", text(from), "--copy", text(to)], change].concat())
}

#[test]
fn a_change_of_any_record_is_found_by_an_audit_of_the_copy_and_the_original_stays_as_it_was() {
    let mut random = harness::random("tamper");
    let dir = folder();
    let (original, copy) = (dir.path().join("data"), dir.path().join("copy"));
    run(written(&original));
    let before = files(&original);
    let (records, _) = log::records(&original);
    let moves: Vec<&(Lsn, Record)> = records.iter().filter(|(_, record)| !record.legs().is_empty()).collect();
    for round in 0..6 {
        // The first and the last are at the borders of what others vouch for.
        let any = |count: usize, random: &mut rand::rngs::StdRng| match round {
            0 => 0,
            1 => count - 1,
            _ => random.random_range(0..count),
        };
        let lsn = records[any(records.len(), &mut random)].0.to_string();
        let paid = moves[any(moves.len(), &mut random)].0.to_string();
        let bit = random.random_range(0..2_048).to_string();
        for (change, code) in [
            (&["--flip-bit", &lsn, "--bit", &bit][..], None),
            (&["--flip-bit", &lsn, "--mend", "checksums"], None),
            (&["--remove", &lsn], None),
            (&["--remove", &lsn, "--mend", "nothing"], None),
            (&["--amount", &paid, "--by", "5"], None),
            // Here every byte is vouched for: what gives it away is that the rules decide otherwise.
            (&["--amount", &paid, "--by", "5", "--mend", "chain"], Some(1)),
        ] {
            let made = tampered(&original, &copy, change);
            assert!(made.status.success(), "{change:?}: {}", stderr(&made));
            assert!(stdout(&made).starts_with("record "), "{}", stdout(&made));
            let found = audit(&copy, &[]);
            assert!(found.code == 1 || found.code == 2, "{change:?} is passed over: {found:?}");
            if let Some(code) = code {
                assert_eq!(
                    (found.code, found.json["verdict"].as_str()),
                    (code, Some("differences")),
                    "{found:?}"
                );
                let first = found.json["differences"][0].as_str().unwrap_or_default();
                // A record that is consistent in itself is given away by the next one that builds on it.
                let named = first.strip_prefix("record ").and_then(|rest| rest.split(' ').next());
                let named: u64 = named.and_then(|lsn| lsn.parse().ok()).expect("a record is named");
                assert!(named >= paid.parse().expect("a number"), "{first}");
            }
            assert!(!copy.join("certs").exists(), "no keys go with it");
            fs::remove_dir_all(&copy).expect("the copy is removed");
        }
    }
    assert!(files(&original) == before, "the original was only read");
    audit(&original, &[]).assert_clean();
}

#[test]
fn there_is_no_copy_where_one_would_be_in_the_way_or_cannot_be_changed_as_asked() {
    let dir = folder();
    let (original, copy) = (dir.path().join("data"), dir.path().join("copy"));
    run(written(&original));
    let before = files(&original);
    let refused = |to: &Path, change: &[&str], part: &str| {
        let output = tampered(&original, to, change);
        assert_eq!(output.status.code(), Some(2), "{change:?}: {}", stdout(&output));
        assert!(stderr(&output).contains(part), "{part:?} in {}", stderr(&output));
    };
    refused(&original, &["--remove", "3"], "does not exist yet");
    refused(&original.join("log/copy"), &["--remove", "3"], "not in the original");
    refused(&copy, &["--remove", "100000"], "there is no record 100000");
    refused(&copy, &["--amount", "1"], "moves no money");
    refused(&copy, &["--remove", "3", "--mend", "chain"], "as many records");
    refused(&copy, &["--flip-bit", "3", "--remove", "3"], "cannot be used with");
    refused(&copy, &[], "required");
    assert!(!copy.exists(), "what was begun is removed");
    assert!(files(&original) == before, "and nothing else");
    let nowhere = tampered(&dir.path().join("nowhere"), &copy, &["--remove", "1"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(stderr(&nowhere).contains("there is no log"), "{}", stderr(&nowhere));
}
