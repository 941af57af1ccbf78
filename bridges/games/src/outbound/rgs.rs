//! The format of providers that are called: one bet at a time, `/wallet/play`, `/wallet/end-round`, and for what is unclear
//! `/bet/status` and `/bet/cancel`.
//!
//! In: a wager; the bytes of an answer. Out: the bytes of a request; what was heard, checked against the wager. What does
//! not fit is not believed. Never here: I/O, a float: the payout is the integer, the multiplier a cross-check.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::machine::{Event, Step};
use crate::money::Scale;

/// Amounts are whole millionths of a unit.
pub const PLACES: u8 = 6;

/// A bet, as the provider is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Wager {
    /// Its id: the hold's, in hexadecimal.
    pub bet: String,
    /// The provider's name for the player's session.
    pub session: String,
    /// The stake, in millionths of a unit.
    pub amount: u64,
    /// In what.
    pub currency: String,
    /// What is played.
    pub mode: String,
    /// The most that it can pay, in millionths of a unit.
    pub payout_max: u64,
}

/// Why an answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is not of the form that was agreed.
    Form,
    /// It is about another bet, session, stake, currency or mode.
    Echo,
    /// It pays more than the bet can win.
    OverCap,
    /// The payout is not the stake times the multiplier.
    Multiplier,
    /// An error of which nothing follows.
    Status,
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An outcome, of this round of the provider's.
    Outcome {
        /// The round.
        round: u64,
        /// What it pays, in millionths.
        payout: u64,
    },
    /// What else can happen.
    Other(Event),
    /// Nothing that can be believed.
    Doubtful(Why),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(rename = "sessionID")]
    session: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'a str>,
    meta: Meta<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    bet_id: &'a str,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    round: Option<Round<'a>>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Round<'a> {
    #[serde(rename = "roundID")]
    round: u64,
    bet_id: String,
    #[serde(rename = "sessionID")]
    session: String,
    amount: u64,
    currency: String,
    mode: String,
    payout: u64,
    #[serde(borrow)]
    payout_multiplier: Option<&'a RawValue>,
    status: String,
}

impl Wager {
    /// The path and the body of what a step asks for; nothing for steps that ask the provider for nothing.
    #[must_use]
    pub fn request(&self, step: Step) -> Option<(&'static str, Vec<u8>)> {
        let path = match step {
            Step::Send => "/wallet/play",
            Step::Ask => "/bet/status",
            Step::Void => "/bet/cancel",
            Step::Settle { .. } | Step::Release | Step::Finish(_) => return None,
        };
        let told = matches!(step, Step::Send);
        Some((path, self.body(told)))
    }

    /// The path and the body of the end of a round that was paid.
    #[must_use]
    pub fn end(&self) -> (&'static str, Vec<u8>) {
        ("/wallet/end-round", self.body(false))
    }

    fn body(&self, told: bool) -> Vec<u8> {
        let request = Request {
            session: &self.session,
            amount: told.then_some(self.amount),
            currency: told.then_some(self.currency.as_str()),
            mode: told.then_some(self.mode.as_str()),
            meta: Meta { bet_id: &self.bet },
        };
        serde_json::to_vec(&request).unwrap_or_default()
    }

    /// What an answer to a step says.
    #[must_use]
    pub fn hear(&self, step: Step, status: u16, body: &[u8]) -> Heard {
        let Ok(answer) = serde_json::from_slice::<Answer<'_>>(body) else {
            return Heard::Doubtful(Why::Form);
        };
        match (status, answer) {
            (200, Answer { round: Some(round), .. }) => self.hear_round(&round),
            (400, Answer { error: Some(error), round: None }) => Self::hear_error(step, &error),
            (200, _) => Heard::Doubtful(Why::Form),
            _ => Heard::Doubtful(Why::Status),
        }
    }

    fn hear_error(step: Step, error: &str) -> Heard {
        match (step, error) {
            // Nothing was taken, and nothing will be under this id.
            (Step::Send, "ERR_BC") => Heard::Other(Event::NotTaken),
            // Perhaps an earlier copy was taken: it is voided before the stake is given back.
            (Step::Send, "ERR_VAL" | "ERR_IS" | "ERR_GLE" | "ERR_LOC" | "ERR_ATE") => {
                Heard::Other(Event::NeverCame)
            }
            (Step::Ask, "ERR_BNF") => Heard::Other(Event::NeverCame),
            _ => Heard::Doubtful(Why::Status),
        }
    }

    fn hear_round(&self, round: &Round<'_>) -> Heard {
        if round.bet_id != self.bet {
            return Heard::Doubtful(Why::Echo);
        }
        if round.status == "cancelled" {
            return Heard::Other(Event::Voided);
        }
        let echo = (&round.session, round.amount, &round.currency, &round.mode);
        if echo != (&self.session, self.amount, &self.currency, &self.mode) {
            return Heard::Doubtful(Why::Echo);
        }
        if !matches!(round.status.as_str(), "active" | "ended") {
            return Heard::Doubtful(Why::Form);
        }
        if round.payout > self.payout_max {
            return Heard::Doubtful(Why::OverCap);
        }
        if !self.fits(round) {
            return Heard::Doubtful(Why::Multiplier);
        }
        Heard::Outcome { round: round.round, payout: round.payout }
    }

    /// Whether the multiplier, to its last hundredth, is that of the payout.
    fn fits(&self, round: &Round<'_>) -> bool {
        let Some(told) = round.payout_multiplier else { return true };
        let Ok(billionths) = Scale(9).from_decimal(told.get()) else { return false };
        let exact = u128::from(round.payout) * 1_000_000_000 / u128::from(self.amount.max(1));
        billionths.0.abs_diff(exact) <= 10_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wager() -> Wager {
        Wager {
            bet: "ab".to_owned(),
            session: "s".to_owned(),
            amount: 2_500_000,
            currency: "EUR".to_owned(),
            mode: "dice-under-5000".to_owned(),
            payout_max: 4_950_495,
        }
    }

    const GOOD: &str = r#"{"round":{"roundID":5001,"betId":"ab","sessionID":"s","amount":2500000,"currency":"EUR","mode":"dice-under-5000","payout":4950495,"payoutMultiplier":1.98,"active":true,"status":"active","state":[]}}"#;

    #[test]
    fn an_outcome_is_believed_only_if_all_of_it_fits_the_bet() {
        let hear = |body: &str| wager().hear(Step::Send, 200, body.as_bytes());
        assert_eq!(hear(GOOD), Heard::Outcome { round: 5_001, payout: 4_950_495 });
        for (from, to, why) in [
            ("\"ab\"", "\"cd\"", Why::Echo),
            ("\"s\"", "\"t\"", Why::Echo),
            ("2500000", "2500001", Why::Echo),
            ("EUR", "USD", Why::Echo),
            ("under-5000", "under-5001", Why::Echo),
            ("4950495", "4950496", Why::OverCap),
            ("4950495", "0", Why::Multiplier),
            ("4950495", "-1", Why::Form),
            ("4950495", "1.5", Why::Form),
            ("4950495", "\"4950495\"", Why::Form),
            ("1.98", "19.8", Why::Multiplier),
            ("\"active\",", "\"odd\",", Why::Form),
            ("}}", "}", Why::Form),
        ] {
            let at = GOOD.rfind(from).expect("a place");
            let mut body = GOOD.to_owned();
            body.replace_range(at..at + from.len(), to);
            assert_eq!(hear(&body), Heard::Doubtful(why), "{from} -> {to}");
        }
        assert_eq!(wager().hear(Step::Send, 500, GOOD.as_bytes()), Heard::Doubtful(Why::Status));
        let cancelled = GOOD.replace("\"status\":\"active\"", "\"status\":\"cancelled\"");
        assert_eq!(hear(&cancelled), Heard::Other(Event::Voided));
    }

    #[test]
    fn an_error_says_that_nothing_was_taken_only_where_it_does() {
        let hear =
            |step, error: &str| wager().hear(step, 400, format!("{{\"error\":\"{error}\"}}").as_bytes());
        assert_eq!(hear(Step::Send, "ERR_BC"), Heard::Other(Event::NotTaken));
        assert_eq!(hear(Step::Send, "ERR_VAL"), Heard::Other(Event::NeverCame));
        assert_eq!(hear(Step::Ask, "ERR_BNF"), Heard::Other(Event::NeverCame));
        assert_eq!(hear(Step::Void, "ERR_BNF"), Heard::Doubtful(Why::Status));
        assert_eq!(hear(Step::Send, "ERR_GEN"), Heard::Doubtful(Why::Status));
    }
}
