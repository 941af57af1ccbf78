//! `cage checkpoint-key`: makes the key that signs checkpoints, and shows its public half.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::fail;
use crate::proof::keys::{SigningKey, public_path};

/// Exit code: the key cannot be made or read.
const EXIT_KEY: u8 = 2;

/// Show the public half of the key that signs checkpoints, or make a new key.
///
/// Prints the public key as 64 hexadecimal digits. With --new it first makes FILE (mode 0600) and FILE.pub; FILE must not
/// exist. Keep FILE where whoever can change the log cannot read it; hand FILE.pub to auditors and front-ends.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage checkpoint-key /etc/cage/checkpoint.key --new")]
pub(crate) struct CheckpointKey {
    /// The private key, as PEM
    file: PathBuf,
    /// Make it
    #[arg(long)]
    new: bool,
}

impl CheckpointKey {
    pub(crate) fn run(self) -> ExitCode {
        if self.new {
            if let Err(reason) = SigningKey::create(&self.file) {
                return fail(EXIT_KEY, &reason);
            }
            eprintln!("made {} and {}", self.file.display(), public_path(&self.file).display());
        }
        match SigningKey::read(&self.file) {
            Ok(key) => {
                say!("{}", key.public());
                ExitCode::SUCCESS
            }
            Err(reason) => fail(EXIT_KEY, &reason),
        }
    }
}
