//! The engine alone: decide, encode, apply, on one thread.

use std::time::Instant;

use cage_engine::{Admitted, ApplyFault, Decision, Record, Settings, State, Timestamp, decide};

use crate::workload::{Funds, Mix, Workload};

/// What a run measured.
#[derive(Clone, Copy, Debug)]
pub struct EngineRun {
    /// Requests decided, encoded and applied a second.
    pub per_second: f64,
    /// Records that were refusals: none, or the workload is not what it says.
    pub refused: u64,
}

const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
/// Requests are made beforehand, so many at a time, so that making them is not what is measured.
const CHUNK: usize = 4_096;
/// As the sequencer does: memory is read for so many requests at once.
const TOUCH: usize = 16;

/// Runs `requests` of `mix` over `players` players; the table of ids is `ids_capacity` long and idempotency is on.
#[must_use]
pub fn run(mix: Mix, players: u32, requests: usize, ids_capacity: u64) -> EngineRun {
    let mut workload = Workload::new(mix, players, 0x5eed);
    let settings = Settings { ids_capacity, ids_retention_millis: 0, ..Settings::DEFAULT };
    let mut state = State::new(0x5eed);
    for admitted in workload.setup(settings, Funds::Deposits, START, 0) {
        step(&mut state, START, &admitted);
    }
    let (mut seconds, mut refused, mut done) = (0.0, 0, 0_usize);
    let mut chunk = Vec::with_capacity(CHUNK);
    while done < requests {
        let now = Timestamp(START.0 + done as u64 * 1_000);
        chunk.clear();
        chunk.extend((0..CHUNK).map(|_| workload.next(now)));
        let begin = Instant::now();
        for some in chunk.chunks(TOUCH) {
            state.touch(some.iter().map(|admitted| &admitted.request));
            for admitted in some {
                refused += step(&mut state, now, admitted);
            }
        }
        seconds += begin.elapsed().as_secs_f64();
        done += CHUNK;
    }
    EngineRun { per_second: done as f64 / seconds, refused }
}

/// Applies `requests` records of `mix` that were decided beforehand, as a replay does; records a second.
///
/// # Errors
/// A record that does not fit.
pub fn replay(mix: Mix, players: u32, requests: usize, ids_capacity: u64) -> Result<f64, ApplyFault> {
    let mut workload = Workload::new(mix, players, 0x5eed);
    let settings = Settings { ids_capacity, ids_retention_millis: 0, ..Settings::DEFAULT };
    let (mut live, mut again) = (State::new(1), State::new(2));
    for admitted in workload.setup(settings, Funds::Deposits, START, 0) {
        let lsn = live.next_lsn();
        if let Decision::Record(record) = decide(&live, START, &admitted) {
            live.apply(lsn, &record)?;
            again.apply(lsn, &record)?;
        }
    }
    // All of it before the first is applied: a replay has the processor's memory for itself.
    let mut records = Vec::with_capacity(requests);
    for done in 0..requests as u64 {
        let now = Timestamp(START.0 + done / CHUNK as u64 * CHUNK as u64 * 1_000);
        if let Decision::Record(record) = decide(&live, now, &workload.next(now)) {
            let lsn = live.next_lsn();
            live.apply(lsn, &record)?;
            records.push((lsn, record.to_bytes()));
        }
    }
    drop(live);
    let begin = Instant::now();
    for some in records.chunks(TOUCH) {
        let decoded: Result<Vec<_>, _> =
            some.iter().map(|(lsn, bytes)| Record::from_bytes(bytes).map(|record| (*lsn, record))).collect();
        let decoded = decoded.map_err(|fault| ApplyFault::Missing(fault.0))?;
        again.touch(decoded.iter().map(|(_, record)| &record.request));
        for (lsn, record) in &decoded {
            again.apply(*lsn, record)?;
        }
    }
    Ok(records.len() as f64 / begin.elapsed().as_secs_f64())
}

/// One request; 1 if it was not executed.
pub(crate) fn step(state: &mut State, now: Timestamp, admitted: &Admitted) -> u64 {
    let decision = decide(state, now, admitted);
    let Some(head) = decision.records().first() else { return 1 };
    for record in decision.records() {
        std::hint::black_box(record.to_bytes());
        let lsn = state.next_lsn();
        if let Err(fault) = state.apply(lsn, record) {
            panic!("record {lsn} cannot be applied: {fault}");
        }
    }
    u64::from(!head.result.is_executed())
}
