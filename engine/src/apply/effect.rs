//! What an executed record changes besides balances: one arm for each effect of the table.

use super::{Applied, ApplyFault};
use crate::code::ResultCode;
use crate::id::Lsn;
use crate::record::Record;
use crate::state::{Ending, State};
use crate::table::Effect;

impl State {
    /// Applies the effect; says whether it has seen to it that the record's id is remembered.
    pub(super) fn apply_effect(&mut self, lsn: Lsn, record: &Record) -> Result<bool, ApplyFault> {
        if record.result == ResultCode::Existing {
            return Ok(false);
        }
        let effect = record.request.kind.spec().effect;
        if matches!(effect, Effect::Won) {
            return self.apply_win(lsn, record);
        }
        self.apply_plain(effect, lsn, record)?;
        Ok(false)
    }

    fn apply_plain(&mut self, effect: Effect, lsn: Lsn, record: &Record) -> Applied {
        match effect {
            Effect::None | Effect::Won => Ok(()),
            Effect::Settings => self.apply_settings(record),
            Effect::Rule => self.apply_rule(record),
            Effect::Price => self.apply_price(record),
            Effect::Grant => self.apply_grant(record),
            Effect::Asset => self.apply_asset(record),
            Effect::Player => self.apply_player(record),
            Effect::Status => self.apply_status(record),
            Effect::KycHold => self.apply_kyc_hold(record),
            Effect::SessionOpened => self.apply_session(record),
            Effect::SessionEnded => self.apply_session_end(record),
            Effect::Limit => self.apply_limit(record),
            Effect::UsageImported => self.apply_usage(record),
            Effect::Game => self.apply_game(record),
            Effect::Deposited => self.apply_deposit(record),
            Effect::BalanceImported | Effect::Turnover => self.apply_turnover(record),
            Effect::DepositReversed => self.apply_reversal(record),
            Effect::Address => self.apply_address(record),
            // The legs have done it.
            Effect::Locked => Ok(()),
            Effect::Unlocked => self.apply_unlock(record),
            Effect::WithdrawalOpened => self.apply_withdrawal(lsn, record),
            Effect::WithdrawalApproved => self.apply_approval(record),
            Effect::WithdrawalSigned => self.apply_signature(record),
            Effect::WithdrawalSettled => self.end_withdrawal(lsn, record, Ending::Settled),
            Effect::WithdrawalCancelled => self.end_withdrawal(lsn, record, Ending::Cancelled),
            Effect::AdjustmentOpened => self.apply_adjustment(record),
            Effect::AdjustmentDone => self.end_adjustment(lsn, record, Ending::Settled),
            Effect::AdjustmentRejected => self.end_adjustment(lsn, record, Ending::Cancelled),
            Effect::Contributed => self.apply_contribution(record),
            Effect::FreeroundOpened => self.apply_freeround(record),
            Effect::FreeroundConsumed => self.apply_consumption(lsn, record),
            Effect::FreeroundExpired => self.end_freeround(lsn, record, Ending::Expired),
            Effect::HoldOpened => self.apply_reserve(lsn, record),
            Effect::HoldImported => self.apply_imported_hold(lsn, record),
            Effect::HoldSettled => self.apply_settle(lsn, record),
            Effect::HoldCancelled => self.apply_cancel(lsn, record, Ending::Cancelled),
            Effect::HoldExpired => self.apply_cancel(lsn, record, Ending::Expired),
            Effect::BetOpened | Effect::BetWon => self.apply_bet(lsn, record),
            Effect::BetImported => self.apply_imported_bet(lsn, record),
            Effect::ReferenceImported => self.apply_reference(lsn, record),
            Effect::RolledBack => self.apply_rollback(lsn, record),
            Effect::RoundClosed => self.apply_round_end(lsn, record),
            Effect::RoundVoided => self.apply_void(lsn, record),
            Effect::OrderOpened => self.apply_order(record),
            Effect::Corrected => self.apply_correction(lsn, record),
        }
    }
}
