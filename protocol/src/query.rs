//! Queries: a look at the ledger or its log that is answered by a page of rows or records.
//!
//! In: the items of a query's frames, or values. Out: the other. Never here: who may ask what, how it is found.

use cage_engine::{AssetId, Lsn, PlayerId, layout};
use rkyv::{Archive, Serialize};

use crate::feed::FeedEndCode;

/// The bytes of a query.
pub const QUERY_BYTES: usize = 64;
/// The bytes of a row.
pub const ROW_BYTES: usize = 128;
/// The bytes of a query's end.
pub const QUERY_END_BYTES: usize = 128;
/// The most rows or records of one page.
pub const PAGE_ROWS_MAX: usize = 256;
const TEXT_AT: usize = 24;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[non_exhaustive]
pub enum QueryKind {
    /// The records decided under an id: a request id, a permanent key.
    Operation = 1,
    /// The record of a provider's transaction.
    Transaction = 2,
    /// A player's records, the latest first.
    History = 3,
    /// Open holds, the oldest first.
    OpenHolds = 4,
    /// Open rounds, the oldest first.
    OpenRounds = 5,
    /// One open round.
    Round = 6,
    /// What open bets can pay, by game and asset.
    Exposures = 7,
    /// What players owe, by asset and player.
    Receivables = 8,
}

impl QueryKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Operation,
        Self::Transaction,
        Self::History,
        Self::OpenHolds,
        Self::OpenRounds,
        Self::Round,
        Self::Exposures,
        Self::Receivables,
    ];

    fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == number)
    }
}

/// A query. What does not concern its kind is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// What.
    pub kind: QueryKind,
    /// Only of this asset; none = of all.
    pub asset: AssetId,
    /// How many rows at most.
    pub limit: u16,
    /// Only of this player.
    pub player: Option<PlayerId>,
    /// Only of games of this provider.
    pub provider: Option<u16>,
    /// Where the page before ended; 0 = begin.
    pub cursor: u64,
    /// The id, transaction or round that is looked for.
    pub id: u128,
}

#[derive(Archive, Serialize)]
struct QueryLayout {
    kind: u16,
    asset: u16,
    limit: u16,
    flags: u16,
    player: u64,
    provider: u16,
    zero: [u8; 6],
    cursor: u64,
    id: u128,
    zero_too: u128,
}

const _: () = assert!(size_of::<ArchivedQueryLayout>() == QUERY_BYTES);

const FLAG_PLAYER: u16 = 1;
const FLAG_PROVIDER: u16 = 2;

impl Query {
    /// A query of a kind for as much as a page holds.
    #[must_use]
    pub const fn new(kind: QueryKind) -> Self {
        let limit = PAGE_ROWS_MAX as u16;
        Self { kind, asset: AssetId::NONE, limit, player: None, provider: None, cursor: 0, id: 0 }
    }

    /// The item in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; QUERY_BYTES] {
        let flag = |set: bool, flag| if set { flag } else { 0 };
        layout::write(&QueryLayout {
            kind: self.kind as u16,
            asset: self.asset.0,
            limit: self.limit,
            flags: flag(self.player.is_some(), FLAG_PLAYER) | flag(self.provider.is_some(), FLAG_PROVIDER),
            player: self.player.map_or(0, PlayerId::number),
            provider: self.provider.unwrap_or(0),
            zero: [0; 6],
            cursor: self.cursor,
            id: self.id,
            zero_too: 0,
        })
    }

    /// Reads an item.
    ///
    /// # Errors
    /// The name of the field that is not right.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let layout = layout::read::<QueryLayout>(bytes).ok_or("length")?;
        let (flags, limit) = (layout.flags.to_native(), layout.limit.to_native());
        let (player, provider) = (layout.player.to_native(), layout.provider.to_native());
        let zero = layout.zero == [0; 6] && layout.zero_too.to_native() == 0;
        if flags & !(FLAG_PLAYER | FLAG_PROVIDER) != 0 || !zero {
            return Err("flags");
        }
        if limit == 0 || usize::from(limit) > PAGE_ROWS_MAX {
            return Err("limit");
        }
        let player = match (flags & FLAG_PLAYER != 0, player) {
            (false, 0) => None,
            (true, number) => Some(PlayerId::new(number).map_err(|_| "player")?),
            (false, _) => return Err("player"),
        };
        let provider = match (flags & FLAG_PROVIDER != 0, provider) {
            (false, 0) => None,
            (true, number) => Some(number),
            (false, _) => return Err("provider"),
        };
        Ok(Self {
            kind: QueryKind::from_number(layout.kind.to_native()).ok_or("kind")?,
            asset: AssetId(layout.asset.to_native()),
            limit,
            player,
            provider,
            cursor: layout.cursor.to_native(),
            id: layout.id.to_native(),
        })
    }
}

/// A row of a list. What a field means depends on the list; those that mean nothing are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What the list is ordered by: the record that opened it, or a number of its own.
    pub place: u64,
    /// Whose.
    pub player: u64,
    /// The hold's or the round's name.
    pub key: u128,
    /// In what.
    pub asset: u16,
    /// On which game.
    pub game: u32,
    /// In which session.
    pub session: u32,
    /// How many of a round's holds are open.
    pub open_holds: u32,
    /// When it was opened, nanoseconds since 1970.
    pub opened_at: u64,
    /// When it ends by time; 0 = not by time.
    pub until: u64,
    /// What is left of a stake, what a round staked, what open bets can pay, what is owed.
    pub amount: u128,
    /// What a hold can still pay, what a round won.
    pub payout: u128,
    /// A hold's round.
    pub round: u128,
}

#[derive(Archive, Serialize)]
struct RowLayout {
    place: u64,
    player: u64,
    key: u128,
    asset: u16,
    zero: u16,
    game: u32,
    session: u32,
    open_holds: u32,
    opened_at: u64,
    until: u64,
    amount: u128,
    payout: u128,
    round: u128,
    zero_too: u128,
}

const _: () = assert!(size_of::<ArchivedRowLayout>() == ROW_BYTES);

impl Row {
    /// The item in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ROW_BYTES] {
        let Self { place, player, key, asset, game, session, open_holds, opened_at, until, .. } = *self;
        let Self { amount, payout, round, .. } = *self;
        let (zero, zero_too) = (0, 0);
        layout::write(&RowLayout {
            place,
            player,
            key,
            asset,
            zero,
            game,
            session,
            open_holds,
            opened_at,
            until,
            amount,
            payout,
            round,
            zero_too,
        })
    }

    /// Reads an item; nothing if it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let row = layout::read::<RowLayout>(bytes)?;
        Some(Self {
            place: row.place.to_native(),
            player: row.player.to_native(),
            key: row.key.to_native(),
            asset: row.asset.to_native(),
            game: row.game.to_native(),
            session: row.session.to_native(),
            open_holds: row.open_holds.to_native(),
            opened_at: row.opened_at.to_native(),
            until: row.until.to_native(),
            amount: row.amount.to_native(),
            payout: row.payout.to_native(),
            round: row.round.to_native(),
        })
    }
}

/// The end of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryEnd<'a> {
    /// Why there is no answer, if there is none; by the numbers of a feed's end.
    pub fault: Option<FeedEndCode>,
    /// There is more after this page.
    pub more: bool,
    /// Where the next page begins.
    pub cursor: u64,
    /// The latest record that was seen; it is durable.
    pub as_of: Lsn,
    /// For people.
    pub reason: &'a str,
}

impl<'a> QueryEnd<'a> {
    /// The item in bytes. A reason that is too long is cut.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; QUERY_END_BYTES] {
        let mut bytes = [0; QUERY_END_BYTES];
        bytes[..2].copy_from_slice(&self.fault.map_or(0, |code| code as u16).to_le_bytes());
        bytes[2] = u8::from(self.more);
        bytes[8..16].copy_from_slice(&self.cursor.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.as_of.0.to_le_bytes());
        let mut length = self.reason.len().min(QUERY_END_BYTES - TEXT_AT);
        while !self.reason.is_char_boundary(length) {
            length -= 1;
        }
        bytes[TEXT_AT..TEXT_AT + length].copy_from_slice(&self.reason.as_bytes()[..length]);
        bytes
    }

    /// Reads an item; nothing if it is none. A fault that this version does not know is one of the server's own.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let bytes: &'a [u8; QUERY_END_BYTES] = bytes.try_into().ok()?;
        let number = u16::from_le_bytes([bytes[0], bytes[1]]);
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let text = bytes.get(TEXT_AT..)?;
        let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        Some(Self {
            fault: (number != 0).then(|| FeedEndCode::from_number(number).unwrap_or(FeedEndCode::Internal)),
            more: bytes[2] != 0,
            cursor: word(8)?,
            as_of: Lsn(word(16)?),
            reason: core::str::from_utf8(&text[..length]).unwrap_or_default(),
        })
    }
}
