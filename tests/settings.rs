//! Where the settings of a server come from: defaults, file, environment, flags.
//!
//! What breaks: a key with a slip of the pen that is passed over, and so a default in force; a flag that does not win; an
//! example that says something else than the program does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::harness::http::metrics;
use crate::harness::{Start, cage, folder, run, run_cage, stderr, stdout, text};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/cage.toml");

/// What `cage config check` says of each key: its value and its origin.
fn checked(arguments: &[&str], environment: &[(&str, &str)]) -> BTreeMap<String, (String, String)> {
    let output = cage()
        .args(["config", "check"])
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the program runs");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    stdout(&output)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (key, rest) = line.split_once('=').unwrap_or_else(|| panic!("no value: {line}"));
            let (value, origin) = rest.rsplit_once("  # ").unwrap_or_else(|| panic!("no origin: {line}"));
            (key.trim().to_owned(), (value.trim().to_owned(), origin.to_owned()))
        })
        .collect()
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let dir = folder();
    let file = dir.path().join("mine.toml");
    let file = text(&file);
    fs::write(
        file,
        "# mine\nsegment_mib = 2\nhot_mib = 3\nscrub_every = 4\nlock_memory = true\nunsafe_swap = true\n",
    )
    .expect("a file");
    let environment = [("CAGE_HOT_MIB", "30"), ("CAGE_SCRUB_EVERY", "40"), ("CAGE_UNSAFE_SWAP", "false")];
    let found = checked(&["--config", file, "--scrub-every", "400", "--lock-memory=false"], &environment);
    let line = |number: u32| format!("{file}:{number}");
    for (key, value, origin) in [
        ("segment_mib", "2", line(2)),
        ("hot_mib", "30", "environment CAGE_HOT_MIB".to_owned()),
        ("scrub_every", "400", "flag --scrub-every".to_owned()),
        ("lock_memory", "false", "flag --lock-memory".to_owned()),
        ("unsafe_swap", "false", "environment CAGE_UNSAFE_SWAP".to_owned()),
        ("players_max", "100000000", "default".to_owned()),
        ("listen", "\"127.0.0.1:4710\"", "default".to_owned()),
    ] {
        assert_eq!(found[key], (value.to_owned(), origin), "{key}");
    }
    // The file can be named by the environment too.
    assert_eq!(checked(&[], &[("CAGE_CONFIG", file)])["segment_mib"].0, "2");
    // What is printed is a file that says the same.
    let printed = stdout(&run_cage(&["config", "check", "--config", file]));
    let again = dir.path().join("again.toml");
    fs::write(&again, printed).expect("a file");
    let values = |found: BTreeMap<String, (String, String)>| {
        found.into_iter().map(|(key, (value, _))| (key, value)).collect::<Vec<_>>()
    };
    assert_eq!(values(checked(&["--config", text(&again)], &[])), values(checked(&["--config", file], &[])));
}

#[test]
fn a_server_runs_by_its_file() {
    let dir = folder();
    let file = dir.path().join("cage.toml");
    fs::write(&file, "players_max = 777\nlog = 'warn'\n").expect("a file");
    let start = Start::small(&dir.path().join("data")).with("--config", text(&file));
    let players = start.options.iter().position(|option| option == "--players-max").expect("an option");
    let mut by_file = start.clone();
    by_file.options.drain(players..players + 2);
    run(async {
        for (start, expected) in [(by_file, 777.0), (start, 4096.0)] {
            let ledger = start.ledger();
            assert_eq!(metrics(ledger.admin())["cage_players_max"], expected);
            ledger.close().await;
        }
    });
}

#[test]
fn what_is_not_known_or_does_not_do_is_refused_with_its_line() {
    let dir = folder();
    let file = dir.path().join("cage.toml");
    for (content, parts) in [
        (
            "listen = '127.0.0.1:0'\nsegmnt_mib = 64\n",
            &[":2: there is no key `segmnt_mib`", "did you mean `segment_mib`?"][..],
        ),
        ("[log]\nsegment_mib = 64\n", &[":1: `log`: expected a text"]),
        ("segment_mib = 0\n", &[":1: `segment_mib`: ", "1..=65536"]),
        ("flush = 'often'\n", &[":1: `flush`: ", "fdatasync"]),
        ("listen = \n", &[":1: "]),
    ] {
        fs::write(&file, content).expect("a file");
        for command in [&["config", "check"][..], &["serve"]] {
            let output = cage()
                .args(command)
                .args(["--config", text(&file)])
                .current_dir(dir.path())
                .output()
                .expect("the program runs");
            assert_eq!(output.status.code(), Some(2), "{content}");
            for part in parts {
                assert!(stderr(&output).contains(part), "{part:?} in {}", stderr(&output));
            }
            assert!(output.stdout.is_empty(), "{content}");
        }
    }
    let missing = run_cage(&["config", "check", "--config", "not-there.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("not-there.toml"), "{}", stderr(&missing));
    let wrong =
        cage().args(["config", "check"]).env("CAGE_SEGMENT_MIB", "many").output().expect("the program runs");
    assert_eq!(wrong.status.code(), Some(2), "{}", stdout(&wrong));
}

/// One description of each setting: the example is what the program prints, and what it says are the defaults is so.
#[test]
fn the_example_is_that_of_the_program_and_its_values_are_the_defaults() {
    let printed = stdout(&run_cage(&["config", "example"]));
    let example = fs::read_to_string(Path::new(EXAMPLE)).expect("etc/cage.toml");
    assert_eq!(example, printed, "cage config example > etc/cage.toml");
    let defaults = checked(&[], &[]);
    let as_it_is = checked(&["--config", EXAMPLE], &[]);
    assert_eq!(as_it_is, defaults, "it changes nothing");
    // With all of them said aloud, but for those that name a file or folder that is somebody's own.
    let dir = folder();
    let aloud = dir.path().join("aloud.toml");
    let keys = example
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|key| key.starts_with(char::is_alphabetic)));
    let (named, own): (Vec<_>, Vec<_>) =
        keys.partition(|line| defaults.contains_key(line.split(' ').next().expect("a key")));
    assert!(named.len() >= 20, "{named:?}");
    for line in own {
        assert!(line.ends_with("\"DIR\"") || line.ends_with("\"FILE\""), "{line} has no default");
    }
    fs::write(&aloud, named.join("\n")).expect("a file");
    for (key, (value, origin)) in checked(&["--config", text(&aloud)], &[]) {
        assert_eq!(value, defaults[&key].0, "{key}");
        assert!(origin.starts_with(text(&aloud)), "{key}: {origin}");
    }
}
