//! Settings, rules, assets, players, sessions, limits.

use super::{Applied, ApplyFault};
use crate::amount::{Amount, Balance};
use crate::code::ResultCode;
use crate::decide::settings_of;
use crate::field::{LimitKind, Period, PlayerClass, Rule, Status};
use crate::id::{AssetId, CallerId, PlayerId, Reference};
use crate::limits::{Day, LIMIT_MAX, Tally, Usage};
use crate::operation::{AssetCode, IDS_CAPACITY_MAX, IDS_CAPACITY_MIN, OperationKind, Settings};
use crate::record::Record;
use crate::request::Request;
use crate::role::Role;
use crate::state::{
    Asset, DisabledGame, Granted, Ids, Limits, LongDay, Player, Proposal, Rate, RoundTally, RuleRow, Session,
    State, Token, disabled_key, grant_key, long_day_key, rule_key,
};
use crate::time::Timestamp;

impl State {
    pub(super) fn apply_settings(&mut self, record: &Record) -> Applied {
        let settings = settings_of(&record.request);
        let Settings { ids_capacity, ids_retention_millis, .. } = settings;
        // Checked here as well: a damaged log must not make a replay reserve all memory.
        if !(IDS_CAPACITY_MIN..=IDS_CAPACITY_MAX).contains(&ids_capacity) {
            return Err(ApplyFault::Missing("the ids' capacity"));
        }
        self.ids = Some(match &self.ids {
            Some(ids) if ids.len() > ids_capacity => return Err(ApplyFault::Missing("the ids' capacity")),
            Some(ids) => ids.resized(ids_capacity, ids_retention_millis, record.decided),
            None => Ids::new(ids_capacity, ids_retention_millis, self.seed),
        });
        self.settings = Some(settings);
        self.forget_closed(settings.closed_wagers_max);
        Ok(())
    }

    pub(super) fn apply_rule(&mut self, record: &Record) -> Applied {
        let detail = &record.request.detail;
        let rule = Rule::from_number(detail.u16_at(0)).ok_or(ApplyFault::Missing("a rule"))?;
        let (scope, value) = (detail.u64_at(8), detail.u128_at(16));
        let key = rule_key(rule, scope);
        if self.rows.proposals.len() > 0 {
            self.remove::<Proposal>(key);
        }
        if record.result == ResultCode::OneMore {
            self.insert(Proposal { rule, scope, value, maker: record.actor });
            return Ok(());
        }
        let was_on = self.row::<RuleRow>(key).is_some();
        let brand = matches!(rule, Rule::DayBegins).then_some(scope as u16);
        let lasting = brand.map(|brand| (brand, self.day_in(brand, record.decided)));
        self.switches.changed(rule, scope, value != 0, was_on);
        if value == 0 {
            self.remove::<RuleRow>(key);
        } else if self.update(key, |row: &mut RuleRow| row.value = value).is_none() {
            self.insert(RuleRow { rule, scope, value });
        }
        if let Some((brand, day)) = lasting {
            self.let_day_last(brand, day, Day::of(record.decided, value as u16));
        }
        Ok(())
    }

    /// The beginning of a brand's days was moved: what would be another day already, or the one before again, stays
    /// the one that it is.
    fn let_day_last(&mut self, brand: u16, day: Day, through: Day) {
        let key = long_day_key(brand);
        if self.row::<LongDay>(key).is_some() {
            self.remove::<LongDay>(key);
        }
        if day != through {
            self.insert(LongDay { brand, day, through });
        }
    }

    pub(super) fn apply_price(&mut self, record: &Record) -> Applied {
        let Request { asset, amount: price, .. } = record.request;
        let row = Rate { asset, price, published: record.decided };
        if self.update(u128::from(asset.0), |old: &mut Rate| *old = row).is_none() {
            self.insert(row);
        }
        Ok(())
    }

    pub(super) fn apply_grant(&mut self, record: &Record) -> Applied {
        let number = record.handed_out().unwrap_or(0);
        let (role, venue) = (record.role, record.request.game.0);
        if number <= self.last_grant {
            return Err(ApplyFault::Missing("a grant's number"));
        }
        self.last_grant = number;
        if self.update(grant_key(role, venue), |row: &mut Granted| row.number = number).is_none() {
            self.insert(Granted { role, venue, number });
        }
        Ok(())
    }

    pub(super) fn apply_asset(&mut self, record: &Record) -> Applied {
        let detail = &record.request.detail;
        let code = AssetCode::from_bytes(detail.u128_at(0).to_le_bytes());
        if usize::from(record.request.asset.0) != self.assets.len() + 1 {
            return Err(ApplyFault::Missing("an asset's number"));
        }
        self.assets.push(Asset {
            code: code.ok_or(ApplyFault::Missing("an asset's code"))?,
            scale: detail.0[16],
            transfers: detail.0[17] == 1,
            amount_max: record.request.amount,
            players_total: Balance::ZERO,
            house_total: Balance::ZERO,
        });
        Ok(())
    }

    pub(super) fn apply_player(&mut self, record: &Record) -> Applied {
        let detail = &record.request.detail;
        let class = PlayerClass::from_number(detail.0[4]).ok_or(ApplyFault::Missing("a class"))?;
        let caller_id = CallerId(record.request.reference);
        if record.request.player != self.players.next_id() || self.players.find(caller_id).is_some() {
            return Err(ApplyFault::Missing("a player's number"));
        }
        self.players.open(Player {
            caller_id,
            brand: detail.u16_at(0),
            jurisdiction: detail.u16_at(2),
            class,
            status: Status::Active,
            reason: 0,
            kyc_held: false,
            kyc_reason: 0,
        });
        Ok(())
    }

    pub(super) fn apply_status(&mut self, record: &Record) -> Applied {
        let detail = &record.request.detail;
        let status = Status::from_number(detail.0[0]).ok_or(ApplyFault::Missing("a status"))?;
        self.set_status(record.request.player, status, detail.u16_at(2))
            .ok_or(ApplyFault::Missing("a player"))
    }

    pub(super) fn apply_kyc_hold(&mut self, record: &Record) -> Applied {
        let detail = &record.request.detail;
        self.set_kyc_hold(record.request.player, detail.0[18] == 1, detail.u16_at(16))
            .ok_or(ApplyFault::Missing("a player"))
    }

    pub(super) fn apply_session(&mut self, record: &Record) -> Applied {
        let request = &record.request;
        if request.session.0 != self.last_session.0.wrapping_add(1) {
            return Err(ApplyFault::Missing("a session's number"));
        }
        self.last_session = request.session;
        let token = Reference(request.reference);
        self.insert(Session {
            number: request.session,
            player: request.player,
            token,
            asset: request.asset,
            game: request.game,
            expires: Timestamp(request.detail.u64_at(0)),
            remainder: Amount::ZERO,
            topup_left: request.amount,
            topup_max: request.amount,
            revoked: false,
        });
        self.insert(Token { token, session: request.session });
        Ok(())
    }

    /// What the meter held was returned by the leg before. A session that is revoked stays known until its time has
    /// come, so that its token opens no other one.
    pub(super) fn apply_session_end(&mut self, record: &Record) -> Applied {
        let key = u128::from(record.request.session.0);
        if record.request.kind == OperationKind::RevokeSession {
            let revoked = self.update(key, |row: &mut Session| row.revoked = true);
            return revoked.map(|_| ()).ok_or(ApplyFault::Missing("a session"));
        }
        let session = self.remove::<Session>(key).ok_or(ApplyFault::Missing("a session"))?;
        self.remove::<Token>(session.token.0).map(|_| ()).ok_or(ApplyFault::Missing("a token"))
    }

    pub(super) fn apply_game(&mut self, record: &Record) -> Applied {
        let game = record.request.game;
        let disabled = record.request.detail.0[0] == 1;
        let key = disabled_key(game);
        match (disabled, self.row::<DisabledGame>(key).is_some()) {
            (true, false) => self.insert(DisabledGame { game }),
            (false, true) => {
                self.remove::<DisabledGame>(key);
            }
            _ => {}
        }
        Ok(())
    }

    /// The player's limits, from now on counted.
    fn usage(&mut self, player: PlayerId) -> Usage {
        if let Some(row) = self.limits(player) {
            return row.usage;
        }
        self.insert(Limits { player, usage: Usage::NEW });
        self.set_gates(player, |gates| gates.limited = true);
        Usage::NEW
    }

    fn set_usage(&mut self, player: PlayerId, usage: Usage) {
        self.update(u128::from(player.number()), |row: &mut Limits| row.usage = usage);
    }

    pub(super) fn apply_limit(&mut self, record: &Record) -> Applied {
        let player = record.request.player;
        let mut usage = self.usage(player);
        set_limit(&mut usage, self, record.role, record.decided, &record.request);
        self.set_usage(player, usage);
        Ok(())
    }

    pub(super) fn apply_usage(&mut self, record: &Record) -> Applied {
        let player = record.request.player;
        let mut usage = self.usage(player);
        let (Some(kind), Some(period)) = kind_and_period(&record.request) else {
            return Err(ApplyFault::Missing("a limit"));
        };
        let today = self.day(player, record.decided);
        usage.import(today, kind, period, signed(record.request.amount.0));
        self.set_usage(player, usage);
        Ok(())
    }

    /// Counts for some kinds of a player's limits, if the player has any; gives what was counted.
    pub(super) fn count(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        amount: Amount,
        now: Timestamp,
        kinds: &[(LimitKind, i128)],
    ) -> u64 {
        if amount.is_zero() || !self.players.gates(player).is_some_and(|gates| gates.limited) {
            return 0;
        }
        let value = self.value(asset, amount).unwrap_or(0).min(LIMIT_MAX);
        let today = self.day(player, now);
        self.update(u128::from(player.number()), |row: &mut Limits| {
            for (kind, sign) in kinds {
                row.usage.count(today, *kind, i128::from(value) * sign);
            }
        });
        value
    }

    /// A stake counts as lost until it wins.
    pub(super) fn count_stake(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        stake: Amount,
        now: Timestamp,
    ) -> u64 {
        self.count(player, asset, stake, now, &[(LimitKind::Loss, 1), (LimitKind::Wager, 1)])
    }

    /// A payout lowers what counts as lost, unless its stake was placed before the player had limits: what never
    /// counted as lost is not won back.
    pub(super) fn count_payout(
        &mut self,
        (player, asset): (PlayerId, AssetId),
        payout: Amount,
        staked_on: Day,
        now: Timestamp,
    ) -> u64 {
        if staked_on == Day::NONE {
            return 0;
        }
        self.count(player, asset, payout, now, &[(LimitKind::Loss, -1)])
    }

    /// Takes back what was counted for a stake and a payout on one day, in the times that still last.
    pub(super) fn restore(
        &mut self,
        player: PlayerId,
        (stake, payout): (u64, u64),
        day: Day,
        now: Timestamp,
    ) {
        if stake != 0 || payout != 0 {
            self.take_back(player, &Tally::of(day, stake, payout), now);
        }
    }

    /// The day on which something counts for a player's limits; none for who has no limits.
    pub(super) fn counting_day(&self, player: PlayerId, now: Timestamp) -> Day {
        let limited = self.players.gates(player).is_some_and(|gates| gates.limited);
        if limited { self.day(player, now) } else { Day::NONE }
    }

    pub(super) fn take_back(&mut self, player: PlayerId, tally: &Tally, now: Timestamp) {
        let today = self.day(player, now);
        self.update(u128::from(player.number()), |row: &mut Limits| row.usage.take_back(today, tally));
    }

    /// Notes what a round counted for limits that no row of a bet or win tells.
    pub(super) fn tally(&mut self, round: Reference, (stake, payout): (u64, u64), day: Day) {
        if round.0 == 0 || stake == 0 && payout == 0 {
            return;
        }
        let added = self.update(round.0, |row: &mut RoundTally| row.tally.add(day, stake, payout));
        if added.is_none() {
            self.insert(RoundTally { round, tally: Tally::of(day, stake, payout), turned: Amount::ZERO });
        }
    }

    /// Notes by how much a round's hold reduced the turnover that is required: a void raises it again.
    pub(super) fn tally_turned(&mut self, round: Reference, turned: Amount, day: Day) {
        if round.0 == 0 || turned.is_zero() {
            return;
        }
        let added = self.update(round.0, |row: &mut RoundTally| {
            row.turned.0 = row.turned.0.saturating_add(turned.0);
        });
        if added.is_none() {
            self.insert(RoundTally { round, tally: Tally::of(day, 0, 0), turned });
        }
    }
}

fn signed(value: u128) -> i128 {
    value.min(u128::from(LIMIT_MAX)) as i128
}

fn kind_and_period(request: &Request) -> (Option<LimitKind>, Option<Period>) {
    (LimitKind::from_number(request.detail.0[0]), Period::from_number(request.detail.0[1]))
}

/// Sets the limit that the request names, the player's own or the house's by the role; says whether it waits.
pub(crate) fn set_limit(
    usage: &mut Usage,
    state: &State,
    role: Role,
    now: Timestamp,
    request: &Request,
) -> bool {
    let (Some(kind), Some(period)) = kind_and_period(request) else { return false };
    let removed = request.detail.0[2] == 1;
    let limit = if removed { None } else { u64::try_from(request.amount.0).ok() };
    if matches!(role, Role::Risk) {
        usage.set_house(kind, period, limit);
        return false;
    }
    usage.set_player(now, kind, period, limit, state.reconsider_millis())
}
