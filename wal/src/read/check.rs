//! Checks one segment by itself, piece by piece, from whatever it is read with.
//!
//! In: a segment's header and its bytes. Out: where its frames end, the chain there, what follows, and the first thing
//! that is not as it should be. Never here: a whole segment in memory, a verdict over the log; that needs the segments
//! around it.

use std::io;

use crate::{
    format::{FRAME_BYTES_MAX, FrameFault, FrameHeader, PAGE, SegmentHeader, SegmentIdentity, is_zero},
    lsn::{ChainHash, Lsn},
    storage::RandomRead,
};

/// Bytes that are read at a time; a frame always fits.
const WINDOW_BYTES: usize = 4 * FRAME_BYTES_MAX;

/// What a segment was found to hold.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// The LSN after its last frame.
    pub(crate) next: Lsn,
    /// The chain after its last frame.
    pub(crate) chain: ChainHash,
    /// Where its frames end.
    pub(crate) end: u64,
    pub(crate) frames: u64,
    pub(crate) records: u64,
    /// BLAKE3 of what follows, or zeroes if it is zeroes.
    pub(crate) rest: [u8; 32],
    /// Bytes from the end of the frames to the last one that is not zero.
    pub(crate) rest_bytes: u64,
    /// Why what follows is not the next frame; nothing if it is zeroes.
    pub(crate) fault: Option<FrameFault>,
}

/// A look at the file at a time, and somebody who may slow it down or end it.
pub(super) struct Window<'a> {
    file: &'a dyn RandomRead,
    bytes: u64,
    room: Vec<u8>,
    begin: u64,
    pace: &'a mut dyn FnMut(u64) -> bool,
}

/// Reading was ended by whoever paced it.
pub(crate) const STOPPED: io::ErrorKind = io::ErrorKind::Interrupted;

impl<'a> Window<'a> {
    /// Of the first `bytes` of a file.
    pub(super) fn new(file: &'a dyn RandomRead, bytes: u64, pace: &'a mut dyn FnMut(u64) -> bool) -> Self {
        Self { file, bytes, room: Vec::new(), begin: 0, pace }
    }

    /// The bytes from `offset` on: at least as many as the longest frame, unless the file ends before.
    pub(super) fn at(&mut self, offset: u64) -> io::Result<&[u8]> {
        let wanted = (self.bytes - offset).min(FRAME_BYTES_MAX as u64);
        if offset < self.begin || self.begin + (self.room.len() as u64) < offset + wanted {
            let length = (self.bytes - offset).min(WINDOW_BYTES as u64);
            if !(self.pace)(length) {
                return Err(io::Error::new(STOPPED, "reading was ended"));
            }
            self.room.resize(length as usize, 0);
            self.file.read_exact_at(offset, &mut self.room)?;
            self.begin = offset;
        }
        Ok(&self.room[(offset - self.begin) as usize..])
    }
}

/// Reads a segment from its first frame to the last byte of its file. `pace` is told the bytes of each piece before it is
/// read, and says whether to go on; `visit` sees each frame.
pub(crate) fn check_segment(
    file: &dyn RandomRead,
    header: &SegmentHeader,
    pace: &mut dyn FnMut(u64) -> bool,
    visit: &mut dyn FnMut(u64, &FrameHeader, ChainHash),
) -> io::Result<Checked> {
    let identity = SegmentIdentity::new(header.log, header.epoch, header.segment);
    let bytes = header.segment_bytes;
    let mut window = Window::new(file, bytes, pace);
    let mut found = Checked {
        next: header.first_lsn,
        chain: header.chain_after(),
        end: PAGE,
        frames: 0,
        records: 0,
        rest: crate::format::NO_REST,
        rest_bytes: 0,
        fault: None,
    };
    while found.end < bytes {
        let rest = window.at(found.end)?;
        match identity.verify(rest, found.end, found.next, found.chain) {
            Ok(frame) => {
                let chain = ChainHash::of_frame(&rest[..frame.frame_bytes()]);
                visit(found.end, &frame, chain);
                (found.next, found.chain) = (frame.next_lsn(), chain);
                found.end += frame.frame_bytes() as u64;
                found.frames += 1;
                found.records += u64::from(frame.records);
            }
            Err(fault) => {
                found.fault = Some(fault);
                break;
            }
        }
    }
    (found.rest, found.rest_bytes) = rest_of(&mut window, found.end)?;
    if found.rest_bytes == 0 {
        found.fault = None;
    }
    Ok(found)
}

/// The hash of what follows the frames, and how far it is not zero.
fn rest_of(window: &mut Window<'_>, end: u64) -> io::Result<([u8; 32], u64)> {
    let mut hasher = blake3::Hasher::new();
    let (mut at, mut used) = (end, 0);
    while at < window.bytes {
        let piece = window.at(at)?;
        if !is_zero(piece) {
            let last = piece.iter().rposition(|byte| *byte != 0).unwrap_or_default();
            used = at + last as u64 + 1 - end;
        }
        hasher.update(piece);
        at += piece.len() as u64;
    }
    Ok((if used == 0 { crate::format::NO_REST } else { hasher.finalize().into() }, used))
}
