//! Bridges: who may act for a provider or a chain, and what becomes of what they report.
//!
//! What breaks: two bridges for one provider that both think they are the one, a debt that is bet away before it is
//! collected, a provider's transaction that counts twice.

use cage_client::Error;
use cage_engine::{Amount, GameId, Operation, Reference, RequestId, ResultCode, Role, Rule, SessionId};

use crate::harness::casino::{Casino, client, key, new_id};
use crate::harness::wire::{Wire, group_items};
use crate::harness::{Ledger, audit, folder, run};

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Option<ResultCode> {
    outcome.expect_err("refused").code()
}

fn bet(casino: &Casino, provider: u16, number: u128) -> Operation {
    Operation::Bet {
        player: casino.players[0],
        asset: casino.asset,
        stake: Amount(10),
        bet: Reference(number),
        game: GameId::new(provider, 1),
        session: SessionId::NONE,
        payout_max: Amount(100),
        round: Reference(number),
        ends_round: false,
    }
}

fn win(casino: &Casino, provider: u16, number: u128, amount: u128) -> Operation {
    Operation::Win {
        player: casino.players[0],
        asset: casino.asset,
        amount: Amount(amount),
        bet: Reference(number),
        game: GameId::new(provider, 1),
        target: cage_engine::Lsn::NONE,
        round: None,
        ends_round: true,
    }
}

#[test]
fn a_bridge_whose_grant_was_superseded_is_fenced() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 1, 1_000).await;
        let games = client(&ledger, Role::Games).await;
        games.submit(bet(&casino, 7, 1)).await.expect("nobody ever took a grant");
        let first = games.grant(7).await.expect("a grant");
        assert_eq!(code(games.submit(bet(&casino, 7, 2)).await), Some(ResultCode::Fenced), "without it");
        let old = games.with_grant(first);
        old.submit(bet(&casino, 7, 2)).await.expect("under the grant");
        games.submit(bet(&casino, 8, 1_000)).await.expect("another provider's business is not concerned");

        // The bridge's successor starts while it is still at work.
        let second = client(&ledger, Role::Games).await;
        let number = second.grant(7).await.expect("a grant");
        assert!(number > first);
        let new = second.with_grant(number);
        assert_eq!(code(old.submit(bet(&casino, 7, 3)).await), Some(ResultCode::Fenced));
        assert_eq!(
            code(old.submit_with_id(RequestId(77), win(&casino, 7, 2, 5)).await),
            Some(ResultCode::Fenced)
        );
        let group = vec![(new_id(), bet(&casino, 8, 1_001)), (new_id(), bet(&casino, 7, 4))];
        let outcomes = old.group(group).await;
        let codes: Vec<_> = outcomes.into_iter().map(code).collect();
        assert_eq!(codes, [Some(ResultCode::GroupNotTaken), Some(ResultCode::Fenced)]);
        new.submit_with_id(RequestId(77), win(&casino, 7, 2, 5)).await.expect("the new one reports it");
        let ledger = ledger.kill().ledger();
        let third = client(&ledger, Role::Games).await;
        let fenced = third.with_grant(first).submit(bet(&casino, 7, 3)).await;
        assert_eq!(code(fenced), Some(ResultCode::Fenced), "after a restart too");
        new.submit(bet(&casino, 7, 3)).await.expect("and the new one goes on");
        for client in [games, second, third] {
            client.close().await;
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// A bridge that is taken over can hurt what it was trusted with, and nothing else.
#[test]
fn a_bridge_names_no_provider_asset_or_amount_that_it_has_no_permit_for() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 1, 1_000).await;
        let games = client(&ledger, Role::Games).await;
        let operator = client(&ledger, Role::Operator).await;
        let rule = async |rule, scope: u64, value| {
            operator.submit(Operation::SetRule { rule, scope, value }).await.expect("a rule");
        };
        games.submit(bet(&casino, 7, 1)).await.expect("permits are not required");
        rule(Rule::PermitsRequired, Role::Games as u64, 1).await;
        assert_eq!(code(games.submit(bet(&casino, 7, 2)).await), Some(ResultCode::CallerNotPermitted));
        // The number of an identity is the beginning of its digest, as the documents say.
        let digest = blake3::hash(b"cage://games/dev");
        let identity = u64::from(u32::from_le_bytes(*digest.as_bytes().first_chunk().expect("4 bytes")));
        rule(Rule::CallerProvider, identity << 32 | 7, 1).await;
        assert_eq!(code(games.submit(bet(&casino, 7, 2)).await), Some(ResultCode::AssetNotPermitted));
        rule(Rule::CallerAmountMax, identity << 16 | u64::from(casino.asset.0), 10).await;
        assert_eq!(
            code(games.submit(bet(&casino, 7, 2)).await),
            Some(ResultCode::AmountOverRole),
            "10 is over 9"
        );
        rule(Rule::CallerAmountMax, identity << 16 | u64::from(casino.asset.0), 11).await;
        games
            .submit(bet(&casino, 7, 2))
            .await
            .expect("permitted, and nothing was remembered of the refusals");
        assert_eq!(code(games.submit(bet(&casino, 8, 3)).await), Some(ResultCode::CallerNotPermitted));
        let cashier = client(&ledger, Role::Cashier).await;
        cashier
            .submit_with_id(key("more", 1), casino.deposit(0, 50))
            .await
            .expect("other roles need no permit");
        for client in [games, operator, cashier] {
            client.close().await;
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

#[test]
fn a_provider_reports_a_transaction_twice_and_it_counts_once() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 1, 1_000).await;
        let games = client(&ledger, Role::Games).await;
        let taken = games.submit(bet(&casino, 7, 1)).await.expect("a bet");
        let again = games.submit(bet(&casino, 7, 1)).await.expect("under another id it is the same bet");
        assert_eq!((again.lsn, again.repeated), (taken.lsn, true));
        let paid = games.submit_with_id(key("win", 1), win(&casino, 7, 1, 30)).await.expect("a win");
        let again = games.submit_with_id(key("win", 1), win(&casino, 7, 1, 30)).await.expect("the same win");
        assert_eq!((again.lsn, again.repeated), (paid.lsn, true));
        assert_eq!(
            code(games.submit_with_id(key("win", 1), win(&casino, 7, 1, 31)).await),
            Some(ResultCode::IdConflict)
        );
        let held = games.balances(casino.players[0], casino.asset).await.expect("balances");
        assert_eq!(held.available.0, 1_000 - 10 + 30);
        games.close().await;
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

#[test]
fn a_debt_is_collected_before_the_next_batch_is_decided() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 100).await;
        let (player, asset) = (casino.players[0], casino.asset);
        let frontend = client(&ledger, Role::Frontend).await;
        let cashier = client(&ledger, Role::Cashier).await;
        frontend.submit(casino.transfer(0, 1, 80)).await.expect("most of it is gone");
        let back = Operation::Chargeback {
            player,
            asset,
            amount: Amount(100),
            deposit: Reference(key("funds", player.number()).0),
            chain: 1,
            reason: 1,
        };
        let reversed = cashier.submit_with_id(key("back", 1), back).await.expect("taken back");
        assert_eq!((reversed.code, reversed.available.map(|held| held.0)), (ResultCode::Shortfall, Some(0)));
        // 80 are owed. What comes in is taken at once, whatever is asked next.
        let mut wire = Wire::greeted(&ledger, Role::Cashier).await;
        wire.items(&group_items(&[(key("more", 1), casino.deposit(0, 50))])).await;
        let spent = frontend.submit(casino.transfer(0, 1, 1)).await;
        assert_eq!(code(spent), Some(ResultCode::PlayerOwes), "30 are owed still");
        assert_eq!(frontend.balances(player, asset).await.expect("balances").available.0, 0);
        wire.items(&group_items(&[(key("more", 2), casino.deposit(0, 50))])).await;
        let held = frontend.balances(player, asset).await.expect("balances");
        assert_eq!(held.available.0, 20, "the rest is the player's");
        for client in [frontend, cashier] {
            client.close().await;
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}
