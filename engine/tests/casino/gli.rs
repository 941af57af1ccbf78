//! GLI-19 v3.0, requirement by requirement, as far as a ledger can meet them by itself. Those about
//! limits, meters, jackpots, corrections and stopped games stand with their scenes.

use cage_engine::{
    Amount, ApplyFault, CallerId, LockReason, Operation, OperationKind, Outcome, PlayerClass, Purse,
    ResultCode, Role, Rule, Status, Timestamp,
};

use crate::ledger::ask::{
    approve, bet, bet_win, changed, consume, deposit, end_round, freerounds, fund, in_session, kyc_hold,
    last_win, metered, paid, reserve_in, rollback, set_status, sign, take_back, unlock, void_round, win,
    withdraw,
};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger, PLAY, SISTER, replayed};

#[test]
fn gli_19_r1_one_clock_stamps_every_record_and_never_falls() {
    let ledger = Ledger::of_every_kind();
    let stamps = ledger.records.iter().map(|record| record.decided);
    assert!(stamps.clone().zip(stamps.skip(1)).all(|(before, after)| before <= after));
    for executed in [true, false] {
        let such = ledger.records.iter().any(|record| record.result.is_executed() == executed);
        assert!(such, "refusals are stamped like the rest");
    }
    assert!(
        ledger.records.iter().any(|record| record.role == Role::System),
        "what the ledger does itself, too"
    );
    let mut state = replayed(&ledger.records);
    let before = state.digest();
    let mut early = *ledger.latest();
    early.decided = Timestamp(state.clock().0 - 1);
    assert_eq!(state.apply(state.next_lsn(), &early), Err(ApplyFault::TimeFell));
    assert_eq!(state.digest(), before, "and leaves nothing behind");
}

#[test]
fn gli_19_r2_a_stake_leaves_the_balance_at_once_and_no_wager_makes_it_negative() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 10);
    for number in 0..4 {
        let code = ledger.ask(&bet(ALICE, 3, number + 1, 1));
        let expected = if number < 3 { ResultCode::Done } else { ResultCode::InsufficientFunds };
        assert_eq!(code, expected, "bet {number}");
    }
    assert_eq!(ledger.ask(&ledger.reserve(ALICE, 2, 5)), ResultCode::InsufficientFunds);
    assert_eq!(
        ledger.ask(&bet_win(ALICE, 2, 900, 9, 1)),
        ResultCode::InsufficientFunds,
        "what it wins is no stake"
    );
    ledger.open_hold(ALICE, 1, 5);
    assert_eq!(ledger.purses(ALICE), (0, 1), "set aside, and visible");
    assert_eq!(ledger.provider(PLAY), 9, "taken when each was made, and nothing of what was refused");
    // A meter is a balance, too: its bound is what may be topped up.
    ledger.deposit(BOB, 10);
    let ends = ledger.now.plus_millis(HOUR);
    let session = ledger.open_session(&metered(BOB, 0x70c, ends, 6));
    assert_eq!(ledger.ask(&in_session(bet(BOB, 7, 21, 2), session)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&in_session(bet(BOB, 6, 22, 2), session)), ResultCode::Done);
    assert_eq!(ledger.ask(&in_session(bet(BOB, 1, 23, 2), session)), ResultCode::InsufficientFunds);
    assert_eq!((ledger.available(BOB), ledger.held(BOB, Purse::Allowance)), (4, 0));
}

#[test]
fn gli_19_r3_a_cycle_ends_with_its_last_award_and_takes_no_stake_afterwards() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let hold = ledger.new_id();
    assert_eq!(ledger.ask_under(hold, &reserve_in(ALICE, 10, 40, 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, 1)), ResultCode::RoundHasHolds, "an award may follow");
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 130, "the final award is on the balance");
    assert_eq!(ledger.ask(&end_round(ALICE, 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&reserve_in(ALICE, 10, 40, 1)), ResultCode::RoundClosed);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe7, 1)), ResultCode::RoundClosed);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe8, 2)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &last_win(ALICE, 5, 0xbe8)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe9, 2)), ResultCode::RoundClosed);
    let (brief, late) = (changed(bet(ALICE, 10, 0xbea, 3), |bet| bet.ends_round = true), 0xbeb);
    assert_eq!(ledger.ask(&brief), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, late, 3)), ResultCode::RoundClosed);
}

/// GLI-19 4.3.3 e and 4.16.3: where a game allows one round at a time, the one before has to be over.
#[test]
fn gli_19_r3_r6_a_game_of_one_round_takes_no_second_one_before_the_first_is_over() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 1_000);
    ledger.deposit(BOB, 1_000);
    ledger.set_rule(Rule::OneRound, u64::from(PLAY.0), 1);
    let unfinished = ResultCode::RoundUnfinished;
    let lone = ledger.open_hold(ALICE, 10, 40);
    assert_eq!(ledger.ask(&ledger.reserve(ALICE, 10, 40)), unfinished, "a hold without a round is one, too");
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe1, 1)), unfinished);
    assert_eq!(ledger.ask(&ledger.reserve(BOB, 10, 40)), ResultCode::Done, "another player's is no matter");
    let elsewhere = changed(bet(ALICE, 10, 0xbe2, 9), |bet| bet.game = SISTER);
    assert_eq!(ledger.ask(&elsewhere), ResultCode::Done, "nor is another game");
    assert_eq!(ledger.settle(ALICE, lone, 4, 5), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe3, 1)), unfinished, "6 of its stake are undecided");
    ledger.crash();
    assert_eq!(ledger.settle(ALICE, lone, 6, 5), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe4, 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe5, 1)), ResultCode::Done, "more stakes in the same round");
    assert_eq!(ledger.ask(&reserve_in(ALICE, 10, 40, 1)), ResultCode::Done);
    let hold = ledger.latest().request.id;
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 5, 0xbe6, 2)), unfinished);
    assert_eq!(ledger.ask(&reserve_in(ALICE, 10, 40, 2)), unfinished);
    assert_eq!(ledger.cancel(ALICE, hold), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &last_win(ALICE, 5, 0xbe4)), ResultCode::Done);
    let at_once = changed(bet_win(ALICE, 10, 5, 0xbe8, 3), |bet| bet.ends_round = true);
    assert_eq!(ledger.ask(&at_once), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe9, 4)), ResultCode::Done, "that one was over at once");
    assert_eq!(ledger.ask_key(2, &rollback(ALICE, 0xbe9)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbea, 5)), ResultCode::Done, "a round without any stake is over");
    assert_eq!(ledger.ask(&void_round(ALICE, 5, None)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbeb, 6)), ResultCode::Done);
    ledger.set_rule(Rule::OneRound, u64::from(PLAY.0), 0);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbec, 7)), ResultCode::Done);
    ledger.replayed();
}

/// GLI-19 A.3.8: exclusion at the player's own wish is in force at once, and does not need an office to be open.
#[test]
fn gli_19_r24_a_player_is_excluded_through_the_front_end_and_let_in_again_by_the_house_alone() {
    let mut ledger = Ledger::casino();
    let own = |ledger: &mut Ledger, status| ledger.ask_as(Role::Frontend, &set_status(ALICE, status));
    for status in [Status::Active, Status::WagerBlocked, Status::Frozen, Status::Closed] {
        assert_eq!(own(&mut ledger, status), ResultCode::StatusNotAllowed, "{}", status.name());
    }
    assert_eq!(own(&mut ledger, Status::SelfExcluded), ResultCode::Done);
    assert_eq!(own(&mut ledger, Status::SelfExcluded), ResultCode::Done, "again");
    assert_eq!(own(&mut ledger, Status::Active), ResultCode::StatusNotAllowed);
    for (status, code) in
        [(Status::Frozen, ResultCode::StatusNotAllowed), (Status::Closed, ResultCode::PlayerClosed)]
    {
        assert_eq!(ledger.ask_as(Role::Risk, &set_status(ALICE, status)), ResultCode::Done);
        assert_eq!(own(&mut ledger, Status::SelfExcluded), code, "it would loosen {}", status.name());
    }
    assert_eq!(ledger.ask_as(Role::Operator, &set_status(ALICE, Status::WagerBlocked)), ResultCode::Done);
    assert_eq!(own(&mut ledger, Status::SelfExcluded), ResultCode::Done);
}

/// GLI-19 2.4.1: gaming is stopped for one player, at once and whatever the way of the stake; what runs is finished.
#[test]
fn gli_19_r8_a_player_is_stopped_on_demand_and_what_is_in_play_finishes() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.deposit(BOB, 100);
    let ends = ledger.now.plus_millis(HOUR);
    let session = ledger.open_session(&metered(ALICE, 0x70c, ends, 50));
    assert_eq!(ledger.ask(&bet(ALICE, 10, 1, 1)), ResultCode::Done);
    let hold = ledger.open_hold(ALICE, 10, 40);
    let grant = ledger.new_id();
    assert_eq!(ledger.ask_under(grant, &freerounds(ALICE, 10, ends)), ResultCode::Done);
    for (status, code) in [
        (Status::WagerBlocked, ResultCode::WagerBlocked),
        (Status::Frozen, ResultCode::PlayerFrozen),
        (Status::Closed, ResultCode::PlayerClosed),
    ] {
        assert_eq!(ledger.ask_as(Role::Operator, &set_status(ALICE, status)), ResultCode::Done);
        let stake = ledger.new_id().0;
        for wager in [
            bet(ALICE, 1, stake, 1),
            bet_win(ALICE, 1, 5, stake + 1, 1),
            in_session(bet(ALICE, 1, stake + 2, 1), session),
            ledger.reserve(ALICE, 1, 4),
            fund(ALICE, 1, session),
            consume(ALICE, grant, 1),
        ] {
            assert_eq!(ledger.ask(&wager), code, "{}: {wager:?}", status.name());
        }
        assert_eq!(ledger.ask(&bet(BOB, 1, stake + 3, 9)), ResultCode::Done, "another player goes on");
    }
    assert_eq!(ledger.ask_key(2, &win(ALICE, 30, 1)), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 100 - 20 + 70);
    assert_eq!(ledger.ask_as(Role::Operator, &set_status(ALICE, Status::Active)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 3, 1)), ResultCode::Done);
}

#[test]
fn gli_19_r5_the_stake_of_an_interrupted_game_stays_held_and_is_shown() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let hold = ledger.open_hold(ALICE, 10, 40);
    ledger.crash();
    ledger.pass_millis(10_000 * HOUR);
    assert_eq!(ledger.do_due(), []);
    assert_eq!(ledger.purses(ALICE), (90, 10));
    assert_eq!(ledger.state.hold(hold).map(|hold| hold.remaining), Some(Amount(10)));
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
}

/// Each answer to a deposit or withdrawal says what became of it and, if it was denied, why; the record names the
/// value.
#[test]
fn gli_19_r9_every_deposit_and_withdrawal_is_confirmed_or_denied_with_value_and_reason() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let unknown = changed(deposit(ALICE, 5), |deposit| deposit.asset.0 = 9);
    let answers = [
        (ledger.ask(&deposit(ALICE, 5)), 5),
        (ledger.ask(&unknown), 5),
        (ledger.ask(&deposit(ALICE, 1_000_001)), 1_000_001),
        (ledger.ask(&withdraw(ALICE, 105)), 105),
        (ledger.ask(&withdraw(ALICE, 1)), 1),
    ];
    let records = &ledger.records[ledger.records.len() - answers.len()..];
    for ((code, value), record) in answers.into_iter().zip(records) {
        assert_eq!((record.result, record.request.amount.0), (code, value));
        match code.outcome() {
            Outcome::Executed => assert_eq!(record.legs()[0].amount.0, value),
            _ => assert!(record.legs().is_empty() && !code.meaning().is_empty()),
        }
    }
    assert_eq!(
        answers.map(|(code, _)| code),
        [
            ResultCode::Done,
            ResultCode::AssetUnknown,
            ResultCode::AmountOverBound,
            ResultCode::Done,
            ResultCode::InsufficientFunds,
        ]
    );
    // Each thing that stands in the way has its own name.
    let reasons = [
        (set_status(BOB, Status::SelfExcluded), deposit(BOB, 5), ResultCode::SelfExcluded),
        (set_status(BOB, Status::Frozen), withdraw(BOB, 6), ResultCode::PlayerFrozen),
        (set_status(BOB, Status::Closed), deposit(BOB, 7), ResultCode::PlayerClosed),
        (kyc_hold(BOB, true), withdraw(BOB, 8), ResultCode::KycHold),
    ];
    for (before, asked, code) in reasons {
        assert_eq!(ledger.ask(&before), ResultCode::Done);
        assert_eq!(ledger.ask_as(Role::Cashier, &asked), code);
        let record = ledger.latest();
        let value = asked.request(record.request.id).amount;
        assert_eq!((record.result, record.request.amount, record.legs().len()), (code, value, 0));
    }
}

#[test]
fn gli_19_r10_a_deposit_is_not_usable_until_it_is_confirmed_and_its_key_is_kept() {
    let mut ledger = Ledger::casino();
    let unconfirmed =
        changed(deposit(ALICE, 100), |deposit| deposit.detail.0[0] = LockReason::Unconfirmed as u8);
    assert_eq!(ledger.ask_key(0xa07, &unconfirmed), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 1, 1, 1)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&withdraw(ALICE, 1)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&ledger.transfer(ALICE, BOB, 1)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&unlock(ALICE, 100, LockReason::Unconfirmed)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 1, 2, 2)), ResultCode::Done);
    let kept = ledger.replayed();
    let kept = kept.deposit(cage_engine::RequestId(0xa07)).expect("for ever");
    assert_eq!((kept.player, kept.amount), (ALICE, Amount(100)));
}

/// A balance falls below zero for nothing but what a payment service or a provider takes back; and then it is not
/// the balance, but a debt of its own.
#[test]
fn gli_19_r22_no_balance_is_overdrawn_and_what_is_taken_back_is_a_debt() {
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(0xa07, &deposit(ALICE, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 100, 1, 1)), ResultCode::Done);
    for refused in [bet(ALICE, 1, 2, 1), withdraw(ALICE, 1), ledger.transfer(ALICE, BOB, 1)] {
        assert_eq!(ledger.ask(&refused), ResultCode::InsufficientFunds, "{refused:?}");
    }
    let back = take_back(ALICE, 100, cage_engine::RequestId(0xa07));
    assert_eq!(ledger.ask_key(2, &back), ResultCode::Shortfall);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 100));
    // A win that was spent and is taken back is owed as well.
    ledger.deposit(BOB, 10);
    assert_eq!(ledger.ask(&bet(BOB, 10, 3, 3)), ResultCode::Done);
    assert_eq!(ledger.ask_key(4, &win(BOB, 40, 3)), ResultCode::Done);
    assert_eq!(ledger.ask(&withdraw(BOB, 40)), ResultCode::Done);
    assert_eq!(ledger.ask_key(5, &rollback(BOB, 4)), ResultCode::Shortfall);
    assert_eq!((ledger.available(BOB), ledger.owed(BOB)), (0, 40));
    for player in [ALICE, BOB] {
        for purse in [Purse::Available, Purse::Locked, Purse::Reserved, Purse::Allowance, Purse::Withdrawing]
        {
            assert!(ledger.held(player, purse) >= 0, "{}", purse.name());
        }
    }
    // Only staff corrects, and only with a second identity.
    for kind in [OperationKind::Adjust, OperationKind::AdjustApprove, OperationKind::WriteOff] {
        for role in [Role::Frontend, Role::Cashier, Role::Games, Role::Chain, Role::Support] {
            assert!(!kind.spec().roles.contains(role), "{} by {}", kind.name(), role.name());
        }
    }
}

/// GLI-19 A.3.8.
#[test]
fn gli_19_r24_an_excluded_player_stakes_and_deposits_nothing_and_can_withdraw() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.deposit(BOB, 100);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 1, 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::SelfExcluded)), ResultCode::Done);
    let excluded = ResultCode::SelfExcluded;
    assert_eq!(ledger.ask(&bet(ALICE, 10, 2, 1)), excluded);
    assert_eq!(ledger.ask(&ledger.reserve(ALICE, 10, 10)), excluded);
    assert_eq!(ledger.ask(&ledger.transfer(ALICE, BOB, 10)), excluded);
    assert_eq!(ledger.ask(&ledger.transfer(BOB, ALICE, 10)), excluded);
    let ends = ledger.now.plus_millis(HOUR);
    assert_eq!(ledger.ask(&crate::ledger::ask::session(ALICE, 1, ends)), excluded);
    assert_eq!(ledger.ask_as(Role::Cashier, &deposit(ALICE, 10)), excluded);
    assert_eq!(ledger.ask_as(Role::Chain, &deposit(ALICE, 10)), ResultCode::Done, "cannot be sent back");
    assert_eq!(ledger.held(ALICE, Purse::Locked), 10, "and so is out of reach of the games");
    assert_eq!(ledger.ask_key(3, &win(ALICE, 30, 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&withdraw(ALICE, 130)), ResultCode::Done, "all of it");
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Locked)), (0, 0));
}

/// GLI-19 A.3.9-10.
#[test]
fn gli_19_r25_closing_an_account_pays_out_its_balance_and_nothing_of_it_lapses() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let hold = ledger.open_hold(ALICE, 10, 40);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::Closed)), ResultCode::Done);
    ledger.pass_millis(2 * 365 * 24 * HOUR);
    assert_eq!(ledger.do_due(), [], "dormant funds stay where they are");
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &withdraw(ALICE, 130)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, id, 1, 2)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &paid(ALICE, id, 2)), ResultCode::Done);
    for purse in [Purse::Available, Purse::Reserved, Purse::Locked, Purse::Withdrawing] {
        assert_eq!(ledger.held(ALICE, purse), 0, "{}", purse.name());
    }
    assert_eq!(ledger.ask_as(Role::Risk, &set_status(ALICE, Status::Active)), ResultCode::PlayerClosed);
    assert_eq!(ledger.ask_as(Role::Operator, &set_status(ALICE, Status::Active)), ResultCode::Done);
}

/// GLI-19 A.3.9: an account that nobody uses keeps all that it holds, wherever that lies.
#[test]
fn gli_19_r25_a_dormant_account_keeps_its_funds_and_gets_those_of_its_meter_back() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let ends = ledger.now.plus_millis(HOUR);
    let session = ledger.open_session(&metered(ALICE, 0x70c, ends, 50));
    assert_eq!(ledger.ask(&fund(ALICE, 30, session)), ResultCode::Done);
    let locked = changed(deposit(ALICE, 20), |deposit| deposit.detail.0[0] = LockReason::Review as u8);
    assert_eq!(ledger.ask_key(0xa07, &locked), ResultCode::Done);
    let records = ledger.records.len();
    ledger.pass_millis(20 * 365 * 24 * HOUR);
    assert_eq!(ledger.do_due(), [OperationKind::ExpireSession]);
    assert_eq!(ledger.records.len(), records + 1, "nothing else is done to it");
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Locked)), (100, 20));
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &withdraw(ALICE, 100)), ResultCode::Done, "after twenty years");
}

/// A crash after each record of a scene with everything in it: the books of the replay go on as the others would
/// have, and what is asked again is answered and not done again.
#[test]
fn gli_19_r28_a_restart_after_any_record_neither_loses_nor_repeats_anything() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 1_000);
    let scene = |ledger: &mut Ledger, crash: Option<usize>| {
        let id = ledger.new_id();
        let steps = [
            (id.0, bet(ALICE, 100, 0xbe7, 1)),
            (0x817, win(ALICE, 70, 0xbe7)),
            (0x2bc, rollback(ALICE, 0x817)),
            (0xa07, deposit(ALICE, 30)),
            (ledger.new_id().0, withdraw(ALICE, 40)),
            (ledger.new_id().0, end_round(ALICE, 1)),
            (0x818, win(ALICE, 5, 0xbe7)),
        ];
        for (place, (id, operation)) in steps.iter().enumerate() {
            assert_eq!(ledger.ask_key(*id, operation), ResultCode::Done);
            if crash == Some(place) {
                ledger.crash();
                let records = ledger.records.len();
                assert_eq!(ledger.ask_key(*id, operation), ResultCode::Done, "asked again");
                assert_eq!(ledger.records.len(), records);
            }
        }
        ledger.state.digest()
    };
    let expected = scene(&mut ledger, None);
    for place in 0..7 {
        let mut again = Ledger::casino();
        again.deposit(ALICE, 1_000);
        assert_eq!(scene(&mut again, Some(place)), expected, "a crash after step {place}");
    }
    assert_eq!(ledger.available(ALICE), 1_000 - 100 + 30 - 40 + 5);
}

#[test]
fn gli_19_r29_a_testers_account_is_told_apart_from_a_customers() {
    let mut ledger = Ledger::casino();
    let open = |class| Operation::OpenPlayer { caller_id: CallerId(77), brand: 0, jurisdiction: 0, class };
    assert_eq!(ledger.ask(&open(PlayerClass::Test)), ResultCode::Done);
    let tester = ledger.latest().request.player;
    assert_eq!(ledger.ask(&open(PlayerClass::Real)), ResultCode::PlayerDiffers, "and stays what it is");
    ledger.deposit(tester, 5);
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&bet(tester, 4, 1, 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 30, 2, 2)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &win(tester, 4, 1)), ResultCode::Done);
    assert_eq!(ledger.ask_key(4, &win(ALICE, 30, 2)), ResultCode::Done);
    let state = ledger.replayed();
    // From the log alone: what was staked and won, by the class of the account.
    let of_class = |kind, class| -> u128 {
        let of_kind = ledger.records.iter().filter(|record| record.request.kind == kind);
        let own = of_kind
            .filter(|record| state.player(record.request.player).is_some_and(|player| player.class == class));
        own.map(|record| record.request.amount.0).sum()
    };
    for kind in [OperationKind::Bet, OperationKind::Win] {
        let split = (of_class(kind, PlayerClass::Real), of_class(kind, PlayerClass::Test));
        assert_eq!(split, (30, 4), "{}", kind.name());
    }
    let real = state.players().filter(|(_, player)| player.class == PlayerClass::Real);
    let held: i128 = real.map(|(id, _)| state.balances(id, ETH).available.0).sum();
    assert_eq!(held, 100, "what a report of customers' money adds up to");
    assert_eq!(state.player(tester).map(|player| player.class), Some(PlayerClass::Test));
}
