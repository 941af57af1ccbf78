//! A look at one player in an image, without reading all of it.
//!
//! In: an image of which any part can be had, a player. Out: what the image says of that player. Never here: more of the image
//! than the places name; a row of somebody else, as long as whoever hands out the parts proves them.

use alloc::vec::Vec;
use core::ops::Range;

use super::read::Input;
use super::rest::{HOUSE_BYTES, PLAYER_BYTES};
use super::{ImageFault, PLACED_PLAYERS, Part};
use crate::account::AccountId;
use crate::amount::Balance;
use crate::field::Field;
use crate::id::{AssetId, Lsn, PlayerId};
use crate::operation::AssetCode;
use crate::state::State;
use crate::state::players::PURSES;

/// A part's number, and how many entries it has.
const PART_BYTES: usize = u16::BYTES + u64::BYTES;

/// What an image says of one player, and of the assets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// The code and the decimal places of each asset, from number 1 on.
    pub assets: Vec<(AssetCode, u8)>,
    /// The player's latest record; none if there is no such player.
    pub latest: Option<Lsn>,
    /// What the player's purses hold, and what the player owes; those that hold nothing are left out.
    pub held: Vec<(AccountId, Balance)>,
}

/// An image of so many bytes, and how to get some of them.
struct Parts<F> {
    bytes: usize,
    read: F,
}

impl<F, E> Parts<F>
where
    F: FnMut(Range<usize>) -> Result<Vec<u8>, E>,
    E: From<ImageFault>,
{
    /// Bytes of the image, if it has them.
    fn get(&mut self, range: Range<usize>, part: &'static str) -> Result<Vec<u8>, E> {
        if range.start > range.end || range.end > self.bytes {
            return Err(ImageFault { part, offset: range.start, expected: "a place in the image" }.into());
        }
        (self.read)(range)
    }

    fn number(&mut self, at: usize) -> Result<usize, E> {
        let bytes = self.get(at..at.saturating_add(u64::BYTES), "places")?;
        let number: u64 = Input::new(&bytes, at, "places").get("a place")?;
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// What stands at the beginning of a part.
    fn part(&mut self, at: usize, number: Part, name: &'static str) -> Result<usize, E> {
        let bytes = self.get(at..at.saturating_add(PART_BYTES), name)?;
        let entries = Input::new(&bytes, at, name).part(number as u16, name, self.bytes as u64)?;
        Ok(entries as usize)
    }
}

impl Glance {
    /// Looks at a player in an image of so many bytes. `read` gives parts of it: a few, some hundred bytes to some dozen KiB each.
    ///
    /// # Errors
    /// [`ImageFault`] at the first bytes that no image has there; what `read` says.
    pub fn of<E: From<ImageFault>>(
        bytes: usize,
        read: impl FnMut(Range<usize>) -> Result<Vec<u8>, E>,
        player: PlayerId,
    ) -> Result<Self, E> {
        let mut parts = Parts { bytes, read };
        let places = parts.number(bytes.saturating_sub(u64::BYTES))?;
        let count = parts.part(places, Part::Places, "places")?;
        // Players from the first on, and at last the house.
        let mut place = |number: usize| {
            parts.number(places.saturating_add(PART_BYTES).saturating_add(number.saturating_mul(u64::BYTES)))
        };
        let block = player.index() / PLACED_PLAYERS as usize;
        let (first, house) = (place(0)?, place(count.saturating_sub(1))?);
        let row = if block + 1 < count { Some(place(block)?..place(block + 1)?) } else { None };
        let mut glance = Self::default();
        let is_known = glance.beginning(&parts.get(0..first, "beginning")?, player, count)?;
        if let (true, Some(range)) = (is_known, row) {
            let begin = range.start;
            glance.row(&mut Input::new(&parts.get(range, "players")?, begin, "players"), player)?;
            glance.debts(&mut parts, house, player)?;
        }
        Ok(glance)
    }

    /// Assets, and whether there is such a player.
    fn beginning(&mut self, bytes: &[u8], player: PlayerId, places: usize) -> Result<bool, ImageFault> {
        let mut input = Input::new(bytes, 0, "beginning");
        input.begin()?;
        let mut state = State::new(0);
        state.get_head(&mut input)?;
        state.get_assets(&mut input)?;
        self.assets = state.assets.iter().map(|asset| (asset.code, asset.scale)).collect();
        if input.is_at_end() {
            // Without players the house comes first.
            return Ok(false);
        }
        let players = input.part(Part::Players as u16, "players", PlayerId::COUNT_MAX)?;
        let placed = players.div_ceil(PLACED_PLAYERS) + 1;
        input.check(placed == places as u64 && input.is_at_end(), "a place for each so many players")?;
        Ok((player.index() as u64) < players)
    }

    fn row(&mut self, input: &mut Input<'_>, player: PlayerId) -> Result<(), ImageFault> {
        for _ in 0..player.index() as u64 % PLACED_PLAYERS {
            input.skip_player()?;
        }
        input.bytes(PLAYER_BYTES)?;
        self.latest = Some(input.get("a position")?);
        for _ in 0..input.get::<u16>("how many assets there are")? {
            let asset: AssetId = input.get("an asset")?;
            let filled: u8 = input.get("which purses are filled")?;
            for (_, purse) in (0..).zip(PURSES).filter(|(at, _)| filled >> at & 1 == 1) {
                let held: u128 = input.get("an amount")?;
                let held = i128::try_from(held).map_err(|_| input.wrong("an amount"))?;
                self.held.push((AccountId::of_player(asset, purse, player), Balance(held)));
            }
        }
        Ok(())
    }

    /// What the player owes in each asset, found among the house's accounts, which lie in the order of their numbers.
    fn debts<F, E>(&mut self, parts: &mut Parts<F>, house: usize, player: PlayerId) -> Result<(), E>
    where
        F: FnMut(Range<usize>) -> Result<Vec<u8>, E>,
        E: From<ImageFault>,
    {
        let accounts = parts.part(house, Part::House, "house")?;
        for asset in (1..=self.assets.len()).map(|number| AssetId(number as u16)) {
            let wanted = AccountId::receivable(asset, player);
            let (mut low, mut high) = (0, accounts);
            while low < high {
                let middle = low + (high - low) / 2;
                let at = house.saturating_add(PART_BYTES).saturating_add(middle.saturating_mul(HOUSE_BYTES));
                let bytes = parts.get(at..at.saturating_add(HOUSE_BYTES), "house")?;
                let mut input = Input::new(&bytes, at, "house");
                let account = AccountId(input.get("an account")?);
                match account.cmp(&wanted) {
                    core::cmp::Ordering::Less => low = middle + 1,
                    core::cmp::Ordering::Greater => high = middle,
                    core::cmp::Ordering::Equal => {
                        self.held.push((account, input.get("a balance")?));
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
