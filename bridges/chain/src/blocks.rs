//! Following a chain that may change its mind, by references of blocks alone.
//!
//! In: what the chain says stands at a height. Out: one step: a block that follows, a block that was given up, nothing
//! new, or that more was given up than is remembered. Never here: what blocks hold, a clock, a network.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::types::BlockRef;

/// The newest blocks that were worked off, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    blocks: VecDeque<BlockRef>,
    /// The height of the first block that matters.
    start: u64,
    /// How many blocks can be given up before somebody has to look.
    depth_max: usize,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This block comes next: work it off, then [`Trail::connect`] it.
    Connect(BlockRef),
    /// This block, the newest, is not on the chain any more: undo it, then [`Trail::disconnect`] it.
    Disconnect(BlockRef),
    /// There is nothing new.
    Wait,
    /// More blocks were given up than are remembered.
    TooDeep {
        /// The oldest block that is remembered, and is gone as well.
        oldest: BlockRef,
    },
}

impl Trail {
    /// A trail that begins at a height and remembers so many blocks.
    #[must_use]
    pub const fn new(start: u64, depth_max: usize) -> Self {
        Self { blocks: VecDeque::new(), start, depth_max }
    }

    /// The height to ask for.
    #[must_use]
    pub fn next_height(&self) -> u64 {
        self.blocks.back().map_or(self.start, |tip| tip.height + 1)
    }

    /// The newest block.
    #[must_use]
    pub fn tip(&self) -> Option<&BlockRef> {
        self.blocks.back()
    }

    /// The block at a height, if it is remembered.
    #[must_use]
    pub fn at(&self, height: u64) -> Option<&BlockRef> {
        let first = self.blocks.front()?.height;
        self.blocks.get(usize::try_from(height.checked_sub(first)?).ok()?)
    }

    /// Decides on a step by what stands at [`Self::next_height`], and at the tip's own height.
    ///
    /// A chain that is shorter than it was has not said anything yet: an endpoint may lag. Only another block at the
    /// tip's height, or a next block with another parent, says that the tip was given up.
    #[must_use]
    pub fn step(&self, next: Option<&BlockRef>, at_tip: Option<&BlockRef>) -> Step {
        let Some(tip) = self.blocks.back() else {
            return next.map_or(Step::Wait, |next| Step::Connect(*next));
        };
        let replaced = at_tip.is_some_and(|now| now.hash != tip.hash);
        match next {
            Some(next) if next.parent == tip.hash && !replaced => Step::Connect(*next),
            None if !replaced => Step::Wait,
            // The two answers are of two moments: the tip is asked for again.
            Some(_) if !replaced && at_tip.is_some() => Step::Wait,
            Some(_) if at_tip.is_none() => Step::Wait,
            _ if self.blocks.len() <= 1 => Step::TooDeep { oldest: *tip },
            _ => Step::Disconnect(*tip),
        }
    }

    /// Appends a block that was worked off.
    pub fn connect(&mut self, block: BlockRef) {
        self.blocks.push_back(block);
        // One more than may be given up, to know where the rest hangs.
        while self.blocks.len() > self.depth_max + 1 {
            self.blocks.pop_front();
        }
    }

    /// Takes the newest block away, which was undone.
    pub fn disconnect(&mut self) -> Option<BlockRef> {
        self.blocks.pop_back()
    }

    /// How many blocks there are from a height to the newest, both counted.
    #[must_use]
    pub fn confirmations(&self, height: u64) -> u64 {
        self.blocks.back().map_or(0, |tip| (tip.height + 1).saturating_sub(height))
    }

    /// The height below which nothing is given up any more without somebody looking at it.
    #[must_use]
    pub fn settled_height(&self) -> u64 {
        self.next_height().saturating_sub(self.depth_max as u64 + 1)
    }
}
