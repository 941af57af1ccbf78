//! Prizes, jackpots, free rounds.

use cage_engine::{Amount, Operation, OperationKind, Role, SessionId};

use super::players::hour;
use super::{Scene, nothing, scene};
use crate::instructions::stage::{ASSET, GAME, POOL, Stage, key, player};

pub(super) const SCENES: &[Scene] = &[
    scene(OperationKind::PromoCredit, nothing, |stage, number| {
        let prize = Operation::PromoCredit {
            player: player(number),
            asset: ASSET,
            amount: Amount(5),
            game: GAME,
            campaign: None,
            house_paid: true,
            turnover: Amount::ZERO,
        };
        stage.done(Role::Games, &prize);
    }),
    scene(OperationKind::JackpotContribute, nothing, |stage, number| {
        let share = Operation::JackpotContribute {
            asset: ASSET,
            base: Amount(1_234),
            game: GAME,
            bet: Some(key(1, number)),
            pool: POOL,
            rate_ppm: 15_000,
        };
        stage.done(Role::Games, &share);
    }),
    scene(OperationKind::JackpotWin, seed, |stage, number| {
        let win = Operation::JackpotWin {
            player: player(number),
            asset: ASSET,
            amount: Amount(5),
            game: GAME,
            bet: Some(key(1, number)),
            pool: POOL,
            shown: 5,
        };
        stage.done(Role::Games, &win);
    }),
    scene(OperationKind::JackpotAdjust, nothing, seed),
    scene(OperationKind::FreeroundGrant, nothing, grant),
    scene(OperationKind::FreeroundConsume, grant, |stage, number| {
        let consume = Operation::FreeroundConsume {
            player: player(number),
            grant: stage.opened[number as usize],
            session: SessionId(0),
            game: GAME,
            count: 4,
        };
        stage.done(Role::Games, &consume);
    }),
    scene(OperationKind::FreeroundExpire, grant, |stage, number| {
        let (player, grant) = (player(number), stage.opened[number as usize]);
        stage.done(Role::Games, &Operation::FreeroundExpire { player, grant, game: GAME });
    }),
    scene(OperationKind::FreeroundLapse, grant, |stage, number| {
        let (player, grant) = (player(number), stage.opened[number as usize]);
        stage.due(&Operation::FreeroundLapse { player, grant });
    }),
];

fn seed(stage: &mut Stage, number: u64) {
    let seed = Operation::JackpotAdjust {
        asset: ASSET,
        amount: Amount(400),
        text: key(26, number),
        pool: POOL,
        debit: false,
        reason: 1,
        text_rest: 1,
    };
    stage.done(Role::Operator, &seed);
}

fn grant(stage: &mut Stage, number: u64) {
    let grant = Operation::FreeroundGrant {
        player: player(number),
        asset: ASSET,
        bet_value: Amount(1),
        game: GAME,
        count: 10,
        expires: hour(),
    };
    stage.opens(Role::Games, &grant);
}
