//! Rounds of a provider as the ledger's records have them.
//!
//! In: the provider's records, in the order of the log. Out: rounds. A bet that was sent out is a round by itself, under its
//! id; what a provider reports belongs to the round that it names. Never here: a record that was refused.

use std::collections::HashMap;

use cage_engine::{AssetId, Lsn, Operation, Record, Reference, RequestId, ResultCode};

use super::{Round, Rounds, State};

/// A round as it grows.
#[derive(Debug, Default)]
struct Growing {
    asset: AssetId,
    staked: u128,
    given_back: u128,
    /// Of what was staked in holds, what is not decided.
    reserved: u128,
    paid: u128,
    at_ms: u64,
}

/// A bet or a win.
#[derive(Clone, Copy, Debug)]
struct Moved {
    round: u128,
    /// How much is not undone.
    left: u128,
    is_win: bool,
}

/// What the records told so far say.
#[derive(Debug, Default)]
pub struct Books {
    rounds: HashMap<u128, Growing>,
    moved: HashMap<u128, Moved>,
}

impl Books {
    /// Takes the next record.
    pub fn take(&mut self, _: Lsn, record: &Record) {
        if !matches!(record.result, ResultCode::Done | ResultCode::LimitNear | ResultCode::Shortfall) {
            return;
        }
        let asked = record.asked();
        let (id, at_ms) = (asked.id, record.decided.millis());
        let Ok(operation) = Operation::try_from(&asked) else { return };
        match operation {
            Operation::Reserve { asset, stake, .. } => {
                let round = self.round(id.0, asset, at_ms);
                round.staked += stake.0;
                round.reserved += stake.0;
            }
            Operation::Settle { hold, stake, payout, .. } => {
                if let Some(round) = self.rounds.get_mut(&hold.0) {
                    round.reserved = round.reserved.saturating_sub(stake.0);
                    round.paid += payout.0;
                }
            }
            Operation::Cancel { hold, .. } | Operation::Expire { hold, .. } => self.release(hold),
            Operation::Bet { asset, stake, bet, round, .. } => self.bet(asset, stake.0, bet, round, at_ms),
            Operation::BetWin { asset, stake, payout, bet, round, .. } => {
                self.bet(asset, stake.0, bet, round, at_ms);
                self.win(Reference(0), payout.0, bet);
            }
            Operation::Win { amount, bet, .. } => self.win(Reference(id.0), amount.0, bet),
            Operation::Rollback { target, amount, .. } => self.undo(target, amount.0),
            Operation::VoidRound { round, .. } => self.void(round),
            _ => {}
        }
    }

    fn round(&mut self, key: u128, asset: AssetId, at_ms: u64) -> &mut Growing {
        self.rounds.entry(key).or_insert_with(|| Growing { asset, at_ms, ..Growing::default() })
    }

    fn release(&mut self, hold: RequestId) {
        if let Some(round) = self.rounds.get_mut(&hold.0) {
            round.given_back += std::mem::take(&mut round.reserved);
        }
    }

    fn bet(&mut self, asset: AssetId, stake: u128, bet: Reference, round: Reference, at_ms: u64) {
        // A bet that names no round is one by itself.
        let key = if round.0 == 0 { bet.0 } else { round.0 };
        // A repeat that was answered is no record; two bets of one name are one bet.
        if self.moved.contains_key(&bet.0) {
            return;
        }
        self.moved.insert(bet.0, Moved { round: key, left: stake, is_win: false });
        self.round(key, asset, at_ms).staked += stake;
    }

    fn win(&mut self, transaction: Reference, amount: u128, bet: Reference) {
        let Some(Moved { round, .. }) = self.moved.get(&bet.0).copied() else { return };
        if transaction.0 != 0 {
            self.moved.insert(transaction.0, Moved { round, left: amount, is_win: true });
        }
        if let Some(round) = self.rounds.get_mut(&round) {
            round.paid += amount;
        }
    }

    /// Undoes a bet or a win: all of it, or a part.
    fn undo(&mut self, target: Reference, part: u128) {
        let Some(moved) = self.moved.get_mut(&target.0) else { return };
        let taken = if part == 0 { moved.left } else { part.min(moved.left) };
        moved.left -= taken;
        let is_win = moved.is_win;
        if let Some(round) = self.rounds.get_mut(&moved.round) {
            if is_win {
                round.paid = round.paid.saturating_sub(taken);
            } else {
                round.given_back += taken;
            }
        }
    }

    fn void(&mut self, key: Reference) {
        if let Some(round) = self.rounds.get_mut(&key.0) {
            (round.given_back, round.reserved, round.paid) = (round.staked, 0, 0);
        }
        self.moved.values_mut().filter(|moved| moved.round == key.0).for_each(|moved| moved.left = 0);
    }

    /// The rounds, their assets by the names that `name` gives them.
    #[must_use]
    pub fn rounds(&self, name: impl Fn(AssetId) -> String) -> Rounds {
        let each = self.rounds.iter().map(|(key, round)| {
            let state = if round.reserved > 0 {
                State::Open
            } else if round.staked > 0 && round.given_back >= round.staked {
                State::Cancelled
            } else {
                State::Settled
            };
            let stake =
                if state == State::Cancelled { round.staked } else { round.staked - round.given_back };
            let (currency, payout, at_ms) = (name(round.asset), round.paid, round.at_ms);
            (*key, Round { name: format!("{key:032x}"), currency, stake, payout, state, at_ms })
        });
        each.collect()
    }
}
