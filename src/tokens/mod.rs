//! Session tokens: what the casino signed, checked before the ledger is asked to open a session for it.
//!
//! In: a token's bytes and the time. Out: what the session is to be, or that the token is not valid. Nothing here
//! decides: whether the session is opened, and whether it was opened before, the ledger says, from the token's
//! digest. Never here: a token, or a part of one, in a message or a log.

mod claims;
mod development;
mod keys;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use cage_engine::{Operation, Reference, Timestamp};
use cage_protocol::TOKEN_BYTES_MAX;
use pasetors::Public;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};

use crate::limits::{SESSION_KEYS_LOOK_EVERY, VERIFIED_TOKENS_MAX};

pub use claims::Claims;
pub use development::{Signer, ensure_development_keys};
pub use keys::{Keys, KeysError};

/// The folder of the keys, below that of the certificates.
pub const KEYS_DIR: &str = "session-keys";

/// Why a token does not do. For the server's own log: callers get one answer for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is longer than any token is.
    #[error("it is too long")]
    TooLong,
    /// It is no PASETO v4.public token.
    #[error("it is no v4.public token")]
    Form,
    /// Its footer names no key.
    #[error("its footer names no key")]
    NoKey,
    /// Its key is none of those in the folder.
    #[error("its key is not known")]
    KeyUnknown,
    /// The signature is not by that key.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing or wrong.
    #[error("its claim {0} is missing or wrong")]
    Claim(&'static str),
    /// Its time has not come.
    #[error("it is not valid yet")]
    TooEarly,
    /// Its time has passed.
    #[error("it has expired")]
    Expired,
}

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
        let claims = self.claims(token, digest.as_bytes())?;
        if claims.not_before.is_some_and(|from| now < from) {
            return Err(TokenFault::TooEarly);
        }
        if claims.expires <= now {
            return Err(TokenFault::Expired);
        }
        Ok(claims.operation(reference(digest.as_bytes())))
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
        let claims = verify(&mut keys, token)?;
        // To forget all of them costs a moment's work again, and that once in so many tokens.
        if verified.claims.len() >= VERIFIED_TOKENS_MAX || verified.keys != keys.readings() {
            verified.claims.clear();
            verified.keys = keys.readings();
        }
        verified.claims.insert(*digest, claims);
        Ok(claims)
    }
}

fn verify(keys: &mut Keys, token: &[u8]) -> Result<Claims, TokenFault> {
    let text = std::str::from_utf8(token).map_err(|_| TokenFault::Form)?;
    let token = UntrustedToken::<Public, V4>::try_from(text).map_err(|_| TokenFault::Form)?;
    let key = claims::key_id(token.untrusted_footer()).ok_or(TokenFault::NoKey)?;
    let key = keys.find(&key).ok_or(TokenFault::KeyUnknown)?;
    let trusted = PublicToken::verify(key, &token, None, None).map_err(|_| TokenFault::Signature)?;
    Claims::parse(trusted.payload())
}

/// The ledger's name for a token: the first 16 bytes of its digest.
fn reference(digest: &[u8; 32]) -> Reference {
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    // Nobody finds a token with the digest 0, which would be no name.
    Reference(u128::from_le_bytes(first).max(1))
}

/// What a public key is to the library.
type PublicKey = pasetors::keys::AsymmetricPublicKey<V4>;
/// What a private key is to the library.
type SecretKey = pasetors::keys::AsymmetricSecretKey<V4>;

#[cfg(test)]
mod tests;
