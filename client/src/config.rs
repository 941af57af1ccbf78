//! How a client connects.

use std::net::SocketAddr;
use std::time::Duration;

use crate::limits;

/// How a client connects. [`Config::new`] fits a front-end server; the fields are for those who measured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server is. Of several, all of one address family, the next one is tried when one is gone.
    pub addresses: Vec<SocketAddr>,
    /// The name in the server's certificate.
    pub server_name: String,
    /// How many connections. One carries thousands of requests in flight.
    pub connections: usize,
    /// How many streams each connection has. A player's requests stay on one stream.
    pub streams: usize,
    /// How long a request waits for its answer.
    pub deadline: Duration,
    /// How long the first connection may take, attempts and pauses together.
    pub connect_time: Duration,
}

impl Config {
    /// One connection of four streams to the server at `address`, whose certificate is for `localhost`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            addresses: vec![address],
            server_name: "localhost".to_owned(),
            connections: 1,
            streams: 4,
            deadline: limits::DEADLINE,
            connect_time: limits::CONNECT_TIME,
        }
    }
}
