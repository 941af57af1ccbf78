//! A caller over HTTP/1.1 that keeps its connection, as providers do. Written by hand: it shares nothing with the bridge.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::SOON;

/// A connection.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: BufReader<TcpStream>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(SOON)).expect("an option");
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn call(&mut self, sent: &Sent) -> Got {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: bridge\r\n", sent.method, sent.path);
        for (name, value) in &sent.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("content-length: {}\r\n\r\n", sent.body.len());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&sent.body);
        self.stream.get_mut().write_all(&bytes).expect("a request");
        self.answer()
    }

    /// Sends the head alone, of a body so long.
    pub(crate) fn announce(&mut self, sent: &Sent, bytes: usize) -> Got {
        let text = format!("POST {} HTTP/1.1\r\nhost: bridge\r\ncontent-length: {bytes}\r\n\r\n", sent.path);
        self.stream.get_mut().write_all(text.as_bytes()).expect("a head");
        self.answer()
    }

    fn answer(&mut self) -> Got {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a status");
        let status = line.split(' ').nth(1).expect("a status").parse().expect("a number");
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("a header");
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        Got { status, body: String::from_utf8(body).expect("text") }
    }
}
