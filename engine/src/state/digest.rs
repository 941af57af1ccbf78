//! A digest of the whole state, the same for the same books whatever way the tables grew.
//!
//! Each table is hashed in an order that the log determines: players and assets by their numbers, holds and house
//! accounts by their ids, remembered ids in log order. Cost: one pass over everything (readers, drains).

use alloc::vec::Vec;

use super::State;
use super::players::PURSES;
use crate::account::AccountId;
use crate::operation::Settings;

struct Hasher(blake3::Hasher);

impl Hasher {
    fn u64(&mut self, value: u64) {
        self.0.update(&value.to_le_bytes());
    }

    fn u128(&mut self, value: u128) {
        self.0.update(&value.to_le_bytes());
    }

    /// Tables are told apart by name and length, so that no two states share their bytes.
    fn table(&mut self, name: &str, len: u64) {
        self.0.update(name.as_bytes());
        self.u64(len);
    }
}

impl State {
    /// The digest of all that decisions depend on. BLAKE3 over the canonical order of each table.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Hasher(blake3::Hasher::new());
        hasher.table("cage state 0", self.next_lsn.0);
        hasher.u64(self.clock.0);
        self.digest_settings(&mut hasher);
        self.digest_assets(&mut hasher);
        self.digest_players(&mut hasher);
        self.digest_house(&mut hasher);
        self.digest_holds(&mut hasher);
        self.digest_ids(&mut hasher);
        *hasher.0.finalize().as_bytes()
    }

    fn digest_settings(&self, hasher: &mut Hasher) {
        hasher.table("settings", u64::from(self.settings.is_some()));
        if let Some(settings) = self.settings {
            let Settings { ids_capacity, ids_retention_millis, holds_max, players_max } = settings;
            for value in [ids_capacity, ids_retention_millis, holds_max, players_max] {
                hasher.u64(value);
            }
        }
    }

    fn digest_assets(&self, hasher: &mut Hasher) {
        hasher.table("assets", self.assets.len() as u64);
        for asset in &self.assets {
            hasher.0.update(asset.code.bytes());
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
            hasher.0.update(&held.0.to_le_bytes());
        }
    }

    fn digest_holds(&self, hasher: &mut Hasher) {
        let mut holds: Vec<_> = self.holds.iter().collect();
        holds.sort_unstable_by_key(|hold| hold.id);
        hasher.table("holds", holds.len() as u64);
        for hold in holds {
            hasher.u128(hold.id.0);
            hasher.u64(hold.opened.0);
            hasher.u64(hold.player.number());
            hasher.u64(u64::from(hold.asset.0) << 32 | u64::from(hold.game.0));
            hasher.u64(hold.deadline.map_or(0, |deadline| deadline.0));
            hasher.u128(hold.remaining.0);
            hasher.u128(hold.payout_left.0);
            hasher.u64(u64::from(hold.settled_in_part));
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
            hasher.0.update(&bytes);
        }
        hasher.table("keys", self.keys.iter().count() as u64);
        for (key, remembered) in self.keys.iter() {
            hasher.u128(key.0);
            hasher.u64(remembered.digest);
            hasher.u64(remembered.lsn.0);
        }
    }
}
