//! A player's money as it moves: every record of the player, from the beginning on, then live.
//!
//! ```text
//! cargo run -p cage-client --example follow_player -- 195 --records 3
//! ```
//!
//! A lost connection or a restarted server is nothing to care about here: the feed goes on where it was. A program that is itself
//! restarted goes on from the position that it kept.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use cage_client::engine::{AccountId, Lsn, PlayerId, Purse};
use cage_client::{Client, Config, Credentials, FeedEvent, Filter};
use clap::Parser;

/// Follow a player's money
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// The player's number
    pub(crate) player: u64,
    /// The last record that is known already
    #[arg(long, default_value_t = 0)]
    pub(crate) after: u64,
    /// End after so many records
    #[arg(long, default_value_t = u64::MAX)]
    pub(crate) records: u64,
    /// The server's address
    #[arg(long, env = "CAGE_CONNECT", default_value = "127.0.0.1:4710")]
    pub(crate) address: SocketAddr,
    /// The folder with ca.pem and a pair ROLE.pem, ROLE.key per role
    #[arg(long, env = "CAGE_CERTS", default_value = "cage-data/certs")]
    pub(crate) certs: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { player, after, records, address, certs } = arguments;
    let credentials = Credentials::from_dir(&certs, "frontend")?;
    let client = Client::connect(Config::new(address), credentials).await?;
    let player = PlayerId::new(player).map_err(|_| "this is no player's number")?;

    let mut feed = client.subscribe(Filter::EVERYTHING.of_player(player), Lsn(after));
    let mut seen = 0;
    while seen < records {
        match feed.next().await? {
            FeedEvent::Record(found) => {
                seen += 1;
                let request = &found.record.request;
                let account = AccountId::of_player(request.asset, Purse::Available, player);
                let available = found.record.balance_after(account);
                let available = available.map_or_else(String::new, |held| format!(", available {held}"));
                println!("{} {} {}{available}", found.lsn, request.kind.name(), found.record.result.name());
            }
            // Nothing of this player up to here; if it is the log's end, that is all there is.
            FeedEvent::Progress { position, durable } if position == durable => println!("-- up to date"),
            FeedEvent::Progress { .. } => {}
        }
    }
    println!("go on with --after {}", feed.position());
    client.close().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(Arguments::parse()).await
}
