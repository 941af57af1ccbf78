//! HTTP, as thin as it gets.
//!
//! In: connections of providers. Out: answers. Never here: what a body means.

mod server;

pub use server::Server;
