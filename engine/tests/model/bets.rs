//! Bets and wins as providers report them, under the providers' own transactions.
//!
//! In: bet, bet_win, win, rollback. Out: the rows and their money.

use cage_engine::field::PastTransaction;
use cage_engine::id::Reference;
use cage_engine::{AssetId, GameId, Operation, PlayerId, RequestId, ResultCode, SessionId, Timestamp};

use super::books::WagerRow;
use super::holds::share;
use super::limits::OF_WAGERS;
use super::memory::{About, End, Space, Trace};
use super::{Account, Asked, Checks, Model, Step, refuse_unless};

/// What `bet` and `bet_win` have in common.
struct Stake {
    player: PlayerId,
    asset: AssetId,
    stake: u128,
    bet: Reference,
    game: GameId,
    session: SessionId,
    round: Reference,
    ends_round: bool,
    payout_max: u128,
    /// What it won, if that is known already.
    payout: Option<u128>,
}

impl Stake {
    fn of(operation: Operation) -> Self {
        match operation {
            Operation::Bet { player, asset, stake, bet, game, session, payout_max, round, ends_round } => {
                let (stake, payout_max) = (stake.0, payout_max.0);
                Self { player, asset, stake, bet, game, session, round, ends_round, payout_max, payout: None }
            }
            Operation::BetWin { player, asset, stake, bet, game, session, payout, round, ends_round } => {
                let (stake, payout) = (stake.0, Some(payout.0));
                Self { player, asset, stake, bet, game, session, round, ends_round, payout_max: 0, payout }
            }
            _ => unreachable!("a bet"),
        }
    }
}

impl Model {
    pub(super) fn look_at_bet(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::Win { .. } => self.look_at_win(asked, c),
            Operation::Rollback { .. } => self.look_at_rollback(asked, c),
            _ => self.look_at_stake(asked, c),
        }
    }

    fn look_at_stake(&self, asked: &Asked, c: &mut Checks) {
        let Stake { player, asset, stake, bet, game, session, round, ends_round, payout_max, payout } =
            Stake::of(asked.operation);
        let tombstone = self.ending(Space::Wager, bet.0).is_some();
        c.look("tombstone", refuse_unless(!tombstone, ResultCode::CancelledBefore));
        c.look("amount bound", self.amount_bound(asset, stake));
        c.look("status", self.may_play(player));
        self.look_at_session(player, session, Some(game), asked.now, c);
        c.look("game", self.game_enabled(game));
        c.look("round", self.round_fits(round, player, asset, game));
        c.look("one round", self.one_round(player, game, Some(round)));
        c.look("undecided", self.round_decided(ends_round, round));
        self.look_at_limits(player, asset, &OF_WAGERS, stake, asked.now, c);
        if payout.is_none() {
            c.look("greatest payout", self.payout_named(game, asset, payout_max));
        }
        c.look("exposure", self.exposure_within(game, asset, payout.unwrap_or(payout_max)));
    }

    fn look_at_win(&self, asked: &Asked, c: &mut Checks) {
        let Operation::Win { player, asset, bet, game, target, round, ends_round, .. } = asked.operation
        else {
            unreachable!("win")
        };
        let tombstone = self.ending(Space::Wager, asked.id.0).is_some();
        c.look("tombstone", refuse_unless(!tombstone, ResultCode::CancelledBefore));
        c.find("bet", self.bet_of_win(bet, target.0, (player, asset, game)));
        if let Some(row) = self.wagers.get(&bet).filter(|row| !row.is_win) {
            look_at_owner(row, (player, asset, game), round, c);
            c.look("undecided", self.round_decided(ends_round, row.round));
        }
    }

    /// Whether the bet that a win is of is open, or took its course and is remembered.
    fn bet_of_win(&self, bet: Reference, target: u64, by: (PlayerId, AssetId, GameId)) -> Step {
        if let Some(row) = self.wagers.get(&bet) {
            return refuse_unless(!row.is_win, ResultCode::NotABet);
        }
        refuse_unless(!self.holds.contains_key(&RequestId(bet.0)), ResultCode::NotABet)?;
        match self.traced(Space::Wager, bet.0) {
            Some((End::Settled, trace, _)) => {
                let own = trace.is_some_and(|trace| trace.fits(by.0, by.1, by.2));
                refuse_unless(own, ResultCode::HoldDiffers)
            }
            Some((End::Cancelled | End::Tombstone, ..)) => Err(ResultCode::HoldCancelled),
            Some((End::Refused, ..)) => Err(ResultCode::BetRefused),
            Some((End::Expired, ..)) => unreachable!("bets do not expire"),
            None if target != 0 => Err(ResultCode::ReferenceTooOld),
            None => Err(ResultCode::HoldUnknown),
        }
    }

    fn look_at_rollback(&self, asked: &Asked, c: &mut Checks) {
        let Operation::Rollback { player, asset, amount, game, target, target_lsn, reverse_settled, round } =
            asked.operation
        else {
            unreachable!("rollback")
        };
        let Some(row) = self.any_wager(target) else {
            match self.nothing_to_roll_back(target, target_lsn.0, reverse_settled) {
                Ok(code) => {
                    c.look("bet or win", Ok(()));
                    c.nothing_to_do(code);
                }
                Err(code) => c.find("bet or win", Err(code)),
            }
            return;
        };
        c.look("bet or win", Ok(()));
        if row.undone {
            c.nothing_to_do(ResultCode::AlreadyCancelled);
            return;
        }
        look_at_owner(row, (player, asset, game), round, c);
        let won = !row.is_win && (row.at_once != 0 || row.wins != 0);
        c.look("won", refuse_unless(reverse_settled || !won, ResultCode::HoldSettled));
        // A win, and a bet that won at once, are undone whole.
        let whole = amount.0 == 0 || amount.0 == row.stake;
        let in_parts = !row.is_win && row.at_once == 0 && amount.0 <= row.stake;
        c.look("stake", refuse_unless(whole || in_parts, ResultCode::StakeOverRemaining));
    }

    /// What it comes to when neither the bet nor the win that is to be undone is open.
    fn nothing_to_roll_back(&self, target: Reference, lsn: u64, reverse_settled: bool) -> Step<ResultCode> {
        refuse_unless(!self.holds.contains_key(&RequestId(target.0)), ResultCode::NotABet)?;
        let ending = self.ending(Space::Wager, target.0);
        // Of a win that was undone this is remembered, too.
        let answered = ending != Some(End::Cancelled) && self.fact(Space::Reference, target.0).is_some();
        refuse_unless(!answered, ResultCode::ReferenceTooOld)?;
        match ending {
            Some(End::Cancelled | End::Tombstone | End::Refused) => Ok(ResultCode::AlreadyCancelled),
            Some(End::Settled) if reverse_settled => Err(ResultCode::ReferenceTooOld),
            Some(End::Settled) => Err(ResultCode::HoldSettled),
            Some(End::Expired) => unreachable!("bets do not expire"),
            None if lsn != 0 => Err(ResultCode::ReferenceTooOld),
            None => Ok(ResultCode::Tombstoned),
        }
    }

    pub(super) fn pay_bet(&mut self, asked: &Asked) -> Step {
        match asked.operation {
            Operation::Win { player, asset, amount, bet, game, .. } => {
                let provider = Account::clearing(asset, game);
                let Some(row) = self.wagers.get(&bet).cloned() else {
                    return self.pay(provider, Account::Available(asset, player), amount.0);
                };
                let purse = self.payout_purse(player, asset, row.session, row.metered);
                self.pay_out(provider, purse, row.session, amount.0)
            }
            Operation::Rollback { player, asset, amount, target, .. } => {
                let row = self.any_wager(target).expect("it was found").clone();
                let provider = Account::clearing(asset, row.game);
                if row.is_win {
                    return self.take_payout(&row, row.stake);
                }
                // What was won at once goes against the stake: one net movement.
                let back = if amount.0 == 0 { row.stake } else { amount.0 };
                let won = row.at_once;
                let purse = self.payout_purse(player, asset, row.session, row.metered);
                if back > won {
                    self.pay_out(provider, purse, row.session, back - won)?;
                }
                self.take_payout(&row, won.saturating_sub(back))
            }
            _ => {
                let Stake { player, asset, stake, game, session, payout, .. } = Stake::of(asked.operation);
                let provider = Account::clearing(asset, game);
                self.pay_stake(player, asset, session, provider, stake)?;
                let Some(payout) = payout else { return Ok(()) };
                let metered = self.is_metered(session, asset);
                let purse = self.payout_purse(player, asset, session, metered);
                self.pay_out(provider, purse, session, payout)
            }
        }
    }

    /// A payout that is undone: from the meter that it went to while that is open, then from what is available.
    fn take_payout(&mut self, row: &WagerRow, amount: u128) -> Step {
        let (player, asset) = (row.player, row.asset);
        let provider = Account::clearing(asset, row.game);
        let allowance = Account::Allowance(asset, player);
        let mut metered = 0;
        if self.payout_purse(player, asset, row.session, row.metered) == allowance {
            let meter = self.sessions.get_mut(&row.session).expect("a meter's session is open");
            metered = amount.min(meter.remainder);
            meter.remainder -= metered;
        }
        self.pay_if_any(allowance, provider, metered)?;
        self.take(player, asset, provider, amount - metered)
    }

    pub(super) fn carry_out_bet(&mut self, asked: &Asked) -> ResultCode {
        match asked.operation {
            Operation::Win { .. } => self.win(asked),
            Operation::Rollback { target, .. } => {
                let is_open = self.wagers.contains_key(&target);
                let is_win = self.any_wager(target).expect("it was found").is_win;
                match (is_open, is_win) {
                    (true, true) => self.roll_win_back(asked),
                    (true, false) => self.roll_bet_back(asked),
                    (false, true) => self.roll_closed_win_back(asked),
                    (false, false) => self.roll_closed_bet_back(asked),
                }
            }
            _ => self.bet(asked),
        }
    }

    fn bet(&mut self, asked: &Asked) -> ResultCode {
        let now = asked.now;
        let Stake { player, asset, stake, bet, game, session, round, ends_round, payout_max, payout } =
            Stake::of(asked.operation);
        let near = self.is_near(player, asset, &OF_WAGERS, stake, now);
        let counted = self.count_stake(player, asset, stake, now);
        let today = self.counting_day(player, now);
        let counted_paid = self.count_win((player, asset), payout.unwrap_or(0), today, now);
        let turned = self.turn_over(player, asset, stake);
        let row = WagerRow {
            session,
            metered: self.is_metered(session, asset),
            payout_left: payout_max,
            at_once: payout.unwrap_or(0),
            counted,
            counted_paid,
            turned,
            ..self.new_bet(asked, player, asset, stake, game, round)
        };
        let totals = self.open_round(round, player, asset, game, now);
        totals.stake = totals.stake.saturating_add(stake);
        totals.won = totals.won.saturating_add(payout.unwrap_or(0));
        self.open_wager(bet, row);
        if ends_round {
            self.end_the_round(round, End::Settled);
        }
        if near { ResultCode::LimitNear } else { ResultCode::Done }
    }

    fn new_bet(
        &self,
        asked: &Asked,
        player: PlayerId,
        asset: AssetId,
        stake: u128,
        game: GameId,
        round: Reference,
    ) -> WagerRow {
        WagerRow {
            is_win: false,
            opened: self.next_lsn(),
            counted_on: self.counting_day(player, asked.now),
            player,
            asset,
            game,
            session: SessionId::NONE,
            metered: false,
            round,
            bet: None,
            stake,
            payout_left: 0,
            at_once: 0,
            wins: 0,
            undone: false,
            counted: 0,
            counted_paid: 0,
            turned: 0,
            content: asked.content(),
        }
    }

    /// Puts a bet or win into the table and at the end of its round.
    fn open_wager(&mut self, key: Reference, row: WagerRow) {
        self.round_mut(row.round).rows.push(key);
        let there = self.wagers.insert(key, row);
        assert!(there.is_none(), "two bets or wins under {key}");
    }

    fn win(&mut self, asked: &Asked) -> ResultCode {
        let Operation::Win { player, asset, amount, bet, ends_round, .. } = asked.operation else {
            unreachable!("win")
        };
        let Some(staked_on) = self.wagers.get(&bet).map(|row| row.counted_on) else {
            self.win_late(asked);
            return ResultCode::Done;
        };
        let counted = self.count_win((player, asset), amount.0, staked_on, asked.now);
        let open = self.wagers.get_mut(&bet).expect("an open bet");
        open.wins += 1;
        open.payout_left = open.payout_left.saturating_sub(amount.0);
        let of = open.clone();
        let totals = self.round_mut(of.round);
        totals.won = totals.won.saturating_add(amount.0);
        let round = of.round;
        let win = WagerRow {
            is_win: true,
            session: of.session,
            metered: of.metered,
            bet: Some(bet),
            counted,
            ..self.new_bet(asked, player, asset, amount.0, of.game, round)
        };
        self.open_wager(Reference(asked.id.0), win);
        if ends_round {
            self.end_the_round(round, End::Settled);
        }
        ResultCode::Done
    }

    fn roll_bet_back(&mut self, asked: &Asked) -> ResultCode {
        let Operation::Rollback { amount, target, .. } = asked.operation else { unreachable!("rollback") };
        let row = self.wagers[&target].clone();
        let (left, back) = self.give_back(&row, amount.0, asked.now);
        let totals = self.round_mut(row.round);
        totals.stake = totals.stake.saturating_sub(back);
        totals.won = totals.won.saturating_sub(row.at_once);
        let all = left.stake == 0;
        self.wagers.insert(target, left);
        if all {
            self.wagers.remove(&target);
            let round = self.round_mut(row.round);
            round.rows.retain(|of_round| *of_round != target);
            let about = About::ending(Space::Wager, target.0, End::Cancelled, Some(Trace::of_row(&row)));
            self.leave(about, row.opened);
        }
        self.done_or_short()
    }

    /// What is left of a bet when so much is given back (nothing stands for all), and how much that is.
    pub(super) fn give_back(&mut self, row: &WagerRow, amount: u128, now: Timestamp) -> (WagerRow, u128) {
        let back = if amount == 0 { row.stake } else { amount };
        let all = back == row.stake;
        let counted = if all { row.counted } else { part(row.counted.into(), back, row) as u64 };
        let turned = if all { row.turned } else { part(row.turned, back, row) };
        self.add_turnover(row.player, row.asset, turned);
        // A bet that won at once is only undone whole, and so is what that counted.
        self.uncount(row.player, (counted, row.counted_paid), row.counted_on, now);
        let mut left = row.clone();
        left.stake -= back;
        left.counted -= counted;
        left.turned -= turned;
        (left, back)
    }

    /// The win stays with its round: it must not be forgotten before its bet.
    fn roll_win_back(&mut self, asked: &Asked) -> ResultCode {
        let Operation::Rollback { player, target, .. } = asked.operation else { unreachable!("rollback") };
        let win = self.wagers.get_mut(&target).expect("the win is open");
        win.undone = true;
        let row = win.clone();
        self.uncount(player, (0, row.counted), row.counted_on, asked.now);
        if let Some(bet) = row.bet.and_then(|bet| self.wagers.get_mut(&bet)) {
            bet.wins -= 1;
        }
        let totals = self.round_mut(row.round);
        totals.won = totals.won.saturating_sub(row.stake);
        self.done_or_short()
    }

    pub(super) fn import_bet(&mut self, asked: &Asked) {
        let Operation::ImportBet { player, asset, stake, bet, game, payout_max, round } = asked.operation
        else {
            unreachable!("import_bet")
        };
        let totals = self.open_round(round, player, asset, game, asked.now);
        totals.stake = totals.stake.saturating_add(stake.0);
        let new = self.new_bet(asked, player, asset, stake.0, game, round);
        self.open_wager(bet, WagerRow { payout_left: payout_max.0, ..new });
    }

    pub(super) fn import_reference(&mut self, asked: &Asked) {
        let Operation::ImportReference { bet, was, .. } = asked.operation else {
            unreachable!("import_reference")
        };
        let end = match was {
            PastTransaction::ClosedBet => End::Settled,
            PastTransaction::UndoneBet => End::Cancelled,
            // Nothing is the same as what this ledger never answered.
            PastTransaction::CarriedOut => {
                return self.leave(About::answer(Space::Reference, bet.0, None), self.next_lsn());
            }
        };
        let trace = Trace { content: None, ..Trace::of(asked) };
        self.leave(About::ending(Space::Wager, bet.0, end, Some(trace)), self.next_lsn());
    }
}

fn part(whole: u128, back: u128, row: &WagerRow) -> u128 {
    share(whole, back, row.stake)
}

fn look_at_owner(
    row: &WagerRow,
    (player, asset, game): (PlayerId, AssetId, GameId),
    round: Option<Reference>,
    c: &mut Checks,
) {
    let own = (row.player, row.asset, row.game.provider()) == (player, asset, game.provider());
    c.look("owner", refuse_unless(own, ResultCode::HoldDiffers));
    let fits = round.is_none_or(|round| round == row.round);
    c.look("its round", refuse_unless(fits, ResultCode::RoundDiffers));
}
