//! Snapshots of the ledger: a start that has one applies only what came after it.
//!
//! In: the snapshots of a data directory. Out: the newest state that is proven, and where the log goes on from it.
//! Never here: a snapshot that is trusted because of its name; silence about one that is not good.
//!
//! [`make`] writes them, in a process of its own that [`keeper`] starts; nothing of it touches the writer.

pub mod keeper;
mod making;

use cage_engine::{Lsn, State};
use cage_wal::snapshot::{Snapshot, SnapshotFacts, list};
use cage_wal::storage::Directory;
use cage_wal::{Anchor, SnapshotError, StorageError};

pub use making::{Keep, Made, MakeFault, make};

/// Exit code of the process that makes snapshots: they are good, but a segment was not archived.
pub const EXIT_NOT_ARCHIVED: u8 = 6;

/// Why a start does not go on from any snapshot, nor from the log's beginning.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// The folder cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A newer program wrote the newest one.
    #[error("{0}")]
    NewerFormat(SnapshotError),
    /// A program with newer rules wrote the newest one.
    #[error(
        "the snapshot at {lsn} was made under rules {found}, this build knows up to {known}: use a newer one"
    )]
    NewerRules {
        /// After which record.
        lsn: Lsn,
        /// Its rules.
        found: u32,
        /// This build's.
        known: u32,
    },
}

/// Where to go on from.
#[derive(Debug)]
pub struct Base {
    /// The state of the newest good snapshot; an empty one if there is none.
    pub state: State,
    /// What is known of that snapshot.
    pub facts: Option<SnapshotFacts>,
    /// Newer ones that are not good, and why.
    pub passed_over: Vec<String>,
}

impl Base {
    /// The log's beginning.
    #[must_use]
    pub const fn empty(seed: u64) -> Self {
        Self { state: State::new(seed), facts: None, passed_over: Vec::new() }
    }

    /// Where the log goes on; none = at its beginning.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        self.facts.map(|facts| facts.anchor)
    }

    /// The first segment that is needed.
    #[must_use]
    pub fn first_segment(&self) -> u64 {
        self.anchor().map_or(1, |anchor| anchor.end.segment + 1)
    }
}

/// Loads the newest snapshot that is good, of those for which `wants` says yes. `seed` is as in [`State::new`].
///
/// # Errors
/// [`LoadFault`]. A damaged snapshot is none: it is passed over, and told.
pub fn load(dir: &Directory, seed: u64, wants: impl Fn(cage_wal::Lsn) -> bool) -> Result<Base, LoadFault> {
    let mut passed_over = Vec::new();
    for lsn in list(dir)?.into_iter().filter(|lsn| wants(*lsn)) {
        match open(dir, lsn, seed) {
            Ok((state, facts)) => return Ok(Base { state, facts: Some(facts), passed_over }),
            Err(NotGood::Refused(fault)) => return Err(fault),
            Err(NotGood::Damaged(why)) => passed_over.push(why),
        }
    }
    Ok(Base { passed_over, ..Base::empty(seed) })
}

/// Why a snapshot is not used.
enum NotGood {
    Damaged(String),
    Refused(LoadFault),
}

fn open(dir: &Directory, lsn: cage_wal::Lsn, seed: u64) -> Result<(State, SnapshotFacts), NotGood> {
    let snapshot = Snapshot::open(dir, lsn).map_err(|fault| match fault {
        fault @ SnapshotError::NewerFormat { .. } => NotGood::Refused(LoadFault::NewerFormat(fault)),
        fault => NotGood::Damaged(fault.to_string()),
    })?;
    let facts = snapshot.facts();
    let (found, known) = (facts.rules_version, cage_engine::RULES_VERSION);
    if found > known {
        return Err(NotGood::Refused(LoadFault::NewerRules { lsn: Lsn(lsn.0), found, known }));
    }
    let of_it = |what: &dyn std::fmt::Display| NotGood::Damaged(format!("the snapshot at {lsn}: {what}"));
    let state = State::from_image(snapshot.body(), seed).map_err(|fault| of_it(&fault))?;
    if state.next_lsn().0 != lsn.0 + 1 {
        return Err(of_it(&format!("its image is of the state before record {}", state.next_lsn())));
    }
    Ok((state, facts))
}
