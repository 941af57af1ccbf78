//! How many instructions an operation costs: decided, written as a record, applied; and what its bytes cost.
//!
//! Counted by `valgrind --tool=callgrind`, which the machine's noise does not reach: the same program does the same
//! stage-setting twice and then a different number of operations, and the difference is what they cost.
//!
//! In: stories, and what they cost before. Out: what they cost now, and by how much that differs. Never here: time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::limits::LimitError;

mod codec;
mod scenes;
mod stage;

use codec::{BYTES, Samples};

/// How often bytes are written or read.
const BYTES_MANY: u64 = 3_000;

/// What is counted: a scene of the ledger, or bytes.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// Its name on the command line and in files.
    pub name: &'static str,
    told: Told,
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Ledger(&'static scenes::Scene),
    Bytes(codec::Told),
}

/// All of them: one for each kind of operation, what an operation can cost besides, and the bytes.
pub fn stories() -> impl Iterator<Item = Story> {
    let ledger = scenes::all().map(|scene| Story { name: scene.name, told: Told::Ledger(scene) });
    ledger.chain(BYTES.iter().map(|(name, told)| Story { name, told: Told::Bytes(*told) }))
}

impl Story {
    /// The story of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        stories().find(|story| story.name == name)
    }

    /// Tells it `count` times, on a stage that is always set for the greatest count.
    pub fn once(&self, count: u64) {
        match self.told {
            Told::Ledger(scene) => drop(scene.once(count)),
            Told::Bytes(told) => {
                let samples = Samples::new();
                (0..count).for_each(|number| told(&samples, number));
            }
        }
    }

    /// The counts whose difference is taken.
    const fn counts(&self) -> (u64, u64) {
        let many = match self.told {
            Told::Ledger(scene) => scene.many,
            Told::Bytes(_) => BYTES_MANY,
        };
        (many / 3, many)
    }
}

/// Instructions by the names of the stories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Instructions per operation.
    pub instructions: BTreeMap<String, u64>,
}

/// Counts the instructions of every story, as many at a time as there are processors: they do not disturb each other.
///
/// # Errors
/// If valgrind is not there or does not say what it counted.
pub fn count(row: impl FnMut(&str, u64) + Send) -> Result<Costs, LimitError> {
    let (left, told) = (Mutex::new(stories()), Mutex::new((Costs::default(), row)));
    let counter = || -> Result<(), String> {
        loop {
            let next = lock(&left).next();
            let Some(story) = next else { return Ok(()) };
            let (few, many) = story.counts();
            let difference = counted(story, many)?.saturating_sub(counted(story, few)?);
            let (costs, row) = &mut *lock(&told);
            row(story.name, difference / (many - few));
            costs.instructions.insert(story.name.to_owned(), difference / (many - few));
        }
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let counters: Vec<_> = (0..processors).map(|_| scope.spawn(counter)).collect();
        counters.into_iter().try_for_each(|counter| match counter.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(told.into_inner().unwrap_or_else(PoisonError::into_inner).0)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counted(story: Story, count: u64) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|fault| format!("this program is not found: {fault}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["once", story.name, &count.to_string()])
        .output()
        .map_err(|fault| format!("valgrind cannot be run ({fault}): install it to count instructions"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1));
    let number = collected.and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| format!("valgrind did not count {}: {text}", story.name))
}

/// By how much costs differ from those written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A table of all that differs.
    pub table: String,
    /// What became dearer than the tolerance allows, or is not compared at all.
    pub worse: Vec<String>,
    /// What became cheaper by more than the tolerance: the file should be renewed, or a later loss goes unseen.
    pub better: Vec<String>,
}

impl Costs {
    /// Reads those written down.
    ///
    /// # Errors
    /// If there is no such file, or it says something else.
    pub fn read(path: &Path) -> Result<Self, LimitError> {
        let text = std::fs::read_to_string(path).map_err(|fault| {
            format!("{}: {fault}; `cage-bench instructions --write` makes it", path.display())
        })?;
        toml::from_str(&text).map_err(|fault| format!("{}: {fault}", path.display()).into())
    }

    /// Writes them down.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LimitError> {
        let text = format!(
            "# Instructions per operation, as valgrind counts them in a release build.\n\
             # Made by `cargo run --release -p cage-bench -- instructions --write`; `--check` compares.\n\n{}",
            toml::to_string(self)?
        );
        Ok(std::fs::write(path, text)?)
    }

    /// Compares with what was written down before; a difference of `tolerance` (of one) is none.
    #[must_use]
    pub fn compared(&self, before: &Self, tolerance: f64) -> Difference {
        let mut difference = Difference { table: String::new(), worse: Vec::new(), better: Vec::new() };
        let names: std::collections::BTreeSet<_> =
            self.instructions.keys().chain(before.instructions.keys()).collect();
        for name in names {
            let (now, then) = (self.instructions.get(name), before.instructions.get(name));
            let (Some(now), Some(then)) = (now, then) else {
                let place = if now.is_some() { "not in the file" } else { "no longer counted" };
                let _ = writeln!(difference.table, "{name:<32} {place}");
                difference.worse.push(name.clone());
                continue;
            };
            let (costs, before) = (*now as f64, *then as f64);
            let list = if costs > before * (1.0 + tolerance) {
                Some((&mut difference.worse, "WORSE"))
            } else if costs < before * (1.0 - tolerance) {
                Some((&mut difference.better, "better"))
            } else {
                None
            };
            let word = list.map_or("", |(list, word)| {
                list.push(name.clone());
                word
            });
            if now != then {
                let percent = (costs / before - 1.0) * 100.0;
                let _ =
                    writeln!(difference.table, "{name:<32} {then:>8} -> {now:>8}  {percent:>+6.1} %  {word}");
            }
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(of: &[(&str, u64)]) -> Costs {
        Costs { instructions: of.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect() }
    }

    #[test]
    fn only_more_than_the_tolerance_is_worse() {
        let before = costs(&[("bet", 1_000), ("reserve", 1_000), ("settle", 1_000), ("win", 1_000)]);
        let now = costs(&[("bet", 1_051), ("reserve", 1_050), ("settle", 900), ("win", 1_000)]);
        let Difference { table, worse, better } = now.compared(&before, 0.05);
        assert_eq!((worse, better), (vec!["bet".to_owned()], vec!["settle".to_owned()]));
        assert_eq!(table.lines().count(), 3, "what is the same is not told: {table}");
        assert!(table.contains("1000 ->     1051    +5.1 %  WORSE"), "{table}");
    }

    #[test]
    fn what_is_not_compared_at_all_is_worse() {
        let difference = costs(&[("bet", 1)]).compared(&costs(&[("win", 1)]), 0.05);
        assert_eq!(difference.worse, ["bet", "win"]);
    }

    #[test]
    fn costs_come_back_from_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("instructions.toml");
        let missing = Costs::read(&path).unwrap_err().to_string();
        assert!(missing.contains("--write"), "{missing}");
        let costs = costs(&[("bet + win, group", 41_518), ("reserve", 4_495)]);
        costs.write(&path).unwrap();
        assert_eq!(Costs::read(&path).unwrap(), costs);
        std::fs::write(&path, "[instructions]\nreserve = \"many\"\n").unwrap();
        let wrong = Costs::read(&path).unwrap_err().to_string();
        assert!(wrong.contains("instructions.toml") && wrong.contains("reserve"), "{wrong}");
    }

    #[test]
    fn the_file_in_the_tree_has_every_story() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml");
        let mut written: Vec<_> = Costs::read(&path).unwrap().instructions.into_keys().collect();
        let mut stories: Vec<_> = stories().map(|story| story.name.to_owned()).collect();
        written.sort();
        stories.sort();
        assert_eq!(written, stories);
    }

    #[test]
    fn every_story_can_be_told() {
        stories().for_each(|story| story.once(3));
    }
}
