//! Ledgers that are there already: how fast they are read, how fast they serve again, what they take in memory.

use std::convert::Infallible;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use cage::data::DataDir;
use cage_client::{Client, Config, Credentials};
use cage_engine::{Amount, GameId, PlayerId, State};
use cage_wal::snapshot::Snapshot;

use super::{Climb, many, remove};
use crate::limits::LimitError;
use crate::log::{Plan, build, go_on};
use crate::rung::{Better, Goal, Run, Rung};
use crate::server::{IDS_CAPACITY, IDS_RETENTION_SECONDS, Serving};
use crate::workload::{ASSET, Funds, Mix};

/// The ledgers of the memory rungs are compared with ones that are so many times smaller.
const SMALLER: u32 = 10;
/// Bets on their way when a server is killed.
const BETS_UNDER_WAY: usize = 1_000;

const fn plan(mix: Mix, players: u32) -> Plan {
    Plan {
        mix,
        players,
        funds: Funds::Deposits,
        ids_capacity: IDS_CAPACITY,
        ids_retention_seconds: IDS_RETENTION_SECONDS,
    }
}

/// `cage audit`: every byte verified, every record decided again.
pub(super) fn audit(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let players = climb.size.casino_players;
    let name = format!("audit (decide again), casino, {} players, from the log", many(players.into()));
    let mut rung = Rung::new("audit", name, "M/s", Better::More).to_reach(Goal::value(1.5, 3.0));
    let dir = climb.fresh("audit")?;
    build(&dir, plan(Mix::Casino, players), climb.size.audit_records)?;
    for _ in 0..climb.runs {
        let output = Command::new(&climb.cage).arg("audit").arg(&dir).arg("--json").output()?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        if report["verdict"] != "clean" {
            return Err(format!("the audit is not clean: {report}").into());
        }
        let number = |field: &str| report[field].as_f64().ok_or_else(|| format!("the audit has no {field}"));
        rung.runs.push(Run::of(number("records")? / number("seconds")? / 1e6));
    }
    remove(&dir)?;
    Ok(vec![rung])
}

/// Has a snapshot made of all that is in a ledger; the seconds that it took.
fn snapshot(climb: &Climb, dir: &Path) -> Result<f64, LimitError> {
    // A start begins a segment, and so seals the one before. The first one makes certificates, whose keys take a while.
    drop(Serving::start(&climb.cage, dir, IDS_CAPACITY)?);
    let output = Command::new(&climb.cage).arg("snapshot").arg(dir).arg("--json").output()?;
    let made: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    if made["made"] != true {
        return Err(format!("no snapshot was made: {made}").into());
    }
    Ok(made["seconds"].as_f64().ok_or("the snapshot has no seconds")?)
}

/// A snapshot: made of a log, written from memory, proven, loaded.
pub(super) fn image(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let players = climb.size.restart_players;
    let of = |what: &str| format!("{what}, {} accounts", many(players.into()));
    let mut made = Rung::new("snapshot", of("snapshot made of the whole log, read back"), "s", Better::Less);
    let mut written = Rung::new("snapshot", of("image of the state written to memory"), "s", Better::Less);
    let mut proven = Rung::new("snapshot", of("snapshot proven"), "s", Better::Less);
    let mut loaded = Rung::new("snapshot", of("state made of its image"), "s", Better::Less);
    let mut size = Rung::new("snapshot", of("snapshot"), "MB", Better::Less);
    let dir = climb.fresh("snapshot")?;
    build(&dir, plan(Mix::Casino, players), 0)?;
    made.runs.push(Run::of(snapshot(climb, &dir)?));
    let snapshots = DataDir::new(&dir, None).snapshots();
    let lsn = *cage_wal::snapshot::list(&snapshots)?.first().ok_or("there is a snapshot")?;
    for _ in 0..climb.runs {
        let begin = Instant::now();
        let snapshot = Snapshot::open(&snapshots, lsn)?;
        proven.runs.push(Run::of(begin.elapsed().as_secs_f64()));
        let begin = Instant::now();
        let state = State::from_image(snapshot.body(), 1)?;
        loaded.runs.push(Run::of(begin.elapsed().as_secs_f64()));
        let (begin, mut bytes) = (Instant::now(), 0);
        state.write_image(|piece| {
            bytes += std::hint::black_box(piece).len();
            Ok::<_, Infallible>(())
        })?;
        written.runs.push(Run::of(begin.elapsed().as_secs_f64()));
        size.runs.push(Run::of(bytes as f64 / 1e6));
    }
    remove(&dir)?;
    Ok(vec![made, written, proven, loaded, size])
}

/// From the start of the process to `ready`.
pub(super) fn restart(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let (players, tail) = (climb.size.restart_players, climb.size.restart_tail);
    let name = format!(
        "restart from a snapshot of {} accounts, {} records after it",
        many(players.into()),
        many(tail)
    );
    // The goal is about the full size only.
    let is_full = players >= 10_000_000 && tail >= 10_000_000;
    let goal = Goal::value(8.0, 4.0).filter(|_| is_full);
    let mut rung = Rung::new("restart", name, "s", Better::Less).to_reach(goal);
    let dir = climb.fresh("restart")?;
    build(&dir, plan(Mix::Casino, players), 0)?;
    snapshot(climb, &dir)?;
    go_on(&dir, plan(Mix::Casino, players), tail)?;
    for _ in 0..climb.runs {
        let begin = Instant::now();
        let serving = Serving::start(&climb.cage, &dir, IDS_CAPACITY)?;
        rung.runs.push(Run::of(begin.elapsed().as_secs_f64()));
        drop(serving);
    }
    remove(&dir)?;
    Ok(vec![rung])
}

/// From `kill -9`, bets under way, to the durable answer to the first bet of somebody who connects again.
pub(super) fn kill(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let players = climb.size.casino_players;
    let name = format!("kill -9 to the first durable bet, {} players", many(players.into()));
    let mut rung = Rung::new("kill", name, "s", Better::Less).to_reach(Goal::value(1.0, 0.3));
    let dir = climb.fresh("kill")?;
    build(&dir, plan(Mix::Casino, players), 0)?;
    snapshot(climb, &dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut serving = Serving::start(&climb.cage, &dir, IDS_CAPACITY)?;
    for _ in 0..climb.runs {
        runtime.block_on(bets_under_way(&serving))?;
        let begin = Instant::now();
        drop(serving);
        serving = Serving::start(&climb.cage, &dir, IDS_CAPACITY)?;
        runtime.block_on(async {
            let client = games(&serving).await?;
            bet(&client, 0).await?;
            Ok::<_, LimitError>(())
        })?;
        rung.runs.push(Run::of(begin.elapsed().as_secs_f64()));
    }
    drop(serving);
    remove(&dir)?;
    Ok(vec![rung])
}

async fn games(serving: &Serving) -> Result<Client, LimitError> {
    let credentials = Credentials::from_dir(&serving.certs(), "games")?;
    Ok(Client::connect(Config::new(serving.address()), credentials).await?)
}

async fn bet(client: &Client, player: u32) -> Result<(), LimitError> {
    let player = PlayerId::from_index(player);
    client.reserve(player, ASSET, Amount(1), Amount(2), GameId::new(1, 1)).await?;
    Ok(())
}

/// Comes back when some are answered and others are not.
async fn bets_under_way(serving: &Serving) -> Result<(), LimitError> {
    let client = games(serving).await?;
    let bets = (0..BETS_UNDER_WAY).map(|_| bet(&client, 1));
    let mut bets: Vec<_> = bets.map(Box::pin).collect();
    let first = std::future::poll_fn(|context| {
        // The last one first: the others are polled, and so sent, before any is waited for.
        bets.iter_mut()
            .rev()
            .map(|bet| bet.as_mut().poll(context))
            .filter(std::task::Poll::is_ready)
            .last()
            .unwrap_or(std::task::Poll::Pending)
    });
    first.await
}

/// What a server's memory grows by, per player with one asset and per remembered id: two ledgers, one ten times as
/// large as the other, both read from their logs.
pub(super) fn memory(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let (players, ids) = (climb.size.memory_players, climb.size.memory_ids);
    let few_ids = ids / u64::from(SMALLER);
    let name = format!("memory per player with one asset, {} of them", many(players.into()));
    let mut per_player = Rung::new("memory", name, "B", Better::Less).to_reach(Goal::value(192.0, 128.0));
    let name = format!("memory per remembered id, {} Mi of them", ids >> 20);
    let mut per_id = Rung::new("memory", name, "B", Better::Less).to_reach(Goal::value(40.0, 32.0));
    let small = resident(climb, players / SMALLER, few_ids)?;
    let more_players = resident(climb, players, few_ids)?;
    let more_ids = resident(climb, players / SMALLER, ids)?;
    let each = |more: u64, count: u64| (more as f64 - small as f64) / count as f64;
    per_player.runs.push(Run::of(each(more_players, u64::from(players - players / SMALLER))));
    per_id.runs.push(Run::of(each(more_ids, ids - few_ids)));
    Ok(vec![per_player, per_id])
}

/// The memory of a server on a ledger whose table of ids is full.
fn resident(climb: &Climb, players: u32, ids: u64) -> Result<u64, LimitError> {
    let dir = climb.fresh("memory")?;
    let plan = Plan {
        funds: Funds::Transfers,
        ids_capacity: ids,
        // Requests come faster here than a small table could keep them for a second.
        ids_retention_seconds: 0,
        ..plan(Mix::Transfers, players)
    };
    build(&dir, plan, ids)?;
    let resident = Serving::start(&climb.cage, &dir, ids)?.resident_bytes()?;
    remove(&dir)?;
    Ok(resident)
}
