//! The disk alone: one thread, append and make durable, nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{DurableFile, LimitError, Pages, histogram, micros};

/// What a run measured.
#[derive(Clone, Copy, Debug)]
pub struct DiskRun {
    /// Bytes made durable a second.
    pub bytes_per_second: f64,
    /// The median time of a durable write, in microseconds.
    pub p50_micros: f64,
    /// The 99th percentile, in microseconds.
    pub p99_micros: f64,
}

/// Writes `frame_bytes` (a multiple of 4096) again and again with `O_DIRECT | O_DSYNC` for `time` into a file of
/// `file_bytes` in `dir`.
///
/// # Errors
/// What the operating system says.
pub fn run(dir: &Path, frame_bytes: usize, file_bytes: u64, time: Duration) -> Result<DiskRun, LimitError> {
    let mut file = DurableFile::create(dir, file_bytes)?;
    let (mut frame, mut times) = (Pages::new(frame_bytes), histogram()?);
    let (begin, mut written) = (Instant::now(), 0_u64);
    while begin.elapsed() < time {
        let one = Instant::now();
        file.append(frame.bytes())?;
        times.record(u64::try_from(one.elapsed().as_nanos())?)?;
        written += frame_bytes as u64;
    }
    Ok(DiskRun {
        bytes_per_second: written as f64 / begin.elapsed().as_secs_f64(),
        p50_micros: micros(&times, 0.5),
        p99_micros: micros(&times, 0.99),
    })
}
