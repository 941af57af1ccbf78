//! What stands behind players and house: tables, ids, keys. They can be read beside those.
//!
//! In: bytes that may be anything, and what the beginning of the image says. Out: tables with their indexes. Never here:
//! room for more entries than there are bytes.

use alloc::vec::Vec;

use super::read::Input;
use super::{ImageFault, PLACED_PLAYERS, Part};
use crate::amount::Balance;
use crate::field::Field;
use crate::id::{AssetId, Lsn, PlayerId, RequestId};
use crate::operation::{IDS_CAPACITY_MAX, Settings};
use crate::state::chunked::Chunked;
use crate::state::ids::{ENTRY_WORDS, Remembered, entry_is_valid};
use crate::state::keys::KEYS_MAX;
use crate::state::store::Rows;
use crate::state::table::{Row, Table};
use crate::state::{Ids, Keys};
use crate::time::Timestamp;

/// What the beginning of an image says of what comes behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) next_lsn: Lsn,
    pub(super) settings: Option<Settings>,
    pub(super) seed: u64,
}

/// All that stands behind players and house.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) rows: Rows,
    pub(super) ids: Option<Ids>,
    pub(super) keys: Keys,
}

/// Bytes of a player before the latest record: caller's id, brand, jurisdiction, class, status, reason, hold, its reason.
pub(super) const PLAYER_BYTES: usize = 16 + 2 + 2 + 1 + 1 + 2 + 1 + 2;
/// Bytes of an account of the house: its number, what it holds.
pub(super) const HOUSE_BYTES: usize = u64::BYTES + Balance::BYTES;

impl Input<'_> {
    pub(super) fn skip_player(&mut self) -> Result<(), ImageFault> {
        self.bytes(PLAYER_BYTES + Lsn::BYTES)?;
        for _ in 0..self.get::<u16>("how many assets there are")? {
            let _asset: AssetId = self.get("an asset")?;
            let filled: u8 = self.get("which purses are filled")?;
            self.bytes(filled.count_ones() as usize * u128::BYTES)?;
        }
        Ok(())
    }

    /// Says where the players lie that have a place.
    pub(super) fn skip_players(&mut self) -> Result<Vec<usize>, ImageFault> {
        let mut places = Vec::new();
        for number in 0..self.part(Part::Players as u16, "players", PlayerId::COUNT_MAX)? {
            if number.is_multiple_of(PLACED_PLAYERS) {
                places.push(self.offset());
            }
            self.skip_player()?;
        }
        Ok(places)
    }

    pub(super) fn skip_house(&mut self) -> Result<(), ImageFault> {
        let accounts = self.part(Part::House as u16, "house", u64::MAX)?;
        (0..accounts).try_for_each(|_| self.bytes(HOUSE_BYTES).map(drop))
    }

    /// Tables, ids, keys, and the places that were found; nothing may come behind them.
    pub(super) fn rest(&mut self, beginning: &Beginning, places: &[usize]) -> Result<Rest, ImageFault> {
        let rows = Rows::get_all(self, beginning.seed)?;
        let (ids, keys) = (self.ids(beginning)?, self.keys(beginning)?);
        self.check_places(places)?;
        self.check(self.is_at_end(), "the end")?;
        Ok(Rest { rows, ids, keys })
    }

    fn check_places(&mut self, places: &[usize]) -> Result<(), ImageFault> {
        let begin = self.offset() as u64;
        let count = self.part(Part::Places as u16, "places", places.len() as u64)?;
        self.check(count == places.len() as u64, "a place for each so many players")?;
        for place in places {
            let named: u64 = self.get("a place")?;
            self.check(named == *place as u64, "the place of a player")?;
        }
        let named: u64 = self.get("a place")?;
        self.check(named == begin, "where the places begin")
    }

    pub(crate) fn table<R: Row>(&mut self, seed: u64) -> Result<Table<R>, ImageFault> {
        let entries = self.part(self.table, R::NAME, R::ROWS_MAX as u64)?;
        self.table += 1;
        let mut rows = Chunked::new();
        let mut last = 0;
        for _ in 0..entries {
            let offset = self.offset();
            let row = R::get(self.bytes(R::BYTES)?);
            let wrong = |expected| ImageFault { part: R::NAME, offset, expected };
            let row = row.map_err(|_| wrong("a row"))?;
            let key = row.key();
            if key <= last {
                return Err(wrong("rows in the order of their keys"));
            }
            last = key;
            rows.push(Some(row));
        }
        Table::of_all(rows, seed).ok_or_else(|| self.wrong("different keys"))
    }

    fn ids(&mut self, beginning: &Beginning) -> Result<Option<Ids>, ImageFault> {
        let entries = self.part(Part::Ids as u16, "ids", IDS_CAPACITY_MAX)?;
        let Some(Settings { ids_capacity, ids_retention_millis, .. }) = beginning.settings else {
            return self.check(entries == 0, "settings for the ids").map(|()| None);
        };
        let horizon: Timestamp = self.get("a time")?;
        let (tail, head): (u64, u64) = (self.get("a place")?, self.get("a place")?);
        self.check(head.checked_sub(tail) == Some(entries), "places with the entries between them")?;
        let fits =
            u128::from(entries) * (ENTRY_WORDS * u64::BYTES) as u128 <= (self.image.len() - self.at) as u128;
        self.check(fits, "as many bytes as entries need")?;
        let ids = Ids::at(ids_capacity, ids_retention_millis, beginning.seed, (tail, head), horizon);
        let Some(mut ids) = ids else { return Err(self.wrong("places that the ring has")) };
        for block in ids.blocks() {
            ids.set_begun(block, self.get("a time")?);
        }
        ids.put_back(|| {
            let mut entry = [0; ENTRY_WORDS];
            for word in &mut entry {
                *word = self.get("a fact")?;
            }
            self.check(entry_is_valid(&entry, beginning.next_lsn), "a fact")?;
            Ok(entry)
        })?;
        Ok(Some(ids))
    }

    fn keys(&mut self, beginning: &Beginning) -> Result<Keys, ImageFault> {
        let mut keys = Chunked::new();
        for _ in 0..self.part(Part::Keys as u16, "keys", KEYS_MAX as u64)? {
            let key: RequestId = self.get("a key")?;
            let digest = self.get("a digest")?;
            let lsn: Lsn = self.get("a position")?;
            self.check(lsn < beginning.next_lsn, "a position before the image's")?;
            keys.push((key, Remembered { digest, lsn }));
        }
        Keys::of_all(keys, beginning.seed).ok_or_else(|| self.wrong("different keys"))
    }
}
