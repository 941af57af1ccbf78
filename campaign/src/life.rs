//! One life of a log on a simulated disk: opened, worked with, ended or cut off.
//!
//! In: a disk, what is known to be on it, options. Out: what was appended, what was acknowledged by when, and the log
//! as it is found after a loss of power at any moment. Never here: the log's own opinion of what it promised.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cage_wal::{
    Callbacks, Epoch, Identity, Limits, LogId, LogOptions, Lsn, OpenError, Record, RecoveryError,
    SEGMENT_BYTES_MIN, Writer, recover_from, scan_from,
    storage::{Storage, sim::SimDisk},
};

use crate::records::{Random, TRAITS, is_linked, run};

/// The log of all campaigns.
pub const LOG: LogId = LogId(0xC0FFEE);
const RULES_VERSION: u32 = 7;

/// The smallest segments, so that every life crosses several; the control file written as often as can be.
#[must_use]
pub fn options() -> LogOptions {
    LogOptions {
        segment_bytes: SEGMENT_BYTES_MIN,
        ring_records: 2048,
        control_interval: Duration::from_micros(200),
        ..LogOptions::new(RULES_VERSION, TRAITS)
    }
}

/// The control file written only when the log is opened and closed, so that it says the same each time.
#[must_use]
pub fn quiet_options() -> LogOptions {
    LogOptions { control_interval: Duration::from_secs(3600), ..options() }
}

/// An identity with this epoch.
#[must_use]
pub const fn identity(epoch: u64) -> Identity {
    Identity { epoch: Epoch(epoch), new_log: LOG }
}

/// What was acknowledged by when: counts of the disk's events, and durable LSNs.
type Acknowledged = Arc<Mutex<Vec<(usize, u64)>>>;

/// One life of a log, and everything that was appended to it in this life and before.
#[derive(Debug)]
pub struct Life {
    /// What it is written on.
    pub disk: SimDisk,
    /// All records, of earlier lives too.
    pub appended: Vec<Record>,
    acknowledged: Acknowledged,
    /// Found when this life began.
    pub recovered: u64,
    /// Promised before this life began.
    pub owed: u64,
}

/// Reads the records of a log without writing to it.
///
/// # Errors
/// Why the log is refused.
pub fn read(storage: &dyn Storage) -> Result<Vec<Record>, RecoveryError<Infallible>> {
    let mut records = Vec::new();
    let report = scan_from(storage, Limits::default(), |frame| {
        records.extend(frame.records().copied());
        Ok(())
    })?;
    assert_eq!(report.next_lsn, Lsn(records.len() as u64 + 1), "every record has its number");
    Ok(records)
}

impl Life {
    /// Recovers what is on the disk, which has to be `known`, and opens the log.
    ///
    /// # Errors
    /// The log cannot be opened; the life is over before it began.
    ///
    /// # Panics
    /// If the log is refused, or is not what is known.
    pub fn try_open(
        disk: SimDisk,
        known: Vec<Record>,
        options: LogOptions,
        epoch: u64,
    ) -> Result<(Self, Writer), (Self, OpenError)> {
        Self::try_open_over(disk.clone(), disk, known, options, epoch)
    }

    /// The same for a log of which only a part lies in the disk's own folder; `storage` has all of it.
    ///
    /// # Errors
    /// As [`Self::try_open`].
    ///
    /// # Panics
    /// As [`Self::try_open`].
    pub fn try_open_over(
        storage: impl Storage,
        disk: SimDisk,
        known: Vec<Record>,
        options: LogOptions,
        epoch: u64,
    ) -> Result<(Self, Writer), (Self, OpenError)> {
        let mut records = Vec::new();
        let recovered = recover_from(storage, Limits::default(), |frame| {
            records.extend(frame.records().copied());
            Ok::<_, Infallible>(())
        });
        let recovered =
            recovered.unwrap_or_else(|error| panic!("a log that was readable is refused: {error}"));
        assert!(records == known, "what was read before is read again");
        let acknowledged = Acknowledged::default();
        let (witness, list) = (disk.clone(), Arc::clone(&acknowledged));
        let on_durable = Box::new(move |durable: cage_wal::DurableLsn| {
            let moment = witness.events();
            list.lock().unwrap_or_else(PoisonError::into_inner).push((moment, durable.get().0));
        });
        let callbacks = Callbacks { on_durable, ..Callbacks::none() };
        let found = known.len() as u64;
        let life = Self { disk, recovered: found, owed: 0, appended: known, acknowledged };
        match recovered.open(options, identity(epoch), callbacks) {
            Ok((writer, _)) => {
                // From now on what was found can be shown to anybody.
                life.promise(found);
                Ok((life, writer))
            }
            Err(error) => Err((life, error)),
        }
    }

    fn promise(&self, lsn: u64) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push((self.disk.events(), lsn));
    }

    /// [`Self::try_open`] on a disk that does not fail.
    ///
    /// # Panics
    /// If the log cannot be opened.
    #[must_use]
    pub fn open(disk: SimDisk, known: Vec<Record>, options: LogOptions, epoch: u64) -> (Self, Writer) {
        Self::try_open(disk, known, options, epoch)
            .unwrap_or_else(|(_, error)| panic!("the log opens: {error}"))
    }

    /// Appends one run and waits until it is durable. `false` if the log has stopped instead.
    pub fn append_and_wait(&mut self, writer: &mut Writer, count: u64) -> bool {
        let records = run(writer.next_lsn().0, count);
        self.append(writer, &records) && wait(writer)
    }

    /// Appends random runs; waits for the disk now and then, so that there are small rounds and large ones. Ends early
    /// if the log stops.
    pub fn work(&mut self, writer: &mut Writer, random: &mut Random, runs: u64) {
        for _ in 0..runs {
            let longest = if random.one_in(3) { 64 } else { 5 };
            let records = run(writer.next_lsn().0, 1 + random.below(longest));
            if !self.append(writer, &records) {
                return;
            }
            if random.one_in(3) {
                writer.publish();
            }
            if random.one_in(5) && !wait(writer) {
                return;
            }
        }
    }

    /// Appends many runs before the flusher is told: they go to the disk in one write of several frames.
    pub fn pile_up(&mut self, writer: &mut Writer, random: &mut Random, runs: u64) {
        for _ in 0..runs {
            let records = run(writer.next_lsn().0, 1 + random.below(40));
            if !self.append(writer, &records) {
                return;
            }
        }
        wait(writer);
    }

    fn append(&mut self, writer: &mut Writer, records: &[Record]) -> bool {
        while writer.append_linked(records).is_err() {
            writer.publish();
            if writer.handle().failed().is_some() {
                return false;
            }
            std::thread::yield_now();
        }
        self.appended.extend_from_slice(records);
        true
    }

    /// How many records must survive a loss of power at this moment.
    #[must_use]
    pub fn promised(&self, moment: usize) -> u64 {
        let list = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let acknowledged = list.iter().filter(|(at, _)| *at <= moment).map(|(_, lsn)| *lsn).max();
        acknowledged.unwrap_or(0).max(self.owed)
    }

    /// Reads what a loss of power at this moment has left.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn judge(&self, moment: usize, image: &SimDisk) -> Result<Vec<Record>, String> {
        let records = read(image).map_err(|error| format!("refused: {error}"))?;
        self.judge_records(moment, &records)?;
        Ok(records)
    }

    /// Whether these are what a loss of power at this moment may leave.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn judge_records(&self, moment: usize, records: &[Record]) -> Result<(), String> {
        let (left, promised) = (records.len(), self.promised(moment));
        if (left as u64) < promised {
            return Err(format!("{promised} records were durable, {left} are left"));
        }
        if Some(records) != self.appended.get(..left) {
            return Err("a record was invented".to_owned());
        }
        if records.last().is_some_and(is_linked) {
            return Err("a run was cut in two".to_owned());
        }
        Ok(())
    }

    /// Cuts the power; gives what is left, on its disk.
    ///
    /// # Panics
    /// If a promise is broken.
    #[track_caller]
    pub fn crash(&self, moment: usize, keep: impl FnMut() -> bool) -> (SimDisk, Vec<Record>) {
        let image = self.disk.crash_image(moment, keep);
        let records = self.judge(moment, &image).unwrap_or_else(|broken| panic!("moment {moment}: {broken}"));
        (image, records)
    }
}

/// Waits until everything appended is durable. `false` if the log has stopped instead.
pub fn wait(writer: &mut Writer) -> bool {
    writer.publish();
    let last = writer.next_lsn().previous();
    while writer.handle().durable().get() < last {
        if writer.handle().failed().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Which of the pieces in flight arrive: all, none, a few, most, or half of them.
pub fn fate(random: &mut Random) -> impl FnMut() -> bool + use<> {
    let (arrive, of) = [(1, 1), (0, 1), (1, 8), (7, 8), (1, 2)][random.index(5)];
    let mut random = Random::new(random.next());
    move || random.below(of) < arrive
}
