//! A write-ahead log of fixed-size records: group commit, hash chain, recovery.
//!
//! In: records of exactly [`RECORD_BYTES`] bytes, in order, from one writer. Out: the same records, durable,
//! in the same order, with a [`DurableLsn`] that says up to where, and a [`ChainHash`] that says what came
//! before.
//! Never here: what a record means, a retry of a failed write, a truncated segment, a segment that is removed before
//! its copy in the archive is proven.
//!
//! ```text
//!  Writer --ring--> flusher --frames--> segment files (.wal)      recover / scan --> FrameView --> caller
//!    |                 |  \                                          |
//!    '-- next LSN      |   '-- durable LSN, chain head --> LogHandle '-- control file, spare segments
//!                      '------ on_durable / on_fault
//! ```
//!
//! The bytes are described in `docs/wal-format.md`, the promises in `docs/durability.md`.

pub mod archive;
pub mod cover;
mod error;
pub mod forge;
mod format;
mod live;
mod lsn;
mod read;
mod repair;
pub mod snapshot;
pub mod storage;

pub use error::{
    ArchiveError, Corruption, Damage, LogFault, OpenError, ReadError, RecoveryError, SnapshotError,
    StorageError,
};
pub use format::{
    BLOCK_BYTES, FORMAT_VERSION, FRAME_BYTES_MAX, FRAME_MAGIC, FRAME_RECORDS_MAX, LINKED_RECORDS_MAX,
    PAGE_BYTES, RECORD_BYTES, Record, SEGMENT_BYTES_MIN, SEGMENT_MAGIC,
};
pub use live::{
    Callbacks, Closed, Flushed, FrameEnd, Full, Identity, LogHandle, LogOptions, LogSpace, LogStats,
    Quantiles, Reader, RecordTraits, Writer, begin_restored,
};
pub use lsn::{Appended, ChainHash, DurableLsn, Epoch, LogId, Lsn, Position};
pub use read::{
    Anchor, ControlInfo, FrameInfo, FrameView, Inspection, Limits, Lookup, Recovered, Repair, ScanReport,
    Scrubbed, SegmentInfo, SegmentState, SlotContent, SlotInfo, TornTail, inspect, recover, recover_from,
    scan, scan_from, scrub_segment, segment_numbers,
};
pub use repair::{Damaged, Kept, Repaired};
pub use storage::FlushStrategy;
