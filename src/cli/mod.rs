//! The command line: one file per subcommand. Results go to stdout, everything else to stderr.

/// Prints a line. Whoever reads may have stopped reading: that is no fault.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod audit;
mod checkpoint_key;
mod demo;
mod games;
mod house;
mod log;
mod prove;
mod query;
mod repair;
mod restore;
mod scrub;
mod serve;
mod snapshot;
mod verify;
mod verify_roll;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The money core of a crypto casino: a durable single-writer ledger over QUIC.
#[derive(Debug, Parser)]
#[command(name = "cage", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Audit(audit::Audit),
    Demo(demo::Demo),
    Games(games::Games),
    House(house::HouseGames),
    Log(log::Log),
    Scrub(scrub::Scrub),
    Repair(repair::Repair),
    Prove(prove::Prove),
    Query(query::Query),
    Verify(verify::Verify),
    VerifyRoll(verify_roll::VerifyRoll),
    CheckpointKey(checkpoint_key::CheckpointKey),
    Restore(restore::Restore),
    Snapshot(snapshot::Snapshot),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Audit(audit) => audit.run(),
        Command::Demo(demo) => demo.run(),
        Command::Games(games) => games.run(),
        Command::House(house) => house.run(),
        Command::Log(log) => log.run(),
        Command::Scrub(scrub) => scrub.run(),
        Command::Repair(repair) => repair.run(),
        Command::Prove(prove) => prove.run(),
        Command::Query(query) => query.run(),
        Command::Verify(verify) => verify.run(),
        Command::VerifyRoll(roll) => roll.run(),
        Command::CheckpointKey(key) => key.run(),
        Command::Restore(restore) => restore.run(),
        Command::Snapshot(snapshot) => snapshot.run(),
    }
}

/// Says what went wrong, and gives the exit code for it.
fn fail(code: u8, reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("cage: {reason}");
    ExitCode::from(code)
}

/// Turns diagnostics on: to stderr, at the level of `CAGE_LOG` (default `info`).
fn init_tracing() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("CAGE_LOG").unwrap_or_else(|_| EnvFilter::new("info,quinn=warn"));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
}

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
