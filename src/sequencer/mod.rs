//! The single writer: owns the ledger, decides one request after the other, appends each decision to the log.
//!
//! In: batches of admitted requests and a time. Out: for each batch its replies, held back until the log says that
//! what they tell is durable. Never here: waiting, sockets, a look at the clock.

pub mod inbox;

use cage_engine::{
    Admitted, Answer, Decision, Lsn, Operation, Record, RequestId, ResultCode, Role, Settings, State,
    Timestamp, decide,
};
use cage_protocol::{Read, Reply};
use cage_wal::{Appended, LogFault, Writer};

use crate::admission::{Item, Ticket};
use crate::limits::{EXPIRIES_PER_STEP_MAX, TOUCH_ITEMS};
use crate::reply::Replies;

/// The log has no room for a batch: the disk is behind. Nothing of the batch was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFull;

/// The ledger and its log.
#[derive(Debug)]
pub struct Sequencer {
    state: State,
    writer: Writer,
    counts: Counts,
    held_back: Option<ResultCode>,
}

/// What the sequencer has done, counted by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records appended.
    pub records: u64,
    /// Of these, refusals.
    pub refused: u64,
    /// Requests that were answered from an earlier record.
    pub repeated: u64,
    /// Requests that were answered without any record.
    pub unrecorded: u64,
    /// Reads.
    pub reads: u64,
    /// Batches.
    pub batches: u64,
}

impl Sequencer {
    /// A sequencer over a recovered state and the log that continues it.
    ///
    /// # Panics
    /// If the two do not end at the same record.
    #[must_use]
    pub fn new(state: State, writer: Writer) -> Self {
        assert_eq!(state.next_lsn().0, writer.next_lsn().0, "the state is that of the log's end");
        Self { state, writer, counts: Counts::default(), held_back: None }
    }

    /// The ledger, to look at.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// How many records the log takes at once.
    #[must_use]
    pub fn room(&self) -> usize {
        self.writer.free()
    }

    /// From now on operations are not taken, for this reason; none = they are taken again. Reads go on.
    pub const fn hold_back(&mut self, reason: Option<ResultCode>) {
        self.held_back = reason;
    }

    /// Makes the settings those given, by a record, if they differ.
    ///
    /// # Errors
    /// The refusal, if they do not fit what is stored.
    pub fn configure(&mut self, now: Timestamp, settings: Settings) -> Result<(), ResultCode> {
        if self.state.settings() == Some(settings) {
            return Ok(());
        }
        tracing::info!(?settings, before = ?self.state.settings(), "settings");
        match self.internal(now, Operation::Configure(settings)) {
            ResultCode::Done => Ok(()),
            code => Err(code),
        }
    }

    /// Decides a batch at `now`. What was appended is on its way to the disk after [`Self::publish`].
    ///
    /// # Errors
    /// [`LogFull`] if the log cannot take it all; nothing was done then.
    pub fn step(&mut self, now: Timestamp, batch: &[Ticket]) -> Result<Appended<Replies>, LogFull> {
        if self.room() < batch.len() {
            return Err(LogFull);
        }
        let mut replies = Replies::with_capacity(batch.len());
        let mut needed = Lsn::NONE;
        for some in batch.chunks(TOUCH_ITEMS) {
            self.state.touch(some.iter().filter_map(|ticket| match &ticket.item {
                Item::Operation(admitted) => Some(&admitted.request),
                Item::Read(_) | Item::Refused(_) => None,
            }));
            for ticket in some {
                needed = needed.max(self.take(now, ticket, &mut replies));
            }
        }
        self.counts.batches += 1;
        Ok(Appended::new(cage_wal::Lsn(needed.0), replies))
    }

    /// Does one item; gives the record that must be durable before its reply may be seen.
    fn take(&mut self, now: Timestamp, ticket: &Ticket, replies: &mut Replies) -> Lsn {
        let tag = ticket.tag;
        let without_record = |code| Reply::without_record(tag, code);
        match &ticket.item {
            Item::Refused(code) => {
                self.counts.unrecorded += 1;
                replies.push(&without_record(*code));
                Lsn::NONE
            }
            Item::Read(read) => {
                self.counts.reads += 1;
                let reply = self.read(tag, *read);
                replies.push(&reply);
                reply.lsn
            }
            Item::Operation(admitted) => match (decide(&self.state, now, admitted), self.held_back) {
                // What was decided before is told all the same; only new decisions wait.
                (Decision::Record(_), Some(reason)) => {
                    self.counts.unrecorded += 1;
                    replies.push(&without_record(reason));
                    Lsn::NONE
                }
                (Decision::Record(record), None) => {
                    let lsn = self.append(&record);
                    replies.push(&Reply::of_record(tag, lsn, &record, false));
                    lsn
                }
                (Decision::Answer(Answer::Same(lsn)), _) => {
                    self.counts.repeated += 1;
                    replies.push_repeat(tag, lsn);
                    lsn
                }
                (Decision::Answer(Answer::Conflict(lsn)), _) => {
                    self.counts.unrecorded += 1;
                    replies.push(&Reply { lsn, ..without_record(ResultCode::IdConflict) });
                    lsn
                }
                (Decision::Answer(Answer::Not(code)), _) => {
                    self.counts.unrecorded += 1;
                    replies.push(&without_record(code));
                    Lsn::NONE
                }
            },
        }
    }

    fn read(&self, tag: u64, read: Read) -> Reply {
        let lsn = Lsn(self.state.next_lsn().0 - 1);
        let answer = |code| Reply { lsn, ..Reply::without_record(tag, code) };
        match read {
            Read::Balances { player, asset } => {
                if self.state.asset(asset).is_none() {
                    return answer(ResultCode::AssetUnknown);
                }
                if self.state.player(player).is_none() {
                    return answer(ResultCode::PlayerUnknown);
                }
                let balances = self.state.balances(player, asset);
                Reply {
                    asset,
                    player: player.number(),
                    available: Some(balances.available),
                    reserved: Some(balances.reserved),
                    ..answer(ResultCode::Done)
                }
            }
            Read::Totals { asset } => match self.state.asset(asset) {
                None => answer(ResultCode::AssetUnknown),
                Some(totals) => Reply {
                    asset,
                    available: Some(totals.players_total),
                    reserved: Some(totals.house_total),
                    ..answer(ResultCode::Done)
                },
            },
        }
    }

    /// Lets holds expire that are due at `now`, the longest due first; says whether more are due.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        for _ in 0..EXPIRIES_PER_STEP_MAX {
            let Some(hold) = self.state.due(now) else { return false };
            if self.room() == 0 {
                return true;
            }
            let (player, asset, hold) = (hold.player, hold.asset, hold.id);
            let code = self.internal(now, Operation::Expire { player, asset, hold });
            assert_eq!(code, ResultCode::Done, "a hold that is due can expire");
        }
        self.state.due(now).is_some()
    }

    /// Wakes the log's flusher. Called once after the batches of a round.
    pub fn publish(&mut self) {
        self.writer.publish();
    }

    /// Writes down the state's digest, waits until all is durable, and closes the log.
    ///
    /// # Errors
    /// The fault that stopped the log.
    pub fn close(mut self, now: Timestamp) -> Result<Closed, LogFault> {
        let digest = self.state.digest();
        while self.room() == 0 {
            if let Some(fault) = self.writer.handle().failed() {
                return Err(fault);
            }
            std::thread::yield_now();
        }
        self.internal(now, Operation::StateDigest { digest });
        let counts = self.counts;
        let closed = self.writer.close()?;
        Ok(Closed { digest, last: Lsn(closed.durable.get().0), counts })
    }

    /// Does something of the ledger's own; nobody waits for a reply.
    fn internal(&mut self, now: Timestamp, operation: Operation) -> ResultCode {
        let request = operation.request(RequestId::NONE);
        let admitted = Admitted { request, role: Role::System, actor: 0, received: now };
        match decide(&self.state, now, &admitted) {
            Decision::Record(record) => {
                self.append(&record);
                record.result
            }
            Decision::Answer(_) => unreachable!("what the ledger does itself has no id and needs no room"),
        }
    }

    fn append(&mut self, record: &Record) -> Lsn {
        let lsn = self.state.next_lsn();
        // Applied first: a record that the ledger itself refuses must never reach the log, which could not be
        // replayed any more. Nobody sees the books before the log is durable.
        if let Err(fault) = self.state.apply(lsn, record) {
            panic!("the ledger refused its own record {lsn}: {fault}");
        }
        let appended = self.writer.append(&record.to_bytes());
        assert_eq!(
            appended.map(|lsn| lsn.0),
            Ok(lsn.0),
            "room was looked at before, and positions go together"
        );
        self.counts.records += 1;
        self.counts.refused += u64::from(!record.result.is_executed());
        lsn
    }
}

/// How a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The digest of the state before the last record, which holds it.
    pub digest: [u8; 32],
    /// The last record.
    pub last: Lsn,
    /// What was done since the start.
    pub counts: Counts,
}
