//! The ledger as its documents tell it, written by hand: slow, obvious, and without one line of the engine's own
//! deciding. Where the two differ, one of them is wrong.
//!
//! In: a time, a caller, an id and an operation. Out: a [`Verdict`], with the model already changed accordingly.
//! Shared with the engine are words alone (operations, their fields, ids, result codes), never a rule.
//!
//! Every request goes the same way: what may stand in its way is looked at, each thing by itself, in the order of
//! `docs/operations-table.md`; then the money moves; then the rest changes.

mod bets;
mod big;
pub(crate) mod books;
mod calendar;
mod cashier;
mod checks;
mod closed;
mod corrections;
mod due;
mod groups;
mod holds;
mod late;
pub(crate) mod limits;
pub(crate) mod memory;
mod money;
mod players;
mod promotions;
mod rounds;
mod rules;
mod sessions;
mod withdrawals;
pub(crate) mod words;

use cage_engine::field::LockReason;
use cage_engine::id::Reference;
use cage_engine::{
    AssetId, GameId, Operation, OperationKind, PlayerId, RequestId, ResultCode, Role, SessionId, Timestamp,
};

pub(crate) use books::Model;
pub(crate) use checks::Checks;
use memory::{About, Content, End, Space, Trace};
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

    pub(crate) const fn kind(&self) -> OperationKind {
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
    /// The game of the hold, round or free rounds that ended, or of which something was settled.
    pub(crate) game: Option<GameId>,
    /// Why a deposit is locked.
    pub(crate) locked: Option<LockReason>,
}

/// What the request that is being worked on has done so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deed {
    moves: Vec<Move>,
    named: Named,
    /// What is to be remembered besides the request itself.
    facts: Vec<(About, u64)>,
    /// What a withdrawal takes of what is locked.
    drawn: Vec<(LockReason, u128)>,
    /// Whether the player, or the pool, had less than was to be taken.
    short: bool,
}

/// What comes of a step: nothing, or the reason why the request is not executed.
pub(crate) type Step<T = ()> = Result<T, ResultCode>;

const fn refuse_unless(holds: bool, code: ResultCode) -> Step {
    if holds { Ok(()) } else { Err(code) }
}

impl Model {
    /// Answers a request, and does what it asks for. `checks` gets all that was looked at.
    pub(crate) fn ask(&mut self, asked: &Asked, checks: &mut Checks) -> Verdict {
        if let Some(verdict) = self.known(asked) {
            return verdict;
        }
        self.look_at_taking(asked, checks);
        self.ask_new(asked, checks)
    }

    /// The same for one whose id is known to be new, after it was looked at whether it is taken.
    fn ask_new(&mut self, asked: &Asked, checks: &mut Checks) -> Verdict {
        self.look_at_names(asked, checks);
        self.look(asked, checks);
        let mut after = self.clone();
        after.deed = Deed::default();
        let refused = match checks.refused() {
            None if checks.is_done() => None,
            None => after.move_money(asked).err(),
            Some(code) => {
                // Whether the money would have been missing, too.
                if checks.can_be_paid() {
                    checks.look("funds", after.move_money(asked));
                }
                Some(code)
            }
        };
        match refused {
            None => {
                let code = match checks.done() {
                    Some(code) => after.leave_undone(asked, code),
                    None => after.carry_out(asked),
                };
                *self = after;
                Verdict::Written(self.write(asked, code))
            }
            Some(code) if code.number() >= 700 => Verdict::Not(code),
            // A refusal is remembered under its id, and there must be room for that.
            Some(_) if !self.may_refuse(&[*asked]) => Verdict::Not(ResultCode::IdTableFull),
            Some(code) => {
                self.deed = Deed::default();
                Verdict::Written(self.write(asked, code))
            }
        }
    }

    /// What stands in the way of this operation, in the order of its page.
    fn look(&self, asked: &Asked, checks: &mut Checks) {
        match asked.kind().number() {
            1..16 => self.look_at_rule(asked, checks),
            16..64 => self.look_at_player(asked, checks),
            64..72 | 79 => self.look_at_cashier(asked, checks),
            72..79 => self.look_at_withdrawal(asked, checks),
            80..112 => self.look_at_correction(asked, checks),
            112..119 | 121 => self.look_at_promotion(asked, checks),
            119..121 => self.look_at_meter(asked, checks),
            128..132 => self.look_at_hold(asked, checks),
            132..136 => self.look_at_bet(asked, checks),
            _ => self.look_at_round(asked, checks),
        }
    }

    /// The legs, in order.
    fn move_money(&mut self, asked: &Asked) -> Step {
        match asked.kind().number() {
            1..16 => Ok(()),
            16..64 | 119..121 => self.pay_from_meter(asked),
            64..72 | 79 => self.pay_cashier(asked),
            72..79 => self.pay_withdrawal(asked),
            80..112 => self.pay_correction(asked),
            112..119 | 121 => self.pay_promotion(asked),
            128..132 => self.pay_hold(asked),
            132..136 => self.pay_bet(asked),
            _ => self.pay_round(asked),
        }
    }

    /// What changes besides balances; says with which code the request is executed.
    fn carry_out(&mut self, asked: &Asked) -> ResultCode {
        match asked.kind().number() {
            1..16 => self.carry_out_rule(asked),
            16..64 => self.carry_out_player(asked),
            64..72 | 79 => self.carry_out_cashier(asked),
            72..79 => self.carry_out_withdrawal(asked),
            80..112 => self.carry_out_correction(asked),
            112..119 | 121 => self.carry_out_promotion(asked),
            119..121 => ResultCode::Done,
            128..132 => self.carry_out_hold(asked),
            132..136 => self.carry_out_bet(asked),
            _ => self.carry_out_round(asked),
        }
    }

    /// Nothing is there to be undone; at most a tombstone is left.
    fn leave_undone(&mut self, asked: &Asked, code: ResultCode) -> ResultCode {
        let tombstone = |space, key| About::ending(space, key, End::Tombstone, None);
        match asked.operation {
            Operation::Cancel { hold, .. } => self.leave(tombstone(Space::Hold, hold.0), self.next_lsn()),
            Operation::Rollback { target, .. } if code == ResultCode::Tombstoned => {
                self.leave(tombstone(Space::Wager, target.0), self.next_lsn());
            }
            _ => {}
        }
        code
    }

    /// Whether the money for it was all there.
    fn done_or_short(&self) -> ResultCode {
        if self.deed.short { ResultCode::Shortfall } else { ResultCode::Done }
    }

    /// The record, and what is remembered because of it.
    fn write(&mut self, asked: &Asked, code: ResultCode) -> Written {
        let Deed { moves, named, facts, .. } = std::mem::take(&mut self.deed);
        let lsn = self.records + 1;
        let request = asked.operation.request(asked.id);
        let player = named.player.or_else(|| words::names_player(asked.kind()).then_some(request.player));
        let counterparty = match asked.operation {
            Operation::Transfer { to, .. } => Some(to),
            _ => None,
        };
        let latest = |player: Option<PlayerId>| player.map_or(0, |player| self.latest(player));
        let (previous, counterparty_previous) = (latest(player), latest(counterparty));
        let written = Written { lsn, code, named, moves, previous, counterparty_previous };
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
        let answer = |space| About::answer(space, asked.id.0, Some(asked.content()));
        match words::id_kind(asked.kind()) {
            IdKind::Request => self.remember(answer(Space::Request), lsn, asked.now),
            IdKind::Permanent if executed => {
                self.keys.insert(asked.id, (asked.content(), lsn));
            }
            // A win whose round was open is remembered with its round, also if that ended just now.
            IdKind::Reference if executed && !self.won_in_open_round(asked, lsn) => {
                self.remember(answer(Space::Reference), lsn, asked.now);
            }
            IdKind::Internal | IdKind::Permanent | IdKind::Reference => {}
        }
    }

    fn won_in_open_round(&self, asked: &Asked, lsn: u64) -> bool {
        self.wagers.contains_key(&Reference(asked.id.0))
            || self.answer(Space::Reference, asked.id.0).is_some_and(|(_, at)| at == lsn)
    }

    /// A bet that was refused stays so under the provider's transaction, whatever the id of the next report.
    fn remember_refused_bet(&mut self, asked: &Asked, lsn: u64) {
        let Some(bet) = words::bet_reference(&asked.operation) else { return };
        if self.ending(Space::Wager, bet.0).is_none() && !self.wagers.contains_key(&bet) {
            let trace = Trace::of(asked);
            self.remember(About::ending(Space::Wager, bet.0, End::Refused, Some(trace)), lsn, asked.now);
        }
    }
}
