//! Appending alone: one thread copies records into a ring at a steady rate, another one makes them durable. No
//! checksum, no chain, no segments, nobody who waits.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rtrb::{Consumer, RingBuffer};

use super::{DurableFile, LimitError, PAGE, Pages, histogram, micros};

/// A record of the log, in bytes.
pub const RECORD_BYTES: usize = 256;
/// Records that are appended at a time.
pub const AT_ONCE: usize = 64;
const RING_RECORDS: usize = 32_768;
const FILE_BYTES: u64 = 1 << 30;
const FLUSH_BYTES_MAX: usize = 1 << 20;
/// How long the flusher sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_micros(5);

/// What a run measured: how long [`AT_ONCE`] records took, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct AppendRun {
    /// The 99th percentile.
    pub p99_micros: f64,
    /// The 99.9th percentile.
    pub p99_9_micros: f64,
    /// The longest.
    pub max_micros: f64,
}

/// Calls `append` for [`AT_ONCE`] records at a time so that it comes to `per_second` records, for `time`, and tells
/// how long the calls took.
///
/// # Errors
/// What `append` says.
pub fn paced(
    per_second: f64,
    time: Duration,
    mut append: impl FnMut() -> Result<(), LimitError>,
) -> Result<AppendRun, LimitError> {
    let every = Duration::from_secs_f64(AT_ONCE as f64 / per_second);
    let (mut times, begin) = (histogram()?, Instant::now());
    let mut due = begin;
    while due < begin + time {
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let one = Instant::now();
        append()?;
        times.record(u64::try_from(one.elapsed().as_nanos())?)?;
        due += every;
    }
    Ok(AppendRun {
        p99_micros: micros(&times, 0.99),
        p99_9_micros: micros(&times, 0.999),
        max_micros: times.max() as f64 / 1e3,
    })
}

/// Appends `per_second` records a second for `time`, durable in a file in `dir`.
///
/// # Errors
/// What the operating system says.
pub fn run(dir: &Path, per_second: f64, time: Duration) -> Result<AppendRun, LimitError> {
    let file = DurableFile::create(dir, FILE_BYTES)?;
    let (mut ring, records) = RingBuffer::new(RING_RECORDS);
    let over = AtomicBool::new(false);
    let run = [[7_u8; RECORD_BYTES]; AT_ONCE];
    thread::scope(|scope| {
        let flusher = scope.spawn(|| flush(file, records, &over));
        let measured = paced(per_second, time, || {
            while ring.push_entire_slice(&run).is_err() {
                if flusher.is_finished() {
                    return Err("the flusher has stopped".into());
                }
                std::hint::spin_loop();
            }
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        flusher.join().map_err(|_| "the flusher panicked")??;
        measured
    })
}

fn flush(
    mut file: DurableFile,
    mut ring: Consumer<[u8; RECORD_BYTES]>,
    over: &AtomicBool,
) -> Result<(), LimitError> {
    let mut pages = Pages::new(FLUSH_BYTES_MAX);
    loop {
        let count = ring.slots().min(FLUSH_BYTES_MAX / RECORD_BYTES);
        if count == 0 {
            if over.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(IDLE);
            continue;
        }
        let records = ring.read_chunk(count)?;
        let (first, second) = records.as_slices();
        let bytes = pages.bytes();
        for (place, record) in bytes.chunks_exact_mut(RECORD_BYTES).zip(first.iter().chain(second)) {
            place.copy_from_slice(record);
        }
        records.commit_all();
        file.append(&bytes[..(count * RECORD_BYTES).next_multiple_of(PAGE)])?;
    }
}
