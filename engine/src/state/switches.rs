//! What every wager asks of the rules, kept so that asking costs a bit and no search.
//!
//! In: each change of a rule. Out: yes or no. The rules themselves are rows; this repeats some of them.

use alloc::vec::Vec;

use crate::field::Rule;

/// One bit per brand or jurisdiction.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn contains(&self, scope: u16) -> bool {
        self.0.get(usize::from(scope) / 64).is_some_and(|word| word >> (scope % 64) & 1 == 1)
    }

    fn set(&mut self, scope: u16, value: bool) {
        let place = usize::from(scope) / 64;
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        let bit = 1 << (scope % 64);
        if value {
            self.0[place] |= bit;
        } else {
            self.0[place] &= !bit;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Switches {
    flags: [Bits; 3],
    /// Of each rule, how many rows there are.
    counts: [u32; Rule::ALL.len() + 1],
}

/// The rules that are yes or no for a brand or a jurisdiction.
const FLAGS: [Rule; 3] = [Rule::TransfersInBrand, Rule::TransfersInJurisdiction, Rule::SessionsRequired];

impl Switches {
    pub(crate) const fn new() -> Self {
        Self {
            flags: [Bits(Vec::new()), Bits(Vec::new()), Bits(Vec::new())],
            counts: [0; Rule::ALL.len() + 1],
        }
    }

    /// Whether one of the rules that are yes or no says yes.
    pub(crate) fn is_on(&self, rule: Rule, scope: u16) -> bool {
        debug_assert!(FLAGS.contains(&rule), "a rule that is yes or no");
        self.flags[rule as usize - 1].contains(scope)
    }

    /// Whether a rule is set for any scope at all.
    pub(crate) const fn any(&self, rule: Rule) -> bool {
        self.counts[rule as usize] != 0
    }

    /// A rule is set, or taken back; `more` and `less` are rows.
    pub(crate) fn changed(&mut self, rule: Rule, scope: u64, on: bool, was_on: bool) {
        let count = &mut self.counts[rule as usize];
        *count = *count + u32::from(on) - u32::from(was_on);
        if FLAGS.contains(&rule) {
            self.flags[rule as usize - 1].set(scope as u16, on);
        }
    }
}
