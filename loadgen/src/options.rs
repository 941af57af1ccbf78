//! What load is asked for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cage_client::limits::IN_FLIGHT_MAX;
use cage_protocol::FRAME_ITEMS_MAX;

/// Which requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Single-step transfers of one unit between two players chosen uniformly
    Transfers,
    /// Reserve, then settle (19 in 20) or cancel; 3 deposits in 100; players by Zipf's law
    Casino,
}

impl Workload {
    /// Its name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Casino => "casino",
        }
    }
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Closed loop: whenever fewer than this many are unanswered, per connection.
    Outstanding(usize),
    /// Open loop: this many a second, all connections together, whatever is answered.
    Rate(f64),
}

/// What load is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub connect: SocketAddr,
    /// The name in the server's certificate.
    pub server_name: String,
    /// The folder with `ca.pem` and a pair per role.
    pub certs: PathBuf,
    /// Which requests.
    pub workload: Workload,
    /// Of how many players.
    pub players: u32,
    /// How many assets each player has; each request is about one of them, chosen uniformly.
    pub assets: u32,
    /// Over how many connections. The casino adds one for deposits beside each.
    pub connections: usize,
    /// When they are sent.
    pub load: Load,
    /// For how long.
    pub duration: Duration,
    /// How many requests a frame has; without it, whatever is due.
    pub batch: Option<usize>,
    /// Where to write down what was acknowledged.
    pub acks: Option<PathBuf>,
    /// What the choice of players and amounts depends on. Request ids never do.
    pub seed: u64,
    /// On how many threads.
    pub threads: usize,
}

impl Options {
    /// Transfers between 10,000 players, one connection with 1,024 requests outstanding, ten seconds.
    #[must_use]
    pub fn new(connect: SocketAddr, certs: PathBuf) -> Self {
        Self {
            connect,
            server_name: "localhost".to_owned(),
            certs,
            workload: Workload::Transfers,
            players: 10_000,
            assets: 1,
            connections: 1,
            load: Load::Outstanding(1024),
            duration: Duration::from_secs(10),
            batch: None,
            acks: None,
            seed: 1,
            threads: 1,
        }
    }

    /// Whether this is a load that can be made.
    ///
    /// # Errors
    /// [`OptionsError`] with what has to change.
    pub fn check(&self) -> Result<(), OptionsError> {
        let wrong = |what, expected| Err(OptionsError { what, expected });
        let batch = self.batch.unwrap_or(1);
        match self {
            Self { players: 0 | 1, .. } => wrong("players", "at least 2"),
            Self { assets: 0 | 10_000.., .. } => wrong("assets", "1 to 9999"),
            Self { players, assets, .. } if players.checked_mul(*assets).is_none() => {
                wrong("assets", "fewer than 2^32 players times assets")
            }
            Self { connections: 0, .. } => wrong("connections", "at least 1"),
            Self { threads: 0, .. } => wrong("threads", "at least 1"),
            _ if self.duration.is_zero() => wrong("duration", "more than nothing"),
            _ if !(1..=FRAME_ITEMS_MAX).contains(&batch) => wrong("batch", "1 to 1024 requests"),
            Self { load: Load::Outstanding(count), .. } if !(batch..=IN_FLIGHT_MAX).contains(count) => {
                wrong("outstanding", "at least one batch, at most 65536 per connection")
            }
            Self { load: Load::Rate(rate), .. } if !(rate.is_finite() && *rate > 0.0) => {
                wrong("rate", "more than 0 a second")
            }
            _ => Ok(()),
        }
    }
}

/// An option that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{what}: expected {expected}")]
pub struct OptionsError {
    /// Which.
    pub what: &'static str,
    /// What would.
    pub expected: &'static str,
}
