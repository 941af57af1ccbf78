//! `cage demo`: a casino on one machine, over real QUIC, with a ledger that is killed in the middle.
//!
//! In: how long, how many players. Out: a screen that shows the money while it moves, an audit at the end, and exit
//! code 0 only if everything balances. Never here: a look into the ledger past its protocol.

mod books;
mod player;
mod process;
mod report;
mod screen;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cage_client::{Client, Config, Credentials};
use cage_engine::{Amount, AssetCode, AssetId, CallerId, PlayerClass, Role};
use clap::Args;
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use books::{Acknowledged, Counts};
use player::Player;
use process::ServerProcess;
use report::Report;
use screen::Screen;

use super::fail;
use crate::tokens::{KEYS_DIR, Signer, development_signer};

/// Exit code: the demo could not run.
const EXIT_FAILED: u8 = 2;
/// How often the money is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a request of the demo waits: longer than a kill and a recovery take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Run a casino on this machine and watch its money.
///
/// Players log in with signed tokens, deposit, bet, win and ask for withdrawals over QUIC; half way through, the ledger is killed with SIGKILL and started again. At
/// the end every player's own books are compared with the ledger's and the whole log is audited. Exit codes: 0
/// everything balances, 1 something does not, 2 the demo could not run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cage demo --for 20s\n  cage demo --for 10s --calm --json")]
pub(crate) struct Demo {
    /// How long players play
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    duration: Duration,
    /// How many players
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    players: u32,
    /// Do not kill the ledger
    #[arg(long)]
    calm: bool,
    /// Where to keep the log [default: a new folder in ./cage-demo]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print one JSON object at the end and nothing else on stdout
    #[arg(long)]
    json: bool,
}

/// A duration like `20s`, `500ms`, `2m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and a unit, like 20s, 500ms or 2m".to_owned();
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
    match &text[unit_at..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(wrong()),
    }
}

/// The assets that are played for: code, decimal places, and a usual stake in smallest units.
const ASSETS: [(&str, u8, u128); 2] = [("ETH", 18, 10_u128.pow(15)), ("USDT", 6, 2_000_000)];

/// What went wrong with the demo itself.
type DemoError = Box<dyn std::error::Error>;

impl Demo {
    pub(crate) fn run(self) -> ExitCode {
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(reason) => return fail(EXIT_FAILED, &reason),
        };
        match runtime.block_on(self.play_until_stopped()) {
            Ok(report) => {
                if self.json {
                    report.print_json()
                } else {
                    report.print_text()
                }
                ExitCode::from(u8::from(!report.balances()))
            }
            Err(reason) => fail(EXIT_FAILED, &reason),
        }
    }

    /// A signal ends the demo, and the ledger that it started with it.
    async fn play_until_stopped(&self) -> Result<Report, DemoError> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            played = self.play() => played,
            _ = terminate.recv() => Err("stopped by SIGTERM".into()),
            _ = interrupt.recv() => Err("stopped by SIGINT".into()),
        }
    }

    async fn play(&self) -> Result<Report, DemoError> {
        let data_dir = self.data_dir.clone().map_or_else(new_folder, Ok)?;
        let mut screen = Screen::new(self.json);
        screen.event(&format!("starting the ledger in {}", data_dir.display()));
        if process::is_unfit(&data_dir) {
            screen.event("this is no disk for real money (--unsafe-filesystem): what is acknowledged may not survive the machine");
        }
        let mut server = ServerProcess::start(&data_dir).await?;
        screen.event(&format!("it listens on {} (QUIC, mutual TLS)", server.address()));
        let casino = Casino::open(&data_dir, &server, self.players).await?;
        screen.event(&format!("{} players opened, playing for {:?}", self.players, self.duration));
        let begin = Instant::now();
        casino.watch(self, &mut server, &mut screen).await?;
        let seconds = begin.elapsed().as_secs_f64();
        let (casino, players) = casino.close().await;
        let money = casino.compare(&players).await?;
        let acknowledged = casino.acknowledged.take();
        casino.disconnect().await;
        screen.event("draining the ledger, then deciding every record of its log again");
        server.terminate().await?;
        let counts = *casino.counts.borrow();
        Report::new(data_dir, counts, money, &acknowledged, seconds, server.kills())
    }
}

fn new_folder() -> Result<PathBuf, DemoError> {
    let root = Path::new("cage-demo");
    std::fs::create_dir_all(root)?;
    for number in 1..10_000 {
        let dir = root.join(format!("run-{number}"));
        if std::fs::create_dir(&dir).is_ok() {
            return Ok(dir);
        }
    }
    Err("cage-demo holds 10,000 runs: delete some, or name a --data-dir".into())
}

/// The parties of the demo, each with its own certificate.
struct Clients {
    frontend: Client,
    cashier: Client,
    games: Client,
    risk: Client,
    /// The bridge to the provider, under its grant.
    slots: Client,
    /// Who signs the tokens that sessions are opened with.
    accounts: Signer,
}

/// A casino that is open.
struct Casino {
    clients: Rc<Clients>,
    assets: Vec<AssetId>,
    players: JoinSet<Player>,
    stop: Rc<Cell<bool>>,
    counts: Rc<RefCell<Counts>>,
    acknowledged: Rc<RefCell<Acknowledged>>,
}

impl Casino {
    async fn open(data_dir: &Path, server: &ServerProcess, players: u32) -> Result<Self, DemoError> {
        let certs = data_dir.join("certs");
        let connect = async |role: Role| {
            let mut config = Config::new(server.address());
            config.deadline = DEADLINE;
            let credentials = Credentials::from_dir(&certs, role.name())?;
            Client::connect(config, credentials).await.map_err(DemoError::from)
        };
        let operator = connect(Role::Operator).await?;
        let mut assets = Vec::new();
        for (code, scale, _) in ASSETS {
            let code = AssetCode::new(code).ok_or("an asset's code")?;
            assets.push(operator.open_asset(code, scale, false, Amount(10_u128.pow(30))).await?);
        }
        operator.close().await;
        let bridge = connect(Role::Games).await?;
        let grant = bridge.grant(player::PROVIDER.into()).await?;
        let clients = Rc::new(Clients {
            frontend: connect(Role::Frontend).await?,
            cashier: connect(Role::Cashier).await?,
            games: connect(Role::Games).await?,
            risk: connect(Role::Risk).await?,
            slots: bridge.with_grant(grant),
            accounts: development_signer(&certs.join(KEYS_DIR))?,
        });
        let mut casino = Self {
            clients,
            assets,
            players: JoinSet::new(),
            stop: Rc::default(),
            counts: Rc::default(),
            acknowledged: Rc::default(),
        };
        casino.open_players(players).await?;
        Ok(casino)
    }

    async fn open_players(&mut self, players: u32) -> Result<(), DemoError> {
        for number in 0..players {
            let caller_id = CallerId(rand::random());
            let id = self.clients.frontend.open_player(caller_id, 1, 1, PlayerClass::Test).await?;
            let place = number as usize % ASSETS.len();
            let player = Player::new(id, self.assets[place], Amount(ASSETS[place].2));
            let table = player::Table {
                clients: Rc::clone(&self.clients),
                stop: Rc::clone(&self.stop),
                counts: Rc::clone(&self.counts),
                acknowledged: Rc::clone(&self.acknowledged),
            };
            self.players.spawn_local(player.play(table));
        }
        Ok(())
    }

    /// Shows what happens while it happens, and kills the ledger half way.
    async fn watch(
        &self,
        demo: &Demo,
        server: &mut ServerProcess,
        screen: &mut Screen,
    ) -> Result<(), DemoError> {
        let begin = Instant::now();
        let mut kill_at = (!demo.calm).then_some(demo.duration / 2);
        while begin.elapsed() < demo.duration {
            if kill_at.take_if(|at| begin.elapsed() >= *at).is_some() {
                screen.event("KILL  the ledger gets SIGKILL, with bets under way");
                let recovered = server.kill_and_restart().await?;
                screen.event(&format!("it is back after {recovered:?}; clients ask again with the same ids"));
            }
            for ((code, scale, _), asset) in ASSETS.iter().zip(&self.assets) {
                let totals = self.clients.frontend.totals(*asset).await?;
                screen.money(code, *scale, totals.players.0, totals.house.0);
            }
            screen.counts(begin.elapsed(), demo.duration, &self.counts.borrow());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        screen.end();
        Ok(())
    }

    /// Lets every player finish the bet at hand and go home.
    async fn close(mut self) -> (Self, Vec<Player>) {
        self.stop.set(true);
        let mut players = Vec::new();
        while let Some(player) = self.players.join_next().await {
            players.extend(player.ok());
        }
        (self, players)
    }

    /// Compares each player's own books with the ledger's.
    async fn compare(&self, players: &[Player]) -> Result<books::Money, DemoError> {
        let mut money = books::Money::default();
        for asset in &self.assets {
            let totals = self.clients.frontend.totals(*asset).await?;
            money.add_totals(totals.players.0, totals.house.0);
        }
        for player in players {
            let held = self.clients.frontend.balances(player.id(), player.asset()).await?;
            money.add_player(player.books(), held.available.0, held.reserved.0);
        }
        Ok(money)
    }

    async fn disconnect(&self) {
        let Clients { frontend, cashier, games, risk, slots, accounts: _ } = &*self.clients;
        tokio::join!(frontend.close(), cashier.close(), games.close(), risk.close(), slots.close());
    }
}
