//! Applying: only the next record of the same log fits, and nothing but the records is needed.

use cage_engine::{
    AccountId, Admitted, ApplyFault, AssetId, Lsn, OperationKind, PlayerId, Purse, Record, ResultCode, Role,
    Settings, State, Timestamp, decide, decide_group,
};

use crate::ledger::ask::deposit;
use crate::ledger::{ALICE, BOB, ETH, Ledger, SETTINGS, START, replayed};

#[test]
fn a_record_that_is_not_the_next_one_is_not_applied() {
    let ledger = Ledger::of_every_kind();
    let mut state = State::new(5);
    for (place, record) in ledger.records.iter().enumerate() {
        let next = Lsn(place as u64 + 1);
        for wrong in [Lsn::NONE, Lsn(next.0 - 1), Lsn(next.0 + 1), Lsn(u64::MAX)] {
            assert_eq!(state.apply(wrong, record), Err(ApplyFault::OutOfOrder { expected: next }));
        }
        state.apply(next, record).expect("the next record");
    }
    assert_eq!(state.digest(), ledger.state.digest(), "what was not applied changed nothing");
}

#[test]
fn a_record_from_before_the_one_in_front_of_it_is_not_applied() {
    let ledger = Ledger::of_every_kind();
    let mut state = State::new(5);
    for (place, record) in ledger.records.iter().enumerate() {
        let next = Lsn(place as u64 + 1);
        if state.clock().0 > 0 {
            let mut early = *record;
            early.decided = Timestamp(state.clock().0 - 1);
            assert_eq!(state.apply(next, &early), Err(ApplyFault::TimeFell));
        }
        state.apply(next, record).expect("the next record");
    }
    assert_eq!(state.digest(), ledger.state.digest(), "what was not applied changed nothing");
}

/// Every balance and amount of every leg, one off in either direction.
#[test]
fn a_record_whose_balances_do_not_add_up_is_not_applied() {
    const LEGS_AT: usize = 128;
    const LEG_BYTES: usize = 64;
    let ledger = Ledger::of_every_kind();
    let mut tried = 0;
    for (place, record) in ledger.records.iter().enumerate() {
        for leg in 0..record.legs().len() {
            // The amount, then the balance of the debit, then that of the credit.
            for field in [16, 32, 48] {
                for change in [-1_i128, 1] {
                    let at = LEGS_AT + leg * LEG_BYTES + field;
                    let mut bytes = record.to_bytes();
                    let value = i128::from_le_bytes(bytes[at..at + 16].try_into().expect("16 bytes"));
                    bytes[at..at + 16].copy_from_slice(&(value + change).to_le_bytes());
                    let wrong = Record::from_bytes(&bytes).expect("a well-formed record");
                    let mut state = replayed(&ledger.records[..place]);
                    let fault = state.apply(Lsn(place as u64 + 1), &wrong).expect_err("a wrong balance");
                    let none = ApplyFault::Missing("a sum");
                    assert!(matches!(fault, ApplyFault::BalanceDiffers { .. }) || fault == none, "{fault}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 40, "{tried}");
}

#[test]
fn a_record_that_names_what_is_not_there_is_not_applied() {
    let ledger = Ledger::of_every_kind();
    // Without the records in front of it, each but the first few lacks its player, asset, hold or settings.
    let settings = &ledger.records[..1];
    for record in &ledger.records[1..] {
        let mut state = replayed(settings);
        let moves = !record.legs().is_empty();
        let mut later = *record;
        later.decided = later.decided.max(state.clock());
        let applied = state.apply(Lsn(2), &later);
        assert!(!moves || applied.is_err(), "{later:?}");
    }
    let mut state = State::new(0);
    let open_asset = &ledger.records[1];
    assert_eq!(state.apply(Lsn(1), open_asset), Err(ApplyFault::Missing("the settings")));
}

/// Each record of a player names the one before it, so that a statement needs no index.
#[test]
fn every_players_records_can_be_followed_backwards() {
    let ledger = Ledger::of_every_kind();
    for player in [ALICE, BOB] {
        let mut found = Vec::new();
        let mut at = ledger.state.latest(player);
        while at != Lsn::NONE {
            found.push(at);
            let record = ledger.records[at.0 as usize - 1];
            at = if record.request.player == player {
                record.previous
            } else {
                record.counterparty_previous()
            };
        }
        let named = |record: &Record| {
            let request = &record.request;
            if request.kind == OperationKind::Continue {
                return false;
            }
            let receives = request.kind.spec().counterparty && request.counterparty() == player;
            request.player == player || receives
        };
        let places = (1..).map(Lsn).zip(&ledger.records).filter(|(_, record)| named(record));
        let mut expected: Vec<_> = places.map(|(lsn, _)| lsn).collect();
        expected.reverse();
        assert_eq!(found, expected, "{player}");
    }
}

/// The seed of the hash tables is each process's own secret; nothing that can be seen depends on it.
#[test]
fn the_seed_of_the_hash_tables_cannot_be_seen() {
    let ledger = Ledger::of_every_kind();
    for seed in [0, 1, u64::MAX, 0x5eed] {
        let mut state = State::new(seed);
        for run in ledger.records.chunk_by(|record, _| record.linked) {
            assert_eq!(decided_again(&mut state, run), run);
            for record in run {
                state.apply(state.next_lsn(), record).expect("a record of the log");
            }
        }
        assert_eq!(state.digest(), ledger.state.digest());
    }
}

/// A run of the log, decided anew from what was asked.
pub(crate) fn decided_again(state: &mut State, run: &[Record]) -> Vec<Record> {
    let now = run[0].decided;
    let asked = run.iter().filter(|record| record.request.kind != OperationKind::Continue);
    let asked: Vec<_> = asked
        .map(|record| Admitted {
            request: record.asked(),
            role: record.role,
            actor: record.actor,
            grant: record.grant,
            received: Timestamp(now.0 - record.received_age.micros() * 1_000),
        })
        .collect();
    match &asked[..] {
        [alone] => decide(state, now, alone).records().to_vec(),
        group => decide_group(state, now, group).iter().flat_map(|one| one.records().to_vec()).collect(),
    }
}

#[test]
fn digests_of_different_books_differ() {
    let ledger = Ledger::of_every_kind();
    let mut digests = std::collections::BTreeSet::new();
    for length in 0..=ledger.records.len() {
        assert!(digests.insert(replayed(&ledger.records[..length]).digest()), "after {length} records");
    }
    let other = |amount| {
        let mut ledger = Ledger::open();
        ledger.deposit(ALICE, amount);
        ledger.state.digest()
    };
    assert_ne!(other(1), other(2));
    assert_eq!(other(1), other(1));
}

#[test]
fn before_the_first_settings_nothing_is_taken() {
    let mut ledger = Ledger::empty();
    for operation in [ledger.transfer(ALICE, BOB, 1), ledger.reserve(ALICE, 1, 2)] {
        assert_eq!(ledger.ask(&operation), ResultCode::NotConfigured);
    }
    assert_eq!(ledger.ask(&deposit(ALICE, 1)), ResultCode::NotConfigured);
    assert_eq!(ledger.records.len(), 0);
    assert_eq!(ledger.configure(SETTINGS), ResultCode::Done);
    assert_eq!(ledger.state.settings(), Some(SETTINGS));
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let mut ledger = Ledger::with(Settings { ids_capacity: 32, ids_retention_millis: 0, ..SETTINGS });
    for settings in [
        Settings { ids_capacity: 15, ..SETTINGS },
        Settings { ids_capacity: (1 << 30) + 1, ..SETTINGS },
        Settings { holds_max: (1 << 27) + 1, ..SETTINGS },
        Settings { players_max: PlayerId::COUNT_MAX + 1, ..SETTINGS },
    ] {
        let code = ledger.configure(settings);
        assert_eq!(code, ResultCode::SettingsUnfit, "{settings:?}");
    }
    for _ in 0..32 {
        let nothing = ledger.transfer(ALICE, BOB, 1);
        ledger.ask(&nothing);
    }
    let smaller = Settings { ids_capacity: 31, ..SETTINGS };
    let code = ledger.configure(smaller);
    assert_eq!(code, ResultCode::SettingsUnfit, "more is remembered than would fit");
}

#[test]
fn an_account_is_its_asset_purse_and_owner() {
    let account = AccountId::of_player(AssetId(0xabcd), Purse::Reserved, ALICE);
    assert_eq!(account.0, 0xabcd << 48 | 3 << 40 | ALICE.number());
    assert_eq!((account.asset(), account.purse(), account.player()), {
        (AssetId(0xabcd), Some(Purse::Reserved), Some(ALICE))
    });
    let house = AccountId::of_house(ETH, Purse::DepositClearing, 7);
    assert_eq!((house.owner(), house.player()), (7, None));
    assert_eq!(START.millis(), 1_750_000_000_000);
    assert!(Role::CALLERS.into_iter().all(|role| Role::from_name(role.name()) == Some(role)));
}
