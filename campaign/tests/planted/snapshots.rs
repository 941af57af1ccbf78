//! Bugs of snapshots, of the archive and of repair.

use super::{Bug, Finder, IT, campaign, log_test};

const COVERING: Finder =
    campaign("wherever_the_power_goes_while_a_log_is_covered_its_state_is_found_and_no_segment_is_missing");
const COVER_FAILURES: Finder = campaign("whatever_fails_while_a_log_is_covered_is_told_and_loses_nothing");

const VERDICTS: Finder = ("cage", IT, "verdicts::the_verdict_of_a_repair_is_the_one_of_a_start");

pub(super) const BUGS: &[Bug] = &[
    Bug {
        what: "a segment leaves the log before its copy was compared",
        file: "wal/src/archive/mod.rs",
        right: "            before(ArchiveStep::ReadBack)?;\n            self.prove_copy(&temporary, &header)?;",
        wrong: "            before(ArchiveStep::ReadBack)?;",
        finder: log_test("archive::a_segment_stays_if_its_copy_is_not_what_was_packed"),
    },
    Bug {
        what: "a copy that an earlier attempt has left is believed",
        file: "wal/src/archive/mod.rs",
        right: "            self.prove_copy(&name, &header)?;",
        wrong: "            let _ = &name;",
        finder: log_test("archive::a_segment_stays_if_its_copy_is_not_what_was_packed"),
    },
    Bug {
        what: "the hash of a copy is not compared",
        file: "wal/src/archive/mod.rs",
        right: "found == *header && hasher.finalize().as_bytes() == &header.raw",
        wrong: "found == *header",
        finder: log_test("archive::a_segment_stays_if_its_copy_is_not_what_was_packed"),
    },
    Bug {
        what: "a segment is removed before its copy has its name",
        file: "wal/src/archive/mod.rs",
        right: "            before(ArchiveStep::Publish)?;",
        wrong: "            log.retire(&segment_name(number))?;\n            before(ArchiveStep::Publish)?;",
        finder: log_test(
            "archive::wherever_archiving_is_broken_off_nothing_is_lost_and_the_next_attempt_goes_on",
        ),
    },
    Bug {
        what: "an archived segment is given back without a look at its hash",
        file: "wal/src/archive/mod.rs",
        right: "if blake3::hash(&raw).as_bytes() != &header.raw {",
        wrong: "if blake3::hash(&raw).as_bytes() != &header.raw && raw.is_empty() {",
        finder: log_test(
            "archive::no_flipped_bit_of_an_archived_segment_changes_it_unnoticed_and_every_cut_is_found",
        ),
    },
    Bug {
        what: "a damaged segment is archived",
        file: "wal/src/archive/mod.rs",
        right: "found.rest, header.log) == expected {",
        wrong: "found.rest, header.log) == expected || found.end != next.previous_end {",
        finder: log_test("archive::a_damaged_segment_is_never_archived"),
    },
    Bug {
        what: "the pieces of a snapshot are not proven",
        file: "wal/src/snapshot.rs",
        right: "first_unproven(snapshot.body(), snapshot.hashes()) {",
        wrong: "first_unproven(snapshot.body(), snapshot.hashes()).filter(|_| snapshot.body().is_empty()) {",
        finder: log_test("snapshots::every_changed_bit_of_a_snapshot_is_found_and_so_is_every_cut"),
    },
    Bug {
        what: "a scrub reads of a snapshot only the header and the hashes",
        file: "wal/src/snapshot.rs",
        right: "    for (piece, hash) in hashes.chunks_exact(HASH_BYTES).enumerate() {",
        wrong: "    for (piece, hash) in hashes.chunks_exact(HASH_BYTES).enumerate().skip(usize::MAX) {",
        finder: log_test("snapshots::every_changed_bit_of_a_snapshot_is_found_and_so_is_every_cut"),
    },
    Bug {
        what: "the scrubber does not read snapshots",
        file: "src/scrubber.rs",
        right: "            for lsn in found {",
        wrong: "            for lsn in found.into_iter().skip(usize::MAX) {",
        finder: (
            "cage",
            IT,
            "scrubs::a_snapshot_that_rots_is_told_while_the_server_runs_until_a_good_copy_is_there",
        ),
    },
    Bug {
        what: "one file in the archive keeps the others from being read",
        file: "src/cli/scrub.rs",
        right: "    Ok(hot.into_iter().chain(data.archive().segments()?).collect())",
        wrong: "    Ok(hot.into_iter().chain(segment_numbers(&data.whole_log(1))?).collect())",
        finder: (
            "cage",
            IT,
            "scrubs::a_file_under_a_wrong_name_in_the_archive_is_named_and_the_others_are_read",
        ),
    },
    Bug {
        what: "what did not fit on the disk stays there",
        file: "wal/src/cover.rs",
        right: "        drop(snapshot::remove_unfinished(dir));",
        wrong: "        drop(dir.list());",
        finder: ("cage", IT, "snapshots::what_did_not_fit_on_the_disk_is_taken_away_at_once"),
    },
    Bug {
        what: "a snapshot has its name before it was read back",
        file: "wal/src/snapshot.rs",
        right: "        self.file.finish()?;\n",
        wrong: "        self.file.finish()?;\n        let (own, temporary) = (file_name(self.lsn), with_suffix(self.lsn, TEMPORARY_SUFFIX));\n        self.dir.rename(&temporary, &own)?;\n        crate::archive::copy(&self.dir, &self.dir, &own)?;\n",
        finder: log_test("snapshots::a_snapshot_gives_back_what_was_written"),
    },
    Bug {
        what: "a snapshot is believed under any name",
        file: "wal/src/snapshot.rs",
        right: "    if header.anchor.lsn == lsn {",
        wrong: "    if header.anchor.lsn <= lsn {",
        finder: log_test("snapshots::a_snapshot_under_another_ones_name_is_refused_and_a_newer_format_said"),
    },
    Bug {
        what: "what a crash left of a snapshot stays",
        file: "wal/src/snapshot.rs",
        right: "file.name.ends_with(TEMPORARY_SUFFIX)",
        wrong: "file.name == TEMPORARY_SUFFIX",
        finder: log_test("snapshots::what_a_crash_left_of_a_snapshot_is_no_snapshot_and_is_removed"),
    },
    Bug {
        what: "what is not sealed gets into a snapshot",
        file: "wal/src/read/scanner.rs",
        right: "let unsealed = usize::from(self.limits.sealed);",
        wrong: "let unsealed = 0;",
        finder: log_test("snapshots::what_is_not_sealed_is_not_shown_to_whoever_asks_for_what_is"),
    },
    Bug {
        what: "a log that does not continue its snapshot is read on",
        file: "wal/src/read/scanner.rs",
        right: "        } else if header.previous_chain != chain {\n            (",
        wrong: "        } else if header.previous_chain != chain && self.limits.after.is_none() {\n            (",
        finder: log_test("snapshots::a_log_that_does_not_continue_a_snapshot_is_refused"),
    },
    Bug {
        what: "a snapshot has its name before anything made it durable",
        file: "wal/src/snapshot.rs",
        right: "        self.file.finish()?;\n",
        wrong: "        let (own, temporary) = (file_name(self.lsn), with_suffix(self.lsn, TEMPORARY_SUFFIX));\n        self.dir.rename(&temporary, &own)?;\n        self.file.finish()?;\n        self.dir.rename(&own, &temporary)?;\n",
        finder: COVERING,
    },
    Bug {
        what: "segments leave that only the newest snapshot covers",
        file: "wal/src/cover.rs",
        right: "            before.map(|facts| facts.anchor)\n        }",
        wrong: "            before.map(|_| facts.anchor)\n        }",
        finder: COVERING,
    },
    Bug {
        what: "the snapshot to fall back to is removed",
        file: "wal/src/cover.rs",
        right: ".skip(SNAPSHOTS_KEPT).filter(|lsn| *lsn < kept.lsn)",
        wrong: ".skip(SNAPSHOTS_KEPT - 1).filter(|lsn| *lsn <= kept.lsn)",
        finder: COVERING,
    },
    Bug {
        what: "what is not sealed is covered",
        file: "wal/src/cover.rs",
        right: "sealed: true,",
        wrong: "sealed: false,",
        finder: COVERING,
    },
    Bug {
        what: "the copy of a segment has its name before anything made it durable",
        file: "wal/src/archive/mod.rs",
        right: "            before(ArchiveStep::ReadBack)?;\n            self.prove_copy(&temporary, &header)?;",
        wrong: "            let mut file = self.dir.begin(&temporary)?;\n            file.append(&header.encode())?;\n            packed::pack(&raw, &mut *file, &temporary)?;\n            drop(file);\n            before(ArchiveStep::ReadBack)?;",
        finder: COVERING,
    },
    Bug {
        what: "a segment leaves the log before its copy is there",
        file: "wal/src/archive/mod.rs",
        right: "        before(ArchiveStep::Prove)?;\n        let (header, raw) = prove(log, number)?;",
        wrong: "        before(ArchiveStep::Prove)?;\n        let (header, raw) = prove(log, number)?;\n        log.retire(&segment_name(number))?;",
        finder: COVERING,
    },
    Bug {
        what: "nobody is told that a segment was not archived",
        file: "wal/src/cover.rs",
        right: "archive(places, covered, keep)?;",
        wrong: "archive(places, covered, keep).unwrap_or_default();",
        finder: COVER_FAILURES,
    },
    Bug {
        what: "nobody is told that the older snapshot cannot be read",
        file: "wal/src/cover.rs",
        right: "            Err(fault) => made.passed_over.push(fault.to_string()),",
        wrong: "            Err(_) => {}",
        finder: COVER_FAILURES,
    },
    Bug {
        what: "a segment leaves although its copy did not get its name",
        file: "wal/src/archive/mod.rs",
        right: "            self.dir.rename(&temporary, &name)?;",
        wrong: "            let _ = self.dir.rename(&temporary, &name);",
        finder: COVER_FAILURES,
    },
    Bug {
        what: "a repair believes the newest snapshot by its name",
        file: "src/cli/repair.rs",
        right: "        let passed_over = base.passed_over.clone();\n",
        wrong: "        let passed_over = base.passed_over.clone();\n        if covered.is_none() && !passed_over.is_empty() {\n            say!(\"start     goes well, from the newest snapshot\");\n            return ExitCode::SUCCESS;\n        }\n",
        finder: VERDICTS,
    },
    Bug {
        what: "a repair does not look into the archive",
        file: "src/cli/repair.rs",
        right: "        let recovered = recover_after(&data, base,",
        wrong: "        let nowhere = DataDir::new(&self.dir, Some(&self.dir.join(\"nowhere\")));\n        let recovered = recover_after(&nowhere, base,",
        finder: VERDICTS,
    },
    Bug {
        what: "a repair deletes what leaves the log",
        file: "wal/src/repair.rs",
        right: "link(&self.dir.join(name), &quarantine.join(name)).map_err(failed(\"link\", name))?;",
        wrong: "let _ = (link, name);",
        finder: log_test("repair::damage_below_the_watermark_ends_the_log_there_with_consent"),
    },
    Bug {
        what: "an interrupted repair forgets what it had found",
        file: "wal/src/repair.rs",
        right: "fs::read_to_string(dir.join(UNFINISHED_REPAIR)).ok()?;",
        wrong: "fs::read_to_string(dir.join(UNFINISHED_REPAIR)).ok().filter(String::is_empty)?;",
        finder: log_test("repair::a_repair_that_was_interrupted_is_finished_and_forgets_nothing"),
    },
];
