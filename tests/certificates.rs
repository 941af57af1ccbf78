//! Certificates that change while the server runs, over real QUIC.
//!
//! What breaks: a caller who was locked out and goes on, a good certificate that is given up for one that cannot be
//! used, a reload that costs everybody their connection, a server that needs a restart for a new certificate.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use cage::certs::ensure_development_set;
use cage_engine::{AssetId, Role};
use cage_protocol::{CloseCode, Read, frame};
use rustix::process::Signal;

use crate::harness::http::{alarms, metrics};
use crate::harness::wire::{Dial, Wire, hello, read_item};
use crate::harness::{Ledger, Start, folder, run, run_cage, soon, stderr, text};

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

fn certs(arguments: &[&str]) -> Output {
    run_cage(&[&["certs"], arguments].concat())
}

fn made(arguments: &[&str]) {
    let output = certs(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
}

/// By the file's name: its use, and its trouble if it has any.
type Listed = BTreeMap<String, (String, Option<String>)>;

/// What `cage certs list --json` says of each file: for what it is, and what is wrong with it.
fn listed(dir: &Path, arguments: &[&str]) -> (Option<i32>, Listed) {
    let output = certs(&[&["list", text(dir), "--json"], arguments].concat());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let rows = json["certificates"].as_array().expect("a list").iter();
    let row = |row: &serde_json::Value| {
        (word(&row["file"]).expect("a name"), (word(&row["usage"]).expect("a use"), word(&row["trouble"])))
    };
    (output.status.code(), rows.map(row).collect())
}

#[test]
fn certificates_made_by_hand_let_a_server_and_its_callers_meet_and_nobody_elses() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let (ours, theirs, server, lobby) = (at("ours"), at("theirs"), at("server"), at("lobby"));
    made(&["authority", text(&ours), "--name", "Ours"]);
    made(&["authority", text(&theirs)]);
    made(&[
        "server",
        text(&server),
        "--authority",
        text(&ours),
        "--host",
        "localhost",
        "--host",
        "127.0.0.1",
    ]);
    let caller = ["--role", "frontend", "--name", "lobby-1"];
    made(&[&["caller", text(&lobby), "--authority", text(&ours)], &caller[..]].concat());
    made(&[&["caller", text(&at("stranger")), "--authority", text(&theirs)], &caller[..]].concat());
    fs::copy(at("stranger/frontend.pem"), at("stranger/theirs.pem")).expect("a copy");
    fs::copy(server.join("ca.pem"), at("stranger/ca.pem")).expect("it trusts the server");
    assert!(!server.join("ca.key").exists() && !lobby.join("ca.key").exists(), "the key stays where it is");
    run(async {
        let ledger = Start::small(&at("data")).with("--certs", text(&server)).ledger();
        assert!(is_let_in(&ledger, &lobby).await);
        assert!(!is_let_in(&ledger, &at("stranger")).await, "another authority's caller");
        ledger.close().await;
    });

    let before = fs::read(server.join("server.key")).expect("a key");
    let again = certs(&["server", text(&server), "--authority", text(&ours), "--host", "localhost"]);
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
    assert_eq!(fs::read(server.join("server.key")).expect("a key"), before);
    let other = certs(&["server", text(&lobby), "--authority", text(&theirs), "--host", "localhost"]);
    assert!(stderr(&other).contains("another authority"), "{}", stderr(&other));
}

#[test]
fn a_list_of_certificates_tells_what_each_is_and_what_is_wrong_with_it() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let (ours, shelf) = (at("ours"), at("shelf"));
    made(&["authority", text(&ours)]);
    made(&["server", text(&shelf), "--authority", text(&ours), "--host", "ledger.example"]);
    let caller = |role: &str, file: &str, days: &str| {
        let named = ["--role", role, "--name", "one", "--file", file, "--days", days];
        made(&[&["caller", text(&shelf), "--authority", text(&ours)], &named[..]].concat());
    };
    caller("games", "good", "365");
    caller("risk", "short", "10");
    let (code, rows) = listed(&shelf, &[]);
    assert_eq!(code, Some(0), "{rows:?}");
    let uses = ["ca", "good", "server", "short"].map(|name| rows[name].0.as_str());
    assert_eq!(uses, ["authority", "caller", "server", "caller"]);
    assert!(rows.values().all(|(_, trouble)| trouble.is_none()), "{rows:?}");
    assert_eq!(listed(&shelf, &["--within", "30"]).0, Some(1), "ten days are not thirty");

    caller("chain", "keyless", "365");
    caller("chain", "swapped", "365");
    fs::remove_file(shelf.join("keyless.key")).expect("a key");
    fs::copy(shelf.join("good.key"), shelf.join("swapped.key")).expect("a copy");
    ensure_development_set(&at("others")).expect("certificates");
    fs::copy(at("others/cashier.pem"), shelf.join("foreign.pem")).expect("a copy");
    fs::copy(at("others/cashier.key"), shelf.join("foreign.key")).expect("a copy");
    fs::write(shelf.join("nothing.pem"), "nothing").expect("a file");
    let (code, rows) = listed(&shelf, &[]);
    assert_eq!(code, Some(1));
    for (name, part) in [
        ("keyless", "its key"),
        ("swapped", "its key is another certificate's"),
        ("foreign", "has not signed it"),
        ("nothing", "no certificate"),
    ] {
        let trouble = rows[name].1.as_deref().unwrap_or_default();
        assert!(trouble.contains(part), "{name}: {trouble:?}");
    }
    assert_eq!(rows["good"].1, None, "the others are as good as before");
    let wrong = certs(&["caller", text(&shelf), "--authority", text(&ours), "--role", "king", "--name", "x"]);
    assert!(stderr(&wrong).contains("frontend"), "the roles are named: {}", stderr(&wrong));
    assert_eq!(listed_code(&at("nowhere")), Some(2));
}

fn listed_code(dir: &Path) -> Option<i32> {
    certs(&["list", text(dir)]).status.code()
}
