//! One connection at a time for some lanes: watches it, replaces it.
//!
//! In: the first connection. Out: streams for the lanes, again and again. What was unanswered the lanes send again,
//! with the same ids. Never here: a request; an attempt without a pause after one that failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cage_protocol::CloseCode;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{Connection, Watch};
use crate::endpoint::Endpoint;
use crate::error::ConnectionError;
use crate::lane::{Detached, Open};
use crate::limits::{
    BACKOFF_MAX, BACKOFF_MIN, CONNECT_ATTEMPT_MAX, CONNECT_ATTEMPT_MIN, GOODBYE_TIME_MAX, SILENCE_CHECK,
    SILENCE_MAX, SILENCE_MIN,
};
use crate::shared::Shared;

/// Connects, to one address after the other, with growing patience.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    addresses: Vec<SocketAddr>,
    next: usize,
    shared: Arc<Shared>,
    /// Its connections are for those who only listen: they ask for no checkpoints, and say nothing of the client's faults.
    listens: bool,
}

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint, addresses: Vec<SocketAddr>, shared: Arc<Shared>) -> Self {
        Self { endpoint, addresses, next: 0, shared, listens: false }
    }

    /// One for connections of those who only listen.
    pub(crate) fn for_listeners(&self) -> Self {
        Self { endpoint: self.endpoint.for_listeners(), listens: true, ..self.clone() }
    }

    /// One attempt. The one after a failure goes to the next address.
    pub(crate) async fn attempt(&mut self, time: Duration) -> Result<Connection, ConnectionError> {
        let address = self.addresses[self.next];
        let watch = (!self.listens).then(|| Watch { latest: self.shared.checkpoint() });
        let connecting = self.endpoint.greet(address, self.shared.watermark(), watch);
        let connected = timeout(time, connecting)
            .await
            .unwrap_or(Err(ConnectionError::NoAnswer { address, after: time }));
        match &connected {
            Ok(connection) => self.shared.connected(connection.welcome()),
            Err(fault) => {
                tracing::debug!(%address, %fault, "cannot connect");
                if !self.listens {
                    self.shared.lost(fault.clone());
                }
                self.next = (self.next + 1) % self.addresses.len();
            }
        }
        connected
    }

    /// Attempts until one succeeds or `give_up` says that it is enough.
    pub(crate) async fn dial(
        &mut self,
        give_up: impl Fn(&ConnectionError) -> bool,
    ) -> Result<Connection, ConnectionError> {
        let (mut pause, mut time) = (BACKOFF_MIN, CONNECT_ATTEMPT_MIN);
        loop {
            match self.attempt(time).await {
                Err(fault) if !give_up(&fault) => {
                    sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
                    if matches!(fault, ConnectionError::NoAnswer { .. }) {
                        time = (time * 2).min(CONNECT_ATTEMPT_MAX);
                    }
                    pause = (pause * 2).min(BACKOFF_MAX);
                }
                done => return done,
            }
        }
    }
}

pub(crate) struct Link {
    dialer: Dialer,
    streams: Vec<mpsc::Sender<Open>>,
    detached: mpsc::UnboundedReceiver<Detached>,
    lanes: JoinSet<()>,
    /// How many connections there were.
    connections: u64,
    patience: Duration,
    /// Held so that whoever closes the client waits for the connection's end.
    _closed: watch::Receiver<bool>,
}

/// What becomes of a connection.
enum End {
    Lost(ConnectionError),
    Replaced(Box<Connection>),
    Finished,
}

impl Link {
    pub(crate) fn new(
        dialer: Dialer,
        streams: Vec<mpsc::Sender<Open>>,
        detached: mpsc::UnboundedReceiver<Detached>,
        lanes: JoinSet<()>,
        closed: watch::Receiver<bool>,
    ) -> Self {
        Self { dialer, streams, detached, lanes, connections: 0, patience: SILENCE_MIN, _closed: closed }
    }

    /// Serves until the lanes have ended.
    pub(crate) async fn run(mut self, mut connection: Connection) {
        loop {
            let end = match self.open(&mut connection).await {
                Ok(credit) => self.watch(&connection, &credit).await,
                Err(fault) => End::Lost(fault),
            };
            connection.close(CloseCode::Done);
            connection = match end {
                End::Finished => return,
                End::Replaced(other) => *other,
                End::Lost(fault) => {
                    tracing::warn!(%fault, "connection lost");
                    self.dialer.shared.lost(fault);
                    self.patience = SILENCE_MIN;
                    tokio::select! {
                        Ok(other) = self.dialer.dial(|_| false) => other,
                        () = all_ended(&mut self.lanes) => return,
                    }
                }
            };
            tracing::info!(epoch = connection.welcome().epoch, "connected again");
        }
    }

    /// Hands every lane a stream.
    async fn open(&mut self, connection: &mut Connection) -> Result<Credit, ConnectionError> {
        self.connections += 1;
        let most = (connection.welcome().in_flight_max as usize).clamp(1, Semaphore::MAX_PERMITS);
        let credit = Arc::new(Semaphore::new(most));
        for lane in &self.streams {
            let stream = connection.open_stream().await?;
            // A lane that has ended needs none.
            let _ =
                lane.send(Open { stream, credit: Arc::clone(&credit), connection: self.connections }).await;
        }
        Ok(Credit { credit, most })
    }

    async fn watch(&mut self, connection: &Connection, credit: &Credit) -> End {
        let (number, lanes) = (self.connections, &mut self.lanes);
        tokio::select! {
            fault = connection.closed() => End::Lost(fault),
            fault = first_detached(&mut self.detached, number) => {
                // Other lanes may still be told something; and the close says more than the end of a stream.
                let closed = timeout(GOODBYE_TIME_MAX, connection.closed()).await;
                End::Lost(match (fault, closed) {
                    (ConnectionError::Lost(_), Ok(closed)) => closed,
                    (fault, _) => fault,
                })
            }
            other = replacement(&mut self.dialer, connection, credit, self.patience) => {
                self.patience = (self.patience * 2).min(SILENCE_MAX);
                End::Replaced(Box::new(other))
            }
            () = all_ended(lanes) => End::Finished,
        }
    }
}

/// How much a connection may have unanswered, and how much of it is left.
struct Credit {
    credit: Arc<Semaphore>,
    most: usize,
}

impl Credit {
    fn has_unanswered(&self) -> bool {
        self.credit.available_permits() < self.most
    }
}

/// Waits for a lane that lost its stream of this connection.
async fn first_detached(
    detached: &mut mpsc::UnboundedReceiver<Detached>,
    connection: u64,
) -> ConnectionError {
    loop {
        match detached.recv().await {
            Some((number, fault)) if number == connection => return fault,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// Waits until the server is silent with requests unanswered and another connection to it, or to the next one, can
/// be made while it stays so. A process that was killed does not say so, and QUIC would wait for it much longer.
async fn replacement(
    dialer: &mut Dialer,
    connection: &Connection,
    credit: &Credit,
    patience: Duration,
) -> Connection {
    let (mut heard, mut since) = (connection.datagrams_received(), Instant::now());
    loop {
        sleep(SILENCE_CHECK).await;
        let received = connection.datagrams_received();
        if received != heard || !credit.has_unanswered() {
            (heard, since) = (received, Instant::now());
        } else if since.elapsed() >= patience {
            match dialer.attempt(CONNECT_ATTEMPT_MIN).await {
                Ok(other) if connection.datagrams_received() == heard => return other,
                Ok(other) => other.close(CloseCode::Done),
                Err(_) => {}
            }
        }
    }
}

async fn all_ended(lanes: &mut JoinSet<()>) {
    while lanes.join_next().await.is_some() {}
}
