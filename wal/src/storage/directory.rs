//! A log in a directory of a local file system.
//!
//! In: names and bytes. Out: durable files; reads from the device, the page cache or a mapping. Never here: a
//! file outside the directory, a truncation.
#![expect(unsafe_code, reason = "a read-only mapping can only be made with unsafe")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use memmap2::{Advice, Mmap};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags};

use super::{
    AlignedBuffer, Content, DurableFile, FileEntry, FlushStrategy, Lock, NewFile, RandomRead, Source,
    Storage, durable,
};
use crate::{error::StorageError, format::PAGE_BYTES};

/// The name of the lock file.
const LOCK_NAME: &str = "lock";
/// What is read past the page cache at a time.
const DEVICE_READ_BYTES: usize = 1 << 20;
/// Zeroes per write, where large folios in the page cache do no harm.
const ZERO_WRITE_BYTES: usize = 1 << 20;

/// One directory with one log. Files are created with mode 0600, the directory with 0700.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Creates the directory (its parents too) unless it exists, durably. An existing one may have been created by a
    /// process that was killed before it had made that durable, so it is treated alike.
    ///
    /// # Errors
    /// It cannot be created, or is not a directory.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        let refused = |error| StorageError::new("create directory", &path.display().to_string(), error);
        let existed = path.is_dir();
        fs::create_dir_all(path).map_err(refused)?;
        if !existed {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(refused)?;
        }
        sync_parents(&std::path::absolute(path).map_err(refused)?).map_err(refused)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Uses the directory as it is, also if it does not exist: for readers, who create nothing.
    #[must_use]
    pub fn existing(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn failed(&self, operation: &'static str, name: &str) -> impl FnOnce(io::Error) -> StorageError {
        let file = self.file(name).display().to_string();
        move |error| StorageError { operation, file, source: error }
    }

    /// What the device holds; on a file system that cannot tell, what the page cache shows.
    fn load_past_the_cache(&self, name: &str) -> Result<Content, StorageError> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::DIRECT.bits().cast_signed());
        let file = match options.open(self.file(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return self.load(name, Source::Cache);
            }
            Err(error) => return Err(self.failed("open", name)(error)),
        };
        read_device(&file).map(Content::new).map_err(self.failed("read", name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Storage for Directory {
    fn lock(&self) -> Result<Option<Box<dyn Lock>>, StorageError> {
        // The directory itself is locked first: a file can be deleted, and another one locked in its place.
        let directory = File::open(&self.path).map_err(self.failed("open", ""))?;
        if !try_lock(&directory).map_err(self.failed("lock", ""))? {
            return Ok(None);
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.file(LOCK_NAME)).map_err(self.failed("open", LOCK_NAME))?;
        if !try_lock(&file).map_err(self.failed("lock", LOCK_NAME))? {
            return Ok(None);
        }
        Ok(Some(Box::new(DirectoryLock { directory, file, path: self.path.clone() })))
    }

    fn list(&self) -> Result<Vec<FileEntry>, StorageError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("list", "")(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(self.failed("list", ""))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => files.push(FileEntry { bytes: metadata.len(), name }),
                Ok(_) => {}
                // A temporary file of a live writer was renamed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed("examine", &name)(error)),
            }
        }
        Ok(files)
    }

    fn allocate(
        &self,
        name: &str,
        bytes: u64,
        strategy: FlushStrategy,
        stop: &AtomicBool,
    ) -> Result<(), StorageError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        if strategy == FlushStrategy::DirectDsync {
            // Past the page cache: no burst of dirty pages that the flusher's writes would have to wait
            // behind.
            options.custom_flags(OFlags::DIRECT.bits().cast_signed());
        }
        let file = options.open(self.file(name)).map_err(self.failed("create", name))?;
        // A disk that is nearly full is not filled to its last block just to find that out.
        let free = rustix::fs::fstatvfs(&file)
            .map_err(|error| self.failed("examine the disk of", name)(error.into()))?;
        if free.f_bfree.saturating_mul(free.f_frsize) < bytes {
            return Err(self.failed("allocate", name)(rustix::io::Errno::NOSPC.into()));
        }
        // Asking for all blocks at once keeps them together; a file system that cannot do it is no worse off.
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(self.failed("allocate", name)(error.into())),
        }
        // Large writes make large folios, and a store through a mapping dirties, and msync then writes, a
        // whole one.
        let step = if strategy == FlushStrategy::MmapMsync { PAGE_BYTES } else { ZERO_WRITE_BYTES };
        write_zeroes(&file, bytes, step, stop).map_err(self.failed("zero", name))?;
        file.sync_all().map_err(self.failed("sync", name))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        fs::rename(self.file(from), self.file(to)).map_err(self.failed("rename", from))?;
        self.sync_directory().map_err(self.failed("sync the directory of", to))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        fs::remove_file(self.file(name)).map_err(self.failed("remove", name))
    }

    fn open_write(&self, name: &str, strategy: FlushStrategy) -> Result<Box<dyn DurableFile>, StorageError> {
        durable::open(&self.file(name), strategy).map_err(self.failed("open for durable writes", name))
    }

    fn open_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        let file = File::open(self.file(name)).map_err(self.failed("open", name))?;
        // Reading ahead would fill the cache with pages that the flusher is about to write past it.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random)
            .map_err(|error| self.failed("advise on", name)(error.into()))?;
        Ok(Box::new(FileReader(file)))
    }

    fn open_device_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::DIRECT.bits().cast_signed());
        match options.open(self.file(name)) {
            Ok(file) => {
                Ok(Box::new(DeviceReader { file, room: Mutex::new(AlignedBuffer::new(DEVICE_READ_BYTES)) }))
            }
            // A file system that cannot read past the cache: dropping the cache comes closest.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.settle(name)?;
                self.open_read(name)
            }
            Err(error) => Err(self.failed("open", name)(error)),
        }
    }

    fn settle(&self, name: &str) -> Result<(), StorageError> {
        let file = File::open(self.file(name)).map_err(self.failed("open", name))?;
        file.sync_all().map_err(self.failed("sync", name))?;
        self.sync_directory().map_err(self.failed("sync the directory of", name))?;
        drop_cache(&file).map_err(self.failed("drop the page cache of", name))
    }

    fn load(&self, name: &str, source: Source) -> Result<Content, StorageError> {
        if source == Source::Device {
            return self.load_past_the_cache(name);
        }
        let file = File::open(self.file(name)).map_err(self.failed("open", name))?;
        let content = match source {
            Source::Cache | Source::Device => read_all(file).map(Content::new),
            Source::Mapping => map(&file, Advice::Sequential),
            Source::RandomMapping => map(&file, Advice::Random),
        };
        content.map_err(self.failed("read", name))
    }

    fn make(&self) -> Result<(), StorageError> {
        Self::create(&self.path).map(drop)
    }

    fn holds(&self, name: &str) -> bool {
        self.file(name).is_file()
    }

    fn place(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>, StorageError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(self.file(name)).map_err(self.failed("create", name))?;
        Ok(Box::new(GrowingFile { file, path: self.file(name), bytes: 0, synced: 0 }))
    }

    fn retire(&self, name: &str) -> Result<(), StorageError> {
        fs::remove_file(self.file(name)).map_err(self.failed("remove", name))?;
        self.sync_directory().map_err(self.failed("sync the directory of", name))
    }
}

/// Bytes that may wait in the page cache before they are made durable: so few that nobody else's write waits behind a
/// burst of them.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

/// A file that is being written from its beginning to its end.
#[derive(Debug)]
struct GrowingFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    synced: u64,
}

impl GrowingFile {
    /// For `map_err`: adds what was tried.
    fn failed(&self, operation: &'static str) -> impl FnOnce(io::Error) -> StorageError {
        let file = self.path.display().to_string();
        move |error| StorageError { operation, file, source: error }
    }
}

impl NewFile for GrowingFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all_at(bytes, self.bytes).map_err(self.failed("write"))?;
        self.bytes += bytes.len() as u64;
        if self.bytes - self.synced >= UNSYNCED_BYTES_MAX {
            self.file.sync_data().map_err(self.failed("sync"))?;
            self.synced = self.bytes;
        }
        Ok(())
    }

    fn write_over(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        assert!(offset + bytes.len() as u64 <= self.bytes, "what is written over was written before");
        self.file.write_all_at(bytes, offset).map_err(self.failed("write"))
    }

    fn finish(self: Box<Self>) -> Result<(), StorageError> {
        self.file.sync_all().map_err(self.failed("sync"))?;
        drop_cache(&self.file).map_err(self.failed("drop the page cache of"))
    }
}

/// The locks are the operating system's; they end with the descriptors.
#[derive(Debug)]
struct DirectoryLock {
    directory: File,
    file: File,
    path: PathBuf,
}

impl Lock for DirectoryLock {
    fn check(&self) -> io::Result<()> {
        if !is_at(&self.directory, &self.path)? {
            return Err(io::Error::other("the log's directory was moved or replaced under a running writer"));
        }
        if !is_at(&self.file, &self.path.join(LOCK_NAME))? {
            return Err(io::Error::other(
                "the log's lock file was deleted or replaced under a running writer",
            ));
        }
        Ok(())
    }
}

/// Whether what was opened still is what the path names.
fn is_at(opened: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let here = opened.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((here.dev(), here.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug)]
struct FileReader(File);

impl RandomRead for FileReader {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// Reads past the page cache, through memory that is aligned as the device wants it.
struct DeviceReader {
    file: File,
    /// Nobody shares a reader; the lock is only what makes it one that could be.
    room: Mutex<AlignedBuffer>,
}

impl std::fmt::Debug for DeviceReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceReader({:?})", self.file)
    }
}

impl RandomRead for DeviceReader {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let begin = at / PAGE_BYTES as u64 * PAGE_BYTES as u64;
            let skip = (at - begin) as usize;
            let read = self.file.read_at(&mut room, begin)?;
            let Some(found) = room[..read].get(skip..).filter(|found| !found.is_empty()) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let length = found.len().min(buffer.len() - done);
            buffer[done..done + length].copy_from_slice(&found[..length]);
            done += length;
        }
        Ok(())
    }
}

fn write_zeroes(file: &File, bytes: u64, step: usize, stop: &AtomicBool) -> io::Result<()> {
    let zeroes = AlignedBuffer::new(step);
    let mut offset = 0;
    while offset < bytes {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the log is closing"));
        }
        let length = step.min(usize::try_from(bytes - offset).unwrap_or(step));
        file.write_all_at(&zeroes[..length], offset)?;
        offset += length as u64;
    }
    Ok(())
}

/// Makes the names on the way to `path` durable, up to where its file system begins. Directories that this process may
/// not read are not its own.
fn sync_parents(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let device = fs::metadata(path)?.dev();
    for parent in path.ancestors().skip(1) {
        if fs::metadata(parent)?.dev() != device {
            break;
        }
        match File::open(parent).and_then(|parent| parent.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn drop_cache(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

fn read_all(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_device(file: &File) -> io::Result<AlignedBuffer> {
    let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut content = AlignedBuffer::new(bytes.next_multiple_of(PAGE_BYTES));
    let mut done = 0;
    // Only the end of a file is not a whole page.
    while done < bytes && done.is_multiple_of(PAGE_BYTES) {
        match file.read_at(&mut content[done..], done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    content.truncate(done);
    Ok(content)
}

/// What is mapped is balances: no core dump shows it, no child process inherits it.
pub(super) fn keep_to_this_process(advise: impl Fn(Advice) -> io::Result<()>) -> io::Result<()> {
    advise(Advice::DontDump)?;
    advise(Advice::DontFork)
}

fn map(file: &File, advice: Advice) -> io::Result<Content> {
    if file.metadata()?.len() == 0 {
        return Ok(Content::new(Vec::new()));
    }
    // SAFETY: only segments that are sealed by their successor, and finished snapshots and archive files, are
    // mapped; nobody writes to them again and nothing truncates them. (Somebody who edits the files of a running ledger by hand breaks
    // this, and the checksums.)
    let map = unsafe { Mmap::map(file)? };
    map.advise(advice)?;
    keep_to_this_process(|advice| map.advise(advice))?;
    Ok(Content::new(map))
}
