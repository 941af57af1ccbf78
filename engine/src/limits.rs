//! A player's limits: how much of what, over which time, and how much of it is used. Pure arithmetic.
//!
//! In: times and values in the reference asset's smallest unit. Out: whether something is over a limit, and the new
//! counters. Never here: players, assets, rates. The rules: the stricter of the player's and the house's limit
//! counts; a stricter one at once, a looser one of the player's own only after a time for reconsideration
//! (GLI-19 2.5.5 b, A.3.7).

use core::array;

use crate::code::ResultCode;
use crate::field::{Field, LimitKind, Period};
use crate::state::{Fed, Hasher};
use crate::time::Timestamp;

/// The greatest value that a limit can have, and that one amount can count.
pub const LIMIT_MAX: u64 = i64::MAX as u64;

const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A day of a brand's own, as its number since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i32);

impl Day {
    /// Where nothing is counted, any day will do.
    pub const NONE: Self = Self(0);

    /// Of `time`, where days begin `begins_minutes` after 00:00 UTC.
    #[must_use]
    pub const fn of(time: Timestamp, begins_minutes: u16) -> Self {
        let seconds = (time.0 / NANOS_PER_SECOND) as i64 - begins_minutes as i64 * 60;
        Self(seconds.div_euclid(SECONDS_PER_DAY) as i32)
    }

    /// Whether it is the same day as the other one, lies in the same week, and in the same month.
    fn shares(self, other: Self) -> [bool; 3] {
        if self == other {
            return [true; 3];
        }
        let (own, others) = (Starts::of(self).0, Starts::of(other).0);
        array::from_fn(|at| own[at] == others[at])
    }
}

impl Fed for Day {
    fn feed(&self, hasher: &mut Hasher) {
        hasher.u64(i64::from(self.0) as u64);
    }
}

/// The first day of a day, of its week and of its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Starts([i64; 3]);

impl Starts {
    /// Weeks begin on Monday.
    const fn of(day: Day) -> Self {
        let day = day.0 as i64;
        // 1970-01-01 was a Thursday.
        let week = day - (day + 3).rem_euclid(7);
        Self([day, week, day - day_of_month(day)])
    }
}

/// How many days of its month lie before this day (civil calendar, proleptic Gregorian; the algorithm counts years
/// from March, so that the leap day is a year's last).
const fn day_of_month(day: i64) -> i64 {
    const DAYS_TO_1970: i64 = 719_468;
    const DAYS_PER_ERA: i64 = 146_097;
    let day_of_era = (day + DAYS_TO_1970).rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (DAYS_PER_ERA - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month + 2) / 5
}

/// A limit: the player's own, what it will be, and the house's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    player: u64,
    pending: u64,
    /// 0 = nothing is pending.
    pending_at: Timestamp,
    house: u64,
}

/// No limit: greater than all.
const NONE: u64 = u64::MAX;

impl Bound {
    const NONE: Self = Self { player: NONE, pending: NONE, pending_at: Timestamp(0), house: NONE };

    const fn player_at(&self, now: Timestamp) -> u64 {
        if self.pending_at.0 != 0 && self.pending_at.0 <= now.0 { self.pending } else { self.player }
    }

    /// The stricter of the player's and the house's; none if neither set one.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> Option<u64> {
        Some(self.player_at(now).min(self.house)).filter(|limit| *limit != NONE)
    }

    /// Sets the player's own; says whether it waits.
    fn set_player(&mut self, now: Timestamp, limit: u64, wait_millis: u64) -> bool {
        let current = self.player_at(now);
        self.player = current;
        let later = limit > current;
        if later {
            self.pending = limit;
            self.pending_at = now.plus_millis(wait_millis);
        } else {
            (self.player, self.pending, self.pending_at) = (limit, NONE, Timestamp(0));
        }
        later
    }
}

impl Fed for Bound {
    fn feed(&self, hasher: &mut Hasher) {
        for word in [self.player, self.pending, self.pending_at.0, self.house] {
            hasher.u64(word);
        }
    }
}

impl Field for Bound {
    const BYTES: usize = 4 * u64::BYTES;

    fn put(self, out: &mut [u8]) {
        let Self { player, pending, pending_at, house } = self;
        for (place, word) in out.chunks_exact_mut(u64::BYTES).zip([player, pending, pending_at.0, house]) {
            word.put(place);
        }
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        let word = |at: usize| u64::get(&bytes[at * u64::BYTES..(at + 1) * u64::BYTES]);
        let pending_at = Timestamp(word(2)?);
        Ok(Self { player: word(0)?, pending: word(1)?, pending_at, house: word(3)? })
    }
}

/// A limit over a time, and how much of it is used: in a width that no log is long enough to fill, so that what is
/// taken back is taken back to the last unit. Winnings and withdrawals can take it below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The limit.
    pub bound: Bound,
    used: i128,
}

impl Counter {
    const NEW: Self = Self { bound: Bound::NONE, used: 0 };

    const fn add(&mut self, value: i128) {
        self.used = self.used.saturating_add(value);
    }
}

/// The kinds that are counted over a time, in the order of their numbers.
const COUNTED: [LimitKind; 4] =
    [LimitKind::Loss, LimitKind::Wager, LimitKind::Deposit, LimitKind::DepositNet];

const fn place(kind: LimitKind) -> usize {
    kind as usize - LimitKind::Loss as usize
}

/// The answer of a stake or deposit that is over a limit of this kind.
const fn over(kind: LimitKind) -> ResultCode {
    match kind {
        LimitKind::Bet => ResultCode::LimitBet,
        LimitKind::Loss => ResultCode::LimitLoss,
        LimitKind::Wager => ResultCode::LimitWager,
        LimitKind::Deposit => ResultCode::LimitDeposit,
        LimitKind::DepositNet => ResultCode::LimitDepositNet,
    }
}

/// What a stake is held against, in the order of the answers.
pub(crate) const OF_WAGERS: &[LimitKind] = &[LimitKind::Bet, LimitKind::Loss, LimitKind::Wager];
/// What a deposit is held against.
pub(crate) const OF_DEPOSITS: &[LimitKind] = &[LimitKind::Deposit, LimitKind::DepositNet];

/// All limits of a player and how much of each is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    bet: Bound,
    /// The day on which something was counted last. What is used is used on it, in its week, and in its month.
    day: Day,
    counters: [[Counter; 3]; COUNTED.len()],
}

impl Usage {
    /// Without any limit, nothing used.
    pub const NEW: Self =
        Self { bet: Bound::NONE, day: Day::NONE, counters: [[Counter::NEW; 3]; COUNTED.len()] };

    fn bound_mut(&mut self, kind: LimitKind, period: Period) -> Option<&mut Bound> {
        match (kind, period) {
            (LimitKind::Bet, Period::Once) => Some(&mut self.bet),
            (LimitKind::Bet, _) | (_, Period::Once) => None,
            _ => Some(&mut self.counters[place(kind)][period as usize - 1].bound),
        }
    }

    /// The limit of this kind; none if the two do not go together.
    #[must_use]
    pub const fn bound(&self, kind: LimitKind, period: Period) -> Option<&Bound> {
        match (kind, period) {
            (LimitKind::Bet, Period::Once) => Some(&self.bet),
            (LimitKind::Bet, _) | (_, Period::Once) => None,
            _ => Some(&self.counters[place(kind)][period as usize - 1].bound),
        }
    }

    /// How much of a limit is used.
    #[must_use]
    pub fn used(&self, kind: LimitKind, period: Period, today: Day) -> i128 {
        match (kind, period) {
            (LimitKind::Bet, _) | (_, Period::Once) => 0,
            _ if !self.day.shares(today)[period as usize - 1] => 0,
            _ => self.counters[place(kind)][period as usize - 1].used,
        }
    }

    /// Sets the player's own limit; says whether it waits. `None` takes it away.
    pub fn set_player(
        &mut self,
        now: Timestamp,
        kind: LimitKind,
        period: Period,
        limit: Option<u64>,
        wait_millis: u64,
    ) -> bool {
        let limit = limit.unwrap_or(NONE);
        self.bound_mut(kind, period).is_some_and(|bound| bound.set_player(now, limit, wait_millis))
    }

    /// Sets the house's limit, at once.
    pub fn set_house(&mut self, kind: LimitKind, period: Period, limit: Option<u64>) {
        if let Some(bound) = self.bound_mut(kind, period) {
            bound.house = limit.unwrap_or(NONE);
        }
    }

    /// Whether any limit of these kinds is in force.
    #[must_use]
    pub fn any_in_force(&self, now: Timestamp, kinds: &[LimitKind]) -> bool {
        self.bounds(kinds).any(|(_, bound, _)| bound.in_force(now).is_some())
    }

    fn bounds<'a>(
        &'a self,
        kinds: &'a [LimitKind],
    ) -> impl Iterator<Item = (LimitKind, &'a Bound, Option<(&'a Counter, usize)>)> {
        kinds.iter().flat_map(move |kind| {
            let once = matches!(kind, LimitKind::Bet).then_some((*kind, &self.bet, None));
            let counters: &[Counter] =
                if matches!(kind, LimitKind::Bet) { &[] } else { &self.counters[place(*kind)] };
            let counted = counters.iter().enumerate();
            once.into_iter().chain(counted.map(|(at, counter)| (*kind, &counter.bound, Some((counter, at)))))
        })
    }

    /// The first limit of these kinds that `value` more would be over.
    #[must_use]
    pub fn exceeded(
        &self,
        now: Timestamp,
        today: Day,
        kinds: &[LimitKind],
        value: u64,
    ) -> Option<ResultCode> {
        let lasting = self.day.shares(today);
        self.bounds(kinds).find_map(|(kind, bound, counter)| {
            let limit = bound.in_force(now)?;
            let used = counter.filter(|(_, at)| lasting[*at]).map_or(0, |(counter, _)| counter.used);
            let over_all = value > LIMIT_MAX;
            let sum = used.saturating_add(i128::from(value));
            (over_all || sum > i128::from(limit)).then_some(over(kind))
        })
    }

    /// Whether nine tenths of a limit of these kinds would be used up with `value` more.
    #[must_use]
    pub fn is_near(&self, now: Timestamp, today: Day, kinds: &[LimitKind], value: u64) -> bool {
        let lasting = self.day.shares(today);
        self.bounds(kinds).any(|(_, bound, counter)| {
            let (Some(limit), Some((counter, at))) = (bound.in_force(now), counter) else { return false };
            let before = if lasting[at] { counter.used } else { 0 };
            let used = before.saturating_add(i128::from(value));
            used > 0 && used.saturating_mul(10) >= i128::from(limit) * 9
        })
    }

    /// Begins anew what began before today's day, week or month.
    fn turn_to(&mut self, today: Day) {
        let lasting = self.day.shares(today);
        for at in (0..3).filter(|at| !lasting[*at]) {
            self.counters.iter_mut().for_each(|periods| periods[at].used = 0);
        }
        self.day = today;
    }

    /// Counts `value` for a kind, in all its periods.
    pub fn count(&mut self, today: Day, kind: LimitKind, value: i128) {
        self.turn_to(today);
        self.counters[place(kind)].iter_mut().for_each(|counter| counter.add(value));
    }

    /// Takes back what stakes and payouts counted, in the periods that are still the same.
    pub fn take_back(&mut self, today: Day, tally: &Tally) {
        self.turn_to(today);
        let lasting = tally.day.shares(today);
        for at in (0..3).filter(|at| lasting[*at]) {
            let (stakes, payouts) = (tally.stakes[at], tally.payouts[at]);
            self.counters[place(LimitKind::Loss)][at].add(payouts.saturating_sub(stakes));
            self.counters[place(LimitKind::Wager)][at].add(stakes.saturating_neg());
        }
    }

    /// Adds to one counter alone.
    pub fn import(&mut self, today: Day, kind: LimitKind, period: Period, value: i128) {
        if matches!(kind, LimitKind::Bet) || matches!(period, Period::Once) {
            return;
        }
        self.turn_to(today);
        self.counters[place(kind)][period as usize - 1].add(value);
    }
}

/// What stakes and payouts counted that may be undone together: how much on the latest day, in its week, and in its
/// month. What counted in an earlier one makes no difference any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    day: Day,
    stakes: [i128; 3],
    payouts: [i128; 3],
}

impl Tally {
    /// Of a stake and a payout that were counted on one day.
    #[must_use]
    pub const fn of(day: Day, stake: u64, payout: u64) -> Self {
        Self { day, stakes: [stake as i128; 3], payouts: [payout as i128; 3] }
    }

    /// Adds a stake and a payout that were counted on one day.
    pub fn add(&mut self, day: Day, stake: u64, payout: u64) {
        let latest = Starts::of(self.day).0;
        for (at, start) in Starts::of(day).0.into_iter().enumerate() {
            if start > latest[at] {
                (self.stakes[at], self.payouts[at]) = (0, 0);
            }
            if start >= latest[at] {
                self.stakes[at] = self.stakes[at].saturating_add(i128::from(stake));
                self.payouts[at] = self.payouts[at].saturating_add(i128::from(payout));
            }
        }
        self.day = self.day.max(day);
    }
}

impl Fed for Tally {
    fn feed(&self, hasher: &mut Hasher) {
        self.day.feed(hasher);
        self.stakes.iter().chain(&self.payouts).for_each(|sum| hasher.u128(*sum as u128));
    }
}

impl Field for Tally {
    const BYTES: usize = Day::BYTES + 6 * i128::BYTES;

    fn put(self, out: &mut [u8]) {
        let Self { day, stakes, payouts } = self;
        let (place, rest) = out.split_at_mut(Day::BYTES);
        day.put(place);
        for (place, sum) in rest.chunks_exact_mut(i128::BYTES).zip(stakes.iter().chain(&payouts)) {
            sum.put(place);
        }
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        let (day, rest) = bytes.split_at(Day::BYTES);
        let mut tally = Self::of(Day::get(day)?, 0, 0);
        let sums = tally.stakes.iter_mut().chain(&mut tally.payouts);
        for (sum, place) in sums.zip(rest.chunks_exact(i128::BYTES)) {
            *sum = i128::get(place)?;
        }
        Ok(tally)
    }
}

impl Fed for Usage {
    fn feed(&self, hasher: &mut Hasher) {
        self.bet.feed(hasher);
        self.day.feed(hasher);
        for counter in self.counters.iter().flatten() {
            counter.bound.feed(hasher);
            hasher.u128(counter.used as u128);
        }
    }
}

impl Field for Counter {
    const BYTES: usize = Bound::BYTES + i128::BYTES;

    fn put(self, out: &mut [u8]) {
        let Self { bound, used } = self;
        let (place, rest) = out.split_at_mut(Bound::BYTES);
        bound.put(place);
        used.put(rest);
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        let (bound, used) = bytes.split_at(Bound::BYTES);
        Ok(Self { bound: Bound::get(bound)?, used: i128::get(used)? })
    }
}

impl Field for Usage {
    const BYTES: usize = Bound::BYTES + Day::BYTES + COUNTED.len() * 3 * Counter::BYTES;

    fn put(self, out: &mut [u8]) {
        let Self { bet, day, counters } = self;
        let (place, rest) = out.split_at_mut(Bound::BYTES);
        bet.put(place);
        let (place, rest) = rest.split_at_mut(Day::BYTES);
        day.put(place);
        for (place, counter) in rest.chunks_exact_mut(Counter::BYTES).zip(counters.iter().flatten()) {
            counter.put(place);
        }
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        let (bet, rest) = bytes.split_at(Bound::BYTES);
        let (day, rest) = rest.split_at(Day::BYTES);
        let mut usage = Self { bet: Bound::get(bet)?, day: Day::get(day)?, ..Self::NEW };
        let places = rest.chunks_exact(Counter::BYTES);
        for (counter, place) in usage.counters.iter_mut().flatten().zip(places) {
            *counter = Counter::get(place)?;
        }
        Ok(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64, second: i64) -> Timestamp {
        Timestamp((day * SECONDS_PER_DAY + second) as u64 * NANOS_PER_SECOND)
    }

    #[test]
    fn days_weeks_and_months_begin_where_the_calendar_says() {
        // Counted day by day, as one would with a calendar on the wall: 400 years from 1970.
        let (mut year, mut month, mut day) = (1970, 1, 1);
        let mut monday = -3;
        let mut first = 0;
        for number in 0..146_097 {
            if day == 1 {
                first = number;
            }
            if number == monday + 7 {
                monday = number;
            }
            assert_eq!(
                Starts::of(Day::of(at(number, 0), 0)),
                Starts([number, monday, first]),
                "{year}-{month}-{day}"
            );
            assert_eq!(
                Starts::of(Day::of(at(number, SECONDS_PER_DAY - 1), 0)),
                Starts([number, monday, first])
            );
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, last) if last == length => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn a_brand_whose_day_begins_at_six_counts_five_o_clock_to_the_day_before() {
        let (six, five) = (at(100, 6 * 3_600), at(100, 6 * 3_600 - 1));
        assert_eq!(Day::of(six, 360).0, 100);
        assert_eq!(Day::of(five, 360).0, 99);
        assert_eq!(Day::of(Timestamp(0), 1).0, -1, "also before 1970");
    }

    #[test]
    fn gli_19_r23_a_stricter_limit_holds_at_once_and_a_looser_one_after_a_day() {
        const WAIT: u64 = 24 * 3_600 * 1_000;
        let (kind, period) = (LimitKind::Wager, Period::Day);
        let mut usage = Usage::NEW;
        let now = at(5, 0);
        let limit = |usage: &Usage, now| usage.bound(kind, period).and_then(|bound| bound.in_force(now));
        assert!(!usage.set_player(now, kind, period, Some(100), WAIT), "a first limit is stricter than none");
        assert_eq!(limit(&usage, now), Some(100));
        assert!(usage.set_player(now, kind, period, Some(200), WAIT));
        assert_eq!(limit(&usage, now.plus_millis(WAIT - 1)), Some(100));
        assert_eq!(limit(&usage, now.plus_millis(WAIT)), Some(200));
        // Stricter than what is pending, and than what is in force: at once, and nothing is pending any more.
        assert!(!usage.set_player(now, kind, period, Some(50), WAIT));
        assert_eq!(limit(&usage, now.plus_millis(2 * WAIT)), Some(50));
        usage.set_house(kind, period, Some(20));
        assert_eq!(limit(&usage, now), Some(20), "the stricter of the two");
        assert!(usage.set_player(now, kind, period, None, WAIT), "taking it away waits, too");
        usage.set_house(kind, period, None);
        assert_eq!(limit(&usage, now), Some(50));
        assert_eq!(limit(&usage, now.plus_millis(WAIT)), None);
    }

    #[test]
    fn what_is_given_back_counts_in_its_own_time_only() {
        let mut usage = Usage::NEW;
        let (sunday, monday) = (Day::of(at(3, 0), 0), Day::of(at(4, 0), 0));
        usage.count(sunday, LimitKind::Wager, 70);
        usage.take_back(monday, &Tally::of(sunday, 70, 0));
        let used = |period| usage.used(LimitKind::Wager, period, monday);
        assert_eq!([used(Period::Day), used(Period::Week), used(Period::Month)], [0, 0, 0]);
        let mut usage = Usage::NEW;
        usage.count(sunday, LimitKind::Wager, 70);
        usage.count(monday, LimitKind::Wager, 5);
        usage.take_back(monday, &Tally::of(sunday, 70, 0));
        let used = |period| usage.used(LimitKind::Wager, period, monday);
        assert_eq!([used(Period::Day), used(Period::Week), used(Period::Month)], [5, 5, 5]);
    }
}
