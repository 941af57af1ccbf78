//! `cage house`: the house's own games, a small provider that is called like any other one.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cage_games::house::faults::FaultPlan;
use cage_games::house::{House, HouseOptions};
use clap::Args;
use tokio::runtime::LocalRuntime;

use super::serve::stop_signal;
use super::{fail, init_tracing};

/// Exit code: the key, the book or the address cannot be had.
const EXIT_START: u8 = 1;

/// Run the house's own games: dice and crash, provably fair.
///
/// A provider of its own, called over HTTP by `cage games`. Prints where it is called, then `ready`. Bets and seeds are
/// kept in DATA_DIR; a nonce is never used twice. Exit codes: 0 ended in order, 1 could not start.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage house --key-file house.secret --listen 127.0.0.1:7300")]
pub(crate) struct HouseGames {
    /// Where the bets are kept
    #[arg(long, value_name = "DIR", default_value = "house-data")]
    data_dir: PathBuf,
    /// TCP address to be called at; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7300")]
    listen: SocketAddr,
    /// File with the casino's bearer token
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// For drills: faults of answers in percent, like `drop=5,garbage=2`
    #[arg(long, value_name = "PLAN", default_value = "")]
    faults: FaultPlan,
    /// What the faults are drawn with
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// How late a delayed answer is, in milliseconds
    #[arg(long, value_name = "MILLIS", default_value_t = 300)]
    delay: u64,
}

impl HouseGames {
    pub(crate) fn run(self) -> ExitCode {
        init_tracing();
        let bearer = match std::fs::read_to_string(&self.key_file) {
            Ok(text) if text.trim().len() >= 12 => text.trim().as_bytes().to_vec(),
            Ok(_) => {
                let path = self.key_file.display();
                return fail(EXIT_START, &format!("{path}: expected a bearer token of at least 12 letters"));
            }
            Err(reason) => return fail(EXIT_START, &format!("{}: {reason}", self.key_file.display())),
        };
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(reason) => return fail(EXIT_START, &reason),
        };
        let (listen, data_dir, faults, seed) = (self.listen, self.data_dir, self.faults, self.seed);
        let delay = Duration::from_millis(self.delay);
        let ended = runtime.block_on(async {
            let house = House::open(HouseOptions { listen, data_dir, bearer, faults, seed, delay }).await;
            let house = house.map_err(|reason| reason.to_string())?;
            let address = house.local_addr().map_err(|reason| reason.to_string())?;
            let stop = stop_signal();
            // Whoever started it may have stopped listening: that is no reason not to serve.
            let mut stdout = std::io::stdout();
            let _ = writeln!(stdout, "house {address}");
            let _ = writeln!(stdout, "ready");
            house.run(stop).await;
            Ok::<_, String>(())
        });
        runtime.shutdown_background();
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(EXIT_START, &reason),
        }
    }
}
