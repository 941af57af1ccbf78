//! Reads the log's sealed segments and its snapshots again and again, slowly, on a thread of its own.
//!
//! In: the live log, the folder of snapshots, a speed, a pause between two rounds. Out: an alarm for each segment that is not
//! what was sealed, told once in the round that finds it and again until the process ends; the same for a snapshot, until a
//! round finds all of them good; how long ago the last whole round was. The server goes on: what it has in memory was verified
//! when it was read or written. Never here: a write, a read through the page cache, a segment that is written to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cage_wal::snapshot::{self, Proven};
use cage_wal::storage::Directory;
use cage_wal::{LogHandle, Scrubbed};

use crate::limits::{SCRUB_LATE_ROUNDS, SCRUB_PIECE_MAX};

/// How to scrub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Bytes a second; 0 = not at all.
    pub bytes_per_second: u64,
    /// From the beginning of one round to the beginning of the next, if the round does not take longer.
    pub every: Duration,
}

/// Slows a reader down.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    begun: Instant,
    bytes: u64,
}

impl Pace {
    /// So many bytes a second; 0 = as fast as it goes.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, begun: Instant::now(), bytes: 0 }
    }

    /// How long to wait before so many bytes are read.
    fn due(&mut self, bytes: u64) -> Duration {
        // Wide enough for more than any disk holds.
        let due = u128::from(self.bytes) * 1_000_000 / u128::from(self.bytes_per_second.max(1));
        self.bytes += bytes;
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        Duration::from_micros(u64::try_from(due).unwrap_or(u64::MAX)).saturating_sub(self.begun.elapsed())
    }

    /// Waits until so many bytes may be read. Always says to go on.
    pub fn wait(&mut self, bytes: u64) -> bool {
        thread::sleep(self.due(bytes));
        true
    }
}

/// What was found so far, for whoever looks.
#[derive(Debug)]
pub struct Findings {
    options: ScrubOptions,
    begun: Instant,
    /// Milliseconds from the beginning to the end of the last whole round; 0 before the first.
    whole_after_millis: AtomicU64,
    rounds: AtomicU64,
    segments: AtomicU64,
    bytes: AtomicU64,
    damaged: AtomicU64,
    snapshots: AtomicU64,
    snapshots_damaged: AtomicU64,
    /// The damaged snapshot that was found last; nothing after a round in which all were good.
    snapshot: Mutex<Option<String>>,
    /// Taken when damage is found and when it is told again.
    last: Mutex<Option<String>>,
}

/// Counts of a scrubber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rounds over all sealed segments that were finished.
    pub rounds: u64,
    /// Segments that were found good.
    pub segments: u64,
    /// Bytes that were read of them.
    pub bytes: u64,
    /// Segments that were found damaged, each time they were.
    pub damaged: u64,
    /// Snapshots that were found good.
    pub snapshots: u64,
    /// Snapshots that were found damaged, each time they were.
    pub snapshots_damaged: u64,
}

impl Findings {
    /// Nothing yet.
    #[must_use]
    pub fn new(options: ScrubOptions) -> Self {
        Self {
            options,
            begun: Instant::now(),
            whole_after_millis: AtomicU64::new(0),
            rounds: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            snapshots_damaged: AtomicU64::new(0),
            snapshot: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// How long ago the last whole round ended; before the first, since the start. Nothing if nobody scrubs.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let whole = Duration::from_millis(self.whole_after_millis.load(Ordering::Relaxed));
        (self.options.bytes_per_second > 0).then(|| self.begun.elapsed().saturating_sub(whole))
    }

    /// Whether the last whole round is longer ago than it should ever be.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.age().is_some_and(|age| age > self.options.every.saturating_mul(SCRUB_LATE_ROUNDS))
    }

    /// Whether a snapshot on the disk is damaged, as far as the last round knows.
    #[must_use]
    pub fn snapshot_is_damaged(&self) -> bool {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            rounds: load(&self.rounds),
            segments: load(&self.segments),
            bytes: load(&self.bytes),
            damaged: load(&self.damaged),
            snapshots: load(&self.snapshots),
            snapshots_damaged: load(&self.snapshots_damaged),
        }
    }

    /// Tells again what was found damaged.
    pub fn remind(&self) {
        if let Some(last) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            let count = self.counts().damaged;
            tracing::error!(
                count, %last,
                "the log on the disk is damaged: put a good copy of the file back before the next start, cage repair explains"
            );
        }
        if let Some(what) = &*self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) {
            tracing::error!(%what, "a snapshot on the disk is still damaged");
        }
    }

    fn take(&self, found: Scrubbed) {
        match found {
            Scrubbed::Good { bytes, .. } => {
                self.segments.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Scrubbed::Damaged(damage) => self.alarm(damage.to_string()),
            Scrubbed::NotSealed | Scrubbed::Gone | Scrubbed::Stopped => {}
        }
    }

    /// Takes a snapshot that is not good.
    fn snapshot_alarm(&self, what: String) {
        self.snapshots_damaged.fetch_add(1, Ordering::Relaxed);
        // The alarm is on before the line is there: whoever reads the line looks for it.
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.clone());
        tracing::error!(
            %what,
            "a snapshot is damaged on the disk: put a good copy back or move it away; a start passes it over and takes longer"
        );
    }

    /// A round is finished, in which so many snapshots were damaged.
    fn round(&self, snapshots_damaged: u64) {
        if snapshots_damaged == 0 {
            *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.whole_after_millis.store(millis, Ordering::Relaxed);
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    fn alarm(&self, what: String) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.clone());
        tracing::error!(%what, "a sealed segment of the log is damaged on the disk; the server goes on");
    }
}

/// The thread that scrubs.
#[derive(Debug)]
pub struct Scrubber {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Scrubber {
    /// Begins, unless the speed is 0.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(
        log: LogHandle,
        snapshots: Directory,
        findings: Arc<Findings>,
    ) -> std::io::Result<Option<Self>> {
        let options = findings.options;
        if options.bytes_per_second == 0 {
            return Ok(None);
        }
        let (stop, stopped) = channel();
        let run = move || rounds(options, &log, &snapshots, &findings, &stopped);
        let thread = thread::Builder::new().name("scrubber".to_owned()).spawn(run)?;
        Ok(Some(Self { stop, thread }))
    }

    /// Ends it, in the middle of a segment if need be.
    pub fn stop(self) {
        drop(self.stop);
        // A panic in there was told by the runtime; nothing waits for a scrub.
        let _ = self.thread.join();
    }
}

/// Whether to go on after that long.
fn goes_on(stopped: &Receiver<()>, after: Duration) -> bool {
    stopped.recv_timeout(after) == Err(RecvTimeoutError::Timeout)
}

fn rounds(
    options: ScrubOptions,
    log: &LogHandle,
    snapshots: &Directory,
    findings: &Findings,
    stopped: &Receiver<()>,
) {
    loop {
        let begun = Instant::now();
        let mut pace = Pace::new(options.bytes_per_second);
        let mut go_on = |bytes: u64| goes_on(stopped, pace.due(bytes).min(SCRUB_PIECE_MAX));
        for number in log.sealed_segments() {
            match log.scrub(number, &mut go_on) {
                Ok(Scrubbed::Stopped) => return,
                // It may have been archived since the list was made.
                Ok(Scrubbed::Gone) if log.sealed_segments().contains(&number) => {
                    findings.alarm(format!("segment {number:#x} is missing"));
                }
                Ok(found) => findings.take(found),
                Err(reason) => findings.alarm(reason.to_string()),
            }
        }
        let Some(damaged) = read_snapshots(snapshots, findings, &mut go_on) else { return };
        findings.round(damaged);
        tracing::info!(counts = ?findings.counts(), "the log's sealed segments were read again");
        if !goes_on(stopped, options.every.saturating_sub(begun.elapsed())) {
            return;
        }
    }
}

/// Reads all snapshots; how many of them are damaged. Nothing if it was ended.
fn read_snapshots(dir: &Directory, findings: &Findings, go_on: &mut dyn FnMut(u64) -> bool) -> Option<u64> {
    let before = findings.counts().snapshots_damaged;
    match snapshot::list(dir) {
        Ok(found) => {
            for lsn in found {
                match snapshot::prove(dir, lsn, go_on) {
                    Ok(Proven::Stopped) => return None,
                    // Newer ones stand for it.
                    Ok(Proven::Gone) => {}
                    Ok(Proven::Good { bytes }) => {
                        findings.snapshots.fetch_add(1, Ordering::Relaxed);
                        findings.bytes.fetch_add(bytes, Ordering::Relaxed);
                    }
                    Err(reason) => findings.snapshot_alarm(reason.to_string()),
                }
            }
        }
        Err(reason) => findings.snapshot_alarm(reason.to_string()),
    }
    Some(findings.counts().snapshots_damaged - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_kept_however_much_was_read() {
        let mut pace = Pace::new(1_000_000);
        pace.bytes = 40_000_000_000_000;
        assert!(pace.due(1) > Duration::from_secs(39_000_000), "40 TB at a megabyte a second");
    }

    #[test]
    fn a_scrub_is_late_when_two_rounds_are_missed_and_never_if_nobody_scrubs() {
        let every = Duration::from_secs(100);
        let mut findings = Findings::new(ScrubOptions { bytes_per_second: 1, every });
        assert!(!findings.is_late(), "it has just begun");
        findings.begun = Instant::now().checked_sub(Duration::from_secs(250)).unwrap();
        assert!(findings.is_late(), "no round in two and a half");
        findings.round(0);
        assert!(!findings.is_late() && findings.age() < Some(every), "a whole round");
        findings.options.bytes_per_second = 0;
        findings.whole_after_millis.store(0, Ordering::Relaxed);
        assert_eq!((findings.age(), findings.is_late()), (None, false));
    }

    #[test]
    fn a_damaged_snapshot_is_an_alarm_until_a_round_finds_all_of_them_good() {
        let findings = Findings::new(ScrubOptions { bytes_per_second: 1, every: Duration::from_secs(1) });
        findings.snapshot_alarm("it".to_owned());
        findings.round(1);
        assert!(findings.snapshot_is_damaged());
        findings.round(0);
        assert!(!findings.snapshot_is_damaged());
        assert_eq!((findings.counts().rounds, findings.counts().snapshots_damaged), (2, 1));
    }

    #[test]
    fn a_pace_is_kept_on_the_whole_and_not_piece_by_piece() {
        let mut pace = Pace::new(1_000_000);
        assert_eq!(pace.due(500_000), Duration::ZERO, "the first piece is due at once");
        let due = pace.due(1_000_000);
        assert!(due > Duration::from_millis(300) && due <= Duration::from_millis(500), "{due:?}");
        assert!(pace.due(1) > Duration::from_millis(1_300));
        assert_eq!(Pace::new(0).due(u64::MAX), Duration::ZERO);
    }
}
