//! The server as a whole: recovers, listens, drives the sequencer, drains.
//!
//! In: options, and a future that says when to stop. Out: a log that ends in order, or the reason why not. The
//! loop in [`Server::run`] is the only place where the parts meet.

mod renewal;
mod watching;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cage_engine::{Lsn, ResultCode, Settings, State, Timestamp};
use cage_protocol::{
    CloseCode, FRAME_ITEMS_MAX, Filter, Hello, SignedCheckpoint, VERSION, Welcome, frame, rights,
};
use cage_wal::snapshot::SnapshotFacts;
use cage_wal::storage::faulty::FaultPlan;
use cage_wal::{
    Callbacks, FlushStrategy, Identity as LogIdentity, LogFault, LogHandle, Lookup, OpenError, Position,
    RecoveryError,
};
use quinn::{Endpoint, Incoming, VarInt};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, spawn_local};

use self::renewal::Renewal;
use crate::admin::alarms::Alarm;
use crate::admin::board::{Board, Numbers, Phase, Served, TurnedAway};
use crate::certs::{self, CertsError, Identity};
use crate::clock::Clock;
use crate::commit::Commit;
use crate::data::DataDir;
use crate::endpoint::{self, Credentials, EndpointError};
use crate::feed::{Feed, Pipe, Tap};
use crate::guards::{self, Guards, Unfit};
use crate::limits;
use crate::proof::keys::{DEVELOPMENT_KEY, KeyError, SigningKey};
use crate::proof::signer::{Agreed, Signer, SignerError};
use crate::proof::witness::WitnessOptions;
use crate::recovery::{self, RecoverFault, Recovery, ReplayFault};
use crate::scrubber::{Findings, ScrubOptions, Scrubber};
use crate::sequencer::inbox::Inbox;
use crate::sequencer::look::Looks;
use crate::sequencer::{Closed, DueOutcome, LogFull, Sequencer};
use crate::session::{First, Greeting, Host, Places, Session};
use crate::snapshots::LoadFault;
use crate::snapshots::keeper::{Keeper, Schedule};
use crate::tokens::{KEYS_DIR, KeysError, Tokens, ensure_development_keys};
use crate::watermark::{Doubt, Watermarks};

/// How to run a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where everything is kept that must not be lost: `log/` and, unless set otherwise, `certs/`.
    pub data_dir: PathBuf,
    /// The folder of certificates; a development set is made in `data_dir/certs` if it is not given.
    pub certs: Option<PathBuf>,
    /// The key that checkpoints are signed with; a development one is made beside development certificates if it is not
    /// given.
    pub checkpoint_key: Option<PathBuf>,
    /// The files that checkpoints are kept in, if any.
    pub witness: Option<WitnessOptions>,
    /// How sealed segments are read again.
    pub scrub: ScrubOptions,
    /// The UDP address.
    pub listen: SocketAddr,
    /// What decisions depend on.
    pub settings: Settings,
    /// How bytes are made durable.
    pub flush: FlushStrategy,
    /// The size of a new segment, in bytes.
    pub segment_bytes: u64,
    /// How long the idle flusher looks for work before it sleeps.
    pub flush_poll: Duration,
    /// What is overridden of the demands on the machine.
    pub guards: Guards,
    /// For drills: which calls of the log's storage fail.
    pub faults: Option<FaultPlan>,
    /// Where segments go that snapshots cover; `data_dir/archive` if it is not given.
    pub archive: Option<PathBuf>,
    /// When snapshots are made; none = only by hand.
    pub snapshots: Option<Schedule>,
    /// Who is told what has become durable, and when: for programs that have a server inside and measure it.
    pub durable_told: Option<Sender<(Lsn, Instant)>>,
}

/// Why a server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificates do not do.
    #[error("certificates: {0}")]
    Certs(#[from] CertsError),
    /// The keys of session tokens do not do.
    #[error("session keys: {0}")]
    Keys(#[from] KeysError),
    /// The key of checkpoints does not do.
    #[error("checkpoint key: {0}")]
    CheckpointKey(#[from] KeyError),
    /// There is a witness and no key.
    #[error("--witness needs --checkpoint-key: nothing can be signed without a key")]
    WitnessWithoutKey,
    /// The log is not what was signed.
    #[error("the witness: {0}")]
    Witness(#[from] SignerError),
    /// The machine is not fit to keep money on.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The log cannot be recovered.
    #[error("the log cannot be recovered: {0}")]
    Recovery(#[from] RecoveryError<ReplayFault>),
    /// No snapshot can be used, nor passed over.
    #[error("the snapshots cannot be used: {0}")]
    Snapshot(#[from] LoadFault),
    /// The log cannot be opened for writing.
    #[error("the log cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// There is no randomness for a new log.
    #[error("no random numbers for the log: {0}")]
    Random(#[from] cage_wal::StorageError),
    /// The settings do not fit what is stored.
    #[error("the settings were refused: {} ({})", .0.name(), .0.meaning())]
    Settings(ResultCode),
    /// The operating system gives no signals.
    #[error("signals cannot be waited for: {0}")]
    Signal(std::io::Error),
    /// The endpoint cannot be opened.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The log failed while serving. Nothing after the failure was acknowledged.
    #[error("the log failed and nothing more was acknowledged: {0}; restart to recover")]
    Log(#[from] LogFault),
    /// A client has proved that this is not the log that it was served from.
    #[error(
        "a client holds a checkpoint, signed by this ledger's key, that this log does not contain: {0} Acknowledged records are \
         missing here or changed: look for the right log; audit it before restarting"
    )]
    Refuted(Doubt),
    /// An answer that is remembered could not be read back.
    #[error("the log does not give back what it has acknowledged; audit it before restarting")]
    ReadBack,
}

impl From<RecoverFault> for ServeError {
    fn from(fault: RecoverFault) -> Self {
        match fault {
            RecoverFault::Snapshot(fault) => Self::Snapshot(fault),
            RecoverFault::Log(fault) => Self::Recovery(fault),
        }
    }
}

/// A server that is ready to run.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    sequencer: Sequencer,
    shared: Rc<Shared>,
    fault: Arc<Notify>,
    signer: Option<Signer>,
    scrubber: Option<Scrubber>,
    keeper: Option<Keeper>,
    renewal: Renewal,
}

/// What sessions see of the server.
#[derive(Debug)]
struct Shared {
    inbox: Inbox,
    looks: Looks,
    queries: Places,
    feed: Feed,
    commit: Rc<Commit>,
    tokens: Tokens,
    clock: RefCell<Clock>,
    log: LogHandle,
    watermarks: Watermarks,
    findings: Arc<Findings>,
    id_horizon: Cell<Timestamp>,
    draining: Cell<bool>,
    sessions: RefCell<HashMap<u64, Weak<Session>>>,
    /// Connections whose handshake is not finished.
    handshakes: Cell<usize>,
    /// Rung when a session has ended.
    gone: Notify,
    /// What is looked at from outside.
    board: Arc<Board>,
}

/// What a start found.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// The record of the snapshot that the start was built on; 0 = it began with the log.
    pub snapshot: u64,
    /// The records that were replayed after it.
    pub records: u64,
    /// How long that took.
    pub took: Duration,
    /// Whether unacknowledged bytes were cut off the log's end.
    pub torn_tail: bool,
}

impl Server {
    /// Recovers the log, brings the settings up to date and opens the endpoint. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is served then.
    pub fn open(options: &ServerOptions, board: &Arc<Board>) -> Result<(Self, Started), ServeError> {
        if options.certs.is_none() && !options.listen.ip().is_loopback() {
            board.set(Alarm::DevelopmentCertificates, true);
            tracing::warn!(listen = %options.listen, "development certificates on an address that others can reach");
        }
        let certs = options.certs.clone().unwrap_or_else(|| options.data_dir.join("certs"));
        if options.certs.is_none() {
            certs::ensure_development_set(&certs)?;
            ensure_development_keys(&certs.join(KEYS_DIR))?;
        }
        let tokens = Tokens::open(&certs.join(KEYS_DIR))?;
        let key = checkpoint_key(options, &certs, board)?;
        let overridden = guards::check(&options.data_dir.join("log"), options.guards)?;
        board.set(Alarm::UnsafeFilesystem, overridden.filesystem);
        board.set(Alarm::UnsafeSwap, overridden.swap);
        board.set(Alarm::FaultsOn, options.faults.is_some());
        if let Some(plan) = &options.faults {
            tracing::warn!(?plan, "FAULTS ARE ON: the log fails on purpose; this is a drill");
        }
        let begin = Instant::now();
        let data = DataDir::new(&options.data_dir, options.archive.as_deref());
        let recovery = recovery::recover(&data, options.faults.clone())?;
        let started = started(&recovery, begin.elapsed(), board);
        let repairs = recovery.log.report().repairs.clone();
        let Recovery { state, log: recovered, snapshot, .. } = recovery;
        let (progress, fault) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut log_options = recovery::log_options();
        log_options.flush = options.flush;
        log_options.segment_bytes = options.segment_bytes;
        log_options.idle_poll = options.flush_poll;
        let (pipe, tap) = Pipe::new();
        let callbacks = callbacks(&progress, &fault, tap, options.durable_told.clone());
        let witness = agreed(options, key.as_ref(), &data, snapshot)?;
        let (writer, log) = recovered.open(log_options, LogIdentity::from_os()?, callbacks)?;
        let public = key.as_ref().map(|key| *key.public());
        let sign = |key| Signer::start(key, witness, log.clone(), Arc::clone(board));
        let signer = key.map(sign).transpose()?;
        let findings = Arc::new(Findings::new(options.scrub));
        let scrubber = Scrubber::start(log.clone(), data.snapshots(), Arc::clone(&findings));
        let scrubber = scrubber.map_err(|reason| cage_wal::StorageError::new("start", "scrubber", reason))?;
        let feed = Feed::start(pipe, log.clone());
        let feed = feed.map_err(|reason| cage_wal::StorageError::new("start", "feed", reason))?;
        let mut clock = Clock::new(state.clock());
        let mut sequencer = Sequencer::new(state, writer);
        sequencer.configure(clock.now(), options.settings).map_err(ServeError::Settings)?;
        sequencer.publish();
        // Before they are read: what changes meanwhile is seen afterwards.
        let renewal = Renewal::new(&certs).map_err(ServeError::Signal)?;
        let credentials = Credentials::read(&certs)?;
        let endpoint = endpoint::open(options.listen, &credentials)?;
        board.numbers.certificate_expires.set(credentials.expires());
        let since = snapshot.map_or_else(Position::default, |facts| facts.anchor.end);
        let digests = signer.as_ref().map(Signer::digests);
        board.serves(Served {
            log: log.clone(),
            findings: Arc::clone(&findings),
            checkpoints: signer.as_ref().map(Signer::latest),
            data: data.clone(),
            started,
            settings: options.settings,
        });
        let keeper = options.snapshots.clone().map(|schedule| {
            Keeper::new(log.clone(), data, schedule, options.segment_bytes, since, digests, Arc::clone(board))
        });
        let shared = Rc::new(Shared {
            inbox: Inbox::default(),
            looks: Looks::default(),
            queries: Places::default(),
            feed,
            commit: Rc::new(Commit::new(log.clone(), progress, Arc::clone(&fault), Arc::clone(board))),
            tokens,
            clock: RefCell::new(clock),
            watermarks: Watermarks::new(log.clone(), public, repairs),
            findings,
            log,
            id_horizon: Cell::new(sequencer.state().id_horizon()),
            draining: Cell::new(false),
            sessions: RefCell::default(),
            handshakes: Cell::new(0),
            gone: Notify::new(),
            board: Arc::clone(board),
        });
        shared.publish(&sequencer);
        Ok((Self { endpoint, sequencer, shared, fault, signer, scrubber, keeper, renewal }, started))
    }

    /// The UDP address that it listens on.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves until `stop` is done, then drains. Must run where tasks can be spawned locally.
    ///
    /// # Errors
    /// [`ServeError`] if the log fails; nothing after that was acknowledged.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Closed, ServeError> {
        let Self { endpoint, mut sequencer, shared, fault, signer, scrubber, keeper, renewal } = self;
        let board = Arc::clone(&shared.board);
        let commit = Rc::clone(&shared.commit);
        let beating = spawn_local(watching::beat(Rc::clone(&shared)));
        board.enter(Phase::Serving);
        let watching = spawn_local(watching::log(shared.log.clone()));
        let reminding = spawn_local(watching::remind(Rc::clone(&shared)));
        let keeping = keeper.map(|keeper| spawn_local(keeper.keep()));
        let renewing = spawn_local(renewal.keep(endpoint.clone(), Rc::clone(&shared)));
        let committing = spawn_local(Rc::clone(&commit).run());
        let telling = spawn_local(tell(Rc::clone(&shared), signer.as_ref().map(Signer::latest)));
        let accepting = spawn_local(accept(endpoint.clone(), Rc::clone(&shared)));
        let fault = async move { fault.notified().await };
        tokio::pin!(stop, fault);
        let failed = tokio::select! {
            doubt = shared.watermarks.refuted() => {
                board.enter(Phase::Failed);
                board.set(Alarm::Refuted, true);
                return Err(refute(&endpoint, doubt).await);
            }
            () = drive(&mut sequencer, &shared, &commit) => false,
            () = &mut stop => false,
            () = &mut fault => true,
        };
        if failed {
            return Err(fail(&endpoint, &shared).await);
        }
        // Newcomers are still let in, to be told that the server is draining.
        tokio::select! {
            () = drain(&mut sequencer, &shared, &commit) => {}
            () = &mut fault => return Err(fail(&endpoint, &shared).await),
        }
        accepting.abort();
        close(&endpoint, CloseCode::Draining);
        endpoint.wait_idle().await;
        committing.abort();
        watching.abort();
        reminding.abort();
        beating.abort();
        renewing.abort();
        telling.abort();
        if let Some(keeping) = keeping {
            keeping.abort();
        }
        shared.feed.stop();
        board.enter(Phase::Closing);
        let now = shared.clock.borrow_mut().now();
        if let Some(scrubber) = scrubber {
            scrubber.stop();
        }
        let closed = sequencer.close(now)?;
        if let Some(signer) = signer {
            signer.finish((cage_wal::Lsn(closed.last.0 - 1), closed.digest));
        }
        Ok(closed)
    }
}

/// The witness, if there is one and the log agrees with it. Nothing of the log was written yet, so that one that is refused is
/// left as it was found.
fn agreed(
    options: &ServerOptions,
    key: Option<&SigningKey>,
    data: &DataDir,
    snapshot: Option<SnapshotFacts>,
) -> Result<Option<Agreed>, SignerError> {
    let Some((key, witness)) = key.zip(options.witness.clone()) else { return Ok(None) };
    let first = snapshot.map_or(1, |facts| facts.anchor.end.segment + 1);
    let log = Lookup::open(data.whole_log(first))?;
    Agreed::compare(witness, key, log).map(Some)
}

/// The key to sign with: the one that was given, or the development one.
fn checkpoint_key(
    options: &ServerOptions,
    certs: &Path,
    board: &Board,
) -> Result<Option<SigningKey>, ServeError> {
    if let Some(path) = &options.checkpoint_key {
        let inside = path.canonicalize().ok().zip(options.data_dir.canonicalize().ok());
        if inside.is_some_and(|(path, data_dir)| path.starts_with(data_dir)) {
            board.set(Alarm::KeyBesideLog, true);
            tracing::warn!(
                key = %path.display(),
                "the key that signs checkpoints lies in the data directory: whoever steals or rewrites that has it too"
            );
        }
        return Ok(Some(SigningKey::read(path)?));
    }
    if options.certs.is_some() {
        board.set(Alarm::NoCheckpointKey, true);
        tracing::warn!("no --checkpoint-key: nobody vouches for the log");
        return if options.witness.is_some() { Err(ServeError::WitnessWithoutKey) } else { Ok(None) };
    }
    let path = certs.join(DEVELOPMENT_KEY);
    if !path.exists() {
        SigningKey::create(&path)?;
    }
    board.set(Alarm::DevelopmentKey, true);
    tracing::warn!(
        path = %path.display(),
        "checkpoints are signed with a development key: it lies beside the log, so whoever can change the log can sign it"
    );
    Ok(Some(SigningKey::read(&path)?))
}

/// Sends each new checkpoint to whoever asked for them.
async fn tell(shared: Rc<Shared>, latest: Option<watch::Receiver<Option<SignedCheckpoint>>>) {
    let Some(mut latest) = latest else { return };
    while latest.changed().await.is_ok() {
        let Some(signed) = *latest.borrow_and_update() else { continue };
        let frame = Bytes::from(frame::checkpoint(&signed));
        let sessions: Vec<_> = shared.sessions.borrow().values().filter_map(Weak::upgrade).collect();
        for session in sessions {
            session.tell(&frame);
        }
    }
}

/// What the start found; what is wrong with snapshots is told here.
fn started(recovery: &Recovery, took: Duration, board: &Board) -> Started {
    board.set(Alarm::SnapshotNotGood, !recovery.passed_over.is_empty());
    for why in &recovery.passed_over {
        tracing::error!(%why, "a snapshot is not good: the start went on from an older one, or from the log's beginning");
    }
    let report = recovery.log.report();
    for repair in report.repairs.iter().filter(|repair| repair.lost_any()) {
        board.set(Alarm::RecordsGivenUp, true);
        tracing::warn!(
            lost = repair.loss(),
            segment = repair.segment,
            "records of this log were given up by a repair"
        );
    }
    let snapshot = recovery.snapshot.map_or(0, |facts| facts.anchor.lsn.0);
    Started { snapshot, records: report.records, took, torn_tail: report.torn_tail.is_some() }
}

fn callbacks(
    progress: &Arc<Notify>,
    fault: &Arc<Notify>,
    tap: Tap,
    durable_told: Option<Sender<(Lsn, Instant)>>,
) -> Callbacks {
    let (progress, fault) = (Arc::clone(progress), Arc::clone(fault));
    Callbacks {
        on_durable: Box::new(move |_| progress.notify_one()),
        on_flushed: Box::new(move |flushed| {
            if let Some(told) = &durable_told {
                let last = Lsn(flushed.first_lsn.0 + flushed.count() as u64 - 1);
                let _ = told.send((last, Instant::now()));
            }
            tap.flushed(flushed);
        }),
        on_fault: Box::new(move |reason| {
            tracing::error!(%reason, "the log failed: nothing more is acknowledged");
            fault.notify_one();
        }),
    }
}

/// Lets connections in, as many as the limits allow.
async fn accept(endpoint: Endpoint, shared: Rc<Shared>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Some(incoming) = endpoint.accept().await else { return };
        while connections.try_join_next().is_some() {}
        let handshakes = shared.handshakes.get();
        let full = shared.sessions.borrow().len() >= limits::CONNECTIONS_MAX;
        if full || handshakes >= 2 * limits::HANDSHAKES_MAX {
            shared.board.numbers.turned_away(TurnedAway::Full);
            incoming.refuse();
        } else if handshakes >= limits::HANDSHAKES_MAX && incoming.may_retry() {
            // Many strangers at once: let each prove its address before anything is spent on it.
            let _ = incoming.retry();
        } else {
            connections.spawn_local(welcome(number, incoming, Rc::clone(&shared)));
        }
    }
}

async fn welcome(number: u64, incoming: Incoming, shared: Rc<Shared>) {
    let peer = incoming.remote_address();
    let numbers = &shared.board.numbers;
    shared.handshaking(1);
    let handshake = tokio::time::timeout(limits::HELLO_TIME_MAX, incoming).await;
    shared.handshaking(-1);
    let connection = match handshake {
        Ok(Ok(connection)) => connection,
        Ok(Err(reason)) => {
            numbers.turned_away(TurnedAway::Handshake);
            return tracing::warn!(%peer, %reason, "handshake failed");
        }
        Err(_) => {
            numbers.turned_away(TurnedAway::Late);
            return tracing::warn!(%peer, "handshake took too long");
        }
    };
    match endpoint::identity(&connection) {
        Ok(identity) => {
            let session = Session::new(connection, identity);
            numbers.connections_taken.add(1);
            shared.sessions.borrow_mut().insert(number, Rc::downgrade(&session));
            numbers.connections.set(shared.sessions.borrow().len() as u64);
            session.run(Rc::clone(&shared)).await;
            shared.sessions.borrow_mut().remove(&number);
            numbers.connections.set(shared.sessions.borrow().len() as u64);
            shared.gone.notify_waiters();
        }
        Err(reason) => {
            numbers.turned_away(TurnedAway::Role);
            tracing::warn!(%peer, %reason, "turned away");
            let code = CloseCode::RoleUnknown;
            connection.close(VarInt::from_u32(code as u32), code.meaning().as_bytes());
        }
    }
}

impl Host for Shared {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn now(&self) -> Timestamp {
        self.clock.borrow_mut().now()
    }

    fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn feed(&self) -> &Feed {
        &self.feed
    }

    fn queries(&self) -> &Places {
        &self.queries
    }

    async fn look<T: 'static>(&self, at: impl FnOnce(&State) -> T + 'static) -> Option<(T, Lsn)> {
        let seen = self.looks.look(at).await?;
        let lsn = Lsn(seen.lsn().0);
        Some((self.commit.shown(seen).await, lsn))
    }

    async fn may_follow(&self, identity: &Identity, filter: &Filter) -> Result<(), String> {
        let (identity, filter) = (identity.clone(), *filter);
        let seen = self.look(move |state| rights::check(state, &identity.caller(), &filter)).await;
        seen.map_or_else(|| Err("the server ends".to_owned()), |(allowed, _)| allowed)
    }

    fn numbers(&self) -> &Numbers {
        &self.board.numbers
    }

    async fn greet(&self, first: &First, identity: &Identity) -> Result<Greeting, (CloseCode, String)> {
        let Hello { version_min, version_max, seen, .. } = first.hello;
        let refuse = |code: CloseCode, facts: String| Err((code, format!("{} {facts}", code.meaning())));
        if !(version_min..=version_max).contains(&VERSION) {
            let spoken = format!("The client speaks {version_min} to {version_max}, this server {VERSION}.");
            return refuse(CloseCode::VersionUnsupported, spoken);
        }
        if self.draining.get() {
            return refuse(CloseCode::Draining, String::new());
        }
        if let Some(evidence) = &first.evidence
            && let Some(doubt) = self.watermarks.weigh(&identity.uri, evidence).await
        {
            return refuse(doubt.code(), doubt.to_string());
        }
        if let Err(doubt) = self.watermarks.compare(&identity.uri, &seen).await {
            return refuse(doubt.code(), doubt.to_string());
        }
        Ok(Greeting(Welcome {
            version: VERSION,
            role: identity.role as u8,
            frame_items_max: FRAME_ITEMS_MAX as u16,
            in_flight_max: limits::IN_FLIGHT_PER_CONNECTION_MAX,
            epoch: self.log.epoch().0,
            now: self.now().0,
            id_horizon: self.id_horizon.get().0,
            durable: self.watermarks.durable(),
        }))
    }
}

/// Steps the sequencer whenever there is something to decide, for ever.
async fn drive(sequencer: &mut Sequencer, shared: &Shared, commit: &Rc<Commit>) {
    loop {
        let now = shared.clock.borrow_mut().now();
        let more = round(sequencer, shared, commit, now);
        // After a clock jump nothing expires, however long it is due.
        let due = sequencer.next_due().filter(|_| !shared.clock.borrow().jumped());
        let until_due = due.map(|due| Duration::from_nanos(due.0.saturating_sub(now.0)));
        tokio::select! {
            () = shared.inbox.filled() => {}
            () = shared.looks.asked() => {}
            () = commit.released(), if more => {}
            () = tokio::time::sleep(until_due.unwrap_or_default()), if until_due.is_some() && !more => {}
        }
    }
}

/// Decides all that waits; says whether something is left because the log was full.
fn round(sequencer: &mut Sequencer, shared: &Shared, commit: &Rc<Commit>, now: Timestamp) -> bool {
    let reason = if shared.draining.get() {
        Some(ResultCode::Draining)
    } else if shared.clock.borrow().jumped() {
        Some(ResultCode::ClockJumped)
    } else {
        None
    };
    sequencer.hold_back(reason);
    // After a jump nobody knows what is due: what depends on time waits like everything else.
    let on_time = reason != Some(ResultCode::ClockJumped);
    let mut more = on_time && sequencer.do_due(now) == DueOutcome::More;
    while let Some(batch) = shared.inbox.pop() {
        match sequencer.step(now, &batch.tickets) {
            Ok(replies) => {
                sequencer.publish();
                commit.hold(replies, batch.stream, batch.arrived);
                // What the batch made due comes before the next one: a debt is collected before it can be bet away.
                more = on_time && sequencer.do_due(now) == DueOutcome::More;
            }
            Err(LogFull) => {
                shared.inbox.put_back(batch);
                more = true;
                break;
            }
        }
    }
    shared.looks.serve(sequencer.state(), limits::LOOKS_PER_ROUND_MAX);
    sequencer.publish();
    shared.id_horizon.set(sequencer.state().id_horizon());
    shared.publish(sequencer);
    commit.release();
    more
}

/// Answers what was taken, takes no more, and lets the sessions go.
async fn drain(sequencer: &mut Sequencer, shared: &Rc<Shared>, commit: &Rc<Commit>) {
    shared.draining.set(true);
    shared.board.enter(Phase::Draining);
    let sessions: Vec<_> = shared.sessions.borrow().values().filter_map(Weak::upgrade).collect();
    tracing::info!(sessions = sessions.len(), "draining");
    for session in sessions {
        session.drain();
    }
    let gone = async {
        loop {
            let gone = shared.gone.notified();
            if shared.sessions.borrow().is_empty() {
                return;
            }
            gone.await;
        }
    };
    let _ = tokio::time::timeout(limits::DRAIN_TIME_MAX, async {
        tokio::select! {
            () = gone => {}
            () = drive(sequencer, shared, commit) => {}
        }
        commit.drained().await;
    })
    .await;
}

async fn fail(endpoint: &Endpoint, shared: &Shared) -> ServeError {
    shared.board.enter(Phase::Failed);
    close(endpoint, CloseCode::LogFailed);
    let _ = tokio::time::timeout(Duration::from_millis(200), endpoint.wait_idle()).await;
    shared.log.failed().map_or(ServeError::ReadBack, ServeError::Log)
}

/// Nobody is served from a log that was refuted.
async fn refute(endpoint: &Endpoint, doubt: Doubt) -> ServeError {
    close(endpoint, doubt.code());
    let _ = tokio::time::timeout(Duration::from_millis(200), endpoint.wait_idle()).await;
    ServeError::Refuted(doubt)
}

fn close(endpoint: &Endpoint, code: CloseCode) {
    endpoint.close(VarInt::from_u32(code as u32), code.meaning().as_bytes());
}
