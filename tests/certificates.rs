//! Certificates that change while the server runs, over real QUIC.
//!
//! What breaks: a caller who was locked out and goes on, a good certificate that is given up for one that cannot be
//! used, a reload that costs everybody their connection, a server that needs a restart for a new certificate.

use std::fs;
use std::path::Path;

use cage::certs::ensure_development_set;
use cage_engine::{AssetId, Role};
use cage_protocol::{CloseCode, Read, frame};
use rustix::process::Signal;

use crate::harness::http::{alarms, metrics};
use crate::harness::wire::{Dial, Wire, hello, read_item};
use crate::harness::{Ledger, Start, folder, run, soon, text};

const RENEWED: &str = "certificates were read again";
const REFUSED: &str = "the new certificates cannot be used";

/// Copies what a server reads.
fn put(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        // Under another name first, as whoever takes care does it.
        fs::copy(from.join(name), to.join("new")).expect("a copy");
        fs::rename(to.join("new"), to.join(name)).expect("a name");
    }
}

const ALL: [&str; 3] = ["ca.pem", "server.pem", "server.key"];

/// Two development sets, and a server with the first of them in a folder of its own.
fn with_two_sets(dir: &Path) -> Ledger {
    for name in ["first", "second", "live"] {
        ensure_development_set(&dir.join(name)).expect("certificates");
    }
    put(&dir.join("first"), &dir.join("live"), &ALL);
    Start::small(&dir.join("data")).with("--certs", text(&dir.join("live"))).ledger()
}

/// Whether a caller of a set is let in.
async fn is_let_in(ledger: &Ledger, certs: &Path) -> bool {
    let Ok(connection) = Dial::of(certs, Role::Frontend).connect(ledger.address()).await else {
        return false;
    };
    // In TLS 1.3 a client hears only later that its certificate was not taken.
    let Ok((mut send, mut receive)) = connection.open_bi().await else { return false };
    let _ = send.write_all(&frame::hello(&hello())).await;
    receive.read_chunk(1, true).await.is_ok_and(|answer| answer.is_some())
}

#[test]
fn a_new_authority_lets_its_callers_in_and_ends_those_of_the_old_one() {
    run(async {
        let dir = folder();
        let ledger = with_two_sets(dir.path());
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        let connection =
            Dial::of(&first, Role::Frontend).connect(ledger.address()).await.expect("a connection");
        let mut old = Wire::open(&connection).await;
        old.greet().await;
        assert!(!is_let_in(&ledger, &second).await);

        put(&second, &dir.path().join("live"), &ALL);
        ledger.process().signal(Signal::HUP);
        ledger.process().wait_for(RENEWED);
        assert_eq!(soon("the end of the old caller", old.closed()).await, Some(CloseCode::RoleUnknown));
        assert!(is_let_in(&ledger, &second).await);
        assert!(!is_let_in(&ledger, &first).await);
        ledger.close().await;
    });
}

#[test]
fn whoever_is_still_signed_for_keeps_the_connection() {
    run(async {
        let dir = folder();
        let ledger = with_two_sets(dir.path());
        let first = dir.path().join("first");
        let connection =
            Dial::of(&first, Role::Frontend).connect(ledger.address()).await.expect("a connection");
        let mut wire = Wire::open(&connection).await;
        wire.greet().await;
        ledger.process().signal(Signal::HUP);
        ledger.process().wait_for(RENEWED);
        let read = read_item(1, Read::Totals { asset: AssetId(1) });
        wire.answer(read).await;
        assert_eq!(metrics(ledger.admin())["cage_connections"], 1.0);
        ledger.close().await;
    });
}

/// Without a signal: the files are looked at.
#[test]
fn a_bad_certificate_changes_nothing_and_a_good_one_after_it_does() {
    run(async {
        let dir = folder();
        let ledger = with_two_sets(dir.path());
        let [first, second, live] = ["first", "second", "live"].map(|name| dir.path().join(name));
        // The certificate of the one set, and the key of the other.
        put(&second, &live, &["server.key"]);
        ledger.process().wait_for(REFUSED);
        assert!(is_let_in(&ledger, &first).await, "the old ones stay in force");
        assert!(alarms(ledger.admin()).contains(&"certificates_not_read".to_owned()));
        fs::write(live.join("server.pem"), "no certificate").expect("a file");
        ledger.process().signal(Signal::HUP);
        assert!(is_let_in(&ledger, &first).await);
        put(&second, &live, &ALL);
        ledger.process().wait_for(RENEWED);
        assert!(is_let_in(&ledger, &second).await);
        assert!(!alarms(ledger.admin()).contains(&"certificates_not_read".to_owned()));
        ledger.close().await;
    });
}
