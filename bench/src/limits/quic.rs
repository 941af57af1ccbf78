//! QUIC alone: bare quinn, 64 bytes back for each 128 bytes, nothing in between. Client and server on one thread
//! each, as the product runs; the client keeps time as the load generator does.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cage_loadgen::Alarm;
use hdrhistogram::Histogram;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::runtime::Builder;

use super::{LimitError, histogram, micros};

pub(super) const REQUEST_BYTES: usize = 128;
pub(super) const REPLY_BYTES: usize = 64;
pub(super) const READ_BYTES: usize = 256 << 10;

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Whenever fewer than so many are unanswered.
    Outstanding(usize),
    /// So many a second, each in a write of its own, whatever is answered.
    Rate(f64),
}

/// What a run measured.
#[derive(Clone, Copy, Debug)]
pub struct QuicRun {
    /// Requests answered a second.
    pub per_second: f64,
    /// The median time to the answer, in microseconds; with a rate, from when the request was due.
    pub p50_micros: f64,
    /// The 99th percentile.
    pub p99_micros: f64,
}

/// Loads a bare echo at `pace` over one connection, for `time`.
///
/// # Errors
/// What goes wrong.
pub fn run(pace: Pace, time: Duration) -> Result<QuicRun, LimitError> {
    against(echo, pace, time)
}

/// Loads what `serve` does with a stream.
pub(super) fn against<Served>(
    serve: impl FnOnce(SendStream, RecvStream) -> Served + Send + 'static,
    pace: Pace,
    time: Duration,
) -> Result<QuicRun, LimitError>
where
    Served: Future<Output = Result<(), LimitError>>,
{
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let certificate = key.cert.der().clone();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let (address, started) = std::sync::mpsc::channel();
    let served = certificate.clone();
    let server = std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        // The end of the load closes the connection in the middle of something: that is no fault.
        let _ = runtime.block_on(accept(served, private, &address, serve));
    });
    let address = started.recv()?;
    let run =
        Builder::new_current_thread().enable_all().build()?.block_on(load(address, certificate, pace, time));
    server.join().map_err(|_| "the limit's server panicked")?;
    run
}

fn socket() -> std::io::Result<UdpSocket> {
    let socket = socket2::Socket::from(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_send_buffer_size(4 << 20)?;
    Ok(socket.into())
}

async fn accept<Served>(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    address: &std::sync::mpsc::Sender<SocketAddr>,
    serve: impl FnOnce(SendStream, RecvStream) -> Served,
) -> Result<(), LimitError>
where
    Served: Future<Output = Result<(), LimitError>>,
{
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
    serve(send, receive).await
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
    pace: Pace,
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
    let run = pump(&connection, pace, time).await;
    connection.close(0_u32.into(), b"done");
    // The server is told, so that its thread ends.
    endpoint.wait_idle().await;
    run
}

/// How long the last answers are waited for.
const LAST_ANSWERS_TIME: Duration = Duration::from_secs(3);

async fn pump(connection: &Connection, pace: Pace, time: Duration) -> Result<QuicRun, LimitError> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let (alarm, mut buffer) = (Alarm::new()?, vec![0; READ_BYTES]);
    let begin = Instant::now();
    let mut pump = Pump::new(pace, begin, time)?;
    loop {
        let now = Instant::now();
        pump.write(&mut send, now).await?;
        let is_over = now >= pump.end && pump.due.is_none_or(|due| due >= pump.end);
        let last_call = pump.end + LAST_ANSWERS_TIME;
        if is_over && (pump.outstanding == 0 || now >= last_call) {
            break;
        }
        let wake = pump.due.filter(|_| !is_over).unwrap_or(last_call);
        tokio::select! {
            read = receive.read(&mut buffer) => pump.take(read?.ok_or("the server left")?)?,
            waited = alarm.wait(wake) => waited?,
        }
    }
    if pump.outstanding > 0 {
        return Err(format!("{} requests of the limit were not answered", pump.outstanding).into());
    }
    Ok(QuicRun {
        per_second: pump.answered as f64 / (pump.last - begin).max(time).as_secs_f64(),
        p50_micros: micros(&pump.times, 0.5),
        p99_micros: micros(&pump.times, 0.99),
    })
}

/// The client of a limit.
struct Pump {
    pace: Pace,
    requests: Vec<u8>,
    /// When requests were sent, and how many of them together.
    sent: VecDeque<(Instant, usize)>,
    outstanding: usize,
    /// When the next request is due, if there is a rate.
    due: Option<Instant>,
    end: Instant,
    /// Bytes of a reply that is not complete.
    rest: usize,
    answered: u64,
    last: Instant,
    times: Histogram<u64>,
}

impl Pump {
    fn new(pace: Pace, begin: Instant, time: Duration) -> Result<Self, LimitError> {
        let (at_once, due) = match pace {
            Pace::Outstanding(window) => (window, None),
            Pace::Rate(_) => (1, Some(begin)),
        };
        Ok(Self {
            pace,
            requests: vec![1; at_once * REQUEST_BYTES],
            sent: VecDeque::new(),
            outstanding: 0,
            due,
            end: begin + time,
            rest: 0,
            answered: 0,
            last: begin,
            times: histogram()?,
        })
    }

    /// Sends what is due.
    async fn write(&mut self, send: &mut SendStream, now: Instant) -> Result<(), LimitError> {
        match self.pace {
            Pace::Outstanding(window) if now < self.end && self.outstanding < window => {
                self.write_some(send, window - self.outstanding, now).await
            }
            Pace::Outstanding(_) => Ok(()),
            Pace::Rate(rate) => {
                while let Some(due) = self.due.filter(|due| *due <= now && *due < self.end) {
                    self.write_some(send, 1, due).await?;
                    self.due = Some(due + Duration::from_secs_f64(1.0 / rate));
                }
                Ok(())
            }
        }
    }

    async fn write_some(
        &mut self,
        send: &mut SendStream,
        count: usize,
        at: Instant,
    ) -> Result<(), LimitError> {
        self.sent.push_back((at, count));
        self.outstanding += count;
        Ok(send.write_all(&self.requests[..count * REQUEST_BYTES]).await?)
    }

    /// Counts the replies in `bytes` that came.
    fn take(&mut self, bytes: usize) -> Result<(), LimitError> {
        self.last = Instant::now();
        let mut replies = (self.rest + bytes) / REPLY_BYTES;
        self.rest = (self.rest + bytes) % REPLY_BYTES;
        self.outstanding -= replies;
        self.answered += replies as u64;
        while replies > 0 {
            let (at, together) = self.sent.front_mut().ok_or("an answer to nothing")?;
            let some = replies.min(*together);
            self.times.record_n(u64::try_from((self.last - *at).as_nanos())?.max(1), some as u64)?;
            *together -= some;
            replies -= some;
            if *together == 0 {
                self.sent.pop_front();
            }
        }
        Ok(())
    }
}
