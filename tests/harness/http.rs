//! The admin port as a stranger sees it: plain HTTP over TCP, written by hand.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::SOON;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends bytes as they are, and reads until the other side ends.
pub(crate) fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the admin port");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    // The other side may have had enough before all is written.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Asks with a method for a path.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let text = send(address, request.as_bytes());
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer, but {text:?}"));
    let status = head.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("a status");
    Answer { status, body: body.to_owned() }
}

/// Gets a page.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path)
}

/// `/status`.
pub(crate) fn status(address: SocketAddr) -> Value {
    let answer = get(address, "/status");
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).expect("one JSON object")
}

/// The names of the alarms that are on.
pub(crate) fn alarms(address: SocketAddr) -> Vec<String> {
    let on = status(address)["alarms"].as_array().expect("alarms").clone();
    on.iter().map(|alarm| alarm["name"].as_str().expect("a name").to_owned()).collect()
}

/// `/metrics`: the value of each series, by its name with its labels.
pub(crate) fn metrics(address: SocketAddr) -> BTreeMap<String, f64> {
    let answer = get(address, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    let series = answer.body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let split = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
    };
    let series: Vec<_> = series.map(split).collect();
    let count = series.len();
    let metrics: BTreeMap<_, _> = series.into_iter().collect();
    assert_eq!(metrics.len(), count, "each series once");
    metrics
}
