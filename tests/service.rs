//! The server as a service manager runs it: what it is told and when, and the unit that the repository brings.
//!
//! What breaks: a manager that believes that a server serves while it recovers, a restart of what a restart makes worse,
//! a unit that names an option that is gone.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{SOON, Start, cage, folder, stderr, stdout};

fn repository(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

#[test]
fn a_service_manager_hears_when_it_serves_and_when_it_ends() {
    let dir = folder();
    let place = dir.path().join("notify");
    let socket = UnixDatagram::bind(&place).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    let start = Start::small(&dir.path().join("data"));
    let mut child = cage()
        .args(["serve", "--listen", &start.listen, "--data-dir"])
        .arg(&start.data_dir)
        .args(&start.options)
        .env("NOTIFY_SOCKET", &place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let heard = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).expect("a word within the time");
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    assert_eq!(heard(), "READY=1");
    let admin = fs::read_to_string(start.data_dir.join("admin")).expect("it serves: its port can be found");
    assert!(admin.starts_with("127.0.0.1:"), "{admin}");
    kill_process(Pid::from_raw(child.id().cast_signed()).expect("a process id"), Signal::TERM)
        .expect("it runs");
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

/// The values of a key of the unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_unit_starts_the_server_and_leaves_alone_what_a_restart_does_not_mend() {
    let unit = repository("etc/cage.service");
    let [start] = values(&unit, "ExecStart")[..] else { panic!("one command to start") };
    let words: Vec<_> = start.split(' ').collect();
    let [program, "serve", "--config", config] = words[..] else { panic!("another command: {start}") };
    assert!(program.ends_with("/cage") && config.ends_with("/cage.toml"), "{start}");
    let unfit: Vec<_> = values(&unit, "RestartPreventExitStatus")[0].split(' ').collect();
    // The page says of each code whether to start again by itself.
    let page = repository("docs/operations.md");
    let (_, table) = page
        .split_once("`cage serve` has more, each asking for something else to be done")
        .expect("the table");
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut never = vec!["1", "2"];
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        if cells[3] == "no" {
            never.push(cells[0]);
        }
    }
    assert!(never.len() > 4, "{never:?}");
    never.sort_unstable();
    assert_eq!(unfit, never);
    assert_eq!(values(&unit, "LimitMEMLOCK"), ["infinity"], "what the server demands where there is swap");
    assert_eq!(values(&unit, "Type"), ["notify"]);
    // Where there is systemd, it has the last word.
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(unit_of_this_machine().path().join("cage.service"))
        .output();
    match verified {
        Ok(output) => {
            let complaints: Vec<_> = stderr(&output)
                .lines()
                .filter(|line| line.contains("cage.service"))
                .map(str::to_owned)
                .collect();
            assert_eq!(complaints, Vec::<String>::new(), "{}", stdout(&output));
        }
        Err(reason) => println!("systemd-analyze: {reason}: the unit is not verified"),
    }
}

/// The unit, with a program and a user that are there.
fn unit_of_this_machine() -> tempfile::TempDir {
    let dir = folder();
    let unit = repository("etc/cage.service")
        .replace("/usr/local/bin/cage", env!("CARGO_BIN_EXE_cage"))
        .replace("User=cage", "User=root")
        .replace("Group=cage", "Group=root");
    fs::write(dir.path().join("cage.service"), unit).expect("a file");
    dir
}

/// The image starts what there is: its variables and its health check are the program's.
#[test]
fn the_image_names_options_that_are_there() {
    let image = repository("Dockerfile");
    let help = stdout(&cage().args(["serve", "--help"]).output().expect("the program runs"));
    let named: Vec<_> =
        image.lines().filter_map(|line| line.strip_prefix("ENV ")).flat_map(|line| line.split(' ')).collect();
    assert!(!named.is_empty());
    for setting in named {
        let (variable, _) = setting.split_once('=').expect("a value");
        assert!(help.contains(&format!("[env: {variable}=")), "{variable}");
    }
    let check = image.lines().find_map(|line| line.split_once("CMD [\"cage\", ")).expect("a health check").1;
    let words: Vec<_> = check.trim_end_matches(']').split(", ").map(|word| word.trim_matches('"')).collect();
    let output = cage().args(&words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2), "nobody answers here, and the usage is right");
    assert!(stderr(&output).contains("Does the server run?"), "{}", stderr(&output));
    assert!(image.contains("\nUSER cage\n") && !image.contains("USER root"), "not as root");
}
