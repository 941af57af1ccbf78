//! `cage-bench`: measures, prints, judges nothing but instruction counts.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use cage_bench::growth::Growth;
use cage_bench::instructions::{self, Costs, Story};
use cage_bench::ladder::{Climb, Ladder, Size};
use cage_bench::limits::LimitError;
use cage_bench::{PROGRAM, Taken};
use cage_bench::{lists, page, plot, rung, stages};
use cage_loadgen::{Load, Options, Workload};
use clap::{ArgGroup, Args, Parser, Subcommand};
use serde::Serialize;

/// What Cage costs and how fast it is, beside what this machine can do at best.
#[derive(Debug, Parser)]
#[command(name = "cage-bench", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: What,
}

const EXAMPLES: &str = "Examples:
  cargo run --release -p cage-bench -- ladder --json bench/figures/ladder.json --plot bench/figures/ladder.svg
  cargo run --release -p cage-bench -- ladder --only one --only offered --runs 3
  cargo run --release -p cage-bench -- instructions --check
  cargo run --release -p cage-bench -- feed
  cargo run --release -p cage-bench -- lists --open 1000000
  cargo run --release -p cage-bench -- page";

#[derive(Debug, Subcommand)]
enum What {
    /// Every rung beside its limit, with its ratio and its goal
    Ladder(LadderArgs),
    /// What an operation costs as players, connections, requests per frame, ids and assets grow
    Growth(GrowthArgs),
    /// The server's processor time per request by stage, from a profile (needs perf)
    Stages(StagesArgs),
    /// The same transfers against PostgreSQL and Redis, if they are installed
    Compare(CompareArgs),
    /// When records reach a subscriber, and what subscribers cost the writer
    Feed(FeedArgs),
    /// How long lists of what is open stop the writer
    Lists(ListsArgs),
    /// The instructions of an operation, counted by valgrind
    Instructions(InstructionsArgs),
    /// Renew the figures of docs/benchmarks.md from bench/figures and bench/instructions.toml
    Page,
    /// Do one kind of operation so many times, for valgrind to count
    #[command(hide = true)]
    Once { story: String, count: u64 },
}

/// How much, and where.
#[derive(Debug, Args)]
struct Measuring {
    /// Runs of each measurement; the median is shown
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds per run
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Everything small, once: to see that it works. The figures say nothing
    #[arg(long)]
    quick: bool,
    /// Where logs are written; on the disk that is to be measured
    #[arg(long, value_name = "DIR", default_value = "target/bench-data")]
    dir: PathBuf,
    /// The server's binary [default: built in release from this tree]
    #[arg(long, value_name = "FILE")]
    cage: Option<PathBuf>,
    /// Write what was measured as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct LadderArgs {
    #[command(flatten)]
    measuring: Measuring,
    /// Measure this step; may be given several times [default: all but soak]
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Draw the rungs that have a goal
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Accounts at the restart [default: 10 M]
    #[arg(long, value_name = "N")]
    restart_players: Option<u32>,
    /// Records after them at the restart [default: 10 M]
    #[arg(long, value_name = "N")]
    restart_tail: Option<u64>,
    /// How long the step soak takes [default: 60]
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
}

#[derive(Debug, Args)]
struct GrowthArgs {
    #[command(flatten)]
    measuring: Measuring,
    /// Draw the curves
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StagesArgs {
    #[command(flatten)]
    measuring: Measuring,
    /// The casino mix instead of transfers
    #[arg(long)]
    casino: bool,
    /// Requests unanswered at a time
    #[arg(long, value_name = "N", default_value_t = 8_192)]
    outstanding: usize,
    /// Players
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    players: u32,
    /// Where the server is built with frame pointers
    #[arg(long, value_name = "DIR", default_value = "target/stages")]
    target: PathBuf,
}

#[derive(Debug, Args)]
struct CompareArgs {
    #[command(flatten)]
    measuring: Measuring,
}

#[derive(Debug, Args)]
struct FeedArgs {
    #[command(flatten)]
    measuring: Measuring,
}

#[derive(Debug, Args)]
struct ListsArgs {
    /// Open holds
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    open: usize,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["check", "write"]))]
struct InstructionsArgs {
    /// Compare with the file; exit 1 if anything became dearer
    #[arg(long)]
    check: bool,
    /// Renew the file
    #[arg(long)]
    write: bool,
    /// The file
    #[arg(long, value_name = "FILE", default_value = page::INSTRUCTIONS)]
    file: PathBuf,
    /// By how many percent a count may differ: compilers do
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        What::Ladder(arguments) => ladder(&arguments),
        What::Growth(arguments) => growth(&arguments),
        What::Stages(arguments) => profile(&arguments),
        What::Compare(CompareArgs { measuring }) => compare(&measuring),
        What::Feed(FeedArgs { measuring }) => feed(&measuring),
        What::Lists(ListsArgs { open }) => look(open),
        What::Instructions(arguments) => count_instructions(&arguments),
        What::Page => renew_page(),
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

impl Measuring {
    /// With the server built, so that what is measured is what stands in the tree.
    fn climb(&self) -> Result<Climb, LimitError> {
        self.climb_with(self.cage.clone().map_or_else(built_server, Ok)?)
    }

    fn climb_with(&self, cage: PathBuf) -> Result<Climb, LimitError> {
        std::fs::create_dir_all(&self.dir)?;
        let (runs, size) = if self.quick { (1, Size::QUICK) } else { (self.runs.max(1), Size::FULL) };
        let time = Duration::try_from_secs_f64(if self.quick { 0.5 } else { self.seconds })?;
        if time.is_zero() {
            return Err("--seconds: expected more than nothing".into());
        }
        Ok(Climb { dir: self.dir.clone(), cage, runs, time, size })
    }

    fn write(&self, measured: &impl Serialize) -> Result<(), LimitError> {
        let Some(path) = &self.json else { return Ok(()) };
        make_folder_of(path)?;
        Ok(std::fs::write(path, serde_json::to_string_pretty(measured)? + "\n")?)
    }
}

fn make_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

fn ladder(arguments: &LadderArgs) -> Result<(), LimitError> {
    let LadderArgs { measuring, only, plot, restart_players, restart_tail, soak } = arguments;
    let mut climb = measuring.climb()?;
    let size = &mut climb.size;
    size.restart_players = restart_players.unwrap_or(size.restart_players);
    size.restart_tail = restart_tail.unwrap_or(size.restart_tail);
    size.soak = soak.map_or(size.soak, |minutes| Duration::from_secs(minutes * 60));
    let taken = Taken::now(PROGRAM);
    println!("{}", rung::HEADER);
    let rungs = climb.climb(only, |rung| println!("{}", rung.row()))?;
    if let Some(path) = plot {
        make_folder_of(path)?;
        plot::ladder(&rungs, path)?;
    }
    measuring.write(&Ladder { taken, quick: measuring.quick, seconds: climb.time.as_secs_f64(), rungs })
}

fn growth(arguments: &GrowthArgs) -> Result<(), LimitError> {
    let GrowthArgs { measuring, plot } = arguments;
    let taken = Taken::now(PROGRAM);
    let curves = measuring.climb()?.grow(measuring.quick, |curve| println!("{}", curve.table()))?;
    if let Some(path) = plot {
        make_folder_of(path)?;
        plot::growth(&curves, path)?;
    }
    measuring.write(&Growth { taken, quick: measuring.quick, curves })
}

fn profile(arguments: &StagesArgs) -> Result<(), LimitError> {
    let StagesArgs { measuring, casino, outstanding, players, target } = arguments;
    let built = || stages::build(target);
    let cage = measuring.cage.clone().map_or_else(built, Ok)?;
    let climb = measuring.climb_with(cage)?;
    let workload = if *casino { Workload::Casino } else { Workload::Transfers };
    let shape = |options: Options| Options {
        workload,
        players: *players,
        load: Load::Outstanding(*outstanding),
        ..options
    };
    let profile = climb.profile(shape)?;
    println!("{}", profile.table());
    measuring.write(&profile)
}

fn compare(measuring: &Measuring) -> Result<(), LimitError> {
    let compared = measuring.climb()?.compare(measuring.quick, |row| println!("{row}"))?;
    measuring.write(&compared)
}

fn feed(measuring: &Measuring) -> Result<(), LimitError> {
    let measured = measuring.climb()?.feed(measuring.quick)?;
    println!("{}", measured.table().trim_end());
    measuring.write(&measured)
}

fn look(open: usize) -> Result<(), LimitError> {
    println!("| {open} open holds | looks | a look, p50 | p99 | greatest |\n|---|---:|---:|---:|---:|");
    for lists::Looked { what, looks, p50_us, p99_us, max_us } in lists::run(open)? {
        println!("| {what} | {looks} | {p50_us:.0} us | {p99_us:.0} us | {max_us:.0} us |");
    }
    Ok(())
}

fn count_instructions(arguments: &InstructionsArgs) -> Result<(), LimitError> {
    let InstructionsArgs { check, write, file, tolerance } = arguments;
    // Before minutes are spent on counting.
    let before = if *check { Some(Costs::read(file)?) } else { None };
    println!("| operation | instructions |\n|---|---:|");
    let costs = instructions::count(|name, count| println!("| {name} | {count} |"))?;
    if *write {
        costs.write(file)?;
    }
    let Some(before) = before else { return Ok(()) };
    let difference = costs.compared(&before, tolerance / 100.0);
    println!(
        "\n{}",
        if difference.table.is_empty() { "nothing differs" } else { difference.table.trim_end() }
    );
    if !difference.better.is_empty() {
        println!("cheaper: renew {} with --write, or a later loss goes unseen", file.display());
    }
    if difference.worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "dearer by more than {tolerance} %, or not compared: {}; if that is meant, renew {} with --write",
        difference.worse.join("; "),
        file.display()
    )
    .into())
}

fn renew_page() -> Result<(), LimitError> {
    let before = std::fs::read_to_string(page::PAGE)?;
    let (renewed, blocks) = page::renew(&before, page::FIGURES.as_ref(), page::INSTRUCTIONS.as_ref())?;
    std::fs::write(page::PAGE, renewed)?;
    println!("{}: {}", page::PAGE, blocks.join(", "));
    Ok(())
}

fn once(name: &str, count: u64) -> Result<(), LimitError> {
    let story = Story::named(name).ok_or_else(|| format!("there is no {name:?} to count"))?;
    story.once(count);
    Ok(())
}

/// Builds the server in release.
fn built_server() -> Result<PathBuf, LimitError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--release", "--quiet", "-p", "cage"]).status()?;
    if !status.success() {
        return Err("the server could not be built".into());
    }
    let beside = std::env::current_exe()?.with_file_name("cage");
    if beside.exists() { Ok(beside) } else { Err(format!("there is no {}", beside.display()).into()) }
}
