//! Why there is no connection, or no longer one. What a request came to is said in [`Error`](crate::Error).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::BadCheckpoint;
use cage_protocol::{CloseCode, FrameFault};
use quinn::{ConnectionClose, ReadError, WriteError};

/// Why a connection cannot be made or has ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// No UDP socket could be opened.
    #[error("cannot open a UDP socket: {0}")]
    Socket(Arc<io::Error>),
    /// The TLS library does not accept the client's own certificate, key or authority.
    #[error("the client's own certificates do not do: {0}")]
    Credentials(String),
    /// The address or the server's name is none that can be connected to.
    #[error("cannot connect there: {0}")]
    Address(String),
    /// Nobody answered.
    #[error("no answer from {address} within {after:?}")]
    NoAnswer {
        /// Where.
        address: SocketAddr,
        /// For how long.
        after: Duration,
    },
    /// The server's certificate is not one that the client's authority signed for that name.
    #[error("the server's certificate is not trusted: {0}")]
    ServerUntrusted(String),
    /// The server does not accept the client's certificate.
    #[error(
        "the server does not accept this client's certificate ({0}): is it signed by the server's authority?"
    )]
    CertificateRefused(String),
    /// The two do not agree how to speak.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// The server closed the connection, and said why.
    #[error("the server closed the connection: {}: {reason}", code.map_or("unknown reason", CloseCode::name))]
    Closed {
        /// Why; nothing if this build does not know the number.
        code: Option<CloseCode>,
        /// For people.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// The server sent what is not the protocol.
    #[error("the server broke the protocol: {}, byte {} of the frame", .0.code.name(), .0.offset)]
    Protocol(FrameFault),
    /// The server's log ends before what this client has seen acknowledged: records are missing there.
    #[error("the server's log ends at {durable}, but {seen} was seen acknowledged")]
    Behind {
        /// The highest position seen.
        seen: u64,
        /// The highest that the server has.
        durable: u64,
    },
    /// The server keeps another log than the one this client knows.
    #[error("the server keeps the log {found:032x}, not {known:032x}")]
    LogDiffers {
        /// The log of earlier connections.
        known: u128,
        /// The log of this server.
        found: u128,
    },
    /// A checkpoint of the server's is not to be believed.
    #[error("a checkpoint of the server's is not to be believed: {0}")]
    Checkpoint(BadCheckpoint),
    /// The file in which is kept what was seen of the log cannot be used.
    #[error("{path}: {reason}; it says what this client has seen of the log: restore it, or delete it if an operator says so", path = path.display())]
    Kept {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The server keeps a log of the same name with another past.
    #[error(
        "the server's log has another chain at LSN {lsn} than this client was shown: it was replaced or changed"
    )]
    ChainDiffers {
        /// Where.
        lsn: u64,
    },
}

impl ConnectionError {
    /// Whether trying again would change nothing: somebody has to correct certificates, names or versions.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Socket(_)
            | Self::NoAnswer { .. }
            | Self::Lost(_)
            | Self::Protocol(_)
            | Self::Checkpoint(_)
            | Self::Behind { .. } => false,
            Self::Credentials(_)
            | Self::Address(_)
            | Self::ServerUntrusted(_)
            | Self::CertificateRefused(_)
            | Self::Handshake(_)
            | Self::LogDiffers { .. }
            | Self::ChainDiffers { .. }
            | Self::Kept { .. } => true,
            Self::Closed { code, .. } => matches!(
                code,
                Some(
                    CloseCode::VersionUnsupported
                        | CloseCode::RoleUnknown
                        | CloseCode::LogDiffers
                        | CloseCode::ChainDiffers
                )
            ),
        }
    }

    /// The stream ended although nobody said goodbye.
    pub(crate) fn ended() -> Self {
        Self::Lost("the server ended the stream".to_owned())
    }
}

/// TLS alerts (RFC 8446, 6) that speak of a certificate.
const CERTIFICATE_ALERTS: [u64; 10] = [42, 43, 44, 45, 46, 48, 49, 51, 113, 116];
/// QUIC error codes from here hold a TLS alert (RFC 9001, 4.8).
const TLS_ALERTS: u64 = 0x100;

enum Side {
    Here,
    There,
}

fn transport(code: u64, reason: String, side: &Side) -> ConnectionError {
    match (code.checked_sub(TLS_ALERTS), side) {
        (Some(alert), Side::Here) if CERTIFICATE_ALERTS.contains(&alert) => {
            ConnectionError::ServerUntrusted(reason)
        }
        (Some(alert), Side::There) if CERTIFICATE_ALERTS.contains(&alert) => {
            ConnectionError::CertificateRefused(reason)
        }
        (Some(_), _) => ConnectionError::Handshake(reason),
        (None, _) => ConnectionError::Lost(reason),
    }
}

fn closed_there(close: &ConnectionClose) -> ConnectionError {
    let said = String::from_utf8_lossy(&close.reason);
    let reason = if said.is_empty() { close.error_code.to_string() } else { said.into_owned() };
    transport(close.error_code.into(), reason, &Side::There)
}

impl From<quinn::ConnectionError> for ConnectionError {
    fn from(error: quinn::ConnectionError) -> Self {
        match error {
            quinn::ConnectionError::TransportError(fault) => {
                transport(fault.code.into(), fault.reason, &Side::Here)
            }
            quinn::ConnectionError::ConnectionClosed(close) => closed_there(&close),
            quinn::ConnectionError::ApplicationClosed(close) => Self::Closed {
                code: u16::try_from(close.error_code.into_inner()).ok().and_then(CloseCode::from_number),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            quinn::ConnectionError::VersionMismatch => {
                Self::Handshake("no common version of QUIC".to_owned())
            }
            other => Self::Lost(other.to_string()),
        }
    }
}

impl From<ReadError> for ConnectionError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(lost) => lost.into(),
            other => Self::Lost(other.to_string()),
        }
    }
}

impl From<WriteError> for ConnectionError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(lost) => lost.into(),
            other => Self::Lost(other.to_string()),
        }
    }
}
