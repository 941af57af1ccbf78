//! Bytes of snapshots and archived segments that changed after they were proven: bursts, sectors and files in the wrong
//! place, missing, or of another time.
//!
//! In: a plan. Out: how many damaged places were refused or started from, and which answer is not allowed. Never here: a
//! byte of the log's own folder that changes; see [`damage`](crate::damage).
//!
//! Allowed is: the state that the records lead to, or a refusal. It may be refused only if the newest snapshot that can be
//! opened is another history's, if one says that it is of a newer format, or if none can be opened and an archived segment is
//! not what was packed. An archived segment gives back the bytes that were packed, or nothing; a scrub says of a snapshot
//! what a start says.

use std::collections::BTreeMap;

use cage_wal::{
    Limits, SnapshotError,
    cover::{self, Base, Image, Places},
    scan_from,
    snapshot::{self, Snapshot, list},
    storage::sim::SimDisk,
};

use crate::{
    cover::{HOT, Sum, cover_once, places},
    damage::{burst, sectors, whole_files},
    logs::session,
    records::Random,
    tally::{Plan, Tally, Verdict},
    truth::{Files, disk},
};

/// Logs that are damaged.
const LOGS: u64 = 4;

/// A log with two snapshots and an archive, and what else could lie in their places.
struct Covered {
    /// The log's own folder.
    log: Files,
    /// Snapshots and archived segments.
    files: Files,
    /// The same before the last snapshot was made.
    earlier: Files,
    /// Those of a log that was the same for a while, and then another process went on.
    twin: Files,
    /// The archived segments as they were before they were packed.
    raw: BTreeMap<u64, Vec<u8>>,
    digest: [u8; 32],
}

impl Covered {
    fn made(mut random: Random) -> Self {
        let own = SimDisk::new();
        session(&own, 1, &sizes(&mut random), false);
        let twin = own.copy();
        let later: Vec<_> = (0..3).map(|_| sizes(&mut random)).collect();
        let grow = |disk: &SimDisk, first_epoch: u64| {
            let mut earlier = Files::new();
            for (epoch, sizes) in (first_epoch..).zip(&later) {
                session(disk, epoch, sizes, epoch % 2 == 0);
                earlier = covering_files(disk);
                covers(disk, HOT);
            }
            earlier
        };
        let earlier = grow(&own, 2);
        grow(&twin, 12);
        let records = crate::life::read(&own).unwrap_or_else(|error| panic!("the log is whole: {error}"));
        let before = own.files();
        [&own, &twin].into_iter().for_each(|disk| covers(disk, 0));
        let files = covering_files(&own);
        let segments = places(&own).archive.segments().unwrap_or_default();
        let raw = |number: &u64| (*number, before[&format!("{number:016x}.wal")].to_vec());
        let raw = segments.iter().map(raw).collect();
        let log = own.files().into_iter().filter(|(name, _)| !is_covering(name)).collect();
        assert!(list(&*places(&own).snapshots).is_ok_and(|found| found.len() == 2) && segments.len() > 1);
        let digest = Sum::of(&records).digest();
        Self { log, files, earlier, twin: covering_files(&twin), raw, digest }
    }

    fn damage(&self, files: &mut Files, random: &mut Random) -> String {
        let stale = if random.one_in(2) { &self.twin } else { &self.earlier };
        match random.below(4) {
            0 => burst(files, random),
            1 => whole_files(files, stale, random),
            _ => sectors(files, stale, random),
        }
    }

    fn judge(&self, files: &Files, image: &SimDisk) -> Result<Verdict, String> {
        let places = places(image);
        let whole = self.archive(files, &places)?;
        let newest = self.newest(files, &places)?;
        let started = start(&places);
        match (newest, started) {
            (Newest::Own, Ok(digest)) if digest == self.digest => Ok(Verdict::Recovered),
            (Newest::None, Ok(digest)) if digest == self.digest && whole => Ok(Verdict::Recovered),
            (Newest::Other | Newest::Newer, Err(_)) => Ok(Verdict::Refused),
            (Newest::None, Err(_)) if !whole => Ok(Verdict::Refused),
            (newest, started) => {
                Err(format!("snapshot: {newest:?}, the archive is whole: {whole}; a start: {started:?}"))
            }
        }
    }

    /// Every archived segment gives back what was packed, or nothing; whether all of them do.
    fn archive(&self, files: &Files, places: &Places) -> Result<bool, String> {
        let mut whole = true;
        for (number, raw) in &self.raw {
            let name = format!("archive/{number:016x}.wal.zst");
            let untouched = files.get(&name) == self.files.get(&name);
            match places.archive.load(*number) {
                Ok(content) if content[..] == raw[..] => {}
                // A whole one of another history: only the chain tells, and a start looks at that.
                Ok(_) if files.get(&name) == self.twin.get(&name) => whole = false,
                Ok(_) => return Err(format!("segment {number} is given back as other bytes")),
                Err(error) if untouched => return Err(format!("segment {number} is as it was: {error}")),
                Err(_) => whole = false,
            }
        }
        Ok(whole)
    }

    /// What the newest snapshot is that a start would take; a scrub says the same of each.
    fn newest(&self, files: &Files, places: &Places) -> Result<Newest, String> {
        let dir = &*places.snapshots;
        let mut newest = None;
        for lsn in list(dir).map_err(|error| error.to_string())? {
            let name = format!("snapshots/{}", snapshot::file_name(lsn));
            let untouched = files.get(&name) == self.files.get(&name);
            let opened = Snapshot::open(dir, lsn);
            if snapshot::prove(dir, lsn, &mut |_| true).is_ok() != opened.is_ok() {
                return Err(format!("a start and a scrub differ over {name}: a start says {opened:?}"));
            }
            let found = match opened {
                Ok(_) if untouched => Newest::Own,
                Ok(_) => Newest::Other,
                Err(error) if untouched => return Err(format!("{name} is as it was: {error}")),
                Err(SnapshotError::NewerFormat { .. }) => Newest::Newer,
                Err(_) => continue,
            };
            newest.get_or_insert(found);
        }
        Ok(newest.unwrap_or(Newest::None))
    }
}

/// The newest snapshot that is not passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    /// The one that was made.
    Own,
    /// A whole one, that the other process has made or that belongs to another time.
    Other,
    /// One that says that a newer program wrote it.
    Newer,
    None,
}

/// The digest of the state that a start leads to.
fn start(places: &Places) -> Result<[u8; 32], String> {
    let base: Base<Sum> = cover::load(&*places.snapshots, |_| true).map_err(|fault| fault.to_string())?;
    let limits = base.anchor().map_or_else(Limits::default, Limits::after);
    let log = places.whole_log(base.first_segment());
    let mut state = base.state;
    scan_from(&log, limits, |frame| state.apply(&frame)).map_err(|error| error.to_string())?;
    Ok(state.digest())
}

fn sizes(random: &mut Random) -> Vec<u64> {
    (0..4 + random.below(8)).map(|_| 1 + random.below(60)).collect()
}

fn covers(disk: &SimDisk, hot_segments: u64) {
    cover_once(disk, hot_segments).unwrap_or_else(|broken| panic!("{broken}"));
}

fn is_covering(name: &str) -> bool {
    name.ends_with(".snapshot") || name.ends_with(".zst")
}

fn covering_files(disk: &SimDisk) -> Files {
    disk.files().into_iter().filter(|(name, _)| is_covering(name)).collect()
}

/// Bursts, sectors and files of snapshots and of the archive: changed, swapped, doubled, missing, or stale.
#[must_use]
pub fn pieces(plan: Plan) -> Tally {
    let mut tally = Tally::new("covered-pieces");
    let logs: Vec<_> = (0..LOGS).map(|number| Covered::made(Random::of_case(plan.seed, number))).collect();
    for number in 0..plan.cases {
        let mut random = Random::of_case(plan.seed, number);
        let covered = &logs[random.index(logs.len())];
        let mut files = covered.files.clone();
        let done: Vec<_> =
            (0..1 + random.below(3)).map(|_| covered.damage(&mut files, &mut random)).collect();
        let all: Files =
            files.iter().chain(&covered.log).map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
        let image = disk(&all);
        let case = || format!("case {number}: {}", done.join(", "));
        tally.case(case, &image, || covered.judge(&files, &image));
    }
    tally
}
