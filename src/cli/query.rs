//! `cage query`: asks a running ledger.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use cage_client::{
    Client, Config, ConnectionError, Credentials, Cursor, Error, FeedRecord, Only, OpenHold, OpenRound, Page,
    QueryError,
};
use cage_engine::{AssetId, PlayerId, Reference, RequestId, Timestamp};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::fail;
use crate::reports::fields;

/// Exit code: there is no answer.
const EXIT_UNANSWERED: u8 = 1;
/// Exit code: what was asked for is not there.
const EXIT_NOTHING: u8 = 2;

/// Ask a running ledger for balances, operations, histories and what is open.
///
/// Lists are written page after page until their end, or until `--most` is reached: open holds and rounds the oldest first, a
/// history the latest first. Everything shown is durable. Exit codes: 0 answered, 1 no answer, 2 nothing there.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage query balance 195 1\n  cage query history 195 --most 20 --json\n  cage query open-holds --provider 7\n  cage query operation 018bcfe5687c0000000000000000000a"
)]
pub(crate) struct Query {
    /// The server's address
    #[arg(long, env = "CAGE_CONNECT", default_value = "127.0.0.1:4710", global = true)]
    connect: SocketAddr,
    /// The folder with ca.pem and the pair of the role
    #[arg(long, value_name = "DIR", env = "CAGE_CERTS", default_value = "cage-data/certs", global = true)]
    certs: PathBuf,
    /// As which role to ask
    #[arg(long, default_value = "auditor", global = true)]
    role: String,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 5, global = true)]
    deadline_secs: u64,
    /// How many rows at most
    #[arg(long, default_value_t = 1_000, global = true)]
    most: usize,
    /// One line of JSON for each row
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A player's available and reserved money
    Balance {
        /// The player's number
        player: u64,
        /// The asset's number
        asset: u16,
    },
    /// The records decided under an id: a request id, a hold's name, a permanent key
    Operation {
        /// 32 hexadecimal digits
        #[arg(value_parser = number)]
        id: u128,
    },
    /// The record of a provider's transaction
    Transaction {
        /// 32 hexadecimal digits
        #[arg(value_parser = number)]
        id: u128,
    },
    /// A player's records, the latest first
    History {
        /// The player's number
        player: u64,
    },
    /// A round that is open
    Round {
        /// 32 hexadecimal digits
        #[arg(value_parser = number)]
        round: u128,
    },
    /// Open rounds, the oldest first
    OpenRounds(Narrow),
    /// Open holds with their ages, the oldest first
    OpenHolds(Narrow),
    /// What open bets can pay, by game and asset
    Exposure(Narrow),
    /// What players owe
    Receivables(Narrow),
}

#[derive(Clone, Copy, Debug, Args)]
struct Narrow {
    /// Only of this player
    #[arg(long)]
    player: Option<u64>,
    /// Only of this provider's games
    #[arg(long)]
    provider: Option<u16>,
    /// Only in this asset
    #[arg(long)]
    asset: Option<u16>,
}

fn number(text: &str) -> Result<u128, String> {
    let digits = text.replace('-', "");
    u128::from_str_radix(&digits, 16).map_err(|_| "expected 32 hexadecimal digits".to_owned())
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("no connection: {0}; is a ledger running there, and are the certificates its own?")]
    Connect(#[from] ConnectionError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Read(#[from] Error),
    #[error("{0} is no player's number: its last two digits do not fit the others")]
    Player(u64),
    #[error("certificates: {0}")]
    Credentials(#[from] cage_client::CredentialsError),
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// A row as text and as JSON.
type Line = (String, Value);

impl Query {
    pub(crate) fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(reason) => return fail(EXIT_UNANSWERED, &Fault::from(reason)),
        };
        match runtime.block_on(self.ask()) {
            Ok(0) => ExitCode::from(EXIT_NOTHING),
            Ok(_) => ExitCode::SUCCESS,
            Err(fault) => fail(EXIT_UNANSWERED, &fault),
        }
    }

    /// Asks and writes. Says how many rows there were.
    async fn ask(&self) -> Result<usize, Fault> {
        let credentials = Credentials::from_dir(&self.certs, &self.role)?;
        let deadline = Duration::from_secs(self.deadline_secs);
        let config = Config { deadline, connect_time: deadline, ..Config::new(self.connect) };
        let client = Client::connect(config, credentials).await?;
        let count = match &self.what {
            What::Balance { player, asset } => {
                let held = client.balances(known(*player)?, AssetId(*asset)).await?;
                let (available, reserved, as_of) = (held.available, held.reserved, held.as_of);
                let text = format!("available {available}  reserved {reserved}  as of record {as_of}");
                let value = json!({"available": available.0.to_string(), "reserved": reserved.0.to_string(), "as_of": as_of.0});
                self.show([(text, value)])
            }
            What::Operation { id } => {
                self.show(client.operation(RequestId(*id)).await?.iter().map(of_record))
            }
            What::Transaction { id } => {
                self.show(client.transaction(Reference(*id)).await?.iter().map(of_record))
            }
            What::Round { round } => self.show(client.round(Reference(*round)).await?.iter().map(of_round)),
            What::History { player } => {
                let player = known(*player)?;
                self.pages(async |from| Ok(lines(client.history(player, from).await?, of_record))).await?
            }
            What::OpenRounds(narrow) => {
                let only = narrow.only()?;
                self.pages(async |from| Ok(lines(client.open_rounds(Only { from, ..only }).await?, of_round)))
                    .await?
            }
            What::OpenHolds(narrow) => {
                let only = narrow.only()?;
                self.pages(async |from| Ok(lines(client.open_holds(Only { from, ..only }).await?, of_hold)))
                    .await?
            }
            What::Exposure(narrow) => {
                let only = narrow.only()?;
                self.pages(async |from| {
                    let page = client.exposures(Only { from, ..only }).await?;
                    Ok(lines(page, |row| {
                        let (game, asset, amount) = (row.game.0, row.asset.0, row.amount.0.to_string());
                        let text = format!("game {game}  asset {asset}  can pay {amount}");
                        (text, json!({"game": game, "asset": asset, "amount": amount}))
                    }))
                })
                .await?
            }
            What::Receivables(narrow) => {
                let only = narrow.only()?;
                self.pages(async |from| {
                    let page = client.receivables(Only { from, ..only }).await?;
                    Ok(lines(page, |row| {
                        let (player, asset) = (row.player.number(), row.asset.0);
                        let amount = row.amount.0.to_string();
                        let text = format!("player {player}  asset {asset}  owes {amount}");
                        (text, json!({"player": player, "asset": asset, "amount": amount}))
                    }))
                })
                .await?
            }
        };
        client.close().await;
        Ok(count)
    }

    fn show(&self, lines: impl IntoIterator<Item = Line>) -> usize {
        let write = |(text, value): Line| if self.json { say!("{value}") } else { say!("{text}") };
        lines.into_iter().map(write).count()
    }

    async fn pages(
        &self,
        page: impl AsyncFn(Cursor) -> Result<(Vec<Line>, Option<Cursor>), Fault>,
    ) -> Result<usize, Fault> {
        let (mut count, mut from) = (0, Cursor::default());
        loop {
            let (lines, next) = page(from).await?;
            count += self.show(lines.into_iter().take(self.most - count));
            match next {
                Some(next) if count < self.most => from = next,
                Some(_) => {
                    eprintln!("cage: there is more: --most");
                    return Ok(count);
                }
                None => return Ok(count),
            }
        }
    }
}

impl Narrow {
    fn only(self) -> Result<Only, Fault> {
        let Self { player, provider, asset } = self;
        let player = player.map(known).transpose()?;
        Ok(Only { player, provider, asset: asset.map(AssetId), from: Cursor::default() })
    }
}

fn known(number: u64) -> Result<PlayerId, Fault> {
    PlayerId::new(number).map_err(|_| Fault::Player(number))
}

fn lines<T>(page: Page<T>, line: impl Fn(&T) -> Line) -> (Vec<Line>, Option<Cursor>) {
    (page.items.iter().map(line).collect(), page.next)
}

fn of_record(found: &FeedRecord) -> Line {
    let FeedRecord { lsn, record } = found;
    let request = &record.request;
    let fields: Vec<_> = fields::of(request).collect();
    let text: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (kind, result) = (request.kind.name(), record.result.name());
    let legs: Vec<_> = record
        .legs()
        .iter()
        .map(|leg| {
            let after = [leg.debit_after, leg.credit_after].map(|held| held.0.to_string());
            json!({"debit": leg.debit.0, "credit": leg.credit.0, "amount": leg.amount.0.to_string(),
                   "debit_after": after[0], "credit_after": after[1]})
        })
        .collect();
    let named: serde_json::Map<_, _> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let value = json!({
        "lsn": lsn.0, "operation": kind, "result": result, "id": format!("{:032x}", request.id.0),
        "role": record.role.name(), "decided": record.decided.0, "fields": named, "legs": legs,
    });
    (format!("{lsn} {kind} {result} id={:032x} {}", request.id.0, text.join(" ")), value)
}

fn of_hold(hold: &OpenHold) -> Line {
    let age_secs = age_secs(hold.opened_at);
    let text = format!(
        "hold {:032x}  player {}  asset {}  game {}  remaining {}  can pay {}  open for {age_secs} s, since record {}",
        hold.hold.0, hold.player, hold.asset, hold.game.0, hold.remaining, hold.payout_left, hold.opened
    );
    let value = json!({
        "hold": format!("{:032x}", hold.hold.0), "player": hold.player.number(), "asset": hold.asset.0,
        "game": hold.game.0, "session": hold.session.0, "round": format!("{:032x}", hold.round.0),
        "remaining": hold.remaining.0.to_string(), "payout_left": hold.payout_left.0.to_string(),
        "opened": hold.opened.0, "opened_at": hold.opened_at.0, "age_secs": age_secs,
        "deadline": hold.deadline.map(|deadline| deadline.0),
    });
    (text, value)
}

fn of_round(round: &OpenRound) -> Line {
    let age_secs = age_secs(round.opened_at);
    let text = format!(
        "round {:032x}  player {}  asset {}  game {}  staked {}  won {}  open holds {}  open for {age_secs} s, since record {}",
        round.round.0,
        round.player,
        round.asset,
        round.game.0,
        round.stake,
        round.won,
        round.open_holds,
        round.opened
    );
    let value = json!({
        "round": format!("{:032x}", round.round.0), "player": round.player.number(), "asset": round.asset.0,
        "game": round.game.0, "stake": round.stake.0.to_string(), "won": round.won.0.to_string(),
        "open_holds": round.open_holds, "opened": round.opened.0, "opened_at": round.opened_at.0,
        "age_secs": age_secs, "closes": round.closes.0,
    });
    (text, value)
}

/// By this machine's clock.
fn age_secs(since: Timestamp) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(since.0)).as_secs()
}
