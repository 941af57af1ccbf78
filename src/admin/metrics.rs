//! The metrics: one table, from which the page of them and its description in the documents come.
//!
//! In: a [`Look`]. Out: Prometheus's text form. Base units, no rates. Never here: a name that is not in the table; a
//! label whose values somebody outside chooses.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cage_protocol::CloseCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::alarms::{Alarm, is_on};
use super::board::{Phase, TIME_BOUNDS_MICROS, Times, TurnedAway};
use super::look::{LogLook, Look, Watched};

/// What a metric says at a time.
enum Value<'l> {
    Whole(u64),
    Real(f64),
    /// One number for each value of a label.
    By(&'static str, Vec<(&'static str, u64)>),
    Times(&'l Times),
}

/// A metric.
struct Metric {
    /// Without the prefix, the unit and what else Prometheus puts around it.
    name: &'static str,
    kind: MetricType,
    unit: Option<&'static Unit>,
    help: &'static str,
    /// Nothing as long as it is not known.
    read: for<'l> fn(&'l Look<'_>) -> Option<Value<'l>>,
}

const PREFIX: &str = "cage";
const SECONDS: &Unit = &Unit::Seconds;
const BYTES: &Unit = &Unit::Bytes;

const fn counter(name: &'static str, help: &'static str, read: Read) -> Metric {
    Metric { name, kind: MetricType::Counter, unit: None, help, read }
}

const fn gauge(name: &'static str, help: &'static str, read: Read) -> Metric {
    Metric { name, kind: MetricType::Gauge, unit: None, help, read }
}

impl Metric {
    const fn seconds(self) -> Self {
        self.measured_in(SECONDS)
    }

    const fn bytes(self) -> Self {
        self.measured_in(BYTES)
    }

    const fn measured_in(self, unit: &'static Unit) -> Self {
        let Self { name, kind, help, read, .. } = self;
        Self { name, kind, unit: Some(unit), help, read }
    }
}

type Read = for<'l> fn(&'l Look<'_>) -> Option<Value<'l>>;

/// A number of the board.
macro_rules! told {
    ($($field:ident).+) => { |look| Some(Value::Whole(look.board.numbers.$($field).+.get())) };
}

/// A number of the log, as soon as that is open.
macro_rules! logged {
    (|$log:ident| $value:expr) => {
        |look| {
            let $log = look.log.as_ref()?;
            Some(Value::Whole($value))
        }
    };
}

#[rustfmt::skip]
static METRICS: [Metric; 64] = [
    gauge("ready", "1 if requests are served and become durable, as /readyz says", |look| Some(Value::Whole(u64::from(look.unready.is_none())))),
    gauge("phase", "1 for where the server stands between start and end", phases),
    gauge("alarm", "1 if the alarm is on", alarms),
    counter("log_lines", "Lines written to stderr, by level", lines),
    gauge("start_time", "When the process began, since 1970", |look| Some(Value::Real(since_1970(look.board.begun_at())))).seconds(),
    gauge("recovery", "How long snapshot and log took to be read at the start", |look| Some(Value::Real(look.log.as_ref()?.started.took.as_secs_f64()))).seconds(),
    gauge("recovered_records", "Records that were applied at the start, after the snapshot", logged!(|log| log.started.records)),
    gauge("recovered_torn_tail", "1 if unacknowledged bytes were cut off the log's end at the start", logged!(|log| u64::from(log.started.torn_tail))),
    gauge("resident_memory", "Memory of the process", |_| Some(Value::Whole(resident_bytes()?))).bytes(),

    counter("records", "Records appended: one per decision, and one per continuation", told!(records)),
    counter("records_refused", "Of the records, refusals", told!(refused)),
    counter("requests_repeated", "Requests answered from an earlier record", told!(repeated)),
    counter("requests_not_recorded", "Requests answered without a record: malformed, not permitted, not taken", told!(unrecorded)),
    counter("requests_no_space", "Of these, answered 913 disk_nearly_full", told!(no_space)),
    counter("reads", "Reads of live state", told!(reads)),
    counter("batches", "Batches decided", told!(batches)),
    counter("due_refused", "What was due by itself and the ledger refused: anything but 0 is a fault", told!(set_aside)),
    Metric { name: "answer", kind: MetricType::Histogram, unit: Some(SECONDS),
        help: "From the arrival of a request to the release of its durable reply",
        read: |look| Some(Value::Times(&look.board.numbers.answers)) },
    gauge("inbox_requests", "Requests that wait for the sequencer", told!(inbox)),

    gauge("connections", "Connections of callers", told!(connections)),
    gauge("handshakes", "Handshakes under way", told!(handshakes)),
    counter("connections_taken", "Connections that were let in", told!(connections_taken)),
    counter("turned_away", "Callers that were not let in, by reason", turned_away),
    counter("sessions_closed", "Connections that the server ended because something was wrong, by close code", closed),
    counter("tokens_invalid", "Session tokens with a wrong signature, key, time or contents", told!(tokens_invalid)),
    counter("client_doubts", "Callers that have seen another log than this", told!(doubts)),
    gauge("certificate_expiry", "Until when the server's certificate is valid, since 1970", told!(certificate_expires)).seconds(),

    gauge("players", "Players", told!(players)),
    gauge("players_max", "Players that there can be", logged!(|log| log.settings.players_max)),
    gauge("holds_open", "Open holds", told!(holds)),
    gauge("wagers_open", "Bets and wins of open rounds", told!(wagers)),
    gauge("rounds_open", "Open rounds", told!(rounds)),
    gauge("holds_max", "Open holds, bets, wins and rounds that there can be together", logged!(|log| log.settings.holds_max)),
    gauge("sessions", "Sessions of players", told!(sessions)),
    gauge("ids", "Facts that are remembered", told!(ids)),
    gauge("ids_capacity", "Facts that can be remembered", logged!(|log| log.settings.ids_capacity)),

    gauge("durable_lsn", "The last durable record", logged!(|log| log.head.0.0)),
    gauge("verified_lsn", "Up to here the log was read back and proven", logged!(|log| log.stats.verified.0)),
    gauge("checkpoint_lsn", "The last record that is signed for; 0 = nobody signs", logged!(|log| log.checkpoint.map_or(0, |signed| signed.checkpoint.lsn))),
    gauge("log_waiting_records", "Records appended that are not durable yet", logged!(|log| log.stats.waiting)),
    counter("log_records", "Records made durable", logged!(|log| log.stats.records)),
    counter("log_frames", "Frames written", logged!(|log| log.stats.frames)),
    counter("log_flushes", "Writes that made frames durable", logged!(|log| log.stats.flushes)),
    counter("log_flush", "Time spent in these writes", |look| Some(Value::Real(nanos(look.log.as_ref()?.stats.flush_ns)))).seconds(),
    gauge("log_flush_p99", "99 in a hundred writes since the start took no longer", |look| Some(Value::Real(nanos(look.log.as_ref()?.stats.flush_times.p99)))).seconds(),
    gauge("log_flush_max", "The longest write since the start", |look| Some(Value::Real(nanos(look.log.as_ref()?.stats.flush_ns_max)))).seconds(),
    counter("log_written", "Bytes written to the log, with padding", logged!(|log| log.stats.bytes)).bytes(),
    counter("log_padding", "Of these, padding", logged!(|log| log.stats.padding_bytes)).bytes(),
    counter("log_rotations", "Segments begun", logged!(|log| log.stats.rotations)),
    gauge("log_prepared", "Prepared space that is left in the log", logged!(|log| log.space.prepared_bytes)).bytes(),
    gauge("log_reserve", "Of the prepared space, what is kept for wins, payments and refunds", logged!(|log| log.space.reserve_bytes)).bytes(),
    counter("log_preparation_failures", "Attempts to prepare a segment that failed", logged!(|log| log.space.failures)),

    gauge("files", "Files of segments, snapshots, archived segments", |look| by_place(look, |log| [log.files.log.files, log.files.snapshots.files, log.files.archive.files])),
    gauge("files_size", "Their bytes", |look| by_place(look, |log| [log.files.log.bytes, log.files.snapshots.bytes, log.files.archive.bytes])).bytes(),
    gauge("disk_free", "Free space of the disks they lie on", |look| by_place(look, |log| [log.files.log.free_bytes, log.files.snapshots.free_bytes, log.files.archive.free_bytes])).bytes(),
    gauge("disk_size", "Size of the disks they lie on", |look| by_place(look, |log| [log.files.log.disk_bytes, log.files.snapshots.disk_bytes, log.files.archive.disk_bytes])).bytes(),
    gauge("snapshot_lsn", "The record after which the newest snapshot is; 0 = there is none", logged!(|log| log.files.newest.map_or(0, |newest| newest.anchor.lsn.0))),
    gauge("snapshot_time", "When the newest snapshot was made, since 1970; 0 = there is none", |look| Some(Value::Real(nanos(look.log.as_ref()?.files.newest.map_or(0, |newest| newest.created_ns))))).seconds(),
    counter("snapshots", "Attempts to make a snapshot, by outcome", snapshots),

    counter("scrub_rounds", "Rounds of the scrubber over all sealed segments and snapshots", logged!(|log| log.scrubbed.rounds)),
    gauge("scrub_age", "Since the last whole round of the scrubber; before the first, since the start", |look| Some(Value::Real(look.log.as_ref()?.scrub_age?.as_secs_f64()))).seconds(),
    counter("scrub_read", "Bytes that the scrubber found good", logged!(|log| log.scrubbed.bytes)).bytes(),
    counter("scrub_damaged", "Segments that the scrubber found damaged, each time it did", logged!(|log| log.scrubbed.damaged)),
    counter("scrub_snapshots_damaged", "Snapshots that the scrubber found damaged, each time it did", logged!(|log| log.scrubbed.snapshots_damaged)),
];

fn phases<'l>(look: &'l Look<'_>) -> Option<Value<'l>> {
    let now = look.board.phase();
    Some(Value::By(
        "phase",
        Phase::ALL.iter().map(|phase| (phase.name(), u64::from(*phase == now))).collect(),
    ))
}

fn alarms<'l>(look: &'l Look<'_>) -> Option<Value<'l>> {
    let state = |alarm: &Alarm| (alarm.name(), u64::from(is_on(look.board, *alarm)));
    Some(Value::By("alarm", Alarm::ALL.iter().map(state).collect()))
}

fn lines<'l>(look: &'l Look<'_>) -> Option<Value<'l>> {
    let lines = &look.board.lines;
    Some(Value::By("level", vec![("error", lines.errors()), ("warn", lines.warnings())]))
}

fn turned_away<'l>(look: &'l Look<'_>) -> Option<Value<'l>> {
    let counts = &look.board.numbers.turned_away;
    let named = TurnedAway::ALL.iter().zip(counts).map(|(why, count)| (why.name(), count.get()));
    Some(Value::By("reason", named.collect()))
}

fn closed<'l>(look: &'l Look<'_>) -> Option<Value<'l>> {
    let counts = &look.board.numbers.closed;
    let named = CloseCode::ALL.iter().zip(counts).map(|(code, count)| (code.name(), count.get()));
    Some(Value::By("code", named.collect()))
}

fn snapshots<'l>(look: &'l Look<'_>) -> Option<Value<'l>> {
    let numbers = &look.board.numbers;
    Some(Value::By(
        "outcome",
        vec![("made", numbers.snapshots_made.get()), ("failed", numbers.snapshots_failed.get())],
    ))
}

fn by_place<'l>(look: &'l Look<'_>, of: fn(&LogLook) -> [u64; 3]) -> Option<Value<'l>> {
    let [log, snapshots, archive] = of(look.log.as_ref()?);
    Some(Value::By("place", vec![("log", log), ("snapshots", snapshots), ("archive", archive)]))
}

fn nanos(count: u64) -> f64 {
    Duration::from_nanos(count).as_secs_f64()
}

fn since_1970(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What the kernel says that the process uses.
fn resident_bytes() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

impl Metric {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, value: &Value<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit, self.kind)?;
        match value {
            Value::By(label, values) => values
                .iter()
                .try_for_each(|(name, value)| self.number(metric.encode_family(&[(*label, *name)])?, value)),
            Value::Whole(value) => self.number(metric, value),
            Value::Real(value) => match self.kind {
                MetricType::Counter => metric.encode_counter::<NoLabelSet, f64, f64>(value, None),
                _ => metric.encode_gauge(value),
            },
            Value::Times(times) => {
                let bounds = TIME_BOUNDS_MICROS.iter().map(|micros| *micros as f64 / 1e6);
                let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(times.counts()).collect();
                let count = buckets.iter().map(|(_, count)| count).sum();
                metric.encode_histogram::<NoLabelSet>(times.sum_seconds(), count, &buckets, None)
            }
        }
    }

    fn number(&self, mut metric: MetricEncoder<'_>, value: &u64) -> fmt::Result {
        match self.kind {
            MetricType::Counter => metric.encode_counter::<NoLabelSet, u64, u64>(value, None),
            _ => metric.encode_gauge(value),
        }
    }
}

/// What the registry asks when somebody looks.
#[derive(Debug)]
struct Page(Arc<Watched>);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.look(|look| {
            METRICS.iter().try_for_each(|metric| match (metric.read)(look) {
                Some(value) => metric.encode(&mut encoder, &value),
                None => Ok(()),
            })
        })
    }
}

/// The registry of a server.
#[must_use]
pub(super) fn registry(watched: &Arc<Watched>) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Page(Arc::clone(watched))));
    registry
}

/// The page.
pub(super) fn page(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_text::encode(&mut text, registry)?;
    Ok(text)
}
