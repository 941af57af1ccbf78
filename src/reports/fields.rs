//! The fields of an operation as text, each by its name.
//!
//! In: a request. Out: name and value of each field that its operation has, from the list that the engine keeps.
//! Amounts and numbers are decimal, what is a name or a digest is hexadecimal, enumerations are by their names. Never
//! here: a list of operations.

use cage_engine::field::{FieldSpec, Slot};
use cage_engine::{LimitKind, LockReason, Operation, Period, PlayerClass, Request, Rule, Settings, Status};

use crate::cli::hex;

/// The fields of what `request` asks, in the order of the engine's list.
pub(crate) fn of(request: &Request) -> impl Iterator<Item = (&'static str, String)> {
    request.kind.fields().iter().flat_map(|field| match (field.name, field.bytes) {
        ("settings", 32) => settings(request),
        _ => vec![(field.name, text(request, field))],
    })
}

/// The fields that lie in the detail, as one JSON object; nothing if there are none.
pub(crate) fn detail_json(request: &Request, out: &mut String) {
    out.clear();
    for spec in request.kind.fields() {
        let Slot::Detail(at) = spec.slot else { continue };
        if spec.name == "settings" {
            for (name, value) in settings(request) {
                json_entry(out, name, &value);
            }
        } else {
            json_entry(out, spec.name, &detail(spec, &request.detail.0[at..at + spec.bytes]));
        }
    }
    if !out.is_empty() {
        out.push('}');
    }
}

fn json_entry(out: &mut String, name: &str, value: &str) {
    out.push(if out.is_empty() { '{' } else { ',' });
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        out.push('"');
        out.push_str(value);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(value).to_string());
    }
}

fn text(request: &Request, field: &FieldSpec) -> String {
    match field.slot {
        Slot::Asset => request.asset.to_string(),
        Slot::Player => request.player.to_string(),
        Slot::Amount => request.amount.to_string(),
        Slot::Reference => format!("{:032x}", request.reference),
        Slot::Session => request.session.0.to_string(),
        Slot::Game => request.game.0.to_string(),
        Slot::EndsRound => request.ends_round.to_string(),
        Slot::Detail(at) => detail(field, &request.detail.0[at..at + field.bytes]),
    }
}

fn detail(field: &FieldSpec, bytes: &[u8]) -> String {
    if let Some(text) = named(field, bytes) {
        return text.to_owned();
    }
    let number = bytes.iter().rev().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    match (field.name, bytes.len()) {
        ("code", _) => String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned(),
        ("scale", 1) => number.to_string(),
        (_, 1) if number < 2 => (number == 1).to_string(),
        // Of the wide numbers these are counted with; the others are names.
        ("value" | "shown", 16) => number.to_string(),
        (_, 16) if !field.amount => format!("{number:032x}"),
        (_, 32) => hex(bytes),
        _ => number.to_string(),
    }
}

/// The name of an enumeration's number; none if the field is none, or the number none of them.
fn named(field: &FieldSpec, bytes: &[u8]) -> Option<&'static str> {
    Some(match (field.name, bytes) {
        ("class", [number]) => PlayerClass::from_number(*number)?.name(),
        ("status", [number]) => Status::from_number(*number)?.name(),
        ("locked" | "reason", [0]) => "none",
        ("locked" | "reason", [number]) => LockReason::from_number(*number)?.name(),
        ("kind", [number]) => LimitKind::from_number(*number)?.name(),
        ("period", [number]) => Period::from_number(*number)?.name(),
        ("rule", [low, high]) => Rule::from_number(u16::from_le_bytes([*low, *high]))?.name(),
        _ => return None,
    })
}

fn settings(request: &Request) -> Vec<(&'static str, String)> {
    let Ok(Operation::Configure { settings }) = Operation::try_from(request) else { return Vec::new() };
    let Settings { ids_capacity, ids_retention_millis, holds_max, players_max, closed_wagers_max } = settings;
    [
        ("ids_capacity", ids_capacity),
        ("ids_retention_millis", ids_retention_millis),
        ("holds_max", holds_max),
        ("players_max", players_max),
        ("closed_wagers_max", closed_wagers_max),
    ]
    .map(|(name, value)| (name, value.to_string()))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use cage_engine::{Amount, AssetCode, AssetId, GameId, PlayerId, Reference, RequestId, SessionId};

    use super::*;

    fn line(operation: &Operation) -> String {
        let request = operation.request(RequestId(1));
        let fields: Vec<_> = of(&request).map(|(name, value)| format!("{name}={value}")).collect();
        fields.join(" ")
    }

    #[test]
    fn fields_are_printed_by_name_and_each_as_what_it_is() {
        let (player, asset) = (PlayerId::from_index(0), AssetId(2));
        assert_eq!(
            line(&Operation::Bet {
                player,
                asset,
                stake: Amount(10_u128.pow(20)),
                bet: Reference(0xabc),
                game: GameId(7),
                session: SessionId(9),
                payout_max: Amount(5),
                round: Reference(0xdef),
                ends_round: true,
            }),
            "player=195 asset=2 stake=100000000000000000000 bet=00000000000000000000000000000abc game=7 \
             session=9 payout_max=5 round=00000000000000000000000000000def ends_round=true"
        );
        assert_eq!(
            line(&Operation::SetRule { rule: Rule::DayBegins, scope: 3, value: 90 }),
            "rule=day_begins scope=3 value=90"
        );
        assert_eq!(
            line(&Operation::SetLimit {
                player,
                kind: LimitKind::Loss,
                period: Period::Week,
                remove: false,
                value: Amount(12)
            }),
            "player=195 kind=loss period=week remove=false value=12"
        );
        assert_eq!(
            line(&Operation::OpenAsset {
                code: AssetCode::new("ETH").unwrap(),
                scale: 1,
                transfers: true,
                amount_max: Amount(1)
            }),
            "code=ETH scale=1 transfers=true amount_max=1"
        );
        assert!(
            line(&Operation::Configure { settings: Settings::DEFAULT })
                .contains("ids_retention_millis=600000 ")
        );
        assert!(line(&Operation::StateDigest { digest: [0xab; 32] }).ends_with(&"ab".repeat(32)));
    }

    #[test]
    fn every_field_of_every_operation_has_a_text() {
        for kind in cage_engine::OperationKind::ALL {
            for field in kind.fields() {
                if let Slot::Detail(at) = field.slot {
                    assert!(
                        !detail(field, &[0; 32][at..at + field.bytes]).is_empty() || field.name == "code"
                    );
                }
            }
        }
    }
}
