//! What is asked of wagers: holds, bets, wins, rounds, and what undoes them.

use cage_engine::{
    Amount, AssetId, Expiry, GameId, Lsn, Operation, OperationKind, PlayerId, Reference, RequestId,
    SessionId, Timestamp,
};

use crate::caller::Someone;
use crate::model::Model;
use crate::model::books::WagerRow;
use crate::model::memory::Space;

use OperationKind as Kind;

impl Someone {
    pub(crate) fn wager(&mut self, kind: Kind, model: &Model, now: Timestamp) -> Operation {
        match kind {
            Kind::Reserve => self.reserve(model, now),
            Kind::Settle | Kind::Cancel | Kind::Expire => self.end_of_hold(kind, model),
            Kind::Bet | Kind::BetWin => self.bet(kind, model),
            Kind::Win => self.win(model),
            Kind::Rollback => self.rollback(model),
            Kind::EndRound | Kind::CloseRound | Kind::VoidRound => self.end_of_round(kind, model),
            Kind::VoidPeriod => Operation::VoidPeriod {
                asset: self.asset(),
                amount: Amount(self.dice.pick(&[0, 3, 50, self.world.amount_max])),
                text: Reference(self.dice.below(20).into()),
                game: self.game(),
                from: if self.dice.one_in(2) { Lsn(1) } else { self.position(model) },
                to: if self.dice.one_in(2) { Lsn(model.records) } else { self.position(model) },
                count: self.dice.pick(&[0, 1, 1, 2, 5]),
            },
            _ => self.late_correction(model),
        }
    }

    pub(crate) fn payout_max(&mut self) -> Amount {
        match self.dice.below(5) {
            0 => Amount(0),
            1 => self.amount(),
            2 if self.world.huge && self.dice.one_in(6) => Amount(1 << 125),
            _ => Amount(self.dice.below(30).into()),
        }
    }

    pub(crate) fn expiry(&mut self, now: Timestamp) -> Expiry {
        if self.dice.one_in(2) { Expiry::Never } else { Expiry::Release(self.soon(now)) }
    }

    /// A player's round: open, ended, or a new one.
    pub(crate) fn round_for(&mut self, model: &Model) -> (PlayerId, AssetId, GameId, Reference) {
        let open: Vec<_> = model.rounds.iter().collect();
        if let Some((key, row)) = self.dice.recent(&open, 6).filter(|_| !self.dice.one_in(3)) {
            return (row.player, row.asset, row.game, *key);
        }
        let known = self.dice.recent(&self.names.rounds, 8).filter(|_| self.dice.one_in(4));
        let key = known.unwrap_or_else(|| self.new_round(model));
        (self.player(), self.asset(), self.game(), key)
    }

    /// A round's number: mostly a new one, sometimes that of a hold, a bet or a win. Nothing keeps them apart.
    fn new_round(&mut self, model: &Model) -> Reference {
        // Or of a round that is forgotten, though its bets are not.
        let forgotten = model.closed.values().map(|row| row.round);
        let forgotten: Vec<_> =
            forgotten.filter(|round| model.ending(Space::Round, round.0).is_none()).collect();
        let shared = match self.dice.below(16) {
            2..6 => self.dice.recent(&forgotten, 12),
            0 => self.dice.recent(&self.names.wagers, 12),
            1 => self.dice.recent(&self.names.holds, 12).map(|hold| Reference(hold.0)),
            _ => None,
        };
        self.names.made += 1;
        shared.unwrap_or(Reference(0x40d << 100 | self.names.made))
    }

    /// Deposits, bets that win and bets that are rolled back, in one round.
    pub(crate) fn play(&mut self, plays: u64, model: &Model) -> Vec<Operation> {
        let (player, asset, game) = (self.player(), self.asset(), self.game());
        let (one, nothing, session) = (Amount(1), Amount(0), SessionId::NONE);
        self.names.made += 1;
        let round = Reference(0x40d << 100 | self.names.made);
        let mut play = Vec::new();
        for _ in 0..plays {
            let (locked, turnover) = (None, nothing);
            play.push(Operation::DepositCredit { player, asset, amount: one, chain: 1, locked, turnover });
            let bet = self.transaction(model);
            let (payout_max, ends_round) = (one, false);
            play.push(Operation::Bet {
                player,
                asset,
                stake: one,
                bet,
                game,
                session,
                payout_max,
                round,
                ends_round,
            });
            let (target, of_round) = (Lsn(0), Some(round));
            play.push(if self.dice.one_in(3) {
                Operation::Rollback {
                    player,
                    asset,
                    amount: nothing,
                    target: bet,
                    game,
                    target_lsn: target,
                    reverse_settled: false,
                    round: of_round,
                }
            } else {
                let round = of_round;
                Operation::Win { player, asset, amount: one, bet, game, target, round, ends_round }
            });
        }
        play.push(Operation::EndRound { player, asset, round, game, algorithm: 0, proof: [0; 30] });
        play
    }

    fn reserve(&mut self, model: &Model, now: Timestamp) -> Operation {
        let in_round = self.dice.one_in(2);
        let (player, asset, game, round) = self.round_for(model);
        Operation::Reserve {
            player,
            asset,
            stake: self.amount(),
            payout_max: self.payout_max(),
            game,
            session: self.session_for(model, player, game),
            round: in_round.then_some(round),
            expiry: self.expiry(now),
        }
    }

    fn end_of_hold(&mut self, kind: Kind, model: &Model) -> Operation {
        let open: Vec<_> = model.holds.keys().copied().collect();
        let hold = self.of_these(&open, |names| &names.holds);
        let row = model.holds.get(&hold);
        let (player, asset) =
            row.map_or_else(|| (self.player(), self.asset()), |row| (row.player, row.asset));
        let (remaining, payout_left) = row.map_or((1, 1), |row| (row.remaining, row.payout_left));
        match kind {
            Kind::Settle => {
                let stake = self.dice.pick(&[remaining, remaining, remaining, 1, 1, 0, remaining + 1]);
                let payout = self.dice.pick(&[0, 0, 0, 1, payout_left.min(3), payout_left, payout_left + 1]);
                Operation::Settle { player, asset, hold, stake: Amount(stake), payout: Amount(payout) }
            }
            Kind::Cancel => Operation::Cancel { player, asset, hold },
            _ => Operation::Expire { player, asset, hold },
        }
    }

    /// A round that waits for a hold of its own.
    fn undecided(&mut self, model: &Model) -> Option<(PlayerId, AssetId, GameId, Reference)> {
        let undecided = model.rounds.iter().filter(|(_, row)| row.open_holds > 0);
        let undecided: Vec<_> = undecided.map(|(key, row)| (row.player, row.asset, row.game, *key)).collect();
        self.dice.recent(&undecided, 6)
    }

    /// Another round of whoever has one that waits.
    pub(crate) fn beside_an_undecided(
        &mut self,
        model: &Model,
    ) -> Option<(PlayerId, AssetId, GameId, Reference)> {
        let (player, asset, game, _) = self.undecided(model)?;
        self.names.made += 1;
        Some((player, asset, game, Reference(0x40d << 100 | self.names.made)))
    }

    /// A bet from a credit meter, under the number of an open hold: both have money of their own to be given back.
    fn bet_beside_a_hold(&mut self, model: &Model) -> Option<Operation> {
        let open: Vec<_> = model.holds.keys().copied().collect();
        let bet = Reference(self.dice.recent(&open, 12)?.0);
        let metered = model.sessions.iter().filter(|(_, row)| !row.revoked && row.expires > model.clock);
        let metered = metered.filter_map(|(number, row)| Some((*number, row.player, row.asset?, row.game)));
        let (session, player, asset, of) = self.dice.recent(&metered.collect::<Vec<_>>(), 6)?;
        let game = if of == GameId(0) { self.game() } else { of };
        let round = self.new_round(model);
        let (stake, payout_max, ends_round) = (Amount(1), Amount(5), false);
        Some(Operation::Bet { player, asset, stake, bet, game, session, payout_max, round, ends_round })
    }

    fn bet(&mut self, kind: Kind, model: &Model) -> Operation {
        let beside =
            if kind == Kind::Bet && self.dice.one_in(8) { self.bet_beside_a_hold(model) } else { None };
        if let Some(bet) = beside {
            return bet;
        }
        let waits = if self.dice.one_in(3) { self.undecided(model) } else { None };
        let (player, asset, game, round) = waits.unwrap_or_else(|| self.round_for(model));
        let (stake, bet) = (self.amount(), self.transaction(model));
        let session = self.session_for(model, player, game);
        let ends_round = self.dice.one_in(if waits.is_some() { 2 } else { 6 });
        if kind == Kind::Bet {
            let payout_max = self.payout_max();
            return Operation::Bet {
                player,
                asset,
                stake,
                bet,
                game,
                session,
                payout_max,
                round,
                ends_round,
            };
        }
        let payout = if self.dice.one_in(2) { Amount(0) } else { self.amount() };
        Operation::BetWin { player, asset, stake, bet, game, session, payout, round, ends_round }
    }

    /// A bet or win that is open, or that was; mostly with its own facts.
    fn target(&mut self, model: &Model, wins: bool) -> (Reference, Option<WagerRow>) {
        let open = model.wagers.iter().filter(|(_, row)| wins || !row.is_win);
        let metered = open.clone().filter(|(_, row)| row.metered && !row.undone && row.stake > 0);
        let metered: Vec<_> = metered.map(|(key, _)| *key).collect();
        let shared = open.clone().filter(|(key, _)| model.holds.contains_key(&RequestId(key.0)));
        let shared: Vec<_> = shared.map(|(key, _)| *key).collect();
        let open: Vec<_> = open.map(|(key, _)| *key).collect();
        let closed: Vec<_> = model.kept.iter().copied().collect();
        let key = match self.dice.below(28) {
            // Its round is closed, and it is kept.
            20.. => self.dice.recent(&closed, 12),
            0..8 => self.dice.recent(&open, 8),
            // A hold has the same number: it is not meant.
            8..10 => self.dice.recent(&shared, 8).or_else(|| self.dice.recent(&open, 8)),
            // What went to a credit meter has to come back from there.
            10..13 => self.dice.recent(&metered, 8).or_else(|| self.dice.recent(&open, 8)),
            13..18 => self.dice.recent(&self.names.wagers, 16),
            18 => self.dice.recent(&self.names.holds, 4).map(|hold| Reference(hold.0)),
            _ => None,
        };
        let key = key.unwrap_or_else(|| self.transaction(model));
        (key, model.any_wager(key).cloned())
    }

    fn win(&mut self, model: &Model) -> Operation {
        let (bet, row) = self.target(model, false);
        let (player, asset, game) = self.facts_of(model, bet, row.as_ref());
        Operation::Win {
            player,
            asset,
            amount: if self.dice.one_in(5) { Amount(0) } else { self.amount() },
            bet,
            game,
            target: if self.dice.one_in(3) { self.position(model) } else { Lsn(0) },
            round: row.map(|row| row.round).filter(|_| self.dice.one_in(2)),
            ends_round: self.dice.one_in(5),
        }
    }

    /// Of a bet that is remembered the owner is known, too.
    fn facts_of(
        &mut self,
        model: &Model,
        key: Reference,
        row: Option<&WagerRow>,
    ) -> (PlayerId, AssetId, GameId) {
        let remembered = model.owner_of(key).filter(|_| !self.dice.one_in(6));
        match (row, remembered) {
            (Some(row), _) => (row.player, row.asset, row.game),
            (None, Some((player, asset, provider))) => (player, asset, GameId::new(provider, 1)),
            (None, None) => (self.player(), self.asset(), self.game()),
        }
    }

    fn rollback(&mut self, model: &Model) -> Operation {
        let (target, row) = self.target(model, true);
        let (player, asset, game) = self.facts_of(model, target, row.as_ref());
        let stake = row.as_ref().map_or(1, |row| row.stake);
        Operation::Rollback {
            player,
            asset,
            amount: Amount(self.dice.pick(&[0, 0, 0, stake, 1, stake / 2, stake + 1])),
            target,
            game,
            target_lsn: if self.dice.one_in(5) { self.position(model) } else { Lsn(0) },
            reverse_settled: self.dice.one_in(3),
            round: row.map(|row| row.round).filter(|_| self.dice.one_in(2)),
        }
    }

    fn end_of_round(&mut self, kind: Kind, model: &Model) -> Operation {
        let open: Vec<_> = model.rounds.keys().copied().collect();
        let key = match self.dice.below(20) {
            0..14 => self.dice.recent(&open, 8),
            14..19 => self.dice.recent(&self.names.rounds, 12),
            _ => None,
        };
        let round = key.unwrap_or(Reference(0x40d << 110));
        let row = model.rounds.get(&round);
        let (player, asset, game) = match row {
            Some(row) => (row.player, row.asset, row.game),
            None => (self.player(), self.asset(), self.game()),
        };
        match kind {
            Kind::EndRound => {
                // Mostly both or neither; seldom one without the other.
                let (proved, slip) = (self.dice.one_in(2), self.dice.one_in(20));
                let algorithm = u16::from(proved != slip);
                let proof = [u8::from(proved); 30];
                Operation::EndRound { player, asset, round, game, algorithm, proof }
            }
            Kind::CloseRound => Operation::CloseRound { player, asset, round },
            _ => {
                let order = self.order(model, asset, game);
                Operation::VoidRound { player, asset, round, game, order, reason: 4 }
            }
        }
    }

    /// An order that could cover it, or any, or none.
    fn order(&mut self, model: &Model, asset: AssetId, game: GameId) -> Option<RequestId> {
        let fits = model.orders.iter().filter(|(_, row)| (row.game, row.asset) == (game, asset));
        let fits: Vec<_> = fits.map(|(id, _)| *id).collect();
        match self.dice.below(6) {
            0..2 => self.dice.recent(&fits, 4),
            2 => Some(self.of_these(&fits, |names| &names.orders)),
            _ => None,
        }
    }

    /// One that is known already, of a bet or a win, if there is one.
    fn past_transaction(&mut self, model: &Model) -> Reference {
        let known = self.dice.recent(&self.names.wagers, 40);
        known.unwrap_or_else(|| self.transaction(model))
    }

    fn late_correction(&mut self, model: &Model) -> Operation {
        let transaction =
            if self.dice.one_in(3) { self.past_transaction(model) } else { self.transaction(model) };
        let open = model.any_wager(transaction).filter(|_| !self.dice.one_in(8));
        let (player, asset, game, original) = match (open, model.past(transaction)) {
            (Some(row), _) => (row.player, row.asset, row.game, Lsn(row.opened)),
            (None, Some((Some((player, asset, _)), lsn))) => (player, asset, self.game(), Lsn(lsn)),
            (None, Some((None, lsn))) => (self.player(), self.asset(), self.game(), Lsn(lsn)),
            (None, None) => (self.player(), self.asset(), self.game(), self.position(model)),
        };
        let order = self.order(model, asset, game);
        Operation::LateCorrection {
            player,
            asset,
            amount: self.amount(),
            transaction,
            game,
            original,
            debit: self.dice.one_in(2),
            reason: 1,
            order,
        }
    }
}
