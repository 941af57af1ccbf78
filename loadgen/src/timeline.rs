//! What came back when: answers and latencies, slice by slice.
//!
//! In: answers, each with the time it came. Out: for each slice of time how many there were and how long they took. Never
//! here: more memory the longer a run is; when there are too many slices, two become one.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::tally::LATENCY_MAX_NANOS;

/// How long a slice is at first.
const SLICE_TIME: Duration = Duration::from_secs(1);
/// So many slices at most, some 2 KiB each: at first ten minutes, then two become one.
const SLICES_MAX: usize = 600;
/// Latencies of a slice are kept to one digit: a picture shows no more.
const DIGITS: u8 = 1;

/// Answers of a run over its time.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    start: Instant,
    slice: Duration,
    slices: Vec<Slice>,
}

#[derive(Clone, Debug)]
struct Slice {
    latency: Histogram<u32>,
}

impl Default for Slice {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_NANOS, DIGITS);
        Self { latency: latency.unwrap_or_else(|_| unreachable!("constant bounds that fit")) }
    }
}

/// One slice, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moment {
    /// When it begins, in seconds since the start.
    pub second: f64,
    /// Requests decided a second.
    pub per_second: f64,
    /// Half took no longer, in microseconds.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Timeline {
    pub(crate) const fn new(start: Instant) -> Self {
        Self { start, slice: SLICE_TIME, slices: Vec::new() }
    }

    /// Counts so many answers that came at `now` after `nanos`.
    pub(crate) fn count(&mut self, now: Instant, nanos: u64, count: u64) {
        let place = |slice: Duration| {
            (now.saturating_duration_since(self.start).as_nanos() / slice.as_nanos()) as usize
        };
        while place(self.slice) >= SLICES_MAX {
            self.slice *= 2;
            halve(&mut self.slices);
        }
        let at = place(self.slice);
        if self.slices.len() <= at {
            self.slices.resize_with(at + 1, Slice::default);
        }
        self.slices[at].latency.saturating_record_n(nanos.max(1), u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Adds another one of the same run.
    pub(crate) fn add(&mut self, mut other: Self) {
        while self.slice < other.slice {
            self.slice *= 2;
            halve(&mut self.slices);
        }
        while other.slice < self.slice {
            other.slice *= 2;
            halve(&mut other.slices);
        }
        if self.slices.len() < other.slices.len() {
            self.slices.resize_with(other.slices.len(), Slice::default);
        }
        for (own, other) in self.slices.iter_mut().zip(&other.slices) {
            let _same_bounds = own.latency.add(&other.latency);
        }
    }

    /// The slices, those that are whole within `seconds`; the last one of a run seldom is.
    pub(crate) fn moments(&self, seconds: f64) -> Vec<Moment> {
        let length = self.slice.as_secs_f64();
        let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        let whole = (seconds / length).floor().max(1.0) as usize;
        let told = (0_u32..).zip(self.slices.iter().take(whole));
        told.map(|(number, Slice { latency })| Moment {
            second: f64::from(number) * length,
            per_second: latency.len() as f64 / length.min(seconds.max(1e-9)),
            p50_us: micros(latency.value_at_quantile(0.5)),
            p99_us: micros(latency.value_at_quantile(0.99)),
            max_us: micros(latency.max()),
        })
        .collect()
    }
}

fn halve(slices: &mut Vec<Slice>) {
    *slices = slices
        .chunks(2)
        .map(|pair| {
            let mut one = pair[0].clone();
            if let Some(other) = pair.get(1) {
                let _same_bounds = one.latency.add(&other.latency);
            }
            one
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_in_the_second_they_came_in() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        for (second, count, micros) in [(0, 10, 100), (1, 30, 100), (1, 10, 5_000), (3, 5, 70)] {
            timeline.count(start + Duration::from_millis(second * 1_000 + 500), micros * 1_000, count);
        }
        let moments = timeline.moments(4.0);
        let per_second: Vec<_> = moments.iter().map(|moment| moment.per_second).collect();
        assert_eq!(per_second, [10.0, 40.0, 0.0, 5.0]);
        assert!((95.0..=107.0).contains(&moments[1].p50_us), "{:?}", moments[1]);
        assert!((4_900.0..=5_300.0).contains(&moments[1].max_us), "{:?}", moments[1]);
    }

    #[test]
    fn a_long_run_has_no_more_slices_and_loses_no_answer() {
        let start = Instant::now();
        let (mut long, mut short) = (Timeline::new(start), Timeline::new(start));
        for second in 0..5_000 {
            long.count(start + Duration::from_secs(second), 1_000, 3);
        }
        short.count(start, 1_000, 7);
        assert!(long.slices.len() <= SLICES_MAX);
        let slice = long.slice;
        long.add(short);
        assert_eq!(long.slice, slice, "the shorter slices are put together");
        let answers: u64 = long.slices.iter().map(|slice| slice.latency.len()).sum();
        assert_eq!(answers, 5_000 * 3 + 7);
    }
}
