//! The feed: how long after it is durable a record reaches a subscriber, and what subscribers cost those who write.
//!
//! In: a climb. Out: percentiles from the flusher's word that a record is durable to a subscriber's hand, over QUIC, in this
//! process, whose clock both ends share; the server's throughput and processor time without a subscriber, with one that
//! reads, with one that does not, in turn, as a process of its own. Never here: a goal.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cage_client::{Client, Config, Credentials, FeedEvent, Filter};
use cage_engine::Lsn;
use cage_loadgen::{Load, Options, Stage, prepare, run_on};
use serde::{Deserialize, Serialize};

use crate::Taken;
use crate::ladder::Climb;
use crate::limits::LimitError;
use crate::rung::median;
use crate::server::{InProcess, Serving};

/// Requests a second that are offered while it is measured when records arrive.
const OFFERED: [f64; 2] = [1_000.0, 20_000.0];
/// Requests unanswered at a time where the writer has all that it can do.
const DEEP: usize = 8_192;
const PLAYERS: u32 = 10_000;
/// How long a subscriber waits for more after the load has ended.
const SILENCE: Duration = Duration::from_millis(300);

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Feeding {
    /// Where and when.
    pub taken: Taken,
    /// Whether everything was made small: then the figures say nothing.
    pub quick: bool,
    /// From durable to a subscriber.
    pub reached: Vec<Reached>,
    /// What the writer did meanwhile.
    pub written: Vec<Written>,
}

/// When records of a load reached a subscriber, after they were durable, in microseconds: medians of the runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reached {
    /// Requests offered a second.
    pub offered: f64,
    /// Records that arrived, all runs together.
    pub records: u64,
    /// Half of them within.
    pub p50_us: f64,
    /// All but one in a hundred.
    pub p99_us: f64,
    /// All but one in a thousand.
    pub p99_9_us: f64,
    /// The last one of all runs.
    pub max_us: f64,
}

/// The writer under one kind of subscriber.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Written {
    /// Which subscriber there is.
    pub subscriber: String,
    /// Requests a second, each run.
    pub per_second: Vec<f64>,
    /// The server's processor time per request, in microseconds, each run.
    pub server_cpu_us: Vec<f64>,
}

/// What a subscriber does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Reads,
    Dead,
}

impl Climb {
    /// Measures the feed.
    ///
    /// # Errors
    /// What goes wrong.
    pub fn feed(&self, quick: bool) -> Result<Feeding, LimitError> {
        let taken = Taken::now(crate::PROGRAM);
        let reached = OFFERED.iter().map(|offered| self.reached(*offered)).collect::<Result<_, _>>()?;
        Ok(Feeding { taken, quick, reached, written: self.written()? })
    }

    fn reached(&self, offered: f64) -> Result<Reached, LimitError> {
        let mut runs = Vec::new();
        for _ in 0..self.runs {
            let mut micros = self.one_reached(offered)?;
            micros.sort_by(f64::total_cmp);
            runs.push(micros);
        }
        let at = |part: f64| {
            let of_run = |run: &Vec<f64>| run[((run.len() - 1) as f64 * part) as usize];
            median(runs.iter().map(of_run))
        };
        Ok(Reached {
            offered,
            records: runs.iter().map(|run| run.len() as u64).sum(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: runs.iter().filter_map(|run| run.last().copied()).fold(0.0, f64::max),
        })
    }

    /// How long after it was durable each record of a load arrived, in microseconds.
    fn one_reached(&self, offered: f64) -> Result<Vec<f64>, LimitError> {
        let dir = self.fresh("feed")?;
        let (told, durable) = channel();
        let server = InProcess::start(&dir, Some(told))?;
        let load = Load::Rate(offered);
        let options = Options {
            load,
            players: PLAYERS,
            duration: self.time,
            ..Options::new(server.address(), dir.join("certs"))
        };
        let stage = prepare(&options, &Arc::default())?;
        let subscriber = Subscriber::start(server.address(), &dir.join("certs"), Habit::Reads)?;
        run_on(&options, &stage, &Arc::default())?;
        let seen = subscriber.end()?;
        server.end()?;
        let micros = after_durable(&seen, &durable);
        if micros.is_empty() {
            return Err("no record reached the subscriber".into());
        }
        Ok(micros)
    }

    fn written(&self) -> Result<Vec<Written>, LimitError> {
        let serving = self.serve()?;
        let load = Load::Outstanding(DEEP);
        let options = Options { load, players: PLAYERS, duration: self.time, ..serving.options() };
        let stage = prepare(&options, &Arc::default())?;
        let kinds =
            [("none", None), ("one that reads", Some(Habit::Reads)), ("a dead one", Some(Habit::Dead))];
        let mut written = kinds.map(|(subscriber, _)| Written {
            subscriber: subscriber.to_owned(),
            per_second: Vec::new(),
            server_cpu_us: Vec::new(),
        });
        for _ in 0..self.runs {
            // In turn, so that what the machine does meanwhile meets all of them.
            for ((_, habit), row) in kinds.iter().zip(&mut written) {
                let (per_second, cpu) = one_written(&serving, &options, &stage, *habit)?;
                row.per_second.push(per_second);
                row.server_cpu_us.push(cpu);
            }
        }
        Ok(written.into())
    }
}

fn one_written(
    serving: &Serving,
    options: &Options,
    stage: &Stage,
    habit: Option<Habit>,
) -> Result<(f64, f64), LimitError> {
    let start = |habit| Subscriber::start(serving.address(), &serving.certs(), habit);
    let subscriber = habit.map(start).transpose()?;
    let loaded = serving.load_on(options, stage)?;
    let seen = subscriber.map(Subscriber::end).transpose()?;
    if habit == Some(Habit::Reads) && seen.is_none_or(|seen| seen.is_empty()) {
        return Err("the subscriber that reads has read nothing".into());
    }
    Ok((loaded.report.per_second, loaded.server_cpu_us))
}

/// When each record came, of those that became durable after the subscriber did.
type Seen = Vec<(Lsn, Instant)>;

/// The time between each record's becoming durable and its arrival, in microseconds. `durable` has the ends of flushes, in order.
fn after_durable(seen: &Seen, durable: &Receiver<(Lsn, Instant)>) -> Vec<f64> {
    let mut flushes = durable.try_iter().peekable();
    let mut micros = Vec::with_capacity(seen.len());
    for (lsn, arrived) in seen {
        while flushes.next_if(|(last, _)| last < lsn).is_some() {}
        let Some((_, at)) = flushes.peek() else { break };
        micros.push(arrived.saturating_duration_since(*at).as_secs_f64() * 1e6);
    }
    micros
}

/// A subscriber to everything, from now on, on a thread of its own.
struct Subscriber {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen, LimitError>>,
}

impl Subscriber {
    /// Returns when the subscription stands.
    fn start(address: SocketAddr, certs: &Path, habit: Habit) -> Result<Self, LimitError> {
        let (stop, (stands, standing)) = (Arc::<AtomicBool>::default(), channel());
        let (stopped, certs) = (Arc::clone(&stop), certs.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(follow(address, certs, habit, stands, &stopped))
        });
        match standing.recv() {
            Ok(()) => Ok(Self { stop, thread }),
            Err(mpsc::RecvError) => Err(thread.join().map_or_else(
                |_| "the subscriber panicked".into(),
                |ended| ended.map_or_else(|reason| reason, |_| "the subscription ended".into()),
            )),
        }
    }

    /// What it saw.
    fn end(self) -> Result<Seen, LimitError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the subscriber panicked")?
    }
}

async fn follow(
    address: SocketAddr,
    certs: PathBuf,
    habit: Habit,
    stands: Sender<()>,
    stop: &AtomicBool,
) -> Result<Seen, LimitError> {
    let client = Client::connect(Config::new(address), Credentials::from_dir(&certs, "auditor")?).await?;
    let mut feed = client.subscribe(Filter::EVERYTHING, Lsn(client.watermark().lsn));
    feed.next().await?;
    stands.send(())?;
    let mut seen = Seen::new();
    loop {
        if habit == Habit::Dead {
            // The connection lives; nobody takes what comes on it.
            tokio::time::sleep(SILENCE).await;
        } else if let Ok(event) = tokio::time::timeout(SILENCE, feed.next()).await {
            if let FeedEvent::Record(found) = event? {
                seen.push((found.lsn, Instant::now()));
            }
            continue;
        }
        if stop.load(Ordering::Relaxed) {
            client.close().await;
            return Ok(seen);
        }
    }
}

impl Feeding {
    /// As two tables.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text =
            "| offered | records | durable to subscriber, p50 | p99 | p99.9 | greatest |\n|---:|---:|---:|---:|---:|---:|\n"
                .to_owned();
        for Reached { offered, records, p50_us, p99_us, p99_9_us, max_us } in &self.reached {
            let _ = writeln!(
                text,
                "| {offered:.0}/s | {records} | {p50_us:.0} us | {p99_us:.0} us | {p99_9_us:.0} us | {max_us:.0} us |"
            );
        }
        text.push_str(
            "\n| subscriber | requests/s | least - greatest | beside none | server's time per request |\n",
        );
        text.push_str("|---|---:|---:|---:|---:|\n");
        let alone = self.written.first().map_or(f64::NAN, |none| median(none.per_second.iter().copied()));
        for Written { subscriber, per_second, server_cpu_us } in &self.written {
            let least = per_second.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = per_second.iter().copied().fold(0.0, f64::max);
            let (middle, cpu) = (median(per_second.iter().copied()), median(server_cpu_us.iter().copied()));
            let _ = writeln!(
                text,
                "| {subscriber} | {:.3} M | {:.3} - {:.3} | {:.2} | {cpu:.2} us |",
                middle / 1e6,
                least / 1e6,
                greatest / 1e6,
                middle / alone
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_counted_from_the_flush_that_made_it_durable() {
        let begin = Instant::now();
        let at = |micros| begin + Duration::from_micros(micros);
        let (told, durable) = channel();
        for flush in [(Lsn(4), at(100)), (Lsn(9), at(200)), (Lsn(10), at(300))] {
            told.send(flush).unwrap();
        }
        drop(told);
        let seen = vec![(Lsn(3), at(150)), (Lsn(5), at(230)), (Lsn(9), at(240)), (Lsn(10), at(310))];
        let micros: Vec<_> = after_durable(&seen, &durable).iter().map(|micros| micros.round()).collect();
        assert_eq!(micros, [50.0, 30.0, 40.0, 10.0]);
    }
}
