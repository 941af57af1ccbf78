//! What a support page shows of a player: money, open bets with their ages, the latest records.
//!
//! ```text
//! cargo run -p cage-client --example player_page -- 195 1
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use cage_client::engine::{AssetId, PlayerId};
use cage_client::{Client, Config, Credentials, Cursor, Only};
use clap::Parser;

/// Show what is known of a player
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// The player's number
    pub(crate) player: u64,
    /// The asset's number
    pub(crate) asset: u16,
    /// The server's address
    #[arg(long, env = "CAGE_CONNECT", default_value = "127.0.0.1:4710")]
    pub(crate) address: SocketAddr,
    /// The folder with ca.pem and a pair ROLE.pem, ROLE.key per role
    #[arg(long, env = "CAGE_CERTS", default_value = "cage-data/certs")]
    pub(crate) certs: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { player, asset, address, certs } = arguments;
    // Support reads of one player at a time, and changes nothing.
    let credentials = Credentials::from_dir(&certs, "support")?;
    let client = Client::connect(Config::new(address), credentials).await?;
    let player = PlayerId::new(player).map_err(|_| "this is no player's number")?;

    let held = client.balances(player, AssetId(asset)).await?;
    println!("available {}, in open bets {}, as of record {}", held.available, held.reserved, held.as_of);

    let mut only = Only { player: Some(player), ..Only::default() };
    loop {
        let page = client.open_holds(only).await?;
        for hold in &page.items {
            println!("open bet {} of {} since record {}", hold.hold, hold.remaining, hold.opened);
        }
        match page.next {
            Some(next) => only.from = next,
            None => break,
        }
    }

    let latest = client.history(player, Cursor::default()).await?;
    for found in latest.items.iter().take(10) {
        println!("{} {} {}", found.lsn, found.record.request.kind.name(), found.record.result.name());
    }
    client.close().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(Arguments::parse()).await
}
