//! The ledger in the process: it decides with the real engine, keeps time that can be set, and loses answers when it is told to.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use cage_client::engine::{
    Amount, AssetCode, AssetId, CallerId, Expiry, GameId, Lsn, Operation, OperationKind, PlayerClass,
    PlayerId, Reference, ResultCode, Role, SessionId,
};
use cage_client::fake::Fake;
use cage_client::protocol::query::{Query, QueryKind};
use cage_client::protocol::seek::List;
use cage_client::tokens::{Claims, Signer};
use cage_client::{Cursor, Error, FeedError, FeedEvent, Filter, Only, QueryError, permanent_key};

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
async fn a_subscriber_is_told_each_record_of_its_filter_once_and_waits_for_the_next() {
    let ledger = Fake::new();
    let (asset, player) = casino(&ledger).await;
    let games = ledger.client(Role::Games);
    let mut feed = games.subscribe(Filter::EVERYTHING.of_provider(1), Lsn(0));
    let until = ledger.now().plus_millis(60_000);
    let bet = games.submit(stake(player, asset, 60, Expiry::Release(until))).await.expect("a bet");
    let place = ledger.records().len() as u64;
    assert_eq!(feed.next().await.expect("it stands"), progress(0, place));
    assert_eq!(feed.next_record().await.expect("the bet").lsn, bet.lsn);
    assert_eq!(feed.next().await.expect("that is all"), progress(place, place));
    {
        let mut next = std::pin::pin!(feed.next());
        let nothing = std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
        assert!(nothing.is_pending(), "nothing is told before it happens");
    }
    ledger.advance(Duration::from_secs(61));
    let ended = feed.next_record().await.expect("the end of the bet");
    assert_eq!((ended.lsn, ended.record.request.kind), (bet.lsn.next(), OperationKind::Expire));

    // What is of no provider is told to whoever follows everything, from where it left off.
    let mut all = ledger.client(Role::Auditor).subscribe(Filter::EVERYTHING, Lsn(2));
    let mut told = Vec::new();
    while all.position() < ended.lsn {
        if let FeedEvent::Record(found) = all.next().await.expect("the feed goes on") {
            told.push(found);
        }
    }
    assert_eq!(told, ledger.records()[2..]);
}

const fn progress(position: u64, durable: u64) -> FeedEvent {
    FeedEvent::Progress { position: Lsn(position), durable: Lsn(durable) }
}

#[tokio::test]
async fn whoever_may_not_follow_or_ask_at_a_server_may_not_here() {
    let ledger = Fake::new();
    let (_, player) = casino(&ledger).await;
    let support = ledger.client(Role::Support);
    let mut all = support.subscribe(Filter::EVERYTHING, Lsn(0));
    assert!(matches!(all.next().await, Err(FeedError::NotAllowed { .. })));
    assert!(matches!(all.next().await, Err(FeedError::NotAllowed { .. })), "and it stays so");
    let mut one = support.subscribe(Filter::EVERYTHING.of_player(player), Lsn(0));
    assert!(one.next().await.is_ok());
    let mut ahead = support.subscribe(Filter::EVERYTHING.of_player(player), Lsn(1_000));
    assert!(matches!(ahead.next().await, Err(FeedError::Ahead { after: Lsn(1_000), .. })));
    let owed = ledger.client(Role::Games).receivables(Only { provider: Some(1), ..Only::default() }).await;
    assert!(matches!(owed, Err(QueryError::NotAllowed { .. })), "{owed:?}");
}

#[tokio::test]
async fn queries_are_answered_page_by_page_in_the_order_of_a_server() {
    let ledger = Fake::new();
    let (asset, player) = casino(&ledger).await;
    let games = ledger.client(Role::Games);
    let mut bets = Vec::new();
    for _ in 0..60 {
        bets.push(games.submit(stake(player, asset, 1, Expiry::Never)).await.expect("a bet"));
    }
    games.settle(player, asset, bets[0].id, Amount(1), Amount(1)).await.expect("it is settled");
    let support = ledger.client(Role::Support);
    let found = support.open_holds(Only { player: Some(player), ..Only::default() }).await.expect("holds");
    let (holds, opened): (Vec<_>, Vec<_>) = found.items.iter().map(|hold| (hold.hold, hold.opened)).unzip();
    assert_eq!(holds, bets[1..].iter().map(|bet| bet.id).collect::<Vec<_>>(), "the oldest first");
    assert_eq!(opened[0], bets[1].lsn);
    assert_eq!((found.next, found.as_of), (None, Lsn(ledger.records().len() as u64)));
    let record = ledger.records()[bets[1].lsn.0 as usize - 1].record;
    assert_eq!(found.items[0].opened_at, record.decided);

    let auditor = ledger.client(Role::Auditor);
    let decided = auditor.operation(bets[7].id).await.expect("a look-up");
    assert_eq!(decided, [ledger.records()[bets[7].lsn.0 as usize - 1]]);
    let (mut from, mut history) = (Cursor::default(), Vec::new());
    loop {
        let page = auditor.history(player, from).await.expect("a page");
        history.extend(page.items.into_iter().map(|found| found.lsn));
        let Some(next) = page.next else { break };
        from = next;
    }
    let of_player = ledger.records().into_iter().rev().filter(|found| found.record.request.player == player);
    assert_eq!(history, of_player.map(|found| found.lsn).collect::<Vec<_>>(), "the latest first");
    let exposed = auditor.exposures(Only::default()).await.expect("exposures").items;
    assert_eq!((exposed.len(), exposed[0].amount), (1, Amount(59)));
}

/// A page of a list that lies in its order looks at what it tells and at no more, however many others there are.
#[tokio::test]
async fn a_page_of_what_players_owe_looks_at_no_more_than_it_tells() {
    let ledger = Fake::new();
    let (asset, first) = casino(&ledger).await;
    let (frontend, cashier) = (ledger.client(Role::Frontend), ledger.client(Role::Cashier));
    let mut players = vec![first];
    for caller in 2..=300 {
        players
            .push(frontend.open_player(CallerId(caller), 1, 1, PlayerClass::Real).await.expect("a player"));
    }
    for (place, player) in players.iter().enumerate() {
        let key = permanent_key(&[b"taken back", &place.to_le_bytes()]);
        let deposit = cashier.deposit(key, *player, asset, Amount(7), 1).await.expect("a deposit");
        ledger
            .client(Role::Games)
            .reserve(*player, asset, Amount(7), Amount(7), GameId::new(1, 7))
            .await
            .expect("a bet");
        let back = Operation::Chargeback {
            player: *player,
            asset,
            amount: Amount(7),
            deposit: Reference(deposit.id.0),
            chain: 1,
            reason: 1,
        };
        cashier
            .submit_with_id(permanent_key(&[b"back", &place.to_le_bytes()]), back)
            .await
            .expect("a chargeback");
    }
    let owing = &players[1..];
    let auditor = ledger.client(Role::Auditor);
    let page = auditor.receivables(Only::default()).await.expect("a page");
    assert_eq!(page.items.iter().map(|owed| owed.player).collect::<Vec<_>>(), owing[..256]);
    let rest = auditor.receivables(Only { from: page.next.expect("more"), ..Only::default() }).await;
    assert_eq!(
        rest.expect("the rest").items.iter().map(|owed| owed.player).collect::<Vec<_>>(),
        owing[256..]
    );
    let one = auditor.receivables(Only { player: Some(players[200]), ..Only::default() }).await.expect("one");
    assert_eq!((one.items.len(), one.items[0].amount, one.next), (1, Amount(7), None));

    let three = Query { limit: 3, ..Query::new(QueryKind::Receivables) };
    let told = ledger.look(|state| {
        let mut list = List::new(three);
        assert!(list.look(state, 4), "a row more than is told says that there is more");
        list.into_page(Lsn(0))
    });
    assert_eq!((told.rows.len(), told.more), (3, true));
    let of_last = Query { player: players.last().copied(), ..three };
    let told = ledger.look(|state| {
        let mut list = List::new(of_last);
        assert!(list.look(state, 1), "one look");
        list.into_page(Lsn(0))
    });
    assert_eq!((told.rows.len(), told.more), (1, false));
}

#[tokio::test]
async fn a_session_is_opened_once_for_a_token_that_the_casino_signed_and_for_no_other() {
    let ledger = Fake::new();
    let (asset, player) = casino(&ledger).await;
    let claims = Claims {
        player,
        token: 7,
        not_before: None,
        expires: ledger.now().plus_millis(60_000),
        asset: Some(asset),
        topup_max: Amount(50),
        game: GameId(0),
    };
    let (token, frontend) = (ledger.sign(&claims), ledger.client(Role::Frontend));
    let session = frontend.open_session(token.as_bytes()).await.expect("a session");
    assert_eq!(
        frontend.open_session(token.as_bytes()).await,
        Ok(session),
        "the same token, the same session"
    );
    let bet = Operation::Reserve {
        player,
        asset,
        stake: Amount(30),
        payout_max: Amount(30),
        game: GameId::new(1, 7),
        session,
        round: None,
        expiry: Expiry::Never,
    };
    frontend.submit(bet).await.expect("the meter is topped up");

    let stranger = Signer::generate("fake").expect("a key").sign(&claims);
    for (what, token) in [("no key of ours", stranger.as_str()), ("no token", "v4.public.x")] {
        let refused = frontend.open_session(token.as_bytes()).await.expect_err(what);
        assert_eq!(refused.code(), Some(ResultCode::TokenInvalid), "{what}");
    }
    let support = ledger.client(Role::Support).open_session(token.as_bytes()).await;
    assert_eq!(support.expect_err("not theirs").code(), Some(ResultCode::RoleNotAllowed));
    let late = ledger.sign(&Claims { token: 8, ..claims });
    ledger.advance(Duration::from_secs(61));
    let late = frontend.open_session(late.as_bytes()).await.expect_err("its time has passed");
    assert_eq!(late.code(), Some(ResultCode::TokenInvalid));
}
