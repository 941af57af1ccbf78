//! Numbers that stand in logs for ever. `golden/numbers.txt` has each that was ever given; a line of it never changes
//! and never goes. `CAGE_BLESS=1` adds what is new.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::{env, fs, path::Path};

use cage_engine::{
    LimitKind, LockReason, OperationKind, PastTransaction, Period, PlayerClass, Purse, ResultCode, Role,
    Rule, Status,
};

fn given() -> Vec<String> {
    let mut lines = Vec::new();
    let mut all = |what: &str, rows: &mut dyn Iterator<Item = (u16, &'static str)>| {
        for (number, name) in rows {
            let mut line = String::new();
            write!(line, "{what} {number} {name}").expect("a string takes all");
            lines.push(line);
        }
    };
    all("operation", &mut OperationKind::ALL.iter().map(|it| (it.number(), it.name())));
    all("code", &mut ResultCode::ALL.iter().map(|it| (it.number(), it.name())));
    all("role", &mut Role::CALLERS.iter().map(|it| (*it as u16, it.name())));
    all("purse", &mut Purse::ALL.iter().map(|it| (*it as u16, it.name())));
    all("rule", &mut Rule::ALL.iter().map(|it| (*it as u16, it.name())));
    all("status", &mut Status::ALL.iter().map(|it| (*it as u16, it.name())));
    all("lock_reason", &mut LockReason::ALL.iter().map(|it| (*it as u16, it.name())));
    all("limit_kind", &mut LimitKind::ALL.iter().map(|it| (*it as u16, it.name())));
    all("period", &mut Period::ALL.iter().map(|it| (*it as u16, it.name())));
    all("past_transaction", &mut PastTransaction::ALL.iter().map(|it| (*it as u16, it.name())));
    all("class", &mut PlayerClass::ALL.iter().map(|it| (*it as u16, it.name())));
    lines
}

#[test]
fn a_number_that_was_given_once_keeps_its_meaning_for_ever() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/numbers.txt");
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let kept: Vec<_> = kept.lines().map(str::to_owned).collect();
    let given = given();
    let gone: Vec<_> = kept.iter().filter(|line| !given.contains(line)).collect();
    assert_eq!(gone, Vec::<&String>::new(), "numbers that logs have, and that mean something else now");
    let new: Vec<_> = given.iter().filter(|line| !kept.contains(line)).cloned().collect();
    let numbers: BTreeSet<_> = given.iter().map(|line| line.rsplit_once(' ').expect("a name").0).collect();
    assert_eq!(numbers.len(), given.len(), "no number has two meanings");
    if env::var("CAGE_BLESS").is_ok_and(|value| value == "1") && !new.is_empty() {
        let lines: Vec<_> = kept.into_iter().chain(new).collect();
        fs::write(&file, lines.join("\n") + "\n").expect("a file that can be written");
    } else {
        assert_eq!(new, Vec::<String>::new(), "CAGE_BLESS=1 adds them to golden/numbers.txt");
    }
}
