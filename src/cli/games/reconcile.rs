//! `cage games reconcile`: what the ledger says of a provider's rounds against what the provider says.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use cage_client::{Client, Credentials};
use cage_games::Config;
use cage_games::reconcile::{Difference, Question, Report, Round, Verdict, compare, read_list};
use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::LocalRuntime;

use crate::cli::fail;

/// Exit code: something differs.
const EXIT_DIFFERENCES: u8 = 1;
/// Exit code: not everything was seen: nothing is known.
const EXIT_INCOMPLETE: u8 = 2;
/// How old a round is that is looked at, unless it is said otherwise, in milliseconds: what is younger may be on its way.
const YOUNG_MS: u64 = 60_000;

/// Compare the ledger with a provider, round by round, both ways.
///
/// Reads the provider's list, then the ledger's records under role auditor; nothing of what the bridge remembers. Nothing is corrected.
/// Exit codes: 0 clean, 1 differences, 2 not everything could be seen, which is never called clean.
#[derive(Debug, Args)]
pub(super) struct Reconcile {
    /// The bridge's configuration
    #[arg(value_name = "FILE", env = "CAGE_GAMES")]
    config: PathBuf,
    /// The provider's name in it
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// Rounds that began then or later, like 2026-05-01T00:00:00Z; from the beginning if it is not said
    #[arg(long, value_name = "TIME", value_parser = millis)]
    from: Option<u64>,
    /// Rounds that began before; a minute ago if it is not said
    #[arg(long, value_name = "TIME", value_parser = millis)]
    to: Option<u64>,
    /// The provider's list as a file, one round a line, instead of asking for it
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Folder with ca.pem, auditor.pem, auditor.key; the bridge's own if it is not said
    #[arg(long, value_name = "DIR")]
    certs: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn millis(text: &str) -> Result<u64, String> {
    let time =
        OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "expected a time like 2026-05-01T00:00:00Z")?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000)
        .map_err(|_| "expected a time after 1970".to_owned())
}

impl Reconcile {
    pub(super) fn run(self) -> ExitCode {
        let runtime = match LocalRuntime::new() {
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
        let config = Config::load(&self.config).map_err(|fault| fault.to_string())?;
        let found = config.providers.get(&self.provider);
        let provider =
            found.ok_or_else(|| format!("there is no provider {} in the configuration", self.provider))?;
        let list = match &self.list {
            None => None,
            Some(path) => {
                let fault = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
                let text = std::fs::read_to_string(path).map_err(|reason| fault(&reason))?;
                Some(read_list(provider, &text).map_err(|reason| fault(&reason))?)
            }
        };
        let certs = self.certs.as_ref().unwrap_or(&config.certs);
        let credentials = Credentials::from_dir(certs, "auditor").map_err(|fault| fault.to_string())?;
        let ledger = cage_client::Config::new(config.ledger);
        let client = Client::connect(ledger, credentials).await.map_err(|fault| fault.to_string())?;
        let question = Question { provider, period: self.period(), list };
        let report = compare(&client, question).await;
        client.close().await;
        report.map_err(|fault| fault.to_string())
    }

    fn period(&self) -> Range<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.from.unwrap_or(0)..self.to.unwrap_or_else(|| now.saturating_sub(YOUNG_MS))
    }

    fn show(&self, report: &Report) -> ExitCode {
        if self.json {
            say!("{}", serde_json::json!(report));
        } else {
            show_text(report);
        }
        match report.verdict {
            Verdict::Clean => ExitCode::SUCCESS,
            Verdict::Differences => ExitCode::from(EXIT_DIFFERENCES),
            Verdict::Incomplete => ExitCode::from(EXIT_INCOMPLETE),
        }
    }
}

/// The name that JSON has for it, too.
fn word(value: impl serde::Serialize) -> String {
    serde_json::json!(value).as_str().unwrap_or_default().to_owned()
}

fn show_text(report: &Report) {
    say!("{}: records to {}, {} rounds compared", report.provider, report.lsn, report.compared);
    for (side, sums) in [("ledger", &report.ours), ("provider", &report.theirs)] {
        for (currency, sum) in sums {
            say!("{side}  {currency}  staked {}  paid {}", sum.stake, sum.payout);
        }
    }
    for Difference { kind, ours, theirs } in &report.differences {
        let side = |round: &Option<Round>| match round {
            None => "nothing".to_owned(),
            Some(Round { name, currency, stake, payout, state, .. }) => {
                format!("{name} staked {stake} paid {payout} {currency}, {}", word(state))
            }
        };
        say!("{}: ledger: {}; provider: {}", word(kind), side(ours), side(theirs));
    }
    report.unseen.iter().for_each(|what| say!("not seen: {what}"));
    say!("verdict {}", word(report.verdict));
}
