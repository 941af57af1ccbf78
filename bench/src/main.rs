//! `cage-bench`.
use cage_bench::{engine, limits, log, workload::Mix};
use std::time::Duration;
fn main() {
    let what = std::env::args().nth(1).unwrap_or_default();
    let dir = std::env::current_dir().unwrap().join("target/bench-data");
    std::fs::create_dir_all(&dir).unwrap();
    for _ in 0..3 {
        match what.as_str() {
            "engine" => {
                for (mix, players) in [(Mix::Transfers, 10_000), (Mix::Casino, 1_000_000)] {
                    println!("{} {:?}", mix.name(), engine::run(mix, players, 4_000_000, 8 << 20));
                }
            }
            "disk" => {
                for bytes in [4096, 65536, 1 << 20] {
                    println!(
                        "{bytes} {:?}",
                        limits::disk::run(&dir, bytes, 256 << 20, Duration::from_secs(1)).unwrap()
                    );
                }
            }
            "quic" => {
                for w in [1, 64, 8192] {
                    println!("{w} {:.0}", limits::quic::run(w, Duration::from_secs(2)).unwrap());
                }
            }
            "log" => {
                for flush in cage_wal::FlushStrategy::ALL {
                    let d = dir.join("log");
                    let _ = std::fs::remove_dir_all(&d);
                    println!(
                        "{flush:?} {:?}",
                        log::run(&d, Mix::Transfers, 10_000, flush, Duration::from_secs(3)).unwrap()
                    );
                }
            }
            _ => {}
        }
    }
}
