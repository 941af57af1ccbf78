//! `cage audit`: decides a log again and says whether anything differs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use cage_client::CheckpointKey;
use cage_engine::Lsn;
use clap::Args;
use serde::Serialize;

use super::{fail, hex, progress};
use crate::audit::{Acks, AuditOptions, AuditReport, Vouched, audit};
use crate::data::DataDir;
use crate::proof::witness;

/// Exit code: something differs.
const EXIT_DIFFERENCES: u8 = 1;
/// Exit code: the log, or what it is to be compared with, cannot be read.
const EXIT_UNREADABLE: u8 = 2;

/// Decide every record of a log again and compare.
///
/// Verifies every byte, decides every record again by the rules it names, adds up all accounts. Reads the archive as
/// well; if the log's beginning is in neither, the oldest snapshot stands for it, and that is told. A torn tail after a
/// crash is told and is no difference. Exit codes: 0 clean, 1 differences, 2 cannot read.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage audit ./cage-data\n  cage audit ./cage-data --acks acks.txt --json"
)]
pub(crate) struct Audit {
    /// The data directory
    dir: PathBuf,
    /// Stop after this record
    #[arg(long, value_name = "LSN")]
    until: Option<u64>,
    /// A chain head that somebody kept, to be found in this log
    #[arg(long, value_name = "LSN:HASH", value_parser = parse_head)]
    head: Option<(u64, [u8; 32])>,
    /// Acknowledgements that a load generator wrote down
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
    /// Records that a repair gave up and that are accounted for, as the audit prints them; may be given again
    #[arg(long, value_name = "FROM-UNTIL")]
    repaired: Vec<String>,
    /// Signed checkpoints that a witness has kept, to be found in this log: FILE, and beside it all FILE.closed-NUMBER
    #[arg(long, value_name = "FILE", requires = "checkpoint_key")]
    witness: Option<PathBuf>,
    /// Public key that the checkpoints must be signed by
    #[arg(long, value_name = "PUBFILE", requires = "witness")]
    checkpoint_key: Option<PathBuf>,
    /// Where the log's older segments are [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn parse_head(text: &str) -> Result<(u64, [u8; 32]), String> {
    let wrong = || "expected LSN:HASH, the hash as 64 hex digits".to_owned();
    let (lsn, hash) = text.split_once(':').ok_or_else(wrong)?;
    let mut bytes = [0; 32];
    if hash.len() != 64 || !hash.is_ascii() {
        return Err(wrong());
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[at * 2..at * 2 + 2], 16).map_err(|_| wrong())?;
    }
    Ok((lsn.parse().map_err(|_| wrong())?, bytes))
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    records: u64,
    frames: u64,
    /// The snapshot that stood for the log's beginning; 0 = none.
    snapshot_lsn: u64,
    first_lsn: u64,
    last_lsn: u64,
    seconds: f64,
    digest: String,
    conserved: bool,
    verdict: &'static str,
    acks_checked: u64,
    acks_not_checked: u64,
    acks_missing: u64,
    acks_doubled: u64,
    checkpoints_checked: u64,
    checkpoints_bad: u64,
    torn_tail: Option<&'a str>,
    notices: &'a [String],
    differences: &'a [String],
    difference_count: u64,
}

impl Audit {
    pub(crate) fn run(self) -> ExitCode {
        let acks = match self.acks.as_deref().map(Acks::read).transpose() {
            Ok(acks) => acks,
            Err(reason) => return self.unreadable(&reason),
        };
        let witness = match self.witness() {
            Ok(witness) => witness,
            Err(reason) => return self.unreadable(&reason),
        };
        let head = self.head.map(|(lsn, hash)| (Lsn(lsn), hash));
        if let (Some(until), Some((lsn, _))) = (self.until, head)
            && until < lsn.0
        {
            return self.unreadable(&"--until stops before the record of --head: leave one of them out");
        }
        let options =
            AuditOptions { until: self.until.map(Lsn), head, acks, witness, repaired: self.repaired.clone() };
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        let bar = progress::bar("audit", progress::bytes_of(&data.whole_log(1)), self.json);
        let begin = Instant::now();
        let report = match audit(&data, options, |bytes| bar.inc(bytes)) {
            Ok(report) => report,
            Err(reason) => return self.unreadable(&reason),
        };
        bar.finish_and_clear();
        let seconds = begin.elapsed().as_secs_f64();
        if self.json {
            print_json(&report, seconds)
        } else {
            print_text(&report, seconds)
        }
        if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DIFFERENCES) }
    }
}

impl Audit {
    /// Says why there is no verdict, to a script in JSON as well.
    fn unreadable(&self, reason: &dyn std::fmt::Display) -> ExitCode {
        if self.json {
            say!("{}", serde_json::json!({ "verdict": "unreadable", "error": reason.to_string() }));
        }
        fail(EXIT_UNREADABLE, reason)
    }

    /// The witness, with the key that it must be signed by.
    fn witness(&self) -> Result<Option<Vouched>, String> {
        let (Some(witness), Some(key)) = (&self.witness, &self.checkpoint_key) else { return Ok(None) };
        let key = CheckpointKey::read(key).map_err(|reason| reason.to_string())?;
        let kept = witness::read(witness).map_err(|reason| reason.to_string())?;
        Ok(Some(Vouched::new(kept, &key)))
    }
}

const fn verdict(report: &AuditReport) -> &'static str {
    if report.is_clean() { "clean" } else { "differences" }
}

fn print_json(report: &AuditReport, seconds: f64) {
    let json = Json {
        records: report.records,
        frames: report.frames,
        snapshot_lsn: report.snapshot_lsn.0,
        first_lsn: report.first_lsn.0,
        last_lsn: report.last_lsn.0,
        seconds,
        digest: hex(&report.digest),
        conserved: report.conserved,
        verdict: verdict(report),
        acks_checked: report.acks_checked,
        acks_not_checked: report.acks_not_checked,
        acks_missing: report.acks_missing,
        acks_doubled: report.acks_doubled,
        checkpoints_checked: report.checkpoints_checked,
        checkpoints_bad: report.checkpoints_bad,
        torn_tail: report.torn_tail.as_deref(),
        notices: &report.notices,
        differences: &report.differences,
        difference_count: report.difference_count,
    };
    say!("{}", serde_json::json!(json));
}

fn print_text(report: &AuditReport, seconds: f64) {
    let AuditReport { records, frames, first_lsn, last_lsn, .. } = report;
    let rate = if seconds > 0.0 { *records as f64 / seconds / 1e6 } else { 0.0 };
    say!("{records} records in {frames} frames, {first_lsn} to {last_lsn}, {seconds:.2} s ({rate:.2} M/s)");
    say!("digest    {}", hex(&report.digest));
    say!("conserved {}", if report.conserved { "yes: every asset adds up to zero" } else { "NO" });
    if let Some(tail) = &report.torn_tail {
        say!(
            "torn tail {tail} (no proof that it was durable, so no difference; --acks and --head can prove more)"
        );
    }
    if report.acks_given {
        say!(
            "acks      {} checked, {} not checked, {} missing, {} doubled",
            report.acks_checked,
            report.acks_not_checked,
            report.acks_missing,
            report.acks_doubled
        );
    }
    if report.witness_given {
        say!(
            "witness   {} checkpoints checked, {} differences",
            report.checkpoints_checked,
            report.checkpoints_bad
        );
    }
    for notice in &report.notices {
        say!("NOTICE    {notice}");
    }
    for difference in &report.differences {
        say!("DIFFERENCE {difference}");
    }
    say!("verdict   {} ({} differences)", verdict(report), report.difference_count);
}
