//! What the bridge is told: where it listens, where the ledger is, and its providers.
//!
//! In: a TOML file. Out: values that were checked. Secrets are in files of their own, which it names. Never here: a
//! secret in a message, a provider whose currency has two scales.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use cage_engine::{AssetId, GameId};
use serde::Deserialize;

use crate::limits::PROVIDER_TIME;
use crate::money::Scale;
use crate::signature::{KeyFault, RsaSigner, RsaVerifier, SharedSecret};

/// Why a configuration does not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML of this form.
    #[error("{path}: {source}", path = path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Where, and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A key does not do.
    #[error("{path}: {source}", path = path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyFault,
    },
    /// A value does not do.
    #[error("{what}: {expected}")]
    Value {
        /// Where it stands.
        what: String,
        /// What was expected there.
        expected: &'static str,
    },
}

/// Which formats a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The neutral HTTP API of an aggregator.
    Pam,
    /// RSA over the raw body, value times 100,000.
    Hub88,
    /// Lists of actions, HMAC over the raw body.
    Softswiss,
    /// One bet at a time, sent out to the provider.
    Rgs,
}

/// What a provider is shown as the player's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// What is on the session's credit meter, and nothing else.
    Allowance,
    /// The player's balance, or a bound if that is less.
    Capped(u128),
    /// The player's balance.
    Balance,
    /// Always 0.
    Zero,
}

/// How a provider proves that it is the one.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Its public key.
    Rsa(RsaVerifier),
    /// A secret of both.
    Secret(SharedSecret),
    /// A bearer token, as its SHA-256 would be compared: in constant time.
    Bearer(Bearer),
}

/// How a provider is called.
#[derive(Clone)]
pub struct Outbound {
    /// Where.
    pub address: SocketAddr,
    /// With which bearer token.
    pub bearer: String,
    /// How long it has for an answer.
    pub answer_time: Duration,
    /// Whether a bet may be sent again under its id.
    pub repeats: bool,
    /// The most that a bet can pay, in hundredths of its stake.
    pub win_max_hundredths: u64,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A bearer token.
#[derive(Clone)]
pub struct Bearer(pub Vec<u8>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer")
    }
}

/// A provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name, which begins the path of its callbacks.
    pub name: String,
    /// Its number in the ledger: the upper 12 bits of its games.
    pub number: u16,
    /// What it speaks.
    pub format: Format,
    /// How it proves that it is the one.
    pub credential: Credential,
    /// What it is shown.
    pub disclosure: Disclosure,
    /// Whether a bet that has won is undone all the same when the provider asks for it.
    pub reverse_settled: bool,
    /// Its names for games, and our numbers.
    pub games: BTreeMap<String, u32>,
    /// Which of the currencies it may name.
    pub currencies: BTreeMap<String, Currency>,
    /// The number of its jackpot, in the lower 20 bits.
    pub jackpot: u32,
    /// How it is called, if it is one that is called.
    pub outbound: Option<Outbound>,
    /// Where its games are played: `{token}`, `{game}` and `{currency}` are filled in.
    pub launch_url: Option<String>,
}

impl Provider {
    /// The game of this name.
    #[must_use]
    pub fn game(&self, name: &str) -> Option<GameId> {
        self.games.get(name).map(|number| GameId::new(self.number, *number))
    }

    /// A game of this provider's of which no more is known.
    #[must_use]
    pub const fn any_game(&self) -> GameId {
        GameId::new(self.number, 0)
    }

    /// The provider's jackpot.
    #[must_use]
    pub const fn pool(&self) -> u32 {
        (self.number as u32) << 20 | (self.jackpot & 0xf_ffff)
    }
}

/// A currency: an asset of the ledger under the name that providers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency {
    /// Which asset.
    pub asset: AssetId,
    /// How its smallest unit stands to the usual one. As the asset was opened with; a wrong one is a wrong price of
    /// everything.
    pub scale: Scale,
}

/// Everything that the bridge is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where providers call.
    pub listen: SocketAddr,
    /// Where the ledger is.
    pub ledger: SocketAddr,
    /// The folder with `ca.pem`, `games.pem` and `games.key`.
    pub certs: PathBuf,
    /// The folder of the bridge's own files: transactions, refused callbacks.
    pub data_dir: PathBuf,
    /// What session tokens for providers are made with.
    pub token_secret: SharedSecret,
    /// The providers by name.
    pub providers: BTreeMap<String, Provider>,
    /// The casino's own side, if there is one.
    pub casino: Option<CasinoSide>,
    /// Where monitors ask, if they do.
    pub admin: Option<SocketAddr>,
}

/// Where the casino itself calls.
#[derive(Clone)]
pub struct CasinoSide {
    /// The address: not one that others can reach.
    pub listen: SocketAddr,
    /// With which bearer token.
    pub bearer: Vec<u8>,
    /// How long a session that was launched may be silent before it is ended; nothing if for ever.
    pub silence: Option<Duration>,
}

impl std::fmt::Debug for CasinoSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CasinoSide").field("listen", &self.listen).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasinoText {
    listen: SocketAddr,
    key_file: PathBuf,
    /// In seconds.
    silence_max_s: Option<NonZeroU64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigText {
    listen: SocketAddr,
    ledger: SocketAddr,
    certs: PathBuf,
    data_dir: PathBuf,
    token_secret_file: PathBuf,
    currencies: BTreeMap<String, CurrencyText>,
    providers: BTreeMap<String, ProviderText>,
    casino: Option<CasinoText>,
    admin: Option<SocketAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CurrencyText {
    asset: u16,
    scale: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderText {
    number: u16,
    format: Format,
    /// A file with the provider's public key (PEM), the shared secret or the bearer token.
    key_file: PathBuf,
    #[serde(default = "allowance")]
    report: String,
    /// With `report = "capped"`: the bound, in the asset's smallest unit.
    report_max: Option<u128>,
    #[serde(default)]
    reverse_settled: bool,
    games: BTreeMap<String, u32>,
    /// Those of the currencies that it may name; all if it is not said.
    currencies: Option<Vec<String>>,
    #[serde(default = "one")]
    jackpot: u32,
    launch_url: Option<String>,
    /// With `format = "rgs"`: where it is called.
    address: Option<SocketAddr>,
    answer_time_ms: Option<u64>,
    #[serde(default)]
    repeats: bool,
    win_max_hundredths: Option<u64>,
}

fn allowance() -> String {
    "allowance".to_owned()
}

const fn one() -> u32 {
    1
}

fn text(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

fn secret(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let text = text(path)?;
    let secret = text.trim();
    if secret.len() < 12 {
        let what = path.display().to_string();
        return Err(ConfigError::Value { what, expected: "a secret of at least 12 letters" });
    }
    Ok(secret.as_bytes().to_vec())
}

/// A public key of a provider, from its file.
fn public_key(path: &Path) -> Result<RsaVerifier, ConfigError> {
    RsaVerifier::from_pem(&text(path)?).map_err(|source| ConfigError::Key { path: path.to_owned(), source })
}

/// Our own private key, from its file.
///
/// # Errors
/// [`ConfigError`] if there is none in it.
pub fn private_key(path: &Path) -> Result<RsaSigner, ConfigError> {
    RsaSigner::from_pem(&text(path)?).map_err(|source| ConfigError::Key { path: path.to_owned(), source })
}

impl Config {
    /// Reads the file. Paths in it are from the folder it lies in.
    ///
    /// # Errors
    /// [`ConfigError`] with the file, the place in it and what was expected.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let form = |source| ConfigError::Form { path: path.to_owned(), source: Box::new(source) };
        let told: ConfigText = toml::from_str(&text(path)?).map_err(form)?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let currencies = currencies(&told.currencies)?;
        let mut providers = BTreeMap::new();
        for (name, provider) in told.providers {
            let provider = provider.checked(&name, folder, &currencies)?;
            if providers.values().any(|other: &Provider| other.number == provider.number) {
                return Err(wrong(&name, "number", "a number that no other provider has"));
            }
            providers.insert(name, provider);
        }
        let casino = told.casino.map(|casino| {
            let bearer = secret(&folder.join(casino.key_file))?;
            let silence = casino.silence_max_s.map(|seconds| Duration::from_secs(seconds.get()));
            Ok::<_, ConfigError>(CasinoSide { listen: casino.listen, bearer, silence })
        });
        Ok(Self {
            casino: casino.transpose()?,
            admin: told.admin,
            listen: told.listen,
            ledger: told.ledger,
            certs: folder.join(told.certs),
            data_dir: folder.join(told.data_dir),
            token_secret: SharedSecret::new(&secret(&folder.join(told.token_secret_file))?),
            providers,
        })
    }
}

fn currencies(told: &BTreeMap<String, CurrencyText>) -> Result<BTreeMap<String, Currency>, ConfigError> {
    let mut currencies: BTreeMap<String, Currency> = BTreeMap::new();
    for (name, CurrencyText { asset, scale }) in told {
        if *asset == 0 || *scale > cage_engine::operation::SCALE_MAX {
            let what = format!("currencies.{name}");
            return Err(ConfigError::Value {
                what,
                expected: "an asset of the ledger and its scale, 0 to 30",
            });
        }
        let currency = Currency { asset: AssetId(*asset), scale: Scale(*scale) };
        let twin = currencies.values().find(|other| other.asset == currency.asset);
        if twin.is_some_and(|other| other.scale != currency.scale) {
            let what = format!("currencies.{name}");
            return Err(ConfigError::Value { what, expected: "one scale for one asset" });
        }
        currencies.insert(name.clone(), currency);
    }
    Ok(currencies)
}

fn wrong(provider: &str, field: &str, expected: &'static str) -> ConfigError {
    ConfigError::Value { what: format!("providers.{provider}.{field}"), expected }
}

impl ProviderText {
    fn checked(
        self,
        name: &str,
        folder: &Path,
        currencies: &BTreeMap<String, Currency>,
    ) -> Result<Provider, ConfigError> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err(wrong(name, "name", "letters, digits, - and _"));
        }
        if !(1..0x1000).contains(&self.number) {
            return Err(wrong(name, "number", "1 to 4095"));
        }
        if self.games.values().any(|number| !(1..0x10_0000).contains(number)) {
            return Err(wrong(name, "games", "numbers from 1 to 1048575"));
        }
        let disclosure = match (self.report.as_str(), self.report_max) {
            ("allowance", None) => Disclosure::Allowance,
            ("capped", Some(most)) => Disclosure::Capped(most),
            ("balance", None) => Disclosure::Balance,
            ("zero", None) => Disclosure::Zero,
            _ => {
                let expected = "allowance, balance, zero, or capped with report_max";
                return Err(wrong(name, "report", expected));
            }
        };
        let path = folder.join(&self.key_file);
        let credential = match self.format {
            Format::Hub88 => Credential::Rsa(public_key(&path)?),
            Format::Softswiss => Credential::Secret(SharedSecret::new(&secret(&path)?)),
            Format::Pam | Format::Rgs => Credential::Bearer(Bearer(secret(&path)?)),
        };
        let outbound = self.outbound(name, &path)?;
        let known = |code: &String| {
            let currency = currencies.get(code).map(|currency| (code.clone(), *currency));
            currency.ok_or_else(|| wrong(name, "currencies", "names from [currencies]"))
        };
        let currencies = match &self.currencies {
            None => currencies.clone(),
            Some(codes) => codes.iter().map(known).collect::<Result<_, _>>()?,
        };
        Ok(Provider {
            name: name.to_owned(),
            number: self.number,
            format: self.format,
            credential,
            disclosure,
            reverse_settled: self.reverse_settled,
            games: self.games,
            currencies,
            jackpot: self.jackpot,
            outbound,
            launch_url: self.launch_url,
        })
    }

    /// How the provider is called, if its format is that of one that is.
    fn outbound(&self, name: &str, key: &Path) -> Result<Option<Outbound>, ConfigError> {
        let told = self.address.is_some() || self.win_max_hundredths.is_some() || self.repeats;
        let (address, win_max_hundredths) = match (self.format, self.address, self.win_max_hundredths) {
            (Format::Rgs, Some(address), Some(most)) if most >= 100 => (address, most),
            (Format::Rgs, ..) => {
                let expected = "format rgs needs address and win_max_hundredths (100 or more)";
                return Err(wrong(name, "address", expected));
            }
            _ if told => {
                return Err(wrong(
                    name,
                    "address",
                    "address, repeats, win_max_hundredths with format rgs only",
                ));
            }
            _ => return Ok(None),
        };
        let bearer = String::from_utf8(secret(key)?).map_err(|_| wrong(name, "key_file", "text"))?;
        let answer_time = self.answer_time_ms.map_or(PROVIDER_TIME, Duration::from_millis);
        Ok(Some(Outbound { address, bearer, answer_time, repeats: self.repeats, win_max_hundredths }))
    }
}
