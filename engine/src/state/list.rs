//! What lists and look-ups from outside need of the state.
//!
//! In: an id, or a part of a table. Out: where it stands in the log; the rows of that part. Whoever lists a table part by part
//! puts the rows in an order of its own: where a row lies says nothing. Never here: a change.

use core::ops::Range;

use super::rows::{Exposure, Hold, Round};
use super::{Space, State};
use crate::account::AccountId;
use crate::amount::{Amount, Balance};
use crate::id::{AssetId, Lsn, PlayerId, Reference, RequestId};

impl State {
    /// The records that were decided under a number, as far as that is remembered: as a request id, and as a permanent key.
    #[must_use]
    pub fn records_of(&self, id: RequestId) -> [Option<Lsn>; 2] {
        let request = self
            .remembered(id, Space::Request)
            .map(|known| known.lsn)
            .or_else(|| self.hold(id).map(|hold| hold.opened))
            .or_else(|| self.ended(id, Space::Hold).map(|ended| ended.lsn));
        [request, self.key(id).map(|known| known.lsn)]
    }

    /// The record of a provider's transaction, as far as that is remembered.
    #[must_use]
    pub fn record_of_transaction(&self, key: Reference) -> Option<Lsn> {
        let id = RequestId(key.0);
        self.any_wager(key)
            .map(|wager| wager.opened)
            .or_else(|| self.remembered(id, Space::Reference).map(|known| known.lsn))
            .or_else(|| self.ended(id, Space::Wager).map(|ended| ended.lsn))
    }

    /// How many places the table of open holds has.
    #[must_use]
    pub const fn hold_places(&self) -> usize {
        self.rows.holds.places()
    }

    /// The open holds in some places.
    pub fn holds_at(&self, places: Range<usize>) -> impl Iterator<Item = &Hold> {
        self.rows.holds.at(places)
    }

    /// How many places the table of open rounds has.
    #[must_use]
    pub const fn round_places(&self) -> usize {
        self.rows.rounds.places()
    }

    /// The open rounds in some places.
    pub fn rounds_at(&self, places: Range<usize>) -> impl Iterator<Item = &Round> {
        self.rows.rounds.at(places)
    }

    /// How many places the table of exposures has.
    #[must_use]
    pub const fn exposure_places(&self) -> usize {
        self.rows.exposures.places()
    }

    /// The exposures in some places.
    pub fn exposures_at(&self, places: Range<usize>) -> impl Iterator<Item = &Exposure> {
        self.rows.exposures.at(places)
    }

    /// What players owe, or owed once and paid, by asset and player, from an account on.
    pub fn receivables_from(&self, from: AccountId) -> impl Iterator<Item = (AccountId, Balance)> {
        self.house.receivables_from(from)
    }

    /// What a player owes, by asset.
    pub fn owed_by(&self, player: PlayerId) -> impl Iterator<Item = (AssetId, Amount)> {
        let assets = (1..=self.assets.len()).map(|number| AssetId(number as u16));
        assets.map(move |asset| (asset, self.owed(player, asset))).filter(|(_, owed)| !owed.is_zero())
    }
}
