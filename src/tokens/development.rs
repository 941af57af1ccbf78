//! The other side of session tokens, for development: a key pair that a first start makes, and who signs with it.
//!
//! In a casino the private key is with the service that players log in to, and nowhere near the ledger. Never here:
//! a private key in a message or a log.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use pasetors::keys::{AsymmetricKeyPair, Generate};
use pasetors::version4::PublicToken;

use super::claims::Footer;
use super::keys::{PUBLIC, unhex};
use super::{Claims, KeysError, PublicKey, SecretKey};

/// The development key's name.
const DEVELOPMENT: &str = "dev";
/// What files of private keys end with.
const PRIVATE: &str = "key";

/// Makes a development key pair in `dir` unless the folder is there already.
///
/// # Errors
/// [`KeysError`] if it cannot be written.
pub fn ensure_development_keys(dir: &Path) -> Result<(), KeysError> {
    if dir.exists() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| KeysError::File { path: dir.to_owned(), source })?;
    let signer = Signer::generate(DEVELOPMENT)?;
    write(dir, DEVELOPMENT, PRIVATE, signer.secret.as_bytes())?;
    signer.publish(dir)
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
    /// [`KeysError`] if there is no randomness.
    pub fn generate(name: &str) -> Result<Self, KeysError> {
        let pair = AsymmetricKeyPair::generate().map_err(|reason| KeysError::Make(reason.to_string()))?;
        Ok(Self { name: name.to_owned(), secret: pair.secret, public: pair.public })
    }

    /// The one whose key a development server made in `dir`.
    ///
    /// # Errors
    /// [`KeysError`] if it cannot be read.
    pub fn development(dir: &Path) -> Result<Self, KeysError> {
        let path = dir.join(format!("{DEVELOPMENT}.{PRIVATE}"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(KeysError::File { path, source }),
        };
        let secret = unhex(text.trim()).and_then(|bytes| SecretKey::from(&bytes).ok());
        let secret = secret.ok_or(KeysError::NoKey { path })?;
        let public = PublicKey::try_from(&secret).map_err(|reason| KeysError::Make(reason.to_string()))?;
        Ok(Self { name: DEVELOPMENT.to_owned(), secret, public })
    }

    /// Writes the public key where a server looks for it.
    ///
    /// # Errors
    /// [`KeysError`] if it cannot be written.
    pub fn publish(&self, dir: &Path) -> Result<(), KeysError> {
        write(dir, &self.name, PUBLIC, self.public.as_bytes())
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

fn write(dir: &Path, name: &str, end: &str, key: &[u8]) -> Result<(), KeysError> {
    let path = dir.join(format!("{name}.{end}"));
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&path)
        .and_then(|mut file| writeln!(file, "{text}"))
        .map_err(|source| KeysError::File { path, source })
}
