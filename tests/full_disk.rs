//! A disk that is full: wagers wait, winnings are paid, and everything goes on by itself when there is space.
//!
//! What breaks: a wager that is taken although the log may not be able to write its end, a win that is turned away, a
//! process that dies of a store into a mapping, a server that has to be restarted to notice the space.
//!
//! And a device that does not hold what the page cache shows.
//!
//! On a real file system of its own (root and loop devices needed; skipped loudly otherwise).

use std::convert::Infallible;

use cage_engine::{Operation, RequestId, ResultCode, Role};
use cage_wal::{Limits, scan};
use rand::RngExt;

use crate::harness::casino::{Casino, client, key, new_id};
use crate::harness::small_disk::SmallDisk;
use crate::harness::wire::{Wire, operation_item, requests};
use crate::harness::{self, Ledger, SOON, Start, audit, run_for, soon};

/// Segments of 1 MiB: four from each start on, the ballast, and room for the file system itself.
const DISK_MIB: u64 = 24;

/// Asks for operations in one write and waits for all answers, in the order of the questions.
async fn answers(wire: &mut Wire, asked: &[(RequestId, Operation)]) -> Vec<ResultCode> {
    let items: Vec<_> =
        (0..).zip(asked).map(|(tag, (id, operation))| operation_item(tag, *id, operation)).collect();
    wire.write(&requests(&items)).await;
    let mut codes = vec![None; asked.len()];
    while codes.contains(&None) {
        for reply in soon("answers", wire.replies()).await.expect("the server goes on") {
            codes[reply.tag as usize] = Some(reply.result);
        }
    }
    codes.into_iter().flatten().collect()
}

/// Bets one after the other until one is not taken for want of space. Gives the bets that stand, and that one.
async fn bets_until_refused(games: &mut Wire, casino: &Casino) -> (Vec<RequestId>, (RequestId, Operation)) {
    let mut taken = Vec::new();
    loop {
        let bet = (new_id(), casino.reserve(0, 1, 2));
        match answers(games, &[bet]).await[0] {
            ResultCode::Done => taken.push(bet.0),
            ResultCode::DiskNearlyFull => return (taken, bet),
            code => panic!("{}", code.name()),
        }
    }
}

/// B4.13. With every way of flushing, full in the middle of a segment and at its very beginning.
#[test]
fn on_a_full_disk_wagers_wait_and_winnings_are_paid() {
    let mut random = harness::random("full disk");
    for flush in ["direct", "dsync", "fdatasync", "msync"] {
        let Some(disk) = SmallDisk::mounted(DISK_MIB) else { return };
        let before = if flush == "direct" { 0 } else { random.random_range(1..250) };
        run_for(SOON * 6, fill_and_free(&disk, flush, before));
    }
}

async fn fill_and_free(disk: &SmallDisk, flush: &str, bets_before: usize) {
    let start = Start::small(disk.path()).with("--flush", flush);
    let ledger = start.ledger();
    let casino = Casino::funded(&ledger, 2, 1_000_000).await;
    let mut games = Wire::greeted(&ledger, Role::Games).await;
    for _ in 0..bets_before {
        assert_eq!(answers(&mut games, &[(new_id(), casino.reserve(1, 1, 2))]).await, [ResultCode::Done]);
    }
    disk.fill();
    let (bets, refused) = bets_until_refused(&mut games, &casino).await;
    assert!(bets.len() > 200, "a segment's worth of bets was taken before the reserve: {}", bets.len());
    ledger.process().wait_for("no further log segment can be made");
    ledger.process().wait_for("the log lives on its reserve");

    only_what_must_be_is_taken(&ledger, &casino, &mut games, bets[0]).await;
    // So few that the segment in use has room for them even if each takes a page.
    let wins: Vec<_> = bets[1..=100].iter().map(|bet| (new_id(), casino.settle(0, *bet, 1, 2))).collect();
    for wins in wins.chunks(50) {
        assert!(answers(&mut games, wins).await.iter().all(|code| *code == ResultCode::Done));
    }

    // A shutdown and a start go on too, as long as a segment is ready.
    let ledger = ledger.close().await.ledger();
    let mut games = Wire::greeted(&ledger, Role::Games).await;
    assert_eq!(answers(&mut games, &[refused]).await, [ResultCode::DiskNearlyFull]);
    assert_eq!(answers(&mut games, &[(new_id(), casino.cancel(0, bets[0]))]).await, [ResultCode::Done]);
    ledger.process().wait_for("the log lives on its reserve");

    disk.free();
    ledger.process().wait_for("wagers are taken again");
    assert_eq!(answers(&mut games, &[refused]).await, [ResultCode::Done], "under the same id");
    assert_eq!(answers(&mut games, &[refused]).await, [ResultCode::Done], "and once only");
    let reader = client(&ledger, Role::Auditor).await;
    let balances = reader.balances(casino.players[0], casino.asset).await.expect("balances");
    assert_eq!(balances.available.0 + balances.reserved.0, 1_000_000 + 7 + wins.len() as i128);
    let undone = 1;
    assert_eq!(
        balances.reserved.0,
        (bets.len() - wins.len() - undone + 1) as i128,
        "the others, and the one that waited"
    );
    reader.close().await;
    let start = ledger.kill();
    start.ledger().close().await;
    audit(disk.path(), &[]).assert_clean();
}

/// What opens something, brings a player's money or would only be a refusal waits; what ends, pays, gives back,
/// protects, asks again or reads goes on.
async fn only_what_must_be_is_taken(ledger: &Ledger, casino: &Casino, games: &mut Wire, bet: RequestId) {
    let group = [(new_id(), casino.reserve(0, 1, 2)), (new_id(), casino.reserve(1, 1, 2))];
    assert_eq!(
        games.group(&group).await.iter().map(|reply| reply.result).collect::<Vec<_>>(),
        [ResultCode::DiskNearlyFull; 2]
    );
    let no_bet = (new_id(), casino.settle(0, new_id(), 1, 2));
    assert_eq!(answers(games, &[no_bet]).await, [ResultCode::DiskNearlyFull], "a refusal is no record now");
    assert_eq!(answers(games, &[(bet, casino.reserve(0, 1, 2))]).await, [ResultCode::Done], "a repeat");
    let mut frontend = Wire::greeted(ledger, Role::Frontend).await;
    let transfer = (new_id(), casino.transfer(0, 1, 1));
    assert_eq!(answers(&mut frontend, &[transfer]).await, [ResultCode::DiskNearlyFull]);
    let deposit = |number| (key("late money", number), casino.deposit(0, 7));
    let mut cashier = Wire::greeted(ledger, Role::Cashier).await;
    assert_eq!(answers(&mut cashier, &[deposit(1)]).await, [ResultCode::DiskNearlyFull]);
    let mut chain = Wire::greeted(ledger, Role::Chain).await;
    let code = answers(&mut chain, &[deposit(2)]).await[0];
    assert!(code.is_executed(), "what a chain brought is there: {}", code.name());
    let reader = client(ledger, Role::Auditor).await;
    reader.totals(casino.asset).await.expect("reads go on");
    reader.close().await;
}

/// B4.13. Nobody makes space: the log stops when the reserve is used up, says why, loses nothing, and starts again
/// when there is space.
#[test]
fn when_the_reserve_is_used_up_the_log_stops_in_order() {
    let Some(disk) = SmallDisk::mounted(DISK_MIB) else { return };
    run_for(SOON * 6, async {
        let ledger = Ledger::small(disk.path());
        let casino = Casino::funded(&ledger, 2, 1_000_000).await;
        disk.fill();
        let mut games = Wire::greeted(&ledger, Role::Games).await;
        let (bets, _) = bets_until_refused(&mut games, &casino).await;
        let mut chain = Wire::greeted(&ledger, Role::Chain).await;
        let mut taken = 0;
        // Money that a chain has brought is taken to the last page.
        loop {
            let item = operation_item(1, key("drops", taken), &casino.deposit(1, 1));
            chain.write(&requests(&[item])).await;
            let Some(replies) = soon("an answer or the end", chain.replies()).await else { break };
            assert!(replies[0].result.is_executed());
            taken += 1;
        }
        assert!((480..=512).contains(&taken), "two segments' worth: {taken}");
        let ended = ledger.end().await;
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        assert!(ended.stderr.contains("no segment is ready"), "{}", ended.stderr);
        let start = Start::small(disk.path());
        let again = tokio::task::spawn_blocking(move || start.refused()).await.expect("a refusal");
        assert_eq!(again.status.code(), Some(7), "{again:?}");
        disk.free();
        let ledger = Ledger::small(disk.path());
        let reader = client(&ledger, Role::Auditor).await;
        let balances = reader.balances(casino.players[1], casino.asset).await.expect("balances");
        assert_eq!(balances.available.0, 1_000_000 + i128::from(taken));
        let balances = reader.balances(casino.players[0], casino.asset).await.expect("balances");
        assert_eq!(balances.reserved.0, bets.len() as i128);
        reader.close().await;
        ledger.close().await;
        audit(disk.path(), &[]).assert_clean();
    });
}

/// B4.12. A page has changed on the device; the cache still shows it as it was, and cannot be dropped, because a reader has
/// it mapped.
#[test]
fn a_start_reads_the_device_although_somebody_holds_the_pages_in_the_cache() {
    let Some(disk) = SmallDisk::mounted(DISK_MIB) else { return };
    run_for(SOON * 6, async {
        let ledger = Start::small(disk.path()).with("--holds-max", "16384").ledger();
        let casino = Casino::funded(&ledger, 2, 1_000_000).await;
        let mut games = Wire::greeted(&ledger, Role::Games).await;
        for _ in 0..200 {
            let bets: Vec<_> = (0..50).map(|_| (new_id(), casino.reserve(0, 1, 2))).collect();
            assert!(answers(&mut games, &bets).await.iter().all(|code| *code == ResultCode::Done));
        }
        let start = ledger.kill();
        let log = disk.path().join("log");
        let mut last = 0;
        scan(&log, Limits::default(), |frame| {
            last = frame.position.segment;
            Ok::<_, Infallible>(())
        })
        .expect("a readable log");
        let mut refusal = None;
        // Segments that are full are read through a mapping, which lasts as long as their frames are shown.
        scan(&log, Limits::default(), |frame| {
            if refusal.is_none() && frame.position.segment == last - 1 {
                disk.flip_on_the_device(frame.bytes().first_chunk().expect("a page"));
                let shown = std::fs::read(log.join(format!("{:016x}.wal", last - 1))).expect("a segment");
                let at = frame.position.offset as usize;
                assert_eq!(shown[at..at + 4096], frame.bytes()[..4096], "the cache shows it as it was");
                refusal = Some(start.refused());
            }
            Ok::<_, Infallible>(())
        })
        .expect("a reader sees nothing of it");
        let refusal = refusal.expect("a full segment");
        assert_eq!(refusal.status.code(), Some(4), "{refusal:?}");
        assert!(refusal.stderr.contains("the log cannot be recovered"), "{refusal:?}");
    });
}
