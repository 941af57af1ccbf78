//! The client that a front-end uses.
//!
//! In: operations. Out: their answers. A player's requests go the same lane, in the order of the calls. Never here:
//! bytes, connections.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use cage_engine::decide::GROUP_MAX;
use cage_engine::{Balance, Lsn, Operation, OperationKind, Request, RequestId, ResultCode};
use cage_protocol::{Ask, Filter, Read, SignedCheckpoint, TOKEN_BYTES_MAX, Watermark, Welcome};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::ConnectionError;
use crate::fake::Here;
use crate::feed::Feed;
use crate::kept;
use crate::lane::{Lane, Submission};
use crate::link::{Dialer, Link};
use crate::outcome::{Error, Executed};
use crate::pool::{Pool, Source};
use crate::shared::Shared;
use crate::window::{Entry, Group, Question, Token};

mod named;

/// A handle to the ledger, for one role. Cheap to clone. When the last clone is dropped, what was submitted is still
/// answered, then the connections close; [`Client::close`] waits for that.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
    deadline: Duration,
    grant: u16,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    lanes: Vec<mpsc::UnboundedSender<Submission>>,
    closing: watch::Sender<bool>,
    /// Where its feeds and queries go.
    source: Source,
    /// None if the ledger is in this process.
    endpoint: Option<Endpoint>,
}

/// A player's purses in an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balances {
    /// May be staked, sent, withdrawn.
    pub available: Balance,
    /// Open bets.
    pub reserved: Balance,
    /// The latest record that the read saw.
    pub as_of: Lsn,
}

/// What exists of an asset. The two sums together are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// What all players hold.
    pub players: Balance,
    /// What the house holds.
    pub house: Balance,
    /// The latest record that the read saw.
    pub as_of: Lsn,
}

/// The answer to come to something submitted. It was submitted by the call, whether or not this is awaited; dropping
/// it drops the answer, not the request.
#[derive(Debug)]
#[must_use = "the answer says whether it happened"]
pub struct Submitted {
    id: RequestId,
    answer: oneshot::Receiver<Result<Executed, Error>>,
}

impl Submitted {
    /// The id that it was submitted under.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }
}

impl Future for Submitted {
    type Output = Result<Executed, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        // A lane that is gone without an answer went down with its runtime.
        Poll::Ready(answer.unwrap_or(Err(Error::Unknown { id: self.id })))
    }
}

impl Client {
    /// Connects. Everything later runs on tasks of the tokio runtime around this call.
    ///
    /// # Errors
    /// [`ConnectionError`] if no server can be reached within [`Config::connect_time`]; at once if it is one that
    /// trying again cannot change, such as a certificate that is not accepted.
    pub async fn connect(config: Config, credentials: Credentials) -> Result<Self, ConnectionError> {
        let kept = config.watermark_file.as_deref().map(kept::read).transpose()?.unwrap_or_default();
        let shared = Arc::new(Shared::new(config.checkpoint_key, kept));
        let first = *config
            .addresses
            .first()
            .ok_or_else(|| ConnectionError::Address("no address is given".to_owned()))?;
        let endpoint = Endpoint::new(&credentials, &config.server_name, first)?;
        let mut dialer = Dialer::new(endpoint.clone(), config.addresses, Arc::clone(&shared));
        let (closing, closed) = watch::channel(false);
        let (alive, links) = mpsc::channel(1);
        let mut lanes = Vec::new();
        let until = Instant::now() + config.connect_time;
        for _ in 0..config.connections.max(1) {
            let dial = dialer.dial(ConnectionError::is_final);
            let connection = match timeout(until.saturating_duration_since(Instant::now()), dial).await {
                Ok(connection) => connection?,
                Err(_) => {
                    return Err(shared.fault().unwrap_or(ConnectionError::NoAnswer {
                        address: first,
                        after: config.connect_time,
                    }));
                }
            };
            let link = link(&dialer, &shared, &closed, config.streams.max(1), &mut lanes);
            let alive = alive.clone();
            tokio::spawn(async move {
                link.run(connection).await;
                drop(alive);
            });
        }
        if let Some(file) = config.watermark_file {
            tokio::spawn(kept::keep(file, Arc::clone(&shared), links, closed));
        }
        let pool = Arc::new(Pool::new(dialer.for_listeners(), Arc::clone(&shared)));
        let handle =
            Handle { shared, lanes, closing, source: Source::Server(pool), endpoint: Some(endpoint) };
        Ok(Self { handle: Arc::new(handle), deadline: config.deadline, grant: 0 })
    }

    /// A client whose submissions somebody else in this process answers.
    pub(crate) fn of_lane(
        shared: Arc<Shared>,
        lane: mpsc::UnboundedSender<Submission>,
        closing: watch::Sender<bool>,
        deadline: Duration,
        here: Here,
    ) -> Self {
        let handle =
            Handle { shared, lanes: vec![lane], closing, source: Source::Here(here), endpoint: None };
        Self { handle: Arc::new(handle), deadline, grant: 0 }
    }

    /// The same client with another deadline for what is submitted through it.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same client, acting under the grant of this number: for bridges, whose requests are refused as soon as
    /// another one was given the grant for the same provider or chain.
    #[must_use]
    pub fn with_grant(&self, number: u64) -> Self {
        // The wire has its lower 16 bits; 65,536 grants apart two of them look alike, and no bridge is that old.
        Self { grant: number as u16, ..self.clone() }
    }

    /// A new request id, by the clock that the server will compare it with.
    #[must_use]
    pub fn mint_id(&self) -> RequestId {
        self.handle.shared.mint.id()
    }

    /// Submits an operation under a new id.
    pub fn submit(&self, operation: Operation) -> Submitted {
        self.submit_with_id(self.mint_id(), operation)
    }

    /// Submits an operation under an id of the caller's: to retry one, or with a [permanent
    /// key](crate::permanent_key).
    pub fn submit_with_id(&self, id: RequestId, operation: Operation) -> Submitted {
        let request = operation.request(id);
        let (entry, submitted) = self.entry(id, self.ask(request));
        self.hand_over(lane_of(&request), Submission::One(entry));
        submitted
    }

    fn ask(&self, request: Request) -> Ask {
        Ask::Operation { request, grant: self.grant }
    }

    /// Submits operations in one frame, or few, for as far as credit allows. They are executed in their order, each
    /// for itself, on the lane of the first one's player: only for that player are they in order with what is
    /// submitted before and after.
    pub fn submit_batch(
        &self,
        operations: Vec<Operation>,
    ) -> impl Future<Output = Vec<Result<Executed, Error>>> + Send + use<> {
        self.submit_batch_with_ids(
            operations.into_iter().map(|operation| (self.mint_id(), operation)).collect(),
        )
    }

    /// [`Self::submit_batch`] under ids of the caller's.
    pub fn submit_batch_with_ids(
        &self,
        operations: Vec<(RequestId, Operation)>,
    ) -> impl Future<Output = Vec<Result<Executed, Error>>> + Send + use<> {
        let lane = operations.first().map_or(0, |(id, operation)| lane_of(&operation.request(*id)));
        let mut answers = Vec::with_capacity(operations.len());
        let mut entries = Vec::with_capacity(operations.len());
        for (id, operation) in operations {
            let (entry, submitted) = self.entry(id, self.ask(operation.request(id)));
            entries.push(entry);
            answers.push(submitted);
        }
        if let Some(first) = entries.first_mut() {
            first.together = answers.len();
            self.hand_over(lane, Submission::Together(entries));
        }
        async move {
            let mut outcomes = Vec::with_capacity(answers.len());
            for answer in answers {
                outcomes.push(answer.await);
            }
            outcomes
        }
    }

    /// Submits operations that happen together or not at all, each seeing what the ones before it did: up to 64 of
    /// those that move money, on the lane of the first one's player. There is one outcome for each. A group whose
    /// outcome is unknown is submitted again as it was, all of it, under the same ids.
    pub fn group(
        &self,
        operations: Vec<(RequestId, Operation)>,
    ) -> impl Future<Output = Vec<Result<Executed, Error>>> + Send + use<> {
        let ids: Vec<_> = operations.iter().map(|(id, _)| *id).collect();
        let (answer, answered) = oneshot::channel();
        self.hand_over_group(operations, answer);
        async move {
            // A lane that is gone without an answer went down with its runtime.
            answered.await.unwrap_or_else(|_| ids.into_iter().map(|id| Err(Error::Unknown { id })).collect())
        }
    }

    fn hand_over_group(
        &self,
        operations: Vec<(RequestId, Operation)>,
        answer: oneshot::Sender<Vec<Result<Executed, Error>>>,
    ) {
        let count = operations.len();
        if count == 0 || count > GROUP_MAX {
            let code = ResultCode::GroupMalformed;
            let refused = |(id, _)| Err(Error::Refused { id, code, lsn: Lsn::NONE, repeated: false });
            let _ = answer.send(operations.into_iter().map(refused).collect());
            return;
        }
        let lane = lane_of(&operations[0].1.request(operations[0].0));
        let request = |(place, (id, operation)): (usize, (RequestId, Operation))| {
            let linked = place + 1 < count;
            (id, self.ask(Request { linked, ..operation.request(id) }))
        };
        let members = operations.into_iter().enumerate().map(request).collect();
        let group = Group { members, replies: vec![None; count], answer };
        let mut entry = self.entry_of(Question::Group(Box::new(group)));
        entry.together = count;
        self.hand_over(lane, Submission::One(entry));
    }

    /// Submits a token that the casino signed for a session, under a new id. The answer's `player` is the session's
    /// number.
    pub fn submit_token(&self, token: &[u8]) -> Submitted {
        self.submit_token_with_id(self.mint_id(), token)
    }

    /// [`Self::submit_token`] under an id of the caller's.
    pub fn submit_token_with_id(&self, id: RequestId, token: &[u8]) -> Submitted {
        let (answer, answered) = oneshot::channel();
        let submitted = Submitted { id, answer: answered };
        if token.len() > TOKEN_BYTES_MAX {
            let (code, lsn) = (ResultCode::TokenInvalid, Lsn::NONE);
            let _ = answer.send(Err(Error::Refused { id, code, lsn, repeated: false }));
            return submitted;
        }
        let token = Token(Bytes::copy_from_slice(token));
        let question = Question::Session { id, grant: self.grant, token, answer };
        // Whose it is, the server reads in it; nothing for its player can need the session before it is open.
        self.hand_over(0, Submission::One(self.entry_of(question)));
        submitted
    }

    /// Reads, behind everything that was submitted for the same player.
    pub fn read(&self, read: Read) -> Submitted {
        let lane = match read {
            Read::Balances { player, .. } | Read::Purse { player, .. } => player.number() / 100,
            Read::Totals { .. } | Read::Session { .. } => 0,
        };
        let (entry, submitted) = self.entry(RequestId::NONE, Ask::Read(read));
        self.hand_over(lane, Submission::One(entry));
        submitted
    }

    /// Follows the log: every durable record after `after` that the filter wants, in their order, each once. With 0 it begins
    /// with the log's first record; to see what comes from now on, begin after [`Self::watermark`]. It has connections
    /// of its own, lives as long as it likes, and costs nothing while it is not asked.
    #[must_use]
    pub fn subscribe(&self, filter: Filter, after: Lsn) -> Feed {
        Feed::new(self.handle.source.clone(), filter, after)
    }

    pub(crate) fn source(&self) -> &Source {
        &self.handle.source
    }

    pub(crate) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The most that was seen of the log. Every hello presents it.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        self.handle.shared.watermark()
    }

    /// The latest checkpoint that the ledger signed and that was believed: what an auditor wants to see.
    #[must_use]
    pub fn checkpoint(&self) -> Option<SignedCheckpoint> {
        self.handle.shared.checkpoint()
    }

    /// What the server said when the latest connection was made.
    #[must_use]
    pub fn welcome(&self) -> Option<Welcome> {
        self.handle.shared.welcome()
    }

    /// Why there is no connection at the moment, if there is none.
    #[must_use]
    pub fn fault(&self) -> Option<ConnectionError> {
        self.handle.shared.fault()
    }

    /// Takes no more submissions, of any clone; waits until all are answered and the connections closed. It takes
    /// no longer than the deadlines of what was submitted.
    pub async fn close(&self) {
        self.handle.closing.send_replace(true);
        self.handle.closing.closed().await;
        if let Source::Server(pool) = &self.handle.source {
            pool.close().await;
        }
        if let Some(endpoint) = &self.handle.endpoint {
            endpoint.wait_idle().await;
        }
    }

    fn entry(&self, id: RequestId, ask: Ask) -> (Entry, Submitted) {
        let (answer, answered) = oneshot::channel();
        (self.entry_of(Question::One { id, ask, answer }), Submitted { id, answer: answered })
    }

    fn entry_of(&self, question: Question) -> Entry {
        let deadline = Instant::now() + self.deadline;
        Entry { question, deadline, doubt: false, code: None, together: 1 }
    }

    fn hand_over(&self, number: u64, submission: Submission) {
        let lanes = &self.handle.lanes;
        let lane = &lanes[(number % lanes.len() as u64) as usize];
        let Err(mpsc::error::SendError(submission)) = lane.send(submission) else { return };
        let entries = match submission {
            Submission::One(entry) => vec![entry],
            Submission::Together(entries) => entries,
        };
        for entry in entries {
            entry.answer(|id| Err(Error::NotTaken { id, code: None }));
        }
    }
}

/// A link and its lanes, whose ends are added to `lanes`.
fn link(
    dialer: &Dialer,
    shared: &Arc<Shared>,
    closed: &watch::Receiver<bool>,
    count: usize,
    lanes: &mut Vec<mpsc::UnboundedSender<Submission>>,
) -> Link {
    let (detached, detachments) = mpsc::unbounded_channel();
    let (mut streams, mut tasks) = (Vec::new(), JoinSet::new());
    for _ in 0..count {
        let (submit, submissions) = mpsc::unbounded_channel();
        let (hand_over, handed) = mpsc::channel(1);
        let lane = Lane::new(Arc::clone(shared), submissions, handed, detached.clone(), closed.clone());
        tasks.spawn(lane.run());
        lanes.push(submit);
        streams.push(hand_over);
    }
    Link::new(dialer.clone(), streams, detachments, tasks, closed.clone())
}

/// What decides on the lane: the player, or the name of one to be opened.
const fn lane_of(request: &Request) -> u64 {
    match request.kind {
        OperationKind::OpenPlayer => (request.reference ^ (request.reference >> 64)) as u64,
        _ => request.player.number() / 100,
    }
}
