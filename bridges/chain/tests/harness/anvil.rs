//! A real node: found, or installed once, or the test says loudly that it was skipped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cage_chain::ethers::{Key, Signed, Transfer};
use cage_chain::rpc::{self, Endpoint};
use cage_chain::source::evm::Evm;
use cage_chain::types::{Address, Coin};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

/// How long a node may take to answer for the first time, and a package to be installed.
const START_TIME_MAX: Duration = Duration::from_secs(60);
const PROGRAM: &str = "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
/// Set where the tests must run: then a missing node is a failure.
const REQUIRED: &str = "REQUIRE_ANVIL";

/// A node with a chain of its own. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Anvil {
    child: Child,
    pub(crate) url: String,
    pub(crate) endpoint: Endpoint,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the program is.
fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ANVIL") {
        return Some(path.into());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").to_owned();
    let tools = target.join("tools");
    let installed = tools.join(PROGRAM);
    let on_path = || {
        let paths = std::env::var_os("PATH")?;
        std::env::split_paths(&paths).map(|folder| folder.join("anvil")).find(|path| path.is_file())
    };
    if installed.is_file() {
        Some(installed)
    } else {
        on_path().or_else(|| install(&tools).map(|()| installed))
    }
}

/// Installs the pinned package, once for all tests.
fn install(tools: &Path) -> Option<()> {
    fs::create_dir_all(tools).ok()?;
    let lock = File::create(tools.join("lock")).ok()?;
    flock(&lock, FlockOperation::LockExclusive).ok()?;
    if tools.join(PROGRAM).is_file() {
        return Some(());
    }
    // Beside its place, then moved there: what is there is whole.
    let beside = tools.join("installing");
    fs::create_dir_all(&beside).ok()?;
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/anvil");
    for name in ["package.json", "package-lock.json"] {
        fs::copy(pinned.join(name), beside.join(name)).ok()?;
    }
    let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
    let done = Command::new("npm").args(install).current_dir(&beside).stdin(Stdio::null()).output().ok()?;
    if !done.status.success() {
        eprintln!("npm did not install anvil: {}", String::from_utf8_lossy(&done.stderr));
        return None;
    }
    fs::rename(beside.join("node_modules"), tools.join("node_modules")).ok()
}

/// A node whose blocks are made by hand. Nothing if there is none; then the test says so and ends.
pub(crate) fn anvil() -> Option<Anvil> {
    let Some(program) = program() else {
        assert!(
            std::env::var_os(REQUIRED).is_none(),
            "{REQUIRED} is set, and there is no anvil: set ANVIL=PATH or install npm"
        );
        eprintln!("SKIPPED: no anvil here (set ANVIL=PATH, or install npm)");
        return None;
    };
    // A port that was free a moment ago. Another process can take it in between: then another one is tried.
    for _ in 0..5 {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("its address")
            .port();
        let child = Command::new(&program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--no-mining", "--silent"])
            .args(["--slots-in-an-epoch", "4"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil starts");
        let url = format!("http://127.0.0.1:{port}");
        let endpoint = Endpoint::new(&url, "anvil").expect("an endpoint");
        let mut anvil = Anvil { child, url, endpoint };
        if anvil.answers() {
            return Some(anvil);
        }
    }
    panic!("anvil does not start");
}

impl Anvil {
    /// Whether it answers soon; not if it ended instead.
    fn answers(&mut self) -> bool {
        let began = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        while began.elapsed() < START_TIME_MAX {
            if self.child.try_wait().expect("a status").is_some() {
                return false;
            }
            if runtime.block_on(self.endpoint.number("eth_chainId", vec![])).is_ok() {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    pub(crate) fn source(&self) -> Evm {
        Evm::new(super::CHAIN_ID, vec![self.endpoint.clone()], 1)
    }

    pub(crate) async fn ask(&self, method: &'static str, parameters: Vec<Value>) -> Value {
        self.endpoint.ask(method, parameters).await.unwrap_or_else(|fault| panic!("{fault}"))
    }

    pub(crate) async fn mine(&self, count: u64) {
        self.ask("anvil_mine", vec![rpc::number(count)]).await;
    }

    /// If a transaction waits, makes a block of it and two on top; otherwise nothing, so that a bridge is never behind.
    pub(crate) async fn mine_what_waits(&self) {
        let status = self.ask("txpool_status", vec![]).await;
        if status["pending"] != "0x0" {
            self.mine(3).await;
        }
    }

    /// Gives the newest blocks up, for empty ones.
    pub(crate) async fn reorganise(&self, depth: u64) {
        self.ask("anvil_reorg", vec![json!(depth), json!([])]).await;
    }

    /// Sends ether from one of the accounts that the node has keys of.
    pub(crate) async fn pay(&self, to: Address, units: u128) {
        let pay = json!({"from": super::address(9).to_string(), "to": to.to_string(), "value": format!("{units:#x}")});
        self.ask("eth_sendTransaction", vec![pay]).await;
    }

    /// Calls a contract as one of the accounts that the node has keys of.
    pub(crate) async fn call(&self, contract: Address, data: &[u8]) {
        let from = super::address(9).to_string();
        let call =
            json!({"from": from, "to": contract.to_string(), "data": rpc::bytes(data), "gas": "0x30d40"});
        self.ask("eth_sendTransaction", vec![call]).await;
    }

    /// Puts code at an address.
    pub(crate) async fn set_code(&self, at: Address, code: &str) {
        self.ask("anvil_setCode", vec![json!(at.to_string()), json!(code)]).await;
    }

    /// How many transactions of an account are on the chain.
    pub(crate) async fn slots_used(&self, of: Address) -> u64 {
        let asked = vec![json!(of.to_string()), json!("latest")];
        let used = self.endpoint.number("eth_getTransactionCount", asked).await.expect("a count");
        used.try_into().expect("few")
    }

    pub(crate) async fn balance(&self, of: Address) -> u128 {
        self.endpoint
            .number("eth_getBalance", vec![json!(of.to_string()), json!("latest")])
            .await
            .expect("a balance")
    }

    /// Signs a transfer with the key of account 9 of the developers' words and sends it.
    pub(crate) async fn send(&self, key: &Key, slot: u64, to: Address, units: u128) -> Signed {
        let (chain_id, coin, fee) = (super::CHAIN_ID, Coin::Native, 4_000_000_000);
        let transfer =
            Transfer { chain_id, slot, to, coin, units, gas: 21_000, fee_max: fee, tip_max: 1_000_000_000 };
        let signed = key.sign(&transfer).expect("signed");
        let answer = self.ask("eth_sendRawTransaction", vec![rpc::bytes(&signed.raw)]).await;
        assert_eq!(answer, json!(signed.transaction.to_string()), "the name is known before it is sent");
        signed
    }
}
