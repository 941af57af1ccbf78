//! What the tests stand on: the real `cage` program as ledger and as bridge, and providers that call it.
//!
//! In: nothing. Out: processes that are gone when a test is done, and answers as bytes. Never here: a part of the bridge
//! inside the test's own process, a wait without an end.

pub(crate) mod casino;
pub(crate) mod http;
pub(crate) mod provider;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::LocalRuntime;

/// How long anything may take that should happen soon. Longer means that it hangs.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Small tables and segments; tests run on any machine.
const SMALL: [&str; 10] = [
    "--segment-mib",
    "1",
    "--ids-capacity",
    "262144",
    "--holds-max",
    "65536",
    "--players-max",
    "65536",
    "--unsafe-swap",
    "--unsafe-filesystem",
];

/// A folder for one test, gone when the test is done.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// Runs a test's asynchronous part.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    run_within(SOON * 3, future)
}

/// Runs a test's asynchronous part that may take so long.
pub(crate) fn run_within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    // Building it may take longer than any test.
    program();
    let runtime = LocalRuntime::new().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(limit, future).await.expect("the test hangs") })
}

/// The program, built once by the first test that needs it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "-p", "cage", "--bin", "cage"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.expect("cargo runs").success(), "the program is not built");
        let own = std::env::current_exe().expect("a path");
        let folder = own.parent().and_then(Path::parent).expect("the folder of the build");
        folder.join("cage")
    })
}

/// Runs the program to its end.
pub(crate) fn end_of_cage(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().expect("the program runs")
}

/// Runs the program to its end; gives what it said.
pub(crate) fn run_cage(arguments: &[String]) -> String {
    let output = end_of_cage(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// A process of the program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn spawn(arguments: &[&str], log: &Path) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let mut command = Command::new(program());
        for name in ["CAGE_DATA_DIR", "CAGE_LISTEN", "CAGE_CERTS", "CAGE_LOG", "CAGE_FAULTS", "CAGE_GAMES"] {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let (line, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).all(|text| line.send(text).is_ok()));
        Self { child, lines }
    }

    /// Waits until it serves; gives the address that it says behind a word.
    fn ready(&self, word: &str) -> SocketAddr {
        self.all_ready().remove(word).unwrap_or_else(|| panic!("no {word}"))
    }

    /// Waits until it serves; gives all addresses that it says, by the word before them.
    fn all_ready(&self) -> HashMap<String, SocketAddr> {
        let mut addresses = HashMap::new();
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) if line == "ready" => return addresses,
                Ok(line) => {
                    if let Some((word, address)) = line.split_once(' ')
                        && let Ok(address) = address.parse()
                    {
                        addresses.insert(word.to_owned(), address);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the program ended before it served"),
                Err(RecvTimeoutError::Timeout) => panic!("the program is not ready in time"),
            }
        }
    }

    /// The address that it says behind a word once it serves.
    fn later(&self, word: &str) -> SocketAddr {
        loop {
            let line = self.lines.recv_timeout(SOON).expect("a line in time");
            if let Some((_, address)) = line.split_once(' ').filter(|(said, _)| *said == word) {
                return address.parse().expect("an address");
            }
        }
    }

    fn kill(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SIGTERM; waits until it has ended in order.
fn terminate(process: &mut Process) {
    let pid = rustix::process::Pid::from_raw(process.child.id().cast_signed()).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    assert!(process.child.wait().expect("an end").success(), "it did not end in order");
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A ledger and a bridge in front of it, each a process.
#[derive(Debug)]
pub(crate) struct House {
    dir: PathBuf,
    ledger: Process,
    bridge: Option<Process>,
    games: Option<Process>,
    /// Where the house's games are called.
    pub(crate) games_address: SocketAddr,
    /// Where the casino calls the bridge.
    pub(crate) casino_address: SocketAddr,
    /// Where monitors ask the bridge.
    pub(crate) admin_address: SocketAddr,
    /// Where the ledger is.
    pub(crate) ledger_address: SocketAddr,
    /// Where providers call.
    pub(crate) bridge_address: SocketAddr,
}

impl House {
    /// A ledger alone.
    pub(crate) fn ledger(dir: &Path) -> Self {
        let (ledger, ledger_address) = Self::start_ledger(dir, "127.0.0.1:0");
        let bridge_address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            dir: dir.to_owned(),
            ledger,
            bridge: None,
            games: None,
            games_address: bridge_address,
            casino_address: bridge_address,
            admin_address: bridge_address,
            ledger_address,
            bridge_address,
        }
    }

    fn start_ledger(dir: &Path, listen: &str) -> (Process, SocketAddr) {
        let data = dir.join("ledger");
        let mut arguments = vec!["serve", "--listen", listen, "--data-dir"];
        arguments.push(data.to_str().expect("a plain path"));
        arguments.extend(SMALL);
        let process = Process::spawn(&arguments, &dir.join("ledger.log"));
        let address = process.ready("quic");
        (process, address)
    }

    /// A ledger with the bridge inside it. Its first asset is the casino's currency.
    pub(crate) fn with_bridge_inside(dir: &Path, providers: &str) -> Self {
        let mut house = Self::ledger(dir);
        house.ledger.kill();
        house.write_config(providers);
        house.open_with_bridge_inside();
        house
    }

    fn open_with_bridge_inside(&mut self) {
        let data = self.dir.join("ledger");
        let listen = self.ledger_address.to_string();
        let file = self.games_file();
        let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
        let (data, file) = (text(&data), text(&file));
        let mut arguments = vec!["serve", "--listen", &listen, "--data-dir", &data, "--games", &file];
        arguments.extend(SMALL);
        self.ledger = Process::spawn(&arguments, &self.dir.join("ledger.log"));
        self.ledger.ready("quic");
        self.bridge_address = self.ledger.later("providers");
    }

    /// SIGTERM for the ledger with the bridge inside it, and both again.
    pub(crate) fn drain_and_open_with_bridge_inside(&mut self) {
        terminate(&mut self.ledger);
        self.open_with_bridge_inside();
    }

    /// Starts a bridge for all three formats in front of the ledger.
    pub(crate) fn open_bridge(&mut self, providers: &str) {
        let path = self.write_config(providers);
        let arguments = ["games", path.to_str().expect("a plain path")];
        let process = Process::spawn(&arguments, &self.dir.join("games.log"));
        let addresses = process.all_ready();
        self.bridge_address = addresses["providers"];
        self.casino_address = addresses.get("casino").copied().unwrap_or(self.casino_address);
        self.admin_address = addresses["games-admin"];
        self.bridge = Some(process);
    }

    fn write_config(&self, providers: &str) -> PathBuf {
        let listen = self.bridge_address;
        let (ledger, admin) = (self.ledger_address, self.admin_address);
        let text = format!(
            "admin = \"{admin}\"\nlisten = \"{listen}\"\nledger = \"{ledger}\"\ncerts = \"ledger/certs\"\ndata_dir = \"games\"\n\
             token_secret_file = \"token.secret\"\n{providers}"
        );
        let path = self.games_file();
        std::fs::write(&path, text).expect("a configuration");
        for (name, text) in provider::KEYS {
            std::fs::write(self.dir.join(name), text).expect("a key");
        }
        path
    }

    /// The bridge's configuration.
    pub(crate) fn games_file(&self) -> PathBuf {
        self.dir.join("games.toml")
    }

    /// The folder of the bridge's own files.
    pub(crate) fn games_dir(&self) -> PathBuf {
        self.dir.join("games")
    }

    /// Has the bridge read the log from its beginning at its next start.
    pub(crate) fn forget(&self) {
        cage_games::store::Store::open(&self.games_dir())
            .and_then(|store| store.forget())
            .expect("forgotten");
    }

    /// SIGKILL for the bridge, and nobody in its place yet.
    pub(crate) fn kill_bridge_only(&mut self) {
        self.bridge = None;
    }

    /// Starts the house's games, or kills and starts them again at the same address, with these faults.
    pub(crate) fn open_games(&mut self, faults: &str) {
        self.games = None;
        let key = self.dir.join("bearer.secret");
        std::fs::write(&key, provider::BEARER).expect("a key");
        let data = self.dir.join("house");
        let (listen, text) =
            (self.games_address.to_string(), |path: &Path| path.to_str().expect("a plain path").to_owned());
        let (key, data) = (text(&key), text(&data));
        let arguments =
            ["house", "--listen", &listen, "--data-dir", &data, "--key-file", &key, "--faults", faults];
        let process = Process::spawn(&arguments, &self.dir.join("house.log"));
        self.games_address = process.ready("house");
        self.games = Some(process);
    }

    /// SIGKILL for the house's games.
    pub(crate) fn stop_games(&mut self) {
        self.games = None;
    }

    /// SIGKILL for the bridge, and a new one at the same address.
    pub(crate) fn kill_bridge(&mut self, providers: &str) {
        self.bridge = None;
        self.open_bridge(providers);
    }

    /// SIGTERM for the bridge; waits until it has ended.
    pub(crate) fn drain_bridge(&mut self) {
        let mut bridge = self.bridge.take().expect("a bridge");
        terminate(&mut bridge);
    }

    /// Waits until the bridge has ended by itself.
    pub(crate) fn end_of_bridge(&mut self) -> ExitStatus {
        self.bridge.take().expect("a bridge").child.wait().expect("an end")
    }

    /// SIGKILL for the ledger, and a new one at the same address.
    pub(crate) fn kill_ledger(&mut self) {
        self.ledger.kill();
        let listen = self.ledger_address.to_string();
        (self.ledger, self.ledger_address) = Self::start_ledger(&self.dir, &listen);
    }

    /// SIGKILL for the ledger, and nobody in its place yet.
    pub(crate) fn stop_ledger(&mut self) {
        self.ledger.kill();
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.dir.join("ledger/certs")
    }

    /// The lines in which the bridge recorded what it refused.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join("games/refused.jsonl")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What `cage audit` says of the ledger, which is stopped for it.
    pub(crate) fn audit(mut self) {
        self.bridge = None;
        self.ledger.kill();
        let data = self.dir.join("ledger");
        let output =
            Command::new(program()).arg("audit").arg(&data).arg("--json").output().expect("an audit");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("\"clean\""), "{said}");
    }
}
