//! Somebody else lays hands on the files of a running log. It notices, says so and stops; nobody else gets in.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process::Command,
    time::Duration,
};

use cage_wal::{
    FlushStrategy, LogFault, LogOptions, Lsn, RecoveryError,
    storage::{Source, Storage, exit_on_bus_error},
};

use crate::common::{Log, assert_unbroken, directory, options, recover_all, run};

/// Writes frames of a page until the log stops.
fn write_on(log: &mut Log) -> LogFault {
    loop {
        let next = log.writer.next_lsn().0;
        if let Err(fault) = log.append(&run(next, 1)).and_then(|_| log.flush()) {
            return fault;
        }
    }
}

/// Something that is done to a file, and its name.
type Change<'a> = (&'static str, &'a dyn Fn(&Path));

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// B4.17. Whoever deletes the lock file opens no door: the directory is locked as well. The writer stops before it
/// begins another segment.
#[test]
fn a_deleted_lock_file_lets_nobody_in_and_stops_the_writer() {
    let home = folder();
    let (mut log, _) = Log::on(directory(home.path()), options(), 1);
    log.append(&run(1, 5)).unwrap();
    log.flush().unwrap();
    fs::remove_file(home.path().join("lock")).unwrap();
    for _ in 0..2 {
        let second = recover_all(directory(home.path()));
        assert!(matches!(second, Err(RecoveryError::Locked { .. })), "{second:?}");
    }
    let fault = write_on(&mut log);
    assert!(matches!(fault, LogFault::LockLost { .. }), "{fault}");
    let promised = log.durable;
    assert!(promised < Lsn(5 + 15), "it stopped with its segment: {promised}");
    drop(log);
    let (_, records) = recover_all(directory(home.path())).unwrap();
    assert_unbroken(&records);
    assert_eq!(records.len() as u64, promised.0);
}

/// B4.17. A writer that has nothing to write notices too.
#[test]
fn an_idle_writer_notices_that_its_lock_is_gone() {
    let home = folder();
    let options = LogOptions { control_interval: Duration::from_millis(5), ..options() };
    let (log, _) = Log::on(directory(home.path()), options, 1);
    fs::remove_file(home.path().join("lock")).unwrap();
    let fault = loop {
        match log.handle.failed() {
            Some(fault) => break fault,
            None => std::thread::yield_now(),
        }
    };
    assert!(matches!(fault, LogFault::LockLost { .. }), "{fault}");
    assert_eq!(log.writer.close().unwrap_err(), fault, "and does not say that it was closed in order");
}

/// B4.17. The directory was moved away and another log put in its place: an old process neither goes on where nobody
/// looks, nor puts its segments among those of the other log.
#[test]
fn a_writer_whose_directory_was_replaced_stops_and_leaves_the_other_log_alone() {
    let home = folder();
    let (here, away) = (home.path().join("log"), home.path().join("away"));
    let (mut old, _) = Log::on(directory(&here), options(), 1);
    old.append(&run(1, 5)).unwrap();
    old.flush().unwrap();
    fs::rename(&here, &away).unwrap();
    let (mut new, records) = Log::on(directory(&here), options(), 2);
    assert!(records.is_empty());
    let fault = write_on(&mut old);
    assert!(matches!(fault, LogFault::LockLost { .. }), "{fault}");
    let promised = old.durable.0;
    drop(old);
    for first in 1..=40 {
        new.append(&run(first, 1)).unwrap();
        new.flush().unwrap();
    }
    new.close();
    for (path, count) in [(&here, 40), (&away, promised)] {
        let (_, records) = recover_all(directory(path)).unwrap();
        assert_unbroken(&records);
        assert_eq!(records.len() as u64, count);
    }
}

/// A file that is cut, lengthened or deleted under the log is noticed before the next acknowledgement,
/// whichever way bytes are written; no way ends in a signal.
#[test]
fn a_segment_that_is_changed_under_the_log_stops_it() {
    let cut = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap();
    let empty = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    let lengthen = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 20).unwrap();
    let delete = |path: &Path| fs::remove_file(path).unwrap();
    let replace = |path: &Path| {
        fs::copy(path, path.with_extension("copy")).unwrap();
        fs::rename(path.with_extension("copy"), path).unwrap();
    };
    let changes: [Change<'_>; 5] = [
        ("cut", &cut),
        ("empty", &empty),
        ("lengthened", &lengthen),
        ("deleted", &delete),
        ("replaced", &replace),
    ];
    for flush in FlushStrategy::ALL {
        for (what, change) in changes {
            let home = folder();
            let (mut log, _) = Log::on(directory(home.path()), LogOptions { flush, ..options() }, 1);
            log.append(&run(1, 5)).unwrap();
            let promised = log.flush().unwrap();
            change(&home.path().join("0000000000000001.wal"));
            let fault = write_on(&mut log);
            assert!(matches!(fault, LogFault::Write { .. }), "{flush:?}, {what}: {fault}");
            assert_eq!(log.durable, promised, "{flush:?}, {what}: nothing after it is acknowledged");
            drop(log);
            match recover_all(directory(home.path())) {
                Err(RecoveryError::Corruption(_)) => assert_ne!(what, "replaced"),
                Ok((_, records)) if what == "replaced" => assert_eq!(records.len(), 5),
                other => panic!("{flush:?}, {what}: {other:?}"),
            }
        }
    }
}

/// A file that only has another name is not noticed: it is still written to. The next start misses it, says so, and has
/// everything when it is back.
#[test]
fn a_segment_that_was_moved_away_is_missed_at_the_next_start_and_complete_when_it_is_back() {
    for flush in FlushStrategy::ALL {
        let home = folder();
        let (here, away) = (home.path().join("0000000000000001.wal"), home.path().join("away"));
        let (mut log, _) = Log::on(directory(home.path()), LogOptions { flush, ..options() }, 1);
        log.append(&run(1, 5)).unwrap();
        log.flush().unwrap();
        fs::rename(&here, &away).unwrap();
        log.append(&run(6, 5)).unwrap();
        assert_eq!(log.flush().unwrap(), Lsn(10), "{flush:?}");
        drop(log);
        let missed = recover_all(directory(home.path()));
        assert!(matches!(missed, Err(RecoveryError::Corruption(_))), "{flush:?}: {missed:?}");
        fs::rename(&away, &here).unwrap();
        let (_, records) = recover_all(directory(home.path())).unwrap();
        assert_unbroken(&records);
        assert_eq!(records.len(), 10, "{flush:?}");
    }
}

/// A file that is cut under a *mapping* cannot be noticed beforehand by whoever reads it. The process ends with an
/// exit code of its own, and not by a signal. (This test starts itself again as that process.)
#[test]
fn a_page_that_is_gone_from_a_mapping_ends_the_process_with_its_own_code() {
    const CHILD: &str = "CAGE_WAL_TEST_MAPPING";
    const CODE: u8 = 9;
    if let Some(path) = std::env::var_os(CHILD) {
        exit_on_bus_error(CODE).unwrap();
        let storage = directory(Path::new(&path));
        let content = storage.load("segment", Source::Mapping).unwrap();
        assert_eq!(content[8192], 7);
        OpenOptions::new().write(true).open(Path::new(&path).join("segment")).unwrap().set_len(4096).unwrap();
        println!("{}", content[8192]);
        unreachable!("the page is gone");
    }
    let home = folder();
    fs::write(home.path().join("segment"), vec![7; 16_384]).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "guards::a_page_that_is_gone_from_a_mapping_ends_the_process_with_its_own_code"])
        .env(CHILD, home.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(CODE.into()), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("a mapped file of the log was cut"),
        "{output:?}"
    );
}
