//! Requests that are as they must be, made from the list of fields; by them it is seen what must be there.

use cage_engine::field::{FieldSpec, Slot};
use cage_engine::request::{DETAIL_BYTES, Detail};
use cage_engine::{
    Amount, AssetId, GameId, LimitKind, Operation, OperationKind, PlayerId, Request, RequestId, SessionId,
};

const FILLED: u8 = 1;

fn empty(kind: OperationKind) -> Request {
    Request {
        kind,
        asset: AssetId::NONE,
        linked: false,
        ends_round: false,
        id: RequestId(1),
        reference: 0,
        amount: Amount::ZERO,
        player: PlayerId::NONE,
        session: SessionId::NONE,
        game: GameId::default(),
        detail: Detail([0; DETAIL_BYTES]),
    }
}

/// Every place that the operation has a field for is filled with something that is allowed there.
fn filled(kind: OperationKind) -> Request {
    let mut request = empty(kind);
    for field in kind.fields() {
        fill(&mut request, field);
    }
    let at = |name| kind.fields().iter().find(|field| field.name == name).map(|field| field.slot);
    // Some values go together.
    match kind {
        OperationKind::SetLimit => request.amount = Amount::ZERO,
        OperationKind::ImportUsage => request.detail.0[0] = LimitKind::Loss as u8,
        _ => {}
    }
    if let (OperationKind::SetLimit, Some(Slot::Detail(place))) = (kind, at("kind")) {
        request.detail.0[place] = LimitKind::Loss as u8;
    }
    request
}

fn fill(request: &mut Request, field: &FieldSpec) {
    match field.slot {
        Slot::Asset => request.asset = AssetId(1),
        Slot::Player => request.player = PlayerId::from_index(0),
        Slot::Amount => request.amount = Amount(1),
        Slot::Reference => request.reference = 1,
        Slot::Session => request.session = SessionId(1),
        Slot::Game => request.game = GameId(1),
        Slot::EndsRound => request.ends_round = true,
        Slot::Detail(at) => {
            request.detail.0[at] = FILLED;
            if field.name == "code" {
                request.detail.0[at] = b'A';
            }
            if field.name == "to" && field.bytes == 8 {
                let number = PlayerId::from_index(1).number().to_le_bytes();
                request.detail.0[at..at + 8].copy_from_slice(&number);
            }
        }
    }
}

fn clear(request: &mut Request, field: &FieldSpec) {
    match field.slot {
        Slot::Asset => request.asset = AssetId::NONE,
        Slot::Player => request.player = PlayerId::NONE,
        Slot::Amount => request.amount = Amount::ZERO,
        Slot::Reference => request.reference = 0,
        Slot::Session => request.session = SessionId::NONE,
        Slot::Game => request.game = GameId::default(),
        Slot::EndsRound => request.ends_round = false,
        Slot::Detail(at) => request.detail.0[at..at + field.bytes].fill(0),
    }
}

/// Whether the request is refused for its bytes if this field is zero.
///
/// # Panics
/// If no request can be made from the list of fields that is accepted.
pub(crate) fn must_be_there(kind: OperationKind, field: &FieldSpec) -> bool {
    if kind.spec().roles.contains(cage_engine::Role::System) {
        return false;
    }
    let request = filled(kind);
    assert_eq!(request.check(), Ok(()), "{}: a request as it must be", kind.name());
    assert!(Operation::try_from(&request).is_ok(), "{}: and back", kind.name());
    let mut without = request;
    clear(&mut without, field);
    without.check().is_err()
}
