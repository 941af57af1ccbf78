//! `cage games`: the bridge to game providers, as a process of its own; and what people ask of it.

mod asks;
mod reconcile;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_games::{Bridge, Config};
use clap::{Args, Subcommand};
use tokio::runtime::LocalRuntime;

use super::serve::stop_signal;
use super::{fail, init_tracing};

/// Exit code: the configuration does not do.
const EXIT_CONFIG: u8 = 1;
/// Exit code: the ledger, the store or the address cannot be had.
const EXIT_START: u8 = 2;

/// Run the bridge to game providers, or ask a running one.
///
/// Prints where providers, the casino and monitors call, then `ready` on a line of its own. SIGTERM and SIGINT end it when what was taken is
/// answered; a second signal ends it at once. Exit codes: 0 ended in order, 1 the configuration does not do, 2 the
/// ledger, the store or the address cannot be had.
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
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(reason) => return fail(EXIT_START, &reason),
        };
        let ended = runtime.block_on(async {
            if self.rebuild {
                Bridge::forget(&config)?;
            }
            let (bridge, running) = Bridge::start(config).await?;
            let stop = stop_signal();
            // Whoever started it may have stopped listening: that is no reason not to serve.
            let mut stdout = std::io::stdout();
            let _ = writeln!(stdout, "providers {}", running.providers);
            if let Some(casino) = running.casino {
                let _ = writeln!(stdout, "casino {casino}");
            }
            if let Some(admin) = running.admin {
                let _ = writeln!(stdout, "admin {admin}");
            }
            if running.taken_over > 0 {
                tracing::info!(bets = running.taken_over, "bets that were on their way are taken over");
            }
            let _ = writeln!(stdout, "ready");
            bridge.run(stop).await;
            Ok::<_, cage_games::BridgeError>(())
        });
        runtime.shutdown_background();
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(EXIT_START, &reason),
        }
    }
}
