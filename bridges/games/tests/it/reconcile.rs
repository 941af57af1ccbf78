//! The ledger's rounds against a provider's list.
//!
//! What breaks: a difference that is not found, an honest round that looks like one, a list that was not seen and is called clean.

use std::path::PathBuf;
use std::process::ExitStatus;

use cage_engine::PlayerId;
use serde_json::{Value, json};

use crate::harness::casino::Casino;
use crate::harness::http::Caller;
use crate::harness::provider::{Format, Says, outbound, providers};
use crate::harness::{House, end_of_cage, folder, run};
use crate::outbound::{bet, settled, value};

/// After everything that a test does.
const LATER: &str = "2100-01-01T00:00:00Z";

/// What `cage games reconcile --json` says of all rounds of a provider, and how it ended.
fn reconcile(house: &House, provider: &str, more: &[&str]) -> (ExitStatus, Value) {
    let file = house.games_file();
    let mut all = vec!["games", "reconcile", file.to_str().expect("a plain path"), "--provider", provider];
    all.extend(["--to", LATER, "--json"]);
    all.extend(more);
    let output = end_of_cage(&all);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status, serde_json::from_str(&said).unwrap_or_else(|fault| panic!("{fault}: {said}{errors}")))
}

/// All rounds of a provider, at least so many, are the same on both sides.
pub(crate) fn assert_clean(house: &House, provider: &str, most: usize) {
    let (status, said) = reconcile(house, provider, &[]);
    assert_eq!((status.code(), said["verdict"].as_str()), (Some(0), Some("clean")), "{said}");
    let compared = said["compared"].as_u64().expect("a number");
    assert!(compared > 0 && compared <= most as u64, "{said}");
    assert_eq!(said["ours"], said["theirs"]);
}

#[test]
fn the_houses_list_and_the_ledger_agree_and_a_provider_that_is_away_is_never_clean() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_games("");
        let config = outbound(casino.asset, &house);
        house.open_bridge(&config);
        let player = casino.player(1_000).await;
        let mut caller = Caller::new(house.casino_address);
        // More than one page of the list.
        for _ in 0..60 {
            assert_eq!(caller.call(&bet(player, "dice-under-5000", "1.25")).status, 202);
        }
        settled(&house);
        assert_clean(&house, "house", 60);
        let (_, said) = reconcile(&house, "house", &[]);
        assert_eq!(said["compared"], 60, "each of them");
        assert_eq!(said["ours"]["EUR"]["stake"], "75000000");
        // Before anything was played there is nothing, and that is clean.
        let (status, said) = reconcile(&house, "house", &["--from", "2099-01-01T00:00:00Z"]);
        assert_eq!((status.code(), &said["compared"]), (Some(0), &json!(0)), "{said}");
        house.stop_games();
        // One that the provider never had, and does not say so either.
        let got = caller.call(&bet(player, "dice-under-5000", "1.25"));
        let id = value(&got, "bet");
        let (status, said) = reconcile(&house, "house", &[]);
        assert_eq!((status.code(), said["verdict"].as_str()), (Some(2), Some("incomplete")), "{said}");
        assert_eq!(said["differences"], json!([]), "of what was not seen nothing is known");
        // Its list by another way: the open bet is the only difference.
        house.kill_bridge_only();
        house.open_games("");
        let (status, said) = reconcile(&house, "house", &[]);
        assert_eq!(status.code(), Some(1), "{said}");
        let [difference] = &said["differences"].as_array().expect("a list")[..] else { panic!("{said}") };
        assert_eq!(
            (difference["kind"].as_str(), difference["ours"]["name"].as_str()),
            (Some("in_doubt"), Some(id.as_str()))
        );
        house.open_bridge(&config);
        settled(&house);
        assert_clean(&house, "house", 61);
        casino.close().await;
        house.audit();
    });
}

/// A list of one round a line, as a provider that calls would give it.
#[derive(Debug, Default)]
pub(crate) struct List(Vec<Value>);

impl List {
    pub(crate) fn add(&mut self, round: &str, player: PlayerId, stake: &str, payout: &str, state: &str) {
        self.0.push(json!({
            "round": round, "player": player.to_string(), "currency": "EUR", "stake": stake, "payout": payout,
            "state": state, "at_ms": 1_900_000_000_000_u64, "provider": "evolution",
        }));
    }

    fn write(&self, dir: &std::path::Path) -> PathBuf {
        let path = dir.join("list.jsonl");
        let text: String = self.0.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text).expect("a list");
        path
    }
}

/// The rounds of a list are those of the ledger.
pub(crate) fn assert_list_clean(house: &House, format: Format, list: &List) {
    let path = list.write(&house.games_dir());
    let (status, said) = reconcile(house, format.name(), &["--list", path.to_str().expect("a plain path")]);
    assert_eq!((status.code(), said["verdict"].as_str()), (Some(0), Some("clean")), "{said}");
    assert_eq!(said["compared"], list.0.len(), "each of them");
}

#[test]
fn each_kind_of_difference_is_found_in_the_list_of_each_provider_that_calls() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_bridge(&providers(casino.asset, ""));
        for format in Format::ALL {
            let seat = casino.seat(format.number(), 1_000, 100).await;
            let mut caller = Caller::new(house.bridge_address);
            let mut list = List::default();
            for number in 0..6 {
                let (round, tx) = (format!("r{number}"), format!("b{number}"));
                let (round, tx) = (round.as_str(), tx.as_str());
                caller.call(&format.says(&seat, Says::Bet { tx, units: "2.50", round }));
                if number == 5 {
                    caller.call(&format.says(&seat, Says::Rollback { tx: "x", target: tx, round }));
                    list.add(round, seat.player, "2.50", "0", "cancelled");
                } else {
                    let win = format!("w{number}");
                    caller.call(
                        &format
                            .says(&seat, Says::Win { tx: &win, bet: tx, units: "1.00", round, ends: true }),
                    );
                    list.add(round, seat.player, "2.50", "1.00", "settled");
                }
            }
            let compare = |list: &List| {
                let path = list.write(dir.path());
                let (status, said) =
                    reconcile(&house, format.name(), &["--list", path.to_str().expect("a plain path")]);
                let kinds = said["differences"].as_array().expect("a list").iter();
                let kinds: Vec<_> =
                    kinds.map(|found| found["kind"].as_str().unwrap_or_default().to_owned()).collect();
                let verdict = said["verdict"].as_str().unwrap_or_default().to_owned();
                (status.code(), verdict, kinds)
            };
            let clean = (Some(0), "clean".to_owned(), Vec::new());
            assert_eq!(compare(&list), clean, "{format:?}: an honest list");
            let planted = [
                "missing_here",
                "missing_there",
                "other_currency",
                "other_stake",
                "other_payout",
                "other_state",
                "other_state",
            ];
            list.add("never", seat.player, "1.00", "0", "settled");
            list.0.remove(0);
            list.0[0]["currency"] = "USD".into();
            // The same number in the smallest unit of the other currency.
            list.0[0]["stake"] = "25000.00".into();
            list.0[0]["payout"] = "10000.00".into();
            list.0[1]["stake"] = "2.51".into();
            list.0[2]["payout"] = "1.01".into();
            list.0[3]["state"] = "cancelled".into();
            list.0[4]["state"] = "settled".into();
            let found = (Some(1), "differences".to_owned(), planted.map(str::to_owned).to_vec());
            assert_eq!(compare(&list), found, "{format:?}");
        }
        casino.close().await;
        house.audit();
    });
}
