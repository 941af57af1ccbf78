//! Engine and log together: the sequencer on one thread, the flusher on another, no network.

use std::path::Path;
use std::time::{Duration, Instant};

use cage::admission::{Item, Ticket};
use cage::recovery;
use cage::sequencer::{LogFull, Sequencer};
use cage_engine::{Admitted, Settings, Timestamp};
use cage_wal::{Callbacks, FlushStrategy, Identity};

use crate::limits::quic::LimitError;
use crate::workload::{Mix, Workload};

/// What a run measured.
#[derive(Clone, Copy, Debug)]
pub struct LogRun {
    /// Requests decided and durable a second.
    pub per_second: f64,
    /// Bytes made durable a second.
    pub bytes_per_second: f64,
    /// Flushes a second.
    pub flushes_per_second: f64,
    /// The mean time of a flush, in microseconds.
    pub flush_micros: f64,
}

/// Requests per batch, as a busy session hands them over.
const BATCH: usize = 512;

/// Runs `mix` for `time` with a log in `dir`.
///
/// # Errors
/// What goes wrong with the log.
pub fn run(
    dir: &Path,
    mix: Mix,
    players: u32,
    flush: FlushStrategy,
    time: Duration,
) -> Result<LogRun, LimitError> {
    let (state, recovered) = recovery::recover(dir, None)?;
    let mut options = recovery::log_options();
    options.flush = flush;
    let (writer, log) = recovered.open(options, Identity::from_os()?, Callbacks::none())?;
    let mut sequencer = Sequencer::new(state, writer);
    let mut workload = Workload::new(mix, players, 0x5eed);
    let now = Timestamp(1_700_000_000_000_000_000);
    let settings = Settings { ids_capacity: 16 << 20, ids_retention_millis: 0, ..Settings::DEFAULT };
    sequencer.configure(now, settings).map_err(|code| code.name())?;
    let setup: Vec<_> = workload.setup(settings, now).skip(1).map(ticket).collect();
    for batch in setup.chunks(BATCH) {
        step(&mut sequencer, now, batch);
    }
    let before = log.stats();
    let (begin, mut done, mut batch) = (Instant::now(), 0_u64, Vec::with_capacity(BATCH));
    while begin.elapsed() < time {
        let now = Timestamp(now.0 + done * 1_000);
        batch.clear();
        batch.extend((0..BATCH).map(|_| ticket(workload.next(now))));
        step(&mut sequencer, now, &batch);
        done += BATCH as u64;
    }
    let end = sequencer.state().next_lsn().0 - 1;
    while log.durable().get().0 < end {
        std::thread::yield_now();
    }
    let seconds = begin.elapsed().as_secs_f64();
    let after = log.stats();
    let flushes = (after.flushes - before.flushes) as f64;
    Ok(LogRun {
        per_second: done as f64 / seconds,
        bytes_per_second: (after.bytes - before.bytes) as f64 / seconds,
        flushes_per_second: flushes / seconds,
        flush_micros: (after.flush_ns - before.flush_ns) as f64 / flushes / 1e3,
    })
}

const fn ticket(admitted: Admitted) -> Ticket {
    Ticket { tag: 0, linked: false, item: Item::Operation(admitted) }
}

fn step(sequencer: &mut Sequencer, now: Timestamp, batch: &[Ticket]) {
    loop {
        match sequencer.step(now, batch) {
            Ok(replies) => {
                std::hint::black_box(replies.lsn());
                return sequencer.publish();
            }
            Err(LogFull) => {
                sequencer.publish();
                std::thread::yield_now();
            }
        }
    }
}
