//! Records in memory, with what filters look at beside them.
//!
//! In: the bytes of consecutive records, beginning with the head of a linked run. Out: those that a filter wants, as items of
//! the feed. Never here: where the bytes come from.

use bytes::{BufMut, Bytes, BytesMut};
use cage_engine::{Lsn, RECORD_BYTES, Record};
use cage_protocol::feed::{FEED_ITEM_BYTES, FEED_ITEMS_MAX};
use cage_protocol::shown::Key;
use cage_protocol::{FRAME_HEADER_BYTES, Filter, FrameKind, frame};

use super::Part;

/// Consecutive records.
#[derive(Debug)]
pub(super) struct Batch {
    first: Lsn,
    bytes: Vec<u8>,
    keys: Vec<Key>,
}

impl Batch {
    /// The records from `first` on.
    ///
    /// # Errors
    /// The LSN of the first that is no record of this version.
    pub(super) fn new(first: Lsn, bytes: Vec<u8>) -> Result<Self, String> {
        let records = bytes.as_chunks::<RECORD_BYTES>().0;
        let mut keys: Vec<Key> = Vec::with_capacity(records.len());
        for (lsn, record) in (first.0..).zip(records) {
            let record = Record::from_bytes(record)
                .map_err(|fault| format!("record {lsn} has no valid {}", fault.0))?;
            keys.push(Key::of(&record, keys.last()));
        }
        Ok(Self { first, bytes, keys })
    }

    pub(super) const fn first(&self) -> Lsn {
        self.first
    }

    pub(super) fn last(&self) -> Lsn {
        Lsn(self.first.0 + self.keys.len() as u64 - 1)
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + self.keys.len() * size_of::<Key>()
    }

    /// Adds what a filter wants and comes behind what was found so far. Says whether there is room for more.
    pub(super) fn find(&self, filter: &Filter, found: &mut Found) -> bool {
        let from = (found.position.0 + 1).saturating_sub(self.first.0) as usize;
        for (at, key) in self.keys.iter().enumerate().skip(from) {
            let lsn = Lsn(self.first.0 + at as u64);
            if key.is_wanted_by(filter) && !found.push(lsn, &self.bytes[at * RECORD_BYTES..][..RECORD_BYTES])
            {
                return false;
            }
            found.position = lsn;
        }
        true
    }
}

/// What was found for one question.
#[derive(Debug)]
pub(super) struct Found {
    /// Looked at up to here.
    pub(super) position: Lsn,
    last: Lsn,
    items: BytesMut,
    count: usize,
    most: usize,
    more: bool,
}

impl Found {
    pub(super) fn new(after: Lsn, most: usize) -> Self {
        let most = most.min(FEED_ITEMS_MAX);
        Self { position: after, last: after, items: BytesMut::new(), count: 0, most, more: false }
    }

    fn push(&mut self, lsn: Lsn, record: &[u8]) -> bool {
        if self.count == self.most {
            self.more = true;
            return false;
        }
        if self.count == 0 {
            self.items.reserve(FRAME_HEADER_BYTES + FEED_ITEM_BYTES);
            self.items.put_bytes(0, FRAME_HEADER_BYTES);
        }
        self.items.put_u64_le(lsn.0);
        self.items.put_slice(record);
        self.count += 1;
        self.last = lsn;
        true
    }

    /// Whether there is anything to tell: records, or that there are some.
    pub(super) const fn is_something(&self) -> bool {
        self.count > 0 || self.more
    }

    /// The answer.
    pub(super) fn into_part(self, durable: Lsn) -> Part {
        let Self { position, last, mut items, count, more, .. } = self;
        if count > 0 {
            items[..FRAME_HEADER_BYTES].copy_from_slice(&frame::header(FrameKind::Feed, count));
        }
        Part { frame: Bytes::from(items), count, last, position, durable: durable.max(position), more }
    }
}
