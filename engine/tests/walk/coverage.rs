//! What was reached: which answers each operation got, and which two refusals met in one request.
//!
//! A pair of neighbours is two things that can stand in a request's way, one looked at right after the other. It is
//! reached by a request that both stood in the way of; the answer was then the first one's, as the model says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cage_engine::decide::GROUP_MAX;
use cage_engine::table::IdRule;
use cage_engine::{OperationKind, ResultCode};

use crate::model::{Asked, Checks, Verdict};
use crate::reach;

/// What is looked at last of all.
pub(crate) const FUNDS: &str = "funds";

#[derive(Default)]
pub(crate) struct Coverage {
    /// How often each operation got each answer; nothing stands for a repetition.
    answers: BTreeMap<(OperationKind, Option<ResultCode>), u64>,
    /// What can stand in an operation's way, in order.
    gates: BTreeMap<OperationKind, Vec<&'static str>>,
    /// How often two met, the first of them being the answer.
    pairs: BTreeMap<(OperationKind, &'static str, &'static str), u64>,
    pub(crate) groups_done: u64,
    pub(crate) groups_refused: u64,
    pub(crate) largest_group: usize,
}

impl Coverage {
    pub(crate) fn count(&mut self, asked: &Asked, verdict: &Verdict, checks: &Checks) {
        let code = match verdict {
            Verdict::Written(written) => Some(written.code),
            Verdict::Same(_) => None,
            Verdict::Conflict(_) => Some(ResultCode::IdConflict),
            Verdict::Not(code) => Some(*code),
        };
        *self.answers.entry((asked.kind(), code)).or_default() += 1;
        self.count_pairs(asked.kind(), checks);
    }

    pub(crate) fn count_group(&mut self, members: &[Asked], verdicts: &[Verdict], checks: &[Checks]) {
        for (asked, verdict) in members.iter().zip(verdicts) {
            self.count(asked, verdict, &Checks::default());
        }
        for (asked, checks) in members.iter().zip(checks) {
            self.count_pairs(asked.kind(), checks);
        }
        match &verdicts[0] {
            Verdict::Written(written) if written.code.number() < 100 => {
                self.groups_done += 1;
                self.largest_group = self.largest_group.max(members.len());
            }
            Verdict::Written(_) => self.groups_refused += 1,
            _ => {}
        }
    }

    fn count_pairs(&mut self, kind: OperationKind, checks: &Checks) {
        let list = checks.list();
        let gates = self.gates.entry(kind).or_default();
        let mut at = 0;
        for (what, _) in list {
            // Some are looked at only in some requests; each has its place behind the one before it.
            match gates.iter().position(|known| known == what) {
                Some(place) => at = place + 1,
                // Money is looked at last, whatever else was left out.
                None if *what == FUNDS => gates.push(what),
                None => {
                    gates.insert(at, what);
                    at += 1;
                }
            }
        }
        let mut refusing = list.iter().filter(|(_, found)| found.is_err()).map(|(what, _)| *what);
        let Some(first) = refusing.next() else { return };
        for second in refusing {
            *self.pairs.entry((kind, first, second)).or_default() += 1;
        }
    }

    /// Which pairs there are, by the next one that can meet each.
    fn neighbours(&self) -> Vec<(OperationKind, &'static str, &'static str)> {
        let mut neighbours = Vec::new();
        for (kind, gates) in &self.gates {
            for (place, first) in gates.iter().enumerate() {
                let behind = gates[place + 1..].iter();
                let next = behind.copied().find(|second| !reach::never_meet(*kind, first, second));
                neighbours.extend(next.map(|second| (*kind, *first, second)));
            }
        }
        neighbours
    }

    /// What an operation was not seen to be answered, or was and should not be; and the pairs that were not met.
    fn missing(&self) -> Vec<(OperationKind, String)> {
        let mut missing = Vec::new();
        for kind in OperationKind::ALL.iter().filter(|kind| **kind != OperationKind::Continue) {
            let mut wanted: BTreeSet<_> = reach::answers(*kind).into_iter().map(Some).collect();
            if kind.spec().id != IdRule::Internal {
                wanted.insert(None);
            }
            let is_rare = |code: &Option<ResultCode>| code.is_some_and(|code| reach::is_rare(*kind, code));
            let seen = |code: &Option<ResultCode>| self.answers.contains_key(&(*kind, *code));
            for code in wanted.iter().filter(|code| !seen(code) && !is_rare(code)) {
                missing.push((*kind, name(*code).to_owned()));
            }
            let given = self.answers.keys().filter(|(of, _)| of == kind).map(|(_, code)| code);
            for code in given.filter(|code| !wanted.contains(code) && !is_rare(code)) {
                missing.push((*kind, format!("{} was given, and nothing says that it can be", name(*code))));
            }
        }
        for (kind, first, second) in self.neighbours() {
            if !self.pairs.contains_key(&(kind, first, second)) {
                missing.push((kind, format!("{first} before {second}")));
            }
        }
        missing
    }

    /// The operations of which something was not seen yet.
    pub(crate) fn wanting(&self) -> BTreeSet<OperationKind> {
        self.missing().into_iter().map(|(kind, _)| kind).collect()
    }

    pub(crate) fn assert_complete(&self) {
        let missing = self.missing().into_iter().map(|(kind, what)| format!("{}: {what}", kind.name()));
        let mut missing: Vec<_> = missing.collect();
        if self.largest_group < GROUP_MAX {
            missing.push(format!("no group of {GROUP_MAX} was executed"));
        }
        for code in ResultCode::ALL.iter().filter(|code| !reach::NOT_HERE.contains(code)) {
            if !self.answers.keys().any(|(_, given)| *given == Some(*code)) {
                missing.push(format!("never given: {}", code.name()));
            }
        }
        assert!(missing.is_empty(), "{} not reached:\n{}", missing.len(), missing.join("\n"));
    }
}

fn name(code: Option<ResultCode>) -> &'static str {
    code.map_or("(repeated)", ResultCode::name)
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "answers of each operation:")?;
        for ((kind, code), count) in &self.answers {
            writeln!(f, "{count:>9}  {:<19} {}", kind.name(), name(*code))?;
        }
        writeln!(f, "pairs of neighbours, where both stood in the way and the first was the answer:")?;
        for (kind, first, second) in self.neighbours() {
            let count = self.pairs.get(&(kind, first, second)).copied().unwrap_or(0);
            writeln!(f, "{count:>9}  {:<19} {first} before {second}", kind.name())?;
        }
        let Self { groups_done, groups_refused, largest_group, .. } = self;
        write!(f, "groups: {groups_done} executed (the largest of {largest_group}), {groups_refused} refused")
    }
}
