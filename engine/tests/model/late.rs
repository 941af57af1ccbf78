//! Late corrections: of what is too old for its own name.
//!
//! In: such a request. Out: whether it may be, whether it waits for a second identity, and what is remembered of it.

use cage_engine::field::Rule;
use cage_engine::{Operation, RequestId, ResultCode, Timestamp};

use super::books::AdjustmentRow;
use super::memory::{About, End, Space, Trace};
use super::{Asked, Checks, Model, refuse_unless};

impl Model {
    pub(super) fn look_at_what_is_corrected(&self, asked: &Asked, c: &mut Checks) {
        let Operation::LateCorrection { player, asset, transaction, game, original, debit, .. } =
            asked.operation
        else {
            unreachable!("a late correction")
        };
        // Of some everything is known: they have their names. Of a bet whose round was closed long ago it is known whose
        // it was, of a win then its record.
        let open = self.any_wager(transaction);
        let answered = if open.is_some() { None } else { self.answer(Space::Reference, transaction.0) };
        let held = open.is_none() && self.holds.contains_key(&RequestId(transaction.0));
        let ended = self.traced(Space::Wager, transaction.0);
        let undone = matches!(ended, Some((End::Cancelled, ..)));
        let paid =
            open.is_some_and(|row| row.is_win && !row.undone) || answered.is_some() && !held && !undone;
        c.look("carried out", refuse_unless(debit || !paid, ResultCode::CarriedOut));
        let known = match (open, answered, ended) {
            _ if held => Err(ResultCode::NotABet),
            (Some(row), ..) if row.undone => Err(ResultCode::HoldCancelled),
            (None, _, Some((End::Cancelled, ..))) => Err(ResultCode::HoldCancelled),
            (Some(row), ..) => Ok((Some(Trace::of_row(row)), row.opened)),
            (None, Some((_, lsn)), _) => Ok((None, lsn)),
            (None, None, Some((End::Tombstone, ..))) => Err(ResultCode::HoldCancelled),
            (None, None, Some((End::Refused | End::Expired, ..))) => Err(ResultCode::BetRefused),
            (None, None, Some((End::Settled, trace, lsn))) => Ok((trace, lsn)),
            (None, None, None) => return,
        };
        let fits = known.and_then(|(trace, lsn)| {
            let own = trace.is_none_or(|trace| trace.fits(player, asset, game)) && lsn == original.0;
            refuse_unless(own, ResultCode::HoldDiffers)
        });
        c.look("original", fits);
        c.look("its name", refuse_unless(open.is_none(), ResultCode::UseItsName));
    }

    /// What it comes to with the day's other corrections of the provider must be within the bound, unless somebody else
    /// ordered it.
    pub(super) fn correction_waits(&self, asked: &Asked) -> bool {
        let Operation::LateCorrection { asset, amount, game, order, .. } = asked.operation else {
            return false;
        };
        if self.ordered_by_another(order, asked) {
            return false;
        }
        let today = calendar_day(asked.now);
        let before = self.corrected.get(&(game.provider(), asset)).filter(|(day, _)| *day == today);
        let sum = before.map_or(0, |(_, sum)| *sum).saturating_add(amount.0);
        sum > self.rule(Rule::LateCorrectionMax, u64::from(asset.0)).unwrap_or(0)
    }

    fn ordered_by_another(&self, order: Option<RequestId>, asked: &Asked) -> bool {
        let order = order.and_then(|order| self.orders.get(&order));
        order.is_some_and(|order| order.maker != asked.caller.actor)
    }

    pub(super) fn correct_late(&mut self, asked: &Asked) -> ResultCode {
        let Operation::LateCorrection { player, asset, amount, transaction, game, debit, order, .. } =
            asked.operation
        else {
            unreachable!("a late correction")
        };
        let amount = amount.0;
        let known = self.any_wager(transaction).is_some()
            || self.fact(Space::Reference, transaction.0).is_some()
            || self.fact(Space::Wager, transaction.0).is_some();
        if !known {
            let answer = About::answer(Space::Reference, transaction.0, Some(asked.content()));
            self.leave(answer, self.next_lsn());
        }
        let waits = self.correction_waits(asked);
        if waits {
            let maker = asked.caller.actor;
            let row = AdjustmentRow { player, asset, amount, debit, maker, late: Some(game) };
            self.adjustments.insert(asked.id, row);
        } else if !self.ordered_by_another(order, asked) {
            let today = calendar_day(asked.now);
            let row = self.corrected.entry((game.provider(), asset)).or_default();
            *row = (today, amount + if row.0 == today { row.1 } else { 0 });
        }
        self.use_order(order, if debit { 0 } else { amount });
        if waits { ResultCode::OneMore } else { self.done_or_short() }
    }
}

/// Days since 1970, of universal time.
const fn calendar_day(now: Timestamp) -> i64 {
    (now.millis() / 86_400_000) as i64
}
