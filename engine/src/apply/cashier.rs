//! Deposits, withdrawals, jackpots, free rounds.

use super::{Applied, ApplyFault};
use crate::account::{AccountId, Purse};
use crate::amount::Amount;
use crate::code::ResultCode;
use crate::decide::{share, withdraw_fee};
use crate::field::{LimitKind, LockReason};
use crate::id::{AssetId, Lsn, PlayerId, RequestId};
use crate::record::Record;
use crate::request::Request;
use crate::state::{
    Address, ChainCounter, Deposit, Ended, Ending, Freeround, Pool, Row, Space, Stage, State,
    TRANSACTIONS_KEPT, Traces, Turnover, Withdrawal, address_key, chain_key, player_asset,
};
use crate::time::Timestamp;

impl State {
    pub(super) fn apply_deposit(&mut self, record: &Record) -> Applied {
        let Request { id, player, asset, amount, .. } = record.request;
        if self.deposit(id).is_some() {
            return Err(ApplyFault::Missing("a deposit's key"));
        }
        let chain = record.request.chain();
        let locked = record.lock_reason();
        self.insert(Deposit { key: id, player, asset, chain, amount, reversed: Amount::ZERO, locked });
        self.count(
            player,
            asset,
            amount,
            record.decided,
            &[(LimitKind::Deposit, 1), (LimitKind::DepositNet, 1)],
        );
        self.apply_turnover(record)
    }

    /// Something was credited that has to be wagered before a withdrawal.
    pub(super) fn apply_turnover(&mut self, record: &Record) -> Applied {
        let Request { player, asset, .. } = record.request;
        self.add_turnover(player, asset, Amount(record.request.detail.u128_at(16)));
        Ok(())
    }

    pub(super) fn add_turnover(&mut self, player: PlayerId, asset: AssetId, more: Amount) {
        if more.is_zero() {
            return;
        }
        let added = self.update(player_asset(player, asset), |row: &mut Turnover| {
            row.left.0 = row.left.0.saturating_add(more.0);
        });
        if added.is_none() {
            self.insert(Turnover { player, asset, left: more });
            self.set_gates(player, |gates| gates.turning = true);
        }
    }

    /// A stake was taken; gives how much of it counted for the turnover.
    pub(super) fn turn_over(&mut self, player: PlayerId, asset: AssetId, stake: Amount) -> Amount {
        if !self.players.gates(player).is_some_and(|gates| gates.turning) {
            return Amount::ZERO;
        }
        let left = self.turnover(player, asset);
        let turned = left.min(stake);
        let key = player_asset(player, asset);
        if turned == left {
            self.remove::<Turnover>(key);
        } else {
            self.update(key, |row: &mut Turnover| row.left.0 -= turned.0);
        }
        turned
    }

    pub(super) fn apply_reversal(&mut self, record: &Record) -> Applied {
        let amount = record.request.amount;
        let row = self.update(record.request.reference, |row: &mut Deposit| {
            row.reversed.0 = row.reversed.0.saturating_add(amount.0);
        });
        let locked = row.ok_or(ApplyFault::Missing("a deposit"))?.locked;
        for leg in record.legs().iter().filter(|leg| leg.debit.is_of(Purse::Locked)) {
            let reason = locked.ok_or(ApplyFault::Missing("why money is locked"))?;
            self.take_locked(leg.debit, reason, leg.amount.0)?;
        }
        Ok(())
    }

    /// What could not be freed stays locked, for the reason that keeps it; what could be freed the leg has moved.
    pub(super) fn apply_unlock(&mut self, record: &Record) -> Applied {
        let Some((asked, kept)) = record.asked_lock_reason().zip(record.lock_reason()) else { return Ok(()) };
        let Request { player, asset, amount, .. } = record.request;
        let account = AccountId::of_player(asset, Purse::Locked, player);
        self.take_locked(account, asked, amount.0)?;
        self.lock(account, kept, amount);
        Ok(())
    }

    pub(super) fn apply_address(&mut self, record: &Record) -> Applied {
        let (player, chain) = (record.request.player, record.request.chain());
        let missing = ApplyFault::Missing("an address's number");
        let index = record.handed_out().and_then(|number| u32::try_from(number).ok()).ok_or(missing)?;
        let next = index.checked_add(1).ok_or(missing)?;
        if self.update(chain_key(chain), |row: &mut ChainCounter| row.next = next).is_none() {
            self.insert(ChainCounter { chain, next });
        }
        if self.update(address_key(player, chain), |row: &mut Address| row.index = index).is_none() {
            self.insert(Address { player, chain, index });
        }
        Ok(())
    }

    pub(super) fn apply_withdrawal(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let Request { id, player, asset, amount, .. } = record.request;
        let locked = self.draw_locked(record)?;
        self.insert(Withdrawal {
            id,
            opened: lsn,
            player,
            asset,
            chain: record.request.chain(),
            amount,
            fee: withdraw_fee(self, asset),
            locked,
            destination: record.request.detail.0,
            stage: Stage::Requested,
            approver: 0,
            attempts: 0,
            slot: 0,
            transactions: [0; TRANSACTIONS_KEPT],
        });
        Ok(())
    }

    /// Takes what a withdrawal draws on locked money, in the order of the reasons; gives how much for each.
    fn draw_locked(&mut self, record: &Record) -> Result<[u128; LockReason::WITHDRAWABLE.len()], ApplyFault> {
        let mut drawn = [0; LockReason::WITHDRAWABLE.len()];
        for leg in record.legs().iter().filter(|leg| leg.debit.is_of(Purse::Locked)) {
            let mut left = leg.amount.0;
            for (reason, drawn) in LockReason::WITHDRAWABLE.into_iter().zip(&mut drawn) {
                *drawn = self.locked(record.request.player, record.request.asset, reason).0.min(left);
                left -= *drawn;
                self.take_locked(leg.debit, reason, *drawn)?;
            }
            if left != 0 {
                return Err(ApplyFault::Missing("locked money"));
            }
        }
        Ok(drawn)
    }

    fn withdrawal_row(&mut self, record: &Record, change: impl FnOnce(&mut Withdrawal)) -> Applied {
        self.update(record.request.reference, change).map(|_| ()).ok_or(ApplyFault::Missing("a withdrawal"))
    }

    pub(super) fn apply_approval(&mut self, record: &Record) -> Applied {
        let (actor, first) = (record.actor, record.result == ResultCode::OneMore);
        self.withdrawal_row(record, |row| {
            if first {
                row.approver = actor;
            } else {
                row.stage = Stage::Approved;
            }
        })
    }

    pub(super) fn apply_signature(&mut self, record: &Record) -> Applied {
        let (slot, transaction) = (record.request.detail.u128_at(0), record.request.detail.u128_at(16));
        let signed =
            self.withdrawal(RequestId(record.request.reference)).map_or(0, |row| row.attempts as usize);
        if signed >= TRANSACTIONS_KEPT {
            return Err(ApplyFault::Missing("room for a transaction"));
        }
        self.withdrawal_row(record, |row| {
            row.transactions[signed] = transaction;
            row.attempts = row.attempts.saturating_add(1);
            row.slot = slot;
            row.stage = Stage::Signed;
        })
    }

    pub(super) fn end_withdrawal(&mut self, lsn: Lsn, record: &Record, how: Ending) -> Applied {
        let row =
            self.remove::<Withdrawal>(record.request.reference).ok_or(ApplyFault::Missing("a withdrawal"))?;
        if matches!(how, Ending::Settled) {
            self.count(row.player, row.asset, row.amount, record.decided, &[(LimitKind::DepositNet, -1)]);
        } else {
            let account = AccountId::of_player(row.asset, Purse::Locked, row.player);
            for (reason, drawn) in LockReason::WITHDRAWABLE.into_iter().zip(row.locked) {
                self.lock(account, reason, Amount(drawn));
            }
        }
        self.end(row.id, Space::Withdrawal, how, lsn, record.decided);
        Ok(())
    }

    /// Remembers how something ended that is no bet.
    pub(super) fn end(&mut self, key: RequestId, space: Space, how: Ending, lsn: Lsn, now: Timestamp) {
        let ended = Ended { how, traces: Traces::default(), lsn };
        self.remember_ending(key, space, ended, now);
    }

    pub(super) fn apply_contribution(&mut self, record: &Record) -> Applied {
        let (_, remainder) = share(self, &record.request).ok_or(ApplyFault::Missing("a share"))?;
        let row = Pool { pool: record.request.detail.u32_at(0), asset: record.request.asset, remainder };
        if self.update(row.key(), |now: &mut Pool| now.remainder = remainder).is_none() {
            self.insert(row);
        }
        Ok(())
    }

    pub(super) fn apply_freeround(&mut self, record: &Record) -> Applied {
        let Request { id, player, asset, game, amount: bet_value, detail, .. } = record.request;
        let (left, expires) = (detail.u32_at(0), Timestamp(detail.u64_at(8)));
        self.insert(Freeround { id, player, asset, game, left, bet_value, expires });
        Ok(())
    }

    pub(super) fn apply_consumption(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let used = record.request.detail.u32_at(0);
        let missing = ApplyFault::Missing("free rounds");
        let row = self
            .update(record.request.reference, |row: &mut Freeround| row.left = row.left.saturating_sub(used));
        if row.ok_or(missing)?.left == 0 {
            self.end_freeround(lsn, record, Ending::Settled)?;
        }
        Ok(())
    }

    pub(super) fn end_freeround(&mut self, lsn: Lsn, record: &Record, how: Ending) -> Applied {
        let row =
            self.remove::<Freeround>(record.request.reference).ok_or(ApplyFault::Missing("free rounds"))?;
        self.end(row.id, Space::Freeround, how, lsn, record.decided);
        Ok(())
    }
}
