//! What comes first is done first, and who asks sees it.
//!
//! What breaks: requests of one stream that overtake each other (balances do not fall one by one), a read that does
//! not see what stands before it, an answer of which another connection cannot see the effect yet.

use cage_engine::{Amount, Operation, ResultCode, Role, SessionId};
use cage_protocol::{Ask, Read, Reply};
use rand::RngExt;
use rand::seq::SliceRandom;

use crate::harness::casino::{Casino, client, new_id};
use crate::harness::wire::Wire;
use crate::harness::{self, Ledger, audit, folder, run, soon};

const FUNDS: i128 = 1_000_000;

async fn all_replies(wire: &mut Wire, count: usize) -> Vec<Reply> {
    let mut replies = Vec::new();
    while replies.len() < count {
        replies.extend(soon("replies", wire.replies()).await.expect("replies"));
    }
    assert_eq!(replies.len(), count);
    replies
}

#[test]
fn requests_of_one_stream_are_executed_in_their_order() {
    let mut random = harness::random("order");
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, FUNDS as u128).await;
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        let balances = Ask::Read(Read::Balances { player: casino.players[0], asset: casino.asset });
        // Several full frames and one that is not, written in pieces that have nothing to do with frames.
        let asks: Vec<_> = (0..5_000_u64)
            .map(|tag| match random.random_range(0..4) {
                0 => (tag, balances),
                _ => (tag, Ask::operation(casino.transfer(0, 1, 1).request(new_id()))),
            })
            .collect();
        let items: Vec<_> = asks.iter().map(|(tag, ask)| ask.to_bytes(*tag)).collect();
        let bytes = harness::wire::requests(&items);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.random_range(1..=rest.len().min(50_000)));
            wire.write(piece).await;
            rest = after;
        }
        let (mut left, mut lsn) = (FUNDS, 0);
        for (reply, (tag, ask)) in all_replies(&mut wire, asks.len()).await.iter().zip(&asks) {
            assert_eq!((reply.tag, reply.result), (*tag, ResultCode::Done));
            match ask {
                Ask::Operation { .. } => {
                    left -= 1;
                    assert!(reply.lsn.0 > lsn, "records rise");
                    lsn = reply.lsn.0;
                }
                Ask::Read(_) => assert_eq!(reply.lsn.0, lsn.max(reply.lsn.0), "a read is not behind"),
            }
            assert_eq!(reply.available.map(|held| held.0), Some(left), "request {tag}");
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// A bet and its end, sent together: the end finds the bet.
#[test]
fn a_bet_and_its_settlement_can_travel_together() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 1, FUNDS as u128).await;
        let mut wire = Wire::greeted(&ledger, Role::Games).await;
        let mut asks = Vec::new();
        for bet in 0..700_u64 {
            let hold = new_id();
            asks.push((3 * bet, Ask::operation(casino.reserve(0, 10, 20).request(hold))));
            asks.push((3 * bet + 1, Ask::operation(casino.settle(0, hold, 10, 11).request(new_id()))));
            asks.push((3 * bet + 2, Ask::operation(casino.cancel(0, hold).request(new_id()))));
        }
        wire.ask(&asks).await;
        for (place, reply) in (0..).zip(all_replies(&mut wire, asks.len()).await) {
            let won = FUNDS + place / 3;
            let expected = match place % 3 {
                0 => (ResultCode::Done, Some(won - 10), Some(10)),
                1 => (ResultCode::Done, Some(won + 1), Some(0)),
                _ => (ResultCode::HoldSettled, None, None),
            };
            let found = (reply.result, reply.available.map(|held| held.0), reply.reserved.map(|held| held.0));
            assert_eq!(found, expected, "request {place}");
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// Whoever has an answer can tell everybody: no read on another connection is older than it.
/// W7 and W9: no two connections see the same money and both take it.
#[test]
fn of_many_withdrawals_at_once_as_many_are_taken_as_the_balance_covers() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 1, 1_000).await;
        let (player, asset) = (casino.players[0], casino.asset);
        let withdraw = Operation::WithdrawRequest {
            player,
            asset,
            amount: Amount(100),
            session: SessionId::NONE,
            chain: 1,
            destination: [7; 32],
        };
        let mut clients = Vec::new();
        for role in [Role::Frontend, Role::Cashier, Role::Frontend, Role::Cashier] {
            clients.push(client(&ledger, role).await);
        }
        let asked: Vec<_> = (0..40).map(|number| clients[number % 4].submit(withdraw)).collect();
        let mut taken = 0;
        for answer in asked {
            match answer.await {
                Ok(_) => taken += 1,
                Err(fault) => assert_eq!(fault.code(), Some(ResultCode::InsufficientFunds)),
            }
        }
        assert_eq!(taken, 10, "40 asked for a tenth of it");
        assert_eq!(clients[0].balances(player, asset).await.expect("balances").available.0, 0);
        for client in clients {
            client.close().await;
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

#[test]
fn an_answer_is_seen_by_everybody() {
    let mut random = harness::random("everybody");
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 4, FUNDS as u128).await;
        let frontend = client(&ledger, Role::Frontend).await;
        let mut readers = Vec::new();
        for role in [Role::Auditor, Role::Support, Role::Games, Role::Frontend] {
            readers.push(client(&ledger, role).await);
        }
        let mut expected = [FUNDS; 4];
        for _ in 0..150 {
            let mut players = [0, 1, 2, 3];
            players.shuffle(&mut random);
            let [from, to, ..] = players;
            let amount = random.random_range(1..100);
            let done = frontend.submit(casino.transfer(from, to, amount)).await.expect("a transfer");
            expected[from] -= amount as i128;
            expected[to] += amount as i128;
            let reader = &readers[random.random_range(0..readers.len())];
            for player in [from, to] {
                let held = reader.balances(casino.players[player], casino.asset).await.expect("balances");
                assert!(held.as_of >= done.lsn, "a read that is older than the answer");
                assert_eq!((held.available.0, held.reserved.0), (expected[player], 0));
            }
        }
        let totals = readers[0].totals(casino.asset).await.expect("totals");
        assert_eq!((totals.players.0, totals.house.0), (4 * FUNDS, -4 * FUNDS));
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// The client library keeps a player's requests in order through any number of streams and connections.
#[test]
fn a_clients_calls_for_a_player_are_executed_in_their_order() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 8, FUNDS as u128).await;
        let config = cage_client::Config {
            connections: 2,
            streams: 4,
            deadline: harness::SOON,
            ..cage_client::Config::new(ledger.address())
        };
        let credentials = harness::casino::credentials(&ledger.certs(), Role::Games);
        let games = cage_client::Client::connect(config, credentials).await.expect("a connection");
        let mut submitted = Vec::new();
        for round in 0..200 {
            for player in 0..8 {
                submitted.push((round, player, games.submit(casino.reserve(player, 1, 1))));
            }
        }
        let reads: Vec<_> =
            casino.players.iter().map(|player| games.balances(*player, casino.asset)).collect();
        for (round, player, answer) in submitted {
            let executed = answer.await.expect("a bet");
            assert_eq!(executed.reserved.map(|held| held.0), Some(round + 1), "player {player}");
        }
        for read in reads {
            let held = read.await.expect("balances");
            assert_eq!((held.available.0, held.reserved.0), (FUNDS - 200, 200), "a read sees all before it");
        }
        games.close().await;
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}
