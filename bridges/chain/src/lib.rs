//! The bridge between the ledger and blockchains.
//!
//! In: blocks of chains, records of the ledger. Out: deposits credited and taken back, withdrawals paid, each once,
//! whatever reorganises, lies or crashes. Never here: a balance, a rule of the ledger.
//!
//! ```text
//!  source (a chain) ──> blocks ──> deposits ─────┐
//!                         │                      ├──> bridge ──> the ledger
//!  ledger's feed ──> ledger, addresses ──> withdrawals ──> signer ──> source
//! ```

#![forbid(unsafe_code)]

pub mod addresses;
pub mod blocks;
pub mod bridge;
pub mod config;
pub mod deposits;
pub mod ethers;
pub mod ledger;
pub mod limits;
pub mod reconcile;
pub mod rpc;
pub mod service;
pub mod signer;
pub mod source;
pub mod store;
pub mod types;
pub mod withdrawals;
