//! Stakes that are set aside before a bet is sent out.
//!
//! In: reserve, settle, cancel, expire. Out: the holds and their money.

use cage_engine::field::Rule;
use cage_engine::{
    AssetId, Expiry, GameId, Operation, PlayerId, RequestId, ResultCode, SessionId, Timestamp,
};

use super::books::{Going, HoldRow};
use super::limits::OF_WAGERS;
use super::memory::{About, End, Space, not_from_future};
use super::{Account, Asked, Checks, Model, Step, refuse_unless};

pub(super) const fn deadline(expiry: Expiry) -> Option<Timestamp> {
    match expiry {
        Expiry::Never => None,
        Expiry::Release(at) => Some(at),
    }
}

impl Model {
    pub(super) fn look_at_hold(&self, asked: &Asked, c: &mut Checks) {
        let now = asked.now;
        match asked.operation {
            Operation::Reserve { player, asset, stake, payout_max, game, session, round, expiry } => {
                let tombstone = self.ending(Space::Hold, asked.id.0).is_some();
                c.look("tombstone", refuse_unless(!tombstone, ResultCode::CancelledBefore));
                c.look("amount bound", self.amount_bound(asset, stake.0));
                let ahead = deadline(expiry).is_none_or(|at| at > now);
                c.look("deadline", refuse_unless(ahead, ResultCode::DeadlinePassed));
                c.look("status", self.may_play(player));
                self.look_at_session(player, session, Some(game), now, c);
                c.look("game", self.game_enabled(game));
                c.look("round", round.map_or(Ok(()), |round| self.round_fits(round, player, asset, game)));
                c.look("one round", self.one_round(player, game, round));
                self.look_at_limits(player, asset, &OF_WAGERS, stake.0, now, c);
                c.look("greatest payout", self.payout_named(game, asset, payout_max.0));
                c.look("exposure", self.exposure_within(game, asset, payout_max.0));
            }
            Operation::Settle { player, asset, hold, stake, payout } => {
                if let Some(hold) = self.look_for_hold(hold, c) {
                    look_at_owner(&hold, player, asset, c);
                    c.look("expired", refuse_unless(!is_due(&hold, now), ResultCode::HoldExpired));
                    let left = refuse_unless(stake.0 <= hold.remaining, ResultCode::StakeOverRemaining);
                    c.look("stake", left);
                    let within = payout.0 <= hold.payout_left;
                    c.look("payout", refuse_unless(within, ResultCode::PayoutOverGreatest));
                }
            }
            Operation::Cancel { player, asset, hold: id } => {
                if !self.holds.contains_key(&id) && self.ending(Space::Hold, id.0).is_none() {
                    // The bet that this forbids can only come under an id that may be used by now.
                    c.find("hold", not_from_future(id, now));
                    c.nothing_to_do(ResultCode::Tombstoned);
                } else if let Some(hold) = self.look_for_hold(id, c) {
                    look_at_owner(&hold, player, asset, c);
                    c.look("expired", refuse_unless(!is_due(&hold, now), ResultCode::HoldExpired));
                }
            }
            Operation::Expire { player, asset, hold } => {
                if let Some(hold) = self.look_for_hold(hold, c) {
                    look_at_owner(&hold, player, asset, c);
                    c.look("due", refuse_unless(is_due(&hold, now), ResultCode::HoldNotDue));
                }
            }
            _ => unreachable!("a hold"),
        }
    }

    /// The hold if it is open; else a refusal that says how it ended.
    fn look_for_hold(&self, id: RequestId, c: &mut Checks) -> Option<HoldRow> {
        let found = match (self.holds.get(&id), self.ending(Space::Hold, id.0)) {
            (Some(_), _) => Ok(()),
            (_, None) => Err(ResultCode::HoldUnknown),
            (_, Some(End::Settled)) => Err(ResultCode::HoldSettled),
            (_, Some(End::Cancelled | End::Tombstone)) => Err(ResultCode::HoldCancelled),
            (_, Some(End::Expired)) => Err(ResultCode::HoldExpired),
            (_, Some(End::Refused)) => unreachable!("a hold leaves no such ending"),
        };
        c.find("hold", found);
        self.holds.get(&id).cloned()
    }

    fn exposure_max(&self, game: GameId, asset: AssetId) -> Option<u128> {
        self.rule(Rule::ExposureMax, u64::from(game.0) << 16 | u64::from(asset.0))
    }

    /// Where what the house may have to pay is bounded, it has to be known.
    pub(super) fn payout_named(&self, game: GameId, asset: AssetId, payout_max: u128) -> Step {
        let named = payout_max > 0 || self.exposure_max(game, asset).is_none();
        refuse_unless(named, ResultCode::PayoutMissing)
    }

    /// What the house may have to pay on a game is bounded.
    pub(super) fn exposure_within(&self, game: GameId, asset: AssetId, payout: u128) -> Step {
        let Some(most) = self.exposure_max(game, asset) else { return Ok(()) };
        let exposed = self.exposure(game, asset).saturating_add(payout);
        refuse_unless(exposed <= most, ResultCode::ExposureExceeded)
    }

    pub(super) fn pay_hold(&mut self, asked: &Asked) -> Step {
        match asked.operation {
            Operation::Reserve { player, asset, stake, session, .. } => {
                self.pay_stake(player, asset, session, Account::Reserved(asset, player), stake.0)
            }
            Operation::Settle { player, asset, hold, stake, payout } => {
                let hold = self.holds[&hold].clone();
                let provider = Account::clearing(asset, hold.game);
                self.pay(Account::Reserved(asset, player), provider, stake.0)?;
                let purse = self.payout_purse(player, asset, hold.session, hold.metered);
                self.pay_out(provider, purse, hold.session, payout.0)
            }
            Operation::Cancel { player, asset, hold } | Operation::Expire { player, asset, hold } => {
                let hold = self.holds[&hold].clone();
                let purse = self.payout_purse(player, asset, hold.session, hold.metered);
                self.pay_out(Account::Reserved(asset, player), purse, hold.session, hold.remaining)
            }
            _ => unreachable!("a hold"),
        }
    }

    pub(super) fn carry_out_hold(&mut self, asked: &Asked) -> ResultCode {
        if let Operation::Settle { hold, .. }
        | Operation::Cancel { hold, .. }
        | Operation::Expire { hold, .. } = asked.operation
        {
            self.deed.named.game = Some(self.holds[&hold].game);
        }
        match asked.operation {
            Operation::Reserve { .. } => return self.open_reserved(asked),
            Operation::Settle { hold, stake, payout, .. } => {
                self.settle(hold, stake.0, payout.0, asked.now);
            }
            Operation::Cancel { hold, .. } => self.release(hold, End::Cancelled, asked.now),
            Operation::Expire { hold, .. } => self.release(hold, End::Expired, asked.now),
            _ => unreachable!("a hold"),
        }
        ResultCode::Done
    }

    fn open_reserved(&mut self, asked: &Asked) -> ResultCode {
        let Operation::Reserve { player, asset, stake, payout_max, game, session, round, expiry } =
            asked.operation
        else {
            unreachable!("reserve")
        };
        let now = asked.now;
        let near = self.is_near(player, asset, &OF_WAGERS, stake.0, now);
        let counted = self.count_stake(player, asset, stake.0, now);
        let hold = HoldRow {
            opened: self.next_lsn(),
            counted_on: self.counting_day(player, now),
            player,
            asset,
            game,
            session,
            metered: self.is_metered(session, asset),
            round,
            deadline: deadline(expiry),
            remaining: stake.0,
            payout_left: payout_max.0,
            counted,
            settled_in_part: false,
        };
        if round.is_none() {
            self.plays(player, game, Going::Hold(asked.id));
        }
        if let Some(round) = round {
            let row = self.open_round(round, player, asset, game, now);
            row.stake = row.stake.saturating_add(stake.0);
            row.open_holds += 1;
        }
        self.open_hold(asked.id, hold);
        if near { ResultCode::LimitNear } else { ResultCode::Done }
    }

    pub(super) fn open_hold(&mut self, id: RequestId, hold: HoldRow) {
        let there = self.holds.insert(id, hold);
        assert!(there.is_none(), "a hold was opened twice under {id}");
    }

    fn settle(&mut self, id: RequestId, stake: u128, payout: u128, now: Timestamp) {
        let mut hold = self.holds[&id].clone();
        let paid = self.count_win((hold.player, hold.asset), payout, hold.counted_on, now);
        let turned = self.turn_over(hold.player, hold.asset, stake);
        let staked = share(u128::from(hold.counted), stake, hold.remaining) as u64;
        hold.counted -= staked;
        let today = self.counting_day(hold.player, now);
        hold.remaining -= stake;
        hold.payout_left -= payout;
        hold.settled_in_part = true;
        if let Some(round) = hold.round {
            let round = self.round_mut(round);
            round.won = round.won.saturating_add(payout);
            round.wagered_by_holds = round.wagered_by_holds.saturating_add(turned);
            round.loose.extend([(hold.counted_on, (staked, 0)), (today, (0, paid))]);
        }
        let closed = hold.remaining == 0;
        self.holds.insert(id, hold);
        if closed {
            self.end_hold(id, End::Settled);
        }
    }

    /// What is left of a hold was given back.
    fn release(&mut self, id: RequestId, end: End, now: Timestamp) {
        let hold = self.holds[&id].clone();
        self.uncount(hold.player, (hold.counted, 0), hold.counted_on, now);
        if let Some(round) = hold.round {
            let round = self.round_mut(round);
            round.stake = round.stake.saturating_sub(hold.remaining);
        }
        self.end_hold(id, end);
    }

    fn end_hold(&mut self, id: RequestId, end: End) {
        let hold = self.holds.remove(&id).expect("an open hold");
        self.played(hold.player, hold.game, Going::Hold(id));
        if let Some(round) = hold.round {
            self.round_mut(round).open_holds -= 1;
        }
        self.leave(About::ending(Space::Hold, id.0, end, None), self.next_lsn());
    }

    pub(super) fn import_hold(&mut self, asked: &Asked) {
        let Operation::ImportHold { player, asset, stake, hold, game, payout_max, expiry } = asked.operation
        else {
            unreachable!("import_hold")
        };
        let row = HoldRow {
            opened: self.next_lsn(),
            counted_on: self.counting_day(player, asked.now),
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
        self.plays(player, game, Going::Hold(hold));
        self.open_hold(hold, row);
        // The id of the hold is used up: nothing else can be asked for under it.
        self.leave(About::answer(Space::Request, hold.0, None), self.next_lsn());
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
    if whole == 0 || of == 0 {
        return 0;
    }
    let (quotient, _) = Big::new(whole).times(&Big::new(part)).divided_by(&Big::new(of));
    quotient.small().expect("a part is not more than the whole")
}

fn is_due(hold: &HoldRow, now: Timestamp) -> bool {
    hold.deadline.is_some_and(|deadline| deadline <= now)
}

fn look_at_owner(hold: &HoldRow, player: PlayerId, asset: AssetId, c: &mut Checks) {
    let own = hold.player == player && hold.asset == asset;
    c.look("owner", refuse_unless(own, ResultCode::HoldDiffers));
}
