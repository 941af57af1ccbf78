//! The ledger as its documents tell it, written by hand: slow, obvious, and without one line of the engine's own
//! deciding. Where the two differ, one of them is wrong.
//!
//! In: a time, a caller, an id and an operation. Out: a [`Verdict`], with the model already changed accordingly.
//! Shared with the engine are words alone (operations, their fields, ids, result codes), never a rule.

pub(crate) mod bets;
pub(crate) mod big;
pub(crate) mod books;
pub(crate) mod calendar;
pub(crate) mod cashier;
pub(crate) mod corrections;
pub(crate) mod groups;
pub(crate) mod holds;
pub(crate) mod laws;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod money;
pub(crate) mod players;
pub(crate) mod promotions;
pub(crate) mod rounds;
pub(crate) mod rules;
pub(crate) mod sessions;
pub(crate) mod withdrawals;
pub(crate) mod words;

use cage_engine::id::Reference;
use cage_engine::{
    AssetId, Operation, OperationKind, PlayerId, RequestId, ResultCode, Role, SessionId, Timestamp,
};

pub(crate) use books::Model;
use memory::{About, Content, End, Space};
pub(crate) use money::{Account, Move};
use words::IdKind;

/// Who asks, and by what right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) role: Role,
    pub(crate) actor: u32,
    pub(crate) grant: u16,
}

/// A request with all that it is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) now: Timestamp,
    pub(crate) caller: Caller,
    pub(crate) id: RequestId,
    pub(crate) operation: Operation,
    /// Whether the next request belongs to the same group.
    pub(crate) linked: bool,
}

impl Asked {
    const fn content(&self) -> Content {
        Content { operation: self.operation, linked: self.linked }
    }

    const fn kind(&self) -> OperationKind {
        self.operation.kind()
    }
}

/// What a request must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A record at this position.
    Written(Written),
    /// The same request was answered by the record there.
    Same(u64),
    /// Another request has this id; the record there answered it.
    Conflict(u64),
    /// Nothing was written.
    Not(ResultCode),
}

/// What the records of an answer must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The position of the first.
    pub(crate) lsn: u64,
    pub(crate) code: ResultCode,
    pub(crate) named: Named,
    /// All legs in order; two stand in each record.
    pub(crate) moves: Vec<Move>,
    pub(crate) previous: u64,
    pub(crate) counterparty_previous: u64,
}

impl Written {
    /// How many records it takes to hold the legs.
    pub(crate) const fn records(&self) -> usize {
        if self.moves.len() <= 2 { 1 } else { self.moves.len().div_ceil(2) }
    }
}

/// What the ledger had to fill in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) asset: Option<AssetId>,
    pub(crate) player: Option<PlayerId>,
    pub(crate) session: Option<SessionId>,
    /// A grant's or an address's number.
    pub(crate) number: Option<u64>,
    /// Why a deposit is locked.
    pub(crate) locked: Option<cage_engine::field::LockReason>,
}

/// What the request that is being worked on has done so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deed {
    moves: Vec<Move>,
    named: Named,
    /// What is to be remembered besides the request itself.
    facts: Vec<(About, u64)>,
}

/// What comes of a step: nothing, or the reason why the request is not executed.
type Step<T = ()> = Result<T, ResultCode>;

const fn refuse_unless(holds: bool, code: ResultCode) -> Step {
    if holds { Ok(()) } else { Err(code) }
}

impl Model {
    /// Answers a request, and does what it asks for.
    pub(crate) fn ask(&mut self, now: Timestamp, caller: Caller, id: RequestId, operation: &Operation) -> Verdict {
        let asked = Asked { now, caller, id, operation: *operation, linked: false };
        if let Some(verdict) = self.known(&asked) {
            return verdict;
        }
        if let Err(code) = self.taken(&asked) {
            return Verdict::Not(code);
        }
        let mut after = self.clone();
        match after.execute(&asked) {
            Ok(code) => {
                let written = after.write(&asked, code);
                *self = after;
                Verdict::Written(written)
            }
            Err(code) if code.number() >= 700 => Verdict::Not(code),
            // A refusal is remembered under its id, and there must be room for that.
            Err(_) if !self.has_room(self.room_for_refusals(&[asked]), now) => {
                Verdict::Not(ResultCode::IdTableFull)
            }
            Err(code) => {
                self.deed = Deed::default();
                Verdict::Written(self.write(&asked, code))
            }
        }
    }

    /// Whether anything is decided at all: the places in the tables, then the caller's rights.
    fn taken(&self, asked: &Asked) -> Step {
        self.place_for(asked)?;
        self.permitted(asked)
    }

    /// Does what is asked, or says why not; then the books are a mess and must be thrown away.
    fn execute(&mut self, asked: &Asked) -> Step<ResultCode> {
        self.deed = Deed::default();
        self.names_exist(asked)?;
        match asked.kind().number() {
            1..16 => self.execute_rule(asked),
            16..64 => self.execute_player(asked),
            64..96 => self.execute_cashier(asked),
            96..112 => self.execute_correction(asked),
            112..128 => self.execute_promotion(asked),
            _ => self.execute_wager(asked),
        }
    }

    fn execute_wager(&mut self, asked: &Asked) -> Step<ResultCode> {
        match asked.operation {
            Operation::Reserve { .. } => self.reserve(asked),
            Operation::Settle { .. } => self.settle(asked),
            Operation::Cancel { .. } => self.cancel(asked),
            Operation::Expire { .. } => self.expire(asked),
            Operation::Bet { .. } | Operation::BetWin { .. } => self.bet(asked),
            Operation::Win { .. } => self.win(asked),
            Operation::Rollback { .. } => self.rollback(asked),
            Operation::EndRound { .. } => self.end_round(asked),
            Operation::CloseRound { .. } => self.close_round(asked),
            Operation::VoidRound { .. } => self.void_round(asked),
            Operation::VoidPeriod { .. } => self.void_period(asked),
            Operation::LateCorrection { .. } => self.late_correction(asked),
            _ => unreachable!("the model knows every operation"),
        }
    }

    /// Assets and players are looked at before everything else, as far as the request names them.
    fn names_exist(&self, asked: &Asked) -> Step {
        let request = asked.operation.request(asked.id);
        if words::names_asset(asked.kind()) {
            self.asset(request.asset)?;
        }
        if words::names_player(asked.kind()) {
            self.player(request.player)?;
        }
        match asked.operation {
            Operation::Transfer { to, .. } => {
                self.player(to).map(drop).map_err(|_| ResultCode::CounterpartyUnknown)
            }
            _ => Ok(()),
        }
    }

    /// The record, and what is remembered because of it.
    fn write(&mut self, asked: &Asked, code: ResultCode) -> Written {
        let Deed { moves, named, facts } = std::mem::take(&mut self.deed);
        let lsn = self.records + 1;
        let request = asked.operation.request(asked.id);
        let player = named.player.or(words::names_player(asked.kind()).then_some(request.player));
        let counterparty = match asked.operation {
            Operation::Transfer { to, .. } => Some(to),
            _ => None,
        };
        let written = Written {
            lsn,
            code,
            named,
            moves,
            previous: player.map_or(0, |player| self.latest(player)),
            counterparty_previous: counterparty.map_or(0, |player| self.latest(player)),
        };
        for player in [player, counterparty].into_iter().flatten() {
            self.set_latest(player, lsn);
        }
        for (about, at) in facts {
            self.remember(about, at, asked.now);
        }
        if code.number() >= 100 {
            self.remember_refused_bet(asked, lsn);
        }
        self.remember_own(asked, code, lsn);
        self.records = lsn + written.records() as u64 - 1;
        self.clock = asked.now;
        written
    }

    /// A request is remembered under its id, as long as the operation's kind of id says.
    fn remember_own(&mut self, asked: &Asked, code: ResultCode, lsn: u64) {
        let executed = code.number() < 100;
        let answer = |space| About::answer(space, asked.id, asked.content());
        match words::id_kind(asked.kind()) {
            IdKind::Request => self.remember(answer(Space::Request), lsn, asked.now),
            IdKind::Permanent if executed => {
                self.keys.insert(asked.id, (asked.content(), lsn));
            }
            IdKind::Reference if executed => {
                // A win that stands in the table of bets, or stood there until its round ended just now, is remembered.
                let known = self.wagers.contains_key(&Reference(asked.id.0))
                    || self.fact(Space::Reference, asked.id.0).is_some();
                if !known {
                    self.remember(answer(Space::Reference), lsn, asked.now);
                }
            }
            IdKind::Internal | IdKind::Permanent | IdKind::Reference => {}
        }
    }

    /// A bet that was refused stays so under the provider's transaction, whatever the id of the next report.
    fn remember_refused_bet(&mut self, asked: &Asked, lsn: u64) {
        let Some(bet) = words::bet_reference(&asked.operation) else { return };
        if self.ending(Space::Wager, bet.0).is_none() {
            let trace = memory::Trace::of(asked);
            self.remember(About::ending(Space::Wager, bet.0, End::Refused, Some(trace)), lsn, asked.now);
        }
    }

    /// What the ledger has to do by itself: what was due first, by time, then sort, then key.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Operation> {
        let (at, _, _, operation) = self.dues().into_iter().min_by_key(|(at, sort, key, _)| (*at, *sort, *key))?;
        (at <= now).then_some(operation)
    }

    /// When there is next something to do.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.dues().into_iter().map(|(at, ..)| at).min()
    }

    fn dues(&self) -> Vec<(Timestamp, u8, u128, Operation)> {
        let mut dues = Vec::new();
        for (id, hold) in &self.holds {
            let expire = Operation::Expire { player: hold.player, asset: hold.asset, hold: *id };
            dues.extend(hold.deadline.map(|deadline| (deadline, 0, id.0, expire)));
        }
        for (key, round) in self.rounds.iter().filter(|(_, round)| round.open_holds == 0) {
            let close = Operation::CloseRound { player: round.player, asset: round.asset, round: *key };
            dues.push((round.closes, 1, key.0, close));
        }
        for (number, session) in &self.sessions {
            let expire = Operation::ExpireSession { player: session.player, session: *number };
            dues.push((session.expires, 2, u128::from(number.0), expire));
        }
        for (player, asset) in self.collectable() {
            let key = u128::from(player.number()) << 16 | u128::from(asset.0);
            dues.push((Timestamp(0), 3, key, Operation::AutoCollect { player, asset }));
        }
        for (id, freeround) in &self.freerounds {
            let lapse = Operation::FreeroundLapse { player: freeround.player, grant: *id };
            dues.push((freeround.expires, 4, id.0, lapse));
        }
        dues
    }
}
