//! `cage prove`: the proof that one record is in the log.

use std::path::PathBuf;
use std::process::ExitCode;

use cage_engine::Lsn;
use clap::Args;

use super::fail;
use crate::data::DataDir;
use crate::proof::inclusion::{Proof, ProofError};
use crate::proof::witness;

/// Exit code: the log is not what was signed.
const EXIT_DIFFERENCES: u8 = 1;
/// Exit code: the log or the witness cannot be read, or nothing that was signed is over the record.
const EXIT_UNREADABLE: u8 = 2;

/// Prove that a record is in the log, for somebody who has the public key and nothing else.
///
/// Writes one line of JSON: the record's frame, its path to the root of a checkpoint, the checkpoint. `cage verify` checks
/// it. The other records of the frame can be read in it as well. Exit codes: 0 written, 1 the log is not what was signed,
/// 2 cannot read, or not signed yet.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage prove ./cage-data --lsn 1000 --witness ./witness --out bet.proof")]
pub(crate) struct Prove {
    /// The data directory
    dir: PathBuf,
    /// The record
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    lsn: u64,
    /// The witness with the checkpoint over it: FILE, and beside it all FILE.closed-NUMBER
    #[arg(long, value_name = "FILE")]
    witness: PathBuf,
    /// Where the log's older segments are [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Where to write the proof [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Prove {
    pub(crate) fn run(self) -> ExitCode {
        let kept = match witness::read(&self.witness) {
            Ok(kept) => kept,
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        };
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        if !data.log().is_dir() {
            let dir = self.dir.display();
            let reason = format!("there is no log in {dir}: expected a data directory with log/*.wal in it");
            return fail(EXIT_UNREADABLE, &reason);
        }
        let proof = match Proof::of(&data, Lsn(self.lsn), &kept) {
            Ok(proof) => proof.to_text(),
            Err(reason @ ProofError::NotTheLog { .. }) => return fail(EXIT_DIFFERENCES, &reason),
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        };
        let Some(out) = self.out else {
            say!("{}", proof.trim_end());
            return ExitCode::SUCCESS;
        };
        match std::fs::write(&out, proof) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(EXIT_UNREADABLE, &format!("{}: {reason}", out.display())),
        }
    }
}
