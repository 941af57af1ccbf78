//! From a data directory to a ledger that goes on where it stopped.
//!
//! In: snapshots, the log's folder, the archive. Out: the state after the log's last record, and the log, open for the
//! next. Never here: a decision; records are applied as they were decided.

use cage_engine::{ApplyFault, Lsn, Record, Replay, State, record};
use cage_wal::snapshot::SnapshotFacts;
use cage_wal::storage::Directory;
use cage_wal::storage::faulty::{FaultPlan, Faulty, Strike};
use cage_wal::{
    FrameView, Limits, LogOptions, RecordTraits, Recovered, RecoveryError, StorageError, recover_from,
};

use crate::data::DataDir;
use crate::limits::{BATCH_ITEMS_MAX, RECORDS_PER_ITEM_MAX, TOUCH_ITEMS};
use crate::read_ahead::{Visitor, read_ahead};
use crate::snapshots::{self, Base, Books, LoadFault};

/// What the log has to know of a record.
pub const RECORDS: RecordTraits = RecordTraits { linked: record::is_linked, time_ns: record::decided_nanos };

/// Why a record cannot be replayed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum ReplayFault {
    /// The bytes are no record.
    #[error("record {lsn} has no valid {field}")]
    Unreadable {
        /// Which record.
        lsn: Lsn,
        /// Which field gives it away.
        field: &'static str,
    },
    /// The record does not fit the books.
    #[error("record {lsn} cannot be applied: {fault}")]
    Unfit {
        /// Which record.
        lsn: Lsn,
        /// Why.
        fault: ApplyFault,
    },
    /// The frame was decided by rules that this build does not have.
    #[error("record {lsn} was decided by rules {found}, this build knows up to {known}: use a newer one")]
    NewerRules {
        /// Which record.
        lsn: Lsn,
        /// The frame's rules.
        found: u32,
        /// This build's.
        known: u32,
    },
}

impl ReplayFault {
    /// The record that it is about.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        match self {
            Self::Unreadable { lsn, .. } | Self::Unfit { lsn, .. } | Self::NewerRules { lsn, .. } => *lsn,
        }
    }
}

/// The records of a frame, each with its position.
///
/// # Errors
/// [`ReplayFault`] for the first that cannot be read.
pub fn records<'a>(
    frame: &FrameView<'a>,
) -> Result<impl Iterator<Item = (Lsn, Result<Record, ReplayFault>)> + use<'a>, ReplayFault> {
    let first = frame.first_lsn.0;
    let known = cage_engine::RULES_VERSION;
    if frame.rules_version > known {
        return Err(ReplayFault::NewerRules { lsn: Lsn(first), found: frame.rules_version, known });
    }
    Ok(frame.records().zip(first..).map(|(bytes, lsn)| {
        let lsn = Lsn(lsn);
        let record =
            Record::from_bytes(bytes).map_err(|fault| ReplayFault::Unreadable { lsn, field: fault.0 });
        (lsn, record)
    }))
}

/// Applies all records of a frame.
///
/// # Errors
/// [`ReplayFault`] for the first that cannot be read or applied.
pub fn replay(state: &mut Replay, frame: &FrameView<'_>) -> Result<(), ReplayFault> {
    let mut records = records(frame)?;
    let mut some = Vec::with_capacity(TOUCH_ITEMS);
    loop {
        some.clear();
        for (lsn, record) in records.by_ref().take(TOUCH_ITEMS) {
            some.push((lsn, record?));
        }
        if some.is_empty() {
            return Ok(());
        }
        apply_all(state, &some)?;
    }
}

/// Applies records one after the other; memory is read for some of them at once.
///
/// # Errors
/// [`ReplayFault`] for the first that does not fit.
pub fn apply_all(state: &mut Replay, records: &[(Lsn, Record)]) -> Result<(), ReplayFault> {
    records.chunks(TOUCH_ITEMS).try_for_each(|some| {
        state.touch(some.iter().map(|(_, record)| &record.request));
        some.iter().try_for_each(|(lsn, record)| {
            state.apply(*lsn, record).map_err(|fault| ReplayFault::Unfit { lsn: *lsn, fault })
        })
    })
}

/// A ledger that goes on where it stopped.
#[derive(Debug)]
pub struct Recovery {
    /// The state after the log's last record.
    pub state: State,
    /// The log, to be opened.
    pub log: Recovered,
    /// The snapshot that it was built on; none = the log was replayed from its first record.
    pub snapshot: Option<SnapshotFacts>,
    /// Newer snapshots that are not good, and why.
    pub passed_over: Vec<String>,
}

/// Why a ledger cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RecoverFault {
    /// Its snapshots cannot be used by this program.
    #[error(transparent)]
    Snapshot(#[from] LoadFault),
    /// Its log is damaged, or cannot be read.
    #[error(transparent)]
    Log(#[from] RecoveryError<ReplayFault>),
}

impl From<StorageError> for RecoverFault {
    fn from(error: StorageError) -> Self {
        Self::Log(error.into())
    }
}

/// Says that a call was struck.
pub(crate) fn tell_fault(strike: &Strike) {
    tracing::warn!(%strike, "a fault, as the plan says");
}

/// Loads the newest good snapshot of `data`, verifies the log after it and replays that. The log's folder is made unless
/// it is there. With a plan of faults the log goes wrong when the plan says so: for drills.
///
/// # Errors
/// What is wrong with the snapshots or the log, and where.
pub fn recover(data: &DataDir, faults: Option<FaultPlan>) -> Result<Recovery, RecoverFault> {
    recover_telling(data, faults, |_| {})
}

/// [`recover`], and `progress` is told the bytes of each frame.
///
/// # Errors
/// As [`recover`].
pub fn recover_telling(
    data: &DataDir,
    faults: Option<FaultPlan>,
    progress: impl FnMut(u64),
) -> Result<Recovery, RecoverFault> {
    let base = snapshots::load(&data.snapshots(), |_| true)?;
    Directory::create(&data.log())?;
    Ok(recover_after(data, base, faults, progress)?)
}

/// [`recover_telling`], of the log that goes on after a snapshot.
///
/// # Errors
/// What is wrong with the log, and where.
pub fn recover_after(
    data: &DataDir,
    base: Base,
    faults: Option<FaultPlan>,
    mut progress: impl FnMut(u64),
) -> Result<Recovery, RecoveryError<ReplayFault>> {
    let limits = base.anchor().map_or_else(Limits::default, Limits::after);
    let storage = data.whole_log(base.first_segment());
    let Base { state: Books(mut state), facts: snapshot, passed_over } = base;
    let scan = |visit: Visitor<'_>| {
        let told = |frame: FrameView<'_>| {
            progress(frame.bytes().len() as u64);
            visit(&frame)
        };
        match faults {
            None => recover_from(storage, limits, told),
            Some(plan) => recover_from(Faulty::new(storage, plan, tell_fault), limits, told),
        }
    };
    let log = read_ahead(scan, |_, records| apply_all(&mut state, records))?;
    Ok(Recovery { state: state.finish(), log, snapshot, passed_over })
}

const _: () = assert!(
    BATCH_ITEMS_MAX * RECORDS_PER_ITEM_MAX <= log_options().ring_records,
    "an empty log has room for any batch, or a full one would wait for ever"
);

/// Options of a log that continues under this build's rules.
#[must_use]
pub const fn log_options() -> LogOptions {
    LogOptions::new(cage_engine::RULES_VERSION, RECORDS)
}
