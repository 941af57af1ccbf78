//! The hard cases of `docs/operations-table.md`, played: what the ledger answers is what the page says.

use std::fs;
use std::path::Path;

use cage_engine::{
    Admitted, Amount, Answer, AssetCode, AssetId, CallerId, Decision, Expiry, GameId, Lsn, Operation,
    PlayerClass, PlayerId, Reference, RequestId, ResultCode, Role, SessionId, Settings, State, Status,
    Timestamp, decide,
};

const ALICE: PlayerId = PlayerId::from_index(0);
const BOB: PlayerId = PlayerId::from_index(1);
const ETH: AssetId = AssetId(1);
const SLOT: GameId = GameId::new(7, 1);
const FUNDS: Amount = Amount(1_000);
/// A stake that nobody has.
const TOO_MUCH: u128 = 5_000;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Code(ResultCode),
    Repeated,
}

use Got::{Code, Repeated};

struct Casino {
    state: State,
    now: Timestamp,
    ids: u128,
}

impl Casino {
    fn new() -> Self {
        Self::keeping(0)
    }

    fn keeping(closed_wagers_max: u64) -> Self {
        let now = Timestamp::from_millis(1_750_000_000_000);
        let mut casino = Self { state: State::new(3), now, ids: 0 };
        let settings = Settings {
            ids_capacity: 4_096,
            ids_retention_millis: 600_000,
            holds_max: 100,
            players_max: 10,
            closed_wagers_max,
        };
        casino.under(RequestId::NONE, Role::System, Operation::Configure { settings });
        let code = AssetCode::new("ETH").expect("a code");
        let asset = Operation::OpenAsset { code, scale: 2, transfers: false, amount_max: Amount(1 << 40) };
        casino.ask(Role::Operator, asset);
        for caller_id in [CallerId(1), CallerId(2)] {
            let class = PlayerClass::Real;
            casino.ask(Role::Operator, Operation::OpenPlayer { caller_id, brand: 0, jurisdiction: 0, class });
        }
        casino.deposit(1, FUNDS);
        casino
    }

    fn under(&mut self, id: RequestId, role: Role, operation: Operation) -> Got {
        let request = operation.request(id);
        if role != Role::System
            && let Err(fault) = request.check()
        {
            return Code(fault.code);
        }
        let admitted = Admitted { request, role, actor: role as u32, grant: 0, received: self.now };
        let decision = decide(&self.state, self.now, &admitted);
        for record in decision.records() {
            self.state.apply(self.state.next_lsn(), record).expect("the ledger's own record");
        }
        match decision {
            Decision::Answer(Answer::Same(_)) => Repeated,
            Decision::Answer(Answer::Conflict(_)) => Code(ResultCode::IdConflict),
            Decision::Answer(Answer::Not(code)) => Code(code),
            Decision::Record(_) | Decision::Records(_) => Code(decision.records()[0].result),
        }
    }

    fn next_id(&mut self) -> RequestId {
        self.ids += 1;
        RequestId::from_time(self.now, self.ids)
    }

    fn ask(&mut self, role: Role, operation: Operation) -> Got {
        let id = self.next_id();
        self.under(id, role, operation)
    }

    fn deposit(&mut self, key: u128, amount: Amount) -> Got {
        let turnover = Amount::ZERO;
        let deposit =
            Operation::DepositCredit { player: ALICE, asset: ETH, amount, chain: 1, locked: None, turnover };
        self.under(RequestId(key), Role::Chain, deposit)
    }

    fn bet(&mut self, bet: u128, round: u128) -> Got {
        self.ask(Role::Games, a_bet(ALICE, 100, bet, round))
    }

    fn win(&mut self, id: u128, bet: u128) -> Got {
        self.under(RequestId(id), Role::Games, a_win(bet, 30, false))
    }

    fn rollback(&mut self, id: u128, target: u128) -> Got {
        self.under(RequestId(id), Role::Games, a_rollback(target, 0, false))
    }

    fn reverse(&mut self, id: u128, target: u128) -> Got {
        self.under(RequestId(id), Role::Games, a_rollback(target, 0, true))
    }

    fn end(&mut self, round: u128) -> Got {
        let round = Reference(round);
        self.ask(
            Role::Games,
            Operation::EndRound {
                player: ALICE,
                asset: ETH,
                round,
                game: SLOT,
                algorithm: 0,
                proof: [0; 30],
            },
        )
    }

    fn void(&mut self, round: u128) -> Got {
        let round = Reference(round);
        let (order, reason) = (None, 0);
        self.ask(
            Role::Games,
            Operation::VoidRound { player: ALICE, asset: ETH, round, game: SLOT, order, reason },
        )
    }

    fn reserve(&mut self, id: RequestId, round: u128) -> Got {
        let round = (round != 0).then_some(Reference(round));
        let reserve = Operation::Reserve {
            player: ALICE,
            asset: ETH,
            stake: Amount(100),
            payout_max: Amount(300),
            game: SLOT,
            session: SessionId::NONE,
            round,
            expiry: Expiry::Release(self.now.plus_millis(1_000)),
        };
        self.under(id, Role::Games, reserve)
    }

    fn settle(&mut self, hold: RequestId) -> Got {
        let (stake, payout) = (Amount(100), Amount(0));
        self.ask(Role::Games, Operation::Settle { player: ALICE, asset: ETH, hold, stake, payout })
    }

    fn cancel(&mut self, hold: RequestId) -> Got {
        self.ask(Role::Games, Operation::Cancel { player: ALICE, asset: ETH, hold })
    }
}

fn a_bet(player: PlayerId, stake: u128, bet: u128, round: u128) -> Operation {
    Operation::Bet {
        player,
        asset: ETH,
        stake: Amount(stake),
        bet: Reference(bet),
        game: SLOT,
        session: SessionId::NONE,
        payout_max: Amount(300),
        round: Reference(round),
        ends_round: false,
    }
}

fn a_win(bet: u128, amount: u128, ends_round: bool) -> Operation {
    let (bet, amount) = (Reference(bet), Amount(amount));
    let (target, round) = (Lsn::NONE, None);
    Operation::Win { player: ALICE, asset: ETH, amount, bet, game: SLOT, target, round, ends_round }
}

fn a_rollback(target: u128, amount: u128, reverse_settled: bool) -> Operation {
    let (target, amount) = (Reference(target), Amount(amount));
    let (target_lsn, round) = (Lsn::NONE, None);
    let game = SLOT;
    Operation::Rollback {
        player: ALICE,
        asset: ETH,
        amount,
        target,
        game,
        target_lsn,
        reverse_settled,
        round,
    }
}

/// The answer that the page gives for a case.
fn page(case: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations-table.md");
    let text = fs::read_to_string(path).expect("the page");
    let (_, section) = text.split_once("\n## Hard cases\n").expect("its hard cases");
    let row = section.lines().find_map(|line| line.strip_prefix(&format!("| {case} | ")));
    row.unwrap_or_else(|| panic!("no row {case:?}")).split(" | ").next().expect("a cell").to_owned()
}

#[track_caller]
fn told(case: &str, got: Got) {
    let says = page(case);
    let holds = match got {
        Code(code) => says.contains(&format!("{} `{}`", code.number(), code.name())),
        Repeated => says.starts_with("that of") || says.contains("again"),
    };
    assert!(holds, "{case}: the page says {says:?}, the ledger {got:?}");
}

#[test]
fn bets_and_their_repeats() {
    let mut casino = Casino::new();
    let id = casino.next_id();
    assert_eq!(casino.under(id, Role::Games, a_bet(ALICE, 100, 1, 9)), Code(ResultCode::Done));
    let again = casino.under(id, Role::Games, a_bet(ALICE, 100, 1, 9));
    told("the same request again, same id, same content", again);
    let other = casino.under(id, Role::Games, a_bet(ALICE, 101, 1, 9));
    told("the same id, other content", other);
    told("the same bet under a new request id, same facts", casino.bet(1, 9));
    let other = casino.ask(Role::Games, a_bet(ALICE, 100, 1, 8));
    told("the same bet transaction, other facts (player, amount, round, game, …)", other);
    told("one transaction number for a bet and a win, or a win and a rollback", casino.win(1, 1));
    assert_eq!(casino.win(5, 1), Code(ResultCode::Done));
    told("one transaction number for a bet and a win, or a win and a rollback", casino.rollback(5, 1));
    let poor = casino.ask(Role::Games, a_bet(ALICE, TOO_MUCH, 2, 9));
    told("bet without funds", poor);
    casino.deposit(2, Amount(TOO_MUCH));
    let again = casino.ask(Role::Games, a_bet(ALICE, TOO_MUCH, 2, 9));
    told("the same bet again after a deposit, any id", again);
    told("rollback of a bet that was refused", casino.rollback(20, 2));
    told("win for a bet that was refused", casino.win(21, 2));
    let bobs = casino.ask(Role::Games, a_bet(BOB, 1, 3, 9));
    told("bet in a round of another player, asset or game", bobs);
    told("more bets after a payout, round open", casino.bet(4, 9));
    assert_eq!(casino.end(9), Code(ResultCode::Done));
    told("end of a round that was ended; that was voided", casino.end(9));
    told("bet in a closed round; in a voided one", casino.bet(6, 9));
    told("the same bet under a new request id, same facts", casino.bet(1, 9));
    told("void of a round twice; of a closed one", casino.void(9));
    assert_eq!(casino.bet(7, 10), Code(ResultCode::Done));
    assert_eq!(casino.void(10), Code(ResultCode::Done));
    told("void of a round twice; of a closed one", casino.void(10));
    told("end of a round that was ended; that was voided", casino.end(10));
    told("bet in a closed round; in a voided one", casino.bet(8, 10));
    let nothing = casino.ask(Role::Games, a_bet(ALICE, 0, 11, 12));
    told("amount of 0; negative amount", nothing);
}

#[test]
fn rollbacks_in_a_closed_round_that_is_kept() {
    const KEPT: &str = "rollback of a bet or win whose round is closed, kept in full";
    const BY_HAND: &str = "late correction of a bet or win that is open or kept in full";
    let mut casino = Casino::keeping(10);
    assert_eq!(casino.bet(101, 9), Code(ResultCode::Done));
    let original = Lsn(casino.state.next_lsn().0 - 1);
    let by_hand = Operation::LateCorrection {
        player: ALICE,
        asset: ETH,
        amount: Amount(100),
        transaction: Reference(101),
        game: SLOT,
        original,
        debit: false,
        reason: 1,
        order: None,
    };
    told(BY_HAND, casino.under(RequestId(101), Role::Games, by_hand));
    assert_eq!(casino.win(30, 101), Code(ResultCode::Done));
    assert_eq!(casino.end(9), Code(ResultCode::Done));
    told(BY_HAND, casino.under(RequestId(101), Role::Games, by_hand));
    told(KEPT, casino.rollback(10, 101));
    told(KEPT, casino.rollback(11, 30));
    told("rollback again, same transaction", casino.rollback(11, 30));
    told("a win again that was rolled back, same transaction", casino.win(30, 101));
    told(KEPT, casino.rollback(12, 101));
    told("second rollback of the same bet or win, new transaction", casino.rollback(13, 101));
    told("the same bet under a new request id, same facts", casino.bet(101, 9));
}

#[test]
fn rollbacks() {
    let mut casino = Casino::new();
    told("rollback of an unknown transaction", casino.rollback(10, 1));
    told("bet after its rollback", casino.bet(1, 9));
    told("bet after its rollback", casino.bet(1, 9));
    told("rollback again, same transaction", casino.rollback(10, 1));
    told("second rollback of the same bet or win, new transaction", casino.rollback(11, 1));
    assert_eq!(casino.bet(2, 9), Code(ResultCode::Done));
    assert_eq!(casino.rollback(12, 31), Code(ResultCode::Tombstoned));
    told("win after its own rollback", casino.win(31, 2));
    let too_much = casino.under(RequestId(13), Role::Games, a_rollback(2, 101, false));
    told("partial refund, more than the stake that is left", too_much);
    assert_eq!(casino.win(32, 2), Code(ResultCode::Done));
    told("rollback of a bet that has won", casino.rollback(14, 2));
    let part = casino.under(RequestId(15), Role::Games, a_rollback(32, 1, false));
    told("partial undoing of a win", part);
    told("rollback of a win, open round", casino.rollback(16, 32));
    told("second rollback of the same bet or win, new transaction", casino.rollback(17, 32));
    told("a win again that was rolled back, same transaction", casino.win(32, 2));
    assert_eq!(casino.win(33, 2), Code(ResultCode::Done));
    told("rollback of a bet that has won", casino.reverse(18, 2));
    told("win for a bet that was rolled back, or has a tombstone", casino.win(34, 2));
    assert_eq!(casino.bet(3, 10), Code(ResultCode::Done));
    assert_eq!(casino.under(RequestId(35), Role::Games, a_win(3, 30, true)), Code(ResultCode::Done));
    told("rollback of a bet whose round is closed, not kept in full any more", casino.rollback(19, 3));
    told("rollback of a bet whose round is closed, not kept in full any more", casino.reverse(19, 3));
    told("rollback of a win, round closed, not kept in full any more", casino.rollback(20, 35));
    let hold = casino.next_id();
    assert_eq!(casino.reserve(hold, 0), Code(ResultCode::Done));
    told("rollback of a hold of ours by a provider", casino.rollback(21, hold.0));
    let won_at_once = Operation::BetWin {
        player: ALICE,
        asset: ETH,
        stake: Amount(10),
        bet: Reference(4),
        game: SLOT,
        session: SessionId::NONE,
        payout: Amount(50),
        round: Reference(11),
        ends_round: false,
    };
    let before = casino.state.balances(ALICE, ETH);
    assert_eq!(casino.ask(Role::Games, won_at_once), Code(ResultCode::Done));
    told("rollback of a `bet_win` that paid", casino.rollback(22, 4));
    told("rollback of a `bet_win` that paid", casino.reverse(23, 4));
    assert_eq!(casino.state.balances(ALICE, ETH), before, "stake and payout are undone");
}

#[test]
fn wins() {
    let mut casino = Casino::new();
    told("win for an unknown bet", casino.win(50, 1));
    let known = Operation::Win {
        player: ALICE,
        asset: ETH,
        amount: Amount(30),
        bet: Reference(1),
        game: SLOT,
        target: Lsn(3),
        round: None,
        ends_round: false,
    };
    told("win for an unknown bet", casino.under(RequestId(50), Role::Games, known));
    assert_eq!(casino.bet(1, 9), Code(ResultCode::Done));
    assert_eq!(casino.win(50, 1), Code(ResultCode::Done), "a refusal does not use the transaction up");
    told("the same request again, same id, same content", casino.win(50, 1));
    told("several wins for a bet, round open", casino.win(51, 1));
    told("win of 0", casino.under(RequestId(52), Role::Games, a_win(1, 0, false)));
    let game = GameId::new(8, 1);
    let (amount, bet, target) = (Amount(1), Reference(1), Lsn::NONE);
    let (asset, ends_round) = (ETH, false);
    let stranger =
        Operation::Win { player: BOB, asset, amount, bet, game: SLOT, target, round: None, ends_round };
    told(
        "win for another player's bet, another asset or provider",
        casino.under(RequestId(53), Role::Games, stranger),
    );
    let round = None;
    let other = Operation::Win { player: ALICE, asset, amount, bet, game, target, round, ends_round };
    told(
        "win for another player's bet, another asset or provider",
        casino.under(RequestId(54), Role::Games, other),
    );
    let round = Some(Reference(8));
    let other = Operation::Win { player: ALICE, asset, amount, bet, game: SLOT, target, round, ends_round };
    told("win for a bet in another round than it names", casino.under(RequestId(55), Role::Games, other));
    let status = Operation::SetStatus { player: ALICE, status: Status::SelfExcluded, reason: 1 };
    assert_eq!(casino.ask(Role::Risk, status), Code(ResultCode::Done));
    told("player blocked, excluded, frozen, closed", casino.bet(2, 9));
    assert_eq!(casino.win(56, 1), Code(ResultCode::Done), "winnings are paid");
    let status = Operation::SetStatus { player: ALICE, status: Status::Active, reason: 0 };
    assert_eq!(casino.ask(Role::Risk, status), Code(ResultCode::Done));
    let disable = Operation::DisableGame { game: SLOT, disabled: true };
    assert_eq!(casino.ask(Role::Risk, disable), Code(ResultCode::Done));
    told("game disabled", casino.bet(3, 9));
    assert_eq!(casino.win(57, 1), Code(ResultCode::Done), "winnings are paid");
    assert_eq!(casino.end(9), Code(ResultCode::Done));
    told("late win, round closed, bet remembered", casino.win(58, 1));
}

#[test]
fn holds_and_deposits() {
    let mut casino = Casino::new();
    let hold = casino.next_id();
    told("cancel before its reserve", casino.cancel(hold));
    told("cancel before its reserve", casino.reserve(hold, 0));
    let hold = casino.next_id();
    assert_eq!(casino.reserve(hold, 9), Code(ResultCode::Done));
    told("end of a round with undecided holds", casino.end(9));
    assert_eq!(casino.settle(hold), Code(ResultCode::Done));
    told("settle of a hold that was settled, cancelled, expired", casino.settle(hold));
    let hold = casino.next_id();
    assert_eq!(casino.reserve(hold, 0), Code(ResultCode::Done));
    assert_eq!(casino.cancel(hold), Code(ResultCode::Done));
    told("settle of a hold that was settled, cancelled, expired", casino.settle(hold));
    let hold = casino.next_id();
    assert_eq!(casino.reserve(hold, 0), Code(ResultCode::Done));
    casino.now = casino.now.plus_millis(1_000);
    told("settle after the deadline, before the expiry is written", casino.settle(hold));
    let due = casino.state.due(casino.now).expect("the hold is due");
    assert_eq!(casino.under(RequestId::NONE, Role::System, due), Code(ResultCode::Done));
    told("settle of a hold that was settled, cancelled, expired", casino.settle(hold));
    told("deposit twice, same key, same facts; other facts", casino.deposit(1, FUNDS));
    told("deposit twice, same key, same facts; other facts", casino.deposit(1, Amount(1)));
}
