//! Rows of what the house sets up: settings, rules, prices, grants, assets, games.

use super::{AmountRule, BASE, Effect, Gate, HandsOut, SYSTEM, Spec, check_scale, roles};
use crate::role::Role;

pub(super) const CONFIGURE: Spec = Spec { gates: &[Gate::SettingsFit], effect: Effect::Settings, ..SYSTEM };

pub(super) const SET_RULE: Spec =
    Spec { roles: roles(&[Role::Operator]), gates: &[Gate::RuleFits], effect: Effect::Rule, ..BASE };

pub(super) const PUBLISH_RATE: Spec = Spec {
    roles: roles(&[Role::Operator, Role::Risk]),
    amount: AmountRule::Positive,
    gates: &[Gate::PriceFits],
    effect: Effect::Price,
    ..BASE
};

pub(super) const GRANT: Spec = Spec {
    roles: roles(&[Role::Games, Role::Chain]),
    hands_out: HandsOut::Grant,
    effect: Effect::Grant,
    ..BASE
};

pub(super) const OPEN_ASSET: Spec = Spec {
    roles: roles(&[Role::Operator]),
    opens: true,
    hands_out: HandsOut::Asset,
    amount: AmountRule::Positive,
    check: check_scale,
    gates: &[Gate::AssetFits],
    effect: Effect::Asset,
    ..BASE
};

pub(super) const DISABLE_GAME: Spec =
    Spec { roles: roles(&[Role::Operator, Role::Risk]), effect: Effect::Game, ..BASE };
