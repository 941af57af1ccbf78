//! A disk in memory that fails on demand and shows every state that a loss of power could leave behind.
//!
//! Only for tests (of this crate and of others).
//! In: the same calls as a directory. Out: the same answers, or a failure that was asked for; and, for any
//! moment of the past, a disk as it could be found after the power went at that moment. Never here: a real
//! file, a clock, a random number that the caller did not supply.
//!
//! What is modelled: writes reach the disk in pieces of 512 bytes, in any order and combination, at any time
//! between the write and the end of its sync; the names of a folder's files change in the order in which they were
//! changed, each change at any time until the folder was synced; folders know nothing of each other. What is not: bytes
//! that change later (flip them with [`SimDisk::edit`]).

mod disk;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Content, DurableFile, FileEntry, FlushStrategy, Lock, NewFile, RandomRead, Source, Storage};
use crate::{error::StorageError, format::is_zero};

use disk::{Disk, SimFile};
pub use disk::{Event, Past};

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
    /// The removal of a name that nothing needs any more.
    Remove,
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
    /// Folders whose writer's lock is taken.
    locked: BTreeSet<String>,
}

/// A folder of a simulated disk: its own, or one in that. Clones are the same folder of the same disk; a disk's history
/// is one, whatever folder it is asked about.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// `""` for the disk's own.
    folder: Arc<String>,
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
        Self { state: Arc::new(Mutex::new(state)), folder: Arc::default() }
    }

    /// A folder of this disk. Its files are `name/file` to the disk's own.
    #[must_use]
    pub fn folder(&self, name: &str) -> Self {
        Self { state: Arc::clone(&self.state), folder: Arc::new(self.path(name)) }
    }

    /// What the disk calls a file of this folder.
    fn path(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }

    fn sync_directory(&self, state: &mut State) {
        state.happen(Event::SyncDirectory { folder: self.folder.to_string() });
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
        self.state().disk.names.get(&self.path(name)).copied()
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

    /// All files of all folders as programs see them.
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
        let number = state.disk.names[&self.path(name)];
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
        let file = *state.disk.names.get(&self.path(name))?;
        Some(state.disk.files[file].live.to_vec())
    }

    /// Puts a file there behind the log's back, durably; replaces one of the same name.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.disk.files.len();
        state.disk.files.push(SimFile::durable(Arc::new(bytes)));
        state.disk.names.insert(self.path(name), file);
        state.disk.durable_names.insert(self.path(name), file);
        state.forget_past();
    }

    /// Takes a file away behind the log's back, durably.
    pub fn take(&self, name: &str) {
        let mut state = self.state();
        state.disk.names.remove(&self.path(name));
        state.disk.durable_names.remove(&self.path(name));
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

#[derive(Debug)]
struct SimLock(SimDisk);

impl Lock for SimLock {
    fn check(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state().locked.remove(self.0.folder.as_str());
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

/// A file of the simulated disk that is being written from its beginning to its end. It is synced only when it is
/// finished: a sync before that makes fewer states possible.
#[derive(Debug)]
struct GrowingFile {
    disk: SimDisk,
    file: usize,
    name: String,
    bytes: u64,
}

impl GrowingFile {
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut state = self.disk.state();
        let attempt = state.attempt(Operation::Write);
        let done = if attempt.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        state.happen(Event::Write { file: self.file, offset, bytes: done.into() });
        attempt.map_err(|error| StorageError::new("write", &self.name, error))
    }
}

impl NewFile for GrowingFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.write(self.bytes, bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn write_over(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        assert!(offset + bytes.len() as u64 <= self.bytes, "what is written over was written before");
        self.write(offset, bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), StorageError> {
        let file = self.file;
        let mut state = self.disk.state();
        let attempt = state.attempt(Operation::Sync);
        state.happen(match attempt {
            Ok(()) => Event::SyncFile { file },
            Err(_) => Event::FailSync { file, offset: 0, bytes: self.bytes as usize },
        });
        attempt.map_err(|error| StorageError::new("sync", &self.name, error))
    }
}

impl Storage for SimDisk {
    fn lock(&self) -> Result<Option<Box<dyn Lock>>, StorageError> {
        let mut state = self.state();
        if !state.locked.insert(self.folder.to_string()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock(self.clone()))))
    }

    fn list(&self) -> Result<Vec<FileEntry>, StorageError> {
        let state = self.state();
        let prefix = self.path("");
        let own =
            |path: &String| path.strip_prefix(&prefix).filter(|name| !name.contains('/')).map(str::to_owned);
        let entry = |(path, file): (&String, &usize)| {
            Some(FileEntry { name: own(path)?, bytes: state.disk.files[*file].live.len() as u64 })
        };
        Ok(state.disk.names.iter().filter_map(entry).collect())
    }

    fn allocate(
        &self,
        name: &str,
        bytes: u64,
        _strategy: FlushStrategy,
        stop: &AtomicBool,
    ) -> Result<(), StorageError> {
        let name = self.path(name);
        let refused = |error| StorageError::new("create", &name, error);
        let mut state = self.state();
        if stop.load(Ordering::Relaxed) {
            return Err(refused(io::ErrorKind::Interrupted.into()));
        }
        if state.disk.names.contains_key(&name) {
            return Err(refused(io::ErrorKind::AlreadyExists.into()));
        }
        let file = state.disk.files.len();
        state.happen(Event::Create { file, name: name.clone(), bytes });
        state.attempt(Operation::Allocate).map_err(refused)?;
        state.happen(Event::SyncFile { file });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let (from, to) = (self.path(from), self.path(to));
        let refused = |error| StorageError::new("rename", &from, error);
        let mut state = self.state();
        state.file(&from).map_err(refused)?;
        state.attempt(Operation::Rename).map_err(refused)?;
        state.happen(Event::Rename { from: from.clone(), to });
        self.sync_directory(&mut state);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let name = self.path(name);
        let mut state = self.state();
        state.file(&name).map_err(|error| StorageError::new("remove", &name, error))?;
        state.happen(Event::Remove { name });
        Ok(())
    }

    fn open_write(&self, name: &str, _strategy: FlushStrategy) -> Result<Box<dyn DurableFile>, StorageError> {
        let file = self
            .state()
            .file(&self.path(name))
            .map_err(|error| StorageError::new("open", &self.path(name), error))?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn open_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        let file = self
            .state()
            .file(&self.path(name))
            .map_err(|error| StorageError::new("open", &self.path(name), error))?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn settle(&self, name: &str) -> Result<(), StorageError> {
        let mut state = self.state();
        let file = state
            .file(&self.path(name))
            .map_err(|error| StorageError::new("sync", &self.path(name), error))?;
        if !state.disk.files[file].unsynced.is_empty() {
            state.happen(Event::Settle { file });
        }
        if state.disk.unsynced_folders().contains(self.folder.as_str()) {
            self.sync_directory(&mut state);
        }
        Ok(())
    }

    fn load(&self, name: &str, _source: Source) -> Result<Content, StorageError> {
        let state = self.state();
        let file = state
            .file(&self.path(name))
            .map_err(|error| StorageError::new("read", &self.path(name), error))?;
        Ok(Content::new(Shared(Arc::clone(&state.disk.files[file].live))))
    }

    fn make(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn holds(&self, name: &str) -> bool {
        self.state().file(&self.path(name)).is_ok()
    }

    fn place(&self, name: &str) -> String {
        self.path(name)
    }

    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>, StorageError> {
        let name = self.path(name);
        let mut state = self.state();
        state.attempt(Operation::Allocate).map_err(|error| StorageError::new("create", &name, error))?;
        let file = state.disk.files.len();
        state.happen(Event::Create { file, name: name.clone(), bytes: 0 });
        Ok(Box::new(GrowingFile { disk: self.clone(), file, name, bytes: 0 }))
    }

    fn retire(&self, name: &str) -> Result<(), StorageError> {
        let name = self.path(name);
        let refused = |error| StorageError::new("remove", &name, error);
        let mut state = self.state();
        state.file(&name).map_err(refused)?;
        state.attempt(Operation::Remove).map_err(refused)?;
        state.happen(Event::Remove { name: name.clone() });
        self.sync_directory(&mut state);
        Ok(())
    }
}
