//! A witness file: one signed checkpoint a line, only ever added to.
//!
//! A line is `LSN:HEAD CHECKPOINT` in hexadecimal: what `cage audit --head` takes, and all bytes of the checkpoint. In:
//! checkpoints, from one writer. Out: all of them, in order, with the number of their lines. A line that a crash cut off
//! is left as it is and told. Never here: a line that is changed, a file that becomes shorter.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cage_protocol::{CHECKPOINT_BYTES, SignedCheckpoint};

use crate::cli::hex;

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

/// What a witness has kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// The checkpoints in the order of their lines. No signature was looked at.
    pub checkpoints: Vec<SignedCheckpoint>,
    /// Lines that were cut off: a crash while they were written.
    pub cut: Vec<usize>,
}

/// Reads a witness file.
///
/// # Errors
/// [`WitnessError`] if it cannot be read or a whole line is no checkpoint.
pub fn read(path: &Path) -> Result<Kept, WitnessError> {
    let failed = |source| WitnessError::File { path: path.to_owned(), source };
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let (mut kept, mut text, mut number) = (Kept::default(), Vec::new(), 0);
    loop {
        text.clear();
        if lines.read_until(b'\n', &mut text).map_err(failed)? == 0 {
            return Ok(kept);
        }
        number += 1;
        let line = text.strip_suffix(b"\n").unwrap_or(&text);
        match parse(line) {
            Some(checkpoint) => kept.checkpoints.push(checkpoint),
            None if is_cut(line) => kept.cut.push(number),
            None => return Err(WitnessError::Line { path: path.to_owned(), line: number }),
        }
    }
}

/// [`read`], of a file that need not be there yet.
///
/// # Errors
/// As [`read`].
pub fn read_if_there(path: &Path) -> Result<Kept, WitnessError> {
    match read(path) {
        Err(WitnessError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Kept::default())
        }
        read => read,
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

/// A witness file that is added to.
#[derive(Debug)]
pub struct Witness {
    path: PathBuf,
    file: File,
    /// The last line has no end: the next one begins with it.
    cut: bool,
}

impl Witness {
    /// Opens (or creates) a witness file, to add to it.
    ///
    /// # Errors
    /// [`WitnessError`] if it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, WitnessError> {
        let failed = |source| WitnessError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path).map_err(failed)?;
        super::sync_folder_of(path).map_err(failed)?;
        let cut = ends_inside_a_line(&mut file).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, cut })
    }

    /// Adds a checkpoint, durably.
    ///
    /// # Errors
    /// [`WitnessError`] if the operating system refuses. It may be tried again with another checkpoint: half a line is
    /// ended first.
    pub fn add(&mut self, signed: &SignedCheckpoint) -> Result<(), WitnessError> {
        let line = line(signed);
        let text = if self.cut { format!("\n{line}") } else { line };
        self.cut = true;
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| WitnessError::File { path: self.path.clone(), source })?;
        self.cut = false;
        Ok(())
    }
}

fn ends_inside_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use cage_protocol::Checkpoint;

    use super::*;

    fn signed(lsn: u64) -> SignedCheckpoint {
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
    fn what_was_added_is_read_back_over_every_cut_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let kept = read_if_there(&path).unwrap();
        assert!(kept.checkpoints.is_empty() && kept.cut.is_empty());
        let mut witness = Witness::open(&path).unwrap();
        witness.add(&signed(1)).unwrap();
        let first = std::fs::metadata(&path).unwrap().len() as usize;
        witness.add(&signed(2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let kept = read(&path).unwrap();
            let mut witness = Witness::open(&path).unwrap();
            let whole_but_its_end = cut + 1 == whole.len();
            assert_eq!(kept.checkpoints.len(), 1 + usize::from(whole_but_its_end), "cut at {cut}");
            assert_eq!(kept.cut.len(), usize::from(cut > first && !whole_but_its_end), "cut at {cut}");
            witness.add(&signed(3)).unwrap();
            let kept = read(&path).unwrap();
            assert_eq!(kept.checkpoints.last(), Some(&signed(3)), "cut at {cut}");
        }
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
        assert_eq!(read(&path).unwrap().cut, [1]);
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
}
