//! Queries: lists, look-ups and histories, compared with what the records of the log say.
//!
//! What breaks: a row that is left out or told twice between two pages, an order that is another one, a history that loses a record
//! on its way back, an answer that somebody is given who may not see it.

use std::collections::{BTreeMap, BTreeSet};

use cage_client::{Client, Cursor, Only, Page, QueryError};
use cage_engine::{Amount, GameId, Lsn, Operation, OperationKind, Record, Reference, Role, SessionId};
use cage_protocol::{CloseCode, FrameKind, Query, QueryEnd, QueryKind, frame};
use rand::RngExt;

use crate::harness::casino::{Casino, client, key, new_id};
use crate::harness::wire::Wire;
use crate::harness::{self, Ledger, folder, log, run, run_cage, stdout, text};

const PLAYERS: u32 = 6;

/// All pages of a list.
async fn all<T>(page: impl AsyncFn(Cursor) -> Result<Page<T>, QueryError>, pages: &mut usize) -> Vec<T> {
    let (mut items, mut from) = (Vec::new(), Cursor::default());
    loop {
        let Page { items: some, next, .. } = page(from).await.expect("a page");
        items.extend(some);
        *pages += 1;
        match next {
            Some(next) => from = next,
            None => return items,
        }
    }
}

fn bet(casino: &Casino, player: usize, number: u128) -> Operation {
    Operation::Bet {
        player: casino.players[player],
        asset: casino.asset,
        stake: Amount(3),
        bet: Reference(number),
        game: GameId::new(9, 2),
        session: SessionId::NONE,
        payout_max: Amount(30),
        round: Reference(number + 1),
        ends_round: false,
    }
}

/// A casino in which much is open and somebody owes something.
async fn played(ledger: &Ledger, seed: &mut impl RngExt) -> Casino {
    let casino = Casino::funded(ledger, PLAYERS, 1_000_000).await;
    let games = client(ledger, Role::Games).await;
    let mut reserves = Vec::new();
    for _ in 0..700 {
        reserves.push((new_id(), casino.reserve(seed.random_range(0..PLAYERS as usize), 5, 50)));
    }
    for outcome in games.submit_batch_with_ids(reserves.clone()).await {
        outcome.expect("a hold");
    }
    for (place, (hold, reserve)) in reserves.iter().enumerate().filter(|(place, _)| place % 5 == 0) {
        let Operation::Reserve { player, asset, .. } = *reserve else { unreachable!("a reserve") };
        let (hold, stake) = (*hold, Amount(if place % 2 == 0 { 5 } else { 2 }));
        let settle = Operation::Settle { player, asset, hold, stake, payout: Amount(4) };
        games.submit(settle).await.expect("a settle");
    }
    let bets: Vec<_> =
        (1..=300).map(|number| bet(&casino, number % PLAYERS as usize, 1_000 + 2 * number as u128)).collect();
    for outcome in games.submit_batch(bets).await {
        outcome.expect("a bet");
    }
    games.close().await;
    owe(ledger, &casino).await;
    casino
}

/// Two players spend what a chargeback then takes back.
async fn owe(ledger: &Ledger, casino: &Casino) {
    let cashier = client(ledger, Role::Cashier).await;
    let frontend = client(ledger, Role::Frontend).await;
    for player in [2, 1] {
        let deposit = key("charged back", player as u64);
        cashier.submit_with_id(deposit, casino.deposit(player, 900)).await.expect("a deposit");
        let (id, asset) = (casino.players[player], casino.asset);
        let held = frontend.balances(id, asset).await.expect("balances").available;
        let spent = casino.transfer(player, 0, u128::try_from(held.0).expect("money") - 100);
        frontend.submit(spent).await.expect("a transfer");
        let taken_back = Operation::Chargeback {
            player: id,
            asset,
            deposit: Reference(deposit.0),
            amount: Amount(900),
            chain: 1,
            reason: 1,
        };
        cashier.submit_with_id(key("taken back", player as u64), taken_back).await.expect("a chargeback");
    }
    cashier.close().await;
    frontend.close().await;
}

/// What the log says of holds: open ones by their record, with what is left.
fn holds(records: &[(Lsn, Record)]) -> BTreeMap<u64, (u128, u128)> {
    let mut open = BTreeMap::new();
    let mut names = BTreeMap::new();
    for (lsn, record) in records.iter().filter(|(_, record)| record.result.is_executed()) {
        match Operation::try_from(&record.asked()) {
            Ok(Operation::Reserve { stake, .. }) => {
                names.insert(record.request.id.0, lsn.0);
                open.insert(lsn.0, (record.request.id.0, stake.0));
            }
            Ok(Operation::Settle { hold, stake, .. }) => {
                let place = names[&hold.0];
                let left = &mut open.get_mut(&place).expect("an open hold").1;
                *left -= stake.0;
                if *left == 0 {
                    open.remove(&place);
                }
            }
            _ => {}
        }
    }
    open
}

#[test]
fn lists_and_histories_say_what_the_log_says_page_by_page_and_in_its_order() {
    let mut random = harness::random("queries");
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = played(&ledger, &mut random).await;
        let auditor = client(&ledger, Role::Auditor).await;
        let (records, _) = log::records(dir.path());
        let mut pages = 0;
        let only = |from| Only { from, ..Only::default() };
        let told = all(async |from| auditor.open_holds(only(from)).await, &mut pages).await;
        let told: Vec<_> = told.iter().map(|hold| (hold.opened.0, (hold.hold.0, hold.remaining.0))).collect();
        assert_eq!(told, holds(&records).into_iter().collect::<Vec<_>>());
        assert!(pages > 2, "more than a page is open");

        let rounds = all(async |from| auditor.open_rounds(only(from)).await, &mut pages).await;
        let bets = |(lsn, record): &(Lsn, Record)| match Operation::try_from(&record.asked()) {
            Ok(Operation::Bet { round, .. }) => Some((lsn.0, round.0, record.decided)),
            _ => None,
        };
        let expected: Vec<_> = records.iter().filter_map(bets).collect();
        let told: Vec<_> =
            rounds.iter().map(|round| (round.opened.0, round.round.0, round.opened_at)).collect();
        assert_eq!(told, expected, "each bet has opened a round");
        assert_eq!(auditor.round(rounds[7].round).await.expect("an answer"), Some(rounds[7]));
        assert_eq!(auditor.round(Reference(5)).await.expect("an answer"), None);

        for player in &casino.players {
            let history = all(async |from| auditor.history(*player, from).await, &mut pages).await;
            let mine = |record: &Record| {
                let to = match Operation::try_from(&record.asked()) {
                    Ok(Operation::Transfer { to, .. }) => Some(to),
                    _ => None,
                };
                record.request.player == *player || to == Some(*player)
            };
            let expected: Vec<_> = records.iter().rev().filter(|(_, record)| mine(record)).copied().collect();
            let told: Vec<_> = history.iter().map(|found| (found.lsn, found.record)).collect();
            assert!(told == expected, "{player}: {} told, {} in the log", told.len(), expected.len());
        }
        look_ups(&auditor, &casino, &records).await;
        auditor.close().await;
        ledger.close().await;
    });
}

/// Single things, by their names.
async fn look_ups(auditor: &Client, casino: &Casino, records: &[(Lsn, Record)]) {
    for kind in [OperationKind::Reserve, OperationKind::DepositCredit, OperationKind::Transfer] {
        let (lsn, record) = records.iter().find(|(_, record)| record.request.kind == kind).expect("one");
        let found = auditor.operation(record.request.id).await.expect("an answer");
        assert_eq!(
            found.iter().map(|found| (found.lsn, found.record)).collect::<Vec<_>>(),
            [(*lsn, *record)]
        );
    }
    assert_eq!(auditor.operation(new_id()).await.expect("an answer"), [], "never asked");
    let found = auditor.transaction(Reference(1_002)).await.expect("an answer");
    assert!(found.len() == 1 && found[0].record.request.kind == OperationKind::Bet, "{found:?}");
    let exposures = auditor.exposures(Only::default()).await.expect("a page").items;
    let games: Vec<_> = exposures.iter().map(|row| row.game).collect();
    assert!(games.is_sorted() && !games.is_empty(), "by game: {exposures:?}");
    let bets = exposures.iter().find(|row| row.game == GameId::new(9, 2)).expect("the bets' game");
    assert_eq!(bets.amount, Amount(300 * 30), "what 300 bets can pay");
    let owed = auditor.receivables(Only::default()).await.expect("a page").items;
    let owed: Vec<_> = owed.iter().map(|row| (row.player, row.amount)).collect();
    let owes = |player: usize| {
        let mut after = records.iter().filter(|(_, record)| record.request.kind == OperationKind::Chargeback);
        let of = after.find(|(_, record)| record.request.player == casino.players[player]).expect("one").1;
        let leg = of.legs().iter().find(|leg| leg.debit.is_of(cage_engine::Purse::Receivable));
        Amount(leg.expect("a debt").amount.0)
    };
    assert_eq!(owed, [(casino.players[1], owes(1)), (casino.players[2], owes(2))], "in the order of players");
}

#[test]
fn whoever_may_not_follow_something_is_not_answered_about_it() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let games = client(&ledger, Role::Games).await;
        let hold = games.submit(casino.reserve(0, 5, 50)).await.expect("a hold");
        let refused = |answer: Result<_, QueryError>| matches!(answer, Err(QueryError::NotAllowed { .. }));
        assert!(refused(games.open_holds(Only::default()).await.map(drop)), "games: not without a provider");
        let of = |provider| Only { provider: Some(provider), ..Only::default() };
        assert_eq!(games.open_holds(of(7)).await.expect("a page").items.len(), 1);
        assert_eq!(games.open_holds(of(8)).await.expect("a page").items, []);
        assert!(refused(games.receivables(of(7)).await.map(drop)), "games: no debts");
        assert!(refused(games.operation(hold.id).await.map(drop)), "games: no operation of anybody");
        let support = client(&ledger, Role::Support).await;
        assert!(refused(support.open_holds(Only::default()).await.map(drop)), "support: one player");
        assert_eq!(support.history(casino.players[0], Cursor(0)).await.expect("a page").items.len(), 3);
        let chain = client(&ledger, Role::Chain).await;
        assert!(refused(chain.open_rounds(Only::default()).await.map(drop)), "chain: no rounds");
        assert_eq!(chain.operation(hold.id).await.expect("an answer"), [], "chain: no holds");
        let deposits = chain.history(casino.players[0], Cursor(0)).await.expect("a page").items;
        assert_eq!(deposits.len(), 1, "chain: deposits {deposits:?}");
        // A cursor into somebody else's records is refused, not followed.
        let other = support.history(casino.players[1], Cursor(hold.lsn.0 - 1)).await;
        assert!(other.is_ok() || matches!(other, Err(QueryError::Unavailable { .. })), "{other:?}");
        let mut wire = Wire::greeted(&ledger, Role::Auditor).await;
        let mut bad = frame::query(&Query { kind: QueryKind::OpenHolds, ..Query::new(QueryKind::OpenHolds) });
        bad[8] = 99;
        wire.write(&bad).await;
        let (kind, items) = wire.frame().await.expect("an answer");
        assert_eq!(kind, FrameKind::QueryEnd);
        let end = QueryEnd::from_bytes(&items).expect("an end");
        assert_eq!(end.fault, Some(cage_protocol::FeedEndCode::Malformed), "{}", end.reason);
        let mut wire = Wire::greeted(&ledger, Role::Auditor).await;
        wire.operate(new_id(), &casino.deposit(0, 1)).await;
        wire.write(&frame::query(&Query::new(QueryKind::OpenHolds))).await;
        assert_eq!(wire.closed().await, Some(CloseCode::FrameMalformed), "a stream of requests stays one");
        ledger.close().await;
    });
}

#[test]
fn the_command_asks_a_running_ledger_and_prints_rows_or_json() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let games = client(&ledger, Role::Games).await;
        let hold = games.submit(casino.reserve(0, 5, 50)).await.expect("a hold");
        let (address, certs) = (ledger.address().to_string(), ledger.certs());
        let (player, asset) = (casino.players[0].to_string(), casino.asset.to_string());
        let name = format!("{:032x}", hold.id.0);
        let ask = |arguments: &[&str]| {
            run_cage(
                &[&["query", "--connect", &address, "--certs", text(&certs), "--json"], arguments].concat(),
            )
        };
        let json = |arguments: &[&str]| -> Vec<serde_json::Value> {
            let output = ask(arguments);
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
            stdout(&output).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
        };
        assert_eq!(json(&["balance", &player, &asset])[0]["available"], "995");
        let holds = json(&["open-holds", "--provider", "7"]);
        assert!(
            holds.len() == 1 && holds[0]["hold"] == name.as_str() && holds[0]["age_secs"].is_u64(),
            "{holds:?}"
        );
        assert_eq!(json(&["operation", &name])[0]["operation"], "reserve");
        let history = json(&["history", &player]);
        let lsns: Vec<_> = history.iter().map(|row| row["lsn"].as_u64().expect("an LSN")).collect();
        let distinct: BTreeSet<_> = lsns.iter().copied().collect();
        assert!(lsns.len() == 3 && distinct.len() == 3 && lsns.iter().rev().is_sorted(), "{lsns:?}");
        assert_eq!(json(&["history", &player, "--most", "2"]).len(), 2);
        assert_eq!(json(&["exposure"])[0]["amount"], "50");
        assert_eq!(ask(&["open-rounds"]).status.code(), Some(2), "nothing there");
        assert_eq!(ask(&["balance", "196", &asset]).status.code(), Some(1), "no such number");
        assert_eq!(ask(&["history", &player, "--role", "nobody"]).status.code(), Some(1));
        games.close().await;
        ledger.close().await;
    });
}
