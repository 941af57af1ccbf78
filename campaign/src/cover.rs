//! What covers a log is made while the power goes, or while the disk fails: snapshots, archived segments, removals.
//!
//! In: a plan. Out: how many states of the disk a ledger was started from, and which of them broke a promise. Never here:
//! a way of its own to make a snapshot or to archive a segment; `cage_wal::cover` is what the program runs.
//!
//! A history is a few lives of a log, whose sealed segments are covered now and then. Each life is cut off at every moment
//! of the disk, which is one for log, snapshots and archive; what was in flight has arrived in any combination. In each
//! state: every snapshot and every archived segment that has its name is whole; a start from the newest snapshot finds
//! the state that the records lead to, and all that was acknowledged; so does one from the first record, over the archive;
//! a snapshot that was told of is there; no segment is gone that two good snapshots do not cover.

use std::{convert::Infallible, sync::Arc};

use cage_wal::{
    FrameView, Limits, Lsn, Record, StorageError,
    archive::Archive,
    cover::{self, Base, Image, Keep, Places},
    recover_from, scan_from, segment_numbers,
    snapshot::{Snapshot, list},
    storage::{
        WholeLog,
        faulty::{Call, CallCounts, FaultPlan, Faulty, Strike},
        sim::{Operation, SimDisk},
    },
};

use crate::{
    life::{Life, fate, options, read, wait},
    records::Random,
    tally::{Plan, Tally, Verdict},
};

/// Lives of one history.
const LIVES: u64 = 3;
/// How often what is sealed is covered in each life.
const COVERS: u64 = 3;
/// States of the disk that are looked at for each moment.
const STATES_PER_MOMENT: u64 = 2;
/// In one state of so many the log is opened and covered once more.
const GOES_ON_IN: u64 = 16;
/// How many of the last records an image holds: some sectors.
const REMEMBERED: usize = 400;
const HASH_BYTES: usize = 8;

/// What records lead to: how many there were, a hash of all of them, and the hashes of the last ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    count: u64,
    all: u64,
    last: Vec<u64>,
}

impl Sum {
    fn add(&mut self, record: &Record) {
        let words = record.as_chunks::<HASH_BYTES>().0.iter().map(|word| u64::from_le_bytes(*word));
        let hash = words.fold(self.count, mixed);
        (self.count, self.all) = (self.count + 1, mixed(self.all, hash));
        self.last.push(hash);
        if self.last.len() > 2 * REMEMBERED {
            self.last.drain(..REMEMBERED);
        }
    }

    pub(crate) fn of(records: &[Record]) -> Self {
        let mut sum = Self::empty();
        records.iter().for_each(|record| sum.add(record));
        sum
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let kept = self.last.len().saturating_sub(REMEMBERED);
        [self.count, self.all].into_iter().chain(self.last[kept..].iter().copied())
    }
}

const fn mixed(hash: u64, word: u64) -> u64 {
    Random::new(hash ^ word.rotate_left(17)).next()
}

impl Image for Sum {
    type Fault = Infallible;
    const RULES_VERSION: u32 = 1;

    fn empty() -> Self {
        Self { count: 0, all: 0, last: Vec::new() }
    }

    fn read(body: &[u8]) -> Result<Self, String> {
        let (words, rest) = body.as_chunks::<HASH_BYTES>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let (Some(count), Some(all), true) = (words.next(), words.next(), rest.is_empty()) else {
            return Err(format!("{} bytes are no image", body.len()));
        };
        Ok(Self { count, all, last: words.collect() })
    }

    fn write(&self, take: &mut dyn FnMut(&[u8]) -> Result<(), StorageError>) -> Result<(), StorageError> {
        self.words().try_for_each(|word| take(&word.to_le_bytes()))
    }

    fn apply(&mut self, frame: &FrameView<'_>) -> Result<(), Infallible> {
        frame.records().for_each(|record| self.add(record));
        Ok(())
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (place, bytes) in (0..).zip(digest.as_chunks_mut::<HASH_BYTES>().0) {
            *bytes = self.words().fold(place, mixed).to_le_bytes();
        }
        digest
    }

    fn next_lsn(&self) -> Lsn {
        Lsn(self.count + 1)
    }
}

/// The log in the disk's own folder, what covers it in two others.
pub(crate) fn places(disk: &SimDisk) -> Places {
    Places {
        name: "the simulated disk".to_owned(),
        log: Arc::new(disk.clone()),
        snapshots: Arc::new(disk.folder("snapshots")),
        archive: Archive::new(Arc::new(disk.folder("archive"))),
    }
}

fn whole(disk: &SimDisk) -> WholeLog {
    places(disk).whole_log(1)
}

/// When a snapshot was told of: the count of the disk's events, and its LSN.
type Told = Vec<(usize, u64)>;

/// Crash states, until there are as many as planned.
#[must_use]
pub fn covering(plan: Plan) -> Tally {
    let mut tally = Tally::new("covering");
    for history in 0.. {
        // After a violation that ended a history there may never be enough cases.
        if tally.cases >= plan.cases || tally.violations > 0 {
            break;
        }
        let random = Random::of_case(plan.seed, history);
        one_history(&mut tally, random, plan.cases, &format!("history {history}"));
    }
    tally
}

fn one_history(tally: &mut Tally, mut random: Random, cases: u64, name: &str) {
    let (mut disk, mut known, mut owed, mut told) = (SimDisk::new(), Vec::new(), 0, Told::new());
    for epoch in 1..=LIVES {
        let opened = Life::try_open_over(whole(&disk), disk.clone(), known, options(), epoch);
        let (mut life, mut writer) = opened.unwrap_or_else(|(_, error)| panic!("the log opens: {error}"));
        life.owed = owed;
        for _ in 0..COVERS {
            life.work(&mut writer, &mut random, 12);
            wait(&mut writer);
            match cover_once(&disk, random.below(4)) {
                Ok(lsn) => told.push((disk.events(), lsn)),
                Err(broken) => return tally.violation(format!("{name}, life {epoch}: {broken}")),
            }
        }
        if random.one_in(2) {
            drop(writer.close());
        } else {
            drop(writer);
        }
        let mut past = life.disk.past();
        for moment in 0..=past.moments() {
            past.go_to(moment);
            for state in 0..STATES_PER_MOMENT {
                let image = past.crash_image(fate(&mut random));
                let goes_on = (moment as u64 + state).is_multiple_of(GOES_ON_IN);
                let case = || format!("{name}, life {epoch}, moment {moment} of {}", life.disk.events());
                tally.case(case, &image, || judge(&life, moment, &told, &image, goes_on));
            }
            if tally.cases >= cases {
                return;
            }
        }
        let moment = random.index(past.moments() + 1);
        let mut past = life.disk.past();
        past.go_to(moment);
        disk = if random.one_in(2) { past.kill_image() } else { past.crash_image(fate(&mut random)) };
        let Ok(records) = read(&whole(&disk)) else {
            return tally
                .violation(format!("{name}, life {epoch}, moment {moment}: this state cannot go on"));
        };
        (known, owed) = (records, life.promised(moment));
        told = told.iter().filter(|(at, _)| *at <= moment).map(|(_, lsn)| (0, *lsn)).collect();
    }
}

/// Covers what is sealed; the record after which the newest snapshot is.
pub(crate) fn cover_once(disk: &SimDisk, hot_segments: u64) -> Result<u64, String> {
    let keep = Keep { hot_bytes: hot_segments << 16 };
    let made = cover::make::<Sum>(&places(disk), keep, 1).map_err(|fault| format!("not covered: {fault}"))?;
    match &made.passed_over[..] {
        [] => Ok(made.lsn),
        [why, ..] => Err(format!("a snapshot is not good: {why}")),
    }
}

/// Starts from what a loss of power at this moment has left.
fn judge(life: &Life, moment: usize, told: &Told, image: &SimDisk, goes_on: bool) -> Result<Verdict, String> {
    let told = told.iter().filter(|(at, _)| *at <= moment).map(|(_, lsn)| *lsn).max().unwrap_or(0);
    let records = whole_and_covered(image, told)?;
    life.judge_records(moment, &records)?;
    starts(image, &records)?;
    if goes_on && !records.is_empty() {
        // A process that goes on makes durable what it builds on, and covers it again.
        recover_from(whole(image), Limits::default(), |_| Ok::<_, Infallible>(()))
            .map_err(|error| format!("refused: {error}"))?;
        cover_once(image, 0)?;
        let again = whole_and_covered(&image.crash_image(image.events(), || false), told)?;
        life.judge_records(moment, &again)?;
    }
    Ok(Verdict::Recovered)
}

/// Everything that has its name is whole, nothing is gone that is not covered twice; all records of the log.
fn whole_and_covered(image: &SimDisk, told: u64) -> Result<Vec<Record>, String> {
    let Places { log, snapshots, archive, .. } = places(image);
    let refused = |error: StorageError| error.to_string();
    let mut ends = Vec::new();
    for lsn in list(&*snapshots).map_err(refused)? {
        let found = Snapshot::open(&*snapshots, lsn).map_err(|fault| format!("a snapshot: {fault}"))?;
        ends.push((found.facts().anchor.end.segment, lsn.0));
    }
    for number in archive.segments().map_err(refused)? {
        archive.load(number).map_err(|fault| format!("an archived segment: {fault}"))?;
    }
    let newest = ends.first().map_or(0, |(_, lsn)| *lsn);
    if newest < told {
        return Err(format!("a snapshot at {told} was told of, the newest is at {newest}"));
    }
    let hot = segment_numbers(&*log).map_err(refused)?;
    let gone = hot.first().map_or(0, |oldest| oldest - 1);
    let covered = ends.get(1).map_or(0, |(segment, _)| *segment);
    if gone > covered {
        return Err(format!("segment {gone} is gone, two snapshots cover {covered} segments"));
    }
    read(&whole(image)).map_err(|error| format!("the whole log is refused: {error}"))
}

/// A start from the newest snapshot finds what the records lead to; so does one from the snapshot before it.
fn starts(image: &SimDisk, records: &[Record]) -> Result<(), String> {
    let places = places(image);
    let mut newest = u64::MAX;
    let expected = Sum::of(records).digest();
    for _ in 0..2 {
        let base: Base<Sum> =
            cover::load(&*places.snapshots, |lsn| lsn.0 < newest).map_err(|fault| fault.to_string())?;
        let limits = base.anchor().map_or_else(Limits::default, Limits::after);
        let log = places.whole_log(base.first_segment());
        newest = base.anchor().map_or(0, |anchor| anchor.lsn.0);
        let mut state = base.state;
        scan_from(&log, limits, |frame| state.apply(&frame))
            .map_err(|error| format!("no start from the snapshot at {newest}: {error}"))?;
        if state.digest() != expected {
            return Err(format!("a start from the snapshot at {newest} leads to another state"));
        }
        if newest == 0 {
            break;
        }
    }
    Ok(())
}

/// One call of those that covering a log takes, and how it fails.
#[derive(Clone, Copy, Debug)]
struct Failure {
    call: Call,
    nth: u64,
    fault: &'static str,
    /// What a sync was to make durable is lost; otherwise it is there.
    lost: bool,
}

/// A log to be covered, and the failures that it has yet to see.
struct Prepared {
    life: Life,
    disk: SimDisk,
    left: Vec<Failure>,
}

/// Each call fails once while a log is covered: it is told, nothing is lost, and the next attempt goes on.
#[must_use]
pub fn failures(plan: Plan) -> Tally {
    let mut tally = Tally::new("cover-failures");
    for log in 0.. {
        let mut random = Random::of_case(plan.seed, log);
        let mut prepared = prepare(log, &mut random);
        while let Some(failure) = prepared.left.pop() {
            if tally.cases >= plan.cases {
                return tally;
            }
            let copy = prepared.disk.copy();
            let case = || format!("log {log}: {failure:?}");
            tally.case(case, &copy, || one_failure(&prepared.life, &copy, failure, &mut random));
        }
    }
    tally
}

/// A log with some sealed segments, which are covered once or twice; nothing may have been sealed since.
fn prepare(log: u64, random: &mut Random) -> Prepared {
    let disk = SimDisk::new();
    let (mut life, mut writer) = Life::open(disk.clone(), Vec::new(), options(), 1);
    let covers = 1 + log % 3;
    for _ in 0..covers.min(2) {
        life.work(&mut writer, random, 20);
        wait(&mut writer);
        cover_once(&disk, HOT).unwrap_or_else(|broken| panic!("{broken}"));
    }
    life.work(&mut writer, random, if covers == 3 { 1 } else { 20 });
    drop(writer.close());
    if covers == 3 {
        cover_once(&disk, HOT).unwrap_or_else(|broken| panic!("{broken}"));
    }
    let copy = disk.copy();
    let (places, counts) = faulty(&copy, FaultPlan::default(), |_| {});
    cover::make::<Sum>(&places, Keep { hot_bytes: 0 }, 1).unwrap_or_else(|fault| panic!("{fault}"));
    let mut left = Vec::new();
    for call in Call::ALL {
        for nth in 1..=counts.of(call) {
            let fault = ["eio", "full", "short"][random.index(3)];
            left.push(Failure { call, nth, fault, lost: false });
            if call == Call::Sync {
                left.push(Failure { call, nth, fault, lost: true });
            }
        }
    }
    Prepared { life, disk, left }
}

/// So many segments stay that none leaves.
pub(crate) const HOT: u64 = 1 << 16;

/// The three folders, under one plan.
fn faulty(
    disk: &SimDisk,
    plan: FaultPlan,
    tell: impl Fn(&Strike) + Send + Sync + 'static,
) -> (Places, CallCounts) {
    let log = Faulty::new(disk.clone(), plan, tell);
    let counts = log.counts();
    let places = Places {
        name: "the simulated disk".to_owned(),
        snapshots: Arc::new(log.beside(disk.folder("snapshots"))),
        archive: Archive::new(Arc::new(log.beside(disk.folder("archive")))),
        log: Arc::new(log),
    };
    (places, counts)
}

fn one_failure(
    life: &Life,
    disk: &SimDisk,
    failure: Failure,
    random: &mut Random,
) -> Result<Verdict, String> {
    let (told, moment) = (Told::new(), life.disk.events());
    let Failure { call, nth, fault, lost } = failure;
    let plan = if lost { String::new() } else { format!("{}@{nth}={fault}", call.name()) };
    if lost {
        disk.fail_at(Operation::Sync, nth);
    }
    let (places, _) = faulty(disk, plan.parse().map_err(|fault| format!("{fault}"))?, |_| {});
    let made = cover::make::<Sum>(&places, Keep { hot_bytes: 0 }, 1);
    if made.as_ref().is_ok_and(|made| made.passed_over.is_empty()) {
        return Err(format!("it failed, and nobody was told: {made:?}"));
    }
    let now = disk.events();
    for image in
        [disk.crash_image(now, || false), disk.crash_image(now, || true), disk.crash_image(now, fate(random))]
    {
        judge(life, moment, &told, &image, true)?;
    }
    // The machine lives on: the next attempt goes on.
    let lsn = cover_once(disk, 0)?;
    judge(life, moment, &vec![(0, lsn)], &disk.crash_image(disk.events(), || false), false)?;
    Ok(Verdict::Recovered)
}

#[test]
fn an_image_is_read_as_it_was_written() {
    let records: Vec<Record> = (1..=1000).map(|serial| crate::records::record(serial, false)).collect();
    for count in [0, 1, 399, 400, 401, 1000] {
        let sum = Sum::of(&records[..count]);
        let mut body = Vec::new();
        sum.write(&mut |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })
        .expect("an image");
        let again = Sum::read(&body).expect("the same");
        assert_eq!((again.digest(), again.next_lsn()), (sum.digest(), Lsn(count as u64 + 1)));
    }
    assert!(Sum::read(&[0; 17]).is_err());
}
