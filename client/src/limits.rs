//! Every bound of the client, with its unit and its reason.

use std::time::Duration;

use cage_protocol::feed::FEED_ITEM_BYTES;
use cage_protocol::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, REPLY_BYTES, WIRE_REQUEST_BYTES};

/// Requests that the windows below leave room for, even if each lies in a frame of its own.
pub const IN_FLIGHT_MAX: usize = 65_536;
/// Unread reply bytes, per stream and per connection.
pub const RECEIVE_WINDOW_BYTES: u32 = 8 << 20;
/// Unacknowledged request bytes per connection.
pub const SEND_WINDOW_BYTES: u64 = 16 << 20;
/// Socket buffers, in bytes, each way. The kernel gives what it allows.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// What is read of a stream at a time: more than a frame, so that a whole one always fits behind a piece.
pub const READ_BYTES: usize = 2 * FRAME_BYTES_MAX;

/// How often a silent connection says that it is there.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a connection may be silent altogether.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// The round trip that is assumed before one is measured: a first packet that finds nobody is repeated after
/// three of them, and that is how fast a server that comes back is found.
pub const INITIAL_RTT: Duration = Duration::from_millis(50);

/// How long a request waits for its answer unless it is told otherwise.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// How long the first connection may take unless it is told otherwise.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long one attempt to connect may take, at first. Doubled each time, up to [`CONNECT_ATTEMPT_MAX`].
pub const CONNECT_ATTEMPT_MIN: Duration = Duration::from_millis(500);
/// How long one attempt to connect may take at most.
pub const CONNECT_ATTEMPT_MAX: Duration = Duration::from_secs(4);
/// The pause between two attempts, at first. Doubled each time, up to [`BACKOFF_MAX`]; jitter takes up to half.
pub const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// The pause between two attempts at most.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long a server may be silent with requests unanswered before a second connection is tried beside the first.
pub const SILENCE_MIN: Duration = Duration::from_millis(500);
/// To what that grows while servers are found alive and silent.
pub const SILENCE_MAX: Duration = Duration::from_secs(4);
/// How often silence is looked for.
pub const SILENCE_CHECK: Duration = Duration::from_millis(50);
/// How long a server that said goodbye may take to close.
pub const GOODBYE_TIME_MAX: Duration = Duration::from_millis(500);
/// The pause before a request that was not taken is sent again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How often what was seen of the log is written to its file.
pub const KEEP_EVERY: Duration = Duration::from_secs(1);
/// Records that a subscription may be sent and has not handed out: what it keeps in memory, 264 bytes each.
pub const FEED_CREDIT: u64 = 1_024;
/// Subscriptions that share a connection: all that they may be sent fits its window, so that none stops another.
pub const FEEDS_PER_CONNECTION: usize = 30;
/// How often a connection of subscriptions asks whether the server is there.
pub const LISTENER_KEEP_ALIVE: Duration = Duration::from_millis(500);
/// How long a server may not answer that before another connection is tried. A loaded machine may be that late; then
/// nothing is lost, because subscriptions resume.
pub const LISTENER_IDLE_TIME_MAX: Duration = Duration::from_secs(3);
/// What is read of a subscription's stream at a time.
pub(crate) const FEED_READ_BYTES: usize = 64 << 10;
/// How wrong the own clock may be before ids are minted by the server's.
pub const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(1);

/// The most submissions that are taken from a lane's queue at a time.
pub(crate) const SUBMISSIONS_AT_ONCE: usize = 1024;

const _: () = assert!(IN_FLIGHT_MAX * (REPLY_BYTES + FRAME_HEADER_BYTES) <= RECEIVE_WINDOW_BYTES as usize);
const _: () =
    assert!(IN_FLIGHT_MAX * (WIRE_REQUEST_BYTES + FRAME_HEADER_BYTES) <= SEND_WINDOW_BYTES as usize);
const _: () = assert!(
    FEEDS_PER_CONNECTION * FEED_CREDIT as usize * (FEED_ITEM_BYTES + FRAME_HEADER_BYTES)
        <= RECEIVE_WINDOW_BYTES as usize
);
const _: () = assert!(KEEP_ALIVE.as_secs() * 2 < IDLE_TIME_MAX.as_secs(), "one lost keep-alive ends nothing");
