//! `cage man`: the manual pages, one for each command.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::config::described;
use super::fail;

/// Exit code: they could not be written.
const EXIT_UNWRITABLE: u8 = 2;

/// Write the manual pages of all commands into a folder.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage man ./man")]
pub(crate) struct Man {
    /// The folder, which is made if it is not there
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> ExitCode {
        let written =
            fs::create_dir_all(&self.dir).and_then(|()| clap_mangen::generate_to(described(), &self.dir));
        match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(EXIT_UNWRITABLE, &format!("{}: {reason}", self.dir.display())),
        }
    }
}
