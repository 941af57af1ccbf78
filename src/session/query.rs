//! A stream that carries one query: it is read, answered by one page, and ended.
//!
//! In: the query's item. Out: frames of rows or records, and the end of the page. Never here: how the answer is found.

use std::rc::Rc;

use bytes::{BufMut, BytesMut};
use cage_protocol::query::{Query, QueryEnd};
use cage_protocol::{FeedEndCode, FrameKind, frame, rights};
use quinn::SendStream;
use tokio::time::timeout;

use super::{Host, Session};
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
    let filter = rights::of_query(session.identity.role, &query)?;
    host.may_follow(&session.identity, &filter).await.map_err(|reason| (FeedEndCode::NotAllowed, reason))?;
    let Some(_place) = host.queries().enter(QUERIES_MAX) else {
        return Err((FeedEndCode::TooMany, "too many queries at a time: ask again later".to_owned()));
    };
    answer(host, &query, filter).await
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
