//! The server. The modules stand in the order in which a request meets them.
//!
//! ```text
//!  front-end --QUIC--> endpoint -> session -> admission --inbox--> SEQUENCER --append--> WAL flusher
//!                                     ^                                |                      |
//!                                     +---------- reply <--------------+---- commit <--durable-+
//!
//!  subscribers <------ session <------ feed <-------------------------------- durable records, or the log
//!
//!  start:  segments --> recovery --> State           audit:  segments --> decide again, compare, apply
//! ```
//!
//! One thread runs the endpoint, the sessions and the sequencer, because a hand-off to another one costs more
//! than the decision itself; the log's flusher has a thread of its own. Only the sequencer owns the ledger.

pub mod cli;
pub mod data;
pub mod limits;

pub mod certs;
pub mod clock;

pub mod endpoint;
pub mod session;
pub mod watermark;

pub mod admission;
pub mod tokens;

pub mod sequencer;

pub mod commit;
pub mod feed;
pub mod query;

pub mod reply;

pub mod guards;
pub mod read_ahead;
pub mod recovery;
pub mod restore;
pub mod server;
pub mod snapshots;

pub mod chain;
pub mod games;

pub mod admin;
pub mod telemetry;

pub mod audit;
pub mod proof;
pub mod reports;
pub mod scrubber;
pub mod tamper;
