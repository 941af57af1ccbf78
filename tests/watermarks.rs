//! What clients have seen, held against the log: the one witness of a log that was replaced by an older copy of itself.
//!
//! What breaks: a server goes on from a log whose acknowledged end is gone, and hands out the same positions again; the
//! files are consistent, so nobody but the clients can know.

use std::fs;
use std::path::Path;

use cage_client::{ConnectionError, Endpoint};
use cage_engine::Role;
use cage_protocol::{CloseCode, Watermark};

use crate::harness::casino::{Casino, client, credentials};
use crate::harness::{Ledger, audit, folder, run, soon};

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// What a client that has seen this much is shown, or with what code it is turned away.
async fn greeted(ledger: &Ledger, seen: Watermark) -> Result<Watermark, CloseCode> {
    let credentials = credentials(&ledger.certs(), Role::Frontend);
    let endpoint = Endpoint::new(&credentials, "localhost", ledger.address()).expect("an endpoint");
    match soon("a connection", endpoint.connect(ledger.address(), seen)).await {
        Ok(connection) => Ok(connection.welcome().durable),
        Err(ConnectionError::Closed { code: Some(code), .. }) => Err(code),
        Err(other) => panic!("{other}"),
    }
}

async fn transfers(ledger: &Ledger, casino: &Casino, count: usize) -> Watermark {
    let frontend = client(ledger, Role::Frontend).await;
    for _ in 0..count {
        frontend.submit(casino.transfer(0, 1, 1)).await.expect("a transfer");
    }
    let seen = frontend.watermark();
    frontend.close().await;
    greeted(ledger, seen).await.expect("a welcome")
}

#[test]
fn an_older_copy_of_the_log_is_refused_by_whoever_has_seen_more() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let early = transfers(&ledger, &casino, 5).await;
        let start = ledger.close().await;
        let (log, aside) = (dir.path().join("log"), dir.path().join("aside"));
        copy(&log, &aside);
        let ledger = start.ledger();
        let seen = transfers(&ledger, &casino, 20).await;
        let start = ledger.kill();
        fs::remove_dir_all(&log).expect("a folder");
        fs::rename(&aside, &log).expect("a folder");
        audit(dir.path(), &[]).assert_clean();

        let ledger = start.ledger();
        assert_eq!(greeted(&ledger, seen).await, Err(CloseCode::ServerBehind));
        ledger.process().wait_for("acknowledged records are missing here or changed");
        assert!(greeted(&ledger, early).await.is_ok(), "who has seen no more is served");
        // The log grows past what was seen, with other records at the same positions.
        let now = transfers(&ledger, &casino, 30).await;
        assert!(now.lsn > seen.lsn);
        let start = ledger.kill();
        let ledger = start.ledger();
        assert_eq!(greeted(&ledger, seen).await, Err(CloseCode::ChainDiffers));
        assert!(greeted(&ledger, now).await.is_ok());
    });
}

/// What a client was sent, signed, can be shown to the server that denies it.
#[test]
fn a_log_that_a_client_can_refute_serves_nobody() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let start = ledger.close().await;
        let (log, aside) = (dir.path().join("log"), dir.path().join("aside"));
        copy(&log, &aside);
        let ledger = start.ledger();
        let frontend = client(&ledger, Role::Frontend).await;
        for _ in 0..20 {
            frontend.submit(casino.transfer(0, 1, 1)).await.expect("a transfer");
        }
        let at = soon("a checkpoint", async {
            loop {
                frontend.totals(casino.asset).await.expect("a read");
                if let Some(signed) = frontend.checkpoint() {
                    break signed.checkpoint.lsn;
                }
            }
        })
        .await;
        // A restart of the right log is no reason to stop.
        let start = ledger.kill();
        let ledger = start.ledger();
        soon("an answer", frontend.submit(casino.transfer(0, 1, 1))).await.expect("a transfer");
        let start = ledger.kill();
        fs::remove_dir_all(&log).expect("a folder");
        fs::rename(&aside, &log).expect("a folder");
        let ledger = start.ledger();
        let said = ledger.process().falls_over().await;
        assert!(said.contains("a client has proved"), "{said}");
        assert!(
            said.contains("signed by this ledger's key") && said.contains(&format!("Seen {at}")),
            "{said}"
        );
        let (ended, start) = ledger.terminate().await;
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        drop(frontend);
        // Without its client nobody knows: it is a log like any other.
        start.ledger().close().await;
    });
}
