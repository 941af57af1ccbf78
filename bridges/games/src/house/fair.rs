//! Outcomes that can be checked: HMAC-SHA256, keyed by the server's seed, over the player's seed, a nonce and a counter.
//!
//! In: seeds and a nonce. Out: 32 bits of chance. The server's seed is committed to by its SHA-256 before it is used, and
//! revealed when it is used no more. Never here: a float, randomness of its own.

use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::signature::hex;

/// The letters of a server's seed: 32 bytes in lowercase hexadecimal. The key is the text itself, as is the custom.
pub const SERVER_SEED_LETTERS: usize = 64;
/// The longest seed of a player's, in bytes.
pub const CLIENT_SEED_BYTES_MAX: usize = 64;

/// What a server's seed is announced as before it is used.
#[must_use]
pub fn commitment(server_seed: &str) -> String {
    hex(digest(&SHA256, server_seed.as_bytes()).as_ref())
}

/// The first 32 bits of chance of a bet: the first four bytes, the first one the greatest.
#[must_use]
pub fn chance(server_seed: &str, client_seed: &str, nonce: u64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, server_seed.as_bytes());
    let tag = hmac::sign(&key, format!("{client_seed}:{nonce}:0").as_bytes());
    tag.as_ref().iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// Whether a text can be a server's seed.
#[must_use]
pub fn is_server_seed(text: &str) -> bool {
    text.len() == SERVER_SEED_LETTERS && crate::signature::unhex(text.as_bytes()).is_some()
}

/// Whether a text can be a player's seed.
#[must_use]
pub fn is_client_seed(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=CLIENT_SEED_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_as_the_published_formula_says() {
        let seed: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        let hash = "6c86c6aac5fb24bcf5d9939cb7d7d5645ce39418f449e03b262dd4fa14b4b92b";
        assert_eq!(commitment(&seed), hash);
        assert_eq!(chance(&seed, "my-client-seed", 1), 0x1300_e16f);
        assert_ne!(chance(&seed, "my-client-seed", 2), 0x1300_e16f);
        assert!(is_server_seed(&seed) && !is_server_seed(&seed.to_uppercase().replace('0', "A")));
        assert!(is_client_seed("my-client-seed") && !is_client_seed("a:b") && !is_client_seed(""));
    }
}
