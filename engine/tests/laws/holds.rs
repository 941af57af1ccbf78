//! Holds: stakes set aside before a bet is sent out, and every way in which they end.

use cage_engine::state::Ending;
use cage_engine::{Amount, Expiry, GameId, Operation, RequestId, ResultCode, Settings, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::ledger::ask::{changed, reserve_until};
use crate::ledger::{ALICE, BOB, ETH, Ledger, PLAY, SETTINGS};

#[test]
fn a_hold_is_settled_in_parts_and_closes_with_its_last_stake() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let hold = ledger.open_hold(ALICE, 10, 25);
    assert_eq!(ledger.purses(ALICE), (90, 10));
    assert_eq!(ledger.settle(ALICE, hold, 4, 0), ResultCode::Done, "a loss");
    assert_eq!(ledger.settle(ALICE, hold, 0, 5), ResultCode::Done, "a win that takes no stake");
    assert_eq!(ledger.settle(ALICE, hold, 3, 20), ResultCode::Done);
    assert_eq!(ledger.purses(ALICE), (115, 3));
    assert_eq!(ledger.settle(ALICE, hold, 4, 0), ResultCode::StakeOverRemaining);
    assert_eq!(ledger.settle(ALICE, hold, 3, 0), ResultCode::Done, "nothing won closes it as well");
    assert_eq!(ledger.state.ending(hold), Some(Ending::Settled));
    assert_eq!(ledger.state.hold_count(), 0);
    assert_eq!(ledger.purses(ALICE), (115, 0));
    assert_eq!(ledger.provider(PLAY), 10 - 25);
    for late in [ledger.settle(ALICE, hold, 1, 0), ledger.cancel(ALICE, hold)] {
        assert_eq!(late, ResultCode::HoldSettled);
    }
    ledger.balances_to_zero();
}

#[test]
fn all_payouts_of_a_hold_together_are_never_over_its_greatest() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let hold = ledger.open_hold(ALICE, 10, 25);
    assert_eq!(ledger.settle(ALICE, hold, 1, 26), ResultCode::PayoutOverGreatest);
    assert_eq!(ledger.settle(ALICE, hold, 1, 20), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, hold, 1, 6), ResultCode::PayoutOverGreatest);
    assert_eq!(ledger.settle(ALICE, hold, 9, 5), ResultCode::Done);
    assert_eq!(ledger.purses(ALICE), (115, 0));
    ledger.balances_to_zero();
}

#[test]
fn a_cancelled_hold_gives_back_what_is_left_of_it_once() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let hold = ledger.open_hold(ALICE, 10, 25);
    assert_eq!(ledger.settle(ALICE, hold, 4, 0), ResultCode::Done);
    assert_eq!(ledger.cancel(ALICE, hold), ResultCode::Done);
    assert_eq!(ledger.purses(ALICE), (96, 0));
    assert_eq!(ledger.cancel(ALICE, hold), ResultCode::HoldCancelled, "another cancel of the same hold");
    assert_eq!(ledger.settle(ALICE, hold, 6, 25), ResultCode::HoldCancelled, "a win of a cancelled bet");
    assert_eq!(ledger.purses(ALICE), (96, 0));
    assert_eq!(ledger.provider(PLAY), 4);
    ledger.balances_to_zero();
}

#[test]
fn nobody_settles_or_cancels_the_hold_of_another_player_or_asset() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let usd = ledger.open_asset("USD");
    let hold = ledger.open_hold(ALICE, 10, 25);
    assert_eq!(ledger.settle(BOB, hold, 10, 25), ResultCode::HoldDiffers);
    assert_eq!(ledger.cancel(BOB, hold), ResultCode::HoldDiffers);
    let other = Operation::Cancel { player: ALICE, asset: usd, hold };
    assert_eq!(ledger.ask(&other), ResultCode::HoldDiffers);
    assert_eq!(ledger.purses(ALICE), (90, 10));
    assert_eq!(ledger.purses(BOB), (0, 0));
}

#[test]
fn a_settle_of_no_hold_at_all_is_refused() {
    let mut ledger = Ledger::open();
    let nothing = ledger.new_id();
    assert_eq!(ledger.settle(ALICE, nothing, 1, 1), ResultCode::HoldUnknown);
    assert_eq!(ledger.state.ending(nothing), None, "it leaves no tombstone");
}

#[test]
fn a_cancel_before_its_bet_leaves_a_tombstone_and_the_late_bet_never_debits() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let bet = ledger.reserve(ALICE, 10, 25);
    let id = ledger.new_id();
    assert_eq!(ledger.cancel(ALICE, id), ResultCode::Tombstoned);
    assert_eq!(ledger.state.ending(id), Some(Ending::Tombstone));
    assert_eq!(ledger.ask_under(id, &bet), ResultCode::CancelledBefore);
    assert_eq!(ledger.ask_under(id, &bet), ResultCode::CancelledBefore, "and stays so");
    assert_eq!(ledger.cancel(ALICE, id), ResultCode::HoldCancelled, "another cancel");
    assert_eq!(ledger.settle(ALICE, id, 10, 25), ResultCode::HoldCancelled, "a win of it");
    assert_eq!(ledger.purses(ALICE), (100, 0));
}

/// The bet's caller has a clock that is a little ahead, so that the ids around the tombstone are older than the
/// bet's own. (The horizon once counted request ids only, and such a bet was debited after all.)
#[test]
fn a_late_bet_never_debits_even_when_its_tombstone_is_forgotten() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 16, ids_retention_millis: 0, ..SETTINGS });
    ledger.deposit(ALICE, 100);
    let bet = ledger.reserve(ALICE, 10, 25);
    let id = RequestId::from_time(ledger.now.plus_millis(4_000), 0);
    assert_eq!(ledger.cancel(ALICE, id), ResultCode::Tombstoned);
    while ledger.state.ending(id).is_some() {
        ledger.pass_millis(1);
        let nothing = ledger.transfer(BOB, ALICE, 1);
        assert_eq!(ledger.ask(&nothing), ResultCode::InsufficientFunds);
    }
    assert_eq!(ledger.ask_under(id, &bet), ResultCode::IdTooOld);
    assert_eq!(ledger.purses(ALICE), (100, 0));
}

/// Otherwise one cancel with a wild target would carry the horizon away, and every bet after it were too old.
#[test]
fn a_cancel_of_a_bet_from_the_future_is_not_taken() {
    let mut ledger = Ledger::open();
    let wild = RequestId(u128::MAX);
    assert_eq!(ledger.cancel(ALICE, wild), ResultCode::IdFromFuture);
    assert_eq!(ledger.state.ending(wild), None);
    let ahead = RequestId::from_time(ledger.now.plus_millis(5_000), 0);
    assert_eq!(ledger.cancel(ALICE, ahead), ResultCode::Tombstoned);
}

#[test]
fn a_settle_after_the_deadline_is_refused_whether_or_not_the_expiry_is_written() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let deadline = ledger.now.plus_millis(50);
    let hold = ledger.open_hold_until(ALICE, 10, 25, Expiry::Release(deadline));
    ledger.now = Timestamp(deadline.0 - 1);
    assert_eq!(ledger.expire(ALICE, hold), ResultCode::HoldNotDue);
    assert_eq!(ledger.settle(ALICE, hold, 1, 0), ResultCode::Done, "in the last nanosecond");
    ledger.now = deadline;
    assert_eq!(ledger.settle(ALICE, hold, 9, 25), ResultCode::HoldExpired);
    assert_eq!(ledger.cancel(ALICE, hold), ResultCode::HoldExpired);
    assert_eq!(ledger.purses(ALICE), (90, 9), "the stake is held until the expiry is written");
    assert_eq!(ledger.expire(ALICE, hold), ResultCode::Done);
    assert_eq!(ledger.purses(ALICE), (99, 0));
    assert_eq!(ledger.settle(ALICE, hold, 9, 25), ResultCode::HoldExpired);
    assert_eq!(ledger.expire(ALICE, hold), ResultCode::HoldExpired);
    assert_eq!(ledger.purses(ALICE), (99, 0));
    ledger.balances_to_zero();
}

#[test]
fn a_bet_whose_deadline_is_not_ahead_is_refused() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let now = ledger.now;
    for (deadline, code) in [
        (Timestamp(now.0 - 1), ResultCode::DeadlinePassed),
        (now, ResultCode::DeadlinePassed),
        (Timestamp(now.0 + 1), ResultCode::Done),
    ] {
        let bet = reserve_until(ALICE, 1, 2, Expiry::Release(deadline));
        assert_eq!(ledger.ask(&bet), code);
    }
}

#[test]
fn holds_expire_in_the_order_of_deadline_and_id() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 1_000);
    let mut random = StdRng::seed_from_u64(3);
    let begin = ledger.now;
    let mut expected = Vec::new();
    for _ in 0..200 {
        let deadline = begin.plus_millis(random.random_range(100..110));
        let id = RequestId::from_time(begin, random.random_range(0..1 << 60));
        let bet = reserve_until(ALICE, 1, 1, Expiry::Release(deadline));
        assert_eq!(ledger.ask_under(id, &bet), ResultCode::Done);
        expected.push((deadline, id));
    }
    // Holds that were ended in another way leave no expiry behind, and those without a deadline never fall due.
    let (_, settled) = expected.swap_remove(7);
    assert_eq!(ledger.settle(ALICE, settled, 1, 0), ResultCode::Done);
    let endless = ledger.open_hold(ALICE, 1, 1);
    expected.sort_unstable();
    assert_eq!(ledger.state.next_due(), Some(expected[0].0));
    let mut found = Vec::new();
    for millis in 95..115 {
        ledger.now = begin.plus_millis(millis);
        while let Some(due) = ledger.state.due(ledger.now) {
            let Operation::Expire { hold: id, .. } = due else { panic!("{due:?}") };
            let deadline = ledger.state.hold(id).and_then(|hold| hold.deadline).expect("a deadline");
            assert!(deadline <= ledger.now);
            found.push((deadline, id));
            assert_eq!(ledger.expire(ALICE, id), ResultCode::Done);
        }
    }
    assert_eq!(found, expected);
    ledger.pass_millis(1_000_000_000);
    assert_eq!(ledger.state.due(ledger.now), None);
    assert!(ledger.state.hold(endless).is_some(), "a bet that was sent to somebody is held until he answers");
}

#[test]
fn a_full_id_table_takes_no_new_bets_but_lets_every_open_hold_be_ended() {
    for way in 0..3 {
        let mut ledger = Ledger::with(Settings { ids_capacity: 64, ..SETTINGS });
        ledger.deposit(ALICE, 100);
        let deadline = ledger.now.plus_millis(1_000);
        let bet =
            reserve_until(ALICE, 2, 3, if way == 2 { Expiry::Release(deadline) } else { Expiry::Never });
        let mut holds = Vec::new();
        let refused = loop {
            let id = ledger.new_id();
            match ledger.ask_under(id, &bet) {
                ResultCode::Done => holds.push(id),
                code => break code,
            }
        };
        assert_eq!(refused, ResultCode::IdTableFull);
        assert!(holds.len() > 15, "{} holds", holds.len());
        // What little is left may go to other requests and to refusals, and then nothing new is taken.
        let other = ledger.transfer(ALICE, BOB, 1);
        while ledger.ask(&other) != ResultCode::IdTableFull {}
        while ledger.cancel(BOB, holds[0]) != ResultCode::IdTableFull {}
        let purses = ledger.purses(ALICE);
        for _ in 0..100 {
            assert_eq!(ledger.ask(&bet), ResultCode::IdTableFull);
            assert_eq!(ledger.ask(&other), ResultCode::IdTableFull);
            // Nor may what fails to end a hold take the place of what ends one.
            assert_eq!(ledger.settle(ALICE, holds[0], 2, 4), ResultCode::IdTableFull);
            assert_eq!(ledger.cancel(BOB, holds[0]), ResultCode::IdTableFull);
        }
        assert_eq!(ledger.purses(ALICE), purses);
        ledger.deposit(ALICE, 1);
        for hold in &holds {
            let ended = match way {
                0 => ledger.settle(ALICE, *hold, 2, 3),
                1 => ledger.cancel(ALICE, *hold),
                _ => {
                    ledger.now = deadline;
                    ledger.expire(ALICE, *hold)
                }
            };
            assert_eq!(ended, ResultCode::Done);
        }
        assert_eq!(ledger.state.hold_count(), 0);
        assert_eq!(ledger.purses(ALICE).1, 0);
        assert_eq!(ledger.state.id_horizon(), Timestamp(0), "no young id was forgotten");
        ledger.balances_to_zero();
    }
}

/// A settle is let in at any age, because no player may go unpaid; but one that took a part and was then forgotten
/// must not take the next part too.
#[test]
fn a_settle_in_part_is_executed_once_even_when_its_id_is_forgotten() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 16, ids_retention_millis: 0, ..SETTINGS });
    ledger.deposit(ALICE, 100);
    let hold = ledger.open_hold(ALICE, 10, 40);
    let part = Operation::Settle { player: ALICE, asset: ETH, hold, stake: Amount(5), payout: Amount(20) };
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &part), ResultCode::Done);
    let purses = ledger.purses(ALICE);
    for _ in 0..16 {
        ledger.pass_millis(1);
        let nothing = ledger.transfer(BOB, ALICE, 1);
        assert_eq!(ledger.ask(&nothing), ResultCode::InsufficientFunds);
    }
    assert_eq!(ledger.ask_under(id, &part), ResultCode::IdTooOld);
    assert_eq!(ledger.purses(ALICE), purses);
    assert_eq!(ledger.ask(&part), ResultCode::Done, "another part under an id of its own");
}

/// What is kept for the ends of open holds is kept under other settings, too.
#[test]
fn settings_that_leave_no_room_for_the_ends_of_open_holds_are_refused() {
    let full = || {
        let mut ledger = Ledger::with(Settings { ids_capacity: 64, ids_retention_millis: 0, ..SETTINGS });
        ledger.deposit(ALICE, 100);
        let hold = ledger.open_hold(ALICE, 10, 40);
        for _ in 0..64 {
            ledger.pass_millis(1);
            let nothing = ledger.transfer(BOB, ALICE, 1);
            assert_eq!(ledger.ask(&nothing), ResultCode::InsufficientFunds);
        }
        (ledger, hold)
    };
    let longer = Settings { ids_capacity: 64, ..SETTINGS };
    let (mut ledger, hold) = full();
    assert_eq!(ledger.configure(longer), ResultCode::SettingsUnfit);
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
    let (mut ledger, hold) = full();
    let longer_and_larger = Settings { ids_capacity: 66, ..longer };
    assert_eq!(ledger.configure(longer_and_larger), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
}

#[test]
fn the_provider_that_a_hold_was_opened_for_takes_the_stake_and_pays() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let other = GameId::new(9, 1);
    let bet = changed(reserve_until(ALICE, 10, 30, Expiry::Never), |bet| bet.game = other);
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &bet), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, id, 10, 30), ResultCode::Done);
    assert_eq!((ledger.provider(other), ledger.provider(PLAY)), (-20, 0));
}
