//! The rules of the house's games.
//!
//! In: a mode (`dice-under-5000`, `crash-at-200`), a stake, 32 bits of chance. Out: what was rolled and what it pays. All
//! numbers are hundredths. Never here: a float: 99 of 100 units come back in the long run, rounded down.

/// The share of all stakes that comes back, in hundredths.
const RETURN_HUNDREDTHS: u128 = 99;
/// A roll is one of so many, from 0.00 to 100.00.
const ROLLS: u64 = 10_001;
/// The greatest multiplier, in hundredths.
pub const MULTIPLIER_MAX: u32 = 1_000_000;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The roll is below this, in hundredths.
    DiceUnder(u32),
    /// The crash comes no earlier than this, in hundredths of the stake.
    CrashAt(u32),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolled {
    /// The roll, or where it crashed, in hundredths.
    pub result: u32,
    /// What it pays, stake included, in the stake's unit.
    pub payout: u128,
}

impl Mode {
    /// The mode of this name.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        // A number has one way to be written.
        let number = |text: &str| text.parse().ok().filter(|number: &u32| number.to_string() == text);
        if let Some(target) = text.strip_prefix("dice-under-") {
            return number(target).filter(|target| (1..=9_900).contains(target)).map(Self::DiceUnder);
        }
        let at = number(text.strip_prefix("crash-at-")?)?;
        (101..=MULTIPLIER_MAX).contains(&at).then_some(Self::CrashAt(at))
    }

    /// The most that it can pay for a stake.
    #[must_use]
    pub fn payout_max(self, stake: u128) -> u128 {
        match self {
            // 0.99 x 10,001 / target, which at the smallest target is less than the greatest multiplier.
            Self::DiceUnder(target) => {
                stake.saturating_mul(RETURN_HUNDREDTHS * u128::from(ROLLS)) / (100 * u128::from(target))
            }
            Self::CrashAt(at) => stake.saturating_mul(u128::from(at)) / 100,
        }
    }

    /// What this chance comes to.
    #[must_use]
    pub fn roll(self, stake: u128, chance: u32) -> Rolled {
        let (result, won) = match self {
            Self::DiceUnder(target) => {
                let roll = ((u64::from(chance) * ROLLS) >> 32) as u32;
                (roll, roll < target)
            }
            Self::CrashAt(at) => {
                let whole = 1_u64 << 32;
                let point = RETURN_HUNDREDTHS as u64 * whole / (whole - u64::from(chance));
                let point = point.clamp(100, u64::from(MULTIPLIER_MAX)) as u32;
                (point, point >= at)
            }
        };
        Rolled { result, payout: if won { self.payout_max(stake) } else { 0 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_is_the_published_one() {
        let rolled = Mode::DiceUnder(5_000).roll(100, 0x1300_e16f);
        assert_eq!(rolled, Rolled { result: 742, payout: 198 });
        assert_eq!(Mode::DiceUnder(742).roll(100, 0x1300_e16f).payout, 0, "not below itself");
        assert_eq!(Mode::DiceUnder(1).roll(100, 0).result, 0);
        assert_eq!(Mode::DiceUnder(9_900).roll(100, u32::MAX).result, 10_000);
        assert_eq!(Mode::CrashAt(200).roll(100, 0).result, 100, "at once");
        assert_eq!(Mode::CrashAt(200).roll(100, u32::MAX), Rolled { result: MULTIPLIER_MAX, payout: 200 });
    }

    #[test]
    fn a_mode_has_one_name() {
        assert_eq!(Mode::read("dice-under-5000"), Some(Mode::DiceUnder(5_000)));
        assert_eq!(Mode::read("crash-at-101"), Some(Mode::CrashAt(101)));
        for text in [
            "dice-under-0",
            "dice-under-9901",
            "dice-under-050",
            "dice-under-+5",
            "crash-at-100",
            "crash-at-1000001",
            "BASE",
            "",
        ] {
            assert_eq!(Mode::read(text), None, "{text}");
        }
    }

    /// Over all chances that differ in their upper 16 bits, 99 of 100 come back, within what rounding takes.
    #[test]
    fn ninety_nine_of_a_hundred_come_back() {
        for mode in [
            Mode::DiceUnder(5_000),
            Mode::DiceUnder(100),
            Mode::DiceUnder(9_900),
            Mode::CrashAt(200),
            Mode::CrashAt(1_000),
        ] {
            let stake = 1_000_000;
            let paid: u128 = (0..=u16::MAX).map(|high| mode.roll(stake, u32::from(high) << 16).payout).sum();
            let share = paid * 10_000 / (stake * 65_536);
            assert!((9_850..=9_950).contains(&share), "{mode:?}: {share}");
        }
    }
}
