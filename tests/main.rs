//! Tests of the whole server: the real `cage` program, real QUIC, real files, real signals.
//!
//! Every test starts a ledger of its own in a folder of its own. What is read from the outside (answers, exit codes,
//! files) is compared with what the test itself knows; no test asks the ledger whether the ledger is right.

mod harness;

mod admin;
mod bridges;
mod certificates;
mod cli;
mod commands;
mod damage;
mod drills;
mod examples;
mod feed;
mod full_disk;
mod golden;
mod golden_covered;
mod groups;
mod guards;
mod hostile;
mod kill;
mod order;
mod power;
mod power_covered;
mod proofs;
mod provider_feed;
mod queries;
mod refusals;
mod repair;
mod replay;
mod reports;
mod retry;
mod roles;
mod scrubs;
mod service;
mod sessions;
mod settings;
mod shutdown;
mod snapshots;
mod statements;
mod tamper;
mod tidy;
mod verdicts;
mod watermarks;
