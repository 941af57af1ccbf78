//! What a request is about: looks it up, or says what became of it.

use super::known::is_ahead;
use crate::code::ResultCode;
use crate::id::{GameId, Reference, RequestId, SessionId};
use crate::operation::OperationKind;
use crate::request::Request;
use crate::state::{
    Adjustment, Deposit, Ended, Ending, Freeround, Hold, Round, Session, Space, State, Traces, Wager,
    Withdrawal,
};
use crate::table::Refers;
use crate::time::Timestamp;

/// What is referred to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Nothing,
    Hold(&'a Hold),
    Bet(&'a Wager),
    /// A win, to be undone.
    Win(&'a Wager),
    /// A bet whose round is closed: what it wins is paid all the same.
    ClosedBet,
    Round(&'a Round),
    Session(&'a Session),
    Deposit(&'a Deposit),
    Withdrawal(&'a Withdrawal),
    Adjustment(&'a Adjustment),
    Freeround(&'a Freeround),
}

impl Target<'_> {
    /// The game that it is of, if it is of one.
    pub(super) const fn game(&self) -> Option<GameId> {
        match self {
            Target::Hold(hold) => Some(hold.game),
            Target::Bet(wager) | Target::Win(wager) => Some(wager.game),
            Target::Round(round) => Some(round.game),
            Target::Adjustment(row) => Some(row.game),
            Target::Freeround(row) => Some(row.game),
            Target::Nothing
            | Target::ClosedBet
            | Target::Session(_)
            | Target::Deposit(_)
            | Target::Withdrawal(_) => None,
        }
    }
}

/// What was found.
pub(super) enum Referred<'a> {
    /// Something to work on.
    Target(Target<'a>),
    /// Nothing to do, and that is the answer.
    Done(ResultCode),
}

type Found<'a> = Result<Referred<'a>, ResultCode>;

pub(super) fn refer<'a>(state: &'a State, now: Timestamp, request: &Request, refers: Refers) -> Found<'a> {
    let target = request.target();
    let ended = |key, space| state.ended(key, space).map(|ended| ended.how);
    match refers {
        Refers::Nothing => Ok(Referred::Target(Target::Nothing)),
        Refers::NewHold if ended(request.id, Space::Hold).is_some() => Err(ResultCode::CancelledBefore),
        Refers::NewBet if ended(target, Space::Wager).is_some() => Err(ResultCode::CancelledBefore),
        Refers::NewHold | Refers::NewBet => Ok(Referred::Target(Target::Nothing)),
        Refers::OpenHold | Refers::HoldOrTombstone => hold(state, now, target, refers),
        Refers::Bet => bet(state, request),
        Refers::BetOrWin => bet_or_win(state, request),
        Refers::Round => round(state, request),
        Refers::Session => session(state, request),
        Refers::Deposit => found(state.row(target.0).map(Target::Deposit), ResultCode::DepositUnknown),
        Refers::Withdrawal => {
            let row = state.row(target.0).map(Target::Withdrawal);
            found(
                row,
                match ended(target, Space::Withdrawal) {
                    Some(Ending::Settled) => ResultCode::WithdrawalSettled,
                    Some(Ending::Cancelled) => ResultCode::WithdrawalCancelled,
                    _ => ResultCode::WithdrawalUnknown,
                },
            )
        }
        Refers::Adjustment => {
            let row = state.row(target.0).map(Target::Adjustment);
            found(
                row,
                match ended(target, Space::Adjustment) {
                    Some(Ending::Settled) => ResultCode::AdjustmentDone,
                    Some(Ending::Cancelled) => ResultCode::AdjustmentRejected,
                    _ => ResultCode::AdjustmentUnknown,
                },
            )
        }
        Refers::Freeround => {
            let row = state.row(target.0).map(Target::Freeround);
            found(
                row,
                match ended(target, Space::Freeround) {
                    Some(Ending::Settled) => ResultCode::FreeroundUsed,
                    Some(Ending::Expired) => ResultCode::FreeroundExpired,
                    _ => ResultCode::FreeroundUnknown,
                },
            )
        }
        Refers::Unknown => unknown(state, now, request),
    }
}

fn found(target: Option<Target<'_>>, missing: ResultCode) -> Found<'_> {
    target.map(Referred::Target).ok_or(missing)
}

fn hold(state: &State, now: Timestamp, target: RequestId, refers: Refers) -> Found<'_> {
    if let Some(hold) = state.hold(target) {
        return Ok(Referred::Target(Target::Hold(hold)));
    }
    match state.ending(target) {
        Some(Ending::Settled) => Err(ResultCode::HoldSettled),
        Some(Ending::Cancelled | Ending::Tombstone | Ending::Refused) => Err(ResultCode::HoldCancelled),
        Some(Ending::Expired) => Err(ResultCode::HoldExpired),
        None if !matches!(refers, Refers::HoldOrTombstone) => Err(ResultCode::HoldUnknown),
        // The horizon passes over a tombstone's time in the end: it must not lead far ahead.
        None if is_ahead(target, now) => Err(ResultCode::IdFromFuture),
        None => Ok(Referred::Done(ResultCode::Tombstoned)),
    }
}

/// A record that the request names, but that nothing is remembered of.
fn is_old(request: &Request) -> bool {
    request.detail.u64_at(0) != 0
}

pub(super) fn is_own(ended: &Ended, request: &Request) -> bool {
    ended.traces.owner == Traces::of(0, request.player, request.asset, request.game).owner
}

/// The bet that a win pays.
fn bet<'a>(state: &'a State, request: &Request) -> Found<'a> {
    let target = request.target();
    // Undone before it arrived.
    if state.wager_ending(Reference(request.id.0)).is_some() {
        return Err(ResultCode::CancelledBefore);
    }
    match state.row::<Wager>(target.0) {
        Some(wager) if wager.is_win => return Err(ResultCode::NotABet),
        Some(wager) => return Ok(Referred::Target(Target::Bet(wager))),
        None => {}
    }
    if state.hold(target).is_some() {
        return Err(ResultCode::NotABet);
    }
    match state.ended(target, Space::Wager) {
        Some(ended) => match ended.how {
            Ending::Settled if is_own(&ended, request) => Ok(Referred::Target(Target::ClosedBet)),
            Ending::Settled => Err(ResultCode::HoldDiffers),
            Ending::Cancelled | Ending::Tombstone => Err(ResultCode::HoldCancelled),
            Ending::Refused | Ending::Expired => Err(ResultCode::BetRefused),
        },
        None if is_old(request) => Err(ResultCode::ReferenceTooOld),
        None => Err(ResultCode::HoldUnknown),
    }
}

/// The bet or win that a rollback undoes.
fn bet_or_win<'a>(state: &'a State, request: &Request) -> Found<'a> {
    let target = request.target();
    match state.any_wager(Reference(target.0)) {
        Some(wager) if wager.undone => return Ok(Referred::Done(ResultCode::AlreadyCancelled)),
        Some(wager) if wager.is_win => return Ok(Referred::Target(Target::Win(wager))),
        Some(wager) => return Ok(Referred::Target(Target::Bet(wager))),
        None => {}
    }
    if state.hold(target).is_some() {
        return Err(ResultCode::NotABet);
    }
    let ending = state.wager_ending(Reference(request.reference));
    // A win whose round is closed, or a rollback: what it moved is not remembered. That it was undone may be.
    if ending != Some(Ending::Cancelled) && state.remembered(target, Space::Reference).is_some() {
        return Err(ResultCode::ReferenceTooOld);
    }
    let reverse_settled = request.detail.0[8] == 1;
    match ending {
        Some(Ending::Settled) if reverse_settled => Err(ResultCode::ReferenceTooOld),
        Some(Ending::Settled) => Err(ResultCode::HoldSettled),
        Some(_) => Ok(Referred::Done(ResultCode::AlreadyCancelled)),
        None if is_old(request) => Err(ResultCode::ReferenceTooOld),
        None => Ok(Referred::Done(ResultCode::Tombstoned)),
    }
}

fn round<'a>(state: &'a State, request: &Request) -> Found<'a> {
    let key = Reference(request.reference);
    if let Some(round) = state.round(key) {
        return Ok(Referred::Target(Target::Round(round)));
    }
    let voids = request.kind == OperationKind::VoidRound;
    match state.round_ending(key) {
        None => Err(ResultCode::RoundUnknown),
        Some(Ending::Cancelled) if voids => Ok(Referred::Done(ResultCode::AlreadyCancelled)),
        Some(Ending::Cancelled) => Err(ResultCode::RoundCancelled),
        Some(_) if voids => Err(ResultCode::RoundClosed),
        Some(_) => Ok(Referred::Done(ResultCode::AlreadyClosed)),
    }
}

/// An open session of the player.
fn session<'a>(state: &'a State, request: &Request) -> Found<'a> {
    let expires = request.kind == OperationKind::ExpireSession;
    match state.session(request.session).filter(|session| expires || !session.revoked) {
        Some(session) if session.player == request.player => Ok(Referred::Target(Target::Session(session))),
        Some(_) => Err(ResultCode::SessionDiffers),
        None if request.session == SessionId::NONE || request.session > state.last_session => {
            Err(ResultCode::SessionUnknown)
        }
        None => Err(ResultCode::SessionEnded),
    }
}

/// What is to be imported and must be new.
fn unknown<'a>(state: &'a State, now: Timestamp, request: &Request) -> Found<'a> {
    let target = request.target();
    // The horizon passes over a hold's time in the end: it must not lead far ahead.
    if request.kind == OperationKind::ImportHold && is_ahead(target, now) {
        return Err(ResultCode::IdFromFuture);
    }
    let known = if request.kind == OperationKind::ImportHold {
        state.hold(target).is_some()
            || state.remembered(target, Space::Request).is_some()
            || state.ending(target).is_some()
    } else {
        state.any_wager(Reference(target.0)).is_some()
            || state.remembered(target, Space::Reference).is_some()
            || state.ended(target, Space::Wager).is_some()
    };
    if known { Err(ResultCode::AlreadyKnown) } else { Ok(Referred::Target(Target::Nothing)) }
}
