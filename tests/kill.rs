//! The promise that everything else rests on: what was acknowledged is there after a kill, and nothing happened twice.
//!
//! Sixteen connections keep a window of requests unanswered each, close at random, ask again with the same ids; the
//! server is killed again and again, also while it recovers. What breaks is one of these: a reply before its record
//! is durable (an acknowledgement is missing in the log), an id that is forgotten over a restart (an id stands
//! twice), a reply that is not its record's (the oracle, which replays the answers in the order of the log, says
//! another balance), a request that is lost on its way (it never gets an answer).
//!
//! `CAGE_CHAOS_REQUESTS`, `CAGE_CHAOS_WINDOW` (both per connection) and `CAGE_CHAOS_KILLS` scale it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use cage_client::{Client, Config, Connection, ConnectionError, Endpoint, Error, RequestStream};
use cage_engine::{Operation, OperationKind, Outcome, RequestId, ResultCode, Role};
use cage_protocol::{Ask, CloseCode, Reply, Watermark};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, spawn_blocking};

use crate::harness::books::{Books, Purses};
use crate::harness::casino::{BOUND, Casino, client, credentials, key, new_id};
use crate::harness::{self, Ledger, Start, audit, folder, log, setting};

const PLAYERS: u32 = 48;
/// Raw connections by role; three more go through the client library.
const RAW: [(Role, usize); 3] = [(Role::Frontend, 6), (Role::Games, 5), (Role::Cashier, 2)];
const CLIENTS: [Role; 3] = [Role::Frontend, Role::Games, Role::Cashier];
/// How long a raw connection tries to reach a server that may be dead.
const ATTEMPT: Duration = Duration::from_millis(500);
/// After how many batches of replies a raw connection is closed, on average.
const BATCHES_PER_CONNECTION: u32 = 12;

/// What a request came to.
#[derive(Clone, Copy, Debug)]
struct Answer {
    id: RequestId,
    operation: Operation,
    code: ResultCode,
    lsn: u64,
    available: Option<i128>,
    reserved: Option<i128>,
}

/// What everybody sees.
struct World {
    address: std::net::SocketAddr,
    certs: std::path::PathBuf,
    casino: Casino,
    window: usize,
    answered: Cell<u64>,
    changed: Notify,
    /// Rung at each kill.
    deaths: watch::Sender<u32>,
    seen: RefCell<Watermark>,
    reconnections: Cell<u64>,
    asked_again: Cell<u64>,
}

impl World {
    fn count(&self, answers: usize) {
        self.answered.set(self.answered.get() + answers as u64);
        self.changed.notify_waiters();
    }

    fn knows(&self, durable: Watermark) {
        let seen = self.seen.borrow().lsn;
        self.seen.replace(Watermark { lsn: durable.lsn.max(seen), ..durable });
    }

    fn saw(&self, lsn: u64) {
        let mut seen = self.seen.borrow_mut();
        seen.lsn = seen.lsn.max(lsn);
    }

    async fn answered(&self, count: u64) {
        while self.answered.get() < count {
            self.changed.notified().await;
        }
    }
}

/// Thinks up requests of a role.
struct Planner {
    random: StdRng,
    role: Role,
    world: Rc<World>,
    left: u64,
    /// Bets that were confirmed, and those that were only sent.
    bets: Vec<(RequestId, usize, u128)>,
    name: u64,
    deposits: u64,
}

impl Planner {
    fn next(&mut self) -> Option<(RequestId, Operation)> {
        self.left = self.left.checked_sub(1)?;
        Some(match self.role {
            Role::Cashier => self.deposit(),
            Role::Games => self.bet(),
            _ => self.transfer(),
        })
    }

    fn player(&mut self) -> usize {
        self.random.random_range(0..PLAYERS as usize)
    }

    fn id(&mut self) -> RequestId {
        RequestId::from_time(harness::casino::now(), self.random.random())
    }

    fn deposit(&mut self) -> (RequestId, Operation) {
        self.deposits += 1;
        let (player, amount) = (self.player(), self.random.random_range(1..2_000));
        (key(&format!("deposits of {}", self.name), self.deposits), self.world.casino.deposit(player, amount))
    }

    fn transfer(&mut self) -> (RequestId, Operation) {
        let (from, to) = (self.player(), self.player());
        let amount = match self.random.random_range(0..100) {
            0 => BOUND.0 + 1,
            1..=20 => self.random.random_range(1_000..100_000),
            _ => self.random.random_range(1..200),
        };
        (self.id(), self.world.casino.transfer(from, to, amount))
    }

    fn bet(&mut self) -> (RequestId, Operation) {
        let id = self.id();
        if self.bets.is_empty() || self.random.random_bool(0.4) {
            let (player, stake) = (self.player(), self.random.random_range(1..300));
            self.bets.push((id, player, stake));
            // One in fifty is cancelled before it is sent: the reserve then comes under an id that is taken.
            if self.random.random_ratio(1, 50) {
                return (self.id(), self.world.casino.cancel(player, id));
            }
            return (id, self.world.casino.reserve(player, stake, stake * 3));
        }
        let place = self.random.random_range(0..self.bets.len());
        let (hold, player, stake) = self.bets[place];
        match self.random.random_range(0..20) {
            0 => (hold, self.world.casino.reserve(player, stake, stake * 3)),
            1..=4 => (id, self.world.casino.settle(player, hold, stake.div_ceil(3), 0)),
            5..=6 => (id, self.world.casino.settle(player, hold, 0, stake)),
            7 => (id, self.world.casino.settle(player, hold, stake, stake * 4)),
            8..=11 => {
                self.bets.swap_remove(place);
                (id, self.world.casino.cancel(player, hold))
            }
            _ => {
                self.bets.swap_remove(place);
                (id, self.world.casino.settle(player, hold, stake, self.random.random_range(0..=stake * 2)))
            }
        }
    }
}

fn answer(id: RequestId, operation: Operation, reply: &Reply) -> Answer {
    let Reply { result, lsn, available, reserved, .. } = *reply;
    Answer {
        id,
        operation,
        code: result,
        lsn: lsn.0,
        available: available.map(|balance| balance.0),
        reserved: reserved.map(|balance| balance.0),
    }
}

/// A front-end with nothing but a connection and a memory of what is unanswered.
struct Raw {
    planner: Planner,
    unanswered: BTreeMap<u64, (RequestId, Operation)>,
    next_tag: u64,
    answers: Vec<Answer>,
}

impl Raw {
    async fn run(mut self) -> Vec<Answer> {
        let world = Rc::clone(&self.planner.world);
        let credentials = credentials(&world.certs, self.planner.role);
        let endpoint = Endpoint::new(&credentials, "localhost", world.address).expect("an endpoint");
        let mut deaths = world.deaths.subscribe();
        while self.planner.left > 0 || !self.unanswered.is_empty() {
            deaths.mark_unchanged();
            let seen = *world.seen.borrow();
            match tokio::time::timeout(ATTEMPT, endpoint.connect(world.address, seen)).await {
                Ok(Ok(connection)) => {
                    world.reconnections.set(world.reconnections.get() + 1);
                    tokio::select! {
                        () = self.serve(connection) => {}
                        died = deaths.changed() => died.expect("the test goes on"),
                    }
                }
                Ok(Err(
                    fault @ (ConnectionError::Behind { .. }
                    | ConnectionError::Closed { code: Some(CloseCode::ServerBehind), .. }),
                )) => panic!("acknowledged records are missing: {fault}"),
                Ok(Err(_)) | Err(_) => tokio::task::yield_now().await,
            }
        }
        self.answers
    }

    /// Asks and is answered until the connection ends, by whomever.
    async fn serve(&mut self, mut connection: Connection) {
        let world = Rc::clone(&self.planner.world);
        world.knows(connection.welcome().durable);
        let Ok(RequestStream { mut sender, mut receiver }) = connection.open_stream().await else { return };
        for (tag, (id, operation)) in &self.unanswered {
            sender.push(*tag, &Ask::operation(operation.request(*id)));
        }
        let mut replies = Vec::new();
        while self.planner.left > 0 || !self.unanswered.is_empty() {
            while self.unanswered.len() < world.window {
                let Some((id, operation)) = self.planner.next() else { break };
                // Now and then the same request goes out twice in one frame.
                for _ in 0..=u8::from(self.planner.random.random_ratio(1, 64)) {
                    sender.push(self.next_tag, &Ask::operation(operation.request(id)));
                    self.unanswered.insert(self.next_tag, (id, operation));
                    self.next_tag += 1;
                }
            }
            if sender.flush().await.is_err() || receiver.receive(&mut replies).await.is_err() {
                return;
            }
            for reply in replies.drain(..) {
                let (id, operation) =
                    self.unanswered.remove(&reply.tag).expect("an answer to what was asked");
                if reply.result.outcome() == Outcome::NotTaken {
                    self.unanswered.insert(self.next_tag, (id, operation));
                    sender.push(self.next_tag, &Ask::operation(operation.request(id)));
                    self.next_tag += 1;
                    continue;
                }
                world.saw(reply.lsn.0);
                self.answers.push(answer(id, operation, &reply));
                world.count(1);
            }
            if self.planner.random.random_ratio(1, BATCHES_PER_CONNECTION) {
                // With a reason, or as a program that falls over does.
                if self.planner.random.random() {
                    connection.close(CloseCode::Done);
                }
                return;
            }
        }
    }
}

/// A front-end that uses the client library, with a deadline that kills will exceed.
async fn through_the_client(client: Client, mut planner: Planner) -> Vec<Answer> {
    let world = Rc::clone(&planner.world);
    let (mut waiting, mut answers) = (VecDeque::new(), Vec::new());
    loop {
        while waiting.len() < world.window {
            let Some((id, operation)) = planner.next() else { break };
            waiting.push_back((client.submit_with_id(id, operation), operation));
        }
        let Some((submitted, operation)) = waiting.pop_front() else { break };
        let id = submitted.id();
        let (code, lsn, available, reserved) = match submitted.await {
            Ok(done) => (done.code, done.lsn, done.available, done.reserved),
            Err(Error::Refused { code, lsn, .. }) => (code, lsn, None, None),
            Err(Error::NotTaken { .. } | Error::Unknown { .. }) => {
                world.asked_again.set(world.asked_again.get() + 1);
                waiting.push_back((client.submit_with_id(id, operation), operation));
                continue;
            }
            Err(other) => panic!("a fifth kind of answer: {other}"),
        };
        let (available, reserved) = (available.map(|balance| balance.0), reserved.map(|balance| balance.0));
        answers.push(Answer { id, operation, code, lsn: lsn.0, available, reserved });
        world.count(1);
    }
    client.close().await;
    answers
}

/// Kills the server when so many requests were answered; brings it back, perhaps with more kills on the way.
async fn killer(world: &World, mut ledger: Ledger, at: Vec<u64>, mut random: StdRng) -> Ledger {
    for count in at {
        tokio::select! {
            () = world.answered(count) => {}
            said = ledger.process().falls_over() => panic!("the server ended by itself:\n{said}"),
        }
        let mut start = spawn_blocking(|| ledger.kill()).await.expect("a kill");
        world.deaths.send_modify(|deaths| *deaths += 1);
        let (early, late) = (random.random_ratio(1, 3), random.random_ratio(1, 3));
        start = spawn_blocking(move || {
            if early {
                start.spawn().kill();
            }
            if late {
                let process = start.spawn();
                process.wait_for("recovered");
                process.kill();
            }
            start
        })
        .await
        .expect("kills while it recovers");
        ledger = spawn_blocking(|| start.ledger()).await.expect("a restart");
    }
    ledger
}

/// The same request has one answer, whoever got it how often.
fn one_each(answers: &[Answer]) -> BTreeMap<u64, Answer> {
    let mut by_lsn = BTreeMap::new();
    let mut by_id = HashMap::new();
    for answer in answers {
        assert!(answer.code.is_recorded(), "not an answer for good: {answer:?}");
        let facts = (answer.code, answer.lsn, answer.available, answer.reserved);
        let first = *by_id.entry(answer.id).or_insert(facts);
        assert_eq!(first, facts, "two answers to {}", answer.id);
        let first = by_lsn.insert(answer.lsn, *answer);
        assert!(first.is_none_or(|first| first.id == answer.id), "{first:?} and {answer:?} share a record");
    }
    by_lsn
}

fn write_acks(path: &Path, answers: &[Answer]) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    for Answer { id, lsn, code, .. } in answers {
        writeln!(file, "{id} {lsn} {}", code.number()).expect("a line");
    }
    file.flush().expect("all lines");
}

#[test]
fn no_kill_loses_an_acknowledgement_or_repeats_a_request() {
    let mut random = harness::random("kill");
    let requests = setting("CAGE_CHAOS_REQUESTS", 40_000);
    let window = usize::try_from(setting("CAGE_CHAOS_WINDOW", 1_024)).expect("a window");
    let kills = setting("CAGE_CHAOS_KILLS", 20);
    let connections = (RAW.iter().map(|(_, count)| count).sum::<usize>() + CLIENTS.len()) as u64;
    let total = connections * requests;
    let dir = folder();
    let start = Start::small(dir.path())
        .with("--ids-capacity", &(total * 4).next_power_of_two().to_string())
        .with("--holds-max", &total.to_string())
        .with("--segment-mib", "4");
    let (answers, balances) =
        harness::run_for(Duration::from_secs(600), chaos(start, &mut random, requests, window, kills));

    let by_lsn = one_each(&answers);
    let mut books = Books::new(BOUND, &balances.keys().copied().collect::<Vec<_>>());
    for (lsn, Answer { id, operation, code, available, reserved, .. }) in &by_lsn {
        let expected = books.write(*id, operation);
        let found = (*code, *available, *reserved);
        assert_eq!(
            found,
            (expected.code, expected.available, expected.reserved),
            "record {lsn}: {operation:?}"
        );
    }
    assert_eq!(&balances, books.purses(), "balances at the end");

    let acks = dir.path().join("acks.txt");
    write_acks(&acks, &answers);
    let report = audit(dir.path(), &["--acks", harness::text(&acks)]);
    report.assert_clean();
    assert_eq!(report.number("acks_checked"), by_lsn.len() as u64);
    assert_eq!((report.number("acks_missing"), report.number("acks_doubled")), (0, 0));

    let (records, _) = log::records(dir.path());
    let opening =
        |kind| matches!(kind, OperationKind::OpenAsset | OperationKind::OpenPlayer | OperationKind::SetRule);
    let places = log::places(&records);
    let places: Vec<_> = places.values().filter(|(_, record)| !opening(record.request.kind)).collect();
    assert_eq!(places.len(), by_lsn.len(), "what stands in the log was answered, and nothing else");
    for (lsn, record) in places {
        let answer = by_lsn.get(&lsn.0).expect("every record was answered");
        assert_eq!((answer.id, answer.code), (record.request.id, record.result), "record {lsn}");
    }
}

/// Lets it happen; gives all answers and the balances at the end.
async fn chaos(
    start: Start,
    random: &mut StdRng,
    requests: u64,
    window: usize,
    kills: u64,
) -> (Vec<Answer>, BTreeMap<cage_engine::PlayerId, Purses>) {
    let begin = std::time::Instant::now();
    let ledger = start.ledger();
    let casino = Casino::open(&ledger, PLAYERS).await;
    let world = Rc::new(World {
        address: ledger.address(),
        certs: ledger.certs(),
        casino,
        window,
        answered: Cell::new(0),
        changed: Notify::new(),
        deaths: watch::Sender::new(0),
        seen: RefCell::default(),
        reconnections: Cell::new(0),
        asked_again: Cell::new(0),
    });
    let mut names = 0;
    let mut planner = |role| {
        names += 1;
        let (random, world) = (StdRng::seed_from_u64(random.random()), Rc::clone(&world));
        Planner { random, role, world, left: requests, bets: Vec::new(), name: names, deposits: 0 }
    };
    let mut front_ends = JoinSet::new();
    for role in CLIENTS {
        let config = Config { deadline: Duration::from_secs(1), streams: 2, ..Config::new(world.address) };
        let client = Client::connect(config, credentials(&world.certs, role)).await.expect("a connection");
        front_ends.spawn_local(through_the_client(client, planner(role)));
    }
    for (role, count) in RAW {
        for _ in 0..count {
            let raw =
                Raw { planner: planner(role), unanswered: BTreeMap::new(), next_tag: 0, answers: Vec::new() };
            front_ends.spawn_local(raw.run());
        }
    }
    let total = front_ends.len() as u64 * requests;
    let mut at: Vec<u64> = (0..kills).map(|_| random.random_range(total / 50..total * 9 / 10)).collect();
    at.sort_unstable();
    let killing = killer(&world, ledger, at, StdRng::seed_from_u64(random.random()));
    tokio::pin!(killing);
    let mut answers = Vec::new();
    let ledger = loop {
        tokio::select! {
            ledger = &mut killing => break ledger,
            // One that fails is not waited for: its answers will never come.
            Some(done) = front_ends.join_next() => answers.extend(done.expect("a front-end's answers")),
        }
    };
    let rest = async {
        while let Some(done) = front_ends.join_next().await {
            answers.extend(done.expect("a front-end's answers"));
        }
    };
    tokio::select! {
        () = rest => {}
        said = ledger.process().falls_over() => panic!("the server ended by itself:\n{said}"),
    }
    println!(
        "{} answers over {} connections, {} requests asked again, {} kills, {:?}",
        answers.len(),
        world.reconnections.get(),
        world.asked_again.get(),
        *world.deaths.borrow(),
        begin.elapsed()
    );
    let balances = balances(&ledger, &world.casino).await;
    ledger.close().await;
    (answers, balances)
}

async fn balances(ledger: &Ledger, casino: &Casino) -> BTreeMap<cage_engine::PlayerId, Purses> {
    let client = client(ledger, Role::Auditor).await;
    let mut balances = BTreeMap::new();
    for player in &casino.players {
        let held = client.balances(*player, casino.asset).await.expect("balances");
        balances.insert(*player, Purses { available: held.available.0, reserved: held.reserved.0 });
    }
    let totals = client.totals(casino.asset).await.expect("totals");
    let players: i128 = balances.values().map(|purses| purses.available + purses.reserved).sum();
    assert_eq!(
        (totals.players.0, totals.house.0),
        (players, -players),
        "all players together, and the house"
    );
    client.close().await;
    balances
}

/// An id that was never answered before the kill is asked again: whatever became of it, it is in the log once.
/// (W12: the reply is lost, the request is not.)
#[test]
fn a_request_in_flight_at_the_kill_happens_once() {
    harness::run(async {
        let dir = folder();
        let mut ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000_000).await;
        let mut asked = Vec::new();
        for _ in 0..5 {
            let mut wire = harness::wire::Wire::greeted(&ledger, Role::Frontend).await;
            let batch: Vec<_> = (0..500).map(|_| (new_id(), casino.transfer(0, 1, 1))).collect();
            let asks: Vec<_> =
                batch.iter().map(|(id, transfer)| (0, Ask::operation(transfer.request(*id)))).collect();
            asked.extend(batch);
            wire.ask(&asks).await;
            // As soon as the first replies are here the others are on their way to the disk, or back.
            wire.replies().await.expect("replies");
            ledger = ledger.kill().ledger();
        }
        let mut wire = harness::wire::Wire::greeted(&ledger, Role::Frontend).await;
        for (id, transfer) in &asked {
            assert_eq!(wire.operate(*id, transfer).await.result, ResultCode::Done);
        }
        ledger.close().await;
        let places = log::places(&log::records(dir.path()).0);
        assert!(asked.iter().all(|(id, _)| places.contains_key(id)));
        audit(dir.path(), &[]).assert_clean();
    });
}
