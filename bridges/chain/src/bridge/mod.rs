//! One bridge: a chain, the ledger, a wallet, and the file that remembers.
//!
//! In: records of the ledger's feed; turns. Out: deposits credited and taken back, withdrawals paid. Each turn follows
//! the chain some blocks further, makes what it found durable, then does what is due, asking under the same keys until
//! it has an answer. Never here: what is due (the state machines say so), two turns at a time.

mod alarms;
mod drill;
mod paying;

use std::collections::{BTreeSet, HashSet};
use std::future::Future;

use cage_client::engine::{Amount, AssetId, LockReason, Lsn, Operation, Record, RequestId, ResultCode};
use cage_client::{Client, Error, Executed};
use serde::{Deserialize, Serialize};

pub use alarms::{Alarm, Alarms};
pub use drill::Point;

use crate::addresses::AddressBook;
use crate::blocks::{Step, Trail};
use crate::deposits::{CoinRule, Deposit, Deposits, Due, Stage, Verdict, credit_key};
use crate::ethers::{AddressKey, BadKey};
use crate::ledger::{LedgerFact, Reader};
use crate::limits;
use crate::rpc::Fault;
use crate::signer::Signer;
use crate::source::{ChainPayer, ChainSource, Interest};
use crate::store::{Store, StoreFault, Table, Write};
use crate::types::{Address, BlockRef, Coin, Contents, Inflow, Quantity, Tips, TransferId};
use crate::withdrawals::{ForeignSlot, Policy, Slots, Withdrawals};

/// What a bridge asks of the ledger.
pub trait Ledger: Send + Sync {
    /// Asks for an operation. It is on its way when this returns.
    fn ask(
        &self,
        id: RequestId,
        operation: Operation,
    ) -> impl Future<Output = Result<Executed, Error>> + Send;
    /// A new request id.
    fn mint_id(&self) -> RequestId;
    /// The latest durable record. `asset` is any that is open.
    fn position(&self, asset: AssetId) -> impl Future<Output = Result<Lsn, Error>> + Send;
}

impl Ledger for Client {
    fn ask(
        &self,
        id: RequestId,
        operation: Operation,
    ) -> impl Future<Output = Result<Executed, Error>> + Send {
        self.submit_with_id(id, operation)
    }

    fn mint_id(&self) -> RequestId {
        Self::mint_id(self)
    }

    async fn position(&self, asset: AssetId) -> Result<Lsn, Error> {
        self.totals(asset).await.map(|totals| totals.as_of)
    }
}

/// What a bridge has to know besides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The chain's number in the ledger.
    pub chain: u32,
    /// The number that is signed into transactions.
    pub chain_id: u64,
    /// The first block that can hold a deposit.
    pub start_height: u64,
    /// How many blocks may be given up before somebody has to look.
    pub reorg_max: usize,
    /// What is credited and paid.
    pub coins: Vec<CoinRule>,
    /// From which addresses are derived.
    pub address_key: AddressKey,
    /// Deposits from these accounts are locked for review.
    pub suspects: BTreeSet<Address>,
    /// What is paid.
    pub policy: Policy,
    /// For drills: where the process kills itself.
    pub drill: Option<Point>,
}

/// Why a turn was not finished.
#[derive(Debug, thiserror::Error)]
pub enum BridgeFault {
    /// The chain gave no usable answer. Later.
    #[error(transparent)]
    Chain(#[from] Fault),
    /// The ledger gave no answer. Later, under the same ids.
    #[error("the ledger: {0}")]
    Ledger(#[from] Error),
    /// Another bridge has the grant: this one has to end.
    #[error("another bridge was given this chain: this one stops")]
    Fenced,
    /// The own file cannot be written: nothing may be done any more.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// More blocks were given up than are remembered: nothing is credited until somebody has looked.
    #[error("the chain gave up block {oldest} at height {height} and all after it, more than the {depth_max} that are remembered: nothing is credited until an operator has compared the books and started the bridge with an empty store", oldest = oldest.hash, height = oldest.height)]
    TooDeep {
        /// The oldest block that is remembered.
        oldest: BlockRef,
        /// How many may be given up.
        depth_max: usize,
    },
    /// No address can be derived for a number of the ledger.
    #[error(transparent)]
    Address(#[from] BadKey),
}

impl BridgeFault {
    /// Whether trying again cannot help.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Fenced | Self::Store(_) | Self::Address(_))
    }
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Records of the ledger up to this one have to be taken in first.
    NeedsLedger(Lsn),
    /// There is more to do at once.
    Busy,
    /// Everything is done for now.
    Idle,
}

/// Whom a block can concern.
struct Watch<'a> {
    book: &'a AddressBook,
    wallet: Option<Address>,
}

impl Interest for Watch<'_> {
    fn is_watched(&self, address: &Address) -> bool {
        self.book.contains(address)
    }

    fn is_ours(&self, address: &Address) -> bool {
        self.wallet == Some(*address)
    }
}

/// What stops payments until an operator lets them go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tripped {
    /// Why.
    pub reason: String,
}

const TRAIL: &str = "trail";
const POSITION: &str = "position";
const READER: &str = "reader";
const SLOTS: &str = "slots";
const BREAKER: &str = "breaker";

/// Lets the payments of a bridge go on that is not running; gives why they were stopped, if they were.
///
/// # Errors
/// [`StoreFault`]; then they stay stopped.
pub fn lift_breaker(store: &Store) -> Result<Option<Tripped>, StoreFault> {
    let tripped = store.row(Table::Facts, BREAKER.as_bytes())?;
    store.commit(&[Write::take(Table::Facts, BREAKER)])?;
    Ok(tripped)
}

/// A bridge.
#[derive(Debug)]
pub struct Bridge<C, L, S> {
    chain: C,
    ledger: L,
    signer: Option<S>,
    store: Store,
    settings: Settings,
    trail: Trail,
    deposits: Deposits,
    withdrawals: Withdrawals,
    book: AddressBook,
    reversals: HashSet<u128>,
    reader: Reader,
    position: Lsn,
    tripped: Option<Tripped>,
    alarms: Alarms,
}

/// A transfer in its bytes, as a key of the store.
fn row_key(id: &TransferId) -> Vec<u8> {
    [&id.transaction.0[..], &id.ordinal.to_le_bytes()].concat()
}

fn asset_of(coins: &[CoinRule]) -> AssetId {
    coins.first().map_or(AssetId::NONE, |coin| coin.asset)
}

impl<C: ChainSource + ChainPayer, L: Ledger, S: Signer> Bridge<C, L, S> {
    /// A bridge with what its file remembers.
    ///
    /// # Errors
    /// [`StoreFault`] if the file cannot be read.
    pub fn open(
        chain: C,
        ledger: L,
        signer: Option<S>,
        store: Store,
        settings: Settings,
    ) -> Result<Self, StoreFault> {
        fn fact<T: serde::de::DeserializeOwned>(store: &Store, name: &str) -> Result<Option<T>, StoreFault> {
            store.row(Table::Facts, name.as_bytes())
        }
        let trail =
            fact(&store, TRAIL)?.unwrap_or_else(|| Trail::new(settings.start_height, settings.reorg_max));
        let mut book = AddressBook::default();
        for (_, (number, address, player)) in store.rows::<(u32, Address, u64)>(Table::Addresses)? {
            if let Ok(player) = cage_engine::PlayerId::new(player) {
                book.add(number, address, player);
            }
        }
        let rows = store.rows::<Deposit>(Table::Deposits)?.into_iter().map(|(_, row)| row);
        let mut deposits = Deposits::new(chain.name(), settings.coins.clone(), rows);
        deposits.forget_settled(trail.settled_height());
        let slots: Slots = fact(&store, SLOTS)?.unwrap_or_default();
        let rows = store.rows(Table::Withdrawals)?.into_iter().map(|(_, row)| row);
        let (coins, policy) = (settings.coins.clone(), settings.policy.clone());
        let mut withdrawals = Withdrawals::new(settings.chain_id, coins, policy, rows, slots);
        withdrawals.forget_settled(trail.settled_height());
        let reversals = store.rows::<()>(Table::Reversals)?.into_iter();
        let reversals =
            reversals.filter_map(|(key, ())| Some(u128::from_le_bytes(key.try_into().ok()?))).collect();
        let (reader, position) =
            (fact(&store, READER)?.unwrap_or_default(), Lsn(fact(&store, POSITION)?.unwrap_or(0)));
        let tripped = fact(&store, BREAKER)?;
        let alarms = Alarms::default();
        Ok(Self {
            chain,
            ledger,
            signer,
            store,
            settings,
            trail,
            deposits,
            withdrawals,
            book,
            reversals,
            reader,
            position,
            tripped,
            alarms,
        })
    }

    /// Up to which record the ledger was taken in: where its feed goes on.
    #[must_use]
    pub const fn position(&self) -> Lsn {
        self.position
    }

    /// The deposits in memory.
    #[must_use]
    pub const fn deposits(&self) -> &Deposits {
        &self.deposits
    }

    /// The withdrawals under way.
    #[must_use]
    pub const fn withdrawals(&self) -> &Withdrawals {
        &self.withdrawals
    }

    /// What somebody should look at.
    #[must_use]
    pub const fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// The newest block that was worked off.
    #[must_use]
    pub fn tip(&self) -> Option<&BlockRef> {
        self.trail.tip()
    }

    /// Whether payments are stopped, and why.
    #[must_use]
    pub const fn tripped(&self) -> Option<&Tripped> {
        self.tripped.as_ref()
    }

    /// Stops payments. What is out already is followed to its end.
    ///
    /// # Errors
    /// [`StoreFault`]; they are stopped all the same, until the process ends.
    pub fn trip(&mut self, reason: impl Into<String>) -> Result<(), StoreFault> {
        let tripped = Tripped { reason: reason.into() };
        self.alarms.raise(Alarm::BreakerTripped, &tripped.reason);
        self.tripped = Some(tripped.clone());
        self.store.commit(&[Write::put(Table::Facts, BREAKER, &tripped)])
    }

    /// Lets payments go on.
    ///
    /// # Errors
    /// [`StoreFault`]; then they stay stopped.
    pub fn reset_breaker(&mut self) -> Result<(), StoreFault> {
        lift_breaker(&self.store)?;
        self.tripped = None;
        self.alarms.clear(Alarm::BreakerTripped);
        Ok(())
    }

    /// Takes records of the ledger in, in their order, up to `position`. What they say is durable when this returns.
    ///
    /// # Errors
    /// [`BridgeFault::Store`] or [`BridgeFault::Address`].
    pub fn take(&mut self, records: &[Record], position: Lsn) -> Result<(), BridgeFault> {
        let mut writes = Vec::new();
        for record in records {
            let Some(fact) = self.reader.read(self.settings.chain, record) else { continue };
            match fact {
                LedgerFact::Assigned { number, player } => {
                    let address = self.settings.address_key.address(number)?;
                    self.book.add(number, address, player);
                    let row = (number, address, player.number());
                    writes.push(Write::put(Table::Addresses, number.to_le_bytes(), &row));
                }
                LedgerFact::Reversed { deposit } => {
                    self.reversals.insert(deposit.0);
                    writes.push(Write::put(Table::Reversals, deposit.0.to_le_bytes(), &()));
                }
                _ => self.withdrawals.ledger(&fact),
            }
        }
        self.position = position;
        writes.push(Write::put(Table::Facts, POSITION, &position.0));
        writes.push(Write::put(Table::Facts, READER, &self.reader));
        self.write_down(writes)
    }

    /// Makes all that has changed durable, together with these rows.
    fn write_down(&mut self, mut writes: Vec<Write>) -> Result<(), BridgeFault> {
        for (id, row) in self.deposits.take_changes() {
            let key = row_key(&id);
            writes.push(match row {
                Some(row) => Write::put(Table::Deposits, key, &row),
                None => Write::take(Table::Deposits, key),
            });
        }
        let changed = self.withdrawals.take_changes();
        if !changed.is_empty() {
            writes.push(Write::put(Table::Facts, SLOTS, &self.withdrawals.slots()));
        }
        writes.extend(changed.iter().map(|row| Write::put(Table::Withdrawals, row.id.to_le_bytes(), row)));
        Ok(self.store.commit(&writes)?)
    }

    /// One turn. Dropping its future half way is as good as a kill: the next turn goes on from the file.
    ///
    /// # Errors
    /// [`BridgeFault`]; unless it [is final](BridgeFault::is_final), the next turn tries again.
    pub async fn turn(&mut self) -> Result<Turn, BridgeFault> {
        let tips =
            self.chain.tips().await.inspect_err(|fault| self.alarms.raise(Alarm::ChainUnusable, fault))?;
        // A player is shown an address when the ledger has it on record, and can be paid only after that. So every
        // address that a block up to this tip can pay lies before this position.
        let needed = self.ledger.position(asset_of(&self.settings.coins)).await?;
        if needed > self.position {
            return Ok(Turn::NeedsLedger(needed));
        }
        let more =
            self.follow(&tips).await.inspect_err(|fault| self.alarms.raise(Alarm::ChainUnusable, fault))?;
        self.alarms.clear(Alarm::ChainUnusable);
        let Some(tip) = self.trail.tip().copied() else { return Ok(Turn::Idle) };
        let known = |height: Option<u64>| height.map(|height| height.min(tip.height));
        let here = Tips { latest: tip, safe: known(tips.safe), finalized: known(tips.finalized) };
        self.deposits.tips(&here);
        self.write_down(vec![])?;
        self.do_deposits(!more).await?;
        let taken_back = |row: &&Deposit| matches!(row.stage, Stage::Reversing | Stage::Reversed { .. });
        self.withdrawals.freeze(self.deposits.rows().filter(taken_back).map(|row| row.player).collect());
        self.do_withdrawals(&here, !more).await?;
        self.deposits.forget_settled(self.trail.settled_height());
        self.withdrawals.forget_settled(self.trail.settled_height());
        Ok(if more { Turn::Busy } else { Turn::Idle })
    }

    /// Follows the chain some blocks further. Says whether there is more.
    async fn follow(&mut self, tips: &Tips) -> Result<bool, BridgeFault> {
        for _ in 0..limits::BLOCKS_AT_ONCE {
            match self.step(tips).await? {
                Step::Connect(block) => self.connect(block).await?,
                Step::Disconnect(block) => {
                    tracing::warn!(height = block.height, hash = %block.hash, "the chain gave a block up");
                    self.deposits.disconnect(&block);
                    self.withdrawals.disconnect(&block);
                    self.trail.disconnect();
                    self.write_down(vec![Write::put(Table::Facts, TRAIL, &self.trail)])?;
                }
                Step::Wait => return Ok(false),
                Step::TooDeep { oldest } => {
                    return Err(BridgeFault::TooDeep { oldest, depth_max: self.settings.reorg_max });
                }
            }
        }
        Ok(true)
    }

    async fn step(&self, tips: &Tips) -> Result<Step, Fault> {
        let height = self.trail.next_height();
        let next = if height <= tips.latest.height { self.chain.block_at(height).await? } else { None };
        // A block that hangs on the tip says enough.
        if let Some(next) = next
            && self.trail.tip().is_none_or(|tip| tip.hash == next.parent)
        {
            return Ok(Step::Connect(next));
        }
        let at_tip = match self.trail.tip() {
            Some(tip) => self.chain.block_at(tip.height).await?,
            None => None,
        };
        Ok(self.trail.step(next.as_ref(), at_tip.as_ref()))
    }

    async fn connect(&mut self, block: BlockRef) -> Result<(), BridgeFault> {
        let wallet = self.signer.as_ref().map(Signer::address);
        let Contents { mut inflows, outflows } =
            self.chain.contents(&block, &Watch { book: &self.book, wallet }).await?;
        self.measure(&block, &mut inflows).await?;
        let found: Vec<_> = inflows
            .into_iter()
            .filter_map(|inflow| {
                let player = self.book.player(&inflow.to)?;
                Some((inflow, player, self.taken_back(&inflow.id)))
            })
            .collect();
        self.deposits.connect(&block, found);
        let foreign = self.withdrawals.connect(&block, &outflows);
        self.trail.connect(block);
        let mut writes = vec![Write::put(Table::Facts, TRAIL, &self.trail)];
        let sent =
            outflows.iter().map(|sent| Write::put(Table::Outflows, sent.transaction.0, &(block, *sent)));
        writes.extend(sent);
        self.write_down(writes)?;
        if let Err(foreign) = foreign {
            self.foreign(&foreign)?;
        }
        Ok(())
    }

    fn foreign(&mut self, foreign: &ForeignSlot) -> Result<(), BridgeFault> {
        self.alarms.raise(Alarm::ForeignSlot, foreign);
        Ok(self.trip(foreign.to_string())?)
    }

    /// How often the ledger has taken a transfer back: so many keys of it are used up.
    fn taken_back(&self, id: &TransferId) -> u32 {
        let used =
            |incarnation: &u32| self.reversals.contains(&credit_key(self.chain.name(), id, *incarnation).0);
        (0..).take_while(used).count() as u32
    }

    /// Of a token that keeps a part of what is sent, what its logs say is cut to what the account has more than before.
    async fn measure(&self, block: &BlockRef, inflows: &mut [Inflow]) -> Result<(), Fault> {
        let Some(parent) = self.trail.tip().copied() else { return Ok(()) };
        let by_balance = |coin: &Coin| self.deposits.rule(coin).is_some_and(|rule| rule.by_balance);
        let pairs: BTreeSet<_> =
            inflows.iter().filter(|one| by_balance(&one.coin)).map(|one| (one.to, one.coin)).collect();
        for (to, coin) in pairs {
            let (before, after) =
                (self.chain.holding(&parent, to, coin).await?, self.chain.holding(block, to, coin).await?);
            let (Quantity::Units(before), Quantity::Units(after)) = (before, after) else { continue };
            let mut arrived = after.saturating_sub(before);
            for inflow in inflows.iter_mut().filter(|one| (one.to, one.coin) == (to, coin)) {
                let Quantity::Units(told) = inflow.quantity else { continue };
                let units = told.min(arrived);
                arrived -= units;
                inflow.quantity = Quantity::Units(units);
            }
        }
        Ok(())
    }

    fn screen(&self, id: &TransferId) -> Verdict {
        let suspect =
            self.deposits.row(id).is_some_and(|row| self.settings.suspects.contains(&row.inflow.from));
        if suspect { Verdict::Review } else { Verdict::Pass }
    }

    /// Does what is due of deposits: all questions at once, then their answers.
    async fn do_deposits(&mut self, caught_up: bool) -> Result<(), BridgeFault> {
        for due in self.deposits.due(caught_up) {
            if let Due::Screen(id) = due {
                let verdict = self.screen(&id);
                self.deposits.screened(&id, verdict);
            }
        }
        self.write_down(vec![])?;
        let chain = self.settings.chain;
        let mut asked = Vec::new();
        for due in self.deposits.due(caught_up) {
            let (key, operation) = match due {
                Due::Screen(_) => continue,
                Due::Credit { key, player, asset, amount, review, .. } => {
                    let locked = review.then_some(LockReason::Review);
                    (
                        key,
                        Operation::DepositCredit {
                            player,
                            asset,
                            amount,
                            chain,
                            locked,
                            turnover: Amount::ZERO,
                        },
                    )
                }
                Due::Reverse { key, deposit, player, asset, amount, .. } => {
                    let deposit = cage_engine::Reference(deposit.0);
                    (key, Operation::DepositReverse { player, asset, amount, deposit, chain })
                }
            };
            asked.push((due, self.ledger.ask(key, operation)));
        }
        let mut answers = Vec::with_capacity(asked.len());
        for (due, answer) in asked {
            answers.push((due, answer.await));
        }
        let outcome = answers.into_iter().map(|(due, answer)| self.answered(due, answer)).collect::<Vec<_>>();
        self.write_down(vec![])?;
        outcome.into_iter().collect()
    }

    fn answered(&mut self, due: Due, answer: Result<Executed, Error>) -> Result<(), BridgeFault> {
        match (due, answer) {
            (_, Err(error)) if error.code() == Some(ResultCode::Fenced) => Err(BridgeFault::Fenced),
            (Due::Credit { id, .. }, Ok(done)) => {
                self.deposits.credited(&id, done.lsn);
                Ok(())
            }
            (Due::Reverse { id, player, .. }, Ok(done)) => {
                let shortfall = done.code == ResultCode::Shortfall;
                let text = format!(
                    "{}: a credited deposit was taken back; player {}",
                    id.transaction,
                    player.number()
                );
                self.alarms.raise(Alarm::CreditTakenBack, &text);
                self.deposits.reversed(&id, done.lsn, shortfall);
                Ok(())
            }
            (Due::Reverse { id, .. }, Err(error)) if error.code() == Some(ResultCode::DepositUnknown) => {
                self.deposits.never_credited(&id);
                Ok(())
            }
            (Due::Credit { id, .. } | Due::Reverse { id, .. }, Err(error)) if !error.may_retry() => {
                let text = format!("transfer {} of {}: {error}", id.ordinal, id.transaction);
                self.alarms.raise(Alarm::LedgerRefused, &text);
                Ok(())
            }
            (_, Err(error)) => Err(error.into()),
            (Due::Screen(_), Ok(_)) => Ok(()),
        }
    }
}
