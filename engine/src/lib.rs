//! The ledger of a casino: who owns what, and every rule by which it moves.
//!
//! In: a [`Request`], the caller's authenticated [`Role`] and a time. Out: a
//! [`Record`] that says what was decided and all that changes because of it.
//! Never here: files, sockets, clocks, threads, random numbers, floating point.
//!
//! ```text
//! decide(&State, now, &Admitted) -> Decision   looks, changes nothing
//! apply(&mut State, lsn, &Record)              changes exactly what the record says
//!
//! live = decide + append + apply     recovery = apply only     audit = decide again, compare, apply
//! ```
//!
//! # The laws it keeps
//! 1. For each asset the sum over all accounts is zero at every log position.
//! 2. No purse of a player is ever below zero.
//! 3. A request id is executed once or not at all; a retry is answered from its record.
//! 4. `apply` of a record that `decide` made for the same state never fails.
//! 5. The same records give the same state, in every build, on every machine.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

pub mod account;
pub mod amount;
pub mod apply;
pub mod code;
pub mod decide;
pub mod field;
pub mod id;
pub mod layout;
pub mod limits;
mod numbered;
pub mod operation;
pub mod record;
pub mod request;
pub mod role;
pub mod state;
pub mod table;
pub mod time;
pub mod wide;

pub use account::{AccountId, Purse};
pub use amount::{Amount, Balance};
pub use apply::ApplyFault;
pub use code::{Outcome, ResultCode};
pub use decide::{Admitted, Answer, Decision, decide, decide_group};
pub use field::{LimitKind, LockReason, PastTransaction, Period, PlayerClass, Rule, Status};
pub use id::{AssetId, CallerId, GameId, Lsn, PlayerId, Reference, RequestId, SessionId};
pub use operation::{AssetCode, Expiry, Operation, OperationKind, Settings};
pub use record::{Leg, RECORD_BYTES, Record};
pub use request::{Malformed, Request};
pub use role::{Role, RoleSet};
pub use state::{Both, Due, Glance, IMAGE_VERSION, ImageFault, Replay, State};
pub use time::Timestamp;

/// The rules that this build decides by. Every log frame names the rules of its records, so that a log of
/// older rules stays auditable.
pub const RULES_VERSION: u32 = 0;
