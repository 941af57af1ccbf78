//! The disk says no. The log stops, says why, and never says "durable" again.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cage_wal::{
    Callbacks, FlushStrategy, Full, Limits, LogFault, LogOptions, Lsn, OpenError, StorageError, scan,
    scan_from,
    storage::{
        Content, DurableFile, FileEntry, Lock, NewFile, RandomRead, Source, Storage,
        sim::{Operation, SimDisk},
    },
};

use crate::common::{
    Log, Random, assert_unbroken, directory, identity, options, record, recover_all, run, seed,
};

/// A workload that crosses several segments. Returns the last LSN that was acknowledged, and the fault.
fn work_until_it_breaks(log: &mut Log) -> Option<LogFault> {
    for _ in 0..30 {
        let next = log.writer.next_lsn().0;
        if let Err(fault) = log.append(&run(next, 40)).and_then(|_| log.flush()) {
            return Some(fault);
        }
    }
    None
}

fn every_failure_is_final(kind: Operation) {
    let mut latched = 0;
    for nth in 1.. {
        let disk = SimDisk::new();
        disk.fail_at(kind, nth);
        let (recovered, _) = recover_all(disk.clone()).unwrap();
        let Ok(mut log) = Log::try_open(recovered, options(), 1) else {
            continue; // It failed while the log was being opened.
        };
        let fault = work_until_it_breaks(&mut log);
        let durable = log.durable;
        match &fault {
            Some(fault) => {
                latched += 1;
                assert_eq!(
                    log.handle.failed().as_ref(),
                    Some(fault),
                    "the first fault is the one that stays"
                );
                let frozen = log.handle.chain_head();
                // The disk would work again, but the log does not ask it.
                let operations = disk.operations(Operation::Write);
                let first = log.writer.next_lsn();
                let mut taken = 0;
                while log.writer.append(&record(first.0 + taken, false)).is_ok() {
                    taken += 1;
                }
                log.writer.publish();
                assert_eq!(
                    log.writer.append(&record(1, false)),
                    Err(Full),
                    "the ring is never emptied again"
                );
                assert_eq!(log.handle.durable().get(), durable);
                assert_eq!(log.handle.chain_head(), frozen);
                assert_eq!(log.writer.close().unwrap_err(), *fault);
                assert_eq!(disk.operations(Operation::Write), operations, "nothing was tried again");
            }
            None => {
                let struck = disk.operations(kind) >= nth;
                let closed = log.writer.close();
                let answers = matches!(kind, Operation::Write | Operation::Sync);
                assert!(!(answers && struck && closed.is_ok()), "{kind:?} {nth} failed, and nobody was told");
            }
        }
        // Whatever the failed operation left behind, nothing that was acknowledged is missing.
        for keep in [false, true] {
            let (_, records) = recover_all(disk.crash_image(disk.events(), || keep)).unwrap();
            assert_unbroken(&records);
            assert!(records.len() as u64 >= durable.0, "{kind:?} {nth}");
        }
        if fault.is_none() && disk.operations(kind) < nth {
            break;
        }
    }
    println!("{kind:?}: {latched} faults");
    assert!(latched > 2, "{kind:?}: {latched} faults");
}

/// B4.12.
#[test]
fn after_a_failed_write_nothing_is_acknowledged() {
    every_failure_is_final(Operation::Write);
}

/// B4.12.
#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    every_failure_is_final(Operation::Sync);
}

/// B4.12.
#[test]
fn a_segment_that_cannot_be_made_stops_the_log_when_it_is_needed() {
    every_failure_is_final(Operation::Allocate);
    every_failure_is_final(Operation::Rename);
}

#[test]
fn an_open_that_fails_says_why_and_can_be_repeated() {
    for (kind, nth) in
        [(Operation::Allocate, 1), (Operation::Rename, 1), (Operation::Write, 1), (Operation::Sync, 2)]
    {
        let disk = SimDisk::new();
        disk.fail_at(kind, nth);
        let (recovered, _) = recover_all(disk.clone()).unwrap();
        let refused = recovered.open(options(), identity(1), Callbacks::none());
        let error = refused.expect_err("it fails");
        assert!(error.to_string().contains("as asked for"), "{error}");
        assert!(matches!(error, OpenError::Storage(_) | OpenError::Fault(_)));
        let (mut log, _) = Log::on(disk, options(), 2);
        log.append(&run(1, 3)).unwrap();
        log.flush().unwrap();
        log.close();
    }
}

/// B4.12. The process dies of a failed sync, but the machine does not: the page cache still shows what the disk does
/// not hold. Recovery believes the disk, and the log that goes on from there is whole.
#[test]
fn after_a_failed_sync_the_page_cache_is_not_believed() {
    let mut differed = 0;
    for nth in 2.. {
        let disk = SimDisk::new();
        disk.fail_at(Operation::Sync, nth);
        let (recovered, _) = recover_all(disk.clone()).unwrap();
        let (mut acknowledged, mut fault) = (Lsn::ZERO, None);
        if let Ok(mut log) = Log::try_open(recovered, options(), 1) {
            fault = work_until_it_breaks(&mut log);
            acknowledged = log.durable;
            drop(log);
            if fault.is_none() {
                break;
            }
        }
        let believed =
            scan_from(&disk, Limits::default(), |_| Ok::<_, Infallible>(())).map(|report| report.next_lsn);
        let (mut log, records) = Log::on(disk.clone(), options(), 2);
        assert_unbroken(&records);
        assert!(records.len() as u64 >= acknowledged.0, "{nth}: {fault:?}");
        let next = records.len() as u64 + 1;
        differed += u64::from(believed.is_ok_and(|lsn| lsn != Lsn(next)));
        log.append(&run(next, 5)).unwrap();
        log.flush().unwrap();
        drop(log);
        let (_, records) = recover_all(disk.crash_image(disk.events(), || false)).unwrap();
        assert_eq!(records.len() as u64, next + 4);
    }
    assert!(differed > 0, "at least once the cache showed more than the disk held");
}

/// B4.12. The same for the control file: the cache shows "closed in order", and the disk does not hold it.
#[test]
fn a_control_slot_that_never_reached_the_disk_is_not_believed() {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    log.append(&run(1, 5)).unwrap();
    log.flush().unwrap();
    disk.fail_at(Operation::Sync, disk.operations(Operation::Sync) + 1);
    assert!(matches!(log.writer.close(), Err(LogFault::Control { .. })));
    let shown = scan_from(&disk, Limits::default(), |_| Ok::<_, Infallible>(())).unwrap();
    assert!(shown.control.unwrap().clean, "the cache shows it");
    let (recovered, records) = recover_all(disk).unwrap();
    assert!(!recovered.report().control.as_ref().unwrap().clean, "the disk does not hold it");
    assert_eq!(records.len(), 5);
}

#[test]
fn a_panic_in_the_flusher_is_a_fault() {
    let (recovered, _) = recover_all(SimDisk::new()).unwrap();
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    let callbacks = Callbacks {
        on_durable: Box::new(|_| panic!("a bug in the callback, for this test")),
        on_fault: Box::new(move |_| tell.store(true, Ordering::SeqCst)),
        ..Callbacks::none()
    };
    let (mut writer, handle) = recovered.open(options(), identity(1), callbacks).unwrap();
    writer.append(&record(1, false)).unwrap();
    writer.publish();
    let fault = writer.close().unwrap_err();
    assert_eq!(fault, LogFault::Panicked { thread: "flusher" });
    assert_eq!(handle.failed(), Some(fault));
    assert!(told.load(Ordering::SeqCst));
}

/// Each record is waited for before the next one: the flusher falls asleep thousands of times, and never for
/// good.
#[test]
fn no_wake_up_is_lost() {
    let disk = SimDisk::new();
    let options = LogOptions { segment_bytes: 4 << 20, ..options() };
    let (mut log, _) = Log::on(disk.clone(), options, 1);
    for serial in 1..=20_000 {
        log.append(&[record(serial, false)]).unwrap();
        log.flush().unwrap();
        if serial % 1000 == 0 {
            disk.forget_past();
        }
    }
    log.close();
}

/// An auditor reads a log again and again while it grows. It may see a write in flight, never damage.
#[test]
fn a_growing_log_can_be_audited() {
    for flush in FlushStrategy::ALL {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = LogOptions { flush, segment_bytes: 128 * 1024, ..options() };
        let (mut log, _) = Log::on(directory(home.path()), options, 1);
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let path = home.path().to_owned();
        let handle = log.handle.clone();
        let auditor = std::thread::spawn(move || {
            let mut audits = 0;
            while !stop.load(Ordering::SeqCst) {
                let durable = handle.durable().get();
                let report = scan(&path, Limits::default(), |_| Ok::<_, Infallible>(()))
                    .unwrap_or_else(|error| panic!("after {audits} audits: {error}"));
                assert!(report.next_lsn > durable, "everything durable is seen");
                audits += 1;
            }
            audits
        });
        let mut random = Random::new(seed(59));
        for _ in 0..400 {
            let next = log.writer.next_lsn().0;
            log.append(&run(next, 1 + random.below(64))).unwrap();
            log.flush().unwrap();
        }
        done.store(true, Ordering::SeqCst);
        println!("{flush:?}: {} audits", auditor.join().unwrap());
        log.close();
    }
}

#[test]
fn a_write_never_makes_a_file_longer() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let storage = directory(home.path());
    for flush in FlushStrategy::ALL {
        storage.allocate("file", 8192, flush, &AtomicBool::new(false)).unwrap();
        let mut file: Box<dyn DurableFile> = storage.open_write("file", flush).unwrap();
        assert_eq!(file.bytes(), 8192);
        let page: Vec<u8> = vec![1; 3 * 4096];
        let aligned = page.as_ptr().align_offset(4096);
        assert!(file.write_durable(8192, &page[aligned..aligned + 4096]).is_err(), "{flush:?}");
        file.write_durable(4096, &page[aligned..aligned + 4096]).unwrap();
        drop(file);
        assert_eq!(storage.list().unwrap().iter().find(|entry| entry.name == "file").unwrap().bytes, 8192);
        storage.remove("file").unwrap();
    }
}

#[test]
fn a_log_that_stopped_is_not_closed_in_order() {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    disk.fail_at(Operation::Sync, disk.operations(Operation::Sync) + 2);
    work_until_it_breaks(&mut log).expect("it breaks");
    assert!(log.writer.close().is_err());
    let report = scan_from(&disk, Limits::default(), |_| Ok::<_, Infallible>(())).unwrap();
    assert!(!report.control.unwrap().clean);
    assert!(report.next_lsn > Lsn(40));
}

/// A disk whose first read of segment 1 began before its second frame was written and ended after the third: the
/// second frame is missing from what was read.
#[derive(Debug)]
struct SlowRead {
    disk: SimDisk,
    done: AtomicBool,
}

impl Storage for SlowRead {
    fn load(&self, name: &str, source: Source) -> Result<Content, StorageError> {
        let content = self.disk.load(name, source)?;
        if name != "0000000000000001.wal" || self.done.swap(true, Ordering::SeqCst) {
            return Ok(content);
        }
        let mut bytes = content.to_vec();
        bytes[8192..12288].fill(0);
        Ok(Content::new(bytes))
    }

    fn lock(&self) -> Result<Option<Box<dyn Lock>>, StorageError> {
        self.disk.lock()
    }

    fn list(&self) -> Result<Vec<FileEntry>, StorageError> {
        self.disk.list()
    }

    fn allocate(
        &self,
        name: &str,
        bytes: u64,
        flush: FlushStrategy,
        stop: &AtomicBool,
    ) -> Result<(), StorageError> {
        self.disk.allocate(name, bytes, flush, stop)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.disk.remove(name)
    }

    fn open_write(&self, name: &str, flush: FlushStrategy) -> Result<Box<dyn DurableFile>, StorageError> {
        self.disk.open_write(name, flush)
    }

    fn open_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        self.disk.open_read(name)
    }

    fn settle(&self, name: &str) -> Result<(), StorageError> {
        self.disk.settle(name)
    }

    fn make(&self) -> Result<(), StorageError> {
        self.disk.make()
    }

    fn holds(&self, name: &str) -> bool {
        self.disk.holds(name)
    }

    fn place(&self, name: &str) -> String {
        self.disk.place(name)
    }

    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>, StorageError> {
        self.disk.begin(name)
    }

    fn retire(&self, name: &str) -> Result<(), StorageError> {
        self.disk.retire(name)
    }
}

#[test]
fn an_audit_that_was_overtaken_by_the_writer_reads_again() {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    for first in [1, 4, 7] {
        log.append(&run(first, 3)).unwrap();
        log.flush().unwrap();
    }
    let overtaken = SlowRead { disk, done: AtomicBool::new(false) };
    let report = scan_from(&overtaken, Limits::default(), |_| Ok::<_, Infallible>(())).unwrap();
    assert_eq!(report.next_lsn, Lsn(10));
    log.close();
}
