//! One row of the ladder: what was measured, beside what, and what it has to reach.
//!
//! In: runs, each with the limit that was measured beside it. Out: medians, ratios, a verdict; JSON and a table. Never
//! here: a measurement.

use serde::{Deserialize, Serialize};

/// What is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Throughput.
    More,
    /// Time and memory.
    Less,
}

/// What a goal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// The value itself, in the row's unit.
    Value,
    /// The value divided by the limit beside it.
    Ratio,
}

/// What a row has to reach, and what it should.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What is compared.
    pub of: Of,
    /// A must.
    pub floor: f64,
    /// The aim.
    pub stretch: f64,
}

impl Goal {
    /// About the value.
    #[must_use]
    pub const fn value(floor: f64, stretch: f64) -> Option<Self> {
        Some(Self { of: Of::Value, floor, stretch })
    }

    /// About the ratio.
    #[must_use]
    pub const fn ratio(floor: f64, stretch: f64) -> Option<Self> {
        Some(Self { of: Of::Ratio, floor, stretch })
    }
}

/// One run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was measured, in the row's unit.
    pub value: f64,
    /// The limit, measured beside it in the same unit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<f64>,
    /// Processor time of the load generator per request, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_cpu_us: Option<f64>,
    /// Processor time of the server per request, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_cpu_us: Option<f64>,
}

impl Run {
    /// A value without a limit.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { value, ..Self::default() }
    }

    /// A value beside its limit.
    #[must_use]
    pub fn beside(value: f64, limit: f64) -> Self {
        Self { value, limit: Some(limit), ..Self::default() }
    }
}

/// One row of the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// The step that measures it.
    pub step: String,
    /// What is measured.
    pub name: String,
    /// In what.
    pub unit: String,
    /// What is good.
    pub better: Better,
    /// What the limit is; none where there is no simple one.
    pub limit: Option<String>,
    /// What it has to reach.
    pub goal: Option<Goal>,
    /// The runs in their order.
    pub runs: Vec<Run>,
}

/// How a row stands to its goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// There is no goal.
    None,
    /// The aim is reached.
    Stretch,
    /// What it must.
    Floor,
    /// By this factor it would have to be better.
    Missed(f64),
}

impl Verdict {
    /// In words.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::None => "-".to_owned(),
            Self::Stretch => "stretch".to_owned(),
            Self::Floor => "floor".to_owned(),
            Self::Missed(factor) => format!("**missed**, {:.0} % to go", (factor - 1.0) * 100.0),
        }
    }
}

/// The middle of `values`; of an even number, the mean of the two in the middle. Not a number if there are none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => f64::midpoint(sorted[half - 1], sorted[half]),
        _ => sorted[half],
    }
}

impl Rung {
    /// A row without runs.
    #[must_use]
    pub fn new(step: &str, name: impl Into<String>, unit: &str, better: Better) -> Self {
        let (step, unit) = (step.to_owned(), unit.to_owned());
        Self { step, name: name.into(), unit, better, limit: None, goal: None, runs: Vec::new() }
    }

    /// With a limit beside each run.
    #[must_use]
    pub fn beside(mut self, limit: &str) -> Self {
        self.limit = Some(limit.to_owned());
        self
    }

    /// With something to reach.
    #[must_use]
    pub const fn to_reach(mut self, goal: Option<Goal>) -> Self {
        self.goal = goal;
        self
    }

    /// The median of the runs' values.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(self.runs.iter().map(|run| run.value))
    }

    /// The least and the greatest value.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        let values = self.runs.iter().map(|run| run.value);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
    }

    /// The median of the limits.
    #[must_use]
    pub fn limit_median(&self) -> Option<f64> {
        Some(median(self.runs.iter().filter_map(|run| run.limit))).filter(|limit| limit.is_finite())
    }

    /// The median of value to limit, run by run: a slow minute slows both.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let ratios = self.runs.iter().filter_map(|run| run.limit.map(|limit| run.value / limit));
        Some(median(ratios)).filter(|ratio| ratio.is_finite())
    }

    /// How it stands to its goal.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let Some(Goal { of, floor, stretch }) = self.goal else { return Verdict::None };
        let reached = match of {
            Of::Value => Some(self.median()).filter(|value| value.is_finite()),
            Of::Ratio => self.ratio(),
        };
        let Some(reached) = reached else { return Verdict::None };
        let missing = |wanted: f64| match self.better {
            Better::More => wanted / reached,
            Better::Less => reached / wanted,
        };
        match (missing(stretch), missing(floor)) {
            (stretch, _) if stretch <= 1.0 => Verdict::Stretch,
            (_, floor) if floor <= 1.0 => Verdict::Floor,
            (_, floor) => Verdict::Missed(floor),
        }
    }

    /// The value as a multiple of its floor, turned so that more is better.
    #[must_use]
    pub fn of_floor(&self) -> Option<f64> {
        let Goal { of, floor, .. } = self.goal?;
        let reached = match of {
            Of::Value => self.median(),
            Of::Ratio => self.ratio()?,
        };
        Some(if self.better == Better::More { reached / floor } else { floor / reached })
            .filter(|times| times.is_finite())
    }

    /// Processor time per request, in microseconds: of the load generator, of the server.
    #[must_use]
    pub fn cpu(&self) -> (Option<f64>, Option<f64>) {
        let of = |cpu: fn(&Run) -> Option<f64>| {
            Some(median(self.runs.iter().filter_map(cpu))).filter(|micros| micros.is_finite())
        };
        (of(|run| run.client_cpu_us), of(|run| run.server_cpu_us))
    }

    /// The row as text.
    #[must_use]
    pub fn row(&self) -> String {
        let (least, greatest) = self.spread();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let limit = self.limit.as_ref().zip(self.limit_median());
        let limit = or_dash(limit.map(|(name, value)| format!("{} ({name})", digits(value))));
        let (client, _) = self.cpu();
        format!(
            "| `{}` | {} | {} {} | {} - {} | {limit} | {} | {} | {} | {} |",
            self.step,
            self.name,
            digits(self.median()),
            self.unit,
            digits(least),
            digits(greatest),
            or_dash(self.ratio().map(|ratio| format!("{ratio:.2}"))),
            or_dash(self.goal.map(goal_words)),
            self.verdict().words(),
            or_dash(client.map(|micros| format!("{micros:.2} us"))),
        )
    }
}

/// What the columns of [`Rung::row`] are.
pub const HEADER: &str = "\
| step | what | median | least - greatest | limit, measured beside it | ratio | floor, stretch | reached | load generator's CPU a request |
|---|---|---:|---:|---|---:|---:|---|---:|";

fn goal_words(goal: Goal) -> String {
    let times = if goal.of == Of::Ratio { " x" } else { "" };
    format!("{}{times}, {}{times}", digits(goal.floor), digits(goal.stretch))
}

/// Three digits that count.
#[must_use]
pub fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(better: Better, goal: Option<Goal>, runs: &[(f64, f64)]) -> Rung {
        let mut rung = Rung::new("deep", "transfers", "M/s", better).beside("echo").to_reach(goal);
        rung.runs = runs.iter().map(|(value, limit)| Run::beside(*value, *limit)).collect();
        rung
    }

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(median([5.0, 1.0, 3.0]), 3.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_ratio_is_taken_run_by_run_so_that_a_slow_minute_does_not_show() {
        // The medians alone are 1.0 and 2.5: their ratio is of no minute that ever was.
        let rung = rung(Better::More, None, &[(1.0, 4.0), (0.5, 1.0), (2.0, 2.5)]);
        assert_eq!(rung.ratio(), Some(0.5));
        assert_eq!(rung.spread(), (0.5, 2.0));
    }

    #[test]
    fn a_verdict_says_which_goal_is_reached_and_by_how_much_it_is_missed() {
        let more = |value| rung(Better::More, Goal::value(1.0, 2.0), &[(value, 1.0)]).verdict();
        assert_eq!(
            [more(2.0), more(1.0), more(0.8)],
            [Verdict::Stretch, Verdict::Floor, Verdict::Missed(1.25)]
        );
        let less = |value| rung(Better::Less, Goal::ratio(1.5, 1.25), &[(value, 2.0)]).verdict();
        assert_eq!(
            [less(2.5), less(3.0), less(4.5)],
            [Verdict::Stretch, Verdict::Floor, Verdict::Missed(1.5)]
        );
        assert_eq!(rung(Better::More, None, &[(1.0, 1.0)]).verdict(), Verdict::None);
        assert_eq!(
            rung(Better::More, Goal::value(1.0, 2.0), &[]).verdict(),
            Verdict::None,
            "nothing measured"
        );
    }

    #[test]
    fn a_row_has_every_column_of_the_header() {
        let row = rung(Better::More, Goal::ratio(0.7, 0.9), &[(123.4, 200.0)]).row();
        let columns = |line: &str| line.matches('|').count();
        assert_eq!(HEADER.lines().map(columns).collect::<Vec<_>>(), [columns(&row); 2]);
        assert!(row.contains("| 123 M/s |") && row.contains("200 (echo)"), "{row}");
        assert!(row.contains("| 0.62 |") && row.contains("0.70 x, 0.90 x"), "{row}");
        assert!(row.contains("**missed**, 13 % to go"), "{row}");
    }

    #[test]
    fn a_rung_comes_back_from_its_json() {
        let mut rung = rung(Better::Less, Goal::ratio(1.5, 1.25), &[(1.0, 2.0)]);
        rung.runs[0].client_cpu_us = Some(0.25);
        let json = serde_json::to_value(&rung).unwrap();
        assert_eq!(json["goal"]["of"], "ratio");
        assert_eq!(json["better"], "less");
        assert_eq!(json["runs"][0], serde_json::json!({"value": 1.0, "limit": 2.0, "client_cpu_us": 0.25}));
        assert_eq!(serde_json::from_value::<Rung>(json).unwrap(), rung);
    }
}
