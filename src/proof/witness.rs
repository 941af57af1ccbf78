//! A witness: files with one signed checkpoint a line, only ever added to.
//!
//! A line is `LSN:HEAD CHECKPOINT` in hexadecimal: what `cage audit --head` takes, and all bytes of the checkpoint. In:
//! checkpoints, from one writer (`writer.rs`). Out: all of them, in order, over all files (`files.rs`). A line that a crash
//! cut off is left as it is and told; one that repeats the one before it says nothing new, and is one with it. Never here:
//! a line that is changed, a file that becomes shorter.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use cage_protocol::{CHECKPOINT_BYTES, SignedCheckpoint};

use crate::cli::hex;

mod files;
mod writer;

pub use writer::Witness;

/// Where a witness keeps its checkpoints.
#[derive(Clone, Debug)]
pub struct WitnessOptions {
    /// The file that is added to.
    pub path: PathBuf,
    /// When it has so many bytes it is closed, and another one begins.
    pub full_bytes: u64,
}

/// Why a witness file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// It cannot be read or written.
    #[error(
        "the witness file {path} cannot be used: {source}; expected the file that `cage serve --witness` writes",
        path = path.display()
    )]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A whole line is no checkpoint.
    #[error(
        "{path}, line {line}: expected LSN:HEAD and a checkpoint of {CHECKPOINT_BYTES} bytes, in hexadecimal",
        path = path.display()
    )]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

impl WitnessError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    fn is_absence(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What a witness has kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// The checkpoints in the order of their lines, none twice in a row. No signature was looked at.
    pub checkpoints: Vec<SignedCheckpoint>,
    /// Lines that were cut off: a crash while they were written. Which file, and which line of it, from 1.
    pub cut: Vec<(PathBuf, usize)>,
}

/// Reads a witness: the files that were closed, in the order of their numbers, and the one that is added to. One of them
/// has to be there.
///
/// # Errors
/// [`WitnessError`] if one cannot be read or a whole line is no checkpoint.
pub fn read(path: &Path) -> Result<Kept, WitnessError> {
    let closed = files::closed(path)?;
    let mut kept = Kept::default();
    for (_, file) in &closed {
        read_file(file, &mut kept)?;
    }
    match read_file(path, &mut kept) {
        // A crash between closing one and beginning the next; or somebody keeps those that are closed alone.
        Err(reason) if reason.is_absence() && !closed.is_empty() => {}
        read => read?,
    }
    Ok(kept)
}

/// The last checkpoint of a witness that need not be there yet, read from the one file that holds it.
///
/// # Errors
/// As [`read`].
pub fn last(path: &Path) -> Result<Option<SignedCheckpoint>, WitnessError> {
    match last_of_file(path)? {
        None => last_of_closed(path),
        last => Ok(last),
    }
}

/// The last checkpoint in those of its files that were closed.
fn last_of_closed(path: &Path) -> Result<Option<SignedCheckpoint>, WitnessError> {
    for (_, file) in files::closed(path)?.iter().rev() {
        if let Some(last) = last_of_file(file)? {
            return Ok(Some(last));
        }
    }
    Ok(None)
}

/// The last checkpoint in one file, if the file is there and has one.
fn last_of_file(path: &Path) -> Result<Option<SignedCheckpoint>, WitnessError> {
    let mut kept = Kept::default();
    match read_file(path, &mut kept) {
        Err(reason) if reason.is_absence() => Ok(None),
        read => read.map(|()| kept.checkpoints.pop()),
    }
}

fn read_file(path: &Path, kept: &mut Kept) -> Result<(), WitnessError> {
    let failed = |source| WitnessError::file(path, source);
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let (mut text, mut number) = (Vec::new(), 0);
    loop {
        text.clear();
        if lines.read_until(b'\n', &mut text).map_err(failed)? == 0 {
            return Ok(());
        }
        number += 1;
        let line = text.strip_suffix(b"\n").unwrap_or(&text);
        match parse(line) {
            Some(again) if kept.checkpoints.last() == Some(&again) => {}
            Some(checkpoint) => kept.checkpoints.push(checkpoint),
            None if is_cut(line) => kept.cut.push((path.to_owned(), number)),
            None => return Err(WitnessError::Line { path: path.to_owned(), line: number }),
        }
    }
}

/// Whether a line is the beginning of a whole one: a crash cut it off, and the next one began by ending it.
fn is_cut(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_hex = |text: &[u8]| text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let [b':', rest @ ..] = &line[digits..] else { return digits == line.len() };
    let (head, rest) = rest.split_at(rest.len().min(64));
    let checkpoint = match rest {
        [] => rest,
        [b' ', checkpoint @ ..] => checkpoint,
        _ => return false,
    };
    digits > 0 && is_hex(head) && is_hex(checkpoint) && checkpoint.len() < 2 * CHECKPOINT_BYTES
}

fn line(signed: &SignedCheckpoint) -> String {
    let checkpoint = &signed.checkpoint;
    format!("{}:{} {}\n", checkpoint.lsn, hex(&checkpoint.chain_head), hex(&signed.to_bytes()))
}

fn parse(text: &[u8]) -> Option<SignedCheckpoint> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, digits) = text.rsplit_once(' ')?;
    let signed = SignedCheckpoint::from_bytes(&unhex(digits)?)?;
    // What people read must be what is signed.
    (line(&signed).strip_suffix('\n') == Some(text)).then_some(signed)
}

/// Bytes from hexadecimal text.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use cage_protocol::Checkpoint;

    use super::*;

    pub(super) fn signed(lsn: u64) -> SignedCheckpoint {
        let checkpoint = Checkpoint {
            log_id: 1,
            previous_lsn: lsn - 1,
            lsn,
            frames: 1,
            chain_head: [3; 32],
            root: [4; 32],
            digest_lsn: 0,
            digest: [0; 32],
            time: 5,
            key: 6,
        };
        SignedCheckpoint { checkpoint, signature: [7; 64] }
    }

    #[test]
    fn a_line_of_garbage_is_no_line_that_a_crash_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let cut = &line(&signed(1))[..40];
        for garbage in ["garbage", ":", "1:xyz", "12 34", &cut.replace(':', ";"), "1:0A", "\0\0\0"] {
            std::fs::write(&path, format!("{}{garbage}\n{}", line(&signed(1)), line(&signed(2)))).unwrap();
            assert!(matches!(read(&path), Err(WitnessError::Line { line: 2, .. })), "{garbage:?}");
        }
        std::fs::write(&path, format!("{cut}\n{}", line(&signed(2)))).unwrap();
        assert_eq!(read(&path).unwrap().cut, [(path, 1)]);
    }

    #[test]
    fn a_line_that_says_two_things_is_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let good = line(&signed(1));
        for wrong in [
            good.replacen('1', "2", 1),
            good.replacen("0303", "0304", 1),
            good.replace("07", "0g"),
            good.replace(' ', "  "),
        ] {
            std::fs::write(&path, &wrong).unwrap();
            assert!(matches!(read(&path), Err(WitnessError::Line { line: 1, .. })), "{wrong}");
        }
    }

    /// A line that was written and whose sync failed is written again.
    #[test]
    fn a_line_that_was_written_twice_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let (first, again, next) = (line(&signed(1)), line(&signed(2)), line(&signed(3)));
        std::fs::write(&path, format!("{first}{again}\n{again}{next}")).unwrap();
        assert_eq!(read(&path).unwrap().checkpoints, [signed(1), signed(2), signed(3)]);
        std::fs::write(&path, format!("{first}{again}{first}")).unwrap();
        assert_eq!(
            read(&path).unwrap().checkpoints,
            [signed(1), signed(2), signed(1)],
            "that is no repetition"
        );
    }
}
