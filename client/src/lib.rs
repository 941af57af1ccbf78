//! Async Rust SDK for front-end servers.
