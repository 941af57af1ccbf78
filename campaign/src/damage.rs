//! Bytes that changed after they were written: cuts, flipped bits, bursts, sectors and segments in the wrong place.
//!
//! In: a plan. Out: how many damaged logs were refused or recovered, and which answer is not allowed (see
//! [`truth`](crate::truth)). Never here: a case that depends on time.

use std::sync::Arc;

use cage_wal::PAGE_BYTES;

use crate::{
    logs,
    records::Random,
    tally::{Plan, Tally, Verdict},
    truth::{Answer, CONTROL, Files, Truth, disk},
};

/// What a disk may hold where nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filler {
    Zeroes,
    Garbage,
    OlderEpoch,
}

const FILLERS: [Filler; 3] = [Filler::Zeroes, Filler::Garbage, Filler::OlderEpoch];
/// The segment that is cut, the second one of the log.
const CUT: &str = "0000000000000002.wal";

/// A share of all cases, chosen by the seed: each case says how many there are.
#[derive(Debug)]
struct Share {
    random: Random,
    wanted: u64,
    of: u64,
}

impl Share {
    const fn new(plan: Plan, of: u64) -> Self {
        Self { random: Random::new(plan.seed), wanted: plan.cases, of }
    }

    fn takes(&mut self) -> bool {
        self.wanted >= self.of || self.random.below(self.of) < self.wanted
    }
}

/// A segment of 64 KiB, and the control file, cut at every byte: what follows is zero, garbage, or valid frames of an
/// older epoch.
#[must_use]
pub fn cuts(plan: Plan) -> Tally {
    let mut tally = Tally::new("cuts");
    let mut random = Random::new(plan.seed);
    let (live, closed) = (logs::fork(false), logs::fork(true));
    let bytes = live.0.files[CUT].len() + live.0.files[CONTROL].len();
    let mut share = Share::new(plan, 2 * FILLERS.len() as u64 * bytes as u64);
    for (truth, twin) in [&live, &closed] {
        for file in [CUT, CONTROL] {
            let length = truth.files[file].len();
            let garbage: Vec<u8> = (0..length).map(|_| random.next() as u8 | 1).collect();
            for filler in FILLERS {
                let rest = match filler {
                    Filler::Zeroes => vec![0; length],
                    Filler::Garbage => garbage.clone(),
                    Filler::OlderEpoch => twin.files[file].to_vec(),
                };
                for at in (0..length).filter(|_| share.takes()) {
                    let case = || format!("{file} (closed: {}) cut at {at}, then {filler:?}", truth.closed);
                    let mut files = truth.files.clone();
                    let mut bytes = truth.files[file][..at].to_vec();
                    bytes.extend_from_slice(&rest[at..]);
                    files.insert(file.to_owned(), Arc::new(bytes));
                    let image = disk(&files);
                    tally.case(case, &image, || {
                        // A segment that is the other one's as a whole is a whole log.
                        if file == CUT
                            && files[file] == twin.files[file]
                            && *truth.files[file] != **files[file]
                        {
                            return Ok(Verdict::Recovered);
                        }
                        let verdict = truth.judge(&files, &image)?;
                        if file == CUT && !truth.closed { cut_alive(truth, &files) } else { Ok(verdict) }
                    });
                }
            }
        }
    }
    tally
}

/// A log that was cut while it was being written is recovered to exactly what is whole. Only where the cut goes
/// through the segment's first page, and what follows is not zero, may it be refused.
fn cut_alive(truth: &Truth, files: &Files) -> Result<Verdict, String> {
    let whole = truth.intact(files);
    let rest = truth.frames.iter().find(|frame| frame.first > whole).map(|frame| frame.bytes.start);
    match truth.recover(&disk(files))? {
        Answer::Recovered { records, torn } if records == whole => {
            let rest = rest.map_or(&[][..], |rest| &files[CUT][rest..]);
            let header = files[CUT][..PAGE_BYTES] == truth.files[CUT][..PAGE_BYTES];
            if header && torn.is_some() != rest.iter().any(|byte| *byte != 0) && !rest.is_empty() {
                return Err(format!("the torn tail is {torn:?}"));
            }
            Ok(Verdict::Recovered)
        }
        Answer::Recovered { records, .. } => {
            Err(format!("{whole} records are whole, {records} were recovered"))
        }
        _ if files[CUT][..PAGE_BYTES] != truth.files[CUT][..PAGE_BYTES] => Ok(Verdict::Refused),
        other => Err(format!("it was cut while it was written, and is not recovered: {other:?}")),
    }
}

/// Every bit of a segment of 64 KiB and of the control file, of a log that was closed and of one that was not.
#[must_use]
pub fn bits(plan: Plan) -> Tally {
    let mut tally = Tally::new("bits");
    let truths = [logs::one_segment(false), logs::one_segment(true)];
    let all: usize = truths.iter().flat_map(|truth| truth.files.values()).map(|bytes| bytes.len() * 8).sum();
    let mut share = Share::new(plan, all as u64);
    for truth in &truths {
        for name in truth.files.keys() {
            let mut files = truth.files.clone();
            for bit in (0..truth.files[name].len() * 8).filter(|_| share.takes()) {
                flip(&mut files, name, bit);
                let case =
                    || format!("bit {} of byte {} of {name} (closed: {})", bit % 8, bit / 8, truth.closed);
                let image = disk(&files);
                tally.case(case, &image, || {
                    let verdict = truth.judge(&files, &image)?;
                    if verdict == Verdict::Recovered && name != CONTROL {
                        only_the_last_frame(truth, name, bit / 8)?;
                    }
                    Ok(verdict)
                });
                drop(image);
                flip(&mut files, name, bit);
            }
        }
    }
    tally
}

fn flip(files: &mut Files, name: &str, bit: usize) {
    if let Some(bytes) = files.get_mut(name) {
        Arc::make_mut(bytes)[bit / 8] ^= 1 << (bit % 8);
    }
}

/// While a log is open only its last frame has no witness, and the zeroes behind it.
fn only_the_last_frame(truth: &Truth, file: &str, at: usize) -> Result<(), String> {
    match (truth.frame_at(file, at), truth.frames.last()) {
        (Some(damaged), Some(last)) if damaged != last => {
            Err("a frame that has a witness was cut".to_owned())
        }
        _ => Ok(()),
    }
}

/// Eventful logs of both kinds, by which random damage is done.
fn eventful_logs(seed: u64) -> Vec<Truth> {
    (0..6).map(|number| logs::eventful(Random::of_case(seed, number).next(), number % 2 == 0)).collect()
}

/// One to three bursts of 1 to 4096 bytes: zeroes, garbage, one value, or bytes from elsewhere.
#[must_use]
pub fn bursts(plan: Plan) -> Tally {
    let mut tally = Tally::new("bursts");
    let truths = eventful_logs(plan.seed);
    for number in 0..plan.cases {
        let mut random = Random::of_case(plan.seed, number);
        let truth = &truths[random.index(truths.len())];
        let mut files = truth.files.clone();
        let done: Vec<String> = (0..1 + random.below(3)).map(|_| burst(&mut files, &mut random)).collect();
        let image = disk(&files);
        let case = || format!("case {number} (closed: {}): {}", truth.closed, done.join(", "));
        tally.case(case, &image, || truth.judge(&files, &image));
    }
    tally
}

/// A file by name, those in use more often than the others.
fn some_file(files: &Files, random: &mut Random) -> String {
    let mut name = "";
    for _ in 0..3 {
        name = files.keys().nth(random.index(files.len())).map_or("", String::as_str);
        if files[name].iter().any(|byte| *byte != 0) {
            break;
        }
    }
    name.to_owned()
}

pub(crate) fn burst(files: &mut Files, random: &mut Random) -> String {
    let name = some_file(files, random);
    let Some(bytes) = files.get_mut(&name).map(Arc::make_mut).filter(|bytes| !bytes.is_empty()) else {
        return format!("{name} is empty");
    };
    let start = random.index(bytes.len());
    let end = (start + 1 + random.index(4096)).min(bytes.len());
    let kind = random.below(4);
    match kind {
        0 => bytes[start..end].fill(0),
        1 => bytes[start..end].fill_with(|| random.next() as u8),
        2 => bytes[start..end].fill(random.next() as u8),
        _ => bytes.copy_within(start..end, start / 2),
    }
    format!("{start}..{end} of {name} by way {kind}")
}

/// Pieces of 512 bytes, 4 KiB or whole files that are swapped, doubled, missing, or older than the rest.
#[must_use]
pub fn pieces(plan: Plan) -> Tally {
    let mut tally = Tally::new("pieces");
    let truths = eventful_logs(plan.seed);
    let (live, twin) = logs::fork(false);
    for number in 0..plan.cases {
        let mut random = Random::of_case(plan.seed, number);
        let forked = random.one_in(4);
        let truth = if forked { &live } else { &truths[random.index(truths.len())] };
        let mut files = truth.files.clone();
        let stale = if forked { twin.files.clone() } else { earlier(truth, &mut random) };
        let mut done = Vec::new();
        for _ in 0..1 + random.below(2) {
            done.push(if random.one_in(4) {
                whole_files(&mut files, &stale, &mut random)
            } else {
                sectors(&mut files, &stale, &mut random)
            });
        }
        let image = disk(&files);
        let case = || format!("case {number} (closed: {}): {}", truth.closed, done.join(", "));
        tally.case(case, &image, || {
            // The other one's segment and what nothing says against it: a whole log of its own.
            if forked && files.get(CUT) == twin.files.get(CUT) {
                return Ok(Verdict::Recovered);
            }
            truth.judge(&files, &image)
        });
    }
    tally
}

/// The files as they were earlier: frames from some moment on were not there yet.
fn earlier(truth: &Truth, random: &mut Random) -> Files {
    let mut files = truth.files.clone();
    let from = random.index(truth.frames.len());
    for frame in &truth.frames[from..] {
        if let Some(bytes) = files.get_mut(&frame.file) {
            Arc::make_mut(bytes)[frame.bytes.clone()].fill(0);
        }
    }
    files
}

pub(crate) fn sectors(files: &mut Files, stale: &Files, random: &mut Random) -> String {
    let size = [512, PAGE_BYTES][random.index(2)];
    let mut place = |files: &Files| {
        let name = some_file(files, random);
        let at = random.index((files[&name].len() / size).max(1)) * size;
        (name, at)
    };
    let ((one, at), (other, from)) = (place(files), place(files));
    let piece = |files: &Files, name: &str, at: usize| {
        files.get(name).and_then(|b| b.get(at..at + size)).map(<[u8]>::to_vec)
    };
    let (first, second) = (piece(files, &one, at), piece(files, &other, from));
    let kind = random.below(4);
    let (to_one, to_other) = match kind {
        0 => (second, first),
        1 => (second, None),
        2 => (Some(vec![0; size]), None),
        _ => (piece(stale, &one, at), None),
    };
    for (name, at, bytes) in [(&one, at, to_one), (&other, from, to_other)] {
        let room = files.get_mut(name).map(Arc::make_mut).and_then(|all| all.get_mut(at..at + size));
        if let (Some(room), Some(bytes)) = (room, bytes) {
            room.copy_from_slice(&bytes);
        }
    }
    let way = ["swapped with", "replaced by", "zeroed, not", "older, not"][kind as usize];
    format!("{size} bytes at {at} of {one} {way} {from} of {other}")
}

pub(crate) fn whole_files(files: &mut Files, stale: &Files, random: &mut Random) -> String {
    let (one, other) = (some_file(files, random), some_file(files, random));
    let (first, second) = (files.get(&one).cloned(), files.get(&other).cloned());
    let kind = random.below(5);
    let mut set = |name: &str, bytes: Option<Arc<Vec<u8>>>| match bytes {
        Some(bytes) => drop(files.insert(name.to_owned(), bytes)),
        None => drop(files.remove(name)),
    };
    match kind {
        0 => {
            set(&one, second);
            set(&other, first);
        }
        1 => set(&one, second),
        2 => set(&one, None),
        3 => set(&one, first.map(|bytes| Arc::new(vec![0; bytes.len()]))),
        _ => set(&one, stale.get(&one).cloned()),
    }
    let way = ["swapped with", "replaced by", "missing, not", "zeroed, not", "older, not"][kind as usize];
    format!("{one} {way} {other}")
}
