//! Players and their purses. A player's purses for one asset lie side by side in two cache lines.

use super::chunked::Chunked;
use super::index::{Growing, hash};
use crate::account::Purse;
use crate::amount::Balance;
use crate::field::{PlayerClass, Status};
use crate::id::{AssetId, CallerId, Lsn, PlayerId};

/// The purses of one player in one asset. The line that plays touch holds what plays need.
#[derive(Debug)]
#[repr(C, align(64))]
struct Cell {
    available: u128,
    reserved: u128,
    /// In a player's first cell: the player's latest record.
    latest: u64,
    /// One more than the place of the player's cell for another asset; 0 = there is none.
    next: u32,
    asset: u16,
    /// Whether the player owes the house something in this asset.
    owes: bool,
    /// In a player's first cell: what every wager looks at.
    gates: Gates,
    /// The row of the player whose cell it is.
    owner: u32,
    locked: u128,
    allowance: u128,
    withdrawing: u128,
    bonus: u128,
}

const _: () = assert!(size_of::<Cell>() == 128, "two cache lines for a player and an asset");

/// What every wager of a player looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gates {
    pub(crate) brand: u16,
    pub(crate) jurisdiction: u16,
    pub(crate) status: Status,
    /// Whether there is a row of limits.
    pub(crate) limited: bool,
    /// Whether there is, or was, a row of turnover in any asset.
    pub(crate) turning: bool,
}

impl Gates {
    const NONE: Self =
        Self { brand: 0, jurisdiction: 0, status: Status::Active, limited: false, turning: false };
}

impl Cell {
    const fn new(owner: u32, asset: AssetId) -> Self {
        Self {
            available: 0,
            reserved: 0,
            locked: 0,
            latest: 0,
            next: 0,
            asset: asset.0,
            owes: false,
            gates: Gates::NONE,
            owner,
            allowance: 0,
            withdrawing: 0,
            bonus: 0,
        }
    }

    const fn purse(&self, purse: Purse) -> u128 {
        match purse {
            Purse::Available => self.available,
            Purse::Locked => self.locked,
            Purse::Reserved => self.reserved,
            Purse::Allowance => self.allowance,
            Purse::Withdrawing => self.withdrawing,
            Purse::Bonus => self.bonus,
            _ => 0,
        }
    }

    /// By the purse's number.
    const fn purse_mut(&mut self, purse: u8) -> Option<&mut u128> {
        const AVAILABLE: u8 = Purse::Available as u8;
        const LOCKED: u8 = Purse::Locked as u8;
        const RESERVED: u8 = Purse::Reserved as u8;
        const ALLOWANCE: u8 = Purse::Allowance as u8;
        const WITHDRAWING: u8 = Purse::Withdrawing as u8;
        const BONUS: u8 = Purse::Bonus as u8;
        Some(match purse {
            AVAILABLE => &mut self.available,
            LOCKED => &mut self.locked,
            RESERVED => &mut self.reserved,
            ALLOWANCE => &mut self.allowance,
            WITHDRAWING => &mut self.withdrawing,
            BONUS => &mut self.bonus,
            _ => return None,
        })
    }
}

/// What is known of a player besides money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Player {
    /// The caller's own name for the player.
    pub caller_id: CallerId,
    /// The brand that the player signed up with.
    pub brand: u16,
    /// The jurisdiction that the player falls under.
    pub jurisdiction: u16,
    /// Whether the money is real.
    pub class: PlayerClass,
    /// What the player may do.
    pub status: Status,
    /// Why, as the house numbers its reasons.
    pub reason: u16,
    /// Whether withdrawals are held up until identity or origin of funds are checked.
    pub kyc_held: bool,
    /// Why they are, or why they no longer are.
    pub kyc_reason: u16,
}

#[derive(Debug)]
pub(crate) struct Players {
    facts: Chunked<Player>,
    by_caller_id: Growing,
    /// Each player's cell for the asset that it first held.
    first: Chunked<Cell>,
    /// The cells for further assets.
    further: Chunked<Cell>,
    /// Where each of them is, by its player and asset: a player may hold many, and a play must not go through all.
    by_asset: Growing,
    seed: u64,
}

/// The purses of a player, for the order in which they are shown and digested.
pub(crate) const PURSES: [Purse; 6] =
    [Purse::Available, Purse::Locked, Purse::Reserved, Purse::Allowance, Purse::Withdrawing, Purse::Bonus];

/// Cells for further assets that there can be: 34 GB of them. More would leave fewer bits of hash beside each row in the
/// index, and a look-up would read the cells of others.
const FURTHER_MAX: usize = PlayerId::COUNT_MAX as usize;

impl Players {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            facts: Chunked::new(),
            by_caller_id: Growing::new(PlayerId::COUNT_MAX as usize),
            first: Chunked::new(),
            further: Chunked::new(),
            by_asset: Growing::new(FURTHER_MAX),
            seed,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.facts.len()
    }

    /// The number that the next player gets.
    pub(crate) const fn next_id(&self) -> PlayerId {
        PlayerId::from_index(self.facts.len() as u32)
    }

    pub(crate) fn contains(&self, player: PlayerId) -> bool {
        player.index() < self.facts.len()
    }

    pub(crate) fn get(&self, player: PlayerId) -> Option<&Player> {
        self.facts.get(player.index())
    }

    pub(crate) fn find(&self, caller_id: CallerId) -> Option<(PlayerId, &Player)> {
        let is_it =
            |row: u32| self.facts.get(row as usize).is_some_and(|player| player.caller_id == caller_id);
        let row = self.by_caller_id.find(hash(caller_id.0, self.seed), is_it)?;
        self.facts.get(row as usize).map(|player| (PlayerId::from_index(row), player))
    }

    /// Asks for the lines that a play of this player in this asset reads first.
    pub(crate) fn fetch(&self, player: PlayerId, asset: AssetId) {
        self.first.fetch(player.index());
        if self.further.len() > 0 {
            self.by_asset.fetch(self.hash_of(player, asset));
        }
    }

    /// Asks for the player's cell for an asset that is not the first, after [`Self::fetch`].
    pub(crate) fn fetch_further(&self, player: PlayerId, asset: AssetId) {
        if self.further.len() > 0 {
            self.by_asset.candidates(self.hash_of(player, asset), |row| self.further.fetch(row as usize));
        }
    }

    fn hash_of(&self, player: PlayerId, asset: AssetId) -> u64 {
        hash((player.index() as u128) << 16 | u128::from(asset.0), self.seed)
    }

    /// Asks for the memory that a look-up of a caller's id reads first.
    pub(crate) fn fetch_caller(&self, caller_id: CallerId) {
        self.by_caller_id.fetch(hash(caller_id.0, self.seed));
    }

    pub(crate) fn open(&mut self, player: Player) -> PlayerId {
        let id = self.load(player);
        self.by_caller_id.insert(hash(player.caller_id.0, self.seed), id.index() as u32);
        id
    }

    /// The same without making the player known by the caller's id: [`Self::index_all`] does that for all at once.
    pub(crate) fn load(&mut self, player: Player) -> PlayerId {
        let row = self.facts.push(player) as u32;
        let Player { brand, jurisdiction, status, .. } = player;
        let gates = Gates { brand, jurisdiction, status, ..Gates::NONE };
        self.first.push(Cell { gates, ..Cell::new(row, AssetId::NONE) });
        PlayerId::from_index(row)
    }

    /// Makes all players known by their callers' ids, after the last was loaded; says whether these are all different.
    pub(crate) fn index_all(&mut self) -> bool {
        let (facts, seed) = (&self.facts, self.seed);
        let id = |row: u32| facts.get(row as usize).map_or(0, |player| player.caller_id.0);
        let hash_of = |row| hash(id(row), seed);
        let same = |one, other| id(one) == id(other);
        let fetch = |row: u32| facts.fetch(row as usize);
        let index = Growing::of_all(facts.len(), PlayerId::COUNT_MAX as usize, hash_of, fetch, same);
        index.map(|index| self.by_caller_id = index).is_some()
    }

    /// What a purse holds; zero if the player never held the asset.
    pub(crate) fn balance(&self, player: PlayerId, asset: AssetId, purse: Purse) -> Balance {
        let held = self.cell(player, asset).map_or(0, |cell| cell.purse(purse));
        Balance(i128::try_from(held).unwrap_or(i128::MAX))
    }

    /// A purse by its number, and whether the player owes the house something. `None` if there is no such player or
    /// purse.
    pub(crate) fn purse_mut(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        purse: u8,
    ) -> Option<(&mut u128, bool)> {
        let cell = self.cell_or_new(player, asset)?;
        let owes = cell.owes;
        Some((cell.purse_mut(purse)?, owes))
    }

    /// What every wager looks at; `None` if there is no such player.
    pub(crate) fn gates(&self, player: PlayerId) -> Option<Gates> {
        self.first.get(player.index()).map(|cell| cell.gates)
    }

    pub(crate) fn gates_mut(&mut self, player: PlayerId) -> Option<&mut Gates> {
        self.first.get_mut(player.index()).map(|cell| &mut cell.gates)
    }

    pub(crate) fn set_status(&mut self, player: PlayerId, status: Status, reason: u16) -> Option<()> {
        let facts = self.facts.get_mut(player.index())?;
        (facts.status, facts.reason) = (status, reason);
        self.gates_mut(player)?.status = status;
        Some(())
    }

    pub(crate) fn set_kyc_hold(&mut self, player: PlayerId, held: bool, reason: u16) -> Option<()> {
        let facts = self.facts.get_mut(player.index())?;
        (facts.kyc_held, facts.kyc_reason) = (held, reason);
        Some(())
    }

    /// Whether the player owes the house something.
    pub(crate) fn owes(&self, player: PlayerId, asset: AssetId) -> bool {
        self.cell(player, asset).is_some_and(|cell| cell.owes)
    }

    pub(crate) fn set_owes(&mut self, player: PlayerId, asset: AssetId, owes: bool) {
        if let Some(cell) = self.cell_or_new(player, asset) {
            cell.owes = owes;
        }
    }

    /// The player's latest record.
    pub(crate) fn latest(&self, player: PlayerId) -> Lsn {
        self.first.get(player.index()).map_or(Lsn::NONE, |cell| Lsn(cell.latest))
    }

    pub(crate) fn set_latest(&mut self, player: PlayerId, lsn: Lsn) {
        if let Some(cell) = self.first.get_mut(player.index()) {
            cell.latest = lsn.0;
        }
    }

    /// What the player holds, by asset; the purses in the order of [`PURSES`].
    pub(crate) fn holdings(&self, player: PlayerId) -> impl Iterator<Item = (AssetId, [u128; PURSES.len()])> {
        let first = self.first.get(player.index()).filter(|cell| cell.asset != AssetId::NONE.0);
        let further = |cell: &&Cell| self.further.get((cell.next as usize).checked_sub(1)?);
        core::iter::successors(first, further)
            .map(|cell| (AssetId(cell.asset), PURSES.map(|purse| cell.purse(purse))))
    }

    fn cell(&self, player: PlayerId, asset: AssetId) -> Option<&Cell> {
        let first = self.first.get(player.index())?;
        if first.asset == asset.0 {
            return Some(first);
        }
        self.further.get(self.place(first, player, asset)?)
    }

    /// Where the player's cell for an asset lies that is not that of `first`, the player's first one.
    fn place(&self, first: &Cell, player: PlayerId, asset: AssetId) -> Option<usize> {
        if first.next == 0 {
            return None;
        }
        let is_it = |row: u32| {
            let cell = self.further.get(row as usize);
            cell.is_some_and(|cell| cell.owner == first.owner && cell.asset == asset.0)
        };
        self.by_asset.find(self.hash_of(player, asset), is_it).map(|row| row as usize)
    }

    fn cell_or_new(&mut self, player: PlayerId, asset: AssetId) -> Option<&mut Cell> {
        let first = self.first.get(player.index())?;
        if first.asset == asset.0 || first.asset == AssetId::NONE.0 {
            let first = self.first.get_mut(player.index())?;
            first.asset = asset.0;
            return Some(first);
        }
        if let Some(place) = self.place(first, player, asset) {
            return self.further.get_mut(place);
        }
        // New cells go to the front of the chain, behind the first.
        let cell = Cell { next: first.next, ..Cell::new(first.owner, asset) };
        if self.further.len() == FURTHER_MAX {
            return None;
        }
        let place = self.further.push(cell);
        self.by_asset.insert(self.hash_of(player, asset), place as u32);
        self.first.get_mut(player.index())?.next = place as u32 + 1;
        self.further.get_mut(place)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PlayerId, &Player)> {
        self.facts.iter().enumerate().map(|(row, player)| (PlayerId::from_index(row as u32), player))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const SEED: u64 = 7;

    fn player(caller_id: u128) -> Player {
        Player {
            caller_id: CallerId(caller_id),
            brand: 1,
            jurisdiction: 1,
            class: PlayerClass::Real,
            status: Status::Active,
            reason: 0,
            kyc_held: false,
            kyc_reason: 0,
        }
    }

    /// Each of some players holds each of some assets, filled in an order of no pattern.
    #[test]
    fn a_players_money_is_found_among_any_number_of_players_and_assets() {
        const PLAYERS: u32 = 300;
        const ASSETS: u16 = 100;
        let mut players = Players::new(SEED);
        let ids: Vec<_> = (0..PLAYERS).map(|at| players.open(player(u128::from(at)))).collect();
        let all = PLAYERS * u32::from(ASSETS);
        // A step without a common divisor passes every pair once.
        let pairs =
            || (0..all).map(|at| at * 7_919 % all).map(|at| (at % PLAYERS, (at / PLAYERS) as u16 + 1));
        let amount = |owner: u32, asset: u16| u128::from(owner) << 16 | u128::from(asset);
        for (done, (owner, asset)) in pairs().enumerate() {
            let (id, asset_id) = (ids[owner as usize], AssetId(asset));
            assert_eq!(
                players.balance(id, asset_id, Purse::Reserved),
                Balance(0),
                "pair {done} is empty yet"
            );
            let (held, _) = players.purse_mut(id, asset_id, Purse::Reserved as u8).unwrap();
            *held = amount(owner, asset);
            players.set_owes(id, asset_id, asset % 2 == 0);
        }
        for (owner, asset) in pairs() {
            let (id, asset_id) = (ids[owner as usize], AssetId(asset));
            let held = amount(owner, asset) as i128;
            assert_eq!(players.balance(id, asset_id, Purse::Reserved), Balance(held));
            assert_eq!(players.owes(id, asset_id), asset % 2 == 0);
        }
        for (owner, id) in (0..).zip(ids) {
            let mut held: Vec<_> = players.holdings(id).map(|(asset, purses)| (asset.0, purses[2])).collect();
            held.sort_unstable();
            let expected: Vec<_> = (1..=ASSETS).map(|asset| (asset, amount(owner, asset))).collect();
            assert_eq!(held, expected, "player {owner}");
        }
    }
}
