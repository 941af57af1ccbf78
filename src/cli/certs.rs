//! `cage certs`: makes certificates for servers and callers, and shows what a folder of them holds.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cage_engine::Role;
use clap::{Args, Subcommand};
use rustls::pki_types::UnixTime;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::fail;
use crate::certs::shelf::{self, Shown};
use crate::certs::{Authority, CertsError, Validity};

/// Exit code: a certificate is of no use, or will not be for long.
const EXIT_TROUBLE: u8 = 1;
/// Exit code: it cannot be made or read.
const EXIT_NOT_MADE: u8 = 2;
const DAY_SECONDS: i64 = 86_400;

/// Make certificates, and show what is in a folder of them.
///
/// An authority signs the server's certificate and one for each caller, whose role and name stand in it (cage://ROLE/NAME). The folder
/// of the authority has its key, ca.key: keep it where neither servers nor callers run. A server's folder (`cage serve --certs`) has
/// ca.pem and server.pem with its key, a caller's ca.pem and its own pair. Files are never overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cage certs list ./cage-data/certs
  cage certs list ./cage-data/certs --within 30 --json")]
pub(crate) struct Certs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Authority(MakeAuthority),
    Server(MakeServer),
    Caller(MakeCaller),
    List(List),
}

/// Make a new authority: ca.pem, which everybody gets, and ca.key, which signs.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage certs authority ./authority --name 'Our casino'")]
struct MakeAuthority {
    /// Its folder
    dir: PathBuf,
    /// Its name, for people
    #[arg(long, default_value = "cage authority")]
    name: String,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

/// Make a server's certificate: server.pem and server.key, with ca.pem beside them.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: cage certs server ./server-certs --authority ./authority --host ledger.example --host 10.0.0.7"
)]
struct MakeServer {
    /// Where it goes
    dir: PathBuf,
    /// The folder with ca.pem and ca.key
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    /// A name or an address that callers connect to; may be given several times
    #[arg(long, required = true)]
    host: Vec<String>,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

/// Make a caller's certificate: FILE.pem and FILE.key, with ca.pem beside them.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: cage certs caller ./lobby-certs --authority ./authority --role frontend --name lobby-1"
)]
struct MakeCaller {
    /// Where it goes
    dir: PathBuf,
    /// The folder with ca.pem and ca.key
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    /// What the caller may ask for
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// Its name, by which records tell it from others of its role
    #[arg(long, value_parser = parse_name)]
    name: String,
    /// What the files are called [default: the role's name, as clients look for it]
    #[arg(long, value_parser = parse_name)]
    file: Option<String>,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

/// Show each certificate of a folder: what it is, whom it names, until when, what is wrong with it.
///
/// Exit codes: 0 all are of use, 1 one is not, or will not be for long, 2 the folder cannot be read.
#[derive(Debug, Args)]
#[command(after_help = "Example: cage certs list ./server-certs --within 30")]
struct List {
    /// The folder
    dir: PathBuf,
    /// Complain of those that expire within so many days
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    within: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    certificates: Vec<JsonRow<'a>>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    file: &'a str,
    usage: &'static str,
    names: &'a [String],
    valid_until: String,
    days_left: i64,
    trouble: Option<&'a str>,
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| {
        let names: Vec<_> = Role::CALLERS.iter().map(|role| role.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// What may stand in a URI and in the name of a file.
fn parse_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("expected letters, digits, `-`, `_` and `.`, a letter or digit first".to_owned())
}

impl Certs {
    pub(crate) fn run(self) -> ExitCode {
        let made = match self.what {
            What::List(list) => return list.run(),
            What::Authority(make) => make.run(),
            What::Server(make) => make.run(),
            What::Caller(make) => make.run(),
        };
        match made {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(EXIT_NOT_MADE, &reason),
        }
    }
}

fn days(days: u32) -> Validity {
    Validity::Days { from: OffsetDateTime::now_utc(), days }
}

fn tell(dir: &Path, name: &str) {
    say!(
        "made {} and {}",
        dir.join(format!("{name}.pem")).display(),
        dir.join(format!("{name}.key")).display()
    );
}

impl MakeAuthority {
    fn run(self) -> Result<(), CertsError> {
        Authority::create(&self.dir, &self.name, days(self.days))?;
        tell(&self.dir, "ca");
        eprintln!("whoever has ca.key can make callers of any role: keep it off servers and callers");
        Ok(())
    }
}

impl MakeServer {
    fn run(self) -> Result<(), CertsError> {
        let authority = Authority::open(&self.authority)?;
        let made = authority.server(&self.host, days(self.days))?;
        authority.publish(&self.dir)?;
        made.write(&self.dir, "server")?;
        tell(&self.dir, "server");
        Ok(())
    }
}

impl MakeCaller {
    fn run(self) -> Result<(), CertsError> {
        let authority = Authority::open(&self.authority)?;
        let made = authority.caller(self.role, &self.name, days(self.days))?;
        authority.publish(&self.dir)?;
        let file = self.file.as_deref().unwrap_or_else(|| self.role.name());
        made.write(&self.dir, file)?;
        tell(&self.dir, file);
        Ok(())
    }
}

impl List {
    fn run(self) -> ExitCode {
        let now = UnixTime::now();
        let shown = match shelf::look(&self.dir, now) {
            Ok(shown) => shown,
            Err(reason) => return fail(EXIT_NOT_MADE, &reason),
        };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let rows: Vec<_> = shown.iter().map(|shown| Self::row(shown, now)).collect();
        let trouble = rows.iter().any(|row| row.trouble.is_some() || row.days_left < i64::from(self.within));
        if self.json {
            say!("{}", serde_json::json!(Json { certificates: rows }));
        } else {
            rows.iter().for_each(|row| self.print(row));
        }
        if trouble { ExitCode::from(EXIT_TROUBLE) } else { ExitCode::SUCCESS }
    }

    fn row(shown: &Shown, now: i64) -> JsonRow<'_> {
        let Shown { name, usage, names, until, trouble } = shown;
        let time =
            OffsetDateTime::from_unix_timestamp(*until).ok().and_then(|time| time.format(&Rfc3339).ok());
        JsonRow {
            file: name,
            usage: usage.name(),
            names,
            valid_until: time.unwrap_or_default(),
            days_left: until.saturating_sub(now).div_euclid(DAY_SECONDS),
            trouble: trouble.as_deref(),
        }
    }

    fn print(&self, row: &JsonRow<'_>) {
        let JsonRow { file, usage, names, valid_until, days_left, trouble } = row;
        let soon = *days_left < i64::from(self.within);
        let end = match trouble {
            Some(trouble) => format!("  TROUBLE: {trouble}"),
            None if soon => "  EXPIRES SOON".to_owned(),
            None => String::new(),
        };
        let names = names.join(", ");
        say!("{file:<12} {usage:<9} until {valid_until} ({days_left} days)  {names}{end}");
    }
}
