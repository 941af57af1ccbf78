//! Bets that are sent out: to the house's own games, over networks and through crashes that are not kind.
//!
//! What breaks: a stake that is given back although the bet was played, an outcome that is paid twice or not at all, a hold
//! that stays.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::harness::casino::{Casino, UNIT};
use crate::harness::http::{Caller, Got, Sent};
use crate::harness::provider::{BEARER, outbound};
use crate::harness::{House, folder, run};

/// Bets under faults; `CAGE_ROUNDS` says another number.
const ROUNDS: u64 = 600;

pub(crate) fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

pub(crate) fn casino_call(method: &'static str, path: &str, body: String) -> Sent {
    let headers = vec![("authorization", format!("Bearer {BEARER}"))];
    Sent { method, path: path.to_owned(), headers, body: body.into_bytes() }
}

pub(crate) fn bet(player: cage_engine::PlayerId, mode: &str, amount: &str) -> Sent {
    let body = format!(
        "{{\"provider\":\"house\",\"player\":\"{player}\",\"game\":\"dice\",\"mode\":\"{mode}\",\"currency\":\"EUR\",\"amount\":\"{amount}\"}}"
    );
    casino_call("POST", "/bets", body)
}

pub(crate) fn value(got: &Got, name: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(&got.body).unwrap_or_default();
    body[name].as_str().map_or_else(|| body[name].to_string(), str::to_owned)
}

/// The house's own book, by bet: (state, stake, payout). The oracle: nothing of the bridge's or the ledger's is in it.
pub(crate) fn book(house: &House) -> HashMap<String, (String, i128, i128)> {
    let mut caller = Caller::new(house.games_address);
    let mut all = HashMap::new();
    let mut after = String::new();
    loop {
        let got = caller.call(&casino_call("POST", "/bets", format!("{{\"after\":\"{after}\"}}")));
        let body: serde_json::Value = serde_json::from_str(&got.body).expect("a page of the book");
        for bet in body["bets"].as_array().expect("bets") {
            let text = |name: &str| bet[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| i128::from(bet[name].as_u64().unwrap_or(0));
            after = text("betId");
            all.insert(after.clone(), (text("status"), number("amount"), number("payout")));
        }
        if body["more"] == false {
            return all;
        }
    }
}

/// Waits until nothing is on its way any more.
pub(crate) fn settled(house: &House) {
    let deadline = std::time::Instant::now() + crate::harness::SOON * 2;
    loop {
        let got = Caller::new(house.casino_address).call(&casino_call("GET", "/bets", String::new()));
        if got.body == "{\"open\":[]}" {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "bets stay open: {}", got.body);
        // A look at a state that has no end to wait for: there is no other way to see that none is left.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_bet_is_acknowledged_before_it_is_played_and_its_outcome_can_be_computed_again() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_games("");
        house.open_bridge(&outbound(casino.asset, &house));
        let player = casino.player(100).await;
        let mut caller = Caller::new(house.casino_address);
        let got = caller.call(&bet(player, "dice-under-5000", "2.50"));
        assert_eq!(got.status, 202, "{got:?}");
        let id = value(&got, "bet");
        let ended = caller.call(&casino_call("GET", &format!("/bets/{id}"), String::new()));
        assert_eq!(value(&ended, "state"), "settled", "{ended:?}");
        let payout: i128 = value(&ended, "payout").parse().expect("a payout");
        let book = book(&house);
        let (state, stake, told) = &book[&id];
        assert!(["active", "ended"].contains(&state.as_str()), "{state}");
        assert_eq!((*stake, *told), (2_500_000, payout));
        assert_eq!(casino.purses(player).await.0, 97_500_000 + payout);
        // What is revealed afterwards gives the same outcome to anybody.
        let mut house_caller = Caller::new(house.games_address);
        let status = format!("{{\"betId\":\"{id}\"}}");
        let round = house_caller.call(&casino_call("POST", "/bet/status", status)).body;
        let round: serde_json::Value = serde_json::from_str(&round).expect("a round");
        let proof = &round["round"]["state"][0];
        let session = round["round"]["sessionID"].as_str().expect("a session");
        let rotate = casino_call("POST", "/fair/rotate", format!("{{\"sessionID\":\"{session}\"}}"));
        let revealed: serde_json::Value =
            serde_json::from_str(&house_caller.call(&rotate).body).expect("a seed");
        let revealed = &revealed["revealed"];
        let text =
            |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let arguments = [
            "verify-roll".to_owned(),
            "--server-seed".to_owned(),
            text(&revealed["serverSeed"]),
            "--client-seed".to_owned(),
            text(&proof["clientSeed"]),
            "--nonce".to_owned(),
            text(&proof["nonce"]),
            "--mode".to_owned(),
            "dice-under-5000".to_owned(),
            "--stake".to_owned(),
            "2500000".to_owned(),
            "--hash".to_owned(),
            text(&proof["serverSeedHash"]),
            "--result".to_owned(),
            text(&proof["result"]),
        ];
        let said = crate::harness::run_cage(&arguments);
        assert!(said.contains(&format!("payout {payout}")), "{said}");
        // Not enough money: refused by the ledger, and the provider hears nothing of it.
        let got = caller.call(&bet(player, "dice-under-5000", "1000"));
        assert_eq!((got.status, value(&got, "error")), (409, "insufficient".to_owned()));
        assert_eq!(crate::outbound::book(&house).len(), 1);
        casino.close().await;
        house.audit();
    });
}

/// Each step of a bet's way is the last one of a bridge that is killed; there is one outcome.
#[test]
fn a_bridge_that_is_killed_at_any_step_of_a_bet_leaves_one_outcome() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_games("");
        let config = outbound(casino.asset, &house);
        house.open_bridge(&config);
        let player = casino.player(100).await;
        let place =
            |house: &House| Caller::new(house.casino_address).call(&bet(player, "crash-at-200", "1.00"));

        // Before the stake is set aside: the ledger is away.
        house.stop_ledger();
        let got = place(&house);
        assert_eq!((got.status, value(&got, "error")), (503, "unknown".to_owned()), "{got:?}");
        house.kill_bridge_only();
        house.kill_ledger();
        house.open_bridge(&config);
        settled(&house);
        assert_eq!(casino.purses(player).await.0, 100_000_000, "nothing was sent, nothing is gone");

        // After the stake was set aside, before it is sent: the provider is away.
        house.stop_games();
        assert_eq!(place(&house).status, 202);
        house.kill_bridge_only();
        house.open_games("");
        house.open_bridge(&config);
        settled(&house);
        assert_eq!(casino.purses(player).await.0, 100_000_000, "the provider never had it, and voided it");

        // After it was sent, before the answer: the provider plays, and its answers are lost.
        house.open_games("drop=100");
        assert_eq!(place(&house).status, 202);
        while book_of(&house) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        house.kill_bridge_only();
        house.open_games("");
        house.open_bridge(&config);
        settled(&house);
        let oracle = oracle(&house);
        assert_eq!(casino.purses(player).await.0, 100_000_000 + oracle, "as the provider's book has it");

        // After it was settled: nothing is left to do, and nothing is done again.
        let got = place(&house);
        let id = value(&got, "bet");
        let ended = Caller::new(house.casino_address).call(&casino_call(
            "GET",
            &format!("/bets/{id}"),
            String::new(),
        ));
        assert_eq!(value(&ended, "state"), "settled");
        let before = casino.purses(player).await.0;
        house.kill_bridge_only();
        house.open_bridge(&config);
        settled(&house);
        assert_eq!(casino.purses(player).await.0, before);
        assert_eq!(casino.reserved(player).await, 0);
        casino.close().await;
        house.audit();
    });
}

fn book_of(house: &House) -> usize {
    // With answers that are lost, the book can only be read from its file: the bridge's own state says whether it was sent.
    let got = Caller::new(house.casino_address).call(&casino_call("GET", "/bets", String::new()));
    usize::from(
        got.body.contains("\"unclear\":1")
            || got.body.contains("\"unclear\":2")
            || got.body.contains("\"unclear\":3"),
    )
}

/// What all bets that the provider played make of a balance.
fn oracle(house: &House) -> i128 {
    let played = book(house).into_values().filter(|(state, ..)| state != "cancelled");
    played.map(|(_, stake, payout)| payout - stake).sum()
}

/// Faults, and kills of ledger, bridge and provider at random: every balance is what the provider's book makes it.
#[test]
fn under_faults_and_kills_every_balance_is_what_the_providers_book_says() {
    run(async {
        let seed = setting("CAGE_SEED", rand::random());
        let rounds = setting("CAGE_ROUNDS", ROUNDS);
        println!("repeat with CAGE_SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        let faults = "delay=4,lose=5,drop=5,duplicate=4,wrong-echo=3,over-cap=3,cut=3,error=3,garbage=3";
        house.open_games(faults);
        let config = outbound(casino.asset, &house);
        house.open_bridge(&config);
        let mut players = Vec::new();
        for _ in 0..8 {
            players.push(casino.player(10_000).await);
        }
        let (mut taken, mut kills) = (HashMap::<String, usize>::new(), [0_u32; 3]);
        let mut caller = Caller::new(house.casino_address);
        for round in 0..rounds {
            let who = random.random_range(0..players.len());
            let mode = ["dice-under-5000", "dice-under-900", "crash-at-150", "crash-at-1000"]
                [random.random_range(0..4)];
            let got = caller.call(&bet(
                players[who],
                mode,
                &format!("{}.{:02}", random.random_range(1..9), random.random_range(0..100)),
            ));
            if [202, 503].contains(&got.status) {
                let id = value(&got, "bet");
                if id != "null" {
                    taken.insert(id, who);
                }
            }
            if round % (rounds / 6).max(1) == rounds / 12 {
                let who = random.random_range(0..3);
                kills[who] += 1;
                match who {
                    0 => house.kill_ledger(),
                    1 => {
                        house.kill_bridge_only();
                        house.open_bridge(&config);
                    }
                    _ => house.open_games(faults),
                }
                caller = Caller::new(house.casino_address);
            }
        }
        settled(&house);
        house.open_games("");
        let book = book(&house);
        let mut difference = vec![0_i128; players.len()];
        let (mut played, mut void) = (0, 0);
        for (bet, (state, stake, payout)) in &book {
            if state == "cancelled" {
                void += 1;
                continue;
            }
            played += 1;
            difference[taken[bet]] += payout - stake;
        }
        for (player, difference) in players.iter().zip(difference) {
            let had = i128::try_from(10_000 * UNIT).expect("a sum");
            assert_eq!(casino.purses(*player).await.0, had + difference, "{player}");
            assert_eq!(casino.reserved(*player).await, 0, "no hold is left");
        }
        crate::reconcile::assert_clean(&house, "house", book.len());
        println!("{rounds} bets, {played} played, {void} void, kills of ledger, bridge, provider: {kills:?}");
        casino.close().await;
        house.audit();
    });
}
