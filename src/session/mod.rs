//! One front-end connection: its streams, what it has unanswered, how it ends.
//!
//! In: an authenticated QUIC connection. Out: batches for the inbox; replies on the stream that asked. Unread streams
//! are the backpressure: a session that has too much unanswered reads no more. A stream may become a subscription to the feed
//! instead. Never here: what a request means.

mod hello;
mod query;
mod stream;
mod subscription;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use bytes::Bytes;
use cage_engine::{Lsn, State, Timestamp};
use cage_protocol::{CloseCode, Filter, frame};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::Notify;

use crate::admin::board::Numbers;
use crate::certs::Identity;
use crate::feed::Feed;
use crate::limits::{HELLO_TIME_MAX, IN_FLIGHT_PER_CONNECTION_MAX};
use crate::sequencer::inbox::Inbox;
use crate::tokens::Tokens;

pub use hello::{First, Greeting};
pub use stream::StreamEnd;

/// What sessions share with the rest of the server.
pub trait Host {
    /// Where requests go.
    fn inbox(&self) -> &Inbox;
    /// The time at which bytes arrive.
    fn now(&self) -> Timestamp;
    /// What session tokens are checked with.
    fn tokens(&self) -> &Tokens;
    /// Where subscriptions ask for records.
    fn feed(&self) -> &Feed;
    /// The queries that are being answered.
    fn queries(&self) -> &Places;
    /// Looks at the ledger between two batches; gives what was seen when it is durable, and the latest record that was seen.
    /// Nothing if the server ends.
    fn look<T: 'static>(
        &self,
        at: impl FnOnce(&State) -> T + 'static,
    ) -> impl Future<Output = Option<(T, Lsn)>>;
    /// Whether a caller may follow what a filter lets through.
    ///
    /// # Errors
    /// What is missing, in words.
    fn may_follow(&self, identity: &Identity, filter: &Filter) -> impl Future<Output = Result<(), String>>;
    /// Where it is counted what became of connections.
    fn numbers(&self) -> &Numbers;
    /// What a client is told first, or why it is turned away.
    ///
    /// # Errors
    /// The reason to close the connection with, and a sentence for its reader.
    fn greet(
        &self,
        first: &First,
        identity: &Identity,
    ) -> impl Future<Output = Result<Greeting, (CloseCode, String)>>;
}

/// Places of which only so many are taken at a time.
#[derive(Debug, Default)]
pub struct Places(Rc<()>);

impl Places {
    /// A place, given back when it is dropped; none if all are taken.
    #[must_use]
    pub fn enter(&self, most: usize) -> Option<Rc<()>> {
        (Rc::strong_count(&self.0) <= most).then(|| Rc::clone(&self.0))
    }
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    identity: Identity,
    in_flight: Cell<usize>,
    answered: Notify,
    /// The client asked for checkpoints.
    checkpoints: Cell<bool>,
    draining: Cell<bool>,
    drain: Notify,
    streams: RefCell<Vec<Weak<StreamEnd>>>,
}

impl Session {
    /// A session on a connection whose certificate was checked.
    #[must_use]
    pub fn new(connection: Connection, identity: Identity) -> Rc<Self> {
        Rc::new(Self {
            connection,
            identity,
            in_flight: Cell::new(0),
            answered: Notify::new(),
            checkpoints: Cell::new(false),
            draining: Cell::new(false),
            drain: Notify::new(),
            streams: RefCell::default(),
        })
    }

    /// Serves the connection until it ends.
    pub async fn run(self: Rc<Self>, host: Rc<impl Host + 'static>) {
        let peer = self.connection.remote_address();
        match self.serve(Rc::clone(&host)).await {
            Ok(()) => tracing::debug!(%peer, caller = %self.identity.uri, "session ended"),
            Err(Ended { code, reason }) => {
                host.numbers().session_closed(code);
                tracing::warn!(%peer, caller = %self.identity.uri, code = code.name(), %reason, "session closed");
                self.close(code, &reason);
            }
        }
    }

    async fn serve(self: &Rc<Self>, host: Rc<impl Host + 'static>) -> Result<(), Ended> {
        let first = tokio::time::timeout(HELLO_TIME_MAX, self.hello(&*host)).await;
        let Some((send, receive, unread)) =
            first.map_err(|_| Ended::new(CloseCode::HelloTooLate, "no hello"))??
        else {
            return Ok(());
        };
        let mut streams = tokio::task::JoinSet::new();
        let serve =
            |send, receive, unread| stream::run(Rc::clone(self), Rc::clone(&host), send, receive, unread);
        streams.spawn_local(serve(send, receive, unread));
        loop {
            tokio::select! {
                accepted = self.connection.accept_bi() => match accepted {
                    Ok((send, receive)) => { streams.spawn_local(serve(send, receive, Vec::new())); }
                    Err(_) => return Ok(()),
                },
                Some(ended) = streams.join_next() => {
                    ended.map_err(|panic| Ended::new(CloseCode::Internal, &panic.to_string()))??;
                }
                () = self.drain.notified() => {}
            }
            if self.draining.get() && streams.is_empty() {
                self.close(CloseCode::Draining, CloseCode::Draining.meaning());
                return Ok(());
            }
        }
    }

    /// Reads the hello and answers it. Nothing if the client went away.
    async fn hello(&self, host: &impl Host) -> Result<Option<(SendStream, RecvStream, Vec<u8>)>, Ended> {
        let Ok((mut send, mut receive)) = self.connection.accept_bi().await else { return Ok(None) };
        let Some((first, unread)) = hello::read(&mut receive).await? else { return Ok(None) };
        match host.greet(&first, &self.identity).await {
            Ok(Greeting(welcome)) => {
                self.checkpoints.set(first.hello.checkpoints);
                let sent = send.write_all(&frame::welcome(&welcome)).await;
                Ok(sent.is_ok().then_some((send, receive, unread)))
            }
            Err((code, reason)) => {
                let _ = send.write_all(&frame::goodbye(code, &reason)).await;
                Err(Ended { code, reason })
            }
        }
    }

    fn add_stream(&self, stream: &Rc<StreamEnd>) {
        let mut streams = self.streams.borrow_mut();
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(Rc::downgrade(stream));
    }

    /// Sends a notice, in its frame, on any of its streams, if the client asked for such.
    pub fn tell(&self, frame: &Bytes) {
        let streams = self.streams.borrow();
        let mut open = streams.iter().filter_map(Weak::upgrade).filter(|stream| stream.is_open());
        if self.checkpoints.get()
            && let Some(stream) = open.next()
        {
            stream.tell(frame.clone());
        }
    }

    const fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Ends the session as soon as everything that was taken is answered.
    pub fn drain(&self) {
        self.draining.set(true);
        self.drain.notify_one();
        for stream in self.streams.borrow().iter().filter_map(Weak::upgrade) {
            stream.wake();
        }
    }

    /// Who the caller is.
    pub fn caller(&self) -> &str {
        &self.identity.uri
    }

    /// Whether an authority would let the caller in now.
    pub fn is_known_to(&self, callers: &dyn ClientCertVerifier) -> bool {
        let chain = self.connection.peer_identity();
        let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        chain.as_ref().and_then(|chain| chain.split_first()).is_some_and(|(first, between)| {
            callers.verify_client_cert(first, between, UnixTime::now()).is_ok()
        })
    }

    /// Ends the connection, with a reason that the other side can read.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(VarInt::from_u32(code as u32), reason.as_bytes());
    }

    /// Waits until the client may have more unanswered.
    async fn credit(&self) {
        while self.in_flight.get() >= IN_FLIGHT_PER_CONNECTION_MAX as usize {
            self.answered.notified().await;
        }
    }

    fn taken(&self, count: usize) {
        self.in_flight.set(self.in_flight.get() + count);
    }

    fn answered(&self, count: usize) {
        self.in_flight.set(self.in_flight.get().saturating_sub(count));
        self.answered.notify_waiters();
    }
}

/// Why a session was ended by the server.
#[derive(Debug)]
struct Ended {
    code: CloseCode,
    reason: String,
}

impl Ended {
    fn new(code: CloseCode, reason: &str) -> Self {
        Self { code, reason: reason.to_owned() }
    }

    fn at(fault: cage_protocol::FrameFault) -> Self {
        Self {
            code: fault.code,
            reason: format!("{} (byte {} of the frame)", fault.code.meaning(), fault.offset),
        }
    }
}
