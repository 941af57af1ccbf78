//! The words that adapters and ledger have in common.
//!
//! In, out: values. Never here: a provider's format, a decision.

use cage_engine::{Amount, AssetId, GameId, Lsn, PlayerId, Reference, RequestId, Timestamp};

use super::verdict::Verdict;
use crate::config::Currency;
use crate::store::Row;
use crate::token::PlayerToken;

/// How a win says which bet it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BetName {
    /// By the bet's transaction.
    Transaction(Reference),
    /// By the provider's own name for the bet, whose [tag](crate::names::tag) the bet's request id carries.
    Tagged(u32),
    /// Not at all: it is for whatever was staked in the round.
    OfRound,
}

/// One thing that a provider says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A stake. Of 0: nothing moves, and nothing is remembered.
    Bet {
        /// The provider's transaction.
        transaction: Reference,
        /// The provider's other name for it; 0 = none.
        tag: u32,
        /// How much.
        stake: Amount,
        /// In which round.
        round: Reference,
        /// On which game.
        game: GameId,
        /// Whether the round ends with it.
        ends_round: bool,
    },
    /// What a bet has won; 0 is an amount.
    Win {
        /// The provider's transaction.
        transaction: Reference,
        /// For which bet.
        bet: BetName,
        /// How much.
        amount: Amount,
        /// In which round.
        round: Reference,
        /// On which game.
        game: GameId,
        /// Whether the round ends with it.
        ends_round: bool,
        /// Whether the provider wants it refused when the round was closed before. The ledger would pay it.
        open_only: bool,
    },
    /// A bet or a win is undone.
    Rollback {
        /// The provider's transaction.
        transaction: Reference,
        /// What is undone.
        target: Reference,
        /// On which game.
        game: GameId,
        /// Whether the provider wants it refused if that is a win.
        bets_only: bool,
    },
    /// A round is over.
    EndRound {
        /// Which.
        round: Reference,
        /// On which game.
        game: GameId,
    },
    /// A prize, which no bet needs to have been made for.
    Prize {
        /// Its permanent key.
        key: RequestId,
        /// How much.
        amount: Amount,
        /// On which game.
        game: GameId,
        /// In which campaign.
        campaign: Option<Reference>,
    },
    /// A jackpot.
    Jackpot {
        /// Its permanent key.
        key: RequestId,
        /// How much.
        amount: Amount,
        /// On which game.
        game: GameId,
        /// Which jackpot.
        pool: u32,
    },
}

impl Action {
    /// Under which key the store keeps it; nothing for what is not kept.
    #[must_use]
    pub const fn key(&self) -> Option<u128> {
        match self {
            Self::Bet { transaction, .. }
            | Self::Win { transaction, .. }
            | Self::Rollback { transaction, .. } => Some(transaction.0),
            Self::Prize { key, .. } | Self::Jackpot { key, .. } => Some(key.0),
            Self::EndRound { .. } => None,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What may be shown as the balance.
    Balance,
    /// Whether the token is good.
    Session,
    /// A new token in place of this one.
    Renew,
    /// All of these, or none; then a round's end, if it is open.
    Actions {
        /// In order.
        actions: Vec<Action>,
        /// The round that ends afterwards, whatever its state.
        then_end: Option<(Reference, GameId)>,
    },
    /// What is known of transactions: by their keys, or by a tag in a round.
    Transaction(Reference),
    /// What is known of a round.
    Round(Reference),
}

/// A callback, in the bridge's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose.
    pub player: PlayerId,
    /// The token that came with it, if it is one of ours and of this player. Only stakes need it.
    pub token: Option<PlayerToken>,
    /// In what; if it is not said, what the session or the transaction is in.
    pub currency: Option<Currency>,
    /// For what.
    pub ask: Ask,
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// In what way.
    pub verdict: Verdict,
    /// The record that says so; none for what is no record.
    pub lsn: Lsn,
    /// Whether it had happened before.
    pub repeated: bool,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// All in all.
    pub verdict: Verdict,
    /// Each action.
    pub parts: Vec<Part>,
    /// What may be shown as the balance, in the asset's smallest unit; nothing if it could not be read.
    pub balance: Option<Amount>,
    /// In which asset.
    pub asset: AssetId,
    /// The new token, if one was asked for.
    pub renewed: Option<PlayerToken>,
    /// The transaction or the bets of the round that was asked for.
    pub rows: Vec<(u128, Row)>,
    /// When the round ended, if it did.
    pub ended: Option<Timestamp>,
}

impl Done {
    /// Of something that did not come before the ledger.
    #[must_use]
    pub const fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            parts: Vec::new(),
            balance: None,
            asset: AssetId::NONE,
            renewed: None,
            rows: Vec::new(),
            ended: None,
        }
    }
}
