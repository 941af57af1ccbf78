//! Who may ask for what: a table written by hand from the rules of the house, cell by cell.

use cage_engine::{OperationKind, Role};

use OperationKind as Kind;

/// A letter for each role that may, as in the columns of [`ROLES`].
const ROLES: [(char, Role); 10] = [
    ('y', Role::System),
    ('f', Role::Frontend),
    ('c', Role::Cashier),
    ('g', Role::Games),
    ('n', Role::Chain),
    ('r', Role::Risk),
    ('o', Role::Operator),
    ('a', Role::Approver),
    ('u', Role::Auditor),
    ('s', Role::Support),
];

/// Who may; and of these who only up to a bound.
const MATRIX: [(Kind, &str, &str); 62] = [
    (Kind::Configure, "y", ""),
    (Kind::StateDigest, "y", ""),
    (Kind::Continue, "y", ""),
    (Kind::SetRule, "o", ""),
    (Kind::PublishRate, "or", ""),
    (Kind::Grant, "gn", ""),
    (Kind::OpenAsset, "o", ""),
    (Kind::OpenPlayer, "fo", ""),
    (Kind::SetStatus, "ro", ""),
    (Kind::OpenSession, "fg", ""),
    (Kind::RevokeSession, "fgro", ""),
    (Kind::SetLimit, "fr", ""),
    (Kind::DisableGame, "or", ""),
    (Kind::ExpireSession, "y", ""),
    (Kind::DepositCredit, "nc", ""),
    (Kind::DepositReverse, "nc", ""),
    (Kind::Chargeback, "c", ""),
    (Kind::AssignAddress, "fc", ""),
    (Kind::Collect, "oc", ""),
    (Kind::WriteOff, "o", "o"),
    (Kind::Lock, "r", ""),
    (Kind::Unlock, "r", ""),
    (Kind::WithdrawRequest, "fc", ""),
    (Kind::WithdrawApprove, "ra", ""),
    (Kind::WithdrawSigned, "n", ""),
    (Kind::WithdrawSettle, "n", ""),
    (Kind::WithdrawCancel, "fcr", ""),
    (Kind::WithdrawRelease, "an", ""),
    (Kind::AutoCollect, "y", ""),
    (Kind::ImportBalance, "o", ""),
    (Kind::ImportBet, "o", ""),
    (Kind::ImportHold, "o", ""),
    (Kind::ImportReference, "o", ""),
    (Kind::ImportUsage, "o", ""),
    (Kind::Transfer, "f", ""),
    (Kind::Exchange, "f", ""),
    (Kind::Adjust, "o", "o"),
    (Kind::AdjustApprove, "a", ""),
    (Kind::AdjustReject, "ao", ""),
    (Kind::PromoCredit, "gc", "c"),
    (Kind::JackpotContribute, "g", ""),
    (Kind::JackpotWin, "g", ""),
    (Kind::JackpotAdjust, "o", "o"),
    (Kind::FreeroundGrant, "goc", ""),
    (Kind::FreeroundConsume, "gf", ""),
    (Kind::FreeroundExpire, "go", ""),
    (Kind::FreeroundLapse, "y", ""),
    (Kind::AllowanceFund, "fg", ""),
    (Kind::AllowanceReturn, "fg", ""),
    (Kind::Reserve, "gf", ""),
    (Kind::Settle, "g", ""),
    (Kind::Cancel, "g", ""),
    (Kind::Expire, "y", ""),
    (Kind::Bet, "g", ""),
    (Kind::Win, "g", ""),
    (Kind::BetWin, "g", ""),
    (Kind::Rollback, "g", ""),
    (Kind::EndRound, "g", ""),
    (Kind::CloseRound, "y", ""),
    (Kind::VoidRound, "go", ""),
    (Kind::VoidPeriod, "o", ""),
    (Kind::LateCorrection, "go", ""),
];

#[test]
fn every_role_may_do_what_the_house_lets_it_and_nothing_else() {
    for kind in OperationKind::ALL {
        let rows: Vec<_> = MATRIX.iter().filter(|(of, _, _)| of == kind).collect();
        let [(_, may, bounded)] = rows[..] else { panic!("{}: {} rows", kind.name(), rows.len()) };
        for (letter, role) in ROLES {
            let spec = kind.spec();
            let cell = format!("{} by {}", kind.name(), role.name());
            assert_eq!(spec.roles.contains(role), may.contains(letter), "{cell}");
            assert_eq!(spec.capped.contains(role), bounded.contains(letter), "{cell}, up to a bound");
        }
    }
    assert_eq!(MATRIX.len(), OperationKind::ALL.len());
}

#[test]
fn readers_change_nothing_and_only_the_ledger_does_what_is_its_own() {
    for kind in OperationKind::ALL {
        let spec = kind.spec();
        assert!(
            !spec.roles.contains(Role::Auditor) && !spec.roles.contains(Role::Support),
            "{}",
            kind.name()
        );
        let own = spec.id == cage_engine::table::IdRule::Internal;
        assert_eq!(spec.roles.contains(Role::System), own, "{}", kind.name());
    }
}
