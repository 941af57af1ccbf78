//! Acknowledgements that a client wrote down: lines of request id (32 hex digits), LSN, result number.
//!
//! In: the file, then the records of the log in order. Out: every acknowledgement that the log does not have with
//! the same result.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use cage_engine::{Lsn, Record, RequestId, ResultCode};

/// Why a file of acknowledgements cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AcksError {
    /// It cannot be read.
    #[error(
        "the acknowledgements in {path} cannot be read: {source}; expected the file that `cage-loadgen --acks` writes"
    )]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no acknowledgement.
    #[error("{path}, line {line}: expected REQUEST_ID_HEX LSN RESULT_NUMBER")]
    Line {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ack {
    lsn: Lsn,
    id: RequestId,
    result: u16,
}

/// Acknowledgements to be looked up in a log, in the order of the log.
#[derive(Debug, Default)]
pub struct Acks {
    acks: Vec<Ack>,
    next: usize,
    missing: Vec<String>,
    missing_count: u64,
    left_out: u64,
}

/// What became of the acknowledgements.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) checked: u64,
    pub(super) left_out: u64,
    pub(super) missing: Vec<String>,
    pub(super) missing_count: u64,
}

const TOLD_MAX: usize = 10;

impl Acks {
    /// Reads a file of acknowledgements. Answers that are no records (retries told to come back, conflicts) are left
    /// out.
    ///
    /// # Errors
    /// [`AcksError`] if the file or one of its lines cannot be read. A last line that was cut off is left out.
    pub fn read(path: &Path) -> Result<Self, AcksError> {
        let name = || path.display().to_string();
        let file = |source| AcksError::File { path: name(), source };
        let mut lines = BufReader::new(std::fs::File::open(path).map_err(file)?);
        let (mut acks, mut text, mut number) = (Vec::new(), String::new(), 0);
        while lines.read_line(&mut text).map_err(file)? > 0 {
            number += 1;
            if !text.ends_with('\n') {
                break;
            }
            let ack = parse(&text).ok_or_else(|| AcksError::Line { path: name(), line: number })?;
            let result = ResultCode::from_number(ack.result);
            let result = result.ok_or_else(|| AcksError::Line { path: name(), line: number })?;
            if result.is_recorded() {
                acks.push(ack);
            }
            text.clear();
        }
        acks.sort_unstable();
        acks.dedup();
        Ok(Self { acks, ..Self::default() })
    }

    /// The ids, each not seen yet.
    pub(super) fn ids(&self) -> HashMap<RequestId, u32> {
        self.acks.iter().map(|ack| (ack.id, 0)).collect()
    }

    /// Leaves out what is of records up to `lsn`, which cannot be looked up; how many.
    pub(super) fn leave_out(&mut self, lsn: Lsn) -> u64 {
        let before = self.acks.len();
        self.acks.retain(|ack| ack.lsn > lsn);
        let left_out = (before - self.acks.len()) as u64;
        self.left_out += left_out;
        left_out
    }

    /// Compares the record at `lsn` with what was acknowledged for it.
    pub(super) fn check(&mut self, lsn: Lsn, record: &Record) -> Option<String> {
        let mut difference = None;
        while let Some(ack) = self.acks.get(self.next).filter(|ack| ack.lsn <= lsn) {
            self.next += 1;
            let same = ack.lsn == lsn && ack.id == record.request.id && ack.result == record.result.number();
            if !same {
                self.missing_count += 1;
                difference = Some(format!(
                    "acknowledged as record {} with result {}: {}; the log has {} with {} there",
                    ack.lsn,
                    ack.result,
                    ack.id,
                    record.request.id,
                    record.result.number()
                ));
            }
        }
        difference
    }

    /// What was not found when the log has ended, or what lies before `until` where reading was stopped.
    pub(super) fn finish(mut self, until: Option<Lsn>) -> Checked {
        let all = self.acks.len();
        self.acks.retain(|ack| until.is_none_or(|until| ack.lsn <= until));
        let left_out = self.left_out + (all - self.acks.len()) as u64;
        for ack in self.acks.iter().skip(self.next) {
            self.missing_count += 1;
            if self.missing.len() < TOLD_MAX {
                self.missing.push(format!(
                    "acknowledged as record {}, which the log does not have: {}",
                    ack.lsn, ack.id
                ));
            }
        }
        let Self { missing, missing_count, .. } = self;
        Checked { checked: self.acks.len() as u64, left_out, missing, missing_count }
    }
}

fn parse(line: &str) -> Option<Ack> {
    let mut fields = line.split_ascii_whitespace();
    let id = u128::from_str_radix(fields.next()?, 16).ok()?;
    let lsn = fields.next()?.parse().ok()?;
    let result = fields.next()?.parse().ok()?;
    fields.next().is_none().then_some(Ack { lsn: Lsn(lsn), id: RequestId(id), result })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_that_are_not_looked_up_are_counted_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acks");
        let lines: Vec<_> = (1..=10).map(|lsn| format!("{lsn:032x} {lsn} 0\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let mut acks = Acks::read(&path).unwrap();
        assert_eq!(acks.leave_out(Lsn(3)), 3);
        let checked = acks.finish(Some(Lsn(8)));
        assert_eq!((checked.checked, checked.left_out, checked.missing_count), (5, 5, 5));
    }
}
