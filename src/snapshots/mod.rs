//! Snapshots of the ledger: a start that has one applies only what came after it.
//!
//! In: a data directory, beside whose server it may run. Out: the newest state that is proven, and where the log goes on
//! from it; one more snapshot. Never here: a snapshot that is trusted because of its name; silence about one that is not
//! good.
//!
//! [`make`] writes them, in a process of its own that [`keeper`] starts; nothing of it touches the writer. How it is done
//! (what is synced, read back, named and removed, and in which order) is the log's: `cage_wal::cover`.

pub mod keeper;

use std::{panic, thread};

use cage_engine::{Both, Replay, State};
use cage_wal::storage::Directory;
use cage_wal::storage::faulty::FaultPlan;
use cage_wal::{FrameView, Lsn, StorageError, cover};

pub use cage_wal::cover::{Keep, LoadFault, Made};

use crate::clock::wall;
use crate::data::DataDir;
use crate::recovery::{ReplayFault, replay};

/// Exit code of the process that makes snapshots: they are good, but a segment was not archived.
pub const EXIT_NOT_ARCHIVED: u8 = 6;
/// Exit code of the process that makes snapshots: a segment of the log is damaged, and no attempt gets further before a
/// good copy is in its place.
pub const EXIT_LOG_DAMAGED: u8 = 4;

/// Where to go on from.
pub type Base = cover::Base<Books>;

/// Why no snapshot was made.
pub type MakeFault = cover::MakeFault<ReplayFault>;

/// The ledger's state, as what a snapshot is made of.
#[derive(Debug)]
pub struct Books(pub Replay);

/// Two things at once.
struct Threads;

impl Both for Threads {
    fn both<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        thread::scope(|scope| {
            let other = scope.spawn(other);
            let one = one();
            match other.join() {
                Ok(other) => (one, other),
                Err(panic) => panic::resume_unwind(panic),
            }
        })
    }
}

impl cover::Image for Books {
    type Fault = ReplayFault;
    const RULES_VERSION: u32 = cage_engine::RULES_VERSION;

    fn empty() -> Self {
        Self(Replay::new(State::new(rand::random())))
    }

    fn read(body: &[u8]) -> Result<Self, String> {
        Replay::from_image_by(&Threads, body, rand::random()).map(Self).map_err(|fault| fault.to_string())
    }

    fn write(&self, take: &mut dyn FnMut(&[u8]) -> Result<(), StorageError>) -> Result<(), StorageError> {
        self.0.write_image(take)
    }

    fn apply(&mut self, frame: &FrameView<'_>) -> Result<(), ReplayFault> {
        replay(&mut self.0, frame)
    }

    fn digest(&self) -> [u8; 32] {
        self.0.digest()
    }

    fn next_lsn(&self) -> Lsn {
        Lsn(self.0.next_lsn().0)
    }
}

/// Loads the newest snapshot that is good, of those for which `wants` says yes.
///
/// # Errors
/// [`LoadFault`]. A damaged snapshot is none: it is passed over, and told.
pub fn load(dir: &Directory, wants: impl Fn(Lsn) -> bool) -> Result<Base, LoadFault> {
    cover::load(dir, wants)
}

/// Makes a snapshot of all that is sealed, and archives what the older one of two covers. With a plan of faults the disk
/// goes wrong when the plan says so: for drills. `progress` is told the bytes of each frame that is applied.
///
/// # Errors
/// [`MakeFault`]; what was there before is still there.
pub fn make(
    data: &DataDir,
    keep: Keep,
    faults: Option<FaultPlan>,
    progress: &mut dyn FnMut(u64),
) -> Result<Made, MakeFault> {
    cover::make_telling::<Books>(&data.places(faults), keep, wall().0, progress)
}
