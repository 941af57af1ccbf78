//! The live log: one writer, one flusher, and everybody who waits for durability.
//!
//! In: a recovered log and records in order. Out: durable records, a watermark that only rises, reads of any
//! durable record. Never here: a wait for the disk in the writer, a second try of a failed write, a segment
//! that is appended to after a restart.

mod chains;
mod control;
mod flusher;
mod open;
mod options;
mod reader;
mod segments;
mod shared;
mod space;
mod stats;
mod writer;

pub use chains::FrameEnd;
pub use control::begin_restored;
pub(crate) use control::wall_clock_ns;
pub use options::{Callbacks, Flushed, Identity, LogOptions, RecordTraits};
pub use reader::Reader;
pub use shared::LogHandle;
pub use space::LogSpace;
pub use stats::{LogStats, Quantiles};
pub use writer::{Closed, Full, Writer};
