//! `cage tamper`: a copy of a ledger with one thing changed, for whoever wants to see that an audit finds it.

use std::path::PathBuf;
use std::process::ExitCode;

use cage_engine::{Lsn, RECORD_BYTES};
use cage_wal::forge::Mend;
use clap::{ArgGroup, Args, ValueEnum};

use super::fail;
use crate::data::DataDir;
use crate::tamper::{Change, tamper};

/// Exit code: there is no such copy.
const EXIT_NOT_MADE: u8 = 2;
/// A bit that stands in the amount of every record: the lowest one.
const AMOUNT_BIT: usize = 40 * 8;

/// Copy a data directory and change one thing in the copy, to see an audit find it.
///
/// The original is only read. The copy has the log, the snapshots and the archive, and no keys. What is changed is one record
/// of the log; --mend says how much effort the forger makes: nothing (a bad disk), the checksums of the frame (somebody who knows the
/// format), or the whole chain (somebody who has all files in hand: what gives that away is that the rules decide otherwise, or a head
/// that somebody else has kept). Exit codes: 0 made, 2 not made.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("change").required(true).args(["flip_bit", "remove", "amount"]),
    after_help = "Examples:
  cage tamper ./cage-data --copy ./flipped --flip-bit 3
  cage tamper ./cage-data --copy ./removed --remove 3
  cage tamper ./cage-data --copy ./richer --amount 7 --by 1000 --mend chain
Then: cage audit ./flipped"
)]
pub(crate) struct Tamper {
    /// The data directory
    dir: PathBuf,
    /// Where the changed copy goes: a folder that does not exist
    #[arg(long, value_name = "DIR")]
    copy: PathBuf,
    /// Flip a bit of this record
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    flip_bit: Option<u64>,
    /// Which bit, from 0 to 2047 [default: the lowest of the amount]
    #[arg(long, value_name = "N", requires = "flip_bit", value_parser = clap::value_parser!(u16).range(..(RECORD_BYTES * 8) as i64))]
    bit: Option<u16>,
    /// Take this record out
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    remove: Option<u64>,
    /// Let this record move more money than was decided
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    amount: Option<u64>,
    /// How much more, in the asset's smallest unit
    #[arg(long, value_name = "AMOUNT", requires = "amount", default_value_t = 1)]
    by: u128,
    /// What is made to fit the change [default: nothing for a bit, else checksums]
    #[arg(long)]
    mend: Option<Effort>,
    /// Where the log's older segments are [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
}

/// How much effort a forger makes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Effort {
    /// None: as a bad disk does it
    Nothing,
    /// The checksums of the frame
    Checksums,
    /// The checksums and the hash chain up to the log's end
    Chain,
}

impl Tamper {
    pub(crate) fn run(self) -> ExitCode {
        let bit = self.bit.map_or(AMOUNT_BIT, usize::from);
        let (lsn, change, usual) = match (self.flip_bit, self.remove, self.amount) {
            (Some(lsn), ..) => (lsn, Change::FlipBit(bit), Mend::Nothing),
            (_, Some(lsn), _) => (lsn, Change::Remove, Mend::Checksums),
            (.., lsn) => (lsn.unwrap_or_default(), Change::AddToAmount(self.by), Mend::Checksums),
        };
        let mend = self.mend.map_or(usual, |effort| match effort {
            Effort::Nothing => Mend::Nothing,
            Effort::Checksums => Mend::Checksums,
            Effort::Chain => Mend::Chain,
        });
        let from = DataDir::new(&self.dir, self.archive.as_deref());
        match tamper(&from, &self.copy, Lsn(lsn), change, mend) {
            Ok(tampered) => {
                say!("{tampered}");
                eprintln!("the copy is in {0}; now: cage audit {0}", self.copy.display());
                ExitCode::SUCCESS
            }
            Err(reason) => fail(EXIT_NOT_MADE, &reason),
        }
    }
}
