//! Decides again what a log says was decided.
//!
//! In: the state in front of a run of records that belong together, and the run. Out: in words, whatever differs. A run
//! is one record, a record with its continuations, or all records of a group. Never here: trust in what a record says
//! of itself.

use std::slice;

use cage_engine::table::IdRule;
use cage_engine::{
    Admitted, Decision, Lsn, Operation, OperationKind, Record, State, Timestamp, decide, decide_group,
};

/// What differs when `run` is decided again on `state`, which is the same afterwards.
pub(super) fn differences(state: &mut State, run: &[(Lsn, Record)]) -> Vec<String> {
    let heads = || run.iter().filter(|(_, record)| record.request.kind != OperationKind::Continue);
    let mut differences: Vec<_> = heads().filter_map(|(lsn, record)| admit_again(*lsn, record)).collect();
    let Some((first, begin)) = run.first() else { return differences };
    let Some((_, head)) = heads().next() else {
        differences.push(format!("record {first} continues none"));
        return differences;
    };
    if heads().nth(1).is_none() && !head.asked().linked {
        let decision = decide(state, begin.decided, &admitted(head));
        differences.extend(compare(*first, run, slice::from_ref(&decision)));
    } else {
        let members: Vec<_> = heads().map(|(_, record)| admitted(record)).collect();
        differences.extend(compare(*first, run, &decide_group(state, begin.decided, &members)));
    }
    if let Ok(Operation::StateDigest { digest }) = Operation::try_from(&begin.request)
        && digest != state.digest()
    {
        differences.push(format!("record {first} holds another digest than the state in front of it has"));
    }
    differences
}

/// What admission checks before a request is decided: who may ask, and whether it could be asked at all.
fn admit_again(lsn: Lsn, record: &Record) -> Option<String> {
    let (kind, role) = (record.request.kind, record.role);
    if !kind.spec().roles.contains(role) {
        return Some(format!("record {lsn} is a {} of the role {}", kind.name(), role.name()));
    }
    if matches!(kind.spec().id, IdRule::Internal) {
        return None;
    }
    let malformed = record.asked().check().err()?;
    Some(format!("record {lsn} answers what nobody can ask: its {} is wrong", malformed.field))
}

/// The request of a record, as it was admitted.
fn admitted(record: &Record) -> Admitted {
    let age = record.received_age.micros() * 1_000;
    Admitted {
        request: record.asked(),
        role: record.role,
        actor: record.actor,
        grant: record.grant,
        received: Timestamp(record.decided.0.saturating_sub(age)),
    }
}

/// The first record of the run that is another one when it is decided again.
fn compare(first: Lsn, run: &[(Lsn, Record)], decisions: &[Decision]) -> Option<String> {
    let mut again = decisions.iter().flat_map(Decision::records);
    for (lsn, record) in run {
        let said = record.result.name();
        match again.next() {
            Some(again) if again == record => {}
            Some(again) => {
                let now = again.result.name();
                return Some(format!(
                    "record {lsn} says {said}, decided again it is {now}: {record:?} / {again:?}"
                ));
            }
            None => {
                let answers = decisions.iter().filter(|decision| decision.records().is_empty());
                let answers: Vec<_> = answers.collect();
                return Some(format!(
                    "record {lsn} says {said}, decided again there would be none: {answers:?}"
                ));
            }
        }
    }
    let more = again.count();
    (more > 0).then(|| format!("decided again, the run from {first} on has {more} records more"))
}
