//! The public keys that session tokens are signed for: files `KID.pub` in a folder.
//!
//! In: the folder. Out: the key of a name. Several keys at once are how they are changed: the new one is added, the
//! casino signs with it, the old one is taken away; a running server follows by itself. Never here: a private key.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use cage_client::tokens::PublicKey;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use crate::limits::SESSION_KEYS_MAX;

/// What files of public keys end with.
pub(super) const PUBLIC: &str = "pub";
/// An Ed25519 key in the form of X.509 (RFC 8410): this, then its 32 bytes.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file or the folder cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no key.
    #[error("{path}: expected an Ed25519 key as 64 hexadecimal digits or as PEM", path = path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// There are more than anybody needs.
    #[error("{path}: more than {SESSION_KEYS_MAX} keys", path = path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// A key could not be made.
    #[error("cannot make a key: {0}")]
    Make(String),
}

/// What tells one reading of the folder from another: each file's name, time and length.
type Seen = Vec<(String, Option<SystemTime>, u64)>;

/// The keys of a folder.
#[derive(Debug)]
pub struct Keys {
    dir: PathBuf,
    keys: HashMap<String, PublicKey>,
    seen: Seen,
    looked: Instant,
    readings: u64,
}

impl Keys {
    /// Reads the keys in `dir`; there are none if it is not there.
    ///
    /// # Errors
    /// [`KeysError`] for the first file that cannot be read.
    pub fn open(dir: &Path) -> Result<Self, KeysError> {
        let seen = list(dir)?;
        let keys = read(dir, &seen)?;
        Ok(Self { dir: dir.to_owned(), keys, seen, looked: Instant::now(), readings: 1 })
    }

    /// How many times the keys were read: another number, other keys.
    #[must_use]
    pub const fn readings(&self) -> u64 {
        self.readings
    }

    /// Looks at the folder again if the last time is so long ago.
    pub(super) fn look_every(&mut self, pause: Duration) {
        if self.looked.elapsed() >= pause {
            self.look();
        }
    }

    /// The key of this name. One that is not known may have been added just now.
    pub(super) fn find(&mut self, name: &str) -> Option<&PublicKey> {
        if !self.keys.contains_key(name) {
            self.look();
        }
        self.keys.get(name)
    }

    /// Reads the keys again if the folder has changed. What cannot be read changes nothing: half of a key may be
    /// written by now, and the other half the next time.
    fn look(&mut self) {
        self.looked = Instant::now();
        let seen = match list(&self.dir) {
            Ok(seen) if seen != self.seen => seen,
            Ok(_) => return,
            Err(reason) => return tracing::warn!(%reason, "session keys"),
        };
        match read(&self.dir, &seen) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "session keys read again");
                (self.keys, self.seen) = (keys, seen);
                self.readings += 1;
            }
            Err(reason) => tracing::warn!(%reason, "session keys: those read before stay in force"),
        }
    }
}

/// The public keys of a folder, by name, time and length.
fn list(dir: &Path) -> Result<Seen, KeysError> {
    let file = |source| KeysError::File { path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => return Ok(Seen::new()),
        entries => entries.map_err(file)?,
    };
    let mut seen = Seen::new();
    for entry in entries {
        let entry = entry.map_err(file)?;
        let path = PathBuf::from(entry.file_name());
        let name = path.file_stem().and_then(|name| name.to_str());
        let Some(name) = name.filter(|_| path.extension().is_some_and(|end| end == PUBLIC)) else { continue };
        let metadata = entry.metadata().map_err(file)?;
        seen.push((name.to_owned(), metadata.modified().ok(), metadata.len()));
        if seen.len() > SESSION_KEYS_MAX {
            return Err(KeysError::TooMany { path: dir.to_owned() });
        }
    }
    seen.sort_unstable();
    Ok(seen)
}

fn read(dir: &Path, seen: &Seen) -> Result<HashMap<String, PublicKey>, KeysError> {
    let read = |(name, ..): &(String, _, _)| {
        let path = dir.join(format!("{name}.{PUBLIC}"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(KeysError::File { path, source }),
        };
        let key = parse(&text).ok_or(KeysError::NoKey { path })?;
        Ok((name.clone(), key))
    };
    seen.iter().map(read).collect()
}

fn parse(text: &str) -> Option<PublicKey> {
    let text = text.trim();
    let bytes = if text.starts_with("-----BEGIN ") {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).ok()?;
        der.strip_prefix(&SPKI)?.to_vec()
    } else {
        unhex(text)?
    };
    PublicKey::from(&bytes).ok()
}

/// Bytes from hexadecimal text.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |digits: &[u8]| match digits {
        [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        }
        _ => None,
    };
    digits.map(byte).collect()
}
