//! Late corrections: what is too old for its own name is paid or taken back once, within bounds or by two.

use cage_engine::{Amount, Lsn, Operation, PlayerId, Purse, Reference, RequestId, ResultCode, Role, Rule};

use crate::ledger::ask::{bet, changed, end_round, rollback, win};
use crate::ledger::{ACTOR, ALICE, BOB, ETH, Ledger, OTHER, PLAY};

const CHECKER: u32 = 0xc4ec;
const BET: u128 = 0xbe7;
const ROUND: u128 = 0x40d;
/// The provider's transactions that come too late.
const LATE: u128 = 0x1a7e;
const DAY_MILLIS: u64 = 86_400_000;

/// A house that trusts a bridge with 100 a day, and a bet of 10.
fn house() -> (Ledger, Lsn) {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.set_rule(Rule::LateCorrectionMax, u64::from(ETH.0), 100);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET, ROUND)), ResultCode::Done);
    let original = ledger.latest_lsn();
    (ledger, original)
}

fn correction(player: PlayerId, amount: u128, transaction: u128, original: Lsn) -> Operation {
    Operation::LateCorrection {
        player,
        asset: ETH,
        amount: Amount(amount),
        transaction: Reference(transaction),
        game: PLAY,
        original,
        debit: false,
        reason: 1,
        order: None,
    }
}

fn debit(correction: Operation) -> Operation {
    changed(correction, |request| request.detail.0[8] = 1)
}

/// Under the key that it has to have.
fn ask(ledger: &mut Ledger, correction: &Operation) -> ResultCode {
    let key = correction.request(RequestId(1)).reference;
    ledger.ask_key(key, correction)
}

/// Of something that nothing is known of but an old record.
fn pay(ledger: &mut Ledger, amount: u128, transaction: u128) -> ResultCode {
    ask(ledger, &correction(ALICE, amount, transaction, Lsn(3)))
}

fn answer(ledger: &mut Ledger, role: Role, actor: u32, key: u128, approve: bool) -> ResultCode {
    let (player, asset, adjustment) = (ALICE, ETH, RequestId(key));
    let id = ledger.new_id();
    let answer = if approve {
        Operation::AdjustApprove { player, asset, adjustment }
    } else {
        Operation::AdjustReject { player, asset, adjustment }
    };
    ledger.ask_by(role, actor, id, &answer)
}

#[test]
fn what_is_too_old_for_its_own_name_is_corrected_once_for_each_transaction() {
    let (mut ledger, _) = house();
    let future = ledger.state.next_lsn();
    assert_eq!(ask(&mut ledger, &correction(ALICE, 40, LATE, future)), ResultCode::PeriodUnfit);
    assert_eq!(ask(&mut ledger, &correction(ALICE, 40, LATE, Lsn(0))), ResultCode::PeriodUnfit);
    assert_eq!(ledger.ask_key(1, &correction(ALICE, 40, LATE, Lsn(3))), ResultCode::KeyDiffers);
    for _ in 0..2 {
        assert_eq!(pay(&mut ledger, 40, LATE), ResultCode::Done);
    }
    let corrected = ledger.latest_lsn();
    assert_eq!(pay(&mut ledger, 41, LATE), ResultCode::IdConflict);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (130, -30));
    ledger.crash();
    assert_eq!(
        ledger.ask_key(LATE, &win(ALICE, 40, BET)),
        ResultCode::IdConflict,
        "what was corrected is not paid under its own name as well"
    );
    assert_eq!(ledger.ask_key(LATE + 1, &rollback(ALICE, LATE)), ResultCode::ReferenceTooOld);
    assert_ne!(corrected, Lsn(3));
    ledger.set_rule(Rule::LateCorrectionMax, u64::from(ETH.0), 1_000);
    let back = debit(correction(ALICE, 150, LATE + 1, Lsn(3)));
    assert_eq!(ask(&mut ledger, &back), ResultCode::Shortfall);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 20));
    assert_eq!(ledger.held(ALICE, Purse::Reserved), 0);
}

#[test]
fn a_win_that_was_paid_is_not_paid_again_by_a_correction_and_can_be_taken_back() {
    let (mut ledger, original) = house();
    assert_eq!(ledger.ask_key(0x817, &win(ALICE, 25, BET)), ResultCode::Done);
    let paid = ledger.latest_lsn();
    for lsn in [original, paid] {
        assert_eq!(ask(&mut ledger, &correction(ALICE, 25, 0x817, lsn)), ResultCode::CarriedOut);
    }
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
    for lsn in [original, paid] {
        let again = ask(&mut ledger, &correction(ALICE, 25, 0x817, lsn));
        assert_eq!(again, ResultCode::CarriedOut, "nor when its round is closed");
    }
    assert_eq!(ledger.ask_key(0x2bc, &rollback(ALICE, 0x817)), ResultCode::ReferenceTooOld);
    assert_eq!(ask(&mut ledger, &debit(correction(ALICE, 25, 0x817, original))), ResultCode::HoldDiffers);
    assert_eq!(ask(&mut ledger, &debit(correction(ALICE, 25, 0x817, paid))), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 90);
}

#[test]
fn a_correction_fits_what_it_corrects_as_long_as_that_is_remembered() {
    for closed in [false, true] {
        let (mut ledger, original) = house();
        if closed {
            assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
        }
        let right = correction(ALICE, 5, BET, original);
        assert_eq!(ask(&mut ledger, &correction(BOB, 5, BET, original)), ResultCode::HoldDiffers);
        assert_eq!(ask(&mut ledger, &correction(ALICE, 5, BET, Lsn(2))), ResultCode::HoldDiffers);
        let other = changed(right, |request| request.game = OTHER);
        assert_eq!(ask(&mut ledger, &other), ResultCode::HoldDiffers, "another provider");
        let by_hand = if closed { ResultCode::Done } else { ResultCode::UseItsName };
        assert_eq!(ask(&mut ledger, &right), by_hand);
        assert_eq!(ledger.ask_key(LATE, &win(ALICE, 5, BET)), ResultCode::Done, "the bet stays a bet");
    }
    let (mut ledger, original) = house();
    assert_eq!(ledger.ask_key(0x2bc, &rollback(ALICE, BET)), ResultCode::Done);
    assert_eq!(ask(&mut ledger, &correction(ALICE, 5, BET, original)), ResultCode::HoldCancelled);
    assert_eq!(ledger.ask(&bet(ALICE, 5_000, BET + 2, ROUND + 2)), ResultCode::InsufficientFunds);
    let refused = ledger.latest_lsn();
    assert_eq!(ask(&mut ledger, &correction(ALICE, 5, BET + 2, refused)), ResultCode::BetRefused);
    let hold = ledger.open_hold(ALICE, 10, 20);
    let held = ledger.latest_lsn();
    assert_eq!(ask(&mut ledger, &correction(ALICE, 5, hold.0, held)), ResultCode::NotABet);
}

/// A bridge that was taken over pays a friend at most so much a day; nobody who has won goes unpaid.
#[test]
fn a_bridge_corrects_alone_up_to_a_days_sum_and_above_it_with_a_second_identity() {
    let (mut ledger, _) = house();
    assert_eq!(pay(&mut ledger, 60, 1), ResultCode::Done);
    assert_eq!(pay(&mut ledger, 41, 2), ResultCode::OneMore, "101 on one day");
    assert_eq!(ledger.available(ALICE), 150, "it waits");
    assert_eq!(pay(&mut ledger, 41, 2), ResultCode::OneMore, "asked for again");
    assert_eq!(pay(&mut ledger, 40, 3), ResultCode::Done, "what waits does not count");
    assert_eq!(pay(&mut ledger, 1, 4), ResultCode::OneMore);
    assert_eq!(answer(&mut ledger, Role::Approver, ACTOR, 2, true), ResultCode::SameIdentity);
    ledger.crash();
    assert_eq!(answer(&mut ledger, Role::Approver, CHECKER, 2, true), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (231, -131), "the provider pays it");
    assert_eq!(ledger.of_house(Purse::Adjustments, 0), 0);
    assert_eq!(answer(&mut ledger, Role::Operator, ACTOR, 4, false), ResultCode::Done);
    assert_eq!(answer(&mut ledger, Role::Approver, CHECKER, 4, true), ResultCode::AdjustmentRejected);
    let back = debit(correction(ALICE, 7, 5, Lsn(3)));
    assert_eq!(ask(&mut ledger, &back), ResultCode::OneMore, "a debit likewise");
    assert_eq!(answer(&mut ledger, Role::Approver, CHECKER, 5, true), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (224, -124));
    let by_operator = correction(ALICE, 1, 6, Lsn(3));
    let operator = ledger.ask_by(Role::Operator, ACTOR, RequestId(6), &by_operator);
    assert_eq!(operator, ResultCode::OneMore, "an operator is no second identity of itself");
    let other = changed(correction(ALICE, 100, 7, Lsn(3)), |request| request.game = OTHER);
    assert_eq!(ask(&mut ledger, &other), ResultCode::Done, "each provider has its own sum");
    ledger.pass_millis(DAY_MILLIS);
    assert_eq!(pay(&mut ledger, 100, 8), ResultCode::Done, "and each day");
    ledger.set_rule(Rule::LateCorrectionMax, u64::from(ETH.0), 0);
    ledger.pass_millis(DAY_MILLIS);
    assert_eq!(pay(&mut ledger, 1, 9), ResultCode::OneMore, "without a bound always two");
}

#[test]
fn who_ordered_a_void_is_the_second_identity_of_the_corrections_under_it() {
    let (mut ledger, original) = house();
    assert_eq!(ledger.ask(&end_round(ALICE, ROUND)), ResultCode::Done);
    ledger.set_rule(Rule::LateCorrectionMax, u64::from(ETH.0), 0);
    let order = |ledger: &mut Ledger, actor| {
        let order = Operation::VoidPeriod {
            asset: ETH,
            amount: Amount(10),
            text: Reference(7),
            game: PLAY,
            from: original,
            to: original,
            count: 2,
        };
        let id = ledger.new_id();
        assert_eq!(ledger.ask_by(Role::Operator, actor, id, &order), ResultCode::Done);
        id
    };
    let (own, others) = (order(&mut ledger, ACTOR), order(&mut ledger, CHECKER));
    let under = |amount, transaction, order: RequestId| {
        let plain = correction(ALICE, amount, transaction, original);
        changed(plain, |request| request.detail.0[16..].copy_from_slice(&order.0.to_le_bytes()))
    };
    assert_eq!(ask(&mut ledger, &under(10, LATE, own)), ResultCode::OneMore, "one and the same identity");
    assert_eq!(ask(&mut ledger, &under(10, BET, others)), ResultCode::Done);
    assert_eq!(ask(&mut ledger, &under(1, LATE + 1, others)), ResultCode::OrderExceeded);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (100, 0));
}
