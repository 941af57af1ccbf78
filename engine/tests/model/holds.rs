//! Stakes that are set aside before a bet is sent out.
//!
//! In: reserve, settle, cancel, expire, import. Out: the holds and their money.

use cage_engine::field::Rule;
use cage_engine::id::Reference;
use cage_engine::{AssetId, Expiry, GameId, Operation, PlayerId, RequestId, ResultCode, SessionId, Timestamp};

use super::books::HoldRow;
use super::limits::OF_WAGERS;
use super::memory::{About, End, Space, not_from_future};
use super::{Account, Asked, Model, Step, refuse_unless};

const fn deadline(expiry: Expiry) -> Option<Timestamp> {
    match expiry {
        Expiry::Never => None,
        Expiry::Release(at) => Some(at),
    }
}

impl Model {
    pub(super) fn reserve(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::Reserve { player, asset, stake, payout_max, game, session, round, expiry } =
            asked.operation
        else {
            unreachable!("reserve")
        };
        let now = asked.now;
        refuse_unless(self.ending(Space::Hold, asked.id.0).is_none(), ResultCode::CancelledBefore)?;
        self.amount_bound(asset, stake.0)?;
        let deadline = deadline(expiry);
        refuse_unless(deadline.is_none_or(|at| at > now), ResultCode::DeadlinePassed)?;
        self.may_play(player)?;
        self.session_fits(player, session, Some(game), now)?;
        self.game_enabled(game)?;
        if let Some(round) = round {
            self.round_fits(round, player, asset, game)?;
        }
        let near = self.within_limits(player, asset, &OF_WAGERS, stake.0, now)?;
        self.exposure_within(game, asset, payout_max.0)?;
        let reserved = Account::Reserved(asset, player);
        let metered = self.pay_stake(player, asset, session, reserved, stake.0)?;
        let counted = self.count_stake(player, asset, stake.0, now);
        let hold = HoldRow {
            opened: self.next_lsn(),
            opened_at: now,
            player,
            asset,
            game,
            session,
            metered,
            round,
            deadline,
            remaining: stake.0,
            payout_left: payout_max.0,
            counted,
            settled_in_part: false,
        };
        if let Some(round) = round {
            let row = self.open_round(round, player, asset, game, now);
            row.stake = row.stake.saturating_add(stake.0);
            row.open_holds += 1;
        }
        self.open_hold(asked.id, hold);
        Ok(if near { ResultCode::LimitNear } else { ResultCode::Done })
    }

    fn open_hold(&mut self, id: RequestId, hold: HoldRow) {
        let there = self.holds.insert(id, hold);
        assert!(there.is_none(), "a hold was opened twice under {id}");
    }

    /// What the house may have to pay on a game is bounded.
    pub(super) fn exposure_within(&self, game: GameId, asset: AssetId, payout_max: u128) -> Step {
        let scope = u64::from(game.0) << 16 | u64::from(asset.0);
        let Some(most) = self.rule(Rule::ExposureMax, scope) else { return Ok(()) };
        let exposed = self.exposure(game, asset).saturating_add(payout_max);
        refuse_unless(exposed <= most, ResultCode::ExposureExceeded)
    }

    /// The hold if it is open, nothing if nothing is known of it, a refusal that says how it ended.
    fn hold(&self, id: RequestId) -> Step<Option<HoldRow>> {
        if let Some(hold) = self.holds.get(&id) {
            return Ok(Some(hold.clone()));
        }
        match self.ending(Space::Hold, id.0) {
            None => Ok(None),
            Some(End::Settled) => Err(ResultCode::HoldSettled),
            Some(End::Cancelled | End::Tombstone) => Err(ResultCode::HoldCancelled),
            Some(End::Expired) => Err(ResultCode::HoldExpired),
            Some(End::Refused) => unreachable!("a hold leaves no such ending"),
        }
    }

    pub(super) fn settle(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::Settle { player, asset, hold: id, stake, payout } = asked.operation else {
            unreachable!("settle")
        };
        let mut hold = self.hold(id)?.ok_or(ResultCode::HoldUnknown)?;
        fits(&hold, player, asset)?;
        refuse_unless(!is_due(&hold, asked.now), ResultCode::HoldExpired)?;
        refuse_unless(stake.0 <= hold.remaining, ResultCode::StakeOverRemaining)?;
        refuse_unless(payout.0 <= hold.payout_left, ResultCode::PayoutOverGreatest)?;
        let provider = Account::clearing(asset, hold.game);
        self.pay(Account::Reserved(asset, player), provider, stake.0)?;
        let purse = self.payout_purse(player, asset, hold.session, hold.metered);
        self.pay_out(provider, purse, hold.session, payout.0)?;
        self.turn_over(player, asset, stake.0);
        self.count_win(player, asset, payout.0, asked.now);
        hold.counted -= share(u128::from(hold.counted), stake.0, hold.remaining) as u64;
        hold.remaining -= stake.0;
        hold.payout_left -= payout.0;
        hold.settled_in_part = true;
        if let Some(round) = hold.round {
            let round = self.round_mut(round);
            round.won = round.won.saturating_add(payout.0);
        }
        let closed = hold.remaining == 0;
        self.holds.insert(id, hold);
        if closed {
            self.end_hold(id, End::Settled);
        }
        Ok(ResultCode::Done)
    }

    pub(super) fn cancel(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::Cancel { player, asset, hold: id } = asked.operation else { unreachable!("cancel") };
        let Some(hold) = self.hold(id)? else {
            // The bet that this forbids can only come under an id that may be used by now.
            not_from_future(id, asked.now)?;
            self.leave(About::ending(Space::Hold, id.0, End::Tombstone, None), self.next_lsn());
            return Ok(ResultCode::Tombstoned);
        };
        fits(&hold, player, asset)?;
        refuse_unless(!is_due(&hold, asked.now), ResultCode::HoldExpired)?;
        self.release(id, &hold, End::Cancelled, asked.now)
    }

    pub(super) fn expire(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::Expire { player, asset, hold: id } = asked.operation else { unreachable!("expire") };
        let hold = self.hold(id)?.ok_or(ResultCode::HoldUnknown)?;
        fits(&hold, player, asset)?;
        refuse_unless(is_due(&hold, asked.now), ResultCode::HoldNotDue)?;
        self.release(id, &hold, End::Expired, asked.now)
    }

    /// Gives back what is left of a hold.
    fn release(&mut self, id: RequestId, hold: &HoldRow, end: End, now: Timestamp) -> Step<ResultCode> {
        let (player, asset, left) = (hold.player, hold.asset, hold.remaining);
        let purse = self.payout_purse(player, asset, hold.session, hold.metered);
        self.pay_out(Account::Reserved(asset, player), purse, hold.session, left)?;
        self.count_back(player, hold.counted, hold.opened_at, now);
        if let Some(round) = hold.round {
            let round = self.round_mut(round);
            round.stake = round.stake.saturating_sub(left);
        }
        self.end_hold(id, end);
        Ok(ResultCode::Done)
    }

    fn end_hold(&mut self, id: RequestId, end: End) {
        let hold = self.holds.remove(&id).expect("an open hold");
        if let Some(round) = hold.round {
            self.round_mut(round).open_holds -= 1;
        }
        self.leave(About::ending(Space::Hold, id.0, end, None), self.next_lsn());
    }

    pub(super) fn import_hold(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::ImportHold { player, asset, stake, hold, game, payout_max, expiry } = asked.operation else {
            unreachable!("import_hold")
        };
        self.unknown(Reference(hold.0))?;
        self.importing()?;
        self.pay(Account::Imports(asset), Account::Reserved(asset, player), stake.0)?;
        let row = HoldRow {
            opened: self.next_lsn(),
            opened_at: asked.now,
            player,
            asset,
            game,
            session: SessionId::NONE,
            metered: false,
            round: None,
            deadline: deadline(expiry),
            remaining: stake.0,
            payout_left: payout_max.0,
            counted: 0,
            settled_in_part: false,
        };
        self.open_hold(hold, row);
        Ok(ResultCode::Done)
    }

    /// Stakes reduce what has to be wagered before a withdrawal; says by how much.
    pub(super) fn turn_over(&mut self, player: PlayerId, asset: AssetId, stake: u128) -> u128 {
        let left = self.turnover.get(&(player, asset)).copied().unwrap_or(0);
        let turned = left.min(stake);
        self.turnover.remove(&(player, asset));
        self.add_turnover(player, asset, left - turned);
        turned
    }

    pub(super) fn add_turnover(&mut self, player: PlayerId, asset: AssetId, more: u128) {
        if more > 0 {
            let left = self.turnover.entry((player, asset)).or_default();
            *left = left.saturating_add(more);
        }
    }
}

/// The part of `whole` that `part` is of `of`, rounded down.
pub(super) fn share(whole: u128, part: u128, of: u128) -> u128 {
    use super::big::Big;
    if of == 0 {
        return 0;
    }
    let (quotient, _) = Big::new(whole).times(&Big::new(part)).divided_by(&Big::new(of));
    quotient.small().expect("a part is not more than the whole")
}

fn is_due(hold: &HoldRow, now: Timestamp) -> bool {
    hold.deadline.is_some_and(|deadline| deadline <= now)
}

fn fits(hold: &HoldRow, player: PlayerId, asset: AssetId) -> Step {
    refuse_unless(hold.player == player && hold.asset == asset, ResultCode::HoldDiffers)
}
