//! The casino's own side of the bridge: launching games, sending bets out, looking at what is in doubt.
//!
//! In: requests of front-ends and operators with the casino's bearer token, as JSON. Out: JSON. Never here: a provider's
//! request: that is another address, and another server.

use std::rc::Rc;
use std::time::Duration;

use cage_client::{Client, Error};
use cage_engine::{Amount, Operation, PlayerId, ResultCode, SessionId};
use cage_protocol::Read;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use crate::adapters::Answer;
use crate::config::{Config, Currency, Provider};
use crate::http::{Asked, Handler, Reply};
use crate::inbound::now;
use crate::limits::NAME_BYTES_MAX;
use crate::money::Scale;
use crate::outbound::{
    Decided, Decision, Driver, Ended, OpenBet, Order, PLACES, Placed, Reported, Step, Ticket,
};
use crate::sessions::Sessions;
use crate::signature::same;
use crate::store::Store;
use crate::token::PlayerToken;

/// How long a question for a bet's end waits for it.
const WAIT: Duration = Duration::from_secs(20);

/// The casino's side.
#[derive(Debug)]
pub struct Casino {
    config: Rc<Config>,
    driver: Rc<Driver>,
    store: Rc<Store>,
    sessions: Rc<Sessions>,
    client: Client,
    bearer: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BetBody {
    provider: String,
    /// The player's number, with its check digits.
    player: String,
    /// The session's number; 0 = none.
    #[serde(default)]
    session: u32,
    game: String,
    mode: String,
    currency: String,
    amount: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaunchBody {
    provider: String,
    game: String,
    /// The session token that the casino signed.
    token: String,
    currency: String,
    /// What is put on the session's credit meter.
    amount: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaveBody {
    player: String,
    session: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeartbeatBody {
    session: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecideBody {
    /// `void`, `cancel` or `settle`.
    decide: String,
    /// With `settle`: how much, in units of the currency.
    payout: Option<String>,
    /// Who decides.
    by: Option<String>,
    /// Why.
    reason: Option<String>,
}

fn answer<T: Serialize>(status: u16, value: &T) -> Reply {
    Reply::Whole(Answer { status, body: serde_json::to_vec(value).unwrap_or_default() })
}

fn wrong(what: &str) -> Reply {
    answer(400, &json!({ "error": "wrong_request", "message": what }))
}

/// A refusal of the ledger's, by its name; or that it is not known.
fn failed(error: &Error) -> Reply {
    match (error, error.code()) {
        (Error::Refused { .. }, Some(code)) => {
            answer(409, &json!({ "error": code.name(), "message": code.meaning() }))
        }
        _ => unknown(),
    }
}

fn unknown() -> Reply {
    let message = "the ledger did not answer in time: ask again";
    answer(503, &json!({ "error": "unavailable", "message": message }))
}

impl Casino {
    /// The casino's side of a bridge.
    #[must_use]
    pub const fn new(
        config: Rc<Config>,
        driver: Rc<Driver>,
        store: Rc<Store>,
        sessions: Rc<Sessions>,
        client: Client,
        bearer: Vec<u8>,
    ) -> Self {
        Self { config, driver, store, sessions, client, bearer }
    }

    fn provider(&self, name: &str) -> Option<&Provider> {
        self.config.providers.get(name)
    }

    async fn bet(&self, body: &[u8]) -> Reply {
        let body: BetBody = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return wrong(&format!("a bet: {error}")),
        };
        let Some(provider) = self.provider(&body.provider) else { return wrong("provider: not known here") };
        let Some(game) = provider.game(&body.game) else { return wrong("game: not one of the provider's") };
        let Some((_, currency)) = provider.currencies.get_key_value(&body.currency) else {
            return wrong("currency: not one of the provider's");
        };
        let Some(player) = player(&body.player) else { return wrong("player: no number of a player's") };
        let Some(stake) = stake(*currency, &body.amount) else {
            return wrong("amount: expected more than 0, whole in the asset's smallest unit");
        };
        let order = Order {
            provider,
            player,
            session: SessionId(body.session),
            game,
            mode: &body.mode,
            currency: &body.currency,
            stake,
        };
        match self.driver.place(&order).await {
            Placed::Taken { bet, lsn } => answer(202, &json!({ "bet": bet, "state": "open", "lsn": lsn.0 })),
            Placed::Refused(verdict) => answer(409, &json!({ "error": verdict.name() })),
            Placed::Unknown { bet } => {
                let message = "not known whether the stake was set aside: if so it is given back";
                answer(503, &json!({ "error": "unknown", "bet": bet, "message": message }))
            }
            Placed::Away => {
                let message = "nothing is sent to this provider now: try later";
                answer(503, &json!({ "error": "away", "message": message }))
            }
        }
    }

    async fn outcome(&self, bet: &str) -> Reply {
        let Some(mut watched) = self.driver.watch(bet) else {
            let message = "not on its way, and not ended lately: the ledger knows";
            return answer(404, &json!({ "error": "bet_unknown", "message": message }));
        };
        let over = |reported: &Reported| matches!(reported, Reported::Ended(_));
        // At the end of the wait it is still open, which is an answer.
        let _ = timeout(WAIT, watched.wait_for(over)).await;
        let reported = *watched.borrow();
        answer(200, &self.told(bet, reported))
    }

    fn told(&self, bet: &str, reported: Reported) -> serde_json::Value {
        match reported {
            Reported::Open { step, unclear, in_doubt } => {
                json!({ "bet": bet, "state": "open", "step": step_name(step), "unclear": unclear, "in_doubt": in_doubt })
            }
            Reported::Ended(Ended::Settled { payout }) => {
                json!({ "bet": bet, "state": "settled", "payout": payout.to_string() })
            }
            Reported::Ended(Ended::Cancelled) => json!({ "bet": bet, "state": "cancelled" }),
            Reported::Ended(Ended::Dispute) => json!({ "bet": bet, "state": "dispute" }),
        }
    }

    fn open(&self) -> Reply {
        let now = now().millis();
        let open = self.driver.open().into_iter().map(|OpenBet { ticket, reported, .. }| {
            let mut told = self.told(&ticket.wager.bet, reported);
            let scale = Scale(ticket.scale);
            let stake = scale.show_decimal(Amount(ticket.stake.parse().unwrap_or(0)), ticket.scale);
            told["provider"] = ticket.provider.as_str().into();
            told["player"] =
                PlayerId::new(ticket.player).map_or(String::new(), |player| player.to_string()).into();
            told["currency"] = ticket.wager.currency.as_str().into();
            told["stake"] = stake.into();
            told["payout_max"] =
                Scale(PLACES).show_decimal(Amount(ticket.wager.payout_max.into()), PLACES).into();
            told["age_ms"] = now.saturating_sub(ticket.began_ms).into();
            told
        });
        answer(200, &json!({ "open": open.collect::<Vec<_>>() }))
    }

    /// What operators have decided, the first one first.
    fn decisions(&self) -> Reply {
        let Ok(all) = self.store.decisions() else { return unknown() };
        let mut told: Vec<_> =
            all.iter().filter_map(|text| serde_json::from_str::<Ticket>(text).ok()).collect();
        told.sort_by_key(|ticket| ticket.decided.as_ref().map(|decided| decided.at_ms));
        let told = told.into_iter().map(|ticket| {
            json!({ "bet": ticket.wager.bet, "provider": ticket.provider, "payout": ticket.outcome, "decided": ticket.decided })
        });
        answer(200, &json!({ "decisions": told.collect::<Vec<_>>() }))
    }

    fn decide(&self, bet: &str, body: &[u8]) -> Reply {
        let body: DecideBody = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return wrong(&format!("a decision: {error}")),
        };
        let Some(open) = self.driver.open().into_iter().find(|open| open.ticket.wager.bet == bet) else {
            return answer(409, &json!({ "error": "not_open", "message": "the bet is not on its way" }));
        };
        let decision = match decision(&body, &open.ticket) {
            Ok(decision) => decision,
            Err(expected) => return wrong(expected),
        };
        let named =
            |text: &Option<String>| text.clone().filter(|text| (1..=NAME_BYTES_MAX).contains(&text.len()));
        let (by, reason) = match (named(&body.by), named(&body.reason), decision) {
            (Some(by), Some(reason), _) => (by, reason),
            (by, reason, Decision::Void) => (by.unwrap_or_default(), reason.unwrap_or_default()),
            _ => return wrong("by and reason: who decides, and why, in 1 to 128 letters"),
        };
        if !self.driver.decide(bet, Decided { decision, by, reason, at_ms: now().millis() }) {
            return answer(
                409,
                &json!({ "error": "not_open", "message": "its end is known, and being written" }),
            );
        }
        answer(202, &json!({ "bet": bet, "state": "open", "decided": decision.name() }))
    }

    async fn launch(&self, body: &[u8]) -> Reply {
        let body: LaunchBody = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return wrong(&format!("a launch: {error}")),
        };
        let Some(provider) = self.provider(&body.provider) else { return wrong("provider: not known here") };
        if provider.game(&body.game).is_none() {
            return wrong("game: not one of the provider's");
        }
        let Some(currency) = provider.currencies.get(&body.currency) else {
            return wrong("currency: not one of the provider's");
        };
        let Some(amount) = stake(*currency, &body.amount) else {
            return wrong("amount: expected more than 0");
        };
        let opened = match self.client.submit_token(body.token.as_bytes()).await {
            Ok(opened) => opened,
            Err(error) => return failed(&error),
        };
        let Ok(session) = u32::try_from(opened.player).map(SessionId) else { return unknown() };
        let Some((player, meter)) = self.look(session).await else { return unknown() };
        if self.sessions.launched(player, session).await.is_err() {
            return unknown();
        }
        // A launch that is asked for again, because its answer was lost, does not fund the session again.
        if meter == 0 {
            let asset = currency.asset;
            let fund = Operation::AllowanceFund { player, asset, amount, session };
            if let Err(error) = self.client.submit(fund).await {
                return failed(&error);
            }
        }
        let token = PlayerToken { player, session, generation: 0 };
        let token = token.text(provider.number, &self.config.token_secret);
        let url = provider.launch_url.as_ref().map(|url| {
            url.replace("{token}", &token).replace("{game}", &body.game).replace("{currency}", &body.currency)
        });
        answer(
            200,
            &json!({ "session": session.0, "player": player.to_string(), "token": token, "url": url }),
        )
    }

    /// Whose session it is, and what is on its meter.
    async fn look(&self, session: SessionId) -> Option<(PlayerId, i128)> {
        let read = self.client.read(Read::Session { session }).await.ok()?;
        Some((PlayerId::new(read.player).ok()?, read.available?.0))
    }

    /// A front-end says that its player is still there.
    fn heartbeat(&self, body: &[u8]) -> Reply {
        let Ok(HeartbeatBody { session }) = serde_json::from_slice(body) else {
            return wrong("expected {\"session\": …}");
        };
        if self.sessions.alive(SessionId(session)) {
            answer(200, &json!({ "session": session, "state": "open" }))
        } else {
            let message = "none that was launched here, or it has ended: launch again";
            answer(409, &json!({ "error": "session_gone", "message": message }))
        }
    }

    async fn leave(&self, body: &[u8]) -> Reply {
        let Ok(LeaveBody { player: number, session }) = serde_json::from_slice(body) else {
            return wrong("expected {\"player\": …, \"session\": …}");
        };
        let Some(player) = player(&number) else { return wrong("player: no number of a player's") };
        let session = SessionId(session);
        self.sessions.ended(session);
        match self.client.submit(Operation::RevokeSession { player, session }).await {
            Ok(_) => answer(200, &json!({ "session": session.0, "state": "ended" })),
            Err(error) if error.code() == Some(ResultCode::SessionEnded) => {
                answer(200, &json!({ "session": session.0, "state": "ended" }))
            }
            Err(error) => failed(&error),
        }
    }

    fn games(&self) -> Reply {
        let games = self.config.providers.iter().map(|(name, provider)| {
            let games: Vec<_> = provider.games.keys().collect();
            let currencies: Vec<_> = provider.currencies.keys().collect();
            json!({ "provider": name, "games": games, "currencies": currencies })
        });
        answer(200, &json!({ "providers": games.collect::<Vec<_>>() }))
    }
}

fn player(text: &str) -> Option<PlayerId> {
    text.parse().ok().and_then(|number| PlayerId::new(number).ok())
}

fn stake(currency: Currency, text: &str) -> Option<Amount> {
    currency.scale.from_decimal(text).ok().filter(|amount| !amount.is_zero())
}

/// What is decided of a bet, if the ledger can do it.
fn decision(body: &DecideBody, ticket: &Ticket) -> Result<Decision, &'static str> {
    match (body.decide.as_str(), &body.payout) {
        ("void", None) => Ok(Decision::Void),
        ("cancel", None) => Ok(Decision::Cancel),
        ("settle", Some(payout)) => {
            let payout = Scale(ticket.scale).from_decimal(payout);
            let most = ticket.amount(ticket.wager.payout_max);
            match (payout, most) {
                (Ok(payout), Some(most)) if payout <= most => Ok(Decision::Settle { payout: payout.0 }),
                _ => Err("payout: expected what the provider's list says, from 0 to the bet's payout_max"),
            }
        }
        _ => Err("decide: expected void, cancel, or settle with payout"),
    }
}

const fn step_name(step: Step) -> &'static str {
    match step {
        Step::Send => "send",
        Step::Ask => "ask",
        Step::Void => "void",
        Step::Settle { .. } => "settle",
        Step::Release => "release",
        Step::Finish(_) => "finish",
    }
}

impl Handler for Casino {
    async fn answer(&self, asked: Asked) -> Reply {
        let header = asked.headers.get("authorization").map_or(&b""[..], |value| value.as_bytes());
        if !same(header.strip_prefix(b"Bearer ").unwrap_or_default(), &self.bearer) {
            return answer(
                401,
                &json!({ "error": "unauthorized", "message": "expected the casino's bearer token" }),
            );
        }
        let path: Vec<_> = asked.path.trim_start_matches('/').split('/').collect();
        match (asked.method.as_str(), &path[..]) {
            ("POST", ["bets"]) => self.bet(&asked.body).await,
            ("GET", ["bets"]) => self.open(),
            ("GET", ["decisions"]) => self.decisions(),
            ("GET", ["bets", bet]) => self.outcome(bet).await,
            ("POST", ["bets", bet]) => self.decide(bet, &asked.body),
            ("POST", ["launch"]) => self.launch(&asked.body).await,
            ("POST", ["heartbeat"]) => self.heartbeat(&asked.body),
            ("POST", ["leave"]) => self.leave(&asked.body).await,
            ("GET", ["games"]) => self.games(),
            _ => answer(404, &json!({ "error": "no_such_call" })),
        }
    }
}
