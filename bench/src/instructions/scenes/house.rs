//! The ledger itself: settings, rules, prices, grants, assets, games.

use cage_engine::{Amount, GameId, Lsn, Operation, OperationKind, Role, Rule};

use super::{Scene, nothing, scene};
use crate::instructions::stage::{ASSET, COIN, GAME, Stage, configure, key, open_asset, session};

pub(super) const SCENES: &[Scene] = &[
    // The memory of ids is laid out anew, all of it.
    Scene {
        many: 6,
        ..scene(OperationKind::Configure, nothing, |stage, _| {
            stage.done(Role::System, &configure());
        })
    },
    scene(OperationKind::StateDigest, nothing, |stage, _| {
        stage.done(Role::System, &Operation::StateDigest { digest: [7; 32] });
    }),
    // A stake that tops a meter up and pays has a leg more than a record has room for: both records are counted.
    scene(OperationKind::Continue, metered, |stage, number| {
        let Operation::Bet { player, asset, stake, bet, game, round, .. } = super::wagers::bet(number) else {
            unreachable!("a bet is a bet")
        };
        let (session, payout, ends_round) = (session(number), Amount(150), true);
        let both = Operation::BetWin { player, asset, stake, bet, game, session, payout, round, ends_round };
        stage.done(Role::Games, &both);
    }),
    scene(OperationKind::SetRule, nothing, |stage, number| {
        let (rule, scope) = (Rule::SessionsRequired, 2 + number);
        stage.done(Role::Operator, &Operation::SetRule { rule, scope, value: 1 });
    }),
    scene(OperationKind::PublishRate, nothing, |stage, number| {
        let price = Amount(2_000_000_000 + u128::from(number));
        stage.done(Role::Risk, &Operation::PublishRate { asset: COIN, price });
    }),
    scene(OperationKind::Grant, nothing, |stage, _| {
        stage.done(Role::Games, &Operation::Grant { venue: 77 });
    }),
    // There are not many assets; each is looked for among those before it.
    Scene {
        many: 900,
        ..scene(OperationKind::OpenAsset, nothing, |stage, number| {
            stage.done(Role::Operator, &open_asset(&format!("ASSET-{number}")));
        })
    },
    scene(OperationKind::DisableGame, nothing, |stage, number| {
        let (game, disabled) = (GameId::new(2, 7), number % 2 == 0);
        stage.done(Role::Risk, &Operation::DisableGame { game, disabled });
    }),
    scene(OperationKind::VoidPeriod, nothing, |stage, number| {
        let order = Operation::VoidPeriod {
            asset: ASSET,
            amount: Amount(1_000),
            text: key(20, number),
            game: GAME,
            from: Lsn(1),
            to: Lsn(9),
            count: 5,
        };
        stage.done(Role::Operator, &order);
    }),
];

/// A session with a meter for each telling.
pub(super) fn metered(stage: &mut Stage, number: u64) {
    super::players::open_metered(stage, number);
}
