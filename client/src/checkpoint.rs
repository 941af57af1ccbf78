//! Checkpoints on the client's side: is this one signed by the ledger's key, and does it fit what was seen before?
//!
//! In: the public key, checkpoints as they come. Out: those that hold. Never here: a private key.

use std::fmt;
use std::path::{Path, PathBuf};

use cage_protocol::SignedCheckpoint;
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

/// An Ed25519 key in the form of X.509 (RFC 8410): this, then its 32 bytes.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The public key that a ledger's checkpoints are signed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CheckpointKey([u8; 32]);

/// Why a file gives no public key.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointKeyError {
    /// It cannot be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no key.
    #[error("{path}: expected an Ed25519 public key as 64 hexadecimal digits or as PEM", path = path.display())]
    NoKey {
        /// Which.
        path: PathBuf,
    },
}

impl CheckpointKey {
    /// The key of these 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a key from text: 64 hexadecimal digits, or PEM.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with("-----BEGIN ") {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).ok()?;
            return der.strip_prefix(&SPKI)?.try_into().ok().map(Self);
        }
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Reads a key from a file.
    ///
    /// # Errors
    /// [`CheckpointKeyError`] if there is none in it.
    pub fn read(path: &Path) -> Result<Self, CheckpointKeyError> {
        let path = path.to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).ok_or(CheckpointKeyError::NoKey { path }),
            Err(source) => Err(CheckpointKeyError::File { path, source }),
        }
    }

    /// The key in the form of X.509, as PEM files hold it.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        [SPKI.as_slice(), &self.0].concat()
    }

    /// The number by which a checkpoint names it.
    #[must_use]
    pub fn id(&self) -> u64 {
        let hash = blake3::hash(&self.0);
        u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 8]))
    }

    /// Whether this key signed the checkpoint.
    #[must_use]
    pub fn verifies(&self, signed: &SignedCheckpoint) -> bool {
        let bytes = signed.checkpoint.signed_bytes();
        signed.checkpoint.key == self.id()
            && UnparsedPublicKey::new(&ED25519, &self.0).verify(&bytes, &signed.signature).is_ok()
    }
}

impl fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointKey({self})")
    }
}

/// Why a checkpoint that came is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// The bytes are none.
    #[error("it is of another format")]
    Format,
    /// Another key signed it, or its bytes were changed.
    #[error("its signature is not the ledger's")]
    Signature,
    /// It speaks of another log.
    #[error("it speaks of another log")]
    Log,
    /// It says something else of the same place than an earlier one.
    #[error("it contradicts an earlier one")]
    Contradiction,
}

/// Whether `next` can be true beside what was believed before. `log_id` is the log of the connection. Older ones may
/// come later, over another connection.
pub(crate) fn check(
    next: &SignedCheckpoint,
    before: Option<&SignedCheckpoint>,
    log_id: u128,
    key: Option<&CheckpointKey>,
) -> Result<(), BadCheckpoint> {
    if key.is_some_and(|key| !key.verifies(next)) {
        return Err(BadCheckpoint::Signature);
    }
    if next.checkpoint.log_id != log_id {
        return Err(BadCheckpoint::Log);
    }
    let Some(before) = before.map(|before| before.checkpoint) else { return Ok(()) };
    if next.checkpoint.lsn == before.lsn && next.checkpoint.chain_head != before.chain_head {
        return Err(BadCheckpoint::Contradiction);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cage_protocol::Checkpoint;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn signed(pair: &Ed25519KeyPair, lsn: u64, head: u8) -> (SignedCheckpoint, CheckpointKey) {
        let key = CheckpointKey(pair.public_key().as_ref().try_into().unwrap());
        let checkpoint = Checkpoint {
            log_id: 7,
            previous_lsn: 1,
            lsn,
            frames: 2,
            chain_head: [head; 32],
            root: [2; 32],
            digest_lsn: 0,
            digest: [0; 32],
            time: 3,
            key: key.id(),
        };
        let signature = pair.sign(&checkpoint.signed_bytes()).as_ref().try_into().unwrap();
        (SignedCheckpoint { checkpoint, signature }, key)
    }

    #[test]
    fn a_checkpoint_with_any_bit_changed_is_not_believed() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
        let (good, key) = signed(&pair, 5, 1);
        assert!(key.verifies(&good));
        let bytes = good.to_bytes();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes;
                bytes[at] ^= 1 << bit;
                let read = SignedCheckpoint::from_bytes(&bytes);
                assert!(!read.is_some_and(|read| key.verifies(&read)), "bit {bit} of byte {at}");
            }
        }
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        assert!(!key.verifies(&signed(&other, 5, 1).0), "another key");
    }

    #[test]
    fn what_contradicts_an_earlier_checkpoint_is_not_believed() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
        let (before, key) = signed(&pair, 5, 1);
        let follows = |lsn, head, log| check(&signed(&pair, lsn, head).0, Some(&before), log, Some(&key));
        assert_eq!(follows(6, 2, 7), Ok(()));
        assert_eq!(follows(5, 1, 7), Ok(()), "the same once more, after a reconnect");
        assert_eq!(follows(5, 2, 7), Err(BadCheckpoint::Contradiction), "another past at the same place");
        assert_eq!(follows(4, 1, 7), Ok(()), "an older one, over a slower connection");
        assert_eq!(follows(6, 2, 8), Err(BadCheckpoint::Log));
        let other = CheckpointKey([3; 32]);
        assert_eq!(check(&before, None, 7, Some(&other)), Err(BadCheckpoint::Signature));
        assert_eq!(check(&before, None, 7, None), Ok(()), "without a key it is taken as it is");
    }

    #[test]
    fn a_key_is_read_from_digits_and_from_pem_and_from_nothing_else() {
        let key = CheckpointKey([0xa7; 32]);
        assert_eq!(CheckpointKey::parse(&format!(" {key}\n")), Some(key));
        // The example of RFC 8410, 10.1.
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let read = CheckpointKey::parse(pem).unwrap();
        assert_eq!(read.to_string(), "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        assert_eq!(CheckpointKey::parse(&"a".repeat(63)), None);
        assert_eq!(CheckpointKey::parse(&"g".repeat(64)), None);
        assert_eq!(CheckpointKey::parse(&pem.replace("MCow", "MCox")), None);
    }
}
