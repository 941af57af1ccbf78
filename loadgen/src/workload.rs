//! The requests of a worker, one after the other.
//!
//! In: a seed, the players, what was executed. Out: operations under new ids. The seed decides who and how much; ids
//! and keys are random, so that a run can be repeated on the same ledger. Never here: sockets, clocks.

use std::collections::VecDeque;
use std::sync::Arc;

use cage_client::permanent_key;
use cage_engine::{
    Amount, AssetId, Expiry, GameId, Operation, PlayerId, RequestId, Role, SessionId, Timestamp,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::options::Workload;
use crate::slots::Sent;

/// Bets of one worker that wait for their end. More than these are ended before another one is opened.
const BETS_OPEN_MAX: usize = 1024;
/// The chain that deposits come over.
const CHAIN: u32 = 1;
/// The game that is bet on.
const GAME: GameId = GameId::new(1, 1);
/// Deposits among all requests of the casino, in a hundred.
const DEPOSITS_PERCENT: u32 = 3;
/// Of this many bets one is cancelled.
const CANCEL_ONE_IN: u32 = 20;
/// The greatest stake.
const STAKE_MAX: u32 = 100;
/// What a deposit brings: what some dozens of bets lose.
const DEPOSIT: Amount = Amount(1_000);

/// One request, and which of the worker's connections it goes over.
#[derive(Debug)]
pub(crate) struct Next {
    /// The place in [`roles`].
    pub(crate) channel: usize,
    pub(crate) id: RequestId,
    pub(crate) operation: Operation,
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    /// The stake, if it is a bet that has to be ended.
    pub(crate) stake: u32,
}

/// As whom a worker connects.
pub(crate) const fn roles(workload: Workload) -> &'static [Role] {
    match workload {
        Workload::Transfers => &[Role::Frontend],
        Workload::Casino => &[Role::Games, Role::Cashier],
    }
}

/// What is known after the setup: whom the load is about. One stage serves several runs on the same ledger.
#[derive(Clone, Debug)]
pub struct Stage {
    pub(crate) assets: Arc<[AssetId]>,
    /// In a random order, so that the favourites of Zipf's law do not lie side by side in the ledger.
    pub(crate) players: Arc<[PlayerId]>,
}

#[derive(Debug)]
pub(crate) struct Generator {
    workload: Workload,
    stage: Stage,
    random: SmallRng,
    ids: SmallRng,
    now: Timestamp,
    bets: VecDeque<Bet>,
    /// The logarithm of the number of players and one more.
    players_log: f64,
}

/// An open bet.
#[derive(Clone, Copy, Debug)]
struct Bet {
    id: RequestId,
    player: PlayerId,
    asset: AssetId,
    stake: u32,
}

impl Generator {
    pub(crate) fn new(workload: Workload, stage: Stage, seed: u64) -> Self {
        Self {
            workload,
            players_log: (stage.players.len() as f64 + 1.0).ln(),
            stage,
            random: SmallRng::seed_from_u64(seed),
            ids: rand::make_rng(),
            now: Timestamp::default(),
            bets: VecDeque::new(),
        }
    }

    /// The time of the ids to come.
    pub(crate) const fn set_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    pub(crate) fn next(&mut self) -> Next {
        match self.workload {
            Workload::Transfers => self.transfer(),
            Workload::Casino => self.casino(),
        }
    }

    /// What was sent is executed: if it is a bet, it is to be ended some time.
    pub(crate) fn executed(&mut self, sent: &Sent) {
        if sent.stake > 0 {
            self.bets.push_back(Bet {
                id: sent.id,
                player: sent.player,
                asset: sent.asset,
                stake: sent.stake,
            });
        }
    }

    fn id(&mut self) -> RequestId {
        RequestId::from_time(self.now, self.ids.random())
    }

    fn asset(&mut self) -> AssetId {
        match *self.stage.assets {
            [asset] => asset,
            ref assets => assets[self.random.random_range(0..assets.len())],
        }
    }

    fn transfer(&mut self) -> Next {
        let count = self.stage.players.len() as u32;
        let from = self.random.random_range(0..count);
        // Any of the others.
        let to = (from + self.random.random_range(1..count)) % count;
        let [from, to] = [from, to].map(|index| self.stage.players[index as usize]);
        let (asset, amount, session) = (self.asset(), Amount(1), SessionId::default());
        let operation = Operation::Transfer { from, to, asset, amount, session };
        Next { channel: 0, id: self.id(), operation, player: from, asset, stake: 0 }
    }

    fn casino(&mut self) -> Next {
        if self.random.random_range(0..100) < DEPOSITS_PERCENT {
            return self.deposit();
        }
        let end = self.bets.len() >= BETS_OPEN_MAX || (self.random.random() && !self.bets.is_empty());
        match if end { self.bets.pop_front() } else { None } {
            Some(bet) => self.end(bet),
            None => self.reserve(),
        }
    }

    fn deposit(&mut self) -> Next {
        let (player, asset) = (self.zipf(), self.asset());
        let fact: [u8; 32] = self.ids.random();
        let operation = Operation::DepositCredit {
            player,
            asset,
            amount: DEPOSIT,
            chain: CHAIN,
            locked: None,
            turnover: Amount::ZERO,
        };
        Next {
            channel: 1,
            id: permanent_key(&[b"loadgen deposit", &fact]),
            operation,
            player,
            asset,
            stake: 0,
        }
    }

    fn reserve(&mut self) -> Next {
        let (id, player, stake) = (self.id(), self.zipf(), self.random.random_range(1..=STAKE_MAX));
        let asset = self.asset();
        let operation = Operation::Reserve {
            player,
            asset,
            stake: Amount(stake.into()),
            payout_max: Amount(u128::from(stake) * 2),
            game: GAME,
            session: SessionId::default(),
            round: None,
            expiry: Expiry::Never,
        };
        Next { channel: 0, id, operation, player, asset, stake }
    }

    fn end(&mut self, bet: Bet) -> Next {
        let Bet { id: hold, player, asset, stake } = bet;
        let operation = if self.random.random_range(0..CANCEL_ONE_IN) == 0 {
            Operation::Cancel { player, asset, hold }
        } else {
            let payout = if self.random.random() { self.random.random_range(1..=2 * stake) } else { 0 };
            let [stake, payout] = [stake, payout].map(|amount| Amount(amount.into()));
            Operation::Settle { player, asset, hold, stake, payout }
        };
        Next { channel: 0, id: self.id(), operation, player, asset, stake: 0 }
    }

    /// A player, the one of rank k about in proportion to 1/k: the logarithm of the rank is uniform.
    fn zipf(&mut self) -> PlayerId {
        let rank = (self.random.random::<f64>() * self.players_log).exp() as usize;
        self.stage.players[rank.clamp(1, self.stage.players.len()) - 1]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Instant;

    use cage_engine::OperationKind;

    use super::*;

    fn stage(players: u32) -> Stage {
        Stage { assets: [AssetId(1)].into(), players: (0..players).map(PlayerId::from_index).collect() }
    }

    #[test]
    fn transfers_go_between_two_and_reach_everybody() {
        let mut generator = Generator::new(Workload::Transfers, stage(10), 7);
        let mut met = HashMap::<PlayerId, u32>::new();
        for _ in 0..1_000 {
            let Operation::Transfer { from, to, .. } = generator.next().operation else {
                panic!("a transfer")
            };
            assert_ne!(from, to);
            *met.entry(to).or_default() += 1;
        }
        assert_eq!(met.len(), 10);
    }

    #[test]
    fn the_casino_ends_its_bets_and_has_favourites() {
        let mut generator = Generator::new(Workload::Casino, stage(1_000), 7);
        let mut kinds = HashMap::<OperationKind, u32>::new();
        let mut reserves = HashMap::<PlayerId, u32>::new();
        for _ in 0..100_000 {
            let Next { id, operation, player, asset, stake, .. } = generator.next();
            assert_eq!(operation.request(id).check(), Ok(()));
            *kinds.entry(operation.kind()).or_default() += 1;
            if stake > 0 {
                *reserves.entry(player).or_default() += 1;
                generator.executed(&Sent { at: Instant::now(), id, player, asset, stake });
            }
        }
        let share = |kind| f64::from(kinds[&kind]) / 100_000.0;
        assert!((share(OperationKind::DepositCredit) - 0.03).abs() < 0.005);
        assert!((share(OperationKind::Reserve) - 0.485).abs() < 0.02);
        assert!((share(OperationKind::Settle) - 0.46).abs() < 0.02);
        assert!(share(OperationKind::Cancel) > 0.01);
        let favourite = f64::from(reserves[&PlayerId::from_index(0)]);
        let tenth = f64::from(reserves[&PlayerId::from_index(9)]);
        assert!((5.0..12.0).contains(&(favourite / tenth)), "{favourite} {tenth}");
    }

    #[test]
    fn with_several_assets_each_is_met_and_a_bet_ends_in_its_own() {
        let assets: Arc<[AssetId]> = (1..=5).map(AssetId).collect();
        let mut generator = Generator::new(Workload::Casino, Stage { assets, ..stage(100) }, 7);
        let mut staked = HashMap::<RequestId, AssetId>::new();
        for _ in 0..10_000 {
            let Next { id, operation, player, asset, stake, .. } = generator.next();
            match operation {
                Operation::Settle { hold, asset, .. } | Operation::Cancel { hold, asset, .. } => {
                    assert_eq!(staked[&hold], asset);
                }
                _ => {}
            }
            if stake > 0 {
                staked.insert(id, asset);
                generator.executed(&Sent { at: Instant::now(), id, player, asset, stake });
            }
        }
        assert_eq!(staked.values().collect::<std::collections::HashSet<_>>().len(), 5);
    }

    #[test]
    fn a_seed_repeats_the_choices_and_not_the_ids() {
        let run = || Generator::new(Workload::Transfers, stage(100), 42).next();
        let (first, second) = (run(), run());
        assert_eq!(first.operation, second.operation);
        assert_ne!(first.id, second.id);
    }
}
