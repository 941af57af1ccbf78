//! Whose address is whose.
//!
//! In: numbers that the ledger handed out, an extended public key. Out: addresses, players, what to show a player.
//! Never here: a private key, a number that no durable record names.

use std::collections::HashMap;

use cage_engine::PlayerId;

use crate::ethers::{AddressKey, BadKey, checksummed};
use crate::types::{Address, Coin};

/// The addresses of a chain that deposits are credited for.
#[derive(Clone, Debug, Default)]
pub struct AddressBook {
    /// The number of each address. Some sixty bytes each, with what the map keeps free.
    numbers: HashMap<Address, u32>,
    /// The player of each number.
    players: HashMap<u32, PlayerId>,
}

impl AddressBook {
    /// Adds an address that the ledger has assigned.
    pub fn add(&mut self, number: u32, address: Address, player: PlayerId) {
        self.numbers.insert(address, number);
        self.players.insert(number, player);
    }

    /// Whose address this is.
    #[must_use]
    pub fn player(&self, address: &Address) -> Option<PlayerId> {
        self.players.get(self.numbers.get(address)?).copied()
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn contains(&self, address: &Address) -> bool {
        self.numbers.contains_key(address)
    }

    /// All of them.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.numbers.keys()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.numbers.len()
    }
}

/// What a player is shown who wants to deposit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Invitation {
    /// Where to send, with the letters of its checksum.
    pub address: String,
    /// The same for wallets (EIP-681), with coin and amount.
    pub uri: String,
}

/// The invitation to send `coin` to the address of this number; `units` if an amount is to be proposed.
///
/// # Errors
/// [`BadKey`] if there is no address of this number.
pub fn invitation(
    key: &AddressKey,
    number: u32,
    chain_id: u64,
    coin: Coin,
    units: Option<u128>,
) -> Result<Invitation, BadKey> {
    let address = checksummed(&key.address(number)?);
    let uri = match coin {
        Coin::Native => {
            let amount = units.map(|units| format!("?value={units}")).unwrap_or_default();
            format!("ethereum:{address}@{chain_id}{amount}")
        }
        Coin::Token(contract) => {
            let amount = units.map(|units| format!("&uint256={units}")).unwrap_or_default();
            format!("ethereum:{}@{chain_id}/transfer?address={address}{amount}", checksummed(&contract))
        }
    };
    Ok(Invitation { address, uri })
}
