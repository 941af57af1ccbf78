//! What the tests share: records that can be told apart, a log that can be waited for, random choices with a
//! seed.

use std::{
    path::Path,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use cage_wal::{
    Callbacks, Closed, Epoch, Full, Identity, Limits, LogFault, LogHandle, LogId, LogOptions, Lsn, OpenError,
    RECORD_BYTES, Record, RecordTraits, Recovered, RecoveryError, Writer, recover_from,
    storage::{Directory, Storage, sim::SimDisk},
};

/// The tests' records: kind, linked flag, time, serial number, then bytes that follow from the serial number.
pub const TRAITS: RecordTraits = RecordTraits { linked: is_linked, time_ns };

pub fn is_linked(record: &Record) -> bool {
    record[2] == 1
}

pub fn time_ns(record: &Record) -> u64 {
    u64::from_le_bytes(record[8..16].try_into().unwrap())
}

pub fn serial(record: &Record) -> u64 {
    u64::from_le_bytes(record[16..24].try_into().unwrap())
}

pub fn record(serial: u64, linked: bool) -> Record {
    let mut record = [0; RECORD_BYTES];
    record[0..2].copy_from_slice(&0x0123_u16.to_le_bytes());
    record[2] = linked.into();
    record[8..16].copy_from_slice(&(serial * 1000).to_le_bytes());
    record[16..24].copy_from_slice(&serial.to_le_bytes());
    let mut random = Random::new(serial);
    record[24..].fill_with(|| random.next() as u8);
    record
}

/// `count` records from `first` on, linked to each other.
pub fn run(first: u64, count: u64) -> Vec<Record> {
    (0..count).map(|index| record(first + index, index + 1 < count)).collect()
}

/// Small segments, so that every test crosses several; the control file only at open and close.
pub fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 64 * 1024,
        ring_records: 2048,
        control_interval: Duration::from_secs(3600),
        ..LogOptions::new(7, TRAITS)
    }
}

pub fn identity(epoch: u64) -> Identity {
    Identity { epoch: Epoch(epoch), new_log: LogId(0xC0FFEE) }
}

/// A live log whose durability can be waited for.
pub struct Log {
    pub writer: Writer,
    pub handle: LogHandle,
    news: Receiver<News>,
    pub durable: Lsn,
}

#[derive(Debug)]
enum News {
    Durable(Lsn),
    Fault(LogFault),
}

impl Log {
    pub fn open(recovered: Recovered, options: LogOptions, epoch: u64) -> Self {
        Self::try_open(recovered, options, epoch).expect("the log opens")
    }

    pub fn try_open(recovered: Recovered, options: LogOptions, epoch: u64) -> Result<Self, OpenError> {
        let (send, news) = channel();
        let fault = send.clone();
        let callbacks = Callbacks {
            on_durable: Box::new(move |durable| drop(send.send(News::Durable(durable.get())))),
            on_fault: Box::new(move |reason| drop(fault.send(News::Fault(reason.clone())))),
        };
        let (writer, handle) = recovered.open(options, identity(epoch), callbacks)?;
        let durable = handle.durable().get();
        Ok(Self { writer, handle, news, durable })
    }

    pub fn on(storage: impl Storage, options: LogOptions, epoch: u64) -> (Self, Vec<Record>) {
        let (recovered, records) = recover_all(storage).expect("the log recovers");
        (Self::open(recovered, options, epoch), records)
    }

    /// Appends a run (or a single record), waiting for room if need be.
    pub fn append(&mut self, records: &[Record]) -> Result<Lsn, LogFault> {
        loop {
            match self.writer.append_linked(records) {
                Ok(lsn) => return Ok(lsn),
                Err(Full) => {
                    self.writer.publish();
                    self.hear()?;
                }
            }
        }
    }

    /// Waits until everything appended is durable.
    pub fn flush(&mut self) -> Result<Lsn, LogFault> {
        self.writer.publish();
        while self.durable < self.writer.next_lsn().previous() {
            self.hear()?;
        }
        Ok(self.durable)
    }

    fn hear(&mut self) -> Result<(), LogFault> {
        match self.news.recv_timeout(Duration::from_secs(20)).expect("the flusher says something") {
            News::Durable(lsn) => {
                assert!(lsn > self.durable, "the durable LSN rises");
                self.durable = lsn;
                Ok(())
            }
            News::Fault(fault) => Err(fault),
        }
    }

    pub fn close(self) -> Closed {
        self.writer.close().expect("the log closes")
    }
}

pub type Failed = RecoveryError<std::convert::Infallible>;

pub fn recover_all(storage: impl Storage) -> Result<(Recovered, Vec<Record>), Failed> {
    let mut records = Vec::new();
    let recovered = recover_from(storage, Limits::default(), |frame| {
        records.extend(frame.records().copied());
        Ok(())
    })?;
    Ok((recovered, records))
}

pub fn directory(path: &Path) -> Directory {
    Directory::create(path).expect("the directory can be made")
}

/// What every recovered log of these tests must be: the serial numbers from 1, each record exactly as it was
/// made.
pub fn assert_unbroken(records: &[Record]) {
    for (index, found) in records.iter().enumerate() {
        let expected = record(index as u64 + 1, is_linked(found));
        assert!(*found == expected, "record {} is not what was appended", index + 1);
    }
}

/// Frames of `sizes` records each: every one is flushed before the next is appended.
pub fn write_frames(log: &mut Log, sizes: &[u64]) {
    for size in sizes {
        let first = log.writer.next_lsn().0;
        log.append(&run(first, *size)).unwrap();
        log.flush().unwrap();
    }
}

/// A new simulated log with one session of frames, closed in order.
pub fn closed_log(sizes: &[u64]) -> SimDisk {
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    write_frames(&mut log, sizes);
    log.close();
    disk
}

/// Random numbers that are the same everywhere (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// The seed of a random test: `WAL_SEED`, or the given one. Printed, so that a failure can be repeated.
pub fn seed(default: u64) -> u64 {
    let seed = std::env::var("WAL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(default);
    println!("repeat with WAL_SEED={seed}");
    seed
}
