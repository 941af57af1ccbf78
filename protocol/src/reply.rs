//! The answer to one item, in 64 bytes.

use cage_engine::table::HandsOut;
use cage_engine::{AccountId, AssetId, Balance, Lsn, Purse, Record, ResultCode, layout};
use rkyv::{Archive, Serialize};

/// The bytes of a reply in a frame.
pub const REPLY_BYTES: usize = 64;

/// The answer to a request or a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The tag of the request.
    pub tag: u64,
    /// What became of it.
    pub result: ResultCode,
    /// Whether the answer is that of an earlier record: the request is a repetition.
    pub repeated: bool,
    /// The record that holds the decision; for a read, the latest record that it saw. 0 = there is none.
    pub lsn: Lsn,
    /// The asset concerned; for `open_asset` the number handed out.
    pub asset: AssetId,
    /// The number that the ledger handed out, if the operation is one that gets one: a player's, a session's, a
    /// grant's, an address's. Otherwise the player's.
    pub player: u64,
    /// The player's `available` purse after the record, if the record moved it, or at the time of a read. For a
    /// read of totals: what all players hold; of a purse: what it holds; of a session: what its meter holds.
    pub available: Option<Balance>,
    /// The player's `reserved` purse likewise. For a read of totals: what the house holds.
    pub reserved: Option<Balance>,
}

#[derive(Archive, Serialize)]
struct ReplyLayout {
    tag: u64,
    lsn: u64,
    player: u64,
    result: u16,
    asset: u16,
    flags: u16,
    zero: u16,
    available: i128,
    reserved: i128,
}

const _: () = assert!(size_of::<ArchivedReplyLayout>() == REPLY_BYTES);

const FLAG_AVAILABLE: u16 = 1;
const FLAG_RESERVED: u16 = 2;
const FLAG_REPEATED: u16 = 4;
const FLAGS: u16 = FLAG_AVAILABLE | FLAG_RESERVED | FLAG_REPEATED;

impl Reply {
    /// A reply without a record: nothing was executed.
    #[must_use]
    pub const fn without_record(tag: u64, result: ResultCode) -> Self {
        Self {
            tag,
            result,
            repeated: false,
            lsn: Lsn::NONE,
            asset: AssetId::NONE,
            player: 0,
            available: None,
            reserved: None,
        }
    }

    /// The reply that a record gives, now and ever after.
    #[must_use]
    pub fn of_record(tag: u64, lsn: Lsn, record: &Record, repeated: bool) -> Self {
        let request = &record.request;
        // An asset's number stands in the place for assets.
        let of_its_own = !matches!(request.kind.spec().hands_out, HandsOut::Asset);
        let after = |purse| record.balance_after(AccountId::of_player(request.asset, purse, request.player));
        Self {
            tag,
            result: record.result,
            repeated,
            lsn,
            asset: request.asset,
            player: record.handed_out().filter(|_| of_its_own).unwrap_or_else(|| request.player.number()),
            available: after(Purse::Available),
            reserved: after(Purse::Reserved),
        }
    }

    /// The reply in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; REPLY_BYTES] {
        let flag = |set: bool, flag| if set { flag } else { 0 };
        let flags = flag(self.available.is_some(), FLAG_AVAILABLE)
            | flag(self.reserved.is_some(), FLAG_RESERVED)
            | flag(self.repeated, FLAG_REPEATED);
        layout::write(&ReplyLayout {
            tag: self.tag,
            lsn: self.lsn.0,
            player: self.player,
            result: self.result.number(),
            asset: self.asset.0,
            flags,
            zero: 0,
            available: self.available.unwrap_or_default().0,
            reserved: self.reserved.unwrap_or_default().0,
        })
    }

    /// Reads a reply; nothing if it is none, or has a result that this version does not know.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let layout = layout::read::<ReplyLayout>(bytes)?;
        let flags = layout.flags.to_native();
        if flags & !FLAGS != 0 || layout.zero.to_native() != 0 {
            return None;
        }
        let balance = |flag, held| (flags & flag != 0).then_some(Balance(held));
        Some(Self {
            tag: layout.tag.to_native(),
            result: ResultCode::from_number(layout.result.to_native())?,
            repeated: flags & FLAG_REPEATED != 0,
            lsn: Lsn(layout.lsn.to_native()),
            asset: AssetId(layout.asset.to_native()),
            player: layout.player.to_native(),
            available: balance(FLAG_AVAILABLE, layout.available.to_native()),
            reserved: balance(FLAG_RESERVED, layout.reserved.to_native()),
        })
    }
}
