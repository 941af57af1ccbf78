//! A write-ahead log of fixed-size records: group commit, hash chain, recovery.
