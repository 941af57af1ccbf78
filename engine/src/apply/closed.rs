//! Bets and wins of closed rounds, kept in full for a while: how they are undone by their own names.
//!
//! They form a list in the order in which they were kept; when there is no room, the oldest is forgotten. What is
//! forgotten here is still a fact as long as facts are remembered, so that a repeat of it moves nothing.

use super::{Applied, ApplyFault};
use crate::amount::Amount;
use crate::id::{Lsn, Reference};
use crate::limits::Day;
use crate::record::Record;
use crate::state::{ClosedEnds, ClosedWager, Ending, State, Wager};
use crate::time::Timestamp;

/// The key of the one row of ends.
const ENDS: u128 = 1;

impl State {
    /// Keeps a bet or win whose round is closed.
    pub(super) fn keep(&mut self, wager: Wager) {
        let most = self.closed_wagers_max();
        if most == 0 {
            return;
        }
        self.forget_closed(most - 1);
        let key = wager.key;
        let ends = self.row::<ClosedEnds>(ENDS).copied();
        let previous = ends.map_or(Reference(0), |ends| ends.last);
        self.insert(ClosedWager { wager: Wager { previous, next: Reference(0), ..wager } });
        if ends.is_none() {
            self.insert(ClosedEnds { number: 1, first: key, last: key });
            return;
        }
        self.update(previous.0, |row: &mut ClosedWager| row.wager.next = key);
        self.update(ENDS, |ends: &mut ClosedEnds| ends.last = key);
    }

    /// Forgets the oldest until there are no more than `most`.
    pub(super) fn forget_closed(&mut self, most: u64) {
        while self.rows.closed.len() as u64 > most {
            let first = self.row::<ClosedEnds>(ENDS).map(|ends| ends.first);
            if first.and_then(|first| self.take_closed(first)).is_none() {
                return;
            }
        }
    }

    fn closed_wagers_max(&self) -> u64 {
        self.settings.map_or(0, |settings| settings.closed_wagers_max)
    }

    /// Takes one out of the list.
    fn take_closed(&mut self, key: Reference) -> Option<Wager> {
        let ClosedWager { wager } = self.remove(key.0)?;
        if wager.previous.0 != 0 {
            self.update(wager.previous.0, |row: &mut ClosedWager| row.wager.next = wager.next);
        }
        if wager.next.0 != 0 {
            self.update(wager.next.0, |row: &mut ClosedWager| row.wager.previous = wager.previous);
        }
        if wager.previous.0 == 0 && wager.next.0 == 0 {
            self.remove::<ClosedEnds>(ENDS);
            return Some(wager);
        }
        self.update(ENDS, |ends: &mut ClosedEnds| {
            if ends.first == key {
                ends.first = wager.next;
            }
            if ends.last == key {
                ends.last = wager.previous;
            }
        });
        Some(wager)
    }

    /// Undoes a bet, or a part of it, whose round is closed. The round's sums are told, and what the bet could pay is
    /// not counted any more: neither is touched.
    pub(super) fn undo_closed_bet(&mut self, lsn: Lsn, bet: Wager, record: &Record) -> Applied {
        let (left, _) = self.give_back(bet, record);
        if left.stake.is_zero() {
            self.take_closed(bet.key).ok_or(ApplyFault::Missing("a closed bet"))?;
            self.end_wager(&bet, Ending::Cancelled, lsn, record.decided);
        } else {
            self.update(bet.key.0, |row: &mut ClosedWager| row.wager = left);
        }
        Ok(())
    }

    /// Undoes a win whose round is closed.
    pub(super) fn undo_closed_win(&mut self, lsn: Lsn, win: Wager, now: Timestamp) -> Applied {
        self.take_closed(win.key).ok_or(ApplyFault::Missing("a closed win"))?;
        self.restore(win.player, (0, win.counted), win.counted_on, now);
        self.end_wager(&win, Ending::Cancelled, lsn, now);
        self.update(win.bet.0, |row: &mut ClosedWager| {
            // Long after, another bet may have the number.
            if row.wager.opened < win.opened {
                row.wager.wins = row.wager.wins.saturating_sub(1);
            }
        });
        Ok(())
    }

    /// A win of a bet whose round is closed: it lowers no limit's count, and can be undone as long as it is kept.
    pub(super) fn win_late(&mut self, lsn: Lsn, record: &Record) {
        let bet = Reference(record.request.reference);
        let Some(row) = self.update(bet.0, |row: &mut ClosedWager| row.wager.wins += 1) else { return };
        self.keep(Wager {
            key: Reference(record.request.id.0),
            is_win: true,
            opened: lsn,
            counted_on: Day::NONE,
            metered: false,
            bet,
            stake: record.request.amount,
            bonus: Amount::ZERO,
            paid: Amount::ZERO,
            wins: 0,
            counted: 0,
            counted_paid: 0,
            turned: Amount::ZERO,
            digest: record.asked().digest(),
            ..row.wager
        });
    }
}
