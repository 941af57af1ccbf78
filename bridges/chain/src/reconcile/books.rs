//! What the ledger says, folded from its records.
//!
//! In: records in their order. Out: credits, payments, sums. The sums come from the legs, all else from what was asked:
//! the two must agree. Never here: what a bridge remembers.

use std::collections::{BTreeMap, BTreeSet};

use cage_engine::{AccountId, AssetId, Lsn, Operation, PlayerId, Purse, Record, RequestId};

use crate::ledger::{LedgerFact, Reader};
use crate::types::{Address, TransactionId};
use crate::withdrawals::{destination_address, prefix};

/// A credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Whose.
    pub player: PlayerId,
    /// Of what.
    pub asset: AssetId,
    /// How much was not taken back.
    pub left: u128,
    /// The record.
    pub lsn: Lsn,
}

/// How a payment ended in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// Paid.
    Settled,
    /// Given up.
    GivenUp,
}

/// A withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Of what.
    pub asset: AssetId,
    /// How much, fee included.
    pub amount: u128,
    /// How much the house keeps.
    pub fee: u128,
    /// Who is to be paid.
    pub to: Option<Address>,
    /// When it was approved, in seconds since 1970.
    pub approved_s: Option<u64>,
    /// The transactions that were signed for it, by the first 16 bytes of their names.
    pub signed: Vec<u128>,
    /// Which of them paid.
    pub settled_by: Option<TransactionId>,
    /// How it ended.
    pub ended: Option<Paid>,
}

/// Sums of an asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// What players have in withdrawals, over all chains, by the legs.
    pub withdrawing: i128,
    /// The same by the open withdrawals.
    pub open: i128,
    /// This chain's clearing of deposits, by the legs.
    pub deposit_clearing: i128,
    /// What was credited and not taken back.
    pub credited: i128,
    /// This chain's clearing of withdrawals, by the legs.
    pub withdrawal_clearing: i128,
    /// What was settled, less fees.
    pub settled: i128,
}

/// The books.
#[derive(Clone, Debug)]
pub struct Books {
    chain: u32,
    position: Lsn,
    reader: Reader,
    credits: BTreeMap<u128, Credit>,
    payments: BTreeMap<u128, Payment>,
    /// Withdrawals over other chains, so that the sum of all holds can be told.
    elsewhere: BTreeMap<u128, (u16, i128)>,
    players: BTreeMap<u32, PlayerId>,
    sums: BTreeMap<u16, Sums>,
    liabilities: BTreeMap<u16, u128>,
    /// What was signed after this position: it may lie in a block that was looked at.
    later: BTreeSet<u128>,
}

impl Books {
    /// Empty ones for a chain.
    #[must_use]
    pub fn new(chain: u32) -> Self {
        Self {
            chain,
            position: Lsn::NONE,
            reader: Reader::default(),
            credits: BTreeMap::new(),
            payments: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            players: BTreeMap::new(),
            sums: BTreeMap::new(),
            liabilities: BTreeMap::new(),
            later: BTreeSet::new(),
        }
    }

    /// The last record that was taken in.
    #[must_use]
    pub const fn position(&self) -> Lsn {
        self.position
    }

    /// Credits by key.
    #[must_use]
    pub const fn credits(&self) -> &BTreeMap<u128, Credit> {
        &self.credits
    }

    /// Withdrawals over this chain by id.
    #[must_use]
    pub const fn payments(&self) -> &BTreeMap<u128, Payment> {
        &self.payments
    }

    /// Sums by the number of the asset.
    #[must_use]
    pub const fn sums(&self) -> &BTreeMap<u16, Sums> {
        &self.sums
    }

    /// The player of an address's number.
    #[must_use]
    pub fn player(&self, number: u32) -> Option<PlayerId> {
        self.players.get(&number).copied()
    }

    /// The numbers that were handed out.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.players.keys().copied()
    }

    /// What all players have of an asset, if it was told.
    #[must_use]
    pub fn liabilities(&self, asset: AssetId) -> Option<u128> {
        self.liabilities.get(&asset.0).copied()
    }

    /// Tells what all players have of an asset at this position.
    pub fn set_liabilities(&mut self, asset: AssetId, owed: u128) {
        self.liabilities.insert(asset.0, owed);
    }

    /// Takes a record in.
    pub fn take(&mut self, lsn: Lsn, record: &Record) {
        self.position = lsn;
        self.take_legs(record);
        if !record.result.is_executed() {
            return;
        }
        match Operation::try_from(&record.asked()) {
            Ok(Operation::DepositCredit { player, asset, amount, chain, .. }) if chain == self.chain => {
                self.credits.insert(record.request.id.0, Credit { player, asset, left: amount.0, lsn });
                self.sum(asset).credited += amount.0 as i128;
            }
            Ok(
                Operation::DepositReverse { asset, amount, deposit, chain, .. }
                | Operation::Chargeback { asset, amount, deposit, chain, .. },
            ) if chain == self.chain => {
                if let Some(credit) = self.credits.get_mut(&deposit.0) {
                    credit.left = credit.left.saturating_sub(amount.0);
                }
                self.sum(asset).credited -= amount.0 as i128;
            }
            Ok(Operation::WithdrawRequest { asset, amount, chain, .. }) if chain != self.chain => {
                self.elsewhere.insert(record.request.id.0, (asset.0, amount.0 as i128));
                self.sum(asset).open += amount.0 as i128;
            }
            Ok(Operation::WithdrawSettle { withdrawal, transaction, chain, .. }) if chain == self.chain => {
                if let Some(payment) = self.payments.get_mut(&withdrawal.0) {
                    payment.settled_by = Some(TransactionId(transaction));
                }
            }
            Ok(
                Operation::WithdrawSettle { withdrawal, .. }
                | Operation::WithdrawCancel { withdrawal, .. }
                | Operation::WithdrawRelease { withdrawal, .. },
            ) => self.ended_elsewhere(withdrawal),
            _ => {}
        }
        if let Some(fact) = self.reader.read(self.chain, record) {
            self.take_fact(&fact, record);
        }
    }

    /// A record after the position of these books. Only what was signed matters: it can be on the chain already.
    pub fn take_later(&mut self, record: &Record) {
        if let Some(LedgerFact::Signed { transaction, .. }) = self.reader.clone().read(self.chain, record) {
            self.later.insert(transaction);
        }
    }

    /// Whether a transaction was signed after this position.
    #[must_use]
    pub fn was_signed_later(&self, transaction: u128) -> bool {
        self.later.contains(&transaction)
    }

    /// Whether a transaction is of a withdrawal that has not ended at this position.
    #[must_use]
    pub fn is_open(&self, transaction: TransactionId) -> bool {
        let is_it = |payment: &&Payment| payment.signed.contains(&prefix(transaction));
        self.was_signed_later(prefix(transaction))
            || self.payments.values().find(is_it).is_some_and(|payment| payment.ended.is_none())
    }

    fn sum(&mut self, asset: AssetId) -> &mut Sums {
        self.sums.entry(asset.0).or_default()
    }

    fn ended_elsewhere(&mut self, id: RequestId) {
        if let Some((asset, amount)) = self.elsewhere.remove(&id.0) {
            self.sum(AssetId(asset)).open -= amount;
        }
    }

    fn take_legs(&mut self, record: &Record) {
        let chain = u64::from(self.chain);
        for leg in record.legs() {
            let amount = leg.amount.0 as i128;
            for (account, change) in [(leg.debit, -amount), (leg.credit, amount)] {
                self.take_leg(account, change, chain);
            }
        }
    }

    fn take_leg(&mut self, account: AccountId, change: i128, chain: u64) {
        let sums = self.sums.entry(account.asset().0).or_default();
        match account.purse() {
            Some(Purse::Withdrawing) => sums.withdrawing += change,
            Some(Purse::DepositClearing) if account.owner() == chain => sums.deposit_clearing += change,
            Some(Purse::WithdrawalClearing) if account.owner() == chain => sums.withdrawal_clearing += change,
            _ => {}
        }
    }

    fn take_fact(&mut self, fact: &LedgerFact, record: &Record) {
        match *fact {
            LedgerFact::Assigned { number, player } => {
                self.players.insert(number, player);
            }
            LedgerFact::Requested { id, asset, amount, fee, destination, .. } => {
                let (to, signed) = (destination_address(&destination), Vec::new());
                let (amount, fee) = (amount.0, fee.0);
                let payment = Payment {
                    asset,
                    amount,
                    fee,
                    to,
                    approved_s: None,
                    signed,
                    settled_by: None,
                    ended: None,
                };
                self.payments.insert(id.0, payment);
                self.sum(asset).open += amount as i128;
            }
            LedgerFact::Approved(id) => {
                if let Some(payment) = self.payments.get_mut(&id.0) {
                    payment.approved_s = Some(record.decided.0 / 1_000_000_000);
                }
            }
            LedgerFact::Signed { id, transaction, .. } => {
                self.payments.entry(id.0).and_modify(|payment| payment.signed.push(transaction));
            }
            LedgerFact::Settled(id) => self.end(id, Paid::Settled),
            LedgerFact::GivenUp(id) => self.end(id, Paid::GivenUp),
            LedgerFact::Reversed { .. } => {}
        }
    }

    fn end(&mut self, id: RequestId, how: Paid) {
        let Some(payment) = self.payments.get_mut(&id.0) else { return };
        payment.ended = Some(how);
        let (asset, amount, fee) = (payment.asset, payment.amount as i128, payment.fee as i128);
        let sums = self.sum(asset);
        sums.open -= amount;
        if how == Paid::Settled {
            sums.settled += amount - fee;
        }
    }
}
