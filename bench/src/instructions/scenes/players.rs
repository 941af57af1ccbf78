//! Players: status, sessions, limits, meters, transfers, exchanges, corrections.

use cage_engine::{
    Amount, LimitKind, Operation, OperationKind, Period, RequestId, Role, SessionId, Status, Timestamp,
};

use super::{Scene, nothing, scene};
use crate::instructions::stage::{
    ASSET, COIN, GAME, PLAYERS, START, Stage, key, open_player, player, session, transfer,
};

pub(super) const SCENES: &[Scene] = &[
    scene(OperationKind::OpenPlayer, nothing, |stage, number| {
        stage.done(Role::Frontend, &open_player(u128::from(u64::from(PLAYERS) + number)));
    }),
    scene(OperationKind::SetStatus, nothing, |stage, number| {
        let (player, status) = (player(number), Status::Active);
        stage.done(Role::Risk, &Operation::SetStatus { player, status, reason: 1 });
    }),
    scene(OperationKind::OpenSession, nothing, open_metered),
    scene(OperationKind::RevokeSession, funded, |stage, number| {
        let (player, session) = (player(number), session(number));
        stage.done(Role::Frontend, &Operation::RevokeSession { player, session });
    }),
    scene(OperationKind::SetLimit, nothing, |stage, number| {
        let value = Amount((1 << 50) - u128::from(number));
        let (kind, period, remove) = (LimitKind::Wager, Period::Day, false);
        stage.done(
            Role::Frontend,
            &Operation::SetLimit { player: player(number), kind, period, remove, value },
        );
    }),
    scene(OperationKind::ExpireSession, funded, |stage, number| {
        stage.due(&Operation::ExpireSession { player: player(number), session: session(number) });
    }),
    scene(OperationKind::SetKycHold, nothing, |stage, number| {
        let (player, text, held) = (player(number), key(21, number), number % 2 == 0);
        stage.done(Role::Risk, &Operation::SetKycHold { player, text, text_rest: 1, reason: 1, held });
    }),
    scene(OperationKind::Transfer, nothing, |stage, number| {
        stage.done(Role::Frontend, &transfer(player(number), player(number + 1), 1));
    }),
    scene(OperationKind::Exchange, nothing, |stage, number| {
        let exchange = Operation::Exchange {
            player: player(number),
            asset: ASSET,
            amount: Amount(1_000),
            session: SessionId(0),
            to: COIN,
            at_least: Amount(1),
        };
        stage.done(Role::Frontend, &exchange);
    }),
    scene(OperationKind::Adjust, nothing, propose),
    scene(OperationKind::AdjustApprove, propose, |stage, number| {
        let (player, adjustment) = (player(number), stage.opened[number as usize]);
        stage.checked(Role::Approver, &Operation::AdjustApprove { player, asset: ASSET, adjustment });
    }),
    scene(OperationKind::AdjustReject, propose, |stage, number| {
        let (player, adjustment) = (player(number), stage.opened[number as usize]);
        stage.checked(Role::Approver, &Operation::AdjustReject { player, asset: ASSET, adjustment });
    }),
    scene(OperationKind::AllowanceFund, open_metered, fund),
    scene(OperationKind::AllowanceReturn, funded, |stage, number| {
        let (player, session) = (player(number), session(number));
        let amount = Amount(4);
        stage.done(Role::Frontend, &Operation::AllowanceReturn { player, asset: ASSET, amount, session });
    }),
];

/// A session with a credit meter, for an hour.
pub(super) fn open_metered(stage: &mut Stage, number: u64) {
    let open = Operation::OpenSession {
        player: player(number),
        token: key(3, number),
        asset: Some(ASSET),
        topup_max: Amount(1 << 40),
        game: GAME,
        expires: hour(),
    };
    stage.done(Role::Frontend, &open);
}

pub(super) const fn hour() -> Timestamp {
    START.plus_millis(3_600_000)
}

fn fund(stage: &mut Stage, number: u64) {
    let (player, session) = (player(number), session(number));
    let amount = Amount(10);
    stage.done(Role::Frontend, &Operation::AllowanceFund { player, asset: ASSET, amount, session });
}

/// A session whose meter holds something.
fn funded(stage: &mut Stage, number: u64) {
    open_metered(stage, number);
    fund(stage, number);
}

fn propose(stage: &mut Stage, number: u64) {
    let id: RequestId = stage.id();
    let proposal = Operation::Adjust {
        player: player(number),
        asset: ASSET,
        amount: Amount(5),
        text: key(22, number),
        text_rest: 1,
        reason: 1,
        debit: false,
    };
    stage.ask(Role::Operator, id, &proposal);
    stage.opened.push(id);
}
