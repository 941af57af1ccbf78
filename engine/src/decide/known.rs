//! What is known of a request's id, and whether what it leaves behind finds room.

use super::{Answer, ID_AHEAD_MAX_MILLIS};
use crate::code::ResultCode;
use crate::id::{Lsn, Reference, RequestId};
use crate::request::Request;
use crate::state::{Ending, Remembered, Space, State, Traces};
use crate::table::{Effect, IdRule, Refers, Spec};
use crate::time::Timestamp;

/// The answer of an earlier record, if there is one.
pub(super) fn known(state: &State, request: &Request, spec: &Spec) -> Option<Answer> {
    let remembered = match spec.id {
        IdRule::Internal => None,
        IdRule::Request => state.remembered(request.id, Space::Request),
        IdRule::Permanent => state.key(request.id),
        IdRule::Reference => return known_transaction(state, request, spec),
    };
    if let Some(Remembered { digest, lsn }) = remembered {
        return Some(answer(digest == request.digest(), lsn));
    }
    if matches!(spec.refers, Refers::NewBet) { known_bet(state, request) } else { None }
}

const fn answer(same: bool, lsn: Lsn) -> Answer {
    if same { Answer::Same(lsn) } else { Answer::Conflict(lsn) }
}

/// A win or a rollback is known by the provider's transaction: a win with its round as long as that is open.
fn known_transaction(state: &State, request: &Request, spec: &Spec) -> Option<Answer> {
    let wins = matches!(spec.refers, Refers::Bet);
    if let Some(row) = state.any_wager(Reference(request.id.0)) {
        return Some(answer(wins && row.is_win && row.digest == request.digest(), row.opened));
    }
    if let Some(Remembered { digest, lsn }) = state.remembered(request.id, Space::Reference) {
        return Some(answer(digest == request.digest(), lsn));
    }
    // A win that was undone is still the win that it was.
    let ended = state.ended(request.id, Space::Wager)?;
    let same = || {
        let traces = Traces::of(request.digest(), request.player, request.asset, request.game);
        wins && matches!(ended.how, Ending::Cancelled) && ended.traces == traces
    };
    (!matches!(ended.how, Ending::Tombstone)).then(|| answer(same(), ended.lsn))
}

/// A bet is known by the provider's transaction, whatever id it is reported under.
fn known_bet(state: &State, request: &Request) -> Option<Answer> {
    let content = || request.content_digest();
    if let Some(bet) = state.any_wager(Reference(request.reference)) {
        return Some(answer(!bet.is_win && bet.digest == content(), bet.opened));
    }
    if let Some(other) = state.remembered(request.target(), Space::Reference) {
        return Some(Answer::Conflict(other.lsn));
    }
    let ended = state.ended(request.target(), Space::Wager)?;
    if matches!(ended.how, Ending::Tombstone) {
        return None;
    }
    let traces = Traces::of(content(), request.player, request.asset, request.game);
    Some(answer(ended.traces == traces, ended.lsn))
}

/// Why nothing is decided at all, if so.
pub(super) fn not_taken(state: &State, now: Timestamp, request: &Request, spec: &Spec) -> Option<ResultCode> {
    if matches!(spec.id, IdRule::Internal) {
        return None;
    }
    let (Some(ids), Some(settings)) = (&state.ids, state.settings) else {
        return Some(ResultCode::NotConfigured);
    };
    match spec.id {
        IdRule::Permanent if state.keys.is_full(spec.brings_in()) => return Some(ResultCode::KeyTableFull),
        // What is taken over leaves facts like what is opened, and must not make the ledger forget young ones.
        IdRule::Permanent if leaves_facts(spec) => {
            let needed = facts_of(spec, request) + state.facts_owed() + spare(ids.capacity());
            return (!state.has_room(needed, now)).then_some(ResultCode::IdTableFull);
        }
        IdRule::Permanent | IdRule::Internal | IdRule::Reference => return None,
        IdRule::Request => {}
    }
    if is_ahead(request.id, now) {
        return Some(ResultCode::IdFromFuture);
    }
    let is_old = request.id.time() <= ids.horizon();
    if is_old && (spec.opens || continues_a_hold(state, request, spec)) {
        return Some(ResultCode::IdTooOld);
    }
    if !spec.opens {
        return None;
    }
    if !state.has_room(facts_of(spec, request) + state.facts_owed() + spare(ids.capacity()), now) {
        return Some(ResultCode::IdTableFull);
    }
    let rows = &state.rows;
    let full = match spec.effect {
        Effect::WithdrawalOpened => rows.withdrawals.is_full(),
        Effect::FreeroundOpened => rows.freerounds.is_full(),
        Effect::OrderOpened => rows.void_orders.is_full(),
        _ => false,
    };
    if full {
        return Some(ResultCode::KeyTableFull);
    }
    let open = (rows.holds.len() + rows.wagers.len() + rows.rounds.len()) as u64;
    match spec.effect {
        Effect::HoldOpened | Effect::BetOpened | Effect::BetWon if open >= settings.holds_max => {
            Some(ResultCode::HoldTableFull)
        }
        _ => None,
    }
}

/// How many facts something that opens leaves behind in the end: its own id, and how it ended.
pub(super) const fn facts_of(spec: &Spec, request: &Request) -> u64 {
    match spec.effect {
        // A hold is ended by a request of its own; its round may have to be remembered, too.
        Effect::HoldOpened if request.reference != 0 => 4,
        // A bet and its round.
        Effect::HoldOpened | Effect::BetOpened | Effect::BetWon | Effect::HoldImported => 3,
        Effect::WithdrawalOpened | Effect::FreeroundOpened | Effect::BetImported => 2,
        _ => 1,
    }
}

const fn leaves_facts(spec: &Spec) -> bool {
    matches!(spec.effect, Effect::HoldImported | Effect::BetImported | Effect::ReferenceImported)
}

/// What is kept free of new wagers, so that winnings, refunds and ends always find room.
pub(super) const fn spare(capacity: u64) -> u64 {
    capacity / 16
}

pub(super) fn is_ahead(id: RequestId, now: Timestamp) -> bool {
    id.time() > now.plus_millis(ID_AHEAD_MAX_MILLIS)
}

/// A settle of a hold that others took a part of: under a forgotten id it may be one of them.
fn continues_a_hold(state: &State, request: &Request, spec: &Spec) -> bool {
    matches!(spec.effect, Effect::HoldSettled)
        && state.hold(request.target()).is_some_and(|hold| hold.settled_in_part)
}

/// A refusal is remembered too. It must not use up the room that is kept for the ends of what is open: what finds
/// none is not taken instead.
pub(super) fn may_refuse(state: &State, now: Timestamp, spec: &Spec) -> bool {
    !matches!(spec.id, IdRule::Request) || state.has_room(facts_of_refusal(spec) + state.facts_owed(), now)
}

/// A refused bet is remembered under the provider's transaction as well.
pub(super) const fn facts_of_refusal(spec: &Spec) -> u64 {
    if matches!(spec.refers, Refers::NewBet) { 2 } else { 1 }
}
