//! The chain bridges inside the server: a thread and a runtime of their own, and the same wire as everybody else.
//!
//! In: a configuration, the server's own address and certificates. Out: bridges that run until they are stopped. Never
//! here: the ledger's memory; a fault of a bridge is told, and the ledger goes on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::{fmt, io, thread};

use cage_chain::config::ChainConfig;
use cage_chain::service::{self, ServiceFault};
use cage_client::{Client, Config, Credentials, CredentialsError};
use tokio::sync::watch;

/// Where and as whom the bridges run.
#[derive(Clone, Debug)]
pub struct Place {
    /// The ledger.
    pub address: SocketAddr,
    /// The folder with `ca.pem`, `chain.pem`, `chain.key`.
    pub certs: PathBuf,
    /// Where their files are kept.
    pub folder: PathBuf,
}

/// Why bridges ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum ChainFault {
    /// The certificates cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The operating system refused.
    #[error("the bridges cannot run: {0}")]
    System(#[from] io::Error),
    /// A bridge ended.
    #[error(transparent)]
    Service(#[from] ServiceFault),
}

/// Bridges on a thread of their own.
pub struct ChainBridges {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for ChainBridges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainBridges")
    }
}

/// An address that this machine can be reached at by itself, for one that it listens on.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match listen {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    if listen.ip().is_unspecified() { SocketAddr::new(loopback, listen.port()) } else { listen }
}

/// Runs bridges on this thread until they are stopped or one ends for good.
///
/// # Errors
/// [`ChainFault`] says why.
pub fn run(config: &ChainConfig, place: &Place, stop: &watch::Receiver<bool>) -> Result<(), ChainFault> {
    let credentials = Credentials::from_dir(&place.certs, "chain")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let client = Client::connect(Config::new(reachable(place.address)), credentials).await;
        let client = client.map_err(ServiceFault::from)?;
        let ended = service::run(config, &client, &place.folder, stop).await;
        // What was asked for has been answered, or is asked for again at the next start.
        client.close().await;
        ended
    });
    // A question to a node may still be under way; nobody waits for its answer.
    runtime.shutdown_background();
    Ok(ended?)
}

impl ChainBridges {
    /// Starts them.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(config: ChainConfig, place: Place) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let body = move || match run(&config, &place, &stopped) {
            Ok(()) => tracing::info!("the chain bridges have stopped"),
            Err(fault) => tracing::error!("a chain bridge ended, no chain is served any more: {fault}"),
        };
        let thread = thread::Builder::new().name("chain".to_owned()).spawn(body)?;
        Ok(Self { stop, thread })
    }

    /// What tells them to stop.
    #[must_use]
    pub fn stopper(&self) -> watch::Sender<bool> {
        self.stop.clone()
    }

    /// Stops them; returns when they have.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        // A panic in there was told by its hook, and concerns nobody else.
        let _ = self.thread.join();
    }
}
