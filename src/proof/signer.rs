//! Signs how far the log is durable, once a second while it moves, on a thread of its own.
//!
//! In: the ends of durable frames, as the flusher leaves them in memory (or, after a restart, as the log holds them), and
//! digests of states, when a snapshot was made or the log has ended.
//! Out: a line in the witness file, then the same checkpoint to whoever listens. Each one begins where the one before
//! ended. A line that cannot be written is told and tried again, and the next one spans all frames since. Never here: anything that an
//! acknowledgement waits for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cage_protocol::{Checkpoint, SignedCheckpoint};
use cage_wal::{ChainHash, FrameEnd, LogHandle, Lookup, Lsn, ReadError, Reader, RecoveryError};
use tokio::sync::watch;

use super::keys::SigningKey;
use super::merkle;
use super::witness::{self, Witness, WitnessError, WitnessOptions};
use crate::admin::alarms::Alarm;
use crate::admin::board::Board;
use crate::limits::{CHECKPOINT_EVERY, CHECKPOINT_FRAMES_MAX};

/// Why a witness and a log do not go together.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file cannot be used.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// A checkpoint is signed by another key: it cannot be checked.
    #[error(
        "{path}: the last checkpoint, at LSN {lsn}, is not signed by this key: give each key a witness file of its own",
        path = path.display()
    )]
    OtherKey {
        /// The witness file.
        path: PathBuf,
        /// The checkpoint's last record.
        lsn: u64,
    },
    /// It is about another log.
    #[error("{path}: it is the witness of the log {known:032x}, this one is {own:032x}", path = path.display())]
    OtherLog {
        /// The witness file.
        path: PathBuf,
        /// The witness's.
        known: u128,
        /// This one.
        own: u128,
    },
    /// The log has lost its end.
    #[error(
        "{path}: LSN {lsn} was signed as durable, and the log ends at {durable}: acknowledged records are missing. Look for \
         the right log; after a repair begin a new witness file, and keep this one",
        path = path.display()
    )]
    Cut {
        /// The witness file.
        path: PathBuf,
        /// What was signed.
        lsn: u64,
        /// Where the log ends.
        durable: u64,
    },
    /// The log has another past.
    #[error(
        "{path}: the chain at LSN {lsn} is not the one that was signed: the log was replaced or changed. Look for the right \
         log; after a repair begin a new witness file, and keep this one",
        path = path.display()
    )]
    OtherChain {
        /// The witness file.
        path: PathBuf,
        /// Where.
        lsn: u64,
    },
    /// The log cannot be read there.
    #[error("the log cannot be compared with its witness: {0}")]
    Unreadable(#[from] ReadError),
    /// The log cannot be read at all.
    #[error("the log cannot be compared with its witness: {0}")]
    UnreadableLog(#[from] RecoveryError<ReadError>),
    /// There is no thread to be had.
    #[error("cannot start the thread that signs checkpoints: {0}")]
    Thread(std::io::Error),
}

/// The digest of a state, and the last record of that state.
pub type Digest = (Lsn, [u8; 32]);

/// What the thread is told.
#[derive(Clone, Copy, Debug)]
enum Word {
    /// A state whose digest somebody has worked out.
    State(Digest),
    /// The last state: sign it and end.
    End(Digest),
}

/// Where digests of states are told as they become known, for the checkpoints to come.
#[derive(Clone, Debug)]
pub struct Digests(Sender<Word>);

impl Digests {
    /// The state after a record has this digest.
    pub fn tell(&self, digest: Digest) {
        // A thread that is gone has told why.
        let _ = self.0.send(Word::State(digest));
    }
}

/// The thread that signs.
#[derive(Debug)]
pub struct Signer {
    words: Sender<Word>,
    thread: JoinHandle<()>,
    latest: watch::Receiver<Option<SignedCheckpoint>>,
}

impl Signer {
    /// Begins to sign a log that agrees with its witness, if it has one. Without a witness the first checkpoint begins at the
    /// end of the log as it is now; with a new one at the log's first frame.
    ///
    /// # Errors
    /// [`SignerError`]; the log must not be served then.
    pub fn start(
        key: SigningKey,
        witness: Option<Agreed>,
        log: LogHandle,
        board: Arc<Board>,
    ) -> Result<Self, SignerError> {
        let reader = log.reader();
        let (witness, last) = match witness {
            None => (None, None),
            Some(Agreed { witness, last }) => (Some(Witness::open(&witness.path, witness.full_bytes)?), last),
        };
        let begin = match (&witness, &last) {
            (_, Some(last)) => Lsn(last.checkpoint.lsn),
            (Some(_), None) => Lsn::ZERO,
            (None, None) => log.chain_head().0,
        };
        let digest = last
            .map_or((Lsn::ZERO, [0; 32]), |last| (Lsn(last.checkpoint.digest_lsn), last.checkpoint.digest));
        let (told, latest) = watch::channel(last);
        let (words, heard) = channel();
        let worker = Worker {
            key,
            witness,
            log,
            reader,
            last: begin,
            unsure: None,
            digest,
            digest_is_new: false,
            told,
            board,
        };
        let thread = thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || worker.run(&heard))
            .map_err(SignerError::Thread)?;
        Ok(Self { words, thread, latest })
    }

    /// Where to hear of new checkpoints.
    #[must_use]
    pub fn latest(&self) -> watch::Receiver<Option<SignedCheckpoint>> {
        self.latest.clone()
    }

    /// Where to tell digests of states.
    #[must_use]
    pub fn digests(&self) -> Digests {
        Digests(self.words.clone())
    }

    /// Signs what is durable now, with the digest of the last state, and ends the thread. After the log was closed this
    /// is its end.
    pub fn finish(self, digest: Digest) {
        // A thread that is gone has told why.
        let _ = self.words.send(Word::End(digest));
        let _ = self.thread.join();
    }
}

/// A witness that a log was compared with, before anything of either was written.
#[derive(Debug)]
pub struct Agreed {
    witness: WitnessOptions,
    /// What it has seen last.
    last: Option<SignedCheckpoint>,
}

impl Agreed {
    /// Compares a log that is not open yet with its witness; a witness that is not there yet agrees with any log, and
    /// `None` is a log that has not begun.
    ///
    /// # Errors
    /// [`SignerError`]; the log must not be opened then.
    pub fn compare(
        witness: WitnessOptions,
        key: &SigningKey,
        log: Option<Lookup>,
    ) -> Result<Self, SignerError> {
        let last = witness::last(&witness.path)?;
        if let Some(last) = &last {
            compare(last, key, &witness.path, log)?;
        }
        Ok(Self { witness, last })
    }
}

/// The log still holds what its witness has last seen.
fn compare(
    last: &SignedCheckpoint,
    key: &SigningKey,
    path: &Path,
    log: Option<Lookup>,
) -> Result<(), SignerError> {
    let path = path.to_owned();
    let Checkpoint { log_id, lsn, chain_head, .. } = last.checkpoint;
    if !key.public().verifies(last) {
        return Err(SignerError::OtherKey { path, lsn });
    }
    let Some(mut log) = log else { return Err(SignerError::Cut { path, lsn, durable: 0 }) };
    let (own, durable) = (log.log_id().0, log.next_lsn().previous().0);
    if log_id != own {
        return Err(SignerError::OtherLog { path, known: log_id, own });
    }
    if lsn > durable {
        return Err(SignerError::Cut { path, lsn, durable });
    }
    match log.knows_chain(Lsn(lsn), ChainHash::from_bytes(chain_head)) {
        // In the archive: an audit compares there.
        Ok(true) | Err(ReadError::TooOld { .. }) => Ok(()),
        Ok(false) => Err(SignerError::OtherChain { path, lsn }),
        Err(reason) => Err(reason.into()),
    }
}

struct Worker {
    key: SigningKey,
    witness: Option<Witness>,
    log: LogHandle,
    reader: Reader,
    /// What the last checkpoint ended with.
    last: Lsn,
    /// One that the witness refused: nobody knows whether its line is there, so it is added again before the next one.
    unsure: Option<SignedCheckpoint>,
    digest: Digest,
    /// Nobody has vouched for it yet.
    digest_is_new: bool,
    told: watch::Sender<Option<SignedCheckpoint>>,
    board: Arc<Board>,
}

impl Worker {
    fn run(mut self, words: &Receiver<Word>) {
        loop {
            match words.recv_timeout(CHECKPOINT_EVERY) {
                Err(RecvTimeoutError::Timeout) => self.sign_all(),
                Ok(Word::State(digest)) => {
                    (self.digest, self.digest_is_new) = (digest, true);
                    self.sign_all();
                }
                Ok(Word::End(digest)) => {
                    self.digest = digest;
                    return self.sign_all();
                }
                // The server fell over: what it has acknowledged is durable, and the next start signs it.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Signs until nothing that is durable is left unsigned, or something is in the way.
    fn sign_all(&mut self) {
        while self.last < self.log.durable().get() {
            let signed = self.sign();
            self.board.set(Alarm::NoCheckpoint, signed.is_err());
            if let Err(reason) = signed {
                return tracing::error!(%reason, "no checkpoint: nobody vouches for what is new in the log");
            }
        }
    }

    fn sign(&mut self) -> Result<(), SignerError> {
        let Some(signed) = self.unsure.map_or_else(|| self.next(), |signed| Ok(Some(signed)))? else {
            return Ok(());
        };
        if let Some(witness) = &mut self.witness {
            self.unsure = Some(signed);
            witness.add(&signed)?;
            self.unsure = None;
            self.board.set(Alarm::WitnessGrows, witness.grows());
        }
        self.last = Lsn(signed.checkpoint.lsn);
        if self.digest_is_new && signed.checkpoint.digest_lsn == self.digest.0.0 {
            self.digest_is_new = false;
            tracing::info!(lsn = self.digest.0.0, "the state of a snapshot was signed");
        }
        self.told.send_replace(Some(signed));
        Ok(())
    }

    /// What is new in the log, signed; nothing if there is nothing.
    fn next(&mut self) -> Result<Option<SignedCheckpoint>, SignerError> {
        let frames = self.frames()?;
        let Some(end) = frames.last() else { return Ok(None) };
        let leaves: Vec<_> = frames.iter().map(|frame| *frame.chain.as_bytes()).collect();
        Ok(Some(self.key.sign(Checkpoint {
            log_id: self.log.log_id().0,
            previous_lsn: self.last.0,
            lsn: end.last_lsn.0,
            frames: leaves.len() as u64,
            chain_head: *end.chain.as_bytes(),
            root: merkle::root(&leaves),
            digest_lsn: self.digest.0.0,
            digest: self.digest.1,
            time: wall_clock(),
            key: 0,
        })))
    }

    /// The frames since the last checkpoint, some at a time; at least one if there are any.
    fn frames(&mut self) -> Result<Vec<FrameEnd>, SignerError> {
        if let Some(mut frames) = self.log.recent_frames(self.last) {
            frames.truncate(CHECKPOINT_FRAMES_MAX);
            return Ok(frames);
        }
        let (mut frames, mut room) = (Vec::new(), Vec::new());
        let (mut next, durable) = (self.last.next(), self.log.durable().get());
        while next <= durable && frames.len() < CHECKPOINT_FRAMES_MAX {
            match self.reader.frame(next, &mut room) {
                Ok(frame) => {
                    frames.push(FrameEnd { last_lsn: frame.last_lsn, chain: frame.chain });
                    next = frame.last_lsn.next();
                }
                // What was archived before there was a witness stays without: the chain vouches for it.
                Err(ReadError::TooOld { oldest, .. }) if frames.is_empty() && oldest > next => {
                    self.last = oldest.previous();
                    next = oldest;
                }
                Err(reason) => return Err(reason.into()),
            }
        }
        Ok(frames)
    }
}

fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
