//! Closed- and open-loop load over QUIC.
//!
//! In: [`Options`]. Out: a [`Report`]: how many requests a second, and how long each took. Never here: a second
//! client library (it drives [`cage_client`]'s parts), a pause that makes a slow server look fast.
//!
//! ```text
//! setup ──> asset, players, money          worker: generator ──> frames ──> server ──> replies ──> tally, acks
//! ```
//!
//! A closed loop (`outstanding`) sends when an answer came. An open loop (`rate`) sends when it is time, whatever
//! came, and counts latency from when it was time: a server that stalls is charged for all who would have waited.

#![forbid(unsafe_code)]

mod options;
mod page;
mod picture;
mod report;
mod taken;

mod run;
mod setup;

mod worker;
mod workload;

mod acks;
mod alarm;
mod slots;
mod tally;
mod timeline;

pub use acks::AcksError;
pub use alarm::Alarm;
pub use options::{Load, Options, OptionsError, Workload};
pub use page::{PageError, Summary, write_page};
pub use report::{Latency, Report};
pub use run::{LoadError, Progress, prepare, run, run_on, run_with};
pub use setup::SetupError;
pub use taken::Taken;
pub use timeline::Moment;
pub use workload::Stage;
