//! Changes a log on purpose, so that whoever audits logs can see that a change is found.
//!
//! In: the folder of a log that nobody else uses, a record, what becomes of its frame's records, and how much of what vouches for
//! them is mended. Out: the changed files. Never here: a copy (whoever calls makes one first), a log in use, what a record
//! means.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    format::{
        ControlSlot, FrameHeader, HEADER_BYTES, PAGE, PAGE_BYTES, RECORD_BYTES, Record, SLOTS, SegmentHeader,
        SegmentIdentity, encode_frame, frame_bytes_for, segment_name, segment_number,
    },
    lsn::{ChainHash, Lsn},
    read::CONTROL_NAME,
};

/// How much of what vouches for the bytes is made to fit the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Nothing: as a disk would do it.
    Nothing,
    /// The checksums of the frame: as somebody would who knows the format.
    Checksums,
    /// The checksums, and the hash chain up to the log's end with the control file: as somebody would who has all files in hand.
    Chain,
}

/// Why a log cannot be changed there.
#[derive(Debug, thiserror::Error)]
pub enum ForgeFault {
    /// The operating system refuses.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record is not in the folder.
    #[error("there is no record {lsn} in this folder: it holds the records {first} to {last}")]
    NoRecord {
        /// Which one.
        lsn: Lsn,
        /// The first that is there.
        first: Lsn,
        /// The last that was found.
        last: Lsn,
    },
    /// The log is not whole already.
    #[error("segment {segment:#x} cannot be read at offset {offset}: {reason}")]
    Unreadable {
        /// Where.
        segment: u64,
        /// Where in it.
        offset: u64,
        /// What was expected there.
        reason: String,
    },
    /// With fewer records, or more, everything behind them would have other LSNs.
    #[error("a chain is mended only where as many records stand as before")]
    CountDiffers,
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged {
    /// In which segment.
    pub segment: u64,
    /// Where in its file the record stood.
    pub offset: u64,
    /// How many frames were written anew.
    pub frames: u64,
}

/// A frame in its file.
struct Found {
    segment: u64,
    file: File,
    path: PathBuf,
    offset: u64,
    identity: SegmentIdentity,
    header: FrameHeader,
    records: Vec<Record>,
}

/// Changes the records of the frame with record `lsn`: `change` is given all of them, and which one it is.
///
/// # Errors
/// [`ForgeFault`]; what was written by then stays.
pub fn forge(
    log: &Path,
    lsn: Lsn,
    mend: Mend,
    change: impl FnOnce(&mut Vec<Record>, usize),
) -> Result<Forged, ForgeFault> {
    let segments = segments(log)?;
    let mut found = find(log, &segments, lsn)?;
    let index = (lsn.0 - found.header.first_lsn.0) as usize;
    let mut records = found.records.clone();
    change(&mut records, index);
    let place = found.offset + (HEADER_BYTES + index * RECORD_BYTES) as u64;
    let forged = Forged { segment: found.segment, offset: place, frames: 1 };
    match mend {
        Mend::Nothing => {
            let bytes = records.concat();
            found.write(HEADER_BYTES as u64, &bytes)?;
            // What a removed record leaves behind is no record any more.
            let gone = found.records.len().saturating_sub(records.len()) * RECORD_BYTES;
            found.write((HEADER_BYTES + bytes.len()) as u64, &vec![0; gone])?;
            Ok(forged)
        }
        Mend::Checksums => {
            found.encode(&records)?;
            Ok(forged)
        }
        Mend::Chain if records.len() != found.records.len() => Err(ForgeFault::CountDiffers),
        Mend::Chain => {
            let chain = found.encode(&records)?;
            let frames = rechain(log, &segments, found, chain)?;
            Ok(Forged { frames, ..forged })
        }
    }
}

fn file_fault(path: &Path) -> impl FnOnce(io::Error) -> ForgeFault {
    let path = path.to_owned();
    move |source| ForgeFault::File { path, source }
}

fn segments(log: &Path) -> Result<Vec<u64>, ForgeFault> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(log).map_err(file_fault(log))? {
        let name = entry.map_err(file_fault(log))?.file_name();
        numbers.extend(name.to_str().and_then(segment_number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn open(log: &Path, number: u64) -> Result<(PathBuf, File), ForgeFault> {
    let path = log.join(segment_name(number));
    let file = File::options().read(true).write(true).open(&path).map_err(file_fault(&path))?;
    Ok((path, file))
}

/// The header of a segment; none if it is not used yet.
fn header(path: &Path, file: &File) -> Result<Option<SegmentHeader>, ForgeFault> {
    let mut page = [0; PAGE_BYTES];
    file.read_exact_at(&mut page, 0).map_err(file_fault(path))?;
    Ok(SegmentHeader::decode(&page).ok())
}

fn find(log: &Path, segments: &[u64], lsn: Lsn) -> Result<Found, ForgeFault> {
    let (mut first, mut last) = (None, Lsn(0));
    for number in segments {
        let (path, file) = open(log, *number)?;
        let Some(header) = header(&path, &file)? else { break };
        first = first.or(Some(header.first_lsn));
        let mut frames = Frames::of(path, file, &header);
        while let Some(found) = frames.next_frame()? {
            last = found.header.next_lsn().previous();
            if found.header.first_lsn <= lsn && lsn <= last {
                return Ok(found);
            }
        }
    }
    Err(ForgeFault::NoRecord { lsn, first: first.unwrap_or(Lsn(0)), last })
}

/// The frames of one segment, one by one.
struct Frames {
    path: PathBuf,
    file: File,
    identity: SegmentIdentity,
    segment: u64,
    offset: u64,
    next: Lsn,
}

impl Frames {
    fn of(path: PathBuf, file: File, header: &SegmentHeader) -> Self {
        let identity = SegmentIdentity::new(header.log, header.epoch, header.segment);
        Self { path, file, identity, segment: header.segment, offset: PAGE, next: header.first_lsn }
    }

    /// The next one; none where the segment ends.
    fn next_frame(&mut self) -> Result<Option<Found>, ForgeFault> {
        let length = self.file.metadata().map_err(file_fault(&self.path))?.len();
        if self.offset + PAGE > length {
            return Ok(None);
        }
        let mut page = [0; PAGE_BYTES];
        self.file.read_exact_at(&mut page, self.offset).map_err(file_fault(&self.path))?;
        let is_next = |header: &FrameHeader| header.first_lsn == self.next;
        let Some(header) = self.identity.plausible_header(&page).filter(is_next) else { return Ok(None) };
        let mut frame = vec![0; header.frame_bytes()];
        self.file.read_exact_at(&mut frame, self.offset).map_err(file_fault(&self.path))?;
        let verified = self.identity.verify_unchained(&frame, self.offset, self.next);
        let (header, records) = verified.map_err(|fault| ForgeFault::Unreadable {
            segment: self.segment,
            offset: self.offset,
            reason: fault.to_string(),
        })?;
        let found = Found {
            segment: self.segment,
            file: self.file.try_clone().map_err(file_fault(&self.path))?,
            path: self.path.clone(),
            offset: self.offset,
            identity: self.identity.clone(),
            header,
            records: records.to_vec(),
        };
        self.offset += header.frame_bytes() as u64;
        self.next = header.next_lsn();
        Ok(Some(found))
    }
}

impl Found {
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), ForgeFault> {
        self.file.write_all_at(bytes, self.offset + at).map_err(file_fault(&self.path))
    }

    /// Writes the frame anew, with its checksums; gives the chain after it. One without records is wiped out.
    fn encode(&mut self, records: &[Record]) -> Result<ChainHash, ForgeFault> {
        let room = self.header.frame_bytes();
        self.header.records = records.len() as u32;
        let (frame, chain) = if records.is_empty() {
            (Vec::new(), self.header.previous_chain)
        } else {
            let mut frame = vec![0; frame_bytes_for(records.len())];
            frame[HEADER_BYTES..HEADER_BYTES + records.len() * RECORD_BYTES]
                .copy_from_slice(&records.concat());
            let chain = encode_frame(&mut frame, self.offset, &self.header, &self.identity);
            (frame, chain)
        };
        self.write(0, &frame)?;
        self.write(frame.len() as u64, &vec![0; room - frame.len()])?;
        Ok(chain)
    }
}

/// Weaves everything behind a frame into the chain that it has now. Gives how many frames were written, with that one.
fn rechain(log: &Path, segments: &[u64], changed: Found, mut chain: ChainHash) -> Result<u64, ForgeFault> {
    let mut ends = vec![(changed.header.next_lsn().previous(), chain)];
    for number in segments.iter().filter(|number| **number >= changed.segment) {
        let (path, file) = open(log, *number)?;
        let Some(mut header) = header(&path, &file)? else { break };
        let mut frames = if *number == changed.segment {
            let mut frames = Frames::of(path, file, &header);
            frames.offset = changed.offset + changed.header.frame_bytes() as u64;
            frames.next = changed.header.next_lsn();
            frames
        } else {
            header.previous_chain = chain;
            file.write_all_at(&header.encode(), 0).map_err(file_fault(&path))?;
            chain = header.chain_after();
            Frames::of(path, file, &header)
        };
        while let Some(mut found) = frames.next_frame()? {
            found.header.previous_chain = chain;
            let records = std::mem::take(&mut found.records);
            chain = found.encode(&records)?;
            ends.push((found.header.next_lsn().previous(), chain));
        }
    }
    mend_control(log, &ends)?;
    Ok(ends.len() as u64)
}

/// The control file says of what it says was durable that it ends with the new chain.
fn mend_control(log: &Path, ends: &[(Lsn, ChainHash)]) -> Result<(), ForgeFault> {
    let path = log.join(CONTROL_NAME);
    let file = File::options().read(true).write(true).open(&path).map_err(file_fault(&path))?;
    for index in 0..SLOTS {
        let mut page = [0; PAGE_BYTES];
        file.read_exact_at(&mut page, (index * PAGE_BYTES) as u64).map_err(file_fault(&path))?;
        let Ok(mut slot) = ControlSlot::decode(index, &page) else { continue };
        if let Ok(place) = ends.binary_search_by_key(&slot.durable_lsn, |(last, _)| *last) {
            slot.chain = ends[place].1;
            file.write_all_at(&slot.encode(), slot.offset()).map_err(file_fault(&path))?;
        }
    }
    Ok(())
}
