//! Decides what becomes of a request. Looks, changes nothing.
//!
//! In: the state, the time, an admitted request. Out: a record, or an answer that needs none. The order of the
//! checks is the order of precedence of the answers: id, room, asset, players, what is referred to, the gates of
//! the operation's row, funds. Never here: a change of the state, knowledge of any single operation beyond its
//! row in the [table](crate::table).

use crate::account::{AccountId, Purse};
use crate::amount::{Amount, Balance};
use crate::code::ResultCode;
use crate::id::{CallerId, Lsn, PlayerId, RequestId};
use crate::operation::{HOLDS_MAX, IDS_CAPACITY_MAX, IDS_CAPACITY_MIN, Settings, asset_facts, player_facts};
use crate::record::{Leg, RECORD_LEGS_MAX, Record};
use crate::request::Request;
use crate::role::Role;
use crate::state::{ASSETS_MAX, Ending, Hold, State};
use crate::table::{Effect, Gate, HandsOut, IdRule, Refers, Side, Source, Spec};
use crate::time::Timestamp;

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
    /// When it was received.
    pub received: Timestamp,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "the record is the usual case, and is written out at once")]
pub enum Decision {
    /// A new record, executed or refused: to be appended, then applied.
    Record(Record),
    /// No record: the answer is known already, or nothing was decided.
    Answer(Answer),
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
    let request = &admitted.request;
    let spec = request.kind.spec();
    if let Some(answer) = known(state, now, request, spec) {
        return Decision::Answer(answer);
    }
    let mut record = Record::new(*request, ResultCode::Done, admitted.role, admitted.actor, now);
    record.received_age_micros = age_micros(admitted.received, now);
    record.previous = previous(state, request.player, spec);
    if spec.counterparty {
        record.set_counterparty_previous(state.players.latest(request.counterparty()));
    }
    match execute(state, now, spec, &mut record) {
        Ok(code) => record.result = code,
        Err(_) if !may_refuse(state, now, spec) => {
            return Decision::Answer(Answer::Not(ResultCode::IdTableFull));
        }
        Err(code) if code.is_recorded() => record = refused(&record, code),
        Err(code) => return Decision::Answer(Answer::Not(code)),
    }
    Decision::Record(record)
}

/// A refusal is remembered too. It must not use up the room that is kept for the ends of open holds: a request
/// that was let in to end one, and does not, is not taken instead.
fn may_refuse(state: &State, now: Timestamp, spec: &Spec) -> bool {
    let room_for_ends = 2 * state.holds.len() as u64;
    !matches!(spec.id, IdRule::Request)
        || state.ids.as_ref().is_some_and(|ids| ids.has_room(1 + room_for_ends, now))
}

fn age_micros(received: Timestamp, now: Timestamp) -> u32 {
    u32::try_from(now.0.saturating_sub(received.0) / 1_000).unwrap_or(u32::MAX)
}

fn previous(state: &State, player: PlayerId, spec: &Spec) -> Lsn {
    if spec.player && matches!(spec.hands_out, HandsOut::Nothing) {
        state.players.latest(player)
    } else {
        Lsn::NONE
    }
}

/// The record of a refusal: as asked, without any movement.
fn refused(record: &Record, code: ResultCode) -> Record {
    let mut refused = Record::new(record.asked(), code, record.role, record.actor, record.decided);
    refused.received_age_micros = record.received_age_micros;
    refused.previous = record.previous;
    if refused.request.kind.spec().counterparty {
        refused.set_counterparty_previous(record.counterparty_previous());
    }
    refused
}

/// What is known of the id, and whether what the request may need to leave behind can be remembered.
fn known(state: &State, now: Timestamp, request: &Request, spec: &Spec) -> Option<Answer> {
    let remembered = match spec.id {
        IdRule::Internal => return None,
        IdRule::Request => state.remembered(request.id),
        IdRule::Permanent => state.keys.find(request.id),
    };
    if let Some(remembered) = remembered {
        return Some(if remembered.digest == request.digest() {
            Answer::Same(remembered.lsn)
        } else {
            Answer::Conflict(remembered.lsn)
        });
    }
    not_taken(state, now, request, spec).map(Answer::Not)
}

fn not_taken(state: &State, now: Timestamp, request: &Request, spec: &Spec) -> Option<ResultCode> {
    let (Some(ids), Some(settings)) = (&state.ids, state.settings) else {
        return Some(ResultCode::NotConfigured);
    };
    if matches!(spec.id, IdRule::Permanent) {
        return state.keys.is_full().then_some(ResultCode::KeyTableFull);
    }
    if is_ahead(request.id, now) {
        return Some(ResultCode::IdFromFuture);
    }
    let once = spec.opens || continues_a_hold(state, request, spec);
    if once && request.id.time() <= ids.horizon() {
        return Some(ResultCode::IdTooOld);
    }
    // Each open hold can still be ended: two facts, its end and the id of the request that ended it. Whatever
    // opens something leaves that much room, and so does whatever does not end a hold.
    let open = state.holds.len() as u64;
    let needed = match spec.effect {
        Effect::HoldOpened => 1 + 2 * (open + 1),
        Effect::HoldSettled | Effect::HoldCancelled if ends_hold(state, request) => 2,
        Effect::HoldSettled | Effect::HoldCancelled => 2 + 2 * open,
        _ => 1 + 2 * open,
    };
    if !ids.has_room(needed, now) {
        return Some(ResultCode::IdTableFull);
    }
    match spec.effect {
        Effect::HoldOpened if open >= settings.holds_max => Some(ResultCode::HoldTableFull),
        _ => None,
    }
}

/// A settle of a hold that others took a part of: under a forgotten id it may be one of them.
fn continues_a_hold(state: &State, request: &Request, spec: &Spec) -> bool {
    matches!(spec.effect, Effect::HoldSettled)
        && state.holds.get(RequestId(request.reference)).is_some_and(|hold| hold.settled_in_part)
}

fn ends_hold(state: &State, request: &Request) -> bool {
    let hold = state.holds.get(RequestId(request.reference));
    hold.is_some_and(|hold| {
        let all = matches!(request.kind.spec().effect, Effect::HoldCancelled);
        all || hold.remaining == request.amount
    })
}

/// Checks and moves. The record is complete if this gives a code that counts as executed.
fn execute(
    state: &State,
    now: Timestamp,
    spec: &Spec,
    record: &mut Record,
) -> Result<ResultCode, ResultCode> {
    let request = record.request;
    if spec.asset && matches!(spec.hands_out, HandsOut::Nothing) && state.asset(request.asset).is_none() {
        return Err(ResultCode::AssetUnknown);
    }
    if spec.player && matches!(spec.hands_out, HandsOut::Nothing) && !state.players.contains(request.player) {
        return Err(ResultCode::PlayerUnknown);
    }
    if spec.counterparty && !state.players.contains(request.counterparty()) {
        return Err(ResultCode::CounterpartyUnknown);
    }
    let hold = match refer(state, now, &request, spec.refers)? {
        Referred::Nothing => None,
        Referred::Hold(hold) => Some(hold),
        Referred::Tombstone => return Ok(ResultCode::Tombstoned),
    };
    let facts = Facts { state, now, request: &request, hold };
    for gate in spec.gates {
        facts.pass(*gate)?;
    }
    if let Some(code) = hand_out(state, spec, record)? {
        return Ok(code);
    }
    move_money(&facts, spec, record)?;
    Ok(ResultCode::Done)
}

enum Referred<'a> {
    Nothing,
    Hold(&'a Hold),
    Tombstone,
}

fn is_ahead(id: RequestId, now: Timestamp) -> bool {
    id.time() > now.plus_millis(ID_AHEAD_MAX_MILLIS)
}

fn refer<'a>(
    state: &'a State,
    now: Timestamp,
    request: &Request,
    refers: Refers,
) -> Result<Referred<'a>, ResultCode> {
    let ended = |hold| {
        Err(match state.ending(hold) {
            None => return Ok(()),
            Some(Ending::Settled) => ResultCode::HoldSettled,
            Some(Ending::Cancelled | Ending::Tombstone) => ResultCode::HoldCancelled,
            Some(Ending::Expired) => ResultCode::HoldExpired,
        })
    };
    let target = RequestId(request.reference);
    match refers {
        Refers::Nothing => Ok(Referred::Nothing),
        Refers::NewHold => match state.ending(request.id) {
            Some(_) => Err(ResultCode::CancelledBefore),
            None => Ok(Referred::Nothing),
        },
        Refers::OpenHold | Refers::HoldOrTombstone => {
            if let Some(hold) = state.holds.get(target) {
                return Ok(Referred::Hold(hold));
            }
            ended(target)?;
            match refers {
                // The horizon passes over a tombstone's time in the end: it must not lead far ahead.
                Refers::HoldOrTombstone if is_ahead(target, now) => Err(ResultCode::IdFromFuture),
                Refers::HoldOrTombstone => Ok(Referred::Tombstone),
                _ => Err(ResultCode::HoldUnknown),
            }
        }
    }
}

/// All that gates and legs look at.
struct Facts<'a> {
    state: &'a State,
    now: Timestamp,
    request: &'a Request,
    hold: Option<&'a Hold>,
}

impl Facts<'_> {
    fn pass(&self, gate: Gate) -> Result<(), ResultCode> {
        if self.holds_true(gate) { Ok(()) } else { Err(gate.code()) }
    }

    fn holds_true(&self, gate: Gate) -> bool {
        let Self { state, now, request, .. } = *self;
        match gate {
            Gate::SettingsFit => settings_fit(state, now, Settings::from_detail(&request.detail)),
            Gate::AssetFits => asset_fits(state, request),
            Gate::PlayerFits => player_fits(state, request),
            Gate::PlayersDiffer => request.player != request.counterparty(),
            Gate::AmountBound => {
                state.asset(request.asset).is_some_and(|asset| request.amount <= asset.amount_max)
            }
            Gate::TransfersAllowed => state.asset(request.asset).is_some_and(|asset| asset.transfers),
            Gate::DeadlineAhead => request.deadline().is_none_or(|deadline| deadline > now),
            Gate::HoldFits => {
                self.hold.is_some_and(|hold| hold.player == request.player && hold.asset == request.asset)
            }
            Gate::HoldNotExpired => !self.hold_is_due(),
            Gate::HoldDue => self.hold_is_due(),
            Gate::StakeRemains => self.hold.is_some_and(|hold| request.amount <= hold.remaining),
            Gate::PayoutWithin => self.hold.is_some_and(|hold| request.payout() <= hold.payout_left),
        }
    }

    fn hold_is_due(&self) -> bool {
        self.hold.and_then(|hold| hold.deadline).is_some_and(|deadline| deadline <= self.now)
    }

    fn account(&self, side: Side) -> AccountId {
        let asset = self.request.asset;
        // The provider is the one that the hold was opened for, whatever the settling request says.
        let game = self.hold.map_or(self.request.game, |hold| hold.game);
        match side {
            Side::Player(purse) => AccountId::of_player(asset, purse, self.request.player),
            Side::Counterparty(purse) => AccountId::of_player(asset, purse, self.request.counterparty()),
            Side::Provider(purse) => AccountId::of_house(asset, purse, u32::from(game.provider())),
            Side::Chain(purse) => AccountId::of_house(asset, purse, self.request.chain()),
        }
    }

    fn amount(&self, source: Source) -> Amount {
        match source {
            Source::Amount => self.request.amount,
            Source::Payout => self.request.payout(),
            Source::Remaining => self.hold.map_or(Amount::ZERO, |hold| hold.remaining),
        }
    }
}

fn settings_fit(state: &State, now: Timestamp, settings: Settings) -> bool {
    let Settings { ids_capacity, ids_retention_millis, holds_max, players_max } = settings;
    let room_for_ends = 2 * state.holds.len() as u64;
    (IDS_CAPACITY_MIN..=IDS_CAPACITY_MAX).contains(&ids_capacity)
        && holds_max <= HOLDS_MAX
        && players_max <= PlayerId::COUNT_MAX
        && state
            .ids
            .as_ref()
            .is_none_or(|ids| ids.fits(ids_capacity, ids_retention_millis, room_for_ends, now))
}

fn asset_fits(state: &State, request: &Request) -> bool {
    let Ok((code, scale, transfers)) = asset_facts(&request.detail) else { return false };
    state.assets.iter().find(|asset| asset.code == code).is_none_or(|asset| {
        (asset.scale, asset.transfers, asset.amount_max) == (scale, transfers, request.amount)
    })
}

fn player_fits(state: &State, request: &Request) -> bool {
    let Ok(facts) = player_facts(&request.detail) else { return false };
    state
        .players
        .find(CallerId(request.reference))
        .is_none_or(|(_, player)| (player.brand, player.jurisdiction, player.class) == facts)
}

/// Fills in the number that the ledger hands out; says so if it is one that was handed out before.
fn hand_out(state: &State, spec: &Spec, record: &mut Record) -> Result<Option<ResultCode>, ResultCode> {
    match spec.hands_out {
        HandsOut::Nothing => Ok(None),
        HandsOut::Asset => {
            let code = asset_facts(&record.request.detail).map_err(|_| ResultCode::AssetDiffers)?.0;
            let mut numbered = state.asset_ids().zip(&state.assets);
            if let Some((asset, _)) = numbered.find(|(_, asset)| asset.code == code) {
                record.request.asset = asset;
                return Ok(Some(ResultCode::Existing));
            }
            if state.assets.len() >= ASSETS_MAX {
                return Err(ResultCode::AssetTableFull);
            }
            record.request.asset.0 = state.assets.len() as u16 + 1;
            Ok(None)
        }
        HandsOut::Player => {
            if let Some((player, _)) = state.players.find(CallerId(record.request.reference)) {
                record.request.player = player;
                record.previous = state.players.latest(player);
                return Ok(Some(ResultCode::Existing));
            }
            if state.players.len() as u64 >= state.settings.map_or(0, |settings| settings.players_max) {
                return Err(ResultCode::PlayerTableFull);
            }
            record.request.player = state.players.next_id();
            Ok(None)
        }
    }
}

/// The legs of the row, each seeing what the ones before it moved.
fn move_money(facts: &Facts<'_>, spec: &Spec, record: &mut Record) -> Result<(), ResultCode> {
    debug_assert!(spec.legs.len() <= RECORD_LEGS_MAX);
    let asset = facts.state.asset(facts.request.asset);
    let mut players_total = asset.map_or(Balance::ZERO, |asset| asset.players_total);
    for leg in spec.legs {
        let (debit, credit) = (facts.account(leg.debit), facts.account(leg.credit));
        let amount = facts.amount(leg.amount);
        let held = |account| record.balance_after(account).unwrap_or_else(|| facts.state.balance(account));
        let debit_after = held(debit).less(amount).ok_or(ResultCode::BalanceOverflow)?;
        if debit_after < Balance::ZERO && debit.purse().is_some_and(Purse::is_player) {
            return Err(ResultCode::InsufficientFunds);
        }
        let credit_after = held(credit).plus(amount).ok_or(ResultCode::BalanceOverflow)?;
        // What all players hold together must fit a balance as well; the house's total is its mirror.
        players_total = match (debit.player(), credit.player()) {
            (None, Some(_)) => players_total.plus(amount).ok_or(ResultCode::BalanceOverflow)?,
            (Some(_), None) => players_total.less(amount).ok_or(ResultCode::BalanceOverflow)?,
            _ => players_total,
        };
        record.push_leg(Leg { debit, credit, amount, debit_after, credit_after });
    }
    Ok(())
}
