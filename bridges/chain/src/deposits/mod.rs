//! Deposits, from the first sight of a transfer to its credit, and back.
//!
//! In: blocks with what they hold, blocks that were given up, how far the chain is, answers of the screening and of the
//! ledger. Out: what is due: screen it, credit it, take it back. Never here: a clock, a network, the ledger, the disk.
//!
//! ```text
//!  seen --> pending --final--> screening --> crediting --> credited
//!             |                                              |  block given up
//!             '- block given up: forgotten                   v
//!                                                        reversing --> reversed --> (seen again: a new incarnation)
//! ```
//!
//! What is due is a function of the rows alone. So nothing is lost when the process is killed: rows are durable before
//! anybody is asked, and whoever starts again asks again, under the same keys.

mod rules;

use std::collections::BTreeMap;

use cage_client::permanent_key;
use cage_engine::{Amount, AssetId, Lsn, PlayerId, RequestId};
use serde::{Deserialize, Serialize};

pub use rules::{CoinRule, Finality, Tier, Worth};

use crate::types::{Address, BlockRef, Coin, Inflow, Quantity, Tips, TransferId};

/// One transfer to an address of a player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// The transfer, as the chain has it.
    pub inflow: Inflow,
    /// The block that holds it.
    pub block: BlockRef,
    /// Whose address it is.
    pub player: u64,
    /// The ledger's asset; 0 if the coin is unknown.
    pub asset: u16,
    /// What is credited.
    pub amount: u128,
    /// What is too little for the ledger's scale, in units of the coin.
    pub residue_units: u128,
    /// How often it was credited and taken back before.
    pub incarnation: u32,
    /// Whether somebody has to look at it: then it is credited as locked. Once said it stays, since it is a part of
    /// what the ledger is asked.
    pub review: bool,
    /// Where it stands.
    pub stage: Stage,
}

/// Where a deposit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Seen, not final.
    Pending,
    /// Final; it is being looked at.
    Screening,
    /// The ledger is being asked, and may have credited it already.
    Crediting,
    /// The ledger has credited it.
    Credited {
        /// With this record.
        lsn: u64,
    },
    /// The ledger has credited it, and the block was given up.
    Reversing,
    /// The ledger has taken it back.
    Reversed {
        /// With this record.
        lsn: u64,
        /// Whether not all of it was there: the player owes the rest.
        shortfall: bool,
    },
    /// It is not credited, and why.
    Kept(Reason),
}

/// Why a transfer is not credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Less than the least deposit, or than the ledger's smallest unit.
    Dust,
    /// Nobody listed this token.
    UnknownToken,
    /// More than the ledger can hold.
    TooGreat,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Have it looked at.
    Screen(TransferId),
    /// Ask the ledger to credit it.
    Credit {
        /// Which transfer.
        id: TransferId,
        /// Under which key.
        key: RequestId,
        /// To whom.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// How much.
        amount: Amount,
        /// Whether it is to be locked for review.
        review: bool,
    },
    /// Ask the ledger to take it back.
    Reverse {
        /// Which transfer.
        id: TransferId,
        /// Under which key.
        key: RequestId,
        /// The key of the credit.
        deposit: RequestId,
        /// From whom.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// How much.
        amount: Amount,
    },
}

/// What the screening says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it.
    Pass,
    /// Somebody has to look at it: it is credited as locked.
    Review,
}

/// The key under which a transfer is credited: the outside fact, and how often it was taken back before.
#[must_use]
pub fn credit_key(chain: &str, id: &TransferId, incarnation: u32) -> RequestId {
    let (ordinal, again) = (id.ordinal.to_le_bytes(), incarnation.to_le_bytes());
    let fact: [&[u8]; 4] = [b"deposit_credit", chain.as_bytes(), &id.transaction.0, &ordinal];
    if incarnation == 0 { permanent_key(&fact) } else { permanent_key(&[&fact[..], &[&again]].concat()) }
}

/// The key under which a credit is taken back.
#[must_use]
pub fn reverse_key(chain: &str, id: &TransferId, incarnation: u32) -> RequestId {
    let (ordinal, again) = (id.ordinal.to_le_bytes(), incarnation.to_le_bytes());
    permanent_key(&[b"deposit_reverse", chain.as_bytes(), &id.transaction.0, &ordinal, &again])
}

/// All deposits of a chain that can still change.
#[derive(Clone, Debug, Default)]
pub struct Deposits {
    chain: String,
    rules: BTreeMap<Coin, CoinRule>,
    rows: BTreeMap<TransferId, Deposit>,
    /// Rows that changed since they were last written down.
    changed: Vec<TransferId>,
}

/// A row that is to be written down; nothing in it if it is to be forgotten.
pub type Change = (TransferId, Option<Deposit>);

impl Deposits {
    /// The deposits of a chain, with those that were written down.
    #[must_use]
    pub fn new(chain: &str, rules: Vec<CoinRule>, known: impl IntoIterator<Item = Deposit>) -> Self {
        let rules = rules.into_iter().map(|rule| (rule.coin, rule)).collect();
        let rows = known.into_iter().map(|row| (row.inflow.id, row)).collect();
        Self { chain: chain.to_owned(), rules, rows, changed: Vec::new() }
    }

    /// The rule of a coin.
    #[must_use]
    pub fn rule(&self, coin: &Coin) -> Option<&CoinRule> {
        self.rules.get(coin)
    }

    /// Rows, by transfer.
    pub fn rows(&self) -> impl Iterator<Item = &Deposit> {
        self.rows.values()
    }

    /// One row.
    #[must_use]
    pub fn row(&self, id: &TransferId) -> Option<&Deposit> {
        self.rows.get(id)
    }

    /// What is to be written down, together with the block that it comes from, before anything that is due is done.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().map(|id| (id, self.rows.get(&id).cloned())).collect()
    }

    fn set(&mut self, id: TransferId, stage: Stage) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.stage = stage;
            self.changed.push(id);
        }
    }

    /// A block was connected that holds these transfers, each with its player and with how often the ledger has taken
    /// it back before.
    pub fn connect(&mut self, block: &BlockRef, found: impl IntoIterator<Item = (Inflow, PlayerId, u32)>) {
        for (inflow, player, taken_back) in found {
            let known = self.rows.get(&inflow.id).map(|row| (row.stage, row.incarnation));
            match known {
                // It has only moved to another block: what was credited stays credited.
                Some((Stage::Reversing, _)) => {
                    let Some(row) = self.rows.get_mut(&inflow.id) else { continue };
                    row.block = *block;
                    self.set(inflow.id, Stage::Crediting);
                }
                Some((Stage::Reversed { .. }, incarnation)) => {
                    self.open(block, inflow, player, taken_back.max(incarnation + 1));
                }
                None => self.open(block, inflow, player, taken_back),
                Some(_) => {}
            }
        }
    }

    fn open(&mut self, block: &BlockRef, inflow: Inflow, player: PlayerId, incarnation: u32) {
        // Nothing moved: contracts may say so as often as they like.
        if inflow.quantity == Quantity::Units(0) {
            return;
        }
        let rule = self.rules.get(&inflow.coin);
        let asset = rule.map_or(0, |rule| rule.asset.0);
        let kept = |reason| (0, 0, Stage::Kept(reason));
        let (amount, residue_units, stage) = match rule.map(|rule| rule.worth(inflow.quantity)) {
            Some(Worth::Amount { amount, residue_units }) => (amount.0, residue_units, Stage::Pending),
            Some(Worth::Dust) => kept(Reason::Dust),
            Some(Worth::TooGreat) => kept(Reason::TooGreat),
            None => kept(Reason::UnknownToken),
        };
        let player = player.number();
        let row = Deposit {
            inflow,
            block: *block,
            player,
            asset,
            amount,
            residue_units,
            incarnation,
            review: false,
            stage,
        };
        self.rows.insert(inflow.id, row);
        self.changed.push(inflow.id);
    }

    /// The newest block was given up.
    pub fn disconnect(&mut self, block: &BlockRef) {
        let gone: Vec<_> = self
            .rows
            .values()
            .filter(|row| row.block.hash == block.hash)
            .map(|row| (row.inflow.id, row.stage))
            .collect();
        for (id, stage) in gone {
            match stage {
                Stage::Pending | Stage::Screening | Stage::Kept(_) => {
                    self.rows.remove(&id);
                    self.changed.push(id);
                }
                // Asked and not answered is as good as credited: it is found out when it is taken back.
                Stage::Crediting | Stage::Credited { .. } => self.set(id, Stage::Reversing),
                Stage::Reversing | Stage::Reversed { .. } => {}
            }
        }
    }

    /// The chain has come so far. Only to be told when the newest connected block is on the chain.
    pub fn tips(&mut self, tips: &Tips) {
        let is_final = |row: &Deposit| {
            let Quantity::Units(units) = row.inflow.quantity else { return false };
            let rule = self.rules.get(&row.inflow.coin);
            rule.is_some_and(|rule| rule.finality(units).reached(row.block.height, tips))
        };
        let ripe: Vec<_> = self
            .rows
            .values()
            .filter(|row| row.stage == Stage::Pending && is_final(row))
            .map(|row| row.inflow.id)
            .collect();
        for id in ripe {
            self.set(id, Stage::Screening);
        }
    }

    /// The screening has answered.
    pub fn screened(&mut self, id: &TransferId, verdict: Verdict) {
        if self.rows.get(id).is_some_and(|row| row.stage == Stage::Screening) {
            if let Some(row) = self.rows.get_mut(id) {
                row.review = verdict == Verdict::Review;
            }
            self.set(*id, Stage::Crediting);
        }
    }

    /// The ledger has credited it, now or before.
    pub fn credited(&mut self, id: &TransferId, lsn: Lsn) {
        if self.rows.get(id).is_some_and(|row| row.stage == Stage::Crediting) {
            self.set(*id, Stage::Credited { lsn: lsn.0 });
        }
    }

    /// The ledger has taken it back, now or before.
    pub fn reversed(&mut self, id: &TransferId, lsn: Lsn, shortfall: bool) {
        if self.rows.get(id).is_some_and(|row| row.stage == Stage::Reversing) {
            self.set(*id, Stage::Reversed { lsn: lsn.0, shortfall });
        }
    }

    /// The ledger knows nothing of the credit that was to be taken back: the answer that was lost was a refusal, or
    /// the question never arrived.
    pub fn never_credited(&mut self, id: &TransferId) {
        if self.rows.get(id).is_some_and(|row| row.stage == Stage::Reversing) {
            self.rows.remove(id);
            self.changed.push(*id);
        }
    }

    /// What is due. `caught_up`: the newest block of the chain is connected; before that nothing is taken back, since
    /// the transfer may lie in a block to come.
    #[must_use]
    pub fn due(&self, caught_up: bool) -> Vec<Due> {
        self.rows.values().filter_map(|row| self.due_of(row, caught_up)).collect()
    }

    fn due_of(&self, row: &Deposit, caught_up: bool) -> Option<Due> {
        let id = row.inflow.id;
        let (asset, amount) = (AssetId(row.asset), Amount(row.amount));
        let player = PlayerId::new(row.player).ok()?;
        let deposit = credit_key(&self.chain, &id, row.incarnation);
        match row.stage {
            Stage::Screening => Some(Due::Screen(id)),
            Stage::Crediting => {
                Some(Due::Credit { id, key: deposit, player, asset, amount, review: row.review })
            }
            Stage::Reversing if caught_up => {
                let key = reverse_key(&self.chain, &id, row.incarnation);
                Some(Due::Reverse { id, key, deposit, player, asset, amount })
            }
            _ => None,
        }
    }

    /// Takes rows out of memory that no reorganisation can reach any more; on disk they stay.
    pub fn forget_settled(&mut self, below_height: u64) {
        self.rows.retain(|_, row| {
            let ended = matches!(row.stage, Stage::Credited { .. } | Stage::Reversed { .. } | Stage::Kept(_));
            !ended || row.block.height >= below_height
        });
    }

    /// What the address of each player is waiting for, for those who show it.
    pub fn pending(&self) -> impl Iterator<Item = (&Deposit, Address)> {
        self.rows.values().filter(|row| row.stage == Stage::Pending).map(|row| (row, row.inflow.to))
    }
}
