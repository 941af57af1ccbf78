//! The oracle: books kept beside the ledger, from what was asked and nothing else.
//!
//! It knows five operations and shares no code with the engine. Given requests in the order of the log it says what
//! the answer to each must be, and what everybody must own in the end.

use std::collections::{BTreeMap, HashMap};

use cage_engine::{Amount, Operation, PlayerId, RequestId, ResultCode};

/// What the answer to a request must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) code: ResultCode,
    pub(crate) available: Option<i128>,
    pub(crate) reserved: Option<i128>,
}

/// What a player owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Purses {
    pub(crate) available: i128,
    pub(crate) reserved: i128,
}

#[derive(Clone, Copy, Debug)]
enum Bet {
    Open { player: PlayerId, remaining: i128, payout_left: i128 },
    Settled,
    Cancelled,
}

/// Books of one asset, all of whose players are known.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    bound: i128,
    purses: BTreeMap<PlayerId, Purses>,
    bets: HashMap<RequestId, Bet>,
}

fn signed(amount: Amount) -> i128 {
    i128::try_from(amount.0).expect("a small amount")
}

const fn refused(code: ResultCode) -> Expected {
    Expected { code, available: None, reserved: None }
}

impl Books {
    /// Of players who own nothing yet.
    pub(crate) fn new(bound: Amount, players: &[PlayerId]) -> Self {
        let purses = players.iter().map(|player| (*player, Purses::default())).collect();
        Self { bound: signed(bound), purses, bets: HashMap::new() }
    }

    /// What each player owns.
    pub(crate) const fn purses(&self) -> &BTreeMap<PlayerId, Purses> {
        &self.purses
    }

    fn of(&mut self, player: PlayerId) -> &mut Purses {
        self.purses.get_mut(&player).expect("a known player")
    }

    fn both(&mut self, player: PlayerId) -> Expected {
        let Purses { available, reserved } = *self.of(player);
        Expected { code: ResultCode::Done, available: Some(available), reserved: Some(reserved) }
    }

    /// Writes down one request; says what its answer must be.
    pub(crate) fn write(&mut self, id: RequestId, operation: &Operation) -> Expected {
        match *operation {
            Operation::DepositCredit { player, amount, .. } => {
                if signed(amount) > self.bound {
                    return refused(ResultCode::AmountOverBound);
                }
                self.of(player).available += signed(amount);
                Expected { reserved: None, ..self.both(player) }
            }
            Operation::Transfer { from, to, amount, .. } => self.transfer(from, to, signed(amount)),
            Operation::Reserve { player, stake, payout_max, .. } => {
                self.reserve(id, player, signed(stake), signed(payout_max))
            }
            Operation::Settle { player, hold, stake, payout, .. } => {
                self.settle(player, hold, signed(stake), signed(payout))
            }
            Operation::Cancel { player, hold, .. } => self.cancel(player, hold),
            _ => panic!("these books know nothing of {operation:?}"),
        }
    }

    fn transfer(&mut self, from: PlayerId, to: PlayerId, amount: i128) -> Expected {
        if from == to {
            return refused(ResultCode::SamePlayer);
        }
        if amount > self.bound {
            return refused(ResultCode::AmountOverBound);
        }
        if self.of(from).available < amount {
            return refused(ResultCode::InsufficientFunds);
        }
        self.of(from).available -= amount;
        self.of(to).available += amount;
        Expected { reserved: None, ..self.both(from) }
    }

    fn reserve(&mut self, id: RequestId, player: PlayerId, stake: i128, payout_max: i128) -> Expected {
        if self.bets.contains_key(&id) {
            return refused(ResultCode::CancelledBefore);
        }
        if stake > self.bound {
            return refused(ResultCode::AmountOverBound);
        }
        let purses = self.of(player);
        if purses.available < stake {
            return refused(ResultCode::InsufficientFunds);
        }
        purses.available -= stake;
        purses.reserved += stake;
        self.bets.insert(id, Bet::Open { player, remaining: stake, payout_left: payout_max });
        self.both(player)
    }

    fn settle(&mut self, player: PlayerId, hold: RequestId, stake: i128, payout: i128) -> Expected {
        match self.bets.get_mut(&hold) {
            None => refused(ResultCode::HoldUnknown),
            Some(Bet::Settled) => refused(ResultCode::HoldSettled),
            Some(Bet::Cancelled) => refused(ResultCode::HoldCancelled),
            Some(Bet::Open { player: owner, .. }) if *owner != player => refused(ResultCode::HoldDiffers),
            Some(Bet::Open { remaining, .. }) if stake > *remaining => {
                refused(ResultCode::StakeOverRemaining)
            }
            Some(Bet::Open { payout_left, .. }) if payout > *payout_left => {
                refused(ResultCode::PayoutOverGreatest)
            }
            Some(bet) => {
                if let Bet::Open { remaining, payout_left, .. } = bet {
                    *remaining -= stake;
                    *payout_left -= payout;
                    if *remaining == 0 {
                        *bet = Bet::Settled;
                    }
                }
                let purses = self.of(player);
                purses.reserved -= stake;
                purses.available += payout;
                self.both(player)
            }
        }
    }

    fn cancel(&mut self, player: PlayerId, hold: RequestId) -> Expected {
        match self.bets.get(&hold).copied() {
            None => {
                self.bets.insert(hold, Bet::Cancelled);
                refused(ResultCode::Tombstoned)
            }
            Some(Bet::Settled) => refused(ResultCode::HoldSettled),
            Some(Bet::Cancelled) => refused(ResultCode::HoldCancelled),
            Some(Bet::Open { player: owner, .. }) if owner != player => refused(ResultCode::HoldDiffers),
            Some(Bet::Open { remaining, .. }) => {
                self.bets.insert(hold, Bet::Cancelled);
                let purses = self.of(player);
                purses.reserved -= remaining;
                purses.available += remaining;
                self.both(player)
            }
        }
    }
}
