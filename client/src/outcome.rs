//! What a request came to. There are four answers, and each says what to do next.

use cage_engine::{AssetId, Balance, Lsn, Outcome, RequestId, ResultCode};
use cage_protocol::Reply;

/// It happened, and is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The request's id. For a reserve it is the hold's name.
    pub id: RequestId,
    /// In which way: usually [`ResultCode::Done`].
    pub code: ResultCode,
    /// The record that says so.
    pub lsn: Lsn,
    /// Whether it had happened before and this is a repetition of the answer.
    pub repeated: bool,
    /// The asset concerned, or the asset's number handed out.
    pub asset: AssetId,
    /// The number that was handed out: a player's, a session's, a grant's, an address's. Otherwise that of the player
    /// concerned.
    pub player: u64,
    /// What the player has available afterwards, if the record moved it.
    pub available: Option<Balance>,
    /// What the player has in open bets afterwards, if the record moved it.
    pub reserved: Option<Balance>,
}

/// It did not happen, or that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It did not happen, and will not under this id.
    #[error("refused: {} ({}): {}", code.name(), code.number(), code.meaning())]
    Refused {
        /// The request's id.
        id: RequestId,
        /// Why.
        code: ResultCode,
        /// The record that says so; none for what never came before the ledger.
        lsn: Lsn,
        /// Whether it had been refused before.
        repeated: bool,
    },
    /// It did not happen. The same id may be tried again, now or later.
    #[error("not taken{}: the same id may be tried again", code.map_or("", |_| " by the server"))]
    NotTaken {
        /// The request's id.
        id: RequestId,
        /// What the server said; nothing if the request never left this client.
        code: Option<ResultCode>,
    },
    /// Nobody knows: it was sent and not answered in time. Try again with the same id: it will be executed once.
    #[error("unknown: no answer in time, try again with the same id")]
    Unknown {
        /// The request's id.
        id: RequestId,
    },
}

impl Error {
    /// The request's id.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        match *self {
            Self::Refused { id, .. } | Self::NotTaken { id, .. } | Self::Unknown { id } => id,
        }
    }

    /// The numbered answer, if there was one.
    #[must_use]
    pub const fn code(&self) -> Option<ResultCode> {
        match *self {
            Self::Refused { code, .. } => Some(code),
            Self::NotTaken { code, .. } => code,
            Self::Unknown { .. } => None,
        }
    }

    /// Whether the same request may, and if the answer matters must, be sent again under the same id.
    #[must_use]
    pub const fn may_retry(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// Sorts a reply. `doubt`: an earlier copy of the request went down with its connection, and may have been taken
/// there; then "this copy was not taken" says nothing about the request.
pub(crate) fn sort(id: RequestId, reply: &Reply, doubt: bool) -> Result<Executed, Error> {
    let code = reply.result;
    match code.outcome() {
        Outcome::Executed => Ok(Executed {
            id,
            code,
            lsn: reply.lsn,
            repeated: reply.repeated,
            asset: reply.asset,
            player: reply.player,
            available: reply.available,
            reserved: reply.reserved,
        }),
        Outcome::Refused if doubt && is_of_its_time(code) => Err(Error::Unknown { id }),
        Outcome::Refused => Err(Error::Refused { id, code, lsn: reply.lsn, repeated: reply.repeated }),
        Outcome::NotTaken => Err(undecided(id, Some(code), doubt)),
    }
}

/// Whether a refusal says only that it is too late now: an earlier copy may have come in time.
const fn is_of_its_time(code: ResultCode) -> bool {
    matches!(code, ResultCode::IdTooOld | ResultCode::TokenInvalid)
}

/// The answer to a request that is not with the server.
pub(crate) const fn undecided(id: RequestId, code: Option<ResultCode>, doubt: bool) -> Error {
    if doubt { Error::Unknown { id } } else { Error::NotTaken { id, code } }
}

/// Whether the reason to not take a request passes by itself, soon.
pub(crate) const fn is_passing(code: ResultCode) -> bool {
    matches!(code, ResultCode::Draining | ResultCode::InboxFull | ResultCode::IdFromFuture)
}
