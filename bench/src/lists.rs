//! Lists of what is open: how long one look of theirs stops the writer, and how many looks a page takes.
//!
//! In: how many holds are open. Out: the time of each look at the books, as the server takes it between two batches. Never
//! here: a network, a log.

use std::time::Instant;

use cage::limits::LOOK_ROWS;
use cage_engine::{PlayerId, Settings, State, Timestamp};
use cage_protocol::query::{Query, QueryKind};
use cage_protocol::seek::List;

use crate::engine::step;
use crate::limits::LimitError;
use crate::workload::{Funds, Mix, Workload};

const PLAYERS: u32 = 10_000;
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
/// Passes over the table; each page begins anew.
const PAGES: usize = 20;

/// What pages of one kind took.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Which pages.
    pub what: &'static str,
    /// Looks that a page takes.
    pub looks: usize,
    /// The median look, in microseconds.
    pub p50_us: f64,
    /// All but one in a hundred.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// Looks at so many open holds, all of them, and those of one player.
///
/// # Errors
/// The books do not take so many.
pub fn run(open: usize) -> Result<Vec<Looked>, LimitError> {
    let mut workload = Workload::new(Mix::Casino, PLAYERS, 0x5eed);
    let holds_max = open as u64 + 1;
    let settings =
        Settings { ids_capacity: 4 * holds_max, ids_retention_millis: 0, holds_max, ..Settings::DEFAULT };
    let mut state = State::new(0x5eed);
    for admitted in workload.setup(settings, Funds::Deposits, START, 0) {
        step(&mut state, START, &admitted);
    }
    for _ in 0..open {
        step(&mut state, START, &workload.bet(START));
    }
    if state.hold_places() < open {
        return Err(format!("{open} holds were to be open, {} are", state.hold_places()).into());
    }
    let holds = Query::new(QueryKind::OpenHolds);
    let of_player = Query { player: Some(PlayerId::from_index(1)), ..holds };
    let of_provider = Query { provider: Some(1), ..holds };
    Ok(vec![
        looked("open holds", holds, &state),
        looked("open holds of a player", of_player, &state),
        looked("open holds of a provider", of_provider, &state),
    ])
}

fn looked(what: &'static str, query: Query, state: &State) -> Looked {
    let mut micros = Vec::new();
    for _ in 0..PAGES {
        let mut list = List::new(query);
        loop {
            let begin = Instant::now();
            let is_done = list.look(state, LOOK_ROWS);
            micros.push(begin.elapsed().as_secs_f64() * 1e6);
            if is_done {
                break;
            }
        }
    }
    let looks = micros.len() / PAGES;
    micros.sort_by(f64::total_cmp);
    let at = |part: f64| micros[((micros.len() - 1) as f64 * part) as usize];
    Looked { what, looks, p50_us: at(0.5), p99_us: at(0.99), max_us: at(1.0) }
}
