//! Redis: a script that looks at the id, checks the balance and moves the money, its log synchronised on each write.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Absent, LimitError, Measured, Shape, Started, System, finished, free_port};

const WORK: &str = "one script call";
/// How long a start may take.
const START_TIME: Duration = Duration::from_secs(10);
/// Random numbers lie below: ids, and accounts after a division.
const RANDOM_BELOW: &str = "2000000000";

struct Redis {
    server: Child,
    port: String,
    script: String,
    version: String,
}

/// Starts a server in `dir`.
pub(super) fn start(dir: &Path, accounts: u32) -> Started {
    let version = Command::new("redis-server").arg("--version").output();
    let benchmark = Command::new("redis-benchmark").arg("--version").output();
    let (Ok(version), Ok(_)) = (version, benchmark) else {
        return Err(Absent::Skipped(
            "Redis is not installed (no redis-server and redis-benchmark)".to_owned(),
        ));
    };
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.split("v=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let port = free_port()?.to_string();
    let server = Command::new("redis-server")
        .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "always", "--daemonize", "no", "--dir"])
        .arg(dir)
        .stdout(Stdio::null())
        .spawn()?;
    let mut redis = Redis { server, port, script: String::new(), version: version.to_owned() };
    let begin = Instant::now();
    while redis.ask(&["ping"]).is_err() {
        if begin.elapsed() > START_TIME {
            return Err(Absent::Fault("redis-server does not answer".into()));
        }
        std::thread::yield_now();
    }
    let open = format!("for n = 0, {accounts} - 1 do redis.call('SET', 'account:' .. n, 1000000000) end");
    redis.ask(&["eval", &open, "0"])?;
    redis.script = redis.ask(&["script", "load", &transfer(accounts)])?;
    Ok(Box::new(redis))
}

/// An id, the accounts as any numbers, the amount.
fn transfer(accounts: u32) -> String {
    format!(
        "local id, amount = 'transfer:' .. ARGV[1], tonumber(ARGV[4])
        local debit = 'account:' .. (tonumber(ARGV[2]) % {accounts})
        local credit = 'account:' .. (tonumber(ARGV[3]) % {accounts})
        if redis.call('EXISTS', id) == 1 then return 0 end
        if tonumber(redis.call('GET', debit)) < amount then return -1 end
        redis.call('SET', id, amount)
        redis.call('DECRBY', debit, amount)
        redis.call('INCRBY', credit, amount)
        return 1"
    )
}

impl Redis {
    fn ask(&self, arguments: &[&str]) -> Result<String, LimitError> {
        let output = finished(Command::new("redis-cli").args(["-e", "-p", &self.port]).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Requests a second that are about what to expect, so that a run takes about as long as it should.
const fn about_per_second(shape: Shape) -> f64 {
    match shape.clients * shape.pipeline {
        1 => 4_000.0,
        2..=16 => 20_000.0,
        17..=64 => 40_000.0,
        65..=1_000 => 90_000.0,
        _ => 150_000.0,
    }
}

impl System for Redis {
    fn name(&self) -> String {
        format!("Redis {}", self.version)
    }

    fn loads(&self) -> Vec<(&'static str, Shape)> {
        [(1, 1), (16, 1), (64, 1), (50, 16), (50, 100)]
            .map(|(clients, pipeline)| (WORK, Shape { clients, pipeline }))
            .to_vec()
    }

    fn run(&mut self, _: &'static str, shape: Shape, seconds: f64) -> Result<Measured, LimitError> {
        let requests = (about_per_second(shape) * seconds) as u64;
        let output = finished(
            Command::new("redis-benchmark")
                .args(["--csv", "-p", &self.port, "-c", &shape.clients.to_string()])
                .args(["-P", &shape.pipeline.to_string(), "-n", &requests.to_string(), "-r", RANDOM_BELOW])
                .args(["EVALSHA", &self.script, "0", "__rand_int__", "__rand_int__", "__rand_int__", "7"]),
        )?;
        measured(&String::from_utf8_lossy(&output.stdout))
    }
}

/// From what `redis-benchmark --csv` prints: a line of names, a line of numbers, all in quotes.
fn measured(output: &str) -> Result<Measured, LimitError> {
    let mut lines = output
        .lines()
        .filter(|line| line.starts_with('"'))
        .map(|line| line.trim_matches('"').split("\",\"").collect::<Vec<_>>());
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let number = |name: &str| -> Result<f64, LimitError> {
        let place = names.iter().position(|known| *known == name);
        let value = place.and_then(|place| values.get(place)?.parse().ok());
        value.ok_or_else(|| format!("redis-benchmark did not say {name}: {output}").into())
    };
    Ok(Measured {
        per_second: number("rps")?,
        p50_us: number("p50_latency_ms")? * 1e3,
        p99_us: number("p99_latency_ms")? * 1e3,
    })
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_benchmark_prints_is_read_by_the_names_of_its_columns() {
        let output = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
            \"EVALSHA ab 0 1, 2\",\"148148.14\",\"33.1\",\"0.8\",\"32.0\",\"60.0\",\"79.5\",\"90.0\"\n";
        let read = measured(output).unwrap();
        assert_eq!(read, Measured { per_second: 148_148.14, p50_us: 32_000.0, p99_us: 79_500.0 });
        assert!(measured("Could not connect").unwrap_err().to_string().contains("rps"));
    }
}
