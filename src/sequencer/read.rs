//! Looks at the ledger as of its latest record.
//!
//! In: a read. Out: its reply, which tells of the latest record and so waits until that is durable. Never here: a
//! change of anything.

use cage_engine::{AccountId, Balance, Lsn, ResultCode, State};
use cage_protocol::{Read, Reply};

/// Answers a read.
pub(super) fn read(state: &State, tag: u64, read: Read) -> Reply {
    let lsn = Lsn(state.next_lsn().0 - 1);
    let answer = |code| Reply { lsn, ..Reply::without_record(tag, code) };
    match read {
        Read::Balances { player, asset } | Read::Purse { player, asset, .. }
            if state.asset(asset).is_none() || state.player(player).is_none() =>
        {
            let asset_unknown = state.asset(asset).is_none();
            answer(if asset_unknown { ResultCode::AssetUnknown } else { ResultCode::PlayerUnknown })
        }
        Read::Balances { player, asset } => {
            let balances = state.balances(player, asset);
            Reply {
                asset,
                player: player.number(),
                available: Some(balances.available),
                reserved: Some(balances.reserved),
                ..answer(ResultCode::Done)
            }
        }
        Read::Purse { player, asset, purse } => Reply {
            asset,
            player: player.number(),
            available: Some(state.balance(AccountId::of_player(asset, purse, player))),
            ..answer(ResultCode::Done)
        },
        Read::Session { session } => match state.session(session) {
            None => answer(ResultCode::SessionUnknown),
            Some(session) if session.revoked => answer(ResultCode::SessionEnded),
            Some(session) => Reply {
                asset: session.asset,
                player: session.player.number(),
                available: i128::try_from(session.remainder.0).ok().map(Balance),
                ..answer(ResultCode::Done)
            },
        },
        Read::Totals { asset } => match state.asset(asset) {
            None => answer(ResultCode::AssetUnknown),
            Some(totals) => Reply {
                asset,
                available: Some(totals.players_total),
                reserved: Some(totals.house_total),
                ..answer(ResultCode::Done)
            },
        },
    }
}
