//! Corrections: proposed and carried out, and those of what is too old for its own name.

use super::{Applied, ApplyFault};
use crate::amount::Amount;
use crate::code::ResultCode;
use crate::id::{AssetId, GameId, Lsn, Reference, RequestId};
use crate::limits::Day;
use crate::record::Record;
use crate::request::Request;
use crate::state::{Adjustment, Corrections, Ending, Space, State, VoidOrder, corrections_key};

impl State {
    pub(super) fn apply_adjustment(&mut self, record: &Record) -> Applied {
        let debit = record.request.detail.0[18] == 1;
        self.propose(record, debit, None)
    }

    fn propose(&mut self, record: &Record, debit: bool, late: Option<GameId>) -> Applied {
        let Request { id, player, asset, amount, .. } = record.request;
        if self.adjustment(id).is_some() {
            return Err(ApplyFault::Missing("a proposal's key"));
        }
        let (maker, game) = (record.actor, late.unwrap_or_default());
        self.insert(Adjustment { id, player, asset, amount, debit, maker, late: late.is_some(), game });
        Ok(())
    }

    pub(super) fn end_adjustment(&mut self, lsn: Lsn, record: &Record, how: Ending) -> Applied {
        let row =
            self.remove::<Adjustment>(record.request.reference).ok_or(ApplyFault::Missing("a proposal"))?;
        self.end(row.id, Space::Adjustment, how, lsn, record.decided);
        Ok(())
    }

    /// The money moves now, or waits for a second identity. A transaction that nothing is known of counts as carried out
    /// by it: under its own name it never is.
    pub(super) fn apply_correction(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let Request { id, asset, amount, game, detail, .. } = record.request;
        let debit = detail.0[8] == 1;
        let order = detail.u128_at(16);
        let alone = self.row::<VoidOrder>(order).is_none_or(|order| order.maker == record.actor);
        self.count_for_order(order, if debit { Amount::ZERO } else { amount });
        self.catch_up();
        if self.is_unknown(Reference(id.0)) {
            self.remember_answer(id, Space::Reference, record.asked().digest(), lsn, record.decided);
        }
        if record.result == ResultCode::OneMore {
            return self.propose(record, debit, Some(game));
        }
        if alone {
            self.count_correction(game.provider(), asset, amount, Day::of(record.decided, 0));
        }
        Ok(())
    }

    fn is_unknown(&self, transaction: Reference) -> bool {
        let id = RequestId(transaction.0);
        self.any_wager(transaction).is_none()
            && self.remembered(id, Space::Reference).is_none()
            && self.ended(id, Space::Wager).is_none()
    }

    fn count_correction(&mut self, provider: u16, asset: AssetId, amount: Amount, day: Day) {
        let sum = Amount(self.corrected(provider, asset, day).0.saturating_add(amount.0));
        let key = corrections_key(provider, asset);
        if self.update(key, |row: &mut Corrections| (row.day, row.sum) = (day, sum)).is_none() {
            self.insert(Corrections { provider, asset, day, sum });
        }
    }
}
