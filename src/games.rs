//! The game bridge inside the server: a thread and a runtime of its own, and the same wire as everybody else.
//!
//! In: a configuration, the server's own address and certificates. Out: a bridge that runs until it is stopped. Never here: the
//! ledger's memory; a fault of the bridge is told, and the ledger goes on.

use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use cage_games::{Bridge, BridgeError, Config, Running};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;

/// A game bridge on a thread of its own.
#[derive(Debug)]
pub struct GameBridge {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Says where a bridge is called.
pub fn announce(running: &Running) {
    // Whoever started it may have stopped listening: that is no reason not to serve.
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "providers {}", running.providers);
    if let Some(casino) = running.casino {
        let _ = writeln!(stdout, "casino {casino}");
    }
    if let Some(admin) = running.admin {
        let _ = writeln!(stdout, "games-admin {admin}");
    }
    if running.taken_over > 0 {
        tracing::info!(bets = running.taken_over, "bets that were on their way are taken over");
    }
}

/// Runs a bridge on this thread until it is stopped. `stop` is called when it is about to serve, inside its runtime.
///
/// # Errors
/// [`BridgeError`] says why it did not start, or ended by itself.
pub fn run<S: Future<Output = ()>>(
    config: Config,
    stop: impl FnOnce() -> S,
    started: impl FnOnce(&Running),
) -> Result<(), BridgeError> {
    let runtime = LocalRuntime::new()?;
    let ended = runtime.block_on(async {
        let (bridge, running) = Bridge::start(config).await?;
        let stop = stop();
        started(&running);
        bridge.run(stop).await
    });
    runtime.shutdown_background();
    ended
}

impl GameBridge {
    /// Starts it.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(config: Config) -> io::Result<Self> {
        let (stop, mut stopped) = watch::channel(false);
        let body = move || {
            let stop = async move {
                // Whoever stops it may be gone: then it stops, too.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            match run(config, || stop, announce) {
                Ok(()) => tracing::info!("the game bridge has stopped"),
                Err(fault) => {
                    tracing::error!("the game bridge ended, no provider is served any more: {fault}")
                }
            }
        };
        let thread = thread::Builder::new().name("games".to_owned()).spawn(body)?;
        Ok(Self { stop, thread })
    }

    /// What tells it to stop.
    #[must_use]
    pub fn stopper(&self) -> watch::Sender<bool> {
        self.stop.clone()
    }

    /// Stops it; returns when it has.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        // A panic in there was told by its hook, and concerns nobody else.
        let _ = self.thread.join();
    }
}
