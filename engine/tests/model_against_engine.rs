//! A million random requests of every kind, alone and in groups, answered by the engine and by a [model](model)
//! written by hand from the documents: every answer, every record, every balance and every row must be the same.
//!
//! The spaces are tiny, so that ids collide, tables fill, and everything is hit late, early, twice, in the wrong order
//! and by the wrong one. Each batch is then replayed from its records alone on a state of another hash seed, and
//! audited: decided again, run by run.
//!
//! What was reached is counted and printed, and has to be all that can be: see [`reach`]. What a million requests did not
//! meet is looked for in worlds that favour it.
//!
//! `CAGE_SEED` (a number) takes other dice than the usual ones, `CAGE_OPERATIONS` more or fewer requests. A failure
//! prints the two that repeat its batch.

#[path = "walk/books.rs"]
mod books;
#[path = "walk/caller.rs"]
mod caller;
#[path = "walk/cashier.rs"]
mod cashier;
#[path = "walk/coverage.rs"]
mod coverage;
#[path = "walk/dice.rs"]
mod dice;
#[path = "walk/house.rs"]
mod house;
mod model;
#[path = "walk/reach.rs"]
mod reach;
#[path = "walk/rules.rs"]
mod rules;
#[path = "walk/run.rs"]
mod run;
#[path = "walk/spoil.rs"]
mod spoil;
#[path = "walk/wagers.rs"]
mod wagers;

use std::env;
use std::ops::RangeFrom;

use cage_engine::{Amount, AssetCode, Operation, RequestId, Role, Settings, Timestamp};

use caller::{GAMES, Someone};
use coverage::Coverage;
use dice::{Dice, World};
use model::{Asked, Caller};
use run::Run;

const OPERATIONS: u64 = 1_000_000;
const BATCH_OPERATIONS: u64 = 2_000;
const SEED: u64 = 0xca6e;
/// From so many on all has to be reached that can be.
const OPERATIONS_FOR_COVERAGE: u64 = OPERATIONS;
/// What is rare is looked for in so many more at most, with the dice that favour it.
const OPERATIONS_FOR_RARITIES: u64 = 4 * OPERATIONS;
/// All tables are compared after so many steps.
const STEPS_PER_COMPARISON: u64 = 40;

#[test]
fn the_engine_answers_as_the_model_does() {
    let seed = number_from("CAGE_SEED").unwrap_or(SEED);
    let operations = number_from("CAGE_OPERATIONS").unwrap_or(OPERATIONS);
    println!("repeat with CAGE_SEED={seed} CAGE_OPERATIONS={operations}");
    let mut coverage = Coverage::default();
    let mut left = operations;
    let mut seeds = seed..;
    while left > 0 {
        let length = left.min(BATCH_OPERATIONS);
        run_batch(seeds.next().expect("there is no end of seeds"), length, &mut coverage);
        left -= length;
    }
    if operations >= OPERATIONS_FOR_COVERAGE {
        more_assets_than_fit(&mut coverage);
        look_for_rarities(seeds, &mut coverage);
    }
    println!("{coverage}");
    if operations >= OPERATIONS_FOR_COVERAGE {
        coverage.assert_complete();
    }
}

/// Goes on with those worlds in which an operation is the favourite of which something was not seen yet.
fn look_for_rarities(seeds: RangeFrom<u64>, coverage: &mut Coverage) {
    let mut wanting = coverage.wanting();
    let batches = (OPERATIONS_FOR_RARITIES / BATCH_OPERATIONS) as usize;
    let favours = |seed: &u64| World::random(&mut Dice::new(*seed)).favourite;
    let (mut ran, mut seeds) = (0, seeds);
    while ran < batches && !wanting.is_empty() {
        let seed = seeds.find(|seed| wanting.contains(&favours(seed))).expect("there is no end of seeds");
        run_batch(seed, BATCH_OPERATIONS, coverage);
        wanting = coverage.wanting();
        ran += 1;
    }
    println!("{ran} more batches of {BATCH_OPERATIONS} for what is rare");
}

fn number_from(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn run_batch(seed: u64, length: u64, coverage: &mut Coverage) {
    let _repeat = Repeat { seed, length };
    let mut dice = Dice::new(seed);
    let world = World::random(&mut dice);
    let mut run = Run::new(dice.seed());
    let mut someone = Someone::new(world, dice);
    let (mut asked, mut step) = (0, 0);
    while asked < length {
        let now = someone.time(
            run.state.clock(),
            run.model.next_due().into_iter().chain(run.model.next_price_end()).min(),
        );
        let received = someone.received(now);
        if let Some(due) = someone.due(&run.model, now) {
            run.ask(due, received, coverage);
            asked += 1;
            continue;
        }
        let requests = someone.next(&run.model, now);
        match &requests[..] {
            [alone] => run.ask(*alone, received, coverage),
            group => run.ask_group(group, received, coverage),
        }
        asked += requests.len() as u64;
        step += 1;
        if step % STEPS_PER_COMPARISON == 0 {
            run.compare_books(&GAMES);
        }
    }
    run.compare_books(&GAMES);
    run.replay(someone.dice.seed());
    run.audit(someone.dice.seed());
}

/// Says how to repeat a batch, should it fail.
struct Repeat {
    seed: u64,
    length: u64,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, length } = self;
            println!(
                "failed; repeat with `CAGE_SEED={seed} CAGE_OPERATIONS={length} \
                 cargo test -p cage-engine --test model_against_engine`"
            );
        }
    }
}

/// The table of assets has room for 1024: the only limit that small spaces never meet.
fn more_assets_than_fit(coverage: &mut Coverage) {
    let mut run = Run::new(1);
    let now = Timestamp::from_millis(1_000_000);
    let settings = Settings {
        ids_capacity: 4_096,
        ids_retention_millis: 0,
        holds_max: 1,
        players_max: 1,
        closed_wagers_max: 0,
    };
    let asked = |role, id, operation| {
        let caller = Caller { role, actor: 7, grant: 0 };
        Asked { now, caller, id, operation, linked: false }
    };
    let configure = Operation::Configure { settings };
    run.ask(asked(Role::System, RequestId::NONE, configure), now, coverage);
    for number in 0..1_030_u32 {
        let code = AssetCode::new(&format!("A{number}")).expect("a code");
        let operation = Operation::OpenAsset { code, scale: 0, transfers: false, amount_max: Amount(1) };
        let id = RequestId::from_time(now, u128::from(number));
        run.ask(asked(Role::Operator, id, operation), now, coverage);
    }
    run.replay(2);
    run.audit(3);
}
