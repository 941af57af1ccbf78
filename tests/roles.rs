//! Who may do what, cell by cell, over real certificates.
//!
//! What breaks: a role that is let in where it must not be, or kept out where it must be let in; an operation that is
//! added to the table and not here.

use cage_engine::{
    Amount, AssetCode, CallerId, Operation, OperationKind, PlayerClass, ResultCode, Role, Settings,
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
        OperationKind::Configure => Operation::Configure(Settings::DEFAULT),
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
    assert_eq!(known, OperationKind::ALL, "this file knows every operation");
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
            let (_, allowed) =
                MAY.iter().find(|(kind, _)| *kind == record.request.kind).expect("a known kind");
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
