//! CRC32 of blocks, bound to the place where they lie, and the test for zeroes.
//!
//! In: bytes and where they belong. Out: a checksum that a block read from anywhere else does not have.
//! Never here: the hash chain, which is BLAKE3 over whole frames.

use super::{BLOCK_BYTES, HEADER_BYTES};
use crate::lsn::{Epoch, LogId};

/// The checksum of the blocks of one segment: seeded once, then once more with each block's file offset.
#[derive(Clone, Debug)]
pub(crate) struct BlockSums {
    seeded: crc32fast::Hasher,
}

impl BlockSums {
    /// Binds to a log, an epoch and a segment (slot files use segment 0).
    pub(crate) fn new(log: LogId, epoch: Epoch, segment: u64) -> Self {
        let mut seeded = crc32fast::Hasher::new();
        seeded.update(&log.0.to_le_bytes());
        seeded.update(&epoch.0.to_le_bytes());
        seeded.update(&segment.to_le_bytes());
        Self { seeded }
    }

    fn at(&self, offset: u64) -> crc32fast::Hasher {
        let mut hasher = self.seeded.clone();
        hasher.update(&offset.to_le_bytes());
        hasher
    }

    /// The checksum of a block that lies at `offset` in the file.
    pub(crate) fn block(&self, offset: u64, block: &[u8]) -> u32 {
        let mut hasher = self.at(offset);
        hasher.update(block);
        hasher.finalize()
    }

    /// The same for a block that begins with a header whose bytes from `skip` to its end hold checksums:
    /// those bytes count as zero. `block` is at least a header long.
    pub(crate) fn header_block(&self, offset: u64, block: &[u8], skip: usize) -> u32 {
        const ZEROES: [u8; HEADER_BYTES] = [0; HEADER_BYTES];
        let mut hasher = self.at(offset);
        hasher.update(&block[..skip]);
        hasher.update(&ZEROES[skip..]);
        hasher.update(&block[HEADER_BYTES..]);
        hasher.finalize()
    }

    /// The checksums of all blocks of a frame at `offset`, the first one being a
    /// [`header_block`](Self::header_block).
    pub(crate) fn frame<'a>(
        &'a self,
        offset: u64,
        frame: &'a [u8],
        skip: usize,
    ) -> impl Iterator<Item = u32> + 'a {
        frame.chunks(BLOCK_BYTES).enumerate().map(move |(index, block)| {
            let at = offset + (index * BLOCK_BYTES) as u64;
            if index == 0 { self.header_block(at, block, skip) } else { self.block(at, block) }
        })
    }
}

/// Whether all bytes are zero. Looks at sixteen bytes at a time, so that empty segments cost little.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    let mut groups = words.chunks(64);
    groups.all(|group| group.iter().fold(0, |sum, word| sum | u128::from_le_bytes(*word)) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_read_from_the_wrong_place_has_another_checksum() {
        let block = [7_u8; BLOCK_BYTES];
        let here = BlockSums::new(LogId(1), Epoch(2), 3).block(4096, &block);
        assert_eq!(here, BlockSums::new(LogId(1), Epoch(2), 3).block(4096, &block));
        assert_ne!(here, BlockSums::new(LogId(1), Epoch(2), 3).block(8192, &block), "another offset");
        assert_ne!(here, BlockSums::new(LogId(1), Epoch(2), 4).block(4096, &block), "another segment");
        assert_ne!(here, BlockSums::new(LogId(1), Epoch(9), 3).block(4096, &block), "another epoch");
        assert_ne!(here, BlockSums::new(LogId(9), Epoch(2), 3).block(4096, &block), "another log");
    }

    #[test]
    fn one_set_bit_anywhere_is_not_zero() {
        let mut bytes = vec![0_u8; 2500];
        assert!(is_zero(&bytes));
        for at in 0..bytes.len() {
            bytes[at] = 1 << (at % 8);
            assert!(!is_zero(&bytes), "byte {at}");
            bytes[at] = 0;
        }
    }
}
