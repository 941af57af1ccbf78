//! The disk itself: what is on it, what is only in flight, and what a loss of power leaves.
//!
//! In: what was done to it, in order. Out: what programs see; what is found after the power went. Never here: a choice;
//! whoever cuts the power says what had arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{SECTOR_BYTES, SimDisk};

/// One thing that was done to the disk. Files are numbered in the order in which they were created.
#[derive(Clone, Debug)]
pub enum Event {
    /// A new file of this length, all zero. One that has the name loses it.
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
    /// All names of a folder became durable.
    SyncDirectory {
        /// Which one; `""` for the disk's own.
        folder: String,
    },
}

/// A file's bytes as programs see them, and which sectors of them are not on the disk yet. Copies of a file share
/// the bytes until one of them changes.
#[derive(Clone, Debug, Default)]
pub(super) struct SimFile {
    pub(super) live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    pub(super) unsynced: BTreeSet<usize>,
    /// Those of them whose sync has failed: the cache shows them, and takes them for synced.
    failed: BTreeSet<usize>,
    /// The file was made longer, and that is not on the disk yet: it may be found as short as `durable`.
    grown: bool,
}

/// A change of names that may not be on the disk yet.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create { name: String, file: usize },
    Rename { from: String, to: String },
    Remove { name: String },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) files: Vec<SimFile>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameChange>,
}

impl NameChange {
    /// The folder whose sync makes it durable.
    fn folder(&self) -> &str {
        let (Self::Create { name, .. } | Self::Rename { to: name, .. } | Self::Remove { name }) = self;
        folder_of(name)
    }

    fn done(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create { name, file } => drop(names.insert(name, file)),
            Self::Rename { from, to } => rename(names, &from, &to),
            Self::Remove { name } => drop(names.remove(&name)),
        }
    }
}

/// The folder that a name is in: what stands before its last `/`.
fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Disk {
    /// The folders that have names which are not durable.
    pub(super) fn unsynced_folders(&self) -> BTreeSet<String> {
        self.unsynced_names.iter().map(|change| change.folder().to_owned()).collect()
    }

    pub(super) fn replay(&mut self, event: &Event) {
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
            Event::SyncDirectory { folder } => {
                for change in std::mem::take(&mut self.unsynced_names) {
                    if change.folder() == folder {
                        change.done(&mut self.durable_names);
                    } else {
                        self.unsynced_names.push(change);
                    }
                }
            }
        }
    }

    pub(super) fn lose_power(&mut self, keep: &mut impl FnMut() -> bool) {
        // The names of each folder are changed in order; the folders know nothing of each other.
        let mut cut_off = BTreeSet::new();
        for change in std::mem::take(&mut self.unsynced_names) {
            if cut_off.contains(change.folder()) || !keep() {
                cut_off.insert(change.folder().to_owned());
            } else {
                change.done(&mut self.durable_names);
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
    pub(super) fn durable(bytes: Arc<Vec<u8>>) -> Self {
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
    pub(super) disk: Disk,
    pub(super) events: Vec<Event>,
    pub(super) moment: usize,
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
