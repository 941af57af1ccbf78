//! Bets and wins as providers report them, under the providers' own transactions.
//!
//! In: bet, bet_win, win, rollback, and imports of them. Out: the rows and their money.

use cage_engine::field::LimitKind;
use cage_engine::id::Reference;
use cage_engine::{AssetId, GameId, Operation, PlayerId, RequestId, ResultCode, SessionId, Timestamp};

use super::books::WagerRow;
use super::holds::share;
use super::limits::OF_WAGERS;
use super::memory::{About, End, Space, Trace};
use super::{Account, Asked, Model, Step, refuse_unless};

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
    pub(super) fn bet(&mut self, asked: &Asked) -> Step<ResultCode> {
        let now = asked.now;
        let Stake { player, asset, stake, bet, game, session, round, ends_round, payout_max, payout } =
            Stake::of(asked.operation);
        refuse_unless(self.ending(Space::Wager, bet.0).is_none(), ResultCode::CancelledBefore)?;
        self.amount_bound(asset, stake)?;
        self.may_play(player)?;
        self.session_fits(player, session, Some(game), now)?;
        self.game_enabled(game)?;
        self.round_fits(round, player, asset, game)?;
        self.round_decided(ends_round, round)?;
        let near = self.within_limits(player, asset, &OF_WAGERS, stake, now)?;
        if payout.is_none() {
            self.exposure_within(game, asset, payout_max)?;
        }
        let provider = Account::clearing(asset, game);
        let metered = self.pay_stake(player, asset, session, provider, stake)?;
        if let Some(payout) = payout {
            let purse = self.payout_purse(player, asset, session, metered);
            self.pay_out(provider, purse, session, payout)?;
        }
        let counted = self.count_stake(player, asset, stake, now);
        self.count_win(player, asset, payout.unwrap_or(0), now);
        let turned = self.turn_over(player, asset, stake);
        let row = WagerRow {
            is_win: false,
            opened: self.next_lsn(),
            opened_at: now,
            player,
            asset,
            game,
            session,
            metered,
            round,
            bet: None,
            stake,
            payout_left: payout_max,
            paid: payout.unwrap_or(0),
            wins: 0,
            counted,
            turned,
            content: asked.content(),
        };
        let totals = self.open_round(round, player, asset, game, now);
        totals.stake = totals.stake.saturating_add(stake);
        totals.won = totals.won.saturating_add(payout.unwrap_or(0));
        self.open_wager(bet, row);
        if ends_round {
            self.end_the_round(round);
        }
        Ok(if near { ResultCode::LimitNear } else { ResultCode::Done })
    }

    /// Puts a bet or win into the table and at the end of its round.
    fn open_wager(&mut self, key: Reference, row: WagerRow) {
        self.round_mut(row.round).rows.push(key);
        let there = self.wagers.insert(key, row);
        assert!(there.is_none(), "two bets or wins under {key}");
    }

    pub(super) fn win(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::Win { player, asset, amount, bet, game, target, round, ends_round } = asked.operation else {
            unreachable!("win")
        };
        let tombstone = self.ending(Space::Wager, asked.id.0) == Some(End::Tombstone);
        refuse_unless(!tombstone, ResultCode::CancelledBefore)?;
        let provider = Account::clearing(asset, game);
        let Some(row) = self.bet_of_win(bet, target.0)? else {
            self.closed_bet_fits(bet, player, asset, game)?;
            self.pay(provider, Account::Available(asset, player), amount.0)?;
            self.count_win(player, asset, amount.0, asked.now);
            return Ok(ResultCode::Done);
        };
        fits(&row, player, asset, game, round)?;
        self.round_decided(ends_round, row.round)?;
        let purse = self.payout_purse(player, asset, row.session, row.metered);
        self.pay_out(provider, purse, row.session, amount.0)?;
        self.count_win(player, asset, amount.0, asked.now);
        let open = self.wagers.get_mut(&bet).expect("the bet is open");
        open.paid = open.paid.saturating_add(amount.0);
        open.wins += 1;
        open.payout_left = open.payout_left.saturating_sub(amount.0);
        let totals = self.round_mut(row.round);
        totals.won = totals.won.saturating_add(amount.0);
        let win = WagerRow {
            is_win: true,
            opened: self.next_lsn(),
            opened_at: asked.now,
            game,
            bet: Some(bet),
            stake: amount.0,
            payout_left: 0,
            paid: 0,
            wins: 0,
            counted: 0,
            turned: 0,
            content: asked.content(),
            ..row
        };
        let round = win.round;
        self.open_wager(Reference(asked.id.0), win);
        if ends_round {
            self.end_the_round(round);
        }
        Ok(ResultCode::Done)
    }

    /// The open bet that a win is of; nothing if it took its course and is remembered.
    fn bet_of_win(&self, bet: Reference, target: u64) -> Step<Option<WagerRow>> {
        if let Some(row) = self.wagers.get(&bet) {
            refuse_unless(!row.is_win, ResultCode::NotABet)?;
            return Ok(Some(row.clone()));
        }
        refuse_unless(!self.holds.contains_key(&RequestId(bet.0)), ResultCode::NotABet)?;
        match self.ending(Space::Wager, bet.0) {
            Some(End::Settled) => Ok(None),
            Some(End::Cancelled | End::Tombstone) => Err(ResultCode::HoldCancelled),
            Some(End::Refused) => Err(ResultCode::BetRefused),
            Some(End::Expired) => unreachable!("bets do not expire"),
            None if target != 0 => Err(ResultCode::ReferenceTooOld),
            None => Err(ResultCode::HoldUnknown),
        }
    }

    fn closed_bet_fits(&self, bet: Reference, player: PlayerId, asset: AssetId, game: GameId) -> Step {
        let trace = self.traced(Space::Wager, bet.0).and_then(|(_, trace, _)| trace);
        let fits = trace.is_some_and(|trace| trace.fits(player, asset, game));
        refuse_unless(fits, ResultCode::HoldDiffers)
    }

    pub(super) fn rollback(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::Rollback { player, asset, game, target, target_lsn, reverse_settled, round, .. } =
            asked.operation
        else {
            unreachable!("rollback")
        };
        if let Some(row) = self.wagers.get(&target).cloned() {
            fits(&row, player, asset, game, round)?;
            if row.is_win { self.roll_win_back(asked, &row) } else { self.roll_bet_back(asked, &row) }
        } else {
            refuse_unless(!self.holds.contains_key(&RequestId(target.0)), ResultCode::NotABet)?;
            refuse_unless(self.fact(Space::Reference, target.0).is_none(), ResultCode::ReferenceTooOld)?;
            match self.ending(Space::Wager, target.0) {
                Some(End::Cancelled | End::Tombstone | End::Refused) => Ok(ResultCode::AlreadyCancelled),
                Some(End::Settled) if reverse_settled => Err(ResultCode::ReferenceTooOld),
                Some(End::Settled) => Err(ResultCode::HoldSettled),
                Some(End::Expired) => unreachable!("bets do not expire"),
                None if target_lsn.0 != 0 => Err(ResultCode::ReferenceTooOld),
                None => {
                    let about = About::ending(Space::Wager, target.0, End::Tombstone, None);
                    self.leave(about, self.next_lsn());
                    Ok(ResultCode::Tombstoned)
                }
            }
        }
    }

    fn roll_bet_back(&mut self, asked: &Asked, row: &WagerRow) -> Step<ResultCode> {
        let Operation::Rollback { player, asset, amount, game, target, reverse_settled, .. } = asked.operation
        else {
            unreachable!("rollback")
        };
        refuse_unless(reverse_settled || (row.paid == 0 && row.wins == 0), ResultCode::HoldSettled)?;
        refuse_unless(amount.0 <= row.stake, ResultCode::StakeOverRemaining)?;
        let back = if amount.0 == 0 { row.stake } else { amount.0 };
        let provider = Account::clearing(asset, game);
        let purse = self.payout_purse(player, asset, row.session, row.metered);
        if back > 0 {
            self.pay_out(provider, purse, row.session, back)?;
        }
        let counted = share(u128::from(row.counted), back, row.stake) as u64;
        let turned = share(row.turned, back, row.stake);
        self.count_back(player, counted, row.opened_at, asked.now);
        self.add_turnover(player, asset, turned);
        let totals = self.round_mut(row.round);
        totals.stake = totals.stake.saturating_sub(back);
        let open = self.wagers.get_mut(&target).expect("the bet is open");
        open.stake -= back;
        open.counted -= counted;
        open.turned -= turned;
        if open.stake == 0 {
            self.drop_wager(target);
            let about = About::ending(Space::Wager, target.0, End::Cancelled, Some(Trace::of_row(row)));
            self.leave(about, row.opened);
        }
        Ok(ResultCode::Done)
    }

    fn roll_win_back(&mut self, asked: &Asked, row: &WagerRow) -> Step<ResultCode> {
        let Operation::Rollback { player, asset, amount, game, target, .. } = asked.operation else {
            unreachable!("rollback")
        };
        refuse_unless(amount.0 == 0 || amount.0 == row.stake, ResultCode::StakeOverRemaining)?;
        let short = self.take(player, asset, Account::clearing(asset, game), row.stake)?;
        let value = self.counted_value(asset, row.stake);
        self.count(player, LimitKind::Loss, i128::from(value), asked.now);
        if let Some(bet) = row.bet.and_then(|bet| self.wagers.get_mut(&bet)) {
            bet.paid = bet.paid.saturating_sub(row.stake);
            bet.wins -= 1;
        }
        let totals = self.round_mut(row.round);
        totals.won = totals.won.saturating_sub(row.stake);
        self.drop_wager(target);
        let about = About::ending(Space::Wager, target.0, End::Cancelled, Some(Trace::of_row(row)));
        self.leave(about, row.opened);
        Ok(if short { ResultCode::Shortfall } else { ResultCode::Done })
    }

    /// Takes a bet or win out of the table and of its round.
    fn drop_wager(&mut self, key: Reference) {
        let row = self.wagers.remove(&key).expect("an open bet or win");
        self.round_mut(row.round).rows.retain(|of_round| *of_round != key);
    }

    pub(super) fn import_bet(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::ImportBet { player, asset, stake, bet, game, payout_max, round } = asked.operation else {
            unreachable!("import_bet")
        };
        self.unknown(bet)?;
        self.importing()?;
        self.round_fits(round, player, asset, game)?;
        self.pay(Account::Imports(asset), Account::clearing(asset, game), stake.0)?;
        let totals = self.open_round(round, player, asset, game, asked.now);
        totals.stake = totals.stake.saturating_add(stake.0);
        let row = WagerRow {
            is_win: false,
            opened: self.next_lsn(),
            opened_at: asked.now,
            player,
            asset,
            game,
            session: SessionId::NONE,
            metered: false,
            round,
            bet: None,
            stake: stake.0,
            payout_left: payout_max.0,
            paid: 0,
            wins: 0,
            counted: 0,
            turned: 0,
            content: asked.content(),
        };
        self.open_wager(bet, row);
        Ok(ResultCode::Done)
    }

    pub(super) fn import_reference(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::ImportReference { bet, rolled_back, .. } = asked.operation else {
            unreachable!("import_reference")
        };
        self.unknown(bet)?;
        self.importing()?;
        let end = if rolled_back { End::Cancelled } else { End::Settled };
        let trace = Trace { content: None, ..Trace::of(asked) };
        self.leave(About::ending(Space::Wager, bet.0, end, Some(trace)), self.next_lsn());
        Ok(ResultCode::Done)
    }

    /// The time at which the round of a wager that is taken now is closed.
    pub(super) fn round_closes(&self, now: Timestamp) -> Timestamp {
        use cage_engine::field::Rule;
        const HOURS_48: u128 = 48 * 3_600 * 1_000;
        now.plus_millis(self.rule(Rule::RoundAgeMax, 0).unwrap_or(HOURS_48) as u64)
    }
}

fn fits(row: &WagerRow, player: PlayerId, asset: AssetId, game: GameId, round: Option<Reference>) -> Step {
    let owner = (row.player, row.asset, row.game.provider());
    refuse_unless(owner == (player, asset, game.provider()), ResultCode::HoldDiffers)?;
    refuse_unless(round.is_none_or(|round| round == row.round), ResultCode::RoundDiffers)
}
