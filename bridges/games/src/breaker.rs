//! When to leave a provider alone, and how long to wait before the next attempt.
//!
//! In: how calls went, and when. Out: whether the next one may be made; pauses. Never here: a clock, randomness of its own.

/// Failures in a row after which nothing new is sent.
const FAILURES_MAX: u32 = 20;
/// For how long, in milliseconds; then one call finds out.
const OPEN_MS: u64 = 2_000;
/// The first pause, in milliseconds. Doubled each time.
const PAUSE_MIN_MS: u64 = 40;
/// The longest pause, in milliseconds.
const PAUSE_MAX_MS: u64 = 5_000;

/// A circuit breaker of one provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    until_ms: u64,
}

impl Breaker {
    /// Whether something new may be sent. After the pause one call is let through; if it fails, the pause begins anew.
    #[must_use]
    pub const fn allows(&self, now_ms: u64) -> bool {
        self.failures < FAILURES_MAX || now_ms >= self.until_ms
    }

    /// A call was answered, well or not.
    pub const fn answered(&mut self) {
        self.failures = 0;
    }

    /// A call was not answered.
    pub const fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.until_ms = now_ms.saturating_add(OPEN_MS);
        }
    }
}

/// The pause before the next attempt, in milliseconds: longer each time, and somewhere in its upper half, so that those
/// who failed together do not come back together.
#[must_use]
pub fn pause_ms(tries: u32, random: u32) -> u64 {
    let whole = (PAUSE_MIN_MS << tries.min(16)).min(PAUSE_MAX_MS);
    whole / 2 + u64::from(random) * (whole / 2) / u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_fails_is_left_alone_and_one_call_finds_out() {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            assert!(breaker.allows(1_000));
            breaker.failed(1_000);
        }
        assert!(!breaker.allows(1_000 + OPEN_MS - 1));
        assert!(breaker.allows(1_000 + OPEN_MS));
        breaker.failed(4_000);
        assert!(!breaker.allows(4_001), "it failed again");
        breaker.answered();
        assert!(breaker.allows(4_001));
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        assert_eq!((pause_ms(0, 0), pause_ms(0, u32::MAX)), (20, 40));
        assert_eq!((pause_ms(1_000, 0), pause_ms(1_000, u32::MAX)), (2_500, 5_000));
    }
}
