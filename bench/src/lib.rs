//! The ladder: every stage of the way of a request beside its physical limit; and what else is measured.
//!
//! ```text
//!  limits/    what this machine can do at best          engine, log, server   what is measured
//!  ladder/    both in turn, as rungs with goals         growth, stages, compare, instructions, feed, lists   other questions
//!  rung, plot, page                                      what comes out: rows, pictures, docs/benchmarks.md
//! ```

pub mod limits;

pub mod engine;
pub mod log;
pub mod server;
pub mod workload;

pub mod ladder;
pub mod rung;

pub mod compare;
pub mod feed;
pub mod growth;
pub mod instructions;
pub mod lists;
pub mod stages;

pub mod page;
pub mod plot;

pub use cage_loadgen::Taken;

/// How this program is started from the folder of the sources.
pub const PROGRAM: &str = "cargo run --release -p cage-bench --";
