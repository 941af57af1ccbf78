//! What one identity alone cannot do: widen what callers may do, draw on an import, fund past a bound, use what is
//! another provider's.

use cage_engine::{
    Amount, GameId, LimitKind, LockReason, Operation, Period, Purse, RequestId, ResultCode, Role, Rule,
    SessionId, Status,
};

use crate::ledger::ask::{
    approve, bet, changed, contribute, deposit, end_round, fund, give_up, jackpot_win, lock, metered,
    release, set_limit, set_status, sign, take_back, unlock, win, withdraw,
};
use crate::ledger::{ACTOR, ALICE, BOB, ETH, HOUR, Ledger, OTHER, PLAY, POOL};

const OTHER_ACTOR: u32 = ACTOR + 1;

fn set(ledger: &mut Ledger, actor: u32, rule: Rule, scope: u64, value: u128) -> ResultCode {
    let id = ledger.new_id();
    ledger.ask_by(Role::Operator, actor, id, &Operation::SetRule { rule, scope, value })
}

#[test]
fn rules_that_say_who_may_do_how_much_take_two_identities_once_the_house_says_so() {
    let mut ledger = Ledger::casino();
    let (scope, rule) = (u64::from(ETH.0), Rule::Importing);
    assert_eq!(set(&mut ledger, ACTOR, rule, scope, 5), ResultCode::Done, "before it says so");
    ledger.set_rule(Rule::SecondIdentity, 0, 1);
    assert_eq!(set(&mut ledger, ACTOR, rule, scope, 9), ResultCode::OneMore);
    assert_eq!(ledger.state.rule(rule, scope), Some(5), "nothing has changed");
    assert_eq!(set(&mut ledger, ACTOR, rule, scope, 9), ResultCode::SameIdentity);
    // Another value is another proposal, whoever makes it.
    assert_eq!(set(&mut ledger, OTHER_ACTOR, rule, scope, 8), ResultCode::OneMore);
    assert_eq!(set(&mut ledger, ACTOR, rule, scope, 9), ResultCode::OneMore);
    ledger.crash();
    assert_eq!(set(&mut ledger, OTHER_ACTOR, rule, scope, 9), ResultCode::Done);
    assert_eq!(ledger.state.rule(rule, scope), Some(9));
    // What it was confirmed by is used up.
    assert_eq!(set(&mut ledger, OTHER_ACTOR, rule, scope, 0), ResultCode::OneMore);
    assert_eq!(
        set(&mut ledger, OTHER_ACTOR, Rule::SecondIdentity, 0, 0),
        ResultCode::OneMore,
        "nor this one"
    );
    assert_eq!(set(&mut ledger, ACTOR, Rule::WithdrawFee, scope, 1), ResultCode::Done, "no right of anybody");
    ledger.replayed();
}

#[test]
fn each_rule_that_widens_a_right_waits_for_a_second_identity() {
    let actor = u64::from(ACTOR);
    for (rule, scope, value) in [
        (Rule::SecondApprovalFrom, 1, 5),
        (Rule::Importing, 1, 5),
        (Rule::RoleAmountMax, (Role::Operator as u64) << 16 | 1, 5),
        (Rule::ProviderActor, 3, 5),
        (Rule::PermitsRequired, Role::Games as u64, 1),
        (Rule::CallerProvider, actor << 32 | 3, 1),
        (Rule::CallerChain, actor << 32 | 1, 1),
        (Rule::CallerGame, actor << 32 | 1, 1),
        (Rule::CallerAmountMax, actor << 16 | 1, 5),
        (Rule::LateCorrectionMax, 1, 5),
    ] {
        let mut ledger = Ledger::casino();
        ledger.set_rule(Rule::SecondIdentity, 0, 1);
        assert_eq!(set(&mut ledger, ACTOR, rule, scope, value), ResultCode::OneMore, "{}", rule.name());
        assert_eq!(ledger.state.rule(rule, scope), None, "{}", rule.name());
        assert_eq!(set(&mut ledger, OTHER_ACTOR, rule, scope, value), ResultCode::Done);
        assert_eq!(ledger.state.rule(rule, scope), Some(value));
    }
}

#[test]
fn an_import_cannot_pass_the_total_that_was_declared_for_it() {
    let mut ledger = Ledger::casino();
    let balance = |amount| Operation::ImportBalance {
        player: ALICE,
        asset: ETH,
        amount: Amount(amount),
        locked: None,
        turnover: Amount::ZERO,
    };
    ledger.set_rule(Rule::Importing, ETH.0.into(), 100);
    assert_eq!(ledger.ask_key(1, &balance(60)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &balance(41)), ResultCode::ImportExceeded);
    assert_eq!(ledger.ask_key(2, &balance(40)), ResultCode::Done, "the key is not used up");
    assert_eq!(ledger.ask_key(3, &balance(1)), ResultCode::ImportExceeded);
    assert_eq!((ledger.available(ALICE), ledger.of_house(Purse::Imports, 0)), (100, -100));
    ledger.set_rule(Rule::Importing, ETH.0.into(), 0);
    assert_eq!(ledger.ask_key(3, &balance(1)), ResultCode::NotImporting);
    ledger.replayed();
}

#[test]
fn a_jackpot_is_one_providers_and_no_other_adds_to_it_or_pays_from_it() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&contribute(ETH, 1_000, POOL, 10_000)), ResultCode::Done);
    let of_other = |operation| changed(operation, |request| request.game = OTHER);
    assert_eq!(ledger.ask(&of_other(contribute(ETH, 1_000, POOL, 10_000))), ResultCode::JackpotDiffers);
    assert_eq!(ledger.ask_key(1, &of_other(jackpot_win(ALICE, 10, POOL))), ResultCode::JackpotDiffers);
    assert_eq!(ledger.ask_key(1, &jackpot_win(ALICE, 10, POOL)), ResultCode::Done);
}

#[test]
fn a_provider_puts_no_more_on_a_meter_than_its_session_was_opened_for() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let number = ledger.open_session(&metered(ALICE, 0x70c, ledger.now.plus_millis(HOUR), 30));
    let by = |ledger: &mut Ledger, role, amount| ledger.ask_as(role, &fund(ALICE, amount, number));
    assert_eq!(by(&mut ledger, Role::Games, 31), ResultCode::TopupExceeded);
    assert_eq!(by(&mut ledger, Role::Games, 20), ResultCode::Done);
    assert_eq!(by(&mut ledger, Role::Games, 11), ResultCode::TopupExceeded, "all in all");
    assert_eq!(by(&mut ledger, Role::Frontend, 40), ResultCode::Done, "the player's own wish");
    assert_eq!(by(&mut ledger, Role::Games, 10), ResultCode::Done);
    let session = ledger.state.session(number).expect("a session");
    assert_eq!((session.remainder, session.topup_left), (Amount(70), Amount(0)));
    ledger.replayed();
}

#[test]
fn another_providers_bridge_neither_funds_nor_empties_nor_ends_a_session() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.set_rule(Rule::ProviderActor, PLAY.provider().into(), u128::from(ACTOR));
    let opened = metered(ALICE, 0x70c, ledger.now.plus_millis(HOUR), 30);
    let number = ledger.open_session(&changed(opened, |session| session.game = PLAY));
    assert_eq!(ledger.ask(&fund(ALICE, 20, number)), ResultCode::Done);
    for operation in [
        fund(ALICE, 5, number),
        Operation::AllowanceReturn { player: ALICE, asset: ETH, amount: Amount(5), session: number },
        Operation::RevokeSession { player: ALICE, session: number },
    ] {
        let id = ledger.new_id();
        let stranger = ledger.ask_by(Role::Games, OTHER_ACTOR, id, &operation);
        assert_eq!(stranger, ResultCode::CallerNotPermitted);
        assert_eq!(ledger.ask_as(Role::Games, &operation), ResultCode::Done);
    }
}

#[test]
fn who_owes_puts_nothing_on_a_meter() {
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(7, &deposit(ALICE, 100)), ResultCode::Done);
    let number = ledger.open_session(&metered(ALICE, 0x70c, ledger.now.plus_millis(HOUR), 30));
    assert_eq!(ledger.ask(&bet(ALICE, 100, 1, 1)), ResultCode::Done);
    assert_eq!(ledger.ask_key(8, &take_back(ALICE, 100, RequestId(7))), ResultCode::Shortfall);
    ledger.deposit(ALICE, 50);
    assert_eq!(ledger.ask(&fund(ALICE, 50, number)), ResultCode::PlayerOwes);
    ledger.do_due();
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 50));
}

#[test]
fn a_great_withdrawal_that_was_signed_is_released_by_an_approver_alone() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.set_rule(Rule::SecondApprovalFrom, ETH.0.into(), 50);
    for (amount, code) in [(49, ResultCode::Done), (50, ResultCode::ApproverNeeded)] {
        let id = ledger.new_id();
        assert_eq!(ledger.ask_under(id, &withdraw(ALICE, amount)), ResultCode::Done);
        let (one, other) = (ledger.new_id(), ledger.new_id());
        let first = ledger.ask_by(Role::Risk, ACTOR, one, &approve(ALICE, id));
        if first == ResultCode::OneMore {
            assert_eq!(
                ledger.ask_by(Role::Approver, OTHER_ACTOR, other, &approve(ALICE, id)),
                ResultCode::Done
            );
        }
        assert_eq!(ledger.ask_key(amount, &sign(ALICE, id, amount, amount)), ResultCode::Done);
        assert_eq!(ledger.ask_as(Role::Chain, &release(ALICE, id)), code);
        let done = if code == ResultCode::Done { ResultCode::WithdrawalCancelled } else { ResultCode::Done };
        assert_eq!(ledger.ask_as(Role::Approver, &release(ALICE, id)), done);
        assert_eq!(ledger.ask(&give_up(ALICE, id)), ResultCode::WithdrawalCancelled);
    }
    assert_eq!(ledger.available(ALICE), 100);
}

#[test]
fn money_under_review_stays_locked_for_who_was_excluded_meanwhile() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&lock(ALICE, 60, LockReason::Review)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::SelfExcluded)), ResultCode::Done);
    assert_eq!(ledger.ask(&unlock(ALICE, 60, LockReason::Review)), ResultCode::StillLocked);
    assert_eq!(ledger.state.locked(ALICE, ETH, LockReason::Excluded), Amount(60));
    // It is the player's all the same, and can go out.
    assert_eq!(ledger.ask(&withdraw(ALICE, 100)), ResultCode::Done);
}

#[test]
fn what_was_won_on_a_stake_that_no_limit_counted_makes_no_room_in_one() {
    let mut ledger = Ledger::casino();
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    ledger.deposit(ALICE, 1_000);
    assert_eq!(ledger.ask(&bet(ALICE, 100, 1, 1)), ResultCode::Done);
    let hold = ledger.open_hold(ALICE, 100, 500);
    assert_eq!(ledger.ask(&bet(ALICE, 100, 2, 2)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, 2)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 50)), ResultCode::Done);
    assert_eq!(ledger.ask_key(11, &win(ALICE, 500, 1)), ResultCode::Done);
    assert_eq!(ledger.ask_key(12, &win(ALICE, 500, 2)), ResultCode::Done, "late");
    assert_eq!(ledger.settle(ALICE, hold, 100, 500), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 51, 3, 3)), ResultCode::LimitLoss);
    assert_eq!(ledger.ask(&bet(ALICE, 50, 4, 4)), ResultCode::LimitNear);
    assert_eq!(ledger.ask_key(13, &win(ALICE, 30, 4)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 30, 5, 5)), ResultCode::LimitNear, "what counted is won back");
    ledger.replayed();
}

#[test]
fn nothing_is_decided_by_a_price_that_is_older_than_the_house_allows() {
    let mut ledger = Ledger::casino();
    let coin = ledger.open_asset("COIN");
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    ledger.set_rule(Rule::RateAgeMax, coin.0.into(), 60_000);
    let priced = Operation::PublishRate { asset: coin, price: Amount(10_u128.pow(27)) };
    assert_eq!(ledger.ask(&priced), ResultCode::Done);
    let in_coin = |operation| changed(operation, |request| request.asset = coin);
    assert_eq!(ledger.ask(&in_coin(deposit(ALICE, 1_000))), ResultCode::Done);
    assert_eq!(ledger.ask(&in_coin(deposit(BOB, 1_000))), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Wager, Period::Day, 1 << 40)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Deposit, Period::Day, 1 << 40)), ResultCode::Done);
    let exchange = Operation::Exchange {
        player: BOB,
        asset: coin,
        amount: Amount(100),
        session: SessionId(0),
        to: ETH,
        at_least: Amount(1),
    };
    ledger.pass_millis(60_000);
    assert_eq!(ledger.ask(&in_coin(bet(ALICE, 10, 1, 1))), ResultCode::Done, "old enough to be allowed");
    assert_eq!(ledger.ask(&exchange), ResultCode::Done);
    ledger.pass_millis(1);
    assert_eq!(ledger.ask(&in_coin(bet(ALICE, 10, 2, 2))), ResultCode::RateOld);
    assert_eq!(
        ledger.ask(&in_coin(bet(BOB, 10, 3, 3))),
        ResultCode::Done,
        "who has no limits needs no price"
    );
    assert_eq!(ledger.ask(&exchange), ResultCode::RateOld);
    assert_eq!(ledger.ask_key(4, &in_coin(win(ALICE, 90, 1))), ResultCode::Done, "wins are paid");
    let late = in_coin(deposit(ALICE, 50));
    assert_eq!(ledger.ask_by(Role::Cashier, ACTOR, RequestId(5), &late), ResultCode::RateOld);
    assert_eq!(ledger.ask_by(Role::Chain, ACTOR, RequestId(6), &late), ResultCode::Done);
    assert_eq!(ledger.state.locked(ALICE, coin, LockReason::OverLimit), Amount(50));
    assert_eq!(ledger.ask(&priced), ResultCode::Done);
    assert_eq!(ledger.ask(&in_coin(bet(ALICE, 10, 7, 7))), ResultCode::Done);
    assert_eq!(ledger.ask(&exchange), ResultCode::Done);
    ledger.replayed();
}

/// A round and a hold can have the same number: which of them the player has going is not told by it alone.
#[test]
fn one_round_at_a_time_is_not_got_past_by_a_hold_with_a_rounds_number() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.set_rule(Rule::OneRound, u64::from(PLAY.0), 1);
    let hold = ledger.open_hold(ALICE, 10, 20);
    // Naming the hold's number as a round is another round.
    assert_eq!(ledger.ask(&bet(ALICE, 10, 1, hold.0)), ResultCode::RoundUnfinished);
    assert_eq!(ledger.settle(ALICE, hold, 10, 0), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 2, hold.0)), ResultCode::Done);
    let game = GameId::new(PLAY.provider(), 15);
    let sister = changed(bet(ALICE, 10, 3, 3), |bet| bet.game = game);
    assert_eq!(ledger.ask(&sister), ResultCode::Done, "each game by itself");
}
