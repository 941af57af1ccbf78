//! A log whose older segments are in an archive, as if they were all in one directory.
//!
//! In: the log's directory and its archive. Out: reads from either; everything that is written goes to the directory.
//! Never here: a segment that goes from one to the other; see [`Archive::take`](crate::archive::Archive::take).

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use super::{Content, DurableFile, FileEntry, FlushStrategy, Lock, NewFile, RandomRead, Source, Storage};
use crate::{archive::Archive, error::StorageError, format::segment_number};

/// A log's directory and its archive. What is in both is read from the directory.
#[derive(Clone, Debug)]
pub struct WholeLog {
    log: Arc<dyn Storage>,
    archive: Archive,
    from: u64,
}

impl WholeLog {
    /// The whole log. Listed are archived segments from number `from` on, as far as they are there: whoever begins
    /// further on does not look at thousands of files for nothing. Reads by name reach all of them.
    #[must_use]
    pub fn new(log: Arc<dyn Storage>, archive: Archive, from: u64) -> Self {
        Self { log, archive, from }
    }

    /// The number of the first segment that is there; `None` if there is none.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn first_segment(&self) -> Result<Option<u64>, StorageError> {
        Ok(self.segments()?.first().copied())
    }

    /// The numbers of all segments from `from` on, prepared ones included, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn segments(&self) -> Result<Vec<u64>, StorageError> {
        let files = self.list()?;
        let mut numbers: Vec<_> = files.iter().filter_map(|file| segment_number(&file.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What is archived before the oldest segment of the directory; all of it, if there is none.
    fn archived_numbers(&self, oldest: Option<u64>) -> Result<Vec<u64>, StorageError> {
        let Some(oldest) = oldest else {
            return Ok(self.archive.segments()?.into_iter().filter(|number| *number >= self.from).collect());
        };
        Ok((self.first_archived(oldest)..oldest).collect())
    }

    /// The number of the segment with this name, if it is not in the log's directory and may be in the archive.
    fn archived(&self, name: &str) -> Option<u64> {
        segment_number(name).filter(|number| !self.log.holds(name) && self.archive.holds(*number))
    }

    /// The first segment that is in the archive, between `from` and the oldest of the directory.
    fn first_archived(&self, oldest: u64) -> u64 {
        let (mut low, mut high) = (self.from.min(oldest), oldest);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.archive.holds(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

impl Storage for WholeLog {
    fn lock(&self) -> Result<Option<Box<dyn Lock>>, StorageError> {
        self.log.lock()
    }

    fn list(&self) -> Result<Vec<FileEntry>, StorageError> {
        // The directory first: what leaves it meanwhile is listed all the same.
        let mut files = self.log.list()?;
        let oldest = files.iter().filter_map(|file| segment_number(&file.name)).min();
        for number in self.archived_numbers(oldest)? {
            // A gap is for the reader to find.
            if let Some(archived) = self.archive.find(number)? {
                let name = crate::format::segment_name(number);
                files.push(FileEntry { name, bytes: archived.segment_bytes() });
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
        self.log.allocate(name, bytes, strategy, stop)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.log.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.log.remove(name)
    }

    fn open_write(&self, name: &str, strategy: FlushStrategy) -> Result<Box<dyn DurableFile>, StorageError> {
        self.log.open_write(name, strategy)
    }

    fn open_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        match (self.log.open_read(name), self.archived(name)) {
            (Err(error), Some(number)) if is_missing(&error) => self.archive.open_read(number),
            (found, _) => found,
        }
    }

    fn open_device_read(&self, name: &str) -> Result<Box<dyn RandomRead>, StorageError> {
        match (self.log.open_device_read(name), self.archived(name)) {
            (Err(error), Some(number)) if is_missing(&error) => self.archive.open_read(number),
            (found, _) => found,
        }
    }

    fn settle(&self, name: &str) -> Result<(), StorageError> {
        match (self.log.settle(name), self.archived(name)) {
            // It was read back from the device when it was archived.
            (Err(error), Some(_)) if is_missing(&error) => Ok(()),
            (settled, _) => settled,
        }
    }

    fn load(&self, name: &str, source: Source) -> Result<Content, StorageError> {
        match (self.log.load(name, source), self.archived(name)) {
            // Not for reads here and there: these take pieces, see `open_read`.
            (Err(error), Some(number)) if is_missing(&error) && source != Source::RandomMapping => {
                self.archive.load(number)
            }
            (found, _) => found,
        }
    }

    fn make(&self) -> Result<(), StorageError> {
        self.log.make()
    }

    fn holds(&self, name: &str) -> bool {
        self.log.holds(name) || self.archived(name).is_some()
    }

    fn place(&self, name: &str) -> String {
        self.log.place(name)
    }

    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>, StorageError> {
        self.log.begin(name)
    }

    fn retire(&self, name: &str) -> Result<(), StorageError> {
        self.log.retire(name)
    }

    fn archive(&self) -> Option<&Archive> {
        Some(&self.archive)
    }
}

fn is_missing(error: &StorageError) -> bool {
    error.source.kind() == io::ErrorKind::NotFound
}
