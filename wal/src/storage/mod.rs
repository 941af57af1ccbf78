//! The only door to the operating system: files that are made durable, and files that are read.
//!
//! In: names and bytes. Out: bytes that survive a loss of power, or an error. Never here: frames, LSNs, a
//! retry, a truncation. The only place with `unsafe`: mappings.

mod aligned;
mod bus;
mod directory;
mod durable;
pub mod faulty;
mod filesystem;
pub mod sim;
mod whole;

use std::{fmt, io, ops::Deref, sync::atomic::AtomicBool};

pub(crate) use aligned::AlignedBuffer;
pub use bus::exit_on_bus_error;
pub use directory::Directory;
pub use filesystem::Filesystem;
pub use whole::WholeLog;

use crate::{archive::Archive, error::StorageError, format::PAGE_BYTES};

/// How the flusher makes bytes durable. All of them write the same bytes; `docs/durability.md` compares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlushStrategy {
    /// Copy into a shared mapping of the segment, then `msync` of the exact range.
    MmapMsync,
    /// `pwritev2` with `RWF_DSYNC` through the page cache.
    PwriteDsync,
    /// `pwrite` on a file opened with `O_DIRECT|O_DSYNC`, from an aligned buffer.
    #[default]
    DirectDsync,
    /// `pwrite` through the page cache, then `fdatasync`.
    PwriteFdatasync,
}

impl FlushStrategy {
    /// All strategies, for tests and benchmarks.
    pub const ALL: [Self; 4] = [Self::MmapMsync, Self::PwriteDsync, Self::DirectDsync, Self::PwriteFdatasync];
}

/// A file of the log's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name, without the directory.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Where the bytes of a read come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Through a read-only mapping, from the beginning to the end. Only for files that nobody writes to any
    /// more.
    Mapping,
    /// The same, for reads here and there.
    RandomMapping,
    /// Read into memory through the page cache. For files that may still be written to.
    Cache,
    /// Read into memory past the page cache: what the device holds. Dropping the cache is not enough, because pages that
    /// anybody has mapped stay in it.
    Device,
}

/// The bytes of a whole file.
pub struct Content(Box<dyn Deref<Target = [u8]> + Send + Sync>);

impl Content {
    /// Wraps anything that holds the bytes still.
    pub fn new(bytes: impl Deref<Target = [u8]> + Send + Sync + 'static) -> Self {
        Self(Box::new(bytes))
    }

    /// Waits until all of it is in memory: whoever looks at it next does not.
    pub(crate) fn wait_for_all(&self) {
        self.chunks(PAGE_BYTES).for_each(|page| {
            std::hint::black_box(page[0]);
        });
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.len())
    }
}

/// A file open for durable writes. One owner, one write at a time.
pub trait DurableFile: Send + fmt::Debug {
    /// Writes all of `bytes` at `offset` (both multiples of the page size, `bytes` aligned to it in memory)
    /// and returns when they are durable. The file is never made longer.
    ///
    /// # Errors
    /// Any error, or a short write, is final: nothing is known about the range any more.
    fn write_durable(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Length of the file in bytes.
    fn bytes(&self) -> u64;
}

/// A file open for reading at any place, also while it is written to.
pub trait RandomRead: Send + Sync + fmt::Debug {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// The file ends before the buffer is full, or the operating system refuses.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A file that is being written from its beginning to its end, under a name that nobody believes yet.
pub trait NewFile: Send + fmt::Debug {
    /// Adds bytes at its end.
    ///
    /// # Errors
    /// No space left, or any other refusal.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Writes over bytes that are there already.
    ///
    /// # Errors
    /// The operating system refuses.
    fn write_over(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes all of it durable, but for its name, and forgets the page cache: what is read from now on is what the
    /// device holds.
    ///
    /// # Errors
    /// The operating system refuses; nothing is known of the file then.
    fn finish(self: Box<Self>) -> Result<(), StorageError>;
}

/// Holding it keeps every other writer out.
pub trait Lock: Send + Sync + fmt::Debug {
    /// Whether it still does: the directory is the one that was locked, and the lock is in its place.
    ///
    /// # Errors
    /// Somebody has moved, replaced or deleted what was locked.
    fn check(&self) -> io::Result<()>;
}

/// A directory that holds one log, or the snapshots of one, or its archive.
pub trait Storage: Send + Sync + fmt::Debug + 'static {
    /// Takes the writer's lock; `None` if somebody else has it.
    ///
    /// # Errors
    /// The lock file cannot be created or opened.
    fn lock(&self) -> Result<Option<Box<dyn Lock>>, StorageError>;

    /// All files, in no particular order. Empty if the directory does not exist.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self) -> Result<Vec<FileEntry>, StorageError>;

    /// Creates `name`, writes `bytes` zeroes into it and syncs it. Looks at `stop` now and then; when it is
    /// set, gives up with [`io::ErrorKind::Interrupted`]. The name is durable only after
    /// [`rename`](Self::rename).
    ///
    /// # Errors
    /// No space left, or any other refusal; the file may then exist in part.
    fn allocate(
        &self,
        name: &str,
        bytes: u64,
        strategy: FlushStrategy,
        stop: &AtomicBool,
    ) -> Result<(), StorageError>;

    /// Gives a file another name, durably (the directory is synced).
    ///
    /// # Errors
    /// Any refusal; which of the names is durable is then unknown.
    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Removes a file that never became part of the log.
    ///
    /// # Errors
    /// The operating system refuses.
    fn remove(&self, name: &str) -> Result<(), StorageError>;

    /// Opens an existing file for durable writes.
    ///
    /// # Errors
    /// The file is missing, or the file system does not offer what `strategy` needs.
    fn open_write(&self, name: &str, strategy: FlushStrategy) -> Result<Box<dyn DurableFile>, StorageError>;

    /// Opens an existing file for random reads.
    ///
    /// # Errors
    /// The file is missing, or the operating system refuses.
    fn open_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError>;

    /// Opens an existing file for reads of what the device holds, whatever the page cache shows.
    ///
    /// # Errors
    /// The file is missing, or the operating system refuses.
    fn open_device_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        self.settle(name)?;
        self.open_read(name)
    }

    /// Makes what the page cache holds of a file durable, and its name, and then forgets the cache: what is
    /// read from now on is what the device holds. (After a failed write of an earlier process the cache may show
    /// more than that. And an earlier process that was killed may have given the file its name without making it
    /// durable: what is written to the file would be lost with the name.)
    ///
    /// # Errors
    /// The file is missing, or the operating system refuses.
    fn settle(&self, name: &str) -> Result<(), StorageError>;

    /// The bytes of a whole file.
    ///
    /// # Errors
    /// The file is missing, or the operating system refuses.
    fn load(&self, name: &str, source: Source) -> Result<Content, StorageError>;

    /// Makes the directory itself, durably, unless it is there.
    ///
    /// # Errors
    /// It cannot be made.
    fn make(&self) -> Result<(), StorageError>;

    /// Whether there is such a file.
    fn holds(&self, name: &str) -> bool;

    /// What people call a file of it.
    fn place(&self, name: &str) -> String;

    /// Begins a file of any length. What a crash left under the name is written over. Its name is durable only after
    /// [`rename`](Self::rename).
    ///
    /// # Errors
    /// It cannot be created.
    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>, StorageError>;

    /// Removes a file, durably: one that nothing needs any more, because it was proven to be kept elsewhere.
    ///
    /// # Errors
    /// The operating system refuses; whether the file is gone is then unknown.
    fn retire(&self, name: &str) -> Result<(), StorageError>;

    /// Where segments are that have left the directory; `None` if they never do.
    fn archive(&self) -> Option<&Archive> {
        None
    }
}
