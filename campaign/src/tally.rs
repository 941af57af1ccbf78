//! How many cases there were, and what went wrong in them.
//!
//! In: one verdict per case. Out: counts, the first violations in words, and their logs as files to look at. Never
//! here: a violation that is counted as anything else.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use cage_wal::storage::sim::SimDisk;

/// How much of a campaign to do, and with which dice.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// All random choices follow from it.
    pub seed: u64,
    /// About how many cases; a campaign that has fewer does them all.
    pub cases: u64,
}

/// What a campaign has come to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Its name.
    pub name: &'static str,
    /// Cases looked at.
    pub cases: u64,
    /// Of these, logs that were refused with the place of the damage.
    pub refused: u64,
    /// Of these, logs that were recovered.
    pub recovered: u64,
    /// Cases in which a promise was broken.
    pub violations: u64,
    /// The first of them.
    pub told: Vec<String>,
}

/// What became of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was refused, with the place of the damage.
    Refused,
    /// It was recovered to what is allowed.
    Recovered,
}

/// How many violations are told in words.
const TOLD_MAX: usize = 5;

impl Tally {
    /// Nothing yet.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// Looks at one case: `judge` says what became of the log, or which promise was broken. A panic breaks one too.
    /// `case` says in words what was done; `image` is the log, to be kept for whoever looks into it.
    pub fn case(
        &mut self,
        case: impl FnOnce() -> String,
        image: &SimDisk,
        judge: impl FnOnce() -> Result<Verdict, String>,
    ) {
        self.cases += 1;
        let verdict = catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_| Err("it panicked".to_owned()));
        match verdict {
            Ok(Verdict::Refused) => self.refused += 1,
            Ok(Verdict::Recovered) => self.recovered += 1,
            Err(broken) => {
                let kept = if self.told.len() < TOLD_MAX { self.keep(image) } else { String::new() };
                self.violation(format!("{}: {broken}{kept}", case()));
            }
        }
    }

    /// A promise was broken.
    pub fn violation(&mut self, text: String) {
        self.violations += 1;
        if self.told.len() < TOLD_MAX {
            eprintln!("{}: {text}", self.name);
            self.told.push(text);
        }
    }

    /// Writes a log that breaks a promise to files; says where they are.
    fn keep(&self, image: &SimDisk) -> String {
        let name = format!("cage-campaign/{}-{}-{}", std::process::id(), self.name, self.violations);
        let folder: PathBuf = std::env::temp_dir().join(name);
        let written = std::fs::create_dir_all(&folder).and_then(|()| {
            image.files().iter().try_for_each(|(name, bytes)| {
                let path = folder.join(name);
                path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                std::fs::write(path, &**bytes)
            })
        });
        match written {
            Ok(()) => format!("; the log is kept in {}", folder.display()),
            Err(error) => format!("; the log could not be kept in {}: {error}", folder.display()),
        }
    }

    /// # Panics
    /// If a promise was broken, or if there were fewer cases than that.
    #[track_caller]
    pub fn assert_kept(&self, cases: u64) {
        println!("{self}");
        assert_eq!(self.violations, 0, "{}: {:#?}", self.name, self.told);
        assert!(self.cases >= cases, "{}: only {} cases of {cases}", self.name, self.cases);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, cases, refused, recovered, violations, .. } = self;
        write!(f, "{name}: {cases} cases, {refused} refused, {recovered} recovered, {violations} violations")
    }
}
