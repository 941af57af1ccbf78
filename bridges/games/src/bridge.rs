//! The bridge as a whole: connects to the ledger, then serves providers.
//!
//! In: a configuration. Out: a server that runs until it is told to stop. Never here: a callback before the grants are
//! had: for each provider one bridge acts at a time.

use std::net::SocketAddr;
use std::rc::Rc;

use cage_client::{Client, ConnectionError, Credentials, CredentialsError, Error};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::casino::Casino;
use crate::config::Config;
use crate::http::{Providers, listen};
use crate::inbound::Desk;
use crate::outbound::Driver;
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
    client: Client,
    providers: (TcpListener, Rc<Providers>),
    casino: Option<(TcpListener, Rc<Casino>)>,
}

/// What it says when it is ready.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Where providers call.
    pub providers: SocketAddr,
    /// Where the casino calls.
    pub casino: Option<SocketAddr>,
    /// How many bets that an earlier bridge left undone are taken over.
    pub taken_over: usize,
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
        let store = Rc::new(Store::open(&config.data_dir)?);
        let refusals = Refusals::open(&config.data_dir)?;
        let mut desk = Desk::new(&client, Rc::clone(&store));
        for provider in config.providers.values() {
            let granted = client.grant(u32::from(provider.number)).await;
            let number =
                granted.map_err(|source| BridgeError::Grant { provider: provider.name.clone(), source })?;
            desk.act_under(provider.number, number);
        }
        let config = Rc::new(config);
        let providers = TcpListener::bind(config.listen).await?;
        let driver = Rc::new(Driver::new(&config, store, |provider| desk.client_for(provider)));
        let mut running =
            Running { providers: providers.local_addr()?, casino: None, taken_over: driver.take_over()? };
        let casino = match &config.casino {
            None => None,
            Some(side) => {
                let listener = TcpListener::bind(side.listen).await?;
                running.casino = Some(listener.local_addr()?);
                let casino = Casino::new(Rc::clone(&config), driver, client.clone(), side.bearer.clone());
                Some((listener, Rc::new(casino)))
            }
        };
        let providers = (providers, Rc::new(Providers::new(config, desk, refusals)));
        Ok((Self { client, providers, casino }, running))
    }

    /// Serves until `stop` is done, then answers what it has taken. Needs a local task set around it.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let wait = || {
            let mut stopped = stopped.clone();
            async move {
                // Who stops is gone only when it has stopped.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let casino = async {
            if let Some((listener, casino)) = self.casino {
                listen(listener, casino, wait()).await;
            }
        };
        let stop = async {
            stop.await;
            stopping.send_replace(true);
        };
        let (listener, providers) = self.providers;
        tokio::join!(stop, casino, listen(listener, providers, wait()));
        self.client.close().await;
    }
}
