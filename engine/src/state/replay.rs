//! A state that records are applied to, and that nobody decides upon before all are.
//!
//! In: an image, records in their order. Out: the state after them. Never here: a decision: what is remembered of requests
//! is not ready to be looked up, which makes a replay faster, and nothing gives the state away before it is.

use super::State;
use super::image::{Both, ImageFault};
use crate::apply::ApplyFault;
use crate::id::Lsn;
use crate::record::Record;
use crate::request::Request;
use crate::time::Timestamp;

/// A state on its way to the end of its log.
#[derive(Debug)]
pub struct Replay(State);

impl Replay {
    /// From a state on.
    #[must_use]
    pub fn new(state: State) -> Self {
        let mut replay = Self(state);
        replay.fall_behind();
        replay
    }

    /// From the state that an image was made of, its two halves read as `both` likes: the players with the house, and all
    /// that comes behind. `seed` is as in [`State::new`].
    ///
    /// # Errors
    /// [`ImageFault`] at the first bytes that no image has there.
    pub fn from_image_by(both: &impl Both, image: &[u8], seed: u64) -> Result<Self, ImageFault> {
        State::read_image(both, image, seed).map(Self::new)
    }

    /// As [`State::touch`].
    pub fn touch<'a>(&self, requests: impl IntoIterator<Item = &'a Request> + Clone) {
        self.0.touch(requests);
    }

    /// As [`State::apply`].
    ///
    /// # Errors
    /// As there.
    pub fn apply(&mut self, lsn: Lsn, record: &Record) -> Result<(), ApplyFault> {
        self.0.apply(lsn, record)?;
        // The record may have been the one that lays down how much is remembered.
        self.fall_behind();
        Ok(())
    }

    fn fall_behind(&mut self) {
        if let Some(ids) = &mut self.0.ids {
            ids.fall_behind();
        }
    }

    /// The record that comes next.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        self.0.next_lsn()
    }

    /// The time of the latest record.
    #[must_use]
    pub const fn clock(&self) -> Timestamp {
        self.0.clock()
    }

    /// As [`State::digest`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest()
    }

    /// As [`State::write_image`].
    ///
    /// # Errors
    /// What `take` says.
    pub fn write_image<E>(&self, take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.0.write_image(take)
    }

    /// The state, ready for decisions.
    #[must_use]
    pub fn finish(mut self) -> State {
        if let Some(ids) = &mut self.0.ids {
            ids.keep_up();
        }
        self.0
    }
}
