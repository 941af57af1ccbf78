//! The ladder: every rung beside the limit that it leans on, measured one after the other in the same minute.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cage_loadgen::{Load, Report, Workload};
use cage_wal::FlushStrategy;
use serde::Serialize;

use crate::limits::quic::LimitError;
use crate::limits::{disk, quic};
use crate::server::{IDS_CAPACITY, Shape, apart, in_process};
use crate::workload::Mix;
use crate::{engine, log};

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Rung {
    /// What was measured.
    pub name: &'static str,
    /// In what.
    pub unit: &'static str,
    /// The medians' run by run values, sorted.
    pub values: Vec<f64>,
    /// The limit's name; none where there is no simple one.
    pub limit: Option<&'static str>,
    /// The limit, measured beside each run, sorted.
    pub limits: Vec<f64>,
}

fn median(values: &[f64]) -> f64 {
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Rung {
    fn new(name: &'static str, unit: &'static str, limit: Option<&'static str>) -> Self {
        Self { name, unit, values: Vec::new(), limit, limits: Vec::new() }
    }

    fn add(&mut self, value: f64, limit: Option<f64>) {
        self.values.push(value);
        self.values.sort_by(f64::total_cmp);
        self.limits.extend(limit);
        self.limits.sort_by(f64::total_cmp);
    }

    /// The row as text: median, least, greatest, limit, ratio.
    #[must_use]
    pub fn row(&self) -> String {
        let value = median(&self.values);
        let (least, greatest) = (self.values.first(), self.values.last());
        let (least, greatest) = (least.copied().unwrap_or(f64::NAN), greatest.copied().unwrap_or(f64::NAN));
        let beside = match self.limit {
            Some(limit) => {
                let ceiling = median(&self.limits);
                format!("{ceiling:.1} ({limit}) | {:.2}", value / ceiling)
            }
            None => "- | -".to_owned(),
        };
        format!("| {} | {value:.1} {} | {least:.1} - {greatest:.1} | {beside} |", self.name, self.unit)
    }
}

/// How one rung is measured.
type Step = fn(&Climb) -> Result<Rung, LimitError>;

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
}

/// Requests of the rungs without a log.
const ENGINE_REQUESTS: usize = 4_000_000;
const MILLION: f64 = 1e6;
/// A record in the log, in bytes.
const RECORD_BYTES: f64 = 256.0;

impl Climb {
    /// Measures every rung, told one by one.
    ///
    /// # Errors
    /// What goes wrong; the rungs measured before were told.
    pub fn climb(&self, mut told: impl FnMut(&Rung)) -> Result<Vec<Rung>, LimitError> {
        let mut rungs = Vec::new();
        let steps: [Step; 9] = [
            |climb| climb.engine("engine alone, transfers, 10 k players", Mix::Transfers, 10_000),
            |climb| climb.engine("engine alone, casino, 1 M players", Mix::Casino, 1_000_000),
            |climb| climb.replay("replay (apply), casino, 1 M players"),
            Self::engine_and_log,
            |climb| climb.deep("server in process, transfers, 1 x 8192", false, Workload::Transfers, 10_000),
            |climb| climb.deep("server apart, transfers, 1 x 8192", true, Workload::Transfers, 10_000),
            |climb| climb.deep("server apart, casino, 1 M players", true, Workload::Casino, 1_000_000),
            Self::one_outstanding,
            Self::some_outstanding,
        ];
        for step in steps {
            let rung = step(self)?;
            told(&rung);
            rungs.push(rung);
        }
        Ok(rungs)
    }

    fn engine(&self, name: &'static str, mix: Mix, players: u32) -> Result<Rung, LimitError> {
        let mut rung = Rung::new(name, "M/s", None);
        for _ in 0..self.runs {
            let run = engine::run(mix, players, ENGINE_REQUESTS, IDS_CAPACITY / 2);
            if run.refused > 0 {
                return Err(format!("{} requests of the workload were refused", run.refused).into());
            }
            rung.add(run.per_second / MILLION, None);
        }
        Ok(rung)
    }

    fn replay(&self, name: &'static str) -> Result<Rung, LimitError> {
        let mut rung = Rung::new(name, "M/s", None);
        for _ in 0..self.runs {
            let rate = engine::replay(Mix::Casino, 1_000_000, ENGINE_REQUESTS, IDS_CAPACITY / 2)?;
            rung.add(rate / MILLION, None);
        }
        Ok(rung)
    }

    fn engine_and_log(&self) -> Result<Rung, LimitError> {
        let limit = "the disk alone, 256 KiB durable writes, as records";
        let mut rung = Rung::new("engine + log, transfers, durable", "M/s", Some(limit));
        for _ in 0..self.runs {
            let disk = disk::run(&self.dir, 256 << 10, 1 << 30, self.time)?;
            let dir = self.fresh("log")?;
            let run = log::run(&dir, Mix::Transfers, 10_000, FlushStrategy::DirectDsync, self.time)?;
            rung.add(run.per_second / MILLION, Some(disk.bytes_per_second / RECORD_BYTES / MILLION));
        }
        Ok(rung)
    }

    fn deep(
        &self,
        name: &'static str,
        is_apart: bool,
        workload: Workload,
        players: u32,
    ) -> Result<Rung, LimitError> {
        let mut rung = Rung::new(name, "M/s", Some("QUIC echo alone, 8192 outstanding"));
        for _ in 0..self.runs {
            let echo = quic::run(8_192, self.time)?;
            let load = Load::Outstanding(8_192);
            let report =
                self.load(is_apart, Shape { workload, players, connections: 1, load, duration: self.time })?;
            rung.add(report.per_second / MILLION, Some(echo.per_second / MILLION));
        }
        Ok(rung)
    }

    fn one_outstanding(&self) -> Result<Rung, LimitError> {
        let limit = "QUIC round trip + one durable 4 KiB write";
        let mut rung = Rung::new("server apart, 1 outstanding, p50", "us", Some(limit));
        for _ in 0..self.runs {
            let floor = quic::run(1, self.time)?.p50_micros
                + disk::run(&self.dir, 4 << 10, 256 << 20, self.time)?.p50_micros;
            let report = self.load(true, self.shape(1))?;
            rung.add(report.latency_us.p50, Some(floor));
        }
        Ok(rung)
    }

    fn some_outstanding(&self) -> Result<Rung, LimitError> {
        let mut rung =
            Rung::new("server apart, 64 outstanding", "k/s", Some("QUIC echo alone, 64 outstanding"));
        for _ in 0..self.runs {
            let echo = quic::run(64, self.time)?;
            rung.add(self.load(true, self.shape(64))?.per_second / 1e3, Some(echo.per_second / 1e3));
        }
        Ok(rung)
    }

    const fn shape(&self, outstanding: usize) -> Shape {
        let load = Load::Outstanding(outstanding);
        Shape { workload: Workload::Transfers, players: 10_000, connections: 1, load, duration: self.time }
    }

    fn load(&self, is_apart: bool, shape: Shape) -> Result<Report, LimitError> {
        let dir = self.fresh("server")?;
        let report = if is_apart { apart(&self.cage, &dir, shape) } else { in_process(&dir, shape) }?;
        if report.refused + report.unknown > 0 {
            return Err(format!("{} refused, {} unknown", report.refused, report.unknown).into());
        }
        Ok(report)
    }

    fn fresh(&self, name: &str) -> Result<PathBuf, LimitError> {
        let dir = self.dir.join(name);
        remove(&dir)?;
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
