//! What is remembered of requests and of what has ended: a list in the order of the log, of bounded length.
//!
//! In: an id. Out: whether and how it was answered, whether it is too old to tell, and whether there is room. Never
//! here: what a request does.

use cage_engine::id::Reference;
use cage_engine::{AssetId, GameId, Operation, OperationKind, PlayerId, RequestId, ResultCode, Settings, Timestamp};

use super::books::WagerRow;
use super::words::{self, IdKind};
use super::{Asked, Model, Step, Verdict, refuse_unless};

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
        Self { content: Some(asked.content()), owner: (request.player, request.asset, request.game.provider()) }
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
    Answer(Content),
    End(End, Option<Trace>),
}

impl About {
    pub(super) const fn answer(space: Space, id: RequestId, content: Content) -> Self {
        Self { space, key: id.0, what: What::Answer(content) }
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

    /// What is remembered under a key, and the record that it points to.
    pub(super) fn fact(&self, space: Space, key: u128) -> Option<&Fact> {
        self.facts.iter().rev().find(|fact| (fact.about.space, fact.about.key) == (space, key))
    }

    fn answer(&self, space: Space, key: u128) -> Option<(Content, u64)> {
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
            IdKind::Permanent => self.keys.get(&id).map(|(known, lsn)| same_or_conflict(asked, known, *lsn)),
            IdKind::Reference => self.known_reference(asked),
            IdKind::Request => {
                if let Some((known, lsn)) = self.answer(Space::Request, id.0) {
                    return Some(same_or_conflict(asked, &known, lsn));
                }
                match asked.operation {
                    Operation::Reserve { .. } => self.holds.get(&id).map(|hold| Verdict::Conflict(hold.opened)),
                    Operation::Bet { bet, .. } | Operation::BetWin { bet, .. } => self.known_bet(asked, bet),
                    _ => None,
                }
            }
        }
    }

    /// A bet is known by the provider's transaction, too.
    fn known_bet(&self, asked: &Asked, bet: Reference) -> Option<Verdict> {
        if let Some(row) = self.wagers.get(&bet) {
            return Some(same_or_conflict(asked, &row.content, row.opened));
        }
        if let Some((_, lsn)) = self.answer(Space::Reference, bet.0) {
            return Some(Verdict::Conflict(lsn));
        }
        match self.traced(Space::Wager, bet.0)? {
            (End::Tombstone, ..) => None,
            (_, Some(Trace { content: Some(known), .. }), lsn) => Some(same_or_conflict(asked, &known, lsn)),
            (_, _, lsn) => Some(Verdict::Conflict(lsn)),
        }
    }

    fn known_reference(&self, asked: &Asked) -> Option<Verdict> {
        let key = asked.id.0;
        if let Some(row) = self.wagers.get(&Reference(key)) {
            return Some(same_or_conflict(asked, &row.content, row.opened));
        }
        if let Some((known, lsn)) = self.answer(Space::Reference, key) {
            return Some(same_or_conflict(asked, &known, lsn));
        }
        match self.traced(Space::Wager, key)? {
            (End::Tombstone, ..) => None,
            (End::Cancelled, Some(Trace { content: Some(known), .. }), lsn) => {
                Some(same_or_conflict(asked, &known, lsn))
            }
            (_, _, lsn) => Some(Verdict::Conflict(lsn)),
        }
    }

    /// Whether the id can be trusted to be new, and the tables have room for what it opens.
    pub(super) fn place_for(&self, asked: &Asked) -> Step {
        if words::id_kind(asked.kind()) == IdKind::Internal {
            return Ok(());
        }
        let settings = self.settings.ok_or(ResultCode::NotConfigured)?;
        if words::id_kind(asked.kind()) != IdKind::Request {
            return Ok(());
        }
        not_from_future(asked.id, asked.now)?;
        let opens = words::opens(asked.kind());
        // A part of a hold that was taken and forgotten must not be taken again.
        let continues = match asked.operation {
            Operation::Settle { hold, .. } => self.holds.get(&hold).is_some_and(|hold| hold.settled_in_part),
            _ => false,
        };
        let too_old = (opens || continues) && asked.id.time() <= self.horizon;
        refuse_unless(!too_old, ResultCode::IdTooOld)?;
        let room = own_facts(asked.kind()) + self.room_owed() + settings.ids_capacity / 16;
        refuse_unless(!opens || self.has_room(room, asked.now), ResultCode::IdTableFull)?;
        let rows = (self.holds.len() + self.wagers.len() + self.rounds.len()) as u64;
        let wagers =
            matches!(asked.kind(), OperationKind::Reserve | OperationKind::Bet | OperationKind::BetWin);
        refuse_unless(!wagers || rows < settings.holds_max, ResultCode::HoldTableFull)
    }

    /// How many facts everything that is open will leave at its end.
    pub(crate) fn room_owed(&self) -> u64 {
        let once = self.wagers.len() + self.withdrawals.len() + self.adjustments.len() + self.freerounds.len();
        2 * self.holds.len() as u64 + once as u64
    }

    /// How much room it takes to refuse all of these.
    pub(super) fn room_for_refusals(&self, group: &[Asked]) -> u64 {
        let remembered = group.iter().filter(|asked| words::id_kind(asked.kind()) == IdKind::Request);
        let own = remembered.map(|asked| 1 + u64::from(words::bet_reference(&asked.operation).is_some()));
        // What leaves nothing needs no room.
        match own.sum() {
            0 => 0,
            own => own + self.room_owed(),
        }
    }

    /// Whether that many facts can be remembered without forgetting one that is too young.
    pub(super) fn has_room(&self, needed: u64, now: Timestamp) -> bool {
        self.settings.is_some_and(|settings| self.has_room_under(settings, needed, now))
            // Before the settings only the ledger itself is heard, and leaves nothing.
            || (self.settings.is_none() && needed == 0)
    }

    pub(super) fn has_room_under(&self, settings: Settings, needed: u64, now: Timestamp) -> bool {
        let free = settings.ids_capacity - self.fact_count();
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
        let capacity = self.settings.expect("nothing is remembered before the settings").ids_capacity;
        if self.fact_count() == capacity {
            let oldest = self.facts.pop_front().expect("the capacity is not zero").about;
            if oldest.space.is_timed() {
                self.horizon = self.horizon.max(RequestId(oldest.key).time());
            }
        }
        self.facts.push_back(Fact { about, lsn, written });
    }
}

/// How many facts an operation leaves at once and at the end of what it opens.
pub(super) const fn own_facts(kind: OperationKind) -> u64 {
    match kind {
        OperationKind::Reserve => 3,
        OperationKind::Bet
        | OperationKind::BetWin
        | OperationKind::WithdrawRequest
        | OperationKind::FreeroundGrant => 2,
        _ => 1,
    }
}

fn same_or_conflict(asked: &Asked, known: &Content, lsn: u64) -> Verdict {
    if *known == asked.content() { Verdict::Same(lsn) } else { Verdict::Conflict(lsn) }
}
