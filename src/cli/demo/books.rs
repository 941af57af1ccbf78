//! The demo's own books: what players believe they own, and what was acknowledged to them.

use cage_client::{Error, Executed};
use cage_engine::{Lsn, RequestId, ResultCode};

/// What happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) operations: u64,
    pub(super) rounds: u64,
    pub(super) deposits: u64,
    /// Requested, approved and given up again.
    pub(super) withdrawals: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
}

/// Every answer that was given, to be looked up in the log.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) answers: Vec<(RequestId, Lsn, ResultCode)>,
}

impl Acknowledged {
    pub(super) fn add(&mut self, answer: &Result<Executed, Error>) {
        match answer {
            Ok(executed) => self.answers.push((executed.id, executed.lsn, executed.code)),
            Err(Error::Refused { id, code, lsn, .. }) => self.answers.push((*id, *lsn, *code)),
            Err(_) => {}
        }
    }
}

/// The comparison at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Money {
    /// What differs in smallest units, all differences added up without their signs.
    pub(super) delta: u128,
    /// Players whose books are not the ledger's.
    pub(super) players_differ: u64,
    players: u64,
}

impl Money {
    /// Players and house together must be nothing.
    pub(super) const fn add_totals(&mut self, players: i128, house: i128) {
        self.delta += (players + house).unsigned_abs();
    }

    /// A player's own books must be the ledger's, and no bet may be left open.
    pub(super) fn add_player(&mut self, books: i128, available: i128, reserved: i128) {
        let differs = books.abs_diff(available) + reserved.unsigned_abs();
        self.delta += differs;
        self.players += 1;
        self.players_differ += u64::from(differs != 0);
    }

    pub(super) const fn players(&self) -> u64 {
        self.players
    }
}
