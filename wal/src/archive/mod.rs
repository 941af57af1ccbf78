//! The archive: a directory of segments that have left the log's own, packed.
//!
//! In: a sealed segment that a snapshot covers. Out: the same bytes whenever somebody asks; the segment leaves the log's
//! directory only when its packed copy was read back from the device and unpacked to the same hash. Never here: which
//! segments may go; a segment that is removed before its copy is durable and proven.

mod packed;

use std::{io, sync::Arc};

use crate::{
    error::{ArchiveError, Corruption, Damage, StorageError},
    format::{ArchiveHeader, HEADER_BYTES, PAGE_BYTES, SegmentHeader, segment_name, segment_number},
    lsn::{ChainHash, Lsn},
    read::{SegmentExtent, check_segment, in_segment},
    storage::{Content, RandomRead, Source, Storage},
};

use packed::Packed;

const TEMPORARY_SUFFIX: &str = ".tmp";

fn packed_name(number: u64) -> String {
    format!("{}.zst", segment_name(number))
}

/// What is done one after the other when a segment leaves the log's directory. Wherever it is broken off, the segment is
/// in one of the two directories at least, and the next attempt goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveStep {
    /// Read it past the page cache, and prove every frame.
    Prove,
    /// Write the packed copy under a temporary name, and sync it.
    Pack,
    /// Read the copy past the page cache, unpack it, compare the hash.
    ReadBack,
    /// Give the copy its name, and sync the directory.
    Publish,
    /// Remove the segment from the log's directory, and sync that.
    Remove,
}

impl ArchiveStep {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Prove, Self::Pack, Self::ReadBack, Self::Publish, Self::Remove];
}

/// A directory of packed segments.
#[derive(Clone, Debug)]
pub struct Archive {
    dir: Arc<dyn Storage>,
}

/// A segment of the archive, by its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Archived {
    header: ArchiveHeader,
}

impl Archived {
    /// Its length before it was packed.
    pub(crate) const fn segment_bytes(&self) -> u64 {
        self.header.segment_bytes
    }

    pub(crate) const fn extent(&self) -> SegmentExtent {
        let ArchiveHeader { segment, epoch, first_lsn, end, .. } = self.header;
        SegmentExtent { number: segment, epoch, first_lsn, end }
    }

    pub(crate) const fn next_lsn(&self) -> Lsn {
        self.header.next_lsn
    }
}

impl Archive {
    /// The archive in `dir`, which need not exist as long as nothing is put into it.
    #[must_use]
    pub fn new(dir: Arc<dyn Storage>) -> Self {
        Self { dir }
    }

    /// Makes its directory, durably, unless it is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&self) -> Result<(), StorageError> {
        self.dir.make()
    }

    /// The numbers of all segments in it, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn segments(&self) -> Result<Vec<u64>, StorageError> {
        let files = self.dir.list()?;
        let number = |name: &str| segment_number(name.strip_suffix(".zst")?);
        let mut numbers: Vec<_> = files.iter().filter_map(|file| number(&file.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Files in it that look like packed segments and have no segment's name.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn strangers(&self) -> Result<Vec<String>, StorageError> {
        let files = self.dir.list()?.into_iter().map(|file| file.name);
        let named = |name: &str| segment_number(name.strip_suffix(".zst")?);
        Ok(files.filter(|name| name.ends_with(".zst") && named(name).is_none()).collect())
    }

    /// Whether it holds a segment.
    pub(crate) fn holds(&self, number: u64) -> bool {
        self.dir.holds(&packed_name(number))
    }

    /// What a segment says of itself; `None` if it is not here.
    pub(crate) fn find(&self, number: u64) -> Result<Option<Archived>, StorageError> {
        if !self.holds(number) {
            return Ok(None);
        }
        let name = packed_name(number);
        let mut bytes = [0; HEADER_BYTES];
        let file = self.dir.open_read(&name)?;
        file.read_exact_at(0, &mut bytes).map_err(|error| StorageError::new("read", &name, error))?;
        Ok(Some(Archived { header: checked_header(number, &bytes)? }))
    }

    /// The segment with a record, among those before segment `before`. A few headers are read.
    pub(crate) fn holding(&self, lsn: Lsn, before: u64) -> Result<Option<Archived>, StorageError> {
        // The archive may begin anywhere; from there on it has all segments.
        let (mut low, mut high) = (1, before);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.find(middle)? {
                Some(found) if lsn < found.header.first_lsn => high = middle,
                Some(found) if lsn < found.header.next_lsn => return Ok(Some(found)),
                Some(_) | None => low = middle + 1,
            }
        }
        Ok(None)
    }

    fn open(&self, number: u64, name: &str) -> Result<(ArchiveHeader, Packed), StorageError> {
        let content = self.dir.load(name, Source::RandomMapping)?;
        let header = content.first_chunk::<HEADER_BYTES>();
        let header = checked_header(number, header.unwrap_or(&[0; HEADER_BYTES]))?;
        let packed = Packed::open(content, HEADER_BYTES, header.segment_bytes);
        Ok((header, packed.map_err(|what| unreadable(name, what))?))
    }

    /// Reads of a segment, piece by piece.
    pub(crate) fn open_read(&self, number: u64) -> Result<Box<dyn RandomRead>, StorageError> {
        let (_, packed) = self.open(number, &packed_name(number))?;
        Ok(Box::new(packed))
    }

    /// A whole segment, unpacked.
    ///
    /// # Errors
    /// It is not here, it is damaged, or the operating system refuses.
    pub fn load(&self, number: u64) -> Result<Content, StorageError> {
        let name = packed_name(number);
        let (header, packed) = self.open(number, &name)?;
        let mut raw = Vec::with_capacity(header.segment_bytes as usize);
        packed
            .for_each(|piece| raw.extend_from_slice(piece))
            .map_err(|error| StorageError::new("unpack", &name, error))?;
        if blake3::hash(&raw).as_bytes() != &header.raw {
            return Err(unreadable(&name, "it does not unpack to the bytes that were packed"));
        }
        Ok(Content::new(raw))
    }

    /// Copies a segment to another archive, after it was proven.
    ///
    /// # Errors
    /// It is damaged, or the operating system refuses.
    pub fn copy_to(&self, other: &Self, number: u64) -> Result<(), StorageError> {
        let name = packed_name(number);
        self.load(number)?;
        copy(&*self.dir, &*other.dir, &name)
    }

    /// Moves the oldest segment of a log's directory here. Another one has to follow it there. `before` is asked before
    /// each step and can break it off; what was done until then stays, and the next attempt goes on.
    ///
    /// # Errors
    /// The segment is damaged (then look for a good copy), the archive holds another one under its number, or the
    /// operating system refuses. The segment is then still in the log's directory.
    pub fn take(
        &self,
        log: &dyn Storage,
        number: u64,
        mut before: impl FnMut(ArchiveStep) -> Result<(), StorageError>,
    ) -> Result<(), ArchiveError> {
        let name = packed_name(number);
        before(ArchiveStep::Prove)?;
        let (header, raw) = prove(log, number)?;
        if self.holds(number) {
            // Left here by an attempt that was broken off before it removed the segment.
            self.prove_copy(&name, &header)?;
        } else {
            let temporary = format!("{name}{TEMPORARY_SUFFIX}");
            before(ArchiveStep::Pack)?;
            self.pack(&temporary, &header, &raw).inspect_err(|_| {
                // A disk that is full needs its space now; what went wrong is told, and the next attempt writes over it.
                drop(self.dir.remove(&temporary));
            })?;
            before(ArchiveStep::ReadBack)?;
            self.prove_copy(&temporary, &header)?;
            before(ArchiveStep::Publish)?;
            self.dir.rename(&temporary, &name)?;
        }
        before(ArchiveStep::Remove)?;
        Ok(log.retire(&segment_name(number))?)
    }

    fn pack(&self, temporary: &str, header: &ArchiveHeader, raw: &Content) -> Result<(), StorageError> {
        let mut file = self.dir.begin(temporary)?;
        file.append(&header.encode())?;
        packed::pack(raw, &mut *file, temporary)?;
        file.finish()
    }

    /// What the device holds under `name` unpacks to the segment with this header.
    fn prove_copy(&self, name: &str, header: &ArchiveHeader) -> Result<(), ArchiveError> {
        self.dir.settle(name)?;
        let (found, packed) = self.open(header.segment, name)?;
        let mut hasher = blake3::Hasher::new();
        packed
            .for_each(|piece| {
                hasher.update(piece);
            })
            .map_err(|error| StorageError::new("unpack", name, error))?;
        if found == *header && hasher.finalize().as_bytes() == &header.raw {
            return Ok(());
        }
        Err(ArchiveError::Differs { file: self.dir.place(name), segment: segment_name(header.segment) })
    }
}

/// Copies a file that nobody writes to, durably.
///
/// # Errors
/// The operating system refuses.
pub fn copy(from: &dyn Storage, to: &dyn Storage, name: &str) -> Result<(), StorageError> {
    let content = from.load(name, Source::Mapping)?;
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    let mut file = to.begin(&temporary)?;
    content.chunks(1 << 20).try_for_each(|piece| file.append(piece))?;
    file.finish()?;
    to.rename(&temporary, name)
}

fn checked_header(number: u64, bytes: &[u8; HEADER_BYTES]) -> Result<ArchiveHeader, StorageError> {
    let name = packed_name(number);
    let header = ArchiveHeader::decode(bytes).map_err(|fault| unreadable(&name, &fault.to_string()))?;
    if header.segment == number {
        return Ok(header);
    }
    Err(unreadable(&name, &format!("it says that it is segment {:#x}", header.segment)))
}

fn unreadable(name: &str, what: &str) -> StorageError {
    StorageError::new("use archived", name, io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Proves every byte of a sealed segment, as the device holds it.
fn prove(log: &dyn Storage, number: u64) -> Result<(ArchiveHeader, Content), ArchiveError> {
    let name = segment_name(number);
    log.settle(&name)?;
    let raw = log.load(&name, Source::Mapping)?;
    let header = segment_header(number, &raw)?;
    let mut page = [0; PAGE_BYTES];
    let after = segment_name(number + 1);
    let file = log.open_read(&after)?;
    file.read_exact_at(0, &mut page).map_err(|error| StorageError::new("read", &after, error))?;
    let next = segment_header(number + 1, &page)?;
    let chain = prove_frames(&header, &next, &raw)?;
    let archive = ArchiveHeader {
        log: header.log,
        epoch: header.epoch,
        segment: number,
        first_lsn: header.first_lsn,
        next_lsn: next.first_lsn,
        end: next.previous_end,
        segment_bytes: raw.len() as u64,
        raw: blake3::hash(&raw).into(),
        chain,
    };
    Ok((archive, raw))
}

fn segment_header(number: u64, bytes: &[u8]) -> Result<SegmentHeader, Corruption> {
    let damage = |detail| in_segment(Damage::SegmentHeader, number, 0, Lsn::ZERO, detail);
    let header = SegmentHeader::decode(bytes).map_err(|fault| damage(fault.to_string()))?;
    if header.segment == number {
        return Ok(header);
    }
    Err(damage(format!("its header says that it is segment {:#x}", header.segment)))
}

/// The frames of a segment lead from its own header to the next one's; what lies behind them is what that one says.
fn prove_frames(
    header: &SegmentHeader,
    next: &SegmentHeader,
    raw: &Content,
) -> Result<ChainHash, ArchiveError> {
    let length = raw.len() as u64;
    if length != header.segment_bytes {
        let detail = format!("expected {} bytes, found {length}", header.segment_bytes);
        return Err(in_segment(Damage::SegmentLength, header.segment, 0, header.first_lsn, detail).into());
    }
    let found = check_segment(&Mapped(raw), header, &mut |_| true, &mut |_, _, _| {});
    let found = found.map_err(|error| StorageError::new("read", &segment_name(header.segment), error))?;
    let expected = (next.previous_end, next.first_lsn, next.previous_chain, next.previous_rest, next.log);
    if (found.end, found.next, found.chain, found.rest, header.log) == expected {
        return Ok(found.chain);
    }
    let reason = found.fault.map_or_else(|| "another end".to_owned(), |fault| fault.to_string());
    let detail = format!("expected the end that the header of the next segment names; here: {reason}");
    Err(in_segment(Damage::Frame, header.segment, found.end, found.next, detail).into())
}

/// A mapped file, read in pieces.
#[derive(Debug)]
struct Mapped<'a>(&'a Content);

impl RandomRead for Mapped<'_> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let piece = self.0.get(start..start.saturating_add(buffer.len()));
        buffer.copy_from_slice(piece.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
