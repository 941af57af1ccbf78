//! Groups: what is asked for together happens together, over real connections, kills and restarts.
//!
//! What breaks: half a group (money that left one player and reached nobody), a member that does not see the ones
//! before it, a retry that is decided in another grouping, a group that is none and takes the connection with it.

use std::path::Path;

use cage_client::Error;
use cage_engine::{
    Amount, AssetCode, CallerId, Lsn, Operation, OperationKind, PlayerClass, Record, RequestId, ResultCode,
    Role,
};
use cage_protocol::{Read, Reply};

use crate::harness::casino::{Casino, client, new_id};
use crate::harness::wire::{Wire, group_items, read_item};
use crate::harness::{Ledger, audit, folder, log, run, run_for};
use crate::replay::forged;

type Group = Vec<(RequestId, Operation)>;

fn group(operations: Vec<Operation>) -> Group {
    operations.into_iter().map(|operation| (new_id(), operation)).collect()
}

fn codes(replies: &[Reply]) -> Vec<ResultCode> {
    replies.iter().map(|reply| reply.result).collect()
}

/// What each player has.
async fn available(wire: &mut Wire, casino: &Casino) -> Vec<i128> {
    let mut held = Vec::new();
    for player in &casino.players {
        let read = Read::Balances { player: *player, asset: casino.asset };
        held.push(wire.answer(read_item(0, read)).await.available.expect("a balance").0);
    }
    held
}

#[test]
fn a_group_is_executed_as_one_and_each_member_sees_what_the_ones_before_it_did() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 3, 100).await;
        let client = client(&ledger, Role::Frontend).await;
        // The second can only be paid from the first, the third from both.
        let operations =
            group(vec![casino.transfer(0, 1, 100), casino.transfer(1, 2, 200), casino.transfer(2, 0, 300)]);
        let ids: Vec<_> = operations.iter().map(|(id, _)| *id).collect();
        let outcomes = client.group(operations.clone()).await;
        let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("executed")).collect();
        assert_eq!(outcomes.iter().map(|executed| executed.id).collect::<Vec<_>>(), ids);
        let first = outcomes[0].lsn.0;
        assert_eq!(
            outcomes.iter().map(|executed| executed.lsn.0).collect::<Vec<_>>(),
            [first, first + 1, first + 2]
        );
        assert_eq!(
            outcomes.iter().map(|executed| executed.available.map(|held| held.0)).collect::<Vec<_>>(),
            [Some(0), Some(0), Some(0)]
        );
        for (again, before) in client.group(operations.clone()).await.into_iter().zip(&outcomes) {
            let again = again.expect("executed before");
            assert!(again.repeated);
            assert_eq!((again.lsn, again.available), (before.lsn, before.available));
        }
        // A member alone, and some of the members, are another grouping.
        for some in [&operations[..2], &operations[..1]] {
            let outcomes = client.group(some.to_vec()).await;
            assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
        }
        assert_eq!(available(&mut Wire::greeted(&ledger, Role::Auditor).await, &casino).await, [300, 0, 0]);
        client.close().await;
        ledger.close().await;
        let records = log::records(dir.path()).0;
        let linked: Vec<_> =
            records.iter().filter(|(_, record)| record.linked).map(|(lsn, _)| lsn.0).collect();
        assert_eq!(linked, [first, first + 1], "all but the last say that another one follows");
        audit(dir.path(), &[]).assert_clean();
    });
}

#[test]
fn a_refused_member_refuses_all_and_a_repeat_gives_the_same_answers() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 3, 100).await;
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        let operations =
            group(vec![casino.transfer(0, 1, 60), casino.transfer(0, 2, 60), casino.transfer(1, 2, 1)]);
        let refused = [ResultCode::GroupRefused, ResultCode::InsufficientFunds, ResultCode::GroupRefused];
        let first = wire.group(&operations).await;
        assert_eq!(codes(&first), refused);
        assert!(first.iter().all(|reply| reply.lsn.0 > 0 && !reply.repeated), "each has a record");
        // Meanwhile there is enough: what was refused stays so.
        assert_eq!(wire.operate(new_id(), &casino.transfer(1, 0, 50)).await.result, ResultCode::Done);
        let ledger = ledger.kill().ledger();
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        for (again, before) in wire.group(&operations).await.iter().zip(&first) {
            assert_eq!(*again, Reply { repeated: true, ..*before });
        }
        assert_eq!(available(&mut wire, &casino).await, [150, 50, 100]);
        // Under new ids it is another group.
        let again: Vec<_> = operations.iter().map(|(_, operation)| (new_id(), *operation)).collect();
        assert_eq!(codes(&wire.group(&again).await), [ResultCode::Done; 3]);
        assert_eq!(available(&mut wire, &casino).await, [30, 109, 161]);
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

#[test]
fn groups_that_are_none_are_refused_by_number_and_the_connection_lives() {
    use ResultCode as Code;
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        let lsn = wire.answer(read_item(1, Read::Totals { asset: casino.asset })).await.lsn;
        let transfers = |count| group(vec![casino.transfer(0, 1, 1); count]);
        let link = |items: &mut Vec<[u8; 128]>, at: usize| items[at][4] |= 1;

        assert_eq!(codes(&wire.group(&transfers(65)).await), [Code::GroupMalformed; 65], "one too many");
        assert_eq!(codes(&wire.group(&transfers(1_024)).await), [Code::GroupMalformed; 1_024]);

        let mut unended = group_items(&transfers(3));
        link(&mut unended, 2);
        assert_eq!(codes(&wire.items(&unended).await), [Code::Malformed; 3], "the frame ends in the group");
        let mut alone = group_items(&transfers(1));
        link(&mut alone, 0);
        assert_eq!(codes(&wire.items(&alone).await), [Code::Malformed]);

        let mut twice = transfers(3);
        twice[2].0 = twice[0].0;
        assert_eq!(codes(&wire.group(&twice).await), [Code::GroupMalformed; 3], "an id twice");

        let opening = Operation::OpenPlayer {
            caller_id: CallerId(99),
            brand: 1,
            jurisdiction: 1,
            class: PlayerClass::Real,
        };
        let ungroupable = group(vec![casino.transfer(0, 1, 1), opening]);
        assert_eq!(codes(&wire.group(&ungroupable).await), [Code::GroupMalformed; 2]);

        let mut with_read = group_items(&transfers(2));
        link(&mut with_read, 1);
        with_read.push(read_item(2, Read::Totals { asset: casino.asset }));
        assert_eq!(codes(&wire.items(&with_read).await), [Code::GroupMalformed; 3], "a read is no member");

        let code = AssetCode::new("COIN").expect("a code");
        let amount_max = Amount(9);
        let asset = Operation::OpenAsset { code, scale: 0, transfers: true, amount_max };
        let not_allowed = group(vec![casino.transfer(0, 1, 1), asset, casino.transfer(0, 1, 1)]);
        let answers = [Code::GroupNotTaken, Code::RoleNotAllowed, Code::GroupNotTaken];
        assert_eq!(codes(&wire.group(&not_allowed).await), answers);

        let mut mistyped = group_items(&transfers(3));
        mistyped[0][56] ^= 1;
        let answers = [Code::PlayerMistyped, Code::GroupNotTaken, Code::GroupNotTaken];
        assert_eq!(codes(&wire.items(&mistyped).await), answers);

        let mut early = transfers(2);
        early[1].0 = RequestId::from_time(early[1].0.time().plus_millis(60_000), 1);
        assert_eq!(codes(&wire.group(&early).await), [Code::GroupNotTaken, Code::IdFromFuture]);

        // Neighbours of a group that is none are nothing to it.
        let mut items = group_items(&transfers(2));
        items.extend(group_items(&twice));
        items.extend(group_items(&transfers(1)));
        let mut expected = vec![Code::Done; 2];
        expected.extend([Code::GroupMalformed; 3]);
        expected.push(Code::Done);
        assert_eq!(codes(&wire.items(&items).await), expected);
        // And the greatest group is one.
        assert_eq!(codes(&wire.group(&transfers(64)).await), [Code::Done; 64]);
        let after = wire.answer(read_item(1, Read::Totals { asset: casino.asset })).await.lsn;
        assert_eq!(after.0, lsn.0 + 3 + 64, "nothing else left a record");
        assert_eq!(available(&mut wire, &casino).await, [1_000 - 67, 1_000 + 67]);
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// W6: no kill leaves a bet without its win.
#[test]
fn a_group_in_flight_at_a_kill_is_there_whole_or_not_at_all() {
    const ROUNDS: u64 = 6;
    const GROUPS: usize = 200;
    run_for(std::time::Duration::from_secs(120), async {
        let dir = folder();
        let mut ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 3, 1_000_000).await;
        let mut asked: Vec<Group> = Vec::new();
        let mut killed_between = 0;
        for round in 0..ROUNDS {
            let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
            let groups: Vec<_> = (0..GROUPS)
                .map(|number| {
                    let ring = [(0, 1), (1, 2), (2, 0)].into_iter().cycle().take(2 + number % 17);
                    group(ring.map(|(from, to)| casino.transfer(from, to, 5)).collect())
                })
                .collect();
            for group in &groups {
                wire.write(&crate::harness::wire::requests(&group_items(group))).await;
            }
            asked.extend(groups);
            if round % 2 == 0 {
                wire.replies().await.expect("replies");
            }
            ledger = ledger.kill().ledger();
            killed_between += u64::from(half_done(dir.path(), &asked));
        }
        println!("{killed_between} of {ROUNDS} kills came while groups were on their way");
        let client = client(&ledger, Role::Frontend).await;
        for group in &asked {
            for outcome in client.group(group.clone()).await {
                outcome.expect("executed once, before the kill or now");
            }
        }
        client.close().await;
        let sent = |player: usize| -> i128 {
            let all = asked.iter().flatten();
            let of = all.filter(|(_, operation)| *operation == casino.transfer(player, (player + 1) % 3, 5));
            of.count() as i128 * 5
        };
        let held = available(&mut Wire::greeted(&ledger, Role::Auditor).await, &casino).await;
        let expected: Vec<_> =
            (0..3).map(|player| 1_000_000 - sent(player) + sent((player + 2) % 3)).collect();
        assert_eq!(held, expected);
        ledger.close().await;
        assert!(!half_done(dir.path(), &asked), "now all of them are there");
        audit(dir.path(), &[]).assert_clean();
    });
}

/// Sees that no group is there in part; says whether one is missing.
fn half_done(dir: &Path, asked: &[Group]) -> bool {
    let places = log::places(&log::records(dir).0);
    let mut missing = false;
    for group in asked {
        let there: Vec<_> = group.iter().filter_map(|(id, _)| places.get(id)).collect();
        assert!(there.is_empty() || there.len() == group.len(), "{} of {}", there.len(), group.len());
        let follow = there.windows(2).all(|pair| pair[1].0 == Lsn(pair[0].0.0 + 1));
        assert!(follow, "one after the other");
        missing |= there.is_empty();
    }
    missing
}

/// A log with groups, executed and refused, and traffic around them.
fn written(dir: &Path) -> Vec<Record> {
    run(async {
        let ledger = Ledger::small(dir);
        let casino = Casino::funded(&ledger, 3, 1_000).await;
        let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
        for _ in 0..3 {
            wire.operate(new_id(), &casino.transfer(0, 1, 7)).await;
            let done = vec![casino.transfer(0, 1, 5), casino.transfer(1, 2, 6), casino.transfer(2, 0, 4)];
            assert_eq!(codes(&wire.group(&group(done)).await), [ResultCode::Done; 3]);
            let refused = group(vec![casino.transfer(0, 1, 5), casino.transfer(1, 2, 50_000)]);
            let answers = [ResultCode::GroupRefused, ResultCode::InsufficientFunds];
            assert_eq!(codes(&wire.group(&refused).await), answers);
        }
        ledger.close().await;
    });
    audit(dir, &[]).assert_clean();
    log::records(dir).0.into_iter().map(|(_, record)| record).collect()
}

#[test]
fn an_audit_finds_what_was_changed_inside_a_group() {
    let dir = folder();
    let honest = written(dir.path());
    let done = honest.iter().rposition(|record| record.linked && record.result == ResultCode::Done);
    let refused = honest.iter().rposition(|record| record.result == ResultCode::GroupRefused);
    // The middle one of three, the first one of two.
    let (done, refused) = (done.expect("a group"), refused.expect("a refused group"));
    let copy = folder();
    forged(copy.path(), &honest);
    audit(copy.path(), &[]).assert_clean();
    type Forgery = fn(&mut Vec<Record>, usize);
    let forgeries: [(&str, usize, Forgery); 10] = [
        ("another amount", done, |records, at| records[at].request.amount.0 -= 1),
        ("one byte of an id", done, |records, at| records[at].request.id.0 ^= 1 << 64),
        ("a member less", done, |records, at| {
            records.remove(at);
        }),
        ("a member less at the end", done, |records, at| {
            records.remove(at + 1);
            records[at].linked = false;
        }),
        ("two groups of one", done, |records, at| records[at].linked = false),
        ("two that changed places", done, |records, at| {
            let id = records[at].request.id;
            records[at].request.id = records[at - 1].request.id;
            records[at - 1].request.id = id;
        }),
        ("asked for alone", done, |records, at| records[at].request.linked = false),
        ("joined to its neighbour", done, |records, at| records[at + 1].linked = true),
        ("executed although another was refused", refused, |records, at| {
            records[at].result = ResultCode::Done;
        }),
        ("refused for another reason", refused, |records, at| {
            records[at].result = ResultCode::InsufficientFunds;
        }),
    ];
    for (what, place, forge) in forgeries {
        let mut records = honest.clone();
        forge(&mut records, place);
        let copy = folder();
        forged(copy.path(), &records);
        let report = audit(copy.path(), &[]);
        assert_eq!(
            (report.code, report.json["verdict"].as_str()),
            (1, Some("differences")),
            "{what}: {report:?}"
        );
    }
}

#[test]
fn an_audit_that_stops_inside_a_group_says_so_and_goes_no_further() {
    let dir = folder();
    let records = written(dir.path());
    let middle = records.iter().position(|record| record.linked).expect("a group") as u64 + 2;
    let report = audit(dir.path(), &["--until", &middle.to_string()]);
    report.assert_clean();
    assert_eq!((report.number("records"), report.number("last_lsn")), (middle, middle));
    let notices = report.json["notices"].as_array().expect("notices");
    assert!(notices.iter().any(|notice| notice.to_string().contains("not decided again")), "{notices:?}");
    let transfers = records.iter().filter(|record| record.request.kind == OperationKind::Transfer);
    assert_eq!(transfers.filter(|record| record.linked).count(), 3 * (2 + 1));
}

#[test]
fn what_is_no_group_for_the_client_is_answered_without_a_server() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000).await;
        let client = client(&ledger, Role::Frontend).await;
        assert_eq!(client.group(Vec::new()).await, []);
        let many = client.group(group(vec![casino.transfer(0, 1, 1); 65])).await;
        let refused = |outcome: &Result<_, Error>| {
            matches!(outcome, Err(Error::Refused { code: ResultCode::GroupMalformed, .. }))
        };
        assert!(many.len() == 65 && many.iter().all(refused));
        let one = client.group(group(vec![casino.transfer(0, 1, 1)])).await;
        assert!(one[0].is_ok(), "a group of one is a request");
        client.close().await;
        ledger.close().await;
    });
}
