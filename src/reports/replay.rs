//! Reads a log and keeps the books beside it, for reports that need both.
//!
//! In: the data directory, a period, somebody who looks at each record with the books before it. Out: the books at the
//! period's end. Never here: a record decided again (that is the audit), records behind the period.

use cage_engine::{Lsn, Record, State};
use cage_wal::{Limits, RecoveryError, Repair, StorageError};

use super::period::{Bound, Period};
use crate::data::DataDir;
use crate::read_ahead::{Visitor, read_ahead};
use crate::recovery::ReplayFault;
use crate::snapshots::{self, Base, Books, LoadFault};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportFault {
    /// The log cannot be read, or is damaged.
    #[error(transparent)]
    Log(#[from] RecoveryError<ReplayFault>),
    /// The snapshots cannot be used by this program.
    #[error(transparent)]
    Snapshot(#[from] LoadFault),
    /// There is no log.
    #[error("there is no log in {0}: expected a data directory with log/*.wal in it")]
    NoLog(String),
    /// The figures do not re-add to the books: a bug, or a log that no ledger wrote.
    #[error("{0}: the report does not re-add to the books; audit the log")]
    Differs(String),
    /// A record that the report needs cannot be read.
    #[error(transparent)]
    Read(#[from] cage_wal::ReadError),
    /// The log's files contradict each other.
    #[error(transparent)]
    Look(#[from] RecoveryError<cage_wal::ReadError>),
}

impl From<StorageError> for ReportFault {
    fn from(fault: StorageError) -> Self {
        Self::Log(fault.into())
    }
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With all records of the period.
    Before,
    /// With as few records as can be: only the books at the period's end are wanted.
    Late,
}

/// The books at the end of a period.
#[derive(Debug)]
pub struct Replayed {
    /// The books.
    pub state: State,
    /// The last record before those that were read; 0 = all of the log was.
    pub base_lsn: Lsn,
    /// Repairs that the part that was read has been through.
    pub repairs: Vec<Repair>,
    /// What should be told beside the report.
    pub notices: Vec<String>,
}

/// Reads the log up to the end of `period`. `look` sees each record with the books before it, also those before the
/// period; `progress` is told the bytes that are read.
///
/// # Errors
/// The log or its snapshots cannot be read.
pub fn replay(
    data: &DataDir,
    period: Period,
    begin: Begin,
    mut look: impl FnMut(&State, Lsn, &Record) + Send,
    mut progress: impl FnMut(u64),
) -> Result<Replayed, ReportFault> {
    if !data.log().is_dir() {
        return Err(ReportFault::NoLog(data.root().display().to_string()));
    }
    let (base, mut notices) = base(data, period, begin)?;
    let base_lsn = Lsn(base.state.0.next_lsn().0 - 1);
    let until = match period.until {
        Some(Bound::Lsn(until)) => Some(cage_wal::Lsn(until.0)),
        _ => None,
    };
    let limits = Limits { after: base.anchor(), until, ..Limits::default() };
    let log = data.whole_log(base.first_segment());
    let Base { state: Books(state), passed_over, .. } = base;
    let mut state = state.finish();
    notices.extend(passed_over);
    let scan = |visit: Visitor<'_>| {
        cage_wal::scan_from(&log, limits, |frame| {
            progress(frame.bytes().len() as u64);
            visit(&frame)
        })
    };
    let report = read_ahead(scan, |_, records| {
        // Times only rise: what comes behind one that is behind the period is so, too.
        let wanted = records.partition_point(|(lsn, record)| !period.is_after(*lsn, record.decided));
        records[..wanted].iter().try_for_each(|(lsn, record)| {
            look(&state, *lsn, record);
            state.apply(*lsn, record).map_err(|fault| ReplayFault::Unfit { lsn: *lsn, fault })
        })
    })?;
    Ok(Replayed { state, base_lsn, repairs: report.repairs, notices })
}

/// The newest snapshot that is old enough; the log's beginning; or, if that is gone, the oldest snapshot that the log
/// continues.
fn base(data: &DataDir, period: Period, begin: Begin) -> Result<(Base, Vec<String>), ReportFault> {
    let bound = if begin == Begin::Before { period.from } else { period.until };
    let old_enough = |base: &Base| match bound {
        None => begin == Begin::Late,
        Some(Bound::Lsn(lsn)) if begin == Begin::Before => base.state.0.next_lsn() <= lsn,
        Some(Bound::Lsn(lsn)) => base.state.0.next_lsn().0 <= lsn.0.saturating_add(1),
        Some(Bound::Time(time)) => base.state.0.clock() < time,
    };
    let dir = data.snapshots();
    let mut below = if bound.is_some() || begin == Begin::Late { u64::MAX } else { 0 };
    while below > 0 {
        let base = snapshots::load(&dir, |lsn| lsn.0 < below)?;
        let Some(facts) = base.facts else { break };
        if old_enough(&base) {
            return Ok((base, Vec::new()));
        }
        below = facts.anchor.lsn.0;
    }
    let first = data.whole_log(1).first_segment()?.unwrap_or(1);
    if first == 1 {
        return Ok((Base::empty(), Vec::new()));
    }
    for lsn in cage_wal::snapshot::list(&dir)?.into_iter().rev() {
        let base = snapshots::load(&dir, |other| other == lsn)?;
        if base.facts.is_some() && base.first_segment() >= first {
            let notice = format!("the log's beginning is not here: nothing up to record {lsn} is told");
            return Ok((base, vec![notice]));
        }
    }
    let expected = format!(
        "{}, whose log begins with segment {first:#x}, and no snapshot before it",
        data.root().display()
    );
    Err(ReportFault::NoLog(expected))
}
