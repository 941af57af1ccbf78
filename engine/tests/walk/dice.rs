//! Dice, and the small world that a batch of requests plays in.

use cage_engine::{OperationKind, Settings, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub(crate) struct Dice(StdRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.0.random()
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.random_range(0..choices.len())]
    }

    /// One of the latest, if there are any.
    pub(crate) fn recent<T: Copy>(&mut self, all: &[T], most: usize) -> Option<T> {
        let latest = &all[all.len().saturating_sub(most)..];
        if latest.is_empty() { None } else { Some(self.pick(latest)) }
    }
}

/// What is the same for all requests of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) players: u64,
    pub(crate) assets: u64,
    pub(crate) amount_max: u128,
    /// Whether amounts near the greatest of all are used.
    pub(crate) huge: bool,
    pub(crate) settings: Settings,
    pub(crate) reconfigured: bool,
    /// Whether some callers' clocks are ahead: a few of their ids in the horizon, and the others' are too old.
    pub(crate) clocks_ahead: bool,
    /// One step in so many moves time, and one of these in so many moves it far.
    pub(crate) time_moves: u64,
    pub(crate) time_jumps: u64,
    pub(crate) begin: Timestamp,
    /// One request in so many is spoilt.
    pub(crate) spoilt: u64,
    /// One request of the house in so many forbids something.
    pub(crate) strict: u64,
    /// One group in so many requests.
    pub(crate) groups: u64,
    /// Whether players have limits.
    pub(crate) limits: bool,
    /// What the ledger does by itself is done at once, or one time in so many.
    pub(crate) lazy: u64,
    /// What is asked for again and again.
    pub(crate) favourite: OperationKind,
    /// Whether providers have one caller and one bridge each, and roles are bounded.
    pub(crate) guarded: bool,
    /// Whether one of the players is a tester.
    pub(crate) tester: bool,
    /// Whether the ledger is asked for long before it has settings.
    pub(crate) late: bool,
}

/// What adds up in one place of the house's.
const SUMS: [OperationKind; 4] = [
    OperationKind::WriteOff,
    OperationKind::WithdrawSettle,
    OperationKind::JackpotAdjust,
    OperationKind::AdjustApprove,
];

/// 2025-06-29, a Sunday, 21:00:00: a day, a week and a month end soon, one after the other.
const BEFORE_BORDERS: u64 = 1_751_230_800_000;

impl World {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let huge = dice.one_in(7);
        let players = dice.pick(&[2, 3, 4]);
        let small = dice.one_in(3);
        let sums = huge && dice.one_in(2);
        Self {
            players,
            assets: if sums { 1 } else { dice.pick(&[1, 2, 2, 3]) },
            amount_max: if huge { 1 << 125 } else { u128::from(dice.pick(&[8_u64, 12, 40])) },
            huge,
            settings: Settings {
                ids_capacity: if small { dice.pick(&[16, 20, 32, 48]) } else { dice.pick(&[64, 100, 300]) },
                ids_retention_millis: dice.pick(&[0, 1, 5, 100, 10_000]),
                holds_max: if small { dice.pick(&[0, 1, 3, 8]) } else { dice.pick(&[12, 100, 100]) },
                players_max: players - u64::from(dice.one_in(3)),
                closed_wagers_max: dice.pick(&[0, 1, 3, 8, 40, 40]),
            },
            reconfigured: dice.one_in(4),
            clocks_ahead: dice.one_in(5),
            time_moves: dice.pick(&[1, 2, 4, 50]),
            time_jumps: dice.pick(&[20, 100, 1_000]),
            begin: Timestamp::from_millis(dice.pick(&[3, 60_000, BEFORE_BORDERS, BEFORE_BORDERS])),
            spoilt: dice.pick(&[2, 3, 4, 10]),
            strict: dice.pick(&[2, 3, 6, 12]),
            groups: dice.pick(&[8, 20, 60]),
            limits: dice.one_in(2),
            lazy: dice.pick(&[1, 1, 10, 40]),
            favourite: if sums { dice.pick(&SUMS) } else { dice.pick(OperationKind::ALL) },
            guarded: dice.one_in(4),
            tester: dice.one_in(5),
            late: dice.one_in(8),
        }
    }
}
