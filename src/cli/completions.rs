//! `cage completions`: what a shell needs to complete this program's commands and options.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate};

use super::config::described;

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage completions bash > cage.bash\n  cage completions zsh > _cage\n  cage completions fish > cage.fish"
)]
pub(crate) struct Completions {
    /// For which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> ExitCode {
        let mut script = Vec::new();
        generate(self.shell, &mut described(), "cage", &mut script);
        // Whoever reads may have stopped reading: that is no fault.
        let _ = std::io::stdout().write_all(&script);
        ExitCode::SUCCESS
    }
}
