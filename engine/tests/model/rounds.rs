//! Rounds: what belongs together, and how it ends, or is undone.
//!
//! In: end, close and void of a round, orders to void, late corrections. Out: the rounds and the money given back.

use cage_engine::field::Rule;
use cage_engine::id::Reference;
use cage_engine::{AssetId, GameId, Operation, PlayerId, RequestId, ResultCode, Timestamp};

use super::books::{Going, OrderRow, RoundRow};
use super::memory::{About, End, Space, Trace};
use super::{Account, Asked, Checks, Model, Step, refuse_unless};

const HOURS_48: u128 = 48 * 3_600 * 1_000;

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
        self.plays(player, game, Going::Round(key));
        let age = self.rule(Rule::RoundAgeMax, 0).unwrap_or(HOURS_48) as u64;
        let (opened, closes) = (self.next_lsn(), now.plus_millis(age));
        let new = RoundRow {
            loose: Vec::new(),
            wagered_by_holds: 0,
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

    /// On some games a player has one round at a time: nothing else that is staked in and not over.
    pub(super) fn one_round(&self, player: PlayerId, game: GameId, named: Option<Reference>) -> Step {
        if self.rule(Rule::OneRound, u64::from(game.0)).is_none() {
            return Ok(());
        }
        let Some(last) = self.playing.get(&(player, game)) else { return Ok(()) };
        let going = match last {
            Going::Hold(hold) => self.holds.contains_key(hold),
            Going::Round(round) if named == Some(*round) => false,
            Going::Round(round) => {
                self.rounds.get(round).is_some_and(|round| round.stake > 0 || round.open_holds > 0)
            }
        };
        refuse_unless(!going, ResultCode::RoundUnfinished)
    }

    /// Notes what a player stakes in, if the game allows one round at a time.
    pub(super) fn plays(&mut self, player: PlayerId, game: GameId, what: Going) {
        if self.rule(Rule::OneRound, u64::from(game.0)).is_some() {
            self.playing.insert((player, game), what);
        }
    }

    pub(super) fn played(&mut self, player: PlayerId, game: GameId, what: Going) {
        if self.playing.get(&(player, game)) == Some(&what) {
            self.playing.remove(&(player, game));
        }
    }

    pub(super) fn round_mut(&mut self, key: Reference) -> &mut RoundRow {
        self.rounds.get_mut(&key).expect("an open round")
    }

    pub(super) fn look_at_round(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::EndRound { player, asset, round: key, game, .. } => {
                let Some(round) = self.look_for_round(key, c) else { return };
                look_at_owner(&round, player, asset, game, c);
                c.look("undecided", self.round_decided(true, key));
            }
            Operation::CloseRound { round: key, .. } => {
                let Some(round) = self.look_for_round(key, c) else { return };
                let due = round.closes <= asked.now && round.open_holds == 0;
                c.look("due", refuse_unless(due, ResultCode::HoldNotDue));
            }
            Operation::VoidRound { player, asset, round: key, game, order, .. } => {
                let Some(round) = self.look_for_round_to_void(key, c) else { return };
                look_at_owner(&round, player, asset, game, c);
                c.look("undecided", self.round_decided(true, key));
                self.look_at_order(order, asset, round.game, round.opened, round.stake, c);
            }
            Operation::VoidPeriod { from, to, count, .. } => {
                let fits = 1 <= from.0 && from <= to && to.0 < self.next_lsn() && count > 0;
                c.look("period", refuse_unless(fits, ResultCode::PeriodUnfit));
            }
            Operation::LateCorrection {
                asset, amount, transaction, game, original, debit, order, ..
            } => {
                let of_itself = asked.id.0 == transaction.0;
                c.look("key", refuse_unless(of_itself, ResultCode::KeyDiffers));
                let past = (1..self.next_lsn()).contains(&original.0);
                c.look("period", refuse_unless(past, ResultCode::PeriodUnfit));
                self.look_at_what_is_corrected(asked, c);
                let credited = if debit { 0 } else { amount.0 };
                self.look_at_order(order, asset, game, original.0, credited, c);
            }
            _ => unreachable!("a round"),
        }
    }

    /// The round that is to be closed, if it is open.
    fn look_for_round(&self, key: Reference, c: &mut Checks) -> Option<RoundRow> {
        let round = self.rounds.get(&key);
        let ended = if round.is_some() { None } else { self.ending(Space::Round, key.0) };
        match (round, ended) {
            (None, None) => c.find("target", Err(ResultCode::RoundUnknown)),
            (None, Some(End::Cancelled)) => c.find("target", Err(ResultCode::RoundCancelled)),
            (None, Some(_)) => {
                c.look("target", Ok(()));
                c.nothing_to_do(ResultCode::AlreadyClosed);
            }
            (Some(_), _) => c.look("target", Ok(())),
        }
        round.cloned()
    }

    fn look_for_round_to_void(&self, key: Reference, c: &mut Checks) -> Option<RoundRow> {
        let round = self.rounds.get(&key);
        let ended = if round.is_some() { None } else { self.ending(Space::Round, key.0) };
        match (round, ended) {
            (None, None) => c.find("target", Err(ResultCode::RoundUnknown)),
            (None, Some(End::Cancelled)) => {
                c.look("target", Ok(()));
                c.nothing_to_do(ResultCode::AlreadyCancelled);
            }
            (None, Some(_)) => c.find("target", Err(ResultCode::RoundClosed)),
            (Some(_), _) => c.look("target", Ok(())),
        }
        round.cloned()
    }

    /// Whether an order to void covers this record and this much.
    fn look_at_order(
        &self,
        order: Option<RequestId>,
        asset: AssetId,
        game: GameId,
        record: u64,
        amount: u128,
        c: &mut Checks,
    ) {
        let row = order.map(|order| self.orders.get(&order));
        c.look("order", refuse_unless(row != Some(None), ResultCode::OrderUnknown));
        let Some(row) = row.flatten() else { return };
        let covered = (row.game, row.asset) == (game, asset) && (row.from..=row.to).contains(&record);
        c.look("order's scope", refuse_unless(covered, ResultCode::OrderDiffers));
        let left = row.amount_max - row.moved;
        let fits = amount <= left && row.done < row.count;
        c.look("order's bound", refuse_unless(fits, ResultCode::OrderExceeded));
    }

    pub(super) fn pay_round(&mut self, asked: &Asked) -> Step {
        match asked.operation {
            Operation::VoidRound { player, asset, round: key, game, .. } => {
                let RoundRow { stake, won, .. } = self.rounds[&key];
                let provider = Account::clearing(asset, game);
                self.give_if_any(player, asset, provider, stake.saturating_sub(won))?;
                self.take(player, asset, provider, won.saturating_sub(stake))
            }
            Operation::LateCorrection { .. } if self.correction_waits(asked) => Ok(()),
            Operation::LateCorrection { player, asset, amount, game, debit, .. } => {
                self.correct(player, asset, Account::clearing(asset, game), amount.0, debit)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn carry_out_round(&mut self, asked: &Asked) -> ResultCode {
        if let Operation::CloseRound { round, .. } = asked.operation {
            self.deed.named.game = Some(self.rounds[&round].game);
        }
        match asked.operation {
            Operation::EndRound { round, .. } | Operation::CloseRound { round, .. } => {
                self.end_the_round(round, End::Settled);
            }
            Operation::VoidRound { round, order, .. } => self.void_round(round, order, asked.now),
            Operation::VoidPeriod { asset, amount, game, from, to, count, .. } => {
                let (from, to, amount_max) = (from.0, to.0, amount.0);
                let maker = asked.caller.actor;
                let row = OrderRow { maker, game, asset, from, to, amount_max, moved: 0, count, done: 0 };
                self.orders.insert(asked.id, row);
            }
            Operation::LateCorrection { .. } => return self.correct_late(asked),
            _ => unreachable!("a round"),
        }
        self.done_or_short()
    }

    /// Closes a round with all its bets and wins: first the round is remembered, then they, as they came.
    pub(super) fn end_the_round(&mut self, key: Reference, end: End) {
        let round = self.rounds.remove(&key).expect("an open round");
        self.played(round.player, round.game, Going::Round(key));
        self.leave(About::ending(Space::Round, key.0, end, None), self.next_lsn());
        for key in round.rows {
            let row = self.wagers.remove(&key).expect("a round's bet or win is in the table");
            let about = match (row.is_win, row.undone) {
                (true, false) => About::answer(Space::Reference, key.0, Some(row.content)),
                (true, true) => About::ending(Space::Wager, key.0, End::Cancelled, Some(Trace::of_row(&row))),
                (false, _) => About::ending(Space::Wager, key.0, end, Some(Trace::of_row(&row))),
            };
            self.leave(about, row.opened);
            if end == End::Settled && !row.undone {
                self.keep(key, row);
            }
        }
    }

    fn void_round(&mut self, key: Reference, order: Option<RequestId>, now: Timestamp) {
        let round = self.rounds[&key].clone();
        let (player, asset) = (round.player, round.asset);
        let rows: Vec<_> = round.rows.iter().map(|key| self.wagers[key].clone()).collect();
        for row in rows {
            match (row.is_win, row.undone) {
                (false, _) => {
                    self.uncount(player, (row.counted, row.counted_paid), row.counted_on, now);
                    self.add_turnover(player, asset, row.turned);
                }
                (true, false) => self.uncount(player, (0, row.counted), row.counted_on, now),
                (true, true) => {}
            }
        }
        for (day, counted) in round.loose {
            self.uncount(player, counted, day, now);
        }
        // Stakes that are given back were not wagered.
        self.add_turnover(player, asset, round.wagered_by_holds);
        self.use_order(order, round.stake);
        self.end_the_round(key, End::Cancelled);
    }

    pub(super) fn use_order(&mut self, order: Option<RequestId>, amount: u128) {
        if let Some(order) = order.and_then(|order| self.orders.get_mut(&order)) {
            order.moved += amount;
            order.done += 1;
        }
    }
}

fn look_at_owner(round: &RoundRow, player: PlayerId, asset: AssetId, game: GameId, c: &mut Checks) {
    let own = (round.player, round.asset, round.game.provider()) == (player, asset, game.provider());
    c.look("owner", refuse_unless(own, ResultCode::RoundDiffers));
}
