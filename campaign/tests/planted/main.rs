//! Proves that the tests of the log are able to find errors: plants bugs in a copy of it, one at a time, each of which a
//! tired programmer could have written, and runs the test that is named beside it. A bug that is not found is a hole in
//! that test.
//!
//! Compiles the log anew for each bug, and the whole server for some, and so is asked for by name:
//! `cargo test -p cage-campaign --test planted -- --ignored --nocapture`
//! (`CAGE_PLANTED='word|other words'` takes only those with one of these in them).

mod log;
mod snapshots;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A bug: in which file, what stands there, what is planted instead, and who finds it.
struct Bug {
    what: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
    finder: Finder,
}

/// A test: its package, where it is, its name.
type Finder = (&'static str, &'static [&'static str], &'static str);

/// How long a test may take before it counts as hanging, which is found as well: the slowest takes a minute.
const HANG_SECONDS: u32 = 900;

/// What `timeout` says when it was needed.
const TIMED_OUT: i32 = 124;

const LIB: &[&str] = &["--lib"];
const IT: &[&str] = &["--test", "it"];

const fn unit(test: &'static str) -> Finder {
    ("cage-wal", LIB, test)
}

const fn log_test(test: &'static str) -> Finder {
    ("cage-wal", IT, test)
}

const fn server_unit(test: &'static str) -> Finder {
    ("cage", LIB, test)
}

const fn campaign(test: &'static str) -> Finder {
    ("cage-campaign", IT, test)
}

#[test]
#[ignore = "compiles the log once for each bug; see the top of the file"]
fn each_planted_bug_is_found_by_the_test_beside_it() {
    let words = std::env::var("CAGE_PLANTED").unwrap_or_default();
    let wanted = |bug: &&Bug| words.split('|').any(|word| bug.what.contains(word));
    let bugs: Vec<&Bug> = bugs().filter(wanted).collect();
    let copy = Copy::new();
    for finder in bugs.iter().map(|bug| bug.finder).collect::<BTreeSet<_>>() {
        let output = copy.run(finder).unwrap_or_else(|errors| panic!("without a bug it compiles: {errors}"));
        assert!(output.status.success(), "without a bug {} passes: {}", finder.2, said(&output));
        assert!(said(&output).contains("1 passed"), "there is a test {}", finder.2);
    }
    let mut missed = Vec::new();
    for bug in &bugs {
        let (found, verdict) = match copy.with(bug, || copy.run(bug.finder)) {
            Err(errors) => (false, format!("NO BUG, it does not compile: {errors}")),
            Ok(output) if output.status.success() => (false, "MISSED".to_owned()),
            Ok(output) if output.status.code() == Some(TIMED_OUT) => (true, "hangs ".to_owned()),
            Ok(_) => (true, "found ".to_owned()),
        };
        println!("{verdict} {} ({})", bug.what, bug.finder.2);
        if !found {
            missed.push(bug.what);
        }
    }
    println!("{} of {} found", bugs.len() - missed.len(), bugs.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn each_bug_has_its_place_in_the_log_and_its_test() {
    assert!(log::BUGS.len() >= 20 && snapshots::BUGS.len() >= 8, "twenty and eight at least");
    for bug in bugs() {
        let text = fs::read_to_string(workspace().join(bug.file)).expect("a file of the workspace");
        assert_eq!(text.matches(bug.right).count(), 1, "{}: where is it in {}?", bug.what, bug.file);
        let name = bug.finder.2.rsplit("::").next().expect("a name");
        let sources = if bug.finder.1 == LIB { "src" } else { "tests" };
        assert!(
            stands_in(&workspace().join(home(bug.finder)).join(sources), &format!("fn {name}()")),
            "{}: where is {name}?",
            bug.what
        );
    }
}

fn bugs() -> impl Iterator<Item = &'static Bug> {
    log::BUGS.iter().chain(snapshots::BUGS)
}

/// The folder of a finder's package.
fn home((package, ..): Finder) -> &'static str {
    match package {
        "cage-wal" => "wal",
        "cage-campaign" => "campaign",
        _ => ".",
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn stands_in(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            stands_in(&path, text)
        } else {
            fs::read_to_string(path).is_ok_and(|found| found.contains(text))
        }
    })
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A copy of the workspace whose log can be spoiled.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted-log");
        fs::create_dir_all(&root).expect("a folder");
        for entry in fs::read_dir(workspace()).expect("the workspace").flatten() {
            let name = entry.file_name();
            if ["target", ".git"].iter().all(|skipped| name != *skipped) {
                copy_changed(&entry.path(), &root.join(name));
            }
        }
        Self { root }
    }

    /// Spoils one place, and mends it again.
    fn with<T>(&self, bug: &Bug, look: impl FnOnce() -> T) -> T {
        let path = self.root.join(bug.file);
        let right = fs::read_to_string(&path).expect("a file of the log");
        let wrong = right.replacen(bug.right, bug.wrong, 1);
        assert_ne!(wrong, right, "{}", bug.what);
        fs::write(&path, wrong).expect("a bug");
        let found = look();
        fs::write(&path, right).expect("mended");
        found
    }

    /// Runs one test; or what the compiler said.
    fn run(&self, finder: Finder) -> Result<Output, String> {
        let test = self.build(finder)?;
        let mut command = Command::new("timeout");
        command.arg(HANG_SECONDS.to_string()).arg(test).args(["--exact", finder.2]);
        command.current_dir(self.root.join(home(finder))).env("CAGE_MUST_NOT_SKIP", "1");
        Ok(command.output().expect("a test that runs"))
    }

    /// Compiles what the finder is in, and nothing else; the program that came of it.
    fn build(&self, (package, target, _): Finder) -> Result<PathBuf, String> {
        // The cargo that runs this, which need not be the one that compiled it.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
        let mut command = Command::new(cargo);
        command.args(["test", "--offline", "--no-run", "--message-format=json-render-diagnostics"]);
        command.args(["-p", package]).args(target);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", self.root.join("target"));
        let built = command.output().expect("cargo");
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        // Of the program `cage` it tells as well; the profile of a test ends like this.
        let told = String::from_utf8_lossy(&built.stdout);
        let mut tests = told.lines().filter(|line| line.contains("\"test\":true},\"features\""));
        let test = tests.find_map(executable);
        Ok(test.expect("cargo names the program of a test"))
    }
}

/// The program that a line of cargo's speaks of.
fn executable(line: &str) -> Option<PathBuf> {
    let (_, rest) = line.split_once("\"executable\":\"")?;
    Some(PathBuf::from(rest.split_once('"')?.0))
}

/// Copies what differs, so that what was compiled of the rest stays; what an earlier copy has more is removed.
fn copy_changed(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(to).expect("a folder of the copy").flatten() {
            let (gone, path) = (!from.join(entry.file_name()).exists(), entry.path());
            match path.is_dir() {
                true if gone => fs::remove_dir_all(&path).expect("a folder of the copy"),
                false if gone => fs::remove_file(&path).expect("a file of the copy"),
                _ => {}
            }
        }
        for entry in fs::read_dir(from).expect("a folder to copy").flatten() {
            copy_changed(&entry.path(), &to.join(entry.file_name()));
        }
    } else if fs::read(to).ok() != fs::read(from).ok() {
        fs::copy(from, to).expect("a copy");
        // Newer than anything that was compiled.
        fs::File::options()
            .append(true)
            .open(to)
            .and_then(|file| file.set_modified(std::time::SystemTime::now()))
            .expect("a time");
    }
}
