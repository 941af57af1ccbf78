//! Holds, bets, wins, rounds, and what undoes them.

use alloc::vec::Vec;

use super::{Applied, ApplyFault};
use crate::amount::Amount;
use crate::code::ResultCode;
use crate::field::{PastTransaction, Rule};
use crate::id::{AssetId, GameId, Lsn, Reference, RequestId};
use crate::record::Record;
use crate::request::{ROUND_AT, Request};
use crate::state::{
    Ended, Ending, Exposure, Hold, Playing, Round, RoundTally, Space, State, Traces, VoidOrder, Wager,
    exposure_key, playing_key,
};
use crate::table::Effect;
use crate::time::Timestamp;
use crate::wide::mul_div;

impl State {
    pub(super) fn apply_reserve(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let Request { id, player, asset, amount, .. } = record.request;
        let round = Reference(record.request.reference);
        let counted = self.count_stake(player, asset, amount, record.decided);
        self.open_hold(lsn, record, id, round, counted);
        if round.0 != 0 {
            self.enter_round(lsn, record, round);
            self.update(round.0, |row: &mut Round| {
                row.open_holds += 1;
                row.stake.0 = row.stake.0.saturating_add(amount.0);
            });
        }
        Ok(())
    }

    pub(super) fn apply_imported_hold(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let hold = record.request.target();
        self.open_hold(lsn, record, hold, Reference(0), 0);
        // The hold's id is that of a request which this ledger never answered: nothing is the same as it.
        self.remember_answer(hold, Space::Request, 0, lsn, record.decided);
        Ok(())
    }

    fn open_hold(&mut self, lsn: Lsn, record: &Record, id: RequestId, round: Reference, counted: u64) {
        let request = &record.request;
        let Request { player, asset, game, session, .. } = *request;
        self.insert(Hold {
            id,
            opened: lsn,
            counted_on: self.counting_day(player, record.decided),
            player,
            asset,
            game,
            session,
            metered: self.is_metered(request),
            settled_in_part: false,
            round,
            deadline: request.deadline(),
            remaining: request.amount,
            bonus: Amount::ZERO,
            payout_left: request.payout(),
            counted,
        });
        self.expose(game, asset, request.payout());
        if round.0 == 0 {
            self.begin_playing(Playing { player, game, round, hold: id });
        }
    }

    /// Notes what the player has going, if the game allows one round at a time.
    fn begin_playing(&mut self, going: Playing) {
        if self.rule(Rule::OneRound, u64::from(going.game.0)) != Some(1) {
            return;
        }
        let key = playing_key(going.player, going.game);
        if self.update(key, |row: &mut Playing| *row = going).is_none() {
            self.insert(going);
        }
    }

    fn end_playing(&mut self, over: Playing) {
        let key = playing_key(over.player, over.game);
        if self.rows.playing.len() > 0 && self.row::<Playing>(key) == Some(&over) {
            self.remove::<Playing>(key);
        }
    }

    /// Whether the stake came from the credit meter of the request's session.
    fn is_metered(&self, request: &Request) -> bool {
        request.session.0 != 0
            && self.session(request.session).is_some_and(|session| session.asset == request.asset)
    }

    fn expose(&mut self, game: GameId, asset: AssetId, more: Amount) {
        if more.is_zero() {
            return;
        }
        let key = exposure_key(game, asset);
        let added =
            self.update(key, |row: &mut Exposure| row.open.0 = row.open.0.saturating_add(more.0)).is_some();
        if !added {
            self.insert(Exposure { game, asset, open: more });
        }
    }

    fn cover(&mut self, game: GameId, asset: AssetId, less: Amount) {
        if !less.is_zero() {
            self.update(exposure_key(game, asset), |row: &mut Exposure| {
                row.open.0 = row.open.0.saturating_sub(less.0);
            });
        }
    }

    pub(super) fn apply_settle(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let missing = ApplyFault::Missing("a hold");
        let (stake, payout) = (record.request.amount, record.request.payout());
        let target = record.request.target();
        let mut hold: Hold = *self.hold(target).ok_or(missing)?;
        let counted = part(hold.counted.into(), stake, hold.remaining) as u64;
        let less = |from: Amount, amount: Amount| from.0.checked_sub(amount.0).map(Amount);
        hold.remaining = less(hold.remaining, stake).ok_or(ApplyFault::Missing("a hold's stake"))?;
        hold.payout_left = less(hold.payout_left, payout).ok_or(ApplyFault::Missing("a hold's payout"))?;
        hold.settled_in_part = true;
        hold.counted -= counted;
        let closed = hold.remaining.is_zero();
        let paid = self.count_payout((hold.player, hold.asset), payout, hold.counted_on, record.decided);
        self.tally(hold.round, (counted, 0), hold.counted_on);
        self.tally(hold.round, (0, paid), self.counting_day(hold.player, record.decided));
        let turned = self.turn_over(hold.player, hold.asset, stake);
        self.tally_turned(hold.round, turned, hold.counted_on);
        let covered = if closed { Amount(payout.0.saturating_add(hold.payout_left.0)) } else { payout };
        self.cover(hold.game, hold.asset, covered);
        if hold.round.0 != 0 {
            self.update(hold.round.0, |row: &mut Round| {
                row.won.0 = row.won.0.saturating_add(payout.0);
                row.open_holds -= u32::from(closed);
            });
        }
        if closed {
            self.remove::<Hold>(target.0).ok_or(missing)?;
            self.end_playing(without_round(&hold));
            self.end(target, Space::Hold, Ending::Settled, lsn, record.decided);
        } else {
            self.update(target.0, |row: &mut Hold| *row = hold).ok_or(missing)?;
        }
        Ok(())
    }

    /// What is left was given back; or a tombstone is left.
    pub(super) fn apply_cancel(&mut self, lsn: Lsn, record: &Record, how: Ending) -> Applied {
        let target = record.request.target();
        if record.result == ResultCode::Tombstoned {
            self.end(target, Space::Hold, Ending::Tombstone, lsn, record.decided);
            return Ok(());
        }
        let hold = self.remove::<Hold>(target.0).ok_or(ApplyFault::Missing("a hold"))?;
        self.cover(hold.game, hold.asset, hold.payout_left);
        self.end_playing(without_round(&hold));
        self.restore(hold.player, (hold.counted, 0), hold.counted_on, record.decided);
        if hold.round.0 != 0 {
            self.update(hold.round.0, |row: &mut Round| {
                row.stake.0 = row.stake.0.saturating_sub(hold.remaining.0);
                row.open_holds -= 1;
            });
        }
        self.end(target, Space::Hold, how, lsn, record.decided);
        Ok(())
    }

    pub(super) fn apply_bet(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let Request { player, asset, amount, .. } = record.request;
        let counted = self.count_stake(player, asset, amount, record.decided);
        let turned = self.turn_over(player, asset, amount);
        self.open_bet(lsn, record, counted, turned)?;
        if record.request.ends_round {
            self.close_round(lsn, self.named_round(&record.request), Ending::Settled, record.decided)?;
        }
        Ok(())
    }

    pub(super) fn apply_imported_bet(&mut self, lsn: Lsn, record: &Record) -> Applied {
        self.open_bet(lsn, record, 0, Amount::ZERO)
    }

    fn named_round(&self, request: &Request) -> Reference {
        Reference(request.detail.u128_at(ROUND_AT))
    }

    fn open_bet(&mut self, lsn: Lsn, record: &Record, counted: u64, turned: Amount) -> Applied {
        let request = &record.request;
        let Request { player, asset, game, session, amount: stake, .. } = *request;
        let round = self.named_round(request);
        let won = matches!(request.kind.spec().effect, Effect::BetWon);
        let paid = if won { request.payout() } else { Amount::ZERO };
        let payout_left = if won { Amount::ZERO } else { request.payout() };
        let counted_on = self.counting_day(player, record.decided);
        let counted_paid = self.count_payout((player, asset), paid, counted_on, record.decided);
        self.enter_round(lsn, record, round);
        self.append_to_round(Wager {
            key: Reference(request.reference),
            is_win: false,
            undone: false,
            opened: lsn,
            counted_on,
            player,
            asset,
            game,
            session,
            metered: self.is_metered(request),
            round,
            bet: Reference(0),
            next: Reference(0),
            previous: Reference(0),
            stake,
            bonus: Amount::ZERO,
            payout_left,
            paid,
            wins: 0,
            counted,
            counted_paid,
            turned,
            digest: record.asked().content_digest(),
        })?;
        self.expose(game, asset, payout_left);
        self.update(round.0, |row: &mut Round| {
            row.stake.0 = row.stake.0.saturating_add(stake.0);
            row.won.0 = row.won.0.saturating_add(paid.0);
        });
        Ok(())
    }

    /// Opens the round, unless it is open.
    fn enter_round(&mut self, lsn: Lsn, record: &Record, key: Reference) {
        let Request { player, asset, game, .. } = record.request;
        self.begin_playing(Playing { player, game, round: key, hold: RequestId::NONE });
        if self.round(key).is_some() {
            return;
        }
        self.insert(Round {
            key,
            player,
            asset,
            game,
            opened: lsn,
            closes: record.decided.plus_millis(self.round_age_millis()),
            open_holds: 0,
            first: Reference(0),
            last: Reference(0),
            stake: Amount::ZERO,
            won: Amount::ZERO,
        });
    }

    fn append_to_round(&mut self, mut wager: Wager) -> Applied {
        let key = wager.key;
        let missing = ApplyFault::Missing("a round");
        let last = self.round(wager.round).ok_or(missing)?.last;
        wager.previous = last;
        if self.wager(key).is_some() {
            return Err(ApplyFault::Missing("a bet's key"));
        }
        let round = wager.round;
        self.insert(wager);
        if last.0 != 0 {
            self.update(last.0, |row: &mut Wager| row.next = key).ok_or(missing)?;
        }
        self.update(round.0, |row: &mut Round| {
            row.last = key;
            if row.first.0 == 0 {
                row.first = key;
            }
        });
        Ok(())
    }

    /// Takes a bet or win out of its round.
    fn take_from_round(&mut self, key: Reference) -> Result<Wager, ApplyFault> {
        let wager = self.remove::<Wager>(key.0).ok_or(ApplyFault::Missing("a bet"))?;
        if wager.previous.0 != 0 {
            self.update(wager.previous.0, |row: &mut Wager| row.next = wager.next);
        }
        if wager.next.0 != 0 {
            self.update(wager.next.0, |row: &mut Wager| row.previous = wager.previous);
        }
        self.update(wager.round.0, |row: &mut Round| {
            if row.first == key {
                row.first = wager.next;
            }
            if row.last == key {
                row.last = wager.previous;
            }
        });
        Ok(wager)
    }

    /// A win; says whether it is remembered with its round, and so needs no fact of its own.
    pub(super) fn apply_win(&mut self, lsn: Lsn, record: &Record) -> Result<bool, ApplyFault> {
        let Request { id, player, asset, amount, .. } = record.request;
        let target = Reference(record.request.reference);
        let Some(bet) = self.wager(target).copied() else {
            self.win_late(lsn, record);
            return Ok(false);
        };
        let counted = self.count_payout((player, asset), amount, bet.counted_on, record.decided);
        let left = Amount(bet.payout_left.0.saturating_sub(amount.0));
        self.cover(bet.game, bet.asset, Amount(bet.payout_left.0 - left.0));
        self.update(target.0, |row: &mut Wager| {
            row.payout_left = left;
            row.wins += 1;
        });
        self.append_to_round(Wager {
            key: Reference(id.0),
            is_win: true,
            opened: lsn,
            counted_on: self.counting_day(player, record.decided),
            bet: target,
            next: Reference(0),
            previous: Reference(0),
            stake: amount,
            payout_left: Amount::ZERO,
            paid: Amount::ZERO,
            wins: 0,
            counted,
            counted_paid: 0,
            turned: Amount::ZERO,
            digest: record.asked().digest(),
            ..bet
        })?;
        self.update(bet.round.0, |row: &mut Round| row.won.0 = row.won.0.saturating_add(amount.0));
        if record.request.ends_round {
            self.close_round(lsn, bet.round, Ending::Settled, record.decided)?;
        }
        Ok(true)
    }

    pub(super) fn apply_rollback(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let target = Reference(record.request.reference);
        match record.result {
            ResultCode::AlreadyCancelled => Ok(()),
            ResultCode::Tombstoned => {
                self.end(record.request.target(), Space::Wager, Ending::Tombstone, lsn, record.decided);
                Ok(())
            }
            _ => match (self.wager(target).copied(), self.closed_wager(target).copied()) {
                (Some(wager), _) if wager.is_win => self.undo_win(wager, record.decided),
                (Some(wager), _) => self.undo_bet(lsn, wager, record),
                (None, Some(closed)) if closed.is_win => self.undo_closed_win(lsn, closed, record.decided),
                (None, Some(closed)) => self.undo_closed_bet(lsn, closed, record),
                (None, None) => Err(ApplyFault::Missing("a bet")),
            },
        }
    }

    fn undo_win(&mut self, win: Wager, now: Timestamp) -> Applied {
        let undone = self.update(win.key.0, |row: &mut Wager| row.undone = true);
        undone.ok_or(ApplyFault::Missing("a win"))?;
        self.restore(win.player, (0, win.counted), win.counted_on, now);
        self.update(win.bet.0, |row: &mut Wager| row.wins = row.wins.saturating_sub(1));
        self.update(win.round.0, |row: &mut Round| row.won.0 = row.won.0.saturating_sub(win.stake.0));
        Ok(())
    }

    fn undo_bet(&mut self, lsn: Lsn, bet: Wager, record: &Record) -> Applied {
        let (left, amount) = self.give_back(bet, record);
        self.update(bet.round.0, |row: &mut Round| {
            row.stake.0 = row.stake.0.saturating_sub(amount.0);
            row.won.0 = row.won.0.saturating_sub(bet.paid.0);
        });
        if left.stake.is_zero() {
            self.take_from_round(bet.key)?;
            self.cover(bet.game, bet.asset, bet.payout_left);
            self.end_wager(&bet, Ending::Cancelled, lsn, record.decided);
        } else {
            self.update(bet.key.0, |row: &mut Wager| *row = left);
        }
        Ok(())
    }

    /// Takes back what the part of a bet that is given back counted, for limits and for what has to be wagered; gives
    /// what is left of the bet, and that part.
    pub(super) fn give_back(&mut self, bet: Wager, record: &Record) -> (Wager, Amount) {
        let asked = record.request.amount;
        let amount = if asked.is_zero() { bet.stake } else { asked };
        let counted = part(bet.counted.into(), amount, bet.stake) as u64;
        let turned = Amount(part(bet.turned.0, amount, bet.stake));
        self.add_turnover(bet.player, bet.asset, turned);
        // A bet that won at once is only undone whole, and its payout with it.
        self.restore(bet.player, (counted, bet.counted_paid), bet.counted_on, record.decided);
        let (stake, turned) = (Amount(bet.stake.0 - amount.0), Amount(bet.turned.0 - turned.0));
        (Wager { stake, turned, counted: bet.counted - counted, ..bet }, amount)
    }

    /// Remembers how a bet or win ended.
    pub(super) fn end_wager(&mut self, wager: &Wager, how: Ending, lsn: Lsn, now: Timestamp) {
        let traces = Traces::of(wager.digest, wager.player, wager.asset, wager.game);
        // A repeat is answered by the wager's own record.
        let lsn = if matches!(how, Ending::Tombstone) { lsn } else { wager.opened };
        self.remember_ending(RequestId(wager.key.0), Space::Wager, Ended { how, traces, lsn }, now);
    }

    pub(super) fn apply_round_end(&mut self, lsn: Lsn, record: &Record) -> Applied {
        if record.result == ResultCode::AlreadyClosed {
            return Ok(());
        }
        self.close_round(lsn, Reference(record.request.reference), Ending::Settled, record.decided)
    }

    /// Closes a round. Its end is remembered before its bets, and they before their wins, so that they are forgotten
    /// in that order: as long as a bet is known, so are the wins that it was paid.
    fn close_round(&mut self, lsn: Lsn, key: Reference, how: Ending, now: Timestamp) -> Applied {
        let round = self.remove::<Round>(key.0).ok_or(ApplyFault::Missing("a round"))?;
        let Round { player, game, .. } = round;
        self.end_playing(Playing { player, game, round: key, hold: RequestId::NONE });
        if self.rows.tallies.len() > 0 {
            self.remove::<RoundTally>(key.0);
        }
        let ended = Ended { how, traces: Traces::default(), lsn };
        self.remember_ending(RequestId(key.0), Space::Round, ended, now);
        for wager in self.take_all(round.first)? {
            if wager.is_win && wager.undone {
                self.end_wager(&wager, Ending::Cancelled, lsn, now);
                continue;
            }
            if wager.is_win {
                let id = RequestId(wager.key.0);
                self.remember_answer(id, Space::Reference, wager.digest, wager.opened, now);
            } else {
                self.cover(wager.game, wager.asset, wager.payout_left);
                self.end_wager(&wager, how, lsn, now);
            }
            // What was voided cannot be undone again.
            if matches!(how, Ending::Settled) {
                self.keep(Wager { payout_left: Amount::ZERO, ..wager });
            }
        }
        Ok(())
    }

    fn take_all(&mut self, first: Reference) -> Result<Vec<Wager>, ApplyFault> {
        let mut taken = Vec::new();
        let mut next = first;
        while next.0 != 0 {
            let wager = self.remove::<Wager>(next.0).ok_or(ApplyFault::Missing("a bet"))?;
            next = wager.next;
            taken.push(wager);
        }
        Ok(taken)
    }

    pub(super) fn apply_void(&mut self, lsn: Lsn, record: &Record) -> Applied {
        if record.result == ResultCode::AlreadyCancelled {
            return Ok(());
        }
        let key = Reference(record.request.reference);
        let round = *self.round(key).ok_or(ApplyFault::Missing("a round"))?;
        let mut next = round.first;
        while let Some(wager) = self.wager(next).copied() {
            let counted = match (wager.is_win, wager.undone) {
                (false, _) => (wager.counted, wager.counted_paid),
                (true, false) => (0, wager.counted),
                (true, true) => (0, 0),
            };
            self.restore(round.player, counted, wager.counted_on, record.decided);
            if !wager.is_win {
                self.add_turnover(round.player, round.asset, wager.turned);
            }
            next = wager.next;
        }
        if let Some(row) = self.row::<RoundTally>(key.0).copied() {
            self.take_back(round.player, &row.tally, record.decided);
            self.add_turnover(round.player, round.asset, row.turned);
        }
        self.count_for_order(record.request.detail.u128_at(0), round.stake);
        self.close_round(lsn, key, Ending::Cancelled, record.decided)
    }

    pub(super) fn count_for_order(&mut self, order: u128, given: Amount) {
        self.update(order, |row: &mut VoidOrder| {
            row.moved.0 = row.moved.0.saturating_add(given.0);
            row.done += 1;
        });
    }

    pub(super) fn apply_order(&mut self, record: &Record) -> Applied {
        let Request { id, game, asset, amount, detail, .. } = record.request;
        self.insert(VoidOrder {
            id,
            maker: record.actor,
            game,
            asset,
            from: Lsn(detail.u64_at(0)),
            to: Lsn(detail.u64_at(8)),
            amount_max: amount,
            moved: Amount::ZERO,
            count: detail.u64_at(16),
            done: 0,
        });
        Ok(())
    }

    pub(super) fn apply_reference(&mut self, lsn: Lsn, record: &Record) -> Applied {
        let Request { player, asset, game, detail, .. } = record.request;
        let was = PastTransaction::from_number(detail.0[0]).ok_or(ApplyFault::Missing("what it was"))?;
        let how = match was {
            PastTransaction::ClosedBet => Ending::Settled,
            PastTransaction::UndoneBet => Ending::Cancelled,
            // Nothing is the same as what this ledger never answered: a repeat is a conflict, and moves nothing.
            PastTransaction::CarriedOut => {
                self.remember_answer(record.request.target(), Space::Reference, 0, lsn, record.decided);
                return Ok(());
            }
        };
        let traces = Traces::of(0, player, asset, game);
        self.remember_ending(
            record.request.target(),
            Space::Wager,
            Ended { how, traces, lsn },
            record.decided,
        );
        Ok(())
    }
}

/// What a player has going with a hold that belongs to no round.
const fn without_round(hold: &Hold) -> Playing {
    Playing { player: hold.player, game: hold.game, round: Reference(0), hold: hold.id }
}

/// The share of `whole` that `some` of `all` stands for, rounded down.
fn part(whole: u128, some: Amount, all: Amount) -> u128 {
    if some == all { whole } else { mul_div(whole, some.0, all.0).unwrap_or(0) }
}
