//! A run: the stage is set, then threads of workers start together.
//!
//! In: options. Out: a report. Never here: a tokio runtime of the caller's; a run brings its own, so that it can be
//! called from anywhere that may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cage_client::{Endpoint, limits::CONNECT_TIME};
use cage_protocol::Watermark;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::acks::{Acks, AcksError};
use crate::alarm::Alarm;
use crate::options::{Load, Options, OptionsError};
use crate::report::{Report, Totals};
use crate::setup::{SetupError, credentials, set_stage};
use crate::worker::{Channel, Done, Pace, Worker};
use crate::workload::{Generator, Stage, roles};

/// How long connections may take to say that they are closed.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The options make no sense.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The stage could not be set.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The acknowledgements could not be written down.
    #[error(transparent)]
    Acks(#[from] AcksError),
    /// The operating system gives no thread or runtime.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// A thread died.
    #[error("a worker thread panicked")]
    Panicked,
}

/// How far a run is, for whoever looks at it from outside; and the way to end it early.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests of the setup's present step that are done; there are two steps, each with one per player.
    pub prepared: AtomicU64,
    /// Whether the load has begun.
    pub started: AtomicBool,
    /// Answers so far.
    pub answered: AtomicU64,
    stopped: AtomicBool,
}

impl Progress {
    /// Ends the load; what is unanswered is still waited for.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Runs a load to its end. Blocks; brings its own threads.
///
/// # Errors
/// [`LoadError`] if it could not begin, or not write down what was acknowledged. A server that goes away in the
/// middle is no error: the report says how much is unknown.
pub fn run(options: &Options) -> Result<Report, LoadError> {
    run_with(options, &Arc::default())
}

/// [`run`], with a progress to look at.
///
/// # Errors
/// As [`run`].
pub fn run_with(options: &Options, progress: &Arc<Progress>) -> Result<Report, LoadError> {
    options.check()?;
    apart(|| {
        let mut acks = Acks::create(options.acks.as_deref())?;
        let stage = runtime()?.block_on(set_stage(options, &mut acks, progress))?;
        acks.flush();
        load(options, &stage, acks, progress)
    })
}

/// Sets the stage for several runs: whoever measures a large ledger sets it once.
///
/// # Errors
/// As [`run`].
pub fn prepare(options: &Options, progress: &Arc<Progress>) -> Result<Stage, LoadError> {
    options.check()?;
    apart(|| Ok(runtime()?.block_on(set_stage(options, &mut Acks::default(), progress))?))
}

/// [`run_with`] on a stage that [`prepare`] has set on the same ledger for as many players and assets.
///
/// # Errors
/// As [`run`].
pub fn run_on(options: &Options, stage: &Stage, progress: &Arc<Progress>) -> Result<Report, LoadError> {
    options.check()?;
    apart(|| load(options, stage, Acks::create(options.acks.as_deref())?, progress))
}

/// Runs on a thread of its own: a caller's runtime may be around this call.
fn apart<T: Send>(run: impl FnOnce() -> Result<T, LoadError> + Send) -> Result<T, LoadError> {
    thread::scope(|scope| scope.spawn(run).join().unwrap_or(Err(LoadError::Panicked)))
}

fn load(options: &Options, stage: &Stage, acks: Acks, progress: &Arc<Progress>) -> Result<Report, LoadError> {
    let share = Share { options, stage, acks: &acks, progress };
    let totals = thread::scope(|scope| -> Result<Totals, LoadError> {
        let mut threads = Vec::new();
        for number in 0..options.threads.min(options.connections) {
            let (ready, connected) = mpsc::channel();
            let (start, begin) = mpsc::channel();
            threads.push((scope.spawn(move || share.work(number, &ready, &begin)), connected, start));
        }
        // A thread that cannot connect ends without saying ready. Then nobody is told to start, and all end.
        let all_ready = threads.iter().all(|(_, connected, _)| connected.recv().is_ok());
        let now = Instant::now();
        progress.started.store(all_ready, Ordering::Relaxed);
        let mut totals = Totals::new(now);
        for (_, _, start) in threads.iter().filter(|_| all_ready) {
            let _ = start.send(now);
        }
        for (thread, _, start) in threads {
            drop(start);
            totals.add(thread.join().map_err(|_| LoadError::Panicked)??)?;
        }
        Ok(totals)
    })?;
    acks.finish()?;
    Ok(Report::new(options, totals))
}

/// What came of a thread's workers.
#[derive(Debug, Default)]
pub(crate) struct Worked {
    pub(crate) workers: Vec<Done>,
    pub(crate) cpu: Duration,
}

/// What all threads share.
#[derive(Clone, Copy)]
struct Share<'a> {
    options: &'a Options,
    stage: &'a Stage,
    acks: &'a Acks,
    progress: &'a Arc<Progress>,
}

impl Share<'_> {
    /// One thread: connects its share, says that it is ready, starts when it is told to.
    fn work(
        self,
        number: usize,
        ready: &mpsc::Sender<()>,
        begin: &mpsc::Receiver<Instant>,
    ) -> Result<Worked, LoadError> {
        let runtime = runtime()?;
        let (endpoints, workers) = runtime.block_on(self.connect(number))?;
        let _ = ready.send(());
        let Ok(start) = begin.recv() else { return Ok(Worked::default()) };
        let before = thread_cpu();
        let workers = runtime.block_on(async {
            let mut running = JoinSet::new();
            for worker in workers {
                running.spawn(worker.run(start, start + self.options.duration));
            }
            running.join_all().await
        });
        let cpu = thread_cpu().saturating_sub(before);
        runtime.block_on(async {
            for endpoint in &endpoints {
                let _ = tokio::time::timeout(CLOSE_TIME, endpoint.wait_idle()).await;
            }
        });
        Ok(Worked { workers, cpu })
    }

    async fn connect(self, thread: usize) -> Result<(Vec<Endpoint>, Vec<Worker>), SetupError> {
        let Options { connect, server_name, certs, connections, threads, .. } = self.options;
        let mut endpoints = Vec::new();
        for role in roles(self.options.workload) {
            let endpoint = Endpoint::new(&credentials(certs, *role)?, server_name, *connect);
            endpoints.push(endpoint.map_err(|fault| SetupError::Connection { role: *role, fault })?);
        }
        let mut workers = Vec::new();
        for number in (thread..*connections).step_by(*threads) {
            let mut channels = Vec::new();
            for (role, endpoint) in roles(self.options.workload).iter().zip(&endpoints) {
                let opened = open_channel(endpoint, self.options).await;
                channels.push(opened.map_err(|fault| SetupError::Connection { role: *role, fault })?);
            }
            workers.push(self.worker(number, channels)?);
        }
        Ok((endpoints, workers))
    }

    fn worker(self, number: usize, channels: Vec<Channel>) -> Result<Worker, SetupError> {
        let Options { workload, connections, load, batch, seed, .. } = self.options;
        let pace = match load {
            Load::Outstanding(outstanding) => Pace::Closed { outstanding: *outstanding },
            Load::Rate(rate) => {
                let every = batch.unwrap_or(1) as f64 * *connections as f64 / rate;
                let phase = every * number as f64 / *connections as f64;
                Pace::Open {
                    every: Duration::from_secs_f64(every),
                    phase: Duration::from_secs_f64(phase),
                    alarm: Alarm::new()?,
                }
            }
        };
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number as u64);
        Ok(Worker {
            channels,
            generator: Generator::new(*workload, self.stage.clone(), seed),
            pace,
            batch: *batch,
            acks: self.acks.clone(),
            progress: Arc::clone(self.progress),
        })
    }
}

async fn open_channel(
    endpoint: &Endpoint,
    options: &Options,
) -> Result<Channel, cage_client::ConnectionError> {
    let address = options.connect;
    let connecting = endpoint.connect(address, Watermark::default());
    let connection = tokio::time::timeout(CONNECT_TIME, connecting)
        .await
        .map_err(|_| cage_client::ConnectionError::NoAnswer { address, after: CONNECT_TIME })??;
    Channel::open(connection).await
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The processor time of this thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
