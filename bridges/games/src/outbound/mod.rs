//! Bets that are sent out: set aside first, sent then, paid or given back when it is known what became of them.
//!
//! In: bets of players, answers of a provider. Out: one outcome for each bet, whatever is lost, late, doubled or wrong.
//! `machine` is pure and says what to do next; `rgs` is the format; `driver` is the only part that waits for anybody.

mod driver;
mod machine;
mod rgs;
mod ticket;

pub use driver::{Driver, OpenBet, Placed, Reported};
pub use machine::{Decision, Ended, Event, Machine, Step};
pub use rgs::{Heard, PLACES, Wager, Why};
pub use ticket::{Decided, Order, Ticket, is_decided};
