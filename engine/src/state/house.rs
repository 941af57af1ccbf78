//! The house's accounts: a few per provider, chain and asset, and one for each player who owes it something.

use alloc::collections::BTreeMap;
use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use crate::account::{AccountId, Purse};
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
    /// What players owe, one account for each: as many as there are players who ever did, and so in an order that a list of them
    /// can be told in, page by page.
    receivables: BTreeMap<AccountId, Balance>,
}

impl House {
    pub(crate) const fn new() -> Self {
        Self { accounts: HashMap::with_hasher(BuildHasherDefault::new()), receivables: BTreeMap::new() }
    }

    pub(crate) fn balance(&self, account: AccountId) -> Balance {
        let held = if account.is_of(Purse::Receivable) {
            self.receivables.get(&account)
        } else {
            self.accounts.get(&account)
        };
        held.copied().unwrap_or_default()
    }

    pub(crate) fn balance_mut(&mut self, account: AccountId) -> &mut Balance {
        if account.is_of(Purse::Receivable) {
            self.receivables.entry(account).or_default()
        } else {
            self.accounts.entry(account).or_default()
        }
    }

    /// In no particular order: nothing that can be seen may depend on it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountId, Balance)> {
        self.accounts.iter().chain(&self.receivables).map(|(account, held)| (*account, *held))
    }

    /// What players owe or owed, by asset and player, from an account on.
    pub(crate) fn receivables_from(&self, from: AccountId) -> impl Iterator<Item = (AccountId, Balance)> {
        self.receivables.range(from..).map(|(account, held)| (*account, *held))
    }
}
