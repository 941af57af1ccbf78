//! `cage games bets`, `cage games decide`: what people ask of a running bridge, over the casino's side of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cage_games::Config;
use cage_games::http::Caller;
use clap::Args;
use serde_json::{Value, json};
use tokio::runtime::LocalRuntime;

use crate::cli::fail;

/// Exit code: the bridge has refused.
const EXIT_REFUSED: u8 = 1;
/// Exit code: no answer: wrong configuration, or nobody there.
const EXIT_NO_ANSWER: u8 = 2;
/// How long the bridge may take: it answers from memory.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Which bridge.
#[derive(Debug, Args)]
struct Place {
    /// The bridge's configuration: where its casino side is, and the token for it
    #[arg(value_name = "FILE", env = "CAGE_GAMES")]
    config: PathBuf,
    /// Where the casino's side really is, if the configuration says port 0
    #[arg(long, value_name = "ADDR")]
    address: Option<SocketAddr>,
}

/// Show the bets that are on their way, the oldest first, and which of them are in doubt.
///
/// Exit codes: 0 shown, 2 no answer.
#[derive(Debug, Args)]
pub(super) struct Bets {
    #[command(flatten)]
    place: Place,
    /// Only those that people should look at
    #[arg(long)]
    in_doubt: bool,
    /// Show what operators have decided instead
    #[arg(long, conflicts_with = "in_doubt")]
    decided: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Decide a bet that is on its way, when its provider does not.
///
/// Look at the provider's own list first. The decision is written down with who and why, then carried out in the ledger; the record's
/// id is marked. What the provider says before that stands. Exit codes: 0 taken, 1 refused, 2 no answer.
#[derive(Debug, Args)]
pub(super) struct Decide {
    #[command(flatten)]
    place: Place,
    /// The bet, as `cage games bets` shows it
    bet: String,
    #[command(flatten)]
    way: Way,
    /// Who decides
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why: a ticket's number, what the provider said
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Way {
    /// Pay so much, in units of the currency, as the provider's list says
    #[arg(long, value_name = "AMOUNT")]
    settle: Option<String>,
    /// Give the stake back now, whatever the provider says or does not say
    #[arg(long)]
    cancel: bool,
    /// Tell the provider that the bet is void, and give the stake back when it has said so
    #[arg(long)]
    void: bool,
}

/// Asks the casino's side of a bridge; gives the status and what was said.
fn ask(place: &Place, path: &str, body: Option<Value>) -> Result<(u16, Value), String> {
    let Place { config, address } = place;
    let side = side(config)?;
    let address = address.unwrap_or(side.0);
    let runtime = LocalRuntime::new().map_err(|reason| reason.to_string())?;
    let answer = runtime.block_on(async {
        let caller = Caller::new(address, &side.1, ANSWER_TIME);
        match body {
            Some(body) => caller.post(path, body.to_string().into_bytes()).await,
            None => caller.get(path).await,
        }
    });
    runtime.shutdown_background();
    let (status, body) = answer.map_err(|reason| format!("{address}: {reason}. Does the bridge run?"))?;
    let said = serde_json::from_slice(&body)
        .map_err(|_| format!("{address}: an answer of status {status} that is none of a bridge's"))?;
    Ok((status, said))
}

fn side(config: &Path) -> Result<(SocketAddr, String), String> {
    let loaded = Config::load(config).map_err(|reason| reason.to_string())?;
    let side = loaded.casino.ok_or_else(|| format!("{}: there is no [casino] in it", config.display()))?;
    let bearer = String::from_utf8(side.bearer).map_err(|_| "the casino's token is no text".to_owned())?;
    Ok((side.listen, bearer))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or("")
}

impl Bets {
    pub(super) fn run(self) -> ExitCode {
        let (path, list) = if self.decided { ("/decisions", "decisions") } else { ("/bets", "open") };
        let mut said = match ask(&self.place, path, None) {
            Ok((200, said)) => said,
            Ok((status, said)) => return fail(EXIT_NO_ANSWER, &format!("status {status}: {said}")),
            Err(reason) => return fail(EXIT_NO_ANSWER, &reason),
        };
        if self.in_doubt
            && let Some(open) = said[list].as_array_mut()
        {
            open.retain(|bet| bet["in_doubt"] == true);
        }
        if self.json {
            say!("{said}");
            return ExitCode::SUCCESS;
        }
        let all = said[list].as_array().map_or(&[][..], Vec::as_slice);
        for bet in all {
            if self.decided { show_decided(bet) } else { show_open(bet) }
        }
        say!("{} {}", all.len(), if self.decided { "decided" } else { "on their way" });
        ExitCode::SUCCESS
    }
}

fn show_open(bet: &Value) {
    let doubt = if bet["in_doubt"] == true { "  IN DOUBT" } else { "" };
    say!(
        "{}  {}  player {}  {} {} of at most {}  {} s  {}, {} unclear{doubt}",
        text(bet, "bet"),
        text(bet, "provider"),
        text(bet, "player"),
        text(bet, "stake"),
        text(bet, "currency"),
        text(bet, "payout_max"),
        bet["age_ms"].as_u64().unwrap_or(0) / 1_000,
        text(bet, "step"),
        bet["unclear"],
    );
}

fn show_decided(bet: &Value) {
    let decided = &bet["decided"];
    say!(
        "{}  {}  {}  by {}: {}",
        text(bet, "bet"),
        text(bet, "provider"),
        decided["decision"],
        text(decided, "by"),
        text(decided, "reason")
    );
}

impl Decide {
    pub(super) fn run(self) -> ExitCode {
        let Way { settle, cancel, .. } = &self.way;
        let decide = match (settle, cancel) {
            (Some(_), _) => "settle",
            (None, true) => "cancel",
            (None, false) => "void",
        };
        let mut body = json!({ "decide": decide, "by": self.by, "reason": self.reason });
        if let Some(payout) = settle {
            body["payout"] = payout.as_str().into();
        }
        match ask(&self.place, &format!("/bets/{}", self.bet), Some(body)) {
            Ok((202, _)) => {
                say!("{}: {decide}, as soon as what is being asked is answered or not", self.bet);
                ExitCode::SUCCESS
            }
            Ok((_, said)) => fail(EXIT_REFUSED, &text(&said, "message")),
            Err(reason) => fail(EXIT_NO_ANSWER, &reason),
        }
    }
}
