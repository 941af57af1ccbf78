//! Replies: encoded when they are decided, shown when they are durable.
//!
//! In: replies of one batch. Out: the bytes of their frames. A repetition's reply is not known when it is decided:
//! its record is read back from the log when it is durable, off the sequencer's thread. Never here: a reply that
//! is let go without the log's word for it; [`Appended`](cage_wal::Appended) sees to that.

use bytes::Bytes;
use cage_engine::{Lsn, Record};
use cage_protocol::frame::header;
use cage_protocol::{FRAME_HEADER_BYTES, FRAME_ITEMS_MAX, FrameKind, REPLY_BYTES, Reply};
use cage_wal::Reader;

/// The replies of one batch, in frames.
#[derive(Debug)]
pub struct Replies {
    bytes: Vec<u8>,
    /// Where the frame that is being filled begins.
    frame_at: usize,
    in_frame: usize,
    count: usize,
    repeats: Vec<Repeat>,
}

/// A place for a reply that has to be read back from the log.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: usize,
    tag: u64,
    lsn: Lsn,
}

impl Replies {
    /// Room for `count` replies.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        let frames = count.div_ceil(FRAME_ITEMS_MAX);
        Self {
            bytes: Vec::with_capacity(frames * FRAME_HEADER_BYTES + count * REPLY_BYTES),
            frame_at: 0,
            in_frame: 0,
            count: 0,
            repeats: Vec::new(),
        }
    }

    /// Adds a reply.
    pub fn push(&mut self, reply: &Reply) {
        if self.in_frame == 0 {
            self.frame_at = self.bytes.len();
            self.bytes.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        }
        self.bytes.extend_from_slice(&reply.to_bytes());
        self.in_frame += 1;
        self.count += 1;
        if self.in_frame == FRAME_ITEMS_MAX {
            self.end_frame();
        }
    }

    /// Adds the reply that the record at `lsn` gives.
    pub fn push_repeat(&mut self, tag: u64, lsn: Lsn) {
        self.push(&Reply::without_record(tag, cage_engine::ResultCode::Done));
        self.repeats.push(Repeat { at: self.bytes.len() - REPLY_BYTES, tag, lsn });
    }

    fn end_frame(&mut self) {
        if self.in_frame > 0 {
            let header = header(FrameKind::Replies, self.in_frame);
            self.bytes[self.frame_at..self.frame_at + FRAME_HEADER_BYTES].copy_from_slice(&header);
            self.in_frame = 0;
        }
    }

    /// How many replies there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Whether records have to be read back first.
    #[must_use]
    pub const fn has_repeats(&self) -> bool {
        !self.repeats.is_empty()
    }

    /// Reads back the records of repetitions. May wait for the disk.
    ///
    /// # Errors
    /// What is wrong with the log, in words: the ledger remembers a record that the log does not give.
    pub fn read_back(&mut self, reader: &mut Reader) -> Result<(), String> {
        for Repeat { at, tag, lsn } in std::mem::take(&mut self.repeats) {
            let bytes = reader.record(cage_wal::Lsn(lsn.0)).map_err(|fault| fault.to_string())?;
            let record = Record::from_bytes(&bytes)
                .map_err(|fault| format!("record {lsn} has no valid {}", fault.0))?;
            let reply = Reply::of_record(tag, lsn, &record, true);
            self.bytes[at..at + REPLY_BYTES].copy_from_slice(&reply.to_bytes());
        }
        Ok(())
    }

    /// The frames' bytes.
    ///
    /// # Panics
    /// If records of repetitions were not read back.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        assert!(self.repeats.is_empty(), "every repetition was read back");
        self.end_frame();
        Bytes::from(self.bytes)
    }
}
