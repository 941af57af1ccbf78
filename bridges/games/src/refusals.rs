//! The record of callbacks that were refused before the ledger was asked.
//!
//! In: who, where, why, and the digest of what was sent. Out: lines of JSON in a file of bounded size, and the one
//! before it. Never here: a body, a signature, a token: what is refused may be somebody's secret.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cage_engine::Timestamp;
use serde::Serialize;

use crate::limits::REFUSALS_BYTES_MAX;
use crate::signature::hex;

const FILE: &str = "refused.jsonl";
const BEFORE: &str = "refused.1.jsonl";

/// The file, open for more.
#[derive(Debug)]
pub struct Refusals {
    path: PathBuf,
    file: File,
    bytes: u64,
    count: u64,
}

/// A refused callback.
#[derive(Debug, Serialize)]
pub struct Refusal<'a> {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Of which provider.
    pub provider: &'a str,
    /// Which call.
    pub path: &'a str,
    /// Why.
    pub reason: &'static str,
    /// How long the body was.
    pub bytes: usize,
    /// The BLAKE3 digest of the body.
    pub body: String,
}

impl<'a> Refusal<'a> {
    /// Of a body that came to a path.
    #[must_use]
    pub fn new(at: Timestamp, provider: &'a str, path: &'a str, reason: &'static str, body: &[u8]) -> Self {
        let digest = hex(blake3::hash(body).as_bytes());
        Self { at_ms: at.millis(), provider, path, reason, bytes: body.len(), body: digest }
    }
}

impl Refusals {
    /// Opens the file in a folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, count: 0 })
    }

    /// How many were recorded since the start.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Records one. That it cannot be written is told, and stops nothing.
    pub fn record(&mut self, refusal: &Refusal<'_>) {
        self.count += 1;
        let Refusal { provider, reason, .. } = refusal;
        tracing::warn!(provider, reason, "a callback was refused");
        if let Err(error) = self.write(refusal) {
            tracing::error!(%error, path = %self.path.display(), "a refused callback cannot be recorded");
        }
    }

    fn write(&mut self, refusal: &Refusal<'_>) -> io::Result<()> {
        if self.bytes >= REFUSALS_BYTES_MAX {
            std::fs::rename(&self.path, self.path.with_file_name(BEFORE))?;
            self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            self.bytes = 0;
        }
        let mut line = serde_json::to_vec(refusal)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}
