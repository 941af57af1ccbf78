//! The whole server under load: in this process, or apart from the load generator.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cage::scrubber::ScrubOptions;
use cage::server::{Server, ServerOptions};
use cage_engine::Settings;
use cage_loadgen::{Load, Options, Report, Workload};
use cage_wal::FlushStrategy;
use tokio::runtime::LocalRuntime;
use tokio::sync::oneshot;

use crate::limits::quic::LimitError;

/// A load to put on a server.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Which requests.
    pub workload: Workload,
    /// Of how many players.
    pub players: u32,
    /// Over how many connections.
    pub connections: usize,
    /// When they are sent.
    pub load: Load,
    /// For how long.
    pub duration: Duration,
}

/// Ids that a benchmark's server remembers, and for how many seconds at least: so few that the table turns over while
/// it is measured.
pub const IDS_CAPACITY: u64 = 16 << 20;
const IDS_RETENTION_SECONDS: u64 = 1;

impl Shape {
    fn options(self, connect: SocketAddr, certs: PathBuf) -> Options {
        let Self { workload, players, connections, load, duration } = self;
        Options { workload, players, connections, load, duration, ..Options::new(connect, certs) }
    }
}

/// Server and load generator as two threads of this process.
///
/// # Errors
/// What goes wrong.
pub fn in_process(dir: &Path, shape: Shape) -> Result<Report, LimitError> {
    let options = ServerOptions {
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
    };
    let (started, address) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = std::thread::spawn(move || -> Result<(), LimitError> {
        LocalRuntime::new()?.block_on(async {
            let (server, _) = Server::open(&options)?;
            started.send(server.local_addr()?)?;
            server.run(async { drop(stopped.await) }).await?;
            Ok(())
        })
    });
    let report = cage_loadgen::run(&shape.options(address.recv()?, dir.join("certs")))?;
    drop(stop);
    server.join().map_err(|_| "the server panicked")??;
    Ok(report)
}

/// A server process, ended with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The `cage` binary as a process of its own, loaded from this one.
///
/// # Errors
/// What goes wrong.
pub fn apart(cage: &Path, dir: &Path, shape: Shape) -> Result<Report, LimitError> {
    let child = Command::new(cage)
        .args(["serve", "--listen", "127.0.0.1:0", "--ids-capacity", &IDS_CAPACITY.to_string()])
        .args(["--ids-retention", &IDS_RETENTION_SECONDS.to_string(), "--data-dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut process = Process(child);
    let stdout = process.0.stdout.take().ok_or("the server's output")?;
    let mut address = None;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        match line.strip_prefix("quic ") {
            Some(text) => address = Some(text.parse()?),
            None if line == "ready" => break,
            None => {}
        }
    }
    let address = address.ok_or("the server did not say where it listens")?;
    Ok(cage_loadgen::run(&shape.options(address, dir.join("certs")))?)
}
