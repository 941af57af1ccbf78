//! Open holds: stakes that are set aside until somebody says what became of the bet.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::chunked::Chunked;
use super::index::{Growing, hash};
use crate::amount::Amount;
use crate::id::{AssetId, GameId, Lsn, PlayerId, RequestId};
use crate::operation::HOLDS_MAX;
use crate::time::Timestamp;

/// An open hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The reserve's request id.
    pub id: RequestId,
    /// The reserve's record.
    pub opened: Lsn,
    /// Whose stake.
    pub player: PlayerId,
    /// In what.
    pub asset: AssetId,
    /// On which game.
    pub game: GameId,
    /// When it may be released by time.
    pub deadline: Option<Timestamp>,
    /// How much of the stake is left.
    pub remaining: Amount,
    /// How much the bet can still pay.
    pub payout_left: Amount,
    /// Whether a part of it was settled: then a settle of a forgotten id may be one that was executed.
    pub settled_in_part: bool,
}

#[derive(Debug)]
pub(crate) struct Holds {
    rows: Chunked<Hold>,
    /// Rows whose hold is closed, to be used again.
    free: Vec<u32>,
    index: Growing,
    deadlines: BTreeSet<(Timestamp, RequestId)>,
    seed: u64,
}

impl Holds {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            rows: Chunked::new(),
            free: Vec::new(),
            index: Growing::new(HOLDS_MAX as usize),
            deadlines: BTreeSet::new(),
            seed,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    fn row(&self, id: RequestId) -> Option<u32> {
        let is_it = |row: u32| self.rows.get(row as usize).is_some_and(|hold| hold.id == id);
        self.index.find(hash(id.0, self.seed), is_it)
    }

    pub(crate) fn touch(&self, id: RequestId) -> u32 {
        self.index.touch(hash(id.0, self.seed))
    }

    pub(crate) fn get(&self, id: RequestId) -> Option<&Hold> {
        self.rows.get(self.row(id)? as usize)
    }

    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Hold> {
        let row = self.row(id)?;
        self.rows.get_mut(row as usize)
    }

    pub(crate) fn open(&mut self, hold: Hold) {
        let reused = self.free.pop().and_then(|row| {
            *self.rows.get_mut(row as usize)? = hold;
            Some(row)
        });
        let row = match reused {
            Some(row) => row,
            None => self.rows.push(hold) as u32,
        };
        self.index.insert(hash(hold.id.0, self.seed), row);
        if let Some(deadline) = hold.deadline {
            self.deadlines.insert((deadline, hold.id));
        }
    }

    pub(crate) fn close(&mut self, id: RequestId) -> Option<Hold> {
        let row = self.row(id)?;
        let slot = self.rows.get_mut(row as usize)?;
        let hold = *slot;
        // The row keeps no id, so that the digest and a look-up never see a closed hold.
        slot.id = RequestId::NONE;
        self.index.remove(hash(id.0, self.seed), row);
        self.free.push(row);
        if let Some(deadline) = hold.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(hold)
    }

    /// The hold that has been due the longest at `now`; among equals the one with the smallest id.
    pub(crate) fn due(&self, now: Timestamp) -> Option<&Hold> {
        let (deadline, id) = self.deadlines.first()?;
        if *deadline <= now { self.get(*id) } else { None }
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.rows.iter().filter(|hold| hold.id != RequestId::NONE)
    }
}
