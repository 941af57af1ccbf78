//! Hub88-style: one call per transaction, signed with RSA over the raw body, amounts times 100,000.
//!
//! In: `/user/info`, `/user/balance`, `/transaction/bet`, `/transaction/win`, `/transaction/rollback` (and the paths
//! `/wallet/check`, `/wallet/balance`, `/wallet/bet`, `/wallet/win`, `/wallet/rollback` of its dialect). Out: a call;
//! `{user, status, request_uuid, currency, balance}`. Never here: what `adapters` says.

use cage_engine::{Amount, AssetId, GameId, Reference};
use serde::{Deserialize, Serialize};

use super::json::{Number, Text};
use super::{Answer, Arrived, Callback, Reason, Refused, is_name, player, token};
use crate::config::{Config, Credential, Currency, Provider};
use crate::inbound::{Action, Ask, BetName, Call, Done, Verdict};
use crate::limits::TIME_DIFFERENCE_MILLIS_MAX;
use crate::names;

/// Amounts are whole numbers of units that stand so many places behind the usual one.
const PLACES: u8 = 5;

/// A body of any of the calls; what is unknown is left alone, as providers add to it.
#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    user: Option<Text<'a>>,
    #[serde(borrow)]
    supplier_user: Option<Text<'a>>,
    #[serde(borrow)]
    token: Option<Text<'a>>,
    #[serde(borrow)]
    request_uuid: Option<Text<'a>>,
    #[serde(borrow)]
    transaction_uuid: Option<Text<'a>>,
    #[serde(borrow)]
    reference_transaction_uuid: Option<Text<'a>>,
    #[serde(borrow)]
    round: Option<Text<'a>>,
    round_closed: Option<bool>,
    #[serde(borrow)]
    game_code: Option<Text<'a>>,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
    #[serde(borrow)]
    amount: Option<Number<'a>>,
    is_free: Option<bool>,
    #[serde(borrow)]
    reward_uuid: Option<Text<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Info,
    Balance,
    Bet,
    Win,
    Rollback,
}

#[derive(Debug)]
struct Hub88Callback {
    call: Call,
    user: String,
    request: String,
}

#[derive(Serialize)]
struct Reply<'a> {
    user: &'a str,
    status: &'a str,
    request_uuid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<u128>,
}

fn reply(reply: &Reply<'_>) -> Answer {
    Answer { status: 200, body: serde_json::to_vec(reply).unwrap_or_default() }
}

fn refuse(reason: Reason, user: &str, request: &str) -> Refused {
    let status = match reason {
        Reason::Signature => "RS_ERROR_INVALID_SIGNATURE",
        Reason::Stale => "RS_ERROR_TIMEOUT",
        Reason::Path | Reason::Syntax => "RS_ERROR_WRONG_SYNTAX",
        Reason::Amount => "RS_ERROR_WRONG_TYPES",
        Reason::Player | Reason::Token => "RS_ERROR_INVALID_TOKEN",
        Reason::Game => "RS_ERROR_INVALID_GAME",
        Reason::Currency => "RS_ERROR_WRONG_CURRENCY",
    };
    let answer = reply(&Reply { user, status, request_uuid: request, currency: None, balance: None });
    Refused { reason, answer }
}

fn kind(path: &str) -> Option<Kind> {
    Some(match path {
        "/user/info" | "/wallet/check" => Kind::Info,
        "/user/balance" | "/wallet/balance" => Kind::Balance,
        "/transaction/bet" | "/wallet/bet" => Kind::Bet,
        "/transaction/win" | "/wallet/win" => Kind::Win,
        "/transaction/rollback" | "/wallet/rollback" => Kind::Rollback,
        _ => return None,
    })
}

/// Whether the time that the dialect sends along, in milliseconds or in its text form, is near ours.
fn is_stale(arrived: &Arrived<'_>) -> bool {
    let told = arrived.header("x-msg-timestamp");
    if told.is_empty() {
        return false;
    }
    let millis = told.parse().ok().or_else(|| {
        let format = &time::format_description::well_known::Rfc3339;
        let time = time::OffsetDateTime::parse(told, format).ok()?;
        u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
    });
    millis.is_none_or(|millis: u64| millis.abs_diff(arrived.at.millis()) > TIME_DIFFERENCE_MILLIS_MAX)
}

pub(super) fn verify(provider: &Provider, arrived: &Arrived<'_>) -> Result<(), Refused> {
    let signature = ["x-hub88-signature", "x-auth-signature"].map(|name| arrived.headers.get(name));
    let signature = signature.into_iter().flatten().next().unwrap_or_default();
    let known = match &provider.credential {
        Credential::Rsa(key) => key.accepts(arrived.body, signature),
        _ => false,
    };
    if !known {
        return Err(refuse(Reason::Signature, "", ""));
    }
    Ok(())
}

pub(super) fn understand(
    config: &Config,
    provider: &Provider,
    arrived: &Arrived<'_>,
) -> Result<Box<dyn Callback>, Refused> {
    let kind = kind(arrived.path).filter(|_| arrived.method == "POST");
    let kind = kind.ok_or_else(|| refuse(Reason::Path, "", ""))?;
    let body: Body<'_> = serde_json::from_slice(arrived.body).map_err(|_| refuse(Reason::Syntax, "", ""))?;
    let text = |text: &Option<Text<'_>>| text.as_ref().map_or("", Text::as_str).to_owned();
    let user = if body.user.is_some() { text(&body.user) } else { text(&body.supplier_user) };
    let request = text(&body.request_uuid);
    let fail = |reason| refuse(reason, &user, &request);
    if is_stale(arrived) {
        return Err(fail(Reason::Stale));
    }
    let call = call(config, provider, kind, &body, &user).map_err(fail)?;
    Ok(Box::new(Hub88Callback { call, user, request }))
}

fn call(
    config: &Config,
    provider: &Provider,
    kind: Kind,
    body: &Body<'_>,
    user: &str,
) -> Result<Call, Reason> {
    let told = body.token.as_ref().map_or("", Text::as_str);
    let needs_token = matches!(kind, Kind::Info | Kind::Balance | Kind::Bet);
    let player = player(user).ok_or(Reason::Player)?;
    let token = token(config, provider, player, told);
    if needs_token && token.is_none() {
        return Err(Reason::Token);
    }
    let currency = match &body.currency {
        Some(code) => Some(*provider.currencies.get(code.as_str()).ok_or(Reason::Currency)?),
        None if matches!(kind, Kind::Bet | Kind::Win) => return Err(Reason::Syntax),
        None => None,
    };
    let ask = match kind {
        Kind::Info => Ask::Session,
        Kind::Balance => Ask::Balance,
        Kind::Bet | Kind::Win | Kind::Rollback => {
            let action = Reader { provider, body, currency }.action(kind)?;
            let actions = if free_bet(kind, body) { Vec::new() } else { vec![action] };
            let closes = kind == Kind::Rollback && body.round_closed == Some(true);
            let round = body.round.as_ref().filter(|_| closes);
            let game = game(provider, body).unwrap_or_else(|| provider.any_game());
            let end = round.map(|round| (names::round(provider.number, player, round.as_str()), game));
            let then_end = end.filter(|_| !actions.is_empty());
            Ask::Actions { actions: with_round(actions, provider, player, body), then_end }
        }
    };
    Ok(Call { player, token, currency, ask })
}

/// The stake of a free round is the provider's affair: nothing moves.
fn free_bet(kind: Kind, body: &Body<'_>) -> bool {
    kind == Kind::Bet && body.is_free == Some(true)
}

fn game(provider: &Provider, body: &Body<'_>) -> Option<GameId> {
    body.game_code.as_ref().and_then(|code| provider.game(code.as_str()))
}

/// Rounds are of a player: their keys are made once the player is known.
fn with_round(
    mut actions: Vec<Action>,
    provider: &Provider,
    player: cage_engine::PlayerId,
    body: &Body<'_>,
) -> Vec<Action> {
    let name = body.round.as_ref().map_or("", Text::as_str);
    let key = names::round(provider.number, player, name);
    for action in &mut actions {
        if let Action::Bet { round, .. } | Action::Win { round, .. } = action {
            *round = key;
        }
    }
    actions
}

struct Reader<'a> {
    provider: &'a Provider,
    body: &'a Body<'a>,
    currency: Option<Currency>,
}

impl Reader<'_> {
    fn name<'t>(text: Option<&'t Text<'_>>) -> Result<&'t str, Reason> {
        text.map(Text::as_str).filter(|name| is_name(name)).ok_or(Reason::Syntax)
    }

    fn transaction(&self, text: Option<&Text<'_>>) -> Result<Reference, Reason> {
        Ok(names::transaction(self.provider.number, Self::name(text)?))
    }

    fn amount(&self) -> Result<Amount, Reason> {
        let text = self.body.amount.and_then(Number::text).ok_or(Reason::Amount)?;
        let currency = self.currency.ok_or(Reason::Currency)?;
        currency.scale.from_units(text, PLACES).map_err(|_| Reason::Amount)
    }

    fn action(&self, kind: Kind) -> Result<Action, Reason> {
        let Self { provider, body, .. } = self;
        let transaction = self.transaction(body.transaction_uuid.as_ref())?;
        let ends_round = body.round_closed.unwrap_or(false);
        let known = game(provider, body);
        let game = known.unwrap_or_else(|| provider.any_game());
        // With the player's number it becomes the round's key.
        let round = Reference::default();
        if kind != Kind::Rollback {
            Self::name(body.round.as_ref())?;
        }
        Ok(match kind {
            Kind::Bet => {
                let game = known.ok_or(Reason::Game)?;
                Action::Bet { transaction, tag: 0, stake: self.amount()?, round, game, ends_round }
            }
            Kind::Win if body.is_free == Some(true) => {
                let key = names::prize(provider.number, Self::name(body.transaction_uuid.as_ref())?);
                let campaign = body.reward_uuid.as_ref().filter(|name| is_name(name.as_str()));
                let campaign = campaign.map(|name| Reference(names::prize(provider.number, name.as_str()).0));
                Action::Prize { key, amount: self.amount()?, game, campaign }
            }
            Kind::Win => {
                let bet = BetName::Transaction(self.transaction(body.reference_transaction_uuid.as_ref())?);
                let amount = self.amount()?;
                Action::Win { transaction, bet, amount, round, game, ends_round, open_only: false }
            }
            _ => {
                let target = self.transaction(body.reference_transaction_uuid.as_ref())?;
                Action::Rollback { transaction, target, game, bets_only: false }
            }
        })
    }
}

/// What the provider is told. Of an unknown outcome it is told so, and rolls back; of everything that certainly did
/// not happen it is told what stands in the way.
const fn status(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Applied | Verdict::AlreadyCancelled | Verdict::Tombstoned => "RS_OK",
        Verdict::Conflict => "RS_ERROR_DUPLICATE_TRANSACTION",
        Verdict::Insufficient => "RS_ERROR_NOT_ENOUGH_MONEY",
        Verdict::BetUnknown | Verdict::BetRefused | Verdict::Settled | Verdict::NotABet => {
            "RS_ERROR_TRANSACTION_DOES_NOT_EXIST"
        }
        Verdict::BetCancelled | Verdict::CancelledBefore => "RS_ERROR_TRANSACTION_ROLLED_BACK",
        Verdict::BetDiffers | Verdict::RoundDiffers => "RS_ERROR_DUPLICATE_TRANSACTION",
        Verdict::PlayerBlocked | Verdict::PlayerUnknown => "RS_ERROR_USER_DISABLED",
        Verdict::SessionGone => "RS_ERROR_INVALID_TOKEN",
        Verdict::SessionExpired => "RS_ERROR_TOKEN_EXPIRED",
        Verdict::Limit => "RS_ERROR_LIMIT_REACHED",
        Verdict::GameStopped => "RS_ERROR_INVALID_GAME",
        Verdict::Currency => "RS_ERROR_WRONG_CURRENCY",
        Verdict::Forbidden => "RS_ERROR_INVALID_PARTNER",
        Verdict::RoundClosed | Verdict::RoundUnknown | Verdict::OtherRefused => "RS_ERROR_UNKNOWN",
        Verdict::Unavailable => "RS_ERROR_TIMEOUT",
    }
}

impl Callback for Hub88Callback {
    fn call(&self) -> &Call {
        &self.call
    }

    fn answer(&self, _: &Config, provider: &Provider, done: &Done) -> Answer {
        let asset = self.call.currency.map_or(done.asset, |currency| currency.asset);
        let mut currencies = provider.currencies.iter();
        let named = currencies.find(|(_, currency)| currency.asset == asset && asset != AssetId::NONE);
        let balance = named.and_then(|(_, currency)| Some(currency.scale.show_units(done.balance?, PLACES)));
        reply(&Reply {
            user: &self.user,
            status: status(done.verdict),
            request_uuid: &self.request,
            currency: named.map(|(name, _)| name.as_str()),
            balance,
        })
    }
}
