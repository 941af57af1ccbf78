//! What can be reached at all: the answers of each operation, as its page and the order of precedence list them, and
//! the pairs of refusals that no request can meet at once, each with its reason.

use std::sync::LazyLock;

use cage_engine::{OperationKind as Kind, ResultCode as Code, Role};

use crate::coverage::FUNDS;
use crate::model::words::{self, IdKind};

static PAGES: LazyLock<String> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations-table.md");
    std::fs::read_to_string(path).expect("the page of operations")
});

/// Answers that the server gives around the ledger, and the one of tables that no test fills (2^27 rows).
pub(crate) const NOT_HERE: [Code; 7] = [
    Code::KeyTableFull,
    Code::TokenMissing,
    Code::TokenInvalid,
    Code::Draining,
    Code::InboxFull,
    Code::ClockJumped,
    Code::DiskNearlyFull,
];

/// Every answer that an operation can get here, but for repetitions.
pub(crate) fn answers(kind: Kind) -> Vec<Code> {
    let mut answers = vec![Code::Done];
    let page = page(kind);
    let named = |code: &&Code| page.contains(&format!("{} `{}`", code.number(), code.name()));
    answers.extend(Code::ALL.iter().filter(named));
    if words::names_asset(kind) {
        answers.push(Code::AssetUnknown);
    }
    if words::names_player(kind) {
        answers.push(Code::PlayerUnknown);
    }
    if kind == Kind::Transfer {
        answers.extend([Code::CounterpartyUnknown, Code::PlayerMistyped]);
    }
    if can_lack(kind) {
        answers.push(Code::InsufficientFunds);
    }
    if can_overflow(kind) {
        answers.push(Code::BalanceOverflow);
    }
    answers.extend(of_bytes(kind));
    answers.extend(of_taking(kind));
    answers.extend(of_permits(kind));
    if words::is_groupable(kind) {
        answers.extend([Code::GroupRefused, Code::GroupDiffers, Code::GroupNotTaken]);
    }
    if words::id_kind(kind) != IdKind::Internal {
        answers.push(Code::GroupMalformed);
    }
    answers.retain(|code| !is_out_of_reach(kind, *code));
    answers
}

/// What is too rare to be waited for: what an operation gets for others of its group alone, and sums of the house that
/// take four movements of the greatest size in one direction.
pub(crate) fn is_rare(kind: Kind, code: Code) -> bool {
    match code {
        Code::IdTableFull => words::is_groupable(kind) && words::id_kind(kind) != IdKind::Request,
        Code::BalanceOverflow => matches!(
            kind,
            Kind::DepositReverse
                | Kind::Chargeback
                | Kind::WriteOff
                | Kind::WithdrawSettle
                | Kind::JackpotAdjust
                // What a declared total lets in is one movement of the greatest size.
                | Kind::ImportBet
        ),
        _ => false,
    }
}

/// The part of the page of operations that is about this one.
fn page(kind: Kind) -> &'static str {
    let begin = format!("<!-- generated: operation {} -->", kind.name());
    let (_, page) = PAGES.split_once(&begin).expect("each operation has its part of the page");
    page.split_once("<!-- end -->").expect("each part ends").0
}

/// Steps 1 and 2: the bytes and the role.
fn of_bytes(kind: Kind) -> Vec<Code> {
    if words::id_kind(kind) == IdKind::Internal {
        return vec![Code::OperationUnknown];
    }
    let mut answers = vec![Code::IdZero, Code::RoleNotAllowed];
    if kind.fields().iter().any(|field| field.amount) {
        answers.push(Code::AmountOverLimit);
    }
    let names = kind.fields().iter().any(|field| field.required);
    if names || matches!(kind, Kind::OpenAsset | Kind::RevokeSession) {
        answers.push(Code::Malformed);
    }
    answers
}

/// Steps 3 to 7: what is known of the id, and whether it is taken.
fn of_taking(kind: Kind) -> Vec<Code> {
    let id = words::id_kind(kind);
    if id == IdKind::Internal {
        return Vec::new();
    }
    let mut answers = vec![Code::IdConflict, Code::NotConfigured];
    if id == IdKind::Request {
        answers.push(Code::IdFromFuture);
        // A grant and a disabled game can be refused by nothing that is recorded.
        if !matches!(kind, Kind::Grant | Kind::DisableGame) {
            answers.push(Code::IdTableFull);
        }
    }
    if words::takes_over(kind) {
        answers.push(Code::IdTableFull);
    }
    if words::opens(kind) || kind == Kind::Settle {
        answers.push(Code::IdTooOld);
    }
    if matches!(kind, Kind::Reserve | Kind::Bet | Kind::BetWin) {
        answers.push(Code::HoldTableFull);
    }
    answers
}

/// Step 8: the permits.
fn of_permits(kind: Kind) -> Vec<Code> {
    let roles = words::roles(kind);
    let mut answers = Vec::new();
    if words::has_provider(kind) || words::has_chain(kind) {
        answers.push(Code::CallerNotPermitted);
    }
    let bridges = words::has_provider(kind) && roles.contains(&Role::Games)
        || words::has_chain(kind) && roles.contains(&Role::Chain);
    if bridges {
        answers.push(Code::Fenced);
    }
    if words::is_asked_for(kind) && words::may_name_asset(kind) {
        answers.push(Code::AssetNotPermitted);
    }
    if words::moves_an_amount(kind) {
        answers.push(Code::AmountOverRole);
    }
    answers
}

/// Whether it takes from a purse that may hold too little, and does not take the rest elsewhere.
const fn can_lack(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Collect
            | Kind::AutoCollect
            | Kind::Lock
            | Kind::WithdrawRequest
            | Kind::Transfer
            | Kind::Exchange
            | Kind::JackpotAdjust
            | Kind::AllowanceFund
            | Kind::AllowanceReturn
            | Kind::Reserve
            | Kind::Bet
            | Kind::BetWin
    )
}

/// Whether money comes from or goes to the house: among players nothing grows.
fn can_overflow(kind: Kind) -> bool {
    let among_players = matches!(
        kind,
        Kind::Lock
            | Kind::Unlock
            | Kind::WithdrawRequest
            | Kind::WithdrawCancel
            | Kind::WithdrawRelease
            | Kind::Transfer
            | Kind::AllowanceFund
            | Kind::AllowanceReturn
            | Kind::RevokeSession
            | Kind::ExpireSession
            | Kind::Reserve
            | Kind::Cancel
            | Kind::Expire
    );
    !among_players && kind.spec().legs.iter().next().is_some()
}

/// Documented, but nothing that can be done here leads to it.
const fn is_out_of_reach(kind: Kind, code: Code) -> bool {
    match code {
        // Four thousand million addresses, or 2^27 keys.
        Code::KeyTableFull => true,
        // Its role needs a rule for the asset before it may ask for anything (709), and there is none without the asset.
        Code::AssetUnknown => matches!(kind, Kind::WriteOff | Kind::Adjust | Kind::JackpotAdjust),
        // It takes all that is owed, and no more.
        Code::OwedExceeded => matches!(kind, Kind::AutoCollect),
        // What goes back came from there.
        Code::BalanceOverflow => matches!(kind, Kind::Collect | Kind::AutoCollect),
        _ => false,
    }
}

/// Whether no request can be stood in the way of by both.
pub(crate) fn never_meet(kind: Kind, first: &str, second: &str) -> bool {
    let capped = words::roles(kind).iter().any(|role| words::is_capped(kind, *role));
    let always_capped = matches!(kind, Kind::WriteOff | Kind::Adjust | Kind::JackpotAdjust);
    match (first, second) {
        // What moves nothing lacks nothing; what is not there can be taken from nowhere.
        (_, FUNDS) if !can_lack(kind) => true,
        ("asset" | "player", FUNDS) => true,
        // Before the first settings there are no rules, grants or facts.
        ("settings", "horizon" | "room" | "open ones" | "caller" | "permit for the asset" | "grant") => true,
        ("settings", "role's amount") => !capped,
        // No id that was ever taken lies as far ahead.
        ("future", "horizon") => true,
        // A role is bounded for assets that are open, unless it may ask for nothing without a bound.
        ("role's amount", "asset") => !capped,
        // What is not permitted has no bound that it could be over, unless it is never without one.
        ("permit for the asset", "role's amount") => !capped,
        ("asset", _) if always_capped => true,
        // What is not there has no owner, stage, time or bounds.
        ("hold" | "bet" | "bet or win" | "target" | "deposit" | "withdrawal" | "proposal", _) => true,
        ("free rounds", _) => true,
        ("session", _)
            if matches!(kind, Kind::RevokeSession | Kind::ExpireSession | Kind::AllowanceReturn) =>
        {
            true
        }
        ("its time", "new") => true,
        ("asset", "amount bound" | "transfers of it" | "rate" | "stage" | "owner") => true,
        ("player", "status" | "check" | "reopening" | "session's time" | "turnover" | "due" | "meter") => {
            true
        }
        ("receiver", "same player" | "receiver's status") => true,
        ("order", "order's scope" | "order's bound") => true,
        // One status, stage or number at a time.
        ("facts", "table") | ("token", "facts" | "table") => true,
        ("meter's asset", "meter") => true,
        ("stage", "identity" | "slot" | "attempts") => true,
        ("rule", "identity") | ("importing", "total") => true,
        // Nothing is more than a debt of nothing when all of it is asked for.
        ("owes" | "owes enough", _) if matches!(kind, Kind::AutoCollect) => true,
        ("has enough", FUNDS) => matches!(kind, Kind::AutoCollect),
        // Without a price nothing can be compared.
        ("rate", "bet limit" | "loss limit" | "wager limit" | "deposit limit" | "net deposit limit") => true,
        ("rate", "rate's age") => true,
        ("rate", "countable" | "enough") | ("countable", "enough") => true,
        _ => false,
    }
}
