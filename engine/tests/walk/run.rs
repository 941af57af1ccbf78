//! The engine and the model side by side: both are asked the same, and everything that can be seen must be the same.

use cage_engine::account::{AccountId, Purse};
use cage_engine::record::Age;
use cage_engine::{
    Admitted, Answer, Balance, Decision, Leg, Lsn, Operation, OperationKind, PlayerId, RECORD_BYTES, Record,
    Request, ResultCode, State, Timestamp, decide, decide_group,
};

use crate::coverage::Coverage;
use crate::model::{Account, Asked, Checks, Model, Move, Verdict, Written, words};

/// The engine, the model, and all records so far.
pub(crate) struct Run {
    pub(crate) state: State,
    pub(crate) model: Model,
    pub(crate) records: Vec<[u8; RECORD_BYTES]>,
}

impl Run {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self { state: State::new(hash_seed), model: Model::default(), records: Vec::new() }
    }

    /// Asks both for one thing.
    pub(crate) fn ask(&mut self, mut asked: Asked, received: Timestamp, coverage: &mut Coverage) {
        if let Operation::StateDigest { digest } = &mut asked.operation {
            *digest = self.state.digest();
        }
        if !is_admitted(&asked, coverage) {
            return;
        }
        let admitted = admit(&asked, received);
        let decision = decide(&self.state, asked.now, &admitted);
        assert_eq!(decide(&self.state, asked.now, &admitted), decision, "a decision changes nothing");
        let mut checks = Checks::default();
        let verdict = self.model.ask(&asked, &mut checks);
        coverage.count(&asked, &verdict, &checks);
        self.follow(&asked, received, &decision, &verdict, false);
        self.compare_due(asked.now, &[asked]);
    }

    /// Asks both for a group.
    pub(crate) fn ask_group(&mut self, members: &[Asked], received: Timestamp, coverage: &mut Coverage) {
        if !members.iter().all(|member| is_admitted(member, coverage)) {
            return;
        }
        let now = members[0].now;
        let admitted: Vec<_> = members.iter().map(|member| admit(member, received)).collect();
        let before = self.state.digest();
        let decisions = decide_group(&mut self.state, now, &admitted);
        assert_eq!(self.state.digest(), before, "a trial is taken back to the last bit: {members:?}");
        let mut checks = Vec::new();
        let verdicts = self.model.ask_group(members, &mut checks);
        coverage.count_group(members, &verdicts, &checks);
        let decided: Vec<_> = decisions.iter().map(decided).collect();
        let expected: Vec<_> = verdicts.iter().map(expected).collect();
        assert_eq!(decided, expected, "{members:#?}");
        for (place, (decision, verdict)) in decisions.iter().zip(&verdicts).enumerate() {
            let linked = place + 1 < members.len();
            self.follow(&members[place], received, decision, verdict, linked);
        }
        self.compare_due(now, members);
    }

    /// Compares a decision with the model's, and applies it.
    fn follow(
        &mut self,
        asked: &Asked,
        received: Timestamp,
        decision: &Decision,
        verdict: &Verdict,
        linked: bool,
    ) {
        match (decision, verdict) {
            (Decision::Record(_) | Decision::Records(_), Verdict::Written(written)) => {
                self.follow_records(asked, received, decision.records(), written, linked);
            }
            (Decision::Answer(Answer::Same(lsn)), Verdict::Same(expected)) => {
                assert_eq!(lsn.0, *expected, "{asked:?}");
                let earlier = Record::from_bytes(&self.records[lsn.0 as usize - 1]).expect("a record");
                let (mut known, mut again) = (earlier.asked(), request(asked));
                // A bet is known by the provider's transaction, whatever id it comes under.
                if words::bet_reference(&asked.operation).is_some() {
                    (known.id, again.id) = (asked.id, asked.id);
                }
                assert_eq!(known, again, "a repeat is answered by the record of the same request");
                (known, again) = (earlier.asked(), again);
                assert_eq!(known.kind, again.kind);
            }
            (Decision::Answer(Answer::Conflict(lsn)), Verdict::Conflict(expected)) => {
                assert_eq!(lsn.0, *expected, "{asked:?}");
            }
            (Decision::Answer(Answer::Not(code)), Verdict::Not(expected)) => {
                assert_eq!(code, expected, "{asked:?}");
            }
            _ => panic!("engine: {decision:?}\nmodel: {verdict:?}\n{asked:?}"),
        }
    }

    fn follow_records(
        &mut self,
        asked: &Asked,
        received: Timestamp,
        records: &[Record],
        written: &Written,
        linked: bool,
    ) {
        let head = &records[0];
        check_head(head, asked, received, written);
        assert_eq!(records.len(), written.records(), "{asked:?}");
        let mut moves = written.moves.iter();
        let mut lsn = Lsn(written.lsn);
        for (place, record) in records.iter().enumerate() {
            let legs: Vec<_> = moves.by_ref().take(2).map(leg).collect();
            assert_eq!(record.legs(), legs, "{asked:?}");
            assert_eq!(record.result, written.code, "{asked:?}");
            assert_eq!(record.linked, linked || place + 1 < records.len());
            if place > 0 {
                assert_eq!(record.request.kind, OperationKind::Continue);
                assert_eq!(record.previous, Lsn(lsn.0 - 1), "a continuation follows what it continues");
            }
            let bytes = record.to_bytes();
            let read = Record::from_bytes(&bytes).expect("a record that was just written");
            assert_eq!(read, *record, "bytes hold all of a record");
            self.state.apply(lsn, &read).unwrap_or_else(|fault| {
                panic!("a record that was decided for this state is applied: {fault}; {asked:?}")
            });
            self.records.push(bytes);
            lsn = lsn.next();
        }
    }

    fn compare_due(&self, now: Timestamp, asked: &[Asked]) {
        assert_eq!(self.state.due(now), self.model.due(now), "what is due");
        assert_eq!(self.state.next_due(), self.model.next_due(), "when something is due");
        assert_eq!(self.state.next_lsn().0, self.model.records + 1);
        assert_eq!(self.state.clock(), self.model.clock);
        assert_eq!(self.state.id_count(), self.model.fact_count(), "facts after {asked:?}");
        assert_eq!(self.state.id_horizon(), self.model.horizon, "the horizon after {asked:?}");
    }

    fn read(&self) -> impl Iterator<Item = Record> {
        self.records.iter().map(|bytes| Record::from_bytes(bytes).expect("a record of the log"))
    }

    /// The records alone give the same state, whatever seed its hash tables have.
    pub(crate) fn replay(&self, hash_seed: u64) {
        let mut replica = State::new(hash_seed);
        for (lsn, record) in (1..).map(Lsn).zip(self.read()) {
            if record.request.kind == OperationKind::StateDigest {
                assert_eq!(replica.digest(), record.request.detail.0, "the digest written down at {lsn}");
            }
            replica.apply(lsn, &record).expect("a record of the log");
        }
        assert_eq!(replica.digest(), self.state.digest(), "a replay gives the same state");
    }

    /// What was asked, asked again at its place, is decided in the same way to the last byte.
    pub(crate) fn audit(&self, hash_seed: u64) {
        let mut state = State::new(hash_seed);
        let records: Vec<_> = self.read().collect();
        for run in records.chunk_by(|record, _| record.linked) {
            let now = run[0].decided;
            let heads = run.iter().filter(|record| record.request.kind != OperationKind::Continue);
            let asked: Vec<_> = heads
                .map(|record| Admitted {
                    request: record.asked(),
                    role: record.role,
                    actor: record.actor,
                    grant: record.grant,
                    received: Timestamp(now.0 - record.received_age.micros() * 1_000),
                })
                .collect();
            let again: Vec<_> = match &asked[..] {
                [alone] => decide(&state, now, alone).records().to_vec(),
                group => {
                    let decisions = decide_group(&mut state, now, group);
                    decisions.iter().flat_map(|decision| decision.records().to_vec()).collect()
                }
            };
            assert_eq!(again, run, "the audit of {}", state.next_lsn());
            for record in run {
                state.apply(state.next_lsn(), record).expect("a record of the log");
            }
        }
        assert_eq!(state.digest(), self.state.digest(), "an audit gives the same state");
    }
}

/// The code of a decision, or the record that answered before.
fn decided(decision: &Decision) -> (Option<ResultCode>, u64) {
    match decision {
        Decision::Record(record) => (Some(record.result), 0),
        Decision::Records(records) => (Some(records[0].result), 0),
        Decision::Answer(Answer::Not(code)) => (Some(*code), 0),
        Decision::Answer(Answer::Same(lsn) | Answer::Conflict(lsn)) => (None, lsn.0),
    }
}

const fn expected(verdict: &Verdict) -> (Option<ResultCode>, u64) {
    match verdict {
        Verdict::Written(written) => (Some(written.code), 0),
        Verdict::Not(code) => (Some(*code), 0),
        Verdict::Same(lsn) | Verdict::Conflict(lsn) => (None, *lsn),
    }
}

fn request(asked: &Asked) -> Request {
    Request { linked: asked.linked, ..asked.operation.request(asked.id) }
}

fn admit(asked: &Asked, received: Timestamp) -> Admitted {
    let caller = asked.caller;
    Admitted {
        request: request(asked),
        role: caller.role,
        actor: caller.actor,
        grant: caller.grant,
        received,
    }
}

/// Whether the request gets past the checks of its bytes and role; the model knows which should.
fn is_admitted(asked: &Asked, coverage: &mut Coverage) -> bool {
    let request = request(asked);
    let (kind, role) = (asked.kind(), asked.caller.role);
    let internal = words::id_kind(kind) == words::IdKind::Internal;
    let parsed = Request::parse(&request.to_bytes());
    if let Some(code) = words::malformed(asked.id, &asked.operation) {
        assert_eq!(parsed.map_err(|fault| fault.code), Err(code), "{asked:?}");
        coverage.count(asked, &Verdict::Not(code), &Checks::default());
        // The ledger asks itself without going through bytes.
        return internal;
    }
    assert_eq!(parsed, Ok(request));
    assert_eq!(Operation::try_from(&request), Ok(asked.operation));
    let may = words::roles(kind).contains(&role);
    assert_eq!(kind.spec().roles.contains(role), may, "{} by {}", kind.name(), role.name());
    if !may {
        coverage.count(asked, &Verdict::Not(ResultCode::RoleNotAllowed), &Checks::default());
    }
    may
}

fn check_head(record: &Record, asked: &Asked, received: Timestamp, written: &Written) {
    assert_eq!(record.result, written.code, "{asked:?}\n{written:?}");
    let request = request(asked);
    let named = written.named;
    assert_eq!(record.asked(), request);
    assert_eq!(record.request.asset, named.asset.unwrap_or(request.asset));
    assert_eq!(record.request.player, named.player.unwrap_or(request.player));
    assert_eq!(record.request.session, named.session.unwrap_or(request.session));
    assert_eq!(record.request.game, named.game.unwrap_or(request.game), "{asked:?}");
    if let Some(number) = named.number {
        assert_eq!(record.handed_out(), Some(number), "{asked:?}");
    }
    if asked.kind() == OperationKind::DepositCredit && written.code.number() < 100 {
        assert_eq!(record.lock_reason(), named.locked, "{asked:?}");
    }
    assert_eq!(record.previous, Lsn(written.previous), "{asked:?}");
    assert_eq!(record.counterparty_previous(), Lsn(written.counterparty_previous), "{asked:?}");
    let caller = asked.caller;
    assert_eq!((record.role, record.actor, record.grant), (caller.role, caller.actor, caller.grant));
    assert_eq!(record.decided, asked.now);
    let age = asked.now.0.saturating_sub(received.0) / 1_000;
    assert_eq!(record.received_age, Age::from_micros(age));
    assert!(record.received_age.micros() <= age, "rounded down");
}

pub(crate) fn account_id(account: Account) -> AccountId {
    let player = |asset, purse, player: PlayerId| AccountId::of_player(asset, purse, player);
    let house = AccountId::of_house;
    match account {
        Account::Available(asset, owner) => player(asset, Purse::Available, owner),
        Account::Locked(asset, owner) => player(asset, Purse::Locked, owner),
        Account::Reserved(asset, owner) => player(asset, Purse::Reserved, owner),
        Account::Allowance(asset, owner) => player(asset, Purse::Allowance, owner),
        Account::Withdrawing(asset, owner) => player(asset, Purse::Withdrawing, owner),
        Account::Provider(asset, provider) => house(asset, Purse::ProviderClearing, u32::from(provider)),
        Account::DepositChain(asset, chain) => house(asset, Purse::DepositClearing, chain),
        Account::WithdrawalChain(asset, chain) => house(asset, Purse::WithdrawalClearing, chain),
        Account::Receivable(asset, owner) => AccountId::receivable(asset, owner),
        Account::WriteOffs(asset) => house(asset, Purse::WriteOffs, 0),
        Account::Fees(asset) => house(asset, Purse::Fees, 0),
        Account::BonusExpense(asset) => house(asset, Purse::BonusExpense, 0),
        Account::Jackpot(asset, pool) => house(asset, Purse::Jackpot, pool),
        Account::JackpotShortfall(asset, pool) => house(asset, Purse::JackpotShortfall, pool),
        Account::Fx(asset) => house(asset, Purse::Fx, 0),
        Account::Adjustments(asset) => house(asset, Purse::Adjustments, 0),
        Account::Imports(asset) => house(asset, Purse::Imports, 0),
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
