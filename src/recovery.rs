//! From a folder of segments to a ledger that goes on where it stopped.
//!
//! In: the log's folder. Out: the state after its last record, and the log, open for the next. Never here: a
//! decision; records are applied as they were decided.

use std::path::Path;

use cage_engine::{ApplyFault, Lsn, Record, State, record};
use cage_wal::storage::Directory;
use cage_wal::storage::faulty::{FaultPlan, Faulty, Strike};
use cage_wal::{FrameView, Limits, LogOptions, RecordTraits, Recovered, RecoveryError, recover_from};

use crate::limits::{BATCH_ITEMS_MAX, RECORDS_PER_ITEM_MAX, TOUCH_ITEMS};

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

/// Hands over the records of a frame, some at a time: so many as are worth reading memory for at once.
///
/// # Errors
/// [`ReplayFault`] for the first that cannot be read, or what `take` says.
pub fn for_each(
    frame: &FrameView<'_>,
    mut take: impl FnMut(&[(Lsn, Record)]) -> Result<(), ReplayFault>,
) -> Result<(), ReplayFault> {
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
        take(&some)?;
    }
}

/// Applies all records of a frame.
///
/// # Errors
/// [`ReplayFault`] for the first that cannot be read or applied.
pub fn replay(state: &mut State, frame: &FrameView<'_>) -> Result<(), ReplayFault> {
    for_each(frame, |some| {
        state.touch(some.iter().map(|(_, record)| &record.request));
        some.iter().try_for_each(|(lsn, record)| {
            state.apply(*lsn, record).map_err(|fault| ReplayFault::Unfit { lsn: *lsn, fault })
        })
    })
}

/// Verifies the log in `dir`, which is made unless it is there, and replays it. With a plan of faults the log goes
/// wrong when the plan says so: for drills.
///
/// # Errors
/// What is wrong with the log, and where.
pub fn recover(
    dir: &Path,
    faults: Option<FaultPlan>,
) -> Result<(State, Recovered), RecoveryError<ReplayFault>> {
    let mut state = State::new(rand::random());
    let directory = Directory::create(dir)?;
    let visit = |frame: FrameView<'_>| replay(&mut state, &frame);
    let recovered = match faults {
        None => recover_from(directory, Limits::default(), visit)?,
        Some(plan) => {
            let tell = |strike: &Strike| tracing::warn!(%strike, "a fault, as the plan says");
            recover_from(Faulty::new(directory, plan, tell), Limits::default(), visit)?
        }
    };
    Ok((state, recovered))
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
