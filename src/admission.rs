//! From an item of a frame to something that may enter the sequencer.
//!
//! In: the items of a frame and who sent them. Out: admitted operations, groups of them, reads, or numbered refusals.
//! Refusals here are no records: nobody fills the log by being refused. Never here: the ledger's state.

use cage_engine::decide::GROUP_MAX;
use cage_engine::{Admitted, OperationKind, RequestId, ResultCode, Timestamp};
use cage_protocol::{Ask, Asked, Frame, OpenSession, Read};

use crate::certs::Identity;
use crate::tokens::Tokens;

/// A request on its way to the sequencer.
#[derive(Debug)]
pub struct Ticket {
    /// The tag of the reply.
    pub tag: u64,
    /// Whether it and the next ticket belong to the same group. All tickets of a group are operations.
    pub linked: bool,
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

/// Admits the items of a frame of requests, behind what is in `tickets` already.
pub fn admit(frame: &Frame<'_>, identity: &Identity, received: Timestamp, tickets: &mut Vec<Ticket>) {
    let first = tickets.len();
    tickets.extend(frame.items().map(|item| admit_item(item, identity, received)));
    for run in tickets[first..].chunk_by_mut(|ticket, _| ticket.linked) {
        // A group lies within one frame: what is linked to nothing is a run of one as well.
        if run.len() > 1 || run[0].linked {
            admit_group(run);
        }
    }
}

fn admit_item(bytes: &[u8], identity: &Identity, received: Timestamp) -> Ticket {
    let Asked { tag, linked, ask } = Asked::from_bytes(bytes);
    let item = match ask {
        Ok(Ask::Operation { request, .. }) if !request.kind.spec().roles.contains(identity.role) => {
            Item::Refused(ResultCode::RoleNotAllowed)
        }
        Ok(Ask::Operation { request, .. }) if request.kind == OperationKind::OpenSession => {
            Item::Refused(ResultCode::TokenMissing)
        }
        Ok(Ask::Operation { request, grant }) => {
            let Identity { role, actor, .. } = *identity;
            Item::Operation(Admitted { request, role, actor, grant, received })
        }
        Ok(Ask::Read(read)) => Item::Read(read),
        Err(malformed) => Item::Refused(malformed.code),
    };
    Ticket { tag, linked, item }
}

/// Sees whether a run of linked items is a group that can be decided. If not, all of it is refused: none of its
/// members may happen without the others.
fn admit_group(run: &mut [Ticket]) {
    let unended = run.last().is_some_and(|last| last.linked);
    let code = if unended {
        ResultCode::Malformed
    } else if run.len() > GROUP_MAX || run.iter().any(|ticket| matches!(ticket.item, Item::Read(_))) {
        ResultCode::GroupMalformed
    } else if run.iter().any(|ticket| matches!(ticket.item, Item::Refused(_))) {
        ResultCode::GroupNotTaken
    } else {
        return;
    };
    for ticket in run {
        ticket.linked = false;
        let culprit = code == ResultCode::GroupNotTaken && matches!(ticket.item, Item::Refused(_));
        if !culprit {
            ticket.item = Item::Refused(code);
        }
    }
}

/// Admits a request to open a session, if its token is valid.
#[must_use]
pub fn admit_session(
    asked: &OpenSession<'_>,
    identity: &Identity,
    tokens: &Tokens,
    received: Timestamp,
) -> Ticket {
    let OpenSession { tag, id, grant, token } = *asked;
    let refused = |code| Ticket { tag, linked: false, item: Item::Refused(code) };
    if id == RequestId::NONE {
        return refused(ResultCode::IdZero);
    }
    // Whoever may not open sessions is not told which tokens are right.
    if !OperationKind::OpenSession.spec().roles.contains(identity.role) {
        return refused(ResultCode::RoleNotAllowed);
    }
    let operation = match tokens.check(token, received) {
        Ok(operation) => operation,
        Err(reason) => {
            tracing::warn!(caller = %identity.uri, %id, %reason, "a session token is not valid");
            return refused(ResultCode::TokenInvalid);
        }
    };
    let request = operation.request(id);
    // What passes here can stand in a record, and whoever audits it checks that it could be asked.
    if request.check().is_err() {
        return refused(ResultCode::TokenInvalid);
    }
    let Identity { role, actor, .. } = *identity;
    Ticket { tag, linked: false, item: Item::Operation(Admitted { request, role, actor, grant, received }) }
}
