//! A ledger in memory: the real rules, without a disk or a network. Answers can be lost.

use std::sync::{Arc, Mutex, MutexGuard};

use cage_chain::bridge::Ledger;
use cage_client::engine::{
    AccountId, Admitted, Amount, Answer, AssetCode, AssetId, CallerId, Decision, Lsn, Operation, PlayerClass,
    PlayerId, Purse, Record, RequestId, ResultCode, Role, Rule, Settings, State, Timestamp, decide,
};
use cage_client::{Error, Executed};

pub(crate) const ETH: AssetId = AssetId(1);
pub(crate) const USD: AssetId = AssetId(2);
const ACTOR: u32 = 7;

#[derive(Debug)]
struct Inner {
    state: State,
    now: Timestamp,
    records: Vec<Record>,
    ids: u128,
    /// The next so many answers to a bridge are lost, with what was asked executed.
    lost_answers: u32,
    /// The next so many questions of a bridge do not arrive.
    lost_questions: u32,
    /// How often a bridge asked.
    asked: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Books(Arc<Mutex<Inner>>);

impl Inner {
    fn ask(
        &mut self,
        role: Role,
        actor: u32,
        id: RequestId,
        operation: &Operation,
    ) -> Result<Executed, Error> {
        let received = self.now;
        let admitted = Admitted { request: operation.request(id), role, actor, grant: 0, received };
        let decision = decide(&self.state, self.now, &admitted);
        for record in decision.records() {
            self.state.apply(self.state.next_lsn(), record).expect("a decided record is applied");
            self.records.push(*record);
        }
        self.do_due();
        let (code, lsn, repeated) = match decision {
            Decision::Answer(Answer::Same(lsn)) => (self.records[lsn.0 as usize - 1].result, lsn, true),
            Decision::Answer(Answer::Conflict(lsn)) => (ResultCode::IdConflict, lsn, false),
            Decision::Answer(Answer::Not(code)) => (code, Lsn::NONE, false),
            Decision::Record(record) => (record.result, Lsn(self.records.len() as u64), false),
            Decision::Records(records) => (records[0].result, Lsn(self.records.len() as u64), false),
        };
        if !code.is_executed() {
            return Err(Error::Refused { id, code, lsn, repeated });
        }
        let player = self.records[lsn.0 as usize - 1].handed_out().unwrap_or(0);
        Ok(Executed {
            id,
            code,
            lsn,
            repeated,
            asset: AssetId::NONE,
            player,
            available: None,
            reserved: None,
        })
    }

    fn do_due(&mut self) {
        while let Some(operation) = self.state.due(self.now) {
            let request = operation.request(RequestId::NONE);
            let admitted = Admitted { request, role: Role::System, actor: 0, grant: 0, received: self.now };
            for record in decide(&self.state, self.now, &admitted).records() {
                self.state.apply(self.state.next_lsn(), record).expect("what is due is applied");
                self.records.push(*record);
            }
        }
    }
}

impl Books {
    /// Ether with 9 decimals, dollars with 6.
    pub(crate) fn open() -> Self {
        let now = Timestamp::from_millis(1_750_000_000_000);
        let inner = Inner {
            state: State::new(0x5eed),
            now,
            records: Vec::new(),
            ids: 0,
            lost_answers: 0,
            lost_questions: 0,
            asked: 0,
        };
        let books = Self(Arc::new(Mutex::new(inner)));
        let settings = Settings {
            ids_capacity: 65_536,
            ids_retention_millis: 1_000,
            holds_max: 1_000,
            players_max: 10_000,
            closed_wagers_max: 0,
        };
        let configured =
            books.inner().ask(Role::System, 0, RequestId::NONE, &Operation::Configure { settings });
        configured.expect("settings");
        for (code, scale) in [("ETH", 9), ("USD", 6)] {
            let code = AssetCode::new(code).expect("a code");
            books.ask_as(
                Role::Operator,
                Operation::OpenAsset { code, scale, transfers: false, amount_max: Amount::MAX },
            );
        }
        books
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("the books")
    }

    pub(crate) fn new_id(&self) -> RequestId {
        let mut inner = self.inner();
        inner.ids += 1;
        RequestId::from_time(inner.now, inner.ids)
    }

    /// Somebody else than a bridge asks, and is answered.
    #[track_caller]
    pub(crate) fn ask_as(&self, role: Role, operation: Operation) -> Executed {
        self.try_as(role, operation).expect("executed")
    }

    pub(crate) fn try_as(&self, role: Role, operation: Operation) -> Result<Executed, Error> {
        let id = self.new_id();
        self.inner().ask(role, ACTOR, id, &operation)
    }

    pub(crate) fn open_player(&self) -> PlayerId {
        let caller_id = CallerId(self.new_id().0);
        let open = Operation::OpenPlayer { caller_id, brand: 0, jurisdiction: 0, class: PlayerClass::Real };
        PlayerId::new(self.ask_as(Role::Operator, open).player).expect("a player")
    }

    /// Hands an address out; gives its number.
    pub(crate) fn assign(&self, player: PlayerId) -> u32 {
        let assign = Operation::AssignAddress { player, chain: super::CHAIN, fresh: true };
        u32::try_from(self.ask_as(Role::Frontend, assign).player).expect("a number")
    }

    pub(crate) fn set_rule(&self, rule: Rule, scope: u64, value: u128) {
        self.ask_as(Role::Operator, Operation::SetRule { rule, scope, value });
    }

    /// Asks for money to be paid out; gives the withdrawal's id.
    pub(crate) fn withdraw(&self, player: PlayerId, asset: AssetId, amount: u128, to: [u8; 20]) -> RequestId {
        let mut destination = [0; 32];
        destination[..20].copy_from_slice(&to);
        let id = self.new_id();
        let session = cage_client::engine::SessionId::NONE;
        let (amount, chain) = (Amount(amount), super::CHAIN);
        let request = Operation::WithdrawRequest { player, asset, amount, session, chain, destination };
        self.inner().ask(Role::Frontend, ACTOR, id, &request).expect("money is set aside");
        id
    }

    pub(crate) fn approve(&self, player: PlayerId, asset: AssetId, withdrawal: RequestId) {
        self.ask_as(Role::Risk, Operation::WithdrawApprove { player, asset, withdrawal });
    }

    pub(crate) fn cancel(
        &self,
        player: PlayerId,
        asset: AssetId,
        withdrawal: RequestId,
    ) -> Result<Executed, Error> {
        self.try_as(Role::Risk, Operation::WithdrawCancel { player, asset, withdrawal })
    }

    pub(crate) fn purse(&self, player: PlayerId, asset: AssetId, purse: Purse) -> u128 {
        let balance = self.inner().state.balance(AccountId::of_player(asset, purse, player));
        u128::try_from(balance.0).expect("a player's purse is never below zero")
    }

    pub(crate) fn house(&self, asset: AssetId, purse: Purse, owner: u32) -> i128 {
        self.inner().state.balance(AccountId::of_house(asset, purse, owner)).0
    }

    pub(crate) fn after(&self, position: Lsn) -> Vec<Record> {
        self.inner().records[position.0 as usize..].to_vec()
    }

    pub(crate) fn position(&self) -> Lsn {
        Lsn(self.inner().records.len() as u64)
    }

    pub(crate) fn lose_answers(&self, count: u32) {
        self.inner().lost_answers = count;
    }

    pub(crate) fn lose_questions(&self, count: u32) {
        self.inner().lost_questions = count;
    }

    pub(crate) fn asked(&self) -> u64 {
        self.inner().asked
    }

    /// The numbers of a player's addresses.
    pub(crate) fn addresses_of(&self, player: PlayerId) -> Vec<u32> {
        use cage_client::engine::OperationKind::AssignAddress;
        let inner = self.inner();
        let assigned = inner.records.iter().filter(|record| record.request.kind == AssignAddress);
        assigned
            .filter(|record| record.request.player == player && record.result.is_executed())
            .filter_map(|record| u32::try_from(record.handed_out()?).ok())
            .collect()
    }

    /// How many records of a kind were executed.
    pub(crate) fn count(&self, kind: cage_client::engine::OperationKind) -> usize {
        let inner = self.inner();
        inner
            .records
            .iter()
            .filter(|record| record.request.kind == kind && record.result.is_executed())
            .count()
    }
}

impl Ledger for Books {
    async fn ask(&self, id: RequestId, operation: Operation) -> Result<Executed, Error> {
        let mut inner = self.inner();
        inner.asked += 1;
        if inner.lost_questions > 0 {
            inner.lost_questions -= 1;
            return Err(Error::Unknown { id });
        }
        let answer = inner.ask(Role::Chain, ACTOR, id, &operation);
        if inner.lost_answers > 0 {
            inner.lost_answers -= 1;
            return Err(Error::Unknown { id });
        }
        answer
    }

    fn mint_id(&self) -> RequestId {
        self.new_id()
    }

    async fn position(&self, _: AssetId) -> Result<Lsn, Error> {
        Ok(Self::position(self))
    }
}
