//! Session tokens: what the casino signed. Servers and the [fake](crate::fake) read them here; casinos, and tests, sign them.
//!
//! In: a token's bytes, the keys that are known, the time; or claims to be signed. Out: what the session is to be, or that the token
//! is not valid. Never here: a file, a clock, a token or a part of one in a message or a log.

mod claims;
mod signer;

use cage_engine::{Operation, Reference, Timestamp};
use cage_protocol::TOKEN_BYTES_MAX;
use pasetors::Public;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};

pub use claims::Claims;
pub use signer::{KeyError, Signer};

/// What a public key is to the library.
pub type PublicKey = pasetors::keys::AsymmetricPublicKey<V4>;
/// What a private key is to the library.
type SecretKey = pasetors::keys::AsymmetricSecretKey<V4>;

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

/// What a token claims, if it is signed with a key that is known.
///
/// # Errors
/// [`TokenFault`] if it is not, or says something that no session can be.
pub fn verify<'a>(
    token: &[u8],
    key: impl FnOnce(&str) -> Option<&'a PublicKey>,
) -> Result<Claims, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenFault::TooLong);
    }
    let text = std::str::from_utf8(token).map_err(|_| TokenFault::Form)?;
    let token = UntrustedToken::<Public, V4>::try_from(text).map_err(|_| TokenFault::Form)?;
    let name = claims::key_id(token.untrusted_footer()).ok_or(TokenFault::NoKey)?;
    let key = key(&name).ok_or(TokenFault::KeyUnknown)?;
    let trusted = PublicToken::verify(key, &token, None, None).map_err(|_| TokenFault::Signature)?;
    Claims::parse(trusted.payload())
}

impl Claims {
    /// The operation that opens the session of a token with this digest, at `now`.
    ///
    /// # Errors
    /// [`TokenFault`] before its time and after it.
    pub fn opens(&self, digest: &[u8; 32], now: Timestamp) -> Result<Operation, TokenFault> {
        if self.not_before.is_some_and(|from| now < from) {
            return Err(TokenFault::TooEarly);
        }
        if self.expires <= now {
            return Err(TokenFault::Expired);
        }
        Ok(self.operation(reference(digest)))
    }
}

/// The ledger's name for a token: the first 16 bytes of its digest.
fn reference(digest: &[u8; 32]) -> Reference {
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    // Nobody finds a token with the digest 0, which would be no name.
    Reference(u128::from_le_bytes(first).max(1))
}
