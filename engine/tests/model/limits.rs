//! Players' limits: what they are, what is used of them, and what an amount counts.
//!
//! In: an amount and a time. Out: whether it is within the limits, and the new counters. Never here: money.

use cage_engine::field::{LimitKind, Period, Rule};
use cage_engine::{Amount, AssetId, Operation, PlayerId, ResultCode, Role, Timestamp};

use super::big::Big;
use super::books::Bound;
use super::{Asked, Checks, Model, Step, calendar, refuse_unless};

/// The greatest limit, and the greatest sum that is counted.
const LIMIT_MAX: u128 = i64::MAX as u128;
const PERIODS: [Period; 3] = [Period::Day, Period::Week, Period::Month];
const HOURS_24: u128 = 24 * 3_600 * 1_000;

/// What stakes are held against, in the order of the answers.
pub(super) const OF_WAGERS: [LimitKind; 3] = [LimitKind::Bet, LimitKind::Loss, LimitKind::Wager];
/// What deposits are held against.
pub(super) const OF_DEPOSITS: [LimitKind; 2] = [LimitKind::Deposit, LimitKind::DepositNet];

impl Bound {
    fn of_player(&self, now: Timestamp) -> Option<u64> {
        match self.pending {
            Some((at, limit)) if at <= now => limit,
            _ => self.player,
        }
    }

    /// The stricter one of those that are set.
    pub(crate) fn in_force(&self, now: Timestamp) -> Option<u64> {
        [self.of_player(now), self.house].into_iter().flatten().min()
    }
}

const fn over(kind: LimitKind) -> ResultCode {
    match kind {
        LimitKind::Bet => ResultCode::LimitBet,
        LimitKind::Loss => ResultCode::LimitLoss,
        LimitKind::Wager => ResultCode::LimitWager,
        LimitKind::Deposit => ResultCode::LimitDeposit,
        LimitKind::DepositNet => ResultCode::LimitDepositNet,
    }
}

const fn name(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Bet => "bet limit",
        LimitKind::Loss => "loss limit",
        LimitKind::Wager => "wager limit",
        LimitKind::Deposit => "deposit limit",
        LimitKind::DepositNet => "net deposit limit",
    }
}

/// The periods that a kind of limit has, in the order in which they are looked at.
const fn periods(kind: LimitKind) -> &'static [Period] {
    if matches!(kind, LimitKind::Bet) { &[Period::Once] } else { &PERIODS }
}

impl Model {
    /// What an amount is worth in the reference asset's smallest unit, rounded up; nothing if there is no rate.
    /// Worth more than can be counted is worth `u128::MAX`.
    pub(crate) fn value(&self, asset: AssetId, amount: u128) -> Option<u128> {
        if self.rule(Rule::ReferenceAsset, 0) == Some(u128::from(asset.0)) {
            return Some(amount);
        }
        let price = self.prices.get(&asset)?.0;
        let scale = u32::from(self.asset(asset).map_or(0, |asset| asset.scale));
        let (whole, rest) = Big::new(amount).times(&Big::new(price)).divided_by(&Big::ten_to(scale + 9));
        Some(whole.small().map_or(u128::MAX, |whole| whole.saturating_add(u128::from(rest))))
    }

    /// Whether an asset has a price that is older than the house allows.
    pub(crate) fn is_price_old(&self, asset: AssetId, now: Timestamp) -> bool {
        let reference = self.rule(Rule::ReferenceAsset, 0) == Some(u128::from(asset.0));
        let most = self.rule(Rule::RateAgeMax, u64::from(asset.0));
        let (Some(most), Some(at)) = (most, self.priced_at.get(&asset)) else { return false };
        !reference && u128::from(now.0 - at.0) > most * 1_000_000
    }

    /// The next moment up to which a price may be used: what is off by one is off there.
    pub(crate) fn next_price_end(&self) -> Option<Timestamp> {
        let ends = self.priced_at.iter().filter_map(|(asset, at)| {
            let most = self.rule(Rule::RateAgeMax, u64::from(asset.0))?;
            Some(at.plus_millis(u64::try_from(most).ok()?))
        });
        ends.filter(|end| *end > self.clock).min()
    }

    /// The same as counters take it.
    fn counted_value(&self, asset: AssetId, amount: u128) -> u64 {
        self.value(asset, amount).unwrap_or(0).min(LIMIT_MAX) as u64
    }

    /// The day that it is in a brand.
    pub(super) fn day_in(&self, brand: u64, now: Timestamp) -> i64 {
        let minutes = self.rule(Rule::DayBegins, brand).unwrap_or(0);
        let long = self.long_days.get(&brand).filter(|(_, until)| calendar::seconds_of(now) < *until);
        long.map_or_else(|| calendar::day_of(now, minutes), |(day, _)| *day)
    }

    /// On which day something counts for a player; for those without limits none does.
    pub(super) fn counting_day(&self, player: PlayerId, now: Timestamp) -> i64 {
        let brand = self.player(player).map_or(0, |player| player.brand);
        if self.blocks.contains_key(&player) { self.day_in(u64::from(brand), now) } else { 0 }
    }

    pub(crate) fn period_start(&self, player: PlayerId, period: Period, now: Timestamp) -> i64 {
        calendar::start_of(period, self.counting_day(player, now))
    }

    pub(crate) fn used(&self, player: PlayerId, kind: LimitKind, period: Period, now: Timestamp) -> i128 {
        let start = self.period_start(player, period, now);
        let counter = self.blocks.get(&player).and_then(|block| block.used.get(&(kind, period)));
        counter.filter(|(since, _)| *since == start).map_or(0, |(_, used)| *used)
    }

    /// The limit that is in force, if there is one.
    pub(crate) fn limit(
        &self,
        player: PlayerId,
        kind: LimitKind,
        period: Period,
        now: Timestamp,
    ) -> Option<u64> {
        self.blocks.get(&player)?.bounds.get(&(kind, period))?.in_force(now)
    }

    /// The limits of these kinds that are in force, in the order in which they are looked at.
    pub(super) fn in_force(
        &self,
        player: PlayerId,
        kinds: &[LimitKind],
        now: Timestamp,
    ) -> Vec<(LimitKind, Period, u64)> {
        let Some(block) = self.blocks.get(&player) else { return Vec::new() };
        let pairs = kinds.iter().flat_map(|kind| periods(*kind).iter().map(|period| (*kind, *period)));
        pairs
            .filter_map(|(kind, period)| {
                Some((kind, period, block.bounds.get(&(kind, period))?.in_force(now)?))
            })
            .collect()
    }

    /// Whether so much more is within the limits of these kinds.
    pub(super) fn look_at_limits(
        &self,
        player: PlayerId,
        asset: AssetId,
        kinds: &[LimitKind],
        amount: u128,
        now: Timestamp,
        c: &mut Checks,
    ) {
        let limits = self.in_force(player, kinds, now);
        let value = self.value(asset, amount);
        c.look("rate", refuse_unless(limits.is_empty() || value.is_some(), ResultCode::RateMissing));
        let old = !limits.is_empty() && self.is_price_old(asset, now);
        c.look("rate's age", refuse_unless(!old, ResultCode::RateOld));
        for kind in kinds {
            let of_kind = limits.iter().filter(|(limited, ..)| limited == kind);
            // What has no price cannot be compared.
            let within = value.is_none_or(|value| {
                of_kind.fold(true, |within, (kind, period, limit)| {
                    within && self.is_within(player, *kind, *period, *limit, value, now)
                })
            });
            c.look(name(*kind), refuse_unless(within, over(*kind)));
        }
    }

    fn is_within(
        &self,
        player: PlayerId,
        kind: LimitKind,
        period: Period,
        limit: u64,
        value: u128,
        now: Timestamp,
    ) -> bool {
        let used = if kind == LimitKind::Bet { 0 } else { self.used(player, kind, period, now) };
        value <= LIMIT_MAX && used + value as i128 <= i128::from(limit)
    }

    /// Whether so much is over one of the limits of these kinds, or cannot be compared.
    pub(super) fn is_over(
        &self,
        player: PlayerId,
        asset: AssetId,
        kinds: &[LimitKind],
        amount: u128,
        now: Timestamp,
    ) -> bool {
        let mut checks = Checks::default();
        self.look_at_limits(player, asset, kinds, amount, now, &mut checks);
        checks.refused().is_some()
    }

    /// Whether nine tenths of one of these limits are used up with so much more.
    pub(super) fn is_near(
        &self,
        player: PlayerId,
        asset: AssetId,
        kinds: &[LimitKind],
        amount: u128,
        now: Timestamp,
    ) -> bool {
        let value = self.value(asset, amount).unwrap_or(0).min(1 << 64) as i128;
        let limits = self.in_force(player, kinds, now).into_iter();
        limits.filter(|(kind, ..)| *kind != LimitKind::Bet).any(|(kind, period, limit)| {
            let after = self.used(player, kind, period, now) + value;
            after > 0 && after * 10 >= i128::from(limit) * 9
        })
    }

    /// Counts so much for a kind of limit, in all its periods. Players without limits have no counters.
    fn count(&mut self, player: PlayerId, kind: LimitKind, value: i128, now: Timestamp) {
        for period in PERIODS {
            self.count_in(player, kind, period, value, now);
        }
    }

    fn count_in(&mut self, player: PlayerId, kind: LimitKind, period: Period, value: i128, now: Timestamp) {
        if !self.blocks.contains_key(&player) {
            return;
        }
        let used = self.used(player, kind, period, now) + value;
        let start = self.period_start(player, period, now);
        let Some(block) = self.blocks.get_mut(&player) else { return };
        block.used.insert((kind, period), (start, used));
    }

    /// Counts what an amount is worth, up or down. Nothing counts for nothing.
    pub(super) fn count_amount(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        amount: u128,
        kinds: &[(LimitKind, i128)],
        now: Timestamp,
    ) -> u64 {
        if amount == 0 || !self.blocks.contains_key(&player) {
            return 0;
        }
        let value = self.counted_value(asset, amount);
        for (kind, sign) in kinds {
            self.count(player, *kind, i128::from(value) * sign, now);
        }
        value
    }

    /// Counts a stake; says what was counted, so that it can be taken back.
    pub(super) fn count_stake(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        stake: u128,
        now: Timestamp,
    ) -> u64 {
        let kinds = [(LimitKind::Loss, 1), (LimitKind::Wager, 1)];
        self.count_amount(player, asset, stake, &kinds, now)
    }

    /// Counts what was won on a stake that was placed on some day; says what was counted. What never counted as lost
    /// is not won back.
    pub(super) fn count_win(
        &mut self,
        (player, asset): (PlayerId, AssetId),
        won: u128,
        staked_on: i64,
        now: Timestamp,
    ) -> u64 {
        if staked_on == 0 {
            return 0;
        }
        self.count_amount(player, asset, won, &[(LimitKind::Loss, -1)], now)
    }

    /// Takes back what a stake and what was won counted on some day, in the periods that have not ended since.
    pub(super) fn uncount(
        &mut self,
        player: PlayerId,
        (staked, won): (u64, u64),
        counted_on: i64,
        now: Timestamp,
    ) {
        let last = |period: &Period| {
            calendar::start_of(*period, counted_on) == self.period_start(player, *period, now)
        };
        let lasting: Vec<_> = PERIODS.into_iter().filter(last).collect();
        for period in lasting {
            self.count_in(player, LimitKind::Loss, period, i128::from(won) - i128::from(staked), now);
            self.count_in(player, LimitKind::Wager, period, -i128::from(staked), now);
        }
    }

    /// Whether a limit (or what is used of one) can be counted.
    pub(super) fn limit_fits(&self, value: Amount) -> Step {
        let fits = value.0 <= LIMIT_MAX && self.rule(Rule::ReferenceAsset, 0).is_some();
        refuse_unless(fits, ResultCode::LimitUnfit)
    }

    pub(super) fn set_limit(&mut self, asked: &Asked) -> ResultCode {
        let Operation::SetLimit { player, kind, period, remove, value } = asked.operation else {
            unreachable!("set_limit")
        };
        let limit = (!remove).then_some(value.0 as u64);
        let wait = self.rule(Rule::Reconsider, 0).unwrap_or(HOURS_24) as u64;
        let block = self.blocks.entry(player).or_default();
        let bound = block.bounds.entry((kind, period)).or_default();
        if asked.caller.role == Role::Risk {
            bound.house = limit;
            return ResultCode::Done;
        }
        let current = bound.of_player(asked.now);
        bound.player = current;
        let looser = match (limit, current) {
            (Some(limit), Some(current)) => limit > current,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if looser {
            bound.pending = Some((asked.now.plus_millis(wait), limit));
            return ResultCode::Later;
        }
        (bound.player, bound.pending) = (limit, None);
        ResultCode::Done
    }

    pub(super) fn import_usage(&mut self, asked: &Asked) {
        let Operation::ImportUsage { player, kind, period, value } = asked.operation else {
            unreachable!("import_usage")
        };
        self.blocks.entry(player).or_default();
        self.count_in(player, kind, period, value.0 as i128, asked.now);
    }
}
