//! Reads sealed segments again, past the page cache, and compares each with what its successor says of it.
//!
//! In: a storage, a segment's number, a pace. Out: what was read, or the damage. Bytes that rot after they were durable
//! are found while there is still a copy of them elsewhere. Never here: a write, a segment that is still written to.

use crate::{
    error::{Corruption, Damage, StorageError},
    format::{PAGE_BYTES, SegmentHeader, segment_name, segment_number},
    lsn::Lsn,
    storage::Storage,
};

use super::{
    check::{STOPPED, check_segment},
    survey::in_segment,
};

/// What became of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// Every byte is what was sealed.
    Good {
        /// Frames in it.
        frames: u64,
        /// Bytes that were read.
        bytes: u64,
    },
    /// It is not what was sealed.
    Damaged(Box<Corruption>),
    /// It has no successor yet: the last one in use, or one that was never used.
    NotSealed,
    /// There is no such file: it was archived and removed.
    Gone,
    /// `pace` ended it.
    Stopped,
}

/// The segments in a storage, by number, whatever they hold.
///
/// # Errors
/// The operating system refuses.
pub fn segment_numbers(storage: &dyn Storage) -> Result<Vec<u64>, StorageError> {
    let mut numbers: Vec<_> = storage.list()?.iter().filter_map(|file| segment_number(&file.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads segment `number` from the device and checks all of it. `pace` is told how many bytes are read next, may wait,
/// and says whether to go on.
///
/// # Errors
/// The operating system refuses. A read that fails is damage too, but not of a kind that can be described here.
pub fn scrub_segment(
    storage: &dyn Storage,
    number: u64,
    pace: &mut dyn FnMut(u64) -> bool,
) -> Result<Scrubbed, StorageError> {
    let Some(successor) = header_of(storage, number + 1)? else { return Ok(Scrubbed::NotSealed) };
    let Ok(successor) = successor else { return Ok(Scrubbed::NotSealed) };
    let header = match header_of(storage, number)? {
        Some(Ok(header)) => header,
        Some(Err(fault)) => return Ok(damaged(Damage::SegmentHeader, number, 0, Lsn::ZERO, fault)),
        None => return Ok(Scrubbed::Gone),
    };
    let name = segment_name(number);
    let failed = |error| StorageError::new("read", &name, error);
    let file = storage.open_device_read(&name)?;
    let mut bytes = 0;
    let mut count = |piece: u64| {
        bytes += piece;
        pace(piece)
    };
    let checked = match check_segment(&*file, &header, &mut count, &mut |_, _, _| {}) {
        Ok(checked) => checked,
        Err(error) if error.kind() == STOPPED => return Ok(Scrubbed::Stopped),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            let detail = format!("expected {} bytes, found fewer", header.segment_bytes);
            return Ok(damaged(Damage::SegmentLength, number, 0, header.first_lsn, detail));
        }
        Err(error) => return Err(failed(error)),
    };
    let at = |kind, detail| Ok(damaged(kind, number, checked.end, checked.next, detail));
    if checked.end != successor.previous_end || checked.next != successor.first_lsn {
        let expected =
            format!("frames up to offset {}, LSN {}", successor.previous_end, successor.first_lsn.previous());
        let reason = checked.fault.map_or_else(|| "zeroes".to_owned(), |fault| fault.to_string());
        return at(Damage::Frame, format!("expected {expected}; here: {reason}"));
    }
    if checked.chain != successor.previous_chain || header.log != successor.log {
        return at(
            Damage::Continuity,
            format!("the next segment continues the chain {}", successor.previous_chain),
        );
    }
    if checked.rest != successor.previous_rest {
        return at(Damage::Rest, "their hash is not the one in the header of the next segment".to_owned());
    }
    Ok(Scrubbed::Good { frames: checked.frames, bytes })
}

fn damaged(kind: Damage, number: u64, offset: u64, lsn: Lsn, detail: impl ToString) -> Scrubbed {
    Scrubbed::Damaged(Box::new(in_segment(kind, number, offset, lsn, detail.to_string())))
}

/// A segment's header as the device holds it; nothing if there is no such file.
fn header_of(
    storage: &dyn Storage,
    number: u64,
) -> Result<Option<Result<SegmentHeader, String>>, StorageError> {
    let name = segment_name(number);
    let file = match storage.open_device_read(&name) {
        Ok(file) => file,
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut page = [0; PAGE_BYTES];
    match file.read_exact_at(0, &mut page) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Ok(Some(Err("shorter than a page".to_owned())));
        }
        Err(error) => return Err(StorageError::new("read", &name, error)),
    }
    let header = SegmentHeader::decode(&page).map_err(|fault| fault.to_string());
    Ok(Some(header.and_then(|header| {
        if header.segment == number {
            Ok(header)
        } else {
            Err(format!("it says that it is segment {:#x}", header.segment))
        }
    })))
}
