//! A log as it was before it was damaged, and what must be found in it afterwards.
//!
//! In: a whole log, then the same with some bytes changed. Out: whether recovery's answer is one of those that are
//! allowed. Never here: the log's own decoding; what stands in headers and slots is read by the layout of
//! `docs/wal-format.md`.
//!
//! Allowed is: a refusal that names the place, or a prefix of what was appended. The prefix has to hold every record
//! that an untouched witness vouches for (a control slot, the header of a later frame or segment) and every frame before
//! the first byte that changed.

use std::{collections::BTreeMap, convert::Infallible, ops::Range, sync::Arc};

use cage_wal::{
    Corruption, Limits, PAGE_BYTES, RECORD_BYTES, Record, RecoveryError, TornTail, recover_from, scan_from,
    storage::sim::SimDisk,
};

use crate::{records::is_linked, tally::Verdict};

/// The bytes of all files by name.
pub type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// The name of the control file.
pub const CONTROL: &str = "control";
/// The bytes of a frame's header, and of what a control slot says.
const HEADER_BYTES: usize = 256;

/// Where a frame lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its segment's file.
    pub file: String,
    /// Its bytes in the file.
    pub bytes: Range<usize>,
    /// Its first record.
    pub first: u64,
    /// Its last record.
    pub last: u64,
}

/// Bytes that could only have been written when everything up to a record was durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// In which file.
    pub file: String,
    /// Its bytes in the file.
    pub bytes: Range<usize>,
    /// The record.
    pub lsn: u64,
}

/// A log as it was written.
#[derive(Clone, Debug)]
pub struct Truth {
    /// All its files.
    pub files: Files,
    /// All its records.
    pub records: Vec<Record>,
    /// All its frames.
    pub frames: Vec<Frame>,
    /// All its witnesses.
    pub witnesses: Vec<Witness>,
    /// Whether it was closed in order.
    pub closed: bool,
    /// The segments in use.
    pub used: Vec<String>,
}

/// What recovery said.
#[derive(Debug)]
pub enum Answer {
    /// It refused.
    Refused(Box<Corruption>),
    /// It refused because the format is newer than it can read.
    Newer {
        /// The file that says so.
        file: String,
    },
    /// So many records, all of them as they were appended.
    Recovered {
        /// How many.
        records: u64,
        /// What was cut.
        torn: Option<TornTail>,
    },
}

impl Truth {
    /// Of a log that is whole, torn tails of earlier lives aside.
    ///
    /// # Panics
    /// If the log is refused.
    #[must_use]
    pub fn of(disk: &SimDisk) -> Self {
        let files = disk.files();
        let (mut records, mut frames, mut witnesses) = (Vec::new(), Vec::new(), Vec::new());
        let report = scan_from(disk, Limits::default(), |frame| {
            records.extend(frame.records().copied());
            let (file, begin) =
                (format!("{:016x}.wal", frame.position.segment), frame.position.offset as usize);
            let (first, last) = (frame.first_lsn.0, frame.last_lsn.0);
            frames.push(Frame { file: file.clone(), bytes: begin..begin + frame.bytes().len(), first, last });
            witnesses.push(Witness { file, bytes: begin..begin + HEADER_BYTES, lsn: frame.durable_lsn.0 });
            Ok::<_, Infallible>(())
        });
        let report = report.unwrap_or_else(|error| panic!("the log is whole: {error}"));
        let used: Vec<String> = files
            .iter()
            .filter(|(_, bytes)| bytes.starts_with(b"CWSG"))
            .map(|(name, _)| name.clone())
            .collect();
        for file in &used {
            let lsn = number(&files[file], 40) - 1;
            witnesses.push(Witness { file: file.clone(), bytes: 0..PAGE_BYTES, lsn });
        }
        for at in [0, PAGE_BYTES].into_iter().filter(|at| files[CONTROL][*at..].starts_with(b"CWCT")) {
            let lsn = number(&files[CONTROL], at + 40);
            witnesses.push(Witness { file: CONTROL.to_owned(), bytes: at..at + PAGE_BYTES, lsn });
        }
        let closed = report.control.is_some_and(|control| control.clean);
        Self { files, records, frames, witnesses, closed, used }
    }

    /// The frame that a byte belongs to.
    #[must_use]
    pub fn frame_at(&self, file: &str, at: usize) -> Option<&Frame> {
        self.frames.iter().find(|frame| frame.file == file && frame.bytes.contains(&at))
    }

    /// Whether a witness is the header of a frame.
    #[must_use]
    pub fn is_frame(&self, witness: &Witness) -> bool {
        self.frame_at(&witness.file, witness.bytes.start).is_some()
    }

    /// The last record that a witness vouches for whose bytes did not change.
    #[must_use]
    pub fn vouched(&self, damaged: &Files) -> u64 {
        let untouched = |witness: &&Witness| {
            self.counts(damaged, &witness.file) && self.same(damaged, &witness.file, &witness.bytes)
        };
        self.witnesses.iter().filter(untouched).map(|witness| witness.lsn).max().unwrap_or(0)
    }

    /// The last record of the frames before the first one that changed.
    #[must_use]
    pub fn intact(&self, damaged: &Files) -> u64 {
        let whole = |frame: &&Frame| {
            self.counts(damaged, &frame.file) && self.same(damaged, &frame.file, &frame.bytes)
        };
        self.frames.iter().take_while(whole).last().map_or(0, |frame| frame.last)
    }

    /// Frames count under the header of their segment. If that is another one, the control file tells; if that is damaged
    /// too, nothing tells them from what an older process has left behind.
    fn counts(&self, damaged: &Files, file: &str) -> bool {
        damaged.get(CONTROL) == self.files.get(CONTROL) || self.same(damaged, file, &(0..PAGE_BYTES))
    }

    fn same(&self, damaged: &Files, file: &str, bytes: &Range<usize>) -> bool {
        damaged.get(file).and_then(|found| found.get(bytes.clone())) == Some(&self.files[file][bytes.clone()])
    }

    /// Recovers a damaged log.
    ///
    /// # Errors
    /// A record is wrong, or recovery fails for a reason that is none.
    pub fn recover(&self, damaged: &SimDisk) -> Result<Answer, String> {
        let mut count = 0;
        let mut wrong = None;
        let mut linked = false;
        let recovered = recover_from(damaged.clone(), Limits::default(), |frame| {
            for record in frame.records() {
                if self.records.get(count) != Some(record) {
                    wrong.get_or_insert(count + 1);
                }
                linked = is_linked(record);
                count += 1;
            }
            Ok::<_, Infallible>(())
        });
        if let Some(lsn) = wrong {
            return Err(format!("record {lsn} is wrong"));
        }
        match recovered {
            Err(RecoveryError::Corruption(corruption)) => Ok(Answer::Refused(corruption)),
            Err(RecoveryError::NewerFormat { file, .. }) => Ok(Answer::Newer { file }),
            Err(other) => Err(format!("an answer of another kind: {other}")),
            Ok(_) if linked => Err("a run was cut in two".to_owned()),
            Ok(recovered) if recovered.report().next_lsn.0 != count as u64 + 1 => {
                Err(format!("{count} records, and the next one is {}", recovered.report().next_lsn))
            }
            Ok(recovered) => {
                Ok(Answer::Recovered { records: count as u64, torn: recovered.report().torn_tail.clone() })
            }
        }
    }

    /// Recovers a damaged log and looks whether the answer is allowed.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn judge(&self, damaged: &Files, disk: &SimDisk) -> Result<Verdict, String> {
        let (records, torn) = match self.recover(disk)? {
            Answer::Refused(corruption) => return self.place(damaged, &corruption),
            Answer::Newer { file } if damaged.contains_key(&file) => return Ok(Verdict::Refused),
            Answer::Newer { file } => return Err(format!("{file} is named, and does not exist")),
            Answer::Recovered { records, torn } => (records, torn),
        };
        let due = self.vouched(damaged).max(self.intact(damaged));
        if records < due {
            return Err(format!("{due} records were durable, {records} are left; cut: {torn:?}"));
        }
        let control_is_whole = damaged.get(CONTROL) == self.files.get(CONTROL);
        if self.closed && control_is_whole && !self.lacks_only_spares(damaged) {
            return Err("the log was closed in order, and a change of it went unnoticed".to_owned());
        }
        Ok(Verdict::Recovered)
    }

    /// Whether nothing changed, but that segments are gone which nobody had used.
    fn lacks_only_spares(&self, damaged: &Files) -> bool {
        let spare = |name: &str| name != CONTROL && !self.used.iter().any(|used| used == name);
        let same = |(name, bytes): (&String, &Arc<Vec<u8>>)| match damaged.get(name) {
            Some(found) => found == bytes,
            None => spare(name),
        };
        self.files.iter().all(same) && damaged.keys().all(|name| self.files.contains_key(name))
    }

    /// A refusal names a file of the log (or the one that is missing) and a place in it.
    fn place(&self, damaged: &Files, corruption: &Corruption) -> Result<Verdict, String> {
        let named = self.files.contains_key(&corruption.file) || damaged.contains_key(&corruption.file);
        let length = [&self.files, damaged]
            .iter()
            .filter_map(|files| files.get(&corruption.file))
            .map(|bytes| bytes.len() as u64)
            .max();
        if !named
            && corruption.damage != cage_wal::Damage::MissingSegment
            && corruption.damage != cage_wal::Damage::SegmentHeader
        {
            return Err(format!("the refusal names no file of the log: {corruption}"));
        }
        if length.is_some_and(|length| corruption.position.offset > length) {
            return Err(format!("the refusal names a place that does not exist: {corruption}"));
        }
        Ok(Verdict::Refused)
    }
}

/// A little-endian number of eight bytes.
#[must_use]
pub fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// A disk that holds these files.
#[must_use]
pub fn disk(files: &Files) -> SimDisk {
    SimDisk::of_files(files.iter().map(|(name, bytes)| (name.as_str(), Arc::clone(bytes))))
}

const _: () = assert!(HEADER_BYTES == RECORD_BYTES);
