//! What was seen of the log, kept in a file: so that a client that was restarted still misses what is missing.
//!
//! In: the watermark, once a second while it moves. Out: a small text file that is replaced as a whole; at the next
//! start what stands in it. Never here: a file that is half of one and half of another.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cage_protocol::Watermark;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::error::ConnectionError;
use crate::limits::KEEP_EVERY;
use crate::shared::Shared;

const FIRST_LINE: &str = "cage-watermark 0";

fn to_text(seen: &Watermark) -> String {
    let mut text = format!(
        "{FIRST_LINE}\nlog {:032x}\nlsn {}\nchain_lsn {}\nchain_head ",
        seen.log_id, seen.lsn, seen.chain_lsn
    );
    for byte in seen.chain_head {
        let _ = write!(text, "{byte:02x}");
    }
    text + "\n"
}

fn from_text(text: &str) -> Option<Watermark> {
    let mut lines = text.lines();
    let mut next = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    (next("cage-watermark")? == "0").then_some(())?;
    let log_id = u128::from_str_radix(next("log")?, 16).ok()?;
    let lsn = next("lsn")?.parse().ok()?;
    let chain_lsn = next("chain_lsn")?.parse().ok()?;
    let digits = next("chain_head")?;
    let mut chain_head = [0; 32];
    (digits.len() == 64).then_some(())?;
    for (at, byte) in chain_head.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    let seen = Watermark { log_id, lsn, chain_lsn, chain_head };
    // Half a file is none.
    (to_text(&seen) == text).then_some(seen)
}

/// What stands in the file; nothing if there is none yet.
pub(crate) fn read(path: &Path) -> Result<Watermark, ConnectionError> {
    let failed = |reason: String| ConnectionError::Kept { path: path.to_owned(), reason };
    match fs::read_to_string(path) {
        Ok(text) => from_text(&text).ok_or_else(|| failed("it is no watermark of this version".to_owned())),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => Ok(Watermark::default()),
        Err(reason) => Err(failed(reason.to_string())),
    }
}

fn write(path: &Path, seen: &Watermark) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let mut file = File::create(&temporary)?;
    file.write_all(to_text(seen).as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Keeps the file up to date until all links have ended; then once more. Whoever closes the client waits for `_closed`.
pub(crate) async fn keep(
    path: PathBuf,
    shared: Arc<Shared>,
    mut links: mpsc::Receiver<()>,
    _closed: watch::Receiver<bool>,
) {
    let mut written = Watermark::default();
    let mut ended = false;
    while !ended {
        // Nobody sends anything: it ends when every link has let go of its end.
        ended = timeout(KEEP_EVERY, links.recv()).await.is_ok();
        let seen = shared.watermark();
        if seen == written {
            continue;
        }
        let to = path.clone();
        match tokio::task::spawn_blocking(move || write(&to, &seen)).await {
            Ok(Ok(())) => written = seen,
            Ok(Err(reason)) => {
                tracing::warn!(path = %path.display(), %reason, "what was seen of the log is not kept")
            }
            Err(panic) => tracing::warn!(%panic, "what was seen of the log is not kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_half_of_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        assert_eq!(read(&path).unwrap(), Watermark::default(), "nothing was seen yet");
        let seen = Watermark { log_id: 5 << 100, lsn: 1_000, chain_lsn: 998, chain_head: [0xab; 32] };
        write(&path, &seen).unwrap();
        assert_eq!(read(&path).unwrap(), seen);
        let text = fs::read_to_string(&path).unwrap();
        for cut in 0..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let refused = read(&path).unwrap_err().to_string();
            assert!(refused.contains("seen"), "{refused}");
        }
    }
}
