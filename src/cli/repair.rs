//! `cage repair`: says what is wrong with a log that does not open, what is lost and what can be done; does it if the loss is
//! accepted.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_wal::storage::Directory;
use cage_wal::{
    Anchor, Corruption, Damaged, Diagnosis, Kept, Limits, Lsn, RecoveryError, ScanReport, SnapshotError,
    diagnose, diagnose_telling, scan_from, segment_numbers, snapshot,
};
use clap::Args;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{fail, progress};
use crate::data::DataDir;
use crate::snapshots::load;

/// Exit code: the log is damaged, and was left as it is.
const EXIT_DAMAGED: u8 = 1;
/// Exit code: the log cannot be read, is in use, or the repair could not be carried out.
const EXIT_UNREADABLE: u8 = 2;

/// Explain what is wrong with a log that does not open, and go on without what is lost if that is accepted.
///
/// Without --accept-loss nothing is changed. With it the log ends where its damage begins: files that are not part of it any
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
    /// Go on without these records: exactly as this command has printed them, or none
    #[arg(long, value_name = "FROM-UNTIL")]
    accept_loss: Option<String>,
}

/// Where reading begins: with the log, or, if its beginning is archived, after the oldest snapshot that its folder
/// continues.
fn oldest_needed(data: &DataDir) -> Result<Lsn, SnapshotError> {
    let numbers = segment_numbers(&Directory::existing(&data.log()))?;
    let Some(first) = numbers.first().copied().filter(|first| *first > 1) else { return Ok(Lsn::FIRST) };
    let dir = data.snapshots();
    for lsn in snapshot::list(&dir)?.into_iter().rev() {
        // One whose header is damaged stands for nothing.
        let end = snapshot::facts(&dir, lsn).map(|facts| facts.anchor.end.segment);
        if end.is_ok_and(|end| end + 1 >= first) {
            return Ok(lsn.next());
        }
    }
    Ok(Lsn::FIRST)
}

/// Whether the log goes on where a snapshot ends; if not, why.
fn continues(data: &DataDir, anchor: Anchor) -> Result<Option<Box<Corruption>>, RecoveryError<Infallible>> {
    let log = data.whole_log(anchor.end.segment + 1);
    match scan_from(&log, Limits::after(anchor), |_| Ok::<_, Infallible>(())) {
        Ok(_) => Ok(None),
        Err(RecoveryError::Corruption(corruption)) => Ok(Some(corruption)),
        Err(other) => Err(other),
    }
}

impl Repair {
    pub(crate) fn run(self) -> ExitCode {
        let data = DataDir::new(&self.dir, None);
        let log = data.log();
        if !log.is_dir() {
            let dir = self.dir.display();
            return fail(
                EXIT_UNREADABLE,
                &format!("there is no log in {dir}: expected a data directory with log/ in it"),
            );
        }
        // As a start does: what the newest good snapshot covers is not needed.
        let covered = match load(&data.snapshots(), |_| true) {
            Ok(base) => base.anchor(),
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        };
        let oldest = match oldest_needed(&data) {
            Ok(oldest) => oldest,
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        };
        let from = covered.map_or(oldest, |anchor| anchor.lsn.next());
        let bar = progress::bar("repair", progress::bytes_of(&Directory::existing(&log)), false);
        let diagnosed = diagnose_telling(&log, from, |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let damaged = match diagnosed {
            Ok(Diagnosis::Whole(report)) => return self.whole(&data, &report, covered, oldest),
            Ok(Diagnosis::Damaged(damaged)) => damaged,
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        };
        say!("damaged   {}", damaged.corruption);
        let Some(kept) = damaged.kept else {
            say!("kept      nothing: not even the first segment is one of this log");
            say!("todo      restore the files in {} from an archive or a replica", log.display());
            return ExitCode::from(EXIT_DAMAGED);
        };
        if let Some(anchor) = covered.filter(|anchor| kept.next_lsn <= anchor.lsn) {
            say!(
                "kept      records up to {} in the log, and the snapshot at {}",
                kept.next_lsn.previous(),
                anchor.lsn
            );
            say!(
                "todo      restore the files in {} from an archive or a replica: the log cannot end before a snapshot",
                log.display()
            );
            return ExitCode::from(EXIT_DAMAGED);
        }
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

    /// The log that a start needs opens by itself. It may still not continue its snapshot, or be damaged before it.
    fn whole(&self, data: &DataDir, report: &ScanReport, covered: Option<Anchor>, oldest: Lsn) -> ExitCode {
        if let Some(anchor) = covered {
            match continues(data, anchor) {
                Ok(None) => {}
                Ok(Some(corruption)) => {
                    say!("damaged   {corruption}");
                    say!(
                        "todo      find the log that belongs to the snapshot at {}: this one is whole, but older, or another one.",
                        anchor.lsn
                    );
                    say!("          Nothing can be repaired here");
                    return ExitCode::from(EXIT_DAMAGED);
                }
                Err(reason) => return fail(EXIT_UNREADABLE, &reason),
            }
            match diagnose(&data.log(), oldest) {
                Ok(Diagnosis::Whole(_)) => {}
                Ok(Diagnosis::Damaged(damaged)) => {
                    let file = &damaged.corruption.file;
                    say!("damaged   {}", damaged.corruption);
                    say!(
                        "lost      nothing: the snapshot at {} covers it, and the server starts",
                        anchor.lsn
                    );
                    say!(
                        "todo      put a good copy of {file} back: from a replica, a copy of the disk. Until then it is not"
                    );
                    say!(
                        "          archived, nor is what comes after it, and answers that stand in it cannot be repeated"
                    );
                    return match &self.accept_loss {
                        None => ExitCode::from(EXIT_DAMAGED),
                        Some(_) => {
                            fail(EXIT_DAMAGED, &"nothing is lost that could be accepted; nothing was changed")
                        }
                    };
                }
                Err(reason) => return fail(EXIT_UNREADABLE, &reason),
            }
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
