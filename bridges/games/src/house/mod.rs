//! The house's own games: a small provider of dice and crash, provably fair, that is called like any other one.
//!
//! In: requests over HTTP. Out: outcomes, each decided once and kept. Never here: a balance, a player's name, a nonce that
//! is used twice.
//!
//! `fair` and `game` are pure: anybody can compute an outcome again from what is revealed.

mod book;
pub mod fair;
pub mod faults;
pub mod game;
mod server;

pub use book::BookError;
pub use server::{House, HouseOptions};
