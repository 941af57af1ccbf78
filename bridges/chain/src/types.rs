//! Words that every chain shares: addresses, transactions, blocks, quantities.
//!
//! In: bytes and text. Out: types that cannot be taken for one another. Never here: a rule of one chain, a name of a
//! library.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: expected 0x and {digits} hexadecimal digits")]
pub struct NotHex {
    text: String,
    what: &'static str,
    digits: usize,
}

fn parse_hex<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], NotHex> {
    let fault = || NotHex { text: text.chars().take(80).collect(), what, digits: 2 * N };
    let digits = text.strip_prefix("0x").ok_or_else(fault)?.as_bytes();
    if digits.len() != 2 * N {
        return Err(fault());
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or_else(fault)?;
        *byte = (high << 4 | low) as u8;
    }
    Ok(bytes)
}

/// Bytes as `0x` and hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once("0x".to_owned()).chain(digits).collect()
}

macro_rules! hex_type {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                parse_hex(text, $what).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_type!(
    /// An account of a chain.
    Address, 20, "address"
);
hex_type!(
    /// The name of a transaction: the hash of its bytes.
    TransactionId, 32, "transaction"
);
hex_type!(
    /// The name of a block.
    BlockHash, 32, "block hash"
);

/// A block by its place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// How many blocks lie before it.
    pub height: u64,
    /// Its name.
    pub hash: BlockHash,
    /// The name of the block before it.
    pub parent: BlockHash,
    /// When it was made, in seconds since 1970, as its maker says.
    pub time_s: u64,
}

/// How much of a coin moved, in the coin's smallest unit. Chains have 256 bits for it, and some tokens use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quantity {
    /// So much.
    Units(u128),
    /// More than 128 bits: no amount of money that a ledger could hold.
    TooGreat,
}

/// What moved: the chain's own coin, or a token by its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Coin {
    /// The chain's own.
    Native,
    /// That of a contract.
    Token(Address),
}

impl fmt::Display for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Token(contract) => contract.fmt(f),
        }
    }
}

/// One transfer inside one transaction. This, with the chain, is the outside fact that a deposit is credited for:
/// neither the block nor the place in the block belongs to it, since both change when a chain reorganises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransferId {
    /// The transaction.
    pub transaction: TransactionId,
    /// Which transfer of the transaction: 0 = its own value, 1 + n = its n-th log, 2^31 + n = its n-th inner call.
    pub ordinal: u32,
}

/// A transfer to an address that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inflow {
    /// Which transfer.
    pub id: TransferId,
    /// Who paid.
    pub from: Address,
    /// The watched address.
    pub to: Address,
    /// What.
    pub coin: Coin,
    /// How much arrived.
    pub quantity: Quantity,
}

/// A transaction that an account of ours sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outflow {
    /// Which.
    pub transaction: TransactionId,
    /// The account.
    pub from: Address,
    /// The slot of the account that it used up.
    pub slot: u64,
    /// Whether it did what it was to do. A failed one costs its fee all the same.
    pub succeeded: bool,
    /// What it cost, in the native coin's smallest unit.
    pub fee: u128,
    /// What it moved: the receiver, the coin, how much; nothing if it is no plain transfer.
    pub moved: Option<(Address, Coin, Quantity)>,
}

/// What a block holds for us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Transfers to watched addresses, in the order of the chain.
    pub inflows: Vec<Inflow>,
    /// Transactions of our own accounts.
    pub outflows: Vec<Outflow>,
}

/// How far a chain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tips {
    /// The newest block that enough endpoints know.
    pub latest: BlockRef,
    /// The height that the chain calls safe, if it does so.
    pub safe: Option<u64>,
    /// The height that the chain calls final, if it does so.
    pub finalized: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written_and_nothing_else_is() {
        let text = "0x00000000000000000000000000000000000000ff";
        let address: Address = text.parse().expect("an address");
        assert_eq!(address.to_string(), text);
        for wrong in ["", "0x", "00", &text[2..], "0x0000000000000000000000000000000000000fg", "0xé"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
