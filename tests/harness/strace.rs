//! What a server asked of the kernel for its files, recorded by `strace` while it served.
//!
//! In: a folder for the recording. Out: how to start a server under it; then every call that touches files, when it began
//! and when it ended, with all bytes that were written. Never here: what the calls mean.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The calls that make, name, write, map and sync files. What is stored into a mapping is not seen, only its syncs are.
const CALLS: &str = "trace=openat,close,write,pwrite64,pwritev2,mmap,msync,fsync,fdatasync,fallocate,ftruncate,rename,\
                     renameat,renameat2,unlink,unlinkat,mkdir,mkdirat";
/// Longer than anything that is written at once.
const STRING_MAX: usize = 4 << 20;

/// Whether `strace` works here. If not, says so loudly; with `CAGE_MUST_NOT_SKIP=1` that is a failure.
pub(crate) fn is_here() -> bool {
    let tried = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let reason = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let skipped = format!("SKIPPED: strace does not work here ({reason}); try: apt-get install strace");
    assert!(std::env::var("CAGE_MUST_NOT_SKIP").as_deref() != Ok("1"), "{skipped}");
    eprintln!("{skipped}");
    false
}

/// The command that has to stand before a program so that its calls are written to `file`. The program stays the child,
/// `strace` is its grandchild.
pub(crate) fn before(file: &Path) -> Vec<String> {
    let size = STRING_MAX.to_string();
    let time = "--absolute-timestamps=format:unix,precision:ns";
    let fixed =
        ["strace", "-D", "-f", "--seccomp-bpf", time, "--syscall-times=ns", "-xx", "-s", &size, "-e", CALLS];
    fixed.into_iter().chain(["-o", super::text(file), "--"]).map(str::to_owned).collect()
}

/// One call, with what matters of its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Open a file.
    Open { path: PathBuf, flags: String },
    /// Close a descriptor.
    Close { fd: u32 },
    /// Write at an offset; without one, behind what was written before.
    Write { fd: u32, bytes: Vec<u8>, offset: Option<u64>, durable: bool },
    /// Map a file, from its beginning, to store into it. Returns the address.
    Map { fd: u32, bytes: u64 },
    /// Make what was stored at an address durable.
    SyncMap { address: u64, bytes: u64 },
    /// Make a file or a folder durable.
    Sync { fd: u32 },
    /// Make a file as long as this, if it is shorter.
    Grow { fd: u32, bytes: u64 },
    /// Cut a file.
    Truncate { fd: u32 },
    /// Give a file another name.
    Rename { from: PathBuf, to: PathBuf },
    /// Take a name away.
    Remove { path: PathBuf },
    /// Make a folder.
    MakeFolder { path: PathBuf },
}

/// When something happened: nanoseconds since 1970.
pub(crate) type Nanos = u64;

/// A call began, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The call of this number is about to be made.
    Begin(usize),
    /// It has returned this.
    End(usize, i64),
}

impl Step {
    const fn ended(self) -> Option<usize> {
        match self {
            Self::Begin(_) => None,
            Self::End(call, _) => Some(call),
        }
    }
}

/// Calls, and the order in which they began and ended.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) calls: Vec<Call>,
    pub(crate) steps: Vec<(Nanos, Step)>,
}

impl Recording {
    /// Reads a recording that has ended.
    pub(crate) fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("a recording");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains("+++ killed by") || last.contains("+++ exited with"), "it has ended: {last}");
        let mut recording = Self::default();
        let mut begun: HashMap<&str, (String, Option<usize>)> = HashMap::new();
        for line in text.lines() {
            let (thread, rest) = line.split_once(' ').expect("a thread");
            let (time, rest) = rest.trim_start().split_once(' ').expect("a time");
            let time = nanos(time);
            if let Some(text) = rest.strip_suffix(" <unfinished ...>") {
                let number = recording.begin(time, text);
                begun.insert(thread, (text.split('(').next().unwrap_or_default().to_owned(), number));
            } else if let Some(rest) = rest.strip_prefix("<... ") {
                let Some((name, number)) = begun.remove(thread) else { continue };
                assert!(rest.starts_with(&name), "{name} goes on: {}", &rest[..rest.len().min(100)]);
                recording.end(time, number, rest);
            } else if !rest.starts_with("+++") && !rest.starts_with("---") {
                let number = recording.begin(time, rest);
                let took = rest.rsplit_once('<').map_or(0, |(_, took)| nanos(took.trim_end_matches('>')));
                recording.end(time + took, number, rest);
            }
        }
        recording
    }

    /// Calls that had begun when the process was killed.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &Call> {
        let ended: HashSet<usize> = self.steps.iter().filter_map(|(_, step)| step.ended()).collect();
        self.calls.iter().enumerate().filter(move |(number, _)| !ended.contains(number)).map(|(_, call)| call)
    }

    fn begin(&mut self, time: Nanos, text: &str) -> Option<usize> {
        let call = parse(text)?;
        self.calls.push(call);
        let number = self.calls.len() - 1;
        self.steps.push((time, Step::Begin(number)));
        Some(number)
    }

    fn end(&mut self, time: Nanos, number: Option<usize>, text: &str) {
        let Some(number) = number else { return };
        let (_, returned) = text.rsplit_once(") ").expect("a call that returned");
        let returned = returned.trim_start().trim_start_matches("= ");
        let value = returned.split([' ', '<']).next().unwrap_or_default();
        // `?` stands where the process was killed meanwhile.
        if let Some(value) = plain_or_hex(value).and_then(|value| i64::try_from(value).ok()) {
            self.steps.push((time, Step::End(number, value)));
        }
    }
}

/// A number as `strace` writes it: addresses with `0x`, refusals as -1.
fn plain_or_hex(text: &str) -> Option<i128> {
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| i128::from_str_radix(hex, 16).ok())
}

/// `1795648762.899438759` as nanoseconds.
fn nanos(text: &str) -> Nanos {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("a time: {text}"));
    number(seconds) * 1_000_000_000 + number(fraction)
}

fn parse(text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let mut strings = Vec::new();
    let mut plain = String::new();
    for (place, part) in rest.split('"').enumerate() {
        if place % 2 == 0 {
            assert!(!part.starts_with("..."), "a string was longer than {STRING_MAX} bytes");
            plain.push_str(part);
        } else {
            strings.push(part);
        }
    }
    let plain = plain.split(')').next().unwrap_or_default();
    let fields: Vec<&str> = plain.split(',').map(str::trim).collect();
    let field = |place: usize| fields.get(place).copied().unwrap_or_default();
    let number = |place: usize| field(place).parse::<u64>().ok();
    let fd = field(0).parse().ok();
    let path = |place: usize| strings.get(place).map(|hex| PathBuf::from(text_of(hex)));
    Some(match name {
        "openat" => Call::Open { path: path(0)?, flags: field(2).to_owned() },
        "close" => Call::Close { fd: fd? },
        "write" => Call::Write { fd: fd?, bytes: bytes_of(strings.first()?), offset: None, durable: false },
        "pwrite64" => {
            Call::Write { fd: fd?, bytes: bytes_of(strings.first()?), offset: number(3), durable: false }
        }
        // fd, [{iov_base=, iov_len=N}], 1, offset, flags
        "pwritev2" => {
            assert_eq!(strings.len(), 1, "one piece");
            let durable = plain.contains("RWF_DSYNC");
            Call::Write { fd: fd?, bytes: bytes_of(strings[0]), offset: number(4), durable }
        }
        // address, length, rights, flags, fd, offset
        "mmap" if field(2).contains("PROT_WRITE") && field(3).contains("MAP_SHARED") => {
            assert_eq!(plain_or_hex(field(5)), Some(0), "whole files are mapped: {plain}");
            Call::Map { fd: field(4).parse().ok()?, bytes: number(1)? }
        }
        "msync" => {
            assert_eq!(field(2), "MS_SYNC", "whoever goes on before it is durable has to be looked at");
            Call::SyncMap { address: plain_or_hex(field(0))?.try_into().ok()?, bytes: number(1)? }
        }
        "fsync" | "fdatasync" => Call::Sync { fd: fd? },
        "fallocate" => Call::Grow { fd: fd?, bytes: number(2)? + number(3)? },
        "ftruncate" => Call::Truncate { fd: fd? },
        "rename" | "renameat" | "renameat2" => Call::Rename { from: path(0)?, to: path(1)? },
        "unlink" | "unlinkat" => Call::Remove { path: path(0)? },
        "mkdir" | "mkdirat" => Call::MakeFolder { path: path(0)? },
        _ => return None,
    })
}

/// `\x43\x57` as bytes.
fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit") as u8;
    let (groups, rest) = hex.as_bytes().as_chunks::<4>();
    assert!(rest.is_empty(), "four characters for each byte");
    groups.iter().map(|[_, _, high, low]| digit(*high) << 4 | digit(*low)).collect()
}

fn text_of(hex: &str) -> String {
    String::from_utf8(bytes_of(hex)).expect("a path of plain characters")
}

#[test]
fn lines_of_a_recording_are_understood() {
    let parsed = |line: &str| parse(line).expect("a call");
    let path = PathBuf::from("/a");
    let open = parsed(r#"openat(AT_FDCWD, "\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 9 <0.000055814>"#);
    assert_eq!(open, Call::Open { path: path.clone(), flags: "O_RDWR|O_CREAT|O_CLOEXEC".to_owned() });
    let write = parsed(r#"pwrite64(12, "\x43\x57", 2, 8192"#);
    assert_eq!(write, Call::Write { fd: 12, bytes: b"CW".to_vec(), offset: Some(8192), durable: false });
    let write = parsed(r#"pwritev2(11, [{iov_base="\x43", iov_len=1}], 1, 4096, RWF_DSYNC) = 1 <0.002>"#);
    assert_eq!(write, Call::Write { fd: 11, bytes: b"C".to_vec(), offset: Some(4096), durable: true });
    assert_eq!(parsed("fallocate(13, 0, 0, 1048576) = 0 <0.1>"), Call::Grow { fd: 13, bytes: 1 << 20 });
    assert_eq!(parsed("fsync(13)    = 0 <0.1>"), Call::Sync { fd: 13 });
    let rename = parsed(r#"rename("\x2f\x61", "\x2f\x62") = 0 <0.1>"#);
    assert_eq!(rename, Call::Rename { from: path, to: PathBuf::from("/b") });
    let map = parsed("mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, 9, 0) = 0x7f00 <0.1>");
    assert_eq!(map, Call::Map { fd: 9, bytes: 8192 });
    assert_eq!(parse("mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x1"), None);
    assert_eq!(parse("mmap(NULL, 8192, PROT_READ, MAP_SHARED, 9, 0) = 0x1"), None);
    let sync = parsed("msync(0x7f00, 4096, MS_SYNC) = 0 <0.1>");
    assert_eq!(sync, Call::SyncMap { address: 0x7f00, bytes: 4096 });
    assert_eq!([plain_or_hex("0x10"), plain_or_hex("-1"), plain_or_hex("?")], [Some(16), Some(-1), None]);
}
