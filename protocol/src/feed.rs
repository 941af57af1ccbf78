//! The feed: durable records as they come, from any place of the log on, chosen by a filter.
//!
//! In: the items of the feed's frames, or values. Out: the other. Never here: which records a filter matches in a log
//! (that needs a record's neighbours), who may subscribe to what.

use alloc::vec::Vec;

use cage_engine::{Lsn, OperationKind, PlayerId, RECORD_BYTES, layout};
use rkyv::{Archive, Serialize};

/// The bytes of a request to be fed.
pub const SUBSCRIBE_BYTES: usize = 64;
/// The bytes of more credit.
pub const CREDIT_BYTES: usize = 8;
/// The bytes of a record in the feed: its LSN and the record.
pub const FEED_ITEM_BYTES: usize = 8 + RECORD_BYTES;
/// The most records in one frame of the feed.
pub const FEED_ITEMS_MAX: usize = 256;
/// The bytes of a word of progress.
pub const PROGRESS_BYTES: usize = 16;
/// The bytes of a feed's end.
pub const FEED_END_BYTES: usize = 128;
const KINDS_BYTES: usize = 32;
const TEXT_BYTES: usize = FEED_END_BYTES - 16;
/// Providers are numbered in 12 bits.
const PROVIDER_MAX: u16 = (1 << 12) - 1;

/// Which records are wanted: those for which everything holds that is said here. Nothing said: all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Records of this player, and transfers to it.
    pub player: Option<PlayerId>,
    /// Records of a game of this provider, also those that end a hold or a round on it, or that move money of its clearing account.
    pub provider: Option<u16>,
    /// Records of these operations. A continuation is of its head's.
    pub kinds: KindSet,
}

impl Filter {
    /// All records.
    pub const EVERYTHING: Self = Self { player: None, provider: None, kinds: KindSet::ALL };

    /// Only those that concern a player.
    #[must_use]
    pub const fn of_player(self, player: PlayerId) -> Self {
        Self { player: Some(player), ..self }
    }

    /// Only those that concern a provider.
    #[must_use]
    pub const fn of_provider(self, provider: u16) -> Self {
        Self { provider: Some(provider), ..self }
    }

    /// Only those of some operations.
    #[must_use]
    pub fn of_kinds(self, kinds: &[OperationKind]) -> Self {
        Self { kinds: KindSet::of(kinds), ..self }
    }
}

/// Some operations, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindSet([u8; KINDS_BYTES]);

impl KindSet {
    /// All operations, also those that only a newer version knows.
    pub const ALL: Self = Self([0; KINDS_BYTES]);

    /// These operations; of none at all, all.
    #[must_use]
    pub fn of(kinds: &[OperationKind]) -> Self {
        let mut bits = [0; KINDS_BYTES];
        for kind in kinds {
            let number = usize::from(kind.number());
            bits[number / 8] |= 1 << (number % 8);
        }
        Self(bits)
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    /// Whether an operation of this number is wanted.
    #[must_use]
    pub fn contains(&self, number: u16) -> bool {
        let number = usize::from(number);
        self.is_all() || self.0.get(number / 8).is_some_and(|byte| byte & (1 << (number % 8)) != 0)
    }

    /// The operations that are named; nothing if it is all, or names one that this version does not know.
    #[must_use]
    pub fn named(&self) -> Option<Vec<OperationKind>> {
        if self.is_all() {
            return None;
        }
        let numbers = (0..KINDS_BYTES as u16 * 8).filter(|number| self.contains(*number));
        numbers.map(OperationKind::from_number).collect()
    }
}

const _: () = {
    let mut at = 0;
    while at < OperationKind::ALL.len() {
        assert!((OperationKind::ALL[at] as usize) < KINDS_BYTES * 8, "every operation has a bit");
        at += 1;
    }
};

/// A request to be fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The record after which to begin; 0 = with the first of the log.
    pub after: Lsn,
    /// Which records.
    pub filter: Filter,
    /// How many records may be sent until more credit is given.
    pub credit: u64,
}

#[derive(Archive, Serialize)]
struct SubscribeLayout {
    after: u64,
    player: u64,
    provider: u16,
    flags: u16,
    zero: u32,
    kinds: [u8; KINDS_BYTES],
    credit: u64,
}

const _: () = assert!(size_of::<ArchivedSubscribeLayout>() == SUBSCRIBE_BYTES);

const FLAG_PLAYER: u16 = 1;
const FLAG_PROVIDER: u16 = 2;

impl Subscribe {
    /// The item in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SUBSCRIBE_BYTES] {
        let Self { after, filter, credit } = self;
        let flag = |set: bool, flag| if set { flag } else { 0 };
        layout::write(&SubscribeLayout {
            after: after.0,
            player: filter.player.map_or(0, PlayerId::number),
            provider: filter.provider.unwrap_or(0),
            flags: flag(filter.player.is_some(), FLAG_PLAYER)
                | flag(filter.provider.is_some(), FLAG_PROVIDER),
            zero: 0,
            kinds: filter.kinds.0,
            credit: *credit,
        })
    }

    /// Reads an item; the name of the field that is not right, if it is none.
    ///
    /// # Errors
    /// The field.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let layout = layout::read::<SubscribeLayout>(bytes).ok_or("length")?;
        let flags = layout.flags.to_native();
        let (player, provider) = (layout.player.to_native(), layout.provider.to_native());
        if flags & !(FLAG_PLAYER | FLAG_PROVIDER) != 0 || layout.zero.to_native() != 0 {
            return Err("flags");
        }
        let player = match (flags & FLAG_PLAYER != 0, player) {
            (false, 0) => None,
            (false, _) => return Err("player"),
            (true, number) => Some(PlayerId::new(number).map_err(|_| "player")?),
        };
        let provider = match (flags & FLAG_PROVIDER != 0, provider) {
            (false, 0) => None,
            (true, number) if number <= PROVIDER_MAX => Some(number),
            _ => return Err("provider"),
        };
        let filter = Filter { player, provider, kinds: KindSet(layout.kinds) };
        Ok(Self { after: Lsn(layout.after.to_native()), filter, credit: layout.credit.to_native() })
    }
}

/// Where a feed stands when nothing of it is under way: everything up to here that its filter wants was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Up to here.
    pub position: Lsn,
    /// How far the log was durable then.
    pub durable: Lsn,
}

impl Progress {
    /// The item in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PROGRESS_BYTES] {
        let mut bytes = [0; PROGRESS_BYTES];
        bytes[..8].copy_from_slice(&self.position.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.durable.0.to_le_bytes());
        bytes
    }

    /// Reads an item; nothing if it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (position, rest) = bytes.split_first_chunk()?;
        let durable = <[u8; 8]>::try_from(rest).ok()?;
        let [position, durable] = [*position, durable].map(|bytes| Lsn(u64::from_le_bytes(bytes)));
        Some(Self { position, durable })
    }
}

/// A record in the feed, as bytes.
///
/// In: an item of a frame of the feed. Out: its LSN and the record's bytes; nothing if it is too short.
#[must_use]
pub fn read_feed_item(item: &[u8]) -> Option<(Lsn, &[u8; RECORD_BYTES])> {
    let (lsn, record) = item.split_first_chunk()?;
    Some((Lsn(u64::from_le_bytes(*lsn)), record.try_into().ok()?))
}

cage_engine::numbered! {
    /// Why the server ended a feed. A number, once given, keeps its meaning.
    #[non_exhaustive]
    pub enum FeedEndCode: u16 {
        /// Records were waiting and the client took none of them for too long: subscribe again from where it stands.
        TooSlow = 1, "too_slow";
        /// The server shuts down: subscribe again at the next one.
        Draining = 2, "draining";
        /// The caller's role, or its permits, do not cover what the filter lets through.
        NotAllowed = 3, "not_allowed";
        /// The place to begin after is not durable here: acknowledged records are missing, or it was never shown.
        Ahead = 4, "ahead";
        /// The log at this server does not go back so far, or cannot be read there.
        Unavailable = 5, "unavailable";
        /// The subscription has a field that no filter of this version has.
        Malformed = 6, "malformed";
        /// There are as many subscriptions as the server takes: try again later.
        TooMany = 7, "too_many";
        /// The server met a fault of its own; its log says which.
        Internal = 8, "internal";
    }
}

/// The end of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedEnd<'a> {
    /// Why; nothing if this version does not know the number.
    pub code: Option<FeedEndCode>,
    /// After which record to subscribe again: all before were sent.
    pub resume_after: Lsn,
    /// For people.
    pub reason: &'a str,
}

impl<'a> FeedEnd<'a> {
    /// The item in bytes. A reason that is too long is cut.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; FEED_END_BYTES] {
        let mut bytes = [0; FEED_END_BYTES];
        bytes[..2].copy_from_slice(&self.code.map_or(0, |code| code as u16).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.resume_after.0.to_le_bytes());
        let mut length = self.reason.len().min(TEXT_BYTES);
        while !self.reason.is_char_boundary(length) {
            length -= 1;
        }
        bytes[16..16 + length].copy_from_slice(&self.reason.as_bytes()[..length]);
        bytes
    }

    /// Reads an item; nothing if it is none.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (code, rest) = bytes.split_first_chunk()?;
        let resume_after = Lsn(u64::from_le_bytes(rest.get(6..14)?.try_into().ok()?));
        let text = bytes.get(16..FEED_END_BYTES)?;
        let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        let reason = core::str::from_utf8(&text[..length]).unwrap_or_default();
        Some(Self { code: FeedEndCode::from_number(u16::from_le_bytes(*code)), resume_after, reason })
    }
}
