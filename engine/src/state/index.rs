//! A hash index: from the hash of a key to the row that holds it. Keys stay in their rows.
//!
//! Buckets of one cache line hold 15 rows each, with a few bits of hash beside every row, so that a look-up
//! touches one line here and, nearly always, only the row that is wanted. A count of the rows that found their
//! bucket full lets a look-up stop at the first bucket; removing leaves nothing behind.
//! Never here: growth by rehashing. A table that must grow gets a further generation, see [`Growing`].

use alloc::vec;
use alloc::vec::Vec;

use super::ahead;

const BUCKET_SLOTS: usize = 16;
const BUCKET_ROWS: usize = BUCKET_SLOTS - 1;
/// The slot of a bucket that counts the rows which would belong here and lie further on.
const OVERFLOW: usize = BUCKET_ROWS;

/// An index of fixed capacity.
#[derive(Debug)]
pub(crate) struct Index {
    slots: Vec<u32>,
    /// How far into `slots` the first bucket stands, so that each lies on a cache line of its own.
    base: usize,
    buckets: usize,
    row_bits: u32,
    len: usize,
    capacity: usize,
}

impl Index {
    /// An index for `capacity` entries whose rows are numbered below `rows`.
    pub(crate) fn new(capacity: usize, rows: usize) -> Self {
        // Three quarters full: one bucket in thirty overflows.
        let buckets = (capacity * 4).div_ceil(BUCKET_ROWS * 3) + 1;
        let slots = vec![0_u32; (buckets + 1) * BUCKET_SLOTS];
        let base = slots.as_ptr().align_offset(64).min(BUCKET_SLOTS);
        let row_bits = usize::BITS - rows.leading_zeros();
        assert!(row_bits < u32::BITS, "a row and at least one bit of hash fit a slot");
        Self { slots, base, buckets, row_bits, len: 0, capacity }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len >= self.capacity
    }

    const fn home(&self, hash: u64) -> usize {
        ((hash as u128 * self.buckets as u128) >> 64) as usize
    }

    const fn entry(&self, hash: u64, row: u32) -> u32 {
        ((hash as u32) << self.row_bits) | (row + 1)
    }

    const fn row(&self, entry: u32) -> u32 {
        (entry & ((1 << self.row_bits) - 1)) - 1
    }

    fn bucket(&self, at: usize) -> &[u32; BUCKET_SLOTS] {
        let start = self.base + at * BUCKET_SLOTS;
        self.slots[start..start + BUCKET_SLOTS].try_into().unwrap_or(&[0; BUCKET_SLOTS])
    }

    fn bucket_mut(&mut self, at: usize) -> &mut [u32] {
        let start = self.base + at * BUCKET_SLOTS;
        &mut self.slots[start..start + BUCKET_SLOTS]
    }

    const fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets { 0 } else { bucket + 1 }
    }

    /// Asks for the memory that a look-up of this hash reads first.
    #[inline]
    pub(crate) fn fetch(&self, hash: u64) {
        ahead::fetch(&self.slots, self.base + self.home(hash) * BUCKET_SLOTS);
    }

    /// The rows that a look-up of this hash may look at, in its first bucket: nearly always one or none.
    #[inline]
    pub(crate) fn candidates(&self, hash: u64, mut each: impl FnMut(u32)) {
        let _ = self.hits(self.bucket(self.home(hash)), hash, |row| {
            each(row);
            false
        });
    }

    /// The row of this bucket that may have this hash and for which `is_it` says yes.
    #[inline]
    fn hits(
        &self,
        bucket: &[u32; BUCKET_SLOTS],
        hash: u64,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let wanted = self.entry(hash, 0) >> self.row_bits;
        let mut hits = 0_u32;
        for (slot, entry) in bucket[..BUCKET_ROWS].iter().enumerate() {
            hits |= u32::from((entry >> self.row_bits == wanted) & (*entry != 0)) << slot;
        }
        while hits != 0 {
            let row = self.row(bucket[hits.trailing_zeros() as usize]);
            if is_it(row) {
                return Some(row);
            }
            hits &= hits - 1;
        }
        None
    }

    /// The row of the key with this hash for which `is_it` says yes.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let bucket = self.bucket(at);
            let found = self.hits(bucket, hash, &is_it);
            if found.is_some() {
                return found;
            }
            if bucket[OVERFLOW] == 0 {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Adds a row. The caller knows that the key is not there yet and that the index is not full.
    pub(crate) fn insert(&mut self, hash: u64, row: u32) {
        assert!(!self.is_full(), "an index is never filled beyond its capacity");
        let entry = self.entry(hash, row);
        let mut at = self.home(hash);
        loop {
            let bucket = self.bucket_mut(at);
            if let Some(slot) = bucket[..BUCKET_ROWS].iter_mut().find(|slot| **slot == 0) {
                *slot = entry;
                self.len += 1;
                return;
            }
            bucket[OVERFLOW] += 1;
            at = self.after(at);
        }
    }

    /// Adds many rows, each with the hash of its key: some at a time, so that the processor waits for memory once for
    /// all of these. Says whether no two have the same key, which `same` knows; `fetch` asks for the memory that it reads.
    pub(crate) fn insert_all(
        &mut self,
        mut entries: impl Iterator<Item = (u64, u32)>,
        fetch: impl Fn(u32),
        same: impl Fn(u32, u32) -> bool,
    ) -> bool {
        const TOGETHER: usize = 32;
        let mut some = Vec::with_capacity(TOGETHER);
        loop {
            some.clear();
            some.extend(entries.by_ref().take(TOGETHER));
            if some.is_empty() {
                return true;
            }
            some.iter().for_each(|(hash, _)| self.fetch(*hash));
            // With millions of rows there are few bits of hash beside each: every second row meets one like it.
            some.iter().for_each(|(hash, _)| self.candidates(*hash, &fetch));
            for (hash, row) in &some {
                if self.find(*hash, |other| same(other, *row)).is_some() {
                    return false;
                }
                self.insert(*hash, *row);
            }
        }
    }

    /// Removes a row that was added under this hash; says whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, row: u32) -> bool {
        let entry = self.entry(hash, row);
        let home = self.home(hash);
        let mut at = home;
        loop {
            let bucket = self.bucket_mut(at);
            if let Some(slot) = bucket[..BUCKET_ROWS].iter_mut().find(|slot| **slot == entry) {
                *slot = 0;
                break;
            }
            if bucket[OVERFLOW] == 0 {
                return false;
            }
            at = self.after(at);
        }
        let mut passed = home;
        while passed != at {
            self.bucket_mut(passed)[OVERFLOW] -= 1;
            passed = self.after(passed);
        }
        self.len -= 1;
        true
    }
}

/// An index that grows by generations, each four times as large as the one before: adding never moves an entry, so
/// no single request ever pays for the growth, and a look-up in vain asks few of them.
#[derive(Debug)]
pub(crate) struct Growing {
    generations: Vec<Index>,
    rows_max: usize,
}

/// Entries of a growing index's first generation.
const FIRST_GENERATION: usize = 1 << 12;

impl Growing {
    /// An empty index whose rows are numbered below `rows_max`.
    pub(crate) const fn new(rows_max: usize) -> Self {
        Self { generations: Vec::new(), rows_max }
    }

    /// An index of all rows from 0 up to `len`, made at once; `None` if two of them have the same key. `fetch` asks for the
    /// memory of a row's key.
    pub(crate) fn of_all(
        len: usize,
        rows_max: usize,
        hash_of: impl Fn(u32) -> u64,
        fetch: impl Fn(u32),
        same: impl Fn(u32, u32) -> bool,
    ) -> Option<Self> {
        let mut growing = Self::new(rows_max);
        if len > 0 {
            // With a little room, so that the next few do not begin a generation.
            let mut index = Index::new((len + len / 8).max(FIRST_GENERATION), rows_max);
            let entries = (0..len as u32).map(|row| (hash_of(row), row));
            if !index.insert_all(entries, fetch, same) {
                return None;
            }
            growing.generations.push(index);
        }
        Some(growing)
    }

    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        // The youngest is the largest, and what is looked for is mostly young.
        self.generations.iter().rev().find_map(|index| index.find(hash, &is_it))
    }

    /// Asks for the memory that a look-up of this hash reads first.
    pub(crate) fn fetch(&self, hash: u64) {
        self.generations.iter().for_each(|index| index.fetch(hash));
    }

    /// The rows that a look-up of this hash may look at, nearly always one or none.
    pub(crate) fn candidates(&self, hash: u64, mut each: impl FnMut(u32)) {
        self.generations.iter().rev().for_each(|index| index.candidates(hash, &mut each));
    }

    pub(crate) fn insert(&mut self, hash: u64, row: u32) {
        // Entries are removed as well: the first generation with room takes it, so that room is used again.
        if let Some(index) = self.generations.iter_mut().rev().find(|index| !index.is_full()) {
            return index.insert(hash, row);
        }
        let capacity = self.generations.last().map_or(FIRST_GENERATION, |last| 4 * last.capacity);
        let mut index = Index::new(capacity, self.rows_max);
        index.insert(hash, row);
        self.generations.push(index);
    }

    pub(crate) fn remove(&mut self, hash: u64, row: u32) -> bool {
        self.generations.iter_mut().rev().any(|index| index.remove(hash, row))
    }
}

/// The hash of a 128-bit key. `seed` is the process's own secret, so that callers cannot aim at one bucket; no
/// decision, digest or file depends on it.
pub(crate) const fn hash(key: u128, seed: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let folded = fold(key as u64 ^ seed, (key >> 64) as u64 ^ ODD);
    fold(folded ^ seed.rotate_left(32), ODD)
}

/// Multiplies to 128 bits and folds the halves: every bit of the operands reaches every bit of the result.
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_finds_what_is_in_it_and_nothing_else_however_full_its_buckets_are() {
        // All keys share a few homes, so that buckets overflow.
        let mut index = Index::new(400, 1000);
        let home = |row: u32| u64::from(row % 3) << 62 | u64::from(row);
        let mut present = [false; 1000];
        let mut random = 0x5eed_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let row = (random >> 33) as u32 % 1000;
            let there = &mut present[row as usize];
            assert_eq!(index.find(home(row), |found| found == row), there.then_some(row), "row {row}");
            if *there {
                assert!(index.remove(home(row), row));
                *there = false;
            } else if !index.is_full() {
                index.insert(home(row), row);
                *there = true;
            } else {
                assert!(!index.remove(home(row), row));
            }
        }
        let overflow: u32 = (0..index.buckets).map(|at| index.bucket(at)[OVERFLOW]).sum();
        assert!(overflow > 0, "the test is about overflowing buckets");
    }

    #[test]
    fn a_growing_index_keeps_every_row_through_its_generations() {
        let mut index = Growing::new(1 << 28);
        for row in 0..50_000_u32 {
            index.insert(hash(u128::from(row), 7), row);
        }
        for row in 0..50_000_u32 {
            assert_eq!(index.find(hash(u128::from(row), 7), |found| found == row), Some(row));
            if row % 2 == 0 {
                assert!(index.remove(hash(u128::from(row), 7), row));
            }
        }
        for row in 0..50_000_u32 {
            let found = index.find(hash(u128::from(row), 7), |found| found == row);
            assert_eq!(found.is_some(), row % 2 == 1);
        }
    }
}
