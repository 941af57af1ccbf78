//! Signatures over the bytes as they came.
//!
//! In: raw bytes and what a provider sent as their signature. Out: whether it is one. Never here: a body that was
//! parsed and written again, a key in a message.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No PEM of that kind.
    #[error("expected a PEM file with BEGIN {0}")]
    Pem(&'static str),
    /// The key in it does not do.
    #[error("no RSA key of 2048 to 8192 bits in it")]
    Rsa,
}

/// The DER inside a PEM text.
fn pem(text: &str, kind: &'static str) -> Result<Vec<u8>, KeyFault> {
    let begin = format!("-----BEGIN {kind}-----");
    let end = format!("-----END {kind}-----");
    let inside = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
    let (inside, _) = inside.ok_or(KeyFault::Pem(kind))?;
    let letters: String = inside.split_whitespace().collect();
    STANDARD.decode(letters).map_err(|_| KeyFault::Pem(kind))
}

/// The length of a DER element's content and where it begins.
fn content(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = bytes.iter().try_fold(0_usize, |sum, byte| {
            sum.checked_mul(256).and_then(|sum| sum.checked_add(usize::from(*byte)))
        });
        (length?, rest)
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

/// The `RSAPublicKey` inside a `SubjectPublicKeyInfo`, which is how public keys are handed around.
fn rsa_public_key(der: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let (info, _) = content(der, SEQUENCE)?;
    let (_, rest) = content(info, SEQUENCE)?;
    let (bits, _) = content(rest, BIT_STRING)?;
    bits.strip_prefix(&[0])
}

/// A provider's public RSA key: signatures are PKCS #1 v1.5 with SHA-256, in base64.
#[derive(Clone)]
pub struct RsaVerifier {
    key: UnparsedPublicKey<Vec<u8>>,
}

impl fmt::Debug for RsaVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaVerifier")
    }
}

impl RsaVerifier {
    /// From a PEM text with a public key.
    ///
    /// # Errors
    /// [`KeyFault`] if there is none in it.
    pub fn from_pem(text: &str) -> Result<Self, KeyFault> {
        let der = pem(text, "PUBLIC KEY")?;
        let key = rsa_public_key(&der).ok_or(KeyFault::Rsa)?;
        Ok(Self { key: UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.to_vec()) })
    }

    /// Whether `signature` is one of `body`.
    #[must_use]
    pub fn accepts(&self, body: &[u8], signature: &[u8]) -> bool {
        STANDARD.decode(signature).is_ok_and(|signature| self.key.verify(body, &signature).is_ok())
    }
}

/// Our own RSA key, for what is sent to a provider.
pub struct RsaSigner {
    key: RsaKeyPair,
}

impl fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSigner")
    }
}

impl RsaSigner {
    /// From a PEM text with a PKCS #8 private key.
    ///
    /// # Errors
    /// [`KeyFault`] if there is none in it.
    pub fn from_pem(text: &str) -> Result<Self, KeyFault> {
        let der = pem(text, "PRIVATE KEY")?;
        Ok(Self { key: RsaKeyPair::from_pkcs8(&der).map_err(|_| KeyFault::Rsa)? })
    }

    /// The signature of `body`, in base64; nothing if the machine has no randomness.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> Option<String> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), body, &mut signature).ok()?;
        Some(STANDARD.encode(signature))
    }
}

/// A secret that both sides know: signatures are HMAC-SHA256, in lowercase hexadecimal.
#[derive(Clone)]
pub struct SharedSecret {
    key: hmac::Key,
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

impl SharedSecret {
    /// From the secret's bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// The signature of `body`, in hexadecimal.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> String {
        hex(hmac::sign(&self.key, body).as_ref())
    }

    /// Whether `signature` is one of `body`.
    #[must_use]
    pub fn accepts(&self, body: &[u8], signature: &[u8]) -> bool {
        unhex(signature).is_some_and(|signature| hmac::verify(&self.key, body, &signature).is_ok())
    }

    pub(crate) fn mac(&self, parts: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.key, parts).as_ref());
        mac
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    // The library compares digests so.
    blake3::hash(one) == blake3::hash(other)
}

/// Bytes as lowercase hexadecimal text.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lowercase hexadecimal text as bytes.
#[must_use]
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of 227 bytes and its signature, worked out by another program.
    #[test]
    fn a_shared_secret_signs_as_the_golden_vector_says() {
        let body = br#"{"session_id":"s-7f3a","user_id":"p-1001","currency":"EUR","game":"acme:DragonReel","game_id":"r-5001","finished":true,"actions":[{"action":"bet","action_id":"a-1","amount":250},{"action":"win","action_id":"a-2","amount":700}]}"#;
        let secret = SharedSecret::new(b"gcp-test-secret");
        assert_eq!(body.len(), 227);
        let signature = "ec2f67c7c3429899f78ad7af9091f0af218ffc12dc27e55eebd9aead8801cfba";
        assert_eq!(secret.sign(body), signature);
        assert!(secret.accepts(body, signature.as_bytes()));
        assert!(!secret.accepts(&body[1..], signature.as_bytes()));
        assert!(!secret.accepts(body, signature.to_uppercase().as_bytes()), "one way to write it");
        assert!(!secret.accepts(body, b""));
    }

    #[test]
    fn hexadecimal_text_is_whole_and_lowercase() {
        assert_eq!(unhex(b"00ff"), Some(vec![0, 255]));
        assert_eq!(unhex(b"0"), None);
        assert_eq!(unhex(b"0F"), None);
        assert_eq!(unhex("é0".as_bytes()), None);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(matches!(RsaVerifier::from_pem("x"), Err(KeyFault::Pem(_))));
        let empty = "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----";
        assert!(matches!(RsaVerifier::from_pem(empty), Err(KeyFault::Rsa)));
        let cut = "-----BEGIN PUBLIC KEY-----\nMIT/////\n-----END PUBLIC KEY-----";
        assert!(matches!(RsaVerifier::from_pem(cut), Err(KeyFault::Rsa)));
    }
}
