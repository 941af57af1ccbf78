//! What came back: counts by result, latencies.

use std::time::Instant;

use cage_engine::{Outcome, ResultCode};
use hdrhistogram::Histogram;

use crate::timeline::Timeline;

/// The longest latency that is told apart, in nanoseconds: longer ones count as this.
pub(crate) const LATENCY_MAX_NANOS: u64 = 60_000_000_000;
/// Latencies are kept to three digits.
const DIGITS: u8 = 3;
/// The numbers of results lie below.
const RESULTS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) latency: Histogram<u64>,
    results: Box<[u64; RESULTS]>,
    pub(crate) timeline: Timeline,
    /// The latest latency, how often it was met in a row and when: what was sent together usually comes back together.
    run: (u64, u64, Instant),
}

impl Tally {
    /// Of a run that began at `start`.
    pub(crate) fn new(start: Instant) -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_NANOS, DIGITS);
        let latency = latency.unwrap_or_else(|_| unreachable!("constant bounds that fit"));
        let (timeline, run) = (Timeline::new(start), (0, 0, start));
        Self { latency, results: Box::new([0; RESULTS]), timeline, run }
    }

    /// Counts an answer to what was sent `at`.
    pub(crate) fn count(&mut self, result: ResultCode, at: Instant, now: Instant) {
        self.results[usize::from(result.number()) % RESULTS] += 1;
        // What was not taken did not go the way whose length is asked for.
        if result.outcome() == Outcome::NotTaken {
            return;
        }
        let nanos = now.saturating_duration_since(at).as_nanos() as u64;
        if self.run.0 == nanos && self.run.2 == now {
            self.run.1 += 1;
        } else {
            self.record();
            self.run = (nanos, 1, now);
        }
    }

    fn record(&mut self) {
        let (nanos, count, now) = self.run;
        if count > 0 {
            self.latency.saturating_record_n(nanos.max(1), count);
            self.timeline.count(now, nanos, count);
        }
        self.run.1 = 0;
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        self.record();
        other.record();
        let _same_bounds = self.latency.add(&other.latency);
        self.timeline.add(other.timeline);
        self.results.iter_mut().zip(other.results.iter()).for_each(|(sum, count)| *sum += count);
    }

    /// The results that were met, and how often.
    pub(crate) fn results(&self) -> impl Iterator<Item = (ResultCode, u64)> {
        ResultCode::ALL
            .iter()
            .map(|code| (*code, self.results[usize::from(code.number())]))
            .filter(|met| met.1 > 0)
    }

    /// How many answers of a kind there were.
    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.results().filter(|(code, _)| code.outcome() == outcome).map(|met| met.1).sum()
    }
}
