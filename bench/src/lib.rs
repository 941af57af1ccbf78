//! The ladder: every stage beside its physical limit.
