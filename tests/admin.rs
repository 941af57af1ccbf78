//! The admin port: what monitors and operators see of a server, and that looking at it disturbs nobody.
//!
//! What breaks: numbers that are not those of the log, a server that is called ready and makes nothing durable, an alarm
//! that no monitor can see, a page that the documents do not describe, a caller of the port that stops the ledger.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::Path;

use cage::admin::alarms::Alarm;
use cage::limits::ADMIN_CONNECTIONS_MAX;
use cage_engine::{CallerId, OperationKind, PlayerClass, Record, Role};
use serde_json::Value;

use crate::harness::casino::{Casino, client, new_id};
use crate::harness::http::{alarms, ask, get, metrics, send, status};
use crate::harness::wire::Wire;
use crate::harness::{Ledger, Start, folder, log, run, run_cage, stderr, stdout, text};

/// Asks again until it is so. The test's own time limit is the end of patience.
pub(crate) async fn until(mut what: impl FnMut() -> bool) {
    while !what() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn the_numbers_of_the_admin_port_are_those_of_the_log() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 3, 10_000).await;
        let mut games = Wire::greeted(&ledger, Role::Games).await;
        let bets = [new_id(), new_id()];
        for bet in bets {
            games.operate(bet, &casino.reserve(0, 10, 20)).await;
        }
        games.operate(new_id(), &casino.settle(0, bets[0], 4, 5)).await;
        games.operate(new_id(), &casino.cancel(1, new_id())).await;
        games.operate(bets[0], &casino.reserve(0, 10, 20)).await;
        let support = client(&ledger, Role::Support).await;
        support.totals(casino.asset).await.expect("totals");

        // Those who filled the books are gone; that may not have been noticed yet.
        until(|| status(ledger.admin())["connections"] == 2).await;
        let told = status(ledger.admin());
        let seen = metrics(ledger.admin());
        assert_eq!((get(ledger.admin(), "/livez").status, get(ledger.admin(), "/readyz").status), (200, 200));
        let printed = run_cage(&["status", text(dir.path()), "--json"]);
        assert_eq!(printed.status.code(), Some(0), "{}{}", stdout(&printed), stderr(&printed));
        let printed: Value = serde_json::from_slice(&printed.stdout).expect("one JSON object");
        drop((games, support));
        ledger.close().await;

        // The last record is the digest that the end of the server writes.
        let (records, report) = log::records(dir.path());
        let records = &records[..records.len() - 1];
        let count = |wanted: &dyn Fn(&Record) -> bool| {
            records.iter().filter(|(_, record)| wanted(record)).count() as f64
        };
        assert_eq!(seen["cage_records_total"], count(&|_| true));
        assert_eq!(seen["cage_records_refused_total"], count(&|record| !record.result.is_executed()));
        assert_eq!(seen["cage_players"], count(&|record| record.request.kind == OperationKind::OpenPlayer));
        // A part of the first is still open.
        assert_eq!(seen["cage_holds_open"], 2.0);
        assert_eq!(seen["cage_requests_repeated_total"], 1.0);
        assert_eq!(seen["cage_reads_total"], 1.0);
        assert_eq!(seen["cage_durable_lsn"], records.len() as f64);
        assert_eq!(seen["cage_connections"], 2.0);
        // Each question of each client was answered, and each answer was timed: records, a repeat, a read.
        let answered = count(&|record| record.request.kind != OperationKind::Configure) + 2.0;
        assert_eq!(seen["cage_answer_seconds_count"], answered);
        assert_eq!(seen["cage_answer_seconds_bucket{le=\"+Inf\"}"], answered);

        for told in [&told, &printed] {
            assert_eq!(told["log"]["durable_lsn"].as_u64(), Some(records.len() as u64));
            assert_eq!(told["ready"], true);
            assert_eq!(
                told["log"]["epoch"].as_str(),
                Some(report.epoch.expect("an epoch").to_string().as_str())
            );
            assert_eq!((told["role"].as_str(), told["phase"].as_str()), (Some("writer"), Some("serving")));
            assert_eq!(told["connections"].as_u64(), Some(2));
            assert_eq!(
                told["log"]["id"].as_str(),
                Some(format!("{:032x}", report.log.expect("a log").0).as_str())
            );
        }
        let last = told["log"]["chain_head"].as_str().expect("a chain head");
        let head = format!("{}:{last}", records.len());
        assert_eq!(run_cage(&["audit", text(dir.path()), "--head", &head]).status.code(), Some(0));
    });
}

#[test]
fn a_log_that_makes_nothing_durable_is_not_ready() {
    run(async {
        let dir = folder();
        // Long enough that nobody misses it, however busy the machine is; the server is killed in the middle.
        let ledger = Start::small(dir.path()).with("--faults", "write@20-=delay:60000").ledger();
        assert_eq!(get(ledger.admin(), "/readyz").body, "ok\n");
        let frontend = client(&ledger, Role::Frontend).await;
        let mut opened = Vec::new();
        until(|| {
            let caller = CallerId(opened.len() as u128 + 1);
            opened.push(frontend.open_player(caller, 1, 1, PlayerClass::Real));
            get(ledger.admin(), "/readyz").status != 200
        })
        .await;
        let refused = get(ledger.admin(), "/readyz");
        assert!(refused.status == 503 && refused.body.contains("nothing durable"), "{refused:?}");
        assert_eq!(get(ledger.admin(), "/livez").status, 200, "it lives all the same");
        let printed = run_cage(&["status", "--admin", &ledger.admin().to_string()]);
        assert_eq!(printed.status.code(), Some(1), "{}", stdout(&printed));
        assert!(stdout(&printed).contains("NO: the log has made nothing durable"), "{}", stdout(&printed));
    });
}

#[test]
fn an_alarm_is_seen_by_monitors_and_by_people() {
    run(async {
        let dir = folder();
        let ledger = Start::small(dir.path()).with("--faults", "allocate@4-=full").ledger();
        until(|| alarms(ledger.admin()).contains(&"no_segment".to_owned())).await;
        let seen = metrics(ledger.admin());
        assert_eq!(seen["cage_alarm{alarm=\"no_segment\"}"], 1.0);
        assert_eq!(seen["cage_alarm{alarm=\"faults_on\"}"], 1.0);
        assert_eq!(seen["cage_alarm{alarm=\"log_failed\"}"], 0.0);
        assert!(seen["cage_log_preparation_failures_total"] >= 1.0);
        until(|| metrics(ledger.admin())["cage_log_lines_total{level=\"error\"}"] >= 1.0).await;
        assert_eq!(get(ledger.admin(), "/readyz").status, 200, "bets are taken as long as the space lasts");
        let printed = run_cage(&["status", text(dir.path())]);
        assert_eq!(printed.status.code(), Some(1), "an alarm of level error");
        assert!(stdout(&printed).contains("ERROR     no_segment: "), "{}", stdout(&printed));
    });
}

#[test]
fn a_stranger_is_counted_and_not_let_in() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        wire.write(&[0xff; 64]).await;
        wire.closed().await.expect("a reason");
        until(|| {
            let closed = metrics(ledger.admin());
            closed
                .iter()
                .filter(|(name, _)| name.starts_with("cage_sessions_closed_total"))
                .map(|(_, count)| count)
                .sum::<f64>()
                == 1.0
        })
        .await;
        assert_eq!(metrics(ledger.admin())["cage_connections_taken_total"], 1.0);
    });
}

#[test]
fn nobody_at_the_admin_port_disturbs_the_ledger() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let admin = ledger.admin();
        assert_eq!(ask(admin, "POST", "/metrics").status, 405);
        assert_eq!(ask(admin, "DELETE", "/status").status, 405);
        assert_eq!(ask(admin, "HEAD", "/metrics").body, "");
        let missing = get(admin, "/etc/passwd");
        assert!(missing.status == 404 && missing.body.contains("/readyz"), "{missing:?}");
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            &[b'A'; 100_000],
            b"GET /\r\n\r\n",
            b"\0\0\0\0\r\n\r\n",
        ] {
            let answer = send(admin, bytes);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        // More than there may be, who say nothing: they are let go after a while, and others get their turn.
        let silent: Vec<_> = (0..2 * ADMIN_CONNECTIONS_MAX)
            .map(|_| TcpStream::connect(admin).expect("a connection"))
            .collect();
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let support = client(&ledger, Role::Support).await;
        support.totals(casino.asset).await.expect("the ledger goes on");
        drop(silent);
        until(|| {
            send(
                admin,
                format!("GET /livez HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .ends_with("ok\n")
        })
        .await;
        support.close().await;
        ledger.close().await;
    });
}

#[test]
fn where_no_server_runs_there_is_no_status() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let file = dir.path().join("admin");
        assert_eq!(fs::read_to_string(&file).expect("a file").trim(), ledger.admin().to_string());
        let killed = ledger.kill();
        let asked = run_cage(&["status", text(dir.path())]);
        assert_eq!(asked.status.code(), Some(2));
        assert!(stderr(&asked).contains("Does the server run?"), "{}", stderr(&asked));
        killed.ledger().close().await;
        assert!(!file.exists(), "an orderly end takes it away");
        let asked = run_cage(&["status", text(dir.path())]);
        assert_eq!(asked.status.code(), Some(2));
        assert!(stderr(&asked).contains("No server runs on"), "{}", stderr(&asked));
    });
}

#[test]
fn log_lines_are_objects_for_machines_and_filters_are_checked() {
    run(async {
        let dir = folder();
        let ledger = Start::small(dir.path()).with("--log-form", "json").with("--log", "info").ledger();
        let start = ledger.close().await;
        let (ended, _) = start.with("--log", "warn").ledger().terminate().await;
        for line in ended.stderr.lines() {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
            assert!(object["message"].is_string() && object["level"] == "WARN", "{line}");
        }
        assert!(ended.stderr.contains("development key"), "{}", ended.stderr);
        let refused = run_cage(&["serve", "--data-dir", text(dir.path()), "--log", "cage=loud"]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(stderr(&refused).contains("expected a level"), "{}", stderr(&refused));
    });
}

fn operations_page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    fs::read_to_string(page).expect("docs/operations.md")
}

/// Rows of the table below a heading, without its head.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, after) = page.split_once(heading).unwrap_or_else(|| panic!("a section {heading:?}"));
    let table =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_documents_describe_every_metric_and_no_other() {
    let dir = folder();
    let ledger = Ledger::small(dir.path());
    let page = get(ledger.admin(), "/metrics").body;
    let served: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP "))
        .map(|line| {
            let (name, help) = line.split_once(' ').expect("a name and a text");
            let kind =
                page.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("a type");
            // A label is written behind the name.
            let label =
                page.lines().find_map(|line| line.strip_prefix(&format!("{name}{{"))?.split_once('='));
            let label = label.map_or_else(String::new, |(label, _)| format!("{{{label}}}"));
            format!("| `{name}{label}` | {kind} | {help} |")
        })
        .collect();
    assert!(served.len() >= 20, "{served:?}");
    let described = operations_page();
    let described: BTreeSet<_> = rows(&described, "\n## Metrics")
        .into_iter()
        .map(|cells| format!("| {} |", cells.join(" | ")))
        .collect();
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        one.difference(other).cloned().collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        (only(&served, &described), only(&described, &served)),
        (String::new(), String::new()),
        "(served, described)"
    );
}

#[test]
fn every_alarm_of_the_documents_is_a_metric_and_every_alarm_is_documented() {
    let page = operations_page();
    let metrics: BTreeSet<_> = rows(&page, "\n## Metrics")
        .into_iter()
        .map(|cells| cells[0].trim_matches('`').split('{').next().expect("a name").to_owned())
        .collect();
    let mut documented = BTreeSet::new();
    for cells in rows(&page, "\n## Lines to alarm on") {
        let [level, line, _, _, seen] = cells[..] else { panic!("five cells: {cells:?}") };
        let names: Vec<_> =
            seen.split(", ").map(|name| name.trim_matches('`')).filter(|name| !name.is_empty()).collect();
        assert!(
            !names.is_empty() || level.starts_with("INFO") || level.starts_with("stderr"),
            "no monitor sees {line}"
        );
        for name in names {
            let known = Alarm::ALL.iter().any(|alarm| alarm.name() == name) || metrics.contains(name);
            assert!(known, "{line}: there is no metric or alarm {name}");
            documented.insert(name.to_owned());
        }
    }
    let silent: Vec<_> =
        Alarm::ALL.iter().map(|alarm| alarm.name()).filter(|name| !documented.contains(*name)).collect();
    assert_eq!(silent, Vec::<&str>::new(), "alarms that the documents do not name");
}
