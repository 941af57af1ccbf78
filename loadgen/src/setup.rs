//! Before the load: the asset, the players, their money.
//!
//! In: credentials of three roles. Out: the asset's and the players' numbers. Known caller ids give known players, so
//! that a second run finds what the first one opened. Never here: a number that the ledger did not hand out.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cage_client::{
    Client, Config, ConnectionError, Credentials, CredentialsError, Error, Executed, permanent_key,
};
use cage_engine::{
    Amount, AssetCode, AssetId, CallerId, Operation, PlayerClass, PlayerId, RequestId, Role, Rule,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use crate::acks::Acks;
use crate::options::Options;
use crate::run::Progress;
use crate::workload::Stage;

/// The first asset's code; the others have a number behind it.
const ASSET: &str = "LOADGEN";
/// The asset's decimal places.
const SCALE: u8 = 2;
/// The most that one operation may name.
const AMOUNT_MAX: Amount = Amount(1 << 60);
/// What each player gets per seed: more than any run loses.
const FUNDS: Amount = Amount(1 << 40);
/// The players' brand.
const BRAND: u16 = 1;
/// The players' jurisdiction.
const JURISDICTION: u16 = 1;
/// The chain that the money comes over.
const CHAIN: u32 = 1;
/// What caller ids begin with: `loadgen` and a zero, then the index.
const CALLER_TAG: u128 = (u64::from_le_bytes(*b"loadgen\0") as u128) << 64;
/// Requests in a batch.
const BATCH: u32 = 1000;
/// Batches on their way at a time.
const BATCHES_AHEAD: usize = 16;
/// How long a request of the setup may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Certificates are missing.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// There is no connection to be had.
    #[error("as {role}: {fault}", role = role.name())]
    Connection {
        /// As whom.
        role: Role,
        /// Why.
        fault: ConnectionError,
    },
    /// The operating system gives no timer.
    #[error("no timer: {0}")]
    Timer(#[from] std::io::Error),
    /// The ledger did not do what was asked.
    #[error("cannot {what}: {error}")]
    Request {
        /// What was asked.
        what: &'static str,
        /// What it said.
        error: Error,
    },
}

/// Sets the stage.
pub(crate) async fn set_stage(
    options: &Options,
    acks: &mut Acks,
    progress: &Progress,
) -> Result<Stage, SetupError> {
    let client = |role| connect(options, role);
    let assets = open_assets(&client(Role::Operator).await?, options.assets, acks).await?;
    let open = |index| {
        (
            None,
            Operation::OpenPlayer {
                caller_id: CallerId(CALLER_TAG | u128::from(index)),
                brand: BRAND,
                jurisdiction: JURISDICTION,
                class: PlayerClass::Test,
            },
        )
    };
    let mut players = Vec::with_capacity(options.players as usize);
    let what = "open a player";
    let frontend = client(Role::Frontend).await?;
    each(&frontend, what, options.players, open, acks, progress, |Executed { id, player, .. }| {
        let unusable = |_| SetupError::Request { what, error: Error::Unknown { id } };
        players.push(PlayerId::new(player).map_err(unusable)?);
        Ok(())
    })
    .await?;
    let fund = |index: u32| {
        let key = permanent_key(&[b"loadgen funds", &options.seed.to_le_bytes(), &index.to_le_bytes()]);
        // One asset after the other, so that the order of the players is that of their numbers.
        let player = players[(index % options.players) as usize];
        let asset = assets[(index / options.players) as usize];
        (
            Some(key),
            Operation::DepositCredit {
                player,
                asset,
                amount: FUNDS,
                chain: CHAIN,
                locked: None,
                turnover: Amount::ZERO,
            },
        )
    };
    let deposits = options.players * options.assets;
    each(&client(Role::Cashier).await?, "deposit", deposits, fund, acks, progress, |_| Ok(())).await?;
    players.shuffle(&mut SmallRng::seed_from_u64(options.seed));
    Ok(Stage { assets: assets.into(), players: players.into() })
}

async fn connect(options: &Options, role: Role) -> Result<Client, SetupError> {
    let mut config = Config::new(options.connect);
    config.server_name.clone_from(&options.server_name);
    config.deadline = DEADLINE;
    // One stream keeps the players in the order of their caller ids.
    config.streams = 1;
    Client::connect(config, credentials(&options.certs, role)?)
        .await
        .map_err(|fault| SetupError::Connection { role, fault })
}

pub(crate) fn credentials(certs: &Path, role: Role) -> Result<Credentials, CredentialsError> {
    Credentials::from_dir(certs, role.name())
}

async fn open_assets(client: &Client, count: u32, acks: &mut Acks) -> Result<Vec<AssetId>, SetupError> {
    let mut assets = Vec::new();
    for number in 1..=count {
        let text = if number == 1 { ASSET.to_owned() } else { format!("{ASSET}{number}") };
        let Some(code) = AssetCode::new(&text) else {
            unreachable!("seven letters and a number of four digits")
        };
        let operation = Operation::OpenAsset { code, scale: SCALE, transfers: true, amount_max: AMOUNT_MAX };
        assets.push(one(client, "open the asset", operation, acks).await?.asset);
    }
    // Transfers are off until brand and jurisdiction allow them. To say so again changes nothing.
    for (rule, scope) in [(Rule::TransfersInBrand, BRAND), (Rule::TransfersInJurisdiction, JURISDICTION)] {
        let operation = Operation::SetRule { rule, scope: scope.into(), value: 1 };
        one(client, "allow transfers", operation, acks).await?;
    }
    Ok(assets)
}

async fn one(
    client: &Client,
    what: &'static str,
    operation: Operation,
    acks: &mut Acks,
) -> Result<Executed, SetupError> {
    let done = client.submit(operation).await.map_err(|error| SetupError::Request { what, error })?;
    acks.add(done.id, done.lsn, done.code);
    Ok(done)
}

/// Submits `count` operations in batches, some of them ahead, under keys or new ids, and hands on what each came to,
/// in their order.
async fn each(
    client: &Client,
    what: &'static str,
    count: u32,
    operation: impl Fn(u32) -> (Option<RequestId>, Operation),
    acks: &mut Acks,
    progress: &Progress,
    mut then: impl FnMut(Executed) -> Result<(), SetupError>,
) -> Result<(), SetupError> {
    let mut executed = 0;
    let mut batches = (0..count).step_by(BATCH as usize);
    let mut ahead = VecDeque::new();
    loop {
        while ahead.len() < BATCHES_AHEAD {
            let Some(first) = batches.next() else { break };
            let operations = (first..count.min(first.saturating_add(BATCH))).map(|index| {
                let (key, operation) = operation(index);
                (key.unwrap_or_else(|| client.mint_id()), operation)
            });
            ahead.push_back(client.submit_batch_with_ids(operations.collect()));
        }
        let Some(batch) = ahead.pop_front() else { break };
        for outcome in batch.await {
            let done = outcome.map_err(|error| SetupError::Request { what, error })?;
            acks.add(done.id, done.lsn, done.code);
            executed += 1;
            then(done)?;
        }
        progress.prepared.store(executed, Ordering::Relaxed);
    }
    client.close().await;
    Ok(())
}
