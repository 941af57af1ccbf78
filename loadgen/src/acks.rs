//! What was acknowledged, written down for `cage audit --acks`.
//!
//! In: answers that are records of the log. Out: a text file of lines `REQUEST_ID_HEX LSN RESULT_NUMBER`: 32
//! hexadecimal digits, two decimal numbers, single spaces. Lines are in no order. They are written in pieces, all
//! of them at the end and whenever the server falls silent. Never here: an answer that is not in the log.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cage_engine::{Lsn, RequestId, ResultCode};

/// A piece is written when it is this long, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// The acknowledgements could not be written down.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{path}: {source}", path = path.display())]
pub struct AcksError {
    path: PathBuf,
    source: Arc<io::Error>,
}

/// One worker's share of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acks {
    /// Workers on several threads write whole pieces: the lock is taken once per piece.
    file: Option<Arc<(PathBuf, Mutex<File>)>>,
    piece: Vec<u8>,
    fault: Option<AcksError>,
}

impl Acks {
    /// A new file at `path`; without one, nothing is written down.
    pub(crate) fn create(path: Option<&Path>) -> Result<Self, AcksError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let file = File::create(path)
            .map_err(|source| AcksError { path: path.to_owned(), source: Arc::new(source) })?;
        Ok(Self { file: Some(Arc::new((path.to_owned(), Mutex::new(file)))), ..Self::default() })
    }

    /// Writes down an answer, if it is a record.
    pub(crate) fn add(&mut self, id: RequestId, lsn: Lsn, result: ResultCode) {
        if self.file.is_none() || !result.is_recorded() {
            return;
        }
        push_hex(&mut self.piece, id.0);
        self.piece.push(b' ');
        push_decimal(&mut self.piece, lsn.0);
        self.piece.push(b' ');
        push_decimal(&mut self.piece, u64::from(result.number()));
        self.piece.push(b'\n');
        if self.piece.len() >= PIECE_BYTES {
            self.flush();
        }
    }

    /// Hands everything to the operating system.
    pub(crate) fn flush(&mut self) {
        let Some(shared) = &self.file else { return };
        let (path, file) = &**shared;
        let written = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&self.piece);
        if let Err(source) = written {
            self.fault.get_or_insert_with(|| AcksError { path: path.clone(), source: Arc::new(source) });
        }
        self.piece.clear();
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// [`AcksError`] if something is missing in the file.
    pub(crate) fn finish(mut self) -> Result<(), AcksError> {
        self.flush();
        self.fault.map_or(Ok(()), Err)
    }
}

fn push_hex(text: &mut Vec<u8>, number: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_le_bytes().into_iter().rev()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text.extend_from_slice(&digits);
}

fn push_decimal(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_format_would_print_and_only_of_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acks");
        let mut acks = Acks::create(Some(&path)).unwrap();
        let mut expected = String::new();
        for (id, lsn, result) in [
            (1, 1, ResultCode::Done),
            (u128::MAX - 5, u64::MAX, ResultCode::InsufficientFunds),
            (0x0193_0000_0000_7abc_8def_0123_4567_89ab, 1_000_000, ResultCode::Tombstoned),
        ] {
            acks.add(RequestId(id), Lsn(lsn), result);
            expected += &format!("{id:032x} {lsn} {}\n", result.number());
        }
        acks.add(RequestId(7), Lsn::NONE, ResultCode::InboxFull);
        acks.finish().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    }
}
