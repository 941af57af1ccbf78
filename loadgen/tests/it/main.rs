//! The load generator against the client's in-memory server: what it reports is what the ledger holds.

#[path = "../../../client/tests/it/certs.rs"]
mod certs;
#[path = "../../../client/tests/it/server.rs"]
#[expect(dead_code, reason = "the client's tests use more of it")]
mod server;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use cage_client::engine::{AssetId, OperationKind, Record, RequestId};
use cage_loadgen::{
    Load, LoadError, Options, Progress, Report, Summary, Taken, Workload, prepare, run, run_on, run_with,
    write_page,
};

use server::{Ledger, Server};

fn options(server: &Server) -> Options {
    Options {
        players: 50,
        duration: Duration::from_millis(300),
        load: Load::Outstanding(100),
        ..Options::new(server.address, server.certs.path().to_owned())
    }
}

fn adds_up(report: &Report) {
    let Report { requests, executed, refused, not_taken, unknown, .. } = *report;
    assert_eq!(requests, executed + refused + not_taken + unknown, "{report}");
}

/// Every line of the file is a record of the ledger with that position and result.
fn acknowledged(path: &Path, ledger: &Ledger) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let by_id: HashMap<RequestId, (usize, &Record)> =
        ledger.records.iter().enumerate().map(|(at, record)| (record.request.id, (at + 1, record))).collect();
    for line in text.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let [id, lsn, result] = fields[..] else { panic!("three fields: {line}") };
        let (at, record) = by_id[&RequestId(u128::from_str_radix(id, 16).unwrap())];
        assert_eq!((lsn, result), (&*at.to_string(), &*record.result.number().to_string()));
    }
    text.lines().count()
}

#[test]
fn what_is_reported_is_in_the_ledger_and_a_second_run_finds_its_players() {
    let server = Server::start(Ledger::new());
    let acks = server.certs.path().join("acks");
    let options = Options { connections: 3, threads: 2, acks: Some(acks.clone()), ..options(&server) };
    let first = run(&options).unwrap();
    adds_up(&first);
    assert!(first.executed > 100 && first.unknown == 0, "{first}");
    assert_eq!(server.ledger().ids_of(OperationKind::Transfer).len() as u64, first.executed);
    // The asset, its two rules, the players and their money are acknowledged as well.
    assert_eq!(acknowledged(&acks, &server.ledger()) as u64, 1 + 2 + 50 + 50 + first.executed);
    let second = run(&Options { batch: Some(25), seed: 2, ..options }).unwrap();
    adds_up(&second);
    assert_eq!(second.executed, second.requests, "{second}");
    let ledger = server.ledger();
    assert!(ledger.frames[ledger.frames.len() - 10..].iter().all(|items| *items == 25));
}

#[test]
fn the_casino_is_never_refused() {
    let server = Server::start(Ledger::new());
    let report = run(&Options { workload: Workload::Casino, ..options(&server) }).unwrap();
    adds_up(&report);
    assert_eq!(report.executed, report.requests, "{report}");
    let ledger = server.ledger();
    for kind in [OperationKind::Reserve, OperationKind::Settle, OperationKind::Cancel] {
        assert!(!ledger.ids_of(kind).is_empty(), "{kind:?}");
    }
}

/// Whoever measures a large ledger sets the stage once.
#[test]
fn a_stage_that_was_set_once_serves_several_runs_in_all_its_assets() {
    let server = Server::start(Ledger::new());
    let options = Options { assets: 3, ..options(&server) };
    let stage = prepare(&options, &Arc::default()).unwrap();
    let opened = server.ledger().ids_of(OperationKind::OpenPlayer).len();
    for seed in [1, 2] {
        let report = run_on(&Options { seed, ..options.clone() }, &stage, &Arc::default()).unwrap();
        adds_up(&report);
        assert_eq!((report.executed, report.assets), (report.requests, 3), "{report}");
    }
    let ledger = server.ledger();
    assert_eq!(ledger.ids_of(OperationKind::OpenPlayer).len(), opened, "nobody is opened again");
    assert_eq!(ledger.ids_of(OperationKind::DepositCredit).len(), 50 * 3);
    let mut assets: Vec<_> = ledger.records.iter().filter_map(transferred).collect();
    assets.sort_unstable();
    assets.dedup();
    assert_eq!(assets.len(), 3);
}

fn transferred(record: &Record) -> Option<AssetId> {
    (record.request.kind == OperationKind::Transfer).then_some(record.request.asset)
}

#[test]
fn an_open_loop_sends_as_many_as_are_due() {
    let server = Server::start(Ledger::new());
    let report = run(&Options { connections: 2, load: Load::Rate(1_000.0), ..options(&server) }).unwrap();
    assert_eq!((report.requests, report.executed), (300, 300), "{report}");
}

/// Whoever kills the server wants a report soon, and every acknowledgement in the file.
#[test]
fn a_killed_server_ends_the_run_with_all_acknowledgements_written() {
    let server = Server::start(Ledger::new());
    let acks = server.certs.path().join("acks");
    let options = Options { duration: Duration::from_secs(2), acks: Some(acks.clone()), ..options(&server) };
    let progress = Arc::<Progress>::default();
    let begun = Instant::now();
    let (report, killed) = thread::scope(|scope| {
        let running = scope.spawn(|| run_with(&options, &progress).unwrap());
        while progress.answered.load(Ordering::Relaxed) < 500 {
            thread::yield_now();
        }
        let killed = server.kill();
        (running.join().unwrap(), killed)
    });
    assert!(begun.elapsed() < options.duration + Duration::from_secs(5), "{:?}", begun.elapsed());
    adds_up(&report);
    assert_eq!(report.unknown, 100, "{report}");
    assert_eq!(report.seconds, 2.0, "waiting for nobody is no part of the load");
    let lines = acknowledged(&acks, &killed.ledger.lock().unwrap());
    assert_eq!(lines as u64, 1 + 2 + 50 + 50 + report.executed + report.refused);
}

#[test]
fn what_makes_no_sense_and_who_is_not_there_are_told_apart() {
    let server = Server::start(Ledger::new());
    let wrong = Options { load: Load::Outstanding(0), ..options(&server) };
    assert!(matches!(run(&wrong), Err(LoadError::Options(_))));
    let options = options(&server);
    drop(server);
    assert!(matches!(run(&options), Err(LoadError::Setup(_))));
}

/// A folder of a run: its summary, the percentiles' last count, its page.
fn read_page(dir: &Path) -> (Summary, u64, String) {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let lines = read("latency.hgrm");
    let total = lines.lines().find_map(|line| line.split_once("Total count    = ")).expect("a total").1;
    let total = total.trim_matches([' ', ']']).parse().unwrap();
    (Summary::read(dir).unwrap(), total, read("report.html"))
}

#[test]
fn a_page_tells_what_the_report_does_and_needs_no_network() {
    let server = Server::start(Ledger::new());
    let options = Options { duration: Duration::from_millis(1_500), ..options(&server) };
    let taken = || Taken { command: "a <command> & more".to_owned(), ..Taken::now("cage-loadgen") };
    let (one, other) = (server.certs.path().join("one"), server.certs.path().join("other"));
    let first = run(&options).unwrap();
    write_page(&one, &first, taken(), None).unwrap();
    let (summary, counted, html) = read_page(&one);
    assert_eq!(counted, first.executed + first.refused, "every latency is in the percentiles");
    // Both are read from text: what reads it may differ from what was written in the last bit of a number.
    let reported: serde_json::Value = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
    assert_eq!(summary.report, reported);
    let p99 = summary.percentiles.iter().find(|(quantile, _)| *quantile == 0.99).expect("so many answers");
    assert_eq!(p99.1, first.latency_us.p99);
    // Whole seconds only: one of one and a half, more if the last answers were late.
    assert_eq!(summary.moments.len(), first.seconds as usize);
    assert!(summary.moments.iter().any(|moment| moment.per_second > 0.0 && moment.p50_us > 0.0));
    assert!(html.contains("a &lt;command&gt; &amp; more") && !html.contains("earlier"), "{html}");
    for what in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(what), "a page that opens offline has no {what}");
    }
    assert_eq!(html.matches("<svg").count(), 3);
    // A second run beside the first.
    let second = run(&Options { seed: 5, ..options }).unwrap();
    write_page(&other, &second, taken(), Some(&summary)).unwrap();
    let html = read_page(&other).2;
    let change = format!("{:+.1} %", (second.requests as f64 / first.requests as f64 - 1.0) * 100.0);
    assert!(
        html.contains(&format!("<td>{}<td>{}<td>{change}", second.requests, first.requests)),
        "{change}: {html}"
    );
    assert!(html.contains("decided a second, earlier"));
    // A folder that is none is told, and where.
    let fault = Summary::read(&server.certs.path().join("nowhere")).unwrap_err().to_string();
    assert!(
        fault.contains("nowhere") && fault.contains("expected the folder of an earlier --report"),
        "{fault}"
    );
}
