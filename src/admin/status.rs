//! `/status`: how a server stands, as one JSON object.
//!
//! In: a [`Look`]. Out: what an operator asks first. Never here: a player, a balance, a secret.

use serde::Serialize;

use super::alarms;
use super::look::{LogLook, Look, Place};
use crate::cli::hex;

/// How a server stands.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    rules_version: u32,
    /// One process writes; there are no others yet.
    role: &'static str,
    phase: &'static str,
    ready: bool,
    /// Why it is not ready.
    reason: Option<String>,
    uptime_seconds: f64,
    connections: u64,
    handshakes: u64,
    alarms: Vec<OnAlarm>,
    /// Nothing until the log is open.
    log: Option<Log>,
    space: Option<Space>,
    snapshots: Option<Snapshots>,
    archive: Option<Folder>,
    ledger: Ledger,
    start: Option<Start>,
}

#[derive(Debug, Serialize)]
struct OnAlarm {
    name: &'static str,
    severity: &'static str,
    meaning: &'static str,
}

#[derive(Debug, Serialize)]
struct Log {
    id: String,
    epoch: String,
    segment: u64,
    durable_lsn: u64,
    chain_head: String,
    verified_lsn: u64,
    /// The last record that is signed for.
    checkpoint_lsn: Option<u64>,
    waiting_records: u64,
    flush_p99_micros: u64,
    scrub_rounds: u64,
    scrub_damaged: u64,
    scrub_snapshots_damaged: u64,
    /// Since the last whole round; nothing if nobody scrubs.
    scrub_age_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Space {
    prepared_bytes: u64,
    reserve_bytes: u64,
    ready_segments: u64,
    lives_on_reserve: bool,
    /// Why no further segment can be made.
    failure: Option<String>,
    log: Folder,
}

#[derive(Debug, Serialize)]
struct Snapshots {
    newest_lsn: Option<u64>,
    newest_nanos: Option<u64>,
    made: u64,
    failed: u64,
    #[serde(flatten)]
    folder: Folder,
}

#[derive(Debug, Serialize)]
struct Folder {
    path: String,
    files: u64,
    bytes: u64,
    disk_free_bytes: u64,
    disk_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Ledger {
    players: u64,
    holds_open: u64,
    wagers_open: u64,
    rounds_open: u64,
    sessions: u64,
    ids: u64,
    ids_capacity: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Start {
    snapshot_lsn: u64,
    records: u64,
    seconds: f64,
    torn_tail: bool,
}

impl From<&Place> for Folder {
    fn from(place: &Place) -> Self {
        Self {
            path: place.path.display().to_string(),
            files: place.files,
            bytes: place.bytes,
            disk_free_bytes: place.free_bytes,
            disk_bytes: place.disk_bytes,
        }
    }
}

impl From<&LogLook> for Log {
    fn from(log: &LogLook) -> Self {
        let (durable, chain) = log.head;
        Self {
            id: format!("{:032x}", log.log_id),
            epoch: log.epoch.to_string(),
            segment: log.segment,
            durable_lsn: durable.0,
            chain_head: hex(chain.as_bytes()),
            verified_lsn: log.stats.verified.0,
            checkpoint_lsn: log.checkpoint.map(|signed| signed.checkpoint.lsn),
            waiting_records: log.stats.waiting,
            flush_p99_micros: log.stats.flush_times.p99 / 1_000,
            scrub_rounds: log.scrubbed.rounds,
            scrub_damaged: log.scrubbed.damaged,
            scrub_snapshots_damaged: log.scrubbed.snapshots_damaged,
            scrub_age_seconds: log.scrub_age.map(|age| age.as_secs_f64()),
        }
    }
}

impl From<&LogLook> for Space {
    fn from(log: &LogLook) -> Self {
        Self {
            prepared_bytes: log.space.prepared_bytes,
            reserve_bytes: log.space.reserve_bytes,
            ready_segments: log.space.ready_segments,
            lives_on_reserve: log.space.lives_on_reserve(),
            failure: log.space.failure.clone(),
            log: Folder::from(&log.files.log),
        }
    }
}

impl Status {
    /// What a look says.
    pub(super) fn of(look: &Look<'_>) -> Self {
        let (numbers, log) = (&look.board.numbers, look.log.as_ref());
        let on = alarms::on(look.board).map(|alarm| OnAlarm {
            name: alarm.name(),
            severity: alarm.severity().name(),
            meaning: alarm.meaning(),
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            rules_version: cage_engine::RULES_VERSION,
            role: "writer",
            phase: look.board.phase().name(),
            ready: look.unready.is_none(),
            reason: look.unready.clone(),
            uptime_seconds: look.board.age().as_secs_f64(),
            connections: numbers.connections.get(),
            handshakes: numbers.handshakes.get(),
            alarms: on.collect(),
            log: log.map(Log::from),
            space: log.map(Space::from),
            snapshots: log.map(|log| Snapshots {
                newest_lsn: log.files.newest.map(|newest| newest.anchor.lsn.0),
                newest_nanos: log.files.newest.map(|newest| newest.created_ns),
                made: numbers.snapshots_made.get(),
                failed: numbers.snapshots_failed.get(),
                folder: Folder::from(&log.files.snapshots),
            }),
            archive: log.map(|log| Folder::from(&log.files.archive)),
            ledger: Ledger {
                players: numbers.players.get(),
                holds_open: numbers.holds.get(),
                wagers_open: numbers.wagers.get(),
                rounds_open: numbers.rounds.get(),
                sessions: numbers.sessions.get(),
                ids: numbers.ids.get(),
                ids_capacity: log.map(|log| log.settings.ids_capacity),
            },
            start: log.map(|log| Start {
                snapshot_lsn: log.started.snapshot,
                records: log.started.records,
                seconds: log.started.took.as_secs_f64(),
                torn_tail: log.started.torn_tail,
            }),
        }
    }
}
