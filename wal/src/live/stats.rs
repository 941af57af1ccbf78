//! What the log counts of itself.
//!
//! In: each flush, as its owner sees it. Out: numbers since the open, and how durations and groups are spread. Never
//! here: a lock, or anything that costs a flush more than a few additions.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::lsn::Lsn;

use super::space::LogSpace;

/// Parts of each power of two: a quantile is at most an eighth too high.
const PARTS: u64 = 8;
/// Values below `PARTS` have a bucket each, the others share the parts of their powers of two.
const BUCKETS: usize = 62 * PARTS as usize;

/// How values are spread, in fixed buckets. Counted by one thread, read by any.
pub(super) struct Spread {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), max: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.quantiles().fmt(f)
    }
}

/// Where values lie: each number is at most an eighth too high, the greatest exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// How many values there are.
    pub count: u64,
    /// Half of them are not above this.
    pub p50: u64,
    /// 99 in a hundred.
    pub p99: u64,
    /// 999 in a thousand.
    pub p99_9: u64,
    /// The greatest.
    pub max: u64,
}

impl Spread {
    pub(super) fn add(&self, value: u64) {
        self.buckets[bucket(value)].fetch_add(1, Relaxed);
        self.max.fetch_max(value, Relaxed);
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let (count, max) = (counts.iter().sum(), self.max.load(Relaxed));
        let at = |thousandths: u64| {
            // The value that this share of all is not above, rounded up to a whole value.
            let mut left = u64::div_ceil(count * thousandths, 1_000).max(1);
            let found = counts.iter().position(|in_bucket| {
                let here = left <= *in_bucket;
                left = left.saturating_sub(*in_bucket);
                here
            });
            found.map_or(0, |index| greatest(index).min(max))
        };
        Quantiles { count, p50: at(500), p99: at(990), p99_9: at(999), max }
    }
}

fn bucket(value: u64) -> usize {
    if value < PARTS {
        return value as usize;
    }
    let power = u64::from(value.ilog2());
    let part = (value >> (power - 3)) & (PARTS - 1);
    ((power - 2) * PARTS + part) as usize
}

/// The greatest value of a bucket.
const fn greatest(index: usize) -> u64 {
    let (power, part) = (index as u64 / PARTS, index as u64 % PARTS);
    if power == 0 {
        return part;
    }
    let shift = power - 1;
    ((PARTS + part) << shift) + ((1 << shift) - 1)
}

/// Written by the flusher alone, but where a field says otherwise.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) flushes: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) padding_bytes: AtomicU64,
    pub(super) flush_ns: AtomicU64,
    pub(super) flush_times: Spread,
    pub(super) groups: Spread,
    pub(super) rotations: AtomicU64,
    pub(super) rotation_ns_max: AtomicU64,
    pub(super) waiting_max: AtomicU64,
    /// The last LSN that was handed out; by the writer.
    pub(super) appended: AtomicU64,
    /// The last LSN that somebody has read back and proven.
    pub(super) verified: AtomicU64,
    /// The durable LSN that the control file names; by its thread.
    pub(super) witnessed: AtomicU64,
}

/// One write of the flusher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flush {
    pub(super) records: u64,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) padding_bytes: u64,
    pub(super) took: Duration,
}

impl Counters {
    /// For a log that was recovered, and so proven, up to here.
    pub(super) fn since(lsn: Lsn) -> Self {
        let at = || AtomicU64::new(lsn.0);
        Self { appended: at(), verified: at(), witnessed: at(), ..Self::default() }
    }

    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }

    pub(super) fn raise(counter: &AtomicU64, duration: Duration) {
        counter.fetch_max(nanoseconds(duration), Relaxed);
    }

    pub(super) fn flushed(&self, flush: &Flush) {
        let ns = nanoseconds(flush.took);
        self.flush_times.add(ns);
        self.groups.add(flush.records);
        Self::add(&self.flush_ns, ns);
        Self::add(&self.flushes, 1);
        Self::add(&self.frames, flush.frames);
        Self::add(&self.records, flush.records);
        Self::add(&self.bytes, flush.bytes);
        Self::add(&self.padding_bytes, flush.padding_bytes);
    }

    pub(super) fn look(&self, durable: Lsn, space: &LogSpace) -> LogStats {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let flush_times = self.flush_times.quantiles();
        LogStats {
            flushes: load(&self.flushes),
            frames: load(&self.frames),
            records: load(&self.records),
            bytes: load(&self.bytes),
            padding_bytes: load(&self.padding_bytes),
            flush_ns: load(&self.flush_ns),
            flush_ns_max: flush_times.max,
            flush_times,
            groups: self.groups.quantiles(),
            rotations: load(&self.rotations),
            rotation_ns_max: load(&self.rotation_ns_max),
            waiting: load(&self.appended).saturating_sub(durable.0),
            waiting_max: load(&self.waiting_max),
            verified: Lsn(load(&self.verified)),
            witnessed: Lsn(load(&self.witnessed)),
            ready_segments: space.ready_segments,
            prepared_bytes: space.prepared_bytes,
            preparation_failures: space.failures,
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What the log did since it was opened, and how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Writes that made frames durable.
    pub flushes: u64,
    /// Frames written.
    pub frames: u64,
    /// Records written.
    pub records: u64,
    /// Bytes written: frames with their padding, and segment headers.
    pub bytes: u64,
    /// Of these, zeroes that fill pages.
    pub padding_bytes: u64,
    /// Sum of the durations of all flushes, in nanoseconds.
    pub flush_ns: u64,
    /// The longest flush, in nanoseconds.
    pub flush_ns_max: u64,
    /// How long flushes took, in nanoseconds.
    pub flush_times: Quantiles,
    /// How many records they made durable.
    pub groups: Quantiles,
    /// Segments begun.
    pub rotations: u64,
    /// The longest change of segments, in nanoseconds.
    pub rotation_ns_max: u64,
    /// Records appended (and published) that are not durable yet: how far the durable LSN lags.
    pub waiting: u64,
    /// The most of them that the flusher found at once.
    pub waiting_max: u64,
    /// Up to here the log was read back and proven: by recovery, or by whoever looks later.
    pub verified: Lsn,
    /// The durable LSN that the control file names.
    pub witnessed: Lsn,
    /// Segments that are ready.
    pub ready_segments: u64,
    /// Bytes that frames can still be written into without another segment.
    pub prepared_bytes: u64,
    /// Attempts to prepare a segment that failed.
    pub preparation_failures: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_that_is_at_most_an_eighth_too_high() {
        for value in
            (0..10_000).chain((0..64).flat_map(|power| [1 << power, (1_u64 << power) - 1, u64::MAX >> power]))
        {
            let index = bucket(value);
            let top = greatest(index);
            assert!(top >= value && top - value <= value / PARTS, "{value} in {index}, up to {top}");
            assert!(index == 0 || greatest(index - 1) < value, "{value} is not in the bucket before");
        }
        assert_eq!(greatest(BUCKETS - 1), u64::MAX);
    }

    /// B4.20.
    #[test]
    fn quantiles_are_those_of_the_values() {
        let spread = Spread::default();
        assert_eq!(spread.quantiles(), Quantiles::default());
        for value in 1..=100_000 {
            spread.add(value);
        }
        let Quantiles { count, p50, p99, p99_9, max } = spread.quantiles();
        assert_eq!((count, max), (100_000, 100_000));
        for (found, exact) in [(p50, 50_000), (p99, 99_000), (p99_9, 99_900)] {
            assert!((exact..=exact + exact / PARTS).contains(&found), "{found} for {exact}");
        }
        let slow = Spread::default();
        (0..999).for_each(|_| slow.add(5));
        slow.add(1_000_000);
        let found = slow.quantiles();
        assert_eq!((found.p50, found.p99_9, found.max), (5, 5, 1_000_000));
    }
}
