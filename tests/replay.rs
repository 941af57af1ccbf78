//! A log is all there is: a server that starts on it, an audit that decides it again and the server that wrote it
//! agree on every byte of the state.
//!
//! What breaks: a state that depends on anything outside the log (the digest that the server writes at its end is
//! not the one that the audit computes, or a second server does not go on from there), chain heads that do not
//! prove what they should.

use std::path::Path;

use cage::read_ahead::{Visitor, read_ahead};
use cage::recovery::{ReplayFault, log_options};
use cage_engine::{
    Amount, CallerId, Lsn, Operation, OperationKind, PlayerClass, Record, RequestId, ResultCode, Role,
};
use cage_wal::{Callbacks, Identity, Limits, recover, scan};

use crate::harness::casino::{Casino, client};
use crate::harness::{Ledger, Start, audit, folder, log, run};

/// Some of everything, and two holds that are left open.
async fn traffic(ledger: &Ledger, casino: &Casino) {
    let (frontend, games) = (client(ledger, Role::Frontend).await, client(ledger, Role::Games).await);
    for round in 0..40 {
        let bet = games.submit(casino.reserve(round % 4, 10, 100)).await.expect("a bet");
        games.submit(casino.settle(round % 4, bet.id, 4, 30)).await.expect("a part of it");
        if round < 38 {
            games.submit(casino.settle(round % 4, bet.id, 6, 0)).await.expect("the rest");
        }
        frontend.submit(casino.transfer(round % 4, (round + 1) % 4, 3)).await.expect("a transfer");
        frontend
            .submit(casino.transfer(round % 4, (round + 1) % 4, 1 << 40))
            .await
            .expect_err("not that much");
    }
    let (bet, gone) = (games.mint_id(), games.mint_id());
    games.submit(casino.cancel(0, gone)).await.expect("a tombstone");
    games.submit_with_id(gone, casino.reserve(0, 10, 20)).await.expect_err("it was cancelled before");
    games.submit_with_id(bet, casino.reserve(1, 10, 20)).await.expect("a bet");
    games.submit(casino.cancel(1, bet)).await.expect("a cancelled bet");
    frontend.close().await;
    games.close().await;
}

/// The digests that servers wrote down, and where.
fn digests(data_dir: &Path) -> Vec<(u64, String)> {
    let (records, _) = log::records(data_dir);
    let digest = |operation| match operation {
        Operation::StateDigest { digest } => Some(digest.map(|byte| format!("{byte:02x}")).concat()),
        _ => None,
    };
    records
        .iter()
        .filter(|(_, record)| record.request.kind == OperationKind::StateDigest)
        .map(|(lsn, record)| {
            let operation = Operation::try_from(&record.request).expect("a record's operation");
            (lsn.0, digest(operation).expect("a digest"))
        })
        .collect()
}

/// B4.16.
#[test]
fn the_state_at_the_end_of_a_server_is_the_state_that_an_audit_computes() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 4, 10_000).await;
        traffic(&ledger, &casino).await;
        let (ended, start) = ledger.terminate().await;
        let written = digests(dir.path());
        let [(first, digest)] = written.as_slice() else { panic!("one digest: {written:?}") };
        assert!(ended.stderr.contains(digest.as_str()), "the server says its digest:\n{}", ended.stderr);
        let report = audit(dir.path(), &["--until", &(first - 1).to_string()]);
        report.assert_clean();
        assert_eq!(report.json["digest"].as_str(), Some(digest.as_str()), "decided again in another process");
        assert_eq!(report.number("last_lsn"), first - 1);

        // Killed this time: the next one starts from records alone.
        let ledger = start.ledger();
        traffic(&ledger, &casino).await;
        let ledger = ledger.kill().ledger();
        traffic(&ledger, &casino).await;
        ledger.close().await;
        let written = digests(dir.path());
        assert_eq!(written.len(), 2);
        for (lsn, digest) in &written {
            let report = audit(dir.path(), &["--until", &(lsn - 1).to_string()]);
            assert_eq!(report.json["digest"].as_str(), Some(digest.as_str()));
        }
        let report = audit(dir.path(), &[]);
        report.assert_clean();
        assert_eq!(report.number("records"), written[1].0, "the digest is the last record");
    });
}

#[test]
fn an_audit_stops_where_it_is_told_to() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 4, 10_000).await;
        traffic(&ledger, &casino).await;
        ledger.close().await;
        let all = audit(dir.path(), &[]).number("records");
        let mut digests = std::collections::HashSet::new();
        for until in [1, 2, 17, all / 2, all - 1] {
            let report = audit(dir.path(), &["--until", &until.to_string()]);
            report.assert_clean();
            assert_eq!((report.number("records"), report.number("last_lsn")), (until, until));
            assert!(
                digests.insert(report.json["digest"].to_string()),
                "each of these records changes the state"
            );
        }
        assert_eq!(audit(dir.path(), &["--until", &(all + 100).to_string()]).number("records"), all);
    });
}

#[test]
fn a_chain_head_that_was_kept_is_found_again_and_another_one_is_not() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 4, 10_000).await;
        let shown = client(&ledger, Role::Auditor).await;
        let durable = shown.welcome().expect("a welcome").durable;
        shown.close().await;
        traffic(&ledger, &casino).await;
        ledger.close().await;
        let mut heads = Vec::new();
        scan(&dir.path().join("log"), Limits::default(), |frame| {
            heads.push((frame.last_lsn.0, frame.chain.to_string()));
            Ok::<_, std::convert::Infallible>(())
        })
        .expect("a readable log");
        let hex = durable.chain_head.map(|byte| format!("{byte:02x}")).concat();
        assert!(heads.contains(&(durable.chain_lsn, hex.clone())), "what the server showed is in the log");
        audit(dir.path(), &["--head", &format!("{}:{hex}", durable.chain_lsn)]).assert_clean();
        for (lsn, head) in heads.iter().step_by(heads.len() / 5) {
            audit(dir.path(), &["--head", &format!("{lsn}:{head}")]).assert_clean();
        }
        let ((first, head), (last, _)) = (&heads[heads.len() / 2], heads.last().expect("frames"));
        let flipped = format!("{}{}", if head.starts_with('0') { '1' } else { '0' }, &head[1..]);
        let wrong = [format!("{first}:{flipped}"), format!("{last}:{head}"), format!("{}:{head}", last + 1)];
        for wrong in wrong {
            let report = audit(dir.path(), &["--head", &wrong]);
            assert_eq!((report.code, report.json["verdict"].as_str()), (1, Some("differences")), "{wrong}");
        }
        let head = "12:00";
        assert_eq!(audit(dir.path(), &["--head", head]).code, 2, "that is no hash");
    });
}

#[test]
fn acknowledgements_that_the_log_does_not_have_are_differences() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 10_000).await;
        let frontend = client(&ledger, Role::Frontend).await;
        let told = frontend.submit(casino.transfer(0, 1, 5)).await.expect("a transfer");
        frontend.close().await;
        ledger.close().await;
        let acks = dir.path().join("acks.txt");
        let file = crate::harness::text(&acks);
        let check = |line: String, code: i32, missing: u64| {
            std::fs::write(&acks, &line).expect("a file");
            let report = audit(dir.path(), &["--acks", file]);
            assert_eq!(report.code, code, "{line}: {report:?}");
            if code != 2 {
                assert_eq!(report.number("acks_missing"), missing, "{line}");
            }
        };
        let (id, lsn) = (told.id, told.lsn.0);
        check(format!("{id} {lsn} 0\n"), 0, 0);
        check(format!("{id} {} 0\n", lsn - 1), 1, 1);
        check(format!("{id} {} 0\n", lsn + 1_000), 1, 1);
        check(format!("{id} {lsn} 150\n"), 1, 1);
        check(format!("{} {lsn} 0\n", RequestId(id.0 ^ 1)), 1, 1);
        check(format!("{id} {lsn} 0\n{id} {lsn} 0\n{id} {lsn}"), 0, 0);
        check("not an acknowledgement\n".to_owned(), 2, 0);
        std::fs::remove_file(&acks).expect("a file");
        assert_eq!(audit(dir.path(), &["--acks", file]).code, 2, "no such file");
    });
}

/// A log with these records, and every checksum and hash as it should be.
pub(crate) fn forged(dir: &Path, records: &[Record]) {
    let recovered =
        recover(&dir.join("log"), |_| Ok::<_, std::convert::Infallible>(())).expect("an empty folder");
    let options = cage_wal::LogOptions { segment_bytes: 1 << 16, ..log_options() };
    let identity = Identity::from_os().expect("randomness");
    let (mut writer, _) = recovered.open(options, identity, Callbacks::none()).expect("a log");
    for run in records.chunk_by(|record, _| record.linked) {
        let run: Vec<_> = run.iter().map(Record::to_bytes).collect();
        writer.append_linked(&run).expect("room");
    }
    writer.publish();
    writer.close().expect("a closed log");
}

/// B4.19. Somebody rewrote the log, and every checksum with it: what is recorded no longer follows from what was asked.
#[test]
fn a_forged_record_is_a_difference() {
    let dir = folder();
    run(async {
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 4, 10_000).await;
        traffic(&ledger, &casino).await;
        ledger.close().await;
    });
    let honest: Vec<_> = log::records(dir.path()).0.into_iter().map(|(_, record)| record).collect();
    let copy = folder();
    forged(copy.path(), &honest);
    audit(copy.path(), &[]).assert_clean();
    let place = |kind, result| {
        let found = honest.iter().rposition(|record| record.request.kind == kind && record.result == result);
        found.expect("one of each")
    };
    let transfer = place(OperationKind::Transfer, ResultCode::Done);
    let settle = place(OperationKind::Settle, ResultCode::Done);
    let refused = place(OperationKind::Transfer, ResultCode::AmountOverBound);
    let deposit = place(OperationKind::DepositCredit, ResultCode::Done);
    let digest = place(OperationKind::StateDigest, ResultCode::Done);
    type Forgery = fn(&mut Record);
    let forgeries: [(&str, usize, Forgery); 12] = [
        ("another amount", transfer, |record| record.request.amount.0 += 1),
        ("another payer", transfer, |record| record.request.player = cage_engine::PlayerId::from_index(3)),
        ("another result", transfer, |record| record.result = ResultCode::InsufficientFunds),
        ("a refusal that is executed", refused, |record| record.result = ResultCode::Done),
        ("another payout", settle, |record| record.request.detail.0[0] ^= 1),
        ("another hold", settle, |record| record.request.reference ^= 1),
        ("another record before", settle, |record| record.previous = Lsn(record.previous.0 - 1)),
        ("a time before the last one", settle, |record| record.decided.0 -= 3_600_000_000_000),
        ("a role that may not", transfer, |record| record.role = Role::Support),
        ("a deposit of nobody's", deposit, |record| record.role = Role::System),
        ("another digest", digest, |record| record.request.detail.0[31] ^= 1),
        ("no id", transfer, |record| record.request.id = RequestId::NONE),
    ];
    for (what, place, forge) in forgeries {
        let mut records = honest.clone();
        forge(&mut records[place]);
        let copy = folder();
        forged(copy.path(), &records);
        let report = audit(copy.path(), &[]);
        assert_eq!(
            (report.code, report.json["verdict"].as_str()),
            (1, Some("differences")),
            "{what}: {report:?}"
        );
    }
    let mut repeated = honest.clone();
    repeated.insert(transfer + 1, honest[transfer]);
    let missing: Vec<_> =
        honest.iter().enumerate().filter(|(at, _)| *at != transfer).map(|(_, record)| *record).collect();
    let mut swapped = honest.clone();
    swapped.swap(transfer, transfer - 1);
    for (what, records) in
        [("a record twice", repeated), ("a record less", missing), ("two swapped", swapped)]
    {
        let copy = folder();
        forged(copy.path(), &records);
        assert_eq!(audit(copy.path(), &[]).code, 1, "{what}");
    }
}

/// Records of one kind, again and again: enough for many batches of a reader that runs ahead.
fn long_log(dir: &Path, count: usize, spoil: impl Fn(usize, &mut cage_wal::Record)) {
    let ledger = folder();
    run(async { Ledger::small(ledger.path()).close().await });
    let (first, _) = log::records(ledger.path());
    let recovered =
        recover(&dir.join("log"), |_| Ok::<_, std::convert::Infallible>(())).expect("an empty folder");
    let identity = Identity::from_os().expect("randomness");
    let (mut writer, _) = recovered.open(log_options(), identity, Callbacks::none()).expect("a log");
    for at in 0..count {
        let mut bytes = first[0].1.to_bytes();
        spoil(at, &mut bytes);
        // The last one has a frame of its own: a batch that is not full.
        while at + 1 == count && writer.handle().durable().get().0 < at as u64 {
            std::thread::yield_now();
        }
        writer.append(&bytes).expect("room");
        if at % 100 == 99 || at + 2 == count {
            writer.publish();
        }
    }
    writer.publish();
    writer.close().expect("a closed log");
}

/// What was taken of a log that is read ahead, and how it ended.
fn taken_ahead(dir: &Path, stop_at: Option<Lsn>) -> (Vec<Lsn>, Result<u64, String>) {
    let mut taken = Vec::new();
    let scan = |visit: Visitor<'_>| scan(&dir.join("log"), Limits::default(), |frame| visit(&frame));
    let report = read_ahead(scan, |frame, records| {
        assert_eq!(frame.first_lsn, records[0].0, "a frame begins with its first record");
        assert_eq!(Some(frame.last_lsn), records.last().map(|(lsn, _)| *lsn), "and ends with its last");
        if let Some(lsn) = stop_at.filter(|lsn| *lsn <= frame.last_lsn) {
            return Err(ReplayFault::Unreadable { lsn, field: "anything" });
        }
        taken.extend(records.iter().map(|(lsn, _)| *lsn));
        Ok(())
    });
    (taken, report.map(|report| report.records).map_err(|error| error.to_string()))
}

/// What breaks: a frame that is handed over twice, late or not at all, a fault of either side that is not told.
#[test]
fn a_log_that_is_read_ahead_is_taken_whole_in_order_and_up_to_the_first_fault() {
    const COUNT: u64 = 20_000;
    let dir = folder();
    long_log(dir.path(), COUNT as usize, |_, _| ());
    let (taken, read) = taken_ahead(dir.path(), None);
    assert_eq!(read, Ok(COUNT));
    assert!(taken.iter().map(|lsn| lsn.0).eq(1..=COUNT), "every record once and in order");

    let (taken, read) = taken_ahead(dir.path(), Some(Lsn(9_000)));
    assert!(read.expect_err("it was stopped").contains("record 9000 has no valid anything"));
    assert!(taken.len() < 9_000 && taken.iter().map(|lsn| lsn.0).eq(1..=taken.len() as u64));
    let (_, read) = taken_ahead(dir.path(), Some(Lsn(COUNT)));
    assert!(read.expect_err("stopped in the last batch").contains("record 20000"));

    let spoiled = folder();
    long_log(spoiled.path(), COUNT as usize, |at, bytes| {
        if at == 14_999 {
            let linked = cage_engine::record::is_linked(bytes);
            bytes[64..].fill(0xff);
            assert_eq!(cage_engine::record::is_linked(bytes), linked, "still a record of its own");
        }
    });
    let (taken, read) = taken_ahead(spoiled.path(), None);
    let told = read.expect_err("a record that is none");
    assert!(told.contains("record 15000 has no valid"), "{told}");
    assert!((9_000..15_000).contains(&taken.len()), "{} were taken before it", taken.len());
    assert!(taken.iter().map(|lsn| lsn.0).eq(1..=taken.len() as u64));
}

/// The settings are part of the log: a server that is started with others writes that down, and audits know.
#[test]
fn other_settings_are_a_record() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        Casino::funded(&ledger, 2, 10_000).await;
        ledger.close().await;
        let configured = |dir: &Path| {
            let (records, _) = log::records(dir);
            records.iter().filter(|(_, record)| record.request.kind == OperationKind::Configure).count()
        };
        assert_eq!(configured(dir.path()), 1);
        let start = Start::small(dir.path());
        start.clone().ledger().close().await;
        assert_eq!(configured(dir.path()), 1, "the same settings are no news");
        let other = start.with("--players-max", "3");
        let ledger = other.clone().ledger();
        let operator = client(&ledger, Role::Operator).await;
        for (caller, opened) in [(100, true), (101, false)] {
            let player = operator.open_player(CallerId(caller), 1, 1, PlayerClass::Real).await;
            assert_eq!(player.is_ok(), opened, "{player:?}");
        }
        let scarce = Amount(1);
        assert!(
            operator.open_asset(cage_engine::AssetCode::new("X").unwrap(), 0, false, scarce).await.is_ok()
        );
        operator.close().await;
        ledger.close().await;
        assert_eq!(configured(dir.path()), 2);
        let ended = other.with("--ids-capacity", "15").refused();
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains("settings"), "{}", ended.stderr);
        audit(dir.path(), &[]).assert_clean();
    });
}
