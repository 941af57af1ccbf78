//! Numbers for monitors: what providers ask, what they are asked, what is in doubt.
//!
//! In: what happened; how the open bets stand when somebody looks. Out: Prometheus's text form. Never here: a label whose
//! values somebody outside chooses, a player, an amount.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::adapters::Reason;
use crate::config::Config;
use crate::inbound::Verdict;
use crate::outbound::{Decision, Ended};

/// Where times are counted, in seconds: from what a callback takes on a quiet machine to what a provider waits.
const TIME_BOUNDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

type Of = [(&'static str, String); 1];
type OfTwo = [(&'static str, String); 2];
type Times = Family<Of, Histogram, fn() -> Histogram>;

/// How a call to a provider went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// With an answer that is believed.
    Answered,
    /// With one that is not.
    Doubted,
    /// Without one.
    Unanswered,
}

/// What is counted, and what is looked at when somebody asks.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    callbacks: Family<OfTwo, Counter>,
    callback_times: Times,
    refused: Family<OfTwo, Counter>,
    calls: Family<OfTwo, Counter>,
    call_times: Times,
    ended: Family<OfTwo, Counter>,
    decisions: Family<OfTwo, Counter>,
    open: Family<Of, Gauge>,
    in_doubt: Family<Of, Gauge>,
    oldest: Family<Of, Gauge>,
    away: Family<Of, Gauge>,
    fenced: Family<Of, Gauge>,
    disputes: Gauge,
}

/// How the bets of a provider stand that are on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many there are.
    pub open: u64,
    /// How many of them people should look at.
    pub in_doubt: u64,
    /// How old the oldest is.
    pub oldest: Duration,
    /// Whether nothing new is sent to the provider for now.
    pub away: bool,
}

fn of(provider: &str) -> Of {
    [("provider", provider.to_owned())]
}

fn of_two(provider: &str, name: &'static str, value: &str) -> OfTwo {
    [("provider", provider.to_owned()), (name, value.to_owned())]
}

fn times() -> Histogram {
    Histogram::new(TIME_BOUNDS)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Metrics {
    /// All at 0, for the providers of a configuration: what never happened is a number, too.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("cage_games"),
            callbacks: Family::default(),
            callback_times: Family::new_with_constructor(times),
            refused: Family::default(),
            calls: Family::default(),
            call_times: Family::new_with_constructor(times),
            ended: Family::default(),
            decisions: Family::default(),
            open: Family::default(),
            in_doubt: Family::default(),
            oldest: Family::default(),
            away: Family::default(),
            fenced: Family::default(),
            disputes: Gauge::default(),
        };
        for name in config.providers.keys() {
            let _ = metrics.callbacks.get_or_create(&of_two(name, "verdict", Verdict::Applied.name()));
            let _ = metrics.callback_times.get_or_create(&of(name));
            let _ = metrics.refused.get_or_create(&of_two(name, "reason", Reason::Signature.name()));
            let _ = metrics.calls.get_or_create(&of_two(name, "outcome", "answered"));
            let _ = metrics.call_times.get_or_create(&of(name));
            let _ = metrics.ended.get_or_create(&of_two(name, "end", "settled"));
            let _ = metrics.decisions.get_or_create(&of_two(name, "decision", "settle"));
            let _ = metrics.fenced.get_or_create(&of(name));
            metrics.stand(name, Standing::default());
        }
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let games = &mut self.registry;
        let seconds = || Unit::Seconds;
        games.register(
            "callbacks",
            "Callbacks of providers that were understood, by what became of them",
            self.callbacks.clone(),
        );
        games.register_with_unit(
            "callback",
            "From a callback to its answer",
            seconds(),
            self.callback_times.clone(),
        );
        games.register(
            "callbacks_refused",
            "Callbacks that were refused before the ledger was asked",
            self.refused.clone(),
        );
        games.register(
            "calls",
            "Calls to providers; what is doubted is an answer that is not believed",
            self.calls.clone(),
        );
        games.register_with_unit(
            "call",
            "From a call to a provider to its answer, or to the end of the wait",
            seconds(),
            self.call_times.clone(),
        );
        games.register("bets_ended", "Bets that were sent out and have ended", self.ended.clone());
        games.register("decisions", "Bets that an operator has decided", self.decisions.clone());
        games.register("bets_open", "Bets that are on their way", self.open.clone());
        games.register("bets_in_doubt", "Of these, bets that people should look at", self.in_doubt.clone());
        games.register_with_unit(
            "oldest_bet",
            "Age of the oldest bet that is on its way",
            seconds(),
            self.oldest.clone(),
        );
        games.register(
            "provider_away",
            "1 while nothing new is sent to the provider, because it did not answer",
            self.away.clone(),
        );
        games.register("fenced", "1 if another bridge has taken the provider over", self.fenced.clone());
        games.register(
            "disputes",
            "Bets that provider and ledger ended differently, since the store was made",
            self.disputes.clone(),
        );
        self
    }

    /// A callback was answered.
    pub fn callback(&self, provider: &str, verdict: Verdict, took: Duration) {
        self.callbacks.get_or_create(&of_two(provider, "verdict", verdict.name())).inc();
        self.callback_times.get_or_create(&of(provider)).observe(took.as_secs_f64());
    }

    /// A callback was refused before the ledger was asked.
    pub fn refused(&self, provider: &str, reason: Reason) {
        self.refused.get_or_create(&of_two(provider, "reason", reason.name())).inc();
    }

    /// A provider was called.
    pub fn called(&self, provider: &str, called: Called, took: Duration) {
        let outcome = match called {
            Called::Answered => "answered",
            Called::Doubted => "doubted",
            Called::Unanswered => "unanswered",
        };
        self.calls.get_or_create(&of_two(provider, "outcome", outcome)).inc();
        self.call_times.get_or_create(&of(provider)).observe(took.as_secs_f64());
    }

    /// A bet has ended.
    pub fn ended(&self, provider: &str, ended: Ended) {
        let end = match ended {
            Ended::Settled { .. } => "settled",
            Ended::Cancelled => "cancelled",
            Ended::Dispute => "dispute",
        };
        self.ended.get_or_create(&of_two(provider, "end", end)).inc();
    }

    /// An operator has decided a bet.
    pub fn decided(&self, provider: &str, decision: Decision) {
        self.decisions.get_or_create(&of_two(provider, "decision", decision.name())).inc();
    }

    /// Another bridge has taken a provider over.
    pub fn fence(&self, provider: &str) {
        self.fenced.get_or_create(&of(provider)).set(1);
    }

    /// How the bets of a provider stand now.
    pub fn stand(&self, provider: &str, standing: Standing) {
        self.open.get_or_create(&of(provider)).set(whole(standing.open));
        self.in_doubt.get_or_create(&of(provider)).set(whole(standing.in_doubt));
        self.oldest.get_or_create(&of(provider)).set(whole(standing.oldest.as_secs()));
        self.away.get_or_create(&of(provider)).set(i64::from(standing.away));
    }

    /// How many disputes there are now.
    pub fn disputes(&self, count: usize) {
        self.disputes.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The page.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn page(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
