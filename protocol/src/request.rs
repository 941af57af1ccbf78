//! What a client asks, as an item of a frame: 104 bytes of content, a tag for the reply, a grant, 14 bytes of zero.

use cage_engine::request::REQUEST_BYTES;
use cage_engine::{AssetId, Malformed, PlayerId, Purse, Request, ResultCode, SessionId};

/// The bytes of a request in a frame.
pub const WIRE_REQUEST_BYTES: usize = 128;
const TAG_AT: usize = REQUEST_BYTES;
const GRANT_AT: usize = TAG_AT + 8;
const ZERO_AT: usize = GRANT_AT + 2;
const ZERO_BYTES: usize = 14;

const _: () = assert!(ZERO_AT + ZERO_BYTES == WIRE_REQUEST_BYTES);

/// Where places stand that a read uses, or that are looked at before the rest is known to be right.
const FLAGS_AT: usize = 4;
const FLAG_LINKED: u8 = 1;
const PLAYER_AT: usize = 56;
const SESSION_AT: usize = 64;

/// The numbers of reads begin here, above those of all operations.
const READS: u16 = 0x2000;
const READ_BALANCES: u16 = READS + 1;
const READ_TOTALS: u16 = READS + 2;
const READ_PURSE: u16 = READS + 3;
const READ_SESSION: u16 = READS + 4;

/// A look at the ledger as of its latest record. Not logged; answered when all that it saw is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A player's purses in an asset.
    Balances {
        /// Whose.
        player: PlayerId,
        /// In what.
        asset: AssetId,
    },
    /// What all players hold of an asset, and what the house does. Together they are zero.
    Totals {
        /// Of what.
        asset: AssetId,
    },
    /// One purse of a player.
    Purse {
        /// Whose.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// Which.
        purse: Purse,
    },
    /// An open session: whose it is, and what its credit meter holds.
    Session {
        /// Which.
        session: SessionId,
    },
}

impl Read {
    /// Its number, and what stands in the places for player, asset and session.
    const fn places(self) -> (u16, PlayerId, AssetId, u32) {
        match self {
            Self::Balances { player, asset } => (READ_BALANCES, player, asset, 0),
            Self::Totals { asset } => (READ_TOTALS, PlayerId::NONE, asset, 0),
            Self::Purse { player, asset, purse } => (READ_PURSE, player, asset, purse as u32),
            Self::Session { session } => (READ_SESSION, PlayerId::NONE, AssetId::NONE, session.0),
        }
    }

    fn to_bytes(self) -> [u8; REQUEST_BYTES] {
        let (kind, player, asset, session) = self.places();
        let mut bytes = [0; REQUEST_BYTES];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[2..4].copy_from_slice(&asset.0.to_le_bytes());
        bytes[PLAYER_AT..PLAYER_AT + 8].copy_from_slice(&player.number().to_le_bytes());
        bytes[SESSION_AT..SESSION_AT + 4].copy_from_slice(&session.to_le_bytes());
        bytes
    }

    fn parse(kind: u16, content: &[u8; REQUEST_BYTES]) -> Result<Self, Malformed> {
        let fault = |code, field| Malformed { code, field };
        let asset = AssetId(u16::from_le_bytes(field(content, 2)));
        let number = u64::from_le_bytes(field(content, PLAYER_AT));
        let player = || PlayerId::new(number).map_err(|_| fault(ResultCode::PlayerMistyped, "player"));
        let session = u32::from_le_bytes(field(content, SESSION_AT));
        let read = match kind {
            READ_BALANCES => Self::Balances { player: player()?, asset },
            READ_TOTALS => Self::Totals { asset },
            READ_PURSE => {
                let purse = u8::try_from(session).ok().and_then(Purse::from_number);
                let purse = purse.filter(|purse| purse.is_player());
                let purse = purse.ok_or_else(|| fault(ResultCode::Malformed, "purse"))?;
                Self::Purse { player: player()?, asset, purse }
            }
            READ_SESSION => Self::Session { session: SessionId(session) },
            _ => return Err(fault(ResultCode::OperationUnknown, "kind")),
        };
        // Written again it is the same: every place that it does not use is zero.
        if read.to_bytes() == *content { Ok(read) } else { Err(fault(ResultCode::Malformed, "unused")) }
    }
}

/// What an item asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// An operation of the ledger.
    Operation {
        /// Which.
        request: Request,
        /// The lower 16 bits of the number of the grant that the caller acts under; 0 = none.
        grant: u16,
    },
    /// A read.
    Read(Read),
}

/// An item and the tag that its reply must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The client's own number for the reply.
    pub tag: u64,
    /// Whether the next item of the frame belongs to the same group. Known even of an item that is otherwise wrong.
    pub linked: bool,
    /// What is asked, or why it cannot be: a numbered answer that the reply carries.
    pub ask: Result<Ask, Malformed>,
}

impl Ask {
    /// An operation of a caller that acts under no grant.
    #[must_use]
    pub const fn operation(request: Request) -> Self {
        Self::Operation { request, grant: 0 }
    }

    /// The item in bytes.
    #[must_use]
    pub fn to_bytes(&self, tag: u64) -> [u8; WIRE_REQUEST_BYTES] {
        let mut bytes = [0; WIRE_REQUEST_BYTES];
        let (content, grant) = match self {
            Self::Operation { request, grant } => (request.to_bytes(), *grant),
            Self::Read(read) => (read.to_bytes(), 0),
        };
        bytes[..REQUEST_BYTES].copy_from_slice(&content);
        bytes[TAG_AT..GRANT_AT].copy_from_slice(&tag.to_le_bytes());
        bytes[GRANT_AT..ZERO_AT].copy_from_slice(&grant.to_le_bytes());
        bytes
    }
}

impl Asked {
    /// Reads an item.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let Ok(bytes) = <&[u8; WIRE_REQUEST_BYTES]>::try_from(bytes) else {
            let ask = Err(Malformed { code: ResultCode::Malformed, field: "length" });
            return Self { tag: 0, linked: false, ask };
        };
        let tag = u64::from_le_bytes(field(bytes, TAG_AT));
        let linked = bytes[FLAGS_AT] & FLAG_LINKED != 0;
        Self { tag, linked, ask: parse(bytes) }
    }
}

fn parse(bytes: &[u8; WIRE_REQUEST_BYTES]) -> Result<Ask, Malformed> {
    let malformed = |field| Err(Malformed { code: ResultCode::Malformed, field });
    if bytes[ZERO_AT..] != [0; ZERO_BYTES] {
        return malformed("reserved");
    }
    let grant = u16::from_le_bytes(field(bytes, GRANT_AT));
    let content: [u8; REQUEST_BYTES] = field(bytes, 0);
    let kind = u16::from_le_bytes([content[0], content[1]]);
    if kind < READS {
        return Request::parse(&content).map(|request| Ask::Operation { request, grant });
    }
    if grant != 0 {
        return malformed("grant");
    }
    Read::parse(kind, &content).map(Ask::Read)
}

const fn field<const N: usize, const M: usize>(bytes: &[u8; M], at: usize) -> [u8; N] {
    let mut field = [0; N];
    let mut index = 0;
    while index < N {
        field[index] = bytes[at + index];
        index += 1;
    }
    field
}
