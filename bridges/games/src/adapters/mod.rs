//! Adapters: one file per format, each of which only translates.
//!
//! In: the raw bytes of a callback. Out: a call in the bridge's words, and later the answer's bytes. Never here: I/O, a
//! clock, a rule about money, what happened before.

mod hub88;
mod json;
mod pam;
mod softswiss;

use cage_engine::{PlayerId, Timestamp};

use crate::config::{Config, Format, Provider};
use crate::inbound::{Call, Done};
use crate::limits::NAME_BYTES_MAX;
use crate::token::PlayerToken;

pub use json::Number;

/// A callback as it came.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path behind the provider's name, beginning with `/`.
    pub path: &'a str,
    /// What stands behind the question mark.
    pub query: &'a str,
    /// Names in lower case.
    pub headers: &'a dyn Headers,
    /// Not touched by anybody.
    pub body: &'a [u8],
    /// When it came.
    pub at: Timestamp,
}

/// The headers of a callback.
pub trait Headers: std::fmt::Debug {
    /// The value of the first one of this name.
    fn get(&self, name: &str) -> Option<&[u8]>;
}

impl Arrived<'_> {
    /// A header's value as text; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or("")
    }

    /// A parameter of the query, percent signs resolved.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
        unescape(value)
    }
}

/// Text with `%20` and the like resolved; nothing if it is not well formed.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).map(|digit| digit as u8);
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
}

/// Why a callback is not looked at any further. Recorded, with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// In a word.
    pub reason: Reason,
    /// In the provider's own words.
    pub answer: Answer,
}

/// Why a callback is not looked at any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No signature, or not one of these bytes.
    Signature,
    /// Sent too long ago, or in the future.
    Stale,
    /// No call of this format.
    Path,
    /// A body that is not what the format says.
    Syntax,
    /// An amount that cannot be counted exactly.
    Amount,
    /// No player of ours.
    Player,
    /// A token that is not ours, or another player's.
    Token,
    /// A game that is not known.
    Game,
    /// A currency that this provider may not name.
    Currency,
}

impl Reason {
    /// As it is recorded.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Path => "path",
            Self::Syntax => "syntax",
            Self::Amount => "amount",
            Self::Player => "player",
            Self::Token => "token",
            Self::Game => "game",
            Self::Currency => "currency",
        }
    }
}

/// A callback that was understood: what it asks for, and how to answer it.
pub trait Callback: std::fmt::Debug {
    /// What it asks for.
    fn call(&self) -> &Call;
    /// The answer. The same callback and the same outcome give the same bytes.
    fn answer(&self, config: &Config, provider: &Provider, done: &Done) -> Answer;
}

/// Whether a callback is the provider's own, by the bytes as they came.
///
/// # Errors
/// [`Refused`] with the answer, if it is not.
pub fn verify(provider: &Provider, arrived: &Arrived<'_>) -> Result<(), Refused> {
    match provider.format {
        Format::Hub88 => hub88::verify(provider, arrived),
        Format::Softswiss => softswiss::verify(provider, arrived),
        Format::Pam => pam::verify(provider, arrived),
        Format::Rgs => Err(never_calls()),
    }
}

/// Reads a callback that is the provider's own.
///
/// # Errors
/// [`Refused`] with the answer, if it is not to be carried out.
pub fn understand(
    config: &Config,
    provider: &Provider,
    arrived: &Arrived<'_>,
) -> Result<Box<dyn Callback>, Refused> {
    match provider.format {
        Format::Hub88 => hub88::understand(config, provider, arrived),
        Format::Softswiss => softswiss::understand(config, provider, arrived),
        Format::Pam => pam::understand(config, provider, arrived),
        Format::Rgs => Err(never_calls()),
    }
}

/// A provider that is called does not call.
fn never_calls() -> Refused {
    Refused { reason: Reason::Path, answer: Answer { status: 404, body: Vec::new() } }
}

/// The player whose number, with its check digits, a provider knows the player by.
pub(crate) fn player(text: &str) -> Option<PlayerId> {
    // As it was written: a number has one way to be written.
    let number: u64 = text.parse().ok()?;
    PlayerId::new(number).ok().filter(|player| player.to_string() == text)
}

/// A token of ours that is this player's.
fn token(config: &Config, provider: &Provider, player: PlayerId, text: &str) -> Option<PlayerToken> {
    let token = PlayerToken::read(text, provider.number, &config.token_secret)?;
    (token.player == player).then_some(token)
}

/// Whether a name of the provider's can be one.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX
}

/// A record's position, as providers are given it for our name of a transaction.
fn transaction_name(lsn: cage_engine::Lsn) -> String {
    if lsn == cage_engine::Lsn::NONE { String::new() } else { format!("L-{lsn}") }
}
