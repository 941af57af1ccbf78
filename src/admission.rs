//! From an item of a frame to something that may enter the sequencer.
//!
//! In: the bytes of a request and who sent it. Out: an admitted operation, a read, or a numbered refusal. Refusals
//! here are no records: nobody fills the log by being refused. Never here: the ledger's state.

use cage_engine::{Admitted, ResultCode, Timestamp};
use cage_protocol::{Ask, Asked, Read};

use crate::certs::Identity;

/// A request on its way to the sequencer.
#[derive(Debug)]
pub struct Ticket {
    /// The tag of the reply.
    pub tag: u64,
    /// What is to be done.
    pub item: Item,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Item {
    /// Decide it.
    Operation(Admitted),
    /// Look it up.
    Read(Read),
    /// Nothing: it is refused already, and answered in its turn.
    Refused(ResultCode),
}

/// Admits one item of a frame.
#[must_use]
pub fn admit(bytes: &[u8], identity: &Identity, received: Timestamp) -> Ticket {
    let Asked { tag, ask } = Asked::from_bytes(bytes);
    let item = match ask {
        Ok(Ask::Operation(request)) if request.kind.spec().roles.contains(identity.role) => {
            Item::Operation(Admitted { request, role: identity.role, actor: identity.actor, received })
        }
        Ok(Ask::Operation(_)) => Item::Refused(ResultCode::RoleNotAllowed),
        Ok(Ask::Read(read)) => Item::Read(read),
        Err(malformed) => Item::Refused(malformed.code),
    };
    Ticket { tag, item }
}
