//! A stream that carries one query: it is read, answered by one page, and ended.
//!
//! In: the query's item. Out: frames of rows or records, and the end of the page. Never here: how the answer is found.

use std::rc::Rc;

use bytes::{BufMut, BytesMut};
use cage_protocol::query::{Query, QueryEnd, QueryKind};
use cage_protocol::{FeedEndCode, Filter, FrameKind, frame};
use quinn::SendStream;
use tokio::time::timeout;

use super::{Host, Session};
use crate::feed::rights::CHAIN_KINDS;
use crate::limits::{FEED_STALL_MAX, QUERIES_MAX};
use crate::query::{Page, Refusal, answer};

/// Answers a query and ends the stream.
pub(super) async fn run<H: Host>(session: Rc<Session>, host: Rc<H>, mut send: SendStream, item: Vec<u8>) {
    let bytes = match page(&session, &*host, &item).await {
        Ok(page) => frames(&page),
        Err((code, reason)) => {
            let end = QueryEnd {
                fault: Some(code),
                more: false,
                cursor: 0,
                as_of: host.feed().durable(),
                reason: &reason,
            };
            frame::query_end(&end)
        }
    };
    let told = async { send.write_all(&bytes).await.is_ok() && send.finish().is_ok() };
    if matches!(timeout(FEED_STALL_MAX, told).await, Ok(true)) {
        let _ = timeout(FEED_STALL_MAX, send.stopped()).await;
    }
}

async fn page(session: &Session, host: &impl Host, item: &[u8]) -> Result<Page, Refusal> {
    let query = Query::from_bytes(item).map_err(|field| {
        (FeedEndCode::Malformed, format!("The query's {field} is not what this version knows."))
    })?;
    let filter = filter(session, &query)?;
    host.may_follow(&session.identity, &filter).await.map_err(|reason| (FeedEndCode::NotAllowed, reason))?;
    let Some(_place) = host.queries().enter(QUERIES_MAX) else {
        return Err((FeedEndCode::TooMany, "too many queries at a time: ask again later".to_owned()));
    };
    answer(host, &query, filter).await
}

/// What a caller must be allowed to follow to be answered.
fn filter(session: &Session, query: &Query) -> Result<Filter, Refusal> {
    let filter = Filter { player: query.player, provider: query.provider, ..Filter::EVERYTHING };
    let not_for = |reason: &str| Err((FeedEndCode::NotAllowed, reason.to_owned()));
    match (session.identity.role, query.kind) {
        (cage_engine::Role::Chain, QueryKind::Operation | QueryKind::History) => {
            Ok(filter.of_kinds(CHAIN_KINDS))
        }
        (cage_engine::Role::Chain, _) => not_for("the role chain asks for operations and histories"),
        (cage_engine::Role::Games, QueryKind::Receivables) => {
            not_for("what players owe is not the games' business")
        }
        _ => Ok(filter),
    }
}

fn frames(page: &Page) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    if !page.rows.is_empty() {
        bytes.put_slice(&frame::header(FrameKind::Rows, page.rows.len()));
        page.rows.iter().for_each(|row| bytes.put_slice(&row.to_bytes()));
    }
    for records in page.records.chunks(cage_protocol::feed::FEED_ITEMS_MAX) {
        bytes.put_slice(&frame::header(FrameKind::Feed, records.len()));
        for (lsn, record) in records {
            bytes.put_u64_le(lsn.0);
            bytes.put_slice(record);
        }
    }
    let Page { more, cursor, as_of, .. } = *page;
    bytes.put_slice(&frame::query_end(&QueryEnd { fault: None, more, cursor, as_of, reason: "" }));
    bytes.to_vec()
}
