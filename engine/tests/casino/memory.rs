//! How much memory a row of each table takes, index and all, measured by counting what is allocated. The table in
//! the documents is what this prints (`cargo test -p cage-engine --test casino memory -- --nocapture`).

#![expect(unsafe_code, reason = "an allocator that counts can only be made with unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;

use cage_engine::{
    Admitted, Amount, AssetId, CallerId, Decision, LimitKind, LockReason, Operation, Period, PlayerClass,
    PlayerId, RequestId, ResultCode, Role, Rule, Settings, State, Timestamp, decide,
};

use crate::ledger::ask::{
    adjust, bet, deposit, end_round, freerounds, lock, metered, reserve_in, reserve_until, set_limit,
    withdraw,
};
use crate::ledger::{ALICE, ETH, HOUR, START, admitted, first_role};

thread_local! {
    /// The bytes that this thread holds.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: i64) {
    // A thread that ends has no counter any more, and nothing to count.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call is handed to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ROWS: u32 = 100_000;

/// A bare state with many players; nothing is kept besides.
struct House {
    state: State,
    now: Timestamp,
    ids: u128,
}

impl House {
    fn new() -> Self {
        let mut house = Self { state: State::new(1), now: START, ids: 0 };
        let settings = Settings {
            // Remembered ids are preallocated, and counted by themselves.
            ids_capacity: 1 << 21,
            ids_retention_millis: 0,
            holds_max: 1 << 22,
            players_max: 1 << 22,
            closed_wagers_max: 1 << 22,
        };
        house.does(0, &Operation::Configure { settings });
        let code = cage_engine::AssetCode::new("ETH").expect("a code");
        for (code, scale) in [(code, 18), (cage_engine::AssetCode::new("USD").expect("a code"), 2)] {
            house.asks(&Operation::OpenAsset { code, scale, transfers: true, amount_max: Amount::MAX });
        }
        house.asks(&Operation::SetRule { rule: Rule::ReferenceAsset, scope: 0, value: 1 });
        let scope = u64::from(Role::Operator as u8) << 16 | u64::from(ETH.0);
        house.asks(&Operation::SetRule { rule: Rule::RoleAmountMax, scope, value: 1_000_000 });
        house
    }

    fn asks(&mut self, operation: &Operation) -> RequestId {
        self.ids += 1;
        let id = RequestId::from_time(self.now, self.ids);
        self.does(id.0, operation);
        id
    }

    fn does(&mut self, id: u128, operation: &Operation) {
        let role = first_role(operation.kind().spec());
        let admitted: Admitted = admitted(operation.request(RequestId(id)), role, 1, self.now);
        let Decision::Record(record) = decide(&self.state, self.now, &admitted) else {
            panic!("{operation:?}")
        };
        assert!(matches!(record.result, ResultCode::Done | ResultCode::Tombstoned), "{:?}", record.result);
        self.state.apply(self.state.next_lsn(), &record).expect("a decided record is applied");
    }

    fn players(&mut self) {
        for number in 0..ROWS {
            self.asks(&Operation::OpenPlayer {
                caller_id: CallerId(mixed(number)),
                brand: 0,
                jurisdiction: 0,
                class: PlayerClass::Real,
            });
        }
    }

    /// Bytes of each of so many rows.
    fn measured(&mut self, mut row: impl FnMut(&mut Self, u32)) -> f64 {
        let before = HELD.get();
        for number in 0..ROWS {
            row(self, number);
        }
        (HELD.get() - before) as f64 / f64::from(ROWS)
    }
}

/// A number with all its bits used, as digests have.
fn mixed(number: u32) -> u128 {
    (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

const fn player(number: u32) -> PlayerId {
    PlayerId::from_index(number)
}

/// Bytes of each hold that was settled in a round of its own, of players with limits or without.
fn tallied(limited: bool) -> f64 {
    let mut house = House::new();
    house.players();
    for number in 0..ROWS {
        house.does(mixed(number) ^ 1, &deposit(player(number), 1_000));
        if limited {
            house.asks(&set_limit(player(number), LimitKind::Loss, Period::Day, 1_000));
        }
    }
    house.measured(|house, number| {
        let hold = house.asks(&reserve_in(player(number), 1, 2, mixed(number) ^ 4));
        let (stake, payout) = (Amount(1), Amount(2));
        house.asks(&Operation::Settle { player: player(number), asset: ETH, hold, stake, payout });
    })
}

#[test]
fn a_row_of_no_table_takes_more_memory_than_the_documents_say() {
    let mut table = Vec::new();
    let mut house = House::new();
    table.push((
        "player with its first asset",
        256.0,
        house.measured(|house, number| {
            house.asks(&Operation::OpenPlayer {
                caller_id: CallerId(mixed(number)),
                brand: 0,
                jurisdiction: 0,
                class: PlayerClass::Real,
            });
        }),
    ));
    let mut house = House::new();
    house.players();
    for number in 0..ROWS {
        house.does(mixed(number) ^ 1, &deposit(player(number), 1_000_000));
    }
    let mut per_player = |name, most, row: &dyn Fn(&mut House, u32)| {
        table.push((name, most, house.measured(row)));
    };
    per_player("hold", 256.0, &|house, number| {
        house.asks(&reserve_until(player(number), 1, 2, cage_engine::Expiry::Never));
    });
    per_player("bet in a round of its own", 640.0, &|house, number| {
        house.asks(&bet(player(number), 1, mixed(number) ^ 3, mixed(number) ^ 4));
    });
    per_player("session", 352.0, &|house, number| {
        let ends = house.now.plus_millis(HOUR);
        house.asks(&metered(player(number), mixed(number) ^ 5, ends, 0));
    });
    per_player("limits of a player", 896.0, &|house, number| {
        house.asks(&set_limit(player(number), LimitKind::Loss, Period::Day, 1_000));
    });
    per_player("lock", 128.0, &|house, number| {
        house.asks(&lock(player(number), 1, LockReason::Review));
    });
    per_player("withdrawal", 640.0, &|house, number| {
        house.asks(&withdraw(player(number), 1));
    });
    per_player("free rounds", 224.0, &|house, number| {
        let ends = house.now.plus_millis(HOUR);
        house.asks(&freerounds(player(number), 1, ends));
    });
    per_player("proposed correction, with its permanent key", 224.0, &|house, number| {
        house.does(mixed(number) ^ 6, &adjust(player(number), 1, false));
    });
    // Each on its own books, so that no table has room left from another measurement.
    let alone = |row: &dyn Fn(&mut House, u32)| {
        let mut house = House::new();
        house.players();
        house.measured(row)
    };
    let prize = |number, asset, turnover| Operation::PromoCredit {
        player: player(number),
        asset,
        amount: Amount(1),
        game: crate::ledger::PLAY,
        campaign: None,
        house_paid: true,
        turnover: Amount(turnover),
    };
    let credit = |house: &mut House, number, asset, turnover| {
        house.does(mixed(number) ^ 7, &prize(number, asset, turnover));
    };
    let key = alone(&|house, number| credit(house, number, ETH, 0));
    let turnover = alone(&|house, number| credit(house, number, ETH, 5)) - key;
    let both = alone(&|house, number| {
        credit(house, number, ETH, 0);
        house.does(mixed(number) ^ 8, &prize(number, AssetId(2), 0));
    });
    let twice = alone(&|house, number| {
        credit(house, number, ETH, 0);
        house.does(mixed(number) ^ 8, &prize(number, ETH, 0));
    });
    let further = alone(&|house, number| {
        if number == 0 {
            house.does(1, &deposit(ALICE, 1_000_000));
        }
        house.asks(&bet(ALICE, 1, mixed(number) ^ 3, 0x40d));
    });
    table.push(("further bet in a round", 384.0, further));
    let kept = alone(&|house, number| {
        if number == 0 {
            house.does(1, &deposit(ALICE, 1_000_000));
        }
        house.asks(&bet(ALICE, 1, mixed(number) ^ 3, mixed(number) ^ 4));
        house.asks(&end_round(ALICE, mixed(number) ^ 4));
    });
    table.push(("bet or win of a closed round", 384.0, kept));
    let deposited = alone(&|house, number| house.does(mixed(number) ^ 9, &deposit(player(number), 5)));
    table.push(("further asset of a player", 192.0, both - twice));
    table.push(("permanent key", 120.0, key));
    table.push(("deposit, beside its permanent key", 192.0, deposited - key));
    table.push(("turnover", 128.0, turnover));
    table.push(("what a round counted by settled holds", 224.0, tallied(true) - tallied(false)));
    // The memory of ids is taken at once, for as many as the settings say.
    let before = HELD.get();
    let house = House::new();
    let empty = HELD.get() - before;
    table.push(("remembered id", 64.0, empty as f64 / f64::from(1 << 21)));
    drop(house);
    println!("| a row of | bytes, index included |\n|---|---|");
    for (name, _, bytes) in &table {
        println!("| {name} | {bytes:.0} |");
    }
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md"));
    let page = page.expect("the page of figures");
    // Other tables of the page have rows of the same names.
    let (_, page) = page.split_once("| a row of | bytes |").expect("the page has the table");
    for (name, most, bytes) in &table {
        let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {name} | ")));
        let said = row.and_then(|row| row.trim_end_matches(" |").parse::<f64>().ok());
        let said = said.unwrap_or_else(|| panic!("docs/benchmarks.md has a row \"| {name} | {bytes:.0} |\""));
        assert!((said - bytes).abs() <= said / 10.0, "{name}: {bytes:.0} bytes, the page says {said:.0}");
        assert!(bytes <= most, "{name}: {bytes:.0} bytes, at most {most:.0}");
        assert!(*bytes > 8.0, "{name}: {bytes:.0} bytes, which is no row");
    }
}
