//! Async Rust SDK for front-end servers.
//!
//! In: operations, or frames of them. Out: one of four answers for each: *executed*, *refused* with a numbered
//! reason, *not taken*, *unknown: ask again with the same id*. Never here: a rule of the ledger, an endless wait,
//! a second execution.
//!
//! ```text
//!  Client ──> Lane (order of a player) ──> RequestStream ──> Connection ──> Endpoint ──QUIC──> server
//!             Link (reconnects, resends with the same ids)
//!         ──> Feed (durable records, resumes) ──> Pool ──> Connection
//! ```
//!
//! [`Client`] is what a front-end uses. [`Endpoint`], [`Connection`] and [`RequestStream`] are the parts below it,
//! for programs that count nanoseconds.
//!
//! ```no_run
//! use cage_client::{Client, Config, Credentials};
//! use cage_client::engine::{Amount, AssetId, GameId, PlayerId};
//!
//! # async fn bet(player: PlayerId, asset: AssetId) -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = Credentials::from_dir("certs".as_ref(), "games")?;
//! let client = Client::connect(Config::new("127.0.0.1:7100".parse()?), credentials).await?;
//! let bet = client.reserve(player, asset, Amount(100), Amount(200), GameId::new(1, 1)).await?;
//! let paid = client.settle(player, asset, bet.id, Amount(100), Amount(200)).await?;
//! println!("available: {:?}", paid.available);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod checkpoint;
mod client;
mod config;
mod outcome;

mod ids;
mod kept;
mod lane;
mod link;
mod shared;
mod window;

pub mod fake;
mod feed;
mod pool;
mod query;
#[cfg(feature = "tokens")]
pub mod tokens;

mod connection;
mod endpoint;
mod stream;

mod credentials;
mod error;
pub mod limits;

pub use cage_engine as engine;
pub use cage_protocol as protocol;
pub use cage_protocol::{Filter, KindSet};

pub use checkpoint::{BadCheckpoint, CheckpointKey, CheckpointKeyError};
pub use client::{Balances, Client, Submitted, Totals};
pub use config::Config;
pub use connection::Connection;
pub use credentials::{Credentials, CredentialsError, Pair, load_authority, load_pair};
pub use endpoint::Endpoint;
pub use error::ConnectionError;
pub use feed::{Feed, FeedError, FeedEvent, FeedRecord};
pub use ids::permanent_key;
pub use outcome::{Error, Executed};
pub use query::{Cursor, Exposure, Only, OpenHold, OpenRound, Page, QueryError, Receivable};
pub use stream::{ReplyReceiver, RequestSender, RequestStream};
