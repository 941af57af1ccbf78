//! The alarms: what somebody has to look at, each with a name that metrics, `/status` and documents share.
//!
//! In: what was raised, and what the log, the scrubber and the sequencer say of themselves. Out: the alarms that are on.
//! Never here: an alarm without a line in the server's log that tells more.

use std::time::{SystemTime, UNIX_EPOCH};

use super::board::{Board, Phase};
use crate::limits::CERTIFICATE_EXPIRY_ALARM;

macro_rules! alarms {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $severity:ident;)+) => {
        /// What somebody has to look at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Alarm { $($(#[doc = $doc])+ $name,)+ }

        impl Alarm {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it says.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }
        }
    };
}

/// How bad an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody has to act.
    Error,
    /// Somebody should know.
    Warning,
}

impl Severity {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

alarms! {
    /// The log failed: nothing more is acknowledged, and the server ends.
    LogFailed = "log_failed", Error;
    /// A client has proved that acknowledged records are missing here or changed; the server ends.
    Refuted = "refuted", Error;
    /// Clients have seen another log than this.
    ClientDoubts = "client_doubts", Error;
    /// A sealed segment of the log is damaged on the disk.
    LogDamaged = "log_damaged", Error;
    /// A snapshot is damaged on the disk.
    SnapshotDamaged = "snapshot_damaged", Error;
    /// The last whole scrub of the log is too long ago.
    ScrubLate = "scrub_late", Warning;
    /// No further log segment can be made: the disk is full, above all.
    NoSegment = "no_segment", Error;
    /// The log lives on its reserve: wagers are not taken.
    OnReserve = "on_reserve", Error;
    /// The wall clock jumped: operations are not taken until a restart.
    ClockJumped = "clock_jumped", Error;
    /// The ledger refused what was due.
    DueRefused = "due_refused", Error;
    /// Nobody vouches for what is new in the log: the witness cannot be written.
    NoCheckpoint = "no_checkpoint", Error;
    /// The witness's file is full and cannot be closed: it grows.
    WitnessGrows = "witness_grows", Warning;
    /// The last attempt to make a snapshot made none.
    NoSnapshot = "no_snapshot", Error;
    /// A segment was not archived: the log's folder grows.
    NotArchived = "not_archived", Error;
    /// A snapshot was not good at the start, and passed over.
    SnapshotNotGood = "snapshot_not_good", Error;
    /// New certificates cannot be used: the old ones stay in force.
    CertificatesNotRead = "certificates_not_read", Error;
    /// The server's certificate is valid for less than two weeks more, or not at all.
    CertificateExpires = "certificate_expires", Error;
    /// Records of this log were given up by a repair.
    RecordsGivenUp = "records_given_up", Warning;
    /// The log lies on a file system that may not keep what it says.
    UnsafeFilesystem = "unsafe_filesystem", Warning;
    /// Memory may be swapped to a disk.
    UnsafeSwap = "unsafe_swap", Warning;
    /// A drill: the log fails on purpose.
    FaultsOn = "faults_on", Warning;
    /// Development certificates on an address that others can reach.
    DevelopmentCertificates = "development_certificates", Warning;
    /// Checkpoints are signed with a development key.
    DevelopmentKey = "development_key", Warning;
    /// Nobody signs the end of the log.
    NoCheckpointKey = "no_checkpoint_key", Warning;
    /// The key that signs checkpoints lies in the data directory.
    KeyBesideLog = "key_beside_log", Warning;
    /// The wall clock is behind the ledger's time, which stands still.
    ClockBehind = "clock_behind", Warning;
    /// Others can reach the admin port, which asks nobody who he is.
    AdminExposed = "admin_exposed", Warning;
}

impl Alarm {
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

const _: () = assert!(Alarm::ALL.len() <= 64, "one bit each");

/// Whether an alarm is on: raised by somebody, or seen from what is counted.
#[must_use]
pub fn is_on(board: &Board, alarm: Alarm) -> bool {
    let served = board.served();
    let numbers = &board.numbers;
    board.is_raised(alarm)
        || match alarm {
            Alarm::LogFailed => {
                board.phase() == Phase::Failed || served.is_some_and(|served| served.log.failed().is_some())
            }
            Alarm::ClientDoubts => numbers.doubts.get() > 0,
            Alarm::CertificateExpires => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                served.is_some()
                    && numbers.certificate_expires.get() < (now + CERTIFICATE_EXPIRY_ALARM).as_secs()
            }
            Alarm::DueRefused => numbers.set_aside.get() > 0,
            Alarm::LogDamaged => served.is_some_and(|served| served.findings.counts().damaged > 0),
            Alarm::SnapshotDamaged => served.is_some_and(|served| served.findings.snapshot_is_damaged()),
            Alarm::ScrubLate => served.is_some_and(|served| served.findings.is_late()),
            Alarm::NoSegment => served.is_some_and(|served| served.log.preparation_failure().is_some()),
            Alarm::OnReserve => served.is_some_and(|served| served.log.space().lives_on_reserve()),
            _ => false,
        }
}

/// The alarms that are on.
pub fn on(board: &Board) -> impl Iterator<Item = Alarm> {
    Alarm::ALL.iter().copied().filter(|alarm| is_on(board, *alarm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_on_from_its_raising_until_it_is_let_rest() {
        let board = Board::default();
        assert_eq!(on(&board).count(), 0);
        for alarm in Alarm::ALL {
            board.set(*alarm, true);
            assert_eq!(on(&board).collect::<Vec<_>>(), [*alarm]);
            board.set(*alarm, false);
            assert_eq!(on(&board).count(), 0);
        }
        board.numbers.doubts.add(1);
        board.numbers.set_aside.add(1);
        assert_eq!(on(&board).collect::<Vec<_>>(), [Alarm::ClientDoubts, Alarm::DueRefused]);
    }
}
