//! The wire format: pure bytes; no operating system.
