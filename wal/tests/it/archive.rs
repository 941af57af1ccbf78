//! Segments that leave the log's directory: they are read as if they were there, and go only when their copy is proven.

use std::{
    convert::Infallible,
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use cage_wal::{
    ArchiveError, Limits, LogOptions, Lookup, Lsn, ReadError, Record, StorageError,
    archive::{Archive, ArchiveStep},
    scan_from,
    storage::{Directory, Storage, WholeLog},
};
use tempfile::TempDir;

use crate::common::{
    Log, Random, assert_unbroken, closed_log, directory, options, recover_all, seed, serial, write_frames,
};

/// A log in a directory, closed in order, and an archive beside it.
struct Home {
    dir: TempDir,
    log: Directory,
    archive: Archive,
    records: u64,
}

fn segment(number: u64) -> String {
    format!("{number:016x}.wal")
}

fn packed(number: u64) -> String {
    format!("{number:016x}.wal.zst")
}

impl Home {
    /// Some six segments.
    fn written() -> Self {
        Self::written_in(1)
    }

    fn written_in(epoch: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = directory(&dir.path().join("log"));
        let (mut live, _) = Log::on(log.clone(), options(), epoch);
        write_frames(&mut live, &[100; 12]);
        let records = live.close().durable.get().0;
        let archive = Archive::new(Arc::new(directory(&dir.path().join("archive"))));
        Self { dir, log, archive, records }
    }

    fn whole(&self) -> WholeLog {
        WholeLog::new(Arc::new(self.log.clone()), self.archive.clone(), 1)
    }

    /// All records, wherever they are.
    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        scan_from(&self.whole(), Limits::default(), |frame| {
            records.extend(frame.records().copied());
            Ok::<_, Infallible>(())
        })
        .expect("the whole log");
        records
    }

    fn assert_whole(&self) {
        let records = self.records();
        assert_unbroken(&records);
        assert_eq!(records.len() as u64, self.records);
    }

    fn take(&self, number: u64) {
        self.archive.take(&self.log, number, |_| Ok(())).expect("the segment is archived");
    }

    fn path(&self, of: &str) -> std::path::PathBuf {
        self.dir.path().join(of)
    }
}

fn broken_off() -> StorageError {
    StorageError::new("go on with", "the test", io::Error::other("broken off"))
}

#[test]
fn a_log_whose_older_segments_are_archived_reads_as_before() {
    let home = Home::written();
    let before = scan_from(&home.log, Limits::default(), |_| Ok::<_, Infallible>(())).unwrap();
    for number in 1..=4 {
        home.take(number);
        assert!(!home.path("log").join(segment(number)).exists());
        home.assert_whole();
    }
    let after = scan_from(&home.whole(), Limits::default(), |_| Ok::<_, Infallible>(())).unwrap();
    assert_eq!(
        (after.chain_head, after.next_lsn, after.end),
        (before.chain_head, before.next_lsn, before.end)
    );
    assert_eq!(home.archive.segments().unwrap(), [1, 2, 3, 4]);
    let alone = scan_from(&home.log, Limits::default(), |_| Ok::<_, Infallible>(()))
        .expect_err("without its archive");
    assert!(alone.to_string().contains("segment"), "{alone}");
}

#[test]
fn a_live_log_gives_back_records_that_were_archived_before_or_meanwhile() {
    let home = Home::written();
    home.take(1);
    home.take(2);
    // From the third segment on; what lies before is known from elsewhere.
    let report = scan_from(&home.whole(), Limits::default(), |_| Ok::<_, Infallible>(())).unwrap();
    let whole = WholeLog::new(Arc::new(home.log.clone()), home.archive.clone(), u64::MAX);
    let recovered =
        cage_wal::recover_from(whole, Limits::from(Lsn(report.next_lsn.0 - 1)), |_| Ok::<_, Infallible>(()))
            .unwrap();
    let mut live = Log::open(recovered, options(), 2);
    let mut reader = live.handle.reader();
    let expected = home.records();
    let mut read = |lsn: u64| reader.record(Lsn(lsn)).expect("a durable record");
    for lsn in 1..=home.records {
        assert_eq!(read(lsn), expected[lsn as usize - 1], "LSN {lsn}");
    }
    // A reader may have the segment open, or not.
    home.take(3);
    home.take(4);
    let mut fresh = live.handle.reader();
    for lsn in 1..=home.records {
        assert_eq!(read(lsn), expected[lsn as usize - 1], "LSN {lsn}");
        assert_eq!(fresh.record(Lsn(lsn)).expect("a durable record"), expected[lsn as usize - 1]);
    }
    write_frames(&mut live, &[10]);
    live.close();
}

/// B4.15.
#[test]
fn wherever_archiving_is_broken_off_nothing_is_lost_and_the_next_attempt_goes_on() {
    for stop in ArchiveStep::ALL {
        let home = Home::written();
        let stopped =
            home.archive.take(&home.log, 1, |step| if step == stop { Err(broken_off()) } else { Ok(()) });
        assert!(matches!(stopped, Err(ArchiveError::Storage(_))), "{stop:?}");
        assert!(home.path("log").join(segment(1)).exists(), "{stop:?}: it is the last step that removes");
        home.assert_whole();
        // A crash may leave any part of an unfinished copy.
        let unfinished = home.path("archive").join(format!("{}.tmp", packed(1)));
        if unfinished.exists() {
            fs::write(&unfinished, b"cut off").unwrap();
        }
        home.take(1);
        home.assert_whole();
        assert!(!home.path("log").join(segment(1)).exists());
    }
}

/// B4.15.
#[test]
fn a_segment_stays_if_its_copy_is_not_what_was_packed() {
    let home = Home::written();
    let temporary = home.path("archive").join(format!("{}.tmp", packed(1)));
    let raw = fs::read(home.path("log").join(segment(1))).unwrap();
    let length = {
        let _ = home.archive.take(&home.log, 1, |step| match step {
            ArchiveStep::ReadBack => Err(broken_off()),
            _ => Ok(()),
        });
        fs::metadata(&temporary).unwrap().len()
    };
    let mut random = Random::new(seed(3));
    for _ in 0..60 {
        let at = random.below(length) as usize;
        let bit = 1 << random.below(8);
        let damaged = |step| {
            if step == ArchiveStep::ReadBack {
                let mut bytes = fs::read(&temporary).unwrap();
                bytes[at] ^= bit;
                fs::write(&temporary, bytes).unwrap();
            }
            if step == ArchiveStep::Publish {
                // zstd has a few bits that say nothing: then it unpacks to the segment all the same.
                let unpacked = zstd::stream::decode_all(&fs::read(&temporary).unwrap()[..]);
                assert!(
                    at >= 256 && unpacked.is_ok_and(|unpacked| unpacked == raw),
                    "byte {at} was believed"
                );
                return Err(broken_off());
            }
            Ok(())
        };
        home.archive.take(&home.log, 1, damaged).expect_err("a damaged copy");
        assert!(home.path("log").join(segment(1)).exists());
    }
    // A copy that rotted after it got its name, before the segment was removed.
    let _ = home.archive.take(&home.log, 1, |step| match step {
        ArchiveStep::Remove => Err(broken_off()),
        _ => Ok(()),
    });
    flip(&home.path("archive").join(packed(1)), 5_000);
    home.archive.take(&home.log, 1, |_| Ok(())).expect_err("a damaged copy");
    assert!(home.path("log").join(segment(1)).exists());
    home.assert_whole();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// B4.15.
#[test]
fn a_damaged_segment_is_never_archived() {
    let home = Home::written();
    let path = home.path("log").join(segment(1));
    let good = fs::read(&path).unwrap();
    let mut random = Random::new(seed(4));
    for _ in 0..60 {
        flip(&path, random.below(good.len() as u64) as usize);
        let refused = home.archive.take(&home.log, 1, |_| Ok(())).expect_err("a damaged segment");
        assert!(matches!(refused, ArchiveError::Corruption(_)), "{refused}");
        assert!(home.archive.segments().unwrap().is_empty());
        fs::write(&path, &good).unwrap();
    }
    home.take(1);
}

#[test]
fn the_archive_of_another_log_takes_nothing_away() {
    let (home, mut other) = (Home::written(), Home::written_in(2));
    home.take(1);
    other.archive = home.archive;
    let refused = other.archive.take(&other.log, 1, |_| Ok(())).expect_err("another segment's copy");
    assert!(matches!(refused, ArchiveError::Differs { .. }), "{refused}");
    assert!(other.path("log").join(segment(1)).exists());
}

#[test]
fn every_byte_of_an_archived_segment_is_vouched_for() {
    let home = Home::written();
    let raw = fs::read(home.path("log").join(segment(1))).unwrap();
    home.take(1);
    let path = home.path("archive").join(packed(1));
    let good = fs::read(&path).unwrap();
    let unpacked = zstd::stream::decode_all(&good[..]).expect("what any program for zstd reads");
    assert!(unpacked == raw, "and what it reads is the segment");
    // All of the header and of the table, and places all over the rest.
    let everywhere = (0..300).chain(good.len() - 80..good.len()).chain((300..good.len() - 80).step_by(37));
    let mut found = 0;
    for at in everywhere {
        flip(&path, at);
        match home.archive.load(1) {
            Ok(content) => assert!(content[..] == raw[..], "byte {at}"),
            Err(_) => found += 1,
        }
        fs::write(&path, &good).unwrap();
    }
    assert!(found > 1_000, "{found}");
    for length in [0, 1, 255, 256, 5_000, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(home.archive.load(1).is_err(), "{length} bytes of it");
    }
    fs::write(&path, &good).unwrap();
    fs::rename(&path, home.path("archive").join(packed(7))).unwrap();
    assert!(home.archive.load(7).is_err(), "another one's name");
}

/// B4.15. Every bit, so that a byte which nothing covers cannot hide. A few bits of a zstd frame say nothing to whoever
/// unpacks it: with one of these the segment is given back as it was.
#[test]
fn no_flipped_bit_of_an_archived_segment_changes_it_unnoticed_and_every_cut_is_found() {
    let disk = closed_log(&[3]);
    Log::on(disk.clone(), options(), 2).0.close();
    let raw = disk.bytes_of(&segment(1)).expect("a sealed segment");
    let (folder, name) = (disk.folder("archive"), packed(1));
    let archive = Archive::new(Arc::new(folder.clone()));
    archive.take(&disk, 1, |_| Ok(())).expect("the segment is archived");
    let good = folder.bytes_of(&name).expect("its copy");
    let (mut found, mut harmless) = (0, 0);
    for at in 0..good.len() {
        for bit in 0..8 {
            folder.edit(&name, |bytes| bytes[at] ^= 1 << bit);
            match archive.load(1) {
                Err(_) => found += 1,
                Ok(content) => {
                    assert!(content[..] == raw[..], "byte {at}, bit {bit}: another segment");
                    harmless += 1;
                }
            }
            folder.edit(&name, |bytes| bytes[at] = good[at]);
        }
    }
    println!("{} bits: {found} found, {harmless} say nothing", good.len() * 8);
    assert_eq!(found + harmless, good.len() * 8);
    assert!(good.len() > 1_000 && harmless < 16, "{harmless} of {} bits say nothing", good.len() * 8);
    for length in 0..good.len() {
        folder.put(&name, good[..length].to_vec());
        assert!(archive.load(1).is_err(), "{length} bytes of it");
    }
    folder.put(&name, [&good[..], &[0]].concat());
    assert!(archive.load(1).is_err(), "a byte too many");
    folder.put(&name, good);
    assert!(archive.load(1).expect("the copy")[..] == raw[..]);
}

#[test]
fn a_recovery_over_the_archive_opens_and_goes_on() {
    let home = Home::written();
    for number in 1..=3 {
        home.take(number);
    }
    let (recovered, records) = recover_all(home.whole()).expect("the whole log");
    assert_unbroken(&records);
    let mut live = Log::open(recovered, options(), 5);
    write_frames(&mut live, &[7]);
    live.close();
    assert_eq!(home.records().len() as u64, home.records + 7);
    assert!(home.whole().archive().is_some());
}

#[test]
fn a_log_is_looked_into_at_any_record_as_if_all_of_it_had_been_read() {
    let home = Home::written();
    (1..=3).for_each(|number| home.take(number));
    let records = home.records();
    // Only what is hot is listed: the archive is asked when a record lies there.
    let hot = || WholeLog::new(Arc::new(home.log.clone()), home.archive.clone(), u64::MAX);
    let mut log = Lookup::open(hot()).expect("the log").expect("there is one");
    assert_eq!(log.next_lsn().0, home.records + 1);
    for (lsn, record) in (1..).zip(&records) {
        assert_eq!(log.record(Lsn(lsn)).expect("the record"), *record, "record {lsn}");
    }
    for absent in [0, home.records + 1] {
        assert!(matches!(log.record(Lsn(absent)), Err(ReadError::Absent { .. })));
    }
    let mut random = Random::new(seed(1));
    for _ in 0..60 {
        let (divisor, after) = (random.below(2 * home.records) + 1, random.below(home.records));
        let wanted = |record: &Record| serial(record).is_multiple_of(divisor);
        let by_scan =
            (after + 1..=home.records).rev().find(|lsn| wanted(&records[*lsn as usize - 1])).map(Lsn);
        assert_eq!(
            log.newest(Lsn(after), wanted).expect("a look"),
            by_scan,
            "each {divisor}th after {after}"
        );
    }
}

/// Sixteen megabytes in one segment: more than is read at a time.
#[test]
fn a_record_is_found_from_the_end_of_a_long_segment_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let long = LogOptions { segment_bytes: 32 << 20, ..options() };
    let (mut live, _) = Log::on(directory(dir.path()), long, 1);
    let mut random = Random::new(seed(2));
    let sizes: Vec<_> = (0..640).map(|_| random.below(190) + 1).collect();
    write_frames(&mut live, &sizes);
    let records: u64 = sizes.iter().sum();
    let log = Lookup::open(directory(dir.path())).expect("the log").expect("there is one");
    assert_eq!(log.next_lsn(), Lsn(records + 1));
    let picked = (0..12).map(|_| random.below(records) + 1);
    for wanted in picked.chain([1, records]) {
        let found = log.newest(Lsn(0), |record| serial(record) == wanted).expect("a look");
        assert_eq!(found, Some(Lsn(wanted)));
        let after = log.newest(Lsn(wanted), |record| serial(record) == wanted).expect("a look");
        assert_eq!(after, None, "it does not lie after itself");
    }
    let seen = Mutex::new(Vec::new());
    log.newest(Lsn(0), |record| {
        seen.lock().unwrap().push(serial(record));
        false
    })
    .expect("a look");
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (1..=records).collect::<Vec<_>>(), "each record is looked at once");
}

#[test]
fn a_look_into_a_log_that_grows_ends_with_a_whole_frame() {
    let dir = tempfile::tempdir().unwrap();
    let (mut live, _) = Log::on(directory(dir.path()), options(), 1);
    assert!(Lookup::open(directory(dir.path())).expect("a log").is_some());
    let mut written = 0;
    for size in [1, 5, 100, 3, 190, 7] {
        write_frames(&mut live, &[size]);
        written += size;
        let mut log = Lookup::open(directory(dir.path())).expect("the log").expect("there is one");
        assert_eq!(log.next_lsn(), Lsn(written + 1));
        assert_eq!(serial(&log.record(Lsn(written)).expect("the last record")), written);
    }
    // A frame that was cut off is none. What the control file says was durable has to be there.
    live.close();
    let last = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path());
    let mut segments: Vec<_> = last.filter(|path| path.extension().is_some_and(|end| end == "wal")).collect();
    segments.sort();
    let used = |path: &&std::path::PathBuf| fs::read(path).unwrap()[4096] != 0;
    let path = segments.iter().rev().find(used).expect("a segment with frames");
    let mut bytes = fs::read(path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 8] ^= 1;
    fs::write(path, bytes).unwrap();
    let mut log = Lookup::open(directory(dir.path())).expect("the log").expect("there is one");
    assert!(
        matches!(log.record(Lsn(written)), Err(ReadError::Corruption(_))),
        "the record is not what was written"
    );
    assert!(
        matches!(log.newest(Lsn(0), |_| true), Err(ReadError::Corruption(_))),
        "nor does a search pass it over"
    );
}
