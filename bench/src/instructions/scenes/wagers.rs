//! Wagers in one step and in two, rounds, what is undone.

use cage_engine::{
    Amount, Expiry, LimitKind, Lsn, Operation, OperationKind, Period, RequestId, Role, SessionId,
};

use super::players::{hour, open_metered};
use super::{Scene, besides, nothing, scene};
use crate::instructions::stage::{ASSET, GAME, PLAYERS, Stage, admitted, key, player, session};

pub(super) const SCENES: &[Scene] = &[
    scene(OperationKind::Reserve, nothing, hold),
    besides("reserve, limits", OperationKind::Reserve, limited, hold),
    besides("reserve, refused", OperationKind::Reserve, nothing, |stage, number| {
        stage.done(Role::Games, &reserve(number, 1 << 50, Expiry::Never));
    }),
    // A repetition leaves no record: the last one is that of a hold.
    besides("reserve, repeated", OperationKind::Reserve, hold, |stage, number| {
        stage.ask(Role::Games, stage.opened[number as usize], &reserve(number, 100, Expiry::Never));
    }),
    scene(OperationKind::Settle, hold, |stage, number| {
        let (player, hold) = (player(number), stage.opened[number as usize]);
        let (stake, payout) = (Amount(100), Amount(200));
        stage.done(Role::Games, &Operation::Settle { player, asset: ASSET, hold, stake, payout });
    }),
    scene(OperationKind::Cancel, hold, |stage, number| {
        let (player, hold) = (player(number), stage.opened[number as usize]);
        stage.done(Role::Games, &Operation::Cancel { player, asset: ASSET, hold });
    }),
    scene(
        OperationKind::Expire,
        |stage, number| stage.opens(Role::Games, &reserve(number, 100, Expiry::Release(hour()))),
        |stage, number| {
            let (player, hold) = (player(number), stage.opened[number as usize]);
            stage.due(&Operation::Expire { player, asset: ASSET, hold });
        },
    ),
    scene(OperationKind::Bet, nothing, place),
    besides("bet, credit meter", OperationKind::Bet, metered, |stage, number| {
        let mut bet = bet(number);
        if let Operation::Bet { session: of_bet, .. } = &mut bet {
            *of_bet = session(number % u64::from(PLAYERS));
        }
        stage.done(Role::Games, &bet);
    }),
    besides("bet + win, group", OperationKind::Win, nothing, |stage, number| {
        let id = stage.id();
        let mut first = admitted(Role::Games, 1, id, &bet(number));
        first.request.linked = true;
        let second = admitted(Role::Games, 1, RequestId(key(4, number).0), &win(number));
        stage.group(&[first, second]);
    }),
    scene(OperationKind::Win, place, |stage, number| {
        stage.ask(Role::Games, RequestId(key(4, number).0), &win(number));
    }),
    scene(OperationKind::BetWin, nothing, |stage, number| {
        let Operation::Bet { player, asset, stake, bet, game, session, round, .. } = bet(number) else {
            unreachable!("a bet is a bet")
        };
        let (payout, ends_round) = (Amount(150), true);
        let both = Operation::BetWin { player, asset, stake, bet, game, session, payout, round, ends_round };
        stage.done(Role::Games, &both);
    }),
    scene(OperationKind::Rollback, place, |stage, number| {
        let undo = Operation::Rollback {
            player: player(number),
            asset: ASSET,
            amount: Amount::ZERO,
            target: key(1, number),
            game: GAME,
            target_lsn: Lsn(0),
            reverse_settled: false,
            round: None,
        };
        stage.ask(Role::Games, RequestId(key(5, number).0), &undo);
    }),
    scene(OperationKind::EndRound, place, |stage, number| {
        let (round, algorithm, proof) = (key(2, number), 1, [3; 30]);
        let player = player(number);
        let end = Operation::EndRound { player, asset: ASSET, round, game: GAME, algorithm, proof };
        stage.done(Role::Games, &end);
    }),
    scene(OperationKind::CloseRound, place, |stage, number| {
        stage.due(&Operation::CloseRound { player: player(number), asset: ASSET, round: key(2, number) });
    }),
    scene(OperationKind::VoidRound, place, |stage, number| {
        let (player, round) = (player(number), key(2, number));
        let void = Operation::VoidRound { player, asset: ASSET, round, game: GAME, order: None, reason: 1 };
        stage.done(Role::Games, &void);
    }),
    scene(OperationKind::LateCorrection, nothing, |stage, number| {
        let transaction = key(6, number);
        let correction = Operation::LateCorrection {
            player: player(number),
            asset: ASSET,
            amount: Amount(5),
            transaction,
            game: GAME,
            original: Lsn(9),
            debit: false,
            reason: 1,
            order: None,
        };
        stage.ask(Role::Games, RequestId(transaction.0), &correction);
    }),
];

/// A bet in a round of its own.
pub(super) const fn bet(number: u64) -> Operation {
    Operation::Bet {
        player: player(number),
        asset: ASSET,
        stake: Amount(100),
        bet: key(1, number),
        game: GAME,
        session: SessionId(0),
        payout_max: Amount(200),
        round: key(2, number),
        ends_round: false,
    }
}

/// What it wins, and the end of its round.
const fn win(number: u64) -> Operation {
    Operation::Win {
        player: player(number),
        asset: ASSET,
        amount: Amount(150),
        bet: key(1, number),
        game: GAME,
        target: Lsn(0),
        round: Some(key(2, number)),
        ends_round: true,
    }
}

const fn reserve(number: u64, stake: u128, expiry: Expiry) -> Operation {
    Operation::Reserve {
        player: player(number),
        asset: ASSET,
        stake: Amount(stake),
        payout_max: Amount(200),
        game: GAME,
        session: SessionId(0),
        round: None,
        expiry,
    }
}

fn place(stage: &mut Stage, number: u64) {
    stage.done(Role::Games, &bet(number));
}

fn hold(stage: &mut Stage, number: u64) {
    stage.opens(Role::Games, &reserve(number, 100, Expiry::Never));
}

/// A meter for each player.
fn metered(stage: &mut Stage, number: u64) {
    if number < u64::from(PLAYERS) {
        open_metered(stage, number);
    }
}

/// Limits for each player.
fn limited(stage: &mut Stage, number: u64) {
    if number >= u64::from(PLAYERS) {
        return;
    }
    for period in [Period::Day, Period::Week, Period::Month] {
        let (kind, remove, value) = (LimitKind::Loss, false, Amount(1 << 50));
        stage.done(
            Role::Frontend,
            &Operation::SetLimit { player: player(number), kind, period, remove, value },
        );
    }
}
