//! The cashier: deposits, addresses, debts, locks, withdrawals, imports.

use cage_engine::{
    Amount, Expiry, LimitKind, LockReason, Operation, OperationKind, PastTransaction, Period, Reference,
    RequestId, Role, SessionId,
};

use super::{Scene, nothing, scene};
use crate::instructions::stage::{ASSET, CHAIN, GAME, START, Stage, debtor, deposit, key, player, reverse};

pub(super) const SCENES: &[Scene] = &[
    scene(OperationKind::DepositCredit, nothing, |stage, number| {
        stage.done(Role::Chain, &deposit(player(number), 5));
    }),
    scene(OperationKind::DepositReverse, credited, |stage, number| {
        let credit = stage.opened[number as usize];
        stage.done(Role::Chain, &reverse(player(number), 5, credit));
    }),
    scene(OperationKind::Chargeback, credited, |stage, number| {
        let deposit = Reference(stage.opened[number as usize].0);
        let (player, amount) = (player(number), Amount(5));
        let back = Operation::Chargeback { player, asset: ASSET, amount, deposit, chain: CHAIN, reason: 1 };
        stage.done(Role::Cashier, &back);
    }),
    scene(OperationKind::AssignAddress, nothing, |stage, number| {
        let (player, chain, fresh) = (player(number), CHAIN, true);
        stage.done(Role::Frontend, &Operation::AssignAddress { player, chain, fresh });
    }),
    scene(OperationKind::Collect, Stage::debtor, |stage, number| {
        let (player, amount) = (debtor(number), Amount::ZERO);
        stage.done(Role::Cashier, &Operation::Collect { player, asset: ASSET, amount });
    }),
    scene(OperationKind::WriteOff, Stage::debtor, |stage, number| {
        let (player, amount, text) = (debtor(number), Amount(5), key(23, number));
        stage.done(Role::Operator, &Operation::WriteOff { player, asset: ASSET, amount, text, reason: 1 });
    }),
    scene(OperationKind::AutoCollect, Stage::debtor, |stage, number| {
        stage.due(&Operation::AutoCollect { player: debtor(number), asset: ASSET });
    }),
    scene(OperationKind::Lock, nothing, lock),
    scene(OperationKind::Unlock, lock, |stage, number| {
        let (player, amount, reason) = (player(number), Amount(5), LockReason::Review);
        stage.done(Role::Risk, &Operation::Unlock { player, asset: ASSET, amount, chain: 0, reason });
    }),
    scene(OperationKind::WithdrawRequest, nothing, request),
    scene(OperationKind::WithdrawApprove, request, approve),
    scene(OperationKind::WithdrawSigned, approved, sign),
    scene(OperationKind::WithdrawSettle, signed, |stage, number| {
        let (player, withdrawal) = (player(number), stage.opened[number as usize]);
        let mut transaction = [0; 32];
        transaction[..16].copy_from_slice(&key(25, number).0.to_le_bytes());
        let settle =
            Operation::WithdrawSettle { player, asset: ASSET, withdrawal, chain: CHAIN, transaction };
        stage.done(Role::Chain, &settle);
    }),
    scene(OperationKind::WithdrawCancel, request, |stage, number| {
        let (player, withdrawal) = (player(number), stage.opened[number as usize]);
        stage.done(Role::Frontend, &Operation::WithdrawCancel { player, asset: ASSET, withdrawal });
    }),
    scene(OperationKind::WithdrawRelease, signed, |stage, number| {
        let (player, withdrawal) = (player(number), stage.opened[number as usize]);
        let evidence = [9; 32];
        let release = Operation::WithdrawRelease { player, asset: ASSET, withdrawal, chain: CHAIN, evidence };
        stage.done(Role::Chain, &release);
    }),
    scene(OperationKind::ImportBalance, nothing, |stage, number| {
        let (player, amount, turnover) = (player(number), Amount(5), Amount::ZERO);
        let import = Operation::ImportBalance { player, asset: ASSET, amount, locked: None, turnover };
        stage.done(Role::Operator, &import);
    }),
    scene(OperationKind::ImportBet, nothing, |stage, number| {
        let import = Operation::ImportBet {
            player: player(number),
            asset: ASSET,
            stake: Amount(5),
            bet: key(1, number),
            game: GAME,
            payout_max: Amount(50),
            round: key(2, number),
        };
        stage.done(Role::Operator, &import);
    }),
    scene(OperationKind::ImportHold, nothing, |stage, number| {
        let import = Operation::ImportHold {
            player: player(number),
            asset: ASSET,
            stake: Amount(5),
            hold: RequestId::from_time(START, 1 << 60 | u128::from(number)),
            game: GAME,
            payout_max: Amount(50),
            expiry: Expiry::Never,
        };
        stage.done(Role::Operator, &import);
    }),
    scene(OperationKind::ImportReference, nothing, |stage, number| {
        let (bet, was) = (key(1, number), PastTransaction::UndoneBet);
        let import =
            Operation::ImportReference { player: player(number), asset: ASSET, bet, game: GAME, was };
        stage.done(Role::Operator, &import);
    }),
    scene(OperationKind::ImportUsage, nothing, |stage, number| {
        let (kind, period, value) = (LimitKind::Wager, Period::Day, Amount(5));
        stage.done(Role::Operator, &Operation::ImportUsage { player: player(number), kind, period, value });
    }),
];

fn credited(stage: &mut Stage, number: u64) {
    stage.opens(Role::Chain, &deposit(player(number), 5));
}

fn lock(stage: &mut Stage, number: u64) {
    let (player, amount, reason) = (player(number), Amount(5), LockReason::Review);
    stage.done(Role::Risk, &Operation::Lock { player, asset: ASSET, amount, reason });
}

fn request(stage: &mut Stage, number: u64) {
    let withdraw = Operation::WithdrawRequest {
        player: player(number),
        asset: ASSET,
        amount: Amount(10),
        session: SessionId(0),
        chain: CHAIN,
        destination: [7; 32],
    };
    stage.opens(Role::Frontend, &withdraw);
}

fn approve(stage: &mut Stage, number: u64) {
    let (player, withdrawal) = (player(number), stage.opened[number as usize]);
    stage.done(Role::Risk, &Operation::WithdrawApprove { player, asset: ASSET, withdrawal });
}

fn approved(stage: &mut Stage, number: u64) {
    request(stage, number);
    approve(stage, number);
}

fn sign(stage: &mut Stage, number: u64) {
    let signed = Operation::WithdrawSigned {
        player: player(number),
        asset: ASSET,
        withdrawal: stage.opened[number as usize],
        chain: CHAIN,
        cost_max: Amount(1),
        slot: key(24, number).0,
        transaction: key(25, number).0,
    };
    stage.done(Role::Chain, &signed);
}

fn signed(stage: &mut Stage, number: u64) {
    approved(stage, number);
    sign(stage, number);
}
