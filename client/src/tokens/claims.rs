//! What a token says, as JSON: whose session, until when, with what on its meter.
//!
//! In: the payload of a token whose signature was found right, or claims to be signed. Out: the other. Amounts are
//! text, because JSON's numbers are floats to half of its readers. Claims that are not known are left alone.

use cage_engine::{Amount, AssetId, GameId, Operation, PlayerId, Reference, Timestamp};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::TokenFault;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose session.
    pub player: PlayerId,
    /// The casino's own number for the token: what makes two of them differ.
    pub token: u128,
    /// From when on it is valid, if that is said.
    pub not_before: Option<Timestamp>,
    /// When the session ends.
    pub expires: Timestamp,
    /// In which asset the session has a credit meter.
    pub asset: Option<AssetId>,
    /// How much the meter may be topped up by itself, in all.
    pub topup_max: Amount,
    /// For which game; 0 = for any.
    pub game: GameId,
}

#[derive(Deserialize, Serialize)]
struct Payload {
    sub: String,
    jti: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<String>,
    exp: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asset: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topup_max: Option<String>,
    #[serde(default)]
    game: u32,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Footer {
    pub(super) kid: String,
}

/// The key that a token's footer names. Nobody has vouched for it yet.
pub(super) fn key_id(footer: &[u8]) -> Option<String> {
    serde_json::from_slice(footer).ok().map(|Footer { kid }| kid)
}

impl Claims {
    pub(super) fn parse(payload: &str) -> Result<Self, TokenFault> {
        let payload: Payload = serde_json::from_str(payload).map_err(|_| TokenFault::Form)?;
        let player = payload.sub.parse().ok().and_then(|number| PlayerId::new(number).ok());
        let amount = |text: String| text.parse().ok().map(Amount).filter(|amount| *amount <= Amount::MAX);
        let topup_max = payload.topup_max.map_or(Some(Amount::ZERO), amount);
        Ok(Self {
            player: player.ok_or(TokenFault::Claim("sub"))?,
            token: digits(&payload.jti).ok_or(TokenFault::Claim("jti"))?,
            not_before: payload
                .nbf
                .map(|text| timestamp(&text).ok_or(TokenFault::Claim("nbf")))
                .transpose()?,
            expires: timestamp(&payload.exp).ok_or(TokenFault::Claim("exp"))?,
            asset: payload.asset.map(AssetId).filter(|asset| *asset != AssetId::NONE),
            topup_max: topup_max.ok_or(TokenFault::Claim("topup_max"))?,
            game: GameId(payload.game),
        })
    }

    pub(super) fn payload(&self) -> String {
        let payload = Payload {
            sub: self.player.to_string(),
            jti: format!("{:032x}", self.token),
            nbf: self.not_before.map(text),
            exp: text(self.expires),
            asset: self.asset.map(|asset| asset.0),
            topup_max: Some(self.topup_max.to_string()),
            game: self.game.0,
        };
        serde_json::json!(payload).to_string()
    }

    /// The operation that opens the session.
    pub(super) const fn operation(&self, token: Reference) -> Operation {
        let Self { player, asset, topup_max, game, expires, .. } = *self;
        Operation::OpenSession { player, token, asset, topup_max, game, expires }
    }
}

/// Sixteen bytes as hexadecimal text.
fn digits(text: &str) -> Option<u128> {
    let hexadecimal = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanos).ok().map(Timestamp)
}

fn text(time: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(time.0.into())
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
