//! Bets that are in doubt: who sees them, and what an operator can do about them.
//!
//! What breaks: a bet that nobody is told of, a decision that is lost in a crash, that pays twice, or that nobody finds again.

use std::path::Path;
use std::time::{Duration, Instant};

use cage_client::{FeedEvent, Filter};
use cage_engine::{AssetId, Lsn, OperationKind, PlayerId, Role};
use cage_games::outbound::is_decided;
use serde_json::Value;

use crate::harness::casino::{Casino, client};
use crate::harness::http::{Caller, Sent};
use crate::harness::provider::outbound;
use crate::harness::{House, SOON, end_of_cage, folder, run};
use crate::outbound::{bet, settled, value};

/// What `cage games …` says, and its exit code.
fn games(house: &House, arguments: &[&str]) -> (Option<i32>, String) {
    let (file, address) = (house.games_file(), house.casino_address.to_string());
    let mut all = vec!["games", arguments[0], file.to_str().expect("a plain path")];
    all.extend(&arguments[1..]);
    all.extend(["--address", &address]);
    let output = end_of_cage(&all);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Waits until one bet is in doubt; gives what is shown of it.
fn doubtful(house: &House) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let (code, said) = games(house, &["bets", "--in-doubt", "--json"]);
        assert_eq!(code, Some(0), "{said}");
        let said: Value = serde_json::from_str(&said).expect("one object");
        if let [one] = &said["open"].as_array().expect("a list")[..] {
            return one.clone();
        }
        assert!(Instant::now() < deadline, "no bet is in doubt: {said}");
        // How often a provider did not answer has no end to wait for.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A bet at a provider that takes it and is not heard of again.
fn lost_bet(house: &mut House, player: PlayerId) -> String {
    house.stop_games();
    let got = Caller::new(house.casino_address).call(&bet(player, "dice-under-5000", "2.50"));
    assert_eq!(got.status, 202, "{got:?}");
    value(&got, "bet")
}

#[test]
fn an_operator_settles_a_bet_as_the_providers_list_says_and_the_log_says_so() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_games("");
        let config = outbound(casino.asset, &house);
        house.open_bridge(&config);
        let player = casino.player(100).await;
        let id = lost_bet(&mut house, player);
        let shown = doubtful(&house);
        assert_eq!((shown["bet"].as_str(), shown["provider"].as_str()), (Some(id.as_str()), Some("house")));
        assert_eq!(
            (shown["stake"].as_str(), shown["payout_max"].as_str()),
            (Some("2.500000"), Some("250.000000"))
        );
        assert_eq!(shown["player"].as_str(), Some(player.to_string().as_str()));
        assert!(shown["age_ms"].as_u64().is_some_and(|age| age > 0), "{shown}");
        let who = ["--by", "anna", "--reason", "their list of today"];
        let decide =
            |house: &House, way: &[&str]| games(house, &[&["decide", id.as_str()], way, &who[..]].concat());
        let (code, said) = decide(&house, &["--settle", "250.000001"]);
        assert_eq!(code, Some(1), "more than the bet can pay: {said}");
        let (code, said) = games(&house, &["decide", "0000", "--cancel", "--by", "anna", "--reason", "x"]);
        assert_eq!(code, Some(1), "no such bet: {said}");
        assert_eq!(casino.reserved(player).await, 2_500_000, "nothing has moved");
        let (code, said) = decide(&house, &["--settle", "4.95"]);
        assert_eq!(code, Some(0), "{said}");
        settled(&house);
        assert_eq!(casino.purses(player).await.0, 102_450_000);
        assert_eq!(casino.reserved(player).await, 0);
        let (code, said) = decide(&house, &["--cancel"]);
        assert_eq!(code, Some(1), "it has its end: {said}");
        let (_, said) = games(&house, &["bets", "--decided"]);
        assert!(said.contains(&id) && said.contains("by anna: their list of today"), "{said}");
        // The provider comes back with another end: nothing moves twice.
        house.open_games("");
        house.kill_bridge_only();
        house.open_bridge(&config);
        settled(&house);
        assert_eq!(casino.purses(player).await.0, 102_450_000);
        let (_, said) = games(&house, &["bets", "--decided"]);
        assert!(said.contains(&id), "after a restart, too: {said}");
        assert_eq!(
            decided_records(&house, casino.asset).await,
            1,
            "the log itself says which record was decided"
        );
        casino.close().await;
        house.audit();
    });
}

#[test]
fn a_decision_to_give_back_holds_through_a_kill_of_ledger_and_bridge() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_games("");
        let config = outbound(casino.asset, &house);
        house.open_bridge(&config);
        let player = casino.player(100).await;
        let id = lost_bet(&mut house, player);
        doubtful(&house);
        // The ledger cannot take it now; it is written down all the same.
        house.stop_ledger();
        let (code, said) =
            games(&house, &["decide", &id, "--cancel", "--by", "anna", "--reason", "they are gone"]);
        assert_eq!(code, Some(0), "{said}");
        let deadline = Instant::now() + SOON;
        while !games(&house, &["bets", "--decided"]).1.contains(&id) {
            assert!(Instant::now() < deadline, "it is not written down");
            std::thread::sleep(Duration::from_millis(10));
        }
        house.kill_bridge_only();
        house.kill_ledger();
        house.open_bridge(&config);
        settled(&house);
        assert_eq!(casino.purses(player).await.0, 100_000_000, "the provider was never heard of again");
        assert_eq!(casino.reserved(player).await, 0);
        casino.close().await;
        house.audit();
    });
}

/// Records of the ledger whose id is marked as an operator's decision.
async fn decided_records(house: &House, asset: AssetId) -> usize {
    let client = client(house, Role::Auditor).await;
    let until = client.totals(asset).await.expect("totals").as_of;
    let mut feed = client.subscribe(Filter::EVERYTHING, Lsn::NONE);
    let mut count = 0;
    while feed.position() < until {
        if let FeedEvent::Record(seen) = feed.next().await.expect("the log") {
            let paid = seen.record.result.is_executed();
            let ends = paid && seen.record.request.kind == OperationKind::Settle;
            count += usize::from(ends && is_decided(seen.record.request.id));
        }
    }
    client.close().await;
    count
}

fn page(house: &House) -> String {
    let sent = Sent { method: "GET", path: "/metrics".to_owned(), headers: Vec::new(), body: Vec::new() };
    let got = Caller::new(house.admin_address).call(&sent);
    assert_eq!(got.status, 200, "{got:?}");
    got.body
}

#[test]
fn the_bridges_metrics_are_those_of_the_documents_and_count_what_happened() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_games("");
        house.open_bridge(&outbound(casino.asset, &house));
        let player = casino.player(100).await;
        lost_bet(&mut house, player);
        doubtful(&house);
        let page = page(&house);
        for line in [
            "cage_games_bets_open{provider=\"house\"} 1",
            "cage_games_bets_in_doubt{provider=\"house\"} 1",
            "cage_games_bets_ended_total{provider=\"house\",end=\"settled\"} 0",
            "cage_games_disputes 0",
        ] {
            assert!(page.lines().any(|there| there == line), "{line}: {page}");
        }
        let unanswered = page.lines().find_map(|line| {
            line.strip_prefix("cage_games_calls_total{provider=\"house\",outcome=\"unanswered\"} ")
        });
        assert!(unanswered.is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count >= 4)), "{page}");
        let served: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP "))
            .map(|line| row(&page, line))
            .collect();
        let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
        let documents = std::fs::read_to_string(documents).expect("docs/operations.md");
        let (_, after) = documents.split_once("\n### Metrics of the game bridge").expect("a section");
        let table =
            after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let described: Vec<_> = table.skip(2).map(str::to_owned).collect();
        assert_eq!(served, described);
        casino.close().await;
    });
}

/// A metric's row in the documents, from its line of help.
fn row(page: &str, line: &str) -> String {
    let (name, help) = line.split_once(' ').expect("a name and a text");
    let kind = page.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("a type");
    let first = page.lines().find(|line| !line.starts_with('#') && line.starts_with(name)).expect("a value");
    let labels =
        first.split_once('{').map_or("", |(_, rest)| rest.split_once('}').map_or("", |(labels, _)| labels));
    let labels: Vec<_> = labels
        .split(',')
        .filter_map(|label| label.split_once('='))
        .map(|(label, _)| label)
        .filter(|label| *label != "le")
        .collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    format!("| `{name}{labels}` | {kind} | {} |", help.trim_end_matches('.'))
}
