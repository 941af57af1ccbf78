//! `cage statement`: a player's statement of a period.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_engine::PlayerId;
use clap::Args;

use super::{fail, parse_player, write_table};
use crate::data::DataDir;
use crate::reports::output::Format;
use crate::reports::period::PeriodOptions;
use crate::reports::statement::{STATEMENT, StatementFault, statement};

/// Exit code: the log's records do not re-add.
const EXIT_DIFFERENCES: u8 = 1;
/// Exit code: the log cannot be read, or the player is not in it.
const EXIT_UNREADABLE: u8 = 2;

/// Print a player's statement: each movement with the balance after it, between opening and closing balances.
///
/// All of the player's records are followed backwards and added up; a statement that does not re-add is not printed. Works
/// beside a running server. Amounts are in the asset's smallest units. Exit codes: 0 printed, 1 the records do not re-add,
/// 2 cannot read, or no such player.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage statement ./cage-data --player 195\n  cage statement ./cage-data --player 195 --from 2026-11-01 --to 2026-12-01 --format csv\n  \
                        cage statement ./cage-data --player 195 --format parquet --out statement.parquet"
)]
pub(crate) struct Statement {
    /// The data directory
    dir: PathBuf,
    /// The player's number
    #[arg(long, value_name = "PLAYER", value_parser = parse_player)]
    player: PlayerId,
    #[command(flatten)]
    period: PeriodOptions,
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

impl Statement {
    pub(crate) fn run(self) -> ExitCode {
        let data = DataDir::new(&self.dir, self.archive.as_deref());
        let statement = match statement(&data, self.player, self.period.period()) {
            Ok(statement) => statement,
            Err(fault @ StatementFault::Unfit { .. }) => return fail(EXIT_DIFFERENCES, &fault),
            Err(fault) => return fail(EXIT_UNREADABLE, &fault),
        };
        statement.passed_over.iter().for_each(|why| eprintln!("cage: passed over: {why}"));
        let written =
            write_table(self.format, STATEMENT, self.out, |sink| statement.rows(|batch| sink.write(batch)));
        match written {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads may have stopped reading.
            Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(fault) => fail(EXIT_UNREADABLE, &format!("cannot write the statement: {fault}")),
        }
    }
}
