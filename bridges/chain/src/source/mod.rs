//! What the bridge asks of a chain.
//!
//! In: questions about blocks, transactions, accounts. Out: answers that hold for exactly the block that was named, or
//! a fault; never a part of an answer. Never here: keys, what a deposit is, what to do about a reorganisation.

pub mod evm;
pub mod scripted;

use std::future::Future;

use crate::rpc::Fault;
use crate::types::{Address, BlockRef, Coin, Contents, Quantity, Tips, TransactionId};

/// Which accounts matter.
pub trait Interest: Send + Sync {
    /// Whether deposits to it are credited.
    fn is_watched(&self, address: &Address) -> bool;
    /// Whether it pays for us.
    fn is_ours(&self, address: &Address) -> bool;
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Nobody who was asked knows it.
    Unknown,
    /// It waits to be put into a block.
    Waiting,
    /// It is in this block.
    Mined(BlockRef),
}

/// The read side of a chain. It holds no keys.
pub trait ChainSource: Send + Sync {
    /// The chain's name, as CAIP-2 has it: `eip155:1`.
    fn name(&self) -> &str;
    /// How far the chain has come, as enough endpoints agree.
    fn tips(&self) -> impl Future<Output = Result<Tips, Fault>> + Send;
    /// The block at a height; nothing if the chain is not so high.
    fn block_at(&self, height: u64) -> impl Future<Output = Result<Option<BlockRef>, Fault>> + Send;
    /// What exactly this block holds for us: all of it or a fault.
    fn contents(
        &self,
        block: &BlockRef,
        interest: &impl Interest,
    ) -> impl Future<Output = Result<Contents, Fault>> + Send;
    /// What became of a transaction.
    fn whereabouts(
        &self,
        transaction: TransactionId,
    ) -> impl Future<Output = Result<Whereabouts, Fault>> + Send;
    /// How much of a coin an account has after exactly this block.
    fn holding(
        &self,
        at: &BlockRef,
        of: Address,
        coin: Coin,
    ) -> impl Future<Output = Result<Quantity, Fault>> + Send;
    /// The decimals of a token, as its contract says, and the digest of its code.
    fn token(&self, contract: Address) -> impl Future<Output = Result<Token, Fault>> + Send;
}

/// What a contract says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Token {
    /// How many decimals an amount has; nothing if the contract does not say.
    pub decimals: Option<u8>,
    /// BLAKE3 of its code: another one means another token.
    pub code: [u8; 32],
}

/// What a transaction has to offer to be taken soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fees {
    /// The most for a unit of work.
    pub fee_max: u128,
    /// The most of it for the block's maker.
    pub tip_max: u128,
}

/// What a node said of a transaction that was sent. There are three answers, and one of them is "nobody knows".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A node has taken it.
    Accepted,
    /// A node knew it already.
    Known,
    /// It may be on its way or not: the same bytes are to be sent again.
    Unknown(String),
}

/// The write side of a chain: it sends what others have signed.
pub trait ChainPayer: Send + Sync {
    /// How many slots of an account are used up on the chain, as the newest block has it.
    fn slots_used(&self, account: Address) -> impl Future<Output = Result<u64, Fault>> + Send;
    /// What has to be offered now.
    fn fees(&self) -> impl Future<Output = Result<Fees, Fault>> + Send;
    /// How much work a transfer will be, with something to spare.
    fn work(
        &self,
        from: Address,
        to: Address,
        coin: Coin,
        units: u128,
    ) -> impl Future<Output = Result<u64, Fault>> + Send;
    /// Sends signed bytes to every endpoint.
    fn broadcast(&self, raw: &[u8], transaction: TransactionId) -> impl Future<Output = Sent> + Send;
}
