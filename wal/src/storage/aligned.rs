//! A buffer whose bytes begin on a page boundary, as `O_DIRECT` demands.
//!
//! In: a length. Out: a slice of bytes. Never here: unsafe; the vector is longer than needed and never grows.

use std::ops::{Deref, DerefMut};

use crate::format::PAGE_BYTES;

#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl AlignedBuffer {
    /// `bytes` zeroes.
    pub(crate) fn new(bytes: usize) -> Self {
        let memory = vec![0; bytes + PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES);
        assert!(start <= PAGE_BYTES, "a page boundary lies in the first page");
        Self { memory, start, bytes }
    }

    /// Keeps so many bytes, if there are more.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.bytes = self.bytes.min(bytes);
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.bytes]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_begins_on_a_page_boundary() {
        for bytes in [0, 1, PAGE_BYTES, 10 * PAGE_BYTES + 1] {
            let buffer = AlignedBuffer::new(bytes);
            assert_eq!(buffer.as_ptr().addr() % PAGE_BYTES, 0);
            assert_eq!(buffer.len(), bytes);
        }
    }
}
