//! Drills: the disk fails, in the program as it is built for production, at a call that is chosen beforehand.
//!
//! What breaks: an acknowledgement after the failure, or one that the next start does not find; an exit code that says
//! something else than what happened; a server that cannot start again when the disk works again.
//!
//! `CAGE_DRILLS` sets how many there are; which calls fail follows from `CAGE_SEED`.

use std::collections::HashMap;
use std::path::Path;

use cage_engine::{RequestId, ResultCode, Role};
use cage_protocol::CloseCode;
use rand::RngExt;

use crate::harness::casino::{Casino, new_id};
use crate::harness::wire::{Wire, close_code, operation_item, requests};
use crate::harness::{self, Ended, Ledger, Start, audit, folder, log, run, setting, soon};

/// Requests per drill, a few at a time, so that there are some hundred calls.
const ROUNDS: usize = 40;

/// What a client was told before the server fell over, and how that ended.
struct Drill {
    told: HashMap<RequestId, (ResultCode, u64)>,
    closed: Option<CloseCode>,
    ended: Ended,
}

/// Bets on a server until it ends, or for so many rounds.
async fn until_it_fails(ledger: Ledger, casino: &Casino) -> Drill {
    let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
    let mut told = HashMap::new();
    for _ in 0..ROUNDS {
        let ids = [new_id(), new_id(), new_id()];
        let transfer = casino.transfer(0, 1, 1);
        let items: Vec<_> = (0..).zip(ids).map(|(tag, id)| operation_item(tag, id, &transfer)).collect();
        wire.write(&requests(&items)).await;
        let mut missing = ids.len();
        while missing > 0 {
            let answers = async {
                tokio::select! {
                    answers = wire.replies() => answers,
                    _ = ledger.process().falls_over() => None,
                }
            };
            let Some(replies) = soon("answers or the end", answers).await else {
                let closed = wire.connection.close_reason().as_ref().and_then(close_code);
                return Drill { told, closed, ended: ledger.end().await };
            };
            missing -= replies.len();
            told.extend(replies.iter().map(|reply| (ids[reply.tag as usize], (reply.result, reply.lsn.0))));
        }
    }
    let (ended, _) = ledger.terminate().await;
    Drill { told, closed: None, ended }
}

/// Everything that was told stands in the log, and the log is sound.
fn assert_kept(data_dir: &Path, told: &HashMap<RequestId, (ResultCode, u64)>) {
    let (records, _) = log::records(data_dir);
    let places = log::places(&records);
    for (id, answer) in told {
        let (lsn, record) = places.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is gone"));
        assert_eq!((record.result, lsn.0), *answer, "{id}");
    }
    audit(data_dir, &[]).assert_clean();
}

/// B4.12. Starts that fail end with 7, running servers with 3, and the next start finds all that was acknowledged.
#[test]
fn wherever_the_disk_fails_the_server_says_so_stops_and_loses_nothing() {
    let mut random = harness::random("drills");
    let (mut at_start, mut serving, mut unharmed) = (0, 0, 0);
    for _ in 0..setting("CAGE_DRILLS", 24) {
        run(async {
            let dir = folder();
            let ledger = Ledger::small(dir.path());
            let casino = Casino::funded(&ledger, 2, 10_000).await;
            let start = ledger.close().await;
            let (call, most) =
                [("any", 60), ("write", 45), ("sync", 45), ("allocate", 4), ("rename", 4), ("dirsync", 4)]
                    [random.random_range(0..6)];
            let fault = ["eio", "short", "full"][random.random_range(0..3)];
            let plan = format!("{call}@{}={fault}", random.random_range(1..=most));
            let healthy = start.clone();
            match start.with("--faults", &plan).attempt() {
                Err(ended) => {
                    at_start += 1;
                    assert_eq!(ended.status.code(), Some(7), "{plan}: {ended:?}");
                    assert!(ended.stderr.contains("FAULTS ARE ON"), "{plan}: {ended:?}");
                }
                Ok(ledger) => {
                    let Drill { told, closed, ended } = until_it_fails(ledger, &casino).await;
                    match ended.status.code() {
                        Some(0) => unharmed += 1,
                        code => {
                            serving += 1;
                            assert_eq!(code, Some(3), "{plan}: {ended:?}");
                            assert!(ended.stderr.contains("the log failed"), "{plan}: {ended:?}");
                            assert!(
                                [None, Some(CloseCode::LogFailed)].contains(&closed),
                                "{plan}: {closed:?}"
                            );
                        }
                    }
                    assert_kept(dir.path(), &told);
                }
            }
            healthy.ledger().close().await;
            audit(dir.path(), &[]).assert_clean();
        });
    }
    println!("{at_start} failed at the start, {serving} while serving, {unharmed} were not harmed");
}

/// B4.1. The bytes are on the device, and the process is killed before anybody is told: that is no acknowledgement,
/// and the next start has the record all the same.
#[test]
fn killed_between_the_disk_and_the_answer_nothing_is_told_and_nothing_is_lost() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let before = log::records(dir.path()).0.len();
        let start = ledger.kill();
        let ledger = start.clone().with("--faults", "sync@6=kill").ledger();
        let Drill { told, closed, ended } = until_it_fails(ledger, &casino).await;
        assert_eq!((ended.status.code(), closed), (None, None), "killed: {ended:?}");
        assert!(ended.stderr.contains("sync@6=kill"), "{}", ended.stderr);
        let (records, _) = log::records(dir.path());
        assert!(
            records.len() > before + told.len(),
            "the last write was not told: {} {told:?}",
            records.len()
        );
        start.ledger().close().await;
        assert_kept(dir.path(), &told);
    });
}

#[test]
fn a_plan_that_cannot_be_read_is_wrong_usage() {
    let dir = folder();
    let ended = Start::small(dir.path()).with("--faults", "sync@soon").refused();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("fault plan") && ended.stderr.contains("sync@soon"), "{}", ended.stderr);
}
