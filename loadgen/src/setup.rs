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

/// The asset's code.
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
    let asset = open_asset(&client(Role::Operator).await?, acks).await?;
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
    let opened =
        each(&client(Role::Frontend).await?, "open a player", options.players, open, acks, progress).await?;
    let mut players = Vec::with_capacity(opened.len());
    for Executed { id, player, .. } in opened {
        let unusable = |_| SetupError::Request { what: "open a player", error: Error::Unknown { id } };
        players.push(PlayerId::new(player).map_err(unusable)?);
    }
    let fund = |index: u32| {
        let key = permanent_key(&[b"loadgen funds", &options.seed.to_le_bytes(), &index.to_le_bytes()]);
        let player = players[index as usize];
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
    each(&client(Role::Cashier).await?, "deposit", options.players, fund, acks, progress).await?;
    players.shuffle(&mut SmallRng::seed_from_u64(options.seed));
    Ok(Stage { asset, players: players.into() })
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

async fn open_asset(client: &Client, acks: &mut Acks) -> Result<AssetId, SetupError> {
    let code = AssetCode::new(ASSET).unwrap_or_else(|| unreachable!("a valid code"));
    let operation = Operation::OpenAsset { code, scale: SCALE, transfers: true, amount_max: AMOUNT_MAX };
    let opened = one(client, "open the asset", operation, acks).await?;
    // Transfers are off until brand and jurisdiction allow them. To say so again changes nothing.
    for (rule, scope) in [(Rule::TransfersInBrand, BRAND), (Rule::TransfersInJurisdiction, JURISDICTION)] {
        let operation = Operation::SetRule { rule, scope: scope.into(), value: 1 };
        one(client, "allow transfers", operation, acks).await?;
    }
    Ok(opened.asset)
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

/// Submits one operation per player, in batches, some of them ahead; under a key or a new id.
async fn each(
    client: &Client,
    what: &'static str,
    players: u32,
    operation: impl Fn(u32) -> (Option<RequestId>, Operation),
    acks: &mut Acks,
    progress: &Progress,
) -> Result<Vec<Executed>, SetupError> {
    let mut executed = Vec::with_capacity(players as usize);
    let mut batches = (0..players).step_by(BATCH as usize);
    let mut ahead = VecDeque::new();
    loop {
        while ahead.len() < BATCHES_AHEAD {
            let Some(first) = batches.next() else { break };
            let operations = (first..players.min(first + BATCH)).map(|index| {
                let (key, operation) = operation(index);
                (key.unwrap_or_else(|| client.mint_id()), operation)
            });
            ahead.push_back(client.submit_batch_with_ids(operations.collect()));
        }
        let Some(batch) = ahead.pop_front() else { break };
        for outcome in batch.await {
            let done = outcome.map_err(|error| SetupError::Request { what, error })?;
            acks.add(done.id, done.lsn, done.code);
            executed.push(done);
        }
        progress.prepared.store(executed.len() as u64, Ordering::Relaxed);
    }
    client.close().await;
    Ok(executed)
}
