//! One bet on its way, as a state machine: what happened goes in, what to do next comes out.
//!
//! In: events. Out: steps. Never here: I/O, a clock, randomness, an assumption that a silent provider did nothing.
//!
//! ```text
//!  Send --outcome--> Settle --> Finish(Settled)
//!   | unclear          ^
//!   v                  |outcome
//!  Send again (same id), then Ask --never came--> Void --acknowledged--> Release --> Finish(Cancelled)
//! ```
//!
//! A hold is released only when the provider has said that nothing happened and nothing will: a bet it does not know it
//! could still get, so it is told to void it first.

use serde::{Deserialize, Serialize};

/// How often a bet is sent again, or asked for, before the next way is tried.
const TRIES: u32 = 3;
/// After how many unclear answers a bet is one that people are told of. It is worked on all the same.
const DOUBT_AFTER: u32 = 4;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The provider said what came of it, and that was found right.
    Outcome {
        /// What it pays.
        payout: u128,
    },
    /// The provider said that it did not take the bet, and will not.
    NotTaken,
    /// The provider does not know the bet.
    NeverCame,
    /// The provider has made the bet void.
    Voided,
    /// No answer, or none that can be believed.
    Unclear,
    /// The ledger has paid.
    Settled,
    /// The ledger has given the stake back.
    Released,
    /// The ledger says that it ended in the other way before.
    EndedOtherwise,
    /// The ledger did not answer, or not yet.
    LedgerUnclear,
    /// An operator has decided.
    Decided(Decision),
}

/// What an operator decides of a bet that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The provider is told that the bet is void; the stake is given back when it has said so.
    Void,
    /// The stake is given back, whatever the provider says or does not say.
    Cancel,
    /// So much is paid, as the provider's list says.
    Settle {
        /// How much, in the asset's smallest unit.
        #[serde(with = "text")]
        payout: u128,
    },
}

impl Decision {
    /// Its name, as operators and monitors are told it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Cancel => "cancel",
            Self::Settle { .. } => "settle",
        }
    }
}

/// Amounts as text: JSON's readers do not agree on how long a number may be.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the bet, under its id.
    Send,
    /// Ask the provider what became of it.
    Ask,
    /// Tell the provider that the bet is void.
    Void,
    /// Have the ledger pay.
    Settle {
        /// How much.
        payout: u128,
    },
    /// Have the ledger give the stake back.
    Release,
    /// Nothing: it is over.
    Finish(Ended),
}

/// How a bet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this payout.
    Settled {
        /// How much.
        payout: u128,
    },
    /// The stake was given back.
    Cancelled,
    /// The provider and the ledger do not agree: nothing was moved, people have to look.
    Dispute,
}

/// A bet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    step: Step,
    /// Unclear answers to the step, one after the other.
    tries: u32,
    /// Unclear answers in all.
    unclear: u32,
    /// Whether the same bet may be sent twice: the provider knows it by its id.
    repeats: bool,
}

impl Machine {
    /// A bet whose stake was just set aside.
    #[must_use]
    pub const fn reserved(repeats: bool) -> Self {
        Self { step: Step::Send, tries: 0, unclear: 0, repeats }
    }

    /// A bet that was begun by a bridge that is no more. It may have been sent or not; if an outcome was written down, it
    /// may have been paid, and is not to be made void any more.
    #[must_use]
    pub const fn taken_over(repeats: bool, outcome: Option<u128>) -> Self {
        let step = match outcome {
            Some(payout) => Step::Settle { payout },
            None => Step::Ask,
        };
        Self { step, tries: 0, unclear: 0, repeats }
    }

    /// A bet of which nobody knows whether its stake was set aside: it is never sent.
    #[must_use]
    pub const fn to_void() -> Self {
        Self { step: Step::Void, tries: 0, unclear: 0, repeats: false }
    }

    /// Whether an operator may still decide: the ledger has not been asked to end it.
    #[must_use]
    pub const fn can_be_decided(&self) -> bool {
        matches!(self.step, Step::Send | Step::Ask | Step::Void)
    }

    /// What to do now.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// How often nobody knew.
    #[must_use]
    pub const fn unclear(&self) -> u32 {
        self.unclear
    }

    /// Whether people should be told of it.
    #[must_use]
    pub const fn is_in_doubt(&self) -> bool {
        self.unclear >= DOUBT_AFTER && !matches!(self.step, Step::Finish(_))
    }

    /// How many pauses there were for this step: the next one is longer.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    fn go(&mut self, step: Step) {
        if self.step != step {
            self.tries = 0;
        }
        self.step = step;
    }

    /// Takes note of what happened. What does not fit the step changes nothing: it came late, or twice.
    pub fn on(&mut self, event: Event) {
        let next = match (self.step, event) {
            (Step::Send | Step::Ask | Step::Void, Event::Outcome { payout }) => Step::Settle { payout },
            (Step::Send | Step::Ask | Step::Void, Event::Decided(decision)) => match decision {
                Decision::Void => Step::Void,
                Decision::Cancel => Step::Release,
                Decision::Settle { payout } => Step::Settle { payout },
            },
            // The provider has said that nothing will come of it.
            (Step::Send | Step::Ask | Step::Void, Event::Voided) => Step::Release,
            (Step::Send, Event::NotTaken) => Step::Release,
            (Step::Send | Step::Ask, Event::NeverCame) => Step::Void,
            (Step::Send, Event::Unclear) => {
                let again = self.repeats && self.tries + 1 < TRIES;
                return self.unclear_to(if again { Step::Send } else { Step::Ask });
            }
            (Step::Ask, Event::Unclear) => {
                let again = self.tries + 1 < TRIES;
                return self.unclear_to(if again { Step::Ask } else { Step::Void });
            }
            // Until it is acknowledged, for as long as it takes.
            (Step::Void, Event::Unclear | Event::NeverCame) => return self.unclear_to(Step::Void),
            (Step::Settle { payout }, Event::Settled) => Step::Finish(Ended::Settled { payout }),
            (Step::Release, Event::Released) => Step::Finish(Ended::Cancelled),
            (Step::Settle { .. } | Step::Release, Event::EndedOtherwise) => Step::Finish(Ended::Dispute),
            (step @ (Step::Settle { .. } | Step::Release), Event::LedgerUnclear) => {
                return self.unclear_to(step);
            }
            _ => return,
        };
        self.go(next);
    }

    fn unclear_to(&mut self, step: Step) {
        self.unclear += 1;
        self.tries = if self.step == step { self.tries + 1 } else { 0 };
        self.step = step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A provider and a ledger that are true to themselves, behind a network that is not.
    #[derive(Debug, Default)]
    struct World {
        /// What the provider decided; `Some(None)` = void.
        provider: Option<Option<u128>>,
        /// How the ledger ended the hold.
        ledger: Option<Option<u128>>,
    }

    impl World {
        /// Carries a step out, unless the network loses the request; gives the answer, unless it loses that.
        fn carry_out(&mut self, step: Step, lost: u8, payout: u128) -> Event {
            let (request_lost, answer_lost) = (lost & 1 == 1, lost & 2 == 2);
            let unclear = match step {
                Step::Settle { .. } | Step::Release => Event::LedgerUnclear,
                _ => Event::Unclear,
            };
            if request_lost {
                return unclear;
            }
            let event = match step {
                Step::Send => match *self.provider.get_or_insert(Some(payout)) {
                    Some(payout) => Event::Outcome { payout },
                    None => Event::NotTaken,
                },
                Step::Ask => match self.provider {
                    None => Event::NeverCame,
                    Some(Some(payout)) => Event::Outcome { payout },
                    Some(None) => Event::Voided,
                },
                Step::Void => {
                    self.provider = Some(None);
                    Event::Voided
                }
                Step::Settle { payout } => match *self.ledger.get_or_insert(Some(payout)) {
                    Some(_) => Event::Settled,
                    None => Event::EndedOtherwise,
                },
                Step::Release => match *self.ledger.get_or_insert(None) {
                    None => Event::Released,
                    Some(_) => Event::EndedOtherwise,
                },
                Step::Finish(_) => unreachable!("it is over"),
            };
            if answer_lost { unclear } else { event }
        }
    }

    proptest! {
        /// Whatever is lost, and whenever the bridge is killed: provider and ledger end in the same way.
        #[test]
        fn provider_and_ledger_agree_whatever_is_lost(
            lost in proptest::collection::vec(0_u8..4, 0..40),
            kills in proptest::collection::vec(any::<bool>(), 0..40),
            repeats: bool,
        ) {
            let mut world = World::default();
            let mut machine = Machine::reserved(repeats);
            // Written down, durably, before the ledger is asked to pay.
            let mut outcome = None;
            let mut moments = lost.into_iter().zip(kills.into_iter().chain(std::iter::repeat(false)));
            for _ in 0..200 {
                if let Step::Finish(_) = machine.step() { break }
                let (lost, killed) = moments.next().unwrap_or((0, false));
                if let Step::Settle { payout } = machine.step() {
                    outcome = Some(payout);
                }
                let event = world.carry_out(machine.step(), lost, 198);
                machine.on(event);
                if killed && !matches!(machine.step(), Step::Finish(_)) {
                    machine = Machine::taken_over(repeats, outcome);
                }
            }
            prop_assert!(matches!(machine.step(), Step::Finish(_)), "{machine:?}");
            prop_assert_eq!(world.ledger, world.provider, "{:?}", machine);
            prop_assert_ne!(machine.step(), Step::Finish(Ended::Dispute));
        }
    }

    #[test]
    fn a_silent_provider_is_never_taken_for_one_that_did_nothing() {
        let mut machine = Machine::reserved(true);
        for _ in 0..1_000 {
            machine.on(Event::Unclear);
            assert!(matches!(machine.step(), Step::Send | Step::Ask | Step::Void), "{machine:?}");
        }
        assert!(machine.is_in_doubt());
        assert_eq!(machine.step(), Step::Void);
        machine.on(Event::Voided);
        assert_eq!(machine.step(), Step::Release);
    }

    #[test]
    fn a_late_outcome_of_a_bet_that_was_given_back_is_a_dispute_and_pays_nothing() {
        let mut machine = Machine::taken_over(true, None);
        machine.on(Event::Outcome { payout: 5 });
        machine.on(Event::EndedOtherwise);
        assert_eq!(machine.step(), Step::Finish(Ended::Dispute));
        machine.on(Event::Outcome { payout: 5 });
        assert_eq!(machine.step(), Step::Finish(Ended::Dispute), "what comes later changes nothing");
    }

    #[test]
    fn an_operator_ends_what_a_provider_leaves_open_and_nothing_that_has_an_end() {
        let decided = |decision| {
            let mut machine = Machine::reserved(true);
            machine.on(Event::Unclear);
            machine.on(Event::Decided(decision));
            machine
        };
        assert_eq!(decided(Decision::Void).step(), Step::Void, "the provider has to say so, too");
        let mut machine = decided(Decision::Cancel);
        assert_eq!(machine.step(), Step::Release, "on the operator's word alone");
        machine.on(Event::Outcome { payout: 5 });
        assert_eq!(machine.step(), Step::Release, "what comes later changes nothing");
        let mut machine = decided(Decision::Settle { payout: 7 });
        assert_eq!(machine.step(), Step::Settle { payout: 7 });
        machine.on(Event::Decided(Decision::Cancel));
        assert_eq!(machine.step(), Step::Settle { payout: 7 }, "decided once");
        let mut machine = Machine::taken_over(true, Some(3));
        machine.on(Event::Decided(Decision::Cancel));
        assert_eq!(machine.step(), Step::Settle { payout: 3 }, "an outcome that was written down stands");
    }

    #[test]
    fn a_decision_is_the_same_after_it_was_written() {
        for decision in [Decision::Void, Decision::Cancel, Decision::Settle { payout: u128::MAX }] {
            let text = serde_json::to_string(&decision).expect("text");
            assert_eq!(serde_json::from_str::<Decision>(&text).expect("a decision"), decision, "{text}");
        }
    }

    #[test]
    fn a_bet_that_may_not_be_sent_twice_is_asked_for() {
        let mut machine = Machine::reserved(false);
        machine.on(Event::Unclear);
        assert_eq!(machine.step(), Step::Ask);
        machine.on(Event::NeverCame);
        assert_eq!(machine.step(), Step::Void, "it may still be on its way");
    }
}
