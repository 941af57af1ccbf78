//! Bets and wins of closed rounds: so many of them are kept in full, and can be undone by their own names.
//!
//! In: what a round was closed with, and what was won afterwards. Out: rows, until they are undone or make room.

use cage_engine::id::Reference;
use cage_engine::{Operation, ResultCode};

use super::books::WagerRow;
use super::memory::{About, End, Space, Trace};
use super::{Asked, Model};

impl Model {
    /// A bet or win that is known in full.
    pub(crate) fn any_wager(&self, key: Reference) -> Option<&WagerRow> {
        self.wagers.get(&key).or_else(|| self.closed.get(&key))
    }

    pub(super) fn keep(&mut self, key: Reference, row: WagerRow) {
        let most = self.settings.map_or(0, |settings| settings.closed_wagers_max) as usize;
        self.closed.insert(key, WagerRow { payout_left: 0, ..row });
        self.kept.push_back(key);
        self.forget_closed(most);
    }

    pub(super) fn forget_closed(&mut self, most: usize) {
        while self.kept.len() > most {
            let oldest = self.kept.pop_front().expect("there is one too many");
            self.closed.remove(&oldest);
        }
    }

    fn drop_closed(&mut self, key: Reference) -> WagerRow {
        self.kept.retain(|kept| *kept != key);
        self.closed.remove(&key).expect("it is kept")
    }

    pub(super) fn roll_closed_bet_back(&mut self, asked: &Asked) -> ResultCode {
        let Operation::Rollback { amount, target, .. } = asked.operation else { unreachable!("rollback") };
        let row = self.closed[&target].clone();
        let (left, _) = self.give_back(&row, amount.0, asked.now);
        if left.stake == 0 {
            self.drop_closed(target);
            let about = About::ending(Space::Wager, target.0, End::Cancelled, Some(Trace::of_row(&row)));
            self.leave(about, row.opened);
        } else {
            self.closed.insert(target, left);
        }
        self.done_or_short()
    }

    pub(super) fn roll_closed_win_back(&mut self, asked: &Asked) -> ResultCode {
        let Operation::Rollback { player, target, .. } = asked.operation else { unreachable!("rollback") };
        let row = self.drop_closed(target);
        self.uncount(player, (0, row.counted), row.counted_on, asked.now);
        let about = About::ending(Space::Wager, target.0, End::Cancelled, Some(Trace::of_row(&row)));
        self.leave(about, row.opened);
        // The name may be another bet's by now.
        let its_bet = row.bet.and_then(|bet| self.closed.get_mut(&bet));
        if let Some(bet) = its_bet.filter(|bet| bet.opened < row.opened) {
            bet.wins = bet.wins.saturating_sub(1);
        }
        self.done_or_short()
    }

    /// A win of a bet whose round is closed: nobody counts it, and it went to what is available.
    pub(super) fn win_late(&mut self, asked: &Asked) {
        let Operation::Win { amount, bet, .. } = asked.operation else { unreachable!("win") };
        let Some(of) = self.closed.get_mut(&bet) else { return };
        of.wins += 1;
        let of = of.clone();
        let win = WagerRow {
            is_win: true,
            opened: self.next_lsn(),
            counted_on: 0,
            metered: false,
            bet: Some(bet),
            stake: amount.0,
            at_once: 0,
            wins: 0,
            undone: false,
            counted: 0,
            counted_paid: 0,
            turned: 0,
            content: asked.content(),
            ..of
        };
        self.keep(Reference(asked.id.0), win);
    }
}
