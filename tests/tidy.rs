//! The tree itself: what documents promise is what the code says, and files stay readable.

use std::fs;
use std::path::{Path, PathBuf};

use cage_engine::{OperationKind, ResultCode, Role};
use cage_protocol::{CloseCode, FeedEndCode};

/// Folders that nobody wrote.
const SKIPPED: [&str; 7] = ["target", "data", ".git", "cage-demo", "cage-data", "__pycache__", "corpus"];
/// The longest file that one reads in one go, and those that are longer all the same.
const LINES_MAX: usize = 700;
const LONGER: [&str; 2] = ["engine/src/operation.rs", "engine/tests/model_against_engine.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if SKIPPED.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

/// Every text file of the tree, its name relative to the root, its text.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(root(), &mut found);
    let mut texts: Vec<_> = found
        .into_iter()
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            Some((path.strip_prefix(root()).expect("below the root").display().to_string(), text))
        })
        .collect();
    texts.sort();
    texts
}

fn sources() -> impl Iterator<Item = (String, String)> {
    texts().into_iter().filter(|(name, _)| name.ends_with(".rs"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap_or_else(|fault| panic!("docs/{name}: {fault}"))
}

#[test]
fn every_source_says_first_what_it_is() {
    let silent: Vec<_> =
        sources().filter(|(_, text)| !text.starts_with("//! ")).map(|(name, _)| name).collect();
    assert_eq!(silent, Vec::<String>::new(), "these begin without //!");
}

#[test]
fn no_source_is_longer_than_one_can_read() {
    let long: Vec<_> = sources()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(name, lines)| *lines > LINES_MAX && !LONGER.contains(&name.as_str()))
        .collect();
    assert_eq!(long, Vec::new(), "longer than {LINES_MAX} lines");
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    // Put together here, or this file would be one of them.
    let mut places = ["home", "root", "Users", "mnt"].map(|place| format!("/{place}/")).to_vec();
    places.push(format!("{}/", root().display()));
    for (name, text) in texts() {
        for (number, line) in (1..).zip(text.lines()) {
            let personal = |place: &String| {
                // A place begins a path; in the middle of one it is an ordinary name.
                line.match_indices(place.as_str()).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|before| !before.is_alphanumeric() && !"./-_~".contains(before))
                })
            };
            assert!(!places.iter().any(personal), "{name}:{number}: {line}");
        }
    }
}

/// The rows of tables whose first column is a number and whose second one is a name in backquotes.
fn numbered_rows(document: &str, title: &str) -> Vec<(u16, String, String)> {
    let (_, after) = document.split_once(title).unwrap_or_else(|| panic!("a section {title:?}"));
    let section = after.split("\n## ").next().unwrap_or(after);
    section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
            let number = cells.next()?.parse().ok()?;
            let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
            let meaning = cells.next()?.to_owned();
            cells.next().is_none().then_some((number, name, meaning))
        })
        .collect()
}

fn row(number: u16, name: &str, meaning: &str) -> (u16, String, String) {
    (number, name.to_owned(), meaning.to_owned())
}

/// The same rows in the same order; says which one differs.
#[track_caller]
fn assert_rows<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T]) {
    let differ = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert_eq!(differ, None, "(document, code)");
    let (more, less) = (found.get(expected.len()..), expected.get(found.len()..));
    assert_eq!(more.unwrap_or_default(), [], "only in the document");
    assert_eq!(less.unwrap_or_default(), [], "only in the code");
}

#[test]
fn the_protocols_document_lists_every_result_code_with_its_meaning() {
    let expected: Vec<_> =
        ResultCode::ALL.iter().map(|code| row(code.number(), code.name(), code.meaning())).collect();
    assert_rows(&numbered_rows(&document("protocol.md"), "\n## 8. Result codes"), &expected);
}

#[test]
fn the_protocols_document_lists_every_close_code_with_its_meaning() {
    let expected: Vec<_> =
        CloseCode::ALL.iter().map(|code| row(*code as u16, code.name(), code.meaning())).collect();
    assert_rows(&numbered_rows(&document("protocol.md"), "\n## 9. Goodbye and close"), &expected);
}

#[test]
fn the_protocols_document_lists_every_end_of_a_feed_with_its_meaning() {
    let expected: Vec<_> =
        FeedEndCode::ALL.iter().map(|code| row(*code as u16, code.name(), code.meaning())).collect();
    assert_rows(&numbered_rows(&document("protocol.md"), "\n## 11. The feed"), &expected);
}

#[test]
fn the_protocols_document_lists_every_role_and_operation() {
    let document = document("protocol.md");
    let roles: Vec<_> = numbered_rows(&document, "\n## 1. Connection")
        .into_iter()
        .map(|(number, name, _)| (number, name))
        .collect();
    let expected: Vec<_> = Role::CALLERS.iter().map(|role| (*role as u16, role.name().to_owned())).collect();
    assert_rows(&roles, &expected);
    let operations: Vec<_> =
        OperationKind::ALL.iter().map(|kind| row(kind.number(), kind.name(), kind.summary())).collect();
    assert_rows(&numbered_rows(&document, "\n## 4. Requests"), &operations);
}

#[test]
fn the_table_of_operations_names_every_operation_and_who_may_ask_for_it() {
    let document = document("operations-table.md");
    for kind in OperationKind::ALL {
        let (name, spec) = (format!("`{}`", kind.name()), kind.spec());
        let rows: Vec<Vec<&str>> = document
            .lines()
            .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let summary = [&kind.number().to_string(), name.as_str(), kind.summary()];
        assert!(rows.iter().any(|cells| *cells == summary), "a row of {summary:?}");
        let who = rows.iter().find(|cells| cells.first() == Some(&name.as_str()) && cells.len() == 7);
        let mut who: Vec<_> =
            who.unwrap_or_else(|| panic!("a row of {name}"))[1].split(", ").map(str::to_owned).collect();
        // A star marks a role whose amounts a rule bounds.
        let star = |role: Role| if spec.capped.contains(role) { "*" } else { "" };
        let mut may: Vec<_> = [Role::System]
            .iter()
            .chain(&Role::CALLERS)
            .filter(|role| spec.roles.contains(**role))
            .map(|role| format!("{}{}", role.name(), star(*role)))
            .collect();
        who.sort_unstable();
        may.sort_unstable();
        assert_eq!(who, may, "who may ask for {name}");
    }
}

/// The ledger and the wire know no operating system. The compiler sees to it; here it is seen that it may.
#[test]
fn engine_and_protocol_do_without_an_operating_system() {
    for part in ["engine", "protocol"] {
        let root = fs::read_to_string(root().join(part).join("src/lib.rs")).expect("a source");
        assert!(root.contains("\n#![no_std]\n") && root.contains("\n#![forbid(unsafe_code)]\n"), "{part}");
        for (name, text) in sources().filter(|(name, _)| name.starts_with(&format!("{part}/src/"))) {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let uses: Vec<_> =
                code.filter(|line| line.contains("std::") || line.contains("extern crate std")).collect();
            assert_eq!(uses, Vec::<&str>::new(), "{name}");
        }
    }
}

/// The tests that the page on durability names for each of its points are there, and say so themselves.
#[test]
fn the_twenty_points_name_tests_that_are_there() {
    let page = document("durability.md");
    let sources: Vec<_> = sources().collect();
    let mut points = Vec::new();
    for row in page.lines().filter_map(|line| line.strip_prefix("| B4.")) {
        let cells: Vec<_> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let [number, _, _, tests] = cells[..] else { panic!("four cells: {row}") };
        let point = format!("B4.{number}");
        for test in tests.split(", ").map(|test| test.trim_matches('`')).filter(|test| !test.is_empty()) {
            let told = sources
                .iter()
                .filter_map(|(_, text)| first_words(text, test))
                .any(|words| words.split([' ', ',']).any(|word| word.trim_end_matches('.') == point));
            assert!(told, "no test {test} says that it shows {point}");
        }
        points.push(number.parse::<u32>().expect("a number"));
    }
    assert_eq!(points, (1..=20).collect::<Vec<_>>());
}

/// The first line of what a source says of a test.
fn first_words<'a>(text: &'a str, test: &str) -> Option<&'a str> {
    let before = text.split_once(&format!("fn {test}()"))?.0.trim_end();
    let before = before.strip_suffix("#[test]")?.trim_end();
    let words = before.lines().rev().take_while(|line| line.trim_start().starts_with("///")).last()?;
    Some(words.trim_start().trim_start_matches("///"))
}
