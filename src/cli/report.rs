//! `cage report`: what an operator, an auditor and an inspector ask for.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_engine::Amount;
use clap::{Args, ValueEnum};

use super::{fail, progress, write_table};
use crate::data::DataDir;
use crate::reports::events::events;
use crate::reports::holdings::holdings;
use crate::reports::open::open;
use crate::reports::output::Format;
use crate::reports::period::PeriodOptions;
use crate::reports::replay::{Replayed, ReportFault};
use crate::reports::revenue::{Per, Whose, revenue};
use crate::reports::table::Batch;

/// Exit code: the figures do not re-add to the books.
const EXIT_DIFFERENCES: u8 = 1;
/// Exit code: the log cannot be read, or the report cannot be written.
const EXIT_UNREADABLE: u8 = 2;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Asked {
    /// What games took and gave: GGR, NGR, RTP by day, brand, provider, game and asset
    Ggr,
    /// What the house owes its players, and the house's accounts, at the end of the period
    Liabilities,
    /// Rounds, holds and withdrawals that are open at the end of the period, with their ages
    Open,
    /// Voids, corrections, overrides, debts, changes of parameters and the like
    Events,
}

/// Report what the log holds of a period: revenue, liabilities, what is open, significant events.
///
/// The log is replayed from the newest snapshot before the period. Figures are compared with the books before they are
/// printed. Testers are left out of `ggr` and `open` unless --players says otherwise. Works beside a running server. Amounts are
/// in the asset's smallest units. Exit codes: 0 printed, 1 the figures do not re-add to the books, 2 cannot read or write.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage report ./cage-data --kind ggr --from 2026-11-01 --until 2026-12-01 --per month\n  cage report ./cage-data --kind liabilities --format csv\n  \
                        cage report ./cage-data --kind open\n  cage report ./cage-data --kind events --large 1000000 --format parquet --out events.parquet"
)]
pub(crate) struct Report {
    /// The data directory
    dir: PathBuf,
    /// What to report
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Asked,
    #[command(flatten)]
    period: PeriodOptions,
    /// What `ggr` adds up
    #[arg(long, value_enum, value_name = "TIME", default_value_t)]
    per: Per,
    /// Whose play `ggr` and `open` tell of
    #[arg(long, value_enum, value_name = "WHOSE", default_value_t)]
    players: Whose,
    /// From which stake or payout on, in smallest units, `events` tells of it
    #[arg(long, value_name = "UNITS")]
    large: Option<u128>,
    /// How to write it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
    /// Where to write it; it gets its name when it is whole [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the log's older segments are [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
}

impl Report {
    pub(crate) fn run(self) -> ExitCode {
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        let bar = progress::bar("report", progress::bytes_of(&data.whole_log(1)), false);
        let made = self.make(&data, |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let batch = match made {
            Ok(batch) => batch,
            Err(fault @ ReportFault::Differs(_)) => return fail(EXIT_DIFFERENCES, &fault),
            Err(fault) => return fail(EXIT_UNREADABLE, &fault),
        };
        if batch.rows() == 0 {
            eprintln!("cage: no activity");
        }
        match write_table(self.format, batch.table, self.out, |sink| sink.write(&batch)) {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads may have stopped reading.
            Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(fault) => fail(EXIT_UNREADABLE, &format!("cannot write the report: {fault}")),
        }
    }

    fn make(&self, data: &DataDir, progress: impl FnMut(u64)) -> Result<Batch, ReportFault> {
        let period = self.period.period();
        let tell =
            |replayed: &Replayed| replayed.notices.iter().for_each(|notice| eprintln!("cage: {notice}"));
        Ok(match self.kind {
            Asked::Ggr => {
                let revenue = revenue(data, period, self.per, progress)?;
                tell(&revenue.replayed);
                revenue.rows(self.players)
            }
            Asked::Liabilities => {
                let holdings = holdings(data, period, progress)?;
                tell(&holdings.replayed);
                holdings.rows()
            }
            Asked::Open => {
                let open = open(data, period, progress)?;
                tell(&open.replayed);
                open.rows(self.players)
            }
            Asked::Events => {
                let events = events(data, period, self.large.map(Amount), progress)?;
                tell(&events.replayed);
                events.rows().clone()
            }
        })
    }
}
