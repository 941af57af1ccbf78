//! The fault campaign: logs that are damaged, cut off and written on disks that fail, each judged afterwards.
//!
//! In: a seed and a number of cases. Out: how many there were, and which of them broke a promise of
//! `docs/durability.md`. Never here: a fault that has to be compiled in, a promise that the log itself is asked about.
//!
//! ```text
//!  records --> life (a log on a simulated disk) --> crash: cut off at any moment, any sectors in flight
//!                |                                         failures: the n-th write, sync, allocation fails
//!                |                                         cover: the same while snapshots are made and segments archived
//!                '--> logs --> truth (frames, witnesses) --> damage: cuts, bits, bursts, pieces
//!                                                            classify: below or above the watermark
//!                                                            covered: the same pieces, of snapshots and the archive
//!  program: tests of the whole server, told how much to do
//! ```

pub mod classify;
pub mod cover;
pub mod covered;
pub mod crash;
pub mod damage;
pub mod life;
pub mod logs;
pub mod program;
pub mod records;
pub mod tally;
pub mod truth;

pub use tally::{Plan, Tally, Verdict};

/// A part of the campaign.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// Its name on the command line and in the table.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Cases with each change.
    pub ci: u64,
    /// Cases with each release.
    pub full: u64,
    /// Runs it.
    pub run: fn(Plan) -> Tally,
}

/// All of them.
pub const CAMPAIGNS: [Campaign; 13] = [
    Campaign {
        name: "crash-states",
        about: "the power goes at any moment; any subset of the sectors and names in flight arrives",
        ci: 20_000,
        full: 1_000_000,
        run: crash::states,
    },
    Campaign {
        name: "failures",
        about: "the n-th write, sync, allocation or change of name fails",
        ci: 1_000,
        full: 10_000,
        run: crash::failures,
    },
    Campaign {
        name: "covering",
        about: "the power goes while snapshots are made and segments leave for the archive",
        ci: 4_000,
        full: 1_000_000,
        run: cover::covering,
    },
    Campaign {
        name: "cover-failures",
        about: "each call on log, snapshots and archive fails once meanwhile",
        ci: 1_000,
        full: 20_000,
        run: cover::failures,
    },
    Campaign {
        name: "cuts",
        about: "a segment and the control file cut at every byte, then zeroes, garbage or an older epoch",
        ci: 20_000,
        full: ALL,
        run: damage::cuts,
    },
    Campaign {
        name: "bits",
        about: "every bit of a 64 KiB segment and the control file flipped, closed and not closed",
        ci: 50_000,
        full: ALL,
        run: damage::bits,
    },
    Campaign {
        name: "bursts",
        about: "one to three bursts of 1 to 4096 bytes",
        ci: 2_000,
        full: 200_000,
        run: damage::bursts,
    },
    Campaign {
        name: "pieces",
        about: "sectors, pages and files swapped, doubled, missing or stale",
        ci: 2_000,
        full: 200_000,
        run: damage::pieces,
    },
    Campaign {
        name: "covered-pieces",
        about: "bursts, sectors and files of snapshots and the archive: changed, swapped, doubled, missing or stale",
        ci: 2_000,
        full: 200_000,
        run: covered::pieces,
    },
    Campaign {
        name: "classification",
        about: "damage below the durable watermark is refused, above it is cut",
        ci: 2_000,
        full: 10_000,
        run: classify::classification,
    },
    Campaign {
        name: "power",
        about: "the program's own writes and syncs, recorded with strace, cut off at every moment",
        ci: 4_000,
        full: 200_000,
        run: program::power,
    },
    Campaign {
        name: "drills",
        about: "the disk of a running server fails at a chosen call",
        ci: 24,
        full: 500,
        run: program::drills,
    },
    Campaign {
        name: "kills",
        about: "kill -9 under load, restart, every acknowledged id once, none invented",
        ci: 20,
        full: 500,
        run: program::kills,
    },
];

/// More than there are.
const ALL: u64 = u64::MAX;

/// The seed for everybody; every other one is as good.
pub const SEED: u64 = 41;
