//! The parts of the campaign that need the whole program: they are tests of the server, told how much to do.
//!
//! In: a plan. Out: how many cases their own lines say there were, and how often they failed. Never here: a second way to
//! start or judge a server; the tests of the package `cage` have it.

use std::process::Command;

use crate::tally::{Plan, Tally};

/// A test of the package `cage` that is scaled by variables.
#[derive(Clone, Copy, Debug)]
struct Scaled {
    name: &'static str,
    test: &'static str,
    /// The most cases of one run, and the variable that says how many; or the variables of a run whose cases are
    /// counted afterwards.
    most: u64,
    variable: &'static str,
    fixed: &'static [(&'static str, &'static str)],
    /// What stands behind the number of cases in the test's output.
    unit: &'static str,
}

const KILLS: Scaled = Scaled {
    name: "kills",
    test: "kill::no_kill_loses_an_acknowledgement_or_repeats_a_request",
    most: 50,
    variable: "CAGE_CHAOS_KILLS",
    fixed: &[],
    unit: " kills",
};
const POWER: Scaled = Scaled {
    name: "power",
    test: "power::no_acknowledgement_rests_on_a_sync_that_the_program_did_not_ask_for",
    most: 10,
    variable: "CAGE_POWER_IMAGES",
    fixed: &[("CAGE_POWER_ROUNDS", "240"), ("CAGE_MUST_NOT_SKIP", "1")],
    unit: " images",
};
const DRILLS: Scaled = Scaled {
    name: "drills",
    test: "drills::wherever_the_disk_fails_the_server_says_so_stops_and_loses_nothing",
    most: 100,
    variable: "CAGE_DRILLS",
    fixed: &[],
    unit: " drills",
};

/// `kill -9` under load, restart, compare: runs of at most 50 kills each.
#[must_use]
pub fn kills(plan: Plan) -> Tally {
    KILLS.run(plan)
}

/// The program's own writes and syncs, recorded with `strace`, cut off at every moment.
#[must_use]
pub fn power(plan: Plan) -> Tally {
    POWER.run(plan)
}

/// The disk of a running server fails at a chosen call.
#[must_use]
pub fn drills(plan: Plan) -> Tally {
    DRILLS.run(plan)
}

impl Scaled {
    fn run(&self, plan: Plan) -> Tally {
        let mut tally = Tally::new(self.name);
        for round in 0.. {
            if tally.cases >= plan.cases || tally.violations > 0 {
                break;
            }
            let seed = plan.seed.wrapping_add(round);
            let cases = (plan.cases - tally.cases).min(self.most);
            match self.one(seed, cases) {
                Ok(done) => {
                    tally.cases += done;
                    tally.recovered += done;
                }
                Err(said) => {
                    tally.cases += cases;
                    tally
                        .violation(format!("repeat with CAGE_SEED={seed} {}={cases}: {said}", self.variable));
                }
            }
        }
        tally
    }

    /// Runs the test once; gives the number of cases in its output, or all of that if it failed.
    fn one(&self, seed: u64, cases: u64) -> Result<u64, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args([
            "test",
            "--quiet",
            "-p",
            "cage",
            "--test",
            "it",
            "--",
            "--exact",
            self.test,
            "--nocapture",
        ]);
        command.env("CAGE_SEED", seed.to_string()).env(self.variable, cases.to_string());
        command.envs(self.fixed.iter().copied());
        let output = command.output().map_err(|error| format!("cargo does not run: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !said.contains("1 passed") {
            return Err(format!("{said}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        let counted = said.lines().filter_map(|line| count_before(line, self.unit)).sum();
        Ok(if counted == 0 { cases } else { counted })
    }
}

/// The number that stands before a word in a line.
fn count_before(line: &str, word: &str) -> Option<u64> {
    let (before, _) = line.split_once(word)?;
    before.rsplit(|byte: char| !byte.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn numbers_are_found_in_the_words_of_a_test() {
    let line = "640000 answers over 2004 connections, 8 requests asked again, 50 kills, 12.1s";
    assert_eq!(count_before(line, KILLS.unit), Some(50));
    assert_eq!(
        count_before("direct: 14985 acknowledgements, 900 moments, 2700 images", POWER.unit),
        Some(2_700)
    );
    assert_eq!(count_before("nothing of the kind", POWER.unit), None);
}
