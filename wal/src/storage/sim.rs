//! A disk in memory that fails on demand and shows every state that a loss of power could leave behind.
//!
//! Only for tests (of this crate and of others).
//! In: the same calls as a directory. Out: the same answers, or a failure that was asked for; and, for any
//! moment of the past, a disk as it could be found after the power went at that moment. Never here: a real
//! file, a clock, a random number that the caller did not supply.
//!
//! What is modelled: writes reach the disk in pieces of 512 bytes, in any order and combination, at any time
//! between the write and the end of its sync; the names of files change in the order in which they were
//! changed, each change at any time until the directory was synced. What is not: bytes that change later
//! (flip them with [`SimDisk::edit`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Content, DurableFile, FileEntry, FlushStrategy, Lock, RandomRead, Source, Storage};
use crate::{error::StorageError, format::is_zero};

/// The piece that a disk writes as a whole.
pub const SECTOR_BYTES: usize = 512;

/// The kinds of operations that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// The write of a durable write.
    Write,
    /// The sync of a durable write.
    Sync,
    /// The creation of a file.
    Allocate,
    /// A change of name.
    Rename,
}

/// One thing that was done to the disk. Files are numbered in the order in which they were created.
#[derive(Clone, Debug)]
pub enum Event {
    /// A new file of this length, all zero.
    Create {
        /// Its number: how many files there were before.
        file: usize,
        /// Its name.
        name: String,
        /// Its length.
        bytes: u64,
    },
    /// A file was made longer (never shorter), with zeroes.
    Grow {
        /// Which file.
        file: usize,
        /// Its new length.
        bytes: u64,
    },
    /// Everything of a file became durable.
    SyncFile {
        /// Which file.
        file: usize,
    },
    /// A write was begun: from now on any part of it may be on the disk.
    Write {
        /// Which file.
        file: usize,
        /// Where.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// A range of a file, and the file's length, became durable.
    SyncRange {
        /// Which file.
        file: usize,
        /// From where.
        offset: u64,
        /// How much.
        bytes: usize,
    },
    /// The sync of a range failed: the cache shows it, and takes it for synced.
    FailSync {
        /// Which file.
        file: usize,
        /// From where.
        offset: u64,
        /// How much.
        bytes: usize,
    },
    /// A file was synced and its cache forgotten.
    Settle {
        /// Which file.
        file: usize,
    },
    /// A file got another name.
    Rename {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// A name was taken away.
    Remove {
        /// Which one.
        name: String,
    },
    /// All names became durable.
    SyncDirectory,
}

/// A file's bytes as programs see them, and which sectors of them are not on the disk yet. Copies of a file share
/// the bytes until one of them changes.
#[derive(Clone, Debug, Default)]
struct SimFile {
    live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    unsynced: BTreeSet<usize>,
    /// Those of them whose sync has failed: the cache shows them, and takes them for synced.
    failed: BTreeSet<usize>,
    /// The file was made longer, and that is not on the disk yet: it may be found as short as `durable`.
    grown: bool,
}

/// A change of names that may not be on the disk yet.
#[derive(Clone, Debug)]
enum NameChange {
    Create { name: String, file: usize },
    Rename { from: String, to: String },
    Remove { name: String },
}

#[derive(Clone, Debug, Default)]
struct Disk {
    files: Vec<SimFile>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameChange>,
}

#[derive(Debug, Default)]
struct State {
    disk: Disk,
    /// The disk when this `SimDisk` was made; the events count from there.
    origin: Disk,
    events: Vec<Event>,
    done: BTreeMap<Operation, u64>,
    failures: BTreeSet<(Operation, u64)>,
    /// Where bytes that were not zero were written over.
    overwritten: Vec<(usize, u64)>,
    locked: bool,
}

/// A simulated disk with one directory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "SimDisk({} files, {} events)", state.disk.names.len(), state.events.len())
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with(disk: Disk) -> Self {
        let state = State { origin: disk.clone(), disk, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many things have been done to the disk. Each count is a moment for
    /// [`crash_image`](Self::crash_image).
    #[must_use]
    pub fn events(&self) -> usize {
        self.state().events.len()
    }

    /// How many operations of this kind have begun.
    #[must_use]
    pub fn operations(&self, kind: Operation) -> u64 {
        self.state().done.get(&kind).copied().unwrap_or(0)
    }

    /// Lets the `nth` operation of this kind fail (the first is 1, counted from the disk's beginning). A
    /// failing write still writes its first half. After a failing sync the cache shows bytes that the disk
    /// does not hold, until [`settle`](Storage::settle).
    pub fn fail_at(&self, kind: Operation, nth: u64) {
        self.state().failures.insert((kind, nth));
    }

    /// Lets happen what was seen to happen to a real disk.
    ///
    /// # Panics
    /// If the event does not fit the disk: a file that does not exist, a number that is not the next one.
    pub fn happened(&self, event: Event) {
        self.state().happen(event);
    }

    /// Where bytes that were not zero were written over, by the names that the files have now.
    #[must_use]
    pub fn overwritten(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let name =
            |number: usize| state.disk.names.iter().find(|(_, file)| **file == number).map(|(name, _)| name);
        state.overwritten.iter().filter_map(|(file, offset)| Some((name(*file)?.clone(), *offset))).collect()
    }

    /// How many files were ever created: the number of the next one.
    #[must_use]
    pub fn files_made(&self) -> usize {
        self.state().disk.files.len()
    }

    /// The number of the file that has this name now.
    #[must_use]
    pub fn number_of(&self, name: &str) -> Option<usize> {
        self.state().disk.names.get(name).copied()
    }

    /// Everything that was done to the disk, to be gone through moment by moment.
    #[must_use]
    pub fn past(&self) -> Past {
        let state = self.state();
        Past { disk: state.origin.clone(), events: state.events.clone(), moment: 0 }
    }

    /// A disk as it could be found if the power had gone after the first `moment` events; see
    /// [`Past::crash_image`].
    ///
    /// # Panics
    /// If there were fewer events.
    #[must_use]
    pub fn crash_image(&self, moment: usize, keep: impl FnMut() -> bool) -> Self {
        let mut past = self.past();
        past.go_to(moment);
        past.crash_image(keep)
    }

    /// A disk that holds these files, durably.
    #[must_use]
    pub fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, Arc<Vec<u8>>)>) -> Self {
        let mut disk = Disk::default();
        for (number, (name, bytes)) in files.into_iter().enumerate() {
            disk.files.push(SimFile::durable(bytes));
            disk.names.insert(name.to_owned(), number);
        }
        disk.durable_names.clone_from(&disk.names);
        Self::with(disk)
    }

    /// All files as programs see them.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Arc<Vec<u8>>> {
        let state = self.state();
        let bytes = |file: usize| Arc::clone(&state.disk.files[file].live);
        state.disk.names.iter().map(|(name, file)| (name.clone(), bytes(*file))).collect()
    }

    /// All crash images can be made from here on only; forgets the past, to save memory.
    pub fn forget_past(&self) {
        self.state().forget_past();
    }

    /// An independent copy of the disk as programs see it.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut disk = self.state().disk.clone();
        disk.lose_power(&mut || true);
        Self::with(disk)
    }

    /// Changes a file's bytes behind the log's back, durably.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let number = state.disk.names[name];
        let file = &mut state.disk.files[number];
        edit(Arc::make_mut(&mut file.live));
        *file = SimFile::durable(Arc::clone(&file.live));
        if state.events.is_empty() {
            let file = state.disk.files[number].clone();
            state.origin.files[number] = file;
        } else {
            state.forget_past();
        }
    }

    /// A copy of a file's bytes, as programs see them; `None` if there is none.
    #[must_use]
    pub fn bytes_of(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let file = *state.disk.names.get(name)?;
        Some(state.disk.files[file].live.to_vec())
    }

    /// Puts a file there behind the log's back, durably; replaces one of the same name.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.disk.files.len();
        state.disk.files.push(SimFile::durable(Arc::new(bytes)));
        state.disk.names.insert(name.to_owned(), file);
        state.disk.durable_names.insert(name.to_owned(), file);
        state.forget_past();
    }

    /// Takes a file away behind the log's back, durably.
    pub fn take(&self, name: &str) {
        let mut state = self.state();
        state.disk.names.remove(name);
        state.disk.durable_names.remove(name);
        state.forget_past();
    }
}

impl State {
    /// Counts an operation; an error if it is the one that has to fail.
    fn attempt(&mut self, kind: Operation) -> io::Result<()> {
        let count = self.done.entry(kind).or_insert(0);
        *count += 1;
        let key = (kind, *count);
        if self.failures.contains(&key) {
            return Err(io::Error::other(format!("{kind:?} {} fails, as asked for", key.1)));
        }
        Ok(())
    }

    fn forget_past(&mut self) {
        self.events.clear();
        self.origin = self.disk.clone();
    }

    fn happen(&mut self, event: Event) {
        if let Event::Write { file, offset, bytes } = &event {
            let start = *offset as usize;
            let before = self.disk.files[*file].live.get(start..start + bytes.len());
            if before.is_some_and(|before| !is_zero(before)) {
                self.overwritten.push((*file, *offset));
            }
        }
        self.disk.replay(&event);
        self.events.push(event);
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.disk.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk {
    fn replay(&mut self, event: &Event) {
        match event {
            Event::Create { file, name, bytes } => {
                assert_eq!(*file, self.files.len(), "files are numbered in order");
                self.files.push(SimFile::default());
                self.files[*file].grow(*bytes as usize);
                self.names.insert(name.clone(), *file);
                self.unsynced_names.push(NameChange::Create { name: name.clone(), file: *file });
            }
            Event::Grow { file, bytes } => self.files[*file].grow(*bytes as usize),
            Event::SyncFile { file } => self.files[*file].sync(0, usize::MAX),
            Event::Write { file, offset, bytes } => self.files[*file].write(*offset as usize, bytes),
            Event::SyncRange { file, offset, bytes } => self.files[*file].sync(*offset as usize, *bytes),
            Event::FailSync { file, offset, bytes } => self.files[*file].fail_sync(*offset as usize, *bytes),
            Event::Settle { file } => self.files[*file].settle_cache(),
            Event::Rename { from, to } => {
                self.unsynced_names.push(NameChange::Rename { from: from.clone(), to: to.clone() });
                rename(&mut self.names, from, to);
            }
            Event::Remove { name } => {
                self.unsynced_names.push(NameChange::Remove { name: name.clone() });
                self.names.remove(name);
            }
            Event::SyncDirectory => {
                self.durable_names.clone_from(&self.names);
                self.unsynced_names.clear();
            }
        }
    }

    fn lose_power(&mut self, keep: &mut impl FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced_names) {
            if !keep() {
                break;
            }
            match change {
                NameChange::Create { name, file } => drop(self.durable_names.insert(name, file)),
                NameChange::Rename { from, to } => rename(&mut self.durable_names, &from, &to),
                NameChange::Remove { name } => drop(self.durable_names.remove(&name)),
            }
        }
        self.names.clone_from(&self.durable_names);
        self.files.iter_mut().for_each(|file| file.lose_power(keep));
    }
}

fn rename(names: &mut BTreeMap<String, usize>, from: &str, to: &str) {
    if let Some(file) = names.remove(from) {
        names.insert(to.to_owned(), file);
    }
}

impl SimFile {
    fn durable(bytes: Arc<Vec<u8>>) -> Self {
        Self { durable: Arc::clone(&bytes), live: bytes, ..Self::default() }
    }

    fn grow(&mut self, bytes: usize) {
        let before = self.live.len();
        if bytes > before {
            Arc::make_mut(&mut self.live).resize(bytes, 0);
            self.unsynced.extend(before / SECTOR_BYTES..bytes.div_ceil(SECTOR_BYTES));
            self.grown = true;
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.grow(offset + bytes.len());
        Arc::make_mut(&mut self.live)[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.unsynced.extend(offset / SECTOR_BYTES..(offset + bytes.len()).div_ceil(SECTOR_BYTES));
    }

    fn sync(&mut self, offset: usize, bytes: usize) {
        self.sync_length();
        let end = offset.saturating_add(bytes);
        let done: Vec<usize> =
            self.unsynced.range(offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES)).copied().collect();
        for sector in done {
            self.settle(sector);
            self.unsynced.remove(&sector);
        }
        if self.unsynced.is_empty() {
            self.durable = Arc::clone(&self.live);
        }
    }

    /// What was never written holds garbage until it is synced.
    fn sync_length(&mut self) {
        if std::mem::take(&mut self.grown) {
            Arc::make_mut(&mut self.durable).resize(self.live.len(), 0xA5);
        }
    }

    fn fail_sync(&mut self, offset: usize, bytes: usize) {
        self.failed.extend(offset / SECTOR_BYTES..(offset + bytes).div_ceil(SECTOR_BYTES));
    }

    /// What is dirty is written; what a failed sync has left behind is gone once the cache is.
    fn settle_cache(&mut self) {
        self.sync_length();
        for sector in std::mem::take(&mut self.failed) {
            if self.unsynced.remove(&sector) {
                let end = ((sector + 1) * SECTOR_BYTES).min(self.live.len());
                let sector = sector * SECTOR_BYTES..end;
                Arc::make_mut(&mut self.live)[sector.clone()].copy_from_slice(&self.durable[sector]);
            }
        }
        self.sync(0, usize::MAX);
    }

    fn settle(&mut self, sector: usize) {
        let end = ((sector + 1) * SECTOR_BYTES).min(self.live.len());
        let sector = sector * SECTOR_BYTES..end;
        Arc::make_mut(&mut self.durable)[sector.clone()].copy_from_slice(&self.live[sector]);
    }

    fn lose_power(&mut self, keep: &mut impl FnMut() -> bool) {
        self.failed.clear();
        if self.grown && keep() {
            self.sync_length();
        }
        for sector in std::mem::take(&mut self.unsynced) {
            if keep() && !self.grown {
                self.settle(sector);
            }
        }
        self.grown = false;
        self.live = Arc::clone(&self.durable);
    }
}

/// A disk's past: what was done to it, in order, and the disk at one moment of it.
#[derive(Debug)]
pub struct Past {
    disk: Disk,
    events: Vec<Event>,
    moment: usize,
}

impl Past {
    /// How many things were done: the last moment.
    #[must_use]
    pub fn moments(&self) -> usize {
        self.events.len()
    }

    /// Goes on to the moment after so many events.
    ///
    /// # Panics
    /// If that moment has passed, or has not come.
    pub fn go_to(&mut self, moment: usize) {
        self.events[self.moment..moment].iter().for_each(|event| self.disk.replay(event));
        self.moment = moment;
    }

    /// The disk as the next process finds it if this one was killed at this moment: everything is there, and what was
    /// not durable still is not.
    #[must_use]
    pub fn kill_image(&self) -> SimDisk {
        SimDisk::with(self.disk.clone())
    }

    /// A disk as it could be found if the power had gone at this moment. For each piece that was not durable
    /// then, `keep` decides whether it had reached the disk; for each change of a file's length too, and for each
    /// change of a name, until it says no.
    #[must_use]
    pub fn crash_image(&self, mut keep: impl FnMut() -> bool) -> SimDisk {
        let mut disk = self.disk.clone();
        disk.lose_power(&mut keep);
        SimDisk::with(disk)
    }
}

#[derive(Debug)]
struct SimLock(SimDisk);

impl Lock for SimLock {
    fn check(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

/// The bytes of a file as they were when it was read.
#[derive(Debug)]
struct Shared(Arc<Vec<u8>>);

impl Deref for Shared {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// An open file of the simulated disk.
#[derive(Debug)]
struct OpenFile {
    disk: SimDisk,
    file: usize,
}

impl DurableFile for OpenFile {
    fn write_durable(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file;
        assert!(offset + bytes.len() as u64 <= self.bytes(), "a write never makes a file longer");
        assert_eq!(offset as usize % super::super::PAGE_BYTES, 0, "a write begins on a page boundary");
        assert_eq!(bytes.len() % super::super::PAGE_BYTES, 0, "a write ends on a page boundary");
        assert_eq!(bytes.as_ptr().addr() % super::super::PAGE_BYTES, 0, "a buffer begins on a page boundary");
        {
            let mut state = self.disk.state();
            if let Err(error) = state.attempt(Operation::Write) {
                let half = bytes.len() / 2;
                state.happen(Event::Write { file, offset, bytes: bytes[..half].into() });
                return Err(error);
            }
            state.happen(Event::Write { file, offset, bytes: bytes.into() });
        }
        let mut state = self.disk.state();
        let attempt = state.attempt(Operation::Sync);
        let bytes = bytes.len();
        state.happen(match attempt {
            Ok(()) => Event::SyncRange { file, offset, bytes },
            Err(_) => Event::FailSync { file, offset, bytes },
        });
        attempt
    }

    fn bytes(&self) -> u64 {
        self.disk.state().disk.files[self.file].live.len() as u64
    }
}

impl RandomRead for OpenFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        let start = offset as usize;
        let bytes = state.disk.files[self.file].live.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Storage for SimDisk {
    fn lock(&self) -> Result<Option<Box<dyn Lock>>, StorageError> {
        let mut state = self.state();
        if state.locked {
            return Ok(None);
        }
        state.locked = true;
        Ok(Some(Box::new(SimLock(self.clone()))))
    }

    fn list(&self) -> Result<Vec<FileEntry>, StorageError> {
        let state = self.state();
        let entry = |(name, file): (&String, &usize)| FileEntry {
            name: name.clone(),
            bytes: state.disk.files[*file].live.len() as u64,
        };
        Ok(state.disk.names.iter().map(entry).collect())
    }

    fn allocate(
        &self,
        name: &str,
        bytes: u64,
        _strategy: FlushStrategy,
        stop: &AtomicBool,
    ) -> Result<(), StorageError> {
        let refused = |error| StorageError::new("create", name, error);
        let mut state = self.state();
        if stop.load(Ordering::Relaxed) {
            return Err(refused(io::ErrorKind::Interrupted.into()));
        }
        if state.disk.names.contains_key(name) {
            return Err(refused(io::ErrorKind::AlreadyExists.into()));
        }
        let file = state.disk.files.len();
        state.happen(Event::Create { file, name: name.to_owned(), bytes });
        state.attempt(Operation::Allocate).map_err(refused)?;
        state.happen(Event::SyncFile { file });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let refused = |error| StorageError::new("rename", from, error);
        let mut state = self.state();
        state.file(from).map_err(refused)?;
        state.attempt(Operation::Rename).map_err(refused)?;
        state.happen(Event::Rename { from: from.to_owned(), to: to.to_owned() });
        state.happen(Event::SyncDirectory);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let mut state = self.state();
        state.file(name).map_err(|error| StorageError::new("remove", name, error))?;
        state.happen(Event::Remove { name: name.to_owned() });
        Ok(())
    }

    fn open_write(&self, name: &str, _strategy: FlushStrategy) -> Result<Box<dyn DurableFile>, StorageError> {
        let file = self.state().file(name).map_err(|error| StorageError::new("open", name, error))?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn open_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        let file = self.state().file(name).map_err(|error| StorageError::new("open", name, error))?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn settle(&self, name: &str) -> Result<(), StorageError> {
        let mut state = self.state();
        let file = state.file(name).map_err(|error| StorageError::new("sync", name, error))?;
        if !state.disk.files[file].unsynced.is_empty() {
            state.happen(Event::Settle { file });
        }
        if !state.disk.unsynced_names.is_empty() {
            state.happen(Event::SyncDirectory);
        }
        Ok(())
    }

    fn load(&self, name: &str, _source: Source) -> Result<Content, StorageError> {
        let state = self.state();
        let file = state.file(name).map_err(|error| StorageError::new("read", name, error))?;
        Ok(Content::new(Shared(Arc::clone(&state.disk.files[file].live))))
    }
}
