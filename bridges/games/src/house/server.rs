//! The house's games over HTTP, as a provider that is called: `/wallet/authenticate`, `/wallet/play`, `/wallet/end-round`,
//! `/bet/status`, `/bet/cancel`, `/bet/event`, `/bets`, `/fair/seeds`, `/fair/rotate`.
//!
//! In: requests with the casino's bearer token. Out: outcomes, durable before they are told; faults, if they were ordered.
//! Never here: a balance: the casino's affair.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use super::book::{Bet, Book, BookError, Entry, Placed, State};
use super::fair::{commitment, is_client_seed};
use super::faults::{Fault, FaultPlan, Faults};
use crate::adapters::Answer;
use crate::http::{Asked, Handler, Reply, listen};
use crate::limits::NAME_BYTES_MAX;
use crate::money::Scale;
use crate::signature::same;

/// The least and the greatest stake, in millionths of a unit.
const BET_MIN: u64 = 10_000;
const BET_MAX: u64 = 1_000_000_000_000;
/// How many bets one page of the list has: with names of the greatest length it still fits an answer that is read.
const LIST_MAX: usize = 50;

/// How the house's games are run.
#[derive(Clone, Debug)]
pub struct HouseOptions {
    /// Where the casino calls.
    pub listen: SocketAddr,
    /// Where the book is kept.
    pub data_dir: PathBuf,
    /// The casino's bearer token.
    pub bearer: Vec<u8>,
    /// Faults, on order.
    pub faults: FaultPlan,
    /// What the faults are drawn with.
    pub seed: u64,
    /// How late a delayed answer is.
    pub delay: Duration,
}

/// The house's games, ready to be called.
#[derive(Debug)]
pub struct House {
    listener: TcpListener,
    table: Rc<Table>,
}

#[derive(Debug)]
struct Table {
    book: Book,
    bearer: Vec<u8>,
    faults: RefCell<Faults>,
    delay: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    #[serde(rename = "sessionID")]
    session: Option<String>,
    amount: Option<u64>,
    currency: Option<String>,
    mode: Option<String>,
    meta: Option<Meta>,
    bet_id: Option<String>,
    client_seed: Option<String>,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    bet_id: String,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Round {
    #[serde(rename = "roundID")]
    round: u64,
    bet_id: String,
    #[serde(rename = "sessionID")]
    session: String,
    amount: u64,
    currency: String,
    mode: String,
    payout: u64,
    payout_multiplier: Box<RawValue>,
    active: bool,
    status: &'static str,
    at_ms: u64,
    state: Vec<Proof>,
}

/// What the outcome is checked with, once the server's seed is revealed.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    result: u32,
    nonce: u64,
    server_seed_hash: String,
    client_seed: String,
}

#[derive(Serialize)]
struct WithRound {
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<Round>,
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
    message: &'static str,
}

fn good<T: Serialize>(value: &T) -> Answer {
    Answer { status: 200, body: serde_json::to_vec(value).unwrap_or_default() }
}

fn problem(status: u16, error: &'static str, message: &'static str) -> Answer {
    Answer { status, body: serde_json::to_vec(&Problem { error, message }).unwrap_or_default() }
}

fn round(id: &str, entry: Entry) -> Round {
    let Entry { bet, round, state, payout, result, nonce, server_seed_hash, client_seed, at_ms } = entry;
    let empty = || Bet { session: String::new(), amount: 0, currency: String::new(), mode: String::new() };
    let Bet { session, amount, currency, mode } = bet.unwrap_or_else(empty);
    let hundredths = u128::from(payout) * 100 / u128::from(amount.max(1));
    let multiplier = Scale(2).show_decimal(cage_engine::Amount(hundredths), 2);
    let state_name = match state {
        State::Active => "active",
        State::Ended => "ended",
        State::Cancelled => "cancelled",
    };
    Round {
        round,
        bet_id: id.to_owned(),
        session,
        amount,
        currency,
        mode,
        payout,
        payout_multiplier: RawValue::from_string(multiplier).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        active: state == State::Active,
        status: state_name,
        at_ms,
        state: vec![Proof { result, nonce, server_seed_hash, client_seed }],
    }
}

impl House {
    /// Opens the book and listens.
    ///
    /// # Errors
    /// If the book or the address cannot be had.
    pub async fn open(options: HouseOptions) -> Result<Self, BookError> {
        let book = Book::open(&options.data_dir)?;
        let listener = TcpListener::bind(options.listen).await.map_err(BookError::of)?;
        let faults = RefCell::new(Faults::new(options.faults, options.seed));
        let table = Table { book, bearer: options.bearer, faults, delay: options.delay };
        Ok(Self { listener, table: Rc::new(table) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done. Needs a local task set around it.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        listen(self.listener, self.table, stop).await;
    }
}

impl Handler for Table {
    async fn answer(&self, asked: Asked) -> Reply {
        let header = asked.headers.get("authorization").map_or(&b""[..], |value| value.as_bytes());
        let bearer = header.strip_prefix(b"Bearer ").unwrap_or_default();
        if !same(bearer, &self.bearer) {
            return Reply::Whole(problem(401, "ERR_IS", "the authorization is not the casino's"));
        }
        let fault = self.faults.borrow_mut().draw();
        if fault == Some(Fault::Delay) {
            tokio::time::sleep(self.delay).await;
        }
        if fault == Some(Fault::Lose) {
            return Reply::Nothing;
        }
        let answer = self.carry_out(&asked);
        match fault {
            None | Some(Fault::Delay | Fault::Lose) => Reply::Whole(answer),
            Some(Fault::Drop) => Reply::Nothing,
            Some(Fault::Duplicate) => Reply::Whole(self.carry_out(&asked)),
            Some(Fault::Cut) => Reply::Cut(answer),
            Some(Fault::Error) => Reply::Whole(problem(500, "ERR_GEN", "an error on order")),
            Some(Fault::Garbage) => Reply::Whole(Answer { status: 200, body: b"<html>".to_vec() }),
            Some(Fault::WrongEcho) => {
                Reply::Whole(spoilt(answer, "betId", "0123456789abcdef0123456789abcdef"))
            }
            Some(Fault::OverCap) => Reply::Whole(spoilt(answer, "payout", "999999999999999999")),
        }
    }
}

/// An answer whose field of this name says something else.
fn spoilt(answer: Answer, field: &str, value: &str) -> Answer {
    let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(&answer.body) else { return answer };
    if let Some(place) = body.get_mut("round").and_then(|round| round.get_mut(field)) {
        *place = if place.is_string() { value.into() } else { value.parse::<u64>().unwrap_or(0).into() };
    }
    Answer { body: serde_json::to_vec(&body).unwrap_or_default(), ..answer }
}

impl Table {
    fn carry_out(&self, asked: &Asked) -> Answer {
        let call: Call = match serde_json::from_slice(&asked.body) {
            Ok(call) => call,
            Err(_) => return problem(400, "ERR_VAL", "the body is not what this call needs"),
        };
        let done = match asked.path.as_str() {
            "/wallet/play" => self.play(&call),
            "/wallet/end-round" => self.end(&call),
            "/wallet/authenticate" => self.authenticate(&call),
            "/bet/status" => self.status(&call),
            "/bet/cancel" => self.cancel(&call),
            "/bet/event" => Ok(good(&serde_json::json!({}))),
            "/bets" => self.bets(&call),
            "/fair/seeds" => self.seeds(&call),
            "/fair/rotate" => self.rotate(&call),
            _ => Ok(problem(404, "ERR_VAL", "no such call")),
        };
        done.unwrap_or_else(|error| {
            tracing::error!(%error, "the house's games cannot answer");
            problem(500, "ERR_GEN", "try again")
        })
    }

    fn play(&self, call: &Call) -> Result<Answer, BookError> {
        let fits = |text: &Option<String>| {
            text.clone().filter(|text| !text.is_empty() && text.len() <= NAME_BYTES_MAX)
        };
        let id = fits(&call.meta.as_ref().map(|meta| meta.bet_id.clone()));
        let session = fits(&call.session).filter(|text| is_client_seed(text));
        let (currency, mode) = (fits(&call.currency), fits(&call.mode));
        let amount = call.amount.filter(|amount| (BET_MIN..=BET_MAX).contains(amount));
        let (Some(id), Some(session), Some(amount), Some(currency), Some(mode)) =
            (id, session, amount, currency, mode)
        else {
            return Ok(problem(
                400,
                "ERR_VAL",
                "a bet needs sessionID, amount, currency, mode and meta.betId",
            ));
        };
        Ok(match self.book.place(&id, &Bet { session, amount, currency, mode })? {
            Placed::Decided(entry) => good(&WithRound { round: Some(round(&id, *entry)) }),
            Placed::Differs => problem(400, "ERR_BE", "the bet's id was used for another bet"),
            Placed::Cancelled => problem(400, "ERR_BC", "the bet was cancelled"),
            Placed::Unfit => problem(400, "ERR_VAL", "no such mode, or a payout that cannot be counted"),
        })
    }

    fn id(call: &Call) -> &str {
        let meta = call.meta.as_ref().map(|meta| meta.bet_id.as_str());
        call.bet_id.as_deref().or(meta).unwrap_or("")
    }

    fn end(&self, call: &Call) -> Result<Answer, BookError> {
        let id = Self::id(call);
        Ok(match self.book.finish(id, State::Ended)? {
            Some(entry) => good(&WithRound { round: Some(round(id, entry)) }),
            None => problem(400, "ERR_BNF", "there is no such bet"),
        })
    }

    fn status(&self, call: &Call) -> Result<Answer, BookError> {
        let id = Self::id(call);
        Ok(match self.book.bet(id)? {
            Some(entry) => good(&WithRound { round: Some(round(id, entry)) }),
            None => problem(400, "ERR_BNF", "there is no such bet"),
        })
    }

    fn cancel(&self, call: &Call) -> Result<Answer, BookError> {
        let id = Self::id(call);
        if id.is_empty() || id.len() > NAME_BYTES_MAX {
            return Ok(problem(400, "ERR_VAL", "which bet?"));
        }
        Ok(match self.book.finish(id, State::Cancelled)? {
            Some(entry) => good(&WithRound { round: Some(round(id, entry)) }),
            None => problem(400, "ERR_BNF", "there is no such bet"),
        })
    }

    fn authenticate(&self, call: &Call) -> Result<Answer, BookError> {
        let session = call.session.as_deref().unwrap_or("");
        let last = self
            .book
            .bets()?
            .into_iter()
            .filter(|(_, entry)| entry.bet.as_ref().is_some_and(|bet| bet.session == session));
        let last = last.max_by_key(|(_, entry)| entry.round).map(|(id, entry)| round(&id, entry));
        Ok(good(&serde_json::json!({
            "config": { "minBet": BET_MIN, "maxBet": BET_MAX, "stepBet": 1, "betLevels": [], "jurisdiction": {} },
            "round": last,
        })))
    }

    /// The bets that came from `fromMs` on and before `toMs`, page by page: `more` says that another one begins `after` the last.
    fn bets(&self, call: &Call) -> Result<Answer, BookError> {
        let period = call.from_ms.unwrap_or(0)..call.to_ms.unwrap_or(u64::MAX);
        let (bets, more) = self.book.list(&period, call.after.as_deref().unwrap_or(""), LIST_MAX)?;
        let bets: Vec<_> = bets.into_iter().map(|(id, entry)| round(&id, entry)).collect();
        Ok(good(&serde_json::json!({ "bets": bets, "more": more })))
    }

    fn seeds(&self, call: &Call) -> Result<Answer, BookError> {
        let Some(session) = call.session.as_deref().filter(|text| is_client_seed(text)) else {
            return Ok(problem(400, "ERR_VAL", "which session?"));
        };
        let seeds = self.book.seeds(session)?;
        Ok(good(&serde_json::json!({
            "serverSeedHash": commitment(&seeds.server_seed),
            "clientSeed": seeds.client_seed,
            "nonce": seeds.nonce,
        })))
    }

    /// Reveals the seed in use and takes another one.
    fn rotate(&self, call: &Call) -> Result<Answer, BookError> {
        let session = call.session.as_deref().filter(|text| is_client_seed(text));
        let client_seed = call.client_seed.as_deref().or(session).filter(|text| is_client_seed(text));
        let (Some(session), Some(client_seed)) = (session, client_seed) else {
            return Ok(problem(400, "ERR_VAL", "a seed is 1 to 64 letters, digits, - _ ."));
        };
        let (old, new) = self.book.rotate(session, client_seed)?;
        Ok(good(&serde_json::json!({
            "revealed": {
                "serverSeed": old.server_seed,
                "serverSeedHash": commitment(&old.server_seed),
                "clientSeed": old.client_seed,
                "bets": old.nonce,
            },
            "serverSeedHash": commitment(&new.server_seed),
            "clientSeed": new.client_seed,
            "nonce": 0,
        })))
    }
}
