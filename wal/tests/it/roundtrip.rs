//! What goes in comes out: appends, reopens, strategies, readers.

use cage_wal::{
    Appended, ChainHash, FRAME_RECORDS_MAX, FlushStrategy, Identity, Limits, LogId, LogOptions, Lsn, Record,
    RecoveryError, recover, scan, scan_from, storage::Storage, storage::sim::SimDisk,
};

use crate::common::{
    Failed, Log, Random, TRAITS, assert_unbroken, directory, identity, is_linked, options, record,
    recover_all, run, seed, serial, time_ns, write_frames,
};

#[test]
fn what_was_appended_is_recovered() {
    let disk = SimDisk::new();
    let (mut log, before) = Log::on(disk.clone(), options(), 1);
    assert!(before.is_empty(), "an empty directory is a log without records");
    for serial in 1..=1000 {
        assert_eq!(log.append(&[record(serial, false)]), Ok(Lsn(serial)));
    }
    assert_eq!(log.flush(), Ok(Lsn(1000)));
    assert_eq!(log.handle.durable().get(), Lsn(1000));
    let (lsn, chain) = log.handle.chain_head();
    let closed = log.close();
    assert_eq!((closed.durable.get(), closed.chain_head), (lsn, chain));

    let (recovered, records) = recover_all(disk).unwrap();
    assert_unbroken(&records);
    let report = recovered.report();
    assert_eq!((report.next_lsn, report.chain_head, report.records), (Lsn(1001), chain, 1000));
    assert_eq!(report.log, Some(LogId(0xC0FFEE)));
    assert!(report.torn_tail.is_none() && report.control.as_ref().is_some_and(|control| control.clean));
}

#[test]
fn an_empty_log_can_be_closed_and_opened_again() {
    let disk = SimDisk::new();
    for epoch in 1..=5 {
        let (log, records) = Log::on(disk.clone(), options(), epoch);
        assert!(records.is_empty());
        let closed = log.close();
        assert_eq!(closed.durable.get(), Lsn::ZERO);
        assert_eq!(closed.chain_head, ChainHash::genesis(LogId(0xC0FFEE)));
    }
}

/// B4.7. Each session appends some, closes or just stops, and the next one finds all of it, in a new segment.
#[test]
fn sessions_continue_each_other_however_they_ended() {
    let mut random = Random::new(seed(11));
    for _ in 0..20 {
        let disk = SimDisk::new();
        let mut next = 1;
        for epoch in 1..=8 {
            let (mut log, records) = Log::on(disk.clone(), options(), epoch);
            assert_unbroken(&records);
            assert_eq!(records.len() as u64, next - 1);
            assert_eq!(log.writer.next_lsn(), Lsn(next));
            for _ in 0..random.below(30) {
                let count = 1 + random.below(64);
                log.append(&run(next, count)).unwrap();
                next += count;
            }
            if random.one_in(2) {
                log.close();
            }
        }
    }
}

/// B4.1.
#[test]
fn every_strategy_writes_the_same_log() {
    let mut frames = Vec::new();
    for (index, flush) in FlushStrategy::ALL.into_iter().enumerate() {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = LogOptions { flush, ..options() };
        let (mut log, _) = Log::on(directory(home.path()), options, 5);
        write_frames(&mut log, &[1, 15, 16, 64, 64, 40, 64, 3, 64, 64, 64, 64]);
        log.close();
        let mut bytes = Vec::new();
        let report = scan(home.path(), Limits::default(), |frame| {
            bytes.extend_from_slice(frame.bytes());
            Ok::<_, std::convert::Infallible>(())
        })
        .unwrap();
        assert!(report.segments > 1, "the frames cross a segment's border");
        let mut records = Vec::new();
        let recovered = recover(home.path(), |frame| {
            records.extend(frame.records().copied());
            Ok::<_, std::convert::Infallible>(())
        })
        .unwrap();
        assert_unbroken(&records);
        assert_eq!(recovered.report().chain_head, report.chain_head);
        frames.push(bytes);
        assert_eq!(frames[0], frames[index], "{flush:?} writes the same frames");
    }
}

/// B4.2. The writer outruns the flusher, so that rounds of many frames, full frames and full segments all happen.
#[test]
fn linked_records_are_never_split_by_a_frame() {
    let mut random = Random::new(seed(13));
    let disk = SimDisk::new();
    let options = LogOptions { segment_bytes: 1 << 20, ..options() };
    let (mut log, _) = Log::on(disk.clone(), options, 1);
    let mut next = 1;
    for _ in 0..2000 {
        let count = if random.one_in(4) { 64 } else { 1 + random.below(64) };
        log.append(&run(next, count)).unwrap();
        next += count;
    }
    log.flush().unwrap();
    log.close();
    let mut largest = 0;
    let mut expected = Lsn::FIRST;
    scan_from(&disk, Limits::default(), |frame| {
        let records: Vec<&Record> = frame.records().collect();
        assert!(!is_linked(records[records.len() - 1]), "a frame ends with the end of a run");
        assert_eq!((frame.first_lsn, frame.time_ns), (expected, time_ns(records[records.len() - 1])));
        assert_eq!(frame.rules_version, 7);
        assert!(frame.durable_lsn < frame.first_lsn);
        expected = frame.last_lsn.next();
        largest = largest.max(records.len());
        Ok::<_, std::convert::Infallible>(())
    })
    .unwrap();
    assert_eq!(expected, Lsn(next));
    assert!(largest > FRAME_RECORDS_MAX - 64, "a full frame was among them: {largest}");
}

#[test]
fn a_reader_gives_every_durable_record_live_and_sealed() {
    let mut random = Random::new(seed(17));
    for flush in FlushStrategy::ALL {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut next = 1;
        for epoch in 1..=3 {
            let options = LogOptions { flush, segment_bytes: 256 * 1024, ..options() };
            let (mut log, _) = Log::on(directory(home.path()), options, epoch);
            let mut reader = log.handle.reader();
            for _ in 0..40 {
                for _ in 0..random.below(4) {
                    let count = 1 + random.below(64);
                    log.append(&run(next, count)).unwrap();
                    next += count;
                }
                let durable = log.flush().unwrap();
                for _ in 0..20 {
                    let lsn = Lsn(1 + random.below(next));
                    match reader.record(lsn) {
                        Ok(found) => assert_eq!(serial(&found), lsn.0),
                        Err(cage_wal::ReadError::NotDurable { .. }) => assert!(lsn > durable),
                        Err(error) => panic!("{error}"),
                    }
                }
                assert!(next == 1 || serial(&reader.record(durable).unwrap()) == durable.0);
            }
            for lsn in 1..next {
                let found = reader.record(Lsn(lsn)).unwrap();
                assert!(found == record(lsn, is_linked(&found)), "record {lsn} with {flush:?}");
            }
            let (mut lsn, mut room, mut chain) =
                (Lsn::FIRST, Vec::new(), ChainHash::genesis(LogId(0xC0FFEE)));
            while lsn.0 < next {
                let frame = reader.frame(lsn, &mut room).unwrap();
                assert_eq!((frame.first_lsn, frame.previous_chain), (lsn, chain), "frame after frame");
                (lsn, chain) = (frame.last_lsn.next(), frame.chain);
            }
            assert!(reader.record(Lsn(0)).is_err() && reader.record(Lsn(next)).is_err());
            log.close();
        }
    }
}

/// B4.17.
#[test]
fn a_second_writer_is_refused() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (log, _) = Log::on(directory(home.path()), options(), 1);
    let second: Result<_, Failed> = recover(home.path(), |_| Ok(()));
    assert!(matches!(second, Err(RecoveryError::Locked { .. })), "{second:?}");
    scan(home.path(), Limits::default(), |_| Ok::<_, ()>(())).expect("a reader needs no lock");
    log.close();
    recover_all(directory(home.path())).expect("after the close it is free");

    let disk = SimDisk::new();
    let (_log, _) = Log::on(disk.clone(), options(), 1);
    assert!(matches!(recover_all(disk), Err(RecoveryError::Locked { .. })));
}

#[test]
fn a_scan_can_begin_in_the_middle_and_stop_early() {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    write_frames(&mut log, &[50; 40]);
    log.close();
    for from in (1..=2000).step_by(97) {
        let limits = Limits { from: Lsn(from), until: Some(Lsn(from + 60)), ..Limits::default() };
        let mut seen = Vec::new();
        let report = scan_from(&disk, limits, |frame| {
            seen.extend(frame.records().map(serial));
            Ok::<_, ()>(())
        })
        .unwrap();
        assert!(seen.first() <= Some(&from) && seen.last() >= Some(&(from + 60).min(2000)));
        assert_eq!(report.complete, from + 60 > 2000);
    }
    // Segments that were archived away are not missed by a scan that begins after them.
    disk.take("0000000000000001.wal");
    assert!(scan_from(&disk, Limits::default(), |_| Ok::<_, ()>(())).is_err());
    assert!(scan_from(&disk, Limits::from(Lsn(1)), |_| Ok::<_, ()>(())).is_err());
    let report = scan_from(&disk, Limits::from(Lsn(1500)), |_| Ok::<_, ()>(())).unwrap();
    assert_eq!(report.next_lsn, Lsn(2001));
}

#[test]
fn a_visitor_can_stop_the_recovery_with_its_own_error() {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    write_frames(&mut log, &[3, 4]);
    log.close();
    let stopped = scan_from(&disk, Limits::default(), |frame| match frame.first_lsn {
        Lsn(4) => Err("enough"),
        _ => Ok(()),
    });
    assert!(matches!(stopped, Err(RecoveryError::Visit { lsn: Lsn(4), source: "enough" })));
}

/// B4.10.
#[test]
fn spare_segments_are_ready_ahead_and_used_after_a_restart() {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    write_frames(&mut log, &[64]);
    log.close();
    let numbers = |disk: &SimDisk| disk.list().unwrap().iter().filter(|f| f.name.ends_with(".wal")).count();
    let before = numbers(&disk);
    assert!((1..=4).contains(&before), "the one in use, and at most three ahead: {before}");
    for epoch in 2..20 {
        let (log, _) = Log::on(disk.clone(), options(), epoch);
        log.close();
    }
    assert!(numbers(&disk) <= 19 + 3, "each open takes one segment: {}", numbers(&disk));
    assert!(
        disk.list().unwrap().iter().all(|file| !file.name.ends_with(".tmp")),
        "nothing is left half made"
    );
}

/// B4.7.
#[test]
fn an_epoch_is_not_used_twice() {
    let disk = SimDisk::new();
    let (log, _) = Log::on(disk.clone(), options(), 1);
    log.close();
    let (recovered, _) = recover_all(disk).unwrap();
    assert!(recovered.open(options(), identity(1), cage_wal::Callbacks::none()).is_err());
    let random = Identity::from_os().unwrap();
    assert_ne!(random.epoch, Identity::from_os().unwrap().epoch);
}

#[test]
fn options_outside_the_format_are_refused() {
    let good = LogOptions::new(1, TRAITS);
    let bad = [
        LogOptions { segment_bytes: 60 * 1024, ..good },
        LogOptions { segment_bytes: (64 << 10) + 512, ..good },
        LogOptions { ready_segments: 0, ..good },
        LogOptions { ring_records: 63, ..good },
        LogOptions { flush_bytes_max: 4096, ..good },
    ];
    for options in bad {
        let (recovered, _) = recover_all(SimDisk::new()).unwrap();
        assert!(recovered.open(options, identity(1), cage_wal::Callbacks::none()).is_err(), "{options:?}");
    }
}

/// B4.1.
#[test]
fn a_value_is_released_only_when_its_record_is_durable() {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk, options(), 1);
    let none = log.handle.durable();
    let lsn = log.append(&[record(1, false)]).unwrap();
    let waiting = Appended::new(lsn, "answer").release(none).unwrap_err();
    assert_eq!(waiting.lsn(), lsn);
    log.flush().unwrap();
    assert_eq!(waiting.release(log.handle.durable()).unwrap(), "answer");
}

/// What a client was shown before a restart can be compared after it, in any segment; a hash of elsewhere or an LSN
/// inside a frame is not taken for a chain of this log.
#[test]
fn the_chain_after_every_frame_is_known_for_ever() {
    let disk = SimDisk::new();
    let mut ends = Vec::new();
    for epoch in 1..=2 {
        let (mut log, _) = Log::on(disk.clone(), options(), epoch);
        for size in [1, 5, 190, 40, 1, 100] {
            write_frames(&mut log, &[size]);
            let (lsn, chain) = log.handle.chain_head();
            assert_eq!(log.handle.recent_chain(lsn), Some(chain));
            ends.push((lsn, chain));
        }
        let since = log.handle.recent_frames(ends[ends.len() - 3].0).expect("young frames");
        assert_eq!(
            since.iter().map(|end| (end.last_lsn, end.chain)).collect::<Vec<_>>(),
            ends[ends.len() - 2..]
        );
        log.close();
    }
    let (log, _) = Log::on(disk, options(), 3);
    let mut reader = log.handle.reader();
    for (index, (lsn, chain)) in ends.iter().enumerate() {
        assert!(reader.knows_chain(*lsn, *chain).unwrap(), "{lsn}");
        let (_, other) = ends[(index + 1) % ends.len()];
        assert!(!reader.knows_chain(*lsn, other).unwrap(), "{lsn}");
    }
    assert!(!reader.knows_chain(Lsn(3), ends[1].1).unwrap(), "no frame ends there");
    assert!(reader.knows_chain(Lsn::ZERO, ChainHash::genesis(log.handle.log_id())).unwrap());
    assert!(reader.knows_chain(log.handle.durable().get().next(), ends[0].1).is_err(), "not durable");
}
