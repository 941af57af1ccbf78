//! Looking at a chain from the first block that matters to a last one, with nothing but the chain.
//!
//! In: a chain, the accounts that are ours. Out: all that they received and sent, what they hold, or a fault. Blocks must
//! hang on each other, and the last one must be the one that was asked for. Never here: what a bridge remembers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Scan, Terms};
use crate::rpc::Fault;
use crate::source::{ChainSource, Interest};
use crate::types::{Address, BlockRef, Coin, Quantity, Tips};

struct Ours {
    accounts: BTreeSet<Address>,
    wallet: Option<Address>,
}

impl Interest for Ours {
    fn is_watched(&self, address: &Address) -> bool {
        self.accounts.contains(address)
    }

    fn is_ours(&self, address: &Address) -> bool {
        self.wallet == Some(*address)
    }
}

/// Looks at all blocks from `start_height` to the newest of `tips`.
///
/// # Errors
/// [`Fault`] if a block cannot be seen whole, or the chain changed its mind meanwhile.
pub async fn scan(
    chain: &impl ChainSource,
    terms: &Terms,
    start_height: u64,
    tips: &Tips,
) -> Result<Scan, Fault> {
    let accounts = terms.addresses.values().copied().chain(terms.wallet).collect();
    let ours = Ours { accounts, wallet: terms.wallet };
    let mut found = Scan {
        chain: chain.name().to_owned(),
        tips: *tips,
        inflows: Vec::new(),
        outflows: Vec::new(),
        holdings: BTreeMap::new(),
        tokens: BTreeMap::new(),
        unseen: Vec::new(),
    };
    let mut before: Option<BlockRef> = None;
    for height in start_height..=tips.latest.height {
        let gone = || Fault::Gone { height, hash: "at this height".to_owned() };
        let block = chain.block_at(height).await?.ok_or_else(gone)?;
        if before.is_some_and(|before| before.hash != block.parent) {
            return Err(gone());
        }
        let contents = chain.contents(&block, &ours).await?;
        found.inflows.extend(contents.inflows.into_iter().map(|inflow| (block, inflow)));
        found.outflows.extend(contents.outflows.into_iter().map(|outflow| (block, outflow)));
        before = Some(block);
    }
    if before.is_some_and(|last| last.hash != tips.latest.hash) {
        return Err(Fault::Gone { height: tips.latest.height, hash: tips.latest.hash.to_string() });
    }
    for rule in &terms.coins {
        for account in &ours.accounts {
            if let Quantity::Units(units) = chain.holding(&tips.latest, *account, rule.coin).await? {
                found.holdings.entry(*account).or_default().insert(rule.coin, units);
            }
        }
        if let Coin::Token(contract) = rule.coin {
            found.tokens.insert(contract, chain.token(contract).await?);
        }
    }
    Ok(found)
}
