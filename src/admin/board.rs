//! What the server tells of itself while it runs: numbers, its phase, alarms.
//!
//! In: counts, from the one thread that owns each of them. Out: the same, for any thread that looks. Never here: a lock
//! on the money path, or a write that two threads would fight over.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use cage_engine::Settings;
use cage_protocol::{CloseCode, SignedCheckpoint};
use cage_wal::LogHandle;
use tokio::sync::watch;

use super::alarms::Alarm;
use crate::data::DataDir;
use crate::scrubber::Findings;
use crate::server::Started;
use crate::telemetry::Lines;

/// A number that one thread writes and any may read.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds to it. Only for its owner: no other thread's addition is waited for.
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Replaces it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of the buckets that durations are counted in, in microseconds; above the last there is one more.
pub const TIME_BOUNDS_MICROS: [u64; 14] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// How durations are spread.
#[derive(Debug, Default)]
pub struct Times {
    buckets: [Tally; TIME_BOUNDS_MICROS.len() + 1],
    sum_micros: Tally,
}

impl Times {
    /// Counts `count` things that took as long as that each.
    pub fn add(&self, took: Duration, count: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[TIME_BOUNDS_MICROS.partition_point(|bound| *bound < micros)].add(count);
        self.sum_micros.add(micros.saturating_mul(count));
    }

    /// How many fell into each bucket.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().map(Tally::get)
    }

    /// The sum of all, in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.sum_micros.get() as f64 / 1e6
    }
}

/// Where a server stands between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Snapshot and log are being read.
    Recovering = 0,
    /// It serves.
    Serving = 1,
    /// It answers what it has taken, and takes no more.
    Draining = 2,
    /// The log is being closed.
    Closing = 3,
    /// It has to stop: nothing more is acknowledged.
    Failed = 4,
}

impl Phase {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Recovering, Self::Serving, Self::Draining, Self::Closing, Self::Failed];

    /// Its name, as people and scripts read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Closing => "closing",
            Self::Failed => "failed",
        }
    }
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TurnedAway {
    /// The handshake failed: no certificate of this ledger's authority, above all.
    Handshake = 0,
    /// The handshake took too long.
    Late = 1,
    /// The certificate names no role.
    Role = 2,
    /// There are as many connections or handshakes as there may be.
    Full = 3,
}

impl TurnedAway {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Handshake, Self::Late, Self::Role, Self::Full];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Late => "late",
            Self::Role => "role",
            Self::Full => "full",
        }
    }
}

/// What can be looked at once the log is open.
#[derive(Debug)]
pub struct Served {
    /// The log.
    pub log: LogHandle,
    /// What the scrubber found.
    pub findings: Arc<Findings>,
    /// The latest checkpoint, if somebody signs.
    pub checkpoints: Option<watch::Receiver<Option<SignedCheckpoint>>>,
    /// Where everything lies.
    pub data: DataDir,
    /// What the start found.
    pub started: Started,
    /// The settings in force.
    pub settings: Settings,
}

/// The numbers of a server. Each is written by the main thread, unless it says otherwise.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Records appended.
    pub records: Tally,
    /// Of these, refusals.
    pub refused: Tally,
    /// Requests answered from an earlier record.
    pub repeated: Tally,
    /// Requests answered without a record.
    pub unrecorded: Tally,
    /// Of these, because the log lived on its reserve.
    pub no_space: Tally,
    /// How often something was due and refused.
    pub set_aside: Tally,
    /// Reads.
    pub reads: Tally,
    /// Batches.
    pub batches: Tally,
    /// Requests that wait for the sequencer.
    pub inbox: Tally,
    /// From the arrival of requests to the release of their replies.
    pub answers: Times,
    /// Players.
    pub players: Tally,
    /// Open holds.
    pub holds: Tally,
    /// Open bets and wins.
    pub wagers: Tally,
    /// Open rounds.
    pub rounds: Tally,
    /// Sessions.
    pub sessions: Tally,
    /// Remembered facts.
    pub ids: Tally,
    /// Connections.
    pub connections: Tally,
    /// Connections that were let in.
    pub connections_taken: Tally,
    /// Handshakes under way.
    pub handshakes: Tally,
    /// Who was not let in, by [`TurnedAway`].
    pub turned_away: [Tally; TurnedAway::ALL.len()],
    /// Sessions that the server ended because something was wrong, by the place of their code in [`CloseCode::ALL`].
    pub closed: [Tally; CloseCode::ALL.len()],
    /// Session tokens that were not valid.
    pub tokens_invalid: Tally,
    /// Clients that have seen another log.
    pub doubts: Tally,
    /// Until when the server's certificate is valid, in seconds since 1970.
    pub certificate_expires: Tally,
    /// Snapshots made since the start.
    pub snapshots_made: Tally,
    /// Attempts that made none.
    pub snapshots_failed: Tally,
}

impl Numbers {
    /// Counts a session that the server ended.
    pub fn session_closed(&self, code: CloseCode) {
        if let Some(place) = CloseCode::ALL.iter().position(|known| *known == code) {
            self.closed[place].add(1);
        }
    }

    /// Counts somebody who was not let in.
    pub fn turned_away(&self, why: TurnedAway) {
        self.turned_away[why as usize].add(1);
    }
}

/// What is looked at from outside.
#[derive(Debug)]
pub struct Board {
    /// The counts.
    pub numbers: Numbers,
    /// Log lines, by level.
    pub lines: Arc<Lines>,
    begun: Instant,
    begun_at: SystemTime,
    phase: AtomicU8,
    beat_millis: Tally,
    /// A bit for each [`Alarm`].
    raised: AtomicU64,
    served: OnceLock<Served>,
}

impl Default for Board {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Board {
    /// The board of a server that begins to recover.
    #[must_use]
    pub fn new(lines: Arc<Lines>) -> Self {
        Self {
            numbers: Numbers::default(),
            lines,
            begun: Instant::now(),
            begun_at: SystemTime::now(),
            phase: AtomicU8::new(Phase::Recovering as u8),
            beat_millis: Tally::default(),
            raised: AtomicU64::new(0),
            served: OnceLock::new(),
        }
    }

    /// How long ago it began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When it began, by the wall clock.
    #[must_use]
    pub const fn begun_at(&self) -> SystemTime {
        self.begun_at
    }

    /// Where the server stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let number = usize::from(self.phase.load(Ordering::Acquire));
        Phase::ALL.get(number).copied().unwrap_or(Phase::Failed)
    }

    /// Tells where the server stands from now on.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// The main thread is alive.
    pub fn beat(&self) {
        self.beat_millis.set(u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX));
    }

    /// How long nothing was heard of the main thread.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.age().saturating_sub(Duration::from_millis(self.beat_millis.get()))
    }

    /// Raises an alarm, or lets it rest.
    pub fn set(&self, alarm: Alarm, on: bool) {
        if on {
            self.raised.fetch_or(alarm.bit(), Ordering::Relaxed);
        } else {
            self.raised.fetch_and(!alarm.bit(), Ordering::Relaxed);
        }
    }

    /// Whether an alarm was raised. For all that is on see [`super::alarms::on`].
    pub(super) fn is_raised(&self, alarm: Alarm) -> bool {
        self.raised.load(Ordering::Relaxed) & alarm.bit() != 0
    }

    /// The log is open, and can be looked at from now on.
    pub fn serves(&self, served: Served) {
        // A board belongs to one server, which opens once.
        let _ = self.served.set(served);
    }

    /// What can be looked at, once the log is open.
    #[must_use]
    pub fn served(&self) -> Option<&Served> {
        self.served.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_it_does_not_exceed() {
        let times = Times::default();
        for micros in [0, 50, 51, 5_000_000, 5_000_001] {
            times.add(Duration::from_micros(micros), 2);
        }
        let counts: Vec<_> = times.counts().collect();
        assert_eq!((counts[0], counts[1], counts[13], counts[14]), (4, 2, 2, 2), "{counts:?}");
        assert_eq!(counts.iter().sum::<u64>(), 10);
        assert!((times.sum_seconds() - 20.000_204).abs() < 1e-9, "{}", times.sum_seconds());
    }

    #[test]
    fn a_phase_is_read_as_it_was_entered() {
        let board = Board::default();
        assert_eq!(board.phase(), Phase::Recovering);
        for phase in Phase::ALL {
            board.enter(phase);
            assert_eq!(board.phase(), phase);
        }
    }
}
