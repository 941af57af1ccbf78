//! A digest of the whole state, the same for the same books whatever way the tables grew.
//!
//! Each table is hashed in an order that the log determines: players and assets by their numbers, holds and house
//! accounts by their ids, remembered ids in log order. Cost: one pass over everything (readers, drains).

use alloc::vec::Vec;

use super::State;
use super::players::PURSES;
use super::rows::Stage;
use crate::account::AccountId;
use crate::amount::Amount;
use crate::field::{LockReason, Rule};
use crate::id::{AssetId, GameId, Lsn, PlayerId, Reference, RequestId, SessionId};
use crate::operation::Settings;
use crate::role::Role;
use crate::time::Timestamp;

/// So many bytes are collected before they are hashed. BLAKE3 hashes what it gets in one piece many times as fast as
/// the same bytes word by word: it takes up to sixteen of its 1 KiB chunks side by side.
const PIECE_BYTES: usize = 64 << 10;

/// The digest in the making.
#[derive(Debug)]
pub(crate) struct Hasher {
    hashed: blake3::Hasher,
    waiting: Vec<u8>,
}

impl Hasher {
    fn new() -> Self {
        Self { hashed: blake3::Hasher::new(), waiting: Vec::with_capacity(PIECE_BYTES) }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > PIECE_BYTES {
            self.hash_waiting();
        }
        self.waiting.extend_from_slice(bytes);
    }

    fn hash_waiting(&mut self) {
        self.hashed.update(&self.waiting);
        self.waiting.clear();
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes(&value.to_le_bytes());
    }

    /// Tables are told apart by name and length, so that no two states share their bytes.
    pub(crate) fn table(&mut self, name: &str, len: u64) {
        self.bytes(name.as_bytes());
        self.u64(len);
    }

    fn finish(mut self) -> [u8; 32] {
        self.hash_waiting();
        *self.hashed.finalize().as_bytes()
    }
}

/// What a digest can take in.
pub(crate) trait Fed {
    fn feed(&self, hasher: &mut Hasher);
}

macro_rules! fed {
    ($(|$value:ident: $type:ty| $number:expr;)+) => {$(
        impl Fed for $type {
            fn feed(&self, hasher: &mut Hasher) {
                let $value = self;
                hasher.u64(u64::from($number));
            }
        }
    )+};
}

fed! {
    |value: bool| *value;
    |value: u16| *value;
    |value: u32| *value;
    |value: u64| *value;
    |value: Lsn| value.0;
    |value: PlayerId| value.number();
    |value: AssetId| value.0;
    |value: GameId| value.0;
    |value: SessionId| value.0;
    |value: Timestamp| value.0;
    |value: LockReason| *value as u8;
    |value: Rule| *value as u16;
    |value: Role| *value as u8;
    |value: Stage| *value as u8;
}

macro_rules! fed_wide {
    ($(|$value:ident: $type:ty| $number:expr;)+) => {$(
        impl Fed for $type {
            fn feed(&self, hasher: &mut Hasher) {
                let $value = self;
                hasher.u128($number);
            }
        }
    )+};
}

fed_wide! {
    |value: u128| *value;
    |value: RequestId| value.0;
    |value: Reference| value.0;
    |value: Amount| value.0;
}

impl Fed for Option<Timestamp> {
    fn feed(&self, hasher: &mut Hasher) {
        hasher.u64(self.map_or(0, |at| at.0));
    }
}

impl Fed for Option<LockReason> {
    fn feed(&self, hasher: &mut Hasher) {
        hasher.u64(self.map_or(0, |reason| reason as u64));
    }
}

impl Fed for [u8; 32] {
    fn feed(&self, hasher: &mut Hasher) {
        hasher.bytes(self);
    }
}

impl<const N: usize> Fed for [u128; N] {
    fn feed(&self, hasher: &mut Hasher) {
        self.iter().for_each(|word| hasher.u128(*word));
    }
}

impl State {
    /// The digest of all that decisions depend on. BLAKE3 over the canonical order of each table.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Hasher::new();
        hasher.table("cage state 0", self.next_lsn.0);
        hasher.u64(self.clock.0);
        self.digest_settings(&mut hasher);
        self.digest_assets(&mut hasher);
        self.digest_players(&mut hasher);
        self.digest_house(&mut hasher);
        self.rows.digest(&mut hasher);
        hasher.u64(u64::from(self.last_session.0));
        hasher.u64(self.last_grant);
        self.digest_ids(&mut hasher);
        hasher.finish()
    }

    fn digest_settings(&self, hasher: &mut Hasher) {
        hasher.table("settings", u64::from(self.settings.is_some()));
        if let Some(settings) = self.settings {
            let Settings { ids_capacity, ids_retention_millis, holds_max, players_max, closed_wagers_max } =
                settings;
            for value in [ids_capacity, ids_retention_millis, holds_max, players_max, closed_wagers_max] {
                hasher.u64(value);
            }
        }
    }

    fn digest_assets(&self, hasher: &mut Hasher) {
        hasher.table("assets", self.assets.len() as u64);
        for asset in &self.assets {
            hasher.bytes(asset.code.bytes());
            hasher.u64(u64::from(asset.scale) << 1 | u64::from(asset.transfers));
            hasher.u128(asset.amount_max.0);
        }
    }

    fn digest_players(&self, hasher: &mut Hasher) {
        hasher.table("players", self.players.len() as u64);
        let mut holdings = Vec::new();
        for (id, player) in self.players.iter() {
            hasher.u128(player.caller_id.0);
            let facts = u64::from(player.brand) << 32 | u64::from(player.jurisdiction) << 8;
            hasher.u64(facts | player.class as u64);
            let status = u64::from(player.reason) << 8 | player.status as u64;
            let hold = u64::from(player.kyc_reason) << 8 | u64::from(player.kyc_held);
            hasher.u64(hold << 24 | status);
            hasher.u64(self.players.latest(id).0);
            holdings.clear();
            holdings.extend(self.players.holdings(id));
            holdings.sort_unstable();
            for (asset, purses) in &holdings {
                for (purse, held) in PURSES.into_iter().zip(purses).filter(|(_, held)| **held != 0) {
                    hasher.u64(AccountId::of_player(*asset, purse, id).0);
                    hasher.u128(*held);
                }
            }
        }
    }

    fn digest_house(&self, hasher: &mut Hasher) {
        let mut accounts: Vec<_> = self.house.iter().filter(|(_, held)| held.0 != 0).collect();
        accounts.sort_unstable();
        hasher.table("house", accounts.len() as u64);
        for (account, held) in accounts {
            hasher.u64(account.0);
            hasher.bytes(&held.0.to_le_bytes());
        }
    }

    fn digest_ids(&self, hasher: &mut Hasher) {
        let Some(ids) = &self.ids else { return };
        hasher.table("ids", ids.len());
        hasher.u64(ids.horizon().0);
        ids.ages().for_each(|age| hasher.u64(age));
        for entry in ids.iter() {
            let mut bytes = [0; 32];
            for (place, word) in bytes.chunks_exact_mut(8).zip(entry) {
                place.copy_from_slice(&word.to_le_bytes());
            }
            hasher.bytes(&bytes);
        }
        hasher.table("keys", self.keys.len() as u64);
        for (key, remembered) in self.keys.iter() {
            hasher.u128(key.0);
            hasher.u64(remembered.digest);
            hasher.u64(remembered.lsn.0);
        }
    }
}
