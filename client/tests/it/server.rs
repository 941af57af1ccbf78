//! A server in memory: the real engine, no log. What it does with each request, a test can decide.
//!
//! It runs on a runtime of its own, so that it can be killed: then nobody says goodbye.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use cage_client::engine::{
    Admitted, Amount, Answer, AssetCode, AssetId, CallerId, Decision, Lsn, Operation, PlayerClass, PlayerId,
    Record, RequestId, ResultCode, Role, Rule, Settings, State, Timestamp, decide, decide_group,
};
use cage_client::protocol::{
    Ask, Asked, CloseCode, Frame, FrameKind, Hello, Read, Reply, SignedCheckpoint, VERSION, Watermark,
    Welcome, frame,
};
use cage_client::{Client, Config, Credentials, load_authority, load_pair};
use quinn::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, VarInt};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::certs;

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Decide and answer.
    Answer,
    /// Decide, then lose the connection: the answer never leaves.
    DecideAndDie,
    /// Lose the connection: nothing is decided.
    Die,
    /// Neither decide nor answer.
    Swallow,
    /// Answer this without deciding.
    Say(ResultCode),
}

type Script = Box<dyn FnMut(&Asked) -> Treatment + Send>;

/// What outlives a server.
pub(crate) struct Ledger {
    state: State,
    pub(crate) records: Vec<Record>,
    pub(crate) log_id: u128,
    pub(crate) in_flight_max: u32,
    script: Script,
    /// Said behind every welcome.
    pub(crate) checkpoint: Option<SignedCheckpoint>,
    /// Every hello that was met.
    pub(crate) hellos: Vec<Hello>,
    /// The items of every frame of requests.
    pub(crate) frames: Vec<usize>,
    /// The most that one connection ever had unanswered.
    pub(crate) unanswered_max: usize,
    pub(crate) connections_lost: usize,
}

pub(crate) const ASSET: AssetId = AssetId(1);
/// What every player of [`Ledger::with_players`] has.
pub(crate) const FUNDS: Amount = Amount(1_000_000);

impl Ledger {
    pub(crate) fn new() -> Self {
        let mut ledger = Self {
            state: State::new(1),
            records: Vec::new(),
            log_id: 77,
            in_flight_max: 65_536,
            script: Box::new(|_| Treatment::Answer),
            checkpoint: None,
            hellos: Vec::new(),
            frames: Vec::new(),
            unanswered_max: 0,
            connections_lost: 0,
        };
        let settings = Settings { ids_capacity: 1 << 16, ids_retention_millis: 0, ..Settings::DEFAULT };
        ledger.decide(Role::System, Operation::Configure { settings }, RequestId::NONE);
        ledger
    }

    /// A ledger with an asset and some players that have money.
    pub(crate) fn with_players(count: u32) -> Self {
        let mut ledger = Self::new();
        let code = AssetCode::new("EUR").unwrap();
        let asset = Operation::OpenAsset { code, scale: 2, transfers: true, amount_max: Amount(1 << 60) };
        ledger.decide(Role::Operator, asset, ledger.id());
        for rule in [Rule::TransfersInBrand, Rule::TransfersInJurisdiction] {
            ledger.decide(Role::Operator, Operation::SetRule { rule, scope: 1, value: 1 }, ledger.id());
        }
        for index in 0..count {
            let caller_id = CallerId(u128::from(index) + 1);
            let open =
                Operation::OpenPlayer { caller_id, brand: 1, jurisdiction: 1, class: PlayerClass::Real };
            ledger.decide(Role::Frontend, open, ledger.id());
            let player = PlayerId::from_index(index);
            let deposit = Operation::DepositCredit {
                player,
                asset: ASSET,
                amount: FUNDS,
                chain: 1,
                locked: None,
                turnover: Amount::ZERO,
            };
            ledger.decide(Role::Cashier, deposit, ledger.id());
        }
        ledger
    }

    pub(crate) fn set_script(&mut self, script: impl FnMut(&Asked) -> Treatment + Send + 'static) {
        self.script = Box::new(script);
    }

    /// The ids of the records of an operation, in their order.
    pub(crate) fn ids_of(&self, kind: cage_client::engine::OperationKind) -> Vec<RequestId> {
        self.records
            .iter()
            .filter(|record| record.request.kind == kind)
            .map(|record| record.request.id)
            .collect()
    }

    pub(crate) fn available(&self, player: PlayerId) -> i128 {
        self.state.balances(player, ASSET).available.0
    }

    fn id(&self) -> RequestId {
        RequestId::from_time(now(), self.records.len() as u128 + 1)
    }

    fn decide(&mut self, role: Role, operation: Operation, id: RequestId) {
        let reply = self.answer(0, &Ask::operation(operation.request(id)), role);
        assert_eq!(reply.result, ResultCode::Done, "{operation:?}");
    }

    fn answer(&mut self, tag: u64, ask: &Ask, role: Role) -> Reply {
        let now = now().max(self.state.clock());
        let (request, grant) = match *ask {
            Ask::Operation { request, grant } => (request, grant),
            Ask::Read(read) => return self.read(tag, read),
        };
        if !request.kind.spec().roles.contains(role) {
            return Reply::without_record(tag, ResultCode::RoleNotAllowed);
        }
        let admitted = Admitted { request, role, actor: 0, grant, received: now };
        let decision = decide(&self.state, now, &admitted);
        self.carry_out(tag, &decision)
    }

    /// The answers to a group: all of it or nothing.
    fn answer_group(&mut self, group: &[Asked], role: Role) -> Vec<Reply> {
        let now = now().max(self.state.clock());
        let members: Vec<_> = group
            .iter()
            .map(|asked| match asked.ask {
                Ok(Ask::Operation { request, grant }) => {
                    Admitted { request, role, actor: 0, grant, received: now }
                }
                other => panic!("{other:?} in a group"),
            })
            .collect();
        let decisions = decide_group(&mut self.state, now, &members);
        group.iter().zip(&decisions).map(|(asked, decision)| self.carry_out(asked.tag, decision)).collect()
    }

    fn carry_out(&mut self, tag: u64, decision: &Decision) -> Reply {
        let lsn = self.state.next_lsn();
        for record in decision.records() {
            self.state.apply(self.state.next_lsn(), record).unwrap();
            self.records.push(*record);
        }
        match decision {
            Decision::Record(record) => Reply::of_record(tag, lsn, record, false),
            Decision::Records(records) => Reply::of_record(tag, lsn, &records[0], false),
            Decision::Answer(Answer::Same(lsn)) => {
                Reply::of_record(tag, *lsn, &self.records[lsn.0 as usize - 1], true)
            }
            Decision::Answer(Answer::Conflict(_)) => Reply::without_record(tag, ResultCode::IdConflict),
            Decision::Answer(Answer::Not(code)) => Reply::without_record(tag, *code),
        }
    }

    fn read(&self, tag: u64, read: Read) -> Reply {
        let (player, asset, available, reserved) = match read {
            Read::Balances { player, asset } => {
                let held = self.state.balances(player, asset);
                (player.number(), asset, held.available, held.reserved)
            }
            Read::Totals { asset } => {
                let sums = self.state.asset(asset).unwrap();
                (0, asset, sums.players_total, sums.house_total)
            }
            Read::Purse { .. } | Read::Session { .. } => panic!("nobody reads that here"),
        };
        let reply = Reply::without_record(tag, ResultCode::Done);
        let (available, reserved) = (Some(available), Some(reserved));
        Reply { player, asset, available, reserved, lsn: self.durable(), ..reply }
    }

    fn durable(&self) -> Lsn {
        Lsn(self.records.len() as u64)
    }
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64)
}

/// A ledger that is served, until it is killed or dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) certs: Arc<TempDir>,
    ledger: Arc<Mutex<Ledger>>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Server {
    pub(crate) fn start(ledger: Ledger) -> Self {
        let certs = Arc::new(certs::folder());
        Self::open(Arc::new(Mutex::new(ledger)), certs, "127.0.0.1:0".parse().unwrap())
    }

    fn open(ledger: Arc<Mutex<Ledger>>, certs: Arc<TempDir>, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let config = config(certs.path());
        let (stop, stopped) = oneshot::channel();
        let serve = serve(config, socket, Arc::clone(&ledger), stopped);
        let thread =
            thread::spawn(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(serve));
        Self { address, certs, ledger, running: Some((stop, thread)) }
    }

    /// The process is gone, and nobody was told. What it knew is still there.
    pub(crate) fn kill(mut self) -> Killed {
        self.stop();
        Killed { address: self.address, certs: Arc::clone(&self.certs), ledger: Arc::clone(&self.ledger) }
    }

    fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            // The thread's runtime goes down with all its tasks, and the socket with them.
            stop.send(()).unwrap();
            thread.join().unwrap();
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(crate) fn credentials(&self, role: Role) -> Credentials {
        Credentials::from_dir(self.certs.path(), role.name()).unwrap()
    }

    pub(crate) async fn client(&self, role: Role) -> Client {
        Client::connect(Config::new(self.address), self.credentials(role)).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A server that was killed.
pub(crate) struct Killed {
    address: SocketAddr,
    certs: Arc<TempDir>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
}

impl Killed {
    /// The same ledger at the same address.
    pub(crate) fn restart(self) -> Server {
        Server::open(self.ledger, self.certs, self.address)
    }
}

fn config(certs: &Path) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(load_authority(certs).unwrap()).unwrap();
    let callers =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let pair = load_pair(certs, "server").unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(callers)
        .with_single_cert(pair.chain, pair.key)
        .unwrap();
    tls.alpn_protocols = vec![cage_client::protocol::ALPN.to_vec()];
    ServerConfig::with_crypto(Arc::new(quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap()))
}

async fn serve(
    config: ServerConfig,
    socket: UdpSocket,
    ledger: Arc<Mutex<Ledger>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).unwrap();
    loop {
        tokio::select! {
            Some(incoming) = endpoint.accept() => { tokio::spawn(connection(incoming, Arc::clone(&ledger))); }
            _ = &mut stopped => return,
        }
    }
}

async fn connection(incoming: quinn::Incoming, ledger: Arc<Mutex<Ledger>>) {
    let Ok(connection) = incoming.await else { return };
    let unanswered = Arc::new(Mutex::new(0));
    let mut first = true;
    while let Ok((send, receive)) = connection.accept_bi().await {
        let (connection, ledger) = (connection.clone(), Arc::clone(&ledger));
        tokio::spawn(stream(connection, ledger, Arc::clone(&unanswered), send, receive, first));
        first = false;
    }
}

async fn stream(
    connection: Connection,
    ledger: Arc<Mutex<Ledger>>,
    unanswered: Arc<Mutex<usize>>,
    mut send: SendStream,
    mut receive: RecvStream,
    mut hello: bool,
) {
    let identity = connection.peer_identity().unwrap();
    let chain = identity.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap();
    let role = certs::role_in(&chain[0]);
    let mut unread = Vec::new();
    while let Ok(Some(chunk)) = receive.read_chunk(1 << 20, true).await {
        unread.extend_from_slice(&chunk.bytes);
        let (mut taken, mut answers) = (0, Vec::new());
        while let Some((frame, length)) = Frame::split(&unread[taken..]).unwrap() {
            let mut ledger = ledger.lock().unwrap();
            if std::mem::take(&mut hello) {
                assert_eq!(frame.kind, FrameKind::Hello);
                answers.extend(greet(&mut ledger, frame.items));
            } else {
                if frame.kind == FrameKind::Checkpoint {
                    // What the client knows; this server has nothing to compare it with.
                    taken += length;
                    continue;
                }
                assert_eq!(frame.kind, FrameKind::Requests);
                let Some(replies) = treat(&mut ledger, &frame, role, &unanswered) else {
                    ledger.connections_lost += 1;
                    return connection
                        .close(VarInt::from_u32(CloseCode::LogFailed as u32), b"the test says so");
                };
                answers.extend(replies);
            }
            taken += length;
        }
        unread.drain(..taken);
        if send.write_all(&answers).await.is_err() {
            return;
        }
    }
}

fn greet(ledger: &mut Ledger, item: &[u8]) -> Vec<u8> {
    ledger.hellos.push(Hello::from_bytes(item).unwrap());
    let lsn = ledger.durable().0;
    let mut answer = frame::welcome(&Welcome {
        version: VERSION,
        role: 1,
        frame_items_max: 1024,
        in_flight_max: ledger.in_flight_max,
        epoch: 1,
        now: now().0,
        id_horizon: 0,
        durable: Watermark { log_id: ledger.log_id, lsn, chain_lsn: lsn, chain_head: [7; 32] },
    });
    answer.extend(ledger.checkpoint.iter().flat_map(frame::checkpoint));
    answer
}

/// The replies to a frame, in a frame; nothing if the connection is lost over it.
fn treat(ledger: &mut Ledger, frame: &Frame<'_>, role: Role, unanswered: &Mutex<usize>) -> Option<Vec<u8>> {
    let count = frame.items().len();
    ledger.frames.push(count);
    let mut unanswered = unanswered.lock().unwrap();
    *unanswered += count;
    ledger.unanswered_max = ledger.unanswered_max.max(*unanswered);
    let mut replies = Vec::new();
    let asked: Vec<_> = frame.items().map(Asked::from_bytes).collect();
    for run in asked.chunk_by(|asked, _| asked.linked) {
        let decide = |ledger: &mut Ledger| match run {
            [asked] => vec![ledger.answer(asked.tag, &asked.ask.unwrap(), role)],
            group => ledger.answer_group(group, role),
        };
        // A group is treated as its first request is.
        match (ledger.script)(&run[0]) {
            Treatment::Answer => replies.extend(decide(ledger)),
            Treatment::DecideAndDie => {
                decide(ledger);
                return None;
            }
            Treatment::Die => return None,
            Treatment::Swallow => {}
            Treatment::Say(code) => {
                replies.extend(run.iter().map(|asked| Reply::without_record(asked.tag, code)));
            }
        }
    }
    *unanswered -= replies.len();
    let mut bytes = Vec::new();
    if !replies.is_empty() {
        bytes.extend(frame::header(FrameKind::Replies, replies.len()));
        replies.iter().for_each(|reply| bytes.extend(reply.to_bytes()));
    }
    Some(bytes)
}
