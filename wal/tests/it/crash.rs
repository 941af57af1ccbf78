//! The power goes, at any moment, and any part of what was not durable has reached the disk: particular moments. Random
//! ones are the campaign's.

use cage_campaign::life::{Life, fate, options as busy};
use cage_wal::{
    Callbacks, LogOptions, Lsn, PAGE_BYTES,
    storage::{
        Storage,
        sim::{Operation, SimDisk},
    },
};

use crate::common::{Log, Random, assert_unbroken, identity, options, recover_all, run, seed};

/// B4.11. The first open of a directory, cut off everywhere: the next one still succeeds.
#[test]
fn the_birth_of_a_log_can_be_cut_off_anywhere() {
    let mut random = Random::new(seed(43));
    let (mut life, mut writer) = Life::open(SimDisk::new(), Vec::new(), busy(), 1);
    life.work(&mut writer, &mut random, 3);
    drop(writer);
    for moment in 0..=life.disk.events() {
        for _ in 0..20 {
            let (image, records) = life.crash(moment, fate(&mut random));
            let (mut second, mut writer) = Life::open(image, records, busy(), 2);
            second.work(&mut writer, &mut random, 2);
            drop(writer);
            second.crash(second.disk.events(), || false);
        }
    }
}

/// A process is killed at any moment, the next one goes on with what is in the cache, and then the power goes: what the
/// second one acknowledged is there, also where the first had not made everything durable that the second relied on
/// (once it was the name of a segment that was ready).
#[test]
fn after_a_kill_nothing_is_relied_on_that_is_not_durable() {
    let mut random = Random::new(seed(61));
    let (mut life, mut writer) = Life::open(SimDisk::new(), Vec::new(), busy(), 1);
    life.work(&mut writer, &mut random, 20);
    drop(writer);
    let mut past = life.disk.past();
    let mut relied = 0;
    for moment in 0..=past.moments() {
        past.go_to(moment);
        let disk = past.kill_image();
        // No further segment can be made: nothing that is done for one helps the ones that are found.
        disk.fail_at(Operation::Allocate, 1);
        let known = cage_campaign::life::read(&disk).expect("a killed process leaves a whole log");
        let Ok((mut second, mut writer)) = Life::try_open(disk, known, busy(), 2) else { continue };
        assert!(second.append_and_wait(&mut writer, 3));
        let acknowledged = second.disk.events();
        drop(writer);
        second.crash(acknowledged, || false);
        second.crash(second.disk.events(), fate(&mut random));
        relied += 1;
    }
    assert!(relied > 20, "{relied} lives went on with segments that were found");
}

/// B4.2, B4.8. One frame of two pages is being written when the power goes. Each way to tear it: cut after any sector,
/// only one sector missing, only one there, and random ones. The records before it are there; it is there
/// whole or not at all.
#[test]
fn a_torn_last_write_is_cut_and_nothing_else() {
    let mut random = Random::new(seed(47));
    let disk = SimDisk::new();
    let (mut log, _) = Log::on(disk.clone(), options(), 1);
    log.append(&run(1, 20)).unwrap();
    log.flush().unwrap();
    // The segments to come are ready: nothing but the second frame is being written while it is.
    let ready = 1 + options().ready_segments;
    while disk.list().unwrap().iter().filter(|file| file.name.ends_with(".wal")).count() < ready {
        std::thread::yield_now();
    }
    let before = disk.events();
    log.append(&run(21, 20)).unwrap();
    log.flush().unwrap();
    drop(log);
    // The frame's write is the one between these moments that leaves sixteen sectors in flight.
    let in_flight = |moment| {
        let mut sectors = 0;
        let image = disk.crash_image(moment, || {
            sectors += 1;
            true
        });
        (sectors == 16 && recover_all(image).unwrap().1.len() == 40).then_some(moment)
    };
    let moment = (before..=disk.events()).find_map(in_flight).expect("the write of the second frame");
    let mut torn = 0;
    let mut tear = |arrived: u64| {
        let mut sector = 0;
        let image = disk.crash_image(moment, || {
            sector += 1;
            arrived >> (sector - 1) & 1 == 1
        });
        let (recovered, records) = recover_all(image.clone()).unwrap();
        assert_unbroken(&records);
        let whole = arrived & 0x07FF == 0x07FF;
        assert_eq!(records.len(), if whole { 40 } else { 20 }, "sectors {arrived:#018b}");
        let report = recovered.report().clone();
        let silent = whole || arrived & 0x07FF == 0;
        assert_eq!(report.torn_tail.is_none(), silent, "sectors {arrived:#018b}");
        if let Some(tail) = &report.torn_tail {
            assert_eq!((tail.lsn, tail.position.offset), (Lsn(21), 4096 + 8192));
            torn += 1;
        }
        // It is sealed as it is, and the log goes on.
        let (mut next, _) = (Log::open(recovered, options(), 2), ());
        next.append(&run(records.len() as u64 + 1, 3)).unwrap();
        next.flush().unwrap();
        next.close();
        assert_eq!(recover_all(image).unwrap().1.len(), records.len() + 3);
    };
    for sector in 0..=16 {
        tear((1 << sector) - 1);
        tear(0xFFFF & !((1 << sector) - 1));
        tear(0xFFFF & !(1 << sector));
        tear(1 << sector & 0xFFFF);
    }
    for _ in 0..300 {
        tear(random.below(0x1_0000));
    }
    println!("{torn} torn tails");
}

/// B4.8. Several frames go to the disk in one write; the first of them is lost and the later ones arrive. They are
/// all cut.
#[test]
fn frames_after_a_hole_that_nobody_witnessed_are_cut_with_it() {
    let disk = SimDisk::new();
    let options = LogOptions { segment_bytes: 4 << 20, ring_records: 8192, ..options() };
    let (recovered, _) = recover_all(disk.clone()).unwrap();
    let (mut writer, handle) = recovered.open(options, identity(1), Callbacks::none()).unwrap();
    // All of this is in the ring before the flusher can have written much of it.
    for first in (1..=4096).step_by(64) {
        writer.append_linked(&run(first, 64)).unwrap();
    }
    writer.publish();
    while handle.durable().get() < Lsn(4096) {
        std::thread::yield_now();
    }
    drop(writer);
    let cut = (0..=disk.events()).filter_map(|moment| {
        let mut sector = 0;
        let image = disk.crash_image(moment, || {
            sector += 1;
            sector > 8
        });
        let (recovered, records) = recover_all(image).unwrap();
        assert_unbroken(&records);
        recovered.report().torn_tail.clone().filter(|tail| tail.frames_after > 0)
    });
    let tails: Vec<_> = cut.collect();
    assert!(!tails.is_empty(), "at least one write had several frames");
    assert!(tails.iter().all(|tail| tail.bytes > PAGE_BYTES as u64));
}

/// Not even the smallest detail of a recovery depends on what the previous recovery was interrupted in.
#[test]
fn recovery_can_itself_be_cut_off_again_and_again() {
    let mut random = Random::new(seed(53));
    for _ in 0..40 {
        let (mut life, mut writer) = Life::open(SimDisk::new(), Vec::new(), busy(), 1);
        life.work(&mut writer, &mut random, 12);
        drop(writer);
        let moment = random.below(life.disk.events() as u64 + 1) as usize;
        let (mut disk, mut known) = life.crash(moment, fate(&mut random));
        for epoch in 2..12 {
            let (life, writer) = Life::open(disk, known, busy(), epoch);
            drop(writer);
            let moment = random.below(life.disk.events() as u64 + 1) as usize;
            (disk, known) = life.crash(moment, fate(&mut random));
            assert_eq!(known.len() as u64, life.recovered, "nothing was appended, nothing is lost");
        }
    }
}
