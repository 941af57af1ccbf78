//! Operations of the ledger, on a small stage: what each kind costs when everything lies in the cache.

use cage_engine::{
    Admitted, Amount, AssetCode, AssetId, CallerId, Decision, Expiry, GameId, LimitKind, Operation, Period,
    PlayerClass, PlayerId, Reference, RequestId, Role, Rule, SessionId, Settings, State, Timestamp, decide,
    decide_group,
};

use super::{MANY, Story};

const ASSET: AssetId = AssetId(1);
const GAME: GameId = GameId::new(1, 7);
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
const PLAYERS: u32 = 256;
/// The engine and a caller.
struct Stage {
    state: State,
    ids: u128,
}

impl Stage {
    fn new() -> Self {
        let mut stage = Self { state: State::new(0x5eed), ids: 0 };
        let settings = Settings { ids_capacity: 1 << 17, ..Settings::DEFAULT };
        stage.done(Role::System, &Operation::Configure { settings });
        let code = AssetCode::new("BENCH").unwrap_or_else(|| unreachable!("a valid code"));
        let amount_max = Amount(1 << 60);
        stage.done(Role::Operator, &Operation::OpenAsset { code, scale: 2, transfers: true, amount_max });
        for (rule, scope) in
            [(Rule::TransfersInBrand, 1), (Rule::TransfersInJurisdiction, 1), (Rule::ReferenceAsset, 0)]
        {
            stage.done(Role::Operator, &Operation::SetRule { rule, scope, value: 1 });
        }
        for index in 0..PLAYERS {
            let caller_id = CallerId(u128::from(index) + 1);
            let class = PlayerClass::Test;
            stage
                .done(Role::Frontend, &Operation::OpenPlayer { caller_id, brand: 1, jurisdiction: 1, class });
            stage.done(Role::Chain, &deposit(player(u64::from(index)), 1 << 40));
        }
        stage
    }

    const fn id(&mut self) -> RequestId {
        self.ids += 1;
        RequestId::from_time(START, self.ids)
    }

    fn done(&mut self, role: Role, operation: &Operation) -> RequestId {
        let id = self.id();
        self.ask(role, id, operation);
        id
    }

    fn ask(&mut self, role: Role, id: RequestId, operation: &Operation) {
        let decision = decide(&self.state, START, &admitted(role, id, operation));
        self.write(&decision);
    }

    fn group(&mut self, members: &[Admitted]) {
        for decision in decide_group(&mut self.state, START, members) {
            self.write(&decision);
        }
    }

    fn write(&mut self, decision: &Decision) {
        for record in decision.records() {
            std::hint::black_box(record.to_bytes());
            if let Err(fault) = self.state.apply(self.state.next_lsn(), record) {
                panic!("a decided record is applied: {fault}");
            }
        }
    }
}

fn admitted(role: Role, id: RequestId, operation: &Operation) -> Admitted {
    Admitted { request: operation.request(id), role, actor: 1, grant: 0, received: START }
}

const fn player(number: u64) -> PlayerId {
    PlayerId::from_index((number % PLAYERS as u64) as u32)
}

const fn deposit(player: PlayerId, amount: u128) -> Operation {
    let (locked, turnover) = (None, Amount::ZERO);
    Operation::DepositCredit { player, asset: ASSET, amount: Amount(amount), chain: 1, locked, turnover }
}

const fn reserve(number: u64, stake: u128) -> Operation {
    Operation::Reserve {
        player: player(number),
        asset: ASSET,
        stake: Amount(stake),
        payout_max: Amount(200),
        game: GAME,
        session: SessionId(0),
        round: None,
        expiry: Expiry::Never,
    }
}

const fn key(sort: u128, number: u64) -> Reference {
    Reference((sort << 64) | (number as u128 + 1))
}

const fn bet(number: u64, session: SessionId) -> Operation {
    Operation::Bet {
        player: player(number),
        asset: ASSET,
        stake: Amount(100),
        bet: key(1, number),
        game: GAME,
        session,
        payout_max: Amount(200),
        round: key(2, number),
        ends_round: false,
    }
}

const fn win(number: u64) -> Operation {
    Operation::Win {
        player: player(number),
        asset: ASSET,
        amount: Amount(150),
        bet: key(1, number),
        game: GAME,
        target: cage_engine::Lsn(0),
        round: Some(key(2, number)),
        ends_round: true,
    }
}

/// Does `count` operations of a story.
pub(super) fn once(story: Story, count: u64) {
    let mut stage = Stage::new();
    let holds: Vec<_> = match story {
        Story::Settle | Story::Cancel | Story::Repeat => {
            (0..MANY).map(|number| stage.done(Role::Games, &reserve(number, 100))).collect()
        }
        _ => Vec::new(),
    };
    if matches!(story, Story::Win | Story::Rollback) {
        for number in 0..MANY {
            stage.done(Role::Games, &bet(number, SessionId(0)));
        }
    }
    for number in 0..u64::from(PLAYERS) {
        prepare(&mut stage, story, number);
    }
    for number in 0..count {
        play(&mut stage, story, number, &holds);
    }
}

/// What each player needs beforehand.
fn prepare(stage: &mut Stage, story: Story, number: u64) {
    let player = player(number);
    match story {
        Story::LimitedReserve => {
            for period in [Period::Day, Period::Week, Period::Month] {
                let (kind, remove, value) = (LimitKind::Loss, false, Amount(1 << 50));
                stage.done(Role::Frontend, &Operation::SetLimit { player, kind, period, remove, value });
            }
        }
        Story::MeteredBet => {
            stage.done(
                Role::Frontend,
                &Operation::OpenSession {
                    player,
                    token: key(3, number),
                    asset: Some(ASSET),
                    topup_max: Amount(1 << 40),
                    game: GAME,
                    expires: Timestamp(u64::MAX),
                },
            );
        }
        _ => {}
    }
}

fn play(stage: &mut Stage, story: Story, number: u64, holds: &[RequestId]) {
    let who = player(number);
    let hold = || holds[number as usize];
    match story {
        Story::Transfer => {
            let to = player(number + 1);
            let (amount, session) = (Amount(1), SessionId(0));
            stage.done(Role::Frontend, &Operation::Transfer { from: who, to, asset: ASSET, amount, session });
        }
        Story::Deposit => {
            stage.done(Role::Chain, &deposit(who, 5));
        }
        Story::Reserve | Story::LimitedReserve => {
            stage.done(Role::Games, &reserve(number, 100));
        }
        Story::Settle => {
            let (stake, payout) = (Amount(100), Amount(200));
            let settle = Operation::Settle { player: who, asset: ASSET, hold: hold(), stake, payout };
            stage.done(Role::Games, &settle);
        }
        Story::Cancel => {
            stage.done(Role::Games, &Operation::Cancel { player: who, asset: ASSET, hold: hold() });
        }
        Story::Bet => {
            stage.done(Role::Games, &bet(number, SessionId(0)));
        }
        Story::Win => stage.ask(Role::Games, RequestId(key(4, number).0), &win(number)),
        Story::BetWin => {
            let Operation::Bet { player, asset, stake, bet, game, session, round, .. } =
                bet(number, SessionId(0))
            else {
                unreachable!("a bet is a bet")
            };
            let (payout, ends_round) = (Amount(150), true);
            let both =
                Operation::BetWin { player, asset, stake, bet, game, session, payout, round, ends_round };
            stage.done(Role::Games, &both);
        }
        Story::Rollback => {
            let undo = Operation::Rollback {
                player: who,
                asset: ASSET,
                amount: Amount::ZERO,
                target: key(1, number),
                game: GAME,
                target_lsn: cage_engine::Lsn(0),
                reverse_settled: false,
                round: None,
            };
            stage.ask(Role::Games, RequestId(key(5, number).0), &undo);
        }
        Story::MeteredBet => {
            let session = SessionId((number % u64::from(PLAYERS)) as u32 + 1);
            stage.done(Role::Games, &bet(number, session));
        }
        Story::Group => {
            let id = stage.id();
            let mut first = admitted(Role::Games, id, &bet(number, SessionId(0)));
            first.request.linked = true;
            let second = admitted(Role::Games, RequestId(key(4, number).0), &win(number));
            stage.group(&[first, second]);
        }
        Story::Withdraw => {
            let withdraw = Operation::WithdrawRequest {
                player: who,
                asset: ASSET,
                amount: Amount(10),
                session: SessionId(0),
                chain: 1,
                destination: [7; 32],
            };
            stage.done(Role::Frontend, &withdraw);
        }
        Story::Refusal => {
            stage.done(Role::Games, &reserve(number, 1 << 50));
        }
        Story::Repeat => stage.ask(Role::Games, hold(), &reserve(number, 100)),
        Story::RequestEncode
        | Story::RequestParse
        | Story::ReplyEncode
        | Story::ReplyParse
        | Story::FrameSplit
        | Story::RecordParse => unreachable!("bytes are counted without a ledger"),
    }
}
