//! Reports: figures that re-add to the books, of a scene whose figures are known.
//!
//! What breaks: a movement that counts twice, nowhere or as something else, a tester's play among the customers', a game
//! that a settled hold does not find any more, something open that is not told, an event without a row.

use std::path::Path;

use cage_engine::{
    Amount, CallerId, GameId, Lsn, Operation, PlayerClass, PlayerId, Reference, RequestId, Role, SessionId,
    Status,
};
use serde_json::{Value, json};

use crate::harness::casino::{Casino, client, key};
use crate::harness::{Ledger, folder, run, run_cage, stderr, stdout, text};

const GAME: GameId = GameId::new(7, 1);

/// Runs `cage report --format json`; a row a line.
fn report(data_dir: &Path, kind: &str, arguments: &[&str]) -> Vec<Value> {
    let output =
        run_cage(&[&["report", text(data_dir), "--kind", kind, "--format", "json"], arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

/// What a scene leaves behind.
struct Scene {
    casino: Casino,
    tester: PlayerId,
    hold: RequestId,
    /// The last record before anything was undone.
    before_rollback: Lsn,
}

fn bet(player: PlayerId, casino: &Casino, stake: u128, bet: u128, round: u128) -> Operation {
    Operation::Bet {
        player,
        asset: casino.asset,
        stake: Amount(stake),
        bet: Reference(bet),
        game: GAME,
        session: SessionId::default(),
        payout_max: Amount::ZERO,
        round: Reference(round),
        ends_round: false,
    }
}

/// Two customers and a tester play one game: each figure is known.
async fn scene(ledger: &Ledger) -> Scene {
    let casino = Casino::funded(ledger, 2, 10_000).await;
    let (games, operator) = (client(ledger, Role::Games).await, client(ledger, Role::Operator).await);
    let (cashier, risk) = (client(ledger, Role::Cashier).await, client(ledger, Role::Risk).await);
    let tester = operator.open_player(CallerId(99), 1, 1, PlayerClass::Test).await.expect("a tester");
    cashier.deposit(key("tester", 1), tester, casino.asset, Amount(500), 1).await.expect("a deposit");
    let (one, other, asset) = (casino.players[0], casino.players[1], casino.asset);
    let done = |operation| games.submit(operation);
    done(bet(one, &casino, 100, 1, 11)).await.expect("a bet");
    let win = Operation::Win {
        player: one,
        asset,
        amount: Amount(30),
        bet: Reference(1),
        game: GAME,
        target: Lsn::NONE,
        round: None,
        ends_round: true,
    };
    games.submit_with_id(RequestId(2), win).await.expect("a win");
    done(bet(tester, &casino, 10, 3, 12)).await.expect("a bet");
    let (settled, hold) = (games.mint_id(), games.mint_id());
    games.submit_with_id(settled, casino.reserve(1, 200, 600)).await.expect("a hold");
    done(casino.settle(1, settled, 200, 500)).await.expect("a settle");
    games.submit_with_id(hold, casino.reserve(0, 70, 80)).await.expect("a hold");
    let prize = Operation::PromoCredit {
        player: other,
        asset,
        amount: Amount(25),
        game: GAME,
        campaign: None,
        house_paid: true,
        turnover: Amount::ZERO,
    };
    games.submit_with_id(key("prize", 1), prize).await.expect("a prize");
    let before_rollback = done(bet(other, &casino, 50, 4, 13)).await.expect("a bet").lsn;
    let back = Operation::Rollback {
        player: other,
        asset,
        amount: Amount::ZERO,
        target: Reference(4),
        game: GAME,
        target_lsn: Lsn::NONE,
        reverse_settled: false,
        round: None,
    };
    games.submit_with_id(RequestId(5), back).await.expect("a rollback");
    let blocked = Operation::SetStatus { player: other, status: Status::WagerBlocked, reason: 4 };
    risk.submit(blocked).await.expect("a status");
    for client in [games, operator, cashier, risk] {
        client.close().await;
    }
    Scene { casino, tester, hold, before_rollback }
}

/// The named columns of a row.
fn columns(row: &Value, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| row[name].clone()).collect()
}

#[test]
fn what_a_game_took_and_gave_is_told_of_customers_and_re_adds_to_the_books() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let Scene { before_rollback, .. } = scene(&ledger).await;
        const FIGURES: [&str; 11] = [
            "game",
            "code",
            "bets",
            "stakes",
            "wins",
            "winnings",
            "given_back",
            "taken_back",
            "ggr",
            "rtp",
            "ngr",
        ];
        let all = report(dir.path(), "ggr", &["--per", "all"]);
        assert_eq!(all.len(), 1, "{all:?}");
        let expected = json!([GAME.0, "CHIP", 3, "350", 2, "530", "50", "0", "-230", "1.766666", "-255"]);
        assert_eq!(json!(columns(&all[0], &FIGURES)), expected);
        // Before the rollback, in the same log.
        let until = before_rollback.to_string();
        let before = report(dir.path(), "ggr", &["--per", "all", "--until", &until]);
        let expected = json!([GAME.0, "CHIP", 3, "350", 2, "530", "0", "0", "-180", "1.514285", "-205"]);
        assert_eq!(json!(columns(&before[0], &FIGURES)), expected);
        // What came after it: the two parts are the whole.
        let from = (before_rollback.0 + 1).to_string();
        let after = report(dir.path(), "ggr", &["--per", "all", "--from", &from]);
        assert_eq!(json!(columns(&after[0], &["stakes", "given_back", "ggr"])), json!(["0", "50", "-50"]));
        // The tester's bet stands apart.
        let testers = report(dir.path(), "ggr", &["--players", "test"]);
        assert_eq!(json!(columns(&testers[0], &["class", "stakes", "ggr"])), json!(["test", "10", "10"]));
        assert_eq!(report(dir.path(), "ggr", &["--players", "all"]).len(), 2);
        // Nothing happened: that is said.
        let none = run_cage(&["report", text(dir.path()), "--kind", "ggr", "--until", "1971-01-01"]);
        assert!(none.status.success() && stderr(&none).contains("no activity"), "{}", stderr(&none));
        drop(ledger.close().await);
    });
}

#[test]
fn liabilities_are_what_players_hold_and_the_house_is_the_other_side() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        scene(&ledger).await;
        let rows = report(dir.path(), "liabilities", &[]);
        let row = |purse: &str, class: &str| {
            let found = rows.iter().find(|row| row["purse"] == purse && row["class"] == class);
            found.map(|row| (row["accounts"].as_u64().expect("a number"), row["balance"].clone()))
        };
        // 10000 - 100 + 30 - 70, and 10000 - 200 + 500 + 25 - 50 + 50.
        assert_eq!(row("available", "real"), Some((2, json!("20185"))));
        assert_eq!(row("reserved", "real"), Some((1, json!("70"))));
        assert_eq!(row("available", "test"), Some((1, json!("490"))));
        let clearing =
            rows.iter().find(|row| row["purse"] == "provider_clearing").expect("the provider's account");
        assert_eq!((&clearing["owner"], &clearing["balance"]), (&json!(7), &json!("-220")));
        let sum: i128 = rows
            .iter()
            .map(|row| row["balance"].as_str().expect("text").parse::<i128>().expect("a number"))
            .sum();
        assert_eq!(sum, 0);
        drop(ledger.close().await);
    });
}

#[test]
fn what_is_open_is_told_with_its_age() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let Scene { casino, hold, tester, .. } = scene(&ledger).await;
        let rows = report(dir.path(), "open", &["--players", "all"]);
        let of = |what: &str| rows.iter().filter(|row| row["what"] == what).collect::<Vec<_>>();
        let [held] = of("hold")[..] else { panic!("one hold: {rows:?}") };
        assert_eq!(held["id"], json!(format!("{:032x}", hold.0)));
        assert_eq!(held["player"], json!(casino.players[0].number()));
        assert_eq!((&held["amount"], &held["game"]), (&json!("70"), &json!(GAME.0)));
        assert!(
            held["since"].is_string() && held["age_seconds"].as_u64().is_some_and(|age| age < 600),
            "{held}"
        );
        // The first round was closed with its win; the others are open.
        let mut rounds: Vec<_> =
            of("round").iter().map(|row| columns(row, &["id", "player", "amount"])).collect();
        rounds.sort_by_key(|row| row[0].to_string());
        let round = |key: u32| json!(format!("{key:032x}"));
        let expected =
            json!([[round(12), tester.number(), "10"], [round(13), casino.players[1].number(), "0"],]);
        assert_eq!(json!(rounds), expected);
        drop(ledger.close().await);
    });
}

#[test]
fn significant_events_have_a_row_each_with_before_and_after() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let Scene { casino, .. } = scene(&ledger).await;
        drop(ledger.close().await);
        let rows = report(dir.path(), "events", &["--large", "200"]);
        let of = |event: &str| rows.iter().filter(|row| row["event"] == event).collect::<Vec<_>>();
        let [void] = of("void")[..] else { panic!("one rollback: {rows:?}") };
        let told = columns(void, &["operation", "account", "before", "after", "player"]);
        let account = format!("available:{}/{}", casino.players[1], casino.asset);
        assert_eq!(json!(told), json!(["rollback", account, "10275", "10325", casino.players[1].number()]));
        assert_eq!(of("large_wager").len(), 1, "the stake of 200");
        assert_eq!(of("large_win").len(), 1, "the payout of 500");
        assert_eq!(of("stop").len(), 1, "the ledger was stopped in order");
        let [status] = of("status")[..] else { panic!("one status: {rows:?}") };
        assert_eq!(
            (&status["role"], &status["player"]),
            (&json!("risk"), &json!(casino.players[1].number()))
        );
        assert!(
            status["detail"].as_str().expect("JSON").contains("\"status\":\"wager_blocked\""),
            "{status}"
        );
        let parameters: Vec<_> = of("parameter").iter().map(|row| row["operation"].clone()).collect();
        assert_eq!(json!(parameters), json!(["configure", "open_asset", "set_rule", "set_rule"]));
        let sorts: Vec<_> = cage::reports::events::SORTS.iter().map(|(sort, _)| *sort).collect();
        assert!(rows.iter().all(|row| sorts.contains(&row["event"].as_str().expect("text"))));
    });
}
