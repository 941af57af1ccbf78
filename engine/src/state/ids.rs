//! What is remembered of request ids and of closed holds: a ring in log order, bounded and preallocated.
//!
//! In: an id when its record is applied. Out: whether, how and where it was answered. An id younger than the
//! guaranteed retention is never forgotten: [`Ids::has_room`] says so before, and what opens something is not
//! taken then. Never here: what happens with a repeated id.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::mem;

use super::index::{Index, fold, hash};
use crate::id::{AssetId, GameId, Lsn, PlayerId, RequestId};
use crate::time::Timestamp;

/// How something came to its end: a hold, a bet, a round, a withdrawal, free rounds, a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It took its course: all stake was taken, the round was closed, it was paid.
    Settled = 1,
    /// It was cancelled, rolled back or voided.
    Cancelled = 2,
    /// Its deadline passed.
    Expired = 3,
    /// It was cancelled before it was opened.
    Tombstone = 4,
    /// The bet was refused.
    Refused = 5,
}

impl Ending {
    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Settled,
            2 => Self::Cancelled,
            3 => Self::Expired,
            4 => Self::Tombstone,
            _ => Self::Refused,
        }
    }
}

/// What is remembered of something that ended: how, and as much of a bet as tells a repeat from a conflict, and a
/// late win of its own from a stranger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) how: Ending,
    pub(crate) traces: Traces,
    pub(crate) lsn: Lsn,
}

/// A few bits of a bet. Mistaking two for one another would take a digest's luck, and moves no stranger's money: a
/// repeat is only answered, and a late win names its player itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traces {
    /// Of the digest of what was asked, without the id.
    pub(crate) content: u32,
    /// Of player, asset and provider; 24 bits.
    pub(crate) owner: u32,
}

impl Traces {
    pub(crate) const fn of(content: u64, player: PlayerId, asset: AssetId, game: GameId) -> Self {
        let place = (asset.0 as u64) << 16 | game.provider() as u64;
        let owner = fold(player.number() ^ 0x452_821e_638d_0137, place ^ 0xbe54_66cf_34e9_0c6c);
        Self { content: content as u32, owner: owner as u32 & 0xff_ffff }
    }
}

/// What is remembered of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) digest: u64,
    pub(crate) lsn: Lsn,
}

/// What a fact is about. Different things may have the same key, and are remembered side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// How a request was answered.
    Request = 0,
    /// How a hold ended.
    Hold = 1,
    /// How a withdrawal ended.
    Withdrawal = 2,
    /// How free rounds ended.
    Freeround = 3,
    /// How a round ended.
    Round = 4,
    /// How a provider's transaction was answered.
    Reference = 5,
    /// How a provider's bet or win ended.
    Wager = 6,
    /// How a proposal ended.
    Adjustment = 7,
}

/// The spaces up to this one have request ids as keys, with a time in them; the others digests, with none.
const LAST_TIMED: u64 = Space::Freeround as u64;

/// 32 bytes: id (two words), digest or ending, then the LSN with the space in its upper bits.
pub(crate) type Entry = [u64; ENTRY_WORDS];
pub(crate) const ENTRY_WORDS: usize = 4;

const SPACE_SHIFT: u32 = 56;
const LSN_MASK: u64 = (1 << SPACE_SHIFT) - 1;

/// What the index does not know yet. Nobody looks anything up while a log is replayed, but for a few records: then most of
/// what is remembered is forgotten again before it is asked for, and the index is made once, in the end.
#[derive(Debug)]
enum Lag {
    /// Nothing: it changes with each fact.
    None,
    /// These changes, in their order.
    Changes(Vec<Change>),
    /// Too much: it is made anew.
    All,
}

/// A fact comes or goes.
#[derive(Clone, Copy, Debug)]
struct Change {
    hash: u64,
    row: u32,
    is_new: bool,
}

/// If more than this part of all facts have changed, the index is made anew: that is then cheaper than to change it.
const LAG_PART: usize = 8;
/// Changes whose memory is read at once.
const CHANGES_TOGETHER: usize = 32;

#[derive(Debug)]
pub(crate) struct Ids {
    entries: Vec<Entry>,
    index: Index,
    lag: Lag,
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
            lag: Lag::None,
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
        if !matches!(self.lag, Lag::None) {
            resized.lag = Lag::All;
        }
        for position in self.tail..self.head {
            let entry = self.entries[self.place(position)];
            resized.push(entry, self.written_before(position).unwrap_or(now));
        }
        resized
    }

    /// The ring as it was at these positions, before its facts are put back; `None` if it cannot have been there.
    pub(crate) fn at(
        capacity: u64,
        retention_millis: u64,
        seed: u64,
        (tail, head): (u64, u64),
        horizon: Timestamp,
    ) -> Option<Self> {
        let possible = tail <= head && head - tail <= capacity && head <= LSN_MASK;
        possible.then(|| Self { head, tail, horizon, ..Self::new(capacity, retention_millis, seed) })
    }

    /// The beginnings of the blocks that ages are told by.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u64> + use<> {
        (self.tail.next_multiple_of(self.block_len)..self.head).step_by(self.block_len as usize)
    }

    /// When the block that starts at this position was begun.
    pub(crate) fn set_begun(&mut self, block_start: u64, begun: Timestamp) {
        let block = self.block_place(block_start);
        self.block_times[block] = begun.0;
    }

    /// Puts the facts back, as many as lie between the positions, in the order of the log. The index falls behind.
    pub(crate) fn put_back<E>(&mut self, mut next: impl FnMut() -> Result<Entry, E>) -> Result<(), E> {
        for position in self.tail..self.head {
            let place = self.place(position);
            self.entries[place] = next()?;
        }
        self.lag = Lag::All;
        Ok(())
    }

    /// From now on the index is not changed with each fact, until [`Self::catch_up`] or [`Self::keep_up`].
    pub(crate) fn fall_behind(&mut self) {
        if matches!(self.lag, Lag::None) {
            self.lag = Lag::Changes(Vec::new());
        }
    }

    /// From now on the index is changed with each fact.
    pub(crate) fn keep_up(&mut self) {
        self.catch_up();
        self.lag = Lag::None;
    }

    /// Does to the index what it lags behind: facts can be looked for then, until the next one comes.
    pub(crate) fn catch_up(&mut self) {
        match mem::replace(&mut self.lag, Lag::None) {
            Lag::None => return,
            Lag::Changes(changes) => {
                for some in changes.chunks(CHANGES_TOGETHER) {
                    some.iter().for_each(|change| self.index.fetch(change.hash));
                    some.iter().for_each(|change| self.change_index(*change));
                }
            }
            Lag::All => self.make_index(),
        }
        self.lag = Lag::Changes(Vec::new());
    }

    fn make_index(&mut self) {
        let Self { entries, seed, tail, head, .. } = self;
        let hashed = (*tail..*head).map(|position| {
            let place = (position % entries.len() as u64) as usize;
            (hash(entry_id(&entries[place]).0, *seed), place as u32)
        });
        self.index = Index::new(entries.len(), entries.len());
        // Facts of one id may be many, and no key is compared.
        self.index.insert_all(hashed, |_| {}, |_, _| false);
    }

    fn change_index(&mut self, Change { hash, row, is_new }: Change) {
        if is_new {
            return self.index.insert(hash, row);
        }
        let there = self.index.remove(hash, row);
        debug_assert!(there, "every remembered fact is in the index");
    }

    fn note(&mut self, id: RequestId, place: usize, is_new: bool) {
        let change = Change { hash: self.hash(id), row: place as u32, is_new };
        match &mut self.lag {
            Lag::None => self.change_index(change),
            Lag::Changes(changes) if changes.len() < self.entries.len() / LAG_PART => changes.push(change),
            Lag::Changes(_) => self.lag = Lag::All,
            Lag::All => {}
        }
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

    pub(crate) fn find(&self, id: RequestId, space: Space) -> Option<&Entry> {
        let is_known = match &self.lag {
            Lag::None => true,
            Lag::Changes(changes) => changes.is_empty(),
            Lag::All => false,
        };
        assert!(is_known, "whoever looks for a fact has the index caught up first");
        let is_it = |row: u32| {
            let entry = &self.entries[row as usize];
            entry_id(entry) == id && entry_space(entry) == space as u64
        };
        // A bet or win can end twice: its round is closed, then it is undone. The latter counts.
        let row = match space {
            Space::Wager => self.find_latest(id, is_it),
            _ => self.index.find(self.hash(id), is_it),
        };
        self.entries.get(row? as usize)
    }

    fn find_latest(&self, id: RequestId, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let capacity = self.capacity();
        let oldest = self.tail % capacity;
        let age = |row: u32| (u64::from(row) + capacity - oldest) % capacity;
        let latest = Cell::new(None);
        let _ = self.index.find(self.hash(id), |row| {
            if is_it(row) && latest.get().is_none_or(|known| age(row) > age(known)) {
                latest.set(Some(row));
            }
            false
        });
        latest.get()
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

    pub(crate) fn push(&mut self, entry: Entry, now: Timestamp) {
        if self.head - self.tail == self.capacity() {
            self.forget_oldest();
        }
        let place = self.place(self.head);
        if self.head.is_multiple_of(self.block_len) {
            let block = self.block_place(self.head);
            self.block_times[block] = now.0;
        }
        self.entries[place] = entry;
        self.note(entry_id(&entry), place, true);
        self.head += 1;
    }

    fn forget_oldest(&mut self) {
        let place = self.place(self.tail);
        let entry = self.entries[place];
        let id = entry_id(&entry);
        self.note(id, place, false);
        // A forgotten tombstone counts too: the bet that it forbids may still be under way.
        if entry_space(&entry) <= LAST_TIMED {
            self.horizon = self.horizon.max(id.time());
        }
        self.tail += 1;
    }

    /// Both facts of an id lie in one bucket: a reserve looks for both.
    const fn hash(&self, id: RequestId) -> u64 {
        hash(id.0, self.seed)
    }

    /// Asks for the memory that looking for `id` reads.
    pub(crate) fn fetch(&self, id: RequestId) {
        if matches!(self.lag, Lag::None) {
            self.index.fetch(self.hash(id));
        }
    }

    /// Asks for the memory that forgetting the fact `ahead` of the oldest reads, if one more is going to be forgotten.
    pub(crate) fn fetch_oldest(&self, ahead: u64) {
        if self.len() >= self.capacity() {
            self.fetch(entry_id(&self.entries[self.place(self.tail + ahead)]));
        }
    }

    /// Where the ring stands and when its blocks were begun: what ages are told by, for the digest.
    pub(crate) fn ages(&self) -> impl Iterator<Item = u64> {
        let begun = self.blocks().map(|start| self.block_times[self.block_place(start)]);
        [self.tail, self.head].into_iter().chain(begun)
    }

    /// The entries in the order of the log, for the digest.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        (self.tail..self.head).map(|position| &self.entries[self.place(position)])
    }
}

pub(crate) const fn answered_entry(id: RequestId, space: Space, digest: u64, lsn: Lsn) -> Entry {
    entry(id, space, digest, lsn)
}

pub(crate) const fn ending_entry(id: RequestId, space: Space, ended: &Ended) -> Entry {
    let Traces { content, owner } = ended.traces;
    let fact = ended.how as u64 | (owner as u64) << 8 | (content as u64) << 32;
    entry(id, space, fact, ended.lsn)
}

const fn entry(id: RequestId, space: Space, fact: u64, lsn: Lsn) -> Entry {
    [id.0 as u64, (id.0 >> 64) as u64, fact, (lsn.0 & LSN_MASK) | ((space as u64) << SPACE_SHIFT)]
}

pub(crate) const fn entry_id(entry: &Entry) -> RequestId {
    RequestId(entry[0] as u128 | (entry[1] as u128) << 64)
}

pub(crate) const fn entry_space(entry: &Entry) -> u64 {
    entry[3] >> SPACE_SHIFT
}

/// Whether bytes can be an entry of a ledger whose next record is `next`.
pub(crate) const fn entry_is_valid(entry: &Entry, next: Lsn) -> bool {
    let lsn = entry[3] & LSN_MASK;
    entry_space(entry) <= Space::Adjustment as u64 && lsn != 0 && lsn < next.0
}

/// What an entry says of a request.
pub(crate) const fn remembered(entry: &Entry) -> Remembered {
    Remembered { digest: entry[2], lsn: Lsn(entry[3] & LSN_MASK) }
}

/// What an entry says of something that ended.
pub(crate) const fn ended(entry: &Entry) -> Ended {
    Ended {
        how: Ending::from_number(entry[2] as u8),
        traces: Traces { content: (entry[2] >> 32) as u32, owner: (entry[2] >> 8) as u32 & 0xff_ffff },
        lsn: Lsn(entry[3] & LSN_MASK),
    }
}
