//! A small HTTP/1.1 server with keep-alive, for whoever answers one request at a time.
//!
//! In: a listener and a handler. Out: answers, until it is told to stop; then those under way. A body that is too long or
//! too slow gets a plain status and goes no further. Never here: what a body means.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::adapters::Answer;
use crate::limits::{BODY_BYTES_MAX, CONNECTIONS_MAX, DRAIN_TIME_MAX, IDLE_TIME_MAX, READ_TIME_MAX};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A request with its body.
#[derive(Debug)]
pub struct Asked {
    /// `GET`, `POST`, …
    pub method: String,
    /// Beginning with `/`.
    pub path: String,
    /// What stands behind the question mark.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The bytes as they came.
    pub body: Bytes,
}

/// What is to be sent, or not.
#[derive(Debug)]
pub enum Reply {
    /// An answer.
    Whole(Answer),
    /// One that is no JSON.
    Text(Answer),
    /// The first half of one: what a broken proxy makes of it.
    Cut(Answer),
    /// The end of the connection.
    Nothing,
}

/// Who answers.
pub trait Handler {
    /// Answers one request.
    fn answer(&self, asked: Asked) -> impl Future<Output = Reply>;
}

/// Serves until `stop` is done; then answers what was taken. Needs a local task set around it.
pub async fn listen<H: Handler + 'static>(
    listener: TcpListener,
    handler: Rc<H>,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let permit = tokio::select! {
            () = &mut stop => break,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match stream {
            Ok((stream, _)) => {
                let (handler, stopped) = (Rc::clone(&handler), stopped.clone());
                connections.spawn_local(async move {
                    connection(stream, handler, stopped).await;
                    drop(permit);
                });
            }
            // No descriptors, most likely: some connection has to end first.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    stopping.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN_TIME_MAX, drained).await.is_err() {
        tracing::warn!("some requests were not answered in time before the end");
    }
}

async fn connection<H: Handler + 'static>(
    stream: TcpStream,
    handler: Rc<H>,
    mut stopped: watch::Receiver<bool>,
) {
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let handler = Rc::clone(&handler);
        async move { respond(&*handler, request).await }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIME_MAX).keep_alive(true);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
            return;
        }
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("ended on purpose")]
struct Ended;

async fn respond(handler: &impl Handler, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Ended> {
    let (head, body) = request.into_parts();
    if body.size_hint().upper().is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let limited = Limited::new(body, BODY_BYTES_MAX).collect();
    let body = match timeout(READ_TIME_MAX, limited).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT)),
    };
    let asked = Asked {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or("").to_owned(),
        headers: head.headers,
        body,
    };
    match handler.answer(asked).await {
        Reply::Whole(answer) => Ok(response(answer, JSON)),
        Reply::Text(answer) => Ok(response(answer, TEXT)),
        Reply::Cut(Answer { status, mut body }) => {
            body.truncate(body.len() / 2);
            Ok(response(Answer { status, body }, JSON))
        }
        Reply::Nothing => Err(Ended),
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn response(answer: Answer, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
