//! The names of things. None of them is a bare integer, and each knows how to be checked.

use core::fmt;

use crate::time::Timestamp;

/// The position of a record in the log: rises by one per record from 1, never reused. 0 means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// No record.
    pub const NONE: Self = Self(0);
    /// The first record of a log.
    pub const FIRST: Self = Self(1);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The caller's name for a request: 128 bits, time-ordered (`UUIDv7`), never zero. For an operation with a
/// permanent key it is that key: a digest of the outside fact, with no time in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

impl RequestId {
    /// The id that records of the ledger's own doing carry.
    pub const NONE: Self = Self(0);

    /// The time inside a `UUIDv7`: its upper 48 bits are milliseconds since 1970 (RFC 9562, 5.7).
    #[must_use]
    pub const fn time(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as u64)
    }

    /// A `UUIDv7` of `time` and 74 bits of the caller's randomness.
    #[must_use]
    pub const fn from_time(time: Timestamp, random: u128) -> Self {
        const VERSION: u128 = 0x7 << 76;
        const VARIANT: u128 = 0b10 << 62;
        const RANDOM_HIGH: u128 = 0xfff << 64;
        const RANDOM_LOW: u128 = (1 << 62) - 1;
        let time = (time.millis() as u128) << 80;
        Self(time | VERSION | VARIANT | (random & (RANDOM_HIGH | RANDOM_LOW)))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The caller's own opaque name for a player. No personal data: it stands in the log for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerId(pub u128);

/// The key of something outside, never zero: a digest of a provider and its own number for a transaction or a round,
/// or of a text. It has no time in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(pub u128);

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A player: a dense number that the ledger hands out, times 100, plus two check digits.
///
/// The digits are ISO/IEC 7064 MOD 97-10, as in an IBAN: they catch every single mistyped decimal digit and
/// nearly every swap, so that a slip is refused and does not pay a stranger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayerId(u64);

impl PlayerId {
    /// No player.
    pub const NONE: Self = Self(0);
    /// How many players one ledger can name: their ids fit the 40 owner bits of an [`AccountId`](crate::AccountId).
    pub const COUNT_MAX: u64 = (1 << 28) - 2;

    /// The id of the player with this dense number, counted from 0.
    #[must_use]
    pub const fn from_index(index: u32) -> Self {
        let hundreds = (index as u64 + 1) * 100;
        Self(hundreds + (98 - hundreds % 97))
    }

    /// Accepts a number whose check digits are right.
    ///
    /// # Errors
    /// [`WrongCheckDigits`] if they are not.
    pub const fn new(number: u64) -> Result<Self, WrongCheckDigits> {
        let index = number / 100;
        if index == 0 || index > Self::COUNT_MAX || Self::from_index((index - 1) as u32).0 != number {
            return Err(WrongCheckDigits);
        }
        Ok(Self(number))
    }

    /// A number that was checked when it was written (a record's, an account's).
    #[must_use]
    pub(crate) const fn trusted(number: u64) -> Self {
        Self(number)
    }

    /// The number with its check digits, as people and programs pass it around.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The dense number, counted from 0; meaningless for [`Self::NONE`].
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0 / 100).wrapping_sub(1) as usize
    }
}

impl fmt::Display for PlayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The check digits of a player's number do not fit the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongCheckDigits;

/// An asset: a dense number that the ledger hands out, from 1. 0 means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId(pub u16);

impl AssetId {
    /// No asset.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A game: the provider's number in the upper 12 bits, the provider's own number for the game in the lower 20.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GameId(pub u32);

impl GameId {
    /// A game of a provider; both numbers are cut to their bits.
    #[must_use]
    pub const fn new(provider: u16, game: u32) -> Self {
        Self(((provider as u32 & 0xfff) << 20) | (game & 0xf_ffff))
    }

    /// Who runs the game.
    #[must_use]
    pub const fn provider(self) -> u16 {
        (self.0 >> 20) as u16
    }
}

/// A player's session: a number that the ledger hands out, from 1. 0 means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl SessionId {
    /// No session.
    pub const NONE: Self = Self(0);
}
