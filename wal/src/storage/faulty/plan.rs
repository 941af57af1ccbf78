//! What is to fail, written down in a line.
//!
//! In: text like `sync@7,allocate@3-=full`. Out: rules that say for each call whether it is struck. Never here: a
//! call, a clock, randomness that the seed does not determine.

use std::{fmt, str::FromStr, time::Duration};

/// The calls that can be struck, each counted for itself from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// A durable write, before it is done.
    Write,
    /// The same, after its bytes have reached the device: its sync fails.
    Sync,
    /// The creation of a file.
    Allocate,
    /// The opening of a file, for reading or writing.
    Open,
    /// A change of name, before it is done.
    Rename,
    /// The same, after it was done: the sync of the directory fails.
    DirectorySync,
    /// The removal of a file, before it is done.
    Remove,
    /// The reading of a file or of a piece of one.
    Read,
    /// Dropping a file's cache, so that the device is read.
    Settle,
    /// The listing of the directory.
    List,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Write,
        Self::Sync,
        Self::Allocate,
        Self::Open,
        Self::Rename,
        Self::DirectorySync,
        Self::Remove,
        Self::Read,
        Self::Settle,
        Self::List,
    ];

    /// Its name in a plan.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Allocate => "allocate",
            Self::Open => "open",
            Self::Rename => "rename",
            Self::DirectorySync => "dirsync",
            Self::Remove => "remove",
            Self::Read => "read",
            Self::Settle => "settle",
            Self::List => "list",
        }
    }
}

/// What happens to a call that is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It fails as a broken device does (`EIO`).
    Error,
    /// It fails as a full disk does (`ENOSPC`).
    Full,
    /// A write that ends half way, at a page; any other call fails.
    Short,
    /// It is late, and then done.
    Delay(Duration),
    /// The process is killed (`SIGKILL`): a write when half of it is done, everything else before it begins.
    Kill,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => f.write_str("eio"),
            Self::Full => f.write_str("full"),
            Self::Short => f.write_str("short"),
            Self::Delay(time) => write!(f, "delay:{}", time.as_millis()),
            Self::Kill => f.write_str("kill"),
        }
    }
}

/// Which calls of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// From the first number to the second.
    Range(u64, u64),
    /// One in so many, as the seed has it.
    OneIn(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// None: calls of all kinds, counted together.
    call: Option<Call>,
    which: Which,
    fault: Fault,
}

/// One call that was struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The kind of call.
    pub call: Call,
    /// The how manieth of its kind it was.
    pub nth: u64,
    /// What happened to it.
    pub fault: Fault,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}={}", self.call.name(), self.nth, self.fault)
    }
}

/// What is to fail. The grammar is in the [module's words](super).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    rules: Vec<Rule>,
    seed: u64,
}

/// A plan that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "fault plan: {item:?}: {expected}; a plan is like `sync@7`, `allocate@3-=full`, `write@1/500=delay:20`, `seed=42`, \
     parted by commas"
)]
pub struct PlanError {
    /// The part that is wrong.
    pub item: String,
    /// What was expected instead.
    pub expected: &'static str,
}

impl FaultPlan {
    /// What happens to this call, the `nth` of its kind and the `of_all`th of any kind. The first rule that fits.
    #[must_use]
    pub fn fault(&self, call: Call, nth: u64, of_all: u64) -> Option<Fault> {
        self.rules.iter().enumerate().find_map(|(index, rule)| {
            let count = match rule.call {
                Some(kind) if kind == call => nth,
                Some(_) => return None,
                None => of_all,
            };
            let hit = match rule.which {
                Which::Range(first, last) => (first..=last).contains(&count),
                Which::OneIn(chances) => {
                    mix(self.seed ^ mix(index as u64) ^ mix(count)).is_multiple_of(chances)
                }
            };
            hit.then_some(rule.fault)
        })
    }
}

impl FromStr for FaultPlan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let wrong = |expected| PlanError { item: item.to_owned(), expected };
            if let Some(seed) = item.strip_prefix("seed=") {
                plan.seed = seed.parse().map_err(|_| wrong("expected a number as the seed"))?;
            } else {
                plan.rules.push(rule(item).map_err(wrong)?);
            }
        }
        Ok(plan)
    }
}

fn rule(item: &str) -> Result<Rule, &'static str> {
    let (call, rest) = item.split_once('@').ok_or("expected CALL@WHICH or CALL@WHICH=FAULT")?;
    let (which, fault) = rest.split_once('=').unwrap_or((rest, "eio"));
    let call = match call {
        "any" => None,
        name => Some(Call::ALL.into_iter().find(|call| call.name() == name).ok_or(
            "expected a call: write, sync, allocate, open, rename, dirsync, remove, read, settle, list, any",
        )?),
    };
    Ok(Rule { call, which: parse_which(which)?, fault: parse_fault(fault)? })
}

fn parse_which(text: &str) -> Result<Which, &'static str> {
    const EXPECTED: &str = "expected which of the calls: N, N-M, N- or 1/N, counted from 1";
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or(EXPECTED);
    if let Some(chances) = text.strip_prefix("1/") {
        return Ok(Which::OneIn(number(chances)?));
    }
    let (first, last) = text
        .split_once('-')
        .map_or((text, Some(text)), |(first, last)| (first, Some(last).filter(|last| !last.is_empty())));
    let (first, last) = (number(first)?, last.map_or(Ok(u64::MAX), number)?);
    if first <= last { Ok(Which::Range(first, last)) } else { Err(EXPECTED) }
}

fn parse_fault(text: &str) -> Result<Fault, &'static str> {
    match text {
        "eio" => Ok(Fault::Error),
        "full" => Ok(Fault::Full),
        "short" => Ok(Fault::Short),
        "kill" => Ok(Fault::Kill),
        _ => text
            .strip_prefix("delay:")
            .and_then(|millis| millis.parse().ok())
            .map(|millis| Fault::Delay(Duration::from_millis(millis)))
            .ok_or("expected a fault: eio, full, short, kill or delay:MILLISECONDS"),
    }
}

/// Scatters the bits of a number (splitmix64).
const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> FaultPlan {
        text.parse().expect("a plan")
    }

    #[test]
    fn a_plan_strikes_the_calls_that_it_names_and_no_others() {
        let plan = plan("sync@7, allocate@3-=full, write@2-4=short, any@50=kill");
        assert_eq!(plan.fault(Call::Sync, 7, 1), Some(Fault::Error));
        assert_eq!(plan.fault(Call::Sync, 8, 1), None);
        assert_eq!(plan.fault(Call::Allocate, 2, 1), None);
        assert_eq!(plan.fault(Call::Allocate, 3_000, 1), Some(Fault::Full));
        let short = (1..=6).filter(|nth| plan.fault(Call::Write, *nth, 1) == Some(Fault::Short));
        assert_eq!(short.collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(plan.fault(Call::Read, 1, 50), Some(Fault::Kill));
    }

    #[test]
    fn the_same_seed_strikes_the_same_calls() {
        let struck = |text: &str| {
            let plan = plan(text);
            (1..=10_000).filter(|nth| plan.fault(Call::Write, *nth, *nth).is_some()).collect::<Vec<_>>()
        };
        let once = struck("write@1/100=delay:5,seed=42");
        assert_eq!(once, struck("seed=42,write@1/100=delay:5"));
        assert_ne!(once, struck("write@1/100=delay:5,seed=43"));
        assert!((50..200).contains(&once.len()), "{} of 10,000 for one in a hundred", once.len());
    }

    #[test]
    fn a_plan_that_cannot_be_read_says_which_part_and_what_was_expected() {
        for (text, item, expected) in [
            ("sync@7,scribble@1", "scribble@1", "expected a call"),
            ("sync", "sync", "CALL@WHICH"),
            ("sync@0", "sync@0", "counted from 1"),
            ("sync@5-4", "sync@5-4", "counted from 1"),
            ("sync@1=maybe", "sync@1=maybe", "expected a fault"),
            ("seed=x", "seed=x", "a number"),
        ] {
            let error = text.parse::<FaultPlan>().expect_err(text);
            assert_eq!(error.item, item);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
