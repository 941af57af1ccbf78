//! The command line: one file per subcommand. Results go to stdout, everything else to stderr.

/// Prints a line. Whoever reads may have stopped reading: that is no fault.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod audit;
mod chain;
mod checkpoint_key;
mod demo;
mod export;
mod games;
mod house;
mod log;
mod prove;
mod query;
mod reconcile;
mod repair;
mod report;
mod restore;
mod scrub;
mod serve;
mod snapshot;
mod statement;
mod verify;
mod verify_roll;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_engine::PlayerId;
use cage_wal::storage::Storage;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::data::DataDir;
use crate::reports::output::{self, Format, Sink, WholeFile};
use crate::reports::table::Table;

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
    Chain(chain::Chain),
    Demo(demo::Demo),
    Games(games::Games),
    House(house::HouseGames),
    Log(log::Log),
    Scrub(scrub::Scrub),
    Reconcile(reconcile::Reconcile),
    Repair(repair::Repair),
    Prove(prove::Prove),
    Query(query::Query),
    Verify(verify::Verify),
    VerifyRoll(verify_roll::VerifyRoll),
    CheckpointKey(checkpoint_key::CheckpointKey),
    Restore(restore::Restore),
    Snapshot(snapshot::Snapshot),
    Statement(statement::Statement),
    Export(export::Export),
    Report(report::Report),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Audit(audit) => audit.run(),
        Command::Chain(chain) => chain.run(),
        Command::Demo(demo) => demo.run(),
        Command::Games(games) => games.run(),
        Command::House(house) => house.run(),
        Command::Log(log) => log.run(),
        Command::Scrub(scrub) => scrub.run(),
        Command::Reconcile(reconcile) => reconcile.run(),
        Command::Repair(repair) => repair.run(),
        Command::Prove(prove) => prove.run(),
        Command::Query(query) => query.run(),
        Command::Verify(verify) => verify.run(),
        Command::VerifyRoll(roll) => roll.run(),
        Command::CheckpointKey(key) => key.run(),
        Command::Restore(restore) => restore.run(),
        Command::Snapshot(snapshot) => snapshot.run(),
        Command::Statement(statement) => statement.run(),
        Command::Export(export) => export.run(),
        Command::Report(report) => report.run(),
    }
}

/// Says what went wrong, and gives the exit code for it.
fn fail(code: u8, reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("cage: {reason}");
    ExitCode::from(code)
}

fn parse_player(text: &str) -> Result<PlayerId, String> {
    let number = text.parse().map_err(|_| "expected a player's number".to_owned())?;
    PlayerId::new(number).map_err(|_| "the check digits are wrong: look at the number again".to_owned())
}

/// Writes a table to a file, which gets its name when it is whole, or to stdout.
fn write_table(
    format: Format,
    table: Table,
    out: Option<PathBuf>,
    write: impl FnOnce(&mut dyn Sink) -> io::Result<()>,
) -> io::Result<()> {
    let Some(path) = out else {
        let mut sink = output::sink(format, table, io::BufWriter::new(io::stdout()))?;
        write(&mut *sink)?;
        return sink.finish();
    };
    let (whole, file) = WholeFile::begin(path)?;
    let mut sink = output::sink(format, table, file)?;
    write(&mut *sink)?;
    sink.finish()?;
    whole.publish()
}

/// Shows how much of the log was read.
fn progress_bar(data: &DataDir, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let files = data.whole_log(1).list().unwrap_or_default();
    let bytes = files.iter().map(|file| file.bytes).sum();
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Turns diagnostics on: to stderr, at the level of `CAGE_LOG` (default `info`).
fn init_tracing() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("CAGE_LOG").unwrap_or_else(|_| EnvFilter::new("info,quinn=warn"));
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
}

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
