//! The page of a run: figures, pictures, and what is needed to take them again.
//!
//! In: a report, and perhaps the folder of an earlier one. Out: a folder with `summary.json` for scripts, `latency.hgrm` for
//! plotters of HdrHistogram, and `report.html`, which opens without a network. Never here: a measurement; anything that
//! the page has to fetch.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::picture::{Line, Picture};
use crate::report::Report;
use crate::taken::Taken;
use crate::timeline::Moment;

/// Where the percentile curve is looked at.
const QUANTILES: [f64; 15] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999, 0.999999];
const STYLE: &str = "body{font:15px/1.5 sans-serif;color:#222;background:#fff;max-width:1020px;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}td,th{padding:.2em .9em .2em 0;text-align:right;\
border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:left}\
pre{background:#f4f4f4;padding:.7em;white-space:pre-wrap;overflow-wrap:anywhere}.fault{color:#c62828}svg{max-width:100%;height:auto}";

/// What a run came to, as scripts and later runs read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Where and when, and by which command.
    pub taken: Taken,
    /// The report, as `--json` prints it.
    pub report: serde_json::Value,
    /// Latencies in microseconds by quantile, up to the last one that an answer stands for.
    pub percentiles: Vec<(f64, f64)>,
    /// Answers over the time of the run.
    pub moments: Vec<Moment>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// A file cannot be written.
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, io::Error),
    /// The earlier run cannot be read.
    #[error("cannot read {0}: {1}; expected the folder of an earlier --report")]
    Earlier(PathBuf, io::Error),
    /// A picture cannot be drawn.
    #[error("cannot draw: {0}")]
    Draw(String),
}

impl Summary {
    /// Of a report, taken here.
    #[must_use]
    pub fn of(report: &Report, taken: Taken) -> Self {
        let histogram = &report.histogram;
        let answers = histogram.len() as f64;
        // Beyond the last quantile that one answer stands for there is nothing but the longest.
        let known = |quantile: &&f64| **quantile < 0.5 || answers * (1.0 - **quantile) >= 1.0;
        let micros = |quantile| (histogram.value_at_quantile(quantile) as f64 / 100.0).round() / 10.0;
        Self {
            taken,
            report: serde_json::to_value(report).unwrap_or_default(),
            percentiles: QUANTILES
                .iter()
                .filter(known)
                .map(|quantile| (*quantile, micros(*quantile)))
                .collect(),
            moments: report.moments.clone(),
        }
    }

    /// Of an earlier run, from its folder.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub fn read(dir: &Path) -> Result<Self, PageError> {
        let path = dir.join("summary.json");
        let read = fs::read(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from));
        read.map_err(|fault| PageError::Earlier(path, fault))
    }

    fn number(&self, path: &str) -> Option<f64> {
        self.report.pointer(path)?.as_f64()
    }
}

/// Writes the page of a run to `dir`, beside an earlier one if there is one.
///
/// # Errors
/// A file cannot be written.
pub fn write_page(
    dir: &Path,
    report: &Report,
    taken: Taken,
    earlier: Option<&Summary>,
) -> Result<(), PageError> {
    let summary = Summary::of(report, taken);
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|fault| PageError::Write(path, fault))
    };
    fs::create_dir_all(dir).map_err(|fault| PageError::Write(dir.to_owned(), fault))?;
    let json = serde_json::to_string_pretty(&summary);
    write("summary.json", json.map_err(|fault| PageError::Write(dir.to_owned(), fault.into()))? + "\n")?;
    write("latency.hgrm", percentile_lines(report))?;
    write("report.html", page(&summary, earlier)?)
}

/// The percentile distribution in the notation of HdrHistogram's own tools, in microseconds.
fn percentile_lines(report: &Report) -> String {
    let histogram = &report.histogram;
    let mut lines = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
    let mut count = 0;
    for step in histogram.iter_quantiles(5) {
        count += step.count_since_last_iteration();
        let (micros, quantile) = (step.value_iterated_to() as f64 / 1_000.0, step.quantile_iterated_to());
        let _ = write!(lines, "{micros:12.3} {quantile:14.12} {count:10}");
        let _ = if quantile < 1.0 {
            writeln!(lines, " {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(lines)
        };
    }
    let micros = |nanos: f64| nanos / 1_000.0;
    let (mean, deviation) = (micros(histogram.mean()), micros(histogram.stdev()));
    let (max, total) = (micros(histogram.max() as f64), histogram.len());
    let _ = writeln!(lines, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(lines, "#[Max     = {max:12.3}, Total count    = {total:12}]");
    lines
}

fn page(summary: &Summary, earlier: Option<&Summary>) -> Result<String, PageError> {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>cage-loadgen: {}</title><style>{STYLE}</style>\n",
        escaped(&summary.taken.at)
    );
    page.push_str("<h1>Load on a ledger</h1>\n");
    figures(&mut page, summary, earlier);
    for fault in summary.report["faults"].as_array().into_iter().flatten().filter_map(|fault| fault.as_str())
    {
        let _ = writeln!(page, "<p class=\"fault\">A connection ended early: {}</p>", escaped(fault));
    }
    for picture in pictures(summary, earlier) {
        let _ = writeln!(page, "<h2>{}</h2>", escaped(picture.title));
        page.push_str(&picture.svg().map_err(PageError::Draw)?);
    }
    circumstances(&mut page, "This run", summary);
    if let Some(earlier) = earlier {
        circumstances(&mut page, "The earlier run", earlier);
    }
    page.push_str("</html>\n");
    Ok(page)
}

/// The figures that one looks at first.
fn figures(page: &mut String, summary: &Summary, earlier: Option<&Summary>) {
    let head = if earlier.is_some() { "<th>earlier<th>change" } else { "" };
    let _ = writeln!(page, "<table><tr><th><th>this run{head}");
    for (name, path) in [
        ("decided a second", "/per_second"),
        ("requests", "/requests"),
        ("executed", "/executed"),
        ("refused", "/refused"),
        ("not taken", "/not_taken"),
        ("without an answer", "/unknown"),
        ("seconds", "/seconds"),
        ("latency p50, µs", "/latency_us/p50"),
        ("latency p90, µs", "/latency_us/p90"),
        ("latency p99, µs", "/latency_us/p99"),
        ("latency p99.9, µs", "/latency_us/p99_9"),
        ("longest, µs", "/latency_us/max"),
        ("client's processor time per answer, µs", "/client_cpu_us_per_request"),
    ] {
        let Some(now) = summary.number(path) else { continue };
        let _ = write!(page, "<tr><td>{name}<td>{}", spelled(now));
        if let Some(before) = earlier.map(|earlier| earlier.number(path)) {
            let _ = match before {
                Some(before) if before != 0.0 => {
                    write!(page, "<td>{}<td>{:+.1} %", spelled(before), (now / before - 1.0) * 100.0)
                }
                Some(before) => write!(page, "<td>{}<td>", spelled(before)),
                None => write!(page, "<td><td>"),
            };
        }
        page.push('\n');
    }
    page.push_str("</table>\n");
}

fn pictures<'a>(summary: &'a Summary, earlier: Option<&'a Summary>) -> [Picture<'a>; 3] {
    let both = |of: fn(&Summary) -> Vec<Line>| {
        let mut lines = of(summary);
        let old = earlier.map(of).into_iter().flatten();
        lines.extend(old.map(|line| Line { name: format!("{}, earlier", line.name), earlier: true, ..line }));
        lines
    };
    [
        Picture {
            title: "Latency by percentile",
            across: "percentile",
            up: "µs",
            percentiles: true,
            lines: both(|summary| vec![Line::new("latency", 0, summary.percentiles.clone())]),
        },
        Picture {
            title: "Latency over time",
            across: "seconds since the start",
            up: "µs",
            percentiles: false,
            lines: both(|summary| {
                let of = |value: fn(&Moment) -> f64| {
                    let told = summary.moments.iter().filter(|moment| moment.per_second > 0.0);
                    told.map(|moment| (moment.second, value(moment))).collect()
                };
                vec![
                    Line::new("p50", 0, of(|moment| moment.p50_us)),
                    Line::new("p99", 1, of(|moment| moment.p99_us)),
                    Line::new("longest", 2, of(|moment| moment.max_us)),
                ]
            }),
        },
        Picture {
            title: "Throughput over time",
            across: "seconds since the start",
            up: "decided a second",
            percentiles: false,
            lines: both(|summary| {
                let points = summary.moments.iter().map(|moment| (moment.second, moment.per_second));
                vec![Line::new("decided a second", 0, points.collect())]
            }),
        },
    ]
}

fn circumstances(page: &mut String, title: &str, summary: &Summary) {
    let Taken { at, processor, cores, kernel, load_average, command } = &summary.taken;
    let _ = writeln!(page, "<h2>{title}</h2>\n<pre>{}</pre>", escaped(command));
    let _ = writeln!(
        page,
        "<p>{}, on {cores} virtual cores ({}), Linux {}; load average at the end {}.</p>",
        escaped(at),
        escaped(processor),
        escaped(kernel),
        escaped(load_average)
    );
    let _ = writeln!(page, "<table><tr><th>result<th>answers");
    for (name, count) in summary.report["results"].as_object().into_iter().flatten() {
        let _ =
            writeln!(page, "<tr><td>{}<td>{}", escaped(name), spelled(count.as_f64().unwrap_or_default()));
    }
    page.push_str("</table>\n");
}

/// A figure with as many places as one looks at.
fn spelled(figure: f64) -> String {
    if figure.fract() == 0.0 || figure.abs() >= 1_000.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}

/// Text within HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
