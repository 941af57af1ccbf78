//! Connections for streams that are not requests: subscriptions, queries.
//!
//! In: a wish for a stream. Out: one, on a connection of its own kind, so that a reader who is slow with it stops no answer to a
//! request. Never here: what a stream is used for; two attempts to connect at once.

use std::sync::Arc;

use cage_engine::Lsn;
use cage_protocol::CloseCode;
use quinn::{RecvStream, SendStream};
use tokio::sync::Mutex;

use crate::connection::Connection;
use crate::error::ConnectionError;
use crate::fake::Here;
use crate::limits::{CONNECT_ATTEMPT_MAX, FEEDS_PER_CONNECTION};
use crate::link::Dialer;
use crate::shared::Shared;

/// A stream, and its place on its connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) send: SendStream,
    pub(crate) receive: RecvStream,
    pub(crate) place: Arc<()>,
}

/// Where feeds and queries of a client go.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// To a server.
    Server(Arc<Pool>),
    /// To a ledger in this process.
    Here(Here),
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Locked while somebody connects: the others wait for that, and share what comes of it.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    connections: Vec<Used>,
}

#[derive(Debug)]
struct Used {
    connection: Connection,
    /// A clone for each stream.
    places: Arc<()>,
}

impl Pool {
    pub(crate) fn new(dialer: Dialer, shared: Arc<Shared>) -> Self {
        Self { shared, inner: Mutex::new(Inner { dialer, connections: Vec::new() }) }
    }

    /// A stream, on a connection that is there or a new one. One attempt.
    pub(crate) async fn open(&self) -> Result<Stream, ConnectionError> {
        let mut inner = self.inner.lock().await;
        inner.connections.retain(Used::is_alive);
        let free = inner.connections.iter().find(|used| used.is_free());
        if let Some(used) = free {
            return used.stream().await;
        }
        let connection = inner.dialer.attempt(CONNECT_ATTEMPT_MAX).await?;
        inner.connections.push(Used { connection, places: Arc::new(()) });
        match inner.connections.last() {
            Some(used) => used.stream().await,
            None => Err(ConnectionError::ended()),
        }
    }

    /// So much was seen of the log.
    pub(crate) fn saw(&self, lsn: Lsn) {
        self.shared.saw(lsn.0);
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        for used in self.inner.lock().await.connections.drain(..) {
            used.connection.close(CloseCode::Done);
        }
    }
}

impl Used {
    fn is_alive(&self) -> bool {
        !self.connection.is_closed()
    }

    fn is_free(&self) -> bool {
        Arc::strong_count(&self.places) <= FEEDS_PER_CONNECTION
    }

    async fn stream(&self) -> Result<Stream, ConnectionError> {
        let (send, receive) = self.connection.open_raw().await?;
        Ok(Stream { send, receive, place: Arc::clone(&self.places) })
    }
}
