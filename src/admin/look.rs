//! One look at a running server: everything that metrics and `/status` tell, taken at one time.
//!
//! In: the board, the log's own numbers, the files on the disk. Out: values. Never here: anything that the money path
//! waits for; the folders are listed on the admin thread, now and then.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cage_engine::Settings;
use cage_protocol::SignedCheckpoint;
use cage_wal::snapshot::{SnapshotFacts, facts, list};
use cage_wal::{ChainHash, Epoch, LogSpace, LogStats, Lsn};

use super::board::{Board, Phase, Served};
use crate::data::DataDir;
use crate::limits::{BEAT_MISSED_MAX, DURABLE_STALL_MAX, FILES_LOOK_EVERY};
use crate::scrubber::Counts;
use crate::server::Started;

/// What lies in a folder, and what is left of its disk.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The folder.
    pub path: PathBuf,
    /// Files of the sort that belongs there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the disk that are free for this process.
    pub free_bytes: u64,
    /// Bytes of the disk.
    pub disk_bytes: u64,
}

impl Place {
    /// Counts files whose names end so. A folder that is not there is empty.
    fn look(path: &Path, suffix: &str) -> Self {
        let mut place = Self { path: path.to_owned(), ..Self::default() };
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(suffix) {
                place.files += 1;
                place.bytes += entry.metadata().map_or(0, |found| found.len());
            }
        }
        // An archive that does not exist yet will be on the disk of the nearest folder that does.
        let nearest = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(path);
        if let Ok(disk) = rustix::fs::statvfs(nearest) {
            place.free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
            place.disk_bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
        }
        place
    }
}

/// What lies on the disk, as it was not long ago.
#[derive(Clone, Debug)]
pub struct Files {
    seen: Instant,
    /// Segments that are not archived.
    pub log: Place,
    /// Snapshots.
    pub snapshots: Place,
    /// Archived segments.
    pub archive: Place,
    /// The newest snapshot.
    pub newest: Option<SnapshotFacts>,
}

impl Files {
    fn look(data: &DataDir) -> Self {
        let snapshots = data.snapshots();
        Self {
            seen: Instant::now(),
            log: Place::look(&data.log(), ".wal"),
            snapshots: Place::look(snapshots.path(), ".snapshot"),
            archive: Place::look(data.archive_path(), ".wal.zst"),
            newest: list(&snapshots).ok().and_then(|found| facts(&snapshots, *found.first()?).ok()),
        }
    }

    /// Whether it is time to look again.
    fn is_old(&self) -> bool {
        self.seen.elapsed() >= FILES_LOOK_EVERY
    }
}

/// How the durable end of the log moved, as somebody sees it who looks every second.
#[derive(Debug)]
pub struct Movement {
    durable: Lsn,
    moved: Instant,
}

impl Default for Movement {
    fn default() -> Self {
        Self { durable: Lsn::ZERO, moved: Instant::now() }
    }
}

impl Movement {
    /// Looks again. A log with nothing to write has not stopped.
    pub fn look(&mut self, board: &Board) {
        let Some(served) = board.served() else { return };
        let (durable, waiting) = (served.log.durable().get(), served.log.stats().waiting);
        if durable != self.durable || waiting == 0 {
            *self = Self { durable, moved: Instant::now() };
        }
    }

    /// For how long records have been waiting for the disk.
    #[must_use]
    pub fn stalled(&self) -> Duration {
        self.moved.elapsed()
    }
}

/// What is known of the log, once it is open.
#[derive(Debug)]
pub struct LogLook {
    /// The settings in force.
    pub settings: Settings,
    /// What the start found.
    pub started: Started,
    /// The log's name.
    pub log_id: u128,
    /// The epoch of this open.
    pub epoch: Epoch,
    /// The last durable record and the chain after it.
    pub head: (Lsn, ChainHash),
    /// The segment that is written to.
    pub segment: u64,
    /// What the log counts.
    pub stats: LogStats,
    /// The space that is prepared.
    pub space: LogSpace,
    /// What the scrubber did.
    pub scrubbed: Counts,
    /// How long ago its last whole round was; nothing if there is no scrubber.
    pub scrub_age: Option<Duration>,
    /// The latest checkpoint.
    pub checkpoint: Option<SignedCheckpoint>,
    /// What lies on the disk.
    pub files: Files,
}

impl LogLook {
    fn of(served: &Served, files: &mut Option<Files>) -> Self {
        let Served { log, findings, checkpoints, data, started, settings } = served;
        let known = files.take().filter(|files| !files.is_old());
        let files = files.insert(known.unwrap_or_else(|| Files::look(data))).clone();
        Self {
            settings: *settings,
            started: *started,
            log_id: log.log_id().0,
            epoch: log.epoch(),
            head: log.chain_head(),
            segment: log.end().segment,
            stats: log.stats(),
            space: log.space(),
            scrubbed: findings.counts(),
            scrub_age: findings.age(),
            checkpoint: checkpoints.as_ref().and_then(|latest| *latest.borrow()),
            files,
        }
    }
}

/// One look.
#[derive(Debug)]
pub struct Look<'a> {
    /// The server's own numbers.
    pub board: &'a Board,
    /// Why it is not ready, if it is not.
    pub unready: Option<String>,
    /// The log, once it is open.
    pub log: Option<LogLook>,
}

impl<'a> Look<'a> {
    /// Takes one.
    pub fn take(board: &'a Board, movement: &Movement, files: &mut Option<Files>) -> Self {
        let log = board.served().map(|served| LogLook::of(served, files));
        Self { board, unready: unready(board, movement), log }
    }
}

/// A server that is looked at.
#[derive(Debug)]
pub struct Watched {
    board: Arc<Board>,
    seen: Mutex<(Movement, Option<Files>)>,
}

impl Watched {
    /// The server behind a board.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        Self { board, seen: Mutex::default() }
    }

    /// The board.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Looks whether the log moves. To be called every second.
    pub fn watch(&self) {
        self.seen().0.look(&self.board);
    }

    /// Why requests should not be sent there, if they should not.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        unready(&self.board, &self.seen().0)
    }

    /// Takes a look, and hands it on.
    pub fn look<T>(&self, to: impl FnOnce(&Look<'_>) -> T) -> T {
        let (movement, files) = &mut *self.seen();
        to(&Look::take(&self.board, movement, files))
    }

    fn seen(&self) -> MutexGuard<'_, (Movement, Option<Files>)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the main thread does not live, if it does not. While it recovers, or works out the last digest, it says nothing for
/// long, and is well.
#[must_use]
pub fn dead(board: &Board) -> Option<String> {
    let busy = matches!(board.phase(), Phase::Recovering | Phase::Closing);
    let silence = board.silence();
    (!busy && silence > BEAT_MISSED_MAX)
        .then(|| format!("the main thread has said nothing for {} s", silence.as_secs()))
}

/// Why requests should not be sent here, if they should not.
#[must_use]
pub fn unready(board: &Board, movement: &Movement) -> Option<String> {
    let phase = board.phase();
    if phase != Phase::Serving {
        return Some(phase.name().to_owned());
    }
    let stalled = movement.stalled();
    dead(board)
        .or_else(|| {
            let failed = board.served().and_then(|served| served.log.failed());
            failed.map(|reason| format!("the log failed: {reason}"))
        })
        .or_else(|| {
            super::alarms::is_on(board, super::alarms::Alarm::ClockJumped)
                .then(|| "the wall clock jumped: operations are not taken until a restart".to_owned())
        })
        .or_else(|| {
            (stalled > DURABLE_STALL_MAX)
                .then(|| format!("the log has made nothing durable for {} s", stalled.as_secs()))
        })
}
