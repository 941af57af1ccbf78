//! Every example of the help, and every command of the readme, as somebody types it.
//!
//! What breaks: an example with an option that is gone, a readme that nobody has followed since the program changed, a
//! command without an example.
//!
//! They run in a folder that has what they name: a ledger in `./cage-data`, a copy of it in `./backup`, keys, a witness,
//! acknowledgements. Only what takes long or names a place on the machine is shortened, below. A new example that needs
//! something else gets it in [`stage`].

use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cage_engine::{CallerId, PlayerClass, RequestId, Role};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::casino::{Casino, client};
use crate::harness::{Ledger, Start, cage, folder, log, run, run_cage, stderr, stdout, text};

/// What is run instead of what is written: less of it, or nothing where the test is in the middle of it.
const INSTEAD: [(&str, &str); 13] = [
    // The test of the examples runs it.
    ("cargo run --quiet --release -p cage-client --example first_request --", "true"),
    ("cargo run --release -- ", "cage "),
    ("cargo build --release --workspace", "true"),
    ("cargo test --workspace", "true"),
    ("target/release/", ""),
    ("/etc/cage/", "./etc/"),
    ("--for 20s", "--for 1s"),
    ("--for 10s", "--for 1s"),
    ("cage demo\n", "cage demo --for 1s\n"),
    ("--players 10000", "--players 100"),
    ("--duration 8s", "--duration 2s"),
    ("sleep 4", "sleep 1"),
    ("127.0.0.1:7300", "127.0.0.1:0"),
];

/// Commands whose examples need a chain to talk to, and are only looked at: they begin as the command is called.
const WITH_A_CHAIN: [&str; 2] = ["chain", "reconcile"];

/// Small tables, and what a machine of tests does not have: by the environment, so that the commands are as written.
const SMALL: [(&str, &str); 6] = [
    ("CAGE_SEGMENT_MIB", "1"),
    ("CAGE_IDS_CAPACITY", "1048576"),
    ("CAGE_HOLDS_MAX", "65536"),
    ("CAGE_PLAYERS_MAX", "65536"),
    ("CAGE_UNSAFE_SWAP", "true"),
    ("CAGE_UNSAFE_FILESYSTEM", "true"),
];

/// Where the programs are.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_cage")).parent().expect("a folder").to_owned()
}

/// A shell that finds the programs, in the folder.
fn shell(folder: &Path, script: &str) -> Command {
    let usual = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(folder).stdin(Stdio::null());
    for (variable, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CAGE_")) {
        command.env_remove(variable);
    }
    command.envs(SMALL).env("PATH", format!("{}:{usual}", programs().display())).env("HOME", folder);
    command
}

/// A free port, for a moment at least.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

fn shortened(script: &str) -> String {
    let mut script = format!("{script}\n");
    for (written, instead) in INSTEAD {
        script = script.replace(written, instead);
    }
    script.replace("127.0.0.1:4710", &format!("127.0.0.1:{}", free_port()))
}

/// A folder with everything that examples name. The ledger that is given with it is the one in `./cage-data`.
fn stage() -> (TempDir, Start) {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("etc")).expect("a folder");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/cage.toml");
    fs::copy(example, at("etc/cage.toml")).expect("the example of a configuration");
    let key = at("checkpoint.key");
    assert!(run_cage(&["checkpoint-key", text(&key), "--new"]).status.success());
    let start = Start::small(&at("cage-data"))
        .with("--checkpoint-key", text(&key))
        .with("--witness", text(&at("witness")));
    let start = run(async {
        let ledger = start.ledger();
        // An asset, and two players with money: their deposits are records 7 and 8.
        let _ = Casino::funded(&ledger, 2, 1_000).await;
        let frontend = client(&ledger, Role::Frontend).await;
        let opened: Vec<_> = (3..=1_100)
            .map(|caller| frontend.open_player(CallerId(caller), 1, 1, PlayerClass::Real))
            .collect();
        for player in opened {
            player.await.expect("a player");
        }
        frontend.close().await;
        ledger.close().await
    });
    let mut acks = String::new();
    for (lsn, record) in log::records(&at("cage-data")).0 {
        if record.request.id != RequestId::NONE {
            let _ = writeln!(acks, "{} {lsn} {}", record.request.id, record.result.number());
        }
    }
    fs::write(at("acks.txt"), acks).expect("acknowledgements");
    let copied =
        shell(dir.path(), "mkdir backup; cp -r cage-data/log backup/log; rm -f backup/log/lock").output();
    assert!(copied.expect("a shell").status.success());
    (dir, start)
}

/// The names of all commands below one, with it.
fn commands(above: &[String], found: &mut Vec<Vec<String>>) {
    let words: Vec<_> = above.iter().map(String::as_str).chain(["--help"]).collect();
    let help = stdout(&run_cage(&words));
    if let Some((_, listed)) = help.split_once("Commands:\n") {
        let names = listed.lines().take_while(|line| line.starts_with("  "));
        for name in names
            .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
            .filter(|name| !name.is_empty() && *name != "help")
        {
            let mut below = above.to_vec();
            below.push(name.to_owned());
            commands(&below, found);
        }
    }
    if !above.is_empty() {
        found.push(above.to_vec());
    }
}

/// Where a shell looks for programs.
fn programs_of_others() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// The examples in the help of a command.
fn examples(command: &[String]) -> Vec<String> {
    let words: Vec<_> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let help = stdout(&run_cage(&words));
    let Some((_, after)) = help.rsplit_once("Example") else {
        assert!(command.len() > 1, "{command:?} shows no example:\n{help}");
        // The command above it shows how it is used.
        return Vec::new();
    };
    let after = after.trim_start_matches('s').trim_start_matches(':');
    let lines: Vec<_> =
        after.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let usual = format!("cage {}", command.join(" "));
    let own = |line: &String| line.starts_with(&usual);
    assert!(lines.iter().any(own), "an example of `{usual}` begins with it: {lines:?}");
    // What another program makes of it is run where there is such a program.
    let is_here = |line: &String| {
        programs_of_others().any(|folder| folder.join(line.split(' ').next().unwrap_or(line)).is_file())
    };
    lines.into_iter().filter(|line| own(line) || is_here(line)).collect()
}

#[track_caller]
fn assert_done(line: &str, output: &Output) {
    // Nothing is set aside in this ledger, and that is told by a code of its own.
    let expected = if line.starts_with("cage query open-holds") { 2 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{line}\n{}{}", stdout(output), stderr(output));
}

/// A server that is started as the example says, tells where it is and that it is ready, and ends in order.
fn serve(dir: &Path, line: &str) {
    use std::io::{BufRead, BufReader};
    // `exec`, so that the signal goes to the server and not to the shell.
    let mut child = shell(dir, &format!("exec {}", shortened(line).trim()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let (mut ready, mut said) = (false, Vec::new());
    for told in BufReader::new(child.stdout.as_mut().expect("stdout")).lines().map_while(Result::ok) {
        if told == "ready" {
            ready = true;
            break;
        }
        said.push(told);
    }
    if ready {
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a process id");
        kill_process(pid, Signal::TERM).expect("it runs");
    }
    let output = child.wait_with_output().expect("an end");
    assert!(ready && !said.is_empty(), "{line}: addresses, then ready: {said:?}\n{}", stderr(&output));
    assert_done(line, &output);
}

/// What `cage games` needs: a provider, and the secrets that its configuration names.
fn write_games(dir: &Path, ledger: &Ledger) {
    let config = format!(
        "listen = \"127.0.0.1:0\"\nledger = \"{}\"\ncerts = \"cage-data/certs\"\ndata_dir = \"games-data\"\n\
         token_secret_file = \"token.secret\"\n[currencies]\nEUR = {{ asset = 1, scale = 2 }}\n[providers.acme]\n\
         number = 7\nformat = \"softswiss\"\nkey_file = \"acme.secret\"\n[providers.acme.games]\nacme_dragon = 1\n",
        ledger.address()
    );
    fs::write(dir.join("games.toml"), config).expect("a file");
    for name in ["token.secret", "acme.secret", "house.secret"] {
        fs::write(dir.join(name), "0123456789abcdef".repeat(4)).expect("a secret");
    }
}

#[test]
fn every_example_of_the_help_does_what_it_says() {
    let (dir, start) = stage();
    let records = log::records(&start.data_dir).0;
    let operation = records.iter().map(|(_, record)| record.request.id).find(|id| *id != RequestId::NONE);
    let operation = operation.expect("a request").to_string();
    let mut all = Vec::new();
    commands(&[], &mut all);
    assert!(all.len() >= 15, "{all:?}");
    for command in all {
        for line in examples(&command) {
            match command[0].as_str() {
                "serve" => serve(dir.path(), &line),
                "house" | "games" => {
                    let ledger = start.clone().ledger();
                    write_games(dir.path(), &ledger);
                    serve(dir.path(), &line);
                    run(ledger.close());
                }
                "status" | "query" => {
                    let ledger = start.clone().ledger();
                    let line = line
                        .replace("127.0.0.1:4711", &ledger.admin().to_string())
                        .replace("018bcfe5687c0000000000000000000a", &operation);
                    let mut asking = shell(dir.path(), &line);
                    let output = asking.env("CAGE_CONNECT", ledger.address().to_string()).output();
                    assert_done(&line, &output.expect("a shell"));
                    run(ledger.close());
                }
                name if WITH_A_CHAIN.contains(&name) => {}
                name => {
                    if name == "restore" {
                        fs::remove_dir_all(dir.path().join("cage-data")).expect("the ledger is lost");
                        // The copy is older than what was signed since: who goes on with it begins a new witness.
                        fs::remove_file(dir.path().join("witness")).expect("the witness of the lost ledger");
                    }
                    assert_done(&line, &shell(dir.path(), &shortened(&line)).output().expect("a shell"));
                }
            }
        }
    }
}

#[test]
fn the_readme_can_be_followed() {
    if !programs().join("cage-loadgen").exists() {
        assert!(std::env::var_os("CAGE_MUST_NOT_SKIP").is_none(), "cage-loadgen was not built");
        return println!("SKIPPED: cage-loadgen is not built: cargo build -p cage-loadgen");
    }
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    let dir = folder();
    let mut count = 0;
    for block in readme.split("```sh\n").skip(1) {
        let (script, _) = block.split_once("```").expect("an end of the block");
        assert_done(script, &shell(dir.path(), &shortened(script)).output().expect("a shell"));
        count += 1;
    }
    assert!(count >= 3, "blocks of commands in the readme");
}

/// On a terminal only: whoever reads the output of a command reads nothing of it.
#[test]
fn what_takes_long_shows_how_far_it_is() {
    let (dir, _) = stage();
    let on_terminal = |line: &str| {
        // A terminal of its own; what is shown there is its output.
        let output = shell(dir.path(), "exec script -qec \"$LINE\" /dev/null").env("LINE", line).output();
        output.map(|output| (output.status.code(), stdout(&output)))
    };
    if on_terminal("true").is_ok_and(|(code, _)| code == Some(127)) {
        assert!(std::env::var_os("CAGE_MUST_NOT_SKIP").is_none(), "there is no `script` on this machine");
        return println!("SKIPPED: there is no `script` on this machine");
    }
    for line in [
        "cage audit ./cage-data",
        "cage log ./cage-data > printed.txt",
        "cage scrub ./cage-data",
        "cage snapshot ./cage-data",
        "cage repair ./cage-data",
        "cage restore --from ./backup --to ./restored",
    ] {
        let (code, shown) = on_terminal(line).expect("a shell");
        let name = line.split(' ').nth(1).expect("a name");
        assert_eq!(code, Some(0), "{line}: {shown}");
        let bar = shown.contains(&format!("{name} ")) && shown.contains("B/s") && shown.contains(" left");
        assert!(bar, "{line}: {shown:?}");
    }
    let piped = shell(dir.path(), "cage audit ./cage-data").output().expect("a shell");
    assert_eq!(stderr(&piped), "");
}

/// Completions and manual pages are made of the same description as the help.
#[test]
fn completions_and_manual_pages_know_every_command() {
    let dir = folder();
    let mut all = Vec::new();
    commands(&[], &mut all);
    let scripts: Vec<_> =
        ["bash", "zsh", "fish"].iter().map(|shell| stdout(&run_cage(&["completions", shell]))).collect();
    assert!(run_cage(&["man", text(dir.path())]).status.success());
    for command in &all {
        for script in &scripts {
            assert!(script.contains(command.last().expect("a name")), "{command:?}");
        }
        let page = dir.path().join(format!("cage-{}.1", command.join("-")));
        let page = fs::read_to_string(&page).unwrap_or_else(|fault| panic!("{}: {fault}", page.display()));
        assert!(
            page.contains(".SH OPTIONS") && (command.len() > 1 || page.contains("Example")),
            "{command:?}"
        );
    }
    assert!(
        fs::read_to_string(dir.path().join("cage-serve.1")).expect("a page").contains("CAGE_SEGMENT_MIB")
    );
    // The shell itself takes the script.
    fs::write(dir.path().join("cage.bash"), &scripts[0]).expect("a file");
    let taken =
        Command::new("bash").args(["-n", text(&dir.path().join("cage.bash"))]).output().expect("bash");
    assert!(taken.status.success(), "{}", stderr(&taken));
    let unknown = cage().args(["completions", "klingon"]).output().expect("the program runs");
    assert_eq!(unknown.status.code(), Some(2));
}
