//! Deposits on a chain in memory, by the numbers of what can go wrong.
//!
//! What breaks: a deposit that is credited twice, too early, or never.

use cage_chain::bridge::{Alarm, BridgeFault};
use cage_chain::deposits::{Finality, Reason, Stage, Tier};
use cage_chain::types::{Coin, Quantity};
use cage_client::engine::{AssetId, OperationKind, PlayerId, Purse};

use crate::harness::books::{ETH, USD};
use crate::harness::{COUNTERFEIT, DEPTH, REORG_MAX, Rig, TOKEN, address, coins, settings};

/// One ledger unit of ether in units of the chain.
const UNIT: u128 = 1_000_000_000;

/// A rig with one player, whose address has number 0.
fn one_player() -> (Rig, PlayerId) {
    let mut rig = Rig::new();
    let player = rig.books.open_player();
    assert_eq!(rig.books.assign(player), 0);
    rig.settle();
    (rig, player)
}

fn credits(rig: &Rig) -> usize {
    rig.books.count(OperationKind::DepositCredit)
}

/// D1
#[test]
fn a_deposit_is_credited_once_at_exactly_the_depth() {
    let (mut rig, player) = one_player();
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.mine(DEPTH - 1);
    assert_eq!((rig.available(player, ETH), credits(&rig)), (0, 0));
    assert_eq!(rig.bridge().deposits().pending().count(), 1, "it is shown as pending");
    rig.mine(1);
    assert_eq!(rig.available(player, ETH), 5);
    rig.mine(20);
    assert_eq!((rig.available(player, ETH), credits(&rig)), (5, 1));
}

/// D2
#[test]
fn a_deposit_that_vanished_before_its_depth_is_not_credited() {
    let (mut rig, player) = one_player();
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.mine(2);
    rig.chain.reorganise(2, |_| false);
    rig.mine(20);
    assert_eq!((rig.available(player, ETH), credits(&rig)), (0, 0));
    assert_eq!(rig.bridge().deposits().rows().count(), 0);
}

/// D3
#[test]
fn a_transaction_that_moved_to_another_block_is_credited_once() {
    let (mut rig, player) = one_player();
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.mine(2);
    rig.chain.reorganise(2, |_| true);
    rig.settle();
    rig.mine(DEPTH);
    assert_eq!(rig.available(player, ETH), 5);
    // It moves again after it was credited: it is still there, so nothing is taken back.
    rig.chain.shuffle(4);
    rig.settle();
    rig.mine(20);
    assert_eq!((rig.available(player, ETH), credits(&rig)), (5, 1));
    assert_eq!(rig.books.count(OperationKind::DepositReverse), 0);
}

/// D4
#[test]
fn a_credited_deposit_that_the_chain_took_back_is_reversed_and_the_player_is_paid_nothing() {
    let (mut rig, player) = one_player();
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.mine(DEPTH);
    assert_eq!(rig.available(player, ETH), 5);
    // What is on its way out already is not stopped by that alone: it is when it would be signed.
    let withdrawal = rig.books.withdraw(player, ETH, 2, [0xcc; 20]);
    rig.books.approve(player, ETH, withdrawal);
    rig.chain.reorganise(DEPTH as usize, |_| false);
    rig.settle();
    assert_eq!(rig.available(player, ETH), 0);
    assert_eq!(rig.books.house(ETH, Purse::Receivable, 0), 0);
    assert!(rig.bridge().alarms().is_raised(Alarm::CreditTakenBack));
    let row = rig.bridge().deposits().rows().next().cloned().expect("the deposit");
    assert!(matches!(row.stage, Stage::Reversed { shortfall: true, .. }), "{row:?}");
    assert_eq!(rig.books.count(OperationKind::WithdrawSigned), 0, "the player owes 2");
    // The same transaction comes back: it is credited again, as another incarnation of the fact.
    let again = rig.chain.clone();
    rig.mine(1);
    again.pay(&[(address(0), Coin::Native, Quantity::Units(UNIT))]);
    rig.mine(DEPTH);
    assert_eq!(rig.available(player, ETH), 0, "1 more came in, and was collected");
}

/// D3, D4
#[test]
fn a_transaction_that_comes_back_after_its_reversal_is_credited_again() {
    let (mut rig, player) = one_player();
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.mine(DEPTH);
    for round in 1..=3 {
        rig.chain.reorganise(DEPTH as usize + 1, |_| true);
        rig.settle();
        assert_eq!(rig.available(player, ETH), 0, "round {round}");
        rig.kill();
        rig.mine(DEPTH);
        assert_eq!(rig.available(player, ETH), 5, "round {round}");
    }
    // Whoever has lost everything finds out from the ledger how often it was taken back.
    rig.lose_store();
    rig.settle();
    rig.mine(DEPTH);
    assert_eq!(rig.available(player, ETH), 5);
    assert_eq!((credits(&rig), rig.books.count(OperationKind::DepositReverse)), (4, 3));
}

/// D5
#[test]
fn a_reorganisation_deeper_than_the_memory_stops_crediting() {
    let (mut rig, player) = one_player();
    rig.mine(REORG_MAX as u64 + 5);
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.chain.reorganise(REORG_MAX + 2, |_| true);
    let fault = rig.turn().expect_err("too deep");
    assert!(matches!(fault, BridgeFault::TooDeep { .. }), "{fault}");
    assert!(fault.to_string().contains("operator"), "{fault}");
    rig.chain.mine();
    rig.chain.mine();
    rig.turn().expect_err("still");
    assert_eq!((rig.available(player, ETH), credits(&rig)), (0, 0));
    assert!(rig.bridge().alarms().is_raised(Alarm::ChainUnusable));
}

/// D6, D8
#[test]
fn a_bridge_that_was_killed_or_heard_no_answer_credits_once() {
    for lost_answer in [false, true] {
        let (mut rig, player) = one_player();
        rig.pay(0, Coin::Native, 5 * UNIT);
        rig.pay(0, Coin::Token(TOKEN), 700);
        rig.chain.mine();
        rig.chain.mine();
        rig.kill();
        rig.chain.mine();
        if lost_answer {
            rig.books.lose_answers(1)
        } else {
            rig.books.lose_questions(1)
        }
        let fault = rig.turn().expect_err("no answer");
        assert!(matches!(fault, BridgeFault::Ledger(_)), "{fault}");
        rig.kill();
        rig.settle();
        assert_eq!((rig.available(player, ETH), rig.available(player, USD)), (5, 700));
        assert_eq!(credits(&rig), 2);
    }
}

/// D6
#[test]
fn a_bridge_that_lost_its_file_makes_it_anew_and_credits_nothing_twice() {
    let (mut rig, player) = one_player();
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.mine(DEPTH + 2);
    rig.lose_store();
    rig.settle();
    rig.mine(2);
    assert_eq!((rig.available(player, ETH), credits(&rig)), (5, 1));
}

/// D7
#[test]
fn a_bridge_that_was_down_for_five_hundred_blocks_misses_nothing() {
    let (mut rig, player) = one_player();
    for _ in 0..500 {
        rig.pay(0, Coin::Native, UNIT);
        rig.chain.mine();
    }
    rig.kill();
    rig.settle();
    assert_eq!(rig.available(player, ETH), 500 - u128::from(DEPTH - 1));
}

/// D9
#[test]
fn two_transfers_of_one_transaction_are_two_deposits() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.books.open_player(), rig.books.open_player());
    let (first, second) = (rig.books.assign(alice), rig.books.assign(bob));
    let pay = |number, units| (address(number), Coin::Native, Quantity::Units(units * UNIT));
    rig.chain.pay(&[pay(first, 3), pay(second, 4), pay(first, 3)]);
    rig.mine(DEPTH);
    assert_eq!((rig.available(alice, ETH), rig.available(bob, ETH), credits(&rig)), (6, 4, 3));
}

/// D10
#[test]
fn what_failed_is_counterfeit_or_nothing_is_not_credited() {
    let (mut rig, player) = one_player();
    let to = address(0);
    rig.chain.pay_in_vain(&[(to, Coin::Native, Quantity::Units(9 * UNIT))]);
    rig.chain.pay(&[
        (to, Coin::Token(TOKEN), Quantity::Units(0)),
        (to, Coin::Token(COUNTERFEIT), Quantity::Units(9_000)),
    ]);
    rig.mine(DEPTH + 1);
    assert_eq!((rig.available(player, ETH), rig.available(player, USD), credits(&rig)), (0, 0, 0));
    let kept: Vec<_> = rig.bridge().deposits().rows().map(|row| row.stage).collect();
    assert_eq!(kept, [Stage::Kept(Reason::UnknownToken)], "it is written down all the same");
}

/// D13
#[test]
fn amounts_are_exact_or_refused_and_what_is_left_over_is_kept() {
    let (mut rig, player) = one_player();
    let to = address(0);
    let native = |quantity| (to, Coin::Native, quantity);
    rig.chain.pay(&[
        native(Quantity::Units(2 * UNIT + 17)),
        native(Quantity::Units(UNIT - 1)),
        native(Quantity::TooGreat),
        native(Quantity::Units(u128::MAX)),
        (to, Coin::Token(TOKEN), Quantity::Units(99)),
        (to, Coin::Token(TOKEN), Quantity::Units(101)),
    ]);
    rig.mine(DEPTH);
    let most = u128::MAX / UNIT;
    assert_eq!((rig.available(player, ETH), rig.available(player, USD)), (2 + most, 101));
    let mut rows: Vec<_> = rig.bridge().deposits().rows().collect();
    rows.sort_by_key(|row| row.inflow.id.ordinal);
    let reasons: Vec<_> = rows
        .iter()
        .map(|row| if let Stage::Kept(reason) = row.stage { Some(reason) } else { None })
        .collect();
    let dust = Some(Reason::Dust);
    assert_eq!(reasons, [None, dust, Some(Reason::TooGreat), None, dust, None]);
    assert_eq!((rows[0].residue_units, rows[3].residue_units), (17, u128::MAX % UNIT));
}

/// D13
#[test]
fn a_coin_of_fewer_decimals_than_the_ledger_is_credited_exactly() {
    let mut list = coins();
    list[1].scale = 6;
    list[1].decimals = 4;
    let rule = &list[1];
    assert_eq!(
        rule.worth(Quantity::Units(123)),
        cage_chain::deposits::Worth::Amount { amount: cage_client::engine::Amount(12_300), residue_units: 0 }
    );
    assert_eq!(rule.units(cage_client::engine::Amount(12_300)), Some(123));
    assert_eq!(rule.units(cage_client::engine::Amount(12_301)), None, "no whole number of units");
    assert_eq!(rule.worth(Quantity::Units(u128::MAX)), cage_chain::deposits::Worth::TooGreat);
}

/// D14
#[test]
fn an_endpoint_that_lags_or_is_silent_costs_time_and_nothing_else() {
    let (mut rig, player) = one_player();
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.mine(2);
    rig.chain.faults(|faults| faults.lag = 3);
    rig.settle();
    rig.chain.mine();
    rig.settle();
    assert_eq!(credits(&rig), 0, "the newest block is not shown yet");
    assert_eq!(
        rig.bridge().deposits().rows().count(),
        1,
        "what was seen is not forgotten because it is not shown"
    );
    rig.chain.faults(|faults| faults.silent = true);
    rig.turn().expect_err("silent");
    assert!(rig.bridge().alarms().is_raised(Alarm::ChainUnusable));
    rig.chain.faults(|faults| (faults.silent, faults.lag) = (false, 0));
    rig.settle();
    assert_eq!(rig.available(player, ETH), 5);
    assert!(!rig.bridge().alarms().is_raised(Alarm::ChainUnusable));
}

/// D15
#[test]
fn a_thousand_deposits_of_one_block_are_asked_for_at_once() {
    let mut rig = Rig::new();
    let player = rig.books.open_player();
    let numbers: Vec<_> = (0..20).map(|_| rig.books.assign(player)).collect();
    for number in numbers.iter().cycle().take(1_000) {
        rig.pay(*number, Coin::Native, UNIT);
    }
    rig.mine(DEPTH);
    assert_eq!((rig.available(player, ETH), credits(&rig)), (1_000, 1_000));
    assert_eq!(rig.books.asked(), 1_000);
}

/// D17
#[test]
fn a_deposit_waits_as_long_as_the_chain_calls_nothing_final() {
    let mut list = coins();
    list[0].tiers = vec![
        Tier { from_units: 0, finality: Finality::Confirmations(1) },
        Tier { from_units: 10 * UNIT, finality: Finality::Finalized },
    ];
    let mut rig = Rig::with(settings(list));
    let player = rig.books.open_player();
    rig.books.assign(player);
    rig.pay(0, Coin::Native, UNIT);
    rig.pay(0, Coin::Native, 10 * UNIT);
    rig.mine(REORG_MAX as u64 * 2);
    assert_eq!(rig.available(player, ETH), 1, "the great one waits");
    rig.kill();
    rig.chain.faults(|faults| faults.finalized_behind = Some(2));
    rig.settle();
    assert_eq!(rig.available(player, ETH), 11);
}

#[test]
fn a_deposit_of_a_suspect_is_credited_as_locked_for_review() {
    let mut with_suspect = settings(coins());
    with_suspect.suspects.insert(cage_chain::types::Address([0xee; 20]));
    let mut rig = Rig::with(with_suspect);
    let player = rig.books.open_player();
    rig.books.assign(player);
    rig.pay(0, Coin::Native, 5 * UNIT);
    rig.mine(DEPTH);
    assert_eq!((rig.available(player, ETH), rig.books.purse(player, ETH, Purse::Locked)), (0, 5));
}

#[test]
fn an_address_is_known_before_any_block_that_can_pay_it_is_looked_at() {
    let (mut rig, _) = one_player();
    // Assigned and paid between two turns.
    let late = rig.books.open_player();
    let number = rig.books.assign(late);
    rig.pay(number, Coin::Native, UNIT);
    rig.chain.mine();
    let behind = rig.bridge().position();
    assert!(behind < rig.position());
    rig.mine(DEPTH);
    assert_eq!(rig.available(late, ETH), 1);
    assert_ne!(AssetId::NONE, ETH);
}
