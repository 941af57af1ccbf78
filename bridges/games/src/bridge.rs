//! The bridge as a whole: connects to the ledger, then serves providers.
//!
//! In: a configuration. Out: a server that runs until it is told to stop. Never here: a callback before the grants are
//! had: for each provider one bridge acts at a time.

use std::net::SocketAddr;

use cage_client::engine::ResultCode;
use cage_client::{Client, ConnectionError, Credentials, CredentialsError, Error};

use crate::config::Config;
use crate::http::Server;
use crate::inbound::Desk;
use crate::refusals::Refusals;
use crate::store::{Store, StoreError};

/// Why the bridge does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// Its certificates cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The ledger cannot be reached.
    #[error("the ledger at {address}: {source}")]
    Ledger {
        /// Where it should be.
        address: SocketAddr,
        /// Why.
        source: ConnectionError,
    },
    /// The ledger does not give the right to act for a provider.
    #[error("no grant for provider {provider}: {source}")]
    Grant {
        /// Which.
        provider: String,
        /// Why.
        source: Error,
    },
    /// The store of transactions cannot be used.
    #[error("the store of transactions: {0}")]
    Store(#[from] StoreError),
    /// The address cannot be had, or a file cannot be written.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// A bridge that is ready.
#[derive(Debug)]
pub struct Bridge {
    server: Server,
    client: Client,
}

/// What it says when it is ready.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Where providers call.
    pub address: SocketAddr,
}

impl Bridge {
    /// Connects, takes the grants, listens.
    ///
    /// # Errors
    /// [`BridgeError`] with what is in the way.
    pub async fn start(config: Config) -> Result<(Self, Running), BridgeError> {
        let credentials = Credentials::from_dir(&config.certs, "games")?;
        let address = config.ledger;
        let client = Client::connect(cage_client::Config::new(address), credentials)
            .await
            .map_err(|source| BridgeError::Ledger { address, source })?;
        let store = Store::open(&config.data_dir)?;
        let refusals = Refusals::open(&config.data_dir)?;
        let mut desk = Desk::new(&client, store);
        for provider in config.providers.values() {
            let granted = client.grant(u32::from(provider.number)).await;
            let number =
                granted.map_err(|source| BridgeError::Grant { provider: provider.name.clone(), source })?;
            desk.act_under(provider.number, number);
        }
        let server = Server::bind(config, desk, refusals).await?;
        let running = Running { address: server.local_addr()? };
        Ok((Self { server, client }, running))
    }

    /// Serves until `stop` is done, then answers what it has taken. Needs a local task set around it.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        self.server.run(stop).await;
        self.client.close().await;
    }

    /// Whether an answer of the ledger's says that another bridge has taken this one's place.
    #[must_use]
    pub const fn is_superseded(code: ResultCode) -> bool {
        matches!(code, ResultCode::Fenced)
    }
}
