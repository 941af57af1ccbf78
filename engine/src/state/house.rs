//! The house's accounts: a few per provider, chain and asset.

use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use crate::account::AccountId;
use crate::amount::Balance;

/// Account numbers are the ledger's own, so nobody can aim them at one bucket: multiplying is enough.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccountHasher(u64);

impl Hasher for AccountHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[derive(Debug)]
pub(crate) struct House {
    accounts: HashMap<AccountId, Balance, BuildHasherDefault<AccountHasher>>,
}

impl House {
    pub(crate) const fn new() -> Self {
        Self { accounts: HashMap::with_hasher(BuildHasherDefault::new()) }
    }

    pub(crate) fn balance(&self, account: AccountId) -> Balance {
        self.accounts.get(&account).copied().unwrap_or_default()
    }

    pub(crate) fn balance_mut(&mut self, account: AccountId) -> &mut Balance {
        self.accounts.entry(account).or_default()
    }

    /// In no particular order: nothing that can be seen may depend on it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountId, Balance)> {
        self.accounts.iter().map(|(account, held)| (*account, *held))
    }
}
