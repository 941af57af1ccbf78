//! Queries, answered by a server: when it may look at the ledger, and where it reads records.
//!
//! In: a query and what the sequencer and the log let see. Out: one page. The state is looked at in small pieces between the
//! sequencer's batches; the log is read on another thread. What a page tells is durable. Never here: who may ask, what a page
//! holds and in which order (`cage_protocol::seek`).

use std::cell::RefCell;
use std::rc::Rc;

use cage_engine::{Lsn, State};
use cage_protocol::query::{Query, QueryKind, Row};
use cage_protocol::seek::{self, List};
use cage_protocol::{FeedEndCode, Filter};
use cage_wal::Reader;

pub use cage_protocol::seek::{Page, Refusal};

use crate::limits::LOOK_ROWS;
use crate::session::Host;

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

fn bytes(reader: &mut Reader, lsn: Lsn) -> Result<seek::Bytes, String> {
    reader.record(cage_wal::Lsn(lsn.0)).map_err(|fault| fault.to_string())
}

async fn looked_up(host: &impl Host, query: &Query, filter: Filter) -> Result<Page, Refusal> {
    let query = *query;
    let (places, as_of) = look(host, move |state| seek::places(state, &query)).await?;
    let records = read(host, move |reader| seek::look_up(&mut |lsn| bytes(reader, lsn), places, &filter));
    Ok(Page { records: records.await?, as_of, ..Page::default() })
}

async fn history(host: &impl Host, query: &Query, filter: Filter) -> Result<Page, Refusal> {
    let query = *query;
    let Some(player) = query.player else { return Err(seek::nobody_named()) };
    let (latest, as_of) = look(host, move |state| state.latest(player)).await?;
    let page = read(host, move |reader| {
        seek::history(&mut |lsn| bytes(reader, lsn), player, latest, &query, &filter)
    });
    Ok(Page { as_of, ..page.await? })
}

async fn round(host: &impl Host, query: &Query) -> Result<Page, Refusal> {
    let query = *query;
    let (found, as_of) = look(host, move |state| seek::round(state, &query)).await?;
    with_times(host, Page { rows: found.into_iter().collect(), as_of, ..Page::default() }).await
}

async fn list(host: &impl Host, query: &Query) -> Result<Page, Refusal> {
    let list = Rc::new(RefCell::new(List::new(*query)));
    let mut as_of = Lsn::NONE;
    loop {
        let looking = Rc::clone(&list);
        let (is_done, seen) = look(host, move |state| looking.borrow_mut().look(state, LOOK_ROWS)).await?;
        as_of = as_of.max(seen);
        if is_done {
            break;
        }
    }
    let page = list.replace(List::new(*query)).into_page(as_of);
    if seek::is_timed(query.kind) { with_times(host, page).await } else { Ok(page) }
}

/// With the times of the records that opened the rows.
async fn with_times(host: &impl Host, page: Page) -> Result<Page, Refusal> {
    let mut rows: Vec<Row> = page.rows;
    if rows.is_empty() {
        return Ok(Page { rows, ..page });
    }
    let timed = read(host, move |reader| {
        seek::put_times(&mut |lsn| bytes(reader, lsn), &mut rows)?;
        Ok(rows)
    });
    Ok(Page { rows: timed.await?, ..page })
}
