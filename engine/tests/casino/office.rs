//! The office: corrections by two people, imports, exchange, transfers, rules, games that are stopped.

use cage_engine::state::Ending;
use cage_engine::{
    AccountId, Amount, CallerId, Expiry, LimitKind, LockReason, Operation, PastTransaction, Period,
    PlayerClass, Purse, Reference, RequestId, ResultCode, Role, Rule, SessionId,
};

use crate::ledger::ask::{adjust, bet, bet_win, changed, deposit, rollback, transfer, win};
use crate::ledger::{ACTOR, ALICE, BOB, ETH, Ledger, OTHER, PLAY, SISTER};

const CHECKER: u32 = 0xc4ec;

fn approve(ledger: &mut Ledger, actor: u32, key: u128) -> ResultCode {
    let id = ledger.new_id();
    let approve = Operation::AdjustApprove { player: ALICE, asset: ETH, adjustment: RequestId(key) };
    ledger.ask_by(Role::Approver, actor, id, &approve)
}

/// GLI-19 2.9.5 and B.3.2: who, why, before, after, when; and nobody corrects alone.
#[test]
fn gli_19_r20_a_correction_is_proposed_by_one_and_carried_out_by_another() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    assert_eq!(ledger.ask_key(1, &adjust(ALICE, 5, false)), ResultCode::AmountOverRole, "no bound, no right");
    ledger.trust(Role::Operator, ETH, 500);
    assert_eq!(ledger.ask_key(1, &adjust(ALICE, 501, false)), ResultCode::AmountOverRole);
    assert_eq!(ledger.ask_key(1, &adjust(ALICE, 50, false)), ResultCode::Done);
    assert_eq!(ledger.ask_key(1, &adjust(ALICE, 50, false)), ResultCode::Done, "proposed once");
    assert_eq!(ledger.ask_key(1, &adjust(ALICE, 50, true)), ResultCode::IdConflict);
    assert_eq!(ledger.available(ALICE), 100, "a proposal moves nothing");
    assert_eq!(approve(&mut ledger, ACTOR, 1), ResultCode::SameIdentity);
    let stranger = Operation::AdjustApprove { player: BOB, asset: ETH, adjustment: RequestId(1) };
    assert_eq!(ledger.ask(&stranger), ResultCode::AdjustmentDiffers);
    ledger.crash();
    assert_eq!(approve(&mut ledger, CHECKER, 1), ResultCode::Done);
    let record = *ledger.latest();
    assert_eq!((record.actor, record.role, record.legs()[0].credit_after.0), (CHECKER, Role::Approver, 150));
    let leg = record.legs()[0];
    assert_eq!((leg.amount.0, leg.credit_after.0 - leg.amount.0 as i128), (50, 100), "before and after");
    assert_eq!(record.request.reference, 1, "names what it approves");
    assert_eq!(record.decided, ledger.now);
    let proposal = ledger.records.iter().find(|record| record.request.id == RequestId(1)).expect("a record");
    let named = proposal.request.reference;
    assert_eq!((proposal.actor, named, proposal.request.detail.0[16]), (ACTOR, 0x7e87, 4), "who and why");
    assert_eq!(proposal.request.detail.0[..2], [0x88, 0x7e], "the other half of the text's digest");
    assert!(proposal.legs().is_empty() && proposal.decided <= record.decided);
    assert_eq!(approve(&mut ledger, CHECKER, 1), ResultCode::AdjustmentDone);
    assert_eq!(ledger.ask_key(2, &adjust(ALICE, 400, true)), ResultCode::Done);
    let reject = Operation::AdjustReject { player: ALICE, asset: ETH, adjustment: RequestId(2) };
    assert_eq!(ledger.ask(&reject), ResultCode::Done);
    assert_eq!(approve(&mut ledger, CHECKER, 2), ResultCode::AdjustmentRejected);
    assert_eq!(ledger.ask_key(3, &adjust(ALICE, 400, true)), ResultCode::Done);
    assert_eq!(approve(&mut ledger, CHECKER, 3), ResultCode::Shortfall);
    assert_eq!((ledger.available(ALICE), ledger.owed(ALICE)), (0, 250));
    assert_eq!(approve(&mut ledger, CHECKER, 9), ResultCode::AdjustmentUnknown);
    assert_eq!(ledger.of_house(Purse::Adjustments, 0), 350);
}

#[test]
fn imports_take_over_balances_bets_holds_and_memories_while_they_are_allowed() {
    let mut ledger = Ledger::casino();
    let balance = Operation::ImportBalance {
        player: ALICE,
        asset: ETH,
        amount: Amount(70),
        locked: None,
        turnover: Amount::ZERO,
    };
    assert_eq!(ledger.ask_key(1, &balance), ResultCode::NotImporting);
    ledger.set_rule(Rule::Importing, ETH.0.into(), 1_000);
    for _ in 0..2 {
        assert_eq!(ledger.ask_key(1, &balance), ResultCode::Done);
    }
    let locked = changed(balance, |import| import.detail.0[0] = LockReason::Review as u8);
    assert_eq!(ledger.ask_key(2, &locked), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Locked)), (70, 70));
    let open = Operation::ImportBet {
        player: ALICE,
        asset: ETH,
        stake: Amount(10),
        bet: Reference(0xbe7),
        game: PLAY,
        payout_max: Amount(90),
        round: Reference(0x40d),
    };
    assert_eq!(ledger.ask_key(3, &open), ResultCode::Done);
    assert_eq!(ledger.ask_key(4, &open), ResultCode::AlreadyKnown);
    assert_eq!(ledger.state.exposure(PLAY, ETH), Amount(90));
    assert_eq!(ledger.ask_key(5, &win(ALICE, 25, 0xbe7)), ResultCode::Done, "it wins like any other");
    let hold = RequestId::from_time(ledger.now, 77);
    let held = Operation::ImportHold {
        player: ALICE,
        asset: ETH,
        stake: Amount(8),
        hold,
        game: PLAY,
        payout_max: Amount(9),
        expiry: Expiry::Never,
    };
    assert_eq!(ledger.ask_key(6, &held), ResultCode::Done);
    assert_eq!(ledger.settle(ALICE, hold, 8, 9), ResultCode::Done);
    assert_eq!(ledger.ask_key(7, &held), ResultCode::AlreadyKnown);
    assert_eq!(ledger.available(ALICE), 70 + 25 + 9);
    let memory = |bet, was| Operation::ImportReference {
        player: ALICE,
        asset: ETH,
        bet: Reference(bet),
        game: PLAY,
        was,
    };
    assert_eq!(ledger.ask_key(8, &memory(0xbe8, PastTransaction::ClosedBet)), ResultCode::Done);
    assert_eq!(ledger.ask_key(9, &memory(0xbe9, PastTransaction::UndoneBet)), ResultCode::Done);
    assert_eq!(ledger.ask_key(10, &memory(0xbe9, PastTransaction::ClosedBet)), ResultCode::AlreadyKnown);
    assert_eq!(ledger.ask_key(11, &win(ALICE, 5, 0xbe8)), ResultCode::Done, "late, and paid");
    assert_eq!(ledger.ask_key(12, &win(ALICE, 5, 0xbe9)), ResultCode::HoldCancelled);
    assert_eq!(ledger.ask_key(13, &rollback(ALICE, 0xbe9)), ResultCode::AlreadyCancelled);
    assert_eq!(ledger.ask(&bet(ALICE, 5, 0xbe8, 0x40e)), ResultCode::IdConflict, "it is known");
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
    let usage = Operation::ImportUsage {
        player: ALICE,
        kind: LimitKind::Wager,
        period: Period::Month,
        value: Amount(95),
    };
    assert_eq!(ledger.ask_key(14, &usage), ResultCode::Done);
    let limit = crate::ledger::ask::set_limit(ALICE, LimitKind::Wager, Period::Month, 100);
    assert_eq!(ledger.ask(&limit), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 6, 0xbea, 0x40f)), ResultCode::LimitWager);
    let imported = ledger.of_house(Purse::Imports, 0);
    assert_eq!(imported, -(70 + 70 + 10 + 8));
    ledger.set_rule(Rule::Importing, ETH.0.into(), 0);
    assert_eq!(ledger.ask_key(15, &balance), ResultCode::NotImporting);
}

/// The provider goes on repeating what the other system has answered: nothing of it is done a second time.
#[test]
fn a_win_that_the_other_system_paid_is_not_paid_again() {
    let mut ledger = Ledger::casino();
    ledger.set_rule(Rule::Importing, ETH.0.into(), 1_000);
    let memory = |bet, was| Operation::ImportReference {
        player: ALICE,
        asset: ETH,
        bet: Reference(bet),
        game: PLAY,
        was,
    };
    assert_eq!(ledger.ask_key(1, &memory(0xbe7, PastTransaction::ClosedBet)), ResultCode::Done);
    assert_eq!(ledger.ask_key(2, &memory(0x817, PastTransaction::CarriedOut)), ResultCode::Done);
    assert_eq!(ledger.ask_key(3, &memory(0x817, PastTransaction::CarriedOut)), ResultCode::AlreadyKnown);
    assert_eq!(ledger.ask_key(4, &memory(0x2bc, PastTransaction::CarriedOut)), ResultCode::Done);
    ledger.crash();
    assert_eq!(
        ledger.ask_key(0x817, &win(ALICE, 25, 0xbe7)),
        ResultCode::IdConflict,
        "it is known, and paid"
    );
    assert_eq!(ledger.ask_key(0x2bc, &rollback(ALICE, 0xbe8)), ResultCode::IdConflict);
    assert_eq!(ledger.ask_key(0x2bd, &rollback(ALICE, 0x817)), ResultCode::ReferenceTooOld, "by hand only");
    assert_eq!(ledger.available(ALICE), 0);
    assert_eq!(ledger.ask_key(0x818, &win(ALICE, 5, 0xbe7)), ResultCode::Done, "another one is paid");
}

/// A house that moves in while it plays must not forget what is young for what is old.
#[test]
fn imports_wait_rather_than_make_the_ledger_forget_what_is_young() {
    let mut ledger = Ledger::with(cage_engine::Settings { ids_capacity: 64, ..crate::ledger::SETTINGS });
    ledger.set_rule(Rule::Importing, ETH.0.into(), 1_000);
    assert_eq!(ledger.ask_key(0x2bc, &rollback(ALICE, 0xdead)), ResultCode::Tombstoned);
    let ended = |number: u128| Operation::ImportReference {
        player: ALICE,
        asset: ETH,
        bet: Reference(number),
        game: PLAY,
        was: PastTransaction::ClosedBet,
    };
    let full = (1..200).find(|number| ledger.ask_key(*number, &ended(*number)) != ResultCode::Done);
    let full = full.expect("the memory is full in the end");
    let open = Operation::ImportBet {
        player: ALICE,
        asset: ETH,
        stake: Amount(10),
        bet: Reference(0xbe7),
        game: PLAY,
        payout_max: Amount(90),
        round: Reference(0x40d),
    };
    let held = Operation::ImportHold {
        player: ALICE,
        asset: ETH,
        stake: Amount(8),
        hold: RequestId(0x401d),
        game: PLAY,
        payout_max: Amount(9),
        expiry: Expiry::Never,
    };
    for import in [ended(full), open, held] {
        assert_eq!(ledger.ask_key(0xfeed, &import), ResultCode::IdTableFull, "{import:?}");
    }
    assert_eq!(ledger.state.wager_ending(Reference(0xdead)), Some(Ending::Tombstone), "still known");
    ledger.pass_millis(crate::ledger::SETTINGS.ids_retention_millis + 1);
    ledger.deposit(ALICE, 1);
    assert_eq!(ledger.ask_key(0xfeed, &ended(full)), ResultCode::Done, "later there is room");
}

#[test]
fn an_exchange_gives_what_the_rates_say_and_not_less_than_was_asked_for() {
    let mut ledger = Ledger::casino();
    let usd = ledger.open_asset_of("USD", 2, Amount(1_000_000));
    let btc = ledger.open_asset_of("BTC", 8, Amount(1 << 60));
    ledger.set_rule(Rule::ReferenceAsset, 0, u128::from(usd.0));
    let deposit = changed(deposit(ALICE, 10_000), |deposit| deposit.asset = usd);
    assert_eq!(ledger.ask(&deposit), ResultCode::Done);
    let exchange = |amount, at_least, to| Operation::Exchange {
        player: ALICE,
        asset: usd,
        amount: Amount(amount),
        session: SessionId(0),
        to,
        at_least: Amount(at_least),
    };
    assert_eq!(ledger.ask(&exchange(5_000, 1, btc)), ResultCode::RateMissing);
    // A whole bitcoin is worth 30,000.00 dollars.
    let price = Amount(3_000_000 * 1_000_000_000);
    assert_eq!(ledger.ask(&Operation::PublishRate { asset: btc, price }), ResultCode::Done);
    assert_eq!(ledger.ask(&exchange(5_000, 1, usd)), ResultCode::AssetUnknown, "into itself");
    assert_eq!(ledger.ask(&exchange(5_000, 166_667, btc)), ResultCode::RateMoved);
    assert_eq!(ledger.ask(&exchange(10_001, 1, btc)), ResultCode::InsufficientFunds);
    assert_eq!(
        ledger.ask(&exchange(5_000, 166_666, btc)),
        ResultCode::Done,
        "0.0016666 bitcoin, rounded down"
    );
    let held = |asset, purse, player| ledger.state.balance(AccountId::of_player(asset, purse, player)).0;
    assert_eq!(held(usd, Purse::Available, ALICE), 5_000);
    assert_eq!(held(btc, Purse::Available, ALICE), 166_666);
    let fx = |asset| ledger.state.balance(AccountId::of_house(asset, Purse::Fx, 0)).0;
    assert_eq!((fx(usd), fx(btc)), (5_000, -166_666));
    let wild = Operation::PublishRate { asset: btc, price: Amount((1 << 100) + 1) };
    assert_eq!(ledger.ask(&wild), ResultCode::RuleUnfit);
}

/// GLI-19 2.5.6 f.
#[test]
fn gli_19_r11_players_send_nothing_to_each_other_unless_everything_allows_it() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let open = |ledger: &mut Ledger, caller_id, brand, jurisdiction| {
        let open = Operation::OpenPlayer {
            caller_id: CallerId(caller_id),
            brand,
            jurisdiction,
            class: PlayerClass::Real,
        };
        assert_eq!(ledger.ask(&open), ResultCode::Done);
        ledger.latest().request.player
    };
    let (far, abroad) = (open(&mut ledger, 3, 7, 0), open(&mut ledger, 4, 0, 9));
    assert_eq!(ledger.ask(&transfer(ALICE, far, 5)), ResultCode::TransferBrand, "off unless it is on");
    assert_eq!(ledger.ask(&transfer(ALICE, abroad, 5)), ResultCode::TransferJurisdiction);
    assert_eq!(ledger.ask(&transfer(ALICE, ALICE, 5)), ResultCode::SamePlayer);
    ledger.set_rule(Rule::TransfersInBrand, 7, 1);
    assert_eq!(ledger.ask(&transfer(ALICE, far, 5)), ResultCode::Done);
    ledger.set_rule(Rule::TransfersInJurisdiction, 0, 0);
    assert_eq!(ledger.ask(&transfer(ALICE, BOB, 5)), ResultCode::TransferJurisdiction);
    assert_eq!(ledger.available(ALICE), 95);
    ledger.set_rule(Rule::TransfersInJurisdiction, 0, 1);
    ledger.set_rule(Rule::TransfersInBrand, 0, 0);
    assert_eq!(ledger.ask(&transfer(ALICE, BOB, 5)), ResultCode::TransferBrand);
    ledger.set_rule(Rule::TransfersInBrand, 0, 1);
    assert_eq!(ledger.ask(&transfer(ALICE, BOB, 5)), ResultCode::Done, "all of it allows it");
    // An asset whose transfers are off: no rule switches them on.
    let code = cage_engine::AssetCode::new("KEPT").expect("a code");
    let kept = Operation::OpenAsset { code, scale: 2, transfers: false, amount_max: Amount(1_000) };
    assert_eq!(ledger.ask(&kept), ResultCode::Done);
    let asset = ledger.latest().request.asset;
    let of_kept = |operation| changed(operation, |request| request.asset = asset);
    assert_eq!(ledger.ask_key(7, &of_kept(deposit(ALICE, 50))), ResultCode::Done);
    assert_eq!(ledger.ask(&of_kept(transfer(ALICE, BOB, 5))), ResultCode::TransferNotAllowed);
    // No other operation that a front-end may ask for has another player's purse in a leg.
    for kind in cage_engine::OperationKind::ALL.iter().filter(|kind| kind.spec().counterparty) {
        assert_eq!(kind.name(), "transfer");
    }
}

#[test]
fn a_rule_out_of_its_range_is_refused() {
    let mut ledger = Ledger::casino();
    let game_and_asset = u64::from(PLAY.0) << 16 | 1;
    for (rule, scope, value) in [
        (Rule::TransfersInBrand, 1 << 16, 1),
        (Rule::TransfersInJurisdiction, 0, 2),
        (Rule::SessionsRequired, 0, 2),
        (Rule::DayBegins, 0, 1_440),
        (Rule::ReferenceAsset, 1, 1),
        (Rule::ReferenceAsset, 0, 9),
        (Rule::ExposureMax, game_and_asset + 5, 1),
        (Rule::ExposureMax, game_and_asset, Amount::MAX.0 + 1),
        (Rule::RoundAgeMax, 0, 10 * 365 * 24 * 3_600_000 + 1),
        (Rule::SecondApprovalFrom, 9, 1),
        (Rule::WithdrawFee, 1, Amount::MAX.0 + 1),
        (Rule::Importing, 9, 2),
        (Rule::Importing, 1, Amount::MAX.0 + 1),
        (Rule::LateCorrectionMax, 9, 2),
        (Rule::RateAgeMax, 9, 2),
        (Rule::RateAgeMax, 1, 10 * 366 * 24 * 3_600 * 1_000),
        (Rule::SecondIdentity, 0, 2),
        (Rule::SecondIdentity, 1, 1),
        (Rule::RoleAmountMax, 1, 1),
        (Rule::RoleAmountMax, 42 << 16 | 1, 1),
        (Rule::ProviderActor, 4_096, 1),
        (Rule::ProviderActor, 0, 1 << 32),
        (Rule::SessionsMax, 0, (1 << 26) + 1),
        (Rule::Reconsider, 1, 24 * 3_600_000),
        (Rule::PermitsRequired, 0, 1),
        (Rule::PermitsRequired, 10, 1),
        (Rule::PermitsRequired, 3, 2),
        (Rule::CallerProvider, 5 << 32 | 4_096, 1),
        (Rule::CallerProvider, 5 << 32, 2),
        (Rule::CallerChain, 5 << 32, 2),
        (Rule::CallerGame, 5 << 32, 2),
        (Rule::CallerAmountMax, 5 << 16 | 9, 1),
        (Rule::CallerAmountMax, 1 << 48 | 1, 1),
        (Rule::CallerAmountMax, 5 << 16 | 1, Amount::MAX.0 + 2),
    ] {
        let set = Operation::SetRule { rule, scope, value };
        assert_eq!(ledger.ask(&set), ResultCode::RuleUnfit, "{} of {scope:#x} = {value}", rule.name());
        assert_eq!(ledger.state.rule(rule, scope), (rule == Rule::TransfersInJurisdiction).then_some(1));
    }
    ledger.set_rule(Rule::DayBegins, 0, 1_439);
    ledger.set_rule(Rule::DayBegins, 0, 0);
    assert_eq!(ledger.replayed().rule(Rule::DayBegins, 0), None, "0 takes it back");
}

#[test]
fn what_a_house_may_have_to_pay_on_a_game_stays_within_its_bound() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 1_000);
    let scope = u64::from(PLAY.0) << 16 | u64::from(ETH.0);
    ledger.set_rule(Rule::ExposureMax, scope, 250);
    assert_eq!(ledger.ask(&bet(ALICE, 10, 1, 1)), ResultCode::Done, "can pay 100");
    let hold = ledger.open_hold(ALICE, 10, 150);
    assert_eq!(ledger.ask(&bet(ALICE, 1, 2, 1)), ResultCode::ExposureExceeded);
    assert_eq!(ledger.ask(&ledger.reserve(ALICE, 1, 1)), ResultCode::ExposureExceeded);
    let sister = changed(bet(ALICE, 10, 3, 3), |bet| bet.game = SISTER);
    assert_eq!(ledger.ask(&sister), ResultCode::Done, "each game has its own");
    assert_eq!(
        ledger.ask(&bet_win(ALICE, 1, 900, 4, 1)),
        ResultCode::ExposureExceeded,
        "known, and too much"
    );
    assert_eq!(ledger.ask(&bet_win(ALICE, 1, 0, 4, 1)), ResultCode::IdConflict, "refused for good");
    assert_eq!(ledger.ask(&bet_win(ALICE, 1, 0, 8, 1)), ResultCode::Done);
    let unnamed = changed(bet(ALICE, 1, 9, 1), |bet| bet.detail.0[..16].fill(0));
    assert_eq!(ledger.ask(&unnamed), ResultCode::PayoutMissing);
    assert_eq!(ledger.ask(&ledger.reserve(ALICE, 1, 0)), ResultCode::PayoutMissing);
    assert_eq!(ledger.ask_key(5, &win(ALICE, 30, 1)), ResultCode::Done);
    assert_eq!(ledger.ask(&bet(ALICE, 3, 6, 1)), ResultCode::Done, "30 were paid");
    assert_eq!(ledger.settle(ALICE, hold, 10, 0), ResultCode::Done);
    assert_eq!(ledger.state.exposure(PLAY, ETH), Amount(100));
    assert_eq!(ledger.ask_key(7, &win(ALICE, 5_000, 1)), ResultCode::Done, "more than it said: paid");
    assert_eq!(ledger.state.exposure(PLAY, ETH), Amount(30));
    assert_eq!(ledger.state.exposure(SISTER, ETH), Amount(100));
}

/// GLI-19 2.4.1 and 4.15.1.
#[test]
fn gli_19_r7_r8_a_stopped_game_takes_no_new_wager_and_lets_those_in_play_finish() {
    for (stopped, code) in
        [(PLAY, ResultCode::GameDisabled), (cage_engine::GameId(0), ResultCode::GamingDisabled)]
    {
        let mut ledger = Ledger::casino();
        ledger.deposit(ALICE, 100);
        assert_eq!(ledger.ask(&bet(ALICE, 10, 1, 1)), ResultCode::Done);
        assert_eq!(ledger.ask(&bet(ALICE, 10, 2, 1)), ResultCode::Done);
        let hold = ledger.open_hold(ALICE, 10, 40);
        let disable = |disabled| Operation::DisableGame { game: stopped, disabled };
        assert_eq!(ledger.ask(&disable(true)), ResultCode::Done);
        ledger.crash();
        assert_eq!(ledger.ask(&bet(ALICE, 10, 3, 1)), code);
        assert_eq!(ledger.ask(&bet_win(ALICE, 10, 90, 4, 1)), code);
        assert_eq!(ledger.ask(&ledger.reserve(ALICE, 10, 40)), code);
        let other = changed(bet(ALICE, 1, 5, 5), |bet| bet.game = OTHER);
        let others = if stopped == PLAY { ResultCode::Done } else { ResultCode::GamingDisabled };
        assert_eq!(ledger.ask(&other), others);
        assert_eq!(ledger.ask_key(6, &win(ALICE, 30, 1)), ResultCode::Done);
        assert_eq!(ledger.ask_key(7, &rollback(ALICE, 2)), ResultCode::Done);
        assert_eq!(ledger.settle(ALICE, hold, 10, 40), ResultCode::Done);
        assert_eq!(ledger.ask(&disable(false)), ResultCode::Done);
        assert_eq!(ledger.ask(&bet(ALICE, 10, 8, 1)), ResultCode::Done);
        assert_eq!(ledger.state.wager_ending(Reference(3)), Some(Ending::Refused));
    }
}
