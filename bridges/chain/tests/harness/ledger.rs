//! A real ledger: the program `cage`, built here, as a process that can be killed.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use cage_client::engine::Role;
use cage_client::{Client, Config, Credentials};

/// Small tables and segments: the default ones take gigabytes. Tests run on any machine.
const OPTIONS: [&str; 11] = [
    "--segment-mib",
    "1",
    "--ids-capacity",
    "65536",
    "--holds-max",
    "4096",
    "--players-max",
    "4096",
    "--unsafe-swap",
    "--unsafe-filesystem",
    "--flush=dsync",
];
/// How long a client waits: as long as a restart may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program: `CAGE_PROGRAM` where it was built already, otherwise built here, once.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(built) = std::env::var_os("CAGE_PROGRAM") {
            return built.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
        let build = ["build", "--quiet", "--package", "cage", "--bin", "cage", "--target-dir"];
        let built = Command::new(env!("CARGO")).args(build).arg(target).current_dir(root).status();
        assert!(built.expect("cargo runs").success(), "the program was not built");
        target.join("debug/cage")
    })
}

/// A server process. Killed when it is dropped.
pub(crate) struct Ledger {
    child: Child,
    pub(crate) address: SocketAddr,
    data_dir: PathBuf,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ledger {
    /// Starts one with further arguments and a drill, and waits until it serves. `listen` is where the last one was.
    pub(crate) fn start(
        data_dir: &Path,
        listen: Option<SocketAddr>,
        more: &[&str],
        drill: Option<&str>,
    ) -> Self {
        let listen = listen.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let mut command = Command::new(program());
        command.args(["serve", "--listen", &listen, "--data-dir"]).arg(data_dir).args(OPTIONS).args(more);
        command.env_remove("CAGE_CHAIN_DRILL").envs(drill.map(|point| ("CAGE_CHAIN_DRILL", point)));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data_dir.with_extension("log"))
            .expect("a file");
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut ledger =
            Self { child: started.expect("it starts"), address: nowhere, data_dir: data_dir.to_owned() };
        let stdout = BufReader::new(ledger.child.stdout.take().expect("stdout"));
        for line in stdout.lines().map_while(Result::ok) {
            if let Some(text) = line.strip_prefix("quic ") {
                ledger.address = text.parse().expect("an address");
            }
            if line == "ready" {
                return ledger;
            }
        }
        let said = std::fs::read_to_string(data_dir.with_extension("log")).unwrap_or_default();
        panic!("the server did not start: {said}");
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> SocketAddr {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.address
    }

    /// Whether it has ended by itself, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a status")
    }

    /// A client of a role.
    pub(crate) async fn client(&self, role: Role) -> Client {
        let credentials =
            Credentials::from_dir(&self.data_dir.join("certs"), role.name()).expect("credentials");
        let config = Config { deadline: PATIENCE, connect_time: PATIENCE, ..Config::new(self.address) };
        Client::connect(config, credentials).await.expect("a connection")
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.data_dir.with_extension("log")).unwrap_or_default()
    }
}

/// Runs a command of the program to its end; gives its exit code and what it wrote to stdout.
pub(crate) fn run_cage(arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(program()).args(arguments).stdin(Stdio::null()).output().expect("it runs");
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Another command of the program, that says `ready`. Killed when it is dropped.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("ready"));
        Self(child)
    }
}
