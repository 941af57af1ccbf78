//! What is paid without anybody looking at it again.
//!
//! In: a withdrawal, what else was paid lately. Out: what speaks against it. Never here: the ledger's own gates, which
//! were passed before.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::types::{Address, Coin, TransactionId};

/// The bounds of one coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The coin.
    pub coin: Coin,
    /// The most that one withdrawal may be, in units.
    pub one_max_units: u128,
    /// The most that all withdrawals within a day may be, in units.
    pub day_max_units: u128,
}

/// The policy of a wallet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// By coin; a coin without a bound is not paid.
    pub bounds: Vec<Bound>,
    /// Accounts that are never paid: token contracts, the casino's own.
    pub refused: BTreeSet<Address>,
    /// Transactions of the wallet that people made by hand, and say so: to the cold wallet, for instance.
    pub declared: BTreeSet<TransactionId>,
    /// The most that is offered for a unit of work.
    pub fee_max: u128,
    /// After how many blocks a transaction that is in none is replaced by a dearer one.
    pub stuck_blocks: u64,
}

/// What speaks against a payment. Somebody has to look at it, or it passes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Concern {
    /// The destination is no address of this chain, or none that can be paid.
    Destination,
    /// The destination is an account of the casino's, or a token's contract.
    OwnDestination,
    /// The asset is no coin of this chain.
    UnknownCoin,
    /// The amount is no whole number of the coin's units.
    NotWhole,
    /// One withdrawal of so much is too great.
    OverOne,
    /// With it too much would be paid within a day. It passes by itself.
    OverDay,
    /// The ledger does not let it be signed now: the player is frozen, held up or owes. It passes by itself.
    Ledger(u16),
    /// A deposit of the player was taken back after it was credited, not long ago. It passes by itself.
    Reorganised,
    /// The wallet has not enough, of the coin or for the fee. It passes by itself.
    WalletShort,
    /// The fee that is needed now is over the policy's bound. It passes by itself.
    FeeTooHigh,
}

impl Concern {
    /// Whether it is looked at again without anybody doing something here.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(
            self,
            Self::OverDay | Self::Reorganised | Self::Ledger(_) | Self::WalletShort | Self::FeeTooHigh
        )
    }
}
