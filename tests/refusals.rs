//! Every numbered refusal that a caller can provoke, one request each.
//!
//! What breaks: a check that is gone (the request is executed), a check in another order (another number), a refusal
//! that moves money (the totals differ), a refusal of the wrong kind (a record where there must be none).

use cage_client::Client;
use cage_engine::{
    Amount, AssetCode, AssetId, CallerId, Expiry, GameId, Operation, PlayerClass, PlayerId, RequestId,
    ResultCode, Role, SessionId, Timestamp,
};
use cage_protocol::{Read, Reply, WIRE_REQUEST_BYTES};

use crate::harness::casino::{BOUND, Casino, client, new_id, now};
use crate::harness::wire::{Wire, operation_item, read_item};
use crate::harness::{Ledger, Start, audit, folder, run};

/// An item of a good transfer with some of its bytes replaced.
fn bent(good: &[u8; WIRE_REQUEST_BYTES], at: usize, bytes: &[u8]) -> [u8; WIRE_REQUEST_BYTES] {
    let mut item = *good;
    item[at..at + bytes.len()].copy_from_slice(bytes);
    item
}

fn id_at(time: Timestamp) -> RequestId {
    RequestId::from_time(time, rand::random())
}

/// No record, no trace: the same id can be used for the right thing.
#[test]
fn requests_that_break_the_protocol_are_refused_by_number() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000_000).await;
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        let id = new_id();
        let good = operation_item(5, id, &casino.transfer(0, 1, 10));
        let (payer, payee) = (casino.players[0].number(), casino.players[1].number());
        let over = (Amount::MAX.0 + 1).to_le_bytes();
        use ResultCode as Code;
        let cases: &[(&str, usize, &[u8], ResultCode)] = &[
            ("operation 0", 0, &0_u16.to_le_bytes(), Code::OperationUnknown),
            ("operation 255", 0, &255_u16.to_le_bytes(), Code::OperationUnknown),
            ("operation 0xffff", 0, &[255, 255], Code::OperationUnknown),
            ("no asset", 2, &[0, 0], Code::Malformed),
            ("linked to the next", 4, &[1], Code::Malformed),
            ("an unknown flag", 4, &[2], Code::Malformed),
            ("reserved bytes", 6, &[1], Code::Malformed),
            ("no id", 8, &[0; 16], Code::IdZero),
            ("a reference", 24, &[1], Code::Malformed),
            ("no amount", 40, &[0; 16], Code::AmountZero),
            ("an amount over the limit", 40, &over, Code::AmountOverLimit),
            ("the greatest number", 40, &[255; 16], Code::AmountOverLimit),
            ("no player", 56, &[0; 8], Code::Malformed),
            ("a digit wrong", 56, &(payer + 1).to_le_bytes(), Code::PlayerMistyped),
            ("a digit wrong further up", 56, &(payer + 100).to_le_bytes(), Code::PlayerMistyped),
            ("a number without check digits", 56, &5_u64.to_le_bytes(), Code::PlayerMistyped),
            ("a huge number", 56, &u64::MAX.to_le_bytes(), Code::PlayerMistyped),
            ("a game", 68, &[1], Code::Malformed),
            ("a digit of the payee wrong", 72, &(payee + 1).to_le_bytes(), Code::PlayerMistyped),
            ("no payee", 72, &[0; 8], Code::PlayerMistyped),
            ("unused detail", 80, &[1], Code::Malformed),
            ("the last byte of the detail", 103, &[1], Code::Malformed),
            ("bytes behind the grant", 114, &[1], Code::Malformed),
            ("the last byte", 127, &[128], Code::Malformed),
        ];
        for (what, at, bytes, code) in cases {
            let reply = wire.answer(bent(&good, *at, bytes)).await;
            assert_eq!((reply.tag, reply.result), (5, *code), "{what}");
            assert_eq!(reply, Reply::without_record(5, *code), "{what}: nothing else is said");
        }
        // In one frame with good ones: each for itself.
        let items = [good, bent(&good, 40, &[0; 16]), good];
        wire.write(&crate::harness::wire::requests(&items)).await;
        let mut replies = Vec::new();
        while replies.len() < 3 {
            replies.extend(wire.replies().await.expect("replies"));
        }
        let codes: Vec<_> = replies.iter().map(|reply| (reply.result, reply.repeated)).collect();
        assert_eq!(codes, [(Code::Done, false), (Code::AmountZero, false), (Code::Done, true)]);
        let held = wire
            .answer(read_item(1, Read::Balances { player: casino.players[0], asset: casino.asset }))
            .await;
        assert_eq!(held.available.map(|held| held.0), Some(1_000_000 - 10));
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// What the ledger refuses is a record, and changes nothing.
#[test]
fn what_the_rules_refuse_is_refused_by_number_and_moves_nothing() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let mut of = std::collections::HashMap::new();
        for role in [Role::Frontend, Role::Games, Role::Cashier, Role::Operator] {
            of.insert(role.name(), Wire::greeted(&ledger, role).await);
        }
        let code = |text| AssetCode::new(text).expect("a code");
        let tight =
            Operation::OpenAsset { code: code("TIGHT"), scale: 0, transfers: false, amount_max: Amount(10) };
        let whole =
            Operation::OpenAsset { code: code("WHOLE"), scale: 0, transfers: true, amount_max: Amount::MAX };
        let operator = of.get_mut("operator").expect("a wire");
        let tight = operator.operate(new_id(), &tight).await.asset;
        let whole = operator.operate(new_id(), &whole).await.asset;
        let nobody = PlayerId::from_index(700);
        let (player, asset) = (casino.players[0], casino.asset);
        let (open, settled, cancelled, unheard) = (new_id(), new_id(), new_id(), new_id());
        let games = of.get_mut("games").expect("a wire");
        for (id, operation) in [
            (open, casino.reserve(0, 50, 100)),
            (settled, casino.reserve(0, 50, 100)),
            (cancelled, casino.reserve(0, 50, 100)),
            (new_id(), casino.settle(0, settled, 50, 50)),
            (new_id(), casino.cancel(0, cancelled)),
        ] {
            assert_eq!(games.operate(id, &operation).await.result, ResultCode::Done);
        }
        assert_eq!(games.operate(new_id(), &casino.cancel(0, unheard)).await.result, ResultCode::Tombstoned);
        // A player who holds nearly all that can be counted.
        let most = Operation::DepositCredit {
            player,
            asset: whole,
            amount: Amount::MAX,
            chain: 1,
            locked: None,
            turnover: Amount::ZERO,
        };
        let cashier = of.get_mut("cashier").expect("a wire");
        for _ in 0..3 {
            assert_eq!(cashier.operate(new_id(), &most).await.result, ResultCode::Done);
        }

        let transfer = |from, to, asset, amount| Operation::Transfer {
            from,
            to,
            asset,
            amount: Amount(amount),
            session: SessionId::default(),
        };
        let reserve = |stake, deadline| Operation::Reserve {
            player,
            asset,
            stake: Amount(stake),
            payout_max: Amount(1),
            game: GameId::new(1, 1),
            session: SessionId(1),
            round: None,
            expiry: Expiry::Release(deadline),
        };
        let person = |caller: u128, brand| Operation::OpenPlayer {
            caller_id: CallerId(caller),
            brand,
            jurisdiction: 1,
            class: PlayerClass::Real,
        };
        let asset_of = |scale, transfers| Operation::OpenAsset {
            code: code("CHIP"),
            scale,
            transfers,
            amount_max: BOUND,
        };
        let settle_of = |player, asset, hold| Operation::Settle {
            player,
            asset,
            hold,
            stake: Amount(1),
            payout: Amount(0),
        };
        use ResultCode as Code;
        let past = Timestamp(now().0 - 1);
        let cases = [
            ("frontend", transfer(player, casino.players[1], AssetId(77), 1), Code::AssetUnknown),
            ("operator", asset_of(3, true), Code::AssetDiffers),
            ("operator", asset_of(2, false), Code::AssetDiffers),
            ("operator", asset_of(2, true), Code::Existing),
            ("frontend", transfer(nobody, player, asset, 1), Code::PlayerUnknown),
            ("operator", person(1, 2), Code::PlayerDiffers),
            ("operator", person(1, 1), Code::Existing),
            ("frontend", transfer(player, nobody, asset, 1), Code::CounterpartyUnknown),
            ("frontend", transfer(player, player, asset, 1), Code::SamePlayer),
            ("frontend", casino.transfer(0, 1, BOUND.0 + 1), Code::AmountOverBound),
            ("games", casino.reserve(0, BOUND.0 + 1, 1), Code::AmountOverBound),
            ("cashier", casino.deposit(0, BOUND.0 + 1), Code::AmountOverBound),
            ("frontend", transfer(player, casino.players[1], tight, 1), Code::TransferNotAllowed),
            ("games", casino.settle(0, new_id(), 1, 0), Code::HoldUnknown),
            ("games", settle_of(casino.players[1], asset, open), Code::HoldDiffers),
            ("games", settle_of(player, tight, open), Code::HoldDiffers),
            ("games", casino.cancel(1, open), Code::HoldDiffers),
            ("games", casino.settle(0, settled, 1, 0), Code::HoldSettled),
            ("games", casino.cancel(0, settled), Code::HoldSettled),
            ("games", casino.settle(0, cancelled, 1, 0), Code::HoldCancelled),
            ("games", casino.cancel(0, cancelled), Code::HoldCancelled),
            ("games", casino.settle(0, open, 51, 0), Code::StakeOverRemaining),
            ("games", casino.settle(0, open, 50, 101), Code::PayoutOverGreatest),
            ("games", reserve(1, past), Code::DeadlinePassed),
            ("games", casino.reserve(0, 951, 1), Code::InsufficientFunds),
            ("frontend", casino.transfer(0, 1, 951), Code::InsufficientFunds),
            ("cashier", most, Code::BalanceOverflow),
        ];
        let before = totals(&ledger, &[asset, tight, whole]).await;
        for (role, operation, code) in cases {
            let reply = of.get_mut(role).expect("a wire").operate(new_id(), &operation).await;
            assert_eq!(reply.result, code, "{operation:?}");
            assert!(reply.lsn.0 > 0 && !reply.repeated, "a record: {reply:?}");
            assert_eq!((reply.available, reply.reserved), (None, None), "{operation:?}");
        }
        let early = of.get_mut("games").expect("a wire").operate(unheard, &casino.reserve(0, 1, 1)).await;
        assert_eq!(early.result, Code::CancelledBefore);
        assert_eq!(totals(&ledger, &[asset, tight, whole]).await, before);
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

async fn totals(ledger: &Ledger, assets: &[AssetId]) -> Vec<(i128, i128)> {
    let client = client(ledger, Role::Auditor).await;
    let mut totals = Vec::new();
    for asset in assets {
        let held = client.totals(*asset).await.expect("totals");
        assert_eq!(held.players.0, -held.house.0);
        totals.push((held.players.0, held.house.0));
    }
    totals
}

#[test]
fn an_id_from_the_future_is_not_taken_and_one_from_now_is() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        let minute = id_at(now().plus_millis(60_000));
        for id in [minute, RequestId(u128::MAX), minute] {
            let reply = wire.operate(id, &casino.transfer(0, 1, 1)).await;
            assert_eq!(reply, Reply::without_record(1, ResultCode::IdFromFuture));
        }
        // The cancel of a bet that cannot have been placed yet.
        let mut games = Wire::greeted(&ledger, Role::Games).await;
        let reply = games.operate(new_id(), &casino.cancel(0, minute)).await;
        assert_eq!(reply.result, ResultCode::IdFromFuture);
        let second = id_at(now().plus_millis(1_000));
        assert_eq!(wire.operate(second, &casino.transfer(0, 1, 1)).await.result, ResultCode::Done);
        // Nothing was forgotten yet: the oldest id is as good, but one without any time never is.
        let oldest = id_at(Timestamp::from_millis(1));
        assert_eq!(wire.operate(oldest, &casino.transfer(0, 1, 1)).await.result, ResultCode::Done);
        let timeless = id_at(Timestamp(0));
        assert_eq!(wire.operate(timeless, &casino.transfer(0, 1, 1)).await.result, ResultCode::IdTooOld);
    });
}

#[test]
fn an_id_older_than_what_is_remembered_is_never_executed() {
    run(async {
        let dir = folder();
        let start = Start::small(dir.path()).with("--ids-capacity", "64").with("--ids-retention", "0");
        let ledger = start.ledger();
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        let (first, transfer) = (new_id(), casino.transfer(0, 1, 1));
        let done = wire.operate(first, &transfer).await;
        assert_eq!(done.result, ResultCode::Done);
        let older = id_at(Timestamp(first.time().0 - 1_000_000_000));
        let mut repeated = 0;
        for _ in 0..200 {
            let reply = wire.operate(first, &transfer).await;
            match reply.result {
                ResultCode::Done => {
                    assert!(reply.repeated && reply.lsn == done.lsn, "the one execution: {reply:?}");
                    repeated += 1;
                }
                ResultCode::IdTooOld => assert_eq!(reply, Reply::without_record(1, ResultCode::IdTooOld)),
                other => panic!("{other:?}"),
            }
            assert_eq!(wire.operate(new_id(), &casino.transfer(1, 0, 1)).await.result, ResultCode::Done);
        }
        assert!((40..=64).contains(&repeated), "64 facts are remembered, the answer came {repeated} times");
        // Nobody can know whether that id was used: it is not executed either, and the welcome says from when on.
        assert_eq!(wire.operate(older, &transfer).await.result, ResultCode::IdTooOld);
        let ledger = ledger.kill().ledger();
        let mut wire = Wire::dial(&ledger, Role::Frontend).await;
        let horizon = Timestamp(wire.greet().await.id_horizon);
        assert!(horizon >= first.time() && horizon <= now(), "{horizon:?}");
        assert_eq!(wire.operate(first, &transfer).await.result, ResultCode::IdTooOld);
        assert_eq!(wire.operate(id_at(horizon), &transfer).await.result, ResultCode::IdTooOld);
        assert_eq!(wire.operate(new_id(), &transfer).await.result, ResultCode::Done);
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// Rather than forget a young id or be unable to end an open bet, nothing new is taken.
#[test]
fn full_tables_take_nothing_new_and_let_bets_end() {
    run(async {
        let dir = folder();
        let start = Start::small(dir.path())
            .with("--ids-capacity", "32")
            .with("--holds-max", "3")
            .with("--players-max", "2");
        let ledger = start.clone().ledger();
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let mut operator = Wire::greeted(&ledger, Role::Operator).await;
        let third = Operation::OpenPlayer {
            caller_id: CallerId(900),
            brand: 1,
            jurisdiction: 1,
            class: PlayerClass::Real,
        };
        assert_eq!(
            operator.operate(new_id(), &third).await,
            Reply::without_record(1, ResultCode::PlayerTableFull)
        );
        let mut games = Wire::greeted(&ledger, Role::Games).await;
        let bets = [new_id(), new_id(), new_id()];
        for bet in bets {
            assert_eq!(games.operate(bet, &casino.reserve(0, 10, 20)).await.result, ResultCode::Done);
        }
        let fourth = new_id();
        let reply = games.operate(fourth, &casino.reserve(0, 10, 20)).await;
        assert_eq!(reply, Reply::without_record(1, ResultCode::HoldTableFull));

        let mut frontend = Wire::greeted(&ledger, Role::Frontend).await;
        let mut done = 0;
        let waiting = loop {
            let id = new_id();
            match frontend.operate(id, &casino.transfer(0, 1, 1)).await.result {
                ResultCode::Done => done += 1,
                code => {
                    assert_eq!(code, ResultCode::IdTableFull);
                    break id;
                }
            }
        };
        assert!((10..32).contains(&done), "{done} transfers fit");
        for (bet, end) in bets.into_iter().zip([
            casino.settle(0, bets[0], 10, 20),
            casino.cancel(0, bets[1]),
            casino.settle(0, bets[2], 10, 0),
        ]) {
            assert_eq!(games.operate(new_id(), &end).await.result, ResultCode::Done, "{bet}");
        }
        ledger.close().await;
        // With more room the same ids are good for the same requests.
        let ledger = start.with("--ids-capacity", "1024").ledger();
        let mut frontend = Wire::greeted(&ledger, Role::Frontend).await;
        assert_eq!(frontend.operate(waiting, &casino.transfer(0, 1, 1)).await.result, ResultCode::Done);
        let mut games = Wire::greeted(&ledger, Role::Games).await;
        assert_eq!(games.operate(fourth, &casino.reserve(0, 10, 20)).await.result, ResultCode::Done);
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// A bet with a deadline is given back when it has passed, by nobody's request; after that nothing ends it again.
#[test]
fn a_hold_expires_by_itself() {
    run(async {
        let dir = folder();
        let mut ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 1, 1_000).await;
        for over_a_restart in [false, true] {
            let games: Client = client(&ledger, Role::Games).await;
            let hold = games.mint_id();
            let reserve = Operation::Reserve {
                player: casino.players[0],
                asset: casino.asset,
                stake: Amount(100),
                payout_max: Amount(300),
                game: GameId::new(1, 1),
                session: SessionId::default(),
                round: None,
                expiry: Expiry::Release(now().plus_millis(700)),
            };
            let bet = games.submit_with_id(hold, reserve).await.expect("a bet");
            assert_eq!(bet.reserved.map(|held| held.0), Some(100));
            if over_a_restart {
                ledger = ledger.kill().ledger();
            }
            let held = loop {
                let held = games.balances(casino.players[0], casino.asset).await.expect("balances");
                if held.reserved.0 == 0 {
                    break held;
                }
            };
            assert_eq!(held.available.0, 1_000);
            for late in [casino.settle(0, hold, 100, 300), casino.cancel(0, hold)] {
                let refused = games.submit(late).await.expect_err("it is over");
                assert_eq!(refused.code(), Some(ResultCode::HoldExpired));
            }
            games.close().await;
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}
