//! Bets and wins of closed rounds: undone by their own names while they are kept in full, by hand when they are not.

use cage_engine::{Amount, LimitKind, Lsn, Operation, Period, Purse, Reference, ResultCode, Rule, Settings};

use crate::ledger::ask::{
    bet, bet_win, changed, end_round, in_session, last_win, metered, refund, reverse, rollback, set_limit,
    void_round, win,
};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger, OTHER, PLAY, SETTINGS};

const ROUND: u128 = 0x40d;
const BET: u128 = 0xbe7;
const WIN: u128 = 0x817;
const UNDO: u128 = 0x2bc;

/// A house that keeps so many, and Alice with 100.
fn keeping(closed_wagers_max: u64) -> Ledger {
    let mut ledger = Ledger::with(Settings { closed_wagers_max, ..SETTINGS }).watched();
    ledger.deposit(ALICE, 100);
    ledger
}

fn correction(amount: u128, transaction: u128, original: Lsn, debit: bool) -> Operation {
    Operation::LateCorrection {
        player: ALICE,
        asset: ETH,
        amount: Amount(amount),
        transaction: Reference(transaction),
        game: PLAY,
        original,
        debit,
        reason: 1,
        order: None,
    }
}

fn kept(ledger: &Ledger) -> Vec<u128> {
    ledger.state.closed_wagers().map(|row| row.key.0).collect()
}

#[test]
fn a_bet_of_a_closed_round_is_taken_back_by_its_name_in_parts_and_whole() {
    let mut ledger = keeping(10);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO, &rollback(BOB, BET)), ResultCode::HoldDiffers);
    let other = changed(rollback(ALICE, BET), |rollback| rollback.game = OTHER);
    assert_eq!(ledger.ask_key(UNDO, &other), ResultCode::HoldDiffers, "another provider");
    assert_eq!(ledger.ask_key(UNDO, &refund(ALICE, 11, BET)), ResultCode::StakeOverRemaining);
    assert_eq!(ledger.ask_key(UNDO, &refund(ALICE, 4, BET)), ResultCode::Done);
    ledger.crash();
    for _ in 0..2 {
        assert_eq!(ledger.ask_key(UNDO, &refund(ALICE, 4, BET)), ResultCode::Done, "a repeat");
        assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, BET)), ResultCode::Done, "the rest");
    }
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0), "once");
    assert_eq!(ledger.ask_key(UNDO + 2, &rollback(ALICE, BET)), ResultCode::AlreadyCancelled);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 5, BET)), ResultCode::HoldCancelled, "it wins nothing more");
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done, "the bet's own repeat");
    assert_eq!(ledger.ask(&bet(ALICE, 11, BET, ROUND)), ResultCode::IdConflict);
    assert_eq!(ledger.available(ALICE), 100);
    ledger.replayed();
}

#[test]
fn a_bet_of_a_closed_round_that_has_won_is_taken_back_only_if_asked_for_and_its_wins_by_theirs() {
    let mut ledger = keeping(10);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &last_win(ALICE, 30, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN + 1, &win(ALICE, 5, BET)), ResultCode::Done, "a late one");
    assert_eq!(kept(&ledger), [BET, WIN, WIN + 1]);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::HoldSettled);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, WIN)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, BET)), ResultCode::HoldSettled, "the late one");
    assert_eq!(ledger.ask_key(UNDO + 2, &rollback(ALICE, WIN + 1)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO + 3, &rollback(ALICE, WIN)), ResultCode::AlreadyCancelled);
    assert_eq!(ledger.ask_key(WIN, &last_win(ALICE, 30, BET)), ResultCode::Done, "a repeat pays nothing");
    assert_eq!(ledger.ask_key(WIN, &last_win(ALICE, 31, BET)), ResultCode::IdConflict);
    assert_eq!(ledger.ask_key(UNDO + 4, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0));
    assert_eq!(kept(&ledger), [] as [u128; 0]);
}

#[test]
fn a_bet_that_won_at_once_is_taken_back_with_its_payout_and_what_is_missing_is_owed() {
    let mut ledger = keeping(10);
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 60, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&ledger.transfer(ALICE, BOB, 120)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::HoldSettled);
    assert_eq!(ledger.ask_key(UNDO, &reverse(ALICE, BET)), ResultCode::Shortfall);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE), ledger.provider(PLAY)), (0, 20, 0));
}

#[test]
fn what_a_bet_of_a_closed_round_counted_is_taken_back_on_the_day_of_its_stake() {
    let mut ledger = keeping(10);
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 1_000)), ResultCode::Done);
    let turnover = Operation::DepositCredit {
        player: ALICE,
        asset: ETH,
        amount: Amount(100),
        chain: 1,
        locked: None,
        turnover: Amount(50),
    };
    assert_eq!(ledger.ask_key(0xdeb, &turnover), ResultCode::Done);
    let used = |ledger: &Ledger, period| {
        let usage = ledger.state.limits(ALICE).expect("limits").usage;
        let today = ledger.state.day(ALICE, ledger.now);
        [LimitKind::Loss, LimitKind::Wager].map(|kind| usage.used(kind, period, today))
    };
    for number in 0..2 {
        assert_eq!(ledger.ask(&bet(ALICE, 20, BET + number, ROUND + number)), ResultCode::Done);
    }
    assert_eq!(ledger.ask_key(WIN, &last_win(ALICE, 7, BET + 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
    assert_eq!(used(&ledger, Period::Day), [33, 40]);
    assert_eq!(ledger.ask_key(UNDO, &refund(ALICE, 5, BET)), ResultCode::Done);
    assert_eq!(used(&ledger, Period::Day), [28, 35]);
    assert_eq!(ledger.state.turnover(ALICE, ETH), Amount(15));
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, WIN)), ResultCode::Done);
    assert_eq!(used(&ledger, Period::Day), [35, 35]);
    ledger.pass_millis(24 * HOUR);
    assert_eq!(ledger.ask(&bet(ALICE, 3, BET + 9, ROUND + 9)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO + 2, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!(used(&ledger, Period::Day), [3, 3], "yesterday's stake makes no room today");
    assert_eq!(ledger.state.turnover(ALICE, ETH), Amount(27));
}

#[test]
fn a_stake_from_a_credit_meter_goes_back_there_while_the_session_is_open() {
    let mut ledger = keeping(10);
    let ends = ledger.now.plus_millis(HOUR);
    let session = ledger.open_session(&metered(ALICE, 0x70c, ends, 50));
    for number in 0..2 {
        let stake = in_session(bet(ALICE, 10, BET + number, ROUND + number), session);
        assert_eq!(ledger.ask(&stake), ResultCode::Done);
        assert_eq!(ledger.ask(&end_round(ALICE, ROUND + number)), ResultCode::Done);
    }
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Allowance)), (80, 0));
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Allowance)), (80, 10));
    ledger.now = ends;
    ledger.do_due();
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, BET + 1)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Allowance)), (100, 0));
}

#[test]
fn the_exposure_of_a_closed_round_is_not_given_back_twice_and_a_new_round_of_its_number_keeps_its_sums() {
    let mut ledger = Ledger::with(Settings {
        ids_capacity: 32,
        ids_retention_millis: 0,
        closed_wagers_max: 10,
        ..SETTINGS
    });
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
    let nothing = ledger.transfer(ALICE, BOB, 1);
    while ledger.state.round_ending(Reference(ROUND)).is_some() {
        ledger.pass_millis(1);
        assert_eq!(ledger.ask(&nothing), ResultCode::Done);
    }
    ledger.pass_millis(1);
    let before = ledger.available(ALICE);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET + 1, ROUND)), ResultCode::Done, "the number is forgotten");
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done, "the bet is not: a repeat");
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), before);
    assert_eq!(ledger.state.exposure(PLAY, ETH), Amount(100), "of the open bet");
    assert_eq!(ledger.state.round(Reference(ROUND)).map(|round| round.stake), Some(Amount(10)));
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), before + 10);
}

/// By name or by hand, in whichever order it is tried: the money moves once.
#[test]
fn what_can_be_undone_by_its_name_is_not_corrected_and_what_was_corrected_is_not_undone() {
    for most in [10, 0] {
        let mut ledger = keeping(most);
        ledger.set_rule(Rule::LateCorrectionMax, u64::from(ETH.0), 1_000);
        assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
        let staked = ledger.latest_lsn();
        let by_hand = correction(10, BET, staked, false);
        assert_eq!(ledger.ask_key(BET, &by_hand), ResultCode::UseItsName, "its round is open");
        assert_eq!(ledger.ask_key(WIN, &win(ALICE, 30, BET)), ResultCode::Done);
        let paid = ledger.latest_lsn();
        let back = correction(30, WIN, paid, true);
        assert_eq!(ledger.ask_key(WIN, &back), ResultCode::UseItsName);
        assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
        let is_kept = most > 0;
        let (hand, name) = (ResultCode::UseItsName, ResultCode::ReferenceTooOld);
        let by_hand_first = [if is_kept { hand } else { ResultCode::Done }; 2];
        let by_name_then = [if is_kept { ResultCode::Done } else { name }; 2];
        let asked = [ledger.ask_key(BET, &by_hand), ledger.ask_key(WIN, &back)];
        assert_eq!(asked, by_hand_first, "{most} kept");
        let undone = [rollback(ALICE, WIN), reverse(ALICE, BET)];
        let asked = [ledger.ask_key(UNDO, &undone[0]), ledger.ask_key(UNDO + 1, &undone[1])];
        assert_eq!(asked, by_name_then, "{most} kept");
        if is_kept {
            assert_eq!(ledger.ask_key(BET, &by_hand), ResultCode::HoldCancelled);
            assert_eq!(ledger.ask_key(WIN, &back), ResultCode::HoldCancelled);
        }
        assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0), "{most} kept: once");
    }
}

#[test]
fn the_oldest_is_forgotten_first_and_then_it_is_as_if_nothing_were_kept() {
    let mut ledger = keeping(3);
    for number in 0..5 {
        assert_eq!(ledger.ask(&bet(ALICE, 1, BET + number, ROUND + number)), ResultCode::Done);
    }
    for number in [3, 0, 1, 2, 4] {
        assert_eq!(ledger.ask(&end_round(ALICE, ROUND + number)), ResultCode::Done);
    }
    assert_eq!(kept(&ledger), [BET + 1, BET + 2, BET + 4], "as their rounds were closed");
    ledger.crash();
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET + 3)), ResultCode::HoldSettled);
    assert_eq!(ledger.ask_key(UNDO, &reverse(ALICE, BET)), ResultCode::ReferenceTooOld);
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, BET + 2)), ResultCode::Done);
    assert_eq!(kept(&ledger), [BET + 1, BET + 4]);
    assert_eq!(ledger.configure(Settings { closed_wagers_max: 1, ..SETTINGS }), ResultCode::Done);
    assert_eq!(kept(&ledger), [BET + 4], "less room");
    assert_eq!(ledger.configure(Settings { closed_wagers_max: 0, ..SETTINGS }), ResultCode::Done);
    assert_eq!(kept(&ledger), [] as [u128; 0]);
    let most = cage_engine::operation::CLOSED_WAGERS_MAX;
    let too_many = Settings { closed_wagers_max: most + 1, ..SETTINGS };
    assert_eq!(ledger.configure(too_many), ResultCode::SettingsUnfit);
    ledger.replayed();
}

#[test]
fn what_was_voided_is_not_kept() {
    let mut ledger = keeping(3);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!(kept(&ledger), [] as [u128; 0]);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET)), ResultCode::AlreadyCancelled);
    assert_eq!(ledger.available(ALICE), 100);
}
