//! The hard cases between suppliers and wallets: one test for each case, as the table of hard cases in the
//! documents says.

use cage_engine::state::Ending;
use cage_engine::{Amount, OperationKind, Purse, Reference, Request, RequestId, ResultCode, Status};

use crate::ledger::ask::{
    bet, bet_win, changed, deposit, end_round, in_session, jackpot_win, last_win, refund, reverse, rollback,
    session, set_status, void_round, win,
};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger, OTHER, PLAY, POOL, SISTER};

const ROUND: u128 = 0x40d;
const BET: u128 = 0xbe7;
const WIN: u128 = 0x817;
const UNDO: u128 = 0x2bc;

/// Alice has 100 and has bet 10 of them.
fn with_a_bet() -> Ledger {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (90, 10));
    ledger
}

#[test]
fn the_same_bet_reported_again_is_answered_by_its_record_whatever_id_it_comes_under() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let id = ledger.new_id();
    let once = bet(ALICE, 10, BET, ROUND);
    assert_eq!(ledger.ask_under(id, &once), ResultCode::Done);
    let records = ledger.records.len();
    assert_eq!(ledger.ask_under(id, &once), ResultCode::Done);
    assert_eq!(ledger.ask(&once), ResultCode::Done, "the provider's transaction counts, not the bridge's id");
    ledger.ask(&end_round(ALICE, ROUND));
    assert_eq!(ledger.ask(&once), ResultCode::Done, "also when its round is closed");
    assert_eq!(ledger.records.len(), records + 1, "of these only the round's end is a record");
    assert_eq!(ledger.available(ALICE), 90);
}

#[test]
fn a_bet_of_the_same_transaction_with_other_facts_is_a_conflict() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.deposit(BOB, 100);
    ledger.open_asset("USD");
    let id = ledger.new_id();
    let once = bet(ALICE, 10, BET, ROUND);
    assert_eq!(ledger.ask_under(id, &once), ResultCode::Done);
    let others: [fn(&mut Request); 6] = [
        |bet| bet.amount = Amount(11),
        |bet| bet.player = BOB,
        |bet| bet.game = SISTER,
        |bet| bet.asset.0 = 2,
        |bet| bet.detail.0[16] ^= 1,
        |bet| bet.ends_round = true,
    ];
    for closed in [false, true] {
        if closed {
            assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
        }
        for other in others {
            let other = changed(once, other);
            assert_eq!(ledger.ask_under(id, &other), ResultCode::IdConflict, "{other:?}");
            assert_eq!(ledger.ask(&other), ResultCode::IdConflict, "{other:?} under another id");
        }
    }
    assert_eq!((ledger.available(ALICE), ledger.available(BOB)), (90, 100));
}

#[test]
fn a_win_of_the_same_transaction_with_other_facts_is_a_conflict() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 5, BET)), ResultCode::Done);
    for closed in [false, true] {
        if closed {
            assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
        }
        assert_eq!(ledger.ask_key(WIN, &win(ALICE, 5, BET)), ResultCode::Done);
        assert_eq!(ledger.ask_key(WIN, &win(ALICE, 6, BET)), ResultCode::IdConflict);
        assert_eq!(ledger.ask_key(WIN, &last_win(ALICE, 5, BET)), ResultCode::IdConflict);
    }
    assert_eq!(ledger.available(ALICE), 95, "paid once");
}

#[test]
fn a_bet_without_funds_stays_refused_under_its_transaction_even_after_a_deposit() {
    let mut ledger = Ledger::casino();
    let once = bet(ALICE, 50, BET, ROUND);
    assert_eq!(ledger.ask(&once), ResultCode::InsufficientFunds);
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&once), ResultCode::InsufficientFunds);
    assert_eq!(ledger.state.wager_ending(Reference(BET)), Some(Ending::Refused));
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 500, BET)), ResultCode::BetRefused, "nothing to pay for");
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::AlreadyCancelled);
    assert_eq!(ledger.available(ALICE), 100, "nothing was debited, so nothing is given back");
    assert_eq!(ledger.ask(&bet(ALICE, 50, BET + 1, ROUND)), ResultCode::Done);
}

#[test]
fn a_rollback_of_an_unknown_bet_leaves_a_tombstone() {
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::Tombstoned);
    assert_eq!(ledger.state.wager_ending(Reference(BET)), Some(Ending::Tombstone));
    let known = changed(rollback(ALICE, BET + 1), |rollback| rollback.detail.0[0] = 3);
    assert_eq!(ledger.ask_key(UNDO + 1, &known), ResultCode::ReferenceTooOld, "it was known once");
    assert_eq!(ledger.state.wager_ending(Reference(BET + 1)), None);
}

/// W1: the tombstone outlives time and crashes.
#[test]
fn a_bet_that_arrives_after_its_rollback_never_debits() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::Tombstoned);
    for _ in 0..3 {
        assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::CancelledBefore);
        assert_eq!(ledger.ask(&bet_win(ALICE, 10, 50, BET, ROUND)), ResultCode::CancelledBefore);
        ledger.pass_millis(HOUR);
    }
    ledger.crash();
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::CancelledBefore, "nor after a crash");
    assert_eq!(ledger.available(ALICE), 100);
    assert_eq!(ledger.state.rounds().count(), 0);
}

#[test]
fn a_rollback_repeated_under_its_id_gives_back_once() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::Done);
    let records = ledger.records.len();
    for _ in 0..3 {
        assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::Done);
    }
    assert_eq!(ledger.ask_key(UNDO, &refund(ALICE, 5, BET)), ResultCode::IdConflict);
    assert_eq!((ledger.available(ALICE), ledger.records.len()), (100, records));
}

#[test]
fn a_second_rollback_of_the_same_bet_finds_it_cancelled() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, BET)), ResultCode::AlreadyCancelled);
    assert!(ledger.latest().legs().is_empty());
    assert_eq!(ledger.available(ALICE), 100);
    // The same for one that never was a bet.
    assert_eq!(ledger.ask_key(UNDO + 2, &rollback(ALICE, BET + 1)), ResultCode::Tombstoned);
    assert_eq!(ledger.ask_key(UNDO + 3, &rollback(ALICE, BET + 1)), ResultCode::AlreadyCancelled);
}

#[test]
fn a_win_of_a_bet_that_was_rolled_back_is_refused() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 50, BET)), ResultCode::HoldCancelled);
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, BET + 1)), ResultCode::Tombstoned);
    assert_eq!(
        ledger.ask_key(WIN, &win(ALICE, 50, BET + 1)),
        ResultCode::HoldCancelled,
        "a tombstone's, too"
    );
    assert_eq!(ledger.available(ALICE), 100);
}

#[test]
fn a_bet_that_has_won_is_not_rolled_back() {
    for amount in [0, 7] {
        let mut ledger = with_a_bet();
        assert_eq!(ledger.ask_key(WIN, &win(ALICE, amount, BET)), ResultCode::Done);
        assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::HoldSettled, "won {amount}");
        assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
        assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::HoldSettled, "nor when closed");
        assert_eq!(ledger.available(ALICE), 90 + amount as i128);
    }
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 3, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::HoldSettled);
}

#[test]
fn a_bet_that_has_won_gives_back_its_stake_and_keeps_its_win_if_the_provider_reverses_it_by_name() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 7, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO, &reverse(ALICE, BET)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 107, "the stake is back, the win untouched");
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, WIN)), ResultCode::Done, "the win by its own name");
    assert_eq!(ledger.available(ALICE), 100);
    assert_eq!(ledger.provider(PLAY), 0);
    // A bet with its win is one transaction, and both are undone.
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 25, BET + 1, ROUND)), ResultCode::Done);
    let half = changed(refund(ALICE, 5, BET + 1), |refund| refund.detail.0[8] = 1);
    assert_eq!(ledger.ask_key(UNDO + 2, &half), ResultCode::StakeOverRemaining);
    assert_eq!(ledger.ask_key(UNDO + 2, &reverse(ALICE, BET + 1)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0));
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0), "nothing of it is left to void");
    // Of a bet whose round is closed the stake is no longer known.
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO, &reverse(ALICE, BET)), ResultCode::ReferenceTooOld);
}

/// What came with the bet goes with the bet, what came by itself goes by itself.
#[test]
fn a_bet_that_won_at_once_is_undone_with_its_payout_before_its_further_wins_and_after_them() {
    for order in [[BET, WIN, WIN + 1], [WIN, BET, WIN + 1], [WIN, WIN + 1, BET]] {
        let mut ledger = Ledger::casino();
        ledger.deposit(ALICE, 100);
        assert_eq!(ledger.ask(&bet_win(ALICE, 10, 25, BET, ROUND)), ResultCode::Done);
        assert_eq!(ledger.ask_key(WIN, &win(ALICE, 3, BET)), ResultCode::Done);
        assert_eq!(ledger.ask_key(WIN + 1, &win(ALICE, 0, BET)), ResultCode::Done);
        assert_eq!(ledger.available(ALICE), 118);
        for (number, target) in (0..).zip(order) {
            assert_eq!(ledger.ask_key(UNDO + number, &reverse(ALICE, target)), ResultCode::Done);
        }
        assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0), "undone as {order:x?}");
        assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
        assert_eq!(ledger.available(ALICE), 100, "nothing of it is left to void");
        ledger.replayed();
    }
    // It is one transaction, whatever it won besides: no part of it is undone.
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 25, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 3, BET)), ResultCode::Done);
    let half = changed(refund(ALICE, 5, BET), |refund| refund.detail.0[8] = 1);
    assert_eq!(ledger.ask_key(UNDO, &half), ResultCode::StakeOverRemaining);
    // What is left is voided: the further win.
    assert_eq!(ledger.ask_key(UNDO, &reverse(ALICE, BET)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 103, "the further win stays");
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0));
}

#[test]
fn a_win_rolled_back_when_the_money_is_gone_is_owed_and_collected_as_soon_as_there_is_some() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 60, BET)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 130, BET + 1, ROUND)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 20);
    assert_eq!(ledger.ask_key(UNDO, &refund(ALICE, 59, WIN)), ResultCode::StakeOverRemaining, "all of a win");
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, WIN)), ResultCode::Shortfall);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 40));
    assert_eq!(ledger.provider(PLAY), 140, "the provider has all its money back");
    assert_eq!(ledger.do_due(), [], "nothing to collect from");
    ledger.deposit(ALICE, 15);
    assert_eq!(ledger.do_due(), [OperationKind::AutoCollect]);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 25));
    ledger.deposit(ALICE, 100);
    ledger.crash();
    assert_eq!(ledger.do_due(), [OperationKind::AutoCollect]);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (75, 0));
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, WIN)), ResultCode::AlreadyCancelled);
}

#[test]
fn a_bet_whose_win_was_rolled_back_has_not_won() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 60, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, WIN)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 60, BET)), ResultCode::Done, "a repeat, and not paid again");
    assert_eq!(ledger.available(ALICE), 90);
    let row = ledger.state.wager(Reference(BET)).expect("an open bet");
    assert_eq!((row.paid, row.wins), (Amount::ZERO, 0));
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0));
}

#[test]
fn a_win_of_an_unknown_bet_is_refused_and_prizes_need_no_bet() {
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 50, BET)), ResultCode::HoldUnknown);
    let known = changed(win(ALICE, 50, BET), |win| win.detail.0[0] = 3);
    assert_eq!(ledger.ask_key(WIN, &known), ResultCode::ReferenceTooOld, "to be corrected by hand");
    assert_eq!(ledger.available(ALICE), 0);
    let prize = cage_engine::Operation::PromoCredit {
        player: ALICE,
        asset: ETH,
        amount: Amount(5),
        game: PLAY,
        campaign: None,
        house_paid: false,
        turnover: Amount::ZERO,
    };
    assert_eq!(ledger.ask_key(0x9512e, &prize), ResultCode::Done);
    assert_eq!(ledger.ask_key(0x9512f, &jackpot_win(ALICE, 6, POOL)), ResultCode::Shortfall);
    assert_eq!(ledger.available(ALICE), 11);
}

#[test]
fn a_win_refused_for_want_of_its_bet_is_paid_when_the_bet_has_come() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 50, BET)), ResultCode::HoldUnknown);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    assert_eq!(
        ledger.ask_key(WIN, &win(ALICE, 50, BET)),
        ResultCode::Done,
        "a refusal uses no transaction up"
    );
    assert_eq!(ledger.available(ALICE), 140);
}

#[test]
fn a_bet_wins_as_often_as_its_provider_says() {
    let mut ledger = with_a_bet();
    for number in 0..5 {
        assert_eq!(ledger.ask_key(WIN + number, &win(ALICE, 3, BET)), ResultCode::Done);
    }
    assert_eq!(ledger.available(ALICE), 105);
    let row = ledger.state.wager(Reference(BET)).expect("an open bet");
    assert_eq!((row.paid, row.wins, row.payout_left), (Amount::ZERO, 5, Amount(85)));
    assert_eq!(ledger.ask_key(WIN + 9, &last_win(ALICE, 3, BET)), ResultCode::Done);
    assert_eq!(ledger.state.round_ending(Reference(ROUND)), Some(Ending::Settled));
}

#[test]
fn a_win_of_nothing_is_a_win_and_can_close_the_round() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(WIN, &last_win(ALICE, 0, BET)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 90);
    assert_eq!(ledger.state.round(Reference(ROUND)), None);
    assert_eq!(ledger.state.exposure(PLAY, ETH), Amount::ZERO);
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET + 1, ROUND)), ResultCode::RoundClosed);
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::AlreadyClosed);
}

#[test]
fn bets_after_a_payout_are_taken_while_the_round_is_open() {
    let mut ledger = with_a_bet();
    for number in 1..101 {
        assert_eq!(ledger.ask_key(WIN + number, &win(ALICE, 1, BET)), ResultCode::Done);
        assert_eq!(ledger.ask(&bet(ALICE, 1, BET + number, ROUND)), ResultCode::Done, "top-up bet {number}");
    }
    let round = ledger.state.round(Reference(ROUND)).expect("an open round");
    assert_eq!((round.stake, round.won), (Amount(110), Amount(100)));
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET + 50)), ResultCode::Done, "one extra ball");
    assert!(ledger.state.round(Reference(ROUND)).is_some(), "does not void the round");
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 91);
}

#[test]
fn an_expired_session_takes_no_bet_and_loses_no_win() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let ends = ledger.now.plus_millis(HOUR);
    let number = ledger.open_session(&session(ALICE, 0x70c, ends));
    let one = |key, round| in_session(bet(ALICE, 10, key, round), number);
    assert_eq!(ledger.ask(&one(BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&one(BET + 1, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&one(BET + 2, ROUND)), ResultCode::Done);
    ledger.now = ends;
    assert_eq!(ledger.ask(&one(BET + 3, ROUND)), ResultCode::SessionExpired);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 20, BET)), ResultCode::Done);
    assert_eq!(ledger.do_due(), [OperationKind::ExpireSession]);
    assert_eq!(ledger.ask(&one(BET + 4, ROUND)), ResultCode::SessionEnded);
    assert_eq!(ledger.ask_key(WIN + 1, &win(ALICE, 20, BET + 1)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET + 2)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 120);
}

#[test]
fn a_blocked_player_takes_no_bet_and_loses_no_win() {
    for (status, code) in [
        (Status::WagerBlocked, ResultCode::WagerBlocked),
        (Status::SelfExcluded, ResultCode::SelfExcluded),
        (Status::Frozen, ResultCode::PlayerFrozen),
        (Status::Closed, ResultCode::PlayerClosed),
    ] {
        let mut ledger = with_a_bet();
        assert_eq!(ledger.ask(&bet(ALICE, 10, BET + 1, ROUND)), ResultCode::Done);
        let hold = ledger.open_hold(ALICE, 10, 20);
        assert_eq!(ledger.ask(&set_status(ALICE, status)), ResultCode::Done);
        assert_eq!(ledger.ask(&bet(ALICE, 10, BET + 2, ROUND)), code);
        assert_eq!(ledger.ask(&bet_win(ALICE, 10, 99, BET + 3, ROUND)), code);
        assert_eq!(ledger.ask(&ledger.reserve(ALICE, 10, 20)), code);
        assert_eq!(ledger.ask_key(WIN, &win(ALICE, 30, BET)), ResultCode::Done);
        assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET + 1)), ResultCode::Done);
        assert_eq!(ledger.settle(ALICE, hold, 10, 20), ResultCode::Done);
        assert_eq!(ledger.purses(ALICE), (130, 0), "{}", status.name());
    }
}

#[test]
fn a_win_or_rollback_in_another_currency_of_another_player_or_provider_is_refused() {
    let mut ledger = with_a_bet();
    let usd = ledger.open_asset("USD");
    let others: [&dyn Fn(&mut Request); 3] =
        [&|win| win.asset = usd, &|win| win.player = BOB, &|win| win.game = OTHER];
    for other in others {
        assert_eq!(ledger.ask_key(WIN, &changed(win(ALICE, 5, BET), other)), ResultCode::HoldDiffers);
        assert_eq!(ledger.ask_key(UNDO, &changed(rollback(ALICE, BET), other)), ResultCode::HoldDiffers);
        assert_eq!(ledger.ask(&changed(end_round(ALICE, ROUND), other)), ResultCode::RoundDiffers);
    }
    let unknown = changed(bet(ALICE, 5, BET + 1, ROUND), |bet| bet.asset.0 = 77);
    assert_eq!(ledger.ask(&unknown), ResultCode::AssetUnknown);
    let stranger = changed(bet(ALICE, 5, BET + 2, ROUND), |bet| bet.asset = usd);
    assert_eq!(ledger.ask(&stranger), ResultCode::RoundDiffers, "one round is in one currency");
    let sister = changed(win(ALICE, 5, BET), |win| win.game = SISTER);
    assert_eq!(ledger.ask_key(WIN, &sister), ResultCode::Done, "the provider's other games are its own");
    let round = changed(win(ALICE, 5, BET), |win| win.detail.0[16] = 0x99);
    assert_eq!(ledger.ask_key(WIN + 1, &round), ResultCode::RoundDiffers);
    assert_eq!((ledger.available(ALICE), ledger.available(BOB)), (95, 0));
}

/// What would be a sign in another protocol is an amount that no ledger counts.
#[test]
fn no_amount_has_a_sign() {
    let parsed = |operation: &cage_engine::Operation| {
        Request::parse(&operation.request(RequestId(5)).to_bytes()).map_err(|fault| fault.code)
    };
    let minus = (-10_i128) as u128;
    assert_eq!(parsed(&bet(ALICE, 0, BET, ROUND)), Err(ResultCode::AmountZero));
    let negative = changed(bet(ALICE, 1, BET, ROUND), |bet| bet.amount = Amount(minus));
    assert_eq!(parsed(&negative), Err(ResultCode::AmountOverLimit));
    assert_eq!(parsed(&win(ALICE, minus, BET)), Err(ResultCode::AmountOverLimit));
    assert_eq!(parsed(&deposit(ALICE, minus)), Err(ResultCode::AmountOverLimit));
    assert_eq!(parsed(&bet_win(ALICE, 1, minus, BET, ROUND)), Err(ResultCode::AmountOverLimit));
}

#[test]
fn a_bet_and_its_win_in_one_call_happen_together_or_not_at_all() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let id = ledger.new_id();
    let both = [(id, bet(ALICE, 10, BET, ROUND)), (RequestId(WIN), last_win(ALICE, 25, BET))];
    assert_eq!(ledger.ask_group(&both), [ResultCode::Done, ResultCode::Done]);
    assert_eq!(ledger.available(ALICE), 115);
    let records = ledger.records.len();
    assert_eq!(ledger.ask_group(&both), [ResultCode::Done, ResultCode::Done], "repeated");
    assert_eq!(ledger.records.len(), records);
    // The win names another bet: the stake stays where it is, and both are remembered as refused.
    let id = ledger.new_id();
    let torn = [(id, bet(ALICE, 10, BET + 1, ROUND + 1)), (RequestId(WIN + 1), win(ALICE, 25, BET + 2))];
    let refused = [ResultCode::GroupRefused, ResultCode::HoldUnknown];
    assert_eq!(ledger.ask_group(&torn), refused);
    assert_eq!(ledger.available(ALICE), 115);
    assert_eq!(ledger.state.round(Reference(ROUND + 1)), None);
    assert_eq!(ledger.state.wager_ending(Reference(BET + 1)), Some(Ending::Refused));
    assert_eq!(ledger.ask(&torn[0].1), ResultCode::IdConflict, "alone it is another request");
    assert_eq!(ledger.records.iter().filter(|record| record.linked).count(), 2, "each pair is one run");
}

#[test]
fn a_group_sees_what_its_own_members_did() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 10);
    let (one, two) = (ledger.new_id(), ledger.new_id());
    let members = [
        (one, bet(ALICE, 10, BET, ROUND)),
        (RequestId(WIN), win(ALICE, 8, BET)),
        (two, bet(ALICE, 8, BET + 1, ROUND)),
        (RequestId(WIN + 1), last_win(ALICE, 3, BET + 1)),
    ];
    assert_eq!(
        ledger.ask_group(&members),
        [ResultCode::Done; 4],
        "the second bet is staked from the first win"
    );
    assert_eq!(ledger.available(ALICE), 3);
    // What only the group's members together lack is refused for all of them.
    let (one, two) = (ledger.new_id(), ledger.new_id());
    let members = [(one, bet(ALICE, 2, BET + 2, 7)), (two, bet(ALICE, 2, BET + 3, 7))];
    assert_eq!(ledger.ask_group(&members), [ResultCode::GroupRefused, ResultCode::InsufficientFunds]);
    assert_eq!(ledger.available(ALICE), 3);
    ledger.replayed();
}

#[test]
fn a_group_whose_members_were_answered_apart_is_told_so() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let (one, two) = (ledger.new_id(), ledger.new_id());
    let members = [(one, bet(ALICE, 10, BET, ROUND)), (two, bet(ALICE, 10, BET + 1, ROUND))];
    assert_eq!(ledger.ask_under(one, &members[0].1), ResultCode::Done);
    let records = ledger.records.len();
    // Alone it was asked without the flag of a group, and so the content differs.
    let codes = ledger.ask_group(&members);
    assert_eq!(codes[1], ResultCode::GroupDiffers);
    assert!(matches!(codes[0], ResultCode::IdConflict | ResultCode::GroupDiffers), "{codes:?}");
    let twice = [(two, members[1].1), (two, members[1].1)];
    assert_eq!(ledger.ask_group(&twice), [ResultCode::GroupMalformed; 2]);
    let (three, four) = (ledger.new_id(), ledger.new_id());
    let outsider = [(three, members[1].1), (four, crate::ledger::ask::withdraw(ALICE, 5))];
    assert_eq!(
        ledger.ask_group(&outsider),
        [ResultCode::GroupMalformed; 2],
        "a withdrawal is no part of one"
    );
    assert_eq!((ledger.available(ALICE), ledger.records.len()), (90, records));
}

#[test]
fn a_bet_with_its_win_is_taken_if_the_stake_is_there_and_pays_at_once() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 10);
    assert_eq!(ledger.ask(&bet_win(ALICE, 11, 50, BET, ROUND)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.available(ALICE), 10, "the win does not pay for the stake");
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 50, BET + 1, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 0, BET + 2, ROUND)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (40, -30));
    assert_eq!(ledger.state.exposure(PLAY, ETH), Amount::ZERO, "its outcome is known");
}

#[test]
fn a_refund_gives_back_a_part_and_never_more_than_is_left() {
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(UNDO, &refund(ALICE, 4, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO + 1, &refund(ALICE, 7, BET)), ResultCode::StakeOverRemaining);
    assert_eq!(ledger.available(ALICE), 94);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 1, BET)), ResultCode::Done, "the rest plays on");
    assert_eq!(ledger.ask_key(UNDO + 2, &refund(ALICE, 6, BET)), ResultCode::HoldSettled);
    let mut ledger = with_a_bet();
    assert_eq!(ledger.ask_key(UNDO, &refund(ALICE, 4, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO + 1, &refund(ALICE, 6, BET)), ResultCode::Done);
    assert_eq!(ledger.state.wager_ending(Reference(BET)), Some(Ending::Cancelled));
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0));
}

/// Holds of the outbound way and bets of the inbound way are not mistaken for one another.
#[test]
fn a_hold_is_no_bet_of_a_provider() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let hold = ledger.open_hold(ALICE, 10, 20);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 5, hold.0)), ResultCode::NotABet);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, hold.0)), ResultCode::NotABet);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 5, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN + 1, &win(ALICE, 5, WIN)), ResultCode::NotABet, "a win of a win");
    assert_eq!(ledger.settle(ALICE, RequestId(BET), 10, 0), ResultCode::HoldUnknown);
    assert_eq!(ledger.held(ALICE, Purse::Reserved), 10);
}
