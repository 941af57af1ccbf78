//! `cage games`: the bridge to game providers, as a process of its own; and what people ask of it.

mod asks;
mod reconcile;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_games::{Bridge, BridgeError, Config};
use clap::{Args, Subcommand};

use super::serve::stop_signal;
use super::{fail, init_tracing};
use crate::games as bridge;

/// Exit code: the configuration does not do.
const EXIT_CONFIG: u8 = 1;
/// Exit code: the ledger, the store or the address cannot be had.
const EXIT_START: u8 = 2;
/// Exit code: another bridge has taken over. To start it again would fence that one in turn.
const EXIT_FENCED: u8 = 3;

/// Run the bridge to game providers, or ask a running one.
///
/// Prints where providers, the casino and monitors call, then `ready` on a line of its own. SIGTERM and SIGINT end it when what was taken is
/// answered; a second signal ends it at once. Exit codes: 0 ended in order, 1 the configuration does not do, 2 the
/// ledger, the store or the address cannot be had, 3 another bridge has taken over: do not start this one again by itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: cage games games.toml",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Games {
    #[command(subcommand)]
    command: Option<Command>,
    /// The bridge's configuration
    #[arg(value_name = "FILE", env = "CAGE_GAMES", required = true)]
    config: Option<PathBuf>,
    /// Forget what is kept of transactions and read it from the log again, from its beginning
    #[arg(long)]
    rebuild: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bets(asks::Bets),
    Decide(asks::Decide),
    Reconcile(reconcile::Reconcile),
}

impl Games {
    pub(crate) fn run(self) -> ExitCode {
        init_tracing();
        match self.command {
            Some(Command::Bets(bets)) => return bets.run(),
            Some(Command::Decide(decide)) => return decide.run(),
            Some(Command::Reconcile(reconcile)) => return reconcile.run(),
            None => {}
        }
        let config = self.config.unwrap_or_default();
        let config = match Config::load(&config) {
            Ok(config) => config,
            Err(reason) => return fail(EXIT_CONFIG, &reason),
        };
        if self.rebuild
            && let Err(reason) = Bridge::forget(&config)
        {
            return fail(EXIT_START, &reason);
        }
        let ended = bridge::run(config, stop_signal, |running| {
            bridge::announce(running);
            // Whoever started it may have stopped listening: that is no reason not to serve.
            let _ = writeln!(std::io::stdout(), "ready");
        });
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason @ BridgeError::Fenced(_)) => fail(EXIT_FENCED, &reason),
            Err(reason) => fail(EXIT_START, &reason),
        }
    }
}
