//! `cage reconcile`: what the ledger says against what a chain says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use cage_chain::config::{ChainConfig, Network};
use cage_chain::ethers::parse_address;
use cage_chain::reconcile::{Report, Terms, Verdict, compare};
use cage_client::{Client, Config, Credentials};
use clap::Args;

use super::{fail, hex};

/// Exit code: something differs.
const EXIT_DIFFERENCES: u8 = 1;
/// Exit code: not everything was seen: nothing is known.
const EXIT_INCOMPLETE: u8 = 2;
/// Blocks that a bridge may be behind what is final.
const LAG_BLOCKS: u64 = 5;
/// How old an approved withdrawal may be that is not paid: a day.
const OPEN_MAX_S: u64 = 86_400;

/// Compare the ledger with a chain, from their beginnings, without what the bridge remembers.
///
/// Reads the ledger's records under role auditor and every block of the network from its `start_height`; give a configuration
/// whose endpoints are not those of the bridge. Exit codes: 0 clean, 1 differences, 2 not everything could be seen, which is
/// never called clean.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: cage reconcile --config chain.toml --chain 1 --connect 127.0.0.1:4710 --certs cage-data/certs --wallet 0x..."
)]
pub(crate) struct Reconcile {
    /// The networks
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The network's number in the ledger
    #[arg(long, value_name = "NUMBER")]
    chain: u32,
    /// The ledger's address
    #[arg(long, value_name = "ADDR")]
    connect: SocketAddr,
    /// Folder with ca.pem, auditor.pem, auditor.key
    #[arg(long, value_name = "DIR")]
    certs: PathBuf,
    /// The account that pays withdrawals
    #[arg(long, value_name = "ADDRESS")]
    wallet: Option<String>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Reconcile {
    pub(crate) fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(reason) => return fail(EXIT_INCOMPLETE, &reason),
        };
        let report = runtime.block_on(self.report());
        runtime.shutdown_background();
        match report {
            Ok(report) => self.show(&report),
            Err(reason) => fail(EXIT_INCOMPLETE, &format!("incomplete: {reason}")),
        }
    }

    async fn report(&self) -> Result<Report, String> {
        let config = ChainConfig::load(&self.config).map_err(|fault| fault.to_string())?;
        let found = config.networks.iter().find(|network| network.chain == self.chain);
        let network =
            found.ok_or_else(|| format!("there is no network {} in the configuration", self.chain))?;
        let credentials = Credentials::from_dir(&self.certs, "auditor").map_err(|fault| fault.to_string())?;
        let client = Client::connect(Config::new(self.connect), credentials)
            .await
            .map_err(|fault| fault.to_string())?;
        let report = self.compare(network, &client).await;
        client.close().await;
        report
    }

    async fn compare(&self, network: &Network, client: &Client) -> Result<Report, String> {
        let settings = network.settings().map_err(|fault| fault.to_string())?;
        let source = network.source().map_err(|fault| fault.to_string())?;
        source.check().await.map_err(|fault| fault.to_string())?;
        let wallet =
            self.wallet.as_deref().map(parse_address).transpose().map_err(|fault| fault.to_string())?;
        let terms = Terms {
            chain: network.chain,
            coins: settings.coins,
            wallet,
            addresses: BTreeMap::new(),
            declared: settings.policy.declared,
            tokens: BTreeMap::new(),
            lag_blocks: LAG_BLOCKS,
            open_max_s: OPEN_MAX_S,
        };
        let report = compare(client, &source, terms, &settings.address_key, settings.start_height).await;
        report.map_err(|fault| fault.to_string())
    }

    fn show(&self, report: &Report) -> ExitCode {
        let digest = hex(&report.digest());
        if self.json {
            match serde_json::to_value(report) {
                Ok(mut json) => {
                    json["digest"] = digest.into();
                    say!("{json}");
                }
                Err(reason) => {
                    eprintln!("cage: the report cannot be written as JSON: {reason}");
                    return ExitCode::from(EXIT_INCOMPLETE);
                }
            }
        } else {
            say!(
                "{}: records to {}, blocks to {} ({})",
                report.chain,
                report.lsn,
                report.block.height,
                report.block.hash
            );
            for (coin, units) in &report.holdings {
                say!("held of {coin}: {units}");
            }
            for finding in &report.findings {
                let (expected, actual) = (&finding.expected, &finding.actual);
                let references = finding.references.join(", ");
                say!(
                    "{:?} {:?}: expected {expected}, found {actual}: {references}",
                    finding.severity,
                    finding.code
                );
            }
            report.unseen.iter().for_each(|what| say!("not seen: {what}"));
            say!("{} compared, digest {digest}", report.compared);
            say!("verdict {:?}", report.verdict);
        }
        match report.verdict {
            Verdict::Clean => ExitCode::SUCCESS,
            Verdict::Differences => ExitCode::from(EXIT_DIFFERENCES),
            Verdict::Incomplete => ExitCode::from(EXIT_INCOMPLETE),
        }
    }
}
