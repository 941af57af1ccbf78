//! Rows of wagers: holds, bets, wins, rounds, and what undoes them.

use super::{
    AmountRule, BASE, CLEARING, Effect, Gate, IdRule, RELEASE, Refers, SYSTEM, Side, Source, Spec, TOP_UP,
    Venue, check_proof, given_or_taken, leg, leg_if_any, roles,
};
use crate::account::Purse;
use crate::role::{Role, RoleSet};

pub(super) const RESERVE: Spec = Spec {
    roles: roles(&[Role::Games, Role::Frontend]),
    opens: true,
    groupable: true,
    venue: Venue::Game,
    amount: AmountRule::Positive,
    refers: Refers::NewHold,
    gates: &[
        Gate::AmountBound,
        Gate::DeadlineAhead,
        Gate::MayPlay,
        Gate::SessionFits,
        Gate::GameEnabled,
        Gate::RoundFits,
        Gate::RoundFinished,
        Gate::WagerLimits,
        Gate::PayoutNamed,
        Gate::ExposureWithin,
    ],
    legs: &[TOP_UP, leg(Side::Stake, Side::Player(Purse::Reserved), Source::Amount)],
    effect: Effect::HoldOpened,
    ..BASE
};

pub(super) const SETTLE: Spec = Spec {
    roles: roles(&[Role::Games]),
    groupable: true,
    venue: Venue::Hold,
    amount: AmountRule::PositiveOrPayout,
    refers: Refers::OpenHold,
    fills_game: true,
    gates: &[Gate::HoldFits, Gate::HoldNotExpired, Gate::StakeRemains, Gate::PayoutWithin],
    legs: &[
        leg(Side::Player(Purse::Reserved), CLEARING, Source::Amount),
        leg(CLEARING, Side::Payout, Source::Payout),
    ],
    effect: Effect::HoldSettled,
    ..BASE
};

pub(super) const CANCEL: Spec = Spec {
    roles: roles(&[Role::Games]),
    groupable: true,
    venue: Venue::Hold,
    refers: Refers::HoldOrTombstone,
    fills_game: true,
    gates: &[Gate::HoldFits, Gate::HoldNotExpired],
    legs: &[RELEASE],
    effect: Effect::HoldCancelled,
    ..BASE
};

pub(super) const EXPIRE: Spec = Spec {
    refers: Refers::OpenHold,
    fills_game: true,
    gates: &[Gate::HoldFits, Gate::Due],
    legs: &[RELEASE],
    effect: Effect::HoldExpired,
    ..SYSTEM
};

pub(super) const BET: Spec = Spec {
    gates: &[
        Gate::AmountBound,
        Gate::MayPlay,
        Gate::SessionFits,
        Gate::GameEnabled,
        Gate::RoundFits,
        Gate::RoundFinished,
        Gate::RoundDecided,
        Gate::WagerLimits,
        Gate::PayoutNamed,
        Gate::ExposureWithin,
    ],
    legs: &[TOP_UP, leg(Side::Stake, CLEARING, Source::Amount)],
    effect: Effect::BetOpened,
    ..PROVIDERS_BET
};

pub(super) const WIN: Spec = Spec {
    roles: roles(&[Role::Games]),
    id: IdRule::Reference,
    groupable: true,
    venue: Venue::Game,
    refers: Refers::Bet,
    gates: &[Gate::BetFits, Gate::RoundDecided],
    legs: &[leg(CLEARING, Side::Payout, Source::Amount)],
    effect: Effect::Won,
    ..BASE
};

pub(super) const BET_WIN: Spec = Spec {
    gates: &[
        Gate::AmountBound,
        Gate::MayPlay,
        Gate::SessionFits,
        Gate::GameEnabled,
        Gate::RoundFits,
        Gate::RoundFinished,
        Gate::RoundDecided,
        Gate::WagerLimits,
        Gate::ExposureWithin,
    ],
    legs: &[TOP_UP, leg(Side::Stake, CLEARING, Source::Amount), leg(CLEARING, Side::Payout, Source::Payout)],
    effect: Effect::BetWon,
    ..PROVIDERS_BET
};

pub(super) const ROLLBACK: Spec = Spec {
    roles: roles(&[Role::Games]),
    id: IdRule::Reference,
    groupable: true,
    venue: Venue::Game,
    refers: Refers::BetOrWin,
    gates: &[Gate::BetFits, Gate::NotWon, Gate::StakeRemains],
    legs: &[
        leg_if_any(CLEARING, Side::Payout, Source::Given),
        leg_if_any(Side::Player(Purse::Allowance), CLEARING, Source::Metered),
        leg_if_any(Side::Player(Purse::Available), CLEARING, Source::Covered),
        leg_if_any(Side::Receivable, CLEARING, Source::Uncovered),
    ],
    effect: Effect::RolledBack,
    ..BASE
};

pub(super) const END_ROUND: Spec = Spec {
    roles: roles(&[Role::Games]),
    groupable: true,
    venue: Venue::Game,
    check: check_proof,
    refers: Refers::Round,
    gates: &[Gate::TargetRoundFits, Gate::RoundDecided],
    effect: Effect::RoundClosed,
    ..BASE
};

pub(super) const CLOSE_ROUND: Spec = Spec {
    refers: Refers::Round,
    fills_game: true,
    gates: &[Gate::Due],
    effect: Effect::RoundClosed,
    ..SYSTEM
};

pub(super) const VOID_ROUND: Spec = Spec {
    roles: roles(&[Role::Games, Role::Operator]),
    venue: Venue::Game,
    refers: Refers::Round,
    gates: &[Gate::TargetRoundFits, Gate::RoundDecided, Gate::OrderCovers],
    legs: &given_or_taken(CLEARING),
    effect: Effect::RoundVoided,
    ..BASE
};

pub(super) const VOID_PERIOD: Spec = Spec {
    roles: roles(&[Role::Operator]),
    opens: true,
    gates: &[Gate::PeriodFits],
    effect: Effect::OrderOpened,
    ..BASE
};

pub(super) const LATE_CORRECTION: Spec = Spec {
    roles: roles(&[Role::Games, Role::Operator]),
    id: IdRule::Permanent,
    venue: Venue::Game,
    amount: AmountRule::Positive,
    gates: &[Gate::KeyIsTransaction, Gate::PeriodFits, Gate::CorrectionFits, Gate::OrderCovers],
    legs: &given_or_taken(CLEARING),
    effect: Effect::Corrected,
    ..BASE
};

const PROVIDERS_BET: Spec = Spec {
    roles: RoleSet::of(&[Role::Games]),
    opens: true,
    groupable: true,
    venue: Venue::Game,
    amount: AmountRule::Positive,
    refers: Refers::NewBet,
    ..BASE
};
