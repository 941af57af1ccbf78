//! How a network is configured.
//!
//! In: the text of a file. Out: networks that make sense, or what is wrong with which field. Never here: a secret; keys
//! and passphrases are named by their files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cage_engine::AssetId;
use serde::{Deserialize, Deserializer};

use crate::bridge::Settings;
use crate::deposits::{CoinRule, Finality, Tier};
use crate::ethers::{AddressKey, parse_address};
use crate::limits;
use crate::rpc::Endpoint;
use crate::source::evm::Evm;
use crate::types::{Address, BlockHash, Coin, TransactionId};
use crate::withdrawals::{Bound, Policy};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// The networks that are served, each by a bridge of its own.
    #[serde(default, rename = "network")]
    pub networks: Vec<Network>,
}

/// A network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its number in the ledger: deposits and withdrawals name it.
    pub chain: u32,
    /// Its own number (EIP-155), which every transaction is signed for.
    pub chain_id: u64,
    /// The first block, if every endpoint is to be asked for it.
    pub genesis: Option<BlockHash>,
    /// From which deposit addresses are derived (`xpub…`).
    pub address_key: String,
    /// The first block that can hold a deposit.
    #[serde(default)]
    pub start_height: u64,
    /// How many blocks the network may give up; more stops crediting until somebody has looked.
    pub reorg_max: usize,
    /// How many endpoints have to say the same.
    #[serde(default = "one")]
    pub quorum: usize,
    /// Whether the endpoints trace (`debug_traceBlockByHash`): then what contracts send is found as well.
    #[serde(default)]
    pub traces: bool,
    /// How often the network is asked for its tip, in milliseconds.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
    /// Accounts from which deposits are locked for review.
    #[serde(default)]
    pub suspects: Vec<String>,
    /// The endpoints.
    #[serde(default, rename = "endpoint")]
    pub endpoints: Vec<EndpointConfig>,
    /// The coins.
    #[serde(default, rename = "coin")]
    pub coins: Vec<CoinConfig>,
    /// The wallet that pays; without one nothing is paid.
    pub wallet: Option<WalletConfig>,
}

const fn one() -> usize {
    1
}

const fn poll_ms() -> u64 {
    limits::POLL_EVERY.as_millis() as u64
}

/// An endpoint.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// What it is called in messages.
    pub name: String,
    /// Its address, `http://…` or `https://…`. It is never printed: providers put keys into it.
    pub url: String,
}

impl std::fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EndpointConfig({})", self.name)
    }
}

/// A coin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoinConfig {
    /// The ledger's number of its asset.
    pub asset: u16,
    /// Decimals of the asset in the ledger.
    pub scale: u8,
    /// Decimals on the network; of a token the contract is asked as well.
    pub decimals: u8,
    /// The token's contract; none for the network's own coin.
    pub contract: Option<String>,
    /// Less than that is not credited, in the coin's smallest unit.
    #[serde(default, deserialize_with = "units")]
    pub deposit_min: u128,
    /// The contract keeps a part of what is sent.
    #[serde(default)]
    pub by_balance: bool,
    /// When a deposit counts, and a withdrawal is settled.
    #[serde(rename = "tier")]
    pub tiers: Vec<TierConfig>,
    /// The most that one withdrawal may be, in the coin's smallest unit; without it none is paid.
    #[serde(default, deserialize_with = "units")]
    pub withdraw_max: u128,
    /// The most that all withdrawals of a day may be.
    #[serde(default, deserialize_with = "units")]
    pub withdraw_day_max: u128,
}

/// From which quantity on which finality is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierConfig {
    /// In the coin's smallest unit.
    #[serde(default, deserialize_with = "units")]
    pub from: u128,
    /// `{ confirmations = 12 }`, `"safe"` or `"finalized"`.
    pub finality: Finality,
}

/// The wallet that pays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletConfig {
    /// Its keystore (version 3), when the bridge signs itself.
    pub keystore: Option<PathBuf>,
    /// The file with the keystore's passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// The socket of `cage signer`, when another process signs.
    pub signer: Option<PathBuf>,
    /// The most that is offered for a unit of work, in the network's smallest unit.
    #[serde(deserialize_with = "units")]
    pub fee_max: u128,
    /// After how many blocks a transaction that is in none is replaced.
    pub stuck_blocks: u64,
    /// Transactions of the wallet that people made by hand.
    #[serde(default)]
    pub declared: Vec<TransactionId>,
}

/// Numbers of 128 bits stand in quotes: TOML has none so great.
fn units<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ConfigFault {
    place: String,
    what: String,
}

fn fault(place: impl Into<String>, what: impl ToString) -> ConfigFault {
    ConfigFault { place: place.into(), what: what.to_string() }
}

impl ChainConfig {
    /// Reads the file. Files that it names are sought beside it.
    ///
    /// # Errors
    /// [`ConfigFault`] says which field is wrong, and what is expected.
    pub fn load(path: &Path) -> Result<Self, ConfigFault> {
        let place = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|reason| fault(place(), reason))?;
        let mut config: Self = toml::from_str(&text).map_err(|reason| fault(place(), reason))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        for wallet in config.networks.iter_mut().filter_map(|network| network.wallet.as_mut()) {
            let files = [&mut wallet.keystore, &mut wallet.passphrase_file, &mut wallet.signer];
            files.into_iter().flatten().for_each(|file| *file = folder.join(&*file));
        }
        let numbers: BTreeSet<_> = config.networks.iter().map(|network| network.chain).collect();
        if numbers.len() != config.networks.len() {
            return Err(fault(place(), "two networks have the same number `chain`: each needs its own"));
        }
        config.networks.iter().try_for_each(Network::check)?;
        Ok(config)
    }
}

impl Network {
    fn place(&self, field: &str) -> String {
        format!("network {}: {field}", self.chain)
    }

    fn check(&self) -> Result<(), ConfigFault> {
        if self.endpoints.len() < self.quorum || self.quorum == 0 {
            let what = format!("{} endpoints for a quorum of {}", self.endpoints.len(), self.quorum);
            return Err(fault(self.place("quorum"), what));
        }
        if self.reorg_max == 0 {
            return Err(fault(
                self.place("reorg_max"),
                "0 (expected how many blocks the network may give up)",
            ));
        }
        let zero = |coin: &&CoinConfig| !coin.tiers.iter().any(|tier| tier.from == 0);
        if let Some(coin) = self.coins.iter().find(zero) {
            return Err(fault(self.place(&format!("coin of asset {}", coin.asset)), "no tier from 0"));
        }
        if self.coins.is_empty() {
            return Err(fault(self.place("coin"), "there is none"));
        }
        self.settings().map(|_| ())
    }

    fn address(&self, field: &str, text: &str) -> Result<Address, ConfigFault> {
        parse_address(text).map_err(|reason| fault(self.place(field), reason))
    }

    fn coin(&self, coin: &CoinConfig) -> Result<Coin, ConfigFault> {
        let contract = coin.contract.as_deref();
        contract.map_or(Ok(Coin::Native), |contract| self.address("contract", contract).map(Coin::Token))
    }

    /// What the bridge is set to.
    ///
    /// # Errors
    /// [`ConfigFault`] if a field cannot be read.
    pub fn settings(&self) -> Result<Settings, ConfigFault> {
        let (mut coins, mut bounds, mut refused) = (Vec::new(), Vec::new(), BTreeSet::new());
        for config in &self.coins {
            let coin = self.coin(config)?;
            if let Coin::Token(contract) = coin {
                refused.insert(contract);
            }
            let mut tiers: Vec<_> = config
                .tiers
                .iter()
                .map(|tier| Tier { from_units: tier.from, finality: tier.finality })
                .collect();
            tiers.sort_by_key(|tier| tier.from_units);
            let CoinConfig { asset, scale, decimals, deposit_min, by_balance, .. } = *config;
            let asset = AssetId(asset);
            coins.push(CoinRule {
                coin,
                asset,
                decimals,
                scale,
                deposit_min_units: deposit_min,
                tiers,
                by_balance,
            });
            let (one_max_units, day_max_units) = (config.withdraw_max, config.withdraw_day_max);
            bounds.push(Bound { coin, one_max_units, day_max_units });
        }
        let suspects =
            self.suspects.iter().map(|text| self.address("suspects", text)).collect::<Result<_, _>>()?;
        let wallet = self.wallet.as_ref();
        Ok(Settings {
            chain: self.chain,
            chain_id: self.chain_id,
            start_height: self.start_height,
            reorg_max: self.reorg_max,
            coins,
            address_key: AddressKey::parse(&self.address_key)
                .map_err(|reason| fault(self.place("address_key"), reason))?,
            suspects,
            drill: None,
            policy: Policy {
                bounds,
                refused,
                declared: wallet.map(|wallet| wallet.declared.iter().copied().collect()).unwrap_or_default(),
                fee_max: wallet.map_or(0, |wallet| wallet.fee_max),
                stuck_blocks: wallet.map_or(0, |wallet| wallet.stuck_blocks),
            },
        })
    }

    /// The network by its endpoints. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ConfigFault`] if an endpoint's address cannot be used; it is not told.
    pub fn source(&self) -> Result<Evm, ConfigFault> {
        let one = |config: &EndpointConfig| Endpoint::new(&config.url, &config.name);
        let endpoints: Result<Vec<_>, String> = self.endpoints.iter().map(one).collect();
        let endpoints = endpoints.map_err(|reason| fault(self.place("endpoint"), reason))?;
        Ok(Evm::new(self.chain_id, endpoints, self.quorum)
            .with_genesis(self.genesis)
            .with_traces(self.traces))
    }
}
