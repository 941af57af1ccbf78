//! How a client connects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::checkpoint::CheckpointKey;
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
    /// The key that the ledger signs its checkpoints with. With it, a checkpoint of another one ends the connection.
    pub checkpoint_key: Option<CheckpointKey>,
    /// A file in which is kept what was seen of the log, for the next start. Each client has one of its own. Delete it
    /// only when an operator says that the ledger begins anew.
    pub watermark_file: Option<PathBuf>,
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
            checkpoint_key: None,
            watermark_file: None,
        }
    }
}
