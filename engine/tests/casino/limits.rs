//! Limits of players: what they stop, what they warn of, and when a looser one comes into force.

use cage_engine::{
    Amount, LimitKind, LockReason, Operation, Period, PlayerId, ResultCode, Role, Rule, Status,
};

use crate::ledger::ask::{
    approve, bet, bet_win, changed, deposit, paid, reserve_in, reverse, rollback, set_limit, set_status,
    sign, void_round, win, withdraw,
};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger};

const BET: u128 = 0xbe7;
const ROUND: u128 = 0x40d;

fn counting() -> Ledger {
    let mut ledger = Ledger::casino();
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    ledger.deposit(ALICE, 10_000);
    ledger
}

/// What Alice has lost and wagered.
fn used_in(ledger: &Ledger, period: Period) -> [i128; 2] {
    let usage = ledger.state.limits(ALICE).expect("limits").usage;
    let today = ledger.state.day(ALICE, ledger.now);
    [LimitKind::Loss, LimitKind::Wager].map(|kind| usage.used(kind, period, today))
}

fn remove(player: PlayerId, kind: LimitKind, period: Period) -> Operation {
    changed(set_limit(player, kind, period, 0), |limit| limit.detail.0[2] = 1)
}

#[test]
fn a_stake_over_a_limit_is_refused_by_the_limit_that_it_is_over() {
    let mut ledger = counting();
    for (kind, period, value, code) in [
        (LimitKind::Bet, Period::Once, 50, ResultCode::LimitBet),
        (LimitKind::Loss, Period::Day, 40, ResultCode::LimitLoss),
        (LimitKind::Loss, Period::Month, 35, ResultCode::LimitLoss),
        (LimitKind::Wager, Period::Week, 30, ResultCode::LimitWager),
    ] {
        assert_eq!(ledger.ask(&set_limit(ALICE, kind, period, value)), ResultCode::Done);
        let over = bet(ALICE, value + 1, value, value);
        assert_eq!(ledger.ask(&over), code, "{} {}", kind.name(), period.name());
    }
    assert_eq!(ledger.ask(&ledger.reserve(ALICE, 31, 31)), ResultCode::LimitWager);
    assert_eq!(ledger.ask(&bet_win(ALICE, 31, 31, BET, ROUND)), ResultCode::LimitWager);
    assert_eq!(ledger.ask(&ledger.transfer(ALICE, BOB, 31)), ResultCode::Done, "no wager");
}

#[test]
fn winnings_give_room_to_lose_and_what_is_undone_was_never_wagered() {
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Wager, Period::Day, 1_000)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 80, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 21, BET + 1, ROUND)), ResultCode::LimitLoss);
    assert_eq!(ledger.ask_key(1, &win(ALICE, 30, BET)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 21, BET + 2, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &rollback(ALICE, BET + 2)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &rollback(ALICE, 1)), ResultCode::Done, "the win is undone");
    assert_eq!(ledger.ask(&bet(ALICE, 21, BET + 3, ROUND)), ResultCode::LimitLoss);
    assert_eq!(ledger.ask(&bet(ALICE, 20, BET + 4, ROUND)), ResultCode::LimitNear);
    let hold = ledger.reserve(ALICE, 1, 1);
    assert_eq!(ledger.ask(&hold), ResultCode::LimitLoss);
    ledger.pass_millis(24 * HOUR);
    assert_eq!(ledger.ask(&bet(ALICE, 50, BET + 5, ROUND + 1)), ResultCode::Done, "another day");
}

#[test]
fn a_voided_round_was_never_wagered_whether_by_bets_or_by_holds() {
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Wager, Period::Day, 200)), ResultCode::Done);
    let hold = ledger.new_id();
    assert_eq!(ledger.ask_under(hold, &reserve_in(ALICE, 50, 60, ROUND)), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, hold, 50, 20), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 40, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &win(ALICE, 5, BET)), ResultCode::Done);
    let used = |ledger: &Ledger| used_in(ledger, Period::Day);
    assert_eq!(used(&ledger), [65, 90]);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!(used(&ledger), [0, 0]);
    assert_eq!(ledger.available(ALICE), 10_000);
}

/// What is undone counted in its own day. It neither takes room from another day nor makes any there.
#[test]
fn what_is_undone_on_another_day_leaves_the_limits_of_that_day_as_they_are() {
    for held in [false, true] {
        let mut ledger = counting();
        ledger.set_rule(Rule::RoundAgeMax, 0, u128::from(500 * HOUR));
        assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 1_000)), ResultCode::Done);
        if held {
            let hold = ledger.new_id();
            assert_eq!(ledger.ask_under(hold, &reserve_in(ALICE, 50, 600, ROUND)), ResultCode::Done);
            assert_eq!(ledger.settle(ALICE, hold, 50, 300), ResultCode::Done);
        } else {
            assert_eq!(ledger.ask(&bet(ALICE, 40, BET, ROUND)), ResultCode::Done);
            assert_eq!(ledger.ask_key(1, &win(ALICE, 300, BET)), ResultCode::Done);
            assert_eq!(ledger.ask(&bet_win(ALICE, 10, 7, BET + 1, ROUND)), ResultCode::Done);
        }
        ledger.pass_millis(24 * HOUR);
        assert_eq!(ledger.ask(&bet(ALICE, 70, BET + 9, ROUND + 9)), ResultCode::Done);
        let used = |ledger: &Ledger| used_in(ledger, Period::Day);
        assert_eq!(used(&ledger), [70, 70]);
        ledger.crash();
        assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
        assert_eq!(used(&ledger), [70, 70], "of today");
    }
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 1_000)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 40, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &win(ALICE, 300, BET)), ResultCode::Done);
    ledger.pass_millis(24 * HOUR);
    assert_eq!(ledger.ask_key(2, &rollback(ALICE, 1)), ResultCode::Done, "won yesterday, undone today");
    assert_eq!(
        ledger.ask(&bet(ALICE, 900, BET + 1, ROUND + 1)),
        ResultCode::LimitNear,
        "nothing is lost today"
    );
}

#[test]
fn a_round_that_is_voided_knows_what_its_ended_bets_and_holds_counted_and_when() {
    let used = |ledger: &Ledger| used_in(ledger, Period::Day);
    // A bet that is undone with what it won at once, and whose further win stays.
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 1_000)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet_win(ALICE, 10, 50, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &win(ALICE, 5, BET)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &reverse(ALICE, BET)), ResultCode::Done);
    assert_eq!(used(&ledger), [-5, 0]);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!(used(&ledger), [0, 0]);
    // A hold of yesterday that is settled after one of today.
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 1_000)), ResultCode::Done);
    let (old, young) = (ledger.new_id(), ledger.new_id());
    assert_eq!(ledger.ask_under(old, &reserve_in(ALICE, 20, 60, ROUND)), ResultCode::Done);
    ledger.pass_millis(24 * HOUR);
    assert_eq!(ledger.ask_under(young, &reserve_in(ALICE, 30, 60, ROUND)), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, young, 30, 4), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, old, 20, 7), ResultCode::Done);
    assert_eq!(used(&ledger), [30 - 11, 30]);
    let of_month = |ledger: &Ledger| used_in(ledger, Period::Month);
    assert_eq!(of_month(&ledger), [50 - 11, 50], "it began with the old one's day");
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!(used(&ledger), [0, 0]);
    assert_eq!(of_month(&ledger), [0, 0]);
    ledger.replayed();
    // All of it of yesterday.
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 1_000)), ResultCode::Done);
    let hold = ledger.new_id();
    assert_eq!(ledger.ask_under(hold, &reserve_in(ALICE, 20, 60, ROUND)), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, hold, 20, 7), ResultCode::Done);
    ledger.pass_millis(24 * HOUR);
    assert_eq!(ledger.ask(&bet(ALICE, 5, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&void_round(ALICE, ROUND, None)), ResultCode::Done);
    assert_eq!(used(&ledger), [0, 0], "no more room than before");
    assert_eq!(used_in(&ledger, Period::Month), [0, 0]);
}

/// However much was counted: what is undone was never there.
#[test]
fn what_is_undone_is_taken_back_to_the_last_unit_however_much_it_is() {
    let mut ledger = counting();
    let usd = ledger.open_asset_of("USD", 0, Amount(1_000_000));
    let in_usd = |operation| changed(operation, |request| request.asset = usd);
    assert_eq!(ledger.ask_key(1, &in_usd(deposit(ALICE, 10_000))), ResultCode::Done);
    let price = Amount(1 << 100);
    assert_eq!(ledger.ask(&Operation::PublishRate { asset: usd, price }), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Deposit, Period::Day, 10)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 7, BET, ROUND)), ResultCode::Done);
    for key in 1..=3 {
        let all_of_it = in_usd(bet_win(ALICE, 500, 900, BET + key, ROUND + key));
        assert_eq!(ledger.ask(&all_of_it), ResultCode::Done, "worth more than can be counted");
    }
    for key in 1..=3 {
        assert_eq!(ledger.ask(&in_usd(void_round(ALICE, ROUND + key, None))), ResultCode::Done);
    }
    assert_eq!(used_in(&ledger, Period::Day), [7, 7]);
}

/// Moved to an earlier or a later time: nobody gets fresh room by it.
#[test]
fn a_day_whose_beginning_is_moved_lasts_until_a_later_one_begins() {
    const MINUTE: u64 = 60_000;
    // It is 15:06:40. Days began at 16:00, and so this one is yesterday's; or they began at 00:00.
    for (before, after, hours_left) in
        [(960, 900, 24), (960, 0, 9), (0, 960, 25), (0, 900, 24), (960, 960, 1)]
    {
        let mut ledger = Ledger::casino();
        ledger.set_rule(Rule::DayBegins, 0, before);
        ledger.pass_millis(24 * HOUR);
        ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
        ledger.deposit(ALICE, 10_000);
        assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 100)), ResultCode::Done);
        assert_eq!(ledger.ask(&bet(ALICE, 60, BET, ROUND)), ResultCode::Done);
        ledger.set_rule(Rule::DayBegins, 0, after);
        assert_eq!(ledger.ask(&bet(ALICE, 41, BET + 1, ROUND)), ResultCode::LimitLoss, "{before} {after}");
        assert_eq!(ledger.ask(&bet(ALICE, 30, BET + 2, ROUND)), ResultCode::LimitNear);
        assert_eq!(ledger.ask_key(1, &rollback(ALICE, BET + 2)), ResultCode::Done);
        assert_eq!(used_in(&ledger, Period::Day), [60, 60], "what it counted on the same day");
        ledger.crash();
        // The next full hour, and so many more.
        ledger.pass_millis((hours_left - 1) * HOUR + 53 * MINUTE + 19_999);
        assert_eq!(
            ledger.ask(&bet(ALICE, 41, BET + 3, ROUND + 1)),
            ResultCode::LimitLoss,
            "{before} {after}"
        );
        ledger.pass_millis(1);
        assert_eq!(ledger.ask_key(2, &rollback(ALICE, BET)), ResultCode::Done);
        assert_eq!(used_in(&ledger, Period::Day), [0, 0], "another day");
        assert_eq!(ledger.ask(&bet(ALICE, 99, BET + 4, ROUND + 1)), ResultCode::LimitNear);
    }
    // Moved to and fro, it is the same day all the time.
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 60, BET, ROUND)), ResultCode::Done);
    for minutes in [960, 0, 1_439, 900, 960, 900] {
        ledger.set_rule(Rule::DayBegins, 0, minutes);
        assert_eq!(used_in(&ledger, Period::Day), [60, 60], "{minutes}");
    }
    ledger.replayed();
}

/// Prices move. What is undone counts what it counted then.
#[test]
fn what_is_undone_takes_back_what_it_counted_whatever_the_price_is_now() {
    let mut ledger = counting();
    let usd = ledger.open_asset_of("USD", 0, Amount(1_000_000));
    let in_usd = |operation| changed(operation, |request| request.asset = usd);
    let publish = |price: u128| Operation::PublishRate { asset: usd, price: Amount(price * 1_000_000_000) };
    assert_eq!(ledger.ask_key(1, &in_usd(deposit(ALICE, 10_000))), ResultCode::Done);
    assert_eq!(ledger.ask(&publish(10)), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Loss, Period::Day, 100_000)), ResultCode::Done);
    assert_eq!(ledger.ask(&in_usd(bet(ALICE, 100, BET, ROUND))), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &in_usd(win(ALICE, 30, BET))), ResultCode::Done);
    assert_eq!(ledger.ask(&in_usd(bet_win(ALICE, 20, 50, BET + 1, ROUND))), ResultCode::Done);
    let hold = ledger.new_id();
    assert_eq!(ledger.ask_under(hold, &in_usd(reserve_in(ALICE, 40, 60, ROUND))), ResultCode::Done);
    let settle = Operation::Settle { player: ALICE, asset: usd, hold, stake: Amount(40), payout: Amount(15) };
    assert_eq!(ledger.ask(&settle), ResultCode::Done);
    let used = |ledger: &Ledger| used_in(ledger, Period::Day);
    assert_eq!(used(&ledger), [10 * (100 - 30 + 20 - 50 + 40 - 15), 10 * 160]);
    assert_eq!(ledger.ask(&publish(3)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &in_usd(rollback(ALICE, 2))), ResultCode::Done);
    assert_eq!(used(&ledger)[0], 10 * (100 + 20 - 50 + 40 - 15), "the win took 300 off");
    assert_eq!(ledger.ask(&in_usd(void_round(ALICE, ROUND, None))), ResultCode::Done);
    assert_eq!(used(&ledger), [0, 0]);
    ledger.replayed();
}

#[test]
fn nine_tenths_of_a_limit_are_told_with_the_bet_that_reaches_them() {
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Wager, Period::Day, 100)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 89, BET, ROUND)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET + 1, ROUND)), ResultCode::LimitNear);
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET + 2, ROUND)), ResultCode::LimitNear);
    assert_eq!(ledger.ask(&bet(ALICE, 1, BET + 3, ROUND)), ResultCode::LimitWager);
}

#[test]
fn deposits_over_a_limit_are_refused_to_a_cashier_and_locked_for_a_chain() {
    let mut ledger = counting();
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Deposit, Period::Week, 100)), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Cashier, &deposit(ALICE, 60)), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Cashier, &deposit(ALICE, 41)), ResultCode::LimitDeposit);
    assert_eq!(ledger.ask_as(Role::Chain, &deposit(ALICE, 41)), ResultCode::LimitNear);
    assert_eq!(ledger.state.locked(ALICE, ETH, LockReason::OverLimit), Amount(41));
    assert_eq!(
        ledger.ask_as(Role::Cashier, &deposit(ALICE, 1)),
        ResultCode::LimitDeposit,
        "it counts all the same"
    );
    // Withdrawn money makes room for the net limit, and only for that.
    assert_eq!(ledger.ask(&set_limit(BOB, LimitKind::DepositNet, Period::Month, 100)), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Cashier, &deposit(BOB, 80)), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Cashier, &deposit(BOB, 21)), ResultCode::LimitDepositNet);
    let id = ledger.new_id();
    assert_eq!(ledger.ask_under(id, &withdraw(BOB, 50)), ResultCode::Done);
    assert_eq!(ledger.ask(&approve(BOB, id)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &sign(BOB, id, 1, 2)), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Cashier, &deposit(BOB, 21)), ResultCode::LimitDepositNet, "not paid yet");
    assert_eq!(ledger.ask_key(2, &paid(BOB, id, 2)), ResultCode::Done);
    assert_eq!(ledger.ask_as(Role::Cashier, &deposit(BOB, 21)), ResultCode::Done);
}

/// GLI-19 A.3.7 and 2.5.5 b.
#[test]
fn gli_19_r23_a_player_tightens_a_limit_at_once_and_loosens_it_a_day_later() {
    let mut ledger = counting();
    let limit = |value| set_limit(ALICE, LimitKind::Wager, Period::Day, value);
    let mut key = BET;
    let mut stake = |ledger: &mut Ledger, stake| {
        key += 1;
        ledger.ask(&bet(ALICE, stake, key, key))
    };
    assert_eq!(ledger.ask(&limit(100)), ResultCode::Done);
    assert_eq!(ledger.ask(&limit(50)), ResultCode::Done, "stricter");
    assert_eq!(stake(&mut ledger, 51), ResultCode::LimitWager);
    assert_eq!(ledger.ask(&limit(500)), ResultCode::Later);
    assert_eq!(ledger.ask(&limit(400)), ResultCode::Later, "another wish begins to wait anew");
    ledger.pass_millis(24 * HOUR - 1);
    assert_eq!(stake(&mut ledger, 51), ResultCode::LimitWager);
    ledger.crash();
    ledger.pass_millis(1);
    assert_eq!(stake(&mut ledger, 300), ResultCode::Done);
    assert_eq!(stake(&mut ledger, 101), ResultCode::LimitWager);
    // The house's limit counts if it is the stricter one, at once in either direction.
    assert_eq!(ledger.ask_as(Role::Risk, &limit(310)), ResultCode::Done);
    assert_eq!(stake(&mut ledger, 11), ResultCode::LimitWager);
    assert_eq!(ledger.ask_as(Role::Risk, &limit(390)), ResultCode::Done);
    assert_eq!(stake(&mut ledger, 60), ResultCode::LimitNear);
    assert_eq!(
        ledger.ask_as(Role::Frontend, &remove(ALICE, LimitKind::Wager, Period::Day)),
        ResultCode::Later
    );
    assert_eq!(ledger.ask_as(Role::Risk, &remove(ALICE, LimitKind::Wager, Period::Day)), ResultCode::Done);
    assert_eq!(stake(&mut ledger, 41), ResultCode::LimitWager, "the player's own still holds");
    ledger.pass_millis(24 * HOUR);
    assert_eq!(stake(&mut ledger, 5_000), ResultCode::Done);
}

/// GLI-19 A.3.7, for each kind of limit and each period: that 55 is stricter again shows that 60 has come into force.
#[test]
fn gli_19_r23_every_limit_is_tightened_at_once_and_loosened_a_day_later() {
    let bet = [(LimitKind::Bet, Period::Once)];
    let others = [LimitKind::Loss, LimitKind::Wager, LimitKind::Deposit, LimitKind::DepositNet];
    let periods = [Period::Day, Period::Week, Period::Month];
    let all = others.iter().flat_map(|kind| periods.map(|period| (*kind, period)));
    for (kind, period) in bet.into_iter().chain(all) {
        let mut ledger = counting();
        let limit = |value| set_limit(ALICE, kind, period, value);
        let named = format!("{} by {}", kind.name(), period.name());
        assert_eq!(ledger.ask(&limit(100)), ResultCode::Done, "{named}");
        assert_eq!(ledger.ask(&limit(50)), ResultCode::Done, "{named}");
        assert_eq!(ledger.ask(&limit(60)), ResultCode::Later, "{named}");
        ledger.pass_millis(24 * HOUR - 1);
        assert_eq!(ledger.ask(&limit(60)), ResultCode::Later, "{named}: not before a day");
        ledger.pass_millis(24 * HOUR);
        assert_eq!(ledger.ask(&limit(55)), ResultCode::Done, "{named}");
    }
}

#[test]
fn a_limit_in_another_asset_counts_what_it_is_worth_rounded_up() {
    let mut ledger = counting();
    let usd = ledger.open_asset_of("USD", 2, Amount(1_000_000));
    let in_usd = |operation| changed(operation, |request| request.asset = usd);
    assert_eq!(ledger.ask_key(1, &in_usd(deposit(ALICE, 10_000))), ResultCode::Done);
    assert_eq!(ledger.ask(&set_limit(ALICE, LimitKind::Bet, Period::Once, 10)), ResultCode::Done);
    let stake = |amount, key| in_usd(bet(ALICE, amount, key, key));
    assert_eq!(ledger.ask(&stake(1, BET)), ResultCode::RateMissing);
    // A whole dollar, 100 of its smallest units, is worth 150 of the reference asset's.
    let price = Amount(150 * 1_000_000_000);
    assert_eq!(ledger.ask(&Operation::PublishRate { asset: usd, price }), ResultCode::Done);
    assert_eq!(ledger.ask(&stake(6, BET + 1)), ResultCode::Done, "worth 9");
    assert_eq!(ledger.ask(&stake(7, BET + 2)), ResultCode::LimitBet, "worth 10.5, and so 11");
    assert_eq!(ledger.ask(&bet(ALICE, 10, BET + 3, 9)), ResultCode::Done);
    assert_eq!(
        ledger.ask(&in_usd(bet(BOB, 7, BET + 4, 8))),
        ResultCode::InsufficientFunds,
        "Bob has no limit"
    );
}

#[test]
fn a_limit_that_cannot_be_counted_is_refused() {
    let mut ledger = Ledger::casino();
    let limit = set_limit(ALICE, LimitKind::Loss, Period::Day, 5);
    assert_eq!(ledger.ask(&limit), ResultCode::LimitUnfit, "there is no reference asset");
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    let great = set_limit(ALICE, LimitKind::Loss, Period::Day, 1 << 63);
    assert_eq!(ledger.ask(&great), ResultCode::LimitUnfit);
    assert_eq!(ledger.ask(&limit), ResultCode::Done);
    for (kind, period) in [(LimitKind::Bet, Period::Day), (LimitKind::Loss, Period::Once)] {
        let request = set_limit(ALICE, kind, period, 5).request(cage_engine::RequestId(5));
        let fault = cage_engine::Request::parse(&request.to_bytes()).expect_err("no such limit");
        assert_eq!((fault.code, fault.field), (ResultCode::Malformed, "period"));
    }
    let status = set_status(ALICE, Status::SelfExcluded);
    assert_eq!(ledger.ask(&status), ResultCode::Done);
    assert_eq!(ledger.ask(&limit), ResultCode::Done, "limits can be set whatever the status");
}
