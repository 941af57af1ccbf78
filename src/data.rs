//! Where things lie: the data directory and the archive.
//!
//! In: paths from the command line. Out: the place of each kind of file, and the whole log over hot and archived
//! segments. Never here: a look into any of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cage_wal::StorageError;
use cage_wal::archive::Archive;
use cage_wal::cover::Places;
use cage_wal::storage::faulty::{FaultPlan, Faulty};
use cage_wal::storage::{Directory, WholeLog};

use crate::recovery::tell_fault;

/// A data directory, and the archive that belongs to it.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
    archive: PathBuf,
}

impl DataDir {
    /// The data directory at `root`; its archive lies in it unless it is named.
    #[must_use]
    pub fn new(root: &Path, archive: Option<&Path>) -> Self {
        let archive = archive.map_or_else(|| root.join("archive"), Path::to_owned);
        Self { root: root.to_owned(), archive }
    }

    /// The data directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The log's own folder: the segments that are not archived.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The folder of snapshots.
    #[must_use]
    pub fn snapshots(&self) -> Directory {
        Directory::existing(&self.root.join("snapshots"))
    }

    /// The same, made unless it is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_snapshots(&self) -> Result<Directory, StorageError> {
        Directory::create(self.snapshots().path())
    }

    /// The folder of archived segments.
    #[must_use]
    pub fn archive_path(&self) -> &Path {
        &self.archive
    }

    /// The archive, which may not exist yet.
    #[must_use]
    pub fn archive(&self) -> Archive {
        Archive::new(Arc::new(Directory::existing(&self.archive)))
    }

    /// The same, made unless it is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_archive(&self) -> Result<Archive, StorageError> {
        let archive = self.archive();
        archive.make().map(|()| archive)
    }

    /// The first segment that is missing between two others, of which the first is archived.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn missing_in_archive(&self) -> Result<Option<u64>, StorageError> {
        let log = self.log();
        let hot =
            if log.is_dir() { cage_wal::segment_numbers(&Directory::existing(&log))? } else { Vec::new() };
        let mut numbers = self.archive().segments()?;
        numbers.extend(hot.first().filter(|oldest| numbers.last().is_none_or(|last| last < *oldest)));
        Ok(numbers.windows(2).find(|pair| pair[1] != pair[0] + 1).map(|pair| pair[0] + 1))
    }

    /// The log with its archive, for readers. Archived segments are listed from number `from` on.
    #[must_use]
    pub fn whole_log(&self, from: u64) -> WholeLog {
        WholeLog::new(Arc::new(Directory::existing(&self.log())), self.archive(), from)
    }

    /// The log, its snapshots and its archive, for whoever makes snapshots. With a plan of faults all three go wrong when
    /// the plan says so.
    #[must_use]
    pub fn places(&self, faults: Option<FaultPlan>) -> Places {
        let name = self.root.display().to_string();
        let (log, snapshots) = (Directory::existing(&self.log()), self.snapshots());
        let Some(plan) = faults else {
            return Places {
                name,
                log: Arc::new(log),
                snapshots: Arc::new(snapshots),
                archive: self.archive(),
            };
        };
        let log = Faulty::new(log, plan, tell_fault);
        let snapshots = Arc::new(log.beside(snapshots));
        let archive = Archive::new(Arc::new(log.beside(Directory::existing(&self.archive))));
        Places { name, log: Arc::new(log), snapshots, archive }
    }
}
