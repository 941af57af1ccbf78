//! The power goes, at any moment, and any part of what was not durable has reached the disk.
//!
//! In: a plan. Out: how many states of the disk were recovered from, and which of them broke a promise. Never here: a
//! state that no disk could be found in.
//!
//! A history is a few lives of a log, with random work, segments, control slots and runs. Each life is cut off at
//! every one of its moments (each write, sync, creation, change of name or removal is one); what was in flight has
//! arrived in any combination of 512-byte sectors. The next life goes on from one of these states, or after a kill, where
//! the cache shows what is not on the disk yet.

use std::time::Duration;

use cage_wal::{
    LogOptions, Writer,
    storage::sim::{Operation, SimDisk},
};

use crate::{
    life::{Life, fate, options, read},
    records::{Random, record},
    tally::{Plan, Tally, Verdict},
    truth::CONTROL,
};

/// Lives of one history.
const LIVES: u64 = 5;
/// States of the disk that are looked at for each moment.
const STATES_PER_MOMENT: u64 = 4;

/// Crash states, until there are as many as planned.
#[must_use]
pub fn states(plan: Plan) -> Tally {
    let mut tally = Tally::new("crash-states");
    for history in 0.. {
        if tally.cases >= plan.cases {
            break;
        }
        let random = Random::of_case(plan.seed, history);
        one_history(&mut tally, random, plan.cases, &format!("history {history}"));
    }
    tally
}

/// Options that differ from history to history.
fn various(random: &mut Random) -> LogOptions {
    let ready_segments = 1 + random.index(3);
    LogOptions {
        reserve_segments: random.index(ready_segments + 1),
        ready_segments,
        segment_bytes: [64 << 10, 64 << 10, 68 << 10, 128 << 10][random.index(4)],
        flush_bytes_max: [256 << 10, 1 << 20][random.index(2)],
        control_interval: Duration::from_micros(50 + random.below(500)),
        ..options()
    }
}

fn one_history(tally: &mut Tally, mut random: Random, cases: u64, name: &str) {
    let options = various(&mut random);
    let (mut disk, mut known, mut owed) = (SimDisk::new(), Vec::new(), 0);
    for epoch in 1..=LIVES {
        let (mut life, mut writer) = Life::open(disk, known, options, epoch);
        life.owed = owed;
        let runs = 10 + random.below(60);
        life.work(&mut writer, &mut random, runs);
        end(writer, &mut random);
        let twice = life.disk.overwritten();
        if let Some((file, offset)) = twice.iter().find(|(file, _)| file != CONTROL) {
            tally.violation(format!("{name}, life {epoch}: {file} is written twice at {offset}"));
        }
        let mut past = life.disk.past();
        for moment in 0..=past.moments() {
            past.go_to(moment);
            for _ in 0..STATES_PER_MOMENT {
                let image = past.crash_image(fate(&mut random));
                let case = || format!("{name}, life {epoch}, moment {moment} of {}", life.disk.events());
                tally.case(case, &image, || life.judge(moment, &image).map(|_| Verdict::Recovered));
            }
        }
        let moment = random.index(past.moments() + 1);
        let mut past = life.disk.past();
        past.go_to(moment);
        // Half of the lives end by a kill: the next one finds in the cache what is not on the disk yet.
        disk = if random.one_in(2) { past.kill_image() } else { past.crash_image(fate(&mut random)) };
        // Counted above, or told now.
        let Ok(records) = life.judge(moment, &disk) else {
            tally.violation(format!("{name}, life {epoch}, moment {moment}: this state cannot go on"));
            return;
        };
        known = records;
        owed = life.promised(moment);
        if tally.cases >= cases {
            return;
        }
    }
}

/// A life ends in order, or it just ends.
fn end(writer: Writer, random: &mut Random) {
    if random.one_in(2) {
        // A fault is in the handle, and nothing fails here.
        drop(writer.close());
    }
}

/// The n-th write, sync, allocation or change of name fails: nothing is acknowledged after it, nothing is tried again,
/// and whatever it left behind, the next life finds everything that was acknowledged.
#[must_use]
pub fn failures(plan: Plan) -> Tally {
    const KINDS: [Operation; 4] = [Operation::Write, Operation::Sync, Operation::Allocate, Operation::Rename];
    let mut tally = Tally::new("failures");
    for number in 0..plan.cases {
        let mut random = Random::of_case(plan.seed, number);
        let kind = KINDS[random.index(4)];
        let nth = 1 + random.below(if matches!(kind, Operation::Write | Operation::Sync) { 40 } else { 8 });
        let disk = SimDisk::new();
        disk.fail_at(kind, nth);
        let case = || format!("case {number}: {kind:?} {nth} fails");
        tally.case(case, &disk, || one_failure(&disk, &mut random));
    }
    tally
}

fn one_failure(disk: &SimDisk, random: &mut Random) -> Result<Verdict, String> {
    let life = match Life::try_open(disk.clone(), Vec::new(), options(), 1) {
        Err((life, _)) => life,
        Ok((mut life, mut writer)) => {
            life.work(&mut writer, random, 60);
            match writer.handle().failed() {
                Some(_) => stays_stopped(&mut life, writer)?,
                None => drop(writer.close()),
            }
            life
        }
    };
    let moment = disk.events();
    for keep in [0, 1, 2] {
        let image = match keep {
            0 => disk.crash_image(moment, || false),
            1 => disk.crash_image(moment, || true),
            _ => disk.crash_image(moment, fate(random)),
        };
        life.judge(moment, &image)?;
    }
    // The machine lives on: the next life recovers what the disk, not the cache, holds.
    let known = recovered(disk)?;
    let owed = life.promised(moment);
    if (known.len() as u64) < owed || known != life.appended[..known.len()] {
        return Err(format!("{owed} records were durable, {} are left", known.len()));
    }
    // The failure may still be to come.
    let mut next = match Life::try_open(disk.clone(), known, options(), 2) {
        Err((next, _)) => next,
        Ok((mut next, mut writer)) => {
            next.work(&mut writer, random, 5);
            next
        }
    };
    next.owed = owed;
    next.judge(disk.events(), &disk.crash_image(disk.events(), || false))?;
    Ok(Verdict::Recovered)
}

/// What recovery finds: it settles the last segments first, which a mere reader does not.
fn recovered(disk: &SimDisk) -> Result<Vec<cage_wal::Record>, String> {
    cage_wal::recover_from(disk.clone(), cage_wal::Limits::default(), |_| {
        Ok::<_, std::convert::Infallible>(())
    })
    .map_err(|error| format!("refused: {error}"))?;
    read(disk).map_err(|error| format!("refused: {error}"))
}

/// A log that has stopped takes what fits its ring, writes none of it, and is not closed in order. (Two threads may be
/// in the middle of a write when it stops.)
fn stays_stopped(life: &mut Life, mut writer: Writer) -> Result<(), String> {
    let (handle, writes) = (writer.handle().clone(), life.disk.operations(Operation::Write));
    loop {
        let record = record(writer.next_lsn().0, false);
        if writer.append(&record).is_err() {
            break;
        }
        life.appended.push(record);
    }
    writer.publish();
    let closed = writer.close();
    let more = life.disk.operations(Operation::Write) - writes;
    match handle.failed() {
        Some(fault) if closed.as_ref() != Err(&fault) => {
            Err(format!("after {fault} it was closed: {closed:?}"))
        }
        Some(fault) if more > 2 => Err(format!("{more} writes after {fault}")),
        _ => Ok(()),
    }
}
