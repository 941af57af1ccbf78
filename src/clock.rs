//! The one place where the server looks at a clock.
//!
//! Out: a time that never falls. A wall clock that leaves the monotonic one by more than
//! [`CLOCK_JUMP_MAX`] between two looks latches: what depends on time is not taken
//! until an operator has looked and restarted. Time spent stopped is no jump.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cage_engine::Timestamp;

use crate::limits::CLOCK_JUMP_MAX;

/// The server's clock.
#[derive(Debug)]
pub struct Clock {
    wall: Timestamp,
    monotonic: Instant,
    latest: Timestamp,
    jumped: bool,
}

/// What the wall clock says, for whatever people look at.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

impl Clock {
    /// A clock that starts no earlier than `floor`, the time of the log's last record.
    #[must_use]
    pub fn new(floor: Timestamp) -> Self {
        let wall = wall();
        if wall < floor {
            tracing::warn!(
                wall_nanos = wall.0,
                log_nanos = floor.0,
                "the wall clock is behind the log's last record: the ledger's time stands still until it has caught up"
            );
        }
        Self { wall, monotonic: Instant::now(), latest: wall.max(floor), jumped: false }
    }

    /// The time. Never before what it said earlier.
    pub fn now(&mut self) -> Timestamp {
        self.look(wall(), Instant::now())
    }

    fn look(&mut self, wall: Timestamp, monotonic: Instant) -> Timestamp {
        let passed = u64::try_from((monotonic - self.monotonic).as_nanos()).unwrap_or(u64::MAX);
        let expected = self.wall.0.saturating_add(passed);
        if u128::from(wall.0.abs_diff(expected)) > CLOCK_JUMP_MAX.as_nanos() && !self.jumped {
            self.jumped = true;
            tracing::error!(
                expected_nanos = expected,
                wall_nanos = wall.0,
                "the wall clock jumped: operations are not taken until the server is restarted"
            );
        }
        (self.wall, self.monotonic) = (wall, monotonic);
        self.latest = self.latest.max(wall);
        self.latest
    }

    /// Whether the wall clock is behind the time that was said, which stands still meanwhile.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.wall < self.latest
    }

    /// Whether the wall clock was seen to jump.
    #[must_use]
    pub const fn jumped(&self) -> bool {
        self.jumped
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_never_falls_and_a_jump_is_latched_either_way() {
        for seconds in [-4_i64, 4] {
            let mut clock = Clock::new(Timestamp(0));
            let (start, begin) = (clock.wall, clock.monotonic);
            let at = |millis: u64| begin + Duration::from_millis(millis);
            let before = clock.look(start.plus_millis(10), at(10));
            assert!(!clock.jumped());
            let jumped = Timestamp(start.0.saturating_add_signed(seconds * 1_000_000_000)).plus_millis(20);
            let after = clock.look(jumped, at(20));
            assert!(clock.jumped(), "{seconds} s is a jump");
            assert!(after >= before);
            assert!(clock.look(start.plus_millis(30), at(30)) >= after);
            assert!(clock.jumped(), "only a restart clears it");
        }
    }

    #[test]
    fn slow_drift_is_no_jump() {
        let mut clock = Clock::new(Timestamp(0));
        let (start, begin) = (clock.wall, clock.monotonic);
        for second in 1..=100_u64 {
            // The wall clock runs a tenth too fast.
            clock.look(start.plus_millis(second * 1_100), begin + Duration::from_secs(second));
        }
        assert!(!clock.jumped());
    }
}
