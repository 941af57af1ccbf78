//! The pure ledger: decide, then apply; no operating system.
