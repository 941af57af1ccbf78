//! Two million random requests, answered by the engine and by a [model](model) written by hand: every answer, every
//! record, every balance, every hold and every id must be the same.
//!
//! The spaces are tiny, so that ids collide, tables fill, holds are hit late, early, twice and by the wrong
//! player. Each batch is then replayed from its records alone on a state of another hash seed, and audited: decided
//! again, record by record.
//!
//! `CAGE_SEED` (a number) takes other dice than the usual ones, `CAGE_OPERATIONS` more or fewer requests. A failure
//! prints the two that repeat its batch.

mod model;

use std::collections::BTreeMap;
use std::env;

use cage_engine::state::Ending;
use cage_engine::{
    AccountId, Admitted, Amount, Answer, AssetCode, AssetId, Balance, CallerId, Decision, Expiry, GameId,
    Leg, Lsn, Operation, OperationKind, PlayerClass, PlayerId, Purse, RECORD_BYTES, Record, Request,
    RequestId, ResultCode, Role, Rule, SessionId, Settings, State, Timestamp, decide, record::Age,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use model::{Account, End, Model, Move, Verdict, Written};

const OPERATIONS: u64 = 2_000_000;
const BATCH_OPERATIONS: u64 = 2_000;
const SEED: u64 = 0xca6e;
/// Below this many operations a rare answer may be missing by chance.
const OPERATIONS_FOR_COVERAGE: u64 = 500_000;

/// The operations that this model knows: holds and what they need. The scenes in `casino` and the walks in `laws` are
/// about the others.
const MODELLED: [OperationKind; 11] = [
    OperationKind::Configure,
    OperationKind::StateDigest,
    OperationKind::SetRule,
    OperationKind::OpenAsset,
    OperationKind::OpenPlayer,
    OperationKind::DepositCredit,
    OperationKind::Transfer,
    OperationKind::Reserve,
    OperationKind::Settle,
    OperationKind::Cancel,
    OperationKind::Expire,
];
/// Every answer that these can get, by number.
const ANSWERS: [u16; 43] = [
    0, 1, 2, 100, 101, 110, 111, 112, 113, 120, 130, 131, 132, 133, 140, 141, 142, 143, 144, 145, 146, 147,
    148, 149, 150, 160, 170, 171, 221, 700, 701, 702, 704, 705, 706, 800, 801, 900, 901, 902, 903, 904, 906,
];

#[test]
fn the_engine_answers_as_the_model_does() {
    let seed = number_from("CAGE_SEED").unwrap_or(SEED);
    let operations = number_from("CAGE_OPERATIONS").unwrap_or(OPERATIONS);
    println!("repeat with CAGE_SEED={seed} CAGE_OPERATIONS={operations}");
    let mut coverage = Coverage::default();
    let mut left = operations;
    for batch in 0.. {
        let length = left.min(BATCH_OPERATIONS);
        if length == 0 {
            break;
        }
        run_batch(seed.wrapping_add(batch), length, &mut coverage);
        left -= length;
    }
    if operations >= OPERATIONS_FOR_COVERAGE {
        more_assets_than_fit(&mut coverage);
    }
    println!("{coverage}");
    if operations >= OPERATIONS_FOR_COVERAGE {
        coverage.assert_complete();
    }
}

fn number_from(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn run_batch(seed: u64, length: u64, coverage: &mut Coverage) {
    let _repeat = Repeat { seed, length };
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let world = World::random(&mut dice);
    let mut run = Run::new(dice.0.next_u64());
    let mut caller = Caller::new(world, dice);
    // The ledger is asked before it has settings, too.
    for step in 0..length {
        let now = caller.time(run.state.clock());
        let (id, operation) = caller.next_request(&run.model, now, step);
        run.ask(now, id, &operation, caller.admission(now), coverage);
        if step % 250 == 249 {
            run.check_laws();
        }
    }
    run.check_laws();
    run.replay(caller.dice.0.next_u64());
    run.audit(caller.dice.0.next_u64());
}

/// Says how to repeat a batch, should it fail.
struct Repeat {
    seed: u64,
    length: u64,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, length } = self;
            println!(
                "failed; repeat with `CAGE_SEED={seed} CAGE_OPERATIONS={length} \
                 cargo test -p cage-engine --test model_against_engine`"
            );
        }
    }
}

/// The table of assets has room for 1024: the only limit that small spaces never meet.
fn more_assets_than_fit(coverage: &mut Coverage) {
    let mut run = Run::new(1);
    let now = Timestamp::from_millis(1_000_000);
    let settings = Settings { ids_capacity: 4_096, ids_retention_millis: 0, holds_max: 1, players_max: 1 };
    let operator = (Role::Operator, 7, now);
    run.ask(now, RequestId::NONE, &Operation::Configure { settings }, operator, coverage);
    for number in 0..1_030_u32 {
        let code = AssetCode::new(&format!("A{number}")).expect("a code");
        let operation = Operation::OpenAsset { code, scale: 0, transfers: false, amount_max: Amount(1) };
        run.ask(now, RequestId::from_time(now, u128::from(number)), &operation, operator, coverage);
    }
    run.replay(2);
    run.audit(3);
}

/// The engine and the model side by side, and all records so far.
struct Run {
    state: State,
    model: Model,
    records: Vec<[u8; RECORD_BYTES]>,
}

/// Role, actor and time of receipt.
type Admission = (Role, u32, Timestamp);

impl Run {
    fn new(hash_seed: u64) -> Self {
        Self { state: State::new(hash_seed), model: Model::default(), records: Vec::new() }
    }

    fn ask(
        &mut self,
        now: Timestamp,
        id: RequestId,
        operation: &Operation,
        admission: Admission,
        coverage: &mut Coverage,
    ) {
        let mut operation = *operation;
        if let Operation::StateDigest { digest } = &mut operation {
            *digest = self.state.digest();
        }
        let request = operation.request(id);
        if !parses_as_expected(&request, id, &operation, coverage) {
            return;
        }
        let (role, actor, received) = admission;
        let admitted = Admitted { request, role, actor, grant: 0, received };
        let decision = decide(&self.state, now, &admitted);
        assert_eq!(decide(&self.state, now, &admitted), decision, "a decision changes nothing");
        let verdict = self.model.ask(now, id, &operation);
        coverage.count(operation.kind(), &verdict);
        let context = || format!("{operation:?} under {id} at {now:?}");
        match (&decision, &verdict) {
            (Decision::Record(record), Verdict::Written(written)) => {
                self.check_record(record, written, &admitted, now);
                let bytes = record.to_bytes();
                let read = Record::from_bytes(&bytes).expect("a record that was just written");
                assert_eq!(read, *record, "bytes hold all of a record");
                self.state.apply(Lsn(written.lsn), &read).unwrap_or_else(|fault| {
                    panic!("a record that was decided for this state is applied: {fault}; {}", context())
                });
                self.records.push(bytes);
            }
            (Decision::Answer(Answer::Same(lsn)), Verdict::Same(expected)) => {
                assert_eq!(lsn.0, *expected, "{}", context());
                let earlier = Record::from_bytes(&self.records[lsn.0 as usize - 1]).expect("a record");
                assert_eq!(
                    earlier.asked(),
                    request,
                    "a repeat is answered by the record of the same request"
                );
            }
            (Decision::Answer(Answer::Conflict(lsn)), Verdict::Conflict(expected)) => {
                assert_eq!(lsn.0, *expected, "{}", context());
            }
            (Decision::Answer(Answer::Not(code)), Verdict::Not(expected)) => {
                assert_eq!(code, expected, "{}", context());
            }
            _ => panic!("engine: {decision:?}\nmodel: {verdict:?}\n{}", context()),
        }
        self.check_books(now, id, &request);
    }

    fn check_record(&self, record: &Record, written: &Written, admitted: &Admitted, now: Timestamp) {
        let request = &admitted.request;
        assert_eq!(record.result, written.code, "{request:?} at {now:?}");
        assert_eq!(self.state.next_lsn(), Lsn(written.lsn));
        let legs: Vec<_> = written.moves.iter().map(leg).collect();
        assert_eq!(record.legs(), legs, "{request:?}");
        assert_eq!(record.asked(), *request);
        assert_eq!(record.request.asset, written.named_asset.unwrap_or(request.asset));
        assert_eq!(record.request.player, written.named_player.unwrap_or(request.player));
        assert_eq!(record.previous, Lsn(written.previous), "{request:?}");
        assert_eq!(record.counterparty_previous(), Lsn(written.counterparty_previous), "{request:?}");
        assert_eq!((record.role, record.actor, record.decided), (admitted.role, admitted.actor, now));
        let age = now.0.saturating_sub(admitted.received.0) / 1_000;
        assert_eq!(record.received_age, Age::from_micros(age));
        assert!(record.received_age.micros() <= age, "rounded down");
    }

    /// Everything that can be seen of the books, after each request.
    fn check_books(&self, now: Timestamp, id: RequestId, request: &Request) {
        let Self { state, model, .. } = self;
        assert_eq!(state.next_lsn().0, model.records + 1);
        assert_eq!(state.clock(), model.clock);
        assert_eq!(state.settings(), model.settings);
        assert_eq!(state.id_count(), model.facts());
        assert_eq!(state.id_horizon(), model.horizon);
        let touched = [id, RequestId(request.reference)];
        for hold in touched {
            assert_eq!(state.ending(hold).map(end), model.ending(hold), "the end of {hold}");
        }
        self.check_holds(now);
        for (account, held) in &model.money {
            assert_eq!(state.balance(account_id(*account)).0, *held, "{account:?}");
        }
        for (account, held) in state.house_accounts() {
            assert_eq!(held.0, model.held(house_account(account)), "{account}");
        }
        assert_eq!(state.asset_ids().count(), model.assets.len());
        assert_eq!(state.player_count(), model.players.len());
        for (number, player) in state.players() {
            assert_eq!(state.latest(number).0, model.latest(number));
            assert_eq!(state.player_of(player.caller_id), Some(number));
            for asset in state.asset_ids().take(8) {
                let balances = state.balances(number, asset);
                assert_eq!(balances.available.0, model.held(Account::Available(asset, number)));
                assert_eq!(balances.reserved.0, model.held(Account::Reserved(asset, number)));
            }
        }
    }

    fn check_holds(&self, now: Timestamp) {
        let Self { state, model, .. } = self;
        assert_eq!(state.hold_count(), model.holds.len());
        let mut open: Vec<_> = state.holds().collect();
        open.sort_by_key(|hold| hold.id);
        assert_eq!(open.len(), model.holds.len());
        for (hold, (id, expected)) in open.into_iter().zip(&model.holds) {
            assert_eq!(hold.id, *id);
            assert_eq!(state.hold(*id), Some(hold));
            assert_eq!((hold.remaining.0, hold.payout_left.0), (expected.remaining, expected.payout_left));
            assert_eq!(
                (hold.player, hold.asset, hold.game),
                (expected.player, expected.asset, expected.game)
            );
            assert_eq!((hold.opened.0, hold.deadline), (expected.opened, expected.deadline));
        }
        let due = state.due(now).map(|due| match due {
            Operation::Expire { hold, .. } => hold,
            other => panic!("nothing but a hold falls due here: {other:?}"),
        });
        assert_eq!(due, model.due(now));
        let next = model.holds.values().filter_map(|hold| hold.deadline).min();
        assert_eq!(state.next_due(), next);
    }

    /// What must be true of any books, whatever was asked.
    fn check_laws(&self) {
        let Self { state, model, .. } = self;
        for (asset, expected) in state.asset_ids().zip(&model.assets) {
            let row = state.asset(asset).expect("a listed asset");
            let facts = (row.code, row.scale, row.transfers, row.amount_max);
            assert_eq!(facts, (expected.code, expected.scale, expected.transfers, expected.amount_max));
            assert_eq!(state.recomputed_sum(asset), Balance::ZERO, "the sum over all accounts is zero");
            assert_eq!(row.players_total.0, model.total(asset, true));
            assert_eq!(row.house_total.0, model.total(asset, false));
            assert_eq!(row.players_total.0 + row.house_total.0, 0, "players and house balance");
            for (number, _) in state.players() {
                let balances = state.balances(number, asset);
                assert!(balances.available >= Balance::ZERO, "no purse is below zero");
                let held: u128 = state
                    .holds()
                    .filter(|hold| (hold.player, hold.asset) == (number, asset))
                    .map(|hold| hold.remaining.0)
                    .sum();
                assert_eq!(balances.reserved.0, held as i128, "what is reserved lies in open holds");
                for purse in [Purse::Locked, Purse::Allowance, Purse::Withdrawing, Purse::Bonus] {
                    let account = AccountId::of_player(asset, purse, number);
                    assert_eq!(state.balance(account), Balance::ZERO, "{account} is not in use yet");
                }
            }
        }
        for ((_, player), expected) in state.players().zip(&model.players) {
            let facts = (player.caller_id, player.brand, player.jurisdiction, player.class);
            let wanted = (expected.caller_id, expected.brand, expected.jurisdiction, expected.class);
            assert_eq!(facts, wanted);
        }
    }

    fn records(&self) -> impl Iterator<Item = (Lsn, Record)> {
        let read = |bytes| Record::from_bytes(bytes).expect("a record of the log");
        (1..).map(Lsn).zip(self.records.iter().map(read))
    }

    /// The records alone give the same state, whatever seed its hash tables have.
    fn replay(&self, hash_seed: u64) {
        let mut replica = State::new(hash_seed);
        for (lsn, record) in self.records() {
            if record.request.kind == OperationKind::StateDigest {
                assert_eq!(replica.digest(), record.request.detail.0, "the digest written down at {lsn}");
            }
            replica.apply(lsn, &record).expect("a record of the log");
        }
        assert_eq!(replica.digest(), self.state.digest(), "a replay gives the same state");
    }

    /// The request of each record, asked again at its place, is decided in the same way to the last byte.
    fn audit(&self, hash_seed: u64) {
        let mut state = State::new(hash_seed);
        for (lsn, record) in self.records() {
            let admitted = Admitted {
                request: record.asked(),
                role: record.role,
                actor: record.actor,
                grant: record.grant,
                received: Timestamp(record.decided.0 - record.received_age.micros() * 1_000),
            };
            let again = decide(&state, record.decided, &admitted);
            assert_eq!(again, Decision::Record(record), "the audit of {lsn}");
            state.apply(lsn, &record).expect("a record of the log");
        }
        assert_eq!(state.digest(), self.state.digest(), "an audit gives the same state");
    }
}

/// Whether the request gets past the check of its bytes; the model knows which should.
fn parses_as_expected(
    request: &Request,
    id: RequestId,
    operation: &Operation,
    coverage: &mut Coverage,
) -> bool {
    let parsed = Request::parse(&request.to_bytes());
    match model::malformed(id, operation) {
        None => {
            assert_eq!(parsed, Ok(*request));
            assert_eq!(Operation::try_from(request), Ok(*operation));
            true
        }
        Some(code) => {
            assert_eq!(parsed.map_err(|fault| fault.code), Err(code), "{operation:?}");
            coverage.count(operation.kind(), &Verdict::Not(code));
            // The ledger asks itself without going through bytes.
            model::is_internal(operation)
        }
    }
}

fn account_id(account: Account) -> AccountId {
    match account {
        Account::Available(asset, player) => AccountId::of_player(asset, Purse::Available, player),
        Account::Reserved(asset, player) => AccountId::of_player(asset, Purse::Reserved, player),
        Account::Provider(asset, provider) => {
            AccountId::of_house(asset, Purse::ProviderClearing, u32::from(provider))
        }
        Account::Chain(asset, chain) => AccountId::of_house(asset, Purse::DepositClearing, chain),
    }
}

fn house_account(account: AccountId) -> Account {
    match account.purse() {
        Some(Purse::ProviderClearing) => Account::Provider(account.asset(), account.owner() as u16),
        Some(Purse::DepositClearing) => Account::Chain(account.asset(), account.owner() as u32),
        _ => panic!("{account} is no account of the house that is in use"),
    }
}

fn leg(moved: &Move) -> Leg {
    Leg {
        debit: account_id(moved.debit),
        credit: account_id(moved.credit),
        amount: moved.amount,
        debit_after: Balance(moved.debit_after),
        credit_after: Balance(moved.credit_after),
    }
}

fn end(ending: Ending) -> End {
    match ending {
        Ending::Settled => End::Settled,
        Ending::Cancelled => End::Cancelled,
        Ending::Expired => End::Expired,
        Ending::Tombstone => End::Tombstone,
        Ending::Refused => panic!("no provider's bet is made here"),
    }
}

/// How often each operation got each answer.
#[derive(Default)]
struct Coverage {
    counts: BTreeMap<(OperationKind, Option<ResultCode>), u64>,
}

impl Coverage {
    fn count(&mut self, kind: OperationKind, verdict: &Verdict) {
        let code = match verdict {
            Verdict::Written(written) => Some(written.code),
            Verdict::Same(_) => None,
            Verdict::Conflict(_) => Some(ResultCode::IdConflict),
            Verdict::Not(code) => Some(*code),
        };
        *self.counts.entry((kind, code)).or_default() += 1;
    }

    fn assert_complete(&self) {
        for kind in &MODELLED {
            let done = self.counts.contains_key(&(*kind, Some(ResultCode::Done)));
            assert!(done, "{} was never executed", kind.name());
            let repeated = self.counts.contains_key(&(*kind, None));
            let internal = kind.spec().id == cage_engine::table::IdRule::Internal;
            assert!(repeated != internal, "{} was never repeated", kind.name());
        }
        for code in ResultCode::ALL {
            let seen = self.counts.keys().any(|(_, given)| *given == Some(*code));
            assert_eq!(seen, ANSWERS.contains(&code.number()), "whether {} is given", code.name());
        }
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for ((kind, code), count) in &self.counts {
            let answer = code.map_or("(repeated)", ResultCode::name);
            writeln!(f, "{count:>9}  {:<15} {answer}", kind.name())?;
        }
        Ok(())
    }
}

struct Dice(StdRng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.random_range(0..choices.len())]
    }
}

/// The small space that a batch plays in.
#[derive(Clone, Copy)]
struct World {
    players: u64,
    assets: u64,
    amount_max: u128,
    /// Whether amounts near the greatest of all are used.
    huge: bool,
    settings: Settings,
    reconfigured: bool,
    /// Whether some callers' clocks are ahead: a few of their ids in the horizon, and the others' are too old.
    clocks_ahead: bool,
    /// One step in so many moves time.
    time_moves: u64,
    begin: Timestamp,
}

impl World {
    fn random(dice: &mut Dice) -> Self {
        let huge = dice.one_in(8);
        let players = dice.pick(&[2, 3, 4, 6]);
        Self {
            players,
            assets: dice.pick(&[1, 1, 2, 2, 3]),
            amount_max: if huge { 1 << 125 } else { u128::from(dice.pick(&[3_u64, 5, 8])) },
            huge,
            settings: Settings {
                ids_capacity: dice.pick(&[16, 16, 17, 20, 32, 48, 64]),
                ids_retention_millis: dice.pick(&[0, 1, 5, 5, 100, 10_000]),
                holds_max: dice.pick(&[0, 1, 3, 6, 8, 100]),
                players_max: players - dice.below(2),
            },
            reconfigured: dice.one_in(4),
            clocks_ahead: dice.one_in(5),
            time_moves: dice.pick(&[1, 2, 4, 50]),
            begin: Timestamp::from_millis(dice.pick(&[3, 60_000, 1_750_000_000_000])),
        }
    }
}

/// Whoever asks: makes up requests that have something to do with what went before.
struct Caller {
    world: World,
    dice: Dice,
    asked: Vec<(RequestId, Operation)>,
    /// The ids of reserves, whatever became of them.
    bets: Vec<RequestId>,
    /// Targets of cancels that came before anything else.
    awaited: Vec<RequestId>,
}

impl Caller {
    const fn new(world: World, dice: Dice) -> Self {
        Self { world, dice, asked: Vec::new(), bets: Vec::new(), awaited: Vec::new() }
    }

    /// Stands still, creeps or jumps.
    fn time(&mut self, clock: Timestamp) -> Timestamp {
        let clock = clock.max(self.world.begin);
        if self.dice.below(self.world.time_moves) != 0 {
            return clock;
        }
        let retention = self.world.settings.ids_retention_millis;
        match self.dice.below(100) {
            0..40 => Timestamp(clock.0 + self.dice.below(3)),
            40..80 => Timestamp(clock.0 + self.dice.below(3_000_000)),
            80..97 => clock.plus_millis(self.dice.below(20)),
            97..99 => clock.plus_millis(retention + self.dice.below(2)),
            _ => clock.plus_millis(self.dice.pick(&[4_999, 5_000, 5_001, 60_000, 3_600_000])),
        }
    }

    fn admission(&mut self, now: Timestamp) -> Admission {
        let received = match self.dice.below(8) {
            0 => Timestamp(0),
            1 => now.plus_millis(1),
            _ => Timestamp(now.0 - self.dice.below(now.0.min(5_000_000))),
        };
        (self.dice.pick(&Role::CALLERS), self.dice.below(3) as u32, received)
    }

    fn next_request(&mut self, model: &Model, now: Timestamp, step: u64) -> (RequestId, Operation) {
        if (model.settings.is_none() && self.dice.one_in(20))
            || (self.world.reconfigured && self.dice.one_in(200))
        {
            return (RequestId::NONE, Operation::Configure { settings: self.settings() });
        }
        if let Some(hold) = model.due(now).filter(|_| self.dice.one_in(4)) {
            let due = &model.holds[&hold];
            let expire = Operation::Expire { player: due.player, asset: due.asset, hold };
            return (RequestId::NONE, expire);
        }
        if !self.asked.is_empty() && self.dice.below(100) < 12 {
            // A retry of late, or of long ago.
            let recent = self.asked.len().saturating_sub(if self.dice.one_in(3) { 500 } else { 40 });
            let place = recent + self.dice.below((self.asked.len() - recent) as u64) as usize;
            let (id, operation) = self.asked[place];
            let other = self.dice.one_in(6);
            return (id, if other { self.operation(model, now, step) } else { operation });
        }
        let operation = self.operation(model, now, step);
        let id = match operation {
            _ if model::is_internal(&operation) => RequestId::NONE,
            Operation::DepositCredit { .. } => RequestId(u128::from(self.dice.below(400)) << 70),
            Operation::Reserve { .. } if !self.awaited.is_empty() && self.dice.one_in(6) => {
                self.dice.pick(&self.awaited)
            }
            _ => self.new_id(model, now),
        };
        if matches!(operation, Operation::Reserve { .. }) {
            self.bets.push(id);
        }
        if let Operation::Cancel { hold, .. } = operation {
            self.awaited.push(hold);
            let stale = self.awaited.len().saturating_sub(6);
            self.awaited.drain(..stale);
        }
        if !model::is_internal(&operation) {
            self.asked.push((id, operation));
        }
        (id, operation)
    }

    /// Mostly of about now, sometimes about the horizon, from the future, or nonsense.
    fn new_id(&mut self, model: &Model, now: Timestamp) -> RequestId {
        let millis = match self.dice.below(60) {
            0 => self.dice.below(3),
            1 if self.world.clocks_ahead => now.millis() + 4_998 + self.dice.below(5),
            1 => now.millis() + 5_001 + self.dice.below(4_000_000),
            2 => now.millis() + self.dice.below(20),
            3..6 => (model.horizon.millis() + self.dice.below(3)).saturating_sub(1),
            6 => return RequestId(u128::from(self.dice.below(2))),
            7 => now.millis().saturating_sub(self.dice.below(10_000)),
            _ => (now.millis() + self.dice.below(5)).saturating_sub(2),
        };
        RequestId::from_time(Timestamp::from_millis(millis), u128::from(self.dice.below(12)))
    }

    fn settings(&mut self) -> Settings {
        let mut settings = self.world.settings;
        match self.dice.below(12) {
            0 => settings.ids_capacity = self.dice.pick(&[0, 15, (1 << 30) + 1, u64::MAX]),
            1 => settings.holds_max = (1 << 27) + 1,
            2 => settings.players_max = (1 << 28) - 1,
            3 => settings.ids_retention_millis = self.dice.pick(&[0, 3, 50]),
            4..6 => settings.ids_capacity = self.dice.pick(&[16, 24, 40, 65]),
            6 => settings.holds_max = self.dice.below(9),
            7 => settings.players_max = self.dice.below(7),
            _ => {}
        }
        settings
    }

    fn operation(&mut self, model: &Model, now: Timestamp, step: u64) -> Operation {
        let settled_in = model.assets.len() as u64 == self.world.assets && model.players.len() > 1;
        let kind = match (settled_in, step) {
            (false, _) if self.dice.one_in(2) => self.dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 102, 102, 102]),
            (true, 0..200) if self.dice.one_in(4) => 9,
            _ => self.dice.below(104),
        };
        match kind {
            0..3 => self.open_asset(),
            3..9 => self.open_player(),
            9..22 => Operation::DepositCredit {
                player: self.player(),
                asset: self.asset(),
                amount: self.amount(),
                chain: self.dice.below(3) as u32,
                locked: None,
                turnover: Amount::ZERO,
            },
            22..35 => Operation::Transfer {
                from: self.player(),
                to: self.player(),
                asset: self.asset(),
                amount: self.amount(),
                session: SessionId(u32::from(self.dice.one_in(12))),
            },
            35..63 => self.reserve(now),
            63..86 => self.settle(model, now),
            86..98 => {
                let (player, asset, hold) = self.target(model, now);
                Operation::Cancel { player, asset, hold }
            }
            98..101 => {
                let (player, asset, hold) = self.target(model, now);
                Operation::Expire { player, asset, hold }
            }
            // A digest costs as much as many requests.
            101 if self.dice.one_in(6) => Operation::StateDigest { digest: [0; 32] },
            101 => self.settle(model, now),
            _ => self.rule(),
        }
    }

    fn open_asset(&mut self) -> Operation {
        let number = self.dice.below(self.world.assets);
        let slip = self.dice.below(12);
        Operation::OpenAsset {
            code: AssetCode::new(["ETH", "USDT.TRON", "A-LONG_CODE.0-16"][number as usize]).expect("a code"),
            scale: match slip {
                0 => 31,
                1 => 17,
                _ => 18,
            },
            transfers: (number != 1) ^ (slip == 2),
            amount_max: match slip {
                3 => Amount((1 << 125) + 1),
                4 => Amount(0),
                5 => Amount(1),
                _ => Amount(self.world.amount_max),
            },
        }
    }

    fn open_player(&mut self) -> Operation {
        let number = self.dice.below(self.world.players + 2);
        let slip = self.dice.below(12);
        Operation::OpenPlayer {
            caller_id: CallerId(u128::from(number) * 0x1_0000_0000_0000_0001),
            brand: u16::from(slip == 0),
            jurisdiction: u16::from(slip == 1),
            class: if slip == 2 { PlayerClass::Test } else { PlayerClass::Real },
        }
    }

    fn reserve(&mut self, now: Timestamp) -> Operation {
        let stake = self.amount();
        let payout_max = match self.dice.below(4) {
            0 => Amount(0),
            1 => self.amount(),
            2 => Amount(stake.0.min(1 << 124) * 2),
            _ => Amount(if self.world.huge { 1 << 125 } else { 10 }),
        };
        let expiry = match self.dice.below(10) {
            0..4 => Expiry::Never,
            4 => Expiry::Release(now),
            5 => Expiry::Release(Timestamp(now.0 + 1)),
            6 => Expiry::Release(Timestamp(now.0 - 1)),
            7 => Expiry::Release(now.plus_millis(1)),
            _ => Expiry::Release(now.plus_millis(self.dice.below(3_000))),
        };
        Operation::Reserve {
            player: self.player(),
            asset: self.asset(),
            stake,
            payout_max,
            game: GameId::new(self.dice.pick(&[1, 1, 0xfff]), self.dice.below(2) as u32),
            session: SessionId(u32::from(self.dice.one_in(12))),
            round: None,
            expiry,
        }
    }

    /// Transfers are off until brand and jurisdiction allow them.
    fn rule(&mut self) -> Operation {
        let rule = self.dice.pick(&[Rule::TransfersInBrand, Rule::TransfersInJurisdiction]);
        let scope = if self.dice.one_in(20) { 1 << 16 } else { self.dice.below(2) };
        Operation::SetRule { rule, scope, value: self.dice.pick(&[0, 1, 1, 1, 1, 1, 1, 1, 1, 2]) }
    }

    fn settle(&mut self, model: &Model, now: Timestamp) -> Operation {
        let (player, asset, hold) = self.target(model, now);
        let (remaining, payout_left) =
            model.holds.get(&hold).map_or((1, 1), |hold| (hold.remaining, hold.payout_left));
        let stake = match self.dice.below(8) {
            0 => 0,
            1 => remaining + 1,
            2..5 => 1,
            _ => remaining,
        };
        let payout = match self.dice.below(8) {
            0 => payout_left + 1,
            1 => payout_left,
            2 if self.dice.one_in(20) => (1 << 125) + 1,
            2..6 => 0,
            _ => payout_left.min(1),
        };
        Operation::Settle { player, asset, hold, stake: Amount(stake), payout: Amount(payout) }
    }

    /// A hold with its player and asset; not always an open one, nor always its own.
    fn target(&mut self, model: &Model, now: Timestamp) -> (PlayerId, AssetId, RequestId) {
        let open = model.holds.len() as u64;
        let hold = match self.dice.below(20) {
            0..14 if open > 0 => {
                let place = self.dice.below(open) as usize;
                *model.holds.keys().nth(place).expect("an open hold")
            }
            0..18 if !self.bets.is_empty() => {
                let recent = self.bets.len().saturating_sub(12);
                self.dice.pick(&self.bets[recent..])
            }
            18 if !self.asked.is_empty() => self.asked[self.asked.len() - 1].0,
            _ => self.new_id(model, now),
        };
        let (mut player, mut asset) = match model.holds.get(&hold) {
            Some(hold) => (hold.player, hold.asset),
            None => (self.player(), self.asset()),
        };
        match self.dice.below(16) {
            0 => player = self.player(),
            1 => asset = self.asset(),
            _ => {}
        }
        (player, asset, hold)
    }

    fn player(&mut self) -> PlayerId {
        if self.dice.one_in(200) {
            return PlayerId::NONE;
        }
        let beyond = u64::from(self.dice.one_in(16));
        PlayerId::from_index(self.dice.below(self.world.players + beyond) as u32)
    }

    fn asset(&mut self) -> AssetId {
        if self.dice.one_in(40) {
            return AssetId(self.dice.pick(&[0, self.world.assets as u16 + 1, u16::MAX]));
        }
        AssetId(self.dice.below(self.world.assets) as u16 + 1)
    }

    fn amount(&mut self) -> Amount {
        let bound = self.world.amount_max;
        if self.world.huge && !self.dice.one_in(4) {
            return Amount(self.dice.pick(&[bound, bound, bound - 1, bound / 2, bound + 1]));
        }
        if self.dice.one_in(12) {
            return Amount(self.dice.pick(&[bound - 1, bound, bound + 1, bound + 1]));
        }
        if self.dice.one_in(100) {
            return Amount(self.dice.pick(&[(1 << 125) + 1, u128::MAX]));
        }
        Amount(u128::from(if self.dice.one_in(20) { 0 } else { 1 + self.dice.below(5) }))
    }
}
