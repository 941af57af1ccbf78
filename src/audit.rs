//! Decides every record of a log again and compares; checks what others hold against the log.
//!
//! In: the log with its archive, and what somebody was told (acknowledgements, a chain head). Out: a report with every
//! difference found. Never here: a write, a lock, trust in anything but the bytes of the log; only if its beginning is
//! not there, the oldest snapshot that it continues stands for that, and the report says so.

use std::collections::HashMap;

use cage_engine::{Lsn, Operation, Record, RequestId, State};
use cage_wal::snapshot::{SnapshotFacts, list};
use cage_wal::{Limits, RecoveryError, Repair, ScanReport, StorageError};

use crate::cli::hex;
use crate::data::DataDir;
use crate::limits::TOUCH_ITEMS;
use crate::read_ahead::{FrameFacts, Visitor, read_ahead};
use crate::recovery::ReplayFault;
use crate::snapshots::{self, Base, LoadFault};

mod acks;
mod again;
mod vouched;

pub use acks::{Acks, AcksError};
pub use vouched::Vouched;

/// What to compare the log with.
#[derive(Debug, Default)]
pub struct AuditOptions {
    /// Stop after this record.
    pub until: Option<Lsn>,
    /// A chain head that somebody kept: the record that ends its frame, and the hash.
    pub head: Option<(Lsn, [u8; 32])>,
    /// Acknowledgements that somebody wrote down.
    pub acks: Option<Acks>,
    /// Checkpoints that a witness has kept.
    pub witness: Option<Vouched>,
    /// Losses that repairs have recorded and that are accounted for, as they are spelled: `FROM-UNTIL`.
    pub repaired: Vec<String>,
}

/// What an audit found.
#[derive(Debug)]
pub struct AuditReport {
    /// Records decided again.
    pub records: u64,
    /// Frames read.
    pub frames: u64,
    /// The snapshot that stood for the log's beginning; 0 = the log was audited from its first record.
    pub snapshot_lsn: Lsn,
    /// The first record; 0 = there is none.
    pub first_lsn: Lsn,
    /// The last record; 0 = there is none.
    pub last_lsn: Lsn,
    /// The digest of the state after the last record.
    pub digest: [u8; 32],
    /// Whether all accounts of each asset add up to zero, recomputed account by account.
    pub conserved: bool,
    /// Bytes after the last frame that no acknowledgement can stand for: no difference.
    pub torn_tail: Option<String>,
    /// What is damaged without being part of the log: a slot of the control file, the header of a segment that was
    /// never used. A crash can leave it so; after an orderly stop it is a difference instead. Also: what could not be
    /// decided again because reading was stopped in the middle of it.
    pub notices: Vec<String>,
    /// Whether acknowledgements were given to compare.
    pub acks_given: bool,
    /// Acknowledgements compared.
    pub acks_checked: u64,
    /// Acknowledgements of records that were not read: before a snapshot that stands for them, or after the last one.
    pub acks_not_checked: u64,
    /// Of these, how many the log does not have with the same result.
    pub acks_missing: u64,
    /// Of these, how many stand in the log more than once.
    pub acks_doubled: u64,
    /// Whether checkpoints were given to compare.
    pub witness_given: bool,
    /// Checkpoints compared.
    pub checkpoints_checked: u64,
    /// How much of what was signed is not so in the log.
    pub checkpoints_bad: u64,
    /// What differs, the first few in words.
    pub differences: Vec<String>,
    /// How many differ.
    pub difference_count: u64,
}

impl AuditReport {
    /// Whether nothing differs.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.difference_count == 0 && self.conserved
    }
}

/// Why a log cannot be audited at all.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The operating system refuses, or the log is of a newer version.
    #[error("{0}")]
    Unreadable(RecoveryError<ReplayFault>),
    /// The log's beginning is not there, and no snapshot stands for it.
    #[error(
        "the log begins with segment {first:#x}, and no good snapshot ends before it: \
         name the archive that holds its beginning"
    )]
    NoBeginning {
        /// The first segment that is there.
        first: u64,
    },
    /// The snapshots cannot be used by this program.
    #[error(transparent)]
    Snapshot(#[from] LoadFault),
    /// There is no log.
    #[error("there is no log in {0}: expected a data directory with log/*.wal in it")]
    NoLog(String),
}

/// Differences told in words. More are counted.
const DIFFERENCES_TOLD_MAX: usize = 20;

/// Audits the log of `data`; `progress` is told the bytes of each frame.
///
/// # Errors
/// [`AuditError`] if the log cannot be read. Damage is no error but a difference.
pub fn audit(
    data: &DataDir,
    options: AuditOptions,
    mut progress: impl FnMut(u64),
) -> Result<AuditReport, AuditError> {
    let base = base(data)?;
    let log = data.whole_log(base.first_segment());
    let until = options.until.map(|lsn| cage_wal::Lsn(lsn.0));
    let limits = Limits { until, after: base.anchor(), ..Limits::default() };
    let mut auditor = Auditor::new(options, base);
    if let Some(missing) = data.missing_in_archive().map_err(|fault| AuditError::Unreadable(fault.into()))? {
        auditor.differs(format!(
            "segment {missing:#x} is missing, in the log and in the archive, and one before it is archived"
        ));
    }
    let scan = |visit: Visitor<'_>| {
        cage_wal::scan_from(&log, limits, |frame| {
            progress(frame.bytes().len() as u64);
            visit(&frame)
        })
    };
    let scanned = read_ahead(scan, |frame, records| auditor.frame(frame, records));
    match scanned {
        Ok(report) if report.segments == 0 => Err(AuditError::NoLog(data.log().display().to_string())),
        Ok(report) => Ok(auditor.finish(Some(&report))),
        Err(RecoveryError::Corruption(damage)) => {
            auditor.differs(damage.to_string());
            Ok(auditor.finish(None))
        }
        Err(RecoveryError::Visit { source, .. }) => {
            auditor.differs(source.to_string());
            Ok(auditor.finish(None))
        }
        Err(error) => Err(AuditError::Unreadable(error)),
    }
}

/// Where an audit begins: with the log, or, if its beginning is not there, with the oldest snapshot that it continues.
fn base(data: &DataDir) -> Result<Base, AuditError> {
    let unreadable = |fault: StorageError| AuditError::Unreadable(fault.into());
    let first = data.whole_log(1).first_segment().map_err(unreadable)?;
    let Some(first) = first.filter(|first| *first > 1) else { return Ok(Base::empty()) };
    let dir = data.snapshots();
    for lsn in list(&dir).map_err(unreadable)?.into_iter().rev() {
        let base = snapshots::load(&dir, |other| other == lsn)?;
        if base.facts.is_some() && base.first_segment() >= first {
            return Ok(base);
        }
    }
    Err(AuditError::NoBeginning { first })
}

struct Auditor {
    state: State,
    snapshot_lsn: Lsn,
    until: Option<Lsn>,
    head: Option<(Lsn, [u8; 32])>,
    acks: Option<Acks>,
    witness: Option<Vouched>,
    repaired: Vec<String>,
    seen: HashMap<RequestId, u32>,
    notices: Vec<String>,
    frames: u64,
    records: u64,
    differences: Vec<String>,
    difference_count: u64,
}

impl Auditor {
    fn new(options: AuditOptions, base: Base) -> Self {
        let AuditOptions { until, head, acks, witness, repaired } = options;
        let seen = acks.as_ref().map(Acks::ids).unwrap_or_default();
        let mut auditor = Self {
            snapshot_lsn: Lsn(base.state.0.next_lsn().0 - 1),
            state: base.state.0.finish(),
            until,
            head,
            acks,
            witness,
            repaired,
            seen,
            notices: Vec::new(),
            frames: 0,
            records: 0,
            differences: Vec::new(),
            difference_count: 0,
        };
        if let Some(facts) = base.facts {
            auditor.begin_with(&facts);
        }
        auditor
    }

    /// What a snapshot stands for was not decided again.
    fn begin_with(&mut self, facts: &SnapshotFacts) {
        let lsn = self.snapshot_lsn;
        self.notices.push(format!(
            "the log's beginning is not here: the snapshot at {lsn} stands for all records up to there"
        ));
        if self.state.digest() != facts.digest {
            self.differs(format!("the snapshot at {lsn} holds another state than its digest says"));
        }
        let before = self.acks.as_mut().map_or(0, |acks| acks.leave_out(lsn));
        if before > 0 {
            self.notices.push(format!("{before} acknowledgements are of records up to {lsn}: not looked up"));
        }
        let unsigned = self.witness.as_mut().map_or(0, |witness| witness.leave_out(lsn));
        if unsigned > 0 {
            self.notices.push(format!("{unsigned} checkpoints begin before {lsn}: not compared"));
        }
        if let Some((head, _)) = self.head.take_if(|(head, _)| *head < lsn) {
            self.differs(format!("the chain head at {head} lies before the snapshot and cannot be compared"));
        }
        if let Some((_, head)) = self.head.take_if(|(head, _)| *head == lsn)
            && head != *facts.anchor.chain.as_bytes()
        {
            self.differs(format!("the chain head at {lsn} is not the one that was kept"));
        }
    }

    fn differs(&mut self, what: String) {
        self.difference_count += 1;
        if self.differences.len() < DIFFERENCES_TOLD_MAX {
            self.differences.push(what);
        }
    }

    fn frame(&mut self, frame: &FrameFacts, records: &[(Lsn, Record)]) -> Result<(), ReplayFault> {
        self.frames += 1;
        let wanted = records.partition_point(|(lsn, _)| self.until.is_none_or(|until| *lsn <= until));
        let (mut done, mut touched) = (0, 0);
        for run in records[..wanted].chunk_by(|(_, record), _| record.linked) {
            if done >= touched {
                touched = done + TOUCH_ITEMS;
                let soon = &records[done..touched.min(records.len())];
                self.state.touch(soon.iter().map(|(_, record)| &record.request));
            }
            self.run(run)?;
            done += run.len();
        }
        if let Some(witness) = &mut self.witness {
            // A snapshot's state ends with a frame. It is worked out again here: the log itself does not hold its digest.
            let end = frame.last_lsn;
            if witness.wants_digest(end) && self.state.next_lsn() == end.next() {
                witness.digest(end, self.state.digest());
            }
            witness.frame(frame);
        }
        if let Some((_, head)) = self.head.take_if(|(lsn, _)| *lsn == frame.last_lsn)
            && head != *frame.chain.as_bytes()
        {
            self.differs(format!(
                "the chain head at {} is {}, not the one that was kept",
                frame.last_lsn, frame.chain
            ));
        }
        Ok(())
    }

    /// Takes records that belong together.
    fn run(&mut self, run: &[(Lsn, Record)]) -> Result<(), ReplayFault> {
        run.iter().for_each(|(lsn, record)| self.compare_with_others(*lsn, record));
        if run.last().is_some_and(|(_, record)| record.linked) {
            self.unfinished(run);
        } else {
            for difference in again::differences(&mut self.state, run) {
                self.differs(difference);
            }
        }
        run.iter().try_for_each(|(lsn, record)| {
            self.state.apply(*lsn, record).map_err(|fault| ReplayFault::Unfit { lsn: *lsn, fault })
        })
    }

    /// What others hold of a record: an acknowledgement, a signed digest.
    fn compare_with_others(&mut self, lsn: Lsn, record: &Record) {
        self.records += 1;
        if let Some(difference) = self.acks.as_mut().and_then(|acks| acks.check(lsn, record)) {
            self.differs(difference);
        }
        if let Some(count) = self.seen.get_mut(&record.request.id)
            && record.result.is_executed()
        {
            *count += 1;
        }
        if let Some(witness) = &mut self.witness
            && let Ok(Operation::StateDigest { digest }) = Operation::try_from(&record.request)
        {
            witness.digest(Lsn(lsn.0 - 1), digest);
        }
    }

    /// A run never leaves its frame. One without its end was cut off where reading stops, or was not written by a ledger;
    /// it is applied like the rest and cannot be decided again.
    fn unfinished(&mut self, run: &[(Lsn, Record)]) {
        let Some(((first, _), (last, _))) = run.first().zip(run.last()) else { return };
        let what = format!("the last {} records, from {first} on, are part of a longer run", run.len());
        if self.until == Some(*last) {
            self.notices.push(format!("{what}: they were not decided again"));
        } else {
            self.differs(format!("{what}, whose end is missing"));
        }
    }

    /// A repair that gave up records is a difference until somebody says that it is accounted for.
    fn repair(&mut self, repair: &Repair) {
        let loss = repair.loss();
        if !repair.lost_any() {
            return self
                .notices
                .push(format!("segment {:#x} was begun by a repair that lost nothing", repair.segment));
        }
        let what = format!(
            "a repair gave up the records {loss}, at the beginning of segment {:#x} (report {})",
            repair.segment,
            hex(&repair.report)
        );
        if self.repaired.contains(&loss) {
            self.notices.push(what);
        } else {
            self.differs(format!("{what}: --repaired {loss} says that it is accounted for"));
        }
    }

    fn finish(mut self, scanned: Option<&ScanReport>) -> AuditReport {
        if let Some((lsn, _)) = self.head {
            self.differs(format!("no frame of the log ends at {lsn}, where a chain head was kept"));
        }
        let until = self.until;
        let acks_given = self.acks.is_some();
        let acks = self.acks.take().map(|acks| acks.finish(until)).unwrap_or_default();
        for what in acks.missing {
            self.differs(what);
        }
        let doubled = self.seen.values().filter(|count| **count > 1).count() as u64;
        if doubled > 0 {
            self.differs(format!("{doubled} acknowledged requests stand in the log more than once"));
        }
        let last = Lsn(self.state.next_lsn().0 - 1);
        let witness_given = self.witness.is_some();
        let vouched = self.witness.take().map(|witness| witness.finish(last, until)).unwrap_or_default();
        for what in vouched.differences {
            self.differs(what);
        }
        self.notices.extend(vouched.notices);
        let conserved = self.state.asset_ids().all(|asset| self.state.recomputed_sum(asset).0 == 0);
        for repair in scanned.map(|report| report.repairs.as_slice()).unwrap_or_default() {
            self.repair(repair);
        }
        self.notices.extend(scanned.map(notices).unwrap_or_default());
        AuditReport {
            records: self.records,
            frames: self.frames,
            snapshot_lsn: self.snapshot_lsn,
            first_lsn: if self.records == 0 { Lsn::NONE } else { self.snapshot_lsn.next() },
            last_lsn: last,
            digest: self.state.digest(),
            conserved,
            torn_tail: scanned.and_then(|report| report.torn_tail.as_ref()).map(|tail| tail.reason.clone()),
            notices: self.notices,
            acks_given,
            acks_checked: acks.checked,
            acks_not_checked: acks.left_out,
            acks_missing: acks.missing_count,
            acks_doubled: doubled,
            witness_given,
            checkpoints_checked: vouched.checked,
            checkpoints_bad: vouched.bad,
            differences: self.differences,
            difference_count: self.difference_count,
        }
    }
}

fn notices(scanned: &ScanReport) -> Vec<String> {
    let mut notices = Vec::new();
    if scanned.control.as_ref().is_none_or(|control| !control.other_slot_valid) {
        notices.push("a slot of the control file is damaged or was never written".to_owned());
    }
    if let Some(segment) = scanned.torn_segment_header {
        notices.push(format!("the header of segment {segment}, which holds no records, is damaged"));
    }
    notices
}
