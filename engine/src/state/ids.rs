//! What is remembered of request ids and of closed holds: a ring in log order, bounded and preallocated.
//!
//! In: an id when its record is applied. Out: whether, how and where it was answered. An id younger than the
//! guaranteed retention is never forgotten: [`Ids::has_room`] says so before, and what opens something is not
//! taken then. Never here: what happens with a repeated id.

use alloc::vec;
use alloc::vec::Vec;

use super::index::{Index, hash};
use crate::id::{Lsn, RequestId};
use crate::time::Timestamp;

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of its stake was taken.
    Settled = 1,
    /// It was cancelled.
    Cancelled = 2,
    /// Its deadline passed.
    Expired = 3,
    /// It was cancelled before it was opened.
    Tombstone = 4,
}

/// What is remembered of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) digest: u64,
    pub(crate) lsn: Lsn,
}

/// A request and the ending of a hold may be remembered under the same id, as two different facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Request = 0,
    Ending = 1,
}

/// 32 bytes: id (two words), digest or ending, then the LSN with the space in its upper bits.
type Entry = [u64; 4];

const SPACE_SHIFT: u32 = 56;
const LSN_MASK: u64 = (1 << SPACE_SHIFT) - 1;

#[derive(Debug)]
pub(crate) struct Ids {
    entries: Vec<Entry>,
    index: Index,
    seed: u64,
    /// How many facts were ever remembered, and how many of them forgotten: positions in the ring.
    head: u64,
    tail: u64,
    /// The time at which each block of the ring was begun, so that ages need no room in the entries.
    block_times: Vec<u64>,
    block_len: u64,
    retention_millis: u64,
    /// The greatest time inside any forgotten id, of a request or of a hold.
    horizon: Timestamp,
}

impl Ids {
    pub(crate) fn new(capacity: u64, retention_millis: u64, seed: u64) -> Self {
        let len = usize::try_from(capacity).unwrap_or(usize::MAX);
        let block_len = (capacity / 1024).max(1);
        let blocks = usize::try_from(capacity / block_len).unwrap_or(0) + 2;
        Self {
            entries: vec![[0; 4]; len],
            index: Index::new(len, len),
            seed,
            head: 0,
            tail: 0,
            block_times: vec![0; blocks],
            block_len,
            retention_millis,
            horizon: Timestamp(0),
        }
    }

    /// The same memory with other bounds. The caller has checked with [`Self::fits`].
    pub(crate) fn resized(&self, capacity: u64, retention_millis: u64, now: Timestamp) -> Self {
        let mut resized = Self::new(capacity, retention_millis, self.seed);
        resized.horizon = self.horizon;
        for position in self.tail..self.head {
            let entry = self.entries[self.place(position)];
            resized.push(entry, self.written_before(position).unwrap_or(now));
        }
        resized
    }

    pub(crate) const fn horizon(&self) -> Timestamp {
        self.horizon
    }

    pub(crate) const fn len(&self) -> u64 {
        self.head - self.tail
    }

    pub(crate) const fn capacity(&self) -> u64 {
        self.entries.len() as u64
    }

    const fn place(&self, position: u64) -> usize {
        (position % self.entries.len() as u64) as usize
    }

    const fn block_place(&self, position: u64) -> usize {
        ((position / self.block_len) % self.block_times.len() as u64) as usize
    }

    /// How a request of this id was answered.
    pub(crate) fn request(&self, id: RequestId) -> Option<Remembered> {
        let entry = self.find(id, Space::Request)?;
        Some(Remembered { digest: entry[2], lsn: Lsn(entry[3] & LSN_MASK) })
    }

    /// How the hold of this id ended.
    pub(crate) fn ending(&self, hold: RequestId) -> Option<Ending> {
        match self.find(hold, Space::Ending)?[2] {
            1 => Some(Ending::Settled),
            2 => Some(Ending::Cancelled),
            3 => Some(Ending::Expired),
            _ => Some(Ending::Tombstone),
        }
    }

    pub(crate) fn remember_request(&mut self, id: RequestId, digest: u64, lsn: Lsn, now: Timestamp) {
        self.push(entry(id, Space::Request, digest, lsn), now);
    }

    pub(crate) fn remember_ending(&mut self, hold: RequestId, ending: Ending, lsn: Lsn, now: Timestamp) {
        self.push(entry(hold, Space::Ending, ending as u64, lsn), now);
    }

    /// Whether `needed` more facts can be remembered at `now` without forgetting a young one.
    pub(crate) fn has_room(&self, needed: u64, now: Timestamp) -> bool {
        self.fits(self.capacity(), self.retention_millis, needed, now)
    }

    /// The same under other bounds, which have to hold all that is remembered, too.
    pub(crate) fn fits(&self, capacity: u64, retention_millis: u64, needed: u64, now: Timestamp) -> bool {
        let Some(free) = capacity.checked_sub(self.len()) else { return false };
        if free >= needed {
            return true;
        }
        // The last one that would have to go.
        needed <= capacity && self.is_old(self.tail + (needed - free) - 1, retention_millis, now)
    }

    /// An entry is as old as the beginning of the block after its own: at most a block's time too young.
    fn is_old(&self, position: u64, retention_millis: u64, now: Timestamp) -> bool {
        let next_block = (position / self.block_len + 1) * self.block_len;
        self.begun(next_block).is_some_and(|begun| begun.plus_millis(retention_millis) <= now)
    }

    /// A time at or after that at which the entry was written; `None` if that is the latest.
    fn written_before(&self, position: u64) -> Option<Timestamp> {
        self.begun(position.next_multiple_of(self.block_len))
    }

    /// When the block that starts at this position was begun; `None` if it was not yet.
    fn begun(&self, block_start: u64) -> Option<Timestamp> {
        (block_start < self.head).then(|| Timestamp(self.block_times[self.block_place(block_start)]))
    }

    fn find(&self, id: RequestId, space: Space) -> Option<&Entry> {
        let row = self.index.find(self.hash(id), |row| {
            let entry = &self.entries[row as usize];
            entry_id(entry) == id && entry_space(entry) == space
        })?;
        self.entries.get(row as usize)
    }

    fn push(&mut self, entry: Entry, now: Timestamp) {
        if self.head - self.tail == self.capacity() {
            self.forget_oldest();
        }
        let place = self.place(self.head);
        if self.head.is_multiple_of(self.block_len) {
            let block = self.block_place(self.head);
            self.block_times[block] = now.0;
        }
        self.entries[place] = entry;
        self.index.insert(self.hash(entry_id(&entry)), place as u32);
        self.head += 1;
    }

    fn forget_oldest(&mut self) {
        let place = self.place(self.tail);
        let entry = self.entries[place];
        let id = entry_id(&entry);
        let there = self.index.remove(self.hash(id), place as u32);
        debug_assert!(there, "every remembered fact is in the index");
        // A forgotten tombstone counts too: the bet that it forbids may still be under way.
        self.horizon = self.horizon.max(id.time());
        self.tail += 1;
    }

    /// Both facts of an id lie in one bucket: a reserve looks for both.
    const fn hash(&self, id: RequestId) -> u64 {
        hash(id.0, self.seed)
    }

    /// Reads where looking for `id` will read.
    pub(crate) fn touch(&self, id: RequestId) -> u32 {
        self.index.touch(self.hash(id))
    }

    /// Reads where forgetting the fact `ahead` of the oldest will read, if one more is going to be forgotten.
    pub(crate) fn touch_oldest(&self, ahead: u64) -> u32 {
        if self.len() < self.capacity() {
            return 0;
        }
        self.touch(entry_id(&self.entries[self.place(self.tail + ahead)]))
    }

    /// Where the ring stands and when its blocks were begun: what ages are told by, for the digest.
    pub(crate) fn ages(&self) -> impl Iterator<Item = u64> {
        let first_block = self.tail.next_multiple_of(self.block_len);
        let begun = (first_block..self.head).step_by(self.block_len as usize);
        [self.tail, self.head].into_iter().chain(begun.map(|start| self.block_times[self.block_place(start)]))
    }

    /// The entries in the order of the log, for the digest.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        (self.tail..self.head).map(|position| &self.entries[self.place(position)])
    }
}

const fn entry(id: RequestId, space: Space, fact: u64, lsn: Lsn) -> Entry {
    [id.0 as u64, (id.0 >> 64) as u64, fact, (lsn.0 & LSN_MASK) | ((space as u64) << SPACE_SHIFT)]
}

const fn entry_id(entry: &Entry) -> RequestId {
    RequestId(entry[0] as u128 | (entry[1] as u128) << 64)
}

const fn entry_space(entry: &Entry) -> Space {
    if entry[3] >> SPACE_SHIFT == 0 { Space::Request } else { Space::Ending }
}
