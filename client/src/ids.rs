//! Names for requests: by time for what happens once, by digest for what is true for ever.
//!
//! In: the clock, randomness, outside facts. Out: request ids. Never here: the same id for two requests.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cage_engine::{RequestId, Timestamp};

use crate::limits::CLOCK_DIFFERENCE_MAX;

/// The permanent key of an outside fact: chain, transaction and output of a deposit, say. The first 128 bits,
/// little-endian, of the BLAKE3 digest of all parts, each behind its length as eight little-endian bytes.
///
/// The same fact gives the same key wherever and whenever it is asked, and so is credited once.
#[must_use]
pub fn permanent_key(parts: &[&[u8]]) -> RequestId {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    RequestId(u128::from_le_bytes(key))
}

/// Mints request ids by the own clock, or by the server's if the own one is wrong.
#[derive(Debug, Default)]
pub(crate) struct Mint {
    /// How far the server's clock is ahead of ours, in nanoseconds, if that is too far.
    ahead: AtomicI64,
}

impl Mint {
    pub(crate) fn id(&self) -> RequestId {
        let now = now().0.saturating_add_signed(self.ahead.load(Ordering::Relaxed));
        RequestId::from_time(Timestamp(now), rand::random())
    }

    /// Compares the clocks. Ids from too far ahead are not taken, and ids from long ago are too old.
    pub(crate) fn set_by(&self, server: Timestamp) {
        let ahead = i64::try_from(i128::from(server.0) - i128::from(now().0)).unwrap_or(0);
        let wrong = ahead.unsigned_abs() > CLOCK_DIFFERENCE_MAX.as_nanos() as u64;
        if wrong {
            tracing::warn!(millis = ahead / 1_000_000, "the server's clock differs: ids are minted by it");
        }
        self.ahead.store(if wrong { ahead } else { 0 }, Ordering::Relaxed);
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_has_one_key_and_its_parts_do_not_run_together() {
        assert_eq!(permanent_key(&[b"ether", b"0x1", b"0"]), permanent_key(&[b"ether", b"0x1", b"0"]));
        assert_ne!(permanent_key(&[b"ab", b"c"]), permanent_key(&[b"a", b"bc"]));
        assert_ne!(permanent_key(&[b"ab"]), permanent_key(&[b"ab", b""]));
    }

    #[test]
    fn ids_follow_the_servers_clock_when_ours_is_wrong() {
        let mint = Mint::default();
        let hour = 3_600_000;
        mint.set_by(now().plus_millis(hour));
        assert!(mint.id().time() > now().plus_millis(hour - 10_000));
        mint.set_by(now());
        assert!(mint.id().time() < now().plus_millis(10_000));
    }
}
