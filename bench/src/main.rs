//! `cage-bench`.
use cage_bench::{engine, workload::Mix};
fn main() {
    for (mix, players) in [(Mix::Transfers, 10_000), (Mix::Casino, 1_000_000)] {
        for _ in 0..3 {
            println!("{} {:?}", mix.name(), engine::run(mix, players, 4_000_000, 8 << 20));
        }
    }
}
