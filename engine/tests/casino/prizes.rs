//! Prizes: jackpots, free rounds, promotions.

use cage_engine::{Amount, Operation, OperationKind, Purse, Reference, RequestId, ResultCode, Role, Status};

use crate::ledger::ask::{changed, consume, contribute, freerounds, jackpot_win, set_status, withdraw};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger, OTHER, PLAY, POOL};

fn seed(amount: u128, debit: bool) -> Operation {
    Operation::JackpotAdjust {
        asset: ETH,
        amount: Amount(amount),
        text: Reference(0x7e87),
        pool: POOL,
        debit,
        reason: 1,
        text_rest: 0,
    }
}

/// GLI-19 4.13.5: what is paid, held and put in must agree.
#[test]
fn gli_19_r16_a_jackpot_pays_what_it_holds_and_the_house_the_rest() {
    let mut ledger = Ledger::casino();
    ledger.trust(Role::Operator, ETH, 1_000);
    assert_eq!(ledger.ask_key(1, &seed(500, false)), ResultCode::Done);
    assert_eq!(ledger.ask(&contribute(ETH, 10_000, POOL, 10_000)), ResultCode::Done);
    let pool = |ledger: &Ledger| ledger.of_house(Purse::Jackpot, POOL);
    assert_eq!((pool(&ledger), ledger.provider(PLAY)), (600, -100));
    assert_eq!(ledger.ask_key(2, &jackpot_win(ALICE, 450, POOL)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &jackpot_win(BOB, 450, POOL)), ResultCode::Shortfall);
    for _ in 0..2 {
        assert_eq!(ledger.ask_key(3, &jackpot_win(BOB, 450, POOL)), ResultCode::Shortfall, "told again");
    }
    assert_eq!((ledger.available(ALICE), ledger.available(BOB)), (450, 450));
    assert_eq!((pool(&ledger), ledger.of_house(Purse::JackpotShortfall, POOL)), (0, -300));
    assert_eq!(ledger.ask_key(4, &jackpot_win(BOB, 5, POOL)), ResultCode::Shortfall, "from an empty pool");
    // GLI-19 2.8.7: what came in and what the house added is what was paid and what is held.
    let (put_in, added) = (500 + 100, -ledger.of_house(Purse::JackpotShortfall, POOL));
    assert_eq!(put_in + added, ledger.available(ALICE) + ledger.available(BOB) + pool(&ledger));
    let triggers: Vec<_> =
        ledger.records.iter().filter(|record| record.request.kind == OperationKind::JackpotWin).collect();
    let paid = triggers.iter().map(|record| (record.request.player, record.request.amount.0));
    assert_eq!(
        paid.collect::<Vec<_>>(),
        [(ALICE, 450), (BOB, 450), (BOB, 5)],
        "in the order of the triggers"
    );
    assert_eq!(ledger.ask_key(5, &seed(50, false)), ResultCode::Done);
    assert_eq!(ledger.ask_key(6, &seed(51, true)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask_key(6, &seed(50, true)), ResultCode::Done, "a refusal uses no key up");
    assert_eq!((pool(&ledger), ledger.of_house(Purse::Adjustments, 0)), (0, -500));
    assert_eq!(ledger.ask_key(7, &seed(1_001, false)), ResultCode::AmountOverRole);
}

#[test]
fn free_rounds_are_used_up_by_their_player_in_their_game() {
    let mut ledger = Ledger::casino();
    let ends = ledger.now.plus_millis(HOUR);
    let grant = ledger.new_id();
    assert_eq!(ledger.ask_under(grant, &freerounds(ALICE, 10, ends)), ResultCode::Done);
    assert_eq!(ledger.ask(&consume(BOB, grant, 1)), ResultCode::FreeroundDiffers);
    let other = changed(consume(ALICE, grant, 1), |consume| consume.game = OTHER);
    assert_eq!(ledger.ask(&other), ResultCode::FreeroundDiffers);
    assert_eq!(ledger.ask(&consume(ALICE, grant, 4)), ResultCode::Done);
    assert_eq!(ledger.ask(&consume(ALICE, grant, 7)), ResultCode::FreeroundExceeded);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::WagerBlocked)), ResultCode::Done);
    assert_eq!(ledger.ask(&consume(ALICE, grant, 6)), ResultCode::WagerBlocked);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::Active)), ResultCode::Done);
    ledger.crash();
    let last = ledger.new_id();
    for _ in 0..2 {
        assert_eq!(ledger.ask_under(last, &consume(ALICE, grant, 6)), ResultCode::Done);
    }
    assert_eq!(ledger.ask(&consume(ALICE, grant, 1)), ResultCode::FreeroundUsed);
    assert_eq!(ledger.ask(&consume(ALICE, last, 1)), ResultCode::FreeroundUnknown);
    assert_eq!(ledger.available(ALICE), 0, "what they won is paid by itself");
}

#[test]
fn free_rounds_lapse_when_their_time_has_come_or_are_taken_back() {
    let mut ledger = Ledger::casino();
    let ends = ledger.now.plus_millis(HOUR);
    let (lapsed, taken) = (ledger.new_id(), ledger.new_id());
    assert_eq!(ledger.ask_under(lapsed, &freerounds(ALICE, 10, ends)), ResultCode::Done);
    assert_eq!(ledger.ask_under(taken, &freerounds(ALICE, 10, ends)), ResultCode::Done);
    let expire = |player| Operation::FreeroundExpire { player, grant: taken, game: PLAY };
    assert_eq!(ledger.ask(&expire(BOB)), ResultCode::FreeroundDiffers);
    assert_eq!(ledger.ask(&expire(ALICE)), ResultCode::Done);
    assert_eq!(ledger.ask(&consume(ALICE, taken, 1)), ResultCode::FreeroundExpired);
    ledger.now = ends;
    assert_eq!(ledger.ask(&consume(ALICE, lapsed, 1)), ResultCode::FreeroundExpired, "written or not");
    assert_eq!(ledger.do_due(), [OperationKind::FreeroundLapse]);
    assert_eq!(ledger.ask(&freerounds(ALICE, 1, ends)), ResultCode::DeadlinePassed);
    for count in [0, 1_000_001] {
        let request = freerounds(ALICE, count, ends.plus_millis(1)).request(taken);
        let fault = cage_engine::Request::parse(&request.to_bytes()).expect_err("a wild count");
        assert_eq!((fault.code, fault.field), (ResultCode::Malformed, "count"));
    }
}

#[test]
fn a_prize_is_paid_once_by_its_sponsor_and_may_have_to_be_wagered() {
    let mut ledger = Ledger::casino();
    let prize = |amount, house_paid, turnover| Operation::PromoCredit {
        player: ALICE,
        asset: ETH,
        amount: Amount(amount),
        game: PLAY,
        campaign: None,
        house_paid,
        turnover: Amount(turnover),
    };
    for _ in 0..3 {
        assert_eq!(ledger.ask_key(1, &prize(30, false, 0)), ResultCode::Done);
    }
    assert_eq!(ledger.ask_key(2, &prize(5, true, 40)), ResultCode::Done);
    assert_eq!((ledger.provider(PLAY), ledger.of_house(Purse::BonusExpense, 0)), (-30, -5));
    assert_eq!((ledger.available(ALICE), ledger.state.turnover(ALICE, ETH)), (35, Amount(40)));
    assert_eq!(ledger.ask(&withdraw(ALICE, 1)), ResultCode::TurnoverLeft);
    assert_eq!(ledger.ask_as(Role::Cashier, &prize(1, true, 0)), ResultCode::AmountOverRole);
    ledger.trust(Role::Cashier, ETH, 1);
    assert_eq!(ledger.ask_as(Role::Cashier, &prize(1, true, 0)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_status(ALICE, Status::SelfExcluded)), ResultCode::Done);
    assert_eq!(ledger.ask_key(4, &prize(1, false, 0)), ResultCode::Done, "what was won is won");
}

/// GLI-19 4.13.6: two jackpots become one, all of it or nothing, and what was less than a unit stays where it is kept.
#[test]
fn gli_19_r16_two_jackpots_are_merged_as_one_group() {
    let mut ledger = Ledger::casino();
    ledger.trust(Role::Operator, ETH, 1_000);
    assert_eq!(ledger.ask_key(1, &seed(500, false)), ResultCode::Done);
    let (from, to) = (seed(400, true), changed(seed(400, false), |seed| seed.detail.0[0] = POOL as u8 + 1));
    let too_much = [(RequestId(2), seed(501, true)), (RequestId(3), to)];
    assert_eq!(ledger.ask_group(&too_much), [ResultCode::InsufficientFunds, ResultCode::GroupRefused]);
    let merge = [(RequestId(4), from), (RequestId(5), to)];
    for _ in 0..2 {
        assert_eq!(ledger.ask_group(&merge), [ResultCode::Done; 2]);
    }
    let pool = |pool| ledger.of_house(Purse::Jackpot, pool);
    assert_eq!((pool(POOL), pool(POOL + 1), ledger.of_house(Purse::Adjustments, 0)), (100, 400, -500));
}
