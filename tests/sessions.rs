//! Sessions and the tokens that open them, over real connections.
//!
//! What breaks: a session that nobody signed for, a key that counts after it was taken away or not before a restart, a
//! token in somebody's log, a meter that pays what it does not hold.

use std::time::Duration;

use cage::tokens::{Claims, KEYS_DIR, Signer, development_signer, publish};
use cage_client::{Client, Error};
use cage_engine::{
    Amount, AssetId, GameId, Operation, PlayerId, Purse, Reference, ResultCode, Role, SessionId, Timestamp,
};
use cage_protocol::{Read, TOKEN_BYTES_MAX};

use crate::harness::casino::{Casino, client, new_id, now};
use crate::harness::wire::{Wire, operation_item, read_item};
use crate::harness::{Ledger, audit, folder, log, run};

/// A token's claims: an hour of any game, no meter.
fn claims(player: PlayerId) -> Claims {
    Claims {
        player,
        token: rand::random(),
        not_before: None,
        expires: now().plus_millis(3_600_000),
        asset: None,
        topup_max: Amount::ZERO,
        game: GameId::default(),
    }
}

fn development(ledger: &Ledger) -> Signer {
    development_signer(&ledger.certs().join(KEYS_DIR)).expect("the development key")
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Option<ResultCode> {
    outcome.expect_err("not opened").code()
}

#[test]
fn a_session_opens_with_a_token_of_a_key_that_was_added_while_serving() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let keys = ledger.certs().join(KEYS_DIR);
        let frontend = client(&ledger, Role::Frontend).await;
        let token = development(&ledger).sign(&claims(casino.players[0]));
        let first = frontend.open_session(token.as_bytes()).await.expect("a session");
        assert_eq!(first, SessionId(1));
        // The same token is the same session, whoever shows it.
        let games = client(&ledger, Role::Games).await;
        assert_eq!(games.open_session(token.as_bytes()).await.expect("the session"), first);

        let added = Signer::generate("2027").expect("a key");
        let token = added.sign(&claims(casino.players[1]));
        assert_eq!(code(frontend.open_session(token.as_bytes()).await), Some(ResultCode::TokenInvalid));
        publish(&added, &keys).expect("a file");
        let second = frontend.open_session(token.as_bytes()).await.expect("a session");
        assert_eq!(second, SessionId(2));

        std::fs::remove_file(keys.join("2027.pub")).expect("a file");
        tokio::time::sleep(cage::limits::SESSION_KEYS_LOOK_EVERY + Duration::from_millis(100)).await;
        let gone = frontend.open_session(token.as_bytes()).await;
        assert_eq!(code(gone), Some(ResultCode::TokenInvalid), "verified before, by a key that is gone");
        let read = frontend.read(Read::Session { session: second }).await.expect("it is open all the same");
        assert_eq!(read.player, casino.players[1].number());
        let ledger = ledger.kill().ledger();
        let read = frontend.read(Read::Session { session: first }).await.expect("after a restart too");
        assert_eq!((read.player, read.asset), (casino.players[0].number(), AssetId::NONE));
        frontend.close().await;
        games.close().await;
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

#[test]
fn a_token_that_is_not_valid_opens_nothing_and_is_told_nobody() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 1, 1_000).await;
        let (signer, player) = (development(&ledger), casino.players[0]);
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        let lsn = wire.answer(read_item(1, Read::Totals { asset: casino.asset })).await.lsn;
        let good = signer.sign(&claims(player));
        let mut forged = good.clone().into_bytes();
        forged[40] ^= 1;
        let impostor = Signer::generate("dev").expect("a key");
        let expired = Claims { expires: Timestamp(now().0 - 1), ..claims(player) };
        let early = Claims { not_before: Some(now().plus_millis(60_000)), ..claims(player) };
        let mistyped = signer.sign_payload(&format!(
            r#"{{"sub":"{}","jti":"{:032x}","exp":"2100-01-01T00:00:00Z"}}"#,
            player.number() + 1,
            7
        ));
        for (what, token) in [
            ("nothing", Vec::new()),
            ("no token", b"let me in".to_vec()),
            ("one bit", forged),
            ("somebody else's key", impostor.sign(&claims(player)).into_bytes()),
            ("too late", signer.sign(&expired).into_bytes()),
            ("too early", signer.sign(&early).into_bytes()),
            ("a player's number mistyped", mistyped.into_bytes()),
            ("too long", vec![b'v'; TOKEN_BYTES_MAX + 1]),
            ("longer than one can be", vec![b'v'; 100_000]),
        ] {
            let reply = wire.open_session(new_id(), &token).await;
            assert_eq!((reply.result, reply.lsn.0), (ResultCode::TokenInvalid, 0), "{what}");
        }
        let reply = wire.open_session(cage_engine::RequestId::NONE, good.as_bytes()).await;
        assert_eq!(reply.result, ResultCode::IdZero);
        for role in [Role::Support, Role::Cashier, Role::Operator] {
            let reply = Wire::greeted(&ledger, role).await.open_session(new_id(), good.as_bytes()).await;
            assert_eq!(reply.result, ResultCode::RoleNotAllowed, "{}", role.name());
        }
        // What the ledger would decide, without anybody's signature.
        let raw = Operation::OpenSession {
            player,
            token: Reference(5),
            asset: None,
            topup_max: Amount::ZERO,
            game: GameId::default(),
            expires: now().plus_millis(60_000),
        };
        let reply = wire.answer(operation_item(1, new_id(), &raw)).await;
        assert_eq!((reply.result, reply.lsn.0), (ResultCode::TokenMissing, 0));
        let after = wire.answer(read_item(1, Read::Totals { asset: casino.asset })).await.lsn;
        assert_eq!(after, lsn, "none of it is in the log");
        assert_eq!(wire.open_session(new_id(), good.as_bytes()).await.result, ResultCode::Done);
        let (ended, _) = ledger.terminate().await;
        assert!(ended.stderr.contains("its signature is wrong"), "the server's own log says why");
        assert!(!ended.stderr.contains("v4.public."), "and shows no token:\n{}", ended.stderr);
        let kind = cage_engine::OperationKind::OpenSession;
        let records = log::records(dir.path()).0;
        assert_eq!(records.iter().filter(|(_, record)| record.request.kind == kind).count(), 1);
        audit(dir.path(), &[]).assert_clean();
    });
}

/// A bet of 10 on game 7/1 in a session, by the provider's transaction.
fn bet(casino: &Casino, session: SessionId, number: u128, payout: u128) -> Operation {
    Operation::BetWin {
        player: casino.players[0],
        asset: casino.asset,
        stake: Amount(10),
        bet: Reference(number),
        game: GameId::new(7, 1),
        session,
        payout: Amount(payout),
        round: Reference(number),
        ends_round: true,
    }
}

async fn purses(client: &Client, casino: &Casino) -> (i128, i128) {
    let purse = async |purse| client.purse(casino.players[0], casino.asset, purse).await.expect("a purse").0;
    (purse(Purse::Available).await, purse(Purse::Allowance).await)
}

#[test]
fn a_credit_meter_tops_itself_up_and_comes_back_when_the_session_ends() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 1, 1_000).await;
        let games = client(&ledger, Role::Games).await;
        let claims = Claims {
            asset: Some(casino.asset),
            topup_max: Amount(25),
            expires: now().plus_millis(2_500),
            ..claims(casino.players[0])
        };
        let token = development(&ledger).sign(&claims);
        let session = games.open_session(token.as_bytes()).await.expect("a session");
        // Three movements: the top-up, the stake, the win. The third stands in a continuation.
        let won = games.submit(bet(&casino, session, 1, 4)).await.expect("a bet");
        assert_eq!(purses(&games, &casino).await, (990, 4));
        let again = games.submit_with_id(won.id, bet(&casino, session, 1, 4)).await.expect("the same bet");
        assert_eq!((again.lsn, again.repeated), (won.lsn, true));
        games.submit(bet(&casino, session, 2, 0)).await.expect("a bet");
        assert_eq!(purses(&games, &casino).await, (984, 0), "6 more were missing");
        let meter = games.read(Read::Session { session }).await.expect("a session");
        assert_eq!((meter.asset, meter.available.map(|held| held.0)), (casino.asset, Some(0)));
        let refused = games.submit(bet(&casino, session, 3, 0)).await;
        assert_eq!(code(refused), Some(ResultCode::InsufficientFunds), "9 of 25 are left to top up");
        let fund = Operation::AllowanceFund {
            player: casino.players[0],
            asset: casino.asset,
            amount: Amount(9),
            session,
        };
        games.submit(fund).await.expect("money on the meter");
        assert_eq!(purses(&games, &casino).await, (975, 9));
        // The session's time comes, and nobody has to ask.
        tokio::time::sleep(Duration::from_millis(3_000)).await;
        assert_eq!(purses(&games, &casino).await, (984, 0));
        let refused = games.submit(bet(&casino, session, 4, 0)).await;
        assert!(matches!(code(refused), Some(ResultCode::SessionEnded | ResultCode::SessionExpired)));
        games.close().await;
        ledger.close().await;
        let records = log::records(dir.path()).0;
        let continued = records.iter().find(|(lsn, _)| *lsn == won.lsn.next()).expect("a continuation");
        assert_eq!(continued.1.request.kind, cage_engine::OperationKind::Continue);
        audit(dir.path(), &[]).assert_clean();
    });
}
