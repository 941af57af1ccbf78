//! `cage log`: prints records of a log, one a line.

mod segments;

use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use cage_engine::{Leg, Lsn, OperationKind, PlayerId, Record, RequestId};
use cage_wal::{FrameView, Limits, RecoveryError};
use clap::Args;
use serde::Serialize;

use super::{fail, parse_player, progress};
use crate::data::DataDir;
use crate::recovery::{self, ReplayFault};
use crate::reports::fields;

/// Exit code: the log cannot be read, or is damaged; what stands in front of the damage was printed.
const EXIT_UNREADABLE: u8 = 2;

/// Print records of a log, as text or as one JSON object a line.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage log ./cage-data --player 195\n  cage log ./cage-data --id 018bcfe568007000800000000000002a --json\n  \
                        cage log ./cage-data --from 1000 --until 1010"
)]
pub(crate) struct Log {
    /// The data directory
    dir: PathBuf,
    /// From this record on
    #[arg(long, value_name = "LSN", default_value_t = 1)]
    from: u64,
    /// Up to this record
    #[arg(long, value_name = "LSN")]
    until: Option<u64>,
    /// Print the files instead: control file, segments, what they hold; also of a log that does not open
    #[arg(long, conflicts_with_all = ["player", "id", "kind", "frames"])]
    segments: bool,
    /// Print the frames instead, of all segments or of --segment
    #[arg(long, conflicts_with_all = ["player", "id", "kind"])]
    frames: bool,
    /// Only records in this segment
    #[arg(long, value_name = "NUMBER")]
    segment: Option<u64>,
    /// Only records that concern this player
    #[arg(long, value_name = "PLAYER", value_parser = parse_player)]
    player: Option<PlayerId>,
    /// Only records of this request id, or that refer to it (all that came of a bet)
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    id: Option<RequestId>,
    /// Only records of this operation, by its name
    #[arg(long, value_name = "OPERATION", value_parser = parse_kind)]
    kind: Option<OperationKind>,
    /// Where the log's older segments are [default: DIR/archive]
    #[arg(long, value_name = "DIR", env = "CAGE_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

fn parse_id(text: &str) -> Result<RequestId, String> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    u128::from_str_radix(&digits, 16).map(RequestId).map_err(|_| "expected up to 32 hex digits".to_owned())
}

fn parse_kind(text: &str) -> Result<OperationKind, String> {
    OperationKind::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| {
        let names: Vec<_> = OperationKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

#[derive(Serialize)]
struct JsonLeg {
    debit: String,
    credit: String,
    amount: String,
    debit_after: String,
    credit_after: String,
}

/// Amounts are text: no reader in another language may take them for floats.
#[derive(Serialize)]
pub(super) struct JsonRecord {
    lsn: u64,
    segment: u64,
    decided_nanos: u64,
    received_age_micros: u64,
    operation: &'static str,
    result: &'static str,
    result_number: u16,
    id: String,
    reference: String,
    role: &'static str,
    actor: u32,
    grant: u16,
    player: u64,
    previous: u64,
    asset: u16,
    amount: String,
    /// Whether the next record belongs to this one.
    linked: bool,
    fields: serde_json::Map<String, serde_json::Value>,
    legs: Vec<JsonLeg>,
}

fn json_leg(leg: &Leg) -> JsonLeg {
    JsonLeg {
        debit: leg.debit.to_string(),
        credit: leg.credit.to_string(),
        amount: leg.amount.to_string(),
        debit_after: leg.debit_after.to_string(),
        credit_after: leg.credit_after.to_string(),
    }
}

pub(super) fn json_record(lsn: Lsn, segment: u64, record: &Record) -> JsonRecord {
    let request = &record.request;
    JsonRecord {
        lsn: lsn.0,
        segment,
        decided_nanos: record.decided.0,
        received_age_micros: record.received_age.micros(),
        operation: request.kind.name(),
        result: record.result.name(),
        result_number: record.result.number(),
        id: request.id.to_string(),
        reference: format!("{:032x}", request.reference),
        role: record.role.name(),
        actor: record.actor,
        grant: record.grant,
        player: request.player.number(),
        previous: record.previous.0,
        asset: request.asset.0,
        amount: request.amount.to_string(),
        linked: record.linked,
        fields: fields::of(request).map(|(name, value)| (name.to_owned(), value.into())).collect(),
        legs: record.legs().iter().map(json_leg).collect(),
    }
}

pub(super) fn write_text(out: &mut impl Write, lsn: Lsn, record: &Record) -> std::io::Result<()> {
    let request = &record.request;
    write!(
        out,
        "{lsn} {}.{:06} {} {} id={} by={}/{:08x}",
        record.decided.0 / 1_000_000_000,
        record.decided.0 / 1_000 % 1_000_000,
        request.kind.name(),
        record.result.name(),
        request.id,
        record.role.name(),
        record.actor
    )?;
    if record.grant != 0 {
        write!(out, " grant={}", record.grant)?;
    }
    if request.player != PlayerId::NONE {
        write!(out, " player={} previous={}", request.player, record.previous)?;
    }
    for leg in record.legs() {
        let Leg { debit, credit, amount, debit_after, credit_after } = leg;
        write!(out, " [{amount}: {debit}={debit_after} -> {credit}={credit_after}]")?;
    }
    // The player stands in front already.
    for (name, value) in fields::of(request).filter(|(name, _)| *name != "player") {
        write!(out, " {name}={value}")?;
    }
    writeln!(out, "{}", if record.linked { " linked" } else { "" })
}

/// Why printing ended early.
enum Stop {
    Unreadable(ReplayFault),
    /// Nobody reads on.
    Closed,
}

impl Log {
    pub(crate) fn run(self) -> ExitCode {
        if let Some(refusal) = self.segment.and_then(|number| self.lacks(number)) {
            return fail(EXIT_UNREADABLE, &refusal);
        }
        if self.segments || self.frames {
            return segments::run(&DataDir::new(&self.dir, None).log(), self.frames, self.segment, self.json);
        }
        let mut out = BufWriter::new(std::io::stdout().lock());
        let until = self.until.map(cage_wal::Lsn);
        let limits = Limits { from: cage_wal::Lsn(self.from), until, ..Limits::default() };
        let log = DataDir::new(&self.dir, self.archive.as_deref()).whole_log(1);
        // Beside records on a terminal it would only be in the way.
        let quiet = std::io::stdout().is_terminal();
        let bar = progress::bar("log", progress::bytes_of(&log), quiet);
        let scanned = cage_wal::scan_from(&log, limits, |frame| {
            bar.inc(frame.bytes().len() as u64);
            self.print(&mut out, &frame)
        });
        bar.finish_and_clear();
        let flushed = out.flush();
        match scanned {
            Ok(report) if report.segments == 0 => {
                let dir = self.dir.display();
                fail(
                    EXIT_UNREADABLE,
                    &format!("there is no log in {dir}: expected a data directory with log/*.wal in it"),
                )
            }
            Ok(_) if flushed.is_ok() => ExitCode::SUCCESS,
            Ok(_) | Err(RecoveryError::Visit { source: Stop::Closed, .. }) => ExitCode::SUCCESS,
            Err(RecoveryError::Visit { source: Stop::Unreadable(fault), .. }) => {
                fail(EXIT_UNREADABLE, &fault)
            }
            Err(RecoveryError::Storage(reason)) => fail(EXIT_UNREADABLE, &reason),
            Err(RecoveryError::Corruption(damage)) => fail(EXIT_UNREADABLE, &damage),
            Err(_) => fail(EXIT_UNREADABLE, &"this log is of a newer version than this program"),
        }
    }

    /// Why there is nothing to print of this segment: the log has no such one.
    fn lacks(&self, number: u64) -> Option<String> {
        let known = DataDir::new(&self.dir, self.archive.as_deref()).whole_log(1).segments().ok()?;
        let (first, last) = (known.first()?, known.last()?);
        let dir = self.dir.display();
        (!known.contains(&number)).then(|| {
            format!("there is no segment {number} in {dir}: expected one of {first} to {last}; cage log {dir} --segments lists them")
        })
    }

    fn print(&self, out: &mut impl Write, frame: &FrameView<'_>) -> Result<(), Stop> {
        let segment = frame.position.segment;
        if self.segment.is_some_and(|wanted| wanted != segment) {
            return Ok(());
        }
        for (lsn, record) in recovery::records(frame).map_err(Stop::Unreadable)? {
            let record = record.map_err(Stop::Unreadable)?;
            if !self.wants(lsn, &record) {
                continue;
            }
            let written = if self.json {
                writeln!(out, "{}", serde_json::json!(json_record(lsn, segment, &record)))
            } else {
                write_text(out, lsn, &record)
            };
            written.map_err(|_| Stop::Closed)?;
        }
        Ok(())
    }

    fn wants(&self, lsn: Lsn, record: &Record) -> bool {
        let request = &record.request;
        let concerns = |player| {
            let of_leg =
                |leg: &Leg| leg.debit.player() == Some(player) || leg.credit.player() == Some(player);
            let other_end = request.kind.spec().counterparty && request.counterparty() == player;
            request.player == player || other_end || record.legs().iter().any(of_leg)
        };
        lsn.0 >= self.from
            && self.until.is_none_or(|until| lsn.0 <= until)
            && self.player.is_none_or(concerns)
            && self.id.is_none_or(|id| request.id == id || request.reference == id.0)
            && self.kind.is_none_or(|kind| request.kind == kind)
    }
}
