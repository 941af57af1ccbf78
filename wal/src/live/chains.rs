//! The chain after each of the latest frames: what a client was shown a moment ago can be compared without a read.
//!
//! In: the ends of frames that are durable, from the flusher. Out: the hash after a frame, while it is young; the
//! frames since a position, for whoever signs them. Never here: a frame that is not durable, an unbounded memory.

use std::collections::VecDeque;

use crate::lsn::{ChainHash, Lsn};

/// Frames that are remembered: some seconds under full load, hours without; 40 bytes each.
const FRAMES_REMEMBERED: usize = 1 << 16;

/// Where a frame ends, and the chain there. The chain after a frame is the frame's own hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEnd {
    /// The frame's last record.
    pub last_lsn: Lsn,
    /// The chain after it.
    pub chain: ChainHash,
}

/// The latest frames, oldest first.
#[derive(Debug, Default)]
pub(super) struct RecentFrames {
    frames: VecDeque<FrameEnd>,
}

impl RecentFrames {
    pub(super) fn extend(&mut self, frames: &[FrameEnd]) {
        let kept = FRAMES_REMEMBERED.saturating_sub(frames.len());
        self.frames.drain(..self.frames.len().saturating_sub(kept));
        self.frames.extend(frames);
    }

    /// The chain after the frame that ends with `lsn`, if it is among the latest.
    pub(super) fn chain_after(&self, lsn: Lsn) -> Option<ChainHash> {
        let index = self.frames.binary_search_by_key(&lsn, |frame| frame.last_lsn).ok()?;
        Some(self.frames[index].chain)
    }

    /// The frames after `lsn`, if none of them is forgotten: the one that ends with `lsn` is still here.
    pub(super) fn after(&self, lsn: Lsn) -> Option<Vec<FrameEnd>> {
        let index = self.frames.binary_search_by_key(&lsn, |frame| frame.last_lsn).ok()?;
        Some(self.frames.range(index + 1..).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(lsn: u64) -> FrameEnd {
        FrameEnd { last_lsn: Lsn(lsn), chain: ChainHash::from_bytes([lsn as u8; 32]) }
    }

    #[test]
    fn the_latest_frames_are_known_by_their_end_and_by_nothing_else() {
        let mut recent = RecentFrames::default();
        recent.extend(&[end(3), end(7)]);
        recent.extend(&[end(8)]);
        assert_eq!(recent.chain_after(Lsn(7)), Some(ChainHash::from_bytes([7; 32])));
        assert_eq!(recent.chain_after(Lsn(5)), None, "no frame ends there");
        assert_eq!(recent.after(Lsn(3)), Some(vec![end(7), end(8)]));
        assert_eq!(recent.after(Lsn(8)), Some(vec![]));
        assert_eq!(recent.after(Lsn(2)), None, "what lies between is not known");
    }

    #[test]
    fn old_frames_are_forgotten_in_their_order() {
        let mut recent = RecentFrames::default();
        for round in 0..3 {
            let frames: Vec<_> = (0..30_000).map(|frame| end(round * 30_000 + frame)).collect();
            recent.extend(&frames);
        }
        assert_eq!(recent.frames.len(), FRAMES_REMEMBERED);
        let oldest = 90_000 - FRAMES_REMEMBERED as u64;
        assert!(recent.chain_after(Lsn(oldest)).is_some() && recent.chain_after(Lsn(oldest - 1)).is_none());
        assert!(recent.after(Lsn(89_990)).is_some_and(|frames| frames.len() == 9));
    }
}
