//! Executes records. Changes exactly what a record says, live and in every replay alike.
//!
//! In: a record and its position. Out: the changed state, or a fault that says why the record is none of this
//! state's. Never here: a decision, a look at the clock, a rule.

mod cashier;
mod closed;
mod corrections;
mod effect;
mod players;
mod wagers;

use core::fmt;

use crate::account::{AccountId, Purse};
use crate::amount::{Amount, Balance};
use crate::field::LockReason;
use crate::id::{Lsn, PlayerId, SessionId};
use crate::operation::OperationKind;
use crate::record::{Leg, Record};
use crate::role::Role;
use crate::state::{Ended, Ending, Locked, Session, Space, State, Traces, locked_key};
use crate::table::{Effect, IdRule, Refers};

pub(crate) use players::set_limit;

/// Why a record does not fit the state: the log is damaged, or was written by other rules than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyFault {
    /// The record is not the next one.
    OutOfOrder {
        /// The position that was expected.
        expected: Lsn,
    },
    /// The record is older than the one before it.
    TimeFell,
    /// A leg's balances do not follow from the account's balance and the amount.
    BalanceDiffers {
        /// Whose balance.
        account: AccountId,
        /// What it would be.
        expected: Balance,
        /// What the record says.
        recorded: Balance,
    },
    /// The record names something that is not there, or is there already.
    Missing(&'static str),
}

impl fmt::Display for ApplyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder { expected } => write!(f, "not the next record: expected LSN {expected}"),
            Self::TimeFell => f.write_str("decided before the record in front of it"),
            Self::BalanceDiffers { account, expected, recorded } => {
                write!(f, "{account} would hold {expected}, the record says {recorded}")
            }
            Self::Missing(what) => write!(f, "{what} does not fit the books"),
        }
    }
}

impl core::error::Error for ApplyFault {}

/// What an effect needs and does not find.
pub(crate) type Applied = Result<(), ApplyFault>;

impl State {
    /// Applies the record at `lsn`.
    ///
    /// # Errors
    /// [`ApplyFault`] if the record cannot be of this state's log. The state is then unusable: what was applied
    /// of the record stays.
    pub fn apply(&mut self, lsn: Lsn, record: &Record) -> Applied {
        if lsn != self.next_lsn {
            return Err(ApplyFault::OutOfOrder { expected: self.next_lsn });
        }
        if record.decided < self.clock {
            return Err(ApplyFault::TimeFell);
        }
        if !record.result.is_executed() && !record.legs().is_empty() {
            return Err(ApplyFault::Missing("a movement of a refusal"));
        }
        for leg in record.legs() {
            self.apply_leg(leg, record)?;
        }
        let mut remembered = false;
        if record.result.is_executed() {
            remembered = self.apply_effect(lsn, record)?;
        } else {
            self.remember_refused_bet(lsn, record);
        }
        if !remembered {
            self.remember(lsn, record)?;
        }
        self.link_players(lsn, record);
        self.advance(lsn, record.decided);
        Ok(())
    }

    fn apply_leg(&mut self, leg: &Leg, record: &Record) -> Applied {
        if leg.debit.asset() != leg.credit.asset() {
            return Err(ApplyFault::Missing("a movement between two assets"));
        }
        self.post(leg.debit, leg.debit_after, |before| before.less(leg.amount))?;
        self.post(leg.credit, leg.credit_after, |before| before.plus(leg.amount))?;
        if leg.debit.is_of(Purse::Allowance) || leg.credit.is_of(Purse::Allowance) {
            self.apply_meter(leg, record)?;
        }
        // Which locks a withdrawal or a reversal is about their effects know.
        let named = record.asked_lock_reason();
        if let Some(reason) = named.filter(|_| leg.debit.is_of(Purse::Locked)) {
            return self.take_locked(leg.debit, reason, leg.amount.0);
        }
        if let Some(reason) = record.lock_reason().or(named).filter(|_| leg.credit.is_of(Purse::Locked)) {
            self.lock(leg.credit, reason, leg.amount);
        }
        Ok(())
    }

    /// Moves a session's credit meter along with the player's allowance.
    fn apply_meter(&mut self, leg: &Leg, record: &Record) -> Applied {
        let missing = ApplyFault::Missing("a session");
        let number = self.session_of_record(record).ok_or(missing)?;
        let effect = record.request.kind.spec().effect;
        let wager = matches!(effect, Effect::HoldOpened | Effect::BetOpened | Effect::BetWon);
        let by_provider =
            record.request.kind == OperationKind::AllowanceFund && matches!(record.role, Role::Games);
        let topped_up = (wager || by_provider) && leg.debit.is_of(Purse::Available);
        let session: Session = *self.session(number).ok_or(missing)?;
        let remainder = if leg.credit.is_of(Purse::Allowance) {
            session.remainder.0.checked_add(leg.amount.0)
        } else {
            session.remainder.0.checked_sub(leg.amount.0)
        };
        let topup = if topped_up { leg.amount.0 } else { 0 };
        let topup_left = session.topup_left.0.checked_sub(topup).ok_or(missing)?;
        let remainder = remainder.ok_or(missing)?;
        self.update(u128::from(number.0), |session: &mut Session| {
            (session.remainder, session.topup_left) = (Amount(remainder), Amount(topup_left));
        });
        Ok(())
    }

    /// The session that a record's allowance belongs to: its own, or that of the hold or wager it is about. A hold and
    /// a wager can have the same number; which of them is meant only the operation says.
    fn session_of_record(&self, record: &Record) -> Option<SessionId> {
        let request = &record.request;
        if request.session != SessionId::NONE {
            return Some(request.session);
        }
        match request.kind.spec().refers {
            Refers::OpenHold | Refers::HoldOrTombstone => {
                self.hold(request.target()).map(|hold| hold.session)
            }
            Refers::Bet | Refers::BetOrWin => {
                self.any_wager(crate::Reference(request.reference)).map(|wager| wager.session)
            }
            // Whatever else moves an allowance names its session.
            _ => None,
        }
    }

    fn lock(&mut self, account: AccountId, reason: LockReason, amount: Amount) {
        let (Some(player), asset) = (account.player(), account.asset()) else { return };
        let added = self.update(locked_key(player, asset, reason), |row: &mut Locked| {
            row.amount.0 = row.amount.0.saturating_add(amount.0);
        });
        if added.is_none() && !amount.is_zero() {
            self.insert(Locked { player, asset, reason, amount });
        }
    }

    /// Takes from what is locked for a reason.
    fn take_locked(&mut self, account: AccountId, reason: LockReason, taken: u128) -> Applied {
        let missing = ApplyFault::Missing("locked money");
        let player = account.player().ok_or(missing)?;
        let key = locked_key(player, account.asset(), reason);
        let left = self.locked(player, account.asset(), reason).0.checked_sub(taken).ok_or(missing)?;
        if left == 0 {
            self.remove::<Locked>(key);
        } else {
            self.update(key, |row: &mut Locked| row.amount.0 = left);
        }
        Ok(())
    }

    fn remember(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let (id, digest) = (record.request.id, || record.asked().digest());
        match record.request.kind.spec().id {
            IdRule::Internal => {}
            IdRule::Request if self.ids.is_none() => return Err(ApplyFault::Missing("the settings")),
            IdRule::Request => self.remember_answer(id, Space::Request, digest(), lsn, record.decided),
            // A refusal does not use the key up: the outside fact stays true and has to be credited in the end.
            IdRule::Permanent | IdRule::Reference if !record.result.is_executed() => {}
            IdRule::Permanent => self.remember_key(id, digest(), lsn),
            IdRule::Reference => self.remember_answer(id, Space::Reference, digest(), lsn, record.decided),
        }
        Ok(())
    }

    /// A refused bet stays refused under the provider's transaction as well, whatever id it is reported under.
    fn remember_refused_bet(&mut self, lsn: Lsn, record: &Record) {
        let request = record.asked();
        let target = request.target();
        if !matches!(request.kind.spec().refers, Refers::NewBet) {
            return;
        }
        self.catch_up();
        if self.ended(target, Space::Wager).is_some()
            || self.wager(crate::Reference(request.reference)).is_some()
        {
            return;
        }
        let traces = Traces::of(request.content_digest(), request.player, request.asset, request.game);
        let ended = Ended { how: Ending::Refused, traces, lsn };
        self.remember_ending(target, Space::Wager, ended, record.decided);
    }

    /// Lets each player's records be followed backwards.
    fn link_players(&mut self, lsn: Lsn, record: &Record) {
        if record.request.kind == OperationKind::Continue {
            return;
        }
        if record.request.player != PlayerId::NONE {
            self.set_latest(record.request.player, lsn);
        }
        if record.request.kind.spec().counterparty {
            self.set_latest(record.request.counterparty(), lsn);
        }
    }
}
