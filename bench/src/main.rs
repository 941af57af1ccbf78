//! `cage-bench`: measures, prints, judges nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use cage_bench::ladder::Climb;
use cage_bench::limits::quic::LimitError;
use clap::{Parser, Subcommand};

/// Every stage of the way of a request beside its physical limit.
#[derive(Debug, Parser)]
#[command(name = "cage-bench", version, after_help = "Example: cargo run --release -p cage-bench -- ladder")]
struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure every rung: engine, engine and log, server in process, server apart
    Ladder {
        /// Runs per rung; the median is shown
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Seconds per run
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Where logs are written; on the disk that is to be measured
        #[arg(long, value_name = "DIR", default_value = "target/bench-data")]
        dir: PathBuf,
        /// Write the rungs as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let What::Ladder { runs, seconds, dir, json } = Cli::parse().command;
    match ladder(runs, Duration::from_secs(seconds), &dir, json.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("cage-bench: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn ladder(runs: usize, time: Duration, dir: &Path, json: Option<&Path>) -> Result<(), LimitError> {
    let cage = built_server()?;
    std::fs::create_dir_all(dir)?;
    let climb = Climb { dir: dir.to_owned(), cage, runs, time };
    println!(
        "| rung | median | least - greatest | limit, measured beside it | ratio |\n|---|---|---|---|---|"
    );
    let rungs = climb.climb(|rung| println!("{}", rung.row()))?;
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_string_pretty(&rungs)?)?;
    }
    Ok(())
}

/// Builds the server in release, so that what is measured is what stands in the tree.
fn built_server() -> Result<PathBuf, LimitError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--release", "--quiet", "-p", "cage"]).status()?;
    if !status.success() {
        return Err("the server could not be built".into());
    }
    let beside = std::env::current_exe()?.with_file_name("cage");
    if beside.exists() { Ok(beside) } else { Err(format!("there is no {}", beside.display()).into()) }
}
