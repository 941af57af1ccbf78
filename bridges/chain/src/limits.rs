//! Every bound of the bridge, with its unit and its reason.

use std::time::Duration;

/// How long a node may take for an answer. Tracing a full block takes seconds; a node that hangs must not stop us.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// How long a connection to a node may take.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest answer of a node, in bytes: a full block with receipts has some megabytes.
pub const ANSWER_BYTES_MAX: u32 = 128 << 20;
/// Requests that one endpoint may have under way: nodes turn away more.
pub const REQUESTS_AT_ONCE: usize = 16;
/// How often a chain is asked for its tip when nothing else happens, unless it is told otherwise.
pub const POLL_EVERY: Duration = Duration::from_millis(500);
/// The pause after a fault of a node or of the ledger, at first. Doubled each time, up to [`PAUSE_MAX`].
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The pause after a fault at most.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Blocks that are worked off before what is due is looked at again: while much is to be caught up, what is final is
/// credited all the same.
pub const BLOCKS_AT_ONCE: u32 = 32;
/// Bytes of one message to or from a signer. A transfer has some hundred.
pub const SIGNER_MESSAGE_BYTES_MAX: usize = 16 << 10;
/// How long a signer may take. A person with a device may be behind it; a hanging one must be noticed.
pub const SIGNER_TIME_MAX: Duration = Duration::from_secs(30);
/// How often one withdrawal may be signed: the ledger settles by one of the four latest transactions, so more would let
/// one be mined that it knows no more.
pub const ATTEMPTS_MAX: usize = 4;
/// Work units of a transfer of native coin to an account without code.
pub const GAS_NATIVE: u64 = 21_000;
