//! Money in and out: deposits and what takes them back, locks, withdrawals, what players owe.

use cage_engine::state::Stage;
use cage_engine::{
    Amount, LockReason, Operation, OperationKind, PlayerId, Purse, Reference, RequestId, ResultCode, Role,
    Rule, Status,
};

use crate::ledger::ask::{
    CHAIN, approve, bet, changed, collect, deposit, give_up, lock, paid, release, rollback, set_status, sign,
    take_back, unlock, win, withdraw,
};
use crate::ledger::{ACTOR, ALICE, BOB, ETH, Ledger, PLAY};

const CREDIT: u128 = 0xc4ed;
const CHECKER: u32 = 0xc4ec;

fn with_money() -> Ledger {
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(CREDIT, &deposit(ALICE, 1_000)), ResultCode::Done);
    ledger
}

fn requested(ledger: &mut Ledger, amount: u128) -> RequestId {
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &withdraw(ALICE, amount)), ResultCode::Done);
    id
}

fn approved_by(ledger: &mut Ledger, role: Role, actor: u32, withdrawal: RequestId) -> ResultCode {
    let id = ledger.new_id();
    ledger.ask_by(role, actor, id, &approve(ALICE, withdrawal))
}

#[test]
fn a_withdrawal_is_set_aside_approved_signed_and_paid() {
    let mut ledger = with_money();
    ledger.set_rule(Rule::WithdrawFee, u64::from(ETH.0), 7);
    let id = requested(&mut ledger, 300);
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Withdrawing)), (700, 300));
    ledger.set_rule(Rule::WithdrawFee, u64::from(ETH.0), 99);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, id, 5, 6)), ResultCode::WithdrawalNotApproved);
    assert_eq!(ledger.ask(&approve(BOB, id)), ResultCode::WithdrawalDiffers);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::WithdrawalApproved);
    assert_eq!(ledger.ask_key(2, &paid(ALICE, id, 6)), ResultCode::WithdrawalNotSigned);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, id, 5, 6)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::WithdrawalSigned);
    let other_chain = changed(paid(ALICE, id, 6), |paid| paid.game.0 = CHAIN + 1);
    assert_eq!(ledger.ask_key(2, &other_chain), ResultCode::WithdrawalDiffers);
    assert_eq!(ledger.ask_key(2, &paid(ALICE, id, 7)), ResultCode::TransactionUnknown);
    ledger.crash();
    for _ in 0..2 {
        assert_eq!(ledger.ask_key(2, &paid(ALICE, id, 6)), ResultCode::Done, "told twice, paid once");
    }
    assert_eq!(ledger.held(ALICE, Purse::Withdrawing), 0);
    assert_eq!(ledger.of_house(Purse::WithdrawalClearing, CHAIN), 293, "the fee of the day of the request");
    assert_eq!(ledger.of_house(Purse::Fees, 0), 7);
    assert_eq!(ledger.ask(&give_up(ALICE, id)), ResultCode::WithdrawalSettled);
    assert_eq!(ledger.ask(&release(ALICE, id)), ResultCode::WithdrawalSettled);
    assert_eq!(ledger.ask(&give_up(ALICE, RequestId(5))), ResultCode::WithdrawalUnknown);
}

/// Each attempt to pay takes the place of the one before: only one of them can ever be mined.
#[test]
fn all_attempts_to_pay_a_withdrawal_use_the_same_slot() {
    let mut ledger = with_money();
    let id = requested(&mut ledger, 300);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, id, 5, 101)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &sign(ALICE, id, 6, 102)), ResultCode::SlotDiffers);
    for attempt in 2..=16 {
        assert_eq!(ledger.ask_key(1 + attempt, &sign(ALICE, id, 5, 100 + attempt)), ResultCode::Done);
    }
    // None that could still be mined is forgotten for a further one.
    assert_eq!(ledger.ask_key(50, &sign(ALICE, id, 5, 117)), ResultCode::AttemptsUsed);
    let row = ledger.state.withdrawal(id).expect("a withdrawal");
    assert_eq!((row.attempts, row.stage, row.slot), (16, Stage::Signed, 5));
    assert_eq!(ledger.ask_key(51, &paid(ALICE, id, 117)), ResultCode::TransactionUnknown);
    assert_eq!(ledger.ask_key(51, &paid(ALICE, id, 101)), ResultCode::Done, "the first of all");
    assert_eq!(ledger.of_house(Purse::WithdrawalClearing, CHAIN), 300);
}

#[test]
fn a_great_withdrawal_needs_two_different_identities() {
    let mut ledger = with_money();
    ledger.set_rule(Rule::SecondApprovalFrom, u64::from(ETH.0), 300);
    let small = requested(&mut ledger, 299);
    assert_eq!(approved_by(&mut ledger, Role::Risk, ACTOR, small), ResultCode::Done);
    let great = requested(&mut ledger, 300);
    assert_eq!(approved_by(&mut ledger, Role::Risk, ACTOR, great), ResultCode::OneMore);
    assert_eq!(ledger.state.withdrawal(great).map(|row| row.stage), Some(Stage::Requested));
    assert_eq!(approved_by(&mut ledger, Role::Risk, ACTOR, great), ResultCode::SameIdentity);
    assert_eq!(
        approved_by(&mut ledger, Role::Approver, ACTOR, great),
        ResultCode::SameIdentity,
        "not under another role either"
    );
    assert_eq!(ledger.ask_key(1, &sign(ALICE, great, 5, 6)), ResultCode::WithdrawalNotApproved);
    ledger.crash();
    assert_eq!(approved_by(&mut ledger, Role::Approver, CHECKER, great), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, great, 5, 6)), ResultCode::Done);
}

#[test]
fn a_withdrawal_is_cancelled_before_it_is_signed_and_released_after() {
    let mut ledger = with_money();
    let id = requested(&mut ledger, 300);
    assert_eq!(ledger.ask(&release(ALICE, id)), ResultCode::WithdrawalNotSigned);
    assert_eq!(ledger.ask(&give_up(BOB, id)), ResultCode::WithdrawalDiffers);
    assert_eq!(ledger.ask(&give_up(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 1_000);
    assert_eq!(ledger.ask(&give_up(ALICE, id)), ResultCode::WithdrawalCancelled);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::WithdrawalCancelled);
    let id = requested(&mut ledger, 300);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, id, 5, 6)), ResultCode::Done);
    assert_eq!(ledger.ask(&give_up(ALICE, id)), ResultCode::WithdrawalSigned, "it may be on its way");
    assert_eq!(ledger.ask(&release(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 1_000);
    assert_eq!(ledger.ask_key(2, &paid(ALICE, id, 6)), ResultCode::WithdrawalCancelled);
}

#[test]
fn nothing_is_withdrawn_that_is_not_there_or_that_its_fee_would_eat() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&withdraw(ALICE, 1_001)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&withdraw(ALICE, 1_000_001)), ResultCode::AmountOverBound);
    ledger.set_rule(Rule::WithdrawFee, u64::from(ETH.0), 7);
    assert_eq!(ledger.ask(&withdraw(ALICE, 7)), ResultCode::FeeExceeds);
    assert_eq!(ledger.ask(&withdraw(ALICE, 8)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::Frozen)), ResultCode::Done);
    assert_eq!(ledger.ask(&withdraw(ALICE, 8)), ResultCode::PlayerFrozen);
}

#[test]
fn what_a_deposit_has_to_be_wagered_is_wagered_before_a_withdrawal() {
    let mut ledger = Ledger::casino();
    let turned = |amount| changed(deposit(ALICE, 100), |deposit| deposit.detail.0[16] = amount);
    assert_eq!(ledger.ask_key(1, &turned(50)), ResultCode::Done);
    assert_eq!(ledger.ask(&withdraw(ALICE, 10)), ResultCode::TurnoverLeft);
    assert_eq!(ledger.ask(&bet(ALICE, 30, 0xbe7, 0x40d)), ResultCode::Done);
    assert_eq!(ledger.state.turnover(ALICE, ETH), Amount(20));
    assert_eq!(ledger.ask_key(2, &rollback(ALICE, 0xbe7)), ResultCode::Done);
    assert_eq!(ledger.state.turnover(ALICE, ETH), Amount(50), "what was undone was not wagered");
    assert_eq!(ledger.ask(&bet(ALICE, 30, 0xbe8, 0x40d)), ResultCode::Done);
    let hold = ledger.open_hold(ALICE, 60, 60);
    assert_eq!(ledger.state.turnover(ALICE, ETH), Amount(20), "a stake set aside is not wagered yet");
    assert_eq!(ledger.settle(ALICE, hold, 60, 60), ResultCode::Done);
    assert_eq!(ledger.state.turnover(ALICE, ETH), Amount::ZERO);
    assert_eq!(ledger.ask(&withdraw(ALICE, 10)), ResultCode::Done);
}

#[test]
fn a_deposit_that_the_chain_takes_back_is_taken_from_the_player_who_owes_the_rest() {
    let mut ledger = with_money();
    let credit = RequestId(CREDIT);
    assert_eq!(ledger.ask(&bet(ALICE, 900, 0xbe7, 0x40d)), ResultCode::Done);
    let known = |player: PlayerId, amount, deposit| take_back(player, amount, deposit);
    assert_eq!(ledger.ask_key(1, &known(ALICE, 5, RequestId(7))), ResultCode::DepositUnknown);
    assert_eq!(ledger.ask_key(1, &known(BOB, 5, credit)), ResultCode::DepositDiffers);
    assert_eq!(ledger.ask_key(1, &known(ALICE, 1_001, credit)), ResultCode::DepositExceeded);
    assert_eq!(ledger.ask_key(1, &known(ALICE, 40, credit)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &known(ALICE, 961, credit)), ResultCode::DepositExceeded, "40 are back");
    assert_eq!(ledger.ask_key(2, &known(ALICE, 960, credit)), ResultCode::Shortfall);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 900));
    assert_eq!(ledger.of_house(Purse::DepositClearing, CHAIN), 0, "the chain has all of it back");
    assert_eq!(ledger.ask_key(2, &known(ALICE, 960, credit)), ResultCode::Shortfall, "told twice");
    assert_eq!(ledger.owed(ALICE), 900);
    assert_eq!(ledger.ask_key(3, &win(ALICE, 2_000, 0xbe7)), ResultCode::Done);
    assert_eq!(ledger.do_due(), [OperationKind::AutoCollect]);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (1_100, 0));
}

#[test]
fn a_chargeback_takes_a_deposit_back_like_a_chain_and_never_more_than_it_was() {
    let mut ledger = with_money();
    let back = |amount| Operation::Chargeback {
        player: ALICE,
        asset: ETH,
        amount: Amount(amount),
        deposit: Reference(CREDIT),
        chain: CHAIN,
        reason: 4,
    };
    assert_eq!(ledger.ask_key(1, &back(600)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &take_back(ALICE, 401, RequestId(CREDIT))), ResultCode::DepositExceeded);
    assert_eq!(ledger.ask_key(2, &take_back(ALICE, 400, RequestId(CREDIT))), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &back(1)), ResultCode::DepositExceeded);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 0));
}

#[test]
fn a_debt_is_collected_in_part_or_written_off_within_the_bound_of_the_role() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&collect(ALICE, 0)), ResultCode::NothingOwed);
    assert_eq!(ledger.ask(&bet(ALICE, 1_000, 0xbe7, 0x40d)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &take_back(ALICE, 1_000, RequestId(CREDIT))), ResultCode::Shortfall);
    assert_eq!(ledger.ask(&collect(ALICE, 0)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&collect(ALICE, 1_001)), ResultCode::OwedExceeded);
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask(&collect(ALICE, 101)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&collect(ALICE, 60)), ResultCode::Done);
    assert_eq!(ledger.ask(&collect(ALICE, 0)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 900));
    let write_off = |amount| Operation::WriteOff {
        player: ALICE,
        asset: ETH,
        amount: Amount(amount),
        text: Reference(0x7e87),
        reason: 2,
    };
    assert_eq!(ledger.ask(&write_off(5)), ResultCode::AmountOverRole, "without a bound nothing at all");
    ledger.trust(Role::Operator, ETH, 901);
    assert_eq!(ledger.ask(&write_off(902)), ResultCode::AmountOverRole);
    assert_eq!(ledger.ask(&write_off(901)), ResultCode::OwedExceeded);
    assert_eq!(ledger.ask(&write_off(900)), ResultCode::Done);
    assert_eq!(ledger.ask(&write_off(1)), ResultCode::NothingOwed);
    assert_eq!((ledger.owed(ALICE), ledger.of_house(Purse::WriteOffs, 0)), (0, -900));
}

#[test]
fn locked_money_is_played_by_nobody_and_unlocked_for_the_reason_that_it_was_locked_for() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&lock(ALICE, 1_001, LockReason::Review)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&lock(ALICE, 600, LockReason::Review)), ResultCode::Done);
    assert_eq!(ledger.ask(&lock(ALICE, 300, LockReason::Unconfirmed)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 101, 0xbe7, 0x40d)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&withdraw(ALICE, 101)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&unlock(ALICE, 301, LockReason::Unconfirmed)), ResultCode::LockExceeded);
    assert_eq!(ledger.ask(&unlock(ALICE, 300, LockReason::Unconfirmed)), ResultCode::Done);
    assert_eq!(ledger.ask(&unlock(ALICE, 1, LockReason::Unconfirmed)), ResultCode::LockExceeded);
    assert_eq!(ledger.state.locked(ALICE, ETH, LockReason::Review), Amount(600));
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Locked)), (400, 600));
}

/// What a chain brings cannot be sent back: it is credited, out of reach of the games, and can be paid out again.
#[test]
fn a_withdrawal_draws_on_what_came_in_while_the_player_was_excluded() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 50);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::SelfExcluded)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &deposit(ALICE, 100)), ResultCode::Done);
    assert_eq!(ledger.latest().lock_reason(), Some(LockReason::Excluded));
    let review = changed(deposit(ALICE, 30), |deposit| deposit.detail.0[0] = LockReason::Review as u8);
    assert_eq!(ledger.ask_key(2, &review), ResultCode::Done, "as asked");
    assert_eq!(ledger.ask(&set_status(ALICE, Status::Closed)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &deposit(ALICE, 200)), ResultCode::Done);
    let locked = |ledger: &Ledger, reason| ledger.state.locked(ALICE, ETH, reason).0;
    assert_eq!(locked(&ledger, LockReason::Closed), 200);
    assert_eq!(ledger.ask(&withdraw(ALICE, 351)), ResultCode::InsufficientFunds, "not what is in review");
    let id = requested(&mut ledger, 180);
    assert_eq!((ledger.available(ALICE), locked(&ledger, LockReason::Excluded)), (0, 0));
    assert_eq!(locked(&ledger, LockReason::Closed), 170, "in the order of the reasons");
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.ask(&give_up(ALICE, id)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), locked(&ledger, LockReason::Excluded)), (50, 100));
    assert_eq!(locked(&ledger, LockReason::Closed), 200, "what was locked is locked again");
    assert_eq!(ledger.ask(&bet(ALICE, 1, 0xbe7, 0x40d)), ResultCode::PlayerClosed);
}

#[test]
fn a_cashiers_deposit_is_refused_where_a_chains_is_locked() {
    for (status, code, reason) in [
        (Status::SelfExcluded, ResultCode::SelfExcluded, LockReason::Excluded),
        (Status::Frozen, ResultCode::PlayerFrozen, LockReason::Review),
        (Status::Closed, ResultCode::PlayerClosed, LockReason::Closed),
    ] {
        let mut ledger = Ledger::casino();
        assert_eq!(ledger.ask(&set_status(ALICE, status)), ResultCode::Done);
        assert_eq!(ledger.ask_as(Role::Cashier, &deposit(ALICE, 10)), code);
        assert_eq!(ledger.ask_as(Role::Chain, &deposit(ALICE, 10)), ResultCode::Done);
        assert_eq!(ledger.state.locked(ALICE, ETH, reason), Amount(10), "{}", status.name());
        assert_eq!(ledger.held(ALICE, Purse::Locked), 10);
    }
}

#[test]
fn addresses_of_a_chain_are_handed_out_once_and_in_order() {
    let mut ledger = Ledger::casino();
    let mut assigned = |player, chain, fresh| {
        let code = ledger.ask(&Operation::AssignAddress { player, chain, fresh });
        (code, ledger.latest().handed_out())
    };
    assert_eq!(assigned(ALICE, 1, false), (ResultCode::Done, Some(0)));
    assert_eq!(assigned(BOB, 1, false), (ResultCode::Done, Some(1)));
    assert_eq!(assigned(ALICE, 1, false), (ResultCode::Existing, Some(0)));
    assert_eq!(assigned(ALICE, 1, true), (ResultCode::Done, Some(2)));
    assert_eq!(assigned(ALICE, 1, false), (ResultCode::Existing, Some(2)));
    assert_eq!(assigned(ALICE, 2, false), (ResultCode::Done, Some(0)), "each chain counts by itself");
    assert_eq!(ledger.replayed().address(BOB, 1), Some(1));
}

#[test]
fn a_bridge_with_an_older_grant_is_fenced_off() {
    let mut ledger = with_money();
    let ask = |ledger: &mut Ledger, grant: u16, operation: &Operation, role| {
        let id = ledger.new_id();
        let request = operation.request(id);
        let admitted = crate::ledger::admitted(request, role, ACTOR, ledger.now);
        ledger.admit(&cage_engine::Admitted { grant, ..admitted })
    };
    let provider = u32::from(PLAY.provider());
    let grant = |ledger: &mut Ledger, role, venue| {
        assert_eq!(ledger.ask_as(role, &Operation::Grant { venue }), ResultCode::Done);
        ledger.latest().handed_out().expect("a number")
    };
    assert_eq!(ask(&mut ledger, 0, &bet(ALICE, 1, 1, 1), Role::Games), ResultCode::Done, "nobody has it yet");
    assert_eq!(grant(&mut ledger, Role::Games, provider), 1);
    assert_eq!(ask(&mut ledger, 0, &bet(ALICE, 1, 2, 1), Role::Games), ResultCode::Fenced);
    assert_eq!(ask(&mut ledger, 1, &bet(ALICE, 1, 2, 1), Role::Games), ResultCode::Done);
    assert_eq!(grant(&mut ledger, Role::Games, provider), 2);
    let records = ledger.records.len();
    assert_eq!(ask(&mut ledger, 1, &bet(ALICE, 1, 3, 1), Role::Games), ResultCode::Fenced);
    assert_eq!(ask(&mut ledger, 1, &rollback(ALICE, 2), Role::Games), ResultCode::Fenced);
    assert_eq!(ledger.records.len(), records, "and leaves no trace");
    let hold = ledger.new_id();
    let reserve = ledger.reserve(ALICE, 5, 5);
    let admitted = crate::ledger::admitted(reserve.request(hold), Role::Frontend, ACTOR, ledger.now);
    assert_eq!(ledger.admit(&admitted), ResultCode::Done, "a front end is no bridge");
    let cancel = Operation::Cancel { player: ALICE, asset: ETH, hold };
    assert_eq!(ask(&mut ledger, 1, &cancel, Role::Games), ResultCode::Fenced, "the hold is this provider's");
    assert_eq!(ask(&mut ledger, 2, &cancel, Role::Games), ResultCode::Done);
    // A chain's grants are its own.
    assert_eq!(grant(&mut ledger, Role::Chain, CHAIN), 3);
    assert_eq!(ask(&mut ledger, 2, &deposit(ALICE, 5), Role::Chain), ResultCode::Fenced);
    assert_eq!(ask(&mut ledger, 3, &deposit(ALICE, 5), Role::Chain), ResultCode::Done);
    let seen = changed(deposit(ALICE, 5), |deposit| deposit.detail.0[0] = LockReason::Unconfirmed as u8);
    assert_eq!(ask(&mut ledger, 3, &seen, Role::Chain), ResultCode::Done);
    let confirmed = changed(unlock(ALICE, 5, LockReason::Unconfirmed), |unlock| unlock.game.0 = CHAIN);
    assert_eq!(ask(&mut ledger, 2, &confirmed, Role::Chain), ResultCode::Fenced, "nor does it free any");
    assert_eq!(ask(&mut ledger, 3, &confirmed, Role::Chain), ResultCode::Done);
    let other_chain = changed(deposit(ALICE, 5), |deposit| deposit.game.0 = 9);
    assert_eq!(ask(&mut ledger, 0, &other_chain, Role::Chain), ResultCode::Done);
    assert_eq!(ledger.replayed().granted(Role::Games, provider), 2);
    // And only one identity may speak for a provider, if the house says so.
    ledger.set_rule(Rule::ProviderActor, u64::from(provider), 77);
    assert_eq!(ask(&mut ledger, 2, &bet(ALICE, 1, 9, 1), Role::Games), ResultCode::CallerNotPermitted);
}
