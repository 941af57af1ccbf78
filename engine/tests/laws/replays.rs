//! Replays: what was applied while nothing was looked up is remembered as everything else is.

use cage_engine::{Both, Replay, State};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::books::Walk;
use crate::images::{image, remember_the_same};

struct InTurn;

impl Both for InTurn {
    fn both<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        (one(), other())
    }
}

/// Stretches of a few records and of more than the ring of ids holds, begun at nothing, at an image, at a state.
#[test]
fn a_replay_that_ends_anywhere_leaves_the_books_and_the_memory_of_a_life_without_one() {
    let mut ends = 0;
    for seed in 300..308 {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut walk = Walk::new(seed);
        let mut replay = Replay::new(State::new(seed));
        let mut applied = 0;
        while walk.ledger.records.len() < 4_000 {
            let stretch = if dice.random_ratio(1, 4) { 1_500 } else { dice.random_range(1..60) };
            for _ in 0..stretch {
                walk.step();
            }
            for record in &walk.ledger.records[applied..] {
                replay.apply(replay.next_lsn(), record).expect("a record of the log");
            }
            applied = walk.ledger.records.len();
            let place = format!("seed {seed}, after record {applied}");
            assert_eq!(replay.digest(), walk.ledger.state.digest(), "{place}");
            replay = match dice.random_range(0..3) {
                0 => replay,
                1 => Replay::from_image_by(&InTurn, &image(&walk.ledger.state), seed).expect("an image"),
                _ => {
                    let state = replay.finish();
                    remember_the_same(&walk.ledger, &state);
                    ends += 1;
                    Replay::new(state)
                }
            };
        }
        remember_the_same(&walk.ledger, &replay.finish());
    }
    assert!(ends > 20, "{ends}");
}
