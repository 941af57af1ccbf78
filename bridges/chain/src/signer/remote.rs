//! A signer in another process, behind a socket of the machine.
//!
//! In: transfers. Out: what the other process answered. One question at a time, each a line of JSON, each with a deadline.
//! Never here: a key. That the signed bytes say what was asked is checked here, not believed.

use std::path::{Path, PathBuf};

use cage_engine::RequestId;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Signer, SignerFault};
use crate::ethers::{Signed, Transfer, read_signed, transaction_id};
use crate::limits;
use crate::types::Address;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Question {
    /// Whose key it is.
    Address,
    /// Sign this.
    Sign {
        /// For which withdrawal, as hexadecimal digits.
        withdrawal: String,
        /// What it says.
        transfer: Transfer,
    },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Answer {
    /// The account.
    Address(Address),
    /// The signed bytes.
    Signed(Vec<u8>),
    /// It will not, and why.
    Refused(String),
}

/// The door to the other process.
#[derive(Clone, Debug)]
pub struct RemoteSigner {
    socket: PathBuf,
    address: Address,
}

impl RemoteSigner {
    /// Asks the process behind a socket whose key it has.
    ///
    /// # Errors
    /// [`SignerFault`] if nobody answers.
    pub async fn connect(socket: &Path) -> Result<Self, SignerFault> {
        match ask(socket, &Question::Address).await? {
            Answer::Address(address) => Ok(Self { socket: socket.to_owned(), address }),
            other => Err(SignerFault::NoAnswer(format!("{other:?} is no address"))),
        }
    }
}

async fn ask(socket: &Path, question: &Question) -> Result<Answer, SignerFault> {
    let fault = |reason: String| SignerFault::NoAnswer(format!("{}: {reason}", socket.display()));
    let asking = async {
        let mut stream =
            BufReader::new(UnixStream::connect(socket).await.map_err(|reason| reason.to_string())?);
        let mut line = serde_json::to_vec(question).map_err(|reason| reason.to_string())?;
        line.push(b'\n');
        stream.write_all(&line).await.map_err(|reason| reason.to_string())?;
        let mut answer = String::new();
        let mut bounded = stream.take(limits::SIGNER_MESSAGE_BYTES_MAX as u64);
        bounded.read_line(&mut answer).await.map_err(|reason| reason.to_string())?;
        serde_json::from_str(&answer).map_err(|reason| reason.to_string())
    };
    match timeout(limits::SIGNER_TIME_MAX, asking).await {
        Ok(answer) => answer.map_err(fault),
        Err(_) => Err(fault(format!("silent for {} s", limits::SIGNER_TIME_MAX.as_secs()))),
    }
}

impl Signer for RemoteSigner {
    fn address(&self) -> Address {
        self.address
    }

    async fn sign(&self, withdrawal: RequestId, transfer: &Transfer) -> Result<Signed, SignerFault> {
        let question = Question::Sign { withdrawal: format!("{:032x}", withdrawal.0), transfer: *transfer };
        match ask(&self.socket, &question).await? {
            Answer::Signed(raw) => {
                if read_signed(&raw).ok() != Some((self.address, *transfer)) {
                    return Err(SignerFault::NoAnswer("it signed something else than was asked".to_owned()));
                }
                let transaction = transaction_id(&raw);
                Ok(Signed { raw, transaction })
            }
            Answer::Refused(reason) => Err(SignerFault::Refused(reason)),
            other => Err(SignerFault::NoAnswer(format!("{other:?} is no signature"))),
        }
    }
}
