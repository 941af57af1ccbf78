//! Callbacks: what a provider asks for, in no provider's words.
//!
//! In: a call that an adapter read. Out: what became of it. `plan` is pure: it turns actions into the ledger's
//! operations. `verdict` sorts the ledger's answers. `desk` is the only part that waits for anybody.

mod call;
mod desk;
mod plan;
mod verdict;

pub use call::{Action, Ask, BetName, Call, Done, Part};
pub use desk::{Desk, now};
pub use plan::{Planned, Table, plan};
pub use verdict::Verdict;
