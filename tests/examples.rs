//! The client's examples, as they stand in its folder, against a real ledger.
//!
//! What breaks: an example that a newcomer starts from and that does not run.

use std::path::PathBuf;

use cage_engine::Role;

use crate::harness::casino::{Casino, client};
use crate::harness::{Ledger, folder, run, soon};

#[expect(dead_code, reason = "only its main is not called")]
#[path = "../client/examples/first_bet.rs"]
mod first_bet;
#[expect(dead_code, reason = "only its main is not called")]
#[path = "../client/examples/first_request.rs"]
mod first_request;
#[expect(dead_code, reason = "only its main is not called")]
#[path = "../client/examples/follow_player.rs"]
mod follow_player;
#[expect(dead_code, reason = "only its main is not called")]
#[path = "../client/examples/player_page.rs"]
mod player_page;
#[expect(dead_code, reason = "only its main is not called")]
#[path = "../client/examples/retry.rs"]
mod retry;
#[expect(dead_code, reason = "only its main is not called")]
#[path = "../client/examples/test_with_fake.rs"]
mod test_with_fake;
#[expect(dead_code, reason = "only its main is not called")]
#[path = "../client/examples/together.rs"]
mod together;

#[test]
fn each_example_runs_against_a_ledger_and_does_what_it_says() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let (address, asset) = (ledger.address(), casino.asset.0);
        let certs = || -> PathBuf { ledger.certs() };
        let [player, other] = [0, 1].map(|place: usize| casino.players[place].number());
        let done = async |what, example: std::pin::Pin<Box<dyn Future<Output = _>>>| {
            let result: Result<(), Box<dyn std::error::Error>> = soon(what, example).await;
            result.unwrap_or_else(|reason| panic!("{what}: {reason}"));
        };
        let folder = certs();
        done("first_request", Box::pin(first_request::first_request(address, &folder))).await;
        let first = first_bet::Arguments { address, certs: certs() };
        done("first_bet", Box::pin(first_bet::run(first))).await;
        let retried = retry::Arguments { from: player, to: other, asset, address, certs: certs() };
        done("retry", Box::pin(retry::run(retried))).await;
        let many = together::Arguments { player, asset, address, certs: certs() };
        done("together", Box::pin(together::run(many))).await;
        // Opened, a deposit, a transfer that was repeated and counts once, two stakes and a refused one, three of a group.
        let records = 9;
        let (after, certs_too) = (0, certs());
        let followed = follow_player::Arguments { player, after, records, address, certs: certs_too };
        done("follow_player", Box::pin(follow_player::run(followed))).await;
        let page = player_page::Arguments { player, asset, address, certs: certs() };
        done("player_page", Box::pin(player_page::run(page))).await;
        done("test_with_fake", Box::pin(test_with_fake::run())).await;
        let auditor = client(&ledger, Role::Auditor).await;
        let held = auditor.balances(casino.players[0], casino.asset).await.expect("balances");
        assert_eq!((held.available.0, held.reserved.0), (1_000 - 5 - 3, 3), "sent once, two stakes aside");
        auditor.close().await;
        ledger.close().await;
    });
}

/// What a newcomer copies is what the test above ran.
#[test]
fn the_readme_shows_the_first_request_as_the_example_has_it() {
    let read = |name: &str| {
        std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a file")
    };
    let example = read("client/examples/first_request.rs");
    let (_, body) = example.split_once("pub(crate) async fn").expect("the function");
    let (body, _) = body.split_once("\n}\n").expect("its end");
    let shown = format!("async fn{body}\n}}\n");
    assert!(shown.lines().count() <= 22, "short enough to be read: {}", shown.lines().count());
    assert!(read("README.md").contains(&shown), "README.md shows:\n{shown}");
}
