//! Withdrawals, from the ledger's word to the final block.
//!
//! In: facts of the ledger, blocks with what our accounts sent in them, blocks that were given up, what others did that
//! was due. Out: what is due next. Never here: a clock, a network, a key, the disk.
//!
//! ```text
//!  requested --> approved --> planned --> signed --> recorded --> sent --> mined --> settled
//!                   |       (slot bound)   (bytes   (the ledger     |        |  failed, final
//!                   v                      durable)  has it)        |        v
//!                review, waiting                                    |     released
//!                                                 block given up, stuck: sent again, or dearer, in the same slot
//! ```
//!
//! Three laws keep one withdrawal one payment. A withdrawal has one slot for ever, and a chain takes one transaction
//! for a slot. Nothing is sent that the ledger has not on record. Nothing that was sent is given up before the chain
//! has finally decided: "no answer" is not "no".

mod policy;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use cage_client::permanent_key;
use cage_engine::{AssetId, PlayerId, RequestId};

pub use policy::{Bound, Concern, Policy};
pub use rows::{
    Attempt, Due, Ended, ForeignSlot, Mined, Slots, Withdrawal, destination_address, pays, prefix,
};

use crate::deposits::CoinRule;
use crate::ethers::Transfer;
use crate::ledger::LedgerFact;
use crate::limits::{ATTEMPTS_MAX, GAS_NATIVE};
use crate::source::Fees;
use crate::types::{BlockRef, Coin, Outflow, Tips, TransactionId};

/// The seconds of a day, by the chain's clock.
const DAY_S: u64 = 86_400;

/// All withdrawals of a wallet that have not ended.
#[derive(Clone, Debug, Default)]
pub struct Withdrawals {
    chain_id: u64,
    rules: Vec<CoinRule>,
    policy: Policy,
    rows: BTreeMap<u128, Withdrawal>,
    /// What was bound within the last day, to its units by coin: ended ones count as well.
    bound: Vec<(u64, Coin, u128)>,
    next_slot: u64,
    /// Slots that were bound and never used: nothing was sent for them.
    free_slots: BTreeSet<u64>,
    /// Every transaction that was ever signed, by the first 16 bytes of its name: those of ended withdrawals as well.
    ours: BTreeSet<u128>,
    /// Players whose deposits were taken back.
    frozen: BTreeSet<u64>,
    changed: BTreeSet<u128>,
}

fn key(what: &[u8], id: u128, transaction: TransactionId) -> RequestId {
    permanent_key(&[what, &id.to_le_bytes(), &transaction.0])
}

impl Withdrawals {
    /// The withdrawals of a wallet, with those that were written down.
    #[must_use]
    pub fn new(
        chain_id: u64,
        rules: Vec<CoinRule>,
        policy: Policy,
        known: impl IntoIterator<Item = Withdrawal>,
        slots: Slots,
    ) -> Self {
        let mut all = Self {
            chain_id,
            rules,
            policy,
            next_slot: slots.next,
            free_slots: slots.free,
            ..Self::default()
        };
        for row in known {
            let signed = row
                .attempts
                .iter()
                .filter_map(|attempt| attempt.transaction.map(prefix).or(attempt.recorded));
            all.ours.extend(signed);
            all.bound
                .extend(row.coin.filter(|_| row.slot.is_some()).map(|coin| (row.bound_s, coin, row.units)));
            if row.ended != Some(Ended::GivenUp) {
                all.rows.insert(row.id, row);
            }
        }
        all
    }

    /// Rows that have not ended.
    pub fn rows(&self) -> impl Iterator<Item = &Withdrawal> {
        self.rows.values().filter(|row| row.ended.is_none())
    }

    /// Those that the ledger has as paid, and that no block holds: the chain gave up more than was final.
    pub fn vanished(&self) -> impl Iterator<Item = &Withdrawal> {
        self.rows.values().filter(|row| row.ended == Some(Ended::Settled) && row.mined.is_none())
    }

    /// One row.
    #[must_use]
    pub fn row(&self, id: RequestId) -> Option<&Withdrawal> {
        self.rows.get(&id.0).filter(|row| row.ended.is_none())
    }

    /// The slots, as they stand.
    #[must_use]
    pub fn slots(&self) -> Slots {
        Slots { next: self.next_slot, free: self.free_slots.clone() }
    }

    /// The wallet has used up so many slots before we ever paid with it.
    pub fn begin_at(&mut self, slots_used: u64) {
        self.next_slot = self.next_slot.max(slots_used);
    }

    /// What is to be written down before anything that is due is done. What was given up leaves memory.
    pub fn take_changes(&mut self) -> Vec<Withdrawal> {
        let changed = std::mem::take(&mut self.changed);
        let rows: Vec<_> = changed.iter().filter_map(|id| self.rows.get(id).cloned()).collect();
        self.rows.retain(|_, row| row.ended != Some(Ended::GivenUp));
        rows
    }

    /// Takes out of memory what was paid so long ago that no reorganisation can reach it any more.
    pub fn forget_settled(&mut self, below_height: u64) {
        self.rows.retain(|_, row| {
            row.ended.is_none() || row.mined.is_none_or(|mined| mined.block.height >= below_height)
        });
    }

    fn change(&mut self, id: RequestId, change: impl FnOnce(&mut Withdrawal)) {
        if let Some(row) = self.rows.get_mut(&id.0) {
            change(row);
            self.changed.insert(id.0);
        }
    }

    /// The ledger says something.
    pub fn ledger(&mut self, fact: &LedgerFact) {
        match *fact {
            LedgerFact::Requested { id, player, asset, amount, fee, destination } => {
                let row = self.requested(id, player, asset, (amount.0, fee.0), &destination);
                self.rows.entry(id.0).or_insert(row);
                self.changed.insert(id.0);
            }
            LedgerFact::Approved(id) => self.change(id, |row| row.approved = true),
            LedgerFact::Signed { id, slot, transaction } => self.signed_before(id, slot, transaction),
            LedgerFact::Settled(id) => self.change(id, |row| row.ended = Some(Ended::Settled)),
            LedgerFact::GivenUp(id) => self.given_up(id),
            LedgerFact::Assigned { .. } | LedgerFact::Reversed { .. } => {}
        }
    }

    fn requested(
        &self,
        id: RequestId,
        player: PlayerId,
        asset: AssetId,
        (amount, fee): (u128, u128),
        destination: &[u8; 32],
    ) -> Withdrawal {
        let rule = self.rules.iter().find(|rule| rule.asset == asset);
        let to = destination_address(destination);
        let net = cage_engine::Amount(amount.saturating_sub(fee));
        let units = rule.and_then(|rule| rule.units(net));
        let concern = match (rule, to, units) {
            (None, ..) => Some(Concern::UnknownCoin),
            (_, None, _) => Some(Concern::Destination),
            (.., None) => Some(Concern::NotWhole),
            _ => None,
        };
        let (id, player, coin) = (id.0, player.number(), rule.map(|rule| rule.coin));
        let units = units.unwrap_or(0);
        let (approved, slot, bound_s, attempts) = (false, None, 0, Vec::new());
        let asset = asset.0;
        Withdrawal {
            id,
            player,
            asset,
            amount,
            fee,
            to,
            coin,
            units,
            approved,
            concern,
            slot,
            bound_s,
            attempts,
            mined: None,
            ended: None,
        }
    }

    /// A signature that the ledger has on record. If it is not known here, what was known here is lost: the slot is
    /// still the withdrawal's own.
    fn signed_before(&mut self, id: RequestId, slot: u64, recorded: u128) {
        self.next_slot = self.next_slot.max(slot + 1);
        self.free_slots.remove(&slot);
        self.ours.insert(recorded);
        self.change(id, |row| {
            row.slot = Some(slot);
            let is_it = |attempt: &Attempt| {
                attempt.recorded == Some(recorded) || attempt.transaction.map(prefix) == Some(recorded)
            };
            match row.attempts.iter_mut().find(|attempt| is_it(attempt)) {
                Some(attempt) => attempt.recorded = Some(recorded),
                None => row.attempts.push(Attempt { recorded: Some(recorded), ..Attempt::EMPTY }),
            }
        });
    }

    fn given_up(&mut self, id: RequestId) {
        self.unbind(id);
        self.change(id, |row| row.ended = Some(Ended::GivenUp));
    }

    /// Gives the slot of a withdrawal back for which nothing was ever allowed to be sent.
    fn unbind(&mut self, id: RequestId) {
        let Some(row) = self.rows.get_mut(&id.0).filter(|row| !row.is_out()) else { return };
        row.attempts.clear();
        self.free_slots.extend(row.slot.take());
        self.changed.insert(id.0);
    }

    /// The players a deposit of whom was lately taken back after it was credited: nothing is signed for them.
    pub fn freeze(&mut self, players: BTreeSet<u64>) {
        self.frozen = players;
    }

    /// What speaks against paying this now, at the chain's time.
    fn concern(&self, row: &Withdrawal, now_s: u64) -> Option<Concern> {
        let Some((to, coin)) = row.to.zip(row.coin) else { return row.concern };
        if self.policy.refused.contains(&to) {
            return Some(Concern::OwnDestination);
        }
        if self.frozen.contains(&row.player) {
            return Some(Concern::Reorganised);
        }
        let Some(bound) = self.policy.bounds.iter().find(|bound| bound.coin == coin) else {
            return Some(Concern::UnknownCoin);
        };
        let lately = self.bound.iter().filter(|(at_s, of, _)| *of == coin && at_s + DAY_S > now_s);
        let paid = lately.fold(0_u128, |sum, (.., units)| sum.saturating_add(*units));
        if row.units > bound.one_max_units {
            return Some(Concern::OverOne);
        }
        (paid.saturating_add(row.units) > bound.day_max_units).then_some(Concern::OverDay)
    }

    /// Plans the first transaction of a withdrawal: binds it to a slot for ever. `spendable`: what the wallet has of
    /// the coin, and of native coin, beyond what is bound already.
    pub fn plan(
        &mut self,
        id: RequestId,
        fees: Fees,
        gas: u64,
        spendable: (u128, u128),
        now_s: u64,
    ) -> Option<Concern> {
        let row = self.rows.get(&id.0)?;
        let (to, coin) = row.to.zip(row.coin)?;
        let (chain_id, units) = (self.chain_id, row.units);
        let slot = self.free_slots.first().copied().unwrap_or(self.next_slot);
        let (fee_max, tip_max) = (fees.fee_max, fees.tip_max.min(fees.fee_max));
        let transfer =
            Transfer { chain_id, slot, to, coin, units, gas: gas.max(GAS_NATIVE), fee_max, tip_max };
        let cost = transfer.cost_max();
        let native = if coin == Coin::Native { cost.saturating_add(units) } else { cost };
        let dear = (fee_max > self.policy.fee_max).then_some(Concern::FeeTooHigh);
        let short = (spendable.0 < units || spendable.1 < native).then_some(Concern::WalletShort);
        let concern = self.concern(row, now_s).or(dear).or(short);
        if concern.is_none() {
            if !self.free_slots.remove(&slot) {
                self.next_slot += 1;
            }
            self.bound.push((now_s, coin, units));
        }
        self.change(id, |row| {
            row.concern = concern;
            if concern.is_none() {
                (row.slot, row.bound_s) = (Some(slot), now_s);
                row.attempts.push(Attempt { transfer: Some(transfer), ..Attempt::EMPTY });
            }
        });
        concern
    }

    /// Something speaks against paying it that only the caller knows.
    pub fn object(&mut self, id: RequestId, concern: Concern) {
        self.change(id, |row| row.concern = Some(concern));
    }

    /// Plans a dearer transaction in the same slot. Both bounds rise by an eighth at least, as nodes demand.
    pub fn replace(&mut self, id: RequestId, fees: Fees, gas: u64) -> Option<Concern> {
        let row = self.rows.get(&id.0)?;
        let (to, coin) = row.to.zip(row.coin)?;
        let old = row.attempts.iter().rev().find_map(|attempt| attempt.transfer);
        let more = |old: u128| old.saturating_add(old.div_ceil(8)).saturating_add(1);
        // Of one that was lost nothing is known but that it was paid for at some time: twice of today's is more.
        let (fee_max, tip_max) = old.map_or_else(
            || (fees.fee_max.saturating_mul(2), fees.tip_max.saturating_mul(2)),
            |old| (fees.fee_max.max(more(old.fee_max)), fees.tip_max.max(more(old.tip_max))),
        );
        let (chain_id, units, slot) = (self.chain_id, row.units, row.slot?);
        let gas = old.map_or(gas, |old| old.gas).max(GAS_NATIVE);
        let transfer =
            Transfer { chain_id, slot, to, coin, units, gas, fee_max: fee_max.max(tip_max), tip_max };
        let concern = (transfer.fee_max > self.policy.fee_max).then_some(Concern::FeeTooHigh);
        self.change(id, |row| {
            row.concern = concern;
            if concern.is_none() {
                row.attempts.push(Attempt { transfer: Some(transfer), ..Attempt::EMPTY });
            }
        });
        concern
    }

    /// The signer has signed. The bytes are to be durable before the ledger is told.
    pub fn signed(&mut self, id: RequestId, transfer: &Transfer, raw: Vec<u8>, transaction: TransactionId) {
        self.ours.insert(prefix(transaction));
        self.change(id, |row| {
            let planned = row.attempts.iter_mut().find(|attempt| attempt.transfer == Some(*transfer));
            if let Some(attempt) = planned.filter(|attempt| attempt.raw.is_none()) {
                (attempt.raw, attempt.transaction) = (Some(raw), Some(transaction));
            }
        });
    }

    /// The ledger has it on record: it may be sent.
    pub fn recorded(&mut self, id: RequestId, transaction: TransactionId) {
        self.change(id, |row| {
            for attempt in row.attempts.iter_mut().filter(|attempt| attempt.transaction == Some(transaction))
            {
                attempt.recorded = Some(prefix(transaction));
            }
        });
    }

    /// The ledger will not have it on record, for now or at all. What was signed is thrown away unsent. A replacement
    /// that is refused leaves what went before it.
    pub fn not_recorded(&mut self, id: RequestId, code: u16) {
        self.change(id, |row| {
            row.attempts.retain(|attempt| attempt.recorded.is_some());
            row.concern = Some(Concern::Ledger(code));
        });
        self.unbind(id);
    }

    /// It was sent, at this height, whatever the answer was.
    pub fn sent(&mut self, id: RequestId, transaction: TransactionId, height: u64) {
        self.change(id, |row| {
            for attempt in row.attempts.iter_mut().filter(|attempt| attempt.transaction == Some(transaction))
            {
                attempt.sent_height = Some(height);
                attempt.first_sent_height = attempt.first_sent_height.or(Some(height));
            }
        });
    }

    /// The ledger has ended it.
    pub fn ended(&mut self, id: RequestId, how: Ended) {
        self.change(id, |row| row.ended = Some(how));
    }

    /// A block was connected in which the wallet sent this.
    ///
    /// # Errors
    /// [`ForeignSlot`]: nothing may be signed any more until somebody has found out who it was.
    pub fn connect(&mut self, block: &BlockRef, outflows: &[Outflow]) -> Result<(), ForeignSlot> {
        for outflow in outflows {
            let Outflow { transaction, succeeded, fee, slot, .. } = *outflow;
            self.next_slot = self.next_slot.max(slot + 1);
            let owner = self.rows.values().find(|row| row.is(transaction)).map(|row| row.id);
            let declared = self.policy.declared.contains(&transaction);
            let Some(id) = owner else {
                if self.ours.contains(&prefix(transaction)) || declared {
                    continue;
                }
                return Err(ForeignSlot { slot, transaction });
            };
            self.change(RequestId(id), |row| {
                row.mined = Some(Mined { transaction, block: *block, succeeded, fee })
            });
        }
        Ok(())
    }

    /// The newest block was given up: what it held waits again, or has to be sent again.
    pub fn disconnect(&mut self, block: &BlockRef) {
        let gone: Vec<_> = self
            .rows
            .values()
            .filter(|row| row.mined.is_some_and(|mined| mined.block.hash == block.hash))
            .map(|row| row.id)
            .collect();
        for id in gone {
            self.change(RequestId(id), |row| {
                row.mined = None;
                row.attempts.iter_mut().for_each(|attempt| attempt.sent_height = None);
            });
        }
    }

    /// What is due, in the order of the requests. `open`: whether anything new may be signed and sent.
    #[must_use]
    pub fn due(&self, tips: &Tips, open: bool) -> Vec<Due> {
        self.rows.values().filter_map(|row| self.due_of(row, tips, open)).collect()
    }

    fn due_of(&self, row: &Withdrawal, tips: &Tips, open: bool) -> Option<Due> {
        let id = RequestId(row.id);
        if row.ended.is_some() {
            return self.sending_again(row, tips);
        }
        if !row.approved && !row.is_out() {
            return None;
        }
        if let Some(mined) = row.mined {
            return self.ending(row, &mined, tips);
        }
        let last = row.attempts.last();
        match last {
            None if !open || row.concern.is_some_and(|concern| !concern.passes()) => None,
            None => Some(Due::Plan(id)),
            Some(attempt) => self.due_of_attempt(row, attempt, tips, open),
        }
    }

    /// A payment that the ledger has as paid is sent again if the chain gave it up after all. Nothing new is signed for it.
    fn sending_again(&self, row: &Withdrawal, tips: &Tips) -> Option<Due> {
        let sendable = |attempt: &&Attempt| attempt.recorded.is_some() && attempt.raw.is_some();
        let attempt = row.attempts.iter().rev().find(sendable).filter(|_| row.mined.is_none())?;
        let again = attempt.sent_height.is_none_or(|sent| sent < tips.latest.height);
        let (transaction, raw) = (attempt.transaction?, attempt.raw.clone()?);
        again.then_some(Due::Send { id: RequestId(row.id), transaction, raw })
    }

    fn due_of_attempt(&self, row: &Withdrawal, attempt: &Attempt, tips: &Tips, open: bool) -> Option<Due> {
        let (id, height) = (RequestId(row.id), tips.latest.height);
        let (player, asset) = (PlayerId::new(row.player).ok()?, AssetId(row.asset));
        let lost = attempt.transfer.is_none();
        match (attempt.transaction, &attempt.raw, attempt.recorded) {
            (None, ..) if lost => (open && row.attempts.len() < ATTEMPTS_MAX).then_some(Due::Replace(id)),
            (None, ..) => attempt.transfer.filter(|_| open).map(|transfer| Due::Sign(id, transfer)),
            (Some(transaction), _, None) => {
                open.then_some(()).and(attempt.transfer).map(|transfer| Due::Record {
                    id,
                    key: key(b"withdraw_signed", row.id, transaction),
                    player,
                    asset,
                    slot: transfer.slot,
                    cost_max: transfer.cost_max(),
                    transaction,
                })
            }
            (Some(transaction), Some(raw), Some(_)) => {
                let stuck =
                    attempt.first_sent_height.is_some_and(|first| first + self.policy.stuck_blocks <= height);
                if stuck && open && row.attempts.len() < ATTEMPTS_MAX {
                    return Some(Due::Replace(id));
                }
                let again = attempt.sent_height.is_none_or(|sent| sent < height);
                again.then(|| Due::Send { id, transaction, raw: raw.clone() })
            }
            (Some(_), None, Some(_)) => None,
        }
    }

    /// What is due for one that is in a block: the end, once the block is final.
    fn ending(&self, row: &Withdrawal, mined: &Mined, tips: &Tips) -> Option<Due> {
        let rule = self.rules.iter().find(|rule| Some(rule.coin) == row.coin)?;
        if !rule.finality(row.units).reached(mined.block.height, tips) {
            return None;
        }
        let (id, transaction) = (RequestId(row.id), mined.transaction);
        let (player, asset) = (PlayerId::new(row.player).ok()?, AssetId(row.asset));
        Some(if mined.succeeded {
            Due::Settle { id, key: key(b"withdraw_settle", row.id, transaction), player, asset, transaction }
        } else {
            Due::Release { id, player, asset, evidence: transaction }
        })
    }

    /// What is bound and in no block, so that the wallet may not spend it otherwise: of the coin, and of native coin.
    #[must_use]
    pub fn committed(&self, coin: Coin) -> (u128, u128) {
        let open =
            self.rows.values().filter(|row| row.slot.is_some() && row.mined.is_none() && row.ended.is_none());
        let (mut of_coin, mut native) = (0_u128, 0_u128);
        for row in open {
            let cost = row
                .attempts
                .iter()
                .filter_map(|attempt| attempt.transfer)
                .map(|transfer| transfer.cost_max())
                .max();
            native = native.saturating_add(cost.unwrap_or(0));
            if row.coin == Some(Coin::Native) {
                native = native.saturating_add(row.units);
            }
            if row.coin == Some(coin) {
                of_coin = of_coin.saturating_add(row.units);
            }
        }
        (if coin == Coin::Native { native } else { of_coin }, native)
    }
}
