//! Tests of the bridge: against a chain in memory, against anvil, against a real ledger.
//!
//! `CAGE_SEED=N` repeats what a failure printed, `CAGE_SCHEDULES=N` says how many random schedules are played.

mod deposits;
mod golden;
mod harness;
mod on_anvil;
mod processes;
mod reconciliation;
mod schedules;
mod withdrawals;
