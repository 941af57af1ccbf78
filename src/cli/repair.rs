//! `cage repair`: says what is wrong with a log that does not open, what is lost and what can be done; does it if the loss is
//! accepted.

use std::path::PathBuf;
use std::process::ExitCode;

use cage_wal::storage::Directory;
use cage_wal::{
    Anchor, Corruption, Damage, Damaged, Kept, RecoveryError, Scrubbed, scrub_segment, segment_numbers,
};
use clap::Args;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{fail, progress};
use crate::data::DataDir;
use crate::recovery::{Recovery, ReplayFault, recover_after};
use crate::snapshots::load;

/// Exit code: the log is damaged, and was left as it is.
const EXIT_DAMAGED: u8 = 1;
/// Exit code: the log cannot be read, is in use, or the repair could not be carried out.
const EXIT_UNREADABLE: u8 = 2;

/// Explain what is wrong with a log that does not open, and go on without what is lost if that is accepted.
///
/// Reads snapshots, log and archive as a start of the server does, and says whether one would go well. Without
/// --accept-loss nothing is changed. With it the log ends where its damage begins: files that are not part of it any
/// more are moved to DIR/log/quarantine-TIME, nothing is deleted, and the log itself says for ever what was given up; audits
/// report it. Restoring a good copy of the damaged file loses nothing and always comes first. Exit codes: 0 nothing to
/// repair, or repaired; 1 damaged; 2 cannot read, or in use.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage repair ./cage-data\n  cage repair ./cage-data --accept-loss 101-250"
)]
pub(crate) struct Repair {
    /// The data directory
    dir: PathBuf,
    /// Where the log's older segments are, as it is named to cage serve [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Go on without these records: exactly as this command has printed them, or none
    #[arg(long, value_name = "FROM-UNTIL")]
    accept_loss: Option<String>,
}

impl Repair {
    pub(crate) fn run(self) -> ExitCode {
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        let log = data.log();
        if !log.is_dir() {
            let dir = self.dir.display();
            return fail(
                EXIT_UNREADABLE,
                &format!("there is no log in {dir}: expected a data directory with log/ in it"),
            );
        }
        // All that a start does, so that no verdict of this command is another one than a start's.
        let base = match load(&data.snapshots(), |_| true) {
            Ok(base) => base,
            Err(reason) => {
                say!("start     is refused: {reason}");
                return fail(EXIT_UNREADABLE, &reason);
            }
        };
        let (covered, first) = (base.anchor(), base.first_segment());
        let passed_over = base.passed_over.clone();
        let bar = progress::bar("repair", progress::bytes_of(&data.whole_log(first)), false);
        let recovered = recover_after(&data, base, None, |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let code = match recovered {
            Ok(recovery) => self.goes_well(&data, &recovery, covered),
            Err(RecoveryError::Corruption(corruption)) => self.damaged(&data, covered, first, *corruption),
            Err(reason) => unreadable(&reason),
        };
        passed_over.iter().for_each(|why| say!("snapshot  not good, passed over by a start: {why}"));
        code
    }

    /// The log that a start needs is whole. It may still be damaged before its snapshot.
    fn goes_well(&self, data: &DataDir, recovery: &Recovery, covered: Option<Anchor>) -> ExitCode {
        let report = recovery.log.report();
        match covered {
            Some(anchor) => say!("start     goes well, from the snapshot at {}", anchor.lsn),
            None => say!("start     goes well, from the first record"),
        }
        match covered.map_or(Ok(None), |anchor| damage_before(data, anchor)) {
            Ok(None) => {}
            Ok(Some((damage, anchor))) => {
                let file = &damage.file;
                say!("damaged   {damage}");
                say!("lost      nothing: the snapshot at {} covers it, and the server starts", anchor.lsn);
                say!(
                    "todo      put a good copy of {file} back: from a replica, a copy of the disk. Until then it is not"
                );
                say!(
                    "          archived, nor is what comes after it, and answers that stand in it cannot be repeated"
                );
                if self.accept_loss.is_some() {
                    fail(EXIT_DAMAGED, &"nothing is lost that could be accepted; nothing was changed");
                }
                return ExitCode::from(EXIT_DAMAGED);
            }
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        }
        say!("whole     {} records, nothing to repair", report.records);
        if let Some(tail) = &report.torn_tail {
            say!(
                "torn tail at LSN {}: no acknowledged record is in it, and the next start leaves it behind",
                tail.lsn
            );
        }
        ExitCode::SUCCESS
    }

    fn damaged(&self, data: &DataDir, covered: Option<Anchor>, first: u64, found: Corruption) -> ExitCode {
        say!("start     is refused");
        let damaged = match Damaged::of(&data.log(), &data.whole_log(first), covered, found) {
            Ok(damaged) => damaged,
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        };
        say!("damaged   {}", damaged.corruption);
        let Some(kept) = damaged.kept.filter(|_| damaged.archived_after.is_none()) else {
            explain_restore(data, &damaged, covered);
            return match &self.accept_loss {
                None => ExitCode::from(EXIT_DAMAGED),
                Some(_) => fail(EXIT_DAMAGED, &"this cannot be repaired; nothing was changed"),
            };
        };
        explain(&damaged, &kept);
        match &self.accept_loss {
            None => {
                self.options(&damaged);
                ExitCode::from(EXIT_DAMAGED)
            }
            Some(loss) if *loss != damaged.loss() => {
                self.options(&damaged);
                fail(EXIT_DAMAGED, &format!("--accept-loss {loss} is not the loss: it is {}", damaged.loss()))
            }
            Some(_) => carry_out(&damaged),
        }
    }

    fn options(&self, damaged: &Damaged) {
        let file = &damaged.corruption.file;
        say!(
            "option 1  put a good copy of {file} back: from the archive, a replica, a copy of the disk. A segment that has a"
        );
        say!(
            "          successor never changes, so any good copy fits, and the next start proves that it does. Nothing is lost."
        );
        say!(
            "option 2  go on without what is lost; the files that leave the log are kept in a folder beside it:"
        );
        say!("          cage repair {} --accept-loss {}", self.dir.display(), damaged.loss());
    }
}

/// Neither damage that can be described nor a log that can be read: what a start says of it.
fn unreadable(reason: &RecoveryError<ReplayFault>) -> ExitCode {
    say!("start     is refused: {reason}");
    match reason {
        RecoveryError::Visit { .. } => {
            say!("todo      cage audit says which records differ; nothing can be repaired here");
        }
        RecoveryError::Storage(_) => {
            say!(
                "todo      if a file is named: put a good copy of it back, from a replica, a backup of the archive"
            );
        }
        _ => {}
    }
    fail(EXIT_UNREADABLE, reason)
}

/// The first damage in what is still in the log's folder although a snapshot stands for it.
fn damage_before(
    data: &DataDir,
    anchor: Anchor,
) -> Result<Option<(Corruption, Anchor)>, cage_wal::StorageError> {
    let log = Directory::existing(&data.log());
    for number in segment_numbers(&log)?.into_iter().filter(|number| *number <= anchor.end.segment) {
        if let Scrubbed::Damaged(damage) = scrub_segment(&log, number, &mut |_| true)? {
            return Ok(Some((*damage, anchor)));
        }
    }
    Ok(None)
}

/// What is to be done if the log cannot end where its damage begins.
fn explain_restore(data: &DataDir, damaged: &Damaged, covered: Option<Anchor>) {
    let log = data.log();
    let (log, archive) = (log.display(), data.archive_path().display());
    match (covered, damaged.archived_after) {
        (None, None) => say!("kept      nothing: not even the first segment is one of this log"),
        (Some(anchor), None) => say!("kept      the snapshot at {}, and nothing after it", anchor.lsn),
        (_, Some(archived)) => say!(
            "kept      cannot be said: segment {archived:#x}, which is archived, lies behind the damage, and a log does not end before              its archive"
        ),
    }
    say!("todo      restore the files in {log} from an archive or a replica; the archive is looked for in");
    say!("          {archive}: if cage serve is given another, name it with --archive");
    let Some(anchor) = covered else { return };
    if matches!(damaged.corruption.damage, Damage::Anchor | Damage::Continuity) {
        say!(
            "          Or find the log that belongs to the snapshot at {}: this one is older, or another one.",
            anchor.lsn
        );
    }
    say!("          Nothing can be repaired here: the log cannot end before a snapshot");
}

fn explain(damaged: &Damaged, kept: &Kept) {
    let last = kept.next_lsn.previous();
    say!("kept      records up to {last}, chain {last}:{}, {}", kept.chain, kept.end);
    say!("lost      {}", damaged.loss());
    for known in &damaged.evidence {
        say!("known     {known}");
    }
    // Also if nothing is known to be lost: that the control file cannot be read may be why.
    say!(
        "          more may have been acknowledged in the last moment; clients know (--acks, watermarks, checkpoints)"
    );
    for name in &damaged.moved {
        say!("moves     {name}");
    }
}

fn carry_out(damaged: &Damaged) -> ExitCode {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let stamp = OffsetDateTime::now_utc().format(format).unwrap_or_else(|_| "repair".to_owned());
    match damaged.repair(&stamp) {
        Ok(repaired) => {
            say!("repaired  what left the log is in {}, with a report", repaired.quarantine.display());
            say!(
                "next      copy that folder away; start the server with a new --witness file; tell the operators of clients, who"
            );
            say!(
                "          are refused (server_behind, chain_differs) until they begin without their watermark files"
            );
            ExitCode::SUCCESS
        }
        Err(reason) => {
            fail(EXIT_UNREADABLE, &format!("{reason}; run the repair again, it goes on where it was"))
        }
    }
}
