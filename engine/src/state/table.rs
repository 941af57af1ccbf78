//! A table of rows, each under a key of 128 bits. Rows never move; those taken out leave room for others.

use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Range;

use super::chunked::Chunked;
use super::digest::Hasher;
use super::index::{Growing, hash};
use crate::code::ResultCode;
use crate::time::Timestamp;

/// What the ledger has to do by itself when its time comes. The order among those that are due at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    Hold = 0,
    Round = 1,
    Session = 2,
    Collect = 3,
    Freeround = 4,
}

/// A row of a table. A table holds each key once; no key is zero.
pub(crate) trait Row: Copy + core::fmt::Debug + Sized {
    /// The table's name, for the digest.
    const NAME: &'static str;
    /// How many there can be: a row's number has to fit an index entry.
    const ROWS_MAX: usize = 1 << 27;

    fn key(&self) -> u128;

    /// When the ledger has to do something about it by itself.
    fn due(&self) -> Option<(Timestamp, Sort)> {
        None
    }

    fn feed(&self, hasher: &mut Hasher);

    /// Names and types of its fields, so that an image of other fields is not mistaken for one of these.
    const LAYOUT: &'static str;
    /// How many bytes a row has in an image.
    const BYTES: usize;

    /// Writes it for an image; `out` has [`Self::BYTES`] and is all zero.
    fn put(&self, out: &mut [u8]);

    /// Reads it back, or says that the bytes are no row.
    fn get(bytes: &[u8]) -> Result<Self, ResultCode>;
}

#[derive(Debug)]
pub(crate) struct Table<R> {
    rows: Chunked<Option<R>>,
    free: Vec<u32>,
    index: Growing,
    /// Where the row was that was found last. A decision and its execution look at the same few rows again and again.
    latest: Cell<u32>,
    seed: u64,
}

impl<R: Row> Table<R> {
    pub(crate) const fn new(seed: u64) -> Self {
        let index = Growing::new(R::ROWS_MAX);
        Self { rows: Chunked::new(), free: Vec::new(), index, latest: Cell::new(0), seed }
    }

    pub(crate) const fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len() >= R::ROWS_MAX
    }

    fn place(&self, key: u128) -> Option<u32> {
        let is_it = |place: u32| self.row(place).is_some_and(|row| row.key() == key);
        if is_it(self.latest.get()) {
            return Some(self.latest.get());
        }
        let place = self.index.find(hash(key, self.seed), is_it)?;
        self.latest.set(place);
        Some(place)
    }

    fn row(&self, place: u32) -> Option<&R> {
        self.rows.get(place as usize)?.as_ref()
    }

    /// Asks for the memory that a look-up of this key reads first.
    pub(crate) fn fetch(&self, key: u128) {
        self.index.fetch(hash(key, self.seed));
    }

    /// Asks for the row itself, once what [`Self::fetch`] has asked for is there.
    pub(crate) fn fetch_row(&self, key: u128) {
        self.index.candidates(hash(key, self.seed), |place| self.rows.fetch(place as usize));
    }

    pub(crate) fn get(&self, key: u128) -> Option<&R> {
        self.row(self.place(key)?)
    }

    pub(crate) fn get_mut(&mut self, key: u128) -> Option<&mut R> {
        let place = self.place(key)?;
        self.rows.get_mut(place as usize)?.as_mut()
    }

    /// Adds a row; its key is not there yet.
    pub(crate) fn insert(&mut self, row: R) {
        debug_assert!(row.key() != 0 && self.get(row.key()).is_none(), "a key of its own");
        let key_hash = hash(row.key(), self.seed);
        let reused = self.free.pop().and_then(|place| {
            *self.rows.get_mut(place as usize)? = Some(row);
            Some(place)
        });
        let place = match reused {
            Some(place) => place,
            None => self.rows.push(Some(row)) as u32,
        };
        self.index.insert(key_hash, place);
    }

    pub(crate) fn remove(&mut self, key: u128) -> Option<R> {
        let place = self.place(key)?;
        let row = self.rows.get_mut(place as usize)?.take();
        self.index.remove(hash(key, self.seed), place);
        self.free.push(place);
        row
    }

    /// A table made at once of rows with different keys; `None` if two are the same.
    pub(crate) fn of_all(rows: Chunked<Option<R>>, seed: u64) -> Option<Self> {
        let key = |place: u32| rows.get(place as usize).and_then(Option::as_ref).map_or(0, Row::key);
        let hash_of = |place| hash(key(place), seed);
        let (fetch, same) = (|place: u32| rows.fetch(place as usize), |one, other| key(one) == key(other));
        let index = Growing::of_all(rows.len(), R::ROWS_MAX, hash_of, fetch, same)?;
        Some(Self { free: Vec::new(), index, latest: Cell::new(0), rows, seed })
    }

    /// In no particular order: nothing that can be seen may depend on it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &R> {
        self.rows.iter().flatten()
    }

    /// How many places there are, taken or free.
    pub(crate) const fn places(&self) -> usize {
        self.rows.len()
    }

    /// The rows in some places.
    pub(crate) fn at(&self, places: Range<usize>) -> impl Iterator<Item = &R> {
        let end = places.end.min(self.rows.len());
        (places.start..end).filter_map(|place| self.row(place as u32))
    }

    /// In the order of their keys: that of digests and images.
    pub(crate) fn sorted(&self) -> Vec<&R> {
        let mut rows: Vec<_> = self.iter().collect();
        rows.sort_unstable_by_key(|row| row.key());
        rows
    }

    pub(crate) fn digest(&self, hasher: &mut Hasher) {
        let rows = self.sorted();
        hasher.table(R::NAME, rows.len() as u64);
        for row in rows {
            row.feed(hasher);
        }
    }
}
