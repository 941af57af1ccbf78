//! Significant events: what an inspector asks for, with who, what, why, before and after.
//!
//! In: records of a period with the books. Out: a row for each event, in order. Never here: ordinary play, unless it is as
//! great as the house says it has to be.

use cage_engine::{Amount, Leg, Lsn, OperationKind, Purse, Record, ResultCode, Role, State};

use super::fields;
use super::period::Period;
use super::replay::{Begin, Replayed, ReportFault, replay};
use super::revenue::game_of;
use super::table::{Batch, Column, Kind, Table, Value};
use crate::cli::hex;
use crate::data::DataDir;

/// The columns of events.
pub const EVENTS: Table = Table {
    name: "events",
    columns: &[
        Column::new("event", Kind::Text, "what sort of event it is, see below"),
        Column::new("lsn", Kind::Number, "the record"),
        Column::new("time", Kind::Time, "when it was decided"),
        Column::new("operation", Kind::Text, "what was done"),
        Column::new("result", Kind::Text, "the answer"),
        Column::new("role", Kind::Text, "under which role it was asked"),
        Column::new(
            "actor",
            Kind::Number,
            "who asked: the first bytes of the identity's digest; none: the ledger itself",
        ),
        Column::new("player", Kind::Number, "the player"),
        Column::new("asset", Kind::Number, "the asset's number"),
        Column::new("code", Kind::Text, "the asset's code"),
        Column::new("amount", Kind::Amount, "how much"),
        Column::new("account", Kind::Text, "the player's purse that moved, or the first account that did"),
        Column::new("before", Kind::Amount, "what it held before"),
        Column::new("after", Kind::Amount, "what it holds after that"),
        Column::new("game", Kind::Number, "the game, or the chain"),
        Column::new("id", Kind::Id, "the request's id"),
        Column::new("reference", Kind::Id, "what it refers to"),
        Column::new(
            "detail",
            Kind::Text,
            "the operation's other fields, as JSON: reasons, values, digests of texts",
        ),
    ],
};

/// The sorts of events, and what belongs to each.
pub const SORTS: &[(&str, &str)] = &[
    ("adjustment", "a correction was proposed, approved, rejected"),
    ("bridge", "a bridge was given the sole right to act"),
    ("correction", "something too old for its own name was corrected"),
    ("debt", "a player came to owe something: what was to be taken was not there"),
    ("disabled", "a game, or all of them, was stopped or let go on"),
    ("import", "something was taken over from another system"),
    ("jackpot", "a jackpot was paid, or corrected"),
    ("large_wager", "a stake as great as --large or greater"),
    ("large_win", "a payout as great as --large or greater"),
    ("limit", "the house set a limit of a player"),
    ("locked", "money was locked, or unlocked"),
    ("override", "an approver, or risk, let a withdrawal go on or gave it up"),
    ("parameter", "a setting, a rule, an asset or a price changed"),
    ("repair", "a damaged log was repaired: records may be lost"),
    ("reversal", "a deposit was taken back"),
    ("status", "what a player may do changed"),
    ("stop", "the ledger was stopped in order"),
    ("void", "a bet, a win, a round or a period was undone"),
    ("write_off", "a debt was given up"),
];

/// The events of a period.
#[derive(Debug)]
pub struct Events {
    batch: Batch,
    /// The books.
    pub replayed: Replayed,
}

/// Looks for the events of a period. From `large` on a stake or a payout is one.
///
/// # Errors
/// The log cannot be read.
pub fn events(
    data: &DataDir,
    period: Period,
    large: Option<Amount>,
    progress: impl FnMut(u64),
) -> Result<Events, ReportFault> {
    let mut batch = Batch::new(EVENTS);
    let look = |state: &State, lsn: Lsn, record: &Record| {
        if record.result.is_executed() && period.holds(lsn, record.decided) {
            for event in sorts_of(record, large) {
                push(&mut batch, event, state, lsn, record);
            }
        }
    };
    let replayed = replay(data, period, Begin::Before, look, progress)?;
    for repair in &replayed.repairs {
        let lsn = Lsn(repair.lost_from.0);
        if period.holds(lsn, cage_engine::Timestamp(repair.time_ns)) {
            let detail =
                serde_json::json!({ "lost": repair.loss(), "report": hex(&repair.report) }).to_string();
            let mut row = [Value::Missing; EVENTS.columns.len()];
            row[..3].copy_from_slice(&[
                Value::Text("repair"),
                Value::Number(lsn.0),
                Value::Time(repair.time_ns),
            ]);
            row[EVENTS.columns.len() - 1] = Value::Text(&detail);
            batch.push(&row);
        }
    }
    Ok(Events { batch, replayed })
}

/// What sorts of events a record is; most are none.
fn sorts_of(record: &Record, large: Option<Amount>) -> impl Iterator<Item = &'static str> {
    use OperationKind as Op;
    let request = &record.request;
    let is_large = |amount: Amount| large.is_some_and(|large| amount >= large);
    let sort = match request.kind {
        Op::Configure | Op::SetRule | Op::PublishRate | Op::OpenAsset => Some("parameter"),
        Op::StateDigest => Some("stop"),
        Op::Grant => Some("bridge"),
        Op::SetStatus | Op::SetKycHold => Some("status"),
        Op::SetLimit if record.role != Role::Frontend => Some("limit"),
        Op::DisableGame => Some("disabled"),
        Op::DepositReverse | Op::Chargeback => Some("reversal"),
        Op::WriteOff => Some("write_off"),
        Op::Lock | Op::Unlock => Some("locked"),
        Op::WithdrawApprove | Op::WithdrawRelease => Some("override"),
        Op::WithdrawCancel if record.role == Role::Risk => Some("override"),
        Op::Adjust | Op::AdjustApprove | Op::AdjustReject => Some("adjustment"),
        Op::Rollback | Op::VoidRound | Op::VoidPeriod => Some("void"),
        Op::LateCorrection => Some("correction"),
        Op::JackpotWin | Op::JackpotAdjust => Some("jackpot"),
        Op::ImportBalance | Op::ImportBet | Op::ImportHold | Op::ImportReference | Op::ImportUsage => {
            Some("import")
        }
        _ => None,
    };
    let stakes = matches!(request.kind, Op::Bet | Op::BetWin | Op::Reserve);
    let paid = match request.kind {
        Op::Win => request.amount,
        Op::BetWin | Op::Settle => request.payout(),
        _ => Amount::ZERO,
    };
    let owes = record.result == ResultCode::Shortfall
        && record.legs().iter().any(|leg| leg.debit.is_of(Purse::Receivable));
    let more = [
        owes.then_some("debt"),
        (stakes && is_large(request.amount)).then_some("large_wager"),
        (!paid.is_zero() && is_large(paid)).then_some("large_win"),
    ];
    sort.into_iter().chain(more.into_iter().flatten())
}

fn push(batch: &mut Batch, event: &'static str, state: &State, lsn: Lsn, record: &Record) {
    let request = &record.request;
    let mut detail = String::new();
    fields::detail_json(request, &mut detail);
    let moved = moved(record);
    let code = state.asset(request.asset).map(|asset| asset.code);
    batch.push(&[
        Value::Text(event),
        Value::Number(lsn.0),
        Value::Time(record.decided.0),
        Value::Text(request.kind.name()),
        Value::Text(record.result.name()),
        Value::Text(record.role.name()),
        Value::some_number(record.actor.into()),
        Value::some_number(request.player.number()),
        Value::some_number(request.asset.0.into()),
        code.as_ref().map_or(Value::Missing, |code| Value::Text(code.as_str())),
        Value::amount(request.amount.0),
        moved.as_ref().map_or(Value::Missing, |(account, ..)| Value::Text(account)),
        moved.as_ref().map_or(Value::Missing, |(_, before, _)| Value::Amount(*before)),
        moved.as_ref().map_or(Value::Missing, |(_, _, after)| Value::Amount(*after)),
        Value::some_number(game_of(state, record).0.into()),
        Value::some_id(request.id.0),
        Value::some_id(request.reference),
        Value::some_text(&detail),
    ]);
}

/// The player's account that moved, or the first one that did: its name, what it held before, what it holds after.
fn moved(record: &Record) -> Option<(String, i128, i128)> {
    let sides = |leg: &Leg| {
        let amount = i128::try_from(leg.amount.0).unwrap_or(i128::MAX);
        [(leg.debit, leg.debit_after.0, amount), (leg.credit, leg.credit_after.0, -amount)]
    };
    let all = || record.legs().iter().flat_map(sides);
    let (account, after, back) = all().find(|(account, ..)| account.is_players()).or_else(|| all().next())?;
    Some((account.to_string(), after.saturating_add(back), after))
}

impl Events {
    /// The rows.
    #[must_use]
    pub const fn rows(&self) -> &Batch {
        &self.batch
    }
}
