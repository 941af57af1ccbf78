//! `cage-loadgen`: load from the command line.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cage_loadgen::{
    Load, LoadError, Options, Progress, Report, Summary, Taken, Workload, run_with, write_page,
};
use clap::{ArgGroup, Parser};
use indicatif::{ProgressBar, ProgressStyle};

/// Exit code: it could not connect or set the stage.
const EXIT_SETUP: u8 = 1;
/// Exit code: the options make no sense.
const EXIT_USAGE: u8 = 2;
/// How often the progress line changes.
const REDRAW: Duration = Duration::from_millis(200);

/// Load a ledger over QUIC, in a closed or an open loop
///
/// Opens its asset (LOADGEN) and its players itself before the duration begins; it can be run again. A closed loop
/// (--outstanding) sends whenever an answer came. An open loop (--rate) sends when it is time, each request in a
/// write of its own unless it is late, and counts latency from when it was time.
///
/// Exit codes: 0 it ran (whatever is unknown), 1 it could not connect or set the stage, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(version, name = "cage-loadgen", after_help = EXAMPLES)]
#[command(group = ArgGroup::new("load").args(["outstanding", "rate"]))]
struct Arguments {
    /// The server's address
    #[arg(long, value_name = "ADDR", env = "CAGE_CONNECT", default_value = "127.0.0.1:4710")]
    connect: SocketAddr,
    /// The folder with ca.pem and a pair ROLE.pem, ROLE.key for frontend, cashier, games and operator
    #[arg(long, value_name = "DIR", env = "CAGE_CERTS", default_value = "cage-data/certs")]
    certs: PathBuf,
    /// The name in the server's certificate
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    server_name: String,
    /// Which requests
    #[arg(long, value_enum, default_value_t = Workload::Transfers)]
    workload: Workload,
    /// How many players
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    players: u32,
    /// How many assets each player has; each request is about one of them
    #[arg(long, value_name = "N", default_value_t = 1)]
    assets: u32,
    /// How many connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    connections: usize,
    /// Closed loop: requests unanswered at a time, per connection [default: 1024]
    #[arg(long, value_name = "N")]
    outstanding: Option<usize>,
    /// Open loop: requests per second, all connections together
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// For how long, as 10s, 500ms or 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Requests per frame [default: whatever is due]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Write a line REQUEST_ID_HEX LSN RESULT_NUMBER for each acknowledgement, for `cage audit --acks`
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
    /// Write summary.json, latency.hgrm and report.html, which opens without a network, to this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Beside an earlier run: the folder of its --report
    #[arg(long, value_name = "EARLIER_DIR", requires = "report")]
    compare: Option<PathBuf>,
    /// One JSON object on standard output, nothing else there
    #[arg(long)]
    json: bool,
    /// Repeats the choice of players and amounts [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads that the connections are spread over
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
}

const EXAMPLES: &str = "Examples:
  cage-loadgen --workload transfers --players 10000 --connections 1 --outstanding 8192
  cage-loadgen --workload casino --players 1000000 --connections 16 --duration 1m
  cage-loadgen --rate 50000 --json | jq .latency_us
  cage-loadgen --duration 30s --acks acks.txt && cage audit cage-data --acks acks.txt
  cage-loadgen --duration 1m --report today --compare yesterday";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (json, page) = (arguments.json, arguments.report.clone());
    // Read first: who waits for an hour of load does not want to hear then that a folder was mistyped.
    let earlier = match arguments.compare.as_deref().map(Summary::read).transpose() {
        Ok(earlier) => earlier,
        Err(error) => {
            eprintln!("cage-loadgen: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let options = arguments.options();
    let progress = Arc::<Progress>::default();
    stop_on_interrupt(Arc::clone(&progress));
    let run = if json || !std::io::stderr().is_terminal() {
        run_with(&options, &progress)
    } else {
        with_progress_line(&options, &progress)
    };
    match run {
        Ok(report) => {
            let written =
                page.map(|dir| write_page(&dir, &report, Taken::now("cage-loadgen"), earlier.as_ref()));
            let printed = print(&report, json);
            match written {
                Some(Err(error)) => {
                    eprintln!("cage-loadgen: {error}");
                    ExitCode::from(EXIT_SETUP)
                }
                _ => printed,
            }
        }
        Err(error) => {
            eprintln!("cage-loadgen: {error}");
            ExitCode::from(if matches!(error, LoadError::Options(_)) { EXIT_USAGE } else { EXIT_SETUP })
        }
    }
}

impl Arguments {
    fn options(self) -> Options {
        Options {
            connect: self.connect,
            server_name: self.server_name,
            certs: self.certs,
            workload: self.workload,
            players: self.players,
            assets: self.assets,
            connections: self.connections,
            load: match self.rate {
                Some(rate) => Load::Rate(rate),
                None => Load::Outstanding(self.outstanding.unwrap_or(1024)),
            },
            duration: self.duration,
            batch: self.batch,
            acks: self.acks,
            seed: self.seed.unwrap_or_else(rand::random),
            threads: self.threads,
        }
    }
}

fn print(report: &Report, json: bool) -> ExitCode {
    if !json {
        println!("{report}");
        return ExitCode::SUCCESS;
    }
    match serde_json::to_string(report) {
        Ok(text) => println!("{text}"),
        Err(error) => {
            eprintln!("cage-loadgen: {error}");
            return ExitCode::from(EXIT_SETUP);
        }
    }
    ExitCode::SUCCESS
}

/// A first interrupt ends the load and still reports; a second one ends the program.
fn stop_on_interrupt(progress: Arc<Progress>) {
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let interrupted = runtime.block_on(tokio::signal::ctrl_c());
        if interrupted.is_ok() {
            progress.stop();
            let _ = runtime.block_on(tokio::signal::ctrl_c());
            std::process::exit(130);
        }
    });
}

fn with_progress_line(options: &Options, progress: &Arc<Progress>) -> Result<Report, LoadError> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| draw(options, progress, &over));
        let report = run_with(options, progress);
        over.store(true, Ordering::Relaxed);
        report
    })
}

fn draw(options: &Options, progress: &Progress, over: &AtomicBool) {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    let mut before = 0;
    while !over.load(Ordering::Relaxed) {
        let answered = progress.answered.load(Ordering::Relaxed);
        let per_second = (answered - before) as f64 / REDRAW.as_secs_f64();
        before = answered;
        bar.set_message(if progress.started.load(Ordering::Relaxed) {
            format!("{answered} answered, {per_second:.0} a second")
        } else {
            format!(
                "setting the stage: {} of {} players",
                progress.prepared.load(Ordering::Relaxed),
                options.players
            )
        });
        bar.tick();
        thread::sleep(REDRAW);
    }
    bar.finish_and_clear();
}

/// A number and a unit: `10s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a number and ms, s, m or h".to_owned()),
    };
    let number = number.parse::<f64>().map_err(|_| "expected a number and ms, s, m or h".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}
