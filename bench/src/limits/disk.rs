//! The disk alone: one thread, append and make durable, nothing else. And the same while the room for it is made.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, Mode, OFlags};

use super::{DurableFile, LimitError, Pages, ZEROES, histogram, micros};

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
    written(&mut file, frame_bytes, time, &AtomicU64::new(0))
}

/// The same while a second thread zeroes files of `file_bytes`, as many bytes as are written: whoever writes into room
/// that was zeroed ahead has to zero the next room meanwhile, on the same disk.
///
/// # Errors
/// What the operating system says.
pub fn run_with_room_made(
    dir: &Path,
    frame_bytes: usize,
    file_bytes: u64,
    time: Duration,
) -> Result<DiskRun, LimitError> {
    let mut file = DurableFile::create(dir, file_bytes)?;
    let (so_far, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let room = scope.spawn(|| make_room(dir, file_bytes, &so_far, &stop));
        let run = written(&mut file, frame_bytes, time, &so_far);
        stop.store(true, Ordering::Relaxed);
        room.join().map_err(|_| "the thread that makes room panicked")??;
        run
    })
}

fn written(
    file: &mut DurableFile,
    frame_bytes: usize,
    time: Duration,
    so_far: &AtomicU64,
) -> Result<DiskRun, LimitError> {
    let (mut frame, mut times) = (Pages::new(frame_bytes), histogram()?);
    let (begin, mut written) = (Instant::now(), 0_u64);
    while begin.elapsed() < time {
        let one = Instant::now();
        file.append(frame.bytes())?;
        times.record(u64::try_from(one.elapsed().as_nanos())?)?;
        written += frame_bytes as u64;
        so_far.store(written, Ordering::Relaxed);
    }
    Ok(DiskRun {
        bytes_per_second: written as f64 / begin.elapsed().as_secs_f64(),
        p50_micros: micros(&times, 0.5),
        p99_micros: micros(&times, 0.99),
    })
}

/// Zeroes file after file past the page cache, never more than a step ahead of what is written.
fn make_room(dir: &Path, file_bytes: u64, so_far: &AtomicU64, stop: &AtomicBool) -> std::io::Result<()> {
    let (path, mut zeroes, mut done) = (dir.join("room.dat"), Pages::new(ZEROES), 0);
    zeroes.bytes().fill(0);
    while !stop.load(Ordering::Relaxed) {
        let file = empty_file(&path, file_bytes)?;
        for at in (0..file_bytes).step_by(ZEROES) {
            while done > so_far.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(100));
            }
            file.write_all_at(zeroes.bytes(), at)?;
            done += ZEROES as u64;
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        file.sync_all()?;
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// A file of that many bytes of which none is written yet, open past the page cache.
fn empty_file(path: &Path, bytes: u64) -> std::io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::DIRECT;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    Ok(file)
}
