//! The store as the log has it: what another bridge asked, and what this one's last second before a crash would have kept.
//!
//! In: records of a provider, in the order of the log. Out: rows, and how far they go. A row of the log takes the place of the
//! bridge's own, but for the balance that was shown, which is in no record. Never here: a decision, a call to a provider.

use cage_client::{Client, FeedEvent, Filter};
use cage_engine::{Lsn, Operation, OperationKind, Record, Reference, ResultCode, Role, SessionId};
use std::rc::Rc;
use tokio::sync::oneshot;

use crate::names;
use crate::store::{Row, Store};

/// What a record says of a provider's transaction; nothing if it is about something else.
#[must_use]
pub fn row_of(lsn: Lsn, record: &Record) -> Option<(u128, Row)> {
    // A member of a group that was refused for another one may come again by itself.
    if record.role != Role::Games || record.result == ResultCode::GroupRefused {
        return None;
    }
    let asked = record.asked();
    let operation = Operation::try_from(&asked).ok()?;
    let id = asked.id;
    let none = Reference::default();
    let (key, session, amount, bet, round, ends_round) = match operation {
        Operation::Bet { bet, stake, session, round, ends_round, .. } => {
            (bet.0, session, stake, bet, round, ends_round)
        }
        Operation::Win { bet, amount, round, ends_round, .. } => {
            (id.0, SessionId::NONE, amount, bet, round.unwrap_or(none), ends_round)
        }
        Operation::Rollback { target, amount, .. } => (id.0, SessionId::NONE, amount, target, none, false),
        Operation::PromoCredit { amount, .. } | Operation::JackpotWin { amount, .. } => {
            (id.0, SessionId::NONE, amount, none, none, false)
        }
        _ => return None,
    };
    let tag = if asked.kind == OperationKind::Bet { names::tag_of(id) } else { 0 };
    let row = Row {
        kind: asked.kind,
        code: record.result,
        lsn,
        decided: record.decided,
        player: asked.player,
        asset: asked.asset,
        game: asked.game,
        session,
        amount,
        bet,
        round,
        tag,
        ends_round,
        shown: None,
    };
    Some((key, row))
}

/// Follows the log for a provider, for ever; says once when it has reached what was durable at the time.
pub async fn follow(client: Client, provider: u16, store: Rc<Store>, caught_up: oneshot::Sender<()>) {
    let mut caught_up = Some(caught_up);
    let after = match store.position(provider) {
        Ok(position) => position,
        Err(error) => {
            tracing::error!(%error, "how far the store goes cannot be read");
            return;
        }
    };
    let mut feed = client.subscribe(Filter::EVERYTHING.of_provider(provider), after);
    loop {
        match feed.next().await {
            Ok(FeedEvent::Record(seen)) => take(&store, seen.lsn, &seen.record),
            Ok(FeedEvent::Progress { position, durable }) => {
                store.put_position(provider, position);
                if position >= durable
                    && let Some(caught_up) = caught_up.take()
                {
                    // Who waited has given up.
                    let _ = caught_up.send(());
                }
            }
            Err(error) => {
                tracing::error!(%error, provider, "the log cannot be followed: start the bridge again");
                return;
            }
        }
    }
}

fn take(store: &Store, lsn: Lsn, record: &Record) {
    if let Some((key, row)) = row_of(lsn, record) {
        if let Err(error) = store.put_from_log(key, row) {
            tracing::error!(%error, "the store of transactions cannot be read");
        }
        return;
    }
    if let (ResultCode::Done, Ok(Operation::EndRound { round, .. })) =
        (record.result, Operation::try_from(&record.asked()))
    {
        store.put_closed(round, lsn, record.decided);
    }
}
