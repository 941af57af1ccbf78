//! Session tokens: what the casino signed, checked before the ledger is asked to open a session for it.
//!
//! In: a token's bytes and the time. Out: what the session is to be, or that the token is not valid. How a token is read is the
//! client's (`cage_client::tokens`), which signs them too; here are the keys of a folder, and what was verified before. Nothing here
//! decides: whether the session is opened, and whether it was opened before, the ledger says, from the token's
//! digest. Never here: a token, or a part of one, in a message or a log.

mod development;
mod keys;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use cage_client::tokens::verify;
use cage_engine::{Operation, Timestamp};
use cage_protocol::TOKEN_BYTES_MAX;

use crate::limits::{SESSION_KEYS_LOOK_EVERY, VERIFIED_TOKENS_MAX};

pub use cage_client::tokens::{Claims, Signer, TokenFault};
pub use development::{development_signer, ensure_development_keys, publish};
pub use keys::{Keys, KeysError};

/// The folder of the keys, below that of the certificates.
pub const KEYS_DIR: &str = "session-keys";

/// The gate that tokens pass.
#[derive(Debug)]
pub struct Tokens {
    keys: RefCell<Keys>,
    verified: RefCell<Verified>,
}

/// Tokens whose signature was found right, by digest: one that comes again is not verified again. A signature costs
/// as much time as some hundred decisions, on the same thread.
#[derive(Debug, Default)]
struct Verified {
    claims: HashMap<[u8; 32], Claims>,
    /// Under which reading of the keys they were verified.
    keys: u64,
}

impl Tokens {
    /// The gate with the keys in `dir`, which need not be there: without keys no token is valid.
    ///
    /// # Errors
    /// [`KeysError`] if the folder or a key in it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, KeysError> {
        Ok(Self { keys: RefCell::new(Keys::open(dir)?), verified: RefCell::default() })
    }

    /// What `token` asks for at `now`.
    ///
    /// # Errors
    /// [`TokenFault`] if it is not valid.
    pub fn check(&self, token: &[u8], now: Timestamp) -> Result<Operation, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        let digest = blake3::hash(token);
        self.claims(token, digest.as_bytes())?.opens(digest.as_bytes(), now)
    }

    fn claims(&self, token: &[u8], digest: &[u8; 32]) -> Result<Claims, TokenFault> {
        let mut keys = self.keys.borrow_mut();
        keys.look_every(SESSION_KEYS_LOOK_EVERY);
        let mut verified = self.verified.borrow_mut();
        // A key that was taken away takes what it signed with it.
        if std::mem::replace(&mut verified.keys, keys.readings()) != keys.readings() {
            verified.claims.clear();
        }
        if let Some(claims) = verified.claims.get(digest) {
            return Ok(*claims);
        }
        let claims = {
            let keys = &mut *keys;
            verify(token, move |name| keys.find(name))?
        };
        // To forget all of them costs a moment's work again, and that once in so many tokens.
        if verified.claims.len() >= VERIFIED_TOKENS_MAX || verified.keys != keys.readings() {
            verified.claims.clear();
            verified.keys = keys.readings();
        }
        verified.claims.insert(*digest, claims);
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
