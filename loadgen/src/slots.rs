//! Requests that are unanswered: a tag is a place here.
//!
//! In: what is sent. Out: what is known of it, when its reply comes. The place that was freed last is used next, so
//! that few of them stay in the cache.

use std::time::Instant;

use cage_engine::{AssetId, PlayerId, RequestId};

/// What is remembered of a request until it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// When it was sent, or was to be sent.
    pub(crate) at: Instant,
    pub(crate) id: RequestId,
    /// Who bets.
    pub(crate) player: PlayerId,
    /// In which asset.
    pub(crate) asset: AssetId,
    /// The stake, if it is a bet that has to be ended.
    pub(crate) stake: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Option<Sent>>,
    free: Vec<u32>,
}

impl Slots {
    /// Remembers; gives the tag.
    pub(crate) fn put(&mut self, sent: Sent) -> u64 {
        if let Some(place) = self.free.pop() {
            self.slots[place as usize] = Some(sent);
            return u64::from(place);
        }
        self.slots.push(Some(sent));
        self.slots.len() as u64 - 1
    }

    /// Takes out what was sent under `tag`; nothing if it is answered already, or never was sent.
    pub(crate) fn take(&mut self, tag: u64) -> Option<Sent> {
        let place = u32::try_from(tag).ok()?;
        let sent = self.slots.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(sent)
    }

    /// How many are unanswered.
    pub(crate) const fn outstanding(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_answered_once() {
        let mut slots = Slots::default();
        let sent = |id| Sent {
            at: Instant::now(),
            id: RequestId(id),
            player: PlayerId::NONE,
            asset: AssetId(1),
            stake: 0,
        };
        let (first, second) = (slots.put(sent(1)), slots.put(sent(2)));
        assert_eq!(slots.take(first).map(|sent| sent.id.0), Some(1));
        assert!(slots.take(first).is_none());
        assert!(slots.take(99).is_none());
        assert_eq!(slots.outstanding(), 1);
        assert_eq!(slots.put(sent(3)), first, "a freed place is used again");
        assert_eq!(slots.take(second).map(|sent| sent.id.0), Some(2));
    }
}
