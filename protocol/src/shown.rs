//! Which records a filter shows.
//!
//! In: records in the order of a log, a filter. Out: whether each is shown. Never here: where records come from, who may see
//! them (see [`rights`](crate::rights)).

use cage_engine::{GameId, OperationKind, Purse, Record};

use crate::Filter;

/// What filters look at, of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    player: u64,
    /// The player at the other end of a transfer; 0 = none.
    counterparty: u64,
    /// Of a continuation, its head's.
    kind: u16,
    /// Of the game that the record is about. Of a continuation, its head's.
    game_provider: Option<u16>,
    /// Whose clearing account moves.
    clearing_provider: Option<u16>,
}

impl Key {
    /// Of a record, and the key of the record before it in the log: a continuation is about what its head is about.
    #[must_use]
    pub fn of(record: &Record, before: Option<&Self>) -> Self {
        let request = &record.request;
        let clearing = record.legs().iter().flat_map(|leg| [leg.debit, leg.credit]);
        let mut clearing = clearing.filter(|account| account.is_of(Purse::ProviderClearing));
        let head = before.filter(|_| request.kind == OperationKind::Continue);
        Self {
            player: request.player.number(),
            counterparty: if request.kind.spec().counterparty { request.counterparty().number() } else { 0 },
            kind: head.map_or_else(|| request.kind.number(), |head| head.kind),
            game_provider: head
                .map_or_else(|| record.game().map(GameId::provider), |head| head.game_provider),
            clearing_provider: clearing.next().and_then(|account| u16::try_from(account.owner()).ok()),
        }
    }

    /// Whether a filter shows the record.
    #[must_use]
    pub fn is_wanted_by(&self, filter: &Filter) -> bool {
        let of_player = |player| self.player == player || self.counterparty == player;
        let of_provider =
            |provider| self.game_provider == Some(provider) || self.clearing_provider == Some(provider);
        filter.player.is_none_or(|player| of_player(player.number()))
            && filter.provider.is_none_or(of_provider)
            && filter.kinds.contains(self.kind)
    }
}

/// Whether a filter shows a record that is no continuation.
#[must_use]
pub fn is_wanted(record: &Record, filter: &Filter) -> bool {
    Key::of(record, None).is_wanted_by(filter)
}
