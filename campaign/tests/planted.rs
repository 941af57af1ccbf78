//! Proves that the tests of the log are able to find errors: plants bugs in a copy of it, one at a time, each of which a
//! tired programmer could have written, and runs the test that is named beside it. A bug that is not found is a hole in
//! that test.
//!
//! Compiles the log anew for each bug, and the whole server for some, and so is asked for by name:
//! `cargo test -p cage-campaign --test planted -- --ignored --nocapture`
//! (`CAGE_PLANTED=word` takes only those with this word in them).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A bug: in which file of `wal/src`, what stands there, what is planted instead, and who finds it.
struct Bug {
    what: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
    finder: Finder,
}

/// A test: its package, where it is, its name.
type Finder = (&'static str, &'static [&'static str], &'static str);

const LIB: &[&str] = &["--lib"];
const IT: &[&str] = &["--test", "it"];

const fn unit(test: &'static str) -> Finder {
    ("cage-wal", LIB, test)
}

const fn log(test: &'static str) -> Finder {
    ("cage-wal", IT, test)
}

const fn campaign(test: &'static str) -> Finder {
    ("cage-campaign", IT, test)
}

const CRASH: Finder = campaign("whatever_was_acknowledged_survives_every_loss_of_power");
const FAILURES: Finder = campaign("every_failure_of_the_disk_is_final_and_loses_nothing");
const POWER: Finder =
    ("cage", IT, "power::no_acknowledgement_rests_on_a_sync_that_the_program_did_not_ask_for");

const BUGS: &[Bug] = &[
    Bug {
        what: "it is acknowledged before the sync",
        file: "live/flusher.rs",
        right: "        self.segment\n            .file\n            .write_durable(position.offset, &self.buffer[..round.bytes])",
        wrong: "        (self.on_durable)(crate::lsn::DurableLsn::new(self.next.plus(round.records as u64).previous()));\n        self.segment\n            .file\n            .write_durable(position.offset, &self.buffer[..round.bytes])",
        finder: CRASH,
    },
    Bug {
        what: "a failed sync is tried again",
        file: "live/flusher.rs",
        right: "            .map_err(|error| write_fault(&self.shared, position, round.bytes, &error))?;",
        wrong: "            .or_else(|_| self.segment.file.write_durable(position.offset, &self.buffer[..round.bytes]))\n            .map_err(|error| write_fault(&self.shared, position, round.bytes, &error))?;",
        finder: log("faults::after_a_failed_sync_nothing_is_acknowledged"),
    },
    Bug {
        what: "a synced page is written again",
        file: "live/flusher.rs",
        right: "        self.segment.offset += round.bytes as u64;",
        wrong: "        let again = self.segment.file.write_durable(position.offset, &self.buffer[..PAGE_BYTES]);\n        drop(again);\n        self.segment.offset += round.bytes as u64;",
        finder: CRASH,
    },
    Bug {
        what: "a frame vouches for the one before it in the same write",
        file: "live/flusher.rs",
        right: "                durable_lsn: durable,",
        wrong: "                durable_lsn: self.next.plus(round.records as u64).previous().max(durable),",
        finder: log("crash::frames_after_a_hole_that_nobody_witnessed_are_cut_with_it"),
    },
    Bug {
        what: "a linked run is cut by the border of a frame",
        file: "live/flusher.rs",
        right: "        while count > 0 && (self.traits.linked)(self.record(from + count - 1)) {",
        wrong: "        while count > waiting && (self.traits.linked)(self.record(from + count - 1)) {",
        finder: log("roundtrip::linked_records_are_never_split_by_a_frame"),
    },
    Bug {
        what: "the log goes on after a fault",
        file: "live/shared.rs",
        right: "        if let Some(fault) = self.fault() {\n            return Err(fault.clone());\n        }\n        assert!(head.lsn >=",
        wrong: "        assert!(head.lsn >=",
        finder: FAILURES,
    },
    Bug {
        what: "a torn tail is sealed as if it were empty",
        file: "live/open.rs",
        right: "rest: self.rest };",
        wrong: "rest: crate::format::NO_REST };",
        finder: CRASH,
    },
    Bug {
        what: "the log goes on behind a torn tail",
        file: "live/open.rs",
        right: "let previous = PreviousEnd { offset: self.report.end.offset,",
        wrong: "let torn = self.report.torn_tail.as_ref().map_or(0, |tail| tail.bytes.next_multiple_of(crate::format::PAGE));\n        let previous = PreviousEnd { offset: self.report.end.offset + torn,",
        finder: CRASH,
    },
    Bug {
        what: "an epoch is used twice",
        file: "live/open.rs",
        right: "slot.epoch == identity.epoch",
        wrong: "slot.epoch == identity.epoch && slot.clean && slot.sequence == 0",
        finder: log("roundtrip::an_epoch_is_not_used_twice"),
    },
    Bug {
        what: "an open log says that it was closed",
        file: "live/control.rs",
        right: "        control.write(head, false).map_err(",
        wrong: "        control.write(head, true).map_err(",
        finder: CRASH,
    },
    Bug {
        what: "both control slots are written to one place",
        file: "format/control.rs",
        right: "        (self.sequence % SLOTS as u64) * super::PAGE",
        wrong: "        (self.sequence % SLOTS as u64) * 0 * super::PAGE",
        finder: CRASH,
    },
    Bug {
        what: "frames of an older epoch bear witness",
        file: "format/frame.rs",
        right: "            (\"epoch\", layout.epoch.into(), self.epoch.0.into()),",
        wrong: "            (\"epoch\", layout.epoch.into(), layout.epoch.into()),",
        finder: campaign("a_log_that_is_cut_anywhere_is_recovered_to_what_is_whole"),
    },
    Bug {
        what: "the chain is ignored",
        file: "format/frame.rs",
        right: "        if header.previous_chain != chain {",
        wrong: "        if header.previous_chain != chain && header.records == 0 {",
        finder: unit("read::forged::a_whole_frame_that_does_not_continue_the_log_is_not_a_torn_tail"),
    },
    Bug {
        what: "padding is not looked at",
        file: "format/frame.rs",
        right: "        if !is_zero(&frame[HEADER_BYTES + header.records as usize * RECORD_BYTES..]) {",
        wrong: "        if !is_zero(&frame[frame.len()..]) {",
        finder: unit("read::forged::padding_that_is_not_zero_is_refused_though_the_checksums_hold"),
    },
    Bug {
        what: "checksums of only the first block are compared",
        file: "format/frame.rs",
        right: "            if crc != computed {\n                let expected = format!(\"CRC32 {crc:#010x} of block {index}\");",
        wrong: "            if crc != computed && index == 0 {\n                let expected = format!(\"CRC32 {crc:#010x} of block {index}\");",
        finder: unit("format::golden::no_flipped_bit_of_a_frame_verifies"),
    },
    Bug {
        what: "checksums are not bound to the place",
        file: "format/checksum.rs",
        right: "        hasher.update(&offset.to_le_bytes());",
        wrong: "        hasher.update(&(offset * 0).to_le_bytes());",
        finder: unit("format::checksum::tests::a_block_read_from_the_wrong_place_has_another_checksum"),
    },
    Bug {
        what: "checksums are not bound to the epoch",
        file: "format/checksum.rs",
        right: "        seeded.update(&epoch.0.to_le_bytes());",
        wrong: "        seeded.update(&(epoch.0 * 0).to_le_bytes());",
        finder: unit("format::checksum::tests::a_block_read_from_the_wrong_place_has_another_checksum"),
    },
    Bug {
        what: "damage in the middle is taken for a torn tail",
        file: "read/tail.rs",
        right: "        if header.durable_lsn >= cursor.next {",
        wrong: "        if header.durable_lsn >= cursor.next && index == 0 {",
        finder: campaign("damage_below_the_durable_watermark_is_refused_and_above_it_cut"),
    },
    Bug {
        what: "the control file is no witness",
        file: "read/tail.rs",
        right: ".filter(|durable| *durable >= cursor.next).max();",
        wrong: ".filter(|durable| durable.0 == u64::MAX).max();",
        finder: log("damage::the_control_file_is_a_witness_for_the_last_frame"),
    },
    Bug {
        what: "a torn tail is found after an orderly end",
        file: "read/tail.rs",
        right: "    if closed {",
        wrong: "    if closed && rest.is_empty() {",
        finder: campaign("a_flipped_bit_is_refused_unless_it_lies_where_nothing_was_promised"),
    },
    Bug {
        what: "what lies behind the end of a segment is not compared",
        file: "read/scanner.rs",
        right: "        if found != successor.previous_rest {",
        wrong: "        if found != successor.previous_rest && end == 0 {",
        finder: log("damage::after_a_clean_close_every_flipped_byte_is_found"),
    },
    Bug {
        what: "a log may end before what the control file says",
        file: "read/scanner.rs",
        right: "            if !met && slot.durable_lsn.next() >= first {",
        wrong: "            if !met && slot.durable_lsn.next() == Lsn::ZERO {",
        finder: log("damage::all_segments_gone_is_not_an_empty_log"),
    },
    Bug {
        what: "a segment that is missing is not missed",
        file: "read/survey.rs",
        right: "        if pair[1].number != missing {",
        wrong: "        if pair[1].number < missing {",
        finder: log("damage::a_gap_in_the_numbers_is_refused_by_name"),
    },
    Bug {
        what: "the header of another epoch's segment is believed",
        file: "read/survey.rs",
        right: "header.epoch != newest.epoch)",
        wrong: "header.epoch != newest.epoch && header.segment == 0)",
        finder: log("damage::a_segment_header_of_another_epoch_than_the_control_file_is_refused"),
    },
    Bug {
        what: "the page cache is believed after a failed sync",
        file: "read/survey.rs",
        right: "        if mode == Mode::Recovery && settled < SEGMENTS_SETTLED {",
        wrong: "        if mode == Mode::Audit && settled < SEGMENTS_SETTLED {",
        finder: log("faults::after_a_failed_sync_the_page_cache_is_not_believed"),
    },
    Bug {
        what: "a short write counts as a whole one",
        file: "storage/durable.rs",
        right: "    if written == bytes.len() {",
        wrong: "    if written <= bytes.len() {",
        finder: unit("storage::durable::tests::a_short_write_is_a_failed_write"),
    },
    Bug {
        what: "two writers hold the lock",
        file: "storage/directory.rs",
        right: "FlockOperation::NonBlockingLockExclusive",
        wrong: "FlockOperation::NonBlockingLockShared",
        finder: log("roundtrip::a_second_writer_is_refused"),
    },
    Bug {
        what: "writes past the cache are not synced",
        file: "storage/durable.rs",
        right: "        let flags = OFlags::DIRECT | OFlags::DSYNC;",
        wrong: "        let flags = OFlags::DIRECT;",
        finder: POWER,
    },
    Bug {
        what: "the directory is not synced after a change of names",
        file: "storage/directory.rs",
        right: "        self.sync_directory().map_err(self.failed(\"sync the directory of\", to))",
        wrong: "        Ok(())",
        finder: POWER,
    },
    Bug {
        what: "a new segment is not synced before it gets its name",
        file: "storage/directory.rs",
        right: "        file.sync_all().map_err(self.failed(\"sync\", name))\n    }",
        wrong: "        Ok(())\n    }",
        finder: POWER,
    },
    Bug {
        what: "the folders above the log are not synced",
        file: "storage/directory.rs",
        right: "        sync_parents(&std::path::absolute(path).map_err(refused)?).map_err(refused)?;",
        wrong: "        drop(sync_parents);",
        finder: POWER,
    },
];

#[test]
#[ignore = "compiles the log once for each bug; see the top of the file"]
fn each_planted_bug_is_found_by_the_test_beside_it() {
    let word = std::env::var("CAGE_PLANTED").unwrap_or_default();
    let bugs: Vec<&Bug> = BUGS.iter().filter(|bug| bug.what.contains(&word)).collect();
    let copy = Copy::new();
    let (mut missed, mut sound) = (Vec::new(), BTreeSet::new());
    for bug in &bugs {
        if sound.insert(bug.finder) {
            let output = copy.run(bug.finder);
            assert!(output.status.success(), "without a bug {} passes: {}", bug.finder.2, said(&output));
            assert!(said(&output).contains("1 passed"), "there is a test {}", bug.finder.2);
        }
        let found = copy.with(bug, || !copy.run(bug.finder).status.success());
        println!("{} {} ({})", if found { "found " } else { "MISSED" }, bug.what, bug.finder.2);
        if !found {
            missed.push(bug.what);
        }
    }
    println!("{} of {} found", bugs.len() - missed.len(), bugs.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn each_bug_has_its_place_in_the_log_and_its_test() {
    assert!(BUGS.len() >= 20, "twenty at least");
    for bug in BUGS {
        let text = fs::read_to_string(workspace().join("wal/src").join(bug.file)).expect("a file of the log");
        assert_eq!(text.matches(bug.right).count(), 1, "{}: where is it in {}?", bug.what, bug.file);
        let name = bug.finder.2.rsplit("::").next().expect("a name");
        let home = match bug.finder {
            ("cage-wal", LIB, _) => "wal/src",
            ("cage-wal", ..) => "wal/tests",
            ("cage-campaign", ..) => "campaign/tests",
            _ => "tests",
        };
        assert!(
            stands_in(&workspace().join(home), &format!("fn {name}()")),
            "{}: where is {name}?",
            bug.what
        );
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn stands_in(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            stands_in(&path, text)
        } else {
            fs::read_to_string(path).is_ok_and(|found| found.contains(text))
        }
    })
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A copy of the workspace whose log can be spoiled.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted-log");
        fs::create_dir_all(&root).expect("a folder");
        for entry in fs::read_dir(workspace()).expect("the workspace").flatten() {
            let name = entry.file_name();
            if ["target", ".git"].iter().all(|skipped| name != *skipped) {
                copy_changed(&entry.path(), &root.join(name));
            }
        }
        Self { root }
    }

    /// Spoils one place, and mends it again.
    fn with(&self, bug: &Bug, look: impl FnOnce() -> bool) -> bool {
        let path = self.root.join("wal/src").join(bug.file);
        let right = fs::read_to_string(&path).expect("a file of the log");
        let wrong = right.replacen(bug.right, bug.wrong, 1);
        assert_ne!(wrong, right, "{}", bug.what);
        fs::write(&path, wrong).expect("a bug");
        let found = look();
        fs::write(&path, right).expect("mended");
        found
    }

    /// Runs one test. A bug that does not compile is no bug; one that makes the test hang is found.
    fn run(&self, (package, target, test): Finder) -> Output {
        let cargo = || {
            let mut command = Command::new("timeout");
            command.args(["1800", env!("CARGO"), "test", "--offline", "--quiet", "-p", package]).args(target);
            command.current_dir(&self.root).env("CARGO_TARGET_DIR", self.root.join("target"));
            command.env("CAGE_MUST_NOT_SKIP", "1");
            command
        };
        let built = cargo().arg("--no-run").output().expect("cargo");
        assert!(built.status.success(), "it compiles: {}", said(&built));
        cargo().args(["--", "--exact", test]).output().expect("cargo")
    }
}

/// Copies what differs, so that what was compiled of the rest stays.
fn copy_changed(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder to copy").flatten() {
            copy_changed(&entry.path(), &to.join(entry.file_name()));
        }
    } else if fs::read(to).ok() != fs::read(from).ok() {
        fs::copy(from, to).expect("a copy");
        // Newer than anything that was compiled.
        fs::File::options()
            .append(true)
            .open(to)
            .and_then(|file| file.set_modified(std::time::SystemTime::now()))
            .expect("a time");
    }
}
