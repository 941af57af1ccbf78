//! Compares a log with the checkpoints that a witness has kept.
//!
//! In: the checkpoints, with the key that must have signed them, then the frames of the log in order, and the digests of the
//! states that were signed, worked out again by the audit. Out: in words, whatever was signed and is not in the log. Never here: a checkpoint that is believed because the log agrees with it.

use std::collections::HashSet;
use std::path::PathBuf;

use cage_client::CheckpointKey;
use cage_engine::Lsn;
use cage_protocol::{Checkpoint, SignedCheckpoint};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::proof::merkle::Builder;
use crate::proof::witness::Kept;
use crate::read_ahead::FrameFacts;

/// The checkpoints of a witness, on the way through a log.
#[derive(Debug)]
pub struct Vouched {
    /// Those whose signatures hold, in the order of their lines, the next one last.
    waiting: Vec<Checkpoint>,
    /// The frames since the next one's beginning.
    tree: Builder,
    /// Digests of states that the log holds: the last record of the state, and the digest.
    digests: Vec<(u64, [u8; 32])>,
    /// The records after which the state's digest was signed.
    digest_lsns: HashSet<u64>,
    /// Digests that were signed, to be found among them.
    signed_digests: Vec<(u64, [u8; 32])>,
    differences: Vec<String>,
    notices: Vec<String>,
    checked: u64,
    /// What lies before this record is not read.
    from: u64,
}

impl Vouched {
    /// The checkpoints of a witness that `key` must have signed.
    #[must_use]
    pub fn new(kept: Kept, key: &CheckpointKey) -> Self {
        let checked = kept.checkpoints.len() as u64;
        let (signed, forged): (Vec<_>, Vec<_>) =
            kept.checkpoints.into_iter().partition(|signed| key.verifies(signed));
        let mut differences: Vec<_> = forged.iter().map(|forged| forgery(forged, key)).collect();
        let mut notices: Vec<_> = kept.cut.iter().map(cut_off).collect();
        let mut waiting: Vec<_> = signed.iter().map(|signed| signed.checkpoint).collect();
        for pair in waiting.windows(2).filter(|pair| pair[1].previous_lsn != pair[0].lsn) {
            differences.push(format!(
                "the checkpoint at {} begins after {}, and the one before it ended at {}: the witness has a gap (a file of \
                 it is missing), or the log was begun anew",
                pair[1].lsn, pair[1].previous_lsn, pair[0].lsn
            ));
        }
        if let Some(first) = waiting.first().filter(|first| first.previous_lsn > 0) {
            notices.push(format!("what was signed up to LSN {} is not in this witness", first.previous_lsn));
        }
        waiting.reverse();
        let digest_lsns = waiting.iter().map(|signed| signed.digest_lsn).collect();
        Self {
            waiting,
            digest_lsns,
            tree: Builder::default(),
            digests: Vec::new(),
            signed_digests: Vec::new(),
            differences,
            notices,
            checked,
            from: 0,
        }
    }

    /// The log is read only after `lsn`; leaves out what was signed of what lies before it. How many.
    pub(super) fn leave_out(&mut self, lsn: Lsn) -> u64 {
        let all = self.waiting.len();
        self.waiting.retain(|next| next.previous_lsn >= lsn.0);
        let before = (all - self.waiting.len()) as u64;
        self.checked -= before;
        self.from = lsn.0;
        before
    }

    /// Takes the next frame of the log.
    pub(super) fn frame(&mut self, frame: &FrameFacts) {
        let (first, last) = (frame.first_lsn.0, frame.last_lsn.0);
        while let Some(next) = self.waiting.pop_if(|next| next.lsn < last) {
            self.tree = Builder::default();
            self.differences.push(format!(
                "LSN {} was signed at {} as the end of a frame; no frame of the log ends there",
                next.lsn,
                time_of(&next)
            ));
        }
        let Some(next) = self.waiting.last().copied() else { return };
        if first > next.previous_lsn {
            self.tree.push(frame.chain.as_bytes());
        }
        if last == next.lsn {
            self.waiting.pop();
            let tree = std::mem::take(&mut self.tree);
            self.compare(frame, &next, &tree);
        }
    }

    fn compare(&mut self, frame: &FrameFacts, signed: &Checkpoint, tree: &Builder) {
        let differences = &mut self.differences;
        let at = format!("at LSN {}, signed at {}", signed.lsn, time_of(signed));
        if frame.log.0 != signed.log_id {
            differences.push(format!("{at}: the witness is of the log {:032x}", signed.log_id));
        }
        if *frame.chain.as_bytes() != signed.chain_head {
            differences
                .push(format!("{at}: the chain of the log is {}, another one was signed", frame.chain));
        } else if tree.leaves() != signed.frames || tree.root() != signed.root {
            differences.push(format!(
                "{at}: the {} frames after LSN {} are not the {} that were signed",
                tree.leaves(),
                signed.previous_lsn,
                signed.frames
            ));
        }
        if signed.digest_lsn != 0 && signed.digest_lsn > self.from {
            self.signed_digests.push((signed.digest_lsn, signed.digest));
            self.signed_digests.dedup();
        }
    }

    /// Whether the digest of the state after `lsn` was signed.
    pub(super) fn wants_digest(&self, lsn: Lsn) -> bool {
        self.digest_lsns.contains(&lsn.0)
    }

    /// The state after `lsn` has this digest: the log holds it, or it was worked out again.
    pub(super) fn digest(&mut self, lsn: Lsn, digest: [u8; 32]) {
        self.digests.push((lsn.0, digest));
    }

    /// What is left when the log has ended at `last`, or was read only up to `until`.
    pub(super) fn finish(mut self, last: Lsn, until: Option<Lsn>) -> Checked {
        let mut differences = self.differences;
        for (lsn, digest) in self.signed_digests {
            let known = self.digests.iter().find(|(known, _)| *known == lsn);
            match known {
                Some((_, known)) if *known == digest => {}
                Some(_) => differences
                    .push(format!("the digest of the state at LSN {lsn} is another than was signed")),
                None => differences
                    .push(format!("there is no end of a frame at LSN {lsn}, after which a state was signed")),
            }
        }
        let all = self.waiting.len();
        self.waiting.retain(|next| until.is_none_or(|until| next.lsn <= until.0));
        let unread = (all - self.waiting.len()) as u64;
        if let Some(end) = self.waiting.iter().max_by_key(|next| next.lsn) {
            differences.push(format!(
                "LSN {} was signed as durable at {}, and the log ends, or can be read, at {last}: the log was cut",
                end.lsn,
                time_of(end)
            ));
        }
        let bad = differences.len() as u64;
        Checked { checked: self.checked - unread, bad, differences, notices: self.notices }
    }
}

/// What became of the checkpoints.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) checked: u64,
    pub(super) bad: u64,
    pub(super) differences: Vec<String>,
    pub(super) notices: Vec<String>,
}

fn forgery(signed: &SignedCheckpoint, key: &CheckpointKey) -> String {
    let checkpoint = &signed.checkpoint;
    let why =
        if checkpoint.key == key.id() { "its signature does not hold" } else { "another key is named in it" };
    format!("the checkpoint at LSN {} is not signed by the key that was given: {why}", checkpoint.lsn)
}

fn cut_off((path, line): &(PathBuf, usize)) -> String {
    format!("{}, line {line}: it was cut off, as a crash leaves it", path.display())
}

fn time_of(checkpoint: &Checkpoint) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(checkpoint.time.into())
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| checkpoint.time.to_string())
}
