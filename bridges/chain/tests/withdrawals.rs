//! Withdrawals on a chain in memory, by the numbers of what can go wrong.
//!
//! What breaks: a withdrawal that is paid twice, or given up and paid all the same.

use cage_chain::bridge::Alarm;
use cage_chain::types::{Address, Coin, Quantity};
use cage_chain::withdrawals::Concern;
use cage_client::engine::{OperationKind, PlayerId, Purse, RequestId, Rule};

use crate::harness::books::{ETH, USD};
use crate::harness::{CHAIN, DEPTH, Rig, TOKEN, address, coins, settings, wallet};

/// One ledger unit of ether in units of the chain.
const UNIT: u128 = 1_000_000_000;
const TO: Address = Address([0xcc; 20]);

/// A wallet with money, a player with 100 of each asset.
fn funded() -> (Rig, PlayerId) {
    funded_with(Rig::new())
}

fn funded_with(mut rig: Rig) -> (Rig, PlayerId) {
    let player = rig.books.open_player();
    rig.books.assign(player);
    let wallet = wallet().address();
    let pay = |to, coin, units| (to, coin, Quantity::Units(units));
    rig.chain.pay(&[
        pay(wallet, Coin::Native, 1_000 * UNIT),
        pay(wallet, Coin::Token(TOKEN), 1_000),
        pay(address(0), Coin::Native, 100 * UNIT),
        pay(address(0), Coin::Token(TOKEN), 100),
    ]);
    rig.mine(DEPTH);
    (rig, player)
}

fn approved(rig: &Rig, player: PlayerId, amount: u128) -> RequestId {
    let id = rig.books.withdraw(player, ETH, amount, TO.0);
    rig.books.approve(player, ETH, id);
    id
}

/// What the wallet has paid to the destination, each payment.
fn paid(rig: &Rig) -> Vec<u128> {
    let sent = rig.chain.sent_by(wallet().address()).into_iter();
    let units = |quantity| if let Quantity::Units(units) = quantity { units } else { u128::MAX };
    sent.filter(|(_, to, ..)| *to == TO).map(|(.., quantity)| units(quantity)).collect()
}

fn withdrawing(rig: &Rig, player: PlayerId) -> u128 {
    rig.books.purse(player, ETH, Purse::Withdrawing)
}

#[track_caller]
fn assert_paid_once(rig: &Rig, player: PlayerId, amount: u128) {
    assert_eq!(paid(rig), [amount * UNIT]);
    assert_eq!((withdrawing(rig, player), rig.books.count(OperationKind::WithdrawSettle)), (0, 1));
}

/// W1
#[test]
fn a_withdrawal_is_paid_and_settled_and_the_fee_is_the_houses() {
    let (mut rig, player) = funded();
    rig.books.set_rule(Rule::WithdrawFee, u64::from(ETH.0), 2);
    approved(&rig, player, 10);
    rig.settle();
    assert_eq!(rig.chain.waiting(), 1);
    rig.mine(DEPTH - 1);
    assert_eq!(withdrawing(&rig, player), 10, "not final yet");
    rig.mine(1);
    assert_paid_once(&rig, player, 8);
    assert_eq!(rig.books.house(ETH, Purse::Fees, 0), 2);
    assert_eq!(rig.books.house(ETH, Purse::WithdrawalClearing, CHAIN), 8);
    assert_eq!(rig.bridge().withdrawals().rows().count(), 0);
}

/// W1
#[test]
fn a_token_is_paid_by_its_contract() {
    let (mut rig, player) = funded();
    let id = rig.books.withdraw(player, USD, 40, TO.0);
    rig.books.approve(player, USD, id);
    rig.settle();
    rig.mine(DEPTH);
    let sent = rig.chain.sent_by(wallet().address());
    let brief: Vec<_> = sent.iter().map(|(_, to, coin, quantity)| (*to, *coin, *quantity)).collect();
    assert_eq!(brief, [(TO, Coin::Token(TOKEN), Quantity::Units(40))]);
}

#[test]
fn nothing_is_signed_before_it_is_approved() {
    let (mut rig, player) = funded();
    let id = rig.books.withdraw(player, ETH, 10, TO.0);
    rig.mine(5);
    assert_eq!(rig.books.count(OperationKind::WithdrawSigned), 0);
    rig.books.cancel(player, ETH, id).expect("cancelled");
    rig.mine(5);
    assert_eq!((paid(&rig), rig.available(player, ETH)), (vec![], 100));
}

/// W2, without processes: at each question, each answer, each message.
#[test]
fn a_bridge_that_was_killed_anywhere_pays_once() {
    type Break = fn(&Rig);
    let breaks: [Break; 5] = [
        |rig| rig.books.lose_questions(1),
        |rig| rig.books.lose_answers(1),
        |rig| rig.chain.faults(|faults| faults.lost_answers = 1),
        |rig| rig.chain.faults(|faults| faults.lost_transactions = 1),
        |rig| rig.chain.faults(|faults| faults.silent = true),
    ];
    for (number, one) in breaks.into_iter().enumerate() {
        for at_end in [false, true] {
            let (mut rig, player) = funded();
            approved(&rig, player, 10);
            if at_end {
                rig.settle();
                rig.mine(DEPTH - 1);
                rig.chain.mine();
            }
            one(&rig);
            // Whether it fails or not: it is killed.
            let _ = rig.turn();
            rig.kill();
            rig.chain.faults(|faults| faults.silent = false);
            rig.mine(DEPTH + 2);
            rig.kill();
            rig.mine(2);
            println!("break {number}, at the end: {at_end}");
            assert_paid_once(&rig, player, 10);
        }
    }
}

/// W3
#[test]
fn a_transaction_that_was_sent_without_an_answer_is_sent_again_and_never_signed_anew() {
    for lost in [true, false] {
        let (mut rig, player) = funded();
        approved(&rig, player, 10);
        rig.chain.faults(|faults| if lost { faults.lost_transactions = 1 } else { faults.lost_answers = 1 });
        rig.settle();
        assert_eq!(rig.chain.waiting(), usize::from(!lost));
        rig.mine(DEPTH + 1);
        assert_paid_once(&rig, player, 10);
        assert_eq!(rig.books.count(OperationKind::WithdrawSigned), 1);
    }
}

/// W5
#[test]
fn a_stuck_transaction_is_replaced_in_its_slot_by_one_that_offers_an_eighth_more() {
    let (mut rig, player) = funded();
    approved(&rig, player, 10);
    rig.settle();
    // Nobody puts it into a block.
    for _ in 0..7 {
        rig.chain.mine_empty();
        rig.settle();
    }
    let row = rig.bridge().withdrawals().rows().next().cloned().expect("the withdrawal");
    let [first, second] = &row.attempts[..] else { panic!("two attempts: {row:?}") };
    let (old, new) = (first.transfer.expect("a transfer"), second.transfer.expect("a transfer"));
    assert_eq!((old.slot, old.to, old.units), (new.slot, new.to, new.units));
    assert!(new.fee_max * 8 > old.fee_max * 9 && new.tip_max * 8 > old.tip_max * 9, "{old:?} {new:?}");
    assert_eq!(rig.chain.waiting(), 2);
    rig.mine(DEPTH + 1);
    assert_paid_once(&rig, player, 10);
}

/// W6, W7
#[test]
fn a_payment_that_the_chain_gave_up_or_forgot_is_sent_again_with_the_same_name() {
    let (mut rig, player) = funded();
    approved(&rig, player, 10);
    rig.settle();
    rig.chain.drop_waiting();
    rig.mine(1);
    rig.mine(1);
    let before = rig.chain.sent_by(wallet().address());
    assert_eq!(before.len(), 1, "sent again after it was forgotten");
    rig.chain.reorganise(1, |_| false);
    rig.settle();
    rig.mine(DEPTH + 1);
    assert_paid_once(&rig, player, 10);
    assert_eq!(rig.chain.sent_by(wallet().address()), before);
}

/// W8
#[test]
fn a_payment_that_failed_is_given_back_once_it_is_final() {
    let (mut rig, player) = funded();
    rig.chain.faults(|faults| faults.failing = 1);
    approved(&rig, player, 10);
    rig.settle();
    rig.mine(DEPTH - 1);
    assert_eq!((withdrawing(&rig, player), rig.available(player, ETH)), (10, 90));
    rig.mine(5);
    assert_eq!((withdrawing(&rig, player), rig.available(player, ETH)), (0, 100));
    assert_eq!((paid(&rig), rig.books.count(OperationKind::WithdrawRelease)), (vec![], 1));
    // The slot is used up, the next one follows.
    approved(&rig, player, 20);
    rig.settle();
    rig.mine(DEPTH);
    assert_paid_once(&rig, player, 20);
}

/// W9
#[test]
fn a_wallet_that_is_short_pays_nothing_in_part_and_goes_on_when_it_is_filled() {
    let mut rig = Rig::new();
    let player = rig.books.open_player();
    rig.books.assign(player);
    rig.pay(0, Coin::Native, 100 * UNIT);
    rig.mine(DEPTH);
    approved(&rig, player, 10);
    rig.settle();
    assert!(rig.bridge().alarms().is_raised(Alarm::WalletShort));
    // Enough for the amount, not for the fee.
    rig.chain.pay(&[(wallet().address(), Coin::Native, Quantity::Units(10 * UNIT))]);
    rig.mine(2);
    assert_eq!((paid(&rig), rig.chain.waiting()), (vec![], 0));
    rig.chain.pay(&[(wallet().address(), Coin::Native, Quantity::Units(UNIT))]);
    rig.mine(DEPTH + 2);
    assert_paid_once(&rig, player, 10);
    assert!(!rig.bridge().alarms().is_raised(Alarm::WalletShort));
}

/// W9
#[test]
fn what_is_bound_is_not_spent_twice() {
    let (mut rig, player) = funded();
    rig.chain.steal(wallet().address(), Address([1; 20]), 0);
    let mut rig2 = Rig::new();
    let other = rig2.books.open_player();
    rig2.books.assign(other);
    rig2.pay(0, Coin::Native, 100 * UNIT);
    rig2.chain.pay(&[(wallet().address(), Coin::Native, Quantity::Units(15 * UNIT))]);
    rig2.mine(DEPTH);
    let (first, second) = (approved(&rig2, other, 10), approved(&rig2, other, 10));
    rig2.settle();
    assert_eq!(rig2.chain.waiting(), 1, "15 do not pay 20");
    let concern = |rig: &mut Rig, id| rig.bridge().withdrawals().row(id).expect("open").concern;
    assert_eq!((concern(&mut rig2, first), concern(&mut rig2, second)), (None, Some(Concern::WalletShort)));
    rig.settle();
    assert_eq!(withdrawing(&rig, player), 0);
}

/// W10
#[test]
fn a_slot_that_somebody_else_used_stops_all_payments() {
    let (mut rig, player) = funded();
    let stolen = rig.chain.steal(wallet().address(), Address([0xdd; 20]), UNIT);
    rig.mine(1);
    assert!(rig.bridge().alarms().is_raised(Alarm::ForeignSlot));
    approved(&rig, player, 10);
    rig.mine(3);
    assert_eq!(rig.books.count(OperationKind::WithdrawSigned), 0);
    rig.kill();
    rig.mine(3);
    let tripped = rig.bridge().tripped().expect("stopped, also after a restart").reason.clone();
    assert!(tripped.contains(&stolen.to_string()), "{tripped}");
    rig.bridge().reset_breaker().expect("an operator lets them go on");
    rig.mine(DEPTH + 1);
    assert_paid_once(&rig, player, 10);
}

/// W11
#[test]
fn a_bridge_that_lost_its_file_pays_nothing_twice() {
    for mined in 0..=DEPTH + 1 {
        let (mut rig, player) = funded();
        approved(&rig, player, 10);
        rig.settle();
        rig.mine(mined);
        rig.lose_store();
        rig.settle();
        rig.mine(DEPTH + 8);
        assert_paid_once(&rig, player, 10);
        approved(&rig, player, 20);
        rig.settle();
        rig.mine(DEPTH + 1);
        assert_eq!(paid(&rig), [10 * UNIT, 20 * UNIT], "{mined} blocks");
    }
}

/// W11
#[test]
fn a_bridge_that_lost_its_file_and_whose_transaction_was_forgotten_pays_in_the_same_slot() {
    let (mut rig, player) = funded();
    approved(&rig, player, 10);
    rig.settle();
    rig.chain.drop_waiting();
    rig.lose_store();
    rig.settle();
    rig.mine(DEPTH + 1);
    assert_paid_once(&rig, player, 10);
    assert_eq!(rig.books.count(OperationKind::WithdrawSigned), 2, "the lost one, and its replacement");
}

/// W12
#[test]
fn a_cancel_that_comes_first_wins_and_frees_the_slot() {
    let (mut rig, player) = funded();
    let id = approved(&rig, player, 10);
    // The bridge has signed, and the ledger has not heard of it.
    rig.books.lose_questions(1);
    rig.turn().expect_err("no answer");
    rig.books.cancel(player, ETH, id).expect("not signed yet, for the ledger");
    rig.settle();
    assert_eq!((rig.chain.waiting(), rig.available(player, ETH)), (0, 100));
    approved(&rig, player, 20);
    rig.settle();
    rig.mine(DEPTH);
    assert_paid_once(&rig, player, 20);
}

/// W12
#[test]
fn bounds_of_one_and_of_a_day_hold() {
    let mut bounded = settings(coins());
    (bounded.policy.bounds[0].one_max_units, bounded.policy.bounds[0].day_max_units) = (20 * UNIT, 30 * UNIT);
    let (mut rig, player) = funded_with(Rig::with(bounded));
    let (great, first, second) =
        (approved(&rig, player, 21), approved(&rig, player, 20), approved(&rig, player, 15));
    rig.settle();
    rig.mine(DEPTH + 1);
    assert_eq!(paid(&rig), [20 * UNIT]);
    let concern = |rig: &mut Rig, id| rig.bridge().withdrawals().row(id).map(|row| row.concern);
    assert_eq!(concern(&mut rig, great), Some(Some(Concern::OverOne)));
    assert_eq!(concern(&mut rig, second), Some(Some(Concern::OverDay)));
    assert_eq!(concern(&mut rig, first), None, "it has ended");
    assert!(rig.bridge().alarms().is_raised(Alarm::Review));
}

/// W14
#[test]
fn nothing_is_paid_to_nobody_to_a_contract_or_to_the_house_itself() {
    let (mut rig, player) = funded();
    for to in [Address::default(), TOKEN, wallet().address()] {
        let id = rig.books.withdraw(player, ETH, 10, to.0);
        rig.books.approve(player, ETH, id);
    }
    // An address of the casino's own.
    let id = rig.books.withdraw(player, ETH, 10, address(0).0);
    rig.books.approve(player, ETH, id);
    rig.mine(5);
    assert_eq!(rig.books.count(OperationKind::WithdrawSigned), 0);
    let concerns = rig.bridge().withdrawals().rows().map(|row| row.concern);
    let concerns: Vec<_> = concerns.collect();
    let own = Some(Concern::OwnDestination);
    assert_eq!(concerns, [Some(Concern::Destination), own, own, own]);
}
