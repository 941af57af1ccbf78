//! The other side of session tokens, for development: a key pair that a first start makes.
//!
//! In a casino the private key is with the service that players log in to, and nowhere near the ledger. Never here:
//! a private key in a message or a log.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use cage_client::tokens::Signer;

use super::KeysError;
use super::keys::{PUBLIC, unhex};

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
    let signer = Signer::generate(DEVELOPMENT).map_err(|reason| KeysError::Make(reason.to_string()))?;
    write(dir, DEVELOPMENT, PRIVATE, signer.secret())?;
    publish(&signer, dir)
}

/// The signer whose key a development server made in `dir`.
///
/// # Errors
/// [`KeysError`] if it cannot be read.
pub fn development_signer(dir: &Path) -> Result<Signer, KeysError> {
    let path = dir.join(format!("{DEVELOPMENT}.{PRIVATE}"));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(KeysError::File { path, source }),
    };
    let secret = unhex(text.trim());
    secret.and_then(|secret| Signer::from_secret(DEVELOPMENT, &secret).ok()).ok_or(KeysError::NoKey { path })
}

/// Writes a signer's public key where a server looks for it.
///
/// # Errors
/// [`KeysError`] if it cannot be written.
pub fn publish(signer: &Signer, dir: &Path) -> Result<(), KeysError> {
    write(dir, signer.name(), PUBLIC, signer.public().as_bytes())
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
