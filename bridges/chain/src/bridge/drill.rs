//! For drills: a bridge that kills its own process at a named point, as a crash would.
//!
//! In: the name of a point. Out: nothing, or the end of the process by SIGKILL. Never here: a point that is set by anything
//! but the environment of whoever drills.

use std::str::FromStr;

use rustix::process::{Signal, getpid, kill_process};

/// Points of a payment, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The withdrawal may be paid, and nothing has been done about it.
    Approved,
    /// Its slot is bound.
    Planned,
    /// Its transaction is signed, and the ledger does not know.
    Signed,
    /// The ledger has it on record, and it was not sent.
    Recorded,
    /// It was sent.
    Sent,
    /// It is in a final block, and the ledger does not know.
    Mined,
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "approved" => Self::Approved,
            "planned" => Self::Planned,
            "signed" => Self::Signed,
            "recorded" => Self::Recorded,
            "sent" => Self::Sent,
            "mined" => Self::Mined,
            _ => return Err(format!("no point of a payment: {text}")),
        })
    }
}

/// The point was reached. If it is the one of the drill, this does not return.
pub(super) fn reached(point: Point, drilled: Option<Point>) {
    if drilled == Some(point) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
