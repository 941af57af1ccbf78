//! Ways around a rule of the house that look open, and are not: money that would leave unplayed, locked money that
//! would become playable, debts that would be left behind, roles that would move more than they may.

use cage_engine::{
    Amount, CallerId, LimitKind, LockReason, Operation, OperationKind, Period, PlayerClass, Purse, RequestId,
    ResultCode, Role, Rule, SessionId, Status,
};

use crate::ledger::ask::{
    CHAIN, approve, bet, bet_win, changed, deposit, fund, give_up, in_session, lock, metered, release,
    reserve_in, reverse, rollback, set_limit, set_status, sign, take_back, transfer, unlock, void_round, win,
    withdraw,
};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger};

const CREDIT: u128 = 0xc4ed;
const BET: u128 = 0xbe7;
const ROUND: u128 = 0x40d;

fn locked(ledger: &Ledger, reason: LockReason) -> u128 {
    ledger.state.locked(ALICE, ETH, reason).0
}

#[test]
fn what_has_to_be_wagered_first_is_neither_exchanged_nor_sent_away() {
    let mut ledger = Ledger::casino();
    let usd = ledger.open_asset_of("USD", 2, Amount(1_000_000));
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(usd.0));
    let price = Amount(1_000_000_000 * 10_u128.pow(18));
    assert_eq!(ledger.ask(&Operation::PublishRate { asset: ETH, price }), ResultCode::Done);
    let turned = changed(deposit(ALICE, 100), |deposit| deposit.detail.0[16] = 40);
    assert_eq!(ledger.ask(&turned), ResultCode::Done);
    let exchange = Operation::Exchange {
        player: ALICE,
        asset: ETH,
        amount: Amount(10),
        session: SessionId(0),
        to: usd,
        at_least: Amount(1),
    };
    assert_eq!(ledger.ask(&withdraw(ALICE, 10)), ResultCode::TurnoverLeft);
    assert_eq!(ledger.ask(&exchange), ResultCode::TurnoverLeft, "another asset has no turnover of its own");
    assert_eq!(ledger.ask(&transfer(ALICE, BOB, 10)), ResultCode::TurnoverLeft, "nor has a friend");
    assert_eq!(ledger.ask(&bet(ALICE, 40, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&exchange), ResultCode::Done);
    assert_eq!(ledger.ask(&transfer(ALICE, BOB, 10)), ResultCode::Done);
}

/// A void gives the stakes back, and so they meet no requirement.
#[test]
fn a_stake_that_was_set_aside_and_is_voided_was_not_wagered() {
    for limited in [false, true] {
        let mut ledger = Ledger::casino();
        ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
        if limited {
            let limit = set_limit(ALICE, LimitKind::Wager, Period::Day, 1_000);
            assert_eq!(ledger.ask(&limit), ResultCode::Done);
        }
        let turned = changed(deposit(ALICE, 100), |deposit| deposit.detail.0[16] = 60);
        assert_eq!(ledger.ask(&turned), ResultCode::Done);
        let left = |ledger: &Ledger| ledger.state.turnover(ALICE, ETH).0;
        let (one, other) = (ledger.new_id(), ledger.new_id());
        assert_eq!(ledger.ask_under(one, &reserve_in(ALICE, 50, 90, ROUND)), ResultCode::Done);
        assert_eq!(ledger.ask_under(other, &reserve_in(ALICE, 30, 90, ROUND)), ResultCode::Done);
        assert_eq!(ledger.settle(ALICE, one, 20, 0), ResultCode::Done);
        assert_eq!(ledger.settle(ALICE, other, 30, 5), ResultCode::Done);
        assert_eq!(left(&ledger), 10);
        ledger.crash();
        assert_eq!(ledger.settle(ALICE, one, 30, 0), ResultCode::Done);
        assert_eq!(left(&ledger), 0, "20 of it were not required");
        assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
        assert_eq!((ledger.available(ALICE), left(&ledger)), (100, 60), "limited: {limited}");
        assert_eq!(ledger.ask(&withdraw(ALICE, 10)), ResultCode::TurnoverLeft);
        ledger.replayed();
    }
}

/// A withdrawal may draw on what is locked. Given up, it makes nothing playable that was not.
#[test]
fn a_withdrawal_that_is_given_up_returns_to_the_locks_that_it_came_from() {
    let mut ledger = Ledger::casino();
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    ledger.set_rule(Rule::WithdrawFee, u64::from(ETH.0), 7);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Deposit, Period::Month, 50)), ResultCode::Done);
    assert_eq!(ledger.ask(&deposit(ALICE, 50)), ResultCode::LimitNear);
    assert_eq!(ledger.ask(&deposit(ALICE, 100)), ResultCode::LimitNear, "over the limit: locked");
    assert_eq!(ledger.ask(&set_status(ALICE, Status::SelfExcluded)), ResultCode::Done);
    assert_eq!(ledger.ask(&deposit(ALICE, 30)), ResultCode::LimitNear);
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Locked)), (50, 130));
    for released in [false, true] {
        let id = ledger.new_id();
        assert_eq!(ledger.ask_under(id, &withdraw(ALICE, 120)), ResultCode::Done);
        assert_eq!((locked(&ledger, LockReason::Excluded), locked(&ledger, LockReason::OverLimit)), (0, 60));
        ledger.crash();
        if released {
            assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
            assert_eq!(ledger.ask_key(1, &sign(ALICE, id, 5, 6)), ResultCode::Done);
            assert_eq!(ledger.ask(&release(ALICE, id)), ResultCode::Done);
        } else {
            assert_eq!(ledger.ask(&give_up(ALICE, id)), ResultCode::Done);
        }
        assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Locked)), (50, 130));
        assert_eq!(
            (locked(&ledger, LockReason::Excluded), locked(&ledger, LockReason::OverLimit)),
            (30, 100)
        );
        assert_eq!(ledger.held(ALICE, Purse::Withdrawing), 0);
    }
    ledger.replayed();
}

#[test]
fn who_owes_takes_nothing_out_past_the_debt() {
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(CREDIT, &deposit(ALICE, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 100, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &take_back(ALICE, 100, RequestId(CREDIT))), ResultCode::Shortfall);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::SelfExcluded)), ResultCode::Done);
    assert_eq!(ledger.ask(&deposit(ALICE, 150)), ResultCode::Done);
    assert_eq!((locked(&ledger, LockReason::Excluded), ledger.owed(ALICE)), (150, 100));
    assert_eq!(ledger.ask(&withdraw(ALICE, 150)), ResultCode::PlayerOwes);
    let unlock = |amount| Operation::Unlock {
        player: ALICE,
        asset: ETH,
        amount: Amount(amount),
        chain: 0,
        reason: LockReason::Excluded,
    };
    assert_eq!(ledger.ask(&unlock(101)), ResultCode::SelfExcluded, "more than the debt would be free");
    assert_eq!(ledger.ask(&unlock(100)), ResultCode::Done);
    assert_eq!(ledger.ask(&withdraw(ALICE, 50)), ResultCode::PlayerOwes, "nor before it is collected");
    assert_eq!(ledger.do_due(), [OperationKind::AutoCollect]);
    assert_eq!(ledger.ask(&withdraw(ALICE, 50)), ResultCode::Done);
    // Nor by way of a friend or another asset.
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(CREDIT, &deposit(ALICE, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 100, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &take_back(ALICE, 100, RequestId(CREDIT))), ResultCode::Shortfall);
    ledger.deposit(ALICE, 30);
    assert_eq!(ledger.ask(&transfer(ALICE, BOB, 30)), ResultCode::PlayerOwes);
}

/// A freeze stops what is not on its way yet. What was signed goes on: only the chain decides it.
#[test]
fn a_freeze_stops_a_withdrawal_until_it_is_signed_and_not_after() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 1_000);
    let ask = |ledger: &mut Ledger| {
        let id = ledger.new_id();
        assert_eq!(ledger.ask_under(id, &withdraw(ALICE, 100)), ResultCode::Done);
        id
    };
    let (requested, approved, signed) = (ask(&mut ledger), ask(&mut ledger), ask(&mut ledger));
    assert_eq!(ledger.ask(&approve(ALICE, approved)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, signed)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, signed, 5, 6)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::Frozen)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, requested)), ResultCode::PlayerFrozen);
    assert_eq!(ledger.ask_key(2, &sign(ALICE, approved, 7, 8)), ResultCode::PlayerFrozen);
    assert_eq!(
        ledger.ask_key(3, &sign(ALICE, signed, 5, 9)),
        ResultCode::Done,
        "a replacement of one under way"
    );
    assert_eq!(ledger.ask_key(4, &crate::ledger::ask::paid(ALICE, signed, 9)), ResultCode::Done);
    assert_eq!(ledger.ask(&give_up(ALICE, requested)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::Active)), ResultCode::Done);
    assert_eq!(
        ledger.ask_key(2, &sign(ALICE, approved, 7, 8)),
        ResultCode::Done,
        "the refusal used no key up"
    );
}

/// A deposit that was taken back leaves a debt. What it paid for is not paid out.
#[test]
fn a_withdrawal_of_money_that_was_taken_back_is_neither_approved_nor_signed() {
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(1, &deposit(ALICE, 1_000)), ResultCode::Done);
    let early = ledger.new_id();
    assert_eq!(ledger.ask_under(early, &withdraw(ALICE, 300)), ResultCode::Done);
    let late = ledger.new_id();
    assert_eq!(ledger.ask_under(late, &withdraw(ALICE, 600)), ResultCode::Done);
    let going = ledger.new_id();
    assert_eq!(ledger.ask_under(going, &withdraw(ALICE, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, early)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, going)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &sign(ALICE, going, 5, 6)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &take_back(ALICE, 700, RequestId(1))), ResultCode::Shortfall);
    assert_eq!(ledger.owed(ALICE), 700);
    assert_eq!(ledger.ask(&approve(ALICE, late)), ResultCode::PlayerOwes);
    assert_eq!(ledger.ask_key(4, &sign(ALICE, early, 7, 8)), ResultCode::PlayerOwes);
    assert_eq!(ledger.ask_key(5, &sign(ALICE, going, 5, 9)), ResultCode::Done, "it is on its way");
    // Cancelled, it pays the debt. What is left can be paid out.
    assert_eq!(ledger.ask(&give_up(ALICE, late)), ResultCode::Done);
    assert_eq!(ledger.do_due(), [OperationKind::AutoCollect]);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 100));
    assert_eq!(ledger.ask_key(4, &sign(ALICE, early, 7, 8)), ResultCode::PlayerOwes);
    ledger.deposit(ALICE, 100);
    ledger.do_due();
    assert_eq!(ledger.owed(ALICE), 0);
    assert_eq!(ledger.ask_key(4, &sign(ALICE, early, 7, 8)), ResultCode::Done);
    ledger.replayed();
}

/// What is not final is credited and locked, whoever it is for; whether it can be played with is looked at when it is.
#[test]
fn an_unconfirmed_deposit_does_not_slip_past_an_exclusion_or_a_limit() {
    let unconfirmed = |amount| {
        changed(deposit(ALICE, amount), |deposit| deposit.detail.0[0] = LockReason::Unconfirmed as u8)
    };
    let confirm = |ledger: &mut Ledger, amount| {
        let operation = unlock(ALICE, amount, LockReason::Unconfirmed);
        ledger.ask_as(Role::Chain, &operation)
    };
    for (status, reason) in [
        (Status::SelfExcluded, LockReason::Excluded),
        (Status::Frozen, LockReason::Review),
        (Status::Closed, LockReason::Closed),
    ] {
        // Excluded before it came in, or while it became final.
        for before in [true, false] {
            let mut ledger = Ledger::casino();
            if before {
                assert_eq!(ledger.ask(&set_status(ALICE, status)), ResultCode::Done);
            }
            assert_eq!(ledger.ask_key(1, &unconfirmed(50)), ResultCode::Done);
            assert_eq!((locked(&ledger, LockReason::Unconfirmed), ledger.available(ALICE)), (50, 0));
            assert_eq!(ledger.ask(&set_status(ALICE, status)), ResultCode::Done);
            assert_eq!(confirm(&mut ledger, 50), ResultCode::StillLocked);
            assert_eq!((locked(&ledger, LockReason::Unconfirmed), locked(&ledger, reason)), (0, 50));
            assert_eq!((ledger.held(ALICE, Purse::Locked), ledger.available(ALICE)), (50, 0));
            // Nothing but the end of what keeps it locked frees it.
            assert!(!ledger.ask(&unlock(ALICE, 50, reason)).is_executed());
            ledger.replayed();
        }
    }
    let mut ledger = Ledger::casino();
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    assert_eq!(ledger.ask_key(1, &unconfirmed(5_000)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Deposit, Period::Day, 100)), ResultCode::Done);
    assert_eq!(
        ledger.ask_key(2, &unconfirmed(101)),
        ResultCode::LimitNear,
        "the first came before any limit"
    );
    assert_eq!(confirm(&mut ledger, 5_101), ResultCode::StillLocked);
    assert_eq!((locked(&ledger, LockReason::OverLimit), ledger.available(ALICE)), (5_101, 0));
    assert_eq!(ledger.ask(&unlock(ALICE, 1, LockReason::OverLimit)), ResultCode::LimitDeposit);
    // Another day's deposits are another day's.
    ledger.pass_millis(25 * HOUR);
    assert_eq!(ledger.ask(&unlock(ALICE, 101, LockReason::OverLimit)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &unconfirmed(50)), ResultCode::Done);
    assert_eq!(confirm(&mut ledger, 50), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 151);
    // The chain says what is final, and nothing else.
    let review = unlock(ALICE, 1, LockReason::OverLimit);
    assert_eq!(ledger.ask_as(Role::Chain, &review), ResultCode::ReasonNotAllowed);
    ledger.replayed();
}

/// A bridge that was superseded may think that its transaction cannot be mined, and knows nothing of the new one.
#[test]
fn a_superseded_bridge_releases_no_withdrawal() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 1_000);
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &withdraw(ALICE, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, id, 5, 6)), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Chain, &Operation::Grant { venue: CHAIN }), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Chain, &release(ALICE, id)), ResultCode::Fenced);
    let other_chain = changed(release(ALICE, id), |release| release.game.0 = CHAIN + 1);
    assert_eq!(ledger.ask_as(Role::Approver, &other_chain), ResultCode::WithdrawalDiffers);
    assert_eq!(ledger.held(ALICE, Purse::Withdrawing), 100);
    assert_eq!(ledger.ask_as(Role::Approver, &release(ALICE, id)), ResultCode::Done, "people need no grant");
}

#[test]
fn a_deposit_that_was_locked_is_taken_back_from_its_lock() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 70);
    let unconfirmed =
        changed(deposit(ALICE, 100), |deposit| deposit.detail.0[0] = LockReason::Unconfirmed as u8);
    assert_eq!(ledger.ask_key(CREDIT, &unconfirmed), ResultCode::Done);
    let credit = RequestId(CREDIT);
    assert_eq!(ledger.ask_key(1, &take_back(ALICE, 60, credit)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), locked(&ledger, LockReason::Unconfirmed)), (70, 40));
    assert_eq!(ledger.ask(&lock(ALICE, 20, LockReason::Review)), ResultCode::Done);
    let unlock = unlock(ALICE, 35, LockReason::Unconfirmed);
    assert_eq!(ledger.ask(&unlock), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 80, BET, ROUND)), ResultCode::Done);
    // 5 are locked for its reason, 5 are available, 30 are gone: three movements, in two records.
    assert_eq!(ledger.ask_key(2, &take_back(ALICE, 40, credit)), ResultCode::Shortfall);
    assert_eq!(ledger.latest().request.kind, OperationKind::Continue);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 30));
    assert_eq!((locked(&ledger, LockReason::Unconfirmed), locked(&ledger, LockReason::Review)), (0, 20));
    assert_eq!(ledger.of_house(Purse::DepositClearing, CHAIN), -70, "the chain has it back");
    ledger.replayed();
}

/// A win that was paid to a credit meter is there to be taken back.
#[test]
fn a_win_that_is_undone_is_taken_from_the_meter_that_it_was_paid_to() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let ends = ledger.now.plus_millis(HOUR);
    let number = ledger.open_session(&metered(ALICE, 0x70c, ends, 0));
    let meter = |ledger: &Ledger| ledger.state.session(number).map(|row| row.remainder.0);
    assert_eq!(ledger.ask(&fund(ALICE, 100, number)), ResultCode::Done);
    assert_eq!(ledger.ask(&in_session(bet(ALICE, 10, BET, ROUND), number)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &win(ALICE, 50, BET)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), meter(&ledger)), (0, Some(140)));
    assert_eq!(ledger.ask_key(2, &rollback(ALICE, 1)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), meter(&ledger), ledger.owed(ALICE)), (0, Some(90), 0));
    // A bet that won at once likewise.
    assert_eq!(ledger.ask(&in_session(bet_win(ALICE, 10, 60, BET + 1, ROUND), number)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &reverse(ALICE, BET + 1)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), meter(&ledger)), (0, Some(90)));
    // What the meter lacks comes from the account, and what that lacks is owed: three movements.
    assert_eq!(ledger.ask_key(4, &win(ALICE, 50, BET)), ResultCode::Done);
    let number_of = |operation| in_session(operation, number);
    assert_eq!(ledger.ask(&number_of(bet(ALICE, 110, BET + 2, ROUND))), ResultCode::Done);
    ledger.deposit(ALICE, 5);
    assert_eq!(ledger.ask_key(5, &rollback(ALICE, 4)), ResultCode::Shortfall);
    assert_eq!(ledger.latest().request.kind, OperationKind::Continue);
    assert_eq!((ledger.available(ALICE), meter(&ledger), ledger.owed(ALICE)), (0, Some(0), 15));
    // Once the session has ended it comes from the account alone.
    ledger.now = ends;
    ledger.do_due();
    ledger.deposit(ALICE, 500);
    ledger.do_due();
    assert_eq!(ledger.ask_key(6, &win(ALICE, 40, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(7, &rollback(ALICE, 6)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 485);
    ledger.replayed();
}

#[test]
fn a_meter_in_another_asset_pays_for_no_undone_win() {
    let mut ledger = Ledger::casino();
    let usd = ledger.open_asset_of("USD", 2, Amount(1_000_000));
    ledger.deposit(ALICE, 100);
    let in_usd = |operation| changed(operation, |request| request.asset = usd);
    assert_eq!(ledger.ask(&in_usd(deposit(ALICE, 100))), ResultCode::Done);
    let ends = ledger.now.plus_millis(HOUR);
    let number = ledger.open_session(&in_usd(metered(ALICE, 0x70c, ends, 0)));
    assert_eq!(ledger.ask(&in_usd(fund(ALICE, 70, number))), ResultCode::Done);
    assert_eq!(ledger.ask(&in_session(bet(ALICE, 10, BET, ROUND), number)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &win(ALICE, 50, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &rollback(ALICE, 1)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 90);
    assert_eq!(ledger.state.session(number).map(|row| row.remainder), Some(Amount(70)));
}

/// A payout is an amount that a role moves, like any other.
#[test]
fn a_role_pays_no_more_by_a_payout_than_it_may_by_an_amount() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 1_000);
    let hold = ledger.open_hold(ALICE, 10, 900);
    ledger.trust(Role::Games, ETH, 100);
    assert_eq!(ledger.settle(ALICE, hold, 10, 101), ResultCode::AmountOverRole);
    assert_eq!(ledger.settle(ALICE, hold, 10, 100), ResultCode::Done);
    assert_eq!(ledger.ask(&bet_win(ALICE, 1, 101, BET, ROUND)), ResultCode::AmountOverRole);
    assert_eq!(ledger.ask(&bet_win(ALICE, 1, 100, BET, ROUND)), ResultCode::Done);
    // What a bet could pay at most is not moved.
    assert_eq!(ledger.ask(&bet(ALICE, 50, BET + 1, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 101, BET + 2, ROUND)), ResultCode::AmountOverRole);
    assert_eq!(ledger.ask_key(1, &win(ALICE, 101, BET + 1)), ResultCode::AmountOverRole);
    ledger.trust(Role::Games, ETH, 101);
    assert_eq!(
        ledger.ask_key(1, &win(ALICE, 101, BET + 1)),
        ResultCode::Done,
        "nothing was remembered of it"
    );
}

/// GLI-19 A.2.5: what testers have stays with testers.
#[test]
fn gli_19_r29_testers_and_customers_send_nothing_to_each_other() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let mut open = |caller_id| {
        let class = PlayerClass::Test;
        let open = Operation::OpenPlayer { caller_id: CallerId(caller_id), brand: 0, jurisdiction: 0, class };
        assert_eq!(ledger.ask(&open), ResultCode::Done);
        ledger.latest().request.player
    };
    let (one, other) = (open(77), open(78));
    ledger.deposit(one, 100);
    assert_eq!(ledger.ask(&transfer(one, ALICE, 5)), ResultCode::TransferClass);
    assert_eq!(ledger.ask(&transfer(ALICE, one, 5)), ResultCode::TransferClass);
    assert_eq!(ledger.ask(&transfer(one, other, 5)), ResultCode::Done);
}

/// GLI-19 A.3.7: not even the house makes a looser limit wait for less than a day.
#[test]
fn gli_19_r23_the_time_for_reconsideration_is_a_day_at_least() {
    let mut ledger = Ledger::casino();
    let day = u128::from(24 * HOUR);
    for (value, code) in [
        (1, ResultCode::RuleUnfit),
        (day - 1, ResultCode::RuleUnfit),
        (day, ResultCode::Done),
        (7 * day, ResultCode::Done),
        (0, ResultCode::Done),
    ] {
        let set = Operation::SetRule { rule: Rule::Reconsider, scope: 0, value };
        assert_eq!(ledger.ask(&set), code, "{value} ms");
    }
}

/// A hold's id is a number of the ledger's callers, a bet's of its provider: nothing keeps them apart. What a bet
/// wins and what comes back of it goes by the bet, whatever hold has the same number.
#[test]
fn a_bet_under_the_number_of_an_open_hold_is_paid_to_its_own_meter() {
    for in_a_session in [false, true] {
        let mut ledger = Ledger::casino();
        ledger.deposit(ALICE, 100);
        ledger.deposit(BOB, 100);
        let ends = ledger.now.plus_millis(HOUR);
        let of_alice = ledger.open_session(&metered(ALICE, 0x70c, ends, 50));
        let of_bob = ledger.open_session(&metered(BOB, 0x70d, ends, 50));
        let meter = |ledger: &Ledger, number| ledger.state.session(number).map(|row| row.remainder.0);
        let hold = ledger.new_id();
        let session = if in_a_session { of_bob } else { SessionId::NONE };
        let reserve = in_session(ledger.reserve(BOB, 10, 20), session);
        assert_eq!(ledger.ask_under(hold, &reserve), ResultCode::Done);
        let number = hold.0;
        assert_eq!(ledger.ask(&in_session(bet(ALICE, 40, number, ROUND), of_alice)), ResultCode::Done);
        assert_eq!(ledger.ask_key(1, &win(ALICE, 30, number)), ResultCode::Done);
        assert_eq!((meter(&ledger, of_alice), meter(&ledger, of_bob)), (Some(30), Some(0)));
        assert_eq!(ledger.ask_key(2, &rollback(ALICE, 1)), ResultCode::Done);
        assert_eq!(meter(&ledger, of_alice), Some(0));
        assert_eq!(ledger.ask_key(3, &rollback(ALICE, number)), ResultCode::Done);
        assert_eq!((meter(&ledger, of_alice), meter(&ledger, of_bob)), (Some(40), Some(0)));
        // The hold goes by itself as well: by its own meter while that is open.
        assert_eq!(ledger.settle(BOB, hold, 4, 5), ResultCode::Done);
        assert_eq!(ledger.cancel(BOB, hold), ResultCode::Done);
        let bobs = if in_a_session { 11 } else { 0 };
        assert_eq!((meter(&ledger, of_alice), meter(&ledger, of_bob)), (Some(40), Some(bobs)));
        // What the meters say is what the accounts hold, so that each session ends with its own.
        ledger.now = ends;
        assert_eq!(ledger.do_due(), [OperationKind::ExpireSession; 2]);
        assert_eq!((ledger.available(ALICE), ledger.available(BOB)), (100, 101));
        ledger.replayed();
    }
}

/// And a hold under the number of an open bet.
#[test]
fn a_hold_under_the_number_of_an_open_bet_is_settled_to_its_own_meter() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.deposit(BOB, 100);
    let ends = ledger.now.plus_millis(HOUR);
    let of_alice = ledger.open_session(&metered(ALICE, 0x70c, ends, 50));
    let of_bob = ledger.open_session(&metered(BOB, 0x70d, ends, 50));
    let meter = |ledger: &Ledger, number| ledger.state.session(number).map(|row| row.remainder.0);
    let hold = ledger.new_id();
    assert_eq!(ledger.ask(&in_session(bet(ALICE, 40, hold.0, ROUND), of_alice)), ResultCode::Done);
    let reserve = in_session(ledger.reserve(BOB, 10, 20), of_bob);
    assert_eq!(ledger.ask_under(hold, &reserve), ResultCode::Done);
    // In a group it is the same.
    let group = [
        (RequestId(1), win(ALICE, 30, hold.0)),
        (
            ledger.new_id(),
            Operation::Settle { player: BOB, asset: ETH, hold, stake: Amount(10), payout: Amount(20) },
        ),
    ];
    assert_eq!(ledger.ask_group(&group), [ResultCode::Done; 2]);
    assert_eq!((meter(&ledger, of_alice), meter(&ledger, of_bob)), (Some(30), Some(20)));
    ledger.now = ends;
    assert_eq!(ledger.do_due(), [OperationKind::ExpireSession; 2]);
    assert_eq!((ledger.available(ALICE), ledger.available(BOB)), (90, 110));
    ledger.replayed();
}
