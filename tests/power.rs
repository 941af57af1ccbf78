//! The power goes: not a simulated one, but at every moment of what the real program asked of the kernel.
//!
//! A server is recorded with `strace` while it is under load, killed, started again. Its own writes, syncs, creations and
//! changes of names are then done again on a simulated disk, which is cut off before and after each of them: what was
//! synced is there, what was not is there, absent, or in part (sectors of 512 bytes). From every such disk the log is
//! recovered, and every acknowledgement that a client had seen by then has to be in it.
//!
//! What breaks is a sync that is missing: a write, a new file, a name or a folder that is relied on before it is durable.
//! Killing the process cannot find that, for the kernel lives on.
//!
//! Sound is: a client notes the time after it has read a reply. `strace` notes the time of a call before the kernel does
//! it, and when it has returned, before the program goes on. So an acknowledgement that was noted before the next call
//! began rests on calls that had ended.
//!
//! What is stored into a mapping is no call. Its sync is, and a page of a segment is written once: what the file holds there
//! at the end is what was stored before that sync. A store that no sync covers is in no replay, and missed like any other.
//!
//! `CAGE_POWER_ROUNDS` (of requests and replies) and `CAGE_POWER_IMAGES` (for each moment) scale it.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use cage_protocol::Ask;
use cage_wal::storage::sim::{Event, SimDisk};
use cage_wal::{ChainHash, FlushStrategy, Limits, LogOptions, Lsn, scan_from};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::harness::casino::{Casino, new_id, now};
use crate::harness::strace::{self, Call, Nanos, Recording, Step};
use crate::harness::{self, Ledger, Start, audit, folder, setting};

/// What a client noted: when it had read a reply, and which record it was about.
type Acks = Vec<(Nanos, u64)>;

/// A story that was recorded: what each process asked for, and what its clients were told.
struct Story {
    data_dir: PathBuf,
    recordings: Vec<Recording>,
    acks: Acks,
    /// The files after the first process was killed, as the second one found them.
    found: BTreeMap<String, Vec<u8>>,
    /// The files at the end.
    last: BTreeMap<String, Vec<u8>>,
}

/// Kinds of syncs that a replay can be told to overlook, as if the program had not asked for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overlook {
    #[default]
    Nothing,
    /// Writes to files that were opened to be durable.
    Writes,
    /// `msync`.
    Maps,
    /// `fsync` of files.
    Files,
    /// `fsync` of the log's folder.
    Names,
    /// `fsync` of the folders above it.
    Parents,
}

/// Load from two connections: batches of some transfers, each answered before the next.
async fn load(ledger: &Ledger, casino: &Casino, rounds: u64, random: &mut StdRng) -> Acks {
    let mut acks = Vec::new();
    let mut wires = Vec::new();
    for _ in 0..2 {
        wires.push(harness::wire::Wire::greeted(ledger, cage_engine::Role::Frontend).await);
    }
    for _ in 0..rounds {
        let mut asked = Vec::new();
        for wire in &mut wires {
            let count = random.random_range(1..60_usize);
            let asks: Vec<_> = (0..count)
                .map(|tag| (tag as u64, Ask::operation(casino.transfer(0, 1, 1).request(new_id()))))
                .collect();
            wire.ask(&asks).await;
            asked.push(count);
        }
        for (wire, count) in wires.iter_mut().zip(asked) {
            let mut answered = 0;
            while answered < count {
                let replies = harness::soon("answers", wire.replies()).await.expect("replies");
                let time = now().0;
                answered += replies.len();
                acks.extend(replies.iter().map(|reply| (time, reply.lsn.0)));
            }
        }
    }
    acks
}

/// A server is started in a folder that does not exist, killed under load, started again, and drained.
async fn story(folder: &Path, flush: &str, rounds: u64, random: &mut StdRng) -> Story {
    let data_dir = folder.join("new").join("data");
    let file = |number: u32| folder.join(format!("{number}.strace"));
    let start = Start::small(&data_dir).with("--flush", flush);
    let ledger = Start { before: strace::before(&file(1)), ..start }.ledger();
    let casino = Casino::funded(&ledger, 2, 1_000_000_000).await;
    let mut acks = load(&ledger, &casino, rounds, random).await;
    // The last requests are under way when it is killed.
    let mut wire = harness::wire::Wire::greeted(&ledger, cage_engine::Role::Frontend).await;
    let asks: Vec<_> =
        (0..200).map(|tag| (tag, Ask::operation(casino.transfer(1, 0, 1).request(new_id())))).collect();
    wire.ask(&asks).await;
    let start = ledger.kill();
    let found = files(&data_dir.join("log"));
    let ledger = Start { before: strace::before(&file(2)), ..start }.ledger();
    acks.extend(load(&ledger, &casino, rounds, random).await);
    ledger.close().await;
    let recordings = vec![Recording::read(&file(1)), Recording::read(&file(2))];
    let last = files(&data_dir.join("log"));
    Story { data_dir, recordings, acks, found, last }
}

/// All files of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    entries
        .filter(|path| path.is_file())
        .map(|path| (name(&path), std::fs::read(&path).expect("a file")))
        .collect()
}

/// What a descriptor stands for.
#[derive(Clone, Debug)]
enum Open {
    File { number: usize, durable: bool, position: u64 },
    Folder(PathBuf),
}

/// Folders of a data directory whose calls are done again, and what the simulated disk calls them.
const FOLDERS: [(&str, &str); 3] = [("log", ""), ("snapshots", "snapshots"), ("archive", "archive")];

/// Which syncs are overlooked besides: of which file or folder (`archive/`), and the how manieth of its own it is.
pub(crate) type Skip = fn(&str, u64) -> bool;

/// Does the calls of a recording again, on a simulated disk that holds the log, its snapshots and its archive.
pub(crate) struct Replay {
    data_dir: PathBuf,
    log: PathBuf,
    pub(crate) disk: SimDisk,
    /// When each event of the disk happened.
    times: Vec<Nanos>,
    open: HashMap<u32, Open>,
    /// Files that are stored into, by the address of their first byte, with their length.
    maps: BTreeMap<u64, (usize, u64)>,
    /// What was stored: the files at the end.
    stored: BTreeMap<String, Vec<u8>>,
    overlook: Overlook,
    skip: Skip,
    /// How often each file or folder was synced.
    syncs: HashMap<String, u64>,
    /// Folders that were made, and when that was durable.
    folders: BTreeMap<PathBuf, Option<Nanos>>,
    /// Where the program wrote over what it had written before.
    overwritten: Vec<(String, u64)>,
}

impl Replay {
    fn of(story: &Story, overlook: Overlook) -> Self {
        let mut replay = Self::on(SimDisk::new(), &story.data_dir, overlook, |_, _| false);
        replay.stored.clone_from(&story.last);
        let mut corrections = 0;
        for (number, recording) in story.recordings.iter().enumerate() {
            replay.process(recording);
            replay.overwritten.extend(replay.disk.overwritten().into_iter().skip(corrections));
            if number == 0 {
                replay.killed(recording, &story.found);
            }
            corrections = replay.disk.overwritten().len();
        }
        replay
    }

    /// Nothing was done yet.
    pub(crate) fn on(disk: SimDisk, data_dir: &Path, overlook: Overlook, skip: Skip) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            log: data_dir.join("log"),
            disk,
            times: Vec::new(),
            open: HashMap::new(),
            maps: BTreeMap::new(),
            stored: BTreeMap::new(),
            overlook,
            skip,
            syncs: HashMap::new(),
            folders: BTreeMap::new(),
            overwritten: Vec::new(),
        }
    }

    /// Does again what a process did.
    pub(crate) fn process(&mut self, recording: &Recording) {
        self.open.clear();
        self.maps.clear();
        for (time, step) in &recording.steps {
            match step {
                Step::Begin(call) => self.begins(*time, &recording.calls[*call]),
                Step::End(call, value) => self.ended(*time, &recording.calls[*call], *value),
            }
        }
    }

    /// Folders that were made and never made durable.
    pub(crate) fn folders_that_may_vanish(&self) -> Vec<&Path> {
        self.folders.iter().filter(|(_, durable)| durable.is_none()).map(|(path, _)| path.as_path()).collect()
    }

    /// Counts a sync; whether it is overlooked.
    fn is_skipped(&mut self, what: &str) -> bool {
        let count = self.syncs.entry(what.to_owned()).or_insert(0);
        *count += 1;
        (self.skip)(what, *count)
    }

    fn happened(&mut self, time: Nanos, event: Event) {
        self.disk.happened(event);
        self.times.push(time);
    }

    /// What the simulated disk calls a folder.
    fn folder(&self, path: &Path) -> Option<&'static str> {
        FOLDERS.iter().find(|(name, _)| path == self.data_dir.join(name)).map(|(_, folder)| *folder)
    }

    /// What the simulated disk calls a file.
    fn name(&self, path: &Path) -> Option<String> {
        let folder = self.folder(path.parent()?)?;
        let name = path.file_name()?.to_string_lossy();
        Some(if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") })
    }

    /// The name that a file has now.
    fn name_of(&self, number: usize) -> String {
        let named = |name: &String| self.disk.number_of(name) == Some(number);
        self.disk.files().into_keys().find(named).unwrap_or_default()
    }

    /// From now on any part of a write can be on the disk, and a descriptor that is being closed can be another thread's
    /// next one, whose open may be seen to end before this close.
    fn begins(&mut self, time: Nanos, call: &Call) {
        if let Call::Close { fd } = call {
            self.open.remove(fd);
        }
        if let Call::SyncMap { address, bytes } = *call
            && let Some((file, offset)) = self.mapped(address)
        {
            let range = offset as usize..(offset + bytes) as usize;
            let bytes = self.stored[&self.name_of(file)][range].into();
            self.happened(time, Event::Write { file, offset, bytes });
        }
        let Call::Write { fd, bytes, offset, .. } = call else { return };
        let Some(Open::File { number, position, .. }) = self.open.get_mut(fd) else { return };
        let (file, offset) = (*number, offset.unwrap_or(*position));
        *position = offset + bytes.len() as u64;
        self.happened(time, Event::Write { file, offset, bytes: bytes.as_slice().into() });
    }

    fn ended(&mut self, time: Nanos, call: &Call, value: i64) {
        if value < 0 {
            return;
        }
        match call {
            Call::Open { path, flags } => {
                self.opened(time, path, flags, u32::try_from(value).expect("a descriptor"))
            }
            Call::Close { .. } => {}
            Call::Write { fd, bytes, offset, durable } => {
                let Some(Open::File { number, durable: always, position }) = self.open.get(fd) else {
                    return;
                };
                assert_eq!(value, bytes.len() as i64, "nothing is written in part here");
                let (file, bytes) = (*number, bytes.len());
                let offset = offset.unwrap_or(position - bytes as u64);
                if (*durable || *always) && self.overlook != Overlook::Writes {
                    self.happened(time, Event::SyncRange { file, offset, bytes });
                }
            }
            Call::Map { fd, bytes } => {
                if let Some(Open::File { number, .. }) = self.open.get(fd) {
                    self.maps.insert(value.cast_unsigned(), (*number, *bytes));
                }
            }
            Call::SyncMap { address, bytes } => {
                if let Some((file, offset)) = self.mapped(*address)
                    && self.overlook != Overlook::Maps
                {
                    let bytes = usize::try_from(*bytes).expect("a length");
                    self.happened(time, Event::SyncRange { file, offset, bytes });
                }
            }
            Call::Sync { fd } => match self.open.get(fd).cloned() {
                Some(Open::File { number: file, .. }) if self.overlook != Overlook::Files => {
                    let name = self.name_of(file);
                    if !self.is_skipped(&name) {
                        self.happened(time, Event::SyncFile { file });
                    }
                }
                Some(Open::Folder(folder)) => self.synced(time, &folder),
                _ => {}
            },
            Call::Grow { fd, bytes } => {
                if let Some(Open::File { number, .. }) = self.open.get(fd) {
                    self.happened(time, Event::Grow { file: *number, bytes: *bytes });
                }
            }
            Call::Truncate { fd } => {
                assert!(
                    !matches!(self.open.get(fd), Some(Open::File { .. })),
                    "no file of the log is ever cut"
                );
            }
            Call::Rename { from, to } => {
                if let (Some(from), Some(to)) = (self.name(from), self.name(to)) {
                    self.happened(time, Event::Rename { from, to });
                }
            }
            Call::Remove { path } => {
                if let Some(name) = self.name(path) {
                    self.happened(time, Event::Remove { name });
                }
            }
            Call::MakeFolder { path } => drop(self.folders.insert(path.clone(), None)),
        }
    }

    /// Which file lies at an address, and which place of it. An address is given out again when it is free.
    fn mapped(&self, address: u64) -> Option<(usize, u64)> {
        let (first, (file, bytes)) = self.maps.range(..=address).next_back()?;
        (address - first < *bytes).then_some((*file, address - first))
    }

    fn opened(&mut self, time: Nanos, path: &Path, flags: &str, fd: u32) {
        let Some(name) = self.name(path) else {
            self.open.insert(fd, Open::Folder(path.to_owned()));
            return;
        };
        let cut = flags.contains("O_TRUNC");
        assert!(!cut || name.contains('/'), "no file of the log is ever cut");
        if self.disk.number_of(&name).is_none() || cut {
            assert!(flags.contains("O_CREAT"), "{name} was not there");
            let file = self.disk.files_made();
            self.happened(time, Event::Create { file, name: name.clone(), bytes: 0 });
        }
        let number = self.disk.number_of(&name).expect("it is there now");
        let durable = flags.contains("O_DSYNC") || flags.contains("O_SYNC");
        self.open.insert(fd, Open::File { number, durable, position: 0 });
    }

    fn synced(&mut self, time: Nanos, folder: &Path) {
        if let Some(known) = self.folder(folder) {
            if self.overlook != Overlook::Names && !self.is_skipped(&format!("{known}/")) {
                self.happened(time, Event::SyncDirectory { folder: known.to_owned() });
            }
        } else if self.overlook != Overlook::Parents {
            for (made, durable) in &mut self.folders {
                if made.parent() == Some(folder) {
                    durable.get_or_insert(time);
                }
            }
        }
    }

    /// The process is gone. What had begun and not ended may have been done or not: the files say so.
    fn killed(&mut self, recording: &Recording, found: &BTreeMap<String, Vec<u8>>) {
        let time = recording.steps.last().expect("a recording").0;
        for call in recording.unfinished() {
            let done = match call {
                Call::Rename { to, .. } => self.name(to).is_some_and(|name| found.contains_key(&name)),
                Call::Remove { path } => self.name(path).is_some_and(|name| !found.contains_key(&name)),
                Call::Open { path, .. } => self.name(path).is_some_and(|name| found.contains_key(&name)),
                _ => false,
            };
            if done {
                self.ended(time, call, 0);
            }
        }
        for (name, live) in self.disk.files() {
            let (bytes, file) = (&found[&name], self.disk.number_of(&name).expect("a file"));
            if bytes.len() > live.len() {
                self.happened(time, Event::Grow { file, bytes: bytes.len() as u64 });
            }
            for offset in (0..bytes.len()).step_by(512) {
                let piece = offset..(offset + 512).min(bytes.len());
                if live.get(piece.clone()) != Some(&bytes[piece.clone()]) {
                    let bytes = bytes[piece].into();
                    self.happened(time, Event::Write { file, offset: offset as u64, bytes });
                }
            }
        }
    }
}

/// What was judged.
#[derive(Debug, Default)]
struct Judged {
    moments: usize,
    images: u64,
    broken: Vec<String>,
}

/// Cuts the power at every moment and recovers from what is left.
fn judge(story: &Story, overlook: Overlook, images: u64, random: &mut StdRng) -> Judged {
    let replay = Replay::of(story, overlook);
    let mut acks = story.acks.clone();
    acks.sort_unstable();
    let first = acks.first().expect("acknowledgements").0;
    let mut judged = Judged::default();
    for (folder, durable) in &replay.folders {
        let ours = replay.log.starts_with(folder);
        if ours && durable.is_none_or(|durable| durable > first) {
            judged.broken.push(format!("{} could be gone with everything in it", folder.display()));
        }
    }
    let twice = replay.overwritten.iter().filter(|(file, _)| file != "control");
    judged.broken.extend(twice.map(|(file, offset)| format!("{file} is written twice at {offset}")));
    let chains = chains(&replay.disk);
    let mut past = replay.disk.past();
    let (mut seen, mut promised) = (0, 0);
    for moment in 0..=past.moments() {
        past.go_to(moment);
        // Just before the next event: what clients had noted by then.
        let until = replay.times.get(moment).copied().unwrap_or(Nanos::MAX);
        while let Some((_, lsn)) = acks.get(seen).filter(|(time, _)| *time < until) {
            promised = promised.max(*lsn);
            seen += 1;
        }
        judged.moments += 1;
        for image in 0..images {
            let (arrive, of) = match image {
                0 => (0, 1),
                1 => (1, 1),
                _ => [(1, 8), (7, 8), (1, 2)][random.random_range(0..3)],
            };
            let disk = past.crash_image(|| random.random_ratio(arrive, of));
            judged.images += 1;
            if let Err(broken) = recovers(&disk, promised, &chains, moment % 64 == 0) {
                judged.broken.push(format!("moment {moment}, {arrive} of {of} arrived: {broken}"));
                if judged.broken.len() > 3 {
                    return judged;
                }
            }
        }
    }
    judged
}

/// The chain after each frame.
fn chains(disk: &SimDisk) -> HashMap<u64, ChainHash> {
    let mut chains = HashMap::new();
    let report = scan_from(disk, Limits::default(), |frame| {
        chains.insert(frame.last_lsn.0, frame.chain);
        Ok::<_, Infallible>(())
    });
    report.expect("the log at the end");
    chains
}

/// Recovers a log from the segment of the last acknowledged record on (all of it now and then): it has to hold that
/// record, and to be the log that was written.
fn recovers(
    disk: &SimDisk,
    promised: u64,
    chains: &HashMap<u64, ChainHash>,
    whole: bool,
) -> Result<(), String> {
    let limits = if whole { Limits::default() } else { Limits::from(Lsn(promised.max(1))) };
    let report = scan_from(disk, limits, |_| Ok::<_, Infallible>(())).map_err(|error| error.to_string())?;
    let last = report.next_lsn.0 - 1;
    if last < promised {
        return Err(format!("record {promised} was acknowledged, {last} is the last one"));
    }
    // A frame that was under way at the kill can be here and was not there.
    if chains.get(&last).is_some_and(|chain| *chain != report.chain_head) {
        return Err(format!("record {last} is another one"));
    }
    if !whole {
        return Ok(());
    }
    let recovered = cage_wal::recover_from(disk.clone(), Limits::default(), |_| Ok::<_, Infallible>(()))
        .map_err(|error| error.to_string())?;
    let identity = cage_wal::Identity { epoch: cage_wal::Epoch(1), new_log: cage_wal::LogId(1) };
    let options = LogOptions { segment_bytes: 1 << 16, ..cage::recovery::log_options() };
    let opened = recovered.open(options, identity, cage_wal::Callbacks::none());
    let (writer, _) = opened.map_err(|error| error.to_string())?;
    writer.close().map(|_| ()).map_err(|fault| fault.to_string())
}

fn recorded(flush: &str, rounds: u64, random: &mut StdRng) -> Story {
    let folder = folder();
    let story = harness::run_for(harness::SOON * 4, story(folder.path(), flush, rounds, random));
    audit(&story.data_dir, &[]).assert_clean();
    story
}

/// B4.1, B4.11.
#[test]
fn no_acknowledgement_rests_on_a_sync_that_the_program_did_not_ask_for() {
    if !strace::is_here() {
        return;
    }
    let mut random = harness::random("power");
    let (rounds, images) = (setting("CAGE_POWER_ROUNDS", 120), setting("CAGE_POWER_IMAGES", 3));
    for (flush, share) in [("direct", 1), ("dsync", 3), ("fdatasync", 3), ("msync", 3)] {
        let story = recorded(flush, rounds / share, &mut random);
        let judged = judge(&story, Overlook::Nothing, images, &mut random);
        let Judged { moments, images, .. } = judged;
        println!("{flush}: {} acknowledgements, {moments} moments, {images} images", story.acks.len());
        assert!(judged.broken.is_empty(), "{flush}: {:#?}", judged.broken);
        assert!(moments > 100 && story.acks.len() > 500, "{flush}: something was going on");
    }
}

/// The same recording, with one kind of sync overlooked, as if the program did not ask for it: each is missed.
#[test]
fn each_kind_of_sync_would_be_missed() {
    if !strace::is_here() {
        return;
    }
    let mut random = harness::random("missing syncs");
    let story = recorded("direct", 40, &mut random);
    for overlook in [Overlook::Writes, Overlook::Files, Overlook::Names, Overlook::Parents] {
        let judged = judge(&story, overlook, 2, &mut random);
        assert!(
            !judged.broken.is_empty(),
            "without {overlook:?} all is well, after {} images",
            judged.images
        );
        println!("without {overlook:?}: {}", judged.broken[0]);
    }
    let judged = judge(&story, Overlook::Nothing, 2, &mut random);
    assert!(judged.broken.is_empty(), "{:#?}", judged.broken);
    let story = recorded("msync", 40, &mut random);
    let judged = judge(&story, Overlook::Maps, 2, &mut random);
    assert!(!judged.broken.is_empty(), "without msync all is well, after {} images", judged.images);
    println!("without msync: {}", judged.broken[0]);
}

const _: () = assert!(FlushStrategy::ALL.len() == 4, "each of them is recorded");
