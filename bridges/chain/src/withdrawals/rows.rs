//! What is known of a withdrawal, and what can be due for it.
//!
//! In and out: rows that are written down and read again. Never here: what is due when.

use std::collections::BTreeSet;

use cage_engine::{AssetId, PlayerId, RequestId};
use serde::{Deserialize, Serialize};

use super::Concern;
use crate::ethers::Transfer;
use crate::types::{Address, BlockRef, Coin, Outflow, Quantity, TransactionId};

/// One withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Its name: the id of its request.
    pub id: u128,
    /// Whose.
    pub player: u64,
    /// Of what.
    pub asset: u16,
    /// How much was set aside.
    pub amount: u128,
    /// How much of it the house keeps.
    pub fee: u128,
    /// Who is paid.
    pub to: Option<Address>,
    /// In what.
    pub coin: Option<Coin>,
    /// How much arrives, in the coin's units.
    pub units: u128,
    /// Whether it may be paid.
    pub approved: bool,
    /// What speaks against it now.
    pub concern: Option<Concern>,
    /// The wallet's slot that is its own.
    pub slot: Option<u64>,
    /// When it was bound to its slot, by the chain's clock.
    pub bound_s: u64,
    /// Its transactions, the oldest first.
    pub attempts: Vec<Attempt>,
    /// The one that is in a block.
    pub mined: Option<Mined>,
    /// How it ended.
    pub ended: Option<Ended>,
}

/// A transaction of a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What it says; nothing if all that is left of it is the ledger's record.
    pub transfer: Option<Transfer>,
    /// Its bytes, once it is signed.
    pub raw: Option<Vec<u8>>,
    /// Its name, once it is signed.
    pub transaction: Option<TransactionId>,
    /// The first 16 bytes of its name, as the ledger has them, once it is on record.
    pub recorded: Option<u128>,
    /// The height at which it was last sent.
    pub sent_height: Option<u64>,
    /// The height at which it was first sent.
    pub first_sent_height: Option<u64>,
}

/// Where a transaction of a withdrawal was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mined {
    /// Which.
    pub transaction: TransactionId,
    /// The block.
    pub block: BlockRef,
    /// Whether it did what it should.
    pub succeeded: bool,
    /// What it cost.
    pub fee: u128,
}

/// How a withdrawal ended, in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Paid.
    Settled,
    /// Given up: the money is the player's again.
    GivenUp,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Find out what it costs and whether it is there, then [`plan`](super::Withdrawals::plan) it.
    Plan(RequestId),
    /// Sign it.
    Sign(RequestId, Transfer),
    /// Have the ledger write it down. Only then it may be sent.
    Record {
        /// The withdrawal.
        id: RequestId,
        /// Under which key.
        key: RequestId,
        /// Whose.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// The slot that is used up.
        slot: u64,
        /// The most that it costs.
        cost_max: u128,
        /// The transaction.
        transaction: TransactionId,
    },
    /// Send it, or send it again.
    Send {
        /// The withdrawal.
        id: RequestId,
        /// The transaction.
        transaction: TransactionId,
        /// Its bytes.
        raw: Vec<u8>,
    },
    /// It is stuck: [`replace`](super::Withdrawals::replace) it.
    Replace(RequestId),
    /// Tell the ledger that it was paid.
    Settle {
        /// The withdrawal.
        id: RequestId,
        /// Under which key.
        key: RequestId,
        /// Whose.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// By which transaction.
        transaction: TransactionId,
    },
    /// Tell the ledger that it can never be paid: its slot was used up by a transaction that failed.
    Release {
        /// The withdrawal.
        id: RequestId,
        /// Whose.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// The transaction that failed.
        evidence: TransactionId,
    },
}

/// The wallet's account was used by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error(
    "slot {slot} of the wallet was used by transaction {transaction}, which is none of ours: somebody else has the wallet's key, or a second bridge pays"
)]
pub struct ForeignSlot {
    /// Which slot.
    pub slot: u64,
    /// By which transaction.
    pub transaction: TransactionId,
}

/// The slots of a wallet, to be written down with the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// The next one that was never bound.
    pub next: u64,
    /// Those that were bound and never used.
    pub free: BTreeSet<u64>,
}

/// The first 16 bytes of a transaction's name, as the ledger keeps them.
#[must_use]
pub fn prefix(transaction: TransactionId) -> u128 {
    transaction.0.first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// The address in a withdrawal's destination: its first 20 bytes, the others zero. The zero address is none.
#[must_use]
pub fn destination_address(destination: &[u8; 32]) -> Option<Address> {
    let (address, rest) = destination.split_at(20);
    let address = Address(address.try_into().ok()?);
    (rest == [0; 12] && address != Address::default()).then_some(address)
}

impl Withdrawal {
    pub(super) fn is(&self, transaction: TransactionId) -> bool {
        self.attempts.iter().any(|attempt| match attempt.transaction {
            Some(known) => known == transaction,
            None => attempt.recorded == Some(prefix(transaction)),
        })
    }

    /// Whether something of it may be on its way.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.recorded.is_some())
    }
}

impl Attempt {
    /// One of which nothing is known.
    pub const EMPTY: Self = Self {
        transfer: None,
        raw: None,
        transaction: None,
        recorded: None,
        sent_height: None,
        first_sent_height: None,
    };
}

/// How much a plain transfer moved, if it is one of this withdrawal's kind.
#[must_use]
pub fn pays(row: &Withdrawal, outflow: &Outflow) -> bool {
    let Some((to, coin, Quantity::Units(units))) = outflow.moved else { return false };
    row.to == Some(to) && row.coin == Some(coin) && row.units == units
}
