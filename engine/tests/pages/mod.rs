//! Renders the generated parts of the documents from the table of operations.

mod sample;
mod words;

use cage_engine::decide::{GROUP_MAX, ID_AHEAD_MAX_MILLIS};
use cage_engine::field::{FieldSpec, Slot};
use cage_engine::limits::LIMIT_MAX;
use cage_engine::operation::{CLOSED_WAGERS_MAX, HOLDS_MAX, IDS_CAPACITY_MAX, IDS_CAPACITY_MIN, SCALE_MAX};
use cage_engine::state::ASSETS_MAX;
use cage_engine::table::{Effect, FREEROUNDS_MAX, Gate, HandsOut, IdRule, PPM, Side, Source, Spec};
use cage_engine::{
    Amount, LimitKind, LockReason, OperationKind, PastTransaction, Period, PlayerClass, PlayerId, Purse,
    ResultCode, Role, RoleSet, Rule, Settings, Status,
};

/// The parts that `operations-table.md` must have, besides one for each operation.
pub(crate) const OF_THE_TABLE: &[&str] = &[
    "operations",
    "asking",
    "roles",
    "permits",
    "codes 0-99",
    "codes 100-699",
    "codes 700-799",
    "codes 800-899",
    "codes 900-999",
    "rules",
    "statuses",
    "lock reasons",
    "limit kinds",
    "periods",
    "classes",
    "past transactions",
    "purses",
    "numbers",
];

/// The part of this name, without the line break behind it.
pub(crate) fn part(name: &str) -> Option<String> {
    let lines = match name {
        "operations" => operations(),
        "asking" => asking(),
        "roles" => roles(),
        "permits" => permits(),
        "rules" => enumeration(Rule::ALL.iter().map(|rule| (*rule as u16, rule.name(), rule.meaning()))),
        "statuses" => enumeration(Status::ALL.iter().map(|it| (*it as u16, it.name(), it.meaning()))),
        "lock reasons" => lock_reasons(),
        "limit kinds" => enumeration(LimitKind::ALL.iter().map(|it| (*it as u16, it.name(), it.meaning()))),
        "periods" => enumeration(Period::ALL.iter().map(|it| (*it as u16, it.name(), it.meaning()))),
        "past transactions" => {
            enumeration(PastTransaction::ALL.iter().map(|it| (*it as u16, it.name(), it.meaning())))
        }
        "classes" => enumeration(PlayerClass::ALL.iter().map(|it| (*it as u16, it.name(), it.meaning()))),
        "purses" => purses(),
        "numbers" => numbers(),
        "fields" => fields(),
        "detail" => detail(),
        "filled in" => filled_in(),
        "internal" => vec![internal()],
        _ => {
            if let Some(operation) = name.strip_prefix("operation ") {
                of_operation(*OperationKind::ALL.iter().find(|kind| kind.name() == operation)?)
            } else if let Some(range) = name.strip_prefix("codes ") {
                let (from, until) = range.split_once('-')?;
                codes(from.parse().ok()?, until.parse().ok()?)
            } else {
                let (from, until) = name.strip_prefix("plain codes ")?.split_once('-')?;
                plain_codes(from.parse().ok()?, until.parse().ok()?)
            }
        }
    };
    Some(lines.join("\n"))
}

fn operations() -> Vec<String> {
    enumeration(OperationKind::ALL.iter().map(|kind| (kind.number(), kind.name(), kind.summary())))
}

fn enumeration(rows: impl Iterator<Item = (u16, &'static str, &'static str)>) -> Vec<String> {
    let mut lines = vec!["| number | name | meaning |".to_owned(), "|---:|---|---|".to_owned()];
    lines.extend(rows.map(|(number, name, meaning)| format!("| {number} | `{name}` | {meaning} |")));
    lines
}

fn names(roles: RoleSet) -> Vec<&'static str> {
    let all = [Role::System].into_iter().chain(Role::CALLERS);
    all.filter(|role| roles.contains(*role)).map(Role::name).collect()
}

/// The roles that may ask; those that a rule bounds with a star.
fn who(spec: &Spec) -> String {
    let capped = names(spec.capped);
    let marked = |name: &str| format!("{name}{}", if capped.contains(&name) { "*" } else { "" });
    names(spec.roles).into_iter().map(marked).collect::<Vec<_>>().join(", ")
}

const fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "–" }
}

fn asking() -> Vec<String> {
    let mut lines = vec![
        "| operation | who may ask | id | in groups | refers to | hands out | a bridge needs the grant of |"
            .to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(OperationKind::ALL.iter().map(|kind| {
        let spec = kind.spec();
        format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            kind.name(),
            who(spec),
            words::id(spec.id, spec.opens),
            yes(spec.groupable),
            words::refers(spec.refers),
            words::hands_out(spec.hands_out),
            words::venue(spec.venue),
        )
    }));
    lines
}

fn roles() -> Vec<String> {
    let columns = Role::CALLERS;
    let heads: Vec<_> = columns.iter().map(|role| role.name()).collect();
    let mut lines = vec![
        format!("| operation | {} |", heads.join(" | ")),
        format!("|---|{}", ":-:|".repeat(columns.len())),
    ];
    for kind in OperationKind::ALL.iter().filter(|kind| !is_internal(**kind)) {
        let spec = kind.spec();
        let cell = |role: &Role| match (spec.roles.contains(*role), spec.capped.contains(*role)) {
            (true, true) => "●*",
            (true, false) => "●",
            _ => "",
        };
        let cells: Vec<_> = columns.iter().map(cell).collect();
        lines.push(format!("| `{}` | {} |", kind.name(), cells.join(" | ")));
    }
    lines
}

/// What a caller needs a permit for, where its role needs permits at all.
fn permits() -> Vec<String> {
    let mut lines = vec![
        "| operation | provider or chain | assets | bounded |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    for kind in OperationKind::ALL.iter().filter(|kind| !is_internal(**kind)) {
        let spec = kind.spec();
        let slot = |slot| kind.fields().iter().find(|field| field.slot == slot).map(|field| field.name);
        let asset = if *kind == OperationKind::OpenAsset { None } else { slot(Slot::Asset) };
        let other = spec.legs.iter().any(|leg| matches!(leg.credit, Side::PlayerOther(_)));
        let assets = match (asset, other) {
            (None, _) => "–".to_owned(),
            (Some(name), false) => format!("`{name}`"),
            (Some(name), true) => format!("`{name}`, `to`"),
        };
        let moves = asset.is_some() && (!spec.legs.is_empty() || !spec.capped.is_empty());
        let pays = spec.legs.iter().any(|leg| leg.amount == Source::Payout);
        let named = [slot(Slot::Amount).filter(|_| moves), Some("payout").filter(|_| pays)];
        let named: Vec<_> = named.into_iter().flatten().map(|name| format!("`{name}`")).collect();
        let bounded = if named.is_empty() { "–".to_owned() } else { named.join(", ") };
        lines.push(format!("| `{}` | {} | {assets} | {bounded} |", kind.name(), words::venue(spec.venue)));
    }
    lines
}

fn is_internal(kind: OperationKind) -> bool {
    matches!(kind.spec().id, IdRule::Internal)
}

fn internal() -> String {
    let names: Vec<_> = OperationKind::ALL
        .iter()
        .filter(|kind| is_internal(**kind))
        .map(|kind| format!("`{}`", kind.name()))
        .collect();
    let (last, rest) = names.split_last().expect("the ledger does something by itself");
    format!(
        "{} and {last} are the ledger's own: asked for over the wire they are answered 701.",
        rest.join(", ")
    )
}

fn lock_reasons() -> Vec<String> {
    let mut lines =
        vec!["| number | name | meaning | can be withdrawn |".to_owned(), "|---:|---|---|---|".to_owned()];
    lines.extend(LockReason::ALL.iter().map(|it| {
        format!("| {} | `{}` | {} | {} |", *it as u8, it.name(), it.meaning(), yes(it.is_withdrawable()))
    }));
    lines
}

fn purses() -> Vec<String> {
    let owner = |purse: Purse| match purse {
        _ if purse.is_player() => "the player",
        Purse::ProviderClearing => "the provider (upper 12 bits of the game)",
        Purse::DepositClearing | Purse::WithdrawalClearing => "the chain",
        Purse::Receivable => "the player who owes",
        Purse::Jackpot | Purse::JackpotShortfall => "the pool",
        _ => "0",
    };
    let mut lines = vec!["| number | name | owner | moved by |".to_owned(), "|---:|---|---|---|".to_owned()];
    lines.extend(Purse::ALL.iter().map(|purse| {
        let movers: Vec<_> = OperationKind::ALL
            .iter()
            .filter(|kind| moves(**kind, *purse))
            .map(|kind| format!("`{}`", kind.name()))
            .collect();
        let by = if movers.is_empty() { "nothing".to_owned() } else { few(&movers, 10) };
        format!("| {} | `{}` | {} | {by} |", *purse as u8, purse.name(), owner(*purse))
    }));
    lines
}

/// Whether a leg of the operation can move this purse.
fn moves(kind: OperationKind, purse: Purse) -> bool {
    let of = |side: Side| match side {
        Side::Player(of)
        | Side::Counterparty(of)
        | Side::Provider(of)
        | Side::Chain(of)
        | Side::House(of)
        | Side::Pool(of)
        | Side::PlayerOther(of)
        | Side::HouseOther(of) => of == purse,
        Side::Stake | Side::Payout => matches!(purse, Purse::Available | Purse::Allowance),
        Side::Deposit => matches!(purse, Purse::Available | Purse::Locked),
        Side::Receivable => purse == Purse::Receivable,
        Side::Sponsor => matches!(purse, Purse::ProviderClearing | Purse::BonusExpense),
        Side::Corrected => matches!(purse, Purse::ProviderClearing | Purse::Adjustments),
    };
    kind.spec().legs.iter().any(|leg| of(leg.debit) || of(leg.credit))
}

fn few(names: &[String], most: usize) -> String {
    if names.len() > most { format!("{} operations", names.len()) } else { names.join(", ") }
}

fn power(value: u128) -> String {
    if value.is_power_of_two() && value > 1 << 16 {
        format!("2^{}", value.trailing_zeros())
    } else if (value + 1).is_power_of_two() && value > 1 << 16 {
        format!("2^{} − 1", (value + 1).trailing_zeros())
    } else if (value + 2).is_power_of_two() && value > 1 << 16 {
        format!("2^{} − 2", (value + 2).trailing_zeros())
    } else {
        value.to_string()
    }
}

fn numbers() -> Vec<String> {
    let Settings { ids_capacity, ids_retention_millis, holds_max, players_max, closed_wagers_max } =
        Settings::DEFAULT;
    let rows: [(&str, u128, String); 14] = [
        ("assets", ASSETS_MAX as u128, String::new()),
        (
            "players",
            PlayerId::COUNT_MAX.into(),
            format!("setting, {} unless said otherwise", power(players_max.into())),
        ),
        ("facts that can be remembered, at least", IDS_CAPACITY_MIN.into(), String::new()),
        (
            "facts that can be remembered, at most",
            IDS_CAPACITY_MAX.into(),
            format!("setting, {} unless said otherwise", power(ids_capacity.into())),
        ),
        (
            "milliseconds for which a fact is remembered at least",
            ids_retention_millis.into(),
            "setting; this is what it is unless said otherwise".to_owned(),
        ),
        (
            "open holds, open bets and wins, and open rounds together",
            HOLDS_MAX.into(),
            format!("setting, {} unless said otherwise", power(holds_max.into())),
        ),
        (
            "bets and wins of closed rounds that are kept in full",
            CLOSED_WAGERS_MAX.into(),
            format!("setting, {} unless said otherwise", power(closed_wagers_max.into())),
        ),
        ("milliseconds that an id's time may lie ahead", ID_AHEAD_MAX_MILLIS.into(), String::new()),
        ("requests in a group", GROUP_MAX as u128, "at least 2".to_owned()),
        (
            "an amount",
            Amount::MAX.0,
            "in smallest units; each asset has a bound of its own below it".to_owned(),
        ),
        (
            "a limit, and what one amount counts for it",
            LIMIT_MAX.into(),
            "in the reference asset's smallest unit".to_owned(),
        ),
        ("decimal places of an asset", SCALE_MAX.into(), String::new()),
        ("free rounds in one request", FREEROUNDS_MAX.into(), String::new()),
        ("what shares are counted in", PPM.into(), "millionths".to_owned()),
    ];
    let mut lines = vec!["| what | greatest | |".to_owned(), "|---|---:|---|".to_owned()];
    lines.extend(rows.map(|(what, value, note)| format!("| {what} | {} | {note} |", power(value))));
    lines
}

/// Every answer that an operation can give after its role was found right and its id was found new: what it
/// refers to, its gates, what it hands out, its legs, its execution.
fn answers(kind: OperationKind) -> Vec<ResultCode> {
    let spec = kind.spec();
    let mut answers = Vec::new();
    let has = |slot| kind.fields().iter().any(|field| field.slot == slot);
    if has(Slot::Asset) && kind != OperationKind::OpenSession {
        answers.push(ResultCode::AssetUnknown);
    }
    if has(Slot::Player) {
        answers.push(ResultCode::PlayerUnknown);
    }
    if spec.counterparty {
        answers.push(ResultCode::CounterpartyUnknown);
    }
    answers.extend(words::not_found(kind).iter().map(|(_, code)| *code));
    answers.extend(spec.gates.iter().flat_map(|gate| gate.codes()));
    answers.extend(words::handing_out(spec.hands_out).iter().map(|(_, code)| *code));
    if !spec.legs.is_empty() {
        answers.push(ResultCode::BalanceOverflow);
    }
    if is_short(spec) {
        answers.push(ResultCode::InsufficientFunds);
    }
    answers.extend(words::executed(kind).into_iter().map(|(_, code)| code));
    if spec.groupable {
        answers.push(ResultCode::GroupRefused);
    }
    answers.push(ResultCode::Done);
    answers
}

/// Whether money can be missing: a leg takes from a purse that stays at or above zero.
fn is_short(spec: &Spec) -> bool {
    let bounded = |side: Side| match side {
        Side::Player(_) | Side::Stake => true,
        Side::Pool(purse) => purse == Purse::Jackpot,
        _ => false,
    };
    let covers = |amount| matches!(amount, Source::Covered | Source::Free | Source::Locked | Source::Metered);
    let jackpot_win = spec.legs.iter().any(|leg| leg.debit == Side::Pool(Purse::JackpotShortfall));
    spec.legs.iter().any(|leg| bounded(leg.debit) && !covers(leg.amount))
        || matches!(spec.effect, Effect::WithdrawalOpened)
        || (!jackpot_win && spec.legs.iter().any(|leg| leg.debit == Side::Pool(Purse::Jackpot)))
}

/// The operations that answer with this code.
pub(crate) fn given_by(code: ResultCode) -> Vec<String> {
    let gives = |kind: &&OperationKind| answers(**kind).contains(&code);
    OperationKind::ALL.iter().filter(gives).map(|kind| format!("`{}`", kind.name())).collect()
}

fn in_range(from: u16, until: u16) -> impl Iterator<Item = &'static ResultCode> {
    ResultCode::ALL.iter().filter(move |code| (from..=until).contains(&code.number()))
}

fn codes(from: u16, until: u16) -> Vec<String> {
    let by = |code: ResultCode| {
        let names = given_by(code);
        if code == ResultCode::Done { "any".to_owned() } else { few(&names, 12) }
    };
    let mut lines =
        vec!["| number | name | meaning | given by |".to_owned(), "|---:|---|---|---|".to_owned()];
    if from >= 700 {
        return plain_codes(from, until);
    }
    lines.extend(in_range(from, until).map(|code| {
        format!("| {} | `{}` | {} | {} |", code.number(), code.name(), code.meaning(), by(*code))
    }));
    lines
}

fn plain_codes(from: u16, until: u16) -> Vec<String> {
    enumeration(in_range(from, until).map(|code| (code.number(), code.name(), code.meaning())))
}

fn named(code: ResultCode) -> String {
    format!("{} `{}`", code.number(), code.name())
}

fn gate(gate: Gate) -> String {
    let codes: Vec<_> = gate.codes().iter().map(|code| named(*code)).collect();
    format!("{} Else {}.", gate.meaning(), codes.join(", "))
}

fn of_operation(kind: OperationKind) -> Vec<String> {
    let spec = kind.spec();
    let mut lines =
        vec![kind.summary().to_owned(), String::new(), "| | |".to_owned(), "|---|---|".to_owned()];
    let mut say = |what: &str, words: String| {
        if !words.is_empty() && words != "–" {
            lines.push(format!("| {what} | {words} |"));
        }
    };
    say("who may ask", who(spec));
    say("id", words::id(spec.id, spec.opens).to_owned());
    say("in groups", yes(spec.groupable).to_owned());
    say("a bridge needs the grant of", words::venue(spec.venue).to_owned());
    say("hands out", words::hands_out(spec.hands_out).to_owned());
    say("amount", words::amount(spec.amount).to_owned());
    say(
        "refers to",
        if words::not_found(kind).is_empty() { String::new() } else { words::refers(spec.refers).to_owned() },
    );
    say("effect", words::effect(spec.effect).to_owned());
    lines.extend([String::new()]);
    lines.extend(["| field | at | bytes | | meaning |".to_owned(), "|---|---:|---:|:-:|---|".to_owned()]);
    if !is_internal(kind) {
        let sort = match spec.id {
            IdRule::Permanent => "The permanent key.",
            IdRule::Reference => "The provider's transaction.",
            _ => "The request's id.",
        };
        lines.push(format!("| `id` | 8 | 16 | ● | {sort} |"));
    }
    lines.extend(kind.fields().iter().map(|field| field_row(kind, field)));
    list(
        &mut lines,
        "If it is not there:",
        words::not_found(kind).iter().map(|(when, code)| format!("{when}: {}", named(*code))),
    );
    list(&mut lines, "Gates, in order:", spec.gates.iter().map(|it| gate(*it)));
    list(
        &mut lines,
        "Handing out:",
        words::handing_out(spec.hands_out).iter().map(|(when, code)| format!("{when}: {}", named(*code))),
    );
    list(&mut lines, "Legs, in order:", spec.legs.iter().map(|leg| words::leg(kind, leg)));
    list(
        &mut lines,
        "Executed with another answer than 0:",
        words::executed(kind).into_iter().map(|(when, code)| format!("{when}: {}", named(code))),
    );
    lines
}

fn list(lines: &mut Vec<String>, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<_> = items.collect();
    if !items.is_empty() {
        lines.extend([String::new(), title.to_owned(), String::new()]);
        lines.extend((1..).zip(items).map(|(number, item): (usize, String)| format!("{number}. {item}")));
    }
}

/// Where a field lies in the content of a request.
const fn offset(slot: Slot) -> usize {
    match slot {
        Slot::Asset => 2,
        Slot::EndsRound => 4,
        Slot::Reference => 24,
        Slot::Amount => 40,
        Slot::Player => 56,
        Slot::Session => 64,
        Slot::Game => 68,
        Slot::Detail(at) => 72 + at,
    }
}

fn field_row(kind: OperationKind, field: &FieldSpec) -> String {
    let bytes = if field.slot == Slot::EndsRound { "bit 1".to_owned() } else { field.bytes.to_string() };
    let must = match is_internal(kind) {
        true => "",
        false if sample::must_be_there(kind, field) => "●",
        false => "○",
    };
    let at = offset(field.slot);
    format!("| `{}` | {at} | {bytes} | {must} | {} |", field.name, field.meaning)
}

/// Which places of a request each operation uses.
fn fields() -> Vec<String> {
    let mut lines = vec![
        "| operation | id | reference | asset | amount | player | session | game | flag 2 | detail |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|:-:|:-:|".to_owned(),
    ];
    for kind in OperationKind::ALL.iter().filter(|kind| !is_internal(**kind)) {
        let place = |slot: Slot| {
            kind.fields().iter().find(|field| field.slot == slot).map_or_else(
                || "·".to_owned(),
                |field| {
                    format!("{} {}", if sample::must_be_there(*kind, field) { "●" } else { "○" }, field.name)
                },
            )
        };
        let id = match kind.spec().id {
            IdRule::Permanent => "● permanent key",
            IdRule::Reference => "● transaction",
            _ => "● request id",
        };
        let ends = if place(Slot::EndsRound) == "·" { "·" } else { "○" };
        let in_detail = |field: &&FieldSpec| matches!(field.slot, Slot::Detail(_));
        let detail = if kind.fields().iter().any(|field| in_detail(&field)) { "below" } else { "·" };
        let places =
            [Slot::Reference, Slot::Asset, Slot::Amount, Slot::Player, Slot::Session, Slot::Game].map(place);
        lines.push(format!("| `{}` | {id} | {} | {ends} | {detail} |", kind.name(), places.join(" | ")));
    }
    lines
}

/// What lies in the detail of each operation.
fn detail() -> Vec<String> {
    let mut lines = vec![
        "| operation | offset | bytes | field | | meaning |".to_owned(),
        "|---|---:|---:|---|:-:|---|".to_owned(),
    ];
    for kind in OperationKind::ALL.iter().filter(|kind| !is_internal(**kind)) {
        let mut name = format!("`{}`", kind.name());
        for field in kind.fields() {
            let Slot::Detail(at) = field.slot else { continue };
            let must = if sample::must_be_there(*kind, field) { "●" } else { "○" };
            lines.push(format!(
                "| {name} | {at} | {} | {} | {must} | {} |",
                field.bytes, field.name, field.meaning
            ));
            name = String::new();
        }
    }
    lines
}

/// What the ledger fills into a record, so that it differs there from what was asked.
fn filled_in() -> Vec<String> {
    let mut lines =
        vec!["| operation | offset | bytes | what |".to_owned(), "|---|---:|---:|---|".to_owned()];
    for kind in OperationKind::ALL {
        let spec = kind.spec();
        let mut fill = |at: usize, bytes: usize, what: &str| {
            lines.push(format!("| `{}` | {at} | {bytes} | {what} |", kind.name()));
        };
        match spec.hands_out {
            HandsOut::Nothing => {}
            HandsOut::Asset => fill(2, 2, "the asset's number"),
            HandsOut::Player => fill(56, 8, "the player's number"),
            HandsOut::Session => fill(64, 4, "the session's number"),
            HandsOut::Grant => fill(80, 8, "the grant's number"),
            HandsOut::Address => fill(80, 8, "the address's number"),
        }
        if spec.fills_game {
            fill(68, 4, "the game of what it ends or settles, if that is there; in a refusal 0");
        }
        if spec.counterparty {
            fill(80, 8, "LSN of the receiver's record before this one");
        }
        if matches!(spec.effect, Effect::Deposited | Effect::BalanceImported) {
            fill(73, 1, "why it is locked, 0 = it is not: as asked, or the ledger's own reason");
        }
    }
    lines
}
