//! What is asked of cashier and chains, and of the books themselves.

use cage_engine::field::{LockReason, PastTransaction};
use cage_engine::{
    Amount, AssetId, GameId, LimitKind, Lsn, Operation, OperationKind, Period, PlayerId, Reference,
    RequestId, SessionId, Timestamp,
};

use crate::caller::{Names, Someone};
use crate::model::{Account, Model};

use OperationKind as Kind;

impl Someone {
    /// One of those that are open, or one that was named lately, or nothing known.
    pub(crate) fn of_these(
        &mut self,
        open: &[RequestId],
        names: impl Fn(&Names) -> &Vec<RequestId>,
    ) -> RequestId {
        let found = match self.dice.below(20) {
            0..15 => self.dice.recent(open, 8),
            15..19 => self.dice.recent(names(&self.names), 12),
            _ => None,
        };
        found.or_else(|| self.dice.recent(names(&self.names), 12)).unwrap_or_else(|| {
            self.names.made += 1;
            RequestId(0x404 << 100 | self.names.made)
        })
    }

    pub(crate) fn turnover(&mut self) -> Amount {
        if self.dice.one_in(12) { Amount(self.dice.below(9).into()) } else { Amount(0) }
    }

    pub(crate) fn deposit(&mut self) -> Operation {
        Operation::DepositCredit {
            player: self.player(),
            asset: self.asset(),
            amount: self.amount(),
            chain: self.chain(),
            locked: self.dice.one_in(8).then(|| self.dice.pick(LockReason::ALL)),
            turnover: self.turnover(),
        }
    }

    pub(crate) fn cashier(&mut self, kind: Kind, model: &Model) -> Operation {
        let (player, asset) = (self.player(), self.asset());
        let amount = self.amount();
        match kind {
            Kind::DepositCredit => self.deposit(),
            Kind::DepositReverse | Kind::Chargeback => self.reversal(kind, model),
            Kind::AssignAddress => {
                Operation::AssignAddress { player, chain: self.chain(), fresh: self.dice.one_in(3) }
            }
            Kind::Collect | Kind::AutoCollect | Kind::WriteOff => self.debt(kind, model),
            Kind::Lock => Operation::Lock { player, asset, amount, reason: self.dice.pick(LockReason::ALL) },
            Kind::Unlock => {
                let locked: Vec<_> = model.locked.iter().map(|(key, held)| (*key, *held)).collect();
                let some = self.dice.recent(&locked, 8);
                let ((player, asset, reason), held) =
                    some.unwrap_or(((player, asset, LockReason::Review), 1));
                let amount = Amount(self.dice.pick(&[held, 1, held + 1]));
                Operation::Unlock { player, asset, amount, chain: self.chain(), reason }
            }
            Kind::WithdrawRequest => Operation::WithdrawRequest {
                player,
                asset,
                amount,
                session: self.session_for(model, player, GameId(0)),
                chain: self.chain(),
                destination: [7; 32],
            },
            _ => self.withdrawal(kind, model),
        }
    }

    fn reversal(&mut self, kind: Kind, model: &Model) -> Operation {
        let open: Vec<_> = model.deposits.keys().copied().collect();
        let deposit = self.of_these(&open, |names| &names.deposits);
        let row = model.deposits.get(&deposit);
        let left = row.map_or(1, |row| row.amount - row.reversed);
        let (player, asset, chain) = match row {
            Some(row) => (row.player, row.asset, row.chain),
            None => (self.player(), self.asset(), self.chain()),
        };
        let amount = Amount(self.dice.pick(&[left, 1, left.div_ceil(2), left + 1]));
        let deposit = Reference(deposit.0);
        if kind == Kind::DepositReverse {
            Operation::DepositReverse { player, asset, amount, deposit, chain }
        } else {
            Operation::Chargeback { player, asset, amount, deposit, chain, reason: 2 }
        }
    }

    /// Who owes something, mostly.
    fn debt(&mut self, kind: Kind, model: &Model) -> Operation {
        let debtors = model.money.iter().filter_map(|(account, held)| match account {
            Account::Receivable(asset, player) if *held < 0 => Some((*player, *asset)),
            _ => None,
        });
        let debtors: Vec<_> = debtors.collect();
        let (player, asset) = match self.dice.recent(&debtors, 8) {
            Some(found) if !self.dice.one_in(6) => found,
            _ => (self.player(), self.asset()),
        };
        let owed = model.owed(player, asset);
        let amount = Amount(self.dice.pick(&[owed, 1, owed / 2, owed + 1, 0]));
        match kind {
            Kind::Collect => Operation::Collect { player, asset, amount },
            Kind::AutoCollect => Operation::AutoCollect { player, asset },
            _ => Operation::WriteOff { player, asset, amount, text: Reference(self.text()), reason: 1 },
        }
    }

    fn text(&mut self) -> u128 {
        self.dice.below(20).into()
    }

    fn withdrawal(&mut self, kind: Kind, model: &Model) -> Operation {
        let open: Vec<_> = model.withdrawals.keys().copied().collect();
        let withdrawal = self.of_these(&open, |names| &names.withdrawals);
        let signed_most = model.withdrawals.iter().max_by_key(|(_, row)| row.transactions.len());
        let withdrawal = match signed_most {
            Some((id, _)) if kind == Kind::WithdrawSigned && self.dice.one_in(2) => *id,
            _ => withdrawal,
        };
        let row = model.withdrawals.get(&withdrawal);
        let (player, asset, chain) = match row {
            Some(row) => (row.player, row.asset, row.chain),
            None => (self.player(), self.asset(), self.chain()),
        };
        let known = row.and_then(|row| row.transactions.last().copied()).unwrap_or(1);
        match kind {
            Kind::WithdrawApprove => Operation::WithdrawApprove { player, asset, withdrawal },
            Kind::WithdrawSigned => Operation::WithdrawSigned {
                player,
                asset,
                withdrawal,
                chain,
                cost_max: Amount(3),
                slot: if self.dice.one_in(8) { 2 } else { 1 },
                transaction: self.dice.below(9).into(),
            },
            Kind::WithdrawSettle => {
                let mut transaction = [9; 32];
                let first = if self.dice.one_in(5) { self.dice.below(9).into() } else { known };
                transaction[..16].copy_from_slice(&first.to_le_bytes());
                Operation::WithdrawSettle { player, asset, withdrawal, chain, transaction }
            }
            Kind::WithdrawCancel => Operation::WithdrawCancel { player, asset, withdrawal },
            _ => Operation::WithdrawRelease { player, asset, withdrawal, chain, evidence: [3; 32] },
        }
    }

    pub(crate) fn correction(&mut self, kind: Kind, model: &Model, now: Timestamp) -> Operation {
        let (player, asset) = (self.player(), self.asset());
        let amount = self.amount();
        match kind {
            Kind::Transfer => {
                let to = match self.dice.below(60) {
                    0 => PlayerId::NONE,
                    1..10 => player,
                    _ => self.other_player(player),
                };
                let session = self.session_for(model, player, GameId(0));
                Operation::Transfer { from: player, to, asset, amount, session }
            }
            Kind::Exchange => Operation::Exchange {
                player,
                asset,
                amount,
                session: self.session_for(model, player, GameId(0)),
                to: self.asset(),
                at_least: Amount(self.dice.pick(&[0, 0, 1, amount.0])),
            },
            Kind::Adjust => Operation::Adjust {
                player,
                asset,
                amount,
                text: Reference(self.text()),
                text_rest: 1,
                reason: 2,
                debit: self.dice.one_in(2),
            },
            Kind::AdjustApprove | Kind::AdjustReject => self.answer_to_proposal(kind, model),
            _ => self.import(kind, model, now),
        }
    }

    fn other_player(&mut self, than: PlayerId) -> PlayerId {
        let players = (0..self.world.players as u32).map(PlayerId::from_index);
        let others: Vec<_> = players.filter(|player| *player != than).collect();
        self.dice.pick(&others)
    }

    fn answer_to_proposal(&mut self, kind: Kind, model: &Model) -> Operation {
        let open: Vec<_> = model.adjustments.keys().copied().collect();
        let adjustment = self.of_these(&open, |names| &names.adjustments);
        let row = model.adjustments.get(&adjustment);
        let (player, asset) =
            row.map_or_else(|| (self.player(), self.asset()), |row| (row.player, row.asset));
        if kind == Kind::AdjustApprove {
            Operation::AdjustApprove { player, asset, adjustment }
        } else {
            Operation::AdjustReject { player, asset, adjustment }
        }
    }

    fn import(&mut self, kind: Kind, model: &Model, now: Timestamp) -> Operation {
        let (player, asset, game): (PlayerId, AssetId, GameId) = (self.player(), self.asset(), self.game());
        match kind {
            Kind::ImportBalance => Operation::ImportBalance {
                player,
                asset,
                amount: self.amount(),
                locked: self.dice.one_in(3).then(|| self.dice.pick(LockReason::ALL)),
                turnover: self.turnover(),
            },
            Kind::ImportBet => {
                let beside = if self.dice.one_in(3) { self.beside_an_undecided(model) } else { None };
                let (player, asset, game, round) = beside.unwrap_or_else(|| self.round_for(model));
                let payout_max = self.payout_max();
                let (stake, bet) = (self.amount(), self.transaction(model));
                Operation::ImportBet { player, asset, stake, bet, game, payout_max, round }
            }
            Kind::ImportHold => {
                let hold = match self.dice.recent(&self.names.holds, 6) {
                    Some(known) if self.dice.one_in(6) => known,
                    _ => self.id_for(&Operation::Grant { venue: 0 }, model, now),
                };
                let (stake, payout_max, expiry) = (self.amount(), self.payout_max(), self.expiry(now));
                Operation::ImportHold { player, asset, stake, hold, game, payout_max, expiry }
            }
            Kind::ImportReference => Operation::ImportReference {
                player,
                asset,
                bet: self.transaction(model),
                game,
                was: self.dice.pick(PastTransaction::ALL),
            },
            _ => {
                let kind = self.dice.pick(LimitKind::ALL);
                let period = self.dice.pick(&[Period::Day, Period::Week, Period::Month, Period::Once]);
                let value = Amount(self.dice.pick(&[1, 9, 40, 1 << 62, (1 << 63) - 1, 1 << 63]));
                Operation::ImportUsage { player, kind, period, value }
            }
        }
    }

    /// A position in the log: mostly one of the past.
    pub(crate) fn position(&mut self, model: &Model) -> Lsn {
        let next = model.next_lsn();
        let odd = self.dice.pick(&[0, next, next + 1, u64::MAX]);
        Lsn(if self.dice.one_in(10) { odd } else { 1 + self.dice.below(next) })
    }

    /// A session in which this player can play this game, if the world has one; sometimes none.
    pub(crate) fn session_for(&mut self, model: &Model, player: PlayerId, game: GameId) -> SessionId {
        let fits = model
            .sessions
            .iter()
            .filter(|(_, row)| row.player == player && (game.0 == 0 || row.game.0 == 0 || row.game == game));
        let fits: Vec<_> = fits.map(|(number, _)| *number).collect();
        match self.dice.below(12) {
            0..8 => self.dice.recent(&fits, 4).unwrap_or(SessionId::NONE),
            8 => self.any_session(model, model.clock),
            _ => SessionId::NONE,
        }
    }
}
