//! HTTP, as thin as it gets.
//!
//! In: connections of providers and of the casino; calls to providers. Out: answers. Never here: what a body means.

mod client;
mod listen;
mod server;

pub use client::{CallError, Caller};
pub use listen::{Asked, Handler, Reply, listen};
pub use server::Providers;
