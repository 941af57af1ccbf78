//! Payouts over a chain: asked for, approved, signed, paid or given up.
//!
//! In: requests about a withdrawal. Out: its row and its money.

use cage_engine::field::{LimitKind, LockReason, Rule, Status};
use cage_engine::{AssetId, Operation, PlayerId, RequestId, ResultCode, Role};

use super::books::{Stage, WithdrawalRow};
use super::memory::{About, End, Space};
use super::{Account, Asked, Checks, Model, Step, refuse_unless};

/// Whose withdrawal a request is about, and over which chain if it says so.
struct Named {
    player: PlayerId,
    asset: AssetId,
    withdrawal: RequestId,
    chain: Option<u32>,
}

impl Named {
    const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::WithdrawApprove { player, asset, withdrawal }
            | Operation::WithdrawCancel { player, asset, withdrawal } => {
                Some(Self { player, asset, withdrawal, chain: None })
            }
            Operation::WithdrawSigned { player, asset, withdrawal, chain, .. }
            | Operation::WithdrawSettle { player, asset, withdrawal, chain, .. }
            | Operation::WithdrawRelease { player, asset, withdrawal, chain, .. } => {
                Some(Self { player, asset, withdrawal, chain: Some(chain) })
            }
            _ => None,
        }
    }
}

/// What a withdrawal may draw on besides what is available, in this order.
const WITHDRAWABLE: [LockReason; 3] = [LockReason::Excluded, LockReason::Closed, LockReason::OverLimit];
/// So often a withdrawal is signed.
const SIGNED_MAX: usize = 16;

impl Model {
    pub(super) fn look_at_withdrawal(&self, asked: &Asked, c: &mut Checks) {
        if let Operation::WithdrawRequest { .. } = asked.operation {
            self.look_at_new_withdrawal(asked, c);
            return;
        }
        let Some(Named { player, asset, withdrawal, chain }) = Named::of(asked.operation) else {
            unreachable!("a withdrawal")
        };
        let row = self.withdrawals.get(&withdrawal);
        let ended = if row.is_some() { None } else { self.ending(Space::Withdrawal, withdrawal.0) };
        let found = match (row, ended) {
            (Some(_), _) => Ok(()),
            (None, Some(End::Settled)) => Err(ResultCode::WithdrawalSettled),
            (None, Some(End::Cancelled)) => Err(ResultCode::WithdrawalCancelled),
            (None, _) => Err(ResultCode::WithdrawalUnknown),
        };
        c.find("withdrawal", found);
        let Some(row) = row else { return };
        let own = (row.player, row.asset) == (player, asset) && chain.is_none_or(|chain| chain == row.chain);
        c.look("owner", refuse_unless(own, ResultCode::WithdrawalDiffers));
        self.look_at_stage(asked, row, c);
    }

    fn look_at_new_withdrawal(&self, asked: &Asked, c: &mut Checks) {
        let Operation::WithdrawRequest { player, asset, amount, session, .. } = asked.operation else {
            unreachable!("withdraw_request")
        };
        c.look("amount bound", self.amount_bound(asset, amount.0));
        c.look("status", self.may_withdraw(player));
        c.look("check", self.is_checked(player));
        // Who may not play cannot open a session, and can withdraw all the same.
        let required = self.player(player).is_ok_and(|row| {
            asked.caller.role == Role::Frontend
                && row.status == Status::Active
                && self.rule(Rule::SessionsRequired, u64::from(row.brand)).is_some()
        });
        self.look_at_session_if(required, player, session, None, asked.now, c);
        self.look_at_freedom(player, asset, c);
        let fee = self.withdraw_fee(asset);
        let leaves = fee == 0 || fee < amount.0;
        c.look("fee", refuse_unless(leaves, ResultCode::FeeExceeds));
    }

    /// Who owes something, or has to wager something, takes nothing out.
    pub(super) fn look_at_freedom(&self, player: PlayerId, asset: AssetId, c: &mut Checks) {
        let owes = self.owed(player, asset) > 0;
        c.look("debt", refuse_unless(!owes, ResultCode::PlayerOwes));
        let turned = !self.turnover.contains_key(&(player, asset));
        c.look("turnover", refuse_unless(turned, ResultCode::TurnoverLeft));
    }

    fn withdraw_fee(&self, asset: AssetId) -> u128 {
        self.rule(Rule::WithdrawFee, u64::from(asset.0)).unwrap_or(0)
    }

    fn look_at_stage(&self, asked: &Asked, row: &WithdrawalRow, c: &mut Checks) {
        match asked.operation {
            Operation::WithdrawApprove { .. } => {
                c.look("status", self.may_withdraw(row.player));
                c.look("check", self.is_checked(row.player));
                self.look_at_debt_of_payout(row, false, c);
                let found = match row.stage {
                    Stage::Approved => Err(ResultCode::WithdrawalApproved),
                    Stage::Signed => Err(ResultCode::WithdrawalSigned),
                    Stage::Requested => Ok(()),
                };
                c.look("stage", found);
                let other = row.stage != Stage::Requested || row.approver != Some(asked.caller.actor);
                c.look("identity", refuse_unless(other, ResultCode::SameIdentity));
            }
            Operation::WithdrawSigned { slot, .. } => {
                self.look_at_freeze(row, c);
                let stopped = row.stage != Stage::Signed;
                c.look("check", if stopped { self.is_checked(row.player) } else { Ok(()) });
                self.look_at_debt_of_payout(row, row.stage == Stage::Signed, c);
                let approved = row.stage != Stage::Requested;
                c.look("stage", refuse_unless(approved, ResultCode::WithdrawalNotApproved));
                let same = row.slot.is_none_or(|bound| bound == slot);
                c.look("slot", refuse_unless(same, ResultCode::SlotDiffers));
                let left = row.transactions.len() < SIGNED_MAX;
                c.look("attempts", refuse_unless(left, ResultCode::AttemptsUsed));
            }
            Operation::WithdrawSettle { transaction, .. } => {
                let signed = row.stage == Stage::Signed;
                c.look("stage", refuse_unless(signed, ResultCode::WithdrawalNotSigned));
                let known = row.transactions.contains(&first_16(transaction));
                c.look("transaction", refuse_unless(known, ResultCode::TransactionUnknown));
            }
            Operation::WithdrawCancel { .. } => {
                let signed = row.stage == Stage::Signed;
                c.look("stage", refuse_unless(!signed, ResultCode::WithdrawalSigned));
            }
            Operation::WithdrawRelease { .. } => {
                let signed = row.stage == Stage::Signed;
                c.look("stage", refuse_unless(signed, ResultCode::WithdrawalNotSigned));
                let great = self.is_great(row);
                let may = asked.caller.role == Role::Approver || !great;
                c.look("approver", refuse_unless(may, ResultCode::ApproverNeeded));
            }
            _ => unreachable!("a withdrawal"),
        }
    }

    /// Once a transaction was signed only the chain decides.
    fn look_at_freeze(&self, row: &WithdrawalRow, c: &mut Checks) {
        let frozen = self.may_withdraw(row.player).is_err() && row.stage != Stage::Signed;
        c.look("status", refuse_unless(!frozen, ResultCode::PlayerFrozen));
    }

    /// What was set aside may have been taken back since. Who owes is paid nothing, unless it is on its way.
    fn look_at_debt_of_payout(&self, row: &WithdrawalRow, on_its_way: bool, c: &mut Checks) {
        let stopped = !on_its_way && self.owed(row.player, row.asset) > 0;
        c.look("debt", refuse_unless(!stopped, ResultCode::PlayerOwes));
    }

    pub(super) fn pay_withdrawal(&mut self, asked: &Asked) -> Step {
        match asked.operation {
            Operation::WithdrawRequest { player, asset, amount, .. } => {
                self.set_aside(player, asset, amount.0)
            }
            Operation::WithdrawSettle { player, asset, withdrawal, chain, .. } => {
                let WithdrawalRow { amount, fee, .. } = self.withdrawals[&withdrawal];
                let withdrawing = Account::Withdrawing(asset, player);
                self.pay(withdrawing, Account::WithdrawalChain(asset, chain), amount - fee)?;
                self.pay_if_any(withdrawing, Account::Fees(asset), fee)
            }
            Operation::WithdrawCancel { player, asset, withdrawal }
            | Operation::WithdrawRelease { player, asset, withdrawal, .. } => {
                // Each part goes back to where it came from.
                let WithdrawalRow { amount, ref drawn, .. } = self.withdrawals[&withdrawal];
                let (drawn, withdrawing) = (drawn.clone(), Account::Withdrawing(asset, player));
                let locked = drawn.iter().map(|(_, part)| part).sum();
                self.pay_if_any(withdrawing, Account::Available(asset, player), amount - locked)?;
                self.pay_if_any(withdrawing, Account::Locked(asset, player), locked)?;
                for (reason, part) in drawn {
                    *self.locked.entry((player, asset, reason)).or_default() += part;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is available first, then what is locked and can be withdrawn.
    fn set_aside(&mut self, player: PlayerId, asset: AssetId, amount: u128) -> Step {
        let available = Account::Available(asset, player);
        let withdrawing = Account::Withdrawing(asset, player);
        let covered = self.purse(available).min(amount);
        self.pay_if_any(available, withdrawing, covered)?;
        let mut rest = amount - covered;
        let drawable: u128 = WITHDRAWABLE.iter().map(|reason| self.locked_for(player, asset, *reason)).sum();
        refuse_unless(rest <= drawable, ResultCode::InsufficientFunds)?;
        self.pay_if_any(Account::Locked(asset, player), withdrawing, rest)?;
        for reason in WITHDRAWABLE {
            let drawn = rest.min(self.locked_for(player, asset, reason));
            self.draw_lock(player, asset, reason, drawn);
            rest -= drawn;
            if drawn > 0 {
                self.deed.drawn.push((reason, drawn));
            }
        }
        Ok(())
    }

    pub(super) fn carry_out_withdrawal(&mut self, asked: &Asked) -> ResultCode {
        match asked.operation {
            Operation::WithdrawRequest { player, asset, amount, chain, destination, .. } => {
                let row = WithdrawalRow {
                    player,
                    asset,
                    chain,
                    amount: amount.0,
                    fee: self.withdraw_fee(asset),
                    destination,
                    drawn: std::mem::take(&mut self.deed.drawn),
                    stage: Stage::Requested,
                    approver: None,
                    slot: None,
                    transactions: Vec::new(),
                };
                self.withdrawals.insert(asked.id, row);
            }
            Operation::WithdrawApprove { withdrawal, .. } => {
                return self.approve(withdrawal, asked.caller.actor);
            }
            Operation::WithdrawSigned { withdrawal, slot, transaction, .. } => {
                let row = self.withdrawals.get_mut(&withdrawal).expect("a withdrawal");
                (row.stage, row.slot) = (Stage::Signed, Some(slot));
                row.transactions.push(transaction);
            }
            Operation::WithdrawSettle { withdrawal, .. } => {
                let row = self.end_withdrawal(withdrawal, End::Settled);
                let kinds = [(LimitKind::DepositNet, -1)];
                self.count_amount(row.player, row.asset, row.amount, &kinds, asked.now);
            }
            Operation::WithdrawCancel { withdrawal, .. } | Operation::WithdrawRelease { withdrawal, .. } => {
                self.end_withdrawal(withdrawal, End::Cancelled);
            }
            _ => unreachable!("a withdrawal"),
        }
        ResultCode::Done
    }

    /// Whether it is so great that no bridge and no single identity decides.
    fn is_great(&self, row: &WithdrawalRow) -> bool {
        let from = self.rule(Rule::SecondApprovalFrom, u64::from(row.asset.0));
        from.is_some_and(|from| row.amount >= from)
    }

    /// Great ones need two identities.
    fn approve(&mut self, withdrawal: RequestId, actor: u32) -> ResultCode {
        let row = &self.withdrawals[&withdrawal];
        let another = row.approver.is_none() && self.is_great(row);
        let row = self.withdrawals.get_mut(&withdrawal).expect("a withdrawal");
        if another {
            row.approver = Some(actor);
            return ResultCode::OneMore;
        }
        row.stage = Stage::Approved;
        ResultCode::Done
    }

    fn end_withdrawal(&mut self, withdrawal: RequestId, end: End) -> WithdrawalRow {
        let row = self.withdrawals.remove(&withdrawal).expect("a withdrawal");
        self.leave(About::ending(Space::Withdrawal, withdrawal.0, end, None), self.next_lsn());
        row
    }
}

/// The first 16 bytes of a transaction's hash.
fn first_16(transaction: [u8; 32]) -> u128 {
    u128::from_le_bytes(transaction[..16].try_into().expect("16 of 32 bytes"))
}
