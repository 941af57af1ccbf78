//! The other side of session tokens: who signs them. In a casino that is the service that players log in to, and nowhere near
//! the ledger.
//!
//! In: claims. Out: a token. Never here: a private key in a message or a log, a file.

use std::fmt;

use pasetors::keys::{AsymmetricKeyPair, Generate};
use pasetors::version4::PublicToken;

use super::claims::Footer;
use super::{Claims, PublicKey, SecretKey};

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The library has none: there is no randomness.
    #[error("cannot make a key: {0}")]
    Make(String),
    /// The bytes are no private key.
    #[error("expected the 64 bytes of an Ed25519 private key with its public half")]
    NoKey,
}

/// Who signs tokens.
pub struct Signer {
    name: String,
    secret: SecretKey,
    public: PublicKey,
}

impl Signer {
    /// One with a new key of this name.
    ///
    /// # Errors
    /// [`KeyError::Make`] if there is no randomness.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let pair = AsymmetricKeyPair::generate().map_err(|reason| KeyError::Make(reason.to_string()))?;
        Ok(Self { name: name.to_owned(), secret: pair.secret, public: pair.public })
    }

    /// One with a key of this name that was kept.
    ///
    /// # Errors
    /// [`KeyError::NoKey`] if the bytes are none.
    pub fn from_secret(name: &str, secret: &[u8]) -> Result<Self, KeyError> {
        let secret = SecretKey::from(secret).map_err(|_| KeyError::NoKey)?;
        let public = PublicKey::try_from(&secret).map_err(|_| KeyError::NoKey)?;
        Ok(Self { name: name.to_owned(), secret, public })
    }

    /// The key's name, which its tokens carry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a server has to know of the key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The private key, to be kept where nobody else can read it.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// Signs.
    ///
    /// # Panics
    /// Never: a payload and a key that the library accepted can be signed.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        self.sign_payload(&claims.payload())
    }

    /// Signs whatever it is given: for tests of what is refused.
    ///
    /// # Panics
    /// If the payload is empty.
    #[must_use]
    pub fn sign_payload(&self, payload: &str) -> String {
        let footer = serde_json::json!(Footer { kid: self.name.clone() }).to_string();
        let signed = PublicToken::sign(&self.secret, payload.as_bytes(), Some(footer.as_bytes()), None);
        signed.unwrap_or_else(|_| unreachable!("a payload that is not empty can be signed"))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.name)
    }
}
