//! `cage log --segments` and `--frames`: the files of a log, one by one, also of one that does not open.

use std::path::Path;
use std::process::ExitCode;

use cage_wal::storage::Directory;
use cage_wal::{FrameInfo, Inspection, SegmentInfo, SegmentState, SlotContent, SlotInfo, inspect};
use serde_json::{Value, json};

use super::super::fail;
use super::EXIT_UNREADABLE;

const fn name(state: SegmentState) -> &'static str {
    match state {
        SegmentState::Sealed => "sealed",
        SegmentState::Live => "live",
        SegmentState::Spare => "spare",
        SegmentState::Unreadable => "unreadable",
    }
}

/// Prints all segments and the control file; with `frames` every frame as well, of one segment if a number is given.
pub(super) fn run(log: &Path, frames: bool, only: Option<u64>, as_json: bool) -> ExitCode {
    let wanted = |number| only.is_none_or(|only| only == number);
    let visit = |number, frame: FrameInfo| {
        if frames && wanted(number) {
            print_frame(number, &frame, as_json);
        }
    };
    match inspect(&Directory::existing(log), visit) {
        Ok(found) if found.segments.is_empty() && found.slots.is_empty() => {
            fail(EXIT_UNREADABLE, &format!("there is no log in {}", log.display()))
        }
        Ok(_) if frames => ExitCode::SUCCESS,
        Ok(mut found) => {
            found.segments.retain(|segment| wanted(segment.number));
            if as_json {
                say!("{}", of_all(&found))
            } else {
                print(&found)
            }
            ExitCode::SUCCESS
        }
        Err(reason) => fail(EXIT_UNREADABLE, &reason),
    }
}

fn print_frame(segment: u64, frame: &FrameInfo, as_json: bool) {
    let FrameInfo { offset, bytes, first_lsn, records, durable_lsn, time_ns, chain } = frame;
    let last = first_lsn.plus(u64::from(*records)).previous();
    if as_json {
        say!(
            "{}",
            json!({
                "segment": segment, "offset": offset, "bytes": bytes, "first_lsn": first_lsn.0, "last_lsn": last.0,
                "records": records, "durable_lsn": durable_lsn.0, "time_nanos": time_ns, "chain": chain.to_string(),
            })
        );
    } else {
        say!(
            "{segment:#x} {offset} +{bytes} {first_lsn}-{last} durable={durable_lsn} time={time_ns} chain={chain}"
        );
    }
}

fn of_slot(slot: &SlotInfo) -> Value {
    match &slot.content {
        Err(fault) => json!({ "slot": slot.index, "fault": fault }),
        Ok(SlotContent { log, epoch, sequence, durable_lsn, chain, end, time_ns, clean }) => json!({
            "slot": slot.index, "log": log.to_string(), "epoch": epoch.to_string(), "sequence": sequence,
            "durable_lsn": durable_lsn.0, "chain": chain.to_string(), "end_segment": end.segment,
            "end_offset": end.offset, "time_nanos": time_ns, "closed_in_order": clean,
        }),
    }
}

fn of_segment(segment: &SegmentInfo) -> Value {
    json!({
        "segment": segment.number,
        "state": name(segment.state),
        "bytes": segment.bytes,
        "epoch": segment.epoch.map(|epoch| epoch.to_string()),
        "first_lsn": segment.first_lsn.0,
        "next_lsn": segment.next_lsn.0,
        "frames": segment.frames,
        "records": segment.records,
        "end": segment.end,
        "rest_bytes": segment.rest_bytes,
        "chain": segment.chain.map(|chain| chain.to_string()),
        "created_nanos": segment.created_ns,
        "repaired": segment.repair.map(|repair| repair.loss()),
        "fault": segment.fault,
    })
}

fn of_all(found: &Inspection) -> Value {
    json!({
        "control": found.slots.iter().map(of_slot).collect::<Vec<_>>(),
        "segments": found.segments.iter().map(of_segment).collect::<Vec<_>>(),
        "other_files": found.others,
    })
}

fn print(found: &Inspection) {
    for slot in &found.slots {
        match &slot.content {
            Err(fault) => say!("control   slot {}: {fault}", slot.index),
            Ok(content) => say!(
                "control   slot {}: sequence {}, epoch {}, durable {}:{}, {}{}",
                slot.index,
                content.sequence,
                content.epoch,
                content.durable_lsn,
                content.chain,
                content.end,
                if content.clean { ", closed in order" } else { "" }
            ),
        }
    }
    for segment in &found.segments {
        print_segment(segment);
    }
    for name in &found.others {
        say!("other     {name}");
    }
}

fn print_segment(segment: &SegmentInfo) {
    let SegmentInfo { number, state, bytes, frames, records, end, rest_bytes, .. } = segment;
    let state = name(*state);
    match segment.epoch {
        None => say!("{number:#x} {state}, {bytes} bytes"),
        Some(epoch) => say!(
            "{number:#x} {state}, {bytes} bytes, epoch {epoch}, LSN {} to {}, {records} records in {frames} frames, ends at {end}",
            segment.first_lsn,
            segment.next_lsn.previous()
        ),
    }
    if *rest_bytes > 0 {
        say!("          torn: {rest_bytes} bytes behind the last frame");
    }
    if let Some(repair) = &segment.repair {
        say!("          begun by a repair, which gave up {}", repair.loss());
    }
    if let Some(fault) = &segment.fault {
        say!("          {fault}");
    }
}
