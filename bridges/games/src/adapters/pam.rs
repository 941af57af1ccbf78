//! A neutral player account API over HTTP, for an aggregator in front of it: sessions, balances, transactions, rounds.
//!
//! In: `GET|PUT /players/session`, `GET /players/ID/balance`, `GET|POST /players/ID/transactions`, `GET
//! /players/ID/gamerounds/ROUND`, with a bearer token of the aggregator's, the player's token in `X-Player-Token` and
//! `?provider=`. Out: a call; `{status, …}` or `{status, error: {code, message}, …}`. Never here: what `adapters` says.
//!
//! One aggregator brings many providers, and each numbers its transactions from 1: their names are told apart here.

use cage_engine::{Amount, GameId, Lsn, OperationKind, PlayerId, Reference, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{Number, Text, number};
use super::{Answer, Arrived, Callback, Reason, Refused, is_name, player, token, transaction_name, unescape};
use crate::config::{Config, Credential, Currency, Provider};
use crate::inbound::{Action, Ask, BetName, Call, Done, Verdict};
use crate::names;
use crate::signature::same;
use crate::token::PlayerToken;

/// Amounts have so many decimal places.
const PLACES: u8 = 6;
/// The ledger knows no personal data: countries and languages are the front-end's.
const COUNTRY: &str = "XX";
const LANGUAGE: &str = "EN";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    currency: Text<'a>,
    #[serde(borrow)]
    provider: Text<'a>,
    #[serde(borrow)]
    transaction_type: Text<'a>,
    #[serde(borrow)]
    cash_amount: Number<'a>,
    #[serde(borrow)]
    bonus_amount: Number<'a>,
    #[serde(borrow)]
    promo_amount: Number<'a>,
    #[serde(borrow)]
    provider_transaction_id: Text<'a>,
    #[serde(borrow)]
    provider_bet_ref: Option<Text<'a>>,
    #[serde(borrow)]
    provider_game_id: Option<Text<'a>>,
    #[serde(borrow)]
    provider_round_id: Option<Text<'a>>,
    is_game_over: Option<bool>,
}

/// What is answered, beside how it went.
#[derive(Clone, Debug)]
enum Kind {
    Session,
    Balance,
    Added { is_win: bool, is_cancel: bool },
    Found { provider: String, name: String },
    Round { name: String },
}

#[derive(Debug)]
struct PamCallback {
    call: Call,
    kind: Kind,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Balance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_result: Option<Added>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Vec<Transaction<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gameround: Option<Round<'a>>,
}

#[derive(Serialize)]
struct Problem {
    code: &'static str,
    message: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session<'a> {
    player_id: String,
    token: String,
    currency: &'a str,
    country: &'static str,
    language: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Balance {
    cash_amount: Box<RawValue>,
    bonus_amount: Box<RawValue>,
    promo_amount: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    #[serde(skip_serializing_if = "String::is_empty")]
    transaction_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Balance>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Transaction<'a> {
    currency: &'a str,
    provider: &'a str,
    transaction_type: &'static str,
    cash_amount: Box<RawValue>,
    bonus_amount: Box<RawValue>,
    promo_amount: Box<RawValue>,
    transaction_date_time: String,
    provider_transaction_id: &'a str,
    is_game_over: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Round<'a> {
    provider_game_id: &'a str,
    provider_round_id: &'a str,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
}

fn reply(status: u16, reply: &Reply<'_>) -> Answer {
    Answer { status, body: serde_json::to_vec(reply).unwrap_or_default() }
}

fn problem(status: u16, code: &'static str, message: &'static str) -> Answer {
    let error = Some(Problem { code, message });
    reply(status, &Reply { status: "ERROR", error, ..Reply::default() })
}

/// Why a callback goes no further: more exactly than a reason says, for this format has a code for each.
struct Fault(Reason, u16, &'static str, &'static str);

const SYNTAX: Fault = Fault(Reason::Syntax, 400, "PAM_ERR_UNDEFINED", "the body is not what this call needs");
const PROVIDER: Fault = Fault(Reason::Syntax, 400, "PAM_ERR_MISSING_PROVIDER", "no provider is named");
const SESSION: Fault =
    Fault(Reason::Token, 401, "PAM_ERR_SESSION_NOT_FOUND", "the player token is not known");
const PLAYER: Fault = Fault(Reason::Player, 200, "PAM_ERR_PLAYER_NOT_FOUND", "there is no such player");
const GAME: Fault = Fault(Reason::Game, 200, "PAM_ERR_GAME_NOT_FOUND", "there is no such game");
const CURRENCY: Fault =
    Fault(Reason::Currency, 200, "PAM_ERR_TRANS_CURRENCY", "not the currency of the session");
const NEGATIVE: Fault = Fault(Reason::Amount, 200, "PAM_ERR_NEGATIVE_STAKE", "an amount is below zero");
const AMOUNT: Fault = Fault(Reason::Amount, 400, "PAM_ERR_UNDEFINED", "an amount cannot be counted exactly");
const BONUS: Fault = Fault(Reason::Amount, 200, "PAM_ERR_BONUS_OVERDRAFT", "there is no bonus money");
const PROMO: Fault = Fault(Reason::Amount, 200, "PAM_ERR_PROMO_OVERDRAFT", "there is no promotional money");

impl From<Fault> for Refused {
    fn from(Fault(reason, status, code, message): Fault) -> Self {
        Self { reason, answer: problem(status, code, message) }
    }
}

pub(super) fn verify(provider: &Provider, arrived: &Arrived<'_>) -> Result<(), Refused> {
    let bearer = arrived.header("authorization").strip_prefix("Bearer ").unwrap_or("");
    let known = match &provider.credential {
        Credential::Bearer(secret) => same(bearer.as_bytes(), &secret.0),
        _ => false,
    };
    if !known {
        let answer = problem(401, "PAM_ERR_API_TOKEN", "the authorization is not this provider's");
        return Err(Refused { reason: Reason::Signature, answer });
    }
    Ok(())
}

pub(super) fn understand(
    config: &Config,
    provider: &Provider,
    arrived: &Arrived<'_>,
) -> Result<Box<dyn Callback>, Refused> {
    let place = Place::of(arrived).ok_or_else(|| Refused {
        reason: Reason::Path,
        answer: problem(404, "PAM_ERR_UNDEFINED", "no such call"),
    })?;
    let brand = arrived.parameter("provider").filter(|name| is_name(name)).ok_or(PROVIDER)?;
    let reader = Reader { config, provider, arrived, brand };
    Ok(Box::new(reader.callback(place)?))
}

/// Which of the API's calls it is.
enum Place {
    Session { renew: bool },
    Balance(String),
    Add(String),
    Find(String),
    Round(String, String),
}

impl Place {
    fn of(arrived: &Arrived<'_>) -> Option<Self> {
        let parts: Option<Vec<_>> = arrived.path.trim_start_matches('/').split('/').map(unescape).collect();
        let parts = parts?;
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        Some(match (arrived.method, &parts[..]) {
            ("GET", ["players", "session"]) => Self::Session { renew: false },
            ("PUT", ["players", "session"]) => Self::Session { renew: true },
            ("GET", ["players", player, "balance"]) => Self::Balance((*player).to_owned()),
            ("POST", ["players", player, "transactions"]) => Self::Add((*player).to_owned()),
            ("GET", ["players", player, "transactions"]) => Self::Find((*player).to_owned()),
            ("GET", ["players", player, "gamerounds", round]) => {
                Self::Round((*player).to_owned(), (*round).to_owned())
            }
            _ => return None,
        })
    }
}

struct Reader<'a> {
    config: &'a Config,
    provider: &'a Provider,
    arrived: &'a Arrived<'a>,
    brand: String,
}

impl Reader<'_> {
    /// A name of this provider's among all those of the aggregator's.
    fn name(&self, name: &str) -> Result<String, Fault> {
        if is_name(name) { Ok(names::of_brand(&self.brand, name)) } else { Err(SYNTAX) }
    }

    fn transaction(&self, name: &str) -> Result<Reference, Fault> {
        Ok(names::transaction(self.provider.number, &self.name(name)?))
    }

    fn round(&self, player: PlayerId, name: &str) -> Result<Reference, Fault> {
        Ok(names::round(self.provider.number, player, &self.name(name)?))
    }

    fn token(&self, player: PlayerId) -> Option<PlayerToken> {
        token(self.config, self.provider, player, self.arrived.header("x-player-token"))
    }

    fn callback(&self, place: Place) -> Result<PamCallback, Fault> {
        let of = |text: &str| player(text).ok_or(PLAYER);
        match place {
            Place::Session { renew } => {
                let text = self.arrived.header("x-player-token");
                let secret = &self.config.token_secret;
                let token = PlayerToken::read(text, self.provider.number, secret).ok_or(SESSION)?;
                let ask = if renew { Ask::Renew } else { Ask::Session };
                let call = Call { player: token.player, token: Some(token), currency: None, ask };
                Ok(PamCallback { call, kind: Kind::Session })
            }
            Place::Balance(player) => {
                let player = of(&player)?;
                let token = Some(self.token(player).ok_or(SESSION)?);
                let call = Call { player, token, currency: None, ask: Ask::Balance };
                Ok(PamCallback { call, kind: Kind::Balance })
            }
            Place::Add(player) => self.added(of(&player)?),
            Place::Find(player) => {
                let player = of(&player)?;
                let name = self.arrived.parameter("providerTransactionId").ok_or(SYNTAX)?;
                let ask = Ask::Transaction(self.transaction(&name)?);
                let call = Call { player, token: self.token(player), currency: None, ask };
                Ok(PamCallback { call, kind: Kind::Found { provider: self.brand.clone(), name } })
            }
            Place::Round(player, name) => {
                let player = of(&player)?;
                let ask = Ask::Round(self.round(player, &name)?);
                let call = Call { player, token: self.token(player), currency: None, ask };
                Ok(PamCallback { call, kind: Kind::Round { name } })
            }
        }
    }

    fn added(&self, player: PlayerId) -> Result<PamCallback, Fault> {
        let body: Body<'_> = serde_json::from_slice(self.arrived.body).map_err(|_| SYNTAX)?;
        if body.provider.as_str() != self.brand {
            return Err(PROVIDER);
        }
        let currency = *self.provider.currencies.get(body.currency.as_str()).ok_or(CURRENCY)?;
        let token = self.token(player);
        let word = body.transaction_type.as_str();
        let (is_stake, is_cancel) = (word.ends_with("WITHDRAW"), word.ends_with("CANCEL"));
        if is_stake && token.is_none() {
            return Err(SESSION);
        }
        let action = self.action(player, currency, &body, word)?;
        let actions = action.into_iter().collect();
        let call =
            Call { player, token, currency: Some(currency), ask: Ask::Actions { actions, then_end: None } };
        Ok(PamCallback { call, kind: Kind::Added { is_win: word == "DEPOSIT", is_cancel } })
    }

    fn action(
        &self,
        player: PlayerId,
        currency: Currency,
        body: &Body<'_>,
        word: &str,
    ) -> Result<Option<Action>, Fault> {
        let name = body.provider_transaction_id.as_str();
        let transaction = self.transaction(name)?;
        let bet_ref = body.provider_bet_ref.as_ref().map(Text::as_str).filter(|name| is_name(name));
        let round = body.provider_round_id.as_ref().map(Text::as_str).or(bet_ref).unwrap_or(name);
        let round = self.round(player, round)?;
        let told = body.provider_game_id.as_ref().map(Text::as_str);
        let known = told.and_then(|game| self.provider.game(game));
        let game = known.unwrap_or_else(|| self.provider.any_game());
        let ends_round = body.is_game_over.unwrap_or(false);
        let amounts = Amounts::of(currency, body);
        Ok(Some(match word {
            "WITHDRAW" | "PROMOWITHDRAW" => {
                let stake = amounts?.stake()?;
                let game = known.ok_or(GAME)?;
                let tag = bet_ref.map_or(0, names::tag);
                Action::Bet { transaction, tag, stake, round, game, ends_round }
            }
            "DEPOSIT" => {
                let bet = bet_ref.map_or(BetName::OfRound, |name| BetName::Tagged(names::tag(name)));
                let amount = amounts?.all()?;
                Action::Win { transaction, bet, amount, round, game, ends_round, open_only: true }
            }
            "PROMODEPOSIT" => {
                let key = names::prize(self.provider.number, &self.name(name)?);
                Action::Prize { key, amount: amounts?.all()?, game, campaign: None }
            }
            "CANCEL" | "PROMOCANCEL" => {
                // It repeats the name of what it cancels, and whatever amounts.
                let target = transaction;
                let transaction = names::cancel_of(self.provider.number, &self.name(name)?);
                Action::Rollback { transaction, target, game, bets_only: true }
            }
            _ => return Err(SYNTAX),
        }))
    }
}

struct Amounts {
    cash: Amount,
    bonus: Amount,
    promo: Amount,
}

impl Amounts {
    fn of(currency: Currency, body: &Body<'_>) -> Result<Self, Fault> {
        let read = |number: Number<'_>| {
            let text = number.text().ok_or(SYNTAX)?;
            currency.scale.from_decimal(text).map_err(|fault| match fault {
                crate::money::MoneyFault::Negative => NEGATIVE,
                _ => AMOUNT,
            })
        };
        Ok(Self {
            cash: read(body.cash_amount)?,
            bonus: read(body.bonus_amount)?,
            promo: read(body.promo_amount)?,
        })
    }

    /// A stake is cash: the ledger holds nothing else that could be staked.
    const fn stake(self) -> Result<Amount, Fault> {
        if !self.bonus.is_zero() {
            return Err(BONUS);
        }
        if !self.promo.is_zero() {
            return Err(PROMO);
        }
        Ok(self.cash)
    }

    /// What is won is the player's, whatever the provider paid it from.
    fn all(self) -> Result<Amount, Fault> {
        let sum = self.cash.0.checked_add(self.bonus.0).and_then(|sum| sum.checked_add(self.promo.0));
        sum.map(Amount).filter(|sum| *sum <= Amount::MAX).ok_or(AMOUNT)
    }
}

/// The code of a verdict.
const fn code(verdict: Verdict, is_win: bool, is_cancel: bool) -> Option<(&'static str, &'static str)> {
    Some(match verdict {
        Verdict::Applied => return None,
        Verdict::AlreadyCancelled => ("PAM_ERR_TRANS_ALREADY_CANCELLED", "it was cancelled before"),
        Verdict::Tombstoned => {
            ("PAM_ERR_CANCEL_NOT_FOUND", "there is no such withdrawal; should it come, it is not taken")
        }
        Verdict::Conflict | Verdict::BetDiffers | Verdict::RoundDiffers => {
            ("PAM_ERR_DUPLICATE_TRANS", "the transaction id was used for something else")
        }
        Verdict::Insufficient => ("PAM_ERR_CASH_OVERDRAFT", "not enough money"),
        Verdict::BetUnknown | Verdict::RoundUnknown | Verdict::BetRefused if is_cancel => {
            ("PAM_ERR_CANCEL_NOT_FOUND", "there is no such withdrawal")
        }
        Verdict::BetUnknown | Verdict::RoundUnknown | Verdict::BetRefused => {
            ("PAM_ERR_TRANS_NOT_FOUND", "there is no such round or transaction")
        }
        Verdict::BetCancelled | Verdict::CancelledBefore => {
            ("PAM_ERR_TRANS_ALREADY_CANCELLED", "the withdrawal was cancelled")
        }
        Verdict::Settled => ("PAM_ERR_TRANS_ALREADY_SETTLED", "the withdrawal was settled"),
        Verdict::RoundClosed if is_win => ("PAM_ERR_TRANS_ALREADY_SETTLED", "the round is over"),
        Verdict::RoundClosed => ("PAM_ERR_BET_NOT_ALLOWED", "the round is over"),
        Verdict::NotABet => ("PAM_ERR_CANCEL_NON_WITHDRAW", "it is no withdrawal"),
        Verdict::PlayerBlocked | Verdict::Limit | Verdict::GameStopped => {
            ("PAM_ERR_BET_NOT_ALLOWED", "the player may not bet this now")
        }
        Verdict::PlayerUnknown => ("PAM_ERR_PLAYER_NOT_FOUND", "there is no such player"),
        Verdict::SessionGone => ("PAM_ERR_SESSION_NOT_FOUND", "the session has ended"),
        Verdict::SessionExpired => ("PAM_ERR_SESSION_EXPIRED", "the session's time is over"),
        Verdict::Currency => ("PAM_ERR_TRANS_CURRENCY", "not the currency of the session"),
        Verdict::OtherRefused | Verdict::Forbidden => ("PAM_ERR_UNDEFINED", "this cannot be done here"),
        Verdict::Unavailable => ("PAM_ERR_TIMEOUT", "not known whether it happened: ask again"),
    })
}

fn time(time: Timestamp) -> String {
    let known = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0)).ok();
    let format = &time::format_description::well_known::Rfc3339;
    known.and_then(|time| time.format(format).ok()).unwrap_or_default()
}

fn zero() -> Box<RawValue> {
    number("0.000000".to_owned())
}

impl PamCallback {
    fn currency<'a>(provider: &'a Provider, done: &Done) -> Option<(&'a str, Currency)> {
        let asset = done.rows.first().map_or(done.asset, |(_, row)| row.asset);
        let mut all = provider.currencies.iter();
        all.find(|(_, currency)| currency.asset == asset).map(|(name, currency)| (name.as_str(), *currency))
    }

    fn balance(currency: Option<(&str, Currency)>, done: &Done) -> Option<Balance> {
        let cash = currency?.1.scale.show_decimal(done.balance?, PLACES);
        Some(Balance { cash_amount: number(cash), bonus_amount: zero(), promo_amount: zero() })
    }

    fn found<'a>(
        &self,
        currency: Option<(&'a str, Currency)>,
        provider: &'a str,
        name: &'a str,
        done: &Done,
    ) -> Option<Vec<Transaction<'a>>> {
        let (code, currency) = currency?;
        let mine =
            done.rows.iter().filter(|(_, row)| row.player == self.call.player && row.code.is_executed());
        let known = mine.map(|(_, row)| Transaction {
            currency: code,
            provider,
            transaction_type: match row.kind {
                OperationKind::Bet => "WITHDRAW",
                OperationKind::Win => "DEPOSIT",
                OperationKind::Rollback => "CANCEL",
                _ => "PROMODEPOSIT",
            },
            cash_amount: number(currency.scale.show_decimal(row.amount, PLACES)),
            bonus_amount: zero(),
            promo_amount: zero(),
            transaction_date_time: time(row.decided),
            provider_transaction_id: name,
            is_game_over: row.ends_round,
        });
        Some(known.collect::<Vec<_>>()).filter(|found| !found.is_empty())
    }

    fn round<'a>(provider: &'a Provider, name: &'a str, done: &Done) -> Option<Round<'a>> {
        let (_, first) = done.rows.first()?;
        let game =
            provider.games.iter().find(|(_, number)| first.game == GameId::new(provider.number, **number));
        Some(Round {
            provider_game_id: game.map_or("", |(game, _)| game.as_str()),
            provider_round_id: name,
            start_time: time(first.decided),
            end_time: done.ended.map(time),
        })
    }
}

impl Callback for PamCallback {
    fn call(&self) -> &Call {
        &self.call
    }

    fn answer(&self, config: &Config, provider: &Provider, done: &Done) -> Answer {
        let currency = Self::currency(provider, done);
        let (is_win, is_cancel) = match self.kind {
            Kind::Added { is_win, is_cancel } => (is_win, is_cancel),
            _ => (false, false),
        };
        let error = match (&self.kind, code(done.verdict, is_win, is_cancel)) {
            (Kind::Round { .. }, Some(_)) => Some(("PAM_ERR_ROUND_NOT_FOUND", "there is no such round")),
            (_, error) => error,
        };
        let status = if error.is_some() { "ERROR" } else { "OK" };
        let is_gone = done.verdict == Verdict::SessionGone && !matches!(self.kind, Kind::Added { .. });
        let error = error.map(|(code, message)| Problem { code, message });
        let balance = Self::balance(currency, done);
        let mut answer = Reply { status, error, ..Reply::default() };
        match &self.kind {
            Kind::Session => {
                let token = done.renewed.or(self.call.token).filter(|_| done.verdict.is_good());
                answer.session = token.zip(currency).map(|(token, (code, _))| Session {
                    player_id: self.call.player.to_string(),
                    token: token.text(provider.number, &config.token_secret),
                    currency: code,
                    country: COUNTRY,
                    language: LANGUAGE,
                });
            }
            Kind::Balance => answer.balance = balance,
            Kind::Added { .. } => {
                let lsn = done.parts.first().map_or(Lsn::NONE, |part| part.lsn);
                answer.transaction_result = Some(Added { transaction_id: transaction_name(lsn), balance });
            }
            Kind::Found { provider, name } => {
                answer.transactions = self.found(currency, provider, name, done);
                if answer.transactions.is_none() && done.verdict.is_good() {
                    return problem(200, "PAM_ERR_TRANS_NOT_FOUND", "there is no such transaction");
                }
            }
            Kind::Round { name } => answer.gameround = Self::round(provider, name, done),
        }
        reply(if is_gone { 401 } else { 200 }, &answer)
    }
}
