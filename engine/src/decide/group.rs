//! Groups: requests that happen together or not at all, each seeing what the ones before it did.
//!
//! The members are decided one after the other on the books themselves, as a trial that is taken back to the last bit:
//! what decides is then exactly what decides a single request. The state is afterwards what it was before.

use alloc::vec;
use alloc::vec::Vec;

use super::permit;
use super::{Admitted, Answer, Decision, begin, decide_new, known, refused};
use crate::code::ResultCode;
use crate::id::Lsn;
use crate::record::Record;
use crate::state::State;
use crate::table::{IdRule, Refers};
use crate::time::Timestamp;

/// How many requests can be a group.
pub const GROUP_MAX: usize = 64;

/// Decides requests that happen together or not at all; one decision for each, in their order.
///
/// The records of all decisions, in order, are one run of the log.
///
/// # Panics
/// If the books do not take what was decided on them.
#[must_use]
pub fn decide_group(state: &mut State, now: Timestamp, members: &[Admitted]) -> Vec<Decision> {
    if !is_group(members) {
        return all_not(members, ResultCode::GroupMalformed);
    }
    if let Some(answers) = known_group(state, members) {
        return answers;
    }
    if let Some((culprit, code)) = not_taken(state, now, members) {
        return not_but(members, culprit, code);
    }
    state.begin_trial();
    let tried = try_members(state, now, members);
    state.end_trial();
    match tried {
        Ok(mut decisions) => {
            link(&mut decisions);
            decisions
        }
        Err((culprit, code)) if code.is_recorded() => refuse(state, now, members, culprit, code),
        Err((culprit, code)) => not_but(members, culprit, code),
    }
}

fn is_group(members: &[Admitted]) -> bool {
    let last = members.len().saturating_sub(1);
    let linked = |(place, member): (usize, &Admitted)| member.request.linked == (place < last);
    let groupable = |member: &Admitted| member.request.kind.spec().groupable;
    let is_bet = |member: &Admitted| matches!(member.request.kind.spec().refers, Refers::NewBet);
    let unique = members.iter().enumerate().all(|(place, one)| {
        members[..place].iter().all(|other| {
            let same_bet = is_bet(one) && is_bet(other) && one.request.reference == other.request.reference;
            one.request.id != other.request.id && !same_bet
        })
    });
    (2..=GROUP_MAX).contains(&members.len())
        && members.iter().enumerate().all(linked)
        && members.iter().all(groupable)
        && unique
}

fn all_not(members: &[Admitted], code: ResultCode) -> Vec<Decision> {
    vec![Decision::Answer(Answer::Not(code)); members.len()]
}

/// The culprit gets its own answer.
fn not_but(members: &[Admitted], culprit: usize, code: ResultCode) -> Vec<Decision> {
    let mut answers = all_not(members, ResultCode::GroupNotTaken);
    answers[culprit] = Decision::Answer(Answer::Not(code));
    answers
}

/// The answers if any of the group was decided before: each its own, if all were as they are now.
fn known_group(state: &State, members: &[Admitted]) -> Option<Vec<Decision>> {
    let known: Vec<_> = members
        .iter()
        .map(|member| known::known(state, &member.request, member.request.kind.spec()))
        .collect();
    if known.iter().all(Option::is_none) {
        return None;
    }
    let same = known.iter().all(|answer| matches!(answer, Some(Answer::Same(_))));
    let answer = |known: Option<Answer>| match known {
        Some(answer) if same => answer,
        Some(Answer::Conflict(lsn)) => Answer::Conflict(lsn),
        _ => Answer::Not(ResultCode::GroupDiffers),
    };
    Some(known.into_iter().map(|known| Decision::Answer(answer(known))).collect())
}

/// Which member finds no room, or is too old or too young; then room for all of them together.
fn not_taken(state: &State, now: Timestamp, members: &[Admitted]) -> Option<(usize, ResultCode)> {
    let each = members.iter().enumerate().find_map(|(place, member)| {
        let spec = member.request.kind.spec();
        let code = known::not_taken(state, now, &member.request, spec);
        code.or_else(|| permit::not_permitted(state, member, spec)).map(|code| (place, code))
    });
    if each.is_some() {
        return each;
    }
    let specs = || members.iter().map(|member| member.request.kind.spec());
    let first = specs().position(|spec| spec.opens && matches!(spec.id, IdRule::Request))?;
    let needed: u64 =
        members.iter().map(|member| known::facts_of(member.request.kind.spec(), &member.request)).sum();
    let spare = known::spare(state.ids.as_ref()?.capacity());
    let room = state.has_room(needed + state.facts_owed() + spare, now);
    (!room).then_some((first, ResultCode::IdTableFull))
}

/// Does the members one after the other; the first that is not executed ends it.
fn try_members(
    state: &mut State,
    now: Timestamp,
    members: &[Admitted],
) -> Result<Vec<Decision>, (usize, ResultCode)> {
    let mut decisions = Vec::with_capacity(members.len());
    for (place, member) in members.iter().enumerate() {
        let spec = member.request.kind.spec();
        // What an earlier member left behind is looked at as it would be for a request of its own.
        let decision = match known::known(state, &member.request, spec) {
            Some(_) => return Err((place, ResultCode::GroupMalformed)),
            None => match known::not_taken(state, now, &member.request, spec) {
                Some(code) => return Err((place, code)),
                None => decide_new(state, now, member, spec),
            },
        };
        if let Decision::Answer(answer) = decision {
            let Answer::Not(code) = answer else { return Err((place, ResultCode::GroupMalformed)) };
            return Err((place, code));
        }
        for record in decision.records() {
            if !record.result.is_executed() {
                return Err((place, record.result));
            }
            // The decision has looked at every sum: a fault is the ledger's own, and no answer to anybody.
            let lsn = state.next_lsn();
            if let Err(fault) = state.apply(lsn, record) {
                panic!("the ledger refused its own record {lsn}: {fault}");
            }
        }
        decisions.push(decision);
    }
    Ok(decisions)
}

/// All records of the group but the last say that another one follows.
fn link(decisions: &mut [Decision]) {
    let last = decisions.len() - 1;
    for (place, decision) in decisions.iter_mut().enumerate() {
        match decision {
            Decision::Record(record) => record.linked = place < last,
            Decision::Records(records) => {
                let end = records.len() - 1;
                for (at, record) in records.iter_mut().enumerate() {
                    record.linked = at < end || place < last;
                }
            }
            Decision::Answer(_) => {}
        }
    }
}

/// The records of a group that is refused: the culprit with its reason, the others with the group's.
fn refuse(
    state: &State,
    now: Timestamp,
    members: &[Admitted],
    culprit: usize,
    code: ResultCode,
) -> Vec<Decision> {
    let remembered = members.iter().map(|member| member.request.kind.spec());
    let needed: u64 =
        remembered.filter(|spec| matches!(spec.id, IdRule::Request)).map(known::facts_of_refusal).sum();
    // What is not remembered under an id needs no room.
    if needed > 0 && !state.has_room(needed + state.facts_owed(), now) {
        return not_but(members, culprit, ResultCode::IdTableFull);
    }
    let mut latest: Vec<(crate::PlayerId, Lsn)> = Vec::new();
    let mut lsn = state.next_lsn();
    let mut decisions: Vec<_> = members
        .iter()
        .enumerate()
        .map(|(place, member)| {
            let spec = member.request.kind.spec();
            let own = if place == culprit { code } else { ResultCode::GroupRefused };
            let mut record = refused(&begin(state, now, member, spec), own);
            chain_player(state, &mut record, &mut latest, lsn);
            lsn = lsn.next();
            Decision::Record(record)
        })
        .collect();
    link(&mut decisions);
    decisions
}

/// Lets a refusal follow an earlier one of the same group in its players' histories.
fn chain_player(state: &State, record: &mut Record, latest: &mut Vec<(crate::PlayerId, Lsn)>, lsn: Lsn) {
    let before = |latest: &[(crate::PlayerId, Lsn)], player| {
        latest.iter().rev().find(|(known, _)| *known == player).map(|(_, lsn)| *lsn)
    };
    let player = record.request.player;
    let counterparty = record.request.counterparty();
    let transfers = record.request.kind.spec().counterparty;
    if let Some(previous) = before(latest, player) {
        record.previous = previous;
    }
    // Looked up before this record is noted: who sends to oneself is refused, and must not find this record itself.
    if let Some(previous) = before(latest, counterparty).filter(|_| transfers) {
        record.set_counterparty_previous(previous);
    }
    // Nobody that is not known has a history.
    if state.players.contains(player) {
        latest.push((player, lsn));
    }
    if transfers && state.players.contains(counterparty) {
        latest.push((counterparty, lsn));
    }
}
