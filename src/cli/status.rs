//! `cage status`: asks a running server how it stands.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::fail;

/// Exit code: it is not ready, or an alarm of level error is on.
const EXIT_UNWELL: u8 = 1;
/// Exit code: nobody answers.
const EXIT_UNREACHABLE: u8 = 2;
/// How long the server may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The file in a data directory that says where the admin port of its server is.
const FILE: &str = "admin";

/// Ask a running server how it stands.
///
/// Exit codes: 0 it serves and no alarm of level error is on, 1 it does not or one is, 2 nobody answers.
#[derive(Debug, Args)]
#[command(
    name = "status",
    after_help = "Examples:\n  cage status ./cage-data\n  cage status --admin 127.0.0.1:4711 --json\n  cage status ./cage-data --probe ready"
)]
pub(crate) struct StatusCommand {
    /// The data directory of the server, which says where its admin port is
    #[arg(value_name = "DIR", env = "CAGE_DATA_DIR", default_value = "cage-data")]
    dir: PathBuf,
    /// The admin port itself
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Only say whether it lives, or is ready for requests: exit code 0 if so, 1 and the reason if not
    #[arg(long, value_enum, conflicts_with = "json")]
    probe: Option<Probe>,
    /// Print what the server says as one JSON object
    #[arg(long)]
    json: bool,
}

/// What can be asked shortly.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Probe {
    /// Whether it lives: restart it if not
    Live,
    /// Whether requests are served: send none if not
    Ready,
}

impl Probe {
    const fn path(self) -> &'static str {
        match self {
            Self::Live => "/livez",
            Self::Ready => "/readyz",
        }
    }
}

/// The file that says where the admin port is, as long as the server runs.
#[derive(Debug)]
pub(super) struct AdminFile(PathBuf);

impl AdminFile {
    /// Writes it, for whoever comes.
    pub(super) fn write(data_dir: &Path, address: SocketAddr) -> std::io::Result<Self> {
        let path = data_dir.join(FILE);
        let unfinished = data_dir.join(format!("{FILE}.tmp"));
        fs::write(&unfinished, format!("{address}\n"))?;
        fs::rename(&unfinished, &path)?;
        Ok(Self(path))
    }

    /// Reads that of a data directory.
    fn read(data_dir: &Path) -> Result<SocketAddr, String> {
        let path = data_dir.join(FILE);
        let text = fs::read_to_string(&path).map_err(|reason| {
            format!(
                "{}: {reason}. No server runs on {}, or name its port with --admin",
                path.display(),
                data_dir.display()
            )
        })?;
        text.trim()
            .parse()
            .map_err(|_| format!("{}: expected an address like 127.0.0.1:4711", path.display()))
    }
}

impl Drop for AdminFile {
    fn drop(&mut self) {
        // What is left after a crash names a port where nobody answers: that is told then.
        let _ = fs::remove_file(&self.0);
    }
}

impl StatusCommand {
    pub(crate) fn run(self) -> ExitCode {
        let address = match self.admin.map_or_else(|| AdminFile::read(&self.dir), Ok) {
            Ok(address) => address,
            Err(reason) => return fail(EXIT_UNREACHABLE, &reason),
        };
        let path = self.probe.map_or("/status", Probe::path);
        let (code, text) = match ask(address, path) {
            Ok(answer) => answer,
            Err(reason) => {
                return fail(
                    EXIT_UNREACHABLE,
                    &format!("http://{address}{path}: {reason}. Does the server run?"),
                );
            }
        };
        if self.probe.is_some() {
            say!("{}", text.trim_end());
            return if code == StatusCode::OK { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNWELL) };
        }
        let Ok(status) = serde_json::from_str::<Value>(&text) else {
            return fail(
                EXIT_UNREACHABLE,
                &format!("http://{address}/status: this is no answer of a cage server"),
            );
        };
        if self.json {
            say!("{}", text.trim_end());
        } else {
            print(&status);
        }
        let alarms = status["alarms"].as_array().map_or(&[][..], Vec::as_slice);
        let well = status["ready"] == true && alarms.iter().all(|alarm| alarm["severity"] != "error");
        if well { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNWELL) }
    }
}

fn ask(address: SocketAddr, path: &str) -> Result<(StatusCode, String), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|reason| reason.to_string())?;
    runtime.block_on(async {
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, get(address, path)).await;
        answer
            .map_err(|_| format!("no answer within {} s", ANSWER_TIME_MAX.as_secs()))?
            .map_err(|reason| reason.to_string())
    })
}

async fn get(
    address: SocketAddr,
    path: &str,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let code = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?;
        Ok((code, String::from_utf8(body.to_bytes().into())?))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => { ended?; exchange.await }
    }
}

/// For people.
fn print(status: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let ready =
        if status["ready"] == true { "yes".to_owned() } else { format!("NO: {}", text(&status["reason"])) };
    say!("ready     {ready}");
    let uptime = status["uptime_seconds"].as_f64().unwrap_or_default();
    say!(
        "server    {} {}, {}, for {uptime:.0} s",
        text(&status["role"]),
        text(&status["version"]),
        text(&status["phase"])
    );
    let log = &status["log"];
    if log.is_object() {
        say!("log       {}, epoch {}, segment {}", text(&log["id"]), text(&log["epoch"]), log["segment"]);
        say!(
            "durable   {} ({} waiting), chain {}",
            log["durable_lsn"],
            log["waiting_records"],
            text(&log["chain_head"])
        );
        say!("signed    {}", log["checkpoint_lsn"]);
        print_scrub(log);
        print_places(status);
    }
    let ledger = &status["ledger"];
    say!(
        "ledger    {} players, {} holds, {} wagers and {} rounds open, {} of {} ids",
        ledger["players"],
        ledger["holds_open"],
        ledger["wagers_open"],
        ledger["rounds_open"],
        ledger["ids"],
        ledger["ids_capacity"]
    );
    say!("callers   {} connections", status["connections"]);
    let alarms = status["alarms"].as_array().map_or(&[][..], Vec::as_slice);
    for alarm in alarms {
        say!(
            "{:<9} {}: {}",
            text(&alarm["severity"]).to_uppercase(),
            text(&alarm["name"]),
            text(&alarm["meaning"])
        );
    }
    if alarms.is_empty() {
        say!("alarms    none");
    }
}

fn print_scrub(log: &Value) {
    let Some(age) = log["scrub_age_seconds"].as_f64() else {
        return say!("scrubbed  never: it is switched off");
    };
    let (rounds, damaged) = (&log["scrub_rounds"], &log["scrub_damaged"]);
    let last = if *rounds == 0 { "not yet, running for" } else { "last whole round ended" };
    say!(
        "scrubbed  {last} {age:.0} s{}, {rounds} rounds, {damaged} damaged segments, {} damaged snapshots found",
        if *rounds == 0 { "" } else { " ago" },
        log["scrub_snapshots_damaged"]
    );
}

fn print_places(status: &Value) {
    let mib = |value: &Value| value.as_u64().unwrap_or_default() >> 20;
    let (space, snapshots, archive) = (&status["space"], &status["snapshots"], &status["archive"]);
    say!(
        "space     {} MiB prepared, {} MiB of them reserve; {} of {} MiB of the disk free",
        mib(&space["prepared_bytes"]),
        mib(&space["reserve_bytes"]),
        mib(&space["log"]["disk_free_bytes"]),
        mib(&space["log"]["disk_bytes"])
    );
    say!(
        "snapshot  {} (newest of {}), {} MiB",
        snapshots["newest_lsn"],
        snapshots["files"],
        mib(&snapshots["bytes"])
    );
    say!("archive   {} segments, {} MiB", archive["files"], mib(&archive["bytes"]));
}
