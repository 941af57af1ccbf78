//! `cage export`: all records and their movements as tables.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::{fail, progress};
use crate::data::DataDir;
use crate::reports::export::{ExportFault, Exported, export};
use crate::reports::output::Format;
use crate::reports::period::PeriodOptions;

/// Exit code: the log cannot be read, or is damaged; there is no export.json then.
const EXIT_UNREADABLE: u8 = 2;
/// Exit code: the export cannot be written.
const EXIT_UNWRITABLE: u8 = 3;

/// Write records and their movements as tables, for an engine that queries columns.
///
/// DIR/records and DIR/legs get a file for every 262144 records, and DIR/export.json is written last, when everything is there.
/// The log is verified like in an audit, its archive included; works beside a running server. Amounts are exact: decimals of
/// 38 digits, and what is longer in the column `beyond`. Exit codes: 0 written, 2 the log cannot be read or is damaged, 3
/// cannot write.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage export ./cage-data --out ./tables\n  cage export ./cage-data --out ./november --from 2026-11-01 --until 2026-12-01\n  \
                        duckdb -c \"select credit_purse, sum(amount) from './tables/legs/*.parquet' group by all\""
)]
pub(crate) struct Export {
    /// The data directory
    dir: PathBuf,
    /// Where to write: a new or empty folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    period: PeriodOptions,
    /// How to write it
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "parquet")]
    format: Format,
    /// Where the log's older segments are [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(crate) fn run(self) -> ExitCode {
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        let bar = progress::bar("export", progress::bytes_of(&data.whole_log(1)), self.json);
        let begin = Instant::now();
        let exported = export(&data, &self.out, self.format, self.period.period(), |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        match exported {
            Ok(exported) => self.print(&exported, begin.elapsed().as_secs_f64()),
            Err(fault @ (ExportFault::Taken(_) | ExportFault::Write { .. })) => {
                return fail(EXIT_UNWRITABLE, &fault);
            }
            Err(fault) => return fail(EXIT_UNREADABLE, &fault),
        }
        ExitCode::SUCCESS
    }

    fn print(&self, exported: &Exported, seconds: f64) {
        if self.json {
            return say!("{}", serde_json::json!(exported));
        }
        let Exported { records, legs, files, first_lsn, last_lsn, .. } = exported;
        let rate = *records as f64 / seconds.max(1e-9) / 1e6;
        say!("{records} records and {legs} legs, {first_lsn} to {last_lsn}, {seconds:.2} s ({rate:.2} M/s)");
        say!("{files} files each in {}", self.out.display());
    }
}
