//! A directory of today's format, kept in the tree: what is written today is what was written then, byte for byte, and
//! what was written then is read today, by the library and by the program.
//!
//! It holds five lives of a ledger, made from a fixed seed: one that was closed, one whose last frame was torn, one
//! with several segments, one that was closed again, and one whose last frame was torn and not yet followed by another.
//! While the format is 0 it is made anew with each change of log, records or rules:
//! `CAGE_GOLDEN_WRITE=1 cargo test -p cage --test it golden`. From format 1 on, old ones stay and stay readable.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use cage::audit::{AuditOptions, audit as decide_again};
use cage::data::DataDir;
use cage::recovery;
use cage_campaign::records::Random;
use cage_engine::{
    Admitted, AssetCode, AssetId, CallerId, Decision, Operation, PlayerClass, PlayerId, Replay, RequestId,
    Role, Rule, Settings, State, Timestamp, decide, decide_group,
};
use cage_wal::storage::sim::SimDisk;
use cage_wal::{
    Callbacks, Epoch, FORMAT_VERSION, Identity, Limits, LogId, LogOptions, Writer, recover_from, scan,
};

use crate::harness::casino::{BOUND, Casino, key};
use crate::harness::{self, Start, audit, folder, run, run_cage, stderr};

const SEED: u64 = 0x0060_1DE2;
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
const PLAYERS: u32 = 4;

/// What one life of the ledger did with its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Torn,
}

pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("v{FORMAT_VERSION}"))
}

/// One life of a ledger without a network.
///
/// Its flusher waits after each write until it is told to go on. So what a frame holds does not depend on how fast it is.
struct Ledger {
    state: State,
    /// Gone before the writer is, which waits for the flusher.
    go_on: Option<Sender<()>>,
    waits: bool,
    writer: Writer,
    now: Timestamp,
    ids: u128,
}

impl Ledger {
    fn open(disk: &SimDisk, epoch: u64) -> Self {
        let mut state = Replay::new(State::new(epoch));
        let recovered =
            recover_from(disk.clone(), Limits::default(), |frame| recovery::replay(&mut state, &frame));
        let options = LogOptions {
            segment_bytes: 64 << 10,
            ready_segments: 1,
            reserve_segments: 0,
            control_interval: Duration::from_secs(3600),
            wall_clock_ns: || START.0,
            ..recovery::log_options()
        };
        let identity = Identity { epoch: Epoch(epoch), new_log: LogId(0x0C0F_FEE0) };
        let recovered = recovered.expect("the log recovers");
        let (go_on, told) = channel();
        let on_durable = Box::new(move |_| {
            // It is told, or there is nobody left to tell it.
            let _ = told.recv();
        });
        let callbacks = Callbacks { on_durable, ..Callbacks::none() };
        let (writer, _) = recovered.open(options, identity, callbacks).expect("the log opens");
        let now = Timestamp(START.0 + epoch * 3_600_000_000_000);
        Self {
            state: state.finish(),
            go_on: Some(go_on),
            waits: false,
            writer,
            now,
            ids: u128::from(epoch) << 32,
        }
    }

    fn id(&mut self) -> RequestId {
        self.ids += 1;
        RequestId::from_time(self.now, self.ids)
    }

    fn admit(&self, operation: Operation, role: Role, id: RequestId) -> Admitted {
        Admitted { request: operation.request(id), role, actor: 1, grant: 0, received: self.now }
    }

    /// Decides one request.
    fn ask(&mut self, operation: Operation, role: Role, id: RequestId) {
        let admitted = self.admit(operation, role, id);
        let decision = decide(&self.state, self.now, &admitted);
        self.write(&[decision]);
    }

    /// Decides two requests that are linked.
    fn ask_both(&mut self, operations: [Operation; 2], role: Role) {
        let ids = [self.id(), self.id()];
        let mut members = [0, 1].map(|place| self.admit(operations[place], role, ids[place]));
        members[0].request.linked = true;
        let decisions = decide_group(&mut self.state, self.now, &members);
        self.write(&decisions);
    }

    /// Applies and appends what was decided, in one frame.
    fn write(&mut self, decisions: &[Decision]) {
        let records: Vec<_> = decisions.iter().flat_map(|decision| decision.records().to_vec()).collect();
        assert!(!records.is_empty(), "it is recorded: {decisions:?}");
        for record in &records {
            let lsn = self.state.next_lsn();
            self.state.apply(lsn, record).expect("it fits the books");
        }
        let bytes: Vec<_> = records.iter().map(cage_engine::Record::to_bytes).collect();
        self.writer.append_linked(&bytes).expect("there is room");
        self.now = Timestamp(self.now.0 + 1_000_000);
    }

    /// Waits until everything is durable: what was written since the last time is one frame.
    fn flush(&mut self) {
        if let (true, Some(go_on)) = (self.waits, &self.go_on) {
            go_on.send(()).expect("the flusher waits");
        }
        self.waits = true;
        self.writer.publish();
        while self.writer.handle().durable().get() < self.writer.next_lsn().previous() {
            assert_eq!(self.writer.handle().failed(), None);
            std::thread::yield_now();
        }
    }

    /// Opens the books.
    fn set_up(&mut self, casino: &Casino) {
        let settings = Settings { ids_capacity: 1 << 12, ..Settings::DEFAULT };
        self.ask(Operation::Configure { settings }, Role::System, RequestId::NONE);
        self.flush();
        let code = AssetCode::new("CHIP").expect("a code");
        let id = self.id();
        self.ask(
            Operation::OpenAsset { code, scale: 2, transfers: true, amount_max: BOUND },
            Role::Operator,
            id,
        );
        for rule in [Rule::TransfersInBrand, Rule::TransfersInJurisdiction] {
            let id = self.id();
            self.ask(Operation::SetRule { rule, scope: 1, value: 1 }, Role::Operator, id);
        }
        for player in 0..PLAYERS {
            let (id, caller_id) = (self.id(), CallerId(u128::from(player) + 1));
            let class = PlayerClass::Real;
            self.ask(
                Operation::OpenPlayer { caller_id, brand: 1, jurisdiction: 1, class },
                Role::Frontend,
                id,
            );
        }
        for player in 0..PLAYERS {
            let deposit = casino.deposit(player as usize, 100_000);
            self.ask(deposit, Role::Cashier, key("golden", u64::from(player)));
        }
    }

    /// Bets, transfers and groups, some of them refused.
    fn play(&mut self, casino: &Casino, random: &mut Random) {
        let (player, other) = (random.index(PLAYERS as usize), random.index(PLAYERS as usize));
        match random.below(6) {
            0 => {
                let id = self.id();
                self.ask(
                    casino.transfer(player, other, 1 + u128::from(random.below(500))),
                    Role::Frontend,
                    id,
                );
            }
            1 => self.ask_both(
                [casino.transfer(player, other, 7), casino.transfer(other, player, 3)],
                Role::Frontend,
            ),
            2 => {
                let (hold, id) = (self.id(), self.id());
                self.ask(casino.reserve(player, 50, 100), Role::Games, hold);
                self.ask(casino.cancel(player, hold), Role::Games, id);
            }
            _ => {
                let (hold, id) = (self.id(), self.id());
                let stake = 1 + u128::from(random.below(200));
                self.ask(casino.reserve(player, stake, stake * 2), Role::Games, hold);
                let payout = if random.one_in(2) { stake * 2 } else { 0 };
                self.ask(casino.settle(player, hold, stake, payout), Role::Games, id);
            }
        }
    }
}

/// The files of the directory, made again.
pub(crate) fn made() -> BTreeMap<String, Vec<u8>> {
    let disk = SimDisk::new();
    let players = (0..PLAYERS).map(PlayerId::from_index).collect();
    let casino = Casino { asset: AssetId(1), players };
    let mut random = Random::new(SEED);
    let lives = [(4, End::Closed), (6, End::Torn), (40, End::Closed), (3, End::Closed), (5, End::Torn)];
    for (epoch, (frames, end)) in (1..).zip(lives) {
        let mut ledger = Ledger::open(&disk, epoch);
        // The flusher does not wait yet: the first frame is one record.
        if epoch == 1 {
            ledger.set_up(&casino);
        } else {
            let id = ledger.id();
            ledger.ask(casino.transfer(0, 1, 1), Role::Frontend, id);
            ledger.flush();
        }
        for _ in 0..frames {
            for _ in 0..1 + random.below(9) {
                ledger.play(&casino, &mut random);
            }
            ledger.flush();
        }
        // The last frame is longer than a sector, whatever the dice said.
        (0..8).for_each(|_| ledger.play(&casino, &mut random));
        ledger.flush();
        ledger.go_on = None;
        match end {
            End::Closed => drop(ledger.writer.close().expect("it is closed")),
            End::Torn => {
                drop(ledger);
                tear(&disk);
            }
        }
    }
    let used = |name: &str, bytes: &[u8]| {
        name == "control" || name.ends_with(".wal") && bytes.iter().any(|b| *b != 0)
    };
    let files = disk.files().into_iter().map(|(name, bytes)| (name, bytes.to_vec()));
    files.filter(|(name, bytes)| used(name, bytes)).collect()
}

/// Of the last frame only the first three sectors arrived.
fn tear(disk: &SimDisk) {
    let mut last = None;
    cage_wal::scan_from(disk, Limits::default(), |frame| {
        last = Some((frame.position, frame.bytes().len()));
        Ok::<_, Infallible>(())
    })
    .expect("the log is whole");
    let (position, length) = last.expect("a frame");
    let begin = usize::try_from(position.offset).expect("an offset");
    disk.edit(&format!("{:016x}.wal", position.segment), |bytes| {
        bytes[begin + 3 * 512..begin + length].fill(0)
    });
}

/// What is found in the directory, in lines.
fn described(data_dir: &Path) -> String {
    let log = data_dir.join("log");
    let found = decide_again(&DataDir::new(data_dir, None), AuditOptions::default(), |_| {})
        .expect("a log that can be read");
    assert!(found.is_clean(), "{found:?}");
    let scanned = scan(&log, Limits::default(), |_| Ok::<_, Infallible>(())).expect("a log that can be read");
    let torn = scanned.torn_tail.expect("its last frame was torn");
    let digest: String = found.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "records {}\nframes {}\nsegments {}\nend {}\nchain {}\ndigest {digest}\ntorn tail at {}: {} bytes\n",
        found.records,
        found.frames,
        scanned.segments,
        scanned.end,
        scanned.chain_head,
        torn.position,
        torn.bytes
    )
}

/// A copy that can be changed.
fn copy(to: &Path) {
    fs::create_dir_all(to.join("log")).expect("a folder");
    for entry in fs::read_dir(golden().join("log")).expect("the golden log").flatten() {
        fs::copy(entry.path(), to.join("log").join(entry.file_name())).expect("a copy");
    }
}

#[test]
fn the_golden_log_is_made_again_byte_for_byte_and_read_as_it_was() {
    let (files, home) = (made(), golden().join("log"));
    if std::env::var_os("CAGE_GOLDEN_WRITE").is_some() {
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).expect("a folder");
        files.iter().for_each(|(name, bytes)| fs::write(home.join(name), bytes).expect("a file"));
        fs::write(golden().join("expected.txt"), described(&golden())).expect("a file");
    }
    let kept: BTreeMap<String, Vec<u8>> = fs::read_dir(&home)
        .expect("the golden log")
        .flatten()
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("a file"))
        })
        .collect();
    let hint = "the format changed; see the top of this file";
    assert_eq!(kept.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>(), "{hint}");
    for (name, bytes) in &files {
        let differs = bytes.iter().zip(&kept[name]).position(|(made, kept)| made != kept);
        assert_eq!((differs, bytes.len()), (None, kept[name].len()), "{name}: {hint}");
    }
    let expected = fs::read_to_string(golden().join("expected.txt")).expect("what is expected");
    assert_eq!(described(&golden()), expected, "{hint}");
    let report = audit(&golden(), &[]);
    report.assert_clean();
    assert!(expected.contains(report.json["digest"].as_str().expect("a digest")), "{report:?}");
}

#[test]
fn a_server_goes_on_with_the_golden_log() {
    let dir = folder();
    copy(dir.path());
    let records = audit(dir.path(), &[]).number("records");
    run(async { Start::small(dir.path()).ledger().close().await });
    let report = audit(dir.path(), &[]);
    report.assert_clean();
    assert!(report.number("records") > records, "its settings and its end were recorded");
}

/// A program of an earlier time over a log of a later one: it says so, and leaves everything as it is.
#[test]
fn a_newer_format_is_refused_by_name_and_left_alone() {
    let control = "control".to_owned();
    let mut names: Vec<String> = made().into_keys().filter(|name| name.ends_with(".wal")).collect();
    names.sort();
    for name in [&control, &names[0], &names[names.len() - 1]] {
        let dir = folder();
        copy(dir.path());
        let path = dir.path().join("log").join(name);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[4..6].copy_from_slice(&(FORMAT_VERSION + 9).to_le_bytes());
        fs::write(&path, &bytes).expect("a file");
        let said =
            format!("format version {}, this program reads up to {FORMAT_VERSION}", FORMAT_VERSION + 9);
        let ended = Start::small(dir.path()).refused();
        assert!(ended.status.code().is_some_and(|code| code != 0), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&said) && ended.stderr.contains(name.as_str()), "{}", ended.stderr);
        assert!(ended.stderr.contains("use a newer program"), "{}", ended.stderr);
        let audited = run_cage(&["audit", harness::text(dir.path())]);
        assert_eq!(audited.status.code(), Some(2), "{name}");
        assert!(stderr(&audited).contains(&said), "{}", stderr(&audited));
        assert!(fs::read(&path).expect("a file") == bytes, "it is left alone");
    }
}
