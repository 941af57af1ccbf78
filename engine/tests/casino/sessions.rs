//! Sessions and their credit meters.

use cage_engine::{Amount, GameId, OperationKind, Purse, Reference, ResultCode, Rule, SessionId, Timestamp};

use crate::ledger::ask::{
    NO_SESSION, bet, bet_win, changed, fund, in_session, metered, reserve_until, rollback, session, unfund,
    win, withdraw,
};
use crate::ledger::{ALICE, BOB, ETH, HOUR, Ledger, OTHER, PLAY};

const TOKEN: u128 = 0x70c;
const ROUND: u128 = 0x40d;
const BET: u128 = 0xbe7;

/// Alice has 100, and a session with a meter that may be topped up by 30; it lasts an hour.
fn with_a_meter() -> (Ledger, SessionId, Timestamp) {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    let ends = ledger.now.plus_millis(HOUR);
    let number = ledger.open_session(&metered(ALICE, TOKEN, ends, 30));
    (ledger, number, ends)
}

fn meter(ledger: &Ledger, number: SessionId) -> (u128, u128) {
    let row = ledger.state.session(number).expect("an open session");
    (row.remainder.0, row.topup_left.0)
}

#[test]
fn a_token_opens_one_session_and_names_it_again_with_the_same_facts_only() {
    let mut ledger = Ledger::casino();
    let ends = ledger.now.plus_millis(HOUR);
    let once = session(ALICE, TOKEN, ends);
    assert_eq!(ledger.open_session(&once), SessionId(1));
    assert_eq!(ledger.ask(&once), ResultCode::Existing);
    assert_eq!(ledger.latest().request.session, SessionId(1));
    for other in [
        session(BOB, TOKEN, ends),
        session(ALICE, TOKEN, ends.plus_millis(1)),
        metered(ALICE, TOKEN, ends, 0),
        changed(once, |session| session.game = PLAY),
    ] {
        assert_eq!(ledger.ask(&other), ResultCode::SessionDiffers, "{other:?}");
    }
    assert_eq!(ledger.open_session(&session(BOB, TOKEN + 1, ends)), SessionId(2));
    let now = ledger.now;
    assert_eq!(ledger.ask(&session(ALICE, TOKEN + 2, now)), ResultCode::DeadlinePassed);
    let unmetered = changed(session(ALICE, TOKEN + 2, ends), |session| session.amount = Amount(5));
    assert_eq!(ledger.ask(&unmetered), ResultCode::SessionDiffers, "what would be topped up?");
    let unknown = changed(metered(ALICE, TOKEN + 2, ends, 5), |session| session.asset.0 = 9);
    assert_eq!(ledger.ask(&unknown), ResultCode::AssetUnknown);
    ledger.set_rule(Rule::SessionsMax, 0, 2);
    assert_eq!(ledger.ask(&session(ALICE, TOKEN + 2, ends)), ResultCode::SessionTableFull);
    assert_eq!(ledger.replayed().session_of(Reference(TOKEN)), Some(SessionId(1)));
}

#[test]
fn a_wager_names_a_session_of_its_player_that_is_open_and_for_its_game() {
    let mut ledger = Ledger::casino();
    ledger.deposit(ALICE, 100);
    ledger.deposit(BOB, 100);
    let ends = ledger.now.plus_millis(HOUR);
    let any = ledger.open_session(&session(ALICE, TOKEN, ends));
    let one_game = ledger.open_session(&changed(session(ALICE, TOKEN + 1, ends), |new| new.game = PLAY));
    let key = std::cell::Cell::new(BET);
    let of = |player, session, game| {
        key.set(key.get() + 1);
        changed(in_session(bet(player, 1, key.get(), key.get()), session), |bet| bet.game = game)
    };
    assert_eq!(ledger.ask(&of(ALICE, SessionId(3), PLAY)), ResultCode::SessionUnknown);
    assert_eq!(ledger.ask(&of(BOB, any, PLAY)), ResultCode::SessionDiffers);
    assert_eq!(ledger.ask(&of(ALICE, one_game, OTHER)), ResultCode::SessionDiffers);
    assert_eq!(ledger.ask(&of(ALICE, one_game, PLAY)), ResultCode::Done);
    assert_eq!(ledger.ask(&of(ALICE, any, OTHER)), ResultCode::Done);
    assert_eq!(ledger.ask(&of(ALICE, NO_SESSION, OTHER)), ResultCode::Done);
    ledger.set_rule(Rule::SessionsRequired, 0, 1);
    assert_eq!(ledger.ask(&of(ALICE, NO_SESSION, OTHER)), ResultCode::SessionRequired);
    assert_eq!(ledger.ask(&withdraw(ALICE, 5)), ResultCode::SessionRequired);
    assert_eq!(ledger.ask(&ledger.transfer(ALICE, BOB, 5)), ResultCode::SessionRequired);
    let revoke = cage_engine::Operation::RevokeSession { player: ALICE, session: any };
    let stranger = cage_engine::Operation::RevokeSession { player: BOB, session: any };
    assert_eq!(ledger.ask(&stranger), ResultCode::SessionDiffers);
    assert_eq!(ledger.ask(&revoke), ResultCode::Done);
    assert_eq!(ledger.ask(&of(ALICE, any, PLAY)), ResultCode::SessionEnded);
    assert_eq!(ledger.ask(&revoke), ResultCode::SessionEnded);
}

#[test]
fn a_game_sees_and_moves_the_allowance_alone() {
    let (mut ledger, number, _) = with_a_meter();
    assert_eq!(ledger.ask(&fund(ALICE, 101, number)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&fund(ALICE, 40, number)), ResultCode::Done);
    assert_eq!(ledger.ask(&fund(ALICE, 40, NO_SESSION)), ResultCode::SessionRequired);
    assert_eq!(ledger.ask(&in_session(bet(ALICE, 25, BET, ROUND), number)), ResultCode::Done);
    assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Allowance)), (60, 15));
    assert_eq!(
        ledger.ask_key(1, &win(ALICE, 50, BET)),
        ResultCode::Done,
        "a win goes where its stake came from"
    );
    assert_eq!((ledger.available(ALICE), meter(&ledger, number)), (60, (65, 30)));
    assert_eq!(ledger.ask(&unfund(ALICE, 66, number)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&unfund(ALICE, 5, number)), ResultCode::Done);
    assert_eq!(ledger.ask(&unfund(ALICE, 0, number)), ResultCode::Done, "all");
    assert_eq!((ledger.available(ALICE), meter(&ledger, number)), (125, (0, 30)));
    assert_eq!(ledger.ask(&unfund(BOB, 0, number)), ResultCode::SessionDiffers);
    assert_eq!(ledger.ask(&unfund(ALICE, 0, SessionId(9))), ResultCode::SessionUnknown);
}

#[test]
fn a_meter_tops_itself_up_by_no_more_than_it_may() {
    let (mut ledger, number, _) = with_a_meter();
    assert_eq!(ledger.ask(&fund(ALICE, 10, number)), ResultCode::Done);
    let one = |stake, key| in_session(bet(ALICE, stake, key, ROUND), number);
    assert_eq!(ledger.ask(&one(30, BET)), ResultCode::Done, "10 from the meter, 20 on top");
    assert_eq!((ledger.available(ALICE), meter(&ledger, number)), (70, (0, 10)));
    assert_eq!(ledger.ask(&one(11, BET + 1)), ResultCode::InsufficientFunds, "though 70 are there");
    assert_eq!(ledger.ask(&one(10, BET + 2)), ResultCode::Done);
    assert_eq!(ledger.ask(&one(1, BET + 3)), ResultCode::InsufficientFunds);
    assert_eq!((ledger.available(ALICE), ledger.provider(PLAY)), (60, 40));
    ledger.crash();
    assert_eq!(meter(&ledger, number), (0, 0));
    // A stake with its win and a top-up takes three movements, and so two records of one run.
    let (mut ledger, number, _) = with_a_meter();
    assert_eq!(ledger.ask(&in_session(bet_win(ALICE, 20, 7, BET, ROUND), number)), ResultCode::Done);
    assert_eq!(ledger.latest().request.kind, OperationKind::Continue);
    let run: Vec<_> = ledger.records.iter().rev().take(2).map(|record| record.legs().len()).collect();
    assert_eq!(run, [1, 2]);
    assert_eq!((ledger.available(ALICE), meter(&ledger, number)), (80, (7, 10)));
    ledger.replayed();
}

#[test]
fn holds_use_the_meter_as_bets_do() {
    let (mut ledger, number, _) = with_a_meter();
    let reserve = in_session(reserve_until(ALICE, 20, 50, cage_engine::Expiry::Never), number);
    let (won, lost) = (ledger.new_id(), ledger.new_id());
    assert_eq!(ledger.ask_under(won, &reserve), ResultCode::Done);
    assert_eq!(ledger.ask(&fund(ALICE, 20, number)), ResultCode::Done);
    assert_eq!(ledger.ask_under(lost, &reserve), ResultCode::Done);
    assert_eq!((ledger.purses(ALICE), meter(&ledger, number)), ((60, 40), (0, 10)));
    assert_eq!(ledger.settle(ALICE, won, 20, 50), ResultCode::Done);
    assert_eq!(ledger.cancel(ALICE, lost), ResultCode::Done);
    assert_eq!((ledger.purses(ALICE), meter(&ledger, number)), ((60, 0), (70, 10)));
}

/// GLI-19 4.3.5: leaving the game returns the credit meter.
#[test]
fn gli_19_r4_what_is_on_a_meter_returns_to_the_account_when_its_session_ends() {
    for revoked in [true, false] {
        let (mut ledger, number, ends) = with_a_meter();
        assert_eq!(ledger.ask(&fund(ALICE, 40, number)), ResultCode::Done);
        assert_eq!(ledger.ask(&in_session(bet(ALICE, 10, BET, ROUND), number)), ResultCode::Done);
        assert_eq!(ledger.ask(&in_session(bet(ALICE, 5, BET + 1, ROUND), number)), ResultCode::Done);
        ledger.crash();
        if revoked {
            let revoke = cage_engine::Operation::RevokeSession { player: ALICE, session: number };
            assert_eq!(ledger.ask(&revoke), ResultCode::Done);
        } else {
            assert_eq!(ledger.state.next_due(), Some(ends));
            ledger.now = ends;
            assert_eq!(ledger.do_due(), [OperationKind::ExpireSession]);
        }
        assert_eq!((ledger.available(ALICE), ledger.held(ALICE, Purse::Allowance)), (85, 0));
        assert_eq!(ledger.ask_key(1, &win(ALICE, 30, BET)), ResultCode::Done);
        assert_eq!(ledger.ask_key(2, &rollback(ALICE, BET + 1)), ResultCode::Done);
        assert_eq!(ledger.available(ALICE), 120, "what comes later goes to the account");
    }
}

#[test]
fn two_sessions_of_a_player_have_a_meter_each() {
    let (mut ledger, one, ends) = with_a_meter();
    let two = ledger.open_session(&metered(ALICE, TOKEN + 1, ends, 0));
    assert_eq!(ledger.ask(&fund(ALICE, 40, one)), ResultCode::Done);
    assert_eq!(ledger.ask(&fund(ALICE, 5, two)), ResultCode::Done);
    assert_eq!(ledger.ask(&in_session(bet(ALICE, 6, BET, ROUND), two)), ResultCode::InsufficientFunds);
    assert_eq!(ledger.ask(&unfund(ALICE, 6, two)), ResultCode::InsufficientFunds, "40 are another session's");
    assert_eq!(ledger.ask(&unfund(ALICE, 0, two)), ResultCode::Done);
    assert_eq!((meter(&ledger, one), meter(&ledger, two)), ((40, 30), (0, 0)));
    assert_eq!(ledger.state.session(two).map(|row| row.game), Some(GameId::default()));
    assert_eq!(ledger.state.balances(ALICE, ETH).available.0, 60);
}
