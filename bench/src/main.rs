//! `cage-bench`: measures, prints, judges nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use cage_bench::instructions::{self, Story};
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
    /// Count the engine's instructions per operation, with valgrind
    Instructions,
    /// Do one kind of operation so many times, for valgrind to count
    #[command(hide = true)]
    Once { story: String, count: u64 },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        What::Ladder { runs, seconds, dir, json } => {
            ladder(runs, Duration::from_secs(seconds), &dir, json.as_deref())
        }
        What::Instructions => count_instructions(),
        What::Once { story, count } => once(&story, count),
    };
    match done {
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

fn count_instructions() -> Result<(), LimitError> {
    println!("| operation | instructions |\n|---|---:|");
    instructions::count(|story, count| println!("| {} | {count} |", story.name()))
        .map_err(|fault| fault.to_string().into())
}

fn once(name: &str, count: u64) -> Result<(), LimitError> {
    let story = Story::ALL.iter().find(|story| story.name() == name);
    let story = story.ok_or_else(|| format!("there is no {name:?} to count"))?;
    instructions::once(*story, count);
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
