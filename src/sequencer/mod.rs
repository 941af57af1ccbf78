//! The single writer: owns the ledger, decides one request after the other, appends each decision to the log.
//!
//! In: batches of admitted requests and a time. Out: for each batch its replies, held back until the log says that
//! what they tell is durable. What belongs together, a group or a record with its continuations, reaches the log in
//! one piece. Never here: waiting, sockets, a look at the clock.

pub mod inbox;
pub mod look;

use std::slice;

use cage_engine::record::RECORD_LEGS_MAX;
use cage_engine::{
    Admitted, Answer, Decision, Lsn, Operation, OperationKind, RECORD_BYTES, RequestId, ResultCode, Role,
    Settings, State, Timestamp, decide, decide_group,
};
use cage_protocol::{Reply, answer};
use cage_wal::{Appended, LINKED_RECORDS_MAX, LogFault, LogStats, Writer};

use crate::admission::{Item, Ticket};
use crate::limits::{DUE_PER_STEP_MAX, TOUCH_ITEMS};
use crate::reply::Replies;

mod set_aside;

pub use set_aside::DueOutcome;
use set_aside::{Refusals, SetAside};

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
    /// What was due and the ledger refused.
    set_aside: SetAside,
    /// No further segment of the log can be prepared: what is appended has to be looked at more closely.
    space_is_short: bool,
    /// The bytes of the run that is being appended.
    run: Vec<[u8; RECORD_BYTES]>,
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
    /// Of these, because the log lived on its reserve.
    pub no_space: u64,
    /// How often something was due and the ledger refused it. Anything but 0 is a fault.
    pub set_aside: u64,
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
        Self {
            state,
            writer,
            counts: Counts::default(),
            held_back: None,
            set_aside: SetAside::default(),
            space_is_short: false,
            run: Vec::new(),
        }
    }

    /// The ledger, to look at.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What was done so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
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
        match self.internal(now, Operation::Configure { settings }) {
            ResultCode::Done => Ok(()),
            code => Err(code),
        }
    }

    /// Decides a batch at `now`. What was appended is on its way to the disk after [`Self::publish`].
    ///
    /// # Errors
    /// [`LogFull`] if the log cannot take it all; nothing was done then.
    pub fn step(&mut self, now: Timestamp, batch: &[Ticket]) -> Result<Appended<Replies>, LogFull> {
        if self.room() < batch.iter().map(records_max).sum() {
            return Err(LogFull);
        }
        self.space_is_short = self.writer.space_is_short();
        let mut replies = Replies::with_capacity(batch.len());
        let mut needed = Lsn::NONE;
        let (mut begun, mut touched) = (0, 0);
        for run in batch.chunk_by(|ticket, _| ticket.linked) {
            begun += run.len();
            while touched < begun {
                let until = batch.len().min(touched + TOUCH_ITEMS);
                self.state.touch(batch[touched..until].iter().filter_map(operation));
                touched = until;
            }
            needed = needed.max(match run {
                [ticket] => self.take(now, ticket, &mut replies),
                group => self.take_group(now, group, &mut replies),
            });
        }
        self.counts.batches += 1;
        Ok(Appended::new(cage_wal::Lsn(needed.0), replies))
    }

    /// Does one item; gives the record that must be durable before its reply may be seen.
    fn take(&mut self, now: Timestamp, ticket: &Ticket, replies: &mut Replies) -> Lsn {
        match &ticket.item {
            Item::Refused(code) => {
                self.counts.unrecorded += 1;
                replies.push(&Reply::without_record(ticket.tag, *code));
                Lsn::NONE
            }
            Item::Read(read) => {
                self.counts.reads += 1;
                let reply = answer(&self.state, ticket.tag, *read);
                replies.push(&reply);
                reply.lsn
            }
            Item::Operation(admitted) => {
                let decision = decide(&self.state, now, admitted);
                self.carry_out(slice::from_ref(ticket), slice::from_ref(&decision), replies)
            }
        }
    }

    /// Does a group, all of it or nothing.
    fn take_group(&mut self, now: Timestamp, group: &[Ticket], replies: &mut Replies) -> Lsn {
        let members: Vec<_> = group
            .iter()
            .map(|ticket| match ticket.item {
                Item::Operation(admitted) => admitted,
                Item::Read(_) | Item::Refused(_) => {
                    unreachable!("a group that was admitted is of operations")
                }
            })
            .collect();
        let decisions = decide_group(&mut self.state, now, &members);
        self.carry_out(group, &decisions, replies)
    }

    /// Appends what was decided for tickets that belong together, and answers them.
    fn carry_out(&mut self, tickets: &[Ticket], decisions: &[Decision], replies: &mut Replies) -> Lsn {
        let records: usize = decisions.iter().map(|decision| decision.records().len()).sum();
        // What was decided before is told all the same; only new decisions wait.
        let held_back = self
            .held_back
            .or_else(|| (records > LINKED_RECORDS_MAX).then_some(ResultCode::GroupMalformed))
            .or_else(|| self.space_for(tickets, decisions));
        if let Some(reason) = held_back.filter(|_| records > 0) {
            self.counts.no_space +=
                if reason == ResultCode::DiskNearlyFull { tickets.len() as u64 } else { 0 };
            self.counts.unrecorded += tickets.len() as u64;
            tickets.iter().for_each(|ticket| replies.push(&Reply::without_record(ticket.tag, reason)));
            return Lsn::NONE;
        }
        let mut lsn = self.state.next_lsn();
        // Whoever hears of a member hears of a run that is durable to its end.
        let mut needed = if records > 0 { self.append(decisions) } else { Lsn::NONE };
        for (ticket, decision) in tickets.iter().zip(decisions) {
            let records = decision.records();
            if let Some(head) = records.first() {
                replies.push(&Reply::of_record(ticket.tag, lsn, head, false));
                lsn = Lsn(lsn.0 + records.len() as u64);
            }
            if let Decision::Answer(answer) = decision {
                needed = needed.max(self.answer(ticket.tag, *answer, replies));
            }
        }
        needed
    }

    /// While the log lives on its reserve, only what ends, pays, gives back or protects is recorded, and only if it
    /// happens: nobody uses the reserve up by opening something, or by being refused.
    fn space_for(&self, tickets: &[Ticket], decisions: &[Decision]) -> Option<ResultCode> {
        if !self.space_is_short || !self.writer.lives_on_reserve() {
            return None;
        }
        let happens =
            |decision: &Decision| decision.records().first().is_none_or(|record| record.result.is_executed());
        let waits =
            tickets.iter().any(|ticket| matches!(&ticket.item, Item::Operation(asked) if can_wait(asked)));
        (waits || !decisions.iter().all(happens)).then_some(ResultCode::DiskNearlyFull)
    }

    /// Answers without a record of its own.
    fn answer(&mut self, tag: u64, answer: Answer, replies: &mut Replies) -> Lsn {
        match answer {
            Answer::Same(lsn) => {
                self.counts.repeated += 1;
                replies.push_repeat(tag, lsn);
                lsn
            }
            Answer::Conflict(lsn) => {
                self.counts.unrecorded += 1;
                replies.push(&Reply { lsn, ..Reply::without_record(tag, ResultCode::IdConflict) });
                lsn
            }
            Answer::Not(code) => {
                self.counts.unrecorded += 1;
                replies.push(&Reply::without_record(tag, code));
                Lsn::NONE
            }
        }
    }

    /// Does what is due at `now` without anybody asking, the longest due first. What the ledger refuses stands aside for
    /// a while, and stops nothing: no record is written of it, because nobody asked and nothing moved.
    pub fn do_due(&mut self, now: Timestamp) -> DueOutcome {
        while let Some(due) = self.set_aside.back(now) {
            self.state.take_up(due);
        }
        let mut refusals = Refusals::default();
        let mut more = false;
        for _ in 0..DUE_PER_STEP_MAX {
            let Some(operation) = self.state.due(now) else { break };
            more = self.room() < records_max_of(operation.kind());
            if more {
                break;
            }
            if let Err(code) = self.do_one_due(now, operation) {
                refusals.add(operation, code);
            }
        }
        more |= self.state.due(now).is_some();
        match (refusals.tell(self.counts.set_aside), more) {
            (_, true) => DueOutcome::More,
            (true, false) => DueOutcome::Refused,
            (false, false) => DueOutcome::Done,
        }
    }

    fn do_one_due(&mut self, now: Timestamp, operation: Operation) -> Result<(), ResultCode> {
        let decision = self.decide_own(now, operation);
        let code = match (&decision, decision.records().first()) {
            (_, Some(head)) => head.result,
            (Decision::Answer(Answer::Not(code)), None) => *code,
            (_, None) => unreachable!("what the ledger does itself has no id, and repeats nothing"),
        };
        if code.is_executed() {
            self.append(slice::from_ref(&decision));
            return Ok(());
        }
        self.counts.set_aside += 1;
        if let Some(due) = self.state.set_aside() {
            self.set_aside.put(now, due);
        }
        Err(code)
    }

    /// When there is next something to do that nobody asks for.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        [self.state.next_due(), self.set_aside.next()].into_iter().flatten().min()
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
        let log = self.writer.handle().clone();
        let closed = self.writer.close()?;
        Ok(Closed { digest, last: Lsn(closed.durable.get().0), counts, log: log.stats() })
    }

    /// Does something of the ledger's own; nobody waits for a reply.
    fn internal(&mut self, now: Timestamp, operation: Operation) -> ResultCode {
        let decision = self.decide_own(now, operation);
        let head = decision.records().first();
        let code = head.map_or_else(
            || unreachable!("what the ledger does itself has no id and needs no room"),
            |head| head.result,
        );
        self.append(slice::from_ref(&decision));
        code
    }

    fn decide_own(&self, now: Timestamp, operation: Operation) -> Decision {
        let request = operation.request(RequestId::NONE);
        decide(&self.state, now, &Admitted { request, role: Role::System, actor: 0, grant: 0, received: now })
    }

    /// Applies and appends the records of decisions that belong together, as one run; gives the last of them.
    fn append(&mut self, decisions: &[Decision]) -> Lsn {
        let first = self.state.next_lsn();
        let mut last = Lsn::NONE;
        self.run.clear();
        for record in decisions.iter().flat_map(Decision::records) {
            last = self.state.next_lsn();
            // Applied first: a record that the ledger itself refuses must never reach the log, which could not be
            // replayed any more. Nobody sees the books before the log is durable.
            if let Err(fault) = self.state.apply(last, record) {
                panic!("the ledger refused its own record {last}: {fault}");
            }
            self.run.push(record.to_bytes());
            self.counts.records += 1;
            self.counts.refused += u64::from(!record.result.is_executed());
        }
        let appended = self.writer.append_linked(&self.run);
        assert_eq!(
            appended.map(|lsn| lsn.0),
            Ok(first.0),
            "room was looked at before, and positions go together"
        );
        last
    }
}

/// Whether something can wait until the disk has space again: it opens something, or is money that a player brings
/// (what a chain has brought is there already).
fn can_wait(asked: &Admitted) -> bool {
    let kind = asked.request.kind;
    kind.spec().opens || (kind == OperationKind::DepositCredit && asked.role == Role::Cashier)
}

/// What a ticket asks of the ledger, if anything.
const fn operation(ticket: &Ticket) -> Option<&cage_engine::Request> {
    match &ticket.item {
        Item::Operation(admitted) => Some(&admitted.request),
        Item::Read(_) | Item::Refused(_) => None,
    }
}

/// How many records a ticket can become.
fn records_max(ticket: &Ticket) -> usize {
    operation(ticket).map_or(0, |request| records_max_of(request.kind))
}

/// How many records an operation of this kind can become: the movements that one has no room for stand in others.
const fn records_max_of(kind: OperationKind) -> usize {
    let records = kind.spec().legs.len().div_ceil(RECORD_LEGS_MAX);
    if records == 0 { 1 } else { records }
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
    /// What the log did meanwhile.
    pub log: LogStats,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RECORDS_PER_ITEM_MAX;

    #[test]
    fn no_operation_becomes_more_records_than_a_batch_leaves_room_for() {
        let most = OperationKind::ALL.iter().map(|kind| records_max_of(*kind)).max();
        assert_eq!(most, Some(RECORDS_PER_ITEM_MAX));
    }
}
