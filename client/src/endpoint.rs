//! Where connections are made from: one UDP socket and one TLS identity.
//!
//! In: credentials. Out: connections that have exchanged hello and welcome. Never here: 0-RTT, TLS before 1.3, a
//! window without end.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use cage_protocol::Watermark;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use rustls::crypto::ring;
use rustls::{CipherSuite, RootCertStore, SupportedCipherSuite};
use socket2::{Domain, Protocol, Socket, Type};

use crate::connection::{Connection, Watch};
use crate::credentials::Credentials;
use crate::error::ConnectionError;
use crate::limits;

/// A UDP socket and a TLS identity. Any number of connections share it; a clone is the same socket.
#[derive(Clone, Debug)]
pub struct Endpoint {
    quic: quinn::Endpoint,
    config: ClientConfig,
    server_name: String,
}

impl Endpoint {
    /// An endpoint for connections to servers of `peer`'s address family that have a certificate for
    /// `server_name`. Needs a tokio runtime around it, which will drive the socket.
    ///
    /// # Errors
    /// [`ConnectionError`] if there is no socket to be had or TLS does not accept the credentials.
    pub fn new(
        credentials: &Credentials,
        server_name: &str,
        peer: SocketAddr,
    ) -> Result<Self, ConnectionError> {
        let socket = socket(peer).map_err(|error| ConnectionError::Socket(Arc::new(error)))?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let mut quic = quinn::Endpoint::new(EndpointConfig::default(), None, socket, runtime)
            .map_err(|error| ConnectionError::Socket(Arc::new(error)))?;
        let mut config = ClientConfig::new(Arc::new(tls(credentials)?));
        config.transport_config(Arc::new(transport()));
        quic.set_default_client_config(config.clone());
        Ok(Self { quic, config, server_name: server_name.to_owned() })
    }

    /// The same socket and identity for connections on which only the server speaks: a server that was killed does not say
    /// so, and nothing that goes unanswered would tell.
    #[must_use]
    pub(crate) fn for_listeners(&self) -> Self {
        let mut transport = transport();
        transport
            .keep_alive_interval(Some(limits::LISTENER_KEEP_ALIVE))
            .max_idle_timeout(IdleTimeout::try_from(limits::LISTENER_IDLE_TIME_MAX).ok());
        let mut endpoint = self.clone();
        endpoint.config.transport_config(Arc::new(transport));
        endpoint.quic.set_default_client_config(endpoint.config.clone());
        endpoint
    }

    /// Connects, and exchanges hello and welcome. `seen` is the most that the caller knows of the log; a server
    /// that has less, or another log, is refused.
    ///
    /// # Errors
    /// [`ConnectionError`] if the server is not there, not trusted, or turns the client away. Without an answer
    /// it takes [`limits::IDLE_TIME_MAX`]: callers who know better put a timeout around it.
    pub async fn connect(&self, address: SocketAddr, seen: Watermark) -> Result<Connection, ConnectionError> {
        self.greet(address, seen, None).await
    }

    /// [`Self::connect`]; with a watch it shows the latest checkpoint, and asks to be sent those that follow.
    pub(crate) async fn greet(
        &self,
        address: SocketAddr,
        seen: Watermark,
        watch: Option<Watch>,
    ) -> Result<Connection, ConnectionError> {
        let connecting = self
            .quic
            .connect(address, &self.server_name)
            .map_err(|error| ConnectionError::Address(error.to_string()))?;
        Connection::greet(connecting.await?, seen, watch).await
    }

    /// Waits until every connection has said that it is closed.
    pub async fn wait_idle(&self) {
        self.quic.wait_idle().await;
    }
}

fn socket(peer: SocketAddr) -> std::io::Result<UdpSocket> {
    let local = match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
    // What the kernel does not allow it cuts; a burst that does not fit is sent again by QUIC.
    let _ = socket.set_recv_buffer_size(limits::SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(limits::SOCKET_BUFFER_BYTES);
    socket.bind(&local.into())?;
    Ok(socket.into())
}

fn tls(credentials: &Credentials) -> Result<QuicClientConfig, ConnectionError> {
    let refused = |error: rustls::Error| ConnectionError::Credentials(error.to_string());
    let mut provider = ring::default_provider();
    // AES-128 first: the cheapest one on hardware that has AES at all.
    provider
        .cipher_suites
        .sort_by_key(|suite: &SupportedCipherSuite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut roots = RootCertStore::empty();
    roots.add(credentials.authority.clone()).map_err(refused)?;
    let pair = credentials.pair.clone();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(refused)?
        .with_root_certificates(roots)
        .with_client_auth_cert(pair.chain, pair.key)
        .map_err(refused)?;
    config.alpn_protocols = vec![cage_protocol::ALPN.to_vec()];
    QuicClientConfig::try_from(config).map_err(|error| ConnectionError::Credentials(error.to_string()))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(limits::KEEP_ALIVE))
        .max_idle_timeout(IdleTimeout::try_from(limits::IDLE_TIME_MAX).ok())
        .initial_rtt(limits::INITIAL_RTT)
        .stream_receive_window(VarInt::from_u32(limits::RECEIVE_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::RECEIVE_WINDOW_BYTES))
        .send_window(limits::SEND_WINDOW_BYTES)
        // The server opens no streams and sends no datagrams.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    transport
}
