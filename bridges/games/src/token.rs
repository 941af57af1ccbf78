//! The token that a provider holds for a player's session: a name of the session that only this bridge can make.
//!
//! In: a session, its player, a secret. Out: 36 letters, and back. Nothing is kept: whether the session still lives is
//! the ledger's to say. Never here: a balance, a player's data, the secret in a message.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cage_engine::{PlayerId, SessionId};

use crate::signature::{SharedSecret, same};

const SESSION_BYTES: usize = 4;
const PLAYER_BYTES: usize = 6;
const NAME_BYTES: usize = SESSION_BYTES + PLAYER_BYTES + 1;
const MAC_BYTES: usize = 16;
/// The letters of a token.
pub const TOKEN_LETTERS: usize = (NAME_BYTES + MAC_BYTES) / 3 * 4;

/// What a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayerToken {
    /// Whose session.
    pub player: PlayerId,
    /// Which.
    pub session: SessionId,
    /// How often the token was changed for a new one.
    pub generation: u8,
}

impl PlayerToken {
    fn name(self) -> [u8; NAME_BYTES] {
        let mut name = [0; NAME_BYTES];
        name[..SESSION_BYTES].copy_from_slice(&self.session.0.to_le_bytes());
        // A player's number takes 35 bits.
        name[SESSION_BYTES..][..PLAYER_BYTES]
            .copy_from_slice(&self.player.number().to_le_bytes()[..PLAYER_BYTES]);
        name[NAME_BYTES - 1] = self.generation;
        name
    }

    fn mac(name: &[u8], provider: u16, secret: &SharedSecret) -> [u8; 32] {
        let mut signed = b"player token".to_vec();
        signed.extend_from_slice(&provider.to_le_bytes());
        signed.extend_from_slice(name);
        secret.mac(&signed)
    }

    /// The token's text for a provider.
    #[must_use]
    pub fn text(self, provider: u16, secret: &SharedSecret) -> String {
        let name = self.name();
        let mut bytes = name.to_vec();
        bytes.extend_from_slice(&Self::mac(&name, provider, secret)[..MAC_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a text names, if this bridge made it for this provider.
    #[must_use]
    pub fn read(text: &str, provider: u16, secret: &SharedSecret) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (name, mac) = bytes.split_at_checked(NAME_BYTES)?;
        if !same(&Self::mac(name, provider, secret)[..MAC_BYTES], mac) {
            return None;
        }
        let (session, rest) = name.split_first_chunk::<SESSION_BYTES>()?;
        let mut number = [0; 8];
        number[..PLAYER_BYTES].copy_from_slice(&rest[..PLAYER_BYTES]);
        let player = PlayerId::new(u64::from_le_bytes(number)).ok()?;
        let session = SessionId(u32::from_le_bytes(*session));
        Some(Self { player, session, generation: rest[PLAYER_BYTES] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_session_to_the_provider_it_was_made_for_and_to_nobody_else() {
        let secret = SharedSecret::new(b"secret");
        let player = PlayerId::from_index((PlayerId::COUNT_MAX - 1) as u32);
        let token = PlayerToken { player, session: SessionId(u32::MAX), generation: 3 };
        let text = token.text(7, &secret);
        assert_eq!(text.len(), TOKEN_LETTERS);
        assert_eq!(PlayerToken::read(&text, 7, &secret), Some(token));
        assert_eq!(PlayerToken::read(&text, 8, &secret), None, "another provider");
        assert_eq!(PlayerToken::read(&text, 7, &SharedSecret::new(b"other")), None);
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("letters");
            assert_eq!(PlayerToken::read(&forged, 7, &secret), None, "letter {at}");
        }
        assert_eq!(PlayerToken::read("", 7, &secret), None);
        assert_eq!(PlayerToken::read(&text[..8], 7, &secret), None);
    }
}
