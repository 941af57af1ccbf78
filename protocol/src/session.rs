//! What opens a session: a token that the casino signed, of any length, in a frame of its own.
//!
//! In: the item of such a frame, or a token. Out: the other. Never here: what a token says or whether it is right.

use alloc::vec::Vec;

use cage_engine::RequestId;

/// The longest token that a server looks at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 2048;
/// The bytes of an item in front of the token.
pub(crate) const OPEN_SESSION_BYTES_MIN: usize = TOKEN_AT;
const ID_AT: usize = 8;
const GRANT_AT: usize = 24;
const TOKEN_AT: usize = 26;

/// A request to open a session. Its answer is an ordinary reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpenSession<'a> {
    /// The client's own number for the reply.
    pub tag: u64,
    /// The request's id.
    pub id: RequestId,
    /// The lower 16 bits of the number of the grant that the caller acts under; 0 = none.
    pub grant: u16,
    /// The token.
    pub token: &'a [u8],
}

impl<'a> OpenSession<'a> {
    /// The item in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { tag, id, grant, token } = self;
        [&tag.to_le_bytes()[..], &id.0.to_le_bytes(), &grant.to_le_bytes(), token].concat()
    }

    /// Reads an item; nothing if it is too short to be one.
    #[must_use]
    pub fn from_bytes(item: &'a [u8]) -> Option<Self> {
        let tag = u64::from_le_bytes(item.get(..ID_AT)?.try_into().ok()?);
        let id = RequestId(u128::from_le_bytes(item.get(ID_AT..GRANT_AT)?.try_into().ok()?));
        let grant = u16::from_le_bytes(item.get(GRANT_AT..TOKEN_AT)?.try_into().ok()?);
        Some(Self { tag, id, grant, token: item.get(TOKEN_AT..)? })
    }
}

/// Whoever has a token can be its player: it is in no message and no log.
impl core::fmt::Debug for OpenSession<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { tag, id, grant, token } = self;
        write!(f, "OpenSession {{ tag: {tag}, id: {id}, grant: {grant}, token: {} bytes }}", token.len())
    }
}
