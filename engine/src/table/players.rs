//! Rows of what concerns a player: status, sessions, limits, transfers, exchanges, corrections.

use super::{
    AmountRule, BASE, Effect, Gate, HandsOut, IdRule, METER_BACK, Refers, SYSTEM, Side, Source, Spec, Venue,
    check_limit, check_session, given_or_taken, leg, roles,
};
use crate::account::Purse;
use crate::role::Role;

pub(super) const OPEN_PLAYER: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Operator]),
    opens: true,
    hands_out: HandsOut::Player,
    gates: &[Gate::PlayerFits],
    effect: Effect::Player,
    ..BASE
};

pub(super) const SET_STATUS: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Risk, Role::Operator]),
    groupable: true,
    gates: &[Gate::StatusFits],
    effect: Effect::Status,
    ..BASE
};

pub(super) const SET_KYC_HOLD: Spec =
    Spec { roles: roles(&[Role::Risk, Role::Operator]), groupable: true, effect: Effect::KycHold, ..BASE };

pub(super) const OPEN_SESSION: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Games]),
    opens: true,
    hands_out: HandsOut::Session,
    venue: Venue::Game,
    gates: &[Gate::MayPlay, Gate::MeterFits, Gate::ExpiresAhead],
    effect: Effect::SessionOpened,
    ..BASE
};

pub(super) const REVOKE_SESSION: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Games, Role::Risk, Role::Operator]),
    venue: Venue::Session,
    refers: Refers::Session,
    check: check_session,
    legs: &[METER_BACK],
    effect: Effect::SessionEnded,
    ..BASE
};

pub(super) const SET_LIMIT: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Risk]),
    check: check_limit,
    gates: &[Gate::LimitFits],
    effect: Effect::Limit,
    ..BASE
};

pub(super) const EXPIRE_SESSION: Spec = Spec {
    refers: Refers::Session,
    gates: &[Gate::Due],
    legs: &[METER_BACK],
    effect: Effect::SessionEnded,
    ..SYSTEM
};

pub(super) const TRANSFER: Spec = Spec {
    roles: roles(&[Role::Frontend]),
    opens: true,
    groupable: true,
    counterparty: true,
    amount: AmountRule::Positive,
    gates: &[
        Gate::PlayersDiffer,
        Gate::TransfersAllowed,
        Gate::AmountBound,
        Gate::MayPlay,
        Gate::MayWithdraw,
        Gate::ReceiverMayPlay,
        Gate::SessionFits,
        Gate::NothingOwed,
        Gate::TurnoverDone,
    ],
    legs: &[leg(Side::Player(Purse::Available), Side::Counterparty(Purse::Available), Source::Amount)],
    ..BASE
};

pub(super) const EXCHANGE: Spec = Spec {
    roles: roles(&[Role::Frontend]),
    opens: true,
    groupable: true,
    amount: AmountRule::Positive,
    gates: &[
        Gate::AmountBound,
        Gate::MayPlay,
        Gate::SessionFits,
        Gate::NothingOwed,
        Gate::TurnoverDone,
        Gate::RateFits,
    ],
    legs: &[
        leg(Side::Player(Purse::Available), Side::House(Purse::Fx), Source::Amount),
        leg(Side::HouseOther(Purse::Fx), Side::PlayerOther(Purse::Available), Source::Converted),
    ],
    ..BASE
};

pub(super) const ADJUST: Spec = Spec {
    roles: roles(&[Role::Operator]),
    capped: roles(&[Role::Operator]),
    id: IdRule::Permanent,
    amount: AmountRule::Positive,
    gates: &[Gate::AmountBound],
    effect: Effect::AdjustmentOpened,
    ..BASE
};

pub(super) const ADJUST_APPROVE: Spec = Spec {
    roles: roles(&[Role::Approver]),
    refers: Refers::Adjustment,
    gates: &[Gate::AdjustmentFits, Gate::OtherIdentity],
    legs: &given_or_taken(Side::Corrected),
    effect: Effect::AdjustmentDone,
    ..BASE
};

pub(super) const ADJUST_REJECT: Spec = Spec {
    roles: roles(&[Role::Approver, Role::Operator]),
    refers: Refers::Adjustment,
    gates: &[Gate::AdjustmentFits],
    effect: Effect::AdjustmentRejected,
    ..BASE
};

pub(super) const ALLOWANCE_FUND: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Games]),
    opens: true,
    groupable: true,
    venue: Venue::Session,
    amount: AmountRule::Positive,
    gates: &[
        Gate::AmountBound,
        Gate::MayPlay,
        Gate::SessionFits,
        Gate::SessionMetered,
        Gate::NothingOwed,
        Gate::FundingWithin,
    ],
    legs: &[leg(Side::Player(Purse::Available), Side::Player(Purse::Allowance), Source::Amount)],
    ..BASE
};

pub(super) const ALLOWANCE_RETURN: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Games]),
    groupable: true,
    venue: Venue::Session,
    check: check_session,
    refers: Refers::Session,
    gates: &[Gate::SessionMetered],
    legs: &[leg(Side::Player(Purse::Allowance), Side::Player(Purse::Available), Source::Remaining)],
    ..BASE
};
