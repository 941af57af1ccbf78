//! Diagnostics: log lines on stderr, and how many there were.
//!
//! In: a filter and a form, from the command line. Out: lines for people, or one JSON object each for machines. Never
//! here: a result of a command, a secret.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// The filter if nobody names one.
pub const FILTER: &str = "info,quinn=warn";

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A line for people
    Text,
    /// One JSON object a line
    Json,
}

/// How many lines were written of the two levels that somebody should read.
#[derive(Debug, Default)]
pub struct Lines {
    errors: AtomicU64,
    warnings: AtomicU64,
}

impl Lines {
    /// Lines at level ERROR.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Lines at level WARN.
    #[must_use]
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }
}

/// Counts lines as they pass.
struct Counting(Arc<Lines>);

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        match *event.metadata().level() {
            Level::ERROR => self.0.errors.fetch_add(1, Ordering::Relaxed),
            Level::WARN => self.0.warnings.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// Reads a filter: a level, or levels for parts of the program, like `info,cage::session=debug`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_filter(text: &str) -> Result<String, String> {
    let levels =
        "expected a level (error, warn, info, debug, trace, off), or parts with theirs, like info,quinn=warn";
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|reason| format!("{reason}: {levels}"))
}

/// Turns diagnostics on, to stderr.
#[must_use]
pub fn init(filter: &str, form: Form) -> Arc<Lines> {
    let lines = Arc::<Lines>::default();
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let printed = match form {
        Form::Text => stderr.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Form::Json => stderr.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(EnvFilter::new(filter))
        .with(printed)
        .with(Counting(Arc::clone(&lines)))
        .init();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_levels_of_parts() {
        for right in [FILTER, "debug", "warn,cage::session=trace", "off"] {
            assert_eq!(parse_filter(right).as_deref(), Ok(right));
        }
        let refused = parse_filter("cage=loud").expect_err("no such level");
        assert!(refused.contains("expected a level"), "{refused}");
    }
}
