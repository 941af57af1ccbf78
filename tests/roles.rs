//! Who may do what, cell by cell, over real certificates.
//!
//! What breaks: a role that is let in where it must not be, or kept out where it must be let in; an operation that is
//! added to the table and not here.

use cage_engine::field::Slot;
use cage_engine::{
    Amount, AssetCode, AssetId, CallerId, LimitKind, Operation, OperationKind, PlayerClass, PlayerId,
    Request, ResultCode, Role, SessionId, Settings,
};
use cage_protocol::{Ask, Read};

use crate::harness::casino::{Casino, key, new_id};
use crate::harness::wire::{Wire, operation_item, read_item};
use crate::harness::{Ledger, folder, log, run};

/// The table as it was agreed, by people.
const MAY: [(OperationKind, &[Role]); 10] = [
    (OperationKind::Configure, &[]),
    (OperationKind::StateDigest, &[]),
    (OperationKind::OpenAsset, &[Role::Operator]),
    (OperationKind::OpenPlayer, &[Role::Frontend, Role::Operator]),
    (OperationKind::DepositCredit, &[Role::Chain, Role::Cashier]),
    (OperationKind::Transfer, &[Role::Frontend]),
    (OperationKind::Reserve, &[Role::Games, Role::Frontend]),
    (OperationKind::Settle, &[Role::Games]),
    (OperationKind::Cancel, &[Role::Games]),
    (OperationKind::Expire, &[]),
];
/// What only the ledger itself does: for callers there is no such operation.
const INTERNAL: [OperationKind; 3] =
    [OperationKind::Configure, OperationKind::StateDigest, OperationKind::Expire];

/// An operation of a kind that would be executed if it were allowed.
fn operation(kind: OperationKind, casino: &Casino, hold: cage_engine::RequestId, number: u128) -> Operation {
    match kind {
        OperationKind::Configure => Operation::Configure { settings: Settings::DEFAULT },
        OperationKind::StateDigest => Operation::StateDigest { digest: [7; 32] },
        OperationKind::OpenAsset => {
            let code = AssetCode::new(&format!("COIN{number}")).expect("a code");
            Operation::OpenAsset { code, scale: 2, transfers: false, amount_max: Amount(1_000) }
        }
        OperationKind::OpenPlayer => Operation::OpenPlayer {
            caller_id: CallerId(1_000 + number),
            brand: 1,
            jurisdiction: 1,
            class: PlayerClass::Real,
        },
        OperationKind::DepositCredit => casino.deposit(0, 10),
        OperationKind::Transfer => casino.transfer(0, 1, 1),
        OperationKind::Reserve => casino.reserve(0, 1, 2),
        OperationKind::Settle => casino.settle(0, hold, 1, 1),
        OperationKind::Cancel => casino.cancel(0, hold),
        OperationKind::Expire => Operation::Expire { player: casino.players[0], asset: casino.asset, hold },
        other => panic!("who may do {}? Say so in this file", other.name()),
    }
}

#[test]
fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let known: Vec<_> = MAY.iter().map(|(kind, _)| *kind).collect();
    assert!(known.iter().all(|kind| OperationKind::ALL.contains(kind)));
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let mut games = Wire::greeted(&ledger, Role::Games).await;
        let mut number = 0;
        for role in Role::CALLERS {
            let mut wire = Wire::greeted(&ledger, role).await;
            for (kind, allowed) in MAY {
                number += 1;
                let hold = new_id();
                assert_eq!(games.operate(hold, &casino.reserve(0, 1, 2)).await.result, ResultCode::Done);
                let id = if kind == OperationKind::DepositCredit { key("role", number) } else { new_id() };
                let asked = operation(kind, &casino, hold, number.into());
                let reply = wire.operate(id, &asked).await;
                let expected = if INTERNAL.contains(&kind) {
                    ResultCode::OperationUnknown
                } else if allowed.contains(&role) {
                    ResultCode::Done
                } else {
                    ResultCode::RoleNotAllowed
                };
                assert_eq!(reply.result, expected, "{} asks for {}", role.name(), kind.name());
                assert_eq!(
                    reply.lsn.0 > 0,
                    expected == ResultCode::Done,
                    "a record only of what was allowed"
                );
                if expected != ResultCode::Done && kind != OperationKind::DepositCredit {
                    // The id is as free as before.
                    let freed = games.operate(id, &casino.reserve(0, 1, 1)).await;
                    assert_eq!(freed.result, ResultCode::Done, "{} {}", role.name(), kind.name());
                }
            }
            // Everybody may read.
            let asset = casino.asset;
            for read in [Read::Balances { player: casino.players[0], asset }, Read::Totals { asset }] {
                assert_eq!(wire.answer(read_item(2, read)).await.result, ResultCode::Done, "{}", role.name());
            }
        }
        ledger.close().await;
        for (lsn, record) in log::records(dir.path()).0 {
            let Some((_, allowed)) = MAY.iter().find(|(kind, _)| *kind == record.request.kind) else {
                continue;
            };
            let internal = INTERNAL.contains(&record.request.kind) && record.role == Role::System;
            assert!(internal || allowed.contains(&record.role), "record {lsn}: {record:?}");
        }
    });
}

/// What a request is refused for without any record does not depend on how often it is asked.
#[test]
fn what_is_not_allowed_leaves_nothing_behind() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let mut wire = Wire::greeted(&ledger, Role::Support).await;
        let lsn = wire.answer(read_item(1, Read::Totals { asset: casino.asset })).await.lsn;
        let id = new_id();
        for _ in 0..100 {
            let reply = wire.answer(operation_item(9, id, &casino.transfer(0, 1, 1))).await;
            assert_eq!((reply.tag, reply.result, reply.lsn.0), (9, ResultCode::RoleNotAllowed, 0));
        }
        let ask = Ask::Read(Read::Totals { asset: casino.asset });
        assert_eq!(wire.answer(ask.to_bytes(1)).await.lsn, lsn, "the log has not grown");
    });
}

/// The least that a request of this kind must say to be one.
fn least(kind: OperationKind, casino: &Casino, id: cage_engine::RequestId) -> Request {
    let mut request = casino.cancel(0, id).request(id);
    (request.kind, request.asset, request.player, request.reference) =
        (kind, AssetId::NONE, PlayerId::NONE, 0);
    for field in kind.fields() {
        match field.slot {
            Slot::Asset => request.asset = casino.asset,
            Slot::Player => request.player = casino.players[0],
            Slot::Reference => request.reference = id.0,
            Slot::Amount => request.amount = Amount(1),
            Slot::Session => request.session = SessionId(1),
            Slot::Game | Slot::EndsRound => {}
            // One is a member of every enumeration, a count and a key.
            Slot::Detail(at) if field.bytes < 32 => request.detail.0[at] = 1,
            Slot::Detail(_) => {}
        }
    }
    match kind {
        OperationKind::OpenAsset => request.detail.0[0] = b'A',
        OperationKind::SetLimit | OperationKind::ImportUsage => {
            request.detail.0[..3].copy_from_slice(&[LimitKind::Loss as u8, 1, 0]);
        }
        OperationKind::Transfer => {
            request.detail.0[..8].copy_from_slice(&casino.players[1].number().to_le_bytes());
        }
        _ => {}
    }
    request
}

/// The engine's own tests compare the table with what people agreed; here it is what the server keeps to.
#[test]
fn every_cell_of_the_table_of_roles_is_kept_over_the_wire() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        for role in Role::CALLERS {
            let mut wire = Wire::greeted(&ledger, role).await;
            for kind in OperationKind::ALL {
                let spec = kind.spec();
                let asked = least(*kind, &casino, new_id());
                let result =
                    wire.answer(Ask::Operation { request: asked, grant: 0 }.to_bytes(1)).await.result;
                let cell = format!("{} asks for {}: {result:?}", role.name(), kind.name());
                if spec.roles.contains(Role::System) {
                    assert_eq!(result, ResultCode::OperationUnknown, "{cell}");
                } else if !spec.roles.contains(role) {
                    assert_eq!(result, ResultCode::RoleNotAllowed, "{cell}");
                } else if *kind == OperationKind::OpenSession {
                    assert_eq!(result, ResultCode::TokenMissing, "{cell}");
                } else {
                    let stopped = [
                        ResultCode::RoleNotAllowed,
                        ResultCode::OperationUnknown,
                        ResultCode::Malformed,
                        ResultCode::PlayerMistyped,
                    ];
                    assert!(!stopped.contains(&result), "{cell}");
                }
            }
        }
        ledger.close().await;
    });
}
