//! What all tests share: a ledger as a process, its folder, its audit, seeds.

pub(crate) mod books;
pub(crate) mod casino;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod small_disk;
pub(crate) mod strace;
pub(crate) mod wire;

use std::future::Future;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use cage_wal::storage::Filesystem;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;
use tokio::runtime::LocalRuntime;

/// How long anything may take that should happen soon. Longer means that it hangs.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Small tables and segments: the default ones take gigabytes.
const SMALL: [&str; 8] =
    ["--segment-mib", "1", "--ids-capacity", "65536", "--holds-max", "4096", "--players-max", "4096"];

/// A folder for one test, on the disk of the build, gone when the test is done.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// The program under test.
pub(crate) fn cage() -> Command {
    cage_after(&[])
}

/// The program under test, as the last of the arguments of another one, if there is one.
pub(crate) fn cage_after(before: &[String]) -> Command {
    let mut words = before.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_cage")]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    // Settings of whoever runs the tests are not those of the tests.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("CAGE_") {
            command.env_remove(variable);
        }
    }
    command
}

/// Runs the program to its end.
pub(crate) fn run_cage(arguments: &[&str]) -> Output {
    cage().args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

/// Tests run on any machine, and say what of its guards they override.
fn overrides(data_dir: &Path) -> Vec<&'static str> {
    let unfit = Filesystem::of(data_dir).is_ok_and(|found| found.unfit.is_some());
    if unfit {
        println!("{} is no place for money: --unsafe-filesystem", data_dir.display());
        return vec!["--unsafe-swap", "--unsafe-filesystem"];
    }
    vec!["--unsafe-swap"]
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of plain characters")
}

/// What a finished program wrote to stdout.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a finished program wrote to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a test's asynchronous part; fails if it takes longer than `most`.
pub(crate) fn run_for<T>(most: Duration, future: impl Future<Output = T>) -> T {
    let runtime = LocalRuntime::new().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(most, future).await.expect("the test hangs") })
}

/// [`run_for`] twice as long as anything may take.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    run_for(SOON * 2, future)
}

/// Waits for something that should happen soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {SOON:?}"),
    }
}

/// Randomness that is repeated by setting `CAGE_SEED` to what is printed.
pub(crate) fn random(test: &str) -> StdRng {
    let seed = std::env::var("CAGE_SEED")
        .ok()
        .map_or_else(rand::random, |seed| seed.parse().expect("CAGE_SEED is a number"));
    println!("{test}: repeat with CAGE_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// A number from the environment, or the one for everybody.
pub(crate) fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// How to start a ledger.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) data_dir: PathBuf,
    pub(crate) options: Vec<String>,
    pub(crate) listen: String,
    /// A program, with its arguments, that starts the server.
    pub(crate) before: Vec<String>,
}

impl Start {
    /// Small tables, a free port.
    pub(crate) fn small(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            options: SMALL.iter().copied().chain(overrides(data_dir)).map(str::to_owned).collect(),
            listen: "127.0.0.1:0".to_owned(),
            before: Vec::new(),
        }
    }

    /// With the value of an option replaced or added.
    pub(crate) fn with(mut self, option: &str, value: &str) -> Self {
        match self.options.iter().position(|known| known == option) {
            Some(place) => value.clone_into(&mut self.options[place + 1]),
            None => self.options.extend([option.to_owned(), value.to_owned()]),
        }
        self
    }

    /// With a flag.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.options.push(flag.to_owned());
        self
    }

    /// Without a flag.
    pub(crate) fn without(mut self, flag: &str) -> Self {
        self.options.retain(|known| known != flag);
        self
    }

    /// Starts the process; does not wait for anything.
    pub(crate) fn spawn(&self) -> Process {
        let mut child = cage_after(&self.before)
            .args(["serve", "--listen", &self.listen, "--data-dir"])
            .arg(&self.data_dir)
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (line, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let reader = std::thread::spawn(move || {
            // The receiver is gone when the test is done with the process.
            stdout.lines().map_while(Result::ok).all(|text| line.send(text).is_ok());
        });
        let told = Arc::<Told>::default();
        let teller = tell(child.stderr.take().expect("stderr"), Arc::clone(&told));
        Process { child, lines, told, readers: vec![reader, teller] }
    }

    /// Starts the process and waits until it serves.
    pub(crate) fn ledger(self) -> Ledger {
        self.attempt().unwrap_or_else(|ended| panic!("the server did not start: {ended:?}"))
    }

    /// Starts the process, which may serve or end; if it ends, says how.
    pub(crate) fn attempt(self) -> Result<Ledger, Ended> {
        let process = self.spawn();
        let Some(Addresses { quic, admin }) = process.ready() else { return Err(process.end()) };
        let start = Self { listen: quic.to_string(), ..self };
        Ok(Ledger { start, address: quic, admin, process: Some(process) })
    }

    /// Starts the process, which has to refuse; gives how it ended.
    pub(crate) fn refused(&self) -> Ended {
        let process = self.spawn();
        assert!(process.ready().is_none(), "the server started");
        process.end()
    }
}

/// What a process has written to stderr so far.
#[derive(Debug, Default)]
struct Told {
    text: Mutex<String>,
    more: Condvar,
}

fn tell(stderr: impl Read + Send + 'static, told: Arc<Told>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut text = told.text.lock().expect("the text");
            text.push_str(&line);
            text.push('\n');
            told.more.notify_all();
        }
    })
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    quic: SocketAddr,
    admin: SocketAddr,
}

/// A server process, from its start on.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    told: Arc<Told>,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended, and all that it said on stderr.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

impl Process {
    /// Waits until it serves; gives its addresses. Nothing if it ends instead.
    fn ready(&self) -> Option<Addresses> {
        let (mut quic, mut admin) = (None, None);
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) if line == "ready" => {
                    let told = "the addresses come before `ready`";
                    return Some(Addresses { quic: quic.expect(told), admin: admin.expect(told) });
                }
                Ok(line) => {
                    let address = |text: &str| Some(text.parse().expect("an address"));
                    if let Some(text) = line.strip_prefix("quic ") {
                        quic = address(text);
                    } else if let Some(text) = line.strip_prefix("admin http://") {
                        admin = address(text);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the server is not ready in time: {}", self.stderr())
                }
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).expect("a process id")
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended, which it should not; gives what it said.
    pub(crate) async fn falls_over(&self) -> String {
        let (child, told) = (WaitId::Pid(self.pid()), Arc::clone(&self.told));
        let wait = move || waitid(child, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        // If somebody else has seen its end already, it has ended.
        let _ = tokio::task::spawn_blocking(wait).await.expect("a wait");
        told.text.lock().expect("the text").clone()
    }

    /// Everything that it has said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.told.text.lock().expect("the text").clone()
    }

    /// Waits until a line with `part` in it was written to stderr.
    pub(crate) fn wait_for(&self, part: &str) {
        let text = self.told.text.lock().expect("the text");
        let (text, waited) =
            self.told.more.wait_timeout_while(text, SOON, |text| !text.contains(part)).expect("the text");
        assert!(!waited.timed_out(), "the server never said {part:?}, but:\n{text}");
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(mut self) -> Ended {
        // It may have ended by itself already.
        let _ = self.child.kill();
        self.end()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn end(mut self) -> Ended {
        let status = self.child.wait().expect("a status");
        for reader in self.readers.drain(..) {
            reader.join().expect("all output is read");
        }
        Ended { status, stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `end` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A ledger that serves. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Ledger {
    start: Start,
    address: SocketAddr,
    admin: SocketAddr,
    process: Option<Process>,
}

impl Ledger {
    /// A small one in `data_dir`, at a free port.
    pub(crate) fn small(data_dir: &Path) -> Self {
        Start::small(data_dir).ledger()
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin port is.
    pub(crate) const fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.start.data_dir.join("certs")
    }

    pub(crate) const fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// SIGKILL. Gives how to start it again, on the same port.
    pub(crate) fn kill(mut self) -> Start {
        let ended = self.process.take().expect("it runs").kill();
        assert_eq!(ended.status.code(), None, "it was running until now: {ended:?}");
        self.start.clone()
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn end(mut self) -> Ended {
        let process = self.process.take().expect("it runs");
        tokio::task::spawn_blocking(|| process.end()).await.expect("an end")
    }

    /// SIGTERM; waits until it has ended. Meanwhile the clients of the test go on, and read what they are told.
    pub(crate) async fn terminate(mut self) -> (Ended, Start) {
        let process = self.process.take().expect("it runs");
        process.signal(Signal::TERM);
        let ended = tokio::task::spawn_blocking(|| process.end()).await.expect("an end");
        (ended, self.start.clone())
    }

    /// SIGTERM; it must drain in order. Gives how to start it again, on the same port.
    pub(crate) async fn close(self) -> Start {
        let (ended, start) = self.terminate().await;
        assert!(ended.status.success(), "the server did not drain: {ended:?}");
        start
    }
}

/// What `cage audit --json` printed.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) code: i32,
    pub(crate) json: serde_json::Value,
    stderr: String,
}

/// Runs `cage audit --json` with further arguments.
pub(crate) fn audit(data_dir: &Path, arguments: &[&str]) -> Audit {
    let output = run_cage(&[&["audit", text(data_dir), "--json"], arguments].concat());
    let json = serde_json::from_slice(&output.stdout).unwrap_or(serde_json::Value::Null);
    Audit { code: output.status.code().expect("the audit was not killed"), json, stderr: stderr(&output) }
}

impl Audit {
    /// A number of the report.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.json[name].as_u64().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        assert_eq!(self.json["verdict"], "clean", "{self:?}");
        assert_eq!(self.json["conserved"], true, "{self:?}");
        assert_eq!(self.number("difference_count"), 0, "{self:?}");
    }
}

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
