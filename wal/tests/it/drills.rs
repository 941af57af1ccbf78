//! Faults that are switched on in the program itself: wherever the disk says no, nothing is acknowledged after it,
//! and the next start finds everything that was.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cage_wal::{
    LogFault,
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
