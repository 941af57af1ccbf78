//! What is remembered of requests and of what has ended: a list in the order of the log, of bounded length.
//!
//! In: an id. Out: whether and how it was answered, whether it is too old to tell, and whether there is room. Never
//! here: what a request does.

use cage_engine::id::Reference;
use cage_engine::{
    AssetId, GameId, Operation, OperationKind, PlayerId, RequestId, ResultCode, Settings, Timestamp,
};

use super::books::WagerRow;
use super::words::{self, IdKind};
use super::{Asked, Checks, Model, Step, Verdict, refuse_unless};

/// How something came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It took its course.
    Settled,
    Cancelled,
    Expired,
    /// It was cancelled before it was opened.
    Tombstone,
    Refused,
}

/// Whose something was: player, asset and provider.
pub(crate) type Owner = (PlayerId, AssetId, u16);

/// One key may name several things, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Request,
    Hold,
    Withdrawal,
    Freeround,
    Round,
    /// Answers under a provider's transaction.
    Reference,
    /// Endings of bets and wins.
    Wager,
    Adjustment,
}

impl Space {
    /// Whether its keys have a time in them.
    const fn is_timed(self) -> bool {
        matches!(self, Self::Request | Self::Hold | Self::Withdrawal | Self::Freeround)
    }
}

/// What was asked, but for the id: two reports of one outside fact have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) operation: Operation,
    pub(crate) linked: bool,
}

/// What tells a bet's repeat from a conflict, and its late win from a stranger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Nothing if no bet was asked for.
    pub(crate) content: Option<Content>,
    pub(crate) owner: (PlayerId, AssetId, u16),
}

impl Trace {
    pub(super) fn of(asked: &Asked) -> Self {
        let request = asked.operation.request(asked.id);
        Self {
            content: Some(asked.content()),
            owner: (request.player, request.asset, request.game.provider()),
        }
    }

    pub(super) const fn of_row(row: &WagerRow) -> Self {
        Self { content: Some(row.content), owner: (row.player, row.asset, row.game.provider()) }
    }

    pub(super) fn fits(&self, player: PlayerId, asset: AssetId, game: GameId) -> bool {
        self.owner == (player, asset, game.provider())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    space: Space,
    key: u128,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// To a request of this content; nothing if the id was used up by something else.
    Answer(Option<Content>),
    End(End, Option<Trace>),
}

impl About {
    pub(super) const fn answer(space: Space, key: u128, content: Option<Content>) -> Self {
        Self { space, key, what: What::Answer(content) }
    }

    pub(super) const fn ending(space: Space, key: u128, end: End, trace: Option<Trace>) -> Self {
        Self { space, key, what: What::End(end, trace) }
    }
}

/// Something that is remembered for a while, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    about: About,
    lsn: u64,
    written: Timestamp,
}

/// An id may lie this much ahead of the ledger's time.
const AHEAD: u64 = 5_000;

pub(super) fn not_from_future(id: RequestId, now: Timestamp) -> Step {
    refuse_unless(id.time() <= now.plus_millis(AHEAD), ResultCode::IdFromFuture)
}

impl Model {
    pub(crate) fn fact_count(&self) -> u64 {
        self.facts.len() as u64
    }

    /// All that something is remembered under.
    pub(crate) fn remembered_keys(&self) -> Vec<(Space, u128)> {
        self.facts.iter().map(|fact| (fact.about.space, fact.about.key)).collect()
    }

    /// What was cancelled before it came, of one sort.
    pub(crate) fn tombstones(&self, space: Space) -> Vec<u128> {
        let ends = self.facts.iter().filter(|fact| {
            fact.about.space == space && matches!(fact.about.what, What::End(End::Tombstone, _))
        });
        ends.map(|fact| fact.about.key).collect()
    }

    /// Whose a bet was that is not open any more.
    pub(crate) fn owner_of(&self, bet: Reference) -> Option<(PlayerId, AssetId, u16)> {
        let (_, trace, _) = self.traced(Space::Wager, bet.0)?;
        trace.map(|trace| trace.owner)
    }

    /// Whose a transaction was that is not open any more, if that is known, and its record.
    pub(crate) fn past(&self, of: Reference) -> Option<(Option<Owner>, u64)> {
        if let Some((_, lsn)) = self.answer(Space::Reference, of.0) {
            return Some((None, lsn));
        }
        let (_, trace, lsn) = self.traced(Space::Wager, of.0)?;
        Some((trace.map(|trace| trace.owner), lsn))
    }

    /// What is remembered under a key, and the record that it points to.
    pub(super) fn fact(&self, space: Space, key: u128) -> Option<&Fact> {
        let is_it = |fact: &&Fact| (fact.about.space, fact.about.key) == (space, key);
        let aside = self.aside.iter().flatten().rev().find(is_it);
        aside.or_else(|| self.facts.iter().rev().find(is_it))
    }

    pub(super) fn answer(&self, space: Space, key: u128) -> Option<(Option<Content>, u64)> {
        let fact = self.fact(space, key)?;
        match fact.about.what {
            What::Answer(content) => Some((content, fact.lsn)),
            What::End(..) => None,
        }
    }

    pub(super) fn traced(&self, space: Space, key: u128) -> Option<(End, Option<Trace>, u64)> {
        let fact = self.fact(space, key)?;
        match fact.about.what {
            What::End(end, trace) => Some((end, trace, fact.lsn)),
            What::Answer(_) => None,
        }
    }

    pub(crate) fn ending(&self, space: Space, key: u128) -> Option<End> {
        self.traced(space, key).map(|(end, ..)| end)
    }

    /// A repeated request is answered from its record, whatever has happened since.
    pub(super) fn known(&self, asked: &Asked) -> Option<Verdict> {
        let id = asked.id;
        match words::id_kind(asked.kind()) {
            IdKind::Internal => None,
            IdKind::Permanent => {
                self.keys.get(&id).map(|(known, lsn)| same_or_conflict(asked, Some(known), *lsn))
            }
            IdKind::Reference => self.known_reference(asked),
            IdKind::Request => {
                if let Some((known, lsn)) = self.answer(Space::Request, id.0) {
                    return Some(same_or_conflict(asked, known.as_ref(), lsn));
                }
                words::bet_reference(&asked.operation).and_then(|bet| self.known_bet(asked, bet))
            }
        }
    }

    /// A bet is known by the provider's transaction, too.
    fn known_bet(&self, asked: &Asked, bet: Reference) -> Option<Verdict> {
        if let Some(row) = self.any_wager(bet) {
            return Some(same_or_conflict(asked, Some(&row.content), row.opened));
        }
        if let Some((_, lsn)) = self.answer(Space::Reference, bet.0) {
            return Some(Verdict::Conflict(lsn));
        }
        match self.traced(Space::Wager, bet.0)? {
            (End::Tombstone, ..) => None,
            (_, trace, lsn) => {
                let known = trace.and_then(|trace| trace.content);
                Some(same_or_conflict(asked, known.as_ref(), lsn))
            }
        }
    }

    /// A win or a rollback is known by the provider's transaction.
    fn known_reference(&self, asked: &Asked) -> Option<Verdict> {
        let key = asked.id.0;
        if let Some(row) = self.any_wager(Reference(key)) {
            return Some(same_or_conflict(asked, Some(&row.content), row.opened));
        }
        if let Some((known, lsn)) = self.answer(Space::Reference, key) {
            return Some(same_or_conflict(asked, known.as_ref(), lsn));
        }
        match self.traced(Space::Wager, key)? {
            (End::Tombstone, ..) => None,
            // A win that was undone is still the win that it was.
            (_, trace, lsn) => {
                let known = trace.and_then(|trace| trace.content);
                Some(same_or_conflict(asked, known.as_ref(), lsn))
            }
        }
    }

    /// Whether anything is decided at all: whether the id can be trusted to be new, whether the tables have room for
    /// what it opens, and what the caller is permitted.
    pub(super) fn look_at_taking(&self, asked: &Asked, checks: &mut Checks) {
        let kind = words::id_kind(asked.kind());
        if kind != IdKind::Internal {
            checks.look("settings", refuse_unless(self.settings.is_some(), ResultCode::NotConfigured));
        }
        if kind == IdKind::Request {
            self.look_at_place(asked, checks);
        }
        if words::takes_over(asked.kind()) {
            self.look_at_room(asked, checks);
        }
        self.look_at_permits(asked, checks);
    }

    /// Whether there is room for what it leaves, for what all that is open will leave, and a sixteenth to spare.
    fn look_at_room(&self, asked: &Asked, checks: &mut Checks) {
        let Some(settings) = self.settings else { return };
        let room = own_facts(&asked.operation) + self.room_owed() + settings.ids_capacity / 16;
        checks.look("room", refuse_unless(self.has_room(room, asked.now), ResultCode::IdTableFull));
    }

    fn look_at_place(&self, asked: &Asked, checks: &mut Checks) {
        checks.look("future", not_from_future(asked.id, asked.now));
        let opens = words::opens(asked.kind());
        // A part of a hold that was taken and forgotten must not be taken again.
        let continues = match asked.operation {
            Operation::Settle { hold, .. } => self.holds.get(&hold).is_some_and(|hold| hold.settled_in_part),
            _ => false,
        };
        if opens || matches!(asked.operation, Operation::Settle { .. }) {
            let too_old = (opens || continues) && asked.id.time() <= self.horizon;
            checks.look("horizon", refuse_unless(!too_old, ResultCode::IdTooOld));
        }
        let Some(settings) = self.settings.filter(|_| opens) else { return };
        self.look_at_room(asked, checks);
        if matches!(asked.kind(), OperationKind::Reserve | OperationKind::Bet | OperationKind::BetWin) {
            let rows = (self.holds.len() + self.wagers.len() + self.rounds.len()) as u64;
            checks.look("open ones", refuse_unless(rows < settings.holds_max, ResultCode::HoldTableFull));
        }
    }

    /// How many facts everything that is open will leave at its end.
    pub(crate) fn room_owed(&self) -> u64 {
        let of_rounds = self.wagers.len() + self.rounds.len();
        let others = self.withdrawals.len() + self.adjustments.len() + self.freerounds.len();
        (2 * self.holds.len() + of_rounds + others) as u64
    }

    /// Whether there is room to remember that all of these are refused. What is not remembered needs none.
    pub(super) fn may_refuse(&self, group: &[Asked]) -> bool {
        let remembered = group.iter().filter(|asked| words::id_kind(asked.kind()) == IdKind::Request);
        let own = remembered.map(|asked| 1 + u64::from(words::bet_reference(&asked.operation).is_some()));
        let own: u64 = own.sum();
        own == 0 || self.has_room(own + self.room_owed(), group[0].now)
    }

    /// Whether that many facts can be remembered without forgetting one that is too young.
    pub(super) fn has_room(&self, needed: u64, now: Timestamp) -> bool {
        let aside = self.aside.as_ref().map_or(0, Vec::len) as u64;
        self.settings.map_or(needed == 0, |settings| self.has_room_under(settings, needed + aside, now))
    }

    pub(super) fn has_room_under(&self, settings: Settings, needed: u64, now: Timestamp) -> bool {
        let Some(free) = settings.ids_capacity.checked_sub(self.fact_count()) else { return false };
        if needed <= free {
            return true;
        }
        if needed > settings.ids_capacity {
            return false;
        }
        let to_forget = (needed - free) as usize;
        // A fact counts as old as the one after it.
        (0..to_forget).all(|place| {
            let next = self.facts.get(place + 1);
            next.is_some_and(|next| next.written.plus_millis(settings.ids_retention_millis) <= now)
        })
    }

    /// Notes what is to be remembered when the request is written down.
    pub(super) fn leave(&mut self, about: About, lsn: u64) {
        self.deed.facts.push((about, lsn));
    }

    /// Remembers a fact; the oldest makes room, and with it every id that is not younger is given up.
    pub(super) fn remember(&mut self, about: About, lsn: u64, written: Timestamp) {
        let fact = Fact { about, lsn, written };
        match &mut self.aside {
            Some(aside) => aside.push(fact),
            None => self.remember_for_good(fact),
        }
    }

    /// A group is not tried any more: it happens.
    pub(super) fn end_trial(&mut self) {
        for fact in self.aside.take().unwrap_or_default() {
            self.remember_for_good(fact);
        }
    }

    fn remember_for_good(&mut self, fact: Fact) {
        let capacity = self.settings.expect("nothing is remembered before the settings").ids_capacity;
        if self.fact_count() == capacity {
            let oldest = self.facts.pop_front().expect("the capacity is not zero").about;
            if oldest.space.is_timed() {
                self.horizon = self.horizon.max(RequestId(oldest.key).time());
            }
        }
        self.facts.push_back(fact);
    }
}

/// How many facts an operation leaves at once and at the end of what it opens. A wager that names a round may have to
/// open it.
pub(super) const fn own_facts(operation: &Operation) -> u64 {
    match operation {
        Operation::Reserve { round: Some(_), .. } => 4,
        Operation::Reserve { .. }
        | Operation::Bet { .. }
        | Operation::BetWin { .. }
        | Operation::ImportHold { .. } => 3,
        Operation::WithdrawRequest { .. }
        | Operation::FreeroundGrant { .. }
        | Operation::ImportBet { .. } => 2,
        _ => 1,
    }
}

fn same_or_conflict(asked: &Asked, known: Option<&Content>, lsn: u64) -> Verdict {
    if known == Some(&asked.content()) { Verdict::Same(lsn) } else { Verdict::Conflict(lsn) }
}
