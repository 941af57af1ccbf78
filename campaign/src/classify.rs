//! Damage below the durable watermark is refused, damage above it is cut: all of it, always.
//!
//! In: a plan. Out: how many damaged frames were told apart, and which were not. Never here: damage that touches more
//! than one frame, whose verdict nobody could foretell.

use std::sync::Arc;

use crate::{
    logs,
    records::Random,
    tally::{Plan, Tally, Verdict},
    truth::{Answer, Files, Frame, Truth, disk},
};

/// Half of the cases below the watermark, half above it.
#[must_use]
pub fn classification(plan: Plan) -> Tally {
    const LOGS: u64 = 12;
    let mut tally = Tally::new("classification");
    let truths: Vec<Truth> =
        (0..LOGS).map(|log| logs::eventful(Random::of_case(plan.seed, log).next(), false)).collect();
    for number in 0..plan.cases {
        let mut random = Random::of_case(plan.seed, number);
        let truth = &truths[random.index(truths.len())];
        let watermark = truth.vouched(&truth.files);
        let below = number % 2 == 0;
        let frames: Vec<&Frame> =
            truth.frames.iter().filter(|frame| (frame.first <= watermark) == below).collect();
        if frames.is_empty() {
            tally.violation("a log without a frame above the watermark".to_owned());
            return tally;
        }
        // Every fourth case below: a frame for which nothing speaks but later frames.
        let hidden: Vec<&Frame> =
            frames.iter().filter(|frame| below && only_frames_vouch(truth, frame)).copied().collect();
        if below && hidden.is_empty() {
            tally.violation("a log without a frame that only later frames vouch for".to_owned());
            return tally;
        }
        let among = if number % 8 == 0 { &hidden } else { &frames };
        let frame = among[random.index(among.len())];
        let (files, done) = damage(truth, frame, &mut random);
        let image = disk(&files);
        let case = || format!("case {number}: {done}, {}", if below { "below" } else { "above" });
        tally.case(case, &image, || verdict(truth, frame, &files, below));
    }
    tally
}

/// Whether neither a segment's header nor the control file reaches this frame.
fn only_frames_vouch(truth: &Truth, frame: &Frame) -> bool {
    let headers = truth.witnesses.iter().filter(|witness| !truth.is_frame(witness));
    headers.map(|witness| witness.lsn).max().is_none_or(|reached| reached < frame.first)
}

/// Changes some bytes of one frame, and of nothing else.
fn damage(truth: &Truth, frame: &Frame, random: &mut Random) -> (Files, String) {
    let mut files = truth.files.clone();
    let mut done = String::new();
    while files == truth.files {
        let length = frame.bytes.len();
        let at = random.index(length);
        let (at, size) = match random.below(4) {
            0 => (at, 1),
            1 => (at / 512 * 512, 512),
            2 => (at, (1 + random.index(4096)).min(length - at)),
            _ => (0, length),
        };
        let place = frame.bytes.start + at..frame.bytes.start + at + size;
        done = format!("{place:?} of {}, records {} to {}", frame.file, frame.first, frame.last);
        let Some(bytes) = files.get_mut(&frame.file).map(Arc::make_mut) else { break };
        match random.below(3) {
            0 => bytes[place].fill(0),
            1 => bytes[place].fill_with(|| random.next() as u8),
            _ => bytes[place.start] ^= 1 << random.below(8),
        }
    }
    (files, done)
}

fn verdict(truth: &Truth, frame: &Frame, files: &Files, below: bool) -> Result<Verdict, String> {
    match truth.recover(&disk(files))? {
        Answer::Refused(corruption) if below => {
            let place = (corruption.file.as_str(), corruption.position.offset, corruption.lsn.0);
            let expected = (frame.file.as_str(), frame.bytes.start as u64, frame.first);
            if place == expected {
                Ok(Verdict::Refused)
            } else {
                Err(format!("{expected:?} expected: {corruption}"))
            }
        }
        Answer::Recovered { records, torn } if !below => match torn {
            _ if records != frame.first - 1 => {
                Err(format!("{records} records, {} are whole", frame.first - 1))
            }
            Some(torn) if torn.position.offset != frame.bytes.start as u64 => {
                Err(format!("cut elsewhere: {torn:?}"))
            }
            _ => Ok(Verdict::Recovered),
        },
        other => Err(format!("{other:?}")),
    }
}
