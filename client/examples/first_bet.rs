//! A first bet: an asset, a player, a deposit, a stake, a win. Each step under the role that may take it.
//!
//! ```text
//! cage serve &
//! cargo run -p cage-client --example first_bet -- 127.0.0.1:4710 cage-data/certs
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use cage_client::engine::{Amount, AssetCode, CallerId, GameId, PlayerClass, RequestId};
use cage_client::{Client, Config, Credentials, permanent_key};
use clap::Parser;

/// A first bet against a running ledger
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// The server's address
    #[arg(env = "CAGE_CONNECT", default_value = "127.0.0.1:4710")]
    pub(crate) address: SocketAddr,
    /// The folder with ca.pem and a pair ROLE.pem, ROLE.key per role
    #[arg(env = "CAGE_CERTS", default_value = "cage-data/certs")]
    pub(crate) certs: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { address, certs } = arguments;
    let connect = async |role: &str| -> Result<Client, Box<dyn Error>> {
        Ok(Client::connect(Config::new(address), Credentials::from_dir(&certs, role)?).await?)
    };

    let operator = connect("operator").await?;
    let code = AssetCode::new("EUR").ok_or("no asset code")?;
    let asset = operator.open_asset(code, 2, false, Amount(100_000_000)).await?;
    println!("asset     {code} has the number {asset}");

    // Any 128 bits that mean nothing to others; the same ones give the same player again.
    let frontend = connect("frontend").await?;
    let caller_id = CallerId(permanent_key(&[b"first bet", b"alice"]).0);
    let player = frontend.open_player(caller_id, 1, 1, PlayerClass::Test).await?;
    println!("player    {player}");

    // The key is a digest of the outside fact: however often it is sent, it is credited once.
    let cashier = connect("cashier").await?;
    let key: RequestId = permanent_key(&[b"bank transfer", &caller_id.0.to_le_bytes(), b"2024-11-23/1"]);
    let deposit = cashier.deposit(key, player, asset, Amount(10_000), 1).await?;
    println!(
        "deposit   100.00 in record {}{}",
        deposit.lsn,
        if deposit.repeated { " (as before)" } else { "" }
    );

    let games = connect("games").await?;
    let bet = games.reserve(player, asset, Amount(500), Amount(1_000), GameId::new(1, 7)).await?;
    println!("reserve     5.00 in record {}; the hold is {}", bet.lsn, bet.id);
    let win = games.settle(player, asset, bet.id, Amount(500), Amount(1_000)).await?;
    println!("settle     10.00 in record {}", win.lsn);

    let held = frontend.balances(player, asset).await?;
    println!(
        "balances  available {}, reserved {}, as of record {}",
        held.available, held.reserved, held.as_of
    );
    for client in [operator, frontend, cashier, games] {
        client.close().await;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(Arguments::parse()).await
}
