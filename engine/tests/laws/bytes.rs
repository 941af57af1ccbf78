//! Bytes and numbers from outside: what is accepted means one thing, and nothing makes the engine panic.

use std::path::PathBuf;
use std::{env, fs};

use cage_engine::field::{FieldSpec, Slot};
use cage_engine::request::REQUEST_BYTES;
use cage_engine::table::IdRule;
use cage_engine::{
    Amount, Operation, OperationKind, Outcome, PlayerId, RECORD_BYTES, Record, Request, RequestId,
    ResultCode, SessionId,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::ledger::{ALICE, Ledger, PLAY};

// ---- check digits

/// Every slip of one digit and every swap of two neighbours, for some thousands of players.
#[test]
fn check_digits_catch_every_single_slip_and_every_swap_of_neighbours() {
    let last = PlayerId::COUNT_MAX as u32 - 1;
    let players = (0..4_000).chain((0..300).map(|step| step * 894_000)).chain(last - 500..=last);
    let mut slips = 0_u64;
    for index in players {
        let player = PlayerId::from_index(index);
        assert_eq!(PlayerId::new(player.number()), Ok(player));
        assert_eq!(player.index(), index as usize);
        let digits = player.number().to_string().into_bytes();
        let refused = |digits: &[u8]| {
            let text = std::str::from_utf8(digits).expect("digits");
            PlayerId::new(text.parse().expect("a number")).is_err()
        };
        for place in 0..digits.len() {
            for digit in b'0'..=b'9' {
                let mut slip = digits.clone();
                slip[place] = digit;
                assert!(slip == digits || refused(&slip), "{player}: {slip:?}");
                slips += u64::from(slip != digits);
            }
            let mut swap = digits.clone();
            swap.swap(place, place.saturating_sub(1));
            assert!(swap == digits || refused(&swap), "{player}: {swap:?}");
            slips += u64::from(swap != digits);
        }
    }
    assert!(slips > 300_000, "{slips}");
}

#[test]
fn no_number_but_the_ledgers_own_names_a_player() {
    let handed_out: Vec<_> = (0..9_999).map(|index| PlayerId::from_index(index).number()).collect();
    let accepted: Vec<_> = (0..1_000_000).filter(|number| PlayerId::new(*number).is_ok()).collect();
    assert_eq!(accepted, handed_out);
    let beyond = (PlayerId::COUNT_MAX + 1) * 100;
    assert!((beyond..beyond + 100).all(|number| PlayerId::new(number).is_err()));
    assert!(PlayerId::new(u64::MAX).is_err());
}

// ---- bytes

/// One request and one record of each kind, as every build must write and read them. `CAGE_BLESS=1` writes the
/// files anew, which is a change of the format.
#[test]
fn every_build_writes_and_reads_the_same_bytes() {
    let ledger = Ledger::of_every_kind();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bless = env::var("CAGE_BLESS").is_ok_and(|value| value == "1");
    for kind in OperationKind::ALL {
        let executed = |record: &&Record| record.request.kind == *kind && record.result.is_executed();
        let record = *ledger.records.iter().find(executed).expect("every kind");
        let request = record.asked();
        let stored = |name: &str, bytes: &[u8]| {
            let path = folder.join(format!("{name}_{}.bin", kind.name()));
            if bless {
                fs::write(&path, bytes).expect("the golden file is written");
            }
            fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
        };
        let bytes = stored("record", &record.to_bytes());
        assert_eq!(bytes, record.to_bytes(), "the record of {}", kind.name());
        let bytes: [u8; RECORD_BYTES] = bytes.try_into().expect("a record's length");
        assert_eq!(Record::from_bytes(&bytes), Ok(record));
        let bytes = stored("request", &request.to_bytes());
        assert_eq!(bytes, request.to_bytes(), "the request of {}", kind.name());
        let bytes: [u8; REQUEST_BYTES] = bytes.try_into().expect("a request's length");
        match Request::parse(&bytes) {
            Ok(parsed) => assert_eq!(parsed, request),
            Err(fault) => {
                assert_eq!(fault.code, ResultCode::OperationUnknown);
                assert_eq!(
                    kind.spec().id,
                    IdRule::Internal,
                    "only the ledger's own doings are not asked for"
                );
            }
        }
    }
}

/// Random bytes, and good requests with a few bytes changed: refused with a number, or read without any loss.
#[test]
fn no_bytes_make_a_request_panic_or_lose_anything() {
    let mut random = StdRng::seed_from_u64(7);
    let ledger = Ledger::of_every_kind();
    let good: Vec<_> = ledger.records.iter().map(|record| record.asked().to_bytes()).collect();
    let mut refused = std::collections::BTreeMap::<_, u64>::new();
    let mut accepted = 0_u64;
    for round in 0..400_000 {
        let mut bytes = [0; REQUEST_BYTES];
        if round % 8 == 0 {
            random.fill_bytes(&mut bytes);
            if round % 16 == 0 {
                bytes[..2].copy_from_slice(&random.random_range(0..150_u16).to_le_bytes());
            }
        } else {
            bytes = good[random.random_range(0..good.len())];
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..REQUEST_BYTES);
                bytes[place] = match random.random_range(0..4) {
                    0 => 0,
                    1 => bytes[place] ^ 1 << random.random_range(0..8),
                    _ => random.random(),
                };
            }
        }
        match Request::parse(&bytes) {
            Ok(request) => {
                accepted += 1;
                assert_eq!(request.to_bytes(), bytes, "what is accepted has one form");
                let operation = Operation::try_from(&request).expect("an accepted request is an operation");
                // Which requests are a group is no part of the operation.
                let linked = request.linked;
                assert_eq!(Request { linked, ..operation.request(request.id) }, request);
            }
            Err(fault) => {
                assert_eq!(fault.code.outcome(), Outcome::Refused);
                assert!(!fault.code.is_recorded());
                *refused.entry(fault.code).or_default() += 1;
            }
        }
    }
    println!("{accepted} accepted, {refused:?}");
    assert!(accepted > 50_000);
    for code in [
        ResultCode::Malformed,
        ResultCode::OperationUnknown,
        ResultCode::PlayerMistyped,
        ResultCode::AmountZero,
        ResultCode::AmountOverLimit,
    ] {
        assert!(refused[&code] > 10, "{}: {refused:?}", code.name());
    }
}

/// Each field that an operation does not use must be zero, and each that it needs must not.
#[test]
fn a_field_that_an_operation_does_not_use_must_be_zero() {
    let ledger = Ledger::of_every_kind();
    for record in &ledger.records {
        let request = record.asked();
        let kind = request.kind;
        if kind.spec().id == IdRule::Internal {
            continue;
        }
        assert_eq!(Request::parse(&request.to_bytes()), Ok(request));
        let changed = |change: &dyn Fn(&mut Request)| {
            let mut changed = request;
            change(&mut changed);
            Request::parse(&changed.to_bytes()).map_err(|fault| (fault.code, fault.field))
        };
        let malformed = |field| Err((ResultCode::Malformed, field));
        let field = |slot: Slot| kind.fields().iter().find(|field| field.slot == slot);
        let (absent, needed) =
            (|slot| field(slot).is_none(), |slot| field(slot).is_some_and(|field| field.required));
        assert_eq!(changed(&|request| request.id = RequestId::NONE), Err((ResultCode::IdZero, "id")));
        if absent(Slot::Reference) || needed(Slot::Reference) {
            let toggled = changed(&|request| request.reference = u128::from(request.reference == 0));
            assert_eq!(toggled, malformed("reference"), "{}", kind.name());
        }
        if absent(Slot::Asset) || needed(Slot::Asset) {
            let toggled = changed(&|request| request.asset.0 = u16::from(request.asset.0 == 0));
            assert_eq!(toggled, malformed("asset"), "{}", kind.name());
        }
        if absent(Slot::Player) || needed(Slot::Player) {
            let toggled = changed(&|request| {
                request.player = if request.player == PlayerId::NONE { ALICE } else { PlayerId::NONE };
            });
            assert_eq!(toggled, malformed("player"), "{}", kind.name());
        }
        if absent(Slot::Amount) {
            assert_eq!(changed(&|request| request.amount = Amount(1)), malformed("amount"));
        }
        if absent(Slot::Game) {
            assert_eq!(changed(&|request| request.game = PLAY), malformed("game"), "{}", kind.name());
        }
        if absent(Slot::Session) {
            assert_eq!(changed(&|request| request.session = SessionId(1)), malformed("session"));
        }
        if absent(Slot::EndsRound) {
            assert_eq!(changed(&|request| request.ends_round = true), malformed("ends_round"));
        }
        for place in 0..request.detail.0.len() {
            let in_it = |field: &FieldSpec| match field.slot {
                Slot::Detail(from) => (from..from + field.bytes).contains(&place),
                _ => false,
            };
            if !kind.fields().iter().any(in_it) {
                let found = changed(&|request| request.detail.0[place] = 1);
                assert_eq!(found, malformed("detail"), "{}, byte {place}", kind.name());
            }
        }
        // The kind and the asset take the first four bytes, then come the flags and two bytes that mean nothing.
        for place in 4..8 {
            let mut bytes = request.to_bytes();
            bytes[place] |= 0x80;
            let fault = Request::parse(&bytes).expect_err("reserved bits are zero");
            assert_eq!((fault.code, fault.field), (ResultCode::Malformed, "flags"));
        }
    }
}

/// A log that was damaged is read with an error or, where the damage changes a value, without any loss.
#[test]
fn no_bytes_make_a_record_panic_or_lose_anything() {
    let mut random = StdRng::seed_from_u64(9);
    let ledger = Ledger::of_every_kind();
    let mut read = 0;
    for _ in 0..200_000 {
        let mut bytes = ledger.records[random.random_range(0..ledger.records.len())].to_bytes();
        for _ in 0..random.random_range(1..4) {
            let end = if random.random() { 8 } else { RECORD_BYTES };
            let place = random.random_range(0..end);
            bytes[place] = random.random();
        }
        if let Ok(record) = Record::from_bytes(&bytes) {
            read += 1;
            assert_eq!(record.to_bytes(), bytes);
            assert!(record.result.is_recorded(), "what is no record is never read as one");
        }
    }
    assert!((20_000..180_000).contains(&read), "{read}");
}
