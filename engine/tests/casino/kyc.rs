//! Withdrawals that are held up until a player's identity or the origin of the funds is checked. The domain calls this
//! a KYC hold: play and deposits go on, nothing leaves.

use cage_engine::{
    Amount, Operation, OperationKind, Purse, RequestId, ResultCode, Role, Rule, SessionId, Status,
};

use crate::ledger::ask::{
    approve, bet, changed, deposit, fund, give_up, in_session, kyc_hold, metered, paid, release, set_status,
    sign, take_back, transfer, unfund, win, withdraw,
};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger};

/// A second identity.
const CHECKER: u32 = 0xc4ec;

fn with_money() -> Ledger {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 1_000);
    ledger
}

fn requested(ledger: &mut Ledger, amount: u128) -> RequestId {
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &withdraw(ALICE, amount)), ResultCode::Done);
    id
}

#[test]
fn play_and_deposits_go_on_while_withdrawals_are_held_up() {
    let mut ledger = with_money();
    assert_eq!(ledger.ask(&kyc_hold(ALICE, true)), ResultCode::Done);
    assert_eq!(ledger.ask(&withdraw(ALICE, 10)), ResultCode::KycHold);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 0xbe7, 0x40d)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &win(ALICE, 30, 0xbe7)), ResultCode::Done);
    let hold = ledger.open_hold(ALICE, 10, 40);
    assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Cashier, &deposit(ALICE, 50)), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Chain, &deposit(ALICE, 50)), ResultCode::Done);
    assert_eq!(ledger.held(ALICE, Purse::Locked), 0, "what comes in is not locked for it");
    let ends = ledger.now.plus_millis(HOUR);
    let session = ledger.open_session(&metered(ALICE, 0x70c, ends, 0));
    assert_eq!(ledger.ask(&fund(ALICE, 20, session)), ResultCode::Done);
    assert_eq!(ledger.ask(&unfund(ALICE, 20, session)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 1_000 + 20 + 30 + 100);
    ledger.crash();
    assert_eq!(ledger.ask(&withdraw(ALICE, 10)), ResultCode::KycHold);
    ledger.deposit(BOB, 10);
    assert_eq!(ledger.ask(&withdraw(BOB, 10)), ResultCode::Done, "another player's go on");
    assert_eq!(ledger.ask(&kyc_hold(ALICE, false)), ResultCode::Done);
    assert_eq!(ledger.ask(&withdraw(ALICE, 1_150)), ResultCode::Done);
    ledger.replayed();
}

/// A friend's account is no way out, nor is another asset.
#[test]
fn what_is_held_up_does_not_leave_through_another_player_or_another_asset() {
    let mut ledger = with_money();
    ledger.deposit(BOB, 100);
    assert_eq!(ledger.ask(&kyc_hold(ALICE, true)), ResultCode::Done);
    assert_eq!(ledger.ask(&transfer(ALICE, BOB, 10)), ResultCode::KycHold);
    assert_eq!(ledger.ask(&transfer(BOB, ALICE, 10)), ResultCode::Done, "what comes in may");
    assert_eq!(ledger.available(BOB), 90);
    let coin = ledger.open_asset_of("SAT", 8, Amount(1 << 60));
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    let price = Amount(100_000_000_000_000_000);
    assert_eq!(ledger.ask(&Operation::PublishRate { asset: coin, price }), ResultCode::Done);
    let exchange = Operation::Exchange {
        player: ALICE,
        asset: ETH,
        amount: Amount(500),
        session: SessionId(0),
        to: coin,
        at_least: Amount(1),
    };
    assert_eq!(ledger.ask(&exchange), ResultCode::Done, "it stays the player's own");
    let one_of_it = changed(withdraw(ALICE, 1), |request| request.asset = coin);
    assert_eq!(ledger.ask(&one_of_it), ResultCode::KycHold, "the hold is the player's, whatever the asset");
}

#[test]
fn a_withdrawal_that_was_asked_for_before_waits_or_comes_back_and_goes_on_after_the_check() {
    let mut ledger = with_money();
    let (one, other) = (requested(&mut ledger, 300), requested(&mut ledger, 200));
    assert_eq!(ledger.ask(&approve(ALICE, other)), ResultCode::Done);
    assert_eq!(ledger.ask(&kyc_hold(ALICE, true)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(ALICE, one)), ResultCode::KycHold);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, other, 5, 6)), ResultCode::KycHold);
    assert_eq!(ledger.held(ALICE, Purse::Withdrawing), 500, "it stays set aside");
    ledger.crash();
    assert_eq!(ledger.ask(&give_up(ALICE, one)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 800);
    assert_eq!(ledger.ask(&kyc_hold(ALICE, false)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &sign(ALICE, other, 5, 6)), ResultCode::Done, "a refusal used up no key");
    assert_eq!(ledger.ask_key(2, &paid(ALICE, other, 6)), ResultCode::Done);
    assert_eq!(ledger.held(ALICE, Purse::Withdrawing), 0);
    ledger.replayed();
}

#[test]
fn what_was_signed_before_the_hold_is_decided_by_the_chain_alone() {
    let mut ledger = with_money();
    let (paid_out, stuck) = (requested(&mut ledger, 300), requested(&mut ledger, 200));
    for (key, id) in [(1, paid_out), (2, stuck)] {
        assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
        assert_eq!(ledger.ask_key(key, &sign(ALICE, id, key, 6 + key)), ResultCode::Done);
    }
    assert_eq!(ledger.ask(&kyc_hold(ALICE, true)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &sign(ALICE, paid_out, 1, 9)), ResultCode::Done, "replaced at a higher fee");
    assert_eq!(ledger.ask_key(4, &paid(ALICE, paid_out, 9)), ResultCode::Done);
    assert_eq!(ledger.ask(&release(ALICE, stuck)), ResultCode::Done);
    assert_eq!(ledger.available(ALICE), 700);
    assert_eq!(ledger.ask(&withdraw(ALICE, 10)), ResultCode::KycHold, "and then it is held up");
}

/// Which answer comes first: a frozen player is frozen, held up or not; the hold stands before sessions, debts, turnover
/// and stages.
#[test]
fn a_freeze_is_said_before_the_hold_and_the_hold_before_a_debt_or_a_stage() {
    let mut ledger = Ledger::casino();
    assert_eq!(ledger.ask_key(0xa07, &deposit(ALICE, 100)), ResultCode::Done);
    let id = requested(&mut ledger, 60);
    assert_eq!(ledger.ask(&approve(ALICE, id)), ResultCode::Done);
    assert_eq!(ledger.ask(&kyc_hold(ALICE, true)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &take_back(ALICE, 100, RequestId(0xa07))), ResultCode::Shortfall);
    for refused in [withdraw(ALICE, 1), approve(ALICE, id), transfer(ALICE, BOB, 1)] {
        assert_eq!(ledger.ask(&refused), ResultCode::KycHold, "{refused:?}");
    }
    let unknown = in_session(withdraw(ALICE, 1), SessionId(99));
    assert_eq!(ledger.ask(&unknown), ResultCode::KycHold);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::Frozen)), ResultCode::Done);
    for refused in [withdraw(ALICE, 1), approve(ALICE, id), transfer(ALICE, BOB, 1)] {
        assert_eq!(ledger.ask(&refused), ResultCode::PlayerFrozen, "{refused:?}");
    }
    assert_eq!(ledger.ask(&set_status(ALICE, Status::Active)), ResultCode::Done);
    assert_eq!(ledger.ask(&withdraw(ALICE, 1)), ResultCode::KycHold, "no status lifts it");
    assert_eq!(ledger.ask(&give_up(ALICE, id)), ResultCode::Done);
    assert_eq!(
        ledger.do_due(),
        [OperationKind::AutoCollect],
        "what the player owes is collected all the same"
    );
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 0));
}

/// The record names who, why and the digest of the text, for the hold and for its end.
#[test]
fn the_hold_and_its_end_are_records_with_a_reason_and_the_digest_of_the_text() {
    let mut ledger = with_money();
    for role in [Role::Frontend, Role::Cashier, Role::Games, Role::Chain, Role::Approver] {
        let spec = OperationKind::SetKycHold.spec();
        assert!(!spec.roles.contains(role), "{}", role.name());
    }
    for (role, actor, held) in [(Role::Risk, CHECKER, true), (Role::Operator, CHECKER + 1, false)] {
        let id = ledger.new_id();
        assert_eq!(ledger.ask_by(role, actor, id, &kyc_hold(ALICE, held)), ResultCode::Done);
        let record = ledger.latest();
        assert_eq!((record.role, record.actor, record.request.reference), (role, actor, 0x7e87));
        let player = ledger.state.player(ALICE).expect("a player");
        assert_eq!((player.kyc_held, player.kyc_reason), (held, 6));
        assert_eq!(ledger.replayed().player(ALICE).map(|player| player.kyc_held), Some(held));
        assert_eq!(ledger.state.balances(ALICE, ETH).available.0, 1_000, "no money moves");
    }
}
