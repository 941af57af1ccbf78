//! `cage scrub`: reads all sealed segments again, past the page cache.

use std::path::PathBuf;
use std::process::ExitCode;

use cage_wal::{Scrubbed, scrub_segment, segment_numbers};
use clap::Args;

use super::{fail, progress};
use crate::data::DataDir;
use crate::scrubber::Pace;

/// Exit code: damage was found.
const EXIT_DAMAGED: u8 = 1;
/// Exit code: the log cannot be read.
const EXIT_UNREADABLE: u8 = 2;

/// Read every sealed segment from the disk and compare it with what its successor says of it.
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

impl Scrub {
    pub(crate) fn run(self) -> ExitCode {
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        let storage = data.whole_log(1);
        let numbers = match segment_numbers(&storage) {
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
        let bar = progress::bar("scrub", progress::bytes_of(&storage), self.json);
        let mut next = |piece| {
            bar.inc(piece);
            pace.wait(piece)
        };
        let (mut segments, mut frames, mut bytes, mut damage) = (0_u64, 0, 0, Vec::new());
        for number in numbers {
            match scrub_segment(&storage, number, &mut next) {
                Ok(Scrubbed::Good { frames: more, bytes: read }) => {
                    segments += 1;
                    frames += more;
                    bytes += read;
                }
                Ok(Scrubbed::Damaged(found)) => damage.push(found.to_string()),
                Ok(Scrubbed::NotSealed | Scrubbed::Gone | Scrubbed::Stopped) => {}
                Err(reason) => damage.push(reason.to_string()),
            }
        }
        bar.finish_and_clear();
        match data.missing_in_archive() {
            Ok(None) => {}
            Ok(Some(missing)) => damage.push(format!(
                "segment {missing:#x} is missing, in the log and in the archive, and one before it is archived"
            )),
            Err(reason) => damage.push(reason.to_string()),
        }
        let verdict = if damage.is_empty() { "good" } else { "damaged" };
        if self.json {
            let report = serde_json::json!({
                "segments": segments, "frames": frames, "bytes": bytes, "damage": damage, "verdict": verdict
            });
            say!("{report}");
        } else {
            say!("{segments} sealed segments are good: {frames} frames, {bytes} bytes");
            damage.iter().for_each(|found| say!("DAMAGE    {found}"));
            say!("verdict   {verdict}");
        }
        if damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGED) }
    }
}
