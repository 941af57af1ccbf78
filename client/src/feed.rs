//! The ledger's durable records as they come, from any place of the log on.
//!
//! In: a filter and the last record that the caller knows. Out: every record after it that the filter wants, once, in the order of
//! the log, however often the connection or the server is lost on the way. Never here: a record that is not durable, more
//! of them in memory than the credit that was given, a task of its own: what nobody asks for is not read.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use cage_engine::{Lsn, Record};
use cage_protocol::{
    CloseCode, FeedEnd, FeedEndCode, Filter, Frame, FrameFault, FrameKind, Progress, Subscribe, feed, frame,
};
use quinn::{ReadError, RecvStream, SendStream};
use tokio::time::{Instant, sleep_until};

use crate::error::ConnectionError;
use crate::fake::Followed;
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, FEED_CREDIT, FEED_READ_BYTES};
use crate::pool::{Pool, Source, Stream};

/// A durable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedRecord {
    /// Where it stands in the log.
    pub lsn: Lsn,
    /// What was asked, what was decided, and all that changed because of it.
    pub record: Record,
}

/// What a feed tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are records; a box for each would cost more"
)]
pub enum FeedEvent {
    /// A record that the filter wants.
    Record(FeedRecord),
    /// Every record up to a place, of those that the filter wants, was told.
    Progress {
        /// Up to here.
        position: Lsn,
        /// How far the server's log was durable then. If it is the position, there was nothing more.
        durable: Lsn,
    },
}

/// Why a feed cannot go on. Everything else it waits for.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The role or its permits do not cover what the filter lets through.
    #[error("the server does not allow this subscription: {reason}")]
    NotAllowed {
        /// What is missing.
        reason: String,
    },
    /// The filter has something that the server does not know.
    #[error("the server does not understand this subscription: {reason}")]
    Malformed {
        /// What.
        reason: String,
    },
    /// The server's log ends before what the caller has seen: records are missing there.
    #[error("the server's log ends before record {after}, which was seen here: {reason}")]
    Ahead {
        /// What was seen.
        after: Lsn,
        /// How far the server is.
        reason: String,
    },
    /// The server's log does not go back so far, or cannot be read there.
    #[error("the server cannot read its log after record {after}: {reason}")]
    Unavailable {
        /// Where.
        after: Lsn,
        /// Why.
        reason: String,
    },
    /// The server sends what this version cannot read: it is newer.
    #[error("record {lsn} has no {field} that this version knows: bring this program up to date")]
    Unreadable {
        /// Which record.
        lsn: Lsn,
        /// What of it.
        field: &'static str,
    },
    /// There is no connection, and trying again would change nothing.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A subscription. It connects when it is first asked for something, and again whenever it has to. Dropping it ends it.
pub struct Feed {
    from: Origin,
    filter: Filter,
    /// Everything that the filter wants was told up to here.
    position: Lsn,
    attached: Option<Attached>,
    /// How often the server was too slow for.
    cut_off: u64,
    fault: Option<ConnectionError>,
    pause: std::time::Duration,
    /// Not to be tried again before.
    retry_at: Option<Instant>,
    failed: Option<FeedError>,
}

/// Where the records come from.
enum Origin {
    Server(Arc<Pool>),
    Here(Followed),
}

/// A stream that carries the feed.
struct Attached {
    send: SendStream,
    receive: RecvStream,
    unread: BytesMut,
    /// Records that were told on this stream.
    told: u64,
    /// How many the server may send in all.
    given: u64,
    /// What is being written.
    writing: Bytes,
    /// Items of a frame of records that are still to be told.
    items: Bytes,
    /// Its place on its connection.
    _place: Arc<()>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { filter, position, .. } = self;
        f.debug_struct("Feed").field("filter", filter).field("position", position).finish_non_exhaustive()
    }
}

/// What came of a look at the stream.
#[expect(clippy::large_enum_variant, reason = "it is moved once")]
enum Came {
    Event(FeedEvent),
    Lost(ConnectionError),
    Ended(FeedEndCode, String),
    Failed(FeedError),
}

impl Feed {
    pub(crate) fn new(source: Source, filter: Filter, after: Lsn) -> Self {
        let from = match source {
            Source::Server(pool) => Origin::Server(pool),
            Source::Here(here) => Origin::Here(here.follow()),
        };
        Self {
            from,
            filter,
            position: after,
            attached: None,
            cut_off: 0,
            fault: None,
            pause: BACKOFF_MIN,
            retry_at: None,
            failed: None,
        }
    }

    /// Everything that the filter wants was told up to here. What was done with it and this belong together: a program
    /// that keeps both in one place, and subscribes again from here, misses nothing and does nothing twice.
    #[must_use]
    pub const fn position(&self) -> Lsn {
        self.position
    }

    /// Why there is no connection at the moment, if there is none.
    #[must_use]
    pub fn fault(&self) -> Option<ConnectionError> {
        self.fault.clone()
    }

    /// How often this program was cut off because it did not take its records for too long. Nothing is lost by that.
    #[must_use]
    pub const fn times_cut_off(&self) -> u64 {
        self.cut_off
    }

    /// The next record, or word of progress. Waits for it for ever: through lost connections and restarts of the server. Can
    /// be dropped and called again: nothing is lost or told twice.
    ///
    /// # Errors
    /// [`FeedError`] if the feed cannot go on. It stays so.
    pub async fn next(&mut self) -> Result<FeedEvent, FeedError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        loop {
            let came = match (&mut self.from, &mut self.attached) {
                (Origin::Here(followed), _) => match followed.next(self.position, &self.filter).await {
                    Ok(event) => Came::Event(event),
                    Err(failed) => Came::Failed(failed),
                },
                (_, Some(attached)) => attached.next(self.position).await,
                (Origin::Server(pool), None) => {
                    let pool = Arc::clone(pool);
                    match self.attach(&pool).await {
                        Ok(()) => continue,
                        Err(fault) if fault.is_final() => Came::Failed(fault.into()),
                        Err(fault) => Came::Lost(fault),
                    }
                }
            };
            match came {
                Came::Event(event) => return Ok(self.tell(event)),
                Came::Failed(failed) => {
                    self.attached = None;
                    self.failed = Some(failed.clone());
                    return Err(failed);
                }
                Came::Lost(fault) => self.lost(fault),
                Came::Ended(FeedEndCode::TooSlow, _) => {
                    self.cut_off += 1;
                    self.attached = None;
                }
                Came::Ended(code, reason) => self.lost(ConnectionError::Lost(format!(
                    "the server ended the feed: {}: {reason}",
                    code.name()
                ))),
            }
        }
    }

    /// The next record; words of progress are passed over.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_record(&mut self) -> Result<FeedRecord, FeedError> {
        loop {
            if let FeedEvent::Record(record) = self.next().await? {
                return Ok(record);
            }
        }
    }

    fn tell(&mut self, event: FeedEvent) -> FeedEvent {
        match event {
            FeedEvent::Record(FeedRecord { lsn, .. }) => self.position = lsn,
            FeedEvent::Progress { position, .. } => self.position = self.position.max(position),
        }
        if let Origin::Server(pool) = &self.from {
            pool.saw(self.position);
        }
        self.pause = BACKOFF_MIN;
        event
    }

    fn lost(&mut self, fault: ConnectionError) {
        tracing::debug!(%fault, position = %self.position, "a feed has no connection");
        self.attached = None;
        self.fault = Some(fault);
        self.retry_at = Some(Instant::now() + self.pause.mul_f64(rand::random_range(0.5..=1.0)));
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
    }

    async fn attach(&mut self, pool: &Pool) -> Result<(), ConnectionError> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
            self.retry_at = None;
        }
        let Stream { send, receive, place } = pool.open().await?;
        let asked = Subscribe { after: self.position, filter: self.filter, credit: FEED_CREDIT };
        self.attached = Some(Attached {
            send,
            receive,
            unread: BytesMut::new(),
            told: 0,
            given: FEED_CREDIT,
            writing: Bytes::from(frame::subscribe(&asked)),
            items: Bytes::new(),
            _place: place,
        });
        self.fault = None;
        Ok(())
    }
}

impl Attached {
    async fn next(&mut self, position: Lsn) -> Came {
        loop {
            if let Some(came) = self.take_item(position) {
                return came;
            }
            match self.take_frame(position) {
                Ok(Some(came)) => return came,
                Ok(None) if !self.items.is_empty() => continue,
                Ok(None) => {}
                Err(fault) => return Came::Lost(ConnectionError::Protocol(fault)),
            }
            if let Err(fault) = self.exchange().await {
                return fault;
            }
        }
    }

    /// The next record of the frame that is being told.
    fn take_item(&mut self, position: Lsn) -> Option<Came> {
        if self.items.is_empty() {
            return None;
        }
        let item = self.items.split_to(feed::FEED_ITEM_BYTES.min(self.items.len()));
        let malformed = || Came::Lost(ConnectionError::Protocol(malformed_at(8)));
        let Some((lsn, record)) = feed::read_feed_item(&item) else { return Some(malformed()) };
        if lsn <= position {
            return Some(malformed());
        }
        self.told += 1;
        if self.given - self.told <= FEED_CREDIT / 2 && self.writing.is_empty() {
            self.given = self.told + FEED_CREDIT;
            self.writing = Bytes::from(frame::credit(self.given));
        }
        Some(match Record::from_bytes(record) {
            Ok(record) => Came::Event(FeedEvent::Record(FeedRecord { lsn, record })),
            Err(fault) => Came::Failed(FeedError::Unreadable { lsn, field: fault.0 }),
        })
    }

    /// The next frame, if it is there. Records are left to be told one by one.
    fn take_frame(&mut self, position: Lsn) -> Result<Option<Came>, FrameFault> {
        let Some((frame, length)) = Frame::split(&self.unread)? else { return Ok(None) };
        let came = match frame.kind {
            FrameKind::Feed => None,
            FrameKind::Progress => {
                let Progress { position, durable } =
                    Progress::from_bytes(frame.items).ok_or(malformed_at(8))?;
                Some(Came::Event(FeedEvent::Progress { position, durable }))
            }
            FrameKind::FeedEnd => {
                Some(ended(FeedEnd::from_bytes(frame.items).ok_or(malformed_at(8))?, position))
            }
            FrameKind::Goodbye => {
                let (code, reason) = frame::read_goodbye(frame.items);
                Some(Came::Lost(ConnectionError::Closed { code, reason: reason.to_owned() }))
            }
            // A checkpoint, for those who verify them.
            FrameKind::Checkpoint => None,
            _ => return Err(FrameFault { code: CloseCode::FrameUnknown, offset: 4 }),
        };
        let is_feed = frame.kind == FrameKind::Feed;
        let mut whole = self.unread.split_to(length);
        if is_feed {
            whole.advance(cage_protocol::FRAME_HEADER_BYTES);
            self.items = whole.freeze();
        }
        if came.is_none() && !is_feed {
            return self.take_frame(position);
        }
        Ok(came)
    }

    /// Writes what is to be written and reads what is there, whichever comes first.
    async fn exchange(&mut self) -> Result<(), Came> {
        let Self { send, receive, writing, unread, .. } = self;
        let is_writing = !writing.is_empty();
        tokio::select! {
            written = send.write_chunks(std::slice::from_mut(writing)), if is_writing => {
                written.map(drop).map_err(|lost| Came::Lost(lost.into()))
            }
            chunk = receive.read_chunk(FEED_READ_BYTES, true) => match chunk {
                Ok(Some(chunk)) => {
                    unread.extend_from_slice(&chunk.bytes);
                    Ok(())
                }
                Ok(None) => Err(Came::Lost(ConnectionError::ended())),
                Err(ReadError::Reset(code)) => Err(reset(code.into_inner())),
                Err(lost) => Err(Came::Lost(lost.into())),
            },
        }
    }
}

const fn malformed_at(offset: usize) -> FrameFault {
    FrameFault { code: CloseCode::FrameMalformed, offset }
}

/// The server could not even write why.
fn reset(code: u64) -> Came {
    let code = u16::try_from(code).ok().and_then(FeedEndCode::from_number);
    code.map_or_else(
        || Came::Lost(ConnectionError::Lost("the server reset the stream".to_owned())),
        |code| Came::Ended(code, code.meaning().to_owned()),
    )
}

fn ended(end: FeedEnd<'_>, position: Lsn) -> Came {
    let FeedEnd { code, reason, .. } = end;
    let (reason, after) = (reason.to_owned(), position);
    match code {
        Some(FeedEndCode::NotAllowed) => Came::Failed(FeedError::NotAllowed { reason }),
        Some(FeedEndCode::Malformed) => Came::Failed(FeedError::Malformed { reason }),
        Some(FeedEndCode::Ahead) => Came::Failed(FeedError::Ahead { after, reason }),
        Some(FeedEndCode::Unavailable) => Came::Failed(FeedError::Unavailable { after, reason }),
        Some(code) => Came::Ended(code, reason),
        None => Came::Lost(ConnectionError::Lost(format!("the server ended the feed: {reason}"))),
    }
}
