//! Without log and network: the engine on one thread. There is no simple limit: it costs cache misses.

use super::{Climb, many};
use crate::engine;
use crate::limits::LimitError;
use crate::rung::{Better, Goal, Run, Rung};
use crate::server::IDS_CAPACITY;
use crate::workload::Mix;

const MILLION: f64 = 1e6;
/// So that the table of ids is full and turns over.
const IDS: u64 = IDS_CAPACITY / 2;
const FEW_PLAYERS: u32 = 10_000;

pub(super) fn engine(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let casino = climb.size.casino_players;
    let rows = [(Mix::Transfers, FEW_PLAYERS, None), (Mix::Casino, casino, Goal::value(3.0, 6.0))];
    let rows = rows.map(|(mix, players, goal)| {
        let name = format!("engine alone, {}, {} players, ids on", mix.name(), many(players.into()));
        let mut rung = Rung::new("engine", name, "M/s", Better::More).to_reach(goal);
        for _ in 0..climb.runs {
            let run = engine::run(mix, players, climb.size.engine_requests, IDS);
            if run.refused > 0 {
                return Err(format!("{} requests of the workload were refused", run.refused).into());
            }
            rung.runs.push(Run::of(run.per_second / MILLION));
        }
        Ok(rung)
    });
    rows.into_iter().collect()
}

pub(super) fn replay(climb: &Climb) -> Result<Vec<Rung>, LimitError> {
    let players = climb.size.casino_players;
    let name = format!("replay (apply), casino, {} players, from memory", many(players.into()));
    let mut rung = Rung::new("replay", name, "M/s", Better::More).to_reach(Goal::value(3.0, 6.0));
    for _ in 0..climb.runs {
        let rate = engine::replay(Mix::Casino, players, climb.size.engine_requests, IDS)?;
        rung.runs.push(Run::of(rate / MILLION));
    }
    Ok(vec![rung])
}
