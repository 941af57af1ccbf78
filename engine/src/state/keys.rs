//! Permanent keys: outside facts that were executed once and never will be again. Kept for ever.

use super::chunked::Chunked;
use super::ids::Remembered;
use super::index::{Growing, hash};
use crate::id::{Lsn, RequestId};

/// How many keys can be kept: the number of rows that an index can name.
pub(crate) const KEYS_MAX: usize = 1 << 27;

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

    pub(crate) const fn is_full(&self) -> bool {
        self.rows.len() >= KEYS_MAX
    }

    pub(crate) fn find(&self, key: RequestId) -> Option<Remembered> {
        let is_it = |row: u32| self.rows.get(row as usize).is_some_and(|(kept, _)| *kept == key);
        let row = self.index.find(hash(key.0, self.seed), is_it)?;
        self.rows.get(row as usize).map(|(_, remembered)| *remembered)
    }

    pub(crate) fn remember(&mut self, key: RequestId, digest: u64, lsn: Lsn) {
        let row = self.rows.push((key, Remembered { digest, lsn }));
        self.index.insert(hash(key.0, self.seed), row as u32);
    }

    /// Keys in the order of the log, made at once; `None` if two are the same.
    pub(crate) fn of_all(rows: Chunked<(RequestId, Remembered)>, seed: u64) -> Option<Self> {
        let key = |row: u32| rows.get(row as usize).map_or(0, |(key, _)| key.0);
        let hash_of = |row| hash(key(row), seed);
        let index = Growing::of_all(rows.len(), KEYS_MAX, hash_of, |one, other| key(one) == key(other))?;
        Some(Self { index, rows, seed })
    }

    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(RequestId, Remembered)> {
        self.rows.iter()
    }
}
