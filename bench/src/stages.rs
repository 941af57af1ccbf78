//! Where the server's processor time goes: samples of `perf`, folded by the stages of a request.
//!
//! In: stacks of a loaded server that was built with frame pointers. Out: microseconds per request and stage, and the
//! functions that take most. Never here: a counter in the server, which would cost what it counts.
//!
//! A sample belongs to the innermost function that names a stage: copying memory while a reply is encoded is part of
//! the reply. What no function on the stack names is told as the rest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cage_loadgen::{Options, prepare};
use serde::{Deserialize, Serialize};

use crate::Taken;
use crate::ladder::Climb;
use crate::limits::LimitError;
use crate::server::Serving;

/// Samples a second: no divisor of the timers' frequencies.
const FREQUENCY: u32 = 1_999;
/// How long the load runs before and after it is sampled.
const MARGIN: Duration = Duration::from_secs(1);
/// Functions that are named.
const FUNCTIONS: usize = 15;

/// The stages by what the names of their functions contain, the server's own before the libraries'. The first that
/// fits a function is the function's.
const STAGES: &[(&str, &[&str])] = &[
    (
        "receive",
        &[
            "recvmsg",
            "recvmmsg",
            "poll_recv",
            "drive_recv",
            "handle_event",
            "handle_decode",
            "handle_packet",
            "process_",
            "decrypt",
            "unprotect",
            "open_within",
            "on_ack_received",
            "RecvStream",
            "recv_stream",
            "assembler",
            "StreamsState::received",
            "quinn_proto::endpoint",
        ],
    ),
    ("decode", &["cage_protocol::frame", "cage_protocol::request", "cage::session"]),
    ("admit", &["cage::admission", "cage::sequencer::inbox"]),
    (
        "append",
        &[
            "cage_wal::live::writer",
            "rtrb::producer",
            "cage_engine::record::Record::to_bytes",
            "Sequencer::append",
        ],
    ),
    (
        "reply",
        &[
            "cage::reply",
            "cage::commit",
            "cage_protocol::reply",
            "SendStream",
            "send_stream",
            "send_buffer",
            "poll_transmit",
            "drive_transmit",
            "packet_builder",
            "encrypt",
            "seal",
            "sendmsg",
            "udp_send",
            "udp_enqueue",
            "sk_mem",
        ],
    ),
    ("decide", &["cage_engine", "cage::sequencer"]),
    ("flush", &["cage_wal"]),
    ("wake-ups", &["epoll", "futex", "eventfd", "schedule", "try_to_wake_up", "tokio::runtime", "mio::"]),
];
/// The order in which they are told: that of the way of a request.
const ORDER: [&str; 9] =
    ["receive", "decode", "admit", "decide", "append", "flush", "reply", "wake-ups", OTHER];
/// The rest.
const OTHER: &str = "other";

/// What a profile came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stages {
    /// Where and when.
    pub taken: Taken,
    /// Requests a second while it was sampled.
    pub per_second: f64,
    /// Samples.
    pub samples: u64,
    /// The server's processor time per request, in microseconds.
    pub cpu_us: f64,
    /// Stages on the way of a request.
    pub stages: Vec<Share>,
    /// The functions that take most, callees not counted, with their stage.
    pub functions: Vec<Share>,
    /// Threads.
    pub threads: Vec<Share>,
}

/// A share of the processor time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Of what.
    pub name: String,
    /// Of one.
    pub share: f64,
    /// Microseconds per request.
    pub micros: f64,
}

/// Builds the server with frame pointers, in a target folder of its own.
///
/// # Errors
/// If it cannot be built.
pub fn build(target: &Path) -> Result<PathBuf, LimitError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "cage", "--target-dir"])
        .arg(target)
        .env("RUSTFLAGS", "-C force-frame-pointers=yes")
        .status()?;
    if !status.success() {
        return Err("the server could not be built with frame pointers".into());
    }
    Ok(target.join("release/cage"))
}

impl Climb {
    /// Loads a server with what `shape` makes of the default load and samples it.
    ///
    /// # Errors
    /// What goes wrong; above all, if there is no `perf`.
    pub fn profile(&self, shape: impl FnOnce(Options) -> Options) -> Result<Stages, LimitError> {
        let taken = Taken::now(crate::PROGRAM);
        let serving = self.serve()?;
        let options = shape(Options { duration: self.time + 2 * MARGIN, ..serving.options() });
        let stage = prepare(&options, &Arc::default())?;
        let samples = self.fresh("perf")?.join("samples");
        let mut perf = record(&serving, self.time, &samples);
        let (loaded, recorded) = std::thread::scope(|scope| {
            let recording = scope.spawn(|| perf.output());
            (serving.load_on(&options, &stage), recording.join())
        });
        let recorded = recorded.map_err(|_| "the thread that ran perf panicked")?;
        let recorded =
            recorded.map_err(|fault| format!("perf cannot be run ({fault}): install linux-perf"))?;
        if !recorded.status.success() {
            return Err(format!("perf: {}", String::from_utf8_lossy(&recorded.stderr)).into());
        }
        let script = Command::new("perf")
            .args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"])
            .arg(&samples)
            .output()?;
        let loaded = loaded?;
        let folded = fold(&String::from_utf8_lossy(&script.stdout));
        folded.stages(taken, loaded.report.per_second, loaded.server_cpu_us)
    }
}

/// `perf`, about to sample a server for `time`, after the load is under way.
fn record(serving: &Serving, time: Duration, samples: &Path) -> Command {
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "-e", "cpu-clock", "--call-graph", "fp", "-F", &FREQUENCY.to_string()])
        .args(["--delay", &MARGIN.as_millis().to_string(), "-p", &serving.id().to_string(), "-o"])
        .arg(samples)
        .args(["--", "sleep", &(time + MARGIN).as_secs_f64().to_string()]);
    perf
}

/// Samples by what they belong to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Folded {
    samples: u64,
    stages: HashMap<&'static str, u64>,
    functions: HashMap<String, u64>,
    threads: HashMap<String, u64>,
}

/// Reads what `perf script` prints: for each sample a line with the thread's name, then a line for each function from
/// the innermost out, then an empty one.
fn fold(script: &str) -> Folded {
    let mut folded = Folded::default();
    for sample in script.split("\n\n") {
        let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
        let Some(thread) = lines.next().map(str::trim) else { continue };
        let stack: Vec<_> = lines.map(function).collect();
        let Some(innermost) = stack.first() else { continue };
        let stage = stack.iter().find_map(|name| stage(name)).unwrap_or(OTHER);
        // The flusher does nothing but flush; its waits are flushes as well.
        let stage = if thread.starts_with("wal-") { "flush" } else { stage };
        folded.samples += 1;
        *folded.stages.entry(stage).or_default() += 1;
        *folded.functions.entry(format!("{innermost} ({stage})")).or_default() += 1;
        *folded.threads.entry(thread.to_owned()).or_default() += 1;
    }
    folded
}

/// The name in a line `ffff address name`.
fn function(line: &str) -> &str {
    let line = line.trim();
    line.split_once(' ').map_or(line, |(_, name)| name)
}

fn stage(function: &str) -> Option<&'static str> {
    STAGES.iter().find(|(_, parts)| parts.iter().any(|part| function.contains(part))).map(|(stage, _)| *stage)
}

impl Folded {
    fn stages(self, taken: Taken, per_second: f64, cpu_us: f64) -> Result<Stages, LimitError> {
        if self.samples == 0 {
            return Err("perf took no samples".into());
        }
        let share = |name: &str, samples: u64| {
            let share = samples as f64 / self.samples as f64;
            Share { name: name.to_owned(), share, micros: share * cpu_us }
        };
        let stages = ORDER.map(|stage| share(stage, self.stages.get(stage).copied().unwrap_or(0)));
        let most = |of: &HashMap<String, u64>| {
            let mut shares: Vec<_> = of.iter().map(|(name, samples)| share(name, *samples)).collect();
            shares.sort_by(|one, other| {
                other.share.total_cmp(&one.share).then_with(|| one.name.cmp(&other.name))
            });
            shares.truncate(FUNCTIONS);
            shares
        };
        Ok(Stages {
            taken,
            per_second,
            samples: self.samples,
            cpu_us,
            stages: stages.to_vec(),
            functions: most(&self.functions),
            threads: most(&self.threads),
        })
    }
}

impl Stages {
    /// The three stages that take most.
    #[must_use]
    pub fn largest(&self) -> Vec<&Share> {
        let mut stages: Vec<_> = self.stages.iter().collect();
        stages.sort_by(|one, other| other.share.total_cmp(&one.share));
        stages.truncate(3);
        stages
    }

    /// The profile as text: stages, the largest three, functions.
    #[must_use]
    pub fn table(&self) -> String {
        let row = |share: &Share| {
            format!("| {} | {:.1} % | {:.3} us |\n", share.name, share.share * 100.0, share.micros)
        };
        let rows = |shares: &[Share]| shares.iter().map(row).collect::<String>();
        let largest: Vec<_> =
            self.largest().iter().map(|share| format!("{} ({:.3} us)", share.name, share.micros)).collect();
        format!(
            "{:.2} M requests/s, {:.3} us of the server's processor time each, {} samples.\n\n\
             | stage | share | a request |\n|---|---:|---:|\n{}\n\
             The three largest: {}.\n\n\
             | function, callees not counted | share | a request |\n|---|---:|---:|\n{}\n\
             | thread | share | a request |\n|---|---:|---:|\n{}",
            self.per_second / 1e6,
            self.cpu_us,
            self.samples,
            rows(&self.stages),
            largest.join(", "),
            rows(&self.functions),
            rows(&self.threads),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SCRIPT: &str = "\
cage 
\t    7f01 __memmove_avx_unaligned_erms
\t    5501 cage::reply::Replies::push
\t    5502 cage::sequencer::Sequencer::step

cage 
\t    5503 cage_engine::decide::decide
\t    5502 cage::sequencer::Sequencer::step

wal-flusher 
\tffff8001 finish_task_switch.isra.0

cage 
\t    5504 something_nobody_knows

";

    pub(crate) fn stages() -> Stages {
        fold(SCRIPT).stages(Taken::default(), 1e6, 0.8).unwrap()
    }

    #[test]
    fn a_sample_belongs_to_the_innermost_function_that_names_a_stage() {
        let stages = stages();
        let share = |name| stages.stages.iter().find(|stage| stage.name == name).map(|stage| stage.share);
        assert_eq!(share("reply"), Some(0.25), "copying memory for a reply");
        assert_eq!(share("decide"), Some(0.25));
        assert_eq!(share("flush"), Some(0.25), "whatever the flusher's thread does");
        assert_eq!(share(OTHER), Some(0.25));
        assert_eq!(stages.samples, 4);
        assert_eq!(stages.threads[0].name, "cage");
        assert!(
            stages.functions.iter().any(|function| function.name == "__memmove_avx_unaligned_erms (reply)")
        );
    }

    #[test]
    fn every_stage_is_told_and_no_stage_takes_what_another_one_does() {
        let mut known: Vec<_> = STAGES.iter().map(|(stage, _)| *stage).chain([OTHER]).collect();
        let mut told = ORDER.to_vec();
        known.sort_unstable();
        told.sort_unstable();
        assert_eq!(known, told);
        for (function, expected) in [
            ("cage_engine::record::Record::to_bytes", "append"),
            ("cage::sequencer::Sequencer::append", "append"),
            ("cage::sequencer::inbox::Inbox::push", "admit"),
            ("cage_engine::state::State::touch", "decide"),
            ("__udp_enqueue_schedule_skb", "reply"),
            ("udp_recvmsg", "receive"),
            ("ring::aead::algorithm::aes_gcm_seal", "reply"),
            ("cage_wal::live::writer::Writer::append_linked", "append"),
            ("cage_wal::format::frame::encode_frame", "flush"),
        ] {
            assert_eq!(stage(function), Some(expected), "{function}");
        }
    }

    #[test]
    fn the_table_names_the_three_largest() {
        let mut stages = stages();
        for (stage, share) in stages.stages.iter_mut().zip([0.3, 0.01, 0.02, 0.4, 0.0, 0.2, 0.05, 0.02, 0.0])
        {
            *stage = Share { share, micros: share * 0.8, ..stage.clone() };
        }
        assert!(
            stages
                .table()
                .contains("The three largest: decide (0.320 us), receive (0.240 us), flush (0.160 us).")
        );
    }

    #[test]
    fn a_profile_without_samples_is_a_fault() {
        assert!(fold("").stages(Taken::default(), 1.0, 1.0).is_err());
    }
}
