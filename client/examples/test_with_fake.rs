//! How a program that uses the ledger is tested without a server: a loyalty service that follows settled bets.
//!
//! ```text
//! cargo run -p cage-client --features tokens --example test_with_fake
//! ```
//!
//! The ledger in this process is the real engine. Its feed, its queries and its tokens are those of a server; its clock is set forward
//! rather than waited for, and answers can be lost on purpose.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use cage_client::engine::{
    Amount, AssetCode, CallerId, GameId, Lsn, Operation, OperationKind, PlayerClass, PlayerId, Role,
};
use cage_client::fake::Fake;
use cage_client::tokens::Claims;
use cage_client::{Client, Filter, Only, permanent_key};

/// The program under test: a point for each unit that was staked and settled. It would be the same with a client of a server.
async fn points(client: &Client, bets: usize) -> Result<HashMap<PlayerId, u128>, Box<dyn Error>> {
    let settled = Filter::EVERYTHING.of_kinds(&[OperationKind::Settle]);
    let mut feed = client.subscribe(settled, Lsn(0));
    let mut points = HashMap::new();
    for _ in 0..bets {
        let request = feed.next_record().await?.record.request;
        *points.entry(request.player).or_default() += request.amount.0;
    }
    Ok(points)
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let ledger = Fake::new();
    let code = AssetCode::new("EUR").ok_or("no code")?;
    let asset = ledger.client(Role::Operator).open_asset(code, 2, false, Amount(1_000_000)).await?;
    let frontend = ledger.client(Role::Frontend);
    let player = frontend.open_player(CallerId(1), 1, 1, PlayerClass::Real).await?;
    ledger.client(Role::Cashier).deposit(permanent_key(&[b"one"]), player, asset, Amount(100), 1).await?;

    // A session, for a token as the casino's log-in service signs them.
    let expires = ledger.now().plus_millis(3_600_000);
    let claims = Claims {
        player,
        token: 1,
        not_before: None,
        expires,
        asset: None,
        topup_max: Amount::ZERO,
        game: GameId(0),
    };
    let session = frontend.open_session(ledger.sign(&claims).as_bytes()).await?;
    println!("session {} is open", session.0);

    // An answer that is lost, and found again under the same id.
    let games = ledger.client(Role::Games);
    let bet = games.reserve(player, asset, Amount(30), Amount(60), GameId::new(1, 7)).await?;
    let settle = Operation::Settle { player, asset, hold: bet.id, stake: Amount(30), payout: Amount(60) };
    let id = games.mint_id();
    ledger.lose_answers(1);
    games.submit_with_id(id, settle).await.expect_err("the answer is lost");
    let paid = games.submit_with_id(id, settle).await?;
    println!("paid once: {}, available {:?}", paid.repeated, paid.available);

    assert_eq!(points(&ledger.client(Role::Auditor), 1).await?[&player], 30);
    let open = games.open_holds(Only { player: Some(player), provider: Some(1), ..Only::default() }).await?;
    assert!(open.items.is_empty(), "nothing is left open");

    // An hour later the session has ended by itself.
    ledger.advance(Duration::from_secs(3_600));
    let last = ledger.records().pop().ok_or("no record")?;
    println!("the last record: {}", last.record.request.kind.name());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}
