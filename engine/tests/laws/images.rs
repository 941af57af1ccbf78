//! Images: whoever goes on from one decides as if there had been none; bytes that are none are refused.

use std::collections::BTreeMap;

use cage_engine::{AccountId, Glance, ImageFault, PlayerId, Settings, State, decide};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::applying::decided_again;
use crate::books::Walk;
use crate::ledger::{Ledger, SETTINGS, admitted};

pub(crate) fn image(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(()) = state.write_image(|piece| {
        bytes.extend_from_slice(piece);
        Ok::<_, std::convert::Infallible>(())
    });
    bytes
}

/// The same books from their image, with hash tables of another seed.
fn from_image(state: &State, seed: u64) -> State {
    let bytes = image(state);
    let loaded = State::from_image(&bytes, seed).expect("an image that was just made");
    assert_eq!(loaded.digest(), state.digest(), "an image holds all of the books");
    assert_eq!(image(&loaded), bytes, "books that were loaded have the same image");
    loaded
}

fn glance(bytes: &[u8], player: PlayerId) -> Result<Glance, ImageFault> {
    Glance::of(bytes.len(), |range| Ok(bytes[range].to_vec()), player)
}

/// A look at an image says of each player which record is the latest, and what everybody holds and owes.
fn glances_agree(state: &State) {
    let bytes = image(state);
    let codes: Vec<_> =
        state.asset_ids().filter_map(|asset| state.asset(asset)).map(|a| (a.code, a.scale)).collect();
    for (player, _) in state.players() {
        let Glance { assets, latest, held } = glance(&bytes, player).expect("an image");
        assert_eq!((latest, &assets), (Some(state.latest(player)), &codes), "player {player}");
        let owed = state.asset_ids().map(|asset| AccountId::receivable(asset, player));
        let owed = owed.map(|account| (account, state.balance(account)));
        let expected: BTreeMap<_, _> =
            state.holdings(player).chain(owed).filter(|(_, held)| held.0 != 0).collect();
        assert_eq!(held.into_iter().collect::<BTreeMap<_, _>>(), expected, "player {player}");
    }
    let stranger = PlayerId::from_index(state.player_count() as u32);
    assert_eq!(glance(&bytes, stranger).expect("an image").latest, None);
}

/// Of many players each one is found, and little is read for that.
#[test]
fn a_look_at_one_of_many_players_reads_little_and_finds_each() {
    const PLAYERS: u32 = 5_000;
    let mut ledger = Ledger::with(Settings { ids_capacity: 16_384, players_max: PLAYERS.into(), ..SETTINGS });
    for caller in 3..=PLAYERS {
        ledger.open_player(caller.into());
    }
    let bytes = image(&ledger.state);
    for index in (0..PLAYERS).rev().step_by(7) {
        let (player, mut read) = (PlayerId::from_index(index), 0);
        let parts = |range: std::ops::Range<usize>| {
            read += range.len();
            Ok::<_, ImageFault>(bytes[range].to_vec())
        };
        let found = Glance::of(bytes.len(), parts, player).expect("an image");
        assert_eq!(found.latest, Some(ledger.state.latest(player)), "player {player}");
        assert!(read < bytes.len() / 3, "{read} of {}", bytes.len());
    }
    from_image(&ledger.state, 9);
}

/// Whatever was asked before is asked once more: nothing is executed again by the one that is not by the other.
pub(crate) fn remember_the_same(ledger: &Ledger, loaded: &State) {
    for record in &ledger.records {
        let again = admitted(record.asked(), record.role, record.actor, ledger.now);
        let (one, other) = (decide(&ledger.state, ledger.now, &again), decide(loaded, ledger.now, &again));
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

#[test]
fn books_from_an_image_decide_as_the_ones_it_was_made_of() {
    let mut images = 0;
    for seed in 100..112 {
        let mut walk = Walk::new(seed);
        let mut loaded = from_image(&walk.ledger.state, seed);
        for step in 0..1_200 {
            let known = walk.ledger.records.len();
            walk.step();
            for run in walk.ledger.records[known..].chunk_by(|record, _| record.linked) {
                assert_eq!(decided_again(&mut loaded, run), run, "seed {seed}, step {step}");
                for record in run {
                    loaded.apply(loaded.next_lsn(), record).expect("a record of the log");
                }
            }
            let now = walk.ledger.now;
            assert_eq!(loaded.due(now), walk.ledger.state.due(now), "seed {seed}, step {step}");
            assert_eq!(loaded.next_due(), walk.ledger.state.next_due(), "seed {seed}, step {step}");
            if step % 97 == 0 {
                remember_the_same(&walk.ledger, &loaded);
                loaded = from_image(&walk.ledger.state, seed * 1_000 + step);
                glances_agree(&walk.ledger.state);
                images += 1;
            }
        }
        assert_eq!(loaded.digest(), walk.ledger.state.digest());
        for asset in loaded.asset_ids() {
            assert_eq!(loaded.asset(asset), walk.ledger.state.asset(asset), "totals are made anew");
        }
    }
    assert!(images > 100, "{images}");
}

#[test]
fn an_image_of_nothing_is_an_empty_ledger() {
    let empty = State::new(3);
    from_image(&empty, 4);
}

#[test]
fn an_image_that_was_cut_off_or_goes_on_is_refused() {
    let bytes = image(&Ledger::of_every_kind().state);
    for length in 0..bytes.len() {
        let fault = State::from_image(&bytes[..length], 1).expect_err("a part of an image");
        assert!(fault.offset <= length, "{fault}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let fault = State::from_image(&longer, 1).expect_err("more than an image");
    assert_eq!(fault, ImageFault { part: "places", offset: bytes.len(), expected: "the end" });
}

/// An image is read in two halves, perhaps at once.
#[test]
fn of_two_places_of_an_image_that_are_wrong_the_first_is_told() {
    let bytes = image(&Ledger::of_every_kind().state);
    let fault = |changed: &[u8]| State::from_image(changed, 1).err();
    let last = bytes.len() - 1;
    let mut late = bytes.clone();
    // The highest byte of the last key's position: no image has a record so far ahead.
    late[last] = 0xff;
    let told_late = fault(&late).expect("a position that cannot be");
    let mut compared = 0;
    for at in 0..last {
        let mut early = bytes.clone();
        early[at] ^= 0xff;
        let Some(told) = fault(&early).filter(|told| told.offset < told_late.offset) else { continue };
        early[last] = 0xff;
        assert_eq!(fault(&early), Some(told), "byte {at}");
        compared += 1;
    }
    assert!(compared > 1_000, "{compared}");
}

/// Says whether the bytes were refused. What is taken is the one image of its books: nothing is out of order or double.
fn is_refused(bytes: &[u8]) -> bool {
    match State::from_image(bytes, 1) {
        Ok(state) => {
            assert!(image(&state) == bytes, "no two images have the same books");
            false
        }
        Err(_) => true,
    }
}

/// Some changes only make other books; whether bytes have changed is for checksums to say. None may do harm.
#[test]
fn no_bytes_make_the_reader_of_images_panic() {
    let bytes = image(&Ledger::of_every_kind().state);
    let mut refused = 0;
    for at in 0..bytes.len() {
        for value in [0, 1, bytes[at].wrapping_add(1), bytes[at] ^ 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            refused += u32::from(is_refused(&changed));
            let _looked = glance(&changed, PlayerId::from_index(1));
        }
    }
    assert!(refused > 5_000, "{refused}");
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..2_000 {
        let mut changed = bytes.clone();
        let (from, to) = (random.random_range(0..bytes.len()), random.random_range(0..bytes.len()));
        let length = random.random_range(1..40).min(bytes.len() - from.max(to));
        changed.copy_within(from..from + length, to);
        is_refused(&changed);
        let _looked = glance(&changed, PlayerId::from_index(0));
    }
}
