//! `cage scrub`: reads all sealed segments and all snapshots again, past the page cache.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_wal::snapshot::{Proven, list, prove};
use cage_wal::storage::Directory;
use cage_wal::{Scrubbed, SnapshotError, StorageError, scrub_segment, segment_numbers};
use clap::Args;

use super::{fail, progress};
use crate::data::DataDir;
use crate::scrubber::Pace;

/// Exit code: damage was found.
const EXIT_DAMAGED: u8 = 1;
/// Exit code: the log cannot be read.
const EXIT_UNREADABLE: u8 = 2;

/// Read every sealed segment from the disk and compare it with what its successor says of it, and every snapshot with its
/// hashes.
///
/// Finds bytes that have changed since they were durable, while there are still copies of them. Reads only, and may run beside
/// the server, which does the same by itself. Says nothing about the last segment: the server checks that when it starts.
/// Exit codes: 0 good, 1 damaged, 2 cannot read.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage scrub ./cage-data --mib-per-second 100")]
pub(crate) struct Scrub {
    /// The data directory
    dir: PathBuf,
    /// How fast to read; 0 = as fast as it goes
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    mib_per_second: u64,
    /// Where the log's older segments are, which are read as well [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// All segments, by their names alone: a file that is not what its name says is named, and the others are read all the same.
fn numbers(data: &DataDir) -> Result<BTreeSet<u64>, StorageError> {
    let log = data.log();
    let hot = if log.is_dir() { segment_numbers(&Directory::existing(&log))? } else { Vec::new() };
    Ok(hot.into_iter().chain(data.archive().segments()?).collect())
}

/// What was read.
#[derive(Debug, Default)]
struct Found {
    segments: u64,
    frames: u64,
    snapshots: u64,
    bytes: u64,
    damage: Vec<String>,
}

impl Found {
    /// Each reason is told once: a file that cannot be read may be in the way of the one before it as well.
    fn damage(&mut self, reason: &dyn std::fmt::Display) {
        let reason = reason.to_string();
        if !self.damage.contains(&reason) {
            self.damage.push(reason);
        }
    }

    /// `own` says what is wrong with the segment's own copy in the archive.
    fn segment(
        &mut self,
        scrubbed: Result<Scrubbed, StorageError>,
        own: impl FnOnce() -> Option<StorageError>,
    ) {
        match scrubbed {
            Ok(Scrubbed::Good { frames, bytes }) => {
                self.segments += 1;
                self.frames += frames;
                self.bytes += bytes;
            }
            Ok(Scrubbed::Damaged(damage)) => self.damage(&damage),
            Ok(Scrubbed::NotSealed | Scrubbed::Gone | Scrubbed::Stopped) => {}
            Err(reason) => {
                self.damage(&reason);
                // It may be the next one that cannot be read, and this one has to be read by itself.
                if let Some(own) = own().filter(|own| own.source.kind() != std::io::ErrorKind::NotFound) {
                    self.damage(&own);
                }
            }
        }
    }

    fn snapshot(&mut self, proven: Result<Proven, SnapshotError>) {
        match proven {
            Ok(Proven::Good { bytes }) => {
                self.snapshots += 1;
                self.bytes += bytes;
            }
            Ok(Proven::Gone | Proven::Stopped) => {}
            Err(reason) => self.damage(&reason),
        }
    }
}

impl Scrub {
    pub(crate) fn run(self) -> ExitCode {
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        let storage = data.whole_log(1);
        let numbers = match numbers(&data) {
            Ok(numbers) if !numbers.is_empty() => numbers,
            Ok(_) => {
                let dir = self.dir.display();
                let reason =
                    format!("there is no log in {dir}: expected a data directory with log/*.wal in it");
                return fail(EXIT_UNREADABLE, &reason);
            }
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        };
        let mut pace = Pace::new(self.mib_per_second << 20);
        let bytes = progress::bytes_of(&storage) + progress::bytes_of(&data.snapshots());
        let bar = progress::bar("scrub", bytes, self.json);
        let mut next = |piece| {
            bar.inc(piece);
            pace.wait(piece)
        };
        let mut found = Found::default();
        for number in numbers {
            found.segment(scrub_segment(&storage, number, &mut next), || data.archive().load(number).err());
        }
        let snapshots = data.snapshots();
        match list(&snapshots) {
            Ok(listed) => {
                listed.into_iter().for_each(|lsn| found.snapshot(prove(&snapshots, lsn, &mut next)))
            }
            Err(reason) => found.damage(&reason),
        }
        bar.finish_and_clear();
        match data.missing_in_archive() {
            Ok(None) => {}
            Ok(Some(missing)) => found.damage(&format!(
                "segment {missing:#x} is missing, in the log and in the archive, and one before it is archived"
            )),
            Err(reason) => found.damage(&reason),
        }
        let strangers = data.archive().strangers().unwrap_or_default();
        self.print(&found, &strangers)
    }

    fn print(&self, found: &Found, strangers: &[String]) -> ExitCode {
        let Found { segments, frames, snapshots, bytes, damage } = found;
        let verdict = if damage.is_empty() { "good" } else { "damaged" };
        if self.json {
            let report = serde_json::json!({
                "segments": segments, "frames": frames, "snapshots": snapshots, "bytes": bytes, "damage": damage,
                "strangers": strangers, "verdict": verdict
            });
            say!("{report}");
        } else {
            say!(
                "{segments} sealed segments ({frames} frames) and {snapshots} snapshots are good: {bytes} bytes"
            );
            damage.iter().for_each(|found| say!("DAMAGE    {found}"));
            strangers.iter().for_each(|name| {
                say!("NOTICE    {name} in the archive has no segment's name: nobody reads it")
            });
            say!("verdict   {verdict}");
        }
        if damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGED) }
    }
}
