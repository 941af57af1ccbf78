//! The share of the fault campaign that every change has to pass. `CAGE_SEED` repeats it with other dice;
//! `cargo run --release -p cage-campaign -- --scale full` does all of it.

use cage_campaign::{CAMPAIGNS, Plan, SEED, Tally};

/// The seed: `CAGE_SEED`, or everybody's.
fn seed() -> u64 {
    let seed = std::env::var("CAGE_SEED").map_or(SEED, |seed| seed.parse().expect("CAGE_SEED is a number"));
    println!("repeat with CAGE_SEED={seed}");
    seed
}

fn share(name: &str) -> Tally {
    let campaign = CAMPAIGNS.iter().find(|campaign| campaign.name == name).expect("a part of the campaign");
    let tally = (campaign.run)(Plan { seed: seed(), cases: campaign.ci });
    tally.assert_kept(campaign.ci * 9 / 10);
    tally
}

/// B4.1, B4.11. What breaks: an acknowledgement before the sync, a frame that is believed in part, a rename that is believed before
/// the directory is.
#[test]
fn whatever_was_acknowledged_survives_every_loss_of_power() {
    share("crash-states");
}

/// B4.12. What breaks: a second try after a failed write or sync, an acknowledgement of what it left behind.
#[test]
fn every_failure_of_the_disk_is_final_and_loses_nothing() {
    share("failures");
}

/// B4.14, B4.15. What breaks: a snapshot or a copy that has its name before it is durable, a segment that is gone before its
/// copy is, or that only one snapshot covers.
#[test]
fn wherever_the_power_goes_while_a_log_is_covered_its_state_is_found_and_no_segment_is_missing() {
    share("covering");
}

/// B4.14, B4.15. What breaks: a failure that nobody is told of, a step that is taken after the one before it failed.
#[test]
fn whatever_fails_while_a_log_is_covered_is_told_and_loses_nothing() {
    share("cover-failures");
}

/// B4.7, B4.8. What breaks: old bytes of a reused disk that pass for new ones, a cut log that is refused for ever.
#[test]
fn a_log_that_is_cut_anywhere_is_recovered_to_what_is_whole() {
    let tally = share("cuts");
    assert!(tally.refused > 100 && tally.recovered > 100, "{tally}");
}

/// B4.4. What breaks: a bit that nothing covers.
#[test]
fn a_flipped_bit_is_refused_unless_it_lies_where_nothing_was_promised() {
    let tally = share("bits");
    assert!(tally.refused > tally.recovered, "{tally}");
}

/// B4.19. What breaks: damage in the middle that is taken for a torn tail, garbage that becomes a record, a panic.
#[test]
fn bursts_of_garbage_never_become_a_record_nor_lose_one_silently() {
    share("bursts");
}

/// B4.5, B4.6, B4.7. What breaks: a sector, page or segment that is right, but not here or not now.
#[test]
fn pieces_in_the_wrong_place_or_of_another_time_are_refused() {
    share("pieces");
}

/// B4.14, B4.15. What breaks: a piece of a snapshot or of an archived segment that is right, but not here or not now; a good
/// snapshot that is not used; a scrub that calls good what a start does not.
#[test]
fn pieces_of_snapshots_and_of_the_archive_lead_to_the_same_state_or_are_refused() {
    let tally = share("covered-pieces");
    assert!(tally.refused > 100 && tally.recovered > 100, "{tally}");
}

/// B4.8. What breaks: a torn tail that is refused, or damage that is cut.
#[test]
fn damage_below_the_durable_watermark_is_refused_and_above_it_cut() {
    let tally = share("classification");
    assert_eq!(tally.refused, tally.cases / 2, "{tally}");
}
