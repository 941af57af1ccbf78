//! The QUIC endpoint: one UDP socket, one TLS identity, and who may come in.
//!
//! In: packets. Out: connections whose peer has shown a certificate of this ledger's authority. Never here: what
//! a connection is used for.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cage_client::Pair;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CipherSuite, RootCertStore, ServerConfig, SupportedCipherSuite};
use socket2::{Domain, Protocol, Socket, Type};

use crate::certs::{self, CertsError, Identity};
use crate::limits;

/// Why the endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The certificates do not do.
    #[error(transparent)]
    Certs(#[from] CertsError),
    /// The address does not do.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The files that a server reads of a folder of certificates.
pub const FILES: [&str; 3] = ["ca.pem", "server.pem", "server.key"];

/// What a server shows, and whom it lets in.
#[derive(Debug)]
pub struct Credentials {
    authority: CertificateDer<'static>,
    server: Pair,
}

impl Credentials {
    /// Reads them from a folder.
    ///
    /// # Errors
    /// A file is missing, or holds something else.
    pub fn read(certs: &Path) -> Result<Self, CertsError> {
        let authority = cage_client::load_authority(certs)?;
        let server = cage_client::load_pair(certs, "server")?;
        Ok(Self { authority, server })
    }

    /// Until when the server's certificate is valid, in seconds since 1970; 0 if it does not say so.
    #[must_use]
    pub fn expires(&self) -> u64 {
        let (_, until) = self.server.chain.first().and_then(certs::validity).unwrap_or_default();
        u64::try_from(until).unwrap_or(0)
    }

    /// Whether the server's certificate is valid now.
    ///
    /// # Errors
    /// It is not, or not any more.
    pub fn check_validity(&self) -> Result<(), CertsError> {
        let Some((from, until)) = self.server.chain.first().and_then(certs::validity) else {
            return Err(CertsError::Unreadable);
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let valid = i64::try_from(now).is_ok_and(|now| (from..=until).contains(&now));
        if valid { Ok(()) } else { Err(CertsError::NotValid { from, until, now }) }
    }

    /// What callers are measured by.
    ///
    /// # Errors
    /// The TLS library refuses the authority.
    pub fn callers(&self) -> Result<Arc<dyn ClientCertVerifier>, CertsError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        let callers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(callers)
    }

    /// What newcomers are met with.
    ///
    /// # Errors
    /// The TLS library refuses a certificate or the key, or they do not belong together.
    pub fn server_config(&self) -> Result<quinn::ServerConfig, CertsError> {
        let crypto = QuicServerConfig::try_from(self.tls()?).map_err(|_| {
            CertsError::Tls(rustls::Error::General("no cipher for QUIC's first packets".into()))
        })?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(Arc::new(transport()));
        config.migration(false);
        config.max_incoming(limits::HANDSHAKES_MAX * 2);
        config.incoming_buffer_size(64 << 10);
        config.incoming_buffer_size_total(8 << 20);
        Ok(config)
    }

    fn tls(&self) -> Result<ServerConfig, CertsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(self.callers()?)
            .with_single_cert(self.server.chain.clone(), self.server.key.clone_key())?;
        config.alpn_protocols = vec![cage_protocol::ALPN.to_vec()];
        // Early data can be replayed by anyone who saw it: never for money.
        config.max_early_data_size = 0;
        Ok(config)
    }
}

/// Opens the endpoint at `address`.
///
/// # Errors
/// [`EndpointError`] if the certificates or the address do not do.
pub fn open(address: SocketAddr, credentials: &Credentials) -> Result<Endpoint, EndpointError> {
    let config = credentials.server_config()?;
    let listen = |source| EndpointError::Listen { address, source };
    let socket = socket(address).map_err(listen)?;
    let runtime = Arc::new(quinn::TokioRuntime);
    Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).map_err(listen)
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(prefer_aes_128);
    Arc::new(provider)
}

/// AES-128-GCM first: the cheapest of the three on processors of the last ten years, and strong enough for all.
fn prefer_aes_128(suite: &SupportedCipherSuite) -> bool {
    suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS_PER_CONNECTION_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW_BYTES))
        .send_window(limits::SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(limits::IDLE_TIME_MAX).ok());
    transport
}

fn socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(limits::SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(limits::SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Who the peer of a connection is, by the certificate it has shown.
///
/// # Errors
/// [`CertsError::NoRole`] if the certificate names no role.
pub fn identity(connection: &Connection) -> Result<Identity, CertsError> {
    let chain = connection.peer_identity().ok_or(CertsError::NoRole)?;
    let chain = chain.downcast::<Vec<CertificateDer<'static>>>().map_err(|_| CertsError::NoRole)?;
    Identity::of(chain.first().ok_or(CertsError::NoRole)?)
}
