//! The ledger and the wire know no operating system: no files, sockets, clocks, threads, and no floating point
//! anywhere near money.
//!
//! The sources are searched on every machine. Where a target without an operating system is installed
//! (`rustup target add thumbv7em-none-eabihf`), the compiler is asked as well, and it is the better judge.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATES: [&str; 2] = ["engine", "protocol"];
/// Names that only a program with an operating system under it can use, and those of floating point.
const FORBIDDEN: [&str; 6] = ["std", "Instant", "SystemTime", "f32", "f64", "unsafe"];
const BARE_TARGETS: [&str; 4] =
    ["thumbv7em-none-eabihf", "x86_64-unknown-none", "aarch64-unknown-none", "riscv32imac-unknown-none-elf"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The text without comments and without what stands between quotes; line breaks stay.
fn code_of(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::new();
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let skipped = match rest {
            ['/', '/', ..] => rest.iter().position(|character| *character == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"' | '#', ..] if !code.ends_with(is_word) => raw_string(rest).unwrap_or(0),
            ['"', ..] => string(rest),
            // A character, not a lifetime.
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|character| *character == '\'').unwrap_or(0),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if skipped == 0 {
            code.push(rest[0]);
            at += 1;
        } else {
            code.extend(rest[..skipped].iter().filter(|character| **character == '\n'));
            code.push(' ');
            at += skipped;
        }
    }
    code
}

fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// `None` if it is a raw name (`r#type`).
fn raw_string(text: &[char]) -> Option<usize> {
    let hashes = text[1..].iter().take_while(|character| **character == '#').count();
    let open = 1 + hashes;
    if *text.get(open)? != '"' {
        return None;
    }
    let closes = |at: &usize| {
        text[*at] == '"'
            && text[at + 1..].iter().take(hashes).filter(|found| **found == '#').count() == hashes
    };
    (open + 1..text.len()).find(closes).map(|at| at + 1 + hashes)
}

const fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The lines on which the code uses `name` as a word of its own, outside an attribute that forbids it.
fn lines_with(code: &str, name: &str) -> Vec<usize> {
    let uses = |line: &str| line.split(|character| !is_word(character)).any(|word| word == name);
    let numbered = (1..).zip(code.lines());
    numbered
        .filter(|(_, line)| !line.trim_start().starts_with("#![") && uses(line))
        .map(|(number, _)| number)
        .collect()
}

/// B4.16.
#[test]
fn ledger_and_wire_use_nothing_of_an_operating_system_and_no_floating_point() {
    for name in CRATES {
        let folder = workspace().join(name).join("src");
        let root = code_of(&fs::read_to_string(folder.join("lib.rs")).expect("a crate has a lib.rs"));
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            assert!(root.lines().any(|line| line.trim() == attribute), "{name}/src/lib.rs says {attribute}");
        }
        let mut files = Vec::new();
        sources(&folder, &mut files);
        assert!(files.len() > 1, "{name} has sources");
        for file in files {
            let code = code_of(&fs::read_to_string(&file).expect("a readable source"));
            for forbidden in FORBIDDEN {
                let lines = lines_with(&code, forbidden);
                assert!(lines.is_empty(), "{}: `{forbidden}` on lines {lines:?}", file.display());
            }
        }
    }
}

/// The search is only as good as its idea of what is code.
#[test]
fn the_search_looks_at_code_alone() {
    let text = r###"
        //! std::fs in a comment
        /* f64 /* and Instant */ f32 */ let quoted = "std::time \" f64"; let raw = r#"f64 " f32"#;
        let letter = '"'; let lifetime: &'static str = "f32"; let quote = '\''; let next = standard;
        let found: f64 = std::f64::consts::PI;
    "###;
    let code = code_of(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert_eq!(lines_with(&code, "f64"), [5]);
    assert_eq!(lines_with(&code, "std"), [5]);
    for absent in ["f32", "Instant", "time"] {
        assert!(lines_with(&code, absent).is_empty(), "{absent}: {code}");
    }
    assert_eq!(lines_with(&code, "letter"), [4]);
    assert_eq!(lines_with(&code, "standard"), [4]);
}

#[test]
fn ledger_and_wire_are_built_for_a_machine_without_an_operating_system() {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let installed = installed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let installed = installed.unwrap_or_default();
    let Some(target) = BARE_TARGETS.into_iter().find(|target| installed.lines().any(|line| line == *target))
    else {
        // Past the test harness, which keeps what a test that passes prints to itself.
        let mut terminal = io::stderr();
        let _ = writeln!(
            terminal,
            "NOT BUILT for {BARE_TARGETS:?}: none is installed, only sources were searched"
        );
        return;
    };
    println!("building for {target}");
    let built = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(["build", "--package", "cage-engine", "--package", "cage-protocol", "--lib"])
        .args(["--target", target, "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare"))
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{target}: {}", String::from_utf8_lossy(&built.stderr));
}
