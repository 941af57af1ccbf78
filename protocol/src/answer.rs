//! Answers reads: looks at the ledger as of its latest record.
//!
//! In: a read. Out: its reply, which tells of the latest record and so waits until that is durable. Never here: a
//! change of anything.

use cage_engine::{AccountId, Balance, Lsn, ResultCode, State};

use crate::{Read, Reply};

/// Answers a read.
#[must_use]
pub fn answer(state: &State, tag: u64, read: Read) -> Reply {
    let lsn = Lsn(state.next_lsn().0 - 1);
    let found = |code| Reply { lsn, ..Reply::without_record(tag, code) };
    match read {
        Read::Balances { player, asset } | Read::Purse { player, asset, .. }
            if state.asset(asset).is_none() || state.player(player).is_none() =>
        {
            let asset_unknown = state.asset(asset).is_none();
            found(if asset_unknown { ResultCode::AssetUnknown } else { ResultCode::PlayerUnknown })
        }
        Read::Balances { player, asset } => {
            let balances = state.balances(player, asset);
            Reply {
                asset,
                player: player.number(),
                available: Some(balances.available),
                reserved: Some(balances.reserved),
                ..found(ResultCode::Done)
            }
        }
        Read::Purse { player, asset, purse } => Reply {
            asset,
            player: player.number(),
            available: Some(state.balance(AccountId::of_player(asset, purse, player))),
            ..found(ResultCode::Done)
        },
        Read::Session { session } => match state.session(session) {
            None => found(ResultCode::SessionUnknown),
            Some(session) if session.revoked => found(ResultCode::SessionEnded),
            Some(session) => Reply {
                asset: session.asset,
                player: session.player.number(),
                available: i128::try_from(session.remainder.0).ok().map(Balance),
                ..found(ResultCode::Done)
            },
        },
        Read::Totals { asset } => match state.asset(asset) {
            None => found(ResultCode::AssetUnknown),
            Some(totals) => Reply {
                asset,
                available: Some(totals.players_total),
                reserved: Some(totals.house_total),
                ..found(ResultCode::Done)
            },
        },
    }
}
