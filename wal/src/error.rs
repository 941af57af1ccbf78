//! What can go wrong: the world (storage), the bytes (corruption), the live log (faults).
//!
//! In: what was found and where. Out: errors that say what, where, what was expected, and what to do.
//! Never here: a torn tail, which is no error, and `Full`, which is backpressure.

use std::io;

use crate::lsn::{DurableLsn, Lsn, Position};

/// The operating system refused an operation on a file of the log.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {file}: {source}")]
pub struct StorageError {
    /// What was tried, as a verb: `read`, `sync`, `rename`.
    pub operation: &'static str,
    /// The file or directory.
    pub file: String,
    /// The operating system's answer.
    pub source: io::Error,
}

impl StorageError {
    /// For `map_err`: adds what was tried, and on what.
    pub fn new(operation: &'static str, file: &str, source: impl Into<io::Error>) -> Self {
        Self { operation, file: file.to_owned(), source: source.into() }
    }
}

/// The kind of damage in a [`Corruption`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A frame that was durable does not verify.
    #[error("a durable frame does not verify")]
    Frame,
    /// A frame verifies, but does not continue the log.
    #[error("a frame does not continue the log")]
    Chain,
    /// The bytes after a segment's end are not what was sealed.
    #[error("bytes after the end of a segment have changed")]
    Rest,
    /// The header of a segment in use does not verify.
    #[error("a segment header does not verify")]
    SegmentHeader,
    /// A segment does not continue the one before it: swapped, duplicated, stale, or from another log.
    #[error("a segment does not continue the one before")]
    Continuity,
    /// A segment file is missing.
    #[error("a segment file is missing")]
    MissingSegment,
    /// A segment file's length is not the one it was created with.
    #[error("a segment file has the wrong length")]
    SegmentLength,
    /// A file that looks like a segment but has no place in the log.
    #[error("a file does not belong here")]
    StrayFile,
    /// A segment that was never used contains bytes.
    #[error("an unused segment is not empty")]
    Spare,
    /// The control file is missing or does not verify.
    #[error("the control file does not verify")]
    Control,
    /// A repair was begun and not finished.
    #[error("a repair is not finished")]
    Repair,
    /// The log does not continue the place that was proven before.
    #[error("the log does not continue the snapshot")]
    Anchor,
    /// The log is shorter than what was durable, or differs there.
    #[error("the log ends before what was durable, or differs there")]
    BelowDurable,
}

/// The log is not what was written. Nothing was changed; nothing after this place was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "corruption in {file} at offset {}{}: {damage}: {detail}. \
     Nothing was changed. Restore this file from a replica or an archive; do not edit it",
    position.offset, place(*position, *lsn)
)]
pub struct Corruption {
    /// What kind of damage.
    pub damage: Damage,
    /// The file's name in the log's directory.
    pub file: String,
    /// Where in it. The segment is 0 for the control file.
    pub position: Position,
    /// The LSN of the next record that should have been found here; 0 if that is not known.
    pub lsn: Lsn,
    /// What was expected, and what was found.
    pub detail: String,
}

/// Which segment it is, and which record should have begun there, as far as either is known.
fn place(position: Position, lsn: Lsn) -> String {
    match (position.segment, lsn) {
        (0, _) => String::new(),
        (segment, Lsn::ZERO) => format!(" (segment {segment})"),
        (segment, lsn) => format!(" (segment {segment}, expected LSN {lsn})"),
    }
}

/// Why a log could not be recovered or scanned. `E` is the visitor's own error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError<E> {
    /// The operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Another process (or another log in this process) has the directory open for writing.
    #[error("{file} is locked: another writer has this log open; stop it first")]
    Locked {
        /// The lock file.
        file: String,
    },
    /// A newer version of this program wrote the log.
    #[error("{file} has format version {version}, this program reads up to {supported}; use a newer program")]
    NewerFormat {
        /// The file.
        file: String,
        /// Its version.
        version: u16,
        /// The newest version that this crate reads.
        supported: u16,
    },
    /// The log is damaged.
    #[error(transparent)]
    Corruption(Box<Corruption>),
    /// The visitor stopped the scan.
    #[error("the reader of the log stopped at LSN {lsn}: {source}")]
    Visit {
        /// The first LSN of the frame that the visitor refused.
        lsn: Lsn,
        /// The visitor's error.
        source: E,
    },
}

impl<E> From<Corruption> for RecoveryError<E> {
    fn from(corruption: Corruption) -> Self {
        Self::Corruption(Box::new(corruption))
    }
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its bytes are not those that were written.
    #[error("the snapshot {file} is damaged at offset {offset}: {detail}")]
    Damaged {
        /// The file.
        file: String,
        /// Where in it: the beginning of what does not verify.
        offset: u64,
        /// What was expected.
        detail: String,
    },
    /// A newer version of this program wrote it.
    #[error("{file} has format version {version}, this program reads up to {supported}; use a newer program")]
    NewerFormat {
        /// The file.
        file: String,
        /// Its version.
        version: u16,
        /// The newest version that this crate reads.
        supported: u16,
    },
}

/// Why a segment was not archived. It is still in the log's directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The operating system refused, or a file of the archive is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The segment is damaged.
    #[error(transparent)]
    Corruption(Box<Corruption>),
    /// The archive holds something else.
    #[error(
        "{file} is not a copy of {segment}: the archive belongs to another log, or the copy is damaged. \
         Nothing was removed"
    )]
    Differs {
        /// The archive's file.
        file: String,
        /// The segment's.
        segment: String,
    },
}

impl From<Corruption> for ArchiveError {
    fn from(corruption: Corruption) -> Self {
        Self::Corruption(Box::new(corruption))
    }
}

/// Why a recovered log could not be opened for writing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options contradict each other or a limit of the format.
    #[error("log options: {0}")]
    Options(&'static str),
    /// The operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The first segment could not be begun.
    #[error(transparent)]
    Fault(LogFault),
}

/// Why the live log stopped. Final: the durable LSN never moves again; exit, start again, recover.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogFault {
    /// A write or its sync failed, or was short.
    #[error("cannot make {bytes} bytes at {position} durable: {reason}; nothing after LSN {} is durable", durable.get())]
    Write {
        /// Where.
        position: Position,
        /// How many bytes.
        bytes: usize,
        /// The operating system's answer.
        reason: String,
        /// The last durable LSN.
        durable: DurableLsn,
    },
    /// No segment could be made ready for the next frames.
    #[error("no segment is ready for LSN {lsn}: {reason}")]
    NoSegment {
        /// The first record that has no place.
        lsn: Lsn,
        /// Why.
        reason: String,
    },
    /// The control file could not be written.
    #[error("cannot write the control file: {reason}")]
    Control {
        /// The operating system's answer.
        reason: String,
    },
    /// What keeps other writers out was taken away: another process may write to the log from now on.
    #[error("the log is no longer locked: {reason}; nothing after LSN {} is durable", durable.get())]
    LockLost {
        /// What was found.
        reason: String,
        /// The last durable LSN.
        durable: DurableLsn,
    },
    /// A thread of the log panicked: a bug.
    #[error("the log's {thread} thread panicked")]
    Panicked {
        /// Which one.
        thread: &'static str,
    },
}

/// Why a record could not be read from the live log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record is not durable yet (or does not exist).
    #[error("LSN {lsn} is not durable; the last durable one is {}", durable.get())]
    NotDurable {
        /// The record asked for.
        lsn: Lsn,
        /// The last durable one.
        durable: DurableLsn,
    },
    /// There is no such record.
    #[error("there is no record {lsn}: the log ends with {last}")]
    Absent {
        /// The record asked for.
        lsn: Lsn,
        /// The last one.
        last: Lsn,
    },
    /// The record lies before the oldest segment that was recovered.
    #[error("LSN {lsn} is older than the oldest segment of this log, which begins with LSN {oldest}")]
    TooOld {
        /// The record asked for.
        lsn: Lsn,
        /// The first record at hand.
        oldest: Lsn,
    },
    /// The operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The record's frame does not verify.
    #[error(transparent)]
    Corruption(Box<Corruption>),
}
