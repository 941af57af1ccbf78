//! Snapshots: files that hold what the records of a log led to, up to a place between two of its frames.
//!
//! In: the bytes of somebody's image, and the place. Out: a file that was read back and proven before it got its name;
//! and the same bytes, proven again. Never here: what the bytes mean, a snapshot without its log's id, chain and place.
//!
//! ```text
//! header (4 KiB) | body | BLAKE3 of each MiB of the body
//! ```
//! The header holds the hash of these hashes and its own, so that one value stands for every byte of the file.

use std::{io, num::NonZeroUsize, ops::Range, thread};

use crate::{
    error::{SnapshotError, StorageError},
    format::{FORMAT_VERSION, PAGE_BYTES, SNAPSHOT_CHUNK_BYTES, SnapshotHeader, SnapshotHeaderFault},
    lsn::{Epoch, Lsn},
    read::Anchor,
    storage::{Content, NewFile, RandomRead, Source, Storage},
};

const SUFFIX: &str = ".snapshot";
const TEMPORARY_SUFFIX: &str = ".snapshot.tmp";
const HASH_BYTES: usize = 32;
/// Threads that prove a snapshot; more wait for memory.
const PROVERS_MAX: usize = 4;

/// What is known of a snapshot besides its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// After which record of which log.
    pub anchor: Anchor,
    /// The epoch in which that record was written.
    pub epoch: Epoch,
    /// The rules that the program knew which made it.
    pub rules_version: u32,
    /// The digest of the state whose image the body is.
    pub digest: [u8; 32],
    /// When it was made: nanoseconds since 1970, for people.
    pub created_ns: u64,
}

/// The file of the snapshot after a record.
#[must_use]
pub fn file_name(lsn: Lsn) -> String {
    with_suffix(lsn, SUFFIX)
}

fn with_suffix(lsn: Lsn, suffix: &str) -> String {
    format!("{:016x}{suffix}", lsn.0)
}

/// The snapshots in a directory, the newest first. Their names say so; nothing of them is proven.
///
/// # Errors
/// The directory cannot be read.
pub fn list(dir: &dyn Storage) -> Result<Vec<Lsn>, StorageError> {
    let files = dir.list()?;
    let number = |name: &str| u64::from_str_radix(name.strip_suffix(SUFFIX)?, 16).ok();
    let named = |file: &str| number(file).filter(|lsn| file_name(Lsn(*lsn)) == file).map(Lsn);
    let mut found: Vec<_> = files.iter().filter_map(|file| named(&file.name)).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

/// Removes what crashes left of snapshots that were never finished. Only for whoever holds the directory's lock.
///
/// # Errors
/// The operating system refuses.
pub fn remove_unfinished(dir: &dyn Storage) -> Result<(), StorageError> {
    for file in dir.list()?.iter().filter(|file| file.name.ends_with(TEMPORARY_SUFFIX)) {
        dir.remove(&file.name)?;
    }
    Ok(())
}

/// Removes a snapshot that newer ones stand for.
///
/// # Errors
/// The operating system refuses.
pub fn retire(dir: &dyn Storage, lsn: Lsn) -> Result<(), StorageError> {
    dir.retire(&file_name(lsn))
}

/// A snapshot that is being written, under a temporary name.
#[derive(Debug)]
pub struct SnapshotWriter<'d> {
    dir: &'d dyn Storage,
    lsn: Lsn,
    file: Box<dyn NewFile>,
    chunk: Vec<u8>,
    hashes: Vec<u8>,
    body_bytes: u64,
}

impl<'d> SnapshotWriter<'d> {
    /// Begins the snapshot after the record at `lsn`.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn begin(dir: &'d dyn Storage, lsn: Lsn) -> Result<Self, StorageError> {
        let mut file = dir.begin(&with_suffix(lsn, TEMPORARY_SUFFIX))?;
        // The header is written last: a file without one is no snapshot.
        file.append(&[0; PAGE_BYTES])?;
        let chunk = Vec::with_capacity(SNAPSHOT_CHUNK_BYTES);
        Ok(Self { dir, lsn, file, chunk, hashes: Vec::new(), body_bytes: 0 })
    }

    /// Adds bytes to the body.
    ///
    /// # Errors
    /// No space left, or any other refusal.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), StorageError> {
        while !bytes.is_empty() {
            let (fits, rest) = bytes.split_at(bytes.len().min(SNAPSHOT_CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(fits);
            bytes = rest;
            if self.chunk.len() == SNAPSHOT_CHUNK_BYTES {
                self.end_chunk()?;
            }
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), StorageError> {
        self.file.append(&self.chunk)?;
        self.hashes.extend_from_slice(blake3::hash(&self.chunk).as_bytes());
        self.body_bytes += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    /// Ends the file and makes it durable. It has no name yet.
    ///
    /// # Errors
    /// No space left, or any other refusal.
    ///
    /// # Panics
    /// If `facts` are those of another record than the one it was begun for.
    pub fn finish(mut self, facts: &SnapshotFacts) -> Result<UnprovenSnapshot<'d>, StorageError> {
        assert_eq!(facts.anchor.lsn, self.lsn, "a snapshot is named by its record");
        if !self.chunk.is_empty() {
            self.end_chunk()?;
        }
        self.file.append(&self.hashes)?;
        let SnapshotFacts { anchor, epoch, rules_version, digest, created_ns } = *facts;
        let chunks = blake3::hash(&self.hashes).into();
        let body_bytes = self.body_bytes;
        let header = SnapshotHeader { anchor, epoch, rules_version, digest, body_bytes, created_ns, chunks };
        self.file.write_over(0, &header.encode())?;
        self.file.finish()?;
        Ok(UnprovenSnapshot { dir: self.dir, lsn: self.lsn })
    }
}

/// A snapshot that is durable under a temporary name. It gets its own when somebody has read it back.
#[derive(Debug)]
pub struct UnprovenSnapshot<'d> {
    dir: &'d dyn Storage,
    lsn: Lsn,
}

impl UnprovenSnapshot<'_> {
    /// What the device holds of it, proven.
    ///
    /// # Errors
    /// It does not hold what was written, or cannot be read.
    pub fn read_back(&self) -> Result<Snapshot, SnapshotError> {
        let temporary = with_suffix(self.lsn, TEMPORARY_SUFFIX);
        self.dir.settle(&temporary)?;
        open(self.dir, &temporary)
    }

    /// Gives it its name, durably.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn publish(self) -> Result<(), StorageError> {
        self.dir.rename(&with_suffix(self.lsn, TEMPORARY_SUFFIX), &file_name(self.lsn))
    }
}

/// A snapshot whose every byte was proven.
#[derive(Debug)]
pub struct Snapshot {
    header: SnapshotHeader,
    content: Content,
}

impl Snapshot {
    /// Opens the snapshot after the record at `lsn`, and proves all of it.
    ///
    /// # Errors
    /// It is damaged, of a newer format, or cannot be read.
    pub fn open(dir: &dyn Storage, lsn: Lsn) -> Result<Self, SnapshotError> {
        open(dir, &file_name(lsn))?.of(lsn)
    }

    /// This snapshot, if it is the one after `lsn` as its name says.
    fn of(self, lsn: Lsn) -> Result<Self, SnapshotError> {
        is_of(&self.header, lsn).map(|()| self)
    }

    fn hashes(&self) -> &[u8] {
        &self.content[PAGE_BYTES + self.header.body_bytes as usize..]
    }

    /// What is known of it.
    #[must_use]
    pub const fn facts(&self) -> SnapshotFacts {
        let SnapshotHeader { anchor, epoch, rules_version, digest, created_ns, .. } = self.header;
        SnapshotFacts { anchor, epoch, rules_version, digest, created_ns }
    }

    /// The bytes that were written, through a mapping.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.content[PAGE_BYTES..PAGE_BYTES + self.header.body_bytes as usize]
    }

    /// The length of the file in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.content.len() as u64
    }
}

/// Reads only the header of the snapshot after the record at `lsn`.
///
/// # Errors
/// The header is damaged, of a newer format, or cannot be read.
pub fn facts(dir: &dyn Storage, lsn: Lsn) -> Result<SnapshotFacts, SnapshotError> {
    let name = file_name(lsn);
    let mut page = [0; PAGE_BYTES];
    let file: Box<dyn RandomRead> = dir.open_read(&name)?;
    file.read_exact_at(0, &mut page).map_err(|error| StorageError::new("read", &name, error))?;
    let SnapshotHeader { anchor, epoch, rules_version, digest, created_ns, .. } = header(&name, &page)?;
    Ok(SnapshotFacts { anchor, epoch, rules_version, digest, created_ns })
}

fn header(name: &str, page: &[u8; PAGE_BYTES]) -> Result<SnapshotHeader, SnapshotError> {
    SnapshotHeader::decode(page).map_err(|fault| match fault {
        SnapshotHeaderFault::Newer(version) => {
            SnapshotError::NewerFormat { file: name.to_owned(), version, supported: FORMAT_VERSION }
        }
        SnapshotHeaderFault::Unreadable(what) => damaged(name, 0, what),
    })
}

fn open(dir: &dyn Storage, name: &str) -> Result<Snapshot, SnapshotError> {
    let snapshot = load(dir, name, Source::Mapping)?;
    if let Some(piece) = first_unproven(snapshot.body(), snapshot.hashes()) {
        return Err(unproven(name, piece));
    }
    Ok(snapshot)
}

/// All but the body is proven.
fn load(dir: &dyn Storage, name: &str, source: Source) -> Result<Snapshot, SnapshotError> {
    let content = dir.load(name, source)?;
    let Some(page) = content.first_chunk::<PAGE_BYTES>() else {
        return Err(damaged(name, 0, "it is shorter than a header"));
    };
    let header = header(name, page)?;
    let body_bytes = usize::try_from(header.body_bytes).unwrap_or(usize::MAX);
    check_length(name, body_bytes, content.len())?;
    check_hashes(name, &header, &content[PAGE_BYTES + body_bytes..])?;
    Ok(Snapshot { header, content })
}

/// The header is of the snapshot after `lsn`, as its name says.
fn is_of(header: &SnapshotHeader, lsn: Lsn) -> Result<(), SnapshotError> {
    if header.anchor.lsn == lsn {
        return Ok(());
    }
    let detail = format!("it says that it was made after LSN {}", header.anchor.lsn);
    Err(SnapshotError::Damaged { file: file_name(lsn), offset: 0, detail })
}

/// The file is as long as its header says; the bytes of its hashes.
fn check_length(name: &str, body_bytes: usize, bytes: usize) -> Result<usize, SnapshotError> {
    let hash_bytes = body_bytes.div_ceil(SNAPSHOT_CHUNK_BYTES) * HASH_BYTES;
    if Some(bytes) == body_bytes.checked_add(PAGE_BYTES + hash_bytes) {
        return Ok(hash_bytes);
    }
    Err(damaged(name, bytes, "its length is not the one that its header says"))
}

fn check_hashes(name: &str, header: &SnapshotHeader, hashes: &[u8]) -> Result<(), SnapshotError> {
    if blake3::hash(hashes).as_bytes() == &header.chunks {
        return Ok(());
    }
    let offset = PAGE_BYTES + header.body_bytes as usize;
    Err(damaged(name, offset, "the hash of the pieces' hashes does not match"))
}

fn unproven(name: &str, piece: usize) -> SnapshotError {
    damaged(name, PAGE_BYTES + piece * SNAPSHOT_CHUNK_BYTES, "the hash of this piece does not match")
}

/// A snapshot of which only some parts are read, and proven as far as they are.
#[derive(Debug)]
pub struct SnapshotParts {
    snapshot: Snapshot,
    /// For each piece, whether it is proven.
    proven: Vec<bool>,
}

impl SnapshotParts {
    /// Opens the snapshot after the record at `lsn`.
    ///
    /// # Errors
    /// Its header or its hashes are damaged, it is of a newer format, or cannot be read.
    pub fn open(dir: &dyn Storage, lsn: Lsn) -> Result<Self, SnapshotError> {
        let snapshot = load(dir, &file_name(lsn), Source::RandomMapping)?.of(lsn)?;
        let proven = vec![false; snapshot.hashes().len() / HASH_BYTES];
        Ok(Self { snapshot, proven })
    }

    /// What is known of it.
    #[must_use]
    pub const fn facts(&self) -> SnapshotFacts {
        self.snapshot.facts()
    }

    /// The length of its body.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.snapshot.body().len()
    }

    /// A part of its body.
    ///
    /// # Errors
    /// A piece that it lies in is damaged.
    ///
    /// # Panics
    /// If the body has no such part.
    pub fn part(&mut self, range: Range<usize>) -> Result<&[u8], SnapshotError> {
        let body = self.snapshot.body();
        let pieces = body.chunks(SNAPSHOT_CHUNK_BYTES).zip(self.snapshot.hashes().chunks_exact(HASH_BYTES));
        let (first, end) = (range.start / SNAPSHOT_CHUNK_BYTES, range.end.div_ceil(SNAPSHOT_CHUNK_BYTES));
        for (number, (piece, hash)) in pieces.enumerate().take(end).skip(first) {
            if !self.proven[number] && blake3::hash(piece).as_bytes() != hash {
                return Err(unproven(&file_name(self.facts().anchor.lsn), number));
            }
            self.proven[number] = true;
        }
        Ok(&body[range])
    }
}

/// What became of a snapshot that was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// Every byte is what was written.
    Good {
        /// Bytes that were read.
        bytes: u64,
    },
    /// There is no such file: newer ones stand for it.
    Gone,
    /// `pace` ended it.
    Stopped,
}

/// Reads the snapshot after the record at `lsn` from the device, piece by piece, and proves all of it. `pace` is told how
/// many bytes are read next, may wait, and says whether to go on.
///
/// # Errors
/// It is damaged, of a newer format, or cannot be read.
pub fn prove(
    dir: &dyn Storage,
    lsn: Lsn,
    pace: &mut dyn FnMut(u64) -> bool,
) -> Result<Proven, SnapshotError> {
    let name = file_name(lsn);
    let Some(found) = dir.list()?.into_iter().find(|file| file.name == name) else { return Ok(Proven::Gone) };
    let file = match dir.open_device_read(&name) {
        Ok(file) => file,
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(Proven::Gone),
        Err(error) => return Err(error.into()),
    };
    if found.bytes < PAGE_BYTES as u64 {
        return Err(damaged(&name, 0, "it is shorter than a header"));
    }
    let read = |offset: u64, bytes: usize| {
        let mut room = vec![0; bytes];
        file.read_exact_at(offset, &mut room).map_err(|error| StorageError::new("read", &name, error))?;
        Ok::<_, StorageError>(room)
    };
    let mut page = [0; PAGE_BYTES];
    page.copy_from_slice(&read(0, PAGE_BYTES)?);
    let header = header(&name, &page)?;
    is_of(&header, lsn)?;
    let body_bytes = usize::try_from(header.body_bytes).unwrap_or(usize::MAX);
    let hash_bytes = check_length(&name, body_bytes, usize::try_from(found.bytes).unwrap_or(usize::MAX))?;
    let hashes = read((PAGE_BYTES + body_bytes) as u64, hash_bytes)?;
    check_hashes(&name, &header, &hashes)?;
    for (piece, hash) in hashes.chunks_exact(HASH_BYTES).enumerate() {
        let begin = piece * SNAPSHOT_CHUNK_BYTES;
        let bytes = SNAPSHOT_CHUNK_BYTES.min(body_bytes - begin);
        if !pace(bytes as u64) {
            return Ok(Proven::Stopped);
        }
        if blake3::hash(&read((PAGE_BYTES + begin) as u64, bytes)?).as_bytes() != hash {
            return Err(unproven(&name, piece));
        }
    }
    Ok(Proven::Good { bytes: found.bytes })
}

fn damaged(name: &str, offset: usize, detail: &str) -> SnapshotError {
    SnapshotError::Damaged { file: name.to_owned(), offset: offset as u64, detail: detail.to_owned() }
}

/// The first piece that does not have its hash. Hashing takes as long as everything else of a start together, so all
/// processors help.
fn first_unproven(body: &[u8], hashes: &[u8]) -> Option<usize> {
    let provers = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(PROVERS_MAX);
    let pieces = hashes.len() / HASH_BYTES;
    let share = pieces.div_ceil(provers).max(1);
    let prove = |first: usize| {
        let pieces = body.chunks(SNAPSHOT_CHUNK_BYTES).zip(hashes.chunks_exact(HASH_BYTES));
        let mut own = pieces.enumerate().skip(first).take(share);
        own.find(|(_, (piece, hash))| blake3::hash(piece).as_bytes() != *hash).map(|(piece, _)| piece)
    };
    thread::scope(|scope| {
        let shares: Vec<_> =
            (0..pieces).step_by(share).map(|first| scope.spawn(move || prove(first))).collect();
        shares.into_iter().filter_map(|share| share.join().unwrap_or(Some(0))).min()
    })
}
