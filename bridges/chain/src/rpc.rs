//! Asking a node over JSON-RPC.
//!
//! In: a method and its parameters. Out: the answer, or what went wrong and where. Never here: what an answer means, a
//! second attempt, the address of an endpoint in a message (addresses of providers have keys in them).

use std::fmt;
use std::sync::Arc;

use jsonrpsee_core::client::{ClientT as _, Error};
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use serde_json::Value;

use crate::ethers::Nonsense;
use crate::limits;
use crate::types::hex;

/// One node, or one provider's door to many.
#[derive(Clone)]
pub struct Endpoint {
    client: HttpClient,
    name: Arc<str>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.name)
    }
}

/// No usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The node was not reached, or did not answer in time.
    #[error("{endpoint}: {method}: no answer: {reason}")]
    NoAnswer {
        /// Which endpoint.
        endpoint: Arc<str>,
        /// What was asked.
        method: &'static str,
        /// Why.
        reason: String,
    },
    /// The node answered that it will not.
    #[error("{endpoint}: {method}: refused with {code}: {message}")]
    Refused {
        /// Which endpoint.
        endpoint: Arc<str>,
        /// What was asked.
        method: &'static str,
        /// The node's number for it.
        code: i32,
        /// The node's words for it, cut.
        message: String,
    },
    /// The answer is not what it must be.
    #[error("{endpoint}: {method}: nonsense: {what}")]
    Nonsense {
        /// Which endpoint.
        endpoint: Arc<str>,
        /// What was asked.
        method: &'static str,
        /// What does not fit.
        what: String,
    },
    /// The endpoint belongs to another chain.
    #[error("{endpoint}: {what} is {found} (expected {expected}): this endpoint belongs to another chain")]
    OtherChain {
        /// Which endpoint.
        endpoint: Arc<str>,
        /// Chain id or first block.
        what: &'static str,
        /// What it says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// The endpoints contradict each other.
    #[error("the endpoints disagree on {what}: {agreeing} of {needed} that are needed agree")]
    Disagreement {
        /// On what.
        what: String,
        /// How many said the same at most.
        agreeing: usize,
        /// How many have to.
        needed: usize,
    },
    /// The block is not on the chain any more, as far as the endpoint knows.
    #[error("block {hash} at height {height} is gone")]
    Gone {
        /// Its height.
        height: u64,
        /// Its name.
        hash: String,
    },
}

/// Words of a node are cut to so many characters: they go into logs.
const MESSAGE_CHARS_MAX: usize = 200;

impl Endpoint {
    /// An endpoint at an address, `http://…` or `https://…`. Nothing is asked yet.
    ///
    /// # Errors
    /// A text without the address, which may have a key in it.
    pub fn new(address: &str, name: &str) -> Result<Self, String> {
        let built = HttpClientBuilder::default()
            .request_timeout(limits::ANSWER_TIME_MAX)
            .connect_timeout(limits::CONNECT_TIME_MAX)
            .max_response_size(limits::ANSWER_BYTES_MAX)
            .max_concurrent_requests(limits::REQUESTS_AT_ONCE)
            .build(address);
        let client = built.map_err(|_| {
            format!("endpoint {name}: no usable address (expected http://HOST:PORT or https://HOST)")
        })?;
        Ok(Self { client, name: name.into() })
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Asks. Parameters are the positional ones.
    ///
    /// # Errors
    /// [`Fault`] says whether it was not reached or would not.
    pub async fn ask(&self, method: &'static str, parameters: Vec<Value>) -> Result<Value, Fault> {
        self.client.request(method, parameters).await.map_err(|error| self.fault(method, error))
    }

    fn fault(&self, method: &'static str, error: Error) -> Fault {
        let endpoint = Arc::clone(&self.name);
        let cut = |text: String| text.chars().take(MESSAGE_CHARS_MAX).collect::<String>();
        match error {
            Error::Call(refusal) => Fault::Refused {
                endpoint,
                method,
                code: refusal.code(),
                message: cut(refusal.message().to_owned()),
            },
            Error::ParseError(fault) => Fault::Nonsense { endpoint, method, what: cut(fault.to_string()) },
            Error::RequestTimeout => Fault::NoAnswer {
                endpoint,
                method,
                reason: format!("silent for {} s", limits::ANSWER_TIME_MAX.as_secs()),
            },
            // The text of a transport's error may hold the address: only its kind is told.
            Error::Transport(_) => {
                Fault::NoAnswer { endpoint, method, reason: "the connection failed".to_owned() }
            }
            other => Fault::Nonsense { endpoint, method, what: cut(other.to_string()) },
        }
    }

    /// That an answer of this endpoint is nonsense.
    #[must_use]
    pub fn nonsense(&self, method: &'static str, what: impl Into<String>) -> Fault {
        Fault::Nonsense { endpoint: Arc::clone(&self.name), method, what: what.into() }
    }

    /// [`Self::nonsense`], as a function for results.
    pub(crate) fn not(&self, method: &'static str) -> impl Fn(Nonsense) -> Fault + '_ {
        move |Nonsense(what)| self.nonsense(method, what)
    }

    /// Asks for a number.
    ///
    /// # Errors
    /// As [`Self::ask`], or if the answer is no number of 128 bits.
    pub async fn number(&self, method: &'static str, parameters: Vec<Value>) -> Result<u128, Fault> {
        let answer = self.ask(method, parameters).await?;
        let digits = answer.as_str().and_then(|text| text.strip_prefix("0x"));
        let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        number.ok_or_else(|| self.nonsense(method, "no number (expected 0x and up to 32 digits)"))
    }
}

/// A number as nodes want it.
#[must_use]
pub fn number(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

/// Bytes as nodes want them.
#[must_use]
pub fn bytes(bytes: &[u8]) -> Value {
    Value::String(hex(bytes))
}
