//! The game bridge: bets reach game providers and outcomes reach balances, exactly once, in the providers' own formats.
//!
//! In: callbacks of providers over HTTP. Out: operations of the ledger, and answers that providers understand. Never
//! here: a balance that is kept beside the ledger's, a float, a movement that is not a record of the log.
//!
//! ```text
//!  provider --HTTP--> http -> adapter (translates) -> Call -> inbound::plan -> ledger (cage_client, role games)
//!           <-------- http <- adapter (renders)    <- Done <- inbound::desk <-- answers, transactions kept
//! ```
//!
//! An adapter only translates: everything that decides is the ledger's.

#![forbid(unsafe_code)]

pub mod adapters;
pub mod bridge;
pub mod config;
pub mod http;
pub mod inbound;
pub mod limits;
pub mod money;
pub mod names;
pub mod refusals;
pub mod signature;
pub mod store;
pub mod token;

pub use bridge::{Bridge, BridgeError, Running};
pub use config::{Config, ConfigError};
