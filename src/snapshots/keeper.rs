//! Has snapshots made while the server runs: by another process of the same program, with low priority.
//!
//! In: how far the log is. Out: now and then a process that makes a snapshot, and what became of it as a log line; its
//! state's digest for whoever signs.
//! Never here: anything that the writer waits for. What that process uses of memory and time is given back when it ends,
//! and if it dies, the ledger does not.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cage_wal::snapshot::{facts, list};
use cage_wal::{LogHandle, Position};
use tokio::process::Command;

use super::{EXIT_LOG_DAMAGED, EXIT_NOT_ARCHIVED, Keep};
use crate::admin::alarms::Alarm;
use crate::admin::board::Board;
use crate::data::DataDir;
use crate::limits;
use crate::proof::signer::Digests;

/// When snapshots are made, and by whom.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The `cage` program.
    pub program: PathBuf,
    /// Bytes of log after which the next one is due.
    pub after_bytes: u64,
    /// What stays in the log's own folder.
    pub keep: Keep,
}

/// Watches a log.
#[derive(Debug)]
pub struct Keeper {
    log: LogHandle,
    data: DataDir,
    schedule: Schedule,
    segment_bytes: u64,
    /// Where the last snapshot ends.
    since: Position,
    /// The last attempt did not get all segments out of the log's folder that had to leave.
    stuck: bool,
    /// Who vouches for the states of snapshots, if anybody signs.
    digests: Option<Digests>,
    board: Arc<Board>,
}

impl Keeper {
    /// For a log whose segments have `segment_bytes`, and whose last snapshot ends at `since`.
    #[must_use]
    pub const fn new(
        log: LogHandle,
        data: DataDir,
        schedule: Schedule,
        segment_bytes: u64,
        since: Position,
        digests: Option<Digests>,
        board: Arc<Board>,
    ) -> Self {
        Self { log, data, schedule, segment_bytes, since, stuck: false, digests, board }
    }

    /// Has snapshots made when they are due, for ever. A process that still runs when this is dropped is killed: what
    /// it left is removed by the next one.
    pub async fn keep(mut self) {
        loop {
            tokio::time::sleep(limits::LOG_WATCH_EVERY).await;
            if (self.is_due() || self.stuck) && !self.make().await {
                tokio::time::sleep(limits::SNAPSHOT_RETRY_AFTER).await;
            }
        }
    }

    fn is_due(&self) -> bool {
        let end = self.log.end();
        let segments = end.segment.saturating_sub(self.since.segment + 1);
        let bytes = segments.saturating_mul(self.segment_bytes).saturating_add(end.offset);
        // Only what is sealed can be in it.
        segments > 0 && bytes >= self.schedule.after_bytes
    }

    /// Has one made; says whether it was.
    async fn make(&mut self) -> bool {
        let begin = Instant::now();
        let ended = self.run().await;
        let took = begin.elapsed();
        let code = ended.as_ref().ok().and_then(|(status, _)| status.code());
        let exit = |wanted: u8| code == Some(wanted.into());
        let (made, not_archived) = (exit(0), exit(EXIT_NOT_ARCHIVED) || exit(EXIT_LOG_DAMAGED));
        self.board.set(Alarm::NotArchived, not_archived);
        self.board.set(Alarm::NoSnapshot, !made && !not_archived);
        match ended {
            Ok((_, said)) if made => {
                if std::mem::take(&mut self.stuck) {
                    tracing::info!("segments leave the log's folder again");
                }
                self.made(took, &said)
            }
            Ok((_, said)) if exit(EXIT_NOT_ARCHIVED) => {
                tracing::error!("a segment was not archived: the log's folder grows until the next attempt");
                self.is_stuck(took, &said)
            }
            Ok((_, said)) if exit(EXIT_LOG_DAMAGED) => {
                tracing::error!(
                    "A SEGMENT OF THE LOG IS DAMAGED (the line before names it): until a good copy is in its place nothing leaves \
                     the log's folder, which grows; put one there, `cage scrub` says whether it is good"
                );
                self.is_stuck(took, &said)
            }
            Ok((status, _)) => {
                self.board.numbers.snapshots_failed.add(1);
                tracing::error!(%status, "no snapshot was made: starts will take longer, and the log grows");
                false
            }
            Err(reason) => {
                self.board.numbers.snapshots_failed.add(1);
                tracing::error!(%reason, "no process could be started that makes a snapshot");
                false
            }
        }
    }

    /// Tried again soon, and told again, whether or not a snapshot is due.
    fn is_stuck(&mut self, took: Duration, said: &str) -> bool {
        self.stuck = true;
        self.made(took, said);
        false
    }

    async fn run(&self) -> std::io::Result<(ExitStatus, String)> {
        let Schedule { program, keep, .. } = &self.schedule;
        let hot_mib = (keep.hot_bytes >> 20).to_string();
        let child = Command::new(program)
            .arg("snapshot")
            .arg(self.data.root())
            .arg("--archive")
            .arg(self.data.archive_path())
            .args(["--hot-mib", &hot_mib, "--background", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.wait_with_output().await?;
        Ok((output.status, String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    fn made(&mut self, took: Duration, said: &str) -> bool {
        let dir = self.data.snapshots();
        let newest = list(&dir).ok().and_then(|found| facts(&dir, *found.first()?).ok());
        match newest {
            Some(newest) if newest.anchor.end > self.since => {
                self.since = newest.anchor.end;
                if let Some(digests) = &self.digests {
                    digests.tell((newest.anchor.lsn, newest.digest));
                }
                self.board.numbers.snapshots_made.add(1);
                tracing::info!(
                    lsn = newest.anchor.lsn.0,
                    millis = took.as_millis(),
                    said,
                    "a snapshot was made"
                );
                true
            }
            // A segment without records, say: nothing is wrong.
            _ => {
                tracing::info!(said, "nothing was sealed that a snapshot does not hold");
                false
            }
        }
    }
}
