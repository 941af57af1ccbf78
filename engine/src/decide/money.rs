//! How money moves: the legs of the operation's row, each seeing what the ones before it moved.

use alloc::vec::Vec;

use super::facts::Facts;
use super::refer::Target;
use crate::account::{AccountId, Purse};
use crate::amount::{Amount, Balance};
use crate::code::ResultCode;
use crate::field::{LockReason, Rule};
use crate::id::{AssetId, Lsn, RequestId};
use crate::operation::OperationKind;
use crate::record::{Leg, Record};
use crate::request::{Detail, Request};
use crate::state::{Deposit, Pool};
use crate::table::{Effect, LegSpec, PPM, Side, Source};

/// Writes the legs into the record, and into further ones when it is full.
pub(super) fn move_money(
    facts: &Facts<'_>,
    record: &mut Record,
    further: &mut Vec<Record>,
) -> Result<(), ResultCode> {
    if facts.spec.legs.is_empty() {
        return Ok(());
    }
    let reason = facts.locks().then(|| facts.lock_reason()).flatten();
    if let Some(reason) = reason {
        record.set_lock_reason(reason);
    }
    let purse = if reason.is_some() { Purse::Locked } else { Purse::Available };
    let mut totals = Totals::default();
    for spec in facts.spec.legs {
        let amount = facts.amount(spec.amount)?;
        if amount.is_zero() && !spec.always {
            continue;
        }
        let (debit, credit) = (facts.account(spec.debit, purse), facts.account(spec.credit, purse));
        let held = |account| {
            let moved = || further.iter().rev().find_map(|record| record.balance_after(account));
            let moved = if further.is_empty() { None } else { moved() };
            moved.or_else(|| record.balance_after(account)).unwrap_or_else(|| facts.held(account))
        };
        let debit_after = held(debit).less(amount).ok_or(ResultCode::BalanceOverflow)?;
        if debit_after < Balance::ZERO && must_not_be_negative(debit, spec) {
            return Err(ResultCode::InsufficientFunds);
        }
        let credit_after = held(credit).plus(amount).ok_or(ResultCode::BalanceOverflow)?;
        totals.count(facts, debit, credit, amount)?;
        let leg = Leg { debit, credit, amount, debit_after, credit_after };
        last_with_room(facts, record, further).push_leg(leg);
    }
    Ok(())
}

/// A player's purse, and a jackpot from which something is taken on purpose.
fn must_not_be_negative(debit: AccountId, spec: &LegSpec) -> bool {
    debit.is_players() || matches!(spec.debit, Side::Pool(Purse::Jackpot))
}

fn last_with_room<'a>(
    facts: &Facts<'_>,
    record: &'a mut Record,
    further: &'a mut Vec<Record>,
) -> &'a mut Record {
    if record.has_room() {
        return record;
    }
    if further.last().is_none_or(|last| !last.has_room()) {
        let request = Request {
            kind: OperationKind::Continue,
            id: RequestId::NONE,
            reference: facts.request.id.0,
            amount: Amount::ZERO,
            game: Default::default(),
            linked: false,
            ends_round: false,
            detail: Detail::default(),
            ..*facts.request
        };
        let mut next = Record::new(request, record.result, record.role, record.actor, record.decided);
        next.grant = record.grant;
        further.push(next);
    }
    further.last_mut().unwrap_or(record)
}

/// A record and its continuations, as a run of the log that begins at `first`.
pub(super) fn chain(first: Lsn, head: Record, further: Vec<Record>) -> Vec<Record> {
    let code = head.result;
    let mut run = Vec::with_capacity(1 + further.len());
    run.push(head);
    run.extend(further);
    let last = run.len() - 1;
    let mut previous = first;
    for (place, record) in run.iter_mut().enumerate() {
        record.linked = place < last;
        if place > 0 {
            record.result = code;
            record.previous = previous;
            previous = previous.next();
        }
    }
    run
}

/// What all players hold together must fit a balance as well; the house's total is its mirror.
#[derive(Default)]
struct Totals {
    /// At most two assets move in one operation.
    assets: [(AssetId, Option<Balance>); 2],
}

impl Totals {
    fn count(
        &mut self,
        facts: &Facts<'_>,
        debit: AccountId,
        credit: AccountId,
        amount: Amount,
    ) -> Result<(), ResultCode> {
        let asset = debit.asset();
        let place = usize::from(asset != facts.asset());
        let (_, total) = &mut self.assets[place];
        let before = total
            .unwrap_or_else(|| facts.state.asset(asset).map_or(Balance::ZERO, |asset| asset.players_total));
        let after = match (debit.player(), credit.player()) {
            (None, Some(_)) => before.plus(amount).ok_or(ResultCode::BalanceOverflow)?,
            (Some(_), None) => before.less(amount).ok_or(ResultCode::BalanceOverflow)?,
            _ => before,
        };
        *total = Some(after);
        Ok(())
    }
}

/// What an exchange gives, rounded down in both steps: never more than it is worth.
pub(super) fn converted(facts: &Facts<'_>) -> Result<Amount, ResultCode> {
    let state = facts.state;
    let worth = state.worth(facts.request.asset, facts.request.amount).ok_or(ResultCode::RateMissing)?;
    let given = state.bought(facts.other_asset(), worth.unwrap_or(0)).ok_or(ResultCode::RateMissing)?;
    let counted = worth.and(given).map(Amount);
    counted.filter(|given| *given <= Amount::MAX).ok_or(ResultCode::BalanceOverflow)
}

impl Facts<'_> {
    /// Whether the credit may go to the locked purse.
    const fn locks(&self) -> bool {
        matches!(self.spec.effect, Effect::Deposited | Effect::BalanceImported | Effect::Unlocked)
    }

    fn account(&self, side: Side, deposit: Purse) -> AccountId {
        let (asset, player) = (self.asset(), self.request.player);
        let provider = u32::from(self.game().provider());
        match side {
            Side::Player(purse) => AccountId::of_player(asset, purse, player),
            Side::Stake if self.meter().is_some() => AccountId::of_player(asset, Purse::Allowance, player),
            Side::Stake => AccountId::of_player(asset, Purse::Available, player),
            Side::Payout => AccountId::of_player(asset, self.payout_purse(), player),
            Side::Deposit => AccountId::of_player(asset, deposit, player),
            Side::Counterparty(purse) => AccountId::of_player(asset, purse, self.request.counterparty()),
            Side::Provider(purse) => AccountId::of_house(asset, purse, provider),
            Side::Chain(purse) => AccountId::of_house(asset, purse, self.request.chain()),
            Side::House(purse) => AccountId::of_house(asset, purse, 0),
            Side::Receivable => AccountId::receivable(asset, player),
            Side::Pool(purse) => AccountId::of_house(asset, purse, self.pool()),
            Side::Sponsor if self.request.detail.0[0] == 1 => {
                AccountId::of_house(asset, Purse::BonusExpense, 0)
            }
            Side::Sponsor => AccountId::of_house(asset, Purse::ProviderClearing, provider),
            Side::Corrected => match self.target {
                Target::Adjustment(row) if row.late => {
                    AccountId::of_house(asset, Purse::ProviderClearing, provider)
                }
                _ => AccountId::of_house(asset, Purse::Adjustments, 0),
            },
            Side::PlayerOther(purse) => AccountId::of_player(self.other_asset(), purse, player),
            Side::HouseOther(purse) => AccountId::of_house(self.other_asset(), purse, 0),
        }
    }

    fn amount(&self, source: Source) -> Result<Amount, ResultCode> {
        Ok(match source {
            Source::Amount => self.request.amount,
            Source::Payout => self.request.payout(),
            Source::Remaining => self.remaining()?,
            Source::TopUp => self.top_up()?,
            Source::Given => self.given()?,
            Source::Covered => self.taken()?.min(self.pays_first()),
            Source::Uncovered => self.uncovered()?,
            Source::Fee => match self.target {
                Target::Withdrawal(row) => row.fee,
                _ => Amount::ZERO,
            },
            Source::Free => match self.target {
                Target::Withdrawal(row) => Amount(row.amount.0 - row.was_locked().0),
                _ => Amount::ZERO,
            },
            Source::Locked => self.locked(),
            Source::Freed if self.lock_reason().is_some() => Amount::ZERO,
            Source::Freed => self.request.amount,
            Source::Metered => self.metered(),
            Source::Converted => converted(self)?,
        })
    }

    fn remaining(&self) -> Result<Amount, ResultCode> {
        Ok(match self.target {
            Target::Hold(hold) => hold.remaining,
            Target::Withdrawal(row) if matches!(self.spec.effect, Effect::WithdrawalSettled) => {
                Amount(row.amount.0 - row.fee.0)
            }
            Target::Withdrawal(row) => row.amount,
            Target::Session(session) if self.request.amount.is_zero() => session.remainder,
            // Several sessions share the purse; each has its own remainder.
            Target::Session(session) if self.request.amount > session.remainder => {
                return Err(ResultCode::InsufficientFunds);
            }
            _ => self.request.amount,
        })
    }

    /// What the session's meter lacks for the stake, within what it may be topped up by.
    fn top_up(&self) -> Result<Amount, ResultCode> {
        let Some(session) = self.meter() else { return Ok(Amount::ZERO) };
        let lacking = Amount(self.request.amount.0.saturating_sub(session.remainder.0));
        if lacking > session.topup_left { Err(ResultCode::InsufficientFunds) } else { Ok(lacking) }
    }

    /// What is given, in operations that give or take.
    fn given(&self) -> Result<Amount, ResultCode> {
        let request = self.request;
        Ok(match (self.spec.effect, self.target) {
            (Effect::Contributed, _) => return self.share(),
            (Effect::RolledBack, Target::Bet(bet)) => self.undone(bet).0,
            (Effect::RoundVoided, _) => {
                let (stake, won) = self.round_sums();
                Amount(stake.0.saturating_sub(won.0))
            }
            (_, Target::Adjustment(row)) if !row.debit => row.amount,
            (Effect::Corrected, _) if !self.debits() && !self.correction_waits() => request.amount,
            (Effect::None, _) if request.kind == OperationKind::JackpotAdjust && !self.debits() => {
                request.amount
            }
            (Effect::None, _) if self.collects() => {
                let owed = self.state.owed(request.player, request.asset);
                if request.amount.is_zero() { owed.min(self.available()) } else { request.amount }
            }
            _ => Amount::ZERO,
        })
    }

    const fn collects(&self) -> bool {
        matches!(self.request.kind, OperationKind::Collect | OperationKind::AutoCollect)
    }

    /// Whether the request says that it takes money away.
    const fn debits(&self) -> bool {
        let at = match self.request.kind {
            OperationKind::LateCorrection => 8,
            _ => 4,
        };
        self.request.detail.0[at] == 1
    }

    /// What is taken, in operations that take as much as there is.
    fn taken(&self) -> Result<Amount, ResultCode> {
        let request = self.request;
        Ok(match (self.spec.effect, self.target) {
            (Effect::RolledBack, _) => Amount(self.undone_payout().0 - self.metered().0),
            (Effect::RoundVoided, _) => {
                let (stake, won) = self.round_sums();
                Amount(won.0.saturating_sub(stake.0))
            }
            (_, Target::Adjustment(row)) if row.debit => row.amount,
            (Effect::Corrected, _) if self.debits() && !self.correction_waits() => request.amount,
            (Effect::DepositReversed, _) => Amount(request.amount.0 - self.locked().0),
            (Effect::WithdrawalOpened, _) => request.amount,
            (Effect::None, _) if request.kind == OperationKind::JackpotWin => request.amount,
            (Effect::None, _) if request.kind == OperationKind::JackpotAdjust && self.debits() => {
                // On purpose, and so only what is there.
                if request.amount > self.in_pool() {
                    return Err(ResultCode::InsufficientFunds);
                }
                request.amount
            }
            _ => Amount::ZERO,
        })
    }

    /// What of a withdrawal was locked; what of a deposit that is taken back is locked still for the same reason.
    fn locked(&self) -> Amount {
        let Request { player, asset, amount, .. } = *self.request;
        match self.target {
            Target::Withdrawal(row) => row.was_locked(),
            Target::Deposit(Deposit { locked: Some(reason), .. }) => {
                self.state.locked(player, asset, *reason).min(amount)
            }
            _ => Amount::ZERO,
        }
    }

    /// How much of an undone payout the meter has that it was paid to.
    fn metered(&self) -> Amount {
        let (Target::Win(wager) | Target::Bet(wager)) = self.target else { return Amount::ZERO };
        let open = self.state.session(wager.session).filter(|session| wager.metered && !session.revoked);
        open.map_or(Amount::ZERO, |session| session.remainder.min(self.undone_payout()))
    }

    /// What was paid and is undone: a win, or what a bet won at once beyond its stake.
    const fn undone_payout(&self) -> Amount {
        match self.target {
            Target::Win(win) => win.stake,
            Target::Bet(bet) => self.undone(bet).1,
            _ => Amount::ZERO,
        }
    }

    fn pays_first(&self) -> Amount {
        match self.request.kind {
            OperationKind::JackpotWin | OperationKind::JackpotAdjust => self.in_pool(),
            _ => self.available(),
        }
    }

    fn uncovered(&self) -> Result<Amount, ResultCode> {
        let taken = self.taken()?;
        let rest = Amount(taken.0 - taken.min(self.pays_first()).0);
        let withdrawable = || {
            let locked = |reason| self.state.locked(self.request.player, self.request.asset, reason).0;
            LockReason::WITHDRAWABLE.into_iter().map(locked).sum::<u128>()
        };
        if matches!(self.spec.effect, Effect::WithdrawalOpened) && rest.0 > withdrawable() {
            return Err(ResultCode::InsufficientFunds);
        }
        Ok(rest)
    }

    /// A jackpot's share of a stake, with what was left over from the shares before it.
    fn share(&self) -> Result<Amount, ResultCode> {
        share(self.state, self.request).map(|(share, _)| share).ok_or(ResultCode::BalanceOverflow)
    }
}

/// A jackpot's share in whole units, and what is left over in millionths.
pub(crate) fn share(state: &crate::State, request: &Request) -> Option<(Amount, u32)> {
    let (pool, rate_ppm) = (request.detail.u32_at(0), request.detail.u32_at(4));
    let key = crate::state::Row::key(&Pool { pool, asset: request.asset, remainder: 0 });
    let before = state.row::<Pool>(key).map_or(0, |pool| pool.remainder);
    let millionths = request.amount.0.checked_mul(u128::from(rate_ppm))?.checked_add(u128::from(before))?;
    let left = (millionths % u128::from(PPM)) as u32;
    Some((Amount(millionths / u128::from(PPM)), left))
}

/// What a withdrawal of this asset costs.
pub(crate) fn withdraw_fee(state: &crate::State, asset: AssetId) -> Amount {
    Amount(state.rule(Rule::WithdrawFee, u64::from(asset.0)).unwrap_or(0))
}
