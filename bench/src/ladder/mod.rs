//! The ladder: every rung beside the limit that it leans on, measured one after the other in the same minute.
//!
//! ```text
//!  engine ──> log ──> wire ──> start          each step: rungs, in runs; limits/ beside each run
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Taken;
use crate::limits::LimitError;
use crate::rung::Rung;
use crate::server::{IDS_CAPACITY, Serving};

mod engine;
mod log;
mod start;
mod wire;

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Requests of the rungs without a log.
    pub engine_requests: usize,
    /// Players of the casino.
    pub casino_players: u32,
    /// Players where there are many.
    pub many_players: u32,
    /// Players at a restart.
    pub restart_players: u32,
    /// Records after them at a restart.
    pub restart_tail: u64,
    /// Records that are audited.
    pub audit_records: u64,
    /// Players whose memory is looked at, ten times as many as in the ledger that is subtracted.
    pub memory_players: u32,
    /// Ids whose memory is looked at, likewise.
    pub memory_ids: u64,
    /// How long a soak takes.
    pub soak: Duration,
}

impl Size {
    /// What the rows say.
    pub const FULL: Self = Self {
        engine_requests: 4_000_000,
        casino_players: 1_000_000,
        many_players: 10_000_000,
        restart_players: 10_000_000,
        restart_tail: 10_000_000,
        audit_records: 4_000_000,
        memory_players: 1_000_000,
        memory_ids: 10 << 20,
        soak: Duration::from_secs(3_600),
    };
    /// To see that every step works. The figures say nothing.
    pub const QUICK: Self = Self {
        engine_requests: 100_000,
        casino_players: 20_000,
        many_players: 50_000,
        restart_players: 50_000,
        restart_tail: 50_000,
        audit_records: 50_000,
        memory_players: 50_000,
        memory_ids: 2 << 20,
        soak: Duration::from_secs(5),
    };
}

/// How to climb.
#[derive(Clone, Debug)]
pub struct Climb {
    /// Where logs are written: on the disk that is to be measured.
    pub dir: PathBuf,
    /// The `cage` binary.
    pub cage: PathBuf,
    /// Runs per rung.
    pub runs: usize,
    /// Time per run.
    pub time: Duration,
    /// How much of everything.
    pub size: Size,
}

/// What a climb came to, as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ladder {
    /// Where and when.
    pub taken: Taken,
    /// Whether everything was made small: then the figures say nothing.
    pub quick: bool,
    /// Seconds per run.
    pub seconds: f64,
    /// The rungs in their order.
    pub rungs: Vec<Rung>,
}

/// One step: some rungs that are measured together.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its name on the command line.
    pub name: &'static str,
    /// Whether it is measured only if it is asked for by name.
    pub is_long: bool,
    measure: fn(&Climb) -> Result<Vec<Rung>, LimitError>,
}

const fn step(name: &'static str, measure: fn(&Climb) -> Result<Vec<Rung>, LimitError>) -> Step {
    Step { name, is_long: false, measure }
}

/// All steps, from the inside out.
pub const STEPS: &[Step] = &[
    step("engine", engine::engine),
    step("replay", engine::replay),
    step("audit", start::audit),
    step("log-4k", |climb| log::frames(climb, 4 << 10)),
    step("log-64k", |climb| log::frames(climb, 64 << 10)),
    step("append", log::append),
    step("engine-log", log::engine_and_log),
    step("in-process", wire::in_process),
    step("transfers", wire::transfers),
    step("casino", wire::casino),
    step("one", wire::one_outstanding),
    step("sixty-four", wire::sixty_four),
    step("offered", wire::offered),
    step("players", wire::many_players),
    step("snapshot", start::image),
    step("restart", start::restart),
    step("kill", start::kill),
    step("memory", start::memory),
    Step { name: "soak", is_long: true, measure: wire::soak },
];

impl Climb {
    /// Measures the steps named, or all that are not long; each rung is told when it is there.
    ///
    /// # Errors
    /// A step that does not exist; what goes wrong in one.
    pub fn climb(&self, only: &[String], mut told: impl FnMut(&Rung)) -> Result<Vec<Rung>, LimitError> {
        if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            return Err(format!("there is no step {unknown}; there are {}", names.join(", ")).into());
        }
        let asked = |step: &&Step| {
            if only.is_empty() { !step.is_long } else { only.iter().any(|name| name == step.name) }
        };
        let mut rungs = Vec::new();
        for step in STEPS.iter().filter(asked) {
            let measured = (step.measure)(self).map_err(|reason| format!("{}: {reason}", step.name))?;
            measured.iter().for_each(&mut told);
            rungs.extend(measured);
        }
        self.fresh("server")?;
        Ok(rungs)
    }

    /// An empty folder on the disk that is measured.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf, LimitError> {
        let dir = self.dir.join(name);
        remove(&dir)?;
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// A server on an empty ledger.
    pub(crate) fn serve(&self) -> Result<Serving, LimitError> {
        Serving::start(&self.cage, &self.fresh("server")?, IDS_CAPACITY)
    }
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A number of things in a name: 10 k, 1 M.
pub(crate) fn many(count: u64) -> String {
    match count {
        million if million >= 1_000_000 && million % 100_000 == 0 => {
            format!("{} M", million as f64 / 1e6)
        }
        thousand if thousand >= 1_000 && thousand % 100 == 0 => format!("{} k", thousand as f64 / 1e3),
        few => few.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own_and_an_unknown_one_is_told_the_others() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
        let nowhere = Climb {
            dir: PathBuf::new(),
            cage: PathBuf::new(),
            runs: 1,
            time: Duration::ZERO,
            size: Size::QUICK,
        };
        let refused = nowhere.climb(&["cassino".to_owned()], |_| {}).unwrap_err().to_string();
        assert!(refused.contains("cassino") && refused.contains("casino, one"), "{refused}");
    }

    #[test]
    fn counts_in_names_are_short_and_exact() {
        let names = [1, 64, 1_000, 20_000, 12_345, 1_000_000, 2_500_000].map(many);
        assert_eq!(names, ["1", "64", "1 k", "20 k", "12345", "1 M", "2.5 M"]);
    }
}
