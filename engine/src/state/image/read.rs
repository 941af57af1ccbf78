//! From bytes to a state.
//!
//! In: bytes that may be anything. Out: a state whose books add up, or the place that is wrong. Never here: room for
//! more entries than there are bytes, an index out of bounds.

use super::rest::{Beginning, Rest};
use super::{Both, IMAGE_VERSION, ImageFault, InTurn, MAGIC, Part, layout};
use crate::account::{AccountId, Purse};
use crate::amount::Balance;
use crate::field::Field;
use crate::id::{AssetId, Lsn, PlayerId, SessionId};
use crate::operation::{AssetCode, IDS_CAPACITY_MAX, IDS_CAPACITY_MIN, SCALE_MAX, Settings};
use crate::state::players::PURSES;
use crate::state::replay::Replay;
use crate::state::rows::player_asset;
use crate::state::table::Sort;
use crate::state::{ASSETS_MAX, Asset, Player, State};
use crate::time::Timestamp;

/// The bytes that are left.
pub(crate) struct Input<'a> {
    /// All of the image, or a part of it.
    pub(super) image: &'a [u8],
    /// Where that lies in the image.
    begin: usize,
    pub(super) at: usize,
    pub(super) part: &'static str,
    /// The number of the next table.
    pub(super) table: u16,
}

impl<'a> Input<'a> {
    /// Reads from what lies at byte `begin` of an image.
    pub(super) const fn new(image: &'a [u8], begin: usize, part: &'static str) -> Self {
        Self { image, begin, at: 0, part, table: Part::Table as u16 }
    }

    pub(super) const fn wrong(&self, expected: &'static str) -> ImageFault {
        ImageFault { part: self.part, offset: self.offset(), expected }
    }

    /// The byte of the image that comes next.
    pub(super) const fn offset(&self) -> usize {
        self.begin + self.at
    }

    /// Whether nothing is left.
    pub(super) const fn is_at_end(&self) -> bool {
        self.at == self.image.len()
    }

    pub(super) fn check(&self, holds: bool, expected: &'static str) -> Result<(), ImageFault> {
        if holds { Ok(()) } else { Err(self.wrong(expected)) }
    }

    pub(super) fn bytes(&mut self, bytes: usize) -> Result<&'a [u8], ImageFault> {
        let Some(taken) = self.at.checked_add(bytes).and_then(|end| self.image.get(self.at..end)) else {
            return Err(self.wrong("more bytes"));
        };
        self.at += bytes;
        Ok(taken)
    }

    pub(super) fn get<T: Field>(&mut self, expected: &'static str) -> Result<T, ImageFault> {
        let offset = self.offset();
        let bytes = self.bytes(T::BYTES)?;
        T::get(bytes).map_err(|_| ImageFault { part: self.part, offset, expected })
    }

    /// The beginning of a part: how many entries it has.
    pub(super) fn part(&mut self, number: u16, name: &'static str, most: u64) -> Result<u64, ImageFault> {
        self.part = name;
        let found: u16 = self.get("the part's number")?;
        self.check(found == number, "the part's number")?;
        let entries = self.get("how many entries there are")?;
        self.check(entries <= most, "no more entries than can be")?;
        Ok(entries)
    }
}

impl State {
    /// The state that an image was made of. `seed` is as in [`State::new`].
    ///
    /// # Errors
    /// [`ImageFault`] at the first bytes that no image has there.
    pub fn from_image(image: &[u8], seed: u64) -> Result<Self, ImageFault> {
        Replay::from_image_by(&InTurn, image, seed).map(Replay::finish)
    }

    /// [`State::from_image`], its two halves read as `both` likes: the players with the house, and all that comes behind.
    /// What is remembered is not indexed yet.
    pub(crate) fn read_image(both: &impl Both, image: &[u8], seed: u64) -> Result<Self, ImageFault> {
        let mut input = Input::new(image, 0, "beginning");
        input.begin()?;
        let mut state = Self::new(seed);
        state.get_head(&mut input)?;
        state.get_assets(&mut input)?;
        let beginning = Beginning { next_lsn: state.next_lsn, settings: state.settings, seed };
        let mut behind = Input { ..input };
        let (books, rest) = both.both(
            || state.get_players(&mut input).and_then(|()| state.get_house(&mut input)),
            || {
                let mut places = behind.skip_players()?;
                places.push(behind.offset());
                behind.skip_house()?;
                behind.rest(&beginning, &places)
            },
        );
        // What is wrong further ahead is told first, however they were read.
        books?;
        let Rest { rows, ids, keys } = rest?;
        (state.rows, state.ids, state.keys) = (rows, ids, keys);
        state.follow();
        Ok(state)
    }

    pub(super) fn get_head(&mut self, input: &mut Input<'_>) -> Result<(), ImageFault> {
        let heads = input.part(Part::Head as u16, "head", 1)?;
        input.check(heads == 1, "one head")?;
        self.next_lsn = input.get("a position")?;
        input.check(self.next_lsn > Lsn::NONE, "a position")?;
        self.clock = input.get("a time")?;
        let is_set: bool = input.get("yes or no")?;
        let settings: Option<Settings> = input.get("settings")?;
        let possible =
            |settings: &Settings| (IDS_CAPACITY_MIN..=IDS_CAPACITY_MAX).contains(&settings.ids_capacity);
        input.check(settings.is_some() == is_set, "settings")?;
        input.check(settings.as_ref().is_none_or(possible), "a capacity of ids that can be")?;
        self.settings = settings;
        self.last_session = input.get::<SessionId>("a session")?;
        self.last_grant = input.get("a grant")?;
        Ok(())
    }

    pub(super) fn get_assets(&mut self, input: &mut Input<'_>) -> Result<(), ImageFault> {
        for _ in 0..input.part(Part::Assets as u16, "assets", ASSETS_MAX as u64)? {
            let code: AssetCode = input.get("an asset's code")?;
            let scale = input.get("a scale")?;
            input.check(scale <= SCALE_MAX, "a scale")?;
            let transfers = input.get("yes or no")?;
            let amount_max = input.get("an amount")?;
            let (players_total, house_total) = (Balance::ZERO, Balance::ZERO);
            self.assets.push(Asset { code, scale, transfers, amount_max, players_total, house_total });
        }
        Ok(())
    }

    fn get_players(&mut self, input: &mut Input<'_>) -> Result<(), ImageFault> {
        for _ in 0..input.part(Part::Players as u16, "players", PlayerId::COUNT_MAX)? {
            let player = Player {
                caller_id: input.get("a caller's id")?,
                brand: input.get("a brand")?,
                jurisdiction: input.get("a jurisdiction")?,
                class: input.get("a class")?,
                status: input.get("a status")?,
                reason: input.get("a reason")?,
                kyc_held: input.get("yes or no")?,
                kyc_reason: input.get("a reason")?,
            };
            let id = self.players.load(player);
            let latest: Lsn = input.get("a position")?;
            input.check(latest < self.next_lsn, "a position before the image's")?;
            self.players.set_latest(id, latest);
            let mut last = AssetId::NONE;
            for _ in 0..input.get::<u16>("how many assets there are")? {
                let asset: AssetId = input.get("an asset")?;
                input.check(asset > last, "assets in their order")?;
                last = asset;
                self.get_purses(id, asset, input)?;
            }
        }
        let all_known = self.players.index_all();
        input.check(all_known, "different callers' ids")
    }

    fn get_purses(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        input: &mut Input<'_>,
    ) -> Result<(), ImageFault> {
        let filled: u8 = input.get("which purses are filled")?;
        input.check(filled != 0 && filled >> PURSES.len() == 0, "which purses are filled")?;
        let place = usize::from(asset.0).wrapping_sub(1);
        let purses = (0..).zip(PURSES).filter(|(at, _)| filled >> at & 1 == 1);
        for (_, purse) in purses {
            let held: u128 = input.get("an amount")?;
            let counted = i128::try_from(held).ok().filter(|held| *held != 0);
            let Some(total) = self.assets.get_mut(place).map(|asset| &mut asset.players_total) else {
                return Err(input.wrong("an asset"));
            };
            let Some(counted) = counted else { return Err(input.wrong("an amount")) };
            total.0 = total.0.wrapping_add(counted);
            let Some((place, _)) = self.players.purse_mut(player, asset, purse as u8) else {
                return Err(input.wrong("a player's purse"));
            };
            *place = held;
        }
        Ok(())
    }

    fn get_house(&mut self, input: &mut Input<'_>) -> Result<(), ImageFault> {
        let mut last = AccountId::default();
        for _ in 0..input.part(Part::House as u16, "house", u64::MAX)? {
            let account = AccountId(input.get("an account")?);
            let of_house = account.purse().is_some_and(|purse| !purse.is_player());
            input.check(account > last && of_house, "accounts of the house in their order")?;
            last = account;
            let held: Balance = input.get("a balance")?;
            let place = usize::from(account.asset().0).wrapping_sub(1);
            let Some(asset) = self.assets.get_mut(place) else { return Err(input.wrong("an asset")) };
            asset.house_total.0 = asset.house_total.0.wrapping_add(held.0);
            *self.house.balance_mut(account) = held;
        }
        let add_up =
            |asset: &Asset| asset.players_total.0.wrapping_add(asset.house_total.0) == Balance::ZERO.0;
        input.check(self.assets.iter().all(add_up), "books that add up to zero")
    }

    /// What follows from rows and balances.
    fn follow(&mut self) {
        for rule in self.rows.rules.iter() {
            self.switches.changed(rule.rule, rule.scope, true, false);
        }
        for limits in self.rows.limits.iter() {
            if let Some(gates) = self.players.gates_mut(limits.player) {
                gates.limited = true;
            }
        }
        for turnover in self.rows.turnover.iter() {
            if let Some(gates) = self.players.gates_mut(turnover.player) {
                gates.turning = true;
            }
        }
        let debts = self
            .house
            .iter()
            .filter(|(account, held)| account.is_of(Purse::Receivable) && *held < Balance::ZERO);
        for (account, _) in debts {
            let (debtor, asset) = (PlayerId::trusted(account.owner()), account.asset());
            self.players.set_owes(debtor, asset, true);
            if self.players.balance(debtor, asset, Purse::Available) > Balance::ZERO {
                self.rows.due.insert((Timestamp(0), Sort::Collect, player_asset(debtor, asset)));
            }
        }
    }
}

impl Input<'_> {
    pub(super) fn begin(&mut self) -> Result<(), ImageFault> {
        let magic: [u8; MAGIC.len()] = self.get("an image")?;
        self.check(magic == MAGIC, "an image")?;
        let version: u16 = self.get("a version")?;
        self.check(version == IMAGE_VERSION, "this program's version of images")?;
        let found: [u8; 32] = self.get("a layout")?;
        self.check(found == layout(), "this program's rows: the image was made by another version")
    }
}
