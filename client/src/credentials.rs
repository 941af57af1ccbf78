//! Certificates and keys, by their files.
//!
//! In: a folder with `ca.pem`, `NAME.pem` and `NAME.key`. Out: what TLS needs of them. Never here: a private key in
//! a message or in `Debug` output.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Why credentials cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{path}: no {what} in it (expected PEM)", path = path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
}

/// A certificate and its private key.
pub struct Pair {
    /// The certificate, then those between it and the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Pair {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Who a client is, and whose servers it trusts.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The authority that signs this ledger's servers.
    pub authority: CertificateDer<'static>,
    /// The client's own certificate and key.
    pub pair: Pair,
}

impl Credentials {
    /// The credentials called `name` in a folder: `ca.pem`, `NAME.pem`, `NAME.key`.
    ///
    /// # Errors
    /// [`CredentialsError`] with the file that is missing or unusable.
    pub fn from_dir(dir: &Path, name: &str) -> Result<Self, CredentialsError> {
        Ok(Self { authority: load_authority(dir)?, pair: load_pair(dir, name)? })
    }
}

/// The certificate authority's certificate in a folder: `ca.pem`.
///
/// # Errors
/// [`CredentialsError`] if it is missing or unusable.
pub fn load_authority(dir: &Path) -> Result<CertificateDer<'static>, CredentialsError> {
    let path = dir.join("ca.pem");
    CertificateDer::from_pem_slice(&read(&path)?)
        .map_err(|_| CredentialsError::Pem { path, what: "certificate" })
}

/// The certificate and key called `name` in a folder: `NAME.pem`, `NAME.key`.
///
/// # Errors
/// [`CredentialsError`] if one of them is missing or unusable.
pub fn load_pair(dir: &Path, name: &str) -> Result<Pair, CredentialsError> {
    let path = dir.join(format!("{name}.pem"));
    let chain =
        CertificateDer::pem_slice_iter(&read(&path)?).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(CredentialsError::Pem { path, what: "certificate" });
    }
    let path = dir.join(format!("{name}.key"));
    let key = PrivateKeyDer::from_pem_slice(&read(&path)?)
        .map_err(|_| CredentialsError::Pem { path, what: "private key" })?;
    Ok(Pair { chain, key })
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    fs::read(path).map_err(|source| CredentialsError::File { path: path.to_owned(), source })
}
