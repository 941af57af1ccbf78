//! Faults that are switched on in the program itself: wherever the disk says no, nothing is acknowledged after it,
//! and the next start finds everything that was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cage_wal::{
    LogFault, LogOptions, LogSpace, Scrubbed,
    storage::{
        faulty::{Call, CallCounts, FaultPlan, Faulty},
        sim::SimDisk,
    },
};

use crate::common::{Log, Random, assert_unbroken, directory, options, recover_all, run, seed};

/// What a life of a log came to whose storage fails as planned.
struct Life {
    acknowledged: u64,
    fault: Option<LogFault>,
    struck: u64,
    counts: CallCounts,
}

/// Opens a log on a disk that fails as planned, and appends to it until it breaks or enough is done.
fn live(disk: &SimDisk, plan: &str, epoch: u64) -> Life {
    let plan: FaultPlan = plan.parse().expect("a plan");
    let struck = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&struck);
    let faulty = Faulty::new(disk.clone(), plan, move |_| {
        told.fetch_add(1, Ordering::SeqCst);
    });
    let counts = faulty.counts();
    let (mut acknowledged, mut fault) = (0, None);
    if let Ok((recovered, _)) = recover_all(faulty)
        && let Ok(mut log) = Log::try_open(recovered, options(), epoch)
    {
        for _ in 0..30 {
            let next = log.writer.next_lsn().0;
            if let Err(reason) = log.append(&run(next, 40)).and_then(|_| log.flush()) {
                fault = Some(reason);
                break;
            }
        }
        acknowledged = log.durable.0;
        if fault.is_some() {
            let struck = struck.load(Ordering::SeqCst);
            // The ring may still take it; the disk never gets it.
            let _ = log.writer.append_linked(&run(log.writer.next_lsn().0, 1));
            log.writer.publish();
            let handle = log.handle.clone();
            assert_eq!(log.writer.close().err(), fault, "the first fault is the one that stays");
            assert_eq!(handle.durable().get().0, acknowledged, "nothing is durable after the fault");
            assert!(struck > 0, "it failed because of the plan");
        } else if let Err(reason) = log.writer.close() {
            fault = Some(reason);
        }
    }
    Life { acknowledged, fault, struck: struck.load(Ordering::SeqCst), counts }
}

/// B4.12. Every single call of a life, of every kind and with every fault, is the one that fails.
#[test]
fn whichever_call_fails_nothing_is_acknowledged_after_it_and_nothing_before_is_lost() {
    let (mut lives, mut faults) = (0, 0);
    for fault in ["eio", "full", "short"] {
        for nth in 1.. {
            let disk = SimDisk::new();
            let life = live(&disk, &format!("any@{nth}={fault}"), 1);
            if life.struck == 0 {
                assert!(nth > life.counts.of_all(), "all calls had their turn");
                break;
            }
            lives += 1;
            faults += u64::from(life.fault.is_some());
            for keep in [false, true] {
                let (_, records) = recover_all(disk.crash_image(disk.events(), || keep)).unwrap();
                assert_unbroken(&records);
                assert!(records.len() as u64 >= life.acknowledged, "any@{nth}={fault}");
            }
        }
    }
    println!("{lives} lives, {faults} of them ended by a fault");
    assert!(lives > 300 && faults > 100, "{lives} lives, {faults} faults");
}

/// B4.12, B4.8. Lives that end by random faults, each going on from what the one before left.
#[test]
fn lives_that_fail_one_after_the_other_lose_nothing() {
    let mut random = Random::new(seed(61));
    let disk = SimDisk::new();
    let mut promised = 0;
    for epoch in 1..=60 {
        let call = Call::ALL[random.below(Call::ALL.len() as u64) as usize].name();
        let fault = ["eio", "full", "short"][random.below(3) as usize];
        let plan = format!("{call}@{}={fault},any@1/40=delay:0,seed={epoch}", 1 + random.below(40));
        promised = promised.max(live(&disk, &plan, epoch).acknowledged);
        let (_, records) = recover_all(disk.crash_image(disk.events(), || random.one_in(2))).unwrap();
        assert_unbroken(&records);
        assert!(records.len() as u64 >= promised, "life {epoch}, {plan}");
    }
    assert!(promised > 1_000, "{promised} records");
}

/// A log on a real directory behaves as it does without the wrapper.
#[test]
fn an_empty_plan_changes_nothing() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let faulty = Faulty::new(directory(home.path()), FaultPlan::default(), |strike| panic!("{strike}"));
    let counts = faulty.counts();
    let (mut log, _) = Log::on(faulty, options(), 1);
    log.append(&run(1, 40)).unwrap();
    log.flush().unwrap();
    log.close();
    assert!(counts.of(Call::Write) > 3 && counts.of(Call::Sync) == counts.of(Call::Write));
    assert_eq!(recover_all(directory(home.path())).unwrap().1.len(), 40);
}

/// Options under which a full disk is given up on soon, when the last segment is used up.
fn impatient() -> LogOptions {
    LogOptions { segment_wait: Duration::from_secs(2), ..options() }
}

/// Waits until the thread that prepares segments has done all it can.
fn prepared(log: &Log, options: &LogOptions) {
    let settled =
        |space: LogSpace| space.failure.is_some() || space.ready_segments == options.ready_segments as u64;
    while !settled(log.handle.space()) {
        std::thread::yield_now();
    }
}

/// B4.13. The disk is full from the fourth segment on. The log says so while a whole reserve is left, and takes that
/// much more before it stops.
#[test]
fn a_full_disk_is_told_while_the_whole_reserve_is_left() {
    for (ready, reserve) in [(1, 1), (2, 1), (3, 2), (2, 0)] {
        let plan = "allocate@5-=full".parse().expect("a plan");
        let faulty = Faulty::new(SimDisk::new(), plan, |_| {});
        let options = LogOptions { ready_segments: ready, reserve_segments: reserve, ..impatient() };
        let (mut log, _) = Log::on(faulty, options, 1);
        let mut on_reserve = 0;
        let fault = loop {
            let next = log.writer.next_lsn().0;
            prepared(&log, &options);
            let short = log.writer.lives_on_reserve();
            assert!(short || on_reserve == 0, "without more space it stays so");
            // A frame of one record takes a page.
            on_reserve += u64::from(short);
            if let Err(fault) = log.append(&run(next, 1)).and_then(|_| log.flush()) {
                break fault;
            }
        };
        assert!(matches!(fault, LogFault::NoSegment { .. }), "{fault}");
        let pages = options.segment_bytes * reserve as u64 / 4096;
        let most = pages + 1;
        let least = pages.saturating_sub(reserve as u64 + 1);
        assert!((least..=most).contains(&on_reserve), "{on_reserve} of {pages} pages: ready {ready}");
    }
}

/// B4.13. What waits in the ring counts as used: a burst cannot eat the reserve before it is noticed.
#[test]
fn records_that_wait_for_the_disk_count_against_the_reserve() {
    let plan = "allocate@4-=full,write@4-=delay:5".parse().expect("a plan");
    let options = LogOptions { reserve_segments: 1, ..impatient() };
    let (mut log, _) = Log::on(Faulty::new(SimDisk::new(), plan, |_| {}), options, 1);
    prepared(&log, &options);
    while !log.writer.lives_on_reserve() {
        log.append(&run(log.writer.next_lsn().0, 1)).unwrap();
    }
    log.flush().unwrap();
    let LogSpace { prepared_bytes: left, reserve_bytes: reserve, .. } = log.handle.space();
    // Not too late: what waited went into two frames at most (one was being written), each with a header and padding
    // that nobody can count before. Not too early: the reserve was reached.
    assert!((reserve - 8192..=reserve).contains(&left), "{left} of {reserve}");
}

/// B4.13. Space that returns ends it, without anybody's help.
#[test]
fn when_there_is_space_again_the_log_goes_on_by_itself() {
    let plan = "allocate@4-8=full".parse().expect("a plan");
    let (mut log, _) = Log::on(Faulty::new(SimDisk::new(), plan, |_| {}), options(), 1);
    let (mut was_short, mut is_over) = (false, false);
    let begun = Instant::now();
    for first in 1.. {
        if is_over && first > 500 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never ends");
        was_short |= log.writer.lives_on_reserve();
        is_over = was_short && !log.writer.space_is_short();
        log.append(&run(first, 1)).unwrap();
        log.flush().unwrap();
    }
    let space = log.handle.space();
    assert!(was_short && space.failures == 5 && space.failure.is_none(), "{space:?}");
    log.close();
}

/// B4.20. What is counted is what was done.
#[test]
fn the_log_counts_what_it_does() {
    let plan = "write@4-8=delay:20".parse().expect("a plan");
    let (mut log, _) = Log::on(Faulty::new(SimDisk::new(), plan, |_| {}), options(), 1);
    for first in (1..=400).step_by(10) {
        log.append(&run(first, 10)).unwrap();
        log.flush().unwrap();
    }
    prepared(&log, &options());
    let handle = log.handle.clone();
    let stats = handle.stats();
    assert_eq!((stats.records, stats.flushes, stats.frames), (400, 40, 40));
    // Ten records and a header in a page.
    assert_eq!(stats.padding_bytes, 40 * (4096 - 11 * 256));
    assert_eq!(stats.bytes, (40 + stats.rotations) * 4096);
    assert_eq!((stats.groups.count, stats.groups.p50, stats.groups.max), (40, 10, 10));
    assert_eq!((stats.flush_times.count, stats.flush_times.max), (40, stats.flush_ns_max));
    assert!(stats.flush_times.p99 >= 20_000_000, "some were late: {stats:?}");
    assert_eq!((stats.ready_segments, stats.preparation_failures), (3, 0));
    assert_eq!((stats.waiting, stats.waiting_max, stats.verified.0), (0, 10, 0));
    let sealed = handle.sealed_segments();
    let scrub = |number| handle.scrub(number, &mut |_| true).unwrap();
    if let [first, second, ..] = sealed[..] {
        assert!(matches!(scrub(second), Scrubbed::Good { .. }));
        assert_eq!(handle.stats().verified.0, 0, "what is before it was not read yet");
        let Scrubbed::Good { frames, .. } = scrub(first) else { panic!("segment {first} is not good") };
        assert_eq!(handle.stats().verified.0, 10 * frames, "up to the end of the first");
    } else {
        panic!("two segments are sealed: {sealed:?}");
    }
    log.close();
    assert_eq!(handle.stats().witnessed.0, 400, "both slots of the control file were written");
}

/// B4.10. No segment can be made for a while, and none is ready. The writer is told that there is no room; it never
/// waits, and when there is a segment everything that it appended becomes durable.
#[test]
fn while_no_segment_is_ready_the_writer_is_told_and_never_waits() {
    let plan = "allocate@3-12=full".parse().expect("a plan");
    let options = LogOptions { segment_wait: Duration::from_secs(60), ..options() };
    let (mut log, _) = Log::on(Faulty::new(SimDisk::new(), plan, |_| {}), options, 1);
    // More than the segment in use takes: the flusher soon waits for the next one.
    let mut taken = 0;
    while log.writer.append(&run(taken + 1, 1)[0]).is_ok() {
        taken += 1;
        log.writer.publish();
    }
    assert!(taken >= options.ring_records as u64, "{taken}");
    while log.handle.space().failures == 0 {
        std::thread::yield_now();
    }
    log.flush().unwrap();
    assert_eq!(log.durable.0, taken);
    log.close();
}
