//! Damage at rest: after a clean end every byte of a log is vouched for, and one that changed is found.
//!
//! What breaks: a byte that nothing covers (an audit says that all is well over a file that is not what was written),
//! a server that goes on over damage, a refusal that does not say where to look, or that repairs what it should
//! leave alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cage::audit::{AuditOptions, audit as decide_again};
use cage::data::DataDir;
use cage_engine::Role;
use cage_wal::{Limits, scan};
use rand::RngExt;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::harness::casino::{Casino, client};
use crate::harness::{self, Ledger, Start, audit, folder, run, setting};

const PAGE: u64 = 4096;

/// A small log: closed once, killed once, closed again. Gives its folder, and where each frame begins and ends.
struct Log {
    dir: TempDir,
    frames: Vec<(PathBuf, u64, u64)>,
}

impl Log {
    fn written() -> Self {
        let dir = folder();
        run(async {
            let ledger = Ledger::small(dir.path());
            let casino = Casino::funded(&ledger, 3, 10_000).await;
            work(&ledger, &casino).await;
            let ledger = ledger.close().await.ledger();
            work(&ledger, &casino).await;
            let ledger = ledger.kill().ledger();
            work(&ledger, &casino).await;
            ledger.close().await;
        });
        audit(dir.path(), &[]).assert_clean();
        let mut frames = Vec::new();
        scan(&dir.path().join("log"), Limits::default(), |frame| {
            let (segment, begin) = (frame.position.segment, frame.position.offset);
            let file = dir.path().join("log").join(format!("{segment:016x}.wal"));
            frames.push((file, begin, begin + frame.bytes().len() as u64));
            Ok::<_, std::convert::Infallible>(())
        })
        .expect("a readable log");
        Self { dir, frames }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The files that matter, in order.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join("log")).expect("the log's folder");
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| {
                path.extension().is_some_and(|extension| extension == "wal") || path.ends_with("control")
            })
            .collect();
        files.sort();
        files
    }

    /// Segments without a header: prepared and not used yet.
    fn is_spare(file: &Path) -> bool {
        let mut first = [0; PAGE as usize];
        fs::File::open(file).and_then(|file| file.read_exact_at(&mut first, 0)).expect("a page");
        first.iter().all(|byte| *byte == 0)
    }

    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.files().into_iter().map(|file| (file.clone(), fs::read(file).expect("a file"))).collect()
    }
}

async fn work(ledger: &Ledger, casino: &Casino) {
    let games = client(ledger, Role::Games).await;
    for player in 0..3 {
        let bets: Vec<_> = (0..20).map(|_| games.submit(casino.reserve(player, 5, 50))).collect();
        for bet in bets {
            let hold = bet.await.expect("a bet").id;
            games.submit(casino.settle(player, hold, 5, 6)).await.expect("its end");
        }
    }
    games.close().await;
}

/// One byte of a file with some of its bits turned over, until this is dropped.
struct Flip<'a> {
    file: &'a Path,
    at: u64,
    was: u8,
}

impl<'a> Flip<'a> {
    fn bit(file: &'a Path, at: u64, mask: u8) -> Self {
        let mut byte = [0];
        fs::File::open(file).and_then(|file| file.read_exact_at(&mut byte, at)).expect("a byte");
        let flip = Self { file, at, was: byte[0] };
        flip.set(byte[0] ^ mask);
        flip
    }

    fn set(&self, byte: u8) {
        let file = fs::OpenOptions::new().write(true).open(self.file).expect("a file");
        file.write_all_at(&[byte], self.at).expect("a byte");
    }
}

impl Drop for Flip<'_> {
    fn drop(&mut self) {
        self.set(self.was);
    }
}

/// Where fields begin and end in the first 256 bytes of a control slot, a segment header, a frame header; and the
/// bytes around.
const CONTROL: [u64; 14] = [0, 4, 6, 8, 24, 32, 40, 48, 80, 88, 96, 104, 251, 252];
const SEGMENT: [u64; 16] = [0, 4, 6, 8, 24, 32, 40, 48, 80, 88, 120, 128, 136, 251, 252, 255];
const FRAME: [u64; 18] = [0, 4, 6, 8, 12, 16, 32, 40, 48, 56, 64, 72, 80, 88, 92, 96, 128, 132];

/// Every place where something begins or ends.
fn interesting(log: &Log) -> Vec<(PathBuf, u64)> {
    let mut places = Vec::new();
    for file in log.files() {
        let length = fs::metadata(&file).expect("a file").len();
        let mut at = |offset: u64| places.push((file.clone(), offset));
        if file.ends_with("control") {
            for slot in [0, PAGE] {
                CONTROL.iter().for_each(|field| at(slot + field));
                [256, PAGE - 1].iter().for_each(|zero| at(slot + zero));
            }
            continue;
        }
        SEGMENT.iter().for_each(|field| at(*field));
        [256, PAGE - 1, PAGE, length / 2, length - PAGE, length - 1].into_iter().for_each(&mut at);
        for (_, begin, end) in log.frames.iter().filter(|(of, ..)| *of == file) {
            FRAME.iter().for_each(|field| at(begin + field));
            [255, 256, 300, 511, end - begin - 257, end - begin - 1]
                .iter()
                .for_each(|place| at(begin + place));
            // Behind the last one of a segment there are zeroes.
            if *end < length {
                at(*end);
            }
        }
    }
    places
}

fn anywhere(log: &Log, random: &mut StdRng, count: u64) -> Vec<(PathBuf, u64)> {
    let files = log.files();
    let places = (0..count).map(|_| {
        let file = &files[random.random_range(0..files.len())];
        (file.clone(), random.random_range(0..fs::metadata(file).expect("a file").len()))
    });
    places.collect()
}

#[test]
fn after_a_clean_end_an_audit_finds_every_flipped_byte() {
    let mut random = harness::random("flipped bytes");
    let log = Log::written();
    let mut places = interesting(&log);
    let structural = places.len();
    places.extend(anywhere(&log, &mut random, setting("CAGE_FLIPS", 300)));
    // Most in this process, because starting another one takes longer than the audit; the rest through the program.
    let through_the_program = places.len().div_ceil(60);
    let mut unnoticed = Vec::new();
    for (number, (file, at)) in places.iter().enumerate() {
        let mask = 1 << random.random_range(0..8);
        let _flip = Flip::bit(file, *at, mask);
        let found = if number % through_the_program == 0 {
            let report = audit(log.path(), &[]);
            assert!([0, 1, 2].contains(&report.code), "{report:?}");
            report.code != 0
        } else {
            let report = decide_again(&DataDir::new(log.path(), None), AuditOptions::default(), |_| {});
            report.map_or(true, |report| !report.is_clean())
        };
        if !found {
            let name = file.file_name().expect("a name").display().to_string();
            unnoticed.push(format!("bit {mask:#04x} of byte {at} of {name}"));
        }
    }
    println!("{structural} structural and {} random places", places.len() - structural);
    assert!(unnoticed.is_empty(), "unnoticed: {unnoticed:#?}");
    audit(log.path(), &[]).assert_clean();
}

/// B4.8, B4.9.
#[test]
fn a_server_does_not_start_over_damage_and_says_where_it_is() {
    let mut random = harness::random("damaged starts");
    let log = Log::written();
    let mut places: Vec<_> = interesting(&log);
    places.extend(anywhere(&log, &mut random, 30));
    places.retain(|(file, _)| !Log::is_spare(file));
    for _ in 0..setting("CAGE_STARTS", 40) {
        let (file, at) = places.swap_remove(random.random_range(0..places.len()));
        let _flip = Flip::bit(&file, at, 1 << random.random_range(0..8));
        let before = log.contents();
        let ended = Start::small(log.path()).refused();
        let name = file.file_name().expect("a name").display().to_string();
        let said = &ended.stderr;
        // A changed version looks like a newer one: no damage to this program, and refused all the same.
        let newer = said.contains("use a newer program");
        assert_eq!(ended.status.code(), Some(if newer { 8 } else { 4 }), "byte {at} of {name}: {ended:?}");
        assert!(said.contains("cage: the log cannot be recovered: "), "byte {at} of {name}: {said}");
        assert!(said.contains(".wal") || said.contains("control"), "byte {at} of {name}: {said}");
        assert!(log.contents() == before, "a refusal leaves everything as it is: byte {at} of {name}");
    }
    // All flips were undone: it starts again.
    run(async { Start::small(log.path()).ledger().close().await });
    audit(log.path(), &[]).assert_clean();
}

/// A frame in the middle that is gone without a trace, files that are gone, swapped, cut or older than the rest.
#[test]
fn what_is_missing_is_missed() {
    let log = Log::written();
    let good = log.contents();
    let restore = || {
        for file in log.files() {
            if !good.contains_key(&file) {
                fs::remove_file(file).expect("a file");
            }
        }
        good.iter().for_each(|(file, bytes)| fs::write(file, bytes).expect("a file"));
    };
    let used: Vec<_> =
        log.files().into_iter().filter(|file| !file.ends_with("control") && !Log::is_spare(file)).collect();
    assert_eq!(used.len(), 3, "each start began a segment");
    let missed = |what: &str| {
        let report = audit(log.path(), &[]);
        assert!([1, 2].contains(&report.code), "{what}: {report:?}");
        let ended = Start::small(log.path()).refused();
        assert_eq!(ended.status.code(), Some(4), "{what}");
        assert!(ended.stderr.contains("the log cannot be recovered"), "{what}: {}", ended.stderr);
        restore();
    };
    for (place, file) in used.iter().enumerate() {
        fs::remove_file(file).expect("a file");
        missed(&format!("segment {} is gone", place + 1));
        fs::write(file, vec![0; good[file].len()]).expect("a file");
        missed(&format!("segment {} is empty", place + 1));
        fs::write(file, &good[file][..good[file].len() / 2]).expect("a file");
        missed(&format!("segment {} is cut", place + 1));
        let other = &used[(place + 1) % used.len()];
        fs::write(file, &good[other]).expect("a file");
        missed(&format!("another stands in for segment {}", place + 1));
    }
    for (file, begin, end) in log.frames.iter().step_by(log.frames.len() / 6) {
        let mut bytes = good[file].clone();
        bytes[*begin as usize..*end as usize].fill(0);
        fs::write(file, bytes).expect("a file");
        missed(&format!("the frame at {begin} was never written"));
    }
    let control = log.path().join("log").join("control");
    fs::remove_file(&control).expect("a file");
    missed("the control file is gone");
    fs::write(&control, vec![0; good[&control].len()]).expect("a file");
    missed("the control file is empty");
    audit(log.path(), &[]).assert_clean();
}
