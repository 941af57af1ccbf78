//! A bet that is sent out, as it is written down: what is needed to go on with it after a crash.
//!
//! In: an order of a player's; a decision of an operator's. Out: a ticket, kept as JSON. Never here: I/O.

use cage_engine::{
    Amount, AssetId, GameId, Lsn, OperationKind, PlayerId, Reference, RequestId, ResultCode, SessionId,
    Timestamp,
};
use serde::{Deserialize, Serialize};

use super::machine::{Decision, Event, Machine};
use super::rgs::{PLACES, Wager};
use crate::config::Provider;
use crate::inbound::now;
use crate::money::Scale;
use crate::names;
use crate::store::Row;

/// A bet on its way, as it is kept until it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Ticket {
    /// What the provider is told.
    pub wager: Wager,
    /// Which provider.
    pub provider: String,
    /// Whose: the player's number.
    pub player: u64,
    /// In what.
    pub asset: u16,
    /// The asset's scale.
    pub scale: u8,
    /// How much, in the asset's smallest unit.
    pub stake: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// What it pays, in the asset's smallest unit, once that is known. From then on it is not made void any more.
    pub outcome: Option<String>,
    /// What an operator has decided, if one has.
    #[serde(default)]
    pub decided: Option<Decided>,
}

/// A decision of an operator's, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// Who, as the casino names its people.
    pub by: String,
    /// Why: a ticket's number, what the provider said.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Ticket {
    /// Where to go on with it: a machine that stands where the one of an earlier bridge may have stood.
    pub(super) fn machine(&self, repeats: bool) -> Machine {
        let outcome = self.outcome.as_ref().and_then(|text| text.parse().ok());
        let mut machine = Machine::taken_over(repeats, outcome);
        if let (None, Some(decided)) = (outcome, &self.decided) {
            machine.on(Event::Decided(decided.decision));
        }
        machine
    }

    /// An id for the request that ends it. What an operator decided is marked in the id, so that the log says so.
    pub(super) fn end_id(&self, minted: RequestId, random: u128) -> RequestId {
        match self.decided {
            Some(_) => names::tagged_id(minted.time(), random, names::tag(DECIDED)),
            None => minted,
        }
    }

    /// An amount that is told in millionths of a unit, in the asset's smallest unit; nothing if it cannot be counted.
    #[must_use]
    pub fn amount(&self, millionths: u64) -> Option<Amount> {
        Scale(self.scale).from_units(&millionths.to_string(), PLACES).ok()
    }
}

/// Whether the record of this id carries out an operator's decision.
#[must_use]
pub fn is_decided(id: RequestId) -> bool {
    names::tag_of(id) == names::tag(DECIDED)
}

/// What marks the ids of such records.
const DECIDED: &str = "decided by an operator";

/// Whose bet it is to be, and what.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// At which provider.
    pub provider: &'a Provider,
    /// Whose.
    pub player: PlayerId,
    /// In which session.
    pub session: SessionId,
    /// On which game.
    pub game: GameId,
    /// What is played.
    pub mode: &'a str,
    /// The name of the currency.
    pub currency: &'a str,
    /// How much, in the asset's smallest unit.
    pub stake: Amount,
}

pub(super) fn hold_id(bet: &str) -> Option<RequestId> {
    u128::from_str_radix(bet, 16).ok().map(RequestId)
}

/// A bet's ticket, and the most that it can pay in the asset's smallest unit; nothing if it cannot be counted for this
/// provider.
pub(super) fn ticket(order: &Order<'_>, id: RequestId, win_max_hundredths: u64) -> Option<(Ticket, Amount)> {
    let currency = order.provider.currencies.get(order.currency)?;
    let amount = u64::try_from(currency.scale.to_units(order.stake, PLACES).ok()?).ok()?;
    let payout_max = u128::from(amount).checked_mul(u128::from(win_max_hundredths))? / 100;
    let payout_max = u64::try_from(payout_max).ok()?;
    let most = currency.scale.from_units(&payout_max.to_string(), PLACES).ok()?;
    let session = names::alias(order.provider.number, order.player, order.session);
    let wager = Wager {
        bet: id.to_string(),
        session,
        amount,
        currency: order.currency.to_owned(),
        mode: order.mode.to_owned(),
        payout_max,
    };
    let ticket = Ticket {
        wager,
        provider: order.provider.name.clone(),
        player: order.player.number(),
        asset: currency.asset.0,
        scale: currency.scale.0,
        stake: order.stake.to_string(),
        began_ms: now().millis(),
        outcome: None,
        decided: None,
    };
    Some((ticket, most))
}

pub(super) fn outcome_row(ticket: &Ticket, hold: RequestId, payout: u64) -> Row {
    Row {
        kind: OperationKind::Settle,
        code: ResultCode::Done,
        lsn: Lsn::NONE,
        decided: Timestamp::from_millis(ticket.began_ms),
        player: PlayerId::new(ticket.player).unwrap_or(PlayerId::NONE),
        asset: AssetId(ticket.asset),
        game: GameId::default(),
        session: SessionId::NONE,
        amount: Amount(u128::from(payout)),
        bet: Reference(hold.0),
        round: Reference::default(),
        tag: 0,
        ends_round: false,
        shown: None,
    }
}
