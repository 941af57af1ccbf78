//! The client that a front-end uses.
//!
//! In: operations. Out: their answers. A player's requests go the same lane, in the order of the calls. Never here:
//! bytes, connections.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cage_engine::{
    Amount, AssetCode, AssetId, Balance, CallerId, Expiry, GameId, Lsn, Operation, PlayerClass, PlayerId,
    RequestId, SessionId,
};
use cage_protocol::{Ask, Read, Watermark, Welcome};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::ConnectionError;
use crate::lane::{Lane, Submission};
use crate::link::{Dialer, Link};
use crate::outcome::{Error, Executed};
use crate::shared::Shared;
use crate::window::Entry;

/// A handle to the ledger, for one role. Cheap to clone. When the last clone is dropped, what was submitted is still
/// answered, then the connections close; [`Client::close`] waits for that.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
    deadline: Duration,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    lanes: Vec<mpsc::UnboundedSender<Submission>>,
    closing: watch::Sender<bool>,
    endpoint: Endpoint,
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
        let shared = Arc::<Shared>::default();
        let first = *config
            .addresses
            .first()
            .ok_or_else(|| ConnectionError::Address("no address is given".to_owned()))?;
        let endpoint = Endpoint::new(&credentials, &config.server_name, first)?;
        let mut dialer = Dialer::new(endpoint.clone(), config.addresses, Arc::clone(&shared));
        let (closing, closed) = watch::channel(false);
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
            tokio::spawn(link.run(connection));
        }
        let handle = Handle { shared, lanes, closing, endpoint };
        Ok(Self { handle: Arc::new(handle), deadline: config.deadline })
    }

    /// The same client with another deadline for what is submitted through it.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { handle: Arc::clone(&self.handle), deadline }
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
        let (entry, submitted) = self.entry(id, Ask::Operation(operation.request(id)));
        self.hand_over(lane_of(&operation), Submission::One(entry));
        submitted
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
        let lane = operations.first().map_or(0, |(_, operation)| lane_of(operation));
        let mut answers = Vec::with_capacity(operations.len());
        let mut entries = Vec::with_capacity(operations.len());
        for (id, operation) in operations {
            let (entry, submitted) = self.entry(id, Ask::Operation(operation.request(id)));
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

    /// Reads, behind everything that was submitted for the same player.
    pub fn read(&self, read: Read) -> Submitted {
        let lane = match read {
            Read::Balances { player, .. } => player.number() / 100,
            Read::Totals { .. } => 0,
        };
        let (entry, submitted) = self.entry(RequestId::NONE, Ask::Read(read));
        self.hand_over(lane, Submission::One(entry));
        submitted
    }

    /// The most that was seen of the log. Every hello presents it.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        self.handle.shared.watermark()
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
        self.handle.endpoint.wait_idle().await;
    }

    fn entry(&self, id: RequestId, ask: Ask) -> (Entry, Submitted) {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.deadline;
        let entry = Entry { ask, id, deadline, answer, doubt: false, code: None, together: 1 };
        (entry, Submitted { id, answer: answered })
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
            let _ = entry.answer.send(Err(Error::NotTaken { id: entry.id, code: None }));
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
fn lane_of(operation: &Operation) -> u64 {
    match *operation {
        Operation::OpenPlayer { caller_id, .. } => (caller_id.0 ^ (caller_id.0 >> 64)) as u64,
        Operation::DepositCredit { player, .. }
        | Operation::Transfer { from: player, .. }
        | Operation::Reserve { player, .. }
        | Operation::Settle { player, .. }
        | Operation::Cancel { player, .. }
        | Operation::Expire { player, .. } => player.number() / 100,
        _ => 0,
    }
}

/// The operations by name. All of them submit at once; the answer can be awaited later.
impl Client {
    /// Opens an asset, or gives the number of the one of this code. For operators.
    pub fn open_asset(
        &self,
        code: AssetCode,
        scale: u8,
        transfers: bool,
        amount_max: Amount,
    ) -> impl Future<Output = Result<AssetId, Error>> + Send + use<> {
        let opened = self.submit(Operation::OpenAsset { code, scale, transfers, amount_max });
        async { opened.await.map(|executed| executed.asset) }
    }

    /// Opens a player, or gives the number of the one of this caller id.
    pub fn open_player(
        &self,
        caller_id: CallerId,
        brand: u16,
        jurisdiction: u16,
        class: PlayerClass,
    ) -> impl Future<Output = Result<PlayerId, Error>> + Send + use<> {
        let opened = self.submit(Operation::OpenPlayer { caller_id, brand, jurisdiction, class });
        async {
            let executed = opened.await?;
            // A number with wrong check digits cannot have been handed out: then it is not known what was.
            PlayerId::new(executed.player).map_err(|_| Error::Unknown { id: executed.id })
        }
    }

    /// Credits a deposit, once per `key`: the [permanent key](crate::permanent_key) of the outside fact.
    pub fn deposit(
        &self,
        key: RequestId,
        player: PlayerId,
        asset: AssetId,
        amount: Amount,
        chain: u32,
    ) -> Submitted {
        self.submit_with_id(key, Operation::DepositCredit { player, asset, amount, chain })
    }

    /// Moves money from one player to another.
    pub fn transfer(&self, from: PlayerId, to: PlayerId, asset: AssetId, amount: Amount) -> Submitted {
        self.submit(Operation::Transfer { from, to, asset, amount, session: SessionId::default() })
    }

    /// Sets a stake aside. The answer's id is the hold's name; it never expires by itself.
    pub fn reserve(
        &self,
        player: PlayerId,
        asset: AssetId,
        stake: Amount,
        payout_max: Amount,
        game: GameId,
    ) -> Submitted {
        let (session, expiry) = (SessionId::default(), Expiry::Never);
        self.submit(Operation::Reserve { player, asset, stake, payout_max, game, session, expiry })
    }

    /// Takes `stake` from a hold and pays `payout`.
    pub fn settle(
        &self,
        player: PlayerId,
        asset: AssetId,
        hold: RequestId,
        stake: Amount,
        payout: Amount,
    ) -> Submitted {
        self.submit(Operation::Settle { player, asset, hold, stake, payout })
    }

    /// Gives back what is left of a hold.
    pub fn cancel(&self, player: PlayerId, asset: AssetId, hold: RequestId) -> Submitted {
        self.submit(Operation::Cancel { player, asset, hold })
    }

    /// A player's purses in an asset.
    pub fn balances(
        &self,
        player: PlayerId,
        asset: AssetId,
    ) -> impl Future<Output = Result<Balances, Error>> + Send + use<> {
        let read = self.read(Read::Balances { player, asset });
        async {
            let Executed { available, reserved, lsn, .. } = read.await?;
            let (available, reserved) = (available.unwrap_or_default(), reserved.unwrap_or_default());
            Ok(Balances { available, reserved, as_of: lsn })
        }
    }

    /// What all players, and what the house, hold of an asset.
    pub fn totals(&self, asset: AssetId) -> impl Future<Output = Result<Totals, Error>> + Send + use<> {
        let read = self.read(Read::Totals { asset });
        async {
            let Executed { available, reserved, lsn, .. } = read.await?;
            let (players, house) = (available.unwrap_or_default(), reserved.unwrap_or_default());
            Ok(Totals { players, house, as_of: lsn })
        }
    }
}
