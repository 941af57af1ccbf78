//! The ledger in the process: it decides with the real engine, keeps time that can be set, and loses answers when it is told to.

use std::time::Duration;

use cage_client::engine::{
    Amount, AssetCode, AssetId, CallerId, Expiry, GameId, Operation, OperationKind, PlayerClass, PlayerId,
    ResultCode, Role, SessionId,
};
use cage_client::fake::Fake;
use cage_client::{Error, FeedError, Filter, permanent_key};

async fn casino(ledger: &Fake) -> (AssetId, PlayerId) {
    let code = AssetCode::new("EUR").expect("a code");
    let asset =
        ledger.client(Role::Operator).open_asset(code, 2, false, Amount(1_000)).await.expect("an asset");
    let player = ledger.client(Role::Frontend).open_player(CallerId(1), 1, 1, PlayerClass::Real);
    let player = player.await.expect("a player");
    let key = permanent_key(&[b"a deposit"]);
    ledger.client(Role::Cashier).deposit(key, player, asset, Amount(100), 1).await.expect("a deposit");
    (asset, player)
}

fn stake(player: PlayerId, asset: AssetId, amount: u128, expiry: Expiry) -> Operation {
    let (game, session, round) = (GameId::new(1, 7), SessionId::NONE, None);
    let (stake, payout_max) = (Amount(amount), Amount(amount));
    Operation::Reserve { player, asset, stake, payout_max, game, session, round, expiry }
}

#[tokio::test]
async fn the_fake_decides_as_the_ledger_does() {
    let ledger = Fake::new();
    let (asset, player) = casino(&ledger).await;
    let games = ledger.client(Role::Games);
    let bet = games.submit(stake(player, asset, 60, Expiry::Never)).await.expect("a bet");
    assert_eq!(bet.available.map(|held| held.0), Some(40));
    let refused = games.submit(stake(player, asset, 60, Expiry::Never)).await.expect_err("too much");
    assert_eq!(refused.code(), Some(ResultCode::InsufficientFunds));
    let again =
        games.submit_with_id(bet.id, stake(player, asset, 60, Expiry::Never)).await.expect("the same");
    assert!(again.repeated && again.lsn == bet.lsn, "{again:?}");
    let role = ledger.client(Role::Support).submit(stake(player, asset, 1, Expiry::Never)).await;
    assert_eq!(role.expect_err("support changes nothing").code(), Some(ResultCode::RoleNotAllowed));
    let group =
        [10, 50].map(|amount| (games.mint_id(), stake(player, asset, amount, Expiry::Never))).to_vec();
    let codes: Vec<_> =
        games.group(group).await.into_iter().map(|one| one.expect_err("none").code()).collect();
    assert_eq!(codes, [Some(ResultCode::GroupRefused), Some(ResultCode::InsufficientFunds)]);
    let held = games.balances(player, asset).await.expect("balances");
    assert_eq!((held.available.0, held.reserved.0), (40, 60));
    let kinds: Vec<_> = ledger.records().iter().map(|found| found.record.request.kind).collect();
    assert_eq!(kinds[..2], [OperationKind::Configure, OperationKind::OpenAsset]);
    assert_eq!(ledger.look(|state| state.recomputed_sum(asset).0), 0);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_again_under_the_same_id() {
    let ledger = Fake::new();
    let (asset, player) = casino(&ledger).await;
    let games = ledger.client(Role::Games);
    ledger.lose_answers(1);
    let (id, operation) = (games.mint_id(), stake(player, asset, 60, Expiry::Never));
    assert_eq!(games.submit_with_id(id, operation).await, Err(Error::Unknown { id }));
    let found = games.submit_with_id(id, operation).await.expect("it had happened");
    assert!(found.repeated, "{found:?}");
}

#[tokio::test]
async fn the_clock_is_set_forward_and_holds_expire_by_themselves() {
    let ledger = Fake::new();
    let (asset, player) = casino(&ledger).await;
    let games = ledger.client(Role::Games);
    let until = ledger.now().plus_millis(60_000);
    games.submit(stake(player, asset, 60, Expiry::Release(until))).await.expect("a bet");
    ledger.advance(Duration::from_secs(30));
    assert_eq!(games.balances(player, asset).await.expect("balances").reserved.0, 60);
    ledger.advance(Duration::from_secs(31));
    assert_eq!(games.balances(player, asset).await.expect("balances").reserved.0, 0);
    let last = ledger.records().pop().expect("a record").record;
    assert_eq!((last.request.kind, last.role), (OperationKind::Expire, Role::System));
    games.close().await;
    let late = games.submit(stake(player, asset, 1, Expiry::Never)).await;
    assert!(matches!(late, Err(Error::NotTaken { .. })), "{late:?}");
}

#[tokio::test]
async fn what_needs_a_server_says_so() {
    let ledger = Fake::new();
    let client = ledger.client(Role::Auditor);
    let mut feed = client.subscribe(Filter::EVERYTHING, cage_client::engine::Lsn(0));
    assert!(matches!(feed.next().await, Err(FeedError::Connection(_))));
}
