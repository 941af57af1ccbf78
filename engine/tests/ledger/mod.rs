//! A ledger to write scenes with: two players, one asset, a clock that stands still until it is moved.

#![allow(dead_code, reason = "each test binary uses its part of it")]

pub(crate) mod ask;
pub(crate) mod books;
mod every_kind;

use cage_engine::table::{Effect, Spec, Venue};
use cage_engine::{
    AccountId, Admitted, Amount, Answer, AssetCode, AssetId, Balance, CallerId, Decision, Expiry, GameId,
    Lsn, Operation, OperationKind, PlayerClass, PlayerId, Purse, Record, Request, RequestId, ResultCode,
    Role, Rule, Settings, State, Timestamp, decide, decide_group,
};

use ask::reserve_until;

pub(crate) const ALICE: PlayerId = PlayerId::from_index(0);
pub(crate) const BOB: PlayerId = PlayerId::from_index(1);
pub(crate) const ETH: AssetId = AssetId(1);
pub(crate) const PLAY: GameId = GameId::new(3, 14);
/// A jackpot of its provider.
pub(crate) const POOL: u32 = 3 << 20 | 8;
/// Another game of the same provider, and one of another provider.
pub(crate) const SISTER: GameId = GameId::new(3, 15);
pub(crate) const OTHER: GameId = GameId::new(9, 1);
pub(crate) const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
pub(crate) const SETTINGS: Settings = Settings {
    ids_capacity: 4_096,
    ids_retention_millis: 600_000,
    holds_max: 1_000,
    players_max: 1_000,
    // What closed rounds held is a fact alone; scenes that keep more say so.
    closed_wagers_max: 0,
};
/// Who asks unless a scene says otherwise.
pub(crate) const ACTOR: u32 = 0xac70;
/// The asset beside ether of a log of every kind.
pub(crate) const CHAIN_COIN: AssetId = AssetId(2);
pub(crate) const HOUR: u64 = 3_600_000;

pub(crate) struct Ledger {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    /// All that was decided, from the first.
    pub(crate) records: Vec<Record>,
    /// Whether the books are added up after every step.
    watched: bool,
    ids: u128,
}

/// Whose business it is, of those who may without a bound: bridges before people.
pub(crate) fn first_role(spec: &Spec) -> Role {
    const ORDER: [Role; 7] =
        [Role::Games, Role::Chain, Role::Frontend, Role::Cashier, Role::Risk, Role::Operator, Role::Approver];
    // What a front-end may say of a player's status is a case of its own.
    if matches!(spec.effect, Effect::Status | Effect::Unlocked) {
        return Role::Risk;
    }
    // So is what a provider may put on a meter.
    if spec.venue == Venue::Session && spec.opens {
        return Role::Frontend;
    }
    let may = |role: &Role| spec.roles.contains(*role);
    let unbounded = ORDER.into_iter().find(|role| may(role) && !spec.capped.contains(*role));
    unbounded.or_else(|| ORDER.into_iter().find(may)).unwrap_or(Role::System)
}

impl Ledger {
    /// Before its first record.
    pub(crate) fn empty() -> Self {
        Self { state: State::new(0x5eed), now: START, records: Vec::new(), watched: false, ids: 0 }
    }

    /// With Alice, Bob and ether.
    pub(crate) fn open() -> Self {
        Self::with(SETTINGS)
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let mut ledger = Self::empty();
        assert_eq!(ledger.configure(settings), ResultCode::Done);
        assert_eq!(ledger.open_asset("ETH"), ETH);
        assert_eq!((ledger.open_player(1), ledger.open_player(2)), (ALICE, BOB));
        ledger.set_rule(Rule::TransfersInBrand, 0, 1);
        ledger.set_rule(Rule::TransfersInJurisdiction, 0, 1);
        ledger
    }

    /// A house in which the books are added up after every step.
    pub(crate) fn casino() -> Self {
        Self::open().watched()
    }

    pub(crate) fn watched(self) -> Self {
        Self { watched: true, ..self }
    }

    pub(crate) fn configure(&mut self, settings: Settings) -> ResultCode {
        self.ask_under(RequestId::NONE, &Operation::Configure { settings })
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
        self.ask_by(first_role(operation.kind().spec()), ACTOR, id, operation)
    }

    pub(crate) fn ask_as(&mut self, role: Role, operation: &Operation) -> ResultCode {
        let id = self.new_id();
        self.ask_by(role, ACTOR, id, operation)
    }

    pub(crate) fn ask_by(
        &mut self,
        role: Role,
        actor: u32,
        id: RequestId,
        operation: &Operation,
    ) -> ResultCode {
        assert!(operation.kind().spec().roles.contains(role), "the scene asks under a role that may");
        self.admit(&admitted(operation.request(id), role, actor, self.now))
    }

    pub(crate) fn admit(&mut self, admitted: &Admitted) -> ResultCode {
        let decision = decide(&self.state, self.now, admitted);
        self.take(&decision)
    }

    /// What each member of a group is told.
    pub(crate) fn ask_group(&mut self, members: &[(RequestId, Operation)]) -> Vec<ResultCode> {
        let last = members.len() - 1;
        let admitted: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(place, (id, operation))| {
                let request = Request { linked: place < last, ..operation.request(*id) };
                admitted(request, first_role(operation.kind().spec()), ACTOR, self.now)
            })
            .collect();
        self.admit_group(&admitted)
    }

    pub(crate) fn admit_group(&mut self, members: &[Admitted]) -> Vec<ResultCode> {
        let before = self.state.digest();
        let decisions = decide_group(&mut self.state, self.now, members);
        assert_eq!(self.state.digest(), before, "deciding a group changes nothing");
        assert_eq!(decisions.len(), members.len());
        decisions.iter().map(|decision| self.take(decision)).collect()
    }

    fn take(&mut self, decision: &Decision) -> ResultCode {
        for record in decision.records() {
            let record = Record::from_bytes(&record.to_bytes()).expect("a record that was just written");
            self.state.apply(self.state.next_lsn(), &record).expect("a decided record is applied");
            self.records.push(record);
            if self.watched && !record.linked {
                books::add_up(&self.state, &[PLAY, SISTER, OTHER]);
            }
        }
        match decision {
            Decision::Answer(Answer::Same(lsn)) => self.records[lsn.0 as usize - 1].result,
            Decision::Answer(Answer::Conflict(_)) => ResultCode::IdConflict,
            Decision::Answer(Answer::Not(code)) => *code,
            Decision::Record(record) => record.result,
            Decision::Records(records) => records[0].result,
        }
    }

    /// Does all that the ledger does by itself at this time.
    pub(crate) fn do_due(&mut self) -> Vec<OperationKind> {
        let mut done = Vec::new();
        while let Some(operation) = self.state.due(self.now) {
            assert!(self.ask_under(RequestId::NONE, &operation).is_executed(), "{operation:?}");
            done.push(operation.kind());
        }
        done
    }

    pub(crate) const fn pass_millis(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
    }

    pub(crate) fn latest(&self) -> &Record {
        self.records.last().expect("there is a record")
    }

    pub(crate) fn latest_lsn(&self) -> Lsn {
        Lsn(self.records.len() as u64)
    }

    /// The books as they are after a crash: made anew from the records alone.
    pub(crate) fn replayed(&self) -> State {
        let state = replayed(&self.records);
        assert_eq!(state.digest(), self.state.digest(), "a replay gives the same books");
        state
    }

    /// Goes on with the books of a replay.
    pub(crate) fn crash(&mut self) {
        self.state = self.replayed();
    }

    pub(crate) fn set_rule(&mut self, rule: Rule, scope: u64, value: u128) {
        assert_eq!(self.ask(&Operation::SetRule { rule, scope, value }), ResultCode::Done);
    }

    /// Lets a role that is bounded move up to this much of an asset in one operation.
    pub(crate) fn trust(&mut self, role: Role, asset: AssetId, amount_max: u128) {
        let scope = u64::from(role as u8) << 16 | u64::from(asset.0);
        self.set_rule(Rule::RoleAmountMax, scope, amount_max + 1);
    }

    pub(crate) fn open_asset(&mut self, code: &str) -> AssetId {
        self.open_asset_of(code, 18, Amount(1_000_000))
    }

    pub(crate) fn open_asset_of(&mut self, code: &str, scale: u8, amount_max: Amount) -> AssetId {
        let code = AssetCode::new(code).expect("a code");
        let open = Operation::OpenAsset { code, scale, transfers: true, amount_max };
        assert_eq!(self.ask(&open), ResultCode::Done);
        self.latest().request.asset
    }

    pub(crate) fn open_player(&mut self, caller_id: u128) -> PlayerId {
        let open = Operation::OpenPlayer {
            caller_id: CallerId(caller_id),
            brand: 0,
            jurisdiction: 0,
            class: PlayerClass::Real,
        };
        assert_eq!(self.ask(&open), ResultCode::Done);
        self.latest().request.player
    }

    pub(crate) fn deposit(&mut self, player: PlayerId, amount: u128) {
        assert_eq!(self.ask(&ask::deposit(player, amount)), ResultCode::Done);
    }

    pub(crate) const fn transfer(&self, from: PlayerId, to: PlayerId, amount: u128) -> Operation {
        ask::transfer(from, to, amount)
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

    pub(crate) fn available(&self, player: PlayerId) -> i128 {
        self.held(player, Purse::Available)
    }

    pub(crate) fn held(&self, player: PlayerId, purse: Purse) -> i128 {
        self.state.balance(AccountId::of_player(ETH, purse, player)).0
    }

    pub(crate) fn of_house(&self, purse: Purse, counterpart: u32) -> i128 {
        self.state.balance(AccountId::of_house(ETH, purse, counterpart)).0
    }

    pub(crate) fn owed(&self, player: PlayerId) -> u128 {
        self.state.owed(player, ETH).0
    }

    /// What a game's provider owes the house.
    pub(crate) fn provider(&self, game: GameId) -> i128 {
        self.of_house(Purse::ProviderClearing, u32::from(game.provider()))
    }

    pub(crate) fn balances_to_zero(&self) {
        for asset in self.state.asset_ids() {
            assert_eq!(self.state.recomputed_sum(asset), Balance::ZERO, "asset {asset}");
        }
    }
}

pub(crate) const fn admitted(request: Request, role: Role, actor: u32, now: Timestamp) -> Admitted {
    Admitted { request, role, actor, grant: 0, received: Timestamp(now.0 - 17_000) }
}

pub(crate) fn replayed(records: &[Record]) -> State {
    let mut state = State::new(5);
    for (place, record) in records.iter().enumerate() {
        state.apply(Lsn(place as u64 + 1), record).expect("a record of the log");
    }
    state
}
