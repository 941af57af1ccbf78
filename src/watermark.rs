//! What a client has seen of the log, compared with the log.
//!
//! In: the watermark of a hello: an LSN that was acknowledged to the client, a chain head that it was shown. Out: whether
//! this log holds both, or the doubt that it does not. A hello is a claim: its client is turned away. A signed checkpoint is a
//! proof: it ends the server. Never here: a doubt that is forgotten before the process ends.

use std::cell::RefCell;

use cage_client::CheckpointKey;
use cage_protocol::{Checkpoint, CloseCode, SignedCheckpoint, Watermark};
use cage_wal::{ChainHash, LogHandle, Lsn, ReadError, Repair};
use tokio::sync::Notify;

/// Why a client is not served from this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The client knows another log.
    #[error("The client knows the log {known:032x}, this one is {own:032x}.")]
    OtherLog {
        /// The client's.
        known: u128,
        /// This one.
        own: u128,
    },
    /// Something was acknowledged to the client that is not in this log.
    #[error("Seen {seen}, durable {durable}.")]
    Behind {
        /// What the client has seen.
        seen: u64,
        /// What this log holds.
        durable: u64,
    },
    /// The client was shown another chain head.
    #[error("At LSN {lsn} the client was shown {shown}.")]
    OtherChain {
        /// Where.
        lsn: u64,
        /// What the client was shown.
        shown: ChainHash,
    },
    /// The log cannot be read there.
    #[error("The log cannot be read at LSN {lsn}: {reason}")]
    Unreadable {
        /// Where.
        lsn: u64,
        /// Why.
        reason: String,
    },
}

impl Doubt {
    /// What the connection is closed with.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        match self {
            Self::OtherLog { .. } => CloseCode::LogDiffers,
            Self::Behind { .. } => CloseCode::ServerBehind,
            Self::OtherChain { .. } => CloseCode::ChainDiffers,
            Self::Unreadable { .. } => CloseCode::Internal,
        }
    }

    /// Whether it says that acknowledged records are missing here, or changed. (A client that comes to the wrong ledger
    /// says nothing of the sort.)
    const fn is_about_this_log(&self) -> bool {
        !matches!(self, Self::OtherLog { .. })
    }
}

/// The log as clients may have seen it, and what was doubted of it.
#[derive(Debug)]
pub struct Watermarks {
    log: LogHandle,
    /// The key that this ledger signs with, if it does.
    key: Option<CheckpointKey>,
    /// What was given up with consent, and is no news.
    repairs: Vec<Repair>,
    doubts: RefCell<Doubts>,
    refuted: RefCell<Option<Doubt>>,
    refutation: Notify,
}

#[derive(Debug, Default)]
struct Doubts {
    count: u64,
    last: Option<String>,
}

impl Watermarks {
    /// For the log behind `log`, which is signed by `key` and was repaired so often.
    #[must_use]
    pub fn new(log: LogHandle, key: Option<CheckpointKey>, repairs: Vec<Repair>) -> Self {
        let (doubts, refuted) = (RefCell::default(), RefCell::default());
        Self { log, key, repairs, doubts, refuted, refutation: Notify::new() }
    }

    /// What is durable here.
    #[must_use]
    pub fn durable(&self) -> Watermark {
        let (lsn, chain) = self.log.chain_head();
        Watermark { log_id: self.log.log_id().0, lsn: lsn.0, chain_lsn: lsn.0, chain_head: *chain.as_bytes() }
    }

    /// Compares what `caller` has seen with this log. A doubt about the log is an alarm, and is told again and again.
    ///
    /// # Errors
    /// The doubt: the caller must not be served.
    pub async fn compare(&self, caller: &str, seen: &Watermark) -> Result<(), Doubt> {
        let Err(doubt) = self.find(seen).await else { return Ok(()) };
        if doubt.is_about_this_log() {
            tracing::error!(
                %caller, %doubt, code = doubt.code().name(),
                "acknowledged records are missing here or changed, as a client has seen them"
            );
            let mut doubts = self.doubts.borrow_mut();
            doubts.count += 1;
            doubts.last = Some(format!("{caller}: {doubt}"));
        }
        Err(doubt)
    }

    /// Looks at a checkpoint that `caller` shows. One that this ledger has signed and that is not in this log refutes the log:
    /// nobody may be served from it. Unless what it speaks of was given up by a repair.
    pub async fn weigh(&self, caller: &str, evidence: &SignedCheckpoint) -> Option<Doubt> {
        let checkpoint = evidence.checkpoint;
        if !self.key.is_some_and(|key| key.verifies(evidence)) || self.is_accounted_for(&checkpoint) {
            return None;
        }
        let seen = Watermark {
            log_id: checkpoint.log_id,
            lsn: checkpoint.lsn,
            chain_lsn: checkpoint.lsn,
            chain_head: checkpoint.chain_head,
        };
        let doubt = self.find(&seen).await.err()?;
        if !matches!(doubt, Doubt::Behind { .. } | Doubt::OtherChain { .. }) {
            return None;
        }
        tracing::error!(%caller, %doubt, "a client has proved that acknowledged records are missing here or changed");
        *self.refuted.borrow_mut() = Some(doubt.clone());
        self.refutation.notify_one();
        Some(doubt)
    }

    fn is_accounted_for(&self, checkpoint: &Checkpoint) -> bool {
        self.repairs
            .iter()
            .any(|repair| checkpoint.lsn >= repair.lost_from.0 && checkpoint.time <= repair.time_ns)
    }

    /// Waits until the log is refuted; for ever if it is not.
    pub async fn refuted(&self) -> Doubt {
        loop {
            self.refutation.notified().await;
            if let Some(doubt) = self.refuted.take() {
                return doubt;
            }
        }
    }

    async fn find(&self, seen: &Watermark) -> Result<(), Doubt> {
        let durable = self.durable();
        if seen.log_id != 0 && seen.log_id != durable.log_id {
            return Err(Doubt::OtherLog { known: seen.log_id, own: durable.log_id });
        }
        let most = seen.lsn.max(seen.chain_lsn);
        if most > durable.lsn {
            return Err(Doubt::Behind { seen: most, durable: durable.lsn });
        }
        // Who knows no log was shown no chain of it.
        if seen.log_id == 0 || seen.chain_lsn == 0 {
            return Ok(());
        }
        self.find_chain(Lsn(seen.chain_lsn), ChainHash::from_bytes(seen.chain_head)).await
    }

    async fn find_chain(&self, lsn: Lsn, shown: ChainHash) -> Result<(), Doubt> {
        if self.log.recent_chain(lsn) == Some(shown) {
            return Ok(());
        }
        let mut reader = self.log.reader();
        let known = tokio::task::spawn_blocking(move || reader.knows_chain(lsn, shown)).await;
        let unreadable = |reason: String| Doubt::Unreadable { lsn: lsn.0, reason };
        match known.map_err(|panic| unreadable(panic.to_string()))? {
            Ok(true) => Ok(()),
            Ok(false) => Err(Doubt::OtherChain { lsn: lsn.0, shown }),
            // The segment is in the archive: audits compare there.
            Err(ReadError::TooOld { .. }) => Ok(()),
            Err(reason) => Err(unreadable(reason.to_string())),
        }
    }

    /// How many clients have seen another log.
    #[must_use]
    pub fn doubts(&self) -> u64 {
        self.doubts.borrow().count
    }

    /// Tells again what was doubted: such a line must not scroll by unseen.
    pub fn remind(&self) {
        let doubts = self.doubts.borrow();
        if let Some(last) = &doubts.last {
            tracing::error!(
                count = doubts.count, %last,
                "clients have seen another log than this: stop, and compare it with its archive, its witnesses and its clients"
            );
        }
    }
}
