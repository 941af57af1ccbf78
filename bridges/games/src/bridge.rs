//! The bridge as a whole: connects to the ledger, then serves providers.
//!
//! In: a configuration. Out: a server that runs until it is told to stop. Never here: a callback before the grants are
//! had: for each provider one bridge acts at a time.

use std::net::SocketAddr;
use std::rc::Rc;

use cage_client::{Client, ConnectionError, Credentials, CredentialsError, Error};

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::Admin;
use crate::casino::Casino;
use crate::config::Config;
use crate::fence::Fence;
use crate::http::{Providers, listen};
use crate::inbound::Desk;
use crate::limits::CATCH_UP_TIME_MAX;
use crate::metrics::Metrics;
use crate::outbound::Driver;
use crate::projection::follow;
use crate::refusals::Refusals;
use crate::sessions::Sessions;
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
    /// The log cannot be followed.
    #[error("the log cannot be followed for provider {0}: the lines before say why")]
    Log(String),
    /// Another bridge acts for a provider now: this one was to end.
    #[error("another bridge has taken over provider {0}")]
    Fenced(String),
    /// The address cannot be had, or a file cannot be written.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// A bridge that is ready.
#[derive(Debug)]
pub struct Bridge {
    client: Client,
    /// Those who follow the log, and who watches sessions.
    followers: JoinSet<()>,
    providers: (TcpListener, Rc<Providers>),
    casino: Option<(TcpListener, Rc<Casino>)>,
    admin: Option<(TcpListener, Rc<Admin>)>,
    fence: Fence,
}

/// What it says when it is ready.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Where providers call.
    pub providers: SocketAddr,
    /// Where the casino calls.
    pub casino: Option<SocketAddr>,
    /// Where monitors ask.
    pub admin: Option<SocketAddr>,
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
        let metrics = Rc::new(Metrics::new(&config));
        let fence = Fence::new(Rc::clone(&metrics));
        let silence = config.casino.as_ref().and_then(|casino| casino.silence);
        let sessions = Rc::new(Sessions::open(Rc::clone(&store), silence)?);
        let mut desk = Desk::new(&client, Rc::clone(&store), fence.clone(), Rc::clone(&sessions));
        for provider in config.providers.values() {
            let granted = client.grant(u32::from(provider.number)).await;
            let number =
                granted.map_err(|source| BridgeError::Grant { provider: provider.name.clone(), source })?;
            desk.act_under(provider.number, number);
        }
        let mut followers = follow_all(&config, &desk, &store).await?;
        let (watched, asking) = (Rc::clone(&sessions), client.clone());
        followers.spawn_local(async move { watched.watch(&asking).await });
        let config = Rc::new(config);
        let providers = TcpListener::bind(config.listen).await?;
        let driver = Driver::new(&config, Rc::clone(&store), Rc::clone(&metrics), &fence, |provider| {
            desk.client_for(provider)
        });
        let driver = Rc::new(driver);
        let taken_over = driver.take_over()?;
        let address = providers.local_addr()?;
        let mut running = Running { providers: address, casino: None, admin: None, taken_over };
        let casino = match &config.casino {
            None => None,
            Some(side) => {
                let listener = TcpListener::bind(side.listen).await?;
                running.casino = Some(listener.local_addr()?);
                let bearer = side.bearer.clone();
                let casino = Casino::new(
                    Rc::clone(&config),
                    Rc::clone(&driver),
                    Rc::clone(&store),
                    sessions,
                    client.clone(),
                    bearer,
                );
                Some((listener, Rc::new(casino)))
            }
        };
        let admin = match config.admin {
            None => None,
            Some(listen) => {
                let listener = TcpListener::bind(listen).await?;
                running.admin = Some(listener.local_addr()?);
                let admin = Admin::new(Rc::clone(&config), driver, store, Rc::clone(&metrics));
                Some((listener, Rc::new(admin)))
            }
        };
        let providers = (providers, Rc::new(Providers::new(config, desk, refusals, metrics)));
        Ok((Self { client, followers, providers, casino, admin, fence }, running))
    }

    /// Forgets what the log knows of transactions, so that the next start follows it from its beginning.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    pub fn forget(config: &Config) -> Result<(), StoreError> {
        Store::open(&config.data_dir)?.forget()
    }

    /// Serves until `stop` is done, then answers what it has taken. Needs a local task set around it.
    ///
    /// # Errors
    /// [`BridgeError::Fenced`] if it ended because another bridge has taken a provider over.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), BridgeError> {
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
        let admin = async {
            if let Some((listener, admin)) = self.admin {
                listen(listener, admin, wait()).await;
            }
        };
        let stop = async {
            let fenced = tokio::select! {
                () = stop => None,
                provider = self.fence.fenced() => Some(provider),
            };
            stopping.send_replace(true);
            fenced
        };
        let (listener, providers) = self.providers;
        let (fenced, ..) = tokio::join!(stop, casino, admin, listen(listener, providers, wait()));
        // They hold a connection each, and would never end by themselves.
        self.followers.shutdown().await;
        self.client.close().await;
        fenced.map_or(Ok(()), |provider| Err(BridgeError::Fenced(provider)))
    }
}

/// Follows the log for every provider that calls; comes back when the store has reached the log's end.
async fn follow_all(config: &Config, desk: &Desk, store: &Rc<Store>) -> Result<JoinSet<()>, BridgeError> {
    let mut followers = JoinSet::new();
    let mut waiting = Vec::new();
    for provider in config.providers.values().filter(|provider| provider.outbound.is_none()) {
        let (caught_up, reached) = oneshot::channel();
        let client = desk.client_for(provider.number);
        followers.spawn_local(follow(client, provider.number, Rc::clone(store), caught_up));
        waiting.push((provider.name.clone(), reached));
    }
    for (name, reached) in waiting {
        let reached = timeout(CATCH_UP_TIME_MAX, reached).await;
        if !matches!(reached, Ok(Ok(()))) {
            return Err(BridgeError::Log(name));
        }
    }
    Ok(followers)
}
