//! `cage verify`: checks a proof, without the log.

use std::path::PathBuf;
use std::process::ExitCode;

use cage_client::CheckpointKey;
use clap::Args;

use super::log::{json_record, write_text};
use super::{fail, hex};
use crate::proof::inclusion::Proof;

/// Exit code: the proof does not hold.
const EXIT_REFUSED: u8 = 1;
/// Exit code: a file cannot be read.
const EXIT_UNREADABLE: u8 = 2;

/// Check the proof that a record is in a log, and print the record.
///
/// Needs the proof and the public key, and neither the log nor the server. Exit codes: 0 it holds, 1 it does not, 2 cannot
/// read.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage verify bet.proof --checkpoint-key checkpoint.key.pub")]
pub(crate) struct Verify {
    /// The proof, as cage prove wrote it
    proof: PathBuf,
    /// Public key of the ledger's checkpoints
    #[arg(long, value_name = "PUBFILE")]
    checkpoint_key: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> ExitCode {
        let key = match CheckpointKey::read(&self.checkpoint_key) {
            Ok(key) => key,
            Err(reason) => return fail(EXIT_UNREADABLE, &reason),
        };
        let bytes = match std::fs::read(&self.proof) {
            Ok(bytes) => bytes,
            Err(reason) => return fail(EXIT_UNREADABLE, &format!("{}: {reason}", self.proof.display())),
        };
        let text = String::from_utf8_lossy(&bytes);
        let proved = match Proof::from_text(&text).and_then(|proof| proof.verify(&key)) {
            Ok(proved) => proved,
            Err(reason) => return fail(EXIT_REFUSED, &format!("{}: {reason}", self.proof.display())),
        };
        let checkpoint = proved.checkpoint;
        if self.json {
            let record = json_record(proved.lsn, proved.segment, &proved.record);
            say!(
                "{}",
                serde_json::json!({
                    "verdict": "proved",
                    "log": format!("{:032x}", checkpoint.log_id),
                    "checkpoint_lsn": checkpoint.lsn,
                    "checkpoint_head": hex(&checkpoint.chain_head),
                    "signed_nanos": checkpoint.time,
                    "record": record,
                })
            );
            return ExitCode::SUCCESS;
        }
        let mut line = Vec::new();
        // Writing to memory does not fail.
        let _ = write_text(&mut line, proved.lsn, &proved.record);
        say!("{}", String::from_utf8_lossy(&line).trim_end());
        say!(
            "proved    in log {:032x}, under the checkpoint {}:{}",
            checkpoint.log_id,
            checkpoint.lsn,
            hex(&checkpoint.chain_head)
        );
        ExitCode::SUCCESS
    }
}
