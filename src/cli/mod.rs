//! The command line: one file per subcommand. Results go to stdout, everything else to stderr.

/// Prints a line. Whoever reads may have stopped reading: that is no fault.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod audit;
mod certs;
mod chain;
mod checkpoint_key;
mod completions;
mod config;
mod demo;
mod export;
mod games;
mod house;
mod log;
mod man;
mod progress;
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
mod status;
mod tamper;
mod verify;
mod verify_roll;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_engine::PlayerId;
use clap::{Parser, Subcommand};

use crate::reports::output::{self, Format, Sink, WholeFile};
use crate::reports::table::Table;
use crate::telemetry;

/// The money core of a crypto casino: a durable single-writer ledger over QUIC.
#[derive(Debug, Parser)]
#[command(name = "cage", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Audit(audit::Audit),
    Tamper(tamper::Tamper),
    Certs(certs::Certs),
    Chain(chain::Chain),
    Demo(demo::Demo),
    Games(games::Games),
    House(house::HouseGames),
    Log(log::Log),
    Man(man::Man),
    Scrub(scrub::Scrub),
    Reconcile(reconcile::Reconcile),
    Repair(repair::Repair),
    Prove(prove::Prove),
    Query(query::Query),
    Verify(verify::Verify),
    VerifyRoll(verify_roll::VerifyRoll),
    CheckpointKey(checkpoint_key::CheckpointKey),
    Completions(completions::Completions),
    Config(config::Config),
    Restore(restore::Restore),
    Snapshot(snapshot::Snapshot),
    Statement(statement::Statement),
    Export(export::Export),
    Report(report::Report),
    Status(status::StatusCommand),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let (cli, matches) = config::parse();
    match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Audit(audit) => audit.run(),
        Command::Tamper(tamper) => tamper.run(),
        Command::Certs(certs) => certs.run(),
        Command::Chain(chain) => chain.run(),
        Command::Demo(demo) => demo.run(),
        Command::Games(games) => games.run(),
        Command::House(house) => house.run(),
        Command::Log(log) => log.run(),
        Command::Man(man) => man.run(),
        Command::Scrub(scrub) => scrub.run(),
        Command::Reconcile(reconcile) => reconcile.run(),
        Command::Repair(repair) => repair.run(),
        Command::Prove(prove) => prove.run(),
        Command::Query(query) => query.run(),
        Command::Verify(verify) => verify.run(),
        Command::VerifyRoll(roll) => roll.run(),
        Command::CheckpointKey(key) => key.run(),
        Command::Completions(completions) => completions.run(),
        Command::Config(config) => config.run(matches.subcommand_matches("config").unwrap_or(&matches)),
        Command::Restore(restore) => restore.run(),
        Command::Snapshot(snapshot) => snapshot.run(),
        Command::Statement(statement) => statement.run(),
        Command::Export(export) => export.run(),
        Command::Report(report) => report.run(),
        Command::Status(status) => status.run(),
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

/// Turns diagnostics on: to stderr, at the level of `CAGE_LOG`, or the usual one if that is no level.
fn init_tracing() {
    let named = std::env::var("CAGE_LOG").ok().and_then(|text| telemetry::parse_filter(&text).ok());
    let filter = named.unwrap_or_else(|| telemetry::FILTER.to_owned());
    let _ = telemetry::init(&filter, telemetry::Form::Text);
}

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
