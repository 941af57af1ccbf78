//! A caller over HTTP/1.1 that keeps its connection, as providers do. Written by hand: it shares nothing with the bridge.

use std::io::{self, BufRead, BufReader, Read, Write};
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
        Self::try_new(address).expect("a connection")
    }

    pub(crate) fn try_new(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(crate) fn call(&mut self, sent: &Sent) -> Got {
        self.try_call(sent).expect("an answer")
    }

    pub(crate) fn try_call(&mut self, sent: &Sent) -> io::Result<Got> {
        self.send(sent)?;
        self.answer()
    }

    /// Sends a request whose answer nobody waits for.
    pub(crate) fn send(&mut self, sent: &Sent) -> io::Result<()> {
        self.stream.get_mut().write_all(&bytes(sent))
    }

    /// Sends the first half of a request.
    pub(crate) fn send_half(&mut self, sent: &Sent) -> io::Result<()> {
        let bytes = bytes(sent);
        self.stream.get_mut().write_all(&bytes[..bytes.len() / 2])
    }

    /// Sends the head alone, of a body so long.
    pub(crate) fn announce(&mut self, sent: &Sent, bytes: usize) -> Got {
        let text = format!("POST {} HTTP/1.1\r\nhost: bridge\r\ncontent-length: {bytes}\r\n\r\n", sent.path);
        self.stream.get_mut().write_all(text.as_bytes()).expect("a head");
        self.answer().expect("an answer")
    }

    fn answer(&mut self) -> io::Result<Got> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).ok_or_else(gone)?.parse().map_err(io::Error::other)?;
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(gone());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Got { status, body: String::from_utf8(body).map_err(io::Error::other)? })
    }
}

/// A request as it goes over the wire.
fn bytes(sent: &Sent) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\nhost: bridge\r\n", sent.method, sent.path);
    for (name, value) in &sent.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n", sent.body.len());
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&sent.body);
    bytes
}
