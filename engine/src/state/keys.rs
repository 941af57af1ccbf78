//! Permanent keys: outside facts that were executed once and never will be again. Kept for ever.

use super::chunked::Chunked;
use super::ids::Remembered;
use super::index::{Growing, hash};
use crate::id::{Lsn, RequestId};

/// How many keys can be kept: the number of rows that an index can name.
pub(crate) const KEYS_MAX: usize = 1 << 27;

const fn room(brings_in: bool) -> usize {
    if brings_in { KEYS_MAX - KEYS_MAX / 16 } else { KEYS_MAX }
}

#[derive(Debug)]
pub(crate) struct Keys {
    rows: Chunked<(RequestId, Remembered)>,
    index: Growing,
    seed: u64,
}

impl Keys {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { rows: Chunked::new(), index: Growing::new(KEYS_MAX), seed }
    }

    /// Whether there is room for another one. What brings something in leaves a sixteenth of the room to what pays,
    /// ends or takes back.
    pub(crate) const fn is_full(&self, brings_in: bool) -> bool {
        self.rows.len() >= room(brings_in)
    }

    pub(crate) fn find(&self, key: RequestId) -> Option<Remembered> {
        let is_it = |row: u32| self.rows.get(row as usize).is_some_and(|(kept, _)| *kept == key);
        let row = self.index.find(hash(key.0, self.seed), is_it)?;
        self.rows.get(row as usize).map(|(_, remembered)| *remembered)
    }

    /// Asks for the memory that a look-up of this key reads first.
    pub(crate) fn fetch(&self, key: RequestId) {
        self.index.fetch(hash(key.0, self.seed));
    }

    pub(crate) fn remember(&mut self, key: RequestId, digest: u64, lsn: Lsn) {
        let row = self.rows.push((key, Remembered { digest, lsn }));
        self.index.insert(hash(key.0, self.seed), row as u32);
    }

    /// Keys in the order of the log, made at once; `None` if two are the same.
    pub(crate) fn of_all(rows: Chunked<(RequestId, Remembered)>, seed: u64) -> Option<Self> {
        let key = |row: u32| rows.get(row as usize).map_or(0, |(key, _)| key.0);
        let hash_of = |row| hash(key(row), seed);
        let (fetch, same) = (|row: u32| rows.fetch(row as usize), |one, other| key(one) == key(other));
        let index = Growing::of_all(rows.len(), KEYS_MAX, hash_of, fetch, same)?;
        Some(Self { index, rows, seed })
    }

    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(RequestId, Remembered)> {
        self.rows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::OperationKind;

    /// A full table takes no more deposits; what has to be paid finds its room to the last.
    #[test]
    fn what_pays_finds_room_where_what_brings_in_finds_none() {
        assert!(room(true) < room(false) && room(false) == KEYS_MAX);
        let brings_in = |kind: OperationKind| kind.spec().brings_in();
        let deposits = [OperationKind::DepositCredit, OperationKind::ImportBalance, OperationKind::Adjust];
        assert!(deposits.into_iter().all(brings_in));
        let pays = [
            OperationKind::JackpotWin,
            OperationKind::PromoCredit,
            OperationKind::WithdrawSigned,
            OperationKind::WithdrawSettle,
            OperationKind::DepositReverse,
            OperationKind::Chargeback,
            OperationKind::LateCorrection,
        ];
        assert!(!pays.into_iter().any(brings_in));
    }
}
