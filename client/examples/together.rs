//! Many at once: a batch, in which each stands for itself, and a group, which happens whole or not at all.
//!
//! ```text
//! cargo run -p cage-client --example together -- 195 1
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use cage_client::engine::{Amount, AssetId, Expiry, GameId, Operation, PlayerId, SessionId};
use cage_client::{Client, Config, Credentials};
use clap::Parser;

/// Set stakes aside, many at once
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
    let credentials = Credentials::from_dir(&certs, "games")?;
    let client = Client::connect(Config::new(address), credentials).await?;
    let player = PlayerId::new(player).map_err(|_| "this is no player's number")?;
    let stake = |amount| Operation::Reserve {
        player,
        asset: AssetId(asset),
        stake: Amount(amount),
        payout_max: Amount(2 * amount),
        game: GameId::new(1, 7),
        session: SessionId::NONE,
        round: None,
        expiry: Expiry::Never,
    };

    // One write, one decision after the other, one answer for each.
    for outcome in client.submit_batch(vec![stake(1), stake(2), stake(1_000_000_000_000)]).await {
        match outcome {
            Ok(executed) => println!("batch: record {}", executed.lsn),
            Err(refused) => println!("batch: {refused}"),
        }
    }

    // The last one is refused, and so nothing happens at all.
    let group: Vec<_> =
        [stake(1), stake(2), stake(1_000_000_000_000)].map(|one| (client.mint_id(), one)).to_vec();
    for outcome in client.group(group).await {
        match outcome {
            Ok(executed) => println!("group: record {}", executed.lsn),
            Err(refused) => println!("group: {refused}"),
        }
    }
    client.close().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(Arguments::parse()).await
}
