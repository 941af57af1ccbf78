//! The hard cases of the trade, one test each, named as the sentence that must hold.

#[path = "laws/applying.rs"]
mod applying;
#[path = "laws/books.rs"]
mod books;
#[path = "laws/bytes.rs"]
mod bytes;
#[path = "laws/holds.rs"]
mod holds;
#[path = "laws/images.rs"]
mod images;
mod ledger;
#[path = "laws/numbers.rs"]
mod numbers;
#[path = "laws/recount.rs"]
mod recount;
#[path = "laws/replays.rs"]
mod replays;
#[path = "laws/roles.rs"]
mod roles;

use std::collections::VecDeque;

use cage_engine::{
    Amount, AssetCode, AssetId, Balance, CallerId, Operation, Outcome, PlayerClass, PlayerId, RequestId,
    ResultCode, SessionId, Settings, Timestamp,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use ledger::ask::{changed, deposit};
use ledger::{ALICE, BOB, ETH, Ledger, SETTINGS};

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
    let credit = deposit(ALICE, 5);
    // The key is a digest: what stands where another id has its time means nothing.
    let key = RequestId(u128::MAX);
    assert_eq!(ledger.ask_under(key, &credit), ResultCode::Done);
    for _ in 0..100 {
        let nothing = ledger.transfer(BOB, ALICE, 1);
        assert_eq!(ledger.ask(&nothing), ResultCode::InsufficientFunds);
        ledger.pass_millis(86_400_000);
        assert_eq!(ledger.ask_under(key, &credit), ResultCode::Done);
    }
    let other = deposit(BOB, 5);
    assert_eq!(ledger.ask_under(key, &other), ResultCode::IdConflict);
    assert_eq!((ledger.purses(ALICE), ledger.purses(BOB)), ((5, 0), (0, 0)));
}

#[test]
fn a_refused_deposit_can_be_credited_later() {
    let mut ledger = Ledger::open();
    let carol = PlayerId::from_index(2);
    let credit = deposit(carol, 5);
    let key = RequestId(0xfac7);
    assert_eq!(ledger.ask_under(key, &credit), ResultCode::PlayerUnknown);
    ledger.open_player(3);
    assert_eq!(ledger.ask_under(key, &credit), ResultCode::Done);
    assert_eq!(ledger.ask_under(key, &credit), ResultCode::Done);
    assert_eq!(ledger.purses(carol), (5, 0));
}

/// The memory of ids is timed by blocks, and begun anew when the settings change: neither may make an id look
/// older than it is. (It once did: an id was timed by the beginning of its block when the capacity changed.)
#[test]
fn no_id_younger_than_the_retention_is_forgotten_however_often_the_capacity_changes() {
    const RETENTION_MILLIS: u64 = 1_000;
    let (mut taken, mut full, mut changes) = (0, 0, 0);
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
                let configured = ledger.configure(settings(random.random_range(500..10_000)));
                changes += u32::from(configured == ResultCode::Done);
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
    println!("{taken} taken, {full} found the table full, {changes} changes of the capacity");
    assert!(taken > 50_000 && full > 5_000 && changes > 50, "the table is full now and then, and changes");
}

// ---- money

/// A player's balance fits by itself, and so does each of the house's; what all players hold is a sum of many.
/// (It once overflowed where a decided record was applied, which no record may.)
#[test]
fn the_players_of_an_asset_never_hold_more_together_than_can_be_counted() {
    let mut ledger = Ledger::open();
    let huge = ledger.open_asset_of("HUGE", 18, Amount::MAX);
    let mut codes = Vec::new();
    for (number, player) in [ALICE, ALICE, ALICE, BOB, BOB].into_iter().enumerate() {
        let huge = changed(deposit(player, 0), |deposit| {
            (deposit.asset, deposit.amount, deposit.game.0) = (huge, Amount::MAX, number as u32);
        });
        codes.push(ledger.ask_under(RequestId(number as u128 + 1), &huge));
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
    let player = |class| Operation::OpenPlayer { caller_id: CallerId(2), brand: 0, jurisdiction: 0, class };
    assert_eq!(ledger.ask(&player(PlayerClass::Real)), ResultCode::Existing);
    assert_eq!(ledger.latest().request.player, BOB);
    assert_eq!(ledger.ask(&player(PlayerClass::Test)), ResultCode::PlayerDiffers);
    assert_eq!(ledger.state.player_count(), 2);
}
