//! The bad days of a provider, on order: for drills and for the demo.
//!
//! In: a plan like `drop=5,garbage=2` (percent of the answers) and a seed. Out: which fault the next answer has. Never
//! here: a fault that nobody ordered.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It comes late.
    Delay,
    /// The request is not carried out, and the connection ends.
    Lose,
    /// The request is carried out, and the connection ends without an answer.
    Drop,
    /// The request is carried out twice, as if it had been sent twice.
    Duplicate,
    /// The answer is about another bet.
    WrongEcho,
    /// The answer pays more than the bet can win.
    OverCap,
    /// The answer ends in the middle.
    Cut,
    /// The request is carried out, and the answer is an error.
    Error,
    /// The answer is no JSON.
    Garbage,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::Delay,
        Self::Lose,
        Self::Drop,
        Self::Duplicate,
        Self::WrongEcho,
        Self::OverCap,
        Self::Cut,
        Self::Error,
        Self::Garbage,
    ];

    /// Its name in a plan.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Lose => "lose",
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::WrongEcho => "wrong-echo",
            Self::OverCap => "over-cap",
            Self::Cut => "cut",
            Self::Error => "error",
            Self::Garbage => "garbage",
        }
    }
}

/// How often each fault comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    percent: Vec<(Fault, u32)>,
}

impl std::str::FromStr for FaultPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut percent = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let named = part.split_once('=').and_then(|(name, share)| {
                let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name)?;
                Some((fault, share.parse().ok()?))
            });
            percent.push(named.ok_or_else(|| {
                let names = Fault::ALL.map(Fault::name).join(", ");
                format!("{part:?}: expected NAME=PERCENT, where NAME is one of {names}")
            })?);
        }
        if percent.iter().map(|(_, share)| *share).fold(0, u32::saturating_add) > 100 {
            return Err("more than 100 percent in all".to_owned());
        }
        Ok(Self { percent })
    }
}

/// The faults to come.
#[derive(Debug)]
pub struct Faults {
    plan: FaultPlan,
    random: StdRng,
}

impl Faults {
    /// By a plan; the same seed gives the same faults in the same order of requests.
    #[must_use]
    pub fn new(plan: FaultPlan, seed: u64) -> Self {
        Self { plan, random: StdRng::seed_from_u64(seed) }
    }

    /// The next answer's fault, if it has one.
    pub fn draw(&mut self) -> Option<Fault> {
        if self.plan.percent.is_empty() {
            return None;
        }
        let mut drawn = self.random.random_range(0..100);
        for (fault, share) in &self.plan.percent {
            if drawn < *share {
                return Some(*fault);
            }
            drawn -= share;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_as_often_as_ordered() {
        let plan: FaultPlan = "drop=10,garbage=20".parse().expect("a plan");
        let mut faults = Faults::new(plan, 7);
        let drawn: Vec<_> = (0..10_000).map(|_| faults.draw()).collect();
        let count = |fault| drawn.iter().filter(|drawn| **drawn == fault).count();
        assert!((800..1_200).contains(&count(Some(Fault::Drop))));
        assert!((1_700..2_300).contains(&count(Some(Fault::Garbage))));
        assert!(Faults::new(FaultPlan::default(), 7).draw().is_none());
        assert!("drop".parse::<FaultPlan>().is_err() && "drop=60,lose=60".parse::<FaultPlan>().is_err());
    }
}
