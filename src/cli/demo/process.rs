//! The ledger as a process of its own, so that it can be killed for real.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use cage_wal::storage::Filesystem;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::DemoError;

/// A running server and how to run it again.
pub(super) struct ServerProcess {
    data_dir: PathBuf,
    address: SocketAddr,
    child: Child,
    kills: u32,
}

impl ServerProcess {
    /// Starts a server on a free port.
    pub(super) async fn start(data_dir: &Path) -> Result<Self, DemoError> {
        std::fs::create_dir_all(data_dir)?;
        let (child, address) = spawn(data_dir, "127.0.0.1:0").await?;
        Ok(Self { data_dir: data_dir.to_owned(), address, child, kills: 0 })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn kills(&self) -> u32 {
        self.kills
    }

    /// SIGKILL, then the same port again. Gives the time from the kill until it served.
    pub(super) async fn kill_and_restart(&mut self) -> Result<Duration, DemoError> {
        let begin = Instant::now();
        self.child.kill().await?;
        self.kills += 1;
        (self.child, self.address) = spawn(&self.data_dir, &self.address.to_string()).await?;
        Ok(begin.elapsed())
    }

    /// SIGTERM; waits until it has drained.
    pub(super) async fn terminate(&mut self) -> Result<(), DemoError> {
        let pid = self.child.id().ok_or("the ledger ended by itself: see serve.log")?;
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).ok_or("the ledger's process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait().await?;
        if status.success() { Ok(()) } else { Err(format!("the ledger did not drain: {status}").into()) }
    }
}

/// No real money is in a demo: it runs on any machine.
fn overrides(data_dir: &Path) -> &'static [&'static str] {
    if is_unfit(data_dir) { &["--unsafe-swap", "--unsafe-filesystem"] } else { &["--unsafe-swap"] }
}

/// Whether the folder lies on a file system that a server does not take by itself.
pub(super) fn is_unfit(data_dir: &Path) -> bool {
    Filesystem::of(data_dir).is_ok_and(|found| found.unfit.is_some())
}

async fn spawn(data_dir: &Path, listen: &str) -> Result<(Child, SocketAddr), DemoError> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(data_dir.join("serve.log"))?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["serve", "--listen", listen, "--segment-mib", "16", "--ids-capacity", "4194304"])
        .args(overrides(data_dir))
        .arg("--data-dir")
        .arg(data_dir)
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("the ledger's output")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut address = None;
    while let Some(line) = lines.next_line().await? {
        if let Some(text) = line.strip_prefix("quic ") {
            address = Some(text.parse()?);
        }
        if line == "ready" {
            return Ok((child, address.ok_or("the ledger did not say where it listens")?));
        }
    }
    let log = data_dir.join("serve.log");
    Err(format!("the ledger did not start: see {}", log.display()).into())
}
