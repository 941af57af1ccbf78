//! Players' limits: what they are, what is used of them, and what an amount counts.
//!
//! In: an amount and a time. Out: whether it is within the limits, and the new counters. Never here: money.

use cage_engine::field::{LimitKind, Period, Rule};
use cage_engine::{Amount, AssetId, Operation, PlayerId, ResultCode, Role, Timestamp};

use super::big::Big;
use super::books::{Bound, LimitBlock};
use super::{Asked, Model, Step, calendar, refuse_unless};

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

    /// The same as counters take it.
    pub(super) fn counted_value(&self, asset: AssetId, amount: u128) -> u64 {
        self.value(asset, amount).unwrap_or(0).min(LIMIT_MAX) as u64
    }

    pub(crate) fn period_start(&self, player: PlayerId, period: Period, time: Timestamp) -> i64 {
        let brand = self.player(player).map_or(0, |player| player.brand);
        let minutes = self.rule(Rule::DayBegins, u64::from(brand)).unwrap_or(0);
        calendar::start_of(period, time, minutes)
    }

    pub(crate) fn used(&self, player: PlayerId, kind: LimitKind, period: Period, now: Timestamp) -> i128 {
        let start = self.period_start(player, period, now);
        let counter = self.blocks.get(&player).and_then(|block| block.used.get(&(kind, period)));
        counter.filter(|(since, _)| *since == start).map_or(0, |(_, used)| *used)
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
            .filter_map(|(kind, period)| Some((kind, period, block.bounds.get(&(kind, period))?.in_force(now)?)))
            .collect()
    }

    /// Whether so much more is within the limits of these kinds; says whether it brings one of them near its end.
    pub(super) fn within_limits(
        &self,
        player: PlayerId,
        asset: AssetId,
        kinds: &[LimitKind],
        amount: u128,
        now: Timestamp,
    ) -> Step<bool> {
        let limits = self.in_force(player, kinds, now);
        if limits.is_empty() {
            return Ok(false);
        }
        let value = self.value(asset, amount).ok_or(ResultCode::RateMissing)?;
        let mut near = false;
        for (kind, period, limit) in limits {
            let used = if kind == LimitKind::Bet { 0 } else { self.used(player, kind, period, now) };
            refuse_unless(value <= LIMIT_MAX, over(kind))?;
            let after = used + value as i128;
            refuse_unless(after <= i128::from(limit), over(kind))?;
            near |= kind != LimitKind::Bet && after > 0 && after * 10 >= i128::from(limit) * 9;
        }
        Ok(near)
    }

    /// Counts so much for a kind of limit, in all its periods. Players without limits have no counters.
    pub(super) fn count(&mut self, player: PlayerId, kind: LimitKind, value: i128, now: Timestamp) {
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
        let least = match kind {
            LimitKind::Loss | LimitKind::DepositNet => -(LIMIT_MAX as i128),
            LimitKind::Bet | LimitKind::Wager | LimitKind::Deposit => 0,
        };
        let Some(block) = self.blocks.get_mut(&player) else { return };
        block.used.insert((kind, period), (start, used.clamp(least, LIMIT_MAX as i128)));
    }

    /// Counts a stake; says what was counted, so that it can be taken back.
    pub(super) fn count_stake(&mut self, player: PlayerId, asset: AssetId, stake: u128, now: Timestamp) -> u64 {
        if !self.blocks.contains_key(&player) {
            return 0;
        }
        let value = self.counted_value(asset, stake);
        self.count(player, LimitKind::Loss, i128::from(value), now);
        self.count(player, LimitKind::Wager, i128::from(value), now);
        value
    }

    /// Counts what was won.
    pub(super) fn count_win(&mut self, player: PlayerId, asset: AssetId, won: u128, now: Timestamp) {
        let value = self.counted_value(asset, won);
        self.count(player, LimitKind::Loss, -i128::from(value), now);
    }

    /// Takes back what was counted at another time, in the periods that have not ended since.
    pub(super) fn count_back(&mut self, player: PlayerId, counted: u64, then: Timestamp, now: Timestamp) {
        for period in PERIODS {
            if self.period_start(player, period, then) != self.period_start(player, period, now) {
                continue;
            }
            self.count_in(player, LimitKind::Loss, period, -i128::from(counted), now);
            self.count_in(player, LimitKind::Wager, period, -i128::from(counted), now);
        }
    }

    /// Whether a limit (or what is used of one) can be counted.
    fn limit_fits(&self, value: Amount) -> Step {
        let fits = value.0 <= LIMIT_MAX && self.rule(Rule::ReferenceAsset, 0).is_some();
        refuse_unless(fits, ResultCode::LimitUnfit)
    }

    pub(super) fn set_limit(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::SetLimit { player, kind, period, remove, value } = asked.operation else {
            unreachable!("set_limit")
        };
        self.limit_fits(value)?;
        let limit = (!remove).then_some(value.0 as u64);
        let wait = self.rule(Rule::Reconsider, 0).unwrap_or(HOURS_24) as u64;
        let block = self.blocks.entry(player).or_insert_with(LimitBlock::default);
        let bound = block.bounds.entry((kind, period)).or_default();
        if asked.caller.role == Role::Risk {
            bound.house = limit;
            return Ok(ResultCode::Done);
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
            return Ok(ResultCode::Later);
        }
        (bound.player, bound.pending) = (limit, None);
        Ok(ResultCode::Done)
    }

    pub(super) fn import_usage(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::ImportUsage { player, kind, period, value } = asked.operation else {
            unreachable!("import_usage")
        };
        self.importing()?;
        self.limit_fits(value)?;
        self.blocks.entry(player).or_default();
        self.count_in(player, kind, period, value.0 as i128, asked.now);
        Ok(ResultCode::Done)
    }
}
