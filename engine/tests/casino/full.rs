//! Full tables: what is new is not taken, with the table's own code; what ends something always finds room.

use cage_engine::state::Ending;
use cage_engine::{Operation, Reference, ResultCode, Settings, Timestamp};

use crate::ledger::ask::{
    bet, bet_win, end_round, give_up, last_win, reserve_in, rollback, void_round, win, withdraw,
};
use crate::ledger::{ALICE, BOB, ETH, Ledger, SETTINGS};

const BET: u128 = 0xbe7 << 8;
const WIN: u128 = 0x817 << 8;
const UNDO: u128 = 0x2bc << 8;

#[test]
fn a_full_table_of_wagers_takes_no_more_of_them_and_ends_all_that_are_open() {
    let mut ledger = Ledger::with(Settings { holds_max: 6, ..SETTINGS }).watched();
    ledger.deposit(ALICE, 1_000);
    // Two holds, two bets, and a round for each bet.
    let holds = [ledger.open_hold(ALICE, 10, 40), ledger.open_hold(ALICE, 10, 40)];
    for number in 0..2 {
        assert_eq!(ledger.ask(&bet(ALICE, 10, BET + number, 1 + number)), ResultCode::Done);
    }
    let records = ledger.records.len();
    for wager in [
        ledger.reserve(ALICE, 10, 40),
        reserve_in(ALICE, 10, 40, 1),
        bet(ALICE, 10, BET + 7, 1),
        bet_win(ALICE, 10, 90, BET + 8, 1),
    ] {
        assert_eq!(ledger.ask(&wager), ResultCode::HoldTableFull, "{wager:?}");
    }
    assert_eq!(ledger.records.len(), records, "and leaves no trace");
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, 1)), ResultCode::Done, "a repeat is answered all the same");
    for number in 0..20 {
        assert_eq!(ledger.ask_key(WIN + number, &win(ALICE, 1, BET)), ResultCode::Done, "win {number}");
    }
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, WIN)), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO + 1, &rollback(ALICE, BET + 9)), ResultCode::Tombstoned);
    assert_eq!(ledger.settle(ALICE, holds[0], 10, 40), ResultCode::Done);
    assert_eq!(ledger.cancel(ALICE, holds[1]), ResultCode::Done);
    assert_eq!(ledger.ask_key(UNDO + 2, &rollback(ALICE, BET + 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&end_round(ALICE, 2)), ResultCode::Done);
    assert_eq!(ledger.ask(&void_round(ALICE, 1, None)), ResultCode::Done);
    assert_eq!(ledger.state.hold_count() + ledger.state.wagers().count() + ledger.state.rounds().count(), 0);
    assert_eq!(ledger.purses(ALICE), (1_030, 0));
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET + 7, 7)), ResultCode::Done, "there is room again");
}

#[test]
fn a_full_memory_of_ids_takes_nothing_new_and_every_win_settle_cancel_and_rollback() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 128, ..SETTINGS }).watched();
    ledger.deposit(ALICE, 10_000);
    let mut holds = Vec::new();
    let mut bets = 0;
    let full = loop {
        let id = ledger.new_id();
        match ledger.ask_under(id, &ledger.reserve(ALICE, 1, 4)) {
            ResultCode::Done => holds.push(id),
            code => break code,
        }
        match ledger.ask(&bet(ALICE, 1, BET + bets, 1 + bets)) {
            ResultCode::Done => bets += 1,
            code => break code,
        }
    };
    assert_eq!(full, ResultCode::IdTableFull);
    // Refusals fill up what is left, but nothing that is kept for the ends of what is open.
    let mut refusals = 0;
    while ledger.cancel(BOB, holds[0]) != ResultCode::IdTableFull {
        refusals += 1;
    }
    assert!(refusals >= 128 / 16, "a sixteenth is kept free of new wagers: {refusals}");
    assert!(holds.len() > 10 && bets > 10, "{} holds, {bets} bets", holds.len());
    let nothing_new = |ledger: &mut Ledger| {
        for new in [
            ledger.reserve(ALICE, 1, 4),
            bet(ALICE, 1, BET + 200, 200),
            bet_win(ALICE, 1, 9, BET + 201, 201),
            ledger.transfer(ALICE, BOB, 1),
            withdraw(ALICE, 1),
        ] {
            assert_eq!(ledger.ask(&new), ResultCode::IdTableFull, "{new:?}");
        }
    };
    nothing_new(&mut ledger);
    for number in 0..bets {
        let won = ledger.ask_key(WIN + number, &last_win(ALICE, 5, BET + number));
        assert_eq!(won, ResultCode::Done, "win {number}");
    }
    for (number, hold) in holds.iter().enumerate() {
        let ended =
            if number % 2 == 0 { ledger.settle(ALICE, *hold, 1, 4) } else { ledger.cancel(ALICE, *hold) };
        assert_eq!(ended, ResultCode::Done, "hold {number}");
    }
    // Wins are remembered even where that makes the ledger forget the oldest; ids must be younger than those.
    ledger.pass_millis(1);
    nothing_new(&mut ledger);
    assert_eq!(ledger.ask_key(UNDO, &rollback(ALICE, BET + 300)), ResultCode::Tombstoned);
    assert_eq!(ledger.state.wager_ending(Reference(BET + 300)), Some(Ending::Tombstone));
    assert_eq!(ledger.state.hold_count(), 0);
    let stakes = bets as i128 + holds.len() as i128;
    let won = 5 * bets as i128 + 4 * holds.len().div_ceil(2) as i128 + (holds.len() / 2) as i128;
    assert_eq!(ledger.purses(ALICE), (10_000 - stakes + won, 0));
    // With time the oldest are forgotten, and there is room.
    ledger.pass_millis(SETTINGS.ids_retention_millis);
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET + 200, 200)), ResultCode::Done);
}

/// Everything that waits for an end has its room, whatever else is asked for.
#[test]
fn an_end_of_anything_open_is_remembered_even_when_the_memory_is_full() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 64, ..SETTINGS }).watched();
    ledger.deposit(ALICE, 10_000);
    let mut withdrawals = Vec::new();
    loop {
        let id = ledger.new_id();
        match ledger.ask_under(id, &withdraw(ALICE, 1)) {
            ResultCode::Done => withdrawals.push(id),
            code => break assert_eq!(code, ResultCode::IdTableFull),
        }
    }
    while ledger.ask(&give_up(BOB, withdrawals[0])) != ResultCode::IdTableFull {}
    let memory = ledger.state.id_count();
    assert!(memory as usize + withdrawals.len() <= 64, "{memory} and {} to come", withdrawals.len());
    for id in &withdrawals {
        let end = ledger.ask(&give_up(ALICE, *id));
        assert_eq!(end, ResultCode::Done);
    }
    assert_eq!(ledger.available(ALICE), 10_000);
    assert_eq!(ledger.state.withdrawals().count(), 0);
}

#[test]
fn full_tables_of_players_and_sessions_say_which_is_full() {
    let mut ledger = Ledger::with(Settings { players_max: 3, ..SETTINGS }).watched();
    ledger.open_player(3);
    let open = |caller_id| Operation::OpenPlayer {
        caller_id: cage_engine::CallerId(caller_id),
        brand: 0,
        jurisdiction: 0,
        class: cage_engine::PlayerClass::Real,
    };
    assert_eq!(ledger.ask(&open(4)), ResultCode::PlayerTableFull);
    assert_eq!(ledger.ask(&open(3)), ResultCode::Existing);
    ledger.set_rule(cage_engine::Rule::SessionsMax, 0, 1);
    let ends = Timestamp(ledger.now.0 + 1);
    let session = |token| crate::ledger::ask::session(ALICE, token, ends);
    assert_eq!(ledger.ask(&session(1)), ResultCode::Done);
    assert_eq!(ledger.ask(&session(2)), ResultCode::SessionTableFull);
    assert_eq!(ledger.ask(&session(1)), ResultCode::Existing);
    ledger.now = ends;
    ledger.do_due();
    let ends = Timestamp(ledger.now.0 + 1);
    assert_eq!(ledger.ask(&crate::ledger::ask::session(ALICE, 2, ends)), ResultCode::Done);
    assert_eq!(ledger.state.session_of(Reference(1)), None);
    assert_eq!(ledger.state.asset_ids().next(), Some(ETH));
}
