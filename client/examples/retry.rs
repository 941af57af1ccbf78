//! The one rule of money: the id comes first, and a repeat goes out under the same id until there is an answer.
//!
//! ```text
//! cargo run -p cage-client --example retry -- 195 293 1
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cage_client::engine::{Amount, AssetId, Operation, PlayerId, SessionId};
use cage_client::{Client, Config, Credentials, Error as Outcome, Executed};
use clap::Parser;

/// Send money from a player to another, once
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// Who pays
    pub(crate) from: u64,
    /// Who is paid
    pub(crate) to: u64,
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
    let Arguments { from, to, asset, address, certs } = arguments;
    let credentials = Credentials::from_dir(&certs, "frontend")?;
    let client = Client::connect(Config::new(address), credentials).await?;
    let player = |number| PlayerId::new(number).map_err(|_| "this is no player's number");
    let (from, to) = (player(from)?, player(to)?);
    let operation =
        Operation::Transfer { from, to, asset: AssetId(asset), amount: Amount(5), session: SessionId::NONE };

    // A front-end keeps this id with what its user asked for, before the first attempt.
    let id = client.mint_id();
    let patient = client.with_deadline(Duration::from_secs(2));
    let first = loop {
        match patient.submit_with_id(id, operation).await {
            Ok(executed) => break executed,
            // A rule said no, and under this id it stays so: tell the user why.
            Err(refused @ Outcome::Refused { .. }) => return Err(refused.into()),
            // Not taken, or nobody knows. Whether it happened, the same id finds out.
            Err(open) => println!("{open}"),
        }
    };
    let Executed { lsn, available, .. } = first;
    println!("sent in record {lsn}; left: {}", available.unwrap_or_default());

    let again = client.submit_with_id(id, operation).await?;
    println!("asked again: record {}, {}", again.lsn, if again.repeated { "nothing moved" } else { "moved" });
    client.close().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(Arguments::parse()).await
}
