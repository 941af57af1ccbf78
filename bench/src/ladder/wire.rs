//! The whole way over QUIC: the server beside the prototype, which makes durable and answers, and does nothing else.

use cage_loadgen::{Load, Options, Workload, prepare};

use super::{Climb, many};
use crate::limits::quic::{self, Pace};
use crate::limits::{LimitError, disk, durable};
use crate::rung::{Better, Goal, Run, Rung};
use crate::server::{self, Loaded};

/// Requests unanswered at a time where there are many: TigerBeetle's batch.
const DEEP: usize = 8_192;
const SOME: usize = 64;
const FEW_PLAYERS: u32 = 10_000;
const OFFERED: f64 = 50_000.0;
const SOAK_OFFERED: f64 = 20_000.0;
const PAGE: usize = 4 << 10;
const FILE_BYTES: u64 = 256 << 20;
const PROTOTYPE: &str = "the prototype: QUIC echo + group commit";

fn run(loaded: &Loaded, value: f64, limit: Option<f64>) -> Run {
    let client_cpu_us = Some(loaded.report.client_cpu_us_per_request);
    Run { value, limit, client_cpu_us, server_cpu_us: Some(loaded.server_cpu_us) }
}

impl Climb {
    fn shape(&self, options: Options, load: Load) -> Options {
        Options { load, players: FEW_PLAYERS, duration: self.time, ..options }
    }

    /// Transfers of a few players, on a fresh server.
    fn loaded(&self, load: Load) -> Result<Loaded, LimitError> {
        let serving = self.serve()?;
        serving.load(&self.shape(serving.options(), load))
    }
}

/// Server and load generator in one process: what a process of its own costs, by difference.
pub(super) fn in_process(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let name = "server in process, transfers, 1 x 8192";
    let mut rung =
        Rung::new("in-process", name, "M/s", Better::More).beside("QUIC echo alone, 8192 outstanding");
    for _ in 0..climb.runs {
        let echo = quic::run(Pace::Outstanding(DEEP), climb.time)?;
        let dir = climb.fresh("server")?;
        let report = server::in_process(&dir, |options| climb.shape(options, Load::Outstanding(DEEP)))?;
        let client_cpu_us = Some(report.client_cpu_us_per_request);
        rung.runs.push(Run { client_cpu_us, ..Run::beside(report.per_second / 1e6, echo.per_second / 1e6) });
    }
    Ok(vec![rung])
}

pub(super) fn transfers(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let mut rung = Rung::new("transfers", "transfers, 10 k accounts, 1 x 8192", "M/s", Better::More)
        .beside(PROTOTYPE)
        .to_reach(Goal::value(1.3, 2.0));
    for _ in 0..climb.runs {
        let limit = durable::run(&climb.dir, Pace::Outstanding(DEEP), climb.time)?;
        let loaded = climb.loaded(Load::Outstanding(DEEP))?;
        rung.runs.push(run(&loaded, loaded.report.per_second / 1e6, Some(limit.per_second / 1e6)));
    }
    Ok(vec![rung])
}

/// One server for all runs: to open a million players takes longer than to measure.
pub(super) fn casino(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let players = climb.size.casino_players;
    let name = format!("casino mix, {} players by Zipf's law, 1 x 8192", many(players.into()));
    let mut rung =
        Rung::new("casino", name, "M/s", Better::More).beside(PROTOTYPE).to_reach(Goal::value(0.8, 1.2));
    let serving = climb.serve()?;
    let options = Options {
        players,
        workload: Workload::Casino,
        ..climb.shape(serving.options(), Load::Outstanding(DEEP))
    };
    let stage = prepare(&options, &std::sync::Arc::default())?;
    for _ in 0..climb.runs {
        let limit = durable::run(&climb.dir, Pace::Outstanding(DEEP), climb.time)?;
        let loaded = serving.load_on(&options, &stage)?;
        rung.runs.push(run(&loaded, loaded.report.per_second / 1e6, Some(limit.per_second / 1e6)));
    }
    Ok(vec![rung])
}

pub(super) fn one_outstanding(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let mut rung = Rung::new("one", "1 outstanding, p50", "us", Better::Less)
        .beside("QUIC round trip + one durable 4 KiB write, p50s")
        .to_reach(Goal::ratio(1.5, 1.25));
    for _ in 0..climb.runs {
        let limit = quic::run(Pace::Outstanding(1), climb.time)?.p50_micros
            + disk::run(&climb.dir, PAGE, FILE_BYTES, climb.time)?.p50_micros;
        let loaded = climb.loaded(Load::Outstanding(1))?;
        rung.runs.push(run(&loaded, loaded.report.latency_us.p50, Some(limit)));
    }
    Ok(vec![rung])
}

pub(super) fn sixty_four(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let mut rung = Rung::new("sixty-four", "64 outstanding, un-batched, 1 connection", "k/s", Better::More)
        .beside(PROTOTYPE)
        .to_reach(Goal::ratio(0.7, 0.9));
    for _ in 0..climb.runs {
        let limit = durable::run(&climb.dir, Pace::Outstanding(SOME), climb.time)?;
        let loaded = climb.loaded(Load::Outstanding(SOME))?;
        rung.runs.push(run(&loaded, loaded.report.per_second / 1e3, Some(limit.per_second / 1e3)));
    }
    Ok(vec![rung])
}

pub(super) fn offered(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let row =
        |name: &str, goal| Rung::new("offered", name, "us", Better::Less).beside(PROTOTYPE).to_reach(goal);
    let mut median = row("50 k/s offered, un-batched, p50", Goal::ratio(1.5, 1.2));
    let mut tail = row("50 k/s offered, un-batched, p99", Goal::ratio(2.0, 1.3));
    for _ in 0..climb.runs {
        let limit = durable::run(&climb.dir, Pace::Rate(OFFERED), climb.time)?;
        let loaded = climb.loaded(Load::Rate(OFFERED))?;
        let latency = loaded.report.latency_us;
        median.runs.push(run(&loaded, latency.p50, Some(limit.p50_micros)));
        tail.runs.push(run(&loaded, latency.p99, Some(limit.p99_micros)));
    }
    Ok(vec![median, tail])
}

/// Many players beside few, on two servers in turn.
pub(super) fn many_players(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let players = climb.size.many_players;
    let name = format!("transfers, {} accounts, 1 x 8192", many(players.into()));
    let mut rung = Rung::new("players", name, "M/s", Better::More)
        .beside("the same with 10 k accounts")
        .to_reach(Goal::ratio(0.5, 0.7));
    let dir = climb.fresh("many")?;
    let large = server::Serving::start(&climb.cage, &dir, server::IDS_CAPACITY)?;
    let options = Options { players, ..climb.shape(large.options(), Load::Outstanding(DEEP)) };
    let stage = prepare(&options, &std::sync::Arc::default())?;
    for _ in 0..climb.runs {
        let few = climb.loaded(Load::Outstanding(DEEP))?.report.per_second;
        let loaded = large.load_on(&options, &stage)?;
        rung.runs.push(run(&loaded, loaded.report.per_second / 1e6, Some(few / 1e6)));
    }
    drop(large);
    super::remove(&dir)?;
    Ok(vec![rung])
}

/// Hours of moderate load on one server, once: the tail, and what it writes to the disk.
pub(super) fn soak(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let minutes = climb.size.soak.as_secs_f64() / 60.0;
    let name = format!("{minutes:.1} min of casino at 20 k/s");
    let tail = Rung::new("soak", format!("{name}, p99.9"), "ms", Better::Less);
    let mut tail = tail.to_reach(Goal::value(10.0, 5.0));
    let mut written = Rung::new("soak", format!("{name}, written per request"), "B", Better::Less)
        .beside("one record of 256 B");
    let serving = climb.serve()?;
    let options = Options {
        workload: Workload::Casino,
        players: climb.size.casino_players,
        duration: climb.size.soak,
        ..climb.shape(serving.options(), Load::Rate(SOAK_OFFERED))
    };
    let stage = prepare(&options, &std::sync::Arc::default())?;
    let before = serving.written_bytes()?;
    let loaded = serving.load_on(&options, &stage)?;
    let bytes = (serving.written_bytes()? - before) as f64 / loaded.report.requests.max(1) as f64;
    tail.runs.push(run(&loaded, loaded.report.latency_us.p99_9 / 1e3, None));
    written.runs.push(run(&loaded, bytes, Some(256.0)));
    Ok(vec![tail, written])
}
