//! `cage serve`: the server, until a signal ends it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cage_chain::config::ChainConfig;
use cage_engine::Settings;
use cage_wal::storage::exit_on_bus_error;
use cage_wal::storage::faulty::FaultPlan;
use cage_wal::{FlushStrategy, OpenError, RecoveryError};
use clap::{ArgAction, Args, ValueEnum};
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{SignalKind, signal};

use super::status::AdminFile;
use super::{fail, hex};
use crate::admin::Admin;
use crate::admin::board::{Board, Phase};
use crate::chain::{ChainBridges, Place, reachable};
use crate::games::GameBridge;
use crate::guards::{self, Guards, Unfit};
use crate::proof::signer::SignerError;
use crate::proof::witness::WitnessOptions;
use crate::recovery::ReplayFault;
use crate::scrubber::ScrubOptions;
use crate::server::{ServeError, Server, ServerOptions};
use crate::snapshots::keeper::Schedule;
use crate::snapshots::{Keep, LoadFault};
use crate::telemetry;

/// Exit code: certificates, settings or the address do not do.
const EXIT_START: u8 = 1;
/// Exit code: the log failed while serving; nothing after the failure was acknowledged.
const EXIT_LOG: u8 = 3;
/// Exit code: what the log holds is not what was written.
const EXIT_DAMAGED: u8 = 4;
/// Exit code: another process has the log open.
const EXIT_LOCKED: u8 = 5;
/// Exit code: money may not be kept on this machine.
const EXIT_UNFIT: u8 = 6;
/// Exit code: the operating system refused something before the server could begin to serve.
const EXIT_STORAGE: u8 = 7;
/// Exit code: a newer program wrote the log.
const EXIT_NEWER: u8 = 8;
/// Exit code: a mapped file was cut, or could not be read.
const EXIT_BUS: u8 = 9;

/// MiB of log after which the next snapshot is made: a second or so to replay.
const SNAPSHOT_MIB: u64 = 1024;
/// MiB of segments that stay in the log's folder: the answers that are asked for again are mostly young.
pub(super) const HOT_MIB: u64 = 4096;

/// Run the server.
///
/// Prints its QUIC address, its admin address, then `ready` on a line of its own when it serves. SIGTERM and SIGINT drain it; a second
/// signal ends it at once (130). SIGHUP has certificates read again. Settings come from flags, the environment, the file
/// of --config and the defaults, in this order: cage config check shows them. Exit codes: 0 drained, 1 could not start, 3 the log failed while serving, 4 the log is
/// damaged, 5 another server has it, 6 the machine is not fit, 7 the disk refused before the start, 8 a newer program
/// wrote it, 9 a mapped file was cut.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage serve --data-dir ./cage-data --listen 127.0.0.1:4710\n  cage serve --config etc/cage.toml"
)]
pub(crate) struct Serve {
    /// Configuration file, in TOML: a key for each option; cage config example prints one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where log, snapshots and, unless set otherwise, certificates and archive are kept; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "cage-data")]
    data_dir: PathBuf,
    /// UDP address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4710")]
    listen: SocketAddr,
    /// Folder of certificates [default: development ones, made in DATA_DIR/certs]
    #[arg(long, value_name = "DIR")]
    certs: Option<PathBuf>,
    /// Ed25519 key that signs the log's checkpoints, mode 0600, outside DATA_DIR; cage checkpoint-key makes one [default:
    /// with development certificates a development key, otherwise none]
    #[arg(long, value_name = "FILE")]
    checkpoint_key: Option<PathBuf>,
    /// File that every checkpoint is added to, best on another machine's disk; the log is compared with it at the start
    #[arg(long, value_name = "FILE")]
    witness: Option<PathBuf>,
    /// A witness file of so many MiB is closed under the name FILE.closed-NUMBER, and another one begins; 0 = never
    #[arg(long, value_name = "MIB", default_value_t = 16)]
    witness_mib: u64,
    /// Networks to bridge to: deposits are credited and withdrawals are paid on a thread beside the ledger
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// Game providers to bridge to, as for `cage games`, on a thread beside the ledger. Ledger and certificates are the server's own
    #[arg(long, value_name = "FILE")]
    games: Option<PathBuf>,
    /// How fast sealed segments are read again to find damage, in MiB a second; 0 = not at all
    #[arg(long, value_name = "MIB", default_value_t = 8)]
    scrub_mib_per_second: u64,
    /// How often they are all read again
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    scrub_every: u64,
    /// TCP address of the admin port: health, metrics, status. It asks nobody who he is; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    admin: SocketAddr,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    diagnostics: DiagnosticsArgs,
}

/// What is written to stderr.
#[derive(Debug, Args)]
struct DiagnosticsArgs {
    /// Level of log lines on stderr, for all or for parts: warn, or info,cage::session=debug
    #[arg(long, value_name = "FILTER", default_value = telemetry::FILTER, value_parser = telemetry::parse_filter)]
    log: String,
    /// Form of log lines
    #[arg(long, value_enum, default_value_t = telemetry::Form::Text)]
    log_form: telemetry::Form,
}

/// What decisions depend on. A change is written to the log as a record of its own.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// How many facts are remembered (request ids, transactions, ends of holds, bets, rounds): 38 bytes each, 2.4 GiB for the
    /// default when full
    #[arg(long, value_name = "COUNT", default_value_t = Settings::DEFAULT.ids_capacity)]
    ids_capacity: u64,
    /// For how long a fact is remembered at least; rather than forget a younger one, nothing new is opened
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::DEFAULT.ids_retention_millis / 1_000, value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    ids_retention: u64,
    /// How many holds, bets, wins and rounds can be open at a time, all together
    #[arg(long, value_name = "COUNT", default_value_t = Settings::DEFAULT.holds_max)]
    holds_max: u64,
    /// How many bets and wins of closed rounds are kept in full, to be undone by their own names: 373 bytes each, taken as
    /// they come; the oldest is forgotten first, 0 = none
    #[arg(long, value_name = "COUNT", default_value_t = Settings::DEFAULT.closed_wagers_max)]
    closed_wagers_max: u64,
    /// How many players can be opened
    #[arg(long, value_name = "COUNT", default_value_t = Settings::DEFAULT.players_max)]
    players_max: u64,
}

/// How the log is written.
#[derive(Debug, Args)]
struct LogArgs {
    /// How bytes are made durable
    #[arg(long, value_enum, default_value_t = Flush::Direct)]
    flush: Flush,
    /// Size of a new log segment in MiB; four are allocated from the start
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    segment_mib: u64,
    /// How long the idle flusher looks for work before it sleeps, in microseconds
    #[arg(long, value_name = "MICROS", default_value_t = 0)]
    flush_poll: u64,
    /// Make a snapshot after so many MiB of log; 0 = only by hand. Less: faster starts, and more written: a snapshot has
    /// some 50 bytes per player and 32 per remembered fact
    #[arg(long, value_name = "MIB", default_value_t = SNAPSHOT_MIB)]
    snapshot_mib: u64,
    /// Where segments go that two snapshots cover, better on another disk [default: DATA_DIR/archive]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// How many MiB of segments stay in DATA_DIR/log at least: answers that are asked for again are read faster from there
    #[arg(long, value_name = "MIB", default_value_t = HOT_MIB)]
    hot_mib: u64,
    /// For drills: which calls of the log's storage fail, like `sync@7,allocate@3-=full`
    #[arg(long, value_name = "PLAN", env = "CAGE_FAULTS", hide = true)]
    faults: Option<FaultPlan>,
}

/// What is demanded of the machine.
#[derive(Debug, Args)]
struct MachineArgs {
    /// Keep the log on a file system that may not keep what it says; not for real money
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    unsafe_filesystem: bool,
    /// Start although memory may be swapped to a disk and cannot be locked; not for real money
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    unsafe_swap: bool,
    /// Lock all memory, so that none of it is swapped (done by itself where swap is on)
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    lock_memory: bool,
}

/// The strategies by their names on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Flush {
    /// O_DIRECT | O_DSYNC writes from aligned memory
    Direct,
    /// pwritev2 with RWF_DSYNC through the page cache
    Dsync,
    /// Writes through the page cache, then fdatasync
    Fdatasync,
    /// Stores through the memory map, then msync of the range
    Msync,
}

impl From<Flush> for FlushStrategy {
    fn from(flush: Flush) -> Self {
        match flush {
            Flush::Direct => Self::DirectDsync,
            Flush::Dsync => Self::PwriteDsync,
            Flush::Fdatasync => Self::PwriteFdatasync,
            Flush::Msync => Self::MmapMsync,
        }
    }
}

impl Serve {
    /// The configuration file.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    pub(crate) fn run(self) -> ExitCode {
        let board = Arc::new(Board::new(telemetry::init(&self.diagnostics.log, self.diagnostics.log_form)));
        if let Err(reason) = guards::forbid_dumps().and_then(|()| exit_on_bus_error(EXIT_BUS)) {
            return fail(EXIT_START, &reason);
        }
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(reason) => return fail(EXIT_START, &reason),
        };
        let chain = match self.chain.as_deref().map(ChainConfig::load).transpose() {
            Ok(chain) => chain,
            Err(reason) => return fail(EXIT_START, &reason),
        };
        let games = match self.games.as_deref().map(cage_games::Config::load).transpose() {
            Ok(games) => games,
            Err(reason) => return fail(EXIT_START, &reason),
        };
        let admin = match Admin::start(self.admin, &board) {
            Ok(admin) => admin,
            Err(reason) => return fail(EXIT_START, &reason),
        };
        let result = runtime.block_on(serve(self.options(), chain, games, &admin, &board));
        // Nothing of the runtime's is waited for: what matters is on the disk.
        runtime.shutdown_background();
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(exit_code(&reason), &reason),
        }
    }

    fn options(self) -> ServerOptions {
        let keep = Keep { hot_bytes: self.log.hot_mib.saturating_mul(1 << 20) };
        let after_bytes = self.log.snapshot_mib.saturating_mul(1 << 20);
        // Whoever cannot find its own program is told when it is started, once it is due.
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("cage"));
        let snapshots = (after_bytes > 0).then_some(Schedule { program, after_bytes, keep });
        let full_bytes =
            if self.witness_mib == 0 { u64::MAX } else { self.witness_mib.saturating_mul(1 << 20) };
        ServerOptions {
            data_dir: self.data_dir,
            certs: self.certs,
            checkpoint_key: self.checkpoint_key,
            witness: self.witness.map(|path| WitnessOptions { path, full_bytes }),
            scrub: ScrubOptions {
                bytes_per_second: self.scrub_mib_per_second.saturating_mul(1 << 20),
                every: Duration::from_secs(self.scrub_every),
            },
            listen: self.listen,
            settings: Settings {
                ids_capacity: self.settings.ids_capacity,
                ids_retention_millis: self.settings.ids_retention.saturating_mul(1_000),
                holds_max: self.settings.holds_max,
                players_max: self.settings.players_max,
                closed_wagers_max: self.settings.closed_wagers_max,
            },
            flush: self.log.flush.into(),
            segment_bytes: self.log.segment_mib << 20,
            flush_poll: Duration::from_micros(self.log.flush_poll),
            guards: Guards {
                unsafe_filesystem: self.machine.unsafe_filesystem,
                unsafe_swap: self.machine.unsafe_swap,
                lock_memory: self.machine.lock_memory,
            },
            faults: self.log.faults,
            archive: self.log.archive,
            snapshots,
            durable_told: None,
        }
    }
}

/// What whoever starts the server again has to know: each code asks for something else to be done first.
const fn exit_code(reason: &ServeError) -> u8 {
    match reason {
        ServeError::Log(_) => EXIT_LOG,
        ServeError::ReadBack
        | ServeError::Refuted(_)
        | ServeError::Witness(SignerError::Cut { .. } | SignerError::OtherChain { .. }) => EXIT_DAMAGED,
        ServeError::Unfit(Unfit::Unknown(_)) => EXIT_STORAGE,
        ServeError::Unfit(_) => EXIT_UNFIT,
        ServeError::Recovery(reason) => match reason {
            RecoveryError::Locked { .. } => EXIT_LOCKED,
            RecoveryError::NewerFormat { .. }
            | RecoveryError::Visit { source: ReplayFault::NewerRules { .. }, .. } => EXIT_NEWER,
            RecoveryError::Storage(_) => EXIT_STORAGE,
            _ => EXIT_DAMAGED,
        },
        ServeError::Snapshot(LoadFault::NewerFormat(_) | LoadFault::NewerRules { .. }) => EXIT_NEWER,
        ServeError::Snapshot(LoadFault::Storage(_)) => EXIT_STORAGE,
        ServeError::Open(OpenError::Storage(_) | OpenError::Fault(_)) => EXIT_STORAGE,
        _ => EXIT_START,
    }
}

async fn serve(
    options: ServerOptions,
    chain: Option<ChainConfig>,
    games: Option<cage_games::Config>,
    admin: &Admin,
    board: &Arc<Board>,
) -> Result<(), ServeError> {
    let (server, started) = Server::open(&options, board)?;
    tracing::info!(
        snapshot = started.snapshot,
        records = started.records,
        millis = started.took.as_millis(),
        torn_tail = started.torn_tail,
        "recovered"
    );
    // Before anybody is told that it serves: from then on a signal drains.
    let stop = stop_signal();
    // Whoever started it may have stopped listening: that is no reason not to serve.
    let mut stdout = std::io::stdout();
    if let Ok(address) = server.local_addr() {
        let _ = writeln!(stdout, "quic {address}");
    }
    let _ = writeln!(stdout, "admin http://{}", admin.address());
    // Whoever gives a folder to `cage status` finds the port there; without the file he has to name it.
    let written = AdminFile::write(&options.data_dir, admin.address());
    if let Err(reason) = &written {
        tracing::warn!(%reason, "cage status will not find the admin port by the data directory");
    }
    // Who reads it and asks the admin port at once is told the same.
    board.beat();
    board.enter(Phase::Serving);
    let _ = writeln!(stdout, "ready");
    tell_service_manager(sd_notify::NotifyState::Ready);
    let certs = options.certs.clone().unwrap_or_else(|| options.data_dir.join("certs"));
    let games = match (games, server.local_addr()) {
        (Some(config), Ok(address)) => {
            let (ledger, certs) = (reachable(address), certs.clone());
            Some(GameBridge::start(cage_games::Config { ledger, certs, ..config }))
        }
        _ => None,
    };
    let games = games.and_then(|started| {
        started.inspect_err(|fault| tracing::error!("no game provider is served: {fault}")).ok()
    });
    let bridges = match (chain, server.local_addr()) {
        (Some(config), Ok(address)) => {
            let folder = options.data_dir.join("chain");
            Some(ChainBridges::start(config, Place { address, certs, folder }))
        }
        _ => None,
    };
    let bridges = bridges
        .and_then(|started| started.inspect_err(|fault| tracing::error!("no chain is served: {fault}")).ok());
    let stoppers = [bridges.as_ref().map(ChainBridges::stopper), games.as_ref().map(GameBridge::stopper)];
    // The bridges stop first: what they have asked for is answered while the ledger drains.
    let stop = async move {
        stop.await;
        for stopper in stoppers.into_iter().flatten() {
            let _ = stopper.send(true);
        }
    };
    let closed = server.run(stop).await?;
    bridges.into_iter().for_each(ChainBridges::stop);
    games.into_iter().for_each(GameBridge::stop);
    tracing::info!(
        last_lsn = closed.last.0,
        digest_lsn = closed.last.0 - 1,
        digest = hex(&closed.digest),
        counts = ?closed.counts,
        log = ?closed.log,
        "closed in order"
    );
    Ok(())
}

/// systemd, if it is what started this process, and asked to be told.
fn tell_service_manager(state: sd_notify::NotifyState<'_>) {
    if let Err(reason) = sd_notify::notify(&[state]) {
        tracing::warn!(%reason, "the service manager could not be told");
    }
}

/// Done at the first SIGTERM or SIGINT from this call on; the second ends the process.
pub(super) fn stop_signal() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tell_service_manager(sd_notify::NotifyState::Stopping);
        tokio::task::spawn_local(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(130);
        });
    }
}
