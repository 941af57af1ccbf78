//! One connection: greeted, and the source of request streams.
//!
//! In: an authenticated QUIC connection. Out: the server's welcome, and streams. Never here: which request goes on
//! which stream.

use cage_protocol::{CloseCode, Hello, SignedCheckpoint, VERSION, Watermark, Welcome, frame};
use quinn::VarInt;

use crate::error::ConnectionError;
use crate::stream::{ReplyReceiver, RequestStream};

/// How a client that wants checkpoints asks for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// The latest one that it has.
    pub(crate) latest: Option<SignedCheckpoint>,
}

/// A connection that has exchanged hello and welcome.
#[derive(Debug)]
pub struct Connection {
    quic: quinn::Connection,
    welcome: Welcome,
    /// The stream of the hello carries requests like any other.
    first: Option<RequestStream>,
}

impl Connection {
    pub(crate) async fn greet(
        quic: quinn::Connection,
        seen: Watermark,
        watch: Option<Watch>,
    ) -> Result<Self, ConnectionError> {
        let (mut send, receive) = quic.open_bi().await?;
        let checkpoints = watch.is_some();
        let evidence = watch.and_then(|watch| watch.latest);
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            checkpoints,
            evidence: evidence.is_some(),
            seen,
        };
        let evidence = evidence.as_ref().map(frame::checkpoint).unwrap_or_default();
        send.write_all(&[frame::hello(&hello), evidence].concat()).await?;
        let mut receiver = ReplyReceiver::new(receive);
        let welcome = receiver.welcome().await?;
        let connection = Self { quic, welcome, first: Some(RequestStream::new(send, receiver)) };
        let Err(fault) = check(&welcome, &seen) else { return Ok(connection) };
        connection.close(CloseCode::Done);
        Err(fault)
    }

    /// What the server said first: role, limits, its time, how far its log is durable.
    #[must_use]
    pub const fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Another stream. Requests of one stream are taken in the order in which they were sent; between streams
    /// there is no order.
    ///
    /// # Errors
    /// [`ConnectionError`] if the connection has ended.
    pub async fn open_stream(&mut self) -> Result<RequestStream, ConnectionError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let (send, receive) = self.quic.open_bi().await?;
        Ok(RequestStream::new(send, ReplyReceiver::new(receive)))
    }

    /// A stream that is none of requests.
    pub(crate) async fn open_raw(&self) -> Result<(quinn::SendStream, quinn::RecvStream), ConnectionError> {
        Ok(self.quic.open_bi().await?)
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.quic.close_reason().is_some()
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) -> ConnectionError {
        self.quic.closed().await.into()
    }

    /// Ends the connection. What is unanswered stays so.
    pub fn close(&self, code: CloseCode) {
        self.quic.close(VarInt::from_u32(code as u32), code.name().as_bytes());
    }

    /// How many datagrams came from the server: as long as it rises, the server is there.
    #[must_use]
    pub fn datagrams_received(&self) -> u64 {
        self.quic.stats().udp_rx.datagrams
    }

    /// How many bytes were sent and received, packet headers and repetitions included.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let stats = self.quic.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }
}

/// What the server must have checked as well: that it keeps the log that the client knows, and all of it.
fn check(welcome: &Welcome, seen: &Watermark) -> Result<(), ConnectionError> {
    let durable = &welcome.durable;
    if seen.log_id != 0 && seen.log_id != durable.log_id {
        return Err(ConnectionError::LogDiffers { known: seen.log_id, found: durable.log_id });
    }
    if durable.lsn < seen.lsn {
        return Err(ConnectionError::Behind { seen: seen.lsn, durable: durable.lsn });
    }
    let same_place = seen.log_id != 0 && seen.chain_lsn == durable.chain_lsn;
    if same_place && seen.chain_head != durable.chain_head {
        return Err(ConnectionError::ChainDiffers { lsn: seen.chain_lsn });
    }
    Ok(())
}
