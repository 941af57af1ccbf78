//! A storage that fails on purpose, in the very program that runs in production: for drills, and for campaigns that
//! show what a failure does. Nothing is built anew for it.
//!
//! In: another storage and a plan. Out: that storage's answers, except where the plan strikes. Never here: a failure
//! that the plan does not name, a second try.
//!
//! ```
//! use cage_wal::storage::{Directory, faulty::{FaultPlan, Faulty}};
//! let plan: FaultPlan = "sync@7,allocate@3-=full,write@1/500=delay:20,seed=42".parse().unwrap();
//! let storage = Faulty::new(Directory::existing("log".as_ref()), plan, |strike| eprintln!("{strike}"));
//! # let _: Faulty<Directory> = storage;
//! ```
//!
//! A plan is a list of items, parted by commas. `CALL@WHICH=FAULT` strikes calls; without `=FAULT` they fail with
//! `EIO`. `seed=N` chooses for `1/N`. Of several rules that fit a call the first counts.
//!
//! | CALL | is |
//! |---|---|
//! | `write` | a durable write, or an addition to a new file, before it is done |
//! | `sync` | a durable write after it was done, a new file after it was synced: the bytes are on the device, and yet it says no |
//! | `allocate` | the creation of a file |
//! | `open` | the opening of a file |
//! | `rename`, `dirsync` | a change of name, before it is done; the same after it was done |
//! | `remove` | the removal of a file that nothing needs any more, before it is done (`dirsync`: after it) |
//! | `read` | the reading of a file, or of a piece of one |
//! | `settle` | dropping a file's cache |
//! | `list` | listing the directory |
//! | `any` | each of these, counted together |
//!
//! | WHICH | is |
//! |---|---|
//! | `N`, `N-M`, `N-` | the N-th, the N-th to the M-th, all from the N-th on; counted from 1 when the storage is made |
//! | `1/N` | one in N, as the seed has it |
//!
//! | FAULT | is |
//! |---|---|
//! | `eio`, `full` | it fails with `EIO`, with `ENOSPC` |
//! | `short` | a write ends half way, at a page; every other call fails with `EIO` |
//! | `delay:MS` | it is done, so many milliseconds later |
//! | `kill` | the process gets SIGKILL: in the middle of a write, before any other call (for `sync`: after the write, before anybody is told) |
//!
//! `cage serve --faults PLAN` (or `CAGE_FAULTS`) runs a whole server on it, `cage snapshot --faults PLAN` (or
//! `CAGE_SNAPSHOT_FAULTS`) the making of a snapshot.

mod plan;

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

pub use plan::{Call, Fault, FaultPlan, PlanError, Strike};
use rustix::{
    io::Errno,
    process::{Signal, getpid, kill_process},
};

use super::{Content, DurableFile, FileEntry, FlushStrategy, Lock, NewFile, RandomRead, Source, Storage};
use crate::{archive::Archive, error::StorageError, format::PAGE_BYTES};

/// A storage whose calls are counted, and struck as the plan says.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    injector: Arc<Injector>,
}

struct Injector {
    plan: FaultPlan,
    counts: [AtomicU64; Call::ALL.len()],
    of_all: AtomicU64,
    tell: Box<dyn Fn(&Strike) + Send + Sync>,
}

impl fmt::Debug for Injector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injector").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Watches the counts of a [`Faulty`] that was given away.
#[derive(Clone, Debug)]
pub struct CallCounts(Arc<Injector>);

impl CallCounts {
    /// How many calls of this kind have begun.
    #[must_use]
    pub fn of(&self, call: Call) -> u64 {
        self.0.counts[call as usize].load(Ordering::Relaxed)
    }

    /// How many calls of all kinds have begun.
    #[must_use]
    pub fn of_all(&self) -> u64 {
        self.0.of_all.load(Ordering::Relaxed)
    }
}

impl<S: Storage> Faulty<S> {
    /// `tell` hears of every call that is struck, before it happens.
    pub fn new(inner: S, plan: FaultPlan, tell: impl Fn(&Strike) + Send + Sync + 'static) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        let injector = Injector { plan, counts, of_all: AtomicU64::new(0), tell: Box::new(tell) };
        Self { inner, injector: Arc::new(injector) }
    }

    /// Another storage under the same plan: the calls of both are counted together.
    pub fn beside<T: Storage>(&self, inner: T) -> Faulty<T> {
        Faulty { inner, injector: Arc::clone(&self.injector) }
    }

    /// The counts, to be looked at later.
    #[must_use]
    pub fn counts(&self) -> CallCounts {
        CallCounts(Arc::clone(&self.injector))
    }

    fn pass(&self, call: Call, operation: &'static str, name: &str) -> Result<(), StorageError> {
        self.injector.pass(call).map_err(|error| StorageError::new(operation, name, error))
    }
}

impl Injector {
    /// Counts a call; says how it is struck. What is only late has been waited for.
    fn strike(&self, call: Call) -> Option<Fault> {
        let nth = self.counts[call as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let of_all = self.of_all.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.plan.fault(call, nth, of_all)?;
        (self.tell)(&Strike { call, nth, fault });
        if let Fault::Delay(time) = fault {
            thread::sleep(time);
            return None;
        }
        Some(fault)
    }

    /// Every call but a write: done, late, or not done.
    fn pass(&self, call: Call) -> io::Result<()> {
        self.strike(call).map_or(Ok(()), |fault| Err(failure(fault)))
    }
}

/// What a struck call answers; a killed process answers nothing.
fn failure(fault: Fault) -> io::Error {
    match fault {
        Fault::Full => Errno::NOSPC.into(),
        Fault::Kill => die(),
        Fault::Error | Fault::Short | Fault::Delay(_) => Errno::IO.into(),
    }
}

fn die() -> ! {
    // Nothing can refuse it; it is in force when the system call returns.
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        thread::park();
    }
}

impl<S: Storage> Storage for Faulty<S> {
    fn lock(&self) -> Result<Option<Box<dyn Lock>>, StorageError> {
        self.inner.lock()
    }

    fn list(&self) -> Result<Vec<FileEntry>, StorageError> {
        self.pass(Call::List, "list", "")?;
        self.inner.list()
    }

    fn allocate(
        &self,
        name: &str,
        bytes: u64,
        strategy: FlushStrategy,
        stop: &AtomicBool,
    ) -> Result<(), StorageError> {
        self.pass(Call::Allocate, "allocate", name)?;
        self.inner.allocate(name, bytes, strategy, stop)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.pass(Call::Rename, "rename", from)?;
        self.inner.rename(from, to)?;
        self.pass(Call::DirectorySync, "sync the directory of", to)
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.inner.remove(name)
    }

    fn open_write(&self, name: &str, strategy: FlushStrategy) -> Result<Box<dyn DurableFile>, StorageError> {
        self.pass(Call::Open, "open for durable writes", name)?;
        let file = self.inner.open_write(name, strategy)?;
        Ok(Box::new(FaultyFile { file, injector: Arc::clone(&self.injector) }))
    }

    fn open_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        self.pass(Call::Open, "open", name)?;
        let file = self.inner.open_read(name)?;
        Ok(Box::new(FaultyRead { file, injector: Arc::clone(&self.injector) }))
    }

    fn settle(&self, name: &str) -> Result<(), StorageError> {
        self.pass(Call::Settle, "drop the page cache of", name)?;
        self.inner.settle(name)
    }

    fn load(&self, name: &str, source: Source) -> Result<Content, StorageError> {
        self.pass(Call::Read, "read", name)?;
        self.inner.load(name, source)
    }

    fn make(&self) -> Result<(), StorageError> {
        self.inner.make()
    }

    fn holds(&self, name: &str) -> bool {
        self.inner.holds(name)
    }

    fn place(&self, name: &str) -> String {
        self.inner.place(name)
    }

    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>, StorageError> {
        self.pass(Call::Allocate, "create", name)?;
        let file = self.inner.begin(name)?;
        Ok(Box::new(FaultyNewFile { file, name: self.place(name), injector: Arc::clone(&self.injector) }))
    }

    fn retire(&self, name: &str) -> Result<(), StorageError> {
        self.pass(Call::Remove, "remove", name)?;
        self.inner.retire(name)?;
        self.pass(Call::DirectorySync, "sync the directory of", name)
    }

    fn archive(&self) -> Option<&Archive> {
        self.inner.archive()
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn DurableFile>,
    injector: Arc<Injector>,
}

impl FaultyFile {
    /// The first half of a write, as far as it can be told apart: whole pages.
    fn write_half(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let half = bytes.len() / 2 / PAGE_BYTES * PAGE_BYTES;
        if half > 0 {
            self.file.write_durable(offset, &bytes[..half])?;
        }
        Ok(half)
    }
}

impl DurableFile for FaultyFile {
    fn write_durable(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.injector.strike(Call::Write) {
            None => {}
            Some(Fault::Short) => {
                let half = self.write_half(offset, bytes)?;
                let detail = format!("only {half} of {} bytes were written", bytes.len());
                return Err(io::Error::new(io::ErrorKind::WriteZero, detail));
            }
            Some(Fault::Kill) => {
                self.write_half(offset, bytes)?;
                die();
            }
            Some(fault) => return Err(failure(fault)),
        }
        self.file.write_durable(offset, bytes)?;
        self.injector.pass(Call::Sync)
    }

    fn bytes(&self) -> u64 {
        self.file.bytes()
    }
}

#[derive(Debug)]
struct FaultyNewFile {
    file: Box<dyn NewFile>,
    name: String,
    injector: Arc<Injector>,
}

impl FaultyNewFile {
    /// The fault of a write, after its first half was done if that belongs to it.
    fn write(
        &mut self,
        bytes: &[u8],
        write: impl Fn(&mut dyn NewFile, &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let Some(fault) = self.injector.strike(Call::Write) else { return write(&mut *self.file, bytes) };
        if matches!(fault, Fault::Short | Fault::Kill) {
            write(&mut *self.file, &bytes[..bytes.len() / 2])?;
        }
        Err(StorageError::new("write", &self.name, failure(fault)))
    }
}

impl NewFile for FaultyNewFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.write(bytes, |file, bytes| file.append(bytes))
    }

    fn write_over(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.write(bytes, |file, bytes| file.write_over(offset, bytes))
    }

    fn finish(self: Box<Self>) -> Result<(), StorageError> {
        self.file.finish()?;
        self.injector.pass(Call::Sync).map_err(|error| StorageError::new("sync", &self.name, error))
    }
}

#[derive(Debug)]
struct FaultyRead {
    file: Box<dyn RandomRead>,
    injector: Arc<Injector>,
}

impl RandomRead for FaultyRead {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.injector.pass(Call::Read)?;
        self.file.read_exact_at(offset, buffer)
    }
}
