//! SOFTSWISS-style: one call with a list of actions, all or none, signed with HMAC over the raw body.
//!
//! In: `/play` (no actions: a look at the balance, or the end of a round), `/rollback`, `/freespins`. Out: a call;
//! `{balance, game_id, transactions}` or, with HTTP 412, `{code, message, balance}`. Never here: what `adapters` says.
//!
//! `game_id` is the round, `game` is the title. Amounts are whole numbers of a currency's usual small unit.

use cage_engine::{Amount, GameId, Lsn, PlayerId, Reference};
use serde::{Deserialize, Serialize};

use super::json::{Number, Text};
use super::{Answer, Arrived, Callback, Reason, Refused, is_name, player, token, transaction_name};
use crate::config::{Config, Credential, Currency, Provider};
use crate::inbound::{Action, Ask, BetName, Call, Done, Verdict};
use crate::limits::ACTIONS_MAX;
use crate::names;

/// Amounts stand so many places behind the usual unit, whatever the asset's own scale is.
const PLACES: u8 = 2;

#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
    #[serde(borrow)]
    game: Option<Text<'a>>,
    #[serde(borrow)]
    game_id: Option<Text<'a>>,
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
    finished: Option<bool>,
    #[serde(borrow, default)]
    actions: Vec<Step<'a>>,
    #[serde(borrow)]
    issue_id: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    total_amount: Option<Number<'a>>,
}

#[derive(Debug, Deserialize)]
struct Step<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    action_id: Text<'a>,
    #[serde(borrow)]
    amount: Option<Number<'a>>,
    #[serde(borrow)]
    jackpot_win: Option<Number<'a>>,
    #[serde(borrow)]
    original_action_id: Option<Text<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Play,
    Rollback,
    Freespins,
}

#[derive(Debug)]
struct SoftswissCallback {
    call: Call,
    kind: Kind,
    currency: Currency,
    round: Option<String>,
    /// What is answered for: the provider's names, and which action of the call each is.
    named: Vec<(String, usize)>,
}

#[derive(Serialize)]
struct Reply<'a> {
    balance: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    game_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Vec<Transaction<'a>>>,
}

#[derive(Serialize)]
struct Transaction<'a> {
    action_id: &'a str,
    tx_id: String,
}

#[derive(Serialize)]
struct Problem {
    code: u16,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<u128>,
}

fn problem(status: u16, code: u16, message: &'static str, balance: Option<u128>) -> Answer {
    Answer { status, body: serde_json::to_vec(&Problem { code, message, balance }).unwrap_or_default() }
}

fn refuse(reason: Reason) -> Refused {
    let (status, code, message) = match reason {
        Reason::Signature | Reason::Stale => (403, 403, "the signature is not one of this body"),
        Reason::Path => (404, 404, "no such call"),
        Reason::Syntax => (400, 400, "the body is not what this call needs"),
        Reason::Amount => (400, 400, "an amount is not a whole number of this currency's units"),
        Reason::Player | Reason::Token => (412, 101, "invalid player"),
        Reason::Game => (412, 107, "game is forbidden for the player"),
        Reason::Currency => (412, 154, "currency is not allowed"),
    };
    Refused { reason, answer: problem(status, code, message, None) }
}

pub(super) fn verify(provider: &Provider, arrived: &Arrived<'_>) -> Result<(), Refused> {
    let signature = arrived.headers.get("x-request-sign").unwrap_or_default();
    let known = match &provider.credential {
        Credential::Secret(secret) => secret.accepts(arrived.body, signature),
        _ => false,
    };
    if !known {
        return Err(refuse(Reason::Signature));
    }
    Ok(())
}

pub(super) fn understand(
    config: &Config,
    provider: &Provider,
    arrived: &Arrived<'_>,
) -> Result<Box<dyn Callback>, Refused> {
    let kind = match arrived.path {
        "/play" if arrived.method == "POST" => Kind::Play,
        "/rollback" if arrived.method == "POST" => Kind::Rollback,
        "/freespins" if arrived.method == "POST" => Kind::Freespins,
        _ => return Err(refuse(Reason::Path)),
    };
    let body: Body<'_> = serde_json::from_slice(arrived.body).map_err(|_| refuse(Reason::Syntax))?;
    let callback = callback(config, provider, kind, &body).map_err(refuse)?;
    Ok(Box::new(callback))
}

fn callback(
    config: &Config,
    provider: &Provider,
    kind: Kind,
    body: &Body<'_>,
) -> Result<SoftswissCallback, Reason> {
    let text = |text: &Option<Text<'_>>| text.as_ref().map_or("", Text::as_str).to_owned();
    let player = player(&text(&body.user_id)).ok_or(Reason::Player)?;
    let currency = *provider.currencies.get(&text(&body.currency)).ok_or(Reason::Currency)?;
    let token = token(config, provider, player, &text(&body.session_id));
    let round = body.game_id.as_ref().map(|round| round.as_str().to_owned()).filter(|round| is_name(round));
    let reader = Reader { provider, player, currency, body, round: round.as_deref() };
    let (actions, named) = match kind {
        Kind::Freespins => (reader.freespins()?, Vec::new()),
        Kind::Play => reader.steps(Reader::played)?,
        Kind::Rollback => reader.steps(Reader::undone)?,
    };
    let finished = body.finished == Some(true);
    let has = |wanted: fn(&Action) -> bool| actions.iter().any(wanted);
    let ends_itself = has(|action| {
        matches!(action, Action::Bet { ends_round: true, .. } | Action::Win { ends_round: true, .. })
    });
    let game = reader.game().unwrap_or_else(|| provider.any_game());
    let then_end = match reader.round() {
        Ok(round) if finished && !ends_itself => Some((round, game)),
        _ => None,
    };
    let ask = if kind == Kind::Play && actions.is_empty() && then_end.is_none() {
        Ask::Balance
    } else {
        Ask::Actions { actions, then_end }
    };
    let call = Call { player, token, currency: Some(currency), ask };
    Ok(SoftswissCallback { call, kind, currency, round, named })
}

struct Reader<'a> {
    provider: &'a Provider,
    player: PlayerId,
    currency: Currency,
    body: &'a Body<'a>,
    round: Option<&'a str>,
}

/// The actions of a call, and under which name each of them was sent.
type Steps = (Vec<Action>, Vec<(String, usize)>);

impl Reader<'_> {
    fn game(&self) -> Option<GameId> {
        self.body.game.as_ref().and_then(|game| self.provider.game(game.as_str()))
    }

    fn round(&self) -> Result<Reference, Reason> {
        let name = self.round.ok_or(Reason::Syntax)?;
        Ok(names::round(self.provider.number, self.player, name))
    }

    fn transaction(&self, name: &str) -> Result<Reference, Reason> {
        if is_name(name) { Ok(names::transaction(self.provider.number, name)) } else { Err(Reason::Syntax) }
    }

    fn amount(&self, number: Option<Number<'_>>) -> Result<Amount, Reason> {
        let text = number.and_then(Number::text).ok_or(Reason::Amount)?;
        self.currency.scale.from_units(text, PLACES).map_err(|_| Reason::Amount)
    }

    fn steps(
        &self,
        read: fn(&Self, &Step<'_>, &[Action], bool) -> Result<Action, Reason>,
    ) -> Result<Steps, Reason> {
        let steps = &self.body.actions;
        if steps.len() > ACTIONS_MAX {
            return Err(Reason::Syntax);
        }
        let (mut actions, mut named) = (Vec::with_capacity(steps.len()), Vec::with_capacity(steps.len()));
        for (place, step) in steps.iter().enumerate() {
            let is_last = place + 1 == steps.len();
            named.push((step.action_id.as_str().to_owned(), actions.len()));
            actions.push(read(self, step, &actions, is_last)?);
            if let Some(jackpot) = self.jackpot(step)? {
                actions.push(jackpot);
            }
        }
        Ok((actions, named))
    }

    /// The part of a win that a jackpot pays.
    fn jackpot(&self, step: &Step<'_>) -> Result<Option<Action>, Reason> {
        let Some(number) = step.jackpot_win else { return Ok(None) };
        let amount = self.amount(Some(number))?;
        let game = self.game().unwrap_or_else(|| self.provider.any_game());
        let key = names::jackpot(self.provider.number, step.action_id.as_str());
        let pool = self.provider.pool();
        Ok((!amount.is_zero()).then_some(Action::Jackpot { key, amount, game, pool }))
    }

    /// A bet or a win. A win names no bet: it is for the one before it in the same call, else for what is open in the
    /// round.
    fn played(&self, step: &Step<'_>, before: &[Action], is_last: bool) -> Result<Action, Reason> {
        let transaction = self.transaction(step.action_id.as_str())?;
        let (round, amount) = (self.round()?, self.amount(step.amount)?);
        let ends_round = is_last && self.body.finished == Some(true);
        match step.action.as_str() {
            "bet" => {
                let game = self.game().ok_or(Reason::Game)?;
                Ok(Action::Bet { transaction, tag: 0, stake: amount, round, game, ends_round })
            }
            "win" => {
                let bet = before.iter().rev().find_map(|action| match action {
                    Action::Bet { transaction, .. } => Some(BetName::Transaction(*transaction)),
                    _ => None,
                });
                let bet = bet.unwrap_or(BetName::OfRound);
                let game = self.game().unwrap_or_else(|| self.provider.any_game());
                let jackpot = step.jackpot_win.map_or(Ok(Amount::ZERO), |won| self.amount(Some(won)))?;
                let amount = amount.0.checked_sub(jackpot.0).map(Amount).ok_or(Reason::Amount)?;
                Ok(Action::Win { transaction, bet, amount, round, game, ends_round, open_only: false })
            }
            _ => Err(Reason::Syntax),
        }
    }

    fn undone(&self, step: &Step<'_>, _: &[Action], _: bool) -> Result<Action, Reason> {
        if step.action.as_str() != "rollback" {
            return Err(Reason::Syntax);
        }
        let transaction = self.transaction(step.action_id.as_str())?;
        let target = step.original_action_id.as_ref().ok_or(Reason::Syntax)?;
        let target = self.transaction(target.as_str())?;
        let game = self.game().unwrap_or_else(|| self.provider.any_game());
        Ok(Action::Rollback { transaction, target, game, bets_only: false })
    }

    /// One prize for a whole package of free rounds, when it was played. Everything else is news and moves nothing.
    fn freespins(&self) -> Result<Vec<Action>, Reason> {
        let issue = self.body.issue_id.as_ref().map(Text::as_str).filter(|name| is_name(name));
        let issue = issue.ok_or(Reason::Syntax)?;
        if self.body.status.as_ref().map(Text::as_str) != Some("played") {
            return Ok(Vec::new());
        }
        let amount = self.amount(self.body.total_amount)?;
        let key = names::prize(self.provider.number, issue);
        let game = self.game().unwrap_or_else(|| self.provider.any_game());
        Ok(vec![Action::Prize { key, amount, game, campaign: Some(Reference(key.0)) }])
    }
}

/// The code and what it says. What is not known to have failed is 500: the provider asks again, or rolls back.
const fn code(verdict: Verdict) -> (u16, u16, &'static str) {
    match verdict {
        Verdict::Insufficient => (412, 100, "not enough funds"),
        Verdict::PlayerUnknown | Verdict::SessionGone | Verdict::SessionExpired => {
            (412, 101, "invalid player")
        }
        Verdict::Limit => (412, 105, "a limit of the player is reached"),
        Verdict::GameStopped => (412, 107, "game is forbidden for the player"),
        Verdict::PlayerBlocked => (412, 110, "player is disabled"),
        Verdict::Currency => (412, 154, "currency is not allowed"),
        Verdict::Conflict => (412, 400, "the action id was used for something else"),
        Verdict::BetUnknown | Verdict::BetRefused => (412, 400, "no bet is known in this round"),
        Verdict::BetCancelled | Verdict::CancelledBefore => (412, 400, "the action was rolled back"),
        Verdict::BetDiffers | Verdict::RoundDiffers => (412, 400, "the round is another player's or game's"),
        Verdict::Settled | Verdict::NotABet => (412, 400, "the action cannot be rolled back any more"),
        Verdict::RoundClosed | Verdict::RoundUnknown => (412, 400, "the round is not open"),
        Verdict::OtherRefused => (412, 400, "another action of the call was refused"),
        Verdict::Applied | Verdict::AlreadyCancelled | Verdict::Tombstoned => (200, 0, ""),
        Verdict::Forbidden | Verdict::Unavailable => (500, 500, "try again"),
    }
}

impl SoftswissCallback {
    /// A bet that comes after its rollback is taken note of, and moves nothing.
    fn is_late_bet(&self, done: &Done) -> bool {
        let only_bets = match &self.call.ask {
            Ask::Actions { actions, .. } => matches!(actions[..], [Action::Bet { .. }]),
            _ => false,
        };
        self.kind == Kind::Play && only_bets && done.verdict == Verdict::CancelledBefore
    }
}

impl Callback for SoftswissCallback {
    fn call(&self) -> &Call {
        &self.call
    }

    fn answer(&self, _: &Config, _: &Provider, done: &Done) -> Answer {
        let balance = done.balance.map(|balance| self.currency.scale.show_units(balance, PLACES));
        let is_good = done.verdict.is_good() || self.is_late_bet(done);
        let (status, number, message) = code(done.verdict);
        let Some(balance) = balance.filter(|_| is_good) else {
            let (status, number, message) =
                if is_good { (500, 500, "try again") } else { (status, number, message) };
            return problem(status, number, message, balance.filter(|_| status == 412));
        };
        let transactions = self.named.iter().map(|(action_id, place)| {
            let part = done.parts.get(*place);
            // Nothing was there to undo: it has no name of ours.
            let none = part.is_none_or(|part| part.verdict == Verdict::Tombstoned);
            let tx_id =
                if none { String::new() } else { transaction_name(part.map_or(Lsn::NONE, |part| part.lsn)) };
            Transaction { action_id, tx_id }
        });
        let transactions =
            (self.kind != Kind::Freespins && !self.named.is_empty()).then(|| transactions.collect());
        let reply = Reply { balance, game_id: self.round.as_deref(), transactions };
        Answer { status: 200, body: serde_json::to_vec(&reply).unwrap_or_default() }
    }
}
