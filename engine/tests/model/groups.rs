//! Groups: requests that happen together or not at all.
//!
//! In: the members, in order. Out: a verdict for each. Never here: what a single request does.

use cage_engine::ResultCode;

use super::memory::own_facts;
use super::words;
use super::{Asked, Checks, Deed, Model, Verdict};

const MOST: usize = 64;

impl Model {
    /// Answers a group. `checks` gets, for each member, what was looked at when it was decided.
    pub(crate) fn ask_group(&mut self, members: &[Asked], checks: &mut Vec<Checks>) -> Vec<Verdict> {
        if !is_group(members) {
            return vec![Verdict::Not(ResultCode::GroupMalformed); members.len()];
        }
        let known: Vec<_> = members.iter().map(|member| self.known(member)).collect();
        if known.iter().any(Option::is_some) {
            return answer_known(known);
        }
        if let Some((culprit, code)) = self.group_not_taken(members) {
            return not_taken(members, culprit, code);
        }
        let mut after = self.clone();
        after.aside = Some(Vec::new());
        match after.try_members(members, checks) {
            Ok(verdicts) => {
                after.end_trial();
                *self = after;
                verdicts
            }
            Err((culprit, code)) if code.number() >= 700 => not_taken(members, culprit, code),
            Err((culprit, _)) if !self.may_refuse(members) => {
                not_taken(members, culprit, ResultCode::IdTableFull)
            }
            Err((culprit, code)) => {
                let own = |place| if place == culprit { code } else { ResultCode::GroupRefused };
                let mut verdicts = Vec::new();
                for (place, member) in members.iter().enumerate() {
                    self.deed = Deed::default();
                    verdicts.push(Verdict::Written(self.write(member, own(place))));
                }
                verdicts
            }
        }
    }

    /// The first member that is not taken by itself; then whether there is room for all of them together.
    fn group_not_taken(&self, members: &[Asked]) -> Option<(usize, ResultCode)> {
        for (place, member) in members.iter().enumerate() {
            let mut checks = Checks::default();
            self.look_at_taking(member, &mut checks);
            if let Some(code) = checks.refused() {
                return Some((place, code));
            }
        }
        let first = members.iter().position(|member| words::opens(member.kind()))?;
        let own: u64 = members.iter().map(|member| own_facts(&member.operation)).sum();
        let spare = self.settings.map_or(0, |settings| settings.ids_capacity / 16);
        let room = self.has_room(own + self.room_owed() + spare, members[0].now);
        (!room).then_some((first, ResultCode::IdTableFull))
    }

    /// Each member sees what the ones before it did.
    fn try_members(
        &mut self,
        members: &[Asked],
        checks: &mut Vec<Checks>,
    ) -> Result<Vec<Verdict>, (usize, ResultCode)> {
        let mut verdicts = Vec::new();
        for (place, member) in members.iter().enumerate() {
            let mut own = Checks::default();
            let verdict = self.ask(member, &mut own);
            checks.push(own);
            match verdict {
                Verdict::Written(written) if written.code.number() < 100 => {
                    verdicts.push(Verdict::Written(written));
                }
                Verdict::Written(written) => return Err((place, written.code)),
                Verdict::Not(code) => return Err((place, code)),
                // An earlier member used the id or transaction for something else.
                Verdict::Same(_) | Verdict::Conflict(_) => {
                    return Err((place, ResultCode::GroupMalformed));
                }
            }
        }
        Ok(verdicts)
    }
}

fn is_group(members: &[Asked]) -> bool {
    let linked_but_the_last =
        members.iter().enumerate().all(|(place, member)| member.linked == (place + 1 < members.len()));
    let groupable = members.iter().all(|member| words::is_groupable(member.kind()));
    let mut unique = true;
    for (place, one) in members.iter().enumerate() {
        for other in &members[..place] {
            let bets = (words::bet_reference(&one.operation), words::bet_reference(&other.operation));
            let same_bet = matches!(bets, (Some(one), Some(other)) if one == other);
            unique &= one.id != other.id && !same_bet;
        }
    }
    (2..=MOST).contains(&members.len()) && linked_but_the_last && groupable && unique
}

/// Each its own answer if all were decided before as they are now.
fn answer_known(known: Vec<Option<Verdict>>) -> Vec<Verdict> {
    let all_same = known.iter().all(|verdict| matches!(verdict, Some(Verdict::Same(_))));
    let answer = |verdict| match verdict {
        Some(verdict) if all_same => verdict,
        Some(Verdict::Conflict(lsn)) => Verdict::Conflict(lsn),
        _ => Verdict::Not(ResultCode::GroupDiffers),
    };
    known.into_iter().map(answer).collect()
}

fn not_taken(members: &[Asked], culprit: usize, code: ResultCode) -> Vec<Verdict> {
    let own = |place| if place == culprit { code } else { ResultCode::GroupNotTaken };
    (0..members.len()).map(|place| Verdict::Not(own(place))).collect()
}
