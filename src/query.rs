//! Queries: lists of what is open, look-ups, histories.
//!
//! In: a query and what the sequencer and the log let see. Out: one page, of a bounded size and in an order that depends on
//! nothing but the books: the oldest first, a history the latest first. The state is looked at in small pieces between the
//! sequencer's batches; the log is read on another thread. What a page tells is durable. Never here: who may ask.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use cage_engine::{Lsn, OperationKind, PlayerId, Purse, RECORD_BYTES, Record, Reference, RequestId, State};
use cage_protocol::query::{Query, QueryKind, Row};
use cage_protocol::{FeedEndCode, Filter};
use cage_wal::Reader;

use crate::feed::is_wanted;
use crate::limits::LOOK_ROWS;
use crate::session::Host;

/// A page of an answer.
#[derive(Debug, Default)]
pub struct Page {
    /// Rows of a list.
    pub rows: Vec<Row>,
    /// Records, each with its LSN.
    pub records: Vec<(Lsn, [u8; RECORD_BYTES])>,
    /// There is more.
    pub more: bool,
    /// Where the next page begins.
    pub cursor: u64,
    /// The latest record that was seen.
    pub as_of: Lsn,
}

/// Why there is no answer.
pub type Refusal = (FeedEndCode, String);

/// Answers a query of somebody who may see what `filter` lets through.
///
/// # Errors
/// Why there is no answer.
pub async fn answer(host: &impl Host, query: &Query, filter: Filter) -> Result<Page, Refusal> {
    match query.kind {
        QueryKind::Operation | QueryKind::Transaction => looked_up(host, query, filter).await,
        QueryKind::History => history(host, query, filter).await,
        QueryKind::Round => round(host, query).await,
        QueryKind::OpenHolds | QueryKind::OpenRounds | QueryKind::Exposures | QueryKind::Receivables => {
            list(host, query).await
        }
        _ => Err((FeedEndCode::Malformed, "a kind of query that this server does not know".to_owned())),
    }
}

async fn look<T: 'static>(
    host: &impl Host,
    at: impl FnOnce(&State) -> T + 'static,
) -> Result<(T, Lsn), Refusal> {
    let ended = || (FeedEndCode::Draining, FeedEndCode::Draining.meaning().to_owned());
    host.look(at).await.ok_or_else(ended)
}

/// Reads the log on another thread.
async fn read<T: Send + 'static>(
    host: &impl Host,
    read: impl FnOnce(&mut Reader) -> Result<T, String> + Send + 'static,
) -> Result<T, Refusal> {
    let mut reader = host.feed().reader();
    let done = tokio::task::spawn_blocking(move || read(&mut reader)).await;
    let unavailable = |reason| (FeedEndCode::Unavailable, reason);
    done.map_err(|panic| (FeedEndCode::Internal, panic.to_string()))?.map_err(unavailable)
}

fn record(reader: &mut Reader, lsn: Lsn) -> Result<(Record, [u8; RECORD_BYTES]), String> {
    let bytes = reader.record(cage_wal::Lsn(lsn.0)).map_err(|fault| fault.to_string())?;
    let record =
        Record::from_bytes(&bytes).map_err(|fault| format!("record {lsn} has no valid {}", fault.0))?;
    Ok((record, bytes))
}

/// A record and its continuations, if the filter lets it through; the last one first.
fn whole(
    reader: &mut Reader,
    lsn: Lsn,
    head: &Record,
    bytes: [u8; RECORD_BYTES],
) -> Result<Vec<(Lsn, [u8; RECORD_BYTES])>, String> {
    let (mut records, mut linked, mut next) = (vec![(lsn, bytes)], head.linked, lsn);
    while linked {
        next = Lsn(next.0 + 1);
        let (further, bytes) = record(reader, next)?;
        if further.request.kind != OperationKind::Continue {
            break;
        }
        records.push((next, bytes));
        linked = further.linked;
    }
    records.reverse();
    Ok(records)
}

async fn looked_up(host: &impl Host, query: &Query, filter: Filter) -> Result<Page, Refusal> {
    let Query { kind, id, .. } = *query;
    let found = move |state: &State| match kind {
        QueryKind::Transaction => [state.record_of_transaction(Reference(id)), None],
        _ => state.records_of(RequestId(id)),
    };
    let (found, as_of) = look(host, found).await?;
    let records = read(host, move |reader| {
        let mut records = Vec::new();
        for lsn in found.into_iter().flatten() {
            let (head, bytes) = record(reader, lsn)?;
            if is_wanted(&head, &filter) {
                records.extend(whole(reader, lsn, &head, bytes)?.into_iter().rev());
            }
        }
        Ok(records)
    });
    Ok(Page { records: records.await?, as_of, ..Page::default() })
}

/// Follows a player's records backwards: each names the one before it.
async fn history(host: &impl Host, query: &Query, filter: Filter) -> Result<Page, Refusal> {
    let Query { player, cursor, limit, .. } = *query;
    let Some(player) = player else {
        return Err((FeedEndCode::Malformed, "a history is of one player: name it".to_owned()));
    };
    let (latest, as_of) = look(host, move |state| state.latest(player)).await?;
    let first = if cursor == 0 { latest } else { Lsn(cursor).min(latest) };
    let page = read(host, move |reader| {
        let (mut page, mut at) = (Page { as_of, ..Page::default() }, first);
        for _ in 0..limit {
            if at == Lsn::NONE {
                break;
            }
            let (head, bytes) = record(reader, at)?;
            let before = before(&head, player)
                .ok_or_else(|| format!("record {at} is none of player {player}: begin the history anew"))?;
            if is_wanted(&head, &filter) {
                page.records.extend(whole(reader, at, &head, bytes)?);
            }
            at = before;
        }
        (page.cursor, page.more) = (at.0, at != Lsn::NONE);
        Ok(page)
    });
    page.await
}

/// The player's record before this one.
fn before(record: &Record, player: PlayerId) -> Option<Lsn> {
    let request = &record.request;
    if request.kind == OperationKind::Continue {
        None
    } else if request.player == player {
        Some(record.previous)
    } else if request.kind.spec().counterparty && request.counterparty() == player {
        Some(record.counterparty_previous())
    } else {
        None
    }
}

async fn round(host: &impl Host, query: &Query) -> Result<Page, Refusal> {
    let query = *query;
    let found = move |state: &State| state.round(Reference(query.id)).map(round_row);
    let (found, as_of) = look(host, found).await?;
    let rows = found.into_iter().filter(|row| concerns(row, &query)).collect();
    Ok(Page { rows: with_times(host, rows).await?, as_of, ..Page::default() })
}

/// The first rows of a list after the cursor, found in one pass over its table, piece by piece.
async fn list(host: &impl Host, query: &Query) -> Result<Page, Refusal> {
    let query = *query;
    let best = Rc::new(RefCell::new(BTreeMap::new()));
    let (mut from, mut as_of) = (0, Lsn::NONE);
    loop {
        let (kept, places) = (Rc::clone(&best), from..from + LOOK_ROWS);
        let piece = move |state: &State| piece(state, &query, places, &mut kept.borrow_mut());
        let (end, seen) = look(host, piece).await?;
        (from, as_of) = (from + LOOK_ROWS, as_of.max(seen));
        if from >= end {
            break;
        }
    }
    let mut rows: Vec<Row> = best.borrow().values().copied().collect();
    let more = rows.len() > usize::from(query.limit);
    rows.truncate(usize::from(query.limit));
    let cursor = rows.last().map_or(query.cursor, |row| row.place);
    let timed = matches!(query.kind, QueryKind::OpenHolds | QueryKind::OpenRounds);
    let rows = if timed { with_times(host, rows).await? } else { rows };
    Ok(Page { rows, more, cursor, as_of, ..Page::default() })
}

/// Looks at some places of a list's table. Says how many there are.
fn piece(state: &State, query: &Query, places: Range<usize>, best: &mut BTreeMap<u64, Row>) -> usize {
    let mut keep = |row: Row| {
        if row.place <= query.cursor || !concerns(&row, query) {
            return;
        }
        best.insert(row.place, row);
        // One more than is told says that there is more.
        if best.len() > usize::from(query.limit) + 1 {
            best.pop_last();
        }
    };
    match query.kind {
        QueryKind::OpenHolds => {
            state.holds_at(places).map(hold_row).for_each(&mut keep);
            state.hold_places()
        }
        QueryKind::OpenRounds => {
            state.rounds_at(places).map(round_row).for_each(&mut keep);
            state.round_places()
        }
        QueryKind::Exposures => {
            state.exposures_at(places).map(exposure_row).for_each(&mut keep);
            state.exposure_places()
        }
        _ => {
            // The house's accounts are few; they are in no places.
            receivables(state).for_each(&mut keep);
            0
        }
    }
}

fn concerns(row: &Row, query: &Query) -> bool {
    query.player.is_none_or(|player| row.player == player.number())
        && query.provider.is_none_or(|provider| cage_engine::GameId(row.game).provider() == provider)
        && (query.asset.0 == 0 || row.asset == query.asset.0)
}

fn hold_row(hold: &cage_engine::state::Hold) -> Row {
    Row {
        place: hold.opened.0,
        player: hold.player.number(),
        key: hold.id.0,
        asset: hold.asset.0,
        game: hold.game.0,
        session: hold.session.0,
        until: hold.deadline.map_or(0, |deadline| deadline.0),
        amount: hold.remaining.0,
        payout: hold.payout_left.0,
        round: hold.round.0,
        ..Row::default()
    }
}

fn round_row(round: &cage_engine::state::Round) -> Row {
    Row {
        place: round.opened.0,
        player: round.player.number(),
        key: round.key.0,
        asset: round.asset.0,
        game: round.game.0,
        open_holds: round.open_holds,
        until: round.closes.0,
        amount: round.stake.0,
        payout: round.won.0,
        ..Row::default()
    }
}

/// Ordered by game, then asset. A number more, so that none is 0.
fn exposure_row(exposure: &cage_engine::state::Exposure) -> Row {
    let (game, asset) = (exposure.game.0, exposure.asset.0);
    let place = (u64::from(game) << 16 | u64::from(asset)) + 1;
    Row { place, game, asset, amount: exposure.open.0, ..Row::default() }
}

/// Ordered by asset, then player: as their accounts are numbered.
fn receivables(state: &State) -> impl Iterator<Item = Row> {
    state.house_accounts().filter(|(account, held)| account.is_of(Purse::Receivable) && held.0 < 0).map(
        |(account, held)| Row {
            place: account.0,
            player: account.owner(),
            asset: account.asset().0,
            amount: held.0.unsigned_abs(),
            ..Row::default()
        },
    )
}

/// With the times of the records that opened them.
async fn with_times(host: &impl Host, mut rows: Vec<Row>) -> Result<Vec<Row>, Refusal> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let timed = read(host, move |reader| {
        for row in &mut rows {
            row.opened_at = record(reader, Lsn(row.place))?.0.decided.0;
        }
        Ok(rows)
    });
    timed.await
}
