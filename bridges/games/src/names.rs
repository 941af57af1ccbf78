//! Names of the outside as keys of the ledger.
//!
//! In: a provider's number and its own names for transactions and rounds. Out: 128-bit keys. Never here: two facts with
//! one key: each key says what it is of, and its parts do not run together.

use cage_client::permanent_key;
use cage_engine::{PlayerId, Reference, RequestId, SessionId, Timestamp};

fn reference(provider: u16, what: &str, parts: &[&[u8]]) -> Reference {
    let number = provider.to_le_bytes();
    let mut all: Vec<&[u8]> = vec![b"games", &number, what.as_bytes()];
    all.extend_from_slice(parts);
    Reference(permanent_key(&all).0)
}

/// A provider's bet or win.
#[must_use]
pub fn transaction(provider: u16, name: &str) -> Reference {
    reference(provider, "transaction", &[name.as_bytes()])
}

/// The cancel of a transaction, by a provider that has no name of its own for cancels.
#[must_use]
pub fn cancel_of(provider: u16, name: &str) -> Reference {
    reference(provider, "cancel", &[name.as_bytes()])
}

/// A provider's round. At a live table many players play one round; the ledger's rounds are of one player each.
#[must_use]
pub fn round(provider: u16, player: PlayerId, name: &str) -> Reference {
    reference(provider, "round", &[&player.number().to_le_bytes(), name.as_bytes()])
}

/// A name that a provider behind an aggregator gave, among all those of the aggregator's.
#[must_use]
pub fn of_brand(brand: &str, name: &str) -> String {
    format!("{brand}:{name}")
}

/// The permanent key of a prize.
#[must_use]
pub fn prize(provider: u16, name: &str) -> RequestId {
    permanent_key(&[b"promo_credit", &provider.to_le_bytes(), name.as_bytes()])
}

/// The permanent key of a jackpot win.
#[must_use]
pub fn jackpot(provider: u16, name: &str) -> RequestId {
    permanent_key(&[b"jackpot_win", &provider.to_le_bytes(), name.as_bytes()])
}

/// The name that a provider that is called knows a player's session by: it says nothing of the player.
#[must_use]
pub fn alias(provider: u16, player: PlayerId, session: SessionId) -> String {
    let parts = [&player.number().to_le_bytes()[..], &session.0.to_le_bytes()[..]];
    reference(provider, "alias", &parts).to_string()
}

/// What a bet's request id carries of the provider's own name for the bet, when wins refer to that and not to the
/// transaction: the lower 32 bits. The log then says all that is needed to find the bet again.
#[must_use]
pub fn tag(name: &str) -> u32 {
    let bytes = permanent_key(&[b"games", b"tag", name.as_bytes()]).0.to_le_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// A request id of this time with a tag in it.
#[must_use]
pub fn tagged_id(time: Timestamp, random: u128, tag: u32) -> RequestId {
    let mask = u128::from(u32::MAX);
    RequestId::from_time(time, (random & !mask) | u128::from(tag))
}

/// The tag in a request id.
#[must_use]
pub const fn tag_of(id: RequestId) -> u32 {
    id.0 as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_different_things_have_different_keys() {
        let player = PlayerId::from_index(0);
        let keys = [
            transaction(1, "a").0,
            transaction(2, "a").0,
            cancel_of(1, "a").0,
            round(1, player, "a").0,
            round(1, PlayerId::from_index(1), "a").0,
            prize(1, "a").0,
            jackpot(1, "a").0,
        ];
        let mut different = keys.to_vec();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn a_tag_is_found_again_in_the_id_and_the_time_with_it() {
        let time = Timestamp::from_millis(1_767_322_800_123);
        let id = tagged_id(time, u128::MAX, 0xdead_beef);
        assert_eq!((tag_of(id), id.time()), (0xdead_beef, time));
    }
}
