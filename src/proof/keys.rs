//! The key that checkpoints are signed with: a PEM file that only its owner may read.
//!
//! In: a file. Out: signatures, and the public key. Never here: the private key in a message, a log, or a file that
//! others can read.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cage_client::CheckpointKey;
use cage_protocol::{Checkpoint, SignedCheckpoint};
use rcgen::PKCS_ED25519;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

/// What files of public keys end with, behind the name of the private one.
pub const PUBLIC: &str = "pub";
/// The name of the development key, in the folder of certificates.
pub const DEVELOPMENT_KEY: &str = "checkpoint.key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "{path}: mode {mode:04o} lets others read the key that signs checkpoints: chmod 600 it",
        path = path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds no key.
    #[error(
        "{path}: expected an Ed25519 private key in PEM (PKCS#8), as cage checkpoint-key --new makes it",
        path = path.display()
    )]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// A key could not be made.
    #[error("cannot make a key: {0}")]
    Make(#[from] rcgen::Error),
}

/// The key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: CheckpointKey,
}

impl SigningKey {
    /// Reads the key from a PEM file of mode 0600.
    ///
    /// # Errors
    /// [`KeyError`] if it cannot be read, if others can read it, or if it holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let path = path.to_owned();
        let mode = match fs::metadata(&path) {
            Ok(metadata) => metadata.permissions().mode() & 0o777,
            Err(source) => return Err(KeyError::File { path, source }),
        };
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path, mode });
        }
        let pem = match fs::read(&path) {
            Ok(pem) => pem,
            Err(source) => return Err(KeyError::File { path, source }),
        };
        Self::parse(&pem).ok_or(KeyError::NoKey { path })
    }

    fn parse(pem: &[u8]) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        // Other programs write keys without the public half; it follows from the private one.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok()?;
        let public = CheckpointKey::from_bytes(pair.public_key().as_ref().try_into().ok()?);
        Some(Self { pair, public })
    }

    /// Makes a new key in `path`, and its public half beside it. An existing file is never written over.
    ///
    /// # Errors
    /// [`KeyError`] if the files cannot be written.
    pub fn create(path: &Path) -> Result<(), KeyError> {
        let pair = rcgen::KeyPair::generate_for(&PKCS_ED25519)?;
        write_new(path, &pair.serialize_pem(), 0o600)?;
        write_new(&public_path(path), &pair.public_key_pem(), 0o644)?;
        // Their names too: a loss of power must not take away the key of what was signed meanwhile.
        super::sync_folder_of(path).map_err(|source| KeyError::File { path: path.to_owned(), source })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &CheckpointKey {
        &self.public
    }

    /// Signs a checkpoint, which then names this key.
    #[must_use]
    pub fn sign(&self, checkpoint: Checkpoint) -> SignedCheckpoint {
        let checkpoint = Checkpoint { key: self.public.id(), ..checkpoint };
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&checkpoint.signed_bytes()).as_ref());
        SignedCheckpoint { checkpoint, signature }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

/// Where the public half of a key is written.
#[must_use]
pub fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(PUBLIC);
    name.into()
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|source| KeyError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            log_id: 1,
            previous_lsn: 0,
            lsn: 2,
            frames: 1,
            chain_head: [3; 32],
            root: [4; 32],
            digest_lsn: 0,
            digest: [0; 32],
            time: 5,
            key: 0,
        }
    }

    #[test]
    fn a_key_signs_what_its_public_file_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint.key");
        SigningKey::create(&path).unwrap();
        let key = SigningKey::read(&path).unwrap();
        let public = CheckpointKey::read(&public_path(&path)).unwrap();
        assert!(public.verifies(&key.sign(checkpoint())));
        assert!(matches!(SigningKey::create(&path), Err(KeyError::File { .. })), "never written over");
        assert_eq!(format!("{key:?}"), format!("SigningKey({public})"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint.key");
        SigningKey::create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(SigningKey::read(&path), Err(KeyError::Open { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(SigningKey::read(&path).is_ok());
        let public = public_path(&path);
        fs::set_permissions(&public, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(SigningKey::read(&public), Err(KeyError::NoKey { .. })));
    }

    /// The example of RFC 8410, 10.3: a key without its public half, as OpenSSL writes it.
    #[test]
    fn a_key_of_another_program_is_read() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let key = SigningKey::parse(pem.as_bytes()).unwrap();
        let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        assert_eq!(key.public().to_string(), public);
    }
}
