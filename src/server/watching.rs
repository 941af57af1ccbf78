//! What a running server tells of itself, again and again: log lines, and numbers for the board.
//!
//! In: the log, the clock, the sequencer's counts. Out: lines when something begins or ends, alarms, published numbers.
//! Never here: a decision, or a wait that the money path would notice.

use std::rc::Rc;

use cage_wal::LogHandle;

use super::Shared;
use crate::admin::alarms::Alarm;
use crate::limits;
use crate::sequencer::{Counts, Sequencer};

impl Shared {
    pub(super) fn handshaking(&self, more: isize) {
        self.handshakes.set(self.handshakes.get().saturating_add_signed(more));
        self.board.numbers.handshakes.set(self.handshakes.get() as u64);
    }

    /// Tells the board what was counted. Once for all batches of a round: some stores, and nobody waits for them.
    pub(super) fn publish(&self, sequencer: &Sequencer) {
        let (numbers, state) = (&self.board.numbers, sequencer.state());
        let Counts { records, refused, repeated, unrecorded, no_space, set_aside, reads, batches } =
            sequencer.counts();
        numbers.records.set(records);
        numbers.refused.set(refused);
        numbers.repeated.set(repeated);
        numbers.unrecorded.set(unrecorded);
        numbers.no_space.set(no_space);
        numbers.set_aside.set(set_aside);
        numbers.reads.set(reads);
        numbers.batches.set(batches);
        numbers.inbox.set(self.inbox.items() as u64);
        numbers.players.set(state.player_count() as u64);
        numbers.holds.set(state.hold_count() as u64);
        numbers.wagers.set(state.wager_count() as u64);
        numbers.rounds.set(state.round_count() as u64);
        numbers.sessions.set(state.session_count() as u64);
        numbers.ids.set(state.id_count());
    }
}

/// Tells when the log cannot prepare its next segments: a full disk, above all. While those that are ready last,
/// nothing is lost, and space that is made now is enough.
pub(super) async fn log(log: LogHandle) {
    let (mut failing, mut on_reserve) = (None, false);
    loop {
        tokio::time::sleep(limits::LOG_WATCH_EVERY).await;
        let space = log.space();
        let (prepared_bytes, reserve) = (space.prepared_bytes, space.lives_on_reserve());
        if space.failure != failing {
            match &space.failure {
                Some(reason) => {
                    tracing::error!(%reason, prepared_bytes, "no further log segment can be made: make space");
                }
                None => tracing::info!(prepared_bytes, "log segments can be made again"),
            }
        }
        match (on_reserve, reserve) {
            (false, true) => {
                tracing::error!(prepared_bytes, "the log lives on its reserve: wagers are not taken");
            }
            (true, false) => tracing::info!(prepared_bytes, "wagers are taken again"),
            _ => {}
        }
        (failing, on_reserve) = (space.failure, reserve);
    }
}

/// Tells again and again what clients have doubted and what is damaged on the disk.
pub(super) async fn remind(shared: Rc<Shared>) {
    loop {
        tokio::time::sleep(limits::DOUBT_TOLD_EVERY).await;
        shared.watermarks.remind();
        shared.findings.remind();
    }
}

/// Says that this thread lives, and publishes what is not counted in batches.
pub(super) async fn beat(shared: Rc<Shared>) {
    loop {
        shared.board.beat();
        {
            let mut clock = shared.clock.borrow_mut();
            clock.now();
            shared.board.set(Alarm::ClockJumped, clock.jumped());
            shared.board.set(Alarm::ClockBehind, clock.is_behind());
        }
        shared.board.numbers.doubts.set(shared.watermarks.doubts());
        tokio::time::sleep(limits::BEAT_EVERY).await;
    }
}
