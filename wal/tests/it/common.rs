//! What the tests share: records that can be told apart, a log that can be waited for, random choices with a
//! seed.

use std::{
    path::Path,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use cage_wal::{
    Callbacks, Closed, Epoch, Full, Identity, Limits, LogFault, LogHandle, LogId, LogOptions, Lsn, OpenError,
    Record, Recovered, RecoveryError, Writer, recover_from,
    storage::{Directory, Storage, sim::SimDisk},
};

pub use cage_campaign::records::{Random, TRAITS, is_linked, record, run, serial, time_ns};

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
            ..Callbacks::none()
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

/// The seed of a random test: `WAL_SEED`, or the given one. Printed, so that a failure can be repeated.
pub fn seed(default: u64) -> u64 {
    let seed = std::env::var("WAL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(default);
    println!("repeat with WAL_SEED={seed}");
    seed
}
