//! PostgreSQL: a table of balances, a table of transfers under their ids, over a Unix socket.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Absent, LimitError, Measured, Shape, Started, System, finished};

/// One call of a function: one round trip.
const FUNCTION: &str = "one function call";
/// What an application without stored procedures sends.
const STATEMENTS: &str = "five statements";

/// Durable on each commit. Memory and checkpoints so that neither is what is measured.
const SETTINGS: &str = "
synchronous_commit = on
fsync = on
wal_compression = off
shared_buffers = '4GB'
max_wal_size = '16GB'
checkpoint_timeout = '30min'
max_connections = 100
listen_addresses = ''
";

/// The id makes a repeated transfer fail; the check a player's balance below zero. Rows are locked in the order of
/// their numbers.
const SCHEMA: &str = "
create table accounts (id bigint primary key, balance numeric(39,0) not null check (balance >= 0));
create table transfers (id uuid primary key, debit bigint not null, credit bigint not null,
    amount numeric(39,0) not null, at timestamptz not null default now());
create function transfer(id uuid, debit bigint, credit bigint, amount numeric) returns void
language plpgsql as $$
declare
    first bigint := least(debit, credit);
    second bigint := greatest(debit, credit);
begin
    insert into transfers values (id, debit, credit, amount);
    update accounts a set balance = balance + case when first = debit then -amount else amount end where a.id = first;
    update accounts a set balance = balance + case when second = debit then -amount else amount end where a.id = second;
end $$;
";

struct Postgres {
    programs: PathBuf,
    dir: PathBuf,
    version: String,
    is_root: bool,
}

/// Starts a cluster in `dir`.
pub(super) fn start(dir: &Path, accounts: u32) -> Started {
    let Some(programs) = programs() else {
        return Err(Absent::Skipped("PostgreSQL is not installed (no initdb and pgbench)".to_owned()));
    };
    let is_root = rustix::process::geteuid().is_root();
    // Absolute: its programs change their folder.
    let dir = dir.canonicalize()?;
    if is_root {
        let owned = Command::new("chown").arg("postgres").arg(&dir).output()?;
        if !owned.status.success() {
            return Err(Absent::Skipped(
                "PostgreSQL does not run as root, and there is no user postgres".to_owned(),
            ));
        }
    }
    let version = finished(Command::new(programs.join("pgbench")).arg("--version"))?;
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.split_whitespace().nth(2).unwrap_or("of an unknown version").to_owned();
    let postgres = Postgres { programs, dir, version, is_root };
    if is_root && finished(postgres.program("pgbench").arg("--version")).is_err() {
        let why = format!("PostgreSQL: the user postgres cannot reach {}", postgres.dir.display());
        return Err(Absent::Skipped(why));
    }
    let data = postgres.data();
    finished(postgres.program("initdb").args(["-A", "trust", "-N", "-D"]).arg(&data))?;
    let socket = format!("unix_socket_directories = '{}'\n", postgres.dir.display());
    let settings = data.join("postgresql.conf");
    let before = std::fs::read_to_string(&settings)?;
    std::fs::write(&settings, before + SETTINGS + &socket)?;
    finished(postgres.control("start").arg("-l").arg(postgres.dir.join("log")))?;
    postgres.query(SCHEMA)?;
    postgres.query(&format!(
        "insert into accounts select number, 1000000000 from generate_series(1, {accounts}) number"
    ))?;
    postgres.query("vacuum analyze")?;
    postgres.write_scripts(accounts)?;
    Ok(Box::new(postgres))
}

/// The folder of its programs: Debian keeps them off the path.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    let mut packaged: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    packaged.sort();
    folders.extend(packaged.into_iter().rev());
    let is_there = |folder: &PathBuf| ["initdb", "pgbench"].iter().all(|name| folder.join(name).exists());
    folders.into_iter().find(is_there)
}

impl Postgres {
    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// One of its programs, as a user that it accepts.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if self.is_root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.dir);
        command
    }

    fn control(&self, what: &str) -> Command {
        let mut command = self.program("pg_ctl");
        command.args([what, "--silent", "--wait", "-D"]).arg(self.data());
        // It would hold the pipes of whoever started it.
        command.stdout(std::process::Stdio::null());
        command
    }

    fn query(&self, sql: &str) -> Result<(), LimitError> {
        let mut command = self.program("psql");
        command.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", sql, "-h"]).arg(&self.dir);
        finished(&mut command).map(drop)
    }

    fn write_scripts(&self, accounts: u32) -> std::io::Result<()> {
        let choose = format!(
            "\\set debit random(1, {accounts})\n\\set credit random(1, {accounts})\n\\set amount random(1, 100)\n"
        );
        let function = "select transfer(gen_random_uuid(), :debit, :credit, :amount);\n";
        let statements = "begin;\n\
            insert into transfers values (gen_random_uuid(), :debit, :credit, :amount);\n\
            update accounts set balance = balance - :amount where id = :debit;\n\
            update accounts set balance = balance + :amount where id = :credit;\n\
            commit;\n";
        std::fs::write(self.script(FUNCTION), format!("{choose}{function}"))?;
        std::fs::write(self.script(STATEMENTS), format!("{choose}{statements}"))
    }

    fn script(&self, work: &str) -> PathBuf {
        self.dir.join(if work == FUNCTION { "function.sql" } else { "statements.sql" })
    }

    /// The times of all transactions, in microseconds, from the files that `pgbench` left; they are removed.
    fn times(&self) -> Result<Vec<f64>, LimitError> {
        let mut times = Vec::new();
        for file in std::fs::read_dir(&self.dir)? {
            let path = file?.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"times.")) {
                let text = std::fs::read_to_string(&path)?;
                times.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
                std::fs::remove_file(&path)?;
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }
}

impl System for Postgres {
    fn name(&self) -> String {
        format!("PostgreSQL {}", self.version)
    }

    fn loads(&self) -> Vec<(&'static str, Shape)> {
        let clients = [1, 4, 16, 32].map(|clients| Shape { clients, pipeline: 1 });
        [FUNCTION, STATEMENTS].into_iter().flat_map(|work| clients.map(|shape| (work, shape))).collect()
    }

    fn run(&mut self, work: &'static str, shape: Shape, seconds: f64) -> Result<Measured, LimitError> {
        let seconds = (seconds.round() as u64).max(1).to_string();
        let mut command = self.program("pgbench");
        command.args(["-n", "-M", "prepared", "-j", "2", "-c", &shape.clients.to_string(), "-T", &seconds]);
        command.args(["-l", "--log-prefix=times", "-f"]).arg(self.script(work)).arg("-h").arg(&self.dir);
        let output = finished(command.arg("postgres"))?;
        let per_second = per_second(&String::from_utf8_lossy(&output.stdout))?;
        let times = self.times()?;
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        Ok(Measured { per_second, p50_us: at(0.5), p99_us: at(0.99) })
    }
}

/// From what `pgbench` prints.
fn per_second(output: &str) -> Result<f64, LimitError> {
    let tps = output.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|text| text.split_whitespace().next()?.parse().ok());
    tps.ok_or_else(|| format!("pgbench did not say how many transactions a second: {output}").into())
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.control("stop").args(["-m", "fast"]).output();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints_is_read() {
        let output = "number of clients: 16\nlatency average = 1.390 ms\ntps = 11512.345678 (without initial connection time)\n";
        assert_eq!(per_second(output).unwrap(), 11512.345678);
        assert!(per_second("connection refused").is_err());
    }
}
