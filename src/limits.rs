//! Every bound of the server, with its unit and its reason. What they promise each other is checked here.

use std::time::Duration;

use cage_protocol::{FRAME_BYTES_MAX, FRAME_ITEMS_MAX, WIRE_REQUEST_BYTES};

/// Front-end connections at a time. A casino has tens of front-end servers; each may hold some.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Handshakes that may be under way at a time; more are told to prove their address first.
pub const HANDSHAKES_MAX: usize = 256;
/// Bidirectional streams per connection: one per group of players that must be kept in order.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// Requests that one connection may have unanswered. Beyond it the streams are not read.
pub const IN_FLIGHT_PER_CONNECTION_MAX: u32 = 65_536;
/// Requests that may wait for the sequencer, of all connections together.
pub const INBOX_ITEMS_MAX: usize = 1 << 20;
/// What is read from a stream at a time, in bytes: some frames, so that decisions are made in batches.
pub const READ_BYTES: usize = 128 << 10;
/// Unread bytes per stream. At least a frame, or none could ever be read.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Unread bytes per connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Unacknowledged reply bytes per connection.
pub const SEND_WINDOW_BYTES: u64 = 8 << 20;
/// Socket buffers, in bytes, each way: a burst of a flush's replies. The kernel gives what it allows.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// How long a new connection may take for its handshake, and again for its hello.
pub const HELLO_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection may be silent. Clients send keep-alives.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a shutdown waits for sessions to read their last replies.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);
/// How often the log is asked whether it can prepare further segments.
pub const LOG_WATCH_EVERY: Duration = Duration::from_secs(1);
/// How often the main thread says that it lives, and what is not counted in batches is published.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long the main thread may say nothing before it counts as dead. A batch takes milliseconds; a machine that is
/// suspended takes longer.
pub const BEAT_MISSED_MAX: Duration = Duration::from_secs(10);
/// How long records may wait for the disk before requests should go elsewhere.
pub const DURABLE_STALL_MAX: Duration = Duration::from_secs(5);
/// How often folders are listed for the admin port, which may hold many thousand files.
pub const FILES_LOOK_EVERY: Duration = Duration::from_secs(10);
/// Connections to the admin port at a time: some scrapers and some people.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// How long a caller of the admin port may take for a request's head.
pub const ADMIN_HEADER_TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes of a request's head on the admin port; the library's least.
pub const ADMIN_HEADER_BYTES_MAX: usize = 8_192;
/// How often the end of the log is signed while it moves.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// Frames under one checkpoint: a proof of one record reads so many at most, and has at most 16 steps.
pub const CHECKPOINT_FRAMES_MAX: usize = 1 << 16;
/// The longest pause between two pieces of a scrub: a clock that was wrong for a moment must not stop it for hours.
pub const SCRUB_PIECE_MAX: Duration = Duration::from_secs(60);
/// A scrub is late when the last whole round is longer ago than so many times the pause between two: one may take as long as
/// the pause, and then a round is missed.
pub const SCRUB_LATE_ROUNDS: u32 = 2;
/// How long to wait after a snapshot could not be made: the reason is on the disk, and somebody has to look at it.
pub const SNAPSHOT_RETRY_AFTER: Duration = Duration::from_secs(60);
/// How often it is told again that clients have seen another log than this.
pub const DOUBT_TOLD_EVERY: Duration = Duration::from_secs(10);
/// What one step of the sequencer does by itself (expiries and the like), so that a million deadlines at once do not
/// stop the bets.
pub const DUE_PER_STEP_MAX: usize = 256;
/// Looks at the ledger from elsewhere that the sequencer allows between two rounds.
pub const LOOKS_PER_ROUND_MAX: usize = 64;
/// How long, by the time of the log, what is due and was refused waits before it is tried again, in milliseconds.
pub const SET_ASIDE_MILLIS: u64 = 60_000;
/// Records that one item can become: itself, and a continuation with the movements that it has no room for.
pub const RECORDS_PER_ITEM_MAX: usize = 2;
/// How long the keys of session tokens are used before their folder is looked at again.
pub const SESSION_KEYS_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether the files of certificates have changed.
pub const CERTIFICATES_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long before its end a certificate is alarmed about: time enough to have another one signed.
pub const CERTIFICATE_EXPIRY_ALARM: Duration = Duration::from_secs(14 * 86_400);
/// Keys of session tokens at a time: a casino has one, and two while it changes it.
pub const SESSION_KEYS_MAX: usize = 64;
/// Session tokens whose signature need not be verified again, some 200 bytes each.
pub const VERIFIED_TOKENS_MAX: usize = 1 << 16;
/// Requests for which memory is read at once before they are decided: what a core's outstanding misses can hold.
pub const TOUCH_ITEMS: usize = 16;
/// Records that a reader of the log hands over at a time to whoever applies them: enough that waking a thread costs
/// nothing beside them. A frame is never divided.
pub const READ_AHEAD_RECORDS: usize = 1_024;
/// How many such batches may wait, a megabyte at most each: the faster side runs ahead so far.
pub const READ_AHEAD_BATCHES: usize = 4;
/// Records in a file of an export: long enough for an engine that reads columns, and 71 MB of memory for each processor.
pub const EXPORT_FILE_RECORDS: usize = 1 << 18;
/// Records in a group of such a file's rows, which is kept in memory column by column.
pub const EXPORT_GROUP_RECORDS: usize = 1 << 16;
/// How far the wall clock may leave the monotonic one between two looks.
pub const CLOCK_JUMP_MAX: Duration = Duration::from_secs(3);
/// Subscriptions to the feed, of all connections together. Each costs a task and, while something is under way to its
/// client, one frame of the feed.
pub const SUBSCRIPTIONS_MAX: usize = 4_096;
/// The latest records that are kept in memory for all subscribers together, in bytes: a second at 60,000 records/s. Who is
/// further back is given what it lacks from the log.
pub const FEED_TAIL_BYTES: usize = 16 << 20;
/// Bytes of records that may be on their way from the flusher to the feed. More are not handed over, and read from the log.
pub const FEED_QUEUE_BYTES: usize = 8 << 20;
/// What is kept of the log that was read for subscribers, in bytes: those who stand close together share it.
pub const FEED_CATCH_UP_BYTES: usize = 8 << 20;
/// Records that are looked at for one subscriber before it is the next one's turn.
pub const FEED_TURN_RECORDS: u64 = 16_384;
/// How long a subscriber, for whom nothing comes, is not told how far the log is.
pub const FEED_PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Queries that are being answered at a time, of all connections together.
pub const QUERIES_MAX: usize = 64;
/// Rows of a table that one look at the ledger passes: a tenth of a millisecond.
pub const LOOK_ROWS: usize = 2_048;
/// How long a subscriber may take nothing although something waits for it. Then it is cut off, and told where to resume.
pub const FEED_STALL_MAX: Duration = Duration::from_secs(10);

const _: () = assert!(FRAME_BYTES_MAX <= STREAM_WINDOW_BYTES as usize, "a frame fits a stream's window");
const _: () = assert!(READ_BYTES >= WIRE_REQUEST_BYTES);
const _: () =
    assert!(IN_FLIGHT_PER_CONNECTION_MAX as usize >= FRAME_ITEMS_MAX, "a full frame may be in flight");

/// The most items of 128 bytes that one batch for the sequencer can hold: what is left of a frame and a full read. A
/// token that becomes a record is longer.
pub const BATCH_ITEMS_MAX: usize = (FRAME_BYTES_MAX + READ_BYTES) / WIRE_REQUEST_BYTES;
