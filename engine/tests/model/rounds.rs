//! Rounds: what belongs together, and how it ends, or is undone.
//!
//! In: end, close and void of a round, orders to void, late corrections. Out: the rounds and the money given back.

use cage_engine::field::LimitKind;
use cage_engine::id::Reference;
use cage_engine::{AssetId, GameId, Operation, PlayerId, RequestId, ResultCode, Timestamp};

use super::books::{OrderRow, RoundRow};
use super::memory::{About, End, Space, Trace};
use super::{Account, Asked, Model, Step, refuse_unless};

impl Model {
    /// Whether a wager may belong to this round: open and the same player's game, or not known yet.
    pub(super) fn round_fits(&self, key: Reference, player: PlayerId, asset: AssetId, game: GameId) -> Step {
        if let Some(round) = self.rounds.get(&key) {
            let fits = (round.player, round.asset, round.game) == (player, asset, game);
            return refuse_unless(fits, ResultCode::RoundDiffers);
        }
        match self.ending(Space::Round, key.0) {
            None => Ok(()),
            Some(End::Cancelled) => Err(ResultCode::RoundCancelled),
            Some(_) => Err(ResultCode::RoundClosed),
        }
    }

    /// What ends a round must not come while holds of it are open.
    pub(super) fn round_decided(&self, ends_round: bool, key: Reference) -> Step {
        let undecided = self.rounds.get(&key).is_some_and(|round| round.open_holds > 0);
        refuse_unless(!(ends_round && undecided), ResultCode::RoundHasHolds)
    }

    /// The round; opened if it is not there.
    pub(super) fn open_round(
        &mut self,
        key: Reference,
        player: PlayerId,
        asset: AssetId,
        game: GameId,
        now: Timestamp,
    ) -> &mut RoundRow {
        let (opened, closes) = (self.next_lsn(), self.round_closes(now));
        let new = RoundRow {
            player,
            asset,
            game,
            opened,
            closes,
            open_holds: 0,
            rows: Vec::new(),
            stake: 0,
            won: 0,
        };
        self.rounds.entry(key).or_insert(new)
    }

    pub(super) fn round_mut(&mut self, key: Reference) -> &mut RoundRow {
        self.rounds.get_mut(&key).expect("an open round")
    }

    pub(super) fn end_round(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::EndRound { player, asset, round: key, game } = asked.operation else {
            unreachable!("end_round")
        };
        let Some(round) = self.rounds.get(&key) else { return self.ended_round(key) };
        fits(round, player, asset, game)?;
        self.round_decided(true, key)?;
        self.end_the_round(key);
        Ok(ResultCode::Done)
    }

    /// What closing a round that is not open comes to.
    fn ended_round(&self, key: Reference) -> Step<ResultCode> {
        match self.ending(Space::Round, key.0) {
            None => Err(ResultCode::RoundUnknown),
            Some(End::Cancelled) => Err(ResultCode::RoundCancelled),
            Some(_) => Ok(ResultCode::AlreadyClosed),
        }
    }

    pub(super) fn close_round(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::CloseRound { round: key, .. } = asked.operation else { unreachable!("close_round") };
        let Some(round) = self.rounds.get(&key) else { return self.ended_round(key) };
        let due = round.closes <= asked.now && round.open_holds == 0;
        refuse_unless(due, ResultCode::HoldNotDue)?;
        self.end_the_round(key);
        Ok(ResultCode::Done)
    }

    /// Closes a round with all its bets and wins.
    pub(super) fn end_the_round(&mut self, key: Reference) {
        self.finish_round(key, End::Settled);
    }

    fn finish_round(&mut self, key: Reference, end: End) {
        let round = self.rounds.remove(&key).expect("an open round");
        self.leave(About::ending(Space::Round, key.0, end, None), self.next_lsn());
        for key in round.rows {
            let row = self.wagers.remove(&key).expect("a round's bet or win is in the table");
            let about = if row.is_win {
                About::answer(Space::Reference, RequestId(key.0), row.content)
            } else {
                About::ending(Space::Wager, key.0, end, Some(Trace::of_row(&row)))
            };
            self.leave(about, row.opened);
        }
    }

    pub(super) fn void_round(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::VoidRound { player, asset, round: key, game, order, .. } = asked.operation else {
            unreachable!("void_round")
        };
        let Some(round) = self.rounds.get(&key).cloned() else {
            return match self.ending(Space::Round, key.0) {
                None => Err(ResultCode::RoundUnknown),
                Some(End::Cancelled) => Ok(ResultCode::AlreadyCancelled),
                Some(_) => Err(ResultCode::RoundClosed),
            };
        };
        fits(&round, player, asset, game)?;
        self.round_decided(true, key)?;
        self.order_covers(order, asset, game, round.opened, round.stake)?;
        let provider = Account::clearing(asset, game);
        let given = round.stake.saturating_sub(round.won);
        self.pay_if_any(provider, Account::Available(asset, player), given)?;
        let short = self.take(player, asset, provider, round.won.saturating_sub(round.stake))?;
        self.use_order(order, round.stake);
        let bets = round.rows.iter().filter_map(|key| self.wagers.get(key));
        for bet in bets.filter(|row| !row.is_win).cloned().collect::<Vec<_>>() {
            self.count_back(player, bet.counted, bet.opened_at, asked.now);
            self.add_turnover(player, asset, bet.turned);
        }
        let value = self.counted_value(asset, round.won);
        self.count(player, LimitKind::Loss, i128::from(value), asked.now);
        self.finish_round(key, End::Cancelled);
        Ok(if short { ResultCode::Shortfall } else { ResultCode::Done })
    }

    pub(super) fn void_period(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::VoidPeriod { asset, amount, game, from, to, count, .. } = asked.operation else {
            unreachable!("void_period")
        };
        let fits = from <= to && to.0 < self.next_lsn() && count > 0;
        refuse_unless(fits, ResultCode::PeriodUnfit)?;
        let row = OrderRow {
            game,
            asset,
            from: from.0,
            to: to.0,
            amount_max: amount.0,
            moved: 0,
            count,
            done: 0,
        };
        self.orders.insert(asked.id, row);
        Ok(ResultCode::Done)
    }

    /// Whether an order to void covers this record and this much.
    fn order_covers(
        &self,
        order: Option<RequestId>,
        asset: AssetId,
        game: GameId,
        record: u64,
        amount: u128,
    ) -> Step {
        let Some(order) = order else { return Ok(()) };
        let order = self.orders.get(&order).ok_or(ResultCode::OrderUnknown)?;
        let covered =
            (order.game, order.asset) == (game, asset) && (order.from..=order.to).contains(&record);
        refuse_unless(covered, ResultCode::OrderDiffers)?;
        let left = order.amount_max - order.moved;
        refuse_unless(amount <= left && order.done < order.count, ResultCode::OrderExceeded)
    }

    fn use_order(&mut self, order: Option<RequestId>, amount: u128) {
        if let Some(order) = order.and_then(|order| self.orders.get_mut(&order)) {
            order.moved += amount;
            order.done += 1;
        }
    }

    pub(super) fn late_correction(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::LateCorrection { player, asset, amount, game, original, debit, order, .. } =
            asked.operation
        else {
            unreachable!("late_correction")
        };
        refuse_unless((1..self.next_lsn()).contains(&original.0), ResultCode::PeriodUnfit)?;
        let credited = if debit { 0 } else { amount.0 };
        self.order_covers(order, asset, game, original.0, credited)?;
        let short = self.correct(player, asset, Account::clearing(asset, game), amount.0, debit)?;
        self.use_order(order, credited);
        Ok(if short { ResultCode::Shortfall } else { ResultCode::Done })
    }

    /// Gives a player money, or takes it; says whether the player could not pay all of it.
    pub(super) fn correct(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        other: Account,
        amount: u128,
        debit: bool,
    ) -> Step<bool> {
        if debit {
            return self.take(player, asset, other, amount);
        }
        self.pay_if_any(other, Account::Available(asset, player), amount)?;
        Ok(false)
    }
}

fn fits(round: &RoundRow, player: PlayerId, asset: AssetId, game: GameId) -> Step {
    let owner = (round.player, round.asset, round.game.provider());
    refuse_unless(owner == (player, asset, game.provider()), ResultCode::RoundDiffers)
}
