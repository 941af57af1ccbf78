//! What comes in over a chain or by the cashier, what of it goes back, what is owed, and what is locked.
//!
//! In: deposits, reversals, debts, locks, addresses. Out: their money and rows.

use cage_engine::field::{LimitKind, LockReason, Status};
use cage_engine::{AssetId, Operation, PlayerId, RequestId, ResultCode, Role, Timestamp};

use super::books::DepositRow;
use super::limits::OF_DEPOSITS;
use super::{Account, Asked, Checks, Model, Step, refuse_unless};

/// What `deposit_reverse` and `chargeback` have in common.
struct Reversal {
    player: PlayerId,
    asset: AssetId,
    amount: u128,
    deposit: RequestId,
    chain: u32,
}

impl Reversal {
    const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::DepositReverse { player, asset, amount, deposit, chain }
            | Operation::Chargeback { player, asset, amount, deposit, chain, .. } => {
                Some(Self { player, asset, amount: amount.0, deposit: RequestId(deposit.0), chain })
            }
            _ => None,
        }
    }
}

impl Model {
    pub(super) fn look_at_cashier(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::DepositCredit { player, asset, amount, .. } => {
                c.look("amount bound", self.amount_bound(asset, amount.0));
                // What a chain brings cannot be sent back.
                if asked.caller.role == Role::Cashier {
                    c.look("status", self.may_fund(player));
                    self.look_at_limits(player, asset, &OF_DEPOSITS, amount.0, asked.now, c);
                }
            }
            Operation::DepositReverse { .. } | Operation::Chargeback { .. } => {
                self.look_at_reversal(asked, c)
            }
            Operation::AssignAddress { .. } => {}
            Operation::Collect { player, asset, amount } => {
                self.look_at_debt(player, asset, amount.0, c);
                self.look_at_what_is_there(player, asset, amount.0, c);
            }
            Operation::AutoCollect { player, asset } => {
                self.look_at_debt(player, asset, 0, c);
                self.look_at_what_is_there(player, asset, 0, c);
            }
            Operation::WriteOff { player, asset, amount, .. } => {
                self.look_at_debt(player, asset, amount.0, c)
            }
            Operation::Lock { .. } => {}
            Operation::Unlock { player, asset, amount, reason, .. } => {
                let may = asked.caller.role == Role::Risk || reason == LockReason::Unconfirmed;
                c.look("reason", refuse_unless(may, ResultCode::ReasonNotAllowed));
                // What keeps it locked is what it is locked for.
                if self.stays_locked(player, asset, amount.0, asked.now) == Some(reason) {
                    c.look("status", self.may_fund(player));
                    self.look_at_limits(player, asset, &OF_DEPOSITS, 0, asked.now, c);
                }
                let there = amount.0 <= self.locked_for(player, asset, reason);
                c.look("lock", refuse_unless(there, ResultCode::LockExceeded));
            }
            _ => unreachable!("the cashier's"),
        }
    }

    fn look_at_reversal(&self, asked: &Asked, c: &mut Checks) {
        let Some(Reversal { player, asset, amount, deposit, chain }) = Reversal::of(asked.operation) else {
            unreachable!("a reversal")
        };
        let row = self.deposits.get(&deposit);
        c.find("deposit", refuse_unless(row.is_some(), ResultCode::DepositUnknown));
        let Some(row) = row else { return };
        let own = (row.player, row.asset, row.chain) == (player, asset, chain);
        c.look("owner", refuse_unless(own, ResultCode::DepositDiffers));
        let left = row.amount - row.reversed;
        c.look("left", refuse_unless(amount <= left, ResultCode::DepositExceeded));
    }

    fn look_at_debt(&self, player: PlayerId, asset: AssetId, amount: u128, c: &mut Checks) {
        let owed = self.owed(player, asset);
        c.look("owes", refuse_unless(owed > 0, ResultCode::NothingOwed));
        c.look("owes enough", refuse_unless(amount <= owed, ResultCode::OwedExceeded));
    }

    /// 0 stands for as much as possible, which has to be something.
    fn look_at_what_is_there(&self, player: PlayerId, asset: AssetId, amount: u128, c: &mut Checks) {
        let available = self.held(Account::Available(asset, player)) as u128;
        c.look("has enough", refuse_unless(available >= amount.max(1), ResultCode::InsufficientFunds));
    }

    pub(super) fn pay_cashier(&mut self, asked: &Asked) -> Step {
        if let Some(Reversal { player, asset, amount, chain, .. }) = Reversal::of(asked.operation) {
            return self.take_back(asked, player, asset, Account::DepositChain(asset, chain), amount);
        }
        match asked.operation {
            Operation::DepositCredit { player, asset, amount, chain, .. } => {
                let reason = self.why_locked(asked);
                self.deed.named.locked = reason;
                let from = Account::DepositChain(asset, chain);
                self.pay_and_lock(player, asset, from, amount.0, reason)
            }
            Operation::Collect { player, asset, amount } => self.collect(player, asset, amount.0),
            Operation::AutoCollect { player, asset } => self.collect(player, asset, 0),
            Operation::WriteOff { player, asset, amount, .. } => {
                self.pay(Account::WriteOffs(asset), Account::Receivable(asset, player), amount.0)
            }
            Operation::Lock { player, asset, amount, reason } => {
                self.pay_and_lock(player, asset, Account::Available(asset, player), amount.0, Some(reason))
            }
            Operation::Unlock { player, asset, amount, reason, .. } => {
                if let Some(kept) = self.stays_locked(player, asset, amount.0, asked.now) {
                    self.deed.named.locked = Some(kept);
                    self.draw_lock(player, asset, reason, amount.0);
                    *self.locked.entry((player, asset, kept)).or_default() += amount.0;
                    return Ok(());
                }
                let (locked, available) = (Account::Locked(asset, player), Account::Available(asset, player));
                self.pay(locked, available, amount.0)?;
                self.draw_lock(player, asset, reason, amount.0);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A deposit that was locked is taken from what is locked for its reason first.
    fn take_back(
        &mut self,
        asked: &Asked,
        player: PlayerId,
        asset: AssetId,
        to: Account,
        amount: u128,
    ) -> Step {
        let deposit = Reversal::of(asked.operation).and_then(|reversal| self.deposits.get(&reversal.deposit));
        let mut left = amount;
        if let Some(reason) = deposit.and_then(|deposit| deposit.locked) {
            let locked = amount.min(self.locked_for(player, asset, reason));
            self.pay_if_any(Account::Locked(asset, player), to, locked)?;
            self.draw_lock(player, asset, reason, locked);
            left -= locked;
        }
        self.take(player, asset, to, left)
    }

    fn collect(&mut self, player: PlayerId, asset: AssetId, amount: u128) -> Step {
        let available = Account::Available(asset, player);
        let all = self.owed(player, asset).min(self.purse(available));
        self.pay(available, Account::Receivable(asset, player), if amount == 0 { all } else { amount })
    }

    /// To `locked` if there is a reason, else to `available`.
    pub(super) fn pay_and_lock(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        from: Account,
        amount: u128,
        reason: Option<LockReason>,
    ) -> Step {
        let Some(reason) = reason else {
            return self.pay(from, Account::Available(asset, player), amount);
        };
        self.pay(from, Account::Locked(asset, player), amount)?;
        *self.locked.entry((player, asset, reason)).or_default() += amount;
        Ok(())
    }

    pub(super) fn draw_lock(&mut self, player: PlayerId, asset: AssetId, reason: LockReason, amount: u128) {
        let left = self.locked_for(player, asset, reason).saturating_sub(amount);
        self.locked.remove(&(player, asset, reason));
        if left > 0 {
            self.locked.insert((player, asset, reason), left);
        }
    }

    pub(crate) fn locked_for(&self, player: PlayerId, asset: AssetId, reason: LockReason) -> u128 {
        self.locked.get(&(player, asset, reason)).copied().unwrap_or(0)
    }

    /// Why a deposit is locked: as asked, by status, by limit.
    fn why_locked(&self, asked: &Asked) -> Option<LockReason> {
        let Operation::DepositCredit { player, asset, amount, locked, .. } = asked.operation else {
            unreachable!("a deposit")
        };
        locked.or_else(|| self.keeps_locked(player, asset, amount.0, asked.now))
    }

    /// For which reason money that was locked stays so, though it is freed. What pays a debt goes out again.
    fn stays_locked(
        &self,
        player: PlayerId,
        asset: AssetId,
        amount: u128,
        now: Timestamp,
    ) -> Option<LockReason> {
        if amount <= self.owed(player, asset) { None } else { self.keeps_locked(player, asset, 0, now) }
    }

    /// For which reason so much more would be locked now, whoever brings it.
    fn keeps_locked(
        &self,
        player: PlayerId,
        asset: AssetId,
        more: u128,
        now: Timestamp,
    ) -> Option<LockReason> {
        let status = self.player(player).map_or(Status::Active, |row| row.status);
        let over = || self.is_over(player, asset, &OF_DEPOSITS, more, now);
        match status {
            Status::SelfExcluded => Some(LockReason::Excluded),
            Status::Closed => Some(LockReason::Closed),
            Status::Frozen => Some(LockReason::Review),
            Status::Active | Status::WagerBlocked => over().then_some(LockReason::OverLimit),
        }
    }

    pub(super) fn carry_out_cashier(&mut self, asked: &Asked) -> ResultCode {
        if let Some(Reversal { amount, deposit, .. }) = Reversal::of(asked.operation) {
            self.deposits.get_mut(&deposit).expect("a deposit").reversed += amount;
            return self.done_or_short();
        }
        match asked.operation {
            Operation::DepositCredit { player, asset, amount, chain, turnover, .. } => {
                let near = self.is_near(player, asset, &OF_DEPOSITS, amount.0, asked.now);
                let kinds = [(LimitKind::Deposit, 1), (LimitKind::DepositNet, 1)];
                self.count_amount(player, asset, amount.0, &kinds, asked.now);
                let locked = self.deed.named.locked;
                let row = DepositRow { player, asset, chain, amount: amount.0, reversed: 0, locked };
                self.deposits.insert(asked.id, row);
                self.add_turnover(player, asset, turnover.0);
                if near { ResultCode::LimitNear } else { ResultCode::Done }
            }
            Operation::Unlock { .. } if self.deed.named.locked.is_some() => ResultCode::StillLocked,
            Operation::AssignAddress { player, chain, fresh } => self.assign_address(player, chain, fresh),
            _ => ResultCode::Done,
        }
    }

    fn assign_address(&mut self, player: PlayerId, chain: u32, fresh: bool) -> ResultCode {
        if let Some(current) = self.addresses.get(&(player, chain)).copied().filter(|_| !fresh) {
            self.deed.named.number = Some(u64::from(current));
            return ResultCode::Existing;
        }
        let next = self.chains.entry(chain).or_default();
        let number = *next;
        *next += 1;
        self.addresses.insert((player, chain), number);
        self.deed.named.number = Some(u64::from(number));
        ResultCode::Done
    }
}
