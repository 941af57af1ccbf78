//! Reads the log for those who are not at its live end.
//!
//! In: questions about older records. Out: answers; who has caught up goes to the live end. Runs on a thread of its own, over
//! the mapped segments and the archive; every frame is verified. Those who stand close together share what is read. Never
//! here: more of the log in memory than the limits say, a long turn for one of them.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};

use cage_engine::Lsn;
use cage_wal::{LogHandle, ReadError, Reader};

use super::batch::{Batch, Found};
use super::{Ask, Event, FeedFault};
use crate::limits::{FEED_CATCH_UP_BYTES, FEED_TURN_RECORDS};

/// The thread's own.
pub(super) struct CatchUp {
    log: LogHandle,
    asked: Receiver<Ask>,
    live: Sender<Event>,
}

/// The frames that were read last.
struct Frames {
    reader: Reader,
    /// By their first records.
    held: BTreeMap<u64, Rc<Batch>>,
    /// Their first records, in the order in which they were read.
    order: VecDeque<u64>,
    held_bytes: usize,
    room: Vec<u8>,
}

impl CatchUp {
    pub(super) const fn new(log: LogHandle, asked: Receiver<Ask>, live: Sender<Event>) -> Self {
        Self { log, asked, live }
    }

    /// Until the live end is gone.
    pub(super) fn run(self) {
        let reader = self.log.reader();
        let (held, order) = (BTreeMap::new(), VecDeque::new());
        let mut frames = Frames { reader, held, order, held_bytes: 0, room: Vec::new() };
        let mut asks = Vec::new();
        while let Ok(ask) = self.asked.recv() {
            asks.push(ask);
            asks.extend(self.asked.try_iter());
            // One after the other from the oldest on: what was read for one is still there for the next.
            asks.sort_by_key(|ask| ask.after);
            for ask in asks.drain(..) {
                self.answer(ask, &mut frames);
            }
        }
    }

    fn durable(&self) -> Lsn {
        Lsn(self.log.durable().get().0)
    }

    fn answer(&self, ask: Ask, frames: &mut Frames) {
        if ask.answer.is_closed() {
            return;
        }
        let mut found = Found::new(ask.after, ask.most);
        let durable = self.durable();
        let turn_end = ask.after.0.saturating_add(FEED_TURN_RECORDS);
        while found.position < durable && found.position.0 < turn_end {
            let batch = match frames.holding(Lsn(found.position.0 + 1)) {
                Ok(batch) => batch,
                Err(reason) => {
                    let after = found.position;
                    if !found.is_something() {
                        tracing::error!(%after, %reason, "the log cannot be read for a subscriber");
                        let _ = ask.answer.send(Err(FeedFault::Unreadable { after, reason }));
                        return;
                    }
                    break;
                }
            };
            if !batch.find(&ask.filter, &mut found) {
                break;
            }
        }
        if found.is_something() || found.position > ask.after && found.position < durable {
            let _ = ask.answer.send(Ok(found.into_part(durable)));
        } else {
            // It has caught up: the live end tells it what comes.
            let _ = self.live.send(Event::Ask(Ask { after: found.position, ..ask }));
        }
    }
}

impl Frames {
    /// The frame with this record.
    fn holding(&mut self, lsn: Lsn) -> Result<Rc<Batch>, String> {
        let before = self.held.range(..=lsn.0).next_back();
        if let Some((_, held)) = before.filter(|(_, held)| lsn <= held.last()) {
            return Ok(Rc::clone(held));
        }
        let frame = self.reader.frame(cage_wal::Lsn(lsn.0), &mut self.room);
        let frame = frame.map_err(|fault: ReadError| fault.to_string())?;
        let bytes = frame.records().flatten().copied().collect();
        let batch = Rc::new(Batch::new(Lsn(frame.first_lsn.0), bytes)?);
        self.held_bytes += batch.bytes();
        self.held.insert(batch.first().0, Rc::clone(&batch));
        self.order.push_back(batch.first().0);
        while self.held_bytes > FEED_CATCH_UP_BYTES && self.order.len() > 1 {
            let oldest = self.order.pop_front().and_then(|first| self.held.remove(&first));
            self.held_bytes -= oldest.map_or(0, |oldest| oldest.bytes());
        }
        Ok(batch)
    }
}
