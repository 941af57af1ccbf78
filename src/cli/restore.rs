//! `cage restore`: puts a ledger together from copies.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{fail, hex, progress};
use crate::data::DataDir;
use crate::restore::{RestoreOptions, Restored, restore};

/// Exit code: nothing was restored.
const EXIT_FAILED: u8 = 1;

/// Put a ledger together from a backup: snapshots, archive, log, whatever of them there is.
///
/// Proves every byte, and says up to which record the new ledger goes and what its digest is. What came later is lost
/// unless another copy has it: compare with what others know (`cage audit --acks --witness`) before it is served. The
/// copies are not changed. Exit codes: 0 restored, 1 not.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage restore --from ./backup --to ./cage-data")]
pub(crate) struct Restore {
    /// The folder with the copies: log, snapshots, archive
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The archive, if it is elsewhere [default: FROM/archive]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// The new data directory, which must not exist
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Leave out the segment that was being written to when it was copied
    #[arg(long)]
    sealed: bool,
    /// Do not copy the archive: the ledger will be served with `--archive`
    #[arg(long)]
    leave_archive: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    last_lsn: u64,
    digest: String,
    snapshot_lsn: u64,
    segments: u64,
    archived: u64,
    torn_tail: Option<&'a str>,
    passed_over: &'a [String],
}

impl Restore {
    pub(crate) fn run(self) -> ExitCode {
        let from = DataDir::new(&self.from, self.archive.as_deref());
        let options = RestoreOptions { sealed_only: self.sealed, leave_archive: self.leave_archive };
        // What is copied, and what is read again of it.
        let copied = progress::bytes_of(&from.whole_log(1)) + progress::bytes_of(&from.snapshots());
        let bar = progress::bar("restore", copied, self.json);
        let restored = restore(&from, &self.to, options, |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        match restored {
            Ok(restored) => {
                self.print(&restored);
                ExitCode::SUCCESS
            }
            Err(reason) => fail(EXIT_FAILED, &reason),
        }
    }

    fn print(&self, restored: &Restored) {
        let Restored { last_lsn, snapshot_lsn, segments, archived, passed_over, .. } = restored;
        let (digest, torn_tail) = (hex(&restored.digest), restored.torn_tail.as_deref());
        if self.json {
            let json = Json {
                last_lsn: *last_lsn,
                digest,
                snapshot_lsn: *snapshot_lsn,
                segments: *segments,
                archived: *archived,
                torn_tail,
                passed_over,
            };
            return say!("{}", serde_json::json!(json));
        }
        say!("restored  up to record {last_lsn}: {segments} segments, {archived} in the archive");
        say!("digest    {digest}");
        say!("snapshot  {snapshot_lsn}");
        for why in passed_over {
            say!("NOTICE    {why}");
        }
        if let Some(tail) = torn_tail {
            say!("torn tail {tail}");
        }
        say!("Compare with what others know before you serve it: cage audit --acks, --witness, --head");
    }
}
