//! The bridge as providers see it: real processes of ledger and bridge, real HTTP, bodies written by hand.
//!
//! What an answer says is compared with what the test knows; what money did is asked of the ledger, never of the bridge.

mod cases;
mod chaos;
mod decisions;
mod forged;
mod fuzzed;
mod harness;
mod outbound;
mod privacy;
mod reconcile;
mod restarts;
mod sessions;
