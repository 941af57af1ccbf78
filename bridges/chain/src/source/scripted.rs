//! A chain in memory, for the demo and for tests: it reorganises, fails and forgets on command.
//!
//! In: transfers from a world outside, signed transactions, commands. Out: what every chain answers. Its transactions
//! of ours are real signed bytes. Never here: a network, a clock, chance (whoever scripts it has the seed).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ChainPayer, ChainSource, Fees, Interest, Sent, Token, Whereabouts};
use crate::ethers;
use crate::rpc::Fault;
use crate::types::{
    Address, BlockHash, BlockRef, Coin, Contents, Inflow, Outflow, Quantity, Tips, TransactionId, TransferId,
};

/// What one unit of work costs on this chain.
const BASE_FEE: u128 = 7;
/// What a transaction of ours costs: [`crate::limits::GAS_NATIVE`] units, or more for a token.
const GAS_TOKEN: u64 = 60_000;

/// A transaction of the script.
#[derive(Clone, Debug)]
pub struct Scripted {
    id: TransactionId,
    /// The account of ours that sent it, with its slot and fee; nothing if it comes from outside.
    sender: Option<(Address, u64, u128)>,
    /// Ordinal, from, to, coin, how much.
    transfers: Vec<(u32, Address, Address, Coin, Quantity)>,
    succeeds: bool,
}

impl Scripted {
    /// Its name.
    #[must_use]
    pub const fn id(&self) -> TransactionId {
        self.id
    }
}

#[derive(Clone, Debug)]
struct Block {
    at: BlockRef,
    transactions: Vec<Scripted>,
}

#[derive(Debug, Default)]
struct World {
    name: String,
    chain_id: u64,
    blocks: Vec<Block>,
    /// Transactions that wait for a block.
    pool: Vec<Scripted>,
    /// Every hash ever made is another one.
    made: u64,
    tokens: BTreeMap<Address, Token>,
    faults: Faults,
}

/// What goes wrong from now on.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// No question is answered.
    pub silent: bool,
    /// The next so many transactions are taken, and the answer is lost.
    pub lost_answers: u32,
    /// The next so many transactions are lost on their way, without an answer.
    pub lost_transactions: u32,
    /// The next so many transactions of ours are taken, and fail.
    pub failing: u32,
    /// The newest blocks that are not shown yet.
    pub lag: usize,
    /// How far behind the tip the chain calls a block final; nothing if it never does.
    pub finalized_behind: Option<u64>,
}

/// The chain.
#[derive(Clone, Debug)]
pub struct ScriptedChain {
    name: Arc<str>,
    world: Arc<Mutex<World>>,
}

fn numbered_hash(kind: u8, number: u64) -> [u8; 32] {
    let mut bytes = [kind; 9];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    *blake3::hash(&bytes).as_bytes()
}

impl World {
    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn mine(&mut self, transactions: Vec<Scripted>) -> BlockRef {
        let number = self.number();
        let tip = self.blocks.last().map(|block| block.at);
        let at = BlockRef {
            height: tip.map_or(0, |tip| tip.height + 1),
            hash: BlockHash(numbered_hash(b'b', number)),
            parent: tip.map_or_else(BlockHash::default, |tip| tip.hash),
            time_s: tip.map_or(1_700_000_000, |tip| tip.time_s + 1),
        };
        self.blocks.push(Block { at, transactions });
        at
    }

    /// The slots that an account has used up, so far as the chain goes.
    fn slots_used(&self, account: Address) -> u64 {
        let sent = self.blocks.iter().flat_map(|block| &block.transactions);
        sent.filter(|sent| sent.sender.is_some_and(|(from, ..)| from == account)).count() as u64
    }

    /// Those of the pool that can be put into the next block, in order; the others stay.
    fn ready(&mut self) -> Vec<Scripted> {
        let mut chosen: Vec<Scripted> = Vec::new();
        let mut waiting = std::mem::take(&mut self.pool);
        // An account's transactions come in the order of their slots, the dearer of two with the same slot first.
        waiting.sort_by_key(|one| one.sender.map_or((0, 0), |(_, slot, fee)| (slot, u128::MAX - fee)));
        for one in waiting {
            let Some((from, slot, fee)) = one.sender else {
                chosen.push(one);
                continue;
            };
            let ahead =
                chosen.iter().filter(|other| other.sender.is_some_and(|(other, ..)| other == from)).count();
            let next = self.slots_used(from) + ahead as u64;
            if slot < next {
                continue; // Its slot is used up: it is dead.
            }
            let affords = self.balance(from, Coin::Native, u64::MAX) >= fee + Self::native_of(&one);
            if slot == next && affords { chosen.push(one) } else { self.pool.push(one) }
        }
        chosen
    }

    fn native_of(one: &Scripted) -> u128 {
        let native = one.transfers.iter().filter(|(.., coin, _)| *coin == Coin::Native);
        native.map(|(.., quantity)| if let Quantity::Units(units) = quantity { *units } else { 0 }).sum()
    }

    fn balance(&self, of: Address, coin: Coin, up_to: u64) -> u128 {
        let mut balance = 0_u128;
        let blocks = self.blocks.iter().filter(|block| block.at.height <= up_to);
        for one in blocks.flat_map(|block| &block.transactions) {
            if let (Some((from, _, fee)), Coin::Native) = (one.sender, coin)
                && from == of
            {
                balance = balance.saturating_sub(fee);
            }
            for (_, from, to, moved, quantity) in one.transfers.iter().filter(|_| one.succeeds) {
                let Quantity::Units(units) = *quantity else { continue };
                if *moved == coin && *to == of {
                    balance = balance.saturating_add(units);
                }
                if *moved == coin && *from == of {
                    balance = balance.saturating_sub(units);
                }
            }
        }
        balance
    }

    fn shown(&self) -> &[Block] {
        &self.blocks[..self.blocks.len().saturating_sub(self.faults.lag).max(1)]
    }
}

impl ScriptedChain {
    /// A chain of one empty block.
    #[must_use]
    pub fn new(chain_id: u64) -> Self {
        let name = format!("eip155:{chain_id}");
        let mut world = World { name: name.clone(), chain_id, ..World::default() };
        world.mine(vec![]);
        Self { name: name.into(), world: Arc::new(Mutex::new(world)) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // Nothing in here is left half done.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, World>, Fault> {
        let world = self.world();
        if world.faults.silent {
            let reason = "the script says so".to_owned();
            return Err(Fault::NoAnswer { endpoint: "scripted".into(), method: "any", reason });
        }
        Ok(world)
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.world().faults);
    }

    /// Puts a token on the chain, or changes it.
    pub fn set_token(&self, contract: Address, token: Token) {
        self.world().tokens.insert(contract, token);
    }

    /// A transaction from outside with these transfers; it waits for a block.
    pub fn pay(&self, transfers: &[(Address, Coin, Quantity)]) -> TransactionId {
        self.send_from_outside(transfers, true)
    }

    /// A transaction from outside that will fail.
    pub fn pay_in_vain(&self, transfers: &[(Address, Coin, Quantity)]) -> TransactionId {
        self.send_from_outside(transfers, false)
    }

    fn send_from_outside(&self, transfers: &[(Address, Coin, Quantity)], succeeds: bool) -> TransactionId {
        let mut world = self.world();
        let id = TransactionId(numbered_hash(b't', world.number()));
        let outside = Address([0xee; 20]);
        let transfers = (0..)
            .zip(transfers)
            .map(|(ordinal, (to, coin, quantity))| (ordinal, outside, *to, *coin, *quantity));
        let one = Scripted { id, sender: None, transfers: transfers.collect(), succeeds };
        world.pool.push(one);
        id
    }

    /// Makes a block of everything that waits.
    pub fn mine(&self) -> BlockRef {
        let mut world = self.world();
        let ready = world.ready();
        world.mine(ready)
    }

    /// Makes a block of nothing.
    pub fn mine_empty(&self) -> BlockRef {
        self.world().mine(vec![])
    }

    /// Gives the newest `depth` blocks up, and makes one more than that in their place, empty ones. Transactions for
    /// which `returns` says so wait again, the others are gone.
    pub fn reorganise(&self, depth: usize, returns: impl Fn(&Scripted) -> bool) {
        let mut world = self.world();
        let keep = world.blocks.len().saturating_sub(depth).max(1);
        let given_up = world.blocks.split_off(keep);
        let count = given_up.len();
        let back = given_up.into_iter().flat_map(|block| block.transactions).filter(|one| returns(one));
        let back: Vec<_> = back.collect();
        world.pool.extend(back);
        for _ in 0..=count {
            world.mine(vec![]);
        }
    }

    /// Gives the newest `depth` blocks up and puts all that they held into one block in their place, then an empty
    /// one for each of them.
    pub fn shuffle(&self, depth: usize) {
        let mut world = self.world();
        let keep = world.blocks.len().saturating_sub(depth).max(1);
        let given_up = world.blocks.split_off(keep);
        let count = given_up.len();
        world.pool.extend(given_up.into_iter().flat_map(|block| block.transactions));
        let ready = world.ready();
        world.mine(ready);
        for _ in 0..count {
            world.mine(vec![]);
        }
    }

    /// Forgets every transaction that waits.
    pub fn drop_waiting(&self) {
        self.world().pool.clear();
    }

    /// A transaction that somebody else made with an account's key.
    pub fn steal(&self, from: Address, to: Address, units: u128) -> TransactionId {
        let mut world = self.world();
        let id = TransactionId(numbered_hash(b't', world.number()));
        let sender = Some((from, world.slots_used(from), 1));
        let transfers = vec![(0, from, to, Coin::Native, Quantity::Units(units))];
        world.pool.push(Scripted { id, sender, transfers, succeeds: true });
        id
    }

    /// Everything that came in from outside and is in a block: to whom, in what, how much.
    #[must_use]
    pub fn all_received(&self) -> Vec<(Address, Coin, u128)> {
        let world = self.world();
        let all = world.blocks.iter().flat_map(|block| &block.transactions);
        all.filter(|one| one.succeeds && one.sender.is_none())
            .flat_map(|one| &one.transfers)
            .filter_map(|(_, _, to, coin, quantity)| match quantity {
                Quantity::Units(units) => Some((*to, *coin, *units)),
                Quantity::TooGreat => None,
            })
            .collect()
    }

    /// How many transactions wait for a block.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.world().pool.len()
    }

    /// All transactions of an account of ours that are in blocks: receiver, coin, how much.
    #[must_use]
    pub fn sent_by(&self, account: Address) -> Vec<(TransactionId, Address, Coin, Quantity)> {
        let world = self.world();
        let sent = world.blocks.iter().flat_map(|block| &block.transactions);
        sent.filter(|sent| sent.succeeds && sent.sender.is_some_and(|(from, ..)| from == account))
            .flat_map(|sent| {
                sent.transfers.iter().map(|(_, _, to, coin, quantity)| (sent.id, *to, *coin, *quantity))
            })
            .collect()
    }
}

impl ChainSource for ScriptedChain {
    fn name(&self) -> &str {
        &self.name
    }

    async fn tips(&self) -> Result<Tips, Fault> {
        let world = self.open()?;
        let latest = world.shown().last().map(|block| block.at);
        let latest = latest.ok_or(Fault::Gone { height: 0, hash: String::new() })?;
        let behind = world.faults.finalized_behind;
        let finalized = behind.map(|behind| latest.height.saturating_sub(behind));
        Ok(Tips { latest, safe: finalized, finalized })
    }

    async fn block_at(&self, height: u64) -> Result<Option<BlockRef>, Fault> {
        let world = self.open()?;
        Ok(usize::try_from(height).ok().and_then(|height| world.shown().get(height)).map(|block| block.at))
    }

    async fn contents(&self, at: &BlockRef, interest: &impl Interest) -> Result<Contents, Fault> {
        let world = self.open()?;
        let found = world.blocks.iter().find(|block| block.at.hash == at.hash);
        let block = found.ok_or_else(|| Fault::Gone { height: at.height, hash: at.hash.to_string() })?;
        let mut contents = Contents::default();
        for one in &block.transactions {
            let succeeded = one.transfers.iter().filter(|_| one.succeeds);
            for (ordinal, from, to, coin, quantity) in
                succeeded.filter(|(_, _, to, ..)| interest.is_watched(to))
            {
                let id = TransferId { transaction: one.id, ordinal: *ordinal };
                contents.inflows.push(Inflow { id, from: *from, to: *to, coin: *coin, quantity: *quantity });
            }
            if let Some((from, slot, fee)) = one.sender.filter(|(from, ..)| interest.is_ours(from)) {
                let moved = one.transfers.first().map(|(_, _, to, coin, quantity)| (*to, *coin, *quantity));
                let (transaction, succeeded) = (one.id, one.succeeds);
                contents.outflows.push(Outflow { transaction, from, slot, succeeded, fee, moved });
            }
        }
        Ok(contents)
    }

    async fn whereabouts(&self, transaction: TransactionId) -> Result<Whereabouts, Fault> {
        let world = self.open()?;
        let mined =
            world.blocks.iter().find(|block| block.transactions.iter().any(|one| one.id == transaction));
        Ok(match mined {
            Some(block) => Whereabouts::Mined(block.at),
            None if world.pool.iter().any(|one| one.id == transaction) => Whereabouts::Waiting,
            None => Whereabouts::Unknown,
        })
    }

    async fn holding(&self, at: &BlockRef, of: Address, coin: Coin) -> Result<Quantity, Fault> {
        let world = self.open()?;
        if !world.blocks.iter().any(|block| block.at.hash == at.hash) {
            return Err(Fault::Gone { height: at.height, hash: at.hash.to_string() });
        }
        Ok(Quantity::Units(world.balance(of, coin, at.height)))
    }

    async fn token(&self, contract: Address) -> Result<Token, Fault> {
        let world = self.open()?;
        Ok(world.tokens.get(&contract).copied().unwrap_or(Token { decimals: None, code: [0; 32] }))
    }
}

impl ChainPayer for ScriptedChain {
    async fn slots_used(&self, account: Address) -> Result<u64, Fault> {
        Ok(self.open()?.slots_used(account))
    }

    async fn fees(&self) -> Result<Fees, Fault> {
        drop(self.open()?);
        Ok(Fees { fee_max: 2 * BASE_FEE + 1, tip_max: 1 })
    }

    async fn work(&self, _: Address, _: Address, coin: Coin, _: u128) -> Result<u64, Fault> {
        drop(self.open()?);
        Ok(if coin == Coin::Native { crate::limits::GAS_NATIVE } else { GAS_TOKEN })
    }

    async fn broadcast(&self, raw: &[u8], transaction: TransactionId) -> Sent {
        let mut world = self.world();
        let read = ethers::read_signed(raw);
        let Ok((from, transfer)) = read else { return Sent::Unknown("no signed transfer".to_owned()) };
        if world.faults.silent || world.faults.lost_transactions > 0 {
            world.faults.lost_transactions = world.faults.lost_transactions.saturating_sub(1);
            return Sent::Unknown("lost on its way".to_owned());
        }
        if transfer.chain_id != world.chain_id {
            return Sent::Unknown(format!("for chain {}, not {}", transfer.chain_id, world.name));
        }
        let known = world.pool.iter().chain(world.blocks.iter().flat_map(|block| &block.transactions));
        if known.into_iter().any(|one| one.id == transaction) {
            return Sent::Known;
        }
        if transfer.slot < world.slots_used(from) {
            return Sent::Unknown("nonce too low".to_owned());
        }
        let fee = transfer.fee_max.min(BASE_FEE + transfer.tip_max) * u128::from(transfer.gas);
        let moved = (0, from, transfer.to, transfer.coin, Quantity::Units(transfer.units));
        let sender = Some((from, transfer.slot, fee));
        let succeeds = world.faults.failing == 0;
        world.faults.failing = world.faults.failing.saturating_sub(1);
        world.pool.push(Scripted { id: transaction, sender, transfers: vec![moved], succeeds });
        if world.faults.lost_answers > 0 {
            world.faults.lost_answers -= 1;
            return Sent::Unknown("the answer was lost".to_owned());
        }
        Sent::Accepted
    }
}
