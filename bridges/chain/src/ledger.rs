//! What of the ledger's records concerns a chain.
//!
//! In: records of the feed, in their order. Out: facts for the bridge. Never here: a decision, a request.

use std::collections::HashMap;

use cage_engine::{Amount, AssetId, Operation, PlayerId, Record, RequestId, ResultCode, Rule};

/// A fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerFact {
    /// A number of an address was handed out.
    Assigned {
        /// The number.
        number: u32,
        /// To whom.
        player: PlayerId,
    },
    /// A credit was taken back.
    Reversed {
        /// The key of the credit.
        deposit: RequestId,
    },
    /// Money was set aside to be paid out.
    Requested {
        /// The withdrawal's name.
        id: RequestId,
        /// Whose.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// How much, fee included.
        amount: Amount,
        /// How much of it the house keeps.
        fee: Amount,
        /// Who is paid.
        destination: [u8; 32],
    },
    /// A withdrawal may be paid.
    Approved(RequestId),
    /// A transaction of a withdrawal is on record.
    Signed {
        /// The withdrawal.
        id: RequestId,
        /// The slot that it uses up.
        slot: u64,
        /// The first 16 bytes of the transaction's name.
        transaction: u128,
    },
    /// A withdrawal was paid.
    Settled(RequestId),
    /// A withdrawal was given up.
    GivenUp(RequestId),
}

/// Reads records in their order. It remembers what a record does not say itself: the fees in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reader {
    fees: HashMap<u16, u128>,
}

impl Reader {
    /// What a record says about this chain; nothing if nothing.
    pub fn read(&mut self, chain: u32, record: &Record) -> Option<LedgerFact> {
        if !record.result.is_executed() {
            return None;
        }
        let id = record.request.id;
        Some(match Operation::try_from(&record.asked()).ok()? {
            Operation::SetRule { rule: Rule::WithdrawFee, scope, value } => {
                self.fees.insert(u16::try_from(scope).ok()?, value);
                return None;
            }
            Operation::AssignAddress { player, chain: named, .. } if named == chain => {
                LedgerFact::Assigned { number: u32::try_from(record.handed_out()?).ok()?, player }
            }
            Operation::DepositReverse { deposit, chain: named, .. } if named == chain => {
                LedgerFact::Reversed { deposit: RequestId(deposit.0) }
            }
            Operation::WithdrawRequest { player, asset, amount, chain: named, destination, .. }
                if named == chain =>
            {
                let fee = Amount(self.fees.get(&asset.0).copied().unwrap_or(0));
                LedgerFact::Requested { id, player, asset, amount, fee, destination }
            }
            // The first of two approvals is none yet.
            Operation::WithdrawApprove { withdrawal, .. } if record.result != ResultCode::OneMore => {
                LedgerFact::Approved(withdrawal)
            }
            Operation::WithdrawSigned { withdrawal, chain: named, slot, transaction, .. }
                if named == chain =>
            {
                LedgerFact::Signed { id: withdrawal, slot: u64::try_from(slot).ok()?, transaction }
            }
            Operation::WithdrawSettle { withdrawal, chain: named, .. } if named == chain => {
                LedgerFact::Settled(withdrawal)
            }
            Operation::WithdrawCancel { withdrawal, .. } | Operation::WithdrawRelease { withdrawal, .. } => {
                LedgerFact::GivenUp(withdrawal)
            }
            _ => return None,
        })
    }
}
