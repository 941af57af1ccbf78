//! Decides what becomes of a request. Looks, changes nothing.
//!
//! In: the state, the time, an admitted request. Out: a record, or an answer that needs none. The order of the
//! checks is the order of precedence of the answers: id, room, permission, asset, players, what is referred to, the
//! gates of the operation's row, funds. Never here: a change of the state, knowledge of any single operation beyond
//! its row in the [table](crate::table).

mod facts;
mod gates;
mod group;
mod known;
mod money;
mod permit;
mod refer;

use alloc::vec::Vec;

pub(crate) use gates::settings_of;
pub use group::{GROUP_MAX, decide_group};
pub(crate) use money::{share, withdraw_fee};

use crate::code::ResultCode;
use crate::field::Need;
use crate::id::{CallerId, Lsn, SessionId};
use crate::record::{Age, Record};
use crate::request::Request;
use crate::role::Role;
use crate::state::{ASSETS_MAX, State, Token, chain_key};
use crate::table::{HandsOut, Spec};
use crate::time::Timestamp;
use facts::Facts;
use refer::Referred;

/// How far ahead of the ledger's time an id's own time may lie, in milliseconds.
pub const ID_AHEAD_MAX_MILLIS: u64 = 5_000;

/// A request whose caller is known and may ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What is asked.
    pub request: Request,
    /// Under which role.
    pub role: Role,
    /// A digest of the identity that asks.
    pub actor: u32,
    /// Under which grant, by the lower 16 bits of its number; 0 = none.
    pub grant: u16,
    /// When it was received.
    pub received: Timestamp,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "the record is the usual case, and is written out at once")]
pub enum Decision {
    /// A new record, executed or refused: to be appended, then applied.
    Record(Record),
    /// A new record and its continuations: to be appended as a run, then applied.
    Records(Vec<Record>),
    /// No record: the answer is known already, or nothing was decided.
    Answer(Answer),
}

impl Decision {
    /// The records that it consists of, in order; none for an answer.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        match self {
            Self::Record(record) => core::slice::from_ref(record),
            Self::Records(records) => records,
            Self::Answer(_) => &[],
        }
    }
}

/// An answer without a record of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The same request was decided in this record: its answer is the answer.
    Same(Lsn),
    /// The id belongs to another request, decided in this record.
    Conflict(Lsn),
    /// Not executed, for this reason; nothing is remembered.
    Not(ResultCode),
}

/// Decides `admitted` at `now`, which must not be before the state's clock.
#[must_use]
pub fn decide(state: &State, now: Timestamp, admitted: &Admitted) -> Decision {
    let spec = admitted.request.kind.spec();
    if let Some(answer) = known::known(state, &admitted.request, spec) {
        return Decision::Answer(answer);
    }
    if let Some(code) = known::not_taken(state, now, &admitted.request, spec) {
        return Decision::Answer(Answer::Not(code));
    }
    decide_new(state, now, admitted, spec)
}

/// Decides a request whose id is new and finds room.
fn decide_new(state: &State, now: Timestamp, admitted: &Admitted, spec: &Spec) -> Decision {
    if let Some(code) = permit::not_permitted(state, admitted, spec) {
        return Decision::Answer(Answer::Not(code));
    }
    let mut record = begin(state, now, admitted, spec);
    let mut further = Vec::new();
    match execute(state, now, admitted, spec, &mut record, &mut further) {
        Ok(code) => record.result = code,
        Err(code) if !code.is_recorded() => return Decision::Answer(Answer::Not(code)),
        Err(_) if !known::may_refuse(state, now, spec) => {
            return Decision::Answer(Answer::Not(ResultCode::IdTableFull));
        }
        Err(code) => return Decision::Record(refused(&record, code)),
    }
    if further.is_empty() {
        return Decision::Record(record);
    }
    Decision::Records(money::chain(state.next_lsn(), record, further))
}

fn begin(state: &State, now: Timestamp, admitted: &Admitted, spec: &Spec) -> Record {
    let request = &admitted.request;
    let mut record = Record::new(*request, ResultCode::Done, admitted.role, admitted.actor, now);
    record.grant = admitted.grant;
    record.received_age = Age::from_micros(now.0.saturating_sub(admitted.received.0) / 1_000);
    record.previous = state.players.latest(request.player);
    if spec.counterparty {
        record.set_counterparty_previous(state.players.latest(request.counterparty()));
    }
    record
}

/// The record of a refusal: as asked, without any movement.
fn refused(record: &Record, code: ResultCode) -> Record {
    let mut refused = Record::new(record.asked(), code, record.role, record.actor, record.decided);
    (refused.grant, refused.received_age) = (record.grant, record.received_age);
    refused.previous = record.previous;
    if refused.request.kind.spec().counterparty {
        refused.set_counterparty_previous(record.counterparty_previous());
    }
    refused
}

/// Checks and moves. The record is complete if this gives a code that counts as executed.
fn execute(
    state: &State,
    now: Timestamp,
    admitted: &Admitted,
    spec: &Spec,
    record: &mut Record,
    further: &mut Vec<Record>,
) -> Result<ResultCode, ResultCode> {
    let request = &admitted.request;
    check_parties(state, request, spec)?;
    let target = match refer::refer(state, now, request, spec.refers)? {
        Referred::Target(target) => target,
        Referred::Done(code) => return Ok(code),
    };
    if spec.fills_game {
        record.request.game = target.game().unwrap_or_default();
    }
    let facts = Facts::new(state, now, admitted, spec, target);
    for gate in spec.gates {
        facts.pass(*gate)?;
    }
    if let Some(code) = hand_out(state, &facts, spec, record)? {
        return Ok(code);
    }
    money::move_money(&facts, record, further)?;
    Ok(facts.code(record, further))
}

fn check_parties(state: &State, request: &Request, spec: &Spec) -> Result<(), ResultCode> {
    let shape = request.kind.shape();
    // An asset that may be left out is a gate of its own; the numbers that are handed out are not there yet.
    if matches!(shape.asset, Need::Filled) && state.asset(request.asset).is_none() {
        return Err(ResultCode::AssetUnknown);
    }
    if matches!(shape.player, Need::Filled) && !state.players.contains(request.player) {
        return Err(ResultCode::PlayerUnknown);
    }
    if spec.counterparty && !state.players.contains(request.counterparty()) {
        return Err(ResultCode::CounterpartyUnknown);
    }
    Ok(())
}

/// Fills in the number that the ledger hands out; says so if it is one that was handed out before.
fn hand_out(
    state: &State,
    facts: &Facts<'_>,
    spec: &Spec,
    record: &mut Record,
) -> Result<Option<ResultCode>, ResultCode> {
    let request = facts.request;
    match spec.hands_out {
        HandsOut::Nothing => {}
        HandsOut::Asset => {
            if let Some(asset) = gates::asset_of_code(state, request) {
                record.request.asset = asset;
                return Ok(Some(ResultCode::Existing));
            }
            if state.assets.len() >= ASSETS_MAX {
                return Err(ResultCode::AssetTableFull);
            }
            record.request.asset.0 = state.assets.len() as u16 + 1;
        }
        HandsOut::Player => {
            if let Some((player, _)) = state.players.find(CallerId(request.reference)) {
                record.request.player = player;
                record.previous = state.players.latest(player);
                return Ok(Some(ResultCode::Existing));
            }
            if state.players.len() as u64 >= state.settings.map_or(0, |settings| settings.players_max) {
                return Err(ResultCode::PlayerTableFull);
            }
            record.request.player = state.players.next_id();
        }
        HandsOut::Session => return hand_out_session(state, request, record),
        // A number whose lower 16 bits are 0 would look like none.
        HandsOut::Grant => {
            let next = state.last_grant + 1;
            record.set_number(next + u64::from(next as u16 == 0));
        }
        HandsOut::Address => {
            let fresh = request.detail.0[0] == 1;
            if let Some(index) = state.address(request.player, request.chain()).filter(|_| !fresh) {
                record.set_number(u64::from(index));
                return Ok(Some(ResultCode::Existing));
            }
            let counter: Option<&crate::state::ChainCounter> = state.row(chain_key(request.chain()));
            let next = counter.map_or(0, |counter| counter.next);
            if next == u32::MAX {
                return Err(ResultCode::KeyTableFull);
            }
            record.set_number(u64::from(next));
        }
    }
    Ok(None)
}

fn hand_out_session(
    state: &State,
    request: &Request,
    record: &mut Record,
) -> Result<Option<ResultCode>, ResultCode> {
    if let Some(token) = state.row::<Token>(request.reference) {
        let session = state.session(token.session).ok_or(ResultCode::SessionEnded)?;
        if session.revoked {
            return Err(ResultCode::SessionEnded);
        }
        let same = session.player == request.player
            && session.asset == request.asset
            && session.game == request.game
            && session.topup_max == request.amount
            && session.expires.0 == request.detail.u64_at(0);
        if !same {
            return Err(ResultCode::SessionDiffers);
        }
        record.request.session = session.number;
        return Ok(Some(ResultCode::Existing));
    }
    if state.rows.sessions.len() as u64 >= state.sessions_max() || state.last_session.0 == u32::MAX {
        return Err(ResultCode::SessionTableFull);
    }
    record.request.session = SessionId(state.last_session.0 + 1);
    Ok(None)
}
