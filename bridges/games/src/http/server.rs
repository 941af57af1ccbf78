//! Where providers call: HTTP/1.1 with keep-alive. TLS ends in front of it.
//!
//! In: requests to `/PROVIDER/…`. Out: the adapter's answer. A body that is too long, too slow or addressed to nobody
//! gets a plain status and goes no further. Never here: a request that waits without end.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::adapters::{self, Answer, Arrived, Headers};
use crate::config::{Config, Provider};
use crate::inbound::{Desk, Done, Verdict};
use crate::limits::{BODY_BYTES_MAX, CONNECTIONS_MAX, IDLE_TIME_MAX, LEDGER_TIME_MAX, READ_TIME_MAX};
use crate::refusals::{Refusal, Refusals};

/// How long an answer may take beyond what the ledger has: reads after it, and the way back.
const ANSWER_TIME_MAX: Duration = LEDGER_TIME_MAX.saturating_mul(2);

/// The server for providers.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    desk: Desk,
    refusals: RefCell<Refusals>,
}

#[derive(Debug)]
struct HeaderView<'a>(&'a HeaderMap);

impl Headers for HeaderView<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(hyper::header::HeaderValue::as_bytes)
    }
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn bind(config: Config, desk: Desk, refusals: Refusals) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let shared = Shared { config, desk, refusals: RefCell::new(refusals) };
        Ok(Self { listener, shared: Rc::new(shared) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done; then answers what it has taken. Needs a local task set around it.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (stopping, stopped) = tokio::sync::watch::channel(false);
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let permit = tokio::select! {
                () = &mut stop => break,
                permit = Arc::clone(&room).acquire_owned() => permit,
            };
            let stream = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match stream {
                Ok((stream, _)) => {
                    let (shared, stopped) = (Rc::clone(&self.shared), stopped.clone());
                    connections.spawn_local(async move {
                        connection(stream, shared, stopped).await;
                        drop(permit);
                    });
                }
                // No descriptors, most likely: some connection has to end first.
                Err(error) => {
                    tracing::warn!(%error, "a connection of a provider could not be taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        stopping.send_replace(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(ANSWER_TIME_MAX, drained).await.is_err() {
            tracing::warn!("some callbacks were not answered in time before the end");
        }
    }
}

async fn connection(stream: TcpStream, shared: Rc<Shared>, mut stopped: tokio::sync::watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Rc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.respond(request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIME_MAX).keep_alive(true);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a provider's connection broke");
            }
            return;
        }
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

impl Shared {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let place = path.trim_start_matches('/').split_once('/');
        let named = place.and_then(|(name, rest)| Some((self.config.providers.get(name)?, rest)));
        let Some((provider, rest)) = named else { return plain(StatusCode::NOT_FOUND) };
        if body.size_hint().upper().is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
            return plain(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let limited = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = match timeout(READ_TIME_MAX, limited).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => return plain(StatusCode::REQUEST_TIMEOUT),
        };
        let path = format!("/{rest}");
        let arrived = Arrived {
            method: head.method.as_str(),
            path: &path,
            query: head.uri.query().unwrap_or(""),
            headers: &HeaderView(&head.headers),
            body: &body,
            at: crate::inbound::now(),
        };
        response(self.answer(provider, &arrived).await)
    }

    async fn answer(&self, provider: &Provider, arrived: &Arrived<'_>) -> Answer {
        let read = adapters::verify(provider, arrived)
            .and_then(|()| adapters::understand(&self.config, provider, arrived));
        let callback = match read {
            Ok(callback) => callback,
            Err(refused) => {
                let Arrived { at, path, body, .. } = *arrived;
                let refusal = Refusal::new(at, &provider.name, path, refused.reason.name(), body);
                self.refusals.borrow_mut().record(&refusal);
                return refused.answer;
            }
        };
        let done = match timeout(ANSWER_TIME_MAX, self.desk.carry_out(provider, callback.call())).await {
            Ok(done) => done,
            Err(_) => Done::of(Verdict::Unavailable),
        };
        callback.answer(&self.config, provider, &done)
    }
}
