//! QUIC alone: bare quinn, 64 bytes back for each 128 bytes, nothing in between. Client and server on one thread
//! each, as the product runs.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::runtime::Builder;

/// What goes wrong with a limit.
pub type LimitError = Box<dyn std::error::Error + Send + Sync>;

const REQUEST_BYTES: usize = 128;
const REPLY_BYTES: usize = 64;
const READ_BYTES: usize = 256 << 10;

/// What a run measured.
#[derive(Clone, Copy, Debug)]
pub struct QuicRun {
    /// Requests answered a second.
    pub per_second: f64,
    /// The median time from a write to the next read, in microseconds: a round trip if one is outstanding.
    pub p50_micros: f64,
}

/// Keeps `window` requests outstanding on one connection, for `time`.
///
/// # Errors
/// What goes wrong.
pub fn run(window: usize, time: Duration) -> Result<QuicRun, LimitError> {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let certificate = key.cert.der().clone();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let (address, started) = std::sync::mpsc::channel();
    let served = certificate.clone();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        let _ = runtime.block_on(serve(served, private, &address));
    });
    let address = started.recv()?;
    Builder::new_current_thread().enable_all().build()?.block_on(load(address, certificate, window, time))
}

fn socket() -> std::io::Result<UdpSocket> {
    let socket = socket2::Socket::from(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_send_buffer_size(4 << 20)?;
    Ok(socket.into())
}

async fn serve(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    address: &std::sync::mpsc::Sender<SocketAddr>,
) -> Result<(), LimitError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket()?, Arc::new(TokioRuntime))?;
    address.send(endpoint.local_addr()?)?;
    let incoming = endpoint.accept().await.ok_or("nobody came")?;
    let connection = incoming.await?;
    let (send, receive) = connection.accept_bi().await?;
    echo(send, receive).await
}

async fn echo(mut send: SendStream, mut receive: RecvStream) -> Result<(), LimitError> {
    let (mut buffer, replies) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    let mut rest = 0;
    while let Some(count) = receive.read(&mut buffer).await? {
        let bytes = rest + count;
        rest = bytes % REQUEST_BYTES;
        send.write_all(&replies[..bytes / REQUEST_BYTES * REPLY_BYTES]).await?;
    }
    Ok(())
}

async fn load(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    window: usize,
    time: Duration,
) -> Result<QuicRun, LimitError> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut endpoint = Endpoint::new(EndpointConfig::default(), None, socket()?, Arc::new(TokioRuntime))?;
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(address, "localhost")?.await?;
    pump(&connection, window, time).await
}

async fn pump(connection: &Connection, window: usize, time: Duration) -> Result<QuicRun, LimitError> {
    let mut trips = Histogram::<u64>::new(3)?;
    let (mut send, mut receive) = connection.open_bi().await?;
    let (requests, mut buffer) = (vec![1; window * REQUEST_BYTES], vec![0; READ_BYTES]);
    let (mut outstanding, mut rest, mut answered) = (0, 0, 0_u64);
    let begin = Instant::now();
    while begin.elapsed() < time {
        let written = Instant::now();
        send.write_all(&requests[..(window - outstanding) * REQUEST_BYTES]).await?;
        outstanding = window;
        let count = receive.read(&mut buffer).await?.ok_or("the server left")?;
        trips.record(u64::try_from(written.elapsed().as_nanos())?)?;
        let replies = (rest + count) / REPLY_BYTES;
        rest = (rest + count) % REPLY_BYTES;
        outstanding -= replies;
        answered += replies as u64;
    }
    let seconds = begin.elapsed().as_secs_f64();
    connection.close(0_u32.into(), b"done");
    let p50_micros = trips.value_at_quantile(0.5) as f64 / 1e3;
    Ok(QuicRun { per_second: answered as f64 / seconds, p50_micros })
}
