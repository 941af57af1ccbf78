//! `cage chain`: what people do with the chain bridge besides letting it run in the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_chain::addresses::invitation;
use cage_chain::bridge::lift_breaker;
use cage_chain::config::{ChainConfig, Network};
use cage_chain::ethers::{Key, checksummed, parse_address};
use cage_chain::signer::{Guard, passphrase};
use cage_chain::store::Store;
use cage_chain::types::Coin;
use clap::{Args, Subcommand};
use tokio::sync::watch;

use super::{fail, init_tracing};
use crate::chain::{Place, run};
use crate::guards;

/// Exit code: the configuration or a file cannot be used.
const EXIT_CONFIG: u8 = 1;
/// Exit code: a bridge or signer ended by itself.
const EXIT_ENDED: u8 = 3;

/// Bridge to blockchains: run it by itself, sign for it, show deposit addresses, make a wallet.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage chain address --config chain.toml --chain 1 --number 7")]
pub(crate) struct Chain {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Run),
    Signer(Signer),
    Address(Address),
    Wallet(Wallet),
    ResetBreaker(ResetBreaker),
}

/// Run the bridges of a configuration as a process of their own.
#[derive(Debug, Args)]
struct Run {
    /// The networks
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The ledger's address
    #[arg(long, value_name = "ADDR")]
    connect: SocketAddr,
    /// Folder with ca.pem, chain.pem, chain.key
    #[arg(long, value_name = "DIR")]
    certs: PathBuf,
    /// Where the bridges keep their files
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
}

/// Sign for a bridge, in a process that has the wallet's key and bounds of its own.
///
/// Takes keystore, passphrase file and bounds from the network's part of a configuration of its own. Prints `ready` when it
/// answers. Never signs two payments for one slot of the wallet.
#[derive(Debug, Args)]
struct Signer {
    /// The networks, with keystore and bounds
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The network's number in the ledger
    #[arg(long, value_name = "NUMBER")]
    chain: u32,
    /// The socket to answer at; whoever can open it can ask
    #[arg(long, value_name = "FILE")]
    socket: PathBuf,
    /// The file that remembers what was signed
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
}

/// Show the deposit address of a number that the ledger has assigned.
#[derive(Debug, Args)]
struct Address {
    /// The networks
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The network's number in the ledger
    #[arg(long, value_name = "NUMBER")]
    chain: u32,
    /// The address's number
    #[arg(long, value_name = "NUMBER")]
    number: u32,
    /// A token's contract, for the link that wallets understand
    #[arg(long, value_name = "ADDRESS")]
    token: Option<String>,
    /// An amount to propose, in the coin's smallest unit
    #[arg(long, value_name = "UNITS")]
    units: Option<u128>,
}

/// Make a wallet: a new key in a keystore file of version 3. Prints its address.
#[derive(Debug, Args)]
struct Wallet {
    /// The file to make; it is never overwritten
    keystore: PathBuf,
    /// The file with the passphrase, on its first line
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
}

/// Let payments go on that an alarm has stopped. The bridge must not run meanwhile.
#[derive(Debug, Args)]
struct ResetBreaker {
    /// The bridge's file
    store: PathBuf,
}

impl Chain {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Run(run) => return run.run(),
            Command::Signer(signer) => return signer.run(),
            Command::Address(address) => address.run(),
            Command::Wallet(wallet) => wallet.run(),
            Command::ResetBreaker(reset) => reset.run(),
        };
        match done {
            Ok(text) => {
                say!("{text}");
                ExitCode::SUCCESS
            }
            Err(reason) => fail(EXIT_CONFIG, &reason),
        }
    }
}

fn network(config: ChainConfig, chain: u32) -> Result<Network, String> {
    let known: Vec<_> = config.networks.iter().map(|network| network.chain).collect();
    let found = config.networks.into_iter().find(|network| network.chain == chain);
    found.ok_or_else(|| format!("there is no network {chain} in the configuration (there are {known:?})"))
}

fn load(config: &std::path::Path, chain: u32) -> Result<Network, String> {
    network(ChainConfig::load(config).map_err(|fault| fault.to_string())?, chain)
}

impl Run {
    fn run(self) -> ExitCode {
        init_tracing();
        if let Err(reason) = guards::forbid_dumps() {
            return fail(EXIT_CONFIG, &reason);
        }
        let config = match ChainConfig::load(&self.config) {
            Ok(config) => config,
            Err(reason) => return fail(EXIT_CONFIG, &reason),
        };
        let place = Place { address: self.connect, certs: self.certs, folder: self.folder };
        // A kill is as good an end as any: everything is found again.
        let (_running, stop) = watch::channel(false);
        match run(&config, &place, &stop) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(EXIT_ENDED, &reason),
        }
    }
}

impl Signer {
    fn run(self) -> ExitCode {
        init_tracing();
        if let Err(reason) = guards::forbid_dumps() {
            return fail(EXIT_CONFIG, &reason);
        }
        let guard = match self.guard() {
            Ok(guard) => guard,
            Err(reason) => return fail(EXIT_CONFIG, &reason),
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(reason) => return fail(EXIT_CONFIG, &reason),
        };
        match runtime.block_on(guard.serve(&self.socket, || say!("ready"))) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(EXIT_ENDED, &format!("{}: {reason}", self.socket.display())),
        }
    }

    fn guard(&self) -> Result<Guard, String> {
        let text = |fault: &dyn std::fmt::Display| fault.to_string();
        let network = load(&self.config, self.chain)?;
        let wallet = network.wallet.as_ref().ok_or("the network has no wallet")?;
        let keystore = wallet.keystore.as_ref().ok_or("the wallet has no `keystore`")?;
        let file = wallet.passphrase_file.as_ref().ok_or("the wallet has no `passphrase_file`")?;
        let key = Key::open(keystore, &passphrase(file)?).map_err(|fault| text(&fault))?;
        let settings = network.settings().map_err(|fault| text(&fault))?;
        let store = Store::open(&self.store).map_err(|fault| text(&fault))?;
        Guard::open(key, network.chain_id, settings.policy, store).map_err(|fault| text(&fault))
    }
}

impl Address {
    fn run(&self) -> Result<String, String> {
        let network = load(&self.config, self.chain)?;
        let settings = network.settings().map_err(|fault| fault.to_string())?;
        let coin = match &self.token {
            Some(token) => Coin::Token(parse_address(token).map_err(|fault| fault.to_string())?),
            None => Coin::Native,
        };
        let shown = invitation(&settings.address_key, self.number, network.chain_id, coin, self.units);
        let shown = shown.map_err(|fault| fault.to_string())?;
        Ok(format!("{}\n{}", shown.address, shown.uri))
    }
}

impl Wallet {
    fn run(&self) -> Result<String, String> {
        let made = Key::create(&self.keystore, &passphrase(&self.passphrase_file)?);
        made.map(|key| checksummed(&key.address())).map_err(|fault| fault.to_string())
    }
}

impl ResetBreaker {
    fn run(&self) -> Result<String, String> {
        if !self.store.is_file() {
            return Err(format!("{}: there is no such file", self.store.display()));
        }
        let store = Store::open(&self.store).map_err(|fault| fault.to_string())?;
        let lifted = lift_breaker(&store).map_err(|fault| fault.to_string())?;
        Ok(lifted.map_or_else(
            || "payments were not stopped".to_owned(),
            |tripped| format!("payments go on; they were stopped because {}", tripped.reason),
        ))
    }
}
