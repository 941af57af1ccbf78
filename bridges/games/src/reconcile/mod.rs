//! Comparing what the ledger says of a provider's rounds with what the provider says.
//!
//! In: the rounds of both for a period. Out: a report: what differs, of which kind, with both sides. The same for the same
//! input. Nothing of what the bridge remembers is looked at, and nothing is corrected. Never here: a network, a clock, a
//! verdict `clean` about something that was not seen.
//!
//! `ours` makes rounds of the ledger's records, `theirs` of a provider's list; `live` asks both.

mod live;
mod ours;
mod theirs;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Serialize, Serializer};

pub use live::{LiveFault, Question, compare};
pub use ours::Books;
pub use theirs::{ListFault, read_list};

/// How a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Something is at stake.
    Open,
    /// Nothing is at stake any more, and something was.
    Settled,
    /// All that was at stake was given back.
    Cancelled,
}

/// A round, as one side has it. Amounts are in the asset's smallest unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Round {
    /// Its name, as people can look it up on that side.
    pub name: String,
    /// In what.
    pub currency: String,
    /// How much was staked, without what was given back.
    #[serde(serialize_with = "text")]
    pub stake: u128,
    /// How much was paid.
    #[serde(serialize_with = "text")]
    pub payout: u128,
    /// How it stands.
    pub state: State,
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Amounts as text: JSON's readers do not agree on how long a number may be.
fn text<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Rounds by their keys.
pub type Rounds = BTreeMap<u128, Round>;

/// In what way a round differs. The names are what scripts look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The provider has it, the ledger does not.
    MissingHere,
    /// The ledger has it, the provider does not.
    MissingThere,
    /// Another currency.
    OtherCurrency,
    /// Another stake.
    OtherStake,
    /// Another payout.
    OtherPayout,
    /// One has given the stake back, the other has not.
    OtherState,
    /// The ledger has not ended it, whatever the provider says.
    InDoubt,
}

/// A round that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In what way.
    pub kind: Kind,
    /// As the ledger has it.
    pub ours: Option<Round>,
    /// As the provider has it.
    pub theirs: Option<Round>,
}

/// What all in all is to be thought of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything was seen, and nothing differs.
    Clean,
    /// Something differs.
    Differences,
    /// Not everything was seen: of what was not, nothing is known.
    Incomplete,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which provider.
    pub provider: String,
    /// From when on rounds were compared, in milliseconds since 1970.
    pub from_ms: u64,
    /// Before when they began.
    pub to_ms: u64,
    /// Up to which record the ledger was read.
    pub lsn: u64,
    /// How many rounds were compared.
    pub compared: u64,
    /// Stakes and payouts by currency, of the ledger's.
    pub ours: BTreeMap<String, Sums>,
    /// And of the provider's.
    pub theirs: BTreeMap<String, Sums>,
    /// What differs, by kind and then by round.
    pub differences: Vec<Difference>,
    /// Why something was not seen; empty if everything was.
    pub unseen: Vec<String>,
    /// All in all.
    pub verdict: Verdict,
}

/// What rounds add up to that were not given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Staked.
    #[serde(serialize_with = "text")]
    pub stake: u128,
    /// Paid.
    #[serde(serialize_with = "text")]
    pub payout: u128,
}

fn sums<'r>(rounds: impl Iterator<Item = &'r Round>) -> BTreeMap<String, Sums> {
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    for round in rounds.filter(|round| round.state != State::Cancelled) {
        let sum = sums.entry(round.currency.clone()).or_default();
        sum.stake = sum.stake.saturating_add(round.stake);
        sum.payout = sum.payout.saturating_add(round.payout);
    }
    sums
}

/// What differs between the two sides of one round, one kind after the other.
fn between(ours: &Round, theirs: &Round) -> Vec<Kind> {
    if ours.state == State::Open {
        return vec![Kind::InDoubt];
    }
    let is_void = |round: &Round| round.state == State::Cancelled;
    if is_void(ours) != is_void(theirs) {
        return vec![Kind::OtherState];
    }
    if is_void(ours) {
        return Vec::new();
    }
    let kinds = [
        (ours.currency != theirs.currency, Kind::OtherCurrency),
        (ours.stake != theirs.stake, Kind::OtherStake),
        (ours.payout != theirs.payout, Kind::OtherPayout),
    ];
    kinds.into_iter().filter(|(differs, _)| *differs).map(|(_, kind)| kind).collect()
}

/// Compares the rounds of a period both ways. `ours` are all of the ledger's, `theirs` those of the list, which reaches somewhat
/// further than the period: two clocks never agree on which side of its end a round began.
#[must_use]
pub fn report(
    provider: &str,
    period: &Range<u64>,
    lsn: u64,
    ours: &Rounds,
    theirs: &Rounds,
    unseen: Vec<String>,
) -> Report {
    let mut differences = Vec::new();
    let mut compared = 0;
    let in_period = |round: &Round| period.contains(&round.at_ms);
    for (key, round) in theirs {
        let known = ours.get(key);
        if !in_period(round) && !known.is_some_and(in_period) {
            continue;
        }
        compared += 1;
        let kinds = match known {
            Some(known) => between(known, round),
            // Void there, and never anything here: nothing moved on either side.
            None if round.state == State::Cancelled => Vec::new(),
            None => vec![Kind::MissingHere],
        };
        let differ = kinds.into_iter().map(|kind| Difference {
            kind,
            ours: known.cloned(),
            theirs: Some(round.clone()),
        });
        differences.extend(differ);
    }
    for (_, round) in ours.iter().filter(|(key, round)| in_period(round) && !theirs.contains_key(key)) {
        compared += 1;
        let kind = match round.state {
            State::Cancelled => continue,
            State::Open => Kind::InDoubt,
            State::Settled => Kind::MissingThere,
        };
        differences.push(Difference { kind, ours: Some(round.clone()), theirs: None });
    }
    differences.sort_by_key(|one| one.kind);
    let verdict = match (unseen.is_empty(), differences.is_empty()) {
        (false, _) => Verdict::Incomplete,
        (true, true) => Verdict::Clean,
        (true, false) => Verdict::Differences,
    };
    Report {
        provider: provider.to_owned(),
        from_ms: period.start,
        to_ms: period.end,
        lsn,
        compared,
        ours: sums(ours.values().filter(|round| in_period(round))),
        theirs: sums(theirs.values().filter(|round| in_period(round))),
        differences,
        unseen,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(key: u128, stake: u128, payout: u128, state: State) -> (u128, Round) {
        let name = format!("r{key}");
        (key, Round { name, currency: "EUR".to_owned(), stake, payout, state, at_ms: 1_000 + key as u64 })
    }

    fn honest(rounds: &[(u128, u128, bool)]) -> Rounds {
        let each = rounds.iter().zip(0_u128..).map(|((stake, payout, void), key)| match void {
            false => round(key, *stake, *payout, State::Settled),
            true => round(key, *stake, 0, State::Cancelled),
        });
        each.collect()
    }

    const PERIOD: Range<u64> = 0..1_000_000;

    fn kinds(ours: &Rounds, theirs: &Rounds) -> Vec<Kind> {
        let report = report("p", &PERIOD, 1, ours, theirs, Vec::new());
        report.differences.into_iter().map(|difference| difference.kind).collect()
    }

    /// What can be wrong with a round, and what that is called.
    fn plant(ours: &mut Rounds, theirs: &mut Rounds, key: u128, what: u8) -> Kind {
        let mine = ours.get_mut(&key).expect("a round");
        *mine = round(key, 7, 5, State::Settled).1;
        theirs.insert(key, mine.clone());
        let there = theirs.get_mut(&key).expect("a round");
        match what {
            0 => {
                ours.remove(&key);
                Kind::MissingHere
            }
            1 => {
                theirs.remove(&key);
                Kind::MissingThere
            }
            2 => {
                there.currency = "USD".to_owned();
                Kind::OtherCurrency
            }
            3 => {
                there.stake += 1;
                Kind::OtherStake
            }
            4 => {
                there.payout += 1;
                Kind::OtherPayout
            }
            5 => {
                there.state = State::Cancelled;
                Kind::OtherState
            }
            6 => {
                mine.state = State::Cancelled;
                Kind::OtherState
            }
            _ => {
                mine.state = State::Open;
                Kind::InDoubt
            }
        }
    }

    proptest! {
        /// Whatever is planted is found, of its kind, and nothing else; what is honest has no difference.
        #[test]
        fn every_difference_that_is_planted_is_found_and_no_other(
            rounds in proptest::collection::vec((1_u128..1_000, 0_u128..1_000, any::<bool>()), 1..40),
            plants in proptest::collection::btree_map(0_usize..40, 0_u8..8, 0..6),
        ) {
            let mut ours = honest(&rounds);
            let mut theirs = ours.clone();
            prop_assert_eq!(kinds(&ours, &theirs), Vec::new());
            let mut planted = Vec::new();
            for (place, what) in plants.into_iter().filter(|(place, _)| *place < rounds.len()) {
                planted.push(plant(&mut ours, &mut theirs, place as u128, what));
            }
            planted.sort_unstable();
            prop_assert_eq!(kinds(&ours, &theirs), planted);
        }
    }

    #[test]
    fn what_was_not_seen_is_never_called_clean() {
        let ours = honest(&[(1, 2, false)]);
        let report = report("p", &PERIOD, 1, &ours, &ours, vec!["a page did not come".to_owned()]);
        assert_eq!((report.verdict, report.differences.len()), (Verdict::Incomplete, 0));
    }

    #[test]
    fn a_round_at_the_end_of_the_period_is_looked_for_beyond_it() {
        let ours: Rounds = [round(5, 1, 2, State::Settled)].into();
        let mut theirs = ours.clone();
        theirs.get_mut(&5).expect("a round").at_ms += 3;
        let report = report("p", &(0..1_006), 1, &ours, &theirs, Vec::new());
        assert_eq!((report.verdict, report.compared), (Verdict::Clean, 1), "their clock is late");
        let report = self::report("p", &(1_006..2_000), 1, &ours, &theirs, Vec::new());
        assert_eq!((report.verdict, report.compared), (Verdict::Clean, 1), "and the next period has it");
    }

    #[test]
    fn a_bet_that_is_void_there_and_never_was_here_is_no_difference() {
        let theirs: Rounds = [round(1, 5, 0, State::Cancelled)].into();
        assert_eq!(kinds(&Rounds::new(), &theirs), Vec::new());
        assert_eq!(kinds(&theirs, &Rounds::new()), Vec::new(), "nor the other way round");
    }
}
