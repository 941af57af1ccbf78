//! Keeps the control file up to date, beside the flusher and never in its way.
//!
//! In: the head of the durable log, every few milliseconds. Out: a slot that recovery compares the log with.
//! Never here: anything that an acknowledgement waits for.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    error::{LogFault, StorageError},
    format::{CONTROL_BYTES, ControlSlot, PAGE_BYTES, SegmentHeader, segment_name},
    lsn::{ChainHash, Epoch, LogId, Lsn, Position},
    read::{Anchor, CONTROL_NAME},
    storage::{AlignedBuffer, Directory, DurableFile, FlushStrategy, Lock, Storage},
};

use super::shared::{Head, Shared};

/// The control file is written through the page cache, whatever the segments do: it is read back by
/// everybody.
const STRATEGY: FlushStrategy = FlushStrategy::PwriteDsync;
/// The control file until it holds its first slot.
const TEMPORARY_NAME: &str = "control.tmp";

/// The control file, open.
#[derive(Debug)]
pub(super) struct ControlFile {
    file: Box<dyn DurableFile>,
    page: AlignedBuffer,
    log: LogId,
    epoch: Epoch,
    wall_clock_ns: fn() -> u64,
    next_sequence: u64,
    written: Option<Lsn>,
}

impl ControlFile {
    /// Opens (or creates) the control file and marks the log as open. From here on it is not "closed in
    /// order".
    pub(super) fn open(
        storage: &dyn Storage,
        newest: Option<&ControlSlot>,
        log: LogId,
        epoch: Epoch,
        head: &Head,
        wall_clock_ns: fn() -> u64,
    ) -> Result<Self, StorageError> {
        let name = if newest.is_some() { CONTROL_NAME } else { TEMPORARY_NAME };
        if newest.is_none() {
            storage.allocate(name, CONTROL_BYTES, STRATEGY, &AtomicBool::new(false))?;
        }
        let mut control = Self {
            file: storage.open_write(name, STRATEGY)?,
            page: AlignedBuffer::new(PAGE_BYTES),
            log,
            epoch,
            wall_clock_ns,
            next_sequence: newest.map_or(1, |slot| slot.sequence + 1),
            written: None,
        };
        control.write(head, false).map_err(|error| StorageError::new("write", name, error))?;
        if newest.is_none() {
            storage.rename(name, CONTROL_NAME)?;
        }
        Ok(control)
    }

    fn write(&mut self, head: &Head, clean: bool) -> std::io::Result<()> {
        let slot = ControlSlot {
            log: self.log,
            epoch: self.epoch,
            sequence: self.next_sequence,
            durable_lsn: head.lsn,
            chain: head.chain,
            end: head.end,
            time_ns: (self.wall_clock_ns)(),
            clean,
        };
        self.page.copy_from_slice(&slot.encode());
        self.file.write_durable(slot.offset(), &self.page)?;
        self.next_sequence += 1;
        self.written = Some(head.lsn);
        Ok(())
    }

    /// Both slots say that the log was closed in order, so that damage to either is noticed.
    pub(super) fn write_clean(&mut self, shared: &Shared, lock: &dyn Lock) -> Result<(), LogFault> {
        shared.check_lock(lock)?;
        let head = shared.head();
        self.write(&head, true)
            .and_then(|()| self.write(&head, true))
            .map_err(|error| LogFault::Control { reason: error.to_string() })?;
        shared.counters.witnessed.store(head.lsn.0, Ordering::Relaxed);
        Ok(())
    }

    fn run(
        &mut self,
        shared: &Shared,
        lock: &dyn Lock,
        interval: Duration,
        stop: &Receiver<()>,
    ) -> Result<(), LogFault> {
        while stop.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            // Also while nothing is written: a writer whose lock is gone has to know it before it writes.
            shared.check_lock(lock)?;
            let head = shared.head();
            if shared.fault().is_none() && self.written != Some(head.lsn) {
                self.write(&head, false).map_err(|error| LogFault::Control { reason: error.to_string() })?;
                shared.counters.witnessed.store(head.lsn.0, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Begins the directory of a log that is put together from copies: gives it a control file which says that the log was
/// durable up to the last of `segments` whose header can be read, for headers are written after that, or up to the place
/// after which the log was proven, if that lies behind it. So the slot belongs to the process whose segments come after
/// it, as each slot does.
///
/// # Errors
/// There is no place to begin at, or the operating system refuses.
pub fn begin_restored(
    to: &Directory,
    log: &dyn Storage,
    segments: &[u64],
    proven: Option<(Anchor, Epoch)>,
) -> Result<(), StorageError> {
    let (anchor, epoch) = match last_beginning(log, segments) {
        Some(found) if proven.is_none_or(|(anchor, _)| anchor.end.segment <= found.0.end.segment) => found,
        _ => proven.map_or_else(|| beginning(log), Ok)?,
    };
    let head = Head { lsn: anchor.lsn, chain: anchor.chain, end: anchor.end };
    ControlFile::open(to, None, anchor.log, epoch, &head, wall_clock_ns).map(drop)
}

/// The place before the last segment whose header can be read.
fn last_beginning(log: &dyn Storage, segments: &[u64]) -> Option<(Anchor, Epoch)> {
    let header = segments.iter().rev().find_map(|number| header(log, *number).ok())?;
    Some((before(&header), header.epoch))
}

/// The place before the first segment.
fn beginning(log: &dyn Storage) -> Result<(Anchor, Epoch), StorageError> {
    header(log, 1).map(|header| (before(&header), header.epoch))
}

/// What a segment's header says of the log before it.
fn before(header: &SegmentHeader) -> Anchor {
    let (log, lsn) = (header.log, header.first_lsn.previous());
    match header.segment {
        1 => Anchor { log, lsn, chain: ChainHash::genesis(log), end: Position::default() },
        number => Anchor {
            log,
            lsn,
            chain: header.previous_chain,
            end: Position { segment: number - 1, offset: header.previous_end },
        },
    }
}

fn header(log: &dyn Storage, number: u64) -> Result<SegmentHeader, StorageError> {
    let name = segment_name(number);
    let mut page = [0; PAGE_BYTES];
    let read = log.open_read(&name)?.read_exact_at(0, &mut page);
    read.map_err(|error| StorageError::new("read", &name, error))?;
    SegmentHeader::decode(&page).map_err(|fault| {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, fault.to_string());
        StorageError::new("use", &name, error)
    })
}

/// The thread that owns the control file while the log is live.
#[derive(Debug)]
pub(super) struct ControlThread {
    stop: Sender<()>,
    thread: JoinHandle<Option<ControlFile>>,
}

impl ControlThread {
    pub(super) fn start(
        mut control: ControlFile,
        shared: Arc<Shared>,
        lock: Arc<dyn Lock>,
        interval: Duration,
    ) -> Result<Self, StorageError> {
        let (stop, stopped) = channel();
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| control.run(&shared, &*lock, interval, &stopped)));
            match ended.unwrap_or(Err(LogFault::Panicked { thread: "control" })) {
                Ok(()) => Some(control),
                Err(fault) => {
                    shared.latch(fault);
                    None
                }
            }
        };
        let thread = thread::Builder::new()
            .name("wal-control".to_owned())
            .spawn(run)
            .map_err(|error| StorageError::new("start a thread for", CONTROL_NAME, error))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread and gives the control file back, unless writing it has failed.
    pub(super) fn join(self) -> Option<ControlFile> {
        drop(self.stop);
        self.thread.join().ok().flatten()
    }
}

/// Nanoseconds since 1970; for people who look at the files, nothing depends on it.
pub(crate) fn wall_clock_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
