//! The proof that one record is in a log, small and complete in itself: the record's frame, its path to the root of a tree,
//! and the signed checkpoint with that root.
//!
//! In: a log and its witness; or a proof and a public key. Out: a proof; or the record that it proves. A proof is one line
//! of JSON that is written in one way only, so that no byte of it can be changed unnoticed. Never here: trust in a log
//! that was not signed.

use cage_client::CheckpointKey;
use cage_engine::{Lsn, Record};
use cage_protocol::{Checkpoint, SignedCheckpoint};
use cage_wal::{FrameView, Limits, RecoveryError};
use serde::{Deserialize, Serialize};

use super::merkle::{self, Hash};
use super::witness::{Kept, unhex};
use crate::cli::hex;
use crate::data::DataDir;
use crate::recovery::{self, ReplayFault};

const FORMAT: &str = "cage-proof 0";

/// Why there is no proof, or none that holds.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The witness has no checkpoint over the record.
    #[error(
        "no checkpoint of the witness is over LSN {0}: it was not signed yet, or lies before the first one"
    )]
    NotSigned(Lsn),
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Unreadable(RecoveryError<ReplayFault>),
    /// The log is not what was signed.
    #[error("between LSN {from} and {until} the log is not what was signed: audit it with this witness")]
    NotTheLog {
        /// The first record under the checkpoint.
        from: Lsn,
        /// The last.
        until: Lsn,
    },
    /// The text is no proof.
    #[error("this is no proof as cage prove writes them: {0}")]
    Format(String),
    /// The checkpoint is not signed by this key.
    #[error("the checkpoint in it is not signed by this key")]
    Signature,
    /// What it says and what is signed do not go together.
    #[error("it does not hold: {0}")]
    Broken(&'static str),
}

/// A proof, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    lsn: u64,
    frame: String,
    index: u64,
    path: Vec<String>,
    checkpoint: String,
}

/// A proof in its parts. That it exists does not say that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    lsn: Lsn,
    /// The frame with the record, as it lies in the log.
    frame: Vec<u8>,
    /// Which leaf of the tree it is.
    index: u64,
    path: Vec<Hash>,
    signed: SignedCheckpoint,
}

impl Proof {
    /// Proves that the log of `data` holds the record at `lsn`, by a checkpoint of the witness.
    ///
    /// # Errors
    /// [`ProofError`] if nothing that was signed is over it, or the log is not what was signed.
    pub fn of(data: &DataDir, lsn: Lsn, witness: &Kept) -> Result<Self, ProofError> {
        let covers = |checkpoint: &Checkpoint| checkpoint.previous_lsn < lsn.0 && lsn.0 <= checkpoint.lsn;
        let signed = witness.checkpoints.iter().find(|signed| covers(&signed.checkpoint));
        let signed = *signed.ok_or(ProofError::NotSigned(lsn))?;
        let (from, until) = (Lsn(signed.checkpoint.previous_lsn + 1), Lsn(signed.checkpoint.lsn));
        let (mut leaves, mut found) = (Vec::new(), None);
        let until_lsn = Some(cage_wal::Lsn(until.0));
        let limits = Limits { until: until_lsn, ..Limits::from(cage_wal::Lsn(from.0)) };
        let visit = |frame: FrameView<'_>| {
            if frame.first_lsn.0 < from.0 {
                return Ok(());
            }
            if (frame.first_lsn.0..=frame.last_lsn.0).contains(&lsn.0) {
                found = Some((leaves.len(), frame.bytes().to_vec()));
            }
            leaves.push(*frame.chain.as_bytes());
            Ok(())
        };
        cage_wal::scan_from(&data.whole_log(1), limits, visit).map_err(ProofError::Unreadable)?;
        let broken = ProofError::NotTheLog { from, until };
        let Some((index, frame)) = found else { return Err(broken) };
        if merkle::root(&leaves) != signed.checkpoint.root {
            return Err(broken);
        }
        Ok(Self { lsn, frame, index: index as u64, path: merkle::path(&leaves, index), signed })
    }

    /// The proof as one line.
    ///
    /// # Panics
    /// Never: numbers and text can be written as JSON.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = Text {
            format: FORMAT.to_owned(),
            lsn: self.lsn.0,
            frame: hex(&self.frame),
            index: self.index,
            path: self.path.iter().map(|hash| hex(hash)).collect(),
            checkpoint: hex(&self.signed.to_bytes()),
        };
        serde_json::to_string(&text).unwrap_or_else(|_| unreachable!("text and numbers are JSON")) + "\n"
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofError::Format`] if it is not written exactly as [`Self::to_text`] writes it.
    pub fn from_text(text: &str) -> Result<Self, ProofError> {
        let wrong = |what: &str| ProofError::Format(what.to_owned());
        let read: Text = serde_json::from_str(text).map_err(|reason| wrong(&reason.to_string()))?;
        if read.format != FORMAT {
            return Err(wrong(&format!("expected the format {FORMAT:?}")));
        }
        let checkpoint = unhex(&read.checkpoint).and_then(|bytes| SignedCheckpoint::from_bytes(&bytes));
        let hash = |text: &String| unhex(text).and_then(|bytes| Hash::try_from(bytes).ok());
        let proof = Self {
            lsn: Lsn(read.lsn),
            frame: unhex(&read.frame).ok_or_else(|| wrong("the frame is not hexadecimal"))?,
            index: read.index,
            path: read.path.iter().map(hash).collect::<Option<_>>().ok_or_else(|| wrong("the path"))?,
            signed: checkpoint.ok_or_else(|| wrong("the checkpoint"))?,
        };
        if proof.to_text() == text { Ok(proof) } else { Err(wrong("it is written in another way")) }
    }

    /// The record that is proved, if the proof holds for this key.
    ///
    /// # Errors
    /// [`ProofError`] if it does not.
    pub fn verify(&self, key: &CheckpointKey) -> Result<Proved, ProofError> {
        if !key.verifies(&self.signed) {
            return Err(ProofError::Signature);
        }
        let checkpoint = self.signed.checkpoint;
        let frame = FrameView::alone(&self.frame).map_err(ProofError::Format)?;
        let root = merkle::root_over(frame.chain.as_bytes(), self.index, checkpoint.frames, &self.path);
        if root != Some(checkpoint.root) {
            return Err(ProofError::Broken("the frame's path does not lead to the root that was signed"));
        }
        if frame.log.0 != checkpoint.log_id {
            return Err(ProofError::Broken("the frame is of another log than the checkpoint"));
        }
        if frame.first_lsn.0 <= checkpoint.previous_lsn || frame.last_lsn.0 > checkpoint.lsn {
            return Err(ProofError::Broken("the frame does not lie under the checkpoint"));
        }
        let record = recovery::records(&frame).map_err(|fault| ProofError::Format(fault.to_string()))?;
        let record = record.into_iter().find(|(lsn, _)| *lsn == self.lsn);
        let (_, record) = record.ok_or(ProofError::Broken("the frame does not hold the record"))?;
        let record = record.map_err(|fault| ProofError::Format(fault.to_string()))?;
        Ok(Proved { lsn: self.lsn, segment: frame.position.segment, record, checkpoint })
    }
}

/// A record that was in the log when the checkpoint was signed.
#[derive(Clone, Copy, Debug)]
pub struct Proved {
    /// Its place.
    pub lsn: Lsn,
    /// The segment that it lay in.
    pub segment: u64,
    /// What it says.
    pub record: Record,
    /// What was signed.
    pub checkpoint: Checkpoint,
}
