//! What a client asks, as an item of a frame: 104 bytes of content, a tag for the reply, 16 bytes of zero.

use cage_engine::request::REQUEST_BYTES;
use cage_engine::{AssetId, Malformed, PlayerId, Request, ResultCode};

/// The bytes of a request in a frame.
pub const WIRE_REQUEST_BYTES: usize = 128;
const TAG_AT: usize = REQUEST_BYTES;
const ZERO_AT: usize = TAG_AT + 8;

const _: () = assert!(ZERO_AT + 16 == WIRE_REQUEST_BYTES);

/// The numbers of reads begin here, above those of all operations.
const READS: u16 = 0x2000;
const READ_BALANCES: u16 = READS + 1;
const READ_TOTALS: u16 = READS + 2;

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
}

/// What an item asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// An operation of the ledger.
    Operation(Request),
    /// A read.
    Read(Read),
}

/// An item and the tag that its reply must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The client's own number for the reply.
    pub tag: u64,
    /// What is asked, or why it cannot be: a numbered answer that the reply carries.
    pub ask: Result<Ask, Malformed>,
}

impl Ask {
    /// The item in bytes.
    #[must_use]
    pub fn to_bytes(&self, tag: u64) -> [u8; WIRE_REQUEST_BYTES] {
        let mut bytes = [0; WIRE_REQUEST_BYTES];
        match self {
            Self::Operation(request) => bytes[..REQUEST_BYTES].copy_from_slice(&request.to_bytes()),
            Self::Read(read) => {
                let (kind, player, asset) = match *read {
                    Read::Balances { player, asset } => (READ_BALANCES, player, asset),
                    Read::Totals { asset } => (READ_TOTALS, PlayerId::NONE, asset),
                };
                bytes[..2].copy_from_slice(&kind.to_le_bytes());
                bytes[2..4].copy_from_slice(&asset.0.to_le_bytes());
                bytes[PLAYER_AT..PLAYER_AT + 8].copy_from_slice(&player.number().to_le_bytes());
            }
        }
        bytes[TAG_AT..ZERO_AT].copy_from_slice(&tag.to_le_bytes());
        bytes
    }
}

const PLAYER_AT: usize = 56;

impl Asked {
    /// Reads an item.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let malformed = |field| Err(Malformed { code: ResultCode::Malformed, field });
        let Ok(bytes) = <&[u8; WIRE_REQUEST_BYTES]>::try_from(bytes) else {
            return Self { tag: 0, ask: malformed("length") };
        };
        let tag = u64::from_le_bytes(field(bytes, TAG_AT));
        if bytes[ZERO_AT..] != [0; 16] {
            return Self { tag, ask: malformed("reserved") };
        }
        let content: [u8; REQUEST_BYTES] = field(bytes, 0);
        let kind = u16::from_le_bytes([content[0], content[1]]);
        let ask = if kind >= READS {
            parse_read(kind, &content).map(Ask::Read)
        } else {
            Request::parse(&content).map(Ask::Operation)
        };
        Self { tag, ask }
    }
}

fn parse_read(kind: u16, content: &[u8; REQUEST_BYTES]) -> Result<Read, Malformed> {
    let fault = |code, field| Malformed { code, field };
    let asset = AssetId(u16::from_le_bytes([content[2], content[3]]));
    let number = u64::from_le_bytes(field(content, PLAYER_AT));
    let player = || PlayerId::new(number).map_err(|_| fault(ResultCode::PlayerMistyped, "player"));
    let mut used = [0; REQUEST_BYTES];
    used[..4].copy_from_slice(&content[..4]);
    let read = match kind {
        READ_BALANCES => {
            used[PLAYER_AT..PLAYER_AT + 8].copy_from_slice(&number.to_le_bytes());
            Read::Balances { player: player()?, asset }
        }
        READ_TOTALS => Read::Totals { asset },
        _ => return Err(fault(ResultCode::OperationUnknown, "kind")),
    };
    if used == *content { Ok(read) } else { Err(fault(ResultCode::Malformed, "unused")) }
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
