//! Connections and servers that go away at the worst moment.

use std::collections::HashSet;
use std::time::Duration;

use cage_client::engine::{Amount, Operation, OperationKind, PlayerId, RequestId, Role, SessionId};
use cage_client::{ConnectionError, Error};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::server::{ASSET, FUNDS, Ledger, Server, Treatment};

const PLAYERS: u32 = 20;
const TRANSFERS: u32 = 1_000;

fn transfer(from: u32, to: u32) -> Operation {
    let [from, to] = [from, to].map(PlayerId::from_index);
    Operation::Transfer { from, to, asset: ASSET, amount: Amount(1), session: SessionId::default() }
}

/// A seed for the test's dice; printed, so that a failure can be repeated.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("repeat with SEED={seed}");
    seed
}

/// Loses the connection over about one request in `one_in`, half of the time after it was decided.
fn chaos(seed: u64, one_in: u32) -> impl FnMut(&cage_client::protocol::Asked) -> Treatment {
    let mut dice = StdRng::seed_from_u64(seed);
    move |_| match dice.random_range(0..one_in * 2) {
        0 => Treatment::DecideAndDie,
        1 => Treatment::Die,
        _ => Treatment::Answer,
    }
}

/// A connection that dies after the decision and before the reply once doubled a payment somewhere: the retry had a
/// new id. Here every transfer must be in the ledger exactly once, whatever died.
#[tokio::test]
async fn whatever_dies_everything_is_executed_once() {
    let server = Server::start(Ledger::with_players(PLAYERS));
    let client = server.client(Role::Frontend).await.with_deadline(Duration::from_secs(60));
    server.ledger().set_script(chaos(seed(), 200));
    let submitted: Vec<_> =
        (0..TRANSFERS).map(|index| client.submit(transfer(index % PLAYERS, (index + 1) % PLAYERS))).collect();
    let mut ids = HashSet::new();
    for answer in submitted {
        ids.insert(answer.await.unwrap().id);
    }
    let ledger = server.ledger();
    let recorded = ledger.ids_of(OperationKind::Transfer);
    assert_eq!(recorded.len(), TRANSFERS as usize);
    assert_eq!(recorded.into_iter().collect::<HashSet<_>>(), ids);
    assert!((0..PLAYERS).all(|index| ledger.available(PlayerId::from_index(index)) == FUNDS.0 as i128));
    assert!(ledger.connections_lost > 0, "nothing was tested");
}

#[tokio::test]
async fn a_players_requests_keep_their_order_through_lost_connections() {
    let server = Server::start(Ledger::with_players(3));
    let client = server.client(Role::Frontend).await.with_deadline(Duration::from_secs(60));
    server.ledger().set_script(chaos(seed(), 100));
    let submitted: Vec<_> = (0..100).map(|_| [0, 1].map(|from| client.submit(transfer(from, 2)))).collect();
    let mut ids = [Vec::<RequestId>::new(), Vec::new()];
    for pair in submitted {
        for (ids, answer) in ids.iter_mut().zip(pair) {
            ids.push(answer.await.unwrap().id);
        }
    }
    let recorded = server.ledger().ids_of(OperationKind::Transfer);
    for ids in ids {
        let own = ids.iter().copied().collect::<HashSet<_>>();
        assert!(recorded.iter().filter(|id| own.contains(id)).eq(&ids));
    }
}

/// A killed process closes nothing: the client has to notice by itself, long before QUIC would.
#[tokio::test]
async fn a_killed_server_that_comes_back_is_found_and_asked_again() {
    let server = Server::start(Ledger::with_players(2));
    let client = server.client(Role::Frontend).await.with_deadline(Duration::from_secs(60));
    let before = client.submit(transfer(0, 1)).await.unwrap();
    let killed = server.kill();
    let during = client.submit(transfer(0, 1));
    let server = killed.restart();
    let begun = std::time::Instant::now();
    let during = during.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(server.ledger().ids_of(OperationKind::Transfer), [before.id, during.id]);
    let seen = server.ledger().hellos.last().unwrap().seen;
    assert_eq!((seen.log_id, seen.chain_head), (77, [7; 32]));
    assert!(seen.lsn >= before.lsn.0, "the hello presents the most that was acknowledged");
}

#[tokio::test]
async fn a_server_that_is_gone_for_good_leaves_nothing_waiting() {
    let server = Server::start(Ledger::with_players(2));
    let client = server.client(Role::Frontend).await.with_deadline(Duration::from_millis(300));
    server.ledger().set_script(|_| Treatment::Swallow);
    let first = client.submit(transfer(0, 1));
    let _killed = server.kill();
    let answers = [first, client.submit(transfer(0, 1)), client.submit(transfer(1, 0))];
    for answer in answers {
        let error = answer.await.unwrap_err();
        assert!(error.may_retry(), "{error}");
    }
}

/// A reply that is lost with its connection, and then "the inbox is full": the second answer is about the copy, not
/// about the request, which may have been executed. It was.
#[tokio::test]
async fn not_taken_after_a_lost_reply_stays_unknown() {
    let server = Server::start(Ledger::with_players(2));
    let client = server.client(Role::Frontend).await.with_deadline(Duration::from_secs(2));
    let mut first = true;
    server.ledger().set_script(move |_| {
        if std::mem::take(&mut first) {
            Treatment::DecideAndDie
        } else {
            Treatment::Say(cage_client::engine::ResultCode::HoldTableFull)
        }
    });
    let error = client.submit(transfer(0, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert_eq!(server.ledger().ids_of(OperationKind::Transfer), [error.id()]);
}

#[tokio::test]
async fn a_server_that_comes_back_with_another_log_is_not_believed() {
    let server = Server::start(Ledger::with_players(2));
    let client = server.client(Role::Frontend).await.with_deadline(Duration::from_secs(2));
    client.submit(transfer(0, 1)).await.unwrap();
    let killed = server.kill();
    killed.ledger.lock().unwrap().log_id = 78;
    let server = killed.restart();
    let records = server.ledger().records.len();
    let error = client.submit(transfer(0, 1)).await.unwrap_err();
    assert!(error.may_retry(), "{error}");
    assert!(matches!(client.fault(), Some(ConnectionError::LogDiffers { known: 77, found: 78 })));
    assert_eq!(server.ledger().records.len(), records, "nothing was asked of it");
}

/// Half of a group that is asked again alone would be another group: it goes again whole, and happens once.
#[tokio::test]
async fn a_group_whose_answer_is_lost_is_asked_again_whole() {
    let server = Server::start(Ledger::with_players(3));
    let client = server.client(Role::Frontend).await.with_deadline(Duration::from_secs(60));
    server.ledger().set_script(chaos(seed(), 20));
    let groups: Vec<_> = (0..100_usize)
        .map(|number| {
            let ring = (0..2 + number % 5).map(|step| transfer((step % 3) as u32, ((step + 1) % 3) as u32));
            client.group(ring.map(|operation| (client.mint_id(), operation)).collect())
        })
        .collect();
    let mut ids = HashSet::new();
    for group in groups {
        for outcome in group.await {
            ids.insert(outcome.unwrap().id);
        }
    }
    let ledger = server.ledger();
    let recorded = ledger.ids_of(OperationKind::Transfer);
    assert_eq!(recorded.len(), ids.len(), "each once");
    assert_eq!(recorded.into_iter().collect::<HashSet<_>>(), ids);
    assert!(ledger.connections_lost > 0, "nothing was tested");
}

#[tokio::test]
async fn a_group_that_is_not_taken_for_now_is_asked_again_whole() {
    let server = Server::start(Ledger::with_players(3));
    let client = server.client(Role::Frontend).await;
    let mut times = 0;
    server.ledger().set_script(move |_| {
        times += 1;
        if times <= 3 { Treatment::Say(cage_client::engine::ResultCode::Draining) } else { Treatment::Answer }
    });
    let group = [(0, 1), (1, 2)].map(|(from, to)| (client.mint_id(), transfer(from, to)));
    for outcome in client.group(group.to_vec()).await {
        assert!(!outcome.unwrap().repeated);
    }
    assert_eq!(server.ledger().frames.iter().filter(|items| **items == 2).count(), 4);
    server.ledger().set_script(|_| Treatment::Swallow);
    let group = [(0, 1), (1, 2)].map(|(from, to)| (client.mint_id(), transfer(from, to)));
    let outcomes = client.with_deadline(Duration::from_millis(100)).group(group.to_vec()).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::Unknown { .. }))), "{outcomes:?}");
}
