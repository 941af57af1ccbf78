//! From actions to operations of the ledger.
//!
//! In: a call's actions; the bets that wins are for, where the provider does not name them. Out: operations in order,
//! each with its id, which happen together or not at all. Never here: I/O, a clock, randomness.

use cage_engine::{Amount, AssetId, Lsn, Operation, PlayerId, Reference, RequestId, SessionId};

use super::call::Action;

/// An operation and the action it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which of the call's actions.
    pub action: usize,
    /// Under which id.
    pub id: RequestId,
    /// What.
    pub operation: Operation,
}

/// Who plays, in what.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Whose.
    pub player: PlayerId,
    /// In what.
    pub asset: AssetId,
    /// In which session stakes are made.
    pub session: SessionId,
    /// Whether bets that have won are undone all the same.
    pub reverse_settled: bool,
}

/// The operations of a call. `bet_of` gives the bet of the win at a place; `mint` makes a request id with a tag in it.
pub fn plan(
    table: &Table,
    actions: &[Action],
    bet_of: impl Fn(usize) -> Reference,
    mut mint: impl FnMut(u32) -> RequestId,
) -> Vec<Planned> {
    let mut planned = Vec::with_capacity(actions.len());
    for (place, action) in actions.iter().enumerate() {
        if let Some((id, operation)) = operation(table, action, || bet_of(place), &mut mint) {
            planned.push(Planned { action: place, id, operation });
        }
    }
    planned
}

fn operation(
    table: &Table,
    action: &Action,
    bet: impl FnOnce() -> Reference,
    mint: &mut impl FnMut(u32) -> RequestId,
) -> Option<(RequestId, Operation)> {
    let Table { player, asset, session, reverse_settled } = *table;
    Some(match *action {
        Action::Bet { stake: Amount::ZERO, .. } | Action::Prize { amount: Amount::ZERO, .. } => return None,
        Action::Bet { transaction, tag, stake, round, game, ends_round } => {
            let payout_max = Amount::ZERO;
            let bet = transaction;
            let operation =
                Operation::Bet { player, asset, stake, bet, game, session, payout_max, round, ends_round };
            (mint(tag), operation)
        }
        Action::Win { transaction, amount, round, game, ends_round, .. } => {
            let (bet, target, round) = (bet(), Lsn::NONE, Some(round));
            let operation = Operation::Win { player, asset, amount, bet, game, target, round, ends_round };
            (RequestId(transaction.0), operation)
        }
        Action::Rollback { transaction, target, game, .. } => {
            let (amount, target_lsn, round) = (Amount::ZERO, Lsn::NONE, None);
            let operation = Operation::Rollback {
                player,
                asset,
                amount,
                target,
                game,
                target_lsn,
                reverse_settled,
                round,
            };
            (RequestId(transaction.0), operation)
        }
        Action::EndRound { round, game } => {
            let operation = Operation::EndRound { player, asset, round, game, algorithm: 0, proof: [0; 30] };
            (mint(0), operation)
        }
        Action::Prize { key, amount, game, campaign } => {
            let (house_paid, turnover) = (false, Amount::ZERO);
            let operation =
                Operation::PromoCredit { player, asset, amount, game, campaign, house_paid, turnover };
            (key, operation)
        }
        Action::Jackpot { key, amount, game, pool } => {
            let operation =
                Operation::JackpotWin { player, asset, amount, game, bet: None, pool, shown: amount.0 };
            (key, operation)
        }
    })
}
