//! Asking again: under the same id the same request has one answer for ever, and another request has none.
//!
//! What breaks: a second execution (the balance moves twice), a second answer (another record, other balances, the
//! balances of now in place of those of then), an id that can be used for something else.

use cage_client::{Error, Executed};
use cage_engine::{Amount, CallerId, Operation, PlayerClass, RequestId, ResultCode, Role};
use cage_protocol::{Ask, Read, Reply};

use crate::harness::casino::{Casino, client, key, new_id};
use crate::harness::wire::Wire;
use crate::harness::{Ledger, audit, folder, run, soon};

/// The answer but for what a repetition says of itself.
fn facts(reply: &Reply) -> Reply {
    Reply { repeated: false, tag: 0, ..*reply }
}

/// One request of each kind and each way to be decided.
pub(crate) fn requests(casino: &Casino) -> Vec<(Role, RequestId, Operation)> {
    let (bet, cancelled, unheard) = (new_id(), new_id(), new_id());
    let open = Operation::OpenPlayer {
        caller_id: CallerId(77),
        brand: 3,
        jurisdiction: 4,
        class: PlayerClass::Test,
    };
    vec![
        (Role::Cashier, key("retry", 1), casino.deposit(0, 5_000)),
        (Role::Operator, new_id(), open),
        (Role::Operator, new_id(), open),
        (Role::Frontend, new_id(), casino.transfer(0, 1, 100)),
        (Role::Frontend, new_id(), casino.transfer(1, 0, 1 << 29)),
        (Role::Games, bet, casino.reserve(0, 50, 500)),
        (Role::Games, new_id(), casino.settle(0, bet, 20, 70)),
        (Role::Games, new_id(), casino.settle(0, bet, 31, 0)),
        (Role::Games, new_id(), casino.settle(0, bet, 30, 400)),
        (Role::Games, new_id(), casino.settle(0, bet, 1, 0)),
        (Role::Games, cancelled, casino.reserve(1, 10, 20)),
        (Role::Games, new_id(), casino.cancel(1, cancelled)),
        (Role::Games, new_id(), casino.cancel(1, unheard)),
        (Role::Games, unheard, casino.reserve(1, 10, 20)),
    ]
}

pub(crate) async fn ask_all(ledger: &Ledger, requests: &[(Role, RequestId, Operation)]) -> Vec<Reply> {
    let mut replies = Vec::new();
    for role in [Role::Cashier, Role::Operator, Role::Frontend, Role::Games] {
        let mut wire = Wire::greeted(ledger, role).await;
        for (_, id, operation) in requests.iter().filter(|(asking, ..)| *asking == role) {
            replies.push(wire.operate(*id, operation).await);
        }
    }
    replies
}

#[test]
fn the_same_request_has_the_same_answer_for_ever() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let requests = requests(&casino);
        let first = ask_all(&ledger, &requests).await;
        let codes: Vec<_> = first.iter().map(|reply| reply.result).collect();
        use ResultCode as Code;
        let expected = [
            Code::Done,
            Code::Done,
            Code::Existing,
            Code::Done,
            Code::InsufficientFunds,
            Code::Done,
            Code::Done,
            Code::StakeOverRemaining,
            Code::Done,
            Code::HoldSettled,
            Code::Done,
            Code::Done,
            Code::Tombstoned,
            Code::CancelledBefore,
        ];
        assert_eq!(codes, expected);
        assert!(first.iter().all(|reply| !reply.repeated && reply.lsn.0 > 0));

        // The world moves on; the answers do not. Other callers get the same, too.
        let ledger = {
            let frontend = client(&ledger, Role::Frontend).await;
            frontend.submit(casino.transfer(0, 1, 1_234)).await.expect("a transfer");
            frontend.close().await;
            let again = ask_all(&ledger, &requests).await;
            compare(&first, &again);
            ledger
        };
        let ledger = ledger.close().await.ledger();
        compare(&first, &ask_all(&ledger, &requests).await);
        let ledger = ledger.kill().ledger();
        compare(&first, &ask_all(&ledger, &requests).await);
        ledger.close().await;
        let report = audit(dir.path(), &[]);
        report.assert_clean();
    });
}

pub(crate) fn compare(first: &[Reply], again: &[Reply]) {
    for (first, again) in first.iter().zip(again) {
        assert!(again.repeated, "it says that it is an old answer: {again:?}");
        assert_eq!(facts(first), facts(again));
    }
    assert_eq!(first.len(), again.len());
}

#[test]
fn a_request_that_is_repeated_before_its_answer_happens_once() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        let mut other = Wire::open(&wire.connection).await;
        let (id, transfer) = (new_id(), casino.transfer(0, 1, 700));
        let ask = |tag| (tag, Ask::operation(transfer.request(id)));
        // In one frame, with a read between that sees the first and not a second.
        let balances = Ask::Read(Read::Balances { player: casino.players[0], asset: casino.asset });
        wire.ask(&[ask(1), (2, balances), ask(3), (4, balances), ask(5)]).await;
        other.ask(&[ask(6), ask(7)]).await;
        let mut replies = Vec::new();
        while replies.len() < 5 {
            replies.extend(soon("replies", wire.replies()).await.expect("replies"));
        }
        while replies.len() < 7 {
            replies.extend(soon("replies", other.replies()).await.expect("replies"));
        }
        let (reads, transfers): (Vec<&Reply>, Vec<&Reply>) =
            replies.iter().partition(|reply| [2, 4].contains(&reply.tag));
        assert!(reads.iter().all(|read| read.available.map(|held| held.0) == Some(9_300)), "{reads:?}");
        assert_eq!(transfers.len(), 5);
        assert_eq!(transfers.iter().filter(|reply| !reply.repeated).count(), 1, "{transfers:?}");
        for reply in &transfers {
            assert_eq!(facts(reply), facts(transfers[0]));
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// W10: nothing without an id, and nothing twice under one.
#[test]
fn an_id_cannot_be_used_for_anything_else() {
    run(async {
        let dir = folder();
        let mut ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 3, 10_000).await;
        let (id, once) = (new_id(), new_id());
        let first =
            Wire::greeted(&ledger, Role::Frontend).await.operate(id, &casino.transfer(0, 1, 700)).await;
        let deposit = Wire::greeted(&ledger, Role::Cashier).await.operate(once, &casino.deposit(0, 9)).await;
        assert_eq!((first.result, deposit.result), (ResultCode::Done, ResultCode::Done));
        for _ in 0..2 {
            let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
            for other in [
                casino.transfer(0, 1, 701),
                casino.transfer(1, 0, 700),
                casino.transfer(0, 2, 700),
                casino.reserve(0, 700, 700),
            ] {
                let reply = wire.operate(id, &other).await;
                assert_eq!((reply.result, reply.lsn), (ResultCode::IdConflict, first.lsn), "{other:?}");
                assert_eq!((reply.available, reply.repeated), (None, false));
            }
            let mut wire = Wire::greeted(&ledger, Role::Cashier).await;
            let reply = wire.operate(once, &casino.deposit(0, 10)).await;
            assert_eq!((reply.result, reply.lsn), (ResultCode::IdConflict, deposit.lsn));
            ledger = ledger.kill().ledger();
        }
        // Permanent keys and request ids do not meet.
        let mut games = Wire::greeted(&ledger, Role::Games).await;
        assert_eq!(games.operate(once, &casino.reserve(0, 1, 1)).await.result, ResultCode::Done);
        let mut wire = Wire::greeted(&ledger, Role::Auditor).await;
        let read = Ask::Read(Read::Balances { player: casino.players[0], asset: casino.asset });
        let held = wire.answer(read.to_bytes(1)).await;
        assert_eq!(held.available.map(|held| held.0), Some(10_000 - 700 + 9 - 1));
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// A deposit that was refused stays a fact of its chain: once its player is there it is credited, once.
#[test]
fn a_refused_deposit_can_be_credited_later() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::open(&ledger, 1).await;
        let player = cage_engine::PlayerId::from_index(1);
        let deposit = Operation::DepositCredit {
            player,
            asset: casino.asset,
            amount: Amount(50),
            chain: 1,
            locked: None,
            turnover: Amount::ZERO,
        };
        let cashier = client(&ledger, Role::Cashier).await;
        for _ in 0..2 {
            let refused = cashier.submit_with_id(key("early", 1), deposit).await;
            let Err(Error::Refused { code: ResultCode::PlayerUnknown, repeated: false, .. }) = refused else {
                panic!("nobody is there yet: {refused:?}");
            };
        }
        let operator = client(&ledger, Role::Operator).await;
        let opened = operator.open_player(CallerId(9), 1, 1, PlayerClass::Real).await.expect("a player");
        assert_eq!(opened, player);
        let credited = cashier.submit_with_id(key("early", 1), deposit).await.expect("a deposit");
        let Executed { lsn, repeated: false, available, .. } = credited else { panic!("{credited:?}") };
        assert_eq!(available.map(|held| held.0), Some(50));
        let again = cashier.submit_with_id(key("early", 1), deposit).await.expect("the same deposit");
        assert_eq!((again.lsn, again.repeated, again.available), (lsn, true, available));
        operator.close().await;
        cashier.close().await;
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}
