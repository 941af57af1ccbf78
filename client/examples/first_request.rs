//! The first request: an asset, a player, money, and a look at it. The readme shows it.
//!
//! ```text
//! cage serve &
//! cargo run -p cage-client --example first_request -- 127.0.0.1:4710 cage-data/certs
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;

use cage_client::engine::{Amount, AssetCode, CallerId, PlayerClass};
use cage_client::{Client, Config, Credentials, permanent_key};

pub(crate) async fn first_request(address: SocketAddr, certs: &Path) -> Result<(), Box<dyn Error>> {
    // What somebody may ask is what the certificate says: each role has its own.
    let connect = async |role: &str| -> Result<Client, Box<dyn Error>> {
        Ok(Client::connect(Config::new(address), Credentials::from_dir(certs, role)?).await?)
    };
    let [operator, frontend, cashier] =
        [connect("operator").await?, connect("frontend").await?, connect("cashier").await?];

    let code = AssetCode::new("EUR").ok_or("no asset code")?;
    let euro = operator.open_asset(code, 2, false, Amount(100_000_000)).await?;
    let alice = frontend.open_player(CallerId(0xa11ce), 1, 1, PlayerClass::Test).await?;

    // 100.00 EUR. The key is a digest of the outside fact: sent twice, or again tomorrow, it is credited once.
    let key = permanent_key(&[b"bank transfer", b"2024-11-23/1"]);
    let deposit = cashier.deposit(key, alice, euro, Amount(10_000), 1).await?;
    println!("durable in record {}; repeated: {}", deposit.lsn, deposit.repeated);
    println!("{:?}", frontend.balances(alice, euro).await?);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("expected the server's address and the folder of certificates");
    first_request(next()?.parse()?, next()?.as_ref()).await
}
