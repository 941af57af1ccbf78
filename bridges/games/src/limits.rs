//! Every bound of the bridge, with its unit and its reason.

use std::time::Duration;

/// The longest body of a callback, in bytes: many times the longest list of actions that a provider sends.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a caller may take for the head and the body of a request.
pub const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection may be silent between two requests.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(60);
/// How many connections of providers are open at a time; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1_024;
/// How long the ledger has for a callback. Providers give up after one to four seconds: an answer after that is for nobody.
pub const LEDGER_TIME_MAX: Duration = Duration::from_millis(2_500);
/// How long requests under way have when the bridge ends: what the ledger has, and as much again for reads after it.
pub const DRAIN_TIME_MAX: Duration = LEDGER_TIME_MAX.saturating_mul(2);
/// How long the store may take to reach the end of the log at a start.
pub const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(600);
/// How long a connection to a provider may take.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a provider has for an answer, unless it is told otherwise. After that nobody knows.
pub const PROVIDER_TIME: Duration = Duration::from_secs(5);
/// How many connections to a provider are kept for the next call.
pub const IDLE_CONNECTIONS_MAX: usize = 64;
/// How many bets that have ended are still told of; the ledger knows them all.
pub const ENDED_BETS_MAX: usize = 100_000;
/// How many actions one call may carry: what fits a group of the ledger.
pub const ACTIONS_MAX: usize = 60;
/// The longest name of a transaction, round, game or player that is taken, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// How far a signed time may lie from ours, in milliseconds.
pub const TIME_DIFFERENCE_MILLIS_MAX: u64 = 300_000;
/// How long a file of refused callbacks may grow, in bytes, before it takes the place of the one before.
pub const REFUSALS_BYTES_MAX: u64 = 16 << 20;
/// How many transactions are written to the store at once, at most.
pub const STORE_BATCH_MAX: usize = 256;
/// How often the store is made durable.
pub const STORE_SYNC_EVERY: Duration = Duration::from_secs(1);
