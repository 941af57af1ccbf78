//! Who signs.
//!
//! In: a transfer, and for which withdrawal. Out: its signed bytes, or why not. Never here: whether it should be paid;
//! a signer in a process of its own has bounds of its own, whatever the bridge thinks.

mod guard;
mod remote;

use std::future::Future;

use cage_engine::RequestId;

pub use guard::Guard;
pub use remote::RemoteSigner;

use crate::ethers::{Key, Signed, Transfer};
use crate::types::Address;

/// Why a transfer was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerFault {
    /// The signer is not there, or did not answer. Ask again.
    #[error("the signer did not answer: {0}")]
    NoAnswer(String),
    /// The signer will not.
    #[error("the signer refused: {0}")]
    Refused(String),
}

/// Holds the key of a wallet.
pub trait Signer: Send + Sync {
    /// The wallet's account.
    fn address(&self) -> Address;
    /// Signs.
    fn sign(
        &self,
        withdrawal: RequestId,
        transfer: &Transfer,
    ) -> impl Future<Output = Result<Signed, SignerFault>> + Send;
}

impl Signer for Key {
    fn address(&self) -> Address {
        Self::address(self)
    }

    async fn sign(&self, _: RequestId, transfer: &Transfer) -> Result<Signed, SignerFault> {
        Self::sign(self, transfer).map_err(|fault| SignerFault::Refused(fault.to_string()))
    }
}

/// A signer of either sort.
#[derive(Debug)]
pub enum AnySigner {
    /// The key is in this process.
    Here(Key),
    /// The key is in another one.
    There(RemoteSigner),
}

impl Signer for AnySigner {
    fn address(&self) -> Address {
        match self {
            Self::Here(key) => key.address(),
            Self::There(signer) => signer.address(),
        }
    }

    async fn sign(&self, withdrawal: RequestId, transfer: &Transfer) -> Result<Signed, SignerFault> {
        match self {
            Self::Here(key) => Signer::sign(key, withdrawal, transfer).await,
            Self::There(signer) => signer.sign(withdrawal, transfer).await,
        }
    }
}

/// Reads a passphrase from a file: its first line.
///
/// # Errors
/// If the file cannot be read. What is in it is never told.
pub fn passphrase(path: &std::path::Path) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
    let text = std::fs::read(path).map_err(|reason| format!("{}: {reason}", path.display()))?;
    let text = zeroize::Zeroizing::new(text);
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(format!("{}: the passphrase is empty (expected it on the first line)", path.display()));
    }
    Ok(zeroize::Zeroizing::new(line.to_vec()))
}
