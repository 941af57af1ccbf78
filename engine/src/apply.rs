//! Executes records. Changes exactly what a record says, live and in every replay alike.
//!
//! In: a record and its position. Out: the changed state, or a fault that says why the record is none of this
//! state's. Never here: a decision, a look at the clock, a rule.

use core::fmt;

use crate::account::{AccountId, Purse};
use crate::amount::{Amount, Balance};
use crate::code::ResultCode;
use crate::id::{CallerId, Lsn, PlayerId, RequestId};
use crate::operation::{IDS_CAPACITY_MAX, IDS_CAPACITY_MIN, Settings, asset_facts, player_facts};
use crate::record::{Leg, Record};
use crate::state::{Asset, Ending, Hold, Ids, Player, State};
use crate::table::{Effect, HandsOut, IdRule};
use crate::time::Timestamp;

/// Why a record does not fit the state: the log is damaged, or was written by other rules than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyFault {
    /// The record is not the next one.
    OutOfOrder {
        /// The position that was expected.
        expected: Lsn,
    },
    /// The record is older than the one before it.
    TimeFell,
    /// A leg's balances do not follow from the account's balance and the amount.
    BalanceDiffers {
        /// Whose balance.
        account: AccountId,
        /// What it would be.
        expected: Balance,
        /// What the record says.
        recorded: Balance,
    },
    /// The record names something that is not there, or is there already.
    Missing(&'static str),
}

impl fmt::Display for ApplyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder { expected } => write!(f, "not the next record: expected LSN {expected}"),
            Self::TimeFell => f.write_str("decided before the record in front of it"),
            Self::BalanceDiffers { account, expected, recorded } => {
                write!(f, "{account} would hold {expected}, the record says {recorded}")
            }
            Self::Missing(what) => write!(f, "{what} does not fit the books"),
        }
    }
}

impl core::error::Error for ApplyFault {}

impl State {
    /// Applies the record at `lsn`.
    ///
    /// # Errors
    /// [`ApplyFault`] if the record cannot be of this state's log. The state is then unusable: what was applied
    /// of the record stays.
    pub fn apply(&mut self, lsn: Lsn, record: &Record) -> Result<(), ApplyFault> {
        if lsn != self.next_lsn {
            return Err(ApplyFault::OutOfOrder { expected: self.next_lsn });
        }
        if record.decided < self.clock {
            return Err(ApplyFault::TimeFell);
        }
        if !record.result.is_executed() && !record.legs().is_empty() {
            return Err(ApplyFault::Missing("a movement of a refusal"));
        }
        for leg in record.legs() {
            self.apply_leg(leg)?;
        }
        if record.result.is_executed() {
            self.apply_effect(lsn, record)?;
        }
        self.remember(lsn, record)?;
        self.link_players(lsn, record);
        self.clock = record.decided;
        self.next_lsn = lsn.next();
        Ok(())
    }

    fn apply_leg(&mut self, leg: &Leg) -> Result<(), ApplyFault> {
        if leg.debit.asset() != leg.credit.asset() {
            return Err(ApplyFault::Missing("a movement between two assets"));
        }
        self.set(leg.debit, self.balance(leg.debit).less(leg.amount), leg.debit_after)?;
        self.set(leg.credit, self.balance(leg.credit).plus(leg.amount), leg.credit_after)
    }

    /// Sets a balance to what the record says, if that is what it must be.
    fn set(
        &mut self,
        account: AccountId,
        expected: Option<Balance>,
        recorded: Balance,
    ) -> Result<(), ApplyFault> {
        let expected = expected.ok_or(ApplyFault::Missing("a sum"))?;
        if expected != recorded {
            return Err(ApplyFault::BalanceDiffers { account, expected, recorded });
        }
        let change = recorded.0 - self.balance(account).0;
        let purse = account.purse().ok_or(ApplyFault::Missing("a purse"))?;
        match account.player() {
            Some(player) => self.set_player(player, account, purse, recorded)?,
            None => self.house.set_balance(account, recorded),
        }
        self.add_to_total(account, change)
    }

    fn set_player(
        &mut self,
        player: PlayerId,
        account: AccountId,
        purse: Purse,
        held: Balance,
    ) -> Result<(), ApplyFault> {
        u128::try_from(held.0)
            .ok()
            .and_then(|held| self.players.set_balance(player, account.asset(), purse, held))
            .ok_or(ApplyFault::Missing("a player's purse"))
    }

    fn add_to_total(&mut self, account: AccountId, change: i128) -> Result<(), ApplyFault> {
        let asset = usize::from(account.asset().0)
            .checked_sub(1)
            .and_then(|place| self.assets.get_mut(place))
            .ok_or(ApplyFault::Missing("an asset"))?;
        let total =
            if account.player().is_some() { &mut asset.players_total } else { &mut asset.house_total };
        total.0 = total.0.checked_add(change).ok_or(ApplyFault::Missing("a total"))?;
        Ok(())
    }

    fn apply_effect(&mut self, lsn: Lsn, record: &Record) -> Result<(), ApplyFault> {
        if record.result == ResultCode::Existing {
            return Ok(());
        }
        let request = &record.request;
        let target = RequestId(request.reference);
        match request.kind.spec().effect {
            Effect::None => Ok(()),
            Effect::Settings => self.apply_settings(Settings::from_detail(&request.detail), record.decided),
            Effect::Asset => self.apply_asset(record),
            Effect::Player => self.apply_player(record),
            Effect::HoldOpened => {
                self.holds.open(Hold {
                    id: request.id,
                    opened: lsn,
                    player: request.player,
                    asset: request.asset,
                    game: request.game,
                    deadline: request.deadline(),
                    remaining: request.amount,
                    payout_left: request.payout(),
                    settled_in_part: false,
                });
                Ok(())
            }
            Effect::HoldSettled => self.apply_settle(lsn, target, record),
            Effect::HoldCancelled if record.result == ResultCode::Tombstoned => {
                self.end(target, Ending::Tombstone, lsn, record.decided)
            }
            Effect::HoldCancelled => self.close_hold(target, Ending::Cancelled, lsn, record.decided),
            Effect::HoldExpired => self.close_hold(target, Ending::Expired, lsn, record.decided),
        }
    }

    fn apply_settings(&mut self, settings: Settings, now: Timestamp) -> Result<(), ApplyFault> {
        let Settings { ids_capacity, ids_retention_millis, .. } = settings;
        // Checked here as well: a damaged log must not make a replay reserve all memory.
        if !(IDS_CAPACITY_MIN..=IDS_CAPACITY_MAX).contains(&ids_capacity) {
            return Err(ApplyFault::Missing("the ids' capacity"));
        }
        self.ids = Some(match &self.ids {
            Some(ids) if ids.len() > ids_capacity => return Err(ApplyFault::Missing("the ids' capacity")),
            Some(ids) => ids.resized(ids_capacity, ids_retention_millis, now),
            None => Ids::new(ids_capacity, ids_retention_millis, self.seed),
        });
        self.settings = Some(settings);
        Ok(())
    }

    fn apply_asset(&mut self, record: &Record) -> Result<(), ApplyFault> {
        let (code, scale, transfers) = asset_facts(&record.request.detail).map_err(ApplyFault::Missing)?;
        if usize::from(record.request.asset.0) != self.assets.len() + 1 {
            return Err(ApplyFault::Missing("an asset's number"));
        }
        self.assets.push(Asset {
            code,
            scale,
            transfers,
            amount_max: record.request.amount,
            players_total: Balance::ZERO,
            house_total: Balance::ZERO,
        });
        Ok(())
    }

    fn apply_player(&mut self, record: &Record) -> Result<(), ApplyFault> {
        let (brand, jurisdiction, class) =
            player_facts(&record.request.detail).map_err(ApplyFault::Missing)?;
        let caller_id = CallerId(record.request.reference);
        if record.request.player != self.players.next_id() || self.players.find(caller_id).is_some() {
            return Err(ApplyFault::Missing("a player's number"));
        }
        self.players.open(Player { caller_id, brand, jurisdiction, class });
        Ok(())
    }

    fn apply_settle(&mut self, lsn: Lsn, target: RequestId, record: &Record) -> Result<(), ApplyFault> {
        let hold = self.holds.get_mut(target).ok_or(ApplyFault::Missing("a hold"))?;
        let less = |from: Amount, amount: Amount| from.0.checked_sub(amount.0).map(Amount);
        let remaining = less(hold.remaining, record.request.amount);
        let payout_left = less(hold.payout_left, record.request.payout());
        hold.remaining = remaining.ok_or(ApplyFault::Missing("a hold's stake"))?;
        hold.payout_left = payout_left.ok_or(ApplyFault::Missing("a hold's payout"))?;
        hold.settled_in_part = true;
        if hold.remaining.is_zero() {
            self.close_hold(target, Ending::Settled, lsn, record.decided)?;
        }
        Ok(())
    }

    fn close_hold(
        &mut self,
        hold: RequestId,
        ending: Ending,
        lsn: Lsn,
        now: Timestamp,
    ) -> Result<(), ApplyFault> {
        self.holds.close(hold).ok_or(ApplyFault::Missing("a hold"))?;
        self.end(hold, ending, lsn, now)
    }

    fn end(&mut self, hold: RequestId, ending: Ending, lsn: Lsn, now: Timestamp) -> Result<(), ApplyFault> {
        let ids = self.ids.as_mut().ok_or(ApplyFault::Missing("the settings"))?;
        ids.remember_ending(hold, ending, lsn, now);
        Ok(())
    }

    fn remember(&mut self, lsn: Lsn, record: &Record) -> Result<(), ApplyFault> {
        let (id, digest) = (record.request.id, || record.asked().digest());
        match record.request.kind.spec().id {
            IdRule::Internal => {}
            IdRule::Request => {
                let ids = self.ids.as_mut().ok_or(ApplyFault::Missing("the settings"))?;
                ids.remember_request(id, digest(), lsn, record.decided);
            }
            // A refusal does not use the key up: the outside fact stays true and has to be credited in the end.
            IdRule::Permanent if record.result.is_executed() => self.keys.remember(id, digest(), lsn),
            IdRule::Permanent => {}
        }
        Ok(())
    }

    /// Lets each player's records be followed backwards.
    fn link_players(&mut self, lsn: Lsn, record: &Record) {
        let spec = record.request.kind.spec();
        if spec.player || matches!(spec.hands_out, HandsOut::Player) {
            self.players.set_latest(record.request.player, lsn);
        }
        if spec.counterparty {
            self.players.set_latest(record.request.counterparty(), lsn);
        }
    }
}
