//! Rounds: how they end, what is still paid afterwards, and how a time of a game is undone.

use cage_engine::state::Ending;
use cage_engine::{
    Amount, LimitKind, Lsn, Operation, OperationKind, Period, Reference, Request, RequestId, ResultCode,
    Rule, Settings,
};

use crate::ledger::ask::{
    bet, bet_win, changed, end_round, last_win, proved, reserve_in, rollback, set_limit, void_round, win,
};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger, OTHER, PLAY, SETTINGS};

const ROUND: u128 = 0x40d;
const BET: u128 = 0xbe7;
const WIN: u128 = 0x817;

fn with_money() -> Ledger {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.deposit(BOB, 100);
    ledger
}

#[test]
fn a_round_left_open_is_closed_by_time_and_a_late_win_is_paid_all_the_same() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    let closes = ledger.now.plus_millis(48 * HOUR);
    assert_eq!(ledger.state.next_due(), Some(closes));
    ledger.now = cage_engine::Timestamp(closes.0 - 1);
    assert_eq!(ledger.do_due(), []);
    let early = Operation::CloseRound { player: ALICE, asset: ETH, round: Reference(ROUND) };
    assert_eq!(ledger.ask_under(RequestId::NONE, &early), ResultCode::HoldNotDue);
    ledger.now = closes;
    assert_eq!(ledger.do_due(), [OperationKind::CloseRound]);
    assert_eq!(ledger.state.exposure(PLAY, ETH), Amount::ZERO);
    ledger.crash();
    ledger.pass_millis(24 * HOUR);
    assert_eq!(ledger.ask_key(WIN, &win(BOB, 500, BET)), ResultCode::HoldDiffers, "not to a stranger");
    let other = changed(win(ALICE, 500, BET), |win| win.game = OTHER);
    assert_eq!(ledger.ask_key(WIN, &other), ResultCode::HoldDiffers, "nor from another provider");
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 500, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 500, BET)), ResultCode::Done, "repeated");
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 501, BET)), ResultCode::IdConflict);
    assert_eq!(ledger.available(ALICE), 590, "paid once");
    assert_eq!(ledger.ask_key(0x2bc, &rollback(ALICE, BET)), ResultCode::HoldSettled);
}

#[test]
fn a_round_waits_for_its_undecided_holds() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    let hold = ledger.new_id();
    assert_eq!(ledger.ask_under(hold, &reserve_in(ALICE, 10, 40, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::RoundHasHolds);
    assert_eq!(ledger.ask_key(WIN, &last_win(ALICE, 5, BET)), ResultCode::RoundHasHolds);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::RoundHasHolds);
    assert_eq!(ledger.available(ALICE), 80, "a win that would end it is not paid in part");
    ledger.pass_millis(100 * HOUR);
    assert_eq!(ledger.do_due(), [], "nor does time close it");
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
    assert_eq!(ledger.do_due(), [OperationKind::CloseRound], "but then it does");
    assert_eq!(ledger.purses(ALICE), (120, 0));
}

#[test]
fn the_age_at_which_a_round_closes_is_fixed_when_it_opens() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET, ROUND)), ResultCode::Done);
    ledger.set_rule(Rule::RoundAgeMax, 0, u128::from(HOUR));
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET + 1, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET + 2, ROUND + 1)), ResultCode::Done);
    ledger.pass_millis(HOUR);
    assert_eq!(ledger.do_due(), [OperationKind::CloseRound]);
    assert!(ledger.state.round(Reference(ROUND)).is_some());
    assert_eq!(ledger.state.round_ending(Reference(ROUND + 1)), Some(Ending::Settled));
}

/// A provider's transaction has no time in it. What is forgotten of it must not make every id of today look old.
#[test]
fn forgetting_a_providers_transactions_ages_no_request() {
    let mut ledger =
        Ledger::with(Settings { ids_capacity: 64, ids_retention_millis: 0, ..SETTINGS }).watched();
    ledger.deposit(ALICE, 1_000);
    // As digests are: all bits used, the upper ones, too.
    let digest = |number: u128| u128::MAX - number * 0x0123_4567_89ab_cdef_0123_4567_89ab;
    for number in 0..40 {
        let (key, round, won) = (digest(number), digest(1_000 + number), digest(2_000 + number));
        ledger.pass_millis(1);
        assert_eq!(ledger.ask(&bet(ALICE, 1, key, round)), ResultCode::Done, "bet {number}");
        assert_eq!(ledger.ask_key(won, &last_win(ALICE, 1, key)), ResultCode::Done);
        assert_eq!(ledger.ask_key(digest(3_000 + number), &rollback(ALICE, digest(4_000 + number))), {
            ResultCode::Tombstoned
        });
        assert!(ledger.state.id_horizon() <= ledger.now, "after {number}: {:?}", ledger.state.id_horizon());
    }
    assert_eq!(ledger.state.id_count(), 64, "the ring is full, and has forgotten the oldest");
    assert_eq!(ledger.available(ALICE), 1_000);
}

/// W1. A tombstone lasts as long as the ring holds it, and the ring forgets nothing young as long as bets are taken.
/// Once it is gone, the bet that it was for is known by the age of its id.
#[test]
fn a_late_bet_never_debits_while_its_tombstone_lasts_nor_under_an_id_that_is_as_old() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 64, ids_retention_millis: 5_000, ..SETTINGS });
    ledger.deposit(ALICE, 1_000);
    let late = ledger.new_id();
    assert_eq!(ledger.ask_key(0x2bc, &rollback(ALICE, BET)), ResultCode::Tombstoned);
    let nothing = ledger.transfer(BOB, ALICE, 1);
    let mut refused = 0;
    while ledger.state.wager_ending(Reference(BET)).is_some() {
        let code = ledger.ask(&bet(ALICE, 10, BET, ROUND));
        assert!(matches!(code, ResultCode::CancelledBefore | ResultCode::IdTableFull), "{code:?}");
        ledger.pass_millis(20);
        ledger.ask(&nothing);
        refused += 1;
        assert!(refused < 10_000);
    }
    assert!(refused * 20 >= 5_000, "it lasts for the retention at least: {refused}");
    assert_eq!(ledger.ask_under(late, &bet(ALICE, 10, BET, ROUND)), ResultCode::IdTooOld);
    assert_eq!(ledger.available(ALICE), 1_000);
}

#[test]
fn a_voided_round_gives_back_what_was_staked_less_what_was_won() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Wager, Period::Day, 50)), ResultCode::LimitUnfit);
    assert_eq!(ledger.ask(&bet(ALICE, 30, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet_win(ALICE, 20, 5, BET + 1, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 10, BET)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 65);
    let stranger = changed(void_round(ALICE, ROUND, None), |void| void.player = BOB);
    assert_eq!(ledger.ask(&stranger), ResultCode::RoundDiffers);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0));
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::AlreadyCancelled, "a second one");
    assert_eq!(ledger.ask_key(WIN + 1, &win(ALICE, 10, BET)), ResultCode::HoldCancelled);
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET + 2, ROUND)), ResultCode::RoundCancelled);
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::RoundCancelled);
    assert_eq!(ledger.ask(&void_round(ALICE, 0x999, None)), ResultCode::RoundUnknown);
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET + 3, 0x998)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, 0x998)), ResultCode::Done);
    assert_eq!(ledger.ask(&void_round(ALICE, 0x998, None)), ResultCode::RoundClosed);
}

#[test]
fn what_a_voided_round_takes_back_beyond_what_is_there_is_owed() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 500, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 580, BET + 1, ROUND + 1)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 10);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Shortfall);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 480));
    assert_eq!(ledger.provider(PLAY), 580);
    // What was staked and won alike moves nothing.
    assert_eq!(ledger.ask(&bet_win(BOB, 10, 10, BET + 2, ROUND + 2)), ResultCode::Done);
    assert_eq!(ledger.ask(&void_round(BOB, ROUND + 2, None)), ResultCode::Done);
    assert!(ledger.latest().legs().is_empty());
}

/// A mishap of a game: each round of the time is voided by itself, within the bounds of one order, and a crash in
/// the middle neither loses nor repeats any.
#[test]
fn gli_19_r6_a_time_of_a_game_is_undone_within_its_order_and_resumed_after_a_crash() {
    let mut ledger = with_money();
    let from = ledger.state.next_lsn();
    for number in 0..5 {
        assert_eq!(ledger.ask(&bet(ALICE, 10, BET + number, ROUND + number)), ResultCode::Done);
    }
    let to = ledger.latest_lsn();
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET + 9, ROUND + 9)), ResultCode::Done, "after the mishap");
    let order = |from, to, amount, count| Operation::VoidPeriod {
        asset: ETH,
        amount: Amount(amount),
        text: Reference(0x7e87),
        game: PLAY,
        from,
        to,
        count,
    };
    for unfit in [
        order(Lsn(0), to, 100, 5),
        order(to, from, 100, 5),
        order(from, Lsn(1_000), 100, 5),
        order(from, to, 100, 0),
    ] {
        assert_eq!(ledger.ask(&unfit), ResultCode::PeriodUnfit, "{unfit:?}");
    }
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &order(from, to, 30, 4)), ResultCode::Done);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, Some(id))), ResultCode::Done);
    ledger.crash();
    let row = ledger.state.void_order(id).expect("the order");
    assert_eq!((row.moved, row.done), (Amount(10), 1));
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, Some(id))), ResultCode::AlreadyCancelled, "not again");
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND + 1, Some(id))), ResultCode::Done);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND + 9, Some(id))), ResultCode::OrderDiffers);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND + 2, Some(RequestId(5)))), ResultCode::OrderUnknown);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND + 2, Some(id))), ResultCode::Done);
    assert_eq!(
        ledger.ask(&void_round(ALICE, ROUND + 3, Some(id))),
        ResultCode::OrderExceeded,
        "30 are given"
    );
    let count = ledger.new_id();
    assert_eq!(ledger.ask_under(count, &order(from, to, 1_000, 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND + 3, Some(count))), ResultCode::Done);
    assert_eq!(ledger.state.void_order(count).map(|row| row.done), Some(1));
    assert_eq!(
        ledger.ask(&void_round(ALICE, ROUND + 4, Some(count))),
        ResultCode::OrderExceeded,
        "one is done"
    );
    assert_eq!(ledger.available(ALICE), 80, "four rounds are undone");
    ledger.replayed();
}

/// Of a provably fair game the log keeps what an auditor needs once the seed is shown: that the seed was fixed before the
/// bet (its hash and the nonce make the bet's transaction), and which proof belongs to the outcome.
#[test]
fn a_round_of_a_provably_fair_game_names_its_algorithm_and_the_digest_of_its_proof() {
    let mut ledger = with_money();
    let digest = |parts: &[&str]| *blake3::hash(parts.concat().as_bytes()).as_bytes();
    let nonce = digest(&["hash of the server's seed", ":", "41"]);
    let nonce = u128::from_le_bytes(nonce[..16].try_into().expect("16 of 32"));
    let proof = digest(&["server's seed", "player's seed", "41", "7.42"]);
    let proof: [u8; 30] = proof[..30].try_into().expect("30 of 32");
    assert_eq!(ledger.ask(&bet(ALICE, 10, nonce, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &win(ALICE, 20, nonce)), ResultCode::Done);
    let id = ledger.new_id();
    let end = proved(ALICE, ROUND, 2, proof);
    for _ in 0..2 {
        assert_eq!(ledger.ask_under(id, &end), ResultCode::Done);
    }
    assert_eq!(Operation::try_from(&ledger.latest().request), Ok(end), "the record has it");
    let mut other = proof;
    other[29] ^= 1;
    assert_eq!(ledger.ask_under(id, &proved(ALICE, ROUND, 2, other)), ResultCode::IdConflict);
    assert_eq!(ledger.ask(&bet(ALICE, 10, nonce, ROUND + 1)), ResultCode::IdConflict, "each nonce once");
    // A round that ended with its only bet is proved afterwards.
    let brief = changed(bet_win(ALICE, 10, 5, BET, ROUND + 2), |bet| bet.ends_round = true);
    assert_eq!(ledger.ask(&brief), ResultCode::Done);
    let end = proved(ALICE, ROUND + 2, 2, proof);
    assert_eq!(ledger.ask(&end), ResultCode::AlreadyClosed);
    assert_eq!(Operation::try_from(&ledger.latest().request), Ok(end));
    for half in [proved(ALICE, ROUND, 2, [0; 30]), proved(ALICE, ROUND, 0, proof)] {
        let fault = Request::parse(&half.request(id).to_bytes()).expect_err("half a proof");
        assert_eq!((fault.code, fault.field), (ResultCode::Malformed, "proof"));
    }
    ledger.replayed();
}

/// A nonce is used up by its bet whatever becomes of it.
#[test]
fn the_nonce_of_a_bet_that_was_undone_is_not_used_again() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(WIN, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 11, BET, ROUND)), ResultCode::IdConflict);
    assert_eq!(ledger.ask(&bet(BOB, 10, BET, ROUND + 1)), ResultCode::IdConflict);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done, "the first bet's answer");
    assert_eq!((ledger.available(ALICE), ledger.available(BOB)), (100, 100), "and nothing moves");
}
