//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use cage_engine::Outcome;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::acks::AcksError;
use crate::options::{Load, Options};
use crate::run::Worked;
use crate::tally::Tally;
use crate::timeline::Moment;

/// What a run came to. Field names are kept: others script against them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which requests.
    pub workload: &'static str,
    /// Of how many players.
    pub players: u32,
    /// How many assets each player has.
    pub assets: u32,
    /// Over how many connections, those for deposits not counted.
    pub connections: usize,
    /// On how many threads.
    pub threads: usize,
    /// Unanswered at a time per connection, in a closed loop.
    pub outstanding: Option<usize>,
    /// Requests a second, in an open loop.
    pub rate: Option<f64>,
    /// Requests in a frame, if that was fixed.
    pub batch: Option<usize>,
    /// What the choices depended on.
    pub seed: u64,
    /// Requests sent.
    pub requests: u64,
    /// From the start to the last reply, and at least the duration asked for.
    pub seconds: f64,
    /// Requests decided a second: executed and refused.
    pub per_second: f64,
    /// Requests executed.
    pub executed: u64,
    /// Requests refused.
    pub refused: u64,
    /// Requests that the server did not take.
    pub not_taken: u64,
    /// Requests without an answer.
    pub unknown: u64,
    /// How long decided requests took, from when they were sent; with a rate, from when they were to be sent.
    pub latency_us: Latency,
    /// Processor time of the load generator's threads per answer, in microseconds.
    pub client_cpu_us_per_request: f64,
    /// Bytes of UDP sent while running.
    pub bytes_sent: u64,
    /// Bytes of UDP received while running.
    pub bytes_received: u64,
    /// How often each result was met, by its name.
    pub results: BTreeMap<&'static str, u64>,
    /// Why connections ended before their time.
    pub faults: Vec<String>,
    /// All latencies, in nanoseconds.
    #[serde(skip)]
    pub(crate) histogram: Histogram<u64>,
    /// Answers over the time of the run.
    #[serde(skip)]
    pub(crate) moments: Vec<Moment>,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half took no longer.
    pub p50: f64,
    /// Nine in ten took no longer.
    pub p90: f64,
    /// 99 in 100 took no longer.
    pub p99: f64,
    /// 999 in 1,000 took no longer.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
}

impl Latency {
    fn of(tally: &Tally) -> Self {
        let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        let at = |quantile| micros(tally.latency.value_at_quantile(quantile));
        if tally.latency.is_empty() {
            return Self::default();
        }
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(tally.latency.max()),
            mean: micros(tally.latency.mean() as u64),
        }
    }
}

/// Sums over all workers.
#[derive(Debug)]
pub(crate) struct Totals {
    tally: Tally,
    sent: u64,
    unknown: u64,
    start: Instant,
    last_reply: Instant,
    bytes: (u64, u64),
    cpu: Duration,
    faults: Vec<String>,
}

impl Totals {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            tally: Tally::new(start),
            sent: 0,
            unknown: 0,
            start,
            last_reply: start,
            bytes: (0, 0),
            cpu: Duration::ZERO,
            faults: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, worked: Worked) -> Result<(), AcksError> {
        self.cpu += worked.cpu;
        for done in worked.workers {
            self.tally.add(done.tally);
            self.sent += done.sent;
            self.unknown += done.unknown;
            self.last_reply = self.last_reply.max(done.last_reply.unwrap_or(self.start));
            self.bytes.0 += done.bytes.0;
            self.bytes.1 += done.bytes.1;
            self.faults.extend(done.fault.map(|fault| fault.to_string()));
            done.acks.finish()?;
        }
        Ok(())
    }
}

impl Report {
    pub(crate) fn new(options: &Options, totals: Totals) -> Self {
        let of = |outcome| totals.tally.of(outcome);
        let (executed, refused, not_taken) =
            (of(Outcome::Executed), of(Outcome::Refused), of(Outcome::NotTaken));
        let seconds = (totals.last_reply - totals.start).max(options.duration).as_secs_f64();
        let answers = (executed + refused + not_taken).max(1) as f64;
        let (outstanding, rate) = match options.load {
            Load::Outstanding(count) => (Some(count), None),
            Load::Rate(rate) => (None, Some(rate)),
        };
        Self {
            workload: options.workload.name(),
            players: options.players,
            assets: options.assets,
            connections: options.connections,
            threads: options.threads,
            outstanding,
            rate,
            batch: options.batch,
            seed: options.seed,
            requests: totals.sent,
            seconds,
            per_second: (executed + refused) as f64 / seconds,
            executed,
            refused,
            not_taken,
            unknown: totals.unknown,
            latency_us: Latency::of(&totals.tally),
            client_cpu_us_per_request: totals.cpu.as_secs_f64() * 1e6 / answers,
            bytes_sent: totals.bytes.0,
            bytes_received: totals.bytes.1,
            results: totals.tally.results().map(|(code, count)| (code.name(), count)).collect(),
            faults: totals.faults,
            moments: totals.tally.timeline.moments(seconds),
            histogram: totals.tally.latency,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p90, p99, p99_9, max, .. } = self.latency_us;
        let load = match (self.outstanding, self.rate) {
            (Some(outstanding), _) => format!("{outstanding} outstanding each"),
            (None, rate) => format!("{} a second offered", rate.unwrap_or_default()),
        };
        writeln!(
            f,
            "{}: {} players, {} connections, {load}, {:.1} s",
            self.workload, self.players, self.connections, self.seconds
        )?;
        writeln!(f, "  decided    {:>12.0} a second", self.per_second)?;
        writeln!(
            f,
            "  requests   {:>12}   executed {}, refused {}, not taken {}, unknown {}",
            self.requests, self.executed, self.refused, self.not_taken, self.unknown
        )?;
        writeln!(f, "  latency us {p50:>12} p50   {p90} p90   {p99} p99   {p99_9} p99.9   {max} max")?;
        writeln!(
            f,
            "  client     {:>12.3} us of processor time per request",
            self.client_cpu_us_per_request
        )?;
        let results: Vec<_> = self.results.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(f, "  results    {}", results.join(", "))?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  ended early: {fault}"))
    }
}
