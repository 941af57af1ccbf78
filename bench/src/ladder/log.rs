//! The log, without network: alone, and with the engine before it.

use cage_wal::FlushStrategy;

use super::Climb;
use crate::limits::append::RECORD_BYTES;
use crate::limits::{LimitError, append as raw, disk};
use crate::log::{self, Plan};
use crate::rung::{Better, Goal, Run, Rung};
use crate::server::{IDS_CAPACITY, IDS_RETENTION_SECONDS};
use crate::workload::{Funds, Mix};

/// The file of the disk alone, in bytes.
const FILE_BYTES: u64 = 256 << 20;
/// The longest frame, in bytes.
const LONG_FRAME_BYTES: usize = 256 << 10;
/// Records a second at which the writer's stalls are looked at.
const APPENDS_PER_SECOND: f64 = 1e6;

/// Frames of one length, one after the other, beside raw writes of the same length; and beside raw writes on a disk that
/// has to make as much new room meanwhile, as the log has to.
pub(super) fn frames(climb: &Climb, frame_bytes: usize) -> Result<Vec<Rung>, LimitError> {
    let (step, name) = match frame_bytes >> 10 {
        4 => ("log-4k", "log path, 4 KiB frames"),
        _ => ("log-64k", "log path, 64 KiB frames"),
    };
    let alone = "the disk alone, O_DIRECT and O_DSYNC, writes of the same length";
    let with_room = "the same, as many bytes zeroed meanwhile for later";
    let rung = |name: &str| Rung::new(step, name, "MB/s", Better::More);
    let mut beside_alone = rung(name).beside(alone).to_reach(Goal::ratio(0.85, 0.95));
    let mut beside_room = rung(&format!("{name}, beside a disk that zeroes as much")).beside(with_room);
    for _ in 0..climb.runs {
        let disk = disk::run(&climb.dir, frame_bytes, FILE_BYTES, climb.time)?;
        let run = log::frames(&climb.fresh("log")?, frame_bytes, climb.time)?;
        let room = disk::run_with_room_made(&climb.dir, frame_bytes, FILE_BYTES, climb.time)?;
        // Headers of segments are in it as well; and now and then a frame is seen before it is complete.
        if !(0.8..1.2).contains(&(run.flush_bytes / frame_bytes as f64)) {
            return Err(format!("flushes of {:.0} bytes instead of {frame_bytes}", run.flush_bytes).into());
        }
        let log = run.bytes_per_second / 1e6;
        beside_alone.runs.push(Run::beside(log, disk.bytes_per_second / 1e6));
        beside_room.runs.push(Run::beside(log, room.bytes_per_second / 1e6));
    }
    Ok(vec![beside_alone, beside_room])
}

/// How long the writer is held up at 1 M records a second, beside a bare ring and a bare file.
pub(super) fn append(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let name = "writer's append of 64 records at 1 M records/s with rotation, p99.9";
    let limit = "a bare ring and a bare file, p99.9";
    let mut rung = Rung::new("append", name, "us", Better::Less).beside(limit);
    for _ in 0..climb.runs {
        let bare = raw::run(&climb.dir, APPENDS_PER_SECOND, climb.time)?;
        let (run, rotations) = log::append(&climb.fresh("log")?, APPENDS_PER_SECOND, climb.time)?;
        if rotations == 0 {
            return Err("no segment was changed: give it more --seconds".into());
        }
        rung.runs.push(Run::beside(run.p99_9_micros, bare.p99_9_micros));
    }
    Ok(vec![rung])
}

/// Sequencer and flusher until the last record is durable.
pub(super) fn engine_and_log(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let limit = "the disk alone, 256 KiB durable writes, as records";
    let mut rung =
        Rung::new("engine-log", "engine + log, transfers, 10 k players, durable", "M/s", Better::More)
            .beside(limit);
    let plan = Plan {
        mix: Mix::Transfers,
        players: 10_000,
        funds: Funds::Deposits,
        ids_capacity: IDS_CAPACITY,
        ids_retention_seconds: IDS_RETENTION_SECONDS,
    };
    for _ in 0..climb.runs {
        let disk = disk::run(&climb.dir, LONG_FRAME_BYTES, FILE_BYTES, climb.time)?;
        let run = log::run(&climb.fresh("log")?, plan, FlushStrategy::DirectDsync, climb.time)?;
        let as_records = disk.bytes_per_second / RECORD_BYTES as f64;
        rung.runs.push(Run::beside(run.per_second / 1e6, as_records / 1e6));
    }
    Ok(vec![rung])
}
