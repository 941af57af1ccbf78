//! What a user would pick instead: the same transfers against PostgreSQL and Redis, as the distribution packages them,
//! and against Cage in the same minute.
//!
//! In: their programs, where they are installed; what is not is skipped, and that is said. Out: transfers a second and
//! latency, side by side. Each is started here, in a folder of its own, durable on every commit, and ended here. Never
//! here: a dependency; their own load generators load them.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use cage_loadgen::{Load, Options, Stage, prepare};
use serde::{Deserialize, Serialize};

use crate::Taken;
use crate::ladder::{Climb, many};
use crate::limits::LimitError;
use crate::rung::{digits, median};
use crate::server::Serving;

mod postgres;
mod redis;

/// How many clients, and how many requests each has unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Clients, each with a connection.
    pub clients: usize,
    /// Requests unanswered, each.
    pub pipeline: usize,
}

/// What one run came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Transfers a second.
    pub per_second: f64,
    /// The median time to the answer, in microseconds.
    pub p50_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
}

/// A system and Cage, side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The other system, with its version.
    pub system: String,
    /// What is done.
    pub work: String,
    /// By how many.
    pub shape: Shape,
    /// Its runs.
    pub theirs: Vec<Measured>,
    /// The runs of Cage, each after one of theirs.
    pub ours: Vec<Measured>,
}

/// What is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compared {
    /// Where and when.
    pub taken: Taken,
    /// Whether everything was made small: then the figures say nothing.
    pub quick: bool,
    /// Accounts in each system.
    pub accounts: u32,
    /// Side by side.
    pub rows: Vec<Row>,
    /// What was not compared, and why.
    pub skipped: Vec<String>,
}

/// A system that was started.
trait System {
    /// Its name and version.
    fn name(&self) -> String;
    /// The kinds of work it is measured at, each by how many.
    fn loads(&self) -> Vec<(&'static str, Shape)>;
    /// One run.
    fn run(&mut self, work: &'static str, shape: Shape, seconds: f64) -> Result<Measured, LimitError>;
}

/// Why a system is not compared.
enum Absent {
    /// It is not installed.
    Skipped(String),
    /// It is, and does not do.
    Fault(LimitError),
}

impl<F: Into<LimitError>> From<F> for Absent {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

type Started = Result<Box<dyn System>, Absent>;

impl Climb {
    /// Compares with every system that is installed, told row by row.
    ///
    /// # Errors
    /// What goes wrong with one that is.
    pub fn compare(&self, is_quick: bool, mut told: impl FnMut(&str)) -> Result<Compared, LimitError> {
        let accounts = if is_quick { 10_000 } else { 1_000_000 };
        let mut compared = Compared {
            taken: Taken::now(crate::PROGRAM),
            quick: is_quick,
            accounts,
            rows: Vec::new(),
            skipped: Vec::new(),
        };
        let starts: [fn(&Path, u32) -> Started; 2] = [postgres::start, redis::start];
        told(HEADER);
        for start in starts {
            let dir = self.fresh("compare")?;
            let mut system = match start(&dir, accounts) {
                Ok(system) => system,
                Err(Absent::Skipped(why)) => {
                    eprintln!("SKIPPED: {why}");
                    compared.skipped.push(why);
                    continue;
                }
                Err(Absent::Fault(fault)) => return Err(fault),
            };
            let serving = self.serve()?;
            let options = Options { players: accounts, duration: self.time, ..serving.options() };
            let stage = prepare(&options, &Arc::default())?;
            for (work, shape) in system.loads() {
                let row = self.side_by_side(&mut *system, work, shape, (&serving, &options, &stage))?;
                told(&row.row());
                compared.rows.push(row);
            }
        }
        self.fresh("compare")?;
        Ok(compared)
    }

    fn side_by_side(
        &self,
        system: &mut dyn System,
        work: &'static str,
        shape: Shape,
        (serving, options, stage): (&Serving, &Options, &Stage),
    ) -> Result<Row, LimitError> {
        let mut row =
            Row { system: system.name(), work: work.to_owned(), shape, theirs: Vec::new(), ours: Vec::new() };
        let Shape { clients, pipeline } = shape;
        let options = Options { connections: clients, load: Load::Outstanding(pipeline), ..options.clone() };
        for _ in 0..self.runs {
            row.theirs.push(system.run(work, shape, self.time.as_secs_f64())?);
            let report = serving.load_on(&options, stage)?.report;
            let (p50_us, p99_us) = (report.latency_us.p50, report.latency_us.p99);
            row.ours.push(Measured { per_second: report.per_second, p50_us, p99_us });
        }
        Ok(row)
    }
}

const HEADER: &str = "\
| system | work | clients x unanswered | transfers a second | p50 / p99 | Cage | p50 / p99 | times |
|---|---|---:|---:|---:|---:|---:|---:|";

impl Row {
    fn row(&self) -> String {
        let of = |runs: &[Measured], field: fn(&Measured) -> f64| median(runs.iter().map(field));
        let rate = |runs| of(runs, |run| run.per_second) / 1e3;
        let latency = |runs| {
            let [p50, p99] = [of(runs, |run| run.p50_us), of(runs, |run| run.p99_us)];
            format!("{} / {} ms", digits(p50 / 1e3), digits(p99 / 1e3))
        };
        let ratios =
            self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours.per_second / theirs.per_second);
        format!(
            "| {} | {} | {} x {} | {} k | {} | {} k | {} | {} |",
            self.system,
            self.work,
            self.shape.clients,
            self.shape.pipeline,
            digits(rate(&self.theirs)),
            latency(&self.theirs),
            digits(rate(&self.ours)),
            latency(&self.ours),
            digits(median(ratios)),
        )
    }
}

impl Compared {
    /// As a table, with what was skipped.
    #[must_use]
    pub fn table(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::row).collect();
        let mut text =
            format!("{} accounts in each.\n\n{HEADER}\n{}\n", many(self.accounts.into()), rows.join("\n"));
        for why in &self.skipped {
            text += &format!("\nNot compared: {why}\n");
        }
        text
    }
}

/// Runs a program to its end.
fn finished(command: &mut Command) -> Result<Output, LimitError> {
    let output = command.output().map_err(|fault| format!("{command:?}: {fault}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {said}", output.status).into())
}

/// A TCP port of loopback that was free just now.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_beside_ours_and_what_is_skipped_is_said() {
        let measured = |per_second| Measured { per_second, p50_us: 1_200.0, p99_us: 2_870.0 };
        let row = Row {
            system: "PostgreSQL 15".to_owned(),
            work: "function".to_owned(),
            shape: Shape { clients: 16, pipeline: 1 },
            theirs: vec![measured(10_000.0), measured(5_000.0)],
            ours: vec![measured(100_000.0), measured(50_000.0)],
        };
        let skipped = vec!["Redis is not installed".to_owned()];
        let compared =
            Compared { taken: Taken::default(), quick: false, accounts: 1_000_000, rows: vec![row], skipped };
        let table = compared.table();
        assert!(table.starts_with("1 M accounts in each."), "{table}");
        assert!(
            table.contains("| PostgreSQL 15 | function | 16 x 1 | 7.50 k | 1.20 / 2.87 ms | 75.0 k | 1.20 / 2.87 ms | 10.0 |"),
            "{table}"
        );
        assert!(table.ends_with("Not compared: Redis is not installed\n"), "{table}");
    }
}
