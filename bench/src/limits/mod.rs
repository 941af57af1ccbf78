//! What this machine can do at best: the ceilings that the product is held against, measured beside it.

pub mod disk;
pub mod quic;
