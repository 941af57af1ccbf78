//! Prizes, jackpots and free rounds.
//!
//! In: such a request. Out: its money, what is left over of shares, the counters of free rounds.

use cage_engine::{AssetId, GameId, Operation, RequestId, ResultCode};

use super::books::FreeroundRow;
use super::memory::{About, End, Space};
use super::{Account, Asked, Checks, Model, Step, refuse_unless};

const MILLIONTHS: u128 = 1_000_000;

/// A jackpot's number is its provider's, and 20 bits of the provider's choice.
fn jackpot_is_of(pool: u32, game: GameId) -> Step {
    refuse_unless(pool / (1 << 20) == u32::from(game.provider()), ResultCode::JackpotDiffers)
}

impl Model {
    pub(super) fn look_at_promotion(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::PromoCredit { asset, amount, .. } => {
                c.look("amount bound", self.amount_bound(asset, amount.0));
            }
            Operation::JackpotContribute { asset, base, game, pool, .. } => {
                c.look("amount bound", self.amount_bound(asset, base.0));
                c.look("jackpot", jackpot_is_of(pool, game));
            }
            Operation::JackpotWin { game, pool, .. } => c.look("jackpot", jackpot_is_of(pool, game)),
            Operation::JackpotAdjust { .. } => {}
            Operation::FreeroundGrant { expires, .. } => {
                c.look("expires", refuse_unless(expires > asked.now, ResultCode::DeadlinePassed));
            }
            Operation::FreeroundConsume { player, grant, session, game, count } => {
                let Some(row) = self.look_for_freeround(grant, c) else { return };
                let own = (row.player, row.game) == (player, game);
                c.look("owner", refuse_unless(own, ResultCode::FreeroundDiffers));
                let lives = row.expires > asked.now;
                c.look("its time", refuse_unless(lives, ResultCode::FreeroundExpired));
                c.look("left", refuse_unless(count <= row.left, ResultCode::FreeroundExceeded));
                c.look("status", self.may_play(player));
                self.look_at_session(player, session, Some(game), asked.now, c);
                c.look("game", self.game_enabled(game));
            }
            Operation::FreeroundExpire { player, grant, game } => {
                let Some(row) = self.look_for_freeround(grant, c) else { return };
                let own = (row.player, row.game) == (player, game);
                c.look("owner", refuse_unless(own, ResultCode::FreeroundDiffers));
            }
            Operation::FreeroundLapse { grant, .. } => {
                let Some(row) = self.look_for_freeround(grant, c) else { return };
                c.look("due", refuse_unless(row.expires <= asked.now, ResultCode::HoldNotDue));
            }
            _ => unreachable!("a promotion"),
        }
    }

    fn look_for_freeround(&self, id: RequestId, c: &mut Checks) -> Option<FreeroundRow> {
        let row = self.freerounds.get(&id);
        let ended = if row.is_some() { None } else { self.ending(Space::Freeround, id.0) };
        let found = match (row, ended) {
            (Some(_), _) => Ok(()),
            (None, Some(End::Settled)) => Err(ResultCode::FreeroundUsed),
            (None, Some(End::Expired)) => Err(ResultCode::FreeroundExpired),
            (None, _) => Err(ResultCode::FreeroundUnknown),
        };
        c.find("free rounds", found);
        row.cloned()
    }

    pub(super) fn pay_promotion(&mut self, asked: &Asked) -> Step {
        match asked.operation {
            Operation::PromoCredit { player, asset, amount, game, house_paid, .. } => {
                let provider = Account::clearing(asset, game);
                let from = if house_paid { Account::BonusExpense(asset) } else { provider };
                self.pay(from, Account::Available(asset, player), amount.0)
            }
            Operation::JackpotContribute { asset, base, game, pool, rate_ppm, .. } => {
                let before = self.pools.get(&(pool, asset)).copied().unwrap_or(0);
                let share =
                    base.0.checked_mul(u128::from(rate_ppm)).and_then(|share| share.checked_add(before));
                let share = share.ok_or(ResultCode::BalanceOverflow)?;
                let provider = Account::clearing(asset, game);
                self.pay(provider, Account::Jackpot(asset, pool), share / MILLIONTHS)?;
                self.pools.insert((pool, asset), share % MILLIONTHS);
                Ok(())
            }
            Operation::JackpotWin { player, asset, amount, pool, .. } => {
                let available = Account::Available(asset, player);
                let covered = self.in_pool(pool, asset).min(amount.0);
                self.deed.short = covered < amount.0;
                self.pay_if_any(Account::Jackpot(asset, pool), available, covered)?;
                self.pay_if_any(Account::JackpotShortfall(asset, pool), available, amount.0 - covered)
            }
            Operation::JackpotAdjust { asset, amount, pool, debit, .. } => {
                let (jackpot, adjustments) = (Account::Jackpot(asset, pool), Account::Adjustments(asset));
                if !debit {
                    return self.pay(adjustments, jackpot, amount.0);
                }
                let there = amount.0 <= self.in_pool(pool, asset);
                refuse_unless(there, ResultCode::InsufficientFunds)?;
                self.pay(jackpot, adjustments, amount.0)
            }
            _ => Ok(()),
        }
    }

    fn in_pool(&self, pool: u32, asset: AssetId) -> u128 {
        u128::try_from(self.held(Account::Jackpot(asset, pool))).unwrap_or(0)
    }

    pub(super) fn carry_out_promotion(&mut self, asked: &Asked) -> ResultCode {
        match asked.operation {
            Operation::PromoCredit { player, asset, turnover, .. } => {
                self.add_turnover(player, asset, turnover.0);
            }
            Operation::JackpotWin { .. } => return self.done_or_short(),
            Operation::JackpotContribute { .. } | Operation::JackpotAdjust { .. } => {}
            Operation::FreeroundGrant { player, asset, bet_value, game, count, expires } => {
                let bet_value = bet_value.0;
                let row = FreeroundRow { player, asset, game, left: count, bet_value, expires };
                self.freerounds.insert(asked.id, row);
            }
            Operation::FreeroundConsume { grant, count, .. } => {
                let row = self.freerounds.get_mut(&grant).expect("free rounds");
                row.left -= count;
                if row.left == 0 {
                    self.end_freeround(grant, End::Settled);
                }
            }
            Operation::FreeroundExpire { grant, .. } => self.end_freeround(grant, End::Expired),
            Operation::FreeroundLapse { grant, .. } => {
                self.deed.named.game = Some(self.freerounds[&grant].game);
                self.end_freeround(grant, End::Expired);
            }
            _ => unreachable!("a promotion"),
        }
        ResultCode::Done
    }

    fn end_freeround(&mut self, id: RequestId, end: End) {
        self.freerounds.remove(&id);
        self.leave(About::ending(Space::Freeround, id.0, end, None), self.next_lsn());
    }
}
