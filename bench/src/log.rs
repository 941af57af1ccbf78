//! Engine and log together, no network: the sequencer on one thread, the flusher on another. And the log alone.

use std::path::Path;
use std::time::{Duration, Instant};

use cage::admission::{Item, Ticket};
use cage::data::DataDir;
use cage::recovery::{self, Recovery};
use cage::sequencer::{LogFull, Sequencer};
use cage_engine::{Admitted, Settings, Timestamp};
use cage_wal::{Callbacks, FlushStrategy, Identity, LogHandle, LogOptions, RecordTraits, Writer};

use crate::limits::LimitError;
use crate::limits::append::{AT_ONCE, AppendRun, RECORD_BYTES, paced};
use crate::workload::{Funds, Mix, Workload};

/// What a run measured.
#[derive(Clone, Copy, Debug)]
pub struct LogRun {
    /// Records durable a second.
    pub per_second: f64,
    /// Bytes made durable a second.
    pub bytes_per_second: f64,
    /// The mean length of a flush, in bytes.
    pub flush_bytes: f64,
    /// The mean time of a flush, in microseconds.
    pub flush_micros: f64,
}

/// A ledger and what is done with it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which requests.
    pub mix: Mix,
    /// Of how many players.
    pub players: u32,
    /// Where their money comes from.
    pub funds: Funds,
    /// Ids that are remembered.
    pub ids_capacity: u64,
    /// Seconds that they are remembered at least.
    pub ids_retention_seconds: u64,
}

impl Plan {
    fn settings(&self) -> Settings {
        Settings {
            ids_capacity: self.ids_capacity,
            ids_retention_millis: self.ids_retention_seconds * 1_000,
            ..Settings::DEFAULT
        }
    }
}

/// Requests per batch, as a busy session hands them over.
const BATCH: usize = 512;
/// When the ledgers of benchmarks begin: long ago, so that a server that opens one finds its clock ahead.
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
/// How long to wait for a flush before looking whether the log has failed.
const DURABLE_WAIT: Duration = Duration::from_millis(100);
/// The time between two requests, in nanoseconds.
const STEP_NANOS: u64 = 1_000;

/// A ledger with its log, and the requests for it.
struct Books {
    sequencer: Sequencer,
    log: LogHandle,
    workload: Workload,
    now: Timestamp,
    batch: Vec<Ticket>,
}

impl Books {
    /// A new ledger with its players.
    fn open(dir: &Path, plan: Plan, flush: FlushStrategy) -> Result<Self, LimitError> {
        let mut books = Self::empty(dir, plan, flush, 0x5eed)?;
        let settings = plan.settings();
        let mut setup = books.workload.setup(settings, plan.funds, START, STEP_NANOS).skip(1);
        while books.fill(&mut setup) {
            books.step();
        }
        Ok(books)
    }

    /// A ledger that is there already, with other requests than those of its beginning.
    fn again(dir: &Path, plan: Plan) -> Result<Self, LimitError> {
        let mut books = Self::empty(dir, plan, FlushStrategy::DirectDsync, 0x5eed + 1)?;
        books.now = books.sequencer.state().clock();
        Ok(books)
    }

    fn empty(dir: &Path, plan: Plan, flush: FlushStrategy, seed: u64) -> Result<Self, LimitError> {
        let Recovery { state, log: recovered, .. } = recovery::recover(&DataDir::new(dir, None), None)?;
        let options = LogOptions { flush, ..recovery::log_options() };
        let (writer, log) = recovered.open(options, Identity::from_os()?, Callbacks::none())?;
        let (workload, batch) = (Workload::new(plan.mix, plan.players, seed), Vec::with_capacity(BATCH));
        let mut books = Self { sequencer: Sequencer::new(state, writer), log, workload, now: START, batch };
        let now = START.max(books.sequencer.state().clock());
        books.sequencer.configure(now, plan.settings()).map_err(|code| code.name())?;
        Ok(books)
    }

    fn fill(&mut self, requests: &mut impl Iterator<Item = Admitted>) -> bool {
        self.batch.clear();
        self.batch.extend(requests.take(BATCH).map(|admitted| Ticket {
            tag: 0,
            linked: false,
            item: Item::Operation(admitted),
        }));
        !self.batch.is_empty()
    }

    /// Does the next requests of the workload; says how many.
    fn play(&mut self) -> u64 {
        let Self { workload, batch, now, .. } = self;
        batch.clear();
        batch.extend((0..BATCH).map(|_| Ticket {
            tag: 0,
            linked: false,
            item: Item::Operation(workload.next(*now)),
        }));
        self.step();
        BATCH as u64
    }

    fn step(&mut self) {
        while let Err(LogFull) = self.sequencer.step(self.now, &self.batch).map(std::hint::black_box) {
            self.sequencer.publish();
            std::thread::yield_now();
        }
        self.sequencer.publish();
        self.now = Timestamp(self.now.0 + self.batch.len() as u64 * STEP_NANOS);
    }

    fn wait_until_durable(&self) -> Result<(), LimitError> {
        wait_until_durable(&self.log, self.sequencer.state().next_lsn().0 - 1)
    }
}

fn wait_until_durable(log: &LogHandle, lsn: u64) -> Result<(), LimitError> {
    while log.durable().get().0 < lsn {
        if let Some(fault) = log.failed() {
            return Err(fault.into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Plays for `time` with a log in `dir`.
///
/// # Errors
/// What goes wrong with the log.
pub fn run(dir: &Path, plan: Plan, flush: FlushStrategy, time: Duration) -> Result<LogRun, LimitError> {
    let mut books = Books::open(dir, plan, flush)?;
    let log = books.log.clone();
    measured(&log, || {
        let (begin, mut done) = (Instant::now(), 0);
        while begin.elapsed() < time {
            done += books.play();
        }
        books.wait_until_durable()?;
        Ok(done)
    })
}

/// Makes a ledger with `requests` of the workload after its players; says how many records its log has.
///
/// # Errors
/// What goes wrong with the log.
pub fn build(dir: &Path, plan: Plan, requests: u64) -> Result<u64, LimitError> {
    let books = Books::open(dir, plan, FlushStrategy::DirectDsync)?;
    play_on(books, requests)
}

/// Goes on with a ledger that is there for `requests` more of the workload; says how many records it has more.
///
/// # Errors
/// What goes wrong with the log.
pub fn go_on(dir: &Path, plan: Plan, requests: u64) -> Result<u64, LimitError> {
    play_on(Books::again(dir, plan)?, requests)
}

fn play_on(mut books: Books, requests: u64) -> Result<u64, LimitError> {
    let mut done = 0;
    while done < requests {
        done += books.play();
    }
    books.wait_until_durable()?;
    let counts = books.sequencer.counts();
    // One that is not taken leaves no record: the log would be shorter than it says.
    let without_effect = counts.refused + counts.unrecorded + counts.repeated;
    if without_effect > 0 {
        return Err(format!("{without_effect} requests moved nothing: {counts:?}").into());
    }
    Ok(books.log.stats().records)
}

fn measured(log: &LogHandle, work: impl FnOnce() -> Result<u64, LimitError>) -> Result<LogRun, LimitError> {
    let (before, begin) = (log.stats(), Instant::now());
    let done = work()?;
    let (seconds, after) = (begin.elapsed().as_secs_f64(), log.stats());
    let flushes = (after.flushes - before.flushes) as f64;
    let bytes = (after.bytes - before.bytes) as f64;
    Ok(LogRun {
        per_second: done as f64 / seconds,
        bytes_per_second: bytes / seconds,
        flush_bytes: bytes / flushes,
        flush_micros: (after.flush_ns - before.flush_ns) as f64 / flushes / 1e3,
    })
}

/// Waits until the log has as many segments ready as it keeps: what is measured afterwards is how it goes on, not that
/// it was opened just now.
fn wait_until_prepared(log: &LogHandle, options: &LogOptions) -> Result<(), LimitError> {
    loop {
        let space = log.space();
        if let Some(failure) = space.failure {
            return Err(failure.into());
        }
        if space.ready_segments >= options.ready_segments as u64 {
            return Ok(());
        }
        std::thread::yield_now();
    }
}

/// A log whose records mean nothing.
fn bare_log(dir: &Path, callbacks: Callbacks) -> Result<(Writer, LogHandle), LimitError> {
    let records = RecordTraits { linked: |_| false, time_ns: |_| 0 };
    let options = LogOptions::new(1, records);
    let recovered = cage_wal::recover(dir, |_| Ok::<_, std::convert::Infallible>(()))?;
    let (writer, log) = recovered.open(options, Identity::from_os()?, callbacks)?;
    wait_until_prepared(&log, &options)?;
    Ok((writer, log))
}

/// Makes frames of `frame_bytes` durable, one after the other, for `time`: the log alone. One frame waits in the ring
/// while the flusher is busy with the one before, so that the flusher never waits for records, and not two, so that frames
/// do not grow. The writer sleeps meanwhile: beside one that spins, on a machine of two processors, even the disk alone is
/// a third slower.
///
/// # Errors
/// What goes wrong with the log.
pub fn frames(dir: &Path, frame_bytes: usize, time: Duration) -> Result<LogRun, LimitError> {
    let writer_thread = std::thread::current();
    let on_durable = Box::new(move |_| writer_thread.unpark());
    let (mut writer, log) = bare_log(dir, Callbacks { on_durable, ..Callbacks::none() })?;
    // One place is the frame's header.
    let records = frame_bytes / RECORD_BYTES - 1;
    let empty = writer.free();
    let run = measured(&log, || {
        let (begin, mut done) = (Instant::now(), 0);
        while begin.elapsed() < time {
            // It is told that a frame is durable, and the flusher takes the next one at once.
            while writer.free() < empty {
                if let Some(fault) = log.failed() {
                    return Err(fault.into());
                }
                std::hint::spin_loop();
            }
            for _ in 0..records {
                writer.append(&[7; RECORD_BYTES])?;
            }
            writer.publish();
            done += records as u64;
            std::thread::park_timeout(DURABLE_WAIT);
        }
        wait_until_durable(&log, writer.next_lsn().previous().0)?;
        Ok(done)
    })?;
    writer.close()?;
    Ok(run)
}

/// Appends `per_second` records a second for `time` and tells how long the writer was held up, segments changing
/// meanwhile; and how many segments were begun.
///
/// # Errors
/// What goes wrong with the log.
pub fn append(dir: &Path, per_second: f64, time: Duration) -> Result<(AppendRun, u64), LimitError> {
    let (mut writer, log) = bare_log(dir, Callbacks::none())?;
    let run = paced(per_second, time, || {
        for _ in 0..AT_ONCE {
            while writer.append(&[7; RECORD_BYTES]).is_err() {
                if let Some(fault) = log.failed() {
                    return Err(fault.into());
                }
                std::hint::spin_loop();
            }
        }
        writer.publish();
        Ok(())
    })?;
    writer.close()?;
    Ok((run, log.stats().rotations))
}
