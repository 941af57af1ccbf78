//! The house at work: what happens between players, providers, cashiers and chains, one sentence a test.

#[path = "casino/cashier.rs"]
mod cashier;
#[path = "casino/closed.rs"]
mod closed;
#[path = "casino/escapes.rs"]
mod escapes;
#[path = "casino/full.rs"]
mod full;
#[path = "casino/gli.rs"]
mod gli;
#[path = "casino/identities.rs"]
mod identities;
#[path = "casino/kyc.rs"]
mod kyc;
#[path = "casino/late.rs"]
mod late;
mod ledger;
#[path = "casino/limits.rs"]
mod limits;
#[path = "casino/matrix.rs"]
mod matrix;
#[path = "casino/memory.rs"]
mod memory;
#[path = "casino/office.rs"]
mod office;
#[path = "casino/prizes.rs"]
mod prizes;
#[path = "casino/rounds.rs"]
mod rounds;
#[path = "casino/sessions.rs"]
mod sessions;
#[path = "casino/weaknesses.rs"]
mod weaknesses;
