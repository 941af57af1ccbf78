//! What an operation costs as the work grows: one quantity after the other, everything else as it was.
//!
//! In: a climb. Out: curves, as a table, as JSON and as a plot. Never here: a reason; those are for the page.

use std::sync::Arc;

use cage_loadgen::{Load, Options, Stage, prepare};
use serde::{Deserialize, Serialize};

use crate::Taken;
use crate::ladder::{Climb, many};
use crate::limits::LimitError;
use crate::server::{IDS_CAPACITY, Loaded, Serving};

/// Requests unanswered at a time, all connections together.
const OUTSTANDING: usize = 8_192;

/// How cost grows with one quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The quantity.
    pub of: String,
    /// What was measured at each of its values.
    pub points: Vec<Point>,
}

/// What was measured at one value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The value.
    pub at: f64,
    /// Requests a second.
    pub per_second: f64,
    /// The median time to an answer, in microseconds.
    pub p50_us: f64,
    /// The server's processor time per request, in microseconds.
    pub server_cpu_us: f64,
    /// The load generator's.
    pub client_cpu_us: f64,
    /// The server's memory afterwards, in bytes.
    pub resident_bytes: u64,
}

/// What is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Growth {
    /// Where and when.
    pub taken: Taken,
    /// Whether everything was made small: then the figures say nothing.
    pub quick: bool,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// The values of each quantity.
#[derive(Clone, Debug)]
struct Range {
    players: Vec<u32>,
    connections: Vec<usize>,
    batches: Vec<usize>,
    ids: u64,
    assets: Vec<u32>,
}

impl Range {
    fn of(is_quick: bool) -> Self {
        let (assets, batches) = (vec![1, 10, 100], vec![1, 10, 100, 1_000]);
        if is_quick {
            return Self {
                players: vec![1_000, 10_000],
                connections: vec![1, 16],
                ids: 1 << 20,
                assets: vec![1, 10],
                batches,
            };
        }
        Self {
            players: vec![10_000, 100_000, 1_000_000, 10_000_000],
            connections: vec![1, 4, 16, 64, 256],
            ids: IDS_CAPACITY,
            assets,
            batches,
        }
    }
}

impl Climb {
    /// Measures every curve, told one by one.
    ///
    /// # Errors
    /// What goes wrong.
    pub fn grow(&self, is_quick: bool, mut told: impl FnMut(&Curve)) -> Result<Vec<Curve>, LimitError> {
        let range = Range::of(is_quick);
        let players =
            self.curve("players", &range.players, |options, players| Options { players, ..options })?;
        told(&players);
        let connections = self.curve("connections", &range.connections, |options, connections| Options {
            connections,
            load: Load::Outstanding(OUTSTANDING / connections),
            ..options
        })?;
        told(&connections);
        let batches = self.curve("requests per frame", &range.batches, |options, batch| Options {
            batch: Some(batch),
            ..options
        })?;
        told(&batches);
        let ids = self.ids_filling(range.ids)?;
        told(&ids);
        let assets = self.curve("assets", &range.assets, |options, assets| Options { assets, ..options })?;
        told(&assets);
        Ok(vec![players, connections, batches, ids, assets])
    }

    fn curve<X: Copy + TryInto<u32>>(
        &self,
        of: &str,
        values: &[X],
        with: impl Fn(Options, X) -> Options,
    ) -> Result<Curve, LimitError> {
        let mut points = Vec::new();
        for value in values {
            let serving = self.serve()?;
            let options = with(self.plain(&serving), *value);
            let stage = prepare(&options, &Arc::default())?;
            let at = (*value).try_into().map_err(|_| "a value that is too large")?;
            points.push(self.point(&serving, &options, &stage, at.into())?);
        }
        Ok(Curve { of: of.to_owned(), points })
    }

    fn plain(&self, serving: &Serving) -> Options {
        Options { load: Load::Outstanding(OUTSTANDING), duration: self.time, ..serving.options() }
    }

    /// The median of the runs by throughput.
    fn point(
        &self,
        serving: &Serving,
        options: &Options,
        stage: &Stage,
        at: f64,
    ) -> Result<Point, LimitError> {
        let mut runs = Vec::new();
        for _ in 0..self.runs.max(1) {
            runs.push(serving.load_on(options, stage)?);
        }
        runs.sort_by(|one, other| one.report.per_second.total_cmp(&other.report.per_second));
        point(serving, &runs[runs.len() / 2], at)
    }

    /// One server whose table of ids fills while it is loaded, until it has turned over.
    fn ids_filling(&self, capacity: u64) -> Result<Curve, LimitError> {
        let serving = Serving::start(&self.cage, &self.fresh("server")?, capacity)?;
        let options = self.plain(&serving);
        let stage = prepare(&options, &Arc::default())?;
        let mut remembered = 2 * u64::from(options.players);
        let mut points = Vec::new();
        while remembered < capacity * 5 / 4 {
            let loaded = serving.load_on(&options, &stage)?;
            let filled = (remembered + loaded.report.requests / 2) as f64 / capacity as f64;
            points.push(point(&serving, &loaded, filled)?);
            remembered += loaded.report.requests;
        }
        let of = format!("times the table of {} Mi ids was filled", capacity >> 20);
        Ok(Curve { of, points })
    }
}

fn point(serving: &Serving, loaded: &Loaded, at: f64) -> Result<Point, LimitError> {
    Ok(Point {
        at,
        per_second: loaded.report.per_second,
        p50_us: loaded.report.latency_us.p50,
        server_cpu_us: loaded.server_cpu_us,
        client_cpu_us: loaded.report.client_cpu_us_per_request,
        resident_bytes: serving.resident_bytes()?,
    })
}

impl Curve {
    /// The curve as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!(
            "| {} | M/s | p50 | server's CPU a request | load generator's CPU a request | server's memory |\n|---:|---:|---:|---:|---:|---:|\n",
            self.of
        );
        for point in &self.points {
            let at = if point.at.fract() == 0.0 { many(point.at as u64) } else { format!("{:.2}", point.at) };
            table += &format!(
                "| {at} | {:.2} | {:.1} ms | {:.2} us | {:.2} us | {} MiB |\n",
                point.per_second / 1e6,
                point.p50_us / 1e3,
                point.server_cpu_us,
                point.client_cpu_us,
                point.resident_bytes >> 20,
            );
        }
        table
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn curve(of: &str) -> Curve {
        let point = |at, per_second| Point {
            at,
            per_second,
            p50_us: 6_000.0,
            server_cpu_us: 0.7,
            client_cpu_us: 0.3,
            resident_bytes: 512 << 20,
        };
        Curve { of: of.to_owned(), points: vec![point(10_000.0, 1.2e6), point(1_000_000.0, 0.9e6)] }
    }

    #[test]
    fn a_curve_is_a_table_with_a_row_for_each_point() {
        let table = curve("players").table();
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(rows[0], "| 10 k | 1.20 | 6.0 ms | 0.70 us | 0.30 us | 512 MiB |");
        assert!(rows[1].starts_with("| 1 M | 0.90 |") && rows.len() == 2, "{table}");
    }
}
