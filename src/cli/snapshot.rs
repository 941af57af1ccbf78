//! `cage snapshot`: makes a snapshot of a ledger, also beside its running server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use cage_wal::snapshot::{facts, list};
use cage_wal::storage::faulty::FaultPlan;
use clap::Args;
use rustix::process::{Signal, nice, set_parent_process_death_signal};
use serde::Serialize;

use super::{fail, hex, init_tracing, progress};
use crate::data::DataDir;
use crate::snapshots::{EXIT_LOG_DAMAGED, EXIT_NOT_ARCHIVED, Keep, Made, MakeFault, make};

/// Exit code: no snapshot was made.
const EXIT_FAILED: u8 = 1;
/// Exit code: another process is at it.
const EXIT_BUSY: u8 = 5;

/// How nice: everybody else comes first.
const NICENESS: i32 = 19;

/// Make a snapshot, so that starts need not replay what came before it.
///
/// Applies what was sealed since the last snapshot, writes the new one, reads it back, keeps two. Segments that both of
/// them cover go to the archive, packed, each after its copy was read back. May run beside the server. Exit codes: 0
/// made, or nothing new; 1 not made; 4 a segment of the log is damaged: put a good copy in its place; 5 another process is
/// making one; 6 made, or nothing new, but a segment not archived.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage snapshot ./cage-data")]
pub(crate) struct Snapshot {
    /// The data directory
    dir: PathBuf,
    /// Where segments go [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
    /// How many MiB of segments stay in DIR/log at least
    #[arg(long, value_name = "MIB", default_value_t = super::serve::HOT_MIB)]
    hot_mib: u64,
    /// For drills: which calls on the log, the snapshots and the archive, counted together, fail, like `rename@2`
    #[arg(long, value_name = "PLAN", env = "CAGE_SNAPSHOT_FAULTS", hide = true)]
    faults: Option<FaultPlan>,
    /// Run after everybody else, and not longer than whoever started it
    #[arg(long, hide = true)]
    background: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    made: bool,
    lsn: u64,
    records: u64,
    bytes: u64,
    seconds: f64,
    digest: String,
    archived: u64,
    passed_over: &'a [String],
}

impl Snapshot {
    pub(crate) fn run(self) -> ExitCode {
        init_tracing();
        if self.background {
            // Both are favours; without them it still does no harm.
            let _ = nice(NICENESS);
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
        }
        if self.faults.is_some() {
            tracing::warn!("FAULTS ARE ON: this is a drill");
        }
        let begin = Instant::now();
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        let newest =
            list(&data.snapshots()).ok().and_then(|found| facts(&data.snapshots(), *found.first()?).ok());
        let sealed = data.whole_log(newest.map_or(1, |newest| newest.anchor.end.segment + 1));
        let bar = progress::bar("snapshot", progress::bytes_of(&sealed), self.json || self.background);
        let keep = Keep { hot_bytes: self.hot_mib.saturating_mul(1 << 20) };
        let made = make(&data, keep, self.faults.clone(), &mut |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let made = match made {
            Ok(made) => made,
            Err(reason @ MakeFault::Busy(_)) => return fail(EXIT_BUSY, &reason),
            Err(reason) if reason.is_damage() => return fail(EXIT_LOG_DAMAGED, &reason),
            Err(reason @ MakeFault::Archive(_)) => return fail(EXIT_NOT_ARCHIVED, &reason),
            Err(reason) => return fail(EXIT_FAILED, &reason),
        };
        for why in &made.passed_over {
            tracing::error!(%why, "a snapshot is not good: an older one was used");
        }
        self.print(&made, begin.elapsed().as_secs_f64());
        ExitCode::SUCCESS
    }

    fn print(&self, made: &Made, seconds: f64) {
        let Made { lsn, records, bytes, archived, passed_over, .. } = made;
        let (digest, is_new) = (hex(&made.digest), *records > 0);
        if self.json {
            let json = Json {
                made: is_new,
                lsn: *lsn,
                records: *records,
                bytes: *bytes,
                seconds,
                digest,
                archived: *archived,
                passed_over,
            };
            return say!("{}", serde_json::json!(json));
        }
        if is_new {
            say!("snapshot  at {lsn}, {records} records more than the last, {bytes} bytes, {seconds:.2} s");
        } else {
            say!("snapshot  nothing was sealed since the last, at {lsn}");
        }
        say!("digest    {digest}");
        say!("archived  {archived} segments");
    }
}
