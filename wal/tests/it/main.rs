//! The promises of the log, one test each. Nothing here sleeps to wait for another thread; every random
//! choice comes from a printed seed.
#![allow(unreachable_pub, reason = "the modules of a test share what they need")]

mod archive;
mod common;
mod crash;
mod damage;
mod drills;
mod faults;
mod guards;
mod repair;
mod roundtrip;
mod snapshots;
