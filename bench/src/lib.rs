//! The ladder: every stage of the way of a request beside its physical limit.

pub mod engine;
pub mod instructions;
pub mod ladder;
pub mod limits;
pub mod log;
pub mod server;
pub mod workload;
