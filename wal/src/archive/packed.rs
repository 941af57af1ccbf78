//! Packed bytes of which any part can be read: the seekable format of zstd.
//!
//! In: the bytes of a segment, or of a file that may hold anything. Out: frames of zstd with a table of their places,
//! or the bytes again. Never here: room for more bytes than the table was checked for.
//!
//! The first frame holds the segment's first page alone, so that its header costs little; each other one a MiB. The
//! table stands at the end, in a frame that zstd skips: any program that unpacks zstd gives back the segment.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use crate::{
    error::StorageError,
    format::PAGE_BYTES,
    storage::{Content, NewFile, RandomRead},
};

/// Bytes of a piece before it is packed.
const PIECE_BYTES: usize = 1 << 20;
/// A level that packs records well and unpacks at the speed of a disk.
const LEVEL: i32 = 3;

const TABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const SKIPPED_HEADER_BYTES: usize = 8;
const ENTRY_BYTES: usize = 8;
const FOOTER_BYTES: usize = 9;

/// Writes the bytes of a segment, packed, and the table of the pieces, to a file of this name.
pub(super) fn pack(raw: &[u8], file: &mut dyn NewFile, name: &str) -> Result<(), StorageError> {
    let failed = |error| StorageError::new("pack", name, error);
    let (page, rest) = raw.split_at(raw.len().min(PAGE_BYTES));
    let mut table = Vec::new();
    let mut packer = zstd::bulk::Compressor::new(LEVEL).map_err(failed)?;
    for piece in std::iter::once(page).chain(rest.chunks(PIECE_BYTES)) {
        let packed = packer.compress(piece).map_err(failed)?;
        table.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        table.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        file.append(&packed)?;
    }
    let pieces = table.len() / ENTRY_BYTES;
    let mut end = Vec::with_capacity(SKIPPED_HEADER_BYTES + table.len() + FOOTER_BYTES);
    end.extend_from_slice(&TABLE_MAGIC.to_le_bytes());
    end.extend_from_slice(&((table.len() + FOOTER_BYTES) as u32).to_le_bytes());
    end.extend_from_slice(&table);
    end.extend_from_slice(&(pieces as u32).to_le_bytes());
    end.push(0);
    end.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
    file.append(&end)
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where it lies in the file.
    at: usize,
    packed: usize,
    raw_at: u64,
    raw: usize,
}

/// A packed file whose table was checked.
#[derive(Debug)]
pub(super) struct Packed {
    content: Content,
    pieces: Vec<Piece>,
    /// The piece that was unpacked last: reads often come to the same one.
    unpacked: Mutex<Option<(usize, Vec<u8>)>>,
}

impl Packed {
    /// `content` is the file, `begin` its bytes before the first piece, `raw_bytes` what all pieces unpack to.
    pub(super) fn open(content: Content, begin: usize, raw_bytes: u64) -> Result<Self, &'static str> {
        let table = table(&content)?;
        let (mut pieces, mut at, mut raw_at) = (Vec::with_capacity(table.len() / ENTRY_BYTES), begin, 0);
        for entry in table.as_chunks::<ENTRY_BYTES>().0 {
            let [a, b, c, d, e, f, g, h] = *entry;
            let (packed, raw) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            if raw as usize > PIECE_BYTES {
                return Err("its table names a piece that is too long");
            }
            pieces.push(Piece { at, packed: packed as usize, raw_at, raw: raw as usize });
            at += packed as usize;
            raw_at += u64::from(raw);
        }
        if at + SKIPPED_HEADER_BYTES + table.len() + FOOTER_BYTES != content.len() || raw_at != raw_bytes {
            return Err("its table does not fit its length");
        }
        Ok(Self { content, pieces, unpacked: Mutex::new(None) })
    }

    fn unpack_piece(&self, piece: &Piece) -> io::Result<Vec<u8>> {
        let packed = &self.content[piece.at..piece.at + piece.packed];
        let raw = zstd::bulk::decompress(packed, piece.raw)?;
        if raw.len() == piece.raw {
            return Ok(raw);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a piece unpacks to fewer bytes than its table says"))
    }

    /// All bytes, one piece after the other.
    pub(super) fn for_each(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| self.unpack_piece(piece).map(|raw| take(&raw)))
    }
}

impl RandomRead for Packed {
    fn read_exact_at(&self, offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut offset = offset;
        while !buffer.is_empty() {
            let index = self.pieces.partition_point(|piece| piece.raw_at + piece.raw as u64 <= offset);
            let Some(piece) = self.pieces.get(index) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if unpacked.as_ref().is_none_or(|(held, _)| *held != index) {
                *unpacked = Some((index, self.unpack_piece(piece)?));
            }
            let raw = unpacked.as_ref().map_or(&[][..], |(_, raw)| raw);
            let from = (offset - piece.raw_at) as usize;
            let length = buffer.len().min(raw.len() - from);
            let (now, later) = buffer.split_at_mut(length);
            now.copy_from_slice(&raw[from..from + length]);
            buffer = later;
            offset += length as u64;
        }
        Ok(())
    }
}

/// The entries of the table at the end of a file.
fn table(content: &[u8]) -> Result<&[u8], &'static str> {
    const WRONG: &str = "there is no table of its pieces at its end";
    let (rest, footer) = content.split_last_chunk::<FOOTER_BYTES>().ok_or(WRONG)?;
    let [a, b, c, d, descriptor, m, n, o, p] = *footer;
    if u32::from_le_bytes([m, n, o, p]) != SEEKABLE_MAGIC || descriptor != 0 {
        return Err(WRONG);
    }
    let entries = u32::from_le_bytes([a, b, c, d]) as usize * ENTRY_BYTES;
    let start = rest.len().checked_sub(entries).ok_or(WRONG)?;
    let (before, table) = rest.split_at(start);
    let (_, header) = before.split_last_chunk::<SKIPPED_HEADER_BYTES>().ok_or(WRONG)?;
    let mut expected = [0; SKIPPED_HEADER_BYTES];
    expected[..4].copy_from_slice(&TABLE_MAGIC.to_le_bytes());
    expected[4..].copy_from_slice(&((entries + FOOTER_BYTES) as u32).to_le_bytes());
    if *header == expected { Ok(table) } else { Err(WRONG) }
}
