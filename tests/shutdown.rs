//! How a server ends when it is asked to: everything that it took is answered, the log says that it was closed, and
//! nobody else gets at the log before.
//!
//! What breaks: an answer that is lost in the shutdown (a request stands in the log and its caller never heard of
//! it), a shutdown that waits for somebody who is long gone, two writers of one log.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write};
use std::process::Stdio;
use std::time::Instant;

use cage::limits::DRAIN_TIME_MAX;
use cage_engine::{OperationKind, RequestId, ResultCode, Role};
use cage_protocol::{Ask, CloseCode, FrameKind, Read, frame};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::{JoinSet, spawn_blocking};

use crate::harness::casino::{Casino, client, new_id};
use crate::harness::wire::{Wire, read_replies};
use crate::harness::{Ledger, SOON, Start, audit, cage, folder, log, run, soon};

/// What a client that asks without end is told at a shutdown.
struct Farewell {
    asked: HashSet<RequestId>,
    answered: HashMap<RequestId, (ResultCode, u64)>,
    goodbye: Option<CloseCode>,
    closed: Option<CloseCode>,
}

/// Keeps a thousand requests unanswered until the server says goodbye. `begun` is told of the first answers.
async fn asks_without_end(mut wire: Wire, casino: Casino, begun: tokio::sync::mpsc::Sender<()>) -> Farewell {
    let mut farewell =
        Farewell { asked: HashSet::new(), answered: HashMap::new(), goodbye: None, closed: None };
    let mut ids = Vec::new();
    loop {
        while ids.len() < farewell.answered.len() + 1_000 {
            let batch: Vec<_> = (0..100).map(|place| (ids.len() as u64 + place, new_id())).collect();
            let transfer = casino.transfer(0, 1, 1);
            let asks: Vec<_> =
                batch.iter().map(|(tag, id)| (*tag, Ask::operation(transfer.request(*id)))).collect();
            ids.extend(batch.iter().map(|(_, id)| *id));
            wire.ask(&asks).await;
        }
        match soon("an answer or a goodbye", wire.frame()).await {
            Some((FrameKind::Replies, items)) => {
                for reply in read_replies(&items) {
                    let before =
                        farewell.answered.insert(ids[reply.tag as usize], (reply.result, reply.lsn.0));
                    assert_eq!(before, None, "one answer each");
                }
                let _ = begun.try_send(());
            }
            Some((FrameKind::Goodbye, items)) => farewell.goodbye = frame::read_goodbye(&items).0,
            Some((kind, _)) => panic!("a server does not send {kind:?}"),
            None => break,
        }
    }
    farewell.closed = wire.closed().await;
    farewell.asked = ids.into_iter().collect();
    farewell
}

#[test]
fn what_was_taken_is_answered_before_the_server_ends() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000_000_000).await;
        let (begun, mut first) = tokio::sync::mpsc::channel(1);
        let mut callers = JoinSet::new();
        for _ in 0..4 {
            let wire = Wire::greeted(&ledger, Role::Frontend).await;
            callers.spawn(asks_without_end(wire, casino.clone(), begun.clone()));
        }
        first.recv().await.expect("answers before the signal");
        let (ended, _) = ledger.terminate().await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");

        let (records, report) = log::records(dir.path());
        let transfers: HashMap<_, _> = log::places(&records)
            .into_iter()
            .filter(|(_, (_, record))| record.request.kind == OperationKind::Transfer)
            .collect();
        let mut known = HashMap::new();
        for farewell in callers.join_all().await {
            let Farewell { asked, answered, goodbye, closed } = farewell;
            assert_eq!(goodbye, Some(CloseCode::Draining), "the last frame says why");
            assert_eq!(closed, Some(CloseCode::Draining), "and so does the connection");
            for id in &asked {
                let place = transfers.get(id).map(|(lsn, record)| (record.result, lsn.0));
                match (answered.get(id), place) {
                    (Some((ResultCode::Draining, 0)) | None, None) => {}
                    (Some(answer), Some(place)) => assert_eq!(*answer, place, "{id}"),
                    (answer, place) => panic!("{id}: answered {answer:?}, in the log {place:?}"),
                }
            }
            known.extend(answered);
        }
        let decided = known.values().filter(|(code, _)| code.is_recorded()).count();
        println!("{} answered, {decided} of them decided", known.len());
        assert_eq!(decided, transfers.len(), "every record of the log was told to whom it concerns");

        let control = report.control.expect("a control file");
        assert!(control.clean && control.other_slot_valid && report.torn_tail.is_none(), "{control:?}");
        let (last, record) = records.last().expect("records");
        assert_eq!((control.durable_lsn.0, record.request.kind), (last.0, OperationKind::StateDigest));
        audit(dir.path(), &[]).assert_clean();
    });
}

/// Whoever hears that the server is ready may end it at once. Here it is stopped in the middle of saying so, by a
/// pipe that has no room for the word.
#[test]
fn a_signal_right_after_the_start_drains() {
    const PIPE_BYTES: usize = 65_536;
    /// Enough for the line with the address, too little for what comes behind it.
    const ROOM: usize = 24;
    let dir = folder();
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&[b'.'; PIPE_BYTES - ROOM]).expect("room");
    let start = Start::small(dir.path());
    let mut child = cage()
        .args(["serve", "--listen", &start.listen, "--data-dir"])
        .arg(dir.path())
        .args(&start.options)
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let begin = Instant::now();
    while rustix::io::ioctl_fionread(&reader).expect("a pipe") == (PIPE_BYTES - ROOM) as u64 {
        assert!(
            begin.elapsed() < SOON && child.try_wait().expect("a child").is_none(),
            "it never says where it is"
        );
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process id");
    kill_process(pid, Signal::TERM).expect("the process is there");
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("its output");
    assert!(said.ends_with("ready\n"), "it ended before it had said all");
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    audit(dir.path(), &[]).assert_clean();
}

#[test]
fn clients_that_are_gone_do_not_hold_a_shutdown_up() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        for role in [Role::Frontend, Role::Games, Role::Support] {
            let client = client(&ledger, role).await;
            client.totals(casino.asset).await.expect("totals");
            client.close().await;
        }
        let begin = Instant::now();
        ledger.close().await;
        let took = begin.elapsed();
        assert!(took < DRAIN_TIME_MAX / 2, "nobody was there, and it took {took:?}");
    });
}

#[test]
fn idle_clients_are_told_at_once() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let idle =
            [Wire::greeted(&ledger, Role::Frontend).await, Wire::greeted(&ledger, Role::Auditor).await];
        let begin = Instant::now();
        let ended = tokio::task::spawn_local(ledger.close());
        for mut wire in idle {
            let (kind, items) = soon("a goodbye", wire.frame()).await.expect("a goodbye");
            assert_eq!(
                (kind, frame::read_goodbye(&items).0),
                (FrameKind::Goodbye, Some(CloseCode::Draining))
            );
            assert_eq!(wire.frame().await, None, "nothing after it");
            assert_eq!(wire.closed().await, Some(CloseCode::Draining));
        }
        ended.await.expect("an end in order");
        let took = begin.elapsed();
        assert!(took < DRAIN_TIME_MAX / 2, "all had gone, and it took {took:?}");
    });
}

#[test]
fn a_client_that_never_reads_holds_a_shutdown_up_for_a_bounded_time_and_a_second_signal_ends_it() {
    run(async {
        let dir = folder();
        let mut ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        for twice in [false, true] {
            let mut wire = Wire::dial_with_window(&ledger, Role::Auditor, 1 << 10).await;
            wire.greet().await;
            // More replies than it allows to be sent.
            let read = Ask::Read(Read::Totals { asset: casino.asset });
            wire.ask(&(0..2_000).map(|tag| (tag, read)).collect::<Vec<_>>()).await;
            let healthy = client(&ledger, Role::Auditor).await;
            healthy.totals(casino.asset).await.expect("totals");
            healthy.close().await;
            if twice {
                ledger.process().signal(Signal::TERM);
                ledger.process().wait_for("draining");
                assert_eq!(ledger.terminate().await.0.status.code(), Some(130));
                break;
            }
            let begin = Instant::now();
            ledger = ledger.close().await.ledger();
            assert!(begin.elapsed() < DRAIN_TIME_MAX * 2, "{:?}", begin.elapsed());
            drop(wire);
        }
        audit(dir.path(), &[]).assert_clean();
    });
}

/// B4.17.
#[test]
fn a_log_has_one_writer_at_a_time() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let second = Start::small(dir.path());
        let ended = spawn_blocking(move || second.refused()).await.expect("a refusal");
        assert_eq!(ended.status.code(), Some(5), "{ended:?}");
        assert!(ended.stderr.contains("cage: ") && ended.stderr.contains("lock"), "{}", ended.stderr);
        // The first one has not noticed.
        let client = client(&ledger, Role::Frontend).await;
        client.submit(casino.transfer(0, 1, 10)).await.expect("a transfer");
        client.close().await;
        ledger.close().await.ledger().close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// A port that is taken is said in a sentence, and the log is left as it was.
#[test]
fn a_taken_port_is_a_clear_refusal() {
    run(async {
        let (one, other) = (folder(), folder());
        let ledger = Ledger::small(one.path());
        let start = Start { listen: ledger.address().to_string(), ..Start::small(other.path()) };
        let ended = start.refused();
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains(&format!("cannot listen on {}", ledger.address())), "{}", ended.stderr);
        Start::small(other.path()).ledger().close().await;
    });
}
