//! What is told of a log to people and to other programs: statements, reports, tables for a data team.
//!
//! In: a data directory, also one whose server runs. Out: rows, in whatever format is asked for. Never here: a write to the
//! data directory, a lock, a float; what is told is read from records and nothing else.

pub mod events;
pub mod export;
pub mod fields;
pub mod holdings;
pub mod open;
pub mod output;
pub mod period;
pub mod replay;
pub mod revenue;
pub mod statement;
pub mod table;

/// Every table that is told.
pub const TABLES: &[table::Table] = &[
    statement::STATEMENT,
    export::RECORDS,
    export::LEGS,
    revenue::REVENUE,
    holdings::LIABILITIES,
    open::OPEN,
    events::EVENTS,
];
