//! The four ways to make bytes durable.
//!
//! In: page-aligned ranges. Out: bytes on the device, or an error that is final. Never here: a second try, a
//! write beyond the end of the file.
#![expect(unsafe_code, reason = "a writable shared mapping can only be made with unsafe")]

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use memmap2::MmapMut;
use rustix::{
    fs::{AtFlags, OFlags, StatxFlags, statx},
    io::ReadWriteFlags,
};

use super::{DurableFile, FlushStrategy, directory::keep_to_this_process};

/// Opens `path` for durable writes.
pub(super) fn open(path: &Path, strategy: FlushStrategy) -> io::Result<Box<dyn DurableFile>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if strategy == FlushStrategy::DirectDsync {
        let flags = OFlags::DIRECT | OFlags::DSYNC;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    let bytes = file.metadata()?.len();
    Ok(match strategy {
        FlushStrategy::DirectDsync => Box::new(Direct { file, bytes }),
        FlushStrategy::PwriteDsync => Box::new(Dsync { file, bytes }),
        FlushStrategy::PwriteFdatasync => Box::new(Fdatasync { file, bytes }),
        FlushStrategy::MmapMsync => {
            // SAFETY: the file is a segment that this process has locked for writing; it is never truncated,
            // and the only other accesses are reads of ranges that are no longer written to (readers stop at
            // the durable LSN).
            let map = unsafe { MmapMut::map_mut(&file)? };
            keep_to_this_process(|advice| map.advise(advice))?;
            Box::new(Mapped { map, file })
        }
    })
}

/// `O_DIRECT|O_DSYNC`.
#[derive(Debug)]
struct Direct {
    file: File,
    bytes: u64,
}

impl DurableFile for Direct {
    fn write_durable(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        inside(self.bytes, offset, bytes)?;
        unchanged(&self.file, self.bytes)?;
        complete(self.file.write_at(bytes, offset)?, bytes)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// `pwritev2(RWF_DSYNC)`.
#[derive(Debug)]
struct Dsync {
    file: File,
    bytes: u64,
}

impl DurableFile for Dsync {
    fn write_durable(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        inside(self.bytes, offset, bytes)?;
        unchanged(&self.file, self.bytes)?;
        let written =
            rustix::io::pwritev2(&self.file, &[IoSlice::new(bytes)], offset, ReadWriteFlags::DSYNC)?;
        complete(written, bytes)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// `pwrite`, then `fdatasync`.
#[derive(Debug)]
struct Fdatasync {
    file: File,
    bytes: u64,
}

impl DurableFile for Fdatasync {
    fn write_durable(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        inside(self.bytes, offset, bytes)?;
        unchanged(&self.file, self.bytes)?;
        complete(self.file.write_at(bytes, offset)?, bytes)?;
        self.file.sync_data()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Shared mapping and `msync` of the range. The file stays open from before the first store to after the last
/// sync, so that no write-back error is reported to somebody else.
#[derive(Debug)]
struct Mapped {
    map: MmapMut,
    file: File,
}

impl DurableFile for Mapped {
    fn write_durable(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        inside(self.bytes(), offset, bytes)?;
        unchanged(&self.file, self.bytes())?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        self.map[start..start + bytes.len()].copy_from_slice(bytes);
        self.map.flush_range(start, bytes.len())
    }

    fn bytes(&self) -> u64 {
        self.map.len() as u64
    }
}

/// Refuses a write that would make the file longer.
fn inside(file_bytes: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
    match offset.checked_add(bytes.len() as u64) {
        Some(end) if end <= file_bytes => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} bytes at {offset} do not fit a file of {file_bytes} bytes", bytes.len()),
        )),
    }
}

/// Refuses to write to a file that was cut, lengthened or deleted since it was opened. A write would lengthen it again
/// (or, through a mapping, end the process), and what lies before would be gone without a word.
///
/// Asks for nothing but these two numbers. Whoever asks for a file's times as well makes the kernel give it a new, exact
/// time at the next write, and a durable write then writes the inode too: half the speed.
fn unchanged(file: &File, bytes: u64) -> io::Result<()> {
    let now = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::SIZE | StatxFlags::NLINK)?;
    if now.stx_nlink == 0 {
        return Err(io::Error::other("the file was deleted under the running log"));
    }
    if now.stx_size != bytes {
        let length = now.stx_size;
        return Err(io::Error::other(format!(
            "the file had {bytes} bytes and now has {length}: somebody changed it under the running log"
        )));
    }
    Ok(())
}

/// A short write is a failed write.
fn complete(written: usize, bytes: &[u8]) -> io::Result<()> {
    if written == bytes.len() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::WriteZero,
        format!("only {written} of {} bytes were written", bytes.len()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_is_a_failed_write() {
        let bytes = [0; 8];
        complete(8, &bytes).unwrap();
        for written in 0..8 {
            assert_eq!(complete(written, &bytes).unwrap_err().kind(), io::ErrorKind::WriteZero);
        }
    }
}
