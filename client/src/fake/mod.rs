//! A ledger in this process, for tests of programs that use one: no server, no disk, no network.
//!
//! In: what a [`Client`] of it submits. Out: the answers of the real engine, in the order of submission; every record is there to
//! be looked at. Its clock can be set forward, and answers can be lost, so that a program's retries can be tested. Never here: a
//! rule of its own, anything that outlives the process.
//!
//! Its clients subscribe and ask queries as those of a server do, under the same rights; every record is durable at once. Sessions
//! are opened for tokens that [`Fake::sign`] signs (feature `tokens`).
//!
//! ```
//! use cage_client::engine::{Amount, AssetCode, CallerId, GameId, PlayerClass, Role};
//! use cage_client::fake::Fake;
//! use cage_client::permanent_key;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = Fake::new();
//! let code = AssetCode::new("EUR").ok_or("no code")?;
//! let asset = ledger.client(Role::Operator).open_asset(code, 2, false, Amount(1_000_000)).await?;
//! let player = ledger.client(Role::Frontend).open_player(CallerId(1), 1, 1, PlayerClass::Real).await?;
//! let key = permanent_key(&[b"a test"]);
//! ledger.client(Role::Cashier).deposit(key, player, asset, Amount(100), 1).await?;
//!
//! let games = ledger.client(Role::Games);
//! let bet = games.reserve(player, asset, Amount(10), Amount(20), GameId::new(1, 7)).await?;
//! let paid = games.settle(player, asset, bet.id, Amount(10), Amount(20)).await?;
//! assert_eq!(paid.available.map(|held| held.0), Some(110));
//!
//! // What a provider's program is shown: its bet, and the end of it.
//! use cage_client::Filter;
//! use cage_client::engine::Lsn;
//! let mut feed = games.subscribe(Filter::EVERYTHING.of_provider(1), Lsn(0));
//! assert_eq!(feed.next_record().await?.lsn, bet.lsn);
//! assert_eq!(feed.next_record().await?.lsn, paid.lsn);
//! // What support sees of the player, the latest first.
//! let history = ledger.client(Role::Support).history(player, Default::default()).await?;
//! assert_eq!(history.items[0].lsn, paid.lsn);
//! # Ok(())
//! # }
//! ```

mod here;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cage_engine::decide::GROUP_MAX;
use cage_engine::{
    Admitted, Answer, Decision, Lsn, Operation, OperationKind, Record, RequestId, ResultCode, Role, Settings,
    State, Timestamp, decide, decide_group,
};
use cage_protocol::shown::Key;
use cage_protocol::{Ask, Asked, Reply, Watermark, answer, rights};
use tokio::sync::{mpsc, watch};

use crate::client::Client;
use crate::feed::FeedRecord;
use crate::lane::Submission;
use crate::limits::DEADLINE;
use crate::outcome::{Error, sort};
use crate::shared::Shared;
use crate::window::{Entry, Question, Token};

pub(crate) use here::{Followed, Here};

/// Small tables: a test has few players, and many of these may run at once.
const SETTINGS: Settings = Settings {
    ids_capacity: 1 << 16,
    holds_max: 1 << 14,
    players_max: 1 << 16,
    closed_wagers_max: 1 << 10,
    ..Settings::DEFAULT
};

/// A ledger in this process. Cheap to clone; all clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Fake {
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Debug)]
struct Ledger {
    state: State,
    /// The first one has LSN 1.
    records: Vec<Record>,
    /// What filters look at of each.
    keys: Vec<Key>,
    /// The last record, for those who wait for the next.
    grown: watch::Sender<Lsn>,
    /// Whose tokens are taken.
    #[cfg(feature = "tokens")]
    signer: Arc<crate::tokens::Signer>,
    /// How far its clock was set forward.
    ahead: Duration,
    answers_to_lose: usize,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    /// A ledger without assets and players.
    #[must_use]
    pub fn new() -> Self {
        let mut ledger = Ledger {
            state: State::new(rand::random()),
            records: Vec::new(),
            keys: Vec::new(),
            grown: watch::Sender::new(Lsn::NONE),
            #[cfg(feature = "tokens")]
            signer: signer(),
            ahead: Duration::ZERO,
            answers_to_lose: 0,
        };
        ledger.own(Operation::Configure { settings: SETTINGS });
        Self { ledger: Arc::new(Mutex::new(ledger)) }
    }

    /// A client of a role. Must be called inside of a tokio runtime, which answers it.
    #[must_use]
    pub fn client(&self, role: Role) -> Client {
        self.client_named(role, "fake")
    }

    /// A client of a role with a name of its own: for rules that tell identities of one role apart.
    #[must_use]
    pub fn client_named(&self, role: Role, name: &str) -> Client {
        let shared = Arc::new(Shared::new(None, Watermark::default()));
        let (closing, closed) = watch::channel(false);
        let (submit, submissions) = mpsc::unbounded_channel();
        let caller = Caller::new(role, name);
        let here = Here::new(self.clone(), caller.clone());
        tokio::spawn(serve(self.clone(), caller, submissions, closed));
        Client::of_lane(shared, submit, closing, DEADLINE, here)
    }

    /// Sets the clock forward; what is due by then is done: holds expire, sessions end.
    pub fn advance(&self, time: Duration) {
        let mut ledger = self.lock();
        ledger.ahead += time;
        ledger.do_due();
    }

    /// The ledger's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.lock().now()
    }

    /// A token that a casino's service for log-ins would have signed: [`Client::open_session`] takes it.
    #[cfg(feature = "tokens")]
    #[must_use]
    pub fn sign(&self, claims: &crate::tokens::Claims) -> String {
        self.lock().signer.sign(claims)
    }

    /// Loses the next so many answers: what was asked is decided, and whoever asked is told that nobody knows.
    pub fn lose_answers(&self, count: usize) {
        self.lock().answers_to_lose = count;
    }

    /// Every record so far.
    #[must_use]
    pub fn records(&self) -> Vec<FeedRecord> {
        let numbered = (1..).map(Lsn).zip(self.lock().records.clone());
        numbered.map(|(lsn, record)| FeedRecord { lsn, record }).collect()
    }

    /// Looks at the books.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.lock().state)
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, caller: &Caller, submission: Submission) {
        let entries = match submission {
            Submission::One(entry) => vec![entry],
            Submission::Together(entries) => entries,
        };
        for entry in entries {
            self.answer(caller, entry);
        }
    }

    fn answer(&self, caller: &Caller, entry: Entry) {
        let mut ledger = self.lock();
        let replies = ledger.replies(caller, &entry.question);
        let is_lost = ledger.answers_to_lose > 0;
        ledger.answers_to_lose = ledger.answers_to_lose.saturating_sub(1);
        drop(ledger);
        let mut replies = replies.into_iter();
        entry.answer(|id| match replies.next() {
            Some(reply) if !is_lost => sort(id, &reply, false),
            _ => Err(Error::Unknown { id }),
        });
    }
}

/// Who asks.
#[derive(Clone, Debug)]
struct Caller {
    role: Role,
    actor: u32,
    uri: Arc<str>,
}

impl Caller {
    fn new(role: Role, name: &str) -> Self {
        let uri = format!("cage://{}/{name}", role.name());
        // The number of an identity, as the server computes it.
        let digest = blake3::hash(uri.as_bytes());
        let actor = digest.as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Self { role, actor, uri: uri.into() }
    }

    fn asks(&self) -> rights::Caller<'_> {
        rights::Caller { role: self.role, actor: self.actor, uri: &self.uri }
    }
}

#[cfg(feature = "tokens")]
fn signer() -> Arc<crate::tokens::Signer> {
    let made = crate::tokens::Signer::generate("fake");
    Arc::new(made.unwrap_or_else(|reason| panic!("a machine without randomness cannot test: {reason}")))
}

/// Answers until nobody can submit any more.
async fn serve(
    fake: Fake,
    caller: Caller,
    mut submissions: mpsc::UnboundedReceiver<Submission>,
    mut closed: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            submission = submissions.recv() => match submission {
                Some(submission) => fake.take(&caller, submission),
                None => return,
            },
            _ = closed.wait_for(|closed| *closed), if !submissions.is_closed() => submissions.close(),
        }
    }
}

impl Ledger {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.ahead;
        self.state.clock().max(Timestamp(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn replies(&mut self, caller: &Caller, question: &Question) -> Vec<Reply> {
        match question {
            Question::One { ask: Ask::Read(read), .. } => vec![answer(&self.state, 0, *read)],
            Question::One { ask, .. } => self.decided(caller, &[*ask]),
            Question::Group(group) => {
                let asks: Vec<_> = group.members.iter().map(|(_, ask)| *ask).collect();
                self.decided(caller, &asks)
            }
            Question::Session { id, grant, token, .. } => match self.open(caller, *id, *grant, token) {
                Ok(admitted) => self.decide_all(admitted.received, &[admitted]),
                Err(code) => vec![Reply::without_record(0, code)],
            },
        }
    }

    /// Decides one request, or a group. What it would not take over the wire is not taken here.
    fn decided(&mut self, caller: &Caller, asks: &[Ask]) -> Vec<Reply> {
        let now = self.now();
        let admitted: Vec<_> = asks.iter().map(|ask| admit(caller, ask, now)).collect();
        if asks.len() > GROUP_MAX || (asks.len() > 1 && admitted.iter().any(Result::is_err)) {
            let others =
                if asks.len() > GROUP_MAX { ResultCode::GroupMalformed } else { ResultCode::GroupNotTaken };
            let code = |admitted: &Result<_, ResultCode>| admitted.as_ref().err().copied().unwrap_or(others);
            return admitted.iter().map(|admitted| Reply::without_record(0, code(admitted))).collect();
        }
        match admitted.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(admitted) => self.decide_all(now, &admitted),
            Err(code) => vec![Reply::without_record(0, code)],
        }
    }

    fn decide_all(&mut self, now: Timestamp, admitted: &[Admitted]) -> Vec<Reply> {
        let decisions = match admitted {
            [one] => vec![decide(&self.state, now, one)],
            members => decide_group(&mut self.state, now, members),
        };
        let replies = decisions.iter().map(|decision| self.carry_out(decision)).collect();
        self.do_due();
        replies
    }

    /// A request to open a session, if its token is valid. As at the server, whoever may not open sessions is not told that.
    fn open(
        &self,
        caller: &Caller,
        id: RequestId,
        grant: u16,
        token: &Token,
    ) -> Result<Admitted, ResultCode> {
        if id == RequestId::NONE {
            return Err(ResultCode::IdZero);
        }
        if !OperationKind::OpenSession.spec().roles.contains(caller.role) {
            return Err(ResultCode::RoleNotAllowed);
        }
        let now = self.now();
        let request = self.claimed(token, now).ok_or(ResultCode::TokenInvalid)?.request(id);
        request.check().map_err(|_| ResultCode::TokenInvalid)?;
        Ok(Admitted { request, role: caller.role, actor: caller.actor, grant, received: now })
    }

    /// What a valid token asks for.
    #[cfg(feature = "tokens")]
    fn claimed(&self, token: &Token, now: Timestamp) -> Option<Operation> {
        let signer = &self.signer;
        let claims = crate::tokens::verify(&token.0, |name| (name == signer.name()).then(|| signer.public()));
        claims.and_then(|claims| claims.opens(blake3::hash(&token.0).as_bytes(), now)).ok()
    }

    /// There is no key that could have signed one.
    #[cfg(not(feature = "tokens"))]
    const fn claimed(&self, _token: &Token, _now: Timestamp) -> Option<Operation> {
        None
    }

    fn carry_out(&mut self, decision: &Decision) -> Reply {
        if let Decision::Answer(answer) = decision {
            return match *answer {
                Answer::Same(lsn) => {
                    let record = lsn.0.checked_sub(1).and_then(|at| self.records.get(at as usize));
                    let unknown = || Reply::without_record(0, ResultCode::IdConflict);
                    record.map_or_else(unknown, |record| Reply::of_record(0, lsn, record, true))
                }
                Answer::Conflict(lsn) => Reply { lsn, ..Reply::without_record(0, ResultCode::IdConflict) },
                Answer::Not(code) => Reply::without_record(0, code),
            };
        }
        let lsn = self.state.next_lsn();
        for record in decision.records() {
            let applied = self.state.apply(self.state.next_lsn(), record);
            assert!(applied.is_ok(), "the engine takes what it has decided: {applied:?}");
            self.keys.push(Key::of(record, self.keys.last()));
            self.records.push(*record);
        }
        self.grown.send_replace(self.last());
        let head = &self.records[lsn.0 as usize - 1];
        Reply::of_record(0, lsn, head, false)
    }

    /// Does what is due without anybody asking.
    fn do_due(&mut self) {
        let now = self.now();
        while let Some(operation) = self.state.due(now) {
            if !self.own(operation).is_executed() {
                self.state.set_aside();
            }
        }
    }

    /// Does something of the ledger's own, unless it is refused.
    fn own(&mut self, operation: Operation) -> ResultCode {
        let now = self.now();
        let request = operation.request(RequestId::NONE);
        let own = Admitted { request, role: Role::System, actor: 0, grant: 0, received: now };
        let decision = decide(&self.state, now, &own);
        match decision.records().first().map(|head| head.result) {
            Some(code) if !code.is_executed() => code,
            _ => self.carry_out(&decision).result,
        }
    }
}

/// As the server does it: what the bytes of a request may be, and what its caller's role may ask.
fn admit(caller: &Caller, ask: &Ask, now: Timestamp) -> Result<Admitted, ResultCode> {
    let Asked { ask, .. } = Asked::from_bytes(&ask.to_bytes(0));
    let Ask::Operation { request, grant } = ask.map_err(|malformed| malformed.code)? else {
        return Err(ResultCode::GroupMalformed);
    };
    let Caller { role, actor, .. } = *caller;
    if !request.kind.spec().roles.contains(role) {
        return Err(ResultCode::RoleNotAllowed);
    }
    if request.kind == OperationKind::OpenSession {
        return Err(ResultCode::TokenMissing);
    }
    Ok(Admitted { request, role, actor, grant, received: now })
}
