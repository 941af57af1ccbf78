//! What can be said of a request before the books are opened: its kind of id, what its bytes may be, who may ask.
//!
//! Written down again by hand, from the documents.

use cage_engine::field::{Rule, Slot};
use cage_engine::id::Reference;
use cage_engine::{Amount, Operation, OperationKind, PlayerId, RequestId, ResultCode, Role};

use OperationKind as Kind;
use cage_engine::field::{LimitKind, Period};

/// Where an id is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdKind {
    /// Only the ledger itself asks: there is none.
    Internal,
    /// Among the recent ones.
    Request,
    /// For ever, once executed.
    Permanent,
    /// It is a provider's transaction: as long as what it belongs to.
    Reference,
}

pub(crate) const fn id_kind(kind: Kind) -> IdKind {
    match kind {
        Kind::Configure
        | Kind::StateDigest
        | Kind::Continue
        | Kind::ExpireSession
        | Kind::AutoCollect
        | Kind::FreeroundLapse
        | Kind::Expire
        | Kind::CloseRound => IdKind::Internal,
        Kind::DepositCredit
        | Kind::DepositReverse
        | Kind::Chargeback
        | Kind::WithdrawSigned
        | Kind::WithdrawSettle
        | Kind::ImportBalance
        | Kind::ImportBet
        | Kind::ImportHold
        | Kind::ImportReference
        | Kind::ImportUsage
        | Kind::Adjust
        | Kind::PromoCredit
        | Kind::JackpotWin
        | Kind::JackpotAdjust
        | Kind::LateCorrection => IdKind::Permanent,
        Kind::Win | Kind::Rollback => IdKind::Reference,
        _ => IdKind::Request,
    }
}

/// Whether it opens something or lets money go out, so that it must not be taken for new when it is not.
pub(crate) const fn opens(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::OpenAsset
            | Kind::OpenPlayer
            | Kind::OpenSession
            | Kind::AssignAddress
            | Kind::WithdrawRequest
            | Kind::Transfer
            | Kind::Exchange
            | Kind::JackpotContribute
            | Kind::FreeroundGrant
            | Kind::AllowanceFund
            | Kind::Reserve
            | Kind::Bet
            | Kind::BetWin
            | Kind::VoidPeriod
    )
}

pub(crate) const fn is_groupable(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Bet
            | Kind::Win
            | Kind::BetWin
            | Kind::Rollback
            | Kind::Reserve
            | Kind::Settle
            | Kind::Cancel
            | Kind::EndRound
            | Kind::Transfer
            | Kind::DepositCredit
            | Kind::PromoCredit
            | Kind::JackpotContribute
            | Kind::JackpotWin
            | Kind::JackpotAdjust
            | Kind::FreeroundConsume
            | Kind::AllowanceFund
            | Kind::AllowanceReturn
            | Kind::Exchange
            | Kind::DepositReverse
            | Kind::Chargeback
            | Kind::SetStatus
            | Kind::SetKycHold
            | Kind::Lock
            | Kind::Unlock
    )
}

/// Who may ask for it.
pub(crate) const fn roles(kind: Kind) -> &'static [Role] {
    use Role::{Approver, Cashier, Chain, Frontend, Games, Operator, Risk, System};
    match kind {
        Kind::SetRule
        | Kind::OpenAsset
        | Kind::WriteOff
        | Kind::ImportBalance
        | Kind::ImportBet
        | Kind::ImportHold
        | Kind::ImportReference
        | Kind::ImportUsage
        | Kind::Adjust
        | Kind::JackpotAdjust
        | Kind::VoidPeriod => &[Operator],
        Kind::PublishRate | Kind::DisableGame | Kind::SetKycHold => &[Operator, Risk],
        Kind::SetStatus => &[Risk, Operator, Frontend],
        Kind::Grant => &[Games, Chain],
        Kind::OpenPlayer => &[Frontend, Operator],
        Kind::OpenSession
        | Kind::AllowanceFund
        | Kind::AllowanceReturn
        | Kind::Reserve
        | Kind::FreeroundConsume => &[Frontend, Games],
        Kind::RevokeSession => &[Frontend, Games, Risk, Operator],
        Kind::SetLimit => &[Frontend, Risk],
        Kind::DepositCredit | Kind::DepositReverse => &[Chain, Cashier],
        Kind::Chargeback => &[Cashier],
        Kind::AssignAddress | Kind::WithdrawRequest => &[Frontend, Cashier],
        Kind::Collect => &[Operator, Cashier],
        Kind::Lock => &[Risk],
        Kind::Unlock => &[Risk, Chain, Cashier],
        Kind::WithdrawApprove => &[Risk, Approver],
        Kind::WithdrawSigned | Kind::WithdrawSettle => &[Chain],
        Kind::WithdrawCancel => &[Frontend, Cashier, Risk],
        Kind::WithdrawRelease => &[Approver, Chain],
        Kind::Transfer | Kind::Exchange => &[Frontend],
        Kind::AdjustApprove => &[Approver],
        Kind::AdjustReject => &[Approver, Operator],
        Kind::PromoCredit => &[Games, Cashier],
        Kind::FreeroundGrant => &[Games, Operator, Cashier],
        Kind::FreeroundExpire | Kind::VoidRound | Kind::LateCorrection => &[Games, Operator],
        Kind::JackpotContribute
        | Kind::JackpotWin
        | Kind::Settle
        | Kind::Cancel
        | Kind::Bet
        | Kind::Win
        | Kind::BetWin
        | Kind::Rollback
        | Kind::EndRound => &[Games],
        _ => &[System],
    }
}

/// Which rules say who may do how much.
pub(crate) const fn is_guarded(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::SecondApprovalFrom
            | Rule::Importing
            | Rule::RoleAmountMax
            | Rule::ProviderActor
            | Rule::PermitsRequired
            | Rule::CallerProvider
            | Rule::CallerGame
            | Rule::CallerChain
            | Rule::CallerAmountMax
            | Rule::LateCorrectionMax
            | Rule::SecondIdentity
    )
}

/// Who may ask for it only up to an amount that a rule sets; without the rule, not at all.
pub(crate) const fn is_capped(kind: Kind, role: Role) -> bool {
    matches!(
        (kind, role),
        (Kind::Adjust | Kind::JackpotAdjust | Kind::WriteOff, Role::Operator)
            | (Kind::PromoCredit, Role::Cashier)
    )
}

/// Whether it is the business of a game's provider.
pub(crate) const fn has_provider(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::OpenSession
            | Kind::PromoCredit
            | Kind::JackpotContribute
            | Kind::JackpotWin
            | Kind::FreeroundGrant
            | Kind::FreeroundConsume
            | Kind::FreeroundExpire
            | Kind::AllowanceFund
            | Kind::AllowanceReturn
            | Kind::RevokeSession
            | Kind::Reserve
            | Kind::Settle
            | Kind::Cancel
            | Kind::Bet
            | Kind::Win
            | Kind::BetWin
            | Kind::Rollback
            | Kind::EndRound
            | Kind::VoidRound
            | Kind::LateCorrection
    )
}

/// Whether it is the business of a chain.
pub(crate) const fn has_chain(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::DepositCredit
            | Kind::DepositReverse
            | Kind::Chargeback
            | Kind::Unlock
            | Kind::WithdrawSigned
            | Kind::WithdrawSettle
            | Kind::WithdrawRelease
    )
}

/// Whether it takes something over that is remembered like what is opened.
pub(crate) const fn takes_over(kind: Kind) -> bool {
    matches!(kind, Kind::ImportBet | Kind::ImportHold | Kind::ImportReference)
}

/// Whether it names an amount that moves, or is to move later. A price, a top-up, the value of a round, the cost of a
/// transaction and the bound of an order are none.
pub(crate) fn moves_an_amount(kind: Kind) -> bool {
    let none = matches!(
        kind,
        Kind::PublishRate
            | Kind::OpenSession
            | Kind::WithdrawSigned
            | Kind::FreeroundGrant
            | Kind::VoidPeriod
    );
    !none && has(kind, Slot::Asset) && has(kind, Slot::Amount)
}

/// Whether somebody asks for it, and not the ledger itself.
pub(crate) fn is_asked_for(kind: Kind) -> bool {
    id_kind(kind) != IdKind::Internal
}

pub(crate) fn may_name_asset(kind: Kind) -> bool {
    has(kind, Slot::Asset)
}

/// Whether an asset is named that must be open before anything else is looked at.
pub(crate) fn names_asset(kind: Kind) -> bool {
    kind != Kind::OpenSession && has(kind, Slot::Asset)
}

pub(crate) fn names_player(kind: Kind) -> bool {
    has(kind, Slot::Player)
}

fn has(kind: Kind, slot: Slot) -> bool {
    kind.fields().iter().any(|field| field.slot == slot)
}

/// The provider's transaction of what takes a stake.
pub(crate) const fn bet_reference(operation: &Operation) -> Option<Reference> {
    match operation {
        Operation::Bet { bet, .. } | Operation::BetWin { bet, .. } => Some(*bet),
        _ => None,
    }
}

/// What one amount can be at most.
pub(crate) const AMOUNT_MAX: u128 = 1 << 125;

/// What is wrong with a request as such, whatever the books say.
pub(crate) fn malformed(id: RequestId, operation: &Operation) -> Option<ResultCode> {
    if id_kind(operation.kind()) == IdKind::Internal {
        return Some(ResultCode::OperationUnknown);
    }
    if id == RequestId::NONE {
        return Some(ResultCode::IdZero);
    }
    let request = operation.request(id);
    let over = |amount: Amount| amount.0 > AMOUNT_MAX;
    if over(request.amount) || other_amount(operation).is_some_and(over) {
        return Some(ResultCode::AmountOverLimit);
    }
    let nothing = match *operation {
        Operation::Settle { stake, payout, .. } => stake.0 == 0 && payout.0 == 0,
        _ => wants_amount(operation.kind()) && request.amount.0 == 0,
    };
    if nothing {
        return Some(ResultCode::AmountZero);
    }
    if has_no_reference(operation)
        || (names_asset(operation.kind()) && request.asset.0 == 0)
        || (names_player(operation.kind()) && request.player == PlayerId::NONE)
    {
        return Some(ResultCode::Malformed);
    }
    match *operation {
        Operation::Transfer { to: PlayerId::NONE, .. } => Some(ResultCode::PlayerMistyped),
        _ if is_senseless(operation) => Some(ResultCode::Malformed),
        _ => None,
    }
}

/// The amount of money that is said besides the first one.
const fn other_amount(operation: &Operation) -> Option<Amount> {
    match *operation {
        Operation::DepositCredit { turnover, .. }
        | Operation::ImportBalance { turnover, .. }
        | Operation::PromoCredit { turnover, .. } => Some(turnover),
        Operation::ImportBet { payout_max, .. }
        | Operation::ImportHold { payout_max, .. }
        | Operation::Reserve { payout_max, .. }
        | Operation::Bet { payout_max, .. } => Some(payout_max),
        Operation::Exchange { at_least, .. } => Some(at_least),
        Operation::Settle { payout, .. } | Operation::BetWin { payout, .. } => Some(payout),
        _ => None,
    }
}

/// Whether an amount of nothing makes no sense.
const fn wants_amount(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::PublishRate
            | Kind::OpenAsset
            | Kind::DepositCredit
            | Kind::DepositReverse
            | Kind::Chargeback
            | Kind::WriteOff
            | Kind::Lock
            | Kind::Unlock
            | Kind::WithdrawRequest
            | Kind::ImportBalance
            | Kind::ImportBet
            | Kind::ImportHold
            | Kind::ImportUsage
            | Kind::Transfer
            | Kind::Exchange
            | Kind::Adjust
            | Kind::PromoCredit
            | Kind::JackpotContribute
            | Kind::JackpotWin
            | Kind::JackpotAdjust
            | Kind::AllowanceFund
            | Kind::Reserve
            | Kind::Bet
            | Kind::BetWin
            | Kind::LateCorrection
    )
}

/// Whether something that must be named is not.
const fn has_no_reference(operation: &Operation) -> bool {
    match *operation {
        Operation::OpenPlayer { caller_id, .. } => caller_id.0 == 0,
        Operation::OpenSession { token: key, .. }
        | Operation::DepositReverse { deposit: key, .. }
        | Operation::Chargeback { deposit: key, .. }
        | Operation::WriteOff { text: key, .. }
        | Operation::SetKycHold { text: key, .. }
        | Operation::ImportReference { bet: key, .. }
        | Operation::Adjust { text: key, .. }
        | Operation::JackpotAdjust { text: key, .. }
        | Operation::Win { bet: key, .. }
        | Operation::Rollback { target: key, .. }
        | Operation::EndRound { round: key, .. }
        | Operation::VoidRound { round: key, .. }
        | Operation::VoidPeriod { text: key, .. }
        | Operation::LateCorrection { transaction: key, .. } => key.0 == 0,
        Operation::ImportBet { bet, round, .. }
        | Operation::Bet { bet, round, .. }
        | Operation::BetWin { bet, round, .. } => bet.0 == 0 || round.0 == 0,
        Operation::WithdrawApprove { withdrawal: id, .. }
        | Operation::WithdrawSigned { withdrawal: id, .. }
        | Operation::WithdrawSettle { withdrawal: id, .. }
        | Operation::WithdrawCancel { withdrawal: id, .. }
        | Operation::WithdrawRelease { withdrawal: id, .. }
        | Operation::ImportHold { hold: id, .. }
        | Operation::AdjustApprove { adjustment: id, .. }
        | Operation::AdjustReject { adjustment: id, .. }
        | Operation::FreeroundConsume { grant: id, .. }
        | Operation::FreeroundExpire { grant: id, .. }
        | Operation::Settle { hold: id, .. }
        | Operation::Cancel { hold: id, .. } => id.0 == 0,
        _ => false,
    }
}

/// Whether values do not go with one another.
fn is_senseless(operation: &Operation) -> bool {
    match *operation {
        Operation::OpenAsset { scale, .. } => scale > 30,
        Operation::Exchange { to, .. } => to.0 == 0,
        Operation::WithdrawSigned { transaction, .. } => transaction == 0,
        // A proof has an algorithm, and an algorithm a proof.
        Operation::EndRound { algorithm, proof, .. } => (algorithm != 0) != (proof != [0; 30]),
        Operation::RevokeSession { session, .. } | Operation::AllowanceReturn { session, .. } => {
            session.0 == 0
        }
        Operation::SetLimit { kind, period, remove, value, .. } => {
            (kind == LimitKind::Bet) != (period == Period::Once) || (remove && value.0 != 0)
        }
        Operation::ImportUsage { kind, period, .. } => kind == LimitKind::Bet || period == Period::Once,
        Operation::JackpotContribute { rate_ppm, .. } => rate_ppm == 0 || rate_ppm > 1_000_000,
        Operation::FreeroundGrant { count, .. } | Operation::FreeroundConsume { count, .. } => {
            count == 0 || count > 1_000_000
        }
        _ => false,
    }
}
