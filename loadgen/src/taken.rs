//! Where and when figures were taken.
//!
//! In: this machine, and how the program was started. Out: what a reader needs to take them again. Never here: a figure.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The circumstances of a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// When it began.
    pub at: String,
    /// The processor, as the kernel names it.
    pub processor: String,
    /// How many of them.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The load averages of the last 1, 5 and 15 minutes at the beginning: what else ran.
    pub load_average: String,
    /// The command that takes them again.
    pub command: String,
}

impl Taken {
    /// Here and now, by this process's arguments behind `program`.
    #[must_use]
    pub fn now(program: &str) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = OffsetDateTime::from_unix_timestamp(since.as_secs().cast_signed());
        let load = read("/proc/loadavg");
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        Self {
            at: at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default(),
            processor: processor.unwrap_or_default().trim_start_matches(['\t', ' ', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            command: format!("{program} {}", arguments.join(" ")),
        }
    }

    /// As a sentence of a page.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { at, processor, cores, kernel, load_average, command } = self;
        format!(
            "Taken {at} by\n\n```sh\n{command}\n```\n\non {cores} virtual cores ({processor}), Linux {kernel}; load average before the start {load_average}."
        )
    }
}
