//! A ledger to write scenes with: two players, one asset, a clock that stands still until it is moved.

use cage_engine::{
    AccountId, Admitted, Amount, Answer, AssetCode, AssetId, Balance, CallerId, Decision, Expiry, GameId,
    Operation, OperationKind, PlayerClass, PlayerId, Purse, Record, RequestId, ResultCode, Role, SessionId,
    Settings, State, Timestamp, decide,
};

pub(crate) const ALICE: PlayerId = PlayerId::from_index(0);
pub(crate) const BOB: PlayerId = PlayerId::from_index(1);
pub(crate) const ETH: AssetId = AssetId(1);
pub(crate) const PLAY: GameId = GameId::new(3, 14);
pub(crate) const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
pub(crate) const SETTINGS: Settings =
    Settings { ids_capacity: 4_096, ids_retention_millis: 600_000, holds_max: 1_000, players_max: 1_000 };

pub(crate) struct Ledger {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    /// All that was decided, from the first.
    pub(crate) records: Vec<Record>,
    ids: u128,
}

impl Ledger {
    /// Before its first record.
    pub(crate) fn empty() -> Self {
        Self { state: State::new(0x5eed), now: START, records: Vec::new(), ids: 0 }
    }

    /// With Alice, Bob and ether.
    pub(crate) fn open() -> Self {
        Self::with(SETTINGS)
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let mut ledger = Self::empty();
        assert_eq!(ledger.ask_under(RequestId::NONE, &Operation::Configure(settings)), ResultCode::Done);
        assert_eq!(ledger.open_asset("ETH"), ETH);
        assert_eq!((ledger.open_player(1), ledger.open_player(2)), (ALICE, BOB));
        ledger
    }

    /// A log with every kind of record in it, executed, and some refusals.
    pub(crate) fn of_every_kind() -> Self {
        let mut ledger = Self::open();
        let mut step = |operation: &dyn Fn(&mut Self) -> ResultCode, code| {
            ledger.now = Timestamp(ledger.now.0 + 1_234_567);
            assert_eq!(operation(&mut ledger), code);
        };
        step(
            &|ledger| {
                let deposit =
                    Operation::DepositCredit { player: ALICE, asset: ETH, amount: Amount(10_000), chain: 60 };
                ledger.ask_under(RequestId(0xfeed_face_dead_beef_0102_0304_0506_0708), &deposit)
            },
            ResultCode::Done,
        );
        step(
            &|ledger| {
                let transfer = Operation::Transfer {
                    from: ALICE,
                    to: BOB,
                    asset: ETH,
                    amount: Amount(2_500),
                    session: SessionId(8),
                };
                ledger.ask(&transfer)
            },
            ResultCode::Done,
        );
        let bet = |ledger: &mut Self, number: u128, expiry| {
            let bet = Operation::Reserve {
                player: BOB,
                asset: ETH,
                stake: Amount(500),
                payout_max: Amount(1_500),
                game: PLAY,
                session: SessionId(9),
                expiry,
            };
            ledger.ask_under(RequestId::from_time(START, number << 64 | number), &bet)
        };
        let hold = |number: u128| RequestId::from_time(START, number << 64 | number);
        let deadline = START.plus_millis(20);
        step(&|ledger| bet(ledger, 0xa01, Expiry::Release(deadline)), ResultCode::Done);
        step(&|ledger| bet(ledger, 0xa02, Expiry::Never), ResultCode::Done);
        step(&|ledger| bet(ledger, 0xa03, Expiry::Never), ResultCode::Done);
        step(&|ledger| ledger.settle(BOB, hold(0xa02), 200, 700), ResultCode::Done);
        step(&|ledger| ledger.settle(BOB, hold(0xa02), 301, 0), ResultCode::StakeOverRemaining);
        step(&|ledger| ledger.settle(BOB, hold(0xa02), 300, 0), ResultCode::Done);
        step(&|ledger| ledger.cancel(BOB, hold(0xa03)), ResultCode::Done);
        step(&|ledger| ledger.cancel(BOB, hold(0xa04)), ResultCode::Tombstoned);
        step(&|ledger| bet(ledger, 0xa04, Expiry::Never), ResultCode::CancelledBefore);
        step(&|ledger| ledger.ask(&ledger.transfer(ALICE, BOB, 999_999)), ResultCode::InsufficientFunds);
        ledger.now = deadline;
        assert_eq!(ledger.expire(BOB, hold(0xa01)), ResultCode::Done);
        let digest = ledger.state.digest();
        let digest = Operation::StateDigest { digest };
        assert_eq!(ledger.ask_under(RequestId::NONE, &digest), ResultCode::Done);
        ledger.balances_to_zero();
        ledger
    }

    /// An id that was not given out before, of now.
    pub(crate) fn new_id(&mut self) -> RequestId {
        self.ids += 1;
        RequestId::from_time(self.now, self.ids)
    }

    pub(crate) fn ask(&mut self, operation: &Operation) -> ResultCode {
        let id = self.new_id();
        self.ask_under(id, operation)
    }

    /// What the caller is told. A record is written as bytes, read again and applied.
    pub(crate) fn ask_under(&mut self, id: RequestId, operation: &Operation) -> ResultCode {
        let role = match operation.kind() {
            OperationKind::OpenAsset => Role::Operator,
            OperationKind::DepositCredit => Role::Chain,
            OperationKind::OpenPlayer | OperationKind::Transfer => Role::Frontend,
            OperationKind::Reserve | OperationKind::Settle | OperationKind::Cancel => Role::Games,
            _ => Role::System,
        };
        assert!(operation.kind().spec().roles.contains(role), "the scene asks under a role that may");
        let received = Timestamp(self.now.0 - 17_000);
        let admitted = Admitted { request: operation.request(id), role, actor: 0xac70, received };
        match decide(&self.state, self.now, &admitted) {
            Decision::Record(record) => {
                let record = Record::from_bytes(&record.to_bytes()).expect("a record that was just written");
                self.state.apply(self.state.next_lsn(), &record).expect("a decided record is applied");
                self.records.push(record);
                record.result
            }
            Decision::Answer(Answer::Same(lsn)) => self.records[lsn.0 as usize - 1].result,
            Decision::Answer(Answer::Conflict(_)) => ResultCode::IdConflict,
            Decision::Answer(Answer::Not(code)) => code,
        }
    }

    pub(crate) const fn pass_millis(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
    }

    pub(crate) fn latest(&self) -> &Record {
        self.records.last().expect("there is a record")
    }

    pub(crate) fn open_asset(&mut self, code: &str) -> AssetId {
        self.open_asset_of(code, Amount(1_000_000))
    }

    pub(crate) fn open_asset_of(&mut self, code: &str, amount_max: Amount) -> AssetId {
        let code = AssetCode::new(code).expect("a code");
        let open = Operation::OpenAsset { code, scale: 18, transfers: true, amount_max };
        assert_eq!(self.ask(&open), ResultCode::Done);
        self.latest().request.asset
    }

    pub(crate) fn open_player(&mut self, caller_id: u128) -> PlayerId {
        let open = Operation::OpenPlayer {
            caller_id: CallerId(caller_id),
            brand: 1,
            jurisdiction: 1,
            class: PlayerClass::Real,
        };
        assert_eq!(self.ask(&open), ResultCode::Done);
        self.latest().request.player
    }

    pub(crate) fn deposit(&mut self, player: PlayerId, amount: u128) {
        let deposit = Operation::DepositCredit { player, asset: ETH, amount: Amount(amount), chain: 1 };
        assert_eq!(self.ask(&deposit), ResultCode::Done);
    }

    pub(crate) const fn transfer(&self, from: PlayerId, to: PlayerId, amount: u128) -> Operation {
        Operation::Transfer { from, to, asset: ETH, amount: Amount(amount), session: SessionId(0) }
    }

    pub(crate) const fn reserve(&self, player: PlayerId, stake: u128, payout_max: u128) -> Operation {
        reserve_until(player, stake, payout_max, Expiry::Never)
    }

    pub(crate) fn open_hold(&mut self, player: PlayerId, stake: u128, payout_max: u128) -> RequestId {
        self.open_hold_until(player, stake, payout_max, Expiry::Never)
    }

    pub(crate) fn open_hold_until(
        &mut self,
        player: PlayerId,
        stake: u128,
        payout_max: u128,
        expiry: Expiry,
    ) -> RequestId {
        let id = self.new_id();
        assert_eq!(self.ask_under(id, &reserve_until(player, stake, payout_max, expiry)), ResultCode::Done);
        id
    }

    pub(crate) fn settle(
        &mut self,
        player: PlayerId,
        hold: RequestId,
        stake: u128,
        payout: u128,
    ) -> ResultCode {
        let (stake, payout) = (Amount(stake), Amount(payout));
        self.ask(&Operation::Settle { player, asset: ETH, hold, stake, payout })
    }

    pub(crate) fn cancel(&mut self, player: PlayerId, hold: RequestId) -> ResultCode {
        self.ask(&Operation::Cancel { player, asset: ETH, hold })
    }

    /// The ledger's own doing.
    pub(crate) fn expire(&mut self, player: PlayerId, hold: RequestId) -> ResultCode {
        self.ask_under(RequestId::NONE, &Operation::Expire { player, asset: ETH, hold })
    }

    /// What a player has available and reserved.
    pub(crate) fn purses(&self, player: PlayerId) -> (i128, i128) {
        let balances = self.state.balances(player, ETH);
        (balances.available.0, balances.reserved.0)
    }

    /// What a game's provider owes the house.
    pub(crate) fn provider(&self, game: GameId) -> i128 {
        let provider = u32::from(game.provider());
        self.state.balance(AccountId::of_house(ETH, Purse::ProviderClearing, provider)).0
    }

    pub(crate) fn balances_to_zero(&self) {
        for asset in self.state.asset_ids() {
            assert_eq!(self.state.recomputed_sum(asset), Balance::ZERO, "asset {asset}");
        }
    }
}

const fn reserve_until(player: PlayerId, stake: u128, payout_max: u128, expiry: Expiry) -> Operation {
    Operation::Reserve {
        player,
        asset: ETH,
        stake: Amount(stake),
        payout_max: Amount(payout_max),
        game: PLAY,
        session: SessionId(0),
        expiry,
    }
}
