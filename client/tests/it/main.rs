//! The client against a server that is small, in memory, and breaks on demand. Its ledger is the real engine.

mod certs;
mod server;
mod watermark;

mod connect;
mod fake;
mod lost;
mod outcomes;
