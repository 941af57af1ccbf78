//! The `cage` command: parses, dispatches to one subcommand, gives its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    cage::cli::run()
}
