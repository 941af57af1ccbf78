//! Calls to a provider: HTTP/1.1 with keep-alive. TLS begins in front of it.
//!
//! In: a path and a body. Out: a status and a body, or that there was none. Every wait has an end. Never here: a second
//! attempt: whether a request may be sent again is not for a connection to know.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::{BODY_BYTES_MAX, CONNECT_TIME_MAX, IDLE_CONNECTIONS_MAX};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Not in time.
    #[error("no answer in time")]
    Time,
    /// No connection, or a broken one.
    #[error("the connection: {0}")]
    Connection(String),
}

fn broken(error: impl std::fmt::Display) -> CallError {
    CallError::Connection(error.to_string())
}

/// A provider to call.
#[derive(Debug)]
pub struct Caller {
    address: SocketAddr,
    authorization: String,
    answer_time: Duration,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

impl Caller {
    /// One at this address, with this bearer token.
    #[must_use]
    pub fn new(address: SocketAddr, bearer: &str, answer_time: Duration) -> Self {
        Self { address, authorization: format!("Bearer {bearer}"), answer_time, idle: RefCell::default() }
    }

    /// Posts a body.
    ///
    /// # Errors
    /// [`CallError`]: whether the request was carried out is then not known.
    pub async fn post(&self, path: &str, body: Vec<u8>) -> Result<(u16, Bytes), CallError> {
        self.call(Method::POST, path, body).await
    }

    /// Gets a page.
    ///
    /// # Errors
    /// [`CallError`] if there is no answer.
    pub async fn get(&self, path: &str) -> Result<(u16, Bytes), CallError> {
        self.call(Method::GET, path, Vec::new()).await
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(u16, Bytes), CallError> {
        timeout(self.answer_time, self.exchange(method, path, body)).await.map_err(|_| CallError::Time)?
    }

    async fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(u16, Bytes), CallError> {
        let mut sender = self.connection().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(broken)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.map_err(broken)?;
        if self.idle.borrow().len() < IDLE_CONNECTIONS_MAX {
            self.idle.borrow_mut().push(sender);
        }
        Ok((status, body.to_bytes()))
    }

    /// An idle connection that is still good, or a new one.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        loop {
            let Some(mut sender) = self.idle.borrow_mut().pop() else { break };
            // Not the next one's turn: a connection that is closed says so at once.
            if !sender.is_closed() && sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = timeout(CONNECT_TIME_MAX, TcpStream::connect(self.address)).await;
        let stream = stream.map_err(|_| CallError::Time)?.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a provider broke");
            }
        });
        Ok(sender)
    }
}
