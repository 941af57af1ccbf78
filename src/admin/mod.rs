//! The admin port: health, metrics and status over HTTP, on a thread of its own.
//!
//! In: HTTP requests from this machine. Out: pages about the server. Never here: a change of anything, a question about
//! a player, a lock or a wait that the money path would notice. It asks nobody who he is: it listens on loopback unless
//! it is told otherwise.

pub mod alarms;
pub mod board;
pub mod look;
mod metrics;
mod status;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::limits;
use alarms::Alarm;
use board::Board;
use look::Watched;
use status::Status;

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

const INDEX: &str = "cage admin port\n\
    /livez    200 if the process lives; restart it if not\n\
    /readyz   200 if requests are served; send none if not, and read why\n\
    /metrics  numbers for Prometheus\n\
    /status   how it stands, as JSON; cage status prints it for people\n";

/// Why there is no admin port.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (TCP) for the admin port: {source}; --admin names another address")]
pub struct AdminError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

/// An admin port that is served until the process ends.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
}

impl Admin {
    /// Serves what `board` tells at `address`, from now on.
    ///
    /// # Errors
    /// The address or a thread is not to be had.
    pub fn start(address: SocketAddr, board: &Arc<Board>) -> Result<Self, AdminError> {
        let fault = |source| AdminError { address, source };
        let listener = TcpListener::bind(address).map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "others can reach the admin port, which asks nobody who he is");
            board.set(Alarm::AdminExposed, true);
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(fault)?;
        let watched = Arc::new(Watched::new(Arc::clone(board)));
        let serve = move || runtime.block_on(serve(listener, watched));
        thread::Builder::new().name("admin".to_owned()).spawn(serve).map_err(fault)?;
        Ok(Self { address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, watched: Arc<Watched>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(reason) => return tracing::error!(%reason, "there is no admin port"),
    };
    let registry = Arc::new(metrics::registry(&watched));
    let room = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS_MAX));
    let mut every_second = tokio::time::interval(limits::BEAT_EVERY);
    loop {
        tokio::select! {
            _ = every_second.tick() => watched.watch(),
            accepted = listener.accept() => match (accepted, Arc::clone(&room).try_acquire_owned()) {
                (Ok((stream, _)), Ok(place)) => {
                    let (watched, registry) = (Arc::clone(&watched), Arc::clone(&registry));
                    tokio::spawn(async move {
                        connection(stream, watched, registry).await;
                        drop(place);
                    });
                }
                // One more than there may be: closed at once.
                (Ok(_), Err(_)) => {}
                // No descriptors left, say: nothing that goes away sooner for being asked again at once.
                (Err(reason), _) => {
                    tracing::warn!(%reason, "the admin port could not take a connection");
                    tokio::time::sleep(limits::BEAT_EVERY).await;
                }
            },
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, watched: Arc<Watched>, registry: Arc<Registry>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &watched, &registry);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::ADMIN_HEADER_TIME_MAX)
        .max_buf_size(limits::ADMIN_HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(reason) = served {
        tracing::debug!(%reason, "a connection to the admin port ended");
    }
}

fn answer(method: &Method, path: &str, watched: &Watched, registry: &Registry) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n".to_owned());
    }
    match path {
        "/" => text(StatusCode::OK, INDEX.to_owned()),
        "/livez" => health(look::dead(watched.board())),
        "/readyz" => health(watched.unready()),
        "/metrics" => match metrics::page(registry) {
            Ok(page) => response(StatusCode::OK, METRICS, page),
            Err(reason) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{reason}\n")),
        },
        "/status" => response(
            StatusCode::OK,
            JSON,
            watched.look(|look| serde_json::json!(Status::of(look)).to_string() + "\n"),
        ),
        _ => text(StatusCode::NOT_FOUND, format!("there is no such page:\n{INDEX}")),
    }
}

fn health(wrong: Option<String>) -> Response<Full<Bytes>> {
    match wrong {
        None => text(StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    response(status, TEXT, text)
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
