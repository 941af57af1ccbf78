//! The hard cases of the trade, one test each, named as the sentence that must hold.

#[path = "laws/bytes.rs"]
mod bytes;
mod ledger;

use std::collections::VecDeque;

use cage_engine::state::Ending;
use cage_engine::{
    AccountId, Admitted, Amount, ApplyFault, AssetCode, AssetId, Balance, CallerId, Decision, Expiry, GameId,
    Lsn, Operation, Outcome, PlayerClass, PlayerId, Purse, Record, RequestId, ResultCode, Role, SessionId,
    Settings, State, Timestamp, decide,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use ledger::{ALICE, BOB, ETH, Ledger, PLAY, SETTINGS, START};

// ---- requests and their ids

#[test]
fn a_refused_bet_stays_refused_under_its_id_even_after_a_deposit() {
    let mut ledger = Ledger::open();
    let bet = ledger.reserve(ALICE, 50, 100);
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &bet), ResultCode::InsufficientFunds);
    ledger.deposit(ALICE, 1_000);
    assert_eq!(ledger.ask_under(id, &bet), ResultCode::InsufficientFunds);
    assert_eq!(ledger.purses(ALICE), (1_000, 0));
    assert_eq!(ledger.ask(&bet), ResultCode::Done, "the same bet under another id is another bet");
    assert_eq!(ledger.purses(ALICE), (950, 50));
}

#[test]
fn a_repeated_request_is_answered_by_its_record_and_moves_nothing() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let transfer = ledger.transfer(ALICE, BOB, 30);
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &transfer), ResultCode::Done);
    let records = ledger.records.len();
    for _ in 0..3 {
        ledger.pass_millis(1_000);
        assert_eq!(ledger.ask_under(id, &transfer), ResultCode::Done);
    }
    assert_eq!(ledger.records.len(), records, "an answer that is known is no new record");
    assert_eq!((ledger.purses(ALICE), ledger.purses(BOB)), ((70, 0), (30, 0)));
}

#[test]
fn an_id_that_was_used_for_another_request_is_a_conflict() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let id = ledger.new_id();
    let transfer = ledger.transfer(ALICE, BOB, 30);
    assert_eq!(ledger.ask_under(id, &transfer), ResultCode::Done);
    for other in [ledger.transfer(ALICE, BOB, 31), ledger.transfer(BOB, ALICE, 30), ledger.reserve(BOB, 1, 2)]
    {
        assert_eq!(ledger.ask_under(id, &other), ResultCode::IdConflict);
    }
    assert_eq!((ledger.purses(ALICE), ledger.purses(BOB)), ((70, 0), (30, 0)));
}

#[test]
fn an_id_from_past_the_horizon_is_never_executed() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 16, ids_retention_millis: 0, ..SETTINGS });
    ledger.deposit(ALICE, 100);
    let transfer = ledger.transfer(ALICE, BOB, 1);
    let old = ledger.new_id();
    let never_used = ledger.new_id();
    assert_eq!(ledger.ask_under(old, &transfer), ResultCode::Done);
    for _ in 0..16 {
        ledger.pass_millis(1);
        assert_eq!(ledger.ask(&transfer), ResultCode::Done);
    }
    let purses = ledger.purses(ALICE);
    assert!(ledger.state.id_horizon() >= old.time());
    assert_eq!(ledger.ask_under(old, &transfer), ResultCode::IdTooOld, "it was executed once");
    assert_eq!(ledger.ask_under(never_used, &transfer), ResultCode::IdTooOld, "it might have been");
    let at_the_horizon = RequestId::from_time(ledger.state.id_horizon(), u128::MAX);
    assert_eq!(ledger.ask_under(at_the_horizon, &transfer), ResultCode::IdTooOld);
    assert_eq!(ledger.purses(ALICE), purses);
    let after = RequestId::from_time(ledger.state.id_horizon().plus_millis(1), 0);
    assert_eq!(ledger.ask_under(after, &transfer), ResultCode::Done);
}

#[test]
fn an_id_from_the_future_is_not_taken_and_may_be_retried() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let transfer = ledger.transfer(ALICE, BOB, 1);
    let ahead = RequestId::from_time(ledger.now.plus_millis(5_001), 0);
    assert_eq!(ledger.ask_under(ahead, &transfer), ResultCode::IdFromFuture);
    assert_eq!(ResultCode::IdFromFuture.outcome(), Outcome::NotTaken);
    ledger.pass_millis(1);
    assert_eq!(ledger.ask_under(ahead, &transfer), ResultCode::Done);
}

#[test]
fn a_deposit_is_credited_once_for_ever() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 16, ids_retention_millis: 0, ..SETTINGS });
    let deposit = Operation::DepositCredit { player: ALICE, asset: ETH, amount: Amount(5), chain: 1 };
    // The key is a digest: what stands where another id has its time means nothing.
    let key = RequestId(u128::MAX);
    assert_eq!(ledger.ask_under(key, &deposit), ResultCode::Done);
    for _ in 0..100 {
        let nothing = ledger.transfer(BOB, ALICE, 1);
        assert_eq!(ledger.ask(&nothing), ResultCode::InsufficientFunds);
        ledger.pass_millis(86_400_000);
        assert_eq!(ledger.ask_under(key, &deposit), ResultCode::Done);
    }
    let other = Operation::DepositCredit { player: BOB, asset: ETH, amount: Amount(5), chain: 1 };
    assert_eq!(ledger.ask_under(key, &other), ResultCode::IdConflict);
    assert_eq!((ledger.purses(ALICE), ledger.purses(BOB)), ((5, 0), (0, 0)));
}

#[test]
fn a_refused_deposit_can_be_credited_later() {
    let mut ledger = Ledger::open();
    let carol = PlayerId::from_index(2);
    let deposit = Operation::DepositCredit { player: carol, asset: ETH, amount: Amount(5), chain: 1 };
    let key = RequestId(0xfac7);
    assert_eq!(ledger.ask_under(key, &deposit), ResultCode::PlayerUnknown);
    ledger.open_player(3);
    assert_eq!(ledger.ask_under(key, &deposit), ResultCode::Done);
    assert_eq!(ledger.ask_under(key, &deposit), ResultCode::Done);
    assert_eq!(ledger.purses(carol), (5, 0));
}

/// The memory of ids is timed by blocks, and begun anew when the settings change: neither may make an id look
/// older than it is. (It once did: an id was timed by the beginning of its block when the capacity changed.)
#[test]
fn no_id_younger_than_the_retention_is_forgotten_however_often_the_capacity_changes() {
    const RETENTION_MILLIS: u64 = 1_000;
    let (mut taken, mut full, mut changed) = (0, 0, 0);
    for seed in 0..32 {
        let mut random = StdRng::seed_from_u64(seed);
        let settings = |capacity| Settings {
            ids_capacity: capacity,
            ids_retention_millis: RETENTION_MILLIS,
            ..SETTINGS
        };
        let mut ledger = Ledger::with(settings(random.random_range(500..5_000_u64)));
        let transfer = ledger.transfer(ALICE, BOB, 1);
        let pace = random.random_range(100_000..700_000);
        let mut young = VecDeque::new();
        for step in 1..15_000 {
            // A table that is changed all the time only grows; the others are full for long.
            if seed % 2 == 0 && step % 500 == 0 {
                let configure = Operation::Configure(settings(random.random_range(500..10_000)));
                changed += u32::from(ledger.ask_under(RequestId::NONE, &configure) == ResultCode::Done);
            }
            // Bursts, so that a block of ids begins long before it ends.
            if random.random_ratio(1, 40) {
                ledger.now = Timestamp(ledger.now.0 + 40 * random.random_range(0..pace));
            }
            let id = ledger.new_id();
            match ledger.ask_under(id, &transfer) {
                ResultCode::IdTableFull => full += 1,
                code => {
                    assert_eq!(code, ResultCode::InsufficientFunds);
                    taken += 1;
                    young.push_back((ledger.now, id));
                }
            }
            let old = |written: Timestamp| written.plus_millis(RETENTION_MILLIS) <= ledger.now;
            while young.front().is_some_and(|(written, _)| old(*written)) {
                young.pop_front();
            }
            let Some((_, oldest)) = young.front().copied() else { continue };
            let records = ledger.records.len();
            assert_eq!(ledger.ask_under(oldest, &transfer), ResultCode::InsufficientFunds, "seed {seed}");
            assert_eq!(ledger.records.len(), records, "{oldest} was forgotten, seed {seed}");
        }
    }
    println!("{taken} taken, {full} found the table full, {changed} changes of the capacity");
    assert!(taken > 50_000 && full > 5_000 && changed > 50, "the table is full now and then, and changes");
}

// ---- holds

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
        let bet = Operation::Reserve {
            player: ALICE,
            asset: ETH,
            stake: Amount(1),
            payout_max: Amount(2),
            game: PLAY,
            session: SessionId(0),
            expiry: Expiry::Release(deadline),
        };
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
        let bet = Operation::Reserve {
            player: ALICE,
            asset: ETH,
            stake: Amount(1),
            payout_max: Amount(1),
            game: PLAY,
            session: SessionId(0),
            expiry: Expiry::Release(deadline),
        };
        assert_eq!(ledger.ask_under(id, &bet), ResultCode::Done);
        expected.push((deadline, id));
    }
    // Holds that were ended in another way leave no expiry behind, and those without a deadline never fall due.
    let (_, settled) = expected.swap_remove(7);
    assert_eq!(ledger.settle(ALICE, settled, 1, 0), ResultCode::Done);
    let endless = ledger.open_hold(ALICE, 1, 1);
    expected.sort_unstable();
    assert_eq!(ledger.state.next_deadline(), Some(expected[0].0));
    let mut found = Vec::new();
    for millis in 95..115 {
        ledger.now = begin.plus_millis(millis);
        while let Some(due) = ledger.state.due(ledger.now) {
            let (id, deadline) = (due.id, due.deadline.expect("what is due has a deadline"));
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
        let bet = Operation::Reserve {
            player: ALICE,
            asset: ETH,
            stake: Amount(2),
            payout_max: Amount(3),
            game: PLAY,
            session: SessionId(0),
            expiry: if way == 2 { Expiry::Release(deadline) } else { Expiry::Never },
        };
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
        // What little is left may go to other requests, and then nothing new is taken.
        let other = ledger.transfer(ALICE, BOB, 1);
        while ledger.ask(&other) != ResultCode::IdTableFull {}
        let purses = ledger.purses(ALICE);
        for _ in 0..100 {
            assert_eq!(ledger.ask(&bet), ResultCode::IdTableFull);
            assert_eq!(ledger.ask(&other), ResultCode::IdTableFull);
            // Nor may what fails to end a hold take the place of what ends one.
            assert_eq!(ledger.settle(ALICE, holds[0], 2, 4), ResultCode::IdTableFull);
            assert_eq!(ledger.settle(ALICE, holds[0], 1, 0), ResultCode::IdTableFull);
            assert_eq!(ledger.cancel(BOB, holds[0]), ResultCode::IdTableFull);
            let unknown = ledger.new_id();
            assert_eq!(ledger.cancel(ALICE, unknown), ResultCode::IdTableFull);
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
    assert_eq!(ledger.ask_under(RequestId::NONE, &Operation::Configure(longer)), ResultCode::SettingsUnfit);
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
    let (mut ledger, hold) = full();
    let longer_and_larger = Settings { ids_capacity: 66, ..longer };
    let configure = Operation::Configure(longer_and_larger);
    assert_eq!(ledger.ask_under(RequestId::NONE, &configure), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
}

#[test]
fn the_provider_that_a_hold_was_opened_for_takes_the_stake_and_pays() {
    let mut ledger = Ledger::open();
    ledger.deposit(ALICE, 100);
    let other = GameId::new(9, 1);
    let bet = Operation::Reserve {
        player: ALICE,
        asset: ETH,
        stake: Amount(10),
        payout_max: Amount(30),
        game: other,
        session: SessionId(0),
        expiry: Expiry::Never,
    };
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &bet), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, id, 10, 30), ResultCode::Done);
    assert_eq!((ledger.provider(other), ledger.provider(PLAY)), (-20, 0));
}

// ---- money

/// A player's balance fits by itself, and so does each of the house's; what all players hold is a sum of many.
/// (It once overflowed where a decided record was applied, which no record may.)
#[test]
fn the_players_of_an_asset_never_hold_more_together_than_can_be_counted() {
    let mut ledger = Ledger::open();
    let huge = ledger.open_asset_of("HUGE", Amount::MAX);
    let mut codes = Vec::new();
    for (number, player) in [ALICE, ALICE, ALICE, BOB, BOB].into_iter().enumerate() {
        let chain = number as u32;
        let deposit = Operation::DepositCredit { player, asset: huge, amount: Amount::MAX, chain };
        codes.push(ledger.ask_under(RequestId(number as u128 + 1), &deposit));
    }
    use ResultCode::{BalanceOverflow, Done};
    assert_eq!(codes, [Done, Done, Done, BalanceOverflow, BalanceOverflow]);
    let transfer =
        Operation::Transfer { from: ALICE, to: BOB, asset: huge, amount: Amount::MAX, session: SessionId(0) };
    assert_eq!(ledger.ask(&transfer), Done, "moving it among players adds nothing");
    assert_eq!(ledger.state.recomputed_sum(huge), Balance::ZERO);
}

#[test]
fn opening_again_names_what_is_open_and_refuses_other_facts() {
    let mut ledger = Ledger::open();
    let open = |code, scale| Operation::OpenAsset {
        code: AssetCode::new(code).expect("a code"),
        scale,
        transfers: true,
        amount_max: Amount(1_000_000),
    };
    assert_eq!(ledger.ask(&open("ETH", 18)), ResultCode::Existing);
    assert_eq!(ledger.latest().request.asset, ETH);
    assert_eq!(ledger.ask(&open("ETH", 17)), ResultCode::AssetDiffers);
    assert_eq!(ledger.latest().request.asset, AssetId::NONE);
    let player = |class| Operation::OpenPlayer { caller_id: CallerId(2), brand: 1, jurisdiction: 1, class };
    assert_eq!(ledger.ask(&player(PlayerClass::Real)), ResultCode::Existing);
    assert_eq!(ledger.latest().request.player, BOB);
    assert_eq!(ledger.ask(&player(PlayerClass::Test)), ResultCode::PlayerDiffers);
    assert_eq!(ledger.state.player_count(), 2);
}

// ---- applying

#[test]
fn a_record_that_is_not_the_next_one_is_not_applied() {
    let ledger = Ledger::of_every_kind();
    let mut state = State::new(5);
    for (place, record) in ledger.records.iter().enumerate() {
        let next = Lsn(place as u64 + 1);
        for wrong in [Lsn::NONE, Lsn(next.0 - 1), Lsn(next.0 + 1), Lsn(u64::MAX)] {
            assert_eq!(state.apply(wrong, record), Err(ApplyFault::OutOfOrder { expected: next }));
        }
        state.apply(next, record).expect("the next record");
    }
    assert_eq!(state.digest(), ledger.state.digest(), "what was not applied changed nothing");
}

#[test]
fn a_record_from_before_the_one_in_front_of_it_is_not_applied() {
    let ledger = Ledger::of_every_kind();
    let mut state = State::new(5);
    for (place, record) in ledger.records.iter().enumerate() {
        let next = Lsn(place as u64 + 1);
        if state.clock().0 > 0 {
            let mut early = *record;
            early.decided = Timestamp(state.clock().0 - 1);
            assert_eq!(state.apply(next, &early), Err(ApplyFault::TimeFell));
        }
        state.apply(next, record).expect("the next record");
    }
    assert_eq!(state.digest(), ledger.state.digest(), "what was not applied changed nothing");
}

/// Every balance and amount of every leg, one off in either direction.
#[test]
fn a_record_whose_balances_do_not_add_up_is_not_applied() {
    const LEGS_AT: usize = 128;
    const LEG_BYTES: usize = 64;
    let ledger = Ledger::of_every_kind();
    let mut tried = 0;
    for (place, record) in ledger.records.iter().enumerate() {
        for leg in 0..record.legs().len() {
            // The amount, then the balance of the debit, then that of the credit.
            for field in [16, 32, 48] {
                for change in [-1_i128, 1] {
                    let at = LEGS_AT + leg * LEG_BYTES + field;
                    let mut bytes = record.to_bytes();
                    let value = i128::from_le_bytes(bytes[at..at + 16].try_into().expect("16 bytes"));
                    bytes[at..at + 16].copy_from_slice(&(value + change).to_le_bytes());
                    let wrong = Record::from_bytes(&bytes).expect("a well-formed record");
                    let mut state = replayed(&ledger.records[..place]);
                    let fault = state.apply(Lsn(place as u64 + 1), &wrong).expect_err("a wrong balance");
                    let none = ApplyFault::Missing("a sum");
                    assert!(matches!(fault, ApplyFault::BalanceDiffers { .. }) || fault == none, "{fault}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 40, "{tried}");
}

#[test]
fn a_record_that_names_what_is_not_there_is_not_applied() {
    let ledger = Ledger::of_every_kind();
    // Without the records in front of it, each but the first few lacks its player, asset, hold or settings.
    let settings = &ledger.records[..1];
    for record in &ledger.records[1..] {
        let mut state = replayed(settings);
        let moves = !record.legs().is_empty();
        let mut later = *record;
        later.decided = later.decided.max(state.clock());
        let applied = state.apply(Lsn(2), &later);
        assert!(!moves || applied.is_err(), "{later:?}");
    }
    let mut state = State::new(0);
    let open_asset = &ledger.records[1];
    assert_eq!(state.apply(Lsn(1), open_asset), Err(ApplyFault::Missing("the settings")));
}

fn replayed(records: &[Record]) -> State {
    let mut state = State::new(5);
    for (place, record) in records.iter().enumerate() {
        state.apply(Lsn(place as u64 + 1), record).expect("a record of the log");
    }
    state
}

/// Each record of a player names the one before it, so that a statement needs no index.
#[test]
fn every_players_records_can_be_followed_backwards() {
    let ledger = Ledger::of_every_kind();
    for player in [ALICE, BOB] {
        let mut found = Vec::new();
        let mut at = ledger.state.latest(player);
        while at != Lsn::NONE {
            found.push(at);
            let record = ledger.records[at.0 as usize - 1];
            at = if record.request.player == player {
                record.previous
            } else {
                record.counterparty_previous()
            };
        }
        let named = |record: &Record| {
            let request = &record.request;
            let receives = request.kind.spec().counterparty && request.counterparty() == player;
            request.player == player || receives
        };
        let places = (1..).map(Lsn).zip(&ledger.records).filter(|(_, record)| named(record));
        let mut expected: Vec<_> = places.map(|(lsn, _)| lsn).collect();
        expected.reverse();
        assert_eq!(found, expected, "{player}");
    }
}

/// The seed of the hash tables is each process's own secret; nothing that can be seen depends on it.
#[test]
fn the_seed_of_the_hash_tables_cannot_be_seen() {
    let ledger = Ledger::of_every_kind();
    for seed in [0, 1, u64::MAX, 0x5eed] {
        let mut state = State::new(seed);
        for (place, record) in ledger.records.iter().enumerate() {
            let admitted = Admitted {
                request: record.asked(),
                role: record.role,
                actor: record.actor,
                received: Timestamp(record.decided.0 - u64::from(record.received_age_micros) * 1_000),
            };
            assert_eq!(decide(&state, record.decided, &admitted), Decision::Record(*record));
            state.apply(Lsn(place as u64 + 1), record).expect("a record of the log");
        }
        assert_eq!(state.digest(), ledger.state.digest());
    }
}

#[test]
fn digests_of_different_books_differ() {
    let ledger = Ledger::of_every_kind();
    let mut digests = std::collections::BTreeSet::new();
    for length in 0..=ledger.records.len() {
        assert!(digests.insert(replayed(&ledger.records[..length]).digest()), "after {length} records");
    }
    let other = |amount| {
        let mut ledger = Ledger::open();
        ledger.deposit(ALICE, amount);
        ledger.state.digest()
    };
    assert_ne!(other(1), other(2));
    assert_eq!(other(1), other(1));
}

#[test]
fn before_the_first_settings_nothing_is_taken() {
    let mut ledger = Ledger::empty();
    for operation in [ledger.transfer(ALICE, BOB, 1), ledger.reserve(ALICE, 1, 2)] {
        assert_eq!(ledger.ask(&operation), ResultCode::NotConfigured);
    }
    let deposit = Operation::DepositCredit { player: ALICE, asset: ETH, amount: Amount(1), chain: 0 };
    assert_eq!(ledger.ask(&deposit), ResultCode::NotConfigured);
    assert_eq!(ledger.records.len(), 0);
    assert_eq!(ledger.ask_under(RequestId::NONE, &Operation::Configure(SETTINGS)), ResultCode::Done);
    assert_eq!(ledger.state.settings(), Some(SETTINGS));
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 32, ids_retention_millis: 0, ..SETTINGS });
    for settings in [
        Settings { ids_capacity: 15, ..SETTINGS },
        Settings { ids_capacity: (1 << 30) + 1, ..SETTINGS },
        Settings { holds_max: (1 << 27) + 1, ..SETTINGS },
        Settings { players_max: PlayerId::COUNT_MAX + 1, ..SETTINGS },
    ] {
        let code = ledger.ask_under(RequestId::NONE, &Operation::Configure(settings));
        assert_eq!(code, ResultCode::SettingsUnfit, "{settings:?}");
    }
    for _ in 0..32 {
        let nothing = ledger.transfer(ALICE, BOB, 1);
        ledger.ask(&nothing);
    }
    let smaller = Settings { ids_capacity: 31, ..SETTINGS };
    let code = ledger.ask_under(RequestId::NONE, &Operation::Configure(smaller));
    assert_eq!(code, ResultCode::SettingsUnfit, "more is remembered than would fit");
}

#[test]
fn an_account_is_its_asset_purse_and_owner() {
    let account = AccountId::of_player(AssetId(0xabcd), Purse::Reserved, ALICE);
    assert_eq!(account.0, 0xabcd << 48 | 3 << 40 | ALICE.number());
    assert_eq!((account.asset(), account.purse(), account.player()), {
        (AssetId(0xabcd), Some(Purse::Reserved), Some(ALICE))
    });
    let house = AccountId::of_house(ETH, Purse::DepositClearing, 7);
    assert_eq!((house.owner(), house.player()), (7, None));
    assert_eq!(START.millis(), 1_750_000_000_000);
    assert!(Role::CALLERS.into_iter().all(|role| Role::from_name(role.name()) == Some(role)));
}
