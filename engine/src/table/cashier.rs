//! Rows of the cashier: deposits, addresses, debts, locks, withdrawals, imports.

use super::{
    AmountRule, BASE, CLEARING, Effect, Gate, HandsOut, IdRule, LegSpec, Refers, SYSTEM, Side, Source, Spec,
    Venue, check_transaction, check_usage, leg, leg_if_any, roles,
};
use crate::account::Purse;
use crate::role::{Role, RoleSet};

pub(super) const DEPOSIT_CREDIT: Spec = Spec {
    roles: roles(&[Role::Chain, Role::Cashier]),
    id: IdRule::Permanent,
    groupable: true,
    venue: Venue::Chain,
    amount: AmountRule::Positive,
    gates: &[Gate::AmountBound, Gate::MayFund, Gate::DepositLimits],
    legs: &[leg(Side::Chain(Purse::DepositClearing), Side::Deposit, Source::Amount)],
    effect: Effect::Deposited,
    ..BASE
};

pub(super) const DEPOSIT_REVERSE: Spec = Spec { roles: roles(&[Role::Chain, Role::Cashier]), ..REVERSAL };

pub(super) const CHARGEBACK: Spec = Spec { roles: roles(&[Role::Cashier]), ..REVERSAL };

pub(super) const ASSIGN_ADDRESS: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Cashier]),
    opens: true,
    hands_out: HandsOut::Address,
    effect: Effect::Address,
    ..BASE
};

pub(super) const COLLECT: Spec = Spec {
    roles: roles(&[Role::Operator, Role::Cashier]),
    gates: &[Gate::Collectable],
    legs: &[COLLECTED],
    ..BASE
};

pub(super) const WRITE_OFF: Spec = Spec {
    roles: roles(&[Role::Operator]),
    capped: roles(&[Role::Operator]),
    amount: AmountRule::Positive,
    gates: &[Gate::Owed],
    legs: &[leg(Side::House(Purse::WriteOffs), Side::Receivable, Source::Amount)],
    ..BASE
};

pub(super) const LOCK: Spec = Spec {
    roles: roles(&[Role::Risk]),
    groupable: true,
    amount: AmountRule::Positive,
    legs: &[leg(Side::Player(Purse::Available), Side::Player(Purse::Locked), Source::Amount)],
    effect: Effect::Locked,
    ..BASE
};

pub(super) const UNLOCK: Spec = Spec {
    roles: roles(&[Role::Risk, Role::Chain, Role::Cashier]),
    groupable: true,
    venue: Venue::Chain,
    amount: AmountRule::Positive,
    gates: &[Gate::Unlockable, Gate::LockedEnough],
    legs: &[leg_if_any(Side::Player(Purse::Locked), Side::Player(Purse::Available), Source::Freed)],
    effect: Effect::Unlocked,
    ..BASE
};

pub(super) const WITHDRAW_REQUEST: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Cashier]),
    opens: true,
    amount: AmountRule::Positive,
    gates: &[
        Gate::AmountBound,
        Gate::MayWithdraw,
        Gate::SessionFits,
        Gate::NothingOwed,
        Gate::TurnoverDone,
        Gate::FeeFits,
    ],
    legs: &[
        leg_if_any(Side::Player(Purse::Available), Side::Player(Purse::Withdrawing), Source::Covered),
        leg_if_any(Side::Player(Purse::Locked), Side::Player(Purse::Withdrawing), Source::Uncovered),
    ],
    effect: Effect::WithdrawalOpened,
    ..BASE
};

pub(super) const WITHDRAW_APPROVE: Spec = Spec {
    roles: roles(&[Role::Risk, Role::Approver]),
    refers: Refers::Withdrawal,
    gates: &[Gate::WithdrawalFits, Gate::MayWithdraw, Gate::NothingOwed, Gate::Approvable],
    effect: Effect::WithdrawalApproved,
    ..BASE
};

pub(super) const WITHDRAW_SIGNED: Spec = Spec {
    roles: roles(&[Role::Chain]),
    id: IdRule::Permanent,
    venue: Venue::Chain,
    check: check_transaction,
    refers: Refers::Withdrawal,
    gates: &[Gate::WithdrawalFits, Gate::MayPayOut, Gate::NothingOwedOrSigned, Gate::Signable],
    effect: Effect::WithdrawalSigned,
    ..BASE
};

pub(super) const WITHDRAW_SETTLE: Spec = Spec {
    roles: roles(&[Role::Chain]),
    id: IdRule::Permanent,
    venue: Venue::Chain,
    refers: Refers::Withdrawal,
    gates: &[Gate::WithdrawalFits, Gate::Signed, Gate::TransactionKnown],
    legs: &[
        leg(Side::Player(Purse::Withdrawing), Side::Chain(Purse::WithdrawalClearing), Source::Remaining),
        leg_if_any(Side::Player(Purse::Withdrawing), Side::House(Purse::Fees), Source::Fee),
    ],
    effect: Effect::WithdrawalSettled,
    ..BASE
};

pub(super) const WITHDRAW_CANCEL: Spec = Spec {
    roles: roles(&[Role::Frontend, Role::Cashier, Role::Risk]),
    gates: &[Gate::WithdrawalFits, Gate::NotSigned],
    ..WITHDRAWAL_GIVEN_UP
};

pub(super) const WITHDRAW_RELEASE: Spec = Spec {
    roles: roles(&[Role::Approver, Role::Chain]),
    venue: Venue::Chain,
    gates: &[Gate::WithdrawalFits, Gate::Signed, Gate::Releasable],
    ..WITHDRAWAL_GIVEN_UP
};

pub(super) const AUTO_COLLECT: Spec = Spec { gates: &[Gate::Collectable], legs: &[COLLECTED], ..SYSTEM };

pub(super) const IMPORT_BALANCE: Spec = Spec {
    legs: &[leg(Side::House(Purse::Imports), Side::Deposit, Source::Amount)],
    effect: Effect::BalanceImported,
    ..IMPORT
};

pub(super) const IMPORT_BET: Spec = Spec {
    refers: Refers::Unknown,
    gates: &[Gate::Importing, Gate::RoundFits],
    legs: &[leg(Side::House(Purse::Imports), CLEARING, Source::Amount)],
    effect: Effect::BetImported,
    ..IMPORT
};

pub(super) const IMPORT_HOLD: Spec = Spec {
    refers: Refers::Unknown,
    legs: &[leg(Side::House(Purse::Imports), Side::Player(Purse::Reserved), Source::Amount)],
    effect: Effect::HoldImported,
    ..IMPORT
};

pub(super) const IMPORT_REFERENCE: Spec = Spec {
    amount: AmountRule::Any,
    refers: Refers::Unknown,
    gates: &[Gate::ImportOpen],
    effect: Effect::ReferenceImported,
    ..IMPORT
};

pub(super) const IMPORT_USAGE: Spec = Spec {
    check: check_usage,
    gates: &[Gate::ImportOpen, Gate::LimitFits],
    effect: Effect::UsageImported,
    ..IMPORT
};

const COLLECTED: LegSpec = leg(Side::Player(Purse::Available), Side::Receivable, Source::Given);

const TAKEN_BACK: Side = Side::Chain(Purse::DepositClearing);

const REVERSAL: Spec = Spec {
    id: IdRule::Permanent,
    groupable: true,
    venue: Venue::Chain,
    amount: AmountRule::Positive,
    refers: Refers::Deposit,
    gates: &[Gate::DepositFits],
    legs: &[
        leg_if_any(Side::Player(Purse::Locked), TAKEN_BACK, Source::Locked),
        leg_if_any(Side::Player(Purse::Available), TAKEN_BACK, Source::Covered),
        leg_if_any(Side::Receivable, TAKEN_BACK, Source::Uncovered),
    ],
    effect: Effect::DepositReversed,
    ..BASE
};

const WITHDRAWAL_GIVEN_UP: Spec = Spec {
    refers: Refers::Withdrawal,
    legs: &[
        leg_if_any(Side::Player(Purse::Withdrawing), Side::Player(Purse::Available), Source::Free),
        leg_if_any(Side::Player(Purse::Withdrawing), Side::Player(Purse::Locked), Source::Locked),
    ],
    effect: Effect::WithdrawalCancelled,
    ..BASE
};

const IMPORT: Spec = Spec {
    roles: RoleSet::of(&[Role::Operator]),
    id: IdRule::Permanent,
    amount: AmountRule::Positive,
    gates: &[Gate::Importing],
    ..BASE
};
