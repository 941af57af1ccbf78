//! Rows of prizes, jackpots and free rounds.

use super::{
    AmountRule, BASE, CLEARING, Effect, Gate, IdRule, Refers, SYSTEM, Side, Source, Spec, Venue, check_count,
    check_rate, leg, leg_if_any, roles,
};
use crate::account::Purse;
use crate::role::Role;

pub(super) const PROMO_CREDIT: Spec = Spec {
    roles: roles(&[Role::Games, Role::Cashier]),
    capped: roles(&[Role::Cashier]),
    id: IdRule::Permanent,
    groupable: true,
    venue: Venue::Game,
    amount: AmountRule::Positive,
    gates: &[Gate::AmountBound],
    legs: &[leg(Side::Sponsor, Side::Player(Purse::Available), Source::Amount)],
    effect: Effect::Turnover,
    ..BASE
};

pub(super) const JACKPOT_CONTRIBUTE: Spec = Spec {
    roles: roles(&[Role::Games]),
    opens: true,
    groupable: true,
    venue: Venue::Game,
    amount: AmountRule::Positive,
    check: check_rate,
    gates: &[Gate::AmountBound, Gate::JackpotOwn],
    legs: &[leg(CLEARING, Side::Pool(Purse::Jackpot), Source::Given)],
    effect: Effect::Contributed,
    ..BASE
};

pub(super) const JACKPOT_WIN: Spec = Spec {
    roles: roles(&[Role::Games]),
    id: IdRule::Permanent,
    groupable: true,
    venue: Venue::Game,
    amount: AmountRule::Positive,
    gates: &[Gate::JackpotOwn],
    legs: &[
        leg_if_any(Side::Pool(Purse::Jackpot), Side::Player(Purse::Available), Source::Covered),
        leg_if_any(Side::Pool(Purse::JackpotShortfall), Side::Player(Purse::Available), Source::Uncovered),
    ],
    ..BASE
};

pub(super) const JACKPOT_ADJUST: Spec = Spec {
    roles: roles(&[Role::Operator]),
    capped: roles(&[Role::Operator]),
    id: IdRule::Permanent,
    groupable: true,
    amount: AmountRule::Positive,
    legs: &[
        leg_if_any(Side::House(Purse::Adjustments), Side::Pool(Purse::Jackpot), Source::Given),
        leg_if_any(Side::Pool(Purse::Jackpot), Side::House(Purse::Adjustments), Source::Covered),
    ],
    ..BASE
};

pub(super) const FREEROUND_GRANT: Spec = Spec {
    roles: roles(&[Role::Games, Role::Operator, Role::Cashier]),
    opens: true,
    venue: Venue::Game,
    check: check_count,
    gates: &[Gate::ExpiresAhead],
    effect: Effect::FreeroundOpened,
    ..BASE
};

pub(super) const FREEROUND_CONSUME: Spec = Spec {
    roles: roles(&[Role::Games, Role::Frontend]),
    groupable: true,
    venue: Venue::Game,
    check: check_count,
    refers: Refers::Freeround,
    gates: &[Gate::FreeroundFits, Gate::MayPlay, Gate::SessionFits, Gate::GameEnabled],
    effect: Effect::FreeroundConsumed,
    ..BASE
};

pub(super) const FREEROUND_EXPIRE: Spec = Spec {
    roles: roles(&[Role::Games, Role::Operator]),
    venue: Venue::Game,
    refers: Refers::Freeround,
    gates: &[Gate::FreeroundOwn],
    effect: Effect::FreeroundExpired,
    ..BASE
};

pub(super) const FREEROUND_LAPSE: Spec = Spec {
    refers: Refers::Freeround,
    fills_game: true,
    gates: &[Gate::Due],
    effect: Effect::FreeroundExpired,
    ..SYSTEM
};
