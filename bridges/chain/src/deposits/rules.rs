//! When a deposit counts, and for how much.
//!
//! In: the settings of a coin, a quantity. Out: an amount of the ledger with what is left over, how deep a block has
//! to lie. Never here: rounding up, a floating point.

use cage_engine::{Amount, AssetId};
use serde::{Deserialize, Serialize};

use crate::types::{Coin, Quantity, Tips};

/// How a block becomes final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finality {
    /// When so many blocks, its own included, lie on top of each other.
    Confirmations(u64),
    /// When the chain calls it safe.
    Safe,
    /// When the chain calls it final.
    Finalized,
}

impl Finality {
    /// Whether a block at this height is final.
    #[must_use]
    pub fn reached(self, height: u64, tips: &Tips) -> bool {
        match self {
            Self::Confirmations(count) => (tips.latest.height + 1).saturating_sub(height) >= count,
            Self::Safe => tips.safe.is_some_and(|safe| safe >= height),
            Self::Finalized => tips.finalized.is_some_and(|finalized| finalized >= height),
        }
    }
}

/// From which quantity on which finality is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The least quantity that it holds for.
    pub from_units: u128,
    /// What is asked.
    pub finality: Finality,
}

/// What is credited of a coin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinRule {
    /// Which coin.
    pub coin: Coin,
    /// The ledger's asset.
    pub asset: AssetId,
    /// Decimals of a quantity on the chain.
    pub decimals: u8,
    /// Decimals of an amount in the ledger.
    pub scale: u8,
    /// Less than that is dust: it is written down and not credited.
    pub deposit_min_units: u128,
    /// Ascending; the last one that is reached holds.
    pub tiers: Vec<Tier>,
    /// The contract keeps a part of what is sent: what arrived is measured by balances.
    pub by_balance: bool,
}

/// What a quantity is worth in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// So much; what is too little for the ledger's scale is left over.
    Amount {
        /// What is credited.
        amount: Amount,
        /// What is not, in units of the coin.
        residue_units: u128,
    },
    /// Too little.
    Dust,
    /// More than the ledger can hold.
    TooGreat,
}

impl CoinRule {
    /// What a quantity is worth: the floor.
    #[must_use]
    pub fn worth(&self, quantity: Quantity) -> Worth {
        let Quantity::Units(units) = quantity else { return Worth::TooGreat };
        if units < self.deposit_min_units {
            return Worth::Dust;
        }
        let power = |digits: u8| 10_u128.checked_pow(u32::from(digits));
        let (amount, residue_units) = if self.decimals >= self.scale {
            match power(self.decimals - self.scale) {
                Some(unit) => (Some(units / unit), units % unit),
                None => (Some(0), units),
            }
        } else {
            (power(self.scale - self.decimals).and_then(|unit| units.checked_mul(unit)), 0)
        };
        match amount {
            Some(0) => Worth::Dust,
            Some(amount) if amount <= Amount::MAX.0 => {
                Worth::Amount { amount: Amount(amount), residue_units }
            }
            _ => Worth::TooGreat,
        }
    }

    /// An amount of the ledger in units of the coin; nothing if it is not a whole number of them, or too many.
    #[must_use]
    pub fn units(&self, amount: Amount) -> Option<u128> {
        let power = |digits: u8| 10_u128.checked_pow(u32::from(digits));
        if self.decimals >= self.scale {
            amount.0.checked_mul(power(self.decimals - self.scale)?)
        } else {
            let unit = power(self.scale - self.decimals)?;
            amount.0.is_multiple_of(unit).then(|| amount.0 / unit)
        }
    }

    /// What is asked of the block of so much.
    #[must_use]
    pub fn finality(&self, units: u128) -> Finality {
        let tier = self.tiers.iter().rev().find(|tier| units >= tier.from_units);
        // The configuration has a tier from 0; without one nothing is final before the chain says so.
        tier.map_or(Finality::Finalized, |tier| tier.finality)
    }
}
