//! The disk alone: one thread, append and make durable, nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::fs::{Mode, OFlags};

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

const PAGE: usize = 4096;
const ZEROES: usize = 1 << 20;

/// Writes `frame_bytes` (a multiple of 4096) again and again with `O_DIRECT | O_DSYNC` for `time` into a file of
/// `file_bytes` that was written with zeroes before, in `dir`.
///
/// # Errors
/// What the operating system says.
pub fn run(dir: &Path, frame_bytes: usize, file_bytes: u64, time: Duration) -> std::io::Result<DiskRun> {
    let path = dir.join("limit.dat");
    zeroed(&path, file_bytes)?;
    let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::DSYNC;
    let file = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
    let memory = vec![7_u8; frame_bytes + PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    let frame = &memory[start..start + frame_bytes];
    let mut times = Histogram::<u64>::new(3).map_err(std::io::Error::other)?;
    let (begin, mut at, mut written) = (Instant::now(), 0, 0_u64);
    while begin.elapsed() < time {
        let one = Instant::now();
        file.write_all_at(frame, at)?;
        times
            .record(u64::try_from(one.elapsed().as_nanos()).unwrap_or(u64::MAX))
            .map_err(std::io::Error::other)?;
        written += frame_bytes as u64;
        at = (at + frame_bytes as u64) % (file_bytes - frame_bytes as u64 + 1) / PAGE as u64 * PAGE as u64;
    }
    let seconds = begin.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    let micros = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    Ok(DiskRun {
        bytes_per_second: written as f64 / seconds,
        p50_micros: micros(0.5),
        p99_micros: micros(0.99),
    })
}

fn zeroed(path: &Path, bytes: u64) -> std::io::Result<()> {
    let file = File::create(path)?;
    let zeroes = vec![0_u8; ZEROES];
    for at in (0..bytes).step_by(ZEROES) {
        file.write_all_at(&zeroes, at)?;
    }
    file.sync_all()
}
