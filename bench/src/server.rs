//! The whole server under load: in this process, or apart from the load generator.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use cage::scrubber::ScrubOptions;
use cage::server::{Server, ServerOptions};
use cage_engine::{Lsn, Settings};
use cage_loadgen::{Options, Progress, Report, Stage, prepare, run_on};
use cage_wal::FlushStrategy;
use tokio::runtime::LocalRuntime;
use tokio::sync::oneshot;

use crate::limits::LimitError;

/// Ids that a benchmark's server remembers, and for how many seconds at least: so few that the table turns over while
/// it is measured.
pub const IDS_CAPACITY: u64 = 16 << 20;
/// See [`IDS_CAPACITY`].
pub const IDS_RETENTION_SECONDS: u64 = 1;

/// Server and load generator as two threads of this process; `shape` changes the load.
///
/// # Errors
/// What goes wrong.
pub fn in_process(dir: &Path, shape: impl FnOnce(Options) -> Options) -> Result<Report, LimitError> {
    let server = InProcess::start(dir, None)?;
    let report = cage_loadgen::run(&shape(Options::new(server.address(), dir.join("certs"))))?;
    server.end()?;
    answered(report)
}

/// A server on a thread of this process.
#[derive(Debug)]
pub struct InProcess {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<(), LimitError>>,
}

impl InProcess {
    /// Starts it. `durable_told` is told of each flush.
    ///
    /// # Errors
    /// What goes wrong.
    pub fn start(dir: &Path, durable_told: Option<Sender<(Lsn, Instant)>>) -> Result<Self, LimitError> {
        let options = ServerOptions { durable_told, ..options(dir) };
        let (started, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || -> Result<(), LimitError> {
            LocalRuntime::new()?.block_on(async {
                let (server, _) = Server::open(&options, &Arc::default())?;
                started.send(server.local_addr()?)?;
                server.run(async { drop(stopped.await) }).await?;
                Ok(())
            })
        });
        let Ok(address) = address.recv() else {
            return Err(match thread.join() {
                Ok(Err(reason)) => reason,
                _ => "the server ended before it served".into(),
            });
        };
        Ok(Self { address, stop, thread })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// What went wrong while it served.
    pub fn end(self) -> Result<(), LimitError> {
        drop(self.stop);
        self.thread.join().map_err(|_| "the server panicked")?
    }
}

fn options(dir: &Path) -> ServerOptions {
    ServerOptions {
        data_dir: dir.to_owned(),
        certs: None,
        checkpoint_key: None,
        witness: None,
        // Figures are of the log, not of a disk that is read beside it.
        scrub: ScrubOptions { bytes_per_second: 0, every: Duration::from_secs(86_400) },
        listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
        settings: Settings {
            ids_capacity: IDS_CAPACITY,
            ids_retention_millis: IDS_RETENTION_SECONDS * 1_000,
            ..Settings::DEFAULT
        },
        flush: FlushStrategy::DirectDsync,
        segment_bytes: 128 << 20,
        flush_poll: Duration::ZERO,
        guards: cage::guards::Guards::default(),
        faults: None,
        archive: None,
        snapshots: None,
        durable_told: None,
    }
}

/// A load of which something was refused or lost measures something else than it says.
fn answered(report: Report) -> Result<Report, LimitError> {
    if report.refused + report.not_taken + report.unknown > 0 {
        return Err(format!("not everything was executed: {report}").into());
    }
    Ok(report)
}

/// A server process, killed with this value.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    address: SocketAddr,
    dir: PathBuf,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the load generator says.
    pub report: Report,
    /// The server's processor time per request, in microseconds.
    pub server_cpu_us: f64,
}

impl Serving {
    /// Starts the binary `cage` on `dir` and waits until it serves.
    ///
    /// # Errors
    /// What goes wrong.
    pub fn start(cage: &Path, dir: &Path, ids_capacity: u64) -> Result<Self, LimitError> {
        let mut child = Command::new(cage)
            .args(["serve", "--listen", "127.0.0.1:0", "--ids-capacity", &ids_capacity.to_string()])
            .args(["--ids-retention", &IDS_RETENTION_SECONDS.to_string(), "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.join("server.log"))?)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the server's output")?;
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut serving = Self { child, address: unknown, dir: dir.to_owned() };
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            match line.strip_prefix("quic ") {
                Some(text) => serving.address = text.parse()?,
                None if line == "ready" => return Ok(serving),
                None => {}
            }
        }
        Err(format!("the server did not start: see {}", dir.join("server.log").display()).into())
    }

    /// A load for this server: by default transfers between 10,000 players.
    #[must_use]
    pub fn options(&self) -> Options {
        Options::new(self.address, self.certs())
    }

    /// The folder of its certificates.
    #[must_use]
    pub fn certs(&self) -> PathBuf {
        self.dir.join("certs")
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sets a stage, then loads.
    ///
    /// # Errors
    /// What goes wrong; and if not everything was executed.
    pub fn load(&self, options: &Options) -> Result<Loaded, LimitError> {
        self.load_on(options, &prepare(options, &Arc::default())?)
    }

    /// Loads on a stage that was set before.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_on(&self, options: &Options, stage: &Stage) -> Result<Loaded, LimitError> {
        let before = self.cpu()?;
        let report = answered(run_on(options, stage, &Arc::<Progress>::default())?)?;
        let cpu = self.cpu()?.saturating_sub(before);
        let server_cpu_us = cpu.as_secs_f64() * 1e6 / report.requests.max(1) as f64;
        Ok(Loaded { report, server_cpu_us })
    }

    /// Processor time of all its threads so far.
    ///
    /// # Errors
    /// If it is gone.
    pub fn cpu(&self) -> Result<Duration, LimitError> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let Ok(times) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += times.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Memory that it holds, in bytes; pages of files that are mapped are not counted.
    ///
    /// # Errors
    /// If it is gone.
    pub fn resident_bytes(&self) -> Result<u64, LimitError> {
        Ok(self.number("status", "RssAnon:")? * 1024)
    }

    /// Bytes that it has caused to be written to disks.
    ///
    /// # Errors
    /// If it is gone.
    pub fn written_bytes(&self) -> Result<u64, LimitError> {
        self.number("io", "write_bytes:")
    }

    fn number(&self, file: &str, name: &str) -> Result<u64, LimitError> {
        let path = format!("/proc/{}/{file}", self.id());
        let text = std::fs::read_to_string(&path)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or_else(|| format!("{path} has no {name}"))?.parse()?)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
