//! The stage: a small ledger whose house allows everything, and a caller. Everything lies in the cache.

use cage_engine::{
    Admitted, Amount, AssetCode, AssetId, CallerId, Decision, GameId, Operation, OperationKind, PlayerClass,
    PlayerId, Reference, RequestId, ResultCode, Role, Rule, SessionId, Settings, State, Timestamp, decide,
    decide_group,
};

pub(super) const ASSET: AssetId = AssetId(1);
/// Another one, with a price.
pub(super) const COIN: AssetId = AssetId(2);
pub(super) const GAME: GameId = GameId::new(1, 7);
pub(super) const CHAIN: u32 = 1;
/// A jackpot of the game's provider.
pub(super) const POOL: u32 = 1 << 20 | 5;
pub(super) const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
pub(super) const PLAYERS: u32 = 256;
/// Who asks, and the second pair of eyes.
const MAKER: u32 = 1;
const CHECKER: u32 = 2;

pub(super) struct Stage {
    pub(super) state: State,
    pub(super) now: Timestamp,
    /// What was opened beforehand, in its order.
    pub(super) opened: Vec<RequestId>,
    /// The latest record's kind and answer.
    pub(super) latest: Option<(OperationKind, ResultCode)>,
    ids: u128,
}

impl Stage {
    pub(super) fn new() -> Self {
        let (state, opened) = (State::new(0x5eed), Vec::new());
        let mut stage = Self { state, now: START, opened, latest: None, ids: 0 };
        stage.done(Role::System, &configure());
        for code in ["BENCH", "COIN"] {
            stage.done(Role::Operator, &open_asset(code));
        }
        let of_asset = u64::from(ASSET.0);
        let bound = |role: Role| u64::from(role as u8) << 16 | of_asset;
        for (rule, scope, value) in [
            (Rule::TransfersInBrand, 1, 1),
            (Rule::TransfersInJurisdiction, 1, 1),
            (Rule::ReferenceAsset, 0, u128::from(ASSET.0)),
            (Rule::RoleAmountMax, bound(Role::Operator), 1 << 60),
            (Rule::Importing, of_asset, 1 << 60),
            (Rule::LateCorrectionMax, of_asset, 1 << 60),
        ] {
            stage.done(Role::Operator, &Operation::SetRule { rule, scope, value });
        }
        stage.done(Role::Risk, &Operation::PublishRate { asset: COIN, price: Amount(2_000_000_000) });
        for number in 0..PLAYERS {
            stage.open_player(number);
            stage.done(Role::Chain, &deposit(player(u64::from(number)), 1 << 40));
        }
        stage
    }

    pub(super) fn open_player(&mut self, number: u32) {
        self.done(Role::Frontend, &open_player(u128::from(number)));
    }

    /// A player of the story's own, who owes 5 and has 10: what was deposited was sent on, and is taken back.
    pub(super) fn debtor(&mut self, number: u64) {
        self.open_player(debtor(number).index() as u32);
        let credit = self.done(Role::Chain, &deposit(debtor(number), 5));
        let to = player(number);
        self.done(Role::Frontend, &transfer(debtor(number), to, 5));
        self.done(Role::Chain, &reverse(debtor(number), 5, credit));
        self.done(Role::Chain, &deposit(debtor(number), 10));
    }

    pub(super) const fn id(&mut self) -> RequestId {
        self.ids += 1;
        RequestId::from_time(START, self.ids)
    }

    /// Asked under a new id, which is also good as a permanent key.
    pub(super) fn done(&mut self, role: Role, operation: &Operation) -> RequestId {
        let id = self.id();
        self.ask(role, id, operation);
        id
    }

    pub(super) fn ask(&mut self, role: Role, id: RequestId, operation: &Operation) {
        let decision = decide(&self.state, self.now, &admitted(role, MAKER, id, operation));
        self.write(&decision);
    }

    /// The same by another identity.
    pub(super) fn checked(&mut self, role: Role, operation: &Operation) {
        let id = self.id();
        let decision = decide(&self.state, self.now, &admitted(role, CHECKER, id, operation));
        self.write(&decision);
    }

    /// What the ledger does by itself, a moment after the hour in which everything of a story ends.
    pub(super) fn due(&mut self, operation: &Operation) {
        self.now = START.plus_millis(49 * 3_600_000);
        self.ask(Role::System, RequestId::NONE, operation);
    }

    /// Done beforehand, and named by the story.
    pub(super) fn opens(&mut self, role: Role, operation: &Operation) {
        let id = self.done(role, operation);
        self.opened.push(id);
    }

    pub(super) fn group(&mut self, members: &[Admitted]) {
        for decision in decide_group(&mut self.state, self.now, members) {
            self.write(&decision);
        }
    }

    fn write(&mut self, decision: &Decision) {
        for record in decision.records() {
            std::hint::black_box(record.to_bytes());
            if let Err(fault) = self.state.apply(self.state.next_lsn(), record) {
                panic!("a decided record is applied: {fault}");
            }
            self.latest = Some((record.request.kind, record.result));
        }
    }
}

pub(super) fn admitted(role: Role, actor: u32, id: RequestId, operation: &Operation) -> Admitted {
    Admitted { request: operation.request(id), role, actor, grant: 0, received: START }
}

pub(super) const fn player(number: u64) -> PlayerId {
    PlayerId::from_index((number % PLAYERS as u64) as u32)
}

pub(super) const fn debtor(number: u64) -> PlayerId {
    PlayerId::from_index(PLAYERS + number as u32)
}

/// A number as digests are: of a sort, and different for each `number`.
pub(super) const fn key(sort: u128, number: u64) -> Reference {
    Reference((sort << 64) | (number as u128 + 1))
}

/// The session that was opened as this one.
pub(super) const fn session(number: u64) -> SessionId {
    SessionId(number as u32 + 1)
}

pub(super) fn configure() -> Operation {
    Operation::Configure { settings: Settings { ids_capacity: 1 << 17, ..Settings::DEFAULT } }
}

pub(super) fn open_asset(code: &str) -> Operation {
    let code = AssetCode::new(code).unwrap_or_else(|| unreachable!("a valid code"));
    Operation::OpenAsset { code, scale: 2, transfers: true, amount_max: Amount(1 << 60) }
}

pub(super) const fn open_player(caller_id: u128) -> Operation {
    let (caller_id, class) = (CallerId(caller_id + 1), PlayerClass::Test);
    Operation::OpenPlayer { caller_id, brand: 1, jurisdiction: 1, class }
}

pub(super) const fn deposit(player: PlayerId, amount: u128) -> Operation {
    let (locked, turnover) = (None, Amount::ZERO);
    let amount = Amount(amount);
    Operation::DepositCredit { player, asset: ASSET, amount, chain: CHAIN, locked, turnover }
}

pub(super) const fn reverse(player: PlayerId, amount: u128, deposit: RequestId) -> Operation {
    let (amount, deposit) = (Amount(amount), Reference(deposit.0));
    Operation::DepositReverse { player, asset: ASSET, amount, deposit, chain: CHAIN }
}

pub(super) const fn transfer(from: PlayerId, to: PlayerId, amount: u128) -> Operation {
    Operation::Transfer { from, to, asset: ASSET, amount: Amount(amount), session: SessionId(0) }
}
