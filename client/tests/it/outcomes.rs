//! Each request gets one of four answers, in time.

use std::time::Duration;

use cage_client::Error;
use cage_client::engine::{Amount, GameId, Operation, OperationKind, PlayerId, ResultCode, Role, SessionId};

use crate::server::{ASSET, FUNDS, Ledger, Server, Treatment};

const SHORT: Duration = Duration::from_millis(200);

fn player(index: u32) -> PlayerId {
    PlayerId::from_index(index)
}

fn transfer(from: u32, to: u32) -> Operation {
    let (from, to, session) = (player(from), player(to), SessionId::default());
    Operation::Transfer { from, to, asset: ASSET, amount: Amount(1), session }
}

#[tokio::test]
async fn no_answer_in_time_is_unknown_and_the_same_id_executes_once() {
    let server = Server::start(Ledger::with_players(2));
    let client = server.client(Role::Frontend).await;
    server.ledger().set_script(|_| Treatment::Swallow);
    let id = client.mint_id();
    let unknown = client.with_deadline(SHORT).submit_with_id(id, transfer(0, 1)).await;
    assert_eq!(unknown, Err(Error::Unknown { id }));
    server.ledger().set_script(|_| Treatment::Answer);
    assert!(!client.submit_with_id(id, transfer(0, 1)).await.unwrap().repeated);
    assert!(client.submit_with_id(id, transfer(0, 1)).await.unwrap().repeated);
    assert_eq!(server.ledger().available(player(1)), FUNDS.0 as i128 + 1);
    let other = client.submit_with_id(id, transfer(1, 0)).await.unwrap_err();
    assert_eq!(other.code(), Some(ResultCode::IdConflict));
}

#[tokio::test]
async fn a_refusal_is_final_and_carries_its_record() {
    let server = Server::start(Ledger::with_players(1));
    let games = server.client(Role::Games).await;
    let bet = |amount| games.reserve(player(0), ASSET, amount, amount, GameId::new(1, 1));
    let too_much = bet(Amount(FUNDS.0 + 1)).await.unwrap_err();
    let Error::Refused { code, lsn, .. } = too_much else { panic!("{too_much}") };
    assert_eq!(code, ResultCode::InsufficientFunds);
    assert_eq!(lsn.0 as usize, server.ledger().records.len());
}

#[tokio::test]
async fn a_full_inbox_is_tried_again_with_the_same_id_until_it_is_not() {
    let server = Server::start(Ledger::with_players(2));
    let client = server.client(Role::Frontend).await;
    let mut refusals = [ResultCode::InboxFull, ResultCode::IdFromFuture, ResultCode::InboxFull].into_iter();
    server.ledger().set_script(move |_| refusals.next().map_or(Treatment::Answer, Treatment::Say));
    let executed = client.submit(transfer(0, 1)).await.unwrap();
    assert_eq!(server.ledger().ids_of(OperationKind::Transfer), [executed.id]);
    assert_eq!(server.ledger().frames.len(), 4);
}

#[tokio::test]
async fn not_taken_is_given_back_when_waiting_does_not_help() {
    let server = Server::start(Ledger::with_players(2));
    let client = server.client(Role::Frontend).await.with_deadline(SHORT);
    for code in [ResultCode::HoldTableFull, ResultCode::InboxFull] {
        server.ledger().set_script(move |_| Treatment::Say(code));
        let not_taken = client.submit(transfer(0, 1)).await.unwrap_err();
        assert!(
            matches!(not_taken, Error::NotTaken { code: Some(said), .. } if said == code),
            "{not_taken:?}"
        );
        assert!(not_taken.may_retry());
    }
}

#[tokio::test]
async fn no_more_is_sent_than_the_server_gives_credit_for() {
    let mut ledger = Ledger::with_players(40);
    ledger.in_flight_max = 8;
    let server = Server::start(ledger);
    let client = server.client(Role::Frontend).await;
    let submitted: Vec<_> =
        (0..2_000).map(|index| client.submit(transfer(index % 40, (index + 1) % 40))).collect();
    for answer in submitted {
        answer.await.unwrap();
    }
    assert!(server.ledger().unanswered_max <= 8, "{}", server.ledger().unanswered_max);
}

#[tokio::test]
async fn what_never_left_for_want_of_credit_was_not_taken() {
    let mut ledger = Ledger::with_players(2);
    ledger.in_flight_max = 1;
    let server = Server::start(ledger);
    let client = server.client(Role::Frontend).await.with_deadline(SHORT);
    server.ledger().set_script(|_| Treatment::Swallow);
    let (sent, waiting) = (client.submit(transfer(0, 1)), client.submit(transfer(0, 1)));
    let (sent_id, waiting_id) = (sent.id(), waiting.id());
    assert_eq!(sent.await, Err(Error::Unknown { id: sent_id }));
    assert_eq!(waiting.await, Err(Error::NotTaken { id: waiting_id, code: None }));
}

#[tokio::test]
async fn a_batch_travels_in_one_frame_and_is_answered_in_order() {
    let server = Server::start(Ledger::with_players(10));
    let client = server.client(Role::Frontend).await;
    let mut operations: Vec<_> = (0..1_000).map(|index| transfer(index % 10, (index + 1) % 10)).collect();
    operations[500] = transfer(3, 3);
    let single = client.submit(transfer(0, 1));
    let outcomes = client.submit_batch(operations).await;
    assert!(single.await.is_ok());
    assert_eq!(outcomes.len(), 1_000);
    let refused: Vec<_> = (0..1_000).filter(|index| outcomes[*index].is_err()).collect();
    assert_eq!(refused, [500]);
    assert_eq!(outcomes[500].unwrap_err().code(), Some(ResultCode::SamePlayer));
    let lsns: Vec<_> = outcomes.iter().flatten().map(|executed| executed.lsn).collect();
    assert!(lsns.is_sorted());
    let frames = server.ledger().frames.clone();
    assert!(frames == [1, 1_000] || frames == [1_001], "{frames:?}");
    assert!(client.submit_batch(Vec::new()).await.is_empty());
}

#[tokio::test]
async fn a_batch_that_does_not_fit_the_frame_begins_another_one() {
    let server = Server::start(Ledger::with_players(10));
    let client = server.client(Role::Frontend).await;
    let batch = || client.submit_batch((0..600).map(|index| transfer(0, 1 + index % 9)).collect());
    let (first, second) = (batch(), batch());
    assert_eq!(first.await.len() + second.await.len(), 1_200);
    assert_eq!(server.ledger().frames, [600, 600]);
}
