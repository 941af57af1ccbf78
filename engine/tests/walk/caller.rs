//! Whoever asks: makes up requests that have something to do with what went before, and spoils some of them.

use cage_engine::{
    Amount, AssetId, GameId, Operation, OperationKind, PlayerId, Reference, RequestId, Role, SessionId,
    Timestamp,
};

use crate::dice::{Dice, World};
use crate::model::memory::Space;
use crate::model::words::{self, IdKind};
use crate::model::{Asked, Caller, Model};

/// Games of two providers; the first of all numbers means all games where one is disabled.
pub(crate) const GAMES: [GameId; 4] =
    [GameId::new(1, 1), GameId::new(1, 2), GameId::new(0xfff, 3), GameId(0)];
const ACTORS: u64 = 3;

/// Names that were used, so that others can refer to them.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) holds: Vec<RequestId>,
    pub(crate) wagers: Vec<Reference>,
    pub(crate) rounds: Vec<Reference>,
    pub(crate) withdrawals: Vec<RequestId>,
    pub(crate) adjustments: Vec<RequestId>,
    pub(crate) freerounds: Vec<RequestId>,
    pub(crate) orders: Vec<RequestId>,
    pub(crate) deposits: Vec<RequestId>,
    /// Numbers given to a provider's transactions that a hold can have as well.
    pub(crate) shared: Vec<Reference>,
    pub(crate) made: u128,
}

pub(crate) struct Someone {
    pub(crate) world: World,
    pub(crate) dice: Dice,
    pub(crate) names: Names,
    /// What comes first, in this order.
    setting_up: Vec<Operation>,
    asked: Vec<Asked>,
    groups: Vec<Vec<Asked>>,
}

impl Someone {
    pub(crate) fn new(world: World, dice: Dice) -> Self {
        let names = Names::default();
        let mut someone =
            Self { world, dice, names, setting_up: Vec::new(), asked: Vec::new(), groups: Vec::new() };
        someone.setting_up = someone.a_house();
        someone.setting_up.reverse();
        someone
    }

    /// Stands still, creeps or jumps, also to the border of a day, and to the moment at which something falls due.
    pub(crate) fn time(&mut self, clock: Timestamp, next_due: Option<Timestamp>) -> Timestamp {
        const DAY: u64 = 86_400_000;
        let clock = clock.max(self.world.begin);
        if self.dice.below(self.world.time_moves) != 0 {
            return clock;
        }
        if let Some(due) = next_due.filter(|due| *due > clock && self.dice.one_in(6)) {
            return if self.dice.one_in(4) { Timestamp(due.0 - 1).max(clock) } else { due };
        }
        if self.dice.one_in(self.world.time_jumps) {
            let begins = self.dice.pick(&[0, 0, 90, 360]) * 60_000;
            let border = (clock.millis() - begins.min(clock.millis())) / DAY * DAY + DAY + begins;
            return match self.dice.below(8) {
                0..3 => Timestamp::from_millis(border).max(clock),
                3 => Timestamp(Timestamp::from_millis(border).0 - 1).max(clock),
                4 => clock.plus_millis(DAY),
                5 => clock.plus_millis(self.dice.pick(&[7, 31]) * DAY),
                _ => clock.plus_millis(self.dice.pick(&[3_600_000, 6 * 3_600_000, 2 * DAY])),
            };
        }
        let retention = self.world.settings.ids_retention_millis;
        match self.dice.below(100) {
            0..40 => Timestamp(clock.0 + self.dice.below(3)),
            40..80 => Timestamp(clock.0 + self.dice.below(3_000_000)),
            80..97 => clock.plus_millis(self.dice.below(20)),
            97..99 => clock.plus_millis(retention + self.dice.below(2)),
            _ => clock.plus_millis(self.dice.pick(&[4_999, 5_000, 5_001, 60_000])),
        }
    }

    pub(crate) fn received(&mut self, now: Timestamp) -> Timestamp {
        match self.dice.below(8) {
            0 => Timestamp(0),
            1 => now.plus_millis(1),
            _ => Timestamp(now.0 - self.dice.below(now.0.min(5_000_000))),
        }
    }

    /// What the ledger would do by itself now.
    pub(crate) fn due(&mut self, model: &Model, now: Timestamp) -> Option<Asked> {
        let operation = model.due(now)?;
        self.dice.one_in(self.world.lazy).then(|| internal(now, operation))
    }

    /// A request, or a group of some.
    pub(crate) fn next(&mut self, model: &Model, now: Timestamp) -> Vec<Asked> {
        if let Some(operation) = self.what_is_missing(model) {
            let id = self.id_for(&operation, model, now);
            let caller = Caller { role: Role::System, actor: 1, grant: 0 };
            let asked = Asked { now, caller, id, operation, linked: false };
            return vec![Asked { caller: self.caller_for(&asked, model), ..asked }];
        }
        if model.settings.is_some() && self.dice.one_in(self.world.groups) {
            return self.group(model, now);
        }
        if self.dice.one_in(9) {
            return vec![self.again(model, now)];
        }
        let asked = self.request(model, now, false);
        self.remember(asked);
        vec![asked]
    }

    fn remember(&mut self, asked: Asked) {
        self.names.note(&asked);
        if words::id_kind(asked.kind()) != IdKind::Internal {
            self.asked.push(asked);
        }
    }

    /// A retry of late, or of long ago; sometimes with other content, sometimes under another id.
    fn again(&mut self, model: &Model, now: Timestamp) -> Asked {
        let most = if self.dice.one_in(3) { 500 } else { 40 };
        let Some(earlier) = self.dice.recent(&self.asked, most) else {
            return self.asked_rightly(Operation::Grant { venue: 1 }, model, now);
        };
        let mut asked = Asked { now, linked: earlier.linked && self.dice.one_in(2), ..earlier };
        match self.dice.below(8) {
            0 => {
                let other = self.operation_of(earlier.kind(), model, now);
                asked.operation = Operation::try_from(&other.request(asked.id)).unwrap_or(other);
            }
            1 => asked.id = self.id_for(&earlier.operation, model, now),
            2 => asked.operation = self.spoil(asked.operation, asked.id, model, now),
            3 => asked.caller = self.caller_for(&asked, model),
            _ => {}
        }
        asked
    }

    fn request(&mut self, model: &Model, now: Timestamp, grouped: bool) -> Asked {
        let mut operation = match self.setting_up.pop() {
            Some(next) if !grouped && !self.dice.one_in(20) => next,
            _ if grouped && !self.dice.one_in(40) => self.groupable_operation(model, now),
            _ => self.operation(model, now),
        };
        let mut id = self.id_for(&operation, model, now);
        if self.dice.one_in(self.world.spoilt) {
            operation = self.spoil(operation, id, model, now);
            let often = model.settings.is_none() || self.world.guarded;
            if self.dice.one_in(if often { 2 } else { 6 }) {
                id = self.spoilt_id(&operation, model, now);
            }
        }
        // What is left out and what is zero is the same.
        operation = Operation::try_from(&operation.request(id)).unwrap_or(operation);
        if words::id_kind(operation.kind()) == IdKind::Internal {
            return internal(now, operation);
        }
        let caller = Caller { role: Role::System, actor: 1, grant: 0 };
        let asked = Asked { now, caller, id, operation, linked: false };
        Asked { caller: self.caller_for(&asked, model), ..asked }
    }

    /// Mostly somebody who may.
    fn caller_for(&mut self, asked: &Asked, model: &Model) -> Caller {
        let role = if self.dice.one_in(60) {
            self.dice.pick(&Role::CALLERS)
        } else {
            self.dice.pick(words::roles(asked.kind()))
        };
        let actor = 1 + self.dice.below(ACTORS) as u32;
        let caller = Caller { role, actor, grant: 0 };
        let (only, latest) = model.right_to(&Asked { caller, ..*asked });
        let grant = latest.unwrap_or(0);
        let actor = only.unwrap_or(actor);
        match self.dice.below(if self.world.guarded { 6 } else { 40 }) {
            0 => Caller { role, actor: actor % 3 + 1, grant },
            1 => Caller { role, actor, grant: grant.wrapping_add(self.dice.pick(&[1, u16::MAX])) },
            2 => Caller { role, actor: actor % 3 + 1, grant: grant.wrapping_add(1) },
            _ => Caller { role, actor, grant },
        }
    }

    fn group(&mut self, model: &Model, now: Timestamp) -> Vec<Asked> {
        let mut members = match self.dice.recent(&(0..self.groups.len()).collect::<Vec<_>>(), 12) {
            Some(place) if self.dice.one_in(4) => self.groups[place].clone(),
            _ => {
                if self.dice.one_in(3) {
                    return self.a_play(model, now);
                }
                let length = match self.dice.below(30) {
                    0 => self.dice.pick(&[1, 63, 64, 65]),
                    1..4 => 5 + self.dice.below(10),
                    _ => 2 + self.dice.below(3),
                };
                (0..length).map(|_| self.member(model, now)).collect()
            }
        };
        match self.dice.below(12) {
            0 => {
                members.pop();
            }
            1 => members.push(self.member(model, now)),
            2 => {
                let place = self.dice.below(members.len() as u64) as usize;
                members[place] = self.again(model, now);
            }
            _ => {}
        }
        if members.is_empty() {
            members.push(self.member(model, now));
        }
        self.link(&mut members, now)
    }

    fn link(&mut self, members: &mut [Asked], now: Timestamp) -> Vec<Asked> {
        let last = members.len() - 1;
        for (place, member) in members.iter_mut().enumerate() {
            (member.now, member.linked) = (now, place < last);
        }
        if self.dice.one_in(60) {
            members[last].linked = true;
        }
        members.iter().for_each(|member| self.remember(*member));
        self.groups.push(members.to_vec());
        members.to_vec()
    }

    /// A group that mostly succeeds: deposits, bets, what they won, and the end of their round.
    fn a_play(&mut self, model: &Model, now: Timestamp) -> Vec<Asked> {
        let plays = self.dice.pick(&[1, 1, 2, 3, 5, 21]);
        let mut members: Vec<_> = self
            .play(plays, model)
            .into_iter()
            .map(|operation| self.asked_rightly(operation, model, now))
            .collect();
        self.link(&mut members, now)
    }

    /// Under a new id, by somebody who may.
    fn asked_rightly(&mut self, operation: Operation, model: &Model, now: Timestamp) -> Asked {
        let id = self.id_for(&operation, model, now);
        let caller = Caller { role: words::roles(operation.kind())[0], actor: 1, grant: 0 };
        let asked = Asked { now, caller, id, operation, linked: false };
        let (only, latest) = model.right_to(&asked);
        let caller = Caller { actor: only.unwrap_or(1), grant: latest.unwrap_or(0), ..caller };
        Asked { caller, ..asked }
    }

    fn member(&mut self, model: &Model, now: Timestamp) -> Asked {
        let mut member = self.request(model, now, true);
        while words::id_kind(member.kind()) == IdKind::Internal {
            member = self.request(model, now, true);
        }
        // What a member does the next ones can refer to.
        self.names.note(&member);
        member
    }

    fn groupable_operation(&mut self, model: &Model, now: Timestamp) -> Operation {
        loop {
            let operation = self.operation(model, now);
            if words::is_groupable(operation.kind()) {
                return operation;
            }
        }
    }

    /// An id of the kind that the operation has.
    pub(crate) fn id_for(&mut self, operation: &Operation, model: &Model, now: Timestamp) -> RequestId {
        match words::id_kind(operation.kind()) {
            IdKind::Internal => RequestId::NONE,
            IdKind::Permanent => match operation {
                Operation::LateCorrection { transaction, .. } if !self.dice.one_in(12) => {
                    RequestId(transaction.0)
                }
                _ => self.key(),
            },
            IdKind::Reference => RequestId(self.transaction(model).0),
            // A reserve may be one that was cancelled before it came.
            IdKind::Request if operation.kind() == OperationKind::Reserve && self.dice.one_in(12) => {
                let tombstone = self.dice.recent(&model.tombstones(Space::Hold), 12);
                tombstone.map_or_else(|| self.new_id(model, now), RequestId)
            }
            // Or it has the number of a bet: nothing keeps the two apart.
            IdKind::Request if operation.kind() == OperationKind::Reserve && self.dice.one_in(8) => {
                let bet = self.dice.recent(&self.names.shared, 8);
                bet.map_or_else(|| self.new_id(model, now), |bet| RequestId(bet.0))
            }
            IdKind::Request => self.new_id(model, now),
        }
    }

    /// A permanent key: mostly a new one.
    fn key(&mut self) -> RequestId {
        self.names.made += 1;
        let number = if self.dice.one_in(12) { u128::from(self.dice.below(40)) } else { self.names.made };
        RequestId(0xfac7 << 100 | number)
    }

    /// A provider's transaction: mostly a new one.
    pub(crate) fn transaction(&mut self, model: &Model) -> Reference {
        let known = match self.dice.below(24) {
            0 | 1 => self.dice.recent(&self.names.wagers, 12),
            2 => self.dice.recent(&model.tombstones(Space::Wager), 12).map(Reference),
            // The number of an open hold, and one that a hold can get later.
            3 => {
                let open: Vec<_> = model.holds.keys().copied().collect();
                self.dice.recent(&open, 8).map(|hold| Reference(hold.0))
            }
            4 => {
                let number = Reference(self.new_id(model, model.clock).0);
                self.names.shared.push(number);
                Some(number)
            }
            _ => None,
        };
        self.names.made += 1;
        known.unwrap_or(Reference(0x7ea << 100 | self.names.made))
    }

    /// Mostly of about now, sometimes about the horizon.
    fn new_id(&mut self, model: &Model, now: Timestamp) -> RequestId {
        let millis = match self.dice.below(60) {
            0 if self.world.clocks_ahead => now.millis() + 4_998 + self.dice.below(5),
            1 => now.millis() + self.dice.below(20),
            2 => (model.horizon.millis() + self.dice.below(3)).saturating_sub(1),
            _ => (now.millis() + self.dice.below(5)).saturating_sub(2),
        };
        let low = if self.dice.one_in(8) { self.dice.below(12).into() } else { self.names.made + 12 };
        self.names.made += 1;
        RequestId::from_time(Timestamp::from_millis(millis), low)
    }

    pub(crate) fn any_game(&mut self, name: &str) -> u32 {
        if name == "chain" || name == "venue" { self.chain() } else { self.dice.pick(&GAMES).0 }
    }

    pub(crate) fn chain(&mut self) -> u32 {
        self.dice.pick(&[1, 1, 1, 2])
    }

    /// Any name of anything, or of nothing.
    pub(crate) fn any_name(&mut self, model: &Model, now: Timestamp) -> u128 {
        let names = &self.names;
        let ids = [
            &names.holds,
            &names.withdrawals,
            &names.adjustments,
            &names.freerounds,
            &names.orders,
            &names.deposits,
        ];
        let known = match self.dice.below(9) {
            place @ 0..6 => self.dice.recent(ids[place as usize], 6).map(|id| id.0),
            6 => self.dice.recent(&names.wagers, 6).map(|name| name.0),
            7 => self.dice.recent(&names.rounds, 6).map(|name| name.0),
            _ => None,
        };
        match known {
            Some(known) => known,
            None if self.dice.one_in(4) => 0,
            None => self.new_id(model, now).0,
        }
    }

    pub(crate) fn any_player(&mut self) -> PlayerId {
        let beyond = u64::from(self.dice.one_in(3));
        PlayerId::from_index(self.dice.below(self.world.players + beyond) as u32)
    }

    pub(crate) fn player(&mut self) -> PlayerId {
        if self.dice.one_in(200) {
            return PlayerId::NONE;
        }
        PlayerId::from_index(self.dice.below(self.world.players) as u32)
    }

    pub(crate) fn any_asset(&mut self) -> AssetId {
        if self.dice.one_in(3) {
            return AssetId(self.dice.pick(&[0, self.world.assets as u16 + 1, u16::MAX]));
        }
        self.asset()
    }

    pub(crate) fn asset(&mut self) -> AssetId {
        AssetId(self.dice.below(self.world.assets) as u16 + 1)
    }

    pub(crate) fn game(&mut self) -> GameId {
        self.dice.pick(&[GAMES[0], GAMES[0], GAMES[0], GAMES[1], GAMES[2], GAMES[2]])
    }

    /// Any session's number that was given, and some that were not.
    pub(crate) fn any_session(&mut self, model: &Model, now: Timestamp) -> SessionId {
        let expired = self.dice.one_in(2);
        let known = model.sessions.iter().filter(|(_, row)| !expired || row.expires <= now && !row.revoked);
        let known: Vec<_> = known.map(|(number, _)| *number).collect();
        let known = if self.dice.one_in(3) { None } else { self.dice.recent(&known, 12) };
        known.unwrap_or_else(|| SessionId(self.dice.below(u64::from(model.sessions_opened) + 3) as u32))
    }

    pub(crate) fn spoilt_amount(&mut self) -> Amount {
        let bound = self.world.amount_max;
        Amount(self.dice.pick(&[
            0,
            bound,
            bound + 1,
            bound + 1,
            bound * 4,
            1 << 125,
            1 << 125,
            (1 << 125) + 1,
            u128::MAX,
        ]))
    }

    pub(crate) fn amount(&mut self) -> Amount {
        let bound = self.world.amount_max;
        if self.world.huge && !self.dice.one_in(4) {
            return Amount(self.dice.pick(&[bound, bound, bound - 1, bound / 2, 1 << 80]));
        }
        if self.dice.one_in(12) {
            return Amount(self.dice.pick(&[bound - 1, bound, bound + 1]));
        }
        Amount(u128::from(1 + self.dice.below(5)))
    }
}

fn internal(now: Timestamp, operation: Operation) -> Asked {
    let caller = Caller { role: Role::System, actor: 0, grant: 0 };
    Asked { now, caller, id: RequestId::NONE, operation, linked: false }
}

impl Names {
    /// Notes what others can refer to.
    fn note(&mut self, asked: &Asked) {
        match asked.operation {
            Operation::Reserve { round, .. } => {
                self.holds.push(asked.id);
                self.rounds.extend(round);
            }
            Operation::ImportHold { hold, .. } | Operation::Cancel { hold, .. } => self.holds.push(hold),
            Operation::Bet { bet, round, .. }
            | Operation::BetWin { bet, round, .. }
            | Operation::ImportBet { bet, round, .. } => {
                self.wagers.push(bet);
                self.rounds.push(round);
            }
            Operation::ImportReference { bet, .. } => self.wagers.push(bet),
            Operation::Win { .. } => self.wagers.push(Reference(asked.id.0)),
            Operation::Rollback { target, .. } => {
                self.wagers.extend([Reference(asked.id.0), target]);
            }
            Operation::WithdrawRequest { .. } => self.withdrawals.push(asked.id),
            Operation::Adjust { .. } => self.adjustments.push(asked.id),
            Operation::FreeroundGrant { .. } => self.freerounds.push(asked.id),
            Operation::VoidPeriod { .. } => self.orders.push(asked.id),
            Operation::DepositCredit { .. } => self.deposits.push(asked.id),
            _ => {}
        }
    }
}
