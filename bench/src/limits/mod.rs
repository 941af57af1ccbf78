//! What this machine can do at best: the ceilings that the product is held against, measured beside it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use rustix::fs::{Mode, OFlags};

pub mod append;
pub mod disk;
pub mod durable;
pub mod quic;

/// What goes wrong with a measurement.
pub type LimitError = Box<dyn std::error::Error + Send + Sync>;

const PAGE: usize = 4096;
const ZEROES: usize = 1 << 20;

/// A file that was written with zeroes before, open for writes that are durable when they return. Removed with this
/// value.
struct DurableFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    at: u64,
}

impl DurableFile {
    fn create(dir: &Path, bytes: u64) -> std::io::Result<Self> {
        let path = dir.join("limit.dat");
        let file = File::create(&path)?;
        let zeroes = vec![0_u8; ZEROES];
        for at in (0..bytes).step_by(ZEROES) {
            file.write_all_at(&zeroes, at)?;
        }
        file.sync_all()?;
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::DSYNC;
        let file = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
        Ok(Self { file, path, bytes, at: 0 })
    }

    /// Writes whole pages behind those before; from the beginning again when the end is reached.
    fn append(&mut self, pages: &[u8]) -> std::io::Result<()> {
        if self.at + pages.len() as u64 > self.bytes {
            self.at = 0;
        }
        self.file.write_all_at(pages, self.at)?;
        self.at += pages.len() as u64;
        Ok(())
    }
}

impl Drop for DurableFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Memory that begins on a page, as `O_DIRECT` wants it.
struct Pages {
    memory: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        let memory = vec![7; bytes + PAGE];
        let start = memory.as_ptr().align_offset(PAGE);
        Self { memory, start, bytes }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.bytes]
    }
}

/// A histogram of nanoseconds to three digits.
fn histogram() -> Result<Histogram<u64>, LimitError> {
    Ok(Histogram::new(3)?)
}

fn micros(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1e3
}
