//! The game bridge: bets reach game providers and outcomes reach balances, exactly once, in the providers' own formats.
//!
//! In: callbacks of providers over HTTP, bets of players. Out: operations of the ledger, answers that providers understand,
//! requests to providers. Never here: a balance that is kept beside the ledger's, a float, a movement that is not a record of the log.
//!
//! ```text
//!  provider --HTTP--> http -> adapter (translates) -> Call -> inbound::plan -> ledger (cage_client, role games)
//!           <-------- http <- adapter (renders)    <- Done <- inbound::desk <-- answers, transactions kept
//!
//!
//!  front-end --HTTP--> casino -> outbound::driver -> ledger: reserve; provider: play; ledger: settle or cancel
//! ```
//!
//! An adapter only translates: everything that decides is the ledger's.

#![forbid(unsafe_code)]

pub mod adapters;
pub mod admin;
pub mod breaker;
pub mod bridge;
pub mod casino;
pub mod config;
pub mod fence;
pub mod house;
pub mod http;
pub mod inbound;
pub mod limits;
pub mod metrics;
pub mod money;
pub mod names;
pub mod outbound;
pub mod projection;
pub mod reconcile;
pub mod refusals;
pub mod sessions;
pub mod signature;
pub mod store;
pub mod token;

pub use bridge::{Bridge, BridgeError, Running};
pub use config::{Config, ConfigError};
