//! The bridges of a configuration, running.
//!
//! In: a configuration, a way to the ledger, a folder. Out: bridges that go on until they are told to stop: through
//! restarts of the ledger, faults of nodes, silence of signers. Never here: a rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cage_client::engine::{Lsn, OperationKind, Record};
use cage_client::{Client, ConnectionError, Error, Feed, FeedError, FeedEvent, Filter};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::bridge::{Bridge, BridgeFault, Turn};
use crate::config::{ChainConfig, ConfigFault, Network, WalletConfig};
use crate::ethers::Key;
use crate::limits;
use crate::signer::{AnySigner, RemoteSigner, SignerFault, passphrase};
use crate::source::ChainSource as _;
use crate::source::evm::Evm;
use crate::store::{Store, StoreFault};
use crate::types::Coin;

/// Why a bridge ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum ServiceFault {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// The ledger cannot be reached at all.
    #[error("the ledger: {0}")]
    Connection(#[from] ConnectionError),
    /// The grant was not given.
    #[error("the ledger gave no grant: {0}")]
    Grant(Error),
    /// The feed ended for good.
    #[error("the ledger's feed: {0}")]
    Feed(#[from] FeedError),
    /// The bridge ended for good.
    #[error(transparent)]
    Bridge(#[from] BridgeFault),
    /// The own file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The wallet's key cannot be used.
    #[error("the wallet: {0}")]
    Wallet(String),
    /// A token is another one than configured.
    #[error(
        "token {contract} has {found:?} decimals (expected {expected}): nothing is credited until the configuration says the same as the contract"
    )]
    Decimals {
        /// Which.
        contract: String,
        /// What the contract says.
        found: Option<u8>,
        /// What the configuration says.
        expected: u8,
    },
    /// The folder cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
}

/// What of the ledger's records a bridge follows.
pub const KINDS: [OperationKind; 11] = [
    OperationKind::SetRule,
    OperationKind::AssignAddress,
    OperationKind::DepositCredit,
    OperationKind::DepositReverse,
    OperationKind::WithdrawRequest,
    OperationKind::WithdrawApprove,
    OperationKind::WithdrawSigned,
    OperationKind::WithdrawSettle,
    OperationKind::WithdrawCancel,
    OperationKind::WithdrawRelease,
    OperationKind::Grant,
];

/// For drills: names the point of a payment at which the process kills itself.
const DRILL: &str = "CAGE_CHAIN_DRILL";
/// Records that are taken in at a time: one write of the file for all of them.
const RECORDS_AT_ONCE: usize = 1024;

/// Runs the bridges of a configuration until `stop` says so, or one of them ends for good. `folder` keeps their files.
///
/// # Errors
/// [`ServiceFault`] of the first that ends.
pub async fn run(
    config: &ChainConfig,
    client: &Client,
    folder: &Path,
    stop: &watch::Receiver<bool>,
) -> Result<(), ServiceFault> {
    fs::create_dir_all(folder).map_err(|reason| ServiceFault::Folder { path: folder.to_owned(), reason })?;
    let mut bridges = Vec::new();
    for network in &config.networks {
        bridges.push(Box::pin(one(network, client, folder, stop.clone())));
    }
    // They share the thread: none of them does anything that takes long.
    all_or_first(bridges).await
}

/// Waits for all of them, or for the first that fails.
async fn all_or_first<F: Future<Output = Result<(), ServiceFault>> + Unpin>(
    mut all: Vec<F>,
) -> Result<(), ServiceFault> {
    std::future::poll_fn(|context| {
        let mut place = 0;
        while place < all.len() {
            match std::pin::Pin::new(&mut all[place]).poll(context) {
                std::task::Poll::Ready(Ok(())) => drop(all.swap_remove(place)),
                std::task::Poll::Ready(Err(fault)) => return std::task::Poll::Ready(Err(fault)),
                std::task::Poll::Pending => place += 1,
            }
        }
        if all.is_empty() { std::task::Poll::Ready(Ok(())) } else { std::task::Poll::Pending }
    })
    .await
}

/// A bridge from its start to its end.
async fn one(
    network: &Network,
    client: &Client,
    folder: &Path,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServiceFault> {
    let source = network.source()?;
    let stopped = async |stop: &mut watch::Receiver<bool>| drop(stop.wait_for(|stop| *stop).await);
    tokio::select! {
        ready = ready(network, &source) => ready?,
        () = stopped(&mut stop) => return Ok(()),
    }
    let signer = match &network.wallet {
        Some(wallet) => Some(signer(wallet).await?),
        None => None,
    };
    let store = Store::open(&folder.join(format!("chain-{}.redb", network.chain)))?;
    let grant = client.grant(network.chain).await.map_err(ServiceFault::Grant)?;
    let mut settings = network.settings()?;
    settings.drill = std::env::var(DRILL).ok().and_then(|point| point.parse().ok());
    let bridge = Bridge::open(source, client.with_grant(grant), signer, store, settings)?;
    let feed = client.subscribe(Filter::EVERYTHING.of_kinds(&KINDS), bridge.position());
    let poll = Duration::from_millis(network.poll_ms);
    tracing::info!(chain = network.chain, chain_id = network.chain_id, grant, "the chain is followed");
    tokio::select! {
        ended = follow(bridge, feed, poll) => ended,
        () = stopped(&mut stop) => Ok(()),
    }
}

/// Waits until the endpoints are of this chain, and tokens are what the configuration says.
async fn ready(network: &Network, source: &Evm) -> Result<(), ServiceFault> {
    let mut pause = limits::PAUSE_MIN;
    loop {
        match ready_now(network, source).await {
            Ok(done) => return done,
            Err(fault) => {
                tracing::error!(chain = network.chain, "{fault}: nothing is credited until this is well")
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(limits::PAUSE_MAX);
    }
}

async fn ready_now(network: &Network, source: &Evm) -> Result<Result<(), ServiceFault>, crate::rpc::Fault> {
    source.check().await?;
    let Ok(settings) = network.settings() else { return Ok(Ok(())) };
    for rule in settings.coins {
        let Coin::Token(contract) = rule.coin else { continue };
        let found = source.token(contract).await?.decimals;
        if found != Some(rule.decimals) {
            let (contract, expected) = (contract.to_string(), rule.decimals);
            return Ok(Err(ServiceFault::Decimals { contract, found, expected }));
        }
    }
    Ok(Ok(()))
}

/// The wallet's signer, as configured.
///
/// # Errors
/// [`ServiceFault::Wallet`] if the key cannot be opened. A signer of its own that is not there is waited for.
async fn signer(wallet: &WalletConfig) -> Result<AnySigner, ServiceFault> {
    if let Some(socket) = &wallet.signer {
        loop {
            match RemoteSigner::connect(socket).await {
                Ok(signer) => return Ok(AnySigner::There(signer)),
                Err(fault @ (SignerFault::NoAnswer(_) | SignerFault::Refused(_))) => {
                    tracing::error!("{fault}")
                }
            }
            sleep(limits::PAUSE_MAX).await;
        }
    }
    let (Some(keystore), Some(file)) = (wallet.keystore.clone(), wallet.passphrase_file.clone()) else {
        let expected = "expected `signer`, or `keystore` and `passphrase_file`";
        return Err(ServiceFault::Wallet(format!("there is neither a signer nor a keystore ({expected})")));
    };
    let opened = tokio::task::spawn_blocking(move || {
        let passphrase = passphrase(&file)?;
        Key::open(&keystore, &passphrase).map_err(|fault| fault.to_string())
    });
    let key = opened.await.map_err(|fault| ServiceFault::Wallet(fault.to_string()))?;
    key.map(AnySigner::Here).map_err(ServiceFault::Wallet)
}

/// Records that came from the feed and are not taken in yet.
struct Inbox {
    feed: Feed,
    records: Vec<Record>,
}

impl Inbox {
    /// Waits for the feed to say something.
    async fn more(&mut self) -> Result<(), FeedError> {
        if let FeedEvent::Record(record) = self.feed.next().await? {
            self.records.push(record.record);
        }
        Ok(())
    }

    /// Takes everything up to this position in.
    async fn up_to(
        &mut self,
        needed: Lsn,
        bridge: &mut Bridge<Evm, Client, AnySigner>,
    ) -> Result<(), ServiceFault> {
        while self.feed.position() < needed {
            self.more().await?;
            if self.records.len() >= RECORDS_AT_ONCE {
                bridge.take(&std::mem::take(&mut self.records), self.feed.position())?;
            }
        }
        Ok(bridge.take(&std::mem::take(&mut self.records), self.feed.position())?)
    }
}

/// Turns, for ever.
async fn follow(
    mut bridge: Bridge<Evm, Client, AnySigner>,
    feed: Feed,
    poll: Duration,
) -> Result<(), ServiceFault> {
    let mut inbox = Inbox { feed, records: Vec::new() };
    let mut pause = limits::PAUSE_MIN;
    loop {
        match bridge.turn().await {
            Ok(Turn::NeedsLedger(position)) => inbox.up_to(position, &mut bridge).await?,
            Ok(Turn::Busy) => {}
            // Whatever comes first: a record that may ask for something, or the time to look at the chain.
            Ok(Turn::Idle) => {
                pause = limits::PAUSE_MIN;
                match timeout(poll, inbox.more()).await {
                    Ok(event) => event?,
                    Err(_) => continue,
                }
            }
            Err(fault) if fault.is_final() => return Err(fault.into()),
            Err(fault) => {
                tracing::warn!("{fault}");
                sleep(pause).await;
                pause = (pause * 2).min(limits::PAUSE_MAX);
            }
        }
    }
}
