//! A list that grows without moving what is in it: a single request never pays for a copy of millions of rows.

use alloc::vec::Vec;

use super::ahead;

const CHUNK_BITS: u32 = 14;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;

#[derive(Debug)]
pub(crate) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Chunked<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at >> CHUNK_BITS)?.get(at & (CHUNK_LEN - 1))
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.chunks.get_mut(at >> CHUNK_BITS)?.get_mut(at & (CHUNK_LEN - 1))
    }

    /// Asks for the memory of an element.
    #[inline]
    pub(crate) fn fetch(&self, at: usize) {
        if let Some(chunk) = self.chunks.get(at >> CHUNK_BITS) {
            ahead::fetch(chunk, at & (CHUNK_LEN - 1));
        }
    }

    pub(crate) fn push(&mut self, value: T) -> usize {
        let at = self.len;
        if at >> CHUNK_BITS == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK_LEN));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(value);
        }
        self.len += 1;
        at
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}
